"""addax.scipy.special against jax.scipy.special, and against SciPy where JAX is inexact."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import jax.scipy.special as theirs
import numpy as np
import pytest
import scipy.special as exact

import addax
import addax.numpy as anp
import addax.scipy.special as ours

X = np.array([0.1, 0.4, 0.5, 0.9, 1.0, 1.7, 2.0, 3.5, 8.25, 20.0])
SIGNED = np.concatenate([-X[::-1], X])
UNIT = np.array([1e-30, 1e-9, 1e-3, 0.05, 0.074, 0.2, 0.5, 0.75, 0.93, 0.999])
Y = X[::-1].copy()

# name, arguments, the operands whose derivatives are compared with finite differences
CASES = [
    ("gammaln", (X,), (0,)), ("loggamma", (X,), (0,)), ("gamma", (X,), (0,)), ("digamma", (X,), (0,)),
    ("gammainc", (X, Y), (0, 1)), ("gammaincc", (X, Y), (1,)), ("betaln", (X, Y), (0, 1)), ("beta", (X, Y), (0, 1)),
    ("betainc", (X, Y, UNIT), (2,)), ("factorial", (X,), (0,)), ("poch", (X, Y), (0, 1)), ("erf", (SIGNED,), (0,)),
    ("erfc", (SIGNED,), (0,)), ("erfinv", (UNIT,), (0,)), ("erfcx", (X,), (0,)), ("dawsn", (SIGNED,), (0,)),
    ("ndtr", (SIGNED,), (0,)), ("ndtri", (UNIT,), (0,)), ("log_ndtr", (SIGNED * 2,), (0,)),
    ("owens_t", (SIGNED / 4, 1 + SIGNED / 40), (0, 1)), ("xlogy", (X, Y), (0, 1)), ("xlog1py", (X, Y), (0, 1)),
    ("entr", (X,), (0,)), ("rel_entr", (X, Y), (0, 1)), ("kl_div", (X, Y), (0, 1)), ("expit", (SIGNED,), (0,)),
    ("logit", (UNIT,), (0,)), ("boxcox", (X, SIGNED[5:15] / 8), (0, 1)), ("boxcox1p", (X, SIGNED[5:15] / 8), (0, 1)),
    ("expi", (SIGNED,), (0,)), ("exp1", (X,), (0,)), ("expn", (np.arange(10.0), X), (1,)), ("spence", (X,), (0,)), ("i0", (SIGNED,), (0,)),
    ("i0e", (SIGNED,), (0,)), ("i1", (SIGNED,), (0,)), ("i1e", (SIGNED,), (0,)), ("hyp1f1", (X, Y, X / 4), (2,)),
    ("hyp2f1", (X / 4, Y / 4, 1 + X, UNIT), (3,)), ("zeta", (1 + X, Y), (1,)),
]  # fmt: skip


def test_values_in_float32():
    """Against SciPy in float64, relative to the sensitivity to the inputs, in one program."""
    args = {name: [a.astype(np.float32) for a in xs] for name, xs, _ in CASES}
    got = addax.jit(lambda args: {name: getattr(ours, name)(*xs) for name, xs in args.items()})(args)
    for name, xs in args.items():
        assert got[name].dtype == np.float32
        want = getattr(exact, "psi" if name == "digamma" else name)(*(x.astype(np.float64) for x in xs))
        tol = 2e-4 if name in ("poch", "beta", "gamma", "factorial") else 5e-5
        np.testing.assert_allclose(np.asarray(got[name]), want, rtol=tol, atol=3e-6, err_msg=name)


def test_values_and_derivatives_in_float64():
    with addax.enable_x64(True):
        for name, xs, wrt in CASES:
            f = getattr(ours, name)
            want = getattr(exact, "psi" if name == "digamma" else name)(*xs)
            np.testing.assert_allclose(np.asarray(f(*xs)), want, rtol=1e-10, atol=1e-13, err_msg=name)
            for i in wrt:
                slope = addax.jvp(
                    lambda x, f=f, xs=xs, i=i: f(*xs[:i], x, *xs[i + 1 :]), (xs[i],), (np.ones_like(xs[i]),)
                )[1]
                h = 1e-5 * np.abs(xs[i])
                plus = getattr(exact, "psi" if name == "digamma" else name)(*xs[:i], xs[i] + h, *xs[i + 1 :])
                minus = getattr(exact, "psi" if name == "digamma" else name)(*xs[:i], xs[i] - h, *xs[i + 1 :])
                numeric = (plus - minus) / (2 * h)
                scale = np.maximum(np.abs(numeric), np.abs(want) / np.abs(xs[i]) * 1e-3)
                error = np.abs(np.asarray(slope) - numeric) / np.maximum(scale, 1e-8)
                assert error.max() < 2e-4, (name, i, error)


def test_series_over_their_domains():
    """In float64 to a few units in the last place (SciPy's own errors are up to 1e-13), in float32 likewise."""
    rng = np.random.default_rng(0)

    def between(low, high, n=500):
        return np.exp(rng.uniform(np.log(low), np.log(high), n))

    wide = np.concatenate([between(1e-7, 80), -between(1e-7, 80)])
    near_one = np.concatenate([between(1e-7, 1e7), rng.uniform(0, 3, 500)])
    cases = {
        "expi": (np.concatenate([wide, rng.uniform(0.37, 0.375, 100), [5.99, 6.01, 14.99, 15.01]]),),
        "exp1": (between(1e-7, 80),), "expn": (rng.integers(0, 40, 1000).astype(float), between(1e-6, 50, 1000)),
        "spence": (near_one,), "sici": (np.concatenate([wide, [3.99, 4.01, 1e5]]),), "dawsn": (wide * 5,),
        "fresnel": (np.concatenate([wide, [1.99, 2.01]]),), "erfcx": (np.concatenate([between(1e-7, 1e9), wide[500:][wide[500:] > -9]]),),
        "owens_t": (rng.uniform(-6, 6, 1000), between(1e-3, 1e3, 1000) * rng.choice([-1, 1], 1000)),
    }  # fmt: skip
    for dtype, rtol, atol in ((np.float64, 2e-13, 1e-14), (np.float32, 3e-6, 1e-6)):
        with addax.enable_x64(dtype == np.float64):
            args = {name: [x.astype(dtype) for x in xs] for name, xs in cases.items()}
            got = addax.jit(lambda args: {name: getattr(ours, name)(*xs) for name, xs in args.items()})(args)
            for name, xs in args.items():
                want = getattr(exact, name)(*(x.astype(np.float64) for x in xs))
                for g, w in zip(*((v if isinstance(v, tuple) else (v,)) for v in (got[name], want)), strict=True):
                    assert g.dtype == dtype
                    np.testing.assert_allclose(
                        np.asarray(g), w, rtol=rtol, atol=atol * np.minimum(1, abs(w)).max(), err_msg=name
                    )
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], np.float32)  # where JAX 0.10 has NaN for expi and dawsn
    for name in ("expi", "erfcx", "dawsn", "fresnel"):
        np.testing.assert_array_equal(getattr(ours, name)(ends), getattr(exact, name)(ends), err_msg=name)
    np.testing.assert_array_equal(ours.exp1(abs(ends)), exact.exp1(abs(ends)))
    ends = np.array([[0.0], [1.0], [np.inf]], np.float32)
    np.testing.assert_allclose(ours.expn(np.arange(4), ends), exact.expn(np.arange(4), ends), rtol=1e-6)
    assert ours.expi(anp.bfloat16(2.0)).dtype == anp.bfloat16
    assert ours.expi(anp.float16(2.0)).item() == np.float16(exact.expi(2.0))


