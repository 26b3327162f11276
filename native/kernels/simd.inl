// The few vector operations that the language's own vector types do not spell. Included inside foreach_isa.h.

namespace addax::ADDAX_ISA {
namespace {

template <typename T>
struct Simd {
  static constexpr int kLanes = ADDAX_VEC_BYTES / static_cast<int>(sizeof(T));
  typedef T Vec __attribute__((vector_size(ADDAX_VEC_BYTES)));
  typedef T Loose __attribute__((vector_size(ADDAX_VEC_BYTES), aligned(sizeof(T)), may_alias));  // anywhere in memory

  static ADDAX_INLINE Vec load(const T* p) { return *reinterpret_cast<const Loose*>(p); }
  static ADDAX_INLINE void store(T* p, Vec v) { *reinterpret_cast<Loose*>(p) = v; }
  // Spelt as a list of lanes: compilers make it one broadcast, where `Vec{} + x` would keep an addition for -0's sake.
  static ADDAX_INLINE Vec splat(T x) { return splat(x, std::make_integer_sequence<int, kLanes>{}); }
  template <int... kLane>
  static ADDAX_INLINE Vec splat(T x, std::integer_sequence<int, kLane...>) {
    return Vec{(static_cast<void>(kLane), x)...};
  }
  // a * b + c, rounded once where the machine can
  static ADDAX_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if ADDAX_ISA_LEVEL == 2
    if constexpr (std::is_same_v<T, float>) return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
    if constexpr (std::is_same_v<T, double>) return (Vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif ADDAX_ISA_LEVEL == 1
    if constexpr (std::is_same_v<T, float>) return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    if constexpr (std::is_same_v<T, double>) return (Vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__aarch64__)
    if constexpr (std::is_same_v<T, float>) return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
    if constexpr (std::is_same_v<T, double>) return (Vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#endif
    return a * b + c;
  }
  static ADDAX_INLINE T sum(Vec v) {
    T s = v[0];
    for (int i = 1; i < kLanes; ++i) s += v[i];
    return s;
  }
};

}  // namespace
}  // namespace addax::ADDAX_ISA
