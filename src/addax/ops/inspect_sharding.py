"""``inspect_sharding``: tells a callback, when the program is compiled, where the compiler puts a value."""

from __future__ import annotations

from addax.core.execution import effect_rules
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from addax.core.primitive import Primitive, Refusal
from addax.ops.callback import Effect

inspect_effect = Effect("InspectSharding")
effect_rules[inspect_effect] = "addax.transforms.inspect_sharding"

inspect_sharding = Primitive("inspect_sharding", multiple_results=True, cache_types=False)


def _jvp(primals, tangents, **params):
    return inspect_sharding.bind(*primals, **params), []


inspect_sharding.abstract_eval = lambda x, **_: []
inspect_sharding.effects = lambda *_, **__: frozenset({inspect_effect})
inspect_sharding.jvp = _jvp
inspect_sharding.batch = lambda axis, args, dims, **params: (inspect_sharding.bind(*args, **params), [])
inspect_sharding.transpose = Refusal("inspect_sharding sees values, and a linear program has none yet")
# What is left of it when the program runs: nothing.
inspect_sharding.expand = lambda x, **_: ClosedJaxpr(Jaxpr([], [Var(x)], [], []))


__all__ = ["inspect_effect", "inspect_sharding"]
