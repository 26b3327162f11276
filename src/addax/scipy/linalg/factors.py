"""Factorisations under SciPy's names and conventions."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.lax import linalg as lax_linalg
from addax.numpy.linalg.arguments import adjoint, inexact, inexact_one, is_complex, square


def cholesky(a, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True):
    """The upper triangular U with U^H U = a, or with ``lower`` the L with L L^H = a; NaN if there is none.

    Only that triangle of ``a`` is read.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import cholesky
    >>> cholesky(jnp.array([[4., 2.], [2., 5.]]), lower=True).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    return jnp.linalg.cholesky(inexact_one("cholesky", a), upper=not lower, symmetrize_input=False)


def cho_factor(a, lower: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, bool]:
    """``(factor, lower)`` for `cho_solve`."""
    return cholesky(a, lower=lower), lower


def cho_solve(c_and_lower, b, overwrite_b: bool = False, check_finite: bool = True):
    """Solve a x = b with the result of `cho_factor`. b: ``[n]`` or ``[..., n, m]``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import cho_factor, cho_solve
    >>> cho_solve(cho_factor(jnp.array([[4., 0.], [0., 1.]])), jnp.array([4., 2.])).tolist()
    [1.0, 2.0]
    """
    factor, lower = c_and_lower
    factor, b = inexact("cho_solve", factor, b)
    square("cho_solve", factor)
    vector = b.ndim < 2
    b = b[..., None] if vector else b
    first, second = ({}, {"transpose_a": True, "conjugate_a": True}) if lower else (
        {"transpose_a": True, "conjugate_a": True}, {}
    )  # fmt: skip
    x = lax_linalg.triangular_solve(factor, b, left_side=True, lower=bool(lower), **first)
    x = lax_linalg.triangular_solve(factor, x, left_side=True, lower=bool(lower), **second)
    return x[..., 0] if vector else x


def lu_factor(a, overwrite_a: bool = False, check_finite: bool = True) -> tuple[Any, Any]:
    """``(lu, pivots)`` for `lu_solve`: both triangular factors in one matrix, and the row swaps."""
    factors, pivots, _ = lax_linalg.lu(inexact_one("lu_factor", a))
    return factors, pivots


def lu_solve(lu_and_piv, b, trans: int = 0, overwrite_b: bool = False, check_finite: bool = True):
    """Solve a x = b, a^T x = b (``trans=1``) or a^H x = b (2) with the result of `lu_factor`.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import lu_factor, lu_solve
    >>> lu_solve(lu_factor(jnp.array([[2., 0.], [0., 4.]])), jnp.array([1., 2.])).tolist()
    [0.5, 0.5]
    """
    factors, pivots = lu_and_piv
    factors, b = inexact("lu_solve", factors, b)
    square("lu_solve", factors)
    if trans not in (0, 1, 2):
        raise ValueError(f"'trans' value must be 0, 1, or 2, got {trans}")
    vector = b.ndim < 2
    b = b[..., None] if vector else b
    batch = np.broadcast_shapes(factors.shape[:-2], b.shape[:-2])
    b = jnp.broadcast_to(b, (*batch, *b.shape[-2:]))
    permutation = lax_linalg.lu_pivots_to_permutation(jnp.asarray(pivots), factors.shape[-1])
    factors = jnp.broadcast_to(factors, (*batch, *factors.shape[-2:]))
    rows = jnp.broadcast_to(permutation[..., None], b.shape)
    x: Any
    if trans == 0:
        x = jnp.take_along_axis(b, rows, axis=-2)
        x = lax_linalg.triangular_solve(factors, x, left_side=True, lower=True, unit_diagonal=True)
        x = lax_linalg.triangular_solve(factors, x, left_side=True)
    else:
        turned = {"left_side": True, "transpose_a": True, "conjugate_a": trans == 2}
        x = lax_linalg.triangular_solve(factors, b, **turned)
        x = lax_linalg.triangular_solve(factors, x, lower=True, unit_diagonal=True, **turned)
        x = jnp.take_along_axis(x, jnp.argsort(rows, axis=-2), axis=-2)
    return x[..., 0] if vector else x


