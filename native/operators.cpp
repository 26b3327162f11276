// Array's operators. Each calls a callable that core registered (set_operator), normally a jitted function, with the
// operands in their written order: x + y goes from this slot into the call path without Python code between.
#include "array_slots.h"

#include <cstring>

namespace addax {
namespace {

enum Op {
  kAdd, kSub, kMul, kTrueDiv, kFloorDiv, kMod, kDivmod, kPow, kNeg, kPos, kAbs, kInvert,
  kAnd, kOr, kXor, kLshift, kRshift, kMatmul, kLt, kLe, kEq, kNe, kGt, kGe, kOpCount,
};
static_assert(kGe - kLt == Py_GE - Py_LT && kEq - kLt == Py_EQ - Py_LT && kNe - kLt == Py_NE - Py_LT);

const char* const kOpNames[kOpCount] = {
    "add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "neg", "pos", "abs", "invert",
    "and", "or", "xor", "lshift", "rshift", "matmul", "lt", "le", "eq", "ne", "gt", "ge",
};

PyObject* g_ops[kOpCount] = {};
PyObject* g_jax_array = nullptr;  // "__jax_array__"

// What may stand beside an Array in an expression; anything else gets its own chance through NotImplemented.
inline bool is_operand(PyObject* o) {
  PyTypeObject* t = Py_TYPE(o);
  if (ADDAX_LIKELY(t == ArrayType || t == &PyFloat_Type || t == &PyLong_Type || t == &PyBool_Type)) return true;
  if (PyArray_Check(o) || PyArray_IsScalar(o, Generic) || tracer_check(o)) return true;
  if (PyFloat_Check(o) || PyLong_Check(o) || PyComplex_Check(o)) return true;
  return PyObject_HasAttr(reinterpret_cast<PyObject*>(t), g_jax_array);
}

PyObject* missing(Op op) {
  return PyErr_Format(PyExc_RuntimeError, "the operator '%s' has no implementation yet: import addax, not addax._native",
                      kOpNames[op]);
}

template <Op op>
PyObject* binary(PyObject* a, PyObject* b) {
  if (ADDAX_UNLIKELY(!is_operand(a) || !is_operand(b))) Py_RETURN_NOTIMPLEMENTED;
  if (ADDAX_UNLIKELY(g_ops[op] == nullptr)) return missing(op);
  PyObject* args[3] = {nullptr, a, b};
  return PyObject_Vectorcall(g_ops[op], args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

template <Op op>
PyObject* unary(PyObject* a) {
  if (ADDAX_UNLIKELY(g_ops[op] == nullptr)) return missing(op);
  PyObject* args[2] = {nullptr, a};
  return PyObject_Vectorcall(g_ops[op], args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

PyObject* power(PyObject* a, PyObject* b, PyObject* modulus) {
  if (modulus != Py_None) {
    PyErr_SetString(PyExc_TypeError, "pow() with a modulus is not defined for arrays; write (a ** b) % m");
    return nullptr;
  }
  return binary<kPow>(a, b);
}

bool is_container(PyObject* o) { return PyList_Check(o) || PyTuple_Check(o) || PyAnySet_Check(o) || PyDict_Check(o); }

PyObject* compare(PyObject* a, PyObject* b, int op) {
  if (ADDAX_UNLIKELY(!is_operand(b))) {
    // Left to Python, x == [1, 2] would be False whatever x holds.
    if ((op == Py_EQ || op == Py_NE) && is_container(b)) {
      return PyErr_Format(PyExc_TypeError,
                          "unsupported operand type(s) for %s: 'Array' and '%s'. Make it an array first: addax.numpy.array(...).",
                          op == Py_EQ ? "==" : "!=", Py_TYPE(b)->tp_name);
    }
    Py_RETURN_NOTIMPLEMENTED;
  }
  PyObject* f = g_ops[kLt + op];
  if (ADDAX_UNLIKELY(f == nullptr)) return missing(static_cast<Op>(kLt + op));
  PyObject* args[3] = {nullptr, a, b};
  return PyObject_Vectorcall(f, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
}

PyObject* set_operator(PyObject*, PyObject* args) {
  const char* name;
  PyObject* callable;
  if (!PyArg_ParseTuple(args, "sO:set_operator", &name, &callable)) return nullptr;
  for (int i = 0; i < kOpCount; i++) {
    if (std::strcmp(name, kOpNames[i]) == 0) {
      Py_XDECREF(std::exchange(g_ops[i], Py_NewRef(callable)));
      Py_RETURN_NONE;
    }
  }
  return PyErr_Format(PyExc_ValueError, "set_operator: unknown operator %s; expected a name such as 'add' or 'matmul'", name);
}

PyObject* get_operator(PyObject*, PyObject* arg) {
  const char* name = PyUnicode_AsUTF8(arg);
  if (name == nullptr) return nullptr;
  for (int i = 0; i < kOpCount; i++)
    if (std::strcmp(name, kOpNames[i]) == 0) return Py_NewRef(g_ops[i] ? g_ops[i] : Py_None);
  return PyErr_Format(PyExc_ValueError, "get_operator: unknown operator %s", name);
}

PyMethodDef functions[] = {
    {"set_operator", set_operator, METH_VARARGS, "set_operator(name, f): what Array's operator 'add', 'mul', ... calls."},
    {"get_operator", get_operator, METH_O, "get_operator(name): what set_operator registered, or None."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int add_operator_slots(PyType_Slot* slots) {
  int n = 0;
  auto add = [&](int id, auto f) { slots[n++] = {id, reinterpret_cast<void*>(f)}; };
  add(Py_nb_add, binary<kAdd>);
  add(Py_nb_subtract, binary<kSub>);
  add(Py_nb_multiply, binary<kMul>);
  add(Py_nb_true_divide, binary<kTrueDiv>);
  add(Py_nb_floor_divide, binary<kFloorDiv>);
  add(Py_nb_remainder, binary<kMod>);
  add(Py_nb_divmod, binary<kDivmod>);
  add(Py_nb_power, power);
  add(Py_nb_negative, unary<kNeg>);
  add(Py_nb_positive, unary<kPos>);
  add(Py_nb_absolute, unary<kAbs>);
  add(Py_nb_invert, unary<kInvert>);
  add(Py_nb_and, binary<kAnd>);
  add(Py_nb_or, binary<kOr>);
  add(Py_nb_xor, binary<kXor>);
  add(Py_nb_lshift, binary<kLshift>);
  add(Py_nb_rshift, binary<kRshift>);
  add(Py_nb_matrix_multiply, binary<kMatmul>);
  add(Py_tp_richcompare, compare);
  return n;
}

int init_operators(PyObject* m) {
  g_jax_array = PyUnicode_InternFromString("__jax_array__");
  return g_jax_array == nullptr ? -1 : PyModule_AddFunctions(m, functions);
}

}  // namespace addax
