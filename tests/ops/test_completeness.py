"""Every primitive has every rule, or says why not; and every primitive is met by the laws.

The laws run over the sample tables of this directory. What cannot be a row of those (primitives that contain programs,
that have no array operands, that exist only under a named axis) is a program in `PROGRAMS` here, with the same laws:
eager = jit = definition, vmap = a loop, jvp and vjp = finite differences to order 2, no second trace.
"""

import functools
import re
import typing

import numpy as np
import pytest
from samples import SAMPLES
from samples_layout import GATHER_SAMPLES, LAYOUT_SAMPLES, SCATTER_SAMPLES
from samples_reduce import SAMPLES as REDUCE_SAMPLES

import addax
import addax.custom_batching
import addax.export
import addax.numpy as jnp
import addax.sharding  # like the two above, a module that declares a primitive, and is loaded when it is asked for
from addax import lax
from addax.core.jaxpr import subjaxprs
from addax.core.primitive import Refusal, registry
from addax.engines.cpu.executable import cpu_engine
from addax.engines.reference import interpret

SAMPLED = {s.name for t in (SAMPLES, LAYOUT_SAMPLES, GATHER_SAMPLES, SCATTER_SAMPLES, REDUCE_SAMPLES) for s in t}


class Program(typing.NamedTuple):
    """``fun(*args)``, which uses the primitives ``names``; ``order``: how often it can be differentiated."""

    names: str
    fun: typing.Callable
    args: tuple
    order: int = 0
    batched: bool = True


V = np.array([0.3, -1.2, 0.8])
M = np.array([[2.0, 0.3, -0.1], [0.3, 1.5, 0.2], [-0.1, 0.2, 1.1]])
KEYS = (np.array([1, 2], np.uint32),)


@addax.custom_jvp
def own_jvp(x):
    return jnp.sin(x)


own_jvp.defjvp(lambda primals, tangents: (own_jvp(*primals), jnp.cos(primals[0]) * tangents[0]))


@addax.custom_vjp
def own_vjp(x):
    return jnp.tanh(x)


own_vjp.defvjp(lambda x: (jnp.tanh(x), jnp.tanh(x)), lambda y, ct: (ct * (1 - y * y),))


def over_axis(f):
    """``f`` of one row at a time, which may talk to the other rows over the axis ``i``."""
    return addax.vmap(f, axis_name="i")


def solved(a, b):
    return lax.custom_linear_solve(
        lambda x: a @ x,
        b,
        solve=lambda mv, b: jnp.linalg.solve(a, b),
        transpose_solve=lambda mv, b: jnp.linalg.solve(a.T, b),
    )


def key_of(data):
    return addax.random.wrap_key_data(data)


def in_python(f):
    """``f`` by way of the host."""
    return lambda x: addax.pure_callback(f, addax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")


def turned(x):
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1]) * x), (0, x))[1]


RING = [(0, 1), (1, 2), (2, 0)]
OFFLOADED = addax.checkpoint(
    lambda x: jnp.sin(addax.ad_checkpoint.checkpoint_name(jnp.sin(x), "kept")),
    policy=addax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=["kept"],
        offload_src="device",
        offload_dst="pinned_host",
    ),
)

