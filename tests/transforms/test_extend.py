"""JAX's two tutorials about its inside, run with other imports; the tables of rules; jaxprs as users read them."""

import pathlib
import re
from functools import wraps

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import export, lax
from addax.core import ShapedArray
from addax.extend import core
from addax.interpreters import ad, batching, mlir, partial_eval

# ---------------------------------------------------------------------------------------------------------------------
# "How JAX primitives work"

multiply_add_p = core.Primitive("multiply_add")


def multiply_add_prim(x, y, z):
    return multiply_add_p.bind(x, y, z)


def square_add_prim(a, b):
    return multiply_add_prim(a, a, b)


@multiply_add_p.def_impl
def multiply_add_impl(x, y, z):
    return np.add(np.multiply(x, y), z)


@multiply_add_p.def_abstract_eval
def multiply_add_abstract_eval(xs, ys, zs):
    assert xs.shape == ys.shape
    assert xs.shape == zs.shape
    return ShapedArray(xs.shape, xs.dtype)


mlir.register_lowering(
    multiply_add_p, mlir.lower_fun(lambda x, y, z: x * y + z, multiple_results=False), platform="cpu"
)


def multiply_add_value_and_jvp(arg_values, arg_tangents):
    x, y, z = arg_values
    xt, yt, zt = arg_tangents
    primal_out = multiply_add_prim(x, y, z)

    def make_zero(tan):
        return lax.zeros_like_array(x) if type(tan) is ad.Zero else tan

    output_tangent = multiply_add_prim(make_zero(xt), y, multiply_add_prim(x, make_zero(yt), make_zero(zt)))
    return (primal_out, output_tangent)


ad.primitive_jvps[multiply_add_p] = multiply_add_value_and_jvp


def multiply_add_transpose(ct, x, y, z):
    if not ad.is_undefined_primal(x):
        assert ad.is_undefined_primal(y)
        ct_y = ad.Zero(y.aval) if type(ct) is ad.Zero else multiply_add_prim(x, ct, lax.zeros_like_array(x))
        return None, ct_y, ct
    assert ad.is_undefined_primal(x)
    ct_x = ad.Zero(x.aval) if type(ct) is ad.Zero else multiply_add_prim(ct, y, lax.zeros_like_array(y))
    return ct_x, None, ct


ad.primitive_transposes[multiply_add_p] = multiply_add_transpose


def multiply_add_batch(vector_arg_values, batch_axes):
    assert batch_axes[0] == batch_axes[1]
    assert batch_axes[0] == batch_axes[2]
    res = multiply_add_prim(*vector_arg_values)
    return res, batch_axes[0]


batching.primitive_batchers[multiply_add_p] = multiply_add_batch


def test_a_primitive_of_ones_own():
    assert square_add_prim(2.0, 10.0) == 14.0
    assert addax.jit(square_add_prim)(2.0, 10.0) == 14.0
    assert addax.jit(lambda x, y: square_add_prim(x, y), static_argnums=1)(2.0, 10.0) == 14.0
    assert [float(x) for x in addax.jvp(square_add_prim, (2.0, 10.0), (1.0, 1.0))] == [14.0, 5.0]
    assert [float(x) for x in addax.jit(lambda a, t: addax.jvp(square_add_prim, a, t))((2.0, 10.0), (1.0, 1.0))] == [
        14,
        5,
    ]
    assert addax.grad(square_add_prim)(2.0, 10.0) == 4.0
    assert addax.jit(addax.grad(square_add_prim))(2.0, 10.0) == 4.0
    two = np.array([2.0, 3.0], np.float32), np.array([10.0, 20.0], np.float32)
    assert addax.vmap(square_add_prim)(*two).tolist() == [14.0, 29.0]
    assert addax.jit(addax.vmap(square_add_prim))(*two).tolist() == [14.0, 29.0]
    assert "multiply_add a a b" in str(addax.make_jaxpr(square_add_prim)(2.0, 10.0))
    assert "stablehlo.multiply" in addax.jit(square_add_prim).lower(2.0, 10.0).as_text("stablehlo")
    data = export.export(addax.jit(square_add_prim))(2.0, 10.0).serialize(vjp_order=1)
    assert addax.grad(export.deserialize(data).call)(2.0, 10.0) == 4.0


