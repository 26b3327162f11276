"""Factorisations: Cholesky, QR, eigenvalues, singular values."""

from __future__ import annotations

from typing import Any, NamedTuple

from addax.interpreters.values import convert
from addax.lax import linalg as lax_linalg
from addax.numpy.base import fused
from addax.numpy.choosing import where
from addax.numpy.linalg.arguments import adjoint, inexact_one
from addax.numpy.sorting import argsort
from addax.numpy.taking import take_along_axis

_eigh = fused(static=("lower", "symmetrize_input"))(lax_linalg.eigh)


class EigResult(NamedTuple):
    """What `eig` returns."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


@fused(static=("upper", "symmetrize_input"))
def cholesky(a, *, upper: bool = False, symmetrize_input: bool = True):
    """The lower triangular L with L L^H = a, or the upper triangular U with U^H U = a.

    Args:
      a: ``[..., n, n]``, hermitian and positive definite.
      upper: return U.
      symmetrize_input: replace a by (a + a^H) / 2 first, so that derivatives are those with respect to all of ``a``.
        Without it only one triangle is read.

    Returns:
      ``[..., n, n]``; where ``a`` is not positive definite its triangle is NaN (NumPy raises an error).

    >>> import addax.numpy as jnp
    >>> jnp.linalg.cholesky(jnp.array([[4., 2.], [2., 5.]])).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    a = inexact_one("cholesky", a)
    if upper and not symmetrize_input:
        a = adjoint(a)  # of which the lower triangle is read
    factor = lax_linalg.cholesky(a, symmetrize_input=symmetrize_input)
    return adjoint(factor) if upper else factor


def qr(a, mode: str = "reduced"):
    """a = Q R with orthonormal columns of Q and upper triangular R.

    Args:
      a: ``[..., m, n]``; k = min(m, n).
      mode: ``"reduced"``: Q is ``[..., m, k]`` and R ``[..., k, n]``; ``"complete"``: ``[..., m, m]`` and ``[..., m, n]``;
        ``"r"``: R only; ``"raw"``: the reflectors of LAPACK, transposed, and their factors tau.

    Returns:
      ``QRResult(Q, R)``, or R alone.

    >>> import addax.numpy as jnp
    >>> q, r = jnp.linalg.qr(jnp.array([[3., 1.], [4., 2.]]))
    >>> jnp.allclose(q @ r, jnp.array([[3., 1.], [4., 2.]])).item()
    True
    """
    a = inexact_one("qr", a)
    if mode == "raw":
        reflectors, taus = lax_linalg.geqrf(a)
        return QRResult(reflectors.mT, taus)
    if mode not in ("reduced", "complete", "full", "r"):
        raise ValueError(f"Unsupported QR decomposition mode {mode!r}: expected 'reduced', 'complete', 'r' or 'raw'.")
    q, r = lax_linalg.qr(a, full_matrices=mode in ("complete", "full"))
    return r if mode == "r" else QRResult(q, r)


def eigh(a, UPLO: str | None = None, symmetrize_input: bool = True):
    """Eigenvalues and eigenvectors of hermitian matrices: a v = v diag(w), w real and ascending.

    Args:
      a: ``[..., n, n]``.
      UPLO: ``"L"`` or ``"U"``: which triangle is read if ``symmetrize_input`` is False.
      symmetrize_input: replace a by (a + a^H) / 2 first.

    Returns:
      ``EighResult(eigenvalues, eigenvectors)`` of shapes ``[..., n]`` and ``[..., n, n]``. Vectors are the columns; their
      derivatives exist where the eigenvalues are distinct.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.eigh(jnp.array([[2., 0.], [0., 1.]])).eigenvalues.tolist()
    [1.0, 2.0]
    """
    a = inexact_one("eigh", a)
    if UPLO not in (None, "L", "U"):
        raise ValueError(f"UPLO must be one of None, 'L', or 'U', got {UPLO}")
    v, w = _eigh(a, lower=UPLO != "U", symmetrize_input=symmetrize_input)
    return EighResult(w, v)


def eigvalsh(a, UPLO: str | None = "L", *, symmetrize_input: bool = True):
    """The eigenvalues of hermitian matrices, real and ascending. See `eigh`.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.eigvalsh(jnp.array([[2., 0.], [0., 1.]])).tolist()
    [1.0, 2.0]
    """
    return eigh(inexact_one("eigvalsh", a), UPLO, symmetrize_input).eigenvalues


def eig(a):
    """Eigenvalues and eigenvectors of square matrices: a v = v diag(w). Both are complex.

    The eigenvalues can be differentiated (where they are simple); for derivatives of the vectors see ``lax.linalg.eig``.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.eig(jnp.array([[0., 1.], [-1., 0.]])).eigenvalues.tolist()
    [1j, -1j]
    """
    w, v = lax_linalg.eig(inexact_one("eig", a), compute_left_eigenvectors=False)
    return EigResult(w, v)


def eigvals(a):
    """The eigenvalues of square matrices, complex and in no particular order.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.eigvals(jnp.array([[0., 1.], [-1., 0.]])).tolist()
    [1j, -1j]
    """
    a = inexact_one("eigvals", a)
    return lax_linalg.eig(a, compute_left_eigenvectors=False, compute_right_eigenvectors=False)[0]


def svd(
    a,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
):
    """Singular values and vectors: a = U diag(S) Vh, S real and descending.

    Args:
      a: ``[..., m, n]``; k = min(m, n).
      full_matrices: U is m by m and Vh n by n, else m by k and k by n. Only the latter can be differentiated, unless m = n.
      compute_uv: False to get S alone.
      hermitian: ``a`` is hermitian, which is faster.
      subset_by_index: only the values from ``start`` up to ``end``. Needs ``full_matrices=False`` or ``compute_uv=False``.

    Returns:
      ``SVDResult(U, S, Vh)`` or S.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.svd(jnp.array([[3., 0.], [0., 4.]]), compute_uv=False).tolist()
    [4.0, 3.0]
    """
    a = inexact_one("svd", a)
    if not hermitian:
        out = lax_linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv, subset_by_index=subset_by_index)
        return SVDResult(*out) if compute_uv else out
    v, w = lax_linalg.eigh(a)
    order: Any = argsort(-abs(w), axis=-1)
    w: Any = take_along_axis(w, order, axis=-1)
    start, end = (0, w.shape[-1]) if subset_by_index is None else subset_by_index
    s: Any = abs(w)
    s = s[..., start:end]
    if not compute_uv:
        return s
    u: Any = take_along_axis(v, order[..., None, :], axis=-1)
    u = u[..., start:end]
    signs = convert(where(w < 0, -1.0, 1.0), u.dtype)[..., start:end]
    return SVDResult(u, s, adjoint(u * signs[..., None, :]))


def svdvals(x, /):
    """The singular values of ``x``, ``[..., m, n]``, descending.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.svdvals(jnp.array([[3., 0.], [0., 4.]])).tolist()
    [4.0, 3.0]
    """
    return svd(inexact_one("svdvals", x), compute_uv=False)


__all__ = [
    "EigResult", "EighResult", "QRResult", "SVDResult", "cholesky", "eig", "eigh", "eigvals", "eigvalsh", "qr", "svd",
    "svdvals",
]  # fmt: skip
