// What every file of the native runtime shares: Python and NumPy headers, a reference holder, module set-up.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#ifndef ADDAX_IMPORT_ARRAY  // only module.cpp owns NumPy's function table
#define NO_IMPORT_ARRAY
#endif
#define PY_ARRAY_UNIQUE_SYMBOL addax_numpy_api
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#define ADDAX_LIKELY(x) __builtin_expect(!!(x), 1)
#define ADDAX_UNLIKELY(x) __builtin_expect(!!(x), 0)
// Thread-local variables on the call path use a fixed offset from the thread pointer: one load, no function call.
#define ADDAX_TLS __attribute__((tls_model("initial-exec"))) thread_local

namespace addax {

// Each file adds its types and functions to the module; -1 with a Python error set on failure.
int init_buffer(PyObject* module);
int init_array(PyObject* module);
int init_pytree(PyObject* module);
int init_dispatch(PyObject* module);
int init_context(PyObject* module);
int init_frames(PyObject* module);
// Takes addax's own frames out of the traceback of the error that is set.
void keep_users_frames();
int init_pool(PyObject* module);
int init_program(PyObject* module);

// An owned reference, released when it goes out of scope.
class Ref {
 public:
  Ref() = default;
  explicit Ref(PyObject* owned) : p_(owned) {}
  static Ref borrow(PyObject* p) {
    Py_XINCREF(p);
    return Ref(p);
  }
  Ref(Ref&& o) noexcept : p_(o.release()) {}
  Ref(const Ref& o) : p_(o.p_) { Py_XINCREF(p_); }
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ref() { Py_XDECREF(p_); }
  PyObject* get() const { return p_; }
  PyObject* release() { return std::exchange(p_, nullptr); }
  explicit operator bool() const { return p_ != nullptr; }

 private:
  PyObject* p_ = nullptr;
};

// Adds a type to the module under its own name.
inline PyTypeObject* add_type(PyObject* module, PyType_Spec* spec, const char* name) {
  PyObject* type = PyType_FromSpec(spec);
  if (type == nullptr || PyModule_AddObjectRef(module, name, type) < 0) return nullptr;
  return reinterpret_cast<PyTypeObject*>(type);  // the module's reference keeps it; types live as long as the process
}

inline PyCFunction fastcall(PyObject* (*f)(PyObject*, PyObject* const*, Py_ssize_t)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

inline PyCFunction fastcall_kw(PyObject* (*f)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

}  // namespace addax
