// Memory of arrays: refcounted, 64-byte aligned blocks from a caching allocator, or memory that another object owns.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

struct _object;  // PyObject

namespace addax {

enum class Owner : uint8_t {
  kPool,      // our allocator: the bytes follow this header
  kForeign,   // `owner` is a Python object that keeps `data` alive
  kExternal,  // `owner` is another engine's buffer (a device array): `data` is null until it is fetched to the host
};

// A header of one cache line; for pool memory the data starts right behind it.
struct alignas(64) Storage {
  void* data;
  size_t nbytes;                // bytes asked for
  size_t capacity;              // bytes of the block behind this header
  struct _object* owner;        // kForeign and kExternal: a strong reference
  struct _object* host;         // kExternal: the fetched ndarray, strong, or null
  std::atomic<uint32_t> refs;
  Owner kind;
  uint8_t size_class;
};
static_assert(sizeof(Storage) == 64);

// Uninitialised memory, 64-byte aligned, refs = 1; null when out of memory. Thread-safe, needs no GIL.
Storage* storage_alloc(size_t nbytes);
// Memory kept alive by `owner` (a new reference is taken). Needs the GIL.
Storage* storage_foreign(void* data, size_t nbytes, struct _object* owner, Owner kind = Owner::kForeign);
void storage_free(Storage* s);  // when refs has reached zero

inline void storage_incref(Storage* s) { s->refs.fetch_add(1, std::memory_order_relaxed); }

inline void storage_decref(Storage* s) {
  // A sole owner needs no atomic read-modify-write: nobody else can take a reference.
  if (s->refs.load(std::memory_order_acquire) == 1 || s->refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
    storage_free(s);
}

// True when the bytes may be overwritten in place: ours, and seen by nobody but the caller.
inline bool storage_reusable(const Storage* s) {
  return s->kind == Owner::kPool && s->refs.load(std::memory_order_acquire) == 1;
}

struct MemoryStats {
  int64_t bytes_in_use, peak_bytes_in_use, num_allocs, bytes_cached, largest_alloc;
};
MemoryStats memory_stats();
void memory_trim(size_t keep_bytes);         // give cached blocks back to the system, down to `keep_bytes`
void memory_set_cache_limit(size_t nbytes);  // how much freed memory the cache of large blocks may hold

}  // namespace addax
