"""Arrays of another length with the same elements: insert, delete, resize, trim_zeros."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.core.trace import Tracer
from addax.lax import slicing as lax_slicing
from addax.numpy.base import as_array, canonical_axes, canonical_axis, canonical_shape, check_array_like, known
from addax.numpy.creation import asarray, zeros
from addax.numpy.joining import concatenate, tile
from addax.numpy.shapes import broadcast_to, moveaxis, ravel, reshape
from addax.numpy.sorting import argsort, sort


def insert(arr, obj, values, axis: int | None = None) -> Any:
    """``values`` put into ``arr`` along ``axis`` (of the flattened array by default) before the positions ``obj``.

    Args:
      obj: a position, several (they count in ``arr``, before anything is inserted), or a slice.
      values: converted to the dtype of ``arr``; broadcast to one slice per position. A single position takes as many
        slices as ``values`` has.

    >>> import addax.numpy as jnp
    >>> jnp.insert(jnp.array([1, 2, 3]), 1, 9).tolist()
    [1, 9, 2, 3]
    """
    check_array_like("insert", arr, values, *([] if isinstance(obj, slice) else [obj]))
    arr, values = as_array(arr), as_array(values)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = canonical_axis(axis, arr.ndim)
    n = arr.shape[axis]
    arr = moveaxis(arr, axis, 0)
    where: Any = np.arange(*obj.indices(n)) if isinstance(obj, slice) else as_array(obj)
    if not dtypes.issubdtype(where.dtype, np.integer):
        raise ValueError(f"insert: obj must be integers, got {dtypes.dtype_name(where.dtype)}: use nonzero(mask)[0]")
    if where.ndim > 1:
        raise ValueError(f"insert: obj must be a scalar or one-dimensional, got shape {where.shape}")
    # A single position takes values as they lie, `axis` in front; several take one slice each, laid out like `arr`.
    values = reshape(values, (1,) * (arr.ndim - values.ndim) + values.shape)
    if where.ndim:
        values = moveaxis(values, axis, 0)
    count = values.shape[0] if where.size == 1 else where.size
    values = asarray(broadcast_to(values, (count, *arr.shape[1:])), arr.dtype)
    where = asarray(where, dtypes.default_int_dtype())
    where = (where + n * (where < 0).astype(where.dtype)).clip(0, n)
    where = broadcast_to(where.reshape(-1), (count,))
    # Each insertion moves those behind it by one place.
    order = argsort(where)
    places = where[order] + np.arange(count, dtype=np.int32)
    free = asarray(np.ones(n + count, np.int32)).at[places].set(0)
    old = (free.cumsum() - 1).clip(0, max(n - 1, 0))
    out = arr[old] if n else zeros((count, *arr.shape[1:]), arr.dtype)
    out = out.at[places].set(values[order], unique_indices=True)
    return moveaxis(out, 0, axis)


def delete(arr, obj, axis: int | None = None, *, assume_unique_indices: bool = False) -> Any:
    """``arr`` without the slices at ``obj`` along ``axis`` (of the flattened array by default).

    Args:
      obj: a position, several, a slice, or a boolean mask; a concrete value, since it decides the size of the result.
      assume_unique_indices: the promise that no position occurs twice: then an array of positions may be traced.

    Raises:
      ConcretizationTypeError: for traced positions without that promise.

    >>> import addax.numpy as jnp
    >>> jnp.delete(jnp.array([5, 6, 7]), 1).tolist()
    [5, 7]
    """
    check_array_like("delete", arr, *([] if isinstance(obj, slice) else [obj]))
    arr = as_array(arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = canonical_axis(axis, arr.ndim)
    n = arr.shape[axis]
    before = (slice(None),) * axis
    if isinstance(obj, slice):
        gone = np.arange(n)[obj]
        return _keep(arr, before, np.setdiff1d(np.arange(n), gone))
    if isinstance(obj, Tracer) and obj.concrete() is None:
        if obj.ndim == 0 or not assume_unique_indices or obj.dtype == np.bool_:
            raise ConcretizationTypeError(
                obj, "The obj argument of delete decides the size of the result, so it must be concrete. For a traced "
                "array of positions without repetitions, give assume_unique_indices=True."
            )  # fmt: skip
        _check_positions(obj.dtype)
        # The k-th kept element comes after the removed ones that stand before it: r_j - j of them are kept before r_j.
        obj = ravel(obj)
        gone = sort((obj + n * (obj < 0).astype(obj.dtype)).clip(0, n))
        m = obj.shape[0]
        k = np.arange(max(n - m, 0), dtype=np.int32)
        shift = (k[:, None] >= (gone - np.arange(m, dtype=np.int32))[None, :]).sum(1)
        return arr[(*before, k + shift)]
    at = np.asarray(obj.concrete() if isinstance(obj, Tracer) else obj)
    if at.dtype == np.bool_:
        if at.shape != (n,):
            raise ValueError(
                f"delete: a boolean obj must be one-dimensional with the length of the axis ({n}), got shape {at.shape}"
            )
        return _keep(arr, before, np.nonzero(~at)[0])
    _check_positions(at.dtype)
    if at.ndim == 0:
        at = np.asarray(canonical_axis(int(at), n, "position"))
    bad = at[(at < -n) | (at >= n)] if not assume_unique_indices else at[:0]
    if bad.size:
        raise IndexError(f"delete: index {bad.flat[0]} is out of bounds for axis {axis} with size {n}")
    gone = np.where(at < 0, at + n, at)
    return _keep(arr, before, np.setdiff1d(np.arange(n), gone))


def _check_positions(dtype) -> None:
    if not dtypes.issubdtype(dtype, np.integer):
        raise ValueError(f"delete: obj must be integer or bool, got dtype {dtypes.dtype_name(dtype)}")


def _keep(arr, before: tuple, index: np.ndarray):
    """The slices at ``index``: joined from whole ranges where these are few."""
    axis = len(before)
    cuts = np.flatnonzero(np.diff(index) != 1) + 1
    if len(index) and len(cuts) < 8:
        bounds = [(int(run[0]), int(run[-1]) + 1) for run in np.split(index, cuts)]
        parts = [lax_slicing.slice_in_dim(arr, a, b, axis=axis) for a, b in bounds]
        return concatenate(parts, axis)
    return arr[(*before, index.astype(np.int32))]


def resize(a, new_shape) -> Any:
    """The elements of ``a``, over and over again, in the shape ``new_shape``; zeros if there are none.

    >>> import addax.numpy as jnp
    >>> jnp.resize(jnp.array([1, 2, 3]), (2, 2)).tolist()
    [[1, 2], [3, 1]]
    """
    check_array_like("resize", a)
    try:
        shape = canonical_shape(new_shape)
    except ValueError:
        raise ValueError(f"resize: all elements of new_shape must be non-negative, got {new_shape}") from None
    a = ravel(as_array(a))
    size = math.prod(shape)
    if a.size == 0:
        return zeros(shape, a.dtype)
    if size > a.size:
        a = tile(a, -(-size // a.size))
    return reshape(a[:size], shape)


def trim_zeros(filt, trim: str = "fb", axis: int | Sequence[int] | None = None) -> Any:
    """``filt`` without the slices of zeros at its front ("f" in ``trim``) and back ("b").

    Args:
      axis: where to trim, by default along all axes.

    Raises:
      ConcretizationTypeError: in compiled functions: the size of the result depends on the values.

    >>> import addax.numpy as jnp
    >>> jnp.trim_zeros(jnp.array([0, 0, 1, 0, 2, 0])).tolist()
    [1, 0, 2]
    """
    check_array_like("trim_zeros", filt)
    array = as_array(filt)
    value = known(array)
    if value is None:
        raise ConcretizationTypeError(
            array, "It arose in the filt argument of trim_zeros: the size of the result depends on its values."
        )  # fmt: skip
    if array.ndim == 0:
        return array
    front, back = "f" in trim.lower(), "b" in trim.lower()
    index = [slice(None)] * array.ndim
    found = np.nonzero(value)
    for d in canonical_axes(axis, array.ndim):
        at = found[d]
        n = array.shape[d]
        start, stop = (int(at.min()), int(at.max()) + 1) if at.size else ((n, n) if front else (0, 0))
        index[d] = slice(start if front else 0, stop if back else n)
    return array[tuple(index)]


__all__ = ["delete", "insert", "resize", "trim_zeros"]
