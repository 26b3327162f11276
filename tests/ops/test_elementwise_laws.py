"""Laws of the elementwise primitives, over the sample table."""

from __future__ import annotations

import functools
import itertools
import warnings

import jax
import ml_dtypes
import numpy as np
import pytest
from primitive_oracle import apply_oracle, oracle
from samples import ALL, C64, C128, EPS, F16, F32, F64, I32, SAMPLES, U8, Sample

import addax.ops.elementwise as ops
from addax.core.avals import ShapedArray
from addax.core.config import enable_x64
from addax.core.primitive import Refusal, registry
from addax.interpreters.values import Axis, UndefinedPrimal, Zero
from addax.ops.rules import Elementwise


@pytest.fixture(autouse=True)
def _x64():
    with enable_x64(True), jax.enable_x64(True):
        yield


by_id = functools.partial(pytest.mark.parametrize, "sample", SAMPLES, ids=lambda s: s.id)


# Each case compiles a program in the oracle, 30 ms or more; these dtypes, close to others, are left to the long run.
_LONG_RUN = {F16, C128, *map(np.dtype, ("int8", "int64", "uint32", "uint64"))}


def cases(keep=lambda s: True, quick=False):
    """One test per sample row and dtype row."""
    rows = [
        pytest.param(
            s,
            dtypes,
            id=f"{s.id}-{'-'.join(d.name for d in dtypes)}",
            marks=[] if quick or _LONG_RUN.isdisjoint((*dtypes, s.params.get("new_dtype"))) else [pytest.mark.slow],
        )
        for s in SAMPLES
        if keep(s)
        for dtypes in s.rows()
    ]
    return pytest.mark.parametrize("sample, dtypes", rows)


def seeded(sample: Sample) -> np.random.Generator:
    return np.random.default_rng(sum(map(ord, sample.id)))


def wide(x) -> np.ndarray:
    x = np.asarray(x)
    with np.errstate(invalid="ignore"):
        return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def errors(got, want, scale: float, eps: float) -> np.ndarray:
    """Error in units of half the last place; 0 where both are equal or both NaN, inf where only one is finite."""
    got, want = wide(got), wide(want)
    with np.errstate(all="ignore"):
        err = np.abs(got - want) / np.maximum(np.abs(want), max(scale, 1e-38)) / eps
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    return np.where(same, 0.0, np.where(np.isnan(err), np.inf, err))


# --- Completeness ---


def test_every_elementwise_primitive_has_a_sample():
    sampled = {s.name for s in SAMPLES}
    assert sorted(n for n, p in registry.items() if isinstance(p, Elementwise) and n not in sampled) == []


@pytest.mark.parametrize("name", sorted({s.name for s in SAMPLES}))
def test_every_rule_is_there_or_refused_with_a_reason(name):
    p = registry[name]
    for rule in ("abstract_eval", "batch", "reference"):
        assert not isinstance(getattr(p, rule), Refusal), rule
    if isinstance(p.jvp, Refusal):
        assert "no differentiation rule" not in p.jvp.reason or "itself a derivative" in p.jvp.reason


# --- Types ---


def _accepted(abstract_eval, dtypes):
    try:
        return abstract_eval(dtypes)
    except (TypeError, ValueError, AssertionError):
        return None


@by_id()
def test_types_are_the_oracles(sample):
    """Exactly the dtypes that JAX takes, alone and mixed, with the same result dtype."""
    p = registry[sample.name]
    if sample.name in ("random_gamma_grad", "random_gamma_grad_a", "mulhi", "bitcast_convert_type"):
        pytest.skip("no such primitive in the oracle, or its own test below")
    if sample.name == "select_n":
        combos = [(w, d, d) for w in (np.dtype(bool), I32, U8) for d in ALL]
    else:
        combos = [(d,) * sample.arity for d in ALL]
        if sample.arity == 2:
            combos += itertools.permutations((np.dtype(bool), I32, U8, F32, F64, C64), 2)

    def ours(dtypes):
        return p.infer(tuple(ShapedArray((3,), d) for d in dtypes), sample.params)[0].dtype

    def theirs(dtypes):
        shapes = [jax.ShapeDtypeStruct((3,), d) for d in dtypes]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jax.eval_shape(lambda *xs: oracle(sample.name)(*xs, **sample.params), *shapes).dtype

    for dtypes in combos:
        assert _accepted(ours, dtypes) == _accepted(theirs, dtypes), dtypes


