"""The basic distributions: uniform, normal, integers, and what follows from them in one step.

Each is written on top of `bits` so that the numbers equal JAX's for the same key. The public function checks its
arguments; the function of arrays below it is one compiled program per shape and dtype.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from addax import lax
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.config import current_context
from addax.engines.eager import fused
from addax.interpreters.values import broadcast_to, convert
from addax.numpy.base import canonical_shape
from addax.numpy.creation import asarray, placed
from addax.random.base import bits_of, const, float_dtype, inexact_dtype, param, result_shape, split_key
from addax.random.keys import single_key


@placed
def uniform(key, shape=(), dtype=None, minval=0.0, maxval=1.0, *, out_sharding=None):
    """Floats uniform in ``[minval, maxval)``.

    >>> import addax.random as jr
    >>> jr.uniform(jr.key(0), (2,))
    Array([0.947667 , 0.9785799], dtype=float32)
    """
    k = single_key("uniform", key)
    dtype, shape = float_dtype("uniform", dtype), canonical_shape(shape)
    if type(minval) is float and type(maxval) is float and minval == 0.0 and maxval == 1.0:
        return unit_uniform(k, shape=shape, dtype=dtype)
    result_shape("uniform", shape, minval, maxval)
    return uniform_between(k, minval, maxval, shape=shape, dtype=dtype)


@fused(static=("shape", "dtype"))
def unit_uniform(k, *, shape, dtype) -> Any:
    """Floats in [0, 1), equally spaced: random mantissa bits under the exponent of 1, minus 1."""
    info = dtypes.finfo(dtype)
    unsigned = np.dtype(f"uint{info.bits}")
    width = 8 if info.nmant < 8 else info.bits  # a byte has bits enough for bfloat16
    raw = bits_of(k, width, shape)
    one = np.ones((), dtype).view(unsigned)[()]
    shift = const(width - info.nmant, raw.dtype)
    mantissa = convert(lax.shift_right_logical(raw, shift), unsigned)
    return lax.sub(lax.bitcast_convert_type(lax.bitwise_or(mantissa, one), dtype), const(1, dtype))


@fused(static=("shape", "dtype"))
def uniform_between(k, minval, maxval, *, shape, dtype) -> Any:
    floats = unit_uniform(k, shape=shape, dtype=dtype)
    low, high = param(minval, dtype, shape, "uniform"), param(maxval, dtype, shape, "uniform")
    return lax.max(low, lax.add(lax.mul(floats, lax.sub(high, low)), low))  # rounding may go below, never above


@placed
def normal(key, shape=(), dtype=None, *, out_sharding=None):
    """Standard normal numbers: density ``exp(-x^2 / 2) / sqrt(2 pi)``, by the inverse of the error function.

    Of a complex dtype: density ``exp(-|z|^2) / pi``, both parts normal with variance 1/2.

    >>> import addax.random as jr
    >>> jr.normal(jr.key(0), (3,))
    Array([ 1.6226422 ,  2.0252647 , -0.43359444], dtype=float32)
    """
    k = single_key("normal", key)
    return standard_normal(k, shape=canonical_shape(shape), dtype=inexact_dtype("normal", dtype))


@fused(static=("shape", "dtype"))
def standard_normal(k, *, shape, dtype) -> Any:
    if dtypes.issubdtype(dtype, np.complexfloating):
        kr, ki = split_key(k)
        part = np.finfo(dtype).dtype
        root = const(math.sqrt(2), part)
        re, im = (lax.div(standard_normal(x, shape=shape, dtype=part), root) for x in (kr, ki))
        return lax.complex(re, im)
    u = uniform_between(k, _above_minus_one(dtype), const(1, dtype), shape=shape, dtype=dtype)
    return lax.mul(const(math.sqrt(2), dtype), lax.erf_inv(u))


def _above_minus_one(dtype):
    """The neighbour of -1 towards 0."""
    bits = np.asarray(-1, dtype).view(f"uint{dtype.itemsize * 8}")
    return (bits - bits.dtype.type(1)).view(dtype)[()]


@placed
def truncated_normal(key, lower, upper, shape=None, dtype=None, *, out_sharding=None):
    """Normal numbers conditioned on ``lower < x < upper``.

    >>> import addax.random as jr
    >>> jr.truncated_normal(jr.key(0), -1.0, 1.0, (2,)).shape
    (2,)
    """
    k = single_key("truncated_normal", key)
    dtype = float_dtype("truncated_normal", dtype)
    shape = result_shape("truncated_normal", shape, lower, upper)
    return _truncated_normal(k, lower, upper, shape=shape, dtype=dtype)


@fused(static=("shape", "dtype"))
def _truncated_normal(k, lower, upper, *, shape, dtype):
    lo, hi = asarray(lower, dtype), asarray(upper, dtype)
    root = const(math.sqrt(2), dtype)
    a, b = lax.erf(lax.div(lo, root)), lax.erf(lax.div(hi, root))
    u = uniform_between(k, a, b, shape=shape, dtype=dtype)
    out = lax.mul(root, lax.erf_inv(u))
    # Rounding may reach the bounds: stay strictly inside.
    inf = const(np.inf, dtype)
    lo, hi = lax.stop_gradient(lo), lax.stop_gradient(hi)
    low_limit = lax.nextafter(lo, broadcast_to(inf, lo.shape))
    high_limit = lax.nextafter(hi, broadcast_to(-inf, hi.shape))
    return lax.clamp(broadcast_to(low_limit, shape), out, broadcast_to(high_limit, shape))


@placed
def gumbel(key, shape=(), dtype=None, mode=None, *, out_sharding=None):
    """Gumbel numbers: density ``exp(-x - exp(-x))``, as ``-log(-log(u))``.

    Args:
      mode: "high" draws twice the bits, so that large values are as finely resolved as they are rare; "low" (the
        default, None) does not exceed 16 in float32.

    >>> import addax.random as jr
    >>> jr.gumbel(jr.key(0), (2,)).dtype
    dtype('float32')
    """
    k = single_key("gumbel", key)
    dtype, shape = float_dtype("gumbel", dtype), canonical_shape(shape)
    return standard_gumbel(k, shape=shape, dtype=dtype, mode=gumbel_mode(mode))


def gumbel_mode(mode) -> str:
    if mode not in (None, "low", "high"):
        raise ValueError(f"Must provide valid mode for gumbel got: {mode}. The modes are 'low' and 'high'.")
    return mode or ("high" if current_context().high_dynamic_range_gumbel else "low")


@fused(static=("shape", "dtype", "mode"))
def standard_gumbel(k, *, shape, dtype, mode="low") -> Any:
    info = dtypes.finfo(dtype)
    if mode == "low":
        u = uniform_between(k, const(info.tiny, dtype), const(1, dtype), shape=shape, dtype=dtype)
        return lax.neg(lax.log(lax.neg(lax.log(u))))
    coarse, fine = _two_digits(k, shape, dtype)
    # Small u give the large values: fill in the digits that the coarse number lacks there.
    below = lax.add(lax.add(coarse, lax.mul(const(info.eps, dtype), fine)), const(info.tiny, dtype))
    u = lax.select(lax.ge(coarse, lax.full_like(coarse, 0.5)), coarse, below)
    return lax.neg(lax.log(lax.neg(lax.log1p(lax.neg(u)))))


def _two_digits(k, shape, dtype):
    """Two uniform arrays from one key: the leading and the following digits of a number in [0, 1)."""
    both = unit_uniform(k, shape=(2, *shape), dtype=dtype)
    return both[0], both[1]


@placed
def exponential(key, shape=(), dtype=None, *, out_sharding=None):
    """Exponential numbers: density ``exp(-x)`` on ``x >= 0``, as ``-log(1 - u)``.

    >>> import addax.random as jr
    >>> bool((jr.exponential(jr.key(0), (100,)) >= 0).all())
    True
    """
    k = single_key("exponential", key)
    return standard_exponential(k, shape=canonical_shape(shape), dtype=float_dtype("exponential", dtype))


@fused(static=("shape", "dtype"))
def standard_exponential(k, *, shape, dtype) -> Any:
    return lax.neg(lax.log1p(lax.neg(unit_uniform(k, shape=shape, dtype=dtype))))


@placed
def bernoulli(key, p=0.5, shape=None, mode: str = "low", *, out_sharding=None):
    """True with probability ``p``.

    Args:
      mode: "high" compares ``p`` with twice the bits, for probabilities that are not multiples of 2**-23.

    >>> import addax.random as jr
    >>> jr.bernoulli(jr.key(0), 0.5, (3,)).tolist()
    [False, False, True]
    """
    k = single_key("bernoulli", key)
    if mode not in ("low", "high"):
        raise ValueError(f"bernoulli: got mode={mode!r}, expected 'high' or 'low'")
    shape = result_shape("bernoulli", shape, p)
    dtype = get_aval(p).dtype
    if not dtypes.issubdtype(dtype, np.floating):
        if not dtypes.issubdtype(dtype, np.integer):
            raise TypeError(f"bernoulli probability `p` must have a floating dtype, got {dtypes.dtype_name(dtype)}.")
        dtype = dtypes.default_float_dtype()
    return heads(k, p, shape=shape, dtype=dtype, mode=mode)


@fused(static=("shape", "dtype", "mode"))
def heads(k, p, *, shape, dtype, mode="low") -> Any:
    p = param(p, dtype, shape, "bernoulli")
    if mode == "low":
        return lax.lt(unit_uniform(k, shape=shape, dtype=dtype), p)
    coarse, fine = _two_digits(k, shape, dtype)
    return lax.lt(lax.mul(fine, const(dtypes.finfo(dtype).eps, dtype)), lax.sub(p, coarse))


@placed
def rademacher(key, shape=(), dtype=None, *, out_sharding=None):
    """-1 or 1, equally likely.

    >>> import addax.random as jr
    >>> set(jr.rademacher(jr.key(0), (100,)).tolist()) == {-1, 1}
    True
    """
    k = single_key("rademacher", key)
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "rademacher")
    return signs(k, shape=canonical_shape(shape), dtype=dtype)


@fused(static=("shape", "dtype"))
def signs(k, *, shape, dtype) -> Any:
    one = convert(heads(k, 0.5, shape=shape, dtype=dtypes.default_float_dtype()), np.dtype(np.int32))
    return convert(lax.sub(lax.add(one, one), const(1, one.dtype)), dtype)


@placed
def randint(key, shape, minval, maxval, dtype=None, *, out_sharding=None):
    """Integers uniform in ``[minval, maxval)``; ``minval`` where the interval is empty.

    Very slightly biased unless the span is a power of two, as in JAX. Bounds above the dtype's largest value include
    that value; float bounds lose their fraction.

    >>> import addax.random as jr
    >>> jr.randint(jr.key(0), (4,), 0, 10).dtype
    dtype('int32')
    """
    k = single_key("randint", key)
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "randint")
    if not dtypes.issubdtype(dtype, np.integer):
        raise TypeError(f"randint only accepts integer dtypes, got {dtypes.dtype_name(dtype)}")
    shape = result_shape("randint", shape, minval, maxval)
    for x in (minval, maxval):
        if type(x) is not int and dtypes.issubdtype(get_aval(x).dtype, np.complexfloating):
            raise TypeError(f"randint requires real minval and maxval, got {get_aval(x).str_short(False)}")
    if dtype.itemsize >= 4:
        least, largest = _range(dtype)
        (low, _), (high, above) = _bound(minval, least, largest, dtype), _bound(maxval, least, largest, dtype)
        return integers(k, low, high, *(() if above is False else (above,)), shape=shape, dtype=dtype)
    (least, largest), wide = _range(dtype), np.dtype(np.int32)
    low, _ = _bound(minval, least, largest, wide)
    high, _ = _bound(maxval, least, largest + 1, wide)
    return convert(integers(k, low, high, shape=shape, dtype=wide), dtype)


@functools.cache
def _range(dtype) -> tuple[int, int]:
    info = dtypes.iinfo(dtype)
    return int(info.min), int(info.max)


def _bound(x, least: int, largest: int, dtype) -> tuple[Any, Any]:
    """``(x clipped to least ... largest, whether it lies above)``"""
    if isinstance(x, (int, np.integer)):
        return const(min(max(int(x), least), largest), dtype), int(x) > largest
    own = get_aval(x).dtype
    if not dtypes.issubdtype(own, np.integer):
        x, own = convert(asarray(x), np.dtype(np.int32)), np.dtype(np.int32)
    low, high = _range(own)
    if least <= low and high <= largest:
        return x, False
    clipped = lax.clamp(const(max(least, low), own), asarray(x), const(min(largest, high), own))
    return clipped, lax.gt(asarray(x), clipped)


@fused(static=("shape", "dtype"))
def integers(k, minval, maxval, above=None, *, shape, dtype) -> Any:
    """Integers in ``[minval, maxval)``, or up to the largest of the dtype where ``above``."""
    width = dtypes.iinfo(dtype).bits
    unsigned = np.dtype(f"uint{width}")
    low, high = param(minval, dtype, shape, "randint"), param(maxval, dtype, shape, "randint")
    k1, k2 = split_key(k)
    upper, lower = bits_of(k1, width, shape), bits_of(k2, width, shape)

    # Two random words make one number of twice the width; its remainder by the span is nearly uniform.
    span = convert(lax.sub(high, low), unsigned)
    if above is not None:
        more = lax.bitwise_and(param(above, np.dtype(bool), shape, "randint"), lax.gt(high, low))
        span = lax.add(span, convert(more, unsigned))
    span = lax.select(lax.le(high, low), lax.full_like(span, 1), span)
    multiplier = lax.rem(lax.full_like(span, 2 ** (width // 2)), span)
    multiplier = lax.rem(lax.mul(multiplier, multiplier), span)
    offset = lax.add(lax.mul(lax.rem(upper, span), multiplier), lax.rem(lower, span))
    offset = lax.rem(offset, span)
    return lax.add(low, convert(offset, dtype))


def randint_below(k, n: int, shape) -> Any:
    """Integers below a Python integer, of the default dtype."""
    dtype = dtypes.default_int_dtype()
    return integers(k, const(0, dtype), const(n, dtype), shape=shape, dtype=dtype)
