"""`smap`: one mesh axis at a time; and folds over mesh axes of dtypes that collectives of XLA do not order."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import addax
from addax import lax
from addax.sharding import AxisType, Mesh, PartitionSpec as P

X = np.arange(64, dtype=np.float32).reshape(8, 8) / 7
V = np.arange(8, dtype=np.float32)


def programs(L):
    """name -> a function of nothing, in the scope of a 4 x 2 mesh."""
    smap, axis_index = L.smap, L.lax.axis_index

    def nested(v):
        return smap(lambda w: w * axis_index("x") + axis_index("y"), in_axes=1, out_axes=1, axis_name="y")(v)

    def loss(x):
        return smap(lambda v: L.lax.psum(v**2, "x"), in_axes=0, out_axes=None, axis_name="x")(x).sum()

    return {
        "one": lambda: smap(lambda v: v * v.shape[0], in_axes=0, out_axes=0, axis_name="x")(X),
        "other dimension": lambda: smap(lambda v: v.sum(0), in_axes=1, out_axes=0, axis_name="y")(X),
        "several": lambda: smap(
            lambda v, d: {"a": v * d["w"], "b": v.sum(0)}, in_axes=(0, {"w": None}), out_axes=0, axis_name="x"
        )(X, {"w": V}),
        "nested": lambda: L.jit(smap(nested, in_axes=0, out_axes=0, axis_name="x"))(X),
        "gradient": lambda: L.jit(L.grad(loss))(X),
        "bools": lambda: L.jit(smap(lambda v: L.lax.pmax(v > 50, "x"), in_axes=0, out_axes=None, axis_name="x"))(X),
    }


@pytest.mark.parametrize("name", programs(addax))
def test_against_jax(name, mesh, jax_mesh):
    with addax.set_mesh(mesh):
        got = programs(addax)[name]()
    with jax.set_mesh(jax_mesh):
        want = programs(jax)[name]()
    for a, b in zip(addax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_axes_that_are_counted_from_the_end(mesh):
    """JAX takes them for the first."""
    with addax.set_mesh(mesh):
        out = addax.smap(lambda v: v.sum(0), in_axes=-1, out_axes=-1, axis_name="y")(X)
    np.testing.assert_allclose(out, X.sum(0), rtol=1e-6)


def test_calls_are_compiled_once(mesh):
    traces = []
    f = addax.smap(lambda v: traces.append(v.shape) or v + 1, in_axes=0, out_axes=0, axis_name="x")
    with addax.set_mesh(mesh):
        np.testing.assert_array_equal(f(f(X)), X + 1 + 1)
    assert traces == [(2, 8)]


def test_axes_of_explicit_types(devices):
    grid = Mesh(np.array(devices).reshape(4, 2), ("x", "y"), (AxisType.Explicit,) * 2)
    with addax.set_mesh(grid):
        x = addax.device_put(X, P("y", "x"))
        out = addax.smap(lambda v: v * v.shape[1], out_axes=1, axis_name="x")(x)
    np.testing.assert_array_equal(out, 2 * X)


def test_maxima_of_complex_numbers(mesh):
    """JAX refuses them."""
    numbers = (V % 3 + 1j * V[::-1]).astype(np.complex64)
    top, bottom = addax.shard_map(
        lambda v: (lax.pmax(v, "x"), lax.pmin(v, ("y", "x"))), mesh=mesh, in_specs=P("x"), out_specs=P()
    )(numbers)
    np.testing.assert_array_equal(top, np.sort(numbers.reshape(4, 2), 0)[-1])
    np.testing.assert_array_equal(bottom, np.sort(numbers.reshape(4, 2), 0)[0])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"in_axes": "x"}, TypeError, "in_axes must be an int, None, or a tuple"),
        ({"in_axes": 2}, ValueError, "in_axes: axis 2 is out of bounds for a value of 2 dimensions"),
        ({"out_axes": 5}, ValueError, "out_axes: axis 5 is out of bounds"),
        ({"axis_name": "z"}, ValueError, "axis_names has 'z', but the axes of the mesh are 'x' of size 4"),
        ({"axis_name": ("x", "y")}, TypeError, "nest one smap per axis"),
        ({"in_axes": addax.sharding.Infer}, TypeError, "in_axes are needed"),
    ],
)  # fmt: skip
def test_errors(mesh, options, kind, message):
    with addax.set_mesh(mesh), pytest.raises(kind, match=message):
        addax.smap(lambda v: v, **({"in_axes": 0, "out_axes": 0, "axis_name": "x"} | options))(X)