@by_id()
def test_result_is_weak_if_all_operands_are(sample):
    p = registry[sample.name]
    dtypes = sample.rows()[0]
    weak = p.infer(tuple(ShapedArray((3,), d, d != np.bool_) for d in dtypes), sample.params)[0]
    strong = p.infer(tuple(ShapedArray((3,), d, d != np.bool_ and i > 0) for i, d in enumerate(dtypes)), sample.params)[
        0
    ]
    if sample.name not in ("convert_element_type", "bitcast_convert_type", "select_n"):
        assert weak.weak_type == (weak.dtype != np.bool_ and dtypes[0] != np.bool_)
        assert not strong.weak_type


def test_shapes_broadcast_from_ones_and_scalars():
    infer = lambda *shapes: ops.add.infer(tuple(ShapedArray(s, F32) for s in shapes), {})[0].shape  # noqa: E731
    assert infer((3, 1), (1, 4)) == (3, 4)
    assert infer((), (2, 3)) == (2, 3)
    with pytest.raises(TypeError, match=r"add: arrays must have same number of dimensions, got \(3,\), \(2, 3\)"):
        infer((3,), (2, 3))
    with pytest.raises(TypeError, match=r"add got incompatible shapes for broadcasting: \(3,\), \(2,\)"):
        infer((3,), (2,))


# --- Values ---


@cases(lambda s: oracle(s.name) is not None)
def test_reference_meets_the_oracle(sample, dtypes):
    arrays = sample.draw(seeded(sample), dtypes, (40,))
    if sample.special:
        arrays = [np.concatenate(pair) for pair in zip(arrays, sample.edges(dtypes), strict=True)]
    if sample.name == "convert_element_type" and dtypes[0].kind == "c" and sample.params["new_dtype"] == np.bool_:
        arrays = [x.real.astype(x.dtype) for x in arrays]  # JAX's public conversion drops the imaginary part
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = registry[sample.name].reference(*arrays, **sample.params)
    want = apply_oracle(sample.name, arrays, sample.params)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    err = errors(got, want, sample.scale, EPS.get(want.dtype, 1.0)).ravel()
    worst = int(np.argmax(err))
    operands = [str(x[min(worst, len(x) - 1)]) for x in arrays]
    assert err.max() <= sample.ulps, (operands, str(got.ravel()[worst]), str(want.ravel()[worst]))
    if want.dtype.kind == "f":
        zero = (got == 0) & (want == 0)
        np.testing.assert_array_equal(np.signbit(got)[zero], np.signbit(want)[zero])


@cases(quick=True)
def test_engine_meets_the_reference(sample, dtypes):
    """A primitive applied to arrays runs on the engine, which must meet its definition, edges included."""
    arrays = sample.draw(seeded(sample), dtypes, (1000,))
    if sample.special:
        arrays = [np.concatenate(pair) for pair in zip(arrays, sample.edges(dtypes), strict=True)]
    want = registry[sample.name].reference(*arrays, **sample.params)
    got = np.asarray(registry[sample.name].bind(*arrays, **sample.params))
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    smallest_normal = float(ml_dtypes.finfo(want.dtype).tiny) if want.dtype in EPS else 0.0
    err = errors(got, want, max(sample.scale, smallest_normal), EPS.get(want.dtype, 1.0)).ravel()
    worst = int(np.argmax(err))
    operands = [str(x[min(worst, len(x) - 1)]) for x in arrays]
    assert err.max() <= (max(sample.ulps, 16) if sample.ulps else 0), (
        operands,
        got.ravel()[worst],
        want.ravel()[worst],
    )


