"""Elementwise arithmetic: sums, products, quotients and remainders, powers, extremes, divisors.

Each function promotes its operands to a common dtype, then binds one or a few primitives. Eager calls are dispatched in
C++ (`base.elementwise`), so ``x + y`` on small arrays costs about what it costs in NumPy.
"""

from __future__ import annotations

import operator

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.primitive import registry
from addax.core.trace import Tracer
from addax.interpreters.values import convert
from addax.lax.control_flow import while_loop
from addax.numpy import terms as t
from addax.numpy.base import (
    ARRAYS,
    as_array,
    as_operand,
    broadcast_arrays,
    cast,
    check_array_like,
    elementwise,
    fused,
    inexact_dtype,
    is_weak,
    no_out,
    numeric_dtype,
    operands,
    promote_shapes,
    same_dtype,
)
from addax.numpy.logic import ordered
from addax.numpy.masked import Selection, mapped

# ---------------------------------------------------------------------------------------------------------------------
# The four operations. Booleans add as "or" and multiply as "and", as in NumPy.


@elementwise(same_dtype)
def add(x, y, /):
    """x + y; the logical or of booleans.

    >>> import addax.numpy as jnp
    >>> jnp.add(jnp.arange(3), 10)
    Array([10, 11, 12], dtype=int32)
    """
    return t.or_(x, y) if t.is_bool(x) else t.add(x, y)


@elementwise(same_dtype)
def subtract(x, y, /):
    """x - y; not defined for booleans: use `logical_xor`.

    >>> import addax.numpy as jnp
    >>> jnp.subtract(3, 2.5)
    Array(0.5, dtype=float32, weak_type=True)
    """
    return t.sub(x, y)


@elementwise(same_dtype)
def multiply(x, y, /):
    """x * y; the logical and of booleans.

    >>> import addax.numpy as jnp
    >>> jnp.multiply(jnp.arange(3), 2)
    Array([0, 2, 4], dtype=int32)
    """
    return t.and_(x, y) if t.is_bool(x) else t.mul(x, y)


@elementwise(inexact_dtype)
def true_divide(x, y, /):
    """x / y, in floating point also for integers.

    >>> import addax.numpy as jnp
    >>> jnp.true_divide(1, 2)
    Array(0.5, dtype=float32, weak_type=True)
    """
    return t.div(x, y)


divide = true_divide


@elementwise(same_dtype)
def negative(x, /):
    """-x; unsigned integers wrap. Not defined for booleans: use `logical_not`.

    >>> import addax.numpy as jnp
    >>> jnp.negative(jnp.array([1, -2]))
    Array([-1,  2], dtype=int32)
    """
    return t.neg(x)


@elementwise(same_dtype)
def positive(x, /):
    """+x, which is x.

    >>> import addax.numpy as jnp
    >>> jnp.positive(jnp.array([1, -2]))
    Array([ 1, -2], dtype=int32)
    """
    return as_array(x)


@elementwise(same_dtype)
def abs(x, /):
    """The absolute value; for complex x the modulus, which is real. Booleans and unsigned integers are themselves.

    >>> import addax.numpy as jnp
    >>> jnp.abs(jnp.array([-1.5, 2]))
    Array([1.5, 2. ], dtype=float32)
    """
    return as_array(x) if t.is_bool(x) or t.is_unsigned(x) else t.abs_(x)


absolute = abs


@elementwise(inexact_dtype)
def fabs(x, /):
    """The absolute value of real x, in floating point.

    >>> import addax.numpy as jnp
    >>> jnp.fabs(-3)
    Array(3., dtype=float32, weak_type=True)
    """
    if t.is_complex(x):
        raise TypeError("ufunc 'fabs' does not support complex dtypes: use abs")
    return t.abs_(x)


@elementwise(same_dtype)
def sign(x, /):
    """-1, 0 or 1, in the dtype of x; nan stays nan, and for complex x it is x / abs(x).

    >>> import addax.numpy as jnp
    >>> jnp.sign(jnp.array([-2., 0., 5.]))
    Array([-1.,  0.,  1.], dtype=float32)
    """
    return t.sign(x)


