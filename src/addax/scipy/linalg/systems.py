"""Systems of linear equations under SciPy's names."""

from __future__ import annotations

from addax import numpy as jnp
from addax.lax import fori_loop, linalg as lax_linalg
from addax.lax.convert import stop_gradient
from addax.lax.linear_solve import custom_linear_solve
from addax.numpy.linalg.arguments import adjoint, inexact, inexact_one, is_complex, square
from addax.scipy.linalg.factors import cho_factor, cho_solve, schur

_TRANSPOSED = {0: 0, "N": 0, 1: 1, "T": 1, 2: 2, "C": 2}


def det(a, overwrite_a: bool = False, check_finite: bool = True):
    """The determinant; see `addax.numpy.linalg.det`."""
    return jnp.linalg.det(inexact_one("det", a))


def inv(a, overwrite_a: bool = False, check_finite: bool = True):
    """The inverse; see `addax.numpy.linalg.inv`."""
    return jnp.linalg.inv(inexact_one("inv", a))


def solve(
    a, b, lower: bool = False, overwrite_a: bool = False, overwrite_b: bool = False, debug: bool = False,
    check_finite: bool = True, assume_a: str = "gen",
):  # fmt: skip
    """The x with a x = b.

    Args:
      a: ``[..., n, n]``.
      b: ``[n]`` or ``[..., n, m]``.
      lower: which triangle of ``a`` counts if it is positive definite.
      assume_a: ``"pos"`` to use a Cholesky factor; ``"gen"``, ``"sym"`` and ``"her"`` use LU.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import solve
    >>> solve(jnp.array([[1., 0.], [0., 4.]]), jnp.array([1., 2.]), assume_a="pos").tolist()
    [1.0, 0.5]
    """
    valid = ["gen", "sym", "her", "pos"]
    if assume_a not in valid:
        raise ValueError(f"Expected assume_a to be one of {valid}; got {assume_a!r}")
    if assume_a != "pos":
        return jnp.linalg.solve(a, b)
    a, b = inexact("solve", a, b)
    return cho_solve(cho_factor(square("solve", a), lower=lower), b)


def solve_triangular(
    a, b, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False, overwrite_b: bool = False, debug=None,
    check_finite: bool = True,
):  # fmt: skip
    """The x with op(a) x = b for triangular a.

    Args:
      a: ``[..., n, n]``, of which one triangle is read.
      b: ``[n]`` or ``[..., n, m]``.
      trans: op: 0 or "N", 1 or "T" for the transpose, 2 or "C" for the conjugate transpose.
      lower: which triangle.
      unit_diagonal: take the diagonal to be 1.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import solve_triangular
    >>> solve_triangular(jnp.array([[2., 0.], [1., 4.]]), jnp.array([2., 9.]), lower=True).tolist()
    [1.0, 2.0]
    """
    if trans not in _TRANSPOSED:
        raise ValueError(f"Invalid 'trans' value {trans}: expected 0, 1, 2, 'N', 'T' or 'C'.")
    a, b = inexact("solve_triangular", a, b)
    square("solve_triangular", a)
    op = _TRANSPOSED[trans]
    vector = b.ndim == 1
    x = lax_linalg.triangular_solve(
        a, b[:, None] if vector else b, left_side=True, lower=bool(lower), transpose_a=op > 0, conjugate_a=op == 2,
        unit_diagonal=bool(unit_diagonal),
    )  # fmt: skip
    return x[:, 0] if vector else x


def solve_sylvester(A, B, C, *, method: str = "schur", tol: float = 1e-8):
    """The X with A X + X B = C.

    Args:
      A: ``[m, m]``. B: ``[n, n]``. C: ``[m, n]``.
      method: ``"schur"`` (Bartels and Stewart, 1972), or ``"eigen"``, which needs A and B to be diagonalisable.
      tol: the result is NaN if a sum of an eigenvalue of A and one of B is smaller: then there is none, or many.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.linalg import solve_sylvester
    >>> solve_sylvester(jnp.array([[1.]]), jnp.array([[2.]]), jnp.array([[6.]])).tolist()
    [[2.0]]
    """
    A, B, C = inexact("solve_sylvester", A, B, C)
    if A.ndim != 2 or B.ndim != 2 or C.ndim != 2 or C.shape != (A.shape[0], B.shape[0]):
        raise ValueError(
            f"solve_sylvester needs A [m, m], B [n, n] and C [m, n]; got {A.shape}, {B.shape} and {C.shape}."
        )
    square("solve_sylvester", A)
    square("solve_sylvester", B)
    if method not in ("schur", "eigen"):
        raise ValueError(f"solve_sylvester: unknown method {method!r}: expected 'schur' or 'eigen'.")
    solver = _by_schur if method == "schur" else _by_eigenvalues
    a, b = stop_gradient(A), stop_gradient(B)
    return custom_linear_solve(
        lambda X: A @ X + X @ B, C, lambda _, C: solver(a, b, C, tol), lambda _, C: solver(a.T, b.T, C, tol)
    )


def _by_schur(A, B, C, tol):
    s, u = schur(A, "complex")
    t, v = schur(B, "complex")
    rhs = adjoint(u) @ C.astype(s.dtype) @ v
    eye = jnp.eye(A.shape[0], dtype=s.dtype)

    def column(k, y):
        shifted = s + t[k, k] * eye
        return y.at[:, k].set(
            lax_linalg.triangular_solve(shifted, (rhs[:, k] - y @ t[:, k])[:, None], left_side=True)[:, 0]
        )

    y = fori_loop(0, B.shape[0], column, jnp.zeros_like(rhs))
    return _checked(u @ y @ adjoint(v), jnp.diagonal(s), jnp.diagonal(t), C, tol)


def _by_eigenvalues(A, B, C, tol):
    w, u = jnp.linalg.eig(A)
    z, v = jnp.linalg.eig(B)
    rhs = jnp.linalg.solve(u, C.astype(u.dtype) @ v)
    x = jnp.linalg.solve(v.T, (u @ (rhs / (w[:, None] + z))).T).T
    return _checked(x, w, z, C, tol)


def _checked(x, w, z, like, tol):
    x = x if is_complex(like) else x.real
    return jnp.where(jnp.any(abs(w[:, None] + z) < tol), jnp.nan, x)
