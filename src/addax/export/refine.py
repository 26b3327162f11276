"""A program with symbolic sizes becomes one with known sizes.

Sizes stand in types and in parameters; both are replaced, here and in all programs inside. What the shape rules decided
for all sizes at once they must then decide alike for these: the checker goes over the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addax.core.avals import ShapedArray
from addax.core.checker import check_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from addax.core.sizes import SymbolicSize
from addax.core.symbolic import substitute


def refine(closed: ClosedJaxpr, sizes: Mapping[str, Any]) -> ClosedJaxpr:
    """``closed`` with values (ints, or other symbolic sizes) for its dimension variables; checked.

    Raises:
      JaxprTypeError: if for these sizes the program is not well-typed: something was decided while tracing that does not
        hold for them.
    """
    refined = _Refiner(sizes).closed(closed)
    check_jaxpr(refined)
    return refined


class _Refiner:
    def __init__(self, sizes: Mapping[str, Any]):
        self.sizes = sizes
        self.done: dict[int, Any] = {}  # programs that stand in several equations stay one

    def closed(self, closed: ClosedJaxpr) -> ClosedJaxpr:
        found = self.done.get(id(closed))
        if found is None:
            found = self.done[id(closed)] = ClosedJaxpr(self.jaxpr(closed.jaxpr), closed.consts)
        return found

    def jaxpr(self, jaxpr: Jaxpr) -> Jaxpr:
        found = self.done.get(id(jaxpr))
        if found is not None:
            return found
        env: dict[Any, Any] = {}

        def bind(v: Var) -> Var:
            new = env[v] = type(v)(self.value(v.aval))
            return new

        def read(x):
            return x if type(x) is Literal else env[x]

        constvars = list(map(bind, jaxpr.constvars))
        invars = list(map(bind, jaxpr.invars))
        eqns: list[Eqn] = []
        for eqn in jaxpr.eqns:
            if eqn.primitive.name == "dim_as_value":
                size = substitute(eqn.params["dim"], self.sizes)
                if not isinstance(size, SymbolicSize):
                    env[eqn.outvars[0]] = Literal(size, eqn.outvars[0].aval)
                    continue
            params = {k: self.value(v) for k, v in eqn.params.items()} if eqn.params else eqn.params
            invars_ = [read(x) for x in eqn.invars]
            eqns.append(eqn.replace(invars=invars_, outvars=list(map(bind, eqn.outvars)), params=params))
        result = Jaxpr(constvars, invars, list(map(read, jaxpr.outvars)), eqns, jaxpr.effects, jaxpr.debug_info)
        self.done[id(jaxpr)] = result
        return result

    def value(self, x: Any) -> Any:
        """A parameter or a type with its sizes replaced."""
        if isinstance(x, SymbolicSize):
            return substitute(x, self.sizes)
        if isinstance(x, ShapedArray):
            return x.update(shape=tuple(substitute(d, self.sizes) for d in x.shape))
        if isinstance(x, ClosedJaxpr):
            return self.closed(x)
        if isinstance(x, Jaxpr):
            return self.jaxpr(x)
        if isinstance(x, tuple):
            values = [self.value(v) for v in x]
            if all(v is w for v, w in zip(values, x, strict=True)):
                return x
            return type(x)(*values) if hasattr(x, "_fields") else tuple(values)
        if isinstance(x, dict):
            return {k: self.value(v) for k, v in x.items()}
        return x


def has_symbols(closed: ClosedJaxpr) -> bool:
    """Whether the types of the arguments or results of a program have symbolic sizes."""
    avals = (*closed.in_avals, *closed.out_avals)
    return any(isinstance(d, SymbolicSize) for a in avals for d in getattr(a, "shape", ()))


__all__ = ["has_symbols", "refine"]
