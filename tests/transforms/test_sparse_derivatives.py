"""Sparse Jacobians and Hessians against dense ones; patterns, colourings, how many products are taken."""

import numpy as np
import pytest
from comparison import ADDAX
from scipy import sparse
from transform_programs import Nest

import addax
import addax.numpy as jnp
from addax import lax
from addax.sparse_derivatives.coloring import color_columns, color_symmetric, star_sources

RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 1.5, 12).astype("float32")
INDEX = np.array([3, 1, 1, 7])
W = RNG.normal(size=(12, 3)).astype("float32")
BANDED = np.triu(np.tril(RNG.normal(size=(12, 12)), 1), -1).astype("float32")
KERNEL = np.float32([[[0, 1, 0], [1, -4, 1], [0, 1, 0]]])[None]


def grid(x):
    return x.reshape(3, 4)


def loop(x):
    """A loop whose length depends on data."""
    return lax.while_loop(lambda c: c[0] < x.sum(), lambda c: (c[0] + 1, c[1] * x), (0.0, x * x))[1]


def recurrence(x):
    return lax.scan(lambda c, y: (c * 0.5 + y, c * y), 0.1, x)


def long_map(x):
    return lax.map(lambda r: r[:1] * r, jnp.tile(grid(x), (200, 1)))


