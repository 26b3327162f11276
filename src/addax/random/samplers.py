"""The basic distributions: uniform, normal, integers, and what follows from them in one step.

Each is written on top of `bits` so that the numbers equal JAX's for the same key.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from addax import lax
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.interpreters.values import broadcast_to, convert, reshape
from addax.numpy.base import canonical_axis, canonical_shape, check_array_like
from addax.numpy.creation import asarray
from addax.ops import random_bits as _prims
from addax.random.keys import single_key, split


def _float_dtype(name: str, dtype):
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)
    if not dtypes.issubdtype(dtype, np.floating):
        raise ValueError(f"dtype argument to `{name}` must be a float dtype, got {dtypes.dtype_name(dtype)}")
    return dtype


def _bits(k, width: int, shape):
    return _prims.random_bits.bind(k, bit_width=width, shape=shape)


def _const(value, dtype):
    return np.asarray(value, dtype)[()]


def _param(x, dtype, shape, name: str):
    """A distribution parameter as an array of ``dtype`` broadcast to ``shape``."""
    check_array_like(name, x)
    x = asarray(x, dtype)
    if x.shape == shape:
        return x
    try:
        fits = np.broadcast_shapes(x.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{name}: shape parameter {shape} does not fit a parameter of shape {x.shape}")
    return broadcast_to(x, shape)


def result_shape(name: str, shape, *params) -> tuple[int, ...]:
    """``shape``, or the common shape of the parameters if it is None.

    Raises:
      ValueError: if the parameters do not broadcast to ``shape``.
    """
    common = np.broadcast_shapes(*(np.shape(p) for p in params))
    if shape is None:
        return common
    shape = canonical_shape(shape)
    try:
        fits = np.broadcast_shapes(shape, common) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} parameter shapes must be broadcast-compatible with shape argument, and the result of broadcasting "
            f"the shapes must equal the shape argument, but got result {common} for shape argument shape={shape}"
        )
    return shape


def uniform_floats(k, shape, dtype):
    """Floats in [0, 1), equally spaced: random mantissa bits under the exponent of 1, minus 1."""
    info = dtypes.finfo(dtype)
    unsigned = np.dtype(f"uint{info.bits}")
    width = 8 if info.nmant < 8 else info.bits  # a byte has bits enough for bfloat16
    raw = _bits(k, width, shape)
    one = np.ones((), dtype).view(unsigned)[()]
    shift = _const(width - info.nmant, raw.dtype)
    mantissa = convert(lax.shift_right_logical(raw, shift), unsigned)
    return lax.sub(lax.bitcast_convert_type(lax.bitwise_or(mantissa, one), dtype), _const(1, dtype))


def uniform(key, shape=(), dtype=None, minval=0.0, maxval=1.0, *, out_sharding=None):
    """Floats uniform in ``[minval, maxval)``.

    >>> import addax.random as jr
    >>> jr.uniform(jr.key(0), (2,))
    Array([0.947667  , 0.9785799 ], dtype=float32)
    """
    k = single_key("uniform", key)
    dtype, shape = _float_dtype("uniform", dtype), canonical_shape(shape)
    return _uniform(k, shape, dtype, minval, maxval)


def _uniform(k, shape, dtype, minval=0.0, maxval=1.0):
    floats = uniform_floats(k, shape, dtype)
    if type(minval) is float and type(maxval) is float and minval == 0.0 and maxval == 1.0:
        return floats
    low, high = _param(minval, dtype, shape, "uniform"), _param(maxval, dtype, shape, "uniform")
    return lax.max(low, lax.add(lax.mul(floats, lax.sub(high, low)), low))


def normal(key, shape=(), dtype=None, *, out_sharding=None):
    """Standard normal numbers: density ``exp(-x^2 / 2) / sqrt(2 pi)``, by the inverse of the error function.

    >>> import addax.random as jr
    >>> jr.normal(jr.key(0), (3,))
    Array([ 1.6226422 ,  2.0252647 , -0.43359444], dtype=float32)
    """
    k = single_key("normal", key)
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "normal")
    shape = canonical_shape(shape)
    if dtypes.issubdtype(dtype, np.complexfloating):
        kr, ki = split(k)
        part = np.finfo(dtype).dtype
        re, im = _normal(kr, shape, part), _normal(ki, shape, part)
        half = _const(math.sqrt(2), part)
        return lax.complex(lax.div(re, half), lax.div(im, half))
    return _normal(k, shape, _float_dtype("normal", dtype))


def _normal(k, shape, dtype):
    low = np.nextafter(np.asarray(-1, dtype), np.asarray(0, dtype))[()] if dtype.kind == "f" else _next_up(dtype)
    u = _uniform(k, shape, dtype, low, _const(1, dtype))
    return lax.mul(_const(math.sqrt(2), dtype), lax.erf_inv(u))


def _next_up(dtype):
    """The neighbour of -1 towards 0, for dtypes that NumPy's nextafter does not know."""
    bits = np.asarray(-1, dtype).view(np.uint16)
    return (bits - np.uint16(1)).view(dtype)[()]


