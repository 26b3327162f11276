// Arrays from and to NumPy: views of memory in both directions, conversion of values, Python's buffer protocol.
#include <cstring>
#include <limits>
#include <type_traits>

#include "array_slots.h"

namespace addax {
namespace {

PyTypeObject* StorageType = nullptr;  // a Python reference to a Storage: the base of ndarray views

struct StorageObject {
  PyObject_HEAD
  Storage* storage;
};

void storage_object_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  storage_decref(reinterpret_cast<StorageObject*>(self)->storage);
  type->tp_free(self);
  Py_DECREF(type);
}

PyType_Slot storage_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(storage_object_dealloc)},
    {Py_tp_doc, const_cast<char*>("A reference to the memory of an Array; the base of NumPy views of it.")},
    {0, nullptr},
};
PyType_Spec storage_spec = {"addax._native.Storage", sizeof(StorageObject), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, storage_slots};

PyObject* make_view(ArrayObject* a, void* data, int flags) {
  const Desc* d = a->desc;
  Py_INCREF(d->dtype);
  return PyArray_NewFromDescr(&PyArray_Type, d->dtype, d->ndim, const_cast<npy_intp*>(d->dims),
                              const_cast<npy_intp*>(d->strides), data, flags, nullptr);
}

}  // namespace

PyObject* array_view(ArrayObject* a) {
  void* data = array_host_data(a);
  auto* base = data ? PyObject_New(StorageObject, StorageType) : nullptr;
  if (base == nullptr) return nullptr;
  storage_incref(a->storage);
  base->storage = a->storage;
  Ref owner(reinterpret_cast<PyObject*>(base)), view(make_view(a, data, 0));
  if (!view || PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(view.get()), owner.release()) < 0) return nullptr;
  return view.release();
}

ArrayObject* array_borrow_ndarray(PyObject* ndarray, Desc* desc) {
  auto* v = reinterpret_cast<PyArrayObject*>(ndarray);
  // ISCARRAY_RO: row-major, aligned to the element, native byte order.
  if (PyArray_DESCR(v)->type_num != desc->type_num || !PyArray_ISCARRAY_RO(v) || PyArray_NDIM(v) != desc->ndim ||
      !PyArray_CompareLists(PyArray_DIMS(v), desc->dims, desc->ndim))
    return nullptr;
  Storage* s = storage_foreign(PyArray_DATA(v), static_cast<size_t>(desc->nbytes), ndarray);
  if (s == nullptr) return reinterpret_cast<ArrayObject*>(PyErr_NoMemory());
  return array_from_storage(desc->aval, desc, s);
}

int array_detach(ArrayObject* a) {
  Storage* s = a->storage;
  Storage* fresh = storage_alloc(s->nbytes);
  auto* holder = fresh ? PyObject_New(StorageObject, StorageType) : nullptr;
  if (holder == nullptr) {
    if (fresh != nullptr) storage_decref(fresh);
    if (!PyErr_Occurred()) PyErr_NoMemory();
    return -1;
  }
  holder->storage = fresh;
  std::memcpy(fresh->data, s->data, s->nbytes);
  // The lender stays alive too: somebody may hold a view of its memory.
  Ref copy(reinterpret_cast<PyObject*>(holder)), lender(s->owner);
  s->owner = PyTuple_Pack(2, lender.get(), copy.get());
  if (s->owner == nullptr) {
    s->owner = lender.release();
    return -1;
  }
  s->data = fresh->data;
  return 0;
}

namespace {

template <typename T>
int write_int(void* out, PyObject* value, const Desc* desc) {
  int overflow = 0;
  long long v = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (v == -1 && !overflow && PyErr_Occurred()) return -1;
  bool fits = !overflow && v >= static_cast<long long>(std::numeric_limits<T>::min());
  if constexpr (sizeof(T) < 8) fits = fits && v <= static_cast<long long>(std::numeric_limits<T>::max());
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (overflow > 0) {
      unsigned long long u = PyLong_AsUnsignedLongLong(value);
      if (!PyErr_Occurred()) {
        *static_cast<uint64_t*>(out) = u;
        return 0;
      }
      PyErr_Clear();
    }
  }
  if (ADDAX_UNLIKELY(!fits)) {
    PyErr_Format(PyExc_OverflowError, "Python int %R too large to convert to %S", value, desc->dtype);
    return -1;
  }
  *static_cast<T*>(out) = static_cast<T>(v);
  return 0;
}

