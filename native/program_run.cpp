// Running a program: start at program_run, then run_block.
//
// The calling thread walks the steps in order; only a single large kernel is ever cut over the pool. Small programs keep
// their pointers and arena on the stack and hold the GIL; large ones take a cached workspace and release it.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>

#include "pool.h"
#include "program.h"
#include "program_steps.h"

namespace addax {
namespace {

constexpr int64_t kSignalIntervalNs = 50'000'000;
constexpr int64_t kParallelCopyBytes = 256 << 10;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Gives Ctrl-C a chance every 50 ms. -1 when a signal handler raised.
int check_signals(Run& run) {
  int64_t now = now_ns();
  if (now < run.next_check_ns) return 0;
  bool first = run.next_check_ns == 0;
  run.next_check_ns = now + kSignalIntervalNs;
  if (first) return 0;
  // A program that kept the GIL because it looked short gives other threads a turn here.
  bool was_released = run.released != nullptr;
  PyEval_RestoreThread(was_released ? run.released : PyEval_SaveThread());
  run.released = nullptr;
  int rc = PyErr_CheckSignals();
  if (was_released) run.released = PyEval_SaveThread();
  return rc;
}

int run_block(Run& run, const Block& block);

int run_while(Run& run, const Step& step) {
  for (uint32_t left = step.check_every;;) {
    if (run_block(run, step.blocks[0]) < 0) return -1;
    if (*static_cast<const uint8_t*>(run.ptr[step.a]) == 0) return 0;
    if (run_block(run, step.blocks[1]) < 0) return -1;
    if (--left == 0) {
      left = step.check_every;
      if (check_signals(run) < 0) return -1;
    }
  }
}

template <typename Int>
int run_loop(Run& run, const Step& step) {
  int64_t trips = step.extent >= 0 ? step.extent : static_cast<int64_t>(*static_cast<const Int*>(run.ptr[step.b]));
  const Block& body = step.blocks[0];
  uint32_t left = step.check_every;
  for (int64_t i = 0; i < trips; ++i) {
    if (step.a != kNoSlot) *static_cast<Int*>(run.ptr[step.a]) = static_cast<Int>(step.reverse ? trips - 1 - i : i);
    if (run_block(run, body) < 0) return -1;
    if (--left == 0) {
      left = step.check_every;
      if (check_signals(run) < 0) return -1;
    }
  }
  return 0;
}

void copy_bytes(void* dst, const void* src, int64_t nbytes) {
  if (nbytes < kParallelCopyBytes) {
    if (nbytes) std::memcpy(dst, src, nbytes);
    return;
  }
  parallel_for(nbytes, 4096, nbytes * 0.1, [&](int64_t lo, int64_t hi) {
    std::memcpy(static_cast<char*>(dst) + lo, static_cast<const char*>(src) + lo, hi - lo);
  });
}

void fill_zero(void* dst, int64_t nbytes) {
  if (nbytes < kParallelCopyBytes) {
    if (nbytes) std::memset(dst, 0, nbytes);
    return;
  }
  parallel_for(nbytes, 4096, nbytes * 0.1,
               [&](int64_t lo, int64_t hi) { std::memset(static_cast<char*>(dst) + lo, 0, hi - lo); });
}

inline void run_kernel(Run& run, const Step& step) {
  void* few[12];
  std::unique_ptr<void*[]> many;
  void** args = few;
  if (ADDAX_UNLIKELY(step.n_args > 12)) {
    many.reset(new void*[step.n_args]);
    args = many.get();
  }
  for (uint32_t k = 0; k < step.n_args; ++k) args[k] = run.ptr[step.args[k]];
  if (step.split) {
    parallel_for(step.extent, step.align, step.estimated_ns,
                 [&](int64_t lo, int64_t hi) { step.kernel(args, step.table, lo, hi); });
  } else {
    step.kernel(args, step.table, 0, step.extent);
  }
}

inline int run_step(Run& run, const Step& step) {
  switch (step.op) {
    case Op::kKernel: run_kernel(run, step); return 0;
    case Op::kCopy: copy_bytes(run.ptr[step.a], run.ptr[step.b], step.extent); return 0;
    case Op::kFill: fill_zero(run.ptr[step.a], step.extent); return 0;
    case Op::kSwap: std::swap(run.ptr[step.a], run.ptr[step.b]); return 0;
    case Op::kHost: return run_host_call(run, *step.host);
    case Op::kWhile: return run_while(run, step);
    case Op::kLoop: return step.wide ? run_loop<int64_t>(run, step) : run_loop<int32_t>(run, step);
    case Op::kCond: {
      int32_t index = *static_cast<const int32_t*>(run.ptr[step.a]);
      index = std::clamp<int32_t>(index, 0, static_cast<int32_t>(step.n_blocks) - 1);
      return run_block(run, step.blocks[index]);
    }
  }
  return 0;
}

int run_block(Run& run, const Block& block) {
  if (ADDAX_UNLIKELY(run.profile != nullptr)) {
    for (const Step& step : block.steps) {
      int64_t start = now_ns();
      int rc = run_step(run, step);
      run.profile[step.id] += now_ns() - start;
      if (rc < 0) return -1;
    }
    return 0;
  }
  for (const Step& step : block.steps)
    if (run_step(run, step) < 0) return -1;
  return 0;
}

Workspace* new_workspace(const Program::Body& p) {
  auto made = std::make_unique<Workspace>();
  made->arena = storage_alloc(p.arena_bytes);
  if (!made->arena) return nullptr;
  made->pointers.resize(p.slots.size());
  for (const SlotPointer& s : p.const_slots) made->pointers[s.slot] = p.const_data[s.index];
  auto* base = static_cast<char*>(made->arena->data);
  for (const SlotPointer& s : p.arena_slots) made->pointers[s.slot] = base + p.slots[s.slot].offset;
  return made.release();
}

void free_workspace(Workspace* w) {
  storage_decref(w->arena);
  delete w;
}

// A workspace for one run: the program's cached one if no other thread is using it.
class Lease {
 public:
  explicit Lease(Program::Body& p) : p_(p), w_(p.cached.exchange(nullptr, std::memory_order_acq_rel)) {
    if (!w_) {
      w_ = new_workspace(p);
    } else if (p.has_swap) {
      auto* base = static_cast<char*>(w_->arena->data);
      for (const SlotPointer& s : p.arena_slots) w_->pointers[s.slot] = base + p.slots[s.slot].offset;
    }
  }
  ~Lease() {
    Workspace* expected = nullptr;
    if (w_ && !p_.cached.compare_exchange_strong(expected, w_, std::memory_order_acq_rel)) free_workspace(w_);
  }
  Workspace* get() const { return w_; }

