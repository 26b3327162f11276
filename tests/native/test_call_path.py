"""Fn and Entry: which calls share a compiled program, what is passed to it, what comes back, and who is kept alive."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections import OrderedDict, namedtuple

import jax
import numpy as np
import pytest
from native_programs import add_f32

import addax
from addax import _native
from addax.core.avals import ShapedArray, get_aval
from addax.core.trace import Tracer

Pair = namedtuple("Pair", "a b")


def array(x, dtype=np.float32, weak_type=False):
    x = np.asarray(x, dtype)
    return _native.array_from_numpy(x, ShapedArray(x.shape, x.dtype, weak_type))


class Recorder:
    """A Fn that runs a NumPy function on all leaves and counts its compilations."""

    def __init__(self, run=lambda *xs: xs[0], out=0, kept=None, donated=(), argnums=(), argnames=()):
        self.run, self.out, self.kept, self.donated, self.argnums, self.argnames = (
            run,
            out,
            kept,
            donated,
            argnums,
            argnames,
        )
        self.compiled: list = []
        self.traced: list = []
        self.fn = _native.Fn(self.compile, self.trace_call, argnums, argnames, "recorded")

    def compile(self, args, kwargs):
        self.compiled.append((args, kwargs))
        dynamic = tuple(a for i, a in enumerate(args) if i not in self.argnums and i - len(args) not in self.argnums)
        leaves = _native.leaves((dynamic, {k: v for k, v in kwargs.items() if k not in self.argnames}))

        def execute(arrays):
            outs = self.run(*[a._value for a in arrays])
            return [array(y, np.asarray(y).dtype) for y in (outs if isinstance(outs, tuple) else (outs,))]

        return _native.Entry(
            execute, _native.structure(self.out), self.kept, self.donated, [get_aval(x) for x in leaves]
        )

    def trace_call(self, *args, **kwargs):
        self.traced.append((args, kwargs))
        return "traced"

    def __call__(self, *args, **kwargs):
        return self.fn(*args, **kwargs)

    def count(self, *calls) -> int:
        """How many programs these calls (argument tuples) compile."""
        for args in calls:
            self.fn(*args)
        assert self.fn.cache_size() == len(self.compiled)
        return len(self.compiled)


def test_values_of_every_kind_of_leaf():
    f = Recorder(lambda x, y: x + y)
    a = array([1, 2, 3])
    for other in (
        a,
        2.5,
        3,
        True,
        np.float32(4),
        np.float64(4),
        np.arange(3.0),
        np.arange(3, dtype=np.float32),
        np.int8(3),
    ):
        expected = np.float32([1, 2, 3]) + np.asarray(getattr(other, "_value", other))
        np.testing.assert_allclose(f(a, other)._value, expected)


def test_scalars_share_a_program_whatever_their_value():
    f = Recorder()
    assert f.count((1.0,), (2.5,), (np.float32(1),), (-0.0,)) == 2
    assert f.count((1,), (2,), (True,), (False,), (1j,), (2j,)) == 5


def test_avals_decide():
    f = Recorder()
    a = array([1, 2])
    calls = [
        (a,),
        (array([5, 6]),),
        (np.ones(2, np.float32),),
        (np.ones(2),),
        (array([1, 2], np.int32),),
        (array([1]),),
    ]
    assert f.count(*calls) == 3
    assert f.count((array(1, weak_type=True),), (1.0,), (array(1.0),)) == 5  # weak scalars and arrays share one


def test_structure_decides():
    x = array(1)
    f = Recorder()
    trees = [(x, x), [x, x], {"a": x, "b": x}, {"a": x, "c": x}, ((x, x),), (x, (x,)), Pair(x, x),
             OrderedDict(a=x, b=x), OrderedDict(b=x, a=x), {1: x, 2: x}, [x, x, None], [[x], x]]  # fmt: skip
    assert f.count(*[(t,) for t in trees]) == len(trees)
    assert f.count(*[(t,) for t in trees], ({"b": x, "a": x},), ({"".join("a"): x, "b": x},)) == len(trees)
    assert f.count((x, x), ((x, x),)) == len(trees) + 1


def test_keywords_are_ordered_by_name():
    f = Recorder(lambda b, a, z: b - z)
    x = array(1)
    assert float(f(x, z=3.0, a=2.0)) == 1 - 3
    f(x, a=2.0, z=3.0)
    assert len(f.compiled) == 1 and f.compiled[0][1] == {"z": 3.0, "a": 2.0}
    f(x, a=2.0, y=3.0)
    assert len(f.compiled) == 2


def test_static_arguments_are_compared_by_type_and_value():
    x = array(1)
    f = Recorder(argnums=(1,))
    values = [
        1,
        1.0,
        True,
        2,
        -0.0,
        0.0,
        "a",
        (1,),
        (1.0,),
        (True,),
        ((1, 2), "b"),
        None,
        1 << 80,
        frozenset([1]),
        max,
        int,
    ]
    assert f.count(*[(x, v) for v in values]) == len(values)
    again = [1, 1.0, "".join(["a"]), tuple(iter([1])), 1 << 80, frozenset([1]), float("nan"), float("nan")]
    assert f.count(*[(x, v) for v in again]) == len(values) + 1
    assert f.compiled[0][0] == (x, 1)


def test_static_argnums_from_the_end_and_argnames():
    x = array(1)
    f = Recorder(argnums=(-1,))
    assert f.count((x, x, 1), (x, x, 2), (x, 1)) == 3
    g = Recorder(argnames=("mode",))
    for mode in ("up", "down", "up"):
        g(x, mode=mode)
    assert len(g.compiled) == 2


def test_mutated_static_objects_are_new_values():
    class Box:
        def __init__(self, v):
            self.v = v

        def __hash__(self):
            return hash(self.v)

        def __eq__(self, other):
            return self.v == other.v

    f, x, box = Recorder(argnums=(1,)), array(1), Box(1)
    f(x, box)
    box.v = 2
    f(x, box)
    f(x, Box(2))
    assert len(f.compiled) == 2


def test_unhashable_static_arguments_get_jaxs_error():
    with pytest.raises(ValueError) as ours:
        Recorder(argnums=(1,))(1.0, [1])
    with pytest.raises(ValueError) as theirs:
        jax.jit(lambda x, k: x, static_argnums=1)(1.0, [1])
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(ValueError, match="unhashable type: 'list'"):
        Recorder(argnums=(1,))(1.0, (1, [2]))
    with pytest.raises(ZeroDivisionError):
        Recorder(argnums=(1,))(1.0, type("Bad", (), {"__hash__": lambda self: 1 // 0})())


class Aux:
    def __init__(self, x, aux):
        self.x, self.aux = x, aux


_native.register_node(Aux, lambda t: ((t.x,), t.aux), lambda aux, c: Aux(c[0], aux))


def test_aux_data_decide_even_without_a_hash():
    x = array(1)
    assert Recorder().count(*[(Aux(x, v),) for v in (1, 1.0, "a", "a", [1], [1], [2], {"k": 1}, {"k": 1})]) == 6


def test_aux_data_made_by_the_flatten_function_live_as_long_as_their_entry():
    made = []

    class Fresh:
        def __init__(self, x):
            self.x = x

    def flatten(t):
        made.append(weakref.ref(new := lambda: None))
        return (t.x,), new

    _native.register_node(Fresh, flatten, lambda aux, c: Fresh(c[0]))
    f = Recorder()
    f(Fresh(array(1)))
    assert made[0]() is not None  # its address is a word of the entry
    f.fn.clear_cache()
    assert made[0]() is None


def test_committed_placement_decides():
    f, x = Recorder(), array(1)
    devices = [("dev", 0), ("dev", 1), tuple(iter(["dev", 0]))]
    for d in devices:
        y = _native.array_alias(x, x.aval)
        y._device, y._committed = d, True
        f(y)
    f(x)
    assert len(f.compiled) == 3
    y._committed = False
    assert f.count((y,)) == 3


def test_context_decides():
    f, x = Recorder(), np.ones(2)
    f(x)
    with addax.enable_x64(True):
        assert f(x).dtype == np.float64
        assert f(1).dtype == np.int64 and int(f(1 << 40)) == 1 << 40
    assert f(x).dtype == np.float32
    assert len(f.compiled) == 3


def test_overflowing_scalars():
    f = Recorder()
    for value in (1 << 31, -(1 << 31) - 1, 1 << 70):
        with pytest.raises(OverflowError, match=f"overflow was encountered while parsing an argument.*{value}"):
            f(value)
    assert int(f((1 << 31) - 1)) == (1 << 31) - 1


def test_tracers_and_strangers_go_to_python():
    class MyTracer(Tracer):
        def __init__(self):
            pass

    f, x = Recorder(), array(1)
    tracer = MyTracer.__new__(MyTracer)
    for args in [(x, tracer), ({"a": [tracer]},), ("text",), (object(),), (np.array(["a"]),), (np.array([None]),)]:
        assert f(*args) == "traced" and f.traced[-1] == (args, {})
    assert f(x, k=tracer) == "traced" and f.traced[-1][1]["k"] is tracer
    before = _native.swap_trace(object())
    try:
        assert f(x) == "traced"
    finally:
        _native.swap_trace(before)
    assert not f.compiled
    assert float(f(x)) == 1


def test_entry_without_executable_always_traces():
    compiled = []
    fn = _native.Fn(lambda args, kwargs: compiled.append(1) or _native.Entry(None), lambda *args: args)
    assert fn(1.0) == (1.0,) and fn(2.0) == (2.0,) and len(compiled) == 1


def test_only_kept_leaves_are_passed():
    f = Recorder(lambda x: x * 2, kept=(1,))
    dead = array(1)
    dead.delete()
    assert float(f(dead, 3.0)) == 6
    with pytest.raises(RuntimeError, match="deleted"):
        f(3.0, dead)


def test_results_take_the_shape_of_the_tree():
    x = array(1)
    for out in (
        [0, (0, 0)],
        {"b": 0, "a": [0, None, 0]},
        Pair(0, (0, 0)),
        (0, 0, 0),
        OrderedDict(z=0, a=(0, 0)),
        Aux(0, 1),
    ):
        n = _native.structure(out).num_leaves
        result = Recorder(lambda x, n=n: tuple(x + i for i in range(n)), out)(x)
        assert type(result) is type(out) and _native.structure(result) == _native.structure(out)
        assert [float(v) for v in _native.leaves(result)] == [1 + i for i in range(n)]
    assert Recorder(lambda x: (), ())(x) == ()


def test_donated_arrays_are_deleted():
    f = Recorder(lambda x, y: x + y, donated=(0,))
    x, y = array([1, 2]), array([3, 4])
    view = x._value
    np.testing.assert_array_equal(f(x, y)._value, [4, 6])
    assert x.is_deleted() and not y.is_deleted()
    np.testing.assert_array_equal(view, [1, 2])
    with pytest.raises(RuntimeError, match=r"Array has been deleted with shape=float32\[2\]"):
        f(x, y)
    f(np.ones(2, np.float32), y)  # nothing of the caller's to delete


def native_add(n=16, donated=()):
    aval = ShapedArray((n,), np.dtype(np.float32))
    slots = [("in", 0, 4 * n), ("in", 1, 4 * n), ("out", 0, 4 * n)]
    steps = [("kernel", add_f32(), (0, 1, 2), b"", n, 0.3)]
    program = _native.Program(
        [aval, aval], [aval], slots, 0, [], steps, [("slot", 2)], may_donate=[(0, 0)] if donated else ()
    )
    entries = lambda args, kwargs: _native.Entry(program, _native.structure(0), None, donated, [aval, aval])  # noqa: E731
    return _native.Fn(entries, None)


def test_native_programs_run_without_python():
    f = native_add()
    x, y = np.arange(16, dtype=np.float32), np.ones(16, np.float32)
    for args in [(array(x), array(y)), (x, y), (x, array(y)), (x.astype(np.float64), y)]:
        np.testing.assert_array_equal(f(*args)._value, x + 1)
    assert f._entries()[0].native and f.cache_size() == 1


def test_large_ndarrays_are_lent_but_never_kept():
    n = 10000
    aval = ShapedArray((n,), np.dtype(np.float32))
    slots = [("in", 0, 4 * n), ("out", 0, 4 * n)]
    copying = _native.Program([aval], [aval], slots, 0, [], [("copy", 1, 0, 4 * n)], [("slot", 1)])
    returning = _native.Program([aval], [aval], slots[:1], 0, [], [], [("slot", 0)])
    for program in (copying, returning):
        f = _native.Fn(lambda *_, p=program: _native.Entry(p, _native.structure(0), None, (), [aval]), None)
        x = np.arange(n, dtype=np.float32)
        gone = weakref.ref(x)
        y = f(x)
        before = np.asarray(y)
        x[:] = -1
        np.testing.assert_array_equal(np.asarray(y), np.arange(n))
        np.testing.assert_array_equal(before, np.arange(n))
        np.testing.assert_array_equal(f(x[::-1].copy())._value, x)
        del x, y, before
        gc.collect()
        assert gone() is None


def test_operators_run_jitted_functions():
    f, before = native_add(), _native.get_operator("add")
    _native.set_operator("add", f)
    try:
        x = array(np.arange(16))
        np.testing.assert_array_equal((x + x)._value, 2 * np.arange(16))
        np.testing.assert_array_equal((np.ones(16, np.float32) + x)._value, 1 + np.arange(16))
    finally:
        _native.set_operator("add", before)


def test_methods_and_attributes():
    class Model:
        call = Recorder(argnums=(0,)).fn

    m = Model()
    assert float(m.call(3.0)) == 3 and float(Model.call(m, 4.0)) == 4

    f = Recorder().fn

    def documented(x):
        "What it does."

    functools.update_wrapper(f, documented)
    assert f.__doc__ == "What it does." and f.__wrapped__ is documented and f.__name__ == "documented"
    assert "documented" in repr(f) and "recorded" in repr(Recorder().fn)
    f.clear_cache = lambda: "replaced"
    assert f.clear_cache() == "replaced"


def test_clear_cache():
    f, x = Recorder(), array(1)
    for _ in range(3):
        f(x)
        assert f.fn.cache_size() == f.fn._cache_size() == 1
        f.fn.clear_cache()
        assert f.fn.cache_size() == 0
    assert len(f.compiled) == 3
    assert f.fn.signature_key(x, k=1.0) == f.fn.signature_key(array(2), k=3.0) != f.fn.signature_key(x, j=1.0)


def test_compiling_may_call_the_function_again():
    def compile(args, kwargs):
        if args[0].shape == (2,):
            fn(array([1, 2, 3]))
        return _native.Entry(lambda xs: xs, _native.structure(0), None, (), [get_aval(x) for x in args])

    fn = _native.Fn(compile, None)
    assert fn(array([1, 2])).shape == (2,) and fn.cache_size() == 2


def test_clearing_while_compiling_mixes_nothing_up():
    x, clear = array(1), [True]

    def compile(args, kwargs):
        if clear.pop():
            fn.clear_cache()
        clear.append(False)
        value = float(next(iter(args[1])))
        return _native.Entry(lambda xs: [array(value)], _native.structure(0), None, (), [get_aval(x)])

    fn = _native.Fn(compile, None, (1,))
    for v in (1, 2, 3, 1):
        assert float(fn(x, frozenset([v]))) == v


def test_failures_leave_nothing_behind():
    fn = _native.Fn(lambda args, kwargs: 1 // 0, None)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fn(1.0)
    assert fn.cache_size() == 0
    with pytest.raises(TypeError, match="must return an Entry"):
        _native.Fn(lambda args, kwargs: 3, None)(1.0)
    one, aval = _native.structure(0), get_aval(1.0)
    with pytest.raises(RuntimeError, match="returned 2 arrays, its result tree has 1"):
        _native.Fn(lambda args, kwargs: _native.Entry(lambda xs: xs + xs, one, None, (), [aval]), None)(1.0)
    with pytest.raises(RuntimeError, match="call with 2 leaves met an entry compiled for 1"):
        _native.Fn(lambda args, kwargs: _native.Entry(lambda xs: xs, one, None, (), [aval]), None)(1.0, 2.0)
    with pytest.raises(ValueError, match="kept names leaf 3, but there are 1"):
        _native.Entry(lambda xs: xs, one, (3,), (), [aval])
    with pytest.raises(TypeError, match="PyTreeDef"):
        _native.Entry(lambda xs: xs, 3, None, (), [aval])


def test_cycles_are_collected():
    class Marker:
        pass

    marker = Marker()
    f = Recorder(argnums=(1,))
    f.fn.owner = f
    f(array(1), marker)
    gone, fn_gone = weakref.ref(marker), weakref.ref(f.fn)
    del marker, f
    gc.collect()
    assert gone() is None and fn_gone() is None


def test_arguments_and_results_are_not_leaked():
    f = native_add()
    x = array(np.ones(16))
    tree = {"a": [x, (x,)], "b": x}
    g = Recorder(lambda *xs: xs, tree)
    for _ in range(3):
        f(x, x), g(tree), f(x, np.ones(16))
    gc.collect()
    before = _native.memory_stats()["bytes_in_use"]
    for _ in range(100):
        f(x, x), g(tree), f(x, np.ones(16))
    gc.collect()
    assert _native.memory_stats()["bytes_in_use"] == before


def test_many_signatures_and_threads():
    f = Recorder(lambda x, k=None: x + 1, argnums=(1,))
    arrays = [array(np.zeros(n)) for n in range(1, 60)]
    failures = []

    def work():
        try:
            for a in arrays:
                for k in (0, 1):
                    assert f(a, k)._value.sum() == a.size
        except Exception as e:  # an assertion in a thread would be lost
            failures.append(e)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failures and f.fn.cache_size() == 2 * len(arrays)


def test_trace_and_context_belong_to_threads():
    base, trace, context = _native.current_trace(), object(), object()
    seen = []
    assert _native.swap_trace(trace) is base
    previous = _native.swap_context(context)
    try:
        t = threading.Thread(target=lambda: seen.append((_native.current_trace(), _native.current_context())))
        t.start()
        t.join()
        assert _native.current_trace() is trace and _native.current_context() is context
    finally:
        _native.swap_context(previous)
        assert _native.swap_trace(base) is trace
    assert seen == [(base, _native.current_context())] and _native.current_trace() is base
