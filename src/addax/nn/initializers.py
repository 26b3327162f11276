"""Initializers: functions ``(key, shape, dtype) -> array`` for the parameters of a network."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import lax, numpy as jnp, random
from addax.core import dtypes
from addax.numpy.creation import placed

Initializer = Callable[..., Any]


def _dtype(dtype):
    return dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "initializer")


def _placed(init: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: ``out_sharding``, the last argument, says where the new array shall be."""
    make = placed(init)

    @functools.wraps(init)
    def initializer(key, shape, *args, **kwargs):
        if len(args) == 2:
            return make(key, shape, args[0], out_sharding=args[1], **kwargs)
        return make(key, shape, *args, **kwargs)

    return initializer


@_placed
def zeros(key, shape, dtype=None, out_sharding=None):
    """An array of zeros; the key is ignored."""
    return jnp.zeros(shape, _dtype(dtype))


@_placed
def ones(key, shape, dtype=None, out_sharding=None):
    """An array of ones; the key is ignored."""
    return jnp.ones(shape, _dtype(dtype))


def constant(value, dtype=None) -> Initializer:
    """An initializer that fills with ``value``."""

    @_placed
    def init(key, shape, dtype=dtype, out_sharding=None):
        return jnp.full(shape, value, _dtype(dtype))

    return init


def uniform(scale=1e-2, dtype=None) -> Initializer:
    """Uniform in ``[0, scale)``."""

    @_placed
    def init(key, shape, dtype=dtype, out_sharding=None):
        return random.uniform(key, shape, _dtype(dtype)) * jnp.array(scale, _dtype(dtype))

    return init


def normal(stddev=1e-2, dtype=None) -> Initializer:
    """Normal with mean 0 and the given standard deviation."""

    @_placed
    def init(key, shape, dtype=dtype, out_sharding=None):
        return random.normal(key, shape, _dtype(dtype)) * jnp.array(stddev, _dtype(dtype))

    return init


def truncated_normal(stddev=1e-2, dtype=None, lower=-2.0, upper=2.0) -> Initializer:
    """Normal numbers between ``lower`` and ``upper``, times ``stddev``."""

    @_placed
    def init(key, shape, dtype=dtype, out_sharding=None):
        return random.truncated_normal(key, lower, upper, shape, _dtype(dtype)) * jnp.array(stddev, _dtype(dtype))

    return init


def _fans(shape: Sequence[int], in_axis, out_axis, batch_axis) -> tuple[float, float]:
    if len(shape) <= 1:
        raise ValueError(
            f"Can't compute input and output sizes of a {len(shape)}-dimensional weights tensor of shape {tuple(shape)}. "
            "Must be at least 2D."
        )

    def size(axes) -> int:
        axes = axes if isinstance(axes, Sequence) else (axes,)
        return math.prod(shape[a] for a in axes)

    receptive = math.prod(shape) / size(in_axis) / size(out_axis) / size(batch_axis)
    return size(in_axis) * receptive, size(out_axis) * receptive


_STDDEV = 0.87962566103423978  # of a normal number that is cut at 2
_COMPLEX_STDDEV = math.sqrt((1 - 5 * math.exp(-4)) / (1 - math.exp(-4)))  # of a complex one, cut at modulus 2


def _disc(key, shape, dtype, truncated: bool):
    """Complex numbers of random argument: normal ones of modulus below 2, or uniform ones in the disc of radius sqrt 2."""
    k_modulus, k_argument = random.split(key)
    part = np.finfo(dtype).dtype
    u = random.uniform(k_modulus, shape, part)
    modulus = jnp.sqrt(-jnp.log(1 - (1 - math.exp(-4)) * u) if truncated else 2 * u)
    argument = 2 * math.pi * random.uniform(k_argument, shape, part)
    return lax.complex(modulus * jnp.cos(argument), modulus * jnp.sin(argument)).astype(dtype)


