"""Grids, index expressions and index arrays against JAX."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import batched, check

import addax
import addax.numpy as jnp

MATRIX = np.arange(6, dtype=np.int32).reshape(2, 3)
ROW = np.arange(3, dtype=np.int32)


def test_grids():
    for name in ("mgrid", "ogrid"):
        for key in (np.s_[0:3], np.s_[0:2, 0:3:2], np.s_[0:1:3j, 0:2], np.s_[:3, :2.0], np.s_[0:2, 1:2, 5:1:-2]):
            check(f"{name}.__getitem__", key)
        check(f"{name}.__getitem__", 1)
        with pytest.raises(TypeError, match="takes slices"):
            getattr(jnp, name)[0:2, 1]
    for shape in ((2, 2), (2, 3), (3,), (), (2, 0)):
        check("indices", shape)
        check("indices", shape, sparse=True)
    check("indices", (2, 3), np.float32)
    check("indices", (2, 3), bool)
    check("indices", 3)


def test_joins():
    for name in ("r_", "c_"):
        for key in (
            (ROW, ROW), (MATRIX, MATRIX), np.s_[1:4], np.s_[1:4, 0, 2.5], np.s_[0:1:5j], (1j, 2), ("r", [1, 2]),
            ("c", [1, 2]), ("0,2", [1, 2], [3, 4]), ("-1,2,0", [1, 2], [3, 4]), ("1", MATRIX, MATRIX),
            ("0,2,-1", [1, 2]), (1, "r"), ("unknown", 1), MATRIX, ([1, 2], 3.0), (ROW, ROW.astype("int8")),
            ("0,3,-2", ROW), ("0,3,1", ROW), ("0,3,0", ROW),
        ):  # fmt: skip
            check(f"{name}.__getitem__", key)
    for directive in ("0,3,1", "0,3,0", "0,4,1", "0,4,-2"):
        assert jnp.r_[directive, MATRIX].shape == np.r_[directive, MATRIX].shape
    with pytest.raises(ValueError, match="cannot begin at 5"):
        jnp.r_["0,3,5", ROW]
    assert jnp.s_[1:2, ...] == np.s_[1:2, ...] and jnp.index_exp[0] == (0,)


@batched
def test_index_arrays(check):
    check("ix_", np.asarray([0, 2], np.int32), ROW)
    check("ix_", np.asarray([1.5], np.float32))
    check("ix_", np.zeros(0, np.float32))
    check("ix_")
    check("ix_", MATRIX)
    check("ix_", np.asarray([True, False]))
    check("ix_", [1, 2])
    for k in (-1, 0, 1):
        check("tril_indices_from", MATRIX, k)
        check("triu_indices_from", MATRIX, k)
    for x in (MATRIX, ROW, np.ones((2, 2, 2), np.float32)):
        check("diag_indices_from", x)
        check("tril_indices_from", x)
    check("diag_indices", -1)
    check("diag_indices", 2, 0)


def test_mask_indices():
    for size in (None, 5, 2):
        got = jnp.mask_indices(3, jnp.triu, 1, size=size)
        rows, columns = np.triu_indices(3, 1)
        want = [np.resize(np.append(i, [0] * 9), size or 3) for i in (rows, columns)]
        assert [i.tolist() for i in got] == [i.tolist() for i in want]


@batched
def test_flat_positions(check):
    at = (np.asarray([0, 3], np.int32), np.asarray([1, -4], np.int32))
    for mode in ("wrap", "clip", "unknown"):
        for order in ("C", "F", "unknown"):
            check("ravel_multi_index", at, (2, 3), mode, order)
    check("ravel_multi_index", (np.float32(1.5), 2), (2, 3), "wrap")
    check("ravel_multi_index", (np.int8([0, 1]), np.int8([1, 2])), (2, 3), "wrap")
    check("ravel_multi_index", at, (2, 3), "wrap", dtype="int8")
    check("ravel_multi_index", at, (2**20, 2**20), "wrap")
    for shape in ((2, 3), 6, (2**20, 2**20), (), (7,)):
        check("unravel_index", np.asarray([5, -1, 7, -9], np.int32), shape)
        check("unravel_index", 3, shape)
    check("unravel_index", np.int8([1, 2]), 6)
    check("unravel_index", [1, 2], (2, 3))


def test_flat_positions_are_checked():
    with pytest.raises(TypeError, match="unravel_index indices must be of integer type"):
        jnp.unravel_index(1.5, (2, 3))  # JAX returns 1.5
    with pytest.raises(ValueError, match="2 index arrays for 1 dimensions"):
        jnp.ravel_multi_index((0, 1), (2,))
    check("ravel_multi_index", (np.asarray([0, 1]), np.asarray([1, 2])), (2, 3))
    check("ravel_multi_index", (0, 5), (2, 3))
    check("ravel_multi_index", np.asarray([0, 1]), (2, 3))
    check("ravel_multi_index", (0, 1), (2, 3), dtype="int8")
    with pytest.raises(addax.errors.ConcretizationTypeError, match="mode='wrap' or mode='clip'"):
        addax.jit(lambda i: jnp.ravel_multi_index(i, (2, 3)))((0, 1))
