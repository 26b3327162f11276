"""Floating point numbers from inside: rounding, exponents, signs, neighbours, nan and infinity; parts of complex ones."""

from __future__ import annotations

import math

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.numpy import terms as t
from addax.numpy.base import (
    as_array,
    as_operand,
    check_array_like,
    elementwise,
    fused,
    inexact_dtype,
    no_out,
    operands,
    promote_inexact,
    same_dtype,
)
from addax.ops.convert import bitcast_convert_type
from addax.transforms.custom import custom_jvp

# ---------------------------------------------------------------------------------------------------------------------
# Rounding


def _is_whole(x) -> bool:
    return t.is_integer(x) or t.is_bool(x)


@elementwise(same_dtype)
def floor(x, /):
    """The largest whole number <= x; integers are themselves.

    >>> import addax.numpy as jnp
    >>> jnp.floor(jnp.array([-1.5, 1.5]))
    Array([-2.,  1.], dtype=float32)
    """
    return as_array(x) if _is_whole(x) else t.floor(x)


@elementwise(same_dtype)
def ceil(x, /):
    """The smallest whole number >= x; integers are themselves.

    >>> import addax.numpy as jnp
    >>> jnp.ceil(jnp.array([-1.5, 1.5]))
    Array([-1.,  2.], dtype=float32)
    """
    return as_array(x) if _is_whole(x) else t.ceil(x)


@fused
def trunc(x):
    """x without its fraction: rounded toward zero; integers are themselves.

    >>> import addax.numpy as jnp
    >>> jnp.trunc(jnp.array([-1.5, 1.5]))
    Array([-1.,  1.], dtype=float32)
    """
    (x,) = operands("trunc", same_dtype, x)
    return as_array(x) if _is_whole(x) else t.select(t.lt(x, 0), t.ceil(x), t.floor(x))


@elementwise(same_dtype)
def rint(x, /):
    """The nearest whole number, ties to the even one; integers become floats.

    >>> import addax.numpy as jnp
    >>> jnp.rint(jnp.array([0.5, 1.5, 2.6]))
    Array([0., 2., 3.], dtype=float32)
    """
    if _is_whole(x):
        return t.to_dtype(x, dtypes.default_float_dtype())
    if t.is_complex(x):
        return t.complex_(t.round_half_even(t.real(x)), t.round_half_even(t.imag(x)))
    return t.round_half_even(x)


def round(a, decimals: int = 0, out=None):
    """``a`` rounded to a number of decimals, ties to the even digit; integers are themselves.

    Args:
      decimals: a Python int; negative ones, for floats, round before the point.

    >>> import addax.numpy as jnp
    >>> jnp.round(jnp.array([1.25, 2.375]), 1)
    Array([1.2, 2.4], dtype=float32)
    """
    no_out("round", out)
    return _round(a, decimals=decimals.__index__())


around = round


@fused(static=("decimals",))
def _round(a, *, decimals: int):
    (a,) = operands("round", same_dtype, a)
    if t.is_integer(a):
        if decimals < 0:
            raise NotImplementedError(
                "integer addax.numpy.round is not implemented for decimals < 0: convert to float first"
            )
        return as_array(a)
    if t.is_bool(a):
        raise ValueError("round: booleans cannot be rounded; convert to a number first")
    if t.is_complex(a):
        return t.complex_(_round_real(t.real(a), decimals), _round_real(t.imag(a), decimals))
    return _round_real(a, decimals)


def _round_real(x, decimals: int):
    if decimals == 0:
        return t.round_half_even(x)
    # Floats of 16 bits and less have no room for the shifted digits.
    dtype, weak = get_aval(x).dtype, get_aval(x).weak_type
    wide = t.to_dtype(x, dtypes.float32) if dtypes.itemsize_bits(dtype) < 32 else x
    scale = t.const(wide, 10.0 ** builtin_abs(decimals))
    shift, back = (t.mul, t.div) if decimals > 0 else (t.div, t.mul)
    return t.to_dtype(back(t.round_half_even(shift(wide, scale)), scale), dtype, weak)


builtin_abs = abs

# ---------------------------------------------------------------------------------------------------------------------
# Representation: sign x mantissa x 2^exponent


