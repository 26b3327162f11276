"""Where values are: ``sharding_constraint``."""

from __future__ import annotations

from typing import Any

from addax.core.sharding import NamedSharding
from addax.engines.xla.block import Block, Value
from addax.engines.xla.layouts import spec_text
from addax.engines.xla.rules import rule


@rule("sharding_constraint")
def _sharding_constraint(block: Block, eqn: Any, x: Value) -> Value:
    sharding = eqn.params["sharding"]
    if not isinstance(sharding, NamedSharding) or block.module.target.num_partitions == 1:
        return x
    layout = spec_text(block.module.target.mesh_name(sharding.mesh), sharding.spec, len(x.shape))
    return block.emit(f"sdy.sharding_constraint {x.name} {layout} : {x.type}", x.shape, x.dtype)