def test_what_is_missing_is_said_with_what_to_write():
    p = core.Primitive("lonely")
    with pytest.raises(NotImplementedError, match=r"lonely has no type rule. Add one: lonely_p.def_abstract_eval"):
        addax.make_jaxpr(p.bind)(1.0)
    p.def_abstract_eval(lambda x: x)
    for call in (addax.jit(p.bind), p.bind):
        with pytest.raises(
            NotImplementedError, match=r"lonely: it has no lowering. Add one: .*mlir.register_lowering\(lonely"
        ):
            call(1.0)
    with pytest.raises(
        NotImplementedError, match=r"no differentiation rule. Add one: addax.interpreters.ad.primitive_jvps"
    ):
        addax.grad(p.bind)(1.0)
    with pytest.raises(
        NotImplementedError, match=r"no batching rule. Add one: addax.interpreters.batching.primitive_batchers"
    ):
        addax.vmap(p.bind)(jnp.ones(3))
    ad.primitive_jvps[p] = lambda x, t: (p.bind(*x), p.bind(*t))
    with pytest.raises(NotImplementedError, match=r"no transpose rule. Add one: .*ad.primitive_transposes\[lonely_p\]"):
        p.def_impl(lambda x: x)
        addax.grad(p.bind)(1.0)
    with pytest.raises(TypeError, match=r"functions of arrays, not as functions that emit MLIR"):
        mlir.register_lowering(p, lambda ctx, x: [x])
    with pytest.raises(TypeError, match="rules belong to primitives"):
        ad.primitive_jvps["lonely"] = lambda: None
    with pytest.raises(KeyError):
        ad.primitive_transposes[p]


def test_helpers_for_rules():
    """deflinear2, defjvp, defjvp2, defbilinear; defvectorized, defbroadcasting, defreducer; several results, parameters."""

    def make(name, fun, type_rule=lambda *avals, **_: avals[0], several=False):
        p = core.Primitive(name)
        p.multiple_results = several
        p.def_abstract_eval(type_rule)
        mlir.register_lowering(p, mlir.lower_fun(fun, multiple_results=several))
        return p

    scale = make("scale", lambda x, *, by: x * by)
    ad.deflinear2(scale, lambda ct, x, *, by: [scale.bind(ct, by=by)])
    batching.defvectorized(scale)

    def f(x):
        return scale.bind(x, by=3.0) ** 2

    assert float(addax.grad(f)(2.0)) == 36.0
    assert addax.vmap(addax.grad(f))(jnp.arange(3.0)).tolist() == [0.0, 18.0, 36.0]

    times = make("times", lambda x, y: x * y)
    ad.defbilinear(times, lambda ct, x, y: times.bind(ct, y), lambda ct, x, y: times.bind(x, ct))
    batching.defbroadcasting(times)

    def g(x, y):
        return times.bind(times.bind(x, y), y)

    assert [float(v) for v in addax.grad(g, (0, 1))(2.0, 3.0)] == [9.0, 12.0]
    assert addax.vmap(g, (0, None))(jnp.arange(3.0), jnp.float32(2)).tolist() == [0.0, 4.0, 8.0]
    assert float(addax.hessian(lambda y: g(1.0, y))(5.0)) == 2.0

    power = make("my_power", lambda x, y: x**y)
    ad.defjvp2(power, lambda t, out, x, y: t * y * out / x, None)
    assert float(addax.grad(power.bind)(2.0, 3.0)) == 12.0
    square = make("my_square", lambda x: x * x)
    ad.defjvp(square, lambda t, x: 2 * x * t)
    assert float(addax.grad(addax.grad(square.bind))(2.0)) == 2.0

    total = make("total", lambda x, *, axes: x.sum(axes), lambda x, *, axes: ShapedArray(
        [d for i, d in enumerate(x.shape) if i not in axes], x.dtype))  # fmt: skip
    batching.defreducer(total)
    x = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(addax.vmap(lambda v: total.bind(v, axes=(1,)), in_axes=1)(x), x.sum(2).T)

    both = make("both", lambda x: (x + 1, x * 2), lambda x: (x, x), several=True)
    assert [float(v) for v in addax.jit(both.bind)(3.0)] == [4.0, 6.0]
    batching.fancy_primitive_batchers[both] = lambda axis, args, dims: (both.bind(*args), [dims[0]] * 2)
    assert [v.tolist() for v in addax.vmap(both.bind)(jnp.arange(2.0))] == [[1.0, 2.0], [0.0, 2.0]]
    assert batching.bdim_at_front(jnp.ones((2, 3)), 1, 3).shape == (3, 2)
    assert batching.broadcast(jnp.ones(2), 5, 1).shape == (2, 5)


