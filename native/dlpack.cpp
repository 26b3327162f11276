// DLPack: sharing memory with other array libraries. Export wraps the storage (not the array, which may be deleted
// while the other library still reads); import keeps the producer's capsule alive for as long as our storage lives.
#include <vector>

#include "array_slots.h"

namespace addax {
namespace {

// The ABI, from the DLPack specification 1.0.
struct DLDevice { int32_t type, id; };
struct DLDataType { uint8_t code, bits; uint16_t lanes; };
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* manager;
  void (*deleter)(DLManagedTensor*);
};
struct DLVersion { uint32_t major, minor; };
struct DLManagedTensorVersioned {
  DLVersion version;
  void* manager;
  void (*deleter)(DLManagedTensorVersioned*);
  uint64_t flags;
  DLTensor tensor;
};
constexpr uint64_t kReadOnly = 1, kIsCopied = 2;
constexpr int32_t kCpu = 1;
enum Code : uint8_t { kInt = 0, kUInt = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6 };

PyArray_Descr* g_bfloat16 = nullptr;

// ml_dtypes is imported when a dtype that NumPy lacks is first met.
PyArray_Descr* bfloat16() {
  if (g_bfloat16 != nullptr) return g_bfloat16;
  Ref module(PyImport_ImportModule("ml_dtypes"));
  Ref type(module ? PyObject_GetAttrString(module.get(), "bfloat16") : nullptr);
  if (!type || !PyArray_DescrConverter(type.get(), &g_bfloat16)) return nullptr;
  return g_bfloat16;
}

int to_dl(const Desc* d, DLDataType* out) {
  auto bits = static_cast<uint8_t>(d->itemsize * 8);
  int t = d->type_num;
  if (t == NPY_BOOL) *out = {kBool, 8, 1};
  else if (PyTypeNum_ISUNSIGNED(t)) *out = {kUInt, bits, 1};
  else if (PyTypeNum_ISINTEGER(t)) *out = {kInt, bits, 1};
  else if (t == NPY_HALF || t == NPY_FLOAT || t == NPY_DOUBLE) *out = {kFloat, bits, 1};
  else if (t == NPY_CFLOAT || t == NPY_CDOUBLE) *out = {kComplex, bits, 1};
  else {
    PyArray_Descr* bf = bfloat16();
    if (bf == nullptr) return -1;
    if (t != bf->type_num) {
      PyErr_Format(PyExc_BufferError, "dtype %S has no DLPack equivalent; view the array as uint8 first", d->dtype);
      return -1;
    }
    *out = {kBfloat, 16, 1};
  }
  return 0;
}

PyArray_Descr* from_dl(DLDataType t) {
  int num = -1;
  if (t.lanes == 1) {
    switch (t.code) {
      case kBool: num = t.bits == 8 ? NPY_BOOL : -1; break;
      case kInt: num = t.bits == 8 ? NPY_INT8 : t.bits == 16 ? NPY_INT16 : t.bits == 32 ? NPY_INT32 : t.bits == 64 ? NPY_INT64 : -1; break;
      case kUInt: num = t.bits == 8 ? NPY_UINT8 : t.bits == 16 ? NPY_UINT16 : t.bits == 32 ? NPY_UINT32 : t.bits == 64 ? NPY_UINT64 : -1; break;
      case kFloat: num = t.bits == 16 ? NPY_HALF : t.bits == 32 ? NPY_FLOAT : t.bits == 64 ? NPY_DOUBLE : -1; break;
      case kComplex: num = t.bits == 64 ? NPY_CFLOAT : t.bits == 128 ? NPY_CDOUBLE : -1; break;
      case kBfloat:
        if (t.bits == 16) {
          PyArray_Descr* bf = bfloat16();
          Py_XINCREF(bf);
          return bf;
        }
        break;
      default: break;
    }
  }
  if (num < 0) {
    PyErr_Format(PyExc_TypeError, "from_dlpack: no dtype for DLPack type code %d, %d bits, %d lanes", t.code, t.bits, t.lanes);
    return nullptr;
  }
  return PyArray_DescrFromType(num);
}

// ---- export

// What a capsule's manager points to: the tensor's dims and strides, and a storage reference.
struct Export {
  Storage* storage;
  std::vector<int64_t> dims, strides;
};

void fill(DLTensor& t, Export* e, ArrayObject* a, DLDataType dtype) {
  const Desc* d = a->desc;
  e->storage = a->storage;
  storage_incref(a->storage);
  for (int i = 0; i < d->ndim; i++) {
    e->dims.push_back(d->dims[i]);
    e->strides.push_back(d->itemsize ? d->strides[i] / d->itemsize : 0);
  }
  t = {a->storage->data, {kCpu, 0}, d->ndim, dtype, e->dims.data(), e->strides.data(), 0};
}

template <typename M>
void delete_managed(M* m) {
  auto* e = static_cast<Export*>(m->manager);
  storage_decref(e->storage);
  delete e;
  delete m;
}

template <typename M>
void delete_capsule(PyObject* capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule, name)) return;  // consumed: renamed by whoever took it over
  auto* m = static_cast<M*>(PyCapsule_GetPointer(capsule, name));
  if (m->deleter) m->deleter(m);
}

