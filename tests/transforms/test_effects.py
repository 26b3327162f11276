"""Callbacks, printing and the debugger: when they happen, what they see, and what their errors say."""

import bdb
import io
import re

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.experimental import io_callback

F32 = addax.ShapeDtypeStruct((), np.float32)


def test_ordered_prints_follow_the_program(capsys):
    def say(name, x):
        addax.debug.print(name + " {}", x, ordered=True)
        return x

    @addax.jit
    def inner(x):
        return say("inner", x) + 1

    @addax.jit
    def f(x):
        x = inner(say("first", x))
        x, _ = lax.scan(lambda c, _: (say("scan", c) + 1, None), x, None, length=2)
        x = lax.cond(x > 4, lambda x: say("large", x), lambda x: say("small", x), x)
        x = lax.while_loop(lambda c: c < 6, lambda c: say("while", c) + 1, x)
        return say("last", lax.fori_loop(0, 2, lambda i, c: say("turn", i) * 0 + c, x))

    assert int(f(1)) == 6
    want = "first 1|inner 1|scan 2|scan 3|small 4|while 4|while 5|turn 0|turn 1|last 6"
    assert capsys.readouterr().out.split("\n")[:-1] == want.split("|")
    f(3)
    assert "large 6" in capsys.readouterr().out


def test_values_under_transformations(capsys):
    def f(x):
        addax.debug.print("{}", x)
        return x * x

    def printed():
        return capsys.readouterr().out.split()

    addax.vmap(f)(jnp.arange(2))
    assert printed() == ["0", "1"]
    addax.jit(addax.vmap(addax.grad(f)))(jnp.arange(2.0))
    assert printed() == ["0.0", "1.0"]
    addax.grad(f)(3.0), addax.jvp(f, (3.0,), (1.0,)), addax.hessian(f)(3.0)
    assert printed() == ["3.0"] * 3
    addax.grad(lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0])(2.0)
    assert printed() == ["2.0", "4.0"]
    addax.effects_barrier()


def test_mapped_branches_and_loops_print_for_the_examples_that_take_them(capsys):
    def say(name):
        def f(x):
            addax.debug.print(name + " {}", x)
            return x + 1

        return f

    def printed():
        return capsys.readouterr().out.split("\n")[:-1]

    def branches(x):
        twice = lambda x: lax.scan(lambda c, _: (say("odd")(c), None), x, None, length=2)[0]  # noqa: E731
        return lax.cond(x % 2 == 0, addax.jit(say("even")), twice, x)

    assert addax.vmap(branches)(jnp.arange(4)).tolist() == [1, 3, 3, 5]
    assert printed() == ["odd 1", "odd 3", "odd 2", "odd 4", "even 0", "even 2"]
    addax.jit(addax.vmap(lambda x: lax.while_loop(lambda c: c < 3, say("turn"), x)))(jnp.arange(1, 4))
    assert printed() == ["turn 1", "turn 2", "turn 2"]
    addax.grad(lambda v: addax.vmap(lambda x: lax.cond(x > 1, say("large"), lambda x: x, x))(v).sum())(jnp.arange(3.0))
    assert printed() == ["large 2.0"]

    def solved(x):
        return lax.custom_linear_solve(lambda v: 2 * v, x, lambda mv, b: say("solved")(b), symmetric=True)

    with pytest.raises(
        NotImplementedError, match=r"custom_linear_solve at .*test_effects.py.* for the examples of its branch only"
    ):
        addax.vmap(lambda x: lax.cond(x > 0, solved, lambda x: x, x))(jnp.ones(2))


def test_mapped_branches_call_the_host_for_the_examples_that_take_them():
    """JAX refuses these."""
    seen = []

    def logged(v):
        seen.append(float(v))
        return np.float32(10 * v)

    def branches(x):
        return lax.cond(
            x > 1, lambda x: io_callback(logged, F32, x) + 1, lambda x: lax.cond(x > 0, call, lambda x: x, x), x
        )

    call = addax.jit(lambda x: -io_callback(logged, F32, x))
    for f in (addax.vmap(branches), addax.jit(addax.vmap(branches))):
        seen.clear()
        assert f(jnp.arange(4.0)).tolist() == [0, -10, 21, 31]
        assert sorted(seen) == [1, 2, 3]
    with pytest.raises(ValueError, match="Cannot `vmap` ordered IO callbacks"):
        addax.vmap(lambda x: lax.cond(x > 0, lambda x: io_callback(logged, F32, x, ordered=True), lambda x: x, x))(
            jnp.ones(2)
        )


