"""Special functions: the gamma and error functions and their kin, of real floats."""

from __future__ import annotations

import math

import numpy as np

from addax.core import dtypes
from addax.ops.arithmetic import abs_, add, div, integer_pow, mul, neg, sign, square, sub
from addax.ops.bits import and_
from addax.ops.comparison import gt, lt, select_n
from addax.ops.incomplete_gamma import (
    gamma_sample_derivative,
    gamma_sample_second_derivative,
    regularized_gamma_derivative,
)
from addax.ops.reference_tools import formula, odd, scipy_special
from addax.ops.rules import FLOATING, Refusal, dtype_of, elementwise, full_like
from addax.ops.transcendental import exp, log, log1p

REAL_FLOATS = (FLOATING,)

# --- Error function ---

erf = elementwise("erf", REAL_FLOATS)
erf.derivative(lambda t, out, x: mul(2 / math.sqrt(math.pi), mul(t, exp(neg(square(x))))))
erf.lower(stablehlo="erf", reference=formula(scipy_special("erf")))

erfc = elementwise("erfc", REAL_FLOATS)
erfc.derivative(lambda t, out, x: mul(-2 / math.sqrt(math.pi), mul(t, exp(neg(square(x))))))
erfc.lower(stablehlo="erfc", reference=formula(scipy_special("erfc")))

erf_inv = elementwise("erf_inv", REAL_FLOATS)
erf_inv.derivative(lambda t, out, x: mul(math.sqrt(math.pi) / 2, mul(t, exp(square(out)))))
erf_inv.lower(stablehlo="erf_inv", reference=formula(odd(scipy_special("erfinv"))))

# --- Gamma function and its logarithmic derivatives ---


def _lgamma(x):
    # log|gamma| grows without bound on both sides and at the poles.
    return np.where(np.isinf(x), np.inf, scipy_special("gammaln")(x))


lgamma = elementwise("lgamma", REAL_FLOATS)
lgamma.derivative(lambda t, out, x: mul(t, digamma(x)))
lgamma.lower(stablehlo="lgamma", reference=formula(_lgamma))


def _digamma(x):
    poles = (x <= 0) & (x == np.floor(x))
    return np.where(poles, np.nan, scipy_special("psi")(x))


digamma = elementwise("digamma", REAL_FLOATS)
digamma.derivative(lambda t, out, x: mul(t, polygamma(1.0, x)))
digamma.lower(stablehlo="digamma", reference=formula(_digamma))


def _polygamma(m, x):
    """(-1)**(m+1) m! zeta(m + 1, x), and digamma for m = 0; m is a whole number >= 0.

    At the poles, where an even derivative has both signs, the result is NaN.
    """
    m, x = m.astype(np.float64), x.astype(np.float64)
    whole = (m == np.floor(m)) & (m >= 0)
    order = np.where(whole, m, 1.0)
    pole = (x <= 0) & (x == np.floor(x))
    magnitude = scipy_special("gamma")(order + 1) * scipy_special("zeta")(order + 1, x)
    value = np.where(order == 0, _digamma(x), np.where(order % 2 == 1, magnitude, np.where(pole, np.nan, -magnitude)))
    return np.where(whole, value, np.nan)


polygamma = elementwise("polygamma", REAL_FLOATS, 2, numpy_name=None)
polygamma.derivative(
    Refusal("polygamma gradient with respect to m is not supported"),
    lambda t, out, m, x: mul(t, polygamma(add(m, 1), x)),
)
polygamma.lower(stablehlo="polygamma", reference=formula(_polygamma))

zeta = elementwise("zeta", REAL_FLOATS, 2, numpy_name=None)
zeta.derivative(
    Refusal("zeta(x, q) has no known closed derivative with respect to x"),
    lambda t, out, x, q: mul(t, mul(neg(x), zeta(add(x, 1), q))),
)
zeta.lower(stablehlo="zeta", reference=formula(scipy_special("zeta")))

# --- Incomplete gamma and beta functions ---


def _gamma_density(a, x):
    """x**(a-1) exp(-x) / gamma(a)"""
    return exp(sub(add(neg(x), mul(sub(a, full_like(a, 1)), log(x))), lgamma(a)))


igamma = elementwise("igamma", REAL_FLOATS, 2, numpy_name=None)
igamma.derivative(
    lambda t, out, a, x: mul(t, igamma_grad_a(a, x)),
    lambda t, out, a, x: mul(t, _gamma_density(a, x)),
)
igamma.lower(reference=formula(scipy_special("gammainc")))