constexpr const char* kPlain = "dltensor";
constexpr const char* kVersioned = "dltensor_versioned";

void delete_plain(PyObject* c) { delete_capsule<DLManagedTensor>(c, kPlain); }
void delete_versioned(PyObject* c) { delete_capsule<DLManagedTensorVersioned>(c, kVersioned); }

// ---- import

// Owns what a producer handed over; the foreign storage's owner.
template <typename M>
void release_taken(PyObject* capsule) {
  auto* m = static_cast<M*>(PyCapsule_GetPointer(capsule, "addax.dlpack"));
  if (m != nullptr && m->deleter) m->deleter(m);
}

template <typename M>
PyObject* take(PyObject* capsule, const char* name, const char* used_name, M** out) {
  auto* m = static_cast<M*>(PyCapsule_GetPointer(capsule, name));
  if (m == nullptr) return nullptr;
  PyObject* owner = PyCapsule_New(m, "addax.dlpack", release_taken<M>);
  if (owner != nullptr && PyCapsule_SetName(capsule, used_name) < 0) Py_CLEAR(owner);
  *out = m;
  return owner;
}

PyObject* request_capsule(PyObject* x) {
  if (PyCapsule_CheckExact(x)) return Py_NewRef(x);
  Ref method(PyObject_GetAttrString(x, "__dlpack__"));
  if (!method) {
    PyErr_Format(PyExc_TypeError, "from_dlpack: expected an array with a __dlpack__ method or a DLPack capsule, got %R", Py_TYPE(x));
    return nullptr;
  }
  Ref empty(PyTuple_New(0));
  Ref kwargs(Py_BuildValue("{s:(ii)}", "max_version", 1, 0));
  PyObject* capsule = PyObject_Call(method.get(), empty.get(), kwargs.get());
  if (capsule == nullptr && PyErr_ExceptionMatches(PyExc_TypeError)) {  // a producer from before DLPack 1.0
    PyErr_Clear();
    capsule = PyObject_CallNoArgs(method.get());
  }
  return capsule;
}

PyObject* from_dlpack(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 2 && n != 3)
    return PyErr_Format(PyExc_TypeError, "from_dlpack(x, aval_factory, copy=None) takes 2 or 3 arguments, got %zd", n);
  int copy = n == 3 && args[2] != Py_None ? PyObject_IsTrue(args[2]) : -1;
  if (PyErr_Occurred()) return nullptr;
  Ref capsule(request_capsule(args[0]));
  if (!capsule) return nullptr;
  DLTensor tensor;
  Ref owner;
  if (PyCapsule_IsValid(capsule.get(), kVersioned)) {
    DLManagedTensorVersioned* m = nullptr;
    owner = Ref(take(capsule.get(), kVersioned, "used_dltensor_versioned", &m));
    if (owner) tensor = m->tensor;
  } else {
    DLManagedTensor* m = nullptr;
    owner = Ref(take(capsule.get(), kPlain, "used_dltensor", &m));
    if (owner) tensor = m->tensor;
  }
  if (!owner) return nullptr;
  if (tensor.device.type != kCpu && tensor.device.type != 3)  // 3: page-locked host memory of CUDA
    return PyErr_Format(PyExc_BufferError, "from_dlpack: the array is on DLPack device (%d, %d), not in host memory",
                        tensor.device.type, tensor.device.id);
  Ref dtype(reinterpret_cast<PyObject*>(from_dl(tensor.dtype)));
  Ref shape(dtype ? PyTuple_New(tensor.ndim) : nullptr);
  if (!shape) return nullptr;
  auto* descr = reinterpret_cast<PyArray_Descr*>(dtype.get());
  npy_intp itemsize = PyDataType_ELSIZE(descr), expected = 1;
  bool contiguous = true;
  std::vector<npy_intp> dims(static_cast<size_t>(tensor.ndim)), strides(static_cast<size_t>(tensor.ndim));
  for (int i = tensor.ndim - 1; i >= 0; i--) {
    auto k = static_cast<size_t>(i);
    dims[k] = tensor.shape[i];
    strides[k] = (tensor.strides ? tensor.strides[i] : expected) * itemsize;
    if (dims[k] != 1 && strides[k] != expected * itemsize) contiguous = false;
    expected *= dims[k];
    PyObject* d = PyLong_FromSsize_t(dims[k]);
    if (d == nullptr) return nullptr;
    PyTuple_SET_ITEM(shape.get(), i, d);
  }
  auto* data = static_cast<char*>(tensor.data) + tensor.byte_offset;
  Ref aval(PyObject_CallFunctionObjArgs(args[1], shape.get(), dtype.get(), nullptr));
  if (!aval) return nullptr;
  Desc* desc = desc_of(aval.get());
  if (desc == nullptr) return nullptr;
  bool aligned = reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(itemsize ? itemsize : 1) == 0;
  bool shareable = expected > 0 && contiguous && aligned && PyArray_EquivTypes(descr, desc->dtype);
  if (shareable && copy != 1) {
    Storage* s = storage_foreign(data, static_cast<size_t>(desc->nbytes), owner.get());
    return s == nullptr ? PyErr_NoMemory() : reinterpret_cast<PyObject*>(array_from_storage(aval.get(), desc, s));
  }
  if (copy == 0 && expected > 0) {
    PyErr_SetString(PyExc_ValueError, "from_dlpack: copy=False, but the array is strided, misaligned or of a dtype that must be converted");
    return nullptr;
  }
  Py_INCREF(descr);
  Ref view(PyArray_NewFromDescr(&PyArray_Type, descr, tensor.ndim, dims.data(), strides.data(), data, 0, nullptr));
  return view ? reinterpret_cast<PyObject*>(array_from_any(view.get(), aval.get(), desc)) : nullptr;
}

