"""Names of ``jax.experimental`` that programs about devices use."""
