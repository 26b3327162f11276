"""Spectral factorisations: ``eigh``, ``svd``, ``eig``, ``schur``, and the forms on the way to them.

Vectors are determined up to a phase, and for equal values up to a rotation; derivatives are those of the choice in
which they do not turn by themselves, and infinite where values coincide. A matrix with NaN or infinite elements gives
NaN.
"""

from __future__ import annotations

import importlib

import numpy as np

from addax.core.avals import ShapedArray, get_aval
from addax.core.sizes import smaller
from addax.ops import matrix as mx
from addax.ops.linalg import solve
from addax.ops.matrix import H, batch_leading, bind, check_matrices, check_square, lapack, matmul, nan_like, per_matrix
from addax.ops.rules import Refusal, expand_dims, full_like, primitive, reshape, shape_of
from addax.ops.sort import take_along


def _reciprocal_differences(values):
    """1 / (v_j - v_i) off the diagonal, 0 on it, for ``values[..., n]``."""
    n = shape_of(values)[-1]
    shape = (*shape_of(values), n)
    like = bind(
        "broadcast_in_dim", values, shape=shape, broadcast_dimensions=(*range(len(shape) - 2), len(shape) - 1),
        sharding=None,
    )  # fmt: skip
    eye = mx.const(np.eye(n), like)
    differences = mx.sub(like, mx.along_columns(values, like))
    return mx.sub(bind("div", full_like(like, 1), bind("add", differences, eye)), eye)


def _finite(a: np.ndarray) -> bool:
    return bool(np.isfinite(a).all())


# ---------------------------------------------------------------------------------------------------------------------
# eigh: a = v diag(w) v^H for hermitian a, of which one triangle is read; w ascending


def _eigh_type(a, *, lower, sort_eigenvalues, subset_by_index, algorithm):
    batch = check_matrices("eigh", (a,), (2,))
    n = check_square("eigh", a)
    start, end = subset_by_index or (0, n)
    if not 0 <= start < end <= n and not (n == 0 and subset_by_index is None):
        raise ValueError(f"eigh: subset_by_index must be a range (start, end) within [0, {n}], got {subset_by_index}.")
    count = end - start
    return [
        ShapedArray((*batch, n, count), a.dtype),
        ShapedArray((*batch, count), mx.real_part_dtype(a.dtype)),
    ]


def _eigh_jvp(primals, tangents, **params):
    (a,), (t,) = primals, tangents
    v, w = eigh.bind(a, **params)
    if shape_of(v)[-1] != shape_of(a)[-1]:
        raise NotImplementedError("Derivatives not defined for partial eigen decomposition.")
    rotated = matmul(matmul(H(v), t), v)
    weights = mx.as_dtype(_reciprocal_differences(w), get_aval(a).dtype)
    return [v, w], [matmul(v, mx.mul(weights, rotated)), mx.real(mx.diagonal(rotated))]


def _eigh_reference(a, *, lower, sort_eigenvalues, subset_by_index, algorithm):
    n = a.shape[-1]
    start, end = subset_by_index or (0, n)

    def one(a):
        if not _finite(a):
            return _no_eigh(a)
        try:
            w, v = np.linalg.eigh(a, "L" if lower else "U")
        except np.linalg.LinAlgError:
            return _no_eigh(a)
        return [v, w]

    try:
        if not _finite(a):
            raise np.linalg.LinAlgError
        w, v = np.linalg.eigh(a, "L" if lower else "U")
    except np.linalg.LinAlgError:
        v, w = per_matrix(one, (a,), (2,), [(a.shape, a.dtype), (a.shape[:-1], mx.real_part_dtype(a.dtype))])
    return [v[..., start:end], w[..., start:end]]


def _no_eigh(a):
    return [np.full(a.shape, nan_like(a.dtype)), np.full(a.shape[-1], np.nan)]


eigh = primitive(
    "eigh",
    _eigh_type,
    jvp=_eigh_jvp,
    transpose=Refusal("eigh is not linear, so it has no transpose"),
    batch=batch_leading(lambda: eigh),
    reference=_eigh_reference,
    multiple_results=True,
)

# ---------------------------------------------------------------------------------------------------------------------
# svd: a = u diag(s) v^H, s descending; results are s, u, v^H


