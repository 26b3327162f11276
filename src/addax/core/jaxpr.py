"""The jaxpr: a typed, functional program in A-normal form.

``Jaxpr`` is the program, ``ClosedJaxpr`` the program with the values of its constants, ``Eqn`` one application of a
primitive, ``Var`` and ``Literal`` the atoms. All are treated as immutable. How they print stands in printer.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from addax.core.avals import get_aval
from addax.core.axis_env import axis_sizes
from addax.core.primitive import Primitive, no_effects
from addax.core.source_info import SourceInfo, replaying

Derived = TypeVar("Derived")


class Var:
    """A variable: bound once, typed. Its printed name depends on where it stands in the program."""

    __slots__ = ("aval",)

    def __init__(self, aval):
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var(id={id(self)}):{self.aval.str_short()}"


class DropVar(Var):
    """A result nobody reads; prints as ``_``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "_"


class Literal:
    """A scalar constant that stands in the program text: ``1.0:f32[]``."""

    __slots__ = ("aval", "val")

    def __init__(self, val, aval):
        self.val, self.aval = val, aval

    def __repr__(self) -> str:
        return f"{self.val}:{self.aval.str_short()}"


Atom = Var | Literal


class Eqn:
    """One equation ``outvars = primitive[params] invars``, with the line of the user's program it came from."""

    __slots__ = ("effects", "invars", "outvars", "params", "primitive", "source")

    primitive: Primitive
    invars: list[Atom]
    outvars: list[Var]
    params: dict[str, Any]
    effects: frozenset

    def __init__(self, primitive, invars, outvars, params, effects=no_effects, source=None):
        self.primitive, self.invars, self.outvars = primitive, invars, outvars
        self.params, self.effects, self.source = params, effects, source

    def replace(self, **changes) -> Eqn:
        fields = {name: getattr(self, name) for name in Eqn.__slots__} | changes
        return Eqn(**fields)

    @property
    def source_info(self) -> SourceInfo:
        return SourceInfo(self.source)


JaxprEqn = Eqn


class DebugInfo:
    """Names for messages: the traced function, and the paths of its arguments and results (``params['w']``)."""

    __slots__ = ("arg_names", "func_name", "result_paths", "source")

    def __init__(self, func_name: str, arg_names: Sequence[str] = (), result_paths: Sequence[str] = (), source=None):
        self.func_name, self.arg_names, self.result_paths = func_name, tuple(arg_names), tuple(result_paths)
        self.source = source


class Jaxpr:
    """``{ lambda constvars ; invars. let eqns in outvars }``"""

    __slots__ = ("__weakref__", "constvars", "debug_info", "effects", "eqns", "invars", "outvars")

    constvars: list[Var]
    invars: list[Var]
    outvars: list[Atom]
    eqns: list[Eqn]

    def __init__(self, constvars, invars, outvars, eqns, effects=None, debug_info: DebugInfo | None = None):
        self.constvars, self.invars = list(constvars), list(invars)
        self.outvars, self.eqns = list(outvars), list(eqns)
        self.effects = join_effects(self.eqns) if effects is None else effects
        self.debug_info = debug_info

    def replace(self, **changes) -> Jaxpr:
        fields = {name: getattr(self, name) for name in Jaxpr.__slots__ if name != "__weakref__"}
        if "eqns" in changes and "effects" not in changes:
            fields["effects"] = None
        return Jaxpr(**(fields | changes))

    @property
    def in_avals(self) -> list:
        return [v.aval for v in self.invars]

    @property
    def out_avals(self) -> list:
        return [v.aval for v in self.outvars]


class ClosedJaxpr:
    """A jaxpr together with the values of its constants."""

    __slots__ = ("__weakref__", "cache", "consts", "jaxpr")

    jaxpr: Jaxpr
    consts: list

    def __init__(self, jaxpr: Jaxpr, consts: Iterable = ()):
        self.jaxpr, self.consts = jaxpr, list(consts)
        assert len(self.consts) == len(jaxpr.constvars), (len(self.consts), len(jaxpr.constvars))
        self.cache: dict[Any, Any] = {}  # what was derived from it, owned so that they die together

    in_avals = property(lambda self: self.jaxpr.in_avals)
    out_avals = property(lambda self: self.jaxpr.out_avals)
    eqns = property(lambda self: self.jaxpr.eqns)
    effects = property(lambda self: self.jaxpr.effects)
    constvars = property(lambda self: self.jaxpr.constvars)
    invars = property(lambda self: self.jaxpr.invars)
    outvars = property(lambda self: self.jaxpr.outvars)
    debug_info = property(lambda self: self.jaxpr.debug_info)
    literals = property(lambda self: self.consts)

    def replace(self, *, jaxpr=None, consts=None) -> ClosedJaxpr:
        return ClosedJaxpr(jaxpr or self.jaxpr, self.consts if consts is None else consts)

    def derive(self, rule: Callable[..., Derived], *args) -> Derived:
        """``rule(self, *args)``, made once: its jvp, its batched form, ... Equal calls then stay calls of one program.

        Programs may be nested deeper than Python's stack: what is met too deep down is made first, from the outermost
        call, and then the programs around it again. None is made more than twice.
        """
        key = (rule, *args)
        if key in self.cache:
            return self.cache[key]
        if _deriving.depth >= _DEEPEST and not axis_sizes():  # axes in scope are known here only
            raise _TooDeep(self, rule, args)
        waiting: list[tuple] = [(self, rule, args)]
        _deriving.depth += 1
        try:
            while waiting:
                closed, first, rest = waiting[-1]
                try:
                    closed.cache[(first, *rest)] = first(closed, *rest)
                    waiting.pop()
                except _TooDeep as inner:
                    if _deriving.depth > 1:
                        raise
                    waiting.append(inner.args)
        finally:
            _deriving.depth -= 1
        return self.cache[key]


