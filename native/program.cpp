// The Python type around a program: construction, calling it from Python, profiling, inspection.
#include "program.h"

#include <memory>
#include <new>

#include "kernels/kernels.h"
#include "program_steps.h"

namespace addax {

int program_run_profiled(PyObject* self, ArrayObject** in, size_t n_in, PyObject** out, const uint8_t* donate, int64_t* profile);
void program_release_workspace(Program::Body& p);

namespace {

PyTypeObject* the_type = nullptr;

Program::Body& body_of(PyObject* self) { return *reinterpret_cast<Program*>(self)->body; }

PyObject* program_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"in_avals", "out_avals", "slots", "arena_bytes", "consts", "steps", "outputs", "may_donate", "keep", nullptr};
  PyObject *in_avals, *out_avals, *slots, *consts, *steps, *outputs, *may_donate = nullptr, *keep = Py_None;
  long long arena_bytes;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOLOOO|OO:Program", const_cast<char**>(names), &in_avals, &out_avals, &slots,
                                   &arena_bytes, &consts, &steps, &outputs, &may_donate, &keep))
    return nullptr;
  Ref none(PyTuple_New(0));
  if (!none) return nullptr;
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) return nullptr;
  auto* program = reinterpret_cast<Program*>(self);
  program->body = new (std::nothrow) Program::Body;
  if (!program->body) {
    Py_DECREF(self);
    return PyErr_NoMemory();
  }
  program->body->keep = Py_NewRef(keep);
  if (program_parse(*program->body, in_avals, out_avals, slots, arena_bytes, consts, steps, outputs,
                    may_donate ? may_donate : none.get()) < 0) {
    Py_DECREF(self);
    return nullptr;
  }
  return self;
}

int program_clear(PyObject* self) {
  auto* program = reinterpret_cast<Program*>(self);
  if (!program->body) return 0;
  for (PyObject*& c : program->body->consts) Py_CLEAR(c);
  for (HostCall& call : program->body->host_calls) Py_CLEAR(call.callable);
  Py_CLEAR(program->body->keep);
  return 0;
}

int program_traverse(PyObject* self, visitproc visit, void* arg) {
  auto* program = reinterpret_cast<Program*>(self);
  Py_VISIT(Py_TYPE(self));
  if (!program->body) return 0;
  for (PyObject* c : program->body->consts) Py_VISIT(c);
  for (HostCall& call : program->body->host_calls) Py_VISIT(call.callable);
  Py_VISIT(program->body->keep);
  return 0;
}

void program_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  program_clear(self);
  auto* program = reinterpret_cast<Program*>(self);
  if (program->body) {
    program_release_workspace(*program->body);
    for (Storage* s : program->body->const_storage) storage_decref(s);
    delete program->body;
  }
  type->tp_free(self);
  Py_DECREF(type);
}

// The arguments of a call from Python: a list or tuple of arrays whose avals are the declared ones up to weak type.
bool inputs_from(PyObject* self, PyObject* list, std::vector<ArrayObject*>& in) {
  Program::Body& p = body_of(self);
  if (!PyList_Check(list) && !PyTuple_Check(list)) {
    PyErr_Format(PyExc_TypeError, "Program: expected a list of arrays, got %.100s", Py_TYPE(list)->tp_name);
    return false;
  }
  size_t n = static_cast<size_t>(PySequence_Fast_GET_SIZE(list));
  if (n != p.in_descs.size()) {
    PyErr_Format(PyExc_TypeError, "Program: expected %zu arrays, got %zu", p.in_descs.size(), n);
    return false;
  }
  for (size_t i = 0; i < n; ++i) {
    PyObject* item = PySequence_Fast_GET_ITEM(list, static_cast<Py_ssize_t>(i));
    if (!array_check(item)) {
      PyErr_Format(PyExc_TypeError, "Program: argument %zu must be an Array, got %.100s", i, Py_TYPE(item)->tp_name);
      return false;
    }
    auto* array = reinterpret_cast<ArrayObject*>(item);
    Desc *want = p.in_descs[i], *got = array->desc;
    bool same = want == got || (want->ndim == got->ndim && PyArray_CompareLists(want->dims, got->dims, want->ndim) &&
                                PyArray_EquivTypes(want->dtype, got->dtype));
    if (!same) {
      PyErr_Format(PyExc_TypeError, "Program: argument %zu must be %S, got %S", i, p.in_avals[i], array->aval);
      return false;
    }
    in.push_back(array);
  }
  return true;
}

