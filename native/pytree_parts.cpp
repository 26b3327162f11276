// Treedefs taken apart into a root and its children, and put together again; pickling.
#include "pytree_treedef.h"

namespace addax {
namespace {

void append(TreeDefObject* t, const Node* first, const Node* last) {
  for (const Node* n = first; n != last; n++) {
    Py_XINCREF(n->data);
    t->nodes.push_back(*n);
  }
}

// Borrowed; null for a leaf.
PyObject* node_type_object(const Node& n) {
  switch (n.kind) {
    case Kind::kLeaf: return nullptr;
    case Kind::kNone: return reinterpret_cast<PyObject*>(Py_TYPE(Py_None));
    case Kind::kTuple: return reinterpret_cast<PyObject*>(&PyTuple_Type);
    case Kind::kList: return reinterpret_cast<PyObject*>(&PyList_Type);
    case Kind::kDict: return reinterpret_cast<PyObject*>(&PyDict_Type);
    case Kind::kNamedTuple: return n.data;
    case Kind::kOrderedDict: return reinterpret_cast<PyObject*>(OrderedDictType);
    case Kind::kDefaultDict: return reinterpret_cast<PyObject*>(DefaultDictType);
    default: return reinterpret_cast<PyObject*>(n.reg->type);
  }
}

// The Kind and canonical Node::data for a class and its node_data(), with `arity` children.
int node_from_data(PyObject* type, PyObject* data, Py_ssize_t arity, NodeType* kind, Ref* out) {
  if (!PyType_Check(type)) {
    PyErr_Format(PyExc_TypeError, "expected a class, got %R", type);
    return -1;
  }
  auto* t = reinterpret_cast<PyTypeObject*>(type);
  Py_ssize_t expected = arity;
  if (t == &PyTuple_Type) *kind = {Kind::kTuple, nullptr};
  else if (t == &PyList_Type) *kind = {Kind::kList, nullptr};
  else if (t == Py_TYPE(Py_None)) *kind = {Kind::kNone, nullptr}, expected = 0;
  else if (t == &PyDict_Type) {
    *kind = {Kind::kDict, nullptr};
    *out = Ref(PySequence_Tuple(data));
    if (!*out) return -1;
    expected = PyTuple_GET_SIZE(out->get());
  } else {
    *kind = node_kind_of_type(t);
    if (kind->kind == Kind::kLeaf) {
      PyErr_Format(PyExc_ValueError, "%R is not a registered pytree node type", type);
      return -1;
    }
    *out = Ref::borrow(kind->kind == Kind::kNamedTuple ? type : data);
    // Whoever makes or compares nodes later relies on this form.
    PyObject* keys = data;
    const char* form = "a tuple of keys";
    switch (kind->kind) {
      case Kind::kDefaultDict:
        keys = PyTuple_Check(data) && PyTuple_GET_SIZE(data) == 2 ? PyTuple_GET_ITEM(data, 1) : Py_None;
        form = "a pair (default factory, tuple of keys)";
        [[fallthrough]];
      case Kind::kOrderedDict:
        if (PyTuple_Check(keys)) expected = PyTuple_GET_SIZE(keys), form = nullptr;
        break;
      case Kind::kDataclass:
        expected = PyTuple_GET_SIZE(kind->reg->data_fields);
        form = PyTuple_Check(data) && PyTuple_GET_SIZE(data) == PyTuple_GET_SIZE(kind->reg->meta_fields) ? nullptr
                                                                                                         : "a tuple of its meta fields";
        break;
      default: form = nullptr;
    }
    if (form != nullptr) {
      PyErr_Format(PyExc_TypeError, "the node data of %R must be %s, got %R", type, form, data);
      return -1;
    }
  }
  if (arity != expected) {
    PyErr_Format(PyExc_ValueError, "a %s node with this data has %zd children, got %zd", t->tp_name, expected, arity);
    return -1;
  }
  return 0;
}

}  // namespace

PyObject* treedef_node_data_of(const Node& n) {
  if (n.kind == Kind::kDict) return PySequence_List(n.data);
  if (n.data == nullptr || n.kind == Kind::kNamedTuple) Py_RETURN_NONE;
  return Py_NewRef(n.data);
}

PyObject* treedef_children(PyObject* self, PyObject*) {
  const std::vector<Node>& nodes = treedef_of(self)->nodes;
  const Node& root = nodes.back();
  Ref list(PyList_New(root.arity));
  size_t end = nodes.size() - 1;
  for (int32_t i = root.arity; list && i-- > 0;) {
    TreeDefObject* child = treedef_new();
    if (child == nullptr) return nullptr;
    auto count = static_cast<size_t>(nodes[end - 1].num_nodes);
    append(child, nodes.data() + (end - count), nodes.data() + end);
    end -= count;
    PyList_SET_ITEM(list.get(), i, reinterpret_cast<PyObject*>(child));
  }
  return list.release();
}

PyObject* treedef_node_data(PyObject* self, PyObject*) {
  const Node& root = treedef_of(self)->nodes.back();
  if (root.kind == Kind::kLeaf) Py_RETURN_NONE;
  PyObject* type = node_type_object(root);
  Ref data(type ? treedef_node_data_of(root) : nullptr);
  return data ? PyTuple_Pack(2, type, data.get()) : nullptr;
}

PyObject* treedef_compose(PyObject* self, PyObject* inner) {
  if (!treedef_check(inner)) return PyErr_Format(PyExc_TypeError, "compose: expected a PyTreeDef, got %R", Py_TYPE(inner));
  TreeDefObject* out = treedef_new();
  if (out == nullptr) return nullptr;
  const std::vector<Node>& in = treedef_of(inner)->nodes;
  for (const Node& n : treedef_of(self)->nodes) {
    if (n.kind == Kind::kLeaf) append(out, in.data(), in.data() + in.size());
    else treedef_append_parent(out, {n.kind, n.reg}, n.arity, n.data);
  }
  return reinterpret_cast<PyObject*>(out);
}

// from_node_data_and_children(registry, node_data, children): the registry argument is JAX's, there is one registry.
PyObject* treedef_from_node_data_and_children(PyObject*, PyObject* args) {
  PyObject *registry, *data, *children_arg;
  if (!PyArg_ParseTuple(args, "OOO:from_node_data_and_children", &registry, &data, &children_arg)) return nullptr;
  Ref kids(PySequence_Tuple(children_arg));
  if (!kids) return nullptr;
  auto* out = treedef_new();
  Ref owned(reinterpret_cast<PyObject*>(out));
  if (out == nullptr) return nullptr;
  if (data == Py_None) {
    if (PyTuple_GET_SIZE(kids.get()) != 0) return PyErr_Format(PyExc_ValueError, "a leaf has no children");
    out->nodes.push_back({Kind::kLeaf, 0, 1, 1, nullptr, nullptr});
    return owned.release();
  }
  PyObject *type, *aux;
  if (!PyArg_ParseTuple(data, "OO;node_data must be None or a (type, data) pair", &type, &aux)) return nullptr;
  NodeType kind;
  Ref node;
  if (node_from_data(type, aux, PyTuple_GET_SIZE(kids.get()), &kind, &node) < 0) return nullptr;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kids.get()); i++) {
    PyObject* c = PyTuple_GET_ITEM(kids.get(), i);
    if (!treedef_check(c)) return PyErr_Format(PyExc_TypeError, "children must be PyTreeDefs, got %R", Py_TYPE(c));
    append(out, treedef_of(c)->nodes.data(), treedef_of(c)->nodes.data() + treedef_of(c)->nodes.size());
  }
  treedef_append_parent(out, kind, PyTuple_GET_SIZE(kids.get()), node.get());
  return owned.release();
}

