"""Traced masks as indices: what needs no array of the picked elements gives what NumPy gives, the rest is an error."""

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax.core.trace import Tracer
from addax.errors import NonConcreteBooleanIndexError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 5)).astype("float32")
M = X > 0.2  # of elements
R = X.sum(1) > 0  # of rows

READS = {
    "sum": lambda n, x, m, r: x[m].sum(),
    "jnp.sum": lambda n, x, m, r: n.sum(x[m]),
    "sum of rows": lambda n, x, m, r: x[r].sum(0),
    "sum of all": lambda n, x, m, r: x[r].sum(axis=(0, 1), keepdims=True),
    "sum of columns first": lambda n, x, m, r: x[r].sum(1).max(),
    "sum with keepdims": lambda n, x, m, r: x[r].sum(0, keepdims=True),
    "sum in int": lambda n, x, m, r: (x[m] * 9).astype("int32").sum(),
    "mean": lambda n, x, m, r: n.mean(x[m]),
    "mean of rows": lambda n, x, m, r: x[r, :].mean(-2),
    "prod": lambda n, x, m, r: n.prod(x[m]),
    "max": lambda n, x, m, r: x[m].max(),
    "min": lambda n, x, m, r: x[..., m].min(),
    "max with initial": lambda n, x, m, r: x[m].max(initial=7.0),
    "ptp": lambda n, x, m, r: n.ptp(x[m]),
    "var": lambda n, x, m, r: x[m].var(ddof=1),
    "std": lambda n, x, m, r: x[r].std(0),
    "any": lambda n, x, m, r: (x[m] > 1).any(),
    "all": lambda n, x, m, r: n.all(x[m] > 0),
    "count_nonzero": lambda n, x, m, r: n.count_nonzero(x[m] > 0.5),
    "size": lambda n, x, m, r: x[r].size,
    "power": lambda n, x, m, r: (x[m] ** 2).sum() + (2 ** x[m]).sum(),
    "two arrays": lambda n, x, m, r: (x[m] * (x + 1)[m]).sum(),
    "functions": lambda n, x, m, r: (n.log(x[m]) - abs(-n.maximum(x[m], 0.5))).mean(),
    "methods": lambda n, x, m, r: (x[m].clip(0, 1) + x[m].round() + x[m].real).sum(),
    "row constants": lambda n, x, m, r: (x[r] * np.arange(5, dtype="float32") + np.ones((1, 5), "float32")).sum(),
    "columns": lambda n, x, m, r: x.T[:, r].sum(1),
    "columns of a slice": lambda n, x, m, r: x.T[1:, r].max(-1),
    "new dimension": lambda n, x, m, r: x[None, r].sum((0, 1)),
}


@pytest.fixture(scope="module")
def compiled():
    """The results of all programs, under jit and under vmap(jit), from two compilations."""

    def program(x, m, r):
        return {k: f(jnp, x, m, r) for k, f in READS.items()}

    plain = addax.jit(program)(X, M, R)
    batch = addax.jit(addax.vmap(program))(np.stack([X, X + 1]), np.stack([M, ~M]), np.stack([R, ~R]))
    return plain, batch


@pytest.mark.parametrize("name", READS)
def test_reads(name, compiled):
    plain, batch = compiled
    np.testing.assert_allclose(plain[name], READS[name](np, X, M, R), rtol=2e-5, atol=1e-6)
    if name != "functions":  # logarithms of negative numbers
        np.testing.assert_allclose(batch[name][1], READS[name](np, X + 1, ~M, ~R), rtol=2e-5, atol=1e-5)


def numpy_update(x, index, op, value):
    out = x.copy()
    ufunc = {"min": np.minimum, "max": np.maximum, "set": lambda _, v: v}.get(op) or getattr(np, op)
    out[index] = ufunc(out[index], value)
    return out


@pytest.mark.parametrize("op", ["set", "add", "subtract", "multiply", "divide", "power", "min", "max"])
def test_updates(op):
    row = np.arange(1, 6, dtype="float32")
    cases = [((M,), X, 2.0), ((R,), X, row), ((slice(1, None), R), np.abs(X.T), np.float32(3)), ((R,), X, row[None])]
    cases.append(((Ellipsis, R), np.abs(X.T), np.full((5, 1), 2, "float32")))

    @addax.jit
    def program(masks):
        outs = []
        for (index, x, value), mask in zip(cases, masks, strict=True):
            traced = (*index[:-1], mask)
            outs.append(getattr(jnp.asarray(x).at[traced if len(traced) > 1 else mask], op)(value))
        return outs

    for got, (index, x, value) in zip(program([c[0][-1] for c in cases]), cases, strict=True):
        np.testing.assert_allclose(got, numpy_update(x, index, op, value), rtol=1e-5)


