"""Collectives on virtual devices: each device's part of the result is what vmap over the mesh axes gives."""

from __future__ import annotations

import by_hand
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.core.avals import ShapedArray
from addax.core.axis_env import extend_axis_env
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target

AXES = (("x", 2), ("y", 2))


def trace(fun, x):
    with extend_axis_env("x", 2), extend_axis_env("y", 2):
        return ClosedJaxpr(*trace_to_jaxpr(lambda v: addax.tree.leaves(fun(v)), [ShapedArray(x.shape[1:], x.dtype)]))


def run(fun, x):
    """One program per device of a 2 by 2 mesh, on the rows of x."""
    return by_hand.run(trace(fun, x), AXES, [x])


def by_vmap(fun, x):
    inner = addax.vmap(fun, axis_name="y")
    out = addax.vmap(inner, axis_name="x")(x.reshape(2, 2, *x.shape[1:]))
    return [np.asarray(v).reshape(4, *v.shape[2:]) for v in addax.tree.leaves(out)]


def test_every_collective_over_each_axis_and_both():
    x = np.random.default_rng(0).standard_normal((4, 4, 2)).astype(np.float32)

    def f(v):
        outs = []
        for axes in ("x", "y"):
            outs += [lax.psum(v, axes), lax.pmax(v, axes), lax.pmin(v, axes), lax.axis_index(axes), lax.pmean(v, axes)]
            outs += [lax.all_gather(v, axes, axis=1), lax.all_gather(v, axes, axis=1, tiled=True)]
            outs += [lax.psum_scatter(v, axes, scatter_dimension=0, tiled=True)]
            outs += [lax.psum_scatter(v, axes, scatter_dimension=1)]
            outs += [lax.all_to_all(v, axes, 0, 1, tiled=True), lax.all_to_all(v, axes, 1, 0)]
            outs += [lax.ppermute(v, axes, [(0, 1)]), lax.ppermute(v, axes, [(0, 1), (1, 0)])]
        outs += [lax.psum(v, ("x", "y")), lax.psum({"a": v, "b": v[0] > 0.0}["a"] * 2, ("y", "x"))]
        return outs

    for i, (got, want) in enumerate(zip(run(f, x), by_vmap(f, x), strict=True)):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=f"result {i}")


def test_gradients_of_collectives():
    x = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)

    def f(v):
        def loss(v):
            total = lax.psum(jnp.sin(v), "x")
            moved = lax.ppermute(v, "y", [(0, 1), (1, 0)])
            return (total * lax.all_gather(moved, "x")).sum()

        return addax.value_and_grad(loss)(v)

    for got, want in zip(run(f, x), by_vmap(f, x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_an_axis_that_the_mesh_does_not_have_is_named():
    x = np.zeros((4, 2), np.float32)
    closed = trace(lambda v: lax.psum(v, "y"), x)
    with pytest.raises(NameError, match=r"unbound axis name: y. The program is compiled for the mesh axes \('x',\)"):
        lower(closed, Target(axes=(("x", 2),), num_partitions=2))
