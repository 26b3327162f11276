"""``checkpoint``: a call whose intermediate values are computed again for the backward pass instead of being kept.

``optimization_barrier`` keeps the second computation from being recognised as a copy of the first; ``name`` marks values
that a policy may want to keep; ``to_memory`` moves those that a policy offloads.

A policy is ``(primitive, *avals of its operands, **params) -> said``: whether the results of such an equation are kept, or
an `Offloadable`, in which memory.
See Griewank and Walther, Evaluating Derivatives, chapter 12, for what this trades.
"""

from __future__ import annotations

from typing import NamedTuple

from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Var, dce_jaxpr, eval_jaxpr
from addax.core.trace import Trace, current_trace, set_current_trace
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import SplitTrace, split_jaxpr
from addax.interpreters.transpose import transpose_jaxpr
from addax.interpreters.values import Zero, instantiate, is_linear, move_axis
from addax.ops.call import check_call, jit_p
from addax.ops.rules import primitive, program_primitive

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
    reference=lambda x, *, name: x,
)  # fmt: skip

# ---------------------------------------------------------------------------------------------------------------------
# to_memory: the value itself, in another kind of memory of its device until it is moved back


def _to_memory_jvp(primals, tangents, *, kind):
    (x,), (t,) = primals, tangents
    return to_memory_p.bind(x, kind=kind), t  # what a derivative needs is kept by itself


to_memory_p = primitive(
    "to_memory", lambda x, *, kind: x, jvp=_to_memory_jvp, transpose=lambda ct, x, *, kind: [ct],
    batch=lambda axis, args, dims, *, kind: (to_memory_p.bind(args[0], kind=kind), dims[0]),
    reference=lambda x, *, kind: x,
)  # fmt: skip


class Offloadable(NamedTuple):
    """What a policy says of a value that is kept in memory of the kind ``dst``; see `checkpoint_policies`."""

    src: str
    dst: str


# ---------------------------------------------------------------------------------------------------------------------
# checkpoint


def _type(*avals, jaxpr: ClosedJaxpr, **_):
    check_call("checkpoint", jaxpr, avals)
    return jaxpr.out_avals


def _expand(*_, jaxpr: ClosedJaxpr, prevent_cse: bool, differentiated: bool, **__) -> ClosedJaxpr:
    """The plain program. That of a backward pass starts with a barrier: else what it computes again would be merged with
    what the forward pass computed, and kept since then after all.
    """
    if not (differentiated and prevent_cse) or not jaxpr.in_avals:
        return jaxpr
    return jaxpr.derive(_barred)


def _barred(closed: ClosedJaxpr) -> ClosedJaxpr:
    def program(*args):
        return eval_jaxpr(closed.jaxpr, closed.consts, *optimization_barrier.bind(*args))

    return ClosedJaxpr(*trace_to_jaxpr(program, closed.in_avals, closed.jaxpr.debug_info))


def _jvp(primals, tangents, *, jaxpr, **params):
    program, out_nonzero = jvp_jaxpr(jaxpr, [type(t) is not Zero for t in tangents])
    live = [t for t in tangents if type(t) is not Zero]
    outs = checkpoint_p.bind(*primals, *live, jaxpr=program, **params)
    n = len(out_nonzero)
    rest = iter(outs[n:])
    return outs[:n], [next(rest) if nz else Zero.of(x) for nz, x in zip(out_nonzero, outs[:n], strict=True)]


def _partial_eval(split: SplitTrace, args, unknown, *, jaxpr, policy, **params):
    """Now: the known results, and what the policy keeps. Later: everything else, from the known arguments on."""
    program, later, out_unknown, count = jaxpr.derive(_cut, tuple(unknown), policy)
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
    cut = split_jaxpr(jaxpr if policy is None else jaxpr.derive(inline_calls), unknown)
    count = sum(not u for u in cut.out_unknown)
    known, kept, repeated = keep_values(cut.known.jaxpr, policy)
    n_in = len(cut.known.in_avals)

    def again(*args):
        new, given, rest = args[:n_in], args[n_in : n_in + len(kept)], args[n_in + len(kept) :]
        results = eval_jaxpr(repeated, cut.known.consts, *new, *given)
        return eval_jaxpr(cut.unknown.jaxpr, cut.unknown.consts, *cut.gather(new, results), *rest)

    later_avals = [a for a, u in zip(jaxpr.in_avals, unknown, strict=True) if u]
    avals = [*cut.known.in_avals, *(v.aval for v in kept), *later_avals]
    body, consts = trace_to_jaxpr(again, avals, jaxpr.jaxpr.debug_info)
    # Effects have happened when the program ran first.
    body = body.replace(eqns=[e for e in body.eqns if not (e.effects and not e.outvars)], effects=None)
    body, used = dce_jaxpr(body, [True] * len(body.outvars))
    needed = [v for v, u in zip(kept, used[n_in:], strict=False) if u]
    at_kept = range(n_in, n_in + len(kept))
    invars = [v for i, (v, u) in enumerate(zip(body.invars, used, strict=True)) if u or i not in at_kept]
    later = ClosedJaxpr(body.replace(invars=invars), consts)
    outvars = [*known.outvars[:count], *needed]
    now_body, _ = dce_jaxpr(known.replace(outvars=outvars), [True] * len(outvars))
    now = ClosedJaxpr(now_body.replace(invars=known.invars), cut.known.consts)
    return now, later, cut.out_unknown, count


