"""`shard_map` and its transformations, against JAX and against the definition (the body mapped)."""

from __future__ import annotations

import numpy as np
import pytest
from mapped_cases import close, results

import addax
import addax.numpy as jnp
from addax import lax
from addax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

X = np.sin(np.arange(64, dtype=np.float32)).reshape(8, 8)
W = np.cos(np.arange(32, dtype=np.float32)).reshape(8, 4)
B = np.float32(0.5)
ARGS = (X, W, B)


def layer(L, v, w, b):
    """Tensor-parallel: the contraction is cut over y."""
    return L.jnp.tanh(L.lax.psum(v @ w, "y") + b)


def model(L, **options):
    return L.map(lambda v, w, b: layer(L, v, w, b), [("x", "y"), ("y",), ()], ("x",), **options)


def loss_of_parts(L, **options):
    def part(v, w, b):
        return L.lax.pmean(((v @ w + b) ** 2).mean(), "x")

    return L.map(part, [("x",), (), ()], (), **options)


def scalar_residuals(L, **options):
    def part(v, b):
        s = L.jnp.sin(v.sum() * b)  # a scalar that varies
        return L.lax.psum(L.jnp.exp(s) * b, ("x", "y"))

    return L.map(part, [("x", "y"), ()], (), **options)


def grad_inside(L, **options):
    """The gradient of shared parameters inside: summed over devices if types know that they are shared."""

    def part(v, w, b):
        g = L.grad(lambda w: ((v @ w + b) ** 2).sum())(w)
        return g if options.get("check_vma", True) else L.lax.psum(g, "x")

    return L.map(part, [("x",), (), ()], (), **options)


def loop_inside(L, **options):
    def part(v, w):
        def step(c, _):
            c = L.jnp.tanh(c + L.lax.pmean(c, "x") * w)
            return c, c.sum(keepdims=True)

        c, sums = L.lax.scan(step, v, None, length=3)
        return c, L.lax.psum(sums[:, 0], ("x", "y"))

    return L.map(part, [("x", "y"), ()], [("x", "y"), (None,)], **options)


def loop_outside(L, x, b, **options):
    f = L.map(
        lambda v, b: L.lax.ppermute(v * b, "x", [(i, (i + 1) % 4) for i in range(4)]), [("x",), ()], ("x",), **options
    )
    return L.lax.scan(lambda c, _: (f(c, b), None), x, None, length=3)[0]


def captured(L, x, w, b, **options):
    """Values from around it: an array, a tracer."""
    table = np.arange(8, dtype=np.float32)
    return L.map(lambda v: L.lax.psum(v * table @ w * b, "x"), ("x",), (), **options)(x)


def branches(L, **options):
    """Devices take different branches."""

    def part(v, b):
        return L.lax.cond(
            v.sum() > 0, lambda v, b: v * b, lambda v, b: v - b * b, v, L.lax.psum(b * v.sum(), "x") * 0.1
        )

    return L.map(part, [("x", "y"), ()], ("x", "y"), **options)


def while_inside(L, **options):
    def part(v):
        return L.lax.while_loop(lambda c: (c * c).sum() < 50.0, lambda c: c * 1.5 + 0.1, v)

    return L.map(part, ("x", "y"), ("x", "y"), **options)


def jitted_inside(L, **options):
    def part(v, w):
        f = L.jit(lambda v, w: L.lax.psum(L.jnp.sin(v) * w, "x") + L.lax.axis_index("y"))
        return f(f(v, w) * v, w)

    return L.map(part, [("x", "y"), ()], (None, "y"), **options)


def sort_and_index(L, **options):
    def part(v):
        i = L.lax.axis_index("x")
        return L.jnp.sort(v, axis=1)[:, ::-1].at[0, i].add(10.0) + L.jnp.cumsum(v, axis=0)[i % 2]

    return L.map(part, ("x",), ("x",), **options)


def partial(L, **options):
    """y is the partitioner's."""

    def part(v, w):
        return L.jit(lambda v: L.lax.psum(v @ w, "x") + L.lax.axis_index("x"))(v)[None]

    return L.map(part, [("x",), ()], ("x",), axis_names={"x"}, **options)