 private:
  Program::Body& p_;
  Workspace* w_;
};

// Memory the outputs live in, held until every output array exists.
class Outputs {
 public:
  Outputs(Program::Body& p, ArrayObject** in, PyObject** out) : p_(p), in_(in), out_(out) {}

  // Allocates the arrays with memory of their own. `donated` is set if an input's memory became an output's.
  bool allocate(const uint8_t* donate, bool* donated) {
    for (size_t j = 0; j < p_.outputs.size(); ++j) {
      const Output& o = p_.outputs[j];
      if (o.kind != OutputKind::kFresh && o.kind != OutputKind::kCopy) {
        out_[j] = nullptr;
        continue;
      }
      ArrayObject* made;
      if (donate && o.donor != kNoSlot && donate[o.donor] && storage_reusable(in_[o.donor]->storage)) {
        storage_incref(in_[o.donor]->storage);
        made = array_from_storage(o.aval, o.desc, in_[o.donor]->storage);
        *donated = true;
      } else {
        made = array_new(o.aval, o.desc);
      }
      if (!made) {
        for (size_t k = 0; k < j; ++k) Py_CLEAR(out_[k]);
        return false;
      }
      out_[j] = reinterpret_cast<PyObject*>(made);
    }
    return true;
  }

  // The arrays that share memory, and those copied out of the arena.
  bool finish(void** ptr) {
    for (size_t j = 0; j < p_.outputs.size(); ++j) {
      const Output& o = p_.outputs[j];
      ArrayObject* source = nullptr;
      switch (o.kind) {
        case OutputKind::kFresh: continue;
        case OutputKind::kCopy:
          copy_bytes(array_data(reinterpret_cast<ArrayObject*>(out_[j])), ptr[o.index], o.desc->nbytes);
          continue;
        case OutputKind::kSame: source = reinterpret_cast<ArrayObject*>(out_[o.index]); break;
        case OutputKind::kInput: source = in_[o.index]; break;
        case OutputKind::kConst: source = reinterpret_cast<ArrayObject*>(p_.consts[o.index]); break;
      }
      ArrayObject* made;
      if (o.kind == OutputKind::kConst) {  // the array itself may have been deleted since; its memory is ours
        storage_incref(p_.const_storage[o.index]);
        made = array_from_storage(o.aval, o.desc, p_.const_storage[o.index]);
      } else if (array_is_deleted(source)) {  // a host call deleted it while we ran
        array_raise_deleted(source);
        made = nullptr;
      } else {
        made = array_alias(source, o.aval, o.desc);
      }
      if (!made) return false;
      out_[j] = reinterpret_cast<PyObject*>(made);
    }
    return true;
  }

