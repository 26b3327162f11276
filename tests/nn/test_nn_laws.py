"""What nn promises beyond JAX's values: formulas, weak types, narrow dtypes, errors."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import nn
from addax.nn import initializers

K = addax.random.key(0)
X = jnp.linspace(-3, 3, 12).reshape(3, 4)


def test_scaled_matmul():
    rng = np.random.default_rng(0)
    a, b, sa, sb = (rng.normal(size=s).astype(np.float32) for s in ((2, 3, 8), (2, 5, 8), (2, 3, 4), (2, 5, 2)))
    want = np.einsum("bmk,bnk->bmn", a * np.repeat(sa, 2, 2), b * np.repeat(sb, 4, 2))
    got = nn.scaled_matmul(*(jnp.asarray(x) for x in (a, b, sa, sb)))
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5, atol=1e-5)
    assert nn.scaled_matmul(*(jnp.asarray(x) for x in (a, b, sa, sb)), "bfloat16").dtype == jnp.bfloat16


ACTIVATIONS = (
    "relu squareplus softplus sparse_plus soft_sign mish elu leaky_relu hard_tanh celu selu gelu relu6".split()
)


@pytest.mark.parametrize("name", [*ACTIVATIONS, "hard_sigmoid", "hard_silu", "identity", "tanh", "log1mexp"])
def test_dtypes_and_weak_types_of_scalars_and_integers(name):
    """As JAX's, which promotes Python numbers weakly through all of them."""
    for value in (2, 2.0, True, 1j, np.float64(1), np.array([2, 1], np.int32), np.array([True])):
        if name == "log1mexp" and np.asarray(value).dtype == bool:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = jax.eval_shape(getattr(jax.nn, name), value)
        got = getattr(nn, name)(jnp.asarray(value) if isinstance(value, np.ndarray) else value)
        assert (got.dtype, got.shape, got.weak_type) == (want.dtype, want.shape, want.weak_type), value


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats_keep_their_dtype_and_their_digits(dtype):
    x = X.astype(dtype)
    wide = x.astype(np.float32)
    for name in (*ACTIVATIONS, "sigmoid", "silu", "softmax", "log_softmax", "standardize", "logsumexp", "logmeanexp"):
        got, want = getattr(nn, name)(x), np.asarray(getattr(nn, name)(wide))
        assert got.dtype == dtype, name
        tol = 5e-3 if dtype == "float16" else 4e-2
        np.testing.assert_allclose(np.asarray(got).astype(np.float32), want, rtol=tol, atol=tol, err_msg=name)
    q = addax.random.normal(K, (1, 5, 2, 8), dtype)
    got, want = (np.asarray(nn.dot_product_attention(y, y, y)) for y in (q, q.astype(np.float32)))
    assert got.dtype == dtype
    np.testing.assert_allclose(got.astype(np.float32), want, rtol=5e-2, atol=2e-2)


def test_float64():
    with addax.enable_x64(True):
        x = jnp.asarray(np.asarray(X, np.float64))
        assert nn.gelu(x).dtype == nn.softmax(x).dtype == nn.elu(x).dtype == np.float64
        np.testing.assert_allclose(np.asarray(nn.softmax(x).sum(-1)), 1, rtol=1e-15)
        y = np.asarray(x)
        np.testing.assert_allclose(np.asarray(nn.log1mexp(abs(x))), np.log(-np.expm1(-abs(y))), rtol=1e-12)
        q = addax.random.normal(K, (1, 5, 2, 8))
        assert nn.dot_product_attention(q, q, q).dtype == np.float64


def test_attention_of_grouped_queries_is_attention_with_repeated_keys():
    q, k, v = (addax.random.normal(addax.random.key(i), (2, 5, n, 8)) for i, n in enumerate((6, 2, 2)))
    grouped = nn.dot_product_attention(q, k, v, is_causal=True)
    full = nn.dot_product_attention(q, jnp.repeat(k, 3, 2), jnp.repeat(v, 3, 2), is_causal=True)
    np.testing.assert_allclose(np.asarray(grouped), np.asarray(full), rtol=2e-5, atol=2e-6)


def test_variances_of_complex_weights():
    for law in ("normal", "truncated_normal", "uniform"):
        w = initializers.variance_scaling(2.0, "fan_in", law, dtype="complex64")(K, (100, 300))
        assert float(jnp.mean(abs(w) ** 2)) == pytest.approx(2 / 100, rel=0.02)


@pytest.mark.parametrize(("mode", "size", "close"), [("mxfp8", 32, 0.06), ("nvfp4", 16, 0.2)])
def test_quantized_products(mode, size, close):
    """Close to the exact ones, and so are their derivatives, which are quantized products too."""
    configs = [nn.get_scaled_dot_general_config(mode, jnp.array([0.5]))] * 3
    numbers = (((2, 3), (3, 0)), ((), ()))
    a, b = (addax.random.normal(addax.random.key(i), s) for i, s in enumerate(((2, size, 8, 8), (8, 2, size, 8))))
    exact = lambda a, b: addax.lax.dot_general(a, b, numbers)  # noqa: E731
    product = lambda a, b: nn.scaled_dot_general(a, b, numbers, configs=configs)  # noqa: E731
    for f, x in (
        (addax.jit, a),
        (addax.jit, jnp.zeros_like(a)),
        (lambda f: addax.grad(lambda *x: (f(*x) ** 2).sum()), a),
    ):
        got, want = f(product)(x, b), f(exact)(x, b)
        assert got.shape == want.shape and abs(got - want).max() <= close * abs(want).max()
    if mode == "mxfp8":  # which has these numbers
        np.testing.assert_array_equal(product(jnp.round(a), jnp.round(b)), exact(jnp.round(a), jnp.round(b)))
    assert nn.scaled_dot_general(a, b, numbers, "bfloat16", configs).dtype == jnp.bfloat16
    np.testing.assert_array_equal(nn.scaled_dot_general(a, b, numbers), exact(a, b))
    with pytest.raises(ValueError, match=f"{mode} scales blocks of {size} elements, which do not divide the 24"):
        nn.scaled_dot_general(a[..., :3], b[:3], numbers, configs=configs)
    with pytest.raises(ValueError, match="derivatives need a third"):
        addax.grad(lambda a: nn.scaled_dot_general(a, b, numbers, configs=configs[:2]).sum())(a)


