"""Continuous distributions by a formula in uniform, exponential or normal numbers.

All have derivatives with respect to their parameters: the sample is a smooth function of them for fixed randomness.
"""

from __future__ import annotations

import math
from typing import Any

from addax import numpy as jnp
from addax.core import dtypes
from addax.engines.eager import fused
from addax.numpy.base import canonical_shape
from addax.numpy.creation import placed
from addax.random.base import const, float_dtype, int_dtype, param, result_shape, split_key
from addax.random.keys import single_key
from addax.random.samplers import signs, standard_exponential, standard_normal, uniform_between, unit_uniform


@placed
def laplace(key, shape=(), dtype=None, *, out_sharding=None):
    """Laplace numbers: density ``exp(-|x|) / 2``.

    >>> import addax.random as jr
    >>> jr.laplace(jr.key(0), (2,)).shape
    (2,)
    """
    k = single_key("laplace", key)
    return _laplace(k, shape=canonical_shape(shape), dtype=float_dtype("laplace", dtype))


@fused(static=("shape", "dtype"))
def _laplace(k, *, shape, dtype):
    low = const(dtypes.finfo(dtype).epsneg - 1, dtype)
    u = uniform_between(k, low, const(1, dtype), shape=shape, dtype=dtype)
    return jnp.sign(u) * jnp.log1p(-jnp.abs(u))


@placed
def logistic(key, shape=(), dtype=None, *, out_sharding=None):
    """Logistic numbers: density ``exp(-x) / (1 + exp(-x))^2``, as ``log(u / (1 - u))``.

    >>> import addax.random as jr
    >>> jr.logistic(jr.key(0), (2,)).shape
    (2,)
    """
    k = single_key("logistic", key)
    return _logistic(k, shape=canonical_shape(shape), dtype=float_dtype("logistic", dtype))


@fused(static=("shape", "dtype"))
def _logistic(k, *, shape, dtype):
    u = uniform_between(k, const(dtypes.finfo(dtype).tiny, dtype), const(1, dtype), shape=shape, dtype=dtype)
    return jnp.log(u) - jnp.log1p(-u)


@placed
def cauchy(key, shape=(), dtype=None, *, out_sharding=None):
    """Cauchy numbers: density ``1 / (pi (1 + x^2))``, as ``tan(pi (u - 1/2))``.

    >>> import addax.random as jr
    >>> jr.cauchy(jr.key(0), (2,)).shape
    (2,)
    """
    k = single_key("cauchy", key)
    return _cauchy(k, shape=canonical_shape(shape), dtype=float_dtype("cauchy", dtype))


@fused(static=("shape", "dtype"))
def _cauchy(k, *, shape, dtype):
    u = uniform_between(k, const(dtypes.finfo(dtype).eps, dtype), const(1, dtype), shape=shape, dtype=dtype)
    return jnp.tan(const(math.pi, dtype) * (u - const(0.5, dtype)))


@placed
def pareto(key, b, shape=None, dtype=None, *, out_sharding=None):
    """Pareto numbers with shape ``b``: density ``b / x^(b + 1)`` on ``x >= 1``.

    >>> import addax.random as jr
    >>> bool((jr.pareto(jr.key(0), 2.0, (100,)) >= 1).all())
    True
    """
    k = single_key("pareto", key)
    dtype = float_dtype("pareto", dtype)
    return _pareto(k, b, shape=result_shape("pareto", shape, b), dtype=dtype)


@fused(static=("shape", "dtype"))
def _pareto(k, b, *, shape, dtype):
    return jnp.exp(standard_exponential(k, shape=shape, dtype=dtype) / param(b, dtype, shape, "pareto"))


@placed
def rayleigh(key, scale, shape=None, dtype=None, *, out_sharding=None):
    """Rayleigh numbers: density ``x / scale^2 exp(-x^2 / (2 scale^2))`` on ``x >= 0``.

    Where the uniform number drawn is 0 (once in 2**23 for float32), JAX returns inf; here it is the smallest normal
    number instead, and the result finite.

    >>> import addax.random as jr
    >>> jr.rayleigh(jr.key(0), 2.0, (2,)).shape
    (2,)
    """
    k = single_key("rayleigh", key)
    dtype = float_dtype("rayleigh", dtype)
    return _rayleigh(k, scale, shape=result_shape("rayleigh", shape, scale), dtype=dtype)


