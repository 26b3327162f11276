"""Exported functions: called back directly, under transformations and from files; and what a file may not do."""

import collections
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import export, lax, nn
from addax.export.format import Package, pack

F32 = np.dtype(np.float32)
rng = np.random.default_rng(0)


def close(got, want, tol=1e-5):
    for g, w in zip(addax.tree.leaves(got), addax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=tol, atol=tol)


def model(params, x, *, scale):
    h = nn.relu(x @ params["w"] + params["b"])
    return {"out": h * scale, "mean": h.mean(0), "rows": x.shape[0]}


PARAMS = {"w": jnp.asarray(rng.normal(size=(3, 4)), F32), "b": jnp.asarray(rng.normal(size=4), F32)}
X = jnp.asarray(rng.normal(size=(5, 3)), F32)
SPECS = export.symbolic_args_specs((PARAMS, X), ({"w": "k, m", "b": "m"}, "batch, k"))
EXPORTED = export.export(addax.jit(model))(*SPECS, scale=2.0)
READ = export.deserialize(EXPORTED.serialize(vjp_order=2))


@pytest.mark.parametrize("exported", [EXPORTED, READ], ids=["made", "read"])
def test_called_back(exported):
    """Directly at several sizes, under jit, grad, grad of grad, vmap, and forward mode."""

    def call(p, x):
        return exported.call(p, x, scale=2.0)

    def here(p, x):
        return model(p, x, scale=2.0)

    for n in (5, 1, 2):
        close(call(PARAMS, X[:n]), here(PARAMS, X[:n]))
    close(addax.jit(call)(PARAMS, X), here(PARAMS, X))

    def loss(f):
        return lambda p, x: (f(p, x)["out"] ** 2).sum() + f(p, x)["mean"].sum()

    close(addax.grad(loss(call))(PARAMS, X), addax.grad(loss(here))(PARAMS, X))
    close(addax.jit(addax.grad(loss(call)))(PARAMS, X), addax.grad(loss(here))(PARAMS, X))

    def second(f):
        return addax.grad(lambda p: (addax.grad(loss(f))(p, X)["w"] ** 2).sum())(PARAMS)

    close(second(call), second(here), 1e-4)
    xs = jnp.stack([X, X * 2, -X])
    close(addax.vmap(call, (None, 0))(PARAMS, xs), addax.vmap(here, (None, 0))(PARAMS, xs))
    per_example = addax.vmap(addax.grad(loss(call)), (None, 0))
    close(per_example(PARAMS, xs), addax.vmap(addax.grad(loss(here)), (None, 0))(PARAMS, xs))


def test_what_it_says_of_itself():
    for e in (EXPORTED, READ):
        assert (e.fun_name, e.platforms, e.nr_devices, e.calling_convention_version) == ("model", ("cpu",), 1, 1)
        assert [a.str_short() for a in e.in_avals] == ["f32[m]", "f32[k,m]", "f32[batch,k]", "f32[]"]
        assert [a.str_short() for a in e.out_avals] == ["f32[m]", "f32[batch,m]", "i32[]"]
        assert e.in_tree == addax.tree.structure(((PARAMS, X), {"scale": 0}))
        assert e.module_kept_var_idx == (0, 1, 2, 3)
        assert str(e) == "Exported(fun_name=model, ...)"
    assert READ.vjp().vjp().has_vjp() is False
    assert READ.vjp().fun_name == "model_vjp"
    assert READ.jaxpr.eqns[0].source_info.line == EXPORTED.jaxpr.eqns[0].source_info.line
    assert READ.jaxpr.eqns[0].source_info.file == __file__
    scoped = addax.jit(addax.grad(addax.named_call(lambda x: jnp.sin(x) ** 2, name="wave")))
    made = export.export(scoped)(1.0)
    stacks = [
        [eqn.source_info.name_stack for eqn in e.jaxpr.eqns] for e in (made, export.deserialize(made.serialize()))
    ]
    assert stacks[0] == stacks[1]
    assert "jvp(wave)" in stacks[1]


