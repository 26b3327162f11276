"""Comparisons, and choices made by them."""

from __future__ import annotations

from addax.lax.apply import ArrayLike, apply
from addax.ops import comparison as ops


def eq(x: ArrayLike, y: ArrayLike):
    """x = y, a bool array. NaN equals nothing.

    >>> from addax import lax
    >>> lax.eq(1, 1).item()
    True
    """
    return apply(ops.eq, x, y)


def ne(x: ArrayLike, y: ArrayLike):
    """Whether x and y differ. NaN differs from everything.

    >>> from addax import lax
    >>> lax.ne(1, 1).item()
    False
    """
    return apply(ops.ne, x, y)


def lt(x: ArrayLike, y: ArrayLike):
    """x < y

    >>> from addax import lax
    >>> lax.lt(1, 2).item()
    True
    """
    return apply(ops.lt, x, y)


def le(x: ArrayLike, y: ArrayLike):
    """x <= y

    >>> from addax import lax
    >>> lax.le(2, 2).item()
    True
    """
    return apply(ops.le, x, y)


def gt(x: ArrayLike, y: ArrayLike):
    """x > y

    >>> from addax import lax
    >>> lax.gt(1, 2).item()
    False
    """
    return apply(ops.gt, x, y)


def ge(x: ArrayLike, y: ArrayLike):
    """x >= y

    >>> from addax import lax
    >>> lax.ge(2, 2).item()
    True
    """
    return apply(ops.ge, x, y)


def clamp(min: ArrayLike, x: ArrayLike, max: ArrayLike):
    """x where it lies between the bounds, else the bound it exceeds; ``max`` wins where the bounds cross.

    Args:
      min, max: scalars, or arrays of the shape of x, of its dtype.

    >>> from addax import lax
    >>> lax.clamp(0.0, 1.5, 1.0).item()
    1.0
    """
    return apply(ops.clamp, min, x, max)


def select_n(which: ArrayLike, *cases: ArrayLike):
    """Element by element, the case that ``which`` counts from 0.

    Args:
      which: bool (False is case 0, True case 1) or integers; a scalar, or of the shape of the cases. Integers out of
        range choose the nearest case.
      *cases: arrays of one shape and dtype.

    >>> from addax import lax
    >>> lax.select_n(True, 1.0, 2.0).item()
    2.0
    """
    if not cases:
        raise ValueError("select_n() must have at least one case")
    return apply(ops.select_n, which, *cases)


def select(pred: ArrayLike, on_true: ArrayLike, on_false: ArrayLike):
    """``on_true`` where ``pred``, else ``on_false``. All are computed; ``lax.cond`` runs one branch only.

    The derivative flows through the chosen element alone, but it is still multiplied by the derivative of what was not
    chosen: guard the argument, too, of a function that is not finite there (``sqrt(where(x > 0, x, 1))``).

    Args:
      pred: bool, a scalar or of the shape of the cases.

    >>> from addax import lax
    >>> lax.select(False, 1.0, 2.0).item()
    2.0
    """
    return apply(ops.select_n, pred, on_false, on_true)
