"""Linear systems and triangular factors: ``triangular_solve``, ``cholesky``, ``lu``, ``tridiagonal_solve`` and kin.

Where a factorisation does not exist (``cholesky`` of a matrix that is not positive definite) the result is NaN.
Derivatives follow the matrix calculus of Giles, "Collected matrix derivative results for forward and reverse mode AD"
(2008), and Murray, "Differentiation of the Cholesky decomposition" (2016).
"""

from __future__ import annotations

import math

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.sizes import is_symbolic
from addax.ops import matrix as mx
from addax.ops.matrix import T, batch_leading, check_matrices, check_square, lapack, matmul, per_matrix
from addax.ops.rules import (
    ZERO_DERIVATIVE,
    Refusal,
    Zero,
    instantiate,
    is_linear,
    move_axis,
    primitive,
    reshape,
    shape_of,
    to_front,
)
from addax.ops.sort import take_along

# ---------------------------------------------------------------------------------------------------------------------
# triangular_solve: x with op(a) x = b (left_side) or x op(a) = b; op is transposition and conjugation


def _triangular_type(a, b, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal):
    name = "triangular_solve"
    check_matrices(name, (a, b), (2, 2))
    n = check_square(name, a, "The first input")
    if b.shape[-2 if left_side else -1] != n:
        raise ValueError(
            f"Incompatible shapes for arguments to {name}: {a.shape} and {b.shape}; with left_side={left_side} the "
            f"{'rows' if left_side else 'columns'} of b must be {n}."
        )
    return b.strip_weak_type()


def triangular_product(a, x, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal):
    """``op(a) x`` or ``x op(a)``, with what the solver reads of a derivative of its matrix."""
    k = int(unit_diagonal)
    a = mx.tril(a, -k) if lower else mx.triu(a, k)
    a = T(a) if transpose_a else a
    a = mx.conj(a) if conjugate_a else a
    return matmul(a, x) if left_side else matmul(x, a)


def _triangular_jvp(primals, tangents, **params):
    a, b = primals
    t_a, t_b = tangents
    x = triangular_solve.bind(a, b, **params)
    if type(t_a) is Zero:
        return x, Zero.of(x) if type(t_b) is Zero else triangular_solve.bind(a, t_b, **params)
    moved = triangular_product(t_a, x, **params)
    rhs = mx.bind("neg", moved) if type(t_b) is Zero else mx.sub(t_b, moved)
    return x, triangular_solve.bind(a, rhs, **params)


def _triangular_transpose(ct, a, b, **params):
    if is_linear(a):
        raise NotImplementedError("triangular_solve is not linear in its matrix, so it has no transpose there")
    params["transpose_a"] = not params["transpose_a"]
    return [None, triangular_solve.bind(a, ct, **params)]


def _triangular_batch(axis, args, dims, **params):
    a, b = args
    a_dim, b_dim = dims
    if a_dim is None and len(shape_of(a)) == 2:
        # One matrix: all right-hand sides are columns (or rows) of one system.
        left = params["left_side"]
        b = move_axis(b, b_dim, 2 if left else 0)
        shape = shape_of(b)
        flat = reshape(b, (shape[0], shape[1] * shape[2]) if left else (shape[0] * shape[1], shape[2]))
        return reshape(triangular_solve.bind(a, flat, **params), shape), 2 if left else 0
    a, b = to_front(a, a_dim, axis.size), to_front(b, b_dim, axis.size)
    return triangular_solve.bind(a, b, **params), 0


def _triangular_reference(a, b, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal):
    trsm = lapack("trsm", a.dtype)
    if conjugate_a and not transpose_a:
        a = np.conj(a)
    trans = 0 if not transpose_a else 2 if conjugate_a else 1

    def one(a, b):
        if b.size == 0:
            return [b]
        return [trsm(1.0, a, b, side=int(not left_side), lower=int(lower), trans_a=trans, diag=int(unit_diagonal))]

    return per_matrix(one, (a, b), (2, 2), [(b.shape, b.dtype)])[0]


triangular_solve = primitive(
    "triangular_solve",
    _triangular_type,
    jvp=_triangular_jvp,
    transpose=_triangular_transpose,
    batch=_triangular_batch,
    reference=_triangular_reference,
)


def solve_triangular(a, b, *, left=True, lower=True, transpose=False, conjugate=False, unit=False):
    """`triangular_solve` with defaults that suit formulas."""
    return triangular_solve.bind(
        a, b, left_side=left, lower=lower, transpose_a=transpose, conjugate_a=conjugate, unit_diagonal=unit
    )


