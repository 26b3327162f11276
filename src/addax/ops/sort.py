"""Sorting: ``sort`` of one or several arrays together, ``top_k``, ``approx_top_k``.

The order is total: floats by value with -0 equal to 0 and every NaN last; complex numbers by real part, then imaginary
part, each so ordered; False before True. Sorting is stable whether or not it must be. ``top_k`` refines the order as
XLA does: 0 precedes -0, and a NaN is above inf, or below -inf if its sign bit is set.

The derivative of each is that of reading the elements at the positions they came from.
"""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.primitive import registry
from addax.ops.comparison import _total_order_key as total_order_key
from addax.ops.indexing import GatherDimensionNumbers, GatherScatterMode, gather
from addax.ops.reference_tools import widen
from addax.ops.rules import (
    Refusal,
    Zero,
    dtype_of,
    expand_dims,
    full,
    move_axis,
    primitive,
    shape_of,
    to_front,
)
from addax.ops.shape import past

INDEX = np.dtype(np.int32)


def take_along(x, index, axis: int):
    """``x`` read at positions ``index`` along ``axis``; other dimensions correspond. Each position occurs once."""
    if 0 in shape_of(index):
        return full(shape_of(index), 0, dtype_of(x))
    rank = len(shape_of(x))
    others = tuple(d for d in range(rank) if d != axis)
    return gather.bind(
        x,
        expand_dims(index, (rank,)),
        dimension_numbers=GatherDimensionNumbers(
            offset_dims=(),
            collapsed_slice_dims=(axis,),
            start_index_map=(axis,),
            operand_batching_dims=others,
            start_indices_batching_dims=others,
        ),
        slice_sizes=(1,) * rank,
        unique_indices=True,
        indices_are_sorted=False,
        mode=GatherScatterMode.PROMISE_IN_BOUNDS,
        fill_value=None,
    )


def iota_along(shape: tuple[int, ...], axis: int):
    return registry["iota"].bind(dtype=INDEX, shape=tuple(shape), dimension=axis, sharding=None)


# ---------------------------------------------------------------------------------------------------------------------
# sort


def _sort_type(*operands, dimension, is_stable, num_keys):
    if not operands:
        raise TypeError("Sort requires at least one operand")
    shapes = [x.shape for x in operands]
    if any(s != shapes[0] for s in shapes):
        raise TypeError(f"Arguments to sort must have equal shapes, got: {' '.join(map(str, shapes))}")
    if not 0 <= dimension < operands[0].ndim:
        raise ValueError(f"sort: dimension {dimension} is out of bounds for operands of rank {operands[0].ndim}")
    if not 1 <= num_keys <= len(operands):
        raise ValueError(f"{num_keys=} must be between 1 and len(operand)={len(operands)}")
    for i, x in enumerate(operands[:num_keys]):
        if dtypes.is_extended(x.dtype):
            raise TypeError(f"sort: {dtypes.dtype_name(x.dtype)} has no order, so operand {i} cannot be a sort key.")
    return list(operands)


def _sort_jvp(primals, tangents, *, dimension, is_stable, num_keys):
    if all(type(t) is Zero for t in tangents):
        outs = sort.bind(*primals, dimension=dimension, is_stable=is_stable, num_keys=num_keys)
        return outs, [Zero.of(x) for x in outs]
    positions = iota_along(shape_of(primals[0]), dimension)
    *outs, order = sort.bind(*primals, positions, dimension=dimension, is_stable=is_stable, num_keys=num_keys)
    return outs, [
        Zero.of(x) if type(t) is Zero else take_along(t, order, dimension) for x, t in zip(outs, tangents, strict=True)
    ]


def _sort_batch(axis, args, dims, *, dimension, is_stable, num_keys):
    batched = {d for d in dims if d is not None}
    if len(batched) == 1 and None not in dims:
        (bdim,) = batched
    else:
        args, bdim = [to_front(x, d, axis.size) for x, d in zip(args, dims, strict=True)], 0
    outs = sort.bind(*args, dimension=past(dimension, bdim), is_stable=is_stable, num_keys=num_keys)
    return outs, [bdim] * len(outs)


