"""Arrays over several devices: how they are laid out, what programs make of them, and what goes wrong."""

import pickle

import jax
import jax.numpy as jjnp
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.errors import IndivisibleError
from addax.experimental import checkify, multihost_utils
from addax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec as P, SingleDeviceSharding

X = np.arange(64, dtype=np.float32).reshape(8, 8)

SPECS = [P(), P("x"), P("y"), P(None, "x"), P("x", "y"), P("y", "x"), P(("x", "y")), P(("y", "x")), P(None, ("x", "y"))]


def theirs(jax_mesh, spec):
    return jax.sharding.NamedSharding(jax_mesh, jax.P(*spec))


def layout(sharding, shape):
    """Which part each device holds, by its number."""
    bounds = lambda s, n: s.indices(n)[:2]  # noqa: E731
    return {d.id: tuple(map(bounds, ix, shape)) for d, ix in sharding.devices_indices_map(shape).items()}


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_layouts_are_those_of_jax(spec, mesh, jax_mesh):
    ours, jaxs = NamedSharding(mesh, spec), theirs(jax_mesh, spec)
    assert layout(ours, X.shape) == layout(jaxs, X.shape)
    assert ours.shard_shape(X.shape) == jaxs.shard_shape(X.shape)
    assert ours.is_fully_replicated == jaxs.is_fully_replicated
    x, y = addax.device_put(X, ours), jax.device_put(X, jaxs)
    np.testing.assert_array_equal(x, X)
    assert x.sharding is ours and x.committed and x.devices() == set(mesh.devices.flat)
    for a, b in zip(x.addressable_shards, y.addressable_shards, strict=True):
        assert (a.device.id, a.replica_id) == (b.device.id, b.replica_id)
        np.testing.assert_array_equal(a.data, b.data)
    again = addax.make_array_from_callback(X.shape, ours, lambda ix: X[ix])
    np.testing.assert_array_equal(again, X)
    parts = addax.make_array_from_single_device_arrays(X.shape, ours, [s.data for s in x.addressable_shards])
    np.testing.assert_array_equal(parts, X)
    np.testing.assert_array_equal(addax.make_array_from_process_local_data(ours, X), X)


def test_arrays_of_keys(mesh):
    keys = addax.random.split(addax.random.key(0), X.shape[0])
    sharding = NamedSharding(mesh, P("x"))
    moved = addax.device_put(keys, sharding)
    parts = [s.data for s in moved.addressable_shards]
    for again in (
        moved,
        addax.make_array_from_callback(keys.shape, sharding, lambda ix: keys[ix]),
        addax.make_array_from_single_device_arrays(keys.shape, sharding, parts),
    ):
        assert again.sharding is sharding and again.dtype == keys.dtype
        np.testing.assert_array_equal(addax.random.key_data(again), addax.random.key_data(keys))
        with pytest.raises(TypeError, match=r"numpy\.asarray: key<fry>\[\d+\] is an array of PRNG keys"):
            np.asarray(again)


def programs(m):
    return [
        lambda x: m.sin(x) * 2, lambda x: x.sum(0), lambda x: x.sum(), lambda x: x.T, lambda x: x @ x.T, lambda x: x.reshape(-1),
        lambda x: m.cumsum(x, 0), lambda x: m.sort(x, 1), lambda x: x[3], lambda x: x[2:4], lambda x: m.concatenate([x, x]),
        lambda x: m.linalg.norm(x, axis=1), lambda x: x[:, None] + x[None],
    ]  # fmt: skip


@pytest.mark.parametrize("spec", [P("x"), P("y", "x")], ids=str)
def test_programs_on_sharded_arrays(spec, mesh):
    x = addax.device_put(X, NamedSharding(mesh, spec))
    outs = addax.jit(lambda x: [f(x) for f in programs(jnp)])(x)
    for out, f in zip(outs, programs(np), strict=True):
        np.testing.assert_allclose(out, f(X), rtol=1e-5, atol=1e-4)
        assert out.committed and out.devices() == set(mesh.devices.flat)


