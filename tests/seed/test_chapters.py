"""Each snippet of "Thinking in JAX", chapters 1-5, 7, 8 and 10, verbatim but for its imports."""

from __future__ import annotations

import math

import numpy as np
import pytest

import addax
import addax as jax
import addax.numpy as jnp


class TestChapter1:
    def test_immutability(self):
        x = jnp.array([1, 2, 3])
        y = x.at[0].set(99)  # returns NEW array [99, 2, 3]
        assert y.tolist() == [99, 2, 3]
        assert x.tolist() == [1, 2, 3]
        with pytest.raises(TypeError, match=r"immutable.*x\.at\[idx\]\.set"):
            x[0] = 99

    def test_out_of_bounds(self):
        assert int(jnp.array([1, 2, 3])[10]) == 3  # returns 3 (clipped to index 2)
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


class TestChapter2:
    def test_impure_global_is_captured_at_trace_time(self):
        scope = {"bias": 1.0}

        def add_bias(x):
            return x + scope["bias"]  # captures bias at TRACE time

        f = jax.jit(add_bias)
        assert float(f(5.0)) == 6.0
        scope["bias"] = 2.0
        assert float(f(5.0)) == 6.0

    def test_pure(self):
        def add_bias(x, bias):
            return x + bias  # bias is now a traced value

        f = jax.jit(add_bias)
        assert float(f(5.0, 1.0)) == 6.0
        assert float(f(5.0, 2.0)) == 7.0

    def test_print(self, capsys):
        @jax.jit
        def my_fn(x):
            print("Traced!", x)  # runs once, x is a Tracer object
            jax.debug.print("Value: {}", x)  # runs every call, x is real value
            return x * 2

        assert float(my_fn(3.0)) == 6.0
        assert float(my_fn(4.0)) == 8.0
        assert capsys.readouterr().out.splitlines() == ["Traced! JitTracer(~float32[])", "Value: 3.0", "Value: 4.0"]


class TestChapter3:
    def test_jaxpr(self):
        def f(x):
            return jnp.sin(x) ** 2 + jnp.cos(x) ** 2

        assert str(jax.make_jaxpr(f)(jnp.array(1.0))) == (
            "{ lambda ; a:f32[]. let\n"
            "    b:f32[] = sin a\n"
            "    c:f32[] = integer_pow[y=2] b\n"
            "    d:f32[] = cos a\n"
            "    e:f32[] = integer_pow[y=2] d\n"
            "    f:f32[] = add c e\n"
            "  in (f,) }"
        )

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

    def test_good_abs(self):
        # JAX cond: both branches are traced
        @jax.jit
        def good_abs(x):
            return jax.lax.cond(x > 0, lambda x: x, lambda x: -x, x)

        assert float(good_abs(-2.0)) == 2.0
        assert float(good_abs(2.0)) == 2.0

    def test_structured_control_flow(self):
        assert float(jax.lax.fori_loop(0, 10, lambda i, x: x + i, 0.0)) == 45.0
        assert int(jax.lax.while_loop(lambda x: x < 100, lambda x: x * 2, 1)) == 128
        carry, ys = jax.lax.scan(lambda c, x: (c + x, c), 0.0, jnp.arange(4.0))
        assert float(carry) == 6.0
        assert ys.tolist() == [0.0, 0.0, 1.0, 3.0]


class TestChapter4:
    def test_grad(self):
        def f(x):
            return jnp.sin(x) ** 2 + 1.0

        # grad returns a FUNCTION that computes df/dx
        df = jax.grad(f)
        assert float(df(0.5)) == pytest.approx(math.sin(1.0), rel=1e-6)  # = 2*sin(0.5)*cos(0.5) = sin(1.0) ≈ 0.8415

        # Higher-order derivatives: just nest grad!
        d2f = jax.grad(jax.grad(f))
        assert float(d2f(0.5)) == pytest.approx(2 * math.cos(1.0), rel=1e-6)  # second derivative

    def test_argnums(self):
        def loss(params, x, y):
            pred = params @ x
            return jnp.mean((pred - y) ** 2)

        params, x, y = jnp.ones((2, 3)), jnp.arange(3.0), jnp.array([1.0, 2.0])
        # Gradient w.r.t. params (arg 0) only
        grad_fn = jax.grad(loss, argnums=0)
        g = grad_fn(params, x, y)
        assert g.shape == (2, 3)
        np.testing.assert_allclose(g, np.outer(np.array([2.0, 1.0]), np.arange(3.0)))

        # Gradient w.r.t. params AND x
        grad_fn = jax.grad(loss, argnums=(0, 1))
        gp, gx = grad_fn(params, x, y)
        np.testing.assert_allclose(gp, g)
        np.testing.assert_allclose(gx, [3.0, 3.0, 3.0])

    def test_value_and_grad(self):
        value, slope = jax.value_and_grad(lambda x: jnp.sin(x) ** 2)(0.5)
        assert float(value) == pytest.approx(math.sin(0.5) ** 2, rel=1e-6)
        assert float(slope) == pytest.approx(math.sin(1.0), rel=1e-6)


