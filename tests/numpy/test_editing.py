"""insert, delete, resize, trim_zeros, put, place, put_along_axis, fill_diagonal against JAX."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Weak, batched, check, sample

import addax
import addax.numpy as jnp

ROW = np.arange(5, dtype=np.int32)
TABLE = np.arange(6, dtype=np.int32).reshape(2, 3)


def ints(*values) -> np.ndarray:
    return np.asarray(values, np.int32)


@batched
def test_insert(check):
    for obj in (
        2,
        -1,
        0,
        5,
        9,
        -9,
        ints(2, 2),
        ints(0, 4),
        ints(-1, 0),
        ints(-7, 6),
        slice(1, None, 2),
        np.uint8([3, 1]),
    ):
        check("insert", ROW, obj, 7)
        check("insert", ROW, obj, np.asarray(2.5, np.float32))
    check("insert", ROW, ints(3, 1), ints(7, 8))
    check("insert", ROW, 1, ints(7, 8, 9))
    check("insert", ROW, ints(1), ints(7, 8, 9))
    check("insert", ROW, ints(), 1)
    check("insert", TABLE, 1, 7)
    for axis in (0, 1, -1):
        check("insert", TABLE, 1, 7, axis)
        check("insert", TABLE, ints(0, 1), 7, axis)
        check("insert", TABLE, slice(0, 2), 7, axis)
    check("insert", TABLE, 1, ints(7, 8), axis=1)
    check("insert", TABLE, 1, ints(7, 8, 9), axis=0)
    check("insert", TABLE, ints(1), ints([7], [8]), axis=1)
    check("insert", TABLE, ints(0, 1), ints(7, 8), axis=1)
    check("insert", TABLE, 0, ints([1, 2], [3, 4]), axis=1)
    check("insert", sample("float32", (2, 3, 2)), ints(1, 1), sample("float32", (2, 2, 2)), axis=1)
    check("insert", np.zeros(0, np.float32), 0, ints(1, 2))
    check("insert", Weak(3), 0, 1)
    check("insert", ROW, np.asarray([True, False]), 1)
    check("insert", ROW, 1.5, 1)
    check("insert", ROW, [1], 1)
    check("insert", ROW, 1, [1])


@batched
def test_delete(check):
    for obj in (1, -1, 9, -7, 1.5, [1], slice(1, 3), slice(None, None, -2), slice(4, 0, -3)):
        check("delete", ROW, obj)
    for axis in (0, 1, -1, None):
        check("delete", TABLE, 1, axis)
        check("delete", TABLE, slice(0, 1), axis)
    check("delete", ROW, ints(1, -2), assume_unique_indices=True)
    check("delete", TABLE, ints(2, 0), 1, assume_unique_indices=True)
    check("delete", ROW, ints(1, -2))
    check("delete", ROW, np.ones(5, bool), assume_unique_indices=True)
    check("delete", ROW, ints(1), 3, assume_unique_indices=True)


def test_delete_concrete():
    for obj in (ints(1, 1, -1), ints(), ints([1, 2]), ints(7, 1), np.asarray([True, False, True, False, False]),
                np.asarray([True, False]), np.uint8([0, 4])):  # fmt: skip
        check("delete", ROW, obj)
    check("delete", np.arange(100, dtype=np.int32), np.arange(0, 100, 3))
    with pytest.raises(addax.errors.ConcretizationTypeError, match="assume_unique_indices=True"):
        addax.jit(jnp.delete)(ROW, ints(1, 2))


@batched
def test_resize(check):
    for shape in ((3, 3), 4, (0,), (2, 0), (), 7, -1, (2, -1)):
        check("resize", TABLE, shape)
    check("resize", np.zeros(0, np.float32), 4)
    check("resize", Weak(2.5), (2, 2))
    check("resize", [1], 2)


def test_trim_zeros():
    x = ints(0, 0, 1, 0, 2, 0)
    for trim in ("fb", "f", "b", "B", "FB"):
        check("trim_zeros", x, trim)
        check("trim_zeros", ints(0, 0), trim)
    for axis in (None, 0, 1, (0, 1)):
        check("trim_zeros", ints([0, 0, 0], [0, 1, 0]), axis=axis)
    check("trim_zeros", [0, 1])
    check("trim_zeros", np.asarray([0, np.nan, 0], np.float32))
    with pytest.raises(addax.errors.ConcretizationTypeError, match="filt argument of trim_zeros"):
        addax.jit(jnp.trim_zeros)(x)


@batched
def test_put(check):
    for mode in (None, "wrap", "clip", "raise"):
        check("put", TABLE, ints(0, 7, -1), ints(9, 8), mode, inplace=False)
        check("put", TABLE, ints([1, 2]), ints(3, 4, 5), mode, inplace=False)
    check("put", TABLE, 1, 5)
    check("put", TABLE, 1, 2.7, inplace=False)
    check("put", TABLE, ints(), 2, inplace=False)
    check("put", TABLE, ints(1), np.zeros(0, np.float32), inplace=False)
    check("put", TABLE, 1.0, 5, inplace=False)
    check("put", TABLE.astype(np.float32), ints(1, 4), sample("float32", 2), inplace=False)


@batched
def test_put_along_axis(check):
    check("put_along_axis", TABLE, ints([1], [0]), 9, 1, inplace=False)
    check("put_along_axis", TABLE, ints([1, 0, -1]), ints(7, 8, 9), 0, inplace=False)
    check("put_along_axis", TABLE, ints([1, 5], [2, 0]), ints([8], [9]), 1, inplace=False)
    check("put_along_axis", TABLE, ints([1, 5], [2, 0]), ints([8], [9]), 1, inplace=False, mode="clip")
    check("put_along_axis", TABLE, ints(1, 0), 9, None, inplace=False)
    check("put_along_axis", TABLE, ints(1, 0), 9, 1, inplace=False)
    check("put_along_axis", TABLE, ints([1, 5]), ints([8], [9]), 1, inplace=False)
    check("put_along_axis", TABLE, ints([1], [0]), 9, 1)


@batched
def test_place(check):
    mask = TABLE > 2
    check("place", TABLE, mask, ints(7, 8), inplace=False)
    check("place", TABLE, mask, 2.5, inplace=False)
    check("place", TABLE, np.ones(6, bool), ints(7, 8, 9, 10), inplace=False)
    check("place", TABLE, TABLE, 1, inplace=False)
    check("place", TABLE, np.ones(3, bool), 1, inplace=False)
    check("place", TABLE, mask, ints(), inplace=False)
    check("place", TABLE, mask, 1)


@batched
def test_fill_diagonal(check):
    square, tall, cube = np.zeros((3, 3), np.float32), np.zeros((5, 2), np.int32), np.zeros((2, 2, 2), np.float32)
    check("fill_diagonal", square, 9, inplace=False)
    for values in (ints(1, 2, 3, 4, 5), ints(1, 2), ints([1, 2], [3, 4]), np.asarray(1.5, np.float32)):
        check("fill_diagonal", square, values, inplace=False)
        check("fill_diagonal", tall, values, inplace=False)
        check("fill_diagonal", cube, values, inplace=False)
    check("fill_diagonal", square, 1, wrap=True, inplace=False)
    check("fill_diagonal", square, 1)
    check("fill_diagonal", np.zeros((2, 2, 3)), 1, inplace=False)
    check("fill_diagonal", np.zeros(3), 1, inplace=False)


def test_derivatives():
    x = jnp.arange(4.0)
    assert addax.grad(lambda x: (jnp.insert(x, 1, 5.0) * jnp.arange(5.0)).sum())(x).tolist() == [0, 2, 3, 4]
    assert addax.grad(lambda v: (jnp.insert(x, jnp.array([1, 3]), v) * jnp.arange(6.0)).sum())(x[:2]).tolist() == [1, 4]
    assert addax.grad(lambda x: (jnp.delete(x, 1) * jnp.arange(3.0)).sum())(x).tolist() == [0, 0, 1, 2]
    put = addax.grad(lambda x, v: (jnp.put(x, jnp.array([1, 2]), v, inplace=False) * x).sum(), (0, 1))(x, x[:2])
    assert put[1].tolist() == [1, 2]
    batch = addax.vmap(lambda i: jnp.insert(x, i, 9.0))(jnp.array([0, 4]))
    assert batch.tolist() == [[9, 0, 1, 2, 3], [0, 1, 2, 3, 9]]
