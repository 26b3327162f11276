"""`unique` and the Array API's unique_all, unique_counts, unique_inverse, unique_values.

The elements are sorted, which brings equal ones together; an element starts a run where it differs from the one before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.core.trace import Tracer
from addax.lax.shape import iota
from addax.numpy.base import as_array, canonical_axis, check_array_like
from addax.numpy.choosing import where
from addax.numpy.creation import asarray, full, zeros
from addax.numpy.cumulative import cumsum
from addax.numpy.joining import concatenate
from addax.numpy.shapes import broadcast_to, moveaxis, ravel, reshape
from addax.numpy.sorting import argsort, lexsort, sort
from addax.numpy.taking import nonzero


class UniqueAllResult(NamedTuple):
    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCountsResult(NamedTuple):
    values: Any
    counts: Any


class UniqueInverseResult(NamedTuple):
    values: Any
    inverse_indices: Any


def need_size(name: str, argument: str, size: int | None, *arrays) -> None:
    """Raise if the size of the result, not given, would depend on traced values."""
    if size is None:
        for x in arrays:
            if isinstance(x, Tracer) and x.concrete() is None:
                raise ConcretizationTypeError(
                    x, f"It arose in the {argument} argument of {name}: the size of the result depends on its values. To "
                    f"use {name} in a compiled function, give the argument size=: the result is cut off or filled up to "
                    "it (with fill_value)."
                )  # fmt: skip
    elif size < 0:
        raise ValueError(f"{name}: size must be non-negative, got {size}")


def unique(
    ar, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False, axis: int | None = None,
    *, equal_nan: bool = True, size: int | None = None, fill_value=None, sorted: bool = True,
) -> Any:  # fmt: skip
    """The different elements of ``ar`` in increasing order, or its different slices along ``axis``.

    Args:
      return_index: also where each first occurs.
      return_inverse: also the position among the results of each element of ``ar``.
      return_counts: also how often each occurs.
      equal_nan: whether nan equals nan.
      size: the fixed length of the result, which is cut off or filled up; needed in compiled functions.
      fill_value: what fills it up, by default the smallest element (counts are filled with 0).
      sorted: the result is always sorted.

    Raises:
      ConcretizationTypeError: in compiled functions, without ``size``.

    >>> import addax.numpy as jnp
    >>> values, counts = jnp.unique(jnp.array([3, 1, 3]), return_counts=True)
    >>> values.tolist(), counts.tolist()
    ([1, 3], [1, 2])
    """
    check_array_like("unique", ar)
    ar = as_array(ar)
    need_size("unique", "ar", size, ar)
    inverse_shape = ar.shape
    if axis is None:
        ar, axis = ravel(ar), 0
    else:
        axis = canonical_axis(axis, ar.ndim)
        inverse_shape = (ar.shape[axis],)
        ar = moveaxis(ar, axis, 0)
    n = ar.shape[0]
    if n == 0 and size and fill_value is None:
        raise ValueError("unique: for zero-sized input with nonzero size argument, fill_value must be specified")

    in_order, order = _sorted(ar, return_index or return_inverse)
    starts = _starts(in_order, equal_nan)
    # One more start than results says where the last run ends.
    found = nonzero(starts, size=None if size is None else size + 1, fill_value=n)[0]
    if size is None:
        found = concatenate([found, asarray(np.full(1, n), found.dtype)])
    count = found.shape[0] - 1
    first = found[:-1]
    missing = first == n
    first = where(missing, 0, first)
    values = in_order[first] if n else zeros((count, *in_order.shape[1:]), ar.dtype)
    if fill_value is not None and size is not None:
        fill = broadcast_to(asarray(fill_value, ar.dtype), values.shape)
        values = where(reshape(missing, (count, *(1,) * (values.ndim - 1))), fill, values)
    out = [moveaxis(values, 0, axis)]
    if return_index:
        out.append(order[first] if n else full(count, 0, order.dtype))
    if return_inverse:
        run = cumsum(starts.astype(order.dtype)) - 1
        out.append(reshape(zeros((n,), order.dtype).at[order].set(run, unique_indices=True), inverse_shape))
    if return_counts:
        out.append(found[1:] - found[:-1])
    return tuple(out) if len(out) > 1 else out[0]


def _sorted(ar, with_order: bool) -> tuple[Any, Any]:
    """The slices of ``ar`` in lexicographic order, and the order (equal slices stay in theirs)."""
    if ar.ndim == 1:
        if not with_order:
            return sort(ar), None
        order = argsort(ar)
    elif ar.size == 0:
        order = iota(dtypes.default_int_dtype(), ar.shape[0])
    else:
        rows = reshape(ar, (ar.shape[0], -1))
        order = lexsort([rows[:, i] for i in range(rows.shape[1])][::-1])
    return ar[order] if ar.size else ar, order


def _starts(in_order, equal_nan: bool):
    """Where slices of a sorted array differ from the one before; the first does."""
    n = in_order.shape[0]
    later, earlier = in_order[1:], in_order[:-1]
    differ = later != earlier
    if equal_nan and dtypes.issubdtype(in_order.dtype, np.inexact):
        differ = differ & ((later == later) | (earlier == earlier))
    if in_order.ndim > 1:
        differ = reshape(differ, (max(n - 1, 0), -1)).any(1) if differ.size else np.zeros(max(n - 1, 0), bool)
    return concatenate([asarray(np.ones(min(n, 1), bool)), asarray(differ)])


def unique_all(x, /, *, size: int | None = None, fill_value=None) -> UniqueAllResult:
    """`unique` with the positions, the inverse and the counts; every nan is different."""
    check_array_like("unique_all", x)
    return UniqueAllResult(*unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value))


def unique_counts(x, /, *, size: int | None = None, fill_value=None) -> UniqueCountsResult:
    """`unique` with the counts; every nan is different."""
    check_array_like("unique_counts", x)
    out = unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueCountsResult(*out)


def unique_inverse(x, /, *, size: int | None = None, fill_value=None) -> UniqueInverseResult:
    """`unique` with the inverse; every nan is different."""
    check_array_like("unique_inverse", x)
    out = unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueInverseResult(*out)


def unique_values(x, /, *, size: int | None = None, fill_value=None) -> Any:
    """`unique`; every nan is different."""
    check_array_like("unique_values", x)
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


__all__ = ["unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"]
