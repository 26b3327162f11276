"""Sorting: ``sort``, ``top_k``, ``approx_top_k``, in the order that ops/sort.py defines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from addax.core import dtypes
from addax.core.jaxpr import Eqn
from addax.engines.xla.block import Block, Value, is_complex, is_float
from addax.engines.xla.rules import rule
from addax.engines.xla.types import BOOL, FLOAT32, INT32


def sort_by(b: Block, xs: Sequence[Value], d: int, less) -> list[Value]:
    """Sort together, stably, by ``less(block, [left, right of each operand]) -> Value``."""
    pairs = [b.like((), x.dtype) for x in xs for _ in range(2)]
    body = b.region(pairs, lambda c, p: [less(c, p)], isolated=True)
    return b.generic("stablehlo.sort", xs, xs, body, f"dimension = {d} : i64, is_stable = true")


def _plain(c: Block, x: Value) -> Value:
    """A float whose total order is that of values: 0 for -0, and the positive NaN for every NaN."""
    zero = c.scalar(0, x.dtype)
    x = c.select(c.compare("EQ", x, zero), zero, x)
    return c.select(c.compare("NE", x, x), c.scalar(np.nan, x.dtype), x)


def _parts(c: Block, x: Value) -> list[Value]:
    """What decides the order of ``x``: real numbers, the first before the second."""
    if is_complex(x):
        return [_plain(c, part) for part in c.parts(x)]
    if is_float(x):
        return [_plain(c, c.convert(x, FLOAT32) if dtypes.itemsize_bits(x.dtype) < 16 else x)]
    return [x]


@rule("sort")
def _sort(b: Block, eqn: Eqn, *xs: Value) -> list[Value]:
    d, num_keys = eqn.params["dimension"], eqn.params["num_keys"]
    if xs[0].shape[d] < 2 or 0 in xs[0].shape:
        return list(xs)

    def less(c: Block, p: list[Value]) -> Value:
        keys = [
            pair for i in range(num_keys) for pair in zip(_parts(c, p[2 * i]), _parts(c, p[2 * i + 1]), strict=True)
        ]
        out: Value | None = None
        for left, right in reversed(keys):
            first = c.compare("LT", left, right, total_order=True)
            out = first if out is None else c.select(c.compare("EQ", left, right, total_order=True), out, first)
        assert out is not None
        return out

    return sort_by(b, xs, d, less)


def largest(b: Block, x: Value, k: int, axis: int) -> list[Value]:
    """The k largest along a dimension in total order, and where they stand."""
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    if 0 in shape:
        return [b.full(0, shape, x.dtype), b.full(0, shape, INT32)]
    if x.dtype == BOOL:  # which chlo.top_k does not take
        outs = sort_by(b, [x, b.iota(INT32, x.shape, axis)], axis, lambda c, p: c.compare("GT", p[0], p[1]))
        return [b.take(y, axis, 0, k) for y in outs]
    order = [*(d for d in range(len(x.shape)) if d != axis), axis]
    x = b.transpose(x, order)
    values, index = b.like((*x.shape[:-1], k), x.dtype), b.like((*x.shape[:-1], k), INT32)
    types = f"{x.type} -> ({values.type}, {index.type})"
    outs = b.emit_many(f"chlo.top_k({x.name}, k = {k}) : {types}", [values, index])
    back = [int(i) for i in np.argsort(order)]
    return [b.transpose(y, back) for y in outs]


@rule("top_k")
def _top_k(b: Block, eqn: Eqn, x: Value) -> list[Value]:
    return largest(b, x, int(eqn.params["k"]), eqn.params["axis"])


@rule("approx_top_k")
def _approx_top_k(b: Block, eqn: Eqn, x: Value) -> list[Value]:
    """Exact, which satisfies every recall target."""
    p = eqn.params
    axis = p["reduction_dimension"] % len(x.shape)
    size = p["k"] if p["aggregate_to_topk"] else x.shape[axis]
    if p["is_max_k"]:
        return largest(b, x, size, axis)

    def less(c: Block, pair: list[Value]) -> Value:
        (left,), (right,) = _parts(c, pair[0]), _parts(c, pair[1])
        return c.compare("LT", left, right, total_order=True)

    outs = sort_by(b, [x, b.iota(INT32, x.shape, axis)], axis, less)
    return [b.take(y, axis, 0, size) for y in outs]
