"""Eight virtual CPU devices of the XLA engine, beside the embedded engine's one; and as many of JAX's."""

import jax
import numpy as np
import pytest

from addax.engines.xla.client import cpu_client
from addax.sharding import Mesh


@pytest.fixture(scope="session")
def devices():
    """Devices of a client of their own, so that the rest of the suite keeps the default."""
    return cpu_client(8).devices()


@pytest.fixture(scope="session")
def mesh(devices):
    """4 x 2 devices."""
    return Mesh(np.array(devices).reshape(4, 2), ("x", "y"))


@pytest.fixture(scope="session")
def line(devices):
    """8 devices in a row."""
    return Mesh(np.array(devices), ("i",))


@pytest.fixture(scope="session")
def jax_mesh():
    """JAX's 4 x 2 devices (tests/conftest.py asks for them before JAX starts)."""
    return jax.sharding.Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"))
