"""Matrices with a name: built from vectors (Toeplitz, companion, ...) or from their size (Hilbert, Pascal, ...)."""

from __future__ import annotations

import importlib
import math
import operator

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.numpy.base import as_operand, check_array_like, promote_dtypes
from addax.numpy.linalg.arguments import is_complex


def _vector(name: str, x):
    check_array_like(name, x)
    return jnp.atleast_1d(jnp.asarray(x))


def _size(name: str, n, least: int = 0) -> int:
    n = operator.index(n)
    if n < least:
        raise ValueError(f"{name}: n must be {'positive' if least else 'non-negative'}; got {n}.")
    return n


def _constant(x, dtype=None):
    return jnp.asarray(np.asarray(x).astype(dtypes.default_float_dtype() if dtype is None else dtype))


# ---------------------------------------------------------------------------------------------------------------------
# From vectors. Vectors are the last dimension, the others are a batch.


def block_diag(*arrs):
    """The matrices, vectors (as rows) and scalars ``arrs`` along a diagonal, zeros elsewhere.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import block_diag
    >>> block_diag(jnp.ones((1, 2)), 5.0).tolist()
    [[1.0, 1.0, 0.0], [0.0, 0.0, 5.0]]
    """
    if not arrs:
        return jnp.zeros((1, 0))
    check_array_like("block_diag", *arrs)
    blocks = [jnp.atleast_2d(jnp.asarray(x)) for x in promote_dtypes(*(as_operand(x) for x in arrs))]
    for i, x in enumerate(blocks):
        if x.ndim > 2:
            raise ValueError(f"block_diag: arguments must have at most 2 dimensions; argument {i} has shape {x.shape}.")
    columns = sum(x.shape[1] for x in blocks)
    rows, before = [], 0
    for x in blocks:
        m, n = x.shape
        parts = [jnp.zeros((m, before), x.dtype), x, jnp.zeros((m, columns - before - n), x.dtype)]
        rows.append(jnp.concatenate(parts, axis=1))
        before += n
    return jnp.concatenate(rows, axis=0)


def toeplitz(c, r=None):
    """The matrix with ``c`` as first column and ``r`` as first row (its first element is not used), constant diagonals.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import toeplitz
    >>> toeplitz(jnp.array([1, 2]), jnp.array([0, 3, 4])).tolist()
    [[1, 3, 4], [2, 1, 3]]
    """
    c = _vector("toeplitz", c)
    r = (c.conj() if is_complex(c) else c) if r is None else _vector("toeplitz", r)
    c, r = (jnp.asarray(x) for x in promote_dtypes(c, r))
    batch = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
    m, n = c.shape[-1], r.shape[-1]
    if 0 in (m, n):
        return jnp.zeros((*batch, m, n), c.dtype)
    c, r = jnp.broadcast_to(c, (*batch, m)), jnp.broadcast_to(r, (*batch, n))
    values = jnp.concatenate([c[..., ::-1], r[..., 1:]], axis=-1)
    return values[..., np.arange(n)[None, :] - np.arange(m)[:, None] + m - 1]


def hankel(c, r=None):
    """The matrix with ``c`` as first column and ``r`` (by default zeros) as last row, constant anti-diagonals.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import hankel
    >>> hankel(jnp.array([1, 2]), jnp.array([0, 3, 4])).tolist()
    [[1, 2, 3], [2, 3, 4]]
    """
    c = _vector("hankel", c)
    r = jnp.zeros_like(c) if r is None else _vector("hankel", r)
    c, r = (jnp.asarray(x) for x in promote_dtypes(c, r))
    batch = np.broadcast_shapes(c.shape[:-1], r.shape[:-1])
    m, n = c.shape[-1], r.shape[-1]
    if 0 in (m, n):
        return jnp.zeros((*batch, m, n), c.dtype)
    c, r = jnp.broadcast_to(c, (*batch, m)), jnp.broadcast_to(r, (*batch, n))
    values = jnp.concatenate([c, r[..., 1:]], axis=-1)
    return values[..., np.arange(n)[None, :] + np.arange(m)[:, None]]


