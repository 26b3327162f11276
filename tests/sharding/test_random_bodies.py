"""Random bodies of `shard_map`: values, and gradients taken outside, inside and without check_vma, are those of the vmap.

Nothing is compiled: the programs are run by their definition. That engines agree with it is tested elsewhere.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.engines.reference.interpret import evaluate
from addax.sharding import AbstractMesh, PartitionSpec as P

MESH = AbstractMesh((4,), ("x",))
SPECS = (P("x"), P(), P("x"))


def mixed(x, y, s, f):
    """``f`` with a collective inside, or without."""
    return f(lambda v: lax.pmean(v, "x") * 0.3 if s % 2 else v * 0.5)


# Each makes a [2, 3] of two others and a number.
STEPS = [
    lambda x, y, s: x * y,
    lambda x, y, s: jnp.sin(x) + y,
    lambda x, y, s: jnp.where(x > 0, x, y),
    lambda x, y, s: addax.nn.softmax(x * y),
    lambda x, y, s: jnp.sort(x, axis=1) + y[:, ::-1],
    lambda x, y, s: x.at[0, s % 3].add(y[1, 0]),
    lambda x, y, s: (x @ y.T) @ x * 0.1,
    lambda x, y, s: lax.psum(x, "x") * 0.2,
    lambda x, y, s: lax.pmean(x * y, "x"),
    lambda x, y, s: lax.ppermute(x, "x", [(i, (i + 1 + s % 3) % 4) for i in range(4)]),
    lambda x, y, s: lax.all_gather(x, "x").mean(0) + y,
    lambda x, y, s: lax.all_gather(x[:1], "x", tiled=True, to="invarying")[:2] + (y if s % 2 else 0),
    lambda x, y, s: lax.psum_scatter(jnp.tile(x, (4, 1)) * 0.3, "x", tiled=True),
    lambda x, y, s: lax.all_to_all(jnp.tile(x, (2, 1)), "x", 0, 0, tiled=True)[:2],
    lambda x, y, s: x * lax.axis_index("x") * 0.2,
    lambda x, y, s: mixed(x, y, s, lambda g: addax.jit(lambda x, y: jnp.tanh(x) * y + g(y))(x, y)),
    lambda x, y, s: mixed(x, y, s, lambda g: addax.checkpoint(lambda x, y: jnp.sin(x * y) + g(x))(x, y)),
    lambda x, y, s: mixed(x, y, s, lambda g: addax.vmap(lambda a, b: a * b.sum() + g(a))(x, y)),
    lambda x, y, s: mixed(
        x, y, s, lambda g: lax.scan(lambda c, _: (jnp.tanh(c + y) + g(c), None), x, None, length=3)[0]
    ),
    lambda x, y, s: lax.scan(lambda c, r: (c + r, c * r), x[0], y)[1],
    lambda x, y, s: lax.fori_loop(0, 2, lambda i, c: c * 0.5 + y, x),
    lambda x, y, s: lax.cond(x.sum() > 0, lambda x, y: x * 2, lambda x, y: y - x, x, y),
    lambda x, y, s: lax.cond(s % 2 == 0, lambda: x * y, lambda: x),
    lambda x, y, s: addax.jvp(jnp.tanh, (x,), (y,))[1],
    lambda x, y, s: addax.grad(lambda a: (jnp.sin(a) * y).sum())(lax.pvary(x, "x")),
    lambda x, y, s: jnp.linalg.solve(jnp.eye(2) * 3 + jnp.tanh(x[:, :2]), y),
]


def random_body(seed: int):
    choose = random.Random(seed)
    plan = [
        (choose.choice(STEPS), choose.random(), choose.random(), choose.randrange(100))
        for _ in range(choose.randint(3, 9))
    ]

    def body(v, w, u):
        """``v`` and ``u`` vary, ``w`` is shared; the result is the same on all devices."""
        values = [v, u, jnp.broadcast_to(w, (2, 3)), jnp.full((2, 3), 0.5)]
        for step, a, b, s in plan:
            values.append(step(values[int(a * len(values))], values[int(b * len(values))], s))
        total = sum(values[4:])
        return lax.psum((total * total).sum() * 0.1, "x")

    return body


def by_definition(f, *args):
    traced = addax.jit(f).trace(*args)
    return traced.out_tree.unflatten(evaluate(traced.jaxpr, [np.asarray(x) for x in args]))


def check(seed: int) -> None:
    body, rng = random_body(seed), np.random.default_rng(seed)
    args = [rng.normal(size=s).astype(np.float32) for s in ((8, 3), (3,), (8, 3))]

    def mapped(f, outs, **options):
        return addax.shard_map(f, mesh=MESH, in_specs=SPECS, out_specs=outs, **options)

    def batched(v, w, u):
        f = addax.vmap(body, in_axes=(0, None, 0), axis_name="x", out_axes=None)
        return f(v.reshape(4, 2, 3), w, u.reshape(4, 2, 3))

    numbers = (0, 1, 2)
    value, slopes = by_definition(batched, *args), by_definition(addax.grad(batched, numbers), *args)
    for expected, f in (
        (value, mapped(body, P())),
        (slopes, addax.grad(mapped(body, P()), numbers)),
        (slopes, addax.grad(mapped(body, P(), check_vma=False), numbers)),
        (slopes, mapped(lambda *xs: addax.grad(body, numbers)(*xs), SPECS)),
    ):
        for want, got in zip(addax.tree.leaves(expected), addax.tree.leaves(by_definition(f, *args)), strict=True):
            scale = max(1.0, float(np.abs(want).max()))
            np.testing.assert_allclose(got / scale, want / scale, atol=3e-4)


@pytest.mark.parametrize("seed", range(12))
def test_random_body(seed):
    check(seed)


@pytest.mark.parametrize("seed", [1002, 1081, 1154])
def test_second_order(seed):
    body, rng = random_body(seed), np.random.default_rng(seed)
    args = [0.5 * rng.normal(size=s).astype(np.float32) for s in ((8, 3), (3,), (8, 3))]

    def batched(v, w, u):
        f = addax.vmap(body, in_axes=(0, None, 0), axis_name="x", out_axes=None)
        return f(v.reshape(4, 2, 3), w, u.reshape(4, 2, 3))

    def second(f):
        slopes = addax.grad(f, (0, 1))
        return addax.grad(lambda *xs: sum((y * y).sum() for y in slopes(*xs)), (0, 1, 2))

    expected = by_definition(second(batched), *args)
    for check_vma in (True, False):
        f = addax.shard_map(body, mesh=MESH, in_specs=SPECS, out_specs=P(), check_vma=check_vma)
        for want, got in zip(expected, by_definition(second(f), *args), strict=True):
            scale = max(1.0, float(np.abs(want).max()))
            np.testing.assert_allclose(got / scale, want / scale, atol=2e-3)


@pytest.mark.slow
def test_many_random_bodies():
    for seed in range(12, 150):
        check(seed)
