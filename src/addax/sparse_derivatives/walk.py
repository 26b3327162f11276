"""Which elements of the results of a program depend on which elements of its arguments, from its jaxpr.

The program is the jvp of the user's function: it is linear in the tangents, so a pattern is carried only by what depends
on them, and an equation either moves, adds or multiplies elements with patterns (rules.py says how) or has nothing to do
with them. The values of the latter are known if they do not depend on the arguments either (`Lazy`): constant indices
and masks, zeros in constant matrices. Everything else may have any value, so a pattern holds wherever the function is
evaluated.

An over-approximation is always correct: it costs colours, not digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal
from addax.core.primitive import Primitive
from addax.core.trace import Tracer
from addax.engines.reference.interpret import apply, storage_dtype
from addax.ops.rules import Elementwise
from addax.sparse_derivatives.lazy import LARGEST, Lazy, Memo
from addax.sparse_derivatives.patterns import Pattern, everything


class Value(NamedTuple):
    """What is known of a variable: its pattern, if it depends on a tangent; else its value, if that can be computed."""

    pattern: Pattern | None = None
    known: Lazy | None = None


UNKNOWN = Value()


def size_of(atom) -> int:
    return math.prod(atom.aval.shape)


def walk(jaxpr: Jaxpr, consts: Sequence[Value], args: Sequence[Value]) -> list[Value]:
    """The values of the results of a program."""
    env: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))

    def read(atom) -> Value:
        if type(atom) is Literal:
            return Value(known=Lazy.of(np.asarray(atom.val, storage_dtype(atom.aval))))
        return env[atom]

    for eqn in jaxpr.eqns:
        values = [read(x) for x in eqn.invars]
        if any(v.pattern is not None for v in values):
            outs = active(eqn, values)
        else:
            outs = passive(eqn, values)
        env.update(zip(eqn.outvars, outs, strict=True))
    return [read(x) for x in jaxpr.outvars]


def walk_closed(closed: ClosedJaxpr, args: Sequence[Value]) -> list[Value]:
    return walk(closed.jaxpr, [constant(c) for c in closed.consts], args)


def constant(value) -> Value:
    """A constant of a program; a tracer of an enclosing transformation has no value yet."""
    if isinstance(value, Tracer) or dtypes.is_extended(getattr(value, "dtype", None)):
        return UNKNOWN
    return Value(known=Lazy.of(value))


def passive(eqn: Eqn, values: list[Value]) -> list[Value]:
    """An equation that no tangent reaches."""
    known = [v.known for v in values if v.known is not None]
    small = all(hasattr(v.aval, "shape") and size_of(v) <= LARGEST for v in eqn.outvars)
    if len(known) < len(values) or eqn.effects or not small:
        return [UNKNOWN] * len(eqn.outvars)
    fun = Memo(lambda *arrays: list(apply(eqn, list(arrays))))
    return [Value(known=Lazy(fun, known, i)) for i in range(len(eqn.outvars))]


def active(eqn: Eqn, values: list[Value]) -> list[Value]:
    """An equation with tangents among its operands."""
    rule = RULES.get(eqn.primitive.name)
    if rule is None and isinstance(eqn.primitive, Elementwise):
        rule = RULES["add_any"]
    if rule is not None:
        outs = rule(eqn, values)
    elif eqn.primitive.expand is not None:
        return walk_closed(eqn.primitive.expand(*[x.aval for x in eqn.invars], **eqn.params), values)
    else:
        outs = dense(eqn, values)
    return [
        Value(p) if p is not None and dtypes.issubdtype(v.aval.dtype, np.inexact) else UNKNOWN
        for p, v in zip(outs, eqn.outvars, strict=True)
    ]


def dense(eqn: Eqn, values: list[Value]) -> list[Pattern | None]:
    """Every element of every result depends on every element with a pattern: true of any primitive."""
    patterns = [v.pattern for v in values if v.pattern is not None]
    return [everything(patterns, size_of(v)) for v in eqn.outvars]


# Primitive name -> ``rule(eqn, values) -> patterns of the results``; filled by rules.py and loops.py.
RULES: dict[str, Any] = {}


def rule(*primitives: Primitive | str):
    """Decorator: the rule of these primitives."""

    def register(fun):
        for p in primitives:
            RULES[str(p)] = fun
        return fun

    return register
