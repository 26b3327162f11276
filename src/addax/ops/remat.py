"""``checkpoint``: a call whose intermediate values are computed again for the backward pass instead of being kept.

``optimization_barrier`` keeps the second computation from being recognised as a copy of the first; ``name`` marks values
that a policy may want to keep.

A policy is ``(primitive, *avals of its operands, **params) -> bool``: whether the results of such an equation are kept.
See Griewank and Walther, Evaluating Derivatives, chapter 12, for what this trades.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax.core.builder import JaxprTrace
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, Var, dce_jaxpr, eval_jaxpr
from addax.core.primitive import Primitive
from addax.core.trace import swap_trace
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import SplitTrace, split_jaxpr
from addax.interpreters.transpose import transpose_jaxpr
from addax.interpreters.values import Zero, instantiate, is_linear, move_axis
from addax.ops.call import check_call, jit_p
from addax.ops.rules import primitive

# ---------------------------------------------------------------------------------------------------------------------
# optimization_barrier: its results are its operands; nothing is moved, merged or dropped across it


def _barrier_jvp(primals, tangents):
    outs = optimization_barrier.bind(*primals)
    live = [instantiate(t) for t in tangents if type(t) is not Zero]
    moved = iter(optimization_barrier.bind(*live) if live else [])
    return outs, [Zero.of(x) if type(t) is Zero else next(moved) for t, x in zip(tangents, outs, strict=True)]


def _barrier_transpose(cts, *args):
    live = iter(optimization_barrier.bind(*(c for c in cts if type(c) is not Zero)))
    back = [None if type(c) is Zero else next(live) for c in cts]
    return [c if is_linear(x) else None for c, x in zip(back, args, strict=True)]


optimization_barrier = primitive(
    "optimization_barrier", lambda *xs: list(xs), jvp=_barrier_jvp, transpose=_barrier_transpose,
    batch=lambda axis, args, dims: (optimization_barrier.bind(*args), dims), reference=lambda *xs: list(xs),
    cpu="removed by simplify",
    multiple_results=True,
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------------
# name: the value itself, with a name for policies


def _name_jvp(primals, tangents, *, name):
    (x,), (t,) = primals, tangents
    return name_p.bind(x, name=name), t


name_p = primitive(
    "name", lambda x, *, name: x, jvp=_name_jvp, transpose=lambda ct, x, *, name: [ct],
    batch=lambda axis, args, dims, *, name: (name_p.bind(args[0], name=name), dims[0]),
    reference=lambda x, *, name: x, cpu="copy",
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------------
# checkpoint

checkpoint_p = Primitive("checkpoint", multiple_results=True, cache_types=False)


def _type(*avals, jaxpr: ClosedJaxpr, **_):
    check_call("checkpoint", jaxpr, avals)
    return jaxpr.out_avals


def _expand(*_, jaxpr: ClosedJaxpr, prevent_cse: bool, differentiated: bool, **__) -> ClosedJaxpr:
    """The plain program. That of a backward pass starts with a barrier: else what it computes again would be merged with
    what the forward pass computed, and kept since then after all.
    """
    if not (differentiated and prevent_cse) or not jaxpr.in_avals:
        return jaxpr
    found = jaxpr.cache.get(_expand)
    if found is None:
        builder = JaxprTrace(debug_info=jaxpr.jaxpr.debug_info)
        args = [builder.new_arg(a) for a in jaxpr.in_avals]
        previous = swap_trace(builder)
        try:
            outs = eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, *optimization_barrier.bind(*args))
        finally:
            swap_trace(previous)
        found = jaxpr.cache[_expand] = ClosedJaxpr(*builder.finish(outs))
    return found


def _jvp(primals, tangents, *, jaxpr, **params):
    program, out_nonzero = jvp_jaxpr(jaxpr, [type(t) is not Zero for t in tangents])
    live = [t for t in tangents if type(t) is not Zero]
    outs = checkpoint_p.bind(*primals, *live, jaxpr=program, **params)
    n = len(out_nonzero)
    rest = iter(outs[n:])
    return outs[:n], [next(rest) if nz else Zero.of(x) for nz, x in zip(out_nonzero, outs[:n], strict=True)]


def _partial_eval(split: SplitTrace, args, unknown, *, jaxpr, policy, **params):
    """Now: the known results, and what the policy keeps. Later: everything else, from the known arguments on."""
    program, later, out_unknown, count = _cut(jaxpr, tuple(unknown), policy)
    known_args = [x for x, u in zip(args, unknown, strict=True) if not u]
    now = (
        split.run_now(checkpoint_p, known_args, dict(params, jaxpr=program, policy=policy)) if program.out_avals else []
    )
    later_args = [*known_args, *now[count:], *(x for x, u in zip(args, unknown, strict=True) if u)]
    outs = iter(
        split.write_later(checkpoint_p, later_args, dict(params, jaxpr=later, policy=policy, differentiated=True))
    )
    known = iter(now[:count])
    return [next(outs) if u else next(known) for u in out_unknown]


def _cut(jaxpr: ClosedJaxpr, unknown: tuple[bool, ...], policy) -> tuple[ClosedJaxpr, ClosedJaxpr, list[bool], int]:
    """``(what runs now, what runs later, which results are later's, how many known results there are)``.

    The first gives the known results and then the kept values; the second takes the known arguments, the kept values and
    the unknown arguments.
    """
    key = (_cut, unknown, policy)
    if key in jaxpr.cache:
        return jaxpr.cache[key]
    cut = split_jaxpr(jaxpr if policy is None else inline_calls(jaxpr), unknown)
    known = cut.known.jaxpr
    count = sum(not u for u in cut.out_unknown)
    kept: list[Var] = []
    if policy is not None:
        for eqn in known.eqns:
            if policy(eqn.primitive, *[x.aval for x in eqn.invars], **eqn.params):
                kept += [v for v in eqn.outvars if type(v) is Var]
    n_in = len(cut.known.in_avals)

    builder = JaxprTrace(debug_info=jaxpr.jaxpr.debug_info)
    new = [builder.new_arg(a) for a in cut.known.in_avals]
    given = [builder.new_arg(v.aval) for v in kept]
    rest = [builder.new_arg(a) for a, u in zip(jaxpr.in_avals, unknown, strict=True) if u]
    previous = swap_trace(builder)
    try:
        results = _recompute(cut.known, new, dict(zip(kept, given, strict=True)))
        outs = eval_jaxpr(cut.unknown.jaxpr, cut.unknown.consts, *cut.gather(new, results), *rest)
    finally:
        swap_trace(previous)
    body, consts = builder.finish(outs)
    # Effects have happened when the program ran first.
    body = body.replace(eqns=[e for e in body.eqns if not (e.effects and not e.outvars)], effects=None)
    body, used = dce_jaxpr(body, [True] * len(outs))
    needed = [v for v, u in zip(kept, used[n_in:], strict=False) if u]
    at_kept = range(n_in, n_in + len(kept))
    invars = [v for i, (v, u) in enumerate(zip(body.invars, used, strict=True)) if u or i not in at_kept]
    later = ClosedJaxpr(body.replace(invars=invars), consts)
    outvars = [*known.outvars[:count], *needed]
    now_body, _ = dce_jaxpr(known.replace(outvars=outvars), [True] * len(outvars))
    now = ClosedJaxpr(now_body.replace(invars=known.invars), cut.known.consts)
    result = jaxpr.cache[key] = now, later, cut.out_unknown, count
    return result


def _recompute(closed: ClosedJaxpr, args, given: dict[Var, Any]) -> list:
    """Run a program in which the values of some variables are given."""
    jaxpr: Jaxpr = closed.jaxpr
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    read: Callable[[Any], Any] = lambda x: x.val if type(x) is Literal else env[x]  # noqa: E731
    for eqn in jaxpr.eqns:
        outs = eqn.primitive.bind(*map(read, eqn.invars), **eqn.params)
        for v, x in zip(eqn.outvars, outs if eqn.primitive.multiple_results else [outs], strict=True):
            env[v] = given.get(v, x)
    return [read(x) for x in jaxpr.outvars]


def inline_calls(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program with its nested ``jit`` calls written out, so that a policy sees what is in them."""
    if not any(e.primitive is jit_p for e in closed.jaxpr.eqns):
        return closed
    found = closed.cache.get(inline_calls)
    if found is None:
        builder = JaxprTrace(debug_info=closed.jaxpr.debug_info)
        args = [builder.new_arg(a) for a in closed.in_avals]
        previous = swap_trace(builder)
        try:
            outs = _run_inlined(closed, args)
        finally:
            swap_trace(previous)
        found = closed.cache[inline_calls] = ClosedJaxpr(*builder.finish(outs))
    return found


def _run_inlined(closed: ClosedJaxpr, args) -> list:
    jaxpr = closed.jaxpr
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    read: Callable[[Any], Any] = lambda x: x.val if type(x) is Literal else env[x]  # noqa: E731
    for eqn in jaxpr.eqns:
        operands = list(map(read, eqn.invars))
        if eqn.primitive is jit_p:
            outs = _run_inlined(eqn.params["jaxpr"], operands)
        else:
            outs = eqn.primitive.bind(*operands, **eqn.params)
            outs = outs if eqn.primitive.multiple_results else [outs]
        env.update(zip(eqn.outvars, outs, strict=True))
    return [read(x) for x in jaxpr.outvars]


def _transpose(cts, *args, jaxpr, **params):
    linear = [is_linear(x) for x in args]
    program, nonzero = transpose_jaxpr(jaxpr, linear, [type(c) is not Zero for c in cts])
    inputs = [x for x in args if not is_linear(x)] + [c for c in cts if type(c) is not Zero]
    outs = iter(checkpoint_p.bind(*inputs, jaxpr=program, **params))
    flags = iter(nonzero)
    return [next(outs) if lin and next(flags) else None for lin in linear]


def _batch(axis, args, dims, *, jaxpr, **params):
    program, out_batched = batch_jaxpr(jaxpr, axis, [d is not None for d in dims])
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    return checkpoint_p.bind(*moved, jaxpr=program, **params), [0 if b else None for b in out_batched]


checkpoint_p.abstract_eval = _type
checkpoint_p.effects = lambda *_, jaxpr, **__: jaxpr.effects
checkpoint_p.jvp = _jvp
checkpoint_p.partial_eval = _partial_eval
checkpoint_p.transpose = _transpose
checkpoint_p.batch = _batch
checkpoint_p.expand = _expand