def test_rules_of_addax_s_own_primitives():
    assert ad.primitive_jvps[lax.sin_p] is lax.sin_p.jvp
    assert core.primitives.dot_general_p is lax.dot_general_p
    assert len(ad.primitive_jvps) > 100
    out, dim = batching.primitive_batchers[lax.sin_p]((jnp.ones((2, 3)),), (1,))
    assert (out.shape, dim) == ((2, 3), 1)
    taken = core.Primitive("sin")  # a name that is taken leaves the owner of it alone
    taken.def_abstract_eval(lambda x: x)
    assert "sin" in str(addax.make_jaxpr(taken.bind)(1.0))
    assert core.primitives.sin_p is lax.sin_p
    mlir.register_lowering(taken, mlir.lower_fun(lambda x: x, multiple_results=False))
    with pytest.raises(ValueError, match="another primitive has the name 'sin'"):
        export.export(addax.jit(taken.bind))(1.0).serialize()


# ---------------------------------------------------------------------------------------------------------------------
# "Writing custom Jaxpr interpreters in JAX"


def safe_map(f, *args):
    return list(map(f, *map(list, args)))


def f(x):
    return jnp.exp(jnp.tanh(x))


inverse_registry = {}
inverse_registry[lax.exp_p] = jnp.log
inverse_registry[lax.tanh_p] = jnp.arctanh


def inverse(fun):
    @wraps(fun)
    def wrapped(*args, **kwargs):
        closed_jaxpr = addax.make_jaxpr(fun)(*args, **kwargs)
        out = inverse_jaxpr(closed_jaxpr.jaxpr, closed_jaxpr.literals, *args)
        return out[0]

    return wrapped


def inverse_jaxpr(jaxpr, consts, *args):
    env = {}

    def read(var):
        if type(var) is core.Literal:
            return var.val
        return env[var]

    def write(var, val):
        env[var] = val

    safe_map(write, jaxpr.outvars, args)
    safe_map(write, jaxpr.constvars, consts)
    for eqn in jaxpr.eqns[::-1]:
        invals = safe_map(read, eqn.outvars)
        if eqn.primitive not in inverse_registry:
            raise NotImplementedError(f"{eqn.primitive} does not have registered inverse.")
        outval = inverse_registry[eqn.primitive](*invals)
        safe_map(write, eqn.invars, [outval])
    return safe_map(read, jaxpr.invars)


