"""Picking elements by position or by mask: take, take_along_axis, nonzero, compress, choose."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.core.sizes import larger
from addax.core.trace import Tracer
from addax.lax.comparison import select
from addax.lax.indexing import gather
from addax.lax.shape import iota
from addax.numpy.base import as_operand, canonical_axis, check_array_like, no_out, promote_dtypes
from addax.numpy.creation import asarray, from_numpy, full_like, zeros
from addax.numpy.indexing import get, wrapped_index
from addax.numpy.joining import stack
from addax.numpy.shapes import broadcast_arrays, broadcast_to, expand_dims, ravel, reshape
from addax.ops.indexing import GatherDimensionNumbers, GatherScatterMode


def take(
    a, indices, axis: int | None = None, out=None, mode: str | None = None, unique_indices: bool = False,
    indices_are_sorted: bool = False, fill_value=None,
):  # fmt: skip
    """The elements (slices, along ``axis``) of ``a`` at ``indices``.

    Args:
      mode: what indices out of bounds give: "fill" (the default, as in JAX: nan, or the extreme integer), "clip",
        "wrap".

    >>> import addax.numpy as jnp
    >>> jnp.take(jnp.array([5, 6, 7]), jnp.array([2, 0])).tolist()
    [7, 5]
    """
    no_out("take", out)
    check_array_like("take", a, indices)
    a, indices = asarray(a), asarray(indices)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim)
    if indices.dtype == np.bool_:
        indices = indices.astype(np.int32)
    if not dtypes.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"take: indices must have an integer type, got {dtypes.dtype_name(indices.dtype)}")
    if indices.size and not a.shape[axis]:
        raise IndexError(
            f"take: cannot take {indices.size} elements from axis {axis} of shape {a.shape}, which is empty"
        )
    if mode == "raise":
        raise NotImplementedError("The 'raise' mode to take is not supported: a compiled program cannot raise.")
    if mode == "wrap":
        indices, mode = indices % a.shape[axis], "promise_in_bounds"
    return get(
        a, (slice(None),) * axis + (indices,), mode="fill" if mode is None else mode, fill_value=fill_value,
        unique_indices=unique_indices, indices_are_sorted=indices_are_sorted, wrap=mode != "clip",
    )  # fmt: skip


def _integer(name: str, indices) -> None:
    if not dtypes.issubdtype(indices.dtype, np.integer):
        raise TypeError(f"{name} indices must be of integer type, got {dtypes.dtype_name(indices.dtype)}")


def take_along_axis(
    arr, indices, axis: int | None = -1, mode: str | None = None, fill_value=None, *,
    wrap_negative_indices: bool | None = None,
):  # fmt: skip
    """The elements of ``arr`` at ``indices`` along ``axis``, matched up in the other dimensions.

    >>> import addax.numpy as jnp
    >>> x = jnp.array([[3, 1], [2, 4]])
    >>> jnp.take_along_axis(x, jnp.argsort(x, 1), 1).tolist()
    [[1, 3], [2, 4]]
    """
    check_array_like("take_along_axis", arr, indices)
    a, indices = asarray(arr), asarray(indices)
    _integer("take_along_axis", indices)
    if axis is None:
        if indices.ndim != 1:
            raise ValueError(f"take_along_axis: with axis=None indices must be 1-dimensional, got {indices.shape}")
        a, axis = ravel(a), 0
    if a.ndim != indices.ndim:
        raise ValueError(f"indices and arr must have the same number of dimensions; {indices.ndim} vs. {a.ndim}")
    axis = canonical_axis(axis, a.ndim)
    other = list(a.shape)
    for d, (m, n) in enumerate(zip(a.shape, indices.shape, strict=True)):
        if d != axis:
            if m != n and 1 not in (m, n):
                raise ValueError(
                    f"take_along_axis: arr and indices must broadcast in all dimensions but axis {axis}, got shapes "
                    f"{a.shape} and {indices.shape}"
                )
            other[d] = n if m == 1 else m
    shape = tuple(indices.shape[d] if d == axis else n for d, n in enumerate(other))
    indices = broadcast_to(indices, shape)
    whole = broadcast_to(a, tuple(other))
    others = tuple(d for d in range(a.ndim) if d != axis)  # paired one to one
    numbers = GatherDimensionNumbers(
        offset_dims=(), collapsed_slice_dims=(axis,), start_index_map=(axis,), operand_batching_dims=others,
        start_indices_batching_dims=others,
    )  # fmt: skip
    at = wrapped_index(indices, a.shape[axis], wrap_negative_indices is not False)
    if 0 in shape:
        return zeros(shape, a.dtype)
    return gather(
        whole, reshape(at, (*shape, 1)), numbers, (1,) * a.ndim,
        mode=GatherScatterMode.FILL_OR_DROP if mode is None else GatherScatterMode.from_any(mode), fill_value=fill_value,
    )  # fmt: skip


def nonzero(a, *, size: int | None = None, fill_value=None):
    """The positions of the elements that are not zero, one index array per dimension.

    Args:
      size: the length of the result: the positions are cut off or filled up to it. Needed in compiled functions, where
        the number of positions is not known.

    >>> import addax.numpy as jnp
    >>> [i.tolist() for i in jnp.nonzero(jnp.array([0, 3, 0, 5]))]
    [[1, 3]]
    """
    check_array_like("nonzero", a)
    a = asarray(a)
    if a.ndim == 0:
        raise ValueError(
            "Calling nonzero on 0d arrays is not allowed. Use addax.numpy.atleast_1d(scalar).nonzero() instead."
        )
    if isinstance(a, Tracer) and a.concrete() is None:
        if size is None:
            raise ConcretizationTypeError(
                a, "The size argument of nonzero must be given to use it in a traced function: the number of elements "
                "found is not known when the program is compiled. Where a mask would do, use addax.numpy.where(mask, x, y)."
            )  # fmt: skip
        return _traced_nonzero(a, size, fill_value)
    found = np.nonzero(np.asarray(a.concrete() if isinstance(a, Tracer) else a))
    dtype = dtypes.default_int_dtype()
    fills = _fills(fill_value, a.ndim)
    out = []
    for i, fill in zip(found, fills, strict=True):
        if size is not None:
            i = np.concatenate([i[:size], np.full(max(size - len(i), 0), fill)])
        out.append(from_numpy(i.astype(dtype)))
    return tuple(out)


def _fills(fill_value, ndim: int) -> tuple:
    if fill_value is None:
        return (0,) * ndim
    return tuple(fill_value) if isinstance(fill_value, tuple) else (int(fill_value),) * ndim


def _traced_nonzero(a, size: int, fill_value):
    """Each element found writes its position where its running count says; the others, and those beyond ``size``, nowhere."""
    flags = ravel(a != 0)
    n = flags.shape[0]
    count = flags.astype(np.int32).cumsum()
    slot = select(flags, count - 1, full_like(count, size))
    flat = zeros((size,), np.int32).at[slot].set(iota(np.dtype(np.int32), n), mode="drop")
    missing = np.arange(size, dtype=np.int32) >= (count[-1] if n else 0)
    out = []
    stride = n
    for m, fill in zip(a.shape, _fills(fill_value, a.ndim), strict=True):
        stride //= larger(m, 1)
        index = (flat // larger(stride, 1)) % larger(m, 1)
        fills = broadcast_to(asarray(fill, index.dtype), (size,))
        out.append(select(missing, fills, index).astype(dtypes.default_int_dtype()))
    return tuple(out)


def flatnonzero(a, *, size: int | None = None, fill_value=None):
    """The positions of the elements of the flattened array that are not zero."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a, *, size: int | None = None, fill_value=None):
    """The positions of the elements that are not zero, one row each."""
    a = asarray(a)
    if a.ndim == 0:
        return from_numpy(np.argwhere(np.asarray(a)))
    return stack(nonzero(a, size=size, fill_value=fill_value), 1)