def test_updates_of_integers_keep_their_dtype_and_scalar_masks_work():
    out = addax.jit(lambda x, m: x.at[m].set(7.9))(np.arange(3), np.arange(3) > 1)
    assert (out.tolist(), str(out.dtype)) == ([0, 1, 7], "int32")
    flag = addax.jit(lambda x, b: x.at[b].add(1.0))
    assert flag(X[0], True).tolist() == (X[0] + 1).tolist() and flag(X[0], False).tolist() == X[0].tolist()


SMOOTH = {
    "log": lambda x, m: jnp.log(x[m]).sum(),
    "apply": lambda x, m: (x.at[m].apply(jnp.sqrt) if isinstance(m, Tracer) else x.at[m].set(jnp.sqrt(x[m]))).sum(),
    "std": lambda x, m: jnp.std(x[m]),
    "multiply": lambda x, m: x.at[m].multiply(x[m].sum(), unique_indices=True).sum(),
    "max": lambda x, m: x[m].max() * x.at[m].power(2.5)[0],
}


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_do_not_see_what_is_not_selected(name):
    x = np.float32([2.0, -1.0, 0.5, 0.0])

    def f(x):
        return SMOOTH[name](x, x > 0)

    eager = addax.grad(f)(x)  # there the mask is known, and x[mask] an array
    np.testing.assert_allclose(addax.grad(addax.jit(f))(x), eager, rtol=1e-5)
    np.testing.assert_allclose(addax.jit(addax.jvp, static_argnums=0)(f, (x,), (x,))[1], eager @ x, rtol=1e-5)
    np.testing.assert_allclose(addax.vmap(addax.grad(f))(x[None])[0], eager, rtol=1e-5)
    assert np.isfinite(eager).all()


def test_nothing_selected():
    none = addax.jit(
        lambda x, m: (x[m].sum(), x[m].prod(), x[m].mean(), x[m].max(), x[m].min(), x[m].any(), x[m].all())
    )
    with np.errstate(all="ignore"):
        got = [float(v) for v in none(X, np.zeros_like(M))]
    np.testing.assert_equal(got, [0, 1, np.nan, -np.inf, np.inf, 0, 1])


MISTAKES = {
    "result": (lambda x, m: x[m], "used as an array"),
    "shape": (lambda x, m: x[m].shape, "`.shape` of x[mask]"),
    "len": (lambda x, m: len(x[m]), "The length of x[mask]"),
    "dot": (lambda x, m: jnp.dot(x[m], x[m]), "used as an array"),
    "method": (lambda x, m: x[m].sort(), "`.sort` of x[mask]"),
    "index": (lambda x, m: x[m][0], "indexed by 0"),
    "NumPy": (lambda x, m: np.asarray(x[m]), "NumPy array"),
    "another mask": (lambda x, m: x[m] + x[x > 0], "compute the mask once"),
    "array of another length": (lambda x, m: x[m] + jnp.ones(3), "array of the shape (3,)"),
    "values of another length": (lambda x, m: x.at[m].set(x), "jnp.where(mask, values, x)"),
    "beside integers": (lambda x, m: x[0, m[0]], "write x[i][mask]"),
    "where": (lambda x, m: x[m].sum(where=m), "x[mask & where]"),
    "truth": (lambda x, m: 1 if x[m] else 2, "truth value"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_needs_the_number_of_elements_is_an_error(name):
    program, text = MISTAKES[name]
    with pytest.raises(NonConcreteBooleanIndexError) as error:
        addax.jit(program)(X, M)
    message = str(error.value)
    assert text in message and "traced mask bool[" in message and "size=n" in message and __file__ in message


def test_masks_of_another_shape():
    with pytest.raises(IndexError, match=r"mask has the shape \(5,\), the dimensions that it indexes have \(4,\)"):
        addax.jit(lambda x, m: x[m].sum())(X, M[0])
    with pytest.raises(IndexError, match="2-dimensional, but 3 were indexed"):
        addax.jit(lambda x, m: x.at[m, :].set(0))(X, M)
