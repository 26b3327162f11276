// Desc: what C needs to know of an aval, computed once and kept in the aval's `_desc` slot. Avals are interned and
// immortal, so pointers to both may be kept without a reference and compared for equality.
#pragma once

#include "common.h"

namespace addax {

struct Desc {
  PyObject_HEAD
  PyObject* aval;        // the aval this describes (borrowed: it owns us)
  PyArray_Descr* dtype;  // NumPy dtype, owned
  int ndim;
  int type_num;          // NPY_FLOAT etc.; >= NPY_USERDEF for ml_dtypes
  bool weak_type;
  bool extended;         // the aval's dtype is not NumPy's (PRNG keys): opaque elements of dtype's size, not numbers
  int64_t itemsize, size, nbytes;
  const npy_intp* dims;
  const npy_intp* strides;  // bytes, row-major
  const char* format;       // PEP 3118 letter, or null (bfloat16, float8, ...)
  PyObject* shape;          // tuple of int, owned
};

// Borrowed; null with a Python error set if the aval has no memory layout.
Desc* desc_of(PyObject* aval);

int init_desc(PyObject* module);

}  // namespace addax
