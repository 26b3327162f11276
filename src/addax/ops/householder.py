"""Orthogonal factors: ``qr``, and the Householder reflectors behind it, ``geqrf``, ``householder_product``, ``ormqr``."""

from __future__ import annotations

import numpy as np

from addax.core.avals import ShapedArray, get_aval
from addax.core.sizes import smaller
from addax.ops import matrix as mx
from addax.ops.linalg import solve, solve_triangular
from addax.ops.matrix import H, batch_leading, check_matrices, lapack, matmul, nan_like, per_matrix
from addax.ops.rules import Refusal, Zero, primitive, shape_of
from addax.ops.sort import take_along

# ---------------------------------------------------------------------------------------------------------------------
# qr: a = q r, or a[:, p] = q r with pivoting


def _qr_type(a, *, pivoting, full_matrices, use_magma):
    batch = check_matrices("qr", (a,), (2,))
    m, n = a.shape[-2:]
    k = m if full_matrices else smaller(m, n)
    outs = [ShapedArray((*batch, m, k), a.dtype), ShapedArray((*batch, k, n), a.dtype)]
    return [*outs, ShapedArray((*batch, n), np.int32)] if pivoting else outs


def _qr_jvp(primals, tangents, **params):
    """With M = Q^H dA1 R1^-1, where Q has k = min(m, n) columns and A1, R1 are the first k of A and R: dQ = Q (W - M) +
    dA1 R1^-1 and dR = Q^H dA - W R, for the skew-hermitian W that agrees with M below the diagonal."""
    (a,), (t,) = primals, tangents
    outs = qr.bind(a, **params)
    m, n = shape_of(a)[-2:]
    k = min(m, n)
    if params["pivoting"]:
        columns = mx.along_rows(outs[2], t)
        t = take_along(t, columns, len(shape_of(t)) - 1)
    q, r = mx.part(outs[0], (0, m), (0, k)), mx.part(outs[1], (0, k), (0, n))
    first = mx.part(t, (0, m), (0, k))
    scaled = solve_triangular(mx.part(r, (0, k), (0, k)), first, left=False, lower=False)  # dA1 R1^-1
    inner = matmul(H(q), scaled)
    below = mx.tril(inner, -1)
    turn = mx.sub(below, H(below))
    if mx.is_complex(a):
        diagonal = mx.masked(inner, np.eye(k, dtype=bool))
        turn = mx.add(turn, mx.sub(diagonal, mx.as_dtype(mx.real(diagonal), get_aval(a).dtype)))
    dq = matmul(q, turn)
    if k < m:  # what leaves the space of q
        dq = mx.add(dq, mx.sub(scaled, matmul(q, inner)))
    dr = mx.triu(mx.sub(matmul(H(q), t), matmul(turn, r)))
    if params["full_matrices"] and k < m:
        dq = mx.bind("concatenate", dq, _rest_tangent(q, dq), dimension=len(shape_of(dq)) - 1)
        dr = mx.pad_to(dr, m, n)
    return outs, [dq, dr, *(Zero.of(p) for p in outs[2:])]


def _rest_tangent(q, dq):
    """The tangent of the other m - k columns of the square orthogonal matrix, which the first k determine.

    A product of k reflectors is 1 - V T V^H with V unit lower trapezoidal, so that D = E - q (E: the first k columns of
    the identity) is V T V1^H, and the other columns are E' - V T V2^H = E' - D (D2 D1^-1)^H, where D1 has the first k
    rows of D and D2 the others. (Ballard et al., "Reconstructing Householder vectors from TSQR", 2015, use the same.)
    """
    m, k = shape_of(q)[-2:]
    d = mx.sub(mx.const(np.eye(m, k), q), q)
    top, rest = mx.part(d, (0, k), (0, k)), mx.part(d, (k, m), (0, k))
    y = solve(H(top), H(rest))
    d_top, d_rest = mx.part(dq, (0, k), (0, k)), mx.part(dq, (k, m), (0, k))  # minus the tangents of top and rest
    dy = solve(H(top), mx.sub(matmul(H(d_top), y), H(d_rest)))
    return mx.sub(matmul(dq, y), matmul(d, dy))


def _qr_reference(a, *, pivoting, full_matrices, use_magma):
    if not pivoting:
        with np.errstate(all="ignore"):
            q, r = np.linalg.qr(a, "complete" if full_matrices else "reduced")
        return [q, r]
    m, n = a.shape[-2:]
    k, rank = (m if full_matrices else min(m, n)), min(m, n)
    geqp3, orgqr = lapack("geqp3", a.dtype), lapack("ungqr" if a.dtype.kind == "c" else "orgqr", a.dtype)

    def one(a):
        if a.size == 0:
            return [np.eye(m, k, dtype=a.dtype), np.zeros((k, n), a.dtype), np.arange(n)]
        factors, order, taus, *_ = geqp3(a)
        start = np.zeros((m, k), a.dtype)
        start[:, :rank] = factors[:, :rank]
        return [orgqr(start, taus)[0], np.triu(factors)[:k], order - 1]

    batch = a.shape[:-2]
    return per_matrix(one, (a,), (2,), [((*batch, m, k), a.dtype), ((*batch, k, n), a.dtype), ((*batch, n), np.int32)])