# ---------------------------------------------------------------------------------------------------------------------
# cholesky: the lower triangular L with L L^H = a


def _cholesky_type(a):
    check_matrices("cholesky", (a,), (2,))
    check_square("cholesky", a)
    return a.strip_weak_type()


def _cholesky_jvp(primals, tangents):
    """dL = L phi(L^-1 dA L^-H), where phi takes the lower triangle with half the diagonal."""
    (a,), (t,) = primals, tangents
    factor = mx.tril(cholesky.bind(a))
    inner = solve_triangular(factor, t, left=False, transpose=True, conjugate=True)
    inner = solve_triangular(factor, inner)
    n = shape_of(a)[-1]
    if is_symbolic(n):
        phi = mx.mul(mx.add(mx.tril(inner), mx.tril(inner, -1)), 0.5)
    else:
        phi = mx.mul(mx.tril(inner), mx.const(np.tri(n) - 0.5 * np.eye(n), a))
    return factor, matmul(factor, phi)


def _cholesky_reference(a):
    with np.errstate(all="ignore"):
        try:
            return np.linalg.cholesky(a)
        except np.linalg.LinAlgError:
            return per_matrix(_cholesky_or_nan, (a,), (2,), [(a.shape, a.dtype)])[0]


def _cholesky_or_nan(a):
    try:
        return [np.linalg.cholesky(a)]
    except np.linalg.LinAlgError:
        return [np.tril(np.full(a.shape, mx.nan_like(a.dtype)))]


cholesky = primitive(
    "cholesky",
    _cholesky_type,
    jvp=_cholesky_jvp,
    transpose=Refusal("cholesky is not linear, so it has no transpose"),
    batch=batch_leading(lambda: cholesky),
    reference=_cholesky_reference,
)

# --- cholesky_update: the upper triangular factor of r^T r + w w^T ---


def _update_type(r, w):
    name = "cholesky_update"
    check_matrices(name, (r, w), (2, 1), real=True)
    if r.shape[-2:] != (w.shape[-1],) * 2:
        raise ValueError(
            "Rank-1 update to Cholesky decomposition takes a square matrix and a vector of the same size as input. Got "
            f"shapes {r.shape} and {w.shape} instead"
        )
    return r.strip_weak_type()


def _update_reference(r, w):
    """Givens rotations that turn w into the rows of r, one column after the other."""
    r, w = np.array(r), np.array(w)
    with np.errstate(all="ignore"):
        for i in range(r.shape[-1]):
            a, b = r[..., i, i], w[..., i]
            size = np.hypot(a, b)
            safe = np.where(size == 0, 1, size)
            c, s = np.where(size == 0, 1, a / safe)[..., None], np.where(size == 0, 0, b / safe)[..., None]
            row = np.array(r[..., i, :])
            r[..., i, :] = c * row + s * w
            w = c * w - s * row
    return r


cholesky_update = primitive(
    "cholesky_update",
    _update_type,
    jvp=mx.no_derivative("cholesky_update"),
    batch=batch_leading(lambda: cholesky_update),
    reference=_update_reference,
)

# --- symmetric_product: alpha a a^T + beta c ---


def _product_type(a, c, *, alpha, beta):
    check_matrices("symmetric_product", (a, c), (2, 2), real=True)
    if c.shape[-2:] != (a.shape[-2],) * 2:
        raise ValueError(
            "symmetric_update expects a rectangular matrix of shape (m, n) and a square matrix of shape (m, m). Got "
            f"shapes {a.shape} and {c.shape}."
        )
    return c.strip_weak_type()


def _scaled(factor: float, x):
    return mx.mul(np.asarray(factor, get_aval(x).dtype)[()], x)


def _product_jvp(primals, tangents, *, alpha, beta):
    (a, c), (t_a, t_c) = primals, tangents
    out = symmetric_product.bind(a, c, alpha=alpha, beta=beta)
    terms = []
    if type(t_a) is not Zero:
        half = _scaled(alpha, matmul(t_a, T(a)))
        terms.append(mx.add(half, T(half)))
    if type(t_c) is not Zero:
        terms.append(_scaled(beta, t_c))
    if not terms:
        return out, Zero.of(out)
    return out, terms[0] if len(terms) == 1 else mx.add(*terms)


symmetric_product = primitive(
    "symmetric_product",
    _product_type,
    jvp=_product_jvp,
    transpose=Refusal("symmetric_product is not linear, so it has no transpose"),
    batch=batch_leading(lambda: symmetric_product),
    reference=lambda a, c, *, alpha, beta: a.dtype.type(alpha) * (a @ np.swapaxes(a, -1, -2)) + c.dtype.type(beta) * c,
)

