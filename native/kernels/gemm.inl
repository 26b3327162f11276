// C = A B for matrices with arbitrary strides, in batches.
//
// Two engines. Ours: register-blocked tiles of MR rows by NV vectors over operands read in place where possible and
// packed (and converted to the accumulator type) where not. SciPy's OpenBLAS, once set_blas has named it, for large
// float and complex products. Both run on one thread; multiply() cuts the work over our own pool.
// Start at gemm, then multiply, then Blocked::run.

#include "items.inl"
#include "tiles.inl"
#include "transpose.inl"

namespace addax::ADDAX_ISA {
namespace {

constexpr int64_t kDepth = 256;         // rows of B per pass, so that a panel of B stays in L1 and A's block in L2
constexpr int64_t kWidth = 512;         // columns of B packed at a time
constexpr int64_t kRowsPerBlock = 192;  // rows of A packed at a time
constexpr int64_t kTurned = 1 << 18;    // elements of A turned for a product with fewer columns than a vector has lanes

template <typename In, typename Acc, typename Out>
struct Blocked {
  using S = Simd<Acc>;
  using V = typename S::Vec;
  static constexpr int kLanes = S::kLanes;
  static constexpr bool kInPlace = std::is_same_v<In, Acc>;      // operands need no conversion
  static constexpr bool kDirectOut = std::is_same_v<Out, Acc>;   // sums can be stored and added to as they are

  // to[p * width + j] = b(p, j), zero beyond `cols`.
  static void pack_b(Acc* to, int64_t width, Matrix<const In> b, int64_t k, int64_t cols) {
    if (b.col == 1 || b.col < b.row) {
      for (int64_t p = 0; p < k; ++p) {
        const In* from = b.at(p, 0);
        Acc* row = to + p * width;
        if (b.col == 1) for (int64_t j = 0; j < cols; ++j) row[j] = widen<Acc>(from[j]);
        else for (int64_t j = 0; j < cols; ++j) row[j] = widen<Acc>(from[j * b.col]);
        for (int64_t j = cols; j < width; ++j) row[j] = Acc{};
      }
      return;
    }
    // The columns are the contiguous direction.
    if constexpr (kInPlace) {
      if (b.row == 1) {
        using T = Item<sizeof(Acc)>;
        transpose_block<sizeof(Acc)>(reinterpret_cast<T*>(to), width, reinterpret_cast<const T*>(b.data), b.col, k, cols);
        for (int64_t p = 0; p < k && cols < width; ++p) std::fill(to + p * width + cols, to + (p + 1) * width, Acc{});
        return;
      }
    }
    for (int64_t p0 = 0; p0 < k; p0 += 16) {
      int64_t run = std::min<int64_t>(16, k - p0);
      for (int64_t j = 0; j < cols; ++j)
        for (int64_t p = 0; p < run; ++p) to[(p0 + p) * width + j] = widen<Acc>(*b.at(p0 + p, j));
      for (int64_t p = 0; p < run; ++p)
        for (int64_t j = cols; j < width; ++j) to[(p0 + p) * width + j] = Acc{};
    }
  }

  // m x k by rows if they can be turned quickly, else in the direction in which a runs; tiles read single elements of either.
  static Matrix<const Acc> pack_a(Acc* to, Matrix<const In> a, int64_t m, int64_t k) {
    if constexpr (kInPlace) {
      if (a.row == 1 && k >= 16) {
        using T = Item<sizeof(Acc)>;
        transpose_block<sizeof(Acc)>(reinterpret_cast<T*>(to), k, reinterpret_cast<const T*>(a.data), a.col, m, k);
        return {to, k, 1};
      }
    }
    if (a.row < a.col) {
      for (int64_t p = 0; p < k; ++p) {
        const In* from = a.at(0, p);
        Acc* column = to + p * m;
        if (a.row == 1) for (int64_t i = 0; i < m; ++i) column[i] = widen<Acc>(from[i]);
        else for (int64_t i = 0; i < m; ++i) column[i] = widen<Acc>(from[i * a.row]);
      }
      return {to, 1, m};
    }
    for (int64_t i = 0; i < m; ++i) {
      const In* from = a.at(i, 0);
      Acc* row = to + i * k;
      if (a.col == 1) for (int64_t p = 0; p < k; ++p) row[p] = widen<Acc>(from[p]);
      else for (int64_t p = 0; p < k; ++p) row[p] = widen<Acc>(from[p * a.col]);
    }
    return {to, k, 1};
  }

