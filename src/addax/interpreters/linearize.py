"""Linearization: run the primal part of a jvp, and write the tangent part down as a linear jaxpr.

The current trace is ``JVPTrace(SplitTrace(parent, builder))``. A jvp rule runs once; whatever in it depends on a tangent
is written into ``builder``, everything else happens under ``parent``, now. The values that cross over are the residuals.
There is no second partial evaluation and no tape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.builder import JaxprTrace, JaxprTracer
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, eval_jaxpr
from addax.core.source_info import depth_of_names, nameless
from addax.core.trace import Trace, current_trace, swap_trace
from addax.interpreters.jvp import jvp_flat
from addax.interpreters.values import Zero, every


class SplitTrace(Trace):
    """Primitives that touch a value of ``later`` are written there; the others go to ``now``."""

    def __init__(self, now: Trace, later: JaxprTrace):
        self.now, self.later = now, later
        self.alive = True

    def is_later(self, x) -> bool:
        return type(x) is JaxprTracer and x._trace is self.later

    def process(self, primitive, args, params):
        later = self.later
        for x in args:
            if type(x) is JaxprTracer and x._trace is later:
                break
        else:
            return self.run_now(primitive, args, params)
        if primitive.partial_eval is not None:
            return primitive.partial_eval(self, args, [self.is_later(x) for x in args], **params)
        return self.write_later(primitive, args, params)

    def run_now(self, primitive, args, params):
        previous = swap_trace(self.now)
        try:
            return self.now.process(primitive, tuple(args), params)
        finally:
            swap_trace(previous)

    def write_later(self, primitive, args, params):
        previous = swap_trace(self.later)
        try:
            return self.later.process(primitive, tuple(args), params)
        finally:
            swap_trace(previous)


class Linearized(NamedTuple):
    """A function at a point: its value and its derivative there.

    ``jaxpr`` takes the tangents of the differentiable inputs and gives the nonzero output tangents; ``consts`` are the
    residuals. ``out_zero`` says which outputs do not depend on the inputs.
    """

    outs: list
    jaxpr: Jaxpr
    consts: list
    out_zero: list[bool]


def linearize_flat(fun: Callable[..., Sequence], primals: Sequence, debug_info=None) -> Linearized:
    """Linearize a flat function. Arguments without a tangent space (integers) are constants."""
    parent = current_trace()
    later = JaxprTrace(debug_info=debug_info)
    later.depth = depth_of_names()
    tangents = []
    for x in primals:
        aval = get_aval(x).to_tangent()
        tangents.append(Zero(aval) if aval.dtype == dtypes.float0 else later.new_arg(aval))
    split = SplitTrace(parent, later)
    try:
        outs, out_tangents = jvp_flat(fun, primals, tangents, split)
    finally:
        split.alive = False
    out_zero = [type(t) is Zero for t in out_tangents]
    jaxpr, consts = later.finish([t for t in out_tangents if type(t) is not Zero])
    return Linearized(outs, jaxpr, consts, out_zero)


class SplitJaxpr(NamedTuple):
    """A program cut in two: ``known`` runs now, ``unknown`` later.

    ``known: known inputs -> (known outputs, computed residuals)``; ``unknown: (residuals, unknown inputs) -> unknown
    outputs``. A residual that is already an input or a known output is not computed again: ``residuals`` lists, in
    order, ``("in", i)`` the i-th known input, ``("out", i)`` the i-th result of ``known``.
    """

    known: ClosedJaxpr
    unknown: ClosedJaxpr
    out_unknown: list[bool]
    residuals: list[tuple[str, int]]

    def gather(self, known_args: Sequence, known_outs: Sequence) -> list:
        """The values of the residuals."""
        return [known_args[i] if kind == "in" else known_outs[i] for kind, i in self.residuals]


def split_jaxpr(
    closed: ClosedJaxpr, unknown: Sequence[bool], force_unknown: bool | Sequence[bool] = False
) -> SplitJaxpr:
    """Partially evaluate a program whose inputs marked ``unknown`` come later. Memoised on ``closed``.

    Args:
      force_unknown: outputs to be delivered by the later program even if they are known now.
    """
    forced = every(force_unknown, len(closed.out_avals))
    return closed.derive(_split_program, tuple(unknown), forced)


def _split_program(closed: ClosedJaxpr, unknown: tuple[bool, ...], forced: tuple[bool, ...]) -> SplitJaxpr:
    now, later = JaxprTrace(debug_info=closed.jaxpr.debug_info), JaxprTrace(debug_info=closed.jaxpr.debug_info)
    split = SplitTrace(now, later)
    args = [(later if u else now).new_arg(a) for a, u in zip(closed.in_avals, unknown, strict=True)]
    previous = swap_trace(split)
    try:
        with nameless():
            outs = eval_jaxpr(closed.jaxpr, closed.consts, *args)
    finally:
        swap_trace(previous)
        split.alive = False
    out_unknown = [f or split.is_later(x) for f, x in zip(forced, outs, strict=True)]
    known_outs = [x for x, u in zip(outs, out_unknown, strict=True) if not u]
    jaxpr, consts = later.finish([x for x, u in zip(outs, out_unknown, strict=True) if u])

    # Constants of the later program: tracers of the first are residuals, the rest stay constants.
    sources: dict = {v: ("in", i) for i, v in enumerate(now.invars)}
    for i, x in enumerate(known_outs):
        if isinstance(x, JaxprTracer) and x._trace is now:
            sources.setdefault(x.variable, ("out", i))
    residuals, residual_vars, constvars, constants, computed = [], [], [], [], []
    for var, value in zip(jaxpr.constvars, consts, strict=True):
        if isinstance(value, JaxprTracer) and value._trace is now:
            if value.variable not in sources:
                sources[value.variable] = ("out", len(known_outs) + len(computed))
                computed.append(value)
            residuals.append(sources[value.variable])
            residual_vars.append(var)
        else:
            constvars.append(var)
            constants.append(value)
    later_jaxpr = jaxpr.replace(constvars=constvars, invars=[*residual_vars, *jaxpr.invars])
    known = ClosedJaxpr(*now.finish([*known_outs, *computed]))
    return SplitJaxpr(known, ClosedJaxpr(later_jaxpr, constants), out_unknown, residuals)


__all__ = ["Linearized", "SplitJaxpr", "SplitTrace", "linearize_flat", "split_jaxpr"]
