"""SciPy's functions on arrays that can be traced, transformed and compiled: ``addax.scipy``, `jax.scipy` in name.

Every subpackage is loaded when it is first used: ``addax.scipy.special``, ``addax.scipy.stats``, ...
"""

import importlib as _importlib

_MODULES = (
    "cluster", "fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal", "sparse", "spatial",
    "special", "stats",
)  # fmt: skip


def __getattr__(name: str):
    if name in _MODULES:
        return _importlib.import_module(f"addax.scipy.{name}")
    raise AttributeError(f"module 'addax.scipy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
