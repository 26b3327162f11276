"""The CPU engine end to end: programs traced by JAX, run by both."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_cases import CASES, f32
from jax import lax
from jax_programs import agree, compiled, program, to_array
from random_programs import random_program

import addax
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Var
from addax.core.primitive import Primitive, registry
from addax.engines.cpu import cpu_engine
from addax.engines.reference import evaluate


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_jax(name):
    f, *args = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX warns of its own deprecations
        executable = agree(f, *args, tol=1e-4)
    assert not executable._assembled.host_steps, "a step of this program runs in Python"


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed):
    f, args = random_program(seed)
    agree(f, *args, tol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 600))
def test_many_random_programs(seed):
    f, args = random_program(seed)
    agree(f, *args, tol=2e-4)


def test_the_reference_engine_gives_the_same():
    def f(x):
        return lax.fori_loop(0, 4, lambda i, c: jnp.tanh(c) * 2 + i, x), lax.cond(
            x.sum() > 0, lambda x: x, lambda x: -x, x
        )

    x = f32(5, 6)
    closed = program(f, x)
    for got, want in zip(evaluate(closed, [x]), f(x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_softmax_is_one_nest():
    executable = agree(jax.nn.softmax, f32(64, 100))
    assert len(executable._assembled.steps) == 1


def test_a_long_sum_is_cut_into_chunks_that_do_not_depend_on_threads():
    executable = agree(lambda x: (x * x).sum(), f32(1000, 500))
    steps = executable._assembled.steps
    assert [s.extent > 1 for s in steps] == [True, False]


def test_another_batch_size_compiles_nothing():
    def f(x, b):
        return jax.nn.softmax(jnp.tanh(x + b) * 0.5).sum(0)

    first = agree(f, f32(64, 100), f32(100))
    second = agree(f, f32(96, 200), f32(200))
    assert [n.key for n in first._assembled.nests] == [n.key for n in second._assembled.nests]


def test_equal_layers_share_their_kernels():
    def f(x, w):
        for _ in range(6):
            x = jnp.tanh(x @ w + 1.0)
        return x

    executable = agree(f, f32(16, 32), f32(32, 32) * 0.1)
    assert len(executable._assembled.nests) == 1


def test_updates_in_a_loop_happen_in_place():
    def f(x):
        return lax.fori_loop(0, 50, lambda i, x: x.at[i].set(x[i] * 2 + 1), x)

    executable = agree(f, f32(50, 60))
    loop = executable.as_text("loops").split("steps\n")[1]
    assert loop.count("copy") <= 1  # before the loop, to have memory of its own
    assert "12000" not in loop.split("loop 50 times")[-1]


def loop_text(executable) -> str:
    """The steps of the last loop of a program."""
    return executable.as_text("loops").split("steps\n")[1].split("  loop ")[-1]


def test_sums_of_products_are_added_up_in_place():
    def f(w, xs, ys):
        def turn(total, xy):
            x, y = xy
            return total + x.T @ y, None

        return lax.scan(turn, w, (xs, ys))[0], w

    body = loop_text(agree(f, f32(24, 40), f32(7, 5, 24), f32(7, 5, 40)))
    assert body.count("gemm") == 1 and "1, 1, 0]" in body and "add" not in body and "swap" not in body
    # Not where the sum before is needed, too, or the product.
    agree(lambda w, xs: lax.scan(lambda c, x: (c + x @ x, c), w, xs), f32(20, 20) * 0.1, f32(5, 20, 20) * 0.1)
    agree(lambda w, xs: lax.scan(lambda c, x: (c + x @ x, x @ x), w, xs), f32(20, 20) * 0.1, f32(5, 20, 20) * 0.1)
    agree(lambda w, xs: lax.scan(lambda c, x: (c + c @ x, None), w, xs), f32(20, 20) * 0.1, f32(5, 20, 20) * 0.1)
    # Outside loops: memory of its own, for the argument stays.
    agree(lambda c, a, b: (c + a @ b, a), f32(30, 20), f32(30, 10), f32(10, 20))
    agree(lambda c, a: c + a @ a, f32(20, 20), f32(20, 20))


def test_what_a_product_reads_across_is_laid_out_before_the_loop():
    def f(w, g, h):
        def turn(c, _):
            def inner(c, _):
                return jnp.tanh(c @ w.T) + c @ g, None

            return lax.scan(inner, c, None, length=3)[0], None

        return lax.scan(turn, h, None, length=4)[0]

    executable = agree(f, f32(20, 20) * 0.3, f32(20, 20) * 0.3, f32(6, 20))
    steps = executable.as_text("loops").split("steps\n")[1]
    before, inside = steps.split("loop 4 times")
    assert before.count("copy_4") == 1 and "copy_4" not in inside  # out of both loops


def test_stacked_results_are_stored_by_the_nest_that_makes_them():
    def f(h, xs):
        def turn(h, x):
            s = jnp.tanh(h @ x)
            return s * 2 + h, (s, jnp.exp(s) - jnp.exp(s).max())

        return lax.scan(turn, h, xs)

    body = loop_text(agree(f, f32(6, 20), f32(5, 20, 20) * 0.1))
    assert "dynamic_update_slice" not in body


def turns(body, n=6):
    """``f(x, w)``: n turns of ``body(carry, w)`` from x on."""
    return lambda x, w: lax.scan(lambda c, _: (body(c, w), None), x, None, length=n)[0]


# How often a turn's value, of 4800 bytes, stands in the memory that a loop needs beside its result.
LOOP_MEMORY = {
    "element by element": (turns(lambda c, w: jnp.tanh(c) * 2), 0),
    "made elsewhere": (turns(lambda c, w: jnp.tanh(c @ w)), 2),
    "made from both": (turns(lambda c, w: jnp.tanh(c @ w) + c), 1),
    "read elsewhere": (turns(lambda c, w: c[::-1] * 0.9), 2),
    "read here and elsewhere": (turns(lambda c, w: c[::-1] * 0.9 + c), 2),
    "read afterwards": (lambda x, w: lax.scan(lambda c, _: (jnp.tanh(c), (c @ w).sum()), x, None, length=6), 3),
    "two that trade places": (
        lambda x, w: lax.scan(lambda c, _: ((jnp.tanh(c[1]), c[0] * 0.5), None), (x, x * 2), None, length=6)[0], 4,
    ),
    "one from the other": (
        lambda x, w: lax.scan(lambda c, _: ((jnp.tanh(c[0]), jnp.sin(c[0]) @ w), None), (x, x), None, length=6)[0], 5,
    ),
    "positions that move": (
        lambda x, w: lax.fori_loop(0, 6, lambda i, c: c * 0.9 + lax.dynamic_slice(c, (i, 0), (1, 30)), x), 2,
    ),
    "by a branch": (turns(lambda c, w: lax.cond(c[0, 0] > 0, jnp.tanh, lambda c: c @ w, c) * 1.1), 4),
    "by a loop": (turns(lambda c, w: lax.fori_loop(0, 2, lambda _, d: jnp.tanh(d @ w), c) + 1), 4),
    "a condition": (
        lambda x, w: lax.while_loop(lambda c: c[1] < 5, lambda c: (jnp.tanh(c[0]) * 1.5, c[1] + 1), (x, 0))[0], 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LOOP_MEMORY)
def test_memory_of_what_a_loop_carries(what):
    f, values = LOOP_MEMORY[what]
    executable = agree(f, f32(40, 30), f32(30, 30) * 0.3)
    assert executable.memory_analysis().temp_size_in_bytes < (values + 0.9) * 4800


def test_what_is_turned_first_is_turned_where_the_result_goes():
    executable = agree(lambda x: x.T * 2 + 1, f32(70, 90))
    assert executable.memory_analysis().temp_size_in_bytes == 0
    agree(lambda x: (x.T + 1, x.T * 2), f32(70, 90))
    agree(lambda x, y: x.T + y.T * y.T, f32(70, 90), f32(70, 90))
    agree(lambda x: (x.T * 100).astype(jnp.int32), f32(70, 90))
    agree(lambda x: x.T * 2 + x, f32(80, 80))


def test_donated_memory_becomes_the_result():
    executable, arrays = compiled(lambda x, y: (x.sum(), y * 2), f32(40, 50), f32(40, 50), donated=(0, 1))
    assert len(executable.executable(arrays)) == 2


def test_results_that_are_arguments_constants_or_each_other():
    c = f32(3, 4)
    agree(lambda x: (x, x, x.reshape(-1), c + 0, 2.0, x + 1, x + 1, (x + 1).T), f32(5, 7))


def test_stages_are_readable():
    executable, _ = compiled(lambda x: jnp.sin(x).sum(), f32(5))
    assert "sin" in executable.as_text("simplified")
    assert "steps" in executable.as_text("loops")
    assert "define" in executable.as_text("llvm")
    assert executable.as_text("asm")
    with pytest.raises(ValueError, match="unknown stage"):
        executable.as_text("nothing")
    assert executable.cost_analysis()["flops"] > 0
    assert executable.memory_analysis().argument_size_in_bytes == 20


@pytest.fixture
def primitives():
    """What a test adds to the primitives goes again."""
    known = set(registry)
    yield
    for name in set(registry) - known:
        del registry[name]


@pytest.mark.usefixtures("unchecked", "primitives")
def test_a_primitive_nobody_can_run_is_named():
    x = Var(program(jnp.sin, f32(3)).in_avals[0])
    y = Var(x.aval)
    jaxpr = Jaxpr([], [x], [y], [Eqn(Primitive("frobnicate"), [x], [y], {})])
    with pytest.raises(NotImplementedError, match="frobnicate"):
        cpu_engine.compile(ClosedJaxpr(jaxpr, ()), CompileOptions())


@pytest.mark.usefixtures("unchecked", "primitives")
def test_host_steps_say_so():
    p = Primitive("twice_in_python")
    p.reference = lambda x: x * 2
    x = Var(program(jnp.sin, f32(3)).in_avals[0])
    y = Var(x.aval)
    executable = cpu_engine.compile(ClosedJaxpr(Jaxpr([], [x], [y], [Eqn(p, [x], [y], {})]), ()), CompileOptions())
    assert "host twice_in_python" in executable.as_text("loops")
    a = f32(3)
    np.testing.assert_array_equal(np.asarray(executable.run([to_array(a)])[0]), a * 2)


def test_elementwise_results_take_over_donated_arguments():
    def step(p, g, m):
        m = 0.9 * m + g
        return p - 0.1 * m, m, g.sum()

    args = [f32(30, 40), f32(30, 40), f32(30, 40)]
    expected = step(*args)  # in NumPy
    arrays = [to_array(x) for x in args]
    results = addax.jit(step, donate_argnums=(0, 2))(*arrays)
    assert [x.is_deleted() for x in arrays] == [True, False, True]
    for got, want in zip(results, expected, strict=True):
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4, atol=1e-4)


def test_temporaries_of_a_chain_of_products_share_memory():
    def f(x, w):
        for _ in range(8):
            x = jnp.tanh(x @ w)
        return x

    executable = agree(f, f32(64, 64), f32(64, 64) * 0.1)
    assert executable.memory_analysis().temp_size_in_bytes <= 3 * 64 * 64 * 4