def test_options_first(capsys, caplog):
    @addax.jit
    def f(x):
        addax.debug.print(ordered=True)("{ordered} {fmt} {fun}", ordered=x, fmt=2 * x, fun=3 * x)
        addax.debug.callback(ordered=True)(lambda x, callback: print(float(x), float(callback)), x, callback=-x)
        addax.debug.log("log {}", x)

    with caplog.at_level("INFO", "addax.debug"):
        f(1.0)
    assert capsys.readouterr().out == "1.0 2.0 3.0\n1.0 -1.0\n"
    assert caplog.messages == ["log 1.0"]
    with pytest.raises(TypeError, match=r"unexpected arguments in the two-call form: args=.. kwargs={'x': 1}"):
        addax.debug.print(x=1)


@pytest.mark.parametrize(
    ("mistake", "error", "message"),
    [
        (lambda: addax.debug.print("{x} {y}", x=1), KeyError, r"asks for \{y\}; the values given are: x"),
        (lambda: addax.debug.print("{} {}", 1), IndexError, r"asks for \{1\}; the values given are: 0"),
        (lambda: addax.debug.print("{}"), IndexError, r"asks for \{0\}; the values given are: none"),
        (
            lambda: addax.debug.print("x", 1, y=2),
            ValueError,
            r"unused positional arguments \[0\] and keyword arguments",
        ),
        (lambda: addax.debug.print(3), TypeError, "must be a format string, got int"),
    ],
)
def test_formats_that_do_not_fit(mistake, error, message):
    with pytest.raises(error, match=message):
        mistake()


class TestPureCallback:
    @pytest.mark.parametrize(
        ("method", "shapes"),
        [
            ("sequential", {((), (2,))}),
            ("sequential_unrolled", {((), (2,))}),
            ("expand_dims", {((3,), (1, 2))}),
            ("broadcast_all", {((3,), (3, 2))}),
            ("legacy_vectorized", {((3,), (2,))}),
        ],
    )
    def test_vmap_methods(self, method, shapes):
        seen = set()

        def host(a, b):
            seen.add((a.shape, b.shape))
            return np.asarray(a * b[..., 0], np.float32)

        def f(a, b):
            return addax.pure_callback(host, F32, a, b, vmap_method=method)

        out = addax.jit(addax.vmap(f, (0, None)))(jnp.arange(3.0), jnp.full(2, 5.0))
        assert out.tolist() == [0.0, 5.0, 10.0]
        assert seen == shapes

    @pytest.mark.parametrize(
        ("result", "message"),
        [
            (np.ones(3, np.float32), r"promised result 0 of shape \(\) but returned shape \(3,\)"),
            (3, "promised result 0 of dtype float32 but returned int32"),
            ((1.0, 2.0), "promised results .* but returned"),
            (None, "promised results .* but returned"),
        ],
    )
    def test_broken_promises(self, result, message):
        with pytest.raises(RuntimeError, match=message):
            addax.jit(lambda x: addax.pure_callback(lambda _: result, F32, x))(1.0)

    def test_derivatives_need_a_rule(self):
        with pytest.raises(ValueError, match=r"Pure callbacks do not support JVP.*custom_jvp"):
            addax.grad(lambda x: addax.pure_callback(np.sin, F32, x))(1.0)
        f = addax.custom_jvp(lambda x: addax.pure_callback(np.sin, x, x, vmap_method="broadcast_all"))
        f.defjvp(lambda p, t: (f(*p), jnp.cos(p[0]) * t[0]))
        np.testing.assert_allclose(addax.vmap(addax.grad(f))(jnp.arange(3.0)), np.cos(np.arange(3.0)), rtol=1e-6)

    def test_wide_types_are_refused(self):
        with pytest.raises(ValueError, match="cannot specify 64-bit types"):
            addax.pure_callback(np.sin, addax.ShapeDtypeStruct((), np.float64), 1.0)


class TestIoCallback:
    def test_once_each_and_in_order(self):
        log = []

        def host(tag, x):
            log.append((int(tag), float(x)))
            return np.float32(x + 1)

        @addax.jit
        def f(x):
            a = io_callback(host, F32, 1, x, ordered=True)
            b, _ = lax.scan(lambda c, _: (io_callback(host, F32, 2, c, ordered=True), None), a, None, length=2)
            c = lax.cond(b > 0, lambda c: io_callback(host, F32, 3, c, ordered=True), lambda c: c, b)
            return lax.while_loop(lambda c: c < 6, lambda c: io_callback(host, F32, 4, c, ordered=True), c)

        assert float(f(0.0)) == 6.0
        assert log == [(1, 0.0), (2, 1.0), (2, 2.0), (3, 3.0), (4, 4.0), (4, 5.0)]

    def test_under_transformations(self):
        log = []
        addax.jit(lambda x: io_callback(lambda a: log.append(float(a)), None, x))(7.0)
        addax.grad(lambda x: (io_callback(lambda a: log.append(float(a)), None, 2.0), x**2)[1])(1.0)
        assert log == [7.0, 2.0]
        doubled = addax.vmap(lambda x: io_callback(lambda a: np.float32(2 * a), F32, x))(jnp.arange(3.0))
        assert doubled.tolist() == [0.0, 2.0, 4.0]
        with pytest.raises(ValueError, match="Cannot `vmap` ordered IO callbacks"):
            addax.vmap(lambda x: io_callback(np.sin, F32, x, ordered=True))(jnp.arange(3.0))
        with pytest.raises(ValueError, match="IO callbacks do not support JVP"):
            addax.grad(lambda x: io_callback(np.sin, F32, x))(1.0)