@elementwise(numeric_dtype)
def square(x, /):
    """x * x.

    >>> import addax.numpy as jnp
    >>> jnp.square(jnp.array([-2, 3]))
    Array([4, 9], dtype=int32)
    """
    return t.square(x)


@elementwise(inexact_dtype)
def reciprocal(x, /):
    """1 / x, in floating point also for integers (NumPy's integer reciprocal truncates).

    >>> import addax.numpy as jnp
    >>> jnp.reciprocal(4)
    Array(0.25, dtype=float32, weak_type=True)
    """
    return t.integer_pow(x, -1)


# ---------------------------------------------------------------------------------------------------------------------
# Division with remainder


def _float_quotient(x, y):
    """The largest whole number <= x / y, exactly rounded: from the remainder, since x / y may round up to it.

    The algorithm is that of Python's float ``//``.
    """
    r = t.rem(x, y)
    q = t.div(t.sub(x, t.select(t.eq(y, 0), t.const(y, 0), r)), y)
    behind = t.and_(t.ne(r, 0), t.ne(t.lt(r, 0), t.lt(y, 0)))
    return t.ops.round_.bind(t.select(behind, t.sub(q, 1), q), rounding_method=0)


def _quotient(x, y):
    if t.is_complex(x):
        raise TypeError("floor_divide does not support complex-valued inputs")
    if t.is_unsigned(x):
        return t.div(x, y)
    if t.is_integer(x):
        q, r = t.div(x, y), t.rem(x, y)
        behind = t.and_(t.ne(t.sign(x), t.sign(y)), t.ne(r, 0))
        return t.select(behind, t.sub(q, 1), q)
    return _float_quotient(x, y)


def _modulo(x, y):
    """The remainder with the sign of y; 0 for integers if y is 0, nan for floats."""
    if t.is_integer(x):
        y = t.select(t.eq(y, 0), t.const(y, 1), y)
    r = t.rem(x, y)
    if t.is_unsigned(x):
        return r
    other_side = t.and_(t.ne(t.lt(r, 0), t.lt(y, 0)), t.ne(r, 0))
    return t.select(other_side, t.add(r, y), r)


@elementwise(numeric_dtype)
def floor_divide(x, y, /):
    """The largest integer <= x / y. For floats y = 0 gives inf or nan; for integers it has no meaning.

    >>> import addax.numpy as jnp
    >>> jnp.floor_divide(jnp.array([7, -7]), 2)
    Array([ 3, -4], dtype=int32)
    """
    return _quotient(x, y)


@elementwise(numeric_dtype)
def remainder(x, y, /):
    """x - y * floor_divide(x, y): has the sign of y. For integers it is 0 where y is 0, for floats nan.

    >>> import addax.numpy as jnp
    >>> jnp.remainder(jnp.array([7, -7]), 3)
    Array([1, 2], dtype=int32)
    """
    return _modulo(x, y)


mod = remainder


@elementwise(numeric_dtype)
def fmod(x, y, /):
    """The remainder of division toward zero: has the sign of x (C's fmod). For integers it is 0 where y is 0.

    >>> import addax.numpy as jnp
    >>> jnp.fmod(jnp.array([7, -7]), 3)
    Array([ 1, -1], dtype=int32)
    """
    return t.rem(x, t.select(t.eq(y, 0), t.const(y, 1), y) if t.is_integer(x) else y)


@elementwise(numeric_dtype)
def divmod(x, y, /):
    """``(floor_divide(x, y), remainder(x, y))``

    >>> import addax.numpy as jnp
    >>> jnp.divmod(7, -2)
    (Array(-4, dtype=int32, weak_type=True), Array(-1, dtype=int32, weak_type=True))
    """
    return _quotient(x, y), _modulo(x, y)


