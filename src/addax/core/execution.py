"""How programs get run, as seen from below the engines.

Engines stand on the upper floors; they install themselves here when ``addax`` is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from addax import _native
from addax.core.checker import check_if_enabled
from addax.core.config import current_context
from addax.core.jaxpr import ClosedJaxpr, subjaxprs
from addax.core.mesh import AbstractMesh, Mesh
from addax.core.sharding import NamedSharding, SingleDeviceSharding


@dataclass(frozen=True)
class CompileOptions:
    """Everything that may change what is compiled, fixed at the jit boundary and part of every cache key.

    Attributes:
      device: where to run, if it was asked for.
      donated: numbers of the arguments whose memory may be reused.
      compiler_options: for the engine.
      in_shardings: per argument where it is (None: anywhere); () if no argument is bound to a place.
      out_shardings: per result where it shall be (None: as the engine likes); () if nothing is asked for.
    """

    device: Any = None
    donated: tuple[int, ...] = ()
    compiler_options: tuple[tuple[str, Any], ...] = ()
    in_shardings: tuple[Any, ...] = ()
    out_shardings: tuple[Any, ...] = ()


def shardings_of(leaves: Sequence[Any]) -> tuple[Any, ...]:
    """Where the arrays among ``leaves`` are that were put there on purpose, None for others; () if none was."""
    found = tuple([x._device if type(x) is _native.Array and x._committed else None for x in leaves])
    return found if any(found) else ()


def meshes_in(closed: ClosedJaxpr) -> list[Any]:
    """The meshes that the equations of a program name."""
    if not Mesh._interned:
        return []
    found: dict[Any, None] = {}
    stack = [closed.jaxpr]
    while stack:
        for eqn in stack.pop().eqns:
            for value in eqn.params.values():
                if isinstance(value, (Mesh, AbstractMesh)):
                    found[value] = None
                elif isinstance(value, NamedSharding):
                    found[value.mesh] = None
            stack += subjaxprs(eqn.params)
    return list(found)


def device_in(closed: ClosedJaxpr) -> Any:
    """The one device on which the equations of a program put values; None if they name none, or several."""
    if not SingleDeviceSharding._interned:
        return None
    found, stack = set(), [closed.jaxpr]
    while stack:
        for eqn in stack.pop().eqns:
            where = eqn.params.get("sharding")
            if isinstance(where, SingleDeviceSharding):
                found.update(where.device_list)
            stack += subjaxprs(eqn.params)
    return found.pop() if len(found) == 1 else None


_compile_rule: Any = None


def set_compile_rule(rule) -> None:
    """``rule(closed_jaxpr, options) -> compiled``, with ``compiled.executable`` callable on a list of arrays."""
    global _compile_rule
    _compile_rule = rule


_prepare_rule: Any = None
# Effects of equations that are taken care of before a program is compiled: effect -> the module whose `prepare` does it.
effect_rules: dict[Any, str] = {}


def set_prepare_rule(rule) -> None:
    """``rule(module name, closed_jaxpr, options) -> closed_jaxpr``; modules stand above and are loaded when needed."""
    global _prepare_rule
    _prepare_rule = rule


def compile_program(closed: ClosedJaxpr, options: CompileOptions):
    if _compile_rule is None:
        raise RuntimeError("no engine is loaded to compile programs; import addax, not its parts")
    check_if_enabled(closed)
    wanted = {effect_rules[e]: None for e in closed.effects if e in effect_rules}
    c = current_context()
    behaviours = (c.error_checking_behavior_nan, c.error_checking_behavior_divide, c.error_checking_behavior_oob)
    if c.debug_checks or "raise" in behaviours:
        wanted["addax.transforms.checkify"] = None
    for module in wanted:
        closed = _prepare_rule(module, closed, options)
    return _compile_rule(closed, options)