class TestChapter5:
    def test_vmap(self):
        # Function for ONE example
        def predict(params, x):
            return jnp.dot(params, x)  # params: (out, in), x: (in,)

        params, batch = jnp.arange(6.0).reshape(2, 3), jnp.arange(12.0).reshape(4, 3)
        # Manually batch: loop (slow) or reshape (error-prone)
        looped = jnp.stack([predict(params, xi) for xi in batch])  # slow!

        # vmap: automatic vectorization
        batch_predict = jax.vmap(predict, in_axes=(None, 0))
        preds = batch_predict(params, batch)  # batch: (64, in) → preds: (64, out)
        assert preds.shape == (4, 2)
        np.testing.assert_allclose(preds, looped)

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

    def test_per_example_gradients(self):
        # Per-example gradient: vmap over grad
        def loss_fn(params, x, y):
            pred = jnp.dot(params, x)
            return (pred - y) ** 2

        # grad w.r.t. params for ONE (x, y) pair
        single_grad = jax.grad(loss_fn)

        # vmap to get per-example gradients for whole batch
        per_example_grads = jax.vmap(single_grad, in_axes=(None, 0, 0))
        params, x_batch, y_batch = jnp.arange(3.0), jnp.arange(12.0).reshape(4, 3), jnp.arange(4.0)
        grads = per_example_grads(params, x_batch, y_batch)
        assert grads.shape == (4, *params.shape)  # grads has shape (batch_size, *params.shape)
        for i in range(4):
            np.testing.assert_allclose(grads[i], single_grad(params, x_batch[i], y_batch[i]), rtol=1e-6)


class TestChapter7:
    def params(self):
        # A typical neural network parameter tree
        return {
            "layer1": {"w": jnp.zeros((784, 256)), "b": jnp.zeros(256)},
            "layer2": {"w": jnp.zeros((256, 10)), "b": jnp.zeros(10)},
        }

    def test_tree_map(self):
        params = self.params()
        # Apply weight decay to every parameter
        params = jax.tree.map(lambda p: p * 0.99, params)
        grads = jax.tree.map(jnp.ones_like, params)
        # SGD update: params = params - lr * grads
        params = jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)
        assert float(params["layer1"]["w"][0, 0]) == pytest.approx(-0.01)

    def test_gradient_has_the_structure_of_the_argument(self):
        params = self.params()

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
    def test_split(self):
        import addax.random as jr

        # Create an initial key (seed)
        key = jr.key(42)

        # Split into two independent keys
        key, subkey = jr.split(key)

        # Use subkey for random operations, keep key for future splits
        noise = jr.normal(subkey, shape=(3, 3))
        assert noise.shape == (3, 3)

        # Split into many keys (for a batch of random inits)
        keys = jr.split(key, num=10)  # 10 independent keys
        assert keys.shape == (10,)

    def test_bits_are_the_fields(self):
        import addax.random as jr

        data = jr.key_data(jr.split(jr.key(0)))
        assert data.tolist() == [[1797259609, 2579123966], [928981903, 3453687069]]
        np.testing.assert_allclose(jr.normal(jr.key(0), (3,)), [1.6226422, 2.0252647, -0.43359444], rtol=1e-6)

    def test_same_key_same_numbers(self):
        import addax.random as jr

        key = jr.key(7)
        assert jr.uniform(key, (4,)).tolist() == jr.uniform(key, (4,)).tolist()
        a, b = jr.split(key)
        assert jr.uniform(a, (4,)).tolist() != jr.uniform(b, (4,)).tolist()

    def test_training_loop(self):
        import addax.random as jr

        key = jr.key(0)
        seen = set()
        for _ in range(20):
            key, dropout_key, noise_key = jr.split(key, 3)
            seen.update(tuple(jr.key_data(k).tolist()) for k in (dropout_key, noise_key))
        assert len(seen) == 40


class TestChapter10:
    def test_training_loop(self):
        import addax.random as jr

        def init_params(key):
            k1, k2 = jr.split(key)
            return {
                "w1": jr.normal(k1, (784, 256)) * 0.01,
                "b1": jnp.zeros(256),
                "w2": jr.normal(k2, (256, 10)) * 0.01,
                "b2": jnp.zeros(10),
            }

        def predict(params, x):
            h = jnp.tanh(x @ params["w1"] + params["b1"])
            return h @ params["w2"] + params["b2"]

        def loss_fn(params, x, y):
            logits = predict(params, x)
            return jnp.mean((logits - y) ** 2)

        @jax.jit
        def train_step(params, x, y, lr):
            loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
            params = jax.tree.map(lambda p, g: p - lr * g, params, grads)
            return params, loss

        rng = np.random.default_rng(0)
        x_batch = rng.normal(size=(128, 784)).astype(np.float32)
        y_batch = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 128)]

        # Training loop
        key = jr.key(42)
        params = init_params(key)
        losses = []
        for step in range(300):
            params, loss = train_step(params, x_batch, y_batch, 0.5)
            if step % 100 == 0:
                losses.append(f"Step {step}, Loss: {loss:.4f}")
        assert losses[0].startswith("Step 0, Loss: 0.1")
        assert float(loss) < 0.01
