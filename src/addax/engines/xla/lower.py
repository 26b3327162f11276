"""From a jaxpr to a StableHLO module: `lower` is the whole interface.

The rules stand in one file per family, ``lower_*.py``; importing them here fills the table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Primitive, Refusal
from addax.engines.xla import (  # noqa: F401
    lower_callback,
    lower_collective,
    lower_control_flow,
    lower_dot,
    lower_elementwise,
    lower_fft,
    lower_indexing,
    lower_linalg,
    lower_random,
    lower_reduce,
    lower_remat,
    lower_shape,
    lower_shard_map,
    lower_sharding,
    lower_sort,
    lower_special,
)
from addax.engines.xla.block import Block, Value
from addax.engines.xla.lower_callback import HostCallback
from addax.engines.xla.module import Function, Module, Target
from addax.engines.xla.program import captured_consts, has_order, lower_jaxpr, type_of
from addax.engines.xla.rules import RULES


class Program:
    """A lowered program.

    Attributes:
      text: the StableHLO module.
      captured: arrays to pass after the arguments.
      callbacks: host functions, in the order of their numbers in the text.
      parameters, results: types of the arguments (without the captured arrays) and of the results.
      ordered: whether its effects must be waited for before the next program with effects starts.
    """

    __slots__ = ("callbacks", "captured", "ordered", "parameters", "results", "text")

    def __init__(
        self,
        text: str,
        captured: list[np.ndarray],
        callbacks: list[HostCallback],
        parameters: list[Value],
        results: list[Value],
        ordered: bool,
    ):
        self.text, self.captured, self.callbacks = text, captured, callbacks
        self.parameters, self.results, self.ordered = parameters, results, ordered


def lower(
    closed: ClosedJaxpr, target: Target | None = None, donated: Sequence[int] = (), locations: bool = True
) -> Program:
    """The StableHLO of a program.

    Args:
      closed: the program.
      target: what to compile for; one CPU device by default.
      donated: numbers of the arguments whose memory results may take.
      locations: whether operations carry the user's file and line.

    Raises:
      NotImplementedError: naming a primitive that has no lowering, why, and the user's line.
    """
    info = closed.jaxpr.debug_info
    name = "program" if info is None else info.func_name.partition(" at ")[0]
    module = Module(f"jit_{name}", target or Target(), locations)
    function = Function(module, "main", f"jit({name})/")
    block = Block(function)
    args = [Value(f"%arg{i}", t.shape, t.dtype) for i, t in enumerate(type_of(v.aval) for v in closed.jaxpr.invars)]
    outs = lower_jaxpr(block, closed.jaxpr, captured_consts(block, closed), args)
    block.loc = ""
    for i in range(len(module.captured)):  # also those that only functions read: all are arguments of main
        function.capture_number(i)
    function.captures = dict(sorted(function.captures.items()))
    module.add_main(function, args, outs, block, donated)
    results = [Value("", x.shape, x.dtype) for x in outs]
    return Program(module.text(), module.captured, module.callbacks, args, results, has_order(closed.effects))


def has_rule(primitive: Primitive) -> bool:
    """Whether programs with this primitive can be lowered (on some platform)."""
    rule = RULES.get(primitive.name)
    return primitive.expand is not None if rule is None else type(rule) is not Refusal
