"""Primitives that move elements: shapes, slices, joins."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.jaxpr import Eqn
from addax.engines.xla.block import Block, Value, is_float
from addax.engines.xla.program import result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.types import FLOAT32, INT32, INT64, UINT32, UINT64


@rule("broadcast_in_dim")
def _broadcast_in_dim(b: Block, eqn: Eqn, x: Value) -> Value:
    return b.broadcast(x, eqn.outvars[0].aval.shape, eqn.params["broadcast_dimensions"])


@rule("reshape")
def _reshape(b: Block, eqn: Eqn, x: Value) -> Value:
    if eqn.params["dimensions"] is not None:
        x = b.transpose(x, eqn.params["dimensions"])
    return b.reshape(x, eqn.outvars[0].aval.shape)


@rule("squeeze")
def _squeeze(b: Block, eqn: Eqn, x: Value) -> Value:
    return b.reshape(x, eqn.outvars[0].aval.shape)


@rule("transpose")
def _transpose(b: Block, eqn: Eqn, x: Value) -> Value:
    return b.transpose(x, eqn.params["permutation"])


@rule("rev")
def _rev(b: Block, eqn: Eqn, x: Value) -> Value:
    return b.reverse(x, eqn.params["dimensions"]) if eqn.params["dimensions"] else x


@rule("tile")
def _tile(b: Block, eqn: Eqn, x: Value) -> Value:
    reps = eqn.params["reps"]
    parts = tuple(n for pair in zip(reps, x.shape, strict=True) for n in pair)  # (repetition, element) per dimension
    spread = b.broadcast(x, parts, range(1, len(parts), 2))
    return b.reshape(spread, eqn.outvars[0].aval.shape)


_COUNTABLE = (INT32, INT64, UINT32, UINT64, FLOAT32, dtypes.float64)


@rule("iota")
def _iota(b: Block, eqn: Eqn) -> Value:
    out = result_type(eqn)
    d = eqn.params["dimension"]
    if out.dtype in _COUNTABLE:
        return b.iota(out.dtype, out.shape, d)
    # Counting in 32 bits and converting wraps small integers and rounds small floats once.
    return b.convert(b.iota(INT32 if not is_float(out) else FLOAT32, out.shape, d), out.dtype)


@rule("empty")
def _empty(b: Block, eqn: Eqn) -> Value:
    out = result_type(eqn)
    return b.full(0, out.shape, out.dtype)


@rule("slice")
def _slice(b: Block, eqn: Eqn, x: Value) -> Value:
    p = eqn.params
    return b.slice(x, p["start_indices"], p["limit_indices"], p["strides"])


@rule("pad")
def _pad(b: Block, eqn: Eqn, x: Value, value: Value) -> Value:
    return b.pad(x, value, eqn.params["padding_config"])


@rule("concatenate")
def _concatenate(b: Block, eqn: Eqn, *xs: Value) -> Value:
    return b.concatenate(xs, eqn.params["dimension"])


@rule("stack")
def _stack(b: Block, eqn: Eqn, *xs: Value) -> Value:
    axis = eqn.params["axis"]
    shape = (*xs[0].shape[:axis], 1, *xs[0].shape[axis:])
    return b.concatenate([b.reshape(x, shape) for x in xs], axis)


def as_indices(b: Block, x: Value) -> Value:
    """Indices in a type of at least 32 bits and with a sign, so that bounds of any size can be compared with them."""
    if x.dtype in (INT32, INT64):
        return x
    if x.dtype == UINT64:
        x = b.binary("minimum", x, b.full(2**63 - 1, x.shape, x.dtype))
    wide = dtypes.issubdtype(x.dtype, np.unsignedinteger) and dtypes.itemsize_bits(x.dtype) >= 32
    return b.convert(x, INT64 if wide else INT32)


@rule("dynamic_slice")
def _dynamic_slice(b: Block, eqn: Eqn, x: Value, *starts: Value) -> Value:
    return b.dynamic_slice(x, [as_indices(b, i) for i in starts], tuple(eqn.params["slice_sizes"]))


@rule("dynamic_update_slice")
def _dynamic_update_slice(b: Block, eqn: Eqn, x: Value, update: Value, *starts: Value) -> Value:
    return b.dynamic_update_slice(x, update, [as_indices(b, i) for i in starts])
