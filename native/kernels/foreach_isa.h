// Compiles the file named by ADDAX_KERNEL_FILE once per instruction set, each time in its own namespace (isa_baseline,
// isa_avx2, isa_avx512) with the compiler told that it may use that set. No guards: meant to be included by one .cpp per
// kernel family. Every standard header the kernels use must be included before this one, so that no library function
// is compiled for a machine that may not be there.
//
// In the included file: ADDAX_ISA is the namespace, ADDAX_VEC_BYTES the width of a vector register.

// What an inner loop is made of must not depend on the compiler's mood.
#ifndef ADDAX_INLINE
#define ADDAX_INLINE inline __attribute__((always_inline))
#endif

#define ADDAX_ISA isa_baseline
#define ADDAX_ISA_LEVEL 0
#define ADDAX_VEC_BYTES 16
#include ADDAX_KERNEL_FILE
#undef ADDAX_ISA
#undef ADDAX_ISA_LEVEL
#undef ADDAX_VEC_BYTES

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi,bmi2")
#endif
#define ADDAX_ISA isa_avx2
#define ADDAX_ISA_LEVEL 1
#define ADDAX_VEC_BYTES 32
#include ADDAX_KERNEL_FILE
#undef ADDAX_ISA
#undef ADDAX_ISA_LEVEL
#undef ADDAX_VEC_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,fma,f16c,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,fma,f16c,bmi,bmi2,prefer-vector-width=512")
#endif
#define ADDAX_ISA isa_avx512
#define ADDAX_ISA_LEVEL 2
#define ADDAX_VEC_BYTES 64
#include ADDAX_KERNEL_FILE
#undef ADDAX_ISA
#undef ADDAX_ISA_LEVEL
#undef ADDAX_VEC_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

#undef ADDAX_KERNEL_FILE
