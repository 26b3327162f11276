"""Convolutions and windows through their public functions: padding, layouts, shapes, transposed convolution, messages."""

import itertools

import jax
import numpy as np
import pytest
from layout_laws import assert_same
from messages import messages_of

import addax
import addax.numpy as jnp
from addax import lax

INF = np.inf


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


X, K = random(2, 3, 6, 7), random(4, 3, 3, 2)


@pytest.mark.parametrize("padding", ["SAME", "VALID", "SAME_LOWER", "same", ((1, 0), (2, -1))])
def test_conv_padding(padding):
    if isinstance(padding, str):
        assert_same(lax.conv(X, K, (2, 1), padding), jax.lax.conv(X, K, (2, 1), padding), 1e-5)
    got = lax.conv_general_dilated(X, K, (1, 2), padding, rhs_dilation=(2, 1))
    assert_same(got, jax.lax.conv_general_dilated(X, K, (1, 2), padding, rhs_dilation=(2, 1)), 1e-5)


@pytest.mark.parametrize(
    "numbers", [("NHWC", "HWIO", "NHWC"), ("CNHW", "HOWI", "WNHC"), None, ("NCHW", "OIHW", "NHWC")]
)
def test_conv_layouts(numbers):
    specs = jax.lax.conv_dimension_numbers((1,) * 4, (1,) * 4, numbers)
    lhs, rhs = (np.transpose(a, np.argsort(spec)) for a, spec in ((X, specs.lhs_spec), (K, specs.rhs_spec)))
    got = lax.conv_general_dilated(lhs, rhs, (1, 1), "SAME", dimension_numbers=numbers)
    assert_same(got, jax.lax.conv_general_dilated(lhs, rhs, (1, 1), "SAME", dimension_numbers=numbers), 1e-5)
    assert tuple(lax.conv_dimension_numbers(lhs.shape, rhs.shape, numbers)) == tuple(specs)


def test_depthwise():
    x, k = random(1, 8, 8, 6), random(3, 3, 1, 12)
    numbers = ("NHWC", "HWIO", "NHWC")
    args = (x, k, (1, 1), "SAME")
    got = lax.conv_general_dilated(*args, dimension_numbers=numbers, feature_group_count=6)
    want = jax.lax.conv_general_dilated(*args, dimension_numbers=numbers, feature_group_count=6)
    assert_same(got, want, 1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "gap"), [*itertools.product([5, 8], [1, 2, 5], [1, 2, 4], [1, 2])]
)
def test_conv_transpose(size, kernel, stride, gap):
    x = random(2, size, 3)
    for flip in (False, True):
        k = random(kernel, 4, 3) if flip else random(kernel, 3, 4)
        for padding in ("SAME", "VALID", [(1, 2)]):
            options = {"rhs_dilation": (gap,), "transpose_kernel": flip}
            got = lax.conv_transpose(x, k, (stride,), padding, **options)
            want = jax.eval_shape(lambda x, k: jax.lax.conv_transpose(x, k, (stride,), padding, **options), x, k)
            assert got.shape == want.shape
    if gap == 1 and kernel > 1:
        assert_same(got, jax.lax.conv_transpose(x, k, (stride,), padding, **options), 1e-5)


def test_conv_transpose_is_the_gradient_of_conv():
    x, k = random(1, 8, 3), random(3, 3, 5)
    numbers = ("NHC", "HIO", "NHC")

    def conv(x):
        return lax.conv_general_dilated(x, k, (2,), "SAME", dimension_numbers=numbers)

    out = conv(x)
    (pulled,) = addax.vjp(conv, x)[1](out)
    assert_same(
        lax.conv_transpose(out, k, (2,), "SAME", dimension_numbers=numbers, transpose_kernel=True), pulled, 1e-5
    )


@pytest.mark.parametrize("numbers", [None, ("NHWC", "HWIO", "NHWC"), ("NCHW", "IOHW", "NWHC")])
def test_patches_and_unshared_kernels(numbers):
    x = np.moveaxis(X, 1, -1) if numbers and numbers[0] == "NHWC" else X
    args, options = ((2, 3), (1, 2), "SAME"), {"rhs_dilation": (2, 1), "dimension_numbers": numbers}
    patches = lax.conv_general_dilated_patches(x, *args, **options)
    assert_same(patches, jax.lax.conv_general_dilated_patches(x, *args, **options))
    specs = jax.lax.conv_dimension_numbers(x.shape, (1,) * 4, numbers)
    shape = [0] * 4
    for d, n in zip(specs.rhs_spec, (5, 18, *(patches.shape[d] for d in specs.out_spec[2:])), strict=True):
        shape[d] = n
    kernels = random(*shape)
    local = ((1, 2), "SAME", (2, 3))
    got = lax.conv_general_dilated_local(x, kernels, *local, **options)
    assert_same(got, jax.lax.conv_general_dilated_local(x, kernels, *local, **options), 1e-4)


def test_shape_rules():
    image, kernel = (2, 8, 9, 3), (3, 3, 3, 4)
    numbers = ("NHWC", "HWIO", "NHWC")
    for name in ("conv_general_shape_tuple", "conv_transpose_shape_tuple"):
        args = (image, kernel, (1, 2), "SAME", numbers)
        assert getattr(lax, name)(*args) == tuple(map(int, getattr(jax.lax, name)(*args)))
    assert lax.conv_shape_tuple((2, 3, 8, 8), (4, 3, 3, 3), (1, 2), "VALID") == (2, 4, 6, 3)
    for args in (((8, 8), (3, 2), (2, 3)), ((5,), (7,), (1,)), ((6,), (2,), (4,))):
        for name in ("SAME", "SAME_LOWER", "VALID"):
            want = [tuple(map(int, p)) for p in jax.lax.padtype_to_pads(*args, name)]
            assert lax.padtype_to_pads(*args, name) == want


