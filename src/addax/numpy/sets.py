"""Arrays as sets: union1d, intersect1d, setdiff1d, setxor1d, isin.

In compiled functions the size of the result must be given (``size=``): it is cut off or filled up to that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.interpreters.values import convert
from addax.lax.cumulative import cummax
from addax.numpy.base import as_array, check_array_like, promote_dtypes
from addax.numpy.choosing import where
from addax.numpy.creation import asarray, full
from addax.numpy.joining import concatenate
from addax.numpy.shapes import broadcast_to, ravel
from addax.numpy.sorting import argsort, searchsorted, sort
from addax.numpy.taking import nonzero
from addax.numpy.uniques import need_size, unique

# Up to so many test elements `isin` compares with each: without sorting them, and in one fused loop.
_COMPARE_ALL = 16


def _vectors(name: str, ar1, ar2, size: int | None) -> tuple[Any, Any]:
    """Both arrays flattened, in their common dtype."""
    check_array_like(name, ar1, ar2)
    a, b = (ravel(as_array(x)) for x in promote_dtypes(as_array(ar1), as_array(ar2)))
    need_size(name, "ar1", size, a)
    need_size(name, "ar2", size, b)
    return a, b


def union1d(ar1, ar2, *, size: int | None = None, fill_value=None) -> Any:
    """The different elements of both arrays, in increasing order.

    Args:
      fill_value: what fills the result up to ``size``, by default its smallest element.

    >>> import addax.numpy as jnp
    >>> jnp.union1d(jnp.array([3, 1]), jnp.array([1, 2])).tolist()
    [1, 2, 3]
    """
    a, b = _vectors("union1d", ar1, ar2, size)
    return unique(concatenate([a, b]), size=size, fill_value=fill_value)


def intersect1d(
    ar1, ar2, assume_unique: bool = False, return_indices: bool = False, *, size: int | None = None, fill_value=None
) -> Any:
    """The different elements that are in both arrays, in increasing order.

    Args:
      assume_unique: the promise that no element occurs twice in either.
      return_indices: also where they first occur in (flattened) ``ar1`` and ``ar2``; filled up with their sizes.
      fill_value: what fills the result up to ``size``, by default its smallest element.

    >>> import addax.numpy as jnp
    >>> jnp.intersect1d(jnp.array([3, 1, 2]), jnp.array([2, 3, 5])).tolist()
    [2, 3]
    """
    a, b = _vectors("intersect1d", ar1, ar2, size)
    n, m = a.shape[0], b.shape[0]
    k = n + m
    joined = concatenate([a, b])
    order = argsort(joined)  # stable: of equal elements those of `a` come first
    in_order = joined[order] if k else joined
    same, from_b = in_order[1:] == in_order[:-1], order >= n
    # An element is in both where its run goes over from `a` to `b`; repetitions do not change that.
    at: Any
    (at,) = nonzero(same & from_b[1:] & ~from_b[:-1], size=size, fill_value=k)
    missing = at == k
    at = where(missing, 0, at)
    values = in_order[at] if k else full(at.shape, 0, joined.dtype)
    if size:
        fill = where(missing[0], 0, values[0]) if fill_value is None else fill_value
        values = where(missing, asarray(fill, values.dtype), values)
    if not return_indices:
        return values
    if not k:
        return values, at, at
    starts = concatenate([asarray(np.ones(1, bool)), ~same])
    first_a, first_b = order[_last_true(starts)[at]], order[(at + 1).clip(0, k - 1)] - n
    return values, where(missing, n, first_a), where(missing, m, first_b)


def _last_true(mask):
    """For each position the last one at or before it where ``mask`` holds."""
    at = asarray(np.arange(mask.shape[0], dtype=np.int32))
    return cummax(where(mask, at, 0))


def setdiff1d(ar1, ar2, assume_unique: bool = False, *, size: int | None = None, fill_value=None) -> Any:
    """The different elements of ``ar1`` that are not in ``ar2``, in increasing order.

    Args:
      assume_unique: leave the elements of ``ar1`` as they are, in their order.
      fill_value: what fills the result up to ``size``, by default 0.

    >>> import addax.numpy as jnp
    >>> jnp.setdiff1d(jnp.array([3, 1, 2]), jnp.array([2])).tolist()
    [1, 3]
    """
    check_array_like("setdiff1d", ar1, ar2)
    need_size("setdiff1d", "ar1", size, ar1)
    need_size("setdiff1d", "ar2", size, ar2)
    a = ravel(as_array(ar1))
    fill = convert(as_array(0 if fill_value is None else fill_value), a.dtype, a.weak_type)
    if not assume_unique:
        a = sort(a)
    keep = ~isin(a, ar2)
    if not assume_unique and a.shape[0]:
        keep = keep & concatenate([asarray(np.ones(1, bool)), _differ(a[1:], a[:-1])])
    return _picked(a, keep, size, fill)


def _differ(x, y):
    """x != y, where nan equals nan."""
    out = x != y
    return out & ((x == x) | (y == y)) if dtypes.issubdtype(x.dtype, np.inexact) else out


def _picked(a, keep, size: int | None, fill):
    """The elements where ``keep`` holds, up to ``size``, then ``fill``."""
    n = a.shape[0]
    (at,) = nonzero(keep, size=size, fill_value=n)
    if not n:
        return broadcast_to(fill, at.shape)
    values = a[where(at == n, 0, at)]
    return values if size is None else where(at == n, fill, values)


def setxor1d(ar1, ar2, assume_unique: bool = False, *, size: int | None = None, fill_value=None) -> Any:
    """The different elements that are in one of the arrays only, in increasing order.

    Args:
      assume_unique: the promise that no element occurs twice in either.
      fill_value: what fills the result up to ``size``, by default its smallest element.

    >>> import addax.numpy as jnp
    >>> jnp.setxor1d(jnp.array([3, 1, 2]), jnp.array([2, 4])).tolist()
    [1, 3, 4]
    """
    a, b = _vectors("setxor1d", ar1, ar2, size)
    n = a.shape[0]
    joined = concatenate([a, b])
    k = joined.shape[0]
    if k == 0:
        return _picked(joined, joined != joined, size, asarray(0 if fill_value is None else fill_value, joined.dtype))
    order = argsort(joined)
    in_order, from_b = joined[order], order >= n
    # Each array is a set in which nan equals nan, but the nan of one is not that of the other.
    same = ~_differ(in_order[1:], in_order[:-1]) & ((from_b[1:] == from_b[:-1]) | (in_order[1:] == in_order[:-1]))
    end = asarray(np.ones(1, bool))
    starts, ends = concatenate([end, ~same]), concatenate([~same, end])
    # Runs are sorted by origin: of one array only are those whose first and last element have the same origin.
    last = _first_true(ends)
    keep = starts & (from_b == from_b[last])
    if fill_value is None:
        smallest = in_order[nonzero(keep, size=1, fill_value=0)[0]][0]
        fill = where(keep.any(), smallest, asarray(0, smallest.dtype))
    else:
        fill = asarray(fill_value, joined.dtype)
    return _picked(in_order, keep, size, fill)


def _first_true(mask):
    """For each position the first one at or after it where ``mask`` holds."""
    n = mask.shape[0]
    return (n - 1) - _last_true(mask[::-1])[::-1]


def isin(element, test_elements, assume_unique: bool = False, invert: bool = False, *, method: str = "auto") -> Any:
    """For each of ``element`` whether it is among ``test_elements``; nan is not.

    Args:
      assume_unique: without effect.
      invert: whether it is not among them.
      method: "compare_all" (with each test element), "binary_search" or "sort" (the test elements are sorted first),
        "auto": by their number.

    >>> import addax.numpy as jnp
    >>> jnp.isin(jnp.array([1, 2, 3]), jnp.array([3, 1])).tolist()
    [True, False, True]
    """
    check_array_like("isin", element, test_elements)
    if method not in ("auto", "compare_all", "binary_search", "sort"):
        raise ValueError(
            f"isin: method={method!r} is not implemented; options are 'compare_all', 'binary_search', 'sort', and 'auto'"
        )
    x, tests = promote_dtypes(as_array(element), as_array(test_elements))
    x, tests = asarray(x), ravel(asarray(tests))
    m = tests.shape[0]
    small = m <= _COMPARE_ALL if method == "auto" else method == "compare_all"
    if m == 0 or x.size == 0:
        found = asarray(np.zeros(x.shape, bool))
    elif small or dtypes.issubdtype(x.dtype, np.complexfloating):
        found = (x[..., None] == tests).any(-1)
    else:
        tests = sort(tests)
        found = tests[searchsorted(tests, x).clip(0, m - 1)] == x
    return ~found if invert else found


__all__ = ["intersect1d", "isin", "setdiff1d", "setxor1d", "union1d"]
