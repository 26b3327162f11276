"""Logic on the bits of integers and bools."""

from __future__ import annotations

from addax.lax.apply import ArrayLike, apply
from addax.ops import bits as ops


def bitwise_not(x: ArrayLike):
    """Every bit inverted; logical not for bool.

    >>> from addax import lax
    >>> lax.bitwise_not(5).item()
    -6
    """
    return apply(ops.not_, x)


def bitwise_and(x: ArrayLike, y: ArrayLike):
    """The bits set in both.

    >>> from addax import lax
    >>> lax.bitwise_and(6, 3).item()
    2
    """
    return apply(ops.and_, x, y)


def bitwise_or(x: ArrayLike, y: ArrayLike):
    """The bits set in either.

    >>> from addax import lax
    >>> lax.bitwise_or(6, 3).item()
    7
    """
    return apply(ops.or_, x, y)


def bitwise_xor(x: ArrayLike, y: ArrayLike):
    """The bits set in one but not both.

    >>> from addax import lax
    >>> lax.bitwise_xor(6, 3).item()
    5
    """
    return apply(ops.xor, x, y)


def population_count(x: ArrayLike):
    """How many bits of x are set, in the dtype of x.

    >>> from addax import lax
    >>> lax.population_count(7).item()
    3
    """
    return apply(ops.population_count, x)


def clz(x: ArrayLike):
    """How many zeros stand before the highest set bit; the width of the dtype for 0.

    >>> from addax import lax
    >>> lax.clz(1).item()
    31
    """
    return apply(ops.clz, x)


def shift_left(x: ArrayLike, y: ArrayLike):
    """x << y; 0 if y is the width of the dtype or more. A negative y counts as its unsigned value, so gives 0.

    >>> from addax import lax
    >>> lax.shift_left(1, 4).item()
    16
    """
    return apply(ops.shift_left, x, y)


def shift_right_arithmetic(x: ArrayLike, y: ArrayLike):
    """x >> y with copies of the sign bit moved in; all sign if y is the width of the dtype or more.

    >>> from addax import lax
    >>> lax.shift_right_arithmetic(-8, 1).item()
    -4
    """
    return apply(ops.shift_right_arithmetic, x, y)


def shift_right_logical(x: ArrayLike, y: ArrayLike):
    """x >> y with zeros moved in; 0 if y is the width of the dtype or more.

    >>> from addax import lax
    >>> lax.shift_right_logical(-1, 31).item()
    1
    """
    return apply(ops.shift_right_logical, x, y)