def nested(L, **options):
    def outer(v):
        inner = L.map(
            lambda u: u * L.lax.axis_index("y") + L.lax.psum(u, "y") + L.lax.psum(u, "x"),
            (None, "y"), (None, "y"), axis_names={"y"}, mesh=None, **options,
        )  # fmt: skip
        return inner(v) + L.lax.axis_index("x")

    return L.map(outer, ("x",), ("x",), axis_names={"x"}, **options)


def random_bits(L, **options):
    def part(key, v):
        mine = L.random.fold_in(key, L.lax.axis_index(("x", "y")))
        return v * L.random.normal(mine, v.shape)

    return L.map(part, [(), ("x", "y")], ("x", "y"), **options)


def of(build, pick):
    return lambda L, *args, **options: build(L, **options)(*pick(*args))


FUNCTIONS = {
    "model": of(model, lambda x, w, b: (x, w, b)),
    "loss": of(loss_of_parts, lambda x, w, b: (x, w, b)),
    "scalar_residuals": of(scalar_residuals, lambda x, w, b: (x, b)),
    "grad_inside": of(grad_inside, lambda x, w, b: (x, w, b)),
    "loop_inside": of(loop_inside, lambda x, w, b: (x, b)),
    "loop_outside": lambda L, x, w, b, **o: loop_outside(L, x, b, **o),
    "captured": captured,
    "jitted_inside": of(jitted_inside, lambda x, w, b: (x, b)),
    "sort_and_index": of(sort_and_index, lambda x, w, b: (x,)),
    "partial": of(partial, lambda x, w, b: (x, w)),
    "nested": of(nested, lambda x, w, b: (x,)),
}
# JAX has no derivative of the one, and that of the other is wrong where devices take different branches.
NO_GRADS = {
    "while_inside": of(while_inside, lambda x, w, b: (x,)),
    "branches": of(branches, lambda x, w, b: (x, b)),
    "random": lambda L, x, w, b, **o: random_bits(L, **o)(L.random.key(3), x),
}


def total(L, out):
    leaves = addax.tree.leaves(out)
    return sum((y * L.jnp.cos(L.jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)).sum() for y in leaves)


def gradients(f, **options):
    return lambda L, *args: L.grad(lambda *a: total(L, f(L, *a, **options)), (0, 1, 2))(*args)


def second_order(f, **options):
    def case(L, x, w, b):
        slope = L.grad(lambda x, b: total(L, f(L, x, w, b, **options)), (0, 1))
        return L.grad(lambda b: total(L, slope(x, b)))(b), L.jvp(lambda b: slope(x, b), (b,), (b,))[1]

    return case


def batched(f, **options):
    def case(L, x, w, b):
        xs, bs = L.jnp.stack([x, x * 2, x - 1]), L.jnp.stack([b, b * 2, b - 1])
        whole = L.vmap(lambda x, b: f(L, x, w, b, **options), in_axes=(0, 0))(xs, bs)
        one = L.vmap(lambda x: f(L, x, w, b, **options), in_axes=2, out_axes=-1)(L.jnp.moveaxis(xs, 0, 2))
        return whole, one

    return case


VALUES = {**FUNCTIONS, **NO_GRADS}
GRADS = {n: gradients(f) for n, f in FUNCTIONS.items() if n != "nested"}  # which JAX cannot compile
SECOND = {n: second_order(FUNCTIONS[n]) for n in ("model", "scalar_residuals")}
UNCHECKED = {n: lambda L, *a, f=f: f(L, *a, check_vma=False) for n, f in VALUES.items()}
UNCHECKED_GRADS = {n: gradients(f, check_vma=False) for n, f in FUNCTIONS.items()}
MORE_SECOND = {n: second_order(FUNCTIONS[n]) for n in ("loss", "loop_inside", "captured")}
MORE_SECOND |= {f"{n}_unchecked": second_order(FUNCTIONS[n], check_vma=False) for n in ("model", "scalar_residuals")}
BATCHED = {n: batched(FUNCTIONS[n]) for n in ("model", "loss", "loop_inside", "captured", "jitted_inside", "partial")}
GRAD_OF_BATCH = {
    "model": lambda L, x, w, b: L.grad(
        lambda w: total(L, L.vmap(lambda x: model(L)(x, w, b))(L.jnp.stack([x, 2 * x])))
    )(w),
    "loss": lambda L, x, w, b: L.vmap(L.grad(lambda b: loss_of_parts(L)(x, w, b)))(L.jnp.stack([b, 2 * b])),
}