def test_programs_with_control_flow_custom_rules_keys_and_constants():
    """What comes back computes the same, and its derivative is that of the rules the user wrote."""
    table = jnp.asarray(rng.normal(size=(4, 4)), jnp.bfloat16)
    key = addax.random.key(7)

    @addax.custom_vjp
    def clipped(x):
        return x * 2

    clipped.defvjp(lambda x: (x * 2, None), lambda _, ct: (jnp.clip(ct, -0.5, 0.5),))

    @addax.jit
    def f(x, n):
        def body(carry, row):
            return jnp.tanh(carry + row), lax.cond(row.sum() > 0, jnp.sin, lambda r: r * 3, row)

        carry, ys = lax.scan(body, x[0], x)
        carry = lax.while_loop(lambda c: (c**2).sum() > 1.0, lambda c: c * 0.5, carry)
        noise = addax.random.normal(key, x.shape)
        out = addax.checkpoint(lambda y: clipped(nn.silu(y)) @ table.astype(F32))(ys + noise)
        return out, carry, n + 1, x.astype(jnp.bfloat16), jnp.sort(x, 0), x.at[n].set(1.0), n > 2

    x = jnp.asarray(rng.normal(size=(6, 4)), F32)
    spec = addax.ShapeDtypeStruct(export.symbolic_shape("rows, 4"), F32)
    made = export.export(f)(spec, 3)
    read = export.deserialize(made.serialize(vjp_order=1))
    close(read.call(x, 3), f(x, 3))
    close(read.call(x[:2], 1), f(x[:2], 1))

    def loss(g):
        return addax.grad(lambda x: g(x, 3)[0].sum())(x)

    close(loss(made.call), loss(f))
    close(loss(read.call), loss(f))


def test_integers_have_float0_cotangents():
    (a,) = export.symbolic_shape("a")

    def f(x, i):
        return (x * i, i + 1)

    e = export.export(addax.jit(f))(addax.ShapeDtypeStruct((a,), F32), addax.ShapeDtypeStruct((a,), np.int32))
    v = export.deserialize(e.serialize(vjp_order=1)).vjp()
    assert [x.dtype == addax.dtypes.float0 for x in (*v.in_avals, *v.out_avals)] == [0, 0, 0, 1, 0, 1]
    cts = jnp.ones(2), np.zeros(2, addax.dtypes.float0)
    of_x, of_i = v.call(jnp.ones(2), jnp.arange(2), *cts)
    assert of_x.tolist() == [0.0, 1.0]
    assert (of_i.dtype, of_i.shape) == (addax.dtypes.float0, (2,))


def test_derivatives_from_files():
    """As many as were written, forward mode among them; one more is refused."""
    f = lambda x, i, k: (jnp.sin(x) * i * addax.random.uniform(k), i)  # noqa: E731
    args = jnp.arange(3.0), jnp.arange(3), addax.random.key(1)
    none, one = (export.deserialize(export.export(addax.jit(f))(*args).serialize(vjp_order=n)) for n in (0, 1))
    close(none.call(*args), f(*args))
    total = lambda g: lambda x: g(x, *args[1:])[0].sum()  # noqa: E731
    x = args[0]
    close(addax.grad(total(one.call))(x), addax.grad(total(f))(x))
    close(addax.jvp(total(one.call), (x,), (x,)), addax.jvp(total(f), (x,), (x,)))
    close(addax.jacfwd(lambda x: one.call(x, *args[1:])[0])(x), addax.jacrev(lambda x: f(x, *args[1:])[0])(x))
    for derivative in (addax.grad(total(none.call)), addax.grad(lambda x: addax.grad(total(one.call))(x).sum())):
        with pytest.raises(ValueError, match=r"No VJP is available for the exported function .* serialize"):
            derivative(x)


