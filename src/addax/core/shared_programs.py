"""One object for equal programs.

A function that is traced at each call, as the body of an eager `scan` is, gives an equal program each time. What was derived
from the first one (its derivative, its machine code) serves the others if all are one object.
"""

from __future__ import annotations

from typing import Any

from addax.core.axis_env import scope_key
from addax.core.builder import JaxprTrace
from addax.core.config import current_context
from addax.core.jaxpr import ClosedJaxpr, DebugInfo, Literal, Var
from addax.core.trace import base_trace, current_trace

KEPT = 512

_programs: dict[tuple, ClosedJaxpr] = {}


def shared(closed: ClosedJaxpr) -> ClosedJaxpr:
    """``closed``, or a program equal to it, from the same lines, that was traced before.

    While a program is written around it, nothing is looked up: that program is kept by whoever traces it.
    """
    trace: Any = current_trace()
    while trace is not base_trace:
        trace = None if isinstance(trace, JaxprTrace) else getattr(trace, "parent", None) or getattr(trace, "now", None)
        if trace is None:
            return closed
    key = _structure(closed), current_context().trace_key, scope_key()
    try:
        found = _programs.get(key)
    except TypeError:  # a parameter that cannot be compared
        return closed
    if found is None:
        if len(_programs) >= KEPT:
            _programs.clear()
        info = closed.jaxpr.debug_info
        if info is not None:  # without the user's function, which may hold arrays
            names = info.func_name, info.arg_names, info.result_paths, info.source
            closed.jaxpr.debug_info = DebugInfo(*names)
        found = _programs[key] = closed
    return found


def forget_programs() -> None:
    _programs.clear()


def _structure(closed: ClosedJaxpr) -> Any:
    """Equal for programs that do the same, variable for variable; the program itself if it has arrays in it."""
    if closed.consts:
        return closed
    jaxpr = closed.jaxpr
    number: dict[Var, int] = {v: i for i, v in enumerate(jaxpr.invars)}

    def atom(x):
        # As text, because 0.0 == -0.0 and nan != nan.
        return (x.aval, str(x.val)) if type(x) is Literal else number[x]

    eqns = []
    for e in jaxpr.eqns:
        reads = tuple([atom(x) for x in e.invars])
        for v in e.outvars:
            number[v] = len(number)
        params = tuple([(k, _value(v)) for k, v in e.params.items()])
        eqns.append((e.primitive, reads, tuple([v.aval for v in e.outvars]), params, e.effects, e.source))
    return tuple(jaxpr.in_avals), tuple(eqns), tuple([atom(x) for x in jaxpr.outvars])


def _value(value: Any) -> Any:
    if type(value) is tuple:
        return tuple([_value(v) for v in value])
    if isinstance(value, ClosedJaxpr):
        return _structure(value)
    return type(value), repr(value) if isinstance(value, (float, complex)) else value
