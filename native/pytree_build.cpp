// From leaves to objects: one pass over the postorder list, children before the containers that hold them.
#include "pytree_treedef.h"

namespace addax {
namespace {

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
    case Kind::kOrderedDict: {
      PyObject* d = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(OrderedDictType));
      return d ? fill_dict(d, n.data) : nullptr;
    }
    case Kind::kDefaultDict: {
      PyObject* d = PyObject_CallOneArg(reinterpret_cast<PyObject*>(DefaultDictType), PyTuple_GET_ITEM(n.data, 0));
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

}  // namespace

PyObject* treedef_unflatten(const TreeDefObject* t, PyObject* const* leaves) {
  if (t->nodes.size() == 1 && t->nodes[0].kind == Kind::kLeaf) return Py_NewRef(leaves[0]);
  return evaluate(t, [&](size_t i) { return Py_NewRef(leaves[i]); },
                  [](const Node& n, PyObject** children) { return make_node(n, children); });
}

PyObject* treedef_unflatten_method(PyObject* self, PyObject* leaves) {
  Ref seq(PySequence_Fast(leaves, "unflatten: the leaves must be an iterable"));
  if (!seq || check_count(treedef_of(self), PySequence_Fast_GET_SIZE(seq.get())) < 0) return nullptr;
  if (PyList_Check(seq.get())) {  // node constructors run Python code that could change the list
    Ref frozen(PyList_AsTuple(seq.get()));
    return frozen ? treedef_unflatten(treedef_of(self), PySequence_Fast_ITEMS(frozen.get())) : nullptr;
  }
  return treedef_unflatten(treedef_of(self), PySequence_Fast_ITEMS(seq.get()));
}

PyObject* treedef_walk(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  if (n != 3) return PyErr_Format(PyExc_TypeError, "walk(f_node, f_leaf, leaves) takes 3 arguments, got %zd", n);
  Ref leaves(PySequence_Tuple(args[2]));
  if (!leaves || check_count(treedef_of(self), PyTuple_GET_SIZE(leaves.get())) < 0) return nullptr;
  return evaluate(
      treedef_of(self),
      [&](size_t i) {
        PyObject* x = PyTuple_GET_ITEM(leaves.get(), static_cast<Py_ssize_t>(i));
        return args[1] == Py_None ? Py_NewRef(x) : PyObject_CallOneArg(args[1], x);
      },
      [&](const Node& node, PyObject** children) -> PyObject* {
        Ref tuple(PyTuple_New(node.arity)), data(treedef_node_data_of(node));
        if (!tuple || !data) return nullptr;
        for (int32_t i = 0; i < node.arity; i++) PyTuple_SET_ITEM(tuple.get(), i, Py_NewRef(children[i]));
        PyObject* call[2] = {tuple.get(), data.get()};
        return PyObject_Vectorcall(args[0], call, 2, nullptr);
      });
}

}  // namespace addax
