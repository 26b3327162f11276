"""The loop-nest IR: printing, checking, and what compiled nests compute."""

from __future__ import annotations

import numpy as np
import pytest
from nest_tools import TARGETS, flat, np_dtype, run

from addax.engines.cpu.loops import (
    Acc,
    Affine,
    Let,
    Lit,
    Load,
    Local,
    Loop,
    Nest,
    Param,
    Phi,
    Store,
    Sym,
    Update,
    While,
    print_nest,
)
from addax.engines.cpu.loops_check import NestError, validate

targets = pytest.mark.parametrize("target", TARGETS, ids=str)
SIZES = [0, 1, 2, 15, 16, 17, 31, 33, 64, 100, 257]


def ix(*terms, offset=0):
    return Affine(offset, terms)


def scale(name="scale", var="i"):
    body = (
        Load("a", "x", flat(var), "float32"),
        Let("b", "mul", ("a", Lit(2.0, "float32")), "float32"),
        Store("y", flat(var), "b"),
    )
    params = (Param("x", "float32"), Param("y", "float32", "out"))
    return Nest(name, params, 1, (Loop(var, Sym(0), body, "vector", True),))


def test_printed_form():
    assert str(scale()).splitlines() == [
        "nest scale(x: in float32, y: out float32) table 1",
        "  parallel vector i < s0",
        "    a: float32 = load x[i]",
        "    b: float32 = mul a 2.0:float32",
        "    store y[i] b",
    ]


def test_key_ignores_names_and_nothing_else():
    assert scale().key == scale("other", "j").key
    body = list(scale().body[0].body)
    body[1] = Let("b", "mul", ("a", Lit(2.5, "float32")), "float32")
    changed = Nest("scale", scale().params, 1, (Loop("i", Sym(0), tuple(body), "vector", True),))
    assert changed.key != scale().key
    assert print_nest(scale(), canonical=True) == print_nest(scale("n", "k"), canonical=True)


def test_literals_that_print_alike_have_different_keys():
    def with_literal(value, dtype):
        return Nest("n", (Param("y", dtype, "out"),), 0, (Store("y", Affine(), Lit(value, dtype)),))

    nests = [
        with_literal(0.0, "float32"),
        with_literal(-0.0, "float32"),
        with_literal(0.0, "float64"),
        with_literal(0, "int32"),
    ]
    assert len({n.key for n in nests}) == 4


F = "float32"
X, Y = Param("x", F), Param("y", F, "out")
BAD = {
    "not defined": [Store("y", Affine(), "a")],
    "defined twice": [Load("a", "x", Affine(), F), Load("a", "x", Affine(), F)],
    "unknown op": [Let("a", "sinus", (Lit(1.0, F),), F)],
    "takes 2 operands, got 1": [Let("a", "add", (Lit(1.0, F),), F)],
    "do not fit": [Let("a", "add", (Lit(1.0, F), Lit(1.0, "float64")), F)],
    "'in' parameter": [Store("x", Affine(), Lit(1.0, F))],
    "which holds float32": [Load("a", "x", Affine(), "int32")],
    "out of range": [Load("a", "x", Affine(Sym(3)), F)],
    "not visible here": [Loop("i", 3, (Load("a", "x", flat(), F),)), Store("y", Affine(), "a")],
    "inside a vector loop": [Loop("i", 3, (Loop("j", 3, (), "vector"),), "vector")],
    "read before the loop": [Acc("s", "add", F), Loop("i", 3, (Update("s", Lit(1.0, F)), Store("y", Affine(), "s")))],
    "used as a value": [Loop("i", 3, (Let("a", "convert", ("i",), F),))],
    "must stand at the head": [Phi("p", Lit(1.0, F), "q", F)],
    "continues as": [Loop("i", 3, (Phi("p", Lit(1.0, F), "q", F),))],
    "must be at the top level": [Loop("i", 3, (Loop("j", 3, (), parallel=True),))],
    "can be the range of only one": [Loop("i", 3, (), parallel=True), Loop("j", 3, (), parallel=True)],
    "mask and fill": [Load("a", "x", Affine(), F, mask="m")],
    "expected int64": [Load("a", "x", Affine(), F), Loop("i", "a", ())],
    "does not accumulate": [Acc("s", "and", F)],
    "neither a loop variable": [Load("a", "x", Affine(0, (("k", 1),)), F)],
    "while inside a vector": [Loop("i", 3, (While((), "t", ()),), "vector")],
}


