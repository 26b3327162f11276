"""Laws over the sample table: eager = jit = definition = oracle, vmap = loop, jvp = finite differences to order 2."""

import jax
import numpy as np
import pytest
from layout_laws import assert_same, batchings, check_direction, check_programs_of, flat, random_like
from samples_reduce import F64, SAMPLES, Sample

import addax
from addax.core.parser import parse
from addax.core.primitive import registry

by_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.id)
DIFFERENTIABLE = [s for s in SAMPLES if s.order]
# Complex ones are compared with the oracle; what computes in float32 is too coarse for differences.
BY_DIFFERENCES = [
    s for s in DIFFERENTIABLE if s.dtypes[0].kind != "c" and s.params.get("preferred_element_type") is None
]


def hermitian_part(x):
    order = (*range(np.ndim(x) - 2), np.ndim(x) - 1, np.ndim(x) - 2)
    return 0.5 * (x + np.conj(np.transpose(x, order)))


def ours(sample: Sample):
    p = registry[sample.name]

    def apply(*args):
        if sample.symmetrize:
            rank = len(args[0].shape)
            turned = addax.numpy.conj(
                registry["transpose"].bind(args[0], permutation=(*range(rank - 2), rank - 1, rank - 2))
            )
            args = (registry["mul"].bind(registry["add"].bind(args[0], turned), np.asarray(0.5, args[0].dtype)[()]),)
        return p.bind(*args, **sample.params_for(args))

    return apply


def oracle(sample: Sample, args):
    args = [jax.numpy.asarray(x) for x in args]
    if sample.oracle is not None:
        return sample.oracle(*args)
    name = sample.name + "_p"
    p = getattr(jax.lax, name, None) or getattr(jax.lax.linalg, name)
    out = p.bind(*args, **(sample.jax_params if sample.jax_params is not None else sample.params))
    return jax.numpy.tril(out) if sample.name == "cholesky" else out


def some_dtypes(sample: Sample):
    """Two of a sample's dtypes, others for its neighbours: the oracle takes its time to compile."""
    first = SAMPLES.index(sample)
    return {sample.dtypes[(first + k) % len(sample.dtypes)] for k in (0, 2)}


@by_sample
def test_values(sample):
    rng = np.random.default_rng(0)
    for dtype in some_dtypes(sample):
        args = sample.draw(rng, dtype)
        if sample.name in ("eigh", "tridiagonal"):
            args = [hermitian_part(x).astype(dtype) for x in args]
        want = oracle(sample, args)
        p, params = registry[sample.name], sample.params_for(args)
        got = p.bind(*args, **params)
        assert_same(got, want, sample.rtol)
        assert_same(p.reference(*args, **params), want, sample.rtol)
        jitted = addax.jit(lambda *xs: p.bind(*xs, **params))(*args)
        for a, b in zip(flat(got), flat(jitted), strict=True):
            np.testing.assert_array_equal(a, b)


@by_sample
def test_batching(sample):
    rng = np.random.default_rng(1)
    dtype = sample.dtypes[0]
    rows = [sample.draw(rng, dtype) for _ in range(3)]
    f = ours(sample)
    every = batchings(sample, rows[0])
    chosen = every if len(every) <= 4 else [every[i] for i in rng.choice(len(every), 4, replace=False)]
    for dims in chosen:
        args, examples = [], [[] for _ in rows]
        for k, d in enumerate(dims):
            args.append(rows[0][k] if d is None else np.stack([r[k] for r in rows], d))
            for i, example in enumerate(examples):
                example.append(rows[0 if d is None else i][k])
        got = flat(addax.vmap(f, in_axes=dims)(*args))
        want = [np.stack(parts) for parts in zip(*[flat(f(*e)) for e in examples], strict=True)]
        assert_same(got, want, max(sample.rtol, 1e-5))


def smooth_part(sample: Sample, args):
    """The primitive as a function of the operands it is differentiated in, and with inexact results only."""
    moved = sample.smooth if sample.smooth is not None else tuple(range(len(args)))
    f = ours(sample)

    def g(*some):
        full = list(args)
        for i, x in zip(moved, some, strict=True):
            full[i] = x
        out = f(*full)
        outs = [x for x in flat_values(out) if x.dtype.kind in "fc"]
        outs = [registry["real"].bind(x) if x.dtype.kind == "c" else x for x in outs]
        return outs if isinstance(out, list) else outs[0]

    return g, [args[i] for i in moved]


