"""`scan`, `map` and `associative_scan` in all their forms against JAX's, and what reverse mode through a scan keeps."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from comparison import ADDAX, JAX, assert_agree

import addax
import addax.numpy as jnp
from addax import lax

X = np.linspace(-1.2, 2.1, 12, dtype=np.float32).reshape(6, 2)


def turn(L, c, x):
    """A carry with an integer, results that are and are not differentiable, and residuals that cheap arithmetic makes."""
    h, k = c
    y = L.np.tanh(h * x + k)
    y = L.np.where(y > 0.1, y, y * 0.5) - L.np.maximum(x, 0.0) * y.mean()
    return (y, k + 1), {"y": y, "k": k, "total": (y * y).sum()}


SCANS = {
    "reverse": {"reverse": True},
    "unroll 4, with a rest": {"unroll": 4},
    "unroll all, reverse": {"unroll": True, "reverse": True},
    "unroll more than there are": {"unroll": 9, "length": 6},
}


def scans(L, x, h):
    run = {k: L.lax.scan(lambda c, x: turn(L, c, x), (h, 0), x, **options) for k, options in SCANS.items()}
    run["length only"] = L.lax.scan(lambda c, _: turn(L, c, 0.7), (h, 0), None, length=5, unroll=2)
    run["no turns"] = L.lax.scan(lambda c, x: turn(L, c, x), (h, 0), x[:0])
    return run


def maps(L, x, h):
    f = lambda row: {"a": L.np.sin(row) * h, "b": row.sum()}  # noqa: E731
    run = {f"batches of {n}": L.lax.map(f, x, batch_size=n) for n in (1, 4, 6, 9)}
    run["one by one"] = L.lax.map(f, x)
    combine = lambda a, b: {"p": a["p"] * b["p"], "q": a["q"] * b["p"] + b["q"]}  # noqa: E731
    for name, n, options in (("6", 6, {}), ("reverse", 5, {"reverse": True}), ("axis", 6, {"axis": 1}), ("-1", 6, {"axis": -1}),
                             ("1", 1, {})):  # fmt: skip
        pair = {"p": x[:n], "q": L.np.cos(x[:n]) * h}
        run[f"associative {name}"] = L.lax.associative_scan(combine, pair, **options)
    return run


def measured(L, program, all_of_it: bool):
    """A program and its gradient; or also its derivatives forward and of second order, and its batched form."""
    n, t = L.np, L.m.tree
    floats = lambda out: [y for y in t.leaves(out) if y.dtype == np.float32]  # noqa: E731
    weighed = lambda x, h: sum((n.sin(y) * y).sum() for y in floats(program(L, x, h)))  # noqa: E731

    def first(x, h):
        return program(L, x, h), L.m.grad(weighed, (0, 1))(x, h)

    def rest(x, h):
        second = L.m.grad(lambda x, h: (L.m.grad(weighed)(x, h) * n.cos(x)).sum(), (0, 1))
        return (
            floats(L.m.jvp(lambda x, h: floats(program(L, x, h)), (x, h), (n.cos(x), n.cos(h)))[1]),
            second(x, h),
            L.m.vmap(lambda h: floats(program(L, x, h)))(n.stack([h, h * 2])),
            L.m.vmap(L.m.grad(weighed), (0, None))(n.stack([x, x * 0.5]), h),
        )

    return t.leaves(L.m.jit(rest if all_of_it else first)(X, np.float32([0.3, -0.6])))


@pytest.mark.parametrize("all_of_it", (False, pytest.param(True, marks=pytest.mark.slow)))
@pytest.mark.parametrize("program", (scans, maps))
def test_as_in_jax(program, all_of_it):
    assert_agree(measured(ADDAX, program, all_of_it), measured(JAX, program, all_of_it))


# ---------------------------------------------------------------------------------------------------------------------


def stacked(fun, *args) -> list:
    """Shapes of what the first of two scans of a gradient keeps for the second."""
    jaxpr = addax.make_jaxpr(addax.grad(fun))(*args)
    first, second = [e for e in jaxpr.eqns if e.primitive.name == "scan"]
    ys = first.outvars[first.params["num_carry"] :]
    return [v.aval.shape for v in ys if v in second.invars]


def test_only_what_the_way_back_needs_is_kept():
    w, c = np.ones((3, 3), np.float32), np.ones(3, np.float32)

    def loss(body):
        return lambda w, c: lax.scan(lambda c, _: (body(w, c), None), c, None, length=7)[0].sum()

    assert stacked(loss(lambda w, c: c * 2.0 + w[0]), w, c) == []
    assert stacked(loss(lambda w, c: w @ c), w, c) == [(7, 3)]  # the carry, for dw
    assert stacked(loss(lambda w, c: jnp.sin(w) @ c), w, c) == [(7, 3)]  # cos(w) does not change from turn to turn
    assert stacked(loss(lambda w, c: jnp.tanh(w @ c)), w, c) == [(7, 3)] * 2  # before and after; not 1 - tanh
    assert stacked(loss(lambda w, c: w @ c + jnp.broadcast_to(jnp.exp(c.sum()), (3,)) * c), w, c).count((7,)) == 1

    def running(c):
        (_, total), _ = lax.scan(lambda c, _: ((jnp.sin(c[0]), c[1] + c[0].sum()), None), (c, 0.0), None, length=7)
        return total

    assert stacked(running, c) == [(7, 3)]  # cos(c), not the running total


def step(c, _):
    return jnp.tanh(jnp.sin(c) * c + c), None


def blocks(n):
    @addax.checkpoint
    def block(c, _):
        return lax.scan(step, c, None, length=round(n**0.5))

    return lambda c: lax.scan(block, c, None, length=round(n**0.5))[0].sum()


def test_memory_of_a_scan_over_checkpointed_blocks_grows_with_the_square_root():
    """The exact peaks of the compiled programs; and the recipe changes no result."""

    def rows(f):
        stats = addax.jit(addax.grad(f)).lower(jnp.ones(256)).compile().memory_analysis()
        return stats.temp_size_in_bytes / (4 * 256)

    few, many = rows(blocks(256)), rows(blocks(1024))
    assert few < 6 * 16 and many < 6 * 32 and many < 2.05 * few
    plain = lambda c: lax.scan(step, c, None, length=1024)[0].sum()  # noqa: E731
    turns = lambda c: lax.scan(addax.checkpoint(step), c, None, length=1024)[0].sum()  # noqa: E731
    assert rows(turns) < 1030 < 4 * 1024 < rows(plain) < 4110
    c = np.linspace(-1, 1, 5, dtype=np.float32)
    want = addax.jit(addax.grad(plain))(c)
    for f in (blocks(1024), turns):
        np.testing.assert_allclose(addax.jit(addax.grad(f))(c), want, rtol=1e-6)


def test_the_allocator_agrees():
    """A thousand turns in a process of their own: the largest amount of memory that arrays and arenas ever took."""
    program = """
import addax, addax.numpy as jnp, numpy as np
from addax import _native, lax
def step(c, _):
    return jnp.tanh(jnp.sin(c) * c + c), None
def blocks(k):
    block = addax.checkpoint(lambda c, _: lax.scan(step, c, None, length=k))
    return lambda c: lax.scan(block, c, None, length=k)[0].sum()
c = jnp.ones(20_000)
for k in (16, 32):
    gradient = addax.jit(addax.grad(blocks(k)))
    before = _native.memory_stats()["bytes_in_use"]
    addax.block_until_ready(gradient(c))
    print((_native.memory_stats()["peak_bytes_in_use"] - before) / c.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    few, many = map(float, done.stdout.split())
    assert many < 6 * 32 and many < 2.05 * few, (few, many)


def test_a_negative_length_is_refused():
    with pytest.raises(ValueError, match=r"`length` argument to `scan` must not be negative, got -1"):
        lax.scan(lambda c, _: (c, c), 1.0, length=-1)