class _Deriving(threading.local):
    depth = 0  # how many programs are being made, one inside the other


_deriving = _Deriving()
_DEEPEST = 20


class _TooDeep(BaseException):
    """``(program, rule, arguments)`` to be derived from the outermost call; no error, so nothing on the way may keep it."""


def join_effects(eqns: Iterable[Eqn]) -> frozenset:
    effects = no_effects
    for eqn in eqns:
        if eqn.effects:
            effects |= eqn.effects
    return effects


def subjaxprs(params: dict[str, Any]) -> Iterable[Jaxpr]:
    """The jaxprs inside an equation's parameters, also those in tuples (``branches``)."""
    for value in params.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item


def eval_jaxpr(jaxpr: Jaxpr, consts: Sequence, *args) -> list:
    """Apply a jaxpr equation by equation, under whatever trace is current."""
    return interpret(jaxpr, consts, args, bind_equation)


def bind_equation(eqn: Eqn, operands: Sequence) -> Sequence:
    """The results of an equation, under whatever trace is current."""
    out = eqn.primitive.bind(*operands, **eqn.params)
    return out if eqn.primitive.multiple_results else [out]


def interpret(jaxpr: Jaxpr, consts: Sequence, args: Sequence, rule: Callable[[Eqn, list], Sequence]) -> list:
    """Run a jaxpr with another meaning: ``rule(equation, operands) -> results``. What is bound keeps the equation's line.

    Values are dropped after their last use, so that running a program eagerly needs no more memory than it must.
    """
    if len(args) != len(jaxpr.invars):
        raise TypeError(f"this jaxpr takes {len(jaxpr.invars)} arguments, got {len(args)}")
    env: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    last = last_uses(jaxpr)
    with replaying() as replay:
        for i, eqn in enumerate(jaxpr.eqns):
            replay.at(eqn.source)
            operands = [x.val if type(x) is Literal else env[x] for x in eqn.invars]
            env.update(zip(eqn.outvars, rule(eqn, operands), strict=True))
            for v in last.get(i, ()):
                env.pop(v, None)
    return [x.val if type(x) is Literal else env[x] for x in jaxpr.outvars]


def last_uses(jaxpr: Jaxpr) -> dict[int, list[Var]]:
    """Equation index -> variables that no later equation or result reads."""
    seen = {v for v in jaxpr.outvars if type(v) is not Literal}
    last: dict[int, list[Var]] = {}
    for i in range(len(jaxpr.eqns) - 1, -1, -1):
        eqn = jaxpr.eqns[i]
        dying = []
        for v in (*eqn.outvars, *eqn.invars):
            if type(v) is not Literal and v not in seen:
                seen.add(v)
                dying.append(v)
        if dying:
            last[i] = dying
    return last


def dce_jaxpr(jaxpr: Jaxpr, used_outputs: Sequence[bool], keep_inputs: bool = True):
    """Remove equations without effects whose results are not used.

    Returns:
      ``(jaxpr, used_inputs)``; with ``keep_inputs`` the arguments stay as they are and only the equations go.
    """
    outvars = [v for v, used in zip(jaxpr.outvars, used_outputs, strict=True) if used]
    live = {v for v in outvars if type(v) is not Literal}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if eqn.effects or any(v in live for v in eqn.outvars):
            kept.append(eqn)
            live.update(v for v in eqn.invars if type(v) is not Literal)
    used_inputs = [v in live for v in jaxpr.invars]
    invars = jaxpr.invars if keep_inputs else [v for v, u in zip(jaxpr.invars, used_inputs, strict=True) if u]
    return jaxpr.replace(invars=invars, outvars=outvars, eqns=kept[::-1]), used_inputs


def without_dead_code(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same program less the equations that no result needs."""
    return closed.derive(_live_program)


def _live_program(closed: ClosedJaxpr) -> ClosedJaxpr:
    jaxpr, _ = dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return closed if len(jaxpr.eqns) == len(closed.jaxpr.eqns) else ClosedJaxpr(jaxpr, closed.consts)


__all__ = [
    "Atom", "ClosedJaxpr", "DebugInfo", "DropVar", "Eqn", "Jaxpr", "JaxprEqn", "Literal", "Var",
    "bind_equation", "dce_jaxpr", "eval_jaxpr", "get_aval", "interpret", "join_effects", "last_uses", "subjaxprs",
    "without_dead_code",
]  # fmt: skip
