"""Taylor coefficients through the primitives: recurrences, products, and what is linear.

A rule takes the series of the operands (lists of K + 1 coefficients; a `Zero` where one is known to be zero) and gives
that of the result. Primitives without a rule go by their derivative (interpreters/jet.py), which is never wrong, but computes
lower orders several times over. Rules of primitives that contain programs stand in taylor_control.py.

Source: A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, tables 13.1 and 13.2. With coefficients
numbered from 0 and ``u`` the rate in ``y' = u x'``,

    y[k] = (1 / k) * sum(j * x[j] * u[k - j] for j in 1..k)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.primitive import registry
from addax.interpreters.jet import Series, is_constant, scaled, taylor_rules
from addax.interpreters.values import (
    Zero,
    add_tangents,
    broadcast_to,
    convert,
    dtype_of,
    full_like,
    instantiate,
    shape_of,
)
from addax.ops.arithmetic import add, div, mul, neg, sub
from addax.ops.comparison import ne, select_n
from addax.ops.linalg import triangular_product, triangular_solve

# ---------------------------------------------------------------------------------------------------------------------
# Arithmetic of coefficients


def times(x, y):
    return x if type(x) is Zero else y if type(y) is Zero else mul(x, y)


def total(terms):
    """A sum that skips zeros."""
    result: Any = None
    for t in terms:
        result = t if result is None else add_tangents(result, t)
    return result


def minus(x, y):
    return x if type(y) is Zero else neg(y) if type(x) is Zero else sub(x, y)


def over(x, y):
    return x if type(x) is Zero else div(x, y)


def cauchy(x: Series, y: Series, k: int):
    """``sum(x[j] * y[k - j] for j in 0..k)``, a coefficient of the product."""
    return total([times(x[j], y[k - j]) for j in range(k + 1)])


def product(x: Series, y: Series) -> Series:
    return [cauchy(x, y, k) for k in range(len(x))]


def quotient(x: Series, y: Series) -> Series:
    out = [div(x[0], y[0])]
    for k in range(1, len(x)):
        known = total([times(y[j], out[k - j]) for j in range(1, k + 1)])
        out.append(over(minus(x[k], known), y[0]))
    return out


def moved(x: Series, first) -> Series:
    """The same series from another value on."""
    return [first, *x[1:]]


def along(x: Series, y0, rate: Callable[[Series], Any]) -> Series:
    """The solution of ``y' = u x'``, where ``rate(y[0..k])`` is ``u[k]``."""
    y, u = [y0], []
    for k in range(1, len(x)):
        u.append(rate(y))
        y.append(scaled(total([scaled(times(x[j], u[k - j]), j) for j in range(1, k + 1)]), 1 / k))
    return y


def _same_shape(rule):
    """A rule of an elementwise primitive, whose coefficients get the shape of the result."""

    def spread(series, **params):
        out = rule(*series, **params)
        if out is NotImplemented:
            return out
        shape = shape_of(out[0])
        return [out[0], *(Zero.of(out[0]) if type(c) is Zero else broadcast_to(c, shape) for c in out[1:])]

    return spread


def elementwise(name: str):
    def declare(rule):
        taylor_rules[name] = _same_shape(rule)
        return rule

    return declare


# ---------------------------------------------------------------------------------------------------------------------
# Linear primitives: of each coefficient alone. The operands in which they are linear, or None for all.

LINEAR: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys((
        "add", "add_any", "all_gather", "all_to_all", "broadcast_in_dim", "complex", "concatenate", "conj", "copy",
        "cumsum", "fft", "imag", "name", "neg", "optimization_barrier", "pad", "ppermute", "psum",
        "pvary", "real", "reduce_scatter", "reduce_sum", "reduce_window_sum", "reshape", "rev", "sharding_constraint",
        "slice", "split", "squeeze", "stack", "sub", "tile", "to_memory", "transpose", "unstack",
    )),
    "dynamic_slice": (0,), "dynamic_update_slice": (0, 1), "gather": (0,), "scatter-add": (0, 2), "scatter-sub": (0, 2),
}  # fmt: skip


def _linear(name: str, where: tuple[int, ...] | None):
    def rule(series, **params):
        p = registry[name]
        at = range(len(series)) if where is None else where
        first = p.bind(*(s[0] for s in series), **params)
        outs = [first]
        for k in range(1, len(series[0])):
            if all(type(series[i][k]) is Zero for i in at):
                outs.append([Zero.of(o) for o in first] if p.multiple_results else Zero.of(first))
            else:
                outs.append(p.bind(*(instantiate(s[k]) if i in at else s[0] for i, s in enumerate(series)), **params))
        return [list(s) for s in zip(*outs, strict=True)] if p.multiple_results else outs

    return rule


for _name, _where in LINEAR.items():
    taylor_rules[_name] = _linear(_name, _where)


def _select(series, **_):
    which, *cases = series
    first = select_n.bind(which[0], *(c[0] for c in cases))
    terms = []
    for k in range(1, len(which)):
        zero = all(type(c[k]) is Zero for c in cases)
        terms.append(Zero.of(first) if zero else select_n.bind(which[0], *(instantiate(c[k]) for c in cases)))
    return [first, *terms]


def _convert(series, *, new_dtype, weak_type, **params):
    (x,) = series
    p = registry["convert_element_type"]
    out = [p.bind(x[0], new_dtype=new_dtype, weak_type=weak_type, **params)]
    if not dtypes.issubdtype(new_dtype, np.inexact):
        return [out[0], *[Zero.of(out[0])] * (len(x) - 1)]
    for c in x[1:]:
        out.append(
            Zero.of(out[0]) if type(c) is Zero else p.bind(c, new_dtype=new_dtype, weak_type=weak_type, **params)
        )
    return out


taylor_rules["select_n"] = _select
taylor_rules["convert_element_type"] = _convert

# ---------------------------------------------------------------------------------------------------------------------
# Products


def _bilinear(name: str):
    def rule(series, **params):
        x, y = series
        p = registry[name]
        out = [p.bind(x[0], y[0], **params)]
        for k in range(1, len(x)):
            pairs = [(x[j], y[k - j]) for j in range(k + 1)]
            out.append(total([
                *(p.bind(a, b, **params) for a, b in pairs if type(a) is not Zero and type(b) is not Zero),
                Zero.of(out[0]),
            ]))  # fmt: skip
        return out

    return rule


for _name in ("dot_general", "conv_general_dilated"):
    taylor_rules[_name] = _bilinear(_name)

elementwise("mul")(product)
elementwise("div")(quotient)


@elementwise("square")
def _square(x):
    return product(x, x)


@elementwise("integer_pow")
def _integer_pow(x, *, y):
    first = registry["integer_pow"].bind(x[0], y=y)
    if y == 0:
        return [first, *[Zero.of(first)] * (len(x) - 1)]
    n, squares = abs(y), x
    while not n & 1:
        n, squares = n >> 1, product(squares, squares)
    result = squares
    while n := n >> 1:
        squares = product(squares, squares)
        if n & 1:
            result = product(result, squares)
    if y < 0:
        result = quotient([_one(k, first) for k in range(len(x))], result)
    return moved(result, first)


def _triangular_solve(series, **params):
    """From ``a x = b``: ``a[0] x[k] = b[k] - sum(a[j] x[k - j] for j in 1..k)``."""
    a, b = series
    out = [triangular_solve.bind(a[0], b[0], **params)]
    for k in range(1, len(a)):
        rest = b[k]
        for j in range(1, k + 1):
            if type(a[j]) is not Zero and type(out[k - j]) is not Zero:
                rest = minus(rest, triangular_product(a[j], out[k - j], **params))
        out.append(rest if type(rest) is Zero else triangular_solve.bind(a[0], rest, **params))
    return out


taylor_rules["triangular_solve"] = _triangular_solve

# ---------------------------------------------------------------------------------------------------------------------
# Functions of one operand


def _one(k: int, like):
    return full_like(like, 1) if k == 0 else Zero.of(like)


def _last(x: Series, y: Series):
    return cauchy(x, y, len(y) - 1)


RATES: dict[str, Callable[[Series], Any]] = {
    "exp": lambda y: y[-1],  # y' = y x'
    "tan": lambda y: add_tangents(_one(len(y) - 1, y[0]), _last(y, y)),  # y' = (1 + y^2) x'
    "tanh": lambda y: minus(_one(len(y) - 1, y[0]), _last(y, y)),  # y' = (1 - y^2) x'
    "logistic": lambda y: minus(y[-1], _last(y, y)),  # y' = (y - y^2) x'
}


def _by_rate(name: str, rate):
    def rule(x, **params):
        return along(x, registry[name].bind(x[0], **params), rate)

    return rule


for _name, _rate in RATES.items():
    elementwise(_name)(_by_rate(_name, _rate))


@elementwise("exp2")
def _exp2(x):
    x = [x[0], *(scaled(c, math.log(2)) for c in x[1:])]
    return along(x, registry["exp2"].bind(x[0]), RATES["exp"])


@elementwise("expm1")
def _expm1(x, **params):
    y = along(x, registry["exp"].bind(x[0], **params), RATES["exp"])
    return moved(y, registry["expm1"].bind(x[0], **params))


def logarithm(x: Series, y0) -> Series:
    """``x y' = x'``"""
    y = [y0]
    for k in range(1, len(x)):
        known = total([Zero.of(y0), *(scaled(times(y[j], x[k - j]), j) for j in range(1, k))])
        y.append(over(minus(x[k], scaled(known, 1 / k)), x[0]))
    return y


@elementwise("log")
def _log(x, **params):
    return logarithm(x, registry["log"].bind(x[0], **params))


@elementwise("log1p")
def _log1p(x, **params):
    return logarithm(moved(x, add(x[0], 1)), registry["log1p"].bind(x[0], **params))


def power(x: Series, y0, r: float) -> Series:
    """``x y' = r y x'``, for an exponent that is a number."""
    y = [y0]
    for k in range(1, len(x)):
        s = total([Zero.of(y0), *(scaled(times(x[j], y[k - j]), ((r + 1) * j - k) / k) for j in range(1, k + 1))])
        y.append(over(s, x[0]))
    return y


for _name, _exponent in (("sqrt", 0.5), ("rsqrt", -0.5), ("cbrt", 1 / 3)):

    def _root(x, name=_name, exponent=_exponent, **params):
        return power(x, registry[name].bind(x[0], **params), exponent)

    elementwise(_name)(_root)


def circle(x: Series, s0, c0, sign: int) -> tuple[Series, Series]:
    """``s' = c x'`` and ``c' = sign * s x'``"""
    s, c = [s0], [c0]
    for k in range(1, len(x)):
        ds = total([scaled(times(x[j], c[k - j]), j / k) for j in range(1, k + 1)])
        dc = total([scaled(times(x[j], s[k - j]), sign * j / k) for j in range(1, k + 1)])
        s.append(ds)
        c.append(dc)
    return s, c


for _pair, _sign in ((("sin", "cos"), -1), (("sinh", "cosh"), 1)):
    for _which in (0, 1):

        def _circular(x, pair=_pair, sign=_sign, which=_which, **params):
            s0, c0 = (registry[n].bind(x[0], **params) for n in pair)
            return circle(x, s0, c0, sign)[which]

        elementwise(_pair[_which])(_circular)


@elementwise("pow")
def _pow(x, y):
    """For a constant exponent r, ``y[k] = sum(binom(r, m) x0^(r - m) [(x - x0)^m][k] for m in 0..k)``: right also at 0."""
    if not is_constant(y):
        return NotImplemented
    p, r = registry["pow"], convert(y[0], dtype_of(x[0]))
    out = [p.bind(x[0], y[0]), *[Zero.of(x[0])] * (len(x) - 1)]
    powers = rest = [Zero.of(x[0]), *x[1:]]
    binomial = r
    for m in range(1, len(x)):
        slope = mul(binomial, p.bind(x[0], sub(r, m)))
        slope = select_n.bind(broadcast_to(ne(binomial, 0), shape_of(slope)), full_like(slope, 0), slope)
        out = [out[0], *(add_tangents(o, times(t, slope)) for o, t in zip(out[1:], powers[1:], strict=True))]
        powers = product(powers, rest)
        binomial = scaled(mul(binomial, sub(r, m)), 1 / (m + 1))
    return out


__all__: list[str] = []
