"""Functions along an axis: softmax and its kin, standardize, one-hot vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.sizes import as_size
from addax.engines.eager import fused
from addax.numpy.base import check_array_like

Axis = int | tuple[int, ...] | None


def as_float(name: str, x):
    """``x`` as an inexact array."""
    check_array_like(name, x)
    return jnp.asarray(x, dtypes.to_inexact_dtype(get_aval(x).dtype))


def _axis(axis):
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


def _given(**arrays) -> dict[str, Any]:
    return {k: v for k, v in arrays.items() if v is not None}


def logsumexp(a, axis: Axis = None, b=None, keepdims: bool = False, return_sign: bool = False, where=None) -> Any:
    """``log(sum(b exp(a)))``, without overflow. NaN for a negative sum of reals, unless its sign is asked for.

    Args:
      axis: the axes to sum over; all by default.
      b: weights, broadcast against ``a``.
      return_sign: return ``(log|s|, sign(s))`` of the sum s instead.
      where: elements to include.

    >>> import addax, addax.numpy as jnp
    >>> round(float(addax.nn.logsumexp(jnp.array([1000.0, 1000.0]))), 3)
    1000.693
    """
    check_array_like("logsumexp", a, *_given(b=b, where=where).values())
    return _logsumexp(
        a, **_given(b=b, where=where), axis=_axis(axis), keepdims=bool(keepdims), return_sign=bool(return_sign)
    )


@fused(static=("axis", "keepdims", "return_sign"))
def _logsumexp(a, b=None, where=None, *, axis, keepdims, return_sign) -> Any:
    if b is not None:
        a, b = _promoted(a, b)
        a = jnp.where(b != 0, a, -np.inf)  # a weight of zero hides the element, however large
    a = as_float("logsumexp", a)
    if where is not None:
        a = jnp.where(where, a, -np.inf)
    real = a.real if dtypes.issubdtype(a.dtype, np.complexfloating) else a
    largest = jnp.max(real, axis=axis, keepdims=True, initial=-np.inf)
    largest = lax.stop_gradient(jnp.where(jnp.isfinite(largest), largest, jnp.zeros_like(largest)))
    terms = jnp.exp(a - largest)
    if b is not None:
        terms = terms * b
    total = jnp.sum(terms, axis=axis, keepdims=keepdims, where=where)
    shift = largest if keepdims else jnp.reshape(largest, total.shape)
    if dtypes.issubdtype(total.dtype, np.complexfloating) and not return_sign:
        return jnp.log(total) + shift
    sign = jnp.sign(total)
    magnitude = jnp.log(jnp.abs(total)) + shift
    if return_sign:
        return magnitude, sign
    return magnitude if b is None else jnp.where(sign < 0, np.nan, magnitude)


def _promoted(a, b):
    dtype = dtypes.to_inexact_dtype(jnp.result_type(a, b))
    return jnp.broadcast_arrays(jnp.asarray(a, dtype), jnp.asarray(b, dtype))


def logmeanexp(x, axis: Axis = None, where=None, keepdims: bool = False) -> Any:
    """``log(mean(exp(x)))``, without overflow.

    >>> import addax, addax.numpy as jnp
    >>> float(addax.nn.logmeanexp(jnp.array([1000.0, 1000.0])))
    1000.0
    """
    check_array_like("logmeanexp", x, *_given(where=where).values())
    return _logmeanexp(x, **_given(where=where), axis=_axis(axis), keepdims=bool(keepdims))


@fused(static=("axis", "keepdims"))
def _logmeanexp(x, where=None, *, axis, keepdims) -> Any:
    total = _logsumexp(x, **_given(where=where), axis=axis, keepdims=keepdims, return_sign=False)
    counted = jnp.ones_like(x, real_dtype(total.dtype)) if where is None else jnp.broadcast_to(where, jnp.shape(x))
    return total - jnp.log(jnp.sum(counted, axis=axis, keepdims=keepdims, dtype=real_dtype(total.dtype)))


def real_dtype(dtype):
    return np.finfo(dtype).dtype if dtypes.issubdtype(dtype, np.complexfloating) else dtype


def softmax(x, axis: Axis = -1, where=None) -> Any:
    """``exp(x) / sum(exp(x))`` along ``axis``; 0 where ``where`` is False.

    >>> import addax, addax.numpy as jnp
    >>> addax.nn.softmax(jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    check_array_like("softmax", x, *_given(where=where).values())
    return _softmax(x, **_given(where=where), axis=_axis(axis))


@fused(static=("axis",))
def _softmax(x, where=None, *, axis) -> Any:
    terms = jnp.exp(_shifted("softmax", x, axis, where))
    out = terms / jnp.sum(terms, axis=axis, keepdims=True, where=where)
    return out if where is None else jnp.where(where, out, jnp.zeros_like(out))


def _shifted(name: str, x, axis, where):
    """``x`` minus its maximum, elements that do not count at 0."""
    x = as_float(name, x)
    largest = jnp.max(x, axis=axis, keepdims=True, where=where, initial=-np.inf)
    shifted = x - lax.stop_gradient(largest)
    return shifted if where is None else jnp.where(where, shifted, jnp.zeros_like(shifted))


def log_softmax(x, axis: Axis = -1, where=None) -> Any:
    """``x - logsumexp(x)`` along ``axis``; -inf where ``where`` is False.

    >>> import addax, addax.numpy as jnp
    >>> [round(v, 4) for v in addax.nn.log_softmax(jnp.zeros(2)).tolist()]
    [-0.6931, -0.6931]
    """
    check_array_like("log_softmax", x, *_given(where=where).values())
    return _log_softmax(x, **_given(where=where), axis=_axis(axis))


@fused(static=("axis",))
def _log_softmax(x, where=None, *, axis) -> Any:
    shifted = _shifted("log_softmax", x, axis, where)
    out = shifted - jnp.log(jnp.sum(jnp.exp(shifted), axis=axis, keepdims=True, where=where))
    return out if where is None else jnp.where(where, out, -np.inf)


def standardize(
    x, axis: Axis = -1, mean=None, variance=None, epsilon=1e-5, where=None, *, algorithm: str = "fast"
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon)`` along ``axis``.

    Args:
      mean, variance: those of ``x`` along ``axis`` by default.
      where: elements that count for the mean and the variance.
      algorithm: of the variance: "fast" is the mean of squares minus the square of the mean, in one pass; "stable" is
        the mean of squared deviations, which keeps its digits where the mean is large against the deviations.

    >>> import addax, addax.numpy as jnp
    >>> [round(v, 3) for v in addax.nn.standardize(jnp.array([1.0, 2.0, 3.0])).tolist()]
    [-1.225, 0.0, 1.225]
    """
    if algorithm not in ("fast", "stable"):
        raise ValueError(f"standardize: unknown algorithm {algorithm!r}. Expected 'fast' or 'stable'.")
    arrays = _given(mean=mean, variance=variance, where=where)
    check_array_like("standardize", x, epsilon, *arrays.values())
    return _standardize(x, epsilon, **arrays, axis=_axis(axis), algorithm=algorithm)


@fused(static=("axis", "algorithm"))
def _standardize(x, epsilon, mean=None, variance=None, where=None, *, axis, algorithm) -> Any:
    x = as_float("standardize", x)
    if mean is None:
        mean = jnp.mean(x, axis=axis, keepdims=True, where=where)
    if variance is None and algorithm == "stable":
        variance = jnp.mean(jnp.square(x - mean), axis=axis, keepdims=True, where=where)
    elif variance is None:
        squares = jnp.mean(jnp.square(x), axis=axis, keepdims=True, where=where)
        variance = jnp.maximum(squares - jnp.square(mean), 0)  # rounding may make it negative
    return (x - mean) * lax.rsqrt(jnp.asarray(variance + epsilon))


def one_hot(x, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Any:
    """Vectors with a 1 at position ``x`` and zeros elsewhere; all zeros for positions out of range.

    Args:
      x: positions; a list is taken too.
      axis: where the new dimension goes.

    >>> import addax, addax.numpy as jnp
    >>> addax.nn.one_hot(jnp.array([0, 2]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    x = jnp.asarray(x)
    if isinstance(axis, str):
        raise NotImplementedError(f"one_hot: the axis must be a number, got {axis!r}; mesh axes are not supported.")
    try:
        num_classes = as_size(num_classes)
    except TypeError:
        raise TypeError(
            f"one_hot: num_classes must be a Python integer, which fixes the shape of the result; got {num_classes!r:.100}"
        ) from None
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "one_hot")
    rank = x.ndim + 1
    where = axis + rank if axis < 0 else axis
    if not 0 <= where < rank:
        raise ValueError(f"one_hot: axis {axis} is out of bounds for a result of rank {rank}")
    return _one_hot(x, num_classes=num_classes, dtype=dtype, axis=where)


@fused(static=("num_classes", "dtype", "axis"))
def _one_hot(x, *, num_classes, dtype, axis) -> Any:
    shape = [num_classes if i == axis else 1 for i in range(x.ndim + 1)]
    # Compared in 32 bits at least: 256 is no uint8. (In JAX it is the same class as 0 there.)
    wide = dtypes.promote_types(x.dtype, np.float32 if dtypes.issubdtype(x.dtype, np.inexact) else np.int32)
    return (jnp.expand_dims(x, axis).astype(wide) == jnp.arange(num_classes, dtype=wide).reshape(shape)).astype(dtype)