  static void run(int64_t m, int64_t n, int64_t k, Matrix<const In> a, Matrix<const In> b, Matrix<Out> c, bool add) {
    if (m == 0 || n == 0) return;
    if constexpr (kInPlace && kDirectOut)
      if (m == 1 && a.col == 1 && b.row == 1 && k >= 2 * kLanes) return Tiles<Acc>::dots(n, k, a, b, c, add);
    // Sums that cannot be stored between passes are taken over all of k at once.
    int64_t depth = kDirectOut ? std::min(kDepth * (k > 2 * kDepth ? 1 : 2), k) : k;
    int64_t width = std::max<int64_t>(kMaxVectors * kLanes, kWidth * kDepth / std::max<int64_t>(depth, 1) / (kMaxVectors * kLanes) * (kMaxVectors * kLanes));
    width = std::min(width, (n + kLanes - 1) / kLanes * kLanes);
    bool pack_all = !kInPlace || b.col != 1 || (k * n * sizeof(Acc) > (1 << 20) && m >= 64);
    Scratch<Acc> b_packed(pack_all ? depth * width : depth * std::min<int64_t>(width, kMaxVectors * kLanes));
    bool convert_a = !kInPlace || !kDirectOut || (a.col != 1 && n > 2 * kMaxVectors * kLanes && m * k * sizeof(Acc) > (64 << 10));
    Scratch<Acc> a_packed(convert_a ? std::min(m, kRowsPerBlock) * depth : 0);
    Scratch<Acc> sums(kDirectOut ? 0 : std::min(m, kRowsPerBlock) * kMaxVectors * kLanes);

    for (int64_t j0 = 0; j0 < n; j0 += width) {
      int64_t cols = std::min(width, n - j0);
      for (int64_t p0 = 0; p0 < k || p0 == 0; p0 += std::max<int64_t>(depth, 1)) {
        int64_t deep = std::min(depth, k - p0);
        bool adding = add || p0 > 0;
        if (pack_all) {  // panel after panel, each kMaxVectors wide but the last
          for (int64_t j = 0; j < cols; j += kMaxVectors * kLanes) {
            int64_t here = std::min<int64_t>(kMaxVectors * kLanes, cols - j), padded = (here + kLanes - 1) / kLanes * kLanes;
            pack_b(b_packed.get() + j * deep, padded, {b.at(p0, j0 + j), b.row, b.col}, deep, here);
          }
        }
        for (int64_t i0 = 0; i0 < m; i0 += kRowsPerBlock) {
          int64_t rows = std::min(kRowsPerBlock, m - i0);
          Matrix<const Acc> block{};
          if (convert_a) {
            block = pack_a(a_packed.get(), {a.at(i0, p0), a.row, a.col}, rows, deep);
          } else if constexpr (kInPlace) {
            block = {a.at(i0, p0), a.row, a.col};
          }
          for (int64_t j = 0; j < cols; j += kMaxVectors * kLanes) {
            int64_t here = std::min<int64_t>(kMaxVectors * kLanes, cols - j);
            int vectors = static_cast<int>((here + kLanes - 1) / kLanes);
            const Acc* panel_b = nullptr;
            int64_t b_row = vectors * kLanes;
            if (pack_all) {
              panel_b = b_packed.get() + j * deep;
            } else if constexpr (kInPlace) {
              if (here == vectors * kLanes) {
                panel_b = b.at(p0, j0 + j), b_row = b.row;
              } else {
                pack_b(b_packed.get(), b_row, {b.at(p0, j0 + j), b.row, b.col}, deep, here);
                panel_b = b_packed.get();
              }
            }
            Matrix<Out> to{c.at(i0, j0 + j), c.row, c.col};
            if constexpr (kDirectOut) {
              Tiles<Acc>::panel(vectors, rows, deep, block, panel_b, b_row, to, here, adding);
            } else {
              int64_t wide = vectors * kLanes;
              Tiles<Acc>::panel(vectors, rows, deep, block, panel_b, b_row, {sums.get(), wide, 1}, wide, false);
              for (int64_t i = 0; i < rows; ++i)
                for (int64_t q = 0; q < here; ++q) {
                  Acc sum = sums[i * wide + q];
                  *to.at(i, q) = narrow<Out>(adding ? static_cast<Acc>(widen<Acc>(*to.at(i, q)) + sum) : sum);
                }
            }
          }
        }
        if (k == 0) break;
      }
    }
  }
};

// ---- OpenBLAS ----

template <typename T>
Blas::Gemm blas_gemm() {
  const Blas& blas = get_blas();
  if constexpr (std::is_same_v<T, float>) return blas.sgemm;
  if constexpr (std::is_same_v<T, double>) return blas.dgemm;
  return nullptr;
}

// How BLAS would read a rows x cols matrix: its rows ('N' for us) or its columns ('T') contiguous.
struct BlasLayout {
  char trans = 0;  // 0: neither
  int64_t leading = 0;
};
inline BlasLayout blas_layout(int64_t rows, int64_t cols, int64_t row, int64_t col) {
  auto fits = [](int64_t lead, int64_t least) { return lead >= std::max<int64_t>(1, least) && lead <= INT32_MAX; };
  if ((col == 1 || cols == 1) && (rows == 1 || fits(row, cols))) return {'N', rows == 1 ? std::max<int64_t>(1, cols) : row};
  if ((row == 1 || rows == 1) && (cols == 1 || fits(col, rows))) return {'T', cols == 1 ? std::max<int64_t>(1, rows) : col};
  return {};
}

template <typename T>
bool blas_run(Blas::Gemm gemm, int64_t m, int64_t n, int64_t k, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, bool add) {
  if (c.col != 1 || (m > 1 && c.row < n) || c.row > INT32_MAX) return false;
  BlasLayout la = blas_layout(m, k, a.row, a.col), lb = blas_layout(k, n, b.row, b.col);
  if (!la.trans || !lb.trans) return false;
  // Row-major C = A B is column-major C^T = B^T A^T: B goes first.
  int bm = static_cast<int>(n), bn = static_cast<int>(m), bk = static_cast<int>(k), lda = static_cast<int>(la.leading),
      ldb = static_cast<int>(lb.leading), ldc = static_cast<int>(m > 1 ? c.row : std::max<int64_t>(n, 1));
  T one{1}, beta = add ? T{1} : T{0};
  gemm(&lb.trans, &la.trans, &bm, &bn, &bk, &one, b.data, &ldb, a.data, &lda, &beta, c.data, &ldc);
  return true;
}

// Ours is as fast as OpenBLAS or faster up to these sizes (measured on one thread against 0.3.30), starts at once, and
// reads B only once for a few rows.
template <typename In>
bool ours(int64_t m, int64_t n, int64_t k) {
  return m * n * k <= (sizeof(In) == 4 ? int64_t{1} << 30 : int64_t{1} << 27);
}

template <typename In, typename Acc, typename Out>
void multiply_serial(int64_t m, int64_t n, int64_t k, Matrix<const In> a, Matrix<const In> b, Matrix<Out> c, bool add) {
  if constexpr (std::is_same_v<In, Out> && (std::is_same_v<In, float> || std::is_same_v<In, double>)) {
    Blas::Gemm gemm = blas_gemm<In>();
    if (gemm && !ours<In>(m, n, k) && m > 4 && k > 0 && blas_run<In>(gemm, m, n, k, a, b, c, add)) return;
  }
  Blocked<In, Acc, Out>::run(m, n, k, a, b, c, add);
}

struct Batch {
  int rank;
  const int64_t* dims;  // (size, a stride, b stride, c stride) per dimension
  int64_t count = 1;
  Batch(int r, const int64_t* d) : rank(r), dims(d) {
    for (int i = 0; i < rank; ++i) count *= dims[4 * i];
  }
  struct At {
    int64_t a = 0, b = 0, c = 0;
  };
  At at(int64_t index) const {
    At o;
    for (int i = rank - 1; i >= 0; --i) {
      int64_t r = index % dims[4 * i];
      index /= dims[4 * i];
      o.a += r * dims[4 * i + 1], o.b += r * dims[4 * i + 2], o.c += r * dims[4 * i + 3];
    }
    return o;
  }
};

// Single-thread flops per ns.
template <typename Acc>
constexpr double speed() {
  return ADDAX_VEC_BYTES / static_cast<double>(sizeof(Acc)) * 4.0;
}

template <typename In, typename Acc, typename Out>
void multiply(const int64_t* t, const In* a_data, const In* b_data, Out* c_data) {
  int64_t m = t[0], n = t[1], k = t[2];
  bool add = t[9] != 0;
  Batch batch(static_cast<int>(t[10]), t + 11);
  if (m <= 0 || n <= 0 || batch.count <= 0) return;
  Matrix<const In> a{a_data, t[3], t[4]}, b{b_data, t[5], t[6]};
  Matrix<Out> c{c_data, t[7], t[8]};
  // Columns of C contiguous, or a matrix times a vector or a few: compute the transpose, so that rows are long and contiguous.
  // A few vectors fill no register of their own, but the rows of A must be turned for them, which pays if they stay in the cache.
  bool few = n < Simd<Acc>::kLanes && m >= 4 * Simd<Acc>::kLanes && (a.row == 1 || m * k <= kTurned);
  bool swapped = (c.col != 1 && c.row == 1) || (n == 1 && m > 1) || (c.col == 1 && few);
  if (swapped) {
    std::swap(a, b), std::swap(m, n);
    a = a.transposed(), b = b.transposed(), c = c.transposed();
  }
  double ns = 2.0 * m * n * std::max<int64_t>(k, 1) / speed<Acc>() + 4.0 * (k * (m + n)) * sizeof(In) / 64.0;
  double total = ns * batch.count + 20.0 * batch.count;
  auto one = [&](int64_t index, int64_t i0, int64_t j0, int64_t rows, int64_t cols) {
    Batch::At o = batch.at(index);
    int64_t oa = swapped ? o.b : o.a, ob = swapped ? o.a : o.b;
    multiply_serial<In, Acc, Out>(rows, cols, k, {a.at(i0, 0) + oa, a.row, a.col}, {b.at(0, j0) + ob, b.row, b.col},
                                  {c.at(i0, j0) + o.c, c.row, c.col}, add);
  };
  SingleThreadedBlas single;
  if (total < 2 * kSplitBreakEvenNs || num_threads() == 1 || batch.count >= 4 * num_threads()) {
    parallel_for(batch.count, 1, total, [&](int64_t lo, int64_t hi) {
      for (int64_t i = lo; i < hi; ++i) one(i, 0, 0, m, n);
    });
    return;
  }
  // Few, large products: cut each along its longer side, in whole tiles.
  // One piece per thread, as each packs what it reads; BLAS, which takes the largest, does better with smaller ones.
  int64_t pieces = std::max<int64_t>(1, num_threads() * (ours<In>(m, n, k) ? 1 : 2) / batch.count);
  bool by_rows = m > n || n < 2 * Simd<Acc>::kLanes;
  int64_t unit = by_rows ? tile_rows(kMaxVectors) : Simd<Acc>::kLanes * 2;
  int64_t extent = by_rows ? m : n;
  int64_t size = (extent + pieces - 1) / pieces;
  size = (size + unit - 1) / unit * unit;
  pieces = (extent + size - 1) / size;
  parallel_for(batch.count * pieces, 1, total, [&](int64_t lo, int64_t hi) {
    for (int64_t u = lo; u < hi; ++u) {
      int64_t from = u % pieces * size, here = std::min(size, extent - from);
      if (by_rows) one(u / pieces, from, 0, here, n);
      else one(u / pieces, 0, from, m, here);
    }
  });
}

// [A, B, C]; table: m, n, k, A row and column strides, B row and column strides, C row and column strides, accumulate,
// batch rank, then per batch dimension: size, A, B and C strides. All strides in elements.
template <typename In, typename Acc, typename Out>
void gemm(void** args, const int64_t* t, int64_t, int64_t) {
  multiply<In, Acc, Out>(t, static_cast<const In*>(args[0]), static_cast<const In*>(args[1]), static_cast<Out*>(args[2]));
}

// ---- complex: BLAS, or four real products of the separated parts ----

template <typename T>
void complex_parts(int64_t m, int64_t n, int64_t k, Matrix<const T> a, Matrix<const T> b, Matrix<T> c, bool add) {
  // Strides count real numbers here, so both parts are matrices of their own inside the interleaved one.
  Scratch<T> negated(std::max<int64_t>(1, m * k));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) negated[i * k + p] = -*(a.at(i, p) + 1);
  Matrix<const T> ar = a, ai{a.data + 1, a.row, a.col}, br = b, bi{b.data + 1, b.row, b.col}, an{negated.get(), k, 1};
  Matrix<T> cr = c, ci{c.data + 1, c.row, c.col};
  Blocked<T, T, T>::run(m, n, k, ar, br, cr, add);
  Blocked<T, T, T>::run(m, n, k, an, bi, cr, true);
  Blocked<T, T, T>::run(m, n, k, ar, bi, ci, add);
  Blocked<T, T, T>::run(m, n, k, ai, br, ci, true);
}

template <typename T>
struct Pair {
  T re, im;
};

// As gemm, with strides in complex elements.
template <typename T>
void complex_gemm(void** args, const int64_t* t, int64_t, int64_t) {
  int64_t m = t[0], n = t[1], k = t[2];
  bool add = t[9] != 0;
  Batch batch(static_cast<int>(t[10]), t + 11);
  if (m <= 0 || n <= 0 || batch.count <= 0) return;
  using C = Pair<T>;
  Blas::Gemm gemm = std::is_same_v<T, float> ? get_blas().cgemm : get_blas().zgemm;
  double total = 8.0 * m * n * std::max<int64_t>(k, 1) / speed<T>() * batch.count + 20.0 * batch.count;
  int64_t pieces = std::clamp<int64_t>(num_threads() * (total > 1e6 ? 2 : 1) / batch.count, 1, (m + 7) / 8);
  int64_t size = (m + pieces - 1) / pieces;
  pieces = (m + size - 1) / size;
  SingleThreadedBlas single;
  parallel_for(batch.count * pieces, 1, total, [&](int64_t lo, int64_t hi) {
    for (int64_t u = lo; u < hi; ++u) {
      Batch::At o = batch.at(u / pieces);
      int64_t i0 = u % pieces * size, rows = std::min(size, m - i0);
      const C* a = static_cast<const C*>(args[0]) + o.a + i0 * t[3];
      const C* b = static_cast<const C*>(args[1]) + o.b;
      C* c = static_cast<C*>(args[2]) + o.c + i0 * t[7];
      if (gemm && k > 0 && t[8] == 1 && (rows == 1 || t[7] >= n) && t[7] <= INT32_MAX) {
        BlasLayout la = blas_layout(rows, k, t[3], t[4]), lb = blas_layout(k, n, t[5], t[6]);
        if (la.trans && lb.trans) {
          int bm = static_cast<int>(n), bn = static_cast<int>(rows), bk = static_cast<int>(k), lda = static_cast<int>(la.leading),
              ldb = static_cast<int>(lb.leading), ldc = static_cast<int>(rows > 1 ? t[7] : n);
          C one{1, 0}, beta{add ? T{1} : T{0}, 0};
          gemm(&lb.trans, &la.trans, &bm, &bn, &bk, &one, b, &ldb, a, &lda, &beta, c, &ldc);
          continue;
        }
      }
      complex_parts<T>(rows, n, k, {reinterpret_cast<const T*>(a), 2 * t[3], 2 * t[4]},
                       {reinterpret_cast<const T*>(b), 2 * t[5], 2 * t[6]}, {reinterpret_cast<T*>(c), 2 * t[7], 2 * t[8]}, add);
    }
  });
}

}  // namespace

