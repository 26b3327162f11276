"""Reductions and scans through their public functions: edges, weak types, programs as reducers, messages."""

import jax
import ml_dtypes
import numpy as np
import pytest
from layout_laws import assert_same
from messages import messages_of

import addax
import addax.numpy as jnp
from addax import lax

NAN, INF = np.nan, np.inf
ZEROS = ([-0.0, 0.0], [0.0, -0.0], [-0.0, -0.0], [-1.0, -0.0], [1.0, -0.0, 0.0])


@pytest.mark.parametrize("values", ZEROS)
@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_zero_is_larger_than_minus_zero(name, values):
    x = np.float32(values)
    got, want = np.asarray(getattr(lax, name)(x, (0,))), np.asarray(getattr(jax.lax, name)(jax.numpy.asarray(x), (0,)))
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "reduce_sum", "reduce_prod"])
def test_nan_wins(name):
    x = np.float32([[1, NAN, INF], [NAN, -INF, 2]])
    assert_same(getattr(lax, name)(x, (0,)), getattr(jax.lax, name)(x, (0,)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8", "uint8", "int32", "bool", "complex64"])
@pytest.mark.parametrize("name", ["reduce_max", "reduce_min", "reduce_sum", "reduce_prod", "reduce_and", "reduce_or"])
def test_reducing_nothing_gives_the_identity(name, dtype):
    dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    x = np.zeros((0, 2), dtype)
    try:
        want = getattr(jax.lax, name)(jax.numpy.asarray(x), (0,))
    except TypeError:
        with pytest.raises(TypeError):
            getattr(lax, name)(x, (0,))
    else:
        assert_same(getattr(lax, name)(x, (0,)), want)


def test_small_floats_are_summed_in_float32():
    x = np.full(4096, 1.0, ml_dtypes.bfloat16)
    assert float(lax.reduce_sum(x, (0,))) == 4096
    assert float(lax.cumsum(x)[-1]) == 4096


def test_integers_wrap():
    x = np.full(3, 100, np.int8)
    assert_same(lax.reduce_sum(x, (0,)), jax.lax.reduce_sum(x, (0,)))
    assert_same(lax.cumprod(x), jax.lax.cumprod(jax.numpy.asarray(x)))


def test_weak_types_stay():
    f = addax.make_jaxpr(lambda x: (lax.reduce_sum(x, ()), lax.reduce_max(x, ())))
    assert all(a.weak_type for a in f(1.0).out_avals)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_argmax_takes_the_first_nan_and_the_first_of_ties(name):
    for values in ([1, NAN, 3, NAN], [2, 5, 5, 2], [-0.0, 0.0, 0.0, -0.0]):
        for dtype in (np.float32, ml_dtypes.bfloat16):
            x = np.asarray(values).astype(dtype)
            assert_same(getattr(lax, name)(x, 0, np.int32), getattr(jax.lax, name)(x, 0, np.int32))


def test_argmax_wraps_its_index_as_the_oracle_does():
    x = np.r_[np.zeros(299, np.float32), np.float32(1)]
    assert_same(lax.argmax(x, 0, np.int8), jax.lax.argmax(x, 0, np.int8))


def test_ties_share_the_derivative_of_the_maximum():
    x = np.float32([[1, 3, 3], [2, 2, 2]])
    got = addax.grad(lambda x: lax.reduce_max(x, (1,)).sum())(x)
    np.testing.assert_allclose(got, [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    got = addax.jacobian(lax.cummax)(np.float32([1, 1, 1, 1, 0]))
    np.testing.assert_allclose(got, jax.jacfwd(jax.lax.cummax)(np.float32([1, 1, 1, 1, 0])))


def test_products_with_zeros_have_derivatives():
    for values in ([2, 0, 3], [0, 0, 3], [0], [1, 2, 3, 0, 5]):
        x = np.float32(values)
        assert_same(
            addax.grad(lambda x: lax.reduce_prod(x, (0,)))(x), jax.grad(lambda x: jax.lax.reduce_prod(x, (0,)))(x)
        )
        assert_same(addax.jacobian(lax.cumprod)(x), jax.jacobian(jax.lax.cumprod)(x))


def test_cumlogsumexp_at_the_ends():
    x = np.float32([-INF, -INF, 1, 2])
    assert_same(lax.cumlogsumexp(x), jax.lax.cumlogsumexp(jax.numpy.asarray(x)), 1e-6)
    got = np.asarray(addax.jacobian(lax.cumlogsumexp)(x))
    np.testing.assert_allclose(got[2:], [[0, 0, 1, 0], [0, 0, 0.26894142, 0.7310586]], rtol=1e-6)
    assert np.isfinite(got).all()  # JAX: nan where nothing was summed yet
    assert float(lax.cumlogsumexp(np.float32([1000, 1000]))[1]) == pytest.approx(1000.6931, abs=1e-4)


# --- reduce with a program ---


def test_reduce_knows_the_operations_it_is_given():
    x = jnp.arange(12.0).reshape(3, 4)
    for op, init, name in ((lax.add, 0.0, "reduce_sum"), (lax.mul, 1.0, "reduce_prod"), (lax.max, -INF, "reduce_max")):
        program = addax.make_jaxpr(lambda x: lax.reduce(x, init, op, (0,)))(x)
        assert [e.primitive.name for e in program.eqns] == [name]
    assert_same(lax.reduce(x, 5.0, lax.add, (0, 1)), np.float32(71))
    assert_same(lax.reduce(x > 3, True, lax.bitwise_and, (0,)), np.all(np.asarray(x) > 3, 0))


def test_reduce_of_several_arrays():
    x = np.float32([[3, 1, 2], [5, 9, 5]])
    index = np.int32([[0, 1, 2], [0, 1, 2]])

    def first_largest(a, b):
        take_b = b[0] > a[0]
        return jnp.where(take_b, b[0], a[0]), jnp.where(take_b, b[1], a[1])

    values, positions = lax.reduce((x, index), (np.float32(-INF), np.int32(-1)), first_largest, (1,))
    assert_same([values, positions], [np.float32([3, 9]), np.int32([0, 1])])
    tree = lax.reduce({"a": x}, {"a": 0.0}, lambda a, b: {"a": jnp.hypot(a["a"], b["a"])}, (0,))
    np.testing.assert_allclose(tree["a"], np.hypot(x[0], x[1]), rtol=1e-6)


def test_reduce_under_vmap_with_batched_initial_values():
    x = np.float32([0.5, 0.25, 2])

    def f(z):
        return lax.reduce(x, z, lambda a, b: a + b + a * b, (0,))

    z = np.float32([0, 1, 2])
    np.testing.assert_allclose(addax.vmap(f)(z), [f(v) for v in z], rtol=1e-6)


def test_reducers_with_branches_inside():
    x = np.float32([3, -1, 2, 7])
    got = lax.reduce(x, -INF, lambda a, b: lax.cond(a > b, lambda: a, lambda: b), (0,))
    assert float(got) == 7


def test_the_reducer_is_traced_once():
    calls = []

    def f(a, b):
        calls.append(1)
        return a + b * 1.5

    for n in (3, 4, 5):
        lax.reduce(np.ones(n, np.float32), 0.0, f, (0,))
    assert len(calls) == 1


X = np.ones((3, 4), np.float32)

MESSAGES = [
    (lambda: lax.reduce_sum(X > 0, (0,)), TypeError, ["reduce_sum does not accept dtype bool", "number"]),
    (lambda: lax.reduce_sum(X, (2,)), ValueError, ["(2,)", "float32[3,4]"]),
    (lambda: lax.reduce_sum(X, (-1,)), ValueError, ["out-of-bounds"]),
    (lambda: lax.reduce_sum(X, (0, 0)), ValueError, ["duplicate value in 'axes'"]),
    (lambda: lax.reduce_sum(X, 0), TypeError, ["write (0,)"]),
    (lambda: lax.reduce_sum([1.0, 2.0], (0,)), TypeError, ["addax.numpy.array"]),
    (lambda: lax.reduce_and(X, (0,)), TypeError, ["logical reduction requires operand dtype bool or int", "float32"]),
    (lambda: lax.argmax(X, 0, np.float32), TypeError, ["index_dtype must be an integer type", "float32"]),
    (lambda: lax.argmax(X, 2, np.int32), ValueError, ["Invalid axis 2", "(3, 4)"]),
    (lambda: lax.argmax(X[:0], 0, np.int32), ValueError, ["non-empty reduced dimension"]),
    (lambda: lax.argmax(X + 1j, 0, np.int32), TypeError, ["complex64", "no order"]),
    (lambda: lax.cumsum(X > 0), TypeError, ["cumsum does not accept dtype bool"]),
    (lambda: lax.cumsum(X, -1), ValueError, ["nonnegative", "addax.numpy.cumsum"]),
    (lambda: lax.cumsum(X, 2), ValueError, ["axis 2 is out of bounds", "(3, 4)"]),
    (lambda: lax.reduce(X, 0.0, lambda a, b: a > b, (0,)), TypeError, ["float32", "bool[]"]),
    (lambda: lax.reduce(X, X, lax.add, (0,)), ValueError, ["non-scalar initial value"]),
    (lambda: lax.reduce((X, X), (0.0,), lax.add, (0,)), ValueError, ["same tree structure"]),
    (lambda: lax.reduce((X, X[0]), (0.0, 0.0), lambda a, b: a, (0,)), TypeError, ["equal shapes", "(4,)"]),
    (lambda: lax.reduce(X, 0.0, lambda a, b: (a, b), (0,)), TypeError, ["structure"]),
    (
        lambda: addax.jit(lambda y: lax.reduce(X, 0.0, lambda a, b: a + b * y, (0,)))(2.0),
        NotImplementedError,
        ["being traced"],
    ),
]

test_messages = messages_of(MESSAGES)
