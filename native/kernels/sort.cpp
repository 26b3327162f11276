// Stable sorting along the last axis of [rows, n], by one or more keys, and top-k.
//
// Every key is turned into an unsigned integer of the same order. A single operand sorts those integers and turns them
// back (or float32 and float64 as they are, where every element equals only itself); anything else sorts (key, position)
// pairs packed into one wider integer, which makes any sort stable, and moves the operands by the resulting permutation,
// last key first. Integers are sorted by insertion, by NumPy's vectorised quicksort (runs of a long row in parallel, then
// merged) or by radix, least significant digit first. The result never depends on the method.
//
// Order of floats: NaN last, -0 equal to +0, as in jax.lax.sort. top_k instead compares bit patterns (NaN of either
// sign at its end, -0 below +0), as XLA does. Start at sort, then sort_rows.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "../common.h"
#include "../pool.h"
#include "index_type.h"
#include "kernels.h"
#include "scratch.h"

namespace addax {
namespace {

// Element types in the table: those of indices (index_type.h), then
enum ElementType : int64_t { kF32 = 8, kF64 = 9, kF16 = 10, kBF16 = 11, kC64 = 12, kC128 = 13, kBool = 14 };
// added to the type of an operand that is the position along the axis and need not be read.
constexpr int64_t kIotaFlag = 64;

int64_t item_size(int64_t type) {
  switch (type) {
    case kI8: case kU8: case kBool: return 1;
    case kI16: case kU16: case kF16: case kBF16: return 2;
    case kI32: case kU32: case kF32: return 4;
    case kI64: case kU64: case kF64: case kC64: return 8;
    case kC128: return 16;
  }
  throw std::invalid_argument("sort: unknown element type");
}

// ---- keys ----

template <typename U>
struct UnsignedKey {
  using Key = U;
  static Key encode(U x) { return x; }
  static U decode(Key k) { return k; }
  static bool exact(U) { return true; }
};
template <typename U>
struct SignedKey {
  using Key = U;
  static constexpr U kSign = U(U(1) << (8 * sizeof(U) - 1));
  static Key encode(U x) { return x ^ kSign; }
  static U decode(Key k) { return k ^ kSign; }
  static bool exact(U) { return true; }
};
// IEEE bit patterns: negative numbers reversed below the positive ones.
template <typename U, U kInfinity, bool kTotal>
struct FloatKey {
  using Key = U;
  static constexpr U kSign = U(U(1) << (8 * sizeof(U) - 1));
  static bool nan(U x) { return U(x & U(~kSign)) > kInfinity; }
  static Key flip(U x) { return x & kSign ? U(~x) : U(x | kSign); }
  static Key encode(U x) {
    if constexpr (!kTotal) {
      if (nan(x)) return U(~U(0));
      if (x == kSign) return flip(0);
    }
    return flip(x);
  }
  static U decode(Key k) { return k & kSign ? U(k ^ kSign) : U(~k); }
  // Whether decode(encode(x)) is x.
  static bool exact(U x) { return kTotal || !(nan(x) || x == kSign); }
};

// f(encoder) for a real element type.
template <bool kTotal, typename F>
void with_key(int64_t type, F&& f) {
  switch (type) {
    case kI8: return f(SignedKey<uint8_t>{});
    case kI16: return f(SignedKey<uint16_t>{});
    case kI32: return f(SignedKey<uint32_t>{});
    case kI64: return f(SignedKey<uint64_t>{});
    case kU8: case kBool: return f(UnsignedKey<uint8_t>{});
    case kU16: return f(UnsignedKey<uint16_t>{});
    case kU32: return f(UnsignedKey<uint32_t>{});
    case kU64: return f(UnsignedKey<uint64_t>{});
    case kF16: return f(FloatKey<uint16_t, 0x7c00, kTotal>{});
    case kBF16: return f(FloatKey<uint16_t, 0x7f80, kTotal>{});
    case kF32: return f(FloatKey<uint32_t, 0x7f800000u, kTotal>{});
    case kF64: return f(FloatKey<uint64_t, 0x7ff0000000000000u, kTotal>{});
  }
  throw std::invalid_argument("sort: unknown key type");
}

// ---- sorting unsigned integers by their bits [shift, shift + bits) ----

using Wide = unsigned __int128;

template <typename E>
void insertion_sort(E* data, int64_t n) {
  for (int64_t i = 1; i < n; ++i) {
    E x = data[i];
    int64_t j = i;
    for (; j > 0 && x < data[j - 1]; --j) data[j] = data[j - 1];
    data[j] = x;
  }
}

// Stable; leaves the result in data. tmp has room for n.
template <typename E>
void radix_sort(E* data, E* tmp, int64_t n, int shift, int bits) {
  constexpr int64_t kLong = 1 << 16;
  int digit = bits <= 16 || n < kLong ? 8 : 11;
  int passes = (bits + digit - 1) / digit;
  int64_t buckets = int64_t{1} << digit;
  auto bucket = [=](E x, int pass) { return static_cast<size_t>(static_cast<uint64_t>(x >> (shift + pass * digit)) & (buckets - 1)); };
  int64_t parts = n >= kLong ? std::clamp(num_threads(), 1, 8) : 1;
  auto begin = [=](int64_t part) { return n * part / parts; };
  double ns = static_cast<double>(n);

  // How often each digit occurs overall: a pass in which one bucket takes all moves nothing and is skipped.
  std::vector<uint32_t> totals(passes * buckets * parts);
  parallel_for(parts, 1, ns, [&](int64_t lo, int64_t hi) {
    for (int64_t part = lo; part < hi; ++part) {
      uint32_t* t = totals.data() + part * passes * buckets;
      for (int64_t i = begin(part); i < begin(part + 1); ++i)
        for (int p = 0; p < passes; ++p) ++t[p * buckets + bucket(data[i], p)];
    }
  });
  std::vector<uint32_t> counts(parts > 1 ? parts * buckets : buckets);
  E *from = data, *to = tmp;
  bool moved = false;
  for (int p = 0; p < passes; ++p) {
    size_t first = bucket(data[0], p);  // any element shows the bucket if there is only one
    uint32_t in_first = 0;
    for (int64_t part = 0; part < parts; ++part) in_first += totals[(part * passes + p) * buckets + first];
    if (in_first == n) continue;
    // Counts of this pass by part; the parts of the first pass are those counted above.
    if (!moved) {
      for (int64_t part = 0; part < parts; ++part)
        std::copy_n(totals.data() + (part * passes + p) * buckets, buckets, counts.data() + part * buckets);
    } else if (parts == 1) {
      std::copy_n(totals.data() + p * buckets, buckets, counts.data());
    } else {
      std::fill(counts.begin(), counts.end(), 0);
      parallel_for(parts, 1, ns, [&](int64_t lo, int64_t hi) {
        for (int64_t part = lo; part < hi; ++part) {
          uint32_t* c = counts.data() + part * buckets;
          for (int64_t i = begin(part); i < begin(part + 1); ++i) ++c[bucket(from[i], p)];
        }
      });
    }
    uint32_t offset = 0;
    for (int64_t b = 0; b < buckets; ++b)
      for (int64_t part = 0; part < parts; ++part) offset += std::exchange(counts[part * buckets + b], offset);
    parallel_for(parts, 1, 2 * ns, [&](int64_t lo, int64_t hi) {
      for (int64_t part = lo; part < hi; ++part) {
        uint32_t* c = counts.data() + part * buckets;
        for (int64_t i = begin(part); i < begin(part + 1); ++i) {
          E x = from[i];
          to[c[bucket(x, p)]++] = x;
        }
      }
    });
    std::swap(from, to);
    moved = true;
  }
  if (from != data) std::memcpy(data, from, n * sizeof(E));
}

// NumPy's sort; AVX-512 and AVX2 machines have a vectorised one that nothing above comes close to.
using NumpySort = int (*)(void* start, npy_intp n, void* unused);

NumpySort numpy_sort(int type_num) {
  if (best_isa() < Isa::kAvx2) return nullptr;
  PyArray_Descr* descr = PyArray_DescrFromType(type_num);
  if (!descr) return nullptr;
  PyArray_ArrFuncs* functions = PyDataType_GetArrFuncs(descr);
  NumpySort sort = functions ? reinterpret_cast<NumpySort>(functions->sort[NPY_QUICKSORT]) : nullptr;
  Py_DECREF(descr);  // builtin types live for ever
  return sort;
}
NumpySort sort_u32 = nullptr, sort_u64 = nullptr, sort_f32 = nullptr, sort_f64 = nullptr;

template <typename E>
NumpySort vector_sort() {
  if constexpr (std::is_same_v<E, uint32_t>) return sort_u32;
  if constexpr (std::is_same_v<E, uint64_t>) return sort_u64;
  if constexpr (std::is_same_v<E, float>) return sort_f32;
  if constexpr (std::is_same_v<E, double>) return sort_f64;
  return nullptr;
}

// How many of the first `count` merged elements come from a.
template <typename E>
int64_t merge_split(const E* a, int64_t na, const E* b, int64_t nb, int64_t count) {
  int64_t lo = std::max<int64_t>(0, count - nb), hi = std::min(count, na);
  while (lo < hi) {
    int64_t i = (lo + hi) / 2;
    if (b[count - i - 1] < a[i]) hi = i;
    else lo = i + 1;
  }
  return lo;
}

template <typename E>
void merge_runs(const E* a, const E* a_end, const E* b, const E* b_end, E* out) {
  while (a != a_end && b != b_end) {
    bool take_b = *b < *a;
    *out++ = take_b ? *b : *a;
    b += take_b, a += !take_b;
  }
  out = std::copy(a, a_end, out);
  std::copy(b, b_end, out);
}

// Sorted runs in parallel, then rounds of merges whose outputs are cut evenly.
template <typename E>
void parallel_sort(E* data, E* tmp, int64_t n, NumpySort sort) {
  int64_t runs = 1;
  while (runs < std::min(num_threads(), 16)) runs *= 2;
  auto at = [=](int64_t run) { return n * run / runs; };
  parallel_for(runs, 1, n * 5.0, [&](int64_t lo, int64_t hi) {
    for (int64_t r = lo; r < hi; ++r) sort(data + at(r), at(r + 1) - at(r), nullptr);
  });
  E *from = data, *to = tmp;
  int64_t pieces = 4 * runs;  // of the whole output
  for (int64_t width = 1; width < runs; width *= 2) {
    int64_t per_pair = pieces * 2 * width / runs;
    parallel_for(pieces, 1, n * 2.0, [&](int64_t lo, int64_t hi) {
      for (int64_t piece = lo; piece < hi; ++piece) {
        int64_t first = piece / per_pair * 2 * width, k = piece % per_pair;
        const E *a = from + at(first), *b = from + at(first + width);
        int64_t na = b - a, nb = from + at(first + 2 * width) - b;
        int64_t begin = (na + nb) * k / per_pair, end = (na + nb) * (k + 1) / per_pair;
        int64_t i = merge_split(a, na, b, nb, begin), j = merge_split(a, na, b, nb, end);
        merge_runs(a + i, a + j, b + begin - i, b + end - j, to + (a - from) + begin);
      }
    });
    std::swap(from, to);
  }
  if (from != data) std::memcpy(data, from, n * sizeof(E));
}

constexpr int64_t kLongRow = 1 << 16;

// By NumPy's vectorised sort; false if it has none for E. tmp: for long rows, room for n.
template <typename E>
bool sort_vectorised(E* data, E* tmp, int64_t n) {
  NumpySort vectorised = vector_sort<E>();
  if (!vectorised) return false;
  if (n <= 4) insertion_sort(data, n);
  else if (n < kLongRow || num_threads() < 4) vectorised(data, n, nullptr);  // two threads gain what merging costs
  else parallel_sort(data, tmp, n, vectorised);
  return true;
}

// Elements must differ outside the key bits by position, or be indistinguishable when their keys are equal.
template <typename E>
void sort_integers(E* data, E* tmp, int64_t n, int shift, int bits) {
  if (bits > 8 && sort_vectorised(data, tmp, n)) return;
  if (n <= 24) return insertion_sort(data, n);
  int64_t radix_from = bits <= 16 ? 96 : bits <= 32 ? 200 : 600;
  if (n < radix_from) std::sort(data, data + n);
  else radix_sort(data, tmp, n, shift, bits);
}

// ---- rows ----

struct Operand {
  const char* in;
  char* out;
  int64_t type;
  int64_t size;
  bool iota;
};

// One real key: where it starts, its stride in elements of its own type.
struct KeyColumn {
  const char* data;
  int64_t type, stride;
};

using Position = uint32_t;

template <typename T>
const T& element(const char* data, int64_t i) {
  return reinterpret_cast<const T*>(data)[i];
}

// Memory that the rows of one range share, so that short rows do not each ask for their own.
class RowMemory {
 public:
  explicit RowMemory(int64_t n) : n_(n) {}

