// Running reductions along one axis of [outer, n, inner], forwards or backwards.
//
// inner > 1: one vector of running values walks down the axis. inner == 1: a prefix network inside each register, the
// carry added once per register. A long axis alone is cut into blocks of fixed length (so that the result does not
// depend on the number of threads): totals first, then every block from its own starting value.

#include "simd.inl"

namespace addax::ADDAX_ISA {
namespace {

struct Sum {
  template <typename T> static T identity() { return T(0); }
  template <typename V> static V apply(V a, V b) { return a + b; }
};
struct Prod {
  template <typename T> static T identity() { return T(1); }
  template <typename V> static V apply(V a, V b) { return a * b; }
};
template <typename V> ADDAX_INLINE auto negative(V v) {
  if constexpr (std::is_arithmetic_v<V>)
    return std::signbit(v);
  else
    return (decltype(v == v))v < 0;  // of the bits
}
// NaN, once met, stays. 0 is above -0.
struct Max {
  template <typename T> static T identity() {
    return std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
  }
  template <typename V> static V apply(V a, V b) { return ((a > b) | (a != a) | ((a == b) & negative(b))) ? a : b; }
};
struct Min {
  template <typename T> static T identity() {
    return std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
  }
  template <typename V> static V apply(V a, V b) { return ((a < b) | (a != a) | ((a == b) & negative(a))) ? a : b; }
};
struct LogSumExp {
  template <typename T> static T identity() { return -std::numeric_limits<T>::infinity(); }
  template <typename T> static T apply(T a, T b) {
    T d = a - b;
    if (d != d) return a + b;  // equal infinities, or a NaN
    return std::max(a, b) + std::log1p(std::exp(-std::fabs(d)));
  }
};

template <typename Op, typename T>
constexpr bool kVectorised = !std::is_same_v<Op, LogSumExp>;
template <typename Op>
constexpr double kNsPerItem = std::is_same_v<Op, LogSumExp> ? 25.0 : 0.4;

template <typename Op, typename T, bool kReverse>
struct Prefix {
  using S = Simd<T>;
  using V = typename S::Vec;
  static constexpr int kLanes = S::kLanes;

  // v moved by kStep lanes in the direction of the scan, the identity moving in.
  template <int kStep, int... kLane>
  static ADDAX_INLINE V shift(V v, V identity, std::integer_sequence<int, kLane...>) {
    if constexpr (kReverse)
      return __builtin_shufflevector(v, identity, (kLane + kStep < kLanes ? kLane + kStep : kLanes + kLane)...);
    else
      return __builtin_shufflevector(v, identity, (kLane >= kStep ? kLane - kStep : kLanes + kLane)...);
  }
  template <int... kLane>
  static ADDAX_INLINE V last(V v, std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(v, v, (kLane * 0 + (kReverse ? 0 : kLanes - 1))...);
  }

  template <int kStep>
  static ADDAX_INLINE V network(V v, V identity) {
    if constexpr (kStep < kLanes) {
      v = Op::template apply<V>(shift<kStep>(v, identity, std::make_integer_sequence<int, kLanes>{}), v);
      return network<kStep * 2>(v, identity);
    } else {
      return v;
    }
  }

  // Scans n contiguous items starting from `carry`; returns the last running value.
  static T row(const T* in, T* out, int64_t n, T carry) {
    int64_t i = 0;
    if constexpr (kVectorised<Op, T>) {
      constexpr auto lanes = std::make_integer_sequence<int, kLanes>{};
      V identity = S::splat(Op::template identity<T>()), running = S::splat(carry);
      for (; i + kLanes <= n; i += kLanes) {
        int64_t at = kReverse ? n - kLanes - i : i;
        V v = network<1>(S::load(in + at), identity);
        S::store(out + at, Op::template apply<V>(running, v));
        // The carry chain is one operation per register: the register's own total joins it.
        running = Op::template apply<V>(running, last(v, lanes));
      }
      carry = running[0];
    }
    for (; i < n; ++i) {
      int64_t at = kReverse ? n - 1 - i : i;
      out[at] = carry = Op::template apply<T>(carry, in[at]);
    }
    return carry;
  }

