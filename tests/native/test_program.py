"""Programs: every step kind, outputs that share memory, donation, errors, threads, interrupts."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from native_programs import Aval, add_f32, array, binary_i32, program, table

from addax import _native

F4 = np.dtype(np.float32)
I4 = np.dtype(np.int32)


def i32(*values):
    return np.array(values[0] if len(values) == 1 else values, np.int32)


def add_program(n, ns=0.3, **kwargs):
    shape = ((n,), F4)
    slots = [("in", 0, 4 * n), ("in", 1, 4 * n), ("out", 0, 4 * n)]
    steps = [("kernel", add_f32(), (0, 1, 2), b"", n, ns)]
    return program([shape, shape], [shape], slots, 0, [], steps, [("slot", 2)], **kwargs)


@pytest.mark.parametrize("n", [0, 1, 3, 1000, 100_003])
def test_kernel(n):
    a, b = np.arange(n, dtype=F4), np.ones(n, F4)
    np.testing.assert_array_equal(np.asarray(add_program(n)([array(a), array(b)])[0]), a + b)


def test_kernel_is_split_over_threads_and_covers_everything_once():
    n = 1 << 20
    p = add_program(n)
    a = np.random.default_rng(0).random(n, F4)
    for threads in (1, 2, 5):
        _native.set_num_threads(threads)
        try:
            for _ in range(20):
                np.testing.assert_array_equal(np.asarray(p([array(a), array(a)])[0]), a + a)
        finally:
            _native.set_num_threads(2)


def test_consts_arena_copy_fill():
    c = np.array([10, 20, 30, 40], F4)
    slots = [("in", 0, 16), ("const", 0, 16), ("arena", 64, 16), ("arena", 0, 16), ("out", 0, 16), ("out", 1, 16)]
    steps = [
        ("kernel", add_f32(), (0, 1, 2), b"", 4, 0.3),
        ("copy", 3, 2, 16),
        ("fill", 3, 8),
        ("copy", 4, 3, 16),
        ("copy", 5, 2, 16),
    ]
    p = program([((4,), F4)], [((4,), F4)] * 2, slots, 80, [c], steps, [("slot", 4), ("slot", 5)])
    for _ in range(3):
        y, z = p([array(np.ones(4, F4))])
        np.testing.assert_array_equal(np.asarray(y), [0, 0, 31, 41])
        np.testing.assert_array_equal(np.asarray(z), [11, 21, 31, 41])


def test_outputs_that_are_inputs_consts_or_arena_slots():
    c = np.array([5, 6], I4)
    slots = [("in", 0, 8), ("arena", 0, 8), ("out", 4, 8)]
    outputs = [("in", 0), ("const", 0), ("slot", 1), ("slot", 0), ("slot", 2), ("slot", 2)]
    p = program([((2,), I4)], [((2,), I4)] * 6, slots, 8, [c], [("copy", 1, 0, 8), ("copy", 2, 0, 8)], outputs)
    x = array(i32(1, 2))
    out = p([x])
    for y, expected in zip(out, [[1, 2], [5, 6], [1, 2], [1, 2], [1, 2], [1, 2]], strict=True):
        np.testing.assert_array_equal(np.asarray(y), expected)
    assert out[0].unsafe_buffer_pointer() == x.unsafe_buffer_pointer() == out[3].unsafe_buffer_pointer()
    assert out[4].unsafe_buffer_pointer() == out[5].unsafe_buffer_pointer()
    assert out[2].unsafe_buffer_pointer() != x.unsafe_buffer_pointer()


def counting_loop(trips, *, reverse=False, wide=False):
    """Sum of the loop counter, and the last counter seen."""
    width = 8 if wide else 4
    slots = [("arena", 0, width), ("out", 0, 4), ("out", 1, width), ("in", 0, width)]
    steps = [
        ("fill", 1, 4),
        ("fill", 2, width),
        (
            "loop",
            trips,
            0,
            wide,
            reverse,
            [("kernel", binary_i32("add"), (1, 0, 1), b"", 1, -1.0), ("copy", 2, 0, width)],
        ),
    ]
    counter = np.dtype(np.int64 if wide else np.int32)
    return program([((), counter)], [((), I4), ((), counter)], slots, 8, [], steps, [("slot", 1), ("slot", 2)])


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_loop(wide, reverse, dynamic):
    p = counting_loop(("slot", 3) if dynamic else 10, reverse=reverse, wide=wide)
    total, last = p([array(np.array(10, np.int64 if wide else np.int32))])
    assert np.asarray(total) == 45
    assert np.asarray(last) == (0 if reverse else 9)


@pytest.mark.parametrize("trips", [0, -3])
def test_loop_without_turns(trips):
    total, _ = counting_loop(("slot", 3))([array(i32(trips))])
    assert np.asarray(total) == 0


def test_while():
    # x = 0; while x < limit: x += 3
    slots = [("in", 0, 4), ("out", 0, 4), ("const", 0, 4), ("arena", 0, 1)]
    steps = [
        ("fill", 1, 4),
        (
            "while",
            [("kernel", binary_i32("icmp slt", "i8"), (1, 0, 3), b"", 1, -1.0)],
            3,
            [("kernel", binary_i32("add"), (1, 2, 1), b"", 1, -1.0)],
        ),
    ]
    p = program([((), I4)], [((), I4)], slots, 64, [i32(3)], steps, [("slot", 1)])
    assert [int(np.asarray(p([array(i32(n))])[0])) for n in (0, 1, 3, 10, 3000)] == [0, 3, 3, 12, 3000]


def test_cond_clamps_its_index():
    slots = [("in", 0, 4), ("const", 0, 4), ("const", 1, 4), ("const", 2, 4), ("out", 0, 4)]
    branches = tuple([("copy", 4, k, 4)] for k in (1, 2, 3))
    p = program([((), I4)], [((), I4)], slots, 0, [i32(10), i32(20), i32(30)], [("cond", 0, branches)], [("slot", 4)])
    assert [int(np.asarray(p([array(i32(n))])[0])) for n in (-5, 0, 1, 2, 99)] == [10, 10, 20, 30, 30]


def test_swap_double_buffers_and_is_undone_for_the_next_call():
    # (a, b) <- (b, a) five times, then read slot 0
    slots = [("in", 0, 4), ("arena", 0, 4), ("arena", 64, 4), ("const", 0, 4), ("out", 0, 4)]
    steps = [("copy", 1, 0, 4), ("copy", 2, 3, 4), ("loop", 5, None, False, False, [("swap", 1, 2)]), ("copy", 4, 1, 4)]
    for arena in (128, 1 << 20):  # on the stack, and cached between calls
        p = program([((), I4)], [((), I4)], slots, arena, [i32(7)], steps, [("slot", 4)])
        for n in range(4):
            assert np.asarray(p([array(i32(n))])[0]) == 7


def test_nested_control_flow():
    # for i in range(3): for j in range(4): if j > 1: total += i
    slots = [("arena", 0, 4), ("arena", 64, 4), ("arena", 128, 4), ("out", 0, 4), ("const", 0, 4), ("arena", 192, 4)]
    inner = [
        ("fill", 5, 4),
        ("kernel", binary_i32("icmp sgt", "i8"), (1, 4, 5), b"", 1, -1.0),
        ("cond", 5, ([], [("kernel", binary_i32("add"), (3, 0, 3), b"", 1, -1.0)])),
    ]
    steps = [("fill", 3, 4), ("loop", 3, 0, False, False, [("loop", 4, 1, False, False, inner)])]
    p = program([], [((), I4)], slots, 256, [i32(1)], steps, [("slot", 3)])
    assert np.asarray(p([])[0]) == 6


def host_program(f, n=4, out=None, consts=(), step_in=(0,)):
    out = out or ((n,), F4)
    slots = [("in", 0, 4 * n), ("out", 0, 4 * n), ("arena", 0, 4 * n)]
    avals = tuple(Aval((n,), F4) for _ in step_in)
    steps = [("copy", 2, 0, 4 * n), ("host", f, step_in, avals, (1,), (Aval(*out),))]
    return program([((n,), F4)], [((n,), F4)], slots, 4 * n, list(consts), steps, [("slot", 1)])


def test_host_call():
    seen = []

    def f(x, y):
        seen.append((x.flags.writeable, x.base is not None, y.dtype))
        return x + y

    x = np.arange(4, dtype=F4)
    y = host_program(f, step_in=(0, 2))([array(x)])[0]
    np.testing.assert_array_equal(np.asarray(y), 2 * x)
    assert seen == [(False, True, F4)]


@pytest.mark.parametrize("slot", [0, 2])
def test_what_a_callback_keeps_never_changes(slot):
    kept = []

    def keep(x):
        kept.append((x[1:], x.copy()))
        return x

    p = host_program(keep, step_in=(slot,))
    for k in range(10):
        x = array(np.full(4, k, F4))
        p([x])
        x.delete()
        array(np.full(4, -1, F4))  # reuses freed memory
    gc.collect()
    for view, copy in kept:
        np.testing.assert_array_equal(view, copy[1:])


def test_host_errors_propagate_unchanged():
    class Oops(Exception):
        pass

    def f(x):
        raise Oops("from inside")

    with pytest.raises(Oops, match="from inside"):
        host_program(f)([array(np.zeros(4, F4))])


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (np.zeros(3, np.float32), "shape \\(3,\\)"),
        (np.zeros(4, np.float64), "float64"),
        ((np.zeros(4, np.float32),) * 2, "expected 1 results, got 2"),
        (None, "callback"),
    ],
)
def test_host_result_must_be_as_promised(result, text):
    with pytest.raises((ValueError, TypeError), match=text):
        host_program(lambda x: result)([array(np.zeros(4, F4))])


def test_host_may_return_an_array_and_call_programs():
    inner = add_program(4)
    p = host_program(lambda x: inner([array(x), array(x)])[0])
    np.testing.assert_array_equal(np.asarray(p([array(np.arange(4, dtype=F4))])[0]), 2 * np.arange(4))


def test_host_may_call_the_same_program_again():
    depth = []

    def f(x):
        depth.append(1)
        return np.asarray(p([array(x + 1)])[0]) if len(depth) < 4 else x

    p = host_program(f)
    np.testing.assert_array_equal(np.asarray(p([array(np.zeros(4, F4))])[0]), np.full(4, 3))


def test_donated_memory_is_reused_only_when_nobody_else_sees_it():
    n = 64
    p = add_program(n, may_donate=[(0, 0)])
    a, b = array(np.ones(n, F4)), array(np.ones(n, F4))
    where = a.unsafe_buffer_pointer()
    view = np.asarray(a)
    out = p([a, b], donate=[0])[0]
    assert out.unsafe_buffer_pointer() != where
    np.testing.assert_array_equal(view, 1)
    del view
    gc.collect()
    out = p([a, b], donate=[0])[0]
    assert out.unsafe_buffer_pointer() == where
    np.testing.assert_array_equal(np.asarray(out), 2)
    assert p([b, b], donate=[1])[0].unsafe_buffer_pointer() != b.unsafe_buffer_pointer()  # not planned


def test_deleted_input():
    p, x, y = add_program(4), array(np.ones(4, F4)), array(np.ones(4, F4))
    x.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        p([x, y])


def test_deleting_a_captured_constant_does_not_pull_it_away():
    c = array(np.full(4, 3, F4))
    slots = [("in", 0, 16), ("const", 0, 16), ("out", 0, 16)]
    steps = [("kernel", add_f32(), (0, 1, 2), b"", 4, 0.3)]
    aval = Aval((4,), F4)
    p = _native.Program([aval], [aval, aval], slots, 0, [c], steps, [("slot", 2), ("const", 0)])
    c.delete()
    array(np.zeros(4, F4))
    y, z = p([array(np.ones(4, F4))])
    np.testing.assert_array_equal(np.asarray(y), 4)
    np.testing.assert_array_equal(np.asarray(z), 3)


def test_concurrent_calls():
    n = 1 << 16
    slots = [("in", 0, 4 * n), ("arena", 0, 4 * n), ("arena", 4 * n, 4 * n), ("out", 0, 4 * n)]
    k = add_f32()
    steps = [
        ("kernel", k, (0, 0, 1), b"", n, 0.3),
        ("kernel", k, (1, 0, 2), b"", n, 0.3),
        ("kernel", k, (2, 1, 3), b"", n, 0.3),
    ]
    p = program([((n,), F4)], [((n,), F4)], slots, 8 * n, [], steps, [("slot", 3)])
    assert p.releases_gil
    wrong = []

    def worker(seed):
        x = np.random.default_rng(seed).integers(0, 1000, n).astype(F4)
        ax = array(x)
        for _ in range(50):
            if not np.array_equal(np.asarray(p([ax])[0]), 5 * x):
                wrong.append(seed)

    threads = [threading.Thread(target=worker, args=(s,)) for s in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


@pytest.fixture
def interruptible():
    """Processes that a shell started in the background ignore the signal, and would loop for ever."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_keyboard_interrupt_ends_an_endless_loop(interruptible):
    slots = [("const", 0, 1), ("out", 0, 4)]
    steps = [("fill", 1, 4), ("while", [], 0, [])]
    p = program([], [((), I4)], slots, 0, [np.array(True)], steps, [("slot", 1)])
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    start = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        p([])
    timer.join()
    assert time.monotonic() - start < 5


