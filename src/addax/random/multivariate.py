"""Normal vectors with a covariance, and random orthogonal matrices."""

from __future__ import annotations

import numpy as np

from addax import numpy as jnp
from addax.engines.eager import fused
from addax.numpy.base import canonical_shape, check_array_like
from addax.numpy.creation import asarray, placed
from addax.random.base import float_dtype, inexact_dtype, param, result_shape
from addax.random.keys import single_key
from addax.random.samplers import standard_normal


@placed
def multivariate_normal(key, mean, cov, shape=None, dtype=None, method: str = "cholesky", *, out_sharding=None):
    """Normal vectors with the given mean and covariance.

    Args:
      mean: shape (..., n).
      cov: positive semi-definite (positive definite for "cholesky"), shape (..., n, n).
      shape: of the result without its last dimension; what the leading shapes broadcast to by default.
      method: the square root taken of ``cov``: "cholesky", "eigh" or "svd".

    >>> import addax.random as jr, addax.numpy as jnp
    >>> jr.multivariate_normal(jr.key(0), jnp.zeros(2), jnp.eye(2), (3,)).shape
    (3, 2)
    """
    k = single_key("multivariate_normal", key)
    dtype = float_dtype("multivariate_normal", dtype)
    if method not in ("svd", "eigh", "cholesky"):
        raise ValueError(f"method must be one of 'svd', 'eigh', 'cholesky', got {method!r}")
    check_array_like("multivariate_normal", mean, cov)
    mean, cov = asarray(mean, dtype), asarray(cov, dtype)
    if mean.ndim < 1:
        raise ValueError("multivariate_normal requires mean.ndim >= 1, got mean.ndim == 0")
    if cov.ndim < 2:
        raise ValueError(f"multivariate_normal requires cov.ndim >= 2, got cov.ndim == {cov.ndim}")
    n = mean.shape[-1]
    if cov.shape[-2:] != (n, n):
        raise ValueError(
            f"multivariate_normal requires cov.shape == (..., n, n) for n={n}, but got cov.shape == {cov.shape}."
        )
    lead = result_shape("multivariate_normal", shape, np.empty(mean.shape[:-1]), np.empty(cov.shape[:-2]))
    return _multivariate_normal(k, mean, cov, shape=(*lead, n), dtype=dtype, method=method)


@fused(static=("shape", "dtype", "method"))
def _multivariate_normal(k, mean, cov, *, shape, dtype, method):
    if method == "cholesky":
        factor = jnp.linalg.cholesky(cov)
    elif method == "eigh":
        w, v = jnp.linalg.eigh(cov)
        factor = v * jnp.sqrt(w[..., None, :])
    else:
        u, s, _ = jnp.linalg.svd(cov)
        factor = u * jnp.sqrt(s[..., None, :])
    z = standard_normal(k, shape=shape, dtype=dtype)
    return param(mean, dtype, shape, "multivariate_normal") + jnp.matmul(factor, z[..., None])[..., 0]


@placed
def orthogonal(key, n: int, shape=(), dtype=None, m: int | None = None, *, out_sharding=None):
    """Matrices with orthonormal columns (or rows, if ``m > n``), uniform in Haar's measure; shape ``(*shape, n, m)``.

    By the QR decomposition of a normal matrix, with signs that make it unique (Mezzadri, "How to generate random
    matrices from the classical compact groups", 2007). Unitary for complex dtypes.

    >>> import addax.random as jr, addax.numpy as jnp
    >>> q = jr.orthogonal(jr.key(0), 3)
    >>> bool(jnp.allclose(q @ q.T, jnp.eye(3), atol=1e-5))
    True
    """
    k = single_key("orthogonal", key)
    dtype, shape = inexact_dtype("orthogonal", dtype), canonical_shape(shape)
    rows, columns = (_size(x, name) for x, name in ((n, "n"), (n if m is None else m, "m")))
    q = _orthonormal_columns(k, shape=(*shape, max(rows, columns), min(rows, columns)), dtype=dtype)
    return jnp.matrix_transpose(q) if rows < columns else q


@fused(static=("shape", "dtype"))
def _orthonormal_columns(k, *, shape, dtype):
    z = standard_normal(k, shape=shape, dtype=dtype)
    q, r = jnp.linalg.qr(z)
    d = jnp.diagonal(r, axis1=-2, axis2=-1)
    return q * jnp.expand_dims(jnp.sign(d), -2)


def _size(x, name: str) -> int:
    if not isinstance(x, (int, np.integer)) or x < 0:
        raise TypeError(f"orthogonal: {name} must be a non-negative integer, got {x!r:.100}")
    return int(x)
