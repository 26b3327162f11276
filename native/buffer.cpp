// The allocator behind every array.
//
// Two kinds of memory, because two costs matter:
//   small (<= 8 KB): eight power-of-two classes, each a free list per thread. Taking or returning a block is a handful
//     of instructions, without locks: creating and freeing a small result must cost less than computing it.
//   large: fresh pages cost 0.25 us each to fault in (a 16 MB result: a millisecond, more than computing it), so freed
//     blocks are kept, up to a limit, by size class (eight per power of two: at most 12.5 % is wasted). Beyond the limit the
//     least recently freed go back to the system. One mutex; a large array's own work hides it.
#include "common.h"

#include "buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace addax {
namespace {

constexpr int kSmallClasses = 8;
constexpr size_t kSmallMax = size_t{64} << (kSmallClasses - 1);  // 8192
constexpr uint8_t kLarge = 0xff;
constexpr size_t kSmallKeep = size_t{256} << 10;  // bytes kept per thread and class
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMapFrom = size_t{1} << 20;  // from here on blocks come from mmap, below from malloc

// Per-thread free lists. Counters are written by their thread alone and read by memory_stats().
struct ThreadCache {
  Storage* head[kSmallClasses] = {};
  uint32_t count[kSmallClasses] = {};
  std::atomic<int64_t> bytes{0};   // small bytes in use, allocated minus freed by this thread
  std::atomic<int64_t> allocs{0};
};

struct Registry {
  std::mutex mutex;
  std::vector<ThreadCache*> live;
  int64_t retired_bytes = 0, retired_allocs = 0;  // of threads that have ended
};

Registry& registry() {
  static Registry* r = new Registry;  // never destroyed: arrays may outlive static destructors
  return *r;
}

ADDAX_TLS ThreadCache* t_cache = nullptr;
ADDAX_TLS bool t_ended = false;

// Returns a thread's blocks when it ends.
struct ThreadEnd {
  bool armed = false;
  ~ThreadEnd() {
    ThreadCache* c = t_cache;
    t_cache = nullptr;
    t_ended = true;
    if (c == nullptr) return;
    for (Storage* s : c->head) {
      while (s != nullptr) {
        Storage* next = reinterpret_cast<Storage*>(s->owner);
        std::free(s);
        s = next;
      }
    }
    Registry& r = registry();
    std::lock_guard lock(r.mutex);
    r.retired_bytes += c->bytes.load(std::memory_order_relaxed);
    r.retired_allocs += c->allocs.load(std::memory_order_relaxed);
    std::erase(r.live, c);
    delete c;
  }
};
thread_local ThreadEnd t_end;

ThreadCache* make_thread_cache() {
  if (t_ended) return nullptr;  // a destructor that runs after ours: go without a cache
  t_end.armed = true;
  t_cache = new ThreadCache;
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  r.live.push_back(t_cache);
  return t_cache;
}

inline void add(std::atomic<int64_t>& counter, int64_t n) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

inline void count_uncached(int64_t bytes, int64_t allocs) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  r.retired_bytes += bytes;
  r.retired_allocs += allocs;
}

inline int small_class(size_t nbytes) { return nbytes <= 64 ? 0 : std::bit_width(nbytes - 1) - 6; }

Storage* small_alloc(size_t nbytes) {
  int k = small_class(nbytes);
  size_t capacity = size_t{64} << k;
  ThreadCache* c = t_cache;
  if (ADDAX_UNLIKELY(c == nullptr)) c = make_thread_cache();
  Storage* s;
  if (ADDAX_LIKELY(c != nullptr)) {
    add(c->bytes, static_cast<int64_t>(capacity));
    add(c->allocs, 1);
    s = c->head[k];
    if (ADDAX_LIKELY(s != nullptr)) {
      c->head[k] = reinterpret_cast<Storage*>(s->owner);
      c->count[k]--;
      s->nbytes = nbytes;
      s->owner = nullptr;
      s->refs.store(1, std::memory_order_relaxed);
      return s;
    }
  } else {
    count_uncached(static_cast<int64_t>(capacity), 1);
  }
  void* block = std::aligned_alloc(64, sizeof(Storage) + capacity);
  if (block == nullptr) return nullptr;
  s = new (block) Storage{};
  s->data = s + 1;
  s->nbytes = nbytes;
  s->capacity = capacity;
  s->kind = Owner::kPool;
  s->size_class = static_cast<uint8_t>(k);
  s->refs.store(1, std::memory_order_relaxed);
  return s;
}

void small_free(Storage* s) {
  int k = s->size_class;
  ThreadCache* c = t_cache;
  if (ADDAX_UNLIKELY(c == nullptr)) c = make_thread_cache();
  if (c == nullptr) {
    count_uncached(-static_cast<int64_t>(s->capacity), 0);
    std::free(s);
    return;
  }
  add(c->bytes, -static_cast<int64_t>(s->capacity));
  if (ADDAX_UNLIKELY(c->count[k] >= (kSmallKeep >> k) / 64)) {
    std::free(s);
    return;
  }
  s->owner = reinterpret_cast<PyObject*>(c->head[k]);
  c->head[k] = s;
  c->count[k]++;
}

