// The extension module addax._native.
#define ADDAX_IMPORT_ARRAY
#include "common.h"

namespace {

int exec(PyObject* m) {
  using namespace addax;
  import_array1(-1);
  if (init_array(m) < 0 || init_pytree(m) < 0 || init_context(m) < 0 || init_dispatch(m) < 0 || init_frames(m) < 0) return -1;
#if __has_include("pool.h")
  if (init_pool(m) < 0) return -1;
#endif
#if __has_include("program.h")
  if (init_program(m) < 0) return -1;
#endif
  return 0;
}

PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(exec)},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "addax._native", "The native runtime of addax: arrays, pytrees, the jit call path, programs.",
    0, nullptr, slots, nullptr, nullptr, nullptr,
};

}  // namespace

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
