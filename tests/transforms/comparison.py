"""Running one program in addax and in JAX, and comparing what comes out: shapes, dtypes, weak types, values."""

from __future__ import annotations

import warnings

import jax
import jax.ad_checkpoint
import jax.numpy
import numpy as np
from jax_interpreted import JaxProgram
from transform_programs import Lib

import addax
import addax.ad_checkpoint
import addax.numpy

ADDAX = Lib(addax, addax.numpy, addax.lax, addax.nn)
JAX = Lib(jax, jax.numpy, jax.lax, jax.nn, calls_back=False)

# Rounding is compared with the largest element, since a sum of many terms may cancel.
TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1}


def results(lib: Lib, program, args, jit: bool) -> list:
    """The leaves of ``program(lib, *args)``."""

    def f(*args):
        return program(lib, *args)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if jit and lib.m is jax:
            return JaxProgram(f, args).run(args)
        return lib.m.tree.leaves((lib.m.jit(f) if jit else f)(*args))


def wide(x) -> np.ndarray:
    x = np.asarray(x)
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def difference(got: list, want: list, factor: float = 1.0, weak: str = "the same") -> str | None:
    """What is not the same, or None. If weak types "may stay", they may where JAX's derivatives lose them on their way."""
    if len(got) != len(want):
        return f"{len(got)} results, JAX has {len(want)}"
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        a = addax.numpy.asarray(a) if isinstance(a, (int, float)) else a
        b = jax.numpy.asarray(b) if isinstance(b, (int, float)) else b
        if (a.shape, str(a.dtype)) != (b.shape, str(b.dtype)):
            return f"result {i}: {a.dtype}{list(a.shape)}, JAX {b.dtype}{list(b.shape)}"
        if "float0" in str(b.dtype):
            continue
        ours, theirs = getattr(a, "weak_type", False), getattr(b, "weak_type", False)
        if b.dtype != bool and ours != theirs and (weak == "the same" or (weak == "may stay" and theirs)):
            return f"result {i}: weak_type {ours}, JAX {theirs} ({b.dtype}{list(b.shape)})"
        x, y = wide(a), wide(b)
        finite = np.isfinite(y)
        if not np.array_equal(np.isfinite(x), finite):
            return f"result {i} is finite elsewhere: {x.ravel()[:6]}, JAX {y.ravel()[:6]}"
        tolerance = TOLERANCE.get(str(b.dtype), 2e-3) * factor * (1 + np.abs(y[finite]).max(initial=0))
        if np.abs(x - y)[finite].max(initial=0) > tolerance:
            return f"result {i}: {x.ravel()[:6]}, JAX {y.ravel()[:6]}"
    return None


def assert_agree(got: list, want: list) -> None:
    message = difference(got, want)
    assert message is None, message
