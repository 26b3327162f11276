// Array objects: creation, deletion, attributes, conversion to and from NumPy.
//
// Start with array_new (what every call pays for its result) and array_dealloc; the rest is the Python surface. Methods
// with mathematics in them (sum, reshape, ...) are attached to the type from Python.
#include "array.h"

#include <cstring>
#include <limits>
#include <type_traits>

#include "array_slots.h"

namespace addax {

PyTypeObject* ArrayType = nullptr;
PyTypeObject* TracerType = nullptr;

namespace {

PyTypeObject* DescType = nullptr;
PyTypeObject* StorageType = nullptr;  // a Python reference to a Storage: the base of ndarray views
PyObject* g_external_fetch = nullptr;

// ---- Desc

const char* buffer_format(int type_num) {
  switch (type_num) {
    case NPY_BOOL: return "?";
    case NPY_BYTE: return "b";
    case NPY_UBYTE: return "B";
    case NPY_SHORT: return "h";
    case NPY_USHORT: return "H";
    case NPY_INT: return "i";
    case NPY_UINT: return "I";
    case NPY_LONG: return "l";
    case NPY_ULONG: return "L";
    case NPY_LONGLONG: return "q";
    case NPY_ULONGLONG: return "Q";
    case NPY_HALF: return "e";
    case NPY_FLOAT: return "f";
    case NPY_DOUBLE: return "d";
    case NPY_CFLOAT: return "Zf";
    case NPY_CDOUBLE: return "Zd";
    default: return nullptr;
  }
}

void desc_dealloc(PyObject* self) {
  auto* d = reinterpret_cast<Desc*>(self);
  PyTypeObject* type = Py_TYPE(self);
  Py_XDECREF(d->dtype);
  Py_XDECREF(d->shape);
  PyMem_Free(const_cast<npy_intp*>(d->dims));
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* desc_repr(PyObject* self) {
  auto* d = reinterpret_cast<Desc*>(self);
  return PyUnicode_FromFormat("Desc(%S%R, %zd bytes)", d->dtype, d->shape, static_cast<Py_ssize_t>(d->nbytes));
}

Desc* desc_make(PyObject* aval) {
  Ref shape(PyObject_GetAttrString(aval, "shape"));
  Ref dtype(shape ? PyObject_GetAttrString(aval, "dtype") : nullptr);
  Ref weak(dtype ? PyObject_GetAttrString(aval, "weak_type") : nullptr);
  if (!weak) return nullptr;
  if (!PyArray_DescrCheck(dtype.get())) {
    // An extended dtype (PRNG keys): opaque elements of its itemsize, moved but never computed with.
    Ref itemsize(PyObject_GetAttrString(dtype.get(), "itemsize"));
    long bytes = itemsize ? PyLong_AsLong(itemsize.get()) : -1;
    PyErr_Clear();
    if (bytes == 8) dtype = Ref(reinterpret_cast<PyObject*>(PyArray_DescrFromType(NPY_UINT64)));
    if (bytes == 16) dtype = Ref(reinterpret_cast<PyObject*>(PyArray_DescrFromType(NPY_COMPLEX128)));
  }
  if (!PyArray_DescrCheck(dtype.get())) {
    PyErr_Format(PyExc_TypeError, "an aval with dtype %R has no memory layout of its own: a native Array needs a NumPy dtype",
                 dtype.get());
    return nullptr;
  }
  if (!PyTuple_Check(shape.get())) {
    PyErr_Format(PyExc_TypeError, "the shape of an aval must be a tuple, got %R", shape.get());
    return nullptr;
  }
  auto* d = PyObject_New(Desc, DescType);
  if (d == nullptr) return nullptr;
  d->aval = aval;
  d->dtype = reinterpret_cast<PyArray_Descr*>(dtype.release());
  d->type_num = d->dtype->type_num;
  d->weak_type = PyObject_IsTrue(weak.get()) == 1;
  d->itemsize = PyDataType_ELSIZE(d->dtype);
  d->ndim = static_cast<int>(PyTuple_GET_SIZE(shape.get()));
  d->format = buffer_format(d->type_num);
  d->shape = shape.release();
  d->size = 1;
  auto* dims = static_cast<npy_intp*>(PyMem_Malloc(sizeof(npy_intp) * 2 * static_cast<size_t>(d->ndim) + 1));
  d->dims = dims;
  Ref owned(reinterpret_cast<PyObject*>(d));
  if (dims == nullptr) return reinterpret_cast<Desc*>(PyErr_NoMemory());
  for (int i = 0; i < d->ndim; i++) {
    dims[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(d->shape, i));
    if (dims[i] == -1 && PyErr_Occurred()) return nullptr;
    if (__builtin_mul_overflow(d->size, static_cast<int64_t>(dims[i]), &d->size) || d->size > (int64_t{1} << 60)) {
      PyErr_Format(PyExc_OverflowError, "an array of shape %R has more elements than memory can address", d->shape);
      return nullptr;
    }
  }
  d->nbytes = d->size * d->itemsize;
  npy_intp* strides = dims + d->ndim;
  npy_intp stride = d->itemsize;
  for (int i = d->ndim - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= dims[i] > 0 ? dims[i] : 1;
  }
  d->strides = strides;
  return reinterpret_cast<Desc*>(owned.release());
}

// Where the aval class keeps its `_desc` slot.
PyTypeObject* g_aval_type = nullptr;
Py_ssize_t g_desc_offset = 0;

int learn_aval_type(PyTypeObject* type) {
  Ref member(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "_desc"));
  if (!member || !Py_IS_TYPE(member.get(), &PyMemberDescr_Type)) {
    PyErr_Clear();
    PyErr_Format(PyExc_TypeError, "expected an aval (a class with a '_desc' slot), got %R", type);
    return -1;
  }
  Py_XDECREF(g_aval_type);
  g_aval_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
  g_desc_offset = reinterpret_cast<PyMemberDescrObject*>(member.get())->d_member->offset;
  return 0;
}

Desc* desc_of_slow(PyObject* aval) {
  if (Py_TYPE(aval) != g_aval_type && learn_aval_type(Py_TYPE(aval)) < 0) return nullptr;
  auto** slot = reinterpret_cast<PyObject**>(reinterpret_cast<char*>(aval) + g_desc_offset);
  if (*slot != nullptr && Py_IS_TYPE(*slot, DescType)) return reinterpret_cast<Desc*>(*slot);
  Desc* d = desc_make(aval);
  if (d == nullptr) return nullptr;
  PyObject* old = *slot;
  *slot = reinterpret_cast<PyObject*>(d);
  Py_XDECREF(old);
  return d;
}

// ---- object life

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

}  // namespace

Desc* desc_of(PyObject* aval) {
  if (ADDAX_LIKELY(Py_TYPE(aval) == g_aval_type)) {
    PyObject* d = *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(aval) + g_desc_offset);
    if (ADDAX_LIKELY(d != nullptr && Py_IS_TYPE(d, DescType))) return reinterpret_cast<Desc*>(d);
  }
  return desc_of_slow(aval);
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

Storage* array_steal_storage(ArrayObject* a) { return std::exchange(a->storage, nullptr); }

int array_raise_deleted(ArrayObject* a) {
  Ref dims(PyUnicode_FromString(""));
  for (int i = 0; dims && i < a->desc->ndim; i++)
    dims = Ref(PyUnicode_FromFormat("%U%s%zd", dims.get(), i ? "," : "", static_cast<Py_ssize_t>(a->desc->dims[i])));
  if (dims)
    PyErr_Format(PyExc_RuntimeError, "Array has been deleted with shape=%S[%U].", a->desc->dtype, dims.get());
  return -1;
}

int array_fetch(ArrayObject* a) {
  Storage* s = a->storage;
  if (s == nullptr) return array_raise_deleted(a);
  if (s->data != nullptr) return 0;
  if (g_external_fetch == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "an external array cannot be read: no engine has registered set_external_fetch");
    return -1;
  }
  Ref fetched(PyObject_CallOneArg(g_external_fetch, s->owner));
  if (!fetched) return -1;
  auto* dtype = reinterpret_cast<PyArray_Descr*>(Py_NewRef(a->desc->dtype));
  PyObject* host = PyArray_FromAny(fetched.get(), dtype, 0, 0, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED, nullptr);
  if (host == nullptr) return -1;
  if (PyArray_NBYTES(reinterpret_cast<PyArrayObject*>(host)) != a->desc->nbytes) {
    PyErr_Format(PyExc_RuntimeError, "an engine returned %zd bytes for %R, expected %lld",
                 static_cast<Py_ssize_t>(PyArray_NBYTES(reinterpret_cast<PyArrayObject*>(host))), a->aval,
                 static_cast<long long>(a->desc->nbytes));
    Py_DECREF(host);
    return -1;
  }
  if (s->data != nullptr) {  // another thread fetched it meanwhile
    Py_DECREF(host);
    return 0;
  }
  s->host = host;
  s->data = PyArray_DATA(reinterpret_cast<PyArrayObject*>(host));
  return 0;
}

