"""`pmap`: against JAX, and what it says when a call cannot be mapped."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import addax
from addax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

X = np.cos(np.arange(24, dtype=np.float32)).reshape(8, 3)
W = np.sin(np.arange(3, dtype=np.float32))


def pmap_of(lib, devices):
    return lambda f, **options: lib.pmap(f, devices=devices, **options)


def normalise(L, pmap):
    return pmap(lambda x: x / L.lax.psum(x, "i"), axis_name="i")(X)


def shared_argument(L, pmap):
    return pmap(lambda x, w: x @ w, in_axes=(0, None))(X, W)


def other_axes(L, pmap):
    return pmap(lambda x: (x * 2, x.sum()), in_axes=1, out_axes=(1, 0))(X.T)


def trees(L, pmap):
    f = pmap(lambda p, x: {"y": x * p["w"], "m": L.lax.pmean(x, "i")}, axis_name="i", in_axes=({"w": None}, 0),
             out_axes={"y": 0, "m": None})  # fmt: skip
    return f({"w": W}, X)


def static_argument(L, pmap):
    return pmap(lambda x, n, w: x * n + w, static_broadcasted_argnums=1, in_axes=(0, None, 0))(X, 3, X)


def keywords(L, pmap):
    return pmap(lambda x, y: x - y)(X, y=2 * X)


def in_jit(L, pmap):
    return L.jit(lambda x: pmap(lambda x: L.lax.all_gather(x, "i").sum(0) + x, axis_name="i")(x) * 2)(X)


def gradient_outside(L, pmap):
    f = pmap(lambda x: L.lax.psum(L.numpy.sin(x), "i") * x, axis_name="i")
    return L.grad(lambda x: (f(x) * X).sum())(X)


def gradient_inside(L, pmap):
    return pmap(lambda x: L.grad(lambda x: (L.lax.psum(x * x, "i") * x).sum())(x), axis_name="i")(X)


def ring(L, pmap):
    return pmap(
        lambda x: L.lax.ppermute(x, "i", [(k, (k + 1) % 8) for k in range(8)]) + L.lax.axis_index("i"), axis_name="i"
    )(X)


def of_vmap(L, pmap):
    return pmap(L.vmap(lambda x: x * x + L.lax.psum(x, "i")), axis_name="i")(X)


def under_vmap(L, pmap):
    return L.vmap(pmap(lambda x: x - L.lax.pmax(x, "i"), axis_name="i"), in_axes=2, out_axes=1)(np.stack([X, 2 * X], 2))


def random_keys(L, pmap):
    return pmap(lambda k: L.random.normal(k, (3,)))(L.random.split(L.random.key(0), 8))


CASES = [
    normalise, shared_argument, other_axes, trees, static_argument, keywords, in_jit, gradient_outside, gradient_inside,
    ring, of_vmap, under_vmap, random_keys,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_against_jax(case, devices):
    ours, theirs = case(addax, pmap_of(addax, devices)), case(jax, pmap_of(jax, jax.devices()))
    assert addax.tree.structure(ours).num_leaves == jax.tree.structure(theirs).num_leaves
    for x, y in zip(addax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (x.shape, str(x.dtype)) == (y.shape, str(y.dtype))
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


def test_results_stay_on_the_devices(devices):
    traces = []

    def step(x):
        traces.append(x.shape)
        return x + 1

    f = addax.pmap(step, axis_name="i", devices=devices)
    x = f(f(X))
    assert traces == [(3,)]
    assert x.sharding is NamedSharding(Mesh(np.array(devices), ("i",), (AxisType.Auto,)), P("i"))
    assert [s.data.shape for s in x.addressable_shards] == [(1, 3)] * 8
    np.testing.assert_array_equal(x, X + 1 + 1)


def test_fewer_examples_than_devices():
    """On this process's one device."""
    out = addax.pmap(lambda x: x * addax.lax.axis_size("i"), axis_name="i")(X[:1])
    np.testing.assert_array_equal(out, X[:1])


def test_donation(devices):
    x = addax.device_put(X, NamedSharding(Mesh(np.array(devices), ("i",), (AxisType.Auto,)), P("i")))
    out = addax.pmap(lambda x: x + 1, axis_name="i", devices=devices, donate_argnums=0)(x)
    np.testing.assert_array_equal(out, X + 1)
    assert x.is_deleted()


def test_a_collective_names_the_axis(devices):
    """JAX wants the name twice."""
    np.testing.assert_allclose(
        addax.pmap(lambda x: addax.lax.pmean(x, "devices"), devices=devices)(X), np.tile(X.mean(0), (8, 1)), atol=1e-6
    )
    with pytest.raises(NameError, match=r"unbound axis name: b.*'a'"):
        addax.pmap(lambda x: addax.lax.psum(x, "a") + addax.lax.psum(x, "b"), devices=devices)(X)
    with pytest.raises(NameError, match="unbound axis name: b"):
        addax.pmap(lambda x: addax.lax.psum(x, "b"), axis_name="i", devices=devices)(X)


def test_a_jitted_function_under_axes_of_two_sizes():
    """What it is traced for depends on the named axes around it."""
    f = addax.jit(lambda x: x * addax.lax.axis_size("i"))
    sizes = [addax.vmap(f, axis_name="i")(np.ones(n)).tolist() for n in (2, 3)]
    assert sizes == [[2.0, 2.0], [3.0, 3.0, 3.0]]


class TestErrors:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda pmap: pmap(lambda x: x)(np.zeros(9)), "requires 9 logical devices, but 8 devices were given.*vmap inside"),
            (lambda pmap: addax.pmap(lambda x: x)(np.zeros(2)), "2 logical devices, but 1 are available.*addax_num_cpu_devices', 2"),
            (lambda pmap: pmap(lambda x, y: x)(X, W), r"inconsistent sizes(.|\n)*size 8: axis 0 of argument x(.|\n)*size 3: axis 0 of argument y"),
            (lambda pmap: pmap(lambda x: x)(3.0), "argument x of .* Use None in in_axes"),
            (lambda pmap: pmap(lambda x: x, in_axes=None)(3.0), "at least one argument with a mapped axis"),
            (lambda pmap: pmap(lambda x, y: x, in_axes=(0,))(X, X), r"len\(in_axes\)=1, len\(args\)=2"),
            (lambda pmap: pmap(lambda x: x, in_axes=({"a": 0},))(X), "pmap in_axes"),
            (lambda pmap: pmap(lambda x: x, out_axes=3)(X), "out_axes=3 is out of bounds"),
            (lambda pmap: pmap(lambda x: pmap(lambda y: y)(x))(np.zeros((8, 8))), "inside of another pmap"),
            (lambda pmap: pmap(lambda x: x, in_axes="i"), "in_axes must be an int"),
        ],
    )  # fmt: skip
    def test_message(self, devices, call, message):
        with pytest.raises((ValueError, TypeError, NotImplementedError), match=message):
            call(pmap_of(addax, devices))