# ---------------------------------------------------------------------------------------------------------------------
# lu: p a = l u with partial pivoting; both factors in one matrix, the row swaps, and the permutation they make


def _lu_type(a):
    batch = check_matrices("lu", (a,), (2,))
    m, n = a.shape[-2:]
    index = ShapedArray((*batch, min(m, n)), np.int32)
    return [a.strip_weak_type(), index, ShapedArray((*batch, m), np.int32)]


def _lu_jvp(primals, tangents):
    """With L and U completed to square matrices and M = L^-1 P dA U^-1: dL = L stril(M), dU = triu(M) U."""
    (a,), (t,) = primals, tangents
    lu_, pivots, permutation = lu.bind(a)
    m, n = shape_of(a)[-2:]
    k = min(m, n)
    rows = mx.along_columns(permutation, t)
    t = take_along(t, rows, len(shape_of(t)) - 2)
    lower = mx.add(mx.pad_to(mx.tril(mx.part(lu_, (0, m), (0, k)), -1), m, m), mx.const(np.eye(m), lu_))
    upper = mx.pad_to(mx.triu(mx.part(lu_, (0, k), (0, n))), n, n)
    if n > k:
        upper = mx.add(upper, mx.const(mx.eye_below(n, k), lu_))
    middle = solve_triangular(lower, t, unit=True)
    middle = solve_triangular(upper, middle, left=False, lower=False)
    tangent = mx.add(matmul(lower, mx.tril(middle, -1)), matmul(mx.triu(middle), upper))
    return [lu_, pivots, permutation], [tangent, Zero.of(pivots), Zero.of(permutation)]


FEW = 64  # permutations that are made one by one, in lists, which is quicker than NumPy on columns so short


def permutation_of(pivots: np.ndarray, size: int) -> np.ndarray:
    """The permutation that swapping row i with row pivots[i], for i = 0, 1, ..., makes of 0..size-1."""
    k = pivots.shape[-1]
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), k)
    if len(flat) < FEW:
        rows = []
        for swaps in flat.tolist():
            row = list(range(size))
            for i, j in enumerate(swaps):
                row[i], row[j] = row[j], row[i]
            rows.append(row)
        out = np.array(rows, np.int32)
    else:
        out = np.tile(np.arange(size, dtype=np.int32), (len(flat), 1))
        which = np.arange(len(flat))
        for i in range(k):
            j = flat[:, i]
            here, there = out[:, i].copy(), out[which, j]
            out[which, j] = here
            out[:, i] = there
    return out.reshape(*pivots.shape[:-1], size)


def _lu_reference(a):
    getrf = lapack("getrf", a.dtype)
    m, n = a.shape[-2:]
    k = min(m, n)

    def one(a):
        if a.size == 0:
            return [a, np.zeros(k, np.int32)]
        return getrf(a)[:2]

    lu_, pivots = per_matrix(one, (a,), (2,), [(a.shape, a.dtype), ((*a.shape[:-2], k), np.int32)])
    return [lu_, pivots, permutation_of(pivots, m)]


lu = primitive(
    "lu",
    _lu_type,
    jvp=_lu_jvp,
    transpose=Refusal("lu is not linear, so it has no transpose"),
    batch=batch_leading(lambda: lu),
    reference=_lu_reference,
    multiple_results=True,
)


def _permutation_type(pivots, *, permutation_size):
    name = "lu_pivots_to_permutation"
    if pivots.dtype != np.int32:
        raise TypeError(
            f"{name} does not accept dtype {dtypes.dtype_name(pivots.dtype)} at position 0. Accepted dtypes at "
            "position 0 are subtypes of int32."
        )
    if pivots.ndim < 1:
        raise TypeError(f"Input 0 to {name} must have rank at least 1, but got shape={pivots.shape}")
    if permutation_size < pivots.shape[-1]:
        raise ValueError(
            f"Output permutation size {permutation_size} has to exceed the trailing dimension of the pivots. Got "
            f"pivots size {pivots.shape[-1]}"
        )
    return ShapedArray((*pivots.shape[:-1], permutation_size), np.int32)


lu_pivots_to_permutation = primitive(
    "lu_pivots_to_permutation",
    _permutation_type,
    jvp=ZERO_DERIVATIVE,
    batch=batch_leading(lambda: lu_pivots_to_permutation),
    reference=lambda pivots, *, permutation_size: permutation_of(pivots, permutation_size),
)


def solve(a, b):
    """a^-1 b for stacks of square matrices, by LU, in primitives."""
    factors, _, permutation = lu.bind(a)
    rows = mx.along_columns(permutation, b)
    b = take_along(b, rows, len(shape_of(b)) - 2)
    return solve_triangular(factors, solve_triangular(factors, b, unit=True), lower=False)


