"""Data-parallel training, run by every process of test_processes.py: the losses must be those of one process alone."""

import os
import sys
import time

import numpy as np

import addax
import addax.numpy as jnp
from addax.experimental import multihost_utils
from addax.sharding import Mesh, NamedSharding, PartitionSpec as P

mode = sys.argv[1]
if mode != "alone":
    addax.distributed.initialize(
        initialization_timeout=60, stall_timeout=float(sys.argv[2]) if len(sys.argv) > 2 else 60
    )
rank, count = addax.process_index(), addax.process_count()
mesh = Mesh(np.array(addax.devices()), ("data",))
rng = np.random.default_rng(0)
batches = rng.normal(size=(4, 16, 8)).astype(np.float32)
params = {"w": jnp.asarray(rng.normal(size=(8, 4)).astype(np.float32)), "b": jnp.zeros(4)}


def loss_fn(p, x):
    return jnp.mean(jnp.tanh(x @ p["w"] + p["b"]) ** 2)


@addax.jit
def step(p, x):
    loss, grads = addax.value_and_grad(loss_fn)(p, x)
    return addax.tree.map(lambda p, g: p - 0.1 * g, p, grads), loss


losses = []
for i, whole in enumerate(batches):
    if i == 2 and rank == count - 1 and mode == "die":
        os._exit(9)
    if i == 2 and rank == count - 1 and mode == "stall":
        time.sleep(60)
    part = np.split(whole, count)[rank]
    batch = addax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), part, whole.shape)
    params, loss = step(params, batch)
    losses.append(float(loss))
if count > 1:
    multihost_utils.sync_global_devices("end")
    multihost_utils.assert_equal(losses)
    everyone = multihost_utils.process_allgather(np.float32(rank))
    assert everyone.tolist() == list(range(count)), everyone
    assert multihost_utils.broadcast_one_to_all(np.float32(rank + 5)) == 5
    np.testing.assert_array_equal(multihost_utils.process_allgather(batch, tiled=True), batches[-1])
if rank == 0:
    print("losses", " ".join(f"{x:.6f}" for x in losses), flush=True)
