"""Distributions of vectors."""

from __future__ import annotations

import math

import numpy as np

from addax import numpy as jnp
from addax.lax import linalg as lax_linalg
from addax.numpy.creation import inexact_arrays
from addax.scipy.special import gammaln, xlogy


class _MultivariateNormal:
    """The normal distribution of vectors x ``[..., n]`` with mean ``[..., n]`` and covariance ``[..., n, n]``.

    Scalars stand for n = 1, or for a mean or covariance that is the same in every dimension.
    """

    def __repr__(self) -> str:
        return "<distribution multivariate_normal(mean, cov)>"

    def logpdf(self, x, mean, cov, allow_singular: None = None):
        """The logarithm of the density at x; NaN if the covariance is not positive definite.

        >>> import addax.numpy as jnp
        >>> from addax.scipy.stats import multivariate_normal
        >>> round(multivariate_normal.logpdf(jnp.zeros(2), jnp.zeros(2), jnp.eye(2)).item(), 4)
        -1.8379
        """
        if allow_singular is not None:
            raise NotImplementedError("multivariate_normal.logpdf: allow_singular is not implemented.")
        x, mean, cov = inexact_arrays("multivariate_normal.logpdf", x, mean, cov)
        if mean.ndim == 0:  # one dimension, or all alike
            if cov.ndim == 0:
                return -((x - mean) ** 2) / (2 * cov) - math.log(2 * math.pi) / 2 - jnp.log(cov) / 2
            mean = jnp.broadcast_to(mean, cov.shape[-1:])
        n = mean.shape[-1]
        if cov.ndim == 0:
            length = jnp.sum((x - mean) ** 2, axis=-1) / cov
            return -length / 2 - n / 2 * (math.log(2 * math.pi) + jnp.log(cov))
        if cov.ndim < 2 or cov.shape[-2:] != (n, n):
            raise ValueError(
                f"multivariate_normal.logpdf: for a mean of shape {mean.shape} the covariance must have shape "
                f"[..., {n}, {n}]; got {cov.shape}."
            )
        factor = lax_linalg.cholesky(cov)
        apart = x - mean
        batch = np.broadcast_shapes(apart.shape[:-1], factor.shape[:-2])
        factor = jnp.broadcast_to(factor, (*batch, n, n))
        apart = jnp.broadcast_to(apart, (*batch, n))
        y = lax_linalg.triangular_solve(factor, apart[..., None], left_side=True, lower=True)[..., 0]
        log_det = jnp.sum(jnp.log(jnp.diagonal(factor, 0, -2, -1)), axis=-1)
        return -jnp.sum(y * y, axis=-1) / 2 - n / 2 * math.log(2 * math.pi) - log_det

    def pdf(self, x, mean, cov):
        """The density at x."""
        return jnp.exp(self.logpdf(x, mean, cov))


class _Multinomial:
    """Counts x ``[..., k]`` in n trials with k outcomes of probabilities p ``[..., k]``: n! prod p_i^x_i / x_i!."""

    def __repr__(self) -> str:
        return "<distribution multinomial(n, p)>"

    def logpmf(self, x, n, p):
        """The logarithm of the probability of x; -inf where the counts do not sum to n."""
        x, n, p = inexact_arrays("multinomial.logpmf", x, n, p)
        out = gammaln(n + 1) + jnp.sum(xlogy(x, p) - gammaln(x + 1), axis=-1)
        return jnp.where(jnp.sum(x, axis=-1) == n, out, -np.inf)

    def pmf(self, x, n, p):
        """The probability of x."""
        return jnp.exp(self.logpmf(x, n, p))


class _Dirichlet:
    """The Dirichlet distribution of probabilities x ``[k, ...]``: density prod x_i^(alpha_i - 1) / B(alpha).

    As in SciPy the k components are the *first* dimension of x; the last may be left out, since they sum to 1.
    """

    def __repr__(self) -> str:
        return "<distribution dirichlet(alpha)>"

    def logpdf(self, x, alpha):
        """The logarithm of the density at x; -inf outside the simplex."""
        x, alpha = inexact_arrays("dirichlet.logpdf", x, alpha)
        if alpha.ndim != 1:
            raise ValueError(f"dirichlet: `alpha` must be one-dimensional; got alpha.shape={alpha.shape}")
        k = alpha.shape[0]
        if x.shape[0] not in (k, k - 1):
            raise ValueError(
                "dirichlet: `x` must have either the same number of entries as `alpha` or one entry fewer; got "
                f"x.shape={x.shape}, alpha.shape={alpha.shape}"
            )
        if x.shape[0] != k:
            x = jnp.concatenate([x, 1 - jnp.sum(x, axis=0, keepdims=True)], axis=0)
        powers = (alpha - 1).reshape(-1, *(1 for _ in x.shape[1:]))
        log_beta = jnp.sum(gammaln(alpha)) - gammaln(jnp.sum(alpha))
        inside = jnp.all(x > 0, axis=0) & (abs(jnp.sum(x, axis=0) - 1) < 1e-6)
        out = jnp.sum(xlogy(powers, jnp.where(inside, x, 1.0)), axis=0) - log_beta
        return jnp.where(inside, out, -np.inf)

    def pdf(self, x, alpha):
        """The density at x."""
        return jnp.exp(self.logpdf(x, alpha))


multivariate_normal = _MultivariateNormal()
multinomial = _Multinomial()
dirichlet = _Dirichlet()
