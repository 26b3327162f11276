// Launch: a compiled program of another engine, between the Arrays of the call path and the engine's own buffers. No Python
// of ours runs in a call, unless an argument is elsewhere than the program wants it.
#include "dispatch.h"
#include "in_flight.h"

namespace addax {

PyTypeObject* LaunchType = nullptr;

namespace {

struct LaunchObject {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *execute, *finish, *handlers;            // buffers = finish(execute(buffers), handlers); finish may be null
  PyObject *place, *in_shardings, *tail;            // place(array, sharding) -> buffer; tail: more buffers, after the arguments
  PyObject *out_avals, *out_shardings;              // tuples
  PyObject* in_flight;                              // an InFlight that counts its calls, or null
  PyObject* stage;                                  // or null, see Staging
  bool committed, in_order;                         // in_order: calls finish in the order in which they are launched
};

PyObject* consume_token;  // a name

inline LaunchObject* launch_of(PyObject* o) { return reinterpret_cast<LaunchObject*>(o); }

PyObject* launch_call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames);

PyObject* launch_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"execute",   "finish",        "handlers",  "place", "in_shardings",
                                "out_avals", "out_shardings", "committed", "tail",  "in_flight", "in_order", "stage", nullptr};
  PyObject *execute, *finish, *handlers, *place, *in_shardings, *out_avals, *out_shardings, *tail = nullptr, *in_flight = Py_None;
  PyObject* stage = Py_None;
  int committed, in_order = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOOOp|OOpO:Launch", const_cast<char**>(names), &execute, &finish, &handlers,
                                   &place, &in_shardings, &out_avals, &out_shardings, &committed, &tail, &in_flight, &in_order,
                                   &stage))
    return nullptr;
  if (in_flight != Py_None && Py_TYPE(in_flight) != InFlightType)
    return PyErr_Format(PyExc_TypeError, "Launch: in_flight must be an InFlight, got %.100s", Py_TYPE(in_flight)->tp_name);
  auto* l = launch_of(type->tp_alloc(type, 0));
  if (l == nullptr) return nullptr;
  Ref owned(reinterpret_cast<PyObject*>(l));
  l->vectorcall = launch_call;
  l->execute = Py_NewRef(execute);
  l->finish = finish == Py_None ? nullptr : Py_NewRef(finish);
  l->handlers = Py_NewRef(handlers);
  l->place = Py_NewRef(place);
  l->committed = committed;
  l->in_order = in_order;
  l->in_flight = in_flight == Py_None ? nullptr : Py_NewRef(in_flight);
  l->stage = stage == Py_None ? nullptr : Py_NewRef(stage);
  l->in_shardings = PySequence_Tuple(in_shardings);
  l->out_avals = PySequence_Tuple(out_avals);
  l->out_shardings = PySequence_Tuple(out_shardings);
  l->tail = tail == nullptr ? PyTuple_New(0) : PySequence_Tuple(tail);
  if (!l->in_shardings || !l->out_avals || !l->out_shardings || !l->tail) return nullptr;
  if (PyTuple_GET_SIZE(l->out_avals) != PyTuple_GET_SIZE(l->out_shardings))
    return PyErr_Format(PyExc_ValueError, "Launch: %zd out_avals but %zd out_shardings", PyTuple_GET_SIZE(l->out_avals),
                        PyTuple_GET_SIZE(l->out_shardings));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(l->out_avals); i++)
    if (desc_of(PyTuple_GET_ITEM(l->out_avals, i)) == nullptr) return nullptr;
  return owned.release();
}

// The engine's buffer of an argument, where the program wants it; a new reference.
inline PyObject* buffer_of(LaunchObject* l, PyObject* argument, PyObject* sharding) {
  if (!array_check(argument)) return Py_NewRef(argument);
  auto* a = reinterpret_cast<ArrayObject*>(argument);
  Storage* s = a->storage;
  if (ADDAX_LIKELY(a->device == sharding && s != nullptr && s->kind == Owner::kExternal)) return Py_NewRef(s->owner);
  return PyObject_CallFunctionObjArgs(l->place, argument, sharding, nullptr);
}

