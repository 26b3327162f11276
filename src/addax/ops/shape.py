"""Primitives that give the same elements another shape or order, and the ones that make arrays out of a shape.

``broadcast_in_dim``, ``reshape``, ``transpose``, ``squeeze``, ``rev``, ``tile``; ``iota``, ``empty``. All but the last
two are linear. Elements are opaque: every dtype passes, keys too.

Primitives that others spell out, like ``split``, say so in their ``expand`` rule, and engines never see them.

Batching never moves an axis where the operation can step around it; `past` and `around` do the arithmetic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr
from addax.core.notation import Derived, Notation
from addax.core.sizes import SymbolicSize
from addax.ops import rules
from addax.ops.rules import LINEAR, Refusal, move_axis, primitive, reduce_sum


def check_sizes(name: str, what: str, sizes: tuple) -> None:
    """Sizes of dimensions: integers, none negative."""
    for d in sizes:
        if not isinstance(d, (int, np.integer, SymbolicSize)) or isinstance(d, bool):
            raise TypeError(f"{name}: {what} must be integers, got {sizes} with {d!r} of type {type(d).__name__}.")
        if d < 0:
            raise TypeError(f"{name}: {what} must be nonnegative, got {sizes}.")


def check_axes(name: str, what: str, axes: tuple, rank: int) -> None:
    """Dimensions of an operand: each in range, none twice."""
    for d in axes:
        if not 0 <= d < rank:
            raise TypeError(f"{name}: {what} must be in [0, {rank}) for an operand of rank {rank}, got {axes}.")
    if len(set(axes)) != len(axes):
        raise TypeError(f"{name}: {what} must be unique, got {axes}.")


def past(d: int, bdim: int) -> int:
    """Where dimension ``d`` of an example stands in the batch whose batch dimension is ``bdim``."""
    return d + (d >= bdim)


def around(values, bdim: int, at_batch) -> tuple:
    """Per-dimension parameters of an example (``strides``, ``reps``, ...) with ``at_batch`` for the batch dimension."""
    values = tuple(values)
    return (*values[:bdim], at_batch, *values[bdim:])


def expansion(fun: Callable[..., Any]) -> Callable[..., ClosedJaxpr]:
    """The ``expand`` rule of a primitive that other primitives spell out: ``fun(*args, **params)`` binds them."""

    def expand(*avals, **params):
        def program(*args):
            out = fun(*args, **params)
            return out if isinstance(out, list) else [out]

        return ClosedJaxpr(*trace_to_jaxpr(program, avals))

    return expand


def never_batched(name: str) -> Refusal:
    return Refusal(f"{name} has no operands, so there is nothing to batch: it stays outside the batch")


def nothing_to_differentiate(name: str) -> Refusal:
    return Refusal(f"{name} has no operands, so there is nothing to differentiate with respect to")


# ---------------------------------------------------------------------------------------------------------------------
# broadcast_in_dim


def _broadcast_type(operand, *, shape, broadcast_dimensions, sharding):
    name, dims = "broadcast_in_dim", broadcast_dimensions
    check_sizes(name, "shape", shape)
    if operand.ndim > len(shape):
        raise TypeError(
            f"{name}: the target shape must have at least the rank of the operand; got operand shape {operand.shape} "
            f"and target shape {shape}."
        )
    if len(dims) != operand.ndim:
        raise TypeError(
            f"{name}: broadcast_dimensions must have one entry per dimension of the operand; got "
            f"broadcast_dimensions {dims} for operand shape {operand.shape}."
        )
    if any(not 0 <= d < len(shape) for d in dims):
        raise TypeError(f"{name}: broadcast_dimensions must be dimensions of the result, got {dims} for shape {shape}.")
    if any(a >= b for a, b in itertools.pairwise(dims)):
        raise TypeError(
            f"{name}: broadcast_dimensions must be strictly increasing, got {dims}; transpose the operand to reorder "
            "its dimensions."
        )
    if any(n != 1 and n != shape[d] for n, d in zip(operand.shape, dims, strict=True)):
        raise TypeError(
            f"{name}: each dimension of the operand must be 1 or equal to its dimension of the target shape; got "
            f"operand shape {operand.shape}, target shape {shape} and broadcast_dimensions {dims}."
        )
    return operand.update(shape=shape)


def _broadcast_transpose(ct, operand, *, shape, broadcast_dimensions, sharding):
    old = operand.aval.shape
    stretched = [d for n, d in zip(old, broadcast_dimensions, strict=True) if n == 1 and shape[d] != 1]
    new = [d for d in range(len(shape)) if d not in broadcast_dimensions]
    summed = reduce_sum(ct, sorted(new + stretched))
    if not stretched:
        return [summed]
    kept = [i for i, d in enumerate(broadcast_dimensions) if d not in stretched]
    return [rules.broadcast_in_dim(summed, old, kept)]


def _broadcast_batch(axis, args, dims, *, shape, broadcast_dimensions, sharding):
    operand = move_axis(args[0], dims[0], 0)  # before broadcasting, while it is small
    out = broadcast_in_dim.bind(
        operand, shape=(axis.size, *shape), broadcast_dimensions=(0, *(d + 1 for d in broadcast_dimensions)),
        sharding=sharding,
    )  # fmt: skip
    return out, 0


def _broadcast_reference(x, *, shape, broadcast_dimensions, sharding):
    aligned = [1] * len(shape)
    for n, d in zip(x.shape, broadcast_dimensions, strict=True):
        aligned[d] = n
    return np.broadcast_to(np.reshape(x, aligned), shape)


broadcast_in_dim = primitive(
    "broadcast_in_dim",
    _broadcast_type,
    jvp=LINEAR,
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    reference=_broadcast_reference,
)
_result_shape = Derived(lambda ins, outs: outs[0].shape)
broadcast_in_dim.notation = Notation(omit={"shape": _result_shape, "broadcast_dimensions": (), "sharding": None})


# ---------------------------------------------------------------------------------------------------------------------
# reshape


def _reshape_type(operand, *, new_sizes, dimensions, sharding):
    check_sizes("reshape", "new_sizes", new_sizes)
    if math.prod(new_sizes) != operand.size:
        raise TypeError(
            f"reshape: the total size must stay the same; got operand shape {operand.shape} (size {operand.size}) and "
            f"new_sizes {new_sizes} (size {math.prod(new_sizes)})."
        )
    if dimensions is not None and sorted(dimensions) != list(range(operand.ndim)):
        raise TypeError(
            f"reshape: dimensions must be a permutation of the dimensions of the operand, got {dimensions} for operand "
            f"shape {operand.shape}."
        )
    return operand.update(shape=new_sizes)


def _reshape_transpose(ct, operand, *, new_sizes, dimensions, sharding):
    shape = operand.aval.shape
    if dimensions is None:
        return [rules.reshape(ct, shape)]
    return [rules.transpose(rules.reshape(ct, [shape[d] for d in dimensions]), np.argsort(dimensions).tolist())]


def _reshape_batch(axis, args, dims, *, new_sizes, dimensions, sharding):
    operand = move_axis(args[0], dims[0], 0)
    order = None if dimensions is None else (0, *(d + 1 for d in dimensions))
    return reshape.bind(operand, new_sizes=(axis.size, *new_sizes), dimensions=order, sharding=sharding), 0


def _reshape_reference(x, *, new_sizes, dimensions, sharding):
    return np.reshape(x if dimensions is None else np.transpose(x, dimensions), new_sizes)


reshape = primitive(
    "reshape",
    _reshape_type,
    jvp=LINEAR,
    transpose=_reshape_transpose,
    batch=_reshape_batch,
    reference=_reshape_reference,
)


# ---------------------------------------------------------------------------------------------------------------------
# transpose


def _transpose_type(operand, *, permutation):
    if sorted(permutation) != list(range(operand.ndim)):
        raise TypeError(
            f"transpose: permutation must be a permutation of the dimensions of the operand, got {permutation} for "
            f"operand shape {operand.shape}."
        )
    return operand.update(shape=tuple(operand.shape[d] for d in permutation))


def _transpose_batch(axis, args, dims, *, permutation):
    (bdim,) = dims
    return transpose.bind(args[0], permutation=(bdim, *(past(d, bdim) for d in permutation))), 0


transpose = primitive(
    "transpose",
    _transpose_type,
    jvp=LINEAR,
    transpose=lambda ct, _, *, permutation: [rules.transpose(ct, np.argsort(permutation).tolist())],
    batch=_transpose_batch,
    reference=lambda x, *, permutation: np.transpose(x, permutation),
)


# ---------------------------------------------------------------------------------------------------------------------
# squeeze


def _squeeze_type(operand, *, dimensions):
    check_axes("squeeze", "dimensions", dimensions, operand.ndim)
    if any(operand.shape[d] != 1 for d in dimensions):
        raise ValueError(
            f"squeeze: cannot remove a dimension whose size is not one, got shape={operand.shape} and "
            f"dimensions={dimensions}."
        )
    return operand.update(shape=tuple(n for d, n in enumerate(operand.shape) if d not in dimensions))


def _squeeze_transpose(ct, operand, *, dimensions):
    return [rules.expand_dims(ct, dimensions)]


def _squeeze_batch(axis, args, dims, *, dimensions):
    (bdim,) = dims
    moved = tuple(past(d, bdim) for d in dimensions)
    return squeeze.bind(args[0], dimensions=moved), bdim - sum(d < bdim for d in moved)


squeeze = primitive(
    "squeeze",
    _squeeze_type,
    jvp=LINEAR,
    transpose=_squeeze_transpose,
    batch=_squeeze_batch,
    reference=lambda x, *, dimensions: np.squeeze(x, dimensions),
)


# ---------------------------------------------------------------------------------------------------------------------
# rev


def _rev_type(operand, *, dimensions):
    check_axes("rev", "dimensions", dimensions, operand.ndim)
    return operand


def _rev_batch(axis, args, dims, *, dimensions):
    return rev.bind(args[0], dimensions=tuple(past(d, dims[0]) for d in dimensions)), dims[0]


rev = primitive(
    "rev",
    _rev_type,
    jvp=LINEAR,
    transpose=lambda ct, _, *, dimensions: [rev.bind(ct, dimensions=dimensions)],
    batch=_rev_batch,
    reference=lambda x, *, dimensions: np.flip(x, dimensions),
)


# ---------------------------------------------------------------------------------------------------------------------
# tile


def _tile_type(operand, *, reps):
    check_sizes("tile", "reps", reps)
    if len(reps) != operand.ndim:
        raise TypeError(
            f"tile: reps must have one entry per dimension of the operand, got reps {reps} for operand shape "
            f"{operand.shape}."
        )
    return operand.update(shape=tuple(n * r for n, r in zip(operand.shape, reps, strict=True)))


def _tile_transpose(ct, operand, *, reps):
    shape = operand.aval.shape
    parts, axes = [], []  # each repeated dimension as (repetition, element)
    for n, r in zip(shape, reps, strict=True):
        if r != 1:
            axes.append(len(parts))
            parts.append(r)
        parts.append(n)
    return [reduce_sum(rules.reshape(ct, parts), axes)]


def _tile_batch(axis, args, dims, *, reps):
    return tile.bind(args[0], reps=around(reps, dims[0], 1)), dims[0]


tile = primitive(
    "tile",
    _tile_type,
    jvp=LINEAR,
    transpose=_tile_transpose,
    batch=_tile_batch,
    reference=lambda x, *, reps: np.tile(x, reps),
)


# ---------------------------------------------------------------------------------------------------------------------
# iota


def _iota_type(*, dtype, shape, dimension, sharding):
    if not dtypes.issubdtype(dtype, np.number):
        raise TypeError(
            f"iota does not accept dtype {dtypes.dtype_name(dtype)}. Accepted dtypes are subtypes of integer, "
            "floating, complexfloating."
        )
    check_sizes("iota", "shape", shape)
    if not 0 <= dimension < len(shape):
        raise ValueError(f"iota: dimension must be one of the dimensions of shape, got {dimension=} for {shape=}.")
    return ShapedArray(shape, dtype)


def _iota_reference(*, dtype, shape, dimension, sharding):
    # Counting in 64 bits and converting wraps small integers, as hardware does, and rounds small floats once.
    counts = np.arange(shape[dimension]).astype(dtype)
    aligned = [1] * len(shape)
    aligned[dimension] = shape[dimension]
    return np.broadcast_to(counts.reshape(aligned), shape)


iota = primitive(
    "iota", _iota_type, jvp=nothing_to_differentiate("iota"), batch=never_batched("iota"), reference=_iota_reference
)


# ---------------------------------------------------------------------------------------------------------------------
# empty


def _empty_type(*, shape, dtype, out_sharding):
    check_sizes("empty", "shape", shape)
    return ShapedArray(shape, dtype)


def _empty_reference(*, shape, dtype, out_sharding):
    # Engines may leave what the memory holds.
    return np.zeros(shape, np.uint64 if dtypes.is_extended(dtype) else dtype)


empty = primitive(
    "empty",
    _empty_type,
    jvp=nothing_to_differentiate("empty"),
    batch=never_batched("empty"),
    reference=_empty_reference,
)

__all__ = ["broadcast_in_dim", "empty", "iota", "reshape", "rev", "squeeze", "tile", "transpose"]
