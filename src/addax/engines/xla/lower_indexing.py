"""``gather`` and the scatter family."""

from __future__ import annotations

import numpy as np

from addax.core.jaxpr import ClosedJaxpr, Eqn
from addax.engines.xla.block import Block, Value, array_attribute, ints
from addax.engines.xla.lower_elementwise import extreme
from addax.engines.xla.lower_shape import as_indices
from addax.engines.xla.program import inline_program, result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.types import INT64
from addax.ops.indexing import GatherScatterMode, default_fill_value
from addax.ops.scatter import window_sizes


def _last_starts(b: Block, indices: Value, shape, sizes, start_map) -> Value:
    """For each component of a start, the last one whose window fits; in the shape of the indices."""
    last = np.array([shape[d] - sizes[d] for d in start_map], indices.dtype)
    return b.broadcast(b.constant(last), indices.shape, (len(indices.shape) - 1,))


def _wide_enough(b: Block, indices: Value, shape) -> Value:
    indices = as_indices(b, indices)
    return b.convert(indices, INT64) if any(n >= 2**31 for n in shape) else indices


def _in_bounds(b: Block, indices: Value, last: Value) -> Value:
    """``[*batch]``: whether the whole window lies inside."""
    zero = b.full(0, indices.shape, indices.dtype)
    inside = b.binary("and", b.compare("GE", indices, zero), b.compare("LE", indices, last))
    return b.reduce_simple("and", inside, b.scalar(True, np.dtype(bool)), [len(indices.shape) - 1])


@rule("gather")
def _gather(b: Block, eqn: Eqn, x: Value, indices: Value) -> Value:
    p = eqn.params
    offset, collapsed, start_map, op_batching, ind_batching = p["dimension_numbers"]
    sizes, out = tuple(p["slice_sizes"]), result_type(eqn)
    indices = _wide_enough(b, indices, x.shape)
    numbers = (
        f"offset_dims = {ints(offset)}, collapsed_slice_dims = {ints(collapsed)}, operand_batching_dims = "
        f"{ints(op_batching)}, start_indices_batching_dims = {ints(ind_batching)}, start_index_map = {ints(start_map)}, "
        f"index_vector_dim = {len(indices.shape) - 1}"
    )
    if 0 in out.shape:
        return b.full(0, out.shape, out.dtype)
    attrs = (
        f"dimension_numbers = #stablehlo.gather<{numbers}>, indices_are_sorted = "
        f"{str(bool(p['indices_are_sorted'])).lower()}, slice_sizes = {array_attribute(sizes)}"
    )
    (read,) = b.generic("stablehlo.gather", [x, indices], [out], attrs=attrs)  # starts are clamped
    if p["mode"] is not GatherScatterMode.FILL_OR_DROP or not start_map:
        return read
    inside = _in_bounds(b, indices, _last_starts(b, indices, x.shape, sizes, start_map))
    batch_dims = [d for d in range(len(out.shape)) if d not in offset]
    fill = p["fill_value"]
    if fill is None:
        fill = default_fill_value(eqn.invars[0].aval.dtype)
    return b.select(b.broadcast(inside, out.shape, batch_dims), read, b.full(fill, out.shape, out.dtype))


def _combiner(eqn: Eqn):
    """``(block, [old, update]) -> [new]``"""
    name = eqn.primitive.name

    def combine(c: Block, values: list[Value]) -> list[Value]:
        old, update = values
        if name == "scatter":
            return [update]
        if name == "scatter-apply":
            program = ClosedJaxpr(eqn.params["update_jaxpr"], eqn.params["update_consts"])
            return inline_program(c, program, [old, update])
        if name in ("scatter-max", "scatter-min"):
            return [extreme(c, "maximum" if name == "scatter-max" else "minimum", old, update)]
        operation = {"scatter-add": "add", "scatter-sub": "subtract", "scatter-mul": "multiply"}[name]
        return [c.binary(operation, old, update)]

    return combine


@rule("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max", "scatter-apply")
def _scatter(b: Block, eqn: Eqn, x: Value, indices: Value, updates: Value) -> Value:
    p = eqn.params
    numbers = p["dimension_numbers"]
    window_dims, inserted, start_map, op_batching, ind_batching = numbers
    indices = _wide_enough(b, indices, x.shape)
    if 0 in updates.shape or 0 in x.shape:
        return x
    if p["mode"] is GatherScatterMode.CLIP and start_map:
        last = _last_starts(b, indices, x.shape, window_sizes(x.shape, updates.shape, numbers), start_map)
        zero = b.full(0, indices.shape, indices.dtype)
        indices = b.binary("minimum", b.binary("maximum", indices, zero), last)
    text = (
        f"update_window_dims = {ints(window_dims)}, inserted_window_dims = {ints(inserted)}, input_batching_dims = "
        f"{ints(op_batching)}, scatter_indices_batching_dims = {ints(ind_batching)}, scatter_dims_to_operand_dims = "
        f"{ints(start_map)}, index_vector_dim = {len(indices.shape) - 1}"
    )
    attrs = (
        f"scatter_dimension_numbers = #stablehlo.scatter<{text}>, indices_are_sorted = "
        f"{str(bool(p['indices_are_sorted'])).lower()}, unique_indices = {str(bool(p['unique_indices'])).lower()}"
    )
    scalar = b.like((), x.dtype)
    body = b.region([scalar, scalar], _combiner(eqn), isolated=True)
    (out,) = b.generic("stablehlo.scatter", [x, indices, updates], [x], body, attrs)
    return out