Ref execute(LaunchObject* l, PyObject* buffers) {
  if (l->in_flight == nullptr) return Ref(PyObject_CallOneArg(l->execute, buffers));
  Launching program{l->in_order, false, 0};
  if (in_flight_enter(l->in_flight, &program) < 0) return Ref();
  PyObject* with_token[] = {buffers, Py_True};
  Ref outs(PyObject_Vectorcall(l->execute, with_token, program.token ? 2 : 1, nullptr));
  PyObject* self = outs.get();
  Ref token;
  if (outs && program.token) token = Ref(PyObject_VectorcallMethod(consume_token, &self, 1, nullptr));
  if (!outs || (program.token && !token)) {
    in_flight_failed(l->in_flight, program);
    return Ref();
  }
  in_flight_launched(l->in_flight, program, token.get());
  return outs;
}

// Calls the engine with the buffers of `arguments`; a list of as many buffers as there are results.
PyObject* run(LaunchObject* l, PyObject* const* arguments, size_t n) {
  if (ADDAX_UNLIKELY(static_cast<Py_ssize_t>(n) != PyTuple_GET_SIZE(l->in_shardings)))
    return PyErr_Format(PyExc_TypeError, "a program of %zd arguments was called with %zu", PyTuple_GET_SIZE(l->in_shardings), n);
  Py_ssize_t own = static_cast<Py_ssize_t>(n), more = PyTuple_GET_SIZE(l->tail);
  Ref buffers(PyList_New(own + more));
  if (!buffers) return nullptr;
  for (Py_ssize_t i = 0; i < own; i++) {
    PyObject* buffer = buffer_of(l, arguments[i], PyTuple_GET_ITEM(l->in_shardings, i));
    if (buffer == nullptr) return nullptr;
    PyList_SET_ITEM(buffers.get(), i, buffer);
  }
  for (Py_ssize_t i = 0; i < more; i++) PyList_SET_ITEM(buffers.get(), own + i, Py_NewRef(PyTuple_GET_ITEM(l->tail, i)));
  Ref outs = execute(l, buffers.get());
  if (outs && l->finish != nullptr) {
    PyObject* both[] = {outs.get(), l->handlers};
    outs = Ref(PyObject_Vectorcall(l->finish, both, 2, nullptr));
  }
  if (!outs) return nullptr;
  if (ADDAX_UNLIKELY(!PyList_CheckExact(outs.get()) || PyList_GET_SIZE(outs.get()) != PyTuple_GET_SIZE(l->out_avals)))
    return PyErr_Format(PyExc_RuntimeError, "an engine returned %R instead of a list of %zd buffers", outs.get(),
                        PyTuple_GET_SIZE(l->out_avals));
  return outs.release();
}

// launch(arrays): the same from Python; a tuple of Arrays.
PyObject* launch_call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  if (PyVectorcall_NARGS(nargsf) != 1 || kwnames != nullptr) {
    PyErr_SetString(PyExc_TypeError, "a Launch is called with a sequence of Arrays");
    return nullptr;
  }
  Ref list(PySequence_Tuple(args[0]));
  if (!list) return nullptr;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(list.get()); i++) {
    PyObject* a = PyTuple_GET_ITEM(list.get(), i);
    if (!array_check(a)) return PyErr_Format(PyExc_TypeError, "Launch: argument %zd must be an Array, got %.100s", i, Py_TYPE(a)->tp_name);
  }
  Py_ssize_t n = PyTuple_GET_SIZE(launch_of(self)->out_avals);
  SmallVector<PyObject*, 32> out;
  out.resize(static_cast<size_t>(n));
  if (launch_run(self, PySequence_Fast_ITEMS(list.get()), static_cast<size_t>(PyTuple_GET_SIZE(list.get())), out.data()) < 0) return nullptr;
  PyObject* result = PyTuple_New(n);
  for (Py_ssize_t i = 0; i < n; i++) {
    if (result != nullptr) PyTuple_SET_ITEM(result, i, out[static_cast<size_t>(i)]);
    else Py_DECREF(out[static_cast<size_t>(i)]);
  }
  return result;
}