def circulant(c):
    """The matrix whose columns are ``c``, rolled further down in each.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import circulant
    >>> circulant(jnp.array([1, 2, 3])).tolist()
    [[1, 3, 2], [2, 1, 3], [3, 2, 1]]
    """
    c = _vector("circulant", c)
    n = c.shape[-1]
    i = np.arange(n)
    return c[..., (i[:, None] - i[None, :]) % n] if n else jnp.zeros((*c.shape, 0), c.dtype)


def companion(a):
    """The matrix whose eigenvalues are the roots of the polynomial with coefficients ``a``, highest power first.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import companion
    >>> companion(jnp.array([1., -3., 2.])).tolist()
    [[3.0, -2.0], [1.0, 0.0]]
    """
    a = _vector("companion", a)
    n = a.shape[-1]
    if n < 2:
        raise ValueError(f"companion: the length of `a` along the last axis must be at least 2; got shape {a.shape}.")
    first = -a[..., 1:] / a[..., :1]
    below = jnp.broadcast_to(jnp.eye(n - 2, n - 1, dtype=first.dtype), (*a.shape[:-1], n - 2, n - 1))
    return jnp.concatenate([first[..., None, :], below], axis=-2)


def convolution_matrix(a, n: int, mode: str = "full"):
    """The matrix that convolves vectors of length ``n`` with ``a``: ``convolve(a, v, mode)`` is its product with v.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import convolution_matrix
    >>> convolution_matrix(jnp.array([1, 2]), 2).tolist()
    [[1, 0], [2, 1], [0, 2]]
    """
    a = _vector("convolution_matrix", a)
    n = _size("convolution_matrix", n, 1)
    if mode not in ("full", "valid", "same"):
        raise ValueError(f"convolution_matrix: mode must be one of 'full', 'valid', 'same'; got {mode!r}.")
    m = a.shape[-1]
    if m == 0:
        raise ValueError("convolution_matrix: `a` must not be empty.")
    i, j = np.arange(m + n - 1)[:, None], np.arange(n)[None, :]
    inside = (i - j >= 0) & (i - j < m)
    full = jnp.where(inside, a[..., np.clip(i - j, 0, m - 1)], np.zeros((), a.dtype))
    if mode == "full":
        return full
    length = max(m, n) if mode == "same" else max(m, n) - min(m, n) + 1
    start = (m + n - 1 - length) // 2 if mode == "same" else min(m, n) - 1
    return full[..., start : start + length, :]


def fiedler(a):
    """The symmetric matrix with elements ``|a_i - a_j|``."""
    a = _vector("fiedler", a)
    return abs(a[..., :, None] - a[..., None, :])


def fiedler_companion(a):
    """A pentadiagonal companion matrix of the polynomial with coefficients ``a``, highest power first.

    Its eigenvalues are the roots (Fiedler, "A note on companion matrices", 2003).
    """
    a = _vector("fiedler_companion", a)
    if a.shape[-1] < 2:
        raise ValueError(f"fiedler_companion: `a` needs at least 2 coefficients; got shape {a.shape}.")
    a = a / a[..., :1]
    n = a.shape[-1] - 1
    if n == 1:
        return -a[..., 1:, None]
    out = jnp.zeros((*a.shape[:-1], n, n), a.dtype)
    even, odd = np.arange(0, n, 2), np.arange(1, n, 2)
    out = out.at[..., even, np.maximum(even - 1, 0)].set(-a[..., even + 1])
    left = even[even + 1 < n]
    out = out.at[..., left, left + 1].set(-a[..., left + 2])
    left = even[even + 2 < n]
    out = out.at[..., left, left + 2].set(1)
    return out.at[..., odd, np.maximum(odd - 2, 0)].set(1)


