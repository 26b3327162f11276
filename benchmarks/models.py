"""The models of the benchmarks, written once for addax and JAX: ``model(lib) -> (loss, params, batch)``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np


def _normal(rng, *shape, scale=1.0):
    return (rng.normal(size=shape) * scale / np.sqrt(shape[0])).astype(np.float32)


def mlp(lib) -> tuple[Callable, Any, Any]:
    """784-256-256-10, tanh, batch 128."""
    rng, jnp = np.random.default_rng(0), lib.numpy
    sizes = (784, 256, 256, 10)
    params = [(_normal(rng, m, n), np.zeros(n, np.float32)) for m, n in pairwise(sizes)]
    batch = _normal(rng, 128, 784, scale=10), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 128)]

    def loss(params, batch):
        x, y = batch
        for w, b in params[:-1]:
            x = jnp.tanh(x @ w + b)
        w, b = params[-1]
        return -jnp.mean(jnp.sum(lib.nn.log_softmax(x @ w + b) * y, axis=1))

    return loss, params, batch


def convolutional(lib) -> tuple[Callable, Any, Any]:
    """Two 3x3 convolutions (16, 32 channels) with max pooling, batch 32 of 28x28."""
    rng, jnp, lax = np.random.default_rng(1), lib.numpy, lib.lax
    params = {"k1": _normal(rng, 9, 16).reshape(3, 3, 1, 16), "k2": _normal(rng, 144, 32).reshape(3, 3, 16, 32),
              "w": _normal(rng, 7 * 7 * 32, 10)}  # fmt: skip
    batch = rng.normal(size=(32, 28, 28, 1)).astype(np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 32)]

    def block(x, k):
        x = lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return lax.reduce_window(lib.nn.relu(x), -np.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    def loss(params, batch):
        x, y = batch
        x = block(block(x, params["k1"]), params["k2"]).reshape(x.shape[0], -1)
        return -jnp.mean(jnp.sum(lib.nn.log_softmax(x @ params["w"]) * y, axis=1))

    return loss, params, batch


def recurrent(lib) -> tuple[Callable, Any, Any]:
    """A gated recurrent unit of 64 over 100 steps, batch 16, as a scan."""
    rng, jnp = np.random.default_rng(2), lib.numpy
    params = {k: _normal(rng, 96, 64) for k in ("z", "r", "h")} | {"out": _normal(rng, 64, 1)}
    batch = rng.normal(size=(100, 16, 32)).astype(np.float32), rng.normal(size=(16, 1)).astype(np.float32)

    def loss(params, batch):
        xs, y = batch

        def step(h, x):
            both = jnp.concatenate([x, h], 1)
            z, r = lib.nn.sigmoid(both @ params["z"]), lib.nn.sigmoid(both @ params["r"])
            new = jnp.tanh(jnp.concatenate([x, r * h], 1) @ params["h"])
            return (1 - z) * h + z * new, None

        h, _ = lib.lax.scan(step, jnp.zeros((16, 64)), xs)
        return jnp.mean((h @ params["out"] - y) ** 2)

    return loss, params, batch


def transformer(lib, layers: int = 2, width: int = 128, heads: int = 4, length: int = 64, examples: int = 8):
    """A decoder with pre-normalisation, unrolled over its layers; 64 tokens of a vocabulary of 256."""
    rng, jnp = np.random.default_rng(3), lib.numpy
    vocabulary, deep = 256, width // heads
    params = {
        "embed": _normal(rng, vocabulary, width, scale=5),
        "layers": [
            {"qkv": _normal(rng, width, 3 * width), "proj": _normal(rng, width, width), "up": _normal(rng, width, 4 * width),
             "down": _normal(rng, 4 * width, width), "g1": np.ones(width, np.float32), "g2": np.ones(width, np.float32)}
            for _ in range(layers)
        ],
    }  # fmt: skip
    batch = rng.integers(0, vocabulary, (examples, length + 1)).astype(np.int32)
    causal = np.tril(np.ones((length, length), np.bool_))

    def normalise(x, gain):
        return gain * (x - jnp.mean(x, -1, keepdims=True)) / jnp.sqrt(jnp.var(x, -1, keepdims=True) + 1e-5)

    def layer(x, p):
        h = normalise(x, p["g1"]) @ p["qkv"]
        q, k, v = (y.reshape(*y.shape[:-1], heads, deep) for y in jnp.split(h, 3, axis=-1))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(deep).astype(np.float32)
        weights = lib.nn.softmax(jnp.where(causal, scores, -1e9), axis=-1)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape)
        x = x + mixed @ p["proj"]
        return x + lib.nn.gelu(normalise(x, p["g2"]) @ p["up"]) @ p["down"]

    def loss(params, batch):
        x = params["embed"][batch[:, :-1]]
        for p in params["layers"]:
            x = layer(x, p)
        logits = lib.nn.log_softmax(x @ params["embed"].T)
        return -jnp.mean(jnp.take_along_axis(logits, batch[:, 1:, None], axis=-1))

    return loss, params, batch


def pendulum(lib) -> tuple[Callable, Any, Any]:
    """A chain of 32 pendulums integrated over 200 steps of the leapfrog method: many small equations."""
    rng, jnp = np.random.default_rng(4), lib.numpy
    params = {"angle": rng.normal(size=32).astype(np.float32), "coupling": np.float32(0.5)}

    def loss(params, batch):
        def force(a):
            return -jnp.sin(a) + params["coupling"] * (jnp.roll(a, 1) - 2 * a + jnp.roll(a, -1))

        def step(state, _):
            a, v = state
            v = v + 0.01 * force(a)
            return (a + 0.01 * v, v), None

        (a, v), _ = lib.lax.scan(step, (params["angle"], jnp.zeros(32)), None, length=200)
        return jnp.sum(a**2 + v**2)

    return loss, params, np.float32(0)


MODELS = {
    "mlp 784-256-256-10": mlp,
    "two convolutions": convolutional,
    "gru, 100 steps": recurrent,
    "transformer, 2 layers": transformer,
    "pendulums, 200 steps": pendulum,
}
