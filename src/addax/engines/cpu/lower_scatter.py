"""Scatters: the C++ scatter kernels, in place where the operand's memory may be overwritten."""

from __future__ import annotations

import math

from addax.engines.cpu import views
from addax.engines.cpu.buffers import symbols
from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, rule
from addax.engines.cpu.lower_data import INDEX_TYPES, take_over
from addax.engines.cpu.lower_dot import SHORT_NAMES
from addax.engines.cpu.lower_elementwise import element_name
from addax.engines.cpu.lower_indexed import mode_name


@rule("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max")
def scatter(block: Block, call: Call):
    eqn = call.eqn
    out = eqn.outvars[0]
    if len(call.refs) != 3:
        return NotImplemented
    operand, indices, updates = call.refs
    index_type = INDEX_TYPES.get(element_name(indices.dtype))
    if eqn.primitive.name == "scatter":
        symbol = f"scatter_set_{out.aval.dtype.itemsize}"
    else:
        symbol = f"scatter_{eqn.primitive.name[8:]}_{SHORT_NAMES.get(element_name(out.aval.dtype))}"
    if index_type is None or symbol not in symbols():
        return NotImplemented
    table = index_map(eqn.params, index_type, operand.shape, indices.shape, updates.shape)
    index_buffer, value_buffer = block.dense_at_zero(indices), block.dense_at_zero(updates)
    buffer, offset = take_over(block, operand, out, [indices, updates])
    if offset:
        raise AssertionError("scatter: the result does not start its buffer")
    if math.prod(updates.shape):
        cost = math.prod(updates.shape) * 1.0 + math.prod(indices.shape) * 2.0
        block.native(symbol, [index_buffer, value_buffer, buffer], {buffer}, table, cost)
    return None


def index_map(params, index_type: int, array_shape, indices_shape, updates_shape) -> list[int]:
    """The kernel's description of a scatter: see native/kernels/index_map.h."""
    dims = params["dimension_numbers"]
    array_strides = views.contiguous_strides(tuple(array_shape))
    index_strides = views.contiguous_strides(tuple(indices_shape))
    value_strides = views.contiguous_strides(tuple(updates_shape))
    batching = tuple(getattr(dims, "operand_batching_dims", ()))
    indices_batching = tuple(getattr(dims, "scatter_indices_batching_dims", ()))
    window_dims = list(dims.update_window_dims)
    batch_dims = [d for d in range(len(updates_shape)) if d not in window_dims]
    array_window = [d for d in range(len(array_shape)) if d not in dims.inserted_window_dims and d not in batching]
    sizes = dict(zip(array_window, [updates_shape[d] for d in window_dims], strict=True))
    batch = []
    for i, d in enumerate(batch_dims):
        moves = array_strides[batching[indices_batching.index(i)]] if i in indices_batching else 0
        batch += [updates_shape[d], index_strides[i], moves, value_strides[d]]
    starts = []
    for d in dims.scatter_dims_to_operand_dims:
        starts += [array_strides[d], array_shape[d] - sizes.get(d, 1)]
    window = []
    for d, w in zip(array_window, window_dims, strict=True):
        window += [updates_shape[w], array_strides[d], value_strides[w]]
    mode = 0 if mode_name(params["mode"]) == "CLIP" else 1
    return [
        mode, index_type, len(batch_dims), len(dims.scatter_dims_to_operand_dims), len(array_window), 1, *batch, *starts, *window,
    ]  # fmt: skip