void gemm_entries(KernelList& list) {
  list.push_back({"gemm_f32_f32", gemm<float, float, float>});
  list.push_back({"gemm_f64_f64", gemm<double, double, double>});
  list.push_back({"gemm_c64_c64", complex_gemm<float>});
  list.push_back({"gemm_c128_c128", complex_gemm<double>});
  list.push_back({"gemm_f16_f16", gemm<Half, float, Half>});
  list.push_back({"gemm_f16_f32", gemm<Half, float, float>});
  list.push_back({"gemm_bf16_bf16", gemm<BFloat, float, BFloat>});
  list.push_back({"gemm_bf16_f32", gemm<BFloat, float, float>});
  // Integers wrap around: sums modulo 2^32 or 2^64 of the (sign-)extended operands are right modulo any smaller power.
  list.push_back({"gemm_i8_i8", gemm<int8_t, uint32_t, int8_t>});
  list.push_back({"gemm_i8_i32", gemm<int8_t, uint32_t, uint32_t>});
  list.push_back({"gemm_u8_u8", gemm<uint8_t, uint32_t, uint8_t>});
  list.push_back({"gemm_u8_i32", gemm<uint8_t, uint32_t, uint32_t>});
  list.push_back({"gemm_u8_u32", gemm<uint8_t, uint32_t, uint32_t>});
  list.push_back({"gemm_i16_i16", gemm<int16_t, uint32_t, int16_t>});
  list.push_back({"gemm_i16_i32", gemm<int16_t, uint32_t, uint32_t>});
  list.push_back({"gemm_u16_u16", gemm<uint16_t, uint32_t, uint16_t>});
  list.push_back({"gemm_u16_u32", gemm<uint16_t, uint32_t, uint32_t>});
  list.push_back({"gemm_i32_i32", gemm<uint32_t, uint32_t, uint32_t>});
  list.push_back({"gemm_u32_u32", gemm<uint32_t, uint32_t, uint32_t>});
  list.push_back({"gemm_i64_i64", gemm<uint64_t, uint64_t, uint64_t>});
  list.push_back({"gemm_u64_u64", gemm<uint64_t, uint64_t, uint64_t>});
  list.push_back({"gemm_bool_bool", gemm<bool, uint32_t, bool>});
}

}  // namespace addax::ADDAX_ISA
