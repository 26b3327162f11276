"""The XLA engine is an optional part: without jaxlib its tests are left out, which the report says."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest

HAS_JAXLIB = importlib.util.find_spec("jaxlib") is not None
collect_ignore_glob = [] if HAS_JAXLIB else ["test_*.py"]

# The sample tables of the primitives are shared with the tests of ops.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "ops"))


def pytest_report_collectionfinish() -> str:
    return "" if HAS_JAXLIB else "tests/xla skipped: jaxlib is not installed (pip install 'addax[xla]')"


@pytest.fixture(scope="session")
def mesh():
    """4 x 2 virtual CPU devices of a client of their own, with threads for the many loops that tests put into one program."""
    from addax.engines.xla.client import cpu_client
    from addax.sharding import Mesh

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NPROC", "32")
        return Mesh(np.array(cpu_client(8).devices()).reshape(4, 2), ("x", "y"))