def _ordered_alone(x: np.ndarray, axis: int) -> np.ndarray:
    """One real array, sorted; stable as to the signs of zeros, the only equal elements that can be told apart."""
    out = np.sort(widen(x), axis).astype(x.dtype, copy=False)
    if dtypes.issubdtype(x.dtype, np.floating) and np.any((x == 0) & np.signbit(x)):
        # The zeros stand together in the result: put them there in the order they came in.
        before, after = np.moveaxis(x, axis, -1), np.moveaxis(out, axis, -1)
        after[after == 0] = before[before == 0]
    return out


def _keys(x: np.ndarray) -> list[np.ndarray]:
    """Arrays that NumPy orders, the first of them deciding, as sort orders ``x``."""
    return [np.real(x), np.imag(x)] if x.dtype.kind == "c" else [widen(x)]


def _sort_reference(*operands, dimension, is_stable, num_keys):
    first = operands[0]
    if len(operands) == 1 and first.dtype.kind != "c":
        return [_ordered_alone(first, dimension)]
    keys = [k for x in operands[:num_keys] for k in _keys(x)]
    order = np.argsort(keys[0], dimension, kind="stable") if len(keys) == 1 else np.lexsort(keys[::-1], dimension)
    return [np.take_along_axis(x, order, dimension) for x in operands]


sort = primitive(
    "sort",
    _sort_type,
    jvp=_sort_jvp,
    transpose=Refusal("sort is not linear, so it has no transpose"),
    batch=_sort_batch,
    reference=_sort_reference,
    multiple_results=True,
)

# ---------------------------------------------------------------------------------------------------------------------
# top_k


def _top_k_type(operand, *, k, axis):
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool):
        raise TypeError(f"top_k: k must be an integer known when tracing, got {k!r}.")
    if k < 0:
        raise ValueError(f"k argument to top_k must be nonnegative, got {k}")
    if operand.ndim == 0:
        raise TypeError("top_k operand must have >= 1 dimension, got a scalar.")
    if dtypes.issubdtype(operand.dtype, np.complexfloating):
        raise ValueError("top_k is not compatible with complex inputs.")
    if dtypes.is_extended(operand.dtype):
        raise TypeError(f"top_k: {dtypes.dtype_name(operand.dtype)} has no order.")
    if not 0 <= axis < operand.ndim:
        raise ValueError(f"axis {axis} is out of bounds for array of dimension {operand.ndim}")
    if operand.shape[axis] < k:
        raise ValueError(
            f"k argument to top_k must be no larger than size along axis; got {k=} with shape={list(operand.shape)} "
            f"and {axis=}"
        )
    shape = (*operand.shape[:axis], int(k), *operand.shape[axis + 1 :])
    return [operand.update(shape=shape), ShapedArray(shape, INDEX)]


def _reading_jvp(get, axis_of):
    """jvp of a primitive that gives elements and the positions they came from."""

    def jvp(primals, tangents, **params):
        values, index = get().bind(*primals, **params)
        (t,) = tangents
        tangent = Zero.of(values) if type(t) is Zero else take_along(t, index, axis_of(primals[0], params))
        return [values, index], [tangent, Zero.of(index)]

    return jvp


def _top_k_batch(axis_, args, dims, *, k, axis):
    return top_k.bind(args[0], k=k, axis=past(axis, dims[0])), [dims[0]] * 2


def _descending_key(x: np.ndarray) -> np.ndarray:
    """Integers whose ascending order is the descending total order of ``x``."""
    if x.dtype == np.bool_:
        x = x.view(np.uint8)
    return ~total_order_key(widen(x))


