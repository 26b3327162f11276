"""Continuous distributions, as a table of standard formulas. z is (x - loc) / scale, q a probability."""

from __future__ import annotations

import math

import numpy as np

from addax import numpy as jnp
from addax.scipy.special import (
    betainc,
    betaln,
    expit,
    gammainc,
    gammaincc,
    gammaln,
    i0e,
    log_ndtr,
    logit,
    ndtr,
    ndtri,
    xlog1py,
    xlogy,
)
from addax.scipy.stats.distribution import Continuous, Family

LOG_2, LOG_PI, LOG_SQRT_2PI = math.log(2), math.log(math.pi), math.log(2 * math.pi) / 2
POSITIVE = (0, np.inf)


def _cotangent(q):
    """cot(pi q), infinite at both ends."""
    ends = jnp.where(q == 0, np.inf, -np.inf)
    inside = (q > 0) & (q < 1)
    return jnp.where(inside, jnp.tan(math.pi * (0.5 - jnp.where(inside, q, 0.5))), ends)


norm = Continuous(
    "norm", "The normal distribution: density exp(-z^2 / 2) / sqrt(2 pi).",
    logpdf=lambda z: -z * z / 2 - LOG_SQRT_2PI, cdf=ndtr, sf=lambda z: ndtr(-z), logcdf=log_ndtr,
    logsf=lambda z: log_ndtr(-z), ppf=ndtri, isf=lambda q: -ndtri(q),
)  # fmt: skip

uniform = Continuous(
    "uniform", "The uniform distribution on [loc, loc + scale].",
    logpdf=lambda z: 0 * z, cdf=lambda z: z, sf=lambda z: 1 - z, ppf=lambda q: q, support=(0, 1),
)  # fmt: skip

expon = Continuous(
    "expon", "The exponential distribution: density exp(-z), z >= 0.",
    logpdf=lambda z: -z, cdf=lambda z: -jnp.expm1(-z), sf=lambda z: jnp.exp(-z),
    logcdf=lambda z: jnp.log(-jnp.expm1(-z)), logsf=lambda z: -z, ppf=lambda q: -jnp.log1p(-q), support=POSITIVE,
)  # fmt: skip

gamma = Continuous(
    "gamma", "The gamma distribution: density z^(a-1) exp(-z) / gamma(a), z >= 0.", "a",
    logpdf=lambda z, a: xlogy(a - 1, z) - z - gammaln(a), cdf=lambda z, a: gammainc(a, z),
    sf=lambda z, a: gammaincc(a, z), support=POSITIVE,
)  # fmt: skip

chi2 = Continuous(
    "chi2", "The chi-squared distribution: density z^(df/2-1) exp(-z/2) / (2^(df/2) gamma(df/2)), z >= 0.", "df",
    logpdf=lambda z, df: xlogy(df / 2 - 1, z) - z / 2 - df / 2 * LOG_2 - gammaln(df / 2),
    cdf=lambda z, df: gammainc(df / 2, z / 2), sf=lambda z, df: gammaincc(df / 2, z / 2), support=POSITIVE,
)  # fmt: skip

beta = Continuous(
    "beta", "The beta distribution: density z^(a-1) (1-z)^(b-1) / B(a, b), 0 <= z <= 1.", "a", "b",
    logpdf=lambda z, a, b: xlogy(a - 1, z) + xlog1py(b - 1, -z) - betaln(a, b),
    cdf=lambda z, a, b: betainc(a, b, z), sf=lambda z, a, b: betainc(b, a, 1 - z), support=(0, 1),
)  # fmt: skip

cauchy = Continuous(
    "cauchy", "The Cauchy distribution: density 1 / (pi (1 + z^2)).",
    logpdf=lambda z: -LOG_PI - jnp.log1p(z * z), cdf=lambda z: jnp.arctan2(1, -z) / math.pi,
    sf=lambda z: jnp.arctan2(1, z) / math.pi, ppf=lambda q: -_cotangent(q),
    isf=lambda q: _cotangent(q),
)  # fmt: skip

laplace = Continuous(
    "laplace", "The Laplace distribution: density exp(-|z|) / 2.",
    logpdf=lambda z: -abs(z) - LOG_2,
    cdf=lambda z: jnp.where(z < 0, jnp.exp(jnp.minimum(z, 0)) / 2, 1 - jnp.exp(-jnp.maximum(z, 0)) / 2),
    sf=lambda z: jnp.where(z > 0, jnp.exp(-jnp.maximum(z, 0)) / 2, 1 - jnp.exp(jnp.minimum(z, 0)) / 2),
)  # fmt: skip

logistic = Continuous(
    "logistic", "The logistic distribution: density exp(-z) / (1 + exp(-z))^2.",
    logpdf=lambda z: -abs(z) - 2 * jnp.log1p(jnp.exp(-abs(z))), cdf=expit, sf=lambda z: expit(-z),
    logcdf=lambda z: -jnp.logaddexp(0, -z), logsf=lambda z: -jnp.logaddexp(0, z), ppf=logit, isf=lambda q: -logit(q),
)  # fmt: skip

gumbel_r = Continuous(
    "gumbel_r", "The Gumbel distribution of maxima: density exp(-z - exp(-z)).",
    logpdf=lambda z: -z - jnp.exp(-z), cdf=lambda z: jnp.exp(-jnp.exp(-z)), logcdf=lambda z: -jnp.exp(-z),
    sf=lambda z: -jnp.expm1(-jnp.exp(-z)), logsf=lambda z: jnp.log(-jnp.expm1(-jnp.exp(-z))),
    ppf=lambda q: -jnp.log(-jnp.log(q)),
)  # fmt: skip