// ---- large blocks

// Kept in the free memory itself.
struct FreeNode {
  Storage* storage;
  FreeNode *bin_prev, *bin_next;  // blocks of this capacity, latest first
  FreeNode *age_prev, *age_next;  // all free blocks, latest first
};

struct LargeCache {
  std::mutex mutex;
  FreeNode* bins[64 * 8] = {};
  FreeNode *newest = nullptr, *oldest = nullptr;
  size_t cached = 0, limit = 0;
  int64_t in_use = 0, peak = 0, allocs = 0, largest = 0;

  LargeCache() {
    auto pages = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)), page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    limit = std::min(size_t{2} << 30, pages * page / 4);
  }
};

LargeCache& large() {
  static LargeCache* c = new LargeCache;
  return *c;
}

// The block size for a request: eight steps per power of two, whole pages from 32 KB on.
inline size_t large_capacity(size_t nbytes) {
  int shift = std::bit_width(nbytes - 1) - 4;
  size_t mask = (size_t{1} << shift) - 1;
  return (nbytes + mask) & ~mask;
}

inline int large_bin(size_t capacity) {
  int top = std::bit_width(capacity) - 1;
  return top * 8 + static_cast<int>((capacity >> (top - 3)) & 7);
}

void unlink(LargeCache& c, FreeNode* n) {
  (n->bin_prev ? n->bin_prev->bin_next : c.bins[large_bin(n->storage->capacity)]) = n->bin_next;
  if (n->bin_next) n->bin_next->bin_prev = n->bin_prev;
  (n->age_prev ? n->age_prev->age_next : c.newest) = n->age_next;
  (n->age_next ? n->age_next->age_prev : c.oldest) = n->age_prev;
  c.cached -= n->storage->capacity;
}

void* map_block(size_t capacity) {
  if (capacity < 2 * kHugePage) {
    void* p = mmap(nullptr, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? nullptr : p;
  }
  // Start on a huge page, where the system has them: fewer faults, fewer TLB misses.
  size_t padded = capacity + kHugePage;
  void* p = mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  auto base = reinterpret_cast<uintptr_t>(p), start = (base + kHugePage - 1) & ~(kHugePage - 1);
  if (start != base) munmap(p, start - base);
  if (size_t tail = base + padded - (start + capacity)) munmap(reinterpret_cast<void*>(start + capacity), tail);
#ifdef MADV_HUGEPAGE
  madvise(reinterpret_cast<void*>(start), capacity, MADV_HUGEPAGE);
#endif
  return reinterpret_cast<void*>(start);
}

void release_block(Storage* s) {
  if (s->capacity >= kMapFrom) munmap(s->data, s->capacity);
  else std::free(s->data);
  std::free(s);
}

// Under the lock: the oldest free blocks, unlinked, until at most `keep` bytes stay cached.
void collect_beyond(LargeCache& c, size_t keep, std::vector<Storage*>& out) {
  while (c.cached > keep) {
    FreeNode* n = c.oldest;
    unlink(c, n);
    out.push_back(n->storage);
  }
}

Storage* large_alloc(size_t nbytes) {
  size_t capacity = large_capacity(nbytes);
  if (capacity < nbytes || nbytes > size_t{1} << 62) return nullptr;
  LargeCache& c = large();
  {
    std::lock_guard lock(c.mutex);
    c.allocs++;
    c.in_use += static_cast<int64_t>(capacity);
    c.peak = std::max(c.peak, c.in_use);
    c.largest = std::max(c.largest, static_cast<int64_t>(nbytes));
    if (FreeNode* n = c.bins[large_bin(capacity)]) {
      unlink(c, n);
      Storage* s = n->storage;
      s->nbytes = nbytes;
      s->refs.store(1, std::memory_order_relaxed);
      return s;
    }
  }
  void* header = std::aligned_alloc(64, sizeof(Storage));
  auto allocate = [&] { return capacity >= kMapFrom ? map_block(capacity) : std::aligned_alloc(64, capacity); };
  void* data = header == nullptr ? nullptr : allocate();
  if (header != nullptr && data == nullptr) {  // full: give the cache back and try once more
    memory_trim(0);
    data = allocate();
  }
  if (data == nullptr) {
    std::free(header);
    std::lock_guard lock(c.mutex);
    c.in_use -= static_cast<int64_t>(capacity);
    return nullptr;
  }
  auto* s = new (header) Storage{};
  s->data = data;
  s->nbytes = nbytes;
  s->capacity = capacity;
  s->kind = Owner::kPool;
  s->size_class = kLarge;
  s->refs.store(1, std::memory_order_relaxed);
  return s;
}

void large_free(Storage* s) {
  LargeCache& c = large();
  std::vector<Storage*> evicted;
  {
    std::lock_guard lock(c.mutex);
    c.in_use -= static_cast<int64_t>(s->capacity);
    if (s->capacity > c.limit) {
      evicted.push_back(s);
    } else {
      auto* n = static_cast<FreeNode*>(s->data);
      FreeNode*& bin = c.bins[large_bin(s->capacity)];
      *n = FreeNode{s, nullptr, bin, nullptr, c.newest};
      if (bin) bin->bin_prev = n;
      bin = n;
      (c.newest ? c.newest->age_prev : c.oldest) = n;
      c.newest = n;
      c.cached += s->capacity;
      if (c.cached > c.limit) collect_beyond(c, c.limit, evicted);
    }
  }
  for (Storage* e : evicted) release_block(e);
}

}  // namespace

