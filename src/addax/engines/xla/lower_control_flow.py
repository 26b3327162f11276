"""Calls and control flow: ``jit``, ``while``, ``cond``, ``scan``.

Bodies are regions that use the values around them directly. Where a body has ordered effects, the token that orders them
is one more value that the loop carries.
"""

from __future__ import annotations

from collections.abc import Sequence

from addax.core.jaxpr import ClosedJaxpr, Eqn
from addax.engines.xla.block import Block, Token, Value
from addax.engines.xla.program import (
    call_program,
    current_token,
    has_order,
    inline_program,
    result_type,
    split_token,
    type_of,
)
from addax.engines.xla.rules import rule
from addax.engines.xla.types import BOOL, INT32, INT64
from addax.ops.control_flow.common import split_list
from addax.ops.platform import index_of


@rule("jit")
def _jit(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    return call_program(b, eqn.params["jaxpr"], args, eqn.params["name"])


def with_token(b: Block, ordered: bool, values: Sequence[Value]) -> list[Value]:
    return [current_token(b), *values] if ordered else list(values)


def enter(b: Block, ordered: bool, values: list[Value]) -> list[Value]:
    """Inside a region: take the token off the arguments."""
    if not ordered:
        return values
    token, *rest = values
    assert type(token) is Token
    b.token = token
    return rest


@rule("while")
def _while(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    p = eqn.params
    condition, body = p["cond_jaxpr"], p["body_jaxpr"]
    cond_consts, body_consts, carry = split_list(args, p["cond_nconsts"], p["body_nconsts"])
    if has_order(condition.effects):
        raise NotImplementedError("the condition of a while loop cannot have ordered effects; move them to its body")
    ordered = has_order(body.effects)

    def test(c: Block, values: list[Value]) -> Value:
        carry = enter(c, ordered, values)
        (out,) = inline_program(c, condition, [*cond_consts, *carry])
        while out.shape:  # a batched condition: go on while any example does
            out = c.reduce_simple("or", out, c.scalar(False, BOOL), [0])
        return out

    def step(c: Block, values: list[Value]) -> list[Value]:
        carry = enter(c, ordered, values)
        return with_token(c, ordered, inline_program(c, body, [*body_consts, *carry]))

    return split_token(b, b.loop(with_token(b, ordered, carry), test, step), ordered)


@rule("platform_index")
def _platform_index(b: Block, eqn: Eqn) -> Value:
    return b.scalar(int(index_of(b.module.target.platform, eqn.params["platforms"])), INT32)


@rule("cond")
def _cond(b: Block, eqn: Eqn, index: Value, *args: Value) -> list[Value]:
    branches = eqn.params["branches"]
    ordered = any(has_order(branch.effects) for branch in branches)
    if len(branches) == 1:
        return inline_program(b, branches[0], args)
    outs = [type_of(v.aval) for v in eqn.outvars]
    token = current_token(b) if ordered else None

    def write(branch: ClosedJaxpr):
        def body(c: Block, _) -> list[Value]:
            c.token = token
            return with_token(c, ordered, inline_program(c, branch, args))

        return b.region([], body)

    results: list[Value] = [token, *outs] if token is not None else outs
    regions = ", ".join(write(branch) for branch in branches)
    if len(branches) == 2:  # an out of range index means the last branch in case, the nearest here
        first = b.compare("LE", index, b.scalar(0, INT32))
        return split_token(b, b.generic("stablehlo.if", [first], results, regions), ordered)
    text = f"stablehlo.clamp {{}}, {index.name}, {{}} : {index.type}"
    low, high = b.scalar(0, INT32), b.scalar(len(branches) - 1, INT32)
    index = b.emit(text.format(low.name, high.name), (), INT32)
    return split_token(b, b.generic("stablehlo.case", [index], results, regions), ordered)


@rule("scan")
def _scan(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    """A while loop that counts, slices its inputs and updates its stacked results."""
    p = eqn.params
    body, length, num_carry = p["jaxpr"], p["length"], p["num_carry"]
    consts, carry, xs = split_list(args, p["num_consts"], num_carry)
    y_avals = body.out_avals[num_carry:]
    ordered = has_order(body.effects)
    counter = INT32 if length < 2**31 else INT64
    ys = [b.full(0, t.shape, t.dtype) for t in (result_type(eqn, num_carry + i) for i in range(len(y_avals)))]
    if length == 0:
        return [*carry, *ys]

    def turn(c: Block, i: Value, carry: Sequence[Value], ys: Sequence[Value]) -> tuple[list[Value], list[Value]]:
        at = c.binary("subtract", c.scalar(length - 1, counter), i) if p.get("reverse") else i
        rows = [row(c, x, at) for x in xs]
        outs = inline_program(c, body, [*consts, *carry, *rows])
        written = [write_row(c, stack, at, y) for stack, y in zip(ys, outs[num_carry:], strict=True)]
        return outs[:num_carry], written

    if length == 1:
        carry, ys = turn(b, b.scalar(0, counter), carry, ys)
        return [*carry, *ys]

    def step(c: Block, values: list[Value]) -> list[Value]:
        i, *state = enter(c, ordered, values)
        carry, ys = turn(c, i, state[:num_carry], state[num_carry:])
        return with_token(c, ordered, [c.binary("add", i, c.scalar(1, counter)), *carry, *ys])

    def test(c: Block, values: list[Value]) -> Value:
        i = values[ordered]
        return c.compare("LT", i, c.scalar(length, counter))

    outs = b.loop(with_token(b, ordered, [b.scalar(0, counter), *carry, *ys]), test, step)
    return split_token(b, outs, ordered)[1:]


def row(b: Block, x: Value, i: Value) -> Value:
    """``x[i]``"""
    zero = b.scalar(0, i.dtype)
    part = b.dynamic_slice(x, [i, *(zero for _ in x.shape[1:])], (1, *x.shape[1:]))
    return b.reshape(part, x.shape[1:])


def write_row(b: Block, stack: Value, i: Value, y: Value) -> Value:
    """``stack`` with row i replaced."""
    zero = b.scalar(0, i.dtype)
    return b.dynamic_update_slice(stack, b.reshape(y, (1, *y.shape)), [i, *(zero for _ in y.shape)])
