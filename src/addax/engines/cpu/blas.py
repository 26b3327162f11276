"""SciPy's OpenBLAS, found without importing SciPy, for matrix products too large for our own kernel.

SciPy's wheels carry OpenBLAS as a shared library beside the package, with its symbols prefixed by ``scipy_``. Where they
do not (a SciPy built against a system BLAS), the same routines come from ``scipy.linalg.cython_blas``, which costs the
import of scipy.linalg. Loading takes 10 to 20 ms, so it waits for the first program with a product that needs it; which kernel a product uses is
decided by its size and layout alone, never by what happens to be loaded.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib.util
import os

from addax import _native

ROUTINES = ("sgemm", "dgemm", "cgemm", "zgemm")


@functools.cache
def load() -> bool:
    """Hand OpenBLAS to the native kernels; False if there is none."""
    addresses = _bundled() or _through_cython()
    if addresses:
        _native.set_blas(addresses)
    return bool(addresses)


def _bundled() -> dict[str, int]:
    spec = importlib.util.find_spec("scipy")
    if spec is None or spec.origin is None:
        return {}
    site = os.path.dirname(os.path.dirname(spec.origin))
    patterns = (f"{site}/scipy.libs/libscipy_openblas*", f"{site}/scipy/.dylibs/libscipy_openblas*")
    for path in [p for pattern in patterns for p in glob.glob(pattern)]:
        try:
            library = ctypes.CDLL(path)
            found = {name: _address(library[f"scipy_{name}_"]) for name in ROUTINES}
            for name in ("set_num_threads", "get_num_threads"):
                found[name] = _address(library[f"scipy_openblas_{name}"])
        except (OSError, AttributeError):
            continue
        return found
    return {}


def _address(function) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _through_cython() -> dict[str, int]:
    try:
        from scipy.linalg import cython_blas
    except ImportError:
        return {}
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = cython_blas.__pyx_capi__
    return {name: pointer_of(table[name], name_of(table[name])) for name in ROUTINES}
