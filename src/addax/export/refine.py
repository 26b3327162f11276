"""Rewriting programs for export: without Python functions, and with known sizes in the place of symbolic ones.

Sizes stand in types and in parameters; both are replaced, here and in all programs inside. What the shape rules decided
for all sizes at once they must then decide alike for these: the checker goes over the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addax.core.avals import ShapedArray
from addax.core.checker import check_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from addax.core.mesh import AbstractMesh, Mesh
from addax.core.primitive import Primitive
from addax.core.sharding import NamedSharding
from addax.core.sizes import SymbolicSize
from addax.core.symbolic import substitute
from addax.export.meshes import OpenMesh, opened
from addax.ops.call import jit_p


def as_data(closed: ClosedJaxpr) -> ClosedJaxpr:
    """``closed`` without Python functions and devices in it.

    An equation with a function in its parameters, the rule of a `custom_jvp` or the policy of a `checkpoint`, becomes a
    call of the plain program that it stands for (its `expand` rule). Others are left: a callback has no such program.
    """
    return _Rewriter().closed(closed)


def refine(closed: ClosedJaxpr, sizes: Mapping[str, Any], devices: Any = None) -> ClosedJaxpr:
    """``closed`` with values (ints, or other symbolic sizes) for its dimension variables, and devices for its meshes; checked.

    Raises:
      JaxprTypeError: if for these sizes the program is not well-typed: something was decided while tracing that does not
        hold for them.
    """
    refined = _Refiner(sizes, devices).closed(closed)
    check_jaxpr(refined)
    return refined


class _Rewriter:
    """Goes over all equations of a program, and of those in it."""

    def __init__(self):
        self.done: dict[int, Any] = {}  # programs that stand in several equations stay one
        self.alive: list[Any] = []  # keeps their ids unique

    def closed(self, closed: ClosedJaxpr) -> ClosedJaxpr:
        found = self.done.get(id(closed))
        if found is None:
            found = self.done[id(closed)] = ClosedJaxpr(self.jaxpr(closed.jaxpr), closed.consts)
            self.alive.append(closed)
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
            known = self.number(eqn)
            if known is not None:
                env[eqn.outvars[0]] = known
                continue
            primitive, params = self.application(eqn)
            if params:
                params = {k: self.value(v) for k, v in params.items()}
            operands = list(map(read, eqn.invars))
            eqns.append(Eqn(primitive, operands, list(map(bind, eqn.outvars)), params, eqn.effects, eqn.source))
        result = Jaxpr(constvars, invars, list(map(read, jaxpr.outvars)), eqns, jaxpr.effects, jaxpr.debug_info)
        self.done[id(jaxpr)] = result
        self.alive.append(jaxpr)
        return result

    def number(self, eqn: Eqn) -> Literal | None:
        """The number that an equation is to be replaced by."""
        return None

    def application(self, eqn: Eqn) -> tuple[Primitive, dict[str, Any]]:
        if eqn.primitive.expand is None or not any(map(_is_function, eqn.params.values())):
            return eqn.primitive, eqn.params
        program = eqn.primitive.expand(*(x.aval for x in eqn.invars), **eqn.params)
        name = eqn.params.get("name")
        return jit_p, {"jaxpr": program, "name": name if isinstance(name, str) else eqn.primitive.name}

    def size(self, d: Any) -> Any:
        return d

    def mesh(self, mesh: Any) -> Any:
        return opened(mesh)

    def value(self, x: Any) -> Any:
        """A parameter or a type with its sizes replaced."""
        if isinstance(x, SymbolicSize):
            return self.size(x)
        if isinstance(x, ShapedArray):
            return x.update(shape=tuple(map(self.size, x.shape)))
        if isinstance(x, (Mesh, AbstractMesh)):
            return self.mesh(x)
        if isinstance(x, NamedSharding):
            return NamedSharding(self.mesh(x.mesh), x.spec)
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


class _Refiner(_Rewriter):
    """Puts sizes in the place of symbols."""

    def __init__(self, sizes: Mapping[str, Any], devices: Any):
        super().__init__()
        self.sizes, self.devices = sizes, devices

    def mesh(self, mesh: Any) -> Any:
        return mesh.placed(self.devices) if isinstance(mesh, OpenMesh) and self.devices is not None else mesh

    def number(self, eqn: Eqn) -> Literal | None:
        if eqn.primitive.name != "dim_as_value":
            return None
        size = self.size(eqn.params["dim"])
        return None if isinstance(size, SymbolicSize) else Literal(size, eqn.outvars[0].aval)

    def size(self, d: Any) -> Any:
        return substitute(d, self.sizes)


def _is_function(x: Any) -> bool:
    return callable(x) and not isinstance(x, type)


def has_symbols(closed: ClosedJaxpr) -> bool:
    """Whether the types of the arguments or results of a program have symbolic sizes."""
    avals = (*closed.in_avals, *closed.out_avals)
    return any(isinstance(d, SymbolicSize) for a in avals for d in getattr(a, "shape", ()))


__all__ = ["as_data", "has_symbols", "refine"]