  std::vector<Position>& order() { return order_.resize(n_), order_; }
  std::vector<Position>& before() { return before_.resize(n_), before_; }
  template <typename E>
  E* items(int64_t count) {
    size_t bytes = count * sizeof(E);
    if (bytes > bytes_) {
      items_ = std::make_unique<Scratch<char>>(bytes);
      bytes_ = bytes;
    }
    return reinterpret_cast<E*>(items_->get());
  }

 private:
  int64_t n_;
  std::vector<Position> order_, before_;
  std::unique_ptr<Scratch<char>> items_;
  size_t bytes_ = 0;
};

// order := order stably sorted by one key; `identity`: order is still 0, 1, 2, ... and need not be read.
void refine(RowMemory& memory, bool identity, const KeyColumn& column) {
  std::vector<Position>& order = memory.order();
  int64_t n = static_cast<int64_t>(order.size());
  with_key<false>(column.type, [&](auto encoder) {
    using Encoder = decltype(encoder);
    using Key = typename Encoder::Key;
    using E = std::conditional_t<sizeof(Key) == 8, Wide, uint64_t>;
    E* packed = memory.items<E>(2 * n);
    parallel_for(n, 64, n * 1.0, [&](int64_t lo, int64_t hi) {
      for (int64_t i = lo; i < hi; ++i) {
        Key k = Encoder::encode(element<Key>(column.data, (identity ? i : order[i]) * column.stride));
        packed[i] = E(k) << 32 | static_cast<uint32_t>(i);
      }
    });
    sort_integers<E>(packed, packed + n, n, 32, 8 * sizeof(Key));
    if (identity) {
      for (int64_t i = 0; i < n; ++i) order[i] = static_cast<Position>(packed[i]);
    } else {
      std::vector<Position>& before = memory.before();
      std::copy(order.begin(), order.end(), before.begin());
      for (int64_t i = 0; i < n; ++i) order[i] = before[static_cast<Position>(packed[i])];
    }
  });
}

template <typename T>
void permute(const Operand& op, int64_t base, const std::vector<Position>& order) {
  int64_t n = static_cast<int64_t>(order.size());
  auto* out = reinterpret_cast<T*>(op.out) + base;
  auto* in = reinterpret_cast<const T*>(op.in) + base;
  parallel_for(n, 64, n * 1.5, [&](int64_t lo, int64_t hi) {
    for (int64_t i = lo; i < hi; ++i) out[i] = in[order[i]];
  });
}

struct Item16 {
  uint64_t w[2];
};

void write_operand(const Operand& op, int64_t base, const std::vector<Position>& order) {
  if (op.iota) {
    int64_t n = static_cast<int64_t>(order.size());
    auto write = [&](auto zero) {
      using T = decltype(zero);
      auto* out = reinterpret_cast<T*>(op.out) + base;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(order[i]);
    };
    switch (op.type) {
      case kF32: return write(float{});
      case kF64: return write(double{});
      default: break;
    }
    switch (op.size) {
      case 1: return write(uint8_t{});
      case 2: return write(uint16_t{});
      case 4: return write(uint32_t{});
      default: return write(uint64_t{});
    }
  }
  switch (op.size) {
    case 1: return permute<uint8_t>(op, base, order);
    case 2: return permute<uint16_t>(op, base, order);
    case 4: return permute<uint32_t>(op, base, order);
    case 8: return permute<uint64_t>(op, base, order);
    default: return permute<Item16>(op, base, order);
  }
}

// Sorts one row of floats by their own values, as such; false if some do not equal themselves alone (-0, NaN).
template <typename T>
bool sort_floats(const Operand& op, int64_t base, int64_t n, RowMemory& memory) {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  constexpr Bits kInfinity = sizeof(T) == 4 ? Bits(0x7f800000) : Bits(0x7ff0000000000000);
  constexpr Bits kRest = std::numeric_limits<Bits>::max(), kMinusZero = std::numeric_limits<Bits>::min();
  auto* in = reinterpret_cast<const Bits*>(op.in) + base;
  auto* out = reinterpret_cast<Bits*>(op.out) + base;
  Bits inexact = 0;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = in[i];
    inexact |= Bits((in[i] & kRest) > kInfinity) | Bits(in[i] == kMinusZero);
  }
  return !inexact && sort_vectorised(reinterpret_cast<T*>(out), n < kLongRow ? nullptr : memory.items<T>(n), n);
}

// Sorts one row of a single operand by its own values; false if some value would not survive (-0, NaN).
bool sort_values(const Operand& op, int64_t base, int64_t n, RowMemory& memory) {
  if (op.type == kF32 && sort_f32) return sort_floats<float>(op, base, n, memory);
  if (op.type == kF64 && sort_f64) return sort_floats<double>(op, base, n, memory);
  bool done = false;
  with_key<false>(op.type, [&](auto encoder) {
    using Encoder = decltype(encoder);
    using Key = typename Encoder::Key;
    auto* in = reinterpret_cast<const Key*>(op.in) + base;
    auto* out = reinterpret_cast<Key*>(op.out) + base;
    unsigned inexact = 0;
    for (int64_t i = 0; i < n; ++i) {
      out[i] = Encoder::encode(in[i]);
      inexact |= !Encoder::exact(in[i]);
    }
    if (inexact) return;
    Key few[512];
    sort_integers<Key>(out, n <= 512 ? few : memory.items<Key>(n), n, 0, 8 * sizeof(Key));
    for (int64_t i = 0; i < n; ++i) out[i] = Encoder::decode(out[i]);
    done = true;
  });
  return done;
}

void push_keys(std::vector<KeyColumn>& keys, const Operand& op) {
  if (op.type == kC64 || op.type == kC128) {
    int64_t part = op.type == kC64 ? kF32 : kF64;
    keys.push_back({op.in, part, 2});
    keys.push_back({op.in + op.size / 2, part, 2});
  } else {
    keys.push_back({op.in, op.type, 1});
  }
}

void sort_rows(const std::vector<Operand>& operands, int num_keys, int64_t lo, int64_t hi, int64_t n) {
  RowMemory memory(n);
  std::vector<KeyColumn> keys;
  for (int k = 0; k < num_keys; ++k) {
    if (operands[k].iota) break;  // distinct already: later keys never decide
    push_keys(keys, operands[k]);
  }
  bool alone = operands.size() == 1 && keys.size() == 1;
  for (int64_t row = lo; row < hi; ++row) {
    int64_t base = row * n;
    if (alone && sort_values(operands[0], base, n, memory)) continue;
    if (keys.empty()) std::iota(memory.order().begin(), memory.order().end(), 0);
    bool identity = true;
    for (size_t k = keys.size(); k-- > 0; identity = false) {
      KeyColumn at = keys[k];
      at.data += base * at.stride * item_size(at.type);
      refine(memory, identity, at);
    }
    for (const Operand& op : operands) write_operand(op, base, memory.order());
  }
}

// [in_0 ... in_{k-1}, out_0 ... out_{k-1}]; table: rows, n, operands k, number of keys, then the k types.
void sort(void** args, const int64_t* t, int64_t, int64_t) {
  int64_t rows = t[0], n = t[1];
  int k = static_cast<int>(t[2]), num_keys = static_cast<int>(t[3]);
  if (rows <= 0 || n <= 0) return;
  if (n >= int64_t{1} << 32) throw std::invalid_argument("sort: an axis of 2**32 or more elements");
  std::vector<Operand> operands(k);
  for (int i = 0; i < k; ++i) {
    int64_t type = t[4 + i] & ~kIotaFlag;
    operands[i] = {static_cast<const char*>(args[i]), static_cast<char*>(args[k + i]), type, item_size(type), (t[4 + i] & kIotaFlag) != 0};
  }
  double ns = static_cast<double>(rows) * n * 10.0;
  if (rows == 1 || (n >= kLongRow && rows < 2 * num_threads())) {  // cut inside the row
    sort_rows(operands, num_keys, 0, rows, n);
    return;
  }
  parallel_for(rows, 1, ns, [&](int64_t lo, int64_t hi) { sort_rows(operands, num_keys, lo, hi, n); });
}

// The k largest of n, largest first, the lower position first among equals.
template <typename Encoder>
void top_of_row(const typename Encoder::Key* in, int64_t n, int64_t k, typename Encoder::Key* values, char* positions, bool wide) {
  using Key = typename Encoder::Key;
  using E = std::conditional_t<sizeof(Key) == 8, Wide, uint64_t>;
  auto pack = [&](int64_t i) { return E(Key(~Encoder::encode(in[i]))) << 32 | static_cast<uint32_t>(i); };
  std::vector<E> best;
  best.reserve(std::min(n, 2 * k + 64));
  if (k * 4 >= n) {
    for (int64_t i = 0; i < n; ++i) best.push_back(pack(i));
  } else {
    // Keep up to 2k candidates; when full, halve them and raise the bar.
    size_t room = static_cast<size_t>(2 * k + 64);
    E bar = ~E(0);
    for (int64_t i = 0; i < n; ++i) {
      E x = pack(i);
      if (x >= bar) continue;
      best.push_back(x);
      if (best.size() == room) {
        std::nth_element(best.begin(), best.begin() + k - 1, best.end());
        best.resize(k);
        bar = best[k - 1];
      }
    }
  }
  if (static_cast<int64_t>(best.size()) > k) {
    std::nth_element(best.begin(), best.begin() + k - 1, best.end());
    best.resize(k);
  }
  std::sort(best.begin(), best.end());
  for (int64_t j = 0; j < k; ++j) {
    auto position = static_cast<Position>(best[j]);
    values[j] = in[position];
    if (wide) reinterpret_cast<int64_t*>(positions)[j] = position;
    else reinterpret_cast<int32_t*>(positions)[j] = static_cast<int32_t>(position);
  }
}

// [in, values, positions]; table: rows, n, k, element type, positions are int64 (else int32).
void top_k(void** args, const int64_t* t, int64_t, int64_t) {
  int64_t rows = t[0], n = t[1], k = t[2];
  if (rows <= 0 || k <= 0) return;
  if (k > n || n >= int64_t{1} << 32) throw std::invalid_argument("top_k: k exceeds the axis, or an axis of 2**32 or more elements");
  bool wide = t[4] != 0;
  with_key<true>(t[3], [&](auto encoder) {
    using Encoder = decltype(encoder);
    using Key = typename Encoder::Key;
    parallel_for(rows, 1, rows * n * 3.0, [&](int64_t lo, int64_t hi) {
      for (int64_t r = lo; r < hi; ++r)
        top_of_row<Encoder>(static_cast<const Key*>(args[0]) + r * n, n, k, static_cast<Key*>(args[1]) + r * k,
                            static_cast<char*>(args[2]) + r * k * (wide ? 8 : 4), wide);
    });
  });
}

}  // namespace

void init_sort() {
  sort_u32 = numpy_sort(NPY_UINT32);
  sort_u64 = numpy_sort(NPY_UINT64);
  sort_f32 = numpy_sort(NPY_FLOAT);
  sort_f64 = numpy_sort(NPY_DOUBLE);
}

void add_sort_kernels(Isa, KernelList& list) {
  list.push_back({"sort", sort});
  list.push_back({"top_k", top_k});
}

}  // namespace addax
