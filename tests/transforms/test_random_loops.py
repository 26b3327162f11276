"""Random bodies in loops in loops under random transformations: loops whose length is known at run time, which keep a few
states for the way back, equal scans, which keep all of them.

ADDAX_RANDOM_TESTS=1 draws new programs; a failure names its seed.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.experimental.jet import jet

FIRST = random.SystemRandom().randrange(10**9) if os.environ.get("ADDAX_RANDOM_TESTS") == "1" else 0
C, W = np.array([0.3, -0.6, 0.9]), np.array([0.7, 1.1, -0.4])


@pytest.fixture(autouse=True)
def _x64():
    with addax.enable_x64(True):
        yield


# --- Loops: ``loop(n, body, x)`` is ``for i in range(n): x = body(i, x)`` ---


def scan(n, body, x):
    return lax.scan(lambda c, i: (body(i, c), None), x, jnp.arange(n))[0]


def dynamic(r: random.Random):
    places = r.choice([3, 4, 5, 8, None])

    def fori(n, body, x):
        return lax.fori_loop(0, n, body, x, checkpoints=places)

    def while_(n, body, x):
        turn = lambda c: (c[0] + 1, body(c[0], c[1]))  # noqa: E731
        return lax.while_loop(lambda c: c[0] < n, turn, (0, x), checkpoints=places)[1]

    return r.choice([fori, while_])


# --- Bodies: a few steps ``(loop, i, c, w) -> c`` on vectors of three ---


@addax.custom_vjp
def by_vjp(x):
    return jnp.tanh(x)


by_vjp.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, ct: (ct * (1 - y * y),))


@addax.custom_jvp
def by_jvp(x):
    return jnp.sin(x)


by_jvp.defjvp(lambda p, t: (by_jvp(*p), jnp.cos(p[0]) * t[0]))


def turns_of_its_own(loop, s, t):
    """An example of a batch that makes one turn or two."""
    once = jnp.sin(s) * t
    if loop is scan:
        return jnp.where(s > 0, jnp.sin(once) * t, once)
    return loop(jnp.where(s > 0, 2, 1), lambda j, x: jnp.sin(x) * t, s)


def body(r: random.Random, depth: int):
    steps = [step(r, depth) for _ in range(r.randint(1, 3))]

    def run(loop, i, c, w):
        for s in steps:
            c = s(loop, i, c, w)
        return c

    return run


def step(r: random.Random, depth: int):
    a, m = r.random(), r.randint(0, 3)
    plain = [
        lambda loop, i, c, w: jnp.sin(c) * w + a,
        lambda loop, i, c, w: c * 0.5 + w * jnp.cos(c * a),
        lambda loop, i, c, w: by_vjp(c * w),
        lambda loop, i, c, w: by_jvp(c) + a * w,
        lambda loop, i, c, w: c[::-1] * a + jnp.sum(c * w) * 0.2,
        lambda loop, i, c, w: jnp.where(c > a * 0.3, c * w, jnp.exp(-c * c)),
        lambda loop, i, c, w: lax.cond(jnp.sum(c) > a - 0.5, lambda c: c * w, lambda c: jnp.sin(c) + a, c),
        lambda loop, i, c, w: c.at[m % 3].set(c[(m + 1) % 3] * w[m % 3]) * 0.9,
        lambda loop, i, c, w: jnp.outer(c, w) @ jnp.tanh(c) * 0.5,
        lambda loop, i, c, w: c * (1 + 0.1 * i) / (1 + c * c),
        lambda loop, i, c, w: addax.vmap(lambda s, t: loop(m, lambda j, x: jnp.sin(x) * t + s, s))(c, w),
        lambda loop, i, c, w: addax.vmap(lambda s, t: turns_of_its_own(loop, s, t))(c, w),
    ]
    if not depth or r.random() < 0.7:
        return r.choice(plain)
    inner = body(r, depth - 1)
    return r.choice([
        lambda loop, i, c, w: loop(m, lambda j, c: inner(loop, j, c, w), c),
        lambda loop, i, c, w: lax.scan(lambda c, z: (inner(loop, 1, c * z, w), c.sum()), c, jnp.array([0.5, 0.9]))[0],
        lambda loop, i, c, w: addax.checkpoint(lambda c, w: inner(loop, i, c, w))(c, w),
        lambda loop, i, c, w: addax.jit(lambda c, w: inner(loop, i, c, w))(c, w),
    ])  # fmt: skip


# --- Transformations of a function of (c, w) ---

TRANSFORMATIONS = {
    "grad c": lambda f: lambda c, w: addax.grad(lambda c: (f(c, w) * np.array([1.0, -0.5, 0.3])).sum())(c),
    "grad w": lambda f: lambda c, w: addax.grad(lambda w: jnp.sin(f(c, w)).sum())(w),
    "jvp": lambda f: lambda c, w: addax.jvp(f, (c, w), (jnp.cos(c), w * 0.3))[1],
    "vmap c": lambda f: lambda c, w: addax.vmap(f, (0, None))(jnp.stack([c, c * 0.5]), w).sum(0),
    "vmap w": lambda f: lambda c, w: addax.vmap(f, (None, 0))(c, jnp.stack([w, w * 0.5])).sum(0),
    "jit": addax.jit,
    "checkpoint": addax.checkpoint,
    "linearize": lambda f: lambda c, w: addax.linearize(lambda c: f(c, w), c)[1](w),
    "jet": lambda f: lambda c, w: sum(jet(lambda c: f(c, w), (c,), ([jnp.cos(c), w],))[1], 0.0 * c),
}


def differs(seed: int) -> str | None:
    r = random.Random(seed)
    turn, n, loop = body(r, 2), r.randint(0, 5), dynamic(r)
    names = [r.choice(list(TRANSFORMATIONS)) for _ in range(r.randint(1, 3))]

    def transformed(loop, n):
        f = lambda c, w: loop(n, lambda i, c: turn(loop, i, c, w), c)  # noqa: E731
        for name in names:
            f = TRANSFORMATIONS[name](f)
        return f

    got = addax.jit(lambda c, w, n: transformed(loop, n)(c, w))(C, W, n)
    want = addax.jit(transformed(scan, n))(C, W)
    tolerance = 1e-8 * (1 + np.abs(want).max())
    same = np.allclose(got, want, rtol=1e-7, atol=tolerance, equal_nan=True)
    return None if same else f"seed {seed}, {n} turns, {names}: {got}, a scan gives {want}"


@pytest.mark.slow
@pytest.mark.parametrize("block", range(6))
def test_loops_of_unknown_length_equal_scans(block):
    first = FIRST + 50 * block
    assert [m for seed in range(first, first + 50) if (m := differs(seed)) is not None] == []
