"""Vector quantisation: `jax.scipy.cluster.vq` in name and meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.numpy.base import check_array_like


def vq(obs, code_book, check_finite: bool = True):
    """The nearest code of each observation.

    Args:
      obs: ``[m, n]``, or ``[m]`` for numbers.
      code_book: ``[k, n]``, or ``[k]``.
      check_finite: accepted, without effect.

    Returns:
      ``(codes, distances)``: int32 ``[m]`` and float ``[m]``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.cluster.vq import vq
    >>> [v.tolist() for v in vq(jnp.array([[1., 1.], [9., 8.]]), jnp.array([[0., 1.], [9., 9.]]))]
    [[0, 1], [1.0, 1.0]]
    """
    check_array_like("scipy.cluster.vq.vq", obs, code_book)
    obs, codes = jnp.asarray(obs), jnp.asarray(code_book)
    if obs.ndim != codes.ndim:
        raise ValueError(f"Observation and code_book should have the same rank; got {obs.ndim} and {codes.ndim}.")
    if obs.ndim not in (1, 2):
        raise ValueError(f"ndim different than 1 or 2 are not supported; got {obs.ndim}.")
    if obs.ndim == 1:
        obs, codes = obs[:, None], codes[:, None]
    if obs.shape[1] != codes.shape[1]:
        raise ValueError(f"Observations have {obs.shape[1]} features, codes {codes.shape[1]}.")
    dtype = dtypes.to_inexact_dtype(dtypes.promote_types(obs.dtype, codes.dtype))
    apart = obs.astype(dtype)[:, None] - codes.astype(dtype)
    distances = jnp.sqrt(jnp.sum(apart * apart, axis=-1))
    best: Any = jnp.argmin(distances, axis=1)
    return best.astype(np.int32), jnp.min(distances, axis=1)


__all__ = ["vq"]