@by_id()
def test_references_take_empty_and_rank_0_arrays(sample):
    for shape in ((), (0,), (2, 0)):
        arrays = [x.reshape(shape) if shape == () else x for x in sample.draw(seeded(sample), sample.rows()[0], shape)]
        out = registry[sample.name].reference(*arrays, **sample.params)
        assert isinstance(out, np.ndarray)
        inferred = registry[sample.name].infer(tuple(ShapedArray(x.shape, x.dtype) for x in arrays), sample.params)[0]
        assert (out.shape, out.dtype) == (inferred.shape, inferred.dtype)


# --- Derivatives ---

DIFFERENTIABLE = [s for s in SAMPLES if s.order and any(r[-1] in (F32, F64, C64, C128) for r in s.rows())]


def widest(sample: Sample):
    """The dtypes to differentiate at: the most precise row of each kind."""
    rows = [r for r in sample.rows() if r[-1 if sample.smooth is None else sample.smooth[0]].kind in "fc"]
    chosen = {r[-1].kind: r for r in rows if r[-1].itemsize >= 4}
    return list(chosen.values())


def _tangents(rng, arrays, active):
    tangents = []
    for i, x in enumerate(arrays):
        if i not in active:
            tangents.append(None)
        elif x.dtype.kind == "c":
            tangents.append((rng.normal(size=x.shape) + 1j * rng.normal(size=x.shape)).astype(x.dtype))
        else:
            tangents.append(rng.normal(size=x.shape).astype(x.dtype))
    return tangents


def jax_zero(x):
    return np.zeros(x.shape, x.dtype if x.dtype.kind in "fc" else jax.dtypes.float0)


def _apply_jvp(sample, arrays, tangents):
    given = tuple(Zero.of(x) if t is None else t for x, t in zip(arrays, tangents, strict=True))
    out, t_out = registry[sample.name].jvp(tuple(arrays), given, **sample.params)
    return np.asarray(out), np.zeros(out.shape, out.dtype) if isinstance(t_out, Zero) else np.asarray(t_out)


@pytest.mark.parametrize(
    "sample, dtypes", [pytest.param(s, r, id=f"{s.id}-{r[-1].name}") for s in DIFFERENTIABLE for r in widest(s)]
)
def test_jvp_meets_finite_differences_and_the_oracle(sample, dtypes):
    rng = seeded(sample)
    arrays = sample.draw(rng, dtypes, (6,))
    smooth = sample.smooth or tuple(range(len(dtypes)))
    for active in [(i,) for i in smooth] + ([smooth] if len(smooth) > 1 else []):
        tangents = _tangents(rng, arrays, active)
        out, got = _apply_jvp(sample, arrays, tangents)
        assert (got.shape, got.dtype) == (out.shape, out.dtype)
        single = out.dtype in (F32, C64)

        def along(h, arrays=arrays, tangents=tangents):
            moved = [x if t is None else x + x.dtype.type(h) * t for x, t in zip(arrays, tangents, strict=True)]
            return wide(registry[sample.name].reference(*moved, **sample.params))

        h = 1e-2 if single else 1e-5
        narrow = out.dtype.itemsize < 4 or sample.name == "convert_element_type"  # differences vanish in the rounding
        if not sample.grid and not narrow:  # at ties, one-sided derivatives differ
            numeric = (along(h) - along(-h)) / (2 * h)
            np.testing.assert_allclose(got, numeric, rtol=0.1 if single else 1e-5, atol=0.1 if single else 1e-6)
        if oracle(sample.name) is None or sample.name in ("zeta", "sign"):  # of complex signs it is 0 in JAX
            continue
        _, theirs = jax.jvp(
            lambda *xs, active=active: oracle(sample.name)(
                *(x if i in active else arrays[i] for i, x in enumerate(xs)), **sample.params
            ),
            arrays,
            [jax_zero(x) if t is None else t for x, t in zip(arrays, tangents, strict=True)],
        )
        tol = 2.0**-7 if out.dtype.itemsize < 4 else 1e-4 if single else 1e-7
        got = wide(got)
        np.testing.assert_allclose(got, wide(theirs), rtol=tol, atol=tol)


