"""Counting: bincount and histograms. In all of them the last bin includes its right edge."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.core.trace import Tracer
from addax.lax.sharding import place
from addax.numpy.base import as_array, as_operand, check_array_like, known, promote_dtypes, promote_inexact
from addax.numpy.choosing import where
from addax.numpy.creation import asarray, linspace, zeros
from addax.numpy.differences import diff
from addax.numpy.shapes import ravel, reshape
from addax.numpy.sorting import searchsorted
from addax.numpy.taking import ravel_multi_index


def bincount(x, weights=None, minlength: int = 0, *, length: int | None = None, out_sharding=None) -> Any:
    """How often each of 0, 1, 2, ... occurs in the vector ``x``, or the sum of the ``weights`` there.

    Args:
      x: integers; negative ones count as 0.
      minlength: the least length of the result.
      length: its fixed length, needed in compiled functions; larger numbers are not counted.

    Raises:
      ConcretizationTypeError: in compiled functions, without ``length``.

    >>> import addax.numpy as jnp
    >>> jnp.bincount(jnp.array([0, 2, 2])).tolist()
    [1, 0, 2]
    """
    if out_sharding is not None:
        return place(bincount(x, weights, minlength, length=length), out_sharding)
    check_array_like("bincount", x, *([] if weights is None else [weights]))
    x = as_array(x)
    if x.dtype == np.bool_:
        x = x.astype(np.int32)
    if not dtypes.issubdtype(x.dtype, np.integer):
        raise TypeError(f"bincount: x must have an integer type; got {dtypes.dtype_name(x.dtype)}")
    if x.ndim != 1:
        raise ValueError(f"bincount: only 1-dimensional input is supported, got shape {x.shape}")
    if length is None:
        value = known(x)
        if value is None:
            raise ConcretizationTypeError(
                x, "It arose in the x argument of bincount: the length of the result depends on its values. In a "
                "compiled function give the argument length=."
            )  # fmt: skip
        length = max(operator.index(minlength), int(value.max()) + 1 if value.size else 0, 0)
    else:
        length = operator.index(length)
    if weights is None:
        weights = np.ones((), dtypes.default_int_dtype())[()]
        out = zeros((length,), dtypes.default_int_dtype())
    else:
        weights = as_array(weights)
        if weights.shape != x.shape:
            raise ValueError(f"bincount: x and weights must have the same shape, got {x.shape} and {weights.shape}")
        if weights.dtype == np.bool_:
            raise TypeError("bincount: weights must be numbers, got booleans: convert them with astype(int).")
        out = zeros((length,), weights.dtype)
    return out.at[x.clip(0)].add(weights, mode="drop")


# ---------------------------------------------------------------------------------------------------------------------
# Edges


def histogram_bin_edges(a, bins=10, range: Sequence | None = None, weights=None) -> Any:
    """The edges of ``bins`` equal bins over ``range``, by default from the least to the greatest element of ``a``.

    Args:
      bins: a number (static), or the edges themselves, a vector.
      range: ``(low, high)``. If they are equal, the bins span from low - 0.5 to high + 0.5.

    >>> import addax.numpy as jnp
    >>> jnp.histogram_bin_edges(jnp.array([1.0, 3.0]), 2).tolist()
    [1.0, 2.0, 3.0]
    """
    check_array_like("histogram_bin_edges", a)
    return _edges("histogram_bin_edges", a, bins, range)


def _edges(name: str, a, bins, span) -> Any:
    if isinstance(bins, str):
        raise NotImplementedError(
            f"{name}: string values for `bins` are not implemented, got {bins!r}: give the number of bins."
        )
    check_array_like(name, bins)
    (a,) = (as_array(x) for x in promote_inexact(as_operand(a)))
    if np.ndim(bins) == 1:
        return asarray(as_operand(bins), a.dtype)
    if np.ndim(bins):
        raise ValueError(f"{name}: bins must be a number or a vector of edges, got shape {np.shape(bins)}")
    try:
        count = operator.index(bins.concrete() if isinstance(bins, Tracer) else bins)
    except TypeError:
        raise TypeError(f"{name}: the number of bins must be a static integer, got {bins!r}") from None
    if span is not None:
        low, high = _range(name, span)
    elif a.size == 0:
        raise ValueError(f"{name}: the array is empty: give the range of the bins.")
    else:
        low, high = a.min(), a.max()
    low, high = asarray(low, a.dtype), asarray(high, a.dtype)
    flat = high == low
    low, high = where(flat, low - 0.5, low), where(flat, high + 0.5, high)
    return linspace(low, high, count + 1, dtype=a.dtype)


def _range(name: str, span) -> tuple[Any, Any]:
    if np.shape(span) != (2,):
        raise ValueError(f"{name}: range must be None or a pair (low, high), got {span}")
    low, high = span
    if not isinstance(low, Tracer) and not isinstance(high, Tracer) and low > high:
        raise ValueError(f"{name}: high must be larger than low in range, got {span}")
    return low, high


def _bin_numbers(x, edges):
    """The number of the bin of each element, counted from 1; 0 and len(edges) are outside, to the left and right."""
    number = searchsorted(edges, x, "right")
    return where(x == edges[-1], edges.shape[0] - 1, number)


# ---------------------------------------------------------------------------------------------------------------------
# Histograms


def histogram(a, bins=10, range: Sequence | None = None, weights=None, density: bool | None = None) -> tuple[Any, Any]:
    """How many elements of ``a`` fall into each bin, and the edges of the bins.

    Args:
      bins, range: see `histogram_bin_edges`.
      weights: what each element counts, an array like ``a``.
      density: divide by the number (weight) of all counted elements and the width of the bin.

    Returns:
      counts, floating, shape [n]; edges, shape [n + 1].

    >>> import addax.numpy as jnp
    >>> counts, edges = jnp.histogram(jnp.array([1.0, 2.0, 2.5, 4.0]), 3)
    >>> counts.tolist(), edges.tolist()
    ([1.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    """
    if weights is None:
        check_array_like("histogram", a, *([] if isinstance(bins, str) else [bins]))
        (a,) = (as_array(x) for x in promote_inexact(as_operand(a)))
        weights = np.ones((), a.dtype)[()]
    else:
        check_array_like("histogram", a, bins, weights)
        if np.shape(weights) != np.shape(a):
            raise ValueError(
                f"histogram: weights should have the same shape as a, got {np.shape(weights)} and {np.shape(a)}"
            )
        a, weights = (ravel(as_array(x)) for x in promote_inexact(as_operand(a), as_operand(weights)))
    edges = _edges("histogram", a, bins, range)
    dtype = weights.dtype
    n = edges.shape[0] - 1
    counts = zeros((n + 2,), dtype).at[_bin_numbers(ravel(a), edges)].add(weights)[1:-1]
    if n < 1:
        counts = zeros((0,), dtype)
    if density:
        counts = counts / diff(edges) / counts.sum()
    return counts, edges


def histogram2d(
    x, y, bins: Any = 10, range: Sequence | None = None, weights=None, density: bool | None = None
) -> tuple[Any, Any, Any]:
    """How many points (x[i], y[i]) fall into each cell, and the edges along x and y.

    Args:
      bins: a number for both, one vector of edges for both, or a pair of numbers or vectors.
      range: ``((low, high), (low, high))``, either of which may be None; see `histogram_bin_edges`.

    >>> import addax.numpy as jnp
    >>> counts, x_edges, y_edges = jnp.histogram2d(jnp.array([0.0, 1.0]), jnp.array([0.0, 2.0]), 2)
    >>> counts.tolist()
    [[1, 0], [0, 1]]
    """
    check_array_like("histogram2d", x, y)
    x, y = (as_array(v) for v in promote_dtypes(as_operand(x), as_operand(y)))
    if x.ndim != 1 or x.shape != y.shape:
        raise TypeError(f"histogram2d: x and y must be vectors of equal length, got shapes {x.shape} and {y.shape}")
    if not isinstance(bins, (tuple, list)) and np.ndim(bins) == 1:
        bins = [bins, bins]
    counts, edges = _histogram("histogram2d", [x, y], bins, range, weights, density)
    return counts, edges[0], edges[1]


def histogramdd(
    sample, bins: Any = 10, range: Sequence | None = None, weights=None, density: bool | None = None
) -> tuple[Any, list]:
    """How many points fall into each cell of a grid, and the edges along each dimension.

    Args:
      sample: the points, shape [n, d].
      bins: a number for all dimensions, or d numbers or vectors of edges.
      range: d pairs (low, high) or Nones; see `histogram_bin_edges`.

    Returns:
      counts of d dimensions (int, or of the dtype of the weights, or floating if ``density``), and a list of d edges.

    >>> import addax.numpy as jnp
    >>> counts, edges = jnp.histogramdd(jnp.array([[0.0, 0.0], [1.0, 2.0]]), 2)
    >>> counts.tolist(), len(edges)
    ([[1, 0], [0, 1]], 2)
    """
    check_array_like("histogramdd", sample)
    sample = as_array(sample)
    if sample.ndim != 2:
        raise ValueError(f"histogramdd: sample must have shape [points, dimensions], got {sample.shape}")
    return _histogram("histogramdd", [sample[:, i] for i in np.arange(sample.shape[1])], bins, range, weights, density)


def _histogram(name: str, columns: list, bins, span, weights, density) -> tuple[Any, list]:
    d, n = len(columns), columns[0].shape[0] if columns else 0
    if weights is not None and np.shape(weights) != (n,):
        raise ValueError(f"{name}: there should be one weight for each of the {n} points, got {np.shape(weights)}")
    per_dimension = list(bins) if isinstance(bins, (tuple, list)) or np.ndim(bins) else [bins] * d
    if len(per_dimension) != d:
        raise ValueError(f"{name}: there should be bins for each of the {d} dimensions, got {len(per_dimension)}")
    if span is None:
        span = [None] * d
    elif len(span) != d or any(r is not None and np.shape(r) != (2,) for r in span):
        raise ValueError(f"{name}: range must be a sequence of {d} pairs or Nones; got {span}")
    edges = [_edges(name, c, b, r) for c, b, r in zip(columns, per_dimension, span, strict=True)]
    numbers = [_bin_numbers(as_array(c), e) for c, e in zip(columns, edges, strict=True)]
    shape = tuple(e.shape[0] + 1 for e in edges)  # with a bin on each side for what is outside
    at = ravel_multi_index(numbers, shape, "clip")
    counts = reshape(bincount(at, weights, length=math.prod(shape)), shape)
    counts = counts[(slice(1, -1),) * d]
    if density:
        total = counts.sum()
        for k, e in enumerate(edges):
            counts = counts / diff(e).reshape([-1 if j == k else 1 for j in np.arange(d)])
        counts = counts / total
    return counts, edges


__all__ = ["bincount", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]
