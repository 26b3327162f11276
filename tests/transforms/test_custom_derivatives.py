"""Rules that users write, and the linear maps that derivatives are: values, what rules see, and messages."""

import functools
import re

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.custom_derivatives import CustomVJPPrimal, SymbolicZero, custom_vjp_primal_tree_values, linear_call


def close(got, want):
    leaves, treedef = addax.tree.flatten(got)
    for x, y in zip(leaves, treedef.flatten_up_to(want), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-6)


@addax.custom_vjp
def wave(x, y):
    return jnp.sin(x) * y


wave.defvjp(
    lambda x, y: (wave(x, y), (jnp.cos(x), jnp.sin(x), y)),
    lambda r, g: (r[0] * g * r[2], r[1] * g),
)


def plain_wave(x, y):
    return jnp.sin(x) * y


class TestForwardModeOfCustomVjp:
    """The tangent is the transpose of the backward rule."""

    @pytest.mark.parametrize(
        "derivative",
        [
            lambda f, x, y: addax.jvp(f, (x, y), (y, x)),
            lambda f, x, y: addax.jacfwd(f, (0, 1))(x, y),
            lambda f, x, y: addax.hessian(lambda x, y: f(x, y).sum(), (0, 1))(x, y),
            lambda f, x, y: addax.jit(addax.jacfwd(addax.jacfwd(lambda x: f(x, y))))(x),
            lambda f, x, y: addax.vmap(lambda x, y: addax.jvp(f, (x, y), (y, x)))(x, y),
            lambda f, x, y: addax.grad(lambda x: addax.jvp(f, (x, y), (y, x))[1].sum())(x),
            lambda f, x, y: addax.linearize(f, x, y)[1](y, x),
            lambda f, x, y: addax.jacfwd(lambda x: lax.scan(lambda c, _: (f(c, y), c), x, None, length=3)[0])(x),
            lambda f, x, y: addax.jvp(addax.checkpoint(f), (x, y), (y, x)),
            lambda f, x, y: addax.vmap(addax.hessian(f))(x, y),
        ],
    )
    def test_equals_the_plain_function(self, derivative):
        x, y = jnp.arange(3.0), jnp.arange(1.0, 4.0)
        close(derivative(wave, x, y), derivative(plain_wave, x, y))

    def test_loops_in_the_rule(self):
        def grow(x):
            return lax.fori_loop(0, 3, lambda i, c: c * (i + 1.0), x)

        f = addax.custom_vjp(grow)
        f.defvjp(lambda x: (grow(x), None), lambda _, g: (grow(g),))
        close(addax.jvp(f, (2.0,), (1.0,)), (12.0, 6.0))

    def test_integer_arguments_and_results(self):
        @addax.custom_vjp
        def f(x, n):
            return x * n, n + 1

        f.defvjp(lambda x, n: (f(x, n), n), lambda n, g: (g[0] * n, None))
        close(addax.jacfwd(lambda x: f(x, 3)[0])(2.0), 3.0)
        close(addax.hessian(lambda x: f(x, 3)[0] ** 2)(2.0), 18.0)

    def test_a_rule_that_is_not_linear_is_refused_by_line(self):
        f = addax.custom_vjp(lambda x: x)
        f.defvjp(lambda x: (x, None), lambda _, g: (jnp.maximum(g, 1.0),))
        with pytest.raises(TypeError, match=r"not linear in the cotangent: `max` at .*test_custom_derivatives.py:\d+"):
            addax.jvp(f, (1.0,), (1.0,))
        close(addax.grad(f)(0.5), 1.0)


