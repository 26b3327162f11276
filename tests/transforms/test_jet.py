"""Taylor mode: against nested `jvp`, integrals of Cauchy's, and JAX's own `jet` where that has the rules."""

from __future__ import annotations

import functools
import math

import jax
import jax.experimental.jet
import jax.numpy
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.experimental.jet import jet

A = np.array([0.3, 0.6, 0.8])
B = np.array([-1.2, 0.4, 2.1])
M = np.array([[0.5, -0.2, 0.1], [0.3, 0.9, -0.4], [-0.1, 0.2, 0.7]])
S = M @ M.T + 3 * np.eye(3)


@pytest.fixture(autouse=True)
def _x64():
    with addax.enable_x64(True):
        yield


def terms_for(xs, order: int):
    draw = np.random.default_rng(0)
    return [[np.asarray(draw.standard_normal(np.shape(x))) for _ in range(order)] for x in xs]


def curve(x, terms, t):
    return x + sum(c * t**k / math.factorial(k) for k, c in enumerate(terms, 1))


def nested(f, xs, terms, order: int):
    """The definition: derivatives of ``f`` along the curve, one `jvp` in another."""
    g = lambda t: f(*[curve(x, c, t) for x, c in zip(xs, terms, strict=True)])  # noqa: E731
    out = []
    for _ in range(order):
        g = functools.partial(lambda g, t: addax.jvp(g, (t,), (1.0,))[1], g)
        out.append(g(0.0))
    return out


def agree(cases: dict, order: int):
    """All cases in one program per side."""
    given = {name: (f, xs, terms_for(xs, order)) for name, (f, *xs) in cases.items()}

    @addax.jit
    def both():
        ours = {name: jet(f, tuple(xs), terms)[1] for name, (f, xs, terms) in given.items()}
        return ours, {name: nested(f, xs, terms, order) for name, (f, xs, terms) in given.items()}

    ours, theirs = both()
    for name, (f, xs, _) in given.items():
        treedef = addax.tree.structure(addax.eval_shape(f, *xs))
        columns = treedef.flatten_up_to(ours[name])
        for k in range(order):
            for got, want in zip((c[k] for c in columns), addax.tree.leaves(theirs[name][k]), strict=True):
                assert (got.shape, got.dtype) == (want.shape, want.dtype), (name, k)
                scale = 1e-8 * (1 + np.abs(want).max(initial=0))
                np.testing.assert_allclose(got, want, rtol=1e-7, atol=scale, err_msg=f"{name}, order {k + 1}")


# ---------------------------------------------------------------------------------------------------------------------

ANALYTIC = {
    **{
        n: (n, A)
        for n in "sin cos tan sinh cosh tanh exp exp2 expm1 log log1p sqrt arcsin arctan arcsinh square".split()
    },
    "acosh": ("arccosh", A + 1),
    **{f"x^{n}": (lambda m, x, n=n: x**n, B) for n in (-3, -1, 0, 1, 2, 5)},
    **{f"x^{r}": (lambda m, x, r=r: m.power(x, r), A) for r in (0.5, -1.5, 3.0)},
    "2^x": (lambda m, x: 2.0**x, B),
    "logistic": (lambda m, x: 1 / (1 + m.exp(-x)), B),
    "quotient": (lambda m, x: m.sin(x) / (2 + m.cos(x)), B),
    "tower": (lambda m, x: m.power(2 + x, m.sin(x)), A),
    "product": (lambda m, x: m.exp(m.sin(x) * x) * m.log(3 + x), B),
}


def test_elementwise_rules_are_cauchys_integrals():
    """Coefficients to order 8 as means over a circle around 0 in the complex plane of the curve's parameter."""
    order, radius, n = 8, 0.4, 64
    circle = radius * np.exp(2j * np.pi * np.arange(n) / n)[:, None]
    functions = {k: (lambda m, x, f=f: getattr(m, f)(x)) if isinstance(f, str) else f for k, (f, _) in ANALYTIC.items()}
    points = {k: x for k, (_, x) in ANALYTIC.items()}
    terms = [0.2 * c for c in terms_for([A], order)[0]]
    got = addax.jit(
        lambda: {k: jet(lambda x, f=f: f(jnp, x), (points[k],), [terms])[1] for k, f in functions.items()}
    )()
    for name, f in functions.items():
        values = f(np, curve(points[name], terms, circle))
        for k in range(1, order + 1):
            want = math.factorial(k) * np.real((values / circle**k).mean(0))
            np.testing.assert_allclose(
                got[name][k - 1], want, rtol=1e-4, atol=1e-4 * (1 + np.abs(want).max()), err_msg=name
            )


