// Which Python types are tree nodes: a hash table from type to how it comes apart, and the functions that fill it.
#include <algorithm>
#include <bit>

#include "array.h"
#include "pytree.h"

namespace addax {

PyTypeObject *OrderedDictType = nullptr, *DefaultDictType = nullptr;

namespace {

// Open addressing on the type's address; never shrinks. Types in it are kept alive, so addresses stay unique.
struct Slot {
  PyTypeObject* type;
  NodeType node;
};
std::vector<Slot> g_table(256);
size_t g_used = 0;

inline size_t hash_type(PyTypeObject* t) { return (reinterpret_cast<uintptr_t>(t) >> 4) * 0x9E3779B97F4A7C15ull >> 20; }

Slot* find(PyTypeObject* t) {
  size_t mask = g_table.size() - 1;
  for (size_t i = hash_type(t) & mask;; i = (i + 1) & mask) {
    Slot& s = g_table[i];
    if (s.type == t || s.type == nullptr) return &s;
  }
}

void insert(PyTypeObject* t, NodeType node) {
  if (g_used * 2 >= g_table.size()) {
    std::vector<Slot> old(g_table.size() * 2);
    old.swap(g_table);
    for (Slot& s : old)
      if (s.type) *find(s.type) = s;
  }
  Slot* s = find(t);
  if (s->type == nullptr) {
    Py_INCREF(t);
    g_used++;
  }
  *s = {t, node};
}

bool is_builtin_node(PyTypeObject* t) {
  return t == &PyTuple_Type || t == &PyDict_Type || t == &PyList_Type || t == Py_TYPE(Py_None) || t == OrderedDictType ||
         t == DefaultDictType;
}

// For a registration call: the type, if it is free.
PyTypeObject* unregistered(PyObject* type, const char* what) {
  if (!PyType_Check(type)) {
    PyErr_Format(PyExc_TypeError, "pytree registration expects a class, got %R", type);
    return nullptr;
  }
  auto* t = reinterpret_cast<PyTypeObject*>(type);
  Slot* s = find(t);
  bool taken = s->type == t && s->node.kind != Kind::kNamedTuple;
  if (is_builtin_node(t) || taken) {
    PyErr_Format(PyExc_ValueError, "Duplicate %s PyTreeDef type registration for %R.", what, type);
    return nullptr;
  }
  return t;
}

PyObject* callable_or_null(PyObject* o) { return o == nullptr || o == Py_None ? nullptr : Py_NewRef(o); }

PyObject* register_node(PyObject*, PyObject* args) {
  PyObject *type, *flatten, *unflatten, *with_keys = nullptr;
  if (!PyArg_ParseTuple(args, "OOO|O:register_node", &type, &flatten, &unflatten, &with_keys)) return nullptr;
  PyTypeObject* t = unregistered(type, "custom");
  if (t == nullptr) return nullptr;
  auto* reg = new Registration{t, callable_or_null(flatten), Py_NewRef(unflatten), callable_or_null(with_keys), nullptr, nullptr};
  insert(t, {Kind::kCustom, reg});
  Py_RETURN_NONE;
}

PyObject* interned_names(PyObject* names) {
  Ref tuple(PySequence_Tuple(names));
  if (!tuple) return nullptr;
  Ref out(PyTuple_New(PyTuple_GET_SIZE(tuple.get())));
  for (Py_ssize_t i = 0; out && i < PyTuple_GET_SIZE(tuple.get()); i++) {
    PyObject* name = Py_NewRef(PyTuple_GET_ITEM(tuple.get(), i));
    if (!PyUnicode_CheckExact(name)) {
      PyErr_Format(PyExc_TypeError, "field names must be strings, got %R", name);
      Py_DECREF(name);
      return nullptr;
    }
    PyUnicode_InternInPlace(&name);
    PyTuple_SET_ITEM(out.get(), i, name);
  }
  return out.release();
}

PyObject* register_dataclass_node(PyObject*, PyObject* args) {
  PyObject *type, *data, *meta;
  if (!PyArg_ParseTuple(args, "OOO:register_dataclass_node", &type, &data, &meta)) return nullptr;
  PyTypeObject* t = unregistered(type, "custom dataclass");
  Ref data_fields(t ? interned_names(data) : nullptr);
  Ref meta_fields(data_fields ? interned_names(meta) : nullptr);
  if (!meta_fields) return nullptr;
  insert(t, {Kind::kDataclass, new Registration{t, nullptr, nullptr, nullptr, data_fields.release(), meta_fields.release()}});
  Py_RETURN_NONE;
}

PyObject* is_node_type(PyObject*, PyObject* type) {
  if (!PyType_Check(type)) return PyErr_Format(PyExc_TypeError, "is_tree_node: expected a class, got %R", type);
  auto* t = reinterpret_cast<PyTypeObject*>(type);
  return PyBool_FromLong(is_builtin_node(t) || find(t)->type == t);
}

// ---- sorted dict keys, cached

// Programs flatten dicts with the same few key sets over and over. The cache recognises a key set by the addresses of
// its strings in insertion order, which needs no comparison of text.
constexpr size_t kMaxCachedKeys = 64;
struct KeyCacheEntry {
  PyObject* inserted;  // tuple of the keys in insertion order, strong: keeps the addresses unique
  PyObject* sorted;    // tuple
};
constexpr size_t kKeyCacheSize = 512;
KeyCacheEntry g_key_cache[kKeyCacheSize];

PyObject* sort_keys(PyObject* dict) {
  Ref keys(PyDict_Keys(dict));
  if (!keys) return nullptr;
  if (PyList_Sort(keys.get()) < 0) {
    PyObject *type, *cause, *traceback;
    PyErr_Fetch(&type, &cause, &traceback);
    PyErr_NormalizeException(&type, &cause, &traceback);
    if (traceback != nullptr) PyException_SetTraceback(cause, traceback);
    PyErr_SetString(PyExc_ValueError, "Comparator raised exception while sorting pytree dictionary keys.");
    PyObject *outer_type, *outer, *outer_traceback;
    PyErr_Fetch(&outer_type, &outer, &outer_traceback);
    PyErr_NormalizeException(&outer_type, &outer, &outer_traceback);
    PyException_SetCause(outer, cause);  // takes the reference
    PyErr_Restore(outer_type, outer, outer_traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return nullptr;
  }
  return PyList_AsTuple(keys.get());
}

bool all_strings(PyObject* dict) {
  PyObject* key;
  Py_ssize_t pos = 0;
  while (PyDict_Next(dict, &pos, &key, nullptr))
    if (!PyUnicode_CheckExact(key)) return false;
  return true;
}

}  // namespace

NodeType node_kind_of_type(PyTypeObject* t) {
  Slot* s = find(t);
  if (s->type == t) return s->node;
  if (PyType_FastSubclass(t, Py_TPFLAGS_TUPLE_SUBCLASS)) {  // a namedtuple? Decided once per class.
    Ref fields(PyObject_GetAttrString(reinterpret_cast<PyObject*>(t), "_fields"));
    if (fields && PyTuple_Check(fields.get())) {
      insert(t, {Kind::kNamedTuple, nullptr});
      return {Kind::kNamedTuple, nullptr};
    }
    PyErr_Clear();
  }
  return {Kind::kLeaf, nullptr};
}

NodeType node_type_of_slow(PyObject* o) {
  PyTypeObject* t = Py_TYPE(o);
  if (t == ArrayType || t == &PyFloat_Type || t == &PyLong_Type) return {Kind::kLeaf, nullptr};
  return node_kind_of_type(t);
}

PyObject* sorted_dict_keys(PyObject* dict) {
  auto n = static_cast<size_t>(PyDict_GET_SIZE(dict));
  if (n > kMaxCachedKeys) return sort_keys(dict);
  // Hash the first keys, compare them all: one pass.
  constexpr size_t kHashed = 3;
  PyObject *first[kHashed], *key;
  uint64_t h = n;
  size_t i = 0;
  Py_ssize_t pos = 0;
  for (; i < kHashed && PyDict_Next(dict, &pos, &key, nullptr); i++) {
    first[i] = key;
    h = std::rotl((h ^ reinterpret_cast<uintptr_t>(key) >> 4) * 0x9E3779B97F4A7C15ull, 29);
  }
  KeyCacheEntry& entry = g_key_cache[h % kKeyCacheSize];
  if (entry.inserted != nullptr && static_cast<size_t>(PyTuple_GET_SIZE(entry.inserted)) == n) {
    PyObject** known = reinterpret_cast<PyTupleObject*>(entry.inserted)->ob_item;
    bool same = std::equal(first, first + i, known);
    while (same && PyDict_Next(dict, &pos, &key, nullptr)) same = known[i++] == key;
    if (same) return Py_NewRef(entry.sorted);
  }
  if (!all_strings(dict)) return sort_keys(dict);
  Ref list(PyDict_Keys(dict));
  PyObject* inserted = list ? PyList_AsTuple(list.get()) : nullptr;
  PyObject* sorted = inserted ? sort_keys(dict) : nullptr;
  if (sorted == nullptr) {
    Py_XDECREF(inserted);
    return nullptr;
  }
  PyObject *old_inserted = entry.inserted, *old_sorted = entry.sorted;
  entry = {inserted, Py_NewRef(sorted)};
  Py_XDECREF(old_inserted);
  Py_XDECREF(old_sorted);
  return sorted;
}

int split_flattened(PyObject* result, PyObject** children, PyObject** aux) {
  if (!PyTuple_Check(result) || PyTuple_GET_SIZE(result) != 2) {
    PyErr_Format(PyExc_ValueError,
                 "The to_iterable function for a custom PyTree node should return a (children, aux_data) tuple, got %R", result);
    return -1;
  }
  *children = PySequence_Tuple(PyTuple_GET_ITEM(result, 0));
  if (*children == nullptr) return -1;
  *aux = Py_NewRef(PyTuple_GET_ITEM(result, 1));
  return 0;
}

static PyMethodDef functions[] = {
    {"register_node", register_node, METH_VARARGS, "register_node(cls, flatten, unflatten, flatten_with_keys=None)"},
    {"register_dataclass_node", register_dataclass_node, METH_VARARGS, "register_dataclass_node(cls, data_fields, meta_fields)"},
    {"is_node_type", is_node_type, METH_O, "is_node_type(cls): whether instances of cls are tree nodes."},
    {nullptr, nullptr, 0, nullptr},
};

int init_pytree_registry(PyObject* m) {
  Ref collections(PyImport_ImportModule("collections"));
  if (!collections) return -1;
  OrderedDictType = reinterpret_cast<PyTypeObject*>(PyObject_GetAttrString(collections.get(), "OrderedDict"));
  DefaultDictType = reinterpret_cast<PyTypeObject*>(PyObject_GetAttrString(collections.get(), "defaultdict"));
  if (OrderedDictType == nullptr || DefaultDictType == nullptr) return -1;
  insert(OrderedDictType, {Kind::kOrderedDict, nullptr});
  insert(DefaultDictType, {Kind::kDefaultDict, nullptr});
  return PyModule_AddFunctions(m, functions);
}

}  // namespace addax