EDGES = [
    ("abs", [0.0]), ("abs", [-0.0]), ("abs", [0j]), ("sqrt", [0.0]), ("max", [1.0, 1.0]), ("min", [2.0, 2.0]),
    ("max", [0.0, -0.0]), ("pow", [0.0, 2.0]), ("pow", [0.0, 1.0]), ("pow", [0.0, 0.0]), ("pow", [-2.0, 2.0]),
    ("clamp", [1.0, 1.0, 3.0]), ("clamp", [1.0, 3.0, 3.0]), ("clamp", [2.0, 1.0, 3.0]), ("clamp", [3.0, 2.0, 1.0]),
    ("bessel_i1e", [0.0]), ("atan2", [0.0, 0.0]), ("log", [0.0]), ("rem", [5.0, 2.0]), ("rem", [-5.0, 2.0]),
    ("tanh", [40.0]), ("logistic", [-800.0]), ("erf_inv", [1.0]),
]  # fmt: skip


@pytest.mark.parametrize("name, point", EDGES, ids=lambda v: str(v))
def test_derivatives_at_edges_are_the_oracles(name, point):
    point = [np.asarray(x, C128 if isinstance(x, complex) else F64) for x in point]
    for i in range(len(point)):
        tangents = [np.ones_like(x) if j == i else None for j, x in enumerate(point)]
        _, got = _apply_jvp(Sample(name), point, tangents)
        _, want = jax.jvp(lambda x, i=i: oracle(name)(*point[:i], x, *point[i + 1 :]), (point[i],), (tangents[i],))
        np.testing.assert_array_equal(got, np.asarray(want))


@pytest.mark.parametrize("y", [0, 2, -1])
def test_pow_with_an_integer_exponent_at_zero(y):
    x = np.array([0.0, 1.5])
    _, got = registry["pow"].jvp((x, np.array([y, y], np.int32)), (np.ones(2), Zero(ShapedArray((2,), F64))))
    _, want = jax.jvp(lambda x: jax.lax.pow(x, np.array([y, y], np.int32)), (x,), (np.ones(2),))
    np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


def test_refused_derivatives_say_why():
    one = np.ones(2)
    zero = Zero(ShapedArray((2,), F64))
    with pytest.raises(NotImplementedError, match="polygamma gradient with respect to m"):
        ops.polygamma.jvp((one, one), (one, zero))
    with pytest.raises(NotImplementedError, match="Betainc gradient with respect to a and b"):
        ops.regularized_incomplete_beta.jvp((one, one, one), (zero, one, zero))
    with pytest.raises(NotImplementedError, match="nextafter"):
        ops.nextafter.jvp((one, one), (one, one))


# --- Transposes ---

LINEAR = [
    ("neg", (F64,), (0,), {}), ("neg", (C128,), (0,), {}),
    ("add", (F64, F64), (0, 1), {}), ("sub", (F64, F64), (0, 1), {}),
    ("add_any", (C128, C128), (0, 1), {}), ("mul", (F64, F64), (0,), {}), ("mul", (C128, C128), (1,), {}),
    ("div", (F64, F64), (0,), {}), ("div", (C128, C128), (0,), {}), ("real", (C128,), (0,), {}),
    ("imag", (C128,), (0,), {}), ("complex", (F64, F64), (0, 1), {}), ("complex", (F64, F64), (1,), {}),
    ("conj", (C128,), (0,), {"input_dtype": C128}), ("conj", (F64,), (0,), {"input_dtype": F64}),
    ("convert_element_type", (F64,), (0,), {"new_dtype": F32, "weak_type": False, "sharding": None}),
    ("convert_element_type", (F64,), (0,), {"new_dtype": C128, "weak_type": False, "sharding": None}),
    ("convert_element_type", (C128,), (0,), {"new_dtype": F64, "weak_type": False, "sharding": None}),
    ("select_n", (np.dtype(bool), F64, F64), (1, 2), {}), ("select_n", (I32, F64, F64, F64), (1, 3), {}),
    ("copy", (F64,), (0,), {}), ("integer_pow", (F64,), (0,), {"y": 1}),
    ("reduce_precision", (F64,), (0,), {"exponent_bits": 11, "mantissa_bits": 52}),
]  # fmt: skip


