"""How the NumPy definitions of elementwise primitives are wrapped, so that each states only its formula.

Every reference returns an ndarray of exactly the dtype the type rule promises, raises no NumPy warning, and computes
floats of 16 bits and less in float32, rounding once: the semantics compiled code has too.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import dtypes

_HARDWARE_FLOATS = frozenset({dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128})


def widen(x: np.ndarray) -> np.ndarray:
    """``x`` with floats below 32 bits as float32 and integers below 8 bits as 8-bit ones; others unchanged."""
    dtype = x.dtype
    if dtype in _HARDWARE_FLOATS or dtype.kind in "biu":
        return x
    if dtypes.issubdtype(dtype, np.floating):
        return x.astype(np.float32)
    if dtypes.issubdtype(dtype, np.signedinteger):
        return x.astype(np.int8)
    if dtypes.issubdtype(dtype, np.unsignedinteger):
        return x.astype(np.uint8)
    return x


def formula(f: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """The reference ``f`` of a primitive whose result has the dtype of its first operand."""

    @functools.wraps(f)
    def reference(*arrays, **params):
        out_dtype = arrays[0].dtype
        with np.errstate(all="ignore"):
            out = f(*(widen(x) for x in arrays), **params)
        return np.asarray(out).astype(out_dtype, copy=False)

    return reference


def predicate(f: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """The reference ``f`` of a primitive whose result is bool."""

    @functools.wraps(f)
    def reference(*arrays, **params):
        with np.errstate(all="ignore"):
            return np.asarray(f(*(widen(x) for x in arrays), **params), np.bool_)

    return reference


def component(f: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """The reference ``f`` of a primitive whose result dtype is what ``f`` makes of it (``real``, ``complex``)."""

    @functools.wraps(f)
    def reference(*arrays, **params):
        with np.errstate(all="ignore"):
            return np.asarray(f(*arrays, **params))

    return reference


def maximum(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The larger; NaN if either is, and 0 rather than -0 (IEEE 754-2019 maximum; NumPy's takes either zero)."""
    out = np.maximum(x, y)
    return out if x.dtype.kind in "biuc" else np.where((x == 0) & (y == 0), x + y, out)


def minimum(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The smaller; NaN if either is, and -0 rather than 0."""
    out = np.minimum(x, y)
    return out if x.dtype.kind in "biuc" else np.where((x == 0) & (y == 0), -(-x - y), out)


def odd(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f``, which is odd, with f(-0) = -0 (SciPy's odd functions return 0 there)."""

    def g(x):
        return np.where(x == 0, x, f(x))

    return g


def scipy_special(name: str) -> Callable[..., Any]:
    """``scipy.special.<name>``, imported when it is first called: SciPy costs more to import than all of addax."""

    def f(*arrays):
        return getattr(importlib.import_module("scipy.special"), name)(*arrays)

    f.__name__ = name
    return f