def test_exported_in_exported():
    inner_spec, outer_spec = (addax.ShapeDtypeStruct(export.symbolic_shape(t), F32) for t in ("a", "n, 2"))
    inner = export.export(addax.jit(lambda x: x * x.shape[0] + jnp.arange(x.shape[0])))(inner_spec)
    outer = export.export(addax.jit(lambda x: inner.call(x.reshape(-1)).sum() * x.shape[0]))(outer_spec)
    read = export.deserialize(outer.serialize(vjp_order=1))
    x = jnp.ones((3, 2))
    assert float(read.call(x)) == float(outer.call(x)) == 3 * (36 + 15)
    assert addax.grad(read.call)(x).tolist() == [[18.0, 18.0]] * 3


def test_sizes_are_compiled_once():
    e = export.export(addax.jit(lambda x: x + 1))(addax.ShapeDtypeStruct(export.symbolic_shape("a"), F32))
    for n in (2, 3, 2, 3):
        e.call(jnp.ones(n))
    assert len(e._instances) == 2


def test_refined_and_stablehlo():
    text = READ.refined(PARAMS, X, scale=2.0).mlir_module()
    assert "tensor<5x3xf32>" in text
    with pytest.raises(ValueError, match=r"has symbolic sizes[\s\S]*refined\(\*args\)"):
        READ.mlir_module()
    plain = export.export(addax.jit(jnp.sin))(jnp.ones(3))
    assert "stablehlo.sine" in plain.mlir_module()


