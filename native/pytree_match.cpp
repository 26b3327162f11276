// An object taken apart as a treedef says: the treedef's leaves may stand for whole subtrees.
#include "pytree_treedef.h"
#include "pytree_walk.h"

namespace addax {
namespace {

const char* kind_name(Kind k) {
  switch (k) {
    case Kind::kNone: return "None";
    case Kind::kTuple: return "tuple";
    case Kind::kList: return "list";
    case Kind::kDict: return "dict";
    case Kind::kNamedTuple: return "named tuple";
    case Kind::kOrderedDict: return "OrderedDict";
    case Kind::kDefaultDict: return "defaultdict";
    default: return "leaf";
  }
}

// Pushes the children of x, which must match node n.
template <class Stack>
int expand_matching(const Node& n, PyObject* x, Stack& out) {
  NodeType type = node_type_of(x);
  if (type.kind != n.kind || type.reg != n.reg) {
    if (n.reg != nullptr)
      PyErr_Format(PyExc_ValueError, "Custom node type mismatch: expected type: %R, value: %R.", n.reg->type, x);
    else if (n.kind == Kind::kNone)
      PyErr_Format(PyExc_ValueError,
                   "Expected None, got %R. None is a tree node without children, not a leaf; to map over None as if it were "
                   "a leaf, pass is_leaf=lambda x: x is None.", x);
    else PyErr_Format(PyExc_ValueError, "Expected %s, got %R.", kind_name(n.kind), x);
    return -1;
  }
  auto arity = [&](Py_ssize_t got) {
    if (got == n.arity) return 0;
    PyErr_Format(PyExc_ValueError, "%s arity mismatch: %zd != %d; value: %R.", kind_name(n.kind), got, n.arity, x);
    return -1;
  };
  switch (n.kind) {
    case Kind::kLeaf:
    case Kind::kNone: return 0;
    case Kind::kNamedTuple:
      if (reinterpret_cast<PyObject*>(Py_TYPE(x)) != n.data) {
        PyErr_Format(PyExc_ValueError, "Named tuple type mismatch: expected type: %R, value: %R.", n.data, x);
        return -1;
      }
      [[fallthrough]];
    case Kind::kTuple:
      if (arity(PyTuple_GET_SIZE(x)) < 0) return -1;
      for (Py_ssize_t i = 0; i < n.arity; i++) out.push_back(Py_NewRef(PyTuple_GET_ITEM(x, i)));
      return 0;
    case Kind::kList:
      if (arity(PyList_GET_SIZE(x)) < 0) return -1;
      for (Py_ssize_t i = 0; i < n.arity; i++) out.push_back(Py_NewRef(PyList_GET_ITEM(x, i)));
      return 0;
    case Kind::kDict:
      for (Py_ssize_t i = 0; i < n.arity; i++) {
        PyObject* v = PyDict_GetItemWithError(x, PyTuple_GET_ITEM(n.data, i));
        if (v == nullptr && PyErr_Occurred()) return -1;
        if (v == nullptr || PyDict_GET_SIZE(x) != n.arity) {
          Ref expected(PySequence_List(n.data)), present(PyDict_Keys(x));
          if (expected && present)
            PyErr_Format(PyExc_ValueError, "Dict key mismatch; expected keys: %R; present keys: %R.", expected.get(), present.get());
          return -1;
        }
        out.push_back(Py_NewRef(v));
      }
      return arity(PyDict_GET_SIZE(x));
    default: break;
  }
  WalkFrame f;
  if (walk_open<false>(Py_NewRef(x), type, f) < 0) return -1;
  Ref source(f.source), data(f.data);
  int same = PyObject_RichCompareBool(n.data, f.data, Py_EQ);
  if (same == 0) PyErr_Format(PyExc_ValueError, "Mismatch custom node data: %R != %R; value: %R.", n.data, f.data, x);
  if (same != 1 || arity(f.n) < 0) return -1;
  for (Py_ssize_t i = 0; i < n.arity; i++) {
    PyObject* child = walk_child(f, i);
    if (child == nullptr) return -1;
    out.push_back(child);
  }
  return 0;
}

// Down from the root: children of matching nodes go on the stack, the last on top, as the postorder list reads backwards.
template <class Expand>
int descend(const TreeDefObject* t, PyObject* tree, PyObject** out, Expand expand) {
  SmallVector<PyObject*, 64> stack;
  stack.push_back(Py_NewRef(tree));
  size_t leaf = treedef_num_leaves(t), filled = leaf;
  int status = 0;
  for (size_t k = t->nodes.size(); k-- > 0 && status == 0;) {
    PyObject* x = stack.back();
    stack.pop_back();
    if (t->nodes[k].kind == Kind::kLeaf) {
      out[--leaf] = x;
      continue;
    }
    status = expand(t->nodes[k], x, stack);
    Py_DECREF(x);
  }
  if (status < 0) {
    for (PyObject* x : stack) Py_DECREF(x);
    for (size_t i = leaf; i < filled; i++) Py_DECREF(out[i]);
  }
  return status;
}

template <class Expand>
PyObject* descend_to_list(PyObject* self, PyObject* tree, Expand expand) {
  TreeDefObject* t = treedef_of(self);
  SmallVector<PyObject*, 64> leaves;
  leaves.resize(treedef_num_leaves(t));
  if (descend(t, tree, leaves.data(), expand) < 0) return nullptr;
  PyObject* list = PyList_New(static_cast<Py_ssize_t>(leaves.size()));
  for (size_t i = 0; i < leaves.size(); i++) {
    if (list) PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), leaves[i]);
    else Py_DECREF(leaves[i]);
  }
  return list;
}

}  // namespace

int treedef_flatten_up_to(const TreeDefObject* t, PyObject* tree, PyObject** out) {
  return descend(t, tree, out, [](const Node& n, PyObject* x, auto& stack) { return expand_matching(n, x, stack); });
}

PyObject* treedef_flatten_up_to_method(PyObject* self, PyObject* tree) {
  return descend_to_list(self, tree, [](const Node& n, PyObject* x, auto& out) { return expand_matching(n, x, out); });
}

PyObject* treedef_from_iterable_tree(PyObject* self, PyObject* tree) {
  Ref leaves(descend_to_list(self, tree, [](const Node& n, PyObject* x, auto& out) {
    if (n.kind == Kind::kNone && x == Py_None) return 0;
    Ref children(PySequence_Tuple(x));
    if (!children) return -1;
    if (PyTuple_GET_SIZE(children.get()) != n.arity) {
      PyErr_Format(PyExc_ValueError, "build_tree: a node with %d children was given %zd: %R", n.arity,
                   PyTuple_GET_SIZE(children.get()), x);
      return -1;
    }
    for (Py_ssize_t i = 0; i < n.arity; i++) out.push_back(Py_NewRef(PyTuple_GET_ITEM(children.get(), i)));
    return 0;
  }));
  return leaves ? treedef_unflatten_method(self, leaves.get()) : nullptr;
}

}  // namespace addax
