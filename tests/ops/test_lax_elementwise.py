"""The elementwise functions of ``addax.lax`` against those of ``jax.lax``: values, types, jaxprs and messages."""

from __future__ import annotations

import re
import warnings

import jax
import numpy as np
import pytest
from jax import lax as jax_lax

import addax
from addax import lax

X = np.array([0.25, 0.5, 0.75], np.float32)
N = np.array([1, 2, 3], np.int32)

UNARY = """abs acos asin asinh atan atanh bessel_i0e bessel_i1e cbrt ceil conj cos cosh digamma erf erf_inv erfc exp
exp2 expm1 floor is_finite lgamma log log1p logistic neg reciprocal round rsqrt sign sin sinh sqrt square tan tanh""".split()
BINARY = """add atan2 complex div eq ge gt igamma igamma_grad_a igammac le lt max min mul ne nextafter polygamma pow
rem sub zeta""".split()
INTEGER_UNARY = "bitwise_not clz population_count".split()
INTEGER_BINARY = "bitwise_and bitwise_or bitwise_xor shift_left shift_right_arithmetic shift_right_logical".split()

CALLS = [
    *((name, (X,)) for name in UNARY),
    ("acosh", (X + 1,)),
    *((name, (X + 1, X[::-1] + 1)) for name in BINARY),
    *((name, (N,)) for name in INTEGER_UNARY),
    *((name, (N, N)) for name in INTEGER_BINARY),
    ("real", (X + 1j * X,)), ("imag", (X + 1j * X,)), ("betainc", (X, X, X)), ("clamp", (0.25, X, 0.5)),
    ("clamp", (X, X[::-1], X + 1)), ("select", (X > 0.3, X, -X)), ("select_n", (N, X, X, X)), ("integer_pow", (X, 3)),
    ("integer_pow", (N, 2)), ("convert_element_type", (X, "int32")), ("convert_element_type", (N, "bfloat16")),
    ("convert_element_type", (N, bool)), ("convert_element_type", (X, complex)), ("bitcast_convert_type", (X, "int32")),
    ("bitcast_convert_type", (X, "uint8")), ("reduce_precision", (X, 5, 3)), ("pow", (X, N)), ("pow", (X, 2)),
    ("round", (X, jax_lax.RoundingMethod.TO_NEAREST_EVEN)), ("random_gamma_grad", (X, X)),
]  # fmt: skip


def ours(args):
    return [lax.RoundingMethod(int(a)) if isinstance(a, jax_lax.RoundingMethod) else a for a in args]


@pytest.mark.parametrize("name, args", CALLS, ids=lambda v: v if isinstance(v, str) else "")
def test_values_and_types(name, args):
    got, want = getattr(lax, name)(*ours(args)), getattr(jax_lax, name)(*args)
    assert (got.shape, got.dtype, got.weak_type) == (want.shape, want.dtype, want.weak_type)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name, args", [c for c in CALLS if c[0] != "random_gamma_grad"], ids=lambda v: v if isinstance(v, str) else ""
)
def test_jaxprs_are_the_same(name, args):
    """The traced program, letter for letter."""
    arrays = [a for a in args if isinstance(a, np.ndarray)]

    def program(module, args):
        def f(*traced):
            rest = iter(traced)
            return getattr(module, name)(*(next(rest) if isinstance(a, np.ndarray) else a for a in args))

        return f

    want = str(jax.make_jaxpr(program(jax_lax, args))(*arrays))
    assert str(addax.make_jaxpr(program(lax, ours(args)))(*arrays)) == want


# Where the derivative is written otherwise than in JAX, with the same value.
_OWN_DERIVATIVE = {"exp2": "log(2) is a constant, not an equation"}


@pytest.mark.parametrize("name", [n for n in UNARY if n not in ("is_finite", "conj", *_OWN_DERIVATIVE)] + ["acosh"])
def test_derivative_programs_are_the_same(name):
    got = str(addax.make_jaxpr(lambda x, t: addax.jvp(getattr(lax, name), (x,), (t,)))(X, X))
    want = str(jax.make_jaxpr(lambda x, t: jax.jvp(getattr(jax_lax, name), (x,), (t,)))(X, X))
    assert got == want


@pytest.mark.parametrize("name", ["add", "atan2", "div", "igamma", "igammac", "max", "min", "mul", "pow", "rem", "sub"])
def test_derivative_programs_of_two_operands_are_the_same(name):
    got = str(addax.make_jaxpr(lambda *a: addax.jvp(getattr(lax, name), a[:2], a[2:]))(X, X, X, X))
    want = str(jax.make_jaxpr(lambda *a: jax.jvp(getattr(jax_lax, name), a[:2], a[2:]))(X, X, X, X))
    assert got == want


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.add(X, 1), lambda m: m.add(1, 2.0), lambda m: m.sin(1), lambda m: m.add(True, False),
        lambda m: m.real(1.0), lambda m: m.conj(1), lambda m: m.select(X > 0, 1.0, 2.0), lambda m: m.clamp(0, X, 1),
        lambda m: m.clamp(X, 0.5, X), lambda m: m.shift_left(X, X), lambda m: m.lt(1j, 1j),
        lambda m: m.bitcast_convert_type(X > 0, "int8"), lambda m: m.integer_pow(N, -1), lambda m: m.pow(N, N),
        lambda m: m.convert_element_type(1.0, None), lambda m: m.reduce_precision(X, 0, 3),
        lambda m: m.reduce_precision(X, 5, -1), lambda m: m.sin("a"), lambda m: m.sin([1.0]),
        lambda m: m.add(1.0, None),
        lambda m: m.integer_pow(X, 2.5), lambda m: m.select_n(X, X, X), lambda m: m.add(X, np.ones((2, 3), np.float32)),
        lambda m: m.add(X, np.ones(2, np.float32)), lambda m: m.bitcast_convert_type(np.ones(3, np.int8), "int32"),
    ],
)  # fmt: skip
def test_errors_are_of_the_same_class(call):
    with pytest.raises(Exception) as theirs:
        call(jax_lax)
    with pytest.raises(Exception) as ours:
        call(lax)
    assert type(ours.value) is type(theirs.value)
    assert len(str(ours.value)) > 20


