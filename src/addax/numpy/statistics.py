"""Means and spreads: `mean`, `var`, `std`, `average`, `cov`, `corrcoef`, and their nan-skipping forms.

Quantiles are in `quantiles.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.primitive import registry
from addax.core.sizes import is_symbolic
from addax.interpreters.values import convert, expand_dims, reshape, transpose
from addax.lax.shape import concatenate
from addax.numpy import terms as t, ufuncs
from addax.numpy.base import (
    as_array,
    as_operand,
    broadcast_to,
    canonical_axis,
    check_array_like,
    fused,
    no_out,
    promote_inexact,
    shape_of,
)
from addax.numpy.creation import eye
from addax.numpy.masked import Selection, reduced
from addax.numpy.reductions import Axis, axis_argument, dtype_argument, mask_of, reduced_axes, restore_dims
from addax.transforms.flat import jax_array


def _compute_dtype(dtype):
    """Floats of 16 bits and less are averaged in float32."""
    if dtypes.issubdtype(dtype, np.floating) and dtypes.itemsize_bits(dtype) < 32:
        return np.dtype(np.float32)
    return dtype


def _sum(x, axes, keepdims: bool):
    return restore_dims(registry["reduce_sum"].bind(x, axes=axes, out_sharding=None), axes, keepdims)


def _count(mask, shape, axes, keepdims: bool, dtype) -> Any:
    """How many elements are averaged: a number without a mask, else an array."""
    if mask is None:
        return math.prod(shape[d] for d in axes)
    return _sum(t.to_dtype(mask, dtype), axes, keepdims)


def _divide(total, count):
    dtype = t.dtype_of(total)
    if isinstance(count, int):
        return t.div(total, np.asarray(count).astype(dtype)[()])
    return t.div(total, t.to_dtype(count, dtype))


# ---------------------------------------------------------------------------------------------------------------------
# Mean


def mean(a, axis: Axis = None, dtype=None, out=None, keepdims: bool = False, *, where=None) -> Any:
    """The arithmetic mean over ``axis``; nan over no elements.

    Args:
      dtype: of the result; by default the float dtype of ``a``. Floats below 32 bits are averaged in float32.
      where: boolean array; only elements where it holds count.

    >>> import addax.numpy as jnp
    >>> jnp.mean(jnp.array([[1, 2], [3, 6]]), axis=1)
    Array([1.5, 4.5], dtype=float32)
    """
    no_out("mean", out)
    return _mean(
        a, **({} if where is None else {"where": where}), axis=axis_argument(axis), dtype=dtype_argument(dtype, "mean"),
        keepdims=bool(keepdims),
    )  # fmt: skip


@fused(static=("axis", "dtype", "keepdims"))
def _mean(a, where=None, *, axis, dtype, keepdims):
    if type(a) is Selection:
        return reduced(_mean, "mean", a, axis, keepdims, dtype=dtype, **({} if where is None else {"where": where}))
    check_array_like("mean", *(x for x in (a, where) if x is not None))
    a = as_array(a)
    axes = reduced_axes(axis, a.ndim)
    result = dtypes.to_inexact_dtype(a.dtype) if dtype is None else dtype
    compute = _compute_dtype(dtypes.to_inexact_dtype(result))
    mask = None if where is None else mask_of("mean", where, a.shape)
    x = t.to_dtype(a, compute)
    if mask is not None:
        x = t.select(mask, x, t.const(x, 0))
    total = _sum(x, axes, keepdims)
    return t.to_dtype(_divide(total, _count(mask, a.shape, axes, keepdims, compute)), result)


def average(a, axis: Axis = None, weights=None, returned: bool = False, keepdims: bool = False) -> Any:
    """The weighted mean sum(a w) / sum(w) over ``axis``.

    Args:
      weights: of the shape of ``a``, or one weight per position along ``axis``; None for equal weights.
      returned: return ``(average, sum of the weights)``.

    >>> import addax.numpy as jnp
    >>> jnp.average(jnp.array([1.0, 2.0, 4.0]), weights=jnp.array([1.0, 1.0, 2.0]))
    Array(2.75, dtype=float32)
    """
    if weights is None:
        check_array_like("average", a)
        (a,) = (as_array(x) for x in promote_inexact(as_operand(a)))
        out = mean(a, axis, keepdims=keepdims)
        count = a.size // max(math.prod(out.shape), 1) if out.size else 0
        total = t.const(out, count)
    else:
        check_array_like("average", a, weights)
        a, w = (as_array(x) for x in promote_inexact(as_operand(a), as_operand(weights)))
        axes = reduced_axes(axis_argument(axis), a.ndim)
        if a.shape != w.shape:
            if axis is None:
                raise ValueError("Axis must be specified when shapes of a and weights differ.")
            named = axis_argument(axis)
            order = [canonical_axis(d, a.ndim) for d in (named if isinstance(named, tuple) else (named,))]
            if w.shape != tuple(a.shape[d] for d in order):
                raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
            w = transpose(w, np.argsort(order).tolist())
            w = expand_dims(w, [d for d in range(a.ndim) if d not in axes])
            w = broadcast_to(w, a.shape)
        total = _sum(w, axes, keepdims)
        out = t.div(_sum(t.mul(a, w), axes, keepdims), total)
    return (out, broadcast_to(as_array(total), out.shape)) if returned else out


# ---------------------------------------------------------------------------------------------------------------------
# Variance and standard deviation


def var(
    a, axis: Axis = None, dtype=None, out=None, ddof: int = 0, keepdims: bool = False, *, where=None, mean=None,
    correction: int | float | None = None,
) -> Any:  # fmt: skip
    """The variance over ``axis``: sum(|a - mean(a)|^2) / (n - ddof), real also for complex ``a``; nan if n <= ddof.

    Args:
      ddof: 1 gives the unbiased estimate from a sample.
      where: boolean array; only elements where it holds count.
      mean: the mean if it is known already, with the dimensions kept.
      correction: the Array API's name of ``ddof``.

    >>> import addax.numpy as jnp
    >>> jnp.var(jnp.array([1.0, 2.0, 3.0, 4.0])), jnp.var(jnp.array([1.0, 2.0, 3.0, 4.0]), ddof=1)
    (Array(1.25, dtype=float32), Array(1.6666666, dtype=float32))
    """
    return _spread("var", _var, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


def std(
    a, axis: Axis = None, dtype=None, out=None, ddof: int = 0, keepdims: bool = False, *, where=None, mean=None,
    correction: int | float | None = None,
) -> Any:  # fmt: skip
    """The standard deviation over ``axis``: the square root of `var`, which describes the arguments.

    >>> import addax.numpy as jnp
    >>> jnp.std(jnp.array([1.0, 3.0]))
    Array(1., dtype=float32)
    """
    if dtype is not None and not dtypes.issubdtype(dtype_argument(dtype, "std"), np.inexact):
        raise ValueError(f"dtype argument to addax.numpy.std must be inexact; got {dtypes.dtype_name(dtype)}")
    return _spread("std", _std, a, axis, dtype, out, ddof, keepdims, where, mean, correction)


def _spread(name, fun, a, axis, dtype, out, ddof, keepdims, where, mean, correction):
    no_out(name, out)
    if correction is not None:
        if not isinstance(ddof, int) or ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    given = {k: v for k, v in (("where", where), ("mean", mean)) if v is not None}
    return fun(a, ddof, **given, axis=axis_argument(axis), dtype=dtype_argument(dtype, name), keepdims=bool(keepdims))


def _variance(name, a, ddof, where, mean, axis, dtype, keepdims):
    check_array_like(name, *(x for x in (a, where, mean) if x is not None))
    a = as_array(a)
    axes = reduced_axes(axis, a.ndim)
    if dtype is not None and t.is_complex(a) and not dtypes.issubdtype(dtype, np.complexfloating):
        raise ValueError(
            f"addax.numpy.{name} does not yet support real dtype parameters when computing the variance of an array of "
            "complex values. Take the variance of a.real and a.imag instead."
        )
    result = dtypes.to_inexact_dtype(a.dtype if dtype is None else dtype)
    compute = _compute_dtype(result)
    real = dtypes.to_floating_dtype(compute)
    mask = None if where is None else mask_of(name, where, a.shape)
    x = t.to_dtype(a, compute)
    count = _count(mask, a.shape, axes, True, real)
    if mean is None:
        kept = x if mask is None else t.select(mask, x, t.const(x, 0))
        center = _divide(_sum(kept, axes, True), count)
    else:
        center = t.to_dtype(as_array(mean), compute)
    centered = t.sub(x, broadcast_to(center, a.shape))
    squares = t.square(centered)
    if t.is_complex(x):
        squares = t.add(t.square(t.real(centered)), t.square(t.imag(centered)))
    if mask is not None:
        squares = t.select(mask, squares, t.const(squares, 0))
        count = count if keepdims else reshape(count, [n for d, n in enumerate(count.shape) if d not in axes])
    count = np.asarray(count, real)[()] if isinstance(count, int) else t.to_dtype(count, real)
    n = t.sub(count, t.to_dtype(as_array(ddof), real))
    total = _sum(squares, axes, keepdims)
    positive = t.gt(n, 0)
    value = t.div(total, broadcast_to(n, shape_of(total)))
    return t.select(positive, value, t.const(value, math.nan)), dtypes.to_floating_dtype(result)


def _spread_of_selection(name, fun, a, ddof, where, mean, axis, dtype, keepdims):
    if mean is not None:
        a.refuse(f"{name} was given both x[mask] and mean=.")

    def of_array(x, **options):
        return fun(x, ddof, dtype=dtype, **options)

    return reduced(of_array, name, a, axis, keepdims, smooth=False, **({} if where is None else {"where": where}))


@fused(static=("axis", "dtype", "keepdims"))
def _var(a, ddof, where=None, mean=None, *, axis, dtype, keepdims):
    if type(a) is Selection:
        return _spread_of_selection("var", _var, a, ddof, where, mean, axis, dtype, keepdims)
    out, result = _variance("var", a, ddof, where, mean, axis, dtype, keepdims)
    return t.to_dtype(out, result)


@fused(static=("axis", "dtype", "keepdims"))
def _std(a, ddof, where=None, mean=None, *, axis, dtype, keepdims):
    if type(a) is Selection:
        return _spread_of_selection("std", _std, a, ddof, where, mean, axis, dtype, keepdims)
    out, result = _variance("std", a, ddof, where, mean, axis, dtype, keepdims)
    return t.to_dtype(t.sqrt(out), result)


# ---------------------------------------------------------------------------------------------------------------------
# Skipping nan


def _numbers(name: str, a, where):
    """``(a with 0 for nan, mask of the numbers)``"""
    check_array_like(name, *(x for x in (a, where) if x is not None))
    (a,) = (as_array(x) for x in promote_inexact(as_operand(a)))
    mask = t.eq(a, a)
    if where is not None:
        mask = t.and_(mask, mask_of(name, where, a.shape))
    return t.select(mask, a, t.const(a, 0)), mask


def nanmean(a, axis: Axis = None, dtype=None, out=None, keepdims: bool = False, where=None) -> Any:
    """`mean` of the numbers; nan where there is none.

    >>> import addax.numpy as jnp
    >>> jnp.nanmean(jnp.array([1.0, jnp.nan, 3.0]))
    Array(2., dtype=float32)
    """
    no_out("nanmean", out)
    x, mask = _numbers("nanmean", a, where)
    return mean(x, axis, dtype, keepdims=keepdims, where=mask)


def nanvar(
    a, axis: Axis = None, dtype=None, out=None, ddof: int = 0, keepdims: bool = False, where=None, mean=None
) -> Any:
    """`var` of the numbers; nan where there are not more than ``ddof``.

    >>> import addax.numpy as jnp
    >>> jnp.nanvar(jnp.array([1.0, jnp.nan, 3.0]))
    Array(1., dtype=float32)
    """
    no_out("nanvar", out)
    x, mask = _numbers("nanvar", a, where)
    return var(x, axis, dtype, None, ddof, keepdims, where=mask, mean=mean)


def nanstd(
    a, axis: Axis = None, dtype=None, out=None, ddof: int = 0, keepdims: bool = False, where=None, mean=None
) -> Any:
    """`std` of the numbers; nan where there are not more than ``ddof``.

    >>> import addax.numpy as jnp
    >>> jnp.nanstd(jnp.array([1.0, jnp.nan, 3.0]))
    Array(1., dtype=float32)
    """
    no_out("nanstd", out)
    x, mask = _numbers("nanstd", a, where)
    return std(x, axis, dtype, None, ddof, keepdims, where=mask, mean=mean)


# ---------------------------------------------------------------------------------------------------------------------
# Covariance


def cov(
    m,
    y=None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights=None,
    aweights=None,
    dtype=None,
) -> Any:
    """The covariance matrix of variables: C[i, j] = sum_k w_k (x_ik - mean_i) conj(x_jk - mean_j) / norm.

    Args:
      m: variables in rows, observations in columns (transposed if ``rowvar`` is False), or one variable.
      y: more variables, in the same form.
      bias, ddof: the norm is sum(w) - ddof, without weights n - ddof; ddof is 1, or 0 if ``bias``, unless given.
      fweights: how often each observation was made, integers; aweights: its weight.

    >>> import addax.numpy as jnp
    >>> jnp.cov(jnp.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    Array([[ 1., -1.],
           [-1.,  1.]], dtype=float32)
    """
    check_array_like("cov", *(x for x in (m, y, fweights, aweights) if x is not None))
    given = [as_operand(x) for x in (m, y) if x is not None]
    x, *more = (as_array(v) for v in promote_inexact(*given))
    if x.ndim > 2 or (more and more[0].ndim > 2):
        raise ValueError(f"cov: inputs must be 1- or 2-dimensional, got m with {x.ndim} dimensions"
                         + (f" and y with {more[0].ndim}." if more else "."))  # fmt: skip
    if ddof is not None and not isinstance(ddof, int):
        raise ValueError("ddof must be integer")
    if dtype is not None:
        dtype = dtype_argument(dtype, "cov")
        x, more = t.to_dtype(x, dtype), [t.to_dtype(v, dtype) for v in more]
    rows = [_variables(v, rowvar) for v in (x, *more)]
    x = rows[0] if len(rows) == 1 else concatenate(rows, 0)
    if ddof is None:
        ddof = 0 if bias else 1
    w = _observation_weights(x.shape[1], fweights, aweights)
    real = dtypes.to_floating_dtype(x.dtype)
    if w is None:
        center = mean(x, 1)
        count = x.shape[1] - ddof if x.shape[1] else np.nan
        norm = convert(jax_array(count), real) if is_symbolic(count) else np.asarray(count, real)[()]
    else:
        weights, aw = (None if v is None else t.to_dtype(v, real) for v in w)
        total = _sum(weights, (0,), False)
        center = average(x, 1, t.to_dtype(weights, x.dtype))
        if ddof == 0:
            norm = total
        elif aw is None:
            norm = t.sub(total, float(ddof))
        else:
            norm = t.sub(total, t.div(t.mul(_sum(t.mul(weights, aw), (0,), False), float(ddof)), total))
    x = t.sub(x, broadcast_to(reshape(center, (x.shape[0], 1)), x.shape))
    right = x if w is None else t.mul(x, broadcast_to(t.to_dtype(reshape(weights, (1, x.shape[1])), x.dtype), x.shape))
    right = t.conj(right) if t.is_complex(right) else right
    product = registry["dot_general"].bind(
        x, right, dimension_numbers=(((1,), (1,)), ((), ())), precision=None, preferred_element_type=x.dtype,
        out_sharding=None,
    )  # fmt: skip
    out = t.div(product, t.to_dtype(norm, x.dtype))
    return reshape(out, ()) if out.shape == (1, 1) else out


def _variables(x, rowvar: bool):
    if x.ndim < 2:
        return reshape(x, (1, x.size))
    return x if rowvar or x.shape[0] == 1 else transpose(x, (1, 0))


def _observation_weights(n: int, fweights, aweights):
    """``(their product, aweights)``, None for what is not given; None if neither is."""
    if fweights is None and aweights is None:
        return None
    weights = []
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            weights.append(None)
            continue
        w = as_array(w)
        if w.ndim > 1:
            raise RuntimeError(f"cannot handle multidimensional {name}")
        if w.shape[0] != n:
            raise RuntimeError(f"incompatible numbers of samples and {name}")
        if name == "fweights" and not dtypes.issubdtype(w.dtype, np.integer):
            raise TypeError("fweights must be integer.")
        weights.append(t.to_dtype(w, dtypes.to_inexact_dtype(w.dtype)))
    fw, aw = weights
    both = fw if aw is None else aw if fw is None else ufuncs.multiply(fw, aw)
    return both, aw


def corrcoef(x, y=None, rowvar: bool = True, dtype=None) -> Any:
    """The matrix of correlation coefficients: C[i, j] / sqrt(C[i, i] C[j, j]) of the covariance matrix.

    >>> import addax.numpy as jnp
    >>> jnp.corrcoef(jnp.array([[0.0, 1.0, 2.0], [4.0, 2.0, 0.0]]))
    Array([[ 1., -1.],
           [-1.,  1.]], dtype=float32)
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return t.div(c, c)
    n = c.shape[0]
    diagonal = _sum(t.select(eye(n, dtype=bool), c, t.const(c, 0)), (1,), False)
    spread = t.sqrt(t.real(diagonal) if t.is_complex(diagonal) else diagonal)
    spread = t.to_dtype(spread, c.dtype)
    c = t.div(c, broadcast_to(reshape(spread, (n, 1)), c.shape))
    c = t.div(c, broadcast_to(reshape(spread, (1, n)), c.shape))
    if t.is_complex(c):
        return t.complex_(_unit(t.real(c)), _unit(t.imag(c)))
    return _unit(c)


def _unit(x):
    """Rounding errors cut off: within [-1, 1]."""
    return t.min_(t.max_(x, -1.0), 1.0)
