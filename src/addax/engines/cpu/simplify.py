"""simplify: a jaxpr without calls, duplicates, dead code and avoidable arithmetic.

One forward walk: every equation is offered to the rewrite rules of its primitive (``simplify_rules.RULES``), then to
common-subexpression elimination; calls are inlined as they are met. One backward walk drops what nobody reads. Effects
keep their equations, in order. Linear in the size of the inlined program.

Layout equations are left alone: fuse turns them into index maps, which cost nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core.checker import check_if_enabled
from addax.core.jaxpr import Atom, ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from addax.core.primitive import Primitive, registry
from addax.engines.cpu import (
    simplify_random as simplify_random,  # these register rules
    simplify_windows as simplify_windows,
)
from addax.engines.cpu.simplify_rules import EXACT_FOLDS, RULES

# Programs as parameters; and what keeps two computations of a value apart.
_NOT_SHARED = frozenset({"while", "cond", "scan", "optimization_barrier"})


def simplify(closed: ClosedJaxpr) -> ClosedJaxpr:
    """An equivalent program: same arguments, same results (up to weak types), same effects."""
    found = closed.cache.get("cpu.simplified")
    if found is None:
        found = closed.cache["cpu.simplified"] = _Simplifier().run(closed)
        check_if_enabled(found)
    return found


class _Simplifier:
    def __init__(self):
        self.eqns: list[Eqn] = []
        self.definitions: dict[Var, Eqn] = {}
        self.known: dict[Any, list[Var]] = {}  # equation key -> its results
        self.constvars: list[Var] = []
        self.consts: list = []
        self.const_of: dict[int, Var] = {}
        self.uses: dict[Var, int] = {}

    def run(self, closed: ClosedJaxpr) -> ClosedJaxpr:
        jaxpr = closed.jaxpr
        env: dict[Var, Atom] = {}
        self.bind_consts(closed, env)
        self.count_uses(jaxpr)
        outs = self.walk(jaxpr, env, fresh=False)
        eqns, outs = without_barriers(self.drop_dead(outs), outs)
        return ClosedJaxpr(Jaxpr(self.constvars, jaxpr.invars, outs, eqns, None, jaxpr.debug_info), self.consts)

    def bind_consts(self, closed: ClosedJaxpr, env: dict):
        for v, c in zip(closed.jaxpr.constvars, closed.consts, strict=True):
            env[v] = self.constant(c, v)

    def constant(self, value, var: Var) -> Atom:
        if not var.aval.shape and isinstance(value, (bool, int, float, complex, np.generic)):
            return Literal(value, var.aval)
        found = self.const_of.get(id(value))
        if found is None:
            found = self.const_of[id(value)] = Var(var.aval)
            self.constvars.append(found)
            self.consts.append(value)
        return found

    def count_uses(self, jaxpr: Jaxpr):
        uses = self.uses
        for eqn in jaxpr.eqns:
            for x in eqn.invars:
                if type(x) is not Literal:
                    uses[x] = uses.get(x, 0) + 1
        for x in jaxpr.outvars:
            if type(x) is not Literal:
                uses[x] = uses.get(x, 0) + 1

    # ---- the forward walk

    def walk(self, jaxpr: Jaxpr, env: dict[Var, Atom], fresh: bool) -> list[Atom]:
        """Copy the equations of ``jaxpr`` into the result. ``fresh``: this program may be met again, rename its variables.

        Calls are entered without recursion, for they may be nested deeply.
        """
        calls: list[tuple] = []  # (what is left of the program around, its environment, its fresh, the call)
        program, eqns = jaxpr, iter(jaxpr.eqns)
        while True:
            get = env.get
            for eqn in eqns:
                invars = [x if type(x) is Literal else get(x, x) for x in eqn.invars]
                if eqn.primitive.expand is not None:
                    calls.append((program, eqns, env, fresh, eqn))
                    program, env = self.entered(eqn, invars)
                    eqns, fresh = iter(program.eqns), True
                    break
                outs = self.equation(eqn.primitive, invars, eqn.outvars, eqn.params, eqn, fresh)
                for v, x in zip(eqn.outvars, outs, strict=True):
                    if x is not v:
                        env[v] = x
                        if type(x) is not Literal and v in self.uses:
                            gone = 1 if any(x is y for y in invars) else 0  # the equation that went no longer reads it
                            self.uses[x] = self.uses.get(x, 0) + self.uses[v] - gone
            else:
                outs = [x if type(x) is Literal else get(x, x) for x in program.outvars]
                if not calls:
                    return outs
                program, eqns, env, fresh, call = calls.pop()
                env.update(zip(call.outvars, outs, strict=True))

    def entered(self, eqn: Eqn, invars: list[Atom]) -> tuple[Jaxpr, dict[Var, Atom]]:
        """The program that a call-like equation stands for, and the values of its arguments."""
        closed = eqn.primitive.expand(*[x.aval for x in eqn.invars], **eqn.params)
        env: dict[Var, Atom] = {}
        self.bind_consts(closed, env)
        env.update(zip(closed.jaxpr.invars, invars, strict=True))
        self.count_uses(closed.jaxpr)
        return closed.jaxpr, env

    def equation(self, primitive: Primitive, invars, outvars, params, eqn: Eqn, fresh: bool) -> list[Atom]:
        """The results of one equation: those of a rewrite, of an equal equation met before, or its own."""
        name = primitive.name
        if not eqn.effects and outvars:
            rules = RULES.get(name)
            if rules is not None:
                aval = outvars[0].aval
                for rule in rules:
                    new = rule(self, invars, params, aval)
                    if new is not None:
                        return new if type(new) is list else [new]
            if name in EXACT_FOLDS and len(outvars) == 1:
                folded = self.fold(primitive, invars, params, outvars[0].aval)
                if folded is not None:
                    return [folded]
        if name in _NOT_SHARED or eqn.effects:
            key = None
            params = _simplify_inner(params)
        else:
            key = (name, tuple([_literal_key(x) if type(x) is Literal else x for x in invars]), *params.items())
            try:
                found = self.known.get(key)
                if found is not None:
                    return found
            except TypeError:  # an unhashable parameter
                key = None
        new_outs = [Var(v.aval) for v in outvars] if fresh else list(outvars)
        if fresh:
            for v, w in zip(outvars, new_outs, strict=True):
                self.uses[w] = self.uses.get(v, 0)
        new = Eqn(primitive, invars, new_outs, params, eqn.effects, eqn.source)
        self.eqns.append(new)
        for v in new_outs:
            self.definitions[v] = new
        if key is not None:
            self.known[key] = new_outs
        return new_outs

    # ---- what rules use

    def emit(self, name: str, invars: list[Atom], aval, source: Eqn | None = None, **params) -> Atom:
        """A new equation with one result (itself simplified)."""
        primitive = registry[name]
        out = Var(aval)
        self.uses[out] = 1
        eqn = Eqn(primitive, invars, [out], params, frozenset(), source.source if source is not None else None)
        return self.equation(primitive, invars, [out], params, eqn, fresh=False)[0]

    def definition(self, x: Atom, name: str) -> Eqn | None:
        """The equation that defines ``x`` if it applies the named primitive."""
        eqn = self.definitions.get(x) if type(x) is not Literal else None
        return eqn if eqn is not None and eqn.primitive.name == name else None

    def used_once(self, x: Atom) -> bool:
        return self.uses.get(x, 0) <= 1

    def fold(self, primitive, invars, params, aval) -> Literal | None:
        """Evaluate an equation whose operands are all literals, by the primitive's definition."""
        if aval.shape or not invars:
            return None
        for x in invars:
            if type(x) is not Literal:
                return None
        with np.errstate(all="ignore"):
            value = primitive.reference(*[np.asarray(x.val, x.aval.dtype) for x in invars], **params)
        return Literal(np.asarray(value, aval.dtype)[()], aval)

    # ---- the backward walk

    def drop_dead(self, outs: list[Atom]) -> list[Eqn]:
        live = {x for x in outs if type(x) is not Literal}
        kept = []
        for eqn in reversed(self.eqns):
            if not eqn.effects:
                for v in eqn.outvars:
                    if v in live:
                        break
                else:
                    continue
            kept.append(eqn)
            for x in eqn.invars:
                if type(x) is not Literal:
                    live.add(x)
        kept.reverse()
        pairs = [(v, c) for v, c in zip(self.constvars, self.consts, strict=True) if v in live]
        self.constvars, self.consts = [v for v, _ in pairs], [c for _, c in pairs]
        return kept


