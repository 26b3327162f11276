"""Walking a jaxpr: each equation by its rule, by its expansion, or refused by name.

Start with `lower_jaxpr`. A nested ``jit`` is written once as a private function and called (`call_program`); the bodies
of control flow, and the scalar programs that reductions fold with, are written into regions (`inline_program`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal
from addax.core.primitive import Refusal
from addax.core.source_info import name_stack
from addax.engines.xla.block import Block, Token, Value
from addax.engines.xla.module import Callee, Function
from addax.engines.xla.rules import RULES
from addax.engines.xla.types import storage_dtype, tensor_type


def lower_jaxpr(block: Block, jaxpr: Jaxpr, consts: Sequence[Value], args: Sequence[Value]) -> list[Value]:
    """Write the equations of a jaxpr and give its results.

    Raises:
      NotImplementedError: naming a primitive that has no lowering, why, and the user's line.
    """
    env: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    location, scope = block.module.location, block.function.scope
    for eqn in jaxpr.eqns:
        block.loc = location(scope + scoped_name(eqn), eqn.source)
        operands = [literal(block, x) if type(x) is Literal else env[x] for x in eqn.invars]
        outs = lower_equation(block, eqn, operands)
        if type(outs) is Value:
            env[eqn.outvars[0]] = outs
        else:
            for v, out in zip(eqn.outvars, outs, strict=True):
                env[v] = out
    return [literal(block, x) if type(x) is Literal else env[x] for x in jaxpr.outvars]


def scoped_name(eqn: Eqn) -> str:
    """The primitive, after the `named_scope`s around: ``layer/attention/dot_general``."""
    names = name_stack(eqn.source)
    return f"{names}/{eqn.primitive.name}" if names else eqn.primitive.name


def lower_equation(block: Block, eqn: Eqn, operands: list[Value]) -> Any:
    primitive = eqn.primitive
    rule = RULES.get(primitive.name)
    if rule is None:
        if primitive.expand is None:
            raise _unsupported(eqn, "no rule is known for it")
        return inline_program(block, primitive.expand(*[x.aval for x in eqn.invars], **eqn.params), operands)
    if type(rule) is Refusal:
        raise _unsupported(eqn, rule.reason)
    return rule(block, eqn, *operands)


def _unsupported(eqn: Eqn, reason: str) -> NotImplementedError:
    where = f"\n  in {eqn.source_info}" if eqn.source is not None else ""
    return NotImplementedError(f"{eqn.primitive} cannot run on the XLA engine: {reason}{where}")


def literal(block: Block, x: Literal) -> Value:
    return block.scalar(x.val, storage_dtype(x.aval.dtype))


def captured_consts(block: Block, closed: ClosedJaxpr) -> list[Value]:
    return [
        block.constant(as_array(c, storage_dtype(v.aval.dtype)))
        for v, c in zip(closed.jaxpr.constvars, closed.consts, strict=True)
    ]


def as_array(value: Any, dtype: np.dtype) -> np.ndarray:
    return np.asarray(getattr(value, "_value", value), dtype)


def inline_program(block: Block, closed: ClosedJaxpr, args: Sequence[Value]) -> list[Value]:
    """Write a program's equations where it is used."""
    loc = block.loc
    outs = lower_jaxpr(block, closed.jaxpr, captured_consts(block, closed), args)
    block.loc = loc
    return outs


def call_program(block: Block, closed: ClosedJaxpr, args: Sequence[Value], name: str) -> list[Value]:
    """Call a program as a function of the module, which is written the first time."""
    module = block.module
    # Where some axes of a mesh are the partitioner's, it must see the whole body of a shard_map at once.
    if block.isolated or (module.manual is not None and module.manual.free):
        return inline_program(block, closed, args)
    manual = module.manual and (module.manual.name, module.manual.names)  # decides what collectives become
    key = (id(closed.jaxpr), tuple(map(id, closed.consts)), manual)
    known = module.callees.get(key)
    if known is None:
        known = module.callees[key] = (_write_function(block, closed, name), closed)
    callee = known[0]
    operands = [*args, *(block.function.capture_number(i) for i in callee.captures)]
    if callee.ordered:
        operands.insert(0, current_token(block))
    results = callee.results
    names = ", ".join(x.name for x in operands)
    types = f"({', '.join(x.type for x in operands)}) -> ({', '.join(x.type for x in results)})"
    outs = block.emit_many(f"func.call @{callee.name}({names}) : {types}", results)
    return split_token(block, outs, callee.ordered)


def _write_function(block: Block, closed: ClosedJaxpr, name: str) -> Callee:
    module = block.module
    function = Function(module, module.unique_name(name), f"{block.function.scope}jit({name})/")
    inner = Block(function)
    inner.loc = block.loc
    args = [function.fresh_like(type_of(v.aval)) for v in closed.jaxpr.invars]
    ordered = has_order(closed.effects)
    params: list[Value] = list(args)
    if ordered:
        inner.token = Token("%token")
        params.insert(0, inner.token)
    outs = lower_jaxpr(inner, closed.jaxpr, captured_consts(inner, closed), args)
    if ordered:
        outs = [current_token(inner), *outs]
    inner.loc = ""
    module.add_private(function, params, outs, inner)
    return Callee(function.name, list(function.captures), outs, ordered)


# ---------------------------------------------------------------------------------------------------------------------
# Types, and the token that orders effects


def type_of(aval) -> Value:
    """The type of the value that stands for an array of this aval."""
    return Value("", aval.shape, storage_dtype(aval.dtype))


def result_type(eqn: Eqn, i: int = 0) -> Value:
    return type_of(eqn.outvars[i].aval)


def type_text(aval) -> str:
    return tensor_type(aval.shape, storage_dtype(aval.dtype))


def has_order(effects: Iterable[Any]) -> bool:
    """Whether some of the effects must happen in the order of the program."""
    return any(getattr(e, "ordered", False) for e in effects)


def current_token(block: Block) -> Token:
    if block.token is None:
        name = block.emit("stablehlo.create_token : !stablehlo.token", (), np.dtype(bool)).name
        block.token = Token(name)
    return block.token


def split_token(block: Block, outs: list[Value], ordered: bool) -> list[Value]:
    """Take the token off the front of the results of an ordered operation."""
    if not ordered:
        return outs
    token, *rest = outs
    assert type(token) is Token
    block.token = token
    return rest
