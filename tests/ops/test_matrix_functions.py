"""Linear algebra and transforms through their public functions: against JAX, degenerate matrices, derivatives, messages."""

import jax
import numpy as np
import pytest
from layout_laws import assert_same
from messages import messages_of

import addax
from addax import lax

NAN = np.nan
RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 4))
S = A @ A.T + np.diag(np.arange(4.0))
WIDE, TALL = RNG.normal(size=(3, 5)), RNG.normal(size=(5, 3))
DOT = RNG.normal(size=(4, 4))

CASES = {
    "cholesky": (lambda L: L.cholesky, S),
    "eigh": (lambda L: lambda a: L.eigh(a)[1], S),
    "eigvecs": (lambda L: lambda a: L.eigh(a)[0] ** 2, S),
    "svd": (lambda L: lambda a: L.svd(a, full_matrices=False), A),
    "svd values": (lambda L: lambda a: L.svd(a, compute_uv=False), WIDE),
    "svd wide": (lambda L: lambda a: L.svd(a, full_matrices=False), WIDE),
    "svd tall": (lambda L: lambda a: L.svd(a, full_matrices=False), TALL),
    "qr": (lambda L: L.qr, A),
    "qr full": (lambda L: L.qr, TALL),
    "qr wide": (lambda L: lambda a: L.qr(a, full_matrices=False), WIDE),
    "lu": (lambda L: lambda a: L.lu(a)[0], A),
    "lu wide": (lambda L: lambda a: L.lu(a)[0], WIDE),
    "lu tall": (lambda L: lambda a: L.lu(a)[0], TALL),
    "eig": (lambda L: lambda a: L.eig(a, enable_eigvec_derivs=True), A),
    "solve": (lambda L: lambda a: L.triangular_solve(a, a, left_side=True, lower=True), S),
    "solve vector": (lambda L: lambda a: L.triangular_solve(a, a[0], lower=True), S),
    "tridiagonal solve": (lambda L: lambda a: L.tridiagonal_solve(a[0], a[1] + 4, a[2], a), A),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name):
    make, x = CASES[name]
    tangent = RNG.normal(size=x.shape)
    with addax.enable_x64(True), jax.enable_x64(True):
        out, dot = addax.jvp(make(lax.linalg), (x,), (tangent,))
        want, want_dot = jax.jvp(make(jax.lax.linalg), (x,), (tangent,))
        assert_same(out, want, 1e-9)
        assert_same(dot, want_dot, 1e-8)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3)])
def test_pivoted_qr(shape):
    x, tangent = RNG.normal(size=shape), RNG.normal(size=shape)
    with addax.enable_x64(True), jax.enable_x64(True):
        q, r, p = lax.linalg.qr(x, pivoting=True, full_matrices=False)
        np.testing.assert_allclose(q @ r, x[:, np.asarray(p)], atol=1e-12)
        assert_same([q, r, p], jax.lax.linalg.qr(x, pivoting=True, full_matrices=False), 1e-10)
        dot = addax.jvp(lambda a: lax.linalg.qr(a, pivoting=True)[:2], (x,), (tangent,))[1]
        assert_same(dot, jax.jvp(lambda a: jax.lax.linalg.qr(a, pivoting=True)[:2], (x,), (tangent,))[1], 1e-8)


def test_derivative_of_pivoted_wide_qr_by_differences():
    """JAX 0.10 permutes the tangent of r by the inverse permutation; differences say what is right."""
    x, t, eps = RNG.normal(size=(3, 6)), RNG.normal(size=(3, 6)), 1e-6
    with addax.enable_x64(True):
        f = lambda a: lax.linalg.qr(a, pivoting=True)[1]  # noqa: E731
        slope = (np.asarray(f(x + eps * t)) - np.asarray(f(x - eps * t))) / (2 * eps)
        np.testing.assert_allclose(addax.jvp(f, (x,), (t,))[1], slope, atol=1e-7)


