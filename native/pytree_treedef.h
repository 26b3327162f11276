// The methods of PyTreeDef that have files of their own.
#pragma once

#include "pytree.h"
#include "small_vector.h"

namespace addax {

inline TreeDefObject* treedef_of(PyObject* o) { return reinterpret_cast<TreeDefObject*>(o); }

// pytree_build.cpp: from leaves to objects
PyObject* treedef_unflatten_method(PyObject* self, PyObject* leaves);
PyObject* treedef_walk(PyObject* self, PyObject* const* args, Py_ssize_t n);

// pytree_match.cpp: an object taken apart as a treedef says
PyObject* treedef_flatten_up_to_method(PyObject* self, PyObject* tree);
PyObject* treedef_from_iterable_tree(PyObject* self, PyObject* tree);

// pytree_parts.cpp: treedefs from and to parts; pickling
PyObject* treedef_node_data_of(const Node& n);  // what users see of Node::data; a new reference
PyObject* treedef_children(PyObject* self, PyObject*);
PyObject* treedef_node_data(PyObject* self, PyObject*);
PyObject* treedef_compose(PyObject* self, PyObject* inner);
PyObject* treedef_from_node_data_and_children(PyObject*, PyObject* args);
PyObject* treedef_reduce(PyObject* self, PyObject*);
PyObject* treedef_from_nodes(PyObject*, PyObject* items);

}  // namespace addax
