"""Interpolation on regular grids: `jax.scipy.interpolate` in name and meaning."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.core.trace import Tracer
from addax.numpy.base import check_array_like


class RegularGridInterpolator:
    """Interpolate values given on a rectangular grid.

    Args:
      points: the grid: one increasing vector ``[n_i]`` per dimension.
      values: ``[n_1, ..., n_d, ...]``.
      method: ``"linear"`` or ``"nearest"``.
      bounds_error: not supported: compiled programs cannot raise.
      fill_value: what lies outside the grid; None to extrapolate.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.interpolate import RegularGridInterpolator
    >>> f = RegularGridInterpolator((jnp.array([0., 1., 3.]),), jnp.array([0., 10., 30.]))
    >>> f(jnp.array([[0.5], [2.0]])).tolist()
    [5.0, 20.0]
    """

    def __init__(
        self, points: Sequence[Any], values, method: str = "linear", bounds_error: bool = False, fill_value=np.nan
    ):
        if method not in ("linear", "nearest"):
            raise ValueError(f"method {method!r} is not defined: expected 'linear' or 'nearest'.")
        if bounds_error:
            raise NotImplementedError("`bounds_error` takes no effect under JIT: set fill_value instead.")
        check_array_like("RegularGridInterpolator", values, *points)
        values = jnp.asarray(values)
        if len(points) > values.ndim:
            raise ValueError(f"there are {len(points)} point arrays, but values has {values.ndim} dimensions")
        if not dtypes.issubdtype(values.dtype, np.inexact):
            values = values.astype(dtypes.default_float_dtype())
        if fill_value is not None:
            check_array_like("RegularGridInterpolator", fill_value)
        grid: list[Any] = []
        for i, p in enumerate(points):
            p: Any = jnp.asarray(p)
            if p.ndim != 1:
                raise ValueError(f"the points in dimension {i} must be 1-dimensional")
            if p.shape[0] != values.shape[i]:
                raise ValueError(f"there are {p.shape[0]} points and {values.shape[i]} values in dimension {i}")
            if not isinstance(p, Tracer) and not bool((np.asarray(p)[1:] > np.asarray(p)[:-1]).all()):
                raise ValueError(f"the points in dimension {i} must be strictly ascending")
            vector: Any = p
            grid.append(p if dtypes.issubdtype(p.dtype, np.inexact) else vector.astype(dtypes.default_float_dtype()))
        self.grid, self.values, self.method, self.fill_value = tuple(grid), values, method, fill_value
        self.bounds_error = bounds_error

    def __call__(self, xi, method: str | None = None):
        """The values at ``xi``, an array ``[..., d]`` (or one array per dimension)."""
        method = self.method if method is None else method
        if method not in ("linear", "nearest"):
            raise ValueError(f"method {method!r} is not defined: expected 'linear' or 'nearest'.")
        d = len(self.grid)
        if isinstance(xi, (tuple, list)):
            check_array_like("RegularGridInterpolator", *xi)
            xi = jnp.stack(jnp.broadcast_arrays(*(jnp.asarray(x) for x in xi)), axis=-1)
        check_array_like("RegularGridInterpolator", xi)
        xi = jnp.asarray(xi)
        xi = xi if dtypes.issubdtype(xi.dtype, np.inexact) else xi.astype(dtypes.default_float_dtype())
        if d == 1 and (xi.ndim < 1 or xi.shape[-1] != 1):
            xi = xi[..., None]
        if xi.shape[-1] != d:
            raise ValueError(
                f"the requested sample points xi have dimension {xi.shape[-1]}, but this interpolator has dimension {d}"
            )
        cells, fractions = [], []
        outside: Any = None
        for i, p in enumerate(self.grid):
            x = xi[..., i]
            n = p.shape[0]
            cell = jnp.clip(jnp.searchsorted(p, x, side="right") - 1, 0, max(n - 2, 0))
            if n > 1:
                left, right = p[cell], p[cell + 1]
                fractions.append((x - left) / (right - left))
            else:
                fractions.append(jnp.zeros_like(x))
            cells.append(cell)
            beyond = (x < p[0]) | (x > p[-1])
            outside = beyond if outside is None else outside | beyond
        extra = (1,) * (self.values.ndim - d)
        if method == "nearest":
            index = tuple(c + (f > 0.5) for c, f in zip(cells, fractions, strict=True))
            out: Any = self.values[index]
        else:
            out = 0.0
            for corner in itertools.product((0, 1), repeat=d):
                weight: Any = 1.0
                for side, f in zip(corner, fractions, strict=True):
                    weight = weight * (f if side else 1 - f)
                index = tuple(
                    jnp.minimum(c + side, p.shape[0] - 1) for c, side, p in zip(cells, corner, self.grid, strict=True)
                )
                out = out + self.values[index] * weight.reshape(*weight.shape, *extra)
        if self.fill_value is None:
            return out
        return jnp.where(outside.reshape(*outside.shape, *extra), self.fill_value, out)


__all__ = ["RegularGridInterpolator"]
