// The traversal of a Python object as a tree, with an explicit stack. A Sink receives what is met, children first:
//   static constexpr bool kPaths           whether enter/leave want to know the way to each child
//   int is_leaf(PyObject* x)               1: stop here, 0: look inside, -1: error
//   int leaf(PyObject* x)                  takes over the reference, also on error
//   int node(const NodeType&, Py_ssize_t arity, PyObject* data)      borrowed data, see Node::data
//   int enter(const WalkFrame&, Py_ssize_t i), void leave()          kPaths only
#pragma once

#include "pytree.h"
#include "small_vector.h"

namespace addax {

struct WalkFrame {
  NodeType type;
  PyObject* source;  // strong: what the children are taken from
  PyObject* data;    // strong or null: Node::data
  PyObject* keys;    // dict kinds: tuple of keys (borrowed from data); custom with kPaths: tuple of (key, child)
  Py_ssize_t i, n;
  Py_ssize_t pos;  // dict kinds: where PyDict_Next continues, as long as the dict's own order is the sorted one; or -1
};

// Opens a node: what its children are and what goes into Node::data. Takes over the reference to x.
template <bool kPaths>
int walk_open(PyObject* x, NodeType type, WalkFrame& f) {
  f = {type, x, nullptr, nullptr, 0, 0, 0};
  switch (type.kind) {
    case Kind::kNone: return 0;
    case Kind::kTuple: f.n = PyTuple_GET_SIZE(x); return 0;
    case Kind::kList: f.n = PyList_GET_SIZE(x); return 0;
    case Kind::kNamedTuple:
      f.n = PyTuple_GET_SIZE(x);
      f.data = Py_NewRef(reinterpret_cast<PyObject*>(Py_TYPE(x)));
      return 0;
    case Kind::kDict: f.data = f.keys = sorted_dict_keys(x); break;
    case Kind::kOrderedDict: f.data = f.keys = PySequence_Tuple(x); break;
    case Kind::kDefaultDict: {
      Ref factory(PyObject_GetAttrString(x, "default_factory"));
      Ref keys(factory ? sorted_dict_keys(x) : nullptr);
      f.data = keys ? PyTuple_Pack(2, factory.get(), keys.get()) : nullptr;
      f.keys = keys.get();  // alive through data
      break;
    }
    case Kind::kCustom: {
      Registration* reg = type.reg;
      bool with_keys = (kPaths && reg->flatten_with_keys) || reg->flatten == nullptr;
      Ref result(PyObject_CallOneArg(with_keys ? reg->flatten_with_keys : reg->flatten, x));
      PyObject* children = nullptr;
      if (!result || split_flattened(result.get(), &children, &f.data) < 0) break;
      f.source = children;
      f.keys = with_keys ? children : nullptr;
      f.n = PyTuple_GET_SIZE(children);
      Py_DECREF(x);
      if (with_keys) {
        for (Py_ssize_t i = 0; i < f.n; i++) {
          PyObject* pair = PyTuple_GET_ITEM(children, i);
          if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_Format(PyExc_ValueError, "flatten_with_keys of %R must return ((key, child), ...) pairs, got %R",
                         reg->type, pair);
            Py_CLEAR(f.source);
            Py_CLEAR(f.data);
            return -1;
          }
        }
      }
      return 0;
    }
    case Kind::kDataclass: {
      PyObject* names = type.reg->meta_fields;
      f.n = PyTuple_GET_SIZE(type.reg->data_fields);
      f.data = PyTuple_New(PyTuple_GET_SIZE(names));
      for (Py_ssize_t i = 0; f.data != nullptr && i < PyTuple_GET_SIZE(names); i++) {
        PyObject* v = PyObject_GetAttr(x, PyTuple_GET_ITEM(names, i));
        if (v == nullptr) Py_CLEAR(f.data);
        else PyTuple_SET_ITEM(f.data, i, v);
      }
      break;
    }
    case Kind::kLeaf: break;
  }
  if (f.data == nullptr) {
    Py_CLEAR(f.source);
    return -1;
  }
  if (f.keys != nullptr) f.n = PyTuple_GET_SIZE(f.keys);
  return 0;
}

