"""Kernel density estimation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax import numpy as jnp, random
from addax.core import dtypes
from addax.lax import linalg as lax_linalg
from addax.nn.normalise import logsumexp
from addax.numpy.base import check_array_like
from addax.scipy.special import ndtr
from addax.tree_util import register_pytree_node_class


@register_pytree_node_class
class gaussian_kde:
    """A density estimated as a sum of normal densities around the points of a sample.

    Args:
      dataset: the sample, ``[n]`` or ``[d, n]``.
      bw_method: the factor by which the covariance of the sample is narrowed: ``"scott"`` (the default, n_eff^(-1/(d+4))),
        ``"silverman"``, a number, or a function of this object.
      weights: of the points, ``[n]``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.stats import gaussian_kde
    >>> gaussian_kde(jnp.array([0., 1., 2.]))(jnp.array([1.])).shape
    (1,)
    """

    def __init__(self, dataset, bw_method: str | float | Callable | None = None, weights=None):
        check_array_like("gaussian_kde", dataset)
        points: Any = jnp.atleast_2d(jnp.asarray(dataset))
        if dtypes.issubdtype(points.dtype, np.complexfloating):
            raise NotImplementedError("gaussian_kde does not support complex data.")
        if points.size <= 1:
            raise ValueError("`dataset` input should have multiple elements.")
        points = points if dtypes.issubdtype(points.dtype, np.floating) else points.astype(dtypes.default_float_dtype())
        d, n = points.shape
        if weights is None:
            w = jnp.full(n, 1 / n, points.dtype)
        else:
            check_array_like("gaussian_kde", weights)
            w = jnp.asarray(weights).astype(points.dtype)
            if w.ndim != 1:
                raise ValueError("`weights` input should be one-dimensional.")
            if w.shape[0] != n:
                raise ValueError("`weights` input should be of length n")
            w = w / jnp.sum(w)
        self.dataset, self.weights = points, w
        self.neff = 1 / jnp.sum(w * w)
        mean = points @ w
        apart = points - mean[:, None]
        data_covariance = (apart * w) @ apart.T / (1 - jnp.sum(w * w))
        if bw_method in (None, "scott"):
            factor: Any = self.neff ** (-1.0 / (d + 4))
        elif bw_method == "silverman":
            factor = (self.neff * (d + 2) / 4.0) ** (-1.0 / (d + 4))
        elif callable(bw_method):
            factor = bw_method(self)
        elif np.isscalar(bw_method) and not isinstance(bw_method, str):
            factor = bw_method
        else:
            raise ValueError("`bw_method` should be 'scott', 'silverman', a scalar, or a callable.")
        self.covariance = data_covariance * factor**2
        self.inv_cov = jnp.linalg.inv(self.covariance)

    def tree_flatten(self):
        return (self.neff, self.dataset, self.weights, self.covariance, self.inv_cov), None

    @classmethod
    def tree_unflatten(cls, _, children):
        kde = cls.__new__(cls)
        kde.neff, kde.dataset, kde.weights, kde.covariance, kde.inv_cov = children
        return kde

    @property
    def d(self) -> int:
        """The dimension of the points."""
        return self.dataset.shape[0]

    @property
    def n(self) -> int:
        """The number of points."""
        return self.dataset.shape[1]

    def _points(self, points):
        check_array_like("gaussian_kde", points)
        points = jnp.atleast_2d(jnp.asarray(points)).astype(self.dataset.dtype)
        d, m = points.shape
        if d != self.d:
            if d == 1 and m == self.d:
                return points.reshape(self.d, 1)
            raise ValueError(f"points have dimension {d}, dataset has dimension {self.d}")
        return points

    def logpdf(self, x):
        """The logarithm of the estimated density at the points x, ``[d, m]``."""
        x = self._points(x)
        factor = lax_linalg.cholesky(self.covariance)
        apart = self.dataset[:, :, None] - x[:, None, :]
        y = lax_linalg.triangular_solve(factor, apart.reshape(self.d, -1), left_side=True, lower=True)
        energy = jnp.sum(y * y, axis=0).reshape(self.n, -1) / 2
        log_norm = self.d / 2 * math.log(2 * math.pi) + jnp.sum(jnp.log(jnp.diagonal(factor)))
        return logsumexp(-energy, axis=0, b=self.weights[:, None]) - log_norm

    def evaluate(self, points):
        """The estimated density at the points, ``[d, m]``."""
        return jnp.exp(self.logpdf(points))

    __call__ = pdf = evaluate

    def integrate_gaussian(self, mean, cov):
        """The integral of the estimated density times a normal one."""
        mean, cov = jnp.atleast_1d(jnp.squeeze(jnp.asarray(mean))), jnp.atleast_2d(jnp.asarray(cov))
        if mean.shape != (self.d,):
            raise ValueError(f"mean does not have dimension {self.d}")
        if cov.shape != (self.d, self.d):
            raise ValueError(f"covariance does not have dimension {self.d}")
        return _gaussian_sum(self.dataset, self.weights, mean[:, None], jnp.ones(1), self.covariance + cov)

    def integrate_box_1d(self, low, high):
        """The probability of the interval from low to high, for points that are numbers."""
        if self.d != 1:
            raise ValueError("integrate_box_1d() only handles 1D pdfs")
        sigma = jnp.sqrt(self.covariance[0, 0])
        between = ndtr((high - self.dataset[0]) / sigma) - ndtr((low - self.dataset[0]) / sigma)
        return jnp.sum(self.weights * between)

    def integrate_kde(self, other: gaussian_kde):
        """The integral of the product of two estimated densities."""
        if other.d != self.d:
            raise ValueError("KDEs are not the same dimensionality")
        return _gaussian_sum(
            self.dataset, self.weights, other.dataset, other.weights, self.covariance + other.covariance
        )

    def resample(self, key, shape=()):
        """Random points from the estimated density, ``[d, *shape]``."""
        pick, noise = random.split(key)
        i = random.choice(pick, self.n, shape=shape, p=self.weights)
        factor = lax_linalg.cholesky(self.covariance)
        z = random.normal(noise, (self.d, math.prod(shape)), dtype=self.dataset.dtype)
        return self.dataset[:, i] + (factor @ z).reshape(self.d, *shape)


def _gaussian_sum(points, weights, others, other_weights, covariance):
    """sum_ij w_i v_j N(x_i; y_j, covariance)"""
    d = points.shape[0]
    factor = lax_linalg.cholesky(covariance)
    apart = (points[:, :, None] - others[:, None, :]).reshape(d, -1)
    y = lax_linalg.triangular_solve(factor, apart, left_side=True, lower=True)
    density = jnp.exp(-jnp.sum(y * y, axis=0) / 2).reshape(points.shape[1], others.shape[1])
    norm = (2 * math.pi) ** (d / 2) * jnp.prod(jnp.diagonal(factor))
    return jnp.sum(weights[:, None] * other_weights * density) / norm
