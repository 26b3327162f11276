"""Shapes, joins, triangles, picking and sorting against JAX: dtypes, weak types, axes, and kinds of error."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Weak, batched, check, sample

import addax

X = sample("float32", (2, 3, 4))
M = np.arange(6, dtype=np.int32).reshape(2, 3)
V = np.asarray([3, 1, 2], np.int32)
HALF = np.asarray([1.5, 2.5], np.float16)


def ints(*values) -> np.ndarray:
    return np.asarray(values, np.int32)


@batched
def test_axes(check):
    for axis in (0, -1, 2, (0, 1), 5, None, [0]):
        check("flip", X, axis)
        check("expand_dims", M, axis)
        check("squeeze", X[:1, :, :1], axis)
        check("roll", X, 2, axis)
    for axes in (None, (1, 0, 2), (-1, 0, 1), (0, 0, 1), (0, 1), [2, 1, 0]):
        check("transpose", X, axes)
    for source, target in ((0, 2), ((0, 1), (1, 0)), (-1, 0), (0, (0, 1)), (5, 0)):
        check("moveaxis", X, source, target)
        if isinstance(source, int) and isinstance(target, int):
            check("swapaxes", X, source, target)
            check("rollaxis", X, source, target)
    for k in (-1, 0, 1, 2, 3, 6):
        check("rot90", X, k)
        check("rot90", X, k, (2, 0))
    check("rot90", X, 1, (1, 1))
    check("rot90", V)
    for shift, axis in (
        (1, None),
        (-5, 1),
        ((1, 2), (0, 1)),
        ((1, 2), 0),
        (1, (0, 1)),
        ((1, 2, 3), (0, 1)),
        (ints(1, 2), (0, 1)),
    ):
        check("roll", X, shift, axis)
    check("fliplr", M)
    check("flipud", M)
    check("fliplr", V)
    check("matrix_transpose", X)
    check("matrix_transpose", V)
    for x in (3, Weak(2.5), V, M, X, np.zeros((0,), np.float32)):
        for name in ("atleast_1d", "atleast_2d", "atleast_3d", "ravel"):
            check(name, x)
    check("atleast_2d", 1, V)
    check("ravel", X, "F")
    check("ravel", X, "K")


@batched
def test_broadcasts(check):
    for shape in ((4, 2, 3), (2, 3), (1, 2, 3), (3,), (2, 4), 3):
        check("broadcast_to", M, shape)
    check("broadcast_to", 2.5, (2,))
    check("broadcast_arrays", M, 1.5, ints([1], [2]))
    check("broadcast_arrays", M, V[:2])
    check("broadcast_arrays")
    check("broadcast_shapes", (2, 1), (3,), ())
    check("broadcast_shapes", (2,), (3,))


@batched
def test_joins(check):
    for name in ("concatenate", "stack", "vstack", "hstack", "dstack", "column_stack"):
        check(name, [V, V])
        check(name, [M, M])
        check(name, (V, HALF.astype(np.float32)))
        check(name, [M, V])
        check(name, M)
        if name != "hstack":
            check(name, [])
        check(name, [1, 2.5])
        check(name, [Weak(1), Weak(2.0)])
        check(name, [V])
        check(name, [V, [1, 2, 3]])
        check(name, 3)
    for axis in (0, 1, -1, 2, None):
        check("concatenate", [M, M], axis)
        check("stack", [M, M.astype(np.int8)], axis)
        check("append", M, M, axis)
        if axis is not None:
            check("unstack", M, axis=axis)
    check("concatenate", [M, HALF[:0]], None)
    check("concatenate", [V, V], dtype="int8")
    check("stack", [V, V], dtype="float16")
    check("append", V, 2.5)
    check("append", 1, 2)
    check("append", M, V, 0)
    check("unstack", 3)
    for blocks in ([[M, M], [M, M]], [V, V], [[V], [V]], M, [1, 2.5], [[M, ints([1], [2])], [np.zeros((1, 4), np.float32)]],
                   [X, X], [[1, 2], 3]):  # fmt: skip
        check("block", blocks)


@batched
def test_repeats(check):
    for axis in (None, 0, 1, -1, 2):
        for repeats in (2, 0, np.int64(3)):
            check("repeat", M, repeats, axis)
    for reps in (2, (2,), (1, 2), (2, 1, 2), 0, (), (0, 1)):
        check("tile", M, reps)
        check("tile", 3, reps)
    check("repeat", 2.5, 3)
    check("repeat", [1, 2], 2)
    check("tile", [1, 2], 2)
    check("repeat", V, ints(1, 0, 2), total_repeat_length=3)
    check("repeat", V, ints(1, 0, 2), total_repeat_length=5)
    check("repeat", V, ints(2, 2, 2), total_repeat_length=2)
    check("repeat", M, ints(1, 2), axis=0, total_repeat_length=4)
    check("repeat", V, 2, total_repeat_length=4)


def test_concrete_repeats():
    check("repeat", V, ints(1, 0, 2))
    check("repeat", M, ints(1, 2), 0)
    check("repeat", M, ints(1, 2), 1)


@batched
def test_triangles(check):
    for k in (-2, 0, 1, 5):
        for name in ("tril", "triu", "diag", "diagonal", "trace"):
            check(name, M, k)
        check("tril", X, k)
        check("diag", V, k)
        check("diagflat", M, k)
        check("tri", 3, 4, k)
        check("eye", 3, 4, k)
        check("tril_indices", 3, k, 4)
        check("triu_indices", 3, k, 4)
    for name in ("tril", "triu", "diag", "diagonal"):
        check(name, sample("bool", (3, 3)))
        check(name, V)
        check(name, 3)
    check("tri", 3, dtype="int8")
    check("eye", 3, dtype="bool")
    check("eye", -1)
    check("diagonal", X, 1, 0, 2)
    check("trace", X, 0, 1, 2)
    check("trace", sample("int8", (3, 3)))
    check("trace", sample("bool", (3, 3)))
    check("diag_indices", 3, 3)
    for options in ({}, {"indexing": "ij"}, {"sparse": True}, {"indexing": "other"}, {"copy": False}):
        check("meshgrid", V, HALF, **options)
    check("meshgrid", M, V)
    check("meshgrid")


@batched
def test_picking(check):
    choices = [ints(1, 2, 3), ints(10, 20, 30)]
    for mode in ("wrap", "clip", "other"):
        check("choose", ints(0, 1, 5), choices, mode=mode)
        check("choose", ints(-1, 1, 0), np.stack(choices), mode=mode)
    condition = np.asarray([True, False, True])
    check("compress", condition, M, 1, size=2)
    check("compress", condition, M, size=3, fill_value=9)
    check("compress", M > 1, M, size=4)
    check("extract", M > 1, M, size=5, fill_value=-1)
    for size in (0, 2, 6):
        check("nonzero", M % 2, size=size)
        check("nonzero", M % 2, size=size, fill_value=7)
        check("argwhere", M % 2, size=size, fill_value=-1)
        check("flatnonzero", M % 2, size=size)
        check("where", M % 2, size=size)
    check("nonzero", 3, size=1)
    check("argwhere", 3, size=1)
    check("select", [M > 1, M > 3], [M, 2.5], 7)
    check("select", [M > 1], [M, M])
    check("select", [], [])
    check("clip", M, 1, 3)
    check("where", M > 1, M, 2.5)


def test_concrete_picking():
    for name in ("nonzero", "argwhere", "flatnonzero"):
        check(name, M % 2)
        check(name, sample("float32", (3, 0)))
    check("compress", np.asarray([True, False, True]), M, 1)
    check("compress", np.asarray([True, False]), V)
    check("extract", M > 1, M)
    check("choose", ints(0, 1), [ints(1, 2), ints(3, 4)])
    check("choose", ints(0, 2), [ints(1, 2), ints(3, 4)])
    check("argwhere", 3)


@batched
def test_sorting(check):
    for dtype in ("bool", "int8", "uint8", "float16", "float32", "complex64"):
        x = sample(dtype, (3, 5))
        for axis in (0, -1, None):
            check("sort", x, axis)
            check("argsort", x, axis)
            check("sort", x, axis, descending=True)
            check("argsort", x, axis, descending=True)
        check("sort_complex", x)
    nans = np.asarray([1, np.nan, -np.inf, np.nan, 0, -0.0, np.inf], np.float32)
    check("sort", nans)
    check("argsort", nans)
    check("argsort", nans, descending=True)
    check("lexsort", (ints(1, 1, 0), ints(3, 1, 2)))
    check("lexsort", M)
    check("lexsort", ())
    for axis in (0, 1, 2):
        check("partition", M[:, ::-1], 1, axis)
        check("argpartition", M[:, ::-1], 1, axis)
    check("partition", V, 5)
    check("sort", 3)
    check("argsort", Weak(2.0), None)
    for right in (False, True):
        check("digitize", sample("float32", (2, 3)), np.asarray([-1, 0.5, 1], np.float32), right)
        check("digitize", sample("float32", 3), np.asarray([1, 0.5, -1], np.float32), right)
        check("digitize", ints(1, 2), ints(1, 2, 3), right)
    check("digitize", 2.5, np.zeros(0, np.float32))
    check("digitize", 2.5, M)
    for side in ("left", "right", "other"):
        check("searchsorted", V[[1, 2, 0]], M, side)
        check("searchsorted", V, 2.5, side, sorter=ints(1, 2, 0))
    check("searchsorted", M, V)
    check("searchsorted", V[:0], V)


def test_like_functions_take_descriptions_of_arrays():
    described = addax.ShapeDtypeStruct((2, 3), np.float16)
    for name, args in [("zeros_like", ()), ("ones_like", ()), ("empty_like", ()), ("full_like", (3,))]:
        made = getattr(addax.numpy, name)(described, *args)
        assert (made.shape, made.dtype) == ((2, 3), np.float16)
    with pytest.raises(TypeError, match="zeros_like requires ndarray or scalar arguments, got <class 'list'>"):
        addax.numpy.zeros_like([1, 2])


def test_the_gradient_of_parts_is_their_concatenation():
    def f(x):
        a, b, c = addax.numpy.split(x, [2, 3], axis=1)
        return (a * 2).sum() + (b * c[:, :1]).sum()

    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    program = addax.make_jaxpr(addax.grad(f))(x)
    names = [e.primitive.name for e in program.eqns]
    assert names.count("split") == names.count("concatenate") == 1
    assert [len(e.outvars) for e in program.eqns if e.primitive.name == "split"] == [3]
    assert addax.grad(f)(x).tolist() == [[2, 2, 3, 2, 0, 0], [2, 2, 9, 8, 0, 0]]