def _bits(x):
    """The bits of floats as signed integers, the number of mantissa bits, and that of exponent bits."""
    info = dtypes.finfo(t.dtype_of(x))
    width = info.bits
    return bitcast_convert_type.bind(x, new_dtype=np.dtype(f"i{width // 8}")), info.nmant, width - 1 - info.nmant


@fused
def signbit(x, /):
    """Whether the sign bit is set: true for negative numbers, -0 and -nan.

    >>> import addax.numpy as jnp
    >>> jnp.signbit(jnp.array([-0.0, 0.0, -3.0]))
    Array([ True, False,  True], dtype=bool)
    """
    (x,) = operands("signbit", same_dtype, x)
    if t.is_complex(x):
        raise ValueError(f"addax.numpy.signbit is not well defined for {dtypes.dtype_name(t.dtype_of(x))}")
    if t.is_bool(x) or t.is_unsigned(x):
        return t.full_like(t.ne(x, x), False)
    if t.is_integer(x):
        return t.lt(x, 0)
    return t.lt(_bits(as_array(x))[0], 0)


@elementwise(inexact_dtype)
def copysign(x, y, /):
    """The magnitude of x with the sign of y.

    >>> import addax.numpy as jnp
    >>> jnp.copysign(3.0, -0.0)
    Array(-3., dtype=float32, weak_type=True)
    """
    if t.is_complex(x):
        raise TypeError("copysign does not support complex-valued inputs")
    return t.select(signbit(y), t.neg(t.abs_(x)), t.abs_(x))


@elementwise(inexact_dtype)
def nextafter(x, y, /):
    """The neighbour of x among the floats of its dtype, on the side of y.

    >>> import addax.numpy as jnp
    >>> jnp.nextafter(1.0, 2.0) - 1
    Array(1.1920929e-07, dtype=float32, weak_type=True)
    """
    return t.nextafter(x, y)


@elementwise(inexact_dtype)
def spacing(x, /):
    """The distance from x to its neighbour away from zero, with the sign of x; nan for infinities.

    >>> import addax.numpy as jnp
    >>> jnp.spacing(1.0)
    Array(1.1920929e-07, dtype=float32)
    """
    dtype = t.dtype_of(x)
    x = t.to_dtype(x, dtype)
    away = t.select(signbit(x), t.const(x, -math.inf), t.const(x, math.inf))
    return t.select(t.is_finite(x), t.sub(t.nextafter(x, away), x), t.const(x, math.nan))


@fused
def frexp(x, /):
    """``(mantissa, exponent)`` with x = mantissa 2^exponent and 1/2 <= |mantissa| < 1.

    0, infinities and nan are their own mantissa, with exponent 0. The exponent is int32.

    >>> import addax.numpy as jnp
    >>> jnp.frexp(jnp.array([3.5, 0.0]))
    (Array([0.875, 0.   ], dtype=float32), Array([2, 0], dtype=int32))
    """
    check_array_like("frexp", x)
    (x,) = promote_inexact(as_operand(x))
    if t.is_complex(x):
        raise TypeError("frexp does not support complex-valued inputs")
    dtype = t.dtype_of(x)
    return _frexp(as_array(t.to_dtype(x, dtype)))


@custom_jvp
def _frexp(x):
    dtype = t.dtype_of(x)
    bits, mantissa_bits, exponent_bits = _bits(x)
    bias = 2 ** (exponent_bits - 1) - 1
    mask = 2**exponent_bits - 1

    def field(b):
        return t.to_dtype(t.and_(t.shift_right_logical(b, mantissa_bits), mask), dtypes.int32)

    # Arithmetic takes subnormal numbers for 0, so theirs is done on the bits: those are the number in units of the
    # least one, and converted to a float they are normal.
    magnitude = t.and_(bits, (1 << (mantissa_bits + exponent_bits)) - 1)
    subnormal = t.eq(field(bits), 0)
    units = bitcast_convert_type.bind(t.to_dtype(magnitude, dtype), new_dtype=t.dtype_of(bits))
    normal = t.select(subnormal, units, magnitude)
    exponent = t.sub(field(normal), bias - 1)
    exponent = t.select(subnormal, t.add(exponent, 1 - bias - mantissa_bits), exponent)
    sign = t.xor(bits, magnitude)
    fraction = t.and_(normal, (1 << mantissa_bits) - 1)
    half = t.or_(t.or_(fraction, (bias - 1) << mantissa_bits), sign)
    mantissa = bitcast_convert_type.bind(half, new_dtype=dtype)
    itself = t.or_(t.eq(magnitude, 0), t.not_(t.is_finite(x)))
    return t.select(itself, x, mantissa), t.select(itself, t.const(exponent, 0), exponent)


