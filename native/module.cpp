// The extension module addax._native.
#define ADDAX_IMPORT_ARRAY
#include "common.h"

namespace {

int exec(PyObject* m) {
  using namespace addax;
  import_array1(-1);
  for (auto init : {init_buffer, init_array, init_pytree, init_context, init_dispatch, init_frames, init_pool, init_program})
    if (init(m) < 0) return -1;
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
