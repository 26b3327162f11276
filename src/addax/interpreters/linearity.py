"""Programs that a user says are linear: whether they are (`check_linear`), and their transpose (`transpose_linear`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from addax.core import dtypes
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, dce_jaxpr, eval_jaxpr
from addax.core.primitive import Refusal
from addax.interpreters.linearize import linearize_flat
from addax.interpreters.transpose import backward_pass
from addax.interpreters.values import UndefinedPrimal, instantiate, zeros

# Linear in each operand while the others are constants, but not in several at once.
_PRODUCTS = frozenset({"mul", "dot_general", "conv_general_dilated"})


class NotLinear(Exception):
    """``eqn`` is not linear in the inputs asked about."""

    def __init__(self, eqn: Eqn):
        super().__init__(eqn)
        self.eqn = eqn

    def __str__(self) -> str:
        where = f" at {self.eqn.source_info}" if self.eqn.source is not None else ""
        name = self.eqn.primitive.name
        return f"`{name}`{where} " + (
            "multiplies two values that depend on it" if name in _PRODUCTS else "is not linear"
        )


def check_linear(jaxpr: Jaxpr, linear: Sequence[bool]) -> list[bool]:
    """Which results depend on the inputs marked ``linear``. Programs inside equations are looked through.

    An added constant is let pass: what is transposed is the linear part.

    Raises:
      NotLinear: with the first equation that is not linear in them.
    """
    depends = {v for v, lin in zip(jaxpr.invars, linear, strict=True) if lin}
    for eqn in jaxpr.eqns:
        reached = [type(x) is not Literal and x in depends for x in eqn.invars]
        if any(reached):
            depends.update(v for v, d in zip(eqn.outvars, _results(eqn, reached), strict=True) if d)
    return [type(v) is not Literal and v in depends for v in jaxpr.outvars]


def _results(eqn: Eqn, reached: list[bool]) -> list[bool]:
    primitive, params = eqn.primitive, eqn.params
    if primitive.name in ("scan", "while"):
        return _loop(eqn, reached)
    if primitive.name == "cond":
        if reached[0]:
            raise NotLinear(eqn)
        branches = [check_linear(b.jaxpr, reached[1:]) for b in params["branches"]]
        return [any(flags) for flags in zip(*branches, strict=True)]
    if primitive.name == "optimization_barrier":
        return reached
    if primitive.name in ("custom_lin", "linear_call"):
        if any(reached[: params["num_residuals"]]):
            raise NotLinear(eqn)
        return [True] * len(eqn.outvars)
    if primitive.expand is not None:
        return check_linear(primitive.expand(*[x.aval for x in eqn.invars], **params).jaxpr, reached)
    wrong = (
        isinstance(primitive.transpose, Refusal)
        or (primitive.name in _PRODUCTS and all(reached))
        or (primitive.name == "div" and reached[1])
        or (primitive.name == "select_n" and reached[0])
    )
    if wrong:
        raise NotLinear(eqn)
    return [True] * len(eqn.outvars)


def _loop(eqn: Eqn, reached: list[bool]) -> list[bool]:
    """The carry grows until it depends on nothing more."""
    params = eqn.params
    if eqn.primitive.name == "scan":
        body, first, last = params["jaxpr"].jaxpr, params["num_consts"], params["num_consts"] + params["num_carry"]
        condition = None
    else:
        body, skipped = params["body_jaxpr"].jaxpr, params["cond_nconsts"]
        condition, of_condition = params["cond_jaxpr"].jaxpr, reached[:skipped]
        reached = reached[skipped:]
        first, last = params["body_nconsts"], len(reached)
    n = last - first
    while True:
        outs = check_linear(body, reached)
        grown = [a or b for a, b in zip(reached[first:last], outs[:n], strict=True)]
        if grown == reached[first:last]:
            break
        reached = [*reached[:first], *grown, *reached[last:]]
    if condition is not None and check_linear(condition, [*of_condition, *grown]) != [False]:
        raise NotLinear(eqn)
    return [*grown, *outs[n:]]


def transpose_linear(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The transpose of a linear program, as a program: ``cotangents of the results -> cotangents of the inputs``.

    It is linearized first, at zero: so what does not depend on the inputs (a counter that a loop carries) is told apart
    from what does.

    Raises:
      NotLinear: if it is not linear.
    """
    check_linear(closed.jaxpr, [True] * len(closed.in_avals))
    jaxpr, consts = closed.jaxpr, closed.consts

    def backward(*cts):
        program, values, live = jaxpr, consts, cts
        if all(dtypes.issubdtype(a.dtype, np.inexact) for a in closed.in_avals):  # integers have no tangents
            lin = linearize_flat(lambda *xs: eval_jaxpr(jaxpr, consts, *xs), [zeros(a) for a in closed.in_avals])
            program, values = lin.jaxpr, lin.consts
            live = [ct for ct, zero in zip(cts, lin.out_zero, strict=True) if not zero]
        grads = backward_pass(program, values, [UndefinedPrimal(a) for a in closed.in_avals], live)
        return [instantiate(g) for g in grads]

    program, values = trace_to_jaxpr(backward, closed.out_avals, jaxpr.debug_info)
    return ClosedJaxpr(dce_jaxpr(program, [True] * len(program.outvars))[0], values)


__all__ = ["NotLinear", "check_linear", "transpose_linear"]