def randint(key, shape, minval, maxval, dtype=None, *, out_sharding=None):
    """Integers uniform in ``[minval, maxval)``. (Very slightly biased unless the span is a power of two, as in JAX.)

    >>> import addax.random as jr
    >>> jr.randint(jr.key(0), (4,), 0, 10).dtype
    dtype('int32')
    """
    k = single_key("randint", key)
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "randint")
    if not dtypes.issubdtype(dtype, np.integer):
        raise TypeError(f"randint only accepts integer dtypes, got {dtypes.dtype_name(dtype)}")
    check_array_like("randint", minval, maxval)
    for x in (minval, maxval):
        if not dtypes.issubdtype(get_aval(x).dtype, np.integer):
            raise TypeError(f"randint requires integer minval and maxval, got {get_aval(x).str_short(False)}")
    shape = result_shape("randint", shape, minval, maxval)
    info = dtypes.iinfo(dtype)
    width = info.bits
    unsigned = np.dtype(f"uint{width}")
    top_included = _exceeds(maxval, info.max)
    low = _param(_clip(minval, info), dtype, shape, "randint")
    high = _param(_clip(maxval, info), dtype, shape, "randint")
    k1, k2 = split(k)
    upper, lower = _bits(k1, width, shape), _bits(k2, width, shape)

    # Two random words make one number of twice the width; its remainder by the span is nearly uniform.
    span = convert(lax.sub(high, low), unsigned)
    if top_included:
        span = lax.select(
            lax.gt(high, low), lax.add(span, lax.full_like(span, 1)), span
        )  # maxval lies above the dtype: its largest value is allowed
    span = lax.select(lax.le(high, low), lax.full_like(span, 1), span)
    multiplier = lax.rem(lax.full_like(span, 2 ** (width // 2)), span)
    multiplier = lax.rem(lax.mul(multiplier, multiplier), span)
    offset = lax.add(lax.mul(lax.rem(upper, span), multiplier), lax.rem(lower, span))
    offset = lax.rem(offset, span)
    return lax.add(low, convert(offset, dtype))


def _exceeds(x, bound: int) -> bool:
    return isinstance(x, (int, np.integer)) and int(x) > bound


def _clip(x, info):
    return min(max(int(x), info.min), info.max) if isinstance(x, (int, np.integer)) else x


def bernoulli(key, p=0.5, shape=None, mode: str = "low", *, out_sharding=None):
    """True with probability ``p``.

    >>> import addax.random as jr
    >>> jr.bernoulli(jr.key(0), 0.5, (3,)).tolist()
    [False, False, True]
    """
    k = single_key("bernoulli", key)
    check_array_like("bernoulli", p)
    dtype = get_aval(p).dtype
    if not dtypes.issubdtype(dtype, np.floating):
        if not dtypes.issubdtype(dtype, np.integer):
            raise TypeError(f"bernoulli probability `p` must have a floating dtype, got {dtypes.dtype_name(dtype)}.")
        dtype = dtypes.default_float_dtype()
    shape = result_shape("bernoulli", shape, p)
    return lax.lt(_uniform(k, shape, dtype), _param(p, dtype, shape, "bernoulli"))


def gumbel(key, shape=(), dtype=None, mode=None, *, out_sharding=None):
    """Gumbel numbers: density ``exp(-x - exp(-x))``, as ``-log(-log(u))``."""
    k = single_key("gumbel", key)
    return _gumbel(k, canonical_shape(shape), _float_dtype("gumbel", dtype))


def _gumbel(k, shape, dtype):
    u = _uniform(k, shape, dtype, _const(dtypes.finfo(dtype).tiny, dtype), _const(1, dtype))
    return lax.neg(lax.log(lax.neg(lax.log(u))))


def exponential(key, shape=(), dtype=None, *, out_sharding=None):
    """Exponential numbers: density ``exp(-x)`` on ``x >= 0``, as ``-log(1 - u)``."""
    k = single_key("exponential", key)
    dtype = _float_dtype("exponential", dtype)
    return lax.neg(lax.log1p(lax.neg(uniform_floats(k, canonical_shape(shape), dtype))))


def truncated_normal(key, lower, upper, shape=None, dtype=None, *, out_sharding=None):
    """Normal numbers conditioned on ``lower < x < upper``."""
    k = single_key("truncated_normal", key)
    dtype = _float_dtype("truncated_normal", dtype)
    check_array_like("truncated_normal", lower, upper)
    shape = result_shape("truncated_normal", shape, lower, upper)
    lo, hi = asarray(lower, dtype), asarray(upper, dtype)
    root = _const(math.sqrt(2), dtype)
    a, b = lax.erf(lax.div(lo, root)), lax.erf(lax.div(hi, root))
    u = _uniform(k, shape, dtype, a, b)
    out = lax.mul(root, lax.erf_inv(u))
    # Rounding may reach the bounds: stay strictly inside.
    inside = np.asarray(np.inf, dtype)[()]
    low_limit = lax.stop_gradient(lax.nextafter(lo, broadcast_to(inside, lo.shape)))
    high_limit = lax.stop_gradient(lax.nextafter(hi, broadcast_to(-inside, hi.shape)))
    return lax.clamp(broadcast_to(low_limit, shape), out, broadcast_to(high_limit, shape))


def categorical(key, logits, axis: int = -1, shape=None, replace: bool = True, mode=None):
    """Indices along ``axis``, with probabilities ``softmax(logits)``, by the largest of Gumbel-perturbed logits."""
    k = single_key("categorical", key)
    check_array_like("categorical", logits)
    logits = asarray(logits)
    axis = canonical_axis(axis, logits.ndim)
    batch = logits.shape[:axis] + logits.shape[axis + 1 :]
    shape = batch if shape is None else canonical_shape(shape)
    prefix = shape[: len(shape) - len(batch)]
    if not dtypes.issubdtype(logits.dtype, np.floating):
        raise TypeError(f"categorical: logits must be floats, got {dtypes.dtype_name(logits.dtype)}")
    if tuple(shape[len(prefix) :]) != batch:
        raise ValueError(f"categorical: shape {shape} must end in the batch shape {batch} of the logits")
    if replace:
        noise = _gumbel(k, (*prefix, *logits.shape), logits.dtype)
        scores = lax.add(noise, reshape(logits, (1,) * len(prefix) + logits.shape))
        return lax.argmax(scores, axis + len(prefix), np.int32)
    count = math.prod(prefix)
    if count > logits.shape[axis]:
        raise ValueError(
            f"Number of samples without replacement ({count}) cannot exceed number of categories ({logits.shape[axis]})."
        )
    scores = lax.add(_gumbel(k, logits.shape, logits.dtype), logits)
    _, picked = lax.top_k(_last(scores, axis), count)
    rank = picked.ndim
    picked = lax.transpose(picked, (rank - 1, *range(rank - 1)))
    return reshape(picked, (*prefix, *picked.shape[1:]))


def _last(x, axis: int):
    order = [i for i in range(x.ndim) if i != axis]
    return lax.transpose(x, (*order, axis))


def permutation(key, x, axis: int = 0, independent: bool = False, *, out_sharding=None):
    """``x`` (or ``arange(x)`` for an integer) in random order along ``axis``.

    >>> import addax.random as jr
    >>> sorted(jr.permutation(jr.key(0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    k = single_key("permutation", key)
    check_array_like("permutation", x)
    if np.ndim(x) == 0:
        if not dtypes.issubdtype(get_aval(x).dtype, np.integer):
            raise TypeError("x must be an integer or at least 1-dimensional")
        x = lax.iota(np.dtype(np.int32), int(x))
        return _shuffle(k, x, 0)
    x = asarray(x)
    axis = canonical_axis(axis, x.ndim)
    if independent or x.ndim == 1:
        return _shuffle(k, x, axis)
    order = _shuffle(k, lax.iota(np.dtype(np.int32), x.shape[axis]), 0)
    return x[(slice(None),) * axis + (order,)]


def _shuffle(k, x, axis: int):
    """Sort by random keys, so often that ties between 32-bit keys do not matter: 3 log n / log 2^32 times."""
    size = x.size
    rounds = math.ceil(3 * math.log(max(size, 1)) / math.log(2**32 - 1))
    for _ in range(rounds):
        k, sub = split(k)
        _, x = lax.sort((_bits(sub, 32, x.shape), x), dimension=axis, num_keys=1)
    return x


def choice(key, a, shape=(), replace: bool = True, p: Any = None, axis: int = 0, mode=None):
    """Random elements of ``a`` (or of ``arange(a)``) along ``axis``, with probabilities ``p``."""
    k = single_key("choice", key)
    shape = canonical_shape(shape)
    check_array_like("choice", a)
    integer = np.ndim(a) == 0
    if integer and int(a) <= 0 and math.prod(shape):
        raise ValueError("a must be greater than 0 unless no samples are taken")
    arr = None if integer else asarray(a)
    axis = 0 if arr is None else canonical_axis(axis, arr.ndim)
    n = int(a) if arr is None else arr.shape[axis]
    count = math.prod(shape)
    if not count:
        return lax.full(shape, 0, np.dtype(np.int32) if arr is None else arr.dtype)
    if n <= 0:
        raise ValueError("a must be non-empty unless no samples are taken")
    if not replace and count > n:
        raise ValueError(f"Cannot take a larger sample (size {count}) than population (size {n}) when 'replace=False'")
    if p is None:
        index = randint(k, shape, 0, n) if replace else reshape(permutation(k, n)[:count], shape)
        if not replace and arr is not None and arr.ndim == 1:
            return reshape(permutation(k, arr)[:count], shape)
    else:
        check_array_like("choice", p)
        weights = asarray(p)
        if weights.shape != (n,):
            raise ValueError(
                f"p must be None or a 1D vector with the same size as a.shape[axis]. p has shape {weights.shape} and "
                f"a.shape[axis] is {n}."
            )
        if replace:
            total = lax.cumsum(weights, 0)
            u = _uniform(k, shape, total.dtype)
            r = lax.mul(total[-1], lax.sub(_const(1, total.dtype), u))
            index = _searchsorted(total, r)
        else:
            scores = lax.add(_gumbel(k, (n,), weights.dtype), lax.log(weights))
            index = reshape(lax.top_k(scores, count)[1], shape)
    if arr is None:
        return index
    return arr[(slice(None),) * axis + (index,)]


def _searchsorted(cumulative, r):
    """The first position whose cumulative weight reaches ``r``."""
    below = lax.lt(broadcast_to(cumulative, (*r.shape, cumulative.shape[0])), reshape(r, (*r.shape, 1)))
    return lax.reduce_sum(convert(below, np.dtype(np.int32)), (r.ndim,))


def rademacher(key, shape=(), dtype=None, *, out_sharding=None):
    """-1 or 1, equally likely."""
    k = single_key("rademacher", key)
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "rademacher")
    heads = convert(bernoulli(k, 0.5, canonical_shape(shape)), dtype)
    return lax.sub(lax.mul(_const(2, dtype), heads), _const(1, dtype))