void* array_host_data(ArrayObject* a) {
  if (ADDAX_LIKELY(a->storage != nullptr && a->storage->data != nullptr)) return a->storage->data;
  return array_fetch(a) < 0 ? nullptr : a->storage->data;
}

// ---- views

namespace {

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

PyType_Slot desc_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(desc_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(desc_repr)},
    {Py_tp_doc, const_cast<char*>("The C description of an aval, kept in its _desc slot.")},
    {0, nullptr},
};
PyType_Spec desc_spec = {"addax._native.Desc", sizeof(Desc), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                         desc_slots};

PyObject* make_view(ArrayObject* a, void* data, int flags) {
  const Desc* d = a->desc;
  Py_INCREF(d->dtype);
  return PyArray_NewFromDescr(&PyArray_Type, d->dtype, d->ndim, const_cast<npy_intp*>(d->dims),
                              const_cast<npy_intp*>(d->strides), data, flags, nullptr);
}

}  // namespace

PyObject* array_view(ArrayObject* a) {
  void* data = array_host_data(a);
  if (data == nullptr) return nullptr;
  PyObject* view = make_view(a, data, 0);
  if (view == nullptr) return nullptr;
  auto* base = PyObject_New(StorageObject, StorageType);
  if (base == nullptr) {
    Py_DECREF(view);
    return nullptr;
  }
  storage_incref(a->storage);
  base->storage = a->storage;
  if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(view), reinterpret_cast<PyObject*>(base)) < 0) {
    Py_DECREF(view);
    return nullptr;
  }
  return view;
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

