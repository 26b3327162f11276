"""Sorting, top-k and running reductions: C++ kernels over rows."""

from __future__ import annotations

import math

from addax.engines.cpu import views
from addax.engines.cpu.buffers import Buffer, symbols
from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, nbytes, rule
from addax.engines.cpu.lower_dot import SHORT_NAMES
from addax.engines.cpu.lower_elementwise import element_name
from addax.engines.cpu.views import Iota

# Element types in kernel tables (native/kernels/README.md).
ELEMENT_TYPES = {
    "int32": 0, "int64": 1, "uint32": 2, "uint64": 3, "int8": 4, "int16": 5, "uint8": 6, "uint16": 7, "float32": 8,
    "float64": 9, "float16": 10, "bfloat16": 11, "complex64": 12, "complex128": 13, "bool": 14,
}  # fmt: skip
POSITION = 64  # added to the type of an operand that is its own position along the axis


@rule("sort")
def sort(block: Block, call: Call):
    eqn = call.eqn
    dim = eqn.params["dimension"]
    shape = eqn.outvars[0].aval.shape
    types = [ELEMENT_TYPES.get(element_name(x.aval.dtype)) for x in eqn.invars]
    if None in types or not shape or any(not hasattr(x.aval.dtype, "kind") for x in eqn.invars):
        return NotImplemented
    last = len(shape) - 1
    order = [d for d in range(len(shape)) if d != dim] + [dim]
    turned_shape = tuple([shape[d] for d in order])
    ins, outs, places = [], [], []
    for i, r in enumerate(call.refs):
        turned = views.transpose(r, order)
        if (
            type(r.base) is Iota
            and not r.offset
            and all(s == (d == last) for d, s in enumerate(turned.strides))
            and types[i] < 2
        ):
            types[i] += POSITION
            ins.append(None)
        else:
            ins.append(block.dense_at_zero(turned))
    for v in eqn.outvars:
        buffer, offset = block.destination(v)
        places.append((buffer, offset))
        outs.append(buffer if dim == last and not offset else block.new_buffer(nbytes(v.aval)))
    ins = [outs[i] if b is None else b for i, b in enumerate(ins)]
    n = shape[dim]
    table = [math.prod(shape) // max(1, n), n, len(ins), eqn.params["num_keys"], *types]
    block.native("sort", [*ins, *outs], set(outs), table, math.prod(shape) * 20.0 * len(ins))
    back = [order.index(d) for d in range(len(shape))]
    strides = views.contiguous_strides(turned_shape)
    for v, buffer, (place, offset) in zip(eqn.outvars, outs, places, strict=True):
        if buffer is not place:
            source = tuple([strides[d] for d in back])
            block.copy_strided(
                buffer, 0, source, place, offset, views.contiguous_strides(shape), shape, v.aval.dtype.itemsize
            )
    return None


@rule("top_k")
def top_k(block: Block, call: Call):
    eqn = call.eqn
    shape = eqn.invars[0].aval.shape
    kind = ELEMENT_TYPES.get(element_name(eqn.invars[0].aval.dtype))
    positions = element_name(eqn.outvars[1].aval.dtype)
    axis = eqn.params.get("axis", len(shape) - 1)
    if kind is None or kind in (12, 13) or positions not in ("int32", "int64") or axis not in (-1, len(shape) - 1):
        return NotImplemented
    source = block.dense_at_zero(call.refs[0])
    outs = [_at_start(block, v) for v in eqn.outvars]
    n = shape[-1]
    table = [math.prod(shape) // max(1, n), n, eqn.outvars[0].aval.shape[-1], kind, int(positions == "int64")]
    block.native("top_k", [source, *outs], set(outs), table, math.prod(shape) * 5.0)
    return None


@rule("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")
def cumulative(block: Block, call: Call):
    eqn = call.eqn
    out = eqn.outvars[0]
    symbol = f"{eqn.primitive.name}_{SHORT_NAMES.get(element_name(out.aval.dtype))}"
    if symbol not in symbols() or eqn.invars[0].aval.dtype != out.aval.dtype:
        return NotImplemented
    shape, axis = out.aval.shape, eqn.params["axis"]
    source = block.dense_at_zero(call.refs[0])
    buffer = _at_start(block, out)
    table = [math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]), int(eqn.params["reverse"])]
    block.native(symbol, [source, buffer], {buffer}, table, out.aval.size * 0.5)
    return None


def _at_start(block: Block, v) -> Buffer:
    buffer, offset = block.destination(v)
    if offset:
        raise AssertionError(f"{v}: the result does not start its buffer")
    return buffer
