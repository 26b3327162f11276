"""Random programs of the public surface, on XLA and on the reference engine."""

from __future__ import annotations

import random

import numpy as np
import pytest
from batch import execute

import addax
import addax.numpy as jnp
from addax import lax
from addax.engines.reference import evaluate

UNARY = (
    jnp.tanh, jnp.sin, jnp.abs, lambda v: v * 0.5 + 1, lambda v: -v, lambda v: jnp.exp(-v * v),
    lambda v: jnp.where(v > 0, v, 0.1 * v), lambda v: 1 / (1 + v * v),
)  # fmt: skip
BINARY = (jnp.add, jnp.multiply, jnp.subtract, jnp.maximum)
SHAPES = ((4, 6), (6,), (4, 1), (), (3, 4, 6))


def step(dice: random.Random, values: list):
    """One more value, computed from earlier ones."""
    x = dice.choice(values)
    axis = dice.randrange(x.ndim) if x.ndim else 0
    kind = dice.choice(("unary", "binary", "reduce", "layout", "index", "loop", "branch", "sort", "call", "product"))
    if kind == "binary":
        y = dice.choice(values)
        try:
            np.broadcast_shapes(x.shape, y.shape)
        except ValueError:
            return dice.choice(UNARY)(x)
        return dice.choice(BINARY)(x, y)
    if kind == "unary" or not x.ndim:
        return dice.choice(UNARY)(x)
    if kind == "reduce":
        return dice.choice((jnp.sum, jnp.max, jnp.mean, jnp.cumsum))(x, axis=axis)
    if kind == "layout":
        n = x.shape[axis]
        return dice.choice((
            lambda: x.T, lambda: jnp.flip(x, axis), lambda: x.reshape(-1), lambda: jnp.concatenate([x, x * 2], axis),
            lambda: lax.slice_in_dim(x, n // 3, n, 1, axis), lambda: jnp.pad(x, 1),
        ))()  # fmt: skip
    if kind == "index":
        rows = np.array([0, -1, 0, x.shape[0] - 1])
        return dice.choice((lambda: x[rows], lambda: x.at[rows].add(1.5), lambda: x.at[..., 0].set(0.25)))()
    if kind == "loop":
        if dice.random() < 0.5:
            return lax.fori_loop(0, 3, lambda i, c: jnp.tanh(c) + 0.1 * i, x)
        return lax.scan(lambda c, row: (c + row.sum(), c * row), 0.5, x, reverse=dice.random() < 0.5)[1]
    if kind == "branch":
        return lax.cond(x.sum() > 0, lambda v: v * 2, jnp.sin, x)
    if kind == "sort":
        return jnp.sort(x, axis)
    if kind == "call":
        return addax.jit(lambda v: jnp.cos(v) * v)(x)
    return jnp.tensordot(x, jnp.full((x.shape[-1], 3), 0.3, x.dtype), 1)


def program(seed: int):
    dice, rng = random.Random(seed), np.random.default_rng(seed)
    args = [rng.standard_normal(dice.choice(SHAPES)).astype(np.float32) for _ in range(dice.randint(1, 3))]

    def f(*args):
        chosen = random.Random(seed + 1)
        values = list(args)
        for _ in range(chosen.randint(4, 14)):
            new = step(chosen, values)
            if new.size <= 5000:
                values.append(new)
        return values[-1], chosen.choice(values)

    def with_gradient(*args):
        return f(*args), addax.grad(lambda x: f(x, *args[1:])[0].sum())(args[0])

    return (with_gradient if seed % 3 == 0 else f), args


def check(seed: int) -> None:
    fun, args = program(seed)
    closed = addax.jit(fun).trace(*args).jaxpr
    for got, want in zip(execute(closed, args), evaluate(closed, args), strict=True):
        scale = max(1.0, float(np.abs(want[np.isfinite(want)]).max(initial=0)))
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5 * scale, err_msg=f"seed {seed}")


def test_random_programs():
    for seed in range(12):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 200))
def test_many_random_programs(seed):
    check(seed)
