"""The type checker of jaxprs: every pass that builds one can be held to what jaxprs promise.

    every variable is bound once, before it is used, with the type its uses see;
    the results of an equation have the types that its primitive infers;
    effects of equations are effects of the program;
    all of this holds for the jaxprs inside equations.

The time is linear in the size of the program: a jaxpr that stands in several equations, or in several programs, is checked
once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from addax.core.avals import ShapedArray, get_aval
from addax.core.config import enable_checks
from addax.core.errors import JaxprTypeError
from addax.core.jaxpr import ClosedJaxpr, DropVar, Eqn, Jaxpr, Literal, Var, subjaxprs
from addax.core.primitive import Primitive
from addax.core.printer import Names, write_eqn
from addax.core.source_info import SourceInfo

# How many equations an error shows on either side of the bad one.
_NEIGHBOURS = 10

# Programs that passed. They are immutable, and parts of larger programs: a nest of transformations is checked once.
_sound: WeakSet[Jaxpr] = WeakSet()


def check_jaxpr(jaxpr: Jaxpr | ClosedJaxpr) -> None:
    """Check that a program is well-formed and well-typed.

    Shapes and dtypes have to agree; weak types need not.

    Raises:
      JaxprTypeError: with the equations around the bad one, what was expected, what was found, and the user's line.
    """
    if isinstance(jaxpr, ClosedJaxpr):
        _check_consts(jaxpr)
        jaxpr = jaxpr.jaxpr
    if jaxpr in _sound:
        return
    todo: list[tuple[Jaxpr, str, tuple]] = [(jaxpr, "", ())]
    seen = {jaxpr}
    while todo:
        program, where, scopes = todo.pop()
        with contextlib.ExitStack() as stack:
            for scope, params in scopes:  # outermost first: the named axes that are bound around this program
                stack.enter_context(scope(params))
            _Check(program, where).run()
        for i, eqn in enumerate(program.eqns):
            if not eqn.params:
                continue
            scope = eqn.primitive.scope
            inner_scopes = scopes if scope is None else (*scopes, (scope, eqn.params))
            for inner in subjaxprs(eqn.params):
                if inner not in seen and inner not in _sound:
                    seen.add(inner)
                    todo.append((inner, f"{where}in a jaxpr of equation {i} ({eqn.primitive}), ", inner_scopes))
    _sound.update(seen)


def check_if_enabled(jaxpr: Jaxpr | ClosedJaxpr) -> None:
    """`check_jaxpr` if the option ``enable_checks`` is on: for the places that build jaxprs."""
    if enable_checks.value:
        check_jaxpr(jaxpr)


def _check_consts(closed: ClosedJaxpr) -> None:
    if len(closed.consts) != len(closed.jaxpr.constvars):
        raise JaxprTypeError(
            f"this ClosedJaxpr has {len(closed.consts)} constants for {len(closed.jaxpr.constvars)} constvars"
        )
    for i, (v, c) in enumerate(zip(closed.jaxpr.constvars, closed.consts, strict=True)):
        if not same_type(v.aval, get_aval(c)):
            raise JaxprTypeError(
                f"constant {i} of this ClosedJaxpr: expected {_show(v.aval)}, found a {_show(get_aval(c))}"
            )


def same_type(a: Any, b: Any) -> bool:
    """Whether two types agree in everything but weak type."""
    if a is b:
        return True
    if isinstance(a, ShapedArray) and isinstance(b, ShapedArray):
        return a.shape == b.shape and a.dtype == b.dtype
    return type(a) is type(b)


class _Check:
    """The check of one jaxpr, the ones inside it left out."""

    def __init__(self, jaxpr: Jaxpr, where: str):
        self.jaxpr, self.where = jaxpr, where
        self.bound: set[Var] = set()

    def run(self) -> None:
        jaxpr = self.jaxpr
        for kind, binders in (("constvar", jaxpr.constvars), ("argument", jaxpr.invars)):
            for i, v in enumerate(binders):
                if not isinstance(v, Var):
                    self.fail(None, f"{kind} {i} is {v!r}; expected a variable")
                if v in self.bound:
                    self.fail(None, f"{kind} {i} is a variable that is bound already")
                self.bound.add(v)
        for i, eqn in enumerate(jaxpr.eqns):
            self.eqn(i, eqn)
        for i, x in enumerate(jaxpr.outvars):
            self.atom(len(jaxpr.eqns), x, f"result {i} of the jaxpr")

    def eqn(self, i: int, eqn: Eqn) -> None:
        if not isinstance(eqn.primitive, Primitive):
            self.fail(i, f"expected a primitive, found {eqn.primitive!r}")
        for n, x in enumerate(eqn.invars):
            if type(x) is not Var or x not in self.bound:
                self.atom(i, x, f"operand {n} of {eqn.primitive}")
        self.infer(i, eqn)
        self.effects(i, eqn)
        notation = eqn.primitive.notation
        if notation.call is not None and notation.call in eqn.params:
            self.called(i, eqn, eqn.params[notation.call])
        for n, v in enumerate(eqn.outvars):
            if not isinstance(v, Var):
                self.fail(i, f"result {n} of {eqn.primitive} is {v!r}; expected a variable")
            if v in self.bound:
                self.fail(i, f"result {n} of {eqn.primitive} is a variable that is bound already; each is bound once")
            self.bound.add(v)

    def atom(self, i: int, x: Any, what: str) -> None:
        if isinstance(x, Literal):
            found = get_aval(x.val) if isinstance(x.aval, ShapedArray) else x.aval
            # A Python number takes whatever type the literal has; a NumPy scalar or an array has its own.
            typed = isinstance(found, ShapedArray) and type(x.val) not in (bool, int, float, complex)
            if typed and not same_type(found, x.aval):
                self.fail(i, f"{what} is a literal: expected a value of type {_show(x.aval)}, found {_show(found)}")
        elif not isinstance(x, Var):
            self.fail(i, f"{what} is {x!r}; expected a variable or a literal")
        elif type(x) is DropVar:
            self.fail(i, f"{what} is a DropVar, which stands for a result that nobody reads")
        elif x not in self.bound:
            self.fail(i, f"{what} is a variable that is not bound before this place", unbound=x)

    def infer(self, i: int, eqn: Eqn) -> None:
        try:
            expected = eqn.primitive.infer(tuple(x.aval for x in eqn.invars), eqn.params)
        except Exception as error:
            operands = ", ".join(_show(x.aval) for x in eqn.invars) or "no operands"
            self.fail(i, f"{eqn.primitive} does not apply to {operands}: {type(error).__name__}: {error}", cause=error)
        if len(expected) != len(eqn.outvars):
            self.fail(i, f"{eqn.primitive} has {len(expected)} results, this equation binds {len(eqn.outvars)}")
        for n, (aval, v) in enumerate(zip(expected, eqn.outvars, strict=True)):
            if aval is not v.aval and not same_type(aval, v.aval):
                self.fail(
                    i,
                    f"result {n} of {eqn.primitive} has the wrong type: expected {_show(aval)}, found {_show(v.aval)}",
                )

    def effects(self, i: int, eqn: Eqn) -> None:
        if eqn.primitive.effects is not None:
            missing = eqn.primitive.effects(*(x.aval for x in eqn.invars), **eqn.params) - eqn.effects
            if missing:
                self.fail(i, f"{eqn.primitive} has effects that the equation does not list: {_list(missing)}")
        missing = eqn.effects - self.jaxpr.effects
        if missing:
            self.fail(i, f"{eqn.primitive} has effects that the jaxpr does not list: {_list(missing)}")

    def called(self, i: int, eqn: Eqn, inner: Jaxpr | ClosedJaxpr) -> None:
        """The operands and results of a call are those of the jaxpr it calls."""
        for kind, outer, given in (("operand", eqn.invars, inner.in_avals), ("result", eqn.outvars, inner.out_avals)):
            if len(outer) != len(given):
                self.fail(i, f"{eqn.primitive} has {len(outer)} {kind}s, the jaxpr it calls has {len(given)}")
            for n, (x, aval) in enumerate(zip(outer, given, strict=True)):
                if not same_type(x.aval, aval):
                    self.fail(
                        i,
                        f"{kind} {n} of {eqn.primitive} does not match the jaxpr it calls: expected {_show(aval)}, "
                        f"found {_show(x.aval)}",
                    )

    def fail(self, i: int | None, message: str, unbound: Var | None = None, cause: Exception | None = None):
        """Report equation ``i``; ``len(eqns)`` stands for the results, None for the arguments."""
        jaxpr = self.jaxpr
        place = "in its arguments" if i is None else "in its results" if i == len(jaxpr.eqns) else f"in equation {i}"
        info = jaxpr.debug_info
        name = f" of {info.func_name}" if info is not None and info.func_name else ""
        text = f"this jaxpr{name} is wrong, {self.where}{place}: {message}"
        if i is not None and i < len(jaxpr.eqns) and jaxpr.eqns[i].source is not None:
            text += f"\nThe equation comes from {SourceInfo(jaxpr.eqns[i].source)}."
        names = _names_up_to(jaxpr, i)
        if unbound is not None:
            text += f"\nThe variable is {names[unbound]}:{_show(unbound.aval)}."
        raise JaxprTypeError("\n".join([text, *_neighbourhood(jaxpr, i, names)])) from cause


def _names_up_to(jaxpr: Jaxpr, i: int | None) -> Names:
    """The names that variables have when the whole program prints, but for those in nested jaxprs."""
    names = Names()
    last = 0 if i is None else i + _NEIGHBOURS + 1
    for v in (*jaxpr.constvars, *jaxpr.invars, *(v for eqn in jaxpr.eqns[:last] for v in eqn.outvars)):
        if isinstance(v, Var):
            names[v]
    return names


def _neighbourhood(jaxpr: Jaxpr, i: int | None, names: Names) -> Iterable[str]:
    """The equations around the i-th, which is marked."""
    at = -1 if i is None else i
    first, last = max(0, at - _NEIGHBOURS), min(len(jaxpr.eqns), at + _NEIGHBOURS + 1)
    binders = [*jaxpr.constvars, *jaxpr.invars]
    arguments = " ".join(f"{names[v]}:{_show(v.aval)}" for v in binders[:20] if isinstance(v, Var))
    yield f"{_mark(i is None)}lambda {arguments}{' ...' if len(binders) > 20 else ''}"
    if first > 0:
        yield f"{_mark(False)}... {first} equations"
    for n in range(first, last):
        lines = _written(jaxpr.eqns[n], names).split("\n")
        shown = lines if n == at or len(lines) <= 2 else [f"{lines[0]} ... {lines[-1]}"]
        yield from (f"{_mark(n == at and k == 0)}{line}" for k, line in enumerate(shown))
    if last < len(jaxpr.eqns):
        yield f"{_mark(False)}... {len(jaxpr.eqns) - last} equations"
    if last == len(jaxpr.eqns):
        results = ", ".join(names[x] if isinstance(x, Var) else repr(x) for x in jaxpr.outvars[:20])
        yield f"{_mark(at == len(jaxpr.eqns))}in ({results}{', ...' if len(jaxpr.outvars) > 20 else ''})"


def _mark(here: bool) -> str:
    return "  --> " if here else "      "


def _written(eqn: Eqn, names: Names) -> str:
    try:
        return write_eqn(eqn, names)
    except Exception as error:  # an equation so broken that it does not print
        return f"{eqn.primitive} (does not print: {error})"


def _show(aval: Any) -> str:
    return aval.str_short(True) if hasattr(aval, "str_short") else repr(aval)


def _list(effects: Iterable) -> str:
    return ", ".join(sorted(map(str, effects)))