def test_wrong_arguments():
    call = READ.call
    for args, message in [
        ((PARAMS, X.T), r"inconsistency between args\[1\]\.shape\[1\] \(= 5\) and the specification 'k' \(= 3\)"),
        ((PARAMS, X[0]), r"Rank mismatch for args\[1\]: expected \(batch, k\) and called with \(3,\)"),
        (
            (PARAMS, X.astype(int)),
            r"Dtype mismatch for args\[1\]: expected float32\[batch,k\] and called with int32\[5,3\]",
        ),
        ((PARAMS,), r"same pytree structure as when the function 'model' was exported[\s\S]*args is tuple of length 1"),
        ((PARAMS, jnp.ones((0, 3))), r"'batch' = 0, and dimension variables are at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            call(*args, scale=2.0)
    spec = addax.ShapeDtypeStruct(export.symbolic_shape("2*a + 1", constraints=["a >= 3"]), F32)
    odd = export.export(addax.jit(lambda x: x))(spec)
    assert odd.call(jnp.ones(7)).shape == (7,)
    with pytest.raises(
        ValueError, match=r"no integer 'a' fits args\[0\]\.shape\[0\] \(= 8\) and the specification '2\*a \+ 1'"
    ):
        odd.call(jnp.ones(8))
    with pytest.raises(ValueError, match=r"the constraint 'a >= 3' does not hold: 'a' is 2, '3' is 3"):
        export.deserialize(odd.serialize()).call(jnp.ones(5))


def test_what_cannot_be_exported():
    with pytest.raises(ValueError, match="must be the result of `jit`"):
        export.export(lambda x: x)
    with pytest.raises(ValueError, match=r"unknown platform 'cpuu'.*'cpu'"):
        export.export(addax.jit(jnp.sin), platforms=["cpuu"])
    spec = addax.ShapeDtypeStruct(export.symbolic_shape("a*b"), F32)
    with pytest.raises(ValueError, match=r"Cannot solve for the dimension variables a, b: .* only 'a\*b' \(args\[0\]"):
        export.export(addax.jit(jnp.sin))(spec)
    hosted = export.export(addax.jit(lambda x: addax.pure_callback(np.sin, x, x)))(jnp.ones(3))
    close(hosted.call(jnp.ones(3)), np.sin(np.ones(3)))
    with pytest.raises(ValueError, match=r"pure_callback of .*test_export.py:\d+.*which is a Python object"):
        hosted.serialize()
    with pytest.raises(ValueError, match="No VJP is available"):
        addax.grad(lambda x: export.deserialize(EXPORTED.serialize()).call(PARAMS, x, scale=1.0)["out"].sum())(X)


def test_platforms():
    tpu = export.export(addax.jit(jnp.sin), platforms=["tpu", "gpu"])(1.0)
    assert export.deserialize(tpu.serialize()).platforms == ("tpu", "cuda")
    with pytest.raises(ValueError, match="exported for the platforms tpu, cuda, but it is used on 'cpu'"):
        tpu.call(1.0)
    anywhere = export.export(
        addax.jit(jnp.sin), platforms=["tpu"], disabled_checks=[export.DisabledSafetyCheck.platform()]
    )(1.0)
    assert float(export.deserialize(anywhere.serialize()).call(0.0)) == 0.0
    assert export.default_export_platform() == "cpu"


_EIGHT_DEVICES = """
import functools, sys
import numpy as np
import addax
addax.config.update("addax_num_cpu_devices", 8)
import addax.numpy as jnp
from addax import export, lax
from addax.sharding import Mesh, NamedSharding, PartitionSpec as P

mesh = Mesh(np.array(addax.devices()).reshape(4, 2), ("x", "y"))
at = lambda *spec: NamedSharding(mesh, P(*spec))


@functools.partial(addax.jit, in_shardings=(at("x", "y"), at("y")), out_shardings=at("x"))
def f(a, b):
    return lax.with_sharding_constraint(jnp.sin(a) @ b, at(("x", "y")))


a, b = jnp.arange(64.0).reshape(8, 8) / 64, jnp.ones((8, 3))
made = export.export(f)(a, b)
read = export.deserialize(made.serialize(vjp_order=1))
for e in (made, read):
    assert e.nr_devices == 8
    out = e.call(a, b)
    assert out.sharding.spec == P("x"), out.sharding
    np.testing.assert_allclose(out, f(a, b), rtol=1e-6)
    np.testing.assert_allclose(
        addax.grad(lambda a: e.call(a, b).sum())(a), addax.grad(lambda a: f(a, b).sum())(a), rtol=1e-6)
turned = Mesh(np.array(addax.devices())[::-1].reshape(2, 4), ("p", "q"))
there = addax.device_put(a, NamedSharding(turned, P("p")))
assert set(read.call(there, b).sharding.device_set) == set(addax.devices())
two = Mesh(np.array(addax.devices()[:2]), ("x",))
try:
    read.call(addax.device_put(a, NamedSharding(two, P("x"))), b)
except ValueError as error:
    assert "exported for 8 devices and is called with 2, those of the mesh of its arguments" in str(error)
else:
    raise AssertionError

g = addax.jit(addax.shard_map(
    lambda x: lax.psum(x, "x") * lax.axis_index("x"), mesh=mesh, in_specs=P("x"), out_specs=P("x")))
mapped = export.export(g)(addax.ShapeDtypeStruct(export.symbolic_shape("4*n"), np.float32))
x = jnp.arange(8.0)
read = export.deserialize(mapped.serialize(vjp_order=1))
np.testing.assert_allclose(read.call(x), g(x))
np.testing.assert_allclose(addax.grad(lambda x: (read.call(x) ** 2).sum())(x), addax.grad(lambda x: (g(x) ** 2).sum())(x))
open(sys.argv[1], "wb").write(read.serialize())
"""


def test_several_devices(tmp_path):
    path = tmp_path / "mapped.addax"
    out = subprocess.run([sys.executable, "-c", _EIGHT_DEVICES, str(path)], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    mapped = export.deserialize(path.read_bytes())
    assert mapped.nr_devices == 8
    with pytest.raises(ValueError, match="exported for 8 devices and is called with 1, those of this process"):
        mapped.call(jnp.arange(8.0))


# ---------------------------------------------------------------------------------------------------------------------
# Pytrees

Point = collections.namedtuple("Point", "x y")


class Boxed:
    def __init__(self, content, label):
        self.content, self.label = content, label


addax.tree_util.register_pytree_node(Boxed, lambda b: ((b.content,), b.label), lambda label, c: Boxed(c[0], label))


def test_registered_classes():
    boxes = export.export(addax.jit(lambda b: Boxed(b.content + 1, "out")))(Boxed(1.0, "in"))
    with pytest.raises(ValueError, match=r"class .*Boxed: call addax.export.register_pytree_node_serialization"):
        boxes.serialize()
    export.register_pytree_node_serialization(
        Boxed, serialized_name="tests.Boxed", serialize_auxdata=str.encode, deserialize_auxdata=bytes.decode
    )
    out = export.deserialize(boxes.serialize()).call(Boxed(2.0, "in"))
    assert (float(out.content), out.label) == (3.0, "out")
    points = export.export(addax.jit(lambda p: {"s": p.x + p.y, "p": [p, None]}))(Point(1.0, 2.0))
    with pytest.raises(ValueError, match="register_namedtuple_serialization"):
        points.serialize()
    export.register_namedtuple_serialization(Point, serialized_name="tests.Point")
    data = points.serialize()
    assert export.deserialize(data).call(Point(1.0, 2.0))["p"][0] == Point(1.0, 2.0)
    with pytest.raises(ValueError, match="Duplicate serialization registration"):
        export.register_namedtuple_serialization(Point, serialized_name="tests.Another")
    document = Package(data).document
    renamed = json.loads(json.dumps(document).replace("tests.Point", "tests.Nobody"))
    with pytest.raises(ValueError, match=r"serialized name 'tests.Nobody': register its class first"):
        export.deserialize(pack(renamed, []))


# ---------------------------------------------------------------------------------------------------------------------
# Files


def test_damaged_files():
    data = bytes(READ.serialize())
    for blob, message in [
        (b"", "starts with b''"),
        (b"PK\3\4 hello", "not an exported function"),
        (data[:20], "cut off: 20 bytes"),
        (data[:-7], "cut off"),
        (data + b"x", "followed by something else"),
        (data[:500] + b"?" + data[501:], "damaged: its checksum"),
        (data[:8] + b"\x09" + data[9:], r"version 9\.0 of the format; .* reads versions 1 to 1\. Update addax"),
    ]:
        with pytest.raises(ValueError, match=message):
            export.deserialize(blob)


def test_files_from_a_newer_release():
    """A minor version adds what old readers need not know; what they would need to know they name."""
    document = Package(EXPORTED.serialize()).document
    document["a new table"] = [1, 2]
    close(export.deserialize(pack(document, [])).call(PARAMS, X, scale=1.0), model(PARAMS, X, scale=1.0))
    for path, value, message in [
        (("tables", "primitives", 0), "dot_specific", "the primitive 'dot_specific', which does not exist here"),
        (("functions", 0, "in_tree", 0), "bag", "unknown kind of pytree node 'bag'"),
        (("tables", "avals", 0, 0), "float12", "unknown dtype 'float12'"),
        (("tables", "programs", -1, "eqns", 0, 3), {"x": {"set": []}}, "unknown kind of value 'set'"),
    ]:
        changed = json.loads(json.dumps(document))
        at = changed
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        with pytest.raises(ValueError, match=message):
            export.deserialize(pack(changed, []))


def _places(node, path=()):
    yield path
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for k, v in items:
        yield from _places(v, (*path, k))


def test_hostile_files_are_refused():
    """Any part of the description replaced by any other thing gives a ValueError or a well-typed program."""
    document = Package(export.export(addax.jit(lambda x: jnp.sin(x @ x) * 2))(jnp.ones((2, 2))).serialize()).document
    random = np.random.default_rng(5)
    places = [p for p in _places(document) if p and p[0] != "format"]
    junk = [None, -1, 10**12, "x", [], {}, [[]], {"program": 0}, {"size": "a"}, 2.5, True, "*"]
    refused = 0
    for _ in range(300):
        changed = json.loads(json.dumps(document))
        path = places[random.integers(len(places))]
        at = changed
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = junk[random.integers(len(junk))]
        try:
            export.deserialize(pack(changed, []))
        except ValueError:
            refused += 1
    assert refused > 200


def test_read_in_another_process(tmp_path):
    (tmp_path / "f.addax").write_bytes(EXPORTED.serialize())
    code = (
        "import sys, numpy as np; from addax import export\n"
        "e = export.deserialize(open(sys.argv[1], 'rb').read())\n"
        "p = {'w': np.ones((2, 2), np.float32), 'b': np.zeros(2, np.float32)}\n"
        "print(e.call(p, np.ones((3, 2), np.float32), scale=0.5)['out'].tolist())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "f.addax")], capture_output=True, text=True, check=False
    )
    assert out.stdout.strip() == "[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]", out.stderr


def test_what_all_primitives_hold_can_be_written():
    """Generators of keys, primitives and named tuples of addax's own, numbers of all kinds, shared programs."""

    def f(x):
        key = addax.random.key(3)
        q = jnp.linalg.qr(x)
        w = addax.grad(lambda y: lax.reduce_window(y, -jnp.inf, lax.max, (2, 1), (1, 1), "VALID").sum())(x)
        noise = addax.random.gamma(key, x) + addax.random.permutation(key, x)
        low = x.astype(jnp.bfloat16) @ x.T.astype(jnp.bfloat16), x.astype(jnp.float8_e4m3fn), x.astype(jnp.int4)
        odd = jnp.where(x > 0, x, jnp.nan) + (x + 2j) * np.float32(np.inf)
        solved = addax.grad(lambda a: jnp.linalg.solve(a @ a.T + jnp.eye(5), jnp.ones(5)).sum())(x)
        return q, w, noise, low, odd, solved, lax.switch(jnp.argmax(x), [jnp.sin, jnp.cos, jnp.tanh], x), key

    x = jnp.asarray(rng.uniform(0.2, 0.9, size=(5, 3)), F32)
    made = export.export(addax.jit(f))(x)
    read = export.deserialize(made.serialize())
    assert str(read.jaxpr).replace("CLIP", "") == str(made.jaxpr).replace("CLIP", "").replace("PROMISE_IN_BOUNDS", "")
    got, want = read.call(x), made.call(x)
    assert type(got[0]) is type(want[0])
    for g, w in zip(addax.tree.leaves(got), addax.tree.leaves(want), strict=True):
        assert (g.dtype, g.weak_type) == (w.dtype, w.weak_type)
        if not jnp.issubdtype(g.dtype, addax.dtypes.prng_key):
            np.testing.assert_array_equal(np.asarray(g), np.asarray(w))


def test_files_of_earlier_versions():
    """What a release wrote, later ones read: the file of version 1.0 computes what it did then."""
    read = export.deserialize((pathlib.Path(__file__).parent / "exported" / "v1_0.addax").read_bytes())
    w, x = np.eye(4, dtype=np.float32) / 2, np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    assert read.in_avals[1].str_short() == "f32[rows,4]"
    out = read.call({"w": w}, x, 7)
    assert float(out["loss"]) == pytest.approx(2.0952857, rel=1e-5)
    np.testing.assert_allclose(out["carry"].astype(F32), [0.14355, 0.38086, 0.59375, 0.75781], rtol=1e-2)
    first = addax.grad(lambda x: read.call({"w": w}, x, 7)["loss"])(x)[0]
    np.testing.assert_allclose(first, [1.3050e-4, 9.8601e-5, 6.1537e-3, 1.32412e-2], rtol=1e-3)
    with pytest.raises(ValueError, match="the constraint 'rows >= 2' does not hold"):
        read.call({"w": w}, x[:1], 7)


def test_sizes_of_several_scopes_are_refused():
    specs = [addax.ShapeDtypeStruct(export.symbolic_shape("n"), np.float32) for _ in range(2)]
    with pytest.raises(ValueError, match=r"Invalid mixing of symbolic scopes: 'n' has scope created at .*test_export"):
        export.export(addax.jit(lambda x, y: x + y))(*specs)
