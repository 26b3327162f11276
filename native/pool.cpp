// Three structures to know: Share (one packed word per thread: which chunks of which job are left), Job (what to run,
// valid while its generation is the current one), Worker (a thread and the word it parks on). Start at Pool::run, then
// Pool::work.
#include "pool.h"

#include "common.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#else
#include <condition_variable>
#endif

namespace addax {
namespace {

constexpr int kMaxThreads = 256;
constexpr int64_t kChunksPerThread = 6;
constexpr double kMinChunkNs = 1500.0;   // a claim costs ~20 ns plus the odd cache miss
constexpr double kWakeNs = 20000.0;      // waking a parked thread pays only for jobs this long ...
constexpr int64_t kStreamNs = 100000;    // ... or when split jobs come this close together
constexpr int64_t kSpinNs = 100000;      // how long a worker watches for the next job before it parks

inline void cpu_relax() {
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A word a thread sleeps on until it is cleared.
class Parking {
 public:
  // Sleeps while the word is 1. The caller has set it with prepare() and re-checked its condition since.
  void prepare() { word_.store(1, std::memory_order_seq_cst); }
  void cancel() { word_.store(0, std::memory_order_seq_cst); }
  bool parked() const { return word_.load(std::memory_order_seq_cst) != 0; }
#if defined(__linux__)
  void sleep() {
    while (word_.load(std::memory_order_acquire) == 1)
      syscall(SYS_futex, reinterpret_cast<int*>(&word_), FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
  }
  void wake() {
    if (word_.exchange(0, std::memory_order_seq_cst) == 1)
      syscall(SYS_futex, reinterpret_cast<int*>(&word_), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
#else
  void sleep() {
    std::unique_lock<std::mutex> lock(mutex_);
    cv_.wait(lock, [this] { return word_.load(std::memory_order_acquire) == 0; });
  }
  void wake() {
    if (word_.exchange(0, std::memory_order_seq_cst) == 1) {
      std::lock_guard<std::mutex> lock(mutex_);
      cv_.notify_one();
    }
  }
#endif

 private:
  std::atomic<int> word_{0};
#if !defined(__linux__)
  std::mutex mutex_;
  std::condition_variable cv_;
#endif
};

// generation << 32 | next chunk << 16 | end of the share. A compare-and-swap on the whole word both claims a chunk and
// proves that the job it belongs to is still the current one: a thread that slept through a job can claim nothing of it.
struct alignas(64) Share {
  std::atomic<uint64_t> word{0};
};
constexpr uint64_t pack(uint32_t generation, uint32_t next, uint32_t end) {
  return uint64_t{generation} << 32 | uint64_t{next} << 16 | end;
}

// Fields are atomics because a late worker may read them while the next job is being written; the generation check
// makes it drop what it read.
struct Job {
  std::atomic<RangeFn> fn{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<int64_t> n{0};
  std::atomic<int64_t> chunk{0};  // items per chunk
  std::atomic<int> shares{0};
};

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {}

  int threads() const { return threads_; }
  void resize(int threads) {
    std::lock_guard<std::mutex> lock(busy_);
    threads_ = threads;
  }

  // False if another job is running: the caller then does the work itself.
  bool run(int64_t n, int64_t align, double estimated_ns, RangeFn fn, void* context) {
    if (!busy_.try_lock()) return false;
    std::unique_lock<std::mutex> lock(busy_, std::adopt_lock);
    bool known = estimated_ns >= 0;
    int64_t wanted = known ? std::max<int64_t>(2, static_cast<int64_t>(estimated_ns / kMinChunkNs)) : INT32_MAX;
    int threads = static_cast<int>(std::min<int64_t>(threads_, (n + align - 1) / align));
    if (known) threads = static_cast<int>(std::min<int64_t>(threads, std::max<int64_t>(2, int64_t(estimated_ns / 2500))));
    if (threads < 2) return false;
    int64_t chunks = std::min<int64_t>({wanted, threads * kChunksPerThread, n});
    int64_t items = (n + chunks - 1) / chunks;
    items = (items + align - 1) / align * align;
    chunks = (n + items - 1) / items;
    if (chunks < 2) return false;
    threads = static_cast<int>(std::min<int64_t>(threads, chunks));

    int64_t now = now_ns();
    bool wake = !known || estimated_ns >= kWakeNs || now - last_job_ns_ < kStreamNs;
    last_job_ns_ = now;
    if (!spawn(threads)) return false;

    uint32_t generation = ++generation_;
    job_.fn.store(fn, std::memory_order_relaxed);
    job_.context.store(context, std::memory_order_relaxed);
    job_.n.store(n, std::memory_order_relaxed);
    job_.chunk.store(items, std::memory_order_relaxed);
    job_.shares.store(threads, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    error_ = nullptr;
    failed_.store(false, std::memory_order_relaxed);
    for (int t = 0; t < threads; ++t) {
      uint32_t begin = static_cast<uint32_t>(chunks * t / threads), end = static_cast<uint32_t>(chunks * (t + 1) / threads);
      shares_[t].word.store(pack(generation, begin, end), std::memory_order_release);
    }
    published_.store(generation, std::memory_order_seq_cst);
    if (wake)
      for (int t = 1; t < threads; ++t)
        if (workers_[t]->parking.parked()) workers_[t]->parking.wake();

    inside_ = true;
    work(0, generation);
    inside_ = false;
    for (int spins = 0; done_.load(std::memory_order_acquire) != chunks; ++spins) {
      cpu_relax();
      if (spins > 20000) {  // the claimant lost its core: let it have ours
        sched_yield();
        spins = 10000;
      }
    }
    if (failed_.load(std::memory_order_acquire)) std::rethrow_exception(error_);
    return true;
  }

  static thread_local bool inside_;

 private:
  struct Worker {
    Parking parking;
  };

  bool spawn(int threads) {
    while (spawned_ < threads - 1) {
      int id = spawned_ + 1;
      workers_[id] = std::make_unique<Worker>();
      try {
        std::thread([this, id] { main(id); }).detach();
      } catch (const std::system_error&) {
        return false;  // out of threads: the caller does the work itself
      }
      spawned_ = id;
    }
    return true;
  }

  void main(int id) {
    FlushDenormals flush;
    inside_ = true;
    uint32_t seen = 0;
    for (;;) {
      uint32_t generation = published_.load(std::memory_order_acquire);
      if (generation == seen) {
        await(id, seen);
        continue;
      }
      seen = generation;
      work(id, generation);
    }
  }

  // Spins, then parks, until a generation other than `seen` is published.
  void await(int id, uint32_t seen) {
    int64_t deadline = now_ns() + kSpinNs;
    do {
      for (int i = 0; i < 64; ++i) {
        if (published_.load(std::memory_order_acquire) != seen) return;
        cpu_relax();
      }
    } while (now_ns() < deadline);
    Parking& parking = workers_[id]->parking;
    parking.prepare();
    if (published_.load(std::memory_order_seq_cst) != seen) {
      parking.cancel();
      return;
    }
    parking.sleep();
  }

  // Claims and runs chunks of job `generation`, first of the own share, then of everybody else's.
  void work(int self, uint32_t generation) {
    RangeFn fn = job_.fn.load(std::memory_order_relaxed);
    void* context = job_.context.load(std::memory_order_relaxed);
    int64_t n = job_.n.load(std::memory_order_relaxed);
    int64_t items = job_.chunk.load(std::memory_order_relaxed);
    int shares = job_.shares.load(std::memory_order_relaxed);
    if (self >= shares) return;
    for (int k = 0; k < shares; ++k) {
      Share& share = shares_[(self + k) % shares];
      uint64_t word = share.word.load(std::memory_order_acquire);
      for (;;) {
        if (static_cast<uint32_t>(word >> 32) != generation) break;
        uint32_t next = word >> 16 & 0xffff, end = word & 0xffff;
        if (next >= end) break;
        // An owner walks its share upwards and thieves take from the top, so the two meet as late as possible.
        uint32_t chunk = k == 0 ? next : end - 1;
        uint64_t left = k == 0 ? pack(generation, next + 1, end) : pack(generation, next, end - 1);
        if (!share.word.compare_exchange_weak(word, left, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
        int64_t lo = chunk * items, hi = std::min(n, lo + items);
        try {
          fn(context, lo, hi);
        } catch (...) {
          if (!failed_.exchange(true)) error_ = std::current_exception();
        }
        done_.fetch_add(1, std::memory_order_acq_rel);
        word = share.word.load(std::memory_order_acquire);
      }
    }
  }

  std::mutex busy_;
  int threads_;
  int spawned_ = 0;
  uint32_t generation_ = 0;
  int64_t last_job_ns_ = 0;
  alignas(64) std::atomic<uint32_t> published_{0};
  alignas(64) std::atomic<int64_t> done_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;
  Job job_;
  Share shares_[kMaxThreads];
  std::unique_ptr<Worker> workers_[kMaxThreads];
};

thread_local bool Pool::inside_ = false;

int usable_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

int default_threads() {
  if (const char* text = std::getenv("ADDAX_NUM_THREADS")) {
    char* end = nullptr;
    long n = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && n >= 1) return static_cast<int>(std::min<long>(n, kMaxThreads));
  }
  return std::min(usable_cores(), kMaxThreads);
}

// Never destroyed: its threads may still be parked on it when the process exits. A forked child, which inherits none of
// the threads, drops the pointer and makes its own pool at first use.
std::atomic<Pool*> the_pool{nullptr};
std::atomic<int> chosen_threads{0};

void forget_pool() { the_pool.store(nullptr, std::memory_order_relaxed); }

Pool& pool() {
  Pool* existing = the_pool.load(std::memory_order_acquire);
  if (existing) return *existing;
  static std::once_flag at_fork;
  std::call_once(at_fork, [] { pthread_atfork(nullptr, nullptr, forget_pool); });
  Pool* made = new Pool(num_threads());
  if (the_pool.compare_exchange_strong(existing, made, std::memory_order_acq_rel)) return *made;
  delete made;
  return *existing;
}

}  // namespace

void pool_run(int64_t n, int64_t align, double estimated_ns, RangeFn fn, void* context) {
  if (n <= 0) return;
  bool small = estimated_ns >= 0 && estimated_ns < kSplitBreakEvenNs;
  if (!small && n > 1 && !Pool::inside_ && num_threads() > 1 && pool().run(n, align, estimated_ns, fn, context)) return;
  fn(context, 0, n);
}

int num_threads() {
  int n = chosen_threads.load(std::memory_order_relaxed);
  if (n == 0) {
    n = default_threads();
    chosen_threads.store(n, std::memory_order_relaxed);
  }
  return n;
}

void set_num_threads(int n) {
  n = std::clamp(n, 1, kMaxThreads);
  chosen_threads.store(n, std::memory_order_relaxed);
  if (Pool* existing = the_pool.load(std::memory_order_acquire)) existing->resize(n);
}

namespace {

PyObject* py_set_num_threads(PyObject*, PyObject* arg) {
  long n = PyLong_AsLong(arg);
  if (n == -1 && PyErr_Occurred()) return nullptr;
  if (n < 1) {
    PyErr_Format(PyExc_ValueError, "set_num_threads: expected a number of threads >= 1, got %ld", n);
    return nullptr;
  }
  set_num_threads(static_cast<int>(std::min<long>(n, 1 << 20)));
  Py_RETURN_NONE;
}

PyObject* py_get_num_threads(PyObject*, PyObject*) { return PyLong_FromLong(num_threads()); }

PyMethodDef pool_methods[] = {
    {"set_num_threads", py_set_num_threads, METH_O,
     "set_num_threads(n)\n--\n\nUse n threads, the caller's included, for compiled programs. At most 256."},
    {"get_num_threads", py_get_num_threads, METH_NOARGS,
     "get_num_threads()\n--\n\nThe number of threads compiled programs use (default: ADDAX_NUM_THREADS, else the usable cores)."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int init_pool(PyObject* module) { return PyModule_AddFunctions(module, pool_methods); }

}  // namespace addax
