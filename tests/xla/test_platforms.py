"""What is written for TPUs and GPUs where it is written otherwise than for CPUs, as far as it runs on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
from batch import Case, execute, run_reference, together
from samples_reduce import SAMPLES

from addax.core.config import cuda_visible_devices
from addax.engines.xla import cuda, engine
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target

PORTABLE = ("cholesky", "triangular_solve", "tridiagonal_solve", "conv_general_dilated")


def cases(platform: str):
    for number, sample in enumerate(SAMPLES):
        for dtype in sample.dtypes:
            if sample.name not in PORTABLE or dtype.kind not in "fc":
                continue
            if dtype.kind == "f" and sample.name != "tridiagonal_solve" and number % 4:
                continue
            if sample.name == "tridiagonal_solve" and platform == "cuda":
                continue  # a routine of cuSPARSE
            args = sample.draw(np.random.default_rng(number), dtype)
            if sample.name == "tridiagonal_solve":
                args[1] = args[1] + 9  # dominant: elimination is without pivoting
            yield Case(
                sample.name, args, sample.params, id=f"{sample.id} {dtype}", tol=2e-2 if dtype.itemsize < 4 else 5e-5
            )


@pytest.mark.parametrize("platform", ("cuda", "tpu"))
def test_portable_code_on_the_cpu(platform, monkeypatch):
    chosen = list(cases(platform))
    assert {case.name for case in chosen} >= set(PORTABLE) - {"tridiagonal_solve"}
    closed, _ = together(chosen)
    assert "@lapack" not in lower(closed, Target(platform)).text
    monkeypatch.setattr(engine, "lower", lambda closed, target, donated: lower(closed, Target(platform), donated))
    outs = execute(closed, [x for case in chosen for x in case.args])
    for case, got in zip(chosen, outs, strict=True):
        (want,) = run_reference([case])[0]
        tol = case.facts["tol"]
        np.testing.assert_allclose(got.astype(want.dtype), want, rtol=tol, atol=tol * 5, err_msg=case.facts["id"])


def test_a_client_knows_its_gpus_and_its_place_among_the_processes():
    class Others:
        rank, count = 1, 2

    assert "visible_devices" not in cuda.client_options(None) and "node_id" not in cuda.client_options(None)
    with cuda_visible_devices("0,3"):
        options = cuda.client_options(Others)
        assert (options["visible_devices"], options["node_id"], options["num_nodes"]) == ([0, 3], 1, 2)
    with cuda_visible_devices("first"), pytest.raises(ValueError, match="expected 'all' or numbers such as '0,1', got"):
        cuda.client_options(None)
