// The table of kernels and its Python face.
#include "kernels.h"

#include "../common.h"
#include "blas.h"

#include <cstdlib>
#include <cstring>
#include <unordered_map>

namespace addax {
namespace {

Isa machine_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
    return Isa::kAvx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
      __builtin_cpu_supports("bmi2"))
    return Isa::kAvx2;
#endif
  return Isa::kBaseline;
}

const char* isa_name(Isa isa) {
  return isa == Isa::kAvx512 ? "avx512" : isa == Isa::kAvx2 ? "avx2" : "baseline";
}

bool isa_from_name(const char* name, Isa* isa) {
  for (Isa candidate : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512})
    if (std::strcmp(name, isa_name(candidate)) == 0) return *isa = candidate, true;
  return false;
}

KernelList kernels_for(Isa isa) {
  KernelList list;
  add_copy_kernels(isa, list);
  add_cumulative_kernels(isa, list);
  add_gather_kernels(isa, list);
  add_scatter_kernels(isa, list);
  add_sort_kernels(isa, list);
  add_random_kernels(isa, list);
  add_gemm_kernels(isa, list);
  add_conv_kernels(isa, list);
  add_linalg_kernels(isa, list);
  return list;
}

PyObject* py_symbols(PyObject*, PyObject* args) {
  const char* name = nullptr;
  if (!PyArg_ParseTuple(args, "|z:symbols", &name)) return nullptr;
  Isa isa = best_isa();
  if (name) {
    if (!isa_from_name(name, &isa))
      return PyErr_Format(PyExc_ValueError, "symbols: expected 'baseline', 'avx2' or 'avx512', got '%s'", name);
    if (isa > machine_isa())
      return PyErr_Format(PyExc_ValueError, "symbols: this machine does not run '%s' (best: '%s')", name, isa_name(machine_isa()));
  }
  PyObject* dict = PyDict_New();
  if (!dict) return nullptr;
  for (const KernelEntry& k : kernels_for(isa)) {
    Ref address(PyLong_FromVoidPtr(reinterpret_cast<void*>(k.fn)));
    if (!address || PyDict_SetItemString(dict, k.name, address.get()) < 0) {
      Py_DECREF(dict);
      return nullptr;
    }
  }
  return dict;
}

PyObject* py_isa(PyObject*, PyObject*) { return PyUnicode_FromString(isa_name(best_isa())); }

PyObject* py_set_blas(PyObject*, PyObject* dict) {
  if (!PyDict_Check(dict)) return PyErr_Format(PyExc_TypeError, "set_blas: expected a dict of name -> address");
  Blas blas;
  struct Field {
    const char* name;
    void** target;
  } fields[] = {
      {"sgemm", reinterpret_cast<void**>(&blas.sgemm)},
      {"dgemm", reinterpret_cast<void**>(&blas.dgemm)},
      {"cgemm", reinterpret_cast<void**>(&blas.cgemm)},
      {"zgemm", reinterpret_cast<void**>(&blas.zgemm)},
      {"set_num_threads", reinterpret_cast<void**>(&blas.set_num_threads)},
      {"get_num_threads", reinterpret_cast<void**>(&blas.get_num_threads)},
  };
  Py_ssize_t pos = 0;
  PyObject *key, *value;
  while (PyDict_Next(dict, &pos, &key, &value)) {
    const char* name = PyUnicode_AsUTF8(key);
    if (!name) return nullptr;
    void** target = nullptr;
    for (const Field& f : fields)
      if (std::strcmp(f.name, name) == 0) target = f.target;
    if (!target) continue;  // other routines are called by address from elsewhere
    *target = PyLong_AsVoidPtr(value);
    if (PyErr_Occurred()) return nullptr;
  }
  set_blas(blas);
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"symbols", py_symbols, METH_VARARGS,
     "symbols(isa=None)\n--\n\nAddresses of the ahead-of-time kernels by name, for this machine's best instruction set or the one "
     "named ('baseline', 'avx2', 'avx512')."},
    {"isa", py_isa, METH_NOARGS, "isa()\n--\n\nThe instruction set the kernels use: 'baseline', 'avx2' or 'avx512'."},
    {"set_blas", py_set_blas, METH_O,
     "set_blas(addresses)\n--\n\nAddresses of Fortran-style sgemm, dgemm, cgemm, zgemm and of the library's set_num_threads and "
     "get_num_threads. Missing ones are done without."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

Isa best_isa() {
  static const Isa isa = [] {
    Isa best = machine_isa(), asked = best;
    const char* name = std::getenv("ADDAX_ISA");
    if (name && isa_from_name(name, &asked) && asked < best) return asked;
    return best;
  }();
  return isa;
}

const char* kernel_name(KernelFn fn) {
  static const auto* names = [] {
    auto* map = new std::unordered_map<void*, const char*>;
    for (const KernelEntry& k : kernels_for(best_isa())) map->emplace(reinterpret_cast<void*>(k.fn), k.name);
    return map;
  }();
  auto it = names->find(reinterpret_cast<void*>(fn));
  return it == names->end() ? nullptr : it->second;
}

int init_kernels(PyObject* module) {
  init_sort();
  return PyModule_AddFunctions(module, methods);
}

}  // namespace addax