def test_eager_calls_keep_the_layout(mesh, jax_mesh):
    x, y = addax.device_put(X, NamedSharding(mesh, P("x", "y"))), jax.device_put(X, theirs(jax_mesh, P("x", "y")))
    for ours, jaxs in [(jnp.sin(x), jjnp.sin(y)), (x + x, y + y), (x.T, y.T), (x.sum(0), y.sum(0)), (x[0], y[0])]:
        np.testing.assert_allclose(ours, jaxs, rtol=1e-5)
        assert layout(ours.sharding, ours.shape) == layout(jaxs.sharding, jaxs.shape)


def test_gradients_of_sharded_parameters_equal_those_of_one_device(mesh):
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(8, 16)).astype(np.float32), "b": np.zeros(16, np.float32)}
    batch = rng.normal(size=(32, 8)).astype(np.float32)

    def loss(p, x):
        return jnp.mean(jnp.tanh(x @ p["w"] + p["b"]) ** 2)

    step = addax.jit(addax.value_and_grad(loss))
    want, want_grads = step(params, batch)
    layouts = {"w": NamedSharding(mesh, P(None, "y")), "b": NamedSharding(mesh, P("y"))}
    placed = addax.device_put(params, layouts)
    got, grads = step(placed, addax.device_put(batch, NamedSharding(mesh, P("x"))))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    for name in params:
        np.testing.assert_allclose(grads[name], want_grads[name], rtol=1e-5, atol=1e-7)
    out = addax.jit(addax.grad(loss), out_shardings=layouts)(placed, batch)
    assert out["w"].sharding is layouts["w"] and out["b"].sharding is layouts["b"]


def test_random_numbers_are_made_where_they_are_wanted(mesh):
    key, there = addax.random.key(3), NamedSharding(mesh, P(mesh.axis_names[0]))
    for name, args in [("normal", ((8,),)), ("gamma", (2.0, (8,))), ("permutation", (8,)), ("bits", ((8,),))]:
        draw = getattr(addax.random, name)
        made = draw(key, *args, out_sharding=there)
        assert made.sharding == there
        np.testing.assert_array_equal(made, draw(key, *args))
        compiled = addax.jit(lambda key, draw=draw, args=args: draw(key, *args, out_sharding=there))(key)
        assert compiled.sharding.is_equivalent_to(there, 1)
        np.testing.assert_allclose(compiled, made, rtol=1e-6)


def test_values_of_hosts(mesh):
    x = multihost_utils.host_local_array_to_global_array(X, mesh, P("x"))
    again = multihost_utils.global_array_to_host_local_array({"a": x}, mesh, P("x"))["a"]
    assert mesh.local_mesh is mesh and again.sharding is x.sharding is NamedSharding(mesh, P("x"))
    np.testing.assert_array_equal(again, X)


def test_the_sharding_of_a_type_outside_all_meshes_says_nothing():
    sharding = addax.typeof(np.ones((3, 2))).sharding
    assert (sharding.mesh.axis_names, tuple(sharding.spec)) == ((), (None, None))
    assert addax.random.normal(addax.random.key(0), (3, 2), out_sharding=sharding).shape == (3, 2)


def test_random_bits_do_not_depend_on_the_layout(mesh):
    key = addax.random.key(3)
    draw = lambda key: addax.random.normal(key, (16, 8))  # noqa: E731
    spread = addax.jit(draw, out_shardings=NamedSharding(mesh, P("x", "y")))(key)
    assert spread.addressable_shards[0].data.shape == (4, 4)
    np.testing.assert_allclose(spread, draw(key), rtol=1e-5, atol=1e-6)


