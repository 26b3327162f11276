"""Values whose sum over explicit mesh axes is put off: ``PartitionSpec(..., unreduced={"x"})``, types ``f32[8,8]{U:x}``."""

from __future__ import annotations

import pickle

import jax
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.errors import ShardingTypeError
from addax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P, reshard

X = np.arange(64, dtype=np.float32).reshape(8, 8) / 9
XX = X @ X


@pytest.fixture(scope="module")
def grid(devices):
    return Mesh(np.array(devices).reshape(4, 2), ("x", "y"), (AxisType.Explicit,) * 2)


@pytest.fixture(scope="module")
def jax_grid():
    kinds = (jax.sharding.AxisType.Explicit,) * 2
    return jax.sharding.Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"), kinds)


def terms(L, a, b, *entries):
    """The product of ``a`` and ``b``, of which each device has the terms that it can compute."""
    spec = L.sharding.PartitionSpec(*entries, unreduced={"x"})
    return L.numpy.einsum("ij,jk->ik", a, b, out_sharding=spec)


def scanned(L, a, b):
    zeros = L.numpy.zeros((8, 8), "float32", out_sharding=L.sharding.PartitionSpec(unreduced={"x"}))
    return L.lax.scan(lambda c, _: (c + terms(L, a, b), None), zeros, None, length=3)[0]


