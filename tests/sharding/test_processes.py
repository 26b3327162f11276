"""Several processes on this machine: they train as one would, and say who is missing when one is gone."""

import pathlib
import re
import subprocess
import sys
import time

import pytest

from addax import distributed

SCRIPT = str(pathlib.Path(__file__).with_name("train_together.py"))


def run(*command, timeout=120):
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=timeout)


def losses(output):
    return re.search(r"losses ([\d. ]+)", output)[1].split()


@pytest.fixture(scope="module")
def alone():
    done = run(SCRIPT, "alone")
    assert done.returncode == 0, done.stderr
    return losses(done.stdout)


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_training_together_is_training_alone(count, alone):
    done = run("-m", "addax", "launch", "-n", str(count), "--devices", "2", SCRIPT, "together")
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(done.stdout) == pytest.approx([float(x) for x in alone], rel=1e-5) or losses(done.stdout) == alone


def test_a_process_that_dies_is_named():
    start = time.monotonic()
    done = run("-m", "addax", "launch", "-n", "2", SCRIPT, "die")
    assert done.returncode != 0
    assert re.search(
        r"process 0 of 2 ends: process 1 has given no sign of life for \d+ s; it was at step \d+", done.stdout
    )
    assert re.search(
        r"process 0 was waiting for step \d+ \(step\), in all-reduce from .*train_together.py:\d+.*, (which failed|for)",
        done.stdout,
    )
    assert time.monotonic() - start < 30  # to start takes some seconds, to notice at most ten


@pytest.mark.slow
def test_a_process_that_stalls_is_named():
    done = run("-m", "addax", "launch", "-n", "2", "--grace", "3", SCRIPT, "stall", "4")
    assert done.returncode != 0
    assert re.search(r"process 1 is at step \d+ \(step\): it has not launched step \d+ for \d+ s", done.stdout)


def test_what_is_missing_is_said(monkeypatch):
    for name in ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID"):
        monkeypatch.delenv(f"ADDAX_{name}", raising=False)
    with pytest.raises(
        ValueError, match="coordinator_address, num_processes, process_id should be defined: pass it, or start"
    ):
        distributed.initialize()
    with pytest.raises(ValueError, match="coordinator_address must be host:port, got 'here'"):
        distributed.initialize("here", 2, 0)
    with pytest.raises(ValueError, match=r"process_id must be in \[0, num_processes=2\), got 2"):
        distributed.initialize("localhost:1", 2, 2)
    with pytest.raises(ValueError, match="cluster_detection_method must be None or 'deactivate', got 'k8s'"):
        distributed.initialize("localhost:1", 2, 1, cluster_detection_method="k8s")
    monkeypatch.setenv("ADDAX_PROCESS_ID", "1")
    with pytest.raises(ValueError, match="process_id should be defined"):
        distributed.initialize("localhost:1", 2, cluster_detection_method="deactivate")


def test_slurm_tells_the_first_host(monkeypatch):
    assert [distributed._first_host(x) for x in ("n[03-05,9],m1", "a,b", "n7", "gpu[12]")] == [
        "n03",
        "a",
        "n7",
        "gpu12",
    ]
