"""Programs whose effects happen only if they are told so: branches and loops that run for examples they are not meant for."""

from __future__ import annotations

import numpy as np

from addax.core.avals import ShapedArray
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Eqn, bind_equation, interpret
from addax.core.primitive import registry
from addax.interpreters.values import broadcast_in_dim, shape_of, zeros
from addax.ops.callback import Effect, HostFunction

ACTIVE = ShapedArray((), np.dtype(np.bool_))


def has_effects(closed: ClosedJaxpr) -> bool:
    """Whether it calls back into Python (collectives are something else)."""
    return any(isinstance(e, Effect) for e in closed.effects)


def only_if(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program with one more argument in front, a boolean, that calls back and checks only where that holds. Memoised.

    Raises:
      NotImplementedError: if it has an effect in a primitive that cannot be told.
    """
    return closed.derive(_guarded)


def _guarded(closed: ClosedJaxpr) -> ClosedJaxpr:
    jaxpr = closed.jaxpr

    def program(active, *args):
        def equation(eqn, operands):
            acts = any(isinstance(e, Effect) for e in eqn.effects)
            return _equation(eqn, active, operands) if acts else bind_equation(eqn, operands)

        return interpret(jaxpr, closed.consts, args, equation)

    return ClosedJaxpr(*trace_to_jaxpr(program, [ACTIVE, *closed.in_avals], jaxpr.debug_info))


def _equation(eqn: Eqn, active, operands: list):
    p, params, name = eqn.primitive, eqn.params, eqn.primitive.name
    if name in ("debug_callback", "io_callback"):
        callback, avals = params["callback"], params.get("result_avals", ())

        def host(on, *arrays):  # the zeros are results of a branch that is not taken
            return callback(*arrays) if on else [np.zeros(a.shape, a.dtype) for a in avals]

        return p.bind(active, *operands, **dict(params, callback=HostFunction(host, callback.name)))
    if name == "check":
        code, *values = operands
        shape = shape_of(code)
        on = broadcast_in_dim(active, shape, ()) if shape else active
        none = zeros(eqn.invars[0].aval.strip_weak_type())
        return p.bind(registry["select_n"].bind(on, none, code), *values, **params)
    if name == "cond":
        branches = tuple(only_if(b) for b in params["branches"])
        return p.bind(operands[0], active, *operands[1:], **dict(params, branches=branches))
    if name == "scan":
        inner = dict(params, jaxpr=only_if(params["jaxpr"]), num_consts=params["num_consts"] + 1)
        return p.bind(active, *operands, **inner)
    if name == "while":
        n = params["cond_nconsts"]
        inner = dict(
            params, cond_jaxpr=only_if(params["cond_jaxpr"]), body_jaxpr=only_if(params["body_jaxpr"]),
            cond_nconsts=n + 1, body_nconsts=params["body_nconsts"] + 1,
        )  # fmt: skip
        return p.bind(active, *operands[:n], active, *operands[n:], **inner)
    program = _CALLS.get(name)
    if program is None:
        raise NotImplementedError(
            f"under vmap both branches of a cond run if its predicate is mapped, and {name}"
            + (f" at {eqn.source_info}" if eqn.source is not None else "")
            + " has effects, for the examples of its branch only. Map with addax.lax.map, which runs one example at a time."
        )
    inner = dict(params, **{program: only_if(params[program])})
    if "num_consts" in inner:
        inner["num_consts"] += 1
    return p.bind(active, *operands, **inner)


# Calls, and which parameter is the program.
_CALLS = {
    "jit": "jaxpr", "checkpoint": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
    "custom_vmap_call": "call",
}  # fmt: skip


__all__ = ["has_effects", "only_if"]
