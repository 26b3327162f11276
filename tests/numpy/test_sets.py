"""unique and its kin, and the functions on sets, against JAX: with size= in compiled programs, without eagerly."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Weak, batched, check, sample

import addax
import addax.numpy as jnp

A, B = np.asarray([3, 1, 2, 1, 3], np.int32), np.asarray([2, 5, 1, 5], np.int32)
NANS = np.asarray([np.nan, 1, np.nan, 0], np.float32)
ROWS = np.asarray([[1, 2], [0, 5], [1, 2]], np.int32)
EMPTY = np.zeros(0, np.int32)
RETURNS = {"return_index": True, "return_inverse": True, "return_counts": True}
SETS = ["intersect1d", "setdiff1d", "setxor1d", "union1d"]


@batched
def test_unique_sized(check):
    for size in (5, 3, 7):
        check("unique", A, size=size, **RETURNS)
        check("unique", A, size=size, fill_value=-9, **RETURNS)
        check("unique", ROWS, axis=0, size=size, **RETURNS)
        check("unique", ROWS, axis=1, size=size, fill_value=7, **RETURNS)
    check("unique", A, size=2, return_index=True)
    check("unique", A, size=0, return_inverse=True)
    check("unique", ROWS, axis=0, size=4, fill_value=np.asarray([7, 8], np.int32))
    check("unique", NANS, size=6, **RETURNS)
    check("unique", NANS, size=6, equal_nan=False, **RETURNS)
    check("unique", NANS.reshape(2, 2), axis=0, size=2)
    for dtype in ("bool", "uint8", "float16", "complex64"):
        check("unique", sample(dtype, (3, 4)), size=5, **RETURNS)
    check("unique", EMPTY, size=2)
    check("unique", Weak(3), size=2)
    check("unique", A, size=2, axis=3)
    check("unique", [1], size=1)
    for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
        check(name, A.reshape(5, 1), size=5)
        check(name, NANS, size=5, fill_value=2)


def test_unique():
    for x in (A, ROWS, NANS, EMPTY, np.zeros((0, 2), np.float32), Weak(3), Weak(True)):
        check("unique", x, **RETURNS)
    for axis in (0, 1, -1):
        check("unique", ROWS, axis=axis, **RETURNS)
    check("unique", np.zeros((0, 2), np.float32), axis=0, **RETURNS)
    check("unique", np.zeros((2, 0), np.float32), axis=0, **RETURNS)
    check("unique", np.asarray([-0.0, 0.0], np.float32))
    check("unique", NANS, equal_nan=False)
    check("unique_all", NANS)
    assert jnp.unique_all(jnp.array([1, 1])).counts.tolist() == [2]


def test_counts_of_a_cut_result():
    """JAX counts everything behind the last result as equal to it."""
    values, counts = jnp.unique(jnp.array([3, 1, 2, 1, 3]), return_counts=True, size=2)
    assert values.tolist() == [1, 2] and counts.tolist() == [2, 1]


@pytest.mark.parametrize("name", SETS)
@batched
def test_sets_sized(check, name):
    for size in (6, 1):
        check(name, A, B, size=size)
    check(name, A, B, size=6, fill_value=-9)
    check(name, A, B.astype(np.float32), size=6)
    check(name, ROWS, NANS, size=9, fill_value=-1)
    check(name, A, EMPTY, size=4)
    check(name, EMPTY, B, size=4)
    check(name, EMPTY, EMPTY, size=2)
    check(name, NANS, NANS, size=5)
    check(name, Weak(3), Weak(4.0), size=2)
    check(name, sample("uint8", 20), sample("uint8", 20, seed=3), size=20)
    check(name, [1], B, size=2)
    if name != "union1d":
        check(name, np.asarray([3, 1], np.int32), np.asarray([1, 2], np.int32), True, size=4)
    if name == "intersect1d":
        check(name, A, B, return_indices=True, size=4)
        check(name, ROWS, B, return_indices=True, size=4, fill_value=-3)
        check(name, np.asarray([3, 1], np.int32), np.asarray([1, 2], np.int32), True, True, size=3)


@pytest.mark.parametrize("name", SETS)
def test_sets(name):
    for a, b in ((A, B), (ROWS, ROWS), (A, EMPTY), (EMPTY, EMPTY), (NANS, NANS)):
        check(name, a, b)
    check(name, 3, 4)
    if name == "intersect1d":
        check(name, A, B, return_indices=True)
        check(name, sample("int32", 30), sample("int32", 20, seed=4), return_indices=True)
    if name == "setdiff1d":
        check(name, A, B, True)
    with pytest.raises(addax.errors.ConcretizationTypeError, match=f"{name}.*give the argument size="):
        addax.jit(getattr(jnp, name))(A, B)


@batched
def test_isin(check):
    many = sample("int32", 40)
    for method in ("auto", "compare_all", "binary_search", "sort"):
        check("isin", A, B, method=method)
        check("isin", ROWS, many, invert=True, method=method)
        check("isin", NANS, NANS, method=method)
        check("isin", sample("float32", 20), sample("float32", 30, seed=5), method=method)
    check("isin", A, B, method="unknown")
    check("isin", A, np.zeros(0, np.float32))
    check("isin", EMPTY, B)
    check("isin", ROWS, 2)
    check("isin", 3, 3)
    check("isin", A, 1j)
    check("isin", sample("complex64", 20), sample("complex64", 30))
    check("isin", sample("float16", 20), sample("int8", 30))
    check("isin", A, [1])


def test_needs_size():
    with pytest.raises(addax.errors.ConcretizationTypeError, match=r"ar argument of unique.*size="):
        addax.jit(jnp.unique)(A)
    with pytest.raises(ValueError, match="size must be non-negative"):
        jnp.unique(A, size=-1)


def test_sized_results_of_empty_arrays():
    """JAX forgets the size of some of these, or fails."""
    values, index = jnp.unique(EMPTY, return_index=True, size=2, fill_value=3)
    assert values.tolist() == [3, 3] and index.shape == (2,)
    assert jnp.unique(jnp.zeros((2, 0)), axis=0, size=3).shape == (3, 0)
    common = jnp.intersect1d(A, EMPTY, return_indices=True, size=2)
    assert [x.tolist() for x in common] == [[0, 0], [5, 5], [0, 0]]


def test_derivative():
    grad = addax.grad(lambda x: (jnp.unique(x, size=3) * jnp.arange(3.0)).sum())(jnp.array([5.0, 1.0, 3.0]))
    assert grad.tolist() == [2, 0, 1]
    batch = addax.vmap(lambda x: jnp.unique(x, size=3, fill_value=0))(jnp.array([[1, 1, 2], [5, 4, 3]]))
    assert batch.tolist() == [[1, 2, 0], [3, 4, 5]]
