"""Accuracy of the vector elementary functions, in units of the last place, against 80-bit libm and mpmath."""

from __future__ import annotations

import platform

import mpmath as mp
import numpy as np
import pytest
from nest_tools import TARGETS, apply, ulp_error

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the references are 80-bit long doubles"),
]
targets = pytest.mark.parametrize("target", TARGETS, ids=str)
L = np.longdouble

# name: (reference, bound for float32, bound for float64), bounds in ulp
FUNCTIONS = {
    "exp": (np.exp, 1.1, 1.15),
    "exp2": (np.exp2, 1.1, 1.15),
    "expm1": (np.expm1, 1.6, 1.8),
    "log": (np.log, 0.85, 0.85),
    "log1p": (np.log1p, 0.85, 0.85),
    "logistic": (lambda x: 1 / (1 + np.exp(-x)), 2.4, 2.4),
    "tanh": (np.tanh, 1.6, 1.6),
    "sinh": (np.sinh, 0.51, 2.2),
    "cosh": (np.cosh, 0.51, 1.6),
    "asinh": (np.arcsinh, 0.51, 1.9),
    "acosh": (np.arccosh, 0.51, 1.9),
    "atanh": (np.arctanh, 0.51, 2.1),
    "sin": (np.sin, 1.6, 1.6),
    "cos": (np.cos, 1.6, 1.6),
    "tan": (np.tan, 0.51, 2.9),
    "asin": (np.arcsin, 0.51, 0.8),
    "acos": (np.arccos, 0.51, 1.2),
    "atan": (np.arctan, 0.51, 1.5),
    "cbrt": (np.cbrt, 0.51, 0.6),
    "sqrt": (np.sqrt, 0.5, 0.5),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5, 1.5),
}
# Slow references: fewer points.
SPECIAL = {"erf": (mp.erf, 1.1, 1.1), "erfc": (mp.erfc, 0.51, 4.0)}
EDGES = [
    0,
    -0.0,
    np.inf,
    -np.inf,
    np.nan,
    1,
    -1,
    0.5,
    -0.5,
    2,
    88.7228,
    88.7229,
    -87.33,
    -87.34,
    709.78,
    709.79,
    -708.39,
    -708.4,
    127,
    128,
]
EDGES += [-126, -127, 1023.9, 1024, -1022, -1022.5, 1e30, -1e30, 1e-30, -1e-30, 1e5, 1e9, 3.1415927, 1.5707964, 1e22]


def points(dtype: str, n: int, seed: int = 0) -> np.ndarray:
    """Random bit patterns, normals at several scales, uniforms and the edges; no subnormals (they are flushed)."""
    rng = np.random.default_rng(seed)
    bits = {"float32": np.uint32, "float64": np.uint64}[dtype]
    parts = [rng.integers(0, np.iinfo(bits).max, n, dtype=bits, endpoint=True).view(dtype)]
    parts += [(rng.standard_normal(n) * s).astype(dtype) for s in (0.1, 1, 10, 100)]
    parts += [rng.uniform(-1, 1, n).astype(dtype), np.array(EDGES).astype(dtype)]
    x = np.concatenate(parts)
    return np.where(np.abs(x) < np.finfo(dtype).tiny, x * 0, x)