def compress(condition, a, axis: int | None = None, *, size: int | None = None, fill_value=0, out=None):
    """The slices of ``a`` along ``axis`` where the vector ``condition`` holds."""
    no_out("compress", out)
    check_array_like("compress", condition, a)
    condition, a = asarray(condition).astype(bool), asarray(a)
    if condition.ndim != 1:
        raise ValueError("condition must be a 1D array")
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim)
    n = condition.shape[0]
    (index,) = nonzero(condition, size=size, fill_value=a.shape[axis] + n)
    return get(a, (slice(None),) * axis + (index,), mode="fill", fill_value=fill_value)


def extract(condition, arr, *, size: int | None = None, fill_value=0):
    """The elements of ``arr`` where ``condition`` holds, in a vector."""
    return compress(ravel(condition), ravel(arr), 0, size=size, fill_value=fill_value)


def choose(a, choices, out=None, mode: str = "raise"):
    """For each element the one of ``choices`` whose number stands in ``a``."""
    no_out("choose", out)
    check_array_like("choose", a, *choices)
    a = asarray(a)
    _integer("choose", a)
    n = len(choices)
    if mode == "raise":
        if isinstance(a, Tracer):
            raise ConcretizationTypeError(a, "choose with mode='raise' needs a known index; use mode='clip' or 'wrap'.")
        if ((np.asarray(a) < 0) | (np.asarray(a) >= n)).any():
            raise ValueError(f"invalid entry in choice array: indices must be in [0, {n})")
    elif mode == "wrap":
        a = a % n
    elif mode == "clip":
        a = a.clip(0, n - 1)
    else:
        raise ValueError(f"mode={mode!r} not understood. Must be 'raise', 'wrap', or 'clip'")
    index, *arrays = broadcast_arrays(a, *(asarray(c) for c in choices))
    return take_along_axis(stack(arrays), expand_dims(index, 0), 0, "clip")[0]


