// The Array object: an aval (its type) and a reference to its memory.
#pragma once

#include "buffer.h"
#include "desc.h"

namespace addax {

struct ArrayObject {
  PyObject_HEAD
  PyObject* aval;     // strong
  Desc* desc;         // of aval
  Storage* storage;   // null once deleted
  PyObject* device;   // strong, or null for None
  PyObject* weakrefs;
  bool committed;
};

extern PyTypeObject* ArrayType;

// New array with uninitialised memory.
ArrayObject* array_new(PyObject* aval, Desc* desc);
// New array over given memory; takes over the caller's reference to `storage` (also on failure).
ArrayObject* array_from_storage(PyObject* aval, Desc* desc, Storage* storage);
// New array sharing `a`'s memory (same nbytes, other aval), device and committedness.
ArrayObject* array_alias(ArrayObject* a, PyObject* aval, Desc* desc);
// New array whose elements are in another engine's buffer; `sharding` says where that is.
ArrayObject* array_external(PyObject* buffer, PyObject* aval, Desc* desc, PyObject* sharding, bool committed);
// New array with the values of any NumPy array or scalar, converted to the aval's dtype.
ArrayObject* array_from_any(PyObject* value, PyObject* aval, Desc* desc);
// The same, into the memory of an array that nobody else has; 0, or -1 with an error.
int array_write(ArrayObject* a, PyObject* value);
// New array over an ndarray's memory, without a copy; null without an error if its layout or dtype does not allow it.
ArrayObject* array_borrow_ndarray(PyObject* ndarray, Desc* desc);
// For a borrowed array that outlives its borrowing: its memory becomes a copy, for all arrays that share it.
int array_detach(ArrayObject* a);
// The memory, taken out of the array, which is deleted by this; null if it already was. For donated arguments:
// check storage_reusable() on the result before writing to it.
Storage* array_steal_storage(ArrayObject* a);
int array_raise_deleted(ArrayObject* a);  // sets RuntimeError, returns -1
// An external array's bytes brought to the host; 0, or -1 with an error. Afterwards array_data() is not null.
int array_fetch(ArrayObject* a);

inline bool array_check_exact(PyObject* o) { return Py_TYPE(o) == ArrayType; }
inline bool array_check(PyObject* o) {
  return Py_TYPE(o) == ArrayType || PyType_IsSubtype(Py_TYPE(o), ArrayType);
}
inline bool array_is_deleted(const ArrayObject* a) { return a->storage == nullptr; }
// A read-only ndarray over the array's memory, which it keeps alive; new reference. Of PRNG keys, the raw words.
PyObject* array_view(ArrayObject* a);
// For whatever hands elements out as numbers: -1 with a TypeError naming `what` if they are PRNG keys.
int array_check_numbers(const ArrayObject* a, const char* what);
// Writes a Python or NumPy scalar as an element of the aval's dtype; OverflowError when an int does not fit.
int write_scalar(const Desc* desc, void* out, PyObject* value);
// The tracer base class, or null before core has named it (set_tracer_type).
extern PyTypeObject* TracerType;
inline bool tracer_check(PyObject* o) {
  return TracerType != nullptr && (Py_TYPE(o) == TracerType || PyType_IsSubtype(Py_TYPE(o), TracerType));
}

// The first byte. The array must not be deleted; null for an external array that has not been fetched.
inline void* array_data(const ArrayObject* a) { return a->storage->data; }
// As array_data, for any array: fetches external ones, null with a Python error when deleted.
void* array_host_data(ArrayObject* a);

}  // namespace addax
