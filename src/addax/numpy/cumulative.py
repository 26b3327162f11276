"""Running sums and products."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.primitive import registry
from addax.interpreters.values import reshape
from addax.lax.shape import concatenate
from addax.lax.slicing import slice_in_dim
from addax.numpy import terms as t, ufuncs
from addax.numpy.base import as_array, canonical_axis, check_array_like, fused, no_out
from addax.numpy.reductions import accumulator, dtype_argument

# Of booleans, where that dtype is asked for: the running "or" and "and", as in `reductions`.
_TRUTH = {"cumsum": "cummax", "cumprod": "cummin"}


def _cumulative(name: str, primitive: str, nan_value: int | None = None):
    @fused(static=("axis", "dtype"))
    def fun(a, *, axis, dtype):
        check_array_like(name, a)
        a = as_array(a)
        if axis is None or a.ndim == 0:
            a, dim = reshape(a, (a.size,)), 0
            if axis is not None:
                canonical_axis(axis, 1)
        else:
            dim = canonical_axis(axis, a.ndim)
        if nan_value is not None and dtypes.issubdtype(a.dtype, np.inexact):
            a = t.select(t.ne(a, a), t.const(a, nan_value), a)
        result = dtypes.to_numeric_dtype(a.dtype) if dtype is None else dtype
        if result == np.bool_:
            bits = t.to_dtype(t.truth(a), np.dtype(np.uint8))
            return t.to_dtype(registry[_TRUTH[primitive]].bind(bits, axis=dim, reverse=False), result)
        return registry[primitive].bind(t.to_dtype(a, result), axis=dim, reverse=False)

    fun.__name__ = name
    return fun


_cumsum, _cumprod = _cumulative("cumsum", "cumsum"), _cumulative("cumprod", "cumprod")
_nancumsum, _nancumprod = _cumulative("nancumsum", "cumsum", 0), _cumulative("nancumprod", "cumprod", 1)


def _call(fun, name: str, a, axis, dtype, out):
    no_out(name, out)
    axis = None if axis is None else operator.index(axis)
    return fun(a, axis=axis, dtype=dtype_argument(dtype, name))


def cumsum(a, axis: int | None = None, dtype=None, out=None) -> Any:
    """The sums of the elements up to each one, along ``axis`` or of the flattened array.

    Integers keep their dtype, booleans are counted (NumPy widens small integers).

    >>> import addax.numpy as jnp
    >>> jnp.cumsum(jnp.array([1, 2, 3]))
    Array([1, 3, 6], dtype=int32)
    """
    return _call(_cumsum, "cumsum", a, axis, dtype, out)


def cumprod(a, axis: int | None = None, dtype=None, out=None) -> Any:
    """The products of the elements up to each one, along ``axis`` or of the flattened array.

    >>> import addax.numpy as jnp
    >>> jnp.cumprod(jnp.array([1, 2, 3]))
    Array([1, 2, 6], dtype=int32)
    """
    return _call(_cumprod, "cumprod", a, axis, dtype, out)


def nancumsum(a, axis: int | None = None, dtype=None, out=None) -> Any:
    """`cumsum` with nan counting as 0.

    >>> import addax.numpy as jnp
    >>> jnp.nancumsum(jnp.array([1.0, jnp.nan, 3.0]))
    Array([1., 1., 4.], dtype=float32)
    """
    return _call(_nancumsum, "nancumsum", a, axis, dtype, out)


def nancumprod(a, axis: int | None = None, dtype=None, out=None) -> Any:
    """`cumprod` with nan counting as 1.

    >>> import addax.numpy as jnp
    >>> jnp.nancumprod(jnp.array([2.0, jnp.nan, 3.0]))
    Array([2., 2., 6.], dtype=float32)
    """
    return _call(_nancumprod, "nancumprod", a, axis, dtype, out)


def _array_api(name: str, fun, start: int, x, axis, dtype, include_initial: bool):
    check_array_like(name, x)
    x = as_array(x)
    if x.ndim == 0:
        raise ValueError(
            "The input must be non-scalar to take a cumulative sum, however a scalar value or scalar array was given."
        )
    if axis is None:
        if x.ndim > 1:
            raise ValueError(
                f"The input array has rank {x.ndim}, however axis was not set to an explicit value. The axis argument is "
                "only optional for one-dimensional arrays."
            )
        axis = 0
    dim = canonical_axis(axis, x.ndim)
    if dtype is None and fun is cumsum:  # products are not, as in JAX
        x = t.to_dtype(x, accumulator(x.dtype))
    out = fun(x, axis=dim, dtype=dtype)
    if include_initial:
        shape = tuple(1 if d == dim else n for d, n in enumerate(x.shape))
        out = concatenate([as_array(np.full(shape, start, out.dtype)), out], dim)
    return out


def cumulative_sum(x, /, *, axis: int | None = None, dtype=None, include_initial: bool = False) -> Any:
    """`cumsum` as the Array API defines it: ``axis`` may be left out only for vectors, small integers are widened.

    Args:
      include_initial: put a 0 in front, so the result is one longer.

    >>> import addax.numpy as jnp
    >>> jnp.cumulative_sum(jnp.array([1, 2, 3]), include_initial=True)
    Array([0, 1, 3, 6], dtype=int32)
    """
    return _array_api("cumulative_sum", cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(x, /, *, axis: int | None = None, dtype=None, include_initial: bool = False) -> Any:
    """`cumprod` as the Array API defines it: ``axis`` may be left out only for vectors.

    Args:
      include_initial: put a 1 in front, so the result is one longer.

    >>> import addax.numpy as jnp
    >>> jnp.cumulative_prod(jnp.array([1, 2, 3]), include_initial=True)
    Array([1, 1, 2, 6], dtype=int32)
    """
    return _array_api("cumulative_prod", cumprod, 1, x, axis, dtype, include_initial)


def unwrap(p, discont=None, axis: int = -1, period=2 * math.pi) -> Any:
    """Angles made continuous along ``axis``: multiples of ``period`` are added so that steps are at most half of it.

    Args:
      discont: steps smaller than this (at least half a period, the default) are left alone.

    >>> import addax.numpy as jnp
    >>> jnp.unwrap(jnp.array([0, 3, 2, 1]), period=4)
    Array([ 0, -1, -2, -3], dtype=int32)
    """
    check_array_like("unwrap", p)
    p = as_array(p)
    if t.is_complex(p):
        raise ValueError("addax.numpy.unwrap does not support complex inputs.")
    dtype, _ = dtypes.lattice_result_type(p, period)
    p = t.to_dtype(p, dtypes.to_numeric_dtype(dtype))
    axis = canonical_axis(axis, p.ndim)
    n = p.shape[axis]
    if n < 2:
        return p
    length = t.to_dtype(as_array(period), p.dtype)
    half = ufuncs.floor_divide(length, 2) if t.is_integer(p) else t.div(length, 2.0)
    step = t.sub(slice_in_dim(p, 1, n, 1, axis), slice_in_dim(p, 0, n - 1, 1, axis))
    wrapped = t.sub(ufuncs.remainder(t.add(step, half), length), half)
    # A step of exactly half a period up stays one up; for odd integer periods there is none.
    edge = t.and_(t.eq(wrapped, t.neg(half)), t.gt(step, 0))
    if t.is_integer(p):
        edge = t.and_(edge, t.eq(ufuncs.remainder(length, 2), 0))
    wrapped = t.select(edge, half, wrapped)
    least = half if discont is None else t.to_dtype(as_array(discont), p.dtype)
    correction = t.select(t.lt(t.abs_(step), least), t.const(step, 0), t.sub(wrapped, step))
    total = registry["cumsum"].bind(correction, axis=axis, reverse=False)
    return concatenate([slice_in_dim(p, 0, 1, 1, axis), t.add(slice_in_dim(p, 1, n, 1, axis), total)], axis)
