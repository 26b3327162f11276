"""Exponentials, logarithms, roots, trigonometric and hyperbolic functions, for real and complex floats.

Each may carry the parameter ``accuracy`` (what a compiler is allowed to get wrong); it changes no rule here, and is
absent from the equation when it was not asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.ops.arithmetic import add, div, integer_pow, mul, neg, square, sub
from addax.ops.reference_tools import formula
from addax.ops.rules import FLOATING, INEXACT, Elementwise, elementwise


class Transcendental(Elementwise):
    """An elementwise function whose rules do not look at ``accuracy``."""

    def derivative(self, *partials: Callable[..., Any]):
        without = [lambda t, out, *xs, accuracy=None, f=f: f(t, out, *xs) for f in partials]
        return super().derivative(*without)

    def lower(self, *, reference, **names):
        return super().lower(reference=lambda *xs, accuracy=None: reference(*xs), **names)


def transcendental(name: str, accepts: tuple = INEXACT) -> Transcendental:
    return Transcendental(name, accepts)


def by_kind(real, complex_):
    """A reference with one formula for real and one for complex operands."""
    return formula(lambda x: complex_(x) if x.dtype.kind == "c" else real(x))


def from_parts(real, imag):
    out = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
    out.real, out.imag = real, imag
    return out


# --- Exponentials and logarithms ---

exp = transcendental("exp")
exp.derivative(lambda t, out, x: mul(t, out))
exp.lower(stablehlo="exponential", reference=formula(np.exp))

exp2 = transcendental("exp2")
exp2.derivative(lambda t, out, x: mul(math.log(2.0), mul(t, out)))
exp2.lower(stablehlo="exp2", reference=by_kind(np.exp2, lambda z: np.exp(z * z.dtype.type(math.log(2.0)))))


def _complex_expm1(z):
    """exp(x) cos(y) - 1 written as expm1(x) cos(y) - 2 sin(y/2)**2, which does not cancel near 0."""
    x, y = z.real, z.imag
    return from_parts(np.expm1(x) * np.cos(y) - 2 * np.sin(y / 2) ** 2, np.exp(x) * np.sin(y))


expm1 = transcendental("expm1")
expm1.derivative(lambda t, out, x: mul(t, add(out, 1)))
expm1.lower(stablehlo="exponential_minus_one", reference=by_kind(np.expm1, _complex_expm1))

log = transcendental("log")
log.derivative(lambda t, out, x: div(t, x))
log.lower(stablehlo="log", reference=formula(np.log))


def _complex_log1p(z):
    """log|1 + z| written as log1p(x (2 + x) + y**2) / 2, which does not cancel near 0."""
    x, y = z.real, z.imag
    large = np.abs(z) > 1e3  # where squaring could overflow, nothing cancels
    modulus = np.where(large, np.log(np.hypot(1 + x, y)), np.log1p(np.where(large, 0, x * (2 + x) + y * y)) / 2)
    return from_parts(modulus, np.arctan2(y, 1 + x))


log1p = transcendental("log1p")
log1p.derivative(lambda t, out, x: div(t, add(x, 1)))
log1p.lower(stablehlo="log_plus_one", reference=by_kind(np.log1p, _complex_log1p))


def _complex_logistic(z):
    """1 / (1 + exp(-z)), or exp(z) / (1 + exp(z)) on the left half plane, where the former overflows."""
    left = z.real < 0
    e = np.exp(np.where(left, z, -z))
    return np.where(left, e, 1) / (1 + e)


logistic = transcendental("logistic")
logistic.derivative(lambda t, out, x: mul(t, mul(out, sub(1, out))))
logistic.lower(
    stablehlo="logistic",
    reference=by_kind(lambda x: 1 / (1 + np.exp(-x)), _complex_logistic),
)

# --- Roots ---

sqrt = transcendental("sqrt")
sqrt.derivative(lambda t, out, x: mul(t, div(0.5, out)))
sqrt.lower(stablehlo="sqrt", reference=formula(np.sqrt))

rsqrt = transcendental("rsqrt")
rsqrt.derivative(lambda t, out, x: mul(t, mul(-0.5, div(out, x))))
rsqrt.lower(stablehlo="rsqrt", reference=formula(lambda x: np.reciprocal(np.sqrt(x))))

cbrt = transcendental("cbrt", (FLOATING,))
cbrt.derivative(lambda t, out, x: mul(t, mul(1 / 3, integer_pow(out, y=-2))))
cbrt.lower(stablehlo="cbrt", reference=formula(np.cbrt))

# --- Trigonometric ---

sin = transcendental("sin")
sin.derivative(lambda t, out, x: mul(t, cos(x)))
sin.lower(stablehlo="sine", reference=formula(np.sin))

cos = transcendental("cos")
cos.derivative(lambda t, out, x: neg(mul(t, sin(x))))
cos.lower(stablehlo="cosine", reference=formula(np.cos))

tan = transcendental("tan")
tan.derivative(lambda t, out, x: mul(t, add(1, square(out))))
tan.lower(stablehlo="tan", reference=formula(np.tan))

asin = elementwise("asin", INEXACT)
asin.derivative(lambda t, out, x: mul(t, rsqrt(sub(1, square(x)))))
asin.lower(stablehlo="asin", reference=formula(np.arcsin))

acos = elementwise("acos", INEXACT)
acos.derivative(lambda t, out, x: mul(t, neg(rsqrt(sub(1, square(x))))))
acos.lower(stablehlo="acos", reference=formula(np.arccos))

atan = elementwise("atan", INEXACT)
atan.derivative(lambda t, out, x: div(t, add(1, square(x))))
atan.lower(stablehlo="atan", reference=formula(np.arctan))


def _atan2(y, x):
    if x.dtype.kind != "c":
        return np.arctan2(y, x)
    return -1j * np.log((x + 1j * y) / np.sqrt(x * x + y * y))


atan2 = elementwise("atan2", INEXACT, 2, numpy_name="arctan2")
atan2.derivative(
    lambda t, out, y, x: mul(t, div(x, add(square(y), square(x)))),
    lambda t, out, y, x: mul(t, div(neg(y), add(square(y), square(x)))),
)
atan2.lower(stablehlo="atan2", reference=formula(_atan2))

# --- Hyperbolic ---

sinh = elementwise("sinh", INEXACT)
sinh.derivative(lambda t, out, x: mul(t, cosh(x)))
sinh.lower(stablehlo="sinh", reference=formula(np.sinh))

cosh = elementwise("cosh", INEXACT)
cosh.derivative(lambda t, out, x: mul(t, sinh(x)))
cosh.lower(stablehlo="cosh", reference=formula(np.cosh))

tanh = transcendental("tanh")
# t (1 + y) (1 - y) keeps its accuracy where 1 - y**2 cancels.
tanh.derivative(lambda t, out, x: mul(add(t, mul(t, out)), sub(1, out)))
tanh.lower(stablehlo="tanh", reference=formula(np.tanh))

asinh = elementwise("asinh", INEXACT)
asinh.derivative(lambda t, out, x: mul(t, rsqrt(add(square(x), 1))))
asinh.lower(stablehlo="asinh", reference=formula(np.arcsinh))

acosh = elementwise("acosh", INEXACT)
acosh.derivative(lambda t, out, x: mul(t, rsqrt(sub(square(x), 1))))
acosh.lower(stablehlo="acosh", reference=formula(np.arccosh))

atanh = elementwise("atanh", INEXACT)
atanh.derivative(lambda t, out, x: mul(integer_pow(add(1, x), y=-1), div(t, sub(1, x))))
atanh.lower(stablehlo="atanh", reference=formula(np.arctanh))