inline void* writable_data(ArrayObject* a) { return a->storage->data; }

// Same shape; the values converted as numpy.ndarray.astype does.
int copy_from_ndarray(ArrayObject* a, PyArrayObject* src) {
  const Desc* d = a->desc;
  if (PyArray_NDIM(src) != d->ndim || !PyArray_CompareLists(PyArray_DIMS(src), d->dims, d->ndim)) {
    Ref shape(PyObject_GetAttrString(reinterpret_cast<PyObject*>(src), "shape"));
    if (shape) PyErr_Format(PyExc_ValueError, "cannot make an array of shape %R from one of shape %R", d->shape, shape.get());
    return -1;
  }
  if (PyArray_DESCR(src)->type_num == d->type_num && PyArray_IS_C_CONTIGUOUS(src) &&
      PyDataType_ISNOTSWAPPED(PyArray_DESCR(src))) {
    std::memcpy(writable_data(a), PyArray_DATA(src), static_cast<size_t>(d->nbytes));
    return 0;
  }
  Ref dst(make_view(a, writable_data(a), NPY_ARRAY_WRITEABLE));
  if (!dst) return -1;
  return PyArray_CopyInto(reinterpret_cast<PyArrayObject*>(dst.get()), src);
}

}  // namespace

int write_scalar(const Desc* desc, void* out, PyObject* value) {
  if (PyLong_Check(value)) {
    switch (desc->type_num) {
      case NPY_BYTE: return write_int<int8_t>(out, value, desc);
      case NPY_UBYTE: return write_int<uint8_t>(out, value, desc);
      case NPY_SHORT: return write_int<int16_t>(out, value, desc);
      case NPY_USHORT: return write_int<uint16_t>(out, value, desc);
      case NPY_INT: return write_int<int32_t>(out, value, desc);
      case NPY_UINT: return write_int<uint32_t>(out, value, desc);
      case NPY_LONG:
      case NPY_LONGLONG: return write_int<int64_t>(out, value, desc);
      case NPY_ULONG:
      case NPY_ULONGLONG: return write_int<uint64_t>(out, value, desc);
      default: break;
    }
  }
  switch (desc->type_num) {
    case NPY_BOOL: {
      int truth = PyObject_IsTrue(value);
      if (truth < 0) return -1;
      *static_cast<uint8_t*>(out) = static_cast<uint8_t>(truth);
      return 0;
    }
    case NPY_FLOAT:
    case NPY_DOUBLE: {
      if (!PyFloat_Check(value) && !PyLong_Check(value)) break;
      double v = PyFloat_AsDouble(value);
      if (v == -1.0 && PyErr_Occurred()) return -1;
      if (desc->type_num == NPY_FLOAT) *static_cast<float*>(out) = static_cast<float>(v);
      else *static_cast<double*>(out) = v;
      return 0;
    }
    case NPY_CFLOAT:
    case NPY_CDOUBLE: {
      if (!PyFloat_Check(value) && !PyLong_Check(value) && !PyComplex_Check(value)) break;
      Py_complex v = PyComplex_AsCComplex(value);
      if (v.real == -1.0 && PyErr_Occurred()) return -1;
      if (desc->type_num == NPY_CFLOAT) {
        static_cast<float*>(out)[0] = static_cast<float>(v.real);
        static_cast<float*>(out)[1] = static_cast<float>(v.imag);
      } else {
        static_cast<double*>(out)[0] = v.real;
        static_cast<double*>(out)[1] = v.imag;
      }
      return 0;
    }
    default: break;
  }
  return PyArray_Pack(desc->dtype, out, value);
}

int array_write(ArrayObject* a, PyObject* value) {
  if (PyArray_Check(value)) return copy_from_ndarray(a, reinterpret_cast<PyArrayObject*>(value));
  if (a->desc->ndim == 0 && (PyFloat_CheckExact(value) || PyLong_Check(value) || PyComplex_CheckExact(value)))
    return write_scalar(a->desc, writable_data(a), value);
  Ref src(PyArray_FromAny(value, nullptr, 0, 0, 0, nullptr));
  return src ? copy_from_ndarray(a, reinterpret_cast<PyArrayObject*>(src.get())) : -1;
}

