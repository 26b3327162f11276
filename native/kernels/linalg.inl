// Cholesky and LU factors and triangular systems of stacks of matrices, unblocked: for sizes where a call into LAPACK costs
// more than the work (the engine sends larger ones there). Everything is an axpy along a contiguous row, which compilers
// vectorise without reordering sums. Matrices are row-major; tables begin with the offset of each argument and the number
// of matrices.

namespace addax::ADDAX_ISA {
namespace {

// y -= a x
template <typename T>
ADDAX_INLINE void subtract(T* y, T a, const T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] -= a * x[i];
}

template <typename T>
ADDAX_INLINE void transpose(T* to, const T* from, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

// [a, l]; table: offsets of a and l, matrices, n. The lower triangle of a is read; l is zero above its diagonal, and NaN
// elsewhere if a is not positive definite.
template <typename T>
void cholesky(void** args, const int64_t* t, int64_t, int64_t) {
  auto* a = static_cast<const T*>(args[0]) + t[0];
  auto* l = static_cast<T*>(args[1]) + t[1];
  int64_t n = t[3], size = n * n;
  parallel_for(t[2], 1, t[2] * (20.0 + 0.1 * size * n), [&](int64_t lo, int64_t hi) {
    Scratch<T> upper(size);  // the factor's transpose, whose rows are what later rows need
    for (int64_t m = lo; m < hi; ++m) {
      T* u = upper.get();
      transpose(u, a + m * size, n, n);
      bool definite = true;
      for (int64_t j = 0; j < n && definite; ++j) {
        T* row = u + j * n;
        for (int64_t k = 0; k < j; ++k) subtract(row + j, u[k * n + j], u + k * n + j, n - j);
        definite = row[j] > 0;  // false for NaN
        T diagonal = std::sqrt(row[j]), inverse = 1 / diagonal;
        row[j] = diagonal;
        for (int64_t i = j + 1; i < n; ++i) row[i] *= inverse;
      }
      T* out = l + m * size;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n; ++j)
          out[i * n + j] = j > i ? T(0) : definite ? u[j * n + i] : std::numeric_limits<T>::quiet_NaN();
    }
  });
}

// [a, lu, pivots, permutation]; table: their offsets, matrices, rows, columns. As LAPACK's getrf with pivots counted from 0;
// the permutation is the order of a's rows that the swaps make.
template <typename T>
void lu(void** args, const int64_t* t, int64_t, int64_t) {
  auto* a = static_cast<const T*>(args[0]) + t[0];
  auto* factors = static_cast<T*>(args[1]) + t[1];
  auto* pivots = static_cast<int32_t*>(args[2]) + t[2];
  auto* permutation = static_cast<int32_t*>(args[3]) + t[3];
  int64_t rows = t[5], columns = t[6], steps = std::min(rows, columns), size = rows * columns;
  parallel_for(t[4], 1, t[4] * (30.0 + 0.2 * size * steps), [&](int64_t lo, int64_t hi) {
    for (int64_t m = lo; m < hi; ++m) {
      T* x = factors + m * size;
      int32_t *pivot = pivots + m * steps, *order = permutation + m * rows;
      std::copy_n(a + m * size, size, x);
      for (int64_t i = 0; i < rows; ++i) order[i] = static_cast<int32_t>(i);
      for (int64_t j = 0; j < steps; ++j) {
        int64_t p = j;
        for (int64_t i = j + 1; i < rows; ++i)
          if (std::abs(x[i * columns + j]) > std::abs(x[p * columns + j])) p = i;
        pivot[j] = static_cast<int32_t>(p);
        if (p != j) {
          std::swap_ranges(x + j * columns, x + (j + 1) * columns, x + p * columns);
          std::swap(order[j], order[p]);
        }
        const T* top = x + j * columns;
        if (top[j] == 0) continue;  // singular: the column below is zero too
        T inverse = 1 / top[j];
        bool scale = std::abs(top[j]) >= std::numeric_limits<T>::min();  // otherwise the inverse may overflow
        for (int64_t i = j + 1; i < rows; ++i) {
          T* row = x + i * columns;
          row[j] = scale ? row[j] * inverse : row[j] / top[j];
          subtract(row + j + 1, row[j], top + j + 1, columns - j - 1);
        }
      }
    }
  });
}

// [a, b, x]; table: their offsets, matrices, n, m, x stands left of b's columns, a is lower triangular, transposed, has a unit
// diagonal. op(a) x = b with b [n, m], or, with x on the left, x op(a) = b with b [m, n].
template <typename T>
void triangular_solve(void** args, const int64_t* t, int64_t, int64_t) {
  auto* a = static_cast<const T*>(args[0]) + t[0];
  auto* b = static_cast<const T*>(args[1]) + t[1];
  auto* out = static_cast<T*>(args[2]) + t[2];
  int64_t n = t[4], m = t[5];
  bool left = t[6], transposed = t[8], unit = t[9], lower = (t[7] != 0) != transposed;  // of op(a)
  parallel_for(t[3], 1, t[3] * (20.0 + 0.2 * n * n * m), [&](int64_t lo, int64_t hi) {
    Scratch<T> turned(n * n);
    for (int64_t i = lo; i < hi; ++i) {
      const T* op = a + i * n * n;
      if (transposed) {
        transpose(turned.get(), op, n, n);
        op = turned.get();
      }
      T* x = out + i * n * m;
      std::copy_n(b + i * n * m, n * m, x);
      if (left) {  // row after row of x, from the corner of the triangle
        for (int64_t s = 0; s < n; ++s) {
          int64_t r = lower ? s : n - 1 - s;
          T* row = x + r * m;
          for (int64_t k = lower ? 0 : r + 1; k < (lower ? r : n); ++k) subtract(row, op[r * n + k], x + k * m, m);
          if (!unit)
            for (int64_t j = 0; j < m; ++j) row[j] /= op[r * n + r];
        }
      } else {  // every row of x on its own: element c is known once those that op(a) adds to it are taken away
        for (int64_t j = 0; j < m; ++j) {
          T* row = x + j * n;
          for (int64_t s = 0; s < n; ++s) {
            int64_t c = lower ? n - 1 - s : s;
            if (!unit) row[c] /= op[c * n + c];
            if (lower) subtract(row, row[c], op + c * n, c);
            else subtract(row + c + 1, row[c], op + c * n + c + 1, n - 1 - c);
          }
        }
      }
    }
  });
}

}  // namespace

void linalg_entries(KernelList& list) {
  list.push_back({"cholesky_f32", cholesky<float>});
  list.push_back({"cholesky_f64", cholesky<double>});
  list.push_back({"lu_f32", lu<float>});
  list.push_back({"lu_f64", lu<double>});
  list.push_back({"triangular_solve_f32", triangular_solve<float>});
  list.push_back({"triangular_solve_f64", triangular_solve<double>});
}

}  // namespace addax::ADDAX_ISA
