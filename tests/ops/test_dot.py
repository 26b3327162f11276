"""Products through their public functions: result dtypes, precision names, messages."""

import itertools

import jax
import ml_dtypes
import numpy as np
import pytest
from layout_laws import assert_same
from messages import messages_of

import addax
import addax.numpy as jnp
from addax import lax

MATRICES = (((1,), (0,)), ((), ()))
DTYPES = (
    "float32",
    "float16",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e5m2",
    "int8",
    "uint8",
    "int32",
    "complex64",
    "bool",
)


def dtype_named(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def outcome(f):
    try:
        return str(f().dtype)
    except TypeError as e:
        return type(e).__name__


@pytest.mark.parametrize("preferred", [None, "float32", "int32", "bfloat16", "complex64", "int8"])
def test_result_dtypes(preferred):
    for a, b in itertools.product(DTYPES, repeat=2):
        shapes = [(2, 3), (3, 4)]
        ours = [addax.ShapeDtypeStruct(s, dtype_named(d)) for s, d in zip(shapes, (a, b), strict=True)]
        theirs = [jax.ShapeDtypeStruct(s, dtype_named(d)) for s, d in zip(shapes, (a, b), strict=True)]
        preferred_dtype = None if preferred is None else dtype_named(preferred)

        def f(x, y, module):
            return module.dot_general(x, y, MATRICES, preferred_element_type=preferred_dtype)

        got = outcome(lambda: addax.eval_shape(lambda x, y: f(x, y, lax), *ours))
        want = outcome(lambda: jax.eval_shape(lambda x, y: f(x, y, jax.lax), *theirs))
        assert got == want, (a, b, preferred)


def test_python_scalars_are_weak():
    out = addax.make_jaxpr(lambda x, y: lax.dot_general(x, y, (((), ()), ((), ()))))(2, 3.0).out_avals[0]
    assert (str(out.dtype), out.weak_type) == ("float32", True)


def test_small_floats_are_accumulated_in_float32():
    x = np.ones((1, 4096), ml_dtypes.bfloat16)
    assert float(lax.dot(x, x.T)[0, 0]) == 4096
    x = np.full((1, 300), 100, np.int8)
    assert int(lax.dot(x, x.T, preferred_element_type=np.int32)[0, 0]) == 3_000_000


@pytest.mark.parametrize("rows", [1, 3, 64, 200])
@pytest.mark.parametrize("dtype", ["float32", "int32", "complex64"])
def test_larger_products(rows, dtype):
    rng = np.random.default_rng(rows)
    a, b = rng.integers(-4, 5, (rows, 90)).astype(dtype), rng.integers(-4, 5, (90, 70)).astype(dtype)
    assert_same(lax.dot(a, b), a @ b)
    assert_same(addax.jit(lambda a, b: lax.dot(a.T, b.T))(b, a), (a @ b).T)


@pytest.mark.parametrize("name", ["highest", "float32", "high", "tensorfloat32", "default", "bfloat16", "fastest"])
def test_precision_names(name):
    x = jnp.ones((2, 2))
    got = addax.make_jaxpr(lambda x: lax.dot(x, x, precision=name))(x)
    want = jax.make_jaxpr(lambda x: jax.lax.dot(x, x, precision=name))(np.asarray(x))
    assert str(got) == str(want)


def test_precision_of_the_context():
    x = np.ones((2, 2), np.float32)
    with addax.default_matmul_precision("high"):
        got = addax.make_jaxpr(lambda x: lax.dot(x, x))(x)
    with jax.default_matmul_precision("high"):
        want = jax.make_jaxpr(lambda x: jax.lax.dot(x, x))(x)
    assert str(got) == str(want)


@pytest.mark.parametrize("preset", ["F32_F32_F32", "BF16_BF16_F32", "TF32_TF32_F32"])
def test_algorithms(preset):
    x = np.float32([[1, 2], [3, 4]])
    for precision in (preset, lax.DotAlgorithmPreset[preset], lax.DotAlgorithm(np.float32, np.float32, np.float32)):
        assert_same(lax.dot(x, x, precision=precision), x @ x)


def test_precision_pairs():
    assert lax.Precision("high") is lax.Precision.HIGH
    x = np.ones((2, 2), np.float32)
    program = addax.make_jaxpr(lambda x: lax.dot(x, x, precision=("high", lax.Precision.HIGHEST)))(x)
    assert program.eqns[0].params["precision"] == (lax.Precision.HIGH, lax.Precision.HIGHEST)


def test_transposes_trade_the_precision_of_the_sides():
    x = np.ones((2, 2), np.float32)
    f = lambda x: lax.dot(np.eye(2, dtype=np.float32), x, precision=("high", "highest"))  # noqa: E731
    program = addax.make_jaxpr(lambda x: addax.vjp(f, x)[1](x))(x)
    precisions = [e.params["precision"] for e in program.eqns if e.primitive.name == "dot_general"]
    assert precisions[-1] == (lax.Precision.HIGHEST, lax.Precision.HIGH)


X = np.ones((2, 3), np.float32)
B = np.ones((1, 2, 3), np.float32)

MESSAGES = [
    (lambda: lax.dot(X, X), ValueError, ["dimension_numbers must be specified", "(2, 3)"]),
    (lambda: lax.dot(2.0, X), ValueError, ["lhs_shape=()"]),
    (lambda: lax.dot(X, X.T, precision="foo"), ValueError, ["Precision argument must be one of", "but got foo."]),
    (lambda: lax.dot_general(X, X, 3), TypeError, ["(lhs_contracting, rhs_contracting)"]),
    (lambda: lax.dot_general(X, X, MATRICES), TypeError, ["same shape, got (3,) and (2,)."]),
    (lambda: lax.dot_general(X, X, (((2,), (1,)), ((), ()))), TypeError, ["lhs dimension numbers", "rank 2"]),
    (lambda: lax.dot_general(X, X, (((1,), (1,)), ((1,), (1,)))), TypeError, ["disjoint"]),
    (lambda: lax.dot_general(X, X, (((0, 0), (1, 1)), ((), ()))), TypeError, ["distinct"]),
    (lambda: lax.dot_general(B, B, (((2,), (2,)), ((0,), (1,)))), TypeError, ["(1,) and (2,)"]),
    (lambda: lax.batch_matmul(X[0], X[0]), ValueError, ["at least 2D, got 1, 1"]),
    (
        lambda: lax.dot(np.int32(X), np.int32(X.T), preferred_element_type=np.int8),
        TypeError,
        ["must not be narrower", "int8", "int32"],
    ),
]

test_messages = messages_of(MESSAGES)