igammac = elementwise("igammac", REAL_FLOATS, 2, numpy_name=None)
igammac.derivative(
    lambda t, out, a, x: neg(mul(t, igamma_grad_a(a, x))),
    lambda t, out, a, x: neg(mul(t, _gamma_density(a, x))),
)
igammac.lower(reference=formula(scipy_special("gammaincc")))

igamma_grad_a = elementwise("igamma_grad_a", REAL_FLOATS, 2, numpy_name=None)
igamma_grad_a.derivative(
    lambda t, out, a, x: mul(t, _second_derivative(out, a, x)),
    lambda t, out, a, x: mul(t, mul(_gamma_density(a, x), sub(log(x), digamma(a)))),
)
igamma_grad_a.lower(reference=formula(regularized_gamma_derivative))

# dx/da of a sample x, -(dP/da) / p for the density p = dP/dx, and what follows from dp/da = p (log x - digamma(a)).
random_gamma_grad = elementwise("random_gamma_grad", REAL_FLOATS, 2, numpy_name=None)
random_gamma_grad.derivative(
    lambda t, out, a, x: mul(t, random_gamma_grad_a(a, x)),
    lambda t, out, a, x: mul(t, sub(sub(digamma(a), log(x)), mul(out, sub(div(sub(a, 1), x), 1)))),
)
random_gamma_grad.lower(reference=formula(gamma_sample_derivative))

random_gamma_grad_a = elementwise("random_gamma_grad_a", REAL_FLOATS, 2, numpy_name=None)
random_gamma_grad_a.jvp = Refusal("random_gamma_grad_a, itself a derivative, has no differentiation rule")
random_gamma_grad_a.lower(reference=formula(gamma_sample_second_derivative))


def _second_derivative(slope, a, x):
    """d/da of ``slope``, dP/da; it is 0, too, where P is 0 or 1 for all a."""
    inside = and_(gt(x, 0), lt(x, math.inf))
    x = select_n(inside, full_like(x, 1), x)
    curve = sub(mul(slope, sub(log(x), digamma(a))), mul(random_gamma_grad_a(a, x), _gamma_density(a, x)))
    return select_n(inside, full_like(x, 0), curve)


def _beta_density(t, out, a, b, x):
    """t x**(a-1) (1-x)**(b-1) / B(a, b)"""
    log_beta = sub(add(lgamma(a), lgamma(b)), lgamma(add(a, b)))
    log_density = add(
        mul(sub(a, full_like(a, 1)), log(x)),
        sub(mul(sub(b, full_like(b, 1)), log1p(neg(x))), log_beta),
    )
    return mul(t, exp(log_density))


regularized_incomplete_beta = elementwise("regularized_incomplete_beta", REAL_FLOATS, 3, numpy_name=None)
regularized_incomplete_beta.derivative(
    Refusal("Betainc gradient with respect to a and b not supported."),
    Refusal("Betainc gradient with respect to a and b not supported."),
    _beta_density,
)
regularized_incomplete_beta.lower(reference=formula(scipy_special("betainc")))

# --- Modified Bessel functions of the first kind, scaled by exp(-|x|) ---

bessel_i0e = elementwise("bessel_i0e", REAL_FLOATS)
bessel_i0e.derivative(lambda t, out, x: mul(t, sub(bessel_i1e(x), mul(sign(x), out))))
bessel_i0e.lower(stablehlo="bessel_i0e", reference=formula(scipy_special("i0e")))


def _bessel_i1e_derivative(t, out, x):
    """i0e(x) - i1e(x) (sign(x) + 1/x), and its limit 1/2 at x = 0."""
    eps = float(dtypes.finfo(dtype_of(x)).eps)
    away = gt(abs_(x), eps)
    safe = select_n(away, full_like(x, eps), x)
    slope = sub(bessel_i0e(safe), mul(out, add(sign(safe), integer_pow(safe, y=-1))))
    return mul(t, select_n(away, full_like(x, 0.5), slope))


bessel_i1e = elementwise("bessel_i1e", REAL_FLOATS)
bessel_i1e.derivative(_bessel_i1e_derivative)
bessel_i1e.lower(stablehlo="bessel_i1e", reference=formula(odd(scipy_special("i1e"))))
