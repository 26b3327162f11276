"""addax.scipy.stats against SciPy (values) and JAX (methods, edges)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.stats as theirs
import numpy as np
import pytest
import scipy.stats as exact

import addax
import addax.numpy as anp
import addax.scipy.stats as ours

X = np.array([-3.0, -1.2, -0.1, 0.0, 0.2, 0.5, 0.9, 1.0, 1.8, 2.5, 6.0], np.float32)
Q = np.array([0.0, 0.01, 0.3, 0.5, 0.77, 0.99, 1.0], np.float32)
SHAPES = {
    "beta": (1.5, 2.5), "cauchy": (), "chi2": (3.5,), "expon": (), "gamma": (2.5,), "gennorm": (1.7,), "gumbel_l": (),
    "gumbel_r": (), "laplace": (), "logistic": (), "norm": (), "pareto": (2.5,), "t": (4.5,), "truncnorm": (-1.0, 1.5),
    "uniform": (),
}  # fmt: skip
DISCRETE = {
    "bernoulli": (0.3,), "betabinom": (5, 1.5, 2.5), "binom": (5, 0.3), "geom": (0.3,), "nbinom": (3, 0.4), "poisson": (2.5,),
}  # fmt: skip
K = np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 6.0], np.float32)


def methods(module) -> list[str]:
    return [n for n in dir(module) if not n.startswith("_")]


def test_everything_that_jax_has():
    for name in dir(theirs):
        if not name.startswith("_") and name != "gaussian_kde":
            there = getattr(theirs, name)
            if not callable(there):
                assert [m for m in methods(there) if not hasattr(getattr(ours, name), m)] == [], name


def test_continuous_distributions():
    def values(stats):
        out = {}
        for name, shapes in SHAPES.items():
            for method in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf"):
                if hasattr(getattr(ours, name), method):
                    f = getattr(getattr(stats, name), method)
                    out[name, method] = f(Q if method in ("ppf", "isf") else X, *shapes, 0.3, 1.4)
        return out

    got = addax.jit(lambda: [*values(ours).values()])()
    with np.errstate(all="ignore"):
        want = values(exact)
    for (name, method), g in zip(want, got, strict=True):
        np.testing.assert_allclose(np.asarray(g), want[name, method], rtol=3e-5, atol=2e-6, err_msg=f"{name}.{method}")


def test_tails():
    x = np.array([-40.0, -12.0, 12.0, 40.0], np.float32)
    for name, method in (
        ("norm", "logcdf"),
        ("norm", "logsf"),
        ("logistic", "logsf"),
        ("cauchy", "sf"),
        ("gumbel_r", "logsf"),
    ):
        np.testing.assert_allclose(
            np.asarray(getattr(getattr(ours, name), method)(x)),
            getattr(getattr(exact, name), method)(x.astype(np.float64)), rtol=1e-4, atol=1e-30, err_msg=name,
        )  # fmt: skip
    z = np.array([8.1, 8.5, 9.9], np.float32)
    for method in ("logpdf", "logcdf", "logsf", "cdf"):
        np.testing.assert_allclose(
            np.asarray(getattr(ours.truncnorm, method)(z, 8.0, 10.0)),
            getattr(exact.truncnorm, method)(z.astype(np.float64), 8.0, 10.0), rtol=2e-3, atol=1e-4, err_msg=method,
        )  # fmt: skip


def test_discrete_distributions():
    for name, shapes in DISCRETE.items():
        for method in ("pmf", "logpmf"):
            got = getattr(getattr(ours, name), method)(K, *shapes)
            want = getattr(getattr(exact, name), method)(K, *shapes)
            np.testing.assert_allclose(np.asarray(got), want, rtol=3e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(
            getattr(ours, name).pmf(K + 2, *shapes, loc=2), getattr(ours, name).pmf(K, *shapes), rtol=1e-6
        )
    k = np.array([-1.0, 0.0, 1.5, 3.0, 7.0], np.float32)
    np.testing.assert_allclose(ours.poisson.cdf(k, 2.5), exact.poisson.cdf(k, 2.5), rtol=1e-5)
    mu = np.array([0.0, 0.3, 5.0, 50.0, 99.0, 101.0, 300.0], np.float32)
    np.testing.assert_allclose(ours.poisson.entropy(mu), exact.poisson.entropy(mu), rtol=1e-5)
    np.testing.assert_allclose(ours.bernoulli.cdf(K, 0.3), exact.bernoulli.cdf(K, 0.3), rtol=1e-6)
    np.testing.assert_allclose(ours.bernoulli.ppf(Q[1:], 0.3), theirs.bernoulli.ppf(Q[1:], 0.3))


def test_circular_and_multivariate():
    x = np.array([0.0, 0.5, 3.0, 6.0], np.float32)
    np.testing.assert_allclose(ours.vonmises.logpdf(x, 2.0), exact.vonmises.logpdf(x, 2.0), rtol=1e-5)
    np.testing.assert_allclose(ours.wrapcauchy.pdf(x, c=0.4), exact.wrapcauchy.pdf(x, 0.4), rtol=1e-5)
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 3)).astype(np.float32)
    cov, mean, x = a @ a.T + np.eye(3, dtype=np.float32), a[0], rng.normal(size=(5, 3)).astype(np.float32)
    normal = ours.multivariate_normal
    for args in ((x, mean, cov), (x, mean, 2.0), (x[0], mean, cov)):
        np.testing.assert_allclose(np.asarray(normal.logpdf(*args)), exact.multivariate_normal.logpdf(*args), rtol=1e-4)
    two = normal.logpdf(x[:2], mean, np.stack([cov, 2 * cov]))
    np.testing.assert_allclose(two[1], exact.multivariate_normal.logpdf(x[1], mean, 2 * cov), rtol=1e-4)
    np.testing.assert_allclose(normal.logpdf(x, 0.5, 2.0), exact.norm.logpdf(x, 0.5, 2.0**0.5), rtol=1e-5)
    slope = addax.grad(lambda m: normal.logpdf(x, m, cov).sum())(mean)
    np.testing.assert_allclose(slope, np.linalg.solve(cov, (x - mean).sum(0)), rtol=1e-3, atol=1e-4)
    counts, p = np.array([[1, 2, 0], [3, 0, 0], [1, 0, 0]]), np.array([0.2, 0.5, 0.3], np.float32)
    np.testing.assert_allclose(ours.multinomial.pmf(counts, 3, p), exact.multinomial.pmf(counts, 3, p), rtol=1e-5)
    alpha = np.array([1.5, 2.0, 0.7], np.float32)
    for x in (p, p[:2]):
        np.testing.assert_allclose(
            ours.dirichlet.logpdf(x, alpha), exact.dirichlet.logpdf(p / p.sum(), alpha), rtol=1e-5
        )
    both = ours.dirichlet.logpdf(np.stack([p, [0.5, 0.5, 0.5]], 1).astype(np.float32), alpha)
    assert both.shape == (2,) and both[1].item() == -np.inf


def test_gradients_are_finite_outside_the_support():
    for name, shapes in SHAPES.items():
        f = getattr(ours, name)
        slope = addax.grad(lambda x, f=f, shapes=shapes: anp.where(x < 0, 0.0, f.logpdf(x, *shapes)))(-20.0)
        assert slope.item() == 0, name
    got = addax.jit(addax.grad(lambda s: ours.gamma.logpdf(X[5:], 2.5, 0.0, s).sum()))(1.4)
    want = jax.grad(lambda s: theirs.gamma.logpdf(X[5:], 2.5, 0.0, s).sum())(1.4)
    np.testing.assert_allclose(float(got), float(want), rtol=1e-5)
    got = addax.grad(lambda a: ours.beta.logpdf(0.3, a, 2.0))(1.5)
    np.testing.assert_allclose(float(got), float(jax.grad(lambda a: theirs.beta.logpdf(0.3, a, 2.0))(1.5)), rtol=1e-5)


def test_summaries():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, (6, 5)).astype(np.float32)
    for axis in (0, 1, None):
        for keepdims in (False, True):
            for g, w in zip(ours.mode(a, axis, keepdims=keepdims), exact.mode(a, axis, keepdims=keepdims), strict=True):
                assert g.shape == np.shape(w)
                np.testing.assert_array_equal(np.asarray(g), w)
        np.testing.assert_allclose(ours.sem(a, axis), exact.sem(a, axis), rtol=1e-5)
        for method in ("average", "min", "max", "dense", "ordinal"):
            want = exact.rankdata(a, method, axis=axis)
            np.testing.assert_array_equal(np.asarray(ours.rankdata(a, method, axis=axis)), want)
    with_nan = np.array([1.0, np.nan], np.float32)
    np.testing.assert_array_equal(np.asarray(ours.rankdata(with_nan)), np.asarray(theirs.rankdata(with_nan)))


def test_ranks_and_counts_in_64_bits():
    with addax.enable_x64(True):
        assert ours.rankdata(np.array([1.0, 2.0, 1.0])).dtype == np.float64
        assert ours.mode(np.array([1.0, 2.0, 1.0])).count.dtype == np.int64


def test_errors():
    with pytest.raises(
        TypeError,
        match=r"beta\.pdf takes x, a, b, loc, scale; b missing|beta\.logpdf takes x, a, b, loc, scale; b missing",
    ):
        ours.beta.pdf(0.5, 1.0)
    with pytest.raises(TypeError, match="got 'sigma'"):
        ours.norm.logpdf(0.5, sigma=1.0)
    with pytest.raises(TypeError, match=r"norm\.cdf requires ndarray or scalar"):
        ours.norm.cdf([0.5])
    with pytest.raises(ValueError, match="covariance must have shape"):
        ours.multivariate_normal.logpdf(np.ones(3), np.ones(3), np.eye(2))
    with pytest.raises(ValueError, match="one entry fewer"):
        ours.dirichlet.logpdf(np.ones(3), np.ones(5))
    with pytest.raises(NotImplementedError, match="nan_policy"):
        ours.mode(np.ones(3), nan_policy="omit")
    assert jnp.isnan(ours.norm.ppf(2.0).item())


def test_distributions_import_like_the_modules_that_they_are_in_jax():
    import addax.scipy.stats.multinomial as multinomial
    from addax.scipy.stats.norm import logpdf

    assert multinomial is addax.scipy.stats.multinomial and logpdf == addax.scipy.stats.norm.logpdf


def test_weak_types():
    x = anp.arange(3)
    assert not any(d.logpdf(x, *args).weak_type for d, *args in ((ours.norm, 0.5, 2.0), (ours.vonmises, 2.0)))
    assert ours.norm.logpdf(1.5).weak_type and not ours.norm.logpdf(anp.float32(1.5)).weak_type
