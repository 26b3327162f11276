// Fortran-style BLAS entry points, given to us from Python (SciPy's OpenBLAS through cython_blas capsules).
#pragma once

namespace addax {

struct Blas {
  using Gemm = void (*)(const char* transa, const char* transb, const int* m, const int* n, const int* k, const void* alpha,
                        const void* a, const int* lda, const void* b, const int* ldb, const void* beta, void* c, const int* ldc);
  Gemm sgemm = nullptr, dgemm = nullptr, cgemm = nullptr, zgemm = nullptr;
  void (*set_num_threads)(int) = nullptr;
  int (*get_num_threads)() = nullptr;
};

void set_blas(const Blas& blas);
const Blas& get_blas();

// The library runs on one thread while any of these exists: its own threads spin for milliseconds after each call and
// would take the cores from our pool.
class SingleThreadedBlas {
 public:
  SingleThreadedBlas();
  ~SingleThreadedBlas();
};

}  // namespace addax
