"""Initializers: functions ``(key, shape, dtype) -> array`` for the parameters of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import numpy as jnp, random
from addax.core import dtypes

Initializer = Callable[..., Any]


def _dtype(dtype):
    return dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "initializer")


def zeros(key, shape, dtype=None, out_sharding=None):
    """An array of zeros; the key is ignored."""
    return jnp.zeros(shape, _dtype(dtype))


def ones(key, shape, dtype=None, out_sharding=None):
    """An array of ones; the key is ignored."""
    return jnp.ones(shape, _dtype(dtype))


def constant(value, dtype=None) -> Initializer:
    """An initializer that fills with ``value``."""

    def init(key, shape, dtype=dtype, out_sharding=None):
        return jnp.full(shape, value, _dtype(dtype))

    return init


def uniform(scale=1e-2, dtype=None) -> Initializer:
    """Uniform in ``[0, scale)``."""

    def init(key, shape, dtype=dtype, out_sharding=None):
        return random.uniform(key, shape, _dtype(dtype)) * jnp.array(scale, _dtype(dtype))

    return init


def normal(stddev=1e-2, dtype=None) -> Initializer:
    """Normal with mean 0 and the given standard deviation."""

    def init(key, shape, dtype=dtype, out_sharding=None):
        return random.normal(key, shape, _dtype(dtype)) * jnp.array(stddev, _dtype(dtype))

    return init


def truncated_normal(stddev=1e-2, dtype=None, lower=-2.0, upper=2.0) -> Initializer:
    """Normal numbers between ``lower`` and ``upper``, times ``stddev``."""

    def init(key, shape, dtype=dtype, out_sharding=None):
        return random.truncated_normal(key, lower, upper, shape, _dtype(dtype)) * jnp.array(stddev, _dtype(dtype))

    return init


def _fans(shape: Sequence[int], in_axis, out_axis, batch_axis) -> tuple[float, float]:
    if len(shape) <= 1:
        raise ValueError(
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor. Must be at least 2D."
        )

    def size(axes) -> int:
        axes = axes if isinstance(axes, Sequence) else (axes,)
        return math.prod(shape[a] for a in axes)

    receptive = math.prod(shape) / size(in_axis) / size(out_axis) / size(batch_axis)
    return size(in_axis) * receptive, size(out_axis) * receptive


def variance_scaling(
    scale, mode: str, distribution: str, in_axis=-2, out_axis=-1, batch_axis: Sequence[int] = (), dtype=None
) -> Initializer:
    """Variance ``scale / n``, n being the number of inputs ("fan_in"), outputs ("fan_out") or their mean ("fan_avg").

    Source: Glorot and Bengio, 2010; He et al., 2015; LeCun et al., 1998.

    >>> import addax
    >>> init = addax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")
    >>> init(addax.random.key(0), (64, 32)).shape
    (64, 32)
    """

    def init(key, shape, dtype=dtype, out_sharding=None):
        dtype = _dtype(dtype)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        try:
            count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2,
                     "fan_geo_avg": (fan_in * fan_out) ** 0.5}[mode]  # fmt: skip
        except KeyError:
            raise ValueError(f"invalid mode for variance scaling initializer: {mode}") from None
        variance = np.asarray(scale / count, dtype)[()]
        if distribution == "truncated_normal":
            # A standard normal cut at 2 has this standard deviation.
            stddev = jnp.sqrt(variance) / np.asarray(0.87962566103423978, dtype)[()]
            return random.truncated_normal(key, -2, 2, shape, dtype) * stddev
        if distribution == "normal":
            return random.normal(key, shape, dtype) * jnp.sqrt(variance)
        if distribution == "uniform":
            return random.uniform(key, shape, dtype, -1.0) * jnp.sqrt(3 * variance)
        raise ValueError(f"invalid distribution for variance scaling initializer: {distribution}")

    return init


def _scaled(scale, mode, distribution):
    def make(in_axis=-2, out_axis=-1, batch_axis: Sequence[int] = (), dtype=None) -> Initializer:
        return variance_scaling(scale, mode, distribution, in_axis, out_axis, batch_axis, dtype)

    make.__doc__ = f"`variance_scaling` with scale {scale}, {mode}, {distribution}."
    return make


glorot_uniform = xavier_uniform = _scaled(1.0, "fan_avg", "uniform")
glorot_normal = xavier_normal = _scaled(1.0, "fan_avg", "truncated_normal")
lecun_uniform = _scaled(1.0, "fan_in", "uniform")
lecun_normal = _scaled(1.0, "fan_in", "truncated_normal")
he_uniform = kaiming_uniform = _scaled(2.0, "fan_in", "uniform")
he_normal = kaiming_normal = _scaled(2.0, "fan_in", "truncated_normal")
