"""Exponential, sine and cosine integrals, the dilogarithm, hypergeometric functions.

They are computed by SciPy on the host, in float64, also inside compiled programs; the derivatives are ours.
"""

from __future__ import annotations

import numpy as np

from addax import numpy as jnp
from addax.scipy.special.functions import on_host, real, special

_expi = on_host("expi", lambda out, x: jnp.exp(x) / x)


@special
def expi(x):
    """The exponential integral Ei(x): exp(t) / t integrated from -inf to x (principal value); -inf at 0.

    >>> from addax.scipy.special import expi
    >>> round(expi(1.0).item(), 5)
    1.89512
    """
    real("expi", x)
    return _expi(x)


_exp1 = on_host("exp1", lambda out, x: -jnp.exp(-x) / x)


@special
def exp1(x):
    """The exponential integral E1(x): exp(-t) / t integrated from x to infinity; inf at 0, NaN below.

    >>> from addax.scipy.special import exp1
    >>> round(exp1(1.0).item(), 5)
    0.21938
    """
    real("exp1", x)
    return jnp.where(x < 0, np.nan, _exp1(jnp.where(x < 0, 1.0, x)))


_expn_primitive = on_host("expn", lambda out, n, x: (None, jnp.where(n < 1, _expn_below(n, x, out), -_lower(n, x))))


def _lower(n, x):
    return _expn_primitive(jnp.maximum(n - 1, 0), x)


def _expn_below(n, x, out):
    """The derivative for n = 0, where E_0 = exp(-x) / x."""
    return -out * (1 + 1 / x)


@special
def expn(n, x):
    """The exponential integral E_n(x): exp(-x t) / t^n integrated from 1 to infinity, for whole n >= 0 and x >= 0.

    >>> from addax.scipy.special import expn
    >>> round(expn(2, 1.0).item(), 5)
    0.1485
    """
    real("expn", x)
    return _expn_primitive(n, x)


def _sici_derivative(out, x):
    zero = x == 0
    safe = jnp.where(zero, 1.0, x)
    return jnp.where(zero, 1.0, jnp.sin(safe) / safe), jnp.cos(x) / x


_sici = on_host("sici", _sici_derivative, outputs=2)


@special
def sici(x):
    """The pair (Si, Ci) of the sine and cosine integrals.

    Si integrates sin(t) / t from 0 to x, Ci(x) is Euler's constant + log|x| + the integral of (cos(t) - 1) / t.

    >>> from addax.scipy.special import sici
    >>> [round(v.item(), 5) for v in sici(1.0)]
    [0.94608, 0.3374]
    """
    real("sici", x)
    si, ci = _sici(abs(x))
    return jnp.sign(x) * si, ci


def _spence_derivative(out, x):
    one = x == 1
    safe = jnp.where(one, 2.0, x)
    return jnp.where(one, -1.0, jnp.log(safe) / (1 - safe))


_spence = on_host("spence", _spence_derivative)


@special
def spence(x):
    """Spence's function, the dilogarithm of 1 - x: log(t) / (1 - t) integrated from 1 to x.

    >>> from addax.scipy.special import spence
    >>> round(spence(0.0).item(), 5)
    1.64493
    """
    real("spence", x)
    return _spence(x)


_hyp1f1 = on_host("hyp1f1", lambda out, a, b, x: (None, None, a / b * _hyp1f1(a + 1, b + 1, x)))


@special
def hyp1f1(a, b, x):
    """Kummer's confluent hypergeometric function: the sum of (a)_k x^k / ((b)_k k!). Differentiable in x.

    >>> from addax.scipy.special import hyp1f1
    >>> round(hyp1f1(1.0, 1.0, 1.0).item(), 5)
    2.71828
    """
    real("hyp1f1", x)
    return _hyp1f1(a, b, x)


_hyp2f1 = on_host("hyp2f1", lambda out, a, b, c, x: (None, None, None, a * b / c * _hyp2f1(a + 1, b + 1, c + 1, x)))


@special
def hyp2f1(a, b, c, x):
    """Gauss's hypergeometric function: the sum of (a)_k (b)_k x^k / ((c)_k k!). Differentiable in x.

    >>> from addax.scipy.special import hyp2f1
    >>> round(hyp2f1(1.0, 1.0, 2.0, 0.5).item(), 5)
    1.38629
    """
    real("hyp2f1", x)
    return _hyp2f1(a, b, c, x)
