// The PyTreeDef type: a list of nodes in postorder. Every operation is one pass over it.
#include <algorithm>
#include <string>

#include "pytree.h"
#include "small_vector.h"

namespace addax {

PyTypeObject* TreeDefType = nullptr;

namespace {

inline TreeDefObject* self_of(PyObject* o) { return reinterpret_cast<TreeDefObject*>(o); }

PyObject* str_of_type(PyTypeObject* t) { return PyObject_GetAttrString(reinterpret_cast<PyObject*>(t), "__name__"); }

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  for (const Node& n : self_of(self)->nodes) Py_VISIT(n.data);
  return 0;
}

int clear(PyObject* self) {
  for (Node& n : self_of(self)->nodes) Py_CLEAR(n.data);
  return 0;
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (self_of(self)->weakrefs != nullptr) PyObject_ClearWeakRefs(self);
  clear(self);
  std::destroy_at(&self_of(self)->nodes);
  PyObject_GC_Del(self);
  Py_DECREF(type);
}

void append(TreeDefObject* t, const Node* first, const Node* last) {
  for (const Node* n = first; n != last; n++) {
    Py_XINCREF(n->data);
    t->nodes.push_back(*n);
  }
}

// Appends the parent of the subtrees that the last `arity` roots in `t` stand for.
void append_parent(TreeDefObject* t, Kind kind, Registration* reg, int32_t arity, PyObject* data) {
  int32_t leaves = 0, nodes = 1;
  for (int32_t i = 0; i < arity; i++) {
    const Node& child = t->nodes[t->nodes.size() - static_cast<size_t>(nodes)];
    leaves += child.num_leaves;
    nodes += child.num_nodes;
  }
  t->nodes.push_back({kind, arity, leaves, nodes, reg, Py_XNewRef(data)});
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
  int same = equal(self_of(a), self_of(b));
  return same < 0 ? nullptr : PyBool_FromLong(same == (op == Py_EQ));
}

Py_hash_t hash(PyObject* self) {
  TreeDefObject* t = self_of(self);
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
  const TreeDefObject* t = self_of(self);
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

// ---- making objects

// The container for one node; children are borrowed.
PyObject* make_node(const Node& n, PyObject* const* children) {
  Py_ssize_t count = n.arity;
  auto tuple_of = [&]() {
    PyObject* t = PyTuple_New(count);
    for (Py_ssize_t i = 0; t && i < count; i++) PyTuple_SET_ITEM(t, i, Py_NewRef(children[i]));
    return t;
  };
  auto fill_dict = [&](PyObject* dict, PyObject* keys) {
    for (Py_ssize_t i = 0; i < count; i++)
      if (PyDict_CheckExact(dict) ? PyDict_SetItem(dict, PyTuple_GET_ITEM(keys, i), children[i]) < 0
                                  : PyObject_SetItem(dict, PyTuple_GET_ITEM(keys, i), children[i]) < 0) {
        Py_DECREF(dict);
        return static_cast<PyObject*>(nullptr);
      }
    return dict;
  };
  switch (n.kind) {
    case Kind::kLeaf: break;
    case Kind::kNone: Py_RETURN_NONE;
    case Kind::kTuple: return tuple_of();
    case Kind::kList: {
      PyObject* list = PyList_New(count);
      for (Py_ssize_t i = 0; list && i < count; i++) PyList_SET_ITEM(list, i, Py_NewRef(children[i]));
      return list;
    }
    case Kind::kDict: {
      PyObject* d = PyDict_New();
      return d ? fill_dict(d, n.data) : nullptr;
    }
    case Kind::kNamedTuple: return PyObject_Vectorcall(n.data, children, static_cast<size_t>(count), nullptr);
    case Kind::kOrderedDict:
    case Kind::kDefaultDict: {
      static PyObject *ordered, *defaulted;
      if (ordered == nullptr) {
        Ref collections(PyImport_ImportModule("collections"));
        if (!collections) return nullptr;
        ordered = PyObject_GetAttrString(collections.get(), "OrderedDict");
        defaulted = PyObject_GetAttrString(collections.get(), "defaultdict");
      }
      if (n.kind == Kind::kOrderedDict) {
        PyObject* d = PyObject_CallNoArgs(ordered);
        return d ? fill_dict(d, n.data) : nullptr;
      }
      PyObject* d = PyObject_CallOneArg(defaulted, PyTuple_GET_ITEM(n.data, 0));
      return d ? fill_dict(d, PyTuple_GET_ITEM(n.data, 1)) : nullptr;
    }
    case Kind::kCustom: {
      Ref tuple(tuple_of());
      if (!tuple) return nullptr;
      PyObject* args[2] = {n.data, tuple.get()};
      return PyObject_Vectorcall(n.reg->unflatten, args, 2, nullptr);
    }
    case Kind::kDataclass: {
      Ref kwargs(PyDict_New()), none(PyTuple_New(0));
      if (!kwargs || !none) return nullptr;
      PyObject *names = n.reg->data_fields, *metas = n.reg->meta_fields;
      for (Py_ssize_t i = 0; i < count; i++)
        if (PyDict_SetItem(kwargs.get(), PyTuple_GET_ITEM(names, i), children[i]) < 0) return nullptr;
      for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(metas); i++)
        if (PyDict_SetItem(kwargs.get(), PyTuple_GET_ITEM(metas, i), PyTuple_GET_ITEM(n.data, i)) < 0) return nullptr;
      return PyObject_Call(reinterpret_cast<PyObject*>(n.reg->type), none.get(), kwargs.get());
    }
  }
  PyErr_SetString(PyExc_SystemError, "a leaf has no container");
  return nullptr;
}

// Postorder evaluation: `leaf(i)` gives a new reference, `node(n, children)` combines borrowed children into one.
template <class Leaf, class Combine>
PyObject* evaluate(const TreeDefObject* t, Leaf leaf, Combine combine) {
  SmallVector<PyObject*, 64> values;
  size_t next = 0;
  for (const Node& n : t->nodes) {
    PyObject* v;
    if (n.kind == Kind::kLeaf) {
      v = leaf(next++);
    } else {
      auto count = static_cast<size_t>(n.arity);
      PyObject** children = values.data() + (values.size() - count);
      v = combine(n, children);
      for (size_t i = 0; i < count; i++) Py_DECREF(children[i]);
      values.resize(values.size() - count);
    }
    if (ADDAX_UNLIKELY(v == nullptr)) {
      for (PyObject* x : values) Py_DECREF(x);
      return nullptr;
    }
    values.push_back(v);
  }
  return values[0];
}

int check_count(const TreeDefObject* t, Py_ssize_t given) {
  auto expected = static_cast<Py_ssize_t>(treedef_num_leaves(t));
  if (given < expected) {
    PyErr_Format(PyExc_ValueError, "Too few leaves for PyTreeDef; expected %zd, got %zd", expected, given);
    return -1;
  }
  if (given > expected) {
    PyErr_Format(PyExc_ValueError, "Too many leaves for PyTreeDef; expected %zd.", expected);
    return -1;
  }
  return 0;
}

PyObject* unflatten(PyObject* self, PyObject* leaves) {
  Ref seq(PySequence_Fast(leaves, "unflatten: the leaves must be an iterable"));
  if (!seq || check_count(self_of(self), PySequence_Fast_GET_SIZE(seq.get())) < 0) return nullptr;
  if (PyList_Check(seq.get())) {  // node constructors run Python code that could change the list
    Ref frozen(PyList_AsTuple(seq.get()));
    return frozen ? treedef_unflatten(self_of(self), PySequence_Fast_ITEMS(frozen.get())) : nullptr;
  }
  return treedef_unflatten(self_of(self), PySequence_Fast_ITEMS(seq.get()));
}

PyObject* node_data_of(const Node& n) {
  if (n.kind == Kind::kDict) return PySequence_List(n.data);
  if (n.data == nullptr || n.kind == Kind::kNamedTuple) Py_RETURN_NONE;
  return Py_NewRef(n.data);
}

PyObject* walk(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  if (n != 3) return PyErr_Format(PyExc_TypeError, "walk(f_node, f_leaf, leaves) takes 3 arguments, got %zd", n);
  Ref leaves(PySequence_Tuple(args[2]));
  if (!leaves || check_count(self_of(self), PyTuple_GET_SIZE(leaves.get())) < 0) return nullptr;
  return evaluate(
      self_of(self),
      [&](size_t i) {
        PyObject* x = PyTuple_GET_ITEM(leaves.get(), static_cast<Py_ssize_t>(i));
        return args[1] == Py_None ? Py_NewRef(x) : PyObject_CallOneArg(args[1], x);
      },
      [&](const Node& node, PyObject** children) -> PyObject* {
        Ref tuple(PyTuple_New(node.arity)), data(node_data_of(node));
        if (!tuple || !data) return nullptr;
        for (int32_t i = 0; i < node.arity; i++) PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(children[i]));
        PyObject* call[2] = {tuple.get(), data.get()};
        return PyObject_Vectorcall(args[0], call, 2, nullptr);
      });
}

