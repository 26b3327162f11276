"""Forward mode: values travel with their tangents.

`JVPTrace` replaces each primitive by its jvp rule, bound under the parent trace. Reverse mode uses the same trace with a
`SplitTrace` as parent (linearize.py), so there is exactly one differentiation rule per primitive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from addax.core.avals import get_aval
from addax.core.axis_env import tracked_axes, tracking
from addax.core.builder import trace_to_jaxpr
from addax.core.config import current_context
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.leaks import check_leaks
from addax.core.source_info import naming
from addax.core.trace import Trace, Tracer, check_alive, current_trace, swap_trace
from addax.core.varying import align
from addax.interpreters.values import Zero, every, instantiate


class JVPTracer(Tracer):
    """A primal value and its tangent."""

    __slots__ = ("primal", "tangent")

    def __init__(self, trace: JVPTrace, primal, tangent):
        self._trace, self.aval, self.primal, self.tangent = trace, get_aval(primal), primal, tangent

    def concrete(self):
        return self.primal.concrete() if isinstance(self.primal, Tracer) else self.primal

    def origin(self) -> str:
        return self.primal.origin() if isinstance(self.primal, Tracer) else ""

    def __repr__(self) -> str:
        return f"JVPTracer(primal={self.primal}, tangent={self.tangent})"

    __str__ = __repr__


class JVPTrace(Trace):
    def __init__(self, parent: Trace):
        self.parent = parent
        self.alive = True

    def unpack(self, x) -> tuple[Any, Any]:
        """``(primal, tangent)``; the tangent of a value from outside is `Zero`."""
        if type(x) is JVPTracer and x._trace is self:
            return x.primal, x.tangent
        if isinstance(x, Tracer):
            check_alive(x)
        return x, Zero.of(x)

    def pack(self, primal, tangent):
        return primal if type(tangent) is Zero else JVPTracer(self, primal, tangent)

    def process(self, primitive, args, params):
        if tracking.on and tracked_axes() and primitive.name != "pvary":
            args, params, _ = align(primitive, args, params)
        primals, tangents, active = [], [], False
        for x in args:
            if type(x) is JVPTracer and x._trace is self:
                primals.append(x.primal)
                tangents.append(x.tangent)
                active = True
            else:
                if isinstance(x, Tracer):
                    check_alive(x)
                primals.append(x)
                tangents.append(None)
        previous = swap_trace(self.parent)
        try:
            if not active:
                return self.parent.process(primitive, tuple(primals), params)
            tangents = [Zero.of(x) if t is None else t for x, t in zip(primals, tangents, strict=True)]
            out, tangent = primitive.jvp(tuple(primals), tuple(tangents), **params)
        finally:
            swap_trace(previous)
        if primitive.multiple_results:
            return [self.pack(x, t) for x, t in zip(out, tangent, strict=True)]
        return self.pack(out, tangent)


def jvp_flat(fun: Callable[..., Sequence], primals: Sequence, tangents: Sequence, parent: Trace):
    """Run a flat function on dual numbers: ``(out_primals, out_tangents)``, tangents possibly `Zero`."""
    trace = JVPTrace(parent)
    args = [trace.pack(x, t) for x, t in zip(primals, tangents, strict=True)]
    previous = swap_trace(trace)
    try:
        with naming(("jvp",)):
            outs = fun(*args)
    finally:
        swap_trace(previous)
        trace.alive = False
    pairs = [trace.unpack(x) for x in outs]
    if current_context().check_tracer_leaks:
        del args, outs
        check_leaks(trace)
    return [p for p, _ in pairs], [t for _, t in pairs]


def jvp_jaxpr(
    closed: ClosedJaxpr, nonzero: Sequence[bool], instantiate_out: bool | Sequence[bool] = False
) -> tuple[ClosedJaxpr, list[bool]]:
    """The jvp of a program, as a program: ``(primals..., nonzero tangents...) -> (primals..., nonzero tangents...)``.

    Args:
      nonzero: which arguments have a tangent.
      instantiate_out: which outputs must have one, even if it is zero.

    Returns:
      the program and which outputs have a tangent. Memoised on ``closed``.
    """
    wanted = every(instantiate_out, len(closed.out_avals))
    return closed.derive(_jvp_program, tuple(nonzero), wanted)


def _jvp_program(closed: ClosedJaxpr, nonzero: tuple[bool, ...], wanted: tuple[bool, ...]):
    n, out_nonzero = len(nonzero), []

    def program(*args):
        live = iter(args[n:])
        tangents = [next(live) if nz else Zero.of(x) for nz, x in zip(nonzero, args[:n], strict=True)]
        run = lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs)  # noqa: E731
        outs, out_tangents = jvp_flat(run, args[:n], tangents, current_trace())
        out_nonzero.extend(w or type(t) is not Zero for w, t in zip(wanted, out_tangents, strict=True))
        return [*outs, *(instantiate(t) for t, nz in zip(out_tangents, out_nonzero, strict=True) if nz)]

    live_avals = [a.to_tangent() for a, nz in zip(closed.in_avals, nonzero, strict=True) if nz]
    traced = trace_to_jaxpr(program, [*closed.in_avals, *live_avals], closed.jaxpr.debug_info)
    return ClosedJaxpr(*traced), out_nonzero


__all__ = ["JVPTrace", "JVPTracer", "jvp_flat", "jvp_jaxpr"]