def test_where_results_are(mesh, devices):
    spread = NamedSharding(mesh, P("x"))
    f = addax.jit(lambda x: x * 2, in_shardings=NamedSharding(mesh, P("y")), out_shardings=spread)
    assert f(X).sharding is spread
    with addax.set_mesh(mesh):
        assert addax.jit(lambda x: x * 2, out_shardings=P("x"))(X).sharding is spread
        assert addax.device_put(X, P("x")).sharding is spread
        assert addax.jit(lambda x: lax.with_sharding_constraint(x + 1, P("x")))(X).sharding is spread
        assert addax.sharding.get_abstract_mesh() == AbstractMesh((4, 2), ("x", "y"))
    assert addax.sharding.get_abstract_mesh().empty
    assert lax.with_sharding_constraint(X, spread).sharding is spread
    one = addax.device_put(X, devices[3])
    assert (
        one.sharding is SingleDeviceSharding(devices[3]) and (one + 1).device is devices[3] and one.device is devices[3]
    )
    moved = addax.device_put(one, devices[5])
    assert moved.device is devices[5]
    np.testing.assert_array_equal(moved, X)
    inner = addax.jit(lambda x: addax.jit(lambda y: y + 1, out_shardings=spread)(x))(X)
    assert inner.sharding is spread


def test_dtypes_and_weak_types_survive(mesh):
    for value in [np.arange(8), np.arange(8) > 3, np.arange(8, dtype=np.uint8), np.arange(8, dtype=np.float16),
                  np.arange(8) * 1j, jnp.arange(8, dtype=jnp.bfloat16)]:  # fmt: skip
        x = addax.device_put(value, NamedSharding(mesh, P("x")))
        np.testing.assert_array_equal(np.asarray(x), np.asarray(jnp.array(value)))
        assert x.dtype == jnp.array(value).dtype
    keys = addax.random.split(addax.random.key(0), 8)
    spread = addax.device_put(keys, NamedSharding(mesh, P("x")))
    np.testing.assert_array_equal(addax.random.key_data(spread), addax.random.key_data(keys))
    assert addax.device_put(jnp.asarray(1.0), NamedSharding(mesh, P())).weak_type == jnp.asarray(1.0).weak_type


def test_donated_arguments_are_gone(mesh):
    x = addax.device_put(X, NamedSharding(mesh, P("x")))
    addax.jit(lambda x: x + 1, donate_argnums=0)(x)
    assert x.is_deleted()
    with pytest.raises(RuntimeError, match="deleted"):
        x + 1


def test_memory_of_the_host_that_a_device_reads_in_place(devices):
    """A device may use the memory of a host array as it is; nobody writes into it."""
    for n in (16, 1 << 18):
        theirs = np.arange(n, dtype=np.float32)
        x = jnp.asarray(theirs)
        beside = x.reshape(2, -1)
        moved = addax.device_put(x, devices[2])
        out = addax.jit(lambda x: x.at[3].set(-1.0), donate_argnums=0)(moved)
        added = addax.jit(lambda x, y: x + y)(out, theirs)
        theirs[:] = 7
        want = np.arange(n, dtype=np.float32)
        assert moved.is_deleted() and out._value[3] == -1 and added._value[3] == 2
        np.testing.assert_array_equal(x, want)
        np.testing.assert_array_equal(beside, want.reshape(2, -1))


def test_one_trace_serves_all_layouts(mesh):
    traces = []

    @addax.jit
    def f(x):
        traces.append(1)
        return x + 1

    for spec in (P(), P("x"), P("y")):
        f(addax.device_put(X, NamedSharding(mesh, spec)))
    f(X)
    assert len(traces) == 1


def error(kind, fun):
    with pytest.raises(kind) as caught:
        fun()
    return str(caught.value)