// ---- flatten_up_to

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
  auto same_data = [&](PyObject* data) {
    int same = PyObject_RichCompareBool(n.data, data, Py_EQ);
    if (same == 0)
      PyErr_Format(PyExc_ValueError, "Mismatch custom node data: %R != %R; value: %R.", n.data, data, x);
    return same == 1 ? 0 : -1;
  };
  auto push_values = [&](PyObject* keys) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(keys); i++) {
      PyObject* v = PyDict_GetItemWithError(x, PyTuple_GET_ITEM(keys, i));
      if (v == nullptr && PyErr_Occurred()) return -1;
      if (v == nullptr || PyDict_GET_SIZE(x) != n.arity) {
        Ref expected(PySequence_List(keys)), present(PyDict_Keys(x));
        if (expected && present)
          PyErr_Format(PyExc_ValueError, "Dict key mismatch; expected keys: %R; present keys: %R.", expected.get(), present.get());
        return -1;
      }
      out.push_back(Py_NewRef(v));
    }
    return PyTuple_GET_SIZE(keys) == PyDict_GET_SIZE(x) ? 0 : arity(PyDict_GET_SIZE(x));
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
    case Kind::kDict: return push_values(n.data);
    case Kind::kOrderedDict: {
      Ref keys(PySequence_Tuple(x));
      return keys && same_data(keys.get()) == 0 ? push_values(n.data) : -1;
    }
    case Kind::kDefaultDict: {
      Ref factory(PyObject_GetAttrString(x, "default_factory"));
      Ref keys(factory ? sorted_dict_keys(x) : nullptr);
      Ref data(keys ? PyTuple_Pack(2, factory.get(), keys.get()) : nullptr);
      return data && same_data(data.get()) == 0 ? push_values(PyTuple_GET_ITEM(n.data, 1)) : -1;
    }
    case Kind::kCustom: {
      Registration* reg = n.reg;
      Ref result(PyObject_CallOneArg(reg->flatten ? reg->flatten : reg->flatten_with_keys, x));
      PyObject *children = nullptr, *aux = nullptr;
      if (!result || split_flattened(result.get(), &children, &aux) < 0) return -1;
      Ref owned_children(children), owned_aux(aux);
      if (same_data(aux) < 0 || arity(PyTuple_GET_SIZE(children)) < 0) return -1;
      for (Py_ssize_t i = 0; i < n.arity; i++) {
        PyObject* c = PyTuple_GET_ITEM(children, i);
        out.push_back(Py_NewRef(reg->flatten ? c : PyTuple_GET_ITEM(c, 1)));
      }
      return 0;
    }
    case Kind::kDataclass: {
      PyObject* metas = n.reg->meta_fields;
      Ref data(PyTuple_New(PyTuple_GET_SIZE(metas)));
      for (Py_ssize_t i = 0; data && i < PyTuple_GET_SIZE(metas); i++) {
        PyObject* v = PyObject_GetAttr(x, PyTuple_GET_ITEM(metas, i));
        if (v == nullptr) return -1;
        PyTuple_SET_ITEM(data.get(), i, v);
      }
      if (!data || same_data(data.get()) < 0) return -1;
      for (Py_ssize_t i = 0; i < n.arity; i++) {
        PyObject* v = PyObject_GetAttr(x, PyTuple_GET_ITEM(n.reg->data_fields, i));
        if (v == nullptr) return -1;
        out.push_back(v);
      }
      return 0;
    }
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