def keep_values(jaxpr: Jaxpr, policy) -> tuple[Jaxpr, list[Var], Jaxpr]:
    """Let a policy choose among the values of a program, and among those in the bodies of its scans.

    Returns:
      the program, whose scans stack what is kept of their turns as further results; the kept variables; and the program
      to be run again, which takes those as further inputs and does not compute them.
    """
    kept: list[Var] = []
    offloaded: dict[Var, tuple[Var, Offloadable]] = {}
    now, again = [], []
    for eqn in jaxpr.eqns:
        stacked: list[Var] = []
        said = policy is not None and policy(eqn.primitive, *[x.aval for x in eqn.invars], **eqn.params)
        if isinstance(said, Offloadable):
            offloaded.update((v, (Var(v.aval), said)) for v in eqn.outvars if type(v) is Var)
        elif said:
            kept += [v for v in eqn.outvars if type(v) is Var]
        elif policy is not None and eqn.primitive.name == "scan":
            body, length = inline_calls(eqn.params["jaxpr"]), eqn.params["length"]
            first, inner, repeated = keep_values(body.jaxpr, policy)
            if inner:
                stacked = [Var(v.aval.update(shape=(length, *v.aval.shape))) for v in inner]
                first = ClosedJaxpr(first.replace(outvars=[*first.outvars, *inner]), body.consts)
                repeated = ClosedJaxpr(repeated, body.consts)
                now.append(eqn.replace(params=eqn.params | {"jaxpr": first}, outvars=[*eqn.outvars, *stacked]))
                again.append(eqn.replace(params=eqn.params | {"jaxpr": repeated}, invars=[*eqn.invars, *stacked]))
                kept += stacked
        if not stacked:
            now.append(eqn)
            again.append(eqn)
    given = {*kept, *offloaded}
    again = [e.replace(outvars=[DropVar(v.aval) if v in given else v for v in e.outvars]) for e in again]
    now += [Eqn(to_memory_p, [v], [there], {"kind": said.dst}) for v, (there, said) in offloaded.items()]
    back = [Eqn(to_memory_p, [there], [v], {"kind": said.src}) for v, (there, said) in offloaded.items()]
    kept += [there for there, _ in offloaded.values()]
    return jaxpr.replace(eqns=now), kept, jaxpr.replace(eqns=[*back, *again], invars=[*jaxpr.invars, *kept])


class _InlineTrace(Trace):
    """Writes called programs out where they are called."""

    def __init__(self, builder: Trace):
        self.builder = builder

    def process(self, primitive, args, params):
        if primitive is jit_p:
            return eval_jaxpr(params["jaxpr"].jaxpr, params["jaxpr"].consts, *args)
        return self.builder.process(primitive, args, params)


def inline_calls(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program with its nested ``jit`` calls written out, so that a policy sees what is in them."""
    if not any(e.primitive is jit_p for e in closed.jaxpr.eqns):
        return closed

    def program(*args):
        with set_current_trace(_InlineTrace(current_trace())):
            return eval_jaxpr(closed.jaxpr, closed.consts, *args)

    return ClosedJaxpr(*trace_to_jaxpr(program, closed.in_avals, closed.jaxpr.debug_info))


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


checkpoint_p = program_primitive(
    "checkpoint", _type, jvp=_jvp, partial_eval=_partial_eval, transpose=_transpose, batch=_batch,
    effects=lambda *_, jaxpr, **__: jaxpr.effects, expand=_expand,
)  # fmt: skip
