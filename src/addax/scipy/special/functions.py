"""How the special functions are made: checked, promoted operands; eager calls in one dispatch; functions of the host."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.api import pure_callback
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.engines.eager import fused
from addax.numpy.base import broadcast_arrays, inexact_dtype, operands
from addax.numpy.creation import asarray, zeros_like
from addax.transforms.custom import SymbolicZero, custom_jvp
from addax.transforms.stages import ShapeDtypeStruct


def special(body: Callable[..., Any]) -> Any:
    """Decorator of elementwise functions: ``body`` gets arrays of one inexact dtype whose shapes broadcast."""
    name, code = body.__name__, body.__code__
    names = code.co_varnames[: code.co_argcount]

    def fun(*args, **kwargs):
        if kwargs:
            args = (*args, *(kwargs.pop(n) for n in names[len(args) :] if n in kwargs))
            if kwargs:
                raise TypeError(f"{name} got unexpected keyword arguments {sorted(kwargs)}")
        return body(*(asarray(x) for x in operands(name, inexact_dtype, *args)))

    return fused(functools.update_wrapper(fun, body))


def real(name: str, *xs) -> None:
    """Raise for complex operands."""
    for x in xs:
        if not dtypes.issubdtype(x.dtype, np.floating):
            raise TypeError(
                f"{name} does not accept dtype {dtypes.dtype_name(x.dtype)}: it is defined for real floats."
            )


def with_derivatives(derivatives: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of functions of float arrays: gives them derivatives by formulas, and narrow floats float32 to work in.

    Args:
      derivatives: ``(outs, *operands) -> partial``, or one partial per operand; None where there is no formula, so that
        a derivative with respect to it is refused. With several outputs, each partial is a tuple. They are functions
        too, so that they can be differentiated again.
    """

    def decorate(value: Callable[..., Any]) -> Callable[..., Any]:
        @custom_jvp
        def fun(*xs):
            dtype = get_aval(xs[0]).dtype
            if dtypes.itemsize_bits(dtype) >= 32:
                return value(*xs)
            outs = value(*(asarray(x, np.float32) for x in xs))
            return tuple(asarray(o, dtype) for o in outs) if isinstance(outs, tuple) else asarray(outs, dtype)

        def jvp(primals, tangents):
            outs = fun(*primals)
            partials = derivatives(outs, *primals)
            partials = (partials,) if len(primals) == 1 else partials
            several = isinstance(outs, tuple)
            total: Any = [zeros_like(o) for o in (outs if several else (outs,))]
            for i, (partial, t) in enumerate(zip(partials, tangents, strict=True)):
                if type(t) is SymbolicZero:
                    continue
                if partial is None:
                    raise NotImplementedError(
                        f"The derivative of {value.__name__.lstrip('_')} with respect to argument {i} is not implemented: "
                        "wrap the argument in lax.stop_gradient if it is meant to be constant."
                    )
                total = [a + p * t for a, p in zip(total, partial if several else (partial,), strict=True)]
            return outs, tuple(total) if several else total[0]

        fun.defjvp(jvp, symbolic_zeros=True)
        return fun

    return decorate


def on_host(name: str, derivatives: Callable[..., Any]) -> Callable[..., Any]:
    """``scipy.special.<name>``, run by SciPy on the host inside compiled programs, `with_derivatives`."""

    def run(*arrays):
        with np.errstate(all="ignore"):
            out = getattr(importlib.import_module("scipy.special"), name)(*(_wide(x) for x in arrays))
        return np.asarray(out).astype(arrays[0].dtype)

    def fun(*xs):
        # Stretched here: a batch is a dimension in front, which in operands of different ranks would not meet.
        xs = broadcast_arrays(*xs)
        return pure_callback(run, ShapeDtypeStruct(xs[0].shape, xs[0].dtype), *xs, vmap_method="broadcast_all")

    fun.__name__ = name
    return with_derivatives(derivatives)(fun)


def _wide(x: np.ndarray) -> np.ndarray:
    """Floats in float64: the result is rounded once."""
    return np.asarray(x).astype(np.complex128 if np.asarray(x).dtype.kind == "c" else np.float64)


# ---------------------------------------------------------------------------------------------------------------------
# Chebyshev series (tables.py)


def on_interval(x, low: float, high: float):
    """[low, high] as [-1, 1]"""
    return (x - (low + high) / 2) * (2 / (high - low))


def beyond(x, low: float, scale: float):
    """[low, inf] as [-1, 1]; low + scale is the middle."""
    return 1 - 2 * scale / (x + (scale - low))


def chebyshev(s, coefficients: tuple[float, ...]):
    """sum_k c_k T_k(s) for s in [-1, 1], by Clenshaw's recurrence; as many terms as the dtype of s can tell apart."""
    least = float(dtypes.finfo(s.dtype).eps) / 16 * max(map(abs, coefficients))
    count = max(k for k, c in enumerate(coefficients, 1) if abs(c) >= least)
    here = before = 0.0 * s
    for c in coefficients[count - 1 : 0 : -1]:
        here, before = 2 * s * here - before + c, here
    return s * here - before + coefficients[0]
