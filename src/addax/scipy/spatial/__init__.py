"""Geometry: `jax.scipy.spatial`."""

from addax.scipy.spatial import transform as transform
