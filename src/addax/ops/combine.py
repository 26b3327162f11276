"""Primitives that join arrays and take them apart: ``concatenate`` and ``split``, ``stack`` and ``unstack``.

In each pair the two are each other's transposes. All are linear, and elements are opaque.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.ops import rules
from addax.ops.rules import LINEAR, instantiate, is_linear, move_axis, primitive, shape_of
from addax.ops.shape import check_sizes, expansion, past, squeeze
from addax.ops.slicing import slice_p


def check_same_dtype(name: str, avals: Sequence[ShapedArray]) -> None:
    if any(a.dtype != avals[0].dtype for a in avals):
        raise TypeError(
            f"lax.{name} requires arguments to have the same dtypes, got "
            f"{', '.join(dtypes.dtype_name(a.dtype) for a in avals)}. (Tip: addax.numpy.{name} is a similar function "
            "that does automatic type promotion on inputs)."
        )


def align_batches(axis, args: Sequence, dims: Sequence[int | None]) -> tuple[list, int]:
    """Operands with a common batch dimension: the one they have, if they agree, else the first."""
    used = {d for d in dims if d is not None}
    bdim = used.pop() if len(used) == 1 else 0
    aligned = []
    for x, d in zip(args, dims, strict=True):
        if d is None:
            shape = list(get_aval(x).shape)
            shape.insert(bdim, axis.size)
            aligned.append(rules.broadcast_in_dim(x, shape, [i for i in range(len(shape)) if i != bdim]))
        else:
            aligned.append(move_axis(x, d, bdim))
    return aligned, bdim


# ---------------------------------------------------------------------------------------------------------------------
# concatenate


def _concatenate_type(*operands, dimension):
    name = "concatenate"
    shapes = ", ".join(str(x.shape) for x in operands)
    if not operands:
        raise TypeError(f"{name}: expected at least one operand, got none.")
    first = operands[0]
    if any(x.ndim != first.ndim for x in operands):
        raise TypeError(
            f"Cannot concatenate arrays with different numbers of dimensions: got {shapes}. Did you mean stack, which "
            "joins along a new dimension?"
        )
    if not 0 <= dimension < first.ndim:
        raise TypeError(f"{name} dimension out of bounds: dimension {dimension} for shapes {shapes}.")
    rest = [x.shape[:dimension] + x.shape[dimension + 1 :] for x in operands]
    if any(s != rest[0] for s in rest):
        raise TypeError(
            "Cannot concatenate arrays with shapes that differ in dimensions other than the one being concatenated: "
            f"concatenating along dimension {dimension} for shapes {shapes}."
        )
    check_same_dtype(name, operands)
    total = sum(x.shape[dimension] for x in operands)
    shape = (*first.shape[:dimension], total, *first.shape[dimension + 1 :])
    return ShapedArray(shape, first.dtype, all(x.weak_type for x in operands), first.vma)


def _part(x, axis: int, start: int, end: int):
    """``x[..., start:end, ...]``"""
    starts, limits = [0] * len(shape_of(x)), list(shape_of(x))
    starts[axis], limits[axis] = start, end
    return slice_p.bind(x, start_indices=tuple(starts), limit_indices=tuple(limits), strides=None)


def _concatenate_transpose(ct, *operands, dimension):
    sizes = tuple((x.aval if is_linear(x) else get_aval(x)).shape[dimension] for x in operands)
    if all(map(is_linear, operands)):
        return split.bind(ct, sizes=sizes, axis=dimension)
    out, end = [], 0
    for x, n in zip(operands, sizes, strict=True):
        start, end = end, end + n
        if not is_linear(x):
            out.append(None)
            continue
        out.append(_part(ct, dimension, start, end))
    return out


def _concatenate_batch(axis, args, dims, *, dimension):
    aligned, bdim = align_batches(axis, args, dims)
    return concatenate.bind(*aligned, dimension=past(dimension, bdim)), bdim


concatenate = primitive(
    "concatenate",
    _concatenate_type,
    jvp=LINEAR,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    reference=lambda *xs, dimension: np.concatenate(xs, dimension),
)


# ---------------------------------------------------------------------------------------------------------------------
# split


def _split_type(operand, *, sizes, axis):
    if not 0 <= axis < operand.ndim:
        raise ValueError(f"split: axis {axis} is out of bounds for an operand of rank {operand.ndim}.")
    if any(n < 0 for n in sizes):
        raise ValueError(f"split: sizes must be nonnegative, got {sizes}.")
    check_sizes("split", "sizes", sizes)
    if sum(sizes) != operand.shape[axis]:
        raise ValueError(
            f"split: sizes must add up to the size of the dimension; got sizes {sizes} (sum {sum(sizes)}) for "
            f"dimension {axis} of operand shape {operand.shape}."
        )
    before, after = operand.shape[:axis], operand.shape[axis + 1 :]
    return [operand.update(shape=(*before, n, *after)) for n in sizes]


def _split_batch(axis_, args, dims, *, sizes, axis):
    (bdim,) = dims
    parts = split.bind(args[0], sizes=sizes, axis=past(axis, bdim))
    return parts, [bdim] * len(parts)


split = primitive(
    "split",
    _split_type,
    jvp=LINEAR,
    transpose=lambda cts, _, *, sizes, axis: [concatenate.bind(*map(instantiate, cts), dimension=axis)],
    batch=_split_batch,
    reference=lambda x, *, sizes, axis: np.split(x, np.cumsum(sizes[:-1], dtype=int), axis)[: len(sizes)],
    multiple_results=True,
)


def _split_expanded(x, *, sizes, axis):
    ends = list(itertools.accumulate(sizes))
    return [_part(x, axis, end - n, end) for n, end in zip(sizes, ends, strict=True)]


split.expand = expansion(_split_expanded)


# ---------------------------------------------------------------------------------------------------------------------
# stack


def _stack_type(*operands, axis):
    if not operands:
        raise ValueError("stack: expected at least one operand, got none.")
    first = operands[0]
    if any(x.shape != first.shape for x in operands):
        raise ValueError(
            "stack: all operands must have the same shape, got "
            f"{', '.join(str(x.shape) for x in operands)}. Did you mean concatenate, which joins along a dimension the "
            "operands already have?"
        )
    if not 0 <= axis <= first.ndim:
        raise ValueError(f"stack: axis {axis} is out of bounds for a result of rank {first.ndim + 1}.")
    check_same_dtype("stack", operands)
    shape = (*first.shape[:axis], len(operands), *first.shape[axis:])
    return ShapedArray(shape, first.dtype, all(x.weak_type for x in operands), first.vma)


def _stack_transpose(ct, *operands, axis):
    return [c if is_linear(x) else None for c, x in zip(unstack.bind(ct, axis=axis), operands, strict=True)]


def _stack_batch(axis_, args, dims, *, axis):
    aligned, bdim = align_batches(axis_, args, dims)
    if axis <= bdim:
        return stack.bind(*aligned, axis=axis), bdim + 1
    return stack.bind(*aligned, axis=axis + 1), bdim


stack = primitive(
    "stack",
    _stack_type,
    jvp=LINEAR,
    transpose=_stack_transpose,
    batch=_stack_batch,
    reference=lambda *xs, axis: np.stack(xs, axis),
)


# ---------------------------------------------------------------------------------------------------------------------
# unstack


def _unstack_type(operand, *, axis):
    if not 0 <= axis < operand.ndim:
        raise ValueError(f"unstack: axis {axis} is out of bounds for an operand of rank {operand.ndim}.")
    part = operand.update(shape=operand.shape[:axis] + operand.shape[axis + 1 :])
    return [part] * operand.shape[axis]


def _unstack_batch(axis_, args, dims, *, axis):
    (bdim,) = dims
    at = past(axis, bdim)
    parts = unstack.bind(args[0], axis=at)
    return parts, [bdim - (at < bdim)] * len(parts)


unstack = primitive(
    "unstack",
    _unstack_type,
    jvp=LINEAR,
    transpose=lambda cts, _, *, axis: [stack.bind(*map(instantiate, cts), axis=axis)],
    batch=_unstack_batch,
    reference=lambda x, *, axis: [np.take(x, i, axis) for i in range(x.shape[axis])],
    multiple_results=True,
)
unstack.expand = expansion(
    lambda x, *, axis: [squeeze.bind(_part(x, axis, i, i + 1), dimensions=(axis,)) for i in range(x.shape[axis])]
)

__all__ = ["concatenate", "split", "stack", "unstack"]