def test_gradients_of_scalars():
    x = np.float32(S)
    np.testing.assert_allclose(
        addax.grad(lambda a: 2 * np.float32(1) * lax.log(_diagonal(lax.linalg.cholesky(a))).sum())(x),
        np.linalg.inv(S),
        rtol=1e-3,
        atol=1e-4,
    )  # d log det A = A^-1
    gradient = addax.grad(lambda a: lax.linalg.svd(a, compute_uv=False).sum())(np.float32(WIDE))
    u, _, vh = np.linalg.svd(WIDE, full_matrices=False)
    np.testing.assert_allclose(gradient, u @ vh, rtol=1e-3, atol=1e-4)  # of the nuclear norm


def _diagonal(a):
    return lax.reduce_sum(a * np.eye(a.shape[-1], dtype=np.float32), (1,))


def test_where_there_is_no_factorisation_the_result_is_nan():
    stack = np.float32([np.eye(3), -np.eye(3), np.full((3, 3), NAN)])
    got = np.asarray(lax.linalg.cholesky(stack))
    assert_same(got, jax.lax.linalg.cholesky(stack))
    for f in (
        lambda a: lax.linalg.eigh(a)[1],
        lambda a: lax.linalg.svd(a, compute_uv=False),
        lambda a: lax.linalg.eig(a)[0],
        lambda a: lax.linalg.schur(a)[0],
    ):
        out = np.asarray(f(stack))
        assert np.isfinite(out[:2]).all()
        assert np.isnan(out[2]).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 0), (0, 3, 3)])
def test_empty_matrices(shape):
    x = np.zeros(shape, np.float32)
    for name in ("lu", "qr", "svd"):
        got, want = getattr(lax.linalg, name)(x), getattr(jax.lax.linalg, name)(x)
        assert [a.shape for a in got] == [b.shape for b in want]


def test_lu_solves():
    factors, pivots, permutation = lax.linalg.lu(np.float32(A))
    lower = np.tril(factors, -1) + np.eye(4)
    np.testing.assert_allclose(lower @ np.triu(factors), A[np.asarray(permutation)], atol=1e-5)
    assert_same(lax.linalg.lu_pivots_to_permutation(pivots, 4), permutation)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("complex_", [True, False])
def test_reflectors(left, transpose, complex_):
    x = (TALL + 1j * RNG.normal(size=TALL.shape) if complex_ else TALL).astype(np.complex64 if complex_ else np.float32)
    factors, taus = lax.linalg.geqrf(x)
    c = RNG.normal(size=(5, 2) if left else (2, 5)).astype(x.dtype)
    q, r = lax.linalg.qr(x)
    q = np.conj(np.asarray(q)).T if transpose else np.asarray(q)
    got = lax.linalg.ormqr(factors, taus, c, left=left, transpose=transpose)
    np.testing.assert_allclose(got, q @ c if left else c @ q, atol=1e-5)
    product = lax.linalg.householder_product(factors, taus)
    np.testing.assert_allclose(product @ np.asarray(r)[:3], x, atol=1e-5)


def test_rank_one_update_and_symmetric_product():
    r, w = np.float32(np.linalg.cholesky(S).T), np.float32(A[0])
    updated = np.asarray(lax.linalg.cholesky_update(r, w))
    np.testing.assert_allclose(updated.T @ updated, S + np.outer(w, w), rtol=1e-4, atol=1e-4)
    got = lax.linalg.symmetric_product(np.float32(WIDE), np.eye(3, dtype=np.float32), alpha=2.0, beta=0.5)
    np.testing.assert_allclose(got, 2 * WIDE @ WIDE.T + 0.5 * np.eye(3), rtol=1e-4)


def test_polar_factors():
    u, h, _, converged = lax.linalg.qdwh(np.float32(TALL))
    want_u, want_h, *_ = jax.lax.linalg.qdwh(np.float32(TALL))
    assert converged
    assert_same([u, h], [want_u, want_h], 1e-4)


def test_forms_on_the_way():
    x, s = np.float32(A), np.float32(S)
    t, z = lax.linalg.schur(x)
    np.testing.assert_allclose(z @ t @ np.asarray(z).T, x, atol=1e-5)
    assert_same(lax.linalg.hessenberg(x), jax.lax.linalg.hessenberg(x), 1e-5)
    assert_same(lax.linalg.tridiagonal(s), jax.lax.linalg.tridiagonal(s), 1e-4)


# --- transforms ---