def ravel_multi_index(multi_index: Sequence, dims: Sequence[int], mode: str = "raise", order: str = "C", *, dtype=None):
    """Index arrays, one per dimension of an array of shape ``dims``, as positions in the flattened array.

    Args:
      mode: what indices out of bounds mean: "raise" (not in compiled functions), "wrap", "clip", or "ignore".
      order: "C", the last dimension runs fastest; "F", the first.
      dtype: of the result, by default that of the indices, or the default integer.

    >>> import addax.numpy as jnp
    >>> jnp.ravel_multi_index((jnp.array([0, 1]), jnp.array([1, 2])), (2, 3)).tolist()
    [1, 5]
    """
    if len(multi_index) != len(dims):
        raise ValueError(f"ravel_multi_index: {len(multi_index)} index arrays for {len(dims)} dimensions")
    dims = tuple(operator.index(d) for d in dims)
    check_array_like("ravel_multi_index", *multi_index)
    if mode not in ("raise", "wrap", "clip", "ignore"):
        raise ValueError(f"ravel_multi_index: invalid mode={mode!r}. Expected 'raise', 'wrap', 'clip', or 'ignore'.")
    if order not in ("C", "F"):
        raise ValueError(f"ravel_multi_index: invalid order={order!r}. Expected 'C' or 'F'")
    arrays = [asarray(i) for i in promote_dtypes(*(as_operand(i) for i in multi_index))]
    common = arrays[0].dtype if arrays else dtypes.default_int_dtype()
    dtype = common if dtype is None else dtypes.canonicalize_user_dtype(dtype, "ravel_multi_index")
    for kind in (common, dtype):
        if not dtypes.issubdtype(kind, np.integer):
            raise ValueError(f"ravel_multi_index: indices must be integers, got {dtypes.dtype_name(kind)}")
    if math.prod(dims) > int(dtypes.iinfo(dtype).max):
        raise ValueError(
            f"ravel_multi_index: {dtypes.dtype_name(dtype)} cannot hold the positions of an array of shape {dims}: give a "
            "wider dtype."
        )
    if mode == "raise":
        for i, n in zip(arrays, dims, strict=True):
            if isinstance(i, Tracer) and i.concrete() is None:
                raise ConcretizationTypeError(
                    i, "ravel_multi_index checks its indices, which a compiled function cannot: use mode='wrap' or "
                    "mode='clip'."
                )  # fmt: skip
            value = np.asarray(i.concrete() if isinstance(i, Tracer) else i)
            if ((value < 0) | (value >= n)).any():
                raise ValueError(f"ravel_multi_index: invalid entry in coordinates array: indices must be in [0, {n})")
    elif mode == "clip":
        arrays = [i.clip(0, n - 1) for i, n in zip(arrays, dims, strict=True)]
    elif mode == "wrap":
        arrays = [i % n for i, n in zip(arrays, dims, strict=True)]
    out: Any = asarray(0, dtype)
    stride = 1
    for i, n in list(zip(arrays, dims, strict=True))[:: -1 if order == "C" else 1]:
        out = out + asarray(i, dtype) * stride
        stride *= n
    return out


def unravel_index(indices, shape):
    """Positions in the flattened array as one index array per dimension (clipped to the shape).

    >>> import addax.numpy as jnp
    >>> [i.tolist() for i in jnp.unravel_index(jnp.array([1, 5]), (2, 3))]
    [[0, 1], [1, 2]]
    """
    check_array_like("unravel_index", indices)
    flat = asarray(indices)
    _integer("unravel_index", flat)
    shape = tuple(shape) if np.ndim(shape) else (shape,)
    out = []
    for n in shape[::-1]:
        n = max(n, 1)
        out.append(flat % n)
        flat = flat // n
    # What is left is 0, or -1 if counted from the end, for positions within the shape.
    last = [max(n - 1, 0) for n in shape[::-1]]
    out = [select(flat > 0, full_like(i, n), select(flat < -1, i * 0, i)) for i, n in zip(out, last, strict=True)]
    return tuple(out[::-1])


__all__ = [
    "argwhere", "choose", "compress", "extract", "flatnonzero", "nonzero", "ravel_multi_index", "take",
    "take_along_axis", "unravel_index",
]  # fmt: skip
