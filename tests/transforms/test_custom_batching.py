"""Batching rules that users write, and collectives over mapped axes with their derivatives."""

import functools

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.custom_batching import custom_vmap, sequential_vmap


def marked(log=None):
    """A function whose rule gives ten times its value, so that one sees which of the two ran."""

    @custom_vmap
    def f(x, y):
        return jnp.sin(x) * y

    @f.def_vmap
    def rule(axis_size, in_batched, x, y):
        if log is not None:
            log.append((axis_size, *in_batched))
        return 10 * jnp.sin(x) * y, any(in_batched)

    return f


X = np.arange(3.0, dtype=np.float32)
close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6)


def test_the_rule_batches():
    log = []
    f = marked(log)
    close(f(1.0, 2.0), 2 * np.sin(1.0))
    close(addax.jit(f)(1.0, 2.0), 2 * np.sin(1.0))
    assert log == []
    close(addax.vmap(f)(X, X), 10 * np.sin(X) * X)
    close(addax.jit(addax.vmap(addax.jit(f), (None, 0)))(1.0, X), 10 * np.sin(1.0) * X)
    assert log == [(3, True, True), (3, False, True)]
    nested = addax.vmap(addax.vmap(f, (0, None)), (None, 0))(X, np.ones(2, np.float32))
    close(nested, np.tile(10 * np.sin(X), (2, 1)))
    looped = addax.vmap(lambda x: lax.scan(lambda c, _: (f(c, 2.0), None), x, None, length=2)[0])(X)
    close(looped, 20 * np.sin(20 * np.sin(X)), rtol=1e-4)


def test_derivatives():
    f = marked()
    slope = np.sin(X) + X * np.cos(X)
    close(addax.jvp(addax.vmap(f), (X, X), (X, X))[1], 10 * X * slope)
    close(addax.vmap(lambda x: addax.jvp(f, (x, x), (x, x))[1])(X), 10 * X * slope)
    close(addax.grad(lambda x: addax.vmap(f)(x, x).sum())(X), 10 * slope)
    close(addax.vmap(addax.grad(f))(X, X), X * np.cos(X))  # that of the function
    close(addax.jacfwd(addax.vmap(f, (0, None)), 1)(X, 2.0), 10 * np.sin(X))


def test_trees():
    @custom_vmap
    def f(d):
        return {"sum": d["a"] + d["b"], "b": d["b"]}

    @f.def_vmap
    def rule(axis_size, in_batched, d):
        (flags,) = in_batched
        return {"sum": d["a"] + d["b"] + 100, "b": d["b"]}, {"sum": True, "b": flags["b"]}

    out = addax.vmap(f, ({"a": 1, "b": None},), out_axes={"sum": 1, "b": None})(
        {"a": X.reshape(1, 3), "b": jnp.ones(1)}
    )
    close(out["sum"], [[101.0, 102.0, 103.0]])
    close(out["b"], [1.0])


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (None, AttributeError, "No batching rule defined for custom_vmap function f"),
        (lambda n, b, x: x, TypeError, r"must return a pair \(out, out_batched\)"),
        (lambda n, b, x: (x, (True, True)), ValueError, "output batching specification returned by custom vmap rule"),
        (
            lambda n, b, x: ((x, x), (True, True)),
            ValueError,
            "does not match that of original custom-vmapped function f",
        ),
        (lambda n, b, x: (x[:1], True), ValueError, r"leaf 0 of the result with shape \(3,\).*its shape is \(1,\)"),
    ],
)
def test_mistakes(rule, error, message):
    def f(x):
        return x

    f = custom_vmap(f)
    if rule is not None:
        f.def_vmap(rule)
    with pytest.raises(error, match=message):
        addax.vmap(f)(X)


def test_captured_values_cannot_be_mapped():
    def g(x, c):
        f = custom_vmap(lambda x: x * c)
        f.def_vmap(lambda n, b, x: (7 * x, True))
        return f(x)

    close(addax.vmap(g, (0, None))(X, 3.0), 7 * X)
    with pytest.raises(Exception, match="mapped value that is not one of its arguments"):
        addax.vmap(g)(X, X)


