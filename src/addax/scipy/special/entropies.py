"""Logarithms that are 0 times infinity somewhere, entropies, logistic and power transforms."""

from __future__ import annotations

import numpy as np

from addax import lax, numpy as jnp
from addax.nn.normalise import log_softmax as _log_softmax, logsumexp as logsumexp, softmax as _softmax
from addax.numpy.base import check_array_like
from addax.scipy.special.functions import real, special
from addax.transforms.custom import custom_jvp


@custom_jvp
def _xlogy(x, y):
    zero = (x == 0) & ~jnp.isnan(y)
    return jnp.where(zero, 0.0, x * jnp.log(jnp.where(zero, 1.0, y)))


@_xlogy.defjvp
def _xlogy_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return _xlogy(x, y), dx * jnp.log(y) + dy * x / y


@special
def xlogy(x, y):
    """x log(y), and 0 where x = 0, whatever number y is.

    >>> from addax.scipy.special import xlogy
    >>> xlogy(0.0, 0.0).item()
    0.0
    """
    return _xlogy(x, y)


@custom_jvp
def _xlog1py(x, y):
    zero = (x == 0) & ~jnp.isnan(y)
    return jnp.where(zero, 0.0, x * jnp.log1p(jnp.where(zero, 1.0, y)))


@_xlog1py.defjvp
def _xlog1py_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    return _xlog1py(x, y), dx * jnp.log1p(y) + dy * x / (1 + y)


@special
def xlog1py(x, y):
    """x log(1 + y), and 0 where x = 0, whatever number y is.

    >>> from addax.scipy.special import xlog1py
    >>> xlog1py(0.0, -1.0).item()
    0.0
    """
    return _xlog1py(x, y)


@custom_jvp
def _xlogx(x):
    return _xlogy(x, x)


@_xlogx.defjvp
def _xlogx_jvp(primals, tangents):
    (x,) = primals
    return _xlogx(x), tangents[0] * (jnp.log(x) + 1)


@special
def entr(x):
    """-x log(x), 0 at 0, -inf below: the terms of an entropy.

    >>> from addax.scipy.special import entr
    >>> round(entr(0.5).item(), 4)
    0.3466
    """
    real("entr", x)
    return jnp.where(x < 0, -np.inf, -_xlogx(jnp.where(x < 0, 1.0, x)))


def _entropy_like(p, q, value, at_zero):
    """``value(p, q)`` where p, q > 0; ``at_zero`` where p = 0 <= q; inf elsewhere (NaN where either is NaN)."""
    both = (p > 0) & (q > 0)
    p_, q_ = jnp.where(both, p, 1.0), jnp.where(both, q, 1.0)
    unknown = jnp.isnan(p) | jnp.isnan(q)
    rest = jnp.where((p == 0) & (q >= 0), at_zero, np.inf)
    return jnp.where(both, value(p_, q_), jnp.where(unknown, np.nan, rest))


@special
def rel_entr(p, q):
    """p log(p / q); 0 where p = 0 <= q, inf where it is not defined: the terms of a relative entropy.

    >>> from addax.scipy.special import rel_entr
    >>> round(rel_entr(1.0, 2.0).item(), 4)
    -0.6931
    """
    real("rel_entr", p)
    return _entropy_like(p, q, lambda p, q: _xlogx(p) - _xlogy(p, q), 0.0)


@special
def kl_div(p, q):
    """p log(p / q) - p + q, the convex version of `rel_entr`.

    >>> from addax.scipy.special import kl_div
    >>> round(kl_div(1.0, 2.0).item(), 4)
    0.3069
    """
    real("kl_div", p)
    return _entropy_like(p, q, lambda p, q: _xlogx(p) - _xlogy(p, q) - p + q, q)


@special
def expit(x):
    """The logistic function 1 / (1 + exp(-x)).

    >>> from addax.scipy.special import expit
    >>> expit(0.0).item()
    0.5
    """
    return lax.logistic(x)


@custom_jvp
def _logit(p):
    return jnp.log(p) - jnp.log1p(-p)


@_logit.defjvp
def _logit_jvp(primals, tangents):
    (p,) = primals
    return _logit(p), tangents[0] / (p * (1 - p))


@special
def logit(x):
    """The inverse of `expit`: log(x / (1 - x)).

    >>> from addax.scipy.special import logit
    >>> logit(0.5).item()
    0.0
    """
    return _logit(x)


@special
def boxcox(x, lmbda):
    """The Box-Cox transform (x^lmbda - 1) / lmbda, and log(x) for lmbda = 0.

    >>> from addax.scipy.special import boxcox
    >>> boxcox(2.0, 2.0).item()
    1.5
    """
    real("boxcox", x)
    return _power_transform(jnp.log(x), lmbda)


@special
def boxcox1p(x, lmbda):
    """`boxcox` of 1 + x, exact for small x.

    >>> from addax.scipy.special import boxcox1p
    >>> boxcox1p(1.0, 2.0).item()
    1.5
    """
    real("boxcox1p", x)
    return _power_transform(jnp.log1p(x), lmbda)


def _power_transform(log, power):
    """expm1(power log) / power, whose limit at power = 0 is log, with the derivative log^2 / 2 in power."""
    small = power == 0
    safe = jnp.where(small, 1.0, power)
    finite = jnp.where(small & ~jnp.isfinite(log), 0.0, log)
    near = log + power * finite * finite / 2
    return jnp.where(small, near, jnp.expm1(jnp.where(small, 0.0, safe * log)) / safe)


def softmax(x, /, *, axis: int | tuple[int, ...] | None = None):
    """exp(x) / sum(exp(x)), over all of x or some axes.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.special import softmax
    >>> softmax(jnp.zeros(4)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    check_array_like("softmax", x)
    return _softmax(x, axis=axis)


def log_softmax(x, /, *, axis: int | tuple[int, ...] | None = None):
    """x - logsumexp(x), over all of x or some axes.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.special import log_softmax
    >>> [round(v, 4) for v in log_softmax(jnp.zeros(2)).tolist()]
    [-0.6931, -0.6931]
    """
    check_array_like("log_softmax", x)
    return _log_softmax(x, axis=axis)
