"""Convolutions: one call of the strided convolution kernel, whatever the order of the dimensions."""

from __future__ import annotations

import math

from addax.core.avals import ShapedArray
from addax.core.jaxpr import Var
from addax.engines.cpu import views
from addax.engines.cpu.buffers import Buffer, symbols
from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, rule
from addax.engines.cpu.lower_dot import SHORT_NAMES
from addax.engines.cpu.lower_elementwise import element_name
from addax.engines.cpu.views import Ref


@rule("conv_general_dilated")
def conv(block: Block, call: Call):
    eqn, p = call.eqn, call.eqn.params
    out = eqn.outvars[0]
    types = [element_name(x.aval.dtype) for x in eqn.invars]
    symbol = f"conv_{SHORT_NAMES.get(types[0])}_{SHORT_NAMES.get(element_name(out.aval.dtype))}"
    nothing = any(x.aval.size == 0 for x in eqn.invars)  # sums of no terms, which the kernel does not know
    if types[0] != types[1] or symbol not in symbols() or nothing:
        return NotImplemented
    x, w = [in_memory(block, r) for r in call.refs]
    dims = p["dimension_numbers"]
    (x_batch, x_channel, *x_space), (w_feature, w_channel, *w_space), (o_batch, o_feature, *o_space) = (
        dims.lhs_spec, dims.rhs_spec, dims.out_spec,
    )  # fmt: skip
    groups, by_batch = p["feature_group_count"], p["batch_group_count"]
    (x_buffer, x_offset), (w_buffer, w_offset) = _operand(block, x), _operand(block, w)
    o_buffer, o_offset = block.destination(out)
    o_strides = views.contiguous_strides(out.aval.shape)
    channels = w.shape[w_channel]
    n_groups = max(groups, by_batch)
    features = w.shape[w_feature] // n_groups
    if by_batch > 1:
        batch, x_group = x.shape[x_batch] // by_batch, x.strides[x_batch] * (x.shape[x_batch] // by_batch)
    else:
        batch, x_group = x.shape[x_batch], x.strides[x_channel] * channels
    table = [
        len(x_space), batch, n_groups, channels, features, x_offset, w_offset, o_offset,
        x.strides[x_batch], x_group, x.strides[x_channel],
        w.strides[w_feature] * features, w.strides[w_channel], w.strides[w_feature],
        o_strides[o_batch], o_strides[o_feature] * features, o_strides[o_feature],
    ]  # fmt: skip
    for i, (a, b, c) in enumerate(zip(x_space, w_space, o_space, strict=True)):
        table += [
            x.shape[a], w.shape[b], out.aval.shape[c], p["window_strides"][i], p["padding"][i][0], p["lhs_dilation"][i],
            p["rhs_dilation"][i], x.strides[a], w.strides[b], o_strides[c],
        ]  # fmt: skip
    taps = math.prod([w.shape[d] for d in w_space])
    block.native(
        symbol, [x_buffer, w_buffer, o_buffer], {o_buffer}, table, 2.0 * out.aval.size * channels * taps / 50.0
    )
    return None


def _operand(block: Block, r: Ref) -> tuple[Buffer, int]:
    """The buffer of an operand and the offset at which its strides start."""
    buffer, offset = block.env[r.base]
    return buffer, offset + r.offset


def in_memory(block: Block, r: Ref) -> Ref:
    """``r``, or a dense copy of it if it is a formula: zeros, say, or a counting sequence."""
    if type(r.base) is Var:
        return r
    v = Var(ShapedArray(r.shape, r.dtype))
    block.env[v] = block.dense(r)
    return Ref(v, 0, views.contiguous_strides(r.shape), r.shape)
