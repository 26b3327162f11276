"""Pooling in terms of slices: a window's maximum is the maximum of as many shifted views as it has taps.

Sums, maxima and minima are separable, so each dimension is reduced on its own. The views then fuse into one loop nest
per dimension. Windows of more than `MAX_TAPS` along a dimension stay as they are. The derivatives of maxima compare the
taps of a window one after the other, so theirs are windows of at most `MAX_TAPS` elements.
"""

from __future__ import annotations

import math

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.jaxpr import Atom, Literal, Var
from addax.engines.cpu.simplify_rules import rule
from addax.ops.windows import Windows, pad_reference

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


# ---------------------------------------------------------------------------------------------------------------------
# Derivatives of maxima and minima: what is read from, or added at, the first extreme element of each window


class _Extremes:
    """The taps of windows over ``operand``, compared in their order as the definition in ops/windows.py does."""

    def __init__(self, s, operand: Atom, select_prim, windows: Windows):
        self.s, self.windows, self.compare = s, windows, select_prim.name
        self.config = windows.padding_config()
        self.shape = windows.check("", operand.aval.shape)
        self.padded = pad_reference(np.ones(operand.aval.shape, np.bool_), False, self.config)  # elements, not padding
        self.operand = self.pad(operand)
        self.taps = list(windows.taps(self.shape))

    @staticmethod
    def few(params, aval) -> bool:
        return (
            bool(aval.size)
            and math.prod(params["window_dimensions"]) <= MAX_TAPS
            and not dtypes.is_extended(aval.dtype)
        )

    def pad(self, x: Atom) -> Atom:
        if all(c == (0, 0, 0) for c in self.config):
            return x
        zero = Literal(np.zeros((), x.aval.dtype)[()], ShapedArray((), x.aval.dtype))
        return self.s.emit("pad", [x, zero], ShapedArray(self.padded.shape, x.aval.dtype), padding_config=self.config)

    def tap(self, x: Atom, k: int) -> Atom:
        starts, limits, strides = self.taps[k]
        return self.s.emit(
            "slice",
            [x],
            ShapedArray(self.shape, x.aval.dtype),
            start_indices=starts,
            limit_indices=limits,
            strides=strides,
        )

    def spread(self, value: np.ndarray, shape=None) -> Atom:
        """A constant, of fewer elements where it does not vary."""
        shape = self.shape if shape is None else shape
        for d, n in enumerate(value.shape):
            if n > 1 and (value == value.take([0], d)).all():
                value = value.take([0], d)
        kept = tuple(d for d, n in enumerate(value.shape) if n > 1)
        small = value.reshape([value.shape[d] for d in kept])
        aval = ShapedArray(small.shape, value.dtype)
        atom = Literal(small[()], aval) if not kept else self.s.constant(small, Var(aval))
        return self.s.emit("broadcast_in_dim", [atom], ShapedArray(shape, value.dtype), shape=shape,
                           broadcast_dimensions=kept, sharding=None)  # fmt: skip

    def fold(self, picked: list[Atom]) -> Atom:
        """The entry of ``picked`` that belongs to the first extreme tap; the first of all if a window has no element."""
        emit, truth = self.s.emit, ShapedArray(self.shape, np.dtype(np.bool_))
        best, out = self.tap(self.operand, 0), picked[0]
        seen = self.inside(0)
        for k in range(1, len(self.taps)):
            value, here = self.tap(self.operand, k), self.inside(k)
            keep = emit(self.compare, [best, value], truth)
            if not seen.all():
                keep = emit("and", [keep, self.spread(seen)], truth)
            if not here.all():
                keep = emit("or", [keep, self.spread(~here)], truth)
            best = emit("select_n", [keep, value, best], value.aval)
            out = emit("select_n", [keep, picked[k], out], out.aval)
            seen = seen | here
        return out

    def inside(self, k: int) -> np.ndarray:
        return self.padded[tuple(map(slice, *self.taps[k]))]

    def index(self) -> Atom:
        """The number of the tap that is the first extreme of each window."""
        return self.fold([self.spread(np.full(self.shape, k, np.int32)) for k in range(len(self.taps))])


@rule("select_and_gather_add")
def _read_at_extremes(s, ops, params, aval):
    x, operand = ops
    if not _Extremes.few(params, operand.aval) or not aval.size:
        return None
    windows = Windows(**{name: params[name] for name in Windows._fields})
    extremes = _Extremes(s, operand, params["select_prim"], windows)
    x = extremes.pad(x)
    return extremes.fold([extremes.tap(x, k) for k in range(len(extremes.taps))])


@rule("select_and_scatter_add")
def _add_at_extremes(s, ops, params, aval):
    source, operand = ops
    if not _Extremes.few(params, operand.aval) or not source.aval.size:
        return None
    sizes, strides = params["window_dimensions"], params["window_strides"]
    ones = (1,) * len(sizes)
    extremes = _Extremes(s, operand, params["select_prim"], Windows(sizes, strides, params["padding"], ones, ones))
    index = extremes.index()
    zero = Literal(np.zeros((), aval.dtype)[()], ShapedArray((), aval.dtype))
    if sizes == strides and extremes.padded.shape == tuple(
        n * w for n, w in zip(source.aval.shape, sizes, strict=True)
    ) == operand.aval.shape:  # fmt: skip
        # Windows side by side: every element asks its window whether it is the one.
        split = tuple(m for n, w in zip(source.aval.shape, sizes, strict=True) for m in (n, w))
        place = tuple(range(0, len(split), 2))

        def of_window(x):
            return s.emit("broadcast_in_dim", [x], ShapedArray(split, x.aval.dtype), shape=split,
                          broadcast_dimensions=place, sharding=None)  # fmt: skip

        numbers = np.arange(math.prod(sizes), dtype=np.int32).reshape([m for w in sizes for m in (1, w)])
        mine = s.emit("eq", [of_window(index), extremes.spread(numbers, split)], ShapedArray(split, np.dtype(np.bool_)))
        nothing = s.emit("broadcast_in_dim", [zero], ShapedArray(split, aval.dtype), shape=split,
                         broadcast_dimensions=(), sharding=None)  # fmt: skip
        out = s.emit("select_n", [mine, nothing, of_window(source)], ShapedArray(split, aval.dtype))
        return s.emit("reshape", [out], aval, new_sizes=aval.shape, dimensions=None, sharding=None)
    shape = source.aval.shape
    nothing = s.emit("broadcast_in_dim", [zero], ShapedArray(shape, aval.dtype), shape=shape,
                     broadcast_dimensions=(), sharding=None)  # fmt: skip
    total = None
    for k, (starts, _, steps) in enumerate(extremes.taps):
        number = extremes.spread(np.full(shape, k, np.int32))
        mine = s.emit("eq", [index, number], ShapedArray(shape, np.dtype(np.bool_)))
        part = s.emit("select_n", [mine, nothing, source], ShapedArray(shape, aval.dtype))
        ends = [a + (n - 1) * step + 1 for a, n, step in zip(starts, shape, steps, strict=True)]
        # Where the taps of all windows were read from, less the padding, which may cut some off.
        config = tuple(
            (a - low, size + low - end, step - 1)
            for a, end, step, size, (low, _) in zip(
                starts, ends, steps, operand.aval.shape, params["padding"], strict=True
            )
        )
        placed = s.emit("pad", [part, zero], ShapedArray(aval.shape, aval.dtype), padding_config=config)
        total = placed if total is None else s.emit("add", [total, placed], ShapedArray(aval.shape, aval.dtype))
    return total