class TestCustomVjp:
    def test_symbolic_zeros(self):
        seen = []

        @addax.custom_vjp
        def f(x, y):
            return x * y, x + y

        def fwd(x, y):
            seen.append((x.perturbed, y.perturbed))
            assert type(x) is CustomVJPPrimal
            x, y = custom_vjp_primal_tree_values((x, y))
            return (x * y, x + y), (x, y)

        def bwd(r, g):
            seen.append(tuple(isinstance(c, SymbolicZero) for c in g))
            product, total = (0.0 if isinstance(c, SymbolicZero) else c for c in g)
            return product * r[1] + total, product * r[0] + total

        f.defvjp(fwd, bwd, symbolic_zeros=True)
        close(addax.grad(lambda x: f(x, 3.0)[0])(2.0), 3.0)
        close(addax.vmap(addax.grad(lambda x, y: f(x, y)[1], 1))(jnp.ones(2), jnp.ones(2)), np.ones(2))
        assert seen == [(True, False), (False, True), (False, True), (True, False)]

    def test_defaults_and_keywords_reach_the_rule_by_position(self):
        @addax.custom_vjp
        def f(x, y=2.0):
            return x * y

        f.defvjp(lambda x, y: (x * y, (x, y)), lambda r, g: (g * r[1] * 10, g * r[0]))
        close((addax.grad(lambda x: f(x))(3.0), addax.grad(lambda x: f(x, y=4.0))(3.0)), (20.0, 40.0))

    def test_fixed_arguments(self):
        @functools.partial(addax.custom_vjp, nondiff_argnums=(0,), nondiff_argnames=("n",))
        def f(g, x, n):
            return g(x) * n

        f.defvjp(lambda g, x, n: (g(x) * n, x), lambda g, n, x, ct: (ct * n * x,))
        close(addax.jit(addax.grad(lambda x: f(jnp.sin, x, n=3)))(2.0), 6.0)

    def test_rules_get_arrays(self):
        f = addax.custom_vjp(lambda x: x)
        f.defvjp(lambda x: (x.astype("float32"), x.shape), lambda shape, g: (g.reshape(shape).at[()].add(1.0),))
        close(addax.grad(f)(1.0), 2.0)

    @pytest.mark.parametrize(
        ("fwd", "bwd", "message"),
        [
            (lambda x: x, None, "must produce a pair"),
            (lambda x: ((x, x), None), None, "with the structure of the function's result"),
            (lambda x: (jnp.ones(3), None), None, "leaf 0 is float32[3] instead of float32[]"),
            (None, lambda r, g: (g, g), "one cotangent per differentiable argument (1)"),
            (None, lambda r, g: (jnp.ones(3),), "must be (), the shape of its argument"),
            (None, lambda r, g: (g * 1j,), "must be real"),
        ],
    )
    def test_mistakes(self, fwd, bwd, message):
        f = addax.custom_vjp(lambda x: x)
        f.defvjp(fwd or (lambda x: (x, None)), bwd or (lambda r, g: (g,)))
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            addax.grad(lambda x: f(x).sum())(1.0)


class TestCustomJvp:
    def test_defjvps(self):
        @addax.custom_jvp
        def f(x, y):
            return x * y

        f.defjvps(lambda t, out, x, y: 2.0 * t * y, None)
        close(addax.grad(f, (0, 1))(2.0, 3.0), (6.0, 0.0))
        close(addax.hessian(f, (0, 1))(2.0, 3.0), ((0.0, 2.0), (0.0, 0.0)))

    def test_symbolic_zeros(self):
        seen = []

        @addax.custom_jvp
        def f(x, y):
            return x * y

        @functools.partial(f.defjvp, symbolic_zeros=True)
        def rule(primals, tangents):
            seen.append([isinstance(t, SymbolicZero) for t in tangents])
            return f(*primals), tangents[0] * primals[1]

        close(addax.vmap(addax.grad(lambda x: f(x, 3.0)))(jnp.ones(2)), [3.0, 3.0])
        close(addax.grad(addax.jit(lambda x: f(x, 3.0)))(2.0), 3.0)
        assert seen and all(s == [False, True] for s in seen)

    def test_methods_and_fixed_arguments(self):
        class Scaled:
            def __init__(self, k):
                self.k = k

            @functools.partial(addax.custom_jvp, nondiff_argnums=(0,))
            def f(self, x):
                return x * self.k

            @f.defjvp
            def f_jvp(self, primals, tangents):
                return self.f(*primals), tangents[0] * self.k * 10

        close(addax.grad(Scaled(3.0).f)(2.0), 30.0)

    def test_the_rule_must_return_what_the_function_does(self):
        f = addax.custom_jvp(lambda x: x)
        f.defjvp(lambda p, t: (jnp.ones(3), jnp.ones(3)))
        with pytest.raises(TypeError, match=r"leaf 0 is float32\[3\] instead of float32\[\]"):
            addax.jvp(f, (1.0,), (1.0,))


def test_closure_convert_hoists_traced_values():
    def minimise(objective, x0):
        f, captured = addax.closure_convert(objective, x0)
        return _minimise(f, x0, *captured)

    @functools.partial(addax.custom_vjp, nondiff_argnums=(0,))
    def _minimise(f, x0, *captured):
        return f(x0, *captured)

    def bwd(f, r, g):
        x0, captured = r
        return (jnp.zeros_like(x0), *addax.vjp(lambda *c: f(x0, *c), *captured)[1](g))

    _minimise.defvjp(lambda f, x0, *c: (f(x0, *c), (x0, c)), bwd)
    close(addax.grad(lambda c: minimise(lambda x: jnp.sum((x - c) ** 2), jnp.ones(2)))(jnp.arange(2.0)), [-2.0, 0.0])
    f, captured = addax.closure_convert(lambda x: x * 2, 1.0)
    assert captured == []
    with pytest.raises(TypeError, match="same Pytree structure as the example arguments"):
        f((1.0, 2.0))


