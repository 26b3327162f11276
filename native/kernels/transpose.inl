// Transposition of matrices through registers. Included inside foreach_isa.h, after items.inl.

namespace addax::ADDAX_ISA {
namespace {

// A square tile, transposed by one butterfly per bit of the lane number.
template <int kSize>
struct Tile {
  // At most 16 lanes, so that a tile fits the registers.
  static constexpr int kLanes = std::min<int>(ADDAX_VEC_BYTES / kSize, 16);
  typedef Item<kSize> Vec __attribute__((vector_size(kLanes * kSize), aligned(kSize)));

  template <int kStep, int... kLane>
  static ADDAX_INLINE void exchange(Vec& a, Vec& b, std::integer_sequence<int, kLane...>) {
    // lanes whose kStep bit is clear keep a's half, the others take b's, and the reverse
    Vec low = __builtin_shufflevector(a, b, (kLane & kStep ? kLanes + kLane - kStep : kLane)...);
    Vec high = __builtin_shufflevector(a, b, (kLane & kStep ? kLanes + kLane : kLane + kStep)...);
    a = low, b = high;
  }

  template <int kStep>
  static ADDAX_INLINE void stage(Vec (&row)[kLanes]) {
    if constexpr (kStep < kLanes) {
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r)
        if (!(r & kStep)) exchange<kStep>(row[r], row[r + kStep], std::make_integer_sequence<int, kLanes>{});
    }
  }

  // dst[i * d + j] = src[j * s + i]
  static ADDAX_INLINE void run(Item<kSize>* dst, int64_t d, const Item<kSize>* src, int64_t s) {
    Vec row[kLanes];
#pragma GCC unroll 16
    for (int r = 0; r < kLanes; ++r) row[r] = *reinterpret_cast<const Vec*>(src + r * s);
    stage<1>(row);
    stage<2>(row);
    stage<4>(row);
    stage<8>(row);
#pragma GCC unroll 16
    for (int r = 0; r < kLanes; ++r) *reinterpret_cast<Vec*>(dst + r * d) = row[r];
  }
};

// dst[i * d + j] = src[j * s + i] for i < m, j < n.
template <int kSize>
void transpose_block(Item<kSize>* dst, int64_t d, const Item<kSize>* src, int64_t s, int64_t m, int64_t n) {
  int64_t i = 0, full_n = 0;
  if constexpr (kSize < 16 && ADDAX_VEC_BYTES / kSize >= 2) {
    constexpr int kLanes = Tile<kSize>::kLanes;
    full_n = n / kLanes * kLanes;
    for (; i + kLanes <= m; i += kLanes)
      for (int64_t j = 0; j < full_n; j += kLanes) Tile<kSize>::run(dst + i * d + j, d, src + j * s + i, s);
  }
  for (int64_t ii = 0; ii < i; ++ii)
    for (int64_t j = full_n; j < n; ++j) dst[ii * d + j] = src[j * s + ii];
  for (; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) dst[i * d + j] = src[j * s + i];
}

}  // namespace
}  // namespace addax::ADDAX_ISA
