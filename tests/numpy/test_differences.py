"""diff, ediff1d, gradient, trapezoid, interp against JAX."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Weak, batched, sample

import addax
import addax.numpy as jnp

DTYPES = ["bool", "int8", "uint8", "float16", "float32", "complex64"]
MATRIX = np.arange(6, dtype=np.int32).reshape(2, 3) ** 2


@batched
def test_diff(check):
    for dtype in DTYPES:
        x = sample(dtype, (3, 4))
        for n in (1, 2):
            check("diff", x, n)
            check("diff", x, n, axis=0)
    check("diff", MATRIX, 0)
    check("diff", MATRIX, 5)
    check("diff", MATRIX, -1)
    check("diff", 3)
    check("diff", [1, 2])
    check("diff", MATRIX, axis=2)
    check("diff", MATRIX, prepend=1.5)
    check("diff", MATRIX, prepend=MATRIX, append=3, axis=0)
    check("diff", MATRIX, append=MATRIX[0])


@batched
def test_ediff1d(check):
    for dtype in DTYPES:
        if dtype != "bool":
            check("ediff1d", sample(dtype, (3, 2)))
    check("ediff1d", MATRIX, np.asarray([1, 2], np.int32), 2.5)
    check("ediff1d", MATRIX, to_begin=np.asarray(3, np.int8))
    check("ediff1d", np.asarray([3]))
    check("ediff1d", np.zeros(0, np.float32))
    check("ediff1d", Weak(2.0))


@batched
def test_gradient(check):
    for dtype in ("int8", "float16", "float32", "complex64"):
        x = sample(dtype, (3, 4))
        check("gradient", x)
        check("gradient", x, 2)
        check("gradient", x, axis=1)
    check("gradient", MATRIX, 2.0, axis=(1, 0))
    check("gradient", MATRIX, 2.0, 0.5)
    check("gradient", MATRIX, np.asarray([1.0, 3.0], np.float32), 0.5)
    check("gradient", MATRIX, np.asarray([1.0, 2.0, 4.0], np.float32), axis=-1)
    check("gradient", MATRIX, np.asarray([1, 2, 4, 5], np.float32), axis=-1)
    check("gradient", MATRIX, np.ones((2, 2), np.float32), axis=-1)
    check("gradient", sample("float32", 5), np.asarray([1, 2, 4, 8, 9], np.int32))
    check("gradient", sample("float32", 2), np.asarray([1, 3], np.int32))
    check("gradient", MATRIX, 1, 2, 3)
    check("gradient", MATRIX, edge_order=2)
    check("gradient", np.ones((3, 1), np.float32))
    check("gradient", MATRIX, axis=())
    check("gradient", MATRIX, axis=2)
    check("gradient", [1.0, 2.0])


@batched
def test_trapezoid(check):
    for dtype in ("int8", "float16", "float32", "complex64"):
        y = sample(dtype, (3, 4))
        check("trapezoid", y)
        check("trapezoid", y, y[0])
        check("trapezoid", y, y, axis=0)
        check("trapezoid", y, dx=2, axis=0)
    check("trapezoid", sample("float32", (2, 3)), dx=np.asarray([1, 2], np.float32))
    check("trapezoid", np.zeros((2, 1), np.float32))
    check("trapezoid", [1.0, 2.0])


@batched
def test_interp(check):
    xp, fp = np.asarray([0, 1, 2.5, 4], np.float32), np.asarray([3, -1, 2, 2], np.float32)
    x = np.asarray([[-1, 0, 0.5], [2, 4, 5], [2.5, 3, np.nan]], np.float32)
    check("interp", x, xp, fp)
    check("interp", x, xp, fp, -7, 8.5)
    check("interp", x, xp, fp, "extrapolate", "extrapolate")
    check("interp", x, xp, fp, left="extrapolate", right=np.float32(3))
    check("interp", x, xp, fp, "strange")
    for period in (3, -2.5, 0, np.ones(1)):
        check("interp", x[:2], xp, fp, period=period)
    check("interp", x, xp, fp * 1j)
    check("interp", x, xp * 1j, fp)
    check("interp", 2, xp, fp)
    check("interp", np.asarray([1, 2], np.int32), np.arange(4), np.arange(4) ** 2)
    check("interp", np.asarray([1, 2], np.float16), xp, fp.astype(np.float16))
    check("interp", np.float16(1.5), xp.astype(np.float16), fp, rtol=1e-3)
    check("interp", x, np.asarray([0, 1, 1, 2], np.float32), fp)
    check("interp", x, xp[:1], fp[:1])
    check("interp", x, xp[:3], fp)
    check("interp", x, 1.0, 1.0)
    check("interp", x, [0.0, 1.0], [2.0, 3.0])


def test_derivatives():
    xp, fp = jnp.array([0.0, 1.0, 3.0]), jnp.array([0.0, 2.0, 4.0])
    assert addax.vmap(addax.grad(jnp.interp), (0, None, None))(jnp.array([0.5, 2.0, 9.0]), xp, fp).tolist() == [2, 1, 0]
    assert addax.grad(lambda fp: jnp.interp(2.0, xp, fp))(fp).tolist() == [0, 0.5, 0.5]
    assert addax.grad(jnp.trapezoid)(jnp.arange(4.0)).tolist() == [0.5, 1, 1, 0.5]
    assert addax.grad(lambda x: jnp.diff(x, 2).sum())(jnp.arange(4.0)).tolist() == [1, -1, -1, 1]
    with pytest.raises(ValueError, match="at least 2 elements"):
        addax.jit(jnp.gradient)(jnp.ones(1))
