// values[p, w] = array[start(p) + w], see index_map.h for the table. Start at gather.

#include "index_map.inl"
#include "strided.inl"

namespace addax::ADDAX_ISA {
namespace {

// A whole window; d: values, s: array.
template <typename T>
void move_window(const IndexMap& map, int dim, T* values, const T* array) {
  const IndexMap::WindowDim& w = map.window[dim];
  if (dim == map.nw - 1) return copy_row(values, w.values, array, w.array, w.n);
  for (int64_t i = 0; i < w.n; ++i) move_window(map, dim + 1, values + i * w.values, array + i * w.array);
}

template <typename T>
void fill_window(const IndexMap& map, int dim, T* values, T fill) {
  if (dim == map.nw) {
    *values = fill;
    return;
  }
  const IndexMap::WindowDim& w = map.window[dim];
  for (int64_t i = 0; i < w.n; ++i) fill_window(map, dim + 1, values + i * w.values, fill);
}

// Single elements at consecutive indices into consecutive results: the loop compilers turn into vector gathers.
template <typename T, typename I, typename Offset, bool kSkip>
void gather_elements(const T* __restrict array, const I* __restrict indices, T fill, T* __restrict out, int64_t n, Offset limit, Offset stride) {
  for (int64_t k = 0; k < n; ++k) {
    I start = indices[k];
    if constexpr (kSkip) {
      bool inside = start >= 0 && start <= static_cast<I>(limit);
      T x = array[inside ? static_cast<Offset>(start) * stride : Offset{0}];
      if constexpr (sizeof(T) <= 8) out[k] = inside ? x : fill;
      else out[k] = inside ? x : T(fill);
    } else {
      Offset o = static_cast<Offset>(std::min<I>(std::max<I>(start, 0), static_cast<I>(limit)));
      out[k] = array[o * stride];
    }
  }
}

// True if the whole gather has that form and positions [lo, hi) are done.
template <typename T>
bool gather_flat(const IndexMap& map, const T* array, const void* indices, T fill, T* out, int64_t lo, int64_t hi) {
  if (map.nw != 0 || map.nv != 1 || map.nb != 1) return false;
  IndexMap::BatchDim b = map.batch[0];
  IndexMap::Component c = map.vec[0];
  if (b.index != 1 || b.values != 1 || b.array != 0 || c.limit < 0) return false;
  bool near = c.limit * c.array <= INT32_MAX && c.limit <= INT32_MAX;
  auto run = [&](auto i, auto offset) {
    using I = decltype(i);
    using Offset = decltype(offset);
    auto* from = static_cast<const I*>(indices) + lo;
    auto limit = static_cast<Offset>(c.limit), stride = static_cast<Offset>(c.array);
    if (map.skip) gather_elements<T, I, Offset, true>(array, from, fill, out + lo, hi - lo, limit, stride);
    else gather_elements<T, I, Offset, false>(array, from, fill, out + lo, hi - lo, limit, stride);
    return true;
  };
  if (map.index_type == kI32 && near) return run(int32_t{}, int32_t{});
  if (map.index_type == kI64) return run(int64_t{}, int64_t{});
  return false;
}

template <typename T>
void gather_range(const IndexMap& map, const T* array, const void* indices, T fill, T* out, int64_t lo, int64_t hi) {
  if (gather_flat(map, array, indices, fill, out, lo, hi)) return;
  int64_t from[IndexMap::kBlock], to[IndexMap::kBlock];
  for (int64_t p = lo; p < hi; p += IndexMap::kBlock) {
    int count = static_cast<int>(std::min<int64_t>(IndexMap::kBlock, hi - p));
    resolve(map, indices, p, count, from, to);
    bool dense_row = map.nw == 1 && map.window[0].array == 1 && map.window[0].values == 1;
    if (map.nw == 0 && !map.skip) {
      for (int k = 0; k < count; ++k) out[to[k]] = array[from[k]];
    } else if (map.nw == 0) {
      for (int k = 0; k < count; ++k) out[to[k]] = from[k] == IndexMap::kSkip ? fill : array[from[k]];
    } else if (dense_row && !map.skip) {
      int64_t n = map.window[0].n;
      for (int k = 0; k < count; ++k) copy_row(out + to[k], 1, array + from[k], 1, n);
    } else {
      for (int k = 0; k < count; ++k) {
        if (from[k] == IndexMap::kSkip) fill_window(map, 0, out + to[k], fill);
        else move_window(map, 0, out + to[k], array + from[k]);
      }
    }
  }
}

// [array, indices, fill, out]; the fill value is read only when mode is 1.
template <int kSize>
void gather(void** args, const int64_t* t, int64_t, int64_t) {
  using T = Item<kSize>;
  IndexMap map(t);
  if (map.empty()) return;
  auto* array = static_cast<const T*>(args[0]);
  auto* out = static_cast<T*>(args[3]);
  T fill = map.skip ? *static_cast<const T*>(args[2]) : T{};
  double items = static_cast<double>(map.positions) * map.window_size;
  // A window that is larger than the batch is not worth taking apart by position.
  if (map.positions <= 4 && map.window_size >= 65536) {
    int64_t from[4], to[4];
    resolve(map, args[1], 0, static_cast<int>(map.positions), from, to);
    for (int p = 0; p < map.positions; ++p) {
      if (from[p] == IndexMap::kSkip) {
        fill_window(map, 0, out + to[p], fill);
        continue;
      }
      parallel_for(map.window[0].n, 1, map.window_size * kSize * 0.05, [&](int64_t lo, int64_t hi) {
        IndexMap part = map;
        part.window[0].n = hi - lo;
        move_window(part, 0, out + to[p] + lo * map.window[0].values, array + from[p] + lo * map.window[0].array);
      });
    }
    return;
  }
  // Taking along an inner axis: outer window dimensions go outside, so that the result is written in order.
  while (map.nw > 0 && map.nb > 0 && map.window[0].values > map.batch[map.nb - 1].values) map.hoist(0);
  parallel_for(map.positions, 16, map.positions * (0.5 + map.nv) + items * kSize * 0.08, [&](int64_t lo, int64_t hi) {
    gather_range(map, array, args[1], fill, out, lo, hi);
  });
}

}  // namespace

ResolveFn gather_resolver() { return resolve; }

void gather_entries(KernelList& list) {
  list.push_back({"gather_1", gather<1>});
  list.push_back({"gather_2", gather<2>});
  list.push_back({"gather_4", gather<4>});
  list.push_back({"gather_8", gather<8>});
  list.push_back({"gather_16", gather<16>});
}

}  // namespace addax::ADDAX_ISA
