"""Window functions: bartlett, blackman, hamming, hanning, kaiser."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.core.trace import Tracer
from addax.numpy.base import as_array, as_operand, check_array_like, promote_inexact
from addax.numpy.creation import from_numpy
from addax.numpy.transcendental import i0


def _length(name: str, m: Any) -> int:
    if isinstance(m, Tracer):
        if m.concrete() is None:
            raise ConcretizationTypeError(
                m, f"It arose in the M argument of {name}: the length of the window must be known when the program is "
                "compiled; mark it as static (static_argnums)."
            )  # fmt: skip
        m = m.concrete()
    m = int(m)
    if m < 0:
        raise TypeError(f"{name}: the length of a window must be non-negative, got {m}")
    return m


def _window(values: np.ndarray):
    """Windows are computed in float64 and rounded once."""
    return from_numpy(values.astype(dtypes.default_float_dtype()))


def _cosines(m: int, *weights: float) -> np.ndarray:
    """sum_k weights[k] cos(2 pi k n / (m - 1)), exactly symmetric; 1 for one point."""
    if m <= 1:
        return np.ones(m)
    n = np.arange(m)
    n = np.minimum(n, m - 1 - n)
    return sum((w * np.cos(2 * np.pi * k * n / (m - 1)) for k, w in enumerate(weights)), np.zeros(m))


def bartlett(M: int) -> Any:
    """The triangular window, 1 - |2 n / (M - 1) - 1|, whose ends are 0.

    >>> import addax.numpy as jnp
    >>> jnp.bartlett(5).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    m = _length("bartlett", M)
    return _window(np.ones(m) if m <= 1 else 1 - np.abs(2 * np.arange(m) / (m - 1) - 1))


def blackman(M: int) -> Any:
    """0.42 - 0.5 cos(2 pi n / (M - 1)) + 0.08 cos(4 pi n / (M - 1))

    >>> import addax.numpy as jnp
    >>> jnp.blackman(3)[1].item()
    1.0
    """
    return _window(_cosines(_length("blackman", M), 0.42, -0.5, 0.08))


def hamming(M: int) -> Any:
    """0.54 - 0.46 cos(2 pi n / (M - 1))

    >>> import addax.numpy as jnp
    >>> jnp.hamming(3)[1].item()
    1.0
    """
    return _window(_cosines(_length("hamming", M), 0.54, -0.46))


def hanning(M: int) -> Any:
    """0.5 - 0.5 cos(2 pi n / (M - 1))

    >>> import addax.numpy as jnp
    >>> jnp.hanning(5).tolist()
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return _window(_cosines(_length("hanning", M), 0.5, -0.5))


def kaiser(M: int, beta) -> Any:
    """I0(beta sqrt(1 - (2 n / (M - 1) - 1)^2)) / I0(beta); ``beta`` is a scalar, which may be traced.

    >>> import addax.numpy as jnp
    >>> jnp.kaiser(3, 2.0)[1].item()
    1.0
    """
    m = _length("kaiser", M)
    check_array_like("kaiser", beta)
    (beta,) = (as_array(b) for b in promote_inexact(as_operand(beta)))
    if beta.ndim:
        raise TypeError(f"kaiser: beta must be a scalar, got shape {beta.shape}")
    if m <= 1:
        return _window(np.ones(m))
    n = np.arange(m)
    # (2 n / (m - 1) - 1)^2 subtracted from 1, without cancellation at the ends
    root = 2 * np.sqrt(n * (m - 1 - n)) / (m - 1)
    return i0(beta * _window(root)) / i0(beta)


__all__ = ["bartlett", "blackman", "hamming", "hanning", "kaiser"]
