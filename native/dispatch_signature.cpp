// From arguments to signature words.
//
// A signature is a sequence of machine words such that two calls have equal sequences exactly when they may run the same
// program: same tree structure, same avals, same placement where it was asked for, same static values, same context.
// Words are pointers of interned or kept-alive objects (low bits 0) or carry a tag; the grammar is read from the left:
//   context, count of positional arguments, per argument a tree or a static value, count of keywords, (name, tree or
//   static value) in the order of names.
//   tree    = children's trees in order, then the node: (arity, kind) and what Node::data holds. A leaf is its aval, then, if
//             committed, the device.
//   static  = an int, an interned string, a singleton, a float's bits, a tuple of these; anything else by its number in the
//             Fn's table of values.
#include <algorithm>
#include <cstring>

#include "context.h"
#include "dispatch.h"
#include "pytree_walk.h"

namespace addax {
namespace {

enum Tag : uintptr_t { kPointer = 0, kCommitted = 1, kNode = 2, kFloat = 3, kTuple = 4, kNumber = 5, kCount = 6, kInt = 7 };

// Followed by an index; a number that no hashable value gets.
constexpr uintptr_t kUnhashableAux = ~uintptr_t{0} << 3 | kNumber;

inline uintptr_t word_of(PyObject* o) { return reinterpret_cast<uintptr_t>(o); }
inline uintptr_t tagged(uint64_t value, Tag tag) { return value << 3 | tag; }

inline void push_object(Call& c, PyObject* o) {
  c.words.push_back(word_of(o));
  c.objects.push_back(o);
}

// ---- avals of leaves that are not Arrays

PyObject* g_aval_of = nullptr;  // core's aval_of(x)

// The weak avals of Python scalars, per context.
struct ScalarAvals {
  PyObject* context;
  PyObject *bool_, *int_, *float_, *complex_;
};
std::vector<ScalarAvals> g_scalars;
size_t g_scalars_last = 0;

ScalarAvals* scalar_avals(PyObject* context) {
  if (g_scalars_last < g_scalars.size() && g_scalars[g_scalars_last].context == context) return &g_scalars[g_scalars_last];
  for (size_t i = 0; i < g_scalars.size(); i++) {
    if (g_scalars[i].context == context) {
      g_scalars_last = i;
      return &g_scalars[i];
    }
  }
  return nullptr;
}

// Asks core for an aval. Null without an error if x is not something a program can take.
PyObject* ask_aval(PyObject* x) {
  if (g_aval_of == nullptr) return nullptr;
  PyObject* aval = PyObject_CallOneArg(g_aval_of, x);
  if (aval == nullptr) {
    if (PyErr_ExceptionMatches(PyExc_TypeError)) PyErr_Clear();  // the traced call explains it better
    return nullptr;
  }
  if (desc_of(aval) == nullptr) {  // no NumPy dtype: not for the native path
    PyErr_Clear();
    Py_DECREF(aval);
    return nullptr;
  }
  Py_DECREF(aval);  // interned and immortal
  return aval;
}

ScalarAvals* learn_scalars(PyObject* context) {
  Ref one(PyLong_FromLong(1)), half(PyFloat_FromDouble(0.5)), i(PyComplex_FromDoubles(0, 1));
  if (!one || !half || !i) return nullptr;
  ScalarAvals s{context, ask_aval(Py_True), ask_aval(one.get()), ask_aval(half.get()), ask_aval(i.get())};
  if (!s.bool_ || !s.int_ || !s.float_ || !s.complex_) return nullptr;
  Py_INCREF(context);
  g_scalars.push_back(s);
  return &g_scalars.back();
}

// ndarray (context, dtype, shape) -> aval.
constexpr int kMaxCachedDims = 6;
struct NumpyAval {
  PyObject *context, *aval;
  int type_num, ndim;
  npy_intp dims[kMaxCachedDims];
};
constexpr size_t kNumpyAvals = 1024;
NumpyAval g_numpy_avals[kNumpyAvals];

PyObject* numpy_aval(PyObject* x, PyArray_Descr* dtype, int ndim, const npy_intp* dims, PyObject* context) {
  int t = dtype->type_num;
  // Only numeric types in native order: for others the type number does not say everything.
  bool cacheable = ndim <= kMaxCachedDims && PyDataType_ISNOTSWAPPED(dtype) &&
                   (PyTypeNum_ISNUMBER(t) || t == NPY_BOOL || t >= NPY_USERDEF);
  if (t == NPY_OBJECT || PyTypeNum_ISSTRING(t) || PyTypeNum_ISDATETIME(t)) return nullptr;  // not arrays of numbers
  if (!cacheable) return ask_aval(x);
  uint64_t h = static_cast<uint64_t>(t) * 31 + static_cast<uint64_t>(ndim) + (reinterpret_cast<uintptr_t>(context) >> 4);
  for (int i = 0; i < ndim; i++) h = (h ^ static_cast<uint64_t>(dims[i])) * 0x9E3779B97F4A7C15ull;
  NumpyAval& slot = g_numpy_avals[(h ^ h >> 32) % kNumpyAvals];
  if (slot.context == context && slot.type_num == t && slot.ndim == ndim &&
      std::equal(dims, dims + ndim, slot.dims))
    return slot.aval;
  PyObject* aval = ask_aval(x);
  if (aval == nullptr) return nullptr;
  PyObject* old = slot.context;
  slot = {Py_NewRef(context), aval, t, ndim, {}};
  std::copy(dims, dims + ndim, slot.dims);
  Py_XDECREF(old);
  return aval;
}

// Borrowed; null without an error if the leaf is for Python to handle, null with an error otherwise.
PyObject* leaf_aval(PyObject* x, PyObject* context) {
  PyTypeObject* t = Py_TYPE(x);
  bool scalar = t == &PyFloat_Type || t == &PyLong_Type || t == &PyBool_Type || t == &PyComplex_Type;
  if (!scalar) {
    if (PyArray_Check(x)) {
      if (!PyArray_CheckExact(x)) return ask_aval(x);  // masked arrays, matrices: core decides
      auto* a = reinterpret_cast<PyArrayObject*>(x);
      return numpy_aval(x, PyArray_DESCR(a), PyArray_NDIM(a), PyArray_DIMS(a), context);
    }
    if (PyArray_IsScalar(x, Generic)) {
      Ref dtype(reinterpret_cast<PyObject*>(PyArray_DescrFromScalar(x)));
      return dtype ? numpy_aval(x, reinterpret_cast<PyArray_Descr*>(dtype.get()), 0, nullptr, context) : nullptr;
    }
    if (!PyFloat_Check(x) && !PyLong_Check(x) && !PyComplex_Check(x)) return nullptr;
  }
  ScalarAvals* s = scalar_avals(context);
  if (ADDAX_UNLIKELY(s == nullptr)) s = learn_scalars(context);
  if (s == nullptr) return nullptr;
  if (PyFloat_Check(x)) return s->float_;
  if (PyBool_Check(x)) return s->bool_;
  return PyLong_Check(x) ? s->int_ : s->complex_;
}

// ---- static values

constexpr const char* kUnhashable =
    "Non-hashable static arguments are not supported. An error occurred while trying to hash an object of type %R, %R. The "
    "error was:\n%S: %S\n";

int raise_unhashable(PyObject* value) {
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  PyErr_NormalizeException(&type, &error, &traceback);
  Ref name(PyObject_GetAttrString(type, "__name__"));
  if (name) PyErr_Format(PyExc_ValueError, kUnhashable, Py_TYPE(value), value, name.get(), error);
  Py_XDECREF(type);
  Py_XDECREF(error);
  Py_XDECREF(traceback);
  return -1;
}

// The error at looking a value up, of its own hash rather than of the key it is part of. -1.
int say_of_value(PyObject* value) {
  PyObject *type, *error, *traceback;
  PyErr_Fetch(&type, &error, &traceback);
  if (PyObject_Hash(value) == -1) {
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
  } else {
    PyErr_Restore(type, error, traceback);
  }
  return -1;
}

// A number for a hashable value, the same for values of the same type that are equal.
int push_numbered(Call& c, PyObject* value) {
  StaticTable& t = *c.statics;
  if (t.ids == nullptr && (t.ids = PyDict_New()) == nullptr) return -1;
  Ref key(PyTuple_Pack(2, reinterpret_cast<PyObject*>(Py_TYPE(value)), value));
  if (!key) return -1;
  Ref ids = Ref::borrow(t.ids);  // hashing and comparing run Python code, which may clear the table
  PyObject* id = PyDict_GetItemWithError(ids.get(), key.get());
  if (id == nullptr) {
    if (PyErr_Occurred()) return say_of_value(value);
    uint64_t number = t.next++;
    Ref next(PyLong_FromUnsignedLongLong(number));
    if (!next || PyDict_SetItem(ids.get(), key.get(), next.get()) < 0) return -1;
    c.words.push_back(tagged(number, kNumber));
    return 0;
  }
  c.words.push_back(tagged(PyLong_AsUnsignedLongLong(id), kNumber));
  return 0;
}

int push_static(Call& c, PyObject* v) {
  PyTypeObject* t = Py_TYPE(v);
  if (v == Py_None || t == &PyBool_Type || t == &PyType_Type || t == &PyFunction_Type || t == &PyCFunction_Type ||
      v == Py_Ellipsis) {
    push_object(c, v);  // equal only to themselves
    return 0;
  }
  if (t == &PyLong_Type) {
    int overflow;
    long long n = PyLong_AsLongLongAndOverflow(v, &overflow);
    if (!overflow && n < (1ll << 59) && n > -(1ll << 59)) {
      c.words.push_back(tagged(static_cast<uint64_t>(n), kInt));
      return 0;
    }
    return push_numbered(c, v);
  }
  if (t == &PyUnicode_Type) {
    if (!PyUnicode_CHECK_INTERNED(v)) {
      PyObject* s = Py_NewRef(v);
      PyUnicode_InternInPlace(&s);
      c.owned.push_back(s);
      v = s;
    }
    push_object(c, v);
    return 0;
  }
  if (t == &PyFloat_Type) {  // by bits: 0.0 and -0.0 are different programs, nan is like itself
    double d = PyFloat_AS_DOUBLE(v);
    uintptr_t bits;
    std::memcpy(&bits, &d, sizeof bits);
    c.words.push_back(kFloat);
    c.words.push_back(bits);
    return 0;
  }
  if (t == &PyTuple_Type) {  // element by element, so that (1,), (1.0,) and (True,) differ
    Py_ssize_t n = PyTuple_GET_SIZE(v);
    c.words.push_back(tagged(static_cast<uint64_t>(n), kTuple));
    if (Py_EnterRecursiveCall(" while reading a static argument")) return -1;
    int status = 0;
    for (Py_ssize_t i = 0; i < n && status == 0; i++) status = push_static(c, PyTuple_GET_ITEM(v, i));
    Py_LeaveRecursiveCall();
    return status;
  }
  return push_numbered(c, v);
}

int push_static_argument(Call& c, PyObject* v) {
  if (push_static(c, v) == 0) return 0;
  return PyErr_ExceptionMatches(PyExc_TypeError) ? raise_unhashable(v) : -1;
}

// Aux data of custom nodes: as a static value; if it has no hash, compared with those met before.
int push_aux(Call& c, PyObject* aux) {
  size_t words = c.words.size(), objects = c.objects.size();
  if (push_static(c, aux) == 0) return 0;
  if (!PyErr_ExceptionMatches(PyExc_TypeError)) return -1;
  PyErr_Clear();
  c.words.resize(words);
  c.objects.resize(objects);
  StaticTable& t = *c.statics;
  if (t.unhashable == nullptr && (t.unhashable = PyList_New(0)) == nullptr) return -1;
  Ref list = Ref::borrow(t.unhashable);  // comparing runs Python code, which may clear the table
  uint64_t base = t.unhashable_base;
  Py_ssize_t i = 0;
  for (; i < PyList_GET_SIZE(list.get()); i++) {
    Ref known = Ref::borrow(PyList_GET_ITEM(list.get(), i));
    if (Py_TYPE(known.get()) != Py_TYPE(aux)) continue;
    int same = PyObject_RichCompareBool(known.get(), aux, Py_EQ);
    if (same < 0) return -1;
    if (same) break;
  }
  if (i == PyList_GET_SIZE(list.get()) && PyList_Append(list.get(), aux) < 0) return -1;
  c.words.push_back(kUnhashableAux);
  c.words.push_back(base + static_cast<uintptr_t>(i));
  return 0;
}

// ---- trees

struct SignatureSink {
  static constexpr bool kPaths = false;
  Call& call;
  bool trace = false;  // met a leaf that Python must handle