def leslie(f, s):
    """The Leslie matrix of population dynamics: fertilities ``f`` ``[n]`` in the first row, survival ``s`` ``[n - 1]`` below.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import leslie
    >>> leslie(jnp.array([0.5, 2.0]), jnp.array([0.25])).tolist()
    [[0.5, 2.0], [0.25, 0.0]]
    """
    f, s = (jnp.atleast_1d(jnp.asarray(x)) for x in promote_dtypes(_vector("leslie", f), _vector("leslie", s)))
    n = f.shape[-1]
    if s.shape[-1] != n - 1:
        raise ValueError(
            "leslie: incorrect lengths for f and s. The length of s along the last axis must be one less than the length "
            f"of f; got f shape {f.shape} and s shape {s.shape}."
        )
    batch = np.broadcast_shapes(f.shape[:-1], s.shape[:-1])
    i = np.arange(n - 1)
    out = jnp.zeros((*batch, n, n), f.dtype).at[..., 0, :].set(f)
    return out.at[..., i + 1, i].set(s)


# ---------------------------------------------------------------------------------------------------------------------
# From their size


def _scipy(name: str, *args, **kwargs) -> np.ndarray:
    return getattr(importlib.import_module("scipy.linalg"), name)(*args, **kwargs)


def hilbert(n: int):
    """The n by n matrix with elements 1 / (i + j + 1).

    >>> from addax.scipy.linalg import hilbert
    >>> hilbert(2).tolist()[0]
    [1.0, 0.5]
    """
    i = np.arange(_size("hilbert", n), dtype=np.float64)
    return _constant(1 / (i[:, None] + i + 1))


def invhilbert(n: int):
    """The inverse of `hilbert`: whole numbers, correctly rounded."""
    n = _size("invhilbert", n)

    def element(i: int, j: int) -> float:
        comb = math.comb(n + i, n - j - 1) * math.comb(n + j, n - i - 1) * math.comb(i + j, i) ** 2
        return float((-1) ** (i + j) * (i + j + 1) * comb)

    return _constant(np.array([[element(i, j) for j in range(n)] for i in range(n)]).reshape(n, n))


def _pascal_kind(name: str, kind: str | None) -> str:
    kind = "symmetric" if kind is None else kind
    if kind not in ("symmetric", "lower", "upper"):
        raise ValueError(f"{name}: expected kind to be one of ['symmetric', 'lower', 'upper']; got {kind}")
    return kind


def pascal(n: int, kind: str | None = None):
    """Binomial coefficients: (i + j choose i), or in a triangle (i choose j).

    >>> from addax.scipy.linalg import pascal
    >>> pascal(3).tolist()[2]
    [1.0, 3.0, 6.0]
    """
    return _constant(_scipy("pascal", _size("pascal", n), kind=_pascal_kind("pascal", kind), exact=False))


def invpascal(n: int, kind: str | None = None):
    """The inverse of `pascal`."""
    return _constant(_scipy("invpascal", _size("invpascal", n), kind=_pascal_kind("invpascal", kind), exact=False))


def hadamard(n: int, dtype=int):
    """The n by n Hadamard matrix, of ones and minus ones with orthogonal rows; n a power of 2.

    >>> from addax.scipy.linalg import hadamard
    >>> hadamard(2).tolist()
    [[1, 1], [1, -1]]
    """
    n = operator.index(n)
    if n < 1 or n & (n - 1):
        raise ValueError(f"hadamard: n must be a positive power of 2; got {n}.")
    return _constant(_scipy("hadamard", n), dtypes.canonicalize_user_dtype(dtype, "hadamard"))


def helmert(n: int, full: bool = False):
    """Orthonormal rows orthogonal to a constant one, ``[n - 1, n]``; with ``full`` that one first, ``[n, n]``."""
    return _constant(_scipy("helmert", _size("helmert", n, 1), full=full))


def dft(n: int, scale: str | None = None, *, dtype=None):
    """The matrix of the discrete Fourier transform, exp(-2 pi i j k / n), times 1, 1/sqrt(n) or 1/n.

    Args:
      scale: None, ``"sqrtn"`` or ``"n"``.
    """
    if scale not in (None, "sqrtn", "n"):
        raise ValueError(f"dft: scale must be None, 'sqrtn', or 'n'; got {scale!r}.")
    dtype = dtypes.default_complex_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "dft")
    if not dtypes.issubdtype(dtype, np.complexfloating):
        raise ValueError(
            f"dft: dtype must be complex, got {dtypes.dtype_name(dtype)}: take the real part of the result."
        )
    return _constant(_scipy("dft", _size("dft", n), scale=scale), dtype)