def test_profile_names_steps():
    rows = counting_loop(10).profile([array(i32(0))])
    assert [path for path, _ in rows] == ["0:fill", "1:fill", "2:loop", "2.body.0:kernel", "2.body.1:copy"]
    assert all(ns >= 0 for _, ns in rows)


def test_collected_with_its_callbacks():
    class Callback:
        def __call__(self, x):
            return x

    f = Callback()
    f.program = host_program(f)  # a cycle
    ref = weakref.ref(f)
    f.program([array(np.zeros(4, F4))])
    del f
    gc.collect()
    assert ref() is None


def test_denormals_are_flushed_inside_and_kept_outside():
    tiny = np.full(4, 1e-40, F4)
    seen = []

    def f(x):
        seen.append(float(np.float32(1e-40) + np.float32(0)))
        return x

    assert np.asarray(add_program(4)([array(tiny), array(tiny)])[0]).tolist() == [0, 0, 0, 0]
    host_program(f)([array(tiny)])
    assert seen[0] > 0
    assert float(np.float32(1e-40) + np.float32(0)) > 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (dict(slots=[("in", 3, 16), ("out", 0, 16)]), "there is no 'in' 3"),
        (dict(slots=[("in", 0, 99), ("out", 0, 16)]), "99 bytes asked"),
        (dict(slots=[("arena", 0, 16), ("out", 0, 16)]), "outside the arena"),
        (dict(slots=[("elsewhere", 0, 16)]), "must be 'in', 'const', 'arena' or 'out'"),
        (dict(steps=[("copy", 1, 7, 16)]), "slot 7 does not exist"),
        (dict(steps=[("copy", 1, 0, 17)]), "has 16 bytes, 17 are used"),
        (dict(steps=[("copy", 0, 1, 16)]), "cannot be written"),
        (dict(steps=[("jump", 1)]), "unknown kind 'jump'"),
        (dict(steps=[("kernel", 0, (0,), b"", 1, 1.0)]), "address is 0"),
        (dict(steps=[("kernel", 8, (0,), b"123", 1, 1.0)]), "whole number of int64"),
        (dict(steps=[("kernel", 8, (0,), b"", 1, 1.0, 0)]), "cut into pieces of 0 items"),
        (dict(steps=[("loop", 3, 1, False, False, [("swap", 0, 1)])]), "only arena slots"),
        (dict(outputs=[("slot", 9)]), "slot 9 does not exist"),
        (dict(outputs=[("in", 4)]), "there is no input 4"),
        (dict(outputs=[]), "1 out_avals but 0 outputs"),
    ],
)
def test_bad_plans_fail_at_construction(change, text):
    plan = dict(slots=[("in", 0, 16), ("out", 0, 16)], steps=[("copy", 1, 0, 16)], outputs=[("slot", 1)]) | change
    with pytest.raises((ValueError, IndexError, TypeError), match=text):
        program([((4,), F4)], [((4,), F4)], plan["slots"], 0, [], plan["steps"], plan["outputs"])


def test_bad_calls():
    p = add_program(4)
    with pytest.raises(TypeError, match="expected 2 arrays, got 1"):
        p([array(np.zeros(4, F4))])
    with pytest.raises(TypeError, match=r"argument 1 must be float32\[4\], got float32\[5\]"):
        p([array(np.zeros(4, F4)), array(np.zeros(5, F4))])
    with pytest.raises(TypeError, match="must be an Array"):
        p([1, 2])


def test_no_leaks():
    p, x = add_program(1024), array(np.ones(1024, F4))
    p([x, x])
    before = sys.getrefcount(x), _native.memory_stats()["bytes_in_use"]
    for _ in range(100):
        p([x, x])
    assert (sys.getrefcount(x), _native.memory_stats()["bytes_in_use"]) == before


def test_fill_zero_table_helper():
    assert np.frombuffer(table(1, [2, 3]), np.int64).tolist() == [1, 2, 3]
