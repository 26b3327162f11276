"""Building jaxprs: the trace that writes primitives down. Start reading at `JaxprTrace.process`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import get_aval, scalar_aval
from addax.core.axis_env import tracked_axes, tracking
from addax.core.checker import check_jaxpr
from addax.core.config import current_context, enable_checks
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from addax.core.leaks import check_leaks
from addax.core.primitive import no_effects, registry
from addax.core.sizes import SymbolicSize
from addax.core.source_info import SourceInfo, current_source, nameless, without_outer
from addax.core.trace import Trace, Tracer, check_alive, swap_trace
from addax.core.varying import align, plain, typed


class JaxprTracer(Tracer):
    """A variable of the jaxpr being built."""

    __slots__ = ("variable",)  # not "var", which is a method of arrays

    _trace: JaxprTrace

    def __init__(self, trace: JaxprTrace, aval, var):
        self._trace, self.aval, self.variable = trace, aval, var

    def origin(self) -> str:
        return self._trace.describe(self.variable)

    def __repr__(self) -> str:
        weak = "~" if self.aval.weak_type else ""
        return f"JitTracer({weak}{self.aval.str_short(short_dtypes=False)})"

    __str__ = __repr__


class JaxprTrace(Trace):
    """Writes primitives into a jaxpr.

    Scalars known at trace time become literals; other known values, among them tracers of enclosing traces, become
    constants, each once. ``parent`` is the trace that was current when a function of the user began to be traced.
    """

    parent: Trace | None = None
    depth = 0  # how many of the names around an equation do not belong to this program
    layouts: Any = None  # of its values along explicit mesh axes, if there are any (ops/explicit.py)

    def __init__(self, debug_info=None):
        self.eqns: list = []
        self.invars: list = []
        self.constvars: list = []
        self.consts: list = []
        self._const_tracers: dict[int, Any] = {}
        self.debug_info = debug_info
        self.effects: frozenset = frozenset()
        self.alive = True

    def new_arg(self, aval) -> JaxprTracer:
        var = Var(aval)
        self.invars.append(var)
        return JaxprTracer(self, aval, var)

    def process(self, primitive, args, params) -> Any:
        varies = None
        if tracking.on and tracked_axes() and primitive.name != "pvary":
            args, params, varies = align(primitive, args, params)
        atoms = []
        avals = []
        for x in args:
            if type(x) is JaxprTracer and x._trace is self:
                atoms.append(x.variable)
                avals.append(x.aval)
            else:
                atom = self.lift(x)
                atoms.append(atom)
                avals.append(atom.aval)
        if varies is None:
            avals = tuple(avals)
            out_avals = primitive.infer(avals, params)
        else:
            avals = plain(avals)
            out_avals = typed(primitive.infer(avals, params), varies)
        effects = no_effects if primitive.effects is None else primitive.effects(*avals, **params)
        if effects:
            self.effects |= effects
        outvars = [Var(a) for a in out_avals]
        source = current_source()
        if self.depth:
            source = without_outer(source, self.depth)
        self.eqns.append(Eqn(primitive, atoms, outvars, params, effects, source))
        if primitive.multiple_results:
            return [JaxprTracer(self, v.aval, v) for v in outvars]
        return JaxprTracer(self, outvars[0].aval, outvars[0])

    def lift(self, x):
        """The atom for a value from outside: a literal for known scalars, a constant variable for everything else."""
        cls = type(x)
        if isinstance(x, Tracer):
            check_alive(x)
        else:
            if cls is float or cls is int or cls is bool or cls is complex:
                return Literal(x, get_aval(x))
            if isinstance(x, SymbolicSize):
                return self.process(registry["dim_as_value"], (), {"dim": x}).variable
            aval = get_aval(x)
            if not aval.shape and isinstance(x, np.generic):
                return Literal(x, aval)
            if cls is _native.Array and not aval.shape and not dtypes.is_extended(aval.dtype):
                value = x._value[()]
                if not aval.weak_type:
                    return Literal(value, aval)
                kind = dtypes.scalar_type_of(aval.dtype)
                if scalar_aval(kind) is aval:
                    return Literal(kind(value), aval)
        found = self._const_tracers.get(id(x))
        if found is None:
            aval = get_aval(x)
            found = Var(aval)
            self.constvars.append(found)
            self.consts.append(x)  # keeps x alive, so its id stays unique
            self._const_tracers[id(x)] = found
        return found

    def finish(self, outs: Sequence, debug_info=None):
        """Close the program: ``(jaxpr, consts)`` with the given results. The trace is dead afterwards."""
        outvars = [x.variable if type(x) is JaxprTracer and x._trace is self else self.lift(x) for x in outs]
        self.alive = False
        jaxpr = Jaxpr(self.constvars, self.invars, outvars, self.eqns, self.effects, debug_info or self.debug_info)
        if enable_checks.value:
            check_jaxpr(ClosedJaxpr(jaxpr, self.consts))
        return jaxpr, self.consts

    def describe(self, var) -> str:
        """Which argument of the traced function a variable depends on, and where it was made."""
        info = self.debug_info
        name = info.func_name if info is not None else "the function"
        text = f"The error occurred while tracing the function {name}."
        reach = {var}
        made = None
        for eqn in reversed(self.eqns):
            if any(v in reach for v in eqn.outvars):
                made = made or eqn
                reach.update(v for v in eqn.invars if type(v) is Var)
        names = info.arg_names if info is not None else ()
        from_args = [names[i] if i < len(names) else f"number {i}" for i, v in enumerate(self.invars) if v in reach]
        if from_args:
            plural = "s" if len(from_args) > 1 else ""
            listed = ", ".join(from_args[:5]) + (f" and {len(from_args) - 5} more" if len(from_args) > 5 else "")
            text += f" This value is not known there because it depends on the value of the argument{plural} {listed}."
        if made is not None and made.source is not None:
            text += f"\nIt was made by `{made.primitive}` at {SourceInfo(made.source)}."
        return text


def trace_to_jaxpr(fun: Callable[..., Sequence], in_avals: Sequence, debug_info=None):
    """Trace ``fun``, which takes and returns flat sequences, at the given types: ``(jaxpr, consts)``."""
    trace = JaxprTrace(debug_info)
    args = [trace.new_arg(a) for a in in_avals]
    trace.parent = previous = swap_trace(trace)
    try:
        with nameless():
            outs = fun(*args)
    except BaseException:
        trace.alive = False
        raise
    finally:
        swap_trace(previous)
    result = trace.finish(outs)
    if current_context().check_tracer_leaks:
        del args, outs
        check_leaks(trace)
    return result
