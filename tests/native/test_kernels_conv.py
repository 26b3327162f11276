"""The convolution kernel against jax.lax.conv_general_dilated: any layout, stride, padding, dilation and grouping."""

from __future__ import annotations

import jax
import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from native_programs import call_kernel, isas, table


def elements(x):
    return [s // x.itemsize for s in x.strides]


def conv(x, w, strides, padding, lhs_dilation, rhs_dilation, groups, kernel, out_dtype, isa=None, batch_groups=1):
    """x [N, C, *spatial], w [O, I, *spatial], both possibly views of some other layout; returns [N, O, *spatial]."""
    rank = x.ndim - 2
    out_sizes = []
    for d in range(rank):
        size = max(0, (x.shape[2 + d] - 1) * lhs_dilation[d] + 1) + sum(padding[d])
        window = (w.shape[2 + d] - 1) * rhs_dilation[d] + 1
        out_sizes.append(max(0, (size - window) // strides[d] + 1))
    g = groups * batch_groups
    n, features = x.shape[0] // batch_groups, w.shape[0]
    out = np.empty((n, *out_sizes, features), out_dtype)
    xs, ws, os = elements(x), elements(w), elements(np.moveaxis(out, -1, 1))
    channels = x.shape[1] // groups
    fields = [rank, n, g, channels, features // g, 0, 0, 0]
    fields += [xs[0], n * xs[0] if batch_groups > 1 else channels * xs[1], xs[1]]
    fields += [features // g * ws[0], ws[1], ws[0], os[0], features // g * os[1], os[1]]
    for d in range(rank):
        fields += [
            x.shape[2 + d],
            w.shape[2 + d],
            out_sizes[d],
            strides[d],
            padding[d][0],
            lhs_dilation[d],
            rhs_dilation[d],
        ]
        fields += [xs[2 + d], ws[2 + d], os[2 + d]]
    got = call_kernel(kernel, [memory(x), memory(w)], [(out.shape, out.dtype)], table(*fields), isa)[0]
    return np.moveaxis(got, -1, 1)


def memory(x):
    """The (dense) memory of a view, in address order."""
    return x.transpose(np.argsort([-s for s in x.strides], kind="stable"))


@st.composite
def problems(draw):
    rank = draw(st.integers(0, 3))
    groups, batch_groups = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (5, 1), (1, 2)]))
    n, c, o = draw(st.integers(1, 3)) * batch_groups, draw(st.integers(1, 9)), draw(st.integers(1, 20)) * batch_groups
    if draw(st.booleans()) and batch_groups == 1:
        c = o = 1  # depthwise when grouped
    spatial = [draw(st.integers(1, 9)) for _ in range(rank)]
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    lhs = [draw(st.sampled_from([1, 1, 2, 3])) for _ in range(rank)]
    rhs = [draw(st.sampled_from([1, 1, 2, 3])) for _ in range(rank)]
    padding = [(draw(st.integers(-1, 4)), draw(st.integers(-1, 4))) for _ in range(rank)]
    orders = [draw(st.permutations(range(rank + 2))) for _ in range(2)]
    return groups, batch_groups, n, c, o, spatial, kernel, strides, lhs, rhs, padding, orders


def laid_out(rng, shape, order, dtype):
    """A random array of `shape` whose memory has its dimensions in `order`."""
    base = rng.integers(-4, 5, [shape[d] for d in order]).astype(dtype)
    return base.transpose(np.argsort(order))


@pytest.mark.parametrize("isa", isas())
@settings(max_examples=30, deadline=None)
@given(problem=problems())
def test_against_jax(isa, problem):
    groups, batch_groups, n, c, o, spatial, kernel, strides, lhs, rhs, padding, orders = problem
    # JAX refuses inputs that negative padding leaves nothing of.
    assume(all((s - 1) * d + 1 + sum(p) > 0 for s, d, p in zip(spatial, lhs, padding, strict=True)))
    rng = np.random.default_rng(0)
    x = laid_out(rng, (n, c * groups, *spatial), orders[0], np.float32)
    w = laid_out(rng, (o * groups, c, *kernel), orders[1], np.float32)
    # Padded beforehand: XLA's convolution on the CPU is wrong where some padding is negative (jaxlib 0.10.2).
    config = [(0, 0, 0), (0, 0, 0), *((lo, hi, d - 1) for (lo, hi), d in zip(padding, lhs, strict=True))]
    want = jax.lax.conv_general_dilated(
        jax.lax.pad(x, np.float32(0), config), w, strides, [(0, 0)] * len(padding), None, rhs,
        feature_group_count=groups, batch_group_count=batch_groups,
    )  # fmt: skip
    got = conv(x, w, strides, padding, lhs, rhs, groups, "conv_f32_f32", np.float32, isa, batch_groups)
    np.testing.assert_array_equal(got, np.asarray(want))


TYPES = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i8": np.int8, "u8": np.uint8,
    "i16": np.int16, "u16": np.uint16, "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64,
}  # fmt: skip


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize(("ins", "out"), [(t, t) for t in TYPES] + [("f16", "f32"), ("bf16", "f32"), ("i8", "i32")])
def test_dtypes(isa, ins, out):
    rng = np.random.default_rng(1)
    low = 0 if ins[0] == "u" else -3
    x = rng.integers(low, 4, (2, 3, 7, 6)).astype(TYPES[ins])
    w = rng.integers(low, 4, (5, 3, 3, 2)).astype(TYPES[ins])
    wide = jax.lax.conv(x.astype(np.float32), w.astype(np.float32), (1, 1), "VALID")
    got = conv(x, w, (1, 1), [(0, 0)] * 2, (1, 1), (1, 1), 1, f"conv_{ins}_{out}", TYPES[out], isa)
    np.testing.assert_array_equal(got, np.asarray(wide).astype(TYPES[out]))


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize(("c", "o", "groups"), [(1, 32, 1), (32, 64, 1), (3, 70, 1), (700, 20, 1), (40, 1, 300)])
def test_large(isa, c, o, groups):
    rng = np.random.default_rng(2)
    c = 1 if groups > 1 else c
    x = rng.standard_normal((4, 14, 15, c * groups), np.float32).transpose(0, 3, 1, 2)
    w = rng.standard_normal((3, 3, c, o * groups), np.float32).transpose(3, 2, 0, 1)
    padding = [(1, 1), (1, 1)]
    want = jax.lax.conv_general_dilated(x, w, (1, 1), padding, feature_group_count=groups)
    got = conv(x, w, (1, 1), padding, (1, 1), (1, 1), groups, "conv_f32_f32", np.float32, isa)
    np.testing.assert_allclose(got, np.asarray(want), rtol=1e-4, atol=1e-3)


# Rows of pixels, few features: (input, kernel [O, I, ...], padding, dilation of the kernel, groups, order of x's memory)
LINES = {
    "a signal": ((1, 1, 1000), (1, 1, 17), [(16, 16)], (1,), 1, (0, 1, 2)),
    "a batch, channels last": ((3, 5, 300), (2, 5, 9), [(4, 4)], (1,), 1, (0, 2, 1)),
    "cropped, dilated": ((2, 2, 700), (1, 2, 5), [(-3, 40)], (7,), 1, (0, 1, 2)),
    "an image": ((2, 3, 9, 150), (2, 3, 3, 4), [(1, 2), (3, 0)], (2, 3), 1, (0, 2, 3, 1)),
    "channels apart": ((2, 6, 5, 130), (6, 1, 3, 3), [(1, 1), (1, 1)], (1, 1), 6, (0, 1, 2, 3)),
    "a kernel longer than what is left": ((1, 1, 5000), (1, 1, 4900), [(0, 0)], (1,), 1, (0, 1, 2)),
    "only padding": ((1, 1, 3), (1, 1, 2), [(200, 100)], (1,), 1, (0, 1, 2)),
}


@pytest.mark.parametrize("what", LINES)
@pytest.mark.parametrize("types", ["f32_f32", "f64_f64", "bf16_f32", "i16_i16"])
def test_lines(what, types):
    x_shape, w_shape, padding, dilation, groups, order = LINES[what]
    names = {"f32": np.float32, "f64": np.float64, "bf16": ml_dtypes.bfloat16, "i16": np.int16}
    dtype, out_dtype = (names[t] for t in types.split("_"))
    rng, ones = np.random.default_rng(0), (1,) * len(padding)
    x = laid_out(rng, x_shape, order, dtype)
    w = rng.integers(-4, 5, w_shape).astype(dtype)
    padded = jax.lax.pad(x.astype(np.float32), np.float32(0), [(0, 0, 0), (0, 0, 0), *((*p, 0) for p in padding)])
    wanted = jax.lax.conv_general_dilated(
        padded, w.astype(np.float32), ones, "VALID", rhs_dilation=dilation, feature_group_count=groups,
        precision="highest",
    )  # fmt: skip
    for isa in isas():
        got = conv(x, w, ones, padding, ones, dilation, groups, f"conv_{types}", out_dtype, isa)
        assert np.array_equal(got.astype(np.float32), np.asarray(wanted, out_dtype).astype(np.float32))


# Windows as wide as images, as gradients of kernels have them: (input, kernel [O, I, ...], padding, strides, dilation of input
# and kernel, groups, groups of the batch, orders of the memory of x and w)
WIDE = {
    "channels last": ((16, 32, 14, 14), (32, 32, 14, 14), [(1, 1)] * 2, (1, 1), (1, 1), (1, 1), 1, 1, (1, 2, 3, 0), (1, 2, 3, 0)),
    "one channel": ((1, 4, 28, 28), (16, 4, 28, 28), [(1, 1)] * 2, (1, 1), (1, 1), (1, 1), 1, 1, (1, 2, 3, 0), (1, 2, 3, 0)),
    "channels first": ((20, 3, 13, 17), (70, 3, 13, 17), [(1, 1)] * 2, (1, 1), (1, 1), (1, 1), 1, 1, (1, 0, 2, 3), (1, 0, 2, 3)),
    "of a strided convolution": ((7, 5, 20, 21), (9, 5, 10, 10), [(0, 1), (1, 1)], (1, 1), (1, 1), (2, 2), 1, 1, (1, 2, 3, 0), (1, 2, 3, 0)),
    "of a dilated image": ((3, 2, 9, 11), (5, 2, 15, 20), [(1, 2), (0, 1)], (1, 1), (2, 2), (1, 1), 1, 1, (1, 2, 3, 0), (1, 2, 3, 0)),
    "strides, cropped": ((3, 2, 30, 31), (5, 2, 25, 20), [(-1, 0), (0, -2)], (2, 3), (1, 1), (1, 1), 1, 1, (1, 2, 3, 0), (1, 2, 3, 0)),
    "depthwise": ((70, 3, 12, 12), (70, 3, 12, 12), [(1, 1)] * 2, (1, 1), (1, 1), (1, 1), 1, 70, (1, 2, 3, 0), (1, 2, 3, 0)),
    "depthwise, dilated": ((128, 1, 40, 9), (128, 1, 18, 4), [(2, 0), (1, 1)], (1, 1), (1, 1), (2, 2), 1, 128, (1, 2, 3, 0), (1, 2, 3, 0)),
    "groups of the batch": ((8, 3, 12, 12), (40, 3, 12, 12), [(1, 1)] * 2, (1, 1), (1, 1), (1, 1), 1, 4, (1, 2, 3, 0), (1, 2, 3, 0)),
    "a signal": ((20, 6, 700), (9, 6, 690), [(3, 4)], (1,), (1,), (1,), 1, 1, (1, 2, 0), (1, 2, 0)),
    "more rows than a block": ((40, 2, 9, 9), (150, 2, 9, 9), [(1, 1)] * 2, (1, 1), (1, 1), (1, 1), 1, 1, (1, 2, 3, 0), (1, 2, 3, 0)),
}  # fmt: skip


@pytest.mark.parametrize("what", WIDE)
def test_windows_as_wide_as_images(what):
    x_shape, w_shape, padding, strides, lhs, rhs, groups, batch_groups, x_order, w_order = WIDE[what]
    rng = np.random.default_rng(0)
    x, w = laid_out(rng, x_shape, x_order, np.float32), laid_out(rng, w_shape, w_order, np.float32)
    config = [(0, 0, 0), (0, 0, 0), *((lo, hi, d - 1) for (lo, hi), d in zip(padding, lhs, strict=True))]
    wanted = jax.lax.conv_general_dilated(
        jax.lax.pad(x, np.float32(0), config), w, strides, "VALID", None, rhs, feature_group_count=groups,
        batch_group_count=batch_groups, precision="highest",
    )  # fmt: skip
    for types, dtype, out_dtype in (
        ("f32_f32", np.float32, np.float32), ("bf16_f32", ml_dtypes.bfloat16, np.float32), ("i16_i16", np.int16, np.int16),
    ):  # fmt: skip
        for isa in isas():
            got = conv(x.astype(dtype, order="K"), w.astype(dtype, order="K"), strides, padding, lhs, rhs, groups,
                       f"conv_{types}", out_dtype, isa, batch_groups)  # fmt: skip
            np.testing.assert_array_equal(got, np.asarray(wanted).astype(out_dtype), f"{types} {isa}")
