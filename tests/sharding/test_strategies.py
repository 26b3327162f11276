"""The strategies of the seed's table (chapter 6), each equal to the run on one device."""

from __future__ import annotations

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.sharding import Mesh, NamedSharding, PartitionSpec as P

STEPS, RATE, LAYERS, WIDTH, BATCH = 3, 0.1, 8, 8, 32
rng = np.random.default_rng(1)
PARAMS = {
    "w": rng.normal(size=(LAYERS, WIDTH, WIDTH)).astype(np.float32) / WIDTH**0.5,
    "b": rng.normal(size=(LAYERS, WIDTH)).astype(np.float32) / 10,
}
X, Y = (rng.normal(size=(BATCH, WIDTH)).astype(np.float32) for _ in range(2))


def layer(x, w, b):
    return jnp.tanh(x @ w + b)


def model(params, x):
    return lax.scan(lambda x, wb: (layer(x, *wb), None), x, (params["w"], params["b"]))[0]


def loss(params, x, y):
    return ((model(params, x) - y) ** 2).mean()


def descend(params, grads):
    return addax.tree.map(lambda p, g: p - RATE * g, params, grads)


def trained(step, params=PARAMS, x=X, y=Y):
    losses = []
    for _ in range(STEPS):
        value, params = step(params, x, y)
        losses.append(value)
    return np.array(losses), addax.tree.map(np.asarray, params)


@pytest.fixture(scope="module")
def one_device():
    @addax.jit
    def step(params, x, y):
        value, grads = addax.value_and_grad(loss)(params, x, y)
        return value, descend(params, grads)

    return trained(step)


def agree(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    for name, value in expected[1].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-4, atol=1e-5)


def test_data_parallel(line, one_device):
    """The batch is cut; gradients of the shared parameters are summed because they are shared."""

    @addax.jit
    @addax.shard_map(mesh=line, in_specs=(P(), P("i"), P("i")), out_specs=P())
    def step(params, x, y):
        value, grads = addax.value_and_grad(lambda p: lax.pmean(loss(p, x, y), "i"))(params)
        return value, descend(params, grads)

    agree(trained(step), one_device)


def test_data_parallel_unchecked(line, one_device):
    """As with pmap: each device has its own gradients, which are averaged by hand."""

    @addax.jit
    @addax.shard_map(mesh=line, in_specs=(P(), P("i"), P("i")), out_specs=P(), check_vma=False)
    def step(params, x, y):
        value, grads = addax.value_and_grad(loss)(params, x, y)
        return lax.pmean(value, "i"), descend(params, lax.pmean(grads, "i"))

    agree(trained(step), one_device)


def test_tensor_parallel(line, one_device):
    """Weights are cut by columns; activations are gathered after every layer."""

    def part(params, x, y):
        def tp_layer(x, wb):
            return lax.all_gather(layer(x, *wb), "i", axis=1, tiled=True, to="invarying"), None

        out = lax.scan(tp_layer, x, (params["w"], params["b"]))[0]
        return ((out - y) ** 2).mean()

    specs = {"w": P(None, None, "i"), "b": P(None, "i")}
    tp_loss = addax.shard_map(part, mesh=line, in_specs=(specs, P(), P()), out_specs=P())

    @addax.jit
    def step(params, x, y):
        value, grads = addax.value_and_grad(tp_loss)(params, x, y)
        return value, descend(params, grads)

    params = addax.tree.map(lambda p, s: addax.device_put(p, NamedSharding(line, s)), PARAMS, specs)
    agree(trained(step, params), one_device)


def test_pipeline_parallel(line, one_device):
    """GPipe: one layer per device; micro-batches move along the ring, a step each."""
    stages, micro = 8, 4

    def part(params, x, y):
        stage = lax.axis_index("i")
        chunks = x.reshape(micro, BATCH // micro, WIDTH)
        ring = [(k, (k + 1) % stages) for k in range(stages)]

        def tick(carry, t):
            arriving, outs = carry
            mine = jnp.where(stage == 0, chunks[jnp.clip(t, 0, micro - 1)], arriving)
            done = layer(mine, params["w"][0], params["b"][0])
            at = t - (stages - 1)
            last = (stage == stages - 1) & (at >= 0)
            outs = jnp.where(last, outs.at[jnp.clip(at, 0, micro - 1)].set(done), outs)
            return (lax.ppermute(done, "i", ring), outs), None

        empty = jnp.zeros_like(chunks[0]), jnp.zeros_like(chunks)
        (_, outs), _ = lax.scan(tick, empty, jnp.arange(micro + stages - 1))
        error = ((outs.reshape(BATCH, WIDTH) - y) ** 2).mean()
        return lax.psum(jnp.where(stage == stages - 1, error, 0.0), "i")

    piped = addax.shard_map(part, mesh=line, in_specs=(P("i"), P(), P()), out_specs=P())

    @addax.jit
    def step(params, x, y):
        value, grads = addax.value_and_grad(piped)(params, x, y)
        return value, descend(params, grads)

    agree(trained(step), one_device)


def test_fully_sharded_data_parallel(line, one_device):
    """Parameters live cut; each layer is gathered when it is used, and its gradient arrives scattered."""

    def part(params, x, y):
        @addax.checkpoint
        def fsdp_layer(x, wb):
            w, b = (lax.all_gather(p, "i", tiled=True) for p in wb)
            return layer(x, w, b)

        out = lax.scan(lambda x, wb: (fsdp_layer(x, wb), None), x, (params["w"], params["b"]))[0]
        return lax.pmean(((out - y) ** 2).mean(), "i")

    specs = {"w": P(None, "i"), "b": P(None, "i")}
    fsdp = addax.shard_map(part, mesh=line, in_specs=(specs, P("i"), P("i")), out_specs=P())

    @addax.jit
    def step(params, x, y):
        value, grads = addax.value_and_grad(fsdp)(params, x, y)
        return value, descend(params, grads)

    params = addax.tree.map(lambda p, s: addax.device_put(p, NamedSharding(line, s)), PARAMS, specs)
    _, first = step(params, X, Y)
    assert first["w"].addressable_shards[0].data.shape == (LAYERS, WIDTH // 8, WIDTH)
    text = step.lower(params, X, Y).as_text("stablehlo")
    assert "stablehlo.all_gather" in text
    assert "stablehlo.reduce_scatter" in text
    agree(trained(step, params), one_device)


def test_two_at_once(devices, one_device):
    """Data parallel by the partitioner, tensor parallel by hand: partial manual axes."""
    mesh = Mesh(np.array(devices).reshape(2, 4), ("data", "model"))

    def part(params, x):
        def tp_layer(x, wb):
            return lax.all_gather(layer(x, *wb), "model", axis=1, tiled=True, to="invarying"), None

        return lax.scan(tp_layer, x, (params["w"], params["b"]))[0]

    specs = {"w": P(None, None, "model"), "b": P(None, "model")}
    tp_model = addax.shard_map(part, mesh=mesh, in_specs=(specs, P()), out_specs=P(), axis_names={"model"})

    @addax.jit
    def step(params, x, y):
        value, grads = addax.value_and_grad(lambda p: ((tp_model(p, x) - y) ** 2).mean())(params)
        return value, descend(params, grads)

    x, y = addax.device_put((X, Y), NamedSharding(mesh, P("data")))
    agree(trained(step, PARAMS, x, y), one_device)
