"""Unusual arguments of arange, array, split, reshape and take against JAX: values, dtypes and kinds of error."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import Weak, batched, check

import addax
import addax.numpy as jnp

F16, F32 = np.float16, np.float32
nan, inf = float("nan"), float("inf")


@batched
def test_arange(check):
    for args in (
        (0, 1, F16(0.3)), (F16(2),), (np.int8(5),), (True,), (True, False), (1j,), (3j, 5), (0, 1, 0.1), (10, 0, -3),
        (0, 5, 0), (2.5,), (0, 2.5), (nan,), (0, inf), (None,), (5, 2), (-3,), ("a",), (F32(0.1), 1, F32(0.3)), ([3],),
        (3, None, 2), (0.0, 2), (-1.3, 9, 0.37),
    ):  # fmt: skip
        check("arange", *args)
    for dtype in ("complex64", "bool", "float16", "bfloat16", "int8", "int32", "uint32"):
        check("arange", 3, dtype=dtype)
        check("arange", 1, 9.5, 1.25, dtype=dtype)
        check("arange", 7, -3, -2, dtype=dtype if dtype != "uint32" else "int32")
    check("arange", 300, dtype="int8")


def test_arange_in_a_program_has_no_constants():
    program = addax.make_jaxpr(lambda: jnp.arange(5, 10**6, 3))()
    assert not program.consts
    assert (np.asarray(addax.jit(lambda: jnp.arange(5, 100, 3))()) == np.arange(5, 100, 3)).all()
    # Of floats the same numbers as JAX, not the nearest ones to start + i step.
    check("arange", 0, 2, 0.1, rtol=0)
    assert np.asarray(jnp.arange(0, 1, 0.1))[9] == np.float32(0.1) * np.float32(9)


@batched
def test_split(check):
    x = np.arange(6, dtype=np.int32)
    for name in ("split", "array_split"):
        for sections in ([4, 2], [2, 2], [-1], [9], [6], (2,), [], [3, 1, 5], [1.5], 3, 4, -1, 2.0, np.int64(2)):
            check(name, x, sections)
        check(name, x.reshape(2, 3), 3, axis=1)
        check(name, x, 2, axis=1)
        check(name, [1, 2], 2)
    check("hsplit", x, 2)
    check("vsplit", x.reshape(2, 3), [1])
    check("vsplit", x.reshape(2, 3).astype(F32), 2)


def test_array():
    for value, dtype in (
        ([nan], int), (nan, int), ([inf], "int8"), (-inf, int), ([1.5], int), ([300], "int8"), ([-1], "uint8"),
        ([1, 2.5], None), ([1, True], None), ([1j, 2], None), ([[1, 2], [3]], None), ("a", None), (b"abc", None),
        ([None], None), (None, None), ([], None), ([[]], None), ([1 + 2j], float), (1j, int), (1j, bool), ([0.5], bool),
        (3.0, "int8"), (1e300, None), ([2**31], None), (2**40, None), (np.asarray([nan]), int), (Weak(1.7), int),
        (np.asarray([1 + 2j]), float), ({"a": 1}, None), ([1, [2]], None), ((1, 2), F16),
    ):  # fmt: skip
        if isinstance(value, np.ndarray) and value.dtype == float:
            assert jnp.array(value, dtype).dtype == "int32"  # an array is converted whatever it holds
        else:
            check("array", value, dtype)


@batched
def test_reshape_and_take(check):
    x = np.arange(12, dtype=np.int32)
    for shape in ((5, -1), (5, 2), (-1, -1), (3, -2), (3.0, 4), (3, -1), "a"):
        check("reshape", x, shape)
    for order in ("F", "A", "K", "C"):
        check("reshape", x, (3, 4), order)
    check("reshape", [1, 2], 2)
    x = np.arange(3, dtype=np.int32)
    for at in (1.5, np.asarray([0.0]), [0, 1], True, 5, -5, np.int64(1), np.asarray([True, False])):
        for mode in (None, "fill") if np.asarray(at).dtype == bool else (None, "clip", "wrap", "fill"):
            check("take", x, at, mode=mode)
    check("take", x, 1, mode="unknown")
    check("take", x, 1, mode="raise")
    check("take", x, 0, axis=1)
    check("take", np.zeros(0, F32), 0)
    check("take", np.zeros(0, F32), np.zeros(0, np.int32))
    check("take_along_axis", np.ones((2, 2), F32), np.asarray([[0.0]]), 1)
    check("take_along_axis", np.ones((2, 2), F32), np.asarray([[5, 0]]), 0)


@batched
def test_spaced_numbers_of_arrays(check):
    low, high = np.asarray([0.0, 1.0], F32), np.asarray([[3.0], [5.0], [7.0]], F32)
    for num in (0, 1, 2, 4):
        check("linspace", low, high, num)
        check("linspace", 1, high, num, axis=-1)
        check("linspace", low, high, num, endpoint=False)
    check("full", (2, 3), np.arange(3, dtype=F32))
    check("full", (2,), np.arange(3, dtype=F32))


def test_nonzero_of_large_traced_arrays():
    """The work is linear: a million elements and as many results need no table of both."""
    x = jnp.arange(10**6) % 3
    found = addax.jit(lambda x: jnp.nonzero(x, size=10**6, fill_value=-1)[0])(x)
    assert found[:4].tolist() == [1, 2, 4, 5] and found[-1] == -1
    rows, columns = addax.jit(lambda x: jnp.nonzero(x, size=3, fill_value=(7, 8)))(jnp.array([[0, 1], [1, 0]]))
    assert rows.tolist() == [0, 1, 7] and columns.tolist() == [1, 0, 8]
    with pytest.raises(addax.errors.ConcretizationTypeError, match="size argument of nonzero"):
        addax.jit(jnp.nonzero)(x)


@batched
def test_names_of_the_array_api(check):
    x = np.ones((2, 3), F32)
    check("concat", [x, x], axis=1)
    check("concat", [x, x], 1)
    check("permute_dims", x, (1, 0))
    check("permute_dims", x)
    for dtype in ("int8", "float32", None):
        check("argsort", np.asarray([3, 1, 2], np.int32), dtype=dtype, descending=True)
    check("take_along_axis", x, np.asarray([[-1, 1]]), 1, wrap_negative_indices=False)
    check("take_along_axis", x, np.asarray([[-1, 1]]), 1, wrap_negative_indices=True)


@batched
def test_take_along_axis(check):
    x = np.arange(12, dtype=F32).reshape(3, 4)
    for at in ([[0]], [[0, 1, 3, 3, 2]], [[0], [1], [9]], [[0, -1]], [[0], [1]], np.zeros((3, 0), np.int32)):
        for axis in (0, 1, -1):
            check("take_along_axis", x, np.asarray(at, np.int32), axis)
    check("take_along_axis", x[:1], np.asarray([[0], [3], [2]]), 1)
    check("take_along_axis", x, np.asarray([11, 0, -1]), None)
    check("take_along_axis", x, np.asarray([0]), 0)
    check("take_along_axis", x[:, :0], np.zeros((3, 0), np.int32), 1)


def test_searchsorted():
    """Lengths around powers of two, with nan among the elements and among what is searched."""
    rng = np.random.default_rng(0)
    for n in (*range(20), 31, 32, 33, 63, 64, 65):
        x, v = np.sort(rng.integers(0, 20, n)).astype(F32), rng.integers(-2, 23, 50).astype(F32)
        x[-2:], v[:5] = nan, [nan, nan, inf, -inf, 0]
        x = np.sort(x)
        for side in ("left", "right"):
            assert jnp.searchsorted(x, v, side).tolist() == np.searchsorted(x, v, side).tolist()


@batched
def test_corners(check):
    x = np.asarray([[2, 0, 1], [0, 0, 3]], np.int32)
    for name in ("sum", "prod"):
        check(name, x, dtype=bool)
        check(name, x.astype(F32), axis=1, dtype=bool, keepdims=True, where=x < 3, initial=False)
        check(name, x[:0], axis=0, dtype=bool)
    for empty in (np.zeros(0, F32), np.zeros((2, 0), F32)):
        check("cov", empty)
    for name, args in (
        ("trace", (x,)),
        ("take", (x, 1)),
        ("choose", (1, [1, 2])),
        ("outer", (x, x)),
        ("stack", ([x],)),
    ):
        check(name, *args, out=x)


@batched
def test_running_sums_of_narrow_dtypes(check):
    for name in ("cumsum", "cumprod", "nancumsum", "cumulative_sum", "cumulative_prod"):
        for x in (
            np.asarray([100, 100, 0, 2], np.int8),
            np.asarray([200, 0, 100], np.uint8),
            np.asarray([True, False, True]),
        ):
            check(name, x)
            check(name, x, dtype=bool)
            check(name, x, dtype="int16")
    check("cumulative_sum", np.asarray([200, 200], np.uint8), include_initial=True)
    check("cumulative_sum", np.asarray([0, 2, 0, nan], F16), dtype=bool)


def test_geometric_sequences_of_integers():
    """Truncation of what rounding left below a whole number is 3 for 4."""
    for a, b, n in ((1, 256, 9), (2, 32, 5), (1, 10**6, 7), (-1, -8, 4), (512, 1, 10), (3, 3000, 4)):
        for dtype in ("int32", "int16" if abs(b) < 10**4 else "int32"):
            assert jnp.geomspace(a, b, n, dtype=dtype).tolist() == np.geomspace(a, b, n).round().tolist()
    assert jnp.geomspace(1, 100, 4, dtype=int).tolist() == [1, 4, 21, 100]


@batched
def test_einsum_keeps_narrow_dtypes(check):
    x = np.asarray([[100, 27], [3, -4]], np.int8)
    for a in (x, x > 0, x.astype(F16)):
        for subscripts in ("ij->", "ij->i", "ii", "...j->..."):
            check("einsum", subscripts, a)
        for subscripts in ("ij,kl->", "ij,kl->ik", "ij,jk->"):
            check("einsum", subscripts, a, a)
            check("einsum", subscripts, a, a, preferred_element_type="float32" if a.dtype == F16 else "int32")


def test_narrow_repeats_do_not_wrap():
    repeats = np.asarray([200, 100, 0], np.uint8)
    got = addax.jit(lambda r: jnp.repeat(jnp.arange(3), r, total_repeat_length=300))(repeats)
    assert got.tolist() == np.repeat(np.arange(3), repeats).tolist()


def test_trim_zeros_of_a_scalar():
    assert jnp.trim_zeros(3.0).item() == 3.0


def test_what_an_update_leaves_alone_may_be_infinite():
    x = jnp.array([inf, -inf, 4.0])
    assert x.at[2].divide(2.0).tolist() == x.at[2].multiply(0.5).tolist() == [inf, -inf, 2.0]
    assert x.at[2].power(0.5).tolist() == [inf, -inf, 2.0]
