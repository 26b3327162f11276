"""addax.numpy.linalg against jax.numpy.linalg: values, batches, derivatives, singular and empty input, errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle import batched, check, sample

import addax
import addax.numpy as anp


def matrices(*shape, dtype="float32", seed=0) -> np.ndarray:
    """Well-conditioned matrices."""
    x = sample(dtype, shape, seed)
    return (x + 4 * np.eye(*shape[-2:])).astype(dtype)


def definite(n, *batch, dtype="float32", seed=0) -> np.ndarray:
    x = sample(dtype, (*batch, n, n), seed)
    return (x @ x.conj().swapaxes(-1, -2) / n + np.eye(n)).astype(dtype)


@batched
def test_values(check):
    for dtype in ("float32", "complex64", "int32"):
        for shape in ((3, 3), (2, 4, 4), (1, 1), (2, 2), (3, 0, 0)) if dtype == "float32" else ((4, 4), (0, 0)):
            x = matrices(*shape, dtype=dtype)
            for name in ("inv", "det", "slogdet"):
                check(f"linalg.{name}", x, rtol=2e-5)
            check("linalg.matrix_power", x, 3, rtol=2e-5)
            check("linalg.matrix_power", x, 0)
            check("linalg.matrix_power", x, -2, rtol=2e-5)
            for name in ("trace", "diagonal", "matrix_transpose", "matrix_norm", "norm"):
                check(f"linalg.{name}", x, rtol=1e-5)
        if dtype != "complex64":  # which JAX refuses
            check("linalg.slogdet", matrices(4, 4, dtype=dtype), method="qr", rtol=1e-5)
    for dtype in ("float32", "complex64"):
        for shape in ((3, 3), (2, 4, 4), (0, 0)):
            x = definite(shape[-1], *shape[:-2], dtype=dtype)
            check("linalg.cholesky", x, rtol=1e-5)
            check("linalg.cholesky", x, upper=True, rtol=1e-5)
            check("linalg.cholesky", x, upper=True, symmetrize_input=False, rtol=1e-5)
            check("linalg.eigvalsh", x, rtol=1e-5)
            check("linalg.eigvalsh", x, "U", symmetrize_input=False, rtol=1e-5)
            check("linalg.pinv", x, rtol=2e-5)
        for shape in ((4, 3), (2, 3, 4), (0, 3), (3, 0)):
            x = sample(dtype, shape)
            check("linalg.svdvals", x, rtol=1e-5)
            check("linalg.pinv", x, rtol=2e-5)
            check("linalg.qr", x, "r", rtol=1e-5)
            check("linalg.qr", x, rtol=1e-5)
            check("linalg.qr", x, "raw", rtol=1e-5)
            if 0 not in shape:
                check("linalg.cond", x, rtol=1e-5)
                check("linalg.cond", x, -2, rtol=1e-5)
                check("linalg.matrix_rank", x)
        check("linalg.qr", sample(dtype, (4, 2)), "complete", rtol=1e-5)
    check("linalg.det", np.eye(2, dtype=np.float16))
    check("linalg.inv", np.zeros((2, 2), np.float32))


def test_complex_slogdet_by_qr():
    x = sample("complex64", (2, 4, 4))
    for got, want in zip(anp.linalg.slogdet(x, method="qr"), np.linalg.slogdet(x), strict=True):
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5)


@batched
def test_systems(check):
    for dtype in ("float32", "complex64"):
        a = matrices(3, 3, dtype=dtype)
        for shape in ((3,), (3, 2), (2, 3, 2), (5, 1, 3, 2), (3, 0)):
            if dtype == "float32":
                check("linalg.solve", a, sample(dtype, shape), rtol=1e-5)
            check("linalg.solve", np.stack([a, a + 1]), sample(dtype, shape), rtol=3e-5)
        check("linalg.solve", a, np.arange(3, dtype=np.int32), rtol=1e-5)
        check("linalg.solve", np.zeros((0, 0), dtype), np.zeros((0,), dtype))
        check("linalg.tensorinv", matrices(4, 4, dtype=dtype).reshape(2, 2, 4), 2, rtol=2e-5)
        check("linalg.tensorinv", matrices(4, 4, dtype=dtype).reshape(4, 2, 2), 1, rtol=2e-5)
        check("linalg.tensorsolve", matrices(4, 4, dtype=dtype).reshape(2, 2, 4), sample(dtype, (2, 2)), rtol=2e-5)
        check(
            "linalg.tensorsolve", matrices(4, 4, dtype=dtype).reshape(2, 4, 2), sample(dtype, (2, 2)), (1,), rtol=2e-5
        )
        for m, n in ((4, 2), (2, 4), (3, 3)):
            tall = sample(dtype, (m, n), 3)
            check("linalg.lstsq", tall, sample(dtype, (m,)), rtol=5e-5)
            check("linalg.lstsq", tall, sample(dtype, (m, 2)), rtol=5e-5)
            check("linalg.lstsq", tall, sample(dtype, (m,)), 0.7, rtol=5e-5)
        check("linalg.lstsq", np.ones((3, 2), dtype), sample(dtype, (3, 2)), rtol=1e-5)
    check("linalg.lstsq", np.ones((0, 2), np.float32), np.ones((0, 2), np.float32))


def test_residuals_as_in_numpy():
    for a in (np.ones((4, 2), np.float32), sample("float32", (4, 2)), sample("float32", (2, 2))):
        got = anp.linalg.lstsq(a, np.ones((4, 2), np.float32)[: len(a)], numpy_resid=True)
        want = jnp.linalg.lstsq(a, np.ones((4, 2), np.float32)[: len(a)], numpy_resid=True)
        for g, w in zip(got, want, strict=True):
            assert g.shape == w.shape and g.dtype == w.dtype


@pytest.mark.slow
@batched
def test_norms(check):
    x = sample("float32", (2, 3, 4))
    for dtype in ("float32", "complex64", "float16", "int32", "bool"):
        v = sample(dtype, (5,), 2)
        for ord in (None, 1, 2, 3, 0, -1, 0.5, np.inf, -np.inf, "inf", "bad", "fro"):
            check("linalg.norm", v, ord, rtol=1e-5)
        check("linalg.norm", sample(dtype, (3, 4)))
    for ord in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf, 3, "bad", 0):
        for axis in ((0, 1), (-1, 0)):
            check("linalg.norm", x, ord, axis, rtol=1e-5)
        check("linalg.norm", x, ord, (0, 2), keepdims=True, rtol=1e-5)
        check("linalg.norm", x[0], ord, rtol=1e-5)
        if ord is not None:
            check("linalg.matrix_norm", x, ord=ord, rtol=1e-5)
            check("linalg.matrix_norm", x, ord=ord, keepdims=True, rtol=1e-5)
    for ord in (1, 2, 3.5, np.inf, -np.inf, 0, "bad"):
        check("linalg.vector_norm", x, ord=ord, rtol=1e-5)
        check("linalg.vector_norm", x, ord=ord, axis=1, keepdims=True, rtol=1e-5)
        check("linalg.vector_norm", x, ord=ord, axis=(0, 2), rtol=1e-5)
        check("linalg.norm", x, ord, 1, keepdims=True, rtol=1e-5)
    for keepdims in (False, True):
        check("linalg.norm", x, keepdims=keepdims, rtol=1e-5)
    check("linalg.norm", np.float32(-3.0))
    check("linalg.norm", np.zeros((0,), np.float32), np.inf)
    check("linalg.norm", np.zeros((0,), np.float32), -np.inf)
    for p in (1, -1, np.inf, -np.inf, "fro", "nuc"):
        check("linalg.cond", matrices(2, 3, 3), p, rtol=2e-5)
        check("linalg.cond", sample("float32", (2, 3)), p)
    check("linalg.cond", np.array([[1, np.nan], [0, 1]], np.float32))
    check("linalg.matrix_rank", np.ones((3, 3), np.float32), hermitian=True)
    check("linalg.matrix_rank", sample("float32", (2, 4, 3)), 1e-4)
    check("linalg.matrix_rank", sample("float32", (4, 3)), tol=2.0)
    check("linalg.matrix_rank", np.ones((3,), np.float32))
    check("linalg.matrix_rank", np.zeros((3,), np.float32))
    check("linalg.pinv", np.ones((3, 2), np.float32), rtol=1e-5)


@batched
def test_products(check):
    x, y = sample("float32", (2, 3)), sample("float32", (3, 4), 1)
    check("linalg.matmul", x, y, rtol=1e-5)
    check("linalg.vecdot", x, x, axis=0)
    check("linalg.tensordot", x, y, axes=1)
    check("linalg.outer", x[0], y[0])
    check("linalg.cross", x, y[:3, :3].T[:2])
    check("linalg.cross", x.T, x.T, axis=0)
    check("linalg.cross", x, x[0])
    check("linalg.trace", sample("int32", (2, 3, 4)), offset=1)
    check("linalg.diagonal", sample("int32", (2, 3, 4)), offset=-1)
    for arrays in ([x, y], [x, y, y.T], [x[0], y, y.T, x.T], [x, y, y[0]], [x[0], y, y[0]], [x[0], x[0]]):
        check("linalg.multi_dot", arrays, rtol=1e-5)


ERRORS = [
    ("cholesky", [(2, 3)]), ("cholesky", [(3,)]), ("det", [(2, 3)]), ("det", [(3,)]), ("eig", [(2, 3)]), ("eig", [(3,)]),
    ("eigh", [(2, 3)]), ("eigh", [(3,)]), ("eigvals", [(2, 3)]), ("eigvalsh", [(2, 3)]), ("inv", [(2, 3)]),
    ("inv", [(3,)]), ("slogdet", [(2, 3)]), ("pinv", [(3,)]), ("qr", [(3,)]), ("svd", [(3,)]), ("svdvals", [(3,)]),
    ("cond", [(3,)]), ("cond", [(2, 0, 0)]), ("matrix_norm", [(3,)]), ("trace", [(3,)]), ("diagonal", [(3,)]),
    ("matrix_transpose", [(3,)]), ("matrix_rank", [(0, 3)]), ("solve", [(3, 3), (2, 3)]), ("solve", [(2, 3, 3), (2, 3)]),
    ("solve", [(2, 3), (3,)]), ("solve", [(3,), (3,)]), ("solve", [(3, 3), ()]), ("lstsq", [(3, 3), (2,)]),
    ("lstsq", [(2, 2, 2), (2,)]), ("lstsq", [(3, 2), (3, 2, 1)]), ("outer", [(2, 2), (2,)]), ("cross", [(2,), (3,)]),
    ("tensorinv", [(2, 3)]), ("tensorsolve", [(2, 3), (3,)]),
]  # fmt: skip


def test_errors():
    for name, shapes in ERRORS:
        args = [np.ones(s, np.float32) for s in shapes]
        with pytest.raises((TypeError, ValueError)):
            getattr(jnp.linalg, name)(*args)
        with pytest.raises((TypeError, ValueError), match=r"\[\.\.\.|\(\d|dimension|axis|zero-size"):
            getattr(anp.linalg, name)(*args)
        check(f"linalg.{name}", *([1.0] for _ in shapes))
    x = np.eye(3, dtype=np.float32)
    check("linalg.norm", x, "fro", 0)
    check("linalg.norm", x, axis=(0, 1, 2))
    check("linalg.norm", np.ones((2, 2, 2), np.float32), 2)
    check("linalg.qr", x, "bad")
    check("linalg.eigh", x, UPLO="bad")
    check("linalg.matrix_power", x, 1.5)
    check("linalg.matrix_power", x[:2], 2)
    check("linalg.multi_dot", [x])
    check("linalg.multi_dot", [x, x[:2]])
    check("linalg.tensorinv", x, 0)
    check("linalg.slogdet", x, method="bad")
    check("linalg.matrix_rank", x, rtol=0.1, tol=0.1)
    check("linalg.pinv", x, rtol=0.1, rcond=0.1)
    check("linalg.inv", x.astype(np.float16))
    with pytest.raises(ValueError, match=r"linalg\.solve: a of shape \(2, 3, 3\).*got \(2, 3\).*b\[\.\.\., None\]"):
        anp.linalg.solve(anp.ones((2, 3, 3)), anp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"linalg\.inv needs square matrices.*\(2, 3\)"):
        anp.linalg.inv(anp.ones((2, 3)))
    with pytest.raises(ValueError, match="square"):
        addax.jit(addax.vmap(anp.linalg.det))(anp.ones((2, 3, 4)))


def close(got, want, tol=2e-4, case=""):
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype and got.shape == want.shape, case
    np.testing.assert_allclose(got, want, rtol=tol, atol=tol, err_msg=case)


def scalar(module, f):
    """A real function of the result of f in which every element counts, and phases do not."""

    def g(*args):
        out = f(module, *args)
        total = 0.0
        for part in out if isinstance(out, (tuple, list)) else [out]:
            if module.issubdtype(part.dtype, module.inexact):
                weights = module.cos(module.arange(part.size, dtype="float32")).reshape(part.shape)
                total = total + module.sum((part * part.conj()).real * weights + part.real * weights)
        return total

    return g


DERIVATIVES = {
    "inv": (lambda m, x: m.linalg.inv(x), "general"),
    "solve": (lambda m, x: m.linalg.solve(x, m.sin(x[..., :2])), "general"),
    "solve_vector": (lambda m, x: m.linalg.solve(x, x[0] if x.ndim == 2 else x[0, 0]), "general"),
    "det": (lambda m, x: m.linalg.det(x) / 100, "general"),
    "slogdet": (lambda m, x: m.linalg.slogdet(x), "general"),
    "slogdet_qr": (lambda m, x: m.linalg.slogdet(x, method="qr"), "general"),
    "cholesky": (lambda m, x: m.linalg.cholesky(x), "definite"),
    "eigvalsh": (lambda m, x: m.linalg.eigvalsh(x), "definite"),
    "eigvals": (lambda m, x: abs(m.linalg.eigvals(x)).sum(-1), "general"),
    "svdvals": (lambda m, x: m.linalg.svdvals(x), "wide"),
    "qr": (lambda m, x: m.linalg.qr(x), "tall"),
    "pinv_wide": (lambda m, x: m.linalg.pinv(x), "wide"),
    "pinv_tall": (lambda m, x: m.linalg.pinv(x), "tall"),
    "pinv_low_rank": (lambda m, x: m.linalg.pinv(x[..., :1] * x[..., :1, :]), "general"),
    "norm_nuc": (lambda m, x: m.linalg.matrix_norm(x, ord="nuc"), "wide"),
    "norm_3": (lambda m, x: m.linalg.vector_norm(x, ord=3, axis=-1), "wide"),
    "matrix_power": (lambda m, x: m.linalg.matrix_power(x / 4, 3), "general"),
    "lstsq": (lambda m, x: m.linalg.lstsq(x, x[:, 0] + m.arange(x.shape[0]))[0] if x.ndim == 2 else x, "tall"),
    "cond": (lambda m, x: m.linalg.cond(x), "wide"),
}
INPUTS = {
    "general": lambda dtype, batch: matrices(*batch, 4, 4, dtype=dtype, seed=5),
    "definite": lambda dtype, batch: definite(4, *batch, dtype=dtype, seed=5),
    "wide": lambda dtype, batch: sample(dtype, (*batch, 2, 3), 5),
    "tall": lambda dtype, batch: sample(dtype, (*batch, 3, 2), 5),
}


@pytest.mark.parametrize(
    ("dtype", "batch"),
    [("complex64", ()), *(pytest.param(d, (2,), marks=pytest.mark.slow) for d in ("float32", "complex64"))],
)
def test_gradients(dtype, batch):
    """One program of each library has all gradients."""
    cases = dict(DERIVATIVES)
    if dtype == "complex64":
        del cases["slogdet_qr"]  # which JAX refuses
    args = {name: INPUTS[kind](dtype, batch) for name, (_, kind) in cases.items()}

    def gradients(library, module):
        fs = {name: library.grad(scalar(module, f)) for name, (f, _) in cases.items()}
        return library.jit(lambda xs: {name: f(xs[name]) for name, f in fs.items()})(args)

    got, want = gradients(addax, anp), gradients(jax, jnp)
    for name in cases:
        scale = max(1.0, float(np.max(np.abs(want[name]))))
        close(np.asarray(got[name]) / scale, np.asarray(want[name]) / scale, case=name)


@pytest.mark.parametrize(
    "name",
    ["solve", *(pytest.param(n, marks=pytest.mark.slow) for n in ("inv", "det", "slogdet", "pinv_wide", "cholesky"))],
)
def test_second_derivatives_and_vmap(name):
    f, kind = DERIVATIVES[name]
    x = INPUTS[kind]("float32", (2,))

    def both(library, module):
        g = scalar(module, f)
        return library.jit(library.vmap(lambda x: (library.hessian(g)(x), library.jvp(g, (x,), (x,))[1])))(x)

    for got, want in zip(both(addax, anp), both(jax, jnp), strict=True):
        scale = np.max(np.abs(want))
        close(np.asarray(got) / scale, np.asarray(want) / scale, case=name)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_spectral_factors(dtype):
    """Vectors are determined up to phases, so the products are compared."""
    for shape in ((3, 3), (4, 2), (2, 2, 4), (0, 3)):
        x = sample(dtype, shape, 7)
        for full in (False, True):
            u, s, vh = anp.linalg.svd(x, full_matrices=full)
            k = s.shape[-1]
            np.testing.assert_allclose(np.asarray(u[..., :k] * s[..., None, :] @ vh[..., :k, :]), x, atol=1e-5)
            want = jnp.linalg.svd(x, full_matrices=full)
            assert [a.shape for a in (u, s, vh)] == [a.shape for a in want]
    h = definite(3, 2, dtype=dtype) - 2 * np.eye(3, dtype=dtype)
    result = anp.linalg.svd(h, hermitian=True)
    np.testing.assert_allclose(np.asarray((result.U * result.S[..., None, :]) @ result.Vh), h, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(anp.linalg.svd(h, hermitian=True, compute_uv=False)), np.linalg.svd(h)[1], atol=1e-5
    )
    w, v = anp.linalg.eigh(h)
    np.testing.assert_allclose(np.asarray(h @ v), np.asarray(v * w[..., None, :]), atol=1e-5)
    x = sample(dtype, (2, 4, 4), 8)
    w, v = anp.linalg.eig(x)
    np.testing.assert_allclose(np.asarray(x @ v), np.asarray(v * w[..., None, :]), atol=2e-5)
    np.testing.assert_allclose(np.sort(np.asarray(anp.linalg.eigvals(x)), -1), np.sort(np.asarray(w), -1), atol=2e-5)
    assert type(anp.linalg.eig(x)).__name__ == "EigResult" and anp.linalg.eigh(h)._fields == jnp.linalg.eigh(h)._fields


def adjugate(a: np.ndarray) -> np.ndarray:
    n = len(a)
    minor = [[np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for i in range(n)] for j in range(n)]
    return np.array(minor) * (-1.0) ** np.add.outer(np.arange(n), np.arange(n))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_gradient_of_det_at_singular_matrices(n):
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, n)).astype(np.float32)
    cases = [
        x,
        x * (np.arange(n) != 0),
        x * (np.arange(n) != 0)[:, None],
        np.zeros_like(x),
        np.eye(n, dtype=np.float32),
    ]
    if n > 2:
        low = x.copy()
        low[0] = low[1] = low[2]
        repeated = x.copy()
        repeated[0] = repeated[1]
        cases += [low, repeated, np.diag(np.arange(n)).astype(np.float32), np.eye(n, k=1, dtype=np.float32)]
    batch = np.stack(cases).astype(np.float32)
    got = addax.vmap(addax.grad(anp.linalg.det))(anp.asarray(batch))
    want = np.stack([adjugate(a.astype(np.float64)).T for a in batch])
    np.testing.assert_allclose(np.asarray(got), want, atol=2e-5)


def test_cond_of_zero_matrices_is_infinite():
    """As in NumPy; JAX says nan."""
    assert anp.linalg.cond(anp.zeros((2, 2))).item() == np.inf


def test_rtol_of_matrix_rank_is_relative():
    """As in NumPy; JAX takes it for an absolute bound."""
    x = np.diag([10.0, 1.0, 0.1]).astype(np.float32)
    assert anp.linalg.matrix_rank(x, rtol=0.5).item() == np.linalg.matrix_rank(x, rtol=0.5) == 1
    assert anp.linalg.matrix_rank(x, tol=0.5).item() == np.linalg.matrix_rank(x, tol=0.5) == 2


@pytest.mark.parametrize("batch", [3, 100])
def test_permutations_of_pivots(batch):
    pivots = np.array([[0, 3, 3, 3], [2, 1, 3, 3], [3, 3, 3, 3]], np.int32)[np.arange(batch) % 3]
    want = jax.lax.linalg.lu_pivots_to_permutation(pivots, 5)
    np.testing.assert_array_equal(addax.lax.linalg.lu_pivots_to_permutation(pivots, 5), want)


def test_float64():
    with addax.enable_x64(True):
        a = matrices(3, 3, dtype="float64")
        np.testing.assert_allclose(np.asarray(anp.linalg.inv(a)), np.linalg.inv(a), rtol=1e-12)
        np.testing.assert_allclose(np.asarray(anp.linalg.pinv(a[:2])), np.linalg.pinv(a[:2]), rtol=1e-10, atol=1e-12)
        g = addax.grad(lambda x: anp.linalg.slogdet(x)[1])(anp.asarray(a))
        np.testing.assert_allclose(np.asarray(g), np.linalg.inv(a).T, rtol=1e-10)


def test_one_factorisation_serves_solution_and_gradient():
    text = str(addax.make_jaxpr(addax.grad(lambda a, b: anp.linalg.solve(a, b).sum(), (0, 1)))(anp.eye(3), anp.ones(3)))
    assert text.count("= lu ") == 1, text
