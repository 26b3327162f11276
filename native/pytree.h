// Pytrees: nested containers whose leaves are arrays. The meaning is JAX's: None is a node without children, dicts are
// ordered by key, namedtuples, OrderedDict and defaultdict are nodes, other classes are once they are registered.
//
// A PyTreeDef is the shape of a tree as a list of nodes in postorder (children before parents), so that flatten,
// unflatten, comparison and printing are loops: depth costs memory, never C stack.
//   pytree_registry.cpp  which types are nodes, and how they come apart
//   pytree_walk.h        the one traversal of Python objects, used by flatten and by the jit call path
//   pytree_treedef.cpp   the PyTreeDef type; its methods are in pytree_build.cpp (unflatten), pytree_match.cpp
//                        (flatten_up_to) and pytree_parts.cpp (children, compose, pickling)
//   pytree_keys.cpp      DictKey, SequenceKey, ... for key paths
//   pytree.cpp           flatten, tree_map and the other module functions
#pragma once

#include <vector>

#include "common.h"

namespace addax {

enum class Kind : uint8_t { kLeaf, kNone, kTuple, kList, kDict, kNamedTuple, kOrderedDict, kDefaultDict, kCustom, kDataclass };

// A registered class. Never freed: trees of its instances may be anywhere.
struct Registration {
  PyTypeObject* type;
  PyObject *flatten, *unflatten;  // custom; flatten may be null if flatten_with_keys is not
  PyObject* flatten_with_keys;    // custom: f(x) -> (((key, child), ...), aux); or null
  PyObject *data_fields, *meta_fields;  // dataclass: tuples of interned names
};

struct NodeType {
  Kind kind;
  Registration* reg;
};

// One node of a PyTreeDef.
struct Node {
  Kind kind;
  int32_t arity;
  int32_t num_leaves, num_nodes;  // of the subtree
  Registration* reg;              // kCustom, kDataclass
  PyObject* data;                 // strong or null. kDict, kOrderedDict: tuple of keys; kDefaultDict: (factory, keys);
                                  // kNamedTuple: the class; kCustom: aux data; kDataclass: tuple of meta field values
};

struct TreeDefObject {
  PyObject_HEAD
  std::vector<Node> nodes;  // postorder: the root is last
  Py_hash_t hash;           // -1 until asked for
  PyObject* weakrefs;
};

extern PyTypeObject* TreeDefType;

inline bool treedef_check(PyObject* o) { return Py_TYPE(o) == TreeDefType; }

extern PyTypeObject *OrderedDictType, *DefaultDictType;

// What a value is: a node type, or {kLeaf, null}. Never runs Python code.
NodeType node_type_of_slow(PyObject* o);
// The node type of a class's instances, {kLeaf, null} if they are leaves (or of a builtin container's class).
NodeType node_kind_of_type(PyTypeObject* t);
inline NodeType node_type_of(PyObject* o) {
  PyTypeObject* t = Py_TYPE(o);
  if (t == &PyTuple_Type) return {Kind::kTuple, nullptr};
  if (t == &PyDict_Type) return {Kind::kDict, nullptr};
  if (t == &PyList_Type) return {Kind::kList, nullptr};
  if (o == Py_None) return {Kind::kNone, nullptr};
  return node_type_of_slow(o);
}

// The keys of a dict in the order of its children, a new tuple (shared between dicts with the same string keys).
PyObject* sorted_dict_keys(PyObject* dict);
// Splits what a custom flatten function returned into children (tuple) and aux data; both new references.
int split_flattened(PyObject* result, PyObject** children, PyObject** aux);

TreeDefObject* treedef_new();  // without nodes
// Appends the parent of the subtrees that the last `arity` roots among the nodes stand for.
void treedef_append_parent(TreeDefObject* t, NodeType type, Py_ssize_t arity, PyObject* data);
// The tree with these leaves (borrowed, exactly num_leaves of them); a new reference.
PyObject* treedef_unflatten(const TreeDefObject* t, PyObject* const* leaves);
inline size_t treedef_num_leaves(const TreeDefObject* t) { return static_cast<size_t>(t->nodes.back().num_leaves); }
// The leaves of `tree` as seen by `t`, whose leaves may be subtrees of it; new references in out[num_leaves].
int treedef_flatten_up_to(const TreeDefObject* t, PyObject* tree, PyObject** out);

// Key path entries.
PyObject* make_sequence_key(Py_ssize_t i);
PyObject* make_dict_key(PyObject* key);
PyObject* make_attr_key(PyObject* name);
PyObject* make_flat_index_key(Py_ssize_t i);

int init_pytree_registry(PyObject* module);
int init_treedef(PyObject* module);
int init_pytree_keys(PyObject* module);

}  // namespace addax
