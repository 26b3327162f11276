"""Gather and scatter kernels against a direct reading of their table, and against jax.lax."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from native_programs import call_kernel, isas, table

from addax import _native

INDEX_TYPES = {np.int32: 0, np.int64: 1, np.uint32: 2, np.uint64: 3, np.int8: 4, np.int16: 5, np.uint8: 6, np.uint16: 7}
CLIP, SKIP = 0, 1


def strides(shape):
    return [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]


def plan(mode, array_shape, indices, slice_sizes, start_map, batching=()):
    """The table for gathering windows of `slice_sizes`, batch dimensions first in the values; also the values' shape.

    indices: [*batch, len(start_map)]; component v starts array dimension start_map[v]. batching: pairs of (array
    dimension, batch dimension) that walk together, with slice size 1.
    """
    batch = indices.shape[:-1]
    drop = [d for d, _ in batching]
    window = [d for d in range(len(array_shape)) if d not in drop]
    values_shape = (*batch, *(slice_sizes[d] for d in window))
    a, i, v = strides(array_shape), strides(indices.shape), strides(values_shape)
    fields = [mode, INDEX_TYPES[indices.dtype.type], len(batch), len(start_map), len(window), 1]
    joined = {b: a[d] for d, b in batching}
    for b, n in enumerate(batch):
        fields += [n, i[b], joined.get(b, 0), v[b]]
    for d in start_map:
        fields += [a[d], array_shape[d] - slice_sizes[d]]
    for k, d in enumerate(window):
        fields += [slice_sizes[d], a[d], v[len(batch) + k]]
    return table(*fields), values_shape


def windows(mode, array_shape, indices, slice_sizes, start_map, batching=()):
    """(position, index of the array) for every position of the batch; None when out of bounds."""
    for position in itertools.product(*map(range, indices.shape[:-1])):
        start = [0] * len(array_shape)
        ok = True
        for v, d in enumerate(start_map):
            s, limit = int(indices[position][v]), array_shape[d] - slice_sizes[d]
            ok &= 0 <= s <= limit
            start[d] = min(max(s, 0), limit)
        size = list(slice_sizes)
        for d, b in batching:
            start[d] = position[b]
        index = tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))
        yield position, index if ok or mode == CLIP else None


def reference_gather(mode, array, indices, slice_sizes, start_map, batching, fill, shape):
    out = np.full(shape, fill, array.dtype)
    for position, index in windows(mode, array.shape, indices, slice_sizes, start_map, batching):
        if index is not None:
            out[position] = array[index].reshape(out[position].shape)
    return out


@st.composite
def problems(draw):
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.integers(1, 6)) for _ in range(rank))
    mode = draw(st.sampled_from([CLIP, SKIP]))
    batch = tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
    sizes = [draw(st.integers(1, n)) for n in shape]
    batching = []
    if batch and draw(st.booleans()):
        d, b = draw(st.integers(0, rank - 1)), draw(st.integers(0, len(batch) - 1))
        shape = (*shape[:d], batch[b], *shape[d + 1 :])
        sizes[d] = 1
        batching = [(d, b)]
    free = [d for d in range(rank) if d not in [x for x, _ in batching]]
    start_map = draw(st.permutations(free))[: draw(st.integers(0, len(free)))]
    dtype = draw(st.sampled_from(list(INDEX_TYPES)))
    low = 0 if np.dtype(dtype).kind == "u" else -2
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    indices = rng.integers(low, 8, (*batch, len(start_map))).astype(dtype)
    return mode, shape, indices, tuple(sizes), tuple(start_map), tuple(batching)


@pytest.mark.parametrize("isa", isas())
@settings(max_examples=150, deadline=None)
@given(problem=problems(), dtype=st.sampled_from([np.uint8, np.int16, np.float32, np.int64, np.complex128]))
def test_gather(isa, problem, dtype):
    mode, shape, indices, sizes, start_map, batching = problem
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    tab, values_shape = plan(mode, shape, indices, sizes, start_map, batching)
    want = reference_gather(mode, array, indices, sizes, start_map, batching, 77, values_shape)
    got = call_kernel(
        f"gather_{array.itemsize}", [array, indices, np.array(77, dtype)], [(values_shape, dtype)], tab, isa
    )[0]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("mode", [CLIP, SKIP])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(50, 60, 70), (5, 3, 4000), (3000, 2, 1), (1, 70, 1)])
def test_take(mode, axis, shape):
    """out[o, k, i] = x[o, idx[k], i]: the window surrounds the batch dimension."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    idx = np.random.default_rng(1).integers(-3, shape[axis] + 3, 501).astype(np.int32)
    sizes = tuple(1 if d == axis else n for d, n in enumerate(shape))
    out_shape = tuple(501 if d == axis else n for d, n in enumerate(shape))
    a, v = strides(shape), strides(out_shape)
    fields = [mode, 0, 1, 1, 3, 1, 501, 1, 0, v[axis], a[axis], shape[axis] - 1]
    for d in range(3):
        fields += [sizes[d], a[d], v[d]]
    got = call_kernel("gather_4", [x, idx, np.float32(9)], [(out_shape, np.float32)], table(*fields))[0]
    want = np.take(x, idx, axis, mode="clip")
    if mode == SKIP:
        bad = (idx < 0) | (idx >= shape[axis])
        want = np.where(bad.reshape([-1 if d == axis else 1 for d in range(3)]), np.float32(9), want)
    np.testing.assert_array_equal(got, want)