def test_messages_say_what_to_write():
    with pytest.raises(TypeError, match=re.escape("Convert it with addax.numpy.array first.")):
        lax.sin([1.0, 2.0])
    with pytest.raises(
        TypeError, match=r"addax\.numpy\.subtract is a similar function that does automatic type promotion"
    ):
        lax.sub(X, 1)
    with pytest.raises(TypeError, match=r"y must be a static integer, got 2\.5; lax\.pow takes any exponent"):
        lax.integer_pow(X, 2.5)
    with pytest.raises(TypeError, match=r"accuracy must be a lax.Tolerance or a lax.AccuracyMode, got 'high'"):
        lax.exp(1.0, accuracy="high")


# --- Conversions ---


@pytest.mark.parametrize(
    "value, dtype",
    [(300, "uint8"), (-1, "uint8"), (2**40, "int32"), (1e10, "int32"), (np.nan, "int32"), (1.5, int), (1, float),
     (np.array([np.nan, 300, -5.0]), "uint8"), (np.arange(3), "int32"), (2**40, "float32"), (True, "float32")],
)  # fmt: skip
def test_values_convert_before_they_are_narrowed(value, dtype):
    got, want = lax.convert_element_type(value, dtype), jax_lax.convert_element_type(value, dtype)
    assert (got.dtype, got.weak_type) == (want.dtype, want.weak_type)
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


def test_dropping_an_imaginary_part_warns():
    with pytest.warns(np.exceptions.ComplexWarning, match="discards the imaginary part"):
        got = lax.convert_element_type(np.array([1 + 2j], np.complex64), "float32")
    np.testing.assert_array_equal(np.asarray(got), [1.0])


def test_conversion_to_the_same_type_is_no_equation():
    assert len(addax.make_jaxpr(lambda x: lax.convert_element_type(x, "float32"))(X).eqns) == 0
    assert len(addax.make_jaxpr(lambda x: lax.convert_element_type(x, "float32"))(1.0).eqns) == 1  # no longer weak


def test_explicit_64_bit_dtypes_warn_in_32_bit_mode():
    with pytest.warns(UserWarning, match="Explicitly requested dtype float64 requested in convert_element_type"):
        assert lax.convert_element_type(1, "float64").dtype == np.float32


def test_products_in_a_wider_type():
    assert lax.mul(np.int8(100), np.int8(100), out_dtype="int32").item() == 10_000


# --- stop_gradient ---


def test_stop_gradient_cuts_trees():
    def f(x):
        tree = lax.stop_gradient({"a": x, "b": (x, None, 3)})
        return tree["a"] * x + tree["b"][0]

    assert float(addax.grad(f)(3.0)) == 3.0
    assert lax.stop_gradient({"a": 1, "b": None}) == {"a": 1, "b": None}


def test_accuracy_prints_only_when_asked_for():
    assert "accuracy" not in str(addax.make_jaxpr(lax.exp)(1.0))
    assert "accuracy=Tolerance(" in str(addax.make_jaxpr(lambda x: lax.exp(x, accuracy=lax.Tolerance(ulps=2)))(1.0))
    assert float(addax.grad(lambda x: lax.exp(x, accuracy=lax.AccuracyMode.HIGHEST))(0.0)) == 1.0


# --- Derivatives to order 2, through the transformations ---


SMOOTH = """acosh asin asinh atan atanh cbrt cos cosh digamma erf erf_inv erfc exp exp2 expm1 lgamma log log1p logistic
reciprocal rsqrt sin sinh sqrt square tan tanh bessel_i0e bessel_i1e""".split()


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives(name):
    with addax.enable_x64(True), jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x = 1.5 if name == "acosh" else 0.4
        ours, theirs = getattr(lax, name), getattr(jax_lax, name)
        for transform in (
            lambda m, f: m.grad(m.grad(f)),
            lambda m, f: m.jacfwd(m.grad(f)),
            lambda m, f: m.jacrev(m.jacfwd(f)),
        ):
            got, want = float(transform(addax, ours)(x)), float(transform(jax, theirs)(x))
            np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize("name", ["mul", "div", "atan2", "pow", "sub", "add"])
def test_second_derivatives_of_two_operands(name):
    with addax.enable_x64(True), jax.enable_x64(True):
        got = addax.hessian(getattr(lax, name), argnums=(0, 1))(0.7, 1.3)
        want = jax.hessian(getattr(jax_lax, name), argnums=(0, 1))(0.7, 1.3)
        np.testing.assert_allclose(np.array(got, float), np.array(want, float), rtol=1e-12)


@pytest.mark.parametrize("name", ["sin", "exp", "log", "sqrt", "tanh", "square", "conj", "abs"])
def test_complex_gradients_follow_the_same_convention(name):
    z = np.complex64(0.6 + 0.3j)
    real_part = lambda m, f: lambda z: m.real(f(z)) if name != "abs" else f(z)  # noqa: E731
    got = addax.grad(real_part(lax, getattr(lax, name)))(z)
    want = jax.grad(real_part(jax_lax, getattr(jax_lax, name)))(z)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-5)
