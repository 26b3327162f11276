"""Exponential, sine and cosine integrals, the dilogarithm, hypergeometric functions.

The hypergeometric functions are computed by SciPy on the host, in float64, also inside compiled programs: they need
another method in each of many regions. The others are made of series; all derivatives are formulas.
"""

from __future__ import annotations

import math

import numpy as np

from addax import lax, numpy as jnp
from addax.scipy.special import tables
from addax.scipy.special.functions import beyond, chebyshev, on_host, on_interval, real, special, with_derivatives


def _exp1_positive(x):
    near = chebyshev(on_interval(jnp.minimum(x, 1.0), 0, 1), tables.EXP1_NEAR) - jnp.log(x)
    y = jnp.maximum(x, 1.0)
    return jnp.where(x > 1, jnp.exp(-y) / y * chebyshev(beyond(y, 1, 3), tables.EXP1_FAR), near)


def _parts(pair: tuple[float, float], dtype) -> tuple[float, float]:
    """A number, given as a sum of two, as a sum of two of which the first is one of ``dtype``."""
    first = float(np.asarray(pair[0], dtype))
    return first, pair[0] - first + pair[1]


@with_derivatives(lambda out, x: jnp.exp(x) / x)
def _expi(x):
    size = abs(x)
    # Near its zero Ei(x) is of the size of x - zero, which must not cancel.
    zero, rest = _parts(tables.EXPI_ZERO, x.dtype)
    y = jnp.clip(size, 0, 6)
    apart = (y - zero) - rest
    close = abs(apart) < zero / 2
    log = jnp.where(close, jnp.log1p(jnp.where(close, apart, 0.0) / zero), jnp.log(y / zero))
    near = log + apart * chebyshev(on_interval(y, 0, 6), tables.EXPI_NEAR)
    u = 1 / jnp.maximum(size, 6.0)
    middle = chebyshev(on_interval(jnp.maximum(u, 1 / 15), 1 / 15, 1 / 6), tables.EXPI_MIDDLE)
    last = chebyshev(on_interval(jnp.minimum(u, 1 / 15), 0, 1 / 15), tables.EXPI_FAR)
    half = jnp.exp(size / 2)  # exp(x) is infinite before Ei(x) is
    far = half * (half * u * jnp.where(size > 15, last, middle))
    right = jnp.where(size == np.inf, np.inf, jnp.where(size > 6, far, near))
    return jnp.where(x < 0, -_exp1_positive(size), right)


@special
def expi(x):
    """The exponential integral Ei(x): exp(t) / t integrated from -inf to x (principal value); -inf at 0.

    >>> from addax.scipy.special import expi
    >>> round(expi(1.0).item(), 5)
    1.89512
    """
    real("expi", x)
    return _expi(x)


_exp1 = with_derivatives(lambda out, x: -jnp.exp(-x) / x)(_exp1_positive)


@special
def exp1(x):
    """The exponential integral E1(x): exp(-t) / t integrated from x to infinity; inf at 0, NaN below.

    >>> from addax.scipy.special import exp1
    >>> round(exp1(1.0).item(), 5)
    0.21938
    """
    real("exp1", x)
    return jnp.where(x < 0, np.nan, _exp1(jnp.where(x < 0, 1.0, x)))


def _expn_derivatives(out, n, x):
    return None, jnp.where(n < 1, -out * (1 + 1 / x), -_expn(jnp.maximum(n - 1, 0), x))  # E_0 = exp(-x) / x


@with_derivatives(_expn_derivatives)
def _expn(n, x):
    n, x = jnp.broadcast_arrays(n, x)
    whole = jnp.maximum(n, 1.0)
    out = jnp.where(x > 1, _expn_fraction(whole, jnp.maximum(x, 1.0)), _expn_series(whole, jnp.clip(x, 0.0, 1.0)))
    out = jnp.where(n == 0, jnp.exp(-x) / x, out)
    return jnp.where((n < 0) | (n != jnp.floor(n)) | (x < 0) | jnp.isnan(x), np.nan, out)


def _expn_series(n, x):
    """Abramowitz and Stegun 5.1.12, for 0 <= x <= 1."""
    total = jnp.zeros_like(x)
    for m in range(21):
        omitted = n == m + 1
        total = total - (-x) ** m / (jnp.where(omitted, 1.0, m + 1 - n) * math.factorial(m)) * ~omitted
    positive = jnp.where(x > 0, x, 1.0)
    power = jnp.exp((n - 1) * jnp.log(positive) - lax.lgamma(n))
    term = jnp.where(n % 2 == 1, power, -power) * (lax.digamma(n) - jnp.log(positive))
    at_zero = jnp.where(n == 1, np.inf, 1 / jnp.maximum(n - 1, 1.0))
    return jnp.where(x > 0, total + term, at_zero)