class TestLinearTranspose:
    def test_values(self):
        a = jnp.arange(6.0).reshape(2, 3)
        transposed = addax.linear_transpose(lambda x: a @ x, addax.ShapeDtypeStruct((3,), np.float32))
        close(transposed(jnp.ones(2)), ([3.0, 5.0, 7.0],))
        close(addax.vmap(transposed)(jnp.ones((2, 2))), (np.tile([3.0, 5.0, 7.0], (2, 1)),))
        both = addax.linear_transpose(lambda d: {"o": d["a"] * 2, "p": d["b"].sum()}, {"a": 1.0, "b": jnp.ones(2)})
        close(both({"o": 1.0, "p": 3.0}), ({"a": 2.0, "b": [3.0, 3.0]},))
        turning = addax.linear_transpose(lambda z: z * 1j, jnp.ones(1, "complex64"))
        close(turning(jnp.ones(1, "complex64")), ([1j],))
        close(addax.linear_transpose(lambda x: x * 2, 1)(3), (6,))
        running = addax.linear_transpose(lambda c: lax.scan(lambda s, x: (s + x, s * 2.0), 0.0, c)[1], jnp.ones(4))
        close(running(jnp.arange(4.0)), ([12.0, 10.0, 6.0, 0.0],))
        close(addax.jit(lambda a, c: addax.linear_transpose(lambda x: a * x, c)(c))(3.0, 2.0), (6.0,))
        # What a checkpoint computes again, behind its barrier, does not depend on the linear argument.
        again = addax.linear_transpose(addax.linearize(addax.checkpoint(lambda x: jnp.sin(jnp.sin(x))), 1.0)[1], 1.0)
        close(again(1.0), (np.cos(np.sin(1.0)) * np.cos(1.0),))

    @pytest.mark.parametrize(
        ("fun", "message"),
        [
            (jnp.sin, "`sin`"),
            (lambda x: x * x, "`mul` at .*multiplies two values that depend on it"),
            (lambda x: lax.cond(x > 0, lambda y: y, lambda y: 2 * y, x), "`gt` at .*is not linear"),
            (addax.jit(lambda x: addax.jit(jnp.exp)(x)), "`exp`"),
            (lambda x: lax.fori_loop(0, 3, lambda i, c: c * x, x), "`mul`"),
        ],
    )
    def test_what_is_not_linear_is_named(self, fun, message):
        with pytest.raises(NotImplementedError, match=message):
            addax.linear_transpose(fun, 1.0)

    def test_mistakes(self):
        with pytest.raises(TypeError, match=r"float or complex.*goes from \[float32\] to \[int32\]"):
            addax.linear_transpose(lambda x: x.astype(int), jnp.float32(1.0))
        transposed = addax.linear_transpose(lambda x: x * 2.0, jnp.ones(3))
        with pytest.raises(TypeError, match=r"leaf 0 is float32\[2\], expected float32\[3\]"):
            transposed(jnp.ones(2))
        with pytest.raises(TypeError, match="cotangent tree does not match"):
            transposed((jnp.ones(3),))


class TestLinearCall:
    @staticmethod
    def scaled(x, by):
        return linear_call(lambda r, x: x / r, lambda r, ct: 10 * ct / r, by, x)

    def test_the_transpose_is_the_one_given(self):
        x = jnp.arange(3.0)
        close(self.scaled(x, 2.0), x / 2)
        close(addax.jvp(lambda x: self.scaled(x, 2.0), (x,), (x,))[1], x / 2)
        close(addax.grad(lambda x: self.scaled(x, 2.0).sum())(x), np.full(3, 5.0))
        close(addax.jit(addax.vmap(addax.grad(self.scaled), (0, None)))(x, 2.0), np.full(3, 5.0))
        by = jnp.arange(1.0, 4.0)
        close(addax.grad(lambda x: addax.vmap(self.scaled)(x, by).sum())(x), 10 / by)
        once = addax.linear_transpose(lambda x: self.scaled(x, 2.0), 1.0)
        twice = addax.linear_transpose(lambda ct: once(ct)[0], 1.0)
        close((once(1.0), twice(1.0)), ((5.0,), (0.5,)))

    def test_mistakes(self):
        with pytest.raises(Exception, match="nothing of derivatives with respect to its residual arguments"):
            addax.grad(self.scaled, 1)(1.0, 2.0)
        with pytest.raises(TypeError, match="must return cotangents like the linear arguments"):
            addax.grad(lambda x: linear_call(lambda r, x: x, lambda r, ct: (ct, ct), (), x))(1.0)
        with pytest.raises(TypeError, match="pass it in residual_args"):
            addax.jit(lambda x, y: linear_call(lambda r, x: x * y, lambda r, ct: ct, (), x))(1.0, 2.0)


