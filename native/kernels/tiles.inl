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

  // What all tiles of a panel share; passed by reference, since copies of it would stall every tile.
  struct Panel {
    int64_t k, a_row, a_col;
    const Acc* b;
    int64_t b_row;  // between rows of kVectors vectors
    int64_t c_row, c_col;
    int64_t cols;   // how many of the panel's columns exist in c
    bool add;
  };

  // kRows x (kVectors * kLanes) sums.
  template <int kRows, int kVectors>
  static void tile(const Panel& panel, const Acc* a, Acc* c) {
    V sum[kRows][kVectors] = {};
    // Every third row has a pointer of its own: its neighbours are one and two strides away, which addressing modes give.
    const Acc* rows[(kRows + 2) / 3];
#pragma GCC unroll 4
    for (int g = 0; g < (kRows + 2) / 3; ++g) rows[g] = a + 3 * g * panel.a_row;
    const Acc* b = panel.b;
    const int64_t a_row = panel.a_row, a_col = panel.a_col, b_row = panel.b_row;
    for (int64_t p = panel.k; p > 0; --p) {
      V bv[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) bv[v] = S::load(b + v * kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        V av = S::splat(rows[r / 3][r % 3 * a_row]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = S::fma(av, bv[v], sum[r][v]);
      }
      b += b_row;
#pragma GCC unroll 4
      for (int g = 0; g < (kRows + 2) / 3; ++g) rows[g] += a_col;
    }
    if (panel.c_col == 1 && panel.cols == kVectors * kLanes) {
      if (panel.add) {
#pragma GCC unroll 12
        for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) sum[r][v] += S::load(c + r * panel.c_row + v * kLanes);
      }
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) S::store(c + r * panel.c_row + v * kLanes, sum[r][v]);
      return;
    }
    alignas(64) Acc lines[kRows][kVectors * kLanes];
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) S::store(lines[r] + v * kLanes, sum[r][v]);
    spill(lines[0], kRows, kVectors * kLanes, {c, panel.c_row, panel.c_col}, panel.cols, panel.add);
  }

  static void spill(const Acc* lines, int rows, int width, Matrix<Acc> c, int64_t cols, bool add) {
    for (int r = 0; r < rows; ++r, lines += width)
      for (int64_t j = 0; j < cols; ++j) *c.at(r, j) = add ? static_cast<Acc>(*c.at(r, j) + lines[j]) : lines[j];
  }

  template <int kVectors>
  static void column_panel(int64_t m, const Panel& panel, const Acc* a, Acc* c) {
    constexpr int kRows = tile_rows(kVectors);
    int64_t i = 0;
    auto step = [&](auto rows) {
      tile<decltype(rows)::value, kVectors>(panel, a + i * panel.a_row, c + i * panel.c_row);
      i += decltype(rows)::value;
    };
    while (i + kRows <= m) step(std::integral_constant<int, kRows>{});
    while (i + 3 <= m) step(std::integral_constant<int, 3>{});
    while (i < m) step(std::integral_constant<int, 1>{});
  }

  // c (+)= a times a panel of b that is `vectors` vectors wide.
  static void panel(int vectors, int64_t m, int64_t k, Matrix<const Acc> a, const Acc* b, int64_t b_row, Matrix<Acc> c, int64_t cols,
                    bool add) {
    const Panel p{k, a.row, a.col, b, b_row, c.row, c.col, cols, add};
    if constexpr (kMaxVectors == 4) {
      if (vectors == 4) return column_panel<4>(m, p, a.data, c.data);
      if (vectors == 3) return column_panel<3>(m, p, a.data, c.data);
    }
    if (vectors == 2) return column_panel<2>(m, p, a.data, c.data);
    column_panel<1>(m, p, a.data, c.data);
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
