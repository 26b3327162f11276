"""Reductions, statistics and cumulative functions against JAX."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from oracle import Weak, batched, sample

import addax

DTYPES = ["bool", "int8", "uint8", "float16", ml_dtypes.bfloat16, "float32", "complex64"]
FOLDS = ["sum", "prod", "max", "min", "amax", "amin", "all", "any"]
NAN_FOLDS = ["nansum", "nanprod", "nanmax", "nanmin"]
SPREADS = ["mean", "var", "std"]
NAN_SPREADS = ["nanmean", "nanvar", "nanstd"]
OTHERS = ["ptp", "count_nonzero", "median"]
POSITIONS = ["argmax", "argmin", "nanargmax", "nanargmin"]
RUNNING = ["cumsum", "cumprod", "nancumsum", "nancumprod"]

RTOL = {"prod": 2e-5, "nanprod": 2e-5, "cumprod": 2e-5, "nancumprod": 2e-5}


def with_nan(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x[0, 1] = np.nan
    x[:, 2] = np.nan
    return x


@pytest.mark.parametrize("name", [*FOLDS, *SPREADS, *OTHERS])
@batched
def test_dtypes_and_axes(check, name):
    for dtype in DTYPES:
        x = sample(dtype, (3, 4))
        if name == "ptp" and dtype == "bool":
            continue
        if dtype == "complex64" and name in ("all", "any"):
            continue  # JAX looks at the real part only
        check(name, x, rtol=RTOL.get(name))
        check(name, x, 1, rtol=RTOL.get(name))
    x = sample("float32", (2, 3, 4))
    for axis in (0, -1, (0, 2), (2, 0), (-1, 0), [0, 1], (), 3, (0, 0), 1.0, np.int32(1)):
        if name in ("median", "count_nonzero") and (isinstance(axis, list) or str(axis) in ("()", "3", "(0, 0)")):
            continue
        check(name, x, axis=axis, rtol=RTOL.get(name))
        check(name, x, axis=axis, keepdims=True, rtol=RTOL.get(name))


@pytest.mark.parametrize("name", [*FOLDS, *SPREADS, *OTHERS, *NAN_FOLDS, *NAN_SPREADS, *POSITIONS, *RUNNING])
@batched
def test_scalars_empty_and_errors(check, name):
    for x in (True, 3, 2.5, Weak(3), Weak(2.5), 1.5 + 1j):
        if (name == "ptp" and x is True) or (name in ("median", *POSITIONS) and isinstance(x, complex)):
            continue
        check(name, x, rtol=RTOL.get(name))
    if name != "median" and name not in POSITIONS:
        check(name, np.zeros((0, 3), np.float32))
        check(name, np.zeros((0, 3), np.float32), 1) if name not in RUNNING else None
    check(name, [1.0, 2.0])
    check(name, None)
    if name not in ("count_nonzero", "median"):
        check(name, np.ones(3, np.float32), out=3)


@pytest.mark.parametrize("name", [*NAN_FOLDS, *NAN_SPREADS])
@batched
def test_skipping_nan(check, name):
    x = with_nan(sample("float32", (3, 4)))
    for axis in (None, 0, 1, (0, 1)):
        check(name, x, axis, rtol=RTOL.get(name))
        check(name, x, axis, keepdims=True, rtol=RTOL.get(name))
    check(name, sample("int32", (3, 4)), rtol=RTOL.get(name))
    check(name, x.astype(np.float16), 0, rtol=RTOL.get(name))
    check(name, sample("bool", (3, 4)), rtol=RTOL.get(name))


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "nansum", "nanprod", "nanmax", "nanmin"])
@batched
def test_initial_and_where(check, name):
    x, mask = sample("float32", (3, 4)), sample("bool", (3, 4), seed=5)
    for initial in (2, 2.5, np.float32(1)):
        check(name, x, 0, initial=initial)
        check(name, x, 0, initial=initial, where=mask)
        check(name, sample("int8", (3, 4)), initial=initial)
    check(name, x, 1, where=mask)
    check(name, x, 1, initial=0, where=mask[0])
    check(name, x, initial=np.ones(2, np.float32))
    check(name, x, initial=0, where=2)
    check(name, x, initial=0, where=[True] * 4)
    check(name, np.zeros((0, 3), np.float32), initial=3.0)


@batched
def test_where_of_others(check):
    x, mask = sample("float32", (3, 4)), sample("bool", (3, 4), seed=5)
    for name in ("all", "any", "mean", "var", "std"):
        check(name, x, where=mask)
        check(name, x, axis=1, where=mask, keepdims=True)
        check(name, x, axis=0, where=mask[0])
    for name in ("nanmean", "nanvar", "nanstd"):
        check(name, with_nan(x), axis=1, where=mask)
    check("var", x, axis=1, where=mask, ddof=1)


@batched
def test_dtype_argument(check):
    for dtype in DTYPES:
        x = sample(dtype, (3, 4))
        for to in ("int32", "float16", "float32", "complex64", "int8"):
            for name in ("sum", "prod", "mean", "cumsum"):
                if dtype == "complex64" and name in ("mean",) and to != "complex64":
                    continue
                check(name, x, dtype=to, rtol=2e-3 if to == "float16" else 2e-5)
    check("sum", sample("int8", 5), promote_integers=False)
    check("prod", sample("uint8", 5), promote_integers=False)
    check("var", sample("float32", 5), dtype="float16")
    check("std", sample("float32", 5), dtype="int32")
    check("var", sample("complex64", 5), dtype="float32")


@batched
def test_variance_arguments(check):
    x = sample("float32", (3, 4))
    for ddof in (0, 1, 3, 4, 5, 0.5):
        check("var", x, 1, ddof=ddof)
        check("std", x, 1, correction=ddof)
    check("var", x, 1, ddof=1, correction=1)
    check("var", x, 1, mean=np.ones((3, 1), np.float32))
    check("std", x, mean=np.float32(1))
    check("nanvar", with_nan(x), 1, ddof=2)


@pytest.mark.parametrize("name", POSITIONS)
@batched
def test_positions(check, name):
    for dtype in DTYPES:
        if dtype == "complex64":
            continue
        x = sample(dtype, (3, 4))
        check(name, x)
        check(name, x, 1)
        check(name, x, 0, keepdims=True)
    check(name, x, keepdims=True)
    check(name, np.ones((2, 3), np.float32))
    check(name, with_nan(sample("float32", (3, 4))), 0)
    check(name, with_nan(sample("float32", (3, 4))))
    check(name, np.zeros(0, np.float32))
    check(name, np.zeros((2, 3), np.float32), 2)
    check(name, np.zeros((2, 3), np.float32), (0, 1))


@pytest.mark.parametrize("name", RUNNING)
@batched
def test_running(check, name):
    for dtype in DTYPES:
        x = sample(dtype, (3, 4))
        check(name, x, rtol=2e-3 if dtype == "float16" else RTOL.get(name))
        check(name, x, -1, rtol=2e-3 if dtype == "float16" else RTOL.get(name))
        check(name, x, 0, "float32", rtol=RTOL.get(name))
    check(name, with_nan(sample("float32", (3, 4))), 1, rtol=RTOL.get(name))
    check(name, x, 2)
    check(name, x, (0, 1))


@batched
def test_cumulative_of_the_array_api(check):
    for name in ("cumulative_sum", "cumulative_prod"):
        check(name, np.arange(4), include_initial=True)
        check(name, sample("float32", (3, 4)), axis=1, include_initial=True)
        check(name, sample("float32", (3, 4)), axis=-2, dtype="int32")
        check(name, sample("float32", (3, 4)))
        check(name, 1)


@batched
def test_average(check):
    x = sample("float32", (3, 4))
    check("average", x)
    check("average", x, 1, keepdims=True)
    check("average", np.arange(4), weights=np.arange(4))
    check("average", x, 0, np.arange(3), returned=True)
    check("average", x, (0, 1), np.abs(x), returned=True)
    check("average", x, 1, returned=True)
    check("average", x, weights=np.arange(3))
    check("average", x, 1, weights=np.arange(3))
    check("average", sample("complex64", 4), weights=np.arange(4))


@batched
def test_quantiles(check):
    x = sample("float32", (3, 5))
    for method in ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf"):
        for q in (0.0, 0.3, 0.5, 1.0, 1.3):
            check("quantile", x, q, method=method)
        check("quantile", x, np.array([0.1, 0.5], np.float32), axis=1, method=method, keepdims=True)
        check("quantile", sample("int32", 6), 0.4, method=method)
        check("nanquantile", with_nan(x), 0.4, axis=1, method=method)
    check("percentile", x, 30, axis=0)
    check("percentile", x, np.array([10, 90], np.float32), axis=(0, 1))
    check("nanpercentile", with_nan(x), 30, axis=0)
    check("median", with_nan(x), axis=1)
    check("nanmedian", with_nan(x), axis=0)
    check("median", sample("float16", (3, 4)), axis=(0, 1), keepdims=True)
    check("median", sample("complex64", 4))
    check("quantile", x, 0.3, method="bad")
    check("quantile", x, np.ones((1, 1), np.float32))
    check("quantile", np.arange(4.0, dtype=np.float32), 0.3, weights=np.ones(4, np.float32))
    check("quantile", x, 0.3, axis=1, weights=np.abs(x), method="inverted_cdf")
    check("median", np.array([np.inf, np.inf, -np.inf, 1], np.float32))


@batched
def test_covariance(check):
    x, y = sample("float32", (3, 6)), sample("float32", (2, 6), seed=1)
    for kw in ({}, {"bias": True}, {"ddof": 2}, {"rowvar": False}, {"fweights": np.array([1, 2, 1, 1, 3, 1])},
               {"aweights": np.arange(6.0, dtype=np.float32)}):  # fmt: skip
        if kw.get("rowvar") is False:
            check("cov", x.T.copy(), **kw)
        else:
            check("cov", x, y, rtol=2e-5, **kw)
    check("cov", np.arange(4))
    check("cov", sample("complex64", (2, 5)), rtol=2e-5)
    check("corrcoef", x, rtol=2e-5)
    check("corrcoef", x, y, rtol=2e-5)
    check("corrcoef", sample("complex64", (2, 5)), rtol=2e-5)
    check("corrcoef", x[0], rtol=2e-5)


@batched
def test_ufunc_methods(check):
    x = sample("float32", (3, 4))
    for name in ("add", "multiply", "subtract", "maximum", "minimum", "logaddexp", "logical_and", "logical_xor"):
        check(f"{name}.reduce", x, rtol=2e-5)
        check(f"{name}.reduce", x, 1, keepdims=True, rtol=2e-5)
        check(f"{name}.reduce", x, None, rtol=2e-5)
        check(f"{name}.accumulate", x, 1, rtol=2e-5)
        check(f"{name}.outer", x, x[0], rtol=2e-5)
        if not name.startswith("logical"):  # JAX: floats where a part has one element
            check(f"{name}.reduceat", x, np.array([0, 2, 1]), 1, rtol=2e-5)
    check("add.reduce", x, initial=3.0, where=x > 0)
    check("maximum.reduce", x, where=x > 0)
    check("bitwise_and.reduce", sample("int32", (3, 4)))
    for name in ("add", "multiply", "subtract", "maximum", "logaddexp"):
        check(f"{name}.at", x, (np.array([0, 1, 1]), np.array([0, 2, 2])), 2.0, inplace=False, rtol=2e-5)
    check("negative.at", x, 0, inplace=False)
    check("add.at", x, 0, 1.0)
    assert isinstance(addax.numpy.add, addax.numpy.ufunc) and addax.numpy.add.nin == 2
    far = addax.numpy.frompyfunc(lambda a, b: a * a + b, 2, 1, identity=0)
    assert far(2, np.arange(3)).tolist() == [4, 5, 6]
    assert int(far.reduce(addax.numpy.arange(4))) == 12


@pytest.mark.parametrize("name", [*FOLDS, *SPREADS, "argmax", "cumsum", "median", "ptp", "nansum", "nanmean"])
def test_traced_like_eager(name):
    x = sample("float32", (3, 4))
    fun = getattr(addax.numpy, name)
    for axis in (None, 1):
        eager, traced = fun(x, axis=axis), addax.jit(lambda x, axis=axis: fun(x, axis=axis))(x)
        assert eager.dtype == traced.dtype
        np.testing.assert_allclose(np.asarray(eager), np.asarray(traced), rtol=1e-6)
        rows = addax.vmap(fun)(x)
        np.testing.assert_allclose(np.asarray(rows), np.stack([np.asarray(fun(r)) for r in x]), rtol=1e-5, atol=1e-6)
