"""Programs with values that are still to be summed over explicit mesh axes, as the partitioner must see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from addax.core.jaxpr import ClosedJaxpr, Eqn, Literal, Var
from addax.core.primitive import registry
from addax.ops.explicit import Layouts
from addax.ops.layout import Layout, pending


def sums_stay_open(closed: ClosedJaxpr, arguments: Sequence[Layout], mesh) -> ClosedJaxpr:
    """The program with whatever is still to be summed constrained to be so after each equation, also in programs inside of
    it: the partitioner does not work this out, and computes wrong sums in loops if it is not told."""
    layouts = Layouts(mesh)
    layouts.begin(closed.jaxpr, arguments)
    eqns: list[Eqn] = []

    def constrained(v):
        """A new variable, and the equation that constrains it to be ``v``."""
        new = Var(v.aval)
        params = {"sharding": layouts.sharding(layouts.known[v])}
        return new, Eqn(registry["sharding_constraint"], [new], [v], params)

    invars = list(closed.jaxpr.invars)
    for i, v in enumerate(invars):
        if pending(layouts.known[v]):
            invars[i], eqn = constrained(v)
            eqns.append(eqn)
    opened = {
        eqn.invars[0]
        for eqn in closed.jaxpr.eqns
        if eqn.primitive.name == "sharding_constraint" and eqn.params["sharding"].pending
    }
    for k, eqn in enumerate(closed.jaxpr.eqns):
        layouts.calls = {}
        layouts.walk(closed.jaxpr.eqns[: k + 1])
        if eqn.primitive.name == "dot_general" and eqn.outvars[0] in opened:  # its terms are what the layouts say
            held = [x if type(x) is Literal else Var(x.aval) for x in eqn.invars]
            for x, new in zip(eqn.invars, held, strict=True):
                if x is not new:
                    where = {"sharding": layouts.sharding(layouts.known[x])}
                    eqns.append(Eqn(registry["sharding_constraint"], [x], [new], where))
            eqn = eqn.replace(invars=held)
        inner = {
            id(program.jaxpr): sums_stay_open(program, given, mesh)
            for program, given in layouts.calls.values()
            if any(map(pending, given)) or any(map(pending, layouts.program(program, given)))
        }
        if inner:
            swap = lambda p, inner=inner: inner.get(id(p.jaxpr), p) if isinstance(p, ClosedJaxpr) else p  # noqa: E731
            params = {n: tuple(map(swap, p)) if type(p) is tuple else swap(p) for n, p in eqn.params.items()}
            eqn = eqn.replace(params=params)
        outvars, after = list(eqn.outvars), []
        for i, v in enumerate(eqn.outvars):
            if pending(layouts.known.get(v)) and eqn.primitive.name != "sharding_constraint":
                outvars[i], constraint = constrained(v)
                after.append(constraint)
        eqns += [eqn.replace(outvars=outvars) if after else eqn, *after]
    changed = len(eqns) != len(closed.jaxpr.eqns) or any(
        a is not b for a, b in zip(eqns, closed.jaxpr.eqns, strict=True)
    )
    return ClosedJaxpr(closed.jaxpr.replace(invars=invars, eqns=eqns), closed.consts) if changed else closed


def constrained_results(closed: ClosedJaxpr, wanted: Sequence[Any]) -> ClosedJaxpr:
    """The program with the results that are wanted unreduced constrained to be so: an attribute would only say that they are."""
    jaxpr, outvars, eqns = closed.jaxpr, list(closed.jaxpr.outvars), list(closed.jaxpr.eqns)
    for i, s in enumerate(wanted):
        if s is not None and s.pending:
            out = Var(outvars[i].aval)
            eqns.append(Eqn(registry["sharding_constraint"], [outvars[i]], [out], {"sharding": s}))
            outvars[i] = out
    return (
        ClosedJaxpr(jaxpr.replace(outvars=outvars, eqns=eqns), closed.consts) if len(eqns) > len(jaxpr.eqns) else closed
    )