qr = primitive(
    "qr",
    _qr_type,
    jvp=_qr_jvp,
    transpose=Refusal("qr is not linear, so it has no transpose"),
    batch=batch_leading(lambda: qr),
    reference=_qr_reference,
    multiple_results=True,
)

# ---------------------------------------------------------------------------------------------------------------------
# geqrf: r above the diagonal, and below it the vectors v of the reflectors 1 - tau v v^H whose product is q


def _geqrf_type(a):
    batch = check_matrices("geqrf", (a,), (2,))
    return [a.strip_weak_type(), ShapedArray((*batch, min(a.shape[-2:])), a.dtype)]


def _geqrf_reference(a):
    routine = lapack("geqrf", a.dtype)
    k = min(a.shape[-2:])

    def one(a):
        return routine(a)[:2] if a.size else [a, np.zeros(k, a.dtype)]

    return per_matrix(one, (a,), (2,), [(a.shape, a.dtype), ((*a.shape[:-2], k), a.dtype)])


geqrf = primitive(
    "geqrf",
    _geqrf_type,
    jvp=mx.no_derivative("geqrf"),
    batch=batch_leading(lambda: geqrf),
    reference=_geqrf_reference,
    multiple_results=True,
)

# ---------------------------------------------------------------------------------------------------------------------
# householder_product: the first columns of the product of reflectors


def _product_type(a, taus):
    name = "householder_product"
    check_matrices(name, (a, taus), (2, 1))
    m, n = a.shape[-2:]
    if m < n:
        raise ValueError(
            f"The first argument to {name} must have at least as many rows as columns, got shape {a.shape}"
        )
    if taus.shape[-1] > min(m, n):
        raise ValueError(
            f"The second argument to {name} must not have more rows than the minimum of the first argument's rows and "
            f"columns, got shapes {a.shape} and {taus.shape}."
        )
    return a.strip_weak_type()


def _product_reference(a, taus):
    routine = lapack("ungqr" if a.dtype.kind == "c" else "orgqr", a.dtype)

    def one(a, taus):
        if a.size == 0:
            return [a]
        q, _, info = routine(a, taus)
        return [q if info == 0 else np.full(a.shape, nan_like(a.dtype))]

    return per_matrix(one, (a, taus), (2, 1), [(a.shape, a.dtype)])[0]


householder_product = primitive(
    "householder_product",
    _product_type,
    jvp=mx.no_derivative("householder_product"),
    batch=batch_leading(lambda: householder_product),
    reference=_product_reference,
)

# --- ormqr: q c, c q, or with q^H, for the whole square q that the reflectors stand for ---


def _ormqr_type(a, taus, c, *, left, transpose):
    check_matrices("ormqr", (a, taus, c), (2, 1, 2))
    side, what = (-2, "rows") if left else (-1, "columns")
    if a.shape[-2] != c.shape[side]:
        raise ValueError(
            f"ormqr with left={left} expects c to have the same number of {what} as the Householder matrix a has rows. "
            f"Got a shape {a.shape} and c shape {c.shape}."
        )
    if taus.shape[-1] > min(a.shape[-2:]):
        raise ValueError(f"ormqr: there are more taus than reflectors: got a shape {a.shape} and taus {taus.shape}.")
    return c.strip_weak_type()


def _ormqr_reference(a, taus, c, *, left, transpose):
    """One reflector after the other; q = h_1 h_2 ... h_k."""
    k = taus.shape[-1]
    out = np.array(c)
    if transpose:
        taus = np.conj(taus)
    # The reflector next to c acts first: h_k for q c, h_1 for c q; the other way round with q^H.
    for i in range(k) if left == transpose else reversed(range(k)):
        v = np.array(a[..., :, i])
        v[..., :i] = 0
        v[..., i] = 1
        if left:
            dots = np.einsum("...i,...ij->...j", np.conj(v), out)
            out = out - taus[..., i, None, None] * v[..., :, None] * dots[..., None, :]
        else:
            dots = np.einsum("...ij,...j->...i", out, v)
            out = out - taus[..., i, None, None] * dots[..., :, None] * np.conj(v)[..., None, :]
    return out.astype(c.dtype, copy=False)


ormqr = primitive(
    "ormqr", _ormqr_type, jvp=mx.no_derivative("ormqr"), batch=batch_leading(lambda: ormqr), reference=_ormqr_reference
)

__all__ = ["geqrf", "householder_product", "ormqr", "qr"]