class TestLinearMapsAreTrees:
    def test_a_pullback_crosses_jit(self):
        forward = addax.jit(lambda p: addax.vjp(lambda p: jnp.sin(p["a"]) @ p["b"], p))
        p = {"a": jnp.ones((2, 3)), "b": jnp.arange(3.0)}
        _, pull = forward(p)
        apply = addax.jit(lambda f, ct: f(ct))
        want = addax.vjp(lambda p: jnp.sin(p["a"]) @ p["b"], p)[1](jnp.ones(2))
        close(apply(pull, jnp.ones(2)), want)
        close(addax.vmap(pull)(jnp.ones((4, 2)))[0]["b"], np.tile(want[0]["b"], (4, 1)))
        _, push = addax.jit(lambda x: addax.linearize(jnp.sin, x))(jnp.zeros(3))
        close(addax.tree.map(lambda r: 2 * r, push)(jnp.ones(3)), [2.0, 2.0, 2.0])

    def test_arguments_that_are_kept(self):
        _, pull = addax.vjp(lambda x, y: jnp.sin(x) * y, jnp.ones(3), jnp.arange(3.0))
        assert repr(pull.args_res[0]) == "NotNeeded()"
        close(pull.args_res[1], [0.0, 1.0, 2.0])
        pull.args_res[1] = jnp.zeros(3)
        close(pull(jnp.ones(3))[0], np.zeros(3))
        pull.args_res[1] = None
        with pytest.raises(ValueError, match="has lost residuals"):
            pull(jnp.ones(3))

    def test_halves(self):
        fwd, bwd = addax.fwd_and_bwd(lambda p, y: (p["a"] * y, y), argnums=0, has_aux=True)
        out, residuals, aux = fwd({"a": 2.0}, 3.0)
        close((out, aux, bwd(residuals, 1.0)), (6.0, 3.0, {"a": 3.0}))
        fwd, bwd = addax.fwd_and_bwd(lambda x, y: x * y, argnums=(0, 1), jitted=False)
        close(bwd(fwd(2.0, 5.0)[1], 1.0), (5.0, 2.0))


def test_auxiliary_data_are_values():
    def f(x):
        return x**3, {"twice": x * 2, "n": 3}

    assert not isinstance(addax.vjp(f, 2.0, has_aux=True)[2]["twice"], addax.core.trace.Tracer)
    close(addax.jvp(f, (2.0,), (1.0,), has_aux=True), (8.0, 12.0, {"twice": 4.0, "n": 3}))
    close(addax.linearize(f, 2.0, has_aux=True)[2], {"twice": 4.0, "n": 3})
    close(addax.grad(lambda x: addax.vjp(f, x, has_aux=True)[2]["twice"] * x)(2.0), 8.0)


def test_jacobians_of_integers_and_complex_numbers():
    for_x, for_n = addax.jacrev(lambda x, n: x * n, (0, 1), allow_int=True)(jnp.ones(2), jnp.arange(2))
    close(for_x, np.diag([0.0, 1.0]))
    assert (for_n.shape, for_n.dtype) == ((2, 2), np.int32) and not for_n.any()  # as in JAX
    z = 1.0 + 2.0j
    close(addax.hessian(lambda z: z**3, holomorphic=True)(z), 6 * z)
    for jacobian, f, message in (
        (addax.jacrev, lambda x: x.astype(int), "jacrev requires real-valued outputs.*int32"),
        (addax.jacrev, lambda x: x * 1j, "jacrev requires real-valued outputs.*complex64"),
        (functools.partial(addax.jacfwd, holomorphic=True), lambda x: jnp.abs(x * 1j), "outputs with complex dtype"),
    ):
        with pytest.raises(TypeError, match=message):
            jacobian(f)(jnp.ones(2, "complex64" if "outputs with" in message else "float32"))


def test_jacobians_of_nothing():
    """No results, or no numbers to differentiate."""
    x = np.ones(3, np.float32)
    assert addax.jacfwd(lambda x: ())(x) == () and addax.jacrev(lambda x: {})(x) == {}
    assert addax.jacfwd(lambda p: x)({}) == {} and addax.jacrev(lambda p: x)(()) == ()
    assert addax.jacrev(lambda x: x[:0])(x).shape == (0, 3) and addax.jacfwd(lambda x: x)(x[:0]).shape == (0, 0)
    assert addax.grad(lambda x: [x**2, {"n": x}], has_aux=True)(3.0)[0] == 6.0
    with pytest.raises(TypeError, match=r"pair \(value, auxiliary data\), got ~float32\[\]: return \(value, aux\)"):
        addax.grad(lambda x: x**2, has_aux=True)(3.0)