def test_the_inverse_interpreter():
    f_inv = inverse(f)
    assert np.allclose(f_inv(f(1.0)), 1.0)
    assert np.allclose(addax.jit(addax.vmap(addax.grad(f_inv)))((jnp.arange(5) + 1.0) / 5), jnp.array(
        [-4.0, 1 / (0.4 * (1 - np.log(0.4) ** 2)), 1 / (0.6 * (1 - np.log(0.6) ** 2)),
         1 / (0.8 * (1 - np.log(0.8) ** 2)), 1.0]), atol=10, equal_nan=True)  # fmt: skip
    with pytest.raises(NotImplementedError, match="mul does not have registered inverse"):
        inverse(lambda x: x * 2)(1.0)


def test_jaxprs_as_users_read_them():
    closed = addax.make_jaxpr(lambda x, y: (jnp.sin(x) @ y, x.sum() * 2.0))(jnp.ones((2, 3)), jnp.ones(3))
    assert isinstance(closed, core.ClosedJaxpr)
    assert isinstance(closed.jaxpr, core.Jaxpr)
    assert [a.str_short() for a in closed.in_avals] == ["f32[2,3]", "f32[3]"]
    assert [a.str_short() for a in closed.out_avals] == ["f32[2]", "f32[]"]
    sin, *_, mul = closed.eqns
    assert isinstance(sin, core.JaxprEqn)
    assert (sin.primitive.name, sin.params, sin.effects) == ("sin", {}, core.no_effects)
    assert sin.source_info.file == __file__
    assert isinstance(sin.invars[0], core.Var)
    assert isinstance(mul.invars[1], core.Literal)
    assert mul.invars[1].val == 2.0
    assert closed.jaxpr.debug_info.func_name.startswith("<lambda> at")
    assert closed.jaxpr.debug_info.arg_names == ("x", "y")
    assert closed.consts == closed.literals == closed.constvars == []
    assert (closed.invars, closed.outvars) == (closed.jaxpr.invars, closed.jaxpr.outvars)
    assert closed.pretty_print() == str(closed)
    x, y = jnp.ones((2, 3)), jnp.ones(3)
    for run in (
        lambda: addax.core.eval_jaxpr(closed.jaxpr, closed.consts, x, y),
        lambda: core.jaxpr_as_fun(closed)(x, y),
    ):
        np.testing.assert_allclose(run()[0], np.sin(np.ones(2)) * 3, rtol=1e-6)
    dot = next(e for e in closed.eqns if e.primitive is lax.dot_general_p)
    assert dot.params["dimension_numbers"] == (((1,), (0,)), ((), ()))
    smaller, used = partial_eval.dce_jaxpr(closed.jaxpr, [False, True])
    assert (used, len(smaller.invars), len(smaller.eqns)) == ([True, False], 1, 2)
    nested = addax.make_jaxpr(addax.jit(lambda x: lax.cond(x > 0, jnp.sin, jnp.cos, x)))(1.0)
    (inner,) = core.subjaxprs(nested.jaxpr)
    assert len(list(core.subjaxprs(inner))) == 2
    made = core.Jaxpr([], closed.jaxpr.invars[:1], sin.outvars, [core.new_jaxpr_eqn(
        sin.invars, sin.outvars, lax.cos_p, {}, core.no_effects, sin.source_info)])  # fmt: skip
    core.check_jaxpr(made)
    np.testing.assert_allclose(core.jaxpr_as_fun(core.ClosedJaxpr(made, []))(x)[0], np.cos(np.ones((2, 3))), rtol=1e-6)


def test_compile_time_eval():
    @addax.jit
    def g(x):
        with addax.ensure_compile_time_eval():
            n = int(jnp.prod(jnp.array(x.shape)))
        return x.reshape(n) + n

    assert g(jnp.zeros((2, 3))).tolist() == [6.0] * 6
    assert isinstance(addax.typeof(1.0), addax.core.AbstractValue)
    assert addax.core.max_dim(3, 4) == 4


@pytest.mark.parametrize("page", ["extend", "export"])
def test_the_programs_of_the_docs_run(page):
    text = (pathlib.Path(__file__).parents[2] / "docs" / f"{page}.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})
