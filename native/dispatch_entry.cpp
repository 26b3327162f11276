// Entry: a compiled program, which leaves it takes, and the tree of its results.
#include <cstring>

#include "dispatch.h"
#include "program.h"

namespace addax {

PyTypeObject* EntryType = nullptr;

namespace {

// The leaves that the executable takes: how many, and which is the k-th.
inline size_t passed_leaves(const EntryObject* e) { return e->all_kept ? e->descs.size() : e->kept.size(); }
inline size_t passed_leaf(const EntryObject* e, size_t k) { return e->all_kept ? k : static_cast<size_t>(e->kept[k]); }

inline EntryObject* entry_of(PyObject* o) { return reinterpret_cast<EntryObject*>(o); }

// ---- making one

int read_indices(PyObject* tuple, const char* what, size_t limit, SmallVector<int, 16>& out) {
  Ref seq(PySequence_Tuple(tuple));
  if (!seq) return -1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(seq.get()); i++) {
    long v = PyLong_AsLong(PyTuple_GET_ITEM(seq.get(), i));
    if (v == -1 && PyErr_Occurred()) return -1;
    if (v < 0 || static_cast<size_t>(v) >= limit) {
      PyErr_Format(PyExc_ValueError, "Entry: %s names leaf %ld, but there are %zu leaves", what, v, limit);
      return -1;
    }
    out.push_back(static_cast<int>(v));
  }
  return 0;
}

PyObject* entry_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"executable", "out_treedef", "kept", "donated", "in_avals", nullptr};
  PyObject *executable, *out_tree = Py_None, *kept = Py_None, *donated = nullptr, *in_avals = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOOO:Entry", const_cast<char**>(names), &executable, &out_tree, &kept,
                                   &donated, &in_avals))
    return nullptr;
  auto* e = reinterpret_cast<EntryObject*>(type->tp_alloc(type, 0));
  if (e == nullptr) return nullptr;
  new (&e->kept) SmallVector<int, 16>();
  new (&e->donated) SmallVector<uint8_t, 32>();
  new (&e->descs) SmallVector<Desc*, 32>();
  new (&e->staging) std::unique_ptr<Staging>();
  Ref owned(reinterpret_cast<PyObject*>(e));
  e->executable = Py_NewRef(executable);
  if (executable == Py_None) return owned.release();
  if (!treedef_check(out_tree)) return PyErr_Format(PyExc_TypeError, "Entry: out_treedef must be a PyTreeDef, got %R", Py_TYPE(out_tree));
  e->out_tree = Py_NewRef(out_tree);
  e->num_outputs = treedef_num_leaves(reinterpret_cast<TreeDefObject*>(out_tree));
  if ((e->in_avals = PySequence_Tuple(in_avals ? in_avals : Py_None)) == nullptr) return nullptr;
  auto count = static_cast<size_t>(PyTuple_GET_SIZE(e->in_avals));
  e->all_kept = kept == Py_None;
  if (!e->all_kept && read_indices(kept, "kept", count, e->kept) < 0) return nullptr;
  for (size_t i = 0; i < count; i++) e->descs.push_back(nullptr);
  size_t passed = e->all_kept ? count : e->kept.size();
  for (size_t k = 0; k < passed; k++) {
    size_t i = passed_leaf(e, k);
    e->descs[i] = desc_of(PyTuple_GET_ITEM(e->in_avals, static_cast<Py_ssize_t>(i)));
    if (e->descs[i] == nullptr) return nullptr;
  }
  if (donated != nullptr && donated != Py_None) {
    SmallVector<int, 16> indices;
    if (read_indices(donated, "donated", count, indices) < 0) return nullptr;
    if (!indices.empty()) {
      e->donated.resize(count);
      std::memset(e->donated.data(), 0, count);
      for (int i : indices) e->donated[static_cast<size_t>(i)] = 1;
    }
  }
  e->native = PyObject_TypeCheck(executable, program_type());
  e->launch = Py_TYPE(executable) == LaunchType;
  if (e->native || e->launch) {
    size_t takes = e->native ? program_num_inputs(executable) : launch_num_inputs(executable);
    size_t returns = e->native ? program_num_outputs(executable) : launch_num_outputs(executable);
    if (returns != e->num_outputs || takes != passed)
      return PyErr_Format(PyExc_ValueError, "Entry: the program takes %zu arrays and returns %zu; %zu are passed, and the tree has %zu",
                          takes, returns, passed, e->num_outputs);
  } else if (!PyCallable_Check(executable)) {
    return PyErr_Format(PyExc_TypeError, "Entry: executable must be a Program, a callable or None, got %R", Py_TYPE(executable));
  }
  if (e->launch) e->staging = launch_staging(executable);
  if (e->staging && !e->donated.empty())
    for (size_t k = 0; k < passed; k++)
      if (e->donated[passed_leaf(e, k)]) e->staging->exclude(k);
  return owned.release();
}

int entry_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(entry_of(self)->executable);
  Py_VISIT(entry_of(self)->out_tree);
  Py_VISIT(entry_of(self)->in_avals);
  return 0;
}