  int is_leaf(PyObject*) { return 0; }

  int leaf(PyObject* x) {
    call.leaves.push_back(x);
    if (ADDAX_LIKELY(array_check_exact(x))) {
      auto* a = reinterpret_cast<ArrayObject*>(x);
      call.words.push_back(word_of(a->aval) | (a->committed ? kCommitted : kPointer));
      return ADDAX_UNLIKELY(a->committed) ? push_static(call, a->device ? a->device : Py_None) : 0;
    }
    PyObject* aval = tracer_check(x) ? nullptr : leaf_aval(x, call.context);
    if (aval == nullptr) {
      if (!PyErr_Occurred()) trace = true;
      return -1;
    }
    call.words.push_back(word_of(aval));
    return 0;
  }

  int node(const NodeType& type, Py_ssize_t arity, PyObject* data) {
    call.words.push_back(tagged(static_cast<uint64_t>(arity) << 8 | static_cast<uint64_t>(type.kind), kNode));
    if (data != nullptr) call.owned.push_back(Py_NewRef(data));  // words may be addresses of what only it holds
    switch (type.kind) {
      case Kind::kDict:
      case Kind::kOrderedDict: return keys(data);
      case Kind::kDefaultDict: return push_aux(call, PyTuple_GET_ITEM(data, 0)) < 0 ? -1 : keys(PyTuple_GET_ITEM(data, 1));
      case Kind::kNamedTuple: call.words.push_back(word_of(data)); return 0;  // the registry keeps the class alive
      case Kind::kCustom:
      case Kind::kDataclass: call.words.push_back(reinterpret_cast<uintptr_t>(type.reg)); return push_aux(call, data);
      default: return 0;
    }
  }

