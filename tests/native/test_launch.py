"""Launch: how a program of another engine is called with its own buffers, and what it may do wrong."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest

import addax
from addax import _native
from addax.core.avals import ShapedArray

AVAL = ShapedArray((), np.dtype(np.float32))


class Buffer:
    """A number that lies with an engine."""

    def __init__(self, value):
        self.value = value


def external(value, where):
    return _native.array_external(Buffer(value), AVAL, where, True)


def value_of(array):
    return array._buffer.value


def placed(array, where):
    """An argument brought to where the program wants it."""
    held = array._buffer
    return Buffer(float(array) if held is None else held.value)


def launch(execute, results=1, arguments=2, finish=None, committed=True, tail=()):
    where_in, where_out = ["here"] * arguments, ["there"] * results
    return _native.Launch(execute, finish, "handlers", placed, where_in, [AVAL] * results, where_out, committed, tail)


def jitted(executable, results=1, arguments=2, donated=()):
    tree = addax.tree.structure([0] * results)
    return _native.Fn(
        lambda *_: _native.Entry(executable, tree, None, donated, (AVAL,) * arguments), lambda *a: "traced"
    )


def add(buffers):
    return [Buffer(sum(b.value for b in buffers))]


def test_buffers_in_and_out():
    here = "here"
    for committed in (True, False):
        f = jitted(launch(add, committed=committed))
        (out,) = f(external(2.0, here), external(3.0, here))
        assert value_of(out) == 5 and out._device == "there" and out._committed is committed and out.aval is AVAL


def test_arguments_that_are_elsewhere_are_placed():
    f = jitted(launch(add))
    there, host = external(2.0, "there"), _native.array_from_numpy(np.float32(3), AVAL)
    assert value_of(f(there, host)[0]) == 5
    assert value_of(f(there, 4.0)[0]) == 6
    there.delete()
    with pytest.raises(RuntimeError, match="Array has been deleted"):
        f(there, host)


def test_results_pass_through_finish_with_the_handlers():
    def finish(results, handlers):
        assert handlers == "handlers"
        return [Buffer(results), Buffer(-results)]

    f = jitted(launch(lambda buffers: buffers[0].value * 10, 2, 1, finish), 2, 1)
    assert [value_of(x) for x in f(external(2.0, "here"))] == [20, -20]


def test_further_buffers_follow_the_arguments():
    f = jitted(launch(lambda buffers: [Buffer([b.value for b in buffers])], tail=[Buffer(7), Buffer(8)]))
    assert value_of(f(external(1, "here"), external(2, "here"))[0]) == [1, 2, 7, 8]


def test_called_from_python():
    run = launch(add)
    x, y = external(2.0, "here"), external(3.0, "here")
    outs = run([x, y])
    assert type(outs) is tuple and value_of(outs[0]) == 5
    with pytest.raises(TypeError, match="argument 1 must be an Array, got float"):
        run([x, 1.0])
    with pytest.raises(TypeError, match="a program of 2 arguments was called with 1"):
        run([x])
    with pytest.raises(TypeError, match="called with a sequence of Arrays"):
        run(x, y)


def test_what_an_engine_may_do_wrong():
    x, y = external(2.0, "here"), external(3.0, "here")
    for wrong in (lambda buffers: buffers, lambda buffers: (Buffer(1),), lambda buffers: None):
        with pytest.raises(RuntimeError, match="instead of a list of 1 buffers"):
            jitted(launch(wrong))(x, y)

    def fails(buffers):
        raise ValueError("not today")

    with pytest.raises(ValueError, match="not today"):
        jitted(launch(fails))(x, y)
    with pytest.raises(ValueError, match="2 out_avals but 1 out_shardings"):
        _native.Launch(add, None, (), placed, [], [AVAL, AVAL], ["there"], True)
    with pytest.raises(ValueError, match="takes 2 arrays and returns 1; 3 are passed, and the tree has 1"):
        jitted(launch(add), 1, 3)(x, y, x)


def test_donated_arguments_are_deleted_after_the_call():
    f = jitted(launch(add), donated=(1,))
    x, y = external(2.0, "here"), external(3.0, "here")
    f(x, y)
    assert not x.is_deleted() and y.is_deleted()


def test_nothing_is_kept_alive():
    def execute(buffers):
        made = Buffer(1.0)
        seen.extend(map(weakref.ref, (*buffers, made)))
        return [made]

    seen: list = []
    f = jitted(launch(execute))
    out = f(external(2.0, "here"), external(3.0, "here"))
    assert [r() is None for r in seen] == [True, True, False]
    del out
    assert seen[2]() is None


def test_cycles_are_collected():
    class Engine:
        def __call__(self, buffers):
            return add(buffers)

    engine = Engine()
    engine.launch = launch(engine)
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None


class Runs:
    """An engine whose programs finish when they are told to."""

    def __init__(self, fails=()):
        self.launched, self.finished, self.most, self.fails = 0, 0, 0, fails
        self.lock, self.go_on = threading.Lock(), threading.Semaphore(0)

    def execute(self, buffers, with_token):
        assert with_token is True
        with self.lock:
            self.launched += 1
            number = self.launched
            self.most = max(self.most, self.launched - self.finished)
        if number in self.fails:
            raise ValueError("not launched")
        runs = self

        class Results:
            def consume_token(self):
                return runs

        return Results()

    def block_until_ready(self):
        self.go_on.acquire()
        with self.lock:
            self.finished += 1
        if self.finished % 3 == 0:
            raise RuntimeError("it failed, as its results say")


def counted(runs, in_flight, in_order=False):
    finish = lambda results, handlers: [Buffer(1.0)]  # noqa: E731
    run = _native.Launch(runs.execute, finish, (), placed, ["here"], [AVAL], ["there"], True, (), in_flight, in_order)
    return jitted(run, 1, 1)


def test_unfinished_programs_are_counted_until_they_have_been_waited_for():
    runs, in_flight = Runs(), _native.InFlight(3)
    f, x = counted(runs, in_flight), external(1.0, "here")
    for expected in (1, 2, 3):
        f(x)
        assert in_flight.unfinished == expected
    runs.go_on.release()
    f(x)
    assert (in_flight.unfinished, runs.launched, runs.finished) == (3, 4, 1)


@pytest.mark.parametrize("threads", [2, 40])
def test_threads_together_do_not_launch_more(threads):
    # Each takes a token to wait for: it counts until the wait is over.
    runs, in_flight = Runs(), _native.InFlight(5)
    f, x = counted(runs, in_flight), external(1.0, "here")
    working = [threading.Thread(target=lambda: [f(x) for _ in range(10)]) for _ in range(threads)]
    for t in working:
        t.start()
    for _ in range(threads * 10):
        runs.go_on.release()
    for t in working:
        t.join()
    assert (runs.launched, runs.most, in_flight.unfinished) == (threads * 10, 5, 5)
    assert runs.finished == threads * 10 - 5


class RunsInOrder:
    """An engine whose programs finish one after the other."""

    def __init__(self, fails=()):
        self.fails, self.launched, self.finished, self.most = fails, 0, 0, 0
        self.lock = threading.Lock()

    def execute(self, buffers, with_token=False):
        time.sleep(1e-4)  # other threads launch meanwhile
        with self.lock:
            self.launched += 1
            number = self.launched
            self.most = max(self.most, self.launched - self.finished)
        return Results(self, number) if with_token else None


class Results:
    def __init__(self, runs, number):
        self.runs, self.number = runs, number

    def consume_token(self):
        return self

    def block_until_ready(self):
        time.sleep(1e-4)
        if self.number in self.runs.fails:
            raise RuntimeError("an argument was not there")
        with self.runs.lock:
            self.runs.finished = max(self.runs.finished, self.number)


def test_programs_that_finish_in_order_leave_few_tokens():
    runs, in_flight = RunsInOrder(), _native.InFlight(24)
    f, x = counted(runs, in_flight, True), external(1.0, "here")
    unfinished = []
    for _ in range(64):
        f(x)
        unfinished.append(in_flight.unfinished)
    assert unfinished == [*range(1, 25), *([17, 18, 19, 20, 21, 22, 23, 24] * 5)]
    assert (runs.launched, runs.finished, runs.most) == (64, 40, 24)


@pytest.mark.parametrize(("threads", "most"), [(3, 24), (40, 24), (40, 3), (5, 1)])
def test_threads_together_launch_no_more_in_order_either(threads, most):
    runs, in_flight = RunsInOrder(), _native.InFlight(most)
    f, x = counted(runs, in_flight, True), external(1.0, "here")
    working = [threading.Thread(target=lambda: [f(x) for _ in range(20)]) for _ in range(threads)]
    for t in working:
        t.start()
    for t in working:
        t.join()
    assert runs.launched == threads * 20 and runs.most <= most and in_flight.unfinished <= most


def test_a_program_that_failed_says_nothing_of_those_before_it():
    runs, in_flight = RunsInOrder(fails=(8,)), _native.InFlight(16)
    f, x = counted(runs, in_flight, True), external(1.0, "here")
    for _ in range(17):
        f(x)  # the 8th and the 16th leave a token; the 8th has failed, so that there is room for one
    assert in_flight.unfinished == 16
    f(x)  # the 16th has finished, and with it the 9th to the 15th; the first seven count until the 17th has
    assert in_flight.unfinished == 9 and runs.finished == 16


def test_a_program_that_was_not_launched_does_not_count():
    runs, in_flight = Runs(fails=(2,)), _native.InFlight(4)
    f, x = counted(runs, in_flight), external(1.0, "here")
    f(x)
    with pytest.raises(ValueError, match="not launched"):
        f(x)
    assert in_flight.unfinished == 1
    with pytest.raises(ValueError, match="InFlight: most must be at least 1, got 0"):
        _native.InFlight(0)
    with pytest.raises(TypeError, match="in_flight must be an InFlight, got list"):
        counted(runs, [])


def test_an_interrupted_wait_loses_nothing():
    class Interrupted(Runs):
        def block_until_ready(self):
            raise KeyboardInterrupt

    in_flight = _native.InFlight(1)
    f, x = counted(Interrupted(), in_flight), external(1.0, "here")
    f(x)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            f(x)
    assert in_flight.unfinished == 1
