"""Gamma numbers, and the distributions made of them: beta, Dirichlet, chi-square, F, Student's t.

Samples by Marsaglia and Tsang, "A simple method for generating gamma variables" (2000): of x normal and
v = (1 + c x)^3, accept d v with d = a - 1/3 and c = 1 / (3 sqrt(d)), if a uniform number u satisfies
u < 1 - 0.0331 x^4 or log u < x^2 / 2 + d (1 - v + log v). For a < 1 a sample of a + 1 is multiplied by U^(1/a).

Every element has a key of its own, so that the numbers do not depend on what else is drawn with them; rejected elements
are drawn again in a loop over the whole array, which for any number of elements ends after about ten rounds.

Derivatives are implicit ones: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.engines.eager import fused
from addax.numpy.base import canonical_shape, check_array_like
from addax.numpy.creation import asarray, placed
from addax.ops import random_bits as _prims
from addax.random.base import const, float_dtype, param, result_shape, split_key
from addax.random.keys import single_key
from addax.random.samplers import signs, standard_exponential, standard_normal, unit_uniform
from addax.transforms.custom import custom_jvp


def _split(keys, num: int):
    """``num`` keys of each key."""
    children = _prims.random_split.bind(keys, shape=(num,))
    return [lax.index_in_dim(children, i, children.ndim - 1, keepdims=False) for i in range(num)]


@fused
def _marsaglia_tsang(k, a) -> Any:
    """``(d v for shape max(a, 1) or a + 1, the keys for the power of U)``, both of the shape of ``a``."""
    dtype, shape = a.dtype, a.shape
    loop_keys, power_keys = _split(_prims.random_split.bind(k, shape=shape), 2)
    third = const(1 / 3, dtype)
    d = jnp.where(a >= 1, a, jnp.where(a >= 0, a + const(1, dtype), const(np.nan, dtype))) - third
    c = third / jnp.sqrt(d)

    def again(state):
        return ~jnp.all(state[-1])

    def draw(state):
        keys, x_keys, u_keys, redraw, v_out, done = state
        new_keys, new_x, new_u = _split(keys, 3)
        # Where the last x was too small for a positive v, only x is drawn again.
        keys, x_keys, u_keys = (
            lax.select(redraw, old, new) for old, new in ((keys, new_keys), (x_keys, new_x), (u_keys, new_u))
        )
        x_keys, sub = _split(x_keys, 2)
        x = standard_normal(sub, shape=(), dtype=dtype)
        v = const(1, dtype) + x * c
        redraw = v <= 0
        x2, v3 = x * x, v * v * v
        u = unit_uniform(u_keys, shape=(), dtype=dtype)
        outside = u >= const(1, dtype) - const(0.0331, dtype) * (x2 * x2)
        rejected = outside & (jnp.log(u) >= x2 * const(0.5, dtype) + d * (const(1, dtype) - v3 + jnp.log(v3)))
        v_out = jnp.where(done, v_out, v3)
        return keys, x_keys, u_keys, redraw, v_out, done | ~(redraw | rejected)

    no, zero = jnp.zeros(shape, bool), jnp.zeros(shape, dtype)
    v = lax.while_loop(again, draw, (loop_keys, loop_keys, loop_keys, no, zero, no))[-2]
    return d, v, power_keys


@custom_jvp
def _gamma_samples(k, a):
    return _gamma(k, a)


@fused
def _gamma(k, a) -> Any:
    d, v, keys = _marsaglia_tsang(k, a)
    one = const(1, a.dtype)
    power = jnp.power(one - unit_uniform(keys, shape=(), dtype=a.dtype), one / a)
    return d * v * jnp.where(a >= 1, one, power)


@_gamma_samples.defjvp
def _gamma_jvp(primals, tangents):
    (k, a), (_, t) = primals, tangents
    x = _gamma_samples(k, a)
    return x, lax.random_gamma_grad(a, x) * t


@custom_jvp
def _log_gamma_samples(k, a):
    return _log_gamma(k, a)


@fused
def _log_gamma(k, a) -> Any:
    d, v, keys = _marsaglia_tsang(k, a)
    log_u = -standard_exponential(keys, shape=(), dtype=a.dtype)
    zero = const(0, a.dtype)
    return jnp.log(d) + jnp.log(v) + jnp.where((a >= 1) | (log_u == 0), zero, log_u * (const(1, a.dtype) / a))


@_log_gamma_samples.defjvp
def _log_gamma_jvp(primals, tangents):
    (k, a), (_, t) = primals, tangents
    s = _log_gamma_samples(k, a)
    # For tiny x = exp(s), P(a, x) is x^a / gamma(a + 1) to rounding, and x itself may be zero.
    tiny = s < float(np.log(dtypes.finfo(a.dtype).eps)) - 1
    x = jnp.exp(jnp.where(tiny, const(0, a.dtype), s))
    near_zero = (lax.digamma(a + const(1, a.dtype)) - s) / a
    return s, jnp.where(tiny, near_zero, lax.random_gamma_grad(a, x) / x) * t


def _gamma_of(name: str, key, a, shape, dtype, samples):
    k = single_key(name, key)
    dtype = float_dtype(name, dtype)
    return samples(k, param(a, dtype, result_shape(name, shape, a), name))


@placed
def gamma(key, a, shape=None, dtype=None, *, out_sharding=None):
    """Gamma numbers with shape parameter ``a``: density ``x^(a - 1) exp(-x) / gamma(a)`` on ``x >= 0``.

    Differentiable in ``a``. NaN for negative ``a``, where JAX returns numbers without meaning. For small
    ``a`` most samples underflow to 0: see `loggamma`.

    >>> import addax, addax.random as jr
    >>> bool((jr.gamma(jr.key(0), 3.0, (100,)) > 0).all())
    True
    >>> float(addax.grad(lambda a: jr.gamma(jr.key(0), a))(3.0)) > 0
    True
    """
    return _gamma_of("gamma", key, a, shape, dtype, _gamma_samples)


@placed
def loggamma(key, a, shape=None, dtype=None, *, out_sharding=None):
    """The logarithm of gamma numbers, accurate where these are too small for a float.

    For the same key, ``exp(loggamma(key, a))`` is close to ``gamma(key, a)``.

    >>> import addax.random as jr
    >>> bool(jr.loggamma(jr.key(0), 1e-6) < -1000)
    True
    """
    return _gamma_of("loggamma", key, a, shape, dtype, _log_gamma_samples)


@placed
def beta(key, a, b, shape=None, dtype=None, *, out_sharding=None):
    """Beta numbers: density proportional to ``x^(a - 1) (1 - x)^(b - 1)`` on [0, 1], as ``G_a / (G_a + G_b)``.

    >>> import addax.random as jr
    >>> bool((jr.beta(jr.key(0), 2.0, 3.0, (100,)) < 1).all())
    True
    """
    k = single_key("beta", key)
    dtype = float_dtype("beta", dtype)
    return _beta(k, a, b, shape=result_shape("beta", shape, a, b), dtype=dtype)


@fused(static=("shape", "dtype"))
def _beta(k, a, b, *, shape, dtype) -> Any:
    ka, kb = split_key(k)
    log_a = _log_gamma_samples(ka, param(a, dtype, shape, "beta"))
    log_b = _log_gamma_samples(kb, param(b, dtype, shape, "beta"))
    top = jnp.maximum(log_a, log_b)
    exp_a, exp_b = jnp.exp(log_a - top), jnp.exp(log_b - top)
    return exp_a / (exp_a + exp_b)


@placed
def dirichlet(key, alpha, shape=None, dtype=None, *, out_sharding=None):
    """Dirichlet vectors: non-negative with sum 1, density proportional to ``prod x_i^(alpha_i - 1)``.

    Args:
      alpha: positive, shape (..., n).
      shape: of the result without its last dimension n; the leading shape of ``alpha`` by default.

    >>> import addax.random as jr, addax.numpy as jnp
    >>> float(jr.dirichlet(jr.key(0), jnp.ones(3)).sum().round(5))
    1.0
    """
    k = single_key("dirichlet", key)
    dtype = float_dtype("dirichlet", dtype)
    check_array_like("dirichlet", alpha)
    full = np.shape(alpha)
    if not full:
        raise ValueError("dirichlet requires alpha.ndim >= 1, got alpha.ndim == 0")
    lead = result_shape("dirichlet", shape, np.empty(full[:-1]))
    return _dirichlet(k, alpha, shape=(*lead, full[-1]), dtype=dtype)


@fused(static=("shape", "dtype"))
def _dirichlet(k, alpha, *, shape, dtype) -> Any:
    log_g = _log_gamma_samples(k, param(alpha, dtype, shape, "dirichlet"))
    shifted = jnp.exp(log_g - lax.stop_gradient(jnp.max(log_g, axis=-1, keepdims=True)))
    return shifted / jnp.sum(shifted, axis=-1, keepdims=True)


@fused(static=("shape", "dtype"))
def _chi_square(k, df, *, shape, dtype) -> Any:
    half = param(df, dtype, shape, "chisquare") / 2
    return 2 * jnp.exp(_log_gamma_samples(k, half))


@placed
def chisquare(key, df, shape=None, dtype=None, *, out_sharding=None):
    """Chi-square numbers with ``df`` degrees of freedom: density proportional to ``x^(df/2 - 1) exp(-x/2)``.

    >>> import addax.random as jr
    >>> bool((jr.chisquare(jr.key(0), 4, (100,)) > 0).all())
    True
    """
    k = single_key("chisquare", key)
    dtype = float_dtype("chisquare", dtype)
    return _chi_square(k, df, shape=result_shape("chisquare", shape, df), dtype=dtype)


@placed
def f(key, dfnum, dfden, shape=None, dtype=None, *, out_sharding=None):
    """F numbers: ``(X / dfnum) / (Y / dfden)`` of chi-square numbers X and Y with these degrees of freedom.

    >>> import addax.random as jr
    >>> bool((jr.f(jr.key(0), 4, 7, (100,)) > 0).all())
    True
    """
    k = single_key("f", key)
    dtype = float_dtype("f", dtype)
    return _f(k, dfnum, dfden, shape=result_shape("f", shape, dfnum, dfden), dtype=dtype)


@fused(static=("shape", "dtype"))
def _f(k, dfnum, dfden, *, shape, dtype) -> Any:
    k_den, k_num = split_key(k)
    num = _chi_square(k_num, dfnum, shape=shape, dtype=dtype) / param(dfnum, dtype, shape, "f")
    den = _chi_square(k_den, dfden, shape=shape, dtype=dtype) / param(dfden, dtype, shape, "f")
    return num / den


@placed
def t(key, df, shape=None, dtype=None, *, out_sharding=None):
    """Student's t numbers with ``df`` degrees of freedom: density proportional to ``(1 + x^2 / df)^(-(df + 1) / 2)``.

    >>> import addax.random as jr
    >>> jr.t(jr.key(0), 5.0, (3,)).shape
    (3,)
    """
    k = single_key("t", key)
    dtype = float_dtype("t", dtype)
    return _t(k, df, shape=result_shape("t", shape, df), dtype=dtype)


@fused(static=("shape", "dtype"))
def _t(k, df, *, shape, dtype) -> Any:
    k_normal, k_gamma = split_key(k)
    half = param(df, dtype, shape, "t") / 2
    return standard_normal(k_normal, shape=shape, dtype=dtype) * jnp.sqrt(half / _gamma_samples(k_gamma, half))


@placed
def generalized_normal(key, p, shape=(), dtype=None, *, out_sharding=None):
    """Generalized normal numbers: density proportional to ``exp(-|x|^p)``, as a random sign times ``G^(1/p)``.

    >>> import addax.random as jr
    >>> jr.generalized_normal(jr.key(0), 1.5, (3,)).shape
    (3,)
    """
    k = single_key("generalized_normal", key)
    dtype, shape = float_dtype("generalized_normal", dtype), canonical_shape(shape)
    result_shape("generalized_normal", (), p)
    return _generalized_normal(k, p, shape=shape, dtype=dtype)


@fused(static=("shape", "dtype"))
def _generalized_normal(k, p, *, shape, dtype) -> Any:
    k_length, k_sign = split_key(k)
    power = asarray(1 / asarray(p, dtype), dtype)
    length = jnp.power(_gamma_samples(k_length, param(power, dtype, shape, "generalized_normal")), power)
    return signs(k_sign, shape=shape, dtype=dtype) * length


@placed
def ball(key, d: int, p: float = 2, shape=(), dtype=None, *, out_sharding=None):
    """Points uniform in the unit ball of the p-norm in ``d`` dimensions; shape ``(*shape, d)``.

    By Barthe, Guedon, Mendelson and Naor, 2005: generalized normal numbers x, divided by ``(|x|_p^p + E)^(1/p)`` of an
    exponential number E.

    >>> import addax.random as jr, addax.numpy as jnp
    >>> bool(jnp.linalg.norm(jr.ball(jr.key(0), 3)) <= 1)
    True
    """
    k = single_key("ball", key)
    dtype, shape = float_dtype("ball", dtype), canonical_shape(shape)
    if not isinstance(d, (int, np.integer)):
        raise TypeError(f"ball: the dimension d must be an integer, got {d!r:.100}")
    result_shape("ball", (), p)
    return _ball(k, p, shape=(*shape, int(d)), dtype=dtype)


@fused(static=("shape", "dtype"))
def _ball(k, p, *, shape, dtype) -> Any:
    k_x, k_e = split_key(k)
    x = _generalized_normal(k_x, p, shape=shape, dtype=dtype)
    e = standard_exponential(k_e, shape=shape[:-1], dtype=dtype)
    p = asarray(p, dtype)
    length = jnp.power(jnp.sum(jnp.power(jnp.abs(x), p), axis=-1) + e, 1 / p)
    return x / jnp.expand_dims(length, -1)
