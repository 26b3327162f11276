"""Modules as text, control flow, calls, callbacks, donation, and that jax stays out of it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from batch import Case, compile_xla, execute, run_reference, run_xla

import addax
import addax.numpy as jnp
from addax import lax
from addax.core.avals import ShapedArray
from addax.core.axis_env import extend_axis_env
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.engines.xla import compat
from addax.engines.xla.client import devices
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target

X = np.linspace(-1.0, 2.0, 6, dtype=np.float32)


def program(fun, *args, **options):
    return lower(addax.jit(fun).trace(*args).jaxpr, **options)


def run(fun, *args):
    return execute(addax.jit(fun).trace(*args).jaxpr, args)


def agrees(fun, *args):
    """XLA's results and addax's own are the same up to rounding."""
    want = addax.tree.leaves(addax.jit(fun)(*args))
    for got, w in zip(run(fun, *args), want, strict=True):
        np.testing.assert_allclose(got, np.asarray(w), rtol=2e-5, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# Text


def test_stages_of_a_lowered_function():
    lowered = addax.jit(lambda x: jnp.sin(x) + 1).lower(X)
    assert lowered.as_text("stablehlo") == textwrap.dedent("""\
        module @jit__lambda_ attributes {mhlo.num_partitions = 1 : i32, mhlo.num_replicas = 1 : i32} {
          func.func public @main(%arg0: tensor<6xf32>) -> (tensor<6xf32>) {
            %0 = stablehlo.sine %arg0 : tensor<6xf32>
            %1 = stablehlo.constant dense<1.00000000e+00> : tensor<f32>
            %2 = stablehlo.broadcast_in_dim %1, dims = [] : (tensor<f32>) -> tensor<6xf32>
            %3 = stablehlo.add %0, %2 : tensor<6xf32>
            func.return %3 : tensor<6xf32>
          }
        }
        """)
    assert "HloModule jit__lambda_" in lowered.compile().as_text("hlo")


def test_operations_carry_the_line_they_come_from():
    def f(x):
        return jnp.cos(x)

    text = program(f, X).text
    line = f.__code__.co_firstlineno + 1
    assert f'loc("{__file__}":{line}:15)' in text
    hlo = compile_xla(addax.jit(f).trace(X).jaxpr).as_text("hlo")
    assert 'op_name="jit(f)/cos"' in hlo and __file__ in hlo and f"line={line}" in hlo


def test_a_nested_function_is_written_once_and_called():
    @addax.jit
    def inner(x):
        return jnp.sin(x) * jnp.cos(x) + jnp.tanh(x)

    def f(x):
        return inner(inner(x)) + inner(x)

    text = program(f, X).text
    assert text.count("func.func private") == 1
    assert text.count("func.call @inner(") == 3
    agrees(f, X)


def test_large_arrays_are_arguments_small_ones_text():
    large = np.arange(4000, dtype=np.float32)
    small = np.array([1.5, np.nan, -0.0, np.inf, 7.25], np.float32)

    constant = jnp.asarray(large)

    @addax.jit
    def inner(x):
        return x + constant

    def f(x):
        return inner(x)[:5] * small, inner(2 * x) + constant

    p = program(f, large)
    assert [c.shape for c in p.captured] == [(4000,)]
    assert "%captured0" in p.text and len(p.text) < 5000
    outs = run(f, large)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(outs[0], (large + large)[:5] * small)
    np.testing.assert_array_equal(outs[1], 4 * large)


def test_every_constant_keeps_its_bits():
    values = [
        np.array(v, d)
        for d in ("float16", "float32", "float64")
        for v in (0.1, -0.0, np.inf, -np.inf, 5e-8, 1e-40, 3.0)
    ]
    values += [np.array(v, d) for d in ("complex64", "complex128") for v in (0.1 - 2j, complex(np.inf, -0.0))]
    values += [np.array(v) for v in (True, np.int8(-128), np.uint64(2**64 - 1), np.int64(-(2**63)))]
    values += [np.arange(12).reshape(3, 4) % 3 == 0, np.arange(8, dtype=np.int16).reshape(2, 4), np.zeros((0, 3))]
    with addax.enable_x64(True):
        cases = [Case("", [], fun=lambda v=v: registry["copy"].bind(v)) for v in values]
        for (got,), want in zip(run_xla(cases), values, strict=True):
            assert got.dtype == want.dtype and got.tobytes() == want.tobytes()


def test_donated_arguments_lend_their_memory():
    p = program(lambda x, y: (y + 1, x.sum()), X, X, donated=(1,))
    assert "%arg1: tensor<6xf32> {tf.aliasing_output = 0 : i32}" in p.text
    p = program(lambda x: x.sum(), X, donated=(0,))
    assert "{jax.buffer_donor = true}" in p.text
    compat.parse_module(p.text)
    x = addax.device_put(X, devices()[0])
    out = addax.jit(lambda x: x + 1, donate_argnums=0)(x)
    assert x.is_deleted()
    np.testing.assert_array_equal(np.asarray(out), X + 1)


def test_attributes_of_arguments_and_results():
    target = Target(
        argument_attributes=lambda i: f"test.argument = {i} : i32", result_attributes=lambda i: "test.result"
    )
    text = program(lambda x: x + 1, X, target=target).text
    assert "%arg0: tensor<6xf32> {test.argument = 0 : i32}" in text
    assert "-> (tensor<6xf32> {test.result})" in text


def test_the_verifier_accepts_a_training_step():
    def loss(w, x):
        def layer(h, w):
            return jnp.tanh(h @ w), h.sum()

        h, _ = lax.scan(layer, x, w)
        return jnp.where(h > 0, h, 0.1 * h).mean()

    w, x = np.ones((3, 4, 4), np.float32), np.ones((2, 4), np.float32)
    compat.parse_module(program(addax.grad(loss), w, x).text)
    agrees(addax.value_and_grad(loss), w, x)


def test_collectives_belong_inside_of_a_shard_map():
    with extend_axis_env("y", 2):
        closed = ClosedJaxpr(*trace_to_jaxpr(lambda v: [lax.psum(v, "y")], [ShapedArray((2,), X.dtype)]))
    with pytest.raises(NameError, match=r"unbound axis name: y. The program is compiled for the mesh axes \(\)"):
        lower(closed)


def test_what_a_platform_lacks_is_refused_by_name():
    closed = addax.jit(jnp.linalg.eigvals).trace(np.eye(3, dtype=np.float32)).jaxpr
    with pytest.raises(NotImplementedError, match="eig is computed by a library routine that platform 'tpu' does not"):
        lower(closed, Target("tpu"))


# ---------------------------------------------------------------------------------------------------------------------
# Control flow


def test_loops():
    def f(x):
        a = lax.fori_loop(0, 5, lambda i, c: c * 1.1 + i, x)
        b = lax.while_loop(lambda c: c[1].sum() < 100, lambda c: (c[0] + 1, c[1] * 2 + c[0]), (0, x + 3))
        carry, ys = lax.scan(lambda c, v: (c + v, (c * v, v > 0)), 0.0, x)
        last, zs = lax.scan(lambda c, v: (c - v, c), 1.0, x, reverse=True)
        none, _ = lax.scan(lambda c, v: (c + 1, v), 0, x[:0])
        return a, b, carry, ys, last, zs, none

    agrees(f, X)
    agrees(addax.vmap(f), np.stack([X, X[::-1]]))


def test_branches():
    def f(i, x):
        two = lax.cond(i > 1, lambda v: v + 1, lambda v: v * 2, x)
        three = lax.switch(i, [lambda v: v.sum(), lambda v: v.max(), lambda v: v.min()], x)
        return two, three

    for i in (-1, 0, 1, 2, 7):
        agrees(f, np.int32(i), X)
    agrees(addax.grad(lambda x: sum(map(jnp.sum, f(1, x)))), X)


def test_custom_rules_and_nested_transformations():
    @addax.custom_vjp
    def f(x):
        return jnp.sin(x)

    f.defvjp(lambda x: (f(x), x), lambda x, ct: (2 * ct * jnp.cos(x),))
    agrees(addax.hessian(lambda x: f(x).sum() * jnp.logaddexp(x, 1.0).sum()), X)


def test_keys_pass_through_programs():
    def f(seed, x):
        key = addax.random.key(seed)

        def step(key, v):
            key, sub = addax.random.split(key)
            return key, addax.random.normal(sub) + v

        key, ys = lax.scan(step, key, x)
        keys = addax.random.split(key, 6).reshape(2, 3)[::-1, 1:].T
        chosen = jnp.where(x[:2, None] > 0, keys, addax.random.fold_in(key, 3))
        return ys, addax.random.key_data(chosen)

    agrees(f, np.int32(7), X)


# ---------------------------------------------------------------------------------------------------------------------
# Callbacks


def test_ordered_callbacks_run_in_order_also_in_loops_and_functions():
    seen = []

    def note(x):
        addax.debug.callback(lambda v: seen.append(float(v)), x, ordered=True)

    @addax.jit
    def inner(x):
        note(x[0] + 100)
        return x + 1

    def f(x):
        note(x[0])

        def body(i, c):
            note(i)
            return inner(c)

        x = lax.fori_loop(0, 3, body, x)
        lax.cond(x[0] > 0, lambda: note(-5), lambda: None)
        note(x[1])
        return x

    x = np.zeros(2, np.float32)
    (out,) = run(f, x)
    np.testing.assert_array_equal(out, x + 3)
    assert seen == [0, 0, 100, 1, 101, 2, 102, -5, 3]


def test_callbacks_with_results():
    def f(x):
        y = addax.pure_callback(np.cumsum, addax.ShapeDtypeStruct(x.shape, x.dtype), x)
        return y, addax.io_callback(lambda v: v[::-1], x, y, ordered=True)

    y, z = run(f, X)
    np.testing.assert_allclose(y, np.cumsum(X), rtol=1e-6)
    np.testing.assert_array_equal(z, y[::-1])


def test_exceptions_of_callbacks_are_raised_as_they_are():
    def fail(x):
        raise KeyError("from the host")

    def f(x):
        return addax.pure_callback(fail, addax.ShapeDtypeStruct(x.shape, x.dtype), x)

    with pytest.raises(KeyError, match="from the host"):
        run(f, X)

    def wrong(x):
        return addax.pure_callback(lambda v: v[:2], addax.ShapeDtypeStruct(x.shape, x.dtype), x)

    with pytest.raises(RuntimeError, match=r"promised result 0 of shape \(6,\) but returned shape \(2,\)"):
        run(wrong, X)


# ---------------------------------------------------------------------------------------------------------------------
# jaxlib without jax


def test_jax_is_never_imported():
    """With an import hook that fails on any attempt, also on those that jaxlib makes by itself."""
    script = textwrap.dedent("""
        import sys

        class Hook:
            def find_spec(self, name, path=None, target=None):
                if name == "jax" or name.startswith("jax."):
                    print("imported", name)
                    raise SystemExit(1)

        sys.meta_path.insert(0, Hook())
        import numpy as np
        import addax
        import addax.numpy as jnp
        from addax.engines.xla.client import devices

        def f(x, y):
            addax.debug.callback(lambda v: None, x, ordered=True)
            z = addax.pure_callback(np.sin, addax.ShapeDtypeStruct(x.shape, x.dtype), x)
            return z @ z.T, y, jnp.linalg.svd(x)

        x, y = np.ones((3, 2), np.float32), np.ones(3, jnp.bfloat16)
        x = addax.device_put(x, devices()[0])
        outs = addax.jit(f)(x, y)
        compiled = addax.jit(f).lower(x, y).compile()
        assert np.asarray(outs[1]).dtype == jnp.bfloat16, outs
        compiled.as_text("hlo"), compiled.cost_analysis(), compiled.memory_analysis()
        assert "jax" not in sys.modules
        print("clean")
    """)
    path = ":".join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": path, "PATH": ""},
        timeout=120,
    )
    assert done.stdout.strip() == "clean", done.stdout + done.stderr


def test_wide_types_arrive_whole_beside_jax():
    """jax, once imported, has jaxlib narrow 64-bit types on their way to the device."""
    import jax  # noqa: F401

    x = np.array([1.0 + 2.0**-50, -3.0])
    with addax.enable_x64(True):
        closed = addax.jit(lambda x, n: (x * 1.0, n + 1)).trace(x, np.int64(2**40)).jaxpr
    got, n = execute(closed, [x, np.int64(2**40)])
    assert got.dtype == np.float64 and (got == x).all() and n == 2**40 + 1


def test_reference_and_xla_agree_on_a_case_without_operands():
    case = Case("iota", [], {"dtype": np.dtype(np.int32), "shape": (2, 3), "dimension": 1, "sharding": None})
    np.testing.assert_array_equal(run_xla([case])[0][0], run_reference([case])[0][0])