# ---------------------------------------------------------------------------------------------------------------------
# tridiagonal_solve: dl, d, du are the diagonals, each [..., n]; dl[0] and du[n-1] are not used


def _tridiagonal_type(dl, d, du, b, *, perturb_singular):
    name = "tridiagonal_solve"
    check_matrices(name, (b,), (2,))
    for i, x in enumerate((dl, d, du)):
        if x.dtype != b.dtype:
            names = ", ".join(dtypes.dtype_name(v.dtype) for v in (dl, d, du, b))
            raise TypeError(f"lax.{name} requires arguments to have the same dtypes, got {names}.")
        if x.ndim < 1:
            raise TypeError(f"Input {i} to {name} must have rank at least 1, but got shape={x.shape}")
    if not dl.shape == d.shape == du.shape:
        raise TypeError(
            f"{name} requires that all diagonal arguments have the same shape, got {dl.shape}, {d.shape}, {du.shape}."
        )
    if d.shape != b.shape[:-1]:
        raise TypeError(
            f"{name} requires that the leading ndim-1 dimensions of b equal the dimensions of the diagonal arguments, "
            f"got diagonals of shape {d.shape} and b of shape {b.shape}."
        )
    return b.strip_weak_type()


def _shifted(v, step: int):
    """v moved by one along its last dimension, a zero coming in."""
    shape = shape_of(v)
    config = ((0, 0, 0),) * (len(shape) - 1) + ((step, -step, 0),)
    return mx.bind("pad", v, np.zeros((), get_aval(v).dtype)[()], padding_config=config)


def _shifted_rows(x, step: int):
    shape = shape_of(x)
    config = ((0, 0, 0),) * (len(shape) - 2) + ((step, -step, 0), (0, 0, 0))
    return mx.bind("pad", x, np.zeros((), get_aval(x).dtype)[()], padding_config=config)


def _tridiagonal_product(dl, d, du, x):
    """The matrix with these diagonals times x."""

    def scaled(v, x):
        return mx.mul(mx.along_columns(v, x), x)

    return mx.add(mx.add(scaled(d, x), scaled(dl, _shifted_rows(x, 1))), scaled(du, _shifted_rows(x, -1)))


def _tridiagonal_jvp(primals, tangents, **params):
    dl, d, du, _ = primals
    x = tridiagonal_solve.bind(*primals, **params)
    t_dl, t_d, t_du, t_b = tangents
    if all(type(t) is Zero for t in tangents):
        return x, Zero.of(x)
    rhs = instantiate(t_b)
    if any(type(t) is not Zero for t in (t_dl, t_d, t_du)):
        rhs = mx.sub(rhs, _tridiagonal_product(instantiate(t_dl), instantiate(t_d), instantiate(t_du), x))
    return x, tridiagonal_solve.bind(dl, d, du, rhs, **params)


def _tridiagonal_transpose(ct, dl, d, du, b, **params):
    if any(map(is_linear, (dl, d, du))):
        raise NotImplementedError("tridiagonal_solve is not linear in its diagonals, so it has no transpose there")
    return [None, None, None, tridiagonal_solve.bind(_shifted(du, 1), d, _shifted(dl, -1), ct, **params)]


def _tridiagonal_reference(dl, d, du, b, *, perturb_singular):
    gtsv = lapack("gtsv", b.dtype)

    def one(dl, d, du, b):
        if b.size == 0:
            return [b]
        if perturb_singular:
            d = d + np.where(d == 0, np.finfo(d.dtype).eps, 0).astype(d.dtype)
        if len(d) == 1:
            with np.errstate(all="ignore"):
                return [b / d[:, None]]
        *_, x, info = gtsv(dl[1:], d, du[:-1], b)
        return [x if info == 0 else np.full(b.shape, mx.nan_like(b.dtype))]

    return per_matrix(one, (dl, d, du, b), (1, 1, 1, 2), [(b.shape, b.dtype)])[0]


tridiagonal_solve = primitive(
    "tridiagonal_solve",
    _tridiagonal_type,
    jvp=_tridiagonal_jvp,
    transpose=_tridiagonal_transpose,
    batch=batch_leading(lambda: tridiagonal_solve),
    reference=_tridiagonal_reference,
)

__all__ = [
    "cholesky", "cholesky_update", "lu", "lu_pivots_to_permutation", "permutation_of", "solve", "solve_triangular",
    "symmetric_product", "triangular_solve", "tridiagonal_solve",
]  # fmt: skip
