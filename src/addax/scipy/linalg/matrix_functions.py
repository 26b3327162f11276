"""Functions of matrices: exponential, square root, and any other by the Schur form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.numpy.linalg.arguments import adjoint, eps_of, inexact, inexact_one, square
from addax.scipy.linalg.factors import schur
from addax.transforms.autodiff import jvp
from addax.transforms.vmap import vmap

# Coefficients of the numerator of the [13/13] Pade approximant of exp; the denominator has them with alternating signs.
_PADE = (
    64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
    670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
)  # fmt: skip
_THETA = 5.371920351148152  # up to this norm it is exact to float64 (Higham, 2005, table 2.3)


def expm(A, *, upper_triangular: bool = False, max_squarings: int = 16):
    """The matrix exponential, the sum of A^k / k!, of ``[..., n, n]``.

    By scaling, a Pade approximant, and squaring (Higham, "The scaling and squaring method for the matrix exponential
    revisited", 2005); always with the approximant of degree 13.

    Args:
      A: square matrices.
      upper_triangular: they are, which saves work.
      max_squarings: for matrices that would need more (with norms above 5.4 * 2**max_squarings) the result is NaN.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import expm
    >>> expm(jnp.array([[0., 1.], [0., 0.]])).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    A = square("expm", inexact_one("expm", A))
    if A.ndim > 2:
        flat = A.reshape(-1, *A.shape[-2:])
        one = lambda a: expm(a, upper_triangular=upper_triangular, max_squarings=max_squarings)  # noqa: E731
        return vmap(one)(flat).reshape(A.shape) if flat.shape[0] else A
    if A.size == 0:
        return A
    norm = lax.stop_gradient(jnp.max(jnp.sum(abs(A), axis=0)))
    squarings = jnp.maximum(0, jnp.ceil(jnp.log2(norm / _THETA)))
    squarings = jnp.where(jnp.isfinite(squarings), squarings, 0).astype(np.int32)
    A = A / (2.0**squarings).astype(A.dtype)
    odd, even = _pade(A)
    numerator, denominator = even + odd, even - odd
    if upper_triangular:
        r = lax.linalg.triangular_solve(denominator, numerator, left_side=True)
    else:
        r = jnp.linalg.solve(denominator, numerator)

    def square_again(r, i):
        return lax.cond(i < squarings, lambda r: r @ r, lambda r: r, r), None

    r = lax.scan(square_again, r, jnp.arange(max_squarings, dtype=np.int32))[0] if max_squarings else r
    return jnp.where(squarings > max_squarings, np.nan, r)


def _pade(A):
    """The odd and even parts of the numerator, with powers of A up to 6."""
    b = [c / _PADE[0] for c in _PADE]  # so that nothing overflows in float32
    eye = jnp.eye(A.shape[0], dtype=A.dtype)
    a2 = A @ A
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = A @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    return odd, even


def expm_frechet(A, E, *, method: str | None = None, compute_expm: bool = True):
    """The derivative of `expm` at A in the direction E, as ``(expm(A), derivative)`` or alone."""
    A, E = inexact("expm_frechet", A, E)
    square("expm_frechet", A)
    if A.shape != E.shape:
        raise ValueError(f"expm_frechet: expected A and E of the same shape, got {A.shape} and {E.shape}.")
    outs: Any = jvp(expm, (A,), (E,))
    return (outs[0], outs[1]) if compute_expm else outs[1]


def _diagonals(n: int) -> np.ndarray:
    return np.arange(n)[None, :] - np.arange(n)[:, None]


def funm(A, func: Callable, disp: bool = True):
    """``func``, applied to the matrix A ``[n, n]``: complex.

    By the Schur form and Parlett's recurrence (Golub and Van Loan, "Matrix computations", algorithm 9.1.1), which loses
    accuracy where eigenvalues are close to each other.

    Args:
      func: a function of arrays, element by element.
      disp: False to get ``(result, estimated relative error)``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import funm
    >>> funm(jnp.diag(jnp.array([1., 4.])), jnp.sqrt).real.tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    A = inexact_one("funm", A)
    if A.ndim != 2:
        raise ValueError(f"funm: expected a square matrix, got shape {A.shape}.")
    square("funm", A)
    t, z = schur(A, "complex")
    n = t.shape[0]
    w = jnp.diagonal(t)
    gaps = w[None, :] - w[:, None]
    where = _diagonals(n)

    def diagonal(p, f):  # T F - F T = 0 gives the p-th diagonal from those below
        s = t @ f - f @ t
        return f + jnp.where(where == p, s / jnp.where(gaps == 0, 1, gaps), 0)

    f = lax.fori_loop(1, n, diagonal, jnp.diag(func(w)).astype(t.dtype))
    out = z @ f @ adjoint(z)
    if disp:
        return out
    eps = eps_of(t)
    smallest = jnp.min(jnp.where(where > 0, abs(gaps), np.inf), initial=np.inf)
    smallest = jnp.where(smallest == 0, eps, smallest)
    spread = jnp.max(jnp.sum(abs(jnp.triu(t, 1)), axis=0), initial=0)
    error = jnp.minimum(1, jnp.maximum(eps, eps / smallest * spread))
    return out, jnp.where(jnp.all(jnp.isfinite(out)), error, np.inf)


def sqrtm(A, blocksize: int = 1):
    """The principal square root of a matrix ``[n, n]``: complex, R with R R = A.

    By the Schur form (Bjorck and Hammarling, "A Schur method for the square root of a matrix", 1983).

    Args:
      A: a square matrix.
      blocksize: only 1.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import sqrtm
    >>> sqrtm(jnp.diag(jnp.array([1., 4.]))).real.tolist()
    [[1.0, 0.0], [0.0, 2.0]]
    """
    if blocksize > 1:
        raise NotImplementedError("sqrtm: blocked versions (blocksize > 1) are not implemented.")
    A = inexact_one("sqrtm", A)
    if A.ndim != 2:
        raise ValueError(f"sqrtm: expected a square matrix, got shape {A.shape}.")
    square("sqrtm", A)
    t, z = schur(A.astype(dtypes.to_complex_dtype(A.dtype)), "complex")
    w = jnp.sqrt(jnp.diagonal(t))
    sums = w[:, None] + w[None, :]
    where = _diagonals(t.shape[0])

    def diagonal(p, r):
        s = t - r @ r
        return r + jnp.where(where == p, jnp.where(s == 0, 0, s / sums), 0)

    r = lax.fori_loop(1, t.shape[0], diagonal, jnp.diag(w))
    return z @ r @ adjoint(z)