PROGRAMS = [
    Program("jit", lambda x: addax.jit(jnp.sin)(x) * x, (V,), 2),
    Program("cond", lambda x, y: lax.cond(x[0] > 0, lambda a, b: jnp.sin(a) * b, lambda a, b: a - b, x, y), (V, V * 2), 2),
    Program("scan", lambda x: lax.scan(lambda c, y: (jnp.sin(c) * y, c * c), x[0], x), (V,), 2),
    Program("while", turned, (V,), 2),
    Program("replay", lambda x, y: addax.vjp(turned, x)[1](y)[0], (V, V * 2), 2),
    Program("checkpoint", addax.checkpoint(lambda x: jnp.sin(jnp.sin(x) * x)), (V,), 2),
    Program("name", lambda x: jnp.sin(addax.ad_checkpoint.checkpoint_name(x * x, "square")), (V,), 2),
    Program("to_memory", addax.grad(lambda x: OFFLOADED(x).sum()), (V,), 2),
    Program("optimization_barrier", lambda x: lax.optimization_barrier((jnp.sin(x), x * x)), (V,), 2),
    Program("custom_jvp_call", own_jvp, (V,), 2),
    Program("custom_vjp_call custom_lin", own_vjp, (V,), 2),
    Program("custom_linear_solve", solved, (M, V), 2),
    Program("iota", lambda x: x * lax.iota(x.dtype, 3), (V,), 1),
    Program("empty", lambda x: lax.empty((3,), x.dtype) * 0 == 1, (V,)),
    Program("platform_index", lambda x: lax.platform_dependent(x, cpu=jnp.sin, tpu=jnp.cos, default=jnp.tan), (V,), 2),
    Program("cholesky_update", lambda x: lax.linalg.cholesky_update(jnp.linalg.cholesky(jnp.asarray(M), upper=True), x), (V,),
            batched=False),
    Program("geqrf", lambda a: lax.linalg.geqrf(a), (M,)),
    Program("lu_pivots_to_permutation", lambda p: lax.linalg.lu_pivots_to_permutation(p, 3), (np.array([2, 1, 2], np.int32),)),
    Program("scatter-apply", lambda x: jnp.asarray(x).at[np.array([0, 2])].apply(jnp.sin), (V,)),
    Program("random_wrap random_unwrap", lambda k: addax.random.key_data(key_of(k)), KEYS),
    Program("random_seed random_unwrap", lambda s: addax.random.key_data(addax.random.key(s)), (np.uint32(7),)),
    Program("random_split", lambda k: addax.random.key_data(addax.random.split(key_of(k), 3)), KEYS),
    Program("random_fold_in", lambda k, d: addax.random.key_data(addax.random.fold_in(key_of(k), d)), (*KEYS, np.uint32(5))),
    Program("random_clone", lambda k: addax.random.key_data(addax.random.clone(key_of(k))), KEYS),
    Program("random_bits", lambda k: addax.random.bits(key_of(k), (5,)), KEYS),
    Program("threefry2x32", lambda k: registry["threefry2x32"].bind(k[0], k[1], k * 2, k + 1), KEYS),
    Program("pure_callback", in_python(np.sin), (V,)),
    Program("psum", over_axis(lambda x: lax.psum(jnp.sin(x), "i") * x), (V,), 2),
    Program("pmax", over_axis(lambda x: lax.pmax(x, "i")), (V,)),
    Program("pmin", over_axis(lambda x: lax.pmin(x, "i")), (V,)),
    Program("ppermute", over_axis(lambda x: lax.ppermute(jnp.sin(x), "i", RING)), (V,), 2),
    Program("all_gather", over_axis(lambda x: lax.all_gather(x, "i") * x), (V,), 2),
    Program("all_to_all", over_axis(lambda x: lax.all_to_all(x * x, "i", 0, 0)), (M,), 2),
    Program("reduce_scatter", over_axis(lambda x: lax.psum_scatter(x * x, "i")), (M,), 2),
    Program("axis_index", over_axis(lambda x: x * lax.axis_index("i")), (V,), 1),
]  # fmt: skip

# Met elsewhere: effects have no laws of values, types of shards are tested under shard_map.
ELSEWHERE = {
    "check": "an effect: tests of checkify",
    "inspect_sharding": "tests of shardings",
    "linear_call": "a rule of the user: tests of custom derivatives",
    "custom_vmap_call": "a rule of the user: tests of custom batching",
    "debug_callback": "an effect: tests of addax.debug",
    "dim_as_value": "of programs with symbolic sizes: tests of those",
    "io_callback": "an effect: tests of callbacks",
    "pvary": "the type of a shard: tests of shard_map",
    "all_gather_invariant": "the type of a shard: tests of shard_map",
    "sharding_constraint": "tests of shardings",
    "shard_map": "a call: tests of shard_map",
}


# Those that stand here when tests are collected: other tests declare some of their own as they run.
PRIMITIVES = dict(sorted(registry.items()))
COLLECTIVE = {name for name, p in PRIMITIVES.items() if p.axis_rule is not None}  # only under a named axis
IN_PYTHON = {"debug_callback", "io_callback", "pure_callback"}
# Primitives without a kernel of their own on the CPU: run by their NumPy definition, or made into others first.
BY_DEFINITION = set(
    "approx_top_k bessel_i0e bessel_i1e cholesky_update eig eigh fft geqrf hessenberg householder_product igamma igamma_grad_a "
    "igammac lu_pivots_to_permutation ormqr polygamma qr random_gamma_grad random_gamma_grad_a reduce reduce_window "
    "regularized_incomplete_beta scatter-apply schur svd symmetric_product tridiagonal tridiagonal_solve zeta".split()
)
SIMPLIFIED = set(
    "name optimization_barrier random_clone random_fold_in random_seed reduce_window_max reduce_window_min reduce_window_sum "
    "select_and_gather_add select_and_scatter_add to_memory".split()
)


def test_every_primitive_is_met_by_the_laws():
    programs = {name for p in PROGRAMS for name in p.names.split()}
    missing = set(PRIMITIVES) - SAMPLED - programs - set(ELSEWHERE)
    assert not missing, f"add a sample row or a program for {missing}"
    assert not (SAMPLED | programs) - set(PRIMITIVES)


def rules():
    for name, p in PRIMITIVES.items():
        for rule in ("abstract_eval", "jvp", "transpose", "batch", "reference"):
            yield name, p, rule, getattr(p, rule)


def test_every_rule_is_present_or_refused_with_a_reason():
    for name, _, rule, value in rules():
        assert callable(value), (name, rule)
        if isinstance(value, Refusal):
            assert len(value.reason.split()) > 3, (name, rule, value.reason)


