"""Reductions, cumulative operations, and reductions over windows.

Floats of 16 bits and less are summed and multiplied in float32 and rounded once, as on the other engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Eqn
from addax.core.primitive import registry
from addax.engines.xla.block import Block, Value, array_attribute, is_complex, is_float
from addax.engines.xla.lower_elementwise import convert_element_type, extreme
from addax.engines.xla.program import inline_program, result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.types import BOOL, FLOAT32
from addax.ops.cumulative import _log_add_exp, prefixes
from addax.ops.reduce import highest_value, lowest_value
from addax.ops.windows import Windows


def widened(b: Block, x: Value) -> Value:
    """Small floats as float32."""
    return b.convert(x, FLOAT32) if is_float(x) and x.dtype.itemsize < 4 else x


def _identity(name: str, dtype: np.dtype) -> Any:
    if name == "maximum":
        return lowest_value(dtype)
    if name == "minimum":
        return highest_value(dtype)
    return {"add": 0, "multiply": 1, "or": 0, "xor": 0, "and": True if dtype == BOOL else -1}[name]


def reduce_by(b: Block, name: str, x: Value, dims: Sequence[int]) -> Value:
    """Fold over dimensions with one operation, from its identity."""
    dtype = x.dtype
    if name in ("add", "multiply"):
        x = widened(b, x)
    if name == "and" and dtypes.issubdtype(dtype, np.unsignedinteger):
        init = b.constant(np.asarray(dtypes.iinfo(dtype).max).astype(dtype))
    else:
        init = b.scalar(_identity(name, x.dtype), x.dtype)
    ordered = is_complex(x) and name in ("maximum", "minimum")
    if ordered or name == "xor" or (name in ("and", "or") and dtype != BOOL):
        x = b.whole(x, dims)  # devices cannot fold with these what each of them has found
    if ordered:
        (out,) = b.reduce([x], [init], dims, lambda c, p, q: [extreme(c, name, p[0], q[0])])
    else:
        out = b.reduce_simple(name, x, init, dims)
    return convert_element_type(b, out, dtype)


_REDUCTIONS = {
    "reduce_sum": "add",
    "reduce_prod": "multiply",
    "reduce_max": "maximum",
    "reduce_min": "minimum",
    "reduce_and": "and",
    "reduce_or": "or",
    "reduce_xor": "xor",
}


@rule(*_REDUCTIONS)
def _reduction(b: Block, eqn: Eqn, x: Value) -> Value:
    return reduce_by(b, _REDUCTIONS[eqn.primitive.name], x, eqn.params["axes"])


@rule("argmax", "argmin")
def _arg(b: Block, eqn: Eqn, x: Value) -> Value:
    """The first position of the extreme; the first NaN if there is one."""
    (axis,) = eqn.params["axes"]
    dtype = result_type(eqn).dtype
    larger = eqn.primitive.name == "argmax"
    counter = dtype if dtype in (dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.uint64) else dtypes.int64
    x = widened(b, x)
    init = b.scalar((lowest_value if larger else highest_value)(x.dtype), x.dtype)
    last = b.scalar(dtypes.iinfo(counter).max, counter)  # so that the identity never wins a tie

    def better(c: Block, left: list[Value], right: list[Value]) -> list[Value]:
        (a, i), (z, j) = left, right
        wins = c.compare("GT" if larger else "LT", a, z)
        equal = c.compare("EQ", a, z)
        if is_float(a):
            a_nan, z_nan = c.compare("NE", a, a), c.compare("NE", z, z)
            wins = c.binary(
                "or", c.binary("and", wins, c.unary("not", z_nan)), c.binary("and", a_nan, c.unary("not", z_nan))
            )
            equal = c.binary("or", equal, c.binary("and", a_nan, z_nan))
        first = c.binary("and", equal, c.compare("LT", i, j))
        left_wins = c.binary("or", wins, first)
        return [c.select(left_wins, a, z), c.select(left_wins, i, j)]

    positions = b.iota(counter, x.shape, axis)
    return convert_element_type(b, b.reduce([x, positions], [init, last], [axis], better)[1], dtype)


def scalar_program(closed: ClosedJaxpr) -> Callable[[Block, list[Value], list[Value]], list[Value]]:
    """A program on scalars, ``(a_1..a_n, b_1..b_n) -> c_1..c_n``, as what a region computes."""
    return lambda block, left, right: inline_program(block, closed, [*left, *right])


@rule("reduce")
def _reduce(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    n = len(args) // 2
    if not eqn.params["dimensions"]:
        return list(args[:n])
    # Devices cannot fold so what each of them has found; and the initial value, which need not be an identity, is for all.
    xs = [b.whole(x, eqn.params["dimensions"]) for x in args[:n]]
    return b.reduce(xs, args[n:], eqn.params["dimensions"], scalar_program(eqn.params["jaxpr"]))


# ---------------------------------------------------------------------------------------------------------------------
# Cumulative operations, as the tree of pairwise operations that ops.cumulative defines: O(n) work, O(log n) depth


def _combine(name: str) -> Callable[..., Any]:
    return registry[name].bind if name != "log_add_exp" else _log_add_exp


_CUMULATIVE = {"cumsum": "add", "cumprod": "mul", "cummax": "max", "cummin": "min", "cumlogsumexp": "log_add_exp"}


@rule(*_CUMULATIVE)
def _cumulative(b: Block, eqn: Eqn, x: Value) -> Value:

    axis, reverse, dtype = eqn.params["axis"], eqn.params["reverse"], x.dtype
    combine = _combine(_CUMULATIVE[eqn.primitive.name])
    x = widened(b, x)

    def program(x):
        if reverse:
            x = registry["rev"].bind(x, dimensions=(axis,))
        y = prefixes(combine, x, axis)
        return [registry["rev"].bind(y, dimensions=(axis,)) if reverse else y]

    closed = ClosedJaxpr(*trace_to_jaxpr(program, [ShapedArray(x.shape, x.dtype)]))
    return convert_element_type(b, inline_program(b, closed, [x])[0], dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Windows


def window_attributes(windows: Windows) -> str:
    pairs = ", ".join(f"[{low}, {high}]" for low, high in windows.padding)
    return (
        f"window_dimensions = {array_attribute(windows.window_dimensions)}, "
        f"window_strides = {array_attribute(windows.window_strides)}, "
        f"base_dilations = {array_attribute(windows.base_dilation)}, "
        f"window_dilations = {array_attribute(windows.window_dilation)}, "
        f"padding = dense<[{pairs}]> : tensor<{len(windows.padding)}x2xi64>"
    )


def reduce_window(b: Block, xs: Sequence[Value], inits: Sequence[Value], windows: Windows, combine) -> list[Value]:
    n = len(xs)
    shape = windows.check("reduce_window", xs[0].shape)
    if not xs[0].shape:  # one window of one element
        return combine(b, list(inits), list(xs))
    scalars = [b.like((), x.dtype) for x in xs]
    body = b.region([*scalars, *scalars], lambda c, p: combine(c, p[:n], p[n:]), isolated=True)
    outs = [b.like(shape, x.dtype) for x in xs]
    return b.generic("stablehlo.reduce_window", [*xs, *inits], outs, body, window_attributes(windows))


_WINDOWS = {"reduce_window_sum": "add", "reduce_window_max": "maximum", "reduce_window_min": "minimum"}


@rule(*_WINDOWS)
def _window(b: Block, eqn: Eqn, x: Value) -> Value:
    name, dtype = _WINDOWS[eqn.primitive.name], x.dtype
    if name == "add":
        x = widened(b, x)
    init = b.scalar(_identity(name, x.dtype), x.dtype)

    def combine(c: Block, left, right):
        return [extreme(c, name, left[0], right[0]) if name != "add" else c.binary("add", left[0], right[0])]

    (out,) = reduce_window(b, [x], [init], Windows(**eqn.params), combine)
    return convert_element_type(b, out, dtype)


@rule("reduce_window")
def _reduce_window(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    n = len(args) // 2
    params = dict(eqn.params)
    combine = scalar_program(params.pop("jaxpr"))
    # A device that holds a part would fold in the initial value, which need not be an identity, once more at its edges.
    wide = [d for d, size in enumerate(params["window_dimensions"]) if size > 1]
    return reduce_window(b, [b.whole(x, wide) for x in args[:n]], args[n:], Windows(**params), combine)


@rule("select_and_gather_add")
def _select_and_gather_add(b: Block, eqn: Eqn, x: Value, operand: Value) -> Value:
    """Triples (operand, x, whether there is an element) folded to the first extreme one."""
    params = dict(eqn.params)
    direction = "GE" if params.pop("select_prim").name == "ge" else "LE"
    present = b.full(True, x.shape, BOOL)
    inits = [b.scalar(0, operand.dtype), b.scalar(0, x.dtype), b.scalar(False, BOOL)]

    def first_extreme(c: Block, left, right):
        keep = c.binary("or", c.compare(direction, left[0], right[0]), c.unary("not", right[2]))
        keep = c.binary("and", keep, left[2])
        return [*(c.select(keep, p, q) for p, q in zip(left[:2], right[:2])), c.binary("or", left[2], right[2])]

    outs = reduce_window(b, [operand, x, present], inits, Windows(**params), first_extreme)
    return outs[1]


@rule("select_and_scatter_add")
def _select_and_scatter_add(b: Block, eqn: Eqn, source: Value, operand: Value) -> Value:
    p = eqn.params
    direction = "GE" if p["select_prim"].name == "ge" else "LE"
    dtype = source.dtype
    source = widened(b, source)
    if source.dtype != operand.dtype:  # XLA wants one dtype for both
        wide = np.promote_types(np.promote_types(source.dtype, operand.dtype), np.float32)
        source, operand = b.convert(source, wide), b.convert(operand, wide)
    key, value = b.like((), operand.dtype), b.like((), source.dtype)
    select = b.region([key, key], lambda c, v: [c.compare(direction, v[0], v[1])], isolated=True)
    scatter = b.region([value, value], lambda c, v: [c.binary("add", v[0], v[1])], isolated=True)
    pairs = ", ".join(f"[{low}, {high}]" for low, high in p["padding"])
    attrs = (
        f"window_dimensions = {array_attribute(p['window_dimensions'])}, "
        f"window_strides = {array_attribute(p['window_strides'])}, "
        f"padding = dense<[{pairs}]> : tensor<{len(p['padding'])}x2xi64>"
    )
    out = b.like(operand.shape, source.dtype)
    zero = b.scalar(0, source.dtype)
    (out,) = b.generic("stablehlo.select_and_scatter", [operand, source, zero], [out], f"{select}, {scatter}", attrs)
    return convert_element_type(b, out, dtype)
