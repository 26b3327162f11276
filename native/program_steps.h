// The parsed form of a program: what program_parse.cpp builds and program_run.cpp walks.
#pragma once

#include "array.h"
#include "common.h"

#include <atomic>
#include <deque>
#include <string>
#include <vector>

namespace addax {

// Every kernel, JIT-compiled or from native/kernels: computes items [lo, hi) from and to the pointers in args; table
// holds the run-time dimensions, strides and parameters.
using Kernel = void (*)(void** args, const int64_t* table, int64_t lo, int64_t hi);

enum class Op : uint8_t { kKernel, kCopy, kFill, kHost, kWhile, kCond, kLoop, kSwap };

struct HostCall {
  PyObject* callable = nullptr;  // strong
  std::vector<uint32_t> in_slots, out_slots;
  std::vector<PyObject*> in_avals, out_avals;  // immortal
  std::vector<Desc*> in_descs, out_descs;
};

struct Step;

struct Block {
  std::vector<Step> steps;
  double estimated_ns = 0;  // of one run
};

struct Step {
  Op op;
  bool wide = false;           // loop: the counter (and a trip count in a slot) is int64 rather than int32
  bool reverse = false;        // loop: count down
  uint32_t id = 0;             // position in Program::paths
  uint32_t a = 0, b = 0;       // slots: copy dst, src; fill dst; while predicate; cond index; loop counter, trip; swap
  uint32_t n_args = 0;         // kernel
  uint32_t check_every = 1;    // while, loop: turns between looks at the clock (for KeyboardInterrupt)
  const uint32_t* args = nullptr;
  Kernel kernel = nullptr;
  const int64_t* table = nullptr;
  int64_t extent = 0;          // kernel: items; copy, fill: bytes; loop: trips, or -1 when they are in slot b
  int64_t align = 1;           // kernel: it may be cut at multiples of this
  double estimated_ns = 0;     // kernel: of the whole extent
  bool split = false;          // kernel: worth cutting over the pool
  Block* blocks = nullptr;     // while: condition, body; cond: branches; loop: body
  uint32_t n_blocks = 0;
  HostCall* host = nullptr;
};

inline constexpr uint32_t kNoSlot = UINT32_MAX;

enum class SlotKind : uint8_t { kIn, kConst, kArena, kOut };

struct Slot {
  SlotKind kind;
  uint32_t index;   // of the input, constant or output
  int64_t offset;   // in the arena
  int64_t nbytes;
};

enum class OutputKind : uint8_t {
  kFresh,  // memory of its own, written through its "out" slot
  kCopy,   // copied at the end from arena slot `index`
  kSame,   // shares the memory of output `index`
  kInput,  // shares the memory of input `index`
  kConst,  // shares the memory of constant `index`
};

struct Output {
  OutputKind kind = OutputKind::kFresh;
  uint32_t index = 0;
  uint32_t donor = kNoSlot;  // kFresh: the input whose memory it may take over
  PyObject* aval = nullptr;  // immortal
  Desc* desc = nullptr;
};

struct SlotPointer {
  uint32_t slot;
  uint32_t index;
};

// One run's pointers and scratch memory.
struct Workspace {
  Storage* arena = nullptr;
  std::vector<void*> pointers;
};

struct Program {
  PyObject_HEAD
  struct Body {
    std::vector<PyObject*> in_avals;  // immortal
    std::vector<Desc*> in_descs;
    std::vector<Slot> slots;
    std::vector<SlotPointer> in_slots, const_slots, arena_slots, out_slots;
    std::vector<Output> outputs;
    std::vector<PyObject*> consts;   // strong references to arrays
    std::vector<Storage*> const_storage;  // our own reference, so that deleting the array cannot pull it away
    std::vector<void*> const_data;
    Block main;
    std::deque<std::vector<Block>> blocks;
    std::deque<std::vector<uint32_t>> arg_lists;
    std::deque<std::vector<int64_t>> tables;
    std::deque<HostCall> host_calls;
    std::vector<std::string> paths;  // of every step, by id
    PyObject* keep = nullptr;        // whatever owns the machine code
    int64_t arena_bytes = 0;
    bool has_host = false, has_loop = false, has_swap = false, may_donate = false, release_gil = false, on_stack = false;
    std::atomic<Workspace*> cached{nullptr};
  };
  Body* body;
};

// Fills body from the constructor's arguments; -1 with a Python error set.
int program_parse(Program::Body& body, PyObject* in_avals, PyObject* out_avals, PyObject* slots, int64_t arena_bytes,
                  PyObject* consts, PyObject* steps, PyObject* outputs, PyObject* may_donate);

// What a running program carries along.
struct Run {
  const Program::Body& body;
  void** ptr;                 // by slot
  ArrayObject** in;
  bool donated;               // some input's memory is being overwritten
  PyThreadState* released;    // non-null while we do not hold the GIL
  class FlushDenormals* flush;
  int64_t next_check_ns;
  int64_t* profile;           // nanoseconds by step id, or null
};

// Calls Python; -1 with an error set.
int run_host_call(Run& run, const HostCall& call);

// The name of an ahead-of-time kernel, or null.
const char* kernel_name(Kernel kernel);

}  // namespace addax
