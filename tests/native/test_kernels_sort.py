"""Sort and top-k kernels against jax.lax."""

from __future__ import annotations

import jax
import ml_dtypes
import numpy as np
import pytest
from native_programs import call_kernel, table

TYPES = {
    np.int32: 0, np.int64: 1, np.uint32: 2, np.uint64: 3, np.int8: 4, np.int16: 5, np.uint8: 6, np.uint16: 7, np.float32: 8,
    np.float64: 9, np.float16: 10, ml_dtypes.bfloat16: 11, np.complex64: 12, np.complex128: 13, np.bool_: 14,
}  # fmt: skip
IOTA = 64


def values(dtype, shape, seed=0, special=True):
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    x = rng.standard_normal(shape)
    if special:
        x = np.where(rng.random(shape) < 0.4, rng.choice([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0], shape), x)
    if dtype.kind == "c":
        z = np.empty(shape, dtype)
        z.real, z.imag = np.round(x), x[..., ::-1]
        return z
    return x.astype(dtype)


def bits(x):
    return np.ascontiguousarray(x).view(np.uint8)


def sort(operands, num_keys, iota=()):
    rows, n = operands[0].shape
    codes = [TYPES[x.dtype.type] + (IOTA if i in iota else 0) for i, x in enumerate(operands)]
    return call_kernel(
        "sort", operands, [(x.shape, x.dtype) for x in operands], table(rows, n, len(operands), num_keys, codes)
    )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("shape", [(3, 1), (7, 10), (5, 24), (4, 100), (3, 500), (2, 3000), (1, 70_000)])
def test_single_and_argsort(dtype, special, shape):
    x = values(dtype, shape, special=special)
    position = np.broadcast_to(np.arange(shape[1], dtype=np.int32), shape).copy()
    with jax.enable_x64(True):
        want, order = (np.asarray(y) for y in jax.lax.sort((x, position), dimension=1, is_stable=True, num_keys=1))
    np.testing.assert_array_equal(bits(sort([x], 1)[0]), bits(want))
    for iota in ((), (1,)):
        y, got = sort([x, position], 1, iota)
        np.testing.assert_array_equal(got, order)
        np.testing.assert_array_equal(bits(y), bits(want))


@pytest.mark.parametrize("num_keys", [1, 2, 3])
@pytest.mark.parametrize("n", [9, 200, 5000])
def test_many_keys_and_operands(num_keys, n):
    rng = np.random.default_rng(0)
    shape = (3, n)
    operands = [
        rng.integers(0, 3, shape, np.int8),
        rng.choice([0.0, -0.0, np.nan, 1.0], shape).astype(np.float32),
        rng.integers(0, 5, shape).astype(np.float64),
        values(np.complex128, shape),
        rng.integers(0, 1000, shape, np.uint16),
    ]
    with jax.enable_x64(True):
        want = jax.lax.sort(operands, dimension=1, is_stable=True, num_keys=num_keys)
    for got, w in zip(sort(operands, num_keys), want, strict=True):
        np.testing.assert_array_equal(bits(got), bits(np.asarray(w)))


@pytest.mark.parametrize("kind", ["sorted", "reversed", "constant", "few values", "high bits"])
def test_patterns(kind):
    n = 100_000
    x = {
        "sorted": np.arange(n),
        "reversed": np.arange(n)[::-1],
        "constant": np.full(n, 7),
        "few values": np.random.default_rng(0).integers(0, 3, n),
        "high bits": np.random.default_rng(0).integers(0, 100, n) << 24,
    }[kind].astype(np.int32)[None]
    np.testing.assert_array_equal(sort([x], 1)[0], np.sort(x))
    order = sort([x, x], 1, iota=(1,))[1]
    np.testing.assert_array_equal(order, np.argsort(x, kind="stable"))


def test_empty():
    assert sort([np.zeros((0, 5), np.float32)], 1)[0].shape == (0, 5)
    assert sort([np.zeros((5, 0), np.float32)], 1)[0].shape == (5, 0)


@pytest.mark.parametrize("dtype", [t for t in TYPES if t not in (np.complex64, np.complex128, np.bool_)])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (10, 10), (100, 3), (5000, 7), (5000, 3000), (40_000, 1)])
def test_top_k(dtype, n, k):
    x = values(dtype, (4, n))
    with jax.enable_x64(True):
        want, order = (np.asarray(y) for y in jax.lax.top_k(x, k))
    for wide in (False, True):
        tab = table(4, n, k, TYPES[x.dtype.type], wide)
        y, got = call_kernel("top_k", [x], [((4, k), x.dtype), ((4, k), np.int64 if wide else np.int32)], tab)
        np.testing.assert_array_equal(got, order)
        np.testing.assert_array_equal(bits(y), bits(want))