EDGES = {
    "gammasgn": [0.0, -0.0, -1.0, -1.5, -2.5, 2, np.inf, -np.inf, np.nan],
    "gamma": [0.0, -0.0, -1.0, -1.5, np.inf, -np.inf, 200.0],
    "factorial": [0, 3, -1, 2.5], "entr": [-1.0, 0.0, 0.5, np.nan], "logit": [0.0, 1.0, 0.5, 2.0],
    "ndtri": [0.0, 1.0, 0.5, -1.0, 2.0, np.nan], "exp1": [0.0, 1.0, -1.0], "loggamma": [-1.5, 0.5],
    "sici": [0.0, 1.0, -1.0, np.inf], "fresnel": [0.0, 1.0, -1.0, np.inf], "spence": [0.0, 1.0, 2.0, -1.0],
    "log_ndtr": [-100.0, -10.0, 0.0, 5.0, np.inf, np.nan], "digamma": [0.0, -1.0, 2.0], "dawsn": [0.0, -2.0],
    "erfinv": [-1.0, 1.0, 2.0], "i1": [0.0, -1.0], "wofz": [1.0, 0.0, -2.0],
}  # fmt: skip
PAIRS = {
    "xlogy": ([0.0, 0.0, 1.0, 0.0], [0.0, np.nan, 0.0, np.inf]), "xlog1py": ([0.0, 1.0, 0.0], [-1.0, -1.0, np.nan]),
    "rel_entr": ([0.0, 0.0, 1.0, -1.0, 1.0], [0.0, 1.0, 0.0, 1.0, 2.0]),
    "kl_div": ([0.0, 0.0, 1.0, -1.0, 1.0], [0.0, 1.0, 0.0, 1.0, 2.0]),
    "poch": ([1.0, -2.5, 0.0, 3.0], [2.0, 2.0, 0.0, 0.0]), "comb": ([5, 5, 5, -1, 5], [7, -1, 0, 0, 2]),
    "zeta": ([1.0, 0.5, 2.0], [1.0, 1.0, 1.0]), "boxcox": ([0.0, 1.0, 2.0], [0.0, 0.0, 2.0]),
    "boxcox1p": ([0.0, 1.0, 2.0], [0.0, 0.0, 2.0]), "beta": ([2.0, 1.0], [-0.5, 3.0]),
    "expn": ([0, 1, 2, 3], [0.5, 0.1, 0.3, 2.0]), "betaln": ([-1.5, 100.0], [2.0, 1e-3]),
}  # fmt: skip