@pytest.mark.parametrize("wrap", [addax.jit, lambda f: f, lambda f: addax.jit(addax.vmap(f))])
def test_errors_keep_their_traceback_and_name_the_line(wrap):
    def broken(x):
        raise KeyError("the cause")

    def f(x):
        addax.debug.callback(broken, x)
        return x

    with pytest.raises(KeyError, match="the cause") as caught:
        wrap(f)(jnp.ones(1))
    assert any(entry.name == "broken" for entry in caught.traceback)
    (note,) = caught.value.__notes__
    assert re.search(r"raised by the callback broken, which the program calls at .*test_effects.py:\d+.*\.f\)", note)


class TestBreakpoint:
    @staticmethod
    def session(commands, transform=lambda f: f, x=2.0):
        out = io.StringIO()
        script = io.StringIO(commands)

        @addax.jit
        def inner(z, w):
            q = z * w
            addax.debug.breakpoint(stdin=script, stdout=out)
            return q

        def outer(x):
            y = {"twice": 2 * x}
            return inner(y["twice"], 10.0)

        transform(outer)(np.float32(x) if np.ndim(x) == 0 else x)
        return out.getvalue().split("(addax) ")

    def test_commands(self):
        start, *answers, end = self.session("p q\nl\nu\np y\nu\nd\nd\nd\nw\nr = q + 1\nr\np gone\nh c\nc\n", addax.jit)
        assert "test_effects.py" in start and "inner()\n-> addax.debug.breakpoint(" in start
        assert end == ""
        q, listing, up, y, _, _, _, bottom, frames, _, r, gone, about = answers
        assert q == "Array(40., dtype=float32)\n"
        assert "->             addax.debug.breakpoint(" in listing and "q = z * w" in listing
        assert 'outer()\n-> return inner(y["twice"], 10.0)' in up
        assert y == "{'twice': Array(4., dtype=float32)}\n"
        assert bottom == "At bottommost frame.\n"
        assert frames.index("session()") < frames.index("outer()") < frames.index("inner()")
        assert r == "Array(41., dtype=float32)\n"
        assert gone == "*** NameError: name 'gone' is not defined\n"
        assert "let the program go on" in about

    @pytest.mark.parametrize(
        ("transform", "x", "seen"),
        [
            (lambda f: f, 2.0, ["40."]),
            (addax.grad, 2.0, ["40."]),
            (lambda f: addax.jit(addax.checkpoint(f)), 2.0, ["40."]),
            (lambda f: addax.jit(addax.vmap(addax.grad(f))), np.arange(2, dtype=np.float32), ["0.", "20."]),
            (lambda f: lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=2), 1.0, ["20.", "400."]),
            (lambda f: addax.jit(lambda x: lax.cond(x > 0, f, lambda x: x, x)), 1.0, ["20."]),
        ],
    )
    def test_under_transformations(self, transform, x, seen):
        answers = self.session("p q\nc\n" * len(seen), transform, x)
        got = [a.splitlines()[0] for a in answers if a.startswith("Array(")]
        assert got == [f"Array({v}, dtype=float32)" for v in seen]

    def test_inside_a_custom_rule(self):
        out = io.StringIO()

        @addax.custom_jvp
        def f(x):
            addax.debug.breakpoint(stdin=io.StringIO("u\nu\np 3 * z\nc\n"), stdout=out)
            return x

        f.defjvp(lambda p, t: (f(*p), 5.0 * t[0]))

        def g(z):
            return f(z + 1)

        assert float(addax.jit(addax.grad(g))(np.float32(2.0))) == 5.0
        assert "(addax) Array(6., dtype=float32)" in out.getvalue()

    def test_keys_are_keys(self):
        out = io.StringIO()

        @addax.jit
        def f(key):
            k1, _ = addax.random.split(key)
            addax.debug.breakpoint(stdin=io.StringIO("p k1.dtype\np addax.random.bits(k1)\nc\n"), stdout=out)
            return addax.random.bits(k1)

        drawn = f(addax.random.key(0))
        assert f"(addax) key<fry>\n(addax) {drawn!r}\n" in out.getvalue()

    @pytest.mark.parametrize("commands", ["q\n", ""])
    def test_quit(self, commands):
        with pytest.raises(bdb.BdbQuit):
            self.session(commands, addax.jit)

    def test_the_only_backend(self):
        with pytest.raises(ValueError, match="the only backend is 'cli', got 'web'"):
            addax.debug.breakpoint(backend="web")
