// Whose line is this? user_frame() finds the innermost Python frame outside addax, cheaply: it runs once per traced
// operation. The public API makes a frame object for every frame passed, 60-100 ns each; reading the interpreter's own
// list of frames costs a few. Its layout is private and changes, so each supported version has its declaration here, and
// at import the fast walk must agree with the public one on a real stack or it is not used.
#include "common.h"

#include <frameobject.h>

#include <string>
#include <vector>

namespace addax {
namespace {

std::vector<std::string>& prefixes() {
  static auto* p = new std::vector<std::string>;
  return *p;
}

// ---- is a code object ours? Cached by address; the cache holds a reference, so an address stays one code object.
struct Slot {
  PyCodeObject* code;
  bool internal;
};
constexpr size_t kSlots = 4096;
Slot g_slots[kSlots];

bool is_internal_slow(PyCodeObject* code) {
  Py_ssize_t size;
  const char* file = PyUnicode_AsUTF8AndSize(code->co_filename, &size);
  if (file == nullptr) {
    PyErr_Clear();
    return false;
  }
  for (const std::string& p : prefixes())
    if (static_cast<size_t>(size) >= p.size() && p.compare(0, p.size(), file, p.size()) == 0) return true;
  return false;
}

inline bool is_internal(PyCodeObject* code) {
  Slot& s = g_slots[(reinterpret_cast<uintptr_t>(code) >> 5) * 0x9E3779B97F4A7C15ull >> 52];
  if (ADDAX_LIKELY(s.code == code)) return s.internal;
  bool internal = is_internal_slow(code);
  PyCodeObject* old = s.code;
  s = {reinterpret_cast<PyCodeObject*>(Py_NewRef(reinterpret_cast<PyObject*>(code))), internal};
  Py_XDECREF(old);
  return internal;
}

void forget_decisions() {
  for (Slot& s : g_slots) {
    PyCodeObject* old = std::exchange(s.code, nullptr);
    Py_XDECREF(old);
  }
}

struct Place {
  PyCodeObject* code;  // strong
  int lasti;           // bytes
};

// ---- the public way

bool find_public(Place* out) {
  PyFrameObject* f = PyEval_GetFrame();
  Py_XINCREF(f);
  while (f != nullptr) {
    PyCodeObject* code = PyFrame_GetCode(f);
    if (!is_internal(code)) {
      *out = {code, PyFrame_GetLasti(f)};
      Py_DECREF(f);
      return true;
    }
    Py_DECREF(code);
    PyFrameObject* back = PyFrame_GetBack(f);
    Py_DECREF(f);
    f = back;
  }
  return false;
}

// ---- the fast way

#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
#define ADDAX_FAST_FRAMES 1
struct InterpreterFrame {  // 3.11: the head of _PyInterpreterFrame
  PyObject *func, *globals, *builtins, *locals;
  PyCodeObject* code;
  PyFrameObject* frame_obj;
  InterpreterFrame* previous;
  _Py_CODEUNIT* prev_instr;
  int stacktop;
  bool is_entry;
  char owner;
};
inline InterpreterFrame* top_frame(PyThreadState* ts) {
  return reinterpret_cast<InterpreterFrame*>(ts->cframe->current_frame);
}
inline PyCodeObject* frame_code(InterpreterFrame* f) { return f->code; }
inline _Py_CODEUNIT* code_start(PyCodeObject* c) { return reinterpret_cast<_Py_CODEUNIT*>(c->co_code_adaptive); }
inline bool is_complete(InterpreterFrame* f) {
  // A frame that has not reached its first traceable instruction is being set up.
  return f->owner == 1 || f->prev_instr >= code_start(f->code) + f->code->_co_firsttraceable;
}
inline int frame_lasti(InterpreterFrame* f) {
  return static_cast<int>((f->prev_instr - code_start(f->code)) * static_cast<int>(sizeof(_Py_CODEUNIT)));
}
#elif PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030F0000
#define ADDAX_FAST_FRAMES 1
struct InterpreterFrame {  // 3.12 to 3.14: the head of _PyInterpreterFrame
  uintptr_t executable;    // PyObject*; from 3.14 on with tags in the low bits
  InterpreterFrame* previous;
};
inline InterpreterFrame* top_frame(PyThreadState* ts) {
#if PY_VERSION_HEX < 0x030D0000
  return reinterpret_cast<InterpreterFrame*>(ts->cframe->current_frame);
#else
  return reinterpret_cast<InterpreterFrame*>(ts->current_frame);
#endif
}
inline PyCodeObject* frame_code(InterpreterFrame* f) {
  // Frames of C entry points have no code, or None.
  auto* executable = reinterpret_cast<PyObject*>(f->executable & ~uintptr_t{3});
  return executable != nullptr && PyCode_Check(executable) ? reinterpret_cast<PyCodeObject*>(executable) : nullptr;
}
inline bool is_complete(InterpreterFrame* f) {
  // The trampoline frame of a C call into the interpreter has a code object without a file of its own.
  return PyUnstable_InterpreterFrame_GetLine(reinterpret_cast<struct _PyInterpreterFrame*>(f)) > 0;
}
inline int frame_lasti(InterpreterFrame* f) {
  return PyUnstable_InterpreterFrame_GetLasti(reinterpret_cast<struct _PyInterpreterFrame*>(f));
}
#endif

#ifdef ADDAX_FAST_FRAMES
bool find_fast(Place* out) {
  for (InterpreterFrame* f = top_frame(PyThreadState_Get()); f != nullptr; f = f->previous) {
    PyCodeObject* code = frame_code(f);
    if (code == nullptr || is_internal(code) || !is_complete(f)) continue;
    *out = {reinterpret_cast<PyCodeObject*>(Py_NewRef(reinterpret_cast<PyObject*>(code))), frame_lasti(f)};
    return true;
  }
  return false;
}
#endif

enum class Walk { kUndecided, kFast, kPublic };
#ifdef ADDAX_FAST_FRAMES
Walk g_walk = Walk::kUndecided;
#else
Walk g_walk = Walk::kPublic;
#endif

bool find(Place* out) {
#ifdef ADDAX_FAST_FRAMES
  if (ADDAX_LIKELY(g_walk == Walk::kFast)) return find_fast(out);
  if (g_walk == Walk::kUndecided) {  // the first call decides, on the stack of a real program
    Place fast;
    bool found = find_public(out), found_fast = find_fast(&fast);
    bool same = found == found_fast && (!found || (out->code == fast.code && out->lasti == fast.lasti));
    g_walk = same ? Walk::kFast : Walk::kPublic;
    if (found_fast) Py_DECREF(fast.code);
    return found;
  }
#endif
  return find_public(out);
}

PyObject* user_frame(PyObject*, PyObject*) {
  Place place;
  if (!find(&place)) Py_RETURN_NONE;
  Ref code(reinterpret_cast<PyObject*>(place.code));
  Ref lasti(PyLong_FromLong(place.lasti));
  return lasti ? PyTuple_Pack(2, code.get(), lasti.get()) : nullptr;
}

PyObject* register_internal_path(PyObject*, PyObject* path) {
  const char* p = PyUnicode_AsUTF8(path);
  if (p == nullptr) return nullptr;
  prefixes().emplace_back(p);
  forget_decisions();
  Py_RETURN_NONE;
}

// ---- tracebacks

PyObject* g_hides_own_frames = nullptr;  // a function: whether this thread wants it

// The chain without the entries of our own code; null if nothing is left. Steals nothing, gives a new reference.
PyObject* users_part(PyObject* traceback) {
  std::vector<PyTracebackObject*> kept;
  bool all = true;
  for (auto* t = reinterpret_cast<PyTracebackObject*>(traceback); t != nullptr; t = t->tb_next) {
    Ref code(reinterpret_cast<PyObject*>(PyFrame_GetCode(t->tb_frame)));
    if (is_internal(reinterpret_cast<PyCodeObject*>(code.get()))) all = false;
    else kept.push_back(t);
  }
  if (all) return Py_NewRef(traceback);
  Ref next;
  for (size_t i = kept.size(); i-- > 0;) {
    Ref line(PyObject_GetAttrString(reinterpret_cast<PyObject*>(kept[i]), "tb_lineno"));
    if (!line) return nullptr;
    PyObject* entry = PyObject_CallFunction(reinterpret_cast<PyObject*>(&PyTraceBack_Type), "OOiO",
                                            next ? next.get() : Py_None, reinterpret_cast<PyObject*>(kept[i]->tb_frame),
                                            kept[i]->tb_lasti, line.get());
    if (entry == nullptr) return nullptr;
    next = Ref(entry);
  }
  return next.release();
}

PyObject* hide_own_frames(PyObject*, PyObject* wanted) {
  Py_XDECREF(std::exchange(g_hides_own_frames, Py_NewRef(wanted)));
  Py_RETURN_NONE;
}


PyObject* frame_walk(PyObject*, PyObject*) {
  return PyUnicode_FromString(g_walk == Walk::kFast ? "fast" : g_walk == Walk::kPublic ? "public" : "undecided");
}

PyMethodDef functions[] = {
    {"user_frame", user_frame, METH_NOARGS,
     "user_frame(): (code, lasti) of the innermost frame outside the registered paths, or None; lasti counts bytes."},
    {"register_internal_path", register_internal_path, METH_O,
     "register_internal_path(prefix): user_frame() passes over code whose file name starts with prefix."},
    {"hide_own_frames", hide_own_frames, METH_O,
     "hide_own_frames(wanted): errors that leave a jitted function or an operation show the user's frames only where wanted()."},
    {"frame_walk", frame_walk, METH_NOARGS, "frame_walk(): how user_frame() reads the stack, 'fast' or 'public'."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void keep_users_frames() {
#if PY_VERSION_HEX >= 0x030C0000
  PyObject* error = PyErr_GetRaisedException();
#else
  PyObject *type, *error, *traceback_;
  PyErr_Fetch(&type, &error, &traceback_);
  PyErr_NormalizeException(&type, &error, &traceback_);
  if (traceback_ != nullptr) PyException_SetTraceback(error, traceback_);
  Py_XDECREF(traceback_);
#endif
  Ref wanted(g_hides_own_frames ? PyObject_CallNoArgs(g_hides_own_frames) : Py_NewRef(Py_True));
  if (!wanted) {  // interrupted, which takes the error's place
    Py_DECREF(error);
    return;
  }
  Ref traceback(PyException_GetTraceback(error));
  if (traceback && wanted.get() != Py_False) {
    Ref kept(users_part(traceback.get()));
    PyErr_Clear();  // null if nothing is the user's: the caller's line comes next
    PyException_SetTraceback(error, kept ? kept.get() : Py_None);
  }
#if PY_VERSION_HEX >= 0x030C0000
  PyErr_SetRaisedException(error);
#else
  PyErr_Restore(type, error, PyException_GetTraceback(error));
#endif
}

int init_frames(PyObject* m) { return PyModule_AddFunctions(m, functions); }

}  // namespace addax
