"""The four strategies for training on several devices, on one small model: each takes the same step as one device does.

Run it: ``python examples/parallel.py`` (8 virtual devices of this machine's CPU).

* data parallel: the batch is cut over the devices; every device has all parameters.
* tensor (model) parallel: the weights of each layer are cut, alternately by columns and by rows (Megatron-LM, Shoeybi et
  al. 2019), so that one sum per pair of layers is all that is exchanged.
* FSDP: batch and parameters are cut over the same axis; each layer's weights are gathered when they are used, and the
  gradients and the optimizer's state stay cut (ZeRO, Rajbhandari et al. 2020).
* pipeline: each device holds some of the layers and hands its results on; the batch goes through in micro-batches (GPipe,
  Huang et al. 2019).

The first three differ in nothing but the shardings of parameters and batch: the compiler finds the communication.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import addax
import addax.numpy as jnp
from addax import lax
from addax.sharding import Mesh, NamedSharding, PartitionSpec as P

LAYERS, WIDTH, HIDDEN, BATCH, MOMENTUM, RATE = 8, 16, 32, 32, 0.9, 0.05


# --- The model: a stack of equal residual layers, and one step of SGD with momentum ---


def init(key):
    """Parameters (with a leading axis of layers) and the optimizer's state."""
    up, down = addax.random.split(key)
    params = {
        "up": addax.random.normal(up, (LAYERS, WIDTH, HIDDEN)) * 0.1,
        "down": addax.random.normal(down, (LAYERS, HIDDEN, WIDTH)) * 0.1,
    }
    return params, addax.tree.map(jnp.zeros_like, params)


def layer(p, x):
    return x + jnp.tanh(x @ p["up"]) @ p["down"]


def forward(params, x):
    return lax.scan(lambda h, p: (layer(p, h), None), x, params)[0]


def loss_fn(params, batch):
    x, y = batch
    return jnp.mean((forward(params, x) - y) ** 2)


def step_of(loss):
    """One step of training that reduces ``loss(params, batch)``."""

    def step(params, velocity, batch):
        value, grads = addax.value_and_grad(loss)(params, batch)
        velocity = addax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, grads)
        return addax.tree.map(lambda p, v: p - RATE * v, params, velocity), velocity, value

    return step


train_step = step_of(loss_fn)


def make_batch(seed: int):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(BATCH, WIDTH)).astype(np.float32)
    return x, np.roll(x, 1, axis=1)


# --- The strategies: where parameters and batches are ---


class Strategy(NamedTuple):
    """A step of training, and the shardings of parameters (and optimizer state) and of the batch; None for anywhere."""

    step: Callable
    params: Any
    batch: Any

    def compiled(self):
        """The state stays where it is from step to step, and its memory is used again."""
        where = None if self.params is None else (self.params, self.params, None)
        return addax.jit(self.step, out_shardings=where, donate_argnums=(0, 1))


def one_device(devices=None) -> Strategy:
    return Strategy(train_step, None, None)


def data_parallel(devices) -> Strategy:
    mesh = Mesh(np.array(devices), ("data",))
    return Strategy(train_step, NamedSharding(mesh, P()), NamedSharding(mesh, P("data")))


def tensor_parallel(devices) -> Strategy:
    mesh = Mesh(np.array(devices).reshape(-1, min(4, len(devices))), ("data", "model"))
    params = {
        "up": NamedSharding(mesh, P(None, None, "model")),  # columns: each device makes its own hidden units,
        "down": NamedSharding(mesh, P(None, "model", None)),  # rows: and adds what they contribute
    }
    return Strategy(train_step, params, NamedSharding(mesh, P("data")))


def fsdp(devices) -> Strategy:
    mesh = Mesh(np.array(devices), ("fsdp",))
    cut = NamedSharding(mesh, P(None, "fsdp"))
    return Strategy(train_step, {"up": cut, "down": cut}, NamedSharding(mesh, P("fsdp")))


def pipeline(devices, micro_batches: int = 8) -> Strategy:
    """GPipe: at tick t stage s works on micro-batch t - s, then all hand their results to the next stage."""
    mesh = Mesh(np.array(devices), ("stage",))
    stages = len(devices)
    hand_on = [(s, s + 1) for s in range(stages - 1)]

    @functools.partial(addax.shard_map, mesh=mesh, in_specs=(P("stage"), P()), out_specs=P("stage"), check_vma=False)
    def through(params, micro):
        stage = lax.axis_index("stage")

        def tick(carry, t):
            arrived, done = carry
            x = jnp.where(stage == 0, micro[jnp.clip(t, 0, micro_batches - 1)], arrived)
            y = forward(params, x)
            i = t - (stages - 1)  # the micro-batch that the last stage has finished now
            kept = jnp.where(i >= 0, y, done[jnp.maximum(i, 0)])
            done = done.at[jnp.maximum(i, 0)].set(kept)
            return (lax.ppermute(y, "stage", hand_on), done), None

        start = (jnp.zeros_like(micro[0]), jnp.zeros_like(micro))
        (_, done), _ = lax.scan(tick, start, jnp.arange(micro_batches + stages - 1))
        return done[None]  # only the last stage's are the results

    def loss(params, batch):
        x, y = batch
        out = through(params, x.reshape(micro_batches, -1, x.shape[-1]))[-1]
        return jnp.mean((out.reshape(x.shape) - y) ** 2)

    return Strategy(step_of(loss), NamedSharding(mesh, P("stage")), NamedSharding(mesh, P()))


STRATEGIES = {"data parallel": data_parallel, "tensor parallel": tensor_parallel, "FSDP": fsdp, "pipeline": pipeline}


def train(strategy: Strategy, steps: int = 5):
    """The losses, and the parameters after the last step."""
    params, velocity = (addax.device_put(t, strategy.params) for t in init(addax.random.key(0)))
    step = strategy.compiled()
    losses = []
    for i in range(steps):
        params, velocity, loss = step(params, velocity, addax.device_put(make_batch(i), strategy.batch))
        losses.append(float(loss))
    return losses, params


def main() -> None:
    addax.config.update("addax_num_cpu_devices", 8)
    losses, params = train(one_device())
    print(f"{'one device':16s} losses {np.round(losses, 6)}")
    for name, strategy in STRATEGIES.items():
        got, placed = train(strategy(addax.devices()))
        worst = max(float(np.abs(np.asarray(placed[k]) - np.asarray(params[k])).max()) for k in params)
        share = placed["up"].addressable_shards[0].data.nbytes / placed["up"].nbytes
        print(f"{name:16s} losses {np.round(got, 6)}  parameters differ by {worst:.1e}, {share:.0%} of them per device")
        np.testing.assert_allclose(got, losses, rtol=1e-4)


if __name__ == "__main__":
    main()