PLAIN = {
    "pair": (lambda x, y: jnp.arctan2(x, y) * jnp.maximum(x, y) - jnp.logaddexp(x, y), A, B),
    "broadcast": (lambda x, y: x * y + x / y - y / x, np.float64(0.3), B),
    "select": (lambda x: jnp.where(x > 0, jnp.sin(x), jnp.clip(x, -0.5, 0.5) * x), B),
    "special": (lambda x: lax.erf(x) * lax.lgamma(x) + lax.rsqrt(x) * jnp.cbrt(x), A),
    "rounding": (lambda x: jnp.floor(x) * x + jnp.abs(x) * jnp.sign(x), B),
    "both powers": (lambda x, y: x**y, A, B),
    "matrices": (lambda a, b: jnp.einsum("ij,jk,ik->i", a, b, a) + jnp.convolve(a[0], b[0], "same"), M, S),
    "triangle": (lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True), S, M),
    "triangle, otherwise": (
        lambda a, b: lax.linalg.triangular_solve(a, b, lower=False, transpose_a=True, unit_diagonal=True), S, M,
    ),
    "layout": (lambda a: jnp.concatenate([jnp.cumsum(jnp.sin(a))[::-1], a[:2] * a[1:]]).reshape(5, 1).T, B),
    "reductions": (lambda a: jnp.prod(a) + jnp.max(a) * a.min() + jnp.var(a) + addax.nn.logsumexp(a), B),
    "indices": (lambda a: a[np.array([0, 2, 2])] * a.at[1].set(a[0] * 2).at[np.array([0, 0])].add(a[:2]), B),
    "fourier": (lambda a: jnp.abs(jnp.fft.fft(a)) ** 2, B),
    "complex": (lambda a: jnp.real(jnp.exp(lax.complex(a, a * a))), B),
    "pytree": (lambda a: {"a": a * a, "b": (jnp.sin(a), a)}, B),
    "activations": (lambda a: addax.nn.gelu(a) * addax.nn.relu(a) + addax.nn.softplus(a), B),
}  # fmt: skip


def turned(a):
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1]) * a), (0, a))[1]


@addax.custom_jvp
def doubled(x):
    """Its rule says twice what is true, so that one can see whether it is followed."""
    return jnp.sin(x)


doubled.defjvp(lambda p, t: (doubled(*p), 2 * jnp.cos(p[0]) * t[0]))


@addax.custom_vjp
def ruled(x):
    return jnp.tanh(x)


ruled.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, ct: (ct * (1 - y * y),))

CONTROL = {
    "jit": (lambda a: addax.jit(lambda a: jnp.sin(a) * a)(a * 2), B),
    "cond": (lambda a: lax.cond(a[0] > 0, jnp.sin, lambda a: a * a * a, a), B),
    "switch, batched": (addax.vmap(lambda i, x: lax.switch(i, [jnp.sin, jnp.cos, lambda x: x**3], x), (0, 0)), None, B),
    "scan": (lambda a: lax.scan(lambda c, x: (jnp.sin(c) * x, c * c), a[0], a), B),
    "scan, partly constant": (
        lambda a: lax.scan(lambda c, x: ((jnp.sin(c[0]) * x, c[1] + 1), c[1] * x), (1.0, 2.0), a, reverse=True), B,
    ),
    "fori": (lambda a: lax.fori_loop(0, 4, lambda i, c: jnp.sin(c) * a + i, a), B),
    "while": (turned, B),
    "grad of while": (addax.grad(lambda a: turned(a).sum()), B),
    "checkpoint": (addax.checkpoint(lambda a: jnp.sin(jnp.sin(a))), B),
    "vmap": (addax.vmap(lambda a: jnp.sin(a) * a), B),
    "associative_scan": (lambda a: lax.associative_scan(jnp.multiply, a), B),
    "custom_jvp": (doubled, B),
    "custom_vjp": (ruled, B),
    "solve": (jnp.linalg.solve, S, B),
    "conjugate gradients": (lambda a, b: addax.scipy.sparse.linalg.cg(lambda x: a @ a.T @ x, b, tol=1e-14)[0], S, B),
    "cholesky": (lambda a: jnp.linalg.cholesky(a + a.T), S),
}  # fmt: skip
CONTROL["switch, batched"] = ((lambda f: lambda x: f(np.array([0, 1, 2]), x))(CONTROL["switch, batched"][0]), B)


