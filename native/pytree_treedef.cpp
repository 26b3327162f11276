// The PyTreeDef type: a list of nodes in postorder. Every operation is one pass over it.
#include <algorithm>
#include <string>

#include "pytree_treedef.h"

namespace addax {

PyTypeObject* TreeDefType = nullptr;

namespace {

PyObject* str_of_type(PyTypeObject* t) { return PyObject_GetAttrString(reinterpret_cast<PyObject*>(t), "__name__"); }

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  for (const Node& n : treedef_of(self)->nodes) Py_VISIT(n.data);
  return 0;
}

int clear(PyObject* self) {
  for (Node& n : treedef_of(self)->nodes) Py_CLEAR(n.data);
  return 0;
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (treedef_of(self)->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  clear(self);
  std::destroy_at(&treedef_of(self)->nodes);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

// ---- equality and hash

bool same_shape(const Node& a, const Node& b) { return a.kind == b.kind && a.arity == b.arity && a.reg == b.reg; }

// 1, 0, or -1 with an error.
int equal(const TreeDefObject* a, const TreeDefObject* b) {
  if (a == b) return 1;
  if (a->nodes.size() != b->nodes.size()) return 0;
  for (size_t i = 0; i < a->nodes.size(); i++)
    if (!same_shape(a->nodes[i], b->nodes[i])) return 0;
  for (size_t i = 0; i < a->nodes.size(); i++) {
    PyObject *x = a->nodes[i].data, *y = b->nodes[i].data;
    if (x == y) continue;
    int same = PyObject_RichCompareBool(x, y, Py_EQ);
    if (same <= 0) return same;
  }
  return 1;
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
  if ((op != Py_EQ && op != Py_NE) || !treedef_check(b)) Py_RETURN_NOTIMPLEMENTED;
  int same = equal(treedef_of(a), treedef_of(b));
  return same < 0 ? nullptr : PyBool_FromLong(same == (op == Py_EQ));
}

Py_hash_t hash(PyObject* self) {
  TreeDefObject* t = treedef_of(self);
  if (t->hash != -1) return t->hash;
  uint64_t h = t->nodes.size();
  for (const Node& n : t->nodes) {
    auto word = static_cast<uint64_t>(n.kind) ^ static_cast<uint64_t>(n.arity) << 8 ^ reinterpret_cast<uintptr_t>(n.reg);
    if (n.data != nullptr) {
      Py_hash_t d = PyObject_Hash(n.data);
      // Aux data need not be hashable: equality decides, the hash may be coarse.
      if (d == -1) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) return -1;
        PyErr_Clear();
        d = 7;
      }
      word ^= static_cast<uint64_t>(d) * 0xC2B2AE3D27D4EB4Full;
    }
    h = (h ^ word) * 0x9E3779B97F4A7C15ull;
    h ^= h >> 29;
  }
  t->hash = static_cast<Py_hash_t>(h);
  if (t->hash == -1) t->hash = -2;
  return t->hash;
}

// ---- printing

// What comes before and after the children.
int brackets(const Node& n, std::string& open, std::string& close) {
  auto append_str = [](std::string& s, PyObject* owned) {
    Ref o(owned);
    const char* text = o ? PyUnicode_AsUTF8(o.get()) : nullptr;
    if (text == nullptr) return -1;
    s += text;
    return 0;
  };
  close.clear();
  switch (n.kind) {
    case Kind::kLeaf: open = "*"; return 0;
    case Kind::kNone: open = "None"; return 0;
    case Kind::kTuple: open = "("; close = n.arity == 1 ? ",)" : ")"; return 0;
    case Kind::kList: open = "["; close = "]"; return 0;
    case Kind::kDict: open = "{"; close = "}"; return 0;
    default: break;
  }
  open = "CustomNode(";
  close = "])";
  switch (n.kind) {
    case Kind::kNamedTuple:
      open += "namedtuple[";
      if (append_str(open, str_of_type(reinterpret_cast<PyTypeObject*>(n.data))) < 0) return -1;
      break;
    case Kind::kOrderedDict:
    case Kind::kDefaultDict:
      open += n.kind == Kind::kOrderedDict ? "OrderedDict[" : "defaultdict[";
      if (append_str(open, PyObject_Repr(n.data)) < 0) return -1;
      break;
    default:
      if (append_str(open, str_of_type(n.reg->type)) < 0) return -1;
      open += "[";
      if (append_str(open, PyObject_Str(n.data)) < 0) return -1;
  }
  open += "], [";
  return 0;
}

// Before child i of a node.
int separator(const Node& n, int32_t i, std::string& out) {
  out = i > 0 ? ", " : "";
  if (n.kind == Kind::kDict) {
    Ref key(PyObject_Repr(PyTuple_GET_ITEM(n.data, i)));
    const char* text = key ? PyUnicode_AsUTF8(key.get()) : nullptr;
    if (text == nullptr) return -1;
    out += text;
    out += ": ";
  }
  return 0;
}

PyObject* repr(PyObject* self) {
  const TreeDefObject* t = treedef_of(self);
  // Backwards through the postorder list the text appears from right to left: collect the pieces, then reverse them.
  struct Open {
    size_t node;
    int32_t left;  // children still to come
  };
  std::vector<std::string> pieces;
  std::vector<Open> stack;
  std::string open, close, sep;
  pieces.push_back(")");
  for (size_t k = t->nodes.size(); k-- > 0;) {
    const Node& n = t->nodes[k];
    if (brackets(n, open, close) < 0) return nullptr;
    pieces.push_back(close);
    stack.push_back({k, n.arity});
    // Close every node all of whose children are out; its opening text goes before them.
    while (!stack.empty() && stack.back().left == 0) {
      if (brackets(t->nodes[stack.back().node], open, close) < 0) return nullptr;
      pieces.push_back(open);
      stack.pop_back();
      if (stack.empty()) break;
      Open& parent = stack.back();
      if (separator(t->nodes[parent.node], --parent.left, sep) < 0) return nullptr;
      pieces.push_back(sep);
    }
  }
  std::string text = "PyTreeDef(";
  for (size_t i = pieces.size(); i-- > 0;) text += pieces[i];
  return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

PyObject* get_num_leaves(PyObject* self, void*) { return PyLong_FromSize_t(treedef_num_leaves(treedef_of(self))); }
PyObject* get_num_nodes(PyObject* self, void*) { return PyLong_FromSize_t(treedef_of(self)->nodes.size()); }

PyGetSetDef getset[] = {
    {"num_leaves", get_num_leaves, nullptr, "How many leaves the tree has."},
    {"num_nodes", get_num_nodes, nullptr, "How many nodes the tree has, leaves included."},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    {"unflatten", treedef_unflatten_method, METH_O, "unflatten(leaves): the tree with these leaves."},
    {"flatten_up_to", treedef_flatten_up_to_method, METH_O,
     "flatten_up_to(tree): the subtrees of tree in the places of this treedef's leaves; ValueError where they differ above."},
    {"children", treedef_children, METH_NOARGS, "children(): the treedefs of the root's children."},
    {"node_data", treedef_node_data, METH_NOARGS, "node_data(): (type, data) of the root, or None for a leaf."},
    {"compose", treedef_compose, METH_O, "compose(inner): this treedef with inner in the place of every leaf."},
    {"walk", fastcall(treedef_walk), METH_FASTCALL,
     "walk(f_node, f_leaf, leaves): f_leaf(leaf) for leaves and f_node(children's results, node data) for nodes, children first."},
    {"from_iterable_tree", treedef_from_iterable_tree, METH_O,
     "from_iterable_tree(xs): the tree whose nodes' children are given by iterables nested as this treedef is."},
    {"from_node_data_and_children", treedef_from_node_data_and_children, METH_VARARGS | METH_STATIC,
     "from_node_data_and_children(registry, node_data, children): a treedef from its root's node_data() and children()."},
    {"_from_nodes", treedef_from_nodes, METH_O | METH_STATIC, "The inverse of __reduce__."},
    {"__reduce__", treedef_reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TreeDefObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_repr, reinterpret_cast<void*>(repr)},
    {Py_tp_hash, reinterpret_cast<void*>(hash)},
    {Py_tp_richcompare, reinterpret_cast<void*>(compare)},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_members, members},
    {Py_tp_doc, const_cast<char*>("The structure of a pytree: its containers, without its leaves. Compares and hashes by value.")},
    {0, nullptr},
};

PyType_Spec spec = {"addax.tree_util.PyTreeDef", sizeof(TreeDefObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

TreeDefObject* treedef_new() {
  auto* t = PyObject_GC_New(TreeDefObject, TreeDefType);
  if (t == nullptr) return nullptr;
  new (&t->nodes) std::vector<Node>();
  t->hash = -1;
  t->weakrefs = nullptr;
  PyObject_GC_Track(reinterpret_cast<PyObject*>(t));
  return t;
}

void treedef_append_parent(TreeDefObject* t, NodeType type, Py_ssize_t arity, PyObject* data) {
  int32_t leaves = 0, nodes = 1;
  for (Py_ssize_t i = 0; i < arity; i++) {
    const Node& child = t->nodes[t->nodes.size() - static_cast<size_t>(nodes)];
    leaves += child.num_leaves;
    nodes += child.num_nodes;
  }
  t->nodes.push_back({type.kind, static_cast<int32_t>(arity), leaves, nodes, type.reg, Py_XNewRef(data)});
}

int init_treedef(PyObject* m) {
  TreeDefType = add_type(m, &spec, "PyTreeDef");
  return TreeDefType == nullptr ? -1 : 0;
}

}  // namespace addax
