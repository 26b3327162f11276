"""The gamma function and its kin: factorials, binomial coefficients, beta, polygamma and zeta functions."""

from __future__ import annotations

import importlib
import math
import operator

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.numpy.base import check_array_like
from addax.numpy.creation import inexact_arrays
from addax.scipy.special.functions import on_host, real, special


@special
def gammaln(x):
    """log|gamma(x)|, for real x.

    >>> from addax.scipy.special import gammaln
    >>> round(gammaln(5.0).item(), 4)
    3.1781
    """
    real("gammaln", x)
    return lax.lgamma(x)


_complex_loggamma = on_host("loggamma", lambda out, z: _complex_digamma(z))
_complex_digamma = on_host("psi", lambda out, z: _no_derivative("digamma of complex numbers"))


def _no_derivative(what: str):
    raise NotImplementedError(f"The derivative of {what} is not implemented.")


@special
def loggamma(x):
    """The principal branch of log gamma(x); for real x < 0, where that is not real, NaN.

    >>> from addax.scipy.special import loggamma
    >>> round(loggamma(5.0).item(), 4)
    3.1781
    """
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        return _complex_loggamma(x)
    return jnp.where(x < 0, np.nan, lax.lgamma(x))


@special
def gammasgn(x):
    """The sign of gamma(x): 1 or -1; NaN where gamma has a pole without a sign, at negative integers.

    >>> from addax.scipy.special import gammasgn
    >>> gammasgn(-1.5).item()
    1.0
    """
    real("gammasgn", x)
    floor = jnp.floor(x)
    negative = jnp.where(x == floor, np.nan, jnp.where(floor % 2 == 0, 1.0, -1.0))
    zero = jnp.where(jnp.signbit(x), -1.0, 1.0)
    out = jnp.where(x == 0, zero, jnp.where(x > 0, 1.0, negative))
    return jnp.where(jnp.isnan(x) | (x == -np.inf), np.nan, out).astype(x.dtype)


@special
def gamma(x):
    """The gamma function, the integral of t^(x-1) exp(-t) over t > 0; inf at 0, NaN at negative integers.

    >>> from addax.scipy.special import gamma
    >>> round(gamma(4.0).item(), 3)
    6.0
    """
    real("gamma", x)
    return gammasgn(x) * jnp.exp(lax.lgamma(x))


@special
def digamma(x):
    """The derivative of log gamma(x); NaN at the poles.

    >>> from addax.scipy.special import digamma
    >>> round(digamma(1.0).item(), 4)
    -0.5772
    """
    real("digamma", x)
    return lax.digamma(x)


@special
def polygamma(n, x):
    """The n-th derivative of `digamma`, for whole n >= 0; differentiable in x.

    >>> from addax.scipy.special import polygamma
    >>> round(polygamma(1, 1.0).item(), 4)
    1.6449
    """
    real("polygamma", x)
    return lax.polygamma(n, x)


@special
def _hurwitz(x, q):
    real("zeta", x)
    return lax.zeta(x, q)


def zeta(x, q=None):
    """The Hurwitz zeta function, the sum of (k + q)^-x over k >= 0, for x > 1; differentiable in q.

    Without ``q`` the Riemann zeta function, q = 1, for x > 1 (which JAX refuses).

    >>> from addax.scipy.special import zeta
    >>> round(zeta(2.0, 1.0).item(), 4)
    1.6449
    """
    return _hurwitz(x, 1.0 if q is None else q)


@special
def gammainc(a, x):
    """The regularised lower incomplete gamma function: the integral of t^(a-1) exp(-t) / gamma(a) from 0 to x.

    >>> from addax.scipy.special import gammainc
    >>> round(gammainc(1.0, 2.0).item(), 4)
    0.8647
    """
    real("gammainc", x)
    return lax.igamma(a, x)


@special
def gammaincc(a, x):
    """The regularised upper incomplete gamma function, 1 - `gammainc`.

    >>> from addax.scipy.special import gammaincc
    >>> round(gammaincc(1.0, 2.0).item(), 4)
    0.1353
    """
    real("gammaincc", x)
    return lax.igammac(a, x)


def multigammaln(a, d):
    """The logarithm of the multivariate gamma function of whole dimension d >= 1, for a > (d - 1) / 2.

    ``d (d-1)/4 log(pi) + sum_j gammaln(a - j/2)``, j from 0 to d - 1.

    >>> from addax.scipy.special import multigammaln
    >>> round(multigammaln(5.0, 3).item(), 4)
    9.1406
    """
    check_array_like("multigammaln", a, d)
    d = int(d)
    (a,) = inexact_arrays("multigammaln", a)
    halves = np.arange(d, dtype=np.float64) / 2
    terms = gammaln(a[..., None] - halves.astype(a.dtype))
    return jnp.sum(terms, axis=-1) + d * (d - 1) / 4 * math.log(math.pi)