@pytest.mark.parametrize("sample", BY_DIFFERENCES, ids=lambda s: s.id)
def test_derivatives(sample):
    rng = np.random.default_rng(2)
    with addax.enable_x64(True):
        f, xs = smooth_part(sample, sample.draw(rng, F64))
        tangents = [random_like(rng, x) for x in xs]
        every = tuple(range(len(xs)))
        for moved in {every, *((i,) for i in every)}:
            check_direction(f, xs, tangents, moved, rng, rounding=1e-12, tol=1e-5)


@pytest.mark.parametrize("sample", [s for s in BY_DIFFERENCES if s.order > 1], ids=lambda s: s.id)
def test_second_derivatives(sample):
    """The derivative of a gradient is its central difference."""
    rng = np.random.default_rng(3)
    with addax.enable_x64(True):
        f, xs = smooth_part(sample, sample.draw(rng, F64))
        cts = [random_like(rng, x) for x in flat(f(*xs))]

        def pulled(*xs):
            out, pull = addax.vjp(f, *xs)
            values = [registry["sin"].bind(x) if x.dtype.kind == "f" else x for x in flat_values(out)]
            scaled = [registry["mul"].bind(v, c) for v, c in zip(values, cts, strict=True)]
            return list(pull(scaled if isinstance(out, list) else scaled[0]))

        along = [random_like(rng, x) for x in xs]
        check_direction_forward(pulled, xs, along, 1e-6)


def flat_values(out) -> list:
    return list(out) if isinstance(out, list) else [out]


def check_direction_forward(f, xs, along, eps):
    _, dots = addax.jvp(f, tuple(xs), tuple(along))
    up = flat(f(*(x + eps * t for x, t in zip(xs, along, strict=True))))
    down = flat(f(*(x - eps * t for x, t in zip(xs, along, strict=True))))
    for got, a, b in zip(flat(dots), up, down, strict=True):
        np.testing.assert_allclose(got, (a - b) / (2 * eps), rtol=2e-5, atol=2e-5 * max(1.0, np.abs(a).max(initial=0)))


def complex_samples():
    """Those with complex dtypes; the first of each primitive in every run, for the oracle compiles slowly."""
    seen = set()
    for s in DIFFERENTIABLE:
        if any(d.kind == "c" for d in s.dtypes) and s.name != "sort":
            yield s if s.name not in seen else pytest.param(s, marks=pytest.mark.slow)
            seen.add(s.name)


@pytest.mark.parametrize("sample", list(complex_samples()), ids=lambda s: s.id)
def test_complex_derivatives_against_the_oracle(sample):
    rng = np.random.default_rng(4)
    args = sample.draw(rng, np.dtype(np.complex64))
    if sample.symmetrize:
        pytest.skip("the oracle reads one triangle: compared through the public functions")
    tangents = [random_like(rng, x) for x in args]
    f = ours(sample)
    _, got = addax.jvp(f, tuple(args), tuple(tangents))
    _, want = jax.jvp(lambda *xs: oracle(sample, xs), tuple(args), tuple(tangents))
    pairs = [
        (a, b) for a, b in zip(flat_values(got), want if isinstance(want, (list, tuple)) else [want], strict=True)
        if np.asarray(a).dtype.kind in "fc"
    ]  # fmt: skip
    for a, b in pairs:
        scale = max(1.0, float(np.abs(np.asarray(b)).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-3 * scale)
    out, pull = addax.vjp(f, *args)
    outs = flat_values(out)
    if any(x.dtype.kind not in "fc" for x in outs):
        return
    cts = [random_like(rng, x) for x in outs]
    out, jax_pull = jax.vjp(lambda *xs: oracle(sample, xs), *args)
    many = isinstance(out, (list, tuple))
    for a, b in zip(
        pull(cts if many else cts[0]), jax_pull(type(out)(map(jax.numpy.asarray, cts)) if many else cts[0]), strict=True
    ):
        scale = max(1.0, float(np.abs(np.asarray(b)).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-3 * scale)


@by_sample
def test_programs(sample):
    args = sample.draw(np.random.default_rng(5), sample.dtypes[0])
    f = ours(sample)
    program = check_programs_of(f, args, smooth_part(sample, args) if sample.order else None)[0]
    [eqn] = program.eqns[-1:]
    [again] = parse(str(program)).eqns[-1:]
    assert {k: str(v) for k, v in again.params.items()} == {k: str(v) for k, v in eqn.params.items()}
