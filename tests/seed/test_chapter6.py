"""The snippets of "Thinking in JAX", chapter 6, verbatim but for their imports, on 8 virtual devices.

The number of devices is fixed when a process first uses them, so these run in one of their own.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import numpy as np
import addax as jax
jax.config.update("jax_num_cpu_devices", 8)
import addax.numpy as jnp

weights = np.arange(4 * 8, dtype=np.float32).reshape(4, 8)

# --- The Sharding Model
from addax.sharding import Mesh, PartitionSpec, NamedSharding
from addax.experimental import mesh_utils

# Create a 2D mesh of devices: 2 data-parallel x 4 model-parallel
devices = mesh_utils.create_device_mesh((2, 4))
mesh = Mesh(devices, axis_names=('data', 'model'))

# Shard a weight matrix: replicate along data, split along model
sharding = NamedSharding(mesh, PartitionSpec(None, 'model'))
sharded_w = jax.device_put(weights, sharding)

np.testing.assert_array_equal(sharded_w, weights)
assert sharded_w.sharding is sharding
assert {s.data.shape for s in sharded_w.addressable_shards} == {(4, 2)}
assert [s.replica_id for s in sharded_w.addressable_shards].count(0) == 4
print("sharding ok")

# --- pmap: each device gets one shard of the batch
def loss_fn(params, batch):
    x, y = batch
    return jnp.mean((x @ params - y) ** 2)

@jax.pmap
def train_step(params, batch):
    loss, grads = jax.value_and_grad(loss_fn)(params, batch)
    grads = jax.lax.pmean(grads, axis_name='devices')
    return params - 0.01 * grads, loss

n = jax.local_device_count()
rng = np.random.default_rng(0)
x, y = rng.normal(size=(n, 16, 3)).astype(np.float32), rng.normal(size=(n, 16)).astype(np.float32)
start = rng.normal(size=3).astype(np.float32)
params = jnp.stack([start] * n)  # each device has its copy
for _ in range(3):
    params, loss = train_step(params, (x, y))
assert n == 8 and params.shape == (8, 3) and loss.shape == (8,)
assert len(params.sharding.device_set) == 8

# The same steps on one device, over the whole batch.
whole = start
for _ in range(3):
    losses = [loss_fn(whole, (x[i], y[i])) for i in range(n)]
    whole = whole - 0.01 * jax.grad(loss_fn)(whole, (x.reshape(-1, 3), y.reshape(-1)))
for copy in params:
    np.testing.assert_allclose(copy, whole, rtol=1e-5)
np.testing.assert_allclose(loss, losses, rtol=1e-5)
print("pmap ok")

# --- The strategies of the table are in tests/sharding; this is data parallelism by sharding alone.
batch_sharding = NamedSharding(mesh, PartitionSpec('data'))
xs, ys = jax.device_put((x.reshape(-1, 3), y.reshape(-1)), batch_sharding)
step = jax.jit(lambda p, b: p - 0.01 * jax.grad(loss_fn)(p, b))
params = start
for _ in range(3):
    params = step(params, (xs, ys))
np.testing.assert_allclose(params, whole, rtol=1e-5)
print("jit ok")
"""


@pytest.fixture(scope="module")
def output():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize("part", ["sharding", "pmap", "jit"])
def test_snippet(output, part):
    stdout, stderr = output
    assert f"{part} ok" in stdout, stderr
