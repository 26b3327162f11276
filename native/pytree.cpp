#include "common.h"
namespace addax { int init_pytree(PyObject*) { return 0; } }