def without_barriers(eqns: list[Eqn], outs: list[Atom]) -> tuple[list[Eqn], list[Atom]]:
    """Each ``optimization_barrier`` replaced by its operands: it has done its work, nothing merges equations after this."""
    if not any(e.primitive.name == "optimization_barrier" for e in eqns):
        return eqns, outs
    same: dict[Atom, Atom] = {}
    read = lambda x: same.get(x, x) if type(x) is Var else x  # noqa: E731
    kept = []
    for eqn in eqns:
        invars = [read(x) for x in eqn.invars]
        if eqn.primitive.name == "optimization_barrier":
            same.update(zip(eqn.outvars, invars, strict=True))
        else:
            kept.append(Eqn(eqn.primitive, invars, eqn.outvars, eqn.params, eqn.effects, eqn.source))
    return kept, [read(x) for x in outs]


def _literal_key(x: Literal) -> tuple:
    # As text, because 0.0 == -0.0 == 0 == False, and nan != nan.
    return (x.aval.dtype, str(x.val))


def _simplify_inner(params: dict[str, Any]) -> dict[str, Any]:
    """Simplify the programs inside an equation's parameters."""
    out = params
    for k, v in params.items():
        new = v
        if isinstance(v, ClosedJaxpr):
            new = simplify(v)
        elif type(v) is tuple and v and isinstance(v[0], ClosedJaxpr):
            new = tuple([simplify(x) for x in v])
        if new is not v:
            out = dict(out) if out is params else out
            out[k] = new
    return out
