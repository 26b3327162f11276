"""Elementwise exponentials, logarithms, roots, trigonometric and hyperbolic functions, in floating point."""

from __future__ import annotations

import math

import numpy as np

from addax.core import dtypes
from addax.numpy import terms as t
from addax.numpy.base import elementwise, fused, inexact_dtype, operands
from addax.ops import special
from addax.transforms.custom import custom_jvp

# ---------------------------------------------------------------------------------------------------------------------
# Trigonometric and hyperbolic


@elementwise(inexact_dtype)
def sin(x, /):
    """The sine of x radians.

    >>> import addax.numpy as jnp
    >>> jnp.sin(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.sin(x)


@elementwise(inexact_dtype)
def cos(x, /):
    """The cosine of x radians.

    >>> import addax.numpy as jnp
    >>> jnp.cos(0.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return t.cos(x)


@elementwise(inexact_dtype)
def tan(x, /):
    """The tangent of x radians.

    >>> import addax.numpy as jnp
    >>> jnp.tan(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.tan(x)


@elementwise(inexact_dtype)
def arcsin(x, /):
    """The angle in [-pi/2, pi/2] whose sine is x; nan for real x outside [-1, 1].

    >>> import addax.numpy as jnp
    >>> jnp.arcsin(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.asin(x)


@elementwise(inexact_dtype)
def arccos(x, /):
    """The angle in [0, pi] whose cosine is x; nan for real x outside [-1, 1].

    >>> import addax.numpy as jnp
    >>> jnp.arccos(1.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.acos(x)


@elementwise(inexact_dtype)
def arctan(x, /):
    """The angle in [-pi/2, pi/2] whose tangent is x.

    >>> import addax.numpy as jnp
    >>> jnp.arctan(jnp.inf)
    Array(1.5707964, dtype=float32, weak_type=True)
    """
    return t.atan(x)


@elementwise(inexact_dtype)
def arctan2(x, y, /):
    """The angle in [-pi, pi] of the point with ordinate x and abscissa y, the first argument first: arctan2(y, x).

    >>> import addax.numpy as jnp
    >>> jnp.arctan2(1.0, 0.0)
    Array(1.5707964, dtype=float32, weak_type=True)
    """
    return t.atan2(x, y)


@elementwise(inexact_dtype)
def sinh(x, /):
    """The hyperbolic sine, (e^x - e^-x) / 2.

    >>> import addax.numpy as jnp
    >>> jnp.sinh(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.sinh(x)


@elementwise(inexact_dtype)
def cosh(x, /):
    """The hyperbolic cosine, (e^x + e^-x) / 2.

    >>> import addax.numpy as jnp
    >>> jnp.cosh(0.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return t.cosh(x)


@elementwise(inexact_dtype)
def tanh(x, /):
    """The hyperbolic tangent, sinh(x) / cosh(x).

    >>> import addax.numpy as jnp
    >>> jnp.tanh(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.tanh(x)


@elementwise(inexact_dtype)
def arcsinh(x, /):
    """The inverse of sinh: log(x + sqrt(x^2 + 1)).

    >>> import addax.numpy as jnp
    >>> jnp.arcsinh(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.asinh(x)


@elementwise(inexact_dtype)
def arccosh(x, /):
    """The non-negative inverse of cosh: log(x + sqrt(x^2 - 1)); nan for real x < 1.

    >>> import addax.numpy as jnp
    >>> jnp.arccosh(1.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.acosh(x)


@elementwise(inexact_dtype)
def arctanh(x, /):
    """The inverse of tanh: log((1 + x) / (1 - x)) / 2; nan for real x outside [-1, 1].

    >>> import addax.numpy as jnp
    >>> jnp.arctanh(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.atanh(x)


asin, acos, atan, atan2 = arcsin, arccos, arctan, arctan2
asinh, acosh, atanh = arcsinh, arccosh, arctanh


@elementwise(inexact_dtype)
def deg2rad(x, /):
    """Degrees as radians: x pi / 180.

    >>> import addax.numpy as jnp
    >>> jnp.deg2rad(180.0)
    Array(3.1415927, dtype=float32, weak_type=True)
    """
    return t.mul(x, math.pi / 180)


@elementwise(inexact_dtype)
def rad2deg(x, /):
    """Radians as degrees: x 180 / pi.

    >>> import addax.numpy as jnp
    >>> jnp.rad2deg(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.mul(x, 180 / math.pi)


radians, degrees = deg2rad, rad2deg


@elementwise(inexact_dtype, strong=np.inexact)
def hypot(x, y, /):
    """sqrt(x^2 + y^2) of real numbers, without overflow in between; inf if either is infinite, even beside nan.

    >>> import addax.numpy as jnp
    >>> jnp.hypot(3.0, 4.0)
    Array(5., dtype=float32, weak_type=True)
    """
    if t.is_complex(x):
        raise ValueError(
            "addax.numpy.hypot is not well defined for complex-valued inputs. Please convert to real values first, such "
            "as by using abs(x)"
        )
    x, y = t.abs_(x), t.abs_(y)
    infinite = t.or_(t.eq(x, math.inf), t.eq(y, math.inf))
    low, high = t.min_(x, y), t.max_(x, y)
    zero = t.eq(high, 0)
    # Divided by 1 at the origin, so that neither the value nor its derivative is nan there.
    ratio = t.div(low, t.select(zero, t.const(high, 1), high))
    length = t.mul(high, t.sqrt(t.add(t.square(ratio), 1)))
    return t.select(infinite, t.const(length, math.inf), t.select(zero, high, length))


# sin(x)/x near 0 is 1 - x^2/6 + x^4/120 - ...: its n-th derivative at 0 is 0 for odd n and (-1)^(n/2) / (n + 1) for
# even n. A custom rule gives each derivative at 0 exactly, where differentiating the quotient would give nan.


def _sinc_at_zero(n: int, x):
    value = 0.0 if n % 2 else (-1.0) ** (n // 2) / (n + 1)
    return t.full_like(x, value)


def _sinc_near_zero(n: int):
    fun = custom_jvp(lambda x: _sinc_at_zero(n, x))
    fun.defjvp(lambda primals, tangents: (fun(*primals), t.mul(_sinc_near_zero(n + 1)(*primals), tangents[0])))
    return fun


@elementwise(inexact_dtype)
def sinc(x, /):
    """sin(pi x) / (pi x), and its limit 1 at x = 0, with all derivatives.

    >>> import addax.numpy as jnp
    >>> jnp.sinc(jnp.array([0.0, 0.5])).round(4)
    Array([1.    , 0.6366], dtype=float32)
    """
    zero = t.eq(x, 0)
    angle = t.mul(x, math.pi)
    safe = t.select(zero, t.const(x, 1), angle)
    return t.select(zero, _sinc_near_zero(0)(angle), t.div(t.sin(safe), safe))


# ---------------------------------------------------------------------------------------------------------------------
# Exponentials and logarithms


@elementwise(inexact_dtype)
def exp(x, /):
    """e to the power x.

    >>> import addax.numpy as jnp
    >>> jnp.exp(0.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return t.exp(x)


@elementwise(inexact_dtype)
def exp2(x, /):
    """2 to the power x.

    >>> import addax.numpy as jnp
    >>> jnp.exp2(3.0)
    Array(8., dtype=float32, weak_type=True)
    """
    return t.exp2(x)


@elementwise(inexact_dtype)
def expm1(x, /):
    """e^x - 1, accurate for small x.

    >>> import addax.numpy as jnp
    >>> jnp.expm1(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.expm1(x)


@elementwise(inexact_dtype)
def log(x, /):
    """The natural logarithm; -inf for 0, nan for real x < 0.

    >>> import addax.numpy as jnp
    >>> jnp.log(1.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.log(x)


@elementwise(inexact_dtype)
def log1p(x, /):
    """log(1 + x), accurate for small x.

    >>> import addax.numpy as jnp
    >>> jnp.log1p(0.0)
    Array(0., dtype=float32, weak_type=True)
    """
    return t.log1p(x)


def _log_to_base(x, base: float):
    """log(x) / log(base), both logarithms rounded in the dtype of x, so that powers of the base come out whole."""
    dtype = t.dtype_of(x)
    real = np.dtype(dtypes.to_floating_dtype(dtype))
    by = t.log(np.asarray(base, real)[()])
    if t.is_complex(x):
        z = t.log(t.to_dtype(x, dtype))
        return t.complex_(t.div(t.real(z), by), t.div(t.imag(z), by))
    return t.div(t.log(t.to_dtype(x, dtype)), by)


@elementwise(inexact_dtype)
def log2(x, /):
    """The logarithm to base 2.

    >>> import addax.numpy as jnp
    >>> jnp.log2(8.0)
    Array(3., dtype=float32)
    """
    return _log_to_base(x, 2.0)


@elementwise(inexact_dtype)
def log10(x, /):
    """The logarithm to base 10.

    >>> import addax.numpy as jnp
    >>> jnp.log10(1000.0)
    Array(3., dtype=float32)
    """
    return _log_to_base(x, 10.0)


@elementwise(inexact_dtype)
def sqrt(x, /):
    """The non-negative square root; nan for real x < 0.

    >>> import addax.numpy as jnp
    >>> jnp.sqrt(9.0)
    Array(3., dtype=float32, weak_type=True)
    """
    return t.sqrt(x)


@elementwise(inexact_dtype)
def cbrt(x, /):
    """The real cube root.

    >>> import addax.numpy as jnp
    >>> jnp.cbrt(-8.0)
    Array(-2., dtype=float32, weak_type=True)
    """
    return t.cbrt(x)


# log(e^x + e^y) = max + log(1 + e^-|x - y|). At x = y = +-inf the difference is nan and the answer x + y. The
# derivative is a weighted mean of the tangents with weights e^(x - out), e^(y - out), which cannot overflow.


def _log_of_sum(x, y, unit: float):
    """log_b(b^x + b^y) with log(b) = ``unit``."""
    high, difference = t.max_(x, y), t.sub(x, y)
    small = t.exp(t.mul(t.neg(t.abs_(difference)), unit) if unit != 1 else t.neg(t.abs_(difference)))
    tail = t.log1p(small)
    total = t.add(high, t.div(tail, unit) if unit != 1 else tail)
    return t.select(t.ne(difference, difference), t.add(x, y), total)


def _log_of_complex_sum(x, y):
    """As above with the operand of the larger real part in front; the imaginary part of a sum of angles is wrapped."""
    swap = t.lt(t.real(x), t.real(y))
    high, low = t.select(swap, y, x), t.select(swap, x, y)
    difference = t.sub(low, high)
    undefined = t.ne(difference, difference)
    out = t.select(undefined, t.add(x, y), t.add(high, t.log1p(t.exp(difference))))
    angle = t.imag(out)
    turns = t.round_half_even(t.div(angle, 2 * math.pi))
    return t.complex_(t.real(out), t.sub(angle, t.mul(turns, 2 * math.pi)))


def _weight(x, out, unit: float):
    """b^(x - out), where two equal infinities count as a difference of 0."""
    if not t.is_complex(x):
        same = t.eq(x, out)
        x, out = t.select(same, t.const(x, 0), x), t.select(same, t.const(out, 0), out)
    difference = t.sub(x, out)
    return t.exp(t.mul(difference, unit) if unit != 1 else difference)


def _logaddexp_of_unit(name: str, unit: float):
    def value(x, y):
        if not t.is_complex(x):
            return _log_of_sum(x, y, unit)
        if unit == 1:
            return _log_of_complex_sum(x, y)
        return t.div(_log_of_complex_sum(t.mul(x, unit), t.mul(y, unit)), unit)

    value.__name__ = name
    fun = custom_jvp(value)

    @fun.defjvp
    def rule(primals, tangents):
        x, y = primals
        out = fun(x, y)
        return out, t.add(t.mul(tangents[0], _weight(x, out, unit)), t.mul(tangents[1], _weight(y, out, unit)))

    return fun


_logaddexp, _logaddexp2 = _logaddexp_of_unit("logaddexp", 1.0), _logaddexp_of_unit("logaddexp2", math.log(2.0))


@elementwise(inexact_dtype, strong=np.complexfloating)
def logaddexp(x, y, /):
    """log(e^x + e^y), without overflow.

    The derivative in x is e^(x - out); where x is out, the limit 1, also for infinite x: ``logaddexp(x, -inf)`` is x. (JAX has
    NaN where both are -inf, which spoils the gradients of sums over paths that do not exist.)

    >>> import addax.numpy as jnp
    >>> jnp.logaddexp(1000.0, 1000.0)
    Array(1000.6932, dtype=float32, weak_type=True)
    """
    return _logaddexp(x, y)


@elementwise(inexact_dtype, strong=np.inexact)
def logaddexp2(x, y, /):
    """log2(2^x + 2^y), without overflow.

    >>> import addax.numpy as jnp
    >>> jnp.logaddexp2(1.0, 1.0)
    Array(2., dtype=float32, weak_type=True)
    """
    return _logaddexp2(x, y)


@fused
def i0(x):
    """The modified Bessel function of the first kind, of order 0.

    >>> import addax.numpy as jnp
    >>> jnp.i0(0.0)
    Array(1., dtype=float32, weak_type=True)
    """
    (x,) = operands("i0", inexact_dtype, x)
    if t.is_complex(x):
        raise ValueError(f"Unsupported input type to addax.numpy.i0: {dtypes.dtype_name(t.dtype_of(x))}")
    return _i0(x)


@custom_jvp
def _i0(x):
    magnitude = t.abs_(x)
    return t.mul(t.exp(magnitude), special.bessel_i0e.bind(magnitude))


@_i0.defjvp
def _i0_jvp(primals, tangents):
    (x,), (tangent,) = primals, tangents
    return _i0(x), t.mul(tangent, t.mul(special.bessel_i1e.bind(x), t.exp(t.abs_(x))))