int entry_clear(PyObject* self) {
  Py_CLEAR(entry_of(self)->executable);
  Py_CLEAR(entry_of(self)->out_tree);
  Py_CLEAR(entry_of(self)->in_avals);
  return 0;
}

void entry_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  entry_clear(self);
  std::destroy_at(&entry_of(self)->kept);
  std::destroy_at(&entry_of(self)->donated);
  std::destroy_at(&entry_of(self)->descs);
  std::destroy_at(&entry_of(self)->staging);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef entry_members[] = {
    {"executable", T_OBJECT, offsetof(EntryObject, executable), READONLY, "What runs: a Program, a callable, or None."},
    {"out_treedef", T_OBJECT, offsetof(EntryObject, out_tree), READONLY, "The structure of the result."},
    {"in_avals", T_OBJECT, offsetof(EntryObject, in_avals), READONLY, "The avals of all leaves, kept or not."},
    {"native", T_BOOL, offsetof(EntryObject, native), READONLY, "Whether calls stay in C from end to end."},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot entry_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(entry_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(entry_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(entry_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(entry_clear)},
    {Py_tp_members, entry_members},
    {Py_tp_doc, const_cast<char*>(
        "Entry(executable, out_treedef, kept, donated, in_avals): what Fn runs for one signature.\n\n"
        "executable: a Program, a callable from a list of Arrays to a sequence of Arrays, or None to send every such call to "
        "trace_call. kept: the leaves that are passed, or None for all. donated: the leaves whose Arrays are deleted by the "
        "call. in_avals: the avals of all leaves, to which other values are converted.")},
    {0, nullptr},
};
PyType_Spec entry_spec = {"addax._native.Entry", sizeof(EntryObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, entry_slots};

// ---- running

// OverflowError of a scalar that does not fit, told as a matter of the argument.
int explain_overflow(PyObject* leaf) {
  if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
    PyErr_Clear();
    PyErr_Format(PyExc_OverflowError,
                 "An overflow was encountered while parsing an argument to a jitted computation. Got %R with value %R, which "
                 "does not fit the default integer type. Enable 64-bit types with addax.config.update('addax_enable_x64', True), "
                 "or pass the value as a float.",
                 Py_TYPE(leaf), leaf);
  }
  return -1;
}

// An ndarray of this size or more is lent to a native program for the call instead of being copied.
constexpr int64_t kLendFrom = 16 << 10;

// The Array to pass for a leaf, a new reference. With `lent` it may be a view of memory that the caller can write to later, which
// that then says.
inline ArrayObject* to_array(PyObject* leaf, Desc* desc, bool* lent = nullptr) {
  if (ADDAX_LIKELY(array_check_exact(leaf))) {
    auto* a = reinterpret_cast<ArrayObject*>(leaf);
    if (ADDAX_UNLIKELY(a->storage == nullptr)) {
      array_raise_deleted(a);
      return nullptr;
    }
    Py_INCREF(leaf);
    return a;
  }
  if (PyFloat_CheckExact(leaf) || PyLong_CheckExact(leaf)) {
    ArrayObject* a = array_new(desc->aval, desc);
    if (a != nullptr && write_scalar(desc, array_data(a), leaf) < 0) {
      Py_DECREF(a);
      explain_overflow(leaf);
      return nullptr;
    }
    return a;
  }
  if (lent != nullptr && desc->nbytes >= kLendFrom && PyArray_CheckExact(leaf)) {
    ArrayObject* a = array_borrow_ndarray(leaf, desc);
    if (a != nullptr || PyErr_Occurred()) {
      *lent = a != nullptr;
      return a;
    }
  }
  ArrayObject* a = array_from_any(leaf, desc->aval, desc);
  if (a == nullptr) explain_overflow(leaf);
  return a;
}

struct Arguments {
  SmallVector<PyObject*, 32> objects;  // strong
  ~Arguments() {
    for (PyObject* o : objects) Py_DECREF(o);
  }
};

int run_launch(EntryObject* e, Call& call, PyObject** out) {
  Arguments in;
  StagedCall staged(e->staging.get());
  size_t passed = passed_leaves(e);
  for (size_t k = 0; k < passed; k++) {
    size_t i = passed_leaf(e, k);
    PyObject* leaf = call.leaves[i];
    Desc* desc = e->descs[i];
    PyObject* o = nullptr;
    if (!array_check(leaf)) {
      o = Py_XNewRef(staged.write(k, leaf, desc));
      if (o == nullptr && PyErr_Occurred()) return explain_overflow(leaf);
    }
    if (o == nullptr) o = reinterpret_cast<PyObject*>(to_array(leaf, desc));
    if (ADDAX_UNLIKELY(o == nullptr)) return -1;
    in.objects.push_back(o);
  }
  if (launch_run(e->executable, in.objects.data(), passed, out) < 0) return -1;
  staged.launched(out);
  return 0;
}

struct Inputs {
  SmallVector<ArrayObject*, 32> arrays;  // strong
  SmallVector<size_t, 8> lent;           // numbers of those that borrow an ndarray's memory
  ~Inputs() {
    for (ArrayObject* a : arrays) Py_DECREF(reinterpret_cast<PyObject*>(a));
  }
};

// Lent memory must not live on in a result, where the caller's later writes would show. A lent array belongs to the call
// alone, unless the program returned its memory or a callback kept it.
int take_back(Inputs& in) {
  for (size_t k : in.lent) {
    ArrayObject* a = in.arrays[k];
    bool escaped = Py_REFCNT(reinterpret_cast<PyObject*>(a)) > 1 ||
                   (a->storage != nullptr && a->storage->refs.load(std::memory_order_relaxed) > 1);
    if (escaped && a->storage != nullptr && array_detach(a) < 0) return -1;
  }
  return 0;
}

bool appears_twice(const Inputs& in, size_t k) {
  Storage* s = in.arrays[k]->storage;
  for (size_t i = 0; i < in.arrays.size(); i++)
    if (i != k && in.arrays[i]->storage == s) return true;
  return false;
}

int run_callable(EntryObject* e, Inputs& in, PyObject** out) {
  Ref list(PyList_New(static_cast<Py_ssize_t>(in.arrays.size())));
  if (!list) return -1;
  for (size_t k = 0; k < in.arrays.size(); k++)
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(k), Py_NewRef(reinterpret_cast<PyObject*>(in.arrays[k])));
  Ref result(PyObject_CallOneArg(e->executable, list.get()));
  Ref outs(result ? PySequence_Tuple(result.get()) : nullptr);
  if (!outs) return -1;
  if (static_cast<size_t>(PyTuple_GET_SIZE(outs.get())) != e->num_outputs) {
    PyErr_Format(PyExc_RuntimeError, "an executable returned %zd arrays, its result tree has %zu leaves",
                 PyTuple_GET_SIZE(outs.get()), e->num_outputs);
    return -1;
  }
  for (size_t i = 0; i < e->num_outputs; i++) out[i] = Py_NewRef(PyTuple_GET_ITEM(outs.get(), static_cast<Py_ssize_t>(i)));
  return 0;
}

// A native program, or a callable.
int run_arrays(EntryObject* e, Call& call, PyObject** out) {
  Inputs in;
  size_t passed = passed_leaves(e);
  for (size_t k = 0; k < passed; k++) {
    size_t i = passed_leaf(e, k);
    bool lent = false;
    ArrayObject* a = to_array(call.leaves[i], e->descs[i], e->native ? &lent : nullptr);
    if (ADDAX_UNLIKELY(lent)) in.lent.push_back(k);
    if (ADDAX_UNLIKELY(a == nullptr)) return -1;
    in.arrays.push_back(a);
  }
  int status;
  if (ADDAX_LIKELY(e->native)) {
    bool donates = !e->donated.empty();
    SmallVector<uint8_t, 32> donate;
    if (donates) {
      for (size_t k = 0; k < passed; k++) {
        size_t i = passed_leaf(e, k);
        // The program may write into the memory only if the call itself does not read it under another name.
        donate.push_back(e->donated[i] && !appears_twice(in, k));
      }
    }
    status = program_run(e->executable, in.arrays.data(), passed, out, donates ? donate.data() : nullptr);
  } else {
    status = run_callable(e, in, out);
  }
  if (ADDAX_UNLIKELY(!in.lent.empty())) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int taken = take_back(in);
    if (taken < 0 && status == 0) {
      for (size_t i = 0; i < e->num_outputs; i++) Py_DECREF(out[i]);
      return -1;
    }
    PyErr_Restore(type, value, traceback);  // the program's own error, or none
  }
  return status;
}

}  // namespace

