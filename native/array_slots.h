// The parts of the Array type that have files of their own: NumPy, operators, conversion to Python scalars, DLPack.
#pragma once

#include "array.h"

namespace addax {

inline ArrayObject* array_of(PyObject* self) { return reinterpret_cast<ArrayObject*>(self); }

// Fill in type slots; how many.
int add_operator_slots(PyType_Slot* slots);
int add_scalar_slots(PyType_Slot* slots);

void array_dealloc(PyObject* self);
PyObject* array_as_numpy(PyObject* self, PyObject* args, PyObject* kwargs);
int array_get_buffer(PyObject* self, Py_buffer* view, int flags);
void array_release_buffer(PyObject* self, Py_buffer* view);
PyObject* array_complex(PyObject* self, PyObject*);
PyObject* array_scalar(PyObject* self, PyObject*);
PyObject* array_dlpack(PyObject* self, PyObject* args, PyObject* kwargs);
PyObject* array_dlpack_device(PyObject* self, PyObject*);

int init_array_numpy(PyObject* module);
int init_array_type(PyObject* module);
int init_operators(PyObject* module);
int init_dlpack(PyObject* module);

}  // namespace addax