def _largest(x: np.ndarray, k: int, axis: int) -> tuple[np.ndarray, np.ndarray]:
    n = x.shape[axis]
    key = _descending_key(x)
    if k == 1 and n:
        order = np.expand_dims(np.argmin(key, axis), axis)
    elif 0 < k < n // 8 and n > 64:
        # Find the k-th, then sort only what is not below it. All that equal it are candidates: the stable sort decides.
        order = _partial_order(key, k, axis)
    else:
        order = np.take(np.argsort(key, axis, kind="stable"), np.arange(k), axis)
    return np.take_along_axis(x, order, axis), order.astype(INDEX)


def _partial_order(key: np.ndarray, k: int, axis: int) -> np.ndarray:
    rows = np.moveaxis(key, axis, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    kth = np.partition(flat, k - 1, axis=-1)[:, k - 1]
    out = np.empty((flat.shape[0], k), np.int64)
    for i, row in enumerate(flat):
        candidates = np.flatnonzero(row <= kth[i])
        out[i] = candidates[np.argsort(row[candidates], kind="stable")[:k]]
    return np.moveaxis(out.reshape(*rows.shape[:-1], k), -1, axis)


top_k = primitive(
    "top_k",
    _top_k_type,
    jvp=_reading_jvp(lambda: top_k, lambda x, params: params["axis"]),
    transpose=Refusal("top_k is not linear, so it has no transpose"),
    batch=_top_k_batch,
    reference=lambda x, *, k, axis: list(_largest(x, k, axis)),
    multiple_results=True,
)

# ---------------------------------------------------------------------------------------------------------------------
# approx_top_k: here always exact, which satisfies every recall target


def _approx_axis(x, params) -> int:
    d = params["reduction_dimension"]
    return d + len(shape_of(x)) if d < 0 else d


def _approx_type(
    operand, *, k, reduction_dimension, recall_target, is_max_k, reduction_input_size_override, aggregate_to_topk
):
    name = "approx_max_k" if is_max_k else "approx_min_k"
    if k <= 0:
        raise ValueError(f"k must be positive, got {k}")
    if operand.ndim == 0:
        raise TypeError(f"{name} operand must have >= 1 dimension, got a scalar.")
    if not -operand.ndim <= reduction_dimension < operand.ndim:
        raise IndexError(f"{name}: {reduction_dimension=} is out of bounds for an operand of shape {operand.shape}")
    axis = reduction_dimension % operand.ndim
    n = operand.shape[axis]
    if n < k:
        raise ValueError(f"k must be smaller than the size of reduction_dim {n}, got {k}")
    if not dtypes.issubdtype(operand.dtype, np.floating):
        raise ValueError(f"operand must be a floating type, got {dtypes.dtype_name(operand.dtype)}")
    if not 0 < recall_target < 1:
        raise ValueError(f"{name}: recall_target must be in the range of (0.0, 1.0), got {recall_target}")
    size = k if aggregate_to_topk else n
    shape = (*operand.shape[:axis], size, *operand.shape[axis + 1 :])
    return [ShapedArray(shape, operand.dtype, operand.weak_type, operand.vma), ShapedArray(shape, INDEX)]


def _approx_reference(x, *, k, is_max_k, aggregate_to_topk, **params):
    axis = _approx_axis(x, params)
    size = k if aggregate_to_topk else x.shape[axis]
    if is_max_k:
        return list(_largest(x, size, axis))
    key = _keys(x)[0]
    order = np.take(np.argsort(key, axis, kind="stable"), np.arange(size), axis)
    return [np.take_along_axis(x, order, axis), order.astype(INDEX)]


def _approx_batch(axis_, args, dims, **params):
    (bdim,) = dims
    x = move_axis(args[0], bdim, 0)
    d = params["reduction_dimension"]
    params["reduction_dimension"] = d if d < 0 else d + 1
    return approx_top_k.bind(x, **params), [0, 0]


approx_top_k = primitive(
    "approx_top_k",
    _approx_type,
    jvp=_reading_jvp(lambda: approx_top_k, _approx_axis),
    transpose=Refusal("approx_top_k is not linear, so it has no transpose"),
    batch=_approx_batch,
    reference=_approx_reference,
    multiple_results=True,
)

__all__ = ["approx_top_k", "iota_along", "sort", "take_along", "top_k"]