@pytest.mark.parametrize("message", BAD)
def test_the_checker_refuses(message):
    if message == "mask and fill":
        BAD[message].insert(0, Let("m", "eq", (Lit(1, "int32"), Lit(1, "int32")), "bool"))
    with pytest.raises(NestError, match=message):
        validate(Nest("bad", (X, Y), 2, tuple(BAD[message])))


# ---- elementwise nests, tails, splits ----


@targets
@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int16", "int64", "bfloat16", "float32", "float64", "complex64", "complex128"]
)
def test_copy_of_every_length_and_split(dtype, target):
    body = (Load("a", "x", flat(), dtype), Store("y", flat(), "a"))
    nest = Nest("copy", (Param("x", dtype), Param("y", dtype, "out")), 1, (Loop("i", Sym(0), body, "vector", True),))
    for n in SIZES:
        x = (np.arange(n + 5) % 7).astype(np_dtype(dtype))
        y = np.zeros(n + 5, np_dtype(dtype))
        cut = n // 3
        run(nest, [x, y], [n], 0, cut, target)
        assert (y[:cut] == x[:cut]).all() and not y[cut:].astype(bool).any()
        run(nest, [x, y], [n], cut, n, target)
        assert (y[:n] == x[:n]).all() and not y[n:].astype(bool).any()


@targets
@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "float32", "float64", "complex64"])
@pytest.mark.parametrize("stride", [1, 2, -1, 3, 0])
@pytest.mark.parametrize("symbolic", [True, False])
def test_strides(dtype, stride, symbolic, target):
    step = Sym(1) if symbolic else stride
    body = (Load("a", "x", Affine(Sym(2), (("i", step),)), dtype), Store("y", Affine(0, (("i", Sym(3)),)), "a"))
    nest = Nest("strided", (Param("x", dtype), Param("y", dtype, "out")), 4, (Loop("i", Sym(0), body, "vector", True),))
    for n in (1, 7, 40):
        x = (np.arange(3 * n + 1) % 11).astype(np_dtype(dtype))
        y = np.zeros(2 * n, np_dtype(dtype))
        start = n - 1 if stride < 0 else 0
        run(nest, [x, y], [n, stride, start, 2], 0, n, target)
        expected = np.array([x[start + i * stride] for i in range(n)])
        assert (y[::2] == expected).all() and not y[1::2].astype(bool).any()


@targets
def test_broadcast_of_rows_and_columns(target):
    """y[r, c] = x[r, c] * row[c] + col[r]: the row is contiguous, the column a scalar per row."""
    body = (
        Load("a", "x", ix(("r", Sym(1)), ("c", 1)), F),
        Load("b", "row", ix(("c", 1)), F),
        Load("d", "col", ix(("r", 1)), F),
        Let("m", "mul", ("a", "b"), F),
        Let("e", "add", ("m", "d"), F),
        Store("y", ix(("r", Sym(1)), ("c", 1)), "e"),
    )
    loops = (Loop("r", Sym(0), (Loop("c", Sym(1), body, "vector"),), parallel=True),)
    nest = Nest("affine", (X, Param("row", F), Param("col", F), Y), 2, loops)
    rng = np.random.default_rng(0)
    for rows, cols in [(1, 1), (3, 40), (5, 16), (4, 0), (2, 131)]:
        x, row, col = (rng.standard_normal(s).astype(F) for s in ((rows, cols), cols, rows))
        y = np.zeros_like(x)
        run(nest, [x, row, col, y], [rows, cols], 0, rows, target)
        np.testing.assert_array_equal(y, x * row + col[:, None])