gumbel_l = Continuous(
    "gumbel_l", "The Gumbel distribution of minima: density exp(z - exp(z)).",
    logpdf=lambda z: z - jnp.exp(z), cdf=lambda z: -jnp.expm1(-jnp.exp(z)),
    logcdf=lambda z: jnp.log(-jnp.expm1(-jnp.exp(z))), sf=lambda z: jnp.exp(-jnp.exp(z)), logsf=lambda z: -jnp.exp(z),
    ppf=lambda q: jnp.log(-jnp.log1p(-q)),
)  # fmt: skip

pareto = Continuous(
    "pareto", "The Pareto distribution: density b / z^(b+1), z >= 1.", "b",
    logpdf=lambda z, b: jnp.log(b) - (b + 1) * jnp.log(z), cdf=lambda z, b: -jnp.expm1(-b * jnp.log(z)),
    logcdf=lambda z, b: jnp.log(-jnp.expm1(-b * jnp.log(z))), sf=lambda z, b: jnp.exp(-b * jnp.log(z)),
    logsf=lambda z, b: -b * jnp.log(z), ppf=lambda q, b: jnp.exp(-jnp.log1p(-q) / b), support=(1, np.inf), within=2.0,
)  # fmt: skip

t = Continuous(
    "t", "Student's t distribution: density (1 + z^2/df)^(-(df+1)/2) / (sqrt(df) B(1/2, df/2)).", "df",
    logpdf=lambda z, df: -(df + 1) / 2 * jnp.log1p(z * z / df) - jnp.log(df) / 2 - betaln(0.5, df / 2),
)  # fmt: skip

gennorm = Continuous(
    "gennorm", "The generalised normal distribution: density p / (2 gamma(1/p)) exp(-|z|^p).", "p",
    logpdf=lambda z, p: jnp.log(p) - LOG_2 - gammaln(1 / p) - abs(z) ** p,
    cdf=lambda z, p: (1 + jnp.sign(z) * gammainc(1 / p, abs(z) ** p)) / 2,
    sf=lambda z, p: jnp.where(z > 0, gammaincc(1 / p, abs(z) ** p), 1 + gammainc(1 / p, abs(z) ** p)) / 2,
)  # fmt: skip


def _log_difference(larger, smaller):
    """log(exp(larger) - exp(smaller)); -inf where they are equal."""
    gap = smaller - larger
    equal = (gap == 0) | (larger == -np.inf)
    return jnp.where(equal, -np.inf, larger + jnp.log(-jnp.expm1(jnp.where(equal, -1.0, gap))))


def _log_mass(a, b):
    """The logarithm of the probability of a standard normal variable between a and b, on the side where it is small."""
    a, b = jnp.broadcast_arrays(a, b)
    swap = a > 0
    low, high = jnp.where(swap, -b, a), jnp.where(swap, -a, b)
    tail = high <= 0
    in_tail = _log_difference(log_ndtr(jnp.where(tail, high, 0.0)), log_ndtr(jnp.where(tail, low, -1.0)))
    around = jnp.log1p(-ndtr(jnp.where(tail, -1.0, low)) - ndtr(-jnp.where(tail, 1.0, high)))
    return jnp.where(tail, in_tail, around)


truncnorm = Continuous(
    "truncnorm", "The normal distribution restricted to [a, b], in units of scale, measured from loc.", "a", "b",
    logpdf=lambda z, a, b: -z * z / 2 - LOG_SQRT_2PI - _log_mass(a, b),
    logcdf=lambda z, a, b: _log_mass(a, z) - _log_mass(a, b), logsf=lambda z, a, b: _log_mass(z, b) - _log_mass(a, b),
    support=(lambda a, b: a, lambda a, b: b), within=lambda a, b: jnp.clip(0.0, a, b),
)  # fmt: skip


class _Circular(Family):
    """A distribution of angles, without location and scale."""

    def __init__(self, name: str, doc: str, shape: str, logpdf):
        super().__init__(name, doc, (shape,), {})
        self._logpdf = logpdf

    def logpdf(self, *args, **kwargs):
        """The logarithm of the density at x."""
        return self._logpdf(*self.arguments("logpdf", "x", args, kwargs))

    def pdf(self, *args, **kwargs):
        """The density at x."""
        return jnp.exp(self.logpdf(*args, **kwargs))


vonmises = _Circular(
    "vonmises", "The von Mises distribution: density exp(kappa cos x) / (2 pi I0(kappa)).", "kappa",
    lambda x, kappa: kappa * (jnp.cos(x) - 1) - jnp.log(2 * math.pi * i0e(kappa)),
)  # fmt: skip


def _wrapcauchy(x, c):
    out = jnp.log1p(-c * c) - math.log(2 * math.pi) - jnp.log1p(c * c - 2 * c * jnp.cos(x))
    return jnp.where((x < 0) | (x > 2 * math.pi), -np.inf, out)


wrapcauchy = _Circular(
    "wrapcauchy", "The wrapped Cauchy distribution: (1 - c^2) / (2 pi (1 + c^2 - 2 c cos x)), 0 <= x <= 2 pi.", "c",
    _wrapcauchy,
)  # fmt: skip