def _svd_type(a, *, full_matrices, compute_uv, subset_by_index, algorithm):
    batch = check_matrices("svd", (a,), (2,))
    m, n = a.shape[-2:]
    k = smaller(m, n)
    start, end = subset_by_index or (0, k)
    if subset_by_index is not None:
        if full_matrices and (start, end) != (0, k):
            raise ValueError("full_matrices and subset_by_index cannot both be set")
        if not 0 <= start < end <= k:
            raise ValueError(
                f"svd: subset_by_index must be a range (start, end) within [0, {k}], got {subset_by_index}."
            )
    count = end - start
    s = ShapedArray((*batch, count), mx.real_part_dtype(a.dtype))
    if not compute_uv:
        return [s]
    rows, columns = (m, n) if full_matrices else (count, count)
    return [s, ShapedArray((*batch, m, rows), a.dtype), ShapedArray((*batch, columns, n), a.dtype)]


def _svd_jvp(primals, tangents, *, full_matrices, compute_uv, subset_by_index, algorithm):
    """Townsend, "Differentiating the singular value decomposition" (2016), with the phases of complex vectors fixed."""
    (a,), (t,) = primals, tangents
    dtype = get_aval(a).dtype
    m, n = shape_of(a)[-2:]
    if subset_by_index is not None and tuple(subset_by_index) != (0, min(m, n)):
        raise NotImplementedError("Derivatives not defined for partial singular value decomposition.")
    if compute_uv and full_matrices and m != n:
        raise NotImplementedError(
            "Singular value decomposition JVP not implemented for full matrices: the extra vectors are not determined by "
            "the input. Use full_matrices=False."
        )
    params = {"subset_by_index": None, "algorithm": algorithm}
    s, u, vh = svd.bind(a, full_matrices=False, compute_uv=True, **params)
    inner = matmul(matmul(H(u), t), H(vh))
    ds = mx.real(mx.diagonal(inner))
    if not compute_uv:
        return [s], [ds]
    columns, rows = mx.along_rows(s, inner), mx.along_columns(s, inner)
    weights = mx.mul(_reciprocal_differences(s), bind("div", full_like(columns, 1), _off_zero(columns, rows)))
    weights = mx.as_dtype(weights, dtype)
    by_columns = mx.mul(inner, mx.as_dtype(columns, dtype))  # dP S
    by_rows = mx.mul(mx.as_dtype(rows, dtype), inner)  # S dP
    turn_u = mx.mul(weights, mx.add(by_columns, H(by_columns)))
    turn_v = mx.mul(weights, mx.add(by_rows, H(by_rows)))
    inverse = _safe_inverse(s)
    if mx.is_complex(a):
        # The part of the diagonal that is no change of s turns the phases; all of it is given to u.
        diagonal = mx.masked(inner, np.eye(min(m, n), dtype=bool))
        phases = mx.sub(diagonal, mx.as_dtype(mx.real(diagonal), dtype))
        turn_u = mx.add(turn_u, mx.mul(phases, mx.as_dtype(mx.along_rows(inverse, inner), dtype)))
    du, dv = matmul(u, turn_u), matmul(H(vh), turn_v)
    if m > n:  # what leaves the space of u
        outside = matmul(t, H(vh))
        outside = mx.sub(outside, matmul(u, matmul(H(u), outside)))
        du = mx.add(du, mx.mul(outside, mx.as_dtype(mx.along_rows(inverse, outside), dtype)))
    if n > m:
        outside = matmul(H(t), u)
        outside = mx.sub(outside, matmul(H(vh), matmul(vh, outside)))
        dv = mx.add(dv, mx.mul(outside, mx.as_dtype(mx.along_rows(inverse, outside), dtype)))
    return [s, u, vh], [ds, du, H(dv)]


def _off_zero(x, y):
    """x + y, or 1 where that is 0."""
    total = bind("add", x, y)
    return bind("select_n", bind("eq", total, full_like(total, 0)), total, full_like(total, 1))


def _safe_inverse(s):
    """1 / s, or 0 where s is 0."""
    zero = bind("eq", s, full_like(s, 0))
    inverse = bind("div", full_like(s, 1), bind("select_n", zero, s, full_like(s, 1)))
    return bind("select_n", zero, inverse, full_like(s, 0))


def _svd_reference(a, *, full_matrices, compute_uv, subset_by_index, algorithm):
    m, n = a.shape[-2:]
    k = min(m, n)
    start, end = subset_by_index or (0, k)
    parts = slice(start, end)
    real_dtype = mx.real_part_dtype(a.dtype)
    u_size, v_size = (m, n) if full_matrices else (k, k)
    empty = [((k,), real_dtype)] + ([((m, u_size), a.dtype), ((v_size, n), a.dtype)] if compute_uv else [])

    def factor(a):
        out = np.linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv)
        return [out[1], out[0], out[2]] if compute_uv else [out]

    def one(a):
        try:
            if _finite(a):
                return factor(a)
        except np.linalg.LinAlgError:
            pass
        return [np.full(shape, nan_like(dtype)) for shape, dtype in empty]

    try:
        if not _finite(a):
            raise np.linalg.LinAlgError
        outs = factor(a)
    except np.linalg.LinAlgError:
        outs = per_matrix(one, (a,), (2,), [((*a.shape[:-2], *shape), dtype) for shape, dtype in empty])
    if subset_by_index is None:
        return outs
    return [outs[0][..., parts], *([outs[1][..., parts], outs[2][..., parts, :]] if compute_uv else [])]


