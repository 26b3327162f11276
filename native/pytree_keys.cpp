// The entries of key paths: how to get from a node to one of its children.
#include "pytree.h"

namespace addax {
namespace {

struct KeyObject {
  PyObject_HEAD
  PyObject* value;
};

// One row per class: the field's name, and how the key prints in a path.
struct KeyClass {
  const char *name, *field, *format, *doc;
  PyTypeObject* type;
};
enum { kSequence, kDict, kAttr, kFlat, kCount };
KeyClass g_classes[kCount] = {
    {"addax.tree_util.SequenceKey", "idx", "[%R]", "The child of a list or tuple: its index.", nullptr},
    {"addax.tree_util.DictKey", "key", "[%R]", "The child of a dict: its key.", nullptr},
    {"addax.tree_util.GetAttrKey", "name", ".%S", "The child of an object: the attribute's name.", nullptr},
    {"addax.tree_util.FlattenedIndexKey", "key", "[<flat index %R>]", "The child of a class registered without keys: its number.",
     nullptr},
};

inline PyObject* value_of(PyObject* self) { return reinterpret_cast<KeyObject*>(self)->value; }

int class_of(PyTypeObject* t) {
  for (int i = 0; i < kCount; i++)
    if (g_classes[i].type == t) return i;
  return -1;
}

PyObject* make(PyTypeObject* type, PyObject* owned) {
  if (owned == nullptr) return nullptr;
  auto* k = PyObject_New(KeyObject, type);
  if (k == nullptr) {
    Py_DECREF(owned);
    return nullptr;
  }
  k->value = owned;
  return reinterpret_cast<PyObject*>(k);
}

PyObject* new_key(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  const char* names[] = {g_classes[class_of(type)].field, nullptr};
  PyObject* value;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", const_cast<char**>(names), &value)) return nullptr;
  return make(type, Py_NewRef(value));
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_DECREF(value_of(self));
  type->tp_free(self);
  Py_DECREF(type);
}

PyObject* repr(PyObject* self) {
  const KeyClass& c = g_classes[class_of(Py_TYPE(self))];
  return PyUnicode_FromFormat("%s(%s=%R)", c.name + sizeof("addax.tree_util.") - 1, c.field, value_of(self));
}

PyObject* str(PyObject* self) { return PyUnicode_FromFormat(g_classes[class_of(Py_TYPE(self))].format, value_of(self)); }

Py_hash_t hash(PyObject* self) {
  Py_hash_t h = PyObject_Hash(value_of(self));
  if (h == -1) return -1;
  h = h * 31 + class_of(Py_TYPE(self));
  return h == -1 ? -2 : h;
}

PyObject* compare(PyObject* a, PyObject* b, int op) {
  if (op != Py_EQ && op != Py_NE) Py_RETURN_NOTIMPLEMENTED;
  if (Py_TYPE(a) != Py_TYPE(b)) Py_RETURN_NOTIMPLEMENTED;
  return PyObject_RichCompare(value_of(a), value_of(b), op);
}

PyObject* reduce(PyObject* self, PyObject*) {
  return Py_BuildValue("(O(O))", reinterpret_cast<PyObject*>(Py_TYPE(self)), value_of(self));
}

PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};

}  // namespace

PyObject* make_sequence_key(Py_ssize_t i) { return make(g_classes[kSequence].type, PyLong_FromSsize_t(i)); }
PyObject* make_dict_key(PyObject* key) { return make(g_classes[kDict].type, Py_NewRef(key)); }
PyObject* make_attr_key(PyObject* name) { return make(g_classes[kAttr].type, Py_NewRef(name)); }
PyObject* make_flat_index_key(Py_ssize_t i) { return make(g_classes[kFlat].type, PyLong_FromSsize_t(i)); }

int init_pytree_keys(PyObject* m) {
  static PyMemberDef members[kCount][2];
  for (int i = 0; i < kCount; i++) {
    KeyClass& c = g_classes[i];
    members[i][0] = {c.field, T_OBJECT_EX, offsetof(KeyObject, value), READONLY, nullptr};
    PyType_Slot slots[] = {
        {Py_tp_new, reinterpret_cast<void*>(new_key)},
        {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
        {Py_tp_repr, reinterpret_cast<void*>(repr)},
        {Py_tp_str, reinterpret_cast<void*>(str)},
        {Py_tp_hash, reinterpret_cast<void*>(hash)},
        {Py_tp_richcompare, reinterpret_cast<void*>(compare)},
        {Py_tp_methods, methods},
        {Py_tp_members, members[i]},
        {Py_tp_doc, const_cast<char*>(c.doc)},
        {0, nullptr},
    };
    PyType_Spec spec = {c.name, sizeof(KeyObject), 0, Py_TPFLAGS_DEFAULT, slots};
    c.type = add_type(m, &spec, c.name + sizeof("addax.tree_util.") - 1);
    Ref match(c.type ? Py_BuildValue("(s)", c.field) : nullptr);
    if (!match || PyObject_SetAttrString(reinterpret_cast<PyObject*>(c.type), "__match_args__", match.get()) < 0) return -1;
  }
  return 0;
}

}  // namespace addax
