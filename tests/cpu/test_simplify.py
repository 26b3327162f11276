"""simplify: what it removes, what it must keep, and that it costs linear time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_cases import f32
from jax import lax
from jax_programs import agree, program

from addax.engines.cpu.simplify import simplify
from addax.engines.reference import evaluate


def names(f, *args) -> list[str]:
    return [e.primitive.name for e in simplify(program(f, *args)).eqns]


X = f32(5, 7)

# function -> the primitives that are left
LEFT = {
    "calls are inlined": (lambda x: jax.jit(lambda y: jnp.sin(jax.nn.relu(y)))(x), ["max", "sin"]),
    "dead code": (lambda x: (jnp.exp(x), jnp.sin(x))[1], ["sin"]),
    "common subexpressions": (lambda x: jnp.sin(x) + jax.jit(jnp.sin)(x), ["sin", "add"]),
    "x * 1": (lambda x: x * 1.0, []),
    "x / 1": (lambda x: x / 1.0, []),
    "x - 0": (lambda x: x - 0.0, []),
    "x + -0.0": (lambda x: x + np.float32(-0.0), []),
    "x + 0.0 changes -0.0": (lambda x: x + 0.0, ["add"]),
    "x * 0 may be nan": (lambda x: x * 0.0, ["mul"]),
    "-(-x)": (lambda x: -(-x), []),
    "x - (-y)": (lambda x: x - (-(x * 2)), ["mul", "add"]),
    "x ** 2": (lambda x: x**2, ["mul"]),
    "division by a power of two": (lambda x: x / 8.0, ["mul"]),
    "division by another number": (lambda x: x / 3.0, ["div"]),
    "reductions over ones": (lambda x: x[:1].sum(0), ["slice", "reshape"]),
    "literals are folded": (lambda x: x * (lax.div(np.float32(1), np.float32(3)) + 1), ["mul"]),
    "widen and back": (
        lambda x: x.astype(jnp.bfloat16).astype(jnp.float32).astype(jnp.bfloat16),
        ["convert_element_type"],
    ),
    "narrowing is kept": (lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), ["convert_element_type"] * 2),
    "outer product": (
        lambda x: lax.dot_general(x, x, (((), ()), ((), ()))),
        ["broadcast_in_dim", "broadcast_in_dim", "mul"],
    ),
    "transposed product": (lambda x: (x @ x.T * 1.0).T, ["transpose", "dot_general"]),
    "where with equal cases": (lambda x: lax.select(x > 0, x, x), []),
}


@pytest.mark.parametrize("what", LEFT)
def test_left(what):
    f, expected = LEFT[what]
    assert names(f, X) == expected
    agree(f, X)


def test_signed_zeros_and_nans_survive():
    x = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45], np.float32)
    for f in (
        lambda x: x + 0.0,
        lambda x: x * 1.0,
        lambda x: 0.0 - x,
        lambda x: x * 0.0,
        lambda x: jnp.maximum(x, -jnp.inf),
    ):
        closed = program(f, x)
        (got,), (want,) = evaluate(simplify(closed), [x]), evaluate(closed, [x])
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


def test_programs_inside_loops_are_simplified():
    def f(x):
        return lax.fori_loop(0, 3, lambda i, c: jax.jit(lambda y: -(-y) * 1.0 + 2)(c), x)

    loop = next(e for e in simplify(program(f, X)).eqns if e.primitive.name in ("scan", "while"))
    body = loop.params.get("jaxpr") or loop.params["body_jaxpr"]
    assert "neg" not in [e.primitive.name for e in body.eqns]


@pytest.mark.usefixtures("unchecked")
def test_effects_stay_in_order():
    def f(x):
        jax.debug.print("{}", x.sum(), ordered=True)
        jax.debug.print("{}", x.max(), ordered=True)
        return x * 1.0

    left = [n for n in names(f, X) if "callback" in n or "print" in n]
    assert len(left) == 2


def test_linear_time():
    def chain(n):
        def f(x):
            for i in range(n):
                x = jax.jit(lambda y, i=i: jnp.sin(y) * (1.0 + i))(x)
            return x

        return program(f, X)

    import time

    def cost(n):
        closed = chain(n)
        start = time.perf_counter()
        assert len(simplify(closed).eqns) == 2 * n - 1
        return time.perf_counter() - start

    cost(10)
    assert min(cost(800) for _ in range(3)) < 40 * min(cost(100) for _ in range(3))
