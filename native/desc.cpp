// Desc: what C needs to know of an aval, computed once per aval.
#include "desc.h"

namespace addax {
namespace {

PyTypeObject* DescType = nullptr;

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
  bool extended = !PyArray_DescrCheck(dtype.get());
  if (extended) {
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
  d->extended = extended;
  d->itemsize = PyDataType_ELSIZE(d->dtype);
  d->ndim = static_cast<int>(PyTuple_GET_SIZE(shape.get()));
  d->format = extended ? nullptr : buffer_format(d->type_num);
  d->shape = shape.release();
  d->size = 1;
  auto* dims = static_cast<npy_intp*>(PyMem_Malloc(sizeof(npy_intp) * 2 * static_cast<size_t>(d->ndim) + 1));
  d->dims = dims;
  Ref owned(reinterpret_cast<PyObject*>(d));
  if (dims == nullptr) return reinterpret_cast<Desc*>(PyErr_NoMemory());
  bool overflow = false;
  for (int i = 0; i < d->ndim; i++) {
    dims[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(d->shape, i));
    if (dims[i] == -1 && PyErr_Occurred()) return nullptr;
    overflow |= __builtin_mul_overflow(d->size, static_cast<int64_t>(dims[i]), &d->size);
  }
  overflow |= __builtin_mul_overflow(d->size, d->itemsize, &d->nbytes);
  if (overflow) {
    PyErr_Format(PyExc_OverflowError, "an array of shape %R has more elements than memory can address", d->shape);
    return nullptr;
  }
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

PyType_Slot desc_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(desc_dealloc)},
    {Py_tp_repr, reinterpret_cast<void*>(desc_repr)},
    {Py_tp_doc, const_cast<char*>("The C description of an aval, kept in its _desc slot.")},
    {0, nullptr},
};
PyType_Spec desc_spec = {"addax._native.Desc", sizeof(Desc), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                         desc_slots};

}  // namespace

Desc* desc_of(PyObject* aval) {
  if (ADDAX_LIKELY(Py_TYPE(aval) == g_aval_type)) {
    PyObject* d = *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(aval) + g_desc_offset);
    if (ADDAX_LIKELY(d != nullptr && Py_IS_TYPE(d, DescType))) return reinterpret_cast<Desc*>(d);
  }
  return desc_of_slow(aval);
}

int init_desc(PyObject* m) {
  DescType = add_type(m, &desc_spec, "Desc");
  return DescType == nullptr ? -1 : 0;
}

}  // namespace addax
