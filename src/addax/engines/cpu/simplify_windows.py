"""Pooling in terms of slices: a window's maximum is the maximum of as many shifted views as it has taps.

Sums, maxima and minima are separable, so each dimension is reduced on its own. The views then fuse into one loop nest
per dimension. Windows of more than `MAX_TAPS` along a dimension stay as they are.
"""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.jaxpr import Literal
from addax.engines.cpu.simplify_rules import rule

MAX_TAPS = 32


def _neutral(name: str, dtype) -> Literal:
    """What padding is filled with: it must never win."""
    if name == "reduce_window_sum":
        value = 0
    else:
        inexact = dtypes.issubdtype(dtype, np.floating)
        largest = np.inf if inexact else True if dtype == np.bool_ else dtypes.iinfo(dtype).max
        lowest = -np.inf if inexact else False if dtype == np.bool_ else dtypes.iinfo(dtype).min
        value = lowest if name == "reduce_window_max" else largest
    return Literal(np.asarray(value, dtype)[()], ShapedArray((), dtype))


def _pool(name: str, op: str):
    @rule(name)  # window reduction -> op(slice_0(pad(x)), slice_1(pad(x)), ...) along each dimension
    def pool(s, ops, params, aval):
        x = ops[0]
        p = params
        sizes = p["window_dimensions"]
        if (
            len(ops) != 1
            or not aval.size
            or max(sizes, default=1) > MAX_TAPS
            or dtypes.issubdtype(aval.dtype, np.complexfloating)
        ):
            return None
        config = [(lo, hi, d - 1) for (lo, hi), d in zip(p["padding"], p["base_dilation"], strict=True)]
        if any(c != (0, 0, 0) for c in config):
            shape = tuple(
                [n + lo + hi + max(0, n - 1) * i for n, (lo, hi, i) in zip(x.aval.shape, config, strict=True)]
            )
            if not all(shape):
                return None
            x = s.emit(
                "pad", [x, _neutral(name, aval.dtype)], ShapedArray(shape, aval.dtype), padding_config=tuple(config)
            )
        for d, (size, stride, step) in enumerate(zip(sizes, p["window_strides"], p["window_dilation"], strict=True)):
            if size > 1 or stride > 1:
                x = _along(s, x, d, size, stride, step, op)
        return x

    return pool


def _along(s, x, d: int, size: int, stride: int, step: int, op: str):
    shape = list(x.aval.shape)
    count = (shape[d] - (size - 1) * step - 1) // stride + 1
    shape[d] = count
    out = ShapedArray(tuple(shape), x.aval.dtype)
    total = None
    for k in range(size):
        starts, limits, strides = [0] * len(shape), list(x.aval.shape), [1] * len(shape)
        starts[d], limits[d], strides[d] = k * step, k * step + (count - 1) * stride + 1, stride
        tap = s.emit(
            "slice", [x], out, start_indices=tuple(starts), limit_indices=tuple(limits), strides=tuple(strides)
        )
        total = tap if total is None else s.emit(op, [total, tap], out)
    return total


for _name, _op in (("reduce_window_sum", "add"), ("reduce_window_max", "max"), ("reduce_window_min", "min")):
    _pool(_name, _op)
