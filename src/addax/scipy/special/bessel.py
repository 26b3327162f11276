"""Bessel functions and spherical harmonics."""

from __future__ import annotations

import math
import operator

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.core.trace import Tracer
from addax.numpy.base import check_array_like
from addax.numpy.creation import inexact_arrays
from addax.scipy.special.functions import real, special


@special
def i0e(x):
    """exp(-|x|) I0(x).

    >>> from addax.scipy.special import i0e
    >>> i0e(0.0).item()
    1.0
    """
    return lax.bessel_i0e(x)


@special
def i0(x):
    """The modified Bessel function of the first kind of order 0.

    >>> from addax.scipy.special import i0
    >>> round(i0(1.0).item(), 4)
    1.2661
    """
    return jnp.exp(abs(x)) * lax.bessel_i0e(x)


@special
def i1e(x):
    """exp(-|x|) I1(x).

    >>> from addax.scipy.special import i1e
    >>> i1e(0.0).item()
    0.0
    """
    return lax.bessel_i1e(x)


@special
def i1(x):
    """The modified Bessel function of the first kind of order 1.

    >>> from addax.scipy.special import i1
    >>> round(i1(1.0).item(), 4)
    0.5652
    """
    return jnp.exp(abs(x)) * lax.bessel_i1e(x)


def bessel_jn(z, *, v: int, n_iter: int = 50):
    """Bessel functions of the first kind J_0(z), ..., J_v(z), stacked in front.

    By Miller's algorithm: the recurrence J_{k-1} = (2k / z) J_k - J_{k+1} run downwards from k = ``n_iter``, and scaled
    by J_0 + 2 (J_2 + J_4 + ...) = 1. ``n_iter`` must exceed v and |z| well. (In float32 JAX 0.10 gives NaN for |z| < 3,
    where this recurrence overflows; here it is rescaled on the way.)

    >>> from addax.scipy.special import bessel_jn
    >>> [round(j, 4) for j in bessel_jn(1.0, v=1).tolist()]
    [0.7652, 0.4401]
    """
    (z,) = inexact_arrays("bessel_jn", z)
    real("bessel_jn", z)
    v, n_iter = operator.index(v), operator.index(n_iter)
    if v < 0 or n_iter <= v:
        raise ValueError(f"bessel_jn: v must be in [0, n_iter), got v={v}, n_iter={n_iter}.")
    zero = z == 0
    safe = jnp.where(zero, 1.0, z).astype(z.dtype)
    kept = [jnp.zeros_like(safe)] * (v + 1)
    above, here, norm = jnp.zeros_like(safe), jnp.full_like(safe, 1e-18), jnp.zeros_like(safe)

    def down(k, above, here, norm):
        below = 2 * k / safe * here - above
        scale = lax.stop_gradient(jnp.where(abs(below) > 1e10, 1e-10, 1.0)).astype(z.dtype)
        return here * scale, below * scale, norm * scale, scale

    for k in range(n_iter, 0, -1):  # ``here`` is J_k, up to a factor
        if k % 2 == 0:
            norm = norm + 2 * here
        if k <= v:
            kept[k] = here
        above, here, norm, scale = down(k, above, here, norm)
        kept = [x * scale if i >= k and i <= v else x for i, x in enumerate(kept)]
    kept[0] = here
    out = jnp.stack(kept) / (norm + here)
    at_zero = np.zeros((v + 1, *(1 for _ in z.shape)), z.dtype)
    at_zero[0] = 1
    return jnp.where(zero, at_zero, out)


def sph_harm_y(n, m, theta, phi, diff_n: int | None = None, n_max: int | None = None):
    """Spherical harmonics of degree n and order m: N P_n^m(cos theta) exp(i m phi), orthonormal on the sphere.

    Args:
      n, m: integer arrays of equal shape ``[k]``, ``|m| <= n`` (0 elsewhere).
      theta, phi: polar and azimuthal angle, ``[k]``.
      diff_n: derivatives are not implemented here; use `addax.jvp`.
      n_max: the largest degree; needed where ``n`` is traced.

    Returns:
      A complex array ``[k]``.

    The associated Legendre functions come, normalised, from the recurrence in the degree (Press et al., "Numerical
    recipes", 3rd edition, 6.7), which is stable for all n and m.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.special import sph_harm_y
    >>> round(sph_harm_y(jnp.array([0]), jnp.array([0]), jnp.array([0.3]), jnp.array([0.4]))[0].real.item(), 4)
    0.2821
    """
    if diff_n is not None:
        raise NotImplementedError("sph_harm_y: diff_n is not implemented; differentiate with addax.jvp.")
    check_array_like("sph_harm_y", n, m, theta, phi)
    n, m, theta, phi = jnp.broadcast_arrays(*(jnp.asarray(x) for x in (n, m, theta, phi)))
    if n_max is None:
        if isinstance(n, Tracer):
            raise ValueError(
                "sph_harm_y: the argument n_max must be given where n is traced: it says how far to compute."
            )
        n_max = int(np.max(np.asarray(n), initial=0))
    dtype = dtypes.to_inexact_dtype(dtypes.promote_types(theta.dtype, phi.dtype))
    theta, phi = theta.astype(dtype), phi.astype(dtype)
    x, y = jnp.cos(theta), jnp.sin(theta)
    order = abs(m)
    found = jnp.zeros_like(x)
    diagonal = jnp.full_like(x, math.sqrt(1 / (4 * math.pi)))
    for k in range(n_max + 1):  # P_k^k, then up in the degree
        if k:
            diagonal = -math.sqrt((2 * k + 1) / (2 * k)) * y * diagonal
        below, here = jnp.zeros_like(x), diagonal
        for degree in range(k, n_max + 1):
            if degree > k:
                a = math.sqrt((4 * degree**2 - 1) / (degree**2 - k**2))
                b = math.sqrt(((degree - 1) ** 2 - k**2) / (4 * (degree - 1) ** 2 - 1))
                below, here = here, a * (x * here - b * below)
            found = jnp.where((order == k) & (n == degree), here, found)
    sign = jnp.where((m < 0) & (order % 2 == 1), -1.0, 1.0).astype(dtype)
    angle = m.astype(dtype) * phi
    return lax.complex(sign * found * jnp.cos(angle), sign * found * jnp.sin(angle))
