// The current trace and the current configuration.
#include "context.h"

namespace addax {

ADDAX_TLS ThreadContext t_context = {nullptr, nullptr};
PyObject* g_base_trace = nullptr;
PyObject* g_base_context = nullptr;

namespace {

PyObject* or_none(PyObject* o) { return Py_NewRef(o ? o : Py_None); }

PyObject* py_current_trace(PyObject*, PyObject*) { return or_none(current_trace()); }
PyObject* py_current_context(PyObject*, PyObject*) { return or_none(current_context()); }

PyObject* swap_trace(PyObject*, PyObject* trace) {
  PyObject* previous = or_none(current_trace());
  PyObject* next = trace == g_base_trace || trace == Py_None ? nullptr : Py_NewRef(trace);
  Py_XDECREF(std::exchange(t_context.trace, next));
  return previous;
}

PyObject* swap_context(PyObject*, PyObject* context) {
  PyObject* next = context == Py_None ? nullptr : Py_NewRef(context);
  PyObject* previous = std::exchange(t_context.context, next);
  return previous ? previous : Py_NewRef(Py_None);
}

PyObject* set_base_trace(PyObject*, PyObject* trace) {
  Py_XDECREF(std::exchange(g_base_trace, Py_NewRef(trace)));
  Py_RETURN_NONE;
}

PyObject* set_base_context(PyObject*, PyObject* context) {
  Py_XDECREF(std::exchange(g_base_context, Py_NewRef(context)));
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"current_trace", py_current_trace, METH_NOARGS, "current_trace(): what interprets operations in this thread now."},
    {"swap_trace", swap_trace, METH_O, "swap_trace(trace): make trace the current one; returns the one before."},
    {"set_base_trace", set_base_trace, METH_O, "set_base_trace(trace): the trace of threads that have swapped none in."},
    {"current_context", py_current_context, METH_NOARGS, "current_context(): the configuration of this thread, an interned object."},
    {"swap_context", swap_context, METH_O,
     "swap_context(context): give this thread its own configuration, or with None the process-wide one; returns the thread's "
     "own one before, or None."},
    {"set_base_context", set_base_context, METH_O, "set_base_context(context): the process-wide configuration."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int init_context(PyObject* m) { return PyModule_AddFunctions(m, functions); }

}  // namespace addax