def table_fixture(table, definition=True):
    @pytest.fixture(scope="module")
    def found(mesh, jax_mesh):
        return results(table, mesh, jax_mesh, ARGS, definition)

    return found


values, grads, second = table_fixture(VALUES), table_fixture(GRADS), table_fixture(SECOND)
unchecked, unchecked_grads = table_fixture(UNCHECKED), table_fixture(UNCHECKED_GRADS)
more_second = table_fixture(MORE_SECOND)
batches = table_fixture({**BATCHED, **{f"grad_{n}": f for n, f in GRAD_OF_BATCH.items()}})


def agree(found, name, tol):
    close(found["addax"][name], found["jax"][name], tol)
    close(found["definition"][name], found["jax"][name], tol)


@pytest.mark.parametrize("name", VALUES)
def test_values(values, name):
    agree(values, name, 2e-5)


@pytest.mark.parametrize("name", GRADS)
def test_gradients(grads, name):
    agree(grads, name, 2e-4)


@pytest.mark.parametrize("name", SECOND)
def test_second_order(second, name):
    agree(second, name, 2e-3)


@pytest.mark.parametrize("name", [*BATCHED, *(f"grad_{n}" for n in GRAD_OF_BATCH)])
def test_batched(batches, name):
    agree(batches, name, 2e-4)


@pytest.mark.slow
class TestMore:
    """What takes longer to compile."""

    @pytest.mark.parametrize("name", UNCHECKED)
    def test_unchecked_values(self, unchecked, name):
        agree(unchecked, name, 2e-5)

    @pytest.mark.parametrize("name", UNCHECKED_GRADS)
    def test_unchecked_gradients(self, unchecked_grads, name):
        agree(unchecked_grads, name, 2e-4)

    @pytest.mark.parametrize("name", MORE_SECOND)
    def test_second_order(self, more_second, name):
        agree(more_second, name, 2e-3)


