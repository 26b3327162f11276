"""The thread pool: settings, survival of fork, jobs from several threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from native_programs import add_f32, array, compile_ir, program

import addax
from addax import _native

F4 = np.dtype(np.float32)


def doubled(n):
    shape = ((n,), F4)
    slots = [("in", 0, 4 * n), ("out", 0, 4 * n)]
    return program([shape], [shape], slots, 0, [], [("kernel", add_f32(), (0, 0, 1), b"", n, 1.0)], [("slot", 1)])


def test_settings():
    before = _native.get_num_threads()
    try:
        _native.set_num_threads(3)
        assert _native.get_num_threads() == 3
        with pytest.raises(ValueError, match=">= 1, got 0"):
            _native.set_num_threads(0)
    finally:
        _native.set_num_threads(before)


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("nonsense", None), ("0", None)])
def test_environment(value, expected):
    code = "from addax import _native; print(_native.get_num_threads())"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"ADDAX_NUM_THREADS": value}, capture_output=True, text=True
    )
    assert int(run.stdout) == (expected or len(os.sched_getaffinity(0))), run.stderr


def test_random_jobs_on_many_threads():
    rng = np.random.default_rng(0)
    before = _native.get_num_threads()
    programs = {n: doubled(n) for n in (7, 900, 5000, 20_000, 60_000)}
    inputs = {n: rng.random(n, F4) for n in programs}
    try:
        for _ in range(400):
            n = int(rng.choice(list(programs)))
            _native.set_num_threads(int(rng.integers(1, 6)))
            np.testing.assert_array_equal(np.asarray(programs[n]([array(inputs[n])])[0]), 2 * inputs[n])
    finally:
        _native.set_num_threads(before)


CUT = """
define void @k(ptr %args, ptr %table, i64 %lo, i64 %hi) {
  %out = load ptr, ptr %args
  %at = getelementptr i64, ptr %out, i64 %lo
  %items = sub i64 %hi, %lo
  store i64 %items, ptr %at
  ret void
}"""


@pytest.mark.parametrize("cut", [1, 16, 64])
@pytest.mark.parametrize("n", [63, 65, 1000, 5000])
def test_where_kernels_are_cut(n, cut):
    step = ("kernel", compile_ir(CUT), (0,), b"", n, 1000.0, cut)
    pieces = program(
        [], [((n,), np.dtype(np.int64))], [("out", 0, 8 * n)], 0, [], [("fill", 0, 8 * n), step], [("slot", 0)]
    )
    before = _native.get_num_threads()
    try:
        for threads in (1, 2, 5):
            _native.set_num_threads(threads)
            found = np.asarray(pieces([])[0])
            starts = np.flatnonzero(found)
            np.testing.assert_array_equal(starts + found[starts], [*starts[1:], n])
            assert not np.any(starts % cut) and (len(starts) > 1) == (threads > 1 and n > cut)
    finally:
        _native.set_num_threads(before)


FORK = """
import os, numpy as np
from native_programs import array
from test_pool import doubled
n = 50_000
p, x = doubled(n), array(np.ones(n, np.float32))
works = lambda: all(np.array_equal(np.asarray(p([x])[0]), np.full(n, 2)) for _ in range(20))
assert works()
child = os.fork()
if child == 0:
    ok = False
    try:
        ok = works()
    finally:
        os._exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert works()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork():
    """In a process of its own: other libraries' threads, loaded by other tests, need not survive it."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", FORK], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_the_number_of_threads_can_be_set_for_a_block():
    before = addax.get_num_threads()
    with addax.set_num_threads(1):
        assert addax.get_num_threads() == 1
        np.testing.assert_array_equal(addax.numpy.arange(100_000) + 1, np.arange(1, 100_001))
    assert addax.get_num_threads() == before
    with pytest.raises(ValueError, match="expected at least one thread, got 0"):
        addax.set_num_threads(0)
    addax.set_num_threads(before)


def test_threads_share_the_pool():
    n, wrong = 40_000, []
    p = doubled(n)

    def worker(k):
        x = np.full(n, k, F4)
        for _ in range(200):
            if not np.array_equal(np.asarray(p([array(x)])[0]), 2 * x):
                wrong.append(k)

    threads = [threading.Thread(target=worker, args=(k,)) for k in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong
