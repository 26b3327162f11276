"""Products with groups of rows and with scaled operands, against JAX and against the sums they stand for."""

import jax
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax

RNG = np.random.default_rng(0)
LHS = RNG.normal(size=(7, 3)).astype("float32")
RHS = RNG.normal(size=(3, 3, 4)).astype("float32")


def agree(got, want, tolerance=1e-5):
    assert (got.shape, str(got.dtype)) == (want.shape, str(want.dtype))
    np.testing.assert_allclose(
        np.asarray(got).astype("float32"), np.asarray(want).astype("float32"), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("sizes", [[2, 3, 2], [0, 7, 0], [1, 0, 4]])
def test_rows_in_groups(sizes):
    sizes = np.array(sizes, "int32")
    agree(lax.ragged_dot(LHS, RHS, sizes), jax.lax.ragged_dot(LHS, RHS, sizes))
    agree(addax.jit(lax.ragged_dot)(LHS, RHS, sizes), jax.lax.ragged_dot(LHS, RHS, sizes))


def test_derivatives():
    sizes = np.array([2, 4, 1], "int32")

    def loss(lib, product):
        return lambda a, b: lib.sum(lib.sin(product(a, b, sizes)))

    got = addax.grad(loss(jnp, lax.ragged_dot), (0, 1))(LHS, RHS)
    want = jax.grad(loss(jax.numpy, jax.lax.ragged_dot), (0, 1))(LHS, RHS)
    for g, w in zip(got, want, strict=True):
        agree(g, w)


def test_groups_that_are_summed_over():
    numbers = ((((0,), (0,)), ((), ())), [0], [])
    sizes = np.array([2, 5], "int32")
    other = RNG.normal(size=(7, 2)).astype("float32")
    got = lax.ragged_dot_general(LHS, other, sizes, lax.RaggedDotDimensionNumbers(*numbers))
    agree(got, np.stack([LHS[:2].T @ other[:2], LHS[2:].T @ other[2:]]))
    agree(got, jax.lax.ragged_dot_general(LHS, other, sizes, jax.lax.RaggedDotDimensionNumbers(*numbers)))


def test_batches():
    sizes = np.array([[2, 3, 2], [7, 0, 0]], "int32")
    stack = np.stack([LHS, 2 * LHS])
    got = addax.vmap(lax.ragged_dot, in_axes=(0, None, 0))(stack, RHS, sizes)
    agree(got, np.stack([np.asarray(lax.ragged_dot(x, RHS, s)) for x, s in zip(stack, sizes, strict=True)]))


def test_scaled_operands():
    a, b = RNG.normal(size=(4, 8)).astype("float32"), RNG.normal(size=(8, 2)).astype("float32")
    s, t = RNG.uniform(1, 2, (4, 2)).astype("float32"), RNG.uniform(1, 2, (4, 2)).astype("float32")
    got = lax.scaled_dot(a, b, lhs_scale=s, rhs_scale=t, preferred_element_type="float32")
    agree(got, (a * np.repeat(s, 4, 1)) @ (b * np.repeat(t, 2, 0)))
    assert str(lax.scaled_dot(a, b).dtype) == "bfloat16"


def test_messages():
    with pytest.raises(TypeError, match=r"subtype of np\.integer"):
        lax.ragged_dot(LHS, RHS, np.ones(3, "float32"))
    with pytest.raises(TypeError, match="group dimension size to be 2, got 3"):
        lax.ragged_dot(LHS, RHS, np.array([3, 4], "int32"))
    with pytest.raises(ValueError, match=r"multiples of those of its scale, got shapes \(7, 3\) and \(2, 3\)"):
        lax.scaled_dot(LHS, LHS.T, lhs_scale=np.ones((2, 3), "float32"))