def test_sequential_vmap_is_a_loop():
    f = sequential_vmap(lambda x, y: jnp.sin(x) * y)
    assert "scan" in str(addax.make_jaxpr(addax.vmap(f, (0, None)))(X, 2.0))
    close(addax.vmap(addax.vmap(f, (0, None)), (None, 0))(X, X), np.outer(X, np.sin(X)))
    close(addax.grad(lambda x: addax.vmap(f, (0, None))(x, 2.0).sum())(X), 2 * np.cos(X))


GROUPS = [[0, 3], [2, 1]]
FIRST, OTHER = np.array([0, 2, 2, 0]), np.array([3, 2, 1, 0])  # of each member's group; of each member

# Collectives over a mapped axis as functions of the whole batch, a 4 x 4 array.
COLLECTIVES = {
    "psum": (lambda v: lax.psum(v, "i"), lambda a: jnp.broadcast_to(a.sum(0), (4, 4))),
    "pmean": (lambda v: lax.pmean(v, "i"), lambda a: jnp.broadcast_to(a.mean(0), (4, 4))),
    "pmax": (lambda v: lax.pmax(v, "i"), lambda a: jnp.broadcast_to(a.max(0), (4, 4))),
    "pmin": (lambda v: lax.pmin(v, "i"), lambda a: jnp.broadcast_to(a.min(0), (4, 4))),
    "all_gather": (lambda v: lax.all_gather(v, "i", axis=1), lambda a: jnp.broadcast_to(a.T, (4, 4, 4))),
    "all_gather tiled": (lambda v: lax.all_gather(v, "i", tiled=True), lambda a: jnp.broadcast_to(a.ravel(), (4, 16))),
    "psum_scatter": (lambda v: lax.psum_scatter(v, "i"), lambda a: a.sum(0)),
    "all_to_all": (lambda v: lax.all_to_all(v, "i", 0, 0), lambda a: a.T),
    "ppermute": (lambda v: lax.ppermute(v, "i", [(0, 1), (1, 2), (2, 3)]), lambda a: jnp.roll(a, 1, 0).at[0].set(0)),
    "pshuffle": (lambda v: lax.pshuffle(v, "i", [2, 0, 3, 1]), lambda a: a[jnp.array([2, 0, 3, 1])]),
    "psum in groups": (lambda v: lax.psum(v, "i", axis_index_groups=GROUPS), lambda a: a + a[OTHER]),
    "pmax in groups": (lambda v: lax.pmax(v, "i", axis_index_groups=GROUPS), lambda a: jnp.maximum(a, a[OTHER])),
    "all_gather in groups": (
        lambda v: lax.all_gather(v, "i", axis=1, axis_index_groups=GROUPS),
        lambda a: jnp.stack([a[FIRST], a[OTHER[FIRST]]], 2),
    ),
    "psum_scatter in groups": (
        lambda v: lax.psum_scatter(v, "i", axis_index_groups=GROUPS, tiled=True),
        lambda a: jnp.where(jnp.arange(4)[:, None] == FIRST[:, None], *jnp.split(a + a[OTHER], 2, 1)),
    ),
    "all_to_all in groups": (
        lambda v: lax.all_to_all(v.reshape(2, 2), "i", 0, 1, axis_index_groups=GROUPS),
        lambda a: jnp.stack(
            [jnp.where((jnp.arange(4) == FIRST)[:, None], *jnp.split(a[j], 2, 1)) for j in (FIRST, OTHER[FIRST])], 2
        ),
    ),
    "axis_index": (lambda v: v * lax.axis_index("i") * lax.axis_size("i"), lambda a: 4 * a * jnp.arange(4.0)[:, None]),
}


