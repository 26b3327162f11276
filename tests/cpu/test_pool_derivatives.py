"""Derivatives of pooling, which are compiled tap by tap, against their definition in NumPy."""

import numpy as np
import pytest

import addax
from addax import lax
from addax.engines.reference.interpret import evaluate

WINDOWS = [
    ((4, 6), (2, 2), (2, 2), "VALID"),  # side by side
    ((5, 7), (2, 3), (1, 2), "VALID"),  # overlapping, with a rest
    ((5, 7), (3, 3), (2, 2), "SAME"),
    ((2, 5, 5, 3), (1, 2, 2, 1), (1, 2, 2, 1), "SAME"),
    ((6,), (3,), (1,), [(2, 1)]),
    ((4,), (2,), (2,), [(2, 2)]),  # windows of nothing but padding
    ((7,), (2,), (3,), "VALID"),  # gaps
]


@pytest.mark.parametrize(("shape", "window", "strides", "padding"), WINDOWS)
def test_derivatives_of_pooling(shape, window, strides, padding):
    rng = np.random.default_rng(0)
    ties = rng.integers(-2, 3, shape).astype("float32")
    ties.flat[:2] = -np.inf  # what padding is filled with
    ties.flat[2] = np.nan
    for x in (rng.normal(size=shape).astype("float32"), ties):
        for combine, start in ((lax.max, -np.inf), (lax.min, np.inf)):

            def pool(x):
                return lax.reduce_window(x, start, combine, window, strides, padding)

            ct, t = rng.normal(size=pool(x).shape).astype("float32"), rng.normal(size=shape).astype("float32")
            for f in (lambda x: addax.vjp(pool, x)[1](ct)[0], lambda x: addax.jvp(pool, (x,), (t,))[1]):
                program = addax.make_jaxpr(f)(x)
                assert any("select_and" in e.primitive.name for e in program.eqns)
                assert "select_and" not in addax.jit(f).lower(x).as_text("simplified")
                np.testing.assert_allclose(addax.jit(f)(x), evaluate(program, [x])[0], rtol=1e-6, atol=1e-6)