def test_errors_say_what_to_do(mesh, devices):
    message = error(ValueError, lambda: addax.device_put(np.ones(6), NamedSharding(mesh, P("x"))))
    assert "array axis 0 is partitioned 4 times, but the dimension size is 6 (full shape: (6,)" in message
    assert "mesh axis 'x' of size 4: pad it to 8" in message
    tree = {"w": np.ones(8), "b": np.ones(6)}
    message = error(IndivisibleError, lambda: addax.device_put(tree, NamedSharding(mesh, P("x"))))
    assert message.startswith("device_put of ['b']: Sharding NamedSharding")
    message = error(ValueError, lambda: addax.device_put(np.ones(8), NamedSharding(mesh, P(None, "x"))))
    assert "only valid for values of rank at least 2, but was applied to a value of rank 1" in message
    message = error(ValueError, lambda: NamedSharding(mesh, P("z")))
    assert message == "Resource axis: z of P('z',) is not found in mesh: ('x', 'y')."
    assert "has duplicate entries for `x`" in error(ValueError, lambda: NamedSharding(mesh, P("x", "x")))
    message = error(RuntimeError, lambda: lax.with_sharding_constraint(X, P("x")))
    assert "requires a non-empty mesh" in message and "addax.set_mesh(mesh)" in message
    a, b = (addax.device_put(np.float32(1), d) for d in devices[1:3])
    message = error(ValueError, lambda: addax.jit(lambda u, v: u + v)(a, b))
    assert "Received incompatible devices for jitted computation. Got argument u of <lambda>" in message
    assert (
        "device ids [1] on platform CPU and argument v of <lambda> with type float32[] and with device ids [2]"
        in message
    )
    spread = addax.device_put(X, NamedSharding(mesh, P("x")))
    message = error(ValueError, lambda: addax.jit(lambda x: x, in_shardings=NamedSharding(mesh, P("y")))(spread))
    assert message.startswith("Sharding passed to jit does not match the sharding on the respective arg.")
    message = error(ValueError, lambda: Mesh(np.array(devices).reshape(4, 2), ("x",)))
    assert "devices.ndim == 2 and len(axis_names) == 1" in message
    assert "each device occurs once" in error(ValueError, lambda: Mesh([devices[0]] * 2, ("x",)))
    assert "occurs twice" in error(ValueError, lambda: Mesh(np.array(devices).reshape(4, 2), ("x", "x")))
    message = error(ValueError, lambda: addax.make_mesh((16,), ("x",), devices=devices))
    assert "Number of devices 8 must be >= the product of mesh_shape (16,)" in message
    whole = NamedSharding(mesh, P())
    message = error(ValueError, lambda: addax.jit(lambda x: x, out_shardings=(whole, whole))(X))
    assert "jit out_shardings" in message
    cut = NamedSharding(mesh, P("x"))
    message = error(IndivisibleError, lambda: addax.jit(jnp.sin, in_shardings=cut)(X[:6]))
    assert message.startswith("argument x of sin: Sharding NamedSharding") and "pad it to 8" in message
    message = error(ValueError, lambda: addax.jit(lambda x: (x, x.sum()), out_shardings=cut)(X))
    assert message.startswith("result 1 of <lambda>: ") and "rank at least 1" in message


def test_names_that_are_gone_say_what_to_write():
    with pytest.raises(
        AttributeError, match=r"device_put_sharded': use device_put\(numpy.stack\(shards\), NamedSharding"
    ):
        addax.device_put_sharded([X], addax.devices())


def test_printing(mesh):
    assert repr(mesh) == "Mesh('x': 4, 'y': 2, axis_types=(Auto, Auto))"
    sharding = NamedSharding(mesh, P("x", None))
    assert repr(sharding) == f"NamedSharding(mesh={mesh!r}, spec=P('x', None), memory_kind=device)"
    assert [repr(P()), repr(P("x")), repr(P(None, ("x", "y")))] == ["P()", "P('x',)", "P(None, ('x', 'y'))"]
    assert repr(AbstractMesh((4,), ("x",))) == "AbstractMesh('x': 4, axis_types=(Auto,))"


def test_pictures(mesh, capsys):
    x = addax.device_put(X, NamedSharding(mesh, P("x", "y")))
    addax.debug.visualize_array_sharding(x)
    rows = ["│  CPU 0  │  CPU 1  │", "├─────────┼─────────┤", "│  CPU 2  │  CPU 3  │"]
    assert capsys.readouterr().out.splitlines()[:4] == ["┌─────────┬─────────┐", *rows]
    addax.debug.visualize_sharding((8,), NamedSharding(mesh, P("y")))
    assert capsys.readouterr().out.splitlines()[1] == "│ CPU 0,2,4,6 │ CPU 1,3,5,7 │"