// The next child, a new reference.
inline PyObject* walk_child(WalkFrame& f, Py_ssize_t i) {
  switch (f.type.kind) {
    case Kind::kTuple:
    case Kind::kNamedTuple: return Py_NewRef(PyTuple_GET_ITEM(f.source, i));
    case Kind::kList:
      if (ADDAX_UNLIKELY(i >= PyList_GET_SIZE(f.source))) {
        PyErr_SetString(PyExc_RuntimeError, "a list changed size while its pytree was being flattened");
        return nullptr;
      }
      return Py_NewRef(PyList_GET_ITEM(f.source, i));
    case Kind::kCustom: {
      PyObject* c = PyTuple_GET_ITEM(f.source, i);
      return Py_NewRef(f.keys ? PyTuple_GET_ITEM(c, 1) : c);
    }
    case Kind::kDataclass: return PyObject_GetAttr(f.source, PyTuple_GET_ITEM(f.type.reg->data_fields, i));
    default: {
      PyObject *key = PyTuple_GET_ITEM(f.keys, i), *next = nullptr, *v = nullptr;
      if (ADDAX_LIKELY(f.pos >= 0 && PyDict_Next(f.source, &f.pos, &next, &v) && next == key)) return Py_NewRef(v);
      f.pos = -1;
      v = PyDict_GetItemWithError(f.source, key);
      if (ADDAX_UNLIKELY(v == nullptr)) {
        if (!PyErr_Occurred()) PyErr_SetObject(PyExc_KeyError, key);
        return nullptr;
      }
      return Py_NewRef(v);
    }
  }
}

constexpr size_t kMaxDepth = 1'000'000;  // a container that contains itself must end in an error, not fill the memory

template <class Sink>
int tree_walk(PyObject* root, Sink& sink) {
  SmallVector<WalkFrame, 16> stack;
  // Takes over x. Leaves go to the sink, nodes without children too, others onto the stack.
  auto visit = [&](PyObject* x) -> int {
    int stop = sink.is_leaf(x);
    if (ADDAX_UNLIKELY(stop < 0)) {
      Py_DECREF(x);
      return -1;
    }
    NodeType type = stop ? NodeType{Kind::kLeaf, nullptr} : node_type_of(x);
    if (type.kind == Kind::kLeaf) return sink.leaf(x);
    WalkFrame f;
    if (ADDAX_UNLIKELY(walk_open<Sink::kPaths>(x, type, f) < 0)) return -1;
    stack.push_back(f);
    return 0;
  };
  int status = visit(Py_NewRef(root));
  while (status == 0 && !stack.empty()) {
    WalkFrame& f = stack.back();
    if (f.i < f.n) {
      Py_ssize_t i = f.i++;
      if constexpr (Sink::kPaths) {
        if ((status = sink.enter(f, i)) < 0) break;
      }
      PyObject* child = walk_child(f, i);
      if (ADDAX_UNLIKELY(child == nullptr)) {
        status = -1;
        break;
      }
      size_t depth = stack.size();
      status = visit(child);
      if constexpr (Sink::kPaths) {
        if (status == 0 && stack.size() == depth) sink.leave();
      }
      if (ADDAX_UNLIKELY(depth > kMaxDepth)) {
        PyErr_SetString(PyExc_RecursionError, "a pytree is nested a million levels deep: does a container contain itself?");
        status = -1;
      }
    } else {
      status = sink.node(f.type, f.n, f.data);
      Py_XDECREF(f.data);
      Py_DECREF(f.source);
      stack.pop_back();
      if constexpr (Sink::kPaths) {
        if (!stack.empty()) sink.leave();
      }
    }
  }
  for (WalkFrame& f : stack) {
    Py_XDECREF(f.data);
    Py_DECREF(f.source);
  }
  return status;
}

}  // namespace addax