PyObject* call_list(PyObject* self, PyObject* list, const std::vector<uint8_t>& donate, int64_t* profile) {
  std::vector<ArrayObject*> in;
  if (!inputs_from(self, list, in)) return nullptr;
  size_t n_out = body_of(self).outputs.size();
  std::vector<PyObject*> out(n_out);
  if (program_run_profiled(self, in.data(), in.size(), out.data(), donate.empty() ? nullptr : donate.data(), profile) < 0)
    return nullptr;
  PyObject* result = PyList_New(static_cast<Py_ssize_t>(n_out));
  for (size_t j = 0; j < n_out; ++j) {
    if (result) PyList_SET_ITEM(result, static_cast<Py_ssize_t>(j), out[j]);
    else Py_DECREF(out[j]);
  }
  return result;
}

PyObject* program_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"arrays", "donate", nullptr};
  PyObject *list, *donate = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:Program", const_cast<char**>(names), &list, &donate)) return nullptr;
  std::vector<uint8_t> flags;
  if (donate && donate != Py_None) {
    flags.resize(body_of(self).in_descs.size());
    Ref items(PySequence_Fast(donate, "Program: donate must be a sequence of input indices"));
    if (!items) return nullptr;
    for (Py_ssize_t k = 0; k < PySequence_Fast_GET_SIZE(items.get()); ++k) {
      size_t i = PyLong_AsSize_t(PySequence_Fast_GET_ITEM(items.get(), k));
      if (i == static_cast<size_t>(-1) && PyErr_Occurred()) return nullptr;
      if (i >= flags.size()) return PyErr_Format(PyExc_IndexError, "Program: donate: there is no input %zu", i);
      flags[i] = 1;
    }
  }
  return call_list(self, list, flags, nullptr);
}

PyObject* program_profile(PyObject* self, PyObject* list) {
  Program::Body& p = body_of(self);
  std::vector<int64_t> ns(p.paths.size());
  Ref outputs(call_list(self, list, {}, ns.data()));
  if (!outputs) return nullptr;
  Ref result(PyList_New(static_cast<Py_ssize_t>(ns.size())));
  if (!result) return nullptr;
  for (size_t i = 0; i < ns.size(); ++i) {
    PyObject* row = Py_BuildValue("(sL)", p.paths[i].c_str(), static_cast<long long>(ns[i]));
    if (!row) return nullptr;
    PyList_SET_ITEM(result.get(), static_cast<Py_ssize_t>(i), row);
  }
  return result.release();
}

PyObject* program_release(PyObject* self, PyObject*) {
  program_release_workspace(body_of(self));
  Py_RETURN_NONE;
}

PyObject* program_repr(PyObject* self) {
  Program::Body& p = body_of(self);
  return PyUnicode_FromFormat("<Program: %zu inputs, %zu outputs, %zu steps, %lld arena bytes>", p.in_descs.size(), p.outputs.size(),
                              p.paths.size(), static_cast<long long>(p.arena_bytes));
}

PyObject* get_arena_bytes(PyObject* self, void*) { return PyLong_FromLongLong(body_of(self).arena_bytes); }
PyObject* get_num_steps(PyObject* self, void*) { return PyLong_FromSize_t(body_of(self).paths.size()); }
PyObject* get_estimated_ns(PyObject* self, void*) { return PyFloat_FromDouble(body_of(self).main.estimated_ns); }
PyObject* get_releases_gil(PyObject* self, void*) { return PyBool_FromLong(body_of(self).release_gil); }

PyMethodDef methods[] = {
    {"profile", program_profile, METH_O,
     "profile(arrays)\n--\n\nRun once; returns [(step path, nanoseconds)], nested steps after the step that contains them."},
    {"release_workspace", program_release, METH_NOARGS, "release_workspace()\n--\n\nFree the arena kept for the next call."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef getset[] = {
    {"arena_bytes", get_arena_bytes, nullptr, "Bytes of working memory.", nullptr},
    {"num_steps", get_num_steps, nullptr, "Number of steps, nested ones included.", nullptr},
    {"estimated_ns", get_estimated_ns, nullptr, "Estimated single-thread work of one call.", nullptr},
    {"releases_gil", get_releases_gil, nullptr, "Whether a call runs without the GIL.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot type_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(program_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(program_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(program_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(program_clear)},
    {Py_tp_call, reinterpret_cast<void*>(program_call)},
    {Py_tp_repr, reinterpret_cast<void*>(program_repr)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc,
     const_cast<char*>("Program(in_avals, out_avals, slots, arena_bytes, consts, steps, outputs, may_donate=(), keep=None)\n--\n\n"
                       "A compiled computation: a list of native steps over planned memory. Immutable; call it with a list of arrays.")},
    {0, nullptr},
};

PyType_Spec spec = {"addax._native.Program", sizeof(Program), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, type_slots};

}  // namespace

PyTypeObject* program_type() { return the_type; }

size_t program_num_inputs(PyObject* program) { return body_of(program).in_descs.size(); }
size_t program_num_outputs(PyObject* program) { return body_of(program).outputs.size(); }

int init_program(PyObject* module) {
  the_type = add_type(module, &spec, "Program");
  return the_type ? init_kernels(module) : -1;
}

}  // namespace addax
