"""`pad` against JAX (NumPy where JAX lacks a form), and its derivative."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from oracle import Weak, batched, sample

import addax
import addax.numpy as jnp

MODES = [
    "constant",
    "edge",
    "reflect",
    "symmetric",
    "wrap",
    "linear_ramp",
    "maximum",
    "minimum",
    "mean",
    "median",
    "empty",
]


@pytest.mark.parametrize("mode", MODES)
@batched
def test_modes(check, mode):
    x = sample("float32", (3, 4))
    for width in ((2, 1), ((1, 2), (0, 3)), ((7, 0), (0, 9))):
        check("pad", x, width, mode)
    for dtype in ("int32", "uint8", ml_dtypes.bfloat16, "complex64"):
        if dtype == "complex64" and mode in ("median", "maximum", "minimum"):
            continue
        check("pad", sample(dtype, (5,)), (2, 3), mode)
    check("pad", sample("float32", (1,)), 2, mode)
    check("pad", Weak(1.5), (), mode)
    if mode not in ("linear_ramp", "maximum", "minimum", "median"):  # JAX refuses these even where nothing is read
        check("pad", sample("float32", (2, 0)), ((0, 0), (1, 0)), mode)
        check("pad", sample("float32", (0, 2)), ((0, 0), (1, 0)), mode)
    if mode in ("constant", "edge", "wrap", "empty"):
        check("pad", sample("bool", (3,)), (2, 1), mode)


@batched
def test_options(check):
    for dtype in ("float32", "int32"):
        x = sample(dtype, (3, 4))
        for width in (1, ((2, 2),), (2,)):
            check("pad", x, width)
        check("pad", x, 1, constant_values=2)
        check("pad", x, 2, constant_values=1.7)
        check("pad", x, (1, 2), constant_values=((1, 2), (3, 4)))
        check("pad", x, (1, 2), constant_values=(5, 6))
        check("pad", x[0], 3, "linear_ramp", end_values=5)
        if dtype == "float32":  # of integers, JAX rounds ramps between equal numbers down by one
            check("pad", x, 3, "linear_ramp", end_values=((1, -2), (3, 4)))
    x = sample("float32", (3, 4))
    for mode in ("mean", "maximum"):
        check("pad", x, 2, mode, stat_length=2)
        check("pad", x, 2, mode, stat_length=((1, 2), (3, 9)))
    for mode in ("reflect", "symmetric"):
        check("pad", x, (5, 9), mode, reflect_type="odd")
    check("pad", sample("float32", (1,)), 3, "reflect", reflect_type="odd")
    check("pad", sample("float32", (3,)), 1, constant_values=np.float32(2.5))
    check("pad", sample("float32", (3,)), 1, constant_values=np.asarray(2.5, np.float32))


@batched
def test_errors(check):
    x = sample("float32", (2, 3))
    check("pad", x, -1)
    check("pad", x, 1.5)
    check("pad", x, ((1, 2, 3),))
    check("pad", x, ((1, 1),) * 3)
    check("pad", x, 1, foo=2)
    check("pad", x, 1, "edge", constant_values=2)
    check("pad", x, 1, "unknown")
    check("pad", [1, 2], 1)
    check("pad", x, 1, "mean", stat_length=0)


def test_widths_by_axis():
    x = np.arange(6).reshape(2, 3)
    assert jnp.pad(jnp.asarray(x), {-1: (1, 2)}).tolist() == np.pad(x, ((0, 0), (1, 2))).tolist()
    assert jnp.pad(jnp.asarray(x), {0: 1, 1: 2}, "edge").tolist() == np.pad(x, ((1, 1), (2, 2)), "edge").tolist()
    with pytest.raises(ValueError, match="'even' or 'odd'"):
        jnp.pad(jnp.asarray(x), 1, "reflect", reflect_type="strange")
    with pytest.raises(ValueError, match="axis 5"):
        jnp.pad(jnp.asarray(x), {5: 1})
    with pytest.raises(ValueError, match="cannot be extended in mode 'edge'"):
        jnp.pad(jnp.zeros((0, 2)), 1, "edge")


def test_by_function():
    def border(vector, width, axis, kwargs):
        assert kwargs == {"by": 10}
        return vector.at[: width[0]].set(axis + 1).at[vector.shape[0] - width[1] :].set(kwargs["by"] * (axis + 1))

    x = jnp.arange(6.0).reshape(2, 3)
    expected = [[2, 1, 1, 1, 20], [2, 0, 1, 2, 20], [2, 3, 4, 5, 20], [2, 10, 10, 10, 20]]
    assert jnp.pad(x, 1, border, by=10).tolist() == expected
    assert addax.jit(lambda x: jnp.pad(x, 1, border, by=10))(x).tolist() == expected


def test_traced():
    x = jnp.array([1.0, 2.0, 4.0])
    for mode in MODES:
        grad = addax.grad(lambda x, mode=mode: (jnp.pad(x, (2, 3), mode) * jnp.arange(8.0)).sum())(x)
        ones = np.eye(3) * 1e-2
        for i in range(3):
            f = [(np.asarray(jnp.pad(x + s * ones[i], (2, 3), mode)) * np.arange(8)).sum() for s in (1, -1)]
            assert abs((f[0] - f[1]) / 2e-2 - grad[i]) < 2e-2, mode
        assert addax.vmap(lambda x, mode=mode: jnp.pad(x, 2, mode))(jnp.stack([x, 2 * x])).shape == (2, 7)
    assert addax.grad(lambda v: jnp.pad(x, 1, constant_values=v).sum())(2.0) == 2.0
    with pytest.raises(TypeError, match="static_argnums"):
        addax.jit(jnp.pad)(x, 2)
