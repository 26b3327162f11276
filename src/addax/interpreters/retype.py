"""Programs inside programs, and the mesh axes along which their values vary (core/varying.py).

A called program is traced at the types of its operands. When a transformation calls it with operands that vary along more
axes, it is written again at those types, which puts `pvary` where it is needed; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from addax.core.builder import JaxprTracer, trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.trace import current_trace
from addax.core.varying import INVARIANT, join, set_program_rule, vary

Vmas = Sequence[frozenset]


def vmas(avals) -> list[frozenset]:
    return [getattr(a, "vma", INVARIANT) for a in avals]


def retyped(closed: ClosedJaxpr, ins: Vmas, outs: Vmas | None = None) -> ClosedJaxpr:
    """The program with inputs (and at least such results, if ``outs`` is given) that vary along these axes. Memoised."""
    have = vmas(closed.out_avals)
    if vmas(closed.in_avals) == list(ins) and (outs is None or all(map(frozenset.__ge__, have, outs))):
        return closed
    return closed.derive(_retyped_program, tuple(ins), None if outs is None else tuple(outs))


def _retyped_program(closed: ClosedJaxpr, ins: tuple[frozenset, ...], outs: tuple[frozenset, ...] | None):
    def program(*args):
        results = eval_jaxpr(closed.jaxpr, closed.consts, *args)
        return results if outs is None else [vary(_own_value(x, w), w) for x, w in zip(results, outs, strict=True)]

    avals = [a.update(vma=v) if hasattr(a, "vma") else a for a, v in zip(closed.in_avals, ins, strict=True)]
    return ClosedJaxpr(*trace_to_jaxpr(program, avals, closed.jaxpr.debug_info))


def _own_value(x, wanted: frozenset):
    """A result as a value of the program that is traced: a constant that has to vary needs a variable."""
    trace: Any = current_trace()
    if not wanted or getattr(x, "_trace", None) is trace:
        return x
    atom = trace.lift(x)
    return JaxprTracer(trace, atom.aval, atom)


def any_varies(operands: Vmas, *programs: ClosedJaxpr) -> bool:
    return any(operands) or any(any(vmas(p.in_avals)) or any(vmas(p.out_avals)) for p in programs)


def of_call(param: str):
    """The `Primitive.varying` of a primitive that applies the program in one of its parameters to its operands."""

    def rule(operands, params):
        closed = params[param]
        if not any_varies(operands, closed):
            return None
        wanted = list(map(frozenset.union, operands, vmas(closed.in_avals)))
        program = retyped(closed, wanted)
        return wanted, {**params, param: program}, vmas(program.out_avals)

    return rule


def of_programs(operands, params):
    """Everything varies alike, in all programs among the parameters as well."""
    union = join(operands)
    if not union:
        return None
    programs = {k: retyped(p, [union] * len(p.in_avals)) for k, p in params.items() if isinstance(p, ClosedJaxpr)}
    return [union] * len(operands), {**params, **programs}, union


def of_scan(operands, params):
    """The carry varies along all axes along which it does after a turn."""
    closed, n = params["jaxpr"], params["num_consts"]
    k = n + params["num_carry"]
    if not any_varies(operands, closed):
        return None
    wanted = list(map(frozenset.union, operands, vmas(closed.in_avals)))
    program = retyped(closed, wanted)
    while True:
        after = vmas(program.out_avals)[: k - n]
        if all(map(frozenset.__ge__, wanted[n:k], after)):
            break
        wanted[n:k] = map(frozenset.union, wanted[n:k], after)
        program = retyped(closed, wanted)
    outs = [*wanted[n:k], *vmas(program.out_avals)[k - n :]]
    return wanted, {**params, "jaxpr": retyped(closed, wanted, outs)}, outs


def of_while(operands, params):
    """Where devices may leave the loop at different times, all that it carries varies."""
    condition, body = params["cond_jaxpr"], params["body_jaxpr"]
    c, k = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    if not any_varies(operands, condition, body):
        return None
    own = [*vmas(condition.in_avals)[:c], *vmas(body.in_avals)]
    wanted = list(map(frozenset.union, operands, own))
    while True:
        test, step = retyped(condition, [*wanted[:c], *wanted[k:]]), retyped(body, wanted[c:])
        after = [v | join(vmas(test.out_avals)) for v in vmas(step.out_avals)]
        if all(map(frozenset.__ge__, wanted[k:], after)):
            break
        wanted[k:] = map(frozenset.union, wanted[k:], after)
    step = retyped(body, wanted[c:], wanted[k:])
    return wanted, {**params, "cond_jaxpr": test, "body_jaxpr": step}, wanted[k:]


def of_cond(operands, params):
    """Where devices may take different branches, all operands and results vary."""
    branches = params["branches"]
    if not any_varies(operands, *branches):
        return None
    index, *rest = operands
    wanted = [join([index, *each]) for each in zip(rest, *(vmas(b.in_avals) for b in branches), strict=True)]
    programs = [retyped(b, wanted) for b in branches]
    outs = [join([index, *each]) for each in zip(*(vmas(p.out_avals) for p in programs), strict=True)]
    return [index, *wanted], {**params, "branches": tuple(retyped(b, wanted, outs) for b in branches)}, outs


_of_jaxpr = of_call("jaxpr")


def _of_any(operands, params):
    """Primitives without a rule of their own: one program applied to the operands, or several that share them."""
    program = params.get("jaxpr")
    if isinstance(program, ClosedJaxpr) and len(program.in_avals) == len(operands):
        return _of_jaxpr(operands, params)
    return of_programs(operands, params)


set_program_rule(_of_any)
