// Random bits; see random.inl.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "../pool.h"
#include "kernels.h"

#define ADDAX_KERNEL_FILE "random.inl"
#include "foreach_isa.h"

ADDAX_DEFINE_FAMILY(random)
