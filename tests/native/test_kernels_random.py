"""Threefry kernels against jax.random."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32
from native_programs import call_kernel, isas, table

BITS = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("width", BITS)
@pytest.mark.parametrize("n", [0, 1, 2, 31, 64, 1000, 50_001])
def test_bits(isa, width, n):
    key = np.array([123456789, 987654321], np.uint32)
    with jax.enable_x64(True):
        expected = np.asarray(jax.random.bits(jax.random.wrap_key_data(key), (n,), BITS[width]))
    got = call_kernel(f"threefry_bits_{width}", [key], [((n,), BITS[width])], table(n, 1, 0), isa)[0]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", isas())
def test_bits_of_many_keys(isa):
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(3), 37)))
    expected = np.asarray(jax.vmap(lambda k: jax.random.bits(k, (53,)))(jax.random.wrap_key_data(jnp.asarray(keys))))
    got = call_kernel("threefry_bits_32", [keys], [((37, 53), np.uint32)], table(53, 37, 0), isa)[0]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", isas())
def test_counters_beyond_32_bits(isa):
    key = np.array([1, 2], np.uint32)
    first = 2**32 - 40
    got = call_kernel("threefry_bits_64", [key], [((100,), np.uint64)], table(100, 1, first), isa)[0]
    counters = np.arange(first, first + 100, dtype=np.uint64)
    hi, lo = (counters >> np.uint64(32)).astype(np.uint32), counters.astype(np.uint32)
    y0, y1 = call_kernel(
        "threefry2x32", [key[0], key[1], hi, lo], [((100,), np.uint32)] * 2, table(100, 0, 0, 1, 1), isa
    )
    np.testing.assert_array_equal(got, y0.astype(np.uint64) << np.uint64(32) | y1)


@pytest.mark.parametrize("isa", isas())
def test_split(isa):
    got = call_kernel("threefry_split", [np.zeros(2, np.uint32)], [((2, 2), np.uint32)], table(2, 1), isa)[0]
    assert got.tolist() == [[1797259609, 2579123966], [928981903, 3453687069]]
    expected = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(42), 1001)))
    got = call_kernel("threefry_split", [np.array([0, 42], np.uint32)], [((1001, 2), np.uint32)], table(1001, 1), isa)[
        0
    ]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", isas())
def test_hash(isa):
    rng = np.random.default_rng(0)
    key = rng.integers(0, 2**32, 2, np.uint32)
    x = rng.integers(0, 2**32, (2, 500), np.uint32)
    expected = np.asarray(threefry_2x32(key, x.ravel())).reshape(2, 500)
    y = call_kernel(
        "threefry2x32", [key[0], key[1], x[0], x[1]], [((500,), np.uint32)] * 2, table(500, 0, 0, 1, 1), isa
    )
    np.testing.assert_array_equal(np.stack(y), expected)
