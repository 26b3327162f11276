"""Copy, fill and dynamic-slice kernels against NumPy, on every instruction set this machine runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from native_programs import call_kernel, isas, table

DTYPES = [np.uint8, np.uint16, np.uint32, np.uint64, np.complex128]


def elements(x: np.ndarray) -> list[int]:
    return [s // x.itemsize for s in x.strides]


def random_array(rng, shape, dtype):
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if np.dtype(dtype).kind == "c":
        return rng.random(shape).astype(dtype)
    return np.frombuffer(rng.bytes(nbytes), dtype).reshape(shape).copy()


def copy_to_contiguous(view: np.ndarray, base: np.ndarray, isa: str) -> np.ndarray:
    offset = (view.__array_interface__["data"][0] - base.__array_interface__["data"][0]) // base.itemsize
    out = np.empty(view.shape, view.dtype)
    tab = table(view.ndim, offset, 0, list(view.shape), elements(view), elements(out))
    return call_kernel(f"copy_{base.itemsize}", [base], [(view.shape, view.dtype)], tab, isa)[0]


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [(1, 1), (3, 5), (4, 4), (16, 16), (17, 33), (64, 100), (130, 257), (300, 7), (2, 1000), (1000, 2)],
)
def test_transpose_2d(isa, dtype, shape):
    x = random_array(np.random.default_rng(0), shape, dtype)
    np.testing.assert_array_equal(copy_to_contiguous(x.T, x, isa), x.T)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_views(isa, dtype, data):
    """Any mixture of permutation, slicing, reversal and broadcasting."""
    shape = data.draw(st.lists(st.integers(1, 9), min_size=0, max_size=5))
    x = random_array(np.random.default_rng(1), shape, dtype)
    view = x.transpose(data.draw(st.permutations(range(len(shape)))))
    for axis in range(view.ndim):
        step = data.draw(st.sampled_from([1, 1, 1, -1, 2, -3]))
        start = data.draw(st.integers(0, view.shape[axis] - 1))
        index = [slice(None)] * view.ndim
        index[axis] = slice(start, None, step)
        view = view[tuple(index)]
    if data.draw(st.booleans()):
        view = np.broadcast_to(view, (3, *view.shape))
    np.testing.assert_array_equal(copy_to_contiguous(view, x, isa), view)


@pytest.mark.parametrize("isa", isas())
def test_large_copies_are_split(isa):
    x = random_array(np.random.default_rng(2), (700, 900), np.uint32)
    for view in (x, x.T, x[::-1], x[:, ::-1], x[::2, 1::3], x[None, 5], np.broadcast_to(x[:, :1], x.shape)):
        np.testing.assert_array_equal(copy_to_contiguous(view, x, isa), view)
    y = random_array(np.random.default_rng(2), (40, 30, 20, 10), np.uint16)
    for axes in [(3, 2, 1, 0), (0, 2, 1, 3), (0, 1, 3, 2), (2, 0, 3, 1)]:
        np.testing.assert_array_equal(copy_to_contiguous(y.transpose(axes), y, isa), y.transpose(axes))


@pytest.mark.parametrize("isa", isas())
def test_strided_destination(isa):
    """Concatenate and pad write a block of the output and leave the rest."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    out = np.full((7, 10), -1, np.float32)
    expected = out.copy()
    expected[1:7:2, 3:7] = x
    tab = table(2, 0, 13, [3, 4], [4, 1], [20, 1])
    np.testing.assert_array_equal(call_kernel("copy_4", [x], [out], tab, isa)[0], expected)


def test_empty():
    assert (
        call_kernel(
            "copy_4", [np.zeros((0, 3), np.float32)], [((0, 3), np.float32)], table(2, 0, 0, [0, 3], [3, 1], [3, 1])
        )[0].size
        == 0
    )


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 7, 100_000])
def test_fill(isa, dtype, n):
    value = np.array(77, dtype)
    out = call_kernel(f"fill_{value.itemsize}", [value], [((n,), dtype)], table(n), isa)[0]
    np.testing.assert_array_equal(out, np.full(n, value))


INDEX_TYPES = {np.int32: 0, np.int64: 1, np.uint32: 2, np.uint64: 3, np.int8: 4, np.int16: 5, np.uint8: 6, np.uint16: 7}


@pytest.mark.parametrize("index_dtype", INDEX_TYPES)
@pytest.mark.parametrize("starts", [(0, 0, 0), (1, 2, 3), (100, 2, 100), (-5, 0, 1)])
def test_dynamic_slice_and_update(index_dtype, starts):
    if min(starts) < 0 and np.dtype(index_dtype).kind == "u":
        pytest.skip("unsigned")
    x = np.arange(6 * 5 * 7, dtype=np.int16).reshape(6, 5, 7)
    sizes = (2, 3, 4)
    clamped = tuple(slice(c := min(max(s, 0), d - n), c + n) for s, d, n in zip(starts, x.shape, sizes, strict=True))
    index = [np.array(s, index_dtype) for s in starts]
    tab = table(3, INDEX_TYPES[index_dtype], list(x.shape), list(sizes))
    got = call_kernel("dynamic_slice_2", [x, *index], [(sizes, x.dtype)], tab)[0]
    np.testing.assert_array_equal(got, x[clamped])
    update = -np.arange(24, dtype=np.int16).reshape(sizes)
    expected = x.copy()
    expected[clamped] = update
    got = call_kernel("dynamic_update_slice_2", [update, *index], [x], tab)[0]
    np.testing.assert_array_equal(got, expected)
