// The thread pool every kernel and program runs on.
//
// A job is an index range [0, n) cut into chunks. Each participating thread owns a static share of the chunks and takes
// from the shares of others only when its own is empty, so a thread keeps meeting the memory it touched last time. The
// caller works too and never waits for a thread that has not started: whatever nobody claimed, the caller claims. That
// is what keeps a 10 us job at 10 us when the other cores are busy with another process.
//
// One job runs at a time. A parallel_for that finds the pool busy (called from inside a chunk, or from another user
// thread) simply runs on its own thread: always correct, never a deadlock.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

namespace addax {

// Below this much estimated work a fork-join costs more than it gains.
inline constexpr double kSplitBreakEvenNs = 5000.0;

using RangeFn = void (*)(void* context, int64_t lo, int64_t hi);

// Runs fn(context, lo, hi) over disjoint ranges covering [0, n), on as many threads as `estimated_ns` of single-thread
// work deserve. A negative estimate means "unknown but large". Every interior boundary is a multiple of `align`.
// A C++ exception thrown by fn is rethrown here after all claimed chunks have finished.
void pool_run(int64_t n, int64_t align, double estimated_ns, RangeFn fn, void* context);

// f(lo, hi) over [0, n); see pool_run.
template <typename F>
void parallel_for(int64_t n, int64_t align, double estimated_ns, F&& f) {
  using Body = std::remove_reference_t<F>;
  if (estimated_ns >= 0 && estimated_ns < kSplitBreakEvenNs) {
    if (n > 0) f(int64_t{0}, n);
    return;
  }
  pool_run(
      n, align, estimated_ns, [](void* body, int64_t lo, int64_t hi) { (*static_cast<Body*>(body))(lo, hi); },
      const_cast<std::remove_const_t<Body>*>(&f));
}

int num_threads();
void set_num_threads(int n);

// Flush-to-zero and denormals-are-zero for the current scope: XLA:CPU, whose results we match, flushes denormals, and a
// decaying recurrence would otherwise run fifty times slower.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(get()) { set(saved_ | kMask); }
  ~FlushDenormals() { set(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

  // The caller's own mode, for the duration of a call back into Python.
  void suspend() const { set(saved_); }
  void resume() const { set(saved_ | kMask); }

 private:
#if defined(__x86_64__) || defined(_M_X64)
  using Word = uint32_t;
  static constexpr Word kMask = 0x8040;  // FTZ (bit 15) and DAZ (bit 6) of MXCSR
  static Word get() { return __builtin_ia32_stmxcsr(); }
  static void set(Word w) { __builtin_ia32_ldmxcsr(w); }
#elif defined(__aarch64__)
  using Word = uint64_t;
  static constexpr Word kMask = uint64_t{1} << 24;  // FZ of FPCR
  static Word get() {
    Word w;
    asm volatile("mrs %0, fpcr" : "=r"(w));
    return w;
  }
  static void set(Word w) { asm volatile("msr fpcr, %0" ::"r"(w)); }
#else
  using Word = uint32_t;
  static constexpr Word kMask = 0;
  static Word get() { return 0; }
  static void set(Word) {}
#endif
  Word saved_;
};

}  // namespace addax