def test_edges_are_those_of_jax():
    args = {n: (np.asarray(x, np.float32),) for n, x in EDGES.items()}
    args |= {n: (np.asarray(x, np.float32), np.asarray(y, np.float32)) for n, (x, y) in PAIRS.items()}
    got = addax.jit(lambda args: {n: getattr(ours, n)(*x) for n, x in args.items()})(args)
    want = jax.jit(lambda args: {n: getattr(theirs, n)(*x) for n, x in args.items()})(args)
    for name in args:
        for g, w in zip(jax.tree.leaves([*got[name]] if isinstance(got[name], tuple) else [got[name]], is_leaf=lambda x: hasattr(x, "shape")),
                        jax.tree.leaves(want[name]), strict=True):  # fmt: skip
            assert g.dtype == w.dtype, name
            np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=3e-5, atol=1e-6, err_msg=name)


def test_second_derivatives_and_vmap_through_the_host():
    f = lambda x: ours.sici(x)[0] + ours.fresnel(x)[1] + ours.spence(x) + ours.expi(x) + ours.hyp1f1(0.5, 1.5, x)  # noqa: E731
    x = anp.array([0.5, 1.5])
    got = addax.jit(addax.vmap(addax.grad(addax.grad(f))))(x)
    h = np.float64(1e-4)
    g = lambda x: exact.sici(x)[0] + exact.fresnel(x)[1] + exact.spence(x) + exact.expi(x) + exact.hyp1f1(0.5, 1.5, x)  # noqa: E731
    x = np.array([0.5, 1.5])
    np.testing.assert_allclose(np.asarray(got), (g(x + h) + g(x - h) - 2 * g(x)) / h**2, rtol=1e-3)


def test_batches_of_operands_of_different_ranks_through_the_host():
    a, b, x = np.array([1.0, 2.0], "f4"), np.array([2.0, 3.0], "f4"), np.array([[0.1, 0.2], [0.3, 0.4]], "f4")
    got = addax.vmap(ours.hyp1f1)(a, b, x)
    np.testing.assert_allclose(got, exact.hyp1f1(a[:, None], b[:, None], x), rtol=1e-6)
    got = addax.vmap(ours.hyp2f1, (0, None, None, 1))(a, 1.5, 2.5, x)
    np.testing.assert_allclose(got, exact.hyp2f1(a[:, None], 1.5, 2.5, x.T), rtol=1e-6)


def test_derivatives_without_a_formula_are_refused():
    """They were 0."""
    assert addax.grad(ours.hyp1f1, 2)(1.3, 2.2, 0.7).item() == pytest.approx(0.988425)
    for fun, args, i in (
        (ours.hyp1f1, (1.3, 2.2, 0.7), 0),
        (ours.hyp2f1, (1.3, 2.2, 3.1, 0.4), 2),
        (ours.expn, (2.0, 1.0), 0),
    ):
        text = f"The derivative of {fun.__name__} with respect to argument {i} is not implemented: wrap"
        for gradient in (addax.grad(fun, i), addax.jit(addax.grad(fun, i))):
            with pytest.raises(NotImplementedError, match=text):
                gradient(*args)


