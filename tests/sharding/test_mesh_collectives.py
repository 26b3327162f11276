"""Collectives over the axes of a mesh, and their derivatives, against JAX and against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from mapped_cases import close, results

import addax
from addax import lax
from addax.sharding import PartitionSpec as P

XY = ("x", "y")
ARGS = (
    np.arange(64, dtype=np.float32).reshape(8, 8) / 7 - 3,
    np.cos(np.arange(64, dtype=np.float32)).reshape(8, 8),
)

# name -> (body of one value, in spec, out spec). Bodies see [2, 4] of an array [8, 8] cut over x and y.
BOTH = ("x", "y")
BODIES = {
    "psum_x": (lambda L, v: L.lax.psum(v, "x"), BOTH, (None, "y")),
    "psum_xy": (lambda L, v: L.lax.psum(v, ("x", "y")), BOTH, ()),
    "psum_tree": (lambda L, v: L.lax.psum({"a": v, "b": v * v}, "y")["b"], BOTH, ("x",)),
    "psum_number": (lambda L, v: v * L.lax.psum(1, ("x", "y")), BOTH, BOTH),
    "pmean": (lambda L, v: L.lax.pmean(v, "y"), BOTH, ("x",)),
    "all_gather": (lambda L, v: L.lax.all_gather(v, "x"), BOTH, ("x", None, "y")),
    "all_gather_1": (lambda L, v: L.lax.all_gather(v, "y", axis=-1), BOTH, ("x", "y")),
    "all_gather_tiled": (lambda L, v: L.lax.all_gather(v, "y", axis=1, tiled=True), BOTH, ("x", "y")),
    "all_gather_xy": (lambda L, v: L.lax.all_gather(v, ("x", "y"), axis=1), BOTH, (XY,)),
    "all_gather_yx_tiled": (lambda L, v: L.lax.all_gather(v, ("y", "x"), tiled=True), BOTH, (XY,)),
    "psum_scatter": (lambda L, v: L.lax.psum_scatter(v, "y"), BOTH, (XY,)),
    "psum_scatter_tiled": (
        lambda L, v: L.lax.psum_scatter(v, "x", scatter_dimension=1, tiled=True), BOTH, ("x", "y")
    ),
    "psum_scatter_xy": (
        lambda L, v: L.lax.psum_scatter(v.reshape(8), ("x", "y"), tiled=True), BOTH, (XY,)
    ),
    "psum_scatter_xy_whole": (lambda L, v: L.lax.psum_scatter(v.reshape(8)[:, None], ("x", "y")), BOTH, (XY,)),
    "all_to_all": (lambda L, v: L.lax.all_to_all(v, "x", 1, 0), BOTH, ("x", "y")),
    "all_to_all_tiled": (lambda L, v: L.lax.all_to_all(v, "y", 0, 1, tiled=True), BOTH, ("x", "y")),
    "all_to_all_xy": (lambda L, v: L.lax.all_to_all(v.reshape(8, 1), ("x", "y"), 0, 1), BOTH, (XY,)),
    "all_to_all_xy_tiled": (
        lambda L, v: L.lax.all_to_all(v.reshape(1, 8), ("y", "x"), 1, 0, tiled=True), BOTH, (None, XY)
    ),
    "pswapaxes": (lambda L, v: L.lax.pswapaxes(v, "x", 1), BOTH, ("x", "y")),
    "ppermute": (lambda L, v: L.lax.ppermute(v, "x", [(i, (i + 1) % 4) for i in range(4)]), BOTH, BOTH),
    "ppermute_some": (lambda L, v: L.lax.ppermute(v, "x", [(0, 2), (3, 1)]), BOTH, BOTH),
    "pshuffle": (lambda L, v: L.lax.pshuffle(v, "x", [2, 0, 3, 1]), BOTH, BOTH),
    "axis_index": (lambda L, v: v * L.lax.axis_index("y") + L.lax.axis_index(("y", "x")), BOTH, BOTH),
}  # fmt: skip
# Without a derivative in JAX, or without a definition under vmap.
VALUES_ONLY = {
    "pmax": (lambda L, v: L.lax.pmax(v, "x"), BOTH, (None, "y")),
    "pmin_xy": (lambda L, v: L.lax.pmin(v, ("x", "y")), BOTH, ()),
    "bools": (lambda L, v: L.lax.psum(v > 0, "x"), BOTH, (None, "y")),
}


def mapped(body, ins, outs, **options):
    return lambda L, x, w: L.map(lambda v: body(L, v), ins, outs, **options)(x)


def derivative(body, ins, outs, **options):
    def case(L, x, w):
        f = L.map(lambda v: body(L, L.jnp.sin(v) * v), ins, outs, **options)

        def loss(x):
            out = f(x)
            return (out * L.jnp.cos(L.jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)).sum()

        return L.grad(loss)(x)

    return case


TABLE = {name: mapped(*c) for name, c in {**BODIES, **VALUES_ONLY}.items()}
TABLE |= {f"{name}_unchecked": mapped(*c, check_vma=False) for name, c in BODIES.items()}
GRADS = {name: derivative(*c) for name, c in BODIES.items()}
GRADS |= {f"{name}_unchecked": derivative(*c, check_vma=False) for name, c in BODIES.items()}
del GRADS["all_to_all"], GRADS["all_to_all_unchecked"]  # JAX's transpose of the untiled one has another shape
GROUPS = [[0, 3], [2, 1]]
GROUPED = {
    "psum": (lambda L, v: L.lax.psum(v, "x", axis_index_groups=GROUPS), BOTH, BOTH),
    "all_gather": (lambda L, v: L.lax.all_gather(v, "x", axis_index_groups=GROUPS, tiled=True), BOTH, BOTH),
    "psum_scatter": (lambda L, v: L.lax.psum_scatter(v, "x", axis_index_groups=GROUPS, tiled=True), BOTH, BOTH),
    "all_to_all": (lambda L, v: L.lax.all_to_all(v, "x", 0, 1, axis_index_groups=GROUPS, tiled=True), BOTH, BOTH),
    "ppermute_xy": (lambda L, v: L.lax.ppermute(v, XY, [(i, (i + 3) % 8) for i in range(8)]), BOTH, BOTH),
    "ppermute_xy_some": (lambda L, v: L.lax.ppermute(v, XY, [(0, 5), (2, 2), (7, 3)]), BOTH, BOTH),
}
UNCHECKED = {name: mapped(*c, check_vma=False) for name, c in GROUPED.items()}


@pytest.fixture(scope="module")
def found(mesh, jax_mesh):
    return results(TABLE, mesh, jax_mesh, ARGS)


@pytest.fixture(scope="module")
def grads(mesh, jax_mesh):
    return results(GRADS, mesh, jax_mesh, ARGS)


@pytest.mark.parametrize("name", TABLE)
def test_values(found, name):
    close(found["addax"][name], found["jax"][name])
    close(found["definition"][name], found["jax"][name])


@pytest.mark.parametrize("name", GRADS)
def test_derivatives(grads, name):
    close(grads["addax"][name], grads["jax"][name], 1e-4)
    close(grads["definition"][name], grads["jax"][name], 1e-4)


@pytest.fixture(scope="module")
def more(mesh, jax_mesh):
    return results(UNCHECKED, mesh, jax_mesh, ARGS)


@pytest.mark.parametrize("name", UNCHECKED)
def test_groups_and_joint_permutations(more, name):
    close(more["addax"][name], more["jax"][name])
    close(more["definition"][name], more["jax"][name])


def test_transposes_are_adjoint(mesh):
    """<c, M v> = <M^T c, v> for what JAX cannot tell us."""
    x, c = ARGS
    bodies = {
        "all_to_all": (lambda v: lax.all_to_all(v, "x", 1, 0), P("x", "y"), P("x", "y")),
        "gather": (lambda v: lax.all_gather(v, "x", tiled=True, to="invarying"), P("x", "y"), P(None, "y")),
        "gather_new": (lambda v: lax.all_gather(v, "y", axis=1, to="invarying"), P("x", "y"), P("x")),
        "broadcast": (lambda v: lax.pbroadcast(v, "x", 2), P("x", "y"), P("x", "y")),
        "pmax": (lambda v: lax.pmax(v, "x"), P("x", "y"), P(None, "y")),
    }

    def both_sides(x, c):
        sides = []
        for body, ins, outs in bodies.values():
            for check in (True, False):
                f = addax.shard_map(body, mesh=mesh, in_specs=ins, out_specs=outs, check_vma=check)
                out, tangent = addax.jvp(f, (x,), (addax.numpy.sin(x),))
                ct = addax.numpy.resize(c, out.shape)
                (back,) = addax.vjp(f, x)[1](ct)
                sides.append(((ct * tangent).sum(), (back * addax.numpy.sin(x)).sum()))
        return sides

    for left, right in addax.jit(both_sides)(x, c):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def test_pbroadcast_and_gather_values(mesh):
    x = ARGS[0]

    def run(v):
        return (
            lax.pbroadcast(v, "x", 2),
            lax.all_gather(v, "x", tiled=True, to="invarying"),
            lax.pbroadcast(v > 0, "y", 1),
        )

    sent, whole, flags = addax.shard_map(
        run, mesh=mesh, in_specs=P("x", "y"), out_specs=(P("x", "y"), P(None, "y"), P("x"))
    )(x)
    np.testing.assert_array_equal(sent, np.tile(x[4:6], (4, 1)))
    np.testing.assert_array_equal(whole, x)
    np.testing.assert_array_equal(flags, x[:, 4:] > 0)


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "error", "message"),
        [
            (lambda v: lax.psum(v, "z"), NameError, r"unbound axis name: z.*axes in scope are 'x', 'y'"),
            (lambda v: lax.ppermute(v, "x", [(0, 4)]), ValueError, r"\[0, 4\)"),
            (lambda v: lax.ppermute(v, "x", [(0, 1), (2, 1)]), ValueError, "unique"),
            (lambda v: lax.psum_scatter(v, "x"), ValueError, "size 2 must match shard count 4"),
            (lambda v: lax.all_to_all(v, "x", 0, 0, tiled=True), ValueError, r"split_axis \(2\)"),
            (lambda v: lax.psum(v, "x", axis_index_groups=[[0, 1], [2, 2]]), ValueError, "every member 0...3"),
            (lambda v: lax.psum(v, "x", axis_index_groups=[[0, 1], [2, 3]]), NotImplementedError, "check_vma=False"),
            (lambda v: lax.pcast(v, "x", to="varying"), ValueError, "varies along mesh axis 'x' already"),
            (lambda v: lax.all_gather(v, "x", to="elsewhere"), ValueError, "Allowed `to` values"),
        ],
    )
    def test_message(self, mesh, body, error, message):
        with pytest.raises(error, match=message):
            addax.shard_map(body, mesh=mesh, in_specs=P("x", "y"), out_specs=P("x", "y"))(ARGS[0])
