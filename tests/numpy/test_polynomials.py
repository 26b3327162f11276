"""Polynomials, convolutions and windows against JAX."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from oracle import Weak, batched, check, sample

import addax
import addax.numpy as jnp


def floats(*values) -> np.ndarray:
    return np.asarray(values, np.float32)


def ints(*values) -> np.ndarray:
    return np.asarray(values, np.int32)


@batched
def test_windows(check):
    for name in ("bartlett", "blackman", "hamming", "hanning"):
        for m in (0, 1, 2, 5, 12, -1, 2.5):
            check(name, m)
    for m in (0, 1, 2, 7):
        check("kaiser", m, 2)
        check("kaiser", m, floats(3.5)[0])
        check("kaiser", m, np.float16(0))
    check("kaiser", 4, floats(1, 2))


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@batched
def test_convolutions(check, name):
    for mode in ("full", "same", "valid", "unknown"):
        for n, m in ((5, 3), (2, 5), (4, 4), (4, 2), (1, 1)):
            check(name, sample("float32", n), sample("float32", m, seed=n), mode)
        check(name, sample("complex64", 5), sample("complex64", 3, seed=2), mode)
    for a, b in (("bool", "bool"), ("int8", "int8"), ("uint8", "int32"), ("float16", ml_dtypes.bfloat16)):
        check(name, sample(a, 4), sample(b, 2), "full")
    check(name, sample("int8", 4), sample("int8", 2), preferred_element_type="float32")
    for m in (15, 16, 17, 30):
        check(name, sample("float32", 30), sample("float32", m), rtol=2e-5)
    check(name, floats(1, np.inf, 0, 0), floats(1, 0))
    check(name, floats(), floats(1))
    check(name, np.ones((2, 2), np.float32), floats(1))
    check(name, 3, floats(1))
    check(name, [1], [2])


@batched
def test_arithmetic(check):
    for name in ("polyadd", "polysub", "polymul", "polydiv"):
        check(name, ints(1, 3, 2), ints(1, 1))
        check(name, ints(1, 3), floats(1, 1, 2))
        check(name, floats(2), np.asarray([1j, 2, 3], np.complex64))
        check(name, sample("float32", 6), floats(2, 1, 4))
        check(name, 2, ints(1, 2)) if name not in ("polyadd", "polysub") else None
        check(name, [1], [2])
    check("polymul", floats(), floats(1, 2))
    for p in (
        ints(1, 2, 3),
        floats(1.5, 2, 0, 3),
        np.asarray([1j, 2, 3], np.complex64),
        np.ones((2, 2), np.float32),
        3,
    ):
        for m in (0, 1, 2, 5, -1):
            if np.ndim(p) < 2 or m < 2:
                check("polyder", p, m)
            if np.ndim(p) < 2:
                check("polyint", p, m)
                check("polyint", p, m, 2.5)
    check("polyint", ints(1, 2, 3), 2, ints(5, 6))
    check("polyint", ints(1, 2, 3), 2, ints(5, 6, 7))
    check("polyint", floats(1, 2, 3), 2, 3j)
    check("polyint", floats(1, 2, 3), 1, [3])


def test_leading_zeros():
    check("polymul", ints(0, 1, 2), ints(1, 2), trim_leading_zeros=True)
    check("polydiv", ints(1, 2, 2), ints(1, 1), trim_leading_zeros=True)
    check("polydiv", ints(1, 3, 2), ints(1, 1), trim_leading_zeros=True)


@batched
def test_polyval(check):
    p = floats(1, -2, 3)
    for x in (2, 2.5, sample("float32", (2, 3)), np.int8([1, 2]), 1j, Weak(2)):
        check("polyval", p, x)
        check("polyval", ints(1, 2, 3), x)
    check("polyval", np.int8([1, 2]), np.int8([2]))
    check("polyval", floats(), 2)
    check("polyval", np.ones((2, 3), np.float32), floats(1, 2, 3))
    check("polyval", sample("float32", 40), floats(0.5, -1.1), rtol=1e-4)
    check("polyval", sample("float32", 5), floats(0.5, -1.1), unroll=2)
    check("polyval", 2, 3)
    check("polyval", [1, 2], 3)


@batched
def test_vander_and_poly(check):
    for dtype in ("int32", "float32", "complex64", "bool"):
        check("vander", sample(dtype, 4), rtol=2e-5)
        check("vander", sample(dtype, 4), 2, True)
    for n in (0, 6, -1):
        check("vander", sample("float32", 3), n, rtol=1e-4)
    check("vander", np.ones((2, 2), np.float32))
    check("vander", [1, 2])
    check("poly", ints(1, 2, 3))
    check("poly", np.asarray([1j, -1j, 2], np.complex64))
    check("poly", floats())
    check("poly", 3)
    check("poly", np.ones((2, 3), np.float32))
    check("poly", floats([1, 2], [3, 4]), rtol=1e-5)


def test_roots():
    for p in (ints(1, -3, 2), ints(0, 0, 1, -3, 2), ints(0, 0), ints(5), floats(), 3):
        check("roots", p, rtol=1e-5)
    check("roots", np.ones((2, 2), np.float32))
    assert sorted(jnp.roots(ints(1, -3, 2, 0, 0)).real.round(4).tolist()) == [0, 0, 1, 2]
    for p in (ints(1, -3, 2), ints(0, 0, 0)):
        check("roots", p, strip_zeros=False, rtol=1e-5)
    assert str(jnp.roots(ints(0, 1, -3, 2), strip_zeros=False).real.round(3).sort().tolist()) == "[1.0, 2.0, nan]"
    with pytest.raises(addax.errors.ConcretizationTypeError, match="strip_zeros=False"):
        addax.jit(jnp.roots)(floats(1, 2, 3))
    traced = addax.jit(lambda p: jnp.roots(p, strip_zeros=False))(floats(0, 1, -3, 2))
    np.testing.assert_allclose(np.sort(np.asarray(traced)[:2].real), [1, 2], rtol=1e-5)


@batched
def test_polyfit(check):
    x, y = np.arange(6, dtype=np.float32), np.arange(6, dtype=np.float32) ** 2 + sample("float32", 6)
    for deg in (0, 1, 2, -1):
        check("polyfit", x, y, deg, rtol=2e-4)
    check("polyfit", x, np.stack([y, 2 * y], 1), 1, cov=True, rtol=1e-3)
    check("polyfit", x, y, 2, cov=True, rtol=1e-3)
    check("polyfit", x, y, 2, cov="unscaled", rtol=1e-3)
    check("polyfit", x, y, 1, w=x + 1, rtol=1e-3)
    check("polyfit", x, y, 2, rcond=0.1, rtol=1e-3)
    check("polyfit", x[:, None], y, 1)
    check("polyfit", x, y[:3], 1)
    check("polyfit", x[:3], y[:3], 2, cov=True)
    check("polyfit", x, y, 2, w=y[:2])
    check("polyfit", floats(), floats(), 1)
    check("polyfit", x, y[:, None, None], 1)


def test_polyfit_in_full():
    x, y = np.arange(6, dtype=np.float32), np.arange(6, dtype=np.float32) ** 2 + sample("float32", 6)
    check("polyfit", x, y, 2, full=True, rtol=1e-4)
    fit = jnp.polyfit(jnp.arange(5), jnp.arange(5) * 2 + 1, 1)  # JAX refuses integers
    np.testing.assert_allclose(fit, [2, 1], rtol=1e-4, atol=1e-5)


def test_convolutions_stay_weak():
    x = jnp.full(4, 2.0)
    assert x.weak_type and jnp.convolve(x, x).weak_type and jnp.correlate(x, x).weak_type


def test_derivatives():
    x = jnp.array([1.0, 2.0, 3.0])
    assert addax.grad(lambda p: jnp.polyval(p, 2.0))(x).tolist() == [4, 2, 1]
    assert addax.vmap(addax.grad(jnp.polyval, 1), (None, 0))(x, jnp.array([0.0, 1.0])).tolist() == [2, 4]
    assert addax.grad(lambda a: jnp.convolve(a, x).sum())(jnp.ones(2)).tolist() == [6, 6]
    assert addax.vmap(lambda v: jnp.convolve(x, v))(jnp.eye(2)).tolist() == [[1, 2, 3, 0], [0, 1, 2, 3]]
    assert abs(addax.grad(lambda b: jnp.kaiser(5, b).sum())(2.0) + 0.7) < 0.2
    with pytest.raises(addax.errors.ConcretizationTypeError, match="M argument of hanning"):
        addax.jit(jnp.hanning)(3)