def test_empty_convolutions():
    assert lax.conv(random(2, 3, 2, 2), random(4, 3, 3, 3), (1, 1), "VALID").shape == (2, 4, 0, 0)
    assert lax.conv(np.zeros((0, 3, 4, 4), np.float32), random(4, 3, 3, 3), (1, 1), "VALID").shape == (0, 4, 2, 2)
    assert not np.any(lax.conv(np.zeros((1, 0, 4, 4), np.float32), np.zeros((2, 0, 3, 3), np.float32), (1, 1), "SAME"))


# --- windows ---


@pytest.mark.parametrize("op", ["add", "max", "min", "mul"])
@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 0), (0, 2))])
def test_reduce_window(op, padding):
    x = random(5, 6)
    for init in {"add": (0.0, 2.0), "max": (-INF, -5.0), "min": (INF, 5.0), "mul": (1.0, 2.0)}[op]:
        args = ((2, 3), (1, 2), padding)
        got = lax.reduce_window(x, init, getattr(lax, op), *args)
        assert_same(got, jax.lax.reduce_window(x, init, getattr(jax.lax, op), *args), 1e-5)


def test_pooling_knows_its_operation():
    for op, init, name in ((lax.add, 0.0, "sum"), (lax.max, -INF, "max"), (lax.min, INF, "min")):
        program = addax.make_jaxpr(lambda x: lax.reduce_window(x, init, op, (2,)))(np.ones(4, np.float32))
        assert [e.primitive.name for e in program.eqns] == [f"reduce_window_{name}"]


def test_the_first_maximum_of_a_window_gets_the_derivative():
    for dims, padding in (((2, 2), "VALID"), ((2, 2), "SAME"), ((3, 1), "SAME")):
        x = np.ones((3, 4), np.float32)
        got = addax.grad(lambda x: lax.reduce_window(x, -INF, lax.max, dims, (1, 1), padding).sum())(x)
        want = jax.grad(lambda x: jax.lax.reduce_window(x, -INF, jax.lax.max, dims, (1, 1), padding).sum())(x)
        assert_same(got, want)


def test_windows_of_several_arrays_and_bits():
    x = random(3, 4)
    got = lax.reduce_window((x, x), (0.0, 1.0), lambda a, b: (a[0] + b[0], a[1] * b[1]), (2, 2), (1, 1), "SAME")
    want = jax.lax.reduce_window((x, x), (0.0, 1.0), lambda a, b: (a[0] + b[0], a[1] * b[1]), (2, 2), (1, 1), "SAME")
    assert_same(got, want, 1e-5)
    i = np.int32([[1, 2], [3, 4]])
    got = lax.reduce_window(i, 0, lax.bitwise_or, (2, 2), (1, 1), "SAME")
    assert_same(got, jax.lax.reduce_window(i, 0, jax.lax.bitwise_or, (2, 2), (1, 1), "SAME"))


def test_window_shape_rule():
    args = ((8, 7), (3, 2), (2, 1), ((0, 1), (1, 1)))
    assert lax.reduce_window_shape_tuple(*args) == tuple(jax.lax.reduce_window_shape_tuple(*args))


ONES = jnp.ones((3, 4))

MESSAGES = [
    (lambda: lax.conv(X, K[0], (1, 1), "SAME"), TypeError, ["ndim to be equal, got 4 and 3"]),
    (lambda: lax.conv(X, K, (1,), "SAME"), ValueError, ["window and window_strides", "2 and 1"]),
    (lambda: lax.conv(X, K, (1, 1), "FOO"), RuntimeError, ["'VALID', 'SAME', or 'SAME_LOWER'", "FOO"]),
    (lambda: lax.conv(X, K[:, :2], (1, 1), "SAME"), ValueError, ["3 // 1 != 2"]),
    (lambda: lax.conv(X, np.int32(K), (1, 1), "SAME"), TypeError, ["same dtypes, got float32, int32"]),
    (lambda: lax.conv_general_dilated(X, K, (0, 1), "SAME"), TypeError, ["positive", "(0, 1)"]),
    (lambda: lax.conv_general_dilated(X, K, (1, 1), [(1, 1)]), ValueError, ["one (low, high) pair per dimension"]),
    (
        lambda: lax.conv_general_dilated(X, K, (1, 1), "SAME", feature_group_count=2),
        ValueError,
        ["2 does not divide 3"],
    ),
    (lambda: lax.conv_general_dilated(X, K, (1, 1), "SAME", batch_group_count=3), ValueError, ["3 does not divide 2"]),
    (
        lambda: lax.conv_general_dilated(X, K, (1, 1), "SAME", lhs_dilation=(2, 2)),
        ValueError,
        ["String padding", "conv_transpose"],
    ),
    (
        lambda: lax.conv_general_dilated(X, K, (1, 1), "SAME", dimension_numbers=("NHHC", "OIHW", "NHWC")),
        TypeError,
        ["duplicate characters, got NHHC"],
    ),
    (
        lambda: lax.conv_general_dilated(X, K, (1, 1), "SAME", dimension_numbers=("NHWD", "OIHW", "NHWC")),
        TypeError,
        ["'N' and 'C' exactly once"],
    ),
    (lambda: lax.reduce_window(ONES, 0.0, lax.add, (2,)), ValueError, ["one (low, high) pair per dimension"]),
    (lambda: lax.reduce_window(ONES, 0.0, lax.add, (2, 2), (0, 1)), TypeError, ["strictly positive", "(0, 1)"]),
    (lambda: lax.reduce_window(ONES, 0.0, lax.add, 2), TypeError, ["write (2,)"]),
]

test_messages = messages_of(MESSAGES)
