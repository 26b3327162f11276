// Fn: a jitted function. A call is: take the arguments apart into signature words, find the words in the table, run the
// entry. Python runs only when the words are new (compile) or when the call is being traced (trace_call).
#include <algorithm>
#include <cstring>

#include "context.h"
#include "dispatch.h"
#include "in_flight.h"

namespace addax {
namespace {

// A table entry; owns the objects behind the words so that their addresses stay theirs.
struct Record {
  uint64_t hash;
  std::vector<uintptr_t> words;
  std::vector<PyObject*> objects;
  PyObject* entry;

  ~Record() {
    Py_XDECREF(entry);
    for (PyObject* o : objects) Py_DECREF(o);
  }
  bool matches(const Call& c) const {
    return words.size() == c.words.size() && std::memcmp(words.data(), c.words.data(), words.size() * sizeof(uintptr_t)) == 0;
  }
};

struct FnObject {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *compile, *trace_call, *name, *dict, *weakrefs;
  StaticArgs static_args;
  StaticTable statics;
  std::vector<Record*> table;  // open addressing, power of two; null: free
  size_t used;
  Record* last;  // the one that ran most recently
};

PyTypeObject* FnType = nullptr;

inline FnObject* fn_of(PyObject* o) { return reinterpret_cast<FnObject*>(o); }

uint64_t hash_words(const Call& c) {
  uint64_t h = c.words.size();
  for (size_t i = 0; i < c.words.size(); i++) {
    h = (h ^ c.words[i]) * 0x9E3779B97F4A7C15ull;
    h ^= h >> 32;
  }
  return h;
}

Record* lookup(FnObject* fn, const Call& c, uint64_t hash) {
  if (fn->table.empty()) return nullptr;
  size_t mask = fn->table.size() - 1;
  for (size_t i = hash & mask; fn->table[i] != nullptr; i = (i + 1) & mask)
    if (fn->table[i]->hash == hash && fn->table[i]->matches(c)) return fn->table[i];
  return nullptr;
}

void place(std::vector<Record*>& table, Record* r) {
  size_t mask = table.size() - 1, i = r->hash & mask;
  while (table[i] != nullptr) i = (i + 1) & mask;
  table[i] = r;
}

Record* insert(FnObject* fn, const Call& c, uint64_t hash, PyObject* entry) {
  if ((fn->used + 1) * 2 > fn->table.size()) {
    std::vector<Record*> bigger(fn->table.empty() ? 8 : fn->table.size() * 2);
    for (Record* r : fn->table)
      if (r != nullptr) place(bigger, r);
    fn->table.swap(bigger);
  }
  auto* r = new Record{hash, {}, {}, Py_NewRef(entry)};
  r->words.assign(c.words.data(), c.words.data() + c.words.size());
  for (size_t i = 0; i < c.objects.size(); i++) r->objects.push_back(Py_NewRef(c.objects[i]));
  place(fn->table, r);
  fn->used++;
  return r;
}

void clear_table(FnObject* fn) {
  std::vector<Record*> old;
  old.swap(fn->table);
  fn->used = 0;
  fn->last = nullptr;
  PyObject *ids = std::exchange(fn->statics.ids, nullptr), *unhashable = std::exchange(fn->statics.unhashable, nullptr);
  if (unhashable != nullptr) fn->statics.unhashable_base += static_cast<uint64_t>(PyList_GET_SIZE(unhashable)) + 1;
  for (Record* r : old) delete r;  // may run Python code: the table is already empty
  Py_XDECREF(ids);
  Py_XDECREF(unhashable);
}

// The new signature's entry: compile(args, kwargs), put into the table.
Record* compile_entry(FnObject* fn, const Call& c, uint64_t hash, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  Ref positional(PyTuple_New(nargs)), keywords(PyDict_New());
  if (!positional || !keywords) return nullptr;
  for (Py_ssize_t i = 0; i < nargs; i++) PyTuple_SET_ITEM(positional.get(), i, Py_NewRef(args[i]));
  for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); k++)
    if (PyDict_SetItem(keywords.get(), PyTuple_GET_ITEM(kwnames, k), args[nargs + k]) < 0) return nullptr;
  Ref entry(PyObject_CallFunctionObjArgs(fn->compile, positional.get(), keywords.get(), nullptr));
  if (!entry) return nullptr;
  if (Py_TYPE(entry.get()) != EntryType) {
    PyErr_Format(PyExc_TypeError, "compile must return an Entry, got %R", Py_TYPE(entry.get()));
    return nullptr;
  }
  // Compiling may have called us again, even with the same signature.
  Record* r = lookup(fn, c, hash);
  return r != nullptr ? r : insert(fn, c, hash, entry.get());
}

