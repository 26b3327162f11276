"""Discrete cosine transforms, of type 2 and its inverse: `jax.scipy.fft` in name and meaning."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.numpy.base import canonical_axis, check_array_like


def _prepare(name: str, x, type: int, norm: str | None):
    check_array_like(name, x)
    x = jnp.asarray(x)
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        raise TypeError(f"{name}: the transform is defined for real arrays; got {dtypes.dtype_name(x.dtype)}.")
    if type != 2:
        raise NotImplementedError(f"{name}: only type 2 is implemented; got type={type}.")
    if norm not in (None, "backward", "ortho"):
        raise ValueError(f"{name}: norm must be None, 'backward' or 'ortho'; got {norm!r}.")
    return x if dtypes.issubdtype(x.dtype, np.floating) else x.astype(dtypes.to_inexact_dtype(x.dtype))


def _fitted(x, n: int):
    """The last dimension cut off or padded with zeros to n."""
    if n < 1:
        raise ValueError(f"dct: the number of points must be positive, got {n}.")
    m = x.shape[-1]
    return x[..., :n] if m >= n else jnp.concatenate([x, jnp.zeros((*x.shape[:-1], n - m), x.dtype)], axis=-1)


def _weights(n: int) -> np.ndarray:
    k = np.arange(n)
    return np.exp(-0.5j * math.pi * k / n)


def _forward(x, norm):
    """2 sum_j x_j cos(pi k (2j + 1) / (2n)), by one real transform of the reordered array (Makhoul, 1980)."""
    n = x.shape[-1]
    v = jnp.concatenate([x[..., ::2], x[..., 1::2][..., ::-1]], axis=-1)
    spectrum = jnp.fft.fft(v)
    w = _weights(n).astype(spectrum.dtype)
    out = 2 * (spectrum * w).real
    return out * _ortho(n, x.dtype) if norm == "ortho" else out


def _ortho(n: int, dtype) -> np.ndarray:
    scale = np.full(n, math.sqrt(1 / (2 * n)))
    scale[0] = math.sqrt(1 / (4 * n))
    return scale.astype(dtype)


def _inverse(x, norm):
    n = x.shape[-1]
    x = x / _ortho(n, x.dtype) if norm == "ortho" else x
    # The spectrum of v: (X_k - i X_{n-k}) / (2 w_k), with X_n = 0.
    turned = jnp.concatenate([jnp.zeros_like(x[..., :1]), x[..., :0:-1]], axis=-1)
    w = np.conj(_weights(n)) / 2
    spectrum = (x - 1j * turned) * w.astype(dtypes.to_complex_dtype(x.dtype))
    v = jnp.fft.ifft(spectrum).real
    half = (n + 1) // 2
    out = jnp.zeros_like(v)
    return out.at[..., ::2].set(v[..., :half]).at[..., 1::2].set(v[..., half:][..., ::-1])


def _one(name, transform, x, type, n, axis, norm):
    x = _prepare(name, x, type, norm)
    at = canonical_axis(axis, x.ndim)
    x = jnp.moveaxis(x, at, -1)
    x = x if n is None else _fitted(x, operator.index(n))
    dtype = x.dtype
    return jnp.moveaxis(transform(x, norm), -1, at).astype(dtype)


def _many(name, one, x, type, s, axes, norm):
    x = _prepare(name, x, type, norm)
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    axes = [canonical_axis(a, x.ndim) for a in axes]
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name} does not support repeated axes. Got axes {axes}.")
    sizes = [None] * len(axes) if s is None else list(s)
    if len(sizes) != len(axes):
        raise ValueError(f"{name}: s and axes must have the same length; got {s} and {axes}.")
    for axis, n in zip(axes, sizes, strict=True):
        x = one(x, type, n, axis, norm)
    return x


def dct(x, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None):
    """The discrete cosine transform ``y_k = 2 sum_j x_j cos(pi k (2j + 1) / (2n))``.

    Args:
      x: a real array.
      type: only 2.
      n: cut off or pad with zeros to n points.
      axis: along which axis.
      norm: None, or ``"ortho"`` to make the transform orthogonal.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.fft import dct
    >>> dct(jnp.ones(4))[0].item()
    8.0
    """
    return _one("dct", _forward, x, type, n, axis, norm)


def idct(x, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None):
    """The inverse of `dct`.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.fft import idct
    >>> idct(jnp.array([8., 0., 0., 0.])).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    return _one("idct", _inverse, x, type, n, axis, norm)


def dctn(x, type: int = 2, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None):
    """`dct` along several axes, all by default. ``s`` are the numbers of points."""
    return _many("dctn", dct, x, type, s, axes, norm)


def idctn(x, type: int = 2, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None):
    """The inverse of `dctn`."""
    return _many("idctn", idct, x, type, s, axes, norm)


__all__ = ["dct", "dctn", "idct", "idctn"]