# name: (function, whether every entry of the pattern is an entry of the dense Jacobian)
FUNCTIONS = {
    "elementwise": (lambda x: jnp.sin(x) * x + 1, True),
    "neighbours": (lambda x: x[1:] * x[:-1], True),
    "stencil": (lambda x: x.at[1:-1].add(0.1 * (x[2:] - 2 * x[1:-1] + x[:-2])), True),
    "broadcasting": (lambda x: grid(x) * x[:4] + x[4:5], True),
    "sum": (lambda x: grid(x).sum(1), True),
    "mean of all": (lambda x: x.mean(), True),
    "max": (lambda x: grid(x).max(0), False),
    "where with a known mask": (lambda x: jnp.where(np.arange(12) % 3 == 0, x, x[0]), True),
    "where with an unknown mask": (lambda x: jnp.where(x > 1, x, x[::-1]), False),
    "known zeros": (lambda x: x * (np.arange(12) % 2) + x[0] * 0, True),
    "layout": (lambda x: jnp.concatenate([grid(x).T[1:].ravel(), jnp.pad(x, (1, 2)), x[::-2], jnp.tile(x[:2], 2)]), True),
    "roll": (lambda x: jnp.roll(x, 3) - x, True),
    "gather": (lambda x: x[INDEX] * x[0] + x[jnp.arange(4) + 1], True),
    "gather rows": (lambda x: grid(x)[np.array([2, 0])], True),
    "gather out of bounds": (lambda x: x.at[np.array([1, 50])].get(mode="fill", fill_value=0), True),
    "gather at computed positions": (lambda x: grid(x)[:, (x[:2] * 2).astype(int)], False),
    "scatter": (lambda x: x.at[INDEX].add(x[:4] ** 2).at[0].set(1.0), True),
    "scatter of rows": (lambda x: jnp.zeros((3, 4)).at[np.array([1, 0, 2])].set(grid(x)), True),
    "scatter at computed positions": (lambda x: x.at[(x[:2] * 2).astype(int)].set(x[-2:]), False),
    "matrix": (lambda x: grid(x) @ W[:4], True),
    "banded matrix": (lambda x: BANDED @ x**2, True),
    "banded matrix from the right": (lambda x: x**2 @ jnp.asarray(BANDED), True),
    "batched product": (lambda x: jnp.einsum("bi,bij->bj", grid(x), np.ones((3, 4, 2), "float32")), True),
    "square of a matrix": (lambda x: (grid(x) @ grid(x).T).ravel(), False),
    "cumsum": (lambda x: jnp.cumsum(grid(x), 1), True),
    "cumprod": (lambda x: jnp.cumprod(x), True),
    "convolution": (lambda x: jnp.convolve(x, np.float32([1, 0, 2])), True),
    "five points": (
        lambda x: lax.conv_general_dilated(grid(x)[None, None], KERNEL, (1, 1), "SAME", rhs_dilation=(1, 1)), True,
    ),
    "strided convolution": (lambda x: lax.conv_general_dilated(x.reshape(2, 2, 3), W[:4].reshape(2, 2, 3), (2,), [(2, 1)]), True),
    "kernel": (lambda x: lax.conv_general_dilated(np.ones((1, 2, 5), "f"), x.reshape(3, 2, 2), (1,), "VALID"), True),
    "sum of windows": (lambda x: lax.reduce_window(grid(x), 0.0, lax.add, (2, 2), (1, 1), "VALID"), True),
    "max of windows": (lambda x: lax.reduce_window(grid(x), -np.inf, lax.max, (1, 2), (1, 2), "VALID"), False),
    "sort": (lambda x: jnp.sort(grid(x)), False),
    "fft": (lambda x: jnp.abs(jnp.fft.rfft(grid(x) + np.arange(4))), True),
    "triangular solve": (
        lambda x: lax.linalg.triangular_solve(np.tri(4, dtype="f") + np.eye(4, dtype="f"), grid(x).T, left_side=True, lower=True),
        False,
    ),
    "linear solve": (lambda x: jnp.linalg.solve(np.eye(4, dtype="f") * 2, grid(x).T), False),
    "jit": (lambda x: addax.jit(lambda y, i: y[1:] * y[i])(x, np.int32(3)), False),
    "checkpoint": (addax.checkpoint(lambda x: jnp.sin(x[1:]) * x[:-1]), True),
    "custom_jvp": (addax.nn.relu, True),
    "cond": (lambda x: lax.cond(x[0] > 1, lambda y: y, lambda y: y[::-1] * 2, x), False),
    "scan": (recurrence, True),
    "reversed scan": (lambda x: lax.scan(lambda c, y: (c * y, c), 1.0, x, reverse=True), True),
    "fori_loop": (lambda x: lax.fori_loop(0, 11, lambda i, c: c.at[i].set(c[i] * c[i + 1]), x), True),
    "while_loop": (loop, False),
    "long scan": (lambda x: lax.scan(lambda c, y: (c + y, c * y), x[0], jnp.tile(x, 30))[1], True),
    "long map": (long_map, True),
    "very long scan": (lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=4000)[0], False),
    "stop_gradient": (lambda x: lax.stop_gradient(x[::-1]) * x, True),
    "integers": (lambda x: (x[:3], jnp.floor(x), x.astype(int), jnp.arange(3)), False),
    "tree": (lambda x: {"a": x[:2], "b": [x[0] * x[5], (grid(x) ** 2).sum(0)]}, True),
    "associative scan": (lambda x: lax.associative_scan(jnp.multiply, x), True),
    "vmap": (lambda x: addax.vmap(lambda r: r * r[0])(grid(x)), True),
    "gradient inside": (lambda x: addax.grad(lambda y: jnp.sum(y[1:] ** 2 * y[:-1]))(x), True),
    "nothing": (lambda x: jnp.arange(4.0), True),
    "random keys": (lambda x: x * addax.random.normal(addax.random.key(0), (12,)), True),
}  # fmt: skip


def dense(fun, x):
    leaves = [np.asarray(j) for j in addax.tree.leaves(addax.jacfwd(fun)(x))]
    flat = [j.reshape(-1, x.size) for j in leaves]
    return np.concatenate([np.zeros((j.shape[0], x.size)) if j.dtype.kind == "V" else j for j in flat])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobian(name):
    fun, exact = FUNCTIONS[name]
    want = dense(fun, X)
    pattern = addax.jacobian_sparsity(fun, X)
    assert pattern.shape == want.shape and pattern.dtype == np.bool_
    missing = (want != 0) & ~pattern.toarray()
    assert not missing.any()
    if exact:
        assert pattern.nnz == np.count_nonzero(want), "entries that are always 0"
    for mode in ("fwd", "rev"):
        got = addax.sparse_jacobian(fun, mode=mode)(X)
        np.testing.assert_allclose(got.to_scipy().toarray(), want, rtol=2e-5, atol=2e-6)


def test_under_jit_and_vmap_and_grad():
    def f(x):
        return x[1:] * jnp.sin(x[:-1])

    j = addax.jit(addax.sparse_jacobian(f))(X)
    want = dense(f, X)
    assert isinstance(j, addax.SparseMatrix) and repr(j) == "SparseMatrix(float32[11, 12], nse=22)"
    np.testing.assert_allclose(addax.jit(lambda m: m.todense())(j), want, rtol=1e-6)
    np.testing.assert_allclose(j @ X, want @ X, rtol=1e-5)
    np.testing.assert_allclose(j.T @ W[:11], want.T @ W[:11], rtol=1e-5, atol=1e-6)
    assert (j.shape, j.nse, j.ndim, str(j.dtype), j.indices.shape) == ((11, 12), 22, 2, "float32", (22, 2))
    batch = addax.vmap(lambda x: addax.sparse_jacobian(f)(x).data)(np.stack([X, 2 * X]))
    np.testing.assert_allclose(batch[1], addax.sparse_jacobian(f)(2 * X).data, rtol=1e-6)
    slope = addax.grad(lambda x: (addax.sparse_jacobian(f)(x).data ** 2).sum())(X)
    np.testing.assert_allclose(slope, addax.grad(lambda x: (addax.jacfwd(f)(x) ** 2).sum())(X), rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match=r"shape \(11, 12\) cannot multiply an array of shape \(3,\)"):
        j @ np.ones(3)


def test_several_arguments_trees_and_aux():
    def f(p, n, y):
        return {"u": p["a"] * y[:4] * n, "v": p["b"].sum() + y}, p["a"].sum()

    p, y = {"a": X[:4], "b": X[:2]}, X
    jac, aux = addax.sparse_jacobian(f, argnums=(0, 2), has_aux=True)(p, 2, y)
    blocks = addax.jacfwd(f, argnums=(0, 2), has_aux=True)(p, 2, y)[0]
    rows = [np.concatenate([np.asarray(b).reshape(len(b), -1) for b in addax.tree.leaves(blocks[k])], 1) for k in "uv"]
    np.testing.assert_allclose(jac.todense(), np.concatenate(rows), rtol=1e-6)
    assert jac.shape == (16, 18) and float(aux) == pytest.approx(X[:4].sum())
    only = addax.jacobian_sparsity(lambda a, b: a * b, addax.ShapeDtypeStruct((3,), np.float32), 2.0, argnums=0)
    assert only.toarray().tolist() == np.eye(3, dtype=bool).tolist()


def count_products(monkeypatch, plan_of, *args):
    """How many products `plan_of` takes: the size of the batch that the linear map is run on."""
    from addax.sparse_derivatives import derivatives

    sizes = []
    vmap = derivatives.vmap

    def counting(f):
        return lambda v: sizes.append(addax.tree.leaves(v)[0].shape[0]) or vmap(f)(v)

    monkeypatch.setattr(derivatives, "vmap", counting)
    out = plan_of(*args)
    monkeypatch.undo()
    return out, sizes


@pytest.mark.parametrize(
    ("fun", "mode", "colors"),
    [
        (FUNCTIONS["stencil"][0], "auto", 3),
        (FUNCTIONS["elementwise"][0], "auto", 1),
        (lambda x: jnp.append(x * x[::-1], x.sum()), "fwd", 12),
        (lambda x: x.sum(), "auto", 1),  # in reverse
        (lambda x: x.sum() * np.ones(3, "f"), "rev", 3),
    ],
)
def test_one_product_per_color(fun, mode, colors, monkeypatch):
    _, sizes = count_products(monkeypatch, addax.sparse_jacobian(fun, mode=mode), X)
    assert sizes == [colors]


HESSIANS = {
    "separable": (lambda x: jnp.sum(jnp.sin(x)), 1),
    "chain": (lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), 3),
    "arrow": (lambda x: x[0] ** 2 * jnp.sum(x[1:] ** 2), 2),
    "two hubs": (lambda x: x[0] * x[1] * jnp.sum(x[2:] ** 2), 3),
    "grid": (lambda x: jnp.sum(grid(x)[1:] * grid(x)[:-1] ** 2) + jnp.sum(jnp.exp(grid(x)[:, 1:] * grid(x)[:, :-1])), 6),
    "without a diagonal": (lambda x: jnp.sum(x[:6] * x[6:]), 2),
    "full": (lambda x: jnp.sum(x) ** 3, 12),
    "linear": (lambda x: jnp.sum(x), 0),
    "matrix": (lambda x: jnp.sum((BANDED @ x) ** 3), 8),
}  # fmt: skip


@pytest.mark.parametrize("name", HESSIANS)
def test_hessian(name, monkeypatch):
    fun, colors = HESSIANS[name]
    want = np.asarray(addax.hessian(fun)(X))
    got, sizes = count_products(monkeypatch, addax.sparse_hessian(fun), X)
    np.testing.assert_allclose(got.to_scipy().toarray(), want, rtol=1e-4, atol=1e-4)
    assert sum(sizes) <= colors
    pattern = addax.hessian_sparsity(fun, X).toarray()
    assert (pattern == pattern.T).all() and not ((want != 0) & ~pattern).any()


def test_given_sparsity():
    f = FUNCTIONS["neighbours"][0]
    right = addax.jacobian_sparsity(f, X)
    want = dense(f, X)
    for given in (right, right.toarray(), sparse.coo_matrix(right), np.ones((11, 12))):
        np.testing.assert_allclose(addax.sparse_jacobian(f, sparsity=given)(X).todense(), want, rtol=1e-6)
    wrong = right.toarray()
    wrong[4, 5] = False
    for mode, place in (("fwd", "row 4"), ("rev", "column 5")):
        with pytest.raises(ValueError, match=f"lacks entries that are not 0, in {place}"):
            addax.sparse_jacobian(f, sparsity=wrong, mode=mode)(X)
    with pytest.raises(ValueError, match=r"shape \(11, 11\), expected \(11, 12\)"):
        addax.sparse_jacobian(f, sparsity=right[:, :11])(X)
    h = HESSIANS["chain"][0]
    lower = sparse.tril(addax.hessian_sparsity(h, X))
    np.testing.assert_allclose(addax.sparse_hessian(h, sparsity=lower)(X).todense(), addax.hessian(h)(X), rtol=1e-4)


def test_mistakes():
    with pytest.raises(TypeError, match="sparse_jacobian requires real- or complex-valued inputs"):
        addax.sparse_jacobian(lambda x: x)(np.arange(3))
    with pytest.raises(ValueError, match="'auto', 'fwd' or 'rev', got 'forward'"):
        addax.sparse_jacobian(lambda x: x, mode="forward")
    with pytest.raises(ValueError, match=r"about 1e\+10 entries"):
        addax.jacobian_sparsity(lambda x: x * x.sum(), jnp.ones(100_000))
    with pytest.raises(TypeError, match="Gradient only defined for scalar-output"):
        addax.sparse_hessian(lambda x: x)(X)


def test_the_pattern_is_found_once_per_type():
    calls = []

    def f(x):
        calls.append(1)
        return x * 2

    j = addax.sparse_jacobian(f)
    j(X), j(2 * X)
    assert len(calls) == 3  # the pattern, and twice the products
    j(X[:5])
    assert len(calls) == 5


def random_pattern(rng, rows: int, columns: int, symmetric: bool) -> sparse.csr_array:
    a = sparse.random_array((rows, columns), density=rng.uniform(0.02, 0.3), rng=rng).astype(bool)
    a = sparse.csr_array(a + a.T if symmetric else a)
    a.sort_indices()
    return a


def test_colorings_of_random_patterns():
    rng = np.random.default_rng(0)
    for _ in range(60):
        a = random_pattern(rng, *rng.integers(1, 30, 2), False)
        colors = color_columns(a)
        for i in range(a.shape[0]):
            mine = colors[a.indices[a.indptr[i] : a.indptr[i + 1]]]
            assert len(set(mine)) == len(mine)
        s = random_pattern(rng, *[rng.integers(1, 30)] * 2, True)
        colors = color_symmetric(s)
        values = sparse.csr_array((rng.normal(size=s.nnz), s.indices, s.indptr), shape=s.shape).toarray()
        values = np.tril(values) + np.tril(values, -1).T
        seeds = colors[:, None] == np.arange(colors.max() + 1)
        rows = np.repeat(np.arange(s.shape[0]), np.diff(s.indptr))
        element, color = star_sources(rows, s.indices, colors)
        np.testing.assert_allclose((values @ seeds)[element, color], values[rows, s.indices], atol=1e-12)
        dense_colors = color_columns(s).max()
        assert colors.max() <= dense_colors + 3


def test_a_hundred_thousand_variables():
    """Three products and linear work: a dense Jacobian of this size would take 40 GB."""
    x = jnp.linspace(0.0, 1.0, 100_000)
    f = FUNCTIONS["stencil"][0]
    j = addax.sparse_jacobian(f)(x)
    assert j.shape == (100_000, 100_000) and j.nse == 299_996
    np.testing.assert_allclose(j @ x, addax.jvp(f, (x,), (x,))[1], rtol=1e-5, atol=1e-6)


def test_a_pattern_is_found_again_when_what_the_function_captured_changes():
    captured = {"index": np.array([0, 1])}
    f = addax.sparse_jacobian(lambda x: x[captured["index"]] ** 2)
    x = jnp.arange(1.0, 6.0)
    for index in ([0, 1], [3, 4], [4, 0]):
        captured["index"] = np.array(index)
        np.testing.assert_allclose(f(x).todense(), addax.jacfwd(lambda x: x[captured["index"]] ** 2)(x))


def random_function(seed: int):
    """A random program as a function of its first float32 argument, and that argument; None if it has none."""
    nest = Nest(seed, 1)
    of_nest = nest.function(ADDAX)
    at = next((i for i, x in enumerate(nest.args) if getattr(x, "dtype", None) == np.float32 and x.size), None)
    if at is None:
        return None

    def f(x):
        outs = addax.tree.leaves(of_nest(*nest.args[:at], x, *nest.args[at + 1 :]))
        return [y for y in outs if getattr(y, "dtype", None) == np.float32]

    return f, nest.args[at]


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_patterns_of_random_programs(block):
    """No entry of a dense Jacobian is missing, and the sparse one equals it."""
    compared = 0
    for seed in range(block * 50, block * 50 + 50):
        found = random_function(seed)
        try:
            want = found and dense(*found)
        except (NotImplementedError, ValueError):
            continue  # no derivative, no results
        if want is None or not np.isfinite(want).all():
            continue
        pattern = addax.jacobian_sparsity(*found).toarray()
        assert not ((want != 0) & ~pattern).any(), seed
        got = addax.sparse_jacobian(found[0])(found[1]).todense()
        np.testing.assert_allclose(
            got, want, rtol=1e-3, atol=1e-4 * (1 + np.abs(want).max(initial=0)), err_msg=str(seed)
        )
        compared += 1
    assert compared > 15
