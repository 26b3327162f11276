"""Arithmetic on arrays of one dtype: sums, products, rounding, powers, and the parts of complex numbers."""

from __future__ import annotations

import operator
from enum import IntEnum

from addax.core.avals import get_aval
from addax.lax.apply import ArrayLike, apply
from addax.lax.convert import convert_element_type
from addax.ops import arithmetic as ops
from addax.ops.bits import mulhi as _mulhi


class RoundingMethod(IntEnum):
    """Where `round` takes numbers halfway between two integers."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def neg(x: ArrayLike):
    """-x. Integers wrap around: the negative of the least int32 is itself, that of uint8 3 is 253.

    >>> from addax import lax
    >>> lax.neg(2.0).item()
    -2.0
    """
    return apply(ops.neg, x)


def add(x: ArrayLike, y: ArrayLike):
    """x + y. Integers wrap around.

    Raises:
      TypeError: if the dtypes differ; ``addax.numpy.add`` promotes.

    >>> from addax import lax
    >>> lax.add(1, 2).item()
    3
    """
    return apply(ops.add, x, y)


def sub(x: ArrayLike, y: ArrayLike):
    """x - y. Integers wrap around.

    >>> from addax import lax
    >>> lax.sub(1, 2).item()
    -1
    """
    return apply(ops.sub, x, y)


def mul(x: ArrayLike, y: ArrayLike, *, out_dtype=None):
    """x * y. Integers wrap around.

    Args:
      out_dtype: the operands are converted to this dtype first, so that the product does not overflow in theirs.

    >>> from addax import lax
    >>> lax.mul(3, 4).item()
    12
    """
    if out_dtype is not None:
        x, y = convert_element_type(x, out_dtype), convert_element_type(y, out_dtype)
    return apply(ops.mul, x, y)


def mulhi(x: ArrayLike, y: ArrayLike, /):
    """The upper half of the product of two integers: the bits that ``mul`` drops.

    >>> from addax import lax
    >>> lax.mulhi(2**30, 8).item()
    2
    """
    return apply(_mulhi, x, y)


def div(x: ArrayLike, y: ArrayLike):
    """x / y. Integers divide toward zero; an integer divided by 0 gives -1 (all bits set), without an error.

    >>> from addax import lax
    >>> lax.div(-7, 2).item(), lax.div(7.0, 2.0).item()
    (-3, 3.5)
    """
    return apply(ops.div, x, y)


def rem(x: ArrayLike, y: ArrayLike):
    """x - y trunc(x / y), the remainder with the sign of x. An integer rem 0 is itself; a float rem 0 is NaN.

    >>> from addax import lax
    >>> lax.rem(-7, 2).item()
    -1
    """
    return apply(ops.rem, x, y)


def max(x: ArrayLike, y: ArrayLike):
    """The larger of x and y; NaN if either is. Complex numbers go by the real part first, then the imaginary.

    Where x = y, the derivative is half in each operand.

    >>> from addax import lax
    >>> lax.max(2.0, 3.0).item()
    3.0
    """
    return apply(ops.max_, x, y)


def min(x: ArrayLike, y: ArrayLike):
    """The smaller of x and y; NaN if either is. Complex numbers go by the real part first, then the imaginary.

    >>> from addax import lax
    >>> lax.min(2.0, 3.0).item()
    2.0
    """
    return apply(ops.min_, x, y)


def sign(x: ArrayLike):
    """-1, 0 or 1 by the sign of x; -0 and NaN stay what they are. x / |x| for complex x, 0 at 0.

    >>> from addax import lax
    >>> lax.sign(-3.0).item()
    -1.0
    """
    return apply(ops.sign, x)


def abs(x: ArrayLike):
    """|x|. The modulus of a complex x is real. The least signed integer is its own absolute value.

    >>> from addax import lax
    >>> lax.abs(3 + 4j).item()
    5.0
    """
    return apply(ops.abs_, x)


def floor(x: ArrayLike):
    """The greatest integer that is at most x, as a float.

    >>> from addax import lax
    >>> lax.floor(-1.5).item()
    -2.0
    """
    return apply(ops.floor, x)


def ceil(x: ArrayLike):
    """The least integer that is at least x, as a float.

    >>> from addax import lax
    >>> lax.ceil(1.2).item()
    2.0
    """
    return apply(ops.ceil, x)


def round(x: ArrayLike, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO):
    """The integer nearest to x, as a float.

    Args:
      rounding_method: where halves go, away from zero or to the even neighbour.

    >>> from addax import lax
    >>> lax.round(2.5).item(), lax.round(2.5, lax.RoundingMethod.TO_NEAREST_EVEN).item()
    (3.0, 2.0)
    """
    return apply(ops.round_, x, rounding_method=RoundingMethod(rounding_method))


def is_finite(x: ArrayLike):
    """Whether x is neither infinite nor NaN.

    >>> from addax import lax
    >>> lax.is_finite(1e30).item(), lax.is_finite(float("inf")).item()
    (True, False)
    """
    return apply(ops.is_finite, x)


def nextafter(x1: ArrayLike, x2: ArrayLike):
    """The float next to x1 in the direction of x2; x2 where they are equal.

    >>> from addax import lax
    >>> lax.nextafter(1.0, 2.0).item() - 1.0 == 2.0**-23
    True
    """
    return apply(ops.nextafter, x1, x2)


def real(x: ArrayLike):
    """The real part of a complex x.

    >>> from addax import lax
    >>> lax.real(1 + 2j).item()
    1.0
    """
    return apply(ops.real, x)


def imag(x: ArrayLike):
    """The imaginary part of a complex x.

    >>> from addax import lax
    >>> lax.imag(1 + 2j).item()
    2.0
    """
    return apply(ops.imag, x)


def complex(x: ArrayLike, y: ArrayLike):
    """x + iy, of float32 or float64 parts.

    >>> from addax import lax
    >>> lax.complex(1.0, 2.0).item()
    (1+2j)
    """
    return apply(ops.complex_, x, y)


def conj(x: ArrayLike):
    """The complex conjugate of x. A real x (float32 or float64) becomes complex.

    >>> from addax import lax
    >>> lax.conj(1 + 2j).item()
    (1-2j)
    """
    return apply(ops.conj, x, input_dtype=get_aval(x).dtype)


def square(x: ArrayLike):
    """x * x

    >>> from addax import lax
    >>> lax.square(3.0).item()
    9.0
    """
    return apply(ops.square, x)


def integer_pow(x: ArrayLike, y: int):
    """x**y for an integer y that is known when the program is traced, by repeated squaring.

    Raises:
      TypeError: if y is no integer, or is negative while x is of integers.

    >>> from addax import lax
    >>> lax.integer_pow(2.0, -2).item()
    0.25
    """
    try:
        y = operator.index(y)
    except TypeError:
        raise TypeError(
            f"lax.integer_pow: y must be a static integer, got {y!r}; lax.pow takes any exponent."
        ) from None
    return apply(ops.integer_pow, x, y=y)


def reciprocal(x: ArrayLike):
    """1 / x

    >>> from addax import lax
    >>> lax.reciprocal(4.0).item()
    0.25
    """
    return integer_pow(x, -1)


def pow(x: ArrayLike, y: ArrayLike):
    """x**y for floating or complex x and y of the same dtype or of integers.

    The derivative in y is t log(x) x**y, taken as 0 at x = 0.

    >>> from addax import lax
    >>> lax.pow(2.0, 0.5).item() ** 2 > 1.999, lax.pow(2.0, 3).item()
    (True, 8.0)
    """
    return apply(ops.pow_, x, y)
