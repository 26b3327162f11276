// Arrays as Python scalars: bool(x), int(x), float(x), complex(x), operator.index(x).
#include "array_slots.h"

namespace addax {
namespace {

inline bool is_integer(int type_num) { return type_num > NPY_BOOL && type_num <= NPY_ULONGLONG; }

// The only element as a Python bool, int, float or complex; null without an error if the dtype has no such type in C.
PyObject* fast_item(int type_num, const void* p) {
  switch (type_num) {
    case NPY_BOOL: return PyBool_FromLong(*static_cast<const uint8_t*>(p));
    case NPY_BYTE: return PyLong_FromLong(*static_cast<const int8_t*>(p));
    case NPY_UBYTE: return PyLong_FromLong(*static_cast<const uint8_t*>(p));
    case NPY_SHORT: return PyLong_FromLong(*static_cast<const int16_t*>(p));
    case NPY_USHORT: return PyLong_FromLong(*static_cast<const uint16_t*>(p));
    case NPY_INT: return PyLong_FromLong(*static_cast<const int32_t*>(p));
    case NPY_UINT: return PyLong_FromUnsignedLong(*static_cast<const uint32_t*>(p));
    case NPY_LONG:
    case NPY_LONGLONG: return PyLong_FromLongLong(*static_cast<const int64_t*>(p));
    case NPY_ULONG:
    case NPY_ULONGLONG: return PyLong_FromUnsignedLongLong(*static_cast<const uint64_t*>(p));
    case NPY_FLOAT: return PyFloat_FromDouble(*static_cast<const float*>(p));
    case NPY_DOUBLE: return PyFloat_FromDouble(*static_cast<const double*>(p));
    case NPY_CFLOAT: return PyComplex_FromDoubles(static_cast<const float*>(p)[0], static_cast<const float*>(p)[1]);
    case NPY_CDOUBLE: return PyComplex_FromDoubles(static_cast<const double*>(p)[0], static_cast<const double*>(p)[1]);
    default: return nullptr;
  }
}

// For other dtypes (float16, bfloat16, int4, ...) the NumPy scalar, which converts itself.
PyObject* item(ArrayObject* a) {
  void* p = array_host_data(a);
  if (p == nullptr) return nullptr;
  PyObject* value = fast_item(a->desc->type_num, p);
  return value != nullptr || PyErr_Occurred() ? value : PyArray_Scalar(p, a->desc->dtype, nullptr);
}

// `what`: the Python function that asks.
PyObject* scalar_item(PyObject* self, const char* what) {
  ArrayObject* a = array_of(self);
  if (array_check_numbers(a, what) < 0) return nullptr;
  if (a->desc->ndim != 0) {
    PyErr_Format(PyExc_TypeError, "Only scalar arrays can be converted to Python scalars; got arr.ndim=%d", a->desc->ndim);
    return nullptr;
  }
  return item(a);
}

PyObject* to_float(PyObject* self) {
  Ref x(scalar_item(self, "float"));
  return x ? PyNumber_Float(x.get()) : nullptr;
}

PyObject* to_int(PyObject* self) {
  Ref x(scalar_item(self, "int"));
  return x ? PyNumber_Long(x.get()) : nullptr;
}

PyObject* to_index(PyObject* self) {
  ArrayObject* a = array_of(self);
  if (array_check_numbers(a, "operator.index") < 0) return nullptr;
  if (a->desc->ndim == 0 && is_integer(a->desc->type_num)) return item(a);
  PyErr_SetString(PyExc_TypeError, "Only integer scalar arrays can be converted to a scalar index.");
  return nullptr;
}

int to_bool(PyObject* self) {
  ArrayObject* a = array_of(self);
  if (array_check_numbers(a, "bool") < 0) return -1;
  if (ADDAX_UNLIKELY(a->desc->size != 1)) {
    PyErr_SetString(PyExc_ValueError,
                    a->desc->size == 0
                        ? "The truth value of an empty array is ambiguous. Use `array.size > 0` to check that an array is "
                          "not empty."
                        : "The truth value of an array with more than one element is ambiguous. Use a.any() or a.all()");
    return -1;
  }
  Ref x(item(a));
  return x ? PyObject_IsTrue(x.get()) : -1;
}

}  // namespace

PyObject* array_complex(PyObject* self, PyObject*) {
  Ref x(scalar_item(self, "complex"));
  return x ? PyObject_CallOneArg(reinterpret_cast<PyObject*>(&PyComplex_Type), x.get()) : nullptr;
}

PyObject* array_scalar(PyObject* self, PyObject*) { return scalar_item(self, "item"); }

int add_scalar_slots(PyType_Slot* slots) {
  int n = 0;
  auto add = [&](int id, auto f) { slots[n++] = {id, reinterpret_cast<void*>(f)}; };
  add(Py_nb_bool, to_bool);
  add(Py_nb_int, to_int);
  add(Py_nb_float, to_float);
  add(Py_nb_index, to_index);
  return n;
}

}  // namespace addax