PyObject* list_of_leaves(const TreeDefObject* t) {
  return PyList_New(static_cast<Py_ssize_t>(treedef_num_leaves(t)));
}

template <class Expand>
PyObject* descend_to_list(PyObject* self, PyObject* tree, Expand expand) {
  TreeDefObject* t = self_of(self);
  SmallVector<PyObject*, 64> leaves;
  leaves.resize(treedef_num_leaves(t));
  if (descend(t, tree, leaves.data(), expand) < 0) return nullptr;
  PyObject* list = list_of_leaves(t);
  for (size_t i = 0; i < leaves.size(); i++) {
    if (list) PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), leaves[i]);
    else Py_DECREF(leaves[i]);
  }
  return list;
}

PyObject* flatten_up_to(PyObject* self, PyObject* tree) {
  return descend_to_list(self, tree, [](const Node& n, PyObject* x, auto& out) { return expand_matching(n, x, out); });
}

PyObject* from_iterable_tree(PyObject* self, PyObject* tree) {
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
  return leaves ? unflatten(self, leaves.get()) : nullptr;
}

// ---- taking apart and putting together

PyObject* children(PyObject* self, PyObject*) {
  const std::vector<Node>& nodes = self_of(self)->nodes;
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

PyObject* node_type_object(const Node& n) {
  switch (n.kind) {
    case Kind::kLeaf: return nullptr;
    case Kind::kNone: return reinterpret_cast<PyObject*>(Py_TYPE(Py_None));
    case Kind::kTuple: return reinterpret_cast<PyObject*>(&PyTuple_Type);
    case Kind::kList: return reinterpret_cast<PyObject*>(&PyList_Type);
    case Kind::kDict: return reinterpret_cast<PyObject*>(&PyDict_Type);
    case Kind::kNamedTuple: return n.data;
    case Kind::kOrderedDict:
    case Kind::kDefaultDict: {
      static PyObject *ordered, *defaulted;
      if (ordered == nullptr) {
        Ref collections(PyImport_ImportModule("collections"));
        if (!collections) return nullptr;
        ordered = PyObject_GetAttrString(collections.get(), "OrderedDict");
        defaulted = PyObject_GetAttrString(collections.get(), "defaultdict");
      }
      return n.kind == Kind::kOrderedDict ? ordered : defaulted;
    }
    default: return reinterpret_cast<PyObject*>(n.reg->type);
  }
}

PyObject* node_data(PyObject* self, PyObject*) {
  const Node& root = self_of(self)->nodes.back();
  if (root.kind == Kind::kLeaf) Py_RETURN_NONE;
  PyObject* type = node_type_object(root);
  Ref data(type ? node_data_of(root) : nullptr);
  return data ? PyTuple_Pack(2, type, data.get()) : nullptr;
}

PyObject* compose(PyObject* self, PyObject* inner) {
  if (!treedef_check(inner)) return PyErr_Format(PyExc_TypeError, "compose: expected a PyTreeDef, got %R", Py_TYPE(inner));
  TreeDefObject* out = treedef_new();
  if (out == nullptr) return nullptr;
  const std::vector<Node>& in = self_of(inner)->nodes;
  for (const Node& n : self_of(self)->nodes) {
    if (n.kind == Kind::kLeaf) append(out, in.data(), in.data() + in.size());
    else append_parent(out, n.kind, n.reg, n.arity, n.data);
  }
  return reinterpret_cast<PyObject*>(out);
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
    if (kind->kind == Kind::kNamedTuple) {
      *out = Ref::borrow(type);
    } else {
      *out = Ref::borrow(data);
      if (kind->kind == Kind::kOrderedDict || kind->kind == Kind::kDefaultDict) {
        PyObject* keys = data;
        if (kind->kind == Kind::kDefaultDict && PyTuple_Check(data) && PyTuple_GET_SIZE(data) == 2) keys = PyTuple_GET_ITEM(data, 1);
        if (!PyTuple_Check(keys)) {
          PyErr_Format(PyExc_TypeError, "the node data of %R must hold a tuple of keys, got %R", type, data);
          return -1;
        }
        expected = PyTuple_GET_SIZE(keys);
      } else if (kind->kind == Kind::kDataclass) {
        expected = PyTuple_GET_SIZE(kind->reg->data_fields);
      }
    }
  }
  if (arity != expected) {
    PyErr_Format(PyExc_ValueError, "a %s node with this data has %zd children, got %zd", t->tp_name, expected, arity);
    return -1;
  }
  return 0;
}

