"""Elementwise comparison, logic and bits; comparison of whole arrays."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.primitive import registry
from addax.numpy import terms as t
from addax.numpy.base import (
    as_array,
    as_operand,
    broadcast_arrays,
    elementwise,
    fused,
    numeric_dtype,
    operands,
    promote_dtypes,
    promote_shapes,
    same_dtype,
    shape_of,
)

# ---------------------------------------------------------------------------------------------------------------------
# Comparison. IEEE: nan differs from everything, -0 equals 0.


@elementwise(same_dtype)
def equal(x, y, /):
    """x == y.

    >>> import addax.numpy as jnp
    >>> jnp.equal(jnp.arange(3), 1)
    Array([False,  True, False], dtype=bool)
    """
    return t.eq(x, y)


@elementwise(same_dtype)
def not_equal(x, y, /):
    """x != y.

    >>> import addax.numpy as jnp
    >>> jnp.not_equal(jnp.arange(3), 1)
    Array([ True, False,  True], dtype=bool)
    """
    return t.ne(x, y)


def ordered(compare, x, y):
    """``compare``, for complex numbers on the real parts, and where those are equal on the imaginary parts."""
    if not t.is_complex(x):
        return compare(x, y)
    return t.select(t.eq(t.real(x), t.real(y)), compare(t.imag(x), t.imag(y)), compare(t.real(x), t.real(y)))


@elementwise(same_dtype)
def less(x, y, /):
    """x < y; complex numbers are ordered by real, then by imaginary part.

    >>> import addax.numpy as jnp
    >>> jnp.less(jnp.arange(3), 1)
    Array([ True, False, False], dtype=bool)
    """
    return ordered(t.lt, x, y)


@elementwise(same_dtype)
def less_equal(x, y, /):
    """x <= y; complex numbers are ordered by real, then by imaginary part.

    >>> import addax.numpy as jnp
    >>> jnp.less_equal(jnp.arange(3), 1)
    Array([ True,  True, False], dtype=bool)
    """
    return ordered(t.le, x, y)


@elementwise(same_dtype)
def greater(x, y, /):
    """x > y; complex numbers are ordered by real, then by imaginary part.

    >>> import addax.numpy as jnp
    >>> jnp.greater(jnp.arange(3), 1)
    Array([False, False,  True], dtype=bool)
    """
    return ordered(t.gt, x, y)


@elementwise(same_dtype)
def greater_equal(x, y, /):
    """x >= y; complex numbers are ordered by real, then by imaginary part.

    >>> import addax.numpy as jnp
    >>> jnp.greater_equal(jnp.arange(3), 1)
    Array([False,  True,  True], dtype=bool)
    """
    return ordered(t.ge, x, y)


# ---------------------------------------------------------------------------------------------------------------------
# Logic on truth values: a number is true where it is not 0


@elementwise(same_dtype)
def logical_and(x, y, /):
    """Whether both are true.

    >>> import addax.numpy as jnp
    >>> jnp.logical_and(jnp.arange(3), True)
    Array([False,  True,  True], dtype=bool)
    """
    return t.and_(t.truth(x), t.truth(y))


@elementwise(same_dtype)
def logical_or(x, y, /):
    """Whether either is true.

    >>> import addax.numpy as jnp
    >>> jnp.logical_or(jnp.arange(3), False)
    Array([False,  True,  True], dtype=bool)
    """
    return t.or_(t.truth(x), t.truth(y))


@elementwise(same_dtype)
def logical_xor(x, y, /):
    """Whether exactly one is true.

    >>> import addax.numpy as jnp
    >>> jnp.logical_xor(jnp.arange(3), True)
    Array([ True, False, False], dtype=bool)
    """
    return t.xor(t.truth(x), t.truth(y))


@elementwise(same_dtype)
def logical_not(x, /):
    """Whether x is false.

    >>> import addax.numpy as jnp
    >>> jnp.logical_not(jnp.arange(3))
    Array([ True, False, False], dtype=bool)
    """
    return t.not_(t.truth(x))


# ---------------------------------------------------------------------------------------------------------------------
# Bits of integers and booleans


@elementwise(same_dtype)
def bitwise_and(x, y, /):
    """The bits that both have.

    >>> import addax.numpy as jnp
    >>> jnp.bitwise_and(12, 10)
    Array(8, dtype=int32, weak_type=True)
    """
    return t.and_(x, y)


@elementwise(same_dtype)
def bitwise_or(x, y, /):
    """The bits that either has.

    >>> import addax.numpy as jnp
    >>> jnp.bitwise_or(12, 10)
    Array(14, dtype=int32, weak_type=True)
    """
    return t.or_(x, y)


@elementwise(same_dtype)
def bitwise_xor(x, y, /):
    """The bits that exactly one has.

    >>> import addax.numpy as jnp
    >>> jnp.bitwise_xor(12, 10)
    Array(6, dtype=int32, weak_type=True)
    """
    return t.xor(x, y)


@elementwise(same_dtype)
def bitwise_not(x, /):
    """All bits flipped: -x - 1 for signed integers, not x for booleans.

    >>> import addax.numpy as jnp
    >>> jnp.bitwise_not(jnp.array([0, 5]))
    Array([-1, -6], dtype=int32)
    """
    return t.not_(x)


invert = bitwise_invert = bitwise_not


@elementwise(numeric_dtype)
def left_shift(x, y, /):
    """x with its bits moved y places to the left: x 2^y.

    >>> import addax.numpy as jnp
    >>> jnp.left_shift(3, 2)
    Array(12, dtype=int32, weak_type=True)
    """
    return t.shift_left(x, y)


@elementwise(numeric_dtype)
def right_shift(x, y, /):
    """x with its bits moved y places to the right, rounding down; signed integers keep their sign.

    >>> import addax.numpy as jnp
    >>> jnp.right_shift(-8, 1)
    Array(-4, dtype=int32, weak_type=True)
    """
    return t.shift_right_logical(x, y) if t.is_unsigned(x) else t.shift_right_arithmetic(x, y)


bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


@elementwise(same_dtype)
def bitwise_count(x, /):
    """How many bits of |x| are set, as uint8.

    >>> import addax.numpy as jnp
    >>> jnp.bitwise_count(jnp.array([7, -5]))
    Array([3, 2], dtype=uint8)
    """
    if t.is_bool(x):
        return t.to_dtype(x, dtypes.uint8)
    if t.is_integer(x) and not t.is_unsigned(x):
        x = t.abs_(x)
    return t.to_dtype(t.population_count(x), dtypes.uint8)


# ---------------------------------------------------------------------------------------------------------------------
# Closeness, and comparison of whole arrays


def isclose(a, b, rtol=1e-05, atol=1e-08, equal_nan: bool = False):
    """Whether |a - b| <= atol + rtol |b|; infinities are close to themselves, nan only if ``equal_nan``.

    >>> import addax.numpy as jnp
    >>> jnp.isclose(jnp.array([1.0, 1.1]), 1.0)
    Array([ True, False], dtype=bool)
    """
    return _isclose(a, b, rtol, atol, equal_nan=bool(equal_nan))


@fused(static=("equal_nan",))
def _isclose(a, b, rtol, atol, *, equal_nan: bool):
    a, b = operands("isclose", same_dtype, a, b)
    dtype = t.dtype_of(a)
    if not dtypes.issubdtype(dtype, np.inexact):
        # Integers are compared in the float of their width.
        a, b = (t.to_dtype(x, dtypes.to_inexact_dtype(numeric_dtype(dtype))) for x in (a, b))
    real = dtypes.to_floating_dtype(t.dtype_of(a))
    rtol, atol = (t.to_dtype(as_array(x), real) for x in (rtol, atol))
    if shape_of(rtol) or shape_of(atol):
        a, b, rtol, atol = promote_shapes("isclose", a, b, rtol, atol)
    bound = t.add(atol, t.mul(rtol, t.abs_(b)))
    near = t.le(t.abs_(t.sub(a, b)), bound)
    both_finite = t.and_(_finite(a), _finite(b))
    out = t.or_(t.and_(near, both_finite), t.eq(a, b))
    if equal_nan:
        out = t.or_(out, t.and_(t.ne(a, a), t.ne(b, b)))
    return out


def _finite(x):
    return t.and_(t.is_finite(t.real(x)), t.is_finite(t.imag(x))) if t.is_complex(x) else t.is_finite(x)


def _all(x):
    return registry["reduce_and"].bind(as_array(x), axes=tuple(range(len(shape_of(x)))))


def allclose(a, b, rtol=1e-05, atol=1e-08, equal_nan: bool = False):
    """Whether all elements are close, as `isclose` says.

    >>> import addax.numpy as jnp
    >>> jnp.allclose(jnp.ones(3), 1.0)
    Array(True, dtype=bool)
    """
    return _all(isclose(a, b, rtol, atol, equal_nan))


def _array(x):
    """An array for lists too: these two functions compare whatever can be compared."""
    if isinstance(x, (list, tuple)):
        x = np.asarray(x)
    return as_array(as_operand(x))


def array_equal(a1, a2, equal_nan: bool = False):
    """Whether shapes and all elements are equal; nan equals nan only if ``equal_nan``.

    >>> import addax.numpy as jnp
    >>> jnp.array_equal(jnp.arange(3), jnp.arange(4))
    Array(False, dtype=bool)
    """
    a, b = _array(a1), _array(a2)
    if a.shape != b.shape:
        return as_array(np.False_)
    a, b = promote_dtypes(a, b)
    same = t.eq(a, b)
    if equal_nan:
        same = t.or_(same, t.and_(t.ne(a, a), t.ne(b, b)))
    return _all(same)


def array_equiv(a1, a2):
    """Whether the arrays are equal after broadcasting; false if they do not broadcast.

    >>> import addax.numpy as jnp
    >>> jnp.array_equiv(jnp.ones((2, 3)), 1.0)
    Array(True, dtype=bool)
    """
    a, b = _array(a1), _array(a2)
    try:
        a, b = broadcast_arrays(*promote_dtypes(a, b))
    except ValueError:
        return as_array(np.False_)
    return _all(t.eq(a, b))
