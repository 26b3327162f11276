"""Meshes with explicit axes: where results are follows from the program, as in JAX; what does not go together is named."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P, reshard

KINDS = (AxisType.Explicit, AxisType.Explicit)
X = np.arange(32, dtype=np.float32).reshape(8, 4) / 7


@pytest.fixture(scope="module")
def grid(devices):
    return Mesh(np.array(devices).reshape(4, 2), ("x", "y"), KINDS)


@pytest.fixture(scope="module")
def jax_grid():
    kinds = (jax.sharding.AxisType.Explicit,) * 2
    return jax.sharding.Mesh(np.array(jax.devices()).reshape(4, 2), ("x", "y"), kinds)


# name -> (function of the library and arrays, specs of its arguments)
PROGRAMS = {
    "sum": (lambda L, a, b: a + b, ("x", "y"), ("x",)),
    "scalar": (lambda L, a: L.numpy.sin(a * 2) + 1, ("x", "y")),
    "transposed": (lambda L, a: a.T, ("x", "y")),
    "reduced": (lambda L, a: a.sum(0), ("x", "y")),
    "maximum": (lambda L, a: a.max(1, keepdims=True), ("x", "y")),
    "joined": (lambda L, a: a.reshape(32), ("x", "y")),
    "split": (lambda L, a: a.reshape(4, 2, 4), ("x",)),
    "new axis": (lambda L, a: a[None] * 2, ("x", "y")),
    "product": (lambda L, a, b: a @ b.T, ("x",), (None, None)),
    "whole": (lambda L, a, b: a @ b.T, ("x",), ("y",)),
    "concatenated": (lambda L, a: L.numpy.concatenate([a, a], 1), ("x",)),
    "where": (lambda L, a: L.numpy.where(a > 1, a, 0.0), (None, "y")),
    "gradient": (lambda L, a, b: L.grad(lambda a: (L.numpy.sin(a) * b).sum())(a), ("x", "y"), ("x",)),
    "mapped": (lambda L, a: L.vmap(lambda r: r * r.sum())(a), ("x",)),
    "loop": (lambda L, a: L.lax.fori_loop(0, 3, lambda i, c: c * 0.5, a), ("x", "y")),
    "resharded": (lambda L, a: L.sharding.reshard(a, L.sharding.PartitionSpec("y", "x")), ("x", "y")),
    "einsum, said": (
        lambda L, a: L.numpy.einsum("ij,kj->ik", a, a, out_sharding=L.sharding.PartitionSpec("x", None)), ("x", "y")
    ),
    "reshape, said": (lambda L, a: a.reshape(32, out_sharding=L.sharding.PartitionSpec("x")), ("x", "y")),
    "indexed, said": (
        lambda L, a: a.at[np.arange(4)].get(out_sharding=L.sharding.PartitionSpec("x")), (None, None)
    ),
    "matmul, said": (
        lambda L, a: L.numpy.matmul(a.T, a, out_sharding=L.sharding.PartitionSpec(None, "y")), ("x",)
    ),
    "half": (lambda L, a: a[:4], ("x", "y")),
    "rows of a table": (lambda L, a: a[np.array([3, 0, 1])], (None, "y")),
    "row by row": (lambda L, a: L.numpy.take_along_axis(a, np.zeros((8, 1), int), 1), ("x",)),
    "spectrum": (lambda L, a: abs(L.numpy.fft.fft(a)), ("x",)),
    "largest": (lambda L, a: L.lax.top_k(a, 2)[0], ("x",)),
    "convolution": (
        lambda L, a: L.lax.conv_general_dilated(a[:, None], np.ones((1, 1, 3), "float32"), (1,), "SAME"), ("x",)
    ),
    "singular values": (lambda L, a: L.numpy.linalg.svd(a.reshape(8, 2, 2), compute_uv=False), ("x",)),
    "auto": (
        lambda L, a: L.sharding.auto_axes(lambda v: v @ v.T, out_sharding=L.sharding.PartitionSpec("x"))(a), ("x", "y")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_results_are_where_jax_has_them(name, grid, jax_grid):
    fun, *specs = PROGRAMS[name]

    def run(L, mesh):
        def place(i, spec):
            return L.device_put(X + i, L.sharding.NamedSharding(mesh, L.sharding.PartitionSpec(*spec)))

        with L.set_mesh(mesh):
            return L.jit(lambda *xs: fun(L, *xs))(*(place(i, s) for i, s in enumerate(specs)))

    got, want = run(addax, grid), run(jax, jax_grid)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-5)
    index = {d.id: i for d, i in want.sharding.devices_indices_map(want.shape).items()}
    assert {d.id: i for d, i in got.sharding.devices_indices_map(got.shape).items()} == index


def test_disagreements_are_named(grid):
    a, b = (addax.device_put(X, NamedSharding(grid, P(*s))) for s in (("x", "y"), ("y", None)))
    with pytest.raises(addax.errors.ShardingTypeError) as error:
        addax.jit(lambda a, b: jnp.sin(a) * b)(a, b)
    assert str(error.value).startswith("mul got incompatible shardings for broadcasting: ('x', 'y'), ('y', None).")
    assert (
        "float32[8@x,4@y] and float32[8@y,4]: dimension 0 is cut over mesh axis 'x' in one and over 'y' in the other"
        in str(error.value)
    )
    assert "test_explicit.py:" in str(error.value)
    with pytest.raises(addax.errors.ShardingTypeError, match="requires contracting dimensions to have consistent"):
        addax.jit(lambda a, b: a.T @ b)(a, b)
    with pytest.raises(addax.errors.ShardingTypeError, match="add got incompatible shardings"):
        a + b


def test_gradients_through_reshard_do_not_disagree(grid):
    a = addax.device_put(X, NamedSharding(grid, P("x", "y")))

    def loss(a):
        return (reshard(a, NamedSharding(grid, P("y", "x"))) ** 2).sum() + (a * jnp.sin(a)).sum()

    got = addax.jit(addax.grad(loss))(a)
    np.testing.assert_allclose(np.asarray(got), 2 * X + np.sin(X) + X * np.cos(X), rtol=1e-5)


def test_types_of_arrays(grid):
    a = addax.device_put(X, NamedSharding(grid, P("x", None)))
    assert str(addax.typeof(a)) == "float32[8@x,4]"
    assert addax.typeof(a).sharding.spec == P("x", None)
    assert re.fullmatch(
        r"ShapedArray\(float32\[8@\(x,y\),4\]\)", repr(addax.typeof(reshard(a, NamedSharding(grid, P(("x", "y"))))))
    )


def test_types_of_traced_values(grid):
    """typeof in a program: under jit, vmap and derivatives; a call with another layout is another trace."""
    seen = []

    @addax.jit
    def f(a):
        y = jnp.sin(a) + 1
        seen.append([str(addax.typeof(v)) for v in (a, y, y.T, y.sum(1), reshard(y, P(None, "x")))])
        addax.vmap(lambda r: seen[-1].append(str(addax.typeof(r * 2))))(a)
        addax.grad(lambda v: seen[-1].append(str(addax.typeof(v * 2))) or v.sum())(a)
        return y

    with addax.set_mesh(grid):
        for spec in (P("x", "y"), P("y"), P("x", "y")):
            f(addax.device_put(X, spec))
    assert seen == [
        ["float32[8@x,4@y]", "float32[8@x,4@y]", "float32[4@y,8@x]", "float32[8@x]", "float32[8,4@x]",
         "float32[4@y]", "float32[8@x,4@y]"],
        ["float32[8@y,4]", "float32[8@y,4]", "float32[4,8@y]", "float32[8@y]", "float32[8,4@x]",
         "float32[4]", "float32[8@y,4]"],
    ]  # fmt: skip


def test_shard_map_takes_its_specs_from_types(grid):
    def part(v):
        assert v.shape == (2, 2)
        return v - lax.pmean(v, ("x", "y"))

    with addax.set_mesh(grid):
        centred = addax.jit(lambda a: addax.shard_map(part, out_specs=P("x", "y"))(a + 1))
        got = centred(addax.device_put(X, P("x", "y")))
    blocks = X.reshape(4, 2, 2, 2) - X.reshape(4, 2, 2, 2).mean((0, 2), keepdims=True)
    np.testing.assert_allclose(np.asarray(got), blocks.reshape(8, 4), atol=1e-6)


def test_explicit_axes_within_auto(devices):
    auto = Mesh(np.array(devices).reshape(4, 2), ("x", "y"))
    with addax.set_mesh(auto):
        types = []
        f = addax.sharding.explicit_axes(
            lambda v: types.append(str(addax.typeof(v.T))) or v * 2, in_sharding=P("x", "y")
        )
        np.testing.assert_array_equal(np.asarray(addax.jit(f)(X)), X * 2)
        np.testing.assert_array_equal(np.asarray(f(X)), X * 2)
        f(X)
    assert types == ["float32[4@y,8@x]"]  # traced once