# name -> (function of the library and two arrays, its value)
PROGRAMS = {
    "product": (terms, XX),
    "sum": (lambda L, a, b: terms(L, a, b) + terms(L, a, b), 2 * XX),
    "rows": (lambda L, a, b: terms(L, a, b).T[2:5], XX.T[2:5]),
    "total": (lambda L, a, b: terms(L, a, b).sum(0), XX.sum(0)),
    "chosen": (lambda L, a, b: L.numpy.where(True, terms(L, a, b), terms(L, a, b)), XX),
    "microbatches": (scanned, 3 * XX),
    "called": (lambda L, a, b: L.jit(lambda v: v + v)(terms(L, a, b)), 2 * XX),
    "summed": (lambda L, a, b: L.sharding.reshard(terms(L, a, b), L.sharding.PartitionSpec("y")), XX),
    "cut": (lambda L, a, b: L.sharding.reshard(terms(L, a, b), L.sharding.PartitionSpec("y", unreduced={"x"})), XX),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_against_jax(name, grid, jax_grid):
    fun, value = PROGRAMS[name]

    def run(L, mesh):
        spec = L.sharding.PartitionSpec
        with L.set_mesh(mesh):
            a, b = L.device_put(X, spec(None, "x")), L.device_put(X, spec("x"))
            out = L.jit(lambda a, b: fun(L, a, b))(a, b)
            return str(L.typeof(out)), [np.asarray(s.data) for s in out.addressable_shards], out

    (kind, parts, out), (wanted, others, _) = run(addax, grid), run(jax, jax_grid)
    assert kind == wanted
    for got, want in zip(parts, others, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(out, value, rtol=1e-5)  # JAX cannot read it


def operands(grid):
    return (addax.device_put(X, NamedSharding(grid, P(*s))) for s in ((None, "x"), ("x",)))


def test_one_sum_for_all_terms(grid):
    with addax.set_mesh(grid):
        args = tuple(operands(grid))
        for fun in (lambda a, b: terms(addax, a, b) + terms(addax, 2 * a, b), lambda a, b: scanned(addax, a, b)):
            f = addax.jit(lambda a, b, fun=fun: reshard(fun(a, b), P()))
            assert f.lower(*args).compile().as_text("hlo").count(" all-reduce(") == 1
            np.testing.assert_allclose(f(*args), 3 * XX, rtol=1e-5)


def test_outside_of_programs_and_in_loops(grid):
    with addax.set_mesh(grid):
        u = addax.jit(lambda a, b: terms(addax, a, b))(*operands(grid))
        np.testing.assert_allclose(terms(addax, *operands(grid)), XX, rtol=1e-5)
        spread = NamedSharding(grid, P(None, None, unreduced={"x"}))
        assert u.sharding is spread and not u.is_fully_replicated and str(addax.typeof(u[1])) == "float32[8]{U:x}"
        assert not u.sharding.is_equivalent_to(NamedSharding(grid, P()), 2)
        put = addax.device_put(X, spread)
        assert [s.data[1, 1] == X[1, 1] for s in put.addressable_shards] == [True] * 2 + [False] * 6
        again = addax.make_array_from_single_device_arrays(X.shape, spread, [s.data for s in u.addressable_shards])
        for got, want in [
            (u + u, 2 * XX), (2 * u - u / 4, 1.75 * XX), (put, X), (put + u, X + XX), (reshard(u, P("x")), XX), (again, XX),
            (addax.device_put(u, grid.devices[1, 1]), XX),
            (addax.jit(lambda u: lax.fori_loop(0, 3, lambda i, c: c * 2, u))(u), 8 * XX),
            (addax.jit(lambda u: lax.cond(u.ndim > 1, lambda v: v + v, lambda v: v, u))(u), 2 * XX),
            (addax.jit(addax.vmap(lambda r: r + r[::-1]))(u), XX + XX[:, ::-1]),
            (addax.jit(lambda u: jnp.sin(reshard(u, P())))(u), np.sin(XX)),
        ]:  # fmt: skip
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-3)

        def loss(a, b):
            return (reshard(terms(addax, a, b), P()) ** 2).sum()

        for got, want in zip(
            addax.jit(addax.grad(loss, (0, 1)))(*operands(grid)), (2 * XX @ X.T, 2 * X.T @ XX), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-4)


def test_batches_of_products(grid):
    with addax.set_mesh(grid):
        a, b = (jnp.stack([v, 2 * v]) for v in operands(grid))
        out = addax.jit(addax.vmap(lambda a, b: terms(addax, a, b)))(a, b)
        assert str(addax.typeof(out)) == "float32[2,8,8]{U:x}"
        np.testing.assert_allclose(out, np.stack([XX, 4 * XX]), rtol=1e-5)


@pytest.mark.parametrize(
    ("fun", "message"),
    [
        (jnp.sin, r"sin takes no value that is still to be summed over mesh axes 'x' here: .*float32\[8,8\]\{U:x\}.*reshard\(x, P"),
        (lambda u: u * u, "mul takes no value that is still to be summed"),
        (lambda u: u + 1, "or leave both operands unreduced"),
        (lambda u: jnp.cumsum(u, 0), "cumsum takes no value"),
        (lambda u: u.astype("int32"), "convert_element_type takes no value"),
        (lambda u: lax.scan(lambda c, r: (c, r), 0.0, u)[1], "scan goes over no values that are still to be summed"),
        (lambda u: lax.while_loop(lambda c: c.sum() < 3, lambda c: c + c, u), "lt takes no value"),
        (lambda u: reshard(reshard(u, P()), P(unreduced={"x"})), "cannot be made unreduced over 'x'"),
        (lambda u: addax.shard_map(lambda v: v, in_specs=P(), out_specs=P())(u), "shard_map takes no value"),
        (lambda u: addax.shard_map(lambda v: v, in_specs=P(unreduced={"x"}), out_specs=P())(u), "cannot go in or out"),
    ],
)  # fmt: skip
def test_what_must_be_summed_first(grid, fun, message):
    with addax.set_mesh(grid):
        u = terms(addax, *operands(grid))
        with pytest.raises((ShardingTypeError, NotImplementedError), match=message):
            addax.jit(fun)(u)


def test_specs(grid, mesh):
    spec = P("y", unreduced={"x"})
    assert repr(spec) == "P('y', unreduced={'x'})" and pickle.loads(pickle.dumps(spec)) == spec
    assert spec != P("y") and spec.update(("y", None)) == P("y", None, unreduced={"x"})
    assert repr(P(reduced={"x"})) == "P(reduced={'x'})"
    marked = addax.device_put(X, NamedSharding(grid, P(reduced={"x"})))
    assert str(addax.typeof(marked)) == "float32[8,8]{R:x}"
    np.testing.assert_array_equal(marked * 2, 2 * X)
    for make, kind, message in [
        (lambda: P("x", unreduced={"x"}), ValueError, "partitions cannot overlap with unreduced axes"),
        (lambda: P(unreduced={"x"}, reduced={"x"}), ValueError, "cannot overlap"),
        (lambda: P(unreduced="x"), TypeError, "should be of type `frozenset` or `set`"),
        (lambda: NamedSharding(grid, P(unreduced={"z"})), ValueError, "Unreduced axes z is not found"),
        (lambda: NamedSharding(mesh, P(unreduced={"x"})), ValueError, "of type `Explicit`"),
        (
            lambda: addax.make_array_from_callback((8,), NamedSharding(grid, P(unreduced={"x"})), lambda i: X[0][i]),
            ValueError, "an index does not tell which term",
        ),
    ]:  # fmt: skip
        with pytest.raises(kind, match=message):
            make()