def test_derivatives_of_sums_of_complex_exponentials():
    """Of the phase too; that of the sign is 0 in JAX."""
    rng = np.random.default_rng(0)
    z, t = (rng.normal(size=3) + 1j * rng.normal(size=3) for _ in range(2))
    with addax.enable_x64(True):
        for f in (
            nn.logmeanexp, nn.logsumexp, lambda z: nn.logsumexp(z, b=np.array([1, -2, 1j])),
            lambda z: nn.logsumexp(z, return_sign=True)[1],
        ):  # fmt: skip
            slope = (f(z + 1e-6 * t) - f(z - 1e-6 * t)) / 2e-6
            np.testing.assert_allclose(addax.jvp(f, (z,), (t,))[1], slope, rtol=1e-7)


def test_hard_tanh_of_unsigned_integers():
    assert nn.hard_tanh(np.array([0, 1, 2, 200], np.uint8)).tolist() == [0, 1, 1, 1]  # 255 for what is below, in JAX


def test_one_hot_of_narrow_positions():
    for dtype in (np.uint8, np.int8, jnp.float16, bool):
        x = np.asarray([0, 1, -100 if dtype == np.int8 else 1], dtype)
        np.testing.assert_array_equal(nn.one_hot(jnp.array(x), 300).argmax(1), [0, 1, 0 if dtype == np.int8 else 1])
        assert nn.one_hot(jnp.array(x), 300).sum() == (2 if dtype == np.int8 else 3)
    assert nn.one_hot(jnp.float16(2048), 4096).sum() == 1


def q(*shape, dtype=np.float32):
    return jnp.ones(shape, dtype)


ATTEND = nn.dot_product_attention


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.glu(q(3, 5)), ValueError, "axis 1 must be even, got shape (3, 5)"),
        (lambda: nn.glu(q(3, 4), 5), ValueError, "axis 5 is out of bounds"),
        (lambda: nn.softmax(q(3), 4), ValueError, "axis 4 is out of bounds"),
        (lambda: nn.softmax([1.0, 2.0]), TypeError, "softmax requires ndarray or scalar"),
        (lambda: nn.sigmoid([1.0]), TypeError, "sigmoid requires ndarray or scalar"),
        (lambda: nn.standardize(q(3), algorithm="x"), ValueError, "Expected 'fast' or 'stable'"),
        (lambda: nn.one_hot(1, 2.5), TypeError, "num_classes must be a Python integer"),
        (lambda: addax.jit(lambda n: nn.one_hot(1, n))(3), TypeError, "num_classes must be a Python integer"),
        (lambda: nn.one_hot(q(2), 3, axis=7), ValueError, "axis 7 is out of bounds for a result of rank 2"),
        (lambda: ATTEND(q(5, 8), q(6, 8), q(6, 8)), ValueError, "query must have shape"),
        (lambda: ATTEND(q(2, 5, 4, 8), q(2, 6, 3, 8), q(2, 6, 3, 8)), ValueError, "multiple of the number of key heads"),
        (lambda: ATTEND(q(2, 5, 4, 8), q(3, 6, 2, 8), q(3, 6, 2, 8)), ValueError, "agree in batch size"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8), q(7, 4, 8)), ValueError, "key and value must have the same shape"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8, dtype="bfloat16"), q(6, 4, 8)), ValueError, "one dtype, got float32, bfl"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8), q(6, 4, 8), mask=q(5, 6)), ValueError, "mask must be of booleans"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8), q(6, 4, 8), q(5, 7)), ValueError, "bias must broadcast to"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8), q(6, 4, 8), query_seq_lengths=q(1)), ValueError, "must be integers of"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8), q(6, 4, 8), local_window_size=(1, 2, 3)), ValueError, "a pair"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8), q(6, 4, 8), implementation="x"), ValueError, "implementation 'x'"),
        (lambda: ATTEND(q(5, 4, 8), q(6, 4, 8), q(6, 4, 8), implementation="cudnn"), NotImplementedError, "use 'xla'"),
        (lambda: nn.scaled_matmul(q(1, 2, 4), q(1, 2, 4), q(1, 2, 3), q(1, 2, 4)), ValueError, "blocks dividing K"),
        (lambda: initializers.orthogonal()(K, (3,)), ValueError, "at least a 2D shape"),
        (lambda: initializers.delta_orthogonal()(K, (3, 5)), ValueError, "3D, 4D or 5D"),
        (lambda: initializers.delta_orthogonal()(K, (3, 5, 4)), ValueError, "no more than the outputs"),
        (lambda: initializers.variance_scaling(1.0, "x", "normal")(K, (2, 3)), ValueError, "invalid mode"),
        (lambda: initializers.variance_scaling(1.0, "fan_in", "x")(K, (2, 3)), ValueError, "invalid distribution"),
        (lambda: initializers.glorot_normal()(K, (3,)), ValueError, "Must be at least 2D"),
        (lambda: initializers.normal()(K, (3,), int), ValueError, "float or complex dtype, got int32"),
    ],
)  # fmt: skip
def test_errors(call, error, text):
    with pytest.raises(error) as info:
        call()
    assert text in str(info.value), str(info.value)
