// Gathers; see gather.inl.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "../pool.h"
#include "index_type.h"
#include "index_map.h"
#include "kernels.h"

#define ADDAX_KERNEL_FILE "gather.inl"
#include "foreach_isa.h"

ADDAX_DEFINE_FAMILY(gather)

namespace addax {

ResolveFn index_resolver() {
  static const ResolveFn fn = [] {
#if defined(__x86_64__)
    if (best_isa() == Isa::kAvx512) return isa_avx512::gather_resolver();
    if (best_isa() == Isa::kAvx2) return isa_avx2::gather_resolver();
#endif
    return isa_baseline::gather_resolver();
  }();
  return fn;
}

}  // namespace addax
