"""examples/parallel.py: each strategy trains as one device does, and holds the share of the parameters it says."""

import pathlib
import runpy

import numpy as np
import pytest

EXAMPLE = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "examples" / "parallel.py"))
SHARES = {"data parallel": 1, "tensor parallel": 4, "FSDP": 8, "pipeline": 8}


@pytest.fixture(scope="module")
def alone():
    return EXAMPLE["one_device"]()


@pytest.mark.parametrize("name", EXAMPLE["STRATEGIES"])
def test_strategy(name, alone, devices):
    losses, params = EXAMPLE["STRATEGIES"][name](devices)
    np.testing.assert_allclose(losses, alone[0], rtol=1e-5)
    for k, want in alone[1].items():
        np.testing.assert_allclose(params[k], want, rtol=1e-4, atol=1e-6)
        assert params[k].nbytes // params[k].addressable_shards[0].data.nbytes == SHARES[name]
