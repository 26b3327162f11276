"""Primitives that read or write a window of an array: ``slice`` and ``pad``, ``dynamic_slice`` and
``dynamic_update_slice``. In each pair the first is (part of) the transpose of the second.

The windows of the dynamic two start where the program says; a start that would let the window stick out is clamped so
that it fits, as XLA does. ``slice`` is also a Python name, so in this file it is `slice_p` and the built-in `slice`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.ops import rules
from addax.ops.indexing import GatherDimensionNumbers, GatherScatterMode, gather
from addax.ops.rules import (
    LINEAR,
    Zero,
    dtype_of,
    first_linear_jvp,
    instantiate,
    is_linear,
    primitive,
    reduce_sum,
    registry,
    shape_of,
    to_front,
    zeros,
)
from addax.ops.scatter import ScatterDimensionNumbers, scatter
from addax.ops.shape import around, check_sizes

# ---------------------------------------------------------------------------------------------------------------------
# slice


def strided_size(start: int, limit: int, stride: int) -> int:
    """Number of elements of ``range(start, limit, stride)``, for ``start <= limit``."""
    return -(-(limit - start) // stride)


def spread_size(n: int, interior: int) -> int:
    """Size of ``n`` elements with ``interior`` more between each two."""
    return n + max(n - 1, 0) * interior


def _slice_type(operand, *, start_indices, limit_indices, strides):
    for what, values in (("start_indices", start_indices), ("limit_indices", limit_indices), ("strides", strides)):
        if values is None:
            continue
        if len(values) != operand.ndim:
            raise TypeError(
                f"slice: {what} must have one entry per dimension of the operand, got {what} {values} for operand "
                f"shape {operand.shape}."
            )
        check_sizes("slice", what, values)
    for start, limit, size in zip(start_indices, limit_indices, operand.shape, strict=True):
        if limit > size:
            raise TypeError(
                f"slice: limit_indices must be at most the operand shape, got limit_indices {limit_indices} for "
                f"operand shape {operand.shape}."
            )
        if start > limit:
            raise TypeError(
                f"slice: limit_indices must be at least start_indices, got start_indices {start_indices} and "
                f"limit_indices {limit_indices}."
            )
    if strides is None:
        return operand.update(shape=tuple(b - a for a, b in zip(start_indices, limit_indices, strict=True)))
    if any(s == 0 for s in strides):
        raise TypeError(f"slice: strides must be positive, got {strides}.")
    return operand.update(shape=tuple(map(strided_size, start_indices, limit_indices, strides)))


def _slice_transpose(ct, operand, *, start_indices, limit_indices, strides):
    shape = operand.aval.shape
    config = []
    for d, (n, start) in enumerate(zip(shape, start_indices, strict=True)):
        interior = 0 if strides is None else strides[d] - 1
        config.append((start, n - start - spread_size(shape_of(ct)[d], interior), interior))
    return [pad.bind(ct, _scalar_zero(ct), padding_config=tuple(config))]


def _slice_batch(axis, args, dims, *, start_indices, limit_indices, strides):
    (bdim,) = dims
    out = slice_p.bind(
        args[0],
        start_indices=around(start_indices, bdim, 0),
        limit_indices=around(limit_indices, bdim, axis.size),
        strides=None if strides is None else around(strides, bdim, 1),
    )
    return out, bdim


def _slice_reference(x, *, start_indices, limit_indices, strides):
    strides = strides or (1,) * x.ndim
    return x[tuple(map(slice, start_indices, limit_indices, strides))]


slice_p = primitive(
    "slice", _slice_type, jvp=LINEAR, transpose=_slice_transpose, batch=_slice_batch, reference=_slice_reference
)


# ---------------------------------------------------------------------------------------------------------------------
# pad


def _scalar_zero(x):
    return zeros(get_aval(x).update(shape=()))


def _pad_type(operand, padding_value, *, padding_config):
    if operand.dtype != padding_value.dtype:
        raise TypeError(
            f"pad: operand and padding_value must have the same dtype, got {dtypes.dtype_name(operand.dtype)} and "
            f"{dtypes.dtype_name(padding_value.dtype)}. Convert one with lax.convert_element_type."
        )
    if padding_value.shape:
        raise ValueError(f"pad: padding_value must be a scalar, got one of shape {padding_value.shape}.")
    if len(padding_config) != operand.ndim:
        raise ValueError(
            "pad: padding_config must have one (low, high, interior) entry per dimension of the operand, got "
            f"padding_config {padding_config} for operand shape {operand.shape}."
        )
    if any(len(entry) != 3 for entry in padding_config):
        raise ValueError(f"pad: entries of padding_config must be triples (low, high, interior), got {padding_config}.")
    if any(interior < 0 for _, _, interior in padding_config):
        raise ValueError(f"pad: interior padding must be nonnegative, got padding_config {padding_config}.")
    shape = tuple(
        low + high + spread_size(n, interior)
        for n, (low, high, interior) in zip(operand.shape, padding_config, strict=True)
    )
    if any(n < 0 for n in shape):
        raise ValueError(
            f"pad: negative padding removes more than there is; got result shape {shape} for padding_config "
            f"{padding_config} and operand shape {operand.shape}."
        )
    return ShapedArray(shape, operand.dtype, operand.weak_type and padding_value.weak_type, operand.vma)


def _pad_transpose(ct, operand, padding_value, *, padding_config):
    # The elements of the operand, taken out of ct; those that negative padding cut off get zero.
    uncropped = pad.bind(
        ct, _scalar_zero(ct), padding_config=tuple((-low, -high, 0) for low, high, _ in padding_config)
    )
    if any(interior for _, _, interior in padding_config):
        inner = slice_p.bind(
            uncropped,
            start_indices=(0,) * len(padding_config),
            limit_indices=shape_of(uncropped),
            strides=tuple(interior + 1 for _, _, interior in padding_config),
        )
    else:
        inner = uncropped
    if not is_linear(padding_value):
        return [inner, None]
    axes = range(len(padding_config))
    around_ct = registry["sub"].bind(reduce_sum(ct, axes), reduce_sum(inner, axes))
    return [inner if is_linear(operand) else None, around_ct]


def _pad_batch(axis, args, dims, *, padding_config):
    operand, value = args
    bdim, value_dim = dims
    if bdim is None:
        operand, bdim = to_front(operand, None, axis.size), 0
    config = around(padding_config, bdim, (0, 0, 0))
    if value_dim is None:
        return pad.bind(operand, value, padding_config=config), bdim
    # One padding value per example: pad with anything, then replace what is not of the operand.
    anything = _any_element(value) if dtypes.is_extended(dtype_of(value)) else _scalar_zero(value)
    padded = pad.bind(operand, anything, padding_config=config)
    inside = pad.bind(rules.full(operand.shape, True, np.bool_), np.False_, padding_config=config)
    values = rules.broadcast_in_dim(value, padded.shape, (bdim,))
    return registry["select_n"].bind(inside, values, padded), bdim


def _any_element(values):
    """Some element of a vector of keys, which have no zero."""
    if not shape_of(values)[0]:
        return registry["empty"].bind(shape=(), dtype=dtype_of(values), out_sharding=None)
    first = slice_p.bind(values, start_indices=(0,), limit_indices=(1,), strides=None)
    return rules.reshape(first, ())


def _pad_reference(x, value, *, padding_config):
    shape = [low + high + spread_size(n, interior) for n, (low, high, interior) in zip(x.shape, padding_config)]
    out = np.full(shape, value, x.dtype)
    source, target = [], []
    for n, size, (low, _, interior) in zip(x.shape, shape, padding_config):
        step = interior + 1
        first = max(0, -(low // step))  # the first and the last element that lands in the result
        last = min(n, (size - 1 - low) // step + 1) if size else first
        source.append(slice(first, max(first, last)))
        target.append(slice(low + first * step, max(0, low + (last - 1) * step + 1) if last > first else 0, step))
    if all(s.stop > s.start for s in source):
        out[tuple(target)] = x[tuple(source)]
    return out


pad = primitive("pad", _pad_type, jvp=LINEAR, transpose=_pad_transpose, batch=_pad_batch, reference=_pad_reference)


# ---------------------------------------------------------------------------------------------------------------------
# dynamic_slice


def check_starts(name: str, rank: int, starts: Sequence) -> None:
    if len(starts) != rank:
        raise TypeError(f"{name}: there must be one start index per dimension, got {len(starts)} for rank {rank}.")
    if any(i.shape for i in starts):
        raise TypeError(f"{name}: start indices must be scalars, got {', '.join(i.str_short() for i in starts)}.")
    if any(i.dtype != starts[0].dtype or not dtypes.issubdtype(i.dtype, np.integer) for i in starts):
        raise TypeError(
            f"index arguments to {name} must be integers of the same type, got: "
            f"{', '.join(dtypes.dtype_name(i.dtype) for i in starts)}"
        )


def clamped(starts: Sequence, window: Sequence[int], shape: Sequence[int]) -> list[int]:
    """Starts moved so that the window lies inside the array."""
    return [min(max(int(i), 0), n - w) for i, w, n in zip(starts, window, shape, strict=True)]


def _dynamic_slice_type(operand, *starts, slice_sizes):
    name = "dynamic_slice"
    check_starts(name, operand.ndim, starts)
    check_sizes(name, "slice_sizes", slice_sizes)
    if len(slice_sizes) != operand.ndim:
        raise TypeError(
            f"{name}: slice_sizes must have one entry per dimension of the operand, got slice_sizes {slice_sizes} for "
            f"operand shape {operand.shape}."
        )
    if any(w > n for w, n in zip(slice_sizes, operand.shape, strict=True)):
        raise TypeError(
            f"{name}: slice_sizes must be at most the operand shape, got slice_sizes {slice_sizes} for operand shape "
            f"{operand.shape}."
        )
    return operand.update(shape=slice_sizes)


def _dynamic_slice_transpose(ct, operand, *starts, slice_sizes):
    return [dynamic_update_slice.bind(zeros(operand.aval), ct, *starts), *(None for _ in starts)]


def batch_starts(axis, starts: Sequence, dims: Sequence[int | None]) -> tuple[Any, int | None]:
    """Start indices as one array ``[batch, rank]`` (or ``[rank]`` if none is batched) for gather and scatter."""
    batch = () if all(d is None for d in dims) else (axis.size,)
    columns = [
        rules.broadcast_in_dim(i, (*batch, 1), () if d is None else (0,)) for i, d in zip(starts, dims, strict=True)
    ]
    if not columns:
        return np.zeros((0,), np.int32), None
    if len(columns) == 1:
        return columns[0], 0 if batch else None
    return registry["concatenate"].bind(*columns, dimension=len(batch)), 0 if batch else None


def _with_batch_start(starts: Sequence, bdim: int) -> tuple:
    """Starts of the whole batch's window: the examples', and 0 along the batch dimension."""
    dtype = dtype_of(starts[0]) if starts else np.int32
    return around(starts, bdim, np.zeros((), dtype)[()])


def _dynamic_slice_batch(axis, args, dims, *, slice_sizes):
    operand, *starts = args
    bdim, *start_dims = dims
    if all(d is None for d in start_dims):
        sizes = around(slice_sizes, bdim, axis.size)
        return dynamic_slice.bind(operand, *_with_batch_start(starts, bdim), slice_sizes=sizes), bdim
    indices, indices_dim = batch_starts(axis, starts, start_dims)
    every = tuple(range(len(slice_sizes)))
    return gather.batch(
        axis,
        (operand, indices),
        (bdim, indices_dim),
        dimension_numbers=GatherDimensionNumbers(offset_dims=every, collapsed_slice_dims=(), start_index_map=every),
        slice_sizes=slice_sizes,
        unique_indices=True,
        indices_are_sorted=True,
        mode=GatherScatterMode.CLIP,
        fill_value=None,
    )


def _dynamic_slice_reference(x, *starts, slice_sizes):
    starts = clamped(starts, slice_sizes, x.shape)
    return x[tuple(slice(i, i + w) for i, w in zip(starts, slice_sizes, strict=True))]


dynamic_slice = primitive(
    "dynamic_slice",
    _dynamic_slice_type,
    transpose=_dynamic_slice_transpose,
    batch=_dynamic_slice_batch,
    reference=_dynamic_slice_reference,
)
dynamic_slice.jvp = first_linear_jvp(dynamic_slice)


# ---------------------------------------------------------------------------------------------------------------------
# dynamic_update_slice


def _dynamic_update_slice_type(operand, update, *starts):
    name = "dynamic_update_slice"
    check_starts(name, operand.ndim, starts)
    if update.ndim != operand.ndim:
        raise TypeError(
            f"{name}: the update must have the rank of the operand, got update shape {update.shape} for operand shape "
            f"{operand.shape}."
        )
    if any(w > n for w, n in zip(update.shape, operand.shape, strict=True)):
        raise TypeError(
            f"{name}: the update must fit into the operand, got update shape {update.shape} for operand shape "
            f"{operand.shape}."
        )
    if update.dtype != operand.dtype:
        raise TypeError(
            f"lax.{name} requires operand and update to have the same dtypes, got {dtypes.dtype_name(operand.dtype)}, "
            f"{dtypes.dtype_name(update.dtype)}."
        )
    weak = all(a.weak_type for a in (operand, update, *starts))
    return operand if weak == operand.weak_type else operand.update(weak_type=weak)


def _dynamic_update_slice_jvp(primals, tangents):
    operand, update, *starts = primals
    out = dynamic_update_slice.bind(operand, update, *starts)
    if type(tangents[0]) is Zero and type(tangents[1]) is Zero:
        return out, Zero.of(out)
    return out, dynamic_update_slice.bind(instantiate(tangents[0]), instantiate(tangents[1]), *starts)


def _dynamic_update_slice_transpose(ct, operand, update, *starts):
    window = update.aval.shape if is_linear(update) else shape_of(update)
    operand_ct = update_ct = None
    if is_linear(operand):
        operand_ct = dynamic_update_slice.bind(ct, zeros(ShapedArray(window, dtype_of(ct))), *starts)
    if is_linear(update):
        update_ct = dynamic_slice.bind(ct, *starts, slice_sizes=window)
    return [operand_ct, update_ct, *(None for _ in starts)]


def _dynamic_update_slice_batch(axis, args, dims):
    operand, update, *starts = args
    bdim, update_dim, *start_dims = dims
    if all(d is None for d in start_dims):
        whole = to_front(operand, bdim, axis.size)
        updates = to_front(update, update_dim, axis.size)
        return dynamic_update_slice.bind(whole, updates, *_with_batch_start(starts, 0)), 0
    indices, indices_dim = batch_starts(axis, starts, start_dims)
    every = tuple(range(len(get_aval(operand).shape) - (bdim is not None)))
    return scatter.batch(
        axis,
        (operand, indices, update),
        (bdim, indices_dim, update_dim),
        update_jaxpr=None,
        update_consts=(),
        dimension_numbers=ScatterDimensionNumbers(
            update_window_dims=every, inserted_window_dims=(), scatter_dims_to_operand_dims=every
        ),
        indices_are_sorted=True,
        unique_indices=True,
        mode=GatherScatterMode.CLIP,
    )


def _dynamic_update_slice_reference(x, update, *starts):
    starts = clamped(starts, update.shape, x.shape)
    out = np.array(x)
    out[tuple(slice(i, i + w) for i, w in zip(starts, update.shape, strict=True))] = update
    return out


dynamic_update_slice = primitive(
    "dynamic_update_slice",
    _dynamic_update_slice_type,
    jvp=_dynamic_update_slice_jvp,
    transpose=_dynamic_update_slice_transpose,
    batch=_dynamic_update_slice_batch,
    reference=_dynamic_update_slice_reference,
)

__all__ = ["dynamic_slice", "dynamic_update_slice", "pad", "slice_p"]