PyObject* entry_run(EntryObject* e, Call& call) {
  size_t leaves = call.leaves.size();
  if (ADDAX_UNLIKELY(leaves != e->descs.size())) {
    return PyErr_Format(PyExc_RuntimeError, "a call with %zu leaves met an entry compiled for %zu", leaves, e->descs.size());
  }
  SmallVector<PyObject*, 32> out;
  out.resize(e->num_outputs);
  int status = e->launch ? run_launch(e, call, out.data()) : run_arrays(e, call, out.data());
  if (ADDAX_UNLIKELY(status < 0)) return nullptr;
  if (ADDAX_UNLIKELY(!e->donated.empty())) {
    for (size_t i = 0; i < leaves; i++) {
      if (!e->donated[i] || !array_check_exact(call.leaves[i])) continue;
      auto* a = reinterpret_cast<ArrayObject*>(call.leaves[i]);
      // An output that is the very same object (an executable that returns its argument) stays alive.
      bool returned = false;
      for (size_t k = 0; k < e->num_outputs; k++) returned |= out[k] == call.leaves[i];
      if (returned) continue;
      if (Storage* s = array_steal_storage(a)) storage_decref(s);
    }
  }
  PyObject* result = treedef_unflatten(reinterpret_cast<TreeDefObject*>(e->out_tree), out.data());
  for (PyObject* o : out) Py_DECREF(o);
  return result;
}

int init_entry(PyObject* m) {
  EntryType = add_type(m, &entry_spec, "Entry");
  return EntryType == nullptr ? -1 : 0;
}

}  // namespace addax