@pytest.mark.parametrize("name", COLLECTIVES)
def test_collectives_and_their_derivatives(name):
    collective, definition = COLLECTIVES[name]
    a = jnp.asarray(np.random.RandomState(0).normal(size=(4, 4)).astype(np.float32))

    def check(f):
        def g(a):
            return (f(a) ** 2).sum()

        return f(a), addax.grad(g)(a), addax.jvp(f, (a,), (2 * a,))[1], addax.vmap(f)(jnp.stack([a, a + 1]))

    got = addax.jit(lambda: check(addax.vmap(collective, axis_name="i")))()
    for x, y in zip(got, addax.jit(lambda: check(definition))(), strict=True):
        close(x, y, rtol=1e-4, atol=1e-5)


def test_psum_of_numbers_among_arrays():
    out = addax.vmap(lambda a: lax.psum({"a": a, "b": (2, 2.5, True)}, "i"), axis_name="i")(X)
    assert [x.tolist() for x in addax.tree.leaves(out)] == [[3.0] * 3, [6] * 3, [7.5] * 3, [3] * 3]
    assert [x.weak_type for x in addax.tree.leaves(out)] == [False, True, True, False]
    assert addax.vmap(lambda a: a * lax.psum(1, "i"), axis_name="i")(X).tolist() == [0.0, 3.0, 6.0]
    with pytest.raises(NameError, match="unbound axis name: j"):
        addax.vmap(lambda a: lax.psum(1, "j"), axis_name="i")(X)


def test_permutations_over_several_mapped_axes():
    x = np.arange(12.0, dtype=np.float32).reshape(2, 3, 2)

    def over_both(body):
        return lambda x: addax.vmap(addax.vmap(body, axis_name="b"), axis_name="a")(x)

    @addax.jit
    def run(x):
        some = over_both(lambda v: lax.ppermute(v, ("a", "b"), [(0, 4), (5, 5), (1, 2)]))
        return (
            some(x),
            addax.vjp(some, x)[1](x)[0],
            over_both(lambda v: lax.pshuffle(v, ("b", "a"), [1, 2, 3, 4, 5, 0]))(x),
            over_both(lambda v: lax.ppermute(v > 2, ("a", "b"), [(3, 0)]))(x),
        )

    some, back, rolled, flags = run(x)
    rows = x.reshape(6, 2)
    want = np.zeros((3, 6, 2), np.float32)
    want[0, [4, 5, 2]], want[1, [0, 5, 1]], want[2, 0] = rows[[0, 5, 1]], rows[[4, 5, 2]], rows[3] > 2
    np.testing.assert_array_equal(some, want[0].reshape(2, 3, 2))
    np.testing.assert_array_equal(back, want[1].reshape(2, 3, 2))
    np.testing.assert_array_equal(flags, want[2].reshape(2, 3, 2) > 0)
    turned = x.transpose(1, 0, 2).reshape(6, 2)[[1, 2, 3, 4, 5, 0]]
    np.testing.assert_array_equal(rolled, turned.reshape(3, 2, 2).transpose(1, 0, 2))


def test_groups_of_several_mapped_axes_are_refused():
    f = addax.vmap(lambda v: lax.psum(v, ("a", "i"), axis_index_groups=[[0, 1, 2], [3, 4, 5]]), axis_name="i")
    with pytest.raises(NotImplementedError, match=r"over several axes.*give the groups of one axis"):
        addax.vmap(f, axis_name="a")(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda v: lax.ppermute(v, "i", [(0, 1), (2, 1)]), "destinations must be unique"),
        (lambda v: lax.ppermute(v, "i", [(0, 3)]), r"in \[0, 3\), the size of axis 'i'"),
        (lambda v: lax.psum_scatter(v[None][:, None], "i"), "size 1 must match shard count 3"),
        (lambda v: lax.psum(v, "i", axis_index_groups=[[0, 1], [2]]), "groups of one size"),
    ],
)
def test_collectives_check_their_operands(body, message):
    with pytest.raises(ValueError, match=message):
        addax.vmap(body, axis_name="i")(X)
