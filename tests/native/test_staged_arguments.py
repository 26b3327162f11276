"""Arguments of the host that a program of another engine reads where a call writes them."""

from __future__ import annotations

import numpy as np
import pytest

import addax
from addax import _native
from addax.core.avals import ShapedArray

PAIR = ShapedArray((2,), np.dtype(np.float32))
NUMBER = ShapedArray((), np.dtype(np.int32))
LARGE = ShapedArray((1 << 18,), np.dtype(np.float32))  # 1 MiB


class Result:
    def __init__(self, ready):
        self.ready, self.asked = ready, 0

    def is_ready(self):
        self.asked += 1
        if isinstance(self.ready, Exception):
            raise self.ready
        return self.ready


class Engine:
    """Its devices read the memory of the host. What programs read is in ``read``, with its address."""

    def __init__(self, ready=True, stages=True):
        self.ready, self.stages = ready, stages
        self.staged, self.placed, self.results, self.read = [], [], [], []

    def stage(self, aval, sharding):
        assert sharding == "here"
        self.staged.append(aval)
        host = _native.array_from_numpy(np.zeros(aval.shape, aval.dtype), aval)
        return (host, np.asarray(host)) if self.stages else None

    def place(self, array, sharding):
        self.placed.append(array.aval)
        return np.array(array)

    def execute(self, buffers):
        self.read.append([(b.ctypes.data, b.flat[:2].tolist()) for b in buffers])
        self.results.append(Result(self.ready))
        return [self.results[-1]]

    def jitted(self, *avals, out=NUMBER, donated=()):
        launch = _native.Launch(
            self.execute, None, (), self.place, ["here"] * len(avals), [out], ["there"], True, stage=self.stage
        )
        tree = addax.tree.structure(0)
        return _native.Fn(lambda *_: _native.Entry(launch, tree, None, donated, avals), lambda *a: "traced")

    @property
    def places(self):
        """The addresses that programs read, numbered in the order of their first use."""
        addresses = [call[0][0] for call in self.read]
        return [list(dict.fromkeys(addresses)).index(a) for a in addresses]


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (np.arange(4, dtype=np.float32).reshape(2, 2), [3, 4]),
        (np.arange(8, dtype=np.float64).reshape(2, 4)[:, ::2], [np.int8(4), np.int8(-1)]),
        (np.array([[5, 6], [7, 8]], ">f4"), [True, False]),
        (np.ones((2, 2), bool), [np.array(2), np.array(9)]),
    ],
)
def test_a_call_writes_where_the_last_one_did_once_that_has_finished(values, numbers):
    engine = Engine()
    f = engine.jitted(PAIR, NUMBER)
    for v, n in zip([*values, *values], [*numbers, *numbers], strict=True):
        f(v, n)
        assert [read for _, read in engine.read[-1]] == [list(v), [n]]
    assert engine.staged == [PAIR, NUMBER] and engine.places == [0] * 4 and not engine.placed


def test_no_more_than_four_calls_are_staged_at_once():
    engine = Engine(ready=False)
    f = engine.jitted(PAIR)
    for i in range(6):
        f(np.full(2, i, np.float32))
    assert len(engine.staged) == 4 and engine.placed == [PAIR] * 2
    assert [v for ((_, v),) in engine.read] == [[i, i] for i in range(6)]
    assert [r.asked for r in engine.results[:4]] == [5, 0, 0, 0]  # the oldest finishes first
    engine.results[0].ready = True
    for i in range(6, 8):
        f(np.full(2, i, np.float32))
    assert len(engine.staged) == 4 and engine.placed == [PAIR] * 3
    assert engine.read[6] == [(engine.read[0][0][0], [6, 6])]


def test_memory_is_left_to_a_program_of_which_nothing_says_that_it_has_finished():
    engine = Engine(ready=RuntimeError("Array has been deleted."))
    f = engine.jitted(PAIR)
    for _ in range(6):
        f(np.ones(2, np.float32))
    assert engine.staged == [PAIR] * 6 and not engine.placed


def test_what_is_not_staged_is_placed():
    engine = Engine(stages=False)
    f = engine.jitted(PAIR, NUMBER)
    for _ in range(3):
        f(np.ones(2, np.float32), 1)
    assert engine.staged == [PAIR, NUMBER] and engine.placed == [PAIR, NUMBER] * 3  # asked once

    engine, array = Engine(), addax.numpy.ones(2)
    engine.jitted(PAIR, PAIR, donated=(0,))(
        np.ones(2, np.float32), array
    )  # given away; an Array, which stays where it is put
    assert not engine.staged and engine.placed == [PAIR, PAIR]

    engine = Engine()
    f = engine.jitted(LARGE, PAIR)
    f(np.ones(1 << 18, np.float32), np.ones(2, np.float32))
    assert engine.staged == [LARGE] and engine.placed == [PAIR]  # a set has a MiB

    engine = Engine()
    engine.jitted(PAIR, out=LARGE)(np.ones(2, np.float32))  # of which memory it would keep the result alive
    assert not engine.staged


def test_what_does_not_fit_is_refused_and_loses_nothing():
    engine = Engine()
    f = engine.jitted(NUMBER)
    f(1)
    with pytest.raises(OverflowError, match="does not fit the default integer type"):
        f(1 << 40)
    f(2)
    assert [call[0][1] for call in engine.read] == [[1], [2]]


def test_a_call_within_a_call_writes_elsewhere():
    engine = Engine()
    run = engine.execute

    def execute(buffers):
        if buffers[0] < 3:
            f(int(buffers[0]) + 1)
        return run(buffers)

    engine.execute = execute
    f = engine.jitted(NUMBER)
    f(0)
    f(0)
    assert [call[0][1] for call in engine.read] == [[3], [2], [1], [0]] * 2
    assert len(engine.staged) == 4


def test_a_program_that_was_not_launched_may_still_read():
    engine = Engine()
    f, run = engine.jitted(NUMBER), engine.execute
    f(1)

    def fails(buffers):
        run(buffers)
        raise ValueError("not launched")

    engine.execute = fails
    g = engine.jitted(NUMBER)
    for _ in range(2):
        with pytest.raises(ValueError, match="not launched"):
            g(2)
    assert len(engine.staged) == 3


def test_what_stage_returns_is_checked():
    engine = Engine()
    engine.stage = lambda aval, sharding: "memory"
    with pytest.raises(TypeError, match=r"Launch: stage must return \(Array, buffer\) or None, got 'memory'"):
        engine.jitted(NUMBER)(1)