class TestCalls:
    def test_eager_calls_are_compiled_once(self, mesh):
        traces = []

        @addax.shard_map(mesh=mesh, in_specs=P("x", "y"), out_specs=P(None, "y"))
        def total(v):
            traces.append(v.shape)
            return lax.psum(v.sum(0, keepdims=True), "x")

        first, second = total(X), total(2 * X)
        assert traces == [(2, 4)]
        np.testing.assert_allclose(first, X.sum(0, keepdims=True), atol=1e-5)
        np.testing.assert_allclose(second, 2 * first)
        assert first.sharding.is_equivalent_to(NamedSharding(mesh, P(None, "y")), 2)

    def test_mesh_in_scope_and_inferred_specs(self, mesh):
        x = addax.device_put(X, NamedSharding(mesh, P("x", None)))
        with addax.set_mesh(mesh):
            out = addax.shard_map(lambda v: v * v.shape[0], out_specs=P("x"))(x)
        np.testing.assert_array_equal(out, 2 * X)

    def test_trees_and_prefixes(self, mesh):
        def part(pair, w):
            return {"a": pair[0] + w, "b": lax.pmean(pair[1], ("x", "y"))}

        out = addax.shard_map(part, mesh=mesh, in_specs=(P("x", "y"), None), out_specs={"a": P("x", "y"), "b": P()})(
            (X, X), B
        )
        np.testing.assert_array_equal(out["a"], X + B)
        np.testing.assert_allclose(out["b"], X.reshape(4, 2, 2, 4).mean((0, 2)), atol=1e-6)

    def test_donation(self, mesh):
        x = addax.device_put(X, NamedSharding(mesh, P("x")))
        f = addax.jit(addax.shard_map(lambda v: v + 1, mesh=mesh, in_specs=P("x"), out_specs=P("x")), donate_argnums=0)
        np.testing.assert_array_equal(f(x), X + 1)
        assert x.is_deleted()

    def test_mesh_of_permuted_devices(self, devices):
        """Partitions are numbered as the arguments' mesh has them, not as that of the shard_map."""
        order = np.array(devices)[[3, 1, 2, 0, 7, 5, 6, 4]]
        turned = Mesh(order.reshape(2, 4), ("a", "b"))
        x = addax.device_put(np.arange(8.0, dtype=np.float32), NamedSharding(Mesh(np.array(devices), ("i",)), P("i")))

        def part(v):
            return v + 10 * lax.axis_index(("a", "b")) + lax.psum(v, "b")

        out = addax.shard_map(part, mesh=turned, in_specs=P(("a", "b")), out_specs=P(("a", "b")))(x)
        np.testing.assert_array_equal(out, 11 * np.arange(8) + np.repeat([6, 22], 4))

    def test_one_native_device(self):
        mesh = addax.make_mesh((1, 1), ("x", "y"))
        f = addax.shard_map(
            lambda v: lax.psum(jnp.sin(v), "x") + lax.axis_index("y"), mesh=mesh, in_specs=P("x"), out_specs=P("y")
        )
        np.testing.assert_allclose(f(X), np.sin(X), atol=1e-6)
        np.testing.assert_allclose(addax.grad(lambda x: f(x).sum())(X), np.cos(X), atol=1e-6)

    def test_jaxpr(self, mesh):
        f = addax.shard_map(lambda v, b: lax.psum(v * b, "x"), mesh=mesh, in_specs=(P("x"), P()), out_specs=P())
        text = str(addax.make_jaxpr(f)(X[0], B))
        for part in (
            "shard_map[",
            "check_vma=True",
            "d:f32[2]{V:x} e:f32[]",
            "pvary[axes=('x',)] e",
            "f32[2] = psum[axes=('x',)",
        ):
            assert part in text
        stablehlo = addax.jit(f).lower(X[0], B).as_text("stablehlo")
        assert "sdy.manual_computation" in stablehlo
        assert 'manual_axes={"x", "y"}' in stablehlo

    def test_types_say_what_varies(self, mesh):
        seen = {}

        def part(v, b):
            seen.update(v=addax.typeof(v).vma, b=addax.typeof(b).vma, both=addax.typeof(v * b).vma)
            seen["sum"] = addax.typeof(lax.psum(v, "x")).vma
            seen["cast"] = addax.typeof(lax.pcast(b, ("x", "y"), to="varying")).vma
            return v

        addax.shard_map(part, mesh=mesh, in_specs=(P("x"), P()), out_specs=P("x"))(X, B)
        assert seen == {
            "v": {"x"}, "b": frozenset(), "both": {"x"}, "sum": frozenset(), "cast": {"x", "y"}
        }  # fmt: skip

    def test_carries_and_branches_are_made_to_agree(self, mesh):
        """Where JAX asks for pcast."""

        def part(v):
            c = lax.fori_loop(0, 3, lambda i, c: c + v, jnp.zeros(2))
            return lax.cond(True, lambda: c, lambda: jnp.zeros(2))

        out = addax.shard_map(part, mesh=mesh, in_specs=P("x"), out_specs=P("x"))(X[0])
        np.testing.assert_allclose(out, 3 * X[0], rtol=1e-6)

    def test_gradient_where_devices_branch(self, mesh):
        """JAX gives one device's."""

        def part(v, b):
            return addax.grad(lambda b: lax.cond(v.sum() > 2, lambda b: b, lambda b: 2 * b, b))(b)

        f = addax.shard_map(part, mesh=mesh, in_specs=(P("x"), P()), out_specs=P())
        assert float(f(np.arange(8, dtype=np.float32), B)) == 5.0

    def test_gradients_of_solves(self, mesh):
        """Programs among the parameters of an equation are typed like its operands: nothing is summed twice."""

        def part(v, w):
            return jnp.linalg.solve(w, v.T).T

        a = W[:4] + 4 * np.eye(4, dtype=np.float32)
        f = addax.shard_map(part, mesh=mesh, in_specs=(P("x"), P()), out_specs=P("x"))
        ours = addax.jit(addax.grad(lambda w: (f(X[:, :4], w) ** 2).sum()))(a)
        np.testing.assert_allclose(ours, addax.grad(lambda w: (part(X[:, :4], w) ** 2).sum())(a), rtol=1e-4, atol=1e-5)

    def test_a_function_with_a_rule_is_the_body(self, mesh):
        """Not what it wraps."""

        @addax.custom_vjp
        def triple(v):
            return v * 1.0

        triple.defvjp(lambda v: (triple(v), None), lambda _, g: (3 * g,))
        f = addax.shard_map(triple, mesh=mesh, in_specs=P("x"), out_specs=P("x"))
        np.testing.assert_array_equal(addax.grad(lambda x: f(x).sum())(X), np.full_like(X, 3))

    def test_large_captured_arrays(self, mesh):
        """They are whole on every device, whatever the partitioner would like."""
        table = np.sin(np.arange(64 * 64, dtype=np.float32)).reshape(64, 8, 8)

        @addax.jit
        def f(x):
            y = addax.shard_map(lambda v: lax.psum(v * table[0, 0], "x"), mesh=mesh, in_specs=P("x"), out_specs=P())(x)
            return (lax.with_sharding_constraint(x, NamedSharding(mesh, P("x"))) * table).sum(0) + y.sum()

        np.testing.assert_allclose(f(X), (X * table).sum(0) + (X * table[0, 0]).sum(), rtol=1e-3, atol=1e-3)

    def test_arguments_are_sent_in_parts(self, mesh):
        """To each device what its shard_map reads, not the whole."""
        f = addax.shard_map(lambda v, w: v @ w, mesh=mesh, in_specs=(P("x"), P(None, "y")), out_specs=P("x", "y"))

        def whole(x, w):
            return addax.jit(f)(x, w) + x.sum()

        text = addax.jit(f).lower(X, W).as_text("stablehlo")
        assert text.count('sdy.sharding = #sdy.sharding<@mesh, [{"x"}, {}]>') == 1
        assert text.count('sdy.sharding = #sdy.sharding<@mesh, [{}, {"y"}]>') == 1
        text = addax.jit(whole).lower(X, W).as_text("stablehlo")
        assert "%arg0: tensor<8x8xf32> {sdy.sharding = #sdy.sharding<@mesh, [{}, {}]>}" in text
        np.testing.assert_allclose(addax.jit(f)(X, W), X @ W, atol=1e-5)
        np.testing.assert_allclose(addax.jit(whole)(X, W), X @ W + X.sum(), atol=1e-5)

    def test_explicit_meshes(self, devices):
        mesh = Mesh(np.array(devices).reshape(4, 2), ("x", "y"), (AxisType.Explicit,) * 2)
        f = addax.shard_map(lambda v: lax.psum(v, "x"), mesh=mesh, in_specs=P("x"), out_specs=P())
        np.testing.assert_allclose(f(X), X.reshape(4, 2, 8).sum(0), atol=1e-5)

    def test_vmap_over_a_mesh_axis(self, mesh):
        """spmd_axis_name: the batch is cut over an axis that the body does not use."""
        xs = np.stack([X[0], 2 * X[1], X[2] - 1, X[3]])

        def f(x, w):
            return addax.shard_map(
                lambda v, w: lax.psum(jnp.sin(v) * w, "x"), mesh=mesh, in_specs=(P("x"), P()), out_specs=P()
            )(x, w)

        spread, whole = addax.vmap(f, (0, None), spmd_axis_name="y"), addax.vmap(f, (0, None))
        assert "in_specs=(P('y', 'x'), P())" in str(addax.make_jaxpr(spread)(xs, B))
        for g in (lambda h: h(xs, B), lambda h: addax.grad(lambda x, w: (h(x, w) ** 2).sum(), (0, 1))(xs, B)):
            close(addax.jit(lambda g=g: g(spread))(), addax.jit(lambda g=g: g(whole))(), 1e-5)
        # An axis that the body uses is left alone.
        assert "in_specs=(P(None, 'x'), P())" in str(
            addax.make_jaxpr(addax.vmap(f, (0, None), spmd_axis_name="x"))(xs, B)
        )

    def test_uncompiled_derivatives_are_compiled_once(self, mesh):
        traces = []

        @addax.shard_map(mesh=mesh, in_specs=P("x"), out_specs=P())
        def f(v):
            traces.append(v.shape)
            return lax.psum((v * v * jnp.arange(2.0)).sum(), "x")

        programs = addax.core.primitive.registry["shard_map"].eager_cache
        first, known = addax.grad(f)(X[0]), len(programs)
        np.testing.assert_array_equal(first, addax.grad(f)(X[0]))
        assert traces == [(2,)]
        assert len(programs) == known

    def test_host_functions_see_parts(self, mesh, capsys):
        def part(v):
            addax.debug.print("{x.shape}", x=v)
            return addax.pure_callback(np.sin, addax.ShapeDtypeStruct(v.shape, v.dtype), v)

        out = addax.shard_map(part, mesh=mesh, in_specs=P("x", "y"), out_specs=P("x", "y"))(X)
        np.testing.assert_allclose(out, np.sin(X), rtol=1e-6)
        assert capsys.readouterr().out == "(2, 4)\n" * 8

    def test_older_name(self, mesh):
        from addax.experimental.shard_map import shard_map

        f = shard_map(lambda v: lax.all_gather(v, "x", tiled=True), mesh, P("x"), P(), check_rep=False)
        np.testing.assert_array_equal(f(X), X)


