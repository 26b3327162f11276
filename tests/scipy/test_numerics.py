"""addax.scipy.{optimize, sparse.linalg, fft, ndimage, integrate, interpolate, cluster.vq} and stats.gaussian_kde."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.stats

import addax
import addax.numpy as anp
import addax.scipy as asp

RNG = np.random.default_rng(0)


def close(got, want, tol=2e-5, case=""):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (case, got.shape, want.shape)
    np.testing.assert_allclose(got, want, rtol=tol, atol=tol, err_msg=str(case))


PROBLEMS = {
    "rosenbrock": (
        lambda m: lambda x: m.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        [-1.2, 1.0],
        [1, 1],
    ),
    "himmelblau": (lambda m: lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2, [0.5, 1.0], [3, 2]),
    "cosh": (lambda m: lambda x: m.sum(m.cosh(x - 1)), [5.0, -20.0, 2.0], [1, 1, 1]),
    "scaled": (lambda m: lambda x: m.sum(m.array([1.0, 1e4]) * x**2), [3.0, -2.0], [0, 0]),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_minimize(name):
    f, start, minimum = PROBLEMS[name]
    result = addax.jit(lambda x: asp.optimize.minimize(f(anp), x, method="BFGS"))(np.array(start, np.float32))
    close(result.x, np.array(minimum), 2e-3)
    assert result.success.item() and result.status.item() == 0 and 0 < result.nit.item() <= result.nfev.item()
    assert result.hess_inv.shape == (len(start),) * 2


def test_the_inverse_hessian_maps_the_last_change_of_the_gradient_to_the_step():
    f, start, _ = PROBLEMS["rosenbrock"]
    x = [np.array(start, np.float32)]
    for steps in (1, 2, 3):
        result = asp.optimize.minimize(f(anp), x[0], method="BFGS", options={"maxiter": steps})
        x.append(np.asarray(result.x))
        slopes = [np.asarray(addax.grad(f(anp))(v)) for v in x[-2:]]
        close(result.hess_inv @ (slopes[1] - slopes[0]), x[-1] - x[-2], 1e-3)


def test_minimize_options_and_errors():
    f = PROBLEMS["rosenbrock"][0](anp)
    result = asp.optimize.minimize(lambda x, a: f(x) + a, anp.zeros(2), (1.0,), method="bfgs", options={"maxiter": 2})
    assert result.nit.item() == 2 and not result.success.item() and result.status.item() == 1
    with pytest.raises(ValueError, match="Method Newton not recognized"):
        asp.optimize.minimize(f, anp.zeros(2), method="Newton")
    with pytest.raises(TypeError, match="must be a tuple"):
        asp.optimize.minimize(f, anp.zeros(2), 1.0, method="BFGS")
    with pytest.raises(TypeError, match="unknown options"):
        asp.optimize.minimize(f, anp.zeros(2), method="BFGS", options={"steps": 2})


# --- sparse.linalg ---


@pytest.mark.parametrize("name", ["cg", "bicgstab", "gmres"])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_iterative_solvers(name, dtype):
    solver = getattr(asp.sparse.linalg, name)
    a = RNG.normal(size=(6, 6)).astype(dtype)
    if dtype == "complex64":
        a = a + 1j * RNG.normal(size=(6, 6)).astype(np.float32)
    a = (a @ a.conj().T / 4 + np.eye(6) if name == "cg" else a + 6 * np.eye(6)).astype(dtype)
    b = RNG.normal(size=6).astype(dtype)
    want = np.linalg.solve(a, b)
    x, info = addax.jit(lambda a, b: solver(a, b, tol=1e-6))(a, b)
    assert info is None and x.dtype == b.dtype
    close(x, want, 2e-4)
    close(solver(lambda x: a @ x, b, x0=want, M=np.linalg.inv(a), atol=1e-4)[0], want, 2e-4)
    if dtype == "float32":
        tree, _ = solver(lambda x: {"u": 2 * x["u"], "v": 3 * x["v"]}, {"u": anp.ones(2), "v": anp.ones((2, 2))})
        close(tree["v"], np.full((2, 2), 1 / 3))
        weights = np.arange(6, dtype=np.float32)
        got = addax.grad(lambda a, b: (solver(a, b, tol=1e-7)[0] * weights).sum(), (0, 1))(a, b)
        want_grads = jax.grad(lambda a, b: (jnp.linalg.solve(a, b) * weights).sum(), (0, 1))(a, b)
        for g, w in zip(got, want_grads, strict=True):
            close(g, w, 2e-3, name)
        batch = addax.vmap(lambda b: solver(a, b, tol=1e-6)[0])(anp.stack([b, 2 * b]))
        close(batch[1], 2 * want, 5e-4)


def test_solver_errors():
    with pytest.raises(ValueError, match="A must be a square matrix"):
        asp.sparse.linalg.cg(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ValueError, match="matching tree structure"):
        asp.sparse.linalg.cg(np.eye(2), np.ones(2), x0=(np.ones(2),))
    with pytest.raises(ValueError, match="matching shapes"):
        asp.sparse.linalg.gmres(np.eye(2), np.ones(2), x0=np.ones(3))
    with pytest.raises(TypeError, match="must be either a function or an array"):
        asp.sparse.linalg.bicgstab("A", np.ones(2))
    with pytest.raises(ValueError, match="solve_method"):
        asp.sparse.linalg.gmres(np.eye(2), np.ones(2), solve_method="bad")


# --- fft ---


def test_cosine_transforms():
    for shape in ((8,), (3, 5), (2, 3, 4)):
        x = RNG.normal(size=shape).astype(np.float32)
        for norm in (None, "ortho"):
            for name in ("dct", "idct"):
                close(getattr(asp.fft, name)(x, norm=norm), getattr(scipy.fft, name)(x, norm=norm), case=(name, shape))
                close(
                    getattr(asp.fft, name)(x, n=3, axis=0, norm=norm),
                    getattr(scipy.fft, name)(x, n=3, axis=0, norm=norm),
                )
                close(getattr(asp.fft, name)(x, n=9, norm=norm), getattr(scipy.fft, name)(x, n=9, norm=norm))
                close(getattr(asp.fft, name + "n")(x, norm=norm), getattr(scipy.fft, name + "n")(x, norm=norm))
            close(asp.fft.idctn(asp.fft.dctn(x, norm=norm), norm=norm), x)
    assert asp.fft.dct(np.arange(4)).dtype == np.float32
    with pytest.raises(NotImplementedError, match="only type 2"):
        asp.fft.dct(x, type=3)
    with pytest.raises(ValueError, match="norm"):
        asp.fft.idct(x, norm="bad")


# --- ndimage ---


def test_map_coordinates():
    x = RNG.normal(size=(4, 5)).astype(np.float32)
    at = RNG.uniform(-6, 10, size=(2, 3, 7)).astype(np.float32)
    for order in (0, 1):
        for mode in ("constant", "nearest", "wrap", "mirror", "reflect"):
            got = asp.ndimage.map_coordinates(x, at, order, mode, 1.5)
            want = jax.scipy.ndimage.map_coordinates(x, list(at), order, mode, 1.5)
            close(got, want, case=(order, mode))
    close(
        asp.ndimage.map_coordinates(np.arange(9), [at[0]], 1, "nearest"),
        jax.scipy.ndimage.map_coordinates(np.arange(9), [at[0]], 1, "nearest"),
    )
    got = addax.grad(lambda c: asp.ndimage.map_coordinates(x, c, 1).sum())(at)
    close(got, jax.grad(lambda c: jax.scipy.ndimage.map_coordinates(x, c, 1).sum())(at), 1e-4)
    with pytest.raises(ValueError, match=r"input\.ndim"):
        asp.ndimage.map_coordinates(x, [at[0]], 1)
    with pytest.raises(NotImplementedError, match="order<=1"):
        asp.ndimage.map_coordinates(x, at, 2)
    with pytest.raises(NotImplementedError, match="mode 'grid'"):
        asp.ndimage.map_coordinates(x, at, 1, "grid")


# --- integrate, interpolate, vq ---


def test_trapezoid():
    y, x = RNG.normal(size=(3, 4)).astype(np.float32), np.sort(RNG.normal(size=(3, 4)).astype(np.float32))
    for kwargs in ({}, {"dx": 0.5}, {"x": x}, {"x": x[0]}, {"axis": 0}, {"x": x[:, 0], "axis": 0}):
        close(asp.integrate.trapezoid(y, **kwargs), jax.scipy.integrate.trapezoid(y, **kwargs))
    assert asp.integrate.trapezoid(np.arange(3)).item() == 2.0


def test_regular_grid_interpolator():
    grid = (np.array([0.0, 1.0, 2.5]), np.array([-1.0, 0.0, 1.0, 4.0]))
    values = RNG.normal(size=(3, 4, 2)).astype(np.float32)
    at = RNG.uniform(-2, 5, size=(6, 2)).astype(np.float32)
    for method in ("linear", "nearest"):
        for fill in (np.nan, 7.0, None):
            got = asp.interpolate.RegularGridInterpolator(grid, values, method, fill_value=fill)(at)
            want = scipy.interpolate.RegularGridInterpolator(grid, values, method, bounds_error=False, fill_value=fill)(
                at
            )
            close(got, want, 1e-4, (method, fill))
    f = asp.interpolate.RegularGridInterpolator(grid, values[..., 0])
    assert addax.jit(f)(np.array([0.5, 0.0], np.float32)[None]).shape == (1,)
    with pytest.raises(ValueError, match="strictly ascending"):
        asp.interpolate.RegularGridInterpolator((np.array([1.0, 0.0]),), np.ones(2))
    with pytest.raises(ValueError, match="sample points xi have dimension 3"):
        f(np.ones((2, 3)))
    with pytest.raises(ValueError, match="method 'bad' is not defined"):
        asp.interpolate.RegularGridInterpolator(grid, values, "bad")


def test_vq():
    obs, codes = RNG.normal(size=(10, 3)).astype(np.float32), RNG.normal(size=(4, 3)).astype(np.float32)
    for args in ((obs, codes), (obs[:, 0], codes[:, 0])):
        for g, w in zip(asp.cluster.vq.vq(*args), jax.scipy.cluster.vq.vq(*args), strict=True):
            assert g.dtype == w.dtype
            close(g, w)
    with pytest.raises(ValueError, match="same rank"):
        asp.cluster.vq.vq(obs, codes[0])


# --- gaussian_kde ---


@pytest.mark.parametrize("weighted", [False, True])
def test_gaussian_kde(weighted):
    data = RNG.normal(size=(2, 30)).astype(np.float32)
    w = RNG.uniform(size=30).astype(np.float32) if weighted else None
    for bw in (None, "silverman", 0.4):
        ours, theirs = asp.stats.gaussian_kde(data, bw, w), scipy.stats.gaussian_kde(data, bw, w)
        at = RNG.normal(size=(2, 5)).astype(np.float32)
        close(ours(at), theirs(at), 1e-4)
        close(ours.logpdf(at), theirs.logpdf(at), 1e-3)
        close(ours.integrate_gaussian(np.zeros(2), np.eye(2)), theirs.integrate_gaussian(np.zeros(2), np.eye(2)), 1e-4)
        close(ours.integrate_kde(ours), theirs.integrate_kde(theirs), 1e-4)
    one, one_exact = asp.stats.gaussian_kde(data[0]), scipy.stats.gaussian_kde(data[0])
    close(one.integrate_box_1d(-1.0, 0.5), one_exact.integrate_box_1d(-1.0, 0.5), 1e-4)
    samples = ours.resample(addax.random.key(0), (2000,))
    assert samples.shape == (2, 2000)
    close(samples.mean(1), np.average(data, axis=1, weights=w), 0.1)
    assert addax.jit(lambda k, x: k.pdf(x))(ours, at).shape == (5,)
    with pytest.raises(ValueError, match="points have dimension 3"):
        ours(np.ones((3, 2)))
