"""What "Thinking in JAX" says in chapters 1-5, 7 and 8 beside its snippets, which test_snippets.py runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

import addax
import addax as jax
import addax.numpy as jnp
import addax.random as jr


class TestChapter1:
    def test_immutability(self):
        x = jnp.array([1, 2, 3])
        x.at[0].set(99)
        assert x.tolist() == [1, 2, 3]
        with pytest.raises(TypeError, match=r"immutable.*x\.at\[idx\]\.set"):
            x[0] = 99

    def test_out_of_bounds(self):
        assert int(jnp.array([1, 2, 3])[-10]) == 1

    def test_promotion(self):
        assert jnp.array([1.0, 2.0]).dtype == np.float32
        assert jnp.arange(3).dtype == np.int32
        with addax.enable_x64(True):
            assert jnp.array([1.0, 2.0]).dtype == np.float64

    def test_enable_x64_by_name(self):
        try:
            jax.config.update("jax_enable_x64", True)
            assert jnp.ones(2).dtype == np.float64
        finally:
            jax.config.update("jax_enable_x64", False)
        assert jnp.ones(2).dtype == np.float32

    def test_nan_is_silent(self):
        x = jnp.array([0.0, 1.0]) / jnp.array([0.0, 0.0])
        assert jnp.isnan(x).tolist() == [True, False]
        assert math.isinf(float(x[1]))
        assert math.isnan(float(jax.jit(lambda v: jnp.log(v))(-1.0)))


class TestChapter3:
    def test_when_does_retracing_happen(self):
        traces = []

        @jax.jit
        def f(x):
            traces.append(x.shape)
            return x * 2

        f(jnp.ones(3))
        f(jnp.ones(3))  # values: cache hit
        assert len(traces) == 1
        f(jnp.ones(5))  # shape
        assert len(traces) == 2
        f(jnp.ones(3, int))  # dtype
        assert len(traces) == 3
        f(1.0)
        f(2.0)  # a Python float is traced with a weak type, as in JAX: no retrace for another value
        assert len(traces) == 4

    def test_static_argnums(self):
        traces = []

        def power(x, n):
            traces.append(n)
            return x**n

        f = jax.jit(power, static_argnums=1)
        assert float(f(2.0, 3)) == 8.0
        assert float(f(3.0, 3)) == 27.0
        assert float(f(2.0, 4)) == 16.0
        assert traces == [3, 4]

    def test_bad_abs(self):
        @jax.jit
        def bad_abs(x):
            if x > 0:  # ConcretizationTypeError!
                return x
            return -x

        with pytest.raises(jax.errors.ConcretizationTypeError, match=r"traced.*bool\[\]"):
            bad_abs(1.0)

    def test_structured_control_flow(self):
        assert float(jax.lax.fori_loop(0, 10, lambda i, x: x + i, 0.0)) == 45.0
        assert int(jax.lax.while_loop(lambda x: x < 100, lambda x: x * 2, 1)) == 128
        carry, ys = jax.lax.scan(lambda c, x: (c + x, c), 0.0, jnp.arange(4.0))
        assert float(carry) == 6.0
        assert ys.tolist() == [0.0, 0.0, 1.0, 3.0]


class TestChapter4:
    def test_value_and_grad(self):
        value, slope = jax.value_and_grad(lambda x: jnp.sin(x) ** 2)(0.5)
        assert float(value) == pytest.approx(math.sin(0.5) ** 2, rel=1e-6)
        assert float(slope) == pytest.approx(math.sin(1.0), rel=1e-6)


class TestChapter5:
    @pytest.mark.parametrize(("in_axes", "expected"), [((None, 0), (4, 3)), ((0, 0), (4,)), ((0, None), (4, 4)),
                                                       ((None, 1), (3, 4))])  # fmt: skip
    def test_in_axes(self, in_axes, expected):
        a, b = jnp.arange(12.0).reshape(4, 3), jnp.arange(12.0).reshape(4, 3)
        if in_axes == (0, 0):
            out = jax.vmap(jnp.dot, in_axes=in_axes)(a, b)
        elif in_axes == (None, 0):
            out = jax.vmap(lambda u, v: u[0] * v, in_axes=in_axes)(a, b)
        elif in_axes == (0, None):
            out = jax.vmap(lambda u, v: v @ u, in_axes=in_axes)(a, b)
        else:
            out = jax.vmap(lambda u, v: v * u[:, 0], in_axes=in_axes)(a, b)
        assert out.shape == expected


class TestChapter7:
    def test_gradient_has_the_structure_of_the_argument(self):
        params = {
            "layer1": {"w": jnp.zeros((784, 256)), "b": jnp.zeros(256)},
            "layer2": {"w": jnp.zeros((256, 10)), "b": jnp.zeros(10)},
        }

        def loss(params, x):
            h = x @ params["layer1"]["w"] + params["layer1"]["b"]
            return jnp.sum(h @ params["layer2"]["w"] + params["layer2"]["b"])

        grads = jax.grad(loss)(params, jnp.ones(784))
        assert jax.tree.structure(grads) == jax.tree.structure(params)
        assert grads["layer1"]["w"].shape == (784, 256)

    def test_utilities(self):
        tree = {"a": 1, "b": (2, [3, None])}
        assert jax.tree.leaves(tree) == [1, 2, 3]
        treedef = jax.tree.structure(tree)
        assert str(treedef) == "PyTreeDef({'a': *, 'b': (*, [*, None])})"
        assert jax.tree.unflatten(treedef, [4, 5, 6]) == {"a": 4, "b": (5, [6, None])}


class TestChapter8:
    def test_bits_are_the_fields(self):
        data = jr.key_data(jr.split(jr.key(0)))
        assert data.tolist() == [[1797259609, 2579123966], [928981903, 3453687069]]
        np.testing.assert_allclose(jr.normal(jr.key(0), (3,)), [1.6226422, 2.0252647, -0.43359444], rtol=1e-6)

    def test_same_key_same_numbers(self):
        key = jr.key(7)
        assert jr.uniform(key, (4,)).tolist() == jr.uniform(key, (4,)).tolist()
        a, b = jr.split(key)
        assert jr.uniform(a, (4,)).tolist() != jr.uniform(b, (4,)).tolist()
