#include "common.h"
namespace addax { int init_dispatch(PyObject*) { return 0; } }
