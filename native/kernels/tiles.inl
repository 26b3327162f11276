// Register-blocked products, the core of gemm and conv: tiles of up to 12 rows by 4 vectors, operands of the accumulator's
// type, A with any strides, B in rows of whole vectors. Included inside foreach_isa.h.

#include "simd.inl"

namespace addax::ADDAX_ISA {
namespace {

template <typename T>
struct Matrix {
  T* data;
  int64_t row, col;  // strides in elements
  T* at(int64_t i, int64_t j) const { return data + i * row + j * col; }
  Matrix transposed() const { return {data, col, row}; }
};

// Conversions between stored and accumulated values.
template <typename Acc, typename In>
inline Acc widen(In x) {
  if constexpr (std::is_same_v<In, Half> || std::is_same_v<In, BFloat>) return to_float(x);
  else return static_cast<Acc>(x);
}
template <typename Out, typename Acc>
inline Out narrow(Acc x) {
  if constexpr (std::is_same_v<Out, Half>) return to_half(x);
  else if constexpr (std::is_same_v<Out, BFloat>) return to_bfloat(x);
  else if constexpr (std::is_same_v<Out, bool>) return x != 0;
  else return static_cast<Out>(x);
}

// Rows of a full tile for each number of vectors: enough independent sums to hide the latency of an fma, few enough
// to stay in registers (32 on AVX-512 and arm64, 16 elsewhere).
#if ADDAX_ISA_LEVEL == 2 || defined(__aarch64__)
constexpr int kMaxVectors = 4;
constexpr int tile_rows(int vectors) { return vectors == 4 ? 6 : vectors == 3 ? 8 : 12; }
#else
constexpr int kMaxVectors = 2;
constexpr int tile_rows(int vectors) { return vectors == 2 ? 6 : 12; }
#endif

// Sums of the accumulator type: one instantiation serves every stored type.
template <typename Acc>
struct Tiles {
  using S = Simd<Acc>;
  using V = typename S::Vec;
  static constexpr int kLanes = S::kLanes;

  // kRows x (kVectors * kLanes) sums. b: rows of kVectors vectors, `b_row` apart. `cols` of the columns exist in c.
  template <int kRows, int kVectors>
  static void tile(int64_t k, Matrix<const Acc> a, const Acc* b, int64_t b_row, Matrix<Acc> c, int64_t cols, bool add) {
    V sum[kRows][kVectors] = {};
    const Acc* ap = a.data;
    for (int64_t p = 0; p < k; ++p, b += b_row, ap += a.col) {
      V bv[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) bv[v] = S::load(b + v * kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        V av = S::splat(ap[r * a.row]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = S::fma(av, bv[v], sum[r][v]);
      }
    }
    if (c.col == 1 && cols == kVectors * kLanes) {
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          Acc* to = c.data + r * c.row + v * kLanes;
          S::store(to, add ? S::load(to) + sum[r][v] : sum[r][v]);
        }
      return;
    }
    alignas(64) Acc lines[kRows][kVectors * kLanes];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) S::store(lines[r] + v * kLanes, sum[r][v]);
    spill(lines[0], kRows, kVectors * kLanes, c, cols, add);
  }

  static void spill(const Acc* lines, int rows, int width, Matrix<Acc> c, int64_t cols, bool add) {
    for (int r = 0; r < rows; ++r, lines += width)
      for (int64_t j = 0; j < cols; ++j) *c.at(r, j) = add ? static_cast<Acc>(*c.at(r, j) + lines[j]) : lines[j];
  }

  template <int kVectors>
  static void column_panel(int64_t m, int64_t k, Matrix<const Acc> a, const Acc* b, int64_t b_row, Matrix<Acc> c, int64_t cols,
                           bool add) {
    constexpr int kRows = tile_rows(kVectors);
    auto step = [&](auto rows, int64_t i) {
      tile<decltype(rows)::value, kVectors>(k, {a.data + i * a.row, a.row, a.col}, b, b_row, {c.data + i * c.row, c.row, c.col}, cols, add);
      return i + decltype(rows)::value;
    };
    int64_t i = 0;
    while (i + kRows <= m) i = step(std::integral_constant<int, kRows>{}, i);
    while (i + 3 <= m) i = step(std::integral_constant<int, 3>{}, i);
    while (i < m) i = step(std::integral_constant<int, 1>{}, i);
  }

  static void panel(int vectors, int64_t m, int64_t k, Matrix<const Acc> a, const Acc* b, int64_t b_row, Matrix<Acc> c, int64_t cols,
                    bool add) {
    if constexpr (kMaxVectors == 4) {
      if (vectors == 4) return column_panel<4>(m, k, a, b, b_row, c, cols, add);
      if (vectors == 3) return column_panel<3>(m, k, a, b, b_row, c, cols, add);
    }
    if (vectors == 2) return column_panel<2>(m, k, a, b, b_row, c, cols, add);
    column_panel<1>(m, k, a, b, b_row, c, cols, add);
  }

  // One row times columns that are contiguous along k: inner products, four columns at a time.
  static void dots(int64_t n, int64_t k, Matrix<const Acc> a, Matrix<const Acc> b, Matrix<Acc> c, bool add) {
    auto finish = [&](int64_t j, V sum, int64_t from) {
      Acc s = S::sum(sum);
      for (int64_t p = from; p < k; ++p) s += *a.at(0, p) * *b.at(p, j);
      Acc* to = c.at(0, j);
      *to = add ? *to + s : s;
    };
      int64_t full = k / (2 * kLanes) * (2 * kLanes), j = 0;
      for (; j + 4 <= n; j += 4) {
        V s[4] = {}, t[4] = {};
        for (int64_t p = 0; p < full; p += 2 * kLanes) {
          V x = S::load(a.data + p), y = S::load(a.data + p + kLanes);
#pragma GCC unroll 4
          for (int q = 0; q < 4; ++q) {
            s[q] = S::fma(x, S::load(b.at(p, j + q)), s[q]);
            t[q] = S::fma(y, S::load(b.at(p + kLanes, j + q)), t[q]);
          }
        }
        for (int q = 0; q < 4; ++q) finish(j + q, s[q] + t[q], full);
      }
      for (; j < n; ++j) {
        V s[2] = {};
        for (int64_t p = 0; p < full; p += 2 * kLanes) {
          s[0] = S::fma(S::load(a.data + p), S::load(b.at(p, j)), s[0]);
          s[1] = S::fma(S::load(a.data + p + kLanes), S::load(b.at(p + kLanes, j)), s[1]);
        }
        finish(j, s[0] + s[1], full);
      }
  }
};

}  // namespace
}  // namespace addax::ADDAX_ISA
