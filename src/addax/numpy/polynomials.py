"""Polynomials as vectors of coefficients, the highest power first: poly, polyval, polyfit, roots, vander."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.interpreters.values import convert
from addax.lax.control_flow import scan
from addax.numpy import linalg
from addax.numpy.base import (
    as_array,
    as_operand,
    broadcast_shapes,
    check_array_like,
    known,
    promote_dtypes,
    promote_inexact,
)
from addax.numpy.choosing import where
from addax.numpy.convolution import convolve
from addax.numpy.creation import asarray, full, inexact_arrays, zeros
from addax.numpy.editing import trim_zeros
from addax.numpy.joining import concatenate
from addax.numpy.products import dot, outer
from addax.numpy.reductions import all as all_, argmax
from addax.numpy.shapes import atleast_1d, broadcast_to, expand_dims, roll
from addax.numpy.triangles import diag

# Polynomials up to this degree are evaluated by straight-line code.
_UNROLLED = 16


def _coefficients(name: str, *xs) -> list:
    """The arguments as vectors of one dtype.

    Raises:
      TypeError: for scalars.
    """
    check_array_like(name, *xs)
    arrays = [asarray(x) for x in promote_dtypes(*(as_operand(x) for x in xs))]
    for a in arrays:
        if a.ndim != 1:
            error = TypeError if a.ndim == 0 else ValueError
            raise error(f"{name}: a polynomial is a vector of coefficients, got an array of shape {a.shape}")
    return arrays


def poly(seq_of_zeros) -> Any:
    """The coefficients of the polynomial with these roots and leading coefficient 1; of a matrix, the characteristic one.

    Args:
      seq_of_zeros: a vector of n roots, or a square matrix.

    >>> import addax.numpy as jnp
    >>> jnp.poly(jnp.array([1.0, 2.0])).tolist()
    [1.0, -3.0, 2.0]
    """
    (a,) = inexact_arrays("poly", seq_of_zeros)
    a = atleast_1d(a)
    if a.ndim == 2 and a.shape[0] == a.shape[1] and a.shape[0]:
        a = linalg.eigvals(a)
    if a.ndim != 1:
        raise ValueError(f"poly: input must be 1d or non-empty square 2d array, got shape {a.shape}")
    if not a.shape[0]:
        return asarray(1, a.dtype)
    out = asarray(np.ones(1), a.dtype)
    for i in range(a.shape[0]):
        zero = zeros((1,), a.dtype)
        out = concatenate([out, zero]) - a[i] * concatenate([zero, out])
    return out


def polyval(p, x, *, unroll: int = _UNROLLED) -> Any:
    """``p[0] x^(n-1) + ... + p[n-1]``, by Horner's rule.

    Args:
      p: coefficients along the first axis.
      x: any shape that broadcasts with ``p[0]``.
      unroll: how many steps each turn of the loop makes.

    >>> import addax.numpy as jnp
    >>> jnp.polyval(jnp.array([1, 0, 2]), 3).item()
    11
    """
    check_array_like("polyval", p, x)
    p, x = (asarray(v) for v in promote_dtypes(as_operand(p), as_operand(x)))
    p, x = convert(p, p.dtype, False), convert(x, x.dtype, False)
    if p.ndim == 0:
        raise IndexError("polyval: a polynomial is a vector of coefficients, got a scalar")
    shape = broadcast_shapes(p.shape[1:], x.shape)
    y = zeros(shape, p.dtype)
    if p.shape[0] <= unroll:
        for i in range(p.shape[0]):
            y = y * x + p[i]
        return y
    return scan(lambda y, c: (y * x + c, None), y, p, unroll=unroll)[0]


def polyadd(a1, a2) -> Any:
    """The sum of two polynomials.

    >>> import addax.numpy as jnp
    >>> jnp.polyadd(jnp.array([1, 2]), jnp.array([1, 0, 0])).tolist()
    [1, 1, 2]
    """
    a, b = _coefficients("polyadd", a1, a2)
    return _padded(a, b.shape[0]) + _padded(b, a.shape[0])


def polysub(a1, a2) -> Any:
    """The difference of two polynomials."""
    a, b = _coefficients("polysub", a1, a2)
    return _padded(a, b.shape[0]) - _padded(b, a.shape[0])


def _padded(a, length: int):
    missing = length - a.shape[0]
    return concatenate([zeros((missing,), a.dtype), a]) if missing > 0 else a


def polymul(a1, a2, *, trim_leading_zeros: bool = False) -> Any:
    """The product of two polynomials.

    Args:
      trim_leading_zeros: of the arguments, as NumPy does; not in compiled functions.

    >>> import addax.numpy as jnp
    >>> jnp.polymul(jnp.array([1, 2]), jnp.array([1, 3])).tolist()
    [1.0, 5.0, 6.0]
    """
    a, b = _coefficients("polymul", *inexact_arrays("polymul", a1, a2))
    if trim_leading_zeros and (a.size > 1 or b.size > 1):
        a, b = trim_zeros(a, "f"), trim_zeros(b, "f")
    a, b = (asarray(np.zeros(1), v.dtype) if not v.size else v for v in (a, b))
    return convolve(a, b)


def polydiv(u, v, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """The quotient and the remainder of two polynomials, ``u = quotient v + remainder``.

    Args:
      trim_leading_zeros: of the remainder, as NumPy does; not in compiled functions. Otherwise it has the length of u.

    >>> import addax.numpy as jnp
    >>> quotient, remainder = jnp.polydiv(jnp.array([1.0, 3.0, 2.0]), jnp.array([1.0, 1.0]))
    >>> quotient.tolist(), remainder.tolist()
    ([1.0, 2.0], [0.0, 0.0, 0.0])
    """
    u, v = _coefficients("polydiv", *inexact_arrays("polydiv", u, v))
    m, n = u.shape[0] - 1, v.shape[0] - 1
    quotient = []
    for k in range(max(m - n + 1, 0)):
        d = u[k] / v[0]
        quotient.append(d)
        u = u.at[k : k + n + 1].add(-d * v)
    q = concatenate([expand_dims(d, 0) for d in quotient]) if quotient else zeros((1,), u.dtype)
    return q, trim_zeros(u, "f") if trim_leading_zeros else u


def _order(name: str, m: Any, what: str) -> int:
    m = operator.index(m)
    if m < 0:
        raise ValueError(f"{name}: the order of the {what} must be non-negative, got {m}")
    return m


def polyder(p, m: int = 1) -> Any:
    """The coefficients of the ``m``-th derivative.

    >>> import addax.numpy as jnp
    >>> jnp.polyder(jnp.array([1.0, 2.0, 3.0])).tolist()
    [2.0, 2.0]
    """
    (p,) = inexact_arrays("polyder", p)
    m = _order("polyder", m, "derivative")
    if m == 0:
        return p
    if p.ndim == 0:
        raise TypeError("polyder: a polynomial is a vector of coefficients, got a scalar")
    n = p.shape[0]
    kept = max(n - m, 0)
    factors = np.asarray([math.prod(range(q - m + 1, q + 1)) for q in range(n - 1, n - 1 - kept, -1)], np.float64)
    return p[:kept] * asarray(factors.reshape(-1, *(1,) * (p.ndim - 1)), p.dtype)


def polyint(p, m: int = 1, k: Any = None) -> Any:
    """The coefficients of the ``m``-th integral, whose constants of integration are ``k`` (default 0).

    Args:
      k: a scalar for all, or a vector of m constants, that of the first integration first.

    >>> import addax.numpy as jnp
    >>> jnp.polyint(jnp.array([2.0, 2.0]), k=5).tolist()
    [1.0, 2.0, 5.0]
    """
    m = _order("polyint", m, "integral")
    p, k = inexact_arrays("polyint", p, 0 if k is None else k)
    if m == 0:
        return p
    if p.ndim != 1:
        error = TypeError if p.ndim == 0 else ValueError
        raise error(f"polyint: a polynomial is a vector of coefficients, got an array of shape {p.shape}")
    k = atleast_1d(k)
    if k.ndim > 1 or k.shape[0] not in (1, m):
        raise ValueError(f"polyint: k must be a scalar or a rank-1 array of length 1 or {m}, got shape {k.shape}")
    k = broadcast_to(k, (m,))
    n = p.shape[0]
    # A coefficient that ends at power q started at q - m, or was a constant of integration.
    divisors = [math.prod(range(max(q - m, 0) + 1, q + 1)) for q in range(n + m - 1, -1, -1)]
    return concatenate([p, k]) / asarray(np.asarray(divisors, np.float64), p.dtype)


def roots(p, *, strip_zeros: bool = True) -> Any:
    """The roots of the polynomial with coefficients ``p``: the eigenvalues of its companion matrix, complex numbers.

    Args:
      strip_zeros: leave out leading zeros, which decides how many roots there are. In compiled functions it must be
        False; then leading zeros give roots that are nan, at the end.

    Raises:
      ConcretizationTypeError: for traced coefficients, unless ``strip_zeros=False``.

    >>> import addax.numpy as jnp
    >>> sorted(jnp.roots(jnp.array([1.0, -3.0, 2.0])).real.round(3).tolist())
    [1.0, 2.0]
    """
    (p,) = inexact_arrays("roots", p)
    p = atleast_1d(p)
    if p.ndim != 1:
        raise ValueError(f"roots: input must be a rank-1 array, got shape {p.shape}")
    if p.shape[0] < 2:
        return zeros((0,), dtypes.to_complex_dtype(p.dtype))
    if not strip_zeros:
        return _roots_after(p, argmax(p != 0), all_(p == 0))
    value = known(p)
    if value is None:
        raise ConcretizationTypeError(
            p, "It arose in roots, which leaves out leading zeros: the number of roots depends on the values. In a "
            "compiled function pass strip_zeros=False."
        )  # fmt: skip
    found = np.flatnonzero(value)
    if not found.size:
        return zeros((0,), dtypes.to_complex_dtype(p.dtype))
    first, last = int(found[0]), int(found[-1])
    tail = p.shape[0] - 1 - last  # trailing zeros are roots at 0
    p = p[first : last + 1]
    out = _companion_roots(p) if p.shape[0] > 1 else zeros((0,), dtypes.to_complex_dtype(p.dtype))
    return concatenate([out, zeros((tail,), out.dtype)]) if tail else out


def _companion_roots(p):
    n = p.shape[0] - 1
    companion = diag(asarray(np.ones(n - 1), p.dtype), -1)
    return linalg.eigvals(companion.at[0, :].set(-p[1:] / p[0]))


def _roots_after(p, leading, none):
    """The roots, with ``leading`` zeros in front of the coefficients: these are moved to the end, as roots 0, then nan."""
    n = p.shape[0] - 1
    p = roll(p, -leading)
    out = _companion_roots(where(none, 1, p))
    # The roots at 0 that the zeros now behind the polynomial bring are the smallest; all others come first.
    order = abs(out).argsort(descending=True)
    missing = np.arange(n) >= n - leading
    return where(missing | none, complex(np.nan, np.nan), out[order])


def vander(x, N: int | None = None, increasing: bool = False) -> Any:
    """The matrix of powers ``x[i]^(N - 1 - j)``, or ``x[i]^j`` if ``increasing``.

    Args:
      x: a vector.
      N: the number of columns, by default as many as rows.

    >>> import addax.numpy as jnp
    >>> jnp.vander(jnp.array([2, 3]), 3).tolist()
    [[4, 2, 1], [9, 3, 1]]
    """
    check_array_like("vander", x)
    x = as_array(x)
    if x.ndim != 1:
        raise ValueError(f"vander: x must be a one-dimensional array, got shape {x.shape}")
    n = x.shape[0] if N is None else operator.index(N)
    if n < 0:
        raise ValueError(f"vander: N must be nonnegative, got {n}")
    if x.dtype == np.bool_:
        raise TypeError("vander: powers of booleans are not defined: convert them with astype(int).")
    columns = []
    power = full((x.shape[0], 1), 1, x.dtype)
    for _ in range(n):
        columns.append(power)
        power = power * x[:, None]
    if not columns:
        return zeros((x.shape[0], 0), x.dtype)
    return concatenate(columns if increasing else columns[::-1], 1)


def polyfit(x, y, deg: int, rcond: float | None = None, full: bool = False, w=None, cov: bool | str = False) -> Any:
    """The polynomial of degree ``deg`` that fits the points best: min_p sum_i (w_i (polyval(p, x_i) - y_i))^2.

    Args:
      x: coordinates, a vector of n. y: values, of shape [n] or [n, k] (one polynomial per column).
      rcond: singular values below this times the largest are taken as 0; by default n times the machine epsilon.
      full: return also the residuals, the rank, the singular values and ``rcond``.
      w: weights of the points, shape [n].
      cov: return also the covariance matrix of the coefficients, shape [deg + 1, deg + 1] or [deg + 1, deg + 1, k];
        "unscaled" for weights that are 1 / sigma.

    >>> import addax.numpy as jnp
    >>> x = jnp.arange(4.0)
    >>> jnp.polyfit(x, 2 * x + 1, 1).round(3).tolist()
    [2.0, 1.0]
    """
    given = (x, y) if w is None else (x, y, w)
    check_array_like("polyfit", *given)
    x, y = (as_array(v) for v in (x, y))
    deg = operator.index(deg)
    if deg < 0:
        raise ValueError(f"polyfit: expected deg >= 0, got {deg}")
    if x.ndim != 1:
        raise TypeError(f"polyfit: expected 1D vector for x, got shape {x.shape}")
    if x.size == 0:
        raise TypeError("polyfit: expected non-empty vector for x")
    if not 1 <= y.ndim <= 2:
        raise TypeError(f"polyfit: expected 1D or 2D array for y, got shape {y.shape}")
    if x.shape[0] != y.shape[0]:
        raise TypeError(f"polyfit: expected x and y to have same length, got {x.shape[0]} and {y.shape[0]}")
    x, y, *weights = (as_array(v) for v in promote_inexact(x, y, *([] if w is None else [as_operand(w)])))
    n = x.shape[0]
    if rcond is None:
        rcond = n * float(dtypes.finfo(x.dtype).eps)
    lhs, rhs = vander(x, deg + 1), y
    if weights:
        (w,) = weights
        if w.ndim != 1:
            raise TypeError(f"polyfit: expected a 1-d array for weights, got shape {w.shape}")
        if w.shape[0] != n:
            raise TypeError(f"polyfit: expected w and y to have the same length, got {w.shape[0]} and {n}")
        lhs = lhs * w[:, None]
        rhs = rhs * (w if rhs.ndim == 1 else w[:, None])
    # Columns of norm 1 make the singular values comparable.
    scale = (lhs.real**2 + lhs.imag**2).sum(0) ** 0.5 if dtypes.issubdtype(lhs.dtype, np.complexfloating) else (
        (lhs * lhs).sum(0) ** 0.5
    )  # fmt: skip
    lhs = lhs / scale
    c, residuals, rank, singular = linalg.lstsq(lhs, rhs, rcond)
    c = (c.T / scale).T
    if full:
        return c, residuals, rank, singular, asarray(rcond)
    if not cov:
        return c
    base = linalg.inv(dot(lhs.T, lhs)) / outer(scale, scale)
    if cov == "unscaled":
        factor: Any = 1
    else:
        if n <= deg + 1:
            raise ValueError(
                f"polyfit: the number of data points must exceed order to scale the covariance matrix: {n} points for "
                f"degree {deg}"
            )
        factor = residuals / (n - (deg + 1))
    return (c, base * factor) if y.ndim == 1 else (c, base[:, :, None] * factor)


__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval", "roots", "vander",
]  # fmt: skip
