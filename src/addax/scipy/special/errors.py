"""The error function and the normal distribution; Dawson's, Fresnel's and Owen's integrals."""

from __future__ import annotations

import math

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.numpy.base import check_array_like
from addax.scipy.special import tables
from addax.scipy.special.functions import beyond, chebyshev, on_host, on_interval, real, special, with_derivatives
from addax.transforms.custom import custom_jvp

SQRT_HALF, LOG_SQRT_2PI = math.sqrt(0.5), math.log(2 * math.pi) / 2


@special
def erf(x):
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.

    >>> from addax.scipy.special import erf
    >>> round(erf(1.0).item(), 5)
    0.8427
    """
    return lax.erf(x)


@special
def erfc(x):
    """1 - erf(x), without the cancellation for large x.

    >>> from addax.scipy.special import erfc
    >>> round(erfc(1.0).item(), 5)
    0.1573
    """
    return lax.erfc(x)


@special
def erfinv(x):
    """The y with erf(y) = x.

    >>> from addax.scipy.special import erfinv
    >>> round(erfinv(0.5).item(), 5)
    0.47694
    """
    return lax.erf_inv(x)


@with_derivatives(lambda out, x: 2 * x * out - 2 / math.sqrt(math.pi))
def _erfcx(x):
    size = abs(x)
    right = chebyshev(beyond(size, 0, 3.75), tables.ERFCX) / (1 + 2 * size)
    # exp(x^2) with the rounding error of x^2: the leading digits of x have an exact square.
    lead = jnp.round(jnp.minimum(size, 64.0) * 16) / 16
    growth = jnp.exp(lead * lead) * jnp.exp((size - lead) * (size + lead))
    return jnp.where(x < 0, 2 * growth - right, right)


@special
def erfcx(x):
    """exp(x^2) erfc(x), which does not underflow for large x.

    >>> from addax.scipy.special import erfcx
    >>> round(erfcx(10.0).item(), 5)
    0.05614
    """
    real("erfcx", x)
    return _erfcx(x)


@with_derivatives(lambda out, x: 1 - 2 * x * out)
def _dawsn(x):
    square = jnp.minimum(x * x, 9.0)
    near = x * chebyshev(on_interval(square, 0, 9), tables.DAWSN_NEAR) / (1 + 2 * square)
    inverse = 1 / jnp.where(abs(x) > 3, x, 3.0)
    u = inverse * inverse
    middle = chebyshev(on_interval(u, 1 / 25, 1 / 9), tables.DAWSN_MIDDLE)
    far = chebyshev(on_interval(jnp.minimum(u, 1 / 25), 0, 1 / 25), tables.DAWSN_FAR)
    return jnp.where(abs(x) > 3, inverse * jnp.where(abs(x) > 5, far, middle), near)


@special
def dawsn(x):
    """Dawson's integral: exp(-x^2) times the integral of exp(t^2) from 0 to x.

    >>> from addax.scipy.special import dawsn
    >>> round(dawsn(1.0).item(), 5)
    0.53808
    """
    real("dawsn", x)
    return _dawsn(x)


_wofz = on_host("wofz", lambda out, z: 2j / math.sqrt(math.pi) - 2 * z * out)


@special
def wofz(z):
    """The Faddeeva function exp(-z^2) erfc(-iz), complex.

    >>> from addax.scipy.special import wofz
    >>> wofz(0.0).item()
    (1+0j)
    """
    return _wofz(z.astype(dtypes.to_complex_dtype(z.dtype)))


def _fresnel_derivative(out, x):
    angle = math.pi / 2 * x * x
    return jnp.sin(angle), jnp.cos(angle)


@with_derivatives(_fresnel_derivative)
def _fresnel(x):
    size = abs(x)
    square = jnp.minimum(size, 2.0) ** 2
    s = on_interval(square * square, 0, 16)
    near = size * square * chebyshev(s, tables.FRESNEL_S), size * chebyshev(s, tables.FRESNEL_C)
    far = size > 2
    y = jnp.where(far & (size < np.inf), size, 2.0)
    s = beyond(y * y * y * y, 16, 64)
    f, g = chebyshev(s, tables.FRESNEL_F) / y, chebyshev(s, tables.FRESNEL_G) / (y * y * y)
    # y^2 modulo 4, without rounding: the leading half of the digits of y has an exact square.
    info = dtypes.finfo(y.dtype)
    lead = lax.reduce_precision(y, info.nexp, info.nmant // 2)
    angle = math.pi / 2 * (lead * lead % 4 + (y - lead) * (y + lead) % 4)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    outs = [jnp.where(far, b, a) for a, b in zip(near, (0.5 - f * cos - g * sin, 0.5 + f * sin - g * cos), strict=True)]
    return tuple(jnp.sign(x) * jnp.where(size == np.inf, 0.5, v) for v in outs)


@special
def fresnel(x):
    """The pair (S, C) of Fresnel's integrals of sin(pi t^2 / 2) and cos(pi t^2 / 2) from 0 to x.

    >>> from addax.scipy.special import fresnel
    >>> [round(v.item(), 5) for v in fresnel(1.0)]
    [0.43826, 0.77989]
    """
    real("fresnel", x)
    return _fresnel(x)


def _owens_t_derivatives(out, h, a):
    by_h = -erf(a * h * SQRT_HALF) * jnp.exp(-h * h / 2) / (2 * math.sqrt(2 * math.pi))
    by_a = jnp.exp(-h * h * (1 + a * a) / 2) / (2 * math.pi * (1 + a * a))
    return by_h, by_a


@with_derivatives(_owens_t_derivatives)
def _owens_t(h, a):
    """By 32-point Gauss-Legendre quadrature of the defining integral (Owen, 1956), exp(-h^2 (1 + t^2) / 2) / (1 + t^2)
    over 2 pi from 0 to a, up to where it is negligible. T(h, a) with a > 1 is reduced to T(ah, 1/a).
    """
    h, size = abs(h), abs(a)
    turned = size > 1
    u = jnp.where(turned, h * size, h)
    u = jnp.where(jnp.isnan(u), 0.0, u)  # a product of 0 and inf
    slope = jnp.where(turned, 1 / jnp.where(turned, size, 1.0), size)
    end = jnp.minimum(slope, 9.0 / jnp.maximum(u, 9.0))
    points, weights = np.polynomial.legendre.leggauss(32)
    total = jnp.zeros_like(end + u)
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        t = end * point
        total = total + weight * jnp.exp(-u * u * t * t / 2) / (1 + t * t)
    part = jnp.exp(-u * u / 2) * end * total / (2 * math.pi)
    p, q = (lax.erfc(v * SQRT_HALF) / 2 for v in (h, u))
    out = jnp.where(turned, (p + q) / 2 - p * q - part, part)
    return jnp.sign(a) * jnp.where(jnp.isnan(h + a), np.nan, out)


@special
def owens_t(h, a):
    """Owen's T: the probability that X > h and 0 < Y < a X for independent standard normal X and Y.

    >>> from addax.scipy.special import owens_t
    >>> round(owens_t(0.0, 1.0).item(), 5)
    0.125
    """
    real("owens_t", h)
    return _owens_t(h, a)


# ---------------------------------------------------------------------------------------------------------------------
# The standard normal distribution


@special
def ndtr(x):
    """The distribution function of the standard normal: erfc(-x / sqrt(2)) / 2.

    >>> from addax.scipy.special import ndtr
    >>> ndtr(0.0).item()
    0.5
    """
    real("ndtr", x)
    return 0.5 * lax.erfc(-x * SQRT_HALF)


# Wichura, "Algorithm AS 241: the percentage points of the normal distribution", 1988 (PPND16): numerators and
# denominators of three rational functions, lowest power first. Relative error about 1e-16.
_CENTRAL = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3, 2.1213794301586595867e4,
     3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_MIDDLE = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1, 1.48103976427480074590e-1,
     1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_TAIL = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, 7.86869131145613259100e-4,
     1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def _rational(x, coefficients):
    out = []
    for row in coefficients:
        total = jnp.full_like(x, row[-1])
        for c in reversed(row[:-1]):
            total = total * x + c
        out.append(total)
    return out[0] / out[1]


@custom_jvp
def _ndtri(p):
    q = p - 0.5
    central = abs(q) <= 0.425
    middle_value = q * _rational(0.180625 - jnp.where(central, q, 0.0) ** 2, _CENTRAL)
    edge = jnp.where(q < 0, p, 1 - p)
    inside = (edge > 0) & ~central
    r = jnp.sqrt(-jnp.log(jnp.where(inside, edge, 0.1)))
    far = r > 5
    outer = jnp.where(
        far, _rational(jnp.where(far, r, 6.0) - 5, _TAIL), _rational(jnp.where(far, 2.0, r) - 1.6, _MIDDLE)
    )
    out = jnp.where(central, middle_value, jnp.where(q < 0, -outer, outer))
    ends = jnp.where(p == 0, -np.inf, jnp.where(p == 1, np.inf, np.nan))
    return jnp.where((p > 0) & (p < 1), out, ends).astype(p.dtype)


@_ndtri.defjvp
def _ndtri_jvp(primals, tangents):
    x = _ndtri(*primals)
    return x, tangents[0] * (math.sqrt(2 * math.pi) * jnp.exp(x * x / 2))


@special
def ndtri(p):
    """The x with ndtr(x) = p; -inf and inf at 0 and 1, NaN outside.

    >>> from addax.scipy.special import ndtri
    >>> round(ndtri(0.975).item(), 3)
    1.96
    """
    real("ndtri", p)
    return _ndtri(p)


def log_ndtr(x, series_order: int = 3):
    """log(ndtr(x)), also where ndtr(x) underflows.

    Args:
      x: a real array.
      series_order: terms of the asymptotic series for very negative x, at most 30. (At least 8 are used, which is what
        float64 needs.)

    >>> from addax.scipy.special import log_ndtr
    >>> round(log_ndtr(-50.0).item(), 2)
    -1254.83
    """
    if not isinstance(series_order, int):
        raise TypeError(f"log_ndtr: series_order must be a Python integer, got {series_order!r}.")
    if series_order < 0:
        raise ValueError(f"log_ndtr: series_order must be non-negative, got {series_order}.")
    if series_order > 30:
        raise ValueError(f"log_ndtr: series_order must be <= 30, got {series_order}.")
    check_array_like("log_ndtr", x)
    return _log_ndtr(x)


@custom_jvp
def _log_ndtr_body(x):
    bound = -20.0 if x.dtype == np.float64 else -10.0
    below = x < bound
    inner = jnp.where(below, 0.0, x)
    upper = jnp.log1p(-0.5 * lax.erfc(jnp.maximum(inner, 0.0) * SQRT_HALF))
    lower = jnp.log(0.5 * lax.erfc(-jnp.minimum(inner, 0.0) * SQRT_HALF))
    far = jnp.where(below, x, bound)
    r = 1 / (far * far)
    series = jnp.ones_like(r)
    for k in range(8, 0, -1):  # 1 - r (1 - 3 r (1 - 5 r (...)))
        series = 1 - (2 * k - 1) * r * series
    asymptotic = -far * far / 2 - jnp.log(-far) - LOG_SQRT_2PI + jnp.log(series)
    return jnp.where(below, asymptotic, jnp.where(x > 0, upper, lower))


@_log_ndtr_body.defjvp
def _log_ndtr_jvp(primals, tangents):
    (x,) = primals
    out = _log_ndtr_body(x)
    return out, tangents[0] * jnp.exp(-x * x / 2 - LOG_SQRT_2PI - out)


@special
def _log_ndtr(x):
    real("log_ndtr", x)
    return _log_ndtr_body(x)
