"""Primitives that move data into a new array: concatenate, pad, dynamic_update_slice; and those that reinterpret it."""

from __future__ import annotations

from addax.core.jaxpr import Literal, Var
from addax.engines.cpu import views
from addax.engines.cpu.buffers import Copy
from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, rule
from addax.engines.cpu.views import Ref


@rule("concatenate")
def concatenate(block: Block, call: Call):
    """Each operand is written to its slice of the result."""
    out = call.eqn.outvars[0]
    buffer, offset = block.destination(out)
    strides = views.contiguous_strides(out.aval.shape)
    d = call.eqn.params["dimension"]
    at = 0
    for r in call.refs:
        if r.shape[d] and out.aval.size and r.base not in block.windows:
            block.write_view(r, buffer, offset + at * strides[d], strides)
        at += r.shape[d]


@rule("stack")
def stack(block: Block, call: Call):
    """As concatenate, along a new dimension."""
    out = call.eqn.outvars[0]
    buffer, offset = block.destination(out)
    strides = views.contiguous_strides(out.aval.shape)
    d = call.eqn.params["axis"] if "axis" in call.eqn.params else call.eqn.params["dimension"]
    others = strides[:d] + strides[d + 1 :]
    for i, r in enumerate(call.refs):
        if out.aval.size and r.base not in block.windows:
            block.write_view(r, buffer, offset + i * strides[d], others)


@rule("tile")
def tile(block: Block, call: Call):
    """Write the operand once, seen with a repeating dimension in front of each of its own."""
    out = call.eqn.outvars[0]
    r = call.refs[0]
    reps = call.eqn.params["reps"]
    buffer, offset = block.destination(out)
    shape, strides = [], []
    for n, s, k in zip(r.shape, r.strides, reps, strict=True):
        shape += [k, n]
        strides += [0, s]
    seen = Ref(r.base, r.offset, tuple(strides), tuple(shape))
    block.write_view(seen, buffer, offset, views.contiguous_strides(tuple(shape)))


@rule("pad")
def pad(block: Block, call: Call):
    """Fill the result with the padding value, then write the operand into it, spread out by the interior padding."""
    out = call.eqn.outvars[0]
    operand, value = call.refs
    shape = out.aval.shape
    strides = views.contiguous_strides(shape)
    buffer, offset = block.destination(out)
    if not out.aval.size:
        return
    config = call.eqn.params["padding_config"]
    if any(low > 0 or high > 0 or inner > 0 for low, high, inner in config) or operand.base.aval.size == 0:
        block.write_view(Ref(value.base, value.offset, (0,) * len(shape), shape), buffer, offset, strides)
    at, steps, starts, limits = offset, [], [], []
    for n, size, s, (low, _, inner) in zip(operand.shape, shape, strides, config, strict=True):
        step = inner + 1
        first = max(0, -(low // step)) if low < 0 else 0  # the first operand element that lands inside
        last = min(n, (size - 1 - low) // step + 1)
        starts.append(first)
        limits.append(max(first, last))
        at += s * (low + first * step)
        steps.append(s * step)
    window = views.slice_(operand, starts, limits, None)
    if all(window.shape):
        block.write_view(window, buffer, at, tuple(steps))


@rule("dynamic_update_slice")
def dynamic_update_slice(block: Block, call: Call):
    """Write the update into the operand's own memory if nobody else needs it, else into a copy."""
    eqn = call.eqn
    out = eqn.outvars[0]
    operand, update, *starts = call.refs
    if update.base in block.windows:
        return None
    itemsize = out.aval.dtype.itemsize
    buffer, offset = take_over(block, operand, out, call.refs[1:])
    if not update.shape or any(n == 0 for n in update.shape):
        if not update.shape:
            block.write_view(update, buffer, offset, ())
        return None
    if offset:
        return NotImplemented
    source = block.dense_at_zero(update)
    kinds = {x.aval.dtype.name for x in eqn.invars[2:]}
    if len(kinds) != 1:
        return NotImplemented
    indices = [block.dense_at_zero(s) for s in starts]
    rank = len(update.shape)
    table = [rank, INDEX_TYPES[kinds.pop()], *out.aval.shape, *update.shape]
    size = 1
    for n in update.shape:
        size *= n
    block.native(
        f"dynamic_update_slice_{itemsize}", [source, *indices, buffer], {buffer}, table, size * itemsize * 0.05
    )
    return None


INDEX_TYPES = {"int32": 0, "int64": 1, "uint32": 2, "uint64": 3, "int8": 4, "int16": 5, "uint8": 6, "uint16": 7}


def take_over(block: Block, operand: Ref, out: Var, others: list[Ref]):
    """Memory for ``out`` that holds the operand's elements: the operand's own, if this node may overwrite it.

    ``others`` are the node's other operands: they are read while it writes, so none may lie in the same memory, as in
    ``x.at[i].add(x)``.
    """
    base = operand.base
    apart = type(base) is Var and all(
        type(r.base) is not Var or block.env[r.base][0] is not block.env[base][0] for r in others
    )
    if apart and operand.is_whole() and base.aval.size == out.aval.size and block.may_overwrite(base):
        block.env[out] = block.env[base]
        return block.env[out]
    buffer, offset = block.destination(out)
    block.write_view(operand, buffer, offset, views.contiguous_strides(out.aval.shape))
    return buffer, offset


@rule("bitcast_convert_type", "random_wrap", "random_unwrap")
def reinterpret(block: Block, call: Call):
    """The same bytes under another type."""
    out = call.eqn.outvars[0]
    r = call.refs[0]
    if type(r.base) is Literal:
        return NotImplemented
    buffer, offset = block.dense(r)
    old, new = call.eqn.invars[0].aval.dtype.itemsize, out.aval.dtype.itemsize
    if offset * old % new:
        buffer, offset = block.at_offset(buffer, offset, r), 0
    block.env[out] = (buffer, offset * old // new)
    return None


@rule("copy", "copy_p")
def copy(block: Block, call: Call):
    """Copies of types that loop nests do not know."""
    out = call.eqn.outvars[0]
    r = call.refs[0]
    buffer, offset = block.destination(out)
    if type(r.base) is not Var:
        return NotImplemented
    if r.is_whole() and not offset and block.env[r.base][1] == 0:
        block.steps.append(Copy(buffer, block.env[r.base][0], buffer.nbytes))
    else:
        block.copy_view(r, buffer, offset, views.contiguous_strides(out.aval.shape))
    return None


@rule("empty")
def empty(block: Block, call: Call):
    """Memory whose contents do not matter."""
    block.destination(call.eqn.outvars[0])
