"""Keys are values like others: carried by loops, selected, batched, passed through jit."""

from __future__ import annotations

import numpy as np

import addax
import addax.numpy as jnp
import addax.random as jr
from addax import lax


def test_a_loop_may_start_from_a_part_of_an_array_of_keys():
    """The loop wrote into the memory of the whole array, at its start."""

    def f(k):
        first, second = jr.split(k)
        out, _ = lax.while_loop(lambda s: s[1] < 3, lambda s: (jr.split(s[0])[1], s[1] + 1), (second, 0))
        return jr.key_data(out), jr.key_data(first)

    got = addax.jit(f)(jr.key(0))
    with addax.disable_jit():
        want = f(jr.key(0))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(np.asarray(g), np.asarray(w))


def test_a_loop_may_start_from_a_part_of_an_array():
    def f(x):
        y = jnp.cumsum(x)
        out, _ = lax.while_loop(lambda s: s[1] < 3, lambda s: (s[0] * 2, s[1] + 1), (y[1], 0))
        return out, y

    out, y = addax.jit(f)(jnp.arange(4.0))
    assert float(out) == 8.0
    np.testing.assert_array_equal(np.asarray(y), [0, 1, 3, 6])


def test_keys_can_be_selected_and_carried():
    def f(k):
        def body(i, k):
            a, b = jr.split(k)
            return lax.select(i % 2 == 0, a, b)

        return jr.key_data(lax.fori_loop(0, 4, body, k))

    k = jr.key(3)
    want = k
    for i in range(4):
        want = jr.split(want)[i % 2]
    np.testing.assert_array_equal(np.asarray(addax.jit(f)(k)), np.asarray(jr.key_data(want)))
