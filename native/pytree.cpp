// The module's pytree functions: flatten, flatten_with_path, tree_map, all_leaves, one-level flattening.
#include "pytree.h"

#include "pytree_walk.h"

namespace addax {
namespace {

PyObject* g_mismatch_hook = nullptr;

int ask_is_leaf(PyObject* answer) {
  if (answer == nullptr) return -1;
  int stop = answer == Py_True ? 1 : answer == Py_False ? 0 : -1;
  if (stop < 0) PyErr_Format(PyExc_ValueError, "is_leaf predicate returned a non-boolean value %R; expected a boolean", answer);
  Py_DECREF(answer);
  return stop;
}

// Builds a treedef and a list of leaves.
struct TreeSink {
  static constexpr bool kPaths = false;
  TreeDefObject* def;
  PyObject* leaves;     // list, or null: only the structure is wanted
  PyObject* predicate;  // is_leaf, or null

  int is_leaf(PyObject* x) { return predicate == nullptr ? 0 : ask_is_leaf(PyObject_CallOneArg(predicate, x)); }
  int leaf(PyObject* x) {
    if (def != nullptr) def->nodes.push_back({Kind::kLeaf, 0, 1, 1, nullptr, nullptr});
    int status = leaves == nullptr ? 0 : PyList_Append(leaves, x);
    Py_DECREF(x);
    return status;
  }
  int node(const NodeType& type, Py_ssize_t arity, PyObject* data) {
    if (def == nullptr) return 0;
    treedef_append_parent(def, type, arity, data);
    return 0;
  }
};

// As TreeSink; leaves are (path, leaf) pairs.
struct PathSink : TreeSink {
  static constexpr bool kPaths = true;
  bool predicate_takes_path = false;
  std::vector<Ref> path;

  PyObject* path_tuple() {
    PyObject* t = PyTuple_New(static_cast<Py_ssize_t>(path.size()));
    for (size_t i = 0; t && i < path.size(); i++) PyTuple_SET_ITEM(t, static_cast<Py_ssize_t>(i), Py_NewRef(path[i].get()));
    return t;
  }
  int is_leaf(PyObject* x) {
    if (predicate == nullptr) return 0;
    if (!predicate_takes_path) return TreeSink::is_leaf(x);
    Ref p(path_tuple());
    return p ? ask_is_leaf(PyObject_CallFunctionObjArgs(predicate, p.get(), x, nullptr)) : -1;
  }
  int leaf(PyObject* x) {
    Ref p(path_tuple());
    PyObject* pair = p ? PyTuple_Pack(2, p.get(), x) : nullptr;
    Py_DECREF(x);
    return pair ? TreeSink::leaf(pair) : -1;
  }
  int enter(const WalkFrame& f, Py_ssize_t i) {
    PyObject* key;
    switch (f.type.kind) {
      case Kind::kTuple:
      case Kind::kList: key = make_sequence_key(i); break;
      case Kind::kNamedTuple: {
        Ref fields(PyObject_GetAttrString(f.data, "_fields"));
        Ref name(fields ? PySequence_GetItem(fields.get(), i) : nullptr);
        key = name ? make_attr_key(name.get()) : nullptr;
        break;
      }
      case Kind::kDataclass: key = make_attr_key(PyTuple_GET_ITEM(f.type.reg->data_fields, i)); break;
      case Kind::kCustom:
        key = f.keys ? Py_NewRef(PyTuple_GET_ITEM(PyTuple_GET_ITEM(f.source, i), 0)) : make_flat_index_key(i);
        break;
      default: key = make_dict_key(PyTuple_GET_ITEM(f.keys, i));
    }
    if (key == nullptr) return -1;
    path.emplace_back(key);
    return 0;
  }
  void leave() { path.pop_back(); }
};

PyObject* none_to_null(PyObject* o) { return o == Py_None ? nullptr : o; }

// Positional and keyword arguments into slots, by name; slots not given stay as they are.
int parse(const char* function, const char* const* names, PyObject* const* args, Py_ssize_t n, PyObject* kwnames,
          Py_ssize_t positional, PyObject** out) {
  Py_ssize_t count = 0;
  while (names[count]) count++;
  if (n > positional) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments, got %zd", function, positional, n);
    return -1;
  }
  for (Py_ssize_t i = 0; i < n; i++) out[i] = args[i];
  for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); k++) {
    PyObject* name = PyTuple_GET_ITEM(kwnames, k);
    Py_ssize_t i = 0;
    while (i < count && PyUnicode_CompareWithASCIIString(name, names[i]) != 0) i++;
    if (i == count || i < n) {
      PyErr_Format(PyExc_TypeError, i == count ? "%s() got an unexpected keyword argument %R" : "%s() got multiple values for argument %R",
                   function, name);
      return -1;
    }
    out[i] = args[n + k];
  }
  if (out[0] == nullptr) {
    PyErr_Format(PyExc_TypeError, "%s() missing its argument '%s'", function, names[0]);
    return -1;
  }
  return 0;
}