def inner(x, y) -> float:
    """The pairing of cotangents and tangents: Re(sum x y), without conjugation."""
    return float(np.sum(wide(x) * wide(y)).real)


@pytest.mark.parametrize("name, dtypes, linear, params", LINEAR, ids=lambda v: str(v))
@pytest.mark.parametrize("stretched", [False, True])
def test_transpose_pairs_with_the_primitive(name, dtypes, linear, params, stretched):
    """<ct, f(t)> = <f'(ct), t>, also where the linear operand is broadcast."""
    if stretched and (len(dtypes) == 1 or name == "select_n"):
        pytest.skip("one operand is not broadcast")
    rng = np.random.default_rng(3)
    p = registry[name]
    shapes = [(1, 4) if stretched and i == linear[0] else (3, 4) for i in range(len(dtypes))]
    drawn = [Sample(name, low=0.0, high=2.0).draw(rng, (d,), s)[0] for d, s in zip(dtypes, shapes, strict=True)]
    args = [UndefinedPrimal(ShapedArray(x.shape, x.dtype)) if i in linear else x for i, x in enumerate(drawn)]
    # The linear map: constants at their values, linear operands at t, and affine parts (x + const) switched off.
    point = [x if i in linear or name not in ("add", "sub", "add_any", "complex", "select_n") else np.zeros_like(x)
             for i, x in enumerate(drawn)]  # fmt: skip
    if name == "select_n":
        point[0] = drawn[0]
    out = p.reference(*point, **params)
    ct = Sample(name).draw(rng, (out.dtype,), out.shape)[0]
    back = p.transpose(ct, *args, **params)
    for i, x in enumerate(drawn):
        assert (back[i] is not None) == (i in linear)
        if i in linear:
            assert (np.shape(back[i]), np.asarray(back[i]).dtype) == (x.shape, x.dtype)
    np.testing.assert_allclose(inner(ct, out), sum(inner(back[i], drawn[i]) for i in linear), rtol=1e-6)


# --- Batching ---