def test_primitives_agree_with_nested_jvp():
    agree(PLAIN, 3)


def test_programs_in_programs_agree_with_nested_jvp():
    agree(CONTROL, 3)


@pytest.mark.slow
def test_everything_agrees_with_nested_jvp_to_order_5():
    agree({k: v for k, v in {**PLAIN, **CONTROL}.items() if k not in ("grad of while", "cholesky")}, 5)


def test_as_in_jax():
    """The same numbers and structures, in both scalings."""

    def f(n):
        return lambda x, y: {"a": n.sin(x) * y, "b": [n.exp(x * y), x]}

    for scaled in (True, False):
        args = (0.3, 1.2), ([0.5, -1.0, 0.2], [1.0, 0.0, 0.4]), scaled
        ours = jet(f(jnp), *args)
        with jax.enable_x64(True):
            theirs = jax.experimental.jet.jet(f(jax.numpy), *args)
        assert str(addax.tree.structure(ours)) == str(jax.tree.structure(theirs))
        for a, b in zip(addax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_of_and_in_other_transformations():
    def f(x):
        return jnp.sin(x) * x

    third = lambda x: jet(f, (x,), ([1.0, 0.0, 0.0],))[1][2]  # noqa: E731
    want = addax.grad(addax.grad(addax.grad(f)))
    np.testing.assert_allclose(addax.jit(addax.vmap(third))(B), addax.vmap(want)(B), rtol=1e-10)
    np.testing.assert_allclose(addax.grad(third)(0.7), addax.grad(want)(0.7), rtol=1e-10)
    np.testing.assert_allclose(jet(third, (0.7,), ([1.0, 0.0],))[1][1], addax.grad(addax.grad(want))(0.7), rtol=1e-10)


def test_twentieth_derivative():
    """Nested jvp would need a program of a million multiplications."""
    _, terms = addax.jit(lambda x: jet(lambda x: jnp.exp(jnp.sin(x)) / jnp.sqrt(1 + x), (x,), ([1.0] + [0.0] * 19,)))(
        0.4
    )
    circle = 0.6 * np.exp(2j * np.pi * np.arange(256) / 256)
    x = 0.4 + circle
    values = np.exp(np.sin(x)) / np.sqrt(1 + x)
    for k in (5, 12, 20):
        np.testing.assert_allclose(terms[k - 1], math.factorial(k) * np.real((values / circle**k).mean()), rtol=1e-6)


def test_work_grows_with_a_power_of_the_order():
    """Of a primitive without a Taylor rule, whose derivative uses it again."""

    def size(order):
        program = addax.make_jaxpr(lambda x: jet(lax.erf_inv, (x,), ([1.0] * order,)))(0.3)
        return len(program.eqns)

    assert size(16) < 10 * size(8)


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match=r"jet terms have inconsistent lengths for different arguments: \[1, 2\]"):
        jet(jnp.multiply, (1.0, 2.0), ([1.0], [1.0, 2.0]))
    with pytest.raises(ValueError, match=r"there are 2 primals but 1 series"):
        jet(jnp.multiply, (1.0, 2.0), ([1.0],))
    with pytest.raises(ValueError, match=r"term of order 2 must have the shape \(3,\) of its primal .* got \(2,\)"):
        jet(jnp.sin, (B,), ([B, B[:2]],))
    with pytest.raises(ValueError, match=r"terms of order 1 must have the structure of the primals"):
        jet(lambda x: x["a"], ({"a": 1.0},), ([1.0],))
    with pytest.raises(TypeError, match=r"must be real or complex arrays, but leaf 0 of the primals is int64\[3\]"):
        jet(lambda x: x * 2.0, (np.arange(3),), ([np.ones(3)],))
    with pytest.raises(TypeError, match=r"primals must be a tuple or list with one entry per argument, got float"):
        jet(jnp.sin, 1.0, ([1.0],))
