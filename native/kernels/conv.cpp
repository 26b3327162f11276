// Convolutions; see conv.inl.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
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
#include "small_floats.h"

#define ADDAX_KERNEL_FILE "conv.inl"
#include "foreach_isa.h"

ADDAX_DEFINE_FAMILY(conv)