PyObject* flatten(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
  static const char* names[] = {"tree", "is_leaf", nullptr};
  PyObject* a[2] = {nullptr, Py_None};
  if (parse("flatten", names, args, n, kwnames, 2, a) < 0) return nullptr;
  Ref leaves(PyList_New(0));
  Ref def(reinterpret_cast<PyObject*>(treedef_new()));
  if (!leaves || !def) return nullptr;
  TreeSink sink{reinterpret_cast<TreeDefObject*>(def.get()), leaves.get(), none_to_null(a[1])};
  return tree_walk(a[0], sink) < 0 ? nullptr : PyTuple_Pack(2, leaves.get(), def.get());
}

PyObject* leaves(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
  static const char* names[] = {"tree", "is_leaf", nullptr};
  PyObject* a[2] = {nullptr, Py_None};
  if (parse("leaves", names, args, n, kwnames, 2, a) < 0) return nullptr;
  Ref list(PyList_New(0));
  if (!list) return nullptr;
  TreeSink sink{nullptr, list.get(), none_to_null(a[1])};
  return tree_walk(a[0], sink) < 0 ? nullptr : list.release();
}

PyObject* structure(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
  static const char* names[] = {"tree", "is_leaf", nullptr};
  PyObject* a[2] = {nullptr, Py_None};
  if (parse("structure", names, args, n, kwnames, 2, a) < 0) return nullptr;
  Ref def(reinterpret_cast<PyObject*>(treedef_new()));
  if (!def) return nullptr;
  TreeSink sink{reinterpret_cast<TreeDefObject*>(def.get()), nullptr, none_to_null(a[1])};
  return tree_walk(a[0], sink) < 0 ? nullptr : def.release();
}

PyObject* flatten_with_path(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
  static const char* names[] = {"tree", "is_leaf", "is_leaf_takes_path", nullptr};
  PyObject* a[3] = {nullptr, Py_None, Py_False};
  if (parse("flatten_with_path", names, args, n, kwnames, 3, a) < 0) return nullptr;
  int takes_path = PyObject_IsTrue(a[2]);
  Ref pairs(PyList_New(0));
  Ref def(reinterpret_cast<PyObject*>(treedef_new()));
  if (takes_path < 0 || !pairs || !def) return nullptr;
  PathSink sink{{reinterpret_cast<TreeDefObject*>(def.get()), pairs.get(), none_to_null(a[1])}, takes_path == 1, {}};
  return tree_walk(a[0], sink) < 0 ? nullptr : PyTuple_Pack(2, pairs.get(), def.get());
}

// tree_map(f, tree, *rest, is_leaf=None)
PyObject* tree_map(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
  PyObject* predicate = nullptr;
  if (kwnames != nullptr) {
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(kwnames); k++) {
      if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, k), "is_leaf") != 0)
        return PyErr_Format(PyExc_TypeError, "tree_map() got an unexpected keyword argument %R", PyTuple_GET_ITEM(kwnames, k));
      predicate = none_to_null(args[n + k]);
    }
  }
  if (n < 2) return PyErr_Format(PyExc_TypeError, "tree_map(f, tree, *rest) needs a function and a tree, got %zd arguments", n);
  Ref first(PyList_New(0));
  Ref def(reinterpret_cast<PyObject*>(treedef_new()));
  if (!first || !def) return nullptr;
  auto* t = reinterpret_cast<TreeDefObject*>(def.get());
  TreeSink sink{t, first.get(), predicate};
  if (tree_walk(args[1], sink) < 0) return nullptr;
  auto count = treedef_num_leaves(t);
  auto trees = static_cast<size_t>(n - 1);
  // columns[k * count + i]: leaf i of tree k; results replace the first column.
  SmallVector<PyObject*, 64> columns;
  columns.resize(trees * count);
  size_t filled = 0;
  auto drop = [&] {
    for (size_t i = 0; i < filled; i++) Py_DECREF(columns[i]);
    return nullptr;
  };
  for (; filled < count; filled++) columns[filled] = Py_NewRef(PyList_GET_ITEM(first.get(), static_cast<Py_ssize_t>(filled)));
  for (size_t k = 1; k < trees; k++) {
    if (treedef_flatten_up_to(t, args[1 + k], columns.data() + k * count) < 0) {
      // Say where the trees differ, if the hook knows better than the node that failed.
      if (g_mismatch_hook != nullptr && PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        Ref done(PyObject_CallFunctionObjArgs(g_mismatch_hook, args[1], args[1 + k], predicate ? predicate : Py_None, nullptr));
        if (done) {
          PyErr_Restore(type, value, traceback);
        } else {
          Py_XDECREF(type);
          Py_XDECREF(value);
          Py_XDECREF(traceback);
        }
      }
      return drop();
    }
    filled += count;
  }
  SmallVector<PyObject*, 8> call;
  call.resize(trees + 1);
  for (size_t i = 0; i < count; i++) {
    for (size_t k = 0; k < trees; k++) call[k + 1] = columns[k * count + i];
    PyObject* y = PyObject_Vectorcall(args[0], call.data() + 1, trees | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
    if (y == nullptr) return drop();
    Py_SETREF(columns[i], y);
  }
  PyObject* out = treedef_unflatten(t, columns.data());
  drop();
  return out;
}

