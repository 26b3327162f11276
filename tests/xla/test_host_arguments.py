"""Programs for one XLA device, called with ndarrays."""

import gc

import jax
import ml_dtypes
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax.engines.xla.client import cpu_client
from addax.sharding import SingleDeviceSharding


@pytest.fixture(scope="module")
def device():
    return cpu_client(1).devices()[0]


DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128",
    ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ndarrays_go_with_the_call(device, dtype):
    with addax.enable_x64(True):
        y = np.array([0, 1, 3, 0, 1, 2]).astype(dtype)
        x = addax.device_put(y, device)
        run = addax.jit(lambda x, y: (jnp.where(x == y, y, 0), y.reshape(2, 3)))
        for args in [(x, y), (x, x), (y, x), (x, y), (x, y[::-1])]:
            same, y_out = run(*args)
            assert same.sharding == y_out.sharding == SingleDeviceSharding(device)
            assert y_out.dtype == args[1].dtype
            np.testing.assert_array_equal(np.asarray(y_out), np.asarray(args[1]).reshape(2, 3))
            a, b = (np.asarray(v) for v in args)
            np.testing.assert_array_equal(np.asarray(same), np.where(a == b, b, np.zeros_like(b)))


def test_what_is_written_to_an_ndarray_after_the_call_does_not_show(device):
    run = addax.jit(lambda w, y: jnp.tanh(w @ w @ w)[0, 0] * 0 + y)
    w = addax.device_put(np.ones((600, 600), np.float32), device)
    for offset in range(4):  # aligned as XLA could use it in place, and not
        y = np.ones(4096 + offset, np.float32)[offset:]
        run(w, y)
        out = run(w, y)
        y[:] = 2
        np.testing.assert_array_equal(out, np.ones(4096, np.float32))


def test_donated_and_captured_arrays(device):
    table = addax.device_put(np.arange(4, dtype=np.float32), device)
    run = addax.jit(lambda x, y: x + y + table, donate_argnums=(0, 1))
    for _ in range(3):
        x, y = addax.device_put(np.ones(4, np.float32), device), np.full(4, 2, np.float32)
        np.testing.assert_array_equal(run(x, y), [3, 4, 5, 6])
        np.testing.assert_array_equal(y, [2, 2, 2, 2])
        assert x.is_deleted()


def test_an_array_that_was_made_on_the_host_is_sent_once(device):
    run = addax.jit(lambda x, y: x + y)
    x, y = addax.device_put(np.ones(4, np.float32), device), jnp.arange(4.0)
    assert y.sharding != x.sharding
    np.testing.assert_array_equal(run(x, y), [1, 2, 3, 4])
    assert y.sharding == x.sharding
    np.testing.assert_array_equal(run(x, y), [1, 2, 3, 4])


def test_random_keys_of_the_host(device):
    draw = addax.jit(lambda x, key: x + addax.random.normal(key, (4,)))
    x, key = addax.device_put(np.zeros(4, np.float32), device), addax.random.key(3)
    np.testing.assert_array_equal(draw(x, key), addax.random.normal(key, (4,)))


def test_beside_jax_whatever_its_options(device):
    x = addax.device_put(np.ones(4, np.float32), device)
    run = addax.jit(lambda x, y: x + y)
    for y in [np.full(4, 2, np.float32), np.full(4, 3, np.float32)]:
        expected = np.ones(4) + y
        with jax.enable_x64(True):
            np.testing.assert_array_equal(run(x, y), expected)
        with jax.disable_jit():
            np.testing.assert_array_equal(run(x, y), expected)
        np.testing.assert_array_equal(run(x, y), expected)


def test_nothing_keeps_the_results(device):
    run = addax.jit(lambda x, y: x + y)
    x, y = addax.device_put(np.ones(1 << 20, np.float32), device), np.ones(1 << 20, np.float32)
    addax.block_until_ready(run(x, y))
    gc.collect()
    before = len(device.client.live_arrays())
    for _ in range(5):
        addax.block_until_ready(run(x, y))
    gc.collect()
    assert len(device.client.live_arrays()) == before
