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
