// The jit call path: from Python arguments to a compiled program and back.
//   dispatch_signature.cpp  arguments -> leaves and the words of a signature, which decides which program runs
//   dispatch_entry.cpp      Entry: a compiled program and how to feed it; conversion of leaves, running, results
//   dispatch_launch.cpp     Launch: a compiled program of another engine, from Arrays to its buffers and back
//   dispatch.cpp            Fn: the callable with its table from signature to Entry
#pragma once

#include <memory>

#include "array.h"
#include "pytree.h"
#include "small_vector.h"
#include "staging.h"

namespace addax {

// What a static argument's value is known by within one Fn: values equal in type and value share a number.
struct StaticTable {
  PyObject* ids = nullptr;         // dict: (type, value) -> int
  PyObject* unhashable = nullptr;  // list of aux data of custom pytree nodes that have equality but no hash
  // Numbers are never given twice, also after the table was cleared: a call that was under way then may still store some.
  uint64_t next = 0, unhashable_base = 0;
};

// One call's arguments taken apart. Leaves are strong references; `objects` are the borrowed ones behind pointers in
// `words`, which a table entry must keep alive for the words to stay unambiguous.
struct Call {
  SmallVector<uintptr_t, 96> words;
  SmallVector<PyObject*, 32> leaves;
  SmallVector<PyObject*, 48> objects;
  SmallVector<PyObject*, 16> owned;  // released at the end of the call
  StaticTable* statics;
  PyObject* context;

  ~Call() {
    for (PyObject* o : leaves) Py_DECREF(o);
    for (PyObject* o : owned) Py_DECREF(o);
  }
};

enum class Signature { kOk, kError, kTrace };  // kTrace: a tracer or an unknown leaf; Python must take the call

struct StaticArgs {
  SmallVector<int, 8> positions;  // sorted; negative ones count from the end
  PyObject* names;                // tuple of interned str
};

Signature make_signature(Call& call, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, const StaticArgs& statics);

struct EntryObject {
  PyObject_HEAD
  PyObject* executable;  // native Program, Launch, another callable on lists of arrays, or None: always trace
  PyObject* out_tree;    // TreeDefObject
  PyObject* in_avals;    // tuple
  bool native, launch;
  bool all_kept;
  SmallVector<int, 16> kept;         // leaf numbers passed to the executable, unless all_kept
  SmallVector<uint8_t, 32> donated;  // per leaf; empty: none
  SmallVector<Desc*, 32> descs;      // of in_avals; null for leaves that are not passed
  size_t num_outputs;
  std::unique_ptr<Staging> staging;  // for a Launch that stages
};
extern PyTypeObject* EntryType;

// Runs a compiled program on the call's leaves; the result tree, or null with an error.
PyObject* entry_run(EntryObject* entry, Call& call);

// Runs a Launch on as many Arrays as it takes; `out` has room for its results, of which each is a new reference. 0, or -1
// with an error and nothing stored. In place of an Array it takes a buffer of the engine's.
extern PyTypeObject* LaunchType;
int launch_run(PyObject* launch, PyObject* const* arguments, size_t n, PyObject** out);
std::unique_ptr<Staging> launch_staging(PyObject* launch);  // null if it does not stage
size_t launch_num_inputs(PyObject* launch);
size_t launch_num_outputs(PyObject* launch);

int init_signature(PyObject* module);
int init_launch(PyObject* module);
int init_entry(PyObject* module);

}  // namespace addax