def variance_scaling(
    scale, mode: str, distribution: str, in_axis=-2, out_axis=-1, batch_axis: Sequence[int] = (), dtype=None
) -> Initializer:
    """Variance ``scale / n``, n being the number of inputs ("fan_in"), outputs ("fan_out") or their mean ("fan_avg").

    Args:
      mode: "fan_in", "fan_out", "fan_avg", or "fan_geo_avg" for the geometric mean.
      distribution: "normal", "truncated_normal" (cut at two standard deviations) or "uniform".
      in_axis, out_axis, batch_axis: dimensions of inputs, outputs and independent weights; the others are the
        receptive field, which counts for both.

    Complex weights have the variance named above as the mean of ``|w|^2``. (In JAX, truncated complex ones come out 1%
    larger.)

    Source: Glorot and Bengio, 2010; He et al., 2015; LeCun et al., 1998.

    >>> import addax
    >>> init = addax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")
    >>> init(addax.random.key(0), (64, 32)).shape
    (64, 32)
    """

    @_placed
    def init(key, shape, dtype=dtype, out_sharding=None):
        dtype = _dtype(dtype)
        fan_in, fan_out = _fans(shape, in_axis, out_axis, batch_axis)
        try:
            count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2,
                     "fan_geo_avg": (fan_in * fan_out) ** 0.5}[mode]  # fmt: skip
        except KeyError:
            raise ValueError(f"invalid mode for variance scaling initializer: {mode}") from None
        stddev = jnp.asarray(np.sqrt(scale / count), dtype)
        complex_ = dtypes.issubdtype(dtype, np.complexfloating)
        if distribution == "normal":
            return random.normal(key, shape, dtype) * stddev
        if distribution == "truncated_normal":
            if complex_:
                return _disc(key, shape, dtype, truncated=True) * (stddev / _COMPLEX_STDDEV)
            return random.truncated_normal(key, -2, 2, shape, dtype) * (stddev / _STDDEV)
        if distribution == "uniform":
            if complex_:
                return _disc(key, shape, dtype, truncated=False) * stddev
            return random.uniform(key, shape, dtype, -1.0) * (math.sqrt(3) * stddev)
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


def orthogonal(scale=1.0, column_axis: int = -1, dtype=None) -> Initializer:
    """Random matrices with orthonormal rows or columns, whichever are fewer, times ``scale``.

    Args:
      column_axis: the dimension of the columns; the others together are the rows.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning", 2013.

    >>> import addax, addax.numpy as jnp
    >>> w = addax.nn.initializers.orthogonal()(addax.random.key(0), (5, 3))
    >>> bool(jnp.allclose(w.T @ w, jnp.eye(3), atol=1e-5))
    True
    """

    @_placed
    def init(key, shape, dtype=dtype, out_sharding=None):
        dtype = _dtype(dtype)
        if len(shape) < 2:
            raise ValueError(f"orthogonal initializer requires at least a 2D shape, got {tuple(shape)}")
        columns = shape[column_axis]
        rest = [d for i, d in enumerate(shape) if i != column_axis % len(shape)]
        wide = _factored(dtype)
        q = random.orthogonal(key, math.prod(rest), (), wide, m=columns).reshape(*rest, columns)
        return (jnp.asarray(scale, wide) * jnp.moveaxis(q, -1, column_axis)).astype(dtype)

    return init


def _factored(dtype):
    """The dtype in which matrices of ``dtype`` are factored: float32 for the narrower floats."""
    return dtypes.promote_types(dtype, np.dtype(np.float32))


def delta_orthogonal(scale=1.0, column_axis: int = -1, dtype=None) -> Initializer:
    """Convolution kernels (*spatial, inputs, outputs) that are an orthogonal matrix at the centre and zero elsewhere.

    Raises:
      ValueError: unless there are one to three spatial dimensions and at most as many inputs as outputs.

    Source: Xiao et al., "Dynamical isometry and a mean field theory of CNNs", 2018.

    >>> import addax
    >>> init = addax.nn.initializers.delta_orthogonal()
    >>> init(addax.random.key(0), (3, 3, 4, 4)).shape
    (3, 3, 4, 4)
    """

    @_placed
    def init(key, shape, dtype=dtype, out_sharding=None):
        dtype = _dtype(dtype)
        if len(shape) not in (3, 4, 5):
            raise ValueError(f"delta orthogonal initializer requires a 3D, 4D or 5D shape, got {tuple(shape)}")
        if shape[-1] < shape[-2]:
            raise ValueError(
                f"delta orthogonal initializer: the inputs (shape[-2]) must be no more than the outputs (shape[-1]), got "
                f"{tuple(shape)}"
            )
        matrix = orthogonal(scale, column_axis, dtype)(key, shape[-2:])
        center = tuple((d - 1) // 2 for d in shape[:-2])
        return jnp.zeros(shape, dtype).at[center].set(matrix)

    return init
