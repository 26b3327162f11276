// Running sums, products, extrema and log-sum-exps; see cumulative.inl.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "../pool.h"
#include "kernels.h"
#include "scratch.h"

#define ADDAX_KERNEL_FILE "cumulative.inl"
#include "foreach_isa.h"

ADDAX_DEFINE_FAMILY(cumulative)
