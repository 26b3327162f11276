"""Numerical integration: `jax.scipy.integrate` in name and meaning."""

from addax.numpy.differences import trapezoid as trapezoid

__all__ = ["trapezoid"]