Storage* storage_alloc(size_t nbytes) {
  return ADDAX_LIKELY(nbytes <= kSmallMax) ? small_alloc(nbytes) : large_alloc(nbytes);
}

Storage* storage_foreign(void* data, size_t nbytes, PyObject* owner, Owner kind) {
  Storage* s = small_alloc(0);  // the header comes from the free lists too
  if (s == nullptr) return nullptr;
  s->data = data;
  s->nbytes = nbytes;
  s->owner = Py_XNewRef(owner);
  s->host = nullptr;
  s->kind = kind;
  return s;
}

void storage_free(Storage* s) {
  if (ADDAX_UNLIKELY(s->kind != Owner::kPool)) {
    PyObject *owner = s->owner, *host = s->host;
    s->owner = s->host = nullptr;
    s->data = s + 1;
    s->kind = Owner::kPool;
    if ((owner != nullptr || host != nullptr) && Py_IsInitialized()) {
      PyGILState_STATE gil = PyGILState_Ensure();
      Py_XDECREF(owner);
      Py_XDECREF(host);
      PyGILState_Release(gil);
    }
  }
  if (ADDAX_LIKELY(s->size_class != kLarge)) small_free(s);
  else large_free(s);
}

MemoryStats memory_stats() {
  MemoryStats stats{};
  {
    Registry& r = registry();
    std::lock_guard lock(r.mutex);
    stats.bytes_in_use = r.retired_bytes;
    stats.num_allocs = r.retired_allocs;
    for (ThreadCache* c : r.live) {
      stats.bytes_in_use += c->bytes.load(std::memory_order_relaxed);
      stats.num_allocs += c->allocs.load(std::memory_order_relaxed);
    }
  }
  LargeCache& c = large();
  std::lock_guard lock(c.mutex);
  stats.peak_bytes_in_use = c.peak + stats.bytes_in_use;  // the peak of large blocks, plus what small ones hold now
  stats.bytes_in_use += c.in_use;
  stats.num_allocs += c.allocs;
  stats.bytes_cached = static_cast<int64_t>(c.cached);
  stats.largest_alloc = c.largest;
  return stats;
}

void memory_trim(size_t keep_bytes) {
  std::vector<Storage*> evicted;
  LargeCache& c = large();
  {
    std::lock_guard lock(c.mutex);
    collect_beyond(c, keep_bytes, evicted);
  }
  for (Storage* s : evicted) release_block(s);
}

void memory_set_cache_limit(size_t nbytes) {
  {
    std::lock_guard lock(large().mutex);
    large().limit = nbytes;
  }
  memory_trim(nbytes);
}

namespace {

// ---- module functions

PyObject* py_memory_stats(PyObject*, PyObject*) {
  MemoryStats s = memory_stats();
  return Py_BuildValue("{s:L,s:L,s:L,s:L,s:L}", "bytes_in_use", s.bytes_in_use, "peak_bytes_in_use", s.peak_bytes_in_use,
                       "num_allocs", s.num_allocs, "bytes_cached", s.bytes_cached, "largest_alloc_size", s.largest_alloc);
}

PyObject* py_trim(PyObject*, PyObject* const* args, Py_ssize_t n) {
  size_t keep = 0;
  if (n > 1) return PyErr_Format(PyExc_TypeError, "trim() takes at most 1 argument, got %zd", n);
  if (n == 1 && (keep = PyLong_AsSize_t(args[0])) == static_cast<size_t>(-1) && PyErr_Occurred()) return nullptr;
  memory_trim(keep);
  Py_RETURN_NONE;
}

PyObject* py_set_cache_limit(PyObject*, PyObject* arg) {
  size_t limit = PyLong_AsSize_t(arg);
  if (limit == static_cast<size_t>(-1) && PyErr_Occurred()) return nullptr;
  memory_set_cache_limit(limit);
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"memory_stats", py_memory_stats, METH_NOARGS,
     "memory_stats(): bytes_in_use, peak_bytes_in_use, num_allocs, bytes_cached, largest_alloc_size of the array allocator."},
    {"trim", fastcall(py_trim), METH_FASTCALL, "trim(keep=0): return cached free memory to the system, down to keep bytes."},
    {"set_cache_limit", py_set_cache_limit, METH_O, "set_cache_limit(n): let the allocator cache at most n freed bytes."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

int init_buffer(PyObject* m) { return PyModule_AddFunctions(m, functions); }

}  // namespace addax
