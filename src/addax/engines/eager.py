"""Eager execution: a primitive bound on concrete values runs now, on the call path that jitted functions use.

Each (primitive, parameters) gets one `_native.Fn`, so that argument conversion, the look-up by avals and the run are
C++. What runs is decided by the types and sizes alone, never by what is cached: primitives whose NumPy definition is
cheaper than a compiled program at that size run on the reference engine, all others are compiled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from addax import _native
from addax.core import tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import JaxprTrace
from addax.core.errors import UnexpectedTracerError
from addax.core.execution import CompileOptions, compile_program
from addax.core.jaxpr import ClosedJaxpr, Literal, subjaxprs
from addax.core.primitive import Primitive, Refusal
from addax.core.trace import Tracer, set_eval_rule, swap_trace
from addax.transforms.flat import LazyDebugInfo
from addax.transforms.jit import trace_to_closed

# Up to this many elements in and out, NumPy's own call overhead is all that matters.
SMALL = 2048

_LEAF = tree.structure(0)


def run_primitive(primitive: Primitive, args: tuple, params: dict[str, Any]):
    """The evaluation rule of the base trace."""
    try:
        fn = primitive.eager_cache.get(key := tuple(params.items()))
    except TypeError:  # an unhashable parameter: nothing to remember it by
        return _make_fn(primitive, params)(*args)
    if fn is None:
        if len(primitive.eager_cache) >= 1024:
            primitive.eager_cache.clear()
        fn = primitive.eager_cache[key] = _make_fn(primitive, params)
    return fn(*args)


def _make_fn(primitive: Primitive, params: dict[str, Any]):
    def compile_entry(args, kwargs):
        avals = tuple(get_aval(x) for x in args)
        out_avals = primitive.infer(avals, params)
        out_tree = tree.structure([0] * len(out_avals)) if primitive.multiple_results else _LEAF
        if runs_on_reference(primitive, params, avals, out_avals):
            executable = reference_executable(primitive, params, out_avals)
        else:
            executable = compile_program(one_equation(primitive, avals, params), CompileOptions()).executable
        return _native.Entry(executable, out_tree, None, (), avals)

    def with_tracers(*args):
        leaked = next((x for x in args if isinstance(x, Tracer)), None)
        if leaked is not None:
            raise UnexpectedTracerError(leaked)
        for x in args:
            get_aval(x)  # raises for what is not an array
        return primitive.bind(*[np.asarray(x) for x in args], **params)

    return _native.Fn(compile_entry, with_tracers, (), (), primitive.name)


def runs_on_reference(primitive: Primitive, params, avals, out_avals) -> bool:
    """Whether the NumPy definition runs this: a rule of type and size only."""
    if isinstance(primitive.reference, Refusal) or next(iter(subjaxprs(params)), None) is not None:
        return False
    return max((a.size for a in (*avals, *out_avals)), default=0) <= SMALL


def reference_executable(primitive: Primitive, params: dict[str, Any], out_avals):
    """Run the NumPy definition of one primitive on arrays."""
    reference, adopt = primitive.reference, _native.array_adopt
    storage = [storage_dtype(a) for a in out_avals]

    if not primitive.multiple_results:
        (aval,), (dtype,) = out_avals, storage

        def run(arrays):
            return [adopt(np.asarray(reference(*[x._value for x in arrays], **params), dtype), aval)]

        return run

    def run_many(arrays):
        outs = reference(*[x._value for x in arrays], **params)
        return [adopt(np.asarray(x, d), a) for x, d, a in zip(outs, storage, out_avals, strict=True)]

    return run_many


def eager_executable(closed: ClosedJaxpr):
    """What runs a small traced function eagerly (`fused`): its equations one by one in NumPy, or the compiled program."""
    jaxpr = closed.jaxpr
    small = all(
        runs_on_reference(
            e.primitive, e.params, [v.aval for v in e.invars], [v.aval for v in e.outvars]
        )
        for e in jaxpr.eqns
    )
    if not small or not jaxpr.eqns:
        return compile_program(closed, CompileOptions()).executable
    if len(jaxpr.eqns) == 1 and list(jaxpr.eqns[0].invars) == jaxpr.invars and jaxpr.eqns[0].outvars == jaxpr.outvars:
        return reference_executable(jaxpr.eqns[0].primitive, jaxpr.eqns[0].params, jaxpr.out_avals)
    return lambda arrays: _run_in_numpy(closed, arrays)


def _run_in_numpy(closed: ClosedJaxpr, arrays: list) -> list:
    jaxpr = closed.jaxpr
    env: dict = {v: np.asarray(c) for v, c in zip(jaxpr.constvars, closed.consts, strict=True)}
    env.update((v, x._value) for v, x in zip(jaxpr.invars, arrays, strict=True))

    def read(v):
        return np.asarray(v.val, v.aval.dtype) if type(v) is Literal else env[v]

    for e in jaxpr.eqns:
        out = e.primitive.reference(*map(read, e.invars), **e.params)
        for v, x in zip(e.outvars, out if e.primitive.multiple_results else [out], strict=True):
            env[v] = np.asarray(x, storage_dtype(v.aval))
    return [_native.array_from_numpy(read(v), v.aval) for v in jaxpr.outvars]


def fused(fun: Callable[..., Any]) -> Any:
    """A function of arrays whose eager calls are one dispatch in C++, and whose traced calls are inlined.

    For the small functions of ``addax.numpy`` that users call in quick succession: ``x + y``, ``jnp.maximum(x, 0)``.
    Every argument must be an array-like; the function must trace to the same program for equal avals.
    """

    def compile_entry(args, kwargs):
        leaves, in_tree = tree.flatten((args, kwargs))
        avals = [get_aval(x) for x in leaves]
        closed, out_tree = trace_to_closed(fun, in_tree, avals, LazyDebugInfo(fun, args, kwargs))
        return _native.Entry(eager_executable(closed), out_tree, None, (), tuple(avals))

    return functools.update_wrapper(_native.Fn(compile_entry, fun, (), (), fun.__name__), fun)


def storage_dtype(aval: ShapedArray):
    """How an array of this type stands in memory: keys are opaque 8-byte elements."""
    return aval.dtype if isinstance(aval.dtype, np.dtype) else np.dtype(np.uint64)


def one_equation(primitive: Primitive, avals, params) -> ClosedJaxpr:
    """The program that applies one primitive."""
    builder = JaxprTrace()
    args = [builder.new_arg(a) for a in avals]
    previous = swap_trace(builder)
    try:
        out = builder.process(primitive, tuple(args), params)
    finally:
        swap_trace(previous)
    return ClosedJaxpr(*builder.finish(out if primitive.multiple_results else [out]))


set_eval_rule(run_primitive)