svd = primitive(
    "svd",
    _svd_type,
    jvp=_svd_jvp,
    transpose=Refusal("svd is not linear, so it has no transpose"),
    batch=batch_leading(lambda: svd),
    reference=_svd_reference,
    multiple_results=True,
)

# ---------------------------------------------------------------------------------------------------------------------
# eig: a v = v diag(w) and u^H a = diag(w) u^H, always complex; vectors of length 1


def _eig_type(a, *, compute_left_eigenvectors, compute_right_eigenvectors, enable_eigvec_derivs, implementation):
    batch = check_matrices("eig", (a,), (2,))
    n = check_square("eig", a)
    dtype = mx.complex_of(a.dtype)
    vectors = ShapedArray((*batch, n, n), dtype)
    return [ShapedArray((*batch, n), dtype)] + [vectors] * (compute_left_eigenvectors + compute_right_eigenvectors)


def _eig_jvp(primals, tangents, **params):
    (a,), (t,) = primals, tangents
    left, right = params["compute_left_eigenvectors"], params["compute_right_eigenvectors"]
    if (left or right) and not params["enable_eigvec_derivs"]:
        raise NotImplementedError(
            "Derivatives of non-symmetric eigenvectors are only valid where eigenvalues are distinct, and for functions "
            "that do not depend on the phase of the vectors. Pass enable_eigvec_derivs=True to addax.lax.linalg.eig to "
            "opt in, or differentiate the eigenvalues only."
        )
    outs = eig.bind(a, **params)
    dtype = get_aval(outs[0]).dtype
    if right:
        v = outs[-1]
    else:
        both = params | {"compute_left_eigenvectors": False, "compute_right_eigenvectors": True}
        v = eig.bind(a, **both)[1]
    t = mx.as_dtype(t, dtype)
    inner = solve(v, matmul(t, v))
    tangents_out = [mx.diagonal(inner)]
    weights = _reciprocal_differences(outs[0])
    if left:
        # u^H is the inverse of v but for the lengths of its rows.
        u = outs[1]
        inner_u = solve(u, matmul(H(t), u))
        tangents_out.append(_unit_tangent(u, matmul(u, mx.mul(mx.conj(weights), inner_u))))
    if right:
        tangents_out.append(_unit_tangent(v, matmul(v, mx.mul(weights, inner))))
    return outs, tangents_out


def _unit_tangent(v, dv):
    """dv without what would change the length of the columns, or make their largest elements, which are real, turn."""
    axis, dtype = len(shape_of(v)) - 2, get_aval(v).dtype
    along = mx.real(bind("reduce_sum", mx.mul(mx.conj(v), dv), axes=(axis,), out_sharding=None))
    dv = mx.sub(dv, mx.mul(v, mx.as_dtype(mx.along_rows(along, v), dtype)))
    size = mx.real(mx.mul(mx.conj(v), v))
    largest = bind("argmax", size, axes=(axis,), index_dtype=np.dtype(np.int32))
    largest = expand_dims(largest, (axis,))
    there, turning = take_along(v, largest, axis), take_along(dv, largest, axis)
    angle = bind("div", bind("imag", turning), bind("real", there))
    angle = reshape(bind("complex", full_like(angle, 0), angle), (*shape_of(v)[:-2], shape_of(v)[-1]))
    return mx.sub(dv, mx.mul(v, mx.along_rows(angle, v)))


def _eig_reference(a, *, compute_left_eigenvectors, compute_right_eigenvectors, enable_eigvec_derivs, implementation):
    n, dtype = a.shape[-1], mx.complex_of(a.dtype)
    vectors = compute_left_eigenvectors + compute_right_eigenvectors
    shapes = [(n,)] + [(n, n)] * vectors
    routine = importlib.import_module("scipy.linalg").eig

    def one(a):
        if a.size and not _finite(a):
            return [np.full(shape, nan_like(dtype)) for shape in shapes]
        if a.size == 0:
            return [np.zeros(shape, dtype) for shape in shapes]
        try:
            outs = routine(a, left=compute_left_eigenvectors, right=compute_right_eigenvectors, check_finite=False)
        except np.linalg.LinAlgError:
            return [np.full(shape, nan_like(dtype)) for shape in shapes]
        return outs if vectors else [outs]

    return per_matrix(one, (a,), (2,), [((*a.shape[:-2], *shape), dtype) for shape in shapes])


