"""Numerical integration: `jax.scipy.integrate` in name and meaning."""

from __future__ import annotations

from addax import numpy as jnp
from addax.core import dtypes
from addax.numpy.base import canonical_axis, check_array_like


def trapezoid(y, x=None, dx=1.0, axis: int = -1):
    """The integral of ``y`` along an axis by the trapezoidal rule: sum of (x_{i+1} - x_i) (y_i + y_{i+1}) / 2.

    Args:
      y: an array.
      x: where y was sampled: of the shape of ``y``, or ``[n]``. By default steps of ``dx``.
      dx: the distance of samples if ``x`` is None.
      axis: along which axis.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.integrate import trapezoid
    >>> trapezoid(jnp.array([1., 2., 3.])).item()
    4.0
    """
    check_array_like("trapezoid", y, *(() if x is None else (x,)))
    y = jnp.asarray(y)
    if not dtypes.issubdtype(y.dtype, jnp.inexact):
        y = y.astype(dtypes.to_inexact_dtype(y.dtype))
    at = canonical_axis(axis, y.ndim)
    y = jnp.moveaxis(y, at, -1)
    if x is not None:
        x = jnp.asarray(x)
        x = x if x.ndim == 1 else jnp.moveaxis(x, at, -1)
        dx = x[..., 1:] - x[..., :-1]
    else:
        dx = jnp.asarray(dx)
        dx = dx if dx.ndim == 0 else jnp.moveaxis(dx, at, -1) if dx.ndim > 1 else dx
    return 0.5 * jnp.sum(dx * (y[..., 1:] + y[..., :-1]), axis=-1)


__all__ = ["trapezoid"]
