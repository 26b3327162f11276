"""Distributions of counts by rejection: Poisson, binomial, multinomial.

* Poisson below a mean of 10: Knuth's product of uniform numbers ("The art of computer programming", volume 2, 3.4.1);
  above, PTRS of Hormann, "The transformed rejection method for generating Poisson random variables" (1993).
* Binomial below a mean of 10: sums of geometric numbers (Devroye, "Non-uniform random variate generation", 1986,
  X.4.3); above, BTRS of Hormann, "The generation of binomial random variates" (1993).

Each round of a rejection loop draws for the whole array from one key, and the loop ends when every element has been
accepted; an element accepted twice keeps its last value.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.engines.eager import fused
from addax.numpy.base import check_array_like
from addax.numpy.creation import asarray, placed
from addax.random.base import const, float_dtype, int_dtype, param, result_shape, split_key
from addax.random.keys import single_key
from addax.random.samplers import unit_uniform

_F32 = np.dtype(np.float32)


@placed
def poisson(key, lam, shape=None, dtype=None, *, out_sharding=None):
    """Poisson numbers: ``P(n) = lam^n exp(-lam) / n!``.

    Computed in float32, so that results above 2**24 are rounded; for means above 1000, and in arrays with means on
    both sides of 10, some numbers differ from JAX's, whose acceptance test loses its digits for large means. -1 where
    ``lam`` is negative or NaN.

    >>> import addax.random as jr
    >>> bool((jr.poisson(jr.key(0), 3.0, (100,)) >= 0).all())
    True
    """
    k = single_key("poisson", key)
    dtype = int_dtype("poisson", dtype)
    return _poisson(k, lam, shape=result_shape("poisson", shape, lam), dtype=dtype)


@fused(static=("shape", "dtype"))
def _poisson(k, lam, *, shape, dtype):
    lam = param(lam, _F32, shape, "poisson")
    small = jnp.isnan(lam) | (lam < 10)
    infinite = jnp.isinf(lam) & (lam > 0)
    few = _knuth(k, jnp.where(small, lam, const(0, _F32)), dtype)
    many = _ptrs(k, jnp.where(small | infinite, const(1e5, _F32), lam)).astype(dtype)
    zero, largest = const(0, dtype), const(dtypes.iinfo(dtype).max, dtype)
    return jnp.where(infinite, largest, jnp.where(lam == 0, zero, jnp.where(small, few, many)))


def _knuth(k, lam, dtype):
    """How many uniform numbers can be multiplied before the product falls below exp(-lam)."""

    def again(state):
        return jnp.any(state[2] > -lam)

    def multiply(state):
        key, count, log_product = state
        key, sub = split_key(key)
        count = jnp.where(log_product > -lam, count + const(1, dtype), count)
        return key, count, log_product + jnp.log(unit_uniform(sub, shape=lam.shape, dtype=_F32))

    start = (k, jnp.zeros(lam.shape, dtype), jnp.zeros(lam.shape, _F32))
    return lax.while_loop(again, multiply, start)[1] - const(1, dtype)


def _hat(k, a, b, center, shape, dtype):
    """A candidate ``floor((2 a / s + b) u + center)`` of the transformed rejection method.

    Returns ``(next key, candidate, s = 1/2 - |u|, v)`` with u uniform in [-1/2, 1/2) and v in [0, 1).
    """
    k, k_u, k_v = split_key(k, 3)
    half = const(0.5, dtype)
    u = unit_uniform(k_u, shape=shape, dtype=dtype) - half
    v = unit_uniform(k_v, shape=shape, dtype=dtype)
    s = half - jnp.abs(u)
    return k, jnp.floor((2 * a / s + b) * u + center), s, v


def _rejection(k, propose, shape, dtype):
    """Candidates of ``propose(key) -> (next key, candidate, accepted)``, until all elements are accepted."""

    def again(state):
        return ~jnp.all(state[2])

    def draw(state):
        key, out, done = state
        key, candidate, accepted = propose(key)
        return key, jnp.where(accepted, candidate, out), done | accepted

    start = (k, jnp.full(shape, -1, dtype), jnp.zeros(shape, bool))
    return lax.while_loop(again, draw, start)[1]


def _ptrs(k, lam):
    log_scale = 0.5 * jnp.log(2 * math.pi * lam)
    b = 0.931 + 2.53 * jnp.sqrt(lam)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2)

    def propose(key):
        key, n, s, v = _hat(key, a, b, lam + 0.43, lam.shape, _F32)
        log_v = jnp.log(v * inverse_alpha / (a / (s * s) + b))
        surely = (s >= 0.07) & (v <= squeeze)
        outside = (n < 0) | ((s < 0.013) & (v > s))
        log_mass = -_deviation(n + 1, lam) - _stirling(n) - log_scale
        return key, n, surely | (~outside & (log_v <= log_mass))

    return _rejection(k, propose, lam.shape, _F32)


def binomial(key, n, p, shape=None, dtype=None):
    """The number of successes in ``n`` trials of probability ``p``, as floats.

    NaN where ``n`` is negative or NaN or ``p`` is outside [0, 1]; inf where ``n`` is. Computed in the dtype of the
    parameters, float32 at least. The acceptance test follows the paper, without cancellation; JAX's takes the Stirling
    term of 9 for all counts above it, and so about 1 number in 1000 differs from JAX's, more for large ``n``.

    >>> import addax.random as jr
    >>> bool((jr.binomial(jr.key(0), 10, 0.5, (100,)) <= 10).all())
    True
    """
    k = single_key("binomial", key)
    dtype = float_dtype("binomial", dtype)
    shape = result_shape("binomial", shape, n, p)
    return _binomial(k, n, p, shape=shape, dtype=dtype, wide=_computed_in(n, p))


def _computed_in(*params):
    """The float dtype that the parameters promote to, float32 at least."""
    return dtypes.promote_types(dtypes.to_inexact_dtype(jnp.result_type(*params)), _F32)


@fused(static=("shape", "dtype", "wide"))
def _binomial(k, n, p, *, shape, dtype, wide) -> Any:
    n, p = param(n, wide, shape, "binomial"), param(p, wide, shape, "binomial")
    low = p < 0.5
    q = jnp.where(low, p, 1 - p)  # the rarer of success and failure is counted
    bad = ~(n >= 0) | ~(q >= 0)
    infinite = jnp.isinf(n)
    n, q = jnp.where(bad | infinite, const(0, wide), jnp.floor(n)), jnp.where(bad, const(0.01, wide), q)
    small = n * q <= 10
    few = _geometric_sums(k, jnp.where(small, n, const(0, wide)), q)
    many = _btrs(k, jnp.where(small, const(10_000, wide), n), jnp.where(small, const(0.5, wide), q))
    rarer = jnp.where(small, few, many)
    out = jnp.where(low, rarer, n - rarer)
    return jnp.where(bad, const(np.nan, wide), jnp.where(infinite, const(np.inf, wide), out)).astype(dtype)


def _geometric_sums(k, n, q):
    """The number of waiting times, each a geometric number, that fit into n trials."""
    log_failure = jnp.log1p(-q)

    def again(state):
        return jnp.any(state[2] <= n)

    def wait(state):
        key, count, trials = state
        sub, key = split_key(key)
        count = jnp.where(trials <= n, count + 1, count)
        u = unit_uniform(sub, shape=n.shape, dtype=n.dtype)
        return key, count, trials + jnp.ceil(jnp.log(u) / log_failure)

    return lax.while_loop(again, wait, (k, jnp.zeros_like(n), jnp.zeros_like(n)))[1] - 1


def _btrs(k, n, q):
    deviation = jnp.sqrt(n * q * (1 - q))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * q
    center = n * q + 0.5
    squeeze = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    mode = jnp.floor((n + 1) * q)

    def log_mass(x):
        terms = _deviation(x + 1, (n + 2) * q) + _deviation(n - x + 1, (n + 2) * (1 - q))
        return -terms - _stirling(x) - _stirling(n - x)

    def propose(key):
        key, x, s, v = _hat(key, a, b, center, n.shape, n.dtype)
        surely = (s >= 0.07) & (v <= squeeze)
        outside = (x < 0) | (x > n)
        log_v = jnp.log(v * alpha / (a / (s * s) + b))
        log_ratio = log_mass(x) - log_mass(mode)
        return key, x, surely | (~outside & (log_v <= log_ratio))

    return _rejection(k, propose, n.shape, n.dtype)


def _deviation(y, mean) -> Any:
    """``(y - 1/2) log(y / mean) - (y - mean)``, in terms of the relative deviation from the mean.

    log n! is ``(n + 1/2) log(n + 1) - (n + 1) + _stirling(n)`` and a constant, so that the logarithm of a Poisson or
    binomial probability is a sum of these. Written out, its terms are as large as n log n and cancel: in float32 nothing
    is left of it for n = 10**6, which is how JAX computes it.
    """
    x = (y - mean) / mean
    log_ratio = jnp.log1p(x)
    return mean * ((1 + x) * log_ratio - x) - 0.5 * log_ratio


def _stirling(x) -> Any:
    """``log x! - log(sqrt(2 pi)) - (x + 1/2) log(x + 1) + (x + 1)``: a table to 9, a series above."""
    table = [math.lgamma(i + 1) - 0.5 * math.log(2 * math.pi) - (i + 0.5) * math.log(i + 1) + i + 1 for i in range(10)]
    y = jnp.maximum(x, 9) + 1
    series = (1 / 12 - (1 / 360 - 1 / 1260 / (y * y)) / (y * y)) / y
    exact = asarray(np.asarray(table, x.dtype))[jnp.clip(x, 0, 9).astype(np.int32)]
    return jnp.where(x <= 9, exact, series)


def multinomial(key, n, p, *, shape=None, dtype=None, unroll: int | bool = 1):
    """How often each category occurs in ``n`` trials, as floats that sum to ``n``.

    Args:
      n: the number of trials; its shape broadcasts with that of ``p`` without the last dimension.
      p: probabilities along the last dimension, of shape (..., categories); scaled to sum to 1.
      shape: of the result, ending in the number of categories.
      unroll: of the loop over the categories, as in `addax.lax.scan`.

    Each category takes a binomial number of the trials that those before it left.

    >>> import addax.random as jr, addax.numpy as jnp
    >>> float(jr.multinomial(jr.key(0), 10, jnp.array([0.2, 0.3, 0.5])).sum())
    10.0
    """
    k = single_key("multinomial", key)
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "multinomial")
    check_array_like("multinomial", n, p)
    if np.ndim(p) < 1:
        raise ValueError("multinomial requires p.ndim >= 1, got p.ndim == 0: one probability per category")
    shape = result_shape("multinomial", shape, p, np.empty((*np.shape(n), 1)))
    if shape[-1:] != np.shape(p)[-1:]:
        raise ValueError(f"multinomial: shape {shape} must end in the number of categories, {np.shape(p)[-1]}")
    return _multinomial(k, n, p, shape=shape, dtype=dtype, wide=_computed_in(n, p), unroll=unroll)


@fused(static=("shape", "dtype", "wide", "unroll"))
def _multinomial(k, n, p, *, shape, dtype, wide, unroll):
    p = jnp.moveaxis(param(p, wide, shape, "multinomial"), -1, 0)
    n = param(n, wide, shape[:-1], "multinomial")
    left = lax.cumsum(p, axis=0, reverse=True)
    ratios = jnp.clip(p / jnp.where(left == 0, const(1, wide), left), 0, 1)

    def take(trials, this):
        sub, ratio = this
        count = _binomial(sub, trials, ratio, shape=shape[:-1], dtype=wide, wide=wide)
        return trials - count, count

    _, counts = lax.scan(take, n, (split_key(k, shape[-1]), ratios), unroll=unroll)
    return jnp.moveaxis(counts, 0, -1).astype(dtype)
