"""Linear algebra on stacks of matrices: factorisations and triangular systems, as LAPACK names them.

Every function works on the last two dimensions and maps over the others. Dtypes are float32, float64 and their complex
kin. `addax.numpy.linalg` and `addax.scipy.linalg` offer the same under the names of NumPy and SciPy, with promotion.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core.avals import get_aval
from addax.core.notation import register_param_type
from addax.lax.arguments import integer, operand as _operand
from addax.lax.primitives import primitive_named
from addax.ops import householder as _householder, linalg as _linalg, matrix as mx, spectral as _spectral

Array = Any


@register_param_type
class EigImplementation(enum.Enum):
    """Which library computes `eig`. On the CPU it is LAPACK."""

    CUSOLVER = "cusolver"
    MAGMA = "magma"
    LAPACK = "lapack"


@register_param_type
class EighImplementation(enum.Enum):
    """Which algorithm computes `eigh`. On the CPU it is LAPACK's, QR."""

    QR = "qr"
    JACOBI = "jacobi"
    QDWH = "qdwh"


@register_param_type
class SvdAlgorithm(enum.Enum):
    """Which algorithm computes `svd`. On the CPU it is divide and conquer."""

    DEFAULT = "default"
    QR = "QR"
    JACOBI = "Jacobi"
    POLAR = "polar"
    DIVIDE_AND_CONQUER = "divide_and_conquer"


def _symmetrized(name: str, x):
    aval = get_aval(x)
    if aval.ndim < 2:
        raise TypeError(f"Input 0 to {name} must have rank at least 2, but got shape={aval.shape}")
    mx.check_square(name, aval)
    total = mx.bind("add", x, mx.H(x))
    return mx.bind("div", total, np.asarray(2, aval.dtype)[()])


# ---------------------------------------------------------------------------------------------------------------------
# Systems and triangular factors