PyObject* all_leaves(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* kwnames) {
  static const char* names[] = {"iterable", "is_leaf", nullptr};
  PyObject* a[2] = {nullptr, Py_None};
  if (parse("all_leaves", names, args, n, kwnames, 2, a) < 0) return nullptr;
  Ref iterator(PyObject_GetIter(a[0]));
  if (!iterator) return nullptr;
  bool all = true;
  while (all) {
    Ref x(PyIter_Next(iterator.get()));
    if (!x) break;
    int stop = a[1] == Py_None ? 0 : ask_is_leaf(PyObject_CallOneArg(a[1], x.get()));
    if (stop < 0) return nullptr;
    all = stop || node_type_of(x.get()).kind == Kind::kLeaf;
  }
  return PyErr_Occurred() ? nullptr : PyBool_FromLong(all);
}

// (children, data) of one node, children as (key, child) pairs if with_keys; None for a leaf.
PyObject* flatten_one_level(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 1 && n != 2) return PyErr_Format(PyExc_TypeError, "flatten_one_level(tree, with_keys=False) takes 1 or 2 arguments, got %zd", n);
  int with_keys = n == 2 ? PyObject_IsTrue(args[1]) : 0;
  if (with_keys < 0) return nullptr;
  NodeType type = node_type_of(args[0]);
  if (type.kind == Kind::kLeaf) Py_RETURN_NONE;
  WalkFrame f;
  if ((with_keys ? walk_open<true>(Py_NewRef(args[0]), type, f) : walk_open<false>(Py_NewRef(args[0]), type, f)) < 0) return nullptr;
  Ref source(f.source), data(f.data ? f.data : Py_NewRef(Py_None));
  if (type.kind == Kind::kNamedTuple) data = Ref::borrow(Py_None);
  Ref children(PyTuple_New(f.n));
  PathSink sink{{nullptr, nullptr, nullptr}, false, {}};
  for (Py_ssize_t i = 0; children && i < f.n; i++) {
    PyObject* child = walk_child(f, i);
    if (child == nullptr) return nullptr;
    if (with_keys) {
      Ref owned(child);
      if (f.type.kind == Kind::kNamedTuple) f.data = reinterpret_cast<PyObject*>(Py_TYPE(f.source));
      if (sink.enter(f, i) < 0) return nullptr;
      child = PyTuple_Pack(2, sink.path.back().get(), owned.get());
      if (child == nullptr) return nullptr;
    }
    PyTuple_SET_ITEM(children.get(), i, child);
  }
  return children ? PyTuple_Pack(2, children.get(), data.get()) : nullptr;
}

PyObject* set_mismatch_hook(PyObject*, PyObject* f) {
  Py_XDECREF(std::exchange(g_mismatch_hook, Py_NewRef(f)));
  Py_RETURN_NONE;
}

constexpr int kFastKw = METH_FASTCALL | METH_KEYWORDS;

PyMethodDef functions[] = {
    {"flatten", fastcall_kw(flatten), kFastKw, "flatten(tree, is_leaf=None): (list of leaves, PyTreeDef)."},
    {"leaves", fastcall_kw(leaves), kFastKw, "leaves(tree, is_leaf=None): the list of leaves."},
    {"structure", fastcall_kw(structure), kFastKw, "structure(tree, is_leaf=None): the PyTreeDef."},
    {"flatten_with_path", fastcall_kw(flatten_with_path), kFastKw,
     "flatten_with_path(tree, is_leaf=None, is_leaf_takes_path=False): (list of (key path, leaf), PyTreeDef)."},
    {"tree_map", fastcall_kw(tree_map), kFastKw, "tree_map(f, tree, *rest, is_leaf=None): the tree of f's results."},
    {"all_leaves", fastcall_kw(all_leaves), kFastKw, "all_leaves(iterable, is_leaf=None): whether none is a tree node."},
    {"flatten_one_level", fastcall(flatten_one_level), METH_FASTCALL,
     "flatten_one_level(tree, with_keys=False): (children, data) of the root, or None for a leaf."},
    {"set_mismatch_hook", set_mismatch_hook, METH_O,
     "set_mismatch_hook(f): f(prefix, tree, is_leaf) raises the error for a tree_map over trees that differ."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int init_pytree(PyObject* m) {
  if (init_pytree_registry(m) < 0 || init_treedef(m) < 0 || init_pytree_keys(m) < 0) return -1;
  return PyModule_AddFunctions(m, functions);
}

}  // namespace addax
