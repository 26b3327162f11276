"""bincount, histograms, packbits, logspace, geomspace, cross, astype, copy against JAX."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from oracle import Weak, batched, check, sample

import addax
import addax.numpy as jnp

X = np.asarray([1.0, 2.0, 2.5, 4.0, 4.0, 7.0], np.float32)
Y = X[::-1].copy()
INTS = X.astype(np.int32)


def ints(*values) -> np.ndarray:
    return np.asarray(values, np.int32)


@batched
def test_bincount(check):
    at = ints(0, 2, 2, -5, 1, 9)
    for length in (0, 3, 12):
        check("bincount", at, length=length)
        for dtype in ("int8", "float16", "complex64", "bool"):
            check("bincount", at, sample(dtype, 6), length=length)
    check("bincount", np.uint8([1, 2]), length=3)
    check("bincount", np.asarray([True, False]), length=3)
    check("bincount", at, np.ones(3, np.float32), length=3)
    check("bincount", X, length=3)
    check("bincount", at.reshape(2, 3), length=3)
    check("bincount", 3, length=3)
    check("bincount", [1, 2], length=3)


def test_bincount_concrete():
    for x in (ints(0, 2, 2, 5), ints(), ints(-1, 2)):
        check("bincount", x)
        check("bincount", x, minlength=4)
    check("bincount", ints(1), minlength=-1)
    with pytest.raises(addax.errors.ConcretizationTypeError, match=r"x argument of bincount.*length="):
        addax.jit(jnp.bincount)(ints(1))


@batched
def test_histogram(check):
    for x in (X, INTS, X.astype(np.float16), X > 2, X.reshape(2, 3)):
        check("histogram", x, 2)
        check("histogram", x, np.asarray([1, 2, 4, 6], np.float32))
    edges = np.asarray([0, 1.5, 3], np.float32)
    for options in ({}, {"weights": X}, {"weights": INTS}, {"density": True}, {"weights": X, "density": True}):
        check("histogram", X, 3, **options)
        check("histogram", X, 4, range=(0, 5), **options)
        check("histogram", X, edges, **options)
    check("histogram", X)
    check("histogram", np.zeros(0, np.float32), 3)
    check("histogram", np.zeros(0, np.float32), 3, range=(0, 1))
    check("histogram", np.asarray([2.0, 2.0], np.float32), 3)
    check("histogram", np.asarray([1, np.nan, 2], np.float32), edges)
    check("histogram", X, 3, weights=np.ones(2, np.float32))
    check("histogram", X, 3, range=[1, 2, 3])
    check("histogram", X, 0)
    check("histogram", X, np.asarray([1.0], np.float32))
    check("histogram", X, 2.5)
    check("histogram", [1.0], 3)
    check("histogram", X, [1, 2, 3])
    for x in (X, INTS):
        check("histogram_bin_edges", x)
        check("histogram_bin_edges", x, 3)
        check("histogram_bin_edges", x, 3, (0, 1))
    check("histogram_bin_edges", X, ints(3, 1, 2))
    check("histogram_bin_edges", X, "auto")
    check("histogram_bin_edges", np.zeros(0, np.float32), 2)


@batched
def test_histograms_of_points(check):
    edges = np.asarray([1, 3, 5], np.float32)
    for bins in (2, (2, 3), edges, [edges, 2]):
        check("histogram2d", X, Y, bins)
        check("histogram2d", X, Y, bins, weights=X)
        check("histogram2d", X, Y, bins, density=True)
    check("histogram2d", X, Y, 2, range=((0, 5), None))
    check("histogram2d", INTS, INTS, 3)
    check("histogram2d", X, Y[:2], 2)
    points = np.stack([X, Y], 1)
    for bins in (2, (2, 3), [edges, 3], (2, 3, 4)):
        check("histogramdd", points, bins)
        check("histogramdd", points, bins, density=True)
    check("histogramdd", sample("float32", (10, 3)), (2, 3, 4), weights=sample("float32", 10))
    check("histogramdd", points, 2, range=((0, 5), None))
    check("histogramdd", points, 2, range=((0, 1),))
    check("histogramdd", points, 2, weights=np.ones(3, np.float32))
    check("histogramdd", X, 2)
    check("histogramdd", points, 2.0)
    check("histogramdd", np.zeros((0, 2), np.float32), 2)


def test_histogram_of_a_reversed_range():
    with pytest.raises(ValueError, match="high must be larger than low"):
        jnp.histogram(X, 3, range=(5, 0))  # JAX returns zeros
    counts, _ = addax.vmap(lambda x: jnp.histogram(x, 2, range=(0, 1)))(jnp.array([[0.1, 0.2], [0.6, 1.0]]))
    assert counts.tolist() == [[2, 0], [0, 2]]


@batched
def test_bits(check):
    for order in ("big", "little", "other"):
        for dtype in ("bool", "int8", "int32"):
            x = sample(dtype, (3, 11))
            check("packbits", x, bitorder=order)
            check("packbits", x, 0, order)
            check("packbits", x, -1, order)
        x = sample("uint8", (2, 3))
        for count in (None, 0, 5, 40, -3, -100):
            check("unpackbits", x, count=count, bitorder=order)
            check("unpackbits", x, 1, count, order)
    check("packbits", X)
    check("packbits", np.zeros((2, 0), bool), 1)
    check("packbits", True)
    check("packbits", INTS, 2)
    check("packbits", [1])
    check("unpackbits", INTS)
    check("unpackbits", np.uint8(5))
    check("unpackbits", np.zeros(0, np.uint8))


@batched
def test_spaces(check):
    for options in ({}, {"endpoint": False}, {"dtype": "int32"}, {"dtype": "float16"}):
        check("logspace", 0, 2, 3, base=2, rtol=2e-6, **options)
        check("geomspace", 1.0, 200.0, 7, rtol=2e-5, **options)
        if options != {"dtype": "int32"}:
            check("geomspace", -1, -8, 4, rtol=2e-5, **options)
    for num in (0, 1, 2, -1):
        check("logspace", 1.5, 2, num, rtol=2e-5)
        check("geomspace", 1.5, 2, num, rtol=2e-5)
    both = np.asarray([1, 2], np.float32)
    for axis in (0, 1, -1):
        check("logspace", both, 3, 3, axis=axis, rtol=2e-5)
        check("geomspace", both, 16.0, 3, axis=axis, rtol=2e-5)
    check("logspace", 0, 2, 2, base=both)
    check("logspace", 0, 1j, 3, rtol=2e-5)
    check("geomspace", 1j, 8j, 4, rtol=2e-5)
    check("geomspace", 1, -8, 4)
    check("geomspace", 0, 8, 3)
    check("logspace", [0], 2, 3)


@batched
def test_cross(check):
    three, two = ints(1, 2, 3), ints(4, 5)
    for a in (three, two):
        for b in (three, two):
            check("cross", a, b)
            check("cross", a.astype(np.complex64), b.astype(np.int8))
    check("cross", sample("float32", (2, 3)), three)
    check("cross", sample("float32", (2, 3, 4)), sample("float32", (2, 4, 3)), axisa=1, axisb=2, axisc=0)
    check("cross", sample("float32", (3, 2)), sample("float32", (3, 2), seed=1), axis=0)
    check("cross", sample("float32", (2, 3)), sample("float32", (4, 3)))
    check("cross", np.ones(4), np.ones(4))
    check("cross", 3, 4)
    check("cross", [1, 2, 3], three)


@batched
def test_conversions(check):
    for x in (1.5, Weak(1.5), X, np.asarray([1j, 2], np.complex64), [1]):
        for dtype in (int, None, "float16", bool, "uint8"):
            check("astype", x, dtype)
        check("astype", x, "float32", copy=True)
        check("copy", x)
    check("copy", X, "F")


def test_64_bit_types():
    """The dtypes of results that do not follow from those of the arguments."""
    points = np.stack([X, Y], 1)
    both = np.asarray([1, 2], np.float32)
    with addax.enable_x64(True), jax.enable_x64(True):
        check("histogramdd", points, 2, density=True)
        check("bincount", ints(0, 2, 2), length=3)
        check("logspace", 0, 2, 2, base=both)
        check("tri", 2)
        check("argpartition", ints(3, 1, 2), 1)
        check("nonzero", ints(0, 1), size=1)
        check("searchsorted", ints(1, 2), ints(1))
        check("indices", (2, 2))
        check("unique", ints(3, 1, 3), return_index=True, return_inverse=True, return_counts=True)