def triangular_solve(
    a: Array,
    b: Array,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Array:
    """Solve a triangular system: x with op(a) x = b, or x op(a) = b.

    Args:
      a: ``[..., n, n]``, of which one triangle is read.
      b: ``[..., n, m]`` with ``left_side``, else ``[..., m, n]``; also ``[..., n]`` for one right-hand side.
      left_side: whether ``op(a)`` stands left of x.
      lower: which triangle.
      transpose_a, conjugate_a: what ``op`` is.
      unit_diagonal: take the diagonal of ``a`` to be 1 without reading it.

    Returns:
      x, of the shape of ``b``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> a = jnp.array([[2., 0.], [1., 4.]])
    >>> lax.linalg.triangular_solve(a, jnp.array([[2.], [9.]]), left_side=True, lower=True).tolist()
    [[1.0], [2.0]]
    """
    name = "triangular_solve"
    a, b = _operand(name, a, 0), _operand(name, b, 1)
    a_rank, b_shape = get_aval(a).ndim, get_aval(b).shape
    vector = len(b_shape) == a_rank - 1 and len(b_shape) > 0
    if vector:
        b = mx.bind(
            "reshape", b, new_sizes=(*b_shape, 1) if left_side else (*b_shape[:-1], 1, b_shape[-1]), dimensions=None,
            sharding=None,
        )  # fmt: skip
    x = _linalg.triangular_solve.bind(
        a,
        b,
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        conjugate_a=bool(conjugate_a) and mx.is_complex(a),
        unit_diagonal=bool(unit_diagonal),
    )
    return mx.bind("reshape", x, new_sizes=b_shape, dimensions=None, sharding=None) if vector else x


def cholesky(x: Array, *, symmetrize_input: bool = True) -> Array:
    """The lower triangular L with L L^H = x.

    Args:
      x: ``[..., n, n]``, hermitian and positive definite.
      symmetrize_input: replace x by (x + x^H) / 2 first, so that derivatives are those with respect to all of x. Without
        it only the lower triangle is read.

    Returns:
      ``[..., n, n]``; nan in the lower triangle where x is not positive definite.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.cholesky(jnp.array([[4., 2.], [2., 5.]])).tolist()
    [[2.0, 0.0], [1.0, 2.0]]
    """
    x = _operand("cholesky", x)
    return mx.tril(_linalg.cholesky.bind(_symmetrized("cholesky", x) if symmetrize_input else x))


def cholesky_update(r_matrix: Array, w_vector: Array) -> Array:
    """The Cholesky factor after adding w w^T: upper triangular s with s^T s = r^T r + w w^T, in O(n^2).

    Args:
      r_matrix: ``[..., n, n]``, upper triangular.
      w_vector: ``[..., n]``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.cholesky_update(jnp.array([[3.]]), jnp.array([4.])).tolist()
    [[5.0]]
    """
    return _linalg.cholesky_update.bind(
        _operand("cholesky_update", r_matrix, 0), _operand("cholesky_update", w_vector, 1)
    )


def symmetric_product(
    a_matrix: Array, c_matrix: Array, *, alpha: float = 1.0, beta: float = 0.0, symmetrize_output: bool = False
) -> Array:
    """alpha a a^T + beta c.

    Args:
      a_matrix: ``[..., n, m]``.
      c_matrix: ``[..., n, n]``, symmetric.
      symmetrize_output: for engines that compute one triangle only, fill the other. (Here both are computed.)

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.symmetric_product(jnp.array([[1., 2.]]), jnp.array([[7.]]), beta=1.0).tolist()
    [[12.0]]
    """
    name = "symmetric_product"
    out = _linalg.symmetric_product.bind(
        _operand(name, a_matrix, 0), _operand(name, c_matrix, 1), alpha=float(alpha), beta=float(beta)
    )
    return mx.add(mx.tril(out), mx.T(mx.tril(out, -1))) if symmetrize_output else out


def lu(x: Array) -> tuple[Array, Array, Array]:
    """LU factors with partial pivoting: x[permutation] = l u.

    Args:
      x: ``[..., m, n]``.

    Returns:
      ``lu``, ``[..., m, n]``: u on and above the diagonal, l below it, whose own diagonal is 1;
      ``pivots``, int32 ``[..., min(m, n)]``: row i was swapped with row pivots[i], one after the other;
      ``permutation``, int32 ``[..., m]``: what those swaps make of the rows.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> factors, pivots, permutation = lax.linalg.lu(jnp.array([[1., 2.], [4., 4.]]))
    >>> factors.tolist(), permutation.tolist()
    ([[4.0, 4.0], [0.25, 1.0]], [1, 0])
    """
    factors, pivots, permutation = _linalg.lu.bind(_operand("lu", x))
    return factors, pivots, permutation


def lu_pivots_to_permutation(pivots: Array, permutation_size: int) -> Array:
    """The permutation of ``permutation_size`` rows that the swaps of `lu` make.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.lu_pivots_to_permutation(jnp.array([2, 2, 2]), 4).tolist()
    [2, 0, 1, 3]
    """
    name = "lu_pivots_to_permutation"
    return _linalg.lu_pivots_to_permutation.bind(
        _operand(name, pivots), permutation_size=integer(name, "permutation_size", permutation_size)
    )


def tridiagonal_solve(dl: Array, d: Array, du: Array, b: Array, *, perturb_singular: bool = False) -> Array:
    """Solve tridiagonal systems: dl_i x_{i-1} + d_i x_i + du_i x_{i+1} = b_i.

    Args:
      dl, d, du: the diagonals below, on and above the main one, each ``[..., n]``; ``dl[0]`` and ``du[n-1]`` are not
        used.
      b: ``[..., n, m]``.
      perturb_singular: replace zeros of d by a tiny number.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> zeros, ones = jnp.zeros(3), jnp.ones(3)
    >>> lax.linalg.tridiagonal_solve(ones, ones, zeros, jnp.array([[1.], [1.], [1.]])).ravel().tolist()
    [1.0, 0.0, 1.0]
    """
    name = "tridiagonal_solve"
    operands = [_operand(name, x, i) for i, x in enumerate((dl, d, du, b))]
    return _linalg.tridiagonal_solve.bind(*operands, perturb_singular=bool(perturb_singular))


# ---------------------------------------------------------------------------------------------------------------------
# Orthogonal factors


def qr(x: Array, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None) -> tuple:
    """x = q r, with q orthogonal (unitary) and r upper triangular.

    Args:
      x: ``[..., m, n]``.
      pivoting: permute columns so that the diagonal of r decreases: x[..., p] = q r.
      full_matrices: q is m by m and r m by n; else with k = min(m, n) they are m by k and k by n.
      use_magma: for GPUs.

    Returns:
      ``(q, r)``, or ``(q, r, p)`` with ``pivoting``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> q, r = lax.linalg.qr(jnp.array([[3.], [4.]]), full_matrices=False)
    >>> bool(jnp.allclose(q @ r, jnp.array([[3.], [4.]])))
    True
    """
    return tuple(
        _householder.qr.bind(
            _operand("qr", x), pivoting=bool(pivoting), full_matrices=bool(full_matrices), use_magma=use_magma
        )
    )


def geqrf(a: Array) -> tuple[Array, Array]:
    """The QR factors as Householder reflectors: r above the diagonal and the vectors below it, and their taus."""
    factors, taus = _householder.geqrf.bind(_operand("geqrf", a))
    return factors, taus


def householder_product(a: Array, taus: Array) -> Array:
    """The first n columns of the product of reflectors (1 - tau_i v_i v_i^H).

    Args:
      a: ``[..., m, n]``, with v_i below the diagonal of column i, where it is 1.
      taus: ``[..., k]``, k <= n.

    Returns:
      ``[..., m, n]``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.householder_product(jnp.zeros((1, 1)), jnp.array([2.])).tolist()
    [[-1.0]]
    """
    name = "householder_product"
    return _householder.householder_product.bind(_operand(name, a, 0), _operand(name, taus, 1))


def ormqr(a: Array, taus: Array, c: Array, *, left: bool = True, transpose: bool = False) -> Array:
    """q c, q^H c, c q or c q^H for the square q that reflectors stand for, without forming it.

    Args:
      a, taus: reflectors, as `geqrf` gives them.
      c: ``[..., m, n]``.
      left: whether q stands left of c.
      transpose: whether it is q^H.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.ormqr(jnp.zeros((2, 1)), jnp.array([2.]), jnp.eye(2)).tolist()
    [[-1.0, 0.0], [0.0, 1.0]]
    """
    operands = [_operand("ormqr", x, i) for i, x in enumerate((a, taus, c))]
    return _householder.ormqr.bind(*operands, left=bool(left), transpose=bool(transpose))


# ---------------------------------------------------------------------------------------------------------------------
# Spectral factors


def eigh(
    x: Array,
    *,
    lower: bool = True,
    symmetrize_input: bool = True,
    sort_eigenvalues: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    implementation: EighImplementation | None = None,
) -> tuple[Array, Array]:
    """Eigenvectors and eigenvalues of hermitian matrices: x v = v diag(w).

    Args:
      x: ``[..., n, n]``.
      lower: which triangle is read, if ``symmetrize_input`` is False.
      symmetrize_input: replace x by (x + x^H) / 2 first.
      sort_eigenvalues: in ascending order. (Here they always are.)
      subset_by_index: give only those from ``start`` up to ``end``.
      implementation: for accelerators.

    Returns:
      ``v``, ``[..., n, n]``, whose columns are orthonormal, and real ``w``, ``[..., n]``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> v, w = lax.linalg.eigh(jnp.array([[2., 0.], [0., 1.]]))
    >>> w.tolist()
    [1.0, 2.0]
    """
    x = _operand("eigh", x)
    v, w = _spectral.eigh.bind(
        _symmetrized("eigh", x) if symmetrize_input else x,
        lower=bool(lower),
        sort_eigenvalues=bool(sort_eigenvalues),
        subset_by_index=_range(subset_by_index),
        algorithm=implementation,
    )
    return v, w


def _range(subset) -> tuple[int, int] | None:
    return None if subset is None else (int(subset[0]), int(subset[1]))


def svd(
    x: Array,
    *,
    full_matrices: bool = True,
    compute_uv: bool = True,
    subset_by_index: tuple[int, int] | None = None,
    algorithm: SvdAlgorithm | None = None,
) -> Any:
    """Singular values and vectors: x = u diag(s) vh.

    Args:
      x: ``[..., m, n]``.
      full_matrices: u is m by m and vh n by n; else m by k and k by n with k = min(m, n). Only the latter can be
        differentiated, unless m = n.
      compute_uv: False to get the values only.
      subset_by_index: give only values and vectors from ``start`` up to ``end``.
      algorithm: for accelerators.

    Returns:
      ``(u, s, vh)``, or ``s``, which is real and descending.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.svd(jnp.array([[3., 0.], [0., 4.]]), compute_uv=False).tolist()
    [4.0, 3.0]
    """
    outs = _spectral.svd.bind(
        _operand("svd", x),
        full_matrices=bool(full_matrices),
        compute_uv=bool(compute_uv),
        subset_by_index=_range(subset_by_index),
        algorithm=algorithm,
    )
    return (outs[1], outs[0], outs[2]) if compute_uv else outs[0]


def eig(
    x: Array,
    *,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
    implementation: EigImplementation | None = None,
    use_magma: bool | None = None,
) -> list[Array]:
    """Eigenvalues and eigenvectors of any square matrices: x v = v diag(w), u^H x = diag(w) u^H.

    Args:
      x: ``[..., n, n]``.
      compute_left_eigenvectors, compute_right_eigenvectors: whether u and v are wanted.
      enable_eigvec_derivs: allow derivatives of the vectors, which are valid where eigenvalues are distinct.
      implementation, use_magma: for GPUs.

    Returns:
      A list of complex arrays: ``w``, ``[..., n]``, then u, then v, those that are wanted, each ``[..., n, n]`` with
      columns of length 1 whose largest element is real.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.eig(jnp.array([[0., 1.], [-1., 0.]]))[0].tolist()
    [1j, -1j]
    """
    return _spectral.eig.bind(
        _operand("eig", x),
        compute_left_eigenvectors=bool(compute_left_eigenvectors),
        compute_right_eigenvectors=bool(compute_right_eigenvectors),
        enable_eigvec_derivs=bool(enable_eigvec_derivs),
        implementation=implementation,
    )


def schur(
    x: Array,
    *,
    compute_schur_vectors: bool = True,
    sort_eig_vals: bool = False,
    select_callable: Callable[..., Any] | None = None,
) -> list[Array]:
    """x = z t z^H with unitary z and upper triangular t; for real x, t has 2 by 2 blocks for complex eigenvalues.

    Returns:
      ``[t, z]``, or ``[t]`` without ``compute_schur_vectors``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.linalg.schur(jnp.array([[1., 2.], [0., 3.]]))[0].tolist()
    [[1.0, 2.0], [0.0, 3.0]]
    """
    return _spectral.schur.bind(
        _operand("schur", x),
        compute_schur_vectors=bool(compute_schur_vectors),
        sort_eig_vals=bool(sort_eig_vals),
        select_callable=select_callable,
    )


def hessenberg(a: Array) -> tuple[Array, Array]:
    """Upper Hessenberg form h of a = q h q^H, with the reflectors of q below, and their taus.

    Returns:
      ``[..., n, n]`` and ``[..., n - 1]``.
    """
    factors, taus = _spectral.hessenberg.bind(_operand("hessenberg", a))
    return factors, taus


def tridiagonal(a: Array, *, lower: bool = True) -> tuple[Array, Array, Array, Array]:
    """Tridiagonal form of hermitian matrices: ``(reflectors, d, e, taus)``, with diagonal d and off-diagonal e.

    Args:
      lower: which triangle of ``a`` is read, and holds the reflectors.
    """
    reflectors, d, e, taus = _spectral.tridiagonal.bind(_operand("tridiagonal", a), lower=bool(lower))
    return reflectors, d, e, taus


def qdwh(
    x: Array,
    *,
    is_hermitian: bool = False,
    max_iterations: int | None = None,
    eps: float | None = None,
    dynamic_shape: tuple[int, int] | None = None,
) -> tuple[Array, Array, int, bool]:
    """The polar factors of x = u h, u with orthonormal columns, h hermitian and positive semidefinite.

    On accelerators this is the iteration QDWH; here it is computed from the singular values, directly: the number of
    iterations returned is 0, and it has always converged.

    Args:
      x: ``[m, n]`` with m >= n.

    Returns:
      ``(u, h, num_iterations, is_converged)``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> u, h, _, converged = lax.linalg.qdwh(jnp.array([[0., -2.], [2., 0.]]))
    >>> bool(jnp.allclose(u @ h, jnp.array([[0., -2.], [2., 0.]]), atol=1e-5)), converged
    (True, True)
    """
    if dynamic_shape is not None:
        raise NotImplementedError("qdwh with dynamic_shape is not implemented: slice x to that shape first.")
    aval = get_aval(_operand("qdwh", x))
    if aval.ndim != 2 or aval.shape[0] < aval.shape[1]:
        raise ValueError(f"The input `x` of shape {aval.shape} of qdwh must be [m, n] with m >= n.")
    u, s, vh = svd(x, full_matrices=False)
    scaled = mx.mul(mx.as_dtype(mx.along_columns(s, vh), get_aval(vh).dtype), vh)
    return mx.matmul(u, vh), mx.matmul(mx.H(vh), scaled), 0, True


def __getattr__(name: str):
    return primitive_named(__name__, name)


__all__ = [
    "EigImplementation", "EighImplementation", "SvdAlgorithm", "cholesky", "cholesky_update", "eig", "eigh", "geqrf",
    "hessenberg", "householder_product", "lu", "lu_pivots_to_permutation", "ormqr", "qdwh", "qr", "schur", "svd",
    "symmetric_product", "triangular_solve", "tridiagonal", "tridiagonal_solve",
]  # fmt: skip