PyMethodDef functions[] = {
    {"from_dlpack", fastcall(from_dlpack), METH_FASTCALL,
     "from_dlpack(x, aval_factory, copy=None): an Array over the memory of another library's array; aval_factory(shape, dtype) "
     "returns the aval. Copies if copy is True or the memory is not row-major."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

PyObject* array_dlpack_device(PyObject*, PyObject*) { return Py_BuildValue("(ii)", kCpu, 0); }

PyObject* array_dlpack(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"stream", "max_version", "dl_device", "copy", nullptr};
  PyObject *stream = Py_None, *max_version = Py_None, *device = Py_None, *copy = Py_None;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OOOO:__dlpack__", const_cast<char**>(names), &stream, &max_version, &device, &copy))
    return nullptr;
  if (stream != Py_None && !(PyLong_Check(stream) && PyLong_AsLong(stream) == -1)) {
    if (PyErr_Occurred()) return nullptr;
    return PyErr_Format(PyExc_ValueError, "__dlpack__: the array is in host memory, which has no streams; got stream=%R", stream);
  }
  if (device != Py_None) {
    int type, id;
    if (!PyArg_ParseTuple(device, "ii:dl_device", &type, &id)) return nullptr;
    if (type != kCpu)
      return PyErr_Format(PyExc_BufferError, "__dlpack__: the array is on the CPU, device (1, 0); cannot export it to device (%d, %d)", type, id);
  }
  long major = 0;
  if (max_version != Py_None) {
    Ref first(PySequence_GetItem(max_version, 0));
    if (!first || ((major = PyLong_AsLong(first.get())) == -1 && PyErr_Occurred())) return nullptr;
  }
  ArrayObject* a = array_of(self);
  DLDataType dtype;
  if (array_check_numbers(a, "__dlpack__") < 0 || to_dl(a->desc, &dtype) < 0) return nullptr;
  int must_copy = copy == Py_None ? 0 : PyObject_IsTrue(copy);
  if (must_copy < 0) return nullptr;
  Ref copied;
  if (must_copy) {
    Ref view(array_view(a));
    copied = Ref(view ? reinterpret_cast<PyObject*>(array_from_any(view.get(), a->aval, a->desc)) : nullptr);
    if (!copied) return nullptr;
    a = array_of(copied.get());
  }
  if (array_host_data(a) == nullptr) return nullptr;
  auto* e = new Export;
  PyObject* capsule;
  if (major >= 1) {
    auto* m = new DLManagedTensorVersioned{{1, 0}, e, delete_managed<DLManagedTensorVersioned>, must_copy ? kIsCopied : kReadOnly, {}};
    fill(m->tensor, e, a, dtype);
    if ((capsule = PyCapsule_New(m, kVersioned, delete_versioned)) == nullptr) m->deleter(m);
  } else {
    auto* m = new DLManagedTensor{{}, e, delete_managed<DLManagedTensor>};
    fill(m->tensor, e, a, dtype);
    if ((capsule = PyCapsule_New(m, kPlain, delete_plain)) == nullptr) m->deleter(m);
  }
  return capsule;
}

int init_dlpack(PyObject* m) { return PyModule_AddFunctions(m, functions); }

}  // namespace addax