// from_node_data_and_children(registry, node_data, children): the registry argument is JAX's, there is one registry.
PyObject* from_node_data_and_children(PyObject*, PyObject* args) {
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
    append(out, self_of(c)->nodes.data(), self_of(c)->nodes.data() + self_of(c)->nodes.size());
  }
  append_parent(out, kind.kind, kind.reg, static_cast<int32_t>(PyTuple_GET_SIZE(kids.get())), node.get());
  return owned.release();
}

// ---- pickling: a flat list of (type or None, data, arity)

PyObject* reduce(PyObject* self, PyObject*) {
  const std::vector<Node>& nodes = self_of(self)->nodes;
  Ref list(PyList_New(static_cast<Py_ssize_t>(nodes.size())));
  for (size_t i = 0; list && i < nodes.size(); i++) {
    PyObject* type = node_type_object(nodes[i]);
    if (type == nullptr && PyErr_Occurred()) return nullptr;
    Ref data(node_data_of(nodes[i]));
    PyObject* item = data ? Py_BuildValue("(OOi)", type ? type : Py_None, data.get(), nodes[i].arity) : nullptr;
    if (item == nullptr) return nullptr;
    PyList_SET_ITEM(list.get(), static_cast<Py_ssize_t>(i), item);
  }
  if (!list) return nullptr;
  Ref make(PyObject_GetAttrString(reinterpret_cast<PyObject*>(TreeDefType), "_from_nodes"));
  return make ? Py_BuildValue("(O(O))", make.get(), list.get()) : nullptr;
}

