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
from addax.numpy.base import broadcast_shapes, inexact_dtype, operands, shape_of
from addax.numpy.creation import asarray
from addax.transforms.custom import custom_jvp
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


def on_host(name: str, derivatives: Callable[..., tuple], outputs: int = 1) -> Callable[..., Any]:
    """``scipy.special.<name>``, run by SciPy on the host inside compiled programs, with derivatives of our own.

    Args:
      derivatives: ``(outs, *operands) -> partial``, or one partial per operand; None where there is no formula. With
        several outputs, each partial is a tuple. They are functions too, so that they can be differentiated again.
    """

    def run(*arrays):
        with np.errstate(all="ignore"):
            outs = getattr(importlib.import_module("scipy.special"), name)(*(_wide(x) for x in arrays))
        outs = outs if outputs > 1 else (outs,)
        return tuple(np.asarray(o).astype(arrays[0].dtype) for o in outs)

    @custom_jvp
    def fun(*xs):
        shape = broadcast_shapes(*(shape_of(x) for x in xs))
        result = ShapeDtypeStruct(shape, get_aval(xs[0]).dtype)
        outs = pure_callback(run, (result,) * outputs, *xs, vmap_method="broadcast_all")
        return tuple(outs) if outputs > 1 else outs[0]

    @fun.defjvp
    def jvp(primals, tangents):
        outs = fun(*primals)
        partials = derivatives(outs, *primals)
        partials = (partials,) if len(primals) == 1 else partials
        total: Any = None
        for partial, t in zip(partials, tangents, strict=True):
            if partial is None:
                continue
            terms = [p * t for p in (partial if outputs > 1 else (partial,))]
            total = terms if total is None else [a + b for a, b in zip(total, terms, strict=True)]
        return outs, tuple(total) if outputs > 1 else total[0]

    return fun


def _wide(x: np.ndarray) -> np.ndarray:
    """Floats in float64: the result is rounded once."""
    return np.asarray(x).astype(np.complex128 if np.asarray(x).dtype.kind == "c" else np.float64)
