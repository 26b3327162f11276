"""Methods, properties, operators and printing of arrays, against JAX, on concrete arrays and on tracers."""

from __future__ import annotations

import copy
import itertools
import operator
import pickle

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from oracle import Weak, compare, sample

import addax
import addax.numpy as anp

OPERATORS = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "lshift", "rshift",
             "eq", "ne", "lt", "le", "gt", "ge", "matmul"]  # fmt: skip


def both(fun, *xs):
    """``fun`` on the arrays of each library: (addax's result, JAX's), exceptions as values."""
    out = []
    for module in (anp, jnp):
        args = [
            module.asarray(x.value if isinstance(x, Weak) else x) if isinstance(x, (np.ndarray, Weak)) else x
            for x in xs
        ]
        try:
            out.append(fun(module, *args))
        except Exception as error:
            out.append(error)
    return out


def check(fun, *xs, rtol=None, case=""):
    got, want = both(fun, *xs)
    compare(got, want, case or repr(xs), rtol)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name):
    op = getattr(operator, name)
    integral = name in ("and_", "or_", "xor", "lshift", "rshift")
    x = np.array([4, 3, 2], np.int8) if integral else np.array([1.5, 2.0, 0.5], np.float32)
    y = np.array([1, 2, 3], np.int32) if integral else np.array([2.0, 2.0, 3.0], np.float16)
    others = [y, 2, True, Weak(2)] if integral else [y, 2, 2.0, True, Weak(3), np.float32(2)]
    for other in others:
        check(lambda m, a, b: op(a, b), x, other, rtol=1e-5, case=f"{name} {other!r}")
        if not (name == "pow" and isinstance(other, np.ndarray)) and name != "matmul":
            check(lambda m, a, b: op(b, a), x, other, rtol=1e-5, case=f"r{name} {other!r}")
    for other in ([1, 2, 3], None, "a", (1,), {}):
        for f in (lambda m, a, b: op(a, b), lambda m, a, b: op(b, a)):
            if name == "mod" and other == "a":
                continue  # "a" % x is string formatting
            check(f, x, other, case=f"{name} {other!r}")
    traced = addax.jit(lambda a, b: op(a, b))(anp.asarray(x), anp.asarray(y))
    np.testing.assert_allclose(np.asarray(traced), np.asarray(op(anp.asarray(x), anp.asarray(y))), rtol=1e-6)
    if name != "matmul":
        traced = addax.jit(lambda a: op(2, a))(anp.asarray(x))
        np.testing.assert_allclose(np.asarray(traced), np.asarray(op(2, anp.asarray(x))), rtol=1e-6)


def test_unary_operators_and_divmod():
    x = np.array([-2, 3], np.int32)
    for op in (operator.neg, operator.pos, abs, operator.invert):
        check(lambda m, a, op=op: op(a), x)
    check(lambda m, a: divmod(a, 2), x)
    check(lambda m, a: divmod(7, a), x)
    check(lambda m, a: round(a), x)
    check(lambda m, a: round(a), np.array([1.5, 2.5], np.float32))
    check(lambda m, a: round(a, 1), np.array([1.25, 2.55], np.float32))
    assert addax.jit(lambda a: divmod(a, 2)[1])(anp.asarray(x)).tolist() == [0, 1]


METHODS = [
    ("sum", (), {}), ("sum", (1,), {"keepdims": True}), ("prod", (0,), {}), ("max", (), {}), ("min", (-1,), {}),
    ("mean", (), {}), ("var", (), {"ddof": 1}), ("std", (0,), {"correction": 1}), ("all", (), {}), ("any", (0,), {}),
    ("argmax", (), {}), ("argmin", (1,), {}), ("ptp", (), {}), ("cumsum", (), {}), ("cumprod", (1,), {}),
    ("reshape", (4, 3), {}), ("reshape", ((2, -1),), {}), ("reshape", (-1,), {}), ("ravel", (), {}), ("flatten", (), {}),
    ("transpose", (), {}), ("transpose", (1, 0), {}), ("transpose", ((1, 0),), {}), ("swapaxes", (0, 1), {}),
    ("astype", ("int32",), {}), ("astype", (None,), {}), ("astype", (bool,), {}), ("astype", ("complex64",), {}),
    ("view", ("int32",), {}), ("view", ("int8",), {}), ("view", (), {}), ("view", ("uint16",), {}), ("view", (bool,), {}),
    ("view", ("complex64",), {}), ("byteswap", (), {}), ("copy", (), {}), ("clip", (0, 1), {}), ("clip", (), {"max": 0.5}),
    ("round", (), {}), ("round", (1,), {}), ("conj", (), {}), ("conjugate", (), {}), ("dot", (np.ones(4, np.float32),), {}),
    ("repeat", (2,), {"axis": 1}), ("diagonal", (), {}), ("trace", (), {}), ("block_until_ready", (), {}),
    ("squeeze", (), {}), ("item", (3,), {}), ("item", (1, 2), {}), ("item", (), {}), ("tolist", (), {}), ("tobytes", (), {}),
    ("take", (np.array([0, 2]),), {}), ("sort", (), {}), ("argsort", (), {}), ("nonzero", (), {}),
    ("compress", (np.array([True, False, True]), 0), {}),
    ("compress", (np.array([False, True]), 1), {"size": 1}), ("compress", (np.array([False, True] * 6),), {"size": 6}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "kwargs"), METHODS)