@fused(static=("shape", "dtype"))
def _rayleigh(k, scale, *, shape, dtype):
    u = jnp.maximum(unit_uniform(k, shape=shape, dtype=dtype), const(dtypes.finfo(dtype).tiny, dtype))
    return param(scale, dtype, shape, "rayleigh") * jnp.sqrt(jnp.log(u) * const(-2, dtype))


@placed
def wald(key, mean, shape=None, dtype=None, *, out_sharding=None):
    """Wald (inverse Gaussian) numbers: density ``exp(-(x - mean)^2 / (2 x mean^2)) / sqrt(2 pi x^3)`` on ``x > 0``.

    By the transformation with multiple roots of Michael, Schucany and Haas, 1976.

    >>> import addax.random as jr
    >>> bool((jr.wald(jr.key(0), 1.0, (100,)) > 0).all())
    True
    """
    k = single_key("wald", key)
    dtype = float_dtype("wald", dtype)
    return _wald(k, mean, shape=result_shape("wald", shape, mean), dtype=dtype)


@fused(static=("shape", "dtype"))
def _wald(k, mean, *, shape, dtype):
    k_root, k_side = split_key(k)
    mean = param(mean, dtype, shape, "wald")
    chi2 = jnp.square(standard_normal(k_root, shape=shape, dtype=dtype))
    u = unit_uniform(k_side, shape=shape, dtype=dtype)
    # (x - mean)^2 / (mean^2 x) = chi2 has two roots, x and mean^2 / x: the smaller with probability mean / (mean + x).
    spread = jnp.sqrt(4 * mean * chi2 + jnp.square(mean) * jnp.square(chi2))
    x = mean + jnp.square(mean) * chi2 / 2 - mean / 2 * spread
    return jnp.where(u <= mean / (mean + x), x, jnp.square(mean) / x)


def weibull_min(key, scale, concentration, shape=(), dtype=None):
    """Weibull numbers: density ``c / s (x / s)^(c - 1) exp(-(x / s)^c)`` on ``x >= 0`` of scale s, concentration c.

    With ``shape=()`` the result has the parameters' common shape, each element its own random number. (JAX then takes
    one random number for all of them.)

    >>> import addax.random as jr
    >>> jr.weibull_min(jr.key(0), 1.0, 2.0, (3,)).shape
    (3,)
    """
    k = single_key("weibull_min", key)
    dtype, shape = float_dtype("weibull_min", dtype), canonical_shape(shape)
    shape = result_shape("weibull_min", shape or None, scale, concentration)
    return _weibull_min(k, scale, concentration, shape=shape, dtype=dtype)


@fused(static=("shape", "dtype"))
def _weibull_min(k, scale, concentration, *, shape, dtype):
    scale, c = (param(x, dtype, shape, "weibull_min") for x in (scale, concentration))
    return jnp.power(standard_exponential(k, shape=shape, dtype=dtype), 1 / c) * scale


@placed
def lognormal(key, sigma=1.0, shape=None, dtype=None, *, out_sharding=None):
    """``exp(sigma z)`` of normal numbers z.

    >>> import addax.random as jr
    >>> bool((jr.lognormal(jr.key(0), 0.5, (100,)) > 0).all())
    True
    """
    k = single_key("lognormal", key)
    dtype = float_dtype("lognormal", dtype)
    return _lognormal(k, sigma, shape=result_shape("lognormal", shape, sigma), dtype=dtype)


@fused(static=("shape", "dtype"))
def _lognormal(k, sigma, *, shape, dtype):
    return jnp.exp(standard_normal(k, shape=shape, dtype=dtype) * param(sigma, dtype, shape, "lognormal"))


