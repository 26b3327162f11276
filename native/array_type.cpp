// The Array type as Python sees it: attributes, methods, and the module functions that make arrays.
#include "array_slots.h"

namespace addax {

PyTypeObject* TracerType = nullptr;

namespace {

PyObject* get_aval(PyObject* self, void*) { return Py_NewRef(array_of(self)->aval); }
PyObject* get_shape(PyObject* self, void*) { return Py_NewRef(array_of(self)->desc->shape); }
PyObject* get_dtype(PyObject* self, void*) {
  const Desc* d = array_of(self)->desc;
  if (ADDAX_UNLIKELY(d->extended)) return PyObject_GetAttrString(d->aval, "dtype");
  return Py_NewRef(reinterpret_cast<PyObject*>(d->dtype));
}
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLong(array_of(self)->desc->ndim); }
PyObject* get_size(PyObject* self, void*) { return PyLong_FromLongLong(array_of(self)->desc->size); }
PyObject* get_nbytes(PyObject* self, void*) { return PyLong_FromLongLong(array_of(self)->desc->nbytes); }
PyObject* get_itemsize(PyObject* self, void*) { return PyLong_FromLongLong(array_of(self)->desc->itemsize); }
PyObject* get_weak_type(PyObject* self, void*) { return PyBool_FromLong(array_of(self)->desc->weak_type); }
PyObject* get_committed(PyObject* self, void*) { return PyBool_FromLong(array_of(self)->committed); }
PyObject* get_array_priority(PyObject*, void*) { return PyLong_FromLong(100); }
PyObject* get_value(PyObject* self, void*) { return array_view(array_of(self)); }

// The elements as numbers, for methods written in Python, which say their name.
PyObject* numbers(PyObject* self, PyObject* name) {
  const char* what = PyUnicode_AsUTF8(name);
  if (what == nullptr || array_check_numbers(array_of(self), what) < 0) return nullptr;
  return array_view(array_of(self));
}

PyObject* get_device(PyObject* self, void*) {
  PyObject* d = array_of(self)->device;
  return Py_NewRef(d ? d : Py_None);
}

int set_device(PyObject* self, PyObject* value, void*) {
  PyObject* device = value == nullptr || value == Py_None ? nullptr : Py_NewRef(value);
  Py_XDECREF(std::exchange(array_of(self)->device, device));
  return 0;
}

int set_committed(PyObject* self, PyObject* value, void*) {
  int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
  if (truth < 0) return -1;
  array_of(self)->committed = truth;
  return 0;
}

PyObject* get_buffer(PyObject* self, void*) {
  Storage* s = array_of(self)->storage;
  if (s == nullptr) {
    array_raise_deleted(array_of(self));
    return nullptr;
  }
  return Py_NewRef(s->kind == Owner::kExternal ? s->owner : Py_None);
}

PyObject* is_deleted(PyObject* self, PyObject*) { return PyBool_FromLong(array_of(self)->storage == nullptr); }

PyObject* delete_(PyObject* self, PyObject*) {
  if (Storage* s = array_steal_storage(array_of(self))) storage_decref(s);
  Py_RETURN_NONE;
}

PyObject* unsafe_buffer_pointer(PyObject* self, PyObject*) {
  void* p = array_host_data(array_of(self));
  return p == nullptr ? nullptr : PyLong_FromVoidPtr(p);
}

Py_ssize_t array_length(PyObject* self) {
  const Desc* d = array_of(self)->desc;
  if (d->ndim == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of unsized object");
    return -1;
  }
  return d->dims[0];
}

PyGetSetDef array_getset[] = {
    {"aval", get_aval, nullptr, "The array's type: shape, dtype and weak type."},
    {"shape", get_shape, nullptr, "The sizes of the dimensions, a tuple of int."},
    {"dtype", get_dtype, nullptr, "The NumPy dtype of the elements."},
    {"ndim", get_ndim, nullptr, "The number of dimensions."},
    {"size", get_size, nullptr, "The number of elements."},
    {"nbytes", get_nbytes, nullptr, "The bytes that the elements take."},
    {"itemsize", get_itemsize, nullptr, "The bytes that one element takes."},
    {"weak_type", get_weak_type, nullptr, "Whether the dtype gives way to others in promotion, as a Python scalar's does."},
    {"_device", get_device, set_device, "The device or sharding that an engine placed the array on, or None."},
    {"_committed", get_committed, set_committed, "Whether the placement was asked for, and so binds later computations."},
    {"_buffer", get_buffer, nullptr, "Another engine's buffer behind this array, or None for host memory."},
    {"_value", get_value, nullptr, "The elements as a read-only ndarray, without a copy; of PRNG keys, the raw words."},
    {"__array_priority__", get_array_priority, nullptr, "Makes NumPy's operators give way to this type's."},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef array_methods[] = {
    {"is_deleted", is_deleted, METH_NOARGS, "Whether the memory was released, by delete() or by donation."},
    {"delete", delete_, METH_NOARGS, "Releases the memory now; later uses of the array raise RuntimeError."},
    {"unsafe_buffer_pointer", unsafe_buffer_pointer, METH_NOARGS, "The address of the first element, an int."},
    {"__array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(array_as_numpy)), METH_VARARGS | METH_KEYWORDS,
     "__array__(dtype=None, copy=None): the elements as an ndarray, read-only and without a copy where possible."},
    {"__complex__", array_complex, METH_NOARGS, "complex(x), for a scalar array."},
    {"_numbers", numbers, METH_O, "_numbers(what): as _value; a TypeError that names `what` if the elements are PRNG keys."},
    {"_scalar", array_scalar, METH_NOARGS, "The element of a scalar array as a Python number or a NumPy scalar."},
    {"__dlpack__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(array_dlpack)),
     METH_VARARGS | METH_KEYWORDS,
     "__dlpack__(*, stream=None, max_version=None, dl_device=None, copy=None): a DLPack capsule sharing the memory."},
    {"__dlpack_device__", array_dlpack_device, METH_NOARGS, "DLPack's (device type, device number): (1, 0), the CPU."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef array_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ArrayObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// ---- module functions

int check_args(const char* name, Py_ssize_t n, Py_ssize_t expected) {
  if (n == expected) return 0;
  PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, got %zd", name, expected, n);
  return -1;
}

PyObject* array_from_numpy(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (check_args("array_from_numpy", n, 2) < 0) return nullptr;
  Desc* d = desc_of(args[1]);
  if (d == nullptr) return nullptr;
  if (array_check(args[0])) {  // a copy was asked for, also of an Array
    Ref view(array_view(array_of(args[0])));
    return view ? reinterpret_cast<PyObject*>(array_from_any(view.get(), args[1], d)) : nullptr;
  }
  return reinterpret_cast<PyObject*>(array_from_any(args[0], args[1], d));
}

// Below this size a copy is cheaper than keeping an ndarray alive.
constexpr int64_t kAdoptFrom = 1024;

PyObject* array_adopt(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (check_args("array_adopt", n, 2) < 0) return nullptr;
  Desc* d = desc_of(args[1]);
  if (d == nullptr) return nullptr;
  PyObject* x = args[0];
  if (PyArray_Check(x) && d->nbytes >= kAdoptFrom) {
    ArrayObject* a = array_borrow_ndarray(x, d);
    if (a != nullptr || PyErr_Occurred()) return reinterpret_cast<PyObject*>(a);
  }
  return reinterpret_cast<PyObject*>(array_from_any(x, args[1], d));
}

PyObject* array_empty(PyObject*, PyObject* aval) {
  Desc* d = desc_of(aval);
  return d == nullptr ? nullptr : reinterpret_cast<PyObject*>(array_new(aval, d));
}

PyObject* py_array_alias(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (check_args("array_alias", n, 2) < 0) return nullptr;
  if (!array_check(args[0])) return PyErr_Format(PyExc_TypeError, "array_alias: expected an Array, got %R", Py_TYPE(args[0]));
  Desc* d = desc_of(args[1]);
  return d == nullptr ? nullptr : reinterpret_cast<PyObject*>(array_alias(array_of(args[0]), args[1], d));
}

PyObject* py_array_external(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (check_args("array_external", n, 4) < 0) return nullptr;
  Desc* d = desc_of(args[1]);
  return d == nullptr ? nullptr : reinterpret_cast<PyObject*>(array_external(args[0], args[1], d, args[2], args[3] == Py_True));
}

// The elements of an array that nothing binds to its place are in another engine's buffer from now on.
PyObject* array_migrate(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (check_args("array_migrate", n, 3) < 0) return nullptr;
  if (!array_check(args[0])) return PyErr_Format(PyExc_TypeError, "array_migrate: expected an Array, got %R", Py_TYPE(args[0]));
  ArrayObject* a = array_of(args[0]);
  if (a->storage == nullptr) return array_raise_deleted(a), nullptr;
  Storage* s = storage_foreign(nullptr, static_cast<size_t>(a->desc->nbytes), args[1], Owner::kExternal);
  if (s == nullptr) return PyErr_NoMemory();
  storage_decref(std::exchange(a->storage, s));
  Py_XDECREF(std::exchange(a->device, Py_NewRef(args[2])));
  Py_RETURN_NONE;
}

PyObject* set_tracer_type(PyObject*, PyObject* type) {
  if (!PyType_Check(type)) return PyErr_Format(PyExc_TypeError, "set_tracer_type: expected a class, got %R", type);
  Py_XDECREF(std::exchange(TracerType, reinterpret_cast<PyTypeObject*>(Py_NewRef(type))));
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"array_from_numpy", fastcall(array_from_numpy), METH_FASTCALL,
     "array_from_numpy(x, aval): an Array with a copy of the values of x, an ndarray or a scalar."},
    {"array_adopt", fastcall(array_adopt), METH_FASTCALL,
     "array_adopt(x, aval): an Array over the memory of ndarray x, which nobody may write to any more. Copies when it is "
     "small, strided or of another dtype."},
    {"array_empty", array_empty, METH_O, "array_empty(aval): an Array with uninitialised memory."},
    {"array_alias", fastcall(py_array_alias), METH_FASTCALL,
     "array_alias(a, aval): an Array over the memory of a, described by another aval of as many bytes."},
    {"array_external", fastcall(py_array_external), METH_FASTCALL,
     "array_external(buffer, aval, sharding, committed): an Array whose elements are in another engine's buffer, fetched when "
     "first read."},
    {"array_migrate", fastcall(array_migrate), METH_FASTCALL,
     "array_migrate(a, buffer, sharding): the elements of `a` are in another engine's buffer from now on."},
    {"set_tracer_type", set_tracer_type, METH_O, "set_tracer_type(cls): the base class of tracers."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot* array_slots() {
  static PyType_Slot slots[128];
  int n = 0;
  auto add = [&](int id, auto f) { slots[n++] = {id, reinterpret_cast<void*>(f)}; };
  add(Py_tp_dealloc, array_dealloc);
  add(Py_tp_getset, array_getset);
  add(Py_tp_methods, array_methods);
  add(Py_tp_members, array_members);
  add(Py_tp_hash, PyObject_HashNotImplemented);
  add(Py_mp_length, array_length);
  add(Py_bf_getbuffer, array_get_buffer);
  add(Py_bf_releasebuffer, array_release_buffer);
  add(Py_tp_doc, const_cast<char*>("A multi-dimensional array: immutable elements of one dtype, on some device."));
  n += add_operator_slots(slots + n);
  n += add_scalar_slots(slots + n);
  slots[n] = {0, nullptr};
  return slots;
}

}  // namespace

int init_array_type(PyObject* m) {
  PyType_Spec spec = {"addax.Array", sizeof(ArrayObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                      array_slots()};
  ArrayType = add_type(m, &spec, "Array");
  return ArrayType == nullptr ? -1 : PyModule_AddFunctions(m, functions);
}

}  // namespace addax
