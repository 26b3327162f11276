"""What all tests share: every program is held to the type checker, and the oracle compiles quickly."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")  # for the oracle of tests/sharding
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the oracle's only: plugins may be here that find no hardware

import hypothesis
import pytest
import quick_jax

import addax

# The same examples each time, so that a run says something about what has changed; ADDAX_RANDOM_TESTS=1 goes hunting.
hypothesis.settings.register_profile("repeatable", derandomize=os.environ.get("ADDAX_RANDOM_TESTS") != "1")
hypothesis.settings.load_profile("repeatable")

addax.config.update("addax_enable_checks", True)


@pytest.fixture
def unchecked():
    """For tests of programs that are not whole, or of the options themselves."""
    addax.config.update("addax_enable_checks", False)
    yield
    addax.config.update("addax_enable_checks", True)


@pytest.fixture
def as_jax_compiles():
    """For tests of JAX's last digits."""
    with quick_jax.as_jax_compiles():
        yield
