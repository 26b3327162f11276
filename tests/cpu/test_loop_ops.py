"""Every op of the loop IR on every dtype against jax.lax, in lanes on each instruction set and as scalar programs."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest
from jax import lax
from nest_tools import TARGETS, apply, np_dtype, run, scalar_program

from addax.engines.cpu.loop_ops import DTYPES, OPS, REAL_OF

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about the infinities and NaNs we compare
targets = pytest.mark.parametrize("target", TARGETS, ids=str)
JAX_NAMES = {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "not": "bitwise_not"}
TESTED_APART = {
    "fma",
    "mulhi",
    "iota",
    "select_n",
    "convert",
    "bitcast_convert_type",
    "reduce_precision",
    "integer_pow",
    "copy",
}
TOTAL_ORDER = {"eq_to", "lt_to", "le_to"}
TOLERANCE = {
    "float16": 2e-3,
    "bfloat16": 1.6e-2,
    "float32": 2e-6,
    "float64": 1e-14,
    "complex64": 2e-5,
    "complex128": 1e-13,
}
# XLA is the less exact side here: its lgamma and tan lose digits, and float16 functions round intermediate results.
LOOSER = {
    "erfc": 20,
    "lgamma": 2000,
    "digamma": 200,
    "erf_inv": 20,
    "tan": 20,
    "pow": 10,
    "exp2": 10,
    "logistic": 10,
    "rsqrt": 100,
}
NO_JAX = {("abs", "u"), ("pow", "i"), ("pow", "u"), ("clamp", "b")}
COMPLEX_LOOSE = 1e-3  # XLA's complex functions cancel; ours are checked against NumPy in test_vecmath


def sample(dtype: str, seed: int, n: int = 203) -> np.ndarray:
    """Ordinary and special values of a dtype."""
    rng = np.random.default_rng(seed)
    kind, t = DTYPES[dtype].kind, np_dtype(dtype)
    if kind == "b":
        return rng.integers(0, 2, n).astype(bool)
    if kind in "iu":
        info = np.iinfo(t)
        x = rng.integers(
            info.min, info.max, n, dtype=np.uint64 if dtype == "uint64" else np.int64, endpoint=True
        ).astype(t)
        x[::3] = rng.integers(0, 7, x[::3].size)
        x[::7], x[::11] = info.max, info.min
        if kind == "i":
            x[::5] = -rng.integers(0, 5, x[::5].size)
        return x
    if kind == "c":
        real = REAL_OF[dtype]
        x = np.empty(n, t)
        x.real, x.imag = sample(real, seed, n), sample(real, seed + 50, n)
        # Mixtures of inf, nan and signs of zero are conventions in which XLA departs from C and NumPy.
        plain = (np.abs(x.real) < 1e3) & (np.abs(x.imag) < 1e3)
        return np.where(plain, x, t.type(1.25 - 0.5j)) + t.type(0)
    x = (rng.standard_normal(n) * rng.choice([0.1, 1, 10], n)).astype(t)
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 1e4, -3]).astype(t)
    at = 5 + 3 * seed
    x[at : at + special.size] = special
    x[60 : 60 + special.size] = special[::-1] if seed % 2 else special
    return x


def close(got: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    if got.dtype.kind in "biu":
        return got == expected
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    g, e = got.astype(wide), np.asarray(expected).astype(wide)
    if wide is np.complex128:
        return (np.abs(g - e) <= tolerance * np.abs(e) + 1e-30) | (g == e) | (np.isnan(g) & np.isnan(e))
    same = (g == e) | (np.isnan(g) & np.isnan(e)) | ((np.abs(e) < 1e-5) & (np.abs(g - e) < tolerance / 10))
    return same | (np.abs(g - e) <= tolerance * np.maximum(np.abs(e), 1e-4 if tolerance > 1e-3 else 1e-30))


def operands(op: str, dtype: str) -> list[np.ndarray]:
    if op == "select":
        return [sample("bool", 0), sample(dtype, 1), sample(dtype, 2)]
    if op == "clamp":
        a, b, c = (sample(dtype, k) for k in range(3))
        low, high = np.minimum(a, c), np.maximum(a, c)
        return [low, b, high]
    args = [sample(dtype, k) for k in range(OPS[op].arity)]
    if op == "pow" and dtype in REAL_OF:
        args[0][args[0] == 0] = 1  # XLA has nan for 0 to complex powers; we have the limit, 0, where there is one
    return args


def expected_of(op: str, args: list[np.ndarray]) -> np.ndarray:
    if op in TOTAL_ORDER:
        x, y = args
        if x.dtype.kind in "biu":
            return {"eq_to": np.equal, "lt_to": np.less, "le_to": np.less_equal}[op](x, y)
        bits = f"i{x.dtype.itemsize}"
        flip = np.iinfo(bits).max
        kx, ky = (np.where(b < 0, b ^ flip, b) for b in (x.view(bits), y.view(bits)))
        return {"eq_to": np.equal, "lt_to": np.less, "le_to": np.less_equal}[op](kx, ky)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(jax.jit(getattr(lax, JAX_NAMES.get(op, op)))(*args))


CASES = [
    (op, d)
    for op, o in OPS.items()
    for d in DTYPES
    if op not in TESTED_APART and DTYPES[d].kind in o.kinds and (op, DTYPES[d].kind) not in NO_JAX and "float8" not in d
    if not (op == "complex" and DTYPES[d].bits < 32)
    and not (op in TOTAL_ORDER and DTYPES[d].bits == 16 and DTYPES[d].kind == "f")
]


@pytest.mark.parametrize(("op", "dtype"), CASES)
def test_op_against_jax(op, dtype):
    args = operands(op, dtype)
    expected = expected_of(op, args)
    tolerance = TOLERANCE.get(expected.dtype.name, 0) * LOOSER.get(op, 1)
    if dtype in REAL_OF and OPS[op].cost > 4:
        tolerance = COMPLEX_LOOSE
    for target in TARGETS:
        got = apply(op, args, expected.dtype.name, target)
        ok = close(got, expected, tolerance)
        j = int(np.argmin(ok))
        assert ok.all(), f"{target}: {op}{tuple(a[j] for a in args)} = {got[j]}, JAX gives {expected[j]}"
    y = np.zeros(1, expected.dtype)
    for j in range(0, 203, 40):
        run(
            scalar_program(op, [a.dtype.name for a in args], expected.dtype.name),
            [*[a[j : j + 1].copy() for a in args], y],
        )
        assert close(y, expected[j : j + 1], tolerance).all(), (op, [a[j] for a in args], y, expected[j])


# ---- conversions ----


@targets
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", DTYPES)
def test_convert(source, dtype, target):
    x = np.arange(256, dtype=np.uint8).view(np_dtype(source)) if "float8" in source else sample(source, 0)
    if DTYPES[source].kind in "iufc" and DTYPES[source].bits >= 32 and DTYPES[source].kind != "c":
        big = np.array([300.7, 1e5, 3e9, 70000, 65519.996, 464.1, 480, 57344, 61440, 61441]).astype(np.float64)
        x = np.concatenate([x, big.astype(x.dtype) if x.dtype.kind == "f" else x[:4], x[:3]])
    if source.startswith("float") and "8" not in source[:7] and DTYPES[dtype].kind == "u":
        x = np.concatenate([x, x[:1]])
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.asarray(lax.convert_element_type(x, np_dtype(dtype)))
    if DTYPES[source].kind == "c" and dtype == "bool":
        expected = x != 0
    got = apply("convert", [x], dtype, target)
    if DTYPES[dtype].kind == "f":
        g, e = got.astype(np.float64), expected.astype(np.float64)
        ok = (g == e) | (np.isnan(g) & np.isnan(e))
    elif DTYPES[dtype].kind == "c":
        ok = np.array([str(a) == str(b) for a, b in zip(got + 0, expected + 0, strict=True)])
    else:
        ok = got == expected
    j = int(np.argmin(ok))
    assert ok.all(), f"{source}({x[j]}) -> {dtype}: {got[j]}, JAX gives {expected[j]}"


@targets
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_floats_round_trip_and_round_to_nearest_even(dtype, target):
    bits = DTYPES[dtype].bits
    every = np.arange(2**bits, dtype=f"u{bits // 8}").view(np_dtype(dtype))
    wide = apply("convert", [every], "float32", target)
    with np.errstate(invalid="ignore"):
        exact = every.astype(np.float32)
    np.testing.assert_array_equal(wide, exact)
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(3000) * 10.0 ** rng.integers(-6, 6, 3000)).astype(np.float32)
    # halfway points between neighbours are where rounding is decided
    finite = np.sort(exact[np.isfinite(exact)])
    x = np.concatenate([x, ((finite[1:].astype(np.float64) + finite[:-1]) / 2).astype(np.float32)[:20000]])
    x = x[(np.abs(x) > 1e-37) | (x == 0)]
    with np.errstate(over="ignore", invalid="ignore"):
        expected = x.astype(np_dtype(dtype)).astype(np.float32)
    np.testing.assert_array_equal(apply("convert", [x], dtype, target).astype(np.float32), expected)


@targets
@pytest.mark.parametrize(
    ("source", "dtype"),
    [
        ("float32", "int32"),
        ("int32", "float32"),
        ("float64", "uint64"),
        ("float16", "uint16"),
        ("int16", "bfloat16"),
        ("uint8", "int8"),
        ("int64", "float64"),
    ],
)
def test_bitcast(source, dtype, target):
    x = sample(source, 0)
    got = apply("bitcast_convert_type", [x], dtype, target)
    expected = x.view(np_dtype(dtype))
    nan = np.isnan(expected.astype(np.float64)) if DTYPES[dtype].kind == "f" else np.zeros(x.size, bool)
    assert (got.view(np.uint8).reshape(x.size, -1) == expected.view(np.uint8).reshape(x.size, -1)).all(1)[~nan].all()


# ---- ops with attributes, and those without a namesake in lax ----


@targets
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "float64", "complex64"])
@pytest.mark.parametrize("y", [-3, -1, 0, 1, 2, 3, 5, 8])
def test_integer_pow(dtype, y, target):
    if y < 0 and DTYPES[dtype].kind in "iu":
        return
    x = sample(dtype, 0)
    with jax.enable_x64(True):
        expected = np.asarray(lax.integer_pow(x, y))
    ok = close(apply("integer_pow", [x], dtype, target, y=y), expected, TOLERANCE.get(dtype, 0))
    assert ok.all()


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("ytype", ["int32", "int8", "uint16", "int64"])
def test_float_to_an_integer_power(dtype, ytype, target):
    x, y = sample(dtype, 0), sample(ytype, 1)
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.longdouble), y.astype(np.longdouble)).astype(dtype)
    ok = close(apply("pow", [x, y], dtype, target), expected, TOLERANCE[dtype])
    ok |= np.abs(expected) < np.finfo(dtype).tiny
    j = int(np.argmin(ok))
    assert ok.all(), (x[j], y[j], expected[j])


@targets
def test_integer_to_an_integer_power(target):
    x = np.array([3, -2, 0, 7, -1, -1, 1, 2, 2], np.int32)
    y = np.array([4, 5, 0, 2, 3, -3, -7, -1, 33], np.int32)
    np.testing.assert_array_equal(apply("pow", [x, y], "int32", target), [81, -32, 1, 49, -1, -1, 1, 0, 0])


@targets
@pytest.mark.parametrize("to_even", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_round(dtype, to_even, target):
    x = np.array(
        [0.5, 1.5, -0.5, 2.5, -2.5, 0.49999997, 8388609.0, -8388609.0, 4194304.5, np.inf, np.nan, -0.2]
    ).astype(np_dtype(dtype))
    got = apply("round", [x], dtype, target, to_even=to_even).astype(np.float64)
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        expected = np.rint(x) if to_even else np.sign(x) * np.floor(np.abs(x) + np.float64(0.5) * (np.abs(x) >= 0.5))
    np.testing.assert_array_equal(got, expected)


@targets
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reduce_precision(dtype, target):
    x = np.concatenate(
        [sample(dtype, 0), np.array([1.2345678, 1e10, 70000.0, 65519.0, 65520.0, 1e-8, -6e-5]).astype(dtype)]
    )
    for exponent, mantissa in [(5, 10), (8, 7), (4, 3), (8, 23)]:
        with jax.enable_x64(True):
            expected = np.asarray(lax.reduce_precision(x, exponent, mantissa))
        got = apply("reduce_precision", [x], dtype, target, exponent_bits=exponent, mantissa_bits=mantissa)
        np.testing.assert_array_equal(got, expected)


@targets
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int8", "uint64"])
def test_mulhi(dtype, target):
    a, b = sample(dtype, 0), sample(dtype, 1)
    expected = [(int(x) * int(y)) >> DTYPES[dtype].bits for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(apply("mulhi", [a, b], dtype, target), np.array(expected, dtype))


@targets
def test_fma_rounds_once(target):
    x = np.array([1 + 2.0**-23], np.float32)
    exact = np.float32(float(x[0]) * float(x[0]) - 1)
    assert apply("fma", [x, x, np.array([-1], np.float32)], "float32", target)[0] == exact


@targets
@pytest.mark.parametrize("which", ["bool", "int32"])
def test_select_n(which, target):
    n = 50
    k = (np.arange(n) % (2 if which == "bool" else 4)).astype(which)
    cases = [np.full(n, c, np.float32) for c in range(2 if which == "bool" else 4)]
    np.testing.assert_array_equal(apply("select_n", [k, *cases], "float32", target), k.astype(np.float32))