def test_no_rule_is_merely_missing():
    """The reasons that primitives are born with say that nobody thought of the rule, except that of transposes."""
    absent = {
        (name, rule)
        for name, p, rule, value in rules()
        if isinstance(value, Refusal) and re.fullmatch(f"{re.escape(name)} has no (type|differentiation|batching) rule", value.reason)
        and not (rule == "batch" and name in COLLECTIVE)
    }  # fmt: skip
    assert not absent


def test_every_primitive_can_be_evaluated():
    for name, p, rule, value in rules():
        if rule == "reference" and isinstance(value, Refusal):
            assert name in interpret.CONTROL or p.expand is not None or name in COLLECTIVE, name


def test_every_primitive_is_lowered_to_the_cpu():
    for name, p, rule, _ in rules():
        if rule == "jvp":
            assert cpu_engine.is_native(p) != (name in COLLECTIVE | IN_PYTHON | BY_DEFINITION | SIMPLIFIED), name


# ---------------------------------------------------------------------------------------------------------------------

by_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.names)


@pytest.fixture(autouse=True)
def _x64():
    with addax.enable_x64(True):
        yield


def flat(out) -> list[np.ndarray]:
    return [np.asarray(x) for x in addax.tree.leaves(out)]


def same(got, want, tolerance=1e-12):
    got, want = flat(got), flat(want)
    assert [(a.shape, a.dtype) for a in got] == [(b.shape, b.dtype) for b in want]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def used(jaxpr) -> set[str]:
    names = {e.primitive.name for e in jaxpr.eqns}
    return names.union(*(used(j) for e in jaxpr.eqns for j in subjaxprs(e.params)))


@by_program
def test_eager_jit_and_definition_agree(program):
    traces = []

    def f(*args):
        traces.append(1)
        return program.fun(*args)

    eager, compiled = program.fun(*map(jnp.asarray, program.args)), addax.jit(f)
    if program.names != "empty":
        with addax.disable_jit():
            same(eager, program.fun(*map(jnp.asarray, program.args)))
    same(compiled(*program.args), eager)
    same(compiled(*program.args), eager)
    assert len(traces) == 1


@by_program
def test_program_uses_what_it_is_for(program):
    fun = program.fun
    if program.order:
        fun = functools.partial(addax.linearize, fun)
        text = str(addax.make_jaxpr(lambda *xs: addax.jvp(program.fun, xs, xs))(*program.args))
    names = used(addax.make_jaxpr(program.fun)(*program.args).jaxpr)
    for name in program.names.split():
        inside = registry[name].axis_rule is not None  # vmap turns collectives into what they mean
        assert name in names or inside or (program.order and name in text), names


@by_program
def test_vmap_is_a_loop(program):
    if not program.batched:
        pytest.skip("its batch is not that of its examples")
    for position in range(len(program.args)):
        rows = []
        for k in range(3):
            args = list(program.args)
            x = np.asarray(args[position])
            args[position] = (x * (1 + 0.1 * k)).astype(x.dtype) if x.dtype.kind == "f" else (x if k else x + 0)
            rows.append(args)
        stacked = list(program.args)
        stacked[position] = np.stack([r[position] for r in rows], -1)
        axes = [None] * len(stacked)
        axes[position] = np.ndim(stacked[position]) - 1
        got = addax.vmap(program.fun, in_axes=tuple(axes))(*stacked)
        want = [np.stack(parts) for parts in zip(*[flat(program.fun(*r)) for r in rows], strict=True)]
        same(got, want, 1e-10)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if p.order], ids=lambda p: p.names)
def test_derivatives_are_finite_differences(program):
    directions = [np.cos(np.arange(np.size(x)) + 1.0).reshape(np.shape(x)) for x in program.args]
    fun = lambda *xs: flat_tracers(program.fun(*xs))  # noqa: E731
    for _ in range(program.order):
        derivative = functools.partial(lambda f, *xs: addax.jvp(f, xs, directions)[1], fun)
        step = 1e-5
        ahead = flat(fun(*[x + step * d for x, d in zip(program.args, directions, strict=True)]))
        behind = flat(fun(*[x - step * d for x, d in zip(program.args, directions, strict=True)]))
        slope = [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
        tangent = derivative(*program.args)
        same(tangent, slope, 1e-7)
        outs, pull = addax.vjp(fun, *program.args)
        cts = [np.sin(np.arange(np.size(y)) + 2.0).reshape(np.shape(y)) for y in outs]
        left = sum(np.vdot(g, d) for g, d in zip(flat(pull(cts)), directions, strict=True))
        right = sum(np.vdot(c, t) for c, t in zip(cts, flat(tangent), strict=True))
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)
        fun = derivative


def flat_tracers(out) -> list:
    return [x for x in addax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.floating)]
