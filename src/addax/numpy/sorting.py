"""Sorting and searching: sort, argsort, lexsort, searchsorted, partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.sizes import is_symbolic
from addax.interpreters.values import convert
from addax.lax.comparison import select
from addax.lax.shape import broadcasted_iota, rev
from addax.lax.sort import sort as lax_sort
from addax.numpy.base import as_operand, canonical_axis, check_array_like, promote_dtypes
from addax.numpy.creation import asarray, full_like, zeros, zeros_like
from addax.numpy.indexing import get
from addax.numpy.shapes import ravel


def sort(a, axis: int | None = -1, *, kind=None, order=None, stable: bool = True, descending: bool = False) -> Any:
    """The elements along ``axis`` in increasing order; nan last.

    >>> import addax.numpy as jnp
    >>> jnp.sort(jnp.array([3, 1, 2])).tolist()
    [1, 2, 3]
    """
    _refuse("sort", kind, order)
    check_array_like("sort", a)
    a = asarray(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim)
    out = lax_sort(a, dimension=axis, is_stable=stable)
    return rev(out, (axis,)) if descending else out


def _refuse(name: str, kind, order) -> None:
    if kind is not None:
        raise TypeError(f"'kind' argument to {name} is not supported: write stable=True or stable=False.")
    if order is not None:
        raise TypeError(f"'order' argument to {name} is not supported: arrays have no named fields.")


def argsort(
    a, axis: int | None = -1, *, kind=None, order=None, stable: bool = True, descending: bool = False, dtype=None
) -> Any:
    """The positions of the elements along ``axis`` in increasing order; equal elements in their own order.

    Args:
      dtype: of the positions, by default int.

    >>> import addax.numpy as jnp
    >>> jnp.argsort(jnp.array([3, 1, 2])).tolist()
    [1, 2, 0]
    """
    _refuse("argsort", kind, order)
    check_array_like("argsort", a)
    a = asarray(a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim)
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "argsort")
    if (
        dtypes.issubdtype(dtype, np.integer)
        and not is_symbolic(a.shape[axis])
        and (a.shape[axis] - 1 > int(dtypes.iinfo(dtype).max))
    ):
        raise ValueError(f"argsort: {dtypes.dtype_name(dtype)} cannot hold the positions of {a.shape[axis]} elements")
    positions = broadcasted_iota(dtype, a.shape, axis)
    if descending:
        # Turned around before and after, so that equal elements stay in their own order.
        _, index = lax_sort((rev(a, (axis,)), rev(positions, (axis,))), dimension=axis, is_stable=stable, num_keys=1)
        return rev(index, (axis,))
    return lax_sort((a, positions), dimension=axis, is_stable=stable, num_keys=1)[1]


def lexsort(keys: Sequence, axis: int = -1):
    """The positions that sort by the last of ``keys``, then by the one before it, and so on."""
    keys = [asarray(k) for k in keys]
    if not keys:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    if len({k.shape for k in keys}) > 1:
        raise ValueError(f"all keys need to be the same shape, got {', '.join(str(k.shape) for k in keys)}")
    if keys[0].ndim == 0:
        return asarray(0, dtypes.default_int_dtype())
    axis = canonical_axis(axis, keys[0].ndim)
    positions = broadcasted_iota(dtypes.default_int_dtype(), keys[0].shape, axis)
    return lax_sort((*keys[::-1], positions), dimension=axis, num_keys=len(keys))[-1]


def partition(a, kth: int, axis: int = -1):
    """``a`` so arranged that element ``kth`` stands where sorting puts it, smaller ones before and others after."""
    check_array_like("partition", a)
    a = asarray(a)
    canonical_axis(kth, a.shape[canonical_axis(axis, a.ndim)], "kth")
    return sort(a, axis)


def argpartition(a, kth: int, axis: int = -1):
    """The positions of the elements of `partition`, int32."""
    check_array_like("argpartition", a)
    a = asarray(a)
    canonical_axis(kth, a.shape[canonical_axis(axis, a.ndim)], "kth")
    return argsort(a, axis, dtype=np.int32)


def sort_complex(a):
    """The elements along the last axis, by real and then imaginary part, as complex numbers."""
    out = sort(a)
    return convert(out, dtypes.to_complex_dtype(out.dtype))


_METHODS = "compare_all", "scan", "scan_unrolled", "sort"


def searchsorted(a, v, side: str = "left", sorter=None, *, method: str = "scan"):
    """Where to insert ``v`` into the sorted vector ``a``: before equal elements ("left") or after ("right").

    Each insertion point is found by bisection, all of them together, whichever ``method`` is named ("scan",
    "scan_unrolled", "sort", "compare_all").

    >>> import addax.numpy as jnp
    >>> jnp.searchsorted(jnp.array([1, 3, 5]), jnp.array([0, 3, 9])).tolist()
    [0, 1, 3]
    """
    if side not in ("left", "right"):
        raise ValueError(f"{side!r} is an invalid value for keyword 'side'. Expected one of ['left', 'right'].")
    if method not in _METHODS:
        raise ValueError(f"invalid argument method={method!r}, expected one of {list(_METHODS)}")
    check_array_like("searchsorted", a, v)
    a, v = promote_dtypes(as_operand(a), as_operand(v))
    a, v = asarray(a), asarray(v)
    if a.ndim != 1:
        raise ValueError(f"a should be 1-dimensional, got shape {a.shape}")
    if sorter is not None:
        a = a[asarray(sorter)]
    n = a.shape[0]
    if is_symbolic(n):  # compare with all: how often to halve depends on the size
        after = _before(a, v[..., None]) if side == "left" else ~_before(v[..., None], a)
        return after.sum(-1, dtype=np.int32)
    position = zeros(v.shape, np.int32)
    # The answer is in [position, position + step): at first in [0, step) or [n - step + 1, n + 1), of which step, a power of
    # two, is more than half; then each comparison halves the range. No comparison can read beside the array.
    step = 1 << max(n.bit_length() - 1, 0)
    move = n - step + 1
    while n and step:
        at = get(a, (position + (step - 1),), mode="promise_in_bounds", wrap=False)
        after = _before(at, v) if side == "left" else ~_before(v, at)
        position = position + select(after, full_like(position, move), zeros_like(position))
        step //= 2
        move = step
    return position


def _before(x, y):
    """x < y in the order of sorting, where nan is last."""
    less = x < y
    if dtypes.issubdtype(x.dtype, np.inexact):
        less = less | ((y != y) & (x == x))
    return less


def digitize(x, bins, right: bool = False, *, method: str | None = None):
    """The number of the bin each element of ``x`` falls into, for bins given by increasing or decreasing edges."""
    check_array_like("digitize", x, bins)
    bins = asarray(bins)
    if bins.ndim != 1:
        raise ValueError(f"digitize: bins must be 1-dimensional, got shape {bins.shape}")
    if bins.shape[0] == 0:
        return asarray(x).astype(np.int32) * 0
    side = "right" if not right else "left"
    method = "scan" if method is None else method
    rising = searchsorted(bins, x, side, method=method)
    falling = bins.shape[0] - searchsorted(bins[::-1], x, side, method=method)
    increasing = (bins[-1] >= bins[0]).astype(np.int32)
    return increasing * rising + (1 - increasing) * falling


__all__ = ["argpartition", "argsort", "digitize", "lexsort", "partition", "searchsorted", "sort", "sort_complex"]