def test_methods(name, args, kwargs):
    x = sample("float32", (3, 4))
    check(lambda m, a: getattr(a, name)(*args, **kwargs), x, rtol=1e-5, case=name)
    if name in ("item", "tolist", "tobytes", "nonzero"):
        return
    eager = getattr(anp.asarray(x), name)(*args, **kwargs)
    traced = addax.jit(lambda a: getattr(a, name)(*args, **kwargs))(anp.asarray(x))
    assert traced.dtype == eager.dtype and traced.shape == eager.shape
    np.testing.assert_array_equal(np.asarray(traced).view(np.uint8), np.asarray(eager).view(np.uint8)) if name in (
        "view",
        "byteswap",
        "reshape",
        "copy",
    ) else np.testing.assert_allclose(np.asarray(traced), np.asarray(eager), rtol=1e-5)


def test_properties():
    x = sample("float32", (2, 3))
    for name in ("T", "mT", "real", "imag", "shape", "ndim", "size", "nbytes", "itemsize", "weak_type", "is_fully_replicated",
                 "is_fully_addressable", "committed"):  # fmt: skip
        check(lambda m, a, name=name: getattr(a, name), x, case=name)
    for name in ("T", "mT", "real", "imag"):
        check(lambda m, a, name=name: getattr(a, name), sample("complex64", (2, 3)), case=name)
    check(lambda m, a: a.mT, np.ones(3))
    check(lambda m, a: a.flat, np.ones(3))
    a = anp.ones(3)
    assert str(a.device) == "CpuDevice(id=0)" and a.devices() == {a.device} and a.sharding.device_set == {a.device}
    assert a.addressable_shards[0].data is a and a.addressable_data(0) is a and a.platform() == "cpu"
    assert a.on_device_size_in_bytes() == 12 and a.is_ready() and a.to_device(a.device).committed
    assert a.__array_namespace__() is anp and a.copy_to_host_async() is None
    assert repr(a.sharding) == "SingleDeviceSharding(device=CpuDevice(id=0), memory_kind=device)"


def test_astype():
    x = np.array([1.5, -2.0, 300.0, np.nan, np.inf, -np.inf, 3e9], np.float32)
    for dtype in ("uint8", "int8", "int32", "bool", "float16", "complex64", "uint32", ml_dtypes.bfloat16):
        check(lambda m, a, dtype=dtype: a.astype(dtype), x, case=str(dtype))
    with pytest.warns(np.exceptions.ComplexWarning):
        assert anp.asarray(np.array([1 + 2j], np.complex64)).astype("float32").tolist() == [1.0]
    with pytest.warns(UserWarning, match="float64"):
        assert anp.ones(2).astype("float64").dtype == np.float32
    assert anp.asarray(np.array([2j, 0], np.complex64)).astype(bool).tolist() == [True, False]


def test_views():
    for a, b in itertools.product(
        ["int8", "uint8", "int16", "float16", "int32", "float32", "complex64", "bool"], repeat=2
    ):
        x = sample(a, (2, 8))
        check(lambda m, v, b=b: v.view(b), x, case=f"{a} as {b}")
    check(lambda m, v: v.view("int32"), sample("int8", (4, 3)))
    check(lambda m, v: v.view("int8"), np.int32(1).reshape(()))
    check(lambda m, v: v.view("float32"), np.int32(1).reshape(()))


REPRS = [
    np.ones(3, np.float32), np.ones((), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.int32), Weak(2.0), Weak(2),
    np.arange(2000), np.ones((3, 400), np.float32), np.array([True, False]), np.array([1 + 2j], np.complex64),
    np.array([1, 2], ml_dtypes.bfloat16), np.array([1, 2], ml_dtypes.int4), np.arange(24.0, dtype=np.float32).reshape(2, 3, 4),
    np.array([1e-10, 1.0], np.float32), np.array([np.nan, np.inf], np.float16), np.array(3, np.uint8), np.array(True),
]  # fmt: skip