@targets
def test_in_place_update(target):
    body = (Load("a", "y", flat(), F), Let("b", "add", ("a", Lit(1.0, F)), F), Store("y", flat(), "b"))
    nest = Nest("bump", (Param("y", F, "inout"),), 1, (Loop("i", Sym(0), body, "vector", True),))
    y = np.arange(77, dtype=F)
    run(nest, [y], [77], 0, 77, target)
    np.testing.assert_array_equal(y, np.arange(1, 78))


@targets
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64", "int8"])
def test_iota_of_inner_and_outer_loops(dtype, target):
    body = (
        Let("a", "iota", (), dtype, var="i"),
        Let("b", "iota", (), dtype, var="j"),
        Let("t", "mul", ("a", Lit(3, dtype)), dtype),
        Let("c", "add", ("t", "b"), dtype),
        Store("y", ix(("i", Sym(1)), ("j", 1)), "c"),
    )
    nest = Nest(
        "iota",
        (Param("y", dtype, "out"),),
        2,
        (Loop("i", Sym(0), (Loop("j", Sym(1), body, "vector"),), parallel=True),),
    )
    y = np.zeros((5, 21), dtype)
    run(nest, [y], [5, 21], 0, 5, target)
    np.testing.assert_array_equal(y, 3 * np.arange(5)[:, None] + np.arange(21))


# ---- masks, gathers ----


@targets
@pytest.mark.parametrize("dtype", ["bool", "int16", "float32", "float64", "complex64", "bfloat16"])
def test_pad_by_mask(dtype, target):
    """y[i] = x[i - 3] inside, 1 outside; x is never touched beyond its ends."""
    body = (
        Let("k", "iota", (), "int64", var="i"),
        Let("p", "sub", ("k", Lit(3, "int64")), "int64"),
        Let("m1", "ge", ("p", Lit(0, "int64")), "bool"),
        Let("m2", "lt", ("p", Sym(1)), "bool"),
        Let("m", "and", ("m1", "m2"), "bool"),
        Load("a", "x", Affine(-3, (("i", 1),)), dtype, mask="m", fill=Lit(1, dtype)),
        Store("y", flat(), "a"),
    )
    nest = Nest("pad", (Param("x", dtype), Param("y", dtype, "out")), 2, (Loop("i", Sym(0), body, "vector", True),))
    for n in (1, 12, 40):
        x = (np.arange(n) % 5).astype(np_dtype(dtype))
        y = np.zeros(n + 8, np_dtype(dtype))
        run(nest, [x, y], [n + 8, n], 0, n + 8, target)
        one = np.ones(1, np_dtype(dtype))
        expected = np.concatenate([np.repeat(one, 3), x, np.repeat(one, 5)])
        assert (y == expected).all()


@targets
@pytest.mark.parametrize("dtype", ["int8", "float32", "float64", "complex64"])
@pytest.mark.parametrize("index_dtype", ["int32", "uint32", "int64"])
def test_gather_with_clamped_indices(dtype, index_dtype, target):
    body = (
        Load("k", "at", flat(), index_dtype),
        Let("c", "clamp", (Lit(0, index_dtype), "k", Lit(9, index_dtype)), index_dtype),
        Load("a", "x", ix(("c", 1)), dtype),
        Store("y", flat(), "a"),
    )
    params = (Param("at", index_dtype), Param("x", dtype), Param("y", dtype, "out"))
    nest = Nest("gather", params, 1, (Loop("i", Sym(0), body, "vector", True),))
    rng = np.random.default_rng(0)
    at = rng.integers(0 if index_dtype[0] == "u" else -5, 15, 50).astype(index_dtype)
    x = (np.arange(10) + 1).astype(np_dtype(dtype))
    y = np.zeros(50, np_dtype(dtype))
    run(nest, [at, x, y], [50], 0, 50, target)
    assert (y == x[np.clip(at.astype(np.int64), 0, 9)]).all()