@fused
def modf(x, /, out=None):
    """Fractional and whole part, both with the sign of x; the fraction of an infinity is nan (NumPy: 0).

    >>> import addax.numpy as jnp
    >>> jnp.modf(-1.5)
    (Array(-0.5, dtype=float32, weak_type=True), Array(-1., dtype=float32, weak_type=True))
    """
    no_out("modf", out)
    (x,) = operands("modf", inexact_dtype, x)
    whole = t.select(t.lt(x, 0), t.ceil(x), t.floor(x))
    return t.sub(x, whole), whole


# ---------------------------------------------------------------------------------------------------------------------
# Powers


def power(x1, x2, /):
    """x1 raised to the power x2.

    A known integer exponent is compiled into multiplications, and leaves the dtype of x1 as a Python int does. Integers
    to a negative power raise TypeError if the exponent is known; otherwise 1 / x1 is truncated.

    >>> import addax.numpy as jnp
    >>> jnp.power(jnp.arange(4), 2)
    Array([0, 1, 4, 9], dtype=int32)
    >>> jnp.power(2.0, 0.5)
    Array(1.4142135, dtype=float32, weak_type=True)
    """
    if type(x2) is int and isinstance(x1, ARRAYS):
        return _integer_power(x1, y=x2)
    if type(x1) is Selection or type(x2) is Selection:
        return mapped(power, x1, x2)
    check_array_like("power", x1, x2)
    n = _known_integer(x2)
    return _power(x1, x2) if n is None else _integer_power(x1, y=n)


pow = power


def _known_integer(x) -> int | None:
    """The value of an integer scalar that is known now, else None."""
    if type(x) in (int, bool):
        return int(x)
    if isinstance(x, Tracer) or not hasattr(x, "dtype") or np.shape(x) != ():
        return None
    return operator.index(np.asarray(x)[()]) if dtypes.issubdtype(x.dtype, np.integer) else None


@fused(static=("y",))
def _integer_power(x, *, y: int):
    (x,) = operands("power", numeric_dtype, x)
    return t.integer_pow(x, y)


@fused
def _power(x, y):
    x, y = as_operand(x), as_operand(y)
    dtype, weak = dtypes.lattice_result_type(x, y)
    dtype = dtypes.to_numeric_dtype(dtype)
    if dtypes.issubdtype(dtype, np.integer):
        return _power_of_integers(*promote_shapes("power", cast(x, dtype), cast(y, dtype)))
    whole = dtypes.issubdtype(get_aval(y).dtype, np.integer)
    return t.ops.pow_.bind(*promote_shapes("power", cast(x, dtype, weak), y if whole else cast(y, dtype, weak)))


def _power_of_integers(x, y):
    """Square and multiply on the low six bits of the exponent. From the exponent 64 on, even bases have overflowed to 0.

    A negative exponent gives 1 / x truncated: 1 or -1 for those bases, else 0.
    """
    result, base, n = t.const(x, 1), x, y
    for bit in range(6):
        odd = t.ne(t.and_(n, 1), 0)
        result = t.select(odd, t.mul(result, base), result)
        if bit < 5:
            base, n = t.mul(base, base), t.shift_right_logical(n, 1)
    even_base = t.eq(t.and_(x, 1), 0)
    result = t.select(t.and_(even_base, t.ge(y, 64)), t.const(x, 0), result)
    if t.is_unsigned(x):
        return result
    unit = t.or_(t.eq(x, 1), t.eq(x, -1))
    return t.select(t.and_(t.lt(y, 0), t.not_(unit)), t.const(x, 0), result)


@elementwise(inexact_dtype)
def float_power(x, y, /):
    """x raised to the power y, in floating point.

    >>> import addax.numpy as jnp
    >>> jnp.float_power(2, 3)
    Array(8., dtype=float32, weak_type=True)
    """
    return t.pow_(x, y)


# ---------------------------------------------------------------------------------------------------------------------
# Extremes


@elementwise(same_dtype)
def maximum(x, y, /):
    """The larger of x and y; nan if either is. Complex numbers are ordered by real, then by imaginary part.

    >>> import addax.numpy as jnp
    >>> jnp.maximum(jnp.array([1, 5]), 3)
    Array([3, 5], dtype=int32)
    """
    return t.max_(x, y)


