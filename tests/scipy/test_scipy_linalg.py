"""addax.scipy.linalg: against jax.scipy.linalg where results are unique, by its defining equation elsewhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg as theirs
import numpy as np
import pytest
import scipy.linalg as exact

import addax
import addax.numpy as anp
import addax.scipy.linalg as ours

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 4)).astype(np.float32)
B = RNG.normal(size=(3, 3)).astype(np.float32)
P = (A @ A.T + np.eye(4)).astype(np.float32)
C = (A + 1j * RNG.normal(size=(4, 4))).astype(np.complex64)
V = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
W = np.array([2.0, 1.0, -1.0], np.float32)


def close(got, want, tol=2e-4, case=""):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (case, got.shape, want.shape)
    np.testing.assert_allclose(got, want, rtol=tol, atol=tol, err_msg=case)


UNIQUE = [
    ("cholesky", (P,), {}), ("cholesky", (P,), {"lower": True}), ("cho_solve", ((P, True), V), {}),
    ("cho_solve", ((np.linalg.cholesky(P).T.copy(), False), A), {}), ("lu", (A,), {}), ("lu", (A[:3],), {}), ("lu", (C[:, :2],), {}),
    ("lu", (A,), {"permute_l": True}), ("lu_factor", (A,), {}), ("det", (A,), {}), ("inv", (A,), {}),
    ("solve", (A, V), {}), ("solve", (P, A), {"assume_a": "pos"}), ("solve", (P, V), {"assume_a": "pos", "lower": True}),
    ("solve_triangular", (A, V), {}), ("solve_triangular", (C, C), {"trans": "C", "lower": True, "unit_diagonal": True}),
    ("solve_triangular", (C, C), {"trans": 1}), ("eigh", (P,), {"eigvals_only": True}), ("expm", (A,), {}),
    ("expm", (np.stack([A, 30 * A]) / 10,), {}), ("expm", (np.triu(A),), {"upper_triangular": True}), ("expm", (C,), {}),
    ("expm", (np.zeros((3, 3), np.float32),), {}), ("expm_frechet", (A, P), {}), ("expm", (1e9 * A,), {}),
    ("expm_frechet", (A, P), {"compute_expm": False}), ("sqrtm", (P,), {}), ("sqrtm", (C,), {}), ("funm", (P, anp.sin), {}),
    ("solve_sylvester", (A, B, A[:, :3]), {}), ("solve_sylvester", (A, B, A[:, :3]), {"method": "eigen"}),
    ("block_diag", (A, 2.0, V), {}), ("block_diag", (), {}), ("toeplitz", (V, W), {}), ("toeplitz", (C[0],), {}), ("toeplitz", (A,), {}),
    ("toeplitz", (1.0,), {}), ("hankel", (V, W), {}), ("hankel", (V,), {}), ("circulant", (V,), {}), ("circulant", (A,), {}),
    ("companion", (V,), {}), ("companion", (A,), {}), ("convolution_matrix", (W, 5), {}), ("convolution_matrix", (W, 5, "same"), {}),
    ("convolution_matrix", (V, 3, "valid"), {}), ("fiedler", (V,), {}), ("fiedler", (A,), {}), ("fiedler_companion", (V,), {}),
    ("fiedler_companion", (np.arange(1.0, 7.0, dtype=np.float32),), {}), ("leslie", (V, W), {}), ("hilbert", (4,), {}),
    ("invhilbert", (4,), {}), ("pascal", (4,), {}), ("pascal", (4, "lower"), {}), ("invpascal", (4,), {}), ("hadamard", (4,), {}),
    ("helmert", (4,), {}), ("helmert", (4,), {"full": True}), ("dft", (4,), {}), ("dft", (3, "sqrtn"), {}), ("dft", (3, "n"), {}),
    ("eigh_tridiagonal", (V, W), {"eigvals_only": True}),
    ("eigh_tridiagonal", (V, W), {"eigvals_only": True, "select": "i", "select_range": (1, 2)}),
]  # fmt: skip


QUICK = ["cholesky", "cho_solve", "lu", "det", "inv", "solve", "solve_triangular", "eigh", "expm_frechet", "toeplitz", "hankel",
         "circulant", "companion", "convolution_matrix", "fiedler", "fiedler_companion", "leslie", "hilbert", "invhilbert", "pascal",
         "invpascal", "hadamard", "helmert", "dft", "eigh_tridiagonal"]  # fmt: skip


def test_unique_results_are_those_of_scipy():
    for name, args, kwargs in UNIQUE:
        vectors = name in ("toeplitz", "circulant", "companion", "fiedler")
        if name not in QUICK or (vectors and any(np.ndim(a) > 1 for a in args)):
            continue
        got, want = getattr(ours, name)(*args, **kwargs), getattr(exact, name)(*args, **kwargs)
        many = isinstance(want, (tuple, list))
        for g, w in zip(got if many else [got], want if many else [want], strict=True):
            close(g, w, 1e-3, name)
    for a in (A, C, 10 * A):
        close(ours.expm(a) / np.linalg.norm(exact.expm(a)), exact.expm(a) / np.linalg.norm(exact.expm(a)))
    assert np.isnan(ours.expm(1e9 * A)).all()
    close(ours.sqrtm(P), exact.sqrtm(P))
    close(ours.solve_sylvester(A, B, A[:, :3]), exact.solve_sylvester(A, B, A[:, :3]), 1e-3)


@pytest.mark.slow
def test_unique_results_are_those_of_jax():
    for name, args, kwargs in UNIQUE:
        got = getattr(ours, name)(*args, **kwargs)
        if name == "funm":
            args = (args[0], jnp.sin)
        want = getattr(theirs, name)(*args, **kwargs)
        many = isinstance(want, (tuple, list))
        for g, w in zip(got if many else [got], want if many else [want], strict=True):
            assert g.dtype == w.dtype, name
            close(g, w, case=name)


def test_defining_equations():
    for x in (A, C, np.stack([A, P])):
        for t, z in (ours.schur(x), ours.schur(x, "complex"), ours.rsf2csf(*ours.schur(x))):
            close(z @ t @ anp.conj(z).mT, x.astype(t.dtype))
        t, _ = ours.schur(x, "complex")
        close(anp.tril(t, -1), np.zeros_like(t))
        h, q = ours.hessenberg(x, calc_q=True)
        close(q @ h @ anp.conj(q).mT, x)
        close(anp.tril(h, -2), np.zeros_like(h))
        close(ours.hessenberg(x), h)
        for side in ("right", "left"):
            u, p = ours.polar(x, side)
            close(u @ p if side == "right" else p @ u, x)
            close(anp.conj(u).mT @ u, np.broadcast_to(np.eye(4), x.shape).astype(u.dtype))
        for mode in ("full", "economic"):
            q, r, p = ours.qr(x, mode=mode, pivoting=True)
            close(q @ r, np.take_along_axis(x, np.broadcast_to(np.asarray(p)[..., None, :], x.shape), -1))
    u, p = ours.polar(A[:2])
    close(u @ p, A[:2])
    assert [v.shape for v in ours.qr(A, mode="r", pivoting=True)] == [(4, 4), (4,)] and len(ours.qr(A, mode="r")) == 1
    tall = A[:, :2]
    q, r = ours.qr(tall, mode="economic")
    got, got_r = ours.qr_multiply(tall, V)
    close(got, V @ q)
    close(got_r, r)
    close(ours.qr_multiply(tall, W[:2], mode="left")[0], q @ W[:2])
    w, v = ours.eigh(C + C.conj().T, lower=False)
    close((C + C.conj().T) @ v, v * w)
    w, v = ours.eigh(A + A.T, P)
    close((A + A.T) @ v, P @ v * w)
    close(v.T @ P @ v, np.eye(4))
    w, v = ours.eigh_tridiagonal(V, W)
    close(ours.toeplitz(V) * 0 + (np.diag(V) + np.diag(W, 1) + np.diag(W, -1)) @ v, v * w)
    for trans in (0, 1, 2):
        op = [C, C.T, C.conj().T][trans]
        close(op @ ours.lu_solve(ours.lu_factor(C), C[0], trans), C[0], 1e-3)
        close(op @ ours.lu_solve(ours.lu_factor(C), C, trans), C, 1e-3)
    u, s, vh = ours.svd(C)
    close(u * s @ vh, C)
    x = ours.sqrtm(P)
    close(x @ x, P.astype(np.complex64), 1e-3)
    close(ours.funm(A, anp.exp), exact.expm(A).astype(np.complex64), 1e-3)
    out, error = ours.funm(A, anp.exp, disp=False)
    assert 0 < error.item() < 1e-3 and out.shape == (4, 4)
    close(ours.funm(np.eye(3, dtype=np.float32), anp.exp), np.e * np.eye(3).astype(np.complex64))


def test_singular_sylvester_equations_are_nan():
    for method in ("schur", "eigen"):
        assert np.isnan(np.asarray(ours.solve_sylvester(np.eye(2), -np.eye(2), np.ones((2, 2)), method=method))).all()


def test_derivatives():
    cases = {
        "expm": (lambda s: lambda x: s.expm(x / 2), A), "cho": (lambda s: lambda x: s.cho_solve(s.cho_factor(x), V), P),
        "solve": (lambda s: lambda x: s.solve(x, V, assume_a="pos"), P), "toeplitz": (lambda s: s.toeplitz, V),
        "companion": (lambda s: s.companion, V), "triangular": (lambda s: lambda x: s.solve_triangular(x, V), P),
        "block": (lambda s: lambda x: s.block_diag(x, x * 2), W), "lu_solve": (lambda s: lambda x: s.lu_solve(s.lu_factor(x), V, 1), P),
    }  # fmt: skip

    def gradients(library, m, s):
        def loss(f):
            return lambda x: m.sum(f(x) * m.cos(m.arange(f(x).size, dtype="float32")).reshape(f(x).shape))

        return library.jit(lambda: {n: library.grad(loss(f(s)))(m.asarray(x)) for n, (f, x) in cases.items()})()

    got, want = gradients(addax, anp, ours), gradients(jax, jnp, theirs)
    for name in cases:
        g, w = np.asarray(got[name]), np.asarray(want[name])
        if name in ("cho", "solve"):  # the triangle that is not read may get any share
            g, w = g + g.T, w + w.T
        close(g, w, 1e-3, name)
    f = lambda a, b, c: ours.solve_sylvester(a, b, c).sum()  # noqa: E731
    args = [x.astype(np.float64) for x in (A + 4 * np.eye(4), B + 4 * np.eye(3), A[:, :3])]
    with addax.enable_x64(True):
        slopes = addax.grad(f, (0, 1, 2))(*args)
        for i, slope in enumerate(slopes):
            d = RNG.normal(size=args[i].shape)
            h = 1e-6
            up, down = ([*args[:i], args[i] + e * d, *args[i + 1 :]] for e in (h, -h))
            numeric = (exact.solve_sylvester(*up).sum() - exact.solve_sylvester(*down).sum()) / (2 * h)
            np.testing.assert_allclose(np.sum(np.asarray(slope) * d), numeric, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "error", "text"),
    [
        ("block_diag", (np.ones((2, 2, 2)),), {}, ValueError, "at most 2 dimensions"),
        ("lu_solve", ((A, np.arange(4)), V, 3), {}, ValueError, "'trans' value must be 0, 1, or 2, got 3"),
        ("qr", (A,), {"mode": "bad"}, ValueError, "Unsupported QR decomposition mode"),
        ("solve", (A, V), {"assume_a": "bad"}, ValueError, "Expected assume_a to be one of"),
        ("solve_triangular", (A, V), {"trans": 4}, ValueError, "Invalid 'trans' value 4"),
        ("eigh", (A,), {"eigvals": (0, 1)}, NotImplementedError, "eigvals=None"),
        ("eigh_tridiagonal", (V, W), {"select": "v"}, NotImplementedError, "select='v'"),
        ("expm", (A[:2],), {}, ValueError, "square"),
        ("hadamard", (3,), {}, ValueError, "positive power of 2"),
        ("pascal", (3, "bad"), {}, ValueError, "kind"),
        ("dft", (3, "bad"), {}, ValueError, "scale"),
        ("dft", (3,), {"dtype": "float32"}, ValueError, "dtype must be complex, got float32"),
        ("rsf2csf", (A, A[:2]), {}, ValueError, "needs square matrices"),
        ("rsf2csf", (A, A[:2, :2]), {}, ValueError, "must have the same shape"),
        ("companion", (V[:1],), {}, ValueError, "at least 2"),
        ("convolution_matrix", (V, 4, "bad"), {}, ValueError, "mode"),
        ("leslie", (V, V), {}, ValueError, "one less"),
        ("polar", (A, "bad"), {}, ValueError, "'right' or 'left'"),
        ("schur", (A, "bad"), {}, ValueError, "'real' or 'complex'"),
        ("helmert", (0,), {}, ValueError, "positive"),
        ("qr_multiply", (A, np.ones((2, 2))), {}, ValueError, "needs 4 columns of c"),
        ("cholesky", ([1.0],), {}, TypeError, "requires ndarray or scalar"),
    ],
)
def test_errors(name, args, kwargs, error, text):
    with pytest.raises(error, match=text):
        getattr(ours, name)(*args, **kwargs)
