"""Exponentials, logarithms, roots, trigonometric and hyperbolic functions of float and complex arrays."""

from __future__ import annotations

from addax.lax.apply import ArrayLike, apply, apply_with_accuracy
from addax.ops import transcendental as ops


def exp(x: ArrayLike, *, accuracy=None):
    """e**x

    >>> from addax import lax
    >>> lax.exp(0.0).item()
    1.0
    """
    return apply_with_accuracy(ops.exp, x, accuracy)


def exp2(x: ArrayLike, *, accuracy=None):
    """2**x

    >>> from addax import lax
    >>> lax.exp2(3.0).item()
    8.0
    """
    return apply_with_accuracy(ops.exp2, x, accuracy)


def expm1(x: ArrayLike, *, accuracy=None):
    """e**x - 1, accurate near 0, where the difference would cancel.

    >>> from addax import lax
    >>> lax.expm1(1e-10).item() == lax.sub(1e-10, 0.0).item()
    True
    """
    return apply_with_accuracy(ops.expm1, x, accuracy)


def log(x: ArrayLike, *, accuracy=None):
    """The natural logarithm: -inf at 0, NaN for negative x. Complex x: the branch with imaginary part in (-pi, pi].

    >>> from addax import lax
    >>> lax.log(1.0).item()
    0.0
    """
    return apply_with_accuracy(ops.log, x, accuracy)


def log1p(x: ArrayLike, *, accuracy=None):
    """log(1 + x), accurate near 0.

    >>> from addax import lax
    >>> lax.log1p(0.0).item()
    0.0
    """
    return apply_with_accuracy(ops.log1p, x, accuracy)


def logistic(x: ArrayLike, *, accuracy=None):
    """1 / (1 + e**-x), the sigmoid.

    >>> from addax import lax
    >>> lax.logistic(0.0).item()
    0.5
    """
    return apply_with_accuracy(ops.logistic, x, accuracy)


def sqrt(x: ArrayLike, *, accuracy=None):
    """The square root: NaN for negative real x, the root in the right half plane for complex x.

    >>> from addax import lax
    >>> lax.sqrt(9.0).item()
    3.0
    """
    return apply_with_accuracy(ops.sqrt, x, accuracy)


def rsqrt(x: ArrayLike, *, accuracy=None):
    """1 / sqrt(x); inf at 0.

    >>> from addax import lax
    >>> lax.rsqrt(4.0).item()
    0.5
    """
    return apply_with_accuracy(ops.rsqrt, x, accuracy)


def cbrt(x: ArrayLike, *, accuracy=None):
    """The real cube root of a real x, negative for negative x.

    >>> from addax import lax
    >>> round(lax.cbrt(-27.0).item(), 5)
    -3.0
    """
    return apply_with_accuracy(ops.cbrt, x, accuracy)


def sin(x: ArrayLike, *, accuracy=None):
    """The sine of x in radians.

    >>> from addax import lax
    >>> lax.sin(0.0).item()
    0.0
    """
    return apply_with_accuracy(ops.sin, x, accuracy)


def cos(x: ArrayLike, *, accuracy=None):
    """The cosine of x in radians.

    >>> from addax import lax
    >>> lax.cos(0.0).item()
    1.0
    """
    return apply_with_accuracy(ops.cos, x, accuracy)


def tan(x: ArrayLike, *, accuracy=None):
    """The tangent of x in radians.

    >>> from addax import lax
    >>> lax.tan(0.0).item()
    0.0
    """
    return apply_with_accuracy(ops.tan, x, accuracy)


def asin(x: ArrayLike):
    """The arc sine, in [-pi/2, pi/2]; NaN for real x outside [-1, 1].

    >>> from addax import lax
    >>> lax.asin(0.0).item()
    0.0
    """
    return apply(ops.asin, x)


def acos(x: ArrayLike):
    """The arc cosine, in [0, pi]; NaN for real x outside [-1, 1].

    >>> from addax import lax
    >>> lax.acos(1.0).item()
    0.0
    """
    return apply(ops.acos, x)


def atan(x: ArrayLike):
    """The arc tangent, in [-pi/2, pi/2].

    >>> from addax import lax
    >>> round(4 * lax.atan(1.0).item(), 5)
    3.14159
    """
    return apply(ops.atan, x)


def atan2(x: ArrayLike, y: ArrayLike):
    """The angle of the point with ordinate x and abscissa y, in [-pi, pi]: atan(x / y) in the right quadrant.

    >>> from addax import lax
    >>> round(lax.atan2(1.0, -1.0).item(), 5)
    2.35619
    """
    return apply(ops.atan2, x, y)


def sinh(x: ArrayLike):
    """(e**x - e**-x) / 2

    >>> from addax import lax
    >>> lax.sinh(0.0).item()
    0.0
    """
    return apply(ops.sinh, x)


def cosh(x: ArrayLike):
    """(e**x + e**-x) / 2

    >>> from addax import lax
    >>> lax.cosh(0.0).item()
    1.0
    """
    return apply(ops.cosh, x)


def tanh(x: ArrayLike, *, accuracy=None):
    """sinh(x) / cosh(x)

    >>> from addax import lax
    >>> lax.tanh(0.0).item()
    0.0
    """
    return apply_with_accuracy(ops.tanh, x, accuracy)


def asinh(x: ArrayLike):
    """The inverse of sinh: log(x + sqrt(x**2 + 1)).

    >>> from addax import lax
    >>> lax.asinh(0.0).item()
    0.0
    """
    return apply(ops.asinh, x)


def acosh(x: ArrayLike):
    """The inverse of cosh: log(x + sqrt(x**2 - 1)); NaN for real x below 1.

    >>> from addax import lax
    >>> lax.acosh(1.0).item()
    0.0
    """
    return apply(ops.acosh, x)


def atanh(x: ArrayLike):
    """The inverse of tanh: log((1 + x) / (1 - x)) / 2; NaN for real x outside [-1, 1].

    >>> from addax import lax
    >>> lax.atanh(0.0).item()
    0.0
    """
    return apply(ops.atanh, x)
