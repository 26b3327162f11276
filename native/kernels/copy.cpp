// Strided copies, transposes, fills and dynamic slices; see copy.inl.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "../pool.h"
#include "index_type.h"
#include "kernels.h"

#define ADDAX_KERNEL_FILE "copy.inl"
#include "foreach_isa.h"

ADDAX_DEFINE_FAMILY(copy)