@_frexp.defjvp
def _frexp_jvp(primals, tangents):
    """The mantissa is linear in x between powers of 2; the exponent is constant."""
    mantissa, exponent = _frexp(*primals)
    (tangent,) = tangents
    return (mantissa, exponent), (ldexp(tangent, t.neg(exponent)), np.zeros(exponent.shape, dtypes.float0))


@fused
def ldexp(x1, x2, /):
    """x1 2^x2, for integers x2, rounded once, also where 2^x2 itself is out of range.

    >>> import addax.numpy as jnp
    >>> jnp.ldexp(1.5, 2)
    Array(6., dtype=float32)
    """
    check_array_like("ldexp", x1, x2)
    d1, d2 = (get_aval(as_operand(x)).dtype for x in (x1, x2))
    if dtypes.issubdtype(d1, np.complexfloating) or not (dtypes.issubdtype(d2, np.integer) or d2 == np.bool_):
        raise ValueError(f"ldexp not supported for input types ({d1!r}, {d2!r}): x2 must be integers")
    (x1,) = promote_inexact(as_operand(x1))
    dtype = t.dtype_of(x1)
    x, n = operands("ldexp", lambda _: dtype, t.to_dtype(x1, dtype), t.to_dtype(as_array(as_operand(x2)), dtype))
    info = dtypes.finfo(dtype)
    # Beyond these exponents every result is 0 or infinite. The power is applied in three factors that are in range;
    # the last takes what is left, so that only one product can round.
    span = 2 * (int(info.maxexp) - int(info.minexp)) + int(info.nmant)
    n = t.max_(t.min_(n, float(span)), float(-span))
    limit = float(min(int(info.maxexp) - 1, -int(info.minexp) - 1))
    for _ in range(4):
        step = t.max_(t.min_(n, limit), -limit)
        x, n = t.mul(x, _power_of_two(step)), t.sub(n, step)
    return t.mul(x, _power_of_two(n))


def _power_of_two(n):
    """2^n for whole n whose power is a normal number, exactly: n is written into the exponent."""
    dtype = t.dtype_of(n)
    info = dtypes.finfo(dtype)
    bits = np.dtype(f"i{info.bits // 8}")
    bias = 2 ** (info.bits - 2 - info.nmant) - 1
    exponent = t.to_dtype(t.add(n, float(bias)), bits)
    return bitcast_convert_type.bind(t.shift_left(exponent, int(info.nmant)), new_dtype=dtype)


# ---------------------------------------------------------------------------------------------------------------------
# nan and infinity


def _parts(name: str, x):
    (x,) = operands(name, same_dtype, x)
    return (t.real(x), t.imag(x)) if t.is_complex(x) else (x,)


def _false_like(x):
    return t.full_like(t.ne(x, x), False)


@fused
def isnan(x, /):
    """Whether x, or a part of it, is nan.

    >>> import addax.numpy as jnp
    >>> jnp.isnan(jnp.array([0.0, jnp.nan]))
    Array([False,  True], dtype=bool)
    """
    (x,) = operands("isnan", same_dtype, x)
    return t.ne(x, x)


@fused
def isfinite(x, /):
    """Whether x is neither nan nor infinite.

    >>> import addax.numpy as jnp
    >>> jnp.isfinite(jnp.array([0.0, jnp.nan, jnp.inf]))
    Array([ True, False, False], dtype=bool)
    """
    parts = _parts("isfinite", x)
    if _is_whole(parts[0]):
        return t.full_like(t.ne(parts[0], parts[0]), True)
    found = [t.is_finite(p) for p in parts]
    return found[0] if len(found) == 1 else t.and_(*found)