class TestErrors:
    @pytest.mark.parametrize(
        ("specs", "body", "arg", "message"),
        [
            ((P("x"), P("x")), lambda v: v, X[:6], r"v of .*shape float32\[6,8\].*axis 0 \(of size 6\).*'x' \(of size 4\).*Pad the axis to 8"),
            ((P(("x", "y")), P("x")), lambda v: v, X[:4], r"'x' \(of size 4\) and 'y' \(of size 2\), but 8 does not evenly divide 4"),
            ((P("x", "y"), P("x")), lambda v: v, X[0], r"too long.*argument v of .*rank 1 \(and 1 < 2\)"),
            ((P("z"), P("x")), lambda v: v, X, r"refers to 'z'; the axes of the mesh are 'x' of size 4, 'y' of size 2"),
            ((P("x", "x"), P("x")), lambda v: v, X, "names mesh axis 'x' twice"),
            ((P("x"), P("x")), lambda v: v.sum(), X, r"x\[None\]"),
            ((P("x"), P()), lambda v: v, X, r"promises a value that is the same along axis 'x'.*lax.psum.*check_vma=False"),
            ((P("x", "y"), P("x")), lambda v: (v, {"a": v}), X, r"\(\*args\)\[0\] of type float32\[2,4\]\{V:\(x,y\)\}"),
            ((P("x"), (P("x"), P())), lambda v: v, X, "different types at key path\n    shard_map out_specs"),
            (((P("x"), P()), P("x")), lambda v: v, X, "different lengths of tuple at key path\n    shard_map in_specs"),
            (("x", P("x")), lambda v: v, X, "pytree of PartitionSpec instances, but it has 'x'"),
        ],
    )  # fmt: skip
    def test_specs(self, mesh, specs, body, arg, message):
        f = addax.shard_map(body, mesh=mesh, in_specs=specs[0], out_specs=specs[1])
        with pytest.raises((ValueError, TypeError), match="(?s)" + message):
            f(arg)

    def test_no_mesh(self):
        with pytest.raises(ValueError, match=r"context mesh cannot be empty.*set_mesh"):
            addax.shard_map(lambda v: v, in_specs=P("x"), out_specs=P("x"))(X)

    def test_unknown_axis_name(self, mesh):
        with pytest.raises(ValueError, match="axis_names has 'z'"):
            addax.shard_map(lambda v: v, mesh=mesh, in_specs=P("x"), out_specs=P("x"), axis_names={"z"})(X)

    def test_nested_over_the_same_axis(self, mesh):
        inner = addax.shard_map(lambda v: v, in_specs=P("x"), out_specs=P("x"))
        with pytest.raises(ValueError, match="manual already, by the shard_map around this one"):
            addax.shard_map(inner, mesh=mesh, in_specs=P("x"), out_specs=P("x"))(X)

    def test_nested_over_another_mesh(self, mesh, line):
        inner = addax.shard_map(lambda v: v, mesh=line, in_specs=P("i"), out_specs=P("i"))
        with pytest.raises(ValueError, match="should match the mesh passed to shard_map"):
            addax.shard_map(inner, mesh=mesh, in_specs=P(), out_specs=P())(X)

    def test_specs_cannot_be_inferred_while_tracing(self, mesh):
        with pytest.raises(TypeError, match="in_specs are needed"):
            addax.jit(addax.shard_map(lambda v: v, mesh=mesh, out_specs=P("x")))(X)

    def test_custom_vjp_must_sum_cotangents_of_shared_values(self, mesh):
        @addax.custom_vjp
        def mul(x, w):
            return x * w

        mul.defvjp(lambda x, w: (x * w, (x, w)), lambda r, c: (c * r[1], (c * r[0]).sum()))

        def part(v, w):
            return addax.grad(lambda w: mul(v, w).sum())(w)

        f = addax.shard_map(part, mesh=mesh, in_specs=(P("x"), P()), out_specs=P())
        with pytest.raises(ValueError, match=r"output\[1\].*float32\[\]\{V:x\}.*lax.psum\(cotangent, axes\)"):
            f(X[0], B)
