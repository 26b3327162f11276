"""What holds for every sampler: eager = jit = vmap over keys; distributions; derivatives of samples."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats

import addax
import addax.numpy as jnp
import addax.random as jr

CALLS = {
    "ball": lambda k: jr.ball(k, 3),
    "bernoulli": lambda k: jr.bernoulli(k, 0.3, (4,)),
    "binomial": lambda k: jr.binomial(k, jnp.array([10.0, 1000.0]), 0.3),
    "categorical": lambda k: jr.categorical(k, jnp.arange(5.0)),
    "choice": lambda k: jr.choice(k, 5, (3,), False, jnp.arange(5.0)),
    "complex_normal": lambda k: jr.normal(k, (2,), complex),
    "dirichlet": lambda k: jr.dirichlet(k, jnp.ones(3)),
    "gamma": lambda k: jr.gamma(k, jnp.array([0.1, 1.0, 7.0])),
    "loggamma": lambda k: jr.loggamma(k, jnp.array([0.1, 1.0, 7.0])),
    "multinomial": lambda k: jr.multinomial(k, 10, jnp.array([0.2, 0.3, 0.5])),
    "multivariate_normal": lambda k: jr.multivariate_normal(k, jnp.zeros(2), jnp.eye(2)),
    "orthogonal": lambda k: jr.orthogonal(k, 3),
    "permutation": lambda k: jr.permutation(k, 6),
    "poisson": lambda k: jr.poisson(k, jnp.array([0.5, 20.0])),
    "randint": lambda k: jr.randint(k, (3,), 0, 9),
    "t": lambda k: jr.t(k, 3.0),
    "uniform": lambda k: jr.uniform(k, (2,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_eager_jit_and_vmap_give_the_same_bits(name):
    f = CALLS[name]
    keys = jr.split(jr.key(3), 4)
    eager = np.stack([np.asarray(f(k)) for k in keys])
    jitted = addax.jit(f)
    np.testing.assert_array_equal(np.stack([np.asarray(jitted(k)) for k in keys]), eager)
    batched = np.asarray(addax.vmap(f)(keys))
    if name == "multivariate_normal":  # a batched product sums in another order
        np.testing.assert_allclose(batched, eager, rtol=1e-6)
    else:
        np.testing.assert_array_equal(batched, eager)


N = 20_000
CONTINUOUS = {
    "beta": (lambda k: jr.beta(k, 0.7, 2.0, (N,)), scipy.stats.beta(0.7, 2.0)),
    "cauchy": (lambda k: jr.cauchy(k, (N,)), scipy.stats.cauchy()),
    "chisquare": (lambda k: jr.chisquare(k, 3.0, (N,)), scipy.stats.chi2(3)),
    "double_sided_maxwell": (lambda k: abs(jr.double_sided_maxwell(k, 0.0, 2.0, (N,))), scipy.stats.maxwell(0, 2)),
    "exponential": (lambda k: jr.exponential(k, (N,)), scipy.stats.expon()),
    "f": (lambda k: jr.f(k, 4.0, 7.0, (N,)), scipy.stats.f(4, 7)),
    "gamma": (lambda k: jr.gamma(k, 2.5, (N,)), scipy.stats.gamma(2.5)),
    "small gamma": (lambda k: jr.gamma(k, 0.2, (N,)), scipy.stats.gamma(0.2)),
    "loggamma": (lambda k: jr.loggamma(k, 0.5, (N,)), scipy.stats.loggamma(0.5)),
    "generalized_normal": (lambda k: jr.generalized_normal(k, 1.5, (N,)), scipy.stats.gennorm(1.5)),
    "gumbel": (lambda k: jr.gumbel(k, (N,)), scipy.stats.gumbel_r()),
    "gumbel high": (lambda k: jr.gumbel(k, (N,), mode="high"), scipy.stats.gumbel_r()),
    "laplace": (lambda k: jr.laplace(k, (N,)), scipy.stats.laplace()),
    "logistic": (lambda k: jr.logistic(k, (N,)), scipy.stats.logistic()),
    "lognormal": (lambda k: jr.lognormal(k, 0.7, (N,)), scipy.stats.lognorm(0.7)),
    "maxwell": (lambda k: jr.maxwell(k, (N,)), scipy.stats.maxwell()),
    "normal": (lambda k: jr.normal(k, (N,)), scipy.stats.norm()),
    "pareto": (lambda k: jr.pareto(k, 1.5, (N,)), scipy.stats.pareto(1.5)),
    "rayleigh": (lambda k: jr.rayleigh(k, 2.0, (N,)), scipy.stats.rayleigh(0, 2)),
    "t": (lambda k: jr.t(k, 3.0, (N,)), scipy.stats.t(3)),
    "triangular": (lambda k: jr.triangular(k, 1.0, 2.0, 5.0, (N,)), scipy.stats.triang(0.25, 1, 4)),
    "truncated_normal": (lambda k: jr.truncated_normal(k, -1.0, 2.0, (N,)), scipy.stats.truncnorm(-1, 2)),
    "uniform": (lambda k: jr.uniform(k, (N,), minval=-1.0, maxval=3.0), scipy.stats.uniform(-1, 4)),
    "wald": (lambda k: jr.wald(k, 1.0, (N,)), scipy.stats.invgauss(1)),
    "weibull_min": (lambda k: jr.weibull_min(k, 2.0, 0.7, (N,)), scipy.stats.weibull_min(0.7, 0, 2)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distributions(name):
    sample, law = CONTINUOUS[name]
    x = np.asarray(addax.jit(sample)(jr.key(11)), np.float64)
    assert scipy.stats.kstest(x, law.cdf).pvalue > 0.01


DISCRETE = {
    "geometric": (lambda k: jr.geometric(k, 0.3, (N,)), scipy.stats.geom(0.3)),
    "small poisson": (lambda k: jr.poisson(k, 3.0, (N,)), scipy.stats.poisson(3)),
    "poisson": (lambda k: jr.poisson(k, 25.0, (N,)), scipy.stats.poisson(25)),
    "large poisson": (lambda k: jr.poisson(k, 1e6, (N,)), scipy.stats.poisson(1e6)),
    "small binomial": (lambda k: jr.binomial(k, 20, 0.3, (N,)), scipy.stats.binom(20, 0.3)),
    "binomial": (lambda k: jr.binomial(k, 100, 0.7, (N,)), scipy.stats.binom(100, 0.7)),
    "large binomial": (lambda k: jr.binomial(k, 10**7, 0.5, (N,)), scipy.stats.binom(10**7, 0.5)),
    "multinomial": (
        lambda k: jr.multinomial(k, 30, jnp.array([0.2, 0.5, 0.3]), shape=(N, 3))[:, 1], scipy.stats.binom(30, 0.5)
    ),
    "randint": (lambda k: jr.randint(k, (N,), -3, 10), scipy.stats.randint(-3, 10)),
    "rademacher": (lambda k: (jr.rademacher(k, (N,)) + 1) // 2, scipy.stats.bernoulli(0.5)),
    "bernoulli": (lambda k: jr.bernoulli(k, 0.2, (N,)), scipy.stats.bernoulli(0.2)),
    "categorical": (lambda k: jr.categorical(k, jnp.log(jnp.array([0.8, 0.2])), shape=(N,)),
                    scipy.stats.bernoulli(0.2)),
}  # fmt: skip


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name):
    """Spread over the step of its distribution function, each number becomes uniform."""
    sample, law = DISCRETE[name]
    x = np.asarray(addax.jit(sample)(jr.key(12)), np.float64)
    u = law.cdf(x) - np.random.default_rng(0).random(N) * law.pmf(x)
    assert scipy.stats.kstest(u, "uniform").pvalue > 0.01


def test_vectors():
    cov = np.array([[2.0, 0.5], [0.5, 1.0]])
    for method in ("cholesky", "eigh", "svd"):
        x = np.asarray(jr.multivariate_normal(jr.key(0), jnp.array([1.0, -2]), jnp.asarray(cov), (N,), method=method))
        np.testing.assert_allclose(x.mean(0), [1, -2], atol=0.05)
        np.testing.assert_allclose(np.cov(x.T), cov, atol=0.08)
    x = np.asarray(jr.dirichlet(jr.key(0), jnp.array([1.0, 2.0, 5.0]), (N,)))
    np.testing.assert_allclose(x.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(x.mean(0), [1 / 8, 2 / 8, 5 / 8], atol=0.01)
    x = np.asarray(jr.ball(jr.key(0), 3, 1.0, (N,)))  # |x|_1^3 is uniform in the ball of the 1-norm
    assert scipy.stats.kstest(np.abs(x).sum(-1).astype(float) ** 3, "uniform").pvalue > 0.01
    q = np.asarray(jr.orthogonal(jr.key(0), 4, (5,), complex))
    np.testing.assert_allclose(q @ q.conj().swapaxes(-1, -2), np.broadcast_to(np.eye(4), (5, 4, 4)), atol=1e-5)


SHAPES = np.array([0.05, 0.3, 0.9, 1.0, 1.5, 7.0, 200.0], np.float32)


def _implicit(a, x):
    """dx/da at a fixed probability, by differences in float64."""
    p, h = scipy.special.gammainc(a, x), 1e-5 * a
    return (scipy.special.gammaincinv(a + h, p) - scipy.special.gammaincinv(a - h, p)) / (2 * h)


def test_derivatives_of_gamma_samples():
    a, k = jnp.asarray(SHAPES), jr.key(5)
    x, dx = addax.jvp(lambda a: jr.gamma(k, a), (a,), (jnp.ones_like(a),))
    want = _implicit(SHAPES.astype(np.float64), np.asarray(x, np.float64))
    np.testing.assert_allclose(np.asarray(dx), want, rtol=2e-3)
    np.testing.assert_allclose(np.asarray(addax.grad(lambda a: jr.gamma(k, a).sum())(a)), np.asarray(dx), rtol=1e-6)
    s, ds = addax.jvp(lambda a: jr.loggamma(k, a), (a,), (jnp.ones_like(a),))
    np.testing.assert_allclose(np.asarray(ds * jnp.exp(s))[1:], want[1:], rtol=2e-3)
    batched = addax.vmap(addax.grad(lambda a, k: jr.gamma(k, a)))(a, jr.split(k, len(SHAPES)))
    assert np.isfinite(np.asarray(batched)).all()


def test_derivatives_of_logarithms_of_tiny_samples():
    """log x is (log u + log gamma(a + 1)) / a for tiny x, also where x itself underflows."""
    a = 1e-3
    s, ds = addax.jvp(lambda a: jr.loggamma(jr.key(1), a), (a,), (1.0,))
    assert float(s) < -100
    assert float(ds) == pytest.approx((scipy.special.digamma(a + 1) - float(s)) / a, rel=1e-4)


SMOOTH = {
    "beta": lambda k, a: jr.beta(k, a, 2 * a),
    "pareto": jr.pareto,
    "wald": jr.wald,
    "rayleigh": jr.rayleigh,
    "lognormal": jr.lognormal,
    "weibull_min": lambda k, a: jr.weibull_min(k, a, a, (4,)),
    "triangular": lambda k, a: jr.triangular(k, 0.0, a, 300.0, (4,)),
    "truncated_normal": lambda k, a: jr.truncated_normal(k, a, 2 * a + 1, (4,)),
    "uniform": lambda k, a: jr.uniform(k, (4,), minval=a, maxval=a * a + 2),
    "generalized_normal": lambda k, a: jr.generalized_normal(k, a, (4,)),
    "t": jr.t,
    "f": lambda k, a: jr.f(k, a, a + 1),
}


@pytest.mark.parametrize("name", [n for n in SMOOTH if n not in ("beta", "generalized_normal", "t", "f")])
def test_derivatives_with_respect_to_parameters(name):
    with addax.enable_x64(True):

        def f(a):
            return SMOOTH[name](jr.key(2), a).sum()

        h = 1e-6
        want = (f(1.3 + h) - f(1.3 - h)) / (2 * h)
        np.testing.assert_allclose(float(addax.grad(f)(1.3)), float(want), rtol=1e-5)


@pytest.mark.parametrize("name", ["beta", "generalized_normal", "t", "f"])
def test_derivatives_through_gamma_are_those_of_means(name):
    """Implicit derivatives of single samples are not differences of the sampler, which rejects."""
    with addax.enable_x64(True):
        means = {"beta": 0.0, "generalized_normal": 0.0, "t": 0.0, "f": -2 / (1.3 + 4 - 1) ** 2}
        shift = 4.0 if name == "f" else 0.0

        def f(k, a):
            return SMOOTH[name](k, a + shift)

        g = addax.vmap(addax.grad(f if name != "generalized_normal" else lambda k, a: f(k, a)[0], 1), (0, None))
        got = np.asarray(g(jr.split(jr.key(0), 4000), 1.3))
        assert np.isfinite(got).all()
        assert abs(got.mean() - means[name]) < 5 * got.std() / 60
