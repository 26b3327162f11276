"""Primitives as the terms of formulas: ``mul(x, 0.5)`` takes 0.5 in the dtype of x, weakly typed if x is.

Operands are what `base.operands` returns: equal dtypes, equal ranks or scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval, scalar_aval
from addax.interpreters.values import SCALARS, broadcast_to, convert, shape_of
from addax.numpy.base import broadcast_shapes, number
from addax.ops import elementwise as ops
from addax.ops.comparison import select_n


def dtype_of(x) -> Any:
    return get_aval(x).dtype


def is_bool(x) -> bool:
    return get_aval(x).dtype == np.bool_


def is_integer(x) -> bool:
    return dtypes.issubdtype(get_aval(x).dtype, np.integer)


def is_unsigned(x) -> bool:
    return dtypes.issubdtype(get_aval(x).dtype, np.unsignedinteger)


def is_complex(x) -> bool:
    return dtypes.issubdtype(get_aval(x).dtype, np.complexfloating)


_KINDS = {"b": bool, "i": int, "f": float, "c": complex}


def const(x, value) -> Any:
    """The number ``value`` in the dtype of ``x``; a Python number, which is weakly typed, if ``x`` is."""
    aval = get_aval(x)
    if aval.weak_type:
        kind = _KINDS.get(aval.dtype.kind)
        if kind is not None and scalar_aval(kind).dtype == aval.dtype:
            return kind(value)
    return number(value, aval.dtype)


def wider(x, y) -> type:
    """Of the types of two Python numbers the one that can hold both."""
    return SCALARS[max(SCALARS.index(type(x)), SCALARS.index(type(y)))]


def term(primitive) -> Callable[..., Any]:
    """``primitive``, of one or two operands, as a function whose Python numbers take the dtype of its arrays."""
    bind = primitive.bind
    if primitive.arity == 1:
        return bind

    def f(x, y):
        if type(y) in SCALARS:
            if type(x) not in SCALARS:
                y = const(x, y)
            elif type(x) is not type(y):
                x, y = map(wider(x, y), (x, y))
        elif type(x) in SCALARS:
            x = const(y, x)
        return bind(x, y)

    f.__name__ = primitive.name
    return f


def select(condition, yes, no):
    """``yes`` where the booleans ``condition`` hold, else ``no``; the three are stretched to a common shape."""
    if type(yes) in SCALARS and type(no) not in SCALARS:
        yes = const(no, yes)
    elif type(no) in SCALARS and type(yes) not in SCALARS:
        no = const(yes, no)
    shape = broadcast_shapes(shape_of(condition), shape_of(yes), shape_of(no))
    condition = broadcast_to(condition, shape) if shape_of(condition) else condition
    return select_n.bind(condition, broadcast_to(no, shape), broadcast_to(yes, shape))


def truth(x):
    """``x != 0``"""
    return x if is_bool(x) else ne(x, const(x, 0))


def full_like(x, value):
    """``value`` in the shape and dtype of ``x``."""
    return broadcast_to(const(x, value), shape_of(x))


add, sub, mul, div, rem, neg = map(term, (ops.add, ops.sub, ops.mul, ops.div, ops.rem, ops.neg))
max_, min_, sign, abs_ = map(term, (ops.max_, ops.min_, ops.sign, ops.abs_))
floor, ceil, nextafter = map(term, (ops.floor, ops.ceil, ops.nextafter))
real, imag, complex_ = map(term, (ops.real, ops.imag, ops.complex_))
square, pow_, sqrt, cbrt = map(term, (ops.square, ops.pow_, ops.sqrt, ops.cbrt))
exp, exp2, expm1, log, log1p = map(term, (ops.exp, ops.exp2, ops.expm1, ops.log, ops.log1p))
sin, cos, tan, asin, acos, atan, atan2 = map(term, (ops.sin, ops.cos, ops.tan, ops.asin, ops.acos, ops.atan, ops.atan2))
sinh, cosh, tanh, asinh, acosh, atanh = map(term, (ops.sinh, ops.cosh, ops.tanh, ops.asinh, ops.acosh, ops.atanh))
eq, ne, lt, le, gt, ge = map(term, (ops.eq, ops.ne, ops.lt, ops.le, ops.gt, ops.ge))
and_, or_, xor, not_, population_count = map(term, (ops.and_, ops.or_, ops.xor, ops.not_, ops.population_count))
shift_left, shift_right_arithmetic, shift_right_logical = map(
    term, (ops.shift_left, ops.shift_right_arithmetic, ops.shift_right_logical)
)
is_finite = term(ops.is_finite)


def round_half_even(x):
    return ops.round_.bind(x, rounding_method=1)


def integer_pow(x, y: int):
    return ops.integer_pow.bind(x, y=y)


def conj(x):
    return ops.conj.bind(x, input_dtype=dtype_of(x))


def to_dtype(x, dtype, weak: bool = False):
    return convert(x, dtype, weak)


def stop_gradient(x):
    return ops.stop_gradient.bind(x)
