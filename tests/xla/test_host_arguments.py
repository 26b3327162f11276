"""XLA programs called with ndarrays and numbers of the host."""

import gc
import threading

import jax
import ml_dtypes
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax.engines.xla.client import cpu_client
from addax.sharding import Mesh, NamedSharding, PartitionSpec as P, SingleDeviceSharding


@pytest.fixture(scope="module")
def device():
    return cpu_client(1).devices()[0]


@pytest.fixture(scope="module")
def mesh():
    return Mesh(np.array(cpu_client(8).devices()), ("i",))


PLACES = {"whole": P(), "rows": P("i"), "columns": P(None, "i")}


@pytest.fixture(params=["one device", *PLACES])
def where(request, device, mesh):
    """Where a program of arrays of shape (16, 64) wants its arguments."""
    return SingleDeviceSharding(device) if request.param == "one device" else NamedSharding(mesh, PLACES[request.param])


DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128",
    ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ndarrays_of_all_dtypes(device, dtype):
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


def test_results_are_not_the_memory_of_arguments(where):
    """Results that are an argument, or its elements in another shape, keep their values when the next call writes its own."""
    run = addax.jit(lambda x, n: (x, x.T, x.reshape(-1), x[:], n, n[None]), in_shardings=(where, None))
    values = [np.random.default_rng(i).normal(size=(16, 64)).astype(np.float32) for i in range(6)]
    results = [run(x, i) for i, x in enumerate(values)]
    for i, (x, found) in enumerate(zip(values, results, strict=True)):
        for a, b in zip(found, (x, x.T, x.reshape(-1), x, i, [i]), strict=True):
            np.testing.assert_array_equal(a, b)


def test_calls_that_do_not_wait_for_each_other(where):
    """More of them than are staged, each with its own array and number, while the programs before them run."""

    def slow(w, x, n):
        return addax.lax.fori_loop(0, 50, lambda _, w: jnp.tanh(w @ w), w)[0, 0] * 0 + x + n

    run = addax.jit(slow, in_shardings=(None, where, None))
    w, x, expected, results = np.ones((64, 64), np.float32), np.zeros((16, 64), np.float32), [], []
    for i in range(40):
        x[:] = i
        results.append(run(w, x, i))
        expected.append(2 * i)
        if i % 10 == 9:
            x[:] = -1
            addax.block_until_ready(results[-1])
    for found, n in zip(results, expected, strict=True):
        np.testing.assert_array_equal(found, np.full((16, 64), n))


def test_threads_that_call_one_program(where):
    run = addax.jit(lambda x, n: (x + n).sum(), in_shardings=(where, None))
    wrong = []

    def work(k):
        x = np.full((16, 64), k, np.float32)
        for n in range(100):
            if float(run(x, n)) != 1024 * (k + n):
                wrong.append((k, n))

    working = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in working:
        t.start()
    for t in working:
        t.join()
    assert not wrong


def test_results_that_are_donated_or_deleted(device):
    run = addax.jit(lambda s, x: s + x, donate_argnums=0)
    s = addax.device_put(np.zeros(64, np.float32), device)
    for i in range(20):
        s = run(s, np.full(64, i, np.float32))
    np.testing.assert_array_equal(s, np.full(64, 190))
    run = addax.jit(lambda s, x: s + x)
    for i in range(4):
        out = run(s, np.full(64, i, np.float32))
        out.delete()
        assert out.is_deleted()
    np.testing.assert_array_equal(run(s, np.ones(64, np.float32)), np.full(64, 191))


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