@pytest.mark.parametrize("lengths", [(5,), (6,), (2, 3, 6), (1,)])
@pytest.mark.parametrize("kind", ["fft", "ifft", "rfft", "irfft"])
def test_transforms(kind, lengths):
    shape = (2, *lengths[:-1], lengths[-1] // 2 + 1) if kind == "irfft" else (2, *lengths)
    x = RNG.normal(size=shape).astype(np.float32)
    if kind != "rfft":
        x = x + 1j * RNG.normal(size=shape).astype(np.float32)
    got, pull = addax.vjp(lambda x: lax.fft(x, kind, lengths), x)
    want, jax_pull = jax.vjp(lambda x: jax.lax.fft(x, kind, lengths), x)
    assert_same(got, want, 1e-4)
    ct = RNG.normal(size=got.shape).astype(np.float32)
    ct = (ct + 1j * ct[::-1]).astype(got.dtype) if kind != "irfft" else ct
    assert_same(pull(ct), jax_pull(jax.numpy.asarray(ct)), 1e-4)


def test_real_input_of_the_complex_transform():
    x = np.arange(4, dtype=np.int32)
    assert_same(lax.fft(x, lax.FftType.FFT, (4,)), jax.lax.fft(x, "fft", (4,)), 1e-6)
    assert_same(lax.fft(x, "rfft", (4,)), jax.lax.fft(x, "rfft", (4,)), 1e-6)


F = np.float32(A)
L = lax.linalg

MESSAGES = [
    (lambda: L.lu(F[0]), TypeError, ["Input 0 to lu must have rank at least 2", "(4,)"]),
    (lambda: L.cholesky(F[:2]), ValueError, ["cholesky must be a square matrix", "(2, 4)"]),
    (lambda: L.eig(F[:2]), ValueError, ["eig must be a square matrix", "(2, 4)"]),
    (lambda: L.svd(np.int32(F)), TypeError, ["svd does not accept dtype int32 at position 0", "complexfloating"]),
    (lambda: L.lu(F.astype(np.float16)), NotImplementedError, ["Unsupported dtype float16", "astype('float32')"]),
    (lambda: L.triangular_solve(F[:2], F), ValueError, ["triangular_solve must be a square matrix"]),
    (lambda: L.triangular_solve(F, F[:, :2]), ValueError, ["Incompatible shapes", "(4, 4)", "(4, 2)"]),
    (lambda: L.triangular_solve(F, np.complex64(F)), TypeError, ["same dtypes, got float32, complex64"]),
    (lambda: L.householder_product(F[:2], F[0]), ValueError, ["at least as many rows as columns"]),
    (lambda: L.tridiagonal_solve(F[0], F[0], F[0], F[0]), TypeError, ["rank at least 2"]),
    (lambda: L.tridiagonal_solve(F[0], F[0, :2], F[0], F), TypeError, ["same shape"]),
    (lambda: L.lu_pivots_to_permutation(np.int32([2, 2, 2]), 2), ValueError, ["size 2", "size 3"]),
    (lambda: addax.grad(lambda a: L.schur(a)[0].sum())(F), NotImplementedError, ["'schur' not implemented"]),
    (lambda: addax.jvp(L.svd, (F[:2],), (F[:2],)), NotImplementedError, ["full matrices", "full_matrices=False"]),
    (lambda: addax.jvp(L.eig, (F,), (F,)), NotImplementedError, ["enable_eigvec_derivs=True"]),
    (lambda: L.schur(F, sort_eig_vals=True), NotImplementedError, ["sort_eig_vals"]),
    (lambda: lax.fft(F + 1j, "rfft", (4,)), ValueError, ["only real valued inputs supported for rfft"]),
    (lambda: lax.fft(F, "fft", (3,)), ValueError, ["(4, 4)", "fft_lengths (3,)"]),
    (lambda: lax.fft(F, "foo", (4,)), ValueError, ["Unknown FFT type 'foo'"]),
    (lambda: lax.fft(F, 0, (4,)), TypeError, ["Unknown FFT type value '0'"]),
    (lambda: lax.fft(F, "irfft", (8,)), ValueError, ["the last to 5 = 8 // 2 + 1"]),
    (lambda: lax.fft(F, "fft", (2, 4, 4)), ValueError, ["at least as many input dimensions"]),
]

test_messages = messages_of(MESSAGES)