def test_callbacks_are_called_once_with_whole_arrays(mesh, capsys):
    x = addax.device_put(X, NamedSharding(mesh, P("x", "y")))

    @addax.jit
    def f(x):
        addax.debug.print("sum {}", x.sum())
        return addax.pure_callback(lambda a: np.asarray(a) * 2, addax.ShapeDtypeStruct(X.shape, X.dtype), x)

    np.testing.assert_array_equal(f(x), X * 2)
    assert capsys.readouterr().out == f"sum {X.sum()}\n"
    with pytest.raises(
        NotImplementedError, match="ordered callbacks are not supported in programs over several devices"
    ):
        addax.jit(lambda x: addax.debug.print("{}", x, ordered=True))(x)


METHODS = [
    lambda x, m: m.array(x), lambda x, m: x**2, lambda x, m: x[m.array([0, 2])], lambda x, m: x[x > 10],
    lambda x, m: m.where(x > 5, x, 0), lambda x, m: m.argsort(-x, 1), lambda x, m: m.einsum("ij,kj->ik", x, x),
    lambda x, m: m.linalg.inv(x + 100 * m.eye(8, dtype="float32")), lambda x, m: m.fft.fft(x), lambda x, m: m.median(x, 0),
    lambda x, m: m.unique(x), lambda x, m: [int(x[0, 1])], lambda x, m: x.tolist(), lambda x, m: [r.sum() for r in x],
    lambda x, m: m.histogram(x)[0], lambda x, m: m.split(x, 2)[1], lambda x, m: m.pad(x, 1), lambda x, m: x.dot(x),
]  # fmt: skip