@by_id()
def test_batching_is_a_stacked_loop(sample):
    dtypes = sample.rows()[0]
    p = registry[sample.name]
    rng = seeded(sample)
    size, shape = 3, (2, 4)
    for dims in itertools.product(*[(None, 0, 2) if i < 3 else (0,) for i in range(len(dtypes))]):
        if all(d is None for d in dims):
            continue
        plain = sample.draw(rng, dtypes, (*shape, size))
        args = [x[..., 0] if d is None else np.moveaxis(x, -1, d) for x, d in zip(plain, dims, strict=True)]
        out, out_dim = p.batch(Axis(size), args, dims, **sample.params)
        rows = [
            p.reference(
                *(x if d is None else np.take(x, i, d) for x, d in zip(args, dims, strict=True)), **sample.params
            )
            for i in range(size)
        ]
        want = np.stack(rows, out_dim)
        got = np.asarray(out)
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert errors(got, want, sample.scale, EPS.get(want.dtype, 1.0)).max() <= sample.ulps


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0), (1, 0)])
def test_batching_scalars_among_arrays(dims):
    """The operands of one primitive may have rank 0 and rank n; so may their batches."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3) if dims[0] is not None else (2,)).astype(F32)
    if dims[0] == 0:
        x = x.T.copy()
    y = rng.normal(size=(3,) if dims[1] is not None else ()).astype(F32)
    out, out_dim = ops.mul.batch(Axis(3), (x, y), dims)
    take = lambda v, d, i: v if d is None else np.take(v, i, d)  # noqa: E731
    want = np.stack([take(x, dims[0], i) * take(y, dims[1], i) for i in range(3)], out_dim)
    np.testing.assert_array_equal(np.asarray(out), want)


@pytest.mark.parametrize("dims", list(itertools.product((None, 0), repeat=3))[1:])
@pytest.mark.parametrize("name", ["clamp", "select_n"])
def test_batching_scalar_bounds_and_selectors(name, dims):
    rng = np.random.default_rng(0)
    size, p = 3, registry[name]
    scalar = (0, 2) if name == "clamp" else (0,)
    arrays = []
    for i, d in enumerate(dims):
        shape = () if i in scalar else (4,)
        x = rng.normal(size=shape if d is None else (size, *shape))
        arrays.append(x > 0 if name == "select_n" and i == 0 else x)
    out, out_dim = p.batch(Axis(size), arrays, dims)
    rows = [p.reference(*(x if d is None else x[i] for x, d in zip(arrays, dims, strict=True))) for i in range(size)]
    np.testing.assert_array_equal(np.asarray(out), np.stack(rows, out_dim))


# --- Error messages ---


@pytest.mark.parametrize(
    "name, avals, message",
    [
        ("sin", [I32], r"sin does not accept dtype int32. Accepted dtypes are subtypes of floating, complexfloating."),
        ("and", [F32, F32], r"and does not accept dtype float32 at position 0."),
        ("sub", [F32, I32], r"lax.sub requires arguments to have the same dtypes, got float32, int32. .*subtract"),
        ("pow", [I32, I32], r"the first argument to pow must have an inexact dtype"),
        ("clamp", [I32, F32, I32], r"lax.clamp requires arguments to have the same dtypes, got int32, float32, int32."),
        ("select_n", [F32, F32, F32], r"`which` must be boolean or integer type, got float32"),
        ("select_n", [np.dtype(bool), F32, I32], r"select cases must have the same dtypes, got \[float32, int32\]"),
    ],
)
def test_type_errors_name_the_operands(name, avals, message):
    with pytest.raises(TypeError, match=message):
        registry[name].infer(tuple(ShapedArray((3,), d) for d in avals), {})


def test_integers_have_no_negative_powers():
    with pytest.raises(
        TypeError, match=r"Integers cannot be raised to negative powers, got integer_pow\(int32\[3\], -1\)"
    ):
        ops.integer_pow.infer((ShapedArray((3,), I32),), {"y": -1})


def test_bitcast_explains_the_shape_it_needs():
    with pytest.raises(ValueError, match=r"last dimension of the operand must be 4; got operand shape \(3,\)"):
        ops.bitcast_convert_type.infer((ShapedArray((3,), U8),), {"new_dtype": I32})
    with pytest.raises(TypeError, match="does not support bool or complex values"):
        ops.bitcast_convert_type.infer((ShapedArray((3,), C64),), {"new_dtype": F32})


# --- Bit casts of types narrower than a byte ---


@pytest.mark.parametrize("old, new, shape", [("int8", "int4", (3,)), ("int4", "int8", (3, 2)), ("int4", "uint4", (5,))])
def test_bitcast_below_a_byte(old, new, shape):
    old, new = jax.numpy.dtype(old), jax.numpy.dtype(new)
    x = np.arange(-3, int(np.prod(shape)) - 3, dtype=np.int8).reshape(shape).astype(old)
    got = ops.bitcast_convert_type.reference(x, new_dtype=new)
    want = np.asarray(jax.lax.bitcast_convert_type(jax.numpy.asarray(x), new))
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got.astype(np.int8), want.astype(np.int8))
