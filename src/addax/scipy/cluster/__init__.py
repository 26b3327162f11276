"""Clustering: `jax.scipy.cluster`."""

from addax.scipy.cluster import vq as vq
