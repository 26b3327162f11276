"""`ragged_all_to_all` over devices and examples, against its definition."""

from __future__ import annotations

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.sharding import PartitionSpec as P

rng = np.random.default_rng(0)
N, ROWS, RESULT = 8, 20, 30
SIZES = rng.integers(0, 4, (N, N)).astype(np.int32)  # from, to
STARTS = rng.integers(0, ROWS - 4, (N, N)).astype(np.int32)
TARGETS = np.cumsum(SIZES, axis=0).astype(np.int32) - SIZES  # side by side, in the order of the senders
X = rng.normal(size=(N, ROWS, 3)).astype(np.float32)


def definition(x):
    out = np.full((N, RESULT, 3), -1, np.float32)
    for i in range(N):
        for j in range(N):
            n, a, b = SIZES[i, j], STARTS[i, j], TARGETS[i, j]
            out[j, b : b + n] = x[i, a : a + n]
    return out


def exchange(x, starts, sizes, targets, received):
    return lax.ragged_all_to_all(x, jnp.full((RESULT, 3), -1.0), starts, sizes, targets, received, axis_name="i")


TABLES = (STARTS, SIZES, TARGETS, np.ascontiguousarray(SIZES.T))


def test_devices_and_examples_exchange_rows(line):
    @addax.shard_map(mesh=line, in_specs=(P("i"),) * 5, out_specs=P("i"))
    def over_devices(*parts):
        return exchange(*(p[0] for p in parts))[None]

    mapped = addax.vmap(exchange, axis_name="i")
    for f in (over_devices, mapped):
        np.testing.assert_array_equal(np.asarray(addax.jit(f)(X, *TABLES)), definition(X))
        w = np.cos(np.arange(N * RESULT * 3, dtype=np.float32)).reshape(N, RESULT, 3)
        slope = addax.jit(addax.grad(lambda x, f=f, w=w: (f(x, *TABLES) * w).sum()))(X)
        step = 0.5 * rng.normal(size=X.shape).astype(np.float32)
        expected = ((definition(X + step) - definition(X)) * w).sum()  # it is linear
        np.testing.assert_allclose((np.asarray(slope) * step).sum(), expected, rtol=1e-4, atol=1e-3)


def test_what_does_not_fit_is_named():
    def call(table):
        return addax.vmap(lambda x, t: lax.ragged_all_to_all(x, x, t, t, t, t, axis_name="i"), axis_name="i")(X, table)

    with pytest.raises(
        ValueError, match=r"input_offsets must be one integer for each of the 8 members of axis 'i', got"
    ):
        call(STARTS[:, :3])
    with pytest.raises(ValueError, match="the same shape but for their rows"):
        addax.vmap(lambda x: lax.ragged_all_to_all(x, x[:, :1], x, x, x, x, axis_name="i"), axis_name="i")(X)
