"""Random array programs: elementwise chains, reductions, layout changes, products, in any order."""

from __future__ import annotations

import random

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

UNARY = (
    jnp.tanh, jnp.sin, jnp.abs, lambda v: v * 0.5 + 1, lambda v: -v, lambda v: jnp.exp(-v * v),
    lambda v: jnp.where(v > 0, v, 0.1 * v), lambda v: 1 / (1 + v * v),
)  # fmt: skip
BINARY = (jnp.add, jnp.multiply, jnp.subtract, jnp.maximum)
REDUCTIONS = (jnp.sum, jnp.max, jnp.mean, jnp.min)


def random_shape(r: random.Random, size: int) -> list[int]:
    """A random factorisation of ``size``."""
    shape = []
    while size > 1:
        shape.append(r.choice([d for d in range(2, size + 1) if size % d == 0]))
        size //= shape[-1]
    return shape


def random_step(r: random.Random, values: list):
    """One more value computed from earlier ones, or None if the dice ask for something ill-typed."""
    k, x = r.random(), r.choice(values)
    axis = r.randrange(x.ndim) if x.ndim else None
    if k < 0.3:
        y = r.choice(values)
        try:
            if np.prod(np.broadcast_shapes(x.shape, y.shape)) > 20000:
                return None
        except ValueError:
            return None
        return r.choice(BINARY)(x, y)
    if k < 0.45:
        return r.choice(UNARY)(x)
    if axis is None:
        return None
    if k < 0.6:
        axes = tuple(sorted(r.sample(range(x.ndim), r.randint(1, x.ndim))))
        return r.choice(REDUCTIONS)(x, axis=axes, keepdims=r.random() < 0.5)
    if k < 0.68:
        return jnp.transpose(x, r.sample(range(x.ndim), x.ndim))
    if k < 0.76:
        shape = random_shape(r, x.size)
        return x.reshape(shape) if len(shape) <= 4 else None
    if k < 0.8:
        return jnp.flip(x, axis)
    if k < 0.85:
        n = x.shape[axis]
        return lax.slice_in_dim(x, r.randint(0, n - 1), n, r.choice([1, 2]), axis)
    if k < 0.89:
        return jnp.concatenate([x, x * 2], axis)
    if k < 0.92:
        return jnp.pad(x, [(r.randint(0, 2), r.randint(0, 2)) for _ in x.shape])
    if k < 0.95:
        return jnp.matmul(x, jnp.full((x.shape[-1], r.choice([1, 3, 8])), 0.3))
    if k < 0.97:
        return jax.nn.softmax(x, axis=axis)
    y = jnp.expand_dims(x, r.randint(0, x.ndim))
    return jnp.broadcast_to(y, tuple(3 if d == 1 else d for d in y.shape))


def random_program(seed: int):
    """``(function, arguments)``, the same for the same seed."""
    r, rng = random.Random(seed), np.random.default_rng(seed)
    sizes = [r.choice([1, 2, 3, 5, 8, 16, 17, 33]) for _ in range(3)]
    shapes = [tuple(r.choice(sizes) for _ in range(r.randint(0, 3))) for _ in range(r.randint(1, 4))]
    args = [rng.standard_normal(s).astype(np.float32) for s in shapes]

    def f(*args):
        dice = random.Random(seed + 1)
        values = list(args)
        for _ in range(dice.randint(3, 25)):
            new = random_step(dice, values)
            if new is not None and new.size <= 50000:
                values.append(new)
        return [values[-1], *dice.sample(values, min(len(values), dice.randint(1, 3)))]

    return f, args