  static T total(const T* in, int64_t n, T carry) {
    if constexpr (kVectorised<Op, T>) {
      V a = S::splat(Op::template identity<T>()), b = a;
      int64_t i = 0;
      for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
        a = Op::template apply<V>(a, S::load(in + i));
        b = Op::template apply<V>(b, S::load(in + i + kLanes));
      }
      a = Op::template apply<V>(a, b);
      for (int lane = 0; lane < kLanes; ++lane) carry = Op::template apply<T>(carry, a[lane]);
      for (; i < n; ++i) carry = Op::template apply<T>(carry, in[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) carry = Op::template apply<T>(carry, in[kReverse ? n - 1 - i : i]);
    }
    return carry;
  }
};

template <typename Op, typename T, bool kReverse>
void scan(const T* in, T* out, int64_t outer, int64_t n, int64_t inner) {
  using P = Prefix<Op, T, kReverse>;
  double ns = static_cast<double>(outer) * n * inner * kNsPerItem<Op>;
  const T first = Op::template identity<T>();
  if (inner == 1) {
    constexpr int64_t kBlock = 32768;
    int64_t blocks = (n + kBlock - 1) / kBlock;
    if (outer >= 8 || blocks < 4) {
      parallel_for(outer, 1, ns, [&](int64_t lo, int64_t hi) {
        for (int64_t o = lo; o < hi; ++o) P::row(in + o * n, out + o * n, n, first);
      });
      return;
    }
    Scratch<T> carry(blocks);
    for (int64_t o = 0; o < outer; ++o, in += n, out += n) {
      // Block b in the order of the scan.
      auto begin = [&](int64_t b) { return kReverse ? std::max<int64_t>(0, n - (b + 1) * kBlock) : b * kBlock; };
      auto length = [&](int64_t b) { return std::min(kBlock, n - b * kBlock); };
      parallel_for(blocks, 1, ns / 2, [&](int64_t lo, int64_t hi) {
        for (int64_t b = lo; b < hi; ++b) carry[b] = P::total(in + begin(b), length(b), first);
      });
      T running = first;
      for (int64_t b = 0; b < blocks; ++b) running = Op::template apply<T>(running, std::exchange(carry[b], running));
      parallel_for(blocks, 1, ns, [&](int64_t lo, int64_t hi) {
        for (int64_t b = lo; b < hi; ++b) P::row(in + begin(b), out + begin(b), length(b), carry[b]);
      });
    }
    return;
  }
  // Columns in strips that keep their running values in cache.
  constexpr int64_t kStrip = 256;
  int64_t strips = (inner + kStrip - 1) / kStrip;
  parallel_for(outer * strips, 1, ns, [&](int64_t lo, int64_t hi) {
    for (int64_t u = lo; u < hi; ++u) {
      int64_t j = u % strips * kStrip, width = std::min(kStrip, inner - j), base = u / strips * n * inner + j;
      T running[kStrip];
      std::fill(running, running + width, first);
      for (int64_t i = 0; i < n; ++i) {
        int64_t at = base + (kReverse ? n - 1 - i : i) * inner;
        for (int64_t q = 0; q < width; ++q) out[at + q] = running[q] = Op::template apply<T>(running[q], in[at + q]);
      }
    }
  });
}

// [in, out]; table: outer, n, inner, reverse.
template <typename Op, typename T>
void cumulative(void** args, const int64_t* t, int64_t, int64_t) {
  auto* in = static_cast<const T*>(args[0]);
  auto* out = static_cast<T*>(args[1]);
  if (t[0] <= 0 || t[1] <= 0 || t[2] <= 0) return;
  if (t[3]) scan<Op, T, true>(in, out, t[0], t[1], t[2]);
  else scan<Op, T, false>(in, out, t[0], t[1], t[2]);
}

}  // namespace

void cumulative_entries(KernelList& list) {
#define ADDAX_OP(name, Op)                                       \
  list.push_back({name "_f32", cumulative<Op, float>});          \
  list.push_back({name "_f64", cumulative<Op, double>});
#define ADDAX_INT(name, Op)                                      \
  list.push_back({name "_i32", cumulative<Op, int32_t>});        \
  list.push_back({name "_i64", cumulative<Op, int64_t>});        \
  list.push_back({name "_u32", cumulative<Op, uint32_t>});       \
  list.push_back({name "_u64", cumulative<Op, uint64_t>});
// Wrapping arithmetic is the same for both signs, and only defined by the language for one.
#define ADDAX_WRAPPING(name, Op)                                 \
  list.push_back({name "_i32", cumulative<Op, uint32_t>});       \
  list.push_back({name "_i64", cumulative<Op, uint64_t>});       \
  list.push_back({name "_u32", cumulative<Op, uint32_t>});       \
  list.push_back({name "_u64", cumulative<Op, uint64_t>});
  ADDAX_OP("cumsum", Sum)
  ADDAX_OP("cumprod", Prod)
  ADDAX_OP("cummax", Max)
  ADDAX_OP("cummin", Min)
  ADDAX_OP("cumlogsumexp", LogSumExp)
  ADDAX_INT("cummax", Max)
  ADDAX_INT("cummin", Min)
  ADDAX_WRAPPING("cumsum", Sum)
  ADDAX_WRAPPING("cumprod", Prod)
#undef ADDAX_OP
#undef ADDAX_INT
#undef ADDAX_WRAPPING
}

}  // namespace addax::ADDAX_ISA
