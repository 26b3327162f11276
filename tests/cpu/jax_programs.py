"""JAX as a generator of programs and as the oracle: its jaxprs translated into ours, equation by equation.

The CPU engine is tested below the public API, so a fault shows up as the engine's and nobody else's.
"""

from __future__ import annotations

import jax
import jax.extend.core as jex
import numpy as np

import addax  # noqa: F401 - registers the primitives
from addax import _native
from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from addax.core.primitive import Primitive, registry
from addax.engines.cpu import cpu_engine

# Parameters JAX adds with a neutral value to primitives whose definitions here do not take them.
NEUTRAL = ("out_dtype", "accuracy", "out_sharding", "sharding")


def is_key(x) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def aval_of(a) -> ShapedArray:
    return ShapedArray(tuple(a.shape), dtypes.key_fry if is_key(a) else a.dtype)


FOREIGN: dict[str, Primitive] = {}  # JAX's own, which stay out of our registry: other tests walk through it


def primitive_named(name: str, multiple_results: bool) -> Primitive:
    if name in registry:
        return registry[name]
    if name not in FOREIGN:
        p = FOREIGN[name] = Primitive(name, multiple_results=multiple_results)
        registry.pop(name)
        if name in ("pjit", "closed_call"):
            p.expand = lambda *_, **params: params.get("jaxpr") or params["call_jaxpr"]
        elif name in ("checkpoint", "remat2"):
            p.expand = lambda *_, jaxpr, **__: ClosedJaxpr(jaxpr, ())
    return FOREIGN[name]


def translate_param(v):
    if isinstance(v, jex.ClosedJaxpr):
        return translate(v)
    if isinstance(v, jex.Jaxpr):
        return translate_jaxpr(v)
    if isinstance(v, tuple) and v and isinstance(v[0], jex.ClosedJaxpr):
        return tuple(map(translate, v))
    return v


def translate_jaxpr(jaxpr) -> Jaxpr:
    env: dict = {}

    def define(v):
        env[v] = Var(aval_of(v.aval))
        return env[v]

    def read(v):
        if isinstance(v, jex.Literal):
            return Literal(np.asarray(v.val)[()], aval_of(v.aval))
        return env[v]

    constvars, invars = [define(v) for v in jaxpr.constvars], [define(v) for v in jaxpr.invars]
    eqns = []
    for e in jaxpr.eqns:
        ins = [read(x) for x in e.invars]
        params = {k: translate_param(v) for k, v in e.params.items() if k not in NEUTRAL[:2] or v is not None}
        p = primitive_named(e.primitive.name, e.primitive.multiple_results)
        eqns.append(Eqn(p, ins, [define(v) for v in e.outvars], params, frozenset(map(str, e.effects))))
    return Jaxpr(constvars, invars, [read(x) for x in jaxpr.outvars], eqns)


def translate(closed) -> ClosedJaxpr:
    return ClosedJaxpr(translate_jaxpr(closed.jaxpr), [to_array(c) for c in closed.consts])


def to_array(x):
    """An addax array with the elements of a JAX or NumPy one; keys become opaque words."""
    if isinstance(x, jax.Array) and is_key(x):
        words = np.asarray(jax.random.key_data(x)).view(np.uint64)[..., 0]
        return _native.array_from_numpy(words, aval_of(x))
    x = np.asarray(x)
    return _native.array_from_numpy(x, ShapedArray(x.shape, x.dtype))


def program(f, *args) -> ClosedJaxpr:
    """The program JAX traces ``f`` to, as ours."""
    return translate(jax.make_jaxpr(lambda *a: jax.tree.leaves(f(*a)))(*args))


def compiled(f, *args, donated=()):
    """``(executable, arrays)``: the program compiled by our engine, and its arguments."""
    closed = program(f, *args)
    return cpu_engine.compile(closed, CompileOptions(donated=donated)), [to_array(x) for x in jax.tree.leaves(args)]


def host_value(x) -> np.ndarray:
    if isinstance(x, jax.Array) and is_key(x):
        return np.asarray(jax.random.key_data(x)).view(np.uint64)[..., 0]
    return np.asarray(x)


def agree(f, *args, tol: float = 2e-5):
    """Run ``f`` through JAX and through our engine, compare all results, and return our executable."""
    expected = [host_value(x) for x in jax.tree.leaves(jax.jit(f)(*args))]
    executable, arrays = compiled(f, *args)
    results = [np.asarray(getattr(x, "_value", x)) for x in executable.executable(arrays)]
    assert len(results) == len(expected)
    for i, (got, want) in enumerate(zip(results, expected, strict=True)):
        assert (got.shape, got.dtype) == (want.shape, want.dtype), i
        if want.dtype.kind in "fcV":
            small = want.dtype.itemsize < 4
            wide = np.complex128 if want.dtype.kind == "c" else np.float64
            got, want = got.astype(wide), want.astype(wide)
            finite = np.abs(want[np.isfinite(want)])
            scale = max(1e-3, float(finite.max(initial=0)))
            t = 2e-2 if small else tol
            np.testing.assert_allclose(got, want, rtol=t, atol=t * scale, err_msg=f"result {i}")
        else:
            np.testing.assert_array_equal(got, want, err_msg=f"result {i}")
    return executable