// ---- pickling: a flat list of (type or None, data, arity)

PyObject* treedef_reduce(PyObject* self, PyObject*) {
  const std::vector<Node>& nodes = treedef_of(self)->nodes;
  Ref list(PyList_New(static_cast<Py_ssize_t>(nodes.size())));
  for (size_t i = 0; list && i < nodes.size(); i++) {
    PyObject* type = node_type_object(nodes[i]);
    Ref data(treedef_node_data_of(nodes[i]));
    PyObject* item = data ? Py_BuildValue("(OOi)", type ? type : Py_None, data.get(), nodes[i].arity) : nullptr;
    if (item == nullptr) return nullptr;
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), item);
  }
  if (!list) return nullptr;
  Ref make(PyObject_GetAttrString(reinterpret_cast<PyObject*>(TreeDefType), "_from_nodes"));
  return make ? Py_BuildValue("(O(O))", make.get(), list.get()) : nullptr;
}

PyObject* treedef_from_nodes(PyObject*, PyObject* items) {
  Ref seq(PySequence_Tuple(items));
  auto* out = seq ? treedef_new() : nullptr;
  Ref owned(reinterpret_cast<PyObject*>(out));
  if (out == nullptr) return nullptr;
  size_t roots = 0;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(seq.get()); i++) {
    PyObject *type, *data;
    int arity;
    if (!PyArg_ParseTuple(PyTuple_GET_ITEM(seq.get(), i), "OOi", &type, &data, &arity)) return nullptr;
    if (arity < 0 || static_cast<size_t>(arity) > roots) return PyErr_Format(PyExc_ValueError, "not a list of tree nodes in postorder");
    if (type == Py_None) {
      out->nodes.push_back({Kind::kLeaf, 0, 1, 1, nullptr, nullptr});
      roots++;
      continue;
    }
    NodeType kind;
    Ref node;
    if (node_from_data(type, data, arity, &kind, &node) < 0) return nullptr;
    treedef_append_parent(out, kind, arity, node.get());
    roots += 1 - static_cast<size_t>(arity);
  }
  if (roots != 1) return PyErr_Format(PyExc_ValueError, "not a list of tree nodes in postorder");
  return owned.release();
}

}  // namespace addax