@targets
def test_embedding_rows(target):
    """y[r, c] = table[ids[r], c]: a scalar index outside, contiguous lanes inside."""
    body = (
        Load("k", "ids", ix(("r", 1)), "int32"),
        Loop(
            "c",
            Sym(1),
            (Load("a", "x", ix(("k", Sym(1)), ("c", 1)), F), Store("y", ix(("r", Sym(1)), ("c", 1)), "a")),
            "vector",
        ),
    )
    nest = Nest("rows", (Param("ids", "int32"), X, Y), 2, (Loop("r", Sym(0), body, parallel=True),))
    ids, x, y = np.array([2, 0, 2, 4], np.int32), np.arange(5 * 37, dtype=F).reshape(5, 37), np.zeros((4, 37), F)
    run(nest, [ids, x, y], [4, 37], 0, 4, target)
    np.testing.assert_array_equal(y, x[ids])


@targets
@pytest.mark.parametrize("dtype", ["float32", "int8", "complex128"])
def test_masked_and_scattered_stores(dtype, target):
    body = (
        Load("a", "x", flat(), dtype),
        Load("m", "keep", flat(), "bool"),
        Load("k", "at", flat(), "int32"),
        Store("y", flat(), "a", mask="m"),
        Store("z", ix(("k", 1)), "a", mask="m"),
    )
    params = (
        Param("x", dtype),
        Param("keep", "bool"),
        Param("at", "int32"),
        Param("y", dtype, "out"),
        Param("z", dtype, "out"),
    )
    nest = Nest("masked", params, 1, (Loop("i", Sym(0), body, "vector", True),))
    rng = np.random.default_rng(1)
    n = 45
    x, keep, at = (np.arange(n) + 1).astype(dtype), rng.random(n) < 0.5, rng.permutation(n).astype(np.int32)
    y, z = np.zeros(n, dtype), np.zeros(n, dtype)
    run(nest, [x, keep, at, y, z], [n], 0, n, target)
    expected = np.zeros(n, dtype)
    expected[at[keep]] = x[keep]
    assert (y == np.where(keep, x, 0)).all() and (z == expected).all()


# ---- accumulators ----

REDUCTIONS = {
    "add": (np.sum, ["int32", "int64", "float32", "float64", "complex64"]),
    "mul": (np.prod, ["int32", "float32", "complex128"]),
    "max": (np.max, ["bool", "int8", "uint16", "int32", "float32", "float64", "bfloat16"]),
    "min": (np.min, ["bool", "int16", "uint64", "float32"]),
    "and": (np.bitwise_and.reduce, ["bool", "int32"]),
    "or": (np.bitwise_or.reduce, ["bool", "uint8"]),
    "xor": (np.bitwise_xor.reduce, ["bool", "int64"]),
}


def reduction(op, dtype, init=None):
    body = (
        Acc("s", op, dtype, init),
        Loop("j", Sym(1), (Load("a", "x", ix(("i", Sym(1)), ("j", 1)), dtype), Update("s", "a")), "vector"),
        Store("y", flat(), "s"),
    )
    return Nest(op, (Param("x", dtype), Param("y", dtype, "out")), 2, (Loop("i", Sym(0), body, parallel=True),))


@targets
@pytest.mark.parametrize(("op", "dtype"), [(op, d) for op, (_, ds) in REDUCTIONS.items() for d in ds])
def test_row_reductions(op, dtype, target):
    rng = np.random.default_rng(0)
    for n in (1, 5, 16, 70, 300):
        x = rng.integers(1, 4, (3, n)) if op == "mul" else rng.integers(0, 100, (3, n))
        if op == "mul":
            x[:, 8:] = 1
        x = (x % 2 if dtype == "bool" else x).astype(np_dtype(dtype))
        y = np.zeros(3, np_dtype(dtype))
        run(reduction(op, dtype), [x, y], [3, n], 0, 3, target)
        expected = REDUCTIONS[op][0](x, axis=1)
        np.testing.assert_allclose(y.astype(complex), expected.astype(complex), rtol=1e-6)


