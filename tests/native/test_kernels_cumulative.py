"""Running reductions against NumPy, forwards and backwards, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from native_programs import call_kernel, isas, table

DTYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u32": np.uint32, "u64": np.uint64}
UFUNC = {
    "cumsum": np.add,
    "cumprod": np.multiply,
    "cummax": np.maximum,
    "cummin": np.minimum,
    "cumlogsumexp": np.logaddexp,
}
SHAPES = [(1, 1, 1), (3, 17, 1), (2, 100, 5), (1, 64, 300), (5, 1, 4), (4, 0, 3), (20, 333, 1)]


def inputs(op, dtype, shape):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind == "f":
        x = rng.standard_normal(shape).astype(dtype)
        return np.exp(x * 0.1).astype(dtype) if op == "cumprod" else x
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def expected(op, x, reverse):
    wide = x.astype(np.float64) if x.dtype == np.float32 else x
    flipped = wide[:, ::-1] if reverse else wide
    y = UFUNC[op].accumulate(flipped, axis=1, dtype=wide.dtype)
    return y[:, ::-1] if reverse else y


def run(op, name, x, reverse, isa=None):
    return call_kernel(f"{op}_{name}", [x], [(x.shape, x.dtype)], table(*x.shape, reverse), isa)[0]


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("op", UFUNC)
def test_cumulative(isa, reverse, name, op):
    if op == "cumlogsumexp" and name[0] != "f":
        pytest.skip("floats only")
    for shape in SHAPES:
        x = inputs(op, DTYPES[name], shape)
        got, want = run(op, name, x, reverse, isa), expected(op, x, reverse)
        if name[0] == "f":
            tol = 2e-6 if name == "f32" else 1e-12
            np.testing.assert_allclose(got, want, rtol=tol, atol=tol * shape[1] ** 0.5)
        else:
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("op", "name"), [("cumsum", "i64"), ("cummax", "f32"), ("cummin", "i32"), ("cumprod", "u32")])
def test_long_axis_is_split(isa, reverse, op, name):
    x = inputs(op, DTYPES[name], (2, 300_001, 1))
    if op == "cumprod":
        x |= 1
    np.testing.assert_array_equal(run(op, name, x, reverse, isa), expected(op, x, reverse))


def test_long_float_sum_does_not_depend_on_threads():
    from addax import _native

    x = inputs("cumsum", np.float32, (1, 300_001, 1))
    before, results = _native.get_num_threads(), []
    for threads in (1, 2, 3):
        _native.set_num_threads(threads)
        results.append(run("cumsum", "f32", x, False))
    _native.set_num_threads(before)
    np.testing.assert_allclose(results[0], expected("cumsum", x, False), rtol=1e-4, atol=1e-2)
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("op", ["cummax", "cummin", "cumlogsumexp", "cumsum"])
def test_special_values(isa, op):
    for inner in (1, 3):
        x = np.array([1, -np.inf, 3, 2, np.inf, 4, np.nan, 5, -np.inf] * 9, np.float32)
        x = np.repeat(x.reshape(1, -1, 1), inner, 2)
        for reverse in (False, True):
            with np.errstate(invalid="ignore"):
                want = expected(op, x, reverse)
            np.testing.assert_allclose(run(op, "f32", x, reverse, isa), want, rtol=1e-6)
        low = np.full((1, 40, inner), -np.inf, np.float32)
        if op != "cumsum":
            np.testing.assert_array_equal(run(op, "f32", low, False, isa), low)


@pytest.mark.parametrize("isa", isas())
def test_zero_is_above_minus_zero(isa):
    for n, inner in ((2, 1), (40, 1), (40, 3)):
        zeros = np.random.default_rng(n).choice([0.0, -0.0], (2, n, inner))
        for name in ("f32", "f64"):
            x = zeros.astype(DTYPES[name])
            for reverse in (False, True):
                signs = np.signbit(x)[:, ::-1] if reverse else np.signbit(x)
                for op, running in (("cummax", np.logical_and), ("cummin", np.logical_or)):
                    want = running.accumulate(signs, axis=1)
                    got = np.signbit(run(op, name, x, reverse, isa))
                    np.testing.assert_array_equal(got, want[:, ::-1] if reverse else want)
