// InFlight: how many programs of another engine are launched and not known to have finished, of which there is a most.
#include "in_flight.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>

namespace addax {

PyTypeObject* InFlightType = nullptr;

namespace {

// Of programs that finish in order, one in so many leaves a token, which costs as much as a tenth of a small launch.
constexpr Py_ssize_t kPrograms = 8;

struct Group {
  PyObject* token;    // strong
  Py_ssize_t programs;  // that have finished when it is ready
};

struct InFlightObject {
  PyObject_HEAD
  // The GIL guards these. A program counts from before its launch until somebody has waited for it: one whose token has been
  // taken out to wait for it still counts. While `unfinished` is `most`, there is a token or a launch that will leave one.
  Py_ssize_t unfinished, most;
  Py_ssize_t uncovered;    // programs that were launched in order without a token since the last token
  Py_ssize_t since_token;  // launches in order
  std::deque<Group> tokens;
  // For threads that find no token to wait for, since others have taken them: `ends` counts programs that have finished.
  std::mutex mutex;
  std::condition_variable ended;
  uint64_t ends;
};

PyObject* block_until_ready;  // a name

inline InFlightObject* in_flight_of(PyObject* o) { return reinterpret_cast<InFlightObject*>(o); }

// Waits until another thread says that a program has finished; -1 with an exception set by a signal.
int wait_for_others(InFlightObject* f) {
  uint64_t before = f->ends;  // others change it with the GIL, which is held here
  Py_BEGIN_ALLOW_THREADS;
  {
    std::unique_lock<std::mutex> lock(f->mutex);
    f->ended.wait_for(lock, std::chrono::milliseconds(100), [&] { return f->ends != before; });
  }
  Py_END_ALLOW_THREADS;
  return PyErr_CheckSignals();
}

PyObject* in_flight_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"most", nullptr};
  Py_ssize_t most;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "n:InFlight", const_cast<char**>(names), &most)) return nullptr;
  if (most < 1) return PyErr_Format(PyExc_ValueError, "InFlight: most must be at least 1, got %zd", most);
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  InFlightObject* f = in_flight_of(self);
  f->most = most;
  new (&f->tokens) std::deque<Group>();
  new (&f->mutex) std::mutex();
  new (&f->ended) std::condition_variable();
  return self;
}

void in_flight_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  InFlightObject* f = in_flight_of(self);
  for (const Group& group : f->tokens) Py_DECREF(group.token);
  f->tokens.~deque<Group>();
  f->mutex.~mutex();
  f->ended.~condition_variable();
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"unfinished", T_PYSSIZET, offsetof(InFlightObject, unfinished), READONLY, "Programs that are not known to have finished."},
    {"most", T_PYSSIZET, offsetof(InFlightObject, most), READONLY, "As many may be unfinished at once."},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(in_flight_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(in_flight_dealloc)},
    {Py_tp_members, members},
    {Py_tp_doc, const_cast<char*>("InFlight(most): keeps the number of unfinished programs of several Launches at `most`.")},
    {0, nullptr},
};
PyType_Spec spec = {"addax._native.InFlight", sizeof(InFlightObject), 0, Py_TPFLAGS_DEFAULT, slots};

void finished(InFlightObject* f, Py_ssize_t programs) {
  f->unfinished -= programs;
  {
    std::lock_guard<std::mutex> lock(f->mutex);
    f->ends++;
  }
  f->ended.notify_all();
}

}  // namespace

int in_flight_enter(PyObject* self, Launching* program) {
  InFlightObject* f = in_flight_of(self);
  while (f->unfinished >= f->most) {
    if (f->tokens.empty()) {
      if (wait_for_others(f) < 0) return -1;
      continue;
    }
    Group group = f->tokens.front();
    f->tokens.pop_front();
    Ref done(PyObject_VectorcallMethod(block_until_ready, &group.token, 1, nullptr));
    if (!done) {
      if (!PyErr_ExceptionMatches(PyExc_RuntimeError)) {
        f->tokens.push_front(group);
        return -1;
      }
      // A program that failed has finished too, and whoever reads its results is told; but it need not have waited for others.
      PyErr_Clear();
      f->uncovered += group.programs - 1;
      group.programs = 1;
    }
    Py_DECREF(group.token);
    finished(f, group.programs);
  }
  f->unfinished++;
  program->token = !program->in_order || ++f->since_token >= kPrograms || f->unfinished == f->most;
  program->covers = 0;
  if (program->token && program->in_order) {
    program->covers = f->uncovered;
    f->uncovered = f->since_token = 0;
  }
  return 0;
}

void in_flight_launched(PyObject* self, const Launching& program, PyObject* token) {
  InFlightObject* f = in_flight_of(self);
  if (program.token) f->tokens.push_back({Py_NewRef(token), 1 + program.covers});
  else f->uncovered++;
}

void in_flight_failed(PyObject* self, const Launching& program) {
  InFlightObject* f = in_flight_of(self);
  f->uncovered += program.covers;
  finished(f, 1);
}

int init_in_flight(PyObject* m) {
  InFlightType = add_type(m, &spec, "InFlight");
  block_until_ready = PyUnicode_InternFromString("block_until_ready");
  return InFlightType && block_until_ready ? 0 : -1;
}

}  // namespace addax