def _expn_fraction(n, x):
    """exp(-x) / (x + n - 1 n / (x + n + 2 - 2 (n + 1) / (x + n + 4 - ...))), for x >= 1, from below: as deep as x = 1
    needs it.
    """
    depth = 26 if x.dtype.itemsize <= 4 else 84
    total = x + n + 2 * depth
    for i in range(depth, 0, -1):
        total = x + n + 2 * (i - 1) - i * (n + (i - 1)) / total
    return jnp.exp(-x) / total


@special
def expn(n, x):
    """The exponential integral E_n(x): exp(-x t) / t^n integrated from 1 to infinity, for whole n >= 0 and x >= 0.

    >>> from addax.scipy.special import expn
    >>> round(expn(2, 1.0).item(), 5)
    0.1485
    """
    real("expn", x)
    return _expn(n, x)


def _sici_derivative(out, x):
    zero = x == 0
    safe = jnp.where(zero, 1.0, x)
    return jnp.where(zero, 1.0, jnp.sin(safe) / safe), jnp.cos(x) / x


@with_derivatives(_sici_derivative)
def _sici(x):
    """For x >= 0."""
    y = jnp.minimum(x, 4.0)
    s = on_interval(y * y, 0, 16)
    near = y * chebyshev(s, tables.SI_NEAR), np.euler_gamma + jnp.log(y) + y * y * chebyshev(s, tables.CI_NEAR)
    y = jnp.where((x > 4) & (x < np.inf), x, 4.0)
    s = beyond(y * y, 16, 64)
    f, g = chebyshev(s, tables.SICI_F) / y, chebyshev(s, tables.SICI_G) / (y * y)
    sin, cos = jnp.sin(y), jnp.cos(y)
    far = math.pi / 2 - f * cos - g * sin, f * sin - g * cos
    ends = math.pi / 2, 0.0
    return tuple(jnp.where(x == np.inf, end, jnp.where(x > 4, b, a)) for a, b, end in zip(near, far, ends, strict=True))


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


# B_2k / (2k + 1)! with the Bernoulli numbers B_2k.
_DEBYE = (
    1 / 36, -1 / 3600, 1 / 211680, -1 / 10886400, 1 / 526901760, -691 / 16999766784000, 1 / 1120863744000,
    -3617 / 181400588328960000,
)  # fmt: skip


@with_derivatives(_spence_derivative)
def _spence(x):
    """With u = -log(x) it is u - u^2 / 4 + sum_k B_2k u^(2k+1) / (2k + 1)! (Debye), used for 1/2 <= x <= 2; other x
    come there by inversion to 1 / x and reflection to 1 - x.
    """
    high = x > 2
    y = jnp.where(high, 1 / jnp.where(high, x, 1.0), x)
    low = y < 0.5
    log, log_rest = jnp.log(y), jnp.log1p(jnp.where(low, -y, 0.0))
    u = jnp.where(low, -log_rest, 0.0 - log)  # 0, not -0, at 1
    square = u * u
    total = jnp.zeros_like(u)
    for c in reversed(_DEBYE):
        total = total * square + c
    out = u - square / 4 + u * square * total
    out = jnp.where(low, math.pi**2 / 6 - jnp.where(y == 0, 0.0, log * log_rest) - out, out)
    return jnp.where(high, -out - log * log / 2, out)


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
    """Kummer's confluent hypergeometric function: the sum of (a)_k x^k / ((b)_k k!). Differentiable in x
    only; JAX's is in a and b too.

    >>> from addax.scipy.special import hyp1f1
    >>> round(hyp1f1(1.0, 1.0, 1.0).item(), 5)
    2.71828
    """
    real("hyp1f1", x)
    return _hyp1f1(a, b, x)


_hyp2f1 = on_host("hyp2f1", lambda out, a, b, c, x: (None, None, None, a * b / c * _hyp2f1(a + 1, b + 1, c + 1, x)))


@special
def hyp2f1(a, b, c, x):
    """Gauss's hypergeometric function: the sum of (a)_k (b)_k x^k / ((c)_k k!). Differentiable in x
    only; JAX's is in all arguments.

    >>> from addax.scipy.special import hyp2f1
    >>> round(hyp2f1(1.0, 1.0, 2.0, 0.5).item(), 5)
    1.38629
    """
    real("hyp2f1", x)
    return _hyp2f1(a, b, c, x)
