"""Order statistics: `quantile`, `percentile`, `median`, and those that skip nan."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.primitive import registry
from addax.core.sizes import shared
from addax.interpreters.values import expand_dims, reshape
from addax.lax.sharding import place
from addax.lax.sort import sort as lax_sort
from addax.numpy import terms as t
from addax.numpy.base import as_array, as_operand, broadcast_to, check_array_like, fused, no_out, promote_inexact
from addax.numpy.creation import arange, full
from addax.numpy.indexing import getitem
from addax.numpy.reductions import axis_argument, reduced_axes

METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def quantile(
    a, q, axis: int | tuple[int, ...] | None = None, out=None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights=None,
) -> Any:  # fmt: skip
    """The values below which the fractions ``q`` of the elements lie; nan where an element is nan.

    The position q (n - 1) in the sorted elements is rarely whole; ``method`` says what is taken between two neighbours.

    Args:
      q: numbers in [0, 1] (others are clipped), a scalar or vector; its dimension comes first in the result.
      method: "linear", "lower", "higher", "midpoint", "nearest" or "inverted_cdf".
      weights: of each element, for "inverted_cdf" only.

    >>> import addax.numpy as jnp
    >>> jnp.quantile(jnp.arange(5.0), jnp.array([0.25, 0.9]))
    Array([1. , 3.6], dtype=float32)
    """
    return _entry("quantile", a, q, axis, out, overwrite_input, method, keepdims, weights, skip_nan=False)


def nanquantile(
    a, q, axis: int | tuple[int, ...] | None = None, out=None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights=None,
) -> Any:  # fmt: skip
    """`quantile` of the numbers; nan where there is none.

    >>> import addax.numpy as jnp
    >>> jnp.nanquantile(jnp.array([1.0, jnp.nan, 3.0]), 0.5)
    Array(2., dtype=float32)
    """
    return _entry("nanquantile", a, q, axis, out, overwrite_input, method, keepdims, weights, skip_nan=True)


def percentile(
    a, q, axis: int | tuple[int, ...] | None = None, out=None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights=None, out_sharding=None,
) -> Any:  # fmt: skip
    """`quantile` with q in [0, 100].

    >>> import addax.numpy as jnp
    >>> jnp.percentile(jnp.arange(5.0), 75)
    Array(3., dtype=float32)
    """
    check_array_like("percentile", a, q)
    found = quantile(a, _hundredth(q), axis, out, overwrite_input, method, keepdims, weights=weights)
    return found if out_sharding is None else place(found, out_sharding)


def nanpercentile(
    a, q, axis: int | tuple[int, ...] | None = None, out=None, overwrite_input: bool = False, method: str = "linear",
    keepdims: bool = False, *, weights=None,
) -> Any:  # fmt: skip
    """`nanquantile` with q in [0, 100].

    >>> import addax.numpy as jnp
    >>> jnp.nanpercentile(jnp.array([1.0, jnp.nan, 3.0]), 50)
    Array(2., dtype=float32)
    """
    check_array_like("nanpercentile", a, q)
    return nanquantile(a, _hundredth(q), axis, out, overwrite_input, method, keepdims, weights=weights)


def median(
    a, axis: int | tuple[int, ...] | None = None, out=None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """The middle one of the sorted elements, or the mean of the two in the middle; nan where an element is nan.

    >>> import addax.numpy as jnp
    >>> jnp.median(jnp.array([3.0, 1.0, 2.0, 10.0]))
    Array(2.5, dtype=float32)
    """
    return _entry("median", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, skip_nan=False)


def nanmedian(
    a, axis: int | tuple[int, ...] | None = None, out=None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """`median` of the numbers; nan where there is none.

    >>> import addax.numpy as jnp
    >>> jnp.nanmedian(jnp.array([3.0, jnp.nan, 2.0]))
    Array(2.5, dtype=float32)
    """
    return _entry("nanmedian", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, skip_nan=True)


def _hundredth(q):
    (q,) = promote_inexact(as_operand(q))
    return t.div(as_array(q), 100.0)


def _entry(name, a, q, axis, out, overwrite_input, method, keepdims, weights, skip_nan: bool):
    no_out(name, out)
    if overwrite_input:
        raise ValueError(f"addax.numpy.{name} does not support overwrite_input=True: arrays are immutable.")
    if method not in METHODS:
        raise ValueError("method can only be 'linear', 'lower', 'higher', 'midpoint', 'nearest' or 'inverted_cdf'"
                         f", got {method!r}")  # fmt: skip
    given = {} if weights is None else {"weights": weights}
    if given and method != "inverted_cdf":
        raise NotImplementedError(f"{method} doesn't support weights. Only method 'inverted_cdf' supports weights.")
    return _quantile(
        a, q, **given, name=name, axis=axis_argument(axis), method=method, keepdims=bool(keepdims), skip_nan=skip_nan
    )


@fused(static=("name", "axis", "method", "keepdims", "skip_nan"))
def _quantile(a, q, weights=None, *, name, axis, method, keepdims, skip_nan):
    check_array_like(name, *(x for x in (a, q, weights) if x is not None))
    (a,) = (as_array(x) for x in promote_inexact(as_operand(a)))
    (q,) = (as_array(x) for x in promote_inexact(as_operand(q)))
    if t.is_complex(a):
        raise ValueError("quantile does not support complex input, as the operation is poorly defined.")
    if q.ndim > 1:
        raise ValueError(f"q must be have rank <= 1, got shape {q.shape}")
    result = a.dtype
    axes = reduced_axes(axis, a.ndim)
    x = _to_last(a, axes)
    n = x.shape[-1]
    if n == 0:
        raise ValueError(f"{name}: there are no elements along axis {axis} of an array of shape {a.shape}.")
    # Positions are computed in the wider of the two dtypes, at least float32.
    real = dtypes.promote_types(dtypes.promote_types(result, q.dtype), dtypes.float32)
    q = t.min_(t.max_(t.to_dtype(q, real), 0.0), 1.0)
    if weights is not None:
        out = _weighted(x, q, _to_last(broadcast_weights(weights, a, axes), axes), real, skip_nan)
    else:
        out = _unweighted(x, q, n, real, method, skip_nan)
    # out has the dimension of q, if any, in front of the ones that were kept.
    if keepdims:
        out = expand_dims(out, [d + q.ndim for d in axes])
    return t.to_dtype(out, result)


def _to_last(x, axes):
    """The dimensions ``axes`` as a single last one."""
    kept = [d for d in range(x.ndim) if d not in axes]
    moved = registry["transpose"].bind(x, permutation=(*kept, *axes)) if axes and kept else x
    return reshape(moved, (*(x.shape[d] for d in kept), math.prod(x.shape[d] for d in axes)))


def _pick(x, index):
    """``out[i, ...] = x[..., index[i, ...]]`` for whole positions in the last dimension, one or one per element."""
    lead = x.shape[:-1]
    places = t.to_dtype(index, dtypes.int32)
    grids = [reshape(arange(n, dtype=np.int32), (n, *(1,) * (len(lead) - 1 - d))) for d, n in enumerate(lead)]
    return getitem(x, (*grids, places))


def _positions(q, count, lead_rank: int):
    """q (count - 1), with the dimension of q in front of those of ``count``."""
    if q.ndim:
        q = reshape(q, (*q.shape, *(1,) * lead_rank))
    last = t.sub(count, 1.0)
    if q.ndim > last.ndim:
        last = expand_dims(last, range(q.ndim - last.ndim))
    shape = shared((q.shape, last.shape))
    return t.mul(broadcast_to(q, shape), broadcast_to(last, shape)), broadcast_to(last, shape)


def _unweighted(x, q, n: int, real, method: str, skip_nan: bool):
    undefined = t.ne(x, x)
    lead = x.shape[:-1]
    ordered = lax_sort(x, dimension=x.ndim - 1)  # nan is sorted to the end
    if skip_nan:
        numbers = registry["reduce_sum"].bind(
            t.to_dtype(t.not_(undefined), real), axes=(x.ndim - 1,), out_sharding=None
        )
        at, last = _positions(q, numbers, len(lead))
    else:
        at, last = _positions(q, full(lead, n, real), len(lead))
    if method == "inverted_cdf":
        at = t.sub(t.ceil(t.mul(t.add(last, 1.0), broadcast_to(_front(q, len(lead)), at.shape))), 1.0)
    low = t.max_(t.min_(t.floor(at), last), 0.0)
    high = t.max_(t.min_(t.ceil(at), last), 0.0)
    below, above = (t.to_dtype(_pick(ordered, p), real) for p in (low, high))
    fraction = t.sub(at, low)
    if method == "linear":
        one = t.const(fraction, 1.0)
        out = t.add(t.mul(below, t.sub(one, fraction)), t.mul(above, fraction))
        out = t.select(t.eq(below, above), below, out)  # equal infinities
    elif method in ("lower", "inverted_cdf"):
        out = below
    elif method == "higher":
        out = above
    elif method == "nearest":
        out = t.select(t.le(fraction, 0.5), below, above)
    else:
        out = t.select(t.eq(below, above), below, t.mul(t.add(below, above), 0.5))
    if skip_nan:
        return t.select(t.lt(last, 0.0), t.const(out, math.nan), out)
    poisoned = registry["reduce_or"].bind(undefined, axes=(x.ndim - 1,))
    return t.select(broadcast_to(poisoned, out.shape), t.const(out, math.nan), out)


def _front(q, lead_rank: int):
    return reshape(q, (*q.shape, *(1,) * lead_rank)) if q.ndim else q


def broadcast_weights(weights, a, axes):
    """Weights in the shape of ``a``: given so, or one per position along a single axis."""
    (w,) = (as_array(x) for x in promote_inexact(as_operand(weights)))
    if w.shape == a.shape:
        return w
    if w.ndim != 1 or len(axes) != 1:
        raise ValueError("Axis must be specified when shapes of a and weights differ.")
    (axis,) = axes
    if w.shape[0] != a.shape[axis]:
        raise ValueError("Length of weights not compatible with specified axis.")
    return broadcast_to(reshape(w, tuple(n if d == axis else 1 for d, n in enumerate(a.shape))), a.shape)


def _weighted(x, q, w, real, skip_nan: bool):
    """The first element, in order, up to which at least the fraction q of the total weight lies."""
    last = x.ndim - 1
    undefined = t.ne(x, x)
    if skip_nan:
        w = t.select(undefined, t.const(w, 0), w)
    ordered, weight = lax_sort((x, t.to_dtype(w, real)), dimension=last, num_keys=1)
    running = registry["cumsum"].bind(weight, axis=last, reverse=False)
    total = getitem(running, (..., slice(-1, None)))
    each = (*q.shape, *total.shape)
    targets = t.mul(broadcast_to(_front(q, x.ndim), each), broadcast_to(total, each))
    shape = (*q.shape, *x.shape)
    below = t.lt(broadcast_to(running, shape), broadcast_to(targets, shape))
    index = registry["reduce_sum"].bind(t.to_dtype(below, dtypes.int32), axes=(len(shape) - 1,), out_sharding=None)
    index = t.min_(index, x.shape[-1] - 1)
    out = t.to_dtype(_pick(ordered, index), real)
    if skip_nan:
        return out
    return t.select(
        broadcast_to(registry["reduce_or"].bind(undefined, axes=(last,)), out.shape), t.const(out, math.nan), out
    )