def test_large_gathers_are_split():
    rng = np.random.default_rng(0)
    x, idx = rng.standard_normal((1000, 33)).astype(np.float32), rng.integers(0, 1000, (50_000, 1)).astype(np.int32)
    tab, shape = plan(CLIP, x.shape, idx, (1, 33), (0,))
    np.testing.assert_array_equal(
        call_kernel("gather_4", [x, idx, x], [(shape, x.dtype)], tab)[0].reshape(-1, 33), x[idx[:, 0]]
    )
    tab, shape = plan(CLIP, (33000,), idx, (1,), (0,))
    np.testing.assert_array_equal(
        call_kernel("gather_4", [x.ravel(), idx, x], [(shape, x.dtype)], tab)[0].ravel(), x.ravel()[idx[:, 0]]
    )
    big = rng.standard_normal((700, 800)).astype(np.float32)
    start = np.array([[3, 5]], np.int32)
    tab, shape = plan(CLIP, big.shape, start, (600, 700), (0, 1))
    np.testing.assert_array_equal(
        call_kernel("gather_4", [big, start, big], [(shape, big.dtype)], tab)[0][0], big[3:603, 5:705]
    )


OPS = {
    "set": lambda a, b: b,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "min": np.minimum,
    "max": np.maximum,
}
TYPES = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "i16": np.int16,
    "i32": np.int32, "i64": np.int64, "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
    "c64": np.complex64, "c128": np.complex128,
}  # fmt: skip


def reference_scatter(op, mode, array, indices, values, sizes, start_map, batching):
    out = array.copy()
    for position, index in windows(mode, array.shape, indices, sizes, start_map, batching):
        if index is not None:
            out[index] = OPS[op](out[index], values[position].reshape(out[index].shape)).astype(out.dtype)
    return out


def kernel_name(op, name):
    return f"scatter_{op}_{np.dtype(TYPES[name]).itemsize if op == 'set' else name}"


@settings(max_examples=400, deadline=None)
@given(problem=problems(), op=st.sampled_from(list(OPS)), name=st.sampled_from(list(TYPES)))
def test_scatter(problem, op, name):
    if name[0] == "c" and op in ("min", "max"):
        return
    mode, shape, indices, sizes, start_map, batching = problem
    rng = np.random.default_rng(0)
    array = rng.integers(0, 5, shape).astype(TYPES[name])
    tab, values_shape = plan(mode, shape, indices, sizes, start_map, batching)
    values = rng.integers(0, 5, values_shape).astype(TYPES[name])
    with np.errstate(all="ignore"):
        want = reference_scatter(op, mode, array, indices, values, sizes, start_map, batching)
    got = call_kernel(kernel_name(op, name), [indices, values], [array], tab)[0]
    if name[0] == "c":
        np.testing.assert_allclose(got, want, rtol=1e-5)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(("rows", "width"), [(1000, 1), (100_000, 1), (300, 40), (7, 3)])
def test_large_scatters_do_not_depend_on_threads(op, rows, width):
    rng = np.random.default_rng(0)
    n = 200_000 // width
    array = rng.standard_normal((rows, width)).astype(np.float32)
    indices = rng.integers(-5, rows + 5, (n, 1)).astype(np.int32)
    tab, shape = plan(SKIP, array.shape, indices, (1, width), (0,))
    values = (1 + rng.standard_normal(shape) * 1e-3).astype(np.float32)
    before, results = _native.get_num_threads(), []
    for threads in (1, 2, 3):
        _native.set_num_threads(threads)
        results.append(call_kernel(kernel_name(op, "f32"), [indices, values], [array], tab)[0])
    _native.set_num_threads(before)
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])
    want = array.astype(np.float64)
    ok = (indices[:, 0] >= 0) & (indices[:, 0] < rows)
    flat = values.reshape(n, width).astype(np.float64)[ok]
    if op == "set":
        want[indices[ok, 0]] = flat
    else:
        {"add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[op].at(
            want, indices[ok, 0], flat
        )
    np.testing.assert_allclose(results[0], want, rtol=2e-3)


def test_nan_wins():
    array, indices = np.array([1, np.nan, 3], np.float32), np.array([[0], [1], [2]], np.int32)
    values = np.array([np.nan, 5, 7], np.float32)
    tab, shape = plan(SKIP, (3,), indices, (1,), (0,))
    for op in ("min", "max"):
        got = call_kernel(f"scatter_{op}_f32", [indices, values.reshape(shape)], [array], tab)[0]
        np.testing.assert_array_equal(got, OPS[op](array, values))


def test_agrees_with_jax_on_windows_out_of_bounds():
    x = jnp.arange(10.0)
    idx = jnp.array([[-1], [3], [8], [9]])
    dims = jax.lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(), start_index_map=(0,))
    for mode, jax_mode in [(CLIP, "clip"), (SKIP, "fill")]:
        want = jax.lax.gather(x, idx, dims, (3,), mode=jax_mode, fill_value=-1)
        tab, shape = plan(mode, (10,), np.asarray(idx), (3,), (0,))
        got = call_kernel("gather_4", [np.asarray(x), np.asarray(idx), np.float32(-1)], [(shape, np.float32)], tab)[0]
        np.testing.assert_array_equal(got, np.asarray(want))
    scatter_dims = jax.lax.ScatterDimensionNumbers(
        update_window_dims=(1,), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
    )
    updates = np.arange(12, dtype=np.float32).reshape(4, 3)
    for mode, jax_mode in [(CLIP, "clip"), (SKIP, "drop")]:
        want = jax.lax.scatter_add(x, idx, updates, scatter_dims, mode=jax_mode)
        tab, shape = plan(mode, (10,), np.asarray(idx), (3,), (0,))
        got = call_kernel("scatter_add_f32", [np.asarray(idx), updates], [np.asarray(x)], tab)[0]
        np.testing.assert_array_equal(got, np.asarray(want))
