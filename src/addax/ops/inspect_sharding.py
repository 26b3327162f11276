"""``inspect_sharding``: tells a callback, when the program is compiled, where the compiler puts a value."""

from __future__ import annotations

from addax.core.execution import effect_rules
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from addax.core.primitive import Refusal
from addax.ops.callback import Effect
from addax.ops.rules import program_primitive

inspect_effect = Effect("InspectSharding")
effect_rules[inspect_effect] = "addax.transforms.inspect_sharding"


def _jvp(primals, tangents, **params):
    return inspect_sharding.bind(*primals, **params), []


inspect_sharding = program_primitive(
    "inspect_sharding", lambda x, **_: [], jvp=_jvp,
    transpose=Refusal("inspect_sharding sees values, and a linear program has none yet"),
    batch=lambda axis, args, dims, **params: (inspect_sharding.bind(*args, **params), []),
    effects=lambda *_, **__: frozenset({inspect_effect}),
    expand=lambda x, **_: ClosedJaxpr(Jaxpr([], [Var(x)], [], [])),  # what is left of it when the program runs: nothing
)  # fmt: skip

__all__ = ["inspect_effect", "inspect_sharding"]