@targets
def test_empty_reduction_is_the_initial_value_and_nan_wins(target):
    y = np.zeros(2, F)
    run(reduction("add", F, Lit(7.0, F)), [np.zeros((2, 0), F), y], [2, 0], 0, 2, target)
    np.testing.assert_array_equal(y, 7)
    run(reduction("max", F), [np.zeros((2, 0), F), y], [2, 0], 0, 2, target)
    np.testing.assert_array_equal(y, -np.inf)
    x = np.arange(80, dtype=F).reshape(2, 40)
    x[1, 3] = np.nan
    run(reduction("max", F), [x, y], [2, 40], 0, 2, target)
    assert y[0] == 39 and np.isnan(y[1])


@targets
def test_sum_over_two_serial_levels_and_a_masked_update(target):
    """One accumulator over an outer serial and an inner vector loop, adding only positive elements."""
    body = (
        Acc("s", "add", F, Lit(1.0, F)),
        Loop(
            "i",
            Sym(0),
            (
                Loop(
                    "j",
                    Sym(1),
                    (
                        Load("a", "x", ix(("i", Sym(1)), ("j", 1)), F),
                        Let("m", "gt", ("a", Lit(0.0, F)), "bool"),
                        Update("s", "a", mask="m"),
                    ),
                    "vector",
                ),
                Load("b", "x", ix(("i", Sym(1))), F),
                Update("s", "b"),
            ),
        ),
        Store("y", Affine(), "s"),
    )
    nest = Nest("sum2", (X, Y), 2, body)
    x = np.random.default_rng(0).standard_normal((6, 53)).astype(F)
    y = np.zeros(1, F)
    run(nest, [x, y], [6, 53], target=target)
    np.testing.assert_allclose(y[0], 1 + np.where(x > 0, x, 0).sum() + x[:, 0].sum(), rtol=1e-5)


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "bfloat16", "complex64"])
def test_column_sums_keep_a_vector_of_partial_sums(dtype, target):
    body = (
        Acc("s", "add", dtype),
        Loop("i", Sym(0), (Load("a", "x", ix(("i", Sym(1)), ("j", 1)), dtype), Update("s", "a"))),
        Store("y", flat("j"), "s"),
    )
    nest = Nest("columns", (Param("x", dtype), Param("y", dtype, "out")), 2, (Loop("j", Sym(1), body, "vector", True),))
    x = np.random.default_rng(0).integers(0, 9, (7, 205)).astype(np_dtype(dtype))
    y = np.zeros(205, np_dtype(dtype))
    run(nest, [x, y], [7, 205], 0, 100, target)
    run(nest, [x, y], [7, 205], 100, 205, target)
    np.testing.assert_array_equal(y.astype(complex), x.astype(complex).sum(0))


