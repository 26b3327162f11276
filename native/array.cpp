// Array objects: creation, deletion, the way to their memory.
//
// Start with array_new (what every call pays for its result) and array_dealloc. Conversion from and to NumPy is in
// array_numpy.cpp, the Python surface in array_type.cpp; methods with mathematics in them (sum, reshape, ...) are
// attached to the type from Python.
#include "array.h"

#include "array_slots.h"

namespace addax {

PyTypeObject* ArrayType = nullptr;

namespace {

PyObject* g_external_fetch = nullptr;

constexpr int kFreeListMax = 256;
PyObject* g_free[kFreeListMax];
int g_free_count = 0;

inline ArrayObject* array_object(PyObject* aval, Desc* desc, Storage* storage) {
  PyObject* o;
  if (ADDAX_LIKELY(g_free_count > 0)) {
    o = PyObject_Init(g_free[--g_free_count], ArrayType);
  } else {
    o = reinterpret_cast<PyObject*>(PyObject_New(ArrayObject, ArrayType));
    if (o == nullptr) {
      storage_decref(storage);
      return nullptr;
    }
  }
  auto* a = reinterpret_cast<ArrayObject*>(o);
  a->aval = Py_NewRef(aval);
  a->desc = desc;
  a->storage = storage;
  a->device = nullptr;
  a->weakrefs = nullptr;
  a->committed = false;
  return a;
}

// The elements behind another engine's buffer, in host memory from now on.
int fetch_storage(Storage* s, PyObject* aval, const Desc* desc) {
  if (g_external_fetch == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "an external array cannot be read: no engine has registered set_external_fetch");
    return -1;
  }
  Ref fetched(PyObject_CallOneArg(g_external_fetch, s->owner));
  if (!fetched) return -1;
  auto* dtype = reinterpret_cast<PyArray_Descr*>(Py_NewRef(desc->dtype));
  Ref host(PyArray_FromAny(fetched.get(), dtype, 0, 0, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED, nullptr));
  if (!host) return -1;
  auto* ndarray = reinterpret_cast<PyArrayObject*>(host.get());
  if (PyArray_NBYTES(ndarray) != desc->nbytes) {
    PyErr_Format(PyExc_RuntimeError, "an engine returned %zd bytes for %R, expected %lld",
                 static_cast<Py_ssize_t>(PyArray_NBYTES(ndarray)), aval, static_cast<long long>(desc->nbytes));
    return -1;
  }
  if (s->data != nullptr) return 0;  // another thread fetched it meanwhile
  s->data = PyArray_DATA(ndarray);
  s->host = host.release();
  return 0;
}

PyObject* set_external_fetch(PyObject*, PyObject* callable) {
  Py_XDECREF(std::exchange(g_external_fetch, Py_NewRef(callable)));
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"set_external_fetch", set_external_fetch, METH_O,
     "set_external_fetch(f): how external arrays are read; f(buffer) returns an ndarray."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void array_dealloc(PyObject* self) {
  auto* a = reinterpret_cast<ArrayObject*>(self);
  if (ADDAX_UNLIKELY(a->weakrefs != nullptr)) PyObject_ClearWeakRefs(self);
  if (ADDAX_LIKELY(a->storage != nullptr)) storage_decref(a->storage);
  Py_DECREF(a->aval);
  Py_XDECREF(a->device);
  PyTypeObject* type = Py_TYPE(self);
  if (ADDAX_LIKELY(g_free_count < kFreeListMax)) g_free[g_free_count++] = self;
  else PyObject_Free(self);
  Py_DECREF(type);
}

ArrayObject* array_new(PyObject* aval, Desc* desc) {
  Storage* s = storage_alloc(static_cast<size_t>(desc->nbytes));
  if (ADDAX_UNLIKELY(s == nullptr)) {
    PyErr_Format(PyExc_MemoryError, "out of memory: %S%R needs %lld bytes", desc->dtype, desc->shape,
                 static_cast<long long>(desc->nbytes));
    return nullptr;
  }
  return array_object(aval, desc, s);
}

ArrayObject* array_from_storage(PyObject* aval, Desc* desc, Storage* storage) { return array_object(aval, desc, storage); }

ArrayObject* array_alias(ArrayObject* a, PyObject* aval, Desc* desc) {
  if (a->storage == nullptr) {
    array_raise_deleted(a);
    return nullptr;
  }
  if (desc->nbytes != a->desc->nbytes) {
    PyErr_Format(PyExc_ValueError, "array_alias: %R takes %lld bytes, the array %R has %lld", aval,
                 static_cast<long long>(desc->nbytes), a->aval, static_cast<long long>(a->desc->nbytes));
    return nullptr;
  }
  storage_incref(a->storage);
  ArrayObject* b = array_object(aval, desc, a->storage);
  if (b != nullptr) {
    b->device = Py_XNewRef(a->device);
    b->committed = a->committed;
  }
  return b;
}

ArrayObject* array_external(PyObject* buffer, PyObject* aval, Desc* desc, PyObject* sharding, bool committed) {
  Storage* s = storage_foreign(nullptr, static_cast<size_t>(desc->nbytes), buffer, Owner::kExternal);
  ArrayObject* a = s == nullptr ? nullptr : array_object(aval, desc, s);
  if (a == nullptr) {
    PyErr_NoMemory();
    return nullptr;
  }
  a->device = Py_NewRef(sharding);
  a->committed = committed;
  return a;
}

Storage* array_steal_storage(ArrayObject* a) { return std::exchange(a->storage, nullptr); }

int array_raise_deleted(ArrayObject* a) {
  Ref dims(PyUnicode_FromString(""));
  for (int i = 0; dims && i < a->desc->ndim; i++)
    dims = Ref(PyUnicode_FromFormat("%U%s%zd", dims.get(), i ? "," : "", static_cast<Py_ssize_t>(a->desc->dims[i])));
  if (dims)
    PyErr_Format(PyExc_RuntimeError, "Array has been deleted with shape=%S[%U].", a->desc->dtype, dims.get());
  return -1;
}

int array_check_numbers(const ArrayObject* a, const char* what) {
  if (ADDAX_LIKELY(!a->desc->extended)) return 0;
  PyErr_Format(PyExc_TypeError,
               "%s: %S is an array of PRNG keys, which are not numbers. addax.random.key_data(key) gives the uint32 words "
               "behind them.",
               what, a->aval);
  return -1;
}

int array_fetch(ArrayObject* a) {
  Storage* s = a->storage;
  if (s == nullptr) return array_raise_deleted(a);
  if (s->data != nullptr) return 0;
  storage_incref(s);  // fetching runs Python code: the array may be deleted, or fetched by another thread, meanwhile
  int status = fetch_storage(s, a->aval, a->desc);
  storage_decref(s);
  return status < 0 ? -1 : array_fetch(a);
}

void* array_host_data(ArrayObject* a) {
  if (ADDAX_LIKELY(a->storage != nullptr && a->storage->data != nullptr)) return a->storage->data;
  return array_fetch(a) < 0 ? nullptr : a->storage->data;
}

int init_array(PyObject* m) {
  if (init_desc(m) < 0 || init_array_numpy(m) < 0 || init_array_type(m) < 0 || init_operators(m) < 0 || init_dlpack(m) < 0) return -1;
  return PyModule_AddFunctions(m, functions);
}

}  // namespace addax