PyObject* from_nodes(PyObject*, PyObject* items) {
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
    append_parent(out, kind.kind, kind.reg, arity, node.get());
    roots += 1 - static_cast<size_t>(arity);
  }
  if (roots != 1) return PyErr_Format(PyExc_ValueError, "not a list of tree nodes in postorder");
  return owned.release();
}

PyObject* get_num_leaves(PyObject* self, void*) { return PyLong_FromSize_t(treedef_num_leaves(self_of(self))); }
PyObject* get_num_nodes(PyObject* self, void*) { return PyLong_FromSize_t(self_of(self)->nodes.size()); }

PyGetSetDef getset[] = {
    {"num_leaves", get_num_leaves, nullptr, "How many leaves the tree has."},
    {"num_nodes", get_num_nodes, nullptr, "How many nodes the tree has, leaves included."},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyMethodDef methods[] = {
    {"unflatten", unflatten, METH_O, "unflatten(leaves): the tree with these leaves."},
    {"flatten_up_to", flatten_up_to, METH_O,
     "flatten_up_to(tree): the subtrees of tree in the places of this treedef's leaves; ValueError where they differ above."},
    {"children", children, METH_NOARGS, "children(): the treedefs of the root's children."},
    {"node_data", node_data, METH_NOARGS, "node_data(): (type, data) of the root, or None for a leaf."},
    {"compose", compose, METH_O, "compose(inner): this treedef with inner in the place of every leaf."},
    {"walk", fastcall(walk), METH_FASTCALL,
     "walk(f_node, f_leaf, leaves): f_leaf(leaf) for leaves and f_node(children's results, node data) for nodes, children first."},
    {"from_iterable_tree", from_iterable_tree, METH_O,
     "from_iterable_tree(xs): the tree whose nodes' children are given by iterables nested as this treedef is."},
    {"from_node_data_and_children", from_node_data_and_children, METH_VARARGS | METH_STATIC,
     "from_node_data_and_children(registry, node_data, children): a treedef from its root's node_data() and children()."},
    {"_from_nodes", from_nodes, METH_O | METH_STATIC, "The inverse of __reduce__."},
    {"__reduce__", reduce, METH_NOARGS, nullptr},
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

PyObject* treedef_unflatten(const TreeDefObject* t, PyObject* const* leaves) {
  if (t->nodes.size() == 1 && t->nodes[0].kind == Kind::kLeaf) return Py_NewRef(leaves[0]);
  return evaluate(t, [&](size_t i) { return Py_NewRef(leaves[i]); },
                  [](const Node& n, PyObject** children) { return make_node(n, children); });
}

int treedef_flatten_up_to(const TreeDefObject* t, PyObject* tree, PyObject** out) {
  return descend(t, tree, out, [](const Node& n, PyObject* x, auto& stack) { return expand_matching(n, x, stack); });
}

int init_treedef(PyObject* m) {
  TreeDefType = add_type(m, &spec, "PyTreeDef");
  return TreeDefType == nullptr ? -1 : 0;
}

}  // namespace addax
