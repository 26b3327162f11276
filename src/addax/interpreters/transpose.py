"""Transposition: run a linear jaxpr backwards, cotangents in, cotangents out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, bind_equation
from addax.core.source_info import naming, replaying
from addax.interpreters.values import UndefinedPrimal, Zero, add_tangents, instantiate, is_linear


def backward_pass(jaxpr: Jaxpr, consts: Sequence, args: Sequence, cotangents: Sequence) -> list:
    """Transpose a jaxpr.

    Args:
      args: `UndefinedPrimal` for each linear input, a value for the others.
      cotangents: one per result; `Zero` where nothing flows.

    Returns:
      one cotangent (or `Zero`) per linear input, None for the others.
    """
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    linear = set()
    for v, x in zip(jaxpr.invars, args, strict=True):
        if is_linear(x):
            linear.add(v)
        else:
            values[v] = x
    cts: dict[Any, Any] = {}

    def read(atom):
        if type(atom) is Literal:
            return atom.val
        return UndefinedPrimal(atom.aval) if atom in linear else values[atom]

    def accumulate(atom, ct):
        if ct is None or type(ct) is Zero or type(atom) is Literal or atom not in linear:
            return
        cts[atom] = add_tangents(cts[atom], ct) if atom in cts else ct

    with naming(("transpose",)), replaying() as replay:
        backward = []
        for eqn in jaxpr.eqns:
            if any(type(v) is not Literal and v in linear for v in eqn.invars):
                linear.update(eqn.outvars)
                backward.append(eqn)
            else:  # a part that does not depend on the linear inputs runs forward
                replay.at(eqn.source)
                values.update(zip(eqn.outvars, bind_equation(eqn, [read(x) for x in eqn.invars]), strict=True))

        for v, ct in zip(jaxpr.outvars, cotangents, strict=True):
            accumulate(v, ct)
        for eqn in reversed(backward):
            if not any(v in cts for v in eqn.outvars):
                continue
            if eqn.primitive.multiple_results:
                ct = [cts.pop(v, None) for v in eqn.outvars]
                ct = [Zero(v.aval) if c is None else c for c, v in zip(ct, eqn.outvars, strict=True)]
            else:
                ct = cts.pop(eqn.outvars[0])
            replay.at(eqn.source)
            results = eqn.primitive.transpose(ct, *map(read, eqn.invars), **eqn.params)
            for v, c in zip(eqn.invars, results, strict=True):
                accumulate(v, c)
    return [
        (cts.get(v, Zero(v.aval)) if v in linear else None) if is_linear(x) else None
        for v, x in zip(jaxpr.invars, args, strict=True)
    ]


def transpose_jaxpr(
    closed: ClosedJaxpr, linear: Sequence[bool], nonzero_cts: Sequence[bool]
) -> tuple[ClosedJaxpr, list[bool]]:
    """The transpose of a program, as a program: ``(other inputs, nonzero cotangents) -> nonzero input cotangents``.

    Returns:
      the program, and for each linear input whether it gets a cotangent. Memoised on ``closed``.
    """
    return closed.derive(_transposed_program, tuple(linear), tuple(nonzero_cts), False)


def transpose_instantiated(closed: ClosedJaxpr, linear: Sequence[bool]) -> ClosedJaxpr:
    """Like `transpose_jaxpr` with every cotangent in and out a real array (for loops, whose types must be stable)."""
    return closed.derive(_transposed_program, tuple(linear), (True,) * len(closed.out_avals), True)[0]


def _transposed_program(
    closed: ClosedJaxpr, linear: tuple[bool, ...], nonzero_cts: tuple[bool, ...], instantiate_out: bool
) -> tuple[ClosedJaxpr, list[bool]]:
    nonzero = []

    def program(*args):
        given = iter(args)
        inputs = [UndefinedPrimal(a) if lin else next(given) for a, lin in zip(closed.in_avals, linear, strict=True)]
        cts = [next(given) if nz else Zero(a) for a, nz in zip(closed.out_avals, nonzero_cts, strict=True)]
        results = backward_pass(closed.jaxpr, closed.consts, inputs, cts)
        wanted = [c for c, lin in zip(results, linear, strict=True) if lin]
        nonzero.extend(instantiate_out or type(c) is not Zero for c in wanted)
        return [instantiate(c) for c, nz in zip(wanted, nonzero, strict=True) if nz]

    avals = [a for a, lin in zip(closed.in_avals, linear, strict=True) if not lin]
    avals += [a for a, nz in zip(closed.out_avals, nonzero_cts, strict=True) if nz]
    return ClosedJaxpr(*trace_to_jaxpr(program, avals, closed.jaxpr.debug_info)), nonzero