  int keys(PyObject* tuple) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++)
      if (push_static(call, PyTuple_GET_ITEM(tuple, i)) < 0) return -1;
    return 0;
  }
};

Signature add_tree(Call& c, PyObject* x) {
  SignatureSink sink{c};
  // The commonest argument, without setting up a walk.
  if (ADDAX_LIKELY(array_check_exact(x))) return sink.leaf(Py_NewRef(x)) < 0 ? Signature::kError : Signature::kOk;
  if (tree_walk(x, sink) == 0) return Signature::kOk;
  return sink.trace ? Signature::kTrace : Signature::kError;
}

bool contains_name(PyObject* names, PyObject* name) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(names); i++) {
    PyObject* n = PyTuple_GET_ITEM(names, i);
    if (n == name || PyUnicode_Compare(n, name) == 0) return true;
  }
  return false;
}

PyObject* set_aval_of(PyObject*, PyObject* f) {
  Py_XDECREF(std::exchange(g_aval_of, Py_NewRef(f)));
  Py_RETURN_NONE;
}

PyObject* set_scalar_avals(PyObject*, PyObject* args) {
  ScalarAvals s;
  if (!PyArg_ParseTuple(args, "OOOOO:set_scalar_avals", &s.context, &s.bool_, &s.int_, &s.float_, &s.complex_)) return nullptr;
  for (PyObject* aval : {s.bool_, s.int_, s.float_, s.complex_})
    if (desc_of(aval) == nullptr) return nullptr;
  if (ScalarAvals* known = scalar_avals(s.context)) {
    *known = s;
  } else {
    Py_INCREF(s.context);
    g_scalars.push_back(s);
  }
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"set_aval_of", set_aval_of, METH_O,
     "set_aval_of(f): f(x) gives the aval, in the current context, of a NumPy array or scalar or a Python scalar."},
    {"set_scalar_avals", set_scalar_avals, METH_VARARGS,
     "set_scalar_avals(context, bool_aval, int_aval, float_aval, complex_aval): the avals of Python scalars in a context; "
     "without it they are learnt from aval_of."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

Signature make_signature(Call& c, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, const StaticArgs& statics) {
  c.context = current_context();
  if (c.context == nullptr) c.context = Py_None;
  push_object(c, c.context);
  c.words.push_back(tagged(static_cast<uint64_t>(nargs), kCount));
  bool any_static = !statics.positions.empty();
  for (Py_ssize_t i = 0; i < nargs; i++) {
    if (ADDAX_UNLIKELY(any_static)) {
      bool is_static = false;
      for (size_t k = 0; k < statics.positions.size(); k++) {
        int p = statics.positions[k];
        is_static |= p == i || p + nargs == i;
      }
      if (is_static) {
        if (push_static_argument(c, args[i]) < 0) return Signature::kError;
        continue;
      }
    }
    Signature s = add_tree(c, args[i]);
    if (ADDAX_UNLIKELY(s != Signature::kOk)) return s;
  }
  if (ADDAX_LIKELY(kwnames == nullptr)) return Signature::kOk;
  auto count = static_cast<size_t>(PyTuple_GET_SIZE(kwnames));
  SmallVector<int, 16> order;
  for (size_t i = 0; i < count; i++) order.push_back(static_cast<int>(i));
  auto name_of = [&](int i) { return PyTuple_GET_ITEM(kwnames, i); };
  std::sort(order.begin(), order.end(), [&](int a, int b) { return PyUnicode_Compare(name_of(a), name_of(b)) < 0; });
  c.words.push_back(tagged(count, kCount));
  for (size_t k = 0; k < count; k++) {
    PyObject* name = name_of(order[k]);
    PyObject* value = args[nargs + order[k]];
    if (push_static(c, name) < 0) return Signature::kError;  // interned
    if (ADDAX_UNLIKELY(PyTuple_GET_SIZE(statics.names) > 0 && contains_name(statics.names, name))) {
      if (push_static_argument(c, value) < 0) return Signature::kError;
      continue;
    }
    Signature s = add_tree(c, value);
    if (ADDAX_UNLIKELY(s != Signature::kOk)) return s;
  }
  return Signature::kOk;
}

int init_signature(PyObject* m) { return PyModule_AddFunctions(m, functions); }

}  // namespace addax
