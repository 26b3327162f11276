"""Bounds of fori_loop: integers and floats, known when the program is traced and not."""

import jax
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax

F16, F32 = np.float16, np.float32


def turns(L, lower, upper):
    """How many indices there were, and what a loop made of them."""
    return L.lax.fori_loop(lower, upper, lambda i, c: (c[0] + 1, c[1] * 0.5 + L.numpy.float32(i)), (0, 1.5))


BOUNDS = [
    (0.0, 3.0), (0.0, 2.5), (1.0, 1.0), (2.0, -1.0), (-2.0, 2.0), (0.5, 3.0), (0.25, 0.75), (F32(0), F32(4)), (F32(0.5), 4.0),
    (F16(0), F16(3)), (0.0, float("nan")), (1.0, float("-inf")), (0, 3), (np.int8(-2), np.int8(2)),
]  # fmt: skip


@pytest.mark.parametrize("lower, upper", BOUNDS)
def test_turns_are_those_of_counting(lower, upper):
    n, c, at = 0, 1.5, lower
    while at < upper:
        n, c, at = n + 1, c * 0.5 + float(at), at + 1
    want = (n, c)
    for got in (
        turns(addax, lower, upper),
        addax.jit(lambda: turns(addax, lower, upper))(),
        addax.jit(lambda low, high: turns(addax, low, high))(lower, upper),
    ):
        np.testing.assert_allclose([float(x) for x in got], [float(x) for x in want])
    with addax.disable_jit():
        np.testing.assert_allclose([float(x) for x in turns(addax, lower, upper)], [float(x) for x in want])


@pytest.mark.parametrize(
    "lower, upper",
    [(0.0, 3.0), (0.0, F32(3)), (F32(1), F32(4)), (F16(0), F16(3)), (0, 3), (0, np.int32(3)), (np.int32(0), 3)],
)
@pytest.mark.parametrize("known", [True, False])
def test_indices_have_jaxs_types(lower, upper, known):
    """Those of known floats too, where JAX counts in integers."""

    def types(L, known):
        seen = []

        def loop(a, b):
            return L.lax.fori_loop(a, b, lambda i, c: seen.append((i.dtype, i.aval.weak_type)) or c, 0.0)

        loop(lower, upper) if known else L.jit(loop)(lower, upper)
        return seen[-1]

    assert types(addax, known) == types(jax, known and not isinstance(lower, (float, np.floating)))


def test_floats_that_counting_would_round_end_the_loop():
    """A scan of as many turns as the difference of the bounds would see other indices than a loop that adds 1."""
    low = F16(2046.5)  # adding 1 gives 2047.5, 2048 (even), and 2048 for ever: at 2048 it ends
    assert int(turns(addax, low, F16(2048))[0]) == 2
    assert float(addax.grad(lambda x: lax.fori_loop(0.5, 3.0, lambda i, c: c * x + i, x))(2.0)) == pytest.approx(
        float(jax.grad(lambda x: 0.5 * x**2 + 1.5 * x + 2.5 + x**4)(2.0))
    )


def test_other_bounds_are_refused():
    body = lambda i, c: c  # noqa: E731
    with pytest.raises(
        TypeError, match=r"must both be integers or both be floats, got lower of type .*int32.* and upper"
    ):
        lax.fori_loop(0, 3.0, body, 1.0)
    with pytest.raises(TypeError, match=r"must be integers or floats, got upper of type .*complex64"):
        lax.fori_loop(0, 3j, body, 1.0)
    with pytest.raises(TypeError, match=r"must be integers or floats, got lower of type .*int32\[2\]"):
        lax.fori_loop(jnp.arange(2), 3, body, 1.0)