PyObject* call_or_trace(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  FnObject* fn = fn_of(self);
  if (ADDAX_UNLIKELY(!under_base_trace())) return PyObject_Vectorcall(fn->trace_call, args, nargsf, kwnames);
  Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  Call call;
  call.statics = &fn->statics;
  Signature s = make_signature(call, args, nargs, kwnames, fn->static_args);
  if (ADDAX_UNLIKELY(s != Signature::kOk)) {
    return s == Signature::kTrace ? PyObject_Vectorcall(fn->trace_call, args, nargsf, kwnames) : nullptr;
  }
  Record* r = fn->last;
  if (ADDAX_UNLIKELY(r == nullptr || !r->matches(call))) {
    uint64_t hash = hash_words(call);
    r = lookup(fn, call, hash);
    if (r == nullptr && (r = compile_entry(fn, call, hash, args, nargs, kwnames)) == nullptr) return nullptr;
    fn->last = r;
  }
  Ref entry = Ref::borrow(r->entry);  // the table may be cleared while it runs
  auto* e = reinterpret_cast<EntryObject*>(entry.get());
  if (ADDAX_UNLIKELY(e->executable == Py_None)) return PyObject_Vectorcall(fn->trace_call, args, nargsf, kwnames);
  return entry_run(e, call);
}

PyObject* fn_call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  PyObject* result = call_or_trace(self, args, nargsf, kwnames);
  if (ADDAX_UNLIKELY(result == nullptr)) keep_users_frames();
  return result;
}

// ---- the type

PyObject* fn_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static const char* names[] = {"compile", "trace_call", "static_argnums", "static_argnames", "name", nullptr};
  PyObject *compile, *trace_call, *nums = nullptr, *static_names = nullptr, *name = nullptr;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|OOO:Fn", const_cast<char**>(names), &compile, &trace_call, &nums,
                                   &static_names, &name))
    return nullptr;
  auto* fn = reinterpret_cast<FnObject*>(type->tp_alloc(type, 0));
  if (fn == nullptr) return nullptr;
  new (&fn->static_args.positions) SmallVector<int, 8>();
  new (&fn->table) std::vector<Record*>();
  Ref owned(reinterpret_cast<PyObject*>(fn));
  fn->vectorcall = fn_call;
  fn->compile = Py_NewRef(compile);
  fn->trace_call = Py_NewRef(trace_call);
  fn->name = name ? PyObject_Str(name) : PyUnicode_FromString("<unnamed>");
  fn->dict = PyDict_New();
  if (fn->name == nullptr || fn->dict == nullptr) return nullptr;
  Ref positions(nums ? PySequence_Tuple(nums) : PyTuple_New(0));
  Ref tuple(static_names ? PySequence_Tuple(static_names) : PyTuple_New(0));
  if (!positions || !tuple) return nullptr;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(positions.get()); i++) {
    long p = PyLong_AsLong(PyTuple_GET_ITEM(positions.get(), i));
    if (p == -1 && PyErr_Occurred()) return nullptr;
    fn->static_args.positions.push_back(static_cast<int>(p));
  }
  Ref interned(PyTuple_New(PyTuple_GET_SIZE(tuple.get())));
  for (Py_ssize_t i = 0; interned && i < PyTuple_GET_SIZE(tuple.get()); i++) {
    PyObject* s = Py_NewRef(PyTuple_GET_ITEM(tuple.get(), i));
    if (!PyUnicode_CheckExact(s)) {
      PyErr_Format(PyExc_TypeError, "static_argnames must be strings, got %R", s);
      Py_DECREF(s);
      return nullptr;
    }
    PyUnicode_InternInPlace(&s);
    PyTuple_SET_ITEM(interned.get(), i, s);
  }
  fn->static_args.names = interned.release();
  return fn->static_args.names ? owned.release() : nullptr;
}

