// The ahead-of-time kernels: one table from name to address, filled once for the instruction set of this machine.
// README.md lists every kernel with its arguments and table.
#pragma once

#include <cstdint>
#include <vector>

struct _object;  // PyObject

namespace addax {

using KernelFn = void (*)(void** args, const int64_t* table, int64_t lo, int64_t hi);

enum class Isa : int { kBaseline = 0, kAvx2 = 1, kAvx512 = 2 };

// What this machine runs, lowered by ADDAX_ISA=baseline|avx2|avx512 if that is set.
Isa best_isa();

struct KernelEntry {
  const char* name;
  KernelFn fn;
};
using KernelList = std::vector<KernelEntry>;

// Each family appends its kernels, compiled for the given instruction set.
void add_copy_kernels(Isa isa, KernelList& list);
void add_cumulative_kernels(Isa isa, KernelList& list);
void add_gather_kernels(Isa isa, KernelList& list);
void add_scatter_kernels(Isa isa, KernelList& list);
void add_sort_kernels(Isa isa, KernelList& list);
void add_random_kernels(Isa isa, KernelList& list);
void add_gemm_kernels(Isa isa, KernelList& list);
void add_conv_kernels(Isa isa, KernelList& list);
void add_linalg_kernels(Isa isa, KernelList& list);

void init_sort();  // looks up NumPy's sorting functions

// Adds symbols(), isa() and set_blas() to the module.
int init_kernels(struct _object* module);

// Defines add_<family>_kernels for a family whose .inl defines `void <family>_entries(KernelList&)` per instruction set.
#if defined(__x86_64__)
#define ADDAX_DEFINE_FAMILY(family)                                   \
  namespace addax {                                                   \
  void add_##family##_kernels(Isa isa, KernelList& list) {            \
    switch (isa) {                                                    \
      case Isa::kAvx512: return isa_avx512::family##_entries(list);   \
      case Isa::kAvx2: return isa_avx2::family##_entries(list);       \
      default: return isa_baseline::family##_entries(list);           \
    }                                                                 \
  }                                                                   \
  }
#else
#define ADDAX_DEFINE_FAMILY(family)                                                                          \
  namespace addax {                                                                                          \
  void add_##family##_kernels(Isa, KernelList& list) { isa_baseline::family##_entries(list); }               \
  }
#endif

}  // namespace addax