@pytest.mark.parametrize("x", REPRS, ids=[str(i) for i in range(len(REPRS))])
def test_printing(x):
    for show in (repr, str, format, lambda a: f"{a}"):
        got, want = both(lambda m, a, show=show: show(a), x)
        assert got == want
    assert anp.array_str(anp.ones(2)) == "[1. 1.]" and anp.array_repr(anp.ones(2)) == "Array([1., 1.], dtype=float32)"
    assert f"{anp.float32(1.5):.3f}" == "1.500"
    with pytest.raises(TypeError):
        format(anp.ones(2), ".3f")


def test_python_conversions():
    for convert in (bool, int, float, complex, len, operator.index, hash, list, str):
        for x in (np.float32(2.5).reshape(()), np.int32(3).reshape(()), np.array([1.5], np.float32), np.ones(3, np.float32),
                  np.zeros(0, np.float32), np.array(True), np.ones((2, 2), np.int8)):  # fmt: skip
            check(lambda m, a, convert=convert: convert(a), x, case=f"{convert.__name__} {x!r}")
    check(lambda m, a: 1 in a, np.arange(3))
    check(lambda m, a: range(a), np.int32(3).reshape(()))
    check(lambda m, a: hex(a), np.int32(30).reshape(()))
    x = anp.arange(3.0)
    with pytest.raises(TypeError, match=r"x = x.at\[idx\].set\(y\)"):
        x[0] = 1
    assert copy.deepcopy(x).tolist() == copy.copy(x).tolist() == [0, 1, 2]
    assert pickle.loads(pickle.dumps(x)).tolist() == [0, 1, 2]
    assert pickle.loads(pickle.dumps(anp.asarray(2.0))).weak_type
    assert np.asarray(x).tolist() == [0, 1, 2] and np.add(np.ones(3), x).tolist() == [1, 2, 3]
    assert isinstance(np.ones(3) + x, addax.Array) and isinstance(np.float32(1) + x, addax.Array)


TRACER_ERRORS = [
    (bool, addax.errors.TracerBoolConversionError), (int, addax.errors.ConcretizationTypeError),
    (float, addax.errors.ConcretizationTypeError), (complex, addax.errors.ConcretizationTypeError),
    (operator.index, addax.errors.TracerIntegerConversionError), (np.asarray, addax.errors.TracerArrayConversionError),
    (np.sin, addax.errors.TracerArrayConversionError), (hash, TypeError), (len, TypeError), (iter, TypeError),
    (lambda x: x.item(), addax.errors.ConcretizationTypeError), (lambda x: x.tolist(), addax.errors.ConcretizationTypeError),
    (lambda x: [1, 2][x], addax.errors.TracerIntegerConversionError), (lambda x: x.tobytes(), addax.errors.ConcretizationTypeError),
    (lambda x: x.devices(), addax.errors.ConcretizationTypeError), (lambda x: x.nosuch, AttributeError),
    (lambda x: x.device, addax.errors.ConcretizationTypeError),
]  # fmt: skip


@pytest.mark.parametrize(("fun", "error"), TRACER_ERRORS)
def test_tracers_have_no_numbers(fun, error):
    with pytest.raises(error) as caught:
        addax.jit(fun)(3)
    if error is addax.errors.ConcretizationTypeError:
        assert "int32[]" in str(caught.value)
    with pytest.raises(error):
        addax.vmap(fun)(anp.arange(3))


def test_tracers_whose_value_is_known():
    """Outside jit, differentiation runs on real numbers: Python control flow works."""
    f = lambda x: x * x if x > 0 else -x  # noqa: E731
    assert addax.jvp(f, (3.0,), (1.0,))[1] == 6.0 and addax.grad(f)(-3.0) == -1.0
    assert addax.grad(lambda x: x * float(x))(2.0) == 2.0
    assert addax.grad(lambda x: x * int(x) + len(str(x.item())))(2.5) == 2.0


def test_tracers_iterate_and_unpack():
    assert addax.jit(lambda x: sum(r[0] * 2 for r in x))(anp.ones((3, 2))) == 6.0
    a, b = addax.jit(lambda x: [*x])(anp.arange(2))
    assert (int(a), int(b)) == (0, 1)


@pytest.mark.filterwarnings("ignore:Explicitly requested")
def test_scalar_types():
    for name in ("float32", "float64", "int32", "int64", "uint8", "bool_", "complex64", "bfloat16", "float16", "int4"):
        a, j = getattr(anp, name), getattr(jnp, name)
        for x in (1, 0, True, np.int8(1), np.arange(3) == 1, [1, 2]):
            check(lambda m, name=name, x=x: getattr(m, name)(x), case=f"{name}({x!r})")
        assert np.dtype(a) == np.dtype(j) and a.dtype == j.dtype and a == np.dtype(j).type
    check(lambda m: m.int32(2**40))
    check(lambda m: m.uint8(300))
    check(lambda m: m.int32(1.7))
    assert anp.zeros(2, anp.bfloat16).dtype == anp.bfloat16 and anp.float32 == np.float32
    assert {anp.float32: 1}[anp.float32] == 1 and not isinstance(anp.float32(1), np.floating)
    assert anp.issubdtype(anp.bfloat16, anp.floating) and anp.result_type(anp.int8, anp.float16) == np.float16


