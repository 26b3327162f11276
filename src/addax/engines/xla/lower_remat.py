"""What `checkpoint` is made of: ``optimization_barrier``, ``name`` and ``to_memory``."""

from __future__ import annotations

from addax.core.jaxpr import Eqn
from addax.engines.xla.block import Block, Value
from addax.engines.xla.rules import rule


@rule("optimization_barrier")
def _optimization_barrier(b: Block, eqn: Eqn, *xs: Value) -> list[Value]:
    if not xs:
        return []
    names, types = ", ".join(x.name for x in xs), ", ".join(x.type for x in xs)
    return b.emit_many(f"stablehlo.optimization_barrier {names} : {types}", xs)


@rule("name")
def _name(b: Block, eqn: Eqn, x: Value) -> Value:
    return x


@rule("to_memory")
def _to_memory(b: Block, eqn: Eqn, x: Value) -> Value:
    if b.module.target.platform == "cpu":
        return x  # which has one kind of memory
    b.module.offloads = True
    return b.in_memory(x, eqn.params["kind"])