@fused
def isinf(x, /):
    """Whether x, or a part of it, is infinite.

    >>> import addax.numpy as jnp
    >>> jnp.isinf(jnp.array([0.0, jnp.nan, -jnp.inf]))
    Array([False, False,  True], dtype=bool)
    """
    parts = _parts("isinf", x)
    if _is_whole(parts[0]):
        return _false_like(parts[0])
    found = [t.eq(t.abs_(p), math.inf) for p in parts]
    return found[0] if len(found) == 1 else t.or_(*found)


def _is_signed_infinity(name: str, x, value: float):
    (x,) = operands(name, same_dtype, x)
    if t.is_complex(x):
        raise ValueError("isposinf/isneginf are not well defined for complex types")
    return _false_like(x) if _is_whole(x) else t.eq(x, value)


@fused
def isposinf(x, /, out=None):
    """Whether real x is +inf.

    >>> import addax.numpy as jnp
    >>> jnp.isposinf(jnp.array([jnp.inf, -jnp.inf]))
    Array([ True, False], dtype=bool)
    """
    no_out("isposinf", out)
    return _is_signed_infinity("isposinf", x, math.inf)


@fused
def isneginf(x, /, out=None):
    """Whether real x is -inf.

    >>> import addax.numpy as jnp
    >>> jnp.isneginf(jnp.array([jnp.inf, -jnp.inf]))
    Array([False,  True], dtype=bool)
    """
    no_out("isneginf", out)
    return _is_signed_infinity("isneginf", x, -math.inf)


# ---------------------------------------------------------------------------------------------------------------------
# Parts of complex numbers


@fused
def real(val, /):
    """The real part; real numbers are themselves.

    >>> import addax.numpy as jnp
    >>> jnp.real(3 + 4j)
    Array(3., dtype=float32, weak_type=True)
    """
    (x,) = operands("real", same_dtype, val)
    return t.real(x) if t.is_complex(x) else as_array(x)


@fused
def imag(val, /):
    """The imaginary part; 0 for real numbers.

    >>> import addax.numpy as jnp
    >>> jnp.imag(3 + 4j)
    Array(4., dtype=float32, weak_type=True)
    """
    (x,) = operands("imag", same_dtype, val)
    return t.imag(x) if t.is_complex(x) else as_array(t.full_like(x, 0))


@elementwise(same_dtype)
def conjugate(x, /):
    """The complex conjugate; real numbers are themselves.

    >>> import addax.numpy as jnp
    >>> jnp.conjugate(3 + 4j)
    Array(3.-4.j, dtype=complex64, weak_type=True)
    """
    return t.conj(x) if t.is_complex(x) else as_array(x)


conj = conjugate


def angle(z, deg: bool = False):
    """The angle in [-pi, pi] (or degrees, if ``deg``) of a complex number; 0 or pi for real ones.

    >>> import addax.numpy as jnp
    >>> jnp.angle(1j, deg=True)
    Array(90., dtype=float32, weak_type=True)
    """
    return _angle(z, deg=bool(deg))


@fused(static=("deg",))
def _angle(z, *, deg: bool):
    (z,) = operands("angle", inexact_dtype, z)
    if t.is_complex(z):
        out = t.atan2(t.imag(z), t.real(z))
    else:
        z = t.to_dtype(z, t.dtype_of(z))
        out = t.atan2(t.full_like(z, 0), z)
    return t.mul(out, 180 / math.pi) if deg else out


@fused
def iscomplex(x):
    """Whether the imaginary part is not 0, elementwise.

    >>> import addax.numpy as jnp
    >>> jnp.iscomplex(jnp.array([1 + 0j, 1j]))
    Array([False,  True], dtype=bool)
    """
    (x,) = operands("iscomplex", same_dtype, x)
    return t.ne(t.imag(x), 0) if t.is_complex(x) else _false_like(x)


@fused
def isreal(x):
    """Whether the imaginary part is 0, elementwise.

    >>> import addax.numpy as jnp
    >>> jnp.isreal(jnp.array([1 + 0j, 1j]))
    Array([ True, False], dtype=bool)
    """
    (x,) = operands("isreal", same_dtype, x)
    return t.eq(t.imag(x), 0) if t.is_complex(x) else t.full_like(t.ne(x, x), True)