int launch_traverse(PyObject* self, visitproc visit, void* arg) {
  LaunchObject* l = launch_of(self);
  Py_VISIT(Py_TYPE(self));
  for (PyObject* o : {l->execute, l->finish, l->handlers, l->place, l->in_shardings, l->tail, l->out_avals, l->out_shardings,
                      l->in_flight, l->stage})
    Py_VISIT(o);
  return 0;
}

int launch_clear(PyObject* self) {
  LaunchObject* l = launch_of(self);
  for (PyObject** o : {&l->execute, &l->finish, &l->handlers, &l->place, &l->in_shardings, &l->tail, &l->out_avals, &l->out_shardings,
                       &l->in_flight, &l->stage})
    Py_CLEAR(*o);
  return 0;
}

void launch_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  launch_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(LaunchObject, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(launch_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(launch_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(launch_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(launch_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_members, members},
    {Py_tp_doc, const_cast<char*>(
        "Launch(execute, finish, handlers, place, in_shardings, out_avals, out_shardings, committed, tail=(), in_flight=None, "
        "in_order=False, stage=None): an executable over another engine's buffers.\n\n"
        "Called with a sequence of Arrays, it calls finish(execute(buffers), handlers), or execute(buffers) if finish is None, and "
        "makes Arrays of the list of buffers that this returns. An argument that is not placed as in_shardings says is given to "
        "place(array, sharding), which returns a buffer. tail: buffers that follow those of the arguments. in_flight: an InFlight, in "
        "which each call waits for room; it asks for something to wait for, execute(buffers, True).consume_token(), with each call, "
        "or with some if calls are in_order: they finish in the order in which they are launched. stage(aval, sharding) returns an "
        "Array of the host and a buffer over the same memory, or None: arguments of a jitted function that are no Arrays are written "
        "there, while there is room. is_ready() of a result's buffer says when it is no longer read.")},
    {0, nullptr},
};
PyType_Spec spec = {"addax._native.Launch", sizeof(LaunchObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

}  // namespace

int launch_run(PyObject* launch, PyObject* const* arguments, size_t n, PyObject** out) {
  LaunchObject* l = launch_of(launch);
  Ref outs(run(l, arguments, n));
  if (!outs) return -1;
  for (size_t i = 0, results = launch_num_outputs(launch); i < results; i++) {
    auto at = static_cast<Py_ssize_t>(i);
    PyObject* aval = PyTuple_GET_ITEM(l->out_avals, at);
    ArrayObject* a = array_external(PyList_GET_ITEM(outs.get(), at), aval, desc_of(aval), PyTuple_GET_ITEM(l->out_shardings, at),
                                    l->committed);
    if (a == nullptr) {
      while (i-- > 0) Py_DECREF(out[i]);
      return -1;
    }
    out[i] = reinterpret_cast<PyObject*>(a);
  }
  return 0;
}

std::unique_ptr<Staging> launch_staging(PyObject* launch) {
  LaunchObject* l = launch_of(launch);
  return l->stage == nullptr ? nullptr : std::make_unique<Staging>(l->stage, l->in_shardings, l->out_avals);
}

size_t launch_num_inputs(PyObject* launch) { return static_cast<size_t>(PyTuple_GET_SIZE(launch_of(launch)->in_shardings)); }
size_t launch_num_outputs(PyObject* launch) { return static_cast<size_t>(PyTuple_GET_SIZE(launch_of(launch)->out_avals)); }

int init_launch(PyObject* m) {
  LaunchType = add_type(m, &spec, "Launch");
  consume_token = PyUnicode_InternFromString("consume_token");
  return LaunchType && consume_token ? 0 : -1;
}

}  // namespace addax
