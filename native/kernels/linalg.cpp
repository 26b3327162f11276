// Factorisations and triangular systems of small matrices; see linalg.inl.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "../pool.h"
#include "kernels.h"
#include "scratch.h"

#define ADDAX_KERNEL_FILE "linalg.inl"
#include "foreach_isa.h"

ADDAX_DEFINE_FAMILY(linalg)