@placed
def maxwell(key, shape=(), dtype=None, *, out_sharding=None):
    """Maxwell numbers: density ``sqrt(2 / pi) x^2 exp(-x^2 / 2)``, the length of a normal vector in three dimensions.

    >>> import addax.random as jr
    >>> bool((jr.maxwell(jr.key(0), (100,)) > 0).all())
    True
    """
    k = single_key("maxwell", key)
    return _maxwell(k, shape=canonical_shape(shape), dtype=float_dtype("maxwell", dtype))


@fused(static=("shape", "dtype"))
def _maxwell(k, *, shape, dtype) -> Any:
    z = standard_normal(k, shape=(*shape, 3), dtype=dtype)
    return jnp.sqrt(jnp.sum(jnp.square(z), axis=-1))


def double_sided_maxwell(key, loc, scale, shape=(), dtype=None):
    """``loc + scale s m`` with a Maxwell number m and a random sign s.

    Args:
      loc, scale: of shapes that broadcast to a common one, P.
      shape: of the samples taken of each: the result has shape ``(*shape, *P)``. As in JAX, ``()`` with P not ``()``
        means ``shape=P``.

    >>> import addax.random as jr
    >>> jr.double_sided_maxwell(jr.key(0), 0.0, 1.0, (3,)).shape
    (3,)
    """
    k = single_key("double_sided_maxwell", key)
    dtype, shape = float_dtype("double_sided_maxwell", dtype), canonical_shape(shape)
    common = result_shape("double_sided_maxwell", None, loc, scale)
    return _double_sided_maxwell(k, loc, scale, shape=(*(shape or common), *common), dtype=dtype)


@fused(static=("shape", "dtype"))
def _double_sided_maxwell(k, loc, scale, *, shape, dtype):
    k_length, k_sign = split_key(k)
    out = signs(k_sign, shape=shape, dtype=dtype) * _maxwell(k_length, shape=shape, dtype=dtype)
    loc, scale = (param(x, dtype, shape, "double_sided_maxwell") for x in (loc, scale))
    return out * scale + loc


@placed
def triangular(key, left, mode, right, shape=None, dtype=None, *, out_sharding=None):
    """Triangular numbers: density rising linearly from ``left`` to ``mode``, then falling to ``right``.

    >>> import addax.random as jr
    >>> bool((jr.triangular(jr.key(0), 0.0, 1.0, 3.0, (100,)) <= 3.0).all())
    True
    """
    k = single_key("triangular", key)
    dtype = float_dtype("triangular", dtype)
    shape = result_shape("triangular", shape, left, mode, right)
    return _triangular(k, left, mode, right, shape=shape, dtype=dtype)


@fused(static=("shape", "dtype"))
def _triangular(k, left, mode, right, *, shape, dtype):
    left, mode, right = (param(x, dtype, shape, "triangular") for x in (left, mode, right))
    u = unit_uniform(k, shape=shape, dtype=dtype)
    width = right - left
    # The inverse of the distribution function: the root of an area from either end.
    rising = left + jnp.sqrt(u * width * (mode - left))
    falling = right - jnp.sqrt((1 - u) * width * (right - mode))
    return jnp.where(u < (mode - left) / width, rising, falling)


@placed
def geometric(key, p, shape=None, dtype=None, *, out_sharding=None):
    """The number of trials up to and including the first success: ``P(n) = p (1 - p)^(n - 1)`` for n >= 1.

    The largest result with 24 random bits is ``16 / p`` or so. For ``p = 1`` it is 1; results that exceed the dtype are
    its largest value.

    >>> import addax.random as jr
    >>> bool((jr.geometric(jr.key(0), 0.5, (100,)) >= 1).all())
    True
    """
    k = single_key("geometric", key)
    dtype = int_dtype("geometric", dtype)
    return _geometric(k, p, shape=result_shape("geometric", shape, p), dtype=dtype)


@fused(static=("shape", "dtype"))
def _geometric(k, p, *, shape, dtype):
    real = dtypes.default_float_dtype()
    u = unit_uniform(k, shape=shape, dtype=real)
    u = jnp.where(u == 0, const(1, real), u)
    failures = jnp.floor(jnp.log(u) / jnp.log1p(-param(p, real, shape, "geometric")))
    return (failures + 1).astype(dtype)