@special
def _factorial(n):
    real("factorial", n)
    return jnp.where(n < 0, 0.0, jnp.exp(lax.lgamma(n + 1)))


def factorial(n, exact: bool = False):
    """n! = gamma(n + 1), in floating point; 0 for negative n.

    >>> from addax.scipy.special import factorial
    >>> round(factorial(5).item(), 2)
    120.0
    """
    if exact:
        raise NotImplementedError("factorial with exact=True: use math.factorial for Python integers.")
    return _factorial(n)


@special
def poch(z, m):
    """The Pochhammer symbol gamma(z + m) / gamma(z), "z rising m"; 1 for m = 0.

    >>> from addax.scipy.special import poch
    >>> round(poch(3.0, 2.0).item(), 3)
    12.0
    """
    real("poch", z)
    return jnp.where(m == 0, 1.0, gammasgn(z) * gammasgn(z + m) * jnp.exp(lax.lgamma(z + m) - lax.lgamma(z)))


@special
def _choose(n, k):
    real("comb", n)
    valid = (n >= k) & (n >= 0) & (k >= 0)
    n, k = jnp.where(valid, n, 1.0), jnp.where(valid, k, 1.0)
    return jnp.where(valid, jnp.exp(lax.lgamma(n + 1) - lax.lgamma(k + 1) - lax.lgamma(n - k + 1)), 0.0)


def comb(N, k, *, repetition: bool = False):
    """The number of ways to choose k of N things, in floating point; with ``repetition``, of N + k - 1 things.

    >>> from addax.scipy.special import comb
    >>> round(comb(5, 2).item(), 3)
    10.0
    """
    check_array_like("comb", N, k)
    return _choose(jnp.asarray(N) + jnp.asarray(k) - 1 if repetition else N, k)


@special
def betaln(a, b):
    """log|B(a, b)|, computed so that it does not cancel where one argument is much larger.

    >>> from addax.scipy.special import betaln
    >>> round(betaln(2.0, 3.0).item(), 4)
    -2.4849
    """
    real("betaln", a)
    small, large = jnp.minimum(a, b), jnp.maximum(a, b)
    return jnp.where((small > 0) & (large >= 8), _large_betaln(small, large), _plain_betaln(a, b))


def _plain_betaln(a, b):
    return lax.lgamma(a) + lax.lgamma(b) - lax.lgamma(a + b)


def _stirling(x):
    """lgamma(x) - ((x - 1/2) log x - x + log(2 pi) / 2), by its asymptotic series, for x >= 8."""
    x = jnp.maximum(x, 8.0)
    r = 1 / x
    r2 = r * r
    coefficients = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
    total = 0.0 * r2
    for c in reversed(coefficients):
        total = total * r2 + c
    return total * r


def _large_betaln(small, large):
    """With L = large >= 8: lgamma(L) - lgamma(s + L) from Stirling's formula, whose large terms are subtracted exactly."""
    small = jnp.where((small > 0) & (large >= 8), small, 1.0)
    large = jnp.maximum(large, 8.0)
    total = small + large
    tail = small * (1 - jnp.log(total)) - (large - 0.5) * jnp.log1p(small / large)
    return lax.lgamma(small) + tail + _stirling(large) - _stirling(total)


@special
def beta(a, b):
    """The beta function gamma(a) gamma(b) / gamma(a + b).

    >>> from addax.scipy.special import beta
    >>> round(beta(2.0, 3.0).item(), 5)
    0.08333
    """
    real("beta", a)
    return gammasgn(a) * gammasgn(b) * gammasgn(a + b) * jnp.exp(betaln(a, b))


@special
def betainc(a, b, x):
    """The regularised incomplete beta function: t^(a-1) (1-t)^(b-1) / B(a, b) integrated from 0 to x. Differentiable in x.

    >>> from addax.scipy.special import betainc
    >>> round(betainc(2.0, 3.0, 0.5).item(), 4)
    0.6875
    """
    real("betainc", x)
    return lax.betainc(a, b, x)


def bernoulli(n: int):
    """The Bernoulli numbers B_0, ..., B_n, with B_1 = -1/2.

    >>> from addax.scipy.special import bernoulli
    >>> [round(b, 4) for b in bernoulli(4).tolist()]
    [1.0, -0.5, 0.1667, 0.0, -0.0333]
    """
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"bernoulli: n must be a non-negative integer, got {n}.")
    numbers = importlib.import_module("scipy.special").bernoulli(max(n, 2))[: n + 1]
    return jnp.asarray(np.asarray(numbers).astype(dtypes.default_float_dtype()))