def test_gradients_at_zero_weights():
    assert addax.grad(ours.xlogy, (0, 1))(0.0, 2.0) == (anp.log(2.0), 0.0)
    assert addax.grad(ours.entr)(0.5).item() == pytest.approx(-math.log(0.5) - 1)
    assert addax.grad(ours.boxcox, 1)(2.0, 0.0).item() == pytest.approx(math.log(2) ** 2 / 2)
    assert addax.grad(ours.log_ndtr)(-30.0).item() == pytest.approx(30.0332, rel=1e-4)


def test_multivariate_and_sequences():
    np.testing.assert_allclose(
        ours.multigammaln(anp.array([5.0, 3.0]), 3), exact.multigammaln([5.0, 3.0], 3), rtol=1e-5
    )
    np.testing.assert_allclose(ours.bernoulli(8), exact.bernoulli(8), rtol=1e-6)
    assert ours.bernoulli(0).tolist() == [1.0]
    z = np.array([0.0, 0.1, 1.0, 2.5, 10.0], np.float32)
    np.testing.assert_allclose(ours.bessel_jn(z, v=3), [exact.jv(k, z) for k in range(4)], atol=2e-6)
    slope = addax.vmap(addax.grad(lambda z: ours.bessel_jn(z, v=1)[0]))(z[1:])
    np.testing.assert_allclose(slope, -exact.j1(z[1:]), atol=1e-5)
    n, m = np.array([[n, m] for n in range(5) for m in range(-n, n + 1)]).T
    theta, phi = np.float32(0.7), np.float32(-1.3)
    got = ours.sph_harm_y(n, m, anp.full(len(n), theta), anp.full(len(n), phi))
    np.testing.assert_allclose(got, exact.sph_harm_y(n, m, theta, phi), atol=1e-6)
    np.testing.assert_allclose(ours.logsumexp(anp.array([1.0, 2.0])), exact.logsumexp([1.0, 2.0]), rtol=1e-6)
    np.testing.assert_allclose(ours.softmax(anp.eye(2)), theirs.softmax(jnp.eye(2)), rtol=1e-6)
    np.testing.assert_allclose(ours.log_softmax(anp.eye(2), axis=1), theirs.log_softmax(jnp.eye(2), axis=1), rtol=1e-6)
    np.testing.assert_allclose(ours.polygamma(anp.arange(3), 1.5), exact.polygamma([0, 1, 2], 1.5), rtol=1e-5)
    np.testing.assert_allclose(ours.wofz(anp.array([1 + 1j, -0.5j])), exact.wofz([1 + 1j, -0.5j]), rtol=1e-5)
    np.testing.assert_allclose(ours.zeta(3.0), exact.zeta(3.0), rtol=1e-6)


def test_dtypes_and_errors():
    assert ours.gammaln(anp.float16(2.5)).dtype == np.float16
    assert ours.gammaln(3).weak_type and ours.gammaln(3).dtype == np.float32
    assert ours.expit(np.arange(3)).dtype == np.float32
    assert ours.ndtri(anp.bfloat16(0.5)).dtype == anp.bfloat16
    assert ours.gammaln(x=2.5).shape == ()
    for name in ("gammaln", "expit", "ndtr", "xlogy", "softmax"):
        with pytest.raises(TypeError, match=f"{name} requires ndarray or scalar"):
            getattr(ours, name)([1.0], *([1.0] if name == "xlogy" else []))
    with pytest.raises(TypeError, match="ndtr does not accept dtype complex64"):
        ours.ndtr(1j)
    with pytest.raises(ValueError, match="bernoulli: n must be a non-negative"):
        ours.bernoulli(-1)
    with pytest.raises(NotImplementedError, match="exact=True"):
        ours.factorial(3, exact=True)
    with pytest.raises(ValueError, match="n_max must be given"):
        addax.jit(ours.sph_harm_y)(anp.array([1]), anp.array([0]), anp.array([0.1]), anp.array([0.1]))
    with pytest.raises(ValueError, match="series_order must be <= 30"):
        ours.log_ndtr(1.0, series_order=40)