int fn_traverse(PyObject* self, visitproc visit, void* arg) {
  FnObject* fn = fn_of(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(fn->compile);
  Py_VISIT(fn->trace_call);
  Py_VISIT(fn->dict);
  Py_VISIT(fn->statics.ids);
  Py_VISIT(fn->statics.unhashable);
  for (Record* r : fn->table) {
    if (r == nullptr) continue;
    Py_VISIT(r->entry);
    for (PyObject* o : r->objects) Py_VISIT(o);
  }
  return 0;
}

int fn_clear(PyObject* self) {
  FnObject* fn = fn_of(self);
  clear_table(fn);
  Py_CLEAR(fn->compile);
  Py_CLEAR(fn->trace_call);
  Py_CLEAR(fn->dict);
  return 0;
}

void fn_dealloc(PyObject* self) {
  FnObject* fn = fn_of(self);
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (fn->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  fn_clear(self);
  Py_CLEAR(fn->name);
  Py_CLEAR(fn->static_args.names);
  std::destroy_at(&fn->static_args.positions);
  std::destroy_at(&fn->table);
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* fn_get(PyObject* self, PyObject* instance, PyObject*) {
  return instance == nullptr || instance == Py_None ? Py_NewRef(self) : PyMethod_New(self, instance);
}

PyObject* fn_repr(PyObject* self) {
  PyObject* dict = fn_of(self)->dict;
  Ref wrapped = Ref::borrow(dict ? PyDict_GetItemString(dict, "__wrapped__") : nullptr);
  if (!wrapped) return PyUnicode_FromFormat("<jitted %U>", fn_of(self)->name);
  return PyUnicode_FromFormat("<jitted %R>", wrapped.get());
}

PyObject* clear_cache(PyObject* self, PyObject*) {
  clear_table(fn_of(self));
  Py_RETURN_NONE;
}

PyObject* cache_size(PyObject* self, PyObject*) { return PyLong_FromSize_t(fn_of(self)->used); }

PyObject* entries(PyObject* self, PyObject*) {
  Ref list(PyList_New(0));
  for (Record* r : fn_of(self)->table)
    if (r != nullptr && (!list || PyList_Append(list.get(), r->entry) < 0)) return nullptr;
  return list.release();
}

// The signature's words of a call, for tests and for explaining retraces; None if the call would be traced.
PyObject* signature_key(PyObject* self, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  FnObject* fn = fn_of(self);
  Call call;
  call.statics = &fn->statics;
  Signature s = make_signature(call, args, nargs, kwnames, fn->static_args);
  if (s == Signature::kError) return nullptr;
  if (s == Signature::kTrace) Py_RETURN_NONE;
  Ref out(PyTuple_New(static_cast<Py_ssize_t>(call.words.size())));
  for (size_t i = 0; out && i < call.words.size(); i++) {
    PyObject* word = PyLong_FromSize_t(call.words[i]);
    if (word == nullptr) return nullptr;
    PyTuple_SET_ITEM(out.get(), static_cast<Py_ssize_t>(i), word);
  }
  return out.release();
}

PyMethodDef methods[] = {
    {"clear_cache", clear_cache, METH_NOARGS, "clear_cache(): forget all entries."},
    {"cache_size", cache_size, METH_NOARGS, "cache_size(): how many signatures have an entry."},
    {"_cache_size", cache_size, METH_NOARGS, "_cache_size(): how many signatures have an entry."},
    {"_entries", entries, METH_NOARGS, "_entries(): the Entry objects, in no particular order."},
    {"signature_key", fastcall_kw(signature_key), METH_FASTCALL | METH_KEYWORDS,
     "signature_key(*args, **kwargs): the words that stand for such a call's signature, or None if it would be traced."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FnObject, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(FnObject, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(FnObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(fn_new)},
    {Py_tp_dealloc, reinterpret_cast<void*>(fn_dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(fn_traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(fn_clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_descr_get, reinterpret_cast<void*>(fn_get)},
    {Py_tp_repr, reinterpret_cast<void*>(fn_repr)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {Py_tp_doc, const_cast<char*>(
        "Fn(compile, trace_call, static_argnums=(), static_argnames=(), name=None): a jitted function.\n\n"
        "compile(args, kwargs) returns the Entry of a new signature; trace_call(*args, **kwargs) handles calls under another "
        "trace than the base one and calls with leaves that are not arrays.")},
    {0, nullptr},
};
PyType_Spec spec = {"addax._native.Fn", sizeof(FnObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, slots};

}  // namespace

int init_dispatch(PyObject* m) {
  if (init_signature(m) < 0 || init_in_flight(m) < 0 || init_staging() < 0 || init_launch(m) < 0 || init_entry(m) < 0) return -1;
  FnType = add_type(m, &spec, "Fn");
  return FnType == nullptr ? -1 : 0;
}

}  // namespace addax