def test_questions_about_dtypes_and_values():
    for name, args in [
        ("result_type", (1, 2.0)), ("result_type", ("int8", "float16")), ("promote_types", ("int8", "float16")),
        ("can_cast", ("int8", "float16")), ("can_cast", ("float32", "int8")), ("isdtype", ("float32", "real floating")),
        ("ndim", (1,)), ("iscomplexobj", (1j,)),
        ("isrealobj", (1.0,)), ("isscalar", (1,)), ("isscalar", ("a",)), ("isscalar", ([1],)), ("iterable", ([1],)),
        ("iterable", (1,)), ("issubdtype", ("float32", np.floating)),
    ]:  # fmt: skip
        check(lambda m, name=name, args=args: getattr(m, name)(*args), case=name)
    x = np.ones((2, 3), np.float32)
    for name in ("shape", "size", "ndim", "iscomplexobj", "isscalar", "iterable"):
        check(lambda m, a, name=name: getattr(m, name)(a), x)
        assert addax.eval_shape(lambda a, name=name: (getattr(anp, name)(a), a)[1], x).shape == (2, 3)
    check(lambda m, a: m.size(a, 0), x)
    assert anp.finfo("float32").eps == np.finfo(np.float32).eps and anp.iinfo(anp.int8).max == 127


def test_unwrap():
    for x, kw in [
        (np.array([0, 3, 6.0, 9, 12.5, 1], np.float32), {}), (np.array([0, 3, 6, 9]), {"period": 4}),
        (sample("float32", (3, 6)) * 4, {"axis": 0}),
        (sample("float32", (3, 6)) * 4, {"discont": 4.0}), (np.array([0.0, np.pi, 0.0], np.float32), {}),
    ]:  # fmt: skip
        check(lambda m, a, kw=kw: m.unwrap(a, **kw), x, rtol=1e-5)


def test_scalar_kinds_of_python_in_traces():
    out = addax.make_jaxpr(lambda x: x * 2 + 1)(anp.ones(3))
    assert str(out).split() == str(jax.make_jaxpr(lambda x: x * 2 + 1)(jnp.ones(3))).split()
    for fun, x in [(lambda x: x**2, 1.0), (lambda x: x**0.5, 1.0), (lambda x: x.astype("int32"), 1.0)]:
        assert len(addax.make_jaxpr(fun)(x).eqns) == len(jax.make_jaxpr(fun)(x).eqns) == 1


def test_python_integers_beyond_a_narrow_dtype():
    """Modulo 2^bits, as in JAX, and alike inside and outside of programs; what int32 does not hold either is refused."""
    programs = [
        (lambda m, u: u + 300, "uint8"), (lambda m, u: u & ~1, "uint32"), (lambda m, u: u * -1, "uint32"),
        (lambda m, u: m.where(u > 1, u, -1), "uint8"), (lambda m, u: u - 200, "int8"), (lambda m, u: u == -1, "uint8"),
        (lambda m, u: u.at[0].set(-1), "uint8"), (lambda m, u: m.full_like(u, -1), "uint8"),
        (lambda m, u: m.full(2, 2**32 - 1, u.dtype), "uint32"), (lambda m, u: m.pad(u, 1, constant_values=-1), "uint16"),
    ]  # fmt: skip
    for i, (program, dtype) in enumerate(programs):
        x = np.asarray([1, 2, 200], np.uint8).astype(dtype)
        check(program, x, case=str(i))
        assert addax.jit(lambda u, f=program: f(anp, u))(x).tolist() == program(anp, anp.asarray(x)).tolist()
    for call in (lambda u: u.at[0].set(2**32), lambda u: anp.full(2, 2**40, u.dtype)):
        with pytest.raises(OverflowError, match=r"out of bounds for uint32: it must be in \[0, 4294967295\]\. Enable"):
            call(anp.ones(3, "uint32"))
    with pytest.raises(OverflowError, match=r"2147483648 out of bounds for uint8: it must be in \[0, 255\]\.$"):
        addax.jit(lambda u: u + 2**31)(anp.ones(3, "uint8"))


def test_bounds_of_clip_beyond_the_dtype_are_none():
    x = anp.asarray([0, 7, 200], "uint8")
    for y in (x, anp.asarray([-100, 7, 100], "int8")):
        assert y.clip(-300, 300).tolist() == addax.jit(lambda y: y.clip(-300, 300))(y).tolist() == y.tolist()
    assert x.clip(-1, 9).tolist() == [0, 7, 9] and x.clip(max=300).dtype == np.uint8