def worst(op: str, x: np.ndarray, exact: np.ndarray, target) -> tuple[float, str]:
    got = apply(op, [x], x.dtype.name, target)
    error = ulp_error(got, exact)
    k = int(np.argmax(error))
    return float(error[k]), f"{op}({x[k]!r}) = {got[k]!r}, exactly {exact[k]!r}: {error[k]:.3f} ulp"


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", FUNCTIONS)
def test_accuracy(op, dtype, target, n=4000):
    reference, *bounds = FUNCTIONS[op]
    x = points(dtype, n)
    error, shown = worst(op, x, reference(x.astype(L)), target)
    assert error <= bounds[dtype == "float64"], shown


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", FUNCTIONS)
def test_accuracy_sweep(op, dtype):
    test_accuracy(op, dtype, None, n=400_000)


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", SPECIAL)
def test_error_functions(op, dtype, target):
    reference, *bounds = SPECIAL[op]
    x = points(dtype, 150)
    x = x[(np.abs(x) < 30) | ~np.isfinite(x)]
    with mp.workdps(40):
        exact = np.array([L(mp.nstr(reference(mp.mpf(float(v))), 25)) for v in x])
    error, shown = worst(op, x, exact, target)
    assert error <= bounds[dtype == "float64"], shown


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_inv(dtype, target):
    """Double to 3 ulp; float as inexact as log1p(-x*x) is near |x| = 1, by choice (see vecmath_special)."""
    x = np.concatenate(
        [np.random.default_rng(0).uniform(-1, 1, 400), 1 - np.logspace(-6, -1, 50), np.logspace(-20, -1, 30)]
    ).astype(dtype)
    with mp.workdps(40):
        exact = np.array([L(mp.nstr(mp.erfinv(mp.mpf(float(v))), 25)) for v in x])
    got = apply("erf_inv", [x], dtype, target)
    if dtype == "float64":
        assert ulp_error(got, exact).max() <= 3
    else:
        middle = np.abs(x) < 0.9
        assert ulp_error(got, exact)[middle].max() <= 4
        np.testing.assert_allclose(got.astype(L), exact, rtol=1e-4)
    np.testing.assert_array_equal(
        apply("erf_inv", [np.array([1, -1, 2, 0, -0.0], dtype)], dtype, target), [np.inf, -np.inf, np.nan, 0, 0]
    )


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", ["lgamma", "digamma"])
def test_gamma_functions(op, dtype, target):
    """To 4 ulp of the value or of one, whichever is larger: digamma and lgamma pass through zero, reflected ones at
    odd places.
    """
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.uniform(0, 10, 200), rng.uniform(-6, 0, 60), np.logspace(-10, 8, 60), [1, 2, 1.5, 1.4616321, 8, 7.999]]
    ).astype(dtype)
    function = mp.digamma if op == "digamma" else lambda v: mp.log(abs(mp.gamma(v))) if v < 1e3 else mp.loggamma(v)
    with mp.workdps(40):
        exact = np.array([L(mp.nstr(mp.mpf(function(mp.mpf(float(v)))), 25)) for v in x])
    got = apply(op, [x], dtype, target)
    error = np.abs(got.astype(L) - exact) / (np.finfo(dtype).eps * np.maximum(np.abs(exact), 1))
    poles = np.abs(x - np.round(x)) < 1e-3  # next to poles the argument's own rounding decides
    assert error[~(poles & (x < 0))].max() <= 4
    special = np.array([0, -1, -2, np.inf, np.nan], dtype)
    expected = [np.inf, np.inf, np.inf, np.inf, np.nan] if op == "lgamma" else [np.nan, np.nan, np.nan, np.inf, np.nan]
    np.testing.assert_array_equal(apply(op, [special], dtype, target), expected)


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose power is representable, and all pairs of special values."""
    rng = np.random.default_rng(0)
    n, most = 4000, 80 if dtype == "float32" else 700
    x = np.exp(rng.uniform(-3, 3, n) * rng.choice([1, 5, 10], n)).astype(dtype)
    y = (rng.uniform(-most, most, n) / np.log(x)).astype(dtype)
    s = np.array(
        [0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e30, -1e30, 2.5, -2.5, 1e-30, 65537]
    ).astype(dtype)
    a, b = (v.ravel() for v in np.meshgrid(s, s))
    return np.concatenate([x, a, -x[:1000]]), np.concatenate([y, b, np.round(y[:1000])])


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("op", "reference", "bound"), [("pow", np.power, 1.3), ("atan2", np.arctan2, 1.4)])
def test_binary_accuracy(op, reference, bound, dtype, target):
    x, y = pairs(dtype)
    exact = reference(x.astype(L), y.astype(L))
    got = apply(op, [x, y], dtype, target)
    error = ulp_error(got, exact)
    k = int(np.argmax(error))
    assert error[k] <= (0.51 if dtype == "float32" else bound), (x[k], y[k], got[k], exact[k])
    zero = (exact == 0) | (got == 0)
    assert (np.signbit(got) == np.signbit(exact))[zero & ~np.isnan(got)].all()


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rem_is_exact(dtype, target):
    x, y = pairs(dtype)
    got, exact = apply("rem", [x, y], dtype, target), np.fmod(x, y)
    tiny = (np.abs(exact) < np.finfo(dtype).tiny) & (exact != 0)
    same = (got == exact) | (np.isnan(got) & np.isnan(exact)) | tiny
    assert same.all() and (np.signbit(got) == np.signbit(exact))[~np.isnan(got) & ~tiny].all()


def log1p_exact(x: np.ndarray) -> np.ndarray:
    """NumPy's complex log1p is log(1 + z), without the small digits."""
    with mp.workdps(40):
        values = [mp.log1p(mp.mpc(complex(v))) for v in x]
    return np.array([complex(v) for v in values], x.dtype)


INVERSE = {name: getattr(np, f"arc{name[1:]}") for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")}
DIRECT = {n: getattr(np, n) for n in "abs exp expm1 log sqrt sin cos tan sinh cosh tanh".split()}
COMPLEX = DIRECT | INVERSE | {"log1p": log1p_exact}


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("op", COMPLEX)
def test_complex_against_numpy(op, dtype):
    """Relative to the modulus: a component that cancels has no digits of its own."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(500) + 1j * rng.standard_normal(500)) * rng.choice([1e-3, 0.1, 1, 10], 500)
    x = np.concatenate([x, [0, 1, -1, 1j, -1j, 0.5, 2 + 0j, 1e-8, 1 + 1e-9j, 1e10j, 1e10]]).astype(dtype)
    wide = np.clongdouble if dtype == "complex128" else np.complex128
    expected = COMPLEX[op](x.astype(wide))
    out = {"complex64": "float32", "complex128": "float64"}[dtype] if op == "abs" else dtype
    got = apply(op, [x], out)
    scale = np.maximum(np.abs(expected), np.finfo(out).tiny)
    error = np.abs(got.astype(wide) - expected) / scale
    ok = (
        (error < (3e-7 if "64" in dtype and dtype != "complex128" else 2e-15))
        | (got == expected)
        | ~np.isfinite(expected)
    )
    k = int(np.argmin(ok))
    assert ok.all(), (x[k], got[k], expected[k], error[k])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_division_and_modulus_do_not_overflow_early(dtype):
    big = float(np.finfo(dtype).max) / 4
    x = np.array([big + big * 1j, big, 1, 1 + 1j, 3 + 4j, 1], dtype)
    y = np.array([big + big * 1j, big * 1j, big + big * 1j, 0, 0.5 - 2j, np.inf], dtype)
    got = apply("div", [x, y], dtype)
    np.testing.assert_allclose(got[:3], [1, -1j, (0.5 - 0.5j) / big], rtol=1e-6, atol=1e-300)
    assert np.isinf(got[3].real) and got[5] == 0
    np.testing.assert_allclose(got[4], (3 + 4j) / (0.5 - 2j), rtol=1e-6)
    real = {"complex64": "float32", "complex128": "float64"}[dtype]
    np.testing.assert_allclose(apply("abs", [x], real)[:2], [np.sqrt(2) * big, big], rtol=1e-6)
