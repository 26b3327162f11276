#include "common.h"
namespace addax { int init_frames(PyObject*) { return 0; } }
