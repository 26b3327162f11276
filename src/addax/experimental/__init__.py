"""Names of ``jax.experimental`` that programs about devices and callbacks use."""

from addax.api import io_callback as io_callback
