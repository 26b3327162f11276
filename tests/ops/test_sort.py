"""Sorting through its public functions: the total order, stability, several keys, messages."""

import jax
import ml_dtypes
import numpy as np
import pytest
from layout_laws import assert_same
from messages import messages_of

import addax
from addax import lax

NAN, INF = np.nan, np.inf
SPECIAL = [0.0, -0.0, NAN, -1.0, INF, -INF, 2.0, 2.0, 0.0, -0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("axis", [0, 1])
def test_special_values(dtype, axis):
    x = np.random.default_rng(0).choice(SPECIAL, (9, 8)).astype(dtype)
    got, want = np.asarray(lax.sort(x, axis)), np.asarray(jax.lax.sort(jax.numpy.asarray(x), axis))
    assert_same(got, want)
    zero = got == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(want[zero]))


@pytest.mark.parametrize("size", [10, 3000, 200_000])
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_stable_with_ties(size, dtype):
    rng = np.random.default_rng(size)
    keys = rng.integers(0, 50, size).astype(dtype)
    _, order = lax.sort_key_val(keys, np.arange(size, dtype=np.int32))
    np.testing.assert_array_equal(order, np.argsort(keys, kind="stable"))
    assert_same(lax.sort(keys), np.sort(keys))


def test_nan_keys_are_equal_to_each_other():
    first = np.float32([NAN, 1, NAN, 1, 0])
    second = np.float32([2, 5, 1, 4, 9])
    got = lax.sort((first, second), num_keys=2)
    assert_same(got, jax.lax.sort((jax.numpy.asarray(first), jax.numpy.asarray(second)), num_keys=2))


def test_complex_numbers_are_ordered_by_real_then_imaginary_part():
    x = np.complex64([1 + 1j, 1 - 1j, -2 + 5j, 1])
    assert_same(lax.sort(x), jax.lax.sort(jax.numpy.asarray(x)))


def test_sort_gives_what_it_was_given():
    x = np.float32([2, 1])
    assert not isinstance(lax.sort(x), tuple)
    assert isinstance(lax.sort([x, x]), tuple)
    assert isinstance(lax.top_k(x, 1), tuple)


def test_top_k_order():
    for values, k in (([1.0, NAN, 3.0, 3.0], 4), ([-0.0, 0.0, -0.0], 3), ([5, 5, 5], 2)):
        x = np.float32(values)
        assert_same(lax.top_k(x, k), jax.lax.top_k(jax.numpy.asarray(x), k))
    negative_nan = (
        -np.float32(NAN) if not np.signbit(-np.float32(NAN)) else np.copysign(np.float32(NAN), np.float32(-1))
    )
    x = np.float32([1, negative_nan, -INF])
    assert np.asarray(lax.top_k(x, 3)[1]).tolist() == np.asarray(jax.lax.top_k(jax.numpy.asarray(x), 3)[1]).tolist()


@pytest.mark.parametrize("aggregate", [True, False])
def test_approximate_top_k_is_exact(aggregate):
    x = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    for name in ("approx_max_k", "approx_min_k"):
        got = getattr(lax, name)(x, 5, aggregate_to_topk=aggregate)
        want = getattr(jax.lax, name)(jax.numpy.asarray(x), 5, aggregate_to_topk=aggregate)
        assert_same(got, want)


def test_derivative_of_values_only():
    x = np.float32([3, 1, 2])
    got = addax.grad(lambda v: lax.sort((x, v), num_keys=1)[1][0])(np.float32([30, 10, 20]))
    np.testing.assert_array_equal(got, [0, 1, 0])


X = np.ones((3, 4), np.float32)

MESSAGES = [
    (lambda: lax.sort(()), TypeError, ["at least one operand"]),
    (lambda: lax.sort((X, X[0])), TypeError, ["equal shapes", "(3, 4) (4,)"]),
    (lambda: lax.sort(X, 2), ValueError, ["axis 2", "dimension 2"]),
    (lambda: lax.sort((X, X), num_keys=3), ValueError, ["num_keys=3", "len(operand)=2"]),
    (lambda: lax.top_k(X, 5), ValueError, ["k=5", "[3, 4]", "axis=1"]),
    (lambda: lax.top_k(X, -1), ValueError, ["nonnegative, got -1"]),
    (lambda: lax.top_k(X, 1.5), TypeError, ["integer", "1.5"]),
    (lambda: lax.top_k(3.0, 1), ValueError, ["axis -1", "dimension 0"]),
    (lambda: lax.top_k(X + 1j, 1), ValueError, ["complex"]),
    (lambda: lax.approx_max_k(X, 9), ValueError, ["4", "9"]),
    (lambda: lax.approx_max_k(np.int32(X), 2), ValueError, ["floating"]),
    (lambda: lax.approx_max_k(X, 2, recall_target=1.5), ValueError, ["recall_target", "1.5"]),
]

test_messages = messages_of(MESSAGES)