ArrayObject* array_from_any(PyObject* value, PyObject* aval, Desc* desc) {
  if (array_check(value)) {
    auto* a = reinterpret_cast<ArrayObject*>(value);
    if (a->aval == aval) return reinterpret_cast<ArrayObject*>(Py_NewRef(value));
    Ref view(array_view(a));
    return view ? array_from_any(view.get(), aval, desc) : nullptr;
  }
  ArrayObject* a = array_new(aval, desc);
  if (a == nullptr) return nullptr;
  if (array_write(a, value) == 0) return a;
  Py_DECREF(a);
  return nullptr;
}

// ---- what numpy.asarray and memoryview call

PyObject* array_as_numpy(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"dtype", "copy", nullptr};
  PyObject *dtype = Py_None, *copy = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:__array__", const_cast<char**>(names), &dtype, &copy)) return nullptr;
  if (array_check_numbers(array_of(self), "numpy.asarray") < 0) return nullptr;
  Ref view(array_view(array_of(self)));
  if (!view) return nullptr;
  auto* v = reinterpret_cast<PyArrayObject*>(view.get());
  PyArray_Descr* wanted = nullptr;
  if (dtype != Py_None && !PyArray_DescrConverter(dtype, &wanted)) return nullptr;
  int must_copy = copy == Py_None ? 0 : PyObject_IsTrue(copy);
  if (must_copy < 0) {
    Py_XDECREF(wanted);
    return nullptr;
  }
  if (wanted != nullptr && !PyArray_EquivTypes(wanted, PyArray_DESCR(v))) {
    if (copy == Py_False) {
      PyErr_Format(PyExc_ValueError,
                   "Unable to avoid copy: the array has dtype %S, and dtype %S was asked for with copy=False. "
                   "Use numpy.asarray, which copies where it must.",
                   PyArray_DESCR(v), wanted);
      Py_DECREF(wanted);
      return nullptr;
    }
    return PyArray_CastToType(v, wanted, 0);
  }
  Py_XDECREF(wanted);
  return must_copy ? PyArray_NewCopy(v, NPY_CORDER) : view.release();
}

int array_get_buffer(PyObject* self, Py_buffer* view, int flags) {
  ArrayObject* a = array_of(self);
  const Desc* d = a->desc;
  view->obj = nullptr;
  if (array_check_numbers(a, "memoryview") < 0) return -1;
  if (d->format == nullptr) {
    PyErr_Format(PyExc_BufferError, "dtype %S has no letter in Python's buffer protocol; use numpy.asarray(x)", d->dtype);
    return -1;
  }
  if (flags & PyBUF_WRITABLE) {
    PyErr_SetString(PyExc_BufferError, "an Array is immutable: its buffer is read-only");
    return -1;
  }
  if ((flags & PyBUF_F_CONTIGUOUS) == PyBUF_F_CONTIGUOUS && d->ndim > 1) {
    PyErr_SetString(PyExc_BufferError, "an Array is row-major: it cannot be exported as a column-major buffer");
    return -1;
  }
  void* data = array_host_data(a);
  if (data == nullptr) return -1;
  storage_incref(a->storage);
  view->internal = a->storage;
  view->obj = Py_NewRef(self);
  view->buf = data;
  view->len = d->nbytes;
  view->readonly = 1;
  view->itemsize = d->itemsize;
  view->format = flags & PyBUF_FORMAT ? const_cast<char*>(d->format) : nullptr;
  view->ndim = d->ndim;
  view->shape = flags & PyBUF_ND ? const_cast<Py_ssize_t*>(d->dims) : nullptr;
  view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? const_cast<Py_ssize_t*>(d->strides) : nullptr;
  view->suboffsets = nullptr;
  return 0;
}

void array_release_buffer(PyObject*, Py_buffer* view) { storage_decref(static_cast<Storage*>(view->internal)); }

int init_array_numpy(PyObject* m) {
  StorageType = add_type(m, &storage_spec, "Storage");
  return StorageType == nullptr ? -1 : 0;
}

}  // namespace addax
