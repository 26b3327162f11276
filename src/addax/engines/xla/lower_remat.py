"""What `checkpoint` is made of: ``optimization_barrier`` and ``name``."""

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