// ---- creation from values

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

ArrayObject* array_from_any(PyObject* value, PyObject* aval, Desc* desc) {
  if (array_check(value)) {
    auto* a = reinterpret_cast<ArrayObject*>(value);
    if (a->aval == aval) return reinterpret_cast<ArrayObject*>(Py_NewRef(value));
    Ref view(array_view(a));
    return view ? array_from_any(view.get(), aval, desc) : nullptr;
  }
  ArrayObject* a = array_new(aval, desc);
  if (a == nullptr) return nullptr;
  int failed;
  if (PyArray_Check(value)) {
    failed = copy_from_ndarray(a, reinterpret_cast<PyArrayObject*>(value));
  } else if (desc->ndim == 0 && (PyFloat_CheckExact(value) || PyLong_Check(value) || PyComplex_CheckExact(value))) {
    failed = write_scalar(desc, writable_data(a), value);
  } else {
    Ref src(PyArray_FromAny(value, nullptr, 0, 0, 0, nullptr));
    failed = !src || copy_from_ndarray(a, reinterpret_cast<PyArrayObject*>(src.get()));
  }
  if (failed) {
    Py_DECREF(a);
    return nullptr;
  }
  return a;
}

namespace {

// ---- attributes and methods

inline ArrayObject* self_of(PyObject* self) { return reinterpret_cast<ArrayObject*>(self); }

PyObject* get_aval(PyObject* self, void*) { return Py_NewRef(self_of(self)->aval); }
PyObject* get_shape(PyObject* self, void*) { return Py_NewRef(self_of(self)->desc->shape); }
PyObject* get_dtype(PyObject* self, void*) {
  const Desc* d = self_of(self)->desc;
  if (d->type_num == NPY_UINT64 || d->type_num == NPY_COMPLEX128)  // may stand for an extended dtype
    return PyObject_GetAttrString(self_of(self)->aval, "dtype");
  return Py_NewRef(reinterpret_cast<PyObject*>(d->dtype));
}
PyObject* get_ndim(PyObject* self, void*) { return PyLong_FromLong(self_of(self)->desc->ndim); }
PyObject* get_size(PyObject* self, void*) { return PyLong_FromLongLong(self_of(self)->desc->size); }
PyObject* get_nbytes(PyObject* self, void*) { return PyLong_FromLongLong(self_of(self)->desc->nbytes); }
PyObject* get_itemsize(PyObject* self, void*) { return PyLong_FromLongLong(self_of(self)->desc->itemsize); }
PyObject* get_weak_type(PyObject* self, void*) { return PyBool_FromLong(self_of(self)->desc->weak_type); }
PyObject* get_committed(PyObject* self, void*) { return PyBool_FromLong(self_of(self)->committed); }
PyObject* get_array_priority(PyObject*, void*) { return PyLong_FromLong(100); }
PyObject* get_value(PyObject* self, void*) { return array_view(self_of(self)); }

PyObject* get_device(PyObject* self, void*) {
  PyObject* d = self_of(self)->device;
  return Py_NewRef(d ? d : Py_None);
}

int set_device(PyObject* self, PyObject* value, void*) {
  PyObject* device = value == nullptr || value == Py_None ? nullptr : Py_NewRef(value);
  Py_XDECREF(std::exchange(self_of(self)->device, device));
  return 0;
}

int set_committed(PyObject* self, PyObject* value, void*) {
  int truth = value == nullptr ? 0 : PyObject_IsTrue(value);
  if (truth < 0) return -1;
  self_of(self)->committed = truth;
  return 0;
}

PyObject* get_buffer(PyObject* self, void*) {
  Storage* s = self_of(self)->storage;
  if (s == nullptr) {
    array_raise_deleted(self_of(self));
    return nullptr;
  }
  return Py_NewRef(s->kind == Owner::kExternal ? s->owner : Py_None);
}

PyObject* is_deleted(PyObject* self, PyObject*) { return PyBool_FromLong(self_of(self)->storage == nullptr); }

PyObject* delete_(PyObject* self, PyObject*) {
  if (Storage* s = array_steal_storage(self_of(self))) storage_decref(s);
  Py_RETURN_NONE;
}

PyObject* unsafe_buffer_pointer(PyObject* self, PyObject*) {
  void* p = array_host_data(self_of(self));
  return p == nullptr ? nullptr : PyLong_FromVoidPtr(p);
}

PyObject* as_numpy(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"dtype", "copy", nullptr};
  PyObject *dtype = Py_None, *copy = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:__array__", const_cast<char**>(names), &dtype, &copy)) return nullptr;
  Ref view(array_view(self_of(self)));
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

Py_ssize_t array_length(PyObject* self) {
  const Desc* d = self_of(self)->desc;
  if (d->ndim == 0) {
    PyErr_SetString(PyExc_TypeError, "len() of unsized object");
    return -1;
  }
  return d->dims[0];
}

int get_py_buffer(PyObject* self, Py_buffer* view, int flags) {
  ArrayObject* a = self_of(self);
  const Desc* d = a->desc;
  view->obj = nullptr;
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

void release_py_buffer(PyObject*, Py_buffer* view) { storage_decref(static_cast<Storage*>(view->internal)); }

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
    {"_value", get_value, nullptr, "The elements as a read-only ndarray, without a copy."},
    {"__array_priority__", get_array_priority, nullptr, "Makes NumPy's operators give way to this type's."},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef array_methods[] = {
    {"is_deleted", is_deleted, METH_NOARGS, "Whether the memory was released, by delete() or by donation."},
    {"delete", delete_, METH_NOARGS, "Releases the memory now; later uses of the array raise RuntimeError."},
    {"unsafe_buffer_pointer", unsafe_buffer_pointer, METH_NOARGS, "The address of the first element, an int."},
    {"__array__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(as_numpy)), METH_VARARGS | METH_KEYWORDS,
     "__array__(dtype=None, copy=None): the elements as an ndarray, read-only and without a copy where possible."},
    {"__complex__", array_complex, METH_NOARGS, "complex(x), for a scalar array."},
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
    Ref view(array_view(self_of(args[0])));
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
  return d == nullptr ? nullptr : reinterpret_cast<PyObject*>(array_alias(self_of(args[0]), args[1], d));
}

PyObject* array_external(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (check_args("array_external", n, 4) < 0) return nullptr;
  Desc* d = desc_of(args[1]);
  if (d == nullptr) return nullptr;
  Storage* s = storage_foreign(nullptr, static_cast<size_t>(d->nbytes), args[0], Owner::kExternal);
  ArrayObject* a = s == nullptr ? nullptr : array_from_storage(args[1], d, s);
  if (a == nullptr) return PyErr_NoMemory();
  a->device = Py_NewRef(args[2]);
  a->committed = args[3] == Py_True;
  return reinterpret_cast<PyObject*>(a);
}

// The elements of an array that nothing binds to its place are in another engine's buffer from now on.
PyObject* array_migrate(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (check_args("array_migrate", n, 3) < 0) return nullptr;
  if (!array_check(args[0])) return PyErr_Format(PyExc_TypeError, "array_migrate: expected an Array, got %R", Py_TYPE(args[0]));
  ArrayObject* a = self_of(args[0]);
  if (a->storage == nullptr) return array_raise_deleted(a), nullptr;
  Storage* s = storage_foreign(nullptr, static_cast<size_t>(a->desc->nbytes), args[1], Owner::kExternal);
  if (s == nullptr) return PyErr_NoMemory();
  storage_decref(std::exchange(a->storage, s));
  Py_XDECREF(std::exchange(a->device, Py_NewRef(args[2])));
  Py_RETURN_NONE;
}

PyObject* set_external_fetch(PyObject*, PyObject* callable) {
  Py_XDECREF(std::exchange(g_external_fetch, Py_NewRef(callable)));
  Py_RETURN_NONE;
}

PyObject* set_tracer_type(PyObject*, PyObject* type) {
  if (!PyType_Check(type)) return PyErr_Format(PyExc_TypeError, "set_tracer_type: expected a class, got %R", type);
  Py_XDECREF(std::exchange(TracerType, reinterpret_cast<PyTypeObject*>(Py_NewRef(type))));
  Py_RETURN_NONE;
}

PyObject* py_memory_stats(PyObject*, PyObject*) {
  MemoryStats s = memory_stats();
  return Py_BuildValue("{s:L,s:L,s:L,s:L,s:L}", "bytes_in_use", s.bytes_in_use, "peak_bytes_in_use", s.peak_bytes_in_use,
                       "num_allocs", s.num_allocs, "bytes_cached", s.bytes_cached, "largest_alloc_size", s.largest_alloc);
}

PyObject* py_trim(PyObject*, PyObject* const* args, Py_ssize_t n) {
  size_t keep = 0;
  if (n > 1) return PyErr_Format(PyExc_TypeError, "trim() takes at most 1 argument, got %zd", n);
  if (n == 1 && (keep = PyLong_AsSize_t(args[0])) == static_cast<size_t>(-1) && PyErr_Occurred()) return nullptr;
  memory_trim(keep);
  Py_RETURN_NONE;
}

PyObject* py_set_cache_limit(PyObject*, PyObject* arg) {
  size_t limit = PyLong_AsSize_t(arg);
  if (limit == static_cast<size_t>(-1) && PyErr_Occurred()) return nullptr;
  memory_set_cache_limit(limit);
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
    {"array_external", fastcall(array_external), METH_FASTCALL,
     "array_external(buffer, aval, sharding, committed): an Array whose elements are in another engine's buffer, fetched when "
     "first read."},
    {"array_migrate", fastcall(array_migrate), METH_FASTCALL,
     "array_migrate(a, buffer, sharding): the elements of `a` are in another engine's buffer from now on."},
    {"set_external_fetch", set_external_fetch, METH_O,
     "set_external_fetch(f): how external arrays are read; f(buffer) returns an ndarray."},
    {"set_tracer_type", set_tracer_type, METH_O, "set_tracer_type(cls): the base class of tracers."},
    {"memory_stats", py_memory_stats, METH_NOARGS,
     "memory_stats(): bytes_in_use, peak_bytes_in_use, num_allocs, bytes_cached, largest_alloc_size of the array allocator."},
    {"trim", fastcall(py_trim), METH_FASTCALL, "trim(keep=0): return cached free memory to the system, down to keep bytes."},
    {"set_cache_limit", py_set_cache_limit, METH_O, "set_cache_limit(n): let the allocator cache at most n freed bytes."},
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
  add(Py_bf_getbuffer, get_py_buffer);
  add(Py_bf_releasebuffer, release_py_buffer);
  add(Py_tp_doc, const_cast<char*>("A multi-dimensional array: immutable elements of one dtype, on some device."));
  n += add_operator_slots(slots + n);
  n += add_scalar_slots(slots + n);
  slots[n] = {0, nullptr};
  return slots;
}

}  // namespace

int init_array(PyObject* m) {
  DescType = add_type(m, &desc_spec, "Desc");
  StorageType = DescType ? add_type(m, &storage_spec, "Storage") : nullptr;
  if (StorageType == nullptr) return -1;
  PyType_Spec spec = {"addax.Array", sizeof(ArrayObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                      array_slots()};
  ArrayType = add_type(m, &spec, "Array");
  if (ArrayType == nullptr || PyModule_AddFunctions(m, functions) < 0) return -1;
  return init_operators(m) < 0 || init_dlpack(m) < 0 ? -1 : 0;
}

}  // namespace addax
