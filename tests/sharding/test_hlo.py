"""What is read out of optimised programs: their collectives, in each of the ways in which HLO writes groups."""

from __future__ import annotations

import numpy as np
import pytest

import addax
from addax import lax
from addax.engines.xla.hlo import collectives
from addax.sharding import NamedSharding, PartitionSpec as P


def test_collectives_of_a_program(mesh):
    """Loops count as often as they run; sizes are those of one device."""

    @addax.jit
    @addax.shard_map(mesh=mesh, in_specs=P("x", "y"), out_specs=(P("x", "y"), P()))
    def f(v):
        def turn(v, _):
            return lax.ppermute(v, "x", [(0, 1), (1, 0)]) + lax.psum(v, "y"), None

        return lax.scan(turn, v, None, length=5)[0], lax.psum(lax.all_gather(v, "x").sum(0), ("x", "y"))

    x = addax.device_put(np.ones((8, 8), np.float32), NamedSharding(mesh, P("x", "y")))
    found = {(c.kind, c.bytes, c.members, c.times) for c in collectives(f.lower(x).compile().as_text("hlo"))}
    assert found == {
        ("collective-permute", 32, 2, 5),
        ("all-reduce", 32, 2, 5),
        ("all-gather", 128, 4, 1),
        ("all-reduce", 32, 8, 1),
    }


@pytest.mark.parametrize(
    "groups, members",
    [
        ("{{0,2},{1,3}}", 2),
        ("[2,4]<=[8]", 4),
        ("mesh['x'=4,'y'=2] {'x','y'}", 8),
        ("mesh['x'=4,'y'=2] {'x':(2)2,'y'}", 4),
    ],
)
def test_groups(groups, members):
    line = f"  %a = (bf16[4,2]{{1,0}}, pred[3]{{0}}) all-reduce(%b, %c), channel_id=1, replica_groups={groups}, to_apply=%add"
    assert [(c.bytes, c.members) for c in collectives(line)] == [(19, members)]
