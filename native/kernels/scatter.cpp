// Scatters: array[start(p) + w] op= values[p, w], in the order of positions p; see index_map.h for the table.
//
// The same call gives the same bits whatever the number of threads: work is cut by where it lands (then every element
// still receives its updates in order), and only commutative updates of a small array that is hit very often go through
// private copies, whose number depends on the sizes alone. Start at scatter.
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "../pool.h"
#include "index_map.h"
#include "kernels.h"
#include "scratch.h"
#include "small_floats.h"

namespace addax {
namespace {

template <int kSize>
struct Bytes {
  unsigned char b[kSize];
};

template <typename T>
constexpr bool kSmallFloat = std::is_same_v<T, Half> || std::is_same_v<T, BFloat>;

// Small floats compute in float32 and are rounded after every update, as stored.
template <typename T, typename F>
inline T through_float(T a, T b, F f) {
  float x = f(to_float(a), to_float(b));
  if constexpr (std::is_same_v<T, Half>) return to_half(x);
  else return to_bfloat(x);
}

struct Set {
  static constexpr bool kCommutes = false;
  template <typename T> static T apply(T, T b) { return b; }
  template <typename T> static T identity() { return T{}; }
};
struct Add {
  static constexpr bool kCommutes = true;
  template <typename T> static T apply(T a, T b) {
    if constexpr (kSmallFloat<T>) return through_float(a, b, [](float x, float y) { return x + y; });
    else return static_cast<T>(a + b);
  }
  template <typename T> static T identity() { return T{}; }
};
struct Sub {
  static constexpr bool kCommutes = false;
  template <typename T> static T apply(T a, T b) {
    if constexpr (kSmallFloat<T>) return through_float(a, b, [](float x, float y) { return x - y; });
    else return static_cast<T>(a - b);
  }
  template <typename T> static T identity() { return T{}; }
};
struct Mul {
  static constexpr bool kCommutes = true;
  template <typename T> static T apply(T a, T b) {
    if constexpr (kSmallFloat<T>) return through_float(a, b, [](float x, float y) { return x * y; });
    else if constexpr (std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>)
      return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
    else if constexpr (sizeof(T) < 4) return static_cast<T>(uint32_t{a} * uint32_t{b});  // no signed overflow on promotion
    else return a * b;
  }
  template <typename T> static T identity() {
    if constexpr (std::is_same_v<T, Half>) return to_half(1.0f);
    else if constexpr (std::is_same_v<T, BFloat>) return to_bfloat(1.0f);
    else return T(1);
  }
};
// A NaN on either side wins.
template <bool kMax>
struct Extremum {
  static constexpr bool kCommutes = true;
  template <typename T> static T pick(T a, T b) {
    if (a != a) return a;
    return (kMax ? a > b : a < b) ? a : b;
  }
  template <typename T> static T apply(T a, T b) {
    if constexpr (kSmallFloat<T>) return through_float(a, b, pick<float>);
    else return pick(a, b);
  }
  template <typename T> static T identity() {
    if constexpr (std::is_same_v<T, Half>) return {static_cast<uint16_t>(kMax ? 0xfc00 : 0x7c00)};
    else if constexpr (std::is_same_v<T, BFloat>) return {static_cast<uint16_t>(kMax ? 0xff80 : 0x7f80)};
    else if constexpr (std::numeric_limits<T>::has_infinity)
      return kMax ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    else return kMax ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
  }
};

template <typename Op, typename T>
inline void update_row(T* array, int64_t a, const T* values, int64_t v, int64_t n) {
  if (a == 1 && v == 1) {
    for (int64_t i = 0; i < n; ++i) array[i] = Op::apply(array[i], values[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) array[i * a] = Op::apply(array[i * a], values[i * v]);
  }
}

template <typename Op, typename T>
void update_window(const IndexMap& map, int dim, T* array, const T* values) {
  if (map.nw == 0) {
    *array = Op::apply(*array, *values);
    return;
  }
  const IndexMap::WindowDim& w = map.window[dim];
  if (dim == map.nw - 1) return update_row<Op>(array, w.array, values, w.values, w.n);
  for (int64_t i = 0; i < w.n; ++i) update_window<Op>(map, dim + 1, array + i * w.array, values + i * w.values);
}

constexpr int64_t kNoLimit = INT64_MAX;
constexpr int64_t kLowest = IndexMap::kSkip + 1;

// Single elements at consecutive 32-bit indices, all of the array: the common case, without offsets in between.
template <typename Op, typename T>
bool scatter_flat(const IndexMap& map, const void* indices, const T* values, T* array, int64_t lo, int64_t hi) {
  if (map.nw != 0 || map.nv != 1 || map.nb != 1 || map.index_type != kI32) return false;
  IndexMap::BatchDim b = map.batch[0];
  int64_t limit = map.vec[0].limit, stride = map.vec[0].array;
  if (b.index != 1 || b.values != 1 || b.array != 0) return false;
  auto* at = static_cast<const int32_t*>(indices);
  for (int64_t p = lo; p < hi; ++p) {
    int64_t start = at[p];
    if (map.skip) {
      if (static_cast<uint64_t>(start) > static_cast<uint64_t>(limit)) continue;
    } else {
      start = std::clamp<int64_t>(start, 0, limit);
    }
    array[start * stride] = Op::apply(array[start * stride], values[p]);
  }
  return true;
}

// Applies positions [lo, hi) whose offset lies in [first, last).
template <typename Op, typename T>
void scatter_range(const IndexMap& map, const void* indices, const T* values, T* array, int64_t lo, int64_t hi, int64_t first,
                   int64_t last) {
  bool all = first <= kLowest && last == kNoLimit;
  if (all && scatter_flat<Op>(map, indices, values, array, lo, hi)) return;
  int64_t to[IndexMap::kBlock], from[IndexMap::kBlock];
  int mine[IndexMap::kBlock];
  const ResolveFn resolve = index_resolver();
  for (int64_t p = lo; p < hi; p += IndexMap::kBlock) {
    int count = static_cast<int>(std::min<int64_t>(IndexMap::kBlock, hi - p));
    resolve(map, indices, p, count, to, from);
    // Without a branch: which part an update falls into is as good as random.
    int kept = 0;
    for (int k = 0; k < count; ++k) {
      mine[kept] = k;
      kept += (to[k] >= first) & (to[k] < last);
    }
    if (map.nw == 0) {
      for (int j = 0; j < kept; ++j) {
        int k = mine[j];
        array[to[k]] = Op::apply(array[to[k]], values[from[k]]);
      }
    } else {
      for (int j = 0; j < kept; ++j) update_window<Op>(map, 0, array + to[mine[j]], values + from[mine[j]]);
    }
  }
}


// Whether updates at different offsets touch different elements: no dimension that is indexed has an extended window.
bool disjoint_windows(const IndexMap& map) {
  for (int w = 0; w < map.nw; ++w)
    for (int v = 0; v < map.nv; ++v)
      // A merged window dimension covers the strides from its own up to its own times its size.
      if (map.vec[v].limit > 0 && map.vec[v].array >= map.window[w].array && map.vec[v].array < map.window[w].array * map.window[w].n)
        return false;
  return true;
}

// One past the largest offset any position can have.
int64_t offset_span(const IndexMap& map) {
  int64_t span = 1;
  for (int v = 0; v < map.nv; ++v) span += std::max<int64_t>(0, map.vec[v].limit) * map.vec[v].array;
  for (int i = 0; i < map.nb; ++i) span += (map.batch[i].n - 1) * map.batch[i].array;
  return span;
}

// [indices, values, array]; the array already holds the operand.
template <typename Op, typename T>
void scatter(void** args, const int64_t* t, int64_t, int64_t) {
  IndexMap map(t);
  if (map.empty()) return;
  for (int v = 0; v < map.nv; ++v)
    if (map.vec[v].limit < 0) return;  // the window fits nowhere
  const void* indices = args[0];
  auto* values = static_cast<const T*>(args[1]);
  auto* array = static_cast<T*>(args[2]);
  int64_t positions = map.positions, span = offset_span(map);
  double ns = positions * (2.0 + map.nv) + static_cast<double>(positions) * map.window_size * 0.5;
  bool serial = ns < 4 * kSplitBreakEvenNs || !disjoint_windows(map);

  // Many updates of few elements: private copies, added up in order.
  if (!serial && Op::kCommutes && map.nw == 0 && span <= 16384 && positions >= 16 * span && positions >= 65536) {
    int64_t parts = std::clamp<int64_t>(positions / 65536, 2, 8);
    Scratch<T> bins(parts * span);
    std::fill(bins.get(), bins.get() + parts * span, Op::template identity<T>());
    parallel_for(parts, 1, ns, [&](int64_t lo, int64_t hi) {
      for (int64_t part = lo; part < hi; ++part)
        scatter_range<Op>(map, indices, values, bins.get() + part * span, positions * part / parts, positions * (part + 1) / parts,
                          kLowest, kNoLimit);
    });
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t i = 0; i < span; ++i) array[i] = Op::apply(array[i], bins[part * span + i]);
    return;
  }
  // Each thread applies, in order, what lands in its part of the array.
  int threads = num_threads();
  // Reading all the indices once per thread pays only if the updates themselves cost more.
  bool worth = map.window_size >= 4 || span * static_cast<int64_t>(sizeof(T)) >= (1 << 20);
  if (!serial && worth && threads > 1 && threads <= 16 && span >= 4 * threads) {
    int64_t parts = threads;
    parallel_for(parts, 1, ns, [&](int64_t lo, int64_t hi) {
      for (int64_t part = lo; part < hi; ++part)
        scatter_range<Op>(map, indices, values, array, 0, positions, span * part / parts, span * (part + 1) / parts);
    });
    return;
  }
  scatter_range<Op>(map, indices, values, array, 0, positions, kLowest, kNoLimit);
}

}  // namespace

void add_scatter_kernels(Isa, KernelList& list) {
  list.push_back({"scatter_set_1", scatter<Set, uint8_t>});
  list.push_back({"scatter_set_2", scatter<Set, uint16_t>});
  list.push_back({"scatter_set_4", scatter<Set, uint32_t>});
  list.push_back({"scatter_set_8", scatter<Set, uint64_t>});
  list.push_back({"scatter_set_16", scatter<Set, Bytes<16>>});
#define ADDAX_TYPE(suffix, T, Wrapping)                                \
  list.push_back({"scatter_add_" suffix, scatter<Add, Wrapping>});     \
  list.push_back({"scatter_sub_" suffix, scatter<Sub, Wrapping>});     \
  list.push_back({"scatter_mul_" suffix, scatter<Mul, Wrapping>});
#define ADDAX_ORDERED(suffix, T)                                       \
  list.push_back({"scatter_min_" suffix, scatter<Extremum<false>, T>}); \
  list.push_back({"scatter_max_" suffix, scatter<Extremum<true>, T>});
#define ADDAX_BOTH(suffix, T, Wrapping) ADDAX_TYPE(suffix, T, Wrapping) ADDAX_ORDERED(suffix, T)
  ADDAX_BOTH("f32", float, float)
  ADDAX_BOTH("f64", double, double)
  ADDAX_BOTH("f16", Half, Half)
  ADDAX_BOTH("bf16", BFloat, BFloat)
  ADDAX_BOTH("i8", int8_t, uint8_t)
  ADDAX_BOTH("i16", int16_t, uint16_t)
  ADDAX_BOTH("i32", int32_t, uint32_t)
  ADDAX_BOTH("i64", int64_t, uint64_t)
  ADDAX_BOTH("u8", uint8_t, uint8_t)
  ADDAX_BOTH("u16", uint16_t, uint16_t)
  ADDAX_BOTH("u32", uint32_t, uint32_t)
  ADDAX_BOTH("u64", uint64_t, uint64_t)
  ADDAX_TYPE("c64", std::complex<float>, std::complex<float>)
  ADDAX_TYPE("c128", std::complex<double>, std::complex<double>)
#undef ADDAX_TYPE
#undef ADDAX_ORDERED
#undef ADDAX_BOTH
}

}  // namespace addax