def lu(a, permute_l: bool = False, overwrite_a: bool = False, check_finite: bool = True) -> tuple:
    """a = P L U: ``(P, L, U)``, or ``(P L, U)`` with ``permute_l``. a: ``[..., m, n]``, k = min(m, n), L ``[..., m, k]``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import lu
    >>> lu(jnp.array([[0., 2.], [4., 4.]]))[0].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    a = inexact_one("lu", a)
    factors, _, permutation = lax_linalg.lu(a)
    m, n = a.shape[-2:]
    k = min(m, n)
    real = dtypes.finfo(a.dtype).dtype
    p: Any = (jnp.asarray(permutation)[..., None, :] == np.arange(m)[:, None]).astype(real)
    low: Any = jnp.tril(factors[..., :k], -1) + jnp.eye(m, k, dtype=a.dtype)
    up = jnp.triu(factors[..., :k, :])
    return (p.astype(a.dtype) @ low, up) if permute_l else (p, low, up)


def qr(
    a,
    overwrite_a: bool = False,
    lwork: Any = None,
    mode: str = "full",
    pivoting: bool = False,
    check_finite: bool = True,
) -> tuple:
    """a = Q R, or with ``pivoting`` a[..., p] = Q R.

    Args:
      mode: ``"full"``, ``"economic"``, or ``"r"`` for R (and p) only.

    Returns:
      ``(Q, R)``, ``(Q, R, p)``, ``(R,)`` or ``(R, p)``.
    """
    if mode not in ("full", "economic", "r"):
        raise ValueError(f"Unsupported QR decomposition mode {mode!r}: expected 'full', 'economic' or 'r'.")
    q, *rest = lax_linalg.qr(inexact_one("qr", a), pivoting=pivoting, full_matrices=mode != "economic")
    return tuple(rest) if mode == "r" else (q, *rest)


def qr_multiply(
    a, c, mode: str = "right", pivoting: bool = False, conjugate: bool = False, overwrite_a: bool = False,
    overwrite_c: bool = False,
) -> tuple:  # fmt: skip
    """c Q (``mode="right"``) or Q c (``"left"``) for the economic QR factors of a, and R.

    Args:
      a: ``[m, n]``, k = min(m, n).
      c: ``[..., m]`` for "right", ``[k, ...]`` for "left".
      conjugate: take the conjugate of Q.

    Returns:
      ``(product, R)``, and the permutation with ``pivoting``.
    """
    if mode not in ("right", "left"):
        raise ValueError(f"qr_multiply: mode must be 'right' or 'left', got {mode!r}.")
    a, c = inexact("qr_multiply", a, c)
    q, *rest = lax_linalg.qr(a, pivoting=pivoting, full_matrices=False)
    q = q.conj() if conjugate and is_complex(q) else q
    m, k = q.shape[-2:]
    if mode == "right" and c.shape[-1] != m:
        raise ValueError(f"qr_multiply: c @ Q with a of shape {a.shape} needs {m} columns of c; got shape {c.shape}.")
    if mode == "left" and c.shape[0 if c.ndim == 1 else -2] != k:
        raise ValueError(f"qr_multiply: Q @ c with a of shape {a.shape} needs {k} rows of c; got shape {c.shape}.")
    return (c @ q if mode == "right" else q @ c, *rest)


def svd(
    a, full_matrices: bool = True, compute_uv: bool = True, overwrite_a: bool = False, check_finite: bool = True,
    lapack_driver: str = "gesdd",
):  # fmt: skip
    """``(U, s, Vh)`` with a = U diag(s) Vh, or s alone. See `addax.numpy.linalg.svd`."""
    out = lax_linalg.svd(inexact_one("svd", a), full_matrices=full_matrices, compute_uv=compute_uv)
    return tuple(out) if compute_uv else out


def eigh(
    a, b=None, lower: bool = True, eigvals_only: bool = False, overwrite_a: bool = False, overwrite_b: bool = False,
    turbo: bool = True, eigvals=None, type: int = 1, check_finite: bool = True,
):  # fmt: skip
    """Eigenvalues w, ascending, and eigenvectors v of hermitian matrices: a v = v diag(w), or a v = b v diag(w).

    Args:
      a: ``[..., n, n]``, of which one triangle is read.
      b: hermitian and positive definite, ``[..., n, n]``; then v^H b v = 1. (JAX refuses it.)
      lower: which triangle.
      eigvals_only: return w alone.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import eigh
    >>> eigh(jnp.array([[2., 0.], [0., 1.]]), eigvals_only=True).tolist()
    [1.0, 2.0]
    """
    if eigvals is not None:
        raise NotImplementedError("Only the eigvals=None case of eigh is implemented: slice the result.")
    if type != 1:
        raise NotImplementedError("Only the type=1 case of eigh is implemented.")
    if b is None:
        w, v = jnp.linalg.eigh(inexact_one("eigh", a), UPLO="L" if lower else "U", symmetrize_input=False)
        return w if eigvals_only else (w, v)
    a, b = inexact("eigh", a, b)
    a, b = (_hermitian(x, lower) for x in (a, b))
    factor = lax_linalg.cholesky(b)
    half = lax_linalg.triangular_solve(factor, a, left_side=True, lower=True)
    whole = lax_linalg.triangular_solve(factor, half, lower=True, transpose_a=True, conjugate_a=True)
    w, v = jnp.linalg.eigh(whole)
    if eigvals_only:
        return w
    return w, lax_linalg.triangular_solve(factor, v, left_side=True, lower=True, transpose_a=True, conjugate_a=True)


def _hermitian(x, lower: bool):
    part = jnp.tril(x) if lower else jnp.triu(x)
    return part + adjoint(jnp.tril(x, -1) if lower else jnp.triu(x, 1))


def eigh_tridiagonal(
    d, e, *, eigvals_only: bool = False, select: str = "a", select_range: tuple[float, float] | None = None,
    tol: float | None = None, key=None,
):  # fmt: skip
    """Eigenvalues w, ascending, and eigenvectors of a real symmetric tridiagonal matrix.

    Args:
      d, e: its diagonal ``[n]`` and off-diagonal ``[n - 1]``.
      eigvals_only: return w alone.
      select: ``"a"`` for all, ``"i"`` for those numbered ``select_range[0]`` to ``select_range[1]``, both included.
      tol, key: for iterative methods; the dense one used here needs neither.
    """
    d, e = inexact("eigh_tridiagonal", d, e)
    if select == "v":
        raise NotImplementedError(
            "eigh_tridiagonal(..., select='v') is not implemented: how many there are is not known."
        )
    if select not in ("a", "i"):
        raise ValueError(f"eigh_tridiagonal: select must be 'a', 'i' or 'v', got {select!r}.")
    dense = jnp.diag(d) + jnp.diag(e, 1) + jnp.diag(e.conj() if is_complex(e) else e, -1)
    w, v = jnp.linalg.eigh(dense)
    if select == "i":
        if select_range is None:
            raise ValueError("eigh_tridiagonal: select='i' needs a select_range.")
        first, last = (int(i) for i in select_range)
        if not 0 <= first <= last < d.shape[0]:
            raise ValueError(f"eigh_tridiagonal: select_range must be in [0, {d.shape[0] - 1}], got {select_range}.")
        w, v = w[first : last + 1], v[:, first : last + 1]
    return w if eigvals_only else (w, v)


def schur(a, output: str = "real") -> tuple[Any, Any]:
    """``(T, Z)`` with a = Z T Z^H: T upper triangular, or for real output with 2 by 2 blocks on the diagonal.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import schur
    >>> schur(jnp.array([[1., 2.], [0., 3.]]))[0].tolist()
    [[1.0, 2.0], [0.0, 3.0]]
    """
    if output not in ("real", "complex"):
        raise ValueError(f"Expected 'output' to be either 'real' or 'complex', got {output=}.")
    a = inexact_one("schur", a)
    if output == "complex":
        a = a.astype(dtypes.to_complex_dtype(a.dtype))
    t, z = lax_linalg.schur(a)
    return t, z


def rsf2csf(T, Z, check_finite: bool = True) -> tuple[Any, Any]:
    """The complex Schur form, T triangular, from the real one."""
    T, Z = (square("rsf2csf", x) for x in inexact("rsf2csf", T, Z))
    if T.shape != Z.shape:
        raise ValueError(f"rsf2csf: T and Z must have the same shape, got {T.shape} and {Z.shape}.")
    t, q = schur(T, "complex")
    return t, Z.astype(t.dtype) @ q


def hessenberg(a, *, calc_q: bool = False, overwrite_a: bool = False, check_finite: bool = True):
    """H, zero below the first subdiagonal, or with ``calc_q`` ``(H, Q)``, where a = Q H Q^H."""
    a = square("hessenberg", inexact_one("hessenberg", a))
    n = a.shape[-1]
    if n < 2:
        return (a, jnp.broadcast_to(jnp.eye(n, dtype=a.dtype), a.shape)) if calc_q else a
    factors, taus = lax_linalg.hessenberg(a)
    h = jnp.triu(factors, -1)
    if not calc_q:
        return h
    inner = lax_linalg.householder_product(factors[..., 1:, :-1], taus)
    q = jnp.zeros_like(a).at[..., 0, 0].set(1)
    return h, q.at[..., 1:, 1:].set(inner)


def polar(
    a, side: str = "right", *, method: str = "qdwh", eps: float | None = None, max_iterations: int | None = None
) -> tuple[Any, Any]:
    """The polar factors u, with orthonormal columns or rows, and p, hermitian: a = u p (``side="right"``) or a = p u.

    Both methods are computed from the singular values here, for matrices of any shape; ``eps`` and ``max_iterations``
    are for iterations.
    """
    if side not in ("right", "left"):
        raise ValueError(f"The argument `side` must be either 'right' or 'left', got {side!r}.")
    if method not in ("qdwh", "svd"):
        raise ValueError(f"polar: unknown method {method!r}: expected 'qdwh' or 'svd'.")
    u, s, vh = jnp.linalg.svd(inexact_one("polar", a), full_matrices=False)
    s = s.astype(u.dtype)
    p = adjoint(vh) @ (s[..., None] * vh) if side == "right" else (u * s[..., None, :]) @ adjoint(u)
    return u @ vh, p