eig = primitive(
    "eig",
    _eig_type,
    jvp=_eig_jvp,
    transpose=Refusal("eig is not linear, so it has no transpose"),
    batch=batch_leading(lambda: eig),
    reference=_eig_reference,
    multiple_results=True,
)

# ---------------------------------------------------------------------------------------------------------------------
# schur: a = z t z^H with t upper triangular (for real a, with 2 by 2 blocks on the diagonal for complex eigenvalues)


def _schur_type(a, *, compute_schur_vectors, sort_eig_vals, select_callable):
    check_matrices("schur", (a,), (2,))
    check_square("schur", a)
    if sort_eig_vals:
        raise NotImplementedError("schur: sorting the eigenvalues (sort_eig_vals=True) is not implemented.")
    return [a.strip_weak_type()] * (1 + compute_schur_vectors)


def _schur_reference(a, *, compute_schur_vectors, sort_eig_vals, select_callable):
    count = 1 + compute_schur_vectors
    routine = importlib.import_module("scipy.linalg").schur

    def one(a):
        if a.size == 0:
            return [a] * count
        try:
            if _finite(a):
                return routine(a, output="complex" if a.dtype.kind == "c" else "real", check_finite=False)[:count]
        except np.linalg.LinAlgError:
            pass
        return [np.full(a.shape, nan_like(a.dtype))] * count

    return per_matrix(one, (a,), (2,), [(a.shape, a.dtype)] * count)


schur = primitive(
    "schur",
    _schur_type,
    jvp=mx.no_derivative("schur"),
    batch=batch_leading(lambda: schur),
    reference=_schur_reference,
    multiple_results=True,
)

# --- hessenberg: the upper Hessenberg form, the reflectors that make it below, and their taus ---


def _hessenberg_type(a):
    batch = check_matrices("hessenberg", (a,), (2,))
    if a.shape[-1] != a.shape[-2]:
        raise ValueError(f"Argument to Hessenberg reduction must have shape [..., n, n], got shape {a.shape}")
    if a.shape[-1] < 1:
        raise ValueError(f"Argument to Hessenberg reduction must have at least one row, got shape {a.shape}")
    return [a.strip_weak_type(), ShapedArray((*batch, a.shape[-1] - 1), a.dtype)]


def _hessenberg_reference(a):
    routine = lapack("gehrd", a.dtype)

    def one(a):
        if a.shape[-1] == 1:
            return [a, np.zeros(0, a.dtype)]
        factors, taus, _ = routine(a)
        return [factors, taus]

    return per_matrix(one, (a,), (2,), [(a.shape, a.dtype), ((*a.shape[:-2], a.shape[-1] - 1), a.dtype)])


hessenberg = primitive(
    "hessenberg",
    _hessenberg_type,
    jvp=mx.no_derivative("hessenberg"),
    batch=batch_leading(lambda: hessenberg),
    reference=_hessenberg_reference,
    multiple_results=True,
)

# --- tridiagonal: the tridiagonal form of a hermitian matrix: reflectors, diagonal, off-diagonal, taus ---


def _tridiagonal_type(a, *, lower):
    batch = check_matrices("tridiagonal", (a,), (2,))
    n = check_square("tridiagonal", a)
    if n < 1:
        raise ValueError(f"The input to tridiagonal must have at least one row, got shape {a.shape}.")
    real = mx.real_part_dtype(a.dtype)
    return [
        a.strip_weak_type(), ShapedArray((*batch, n), real), ShapedArray((*batch, n - 1), real),
        ShapedArray((*batch, n - 1), a.dtype),
    ]  # fmt: skip


def _tridiagonal_reference(a, *, lower):
    routine = lapack("hetrd" if a.dtype.kind == "c" else "sytrd", a.dtype)
    n, real = a.shape[-1], mx.real_part_dtype(a.dtype)
    batch = a.shape[:-2]

    def one(a):
        if n == 1:
            return [a, a[0].real, np.zeros(0, real), np.zeros(0, a.dtype)]
        return routine(a, lower=int(lower))[:4]

    shapes = [(a.shape, a.dtype), ((*batch, n), real), ((*batch, n - 1), real), ((*batch, n - 1), a.dtype)]
    return per_matrix(one, (a,), (2,), shapes)


tridiagonal = primitive(
    "tridiagonal",
    _tridiagonal_type,
    jvp=mx.no_derivative("tridiagonal"),
    batch=batch_leading(lambda: tridiagonal),
    reference=_tridiagonal_reference,
    multiple_results=True,
)

__all__ = ["eig", "eigh", "hessenberg", "schur", "svd", "tridiagonal"]
