"""The laws of structural primitives, to be run over sample records, and the oracle they are compared with."""

from __future__ import annotations

import itertools

import jax
import numpy as np

import addax
from addax.core.avals import get_aval
from addax.core.checker import check_jaxpr
from addax.core.parser import parse
from addax.core.primitive import registry
from addax.ops.indexing import update_program

_NAMES = {
    name: name.replace("-", "_") for name in ("scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max")
}
_COMBINE = {
    "scatter-add": "add",
    "scatter-sub": "sub",
    "scatter-mul": "mul",
    "scatter-min": "min",
    "scatter-max": "max",
}


def ours(sample):
    """The primitive of a sample as a function of its operands."""
    p = registry[sample.name]

    def apply(*args):
        params = sample.params
        if sample.name.startswith("scatter"):
            combine = _COMBINE.get(sample.name)
            update = None if combine is None else update_program(combine, get_aval(args[0]).dtype)
            params = params | {"update_jaxpr": update, "update_consts": ()}
        return p.bind(*args, **params)

    return apply


def oracle(sample):
    """The same in JAX."""
    params = sample.params
    if sample.name == "gather" or sample.name.startswith("scatter"):
        f = getattr(jax.lax, _NAMES.get(sample.name, sample.name))
        numbers = params["dimension_numbers"]
        cls = getattr(jax.lax, type(numbers).__name__)
        mode = jax.lax.GatherScatterMode[params["mode"].name]
        keyword = {"unique_indices": params["unique_indices"], "mode": mode, "dimension_numbers": cls(*numbers)}
        if sample.name == "gather":
            keyword |= {"slice_sizes": params["slice_sizes"], "fill_value": params["fill_value"]}
        return lambda *args: f(*args, **keyword)
    p = getattr(jax.lax, sample.name + "_p")
    return lambda *args: p.bind(*map(jax.numpy.asarray, args), **params)


def flat(out) -> list:
    return [np.asarray(x) for x in out] if isinstance(out, (list, tuple)) else [np.asarray(out)]


def assert_same(got, want, rtol=0.0):
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        wide = np.complex128 if a.dtype.kind == "c" else np.float64
        np.testing.assert_allclose(a.astype(wide), b.astype(wide), rtol=rtol, atol=rtol, equal_nan=True)


def batchings(sample, args):
    """Assignments of batch dimensions to operands: none, the first, a middle and the last position of each."""
    positions = [sorted({0, np.ndim(x) // 2, np.ndim(x)}) for x in args]
    every = list(itertools.product(*[(None, *p) for p in positions]))
    return [dims for dims in every if any(d is not None for d in dims)]


def batch_of(sample, rng, dims, size: int):
    """Operands with a batch dimension where ``dims`` says so, and the examples they consist of."""
    examples = [sample.draw(rng) for _ in range(max(size, 1))]
    for k, o in enumerate(sample.operands):
        if not isinstance(o, tuple):  # other indices in each example, in bounds and out of bounds
            for j, e in enumerate(examples):
                if j:
                    e[k] = (o.astype(np.int64) + rng.integers(-2, 3, o.shape)).astype(o.dtype)
    args, rows = [], [[] for _ in range(size)]
    for k, d in enumerate(dims):
        if d is None:
            args.append(examples[0][k])
        else:
            stacked = np.stack([e[k] for e in examples], d)
            args.append(stacked if size else np.take(stacked, [], d))
        for i in range(size):
            rows[i].append(examples[0 if d is None else i][k])
    return args, rows


def check_batching(sample, rng, dims, size=3, out_axis=0):
    f = ours(sample)
    args, rows = batch_of(sample, rng, dims, size)
    got = flat(addax.vmap(f, in_axes=dims, out_axes=out_axis)(*args))
    if not size:
        shapes = [a.shape for a in flat(f(*batch_of(sample, rng, dims, 1)[1][0]))]
        assert [g.shape for g in got] == [(0, *s) for s in shapes]
        return
    want = [np.stack(parts, out_axis) for parts in zip(*[flat(f(*r)) for r in rows], strict=True)]
    assert_same(got, want, 1e-6)


def data_only(sample, f, args):
    """``f`` as a function of its data operands, indices fixed."""
    data = [k for k in range(len(args)) if sample.is_data(k)]

    def on_data(*xs):
        full = list(args)
        for k, x in zip(data, xs, strict=True):
            full[k] = x
        return f(*full)

    return on_data, [args[k] for k in data]


def random_like(rng, x):
    x = np.asarray(x)
    noise = rng.uniform(-1, 1, x.shape)
    if x.dtype.kind == "c":
        noise = noise + 1j * rng.uniform(-1, 1, x.shape)
    return noise.astype(x.dtype)


def inner(xs, ys) -> float:
    return sum(float(np.sum(x * y)) for x, y in zip(xs, ys, strict=True))


def check_derivatives(sample, rng, eps=1e-6):
    """jvp is a central difference and vjp its transpose, for all data operands together and for each alone."""
    with addax.enable_x64(True):
        args = sample.draw(rng, np.dtype(np.float64))
        f, xs = data_only(sample, ours(sample), args)
        tangents = [random_like(rng, x) for x in xs]
        every = tuple(range(len(xs)))
        for moved in {every, *((i,) for i in every)}:
            check_direction(f, xs, tangents, moved, rng, eps)


def check_direction(f, xs, tangents, moved, rng, eps=1e-6, rounding=0.0, tol=1e-6):
    """jvp is a central difference and vjp its transpose, in the operands ``moved``."""

    def g(*some):
        full = list(xs)
        for i, x in zip(moved, some, strict=True):
            full[i] = x
        return f(*full)

    at, along = [xs[i] for i in moved], [tangents[i] for i in moved]
    out, dot_out = addax.jvp(g, tuple(at), tuple(along))
    assert_same(out, g(*at), rounding)
    up = flat(g(*(x + eps * t for x, t in zip(at, along, strict=True))))
    down = flat(g(*(x - eps * t for x, t in zip(at, along, strict=True))))
    with np.errstate(invalid="ignore"):  # NaN that was filled in, or a maximum of nothing: the derivative is 0
        slopes = [np.nan_to_num((a - b) / (2 * eps)) for a, b in zip(up, down, strict=True)]
    assert_same(dot_out, slopes, tol)
    out, pull = addax.vjp(g, *at)
    cts = [random_like(rng, o) for o in flat(out)]
    ct = type(out)(cts) if isinstance(out, (list, tuple)) else cts[0]
    pulled = flat(pull(ct))
    assert [p.shape for p in pulled] == [np.shape(x) for x in at]
    np.testing.assert_allclose(inner(cts, flat(dot_out)), inner(pulled, along), rtol=1e-9, atol=1e-9)


def check_programs(sample, rng):
    args = sample.draw(rng)
    f = ours(sample)
    check_programs_of(f, args, data_only(sample, f, args) if sample.differentiable else None)


def check_programs_of(f, args, smooth=None) -> list:
    """The programs of a function, of its batch and of the derivative of ``smooth``, a function and its arguments, are well
    typed, and print so that they parse.
    """
    programs = [
        addax.make_jaxpr(f)(*args),
        addax.make_jaxpr(addax.vmap(f))(*(np.stack([x, x]) for x in args)),
    ]
    if smooth is not None:
        g, xs = smooth

        def pulled(*xs):
            out, pull = addax.vjp(g, *xs)
            return pull(out)

        programs.append(addax.make_jaxpr(pulled)(*xs))
    for program in programs:
        check_jaxpr(program)
        assert str(parse(str(program))) == str(program)
    return programs