@targets
@pytest.mark.parametrize("op", ["argmax", "argmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("along", ["row", "column"])
def test_argmax(op, dtype, along, target):
    inner = (
        Load("a", "x", ix(("i", Sym(1)), ("j", 1)), dtype),
        Let("k", "iota", (), "int32", var="j" if along == "row" else "i"),
        Update("s", "a", "k"),
    )
    acc = Acc("s", op, dtype, index="at", index_dtype="int32")
    if along == "row":
        body = (acc, Loop("j", Sym(1), inner, "vector"), Store("y", flat("i"), "at"), Store("z", flat("i"), "s"))
        loops = Loop("i", Sym(0), body, parallel=True)
    else:
        body = (acc, Loop("i", Sym(0), inner), Store("y", flat("j"), "at"), Store("z", flat("j"), "s"))
        loops = Loop("j", Sym(1), body, "vector", True)
    params = (Param("x", dtype), Param("y", "int32", "out"), Param("z", dtype, "out"))
    nest = Nest(op, params, 2, (loops,))
    rng = np.random.default_rng(0)
    for rows, cols in [(4, 90), (3, 1), (20, 17)]:
        x = rng.integers(0, 2 if dtype == "bool" else 12, (rows, cols)).astype(dtype)
        if dtype.startswith("float"):
            x[1, cols // 2] = np.nan
            x[2, :] = -np.inf if op == "argmax" else np.inf
        axis = 1 if along == "row" else 0
        n = rows if along == "row" else cols
        y, z = np.full(n, -7, np.int32), np.zeros(n, dtype)
        run(nest, [x, y, z], [rows, cols], 0, n, target)
        expected = getattr(np, op)(x, axis=axis)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(z, np.take_along_axis(x, np.expand_dims(expected, axis), axis).reshape(-1))


@targets
def test_softmax_rows(target):
    """Three vector loops in one row loop, the output used as scratch between them."""

    def at():
        return ix(("r", Sym(1)), ("j", 1))

    rows = (
        Acc("m", "max", F),
        Loop("j", Sym(1), (Load("a", "x", at(), F), Update("m", "a")), "vector"),
        Acc("s", "add", F),
        Loop(
            "j2",
            Sym(1),
            (
                Load("b", "x", ix(("r", Sym(1)), ("j2", 1)), F),
                Let("d", "sub", ("b", "m"), F),
                Let("e", "exp", ("d",), F),
                Store("y", ix(("r", Sym(1)), ("j2", 1)), "e"),
                Update("s", "e"),
            ),
            "vector",
        ),
        Let("q", "div", (Lit(1.0, F), "s"), F),
        Loop(
            "j3",
            Sym(1),
            (
                Load("g", "y", ix(("r", Sym(1)), ("j3", 1)), F),
                Let("h", "mul", ("g", "q"), F),
                Store("y", ix(("r", Sym(1)), ("j3", 1)), "h"),
            ),
            "vector",
        ),
    )
    nest = Nest("softmax", (X, Param("y", F, "inout")), 2, (Loop("r", Sym(0), rows, parallel=True),))
    x = np.random.default_rng(0).standard_normal((9, 75)).astype(F)
    y = np.zeros_like(x)
    run(nest, [x, y], [9, 75], 0, 9, target)
    e = np.exp(x - x.max(1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=1e-6)


# ---- carried values, while, straight-line programs ----


@targets
def test_cumulative_sums_along_both_axes(target):
    def body(i, j):
        at = ix(("i", Sym(1)), ("j", 1))
        return (
            Phi("c", Lit(0.0, F), "n", F),
            Load("a", "x", at, F),
            Let("n", "add", ("c", "a"), F),
            Store("y", at, "n"),
        )

    down = Nest("down", (X, Y), 2, (Loop("j", Sym(1), (Loop("i", Sym(0), body("i", "j")),), "vector", True),))
    across = Nest("across", (X, Y), 2, (Loop("i", Sym(0), (Loop("j", Sym(1), body("i", "j")),), parallel=True),))
    x = np.random.default_rng(0).integers(0, 9, (6, 83)).astype(F)
    for nest, axis in ((down, 0), (across, 1)):
        y = np.zeros_like(x)
        run(nest, [x, y], [6, 83], 0, x.shape[1 - axis], target)
        np.testing.assert_array_equal(y, x.cumsum(axis))


def test_phi_keeps_its_last_value():
    body = (
        Loop(
            "t",
            Sym(0),
            (
                Phi("a", Lit(0, "int64"), "b", "int64"),
                Phi("b0", Lit(1, "int64"), "c", "int64"),
                Let("b", "copy", ("b0",), "int64"),
                Let("c", "add", ("a", "b0"), "int64"),
            ),
        ),
        Store("y", Affine(), "a"),
    )
    nest = Nest("fibonacci", (Param("y", "int64", "out"),), 1, body)
    y = np.zeros(1, np.int64)
    for n, value in ((0, 0), (1, 1), (10, 55), (50, 12586269025)):
        run(nest, [y], [n])
        assert y[0] == value


def test_while_collatz_counts_steps():
    i64 = "int64"
    head = (
        Phi("n", "start", "n2", i64),
        Phi("k", Lit(0, i64), "k2", i64),
        Let("go", "ne", ("n", Lit(1, i64)), "bool"),
    )
    body = (
        Let("odd", "and", ("n", Lit(1, i64)), i64),
        Let("is_odd", "ne", ("odd", Lit(0, i64)), "bool"),
        Let("h", "shift_right_logical", ("n", Lit(1, i64)), i64),
        Let("t", "mul", ("n", Lit(3, i64)), i64),
        Let("u", "add", ("t", Lit(1, i64)), i64),
        Let("n2", "select", ("is_odd", "u", "h"), i64),
        Let("k2", "add", ("k", Lit(1, i64)), i64),
    )
    nest = Nest(
        "collatz",
        (Param("x", i64), Param("y", i64, "out")),
        0,
        (Load("start", "x", Affine(), i64), While(head, "go", body), Store("y", Affine(), "k")),
    )
    x, y = np.array([27], np.int64), np.zeros(1, np.int64)
    run(nest, [x, y])
    assert y[0] == 111


def test_extent_from_a_value_and_local_array():
    """Sum of x[0..k[0]) through a stack array filled by one loop and read by another."""
    i64 = "int64"
    body = (
        Load("n", "k", Affine(), i64),
        Local("tmp", F, 64),
        Loop("i", "n", (Load("a", "x", flat(), F), Let("b", "square", ("a",), F), Store("tmp", flat(), "b")), "vector"),
        Acc("s", "add", F),
        Loop("j", "n", (Load("c", "tmp", flat("j"), F), Update("s", "c"))),
        Store("y", Affine(), "s"),
    )
    nest = Nest("local", (Param("k", i64), X, Y), 0, body)
    x, y = np.arange(64, dtype=F), np.zeros(1, F)
    run(nest, [np.array([20], np.int64), x, y])
    assert y[0] == (x[:20] ** 2).sum()


def test_straight_line_program():
    """A 3-vector cross product: no loops, literal indices."""
    loads = tuple(Load(f"{n}{i}", n, Affine(i), F) for n in "ab" for i in range(3))
    lets = []
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        lets += [
            Let(f"p{i}", "mul", (f"a{j}", f"b{k}"), F),
            Let(f"q{i}", "mul", (f"a{k}", f"b{j}"), F),
            Let(f"r{i}", "sub", (f"p{i}", f"q{i}"), F),
            Store("y", Affine(i), f"r{i}"),
        ]
    nest = Nest("cross", (Param("a", F), Param("b", F), Y), 0, (*loads, *lets))
    a, b, y = np.array([1, 2, 3], F), np.array([4, 5, 7], F), np.zeros(3, F)
    run(nest, [a, b, y])
    np.testing.assert_array_equal(y, np.cross(a, b))


def test_lanes_storing_to_one_element_are_refused():
    body = (Load("a", "x", flat(), F), Store("y", Affine(), "a"))
    nest = Nest("clash", (X, Y), 1, (Loop("i", Sym(0), body, "vector", True),))
    with pytest.raises(NestError, match="store to one element"):
        run(nest, [np.zeros(4, F), np.zeros(4, F)], [4], 0, 4)


def test_hoisted_loads_are_not_made_for_empty_loops():
    """y[i] = x[i] + z[0] over nothing: z may be a null pointer."""
    body = (
        Load("a", "x", flat(), F),
        Load("c", "z", Affine(), F),
        Let("b", "add", ("a", "c"), F),
        Store("y", flat(), "b"),
    )
    nest = Nest("hoist", (X, Param("z", F), Y), 1, (Loop("i", Sym(0), body, "vector", True),))

    class Null:
        class ctypes:
            data = 0

    run(nest, [Null, Null, Null], [0], 0, 0)
    x, y = np.arange(20, dtype=F), np.zeros(20, F)
    run(nest, [x, np.array([5], F), y], [20], 0, 20)
    np.testing.assert_array_equal(y, x + 5)
