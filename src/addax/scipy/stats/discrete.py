"""Distributions of whole numbers, as a table of formulas of k (less loc) and the shape parameters."""

from __future__ import annotations

import math

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.numpy.base import check_array_like
from addax.scipy.special import betaln, gammaincc, gammaln, xlog1py, xlogy
from addax.scipy.stats.distribution import Discrete


class _Bernoulli(Discrete):
    def cdf(self, k, p):
        """The probability of at most k."""
        k, p = self.arguments("cdf", "k", (k, p), {})[:2]
        out = jnp.where(k < 0, 0.0, jnp.where(k < 1, 1 - p, 1.0))
        return jnp.where(jnp.isnan(k) | ~((p >= 0) & (p <= 1)), np.nan, out)

    def ppf(self, q, p):
        """The least k whose `cdf` is at least q."""
        q, p = self.arguments("ppf", "q", (q, p), {})[:2]
        valid = (q >= 0) & (q <= 1) & (p >= 0) & (p <= 1)
        return jnp.where(valid, jnp.where(q <= 1 - p, 0.0, 1.0), np.nan)


bernoulli = _Bernoulli(
    "bernoulli", "One trial with success probability p: P(1) = p, P(0) = 1 - p.", "p",
    logpmf=lambda k, p: xlogy(k, p) + xlog1py(1 - k, -p), support=(0, 1),
)  # fmt: skip

binom = Discrete(
    "binom", "Successes in n trials: (n choose k) p^k (1-p)^(n-k).", "n", "p",
    logpmf=lambda k, n, p: (
        gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)
    ),
    support=(0, lambda n, p: n),
)  # fmt: skip

betabinom = Discrete(
    "betabinom", "Binomial with p from a beta distribution: (n choose k) B(k + a, n - k + b) / B(a, b).", "n", "a", "b",
    logpmf=lambda k, n, a, b: (
        -jnp.log1p(n) - betaln(n - k + 1, k + 1) + betaln(k + a, n - k + b) - betaln(a, b)
    ),
    support=(0, lambda n, a, b: n),
)  # fmt: skip

nbinom = Discrete(
    "nbinom", "Failures before n successes: gamma(k + n) / (gamma(n) k!) p^n (1-p)^k.", "n", "p",
    logpmf=lambda k, n, p: gammaln(k + n) - gammaln(n) - gammaln(k + 1) + xlogy(n, p) + xlog1py(k, -p),
    support=(0, np.inf),
)  # fmt: skip

geom = Discrete(
    "geom", "Trials up to the first success: (1-p)^(k-1) p, k >= 1.", "p",
    logpmf=lambda k, p: xlog1py(k - 1, -p) + jnp.log(p), support=(1, np.inf),
)  # fmt: skip


class _Poisson(Discrete):
    def cdf(self, *args, **kwargs):
        """The probability of at most k."""
        k, mu, loc = self.arguments("cdf", "k", args, kwargs)
        k = jnp.floor(k - loc)
        return jnp.where(k < 0, 0.0, gammaincc(jnp.maximum(k, 0) + 1, mu))

    def entropy(self, mu, loc=0):
        """-sum p log p: summed for mu below 100, by its asymptotic series above. NaN for negative mu."""
        check_array_like("poisson.entropy", mu, loc)
        mu = jnp.asarray(mu)
        return _poisson_entropy(mu)


def _poisson_entropy(mu):
    mu = mu if dtypes.issubdtype(mu.dtype, np.floating) else mu.astype(dtypes.default_float_dtype())
    small = mu < 100
    m = jnp.where(small & (mu > 0), mu, 1.0)
    k = np.arange(256)
    logp = k * jnp.log(m)[..., None] - np.asarray([math.lgamma(i + 1) for i in k], mu.dtype) - m[..., None]
    summed = -jnp.sum(jnp.exp(logp) * logp, axis=-1)
    big = jnp.where(small, 100.0, mu)
    series = jnp.log(2 * math.pi * math.e * big) / 2 - 1 / (12 * big) - 1 / (24 * big**2) - 19 / (360 * big**3)
    return jnp.where(mu < 0, np.nan, jnp.where(mu == 0, 0.0, jnp.where(small, summed, series)))


poisson = _Poisson(
    "poisson", "Events at the rate mu: mu^k exp(-mu) / k!.", "mu",
    logpmf=lambda k, mu: xlogy(k, mu) - gammaln(k + 1) - mu, support=(0, np.inf),
)  # fmt: skip