def test_numpy_functions_take_sharded_arrays(mesh):
    x = addax.device_put(X, NamedSharding(mesh, P("x", "y")))
    for f in METHODS:
        np.testing.assert_allclose(np.asarray(f(x, jnp)), np.asarray(f(X, np)), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(x.at[1].set(0), np.where(np.arange(8)[:, None] == 1, 0, X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(x)), X)
    for like in (jnp.ones_like(x), jnp.full_like(x, 2.0), jnp.zeros_like(x)):
        assert like.sharding is x.sharding


def test_new_arrays_are_made_where_they_shall_be(mesh, devices):
    there = NamedSharding(mesh, P("x"))
    for make in (lambda **k: jnp.zeros((8, 2), **k), lambda **k: jnp.array(X, **k), lambda **k: jnp.full((8,), 3, **k),
                 lambda **k: jnp.arange(8, **k), lambda **k: jnp.linspace(0, 1, 8, **k), lambda **k: jnp.eye(8, **k),
                 lambda **k: jnp.asarray(X, **k), lambda **k: jnp.ones_like(X, **k)):  # fmt: skip
        assert make(device=there).sharding is there and make(device=devices[2]).device is devices[2]
        np.testing.assert_array_equal(make(device=there), make())
        assert addax.jit(lambda make=make: make(device=there))().sharding is there
    with addax.set_mesh(mesh):
        assert jnp.zeros((8,), device=P("x")).sharding is there


def test_arrays_that_are_bound_to_no_place_follow_the_programs_that_read_them(devices):
    x = jnp.arange(8.0)
    f = addax.jit(lambda x: x * 2)
    with addax.default_device(devices[4]):
        y = f(x)
        assert y.device is devices[4] and x.device is devices[4] and not x.committed
        assert jnp.sin(x).device is devices[4]
    np.testing.assert_array_equal(x, np.arange(8.0))
    np.testing.assert_array_equal(f(x), np.arange(8.0) * 2)  # on the embedded engine again
    z = addax.device_put(np.ones(8, np.float32), devices[1])
    assert (x + z).device is devices[1]


def test_convolutions_whose_padding_is_negative(devices):
    x, w = np.arange(16, dtype=np.float32).reshape(1, 4, 4), np.arange(8, dtype=np.float32).reshape(1, 4, 2)
    f = addax.jit(lambda x, w: lax.conv_general_dilated(x, w, (1,), [(-1, 1)]))
    whole = np.concatenate([x[..., 1:], np.zeros((1, 4, 1), np.float32)], -1)
    want = [sum((whole[0, :, i + k] * w[0, :, k]).sum() for k in range(2)) for i in range(3)]
    np.testing.assert_array_equal(np.ravel(f(x, w)), want)
    np.testing.assert_array_equal(np.ravel(f(addax.device_put(x, devices[1]), w)), want)


def test_constraints_need_not_divide(mesh):
    """The partitioner pads; where results are is then its choice."""
    uneven = lambda x: lax.with_sharding_constraint(x, NamedSharding(mesh, P("x", "y")))  # noqa: E731
    f = addax.jit(lambda x: (uneven(x[:6]), jnp.sort(uneven(x[:, :5]), 0), uneven(x[:3]).sum(0)))
    for got, want in zip(f(X), (X[:6], X[:, :5], X[:3].sum(0)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    with pytest.raises(ValueError, match="rank at least 2, but was applied to a value of rank 1"):
        addax.jit(lambda x: uneven(x[0]))(X)


def test_programs_that_name_one_device_run_there(devices):
    there = SingleDeviceSharding(devices[2])
    for put in (lambda x: lax.with_sharding_constraint(x, there), lambda x: addax.device_put(x, devices[2])):
        out = addax.jit(lambda x, put=put: put(2 * x) + 1)(X)
        assert out.sharding is there and out.committed
        np.testing.assert_array_equal(out, 2 * X + 1)


def test_errors_of_callbacks_belong_to_their_call(mesh):
    def refuse(low):
        if low < 0:
            raise ValueError("too low")

    @addax.jit
    def f(x):
        checkify.check(x.max() < 100, "max is {}", x.max())
        addax.debug.callback(refuse, x.min())
        return 2 * x

    x = addax.device_put(X, NamedSharding(mesh, P("x", "y")))
    with pytest.raises(ValueError, match="too low"):
        f(x - 40)
    with pytest.raises(checkify.JaxRuntimeError, match=r"max is 163.0 .*\n  at .*test_arrays.py"):
        f(x + 100)
    np.testing.assert_array_equal(f(x), 2 * X)
    error, _ = addax.jit(checkify.checkify(jnp.log, errors=checkify.nan_checks))(x - 1)
    assert error.get().startswith("nan generated by primitive: log.")


def test_callbacks_of_programs_without_results_have_run(mesh, devices):
    seen = []

    def note(x):
        seen.append(float(x.sum()))
        if x[0, 0] < 0:
            raise ValueError("too low")

    f = addax.jit(lambda x: addax.io_callback(note, None, x))
    for where in (devices[2], NamedSharding(mesh, P("x"))):
        x = addax.device_put(X, where)
        f(x)
        assert seen == [X.sum()]
        with pytest.raises(ValueError, match="too low"):
            f(x - 1)
        seen.clear()


def test_layouts_inside_programs(mesh, capsys):
    seen = []

    def ask(x):
        addax.debug.inspect_array_sharding(x, callback=lambda s: seen.append(s.spec))
        return x

    x = addax.device_put(X, NamedSharding(mesh, P("x", "y")))
    f = addax.jit(lambda x: addax.jit(ask)(2 * x).sum() + ask(x.sum(0)).sum())
    assert float(f(x)) == 3 * X.sum() and float(f(x)) == 3 * X.sum()
    assert seen == [P("x", "y"), P("y")]  # once
    addax.grad(lambda x: ask(x).sum())(x), addax.jit(addax.vmap(ask))(x)
    assert seen[2:] == [P("x", "y"), P("x", "y")]
    addax.jit(lambda x: addax.debug.visualize_array_sharding(x[:4, 0]))(addax.device_put(X, NamedSharding(mesh, P())))
    assert "CPU 0,1,2,3,4,5,6,7" in capsys.readouterr().out
    with pytest.raises(NotImplementedError, match=r"value inside scan at .*test_arrays.py.* is not supported"):
        addax.jit(lambda x: lax.scan(lambda c, _: (ask(c), None), x, None, length=2)[0])(x)
