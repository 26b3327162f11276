"""What all tests share: every program that is traced, transformed or simplified is held to the type checker."""

import os

# Eight devices for the oracle of tests/sharding, read when JAX starts.
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import pytest

import addax
from addax.core.config import enable_checks

addax.config.update("addax_enable_checks", True)


@pytest.fixture
def unchecked():
    """For tests of programs that are not whole, or of the options themselves."""
    with enable_checks(False):
        yield
