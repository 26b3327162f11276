// The parts of the Array type that have files of their own: operators, conversion to Python scalars, DLPack.
#pragma once

#include "array.h"

namespace addax {

// Fill in type slots; how many.
int add_operator_slots(PyType_Slot* slots);
int add_scalar_slots(PyType_Slot* slots);

PyObject* array_complex(PyObject* self, PyObject*);
PyObject* array_scalar(PyObject* self, PyObject*);
PyObject* array_dlpack(PyObject* self, PyObject* args, PyObject* kwargs);
PyObject* array_dlpack_device(PyObject* self, PyObject*);

int init_operators(PyObject* module);
int init_dlpack(PyObject* module);

}  // namespace addax