  void discard() {
    for (size_t j = 0; j < p_.outputs.size(); ++j) Py_CLEAR(out_[j]);
  }

 private:
  Program::Body& p_;
  ArrayObject** in_;
  PyObject** out_;
};

// While Python code can run beside us, somebody may delete an input array: keep its memory.
class HeldInputs {
 public:
  HeldInputs(ArrayObject** in, size_t n) : held_(n) {
    for (size_t i = 0; i < n; ++i) storage_incref(held_[i] = in[i]->storage);
  }
  ~HeldInputs() {
    for (Storage* s : held_) storage_decref(s);
  }

 private:
  std::vector<Storage*> held_;
};

int execute(Run& run) {
  FlushDenormals flush;
  run.flush = &flush;
  try {
    return run_block(run, run.body.main);
  } catch (const std::bad_alloc&) {
    if (run.released) {
      PyEval_RestoreThread(run.released);
      run.released = nullptr;
    }
    PyErr_NoMemory();
  } catch (const std::exception& e) {
    if (run.released) {
      PyEval_RestoreThread(run.released);
      run.released = nullptr;
    }
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
  return -1;
}

int run_with(Program::Body& p, ArrayObject** in, size_t n_in, PyObject** out, const uint8_t* donate, void** ptr,
             int64_t* profile) {
  for (size_t k = 0; k < p.in_slots.size(); ++k) {
    const SlotPointer& s = p.in_slots[k];
    if (ADDAX_UNLIKELY(array_is_deleted(in[s.index]))) return array_raise_deleted(in[s.index]);
    ptr[s.slot] = array_data(in[s.index]);
    if (ADDAX_UNLIKELY(ptr[s.slot] == nullptr) && p.in_descs[s.index]->nbytes > 0) {
      // Fetching lets Python code run, which may delete or move the others: look at all of them again.
      if (array_fetch(in[s.index]) < 0) return -1;
      k = static_cast<size_t>(-1);
    }
  }
  Outputs outputs(p, in, out);
  bool donated = false;
  if (!outputs.allocate(p.may_donate ? donate : nullptr, &donated)) return -1;
  for (const SlotPointer& s : p.out_slots) ptr[s.slot] = array_data(reinterpret_cast<ArrayObject*>(out[s.index]));

  Run run{p, ptr, in, donated, nullptr, nullptr, 0, profile};
  int rc;
  if (ADDAX_UNLIKELY(p.release_gil || p.has_host || p.has_loop)) {
    HeldInputs held(in, n_in);
    if (p.release_gil) run.released = PyEval_SaveThread();
    rc = execute(run);
    if (run.released) PyEval_RestoreThread(run.released);
  } else {
    rc = execute(run);
  }
  if (rc < 0 || !outputs.finish(ptr)) {
    outputs.discard();
    return -1;
  }
  return 0;
}

}  // namespace

int program_run_profiled(PyObject* self, ArrayObject** in, size_t n_in, PyObject** out, const uint8_t* donate, int64_t* profile) {
  Program::Body& p = *reinterpret_cast<Program*>(self)->body;
  if (ADDAX_UNLIKELY(n_in != p.in_descs.size())) {
    PyErr_Format(PyExc_TypeError, "Program: expected %zu arrays, got %zu", p.in_descs.size(), n_in);
    return -1;
  }
  for (size_t i = 0; i < n_in; ++i)
    if (ADDAX_UNLIKELY(array_is_deleted(in[i]))) return array_raise_deleted(in[i]);

  if (ADDAX_LIKELY(p.on_stack)) {
    void* ptr[32];
    alignas(64) char arena[2048];
    for (const SlotPointer& s : p.const_slots) ptr[s.slot] = p.const_data[s.index];
    for (const SlotPointer& s : p.arena_slots) ptr[s.slot] = arena + p.slots[s.slot].offset;
    return run_with(p, in, n_in, out, donate, ptr, profile);
  }
  try {
    Lease lease(p);
    if (!lease.get()) {
      PyErr_Format(PyExc_MemoryError, "out of memory: this program needs %lld bytes of working memory",
                   static_cast<long long>(p.arena_bytes));
      return -1;
    }
    return run_with(p, in, n_in, out, donate, lease.get()->pointers.data(), profile);
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
    return -1;
  }
}

int program_run(PyObject* program, ArrayObject** in, size_t n_in, PyObject** out, const uint8_t* donate) {
  return program_run_profiled(program, in, n_in, out, donate, nullptr);
}

void program_release_workspace(Program::Body& p) {
  if (Workspace* w = p.cached.exchange(nullptr)) free_workspace(w);
}

}  // namespace addax
