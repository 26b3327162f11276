// A step that calls a Python function on NumPy arrays and copies its results back.
//
// Inputs and constants of the program never change, so they are handed out without a copy, read-only and keeping their
// Array alive. Everything else lives in memory that later steps overwrite: the function gets a copy, because it might
// keep what it is given, or a view of it, and must then not see it change.
#include <cstring>
#include <string>

#include "pool.h"
#include "program_steps.h"

namespace addax {
namespace {

// Python runs under the GIL and the caller's own floating-point mode.
class InPython {
 public:
  explicit InPython(Run& run) : run_(run), was_released_(run.released != nullptr) {
    if (was_released_) {
      PyEval_RestoreThread(run.released);
      run.released = nullptr;
    }
    run.flush->suspend();
  }
  ~InPython() {
    run_.flush->resume();
    if (was_released_) run_.released = PyEval_SaveThread();
  }

 private:
  Run& run_;
  bool was_released_;
};

PyObject* argument(Run& run, uint32_t slot_id, Desc* desc) {
  const Slot& slot = run.body.slots[slot_id];
  Py_INCREF(desc->dtype);
  auto* dims = const_cast<npy_intp*>(desc->dims);
  bool shared = !run.donated && (slot.kind == SlotKind::kIn || slot.kind == SlotKind::kConst);
  if (!shared) {
    PyObject* copy = PyArray_NewFromDescr(&PyArray_Type, desc->dtype, desc->ndim, dims, nullptr, nullptr, 0, nullptr);
    if (copy && desc->nbytes) std::memcpy(PyArray_DATA(reinterpret_cast<PyArrayObject*>(copy)), run.ptr[slot_id], desc->nbytes);
    if (copy) PyArray_CLEARFLAGS(reinterpret_cast<PyArrayObject*>(copy), NPY_ARRAY_WRITEABLE);
    return copy;
  }
  PyObject* owner = slot.kind == SlotKind::kIn ? reinterpret_cast<PyObject*>(run.in[slot.index]) : run.body.consts[slot.index];
  auto* array = reinterpret_cast<ArrayObject*>(owner);
  // Kept alive through an array of our own over the same memory: the user may delete theirs.
  ArrayObject* holder;
  if (slot.kind == SlotKind::kConst) {
    storage_incref(run.body.const_storage[slot.index]);
    holder = array_from_storage(array->aval, array->desc, run.body.const_storage[slot.index]);
  } else if (array_is_deleted(array)) {
    array_raise_deleted(array);
    holder = nullptr;
  } else {
    holder = array_alias(array, array->aval, array->desc);
  }
  if (!holder) {
    Py_DECREF(desc->dtype);
    return nullptr;
  }
  PyObject* view =
      PyArray_NewFromDescr(&PyArray_Type, desc->dtype, desc->ndim, dims, nullptr, run.ptr[slot_id], NPY_ARRAY_CARRAY_RO, nullptr);
  if (!view) {
    Py_DECREF(holder);
    return nullptr;
  }
  if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(view), reinterpret_cast<PyObject*>(holder)) < 0) Py_CLEAR(view);
  return view;
}

int wrong_result(const HostCall& call, size_t j, PyArrayObject* got) {
  Ref shape(PyArray_IntTupleFromIntp(PyArray_NDIM(got), PyArray_DIMS(got)));
  PyErr_Format(PyExc_ValueError,
               "callback %R: result %zu was declared as %S but the function returned an array of shape %S and dtype %S. "
               "Return exactly the declared shape and dtype, for example np.asarray(value, dtype=...), or change the declaration.",
               call.callable, j, call.out_avals[j], shape.get(), PyArray_DESCR(got));
  return -1;
}

int store_result(Run& run, const HostCall& call, size_t j, PyObject* value) {
  Desc* desc = call.out_descs[j];
  Ref array(PyArray_FromAny(value, nullptr, 0, 0, 0, nullptr));
  if (!array) return -1;
  auto* got = reinterpret_cast<PyArrayObject*>(array.get());
  bool same = PyArray_NDIM(got) == desc->ndim && PyArray_CompareLists(PyArray_DIMS(got), desc->dims, desc->ndim) &&
              PyArray_EquivTypes(PyArray_DESCR(got), desc->dtype);
  if (!same) return wrong_result(call, j, got);
  Py_INCREF(desc->dtype);
  Ref contiguous(PyArray_FromArray(got, desc->dtype, NPY_ARRAY_CARRAY_RO));
  if (!contiguous) return -1;
  void* dst = run.ptr[call.out_slots[j]];
  if (desc->nbytes) std::memcpy(dst, PyArray_DATA(reinterpret_cast<PyArrayObject*>(contiguous.get())), desc->nbytes);
  return 0;
}

}  // namespace

int run_host_call(Run& run, const HostCall& call) {
  InPython python(run);
  size_t n_in = call.in_slots.size(), n_out = call.out_slots.size();
  Ref args(PyTuple_New(static_cast<Py_ssize_t>(n_in)));
  if (!args) return -1;
  for (size_t i = 0; i < n_in; ++i) {
    PyObject* a = argument(run, call.in_slots[i], call.in_descs[i]);
    if (!a) return -1;
    PyTuple_SET_ITEM(args.get(), static_cast<Py_ssize_t>(i), a);
  }
  Ref result(PyObject_CallObject(call.callable, args.get()));
  if (!result) return -1;
  if (!PyTuple_Check(result.get()) && !PyList_Check(result.get())) {
    if (n_out == 1) return store_result(run, call, 0, result.get());
    if (n_out == 0 && result.get() == Py_None) return 0;
    PyErr_Format(PyExc_TypeError, "callback %R: expected a tuple of %zu results, got %.100s", call.callable, n_out,
                 Py_TYPE(result.get())->tp_name);
    return -1;
  }
  Ref items(PySequence_Tuple(result.get()));  // conversions below run Python code, which could change a list
  if (!items) return -1;
  Py_ssize_t n = PyTuple_GET_SIZE(items.get());
  if (static_cast<size_t>(n) != n_out) {
    PyErr_Format(PyExc_ValueError, "callback %R: expected %zu results, got %zd", call.callable, n_out, n);
    return -1;
  }
  for (size_t j = 0; j < n_out; ++j) {
    if (store_result(run, call, j, PyTuple_GET_ITEM(items.get(), static_cast<Py_ssize_t>(j))) < 0) return -1;
  }
  return 0;
}

}  // namespace addax