@elementwise(same_dtype)
def minimum(x, y, /):
    """The smaller of x and y; nan if either is. Complex numbers are ordered by real, then by imaginary part.

    >>> import addax.numpy as jnp
    >>> jnp.minimum(jnp.array([1, 5]), 3)
    Array([1, 3], dtype=int32)
    """
    return t.min_(x, y)


def _extreme_number(name, x1, x2, better):
    x, y = operands(name, same_dtype, x1, x2)
    take_x = ordered(better, x, y)
    if not (t.is_integer(x) or t.is_bool(x)):
        take_x = t.or_(take_x, t.ne(y, y))
    return t.select(take_x, x, y)


@fused
def fmax(x1, x2):
    """The larger of x1 and x2, a number rather than nan.

    >>> import addax.numpy as jnp
    >>> jnp.fmax(jnp.nan, 1.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return _extreme_number("fmax", x1, x2, t.gt)


@fused
def fmin(x1, x2):
    """The smaller of x1 and x2, a number rather than nan.

    >>> import addax.numpy as jnp
    >>> jnp.fmin(jnp.nan, 1.0)
    Array(1., dtype=float32, weak_type=True)
    """
    return _extreme_number("fmin", x1, x2, t.lt)


@fused
def heaviside(x, y, /):
    """The step function: 0 for x < 0, y for x = 0, 1 for x > 0, nan for nan.

    >>> import addax.numpy as jnp
    >>> jnp.heaviside(jnp.array([-1., 0., 2.]), 0.5)
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    weak = is_weak(x)
    x, y = operands("heaviside", inexact_dtype, x, y)
    step = t.select(t.lt(x, 0), t.const(x, 0), t.const(x, 1))
    out = t.select(t.eq(x, 0), y, t.select(t.ne(x, x), x, step))
    return out if weak else convert(out, out.dtype, False)


# ---------------------------------------------------------------------------------------------------------------------
# Divisors: Euclid's algorithm in lockstep


def _integers(name: str, x1, x2):
    weak = is_weak(x1, x2)
    x, y = operands(name, same_dtype, x1, x2)
    if not t.is_integer(x):
        raise ValueError(f"Arguments to addax.numpy.{name} must be integers, got {dtypes.dtype_name(t.dtype_of(x))}.")
    return broadcast_arrays(*(as_array(v) if weak else convert(as_array(v), t.dtype_of(x), False) for v in (x, y)))


def _greatest_common_divisor(x, y):
    def more(pair):
        return registry["reduce_or"].bind(t.ne(pair[1], 0), axes=tuple(range(pair[1].ndim)))

    def step(pair):
        a, b = pair
        done = t.eq(b, 0)
        return t.select(done, a, b), t.select(done, b, t.rem(a, t.select(done, t.const(b, 1), b)))

    return while_loop(more, step, (_magnitude(x), _magnitude(y)))[0]


def _magnitude(x):
    return x if t.is_unsigned(x) else t.abs_(x)


@fused
def gcd(x1, x2):
    """The greatest common divisor of integers, >= 0; gcd(0, 0) is 0.

    >>> import addax.numpy as jnp
    >>> jnp.gcd(12, jnp.array([18, 0, -8]))
    Array([ 6, 12,  4], dtype=int32)
    """
    return _greatest_common_divisor(*_integers("gcd", x1, x2))


@fused
def lcm(x1, x2):
    """The least common multiple of integers, >= 0; 0 if either is 0.

    >>> import addax.numpy as jnp
    >>> jnp.lcm(4, jnp.array([6, 0, -3]))
    Array([12,  0, 12], dtype=int32)
    """
    x, y = _integers("lcm", x1, x2)
    d = _greatest_common_divisor(x, y)
    multiple = t.mul(_magnitude(x), t.div(_magnitude(y), t.select(t.eq(d, 0), t.const(d, 1), d)))
    return t.select(t.eq(d, 0), t.const(d, 0), multiple)
