"""Values computed straight into a part of another array: operands of ``concatenate`` and ``stack``, stacked scan results.

If a group makes a value that is only read to be copied into a window of a larger array, the group may as well store it
there. `plan_windows` finds such values before anything is lowered; the rules of those primitives then skip them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from addax.core.jaxpr import Literal, Var
from addax.engines.cpu import views
from addax.engines.cpu.groups import Call, Group
from addax.engines.cpu.lower_elementwise import element_name
from addax.engines.cpu.views import Ref

if TYPE_CHECKING:
    from addax.engines.cpu.lower import Block


def plan_windows(block: Block) -> None:
    """Fill ``block.windows`` with the values that are to be stored inside other arrays, and where."""
    calls = [(i, n) for i, n in enumerate(block.nodes) if type(n) is Call and n.eqn.primitive.name in PLANNERS]
    if not calls:
        return
    uses = Counter(r.base for n in block.nodes for r in _reads(n) if type(r.base) is Var)
    position = {id(n): i for i, n in enumerate(block.nodes)}
    for i, call in calls:
        if call.eqn.outvars[0].aval.size:
            PLANNERS[call.eqn.primitive.name](block, call, i, uses, position)


def _reads(node) -> list[Ref]:
    """What a node reads that others made; what a group reads of its own is in registers, or where the group stores it."""
    if type(node) is Call:
        return node.refs
    return [r for e in node.members for r in node.refs[e.outvars[0]] if r.base not in node.axes]


def _movable(block: Block, r: Ref, uses: Counter) -> bool:
    """Whether ``r`` is all of a value that a group stores and nobody else reads."""
    v = r.base
    if type(v) is not Var or not r.is_whole() or uses[v] != 1 or v in block.result_bases or v in block.aliased:
        return False
    group = block.fuser.owner.get(v)
    if type(group) is not Group or v not in group.stored or v in block.destinations or v in block.windows:
        return False
    return [n for n in r.shape if n != 1] == [n for n in v.aval.shape if n != 1] and v.aval.size > 0


def _strides_for(v: Var, r: Ref, strides) -> tuple[int, ...]:
    """Strides along the dimensions of ``v``, given those along the dimensions of ``r``, which may differ by ones."""
    wide = iter([s for n, s in zip(r.shape, strides, strict=True) if n != 1])
    return tuple([0 if n == 1 else next(wide) for n in v.aval.shape])


def _concatenate(block: Block, call: Call, at: int, uses: Counter, position) -> None:
    out = call.eqn.outvars[0]
    stacked = call.eqn.primitive.name == "stack"
    d = call.eqn.params["axis" if stacked else "dimension"]
    strides = views.contiguous_strides(out.aval.shape)
    step = 0
    for r in call.refs:
        if _movable(block, r, uses):
            buffer, offset = block.destination(out)
            along = strides[:d] + strides[d + 1 :] if stacked else strides
            block.windows[r.base] = (buffer, offset + step * strides[d], _strides_for(r.base, r, along))
        step += 1 if stacked else r.shape[d]


def _update(block: Block, call: Call, at: int, uses: Counter, position) -> None:
    """A dynamic_update_slice of a loop-carried array that only it reads: in place, by the group that makes the update."""
    out = call.eqn.outvars[0]
    operand, update, *starts = call.refs
    base = operand.base
    if not _movable(block, update, uses) or type(base) is not Var or not operand.is_whole() or uses[base] != 1:
        return
    buffer, offset = block.env.get(base, (None, 0))
    if buffer not in block.owned or offset or base in block.result_bases or out in block.env:
        return
    if sum(b is buffer for b, _ in block.env.values()) != 1:
        return
    when = position[id(block.fuser.owner[update.base])]
    dynamic = []
    strides = views.contiguous_strides(out.aval.shape)
    for start, n, size, stride in zip(starts, out.aval.shape, update.shape, strides, strict=True):
        if type(start.base) is Literal:
            offset += stride * max(0, min(int(start.base.val), n - size))
            continue
        maker = block.fuser.owner.get(start.base)
        if maker is not None and position[id(maker)] >= when:
            return
        if n != size:
            dynamic.append((start, element_name(start.dtype), n - size, stride))
    block.windows[update.base] = (buffer, offset, _strides_for(update.base, update, strides), tuple(dynamic))
    block.env[out] = (buffer, 0)


PLANNERS = {"concatenate": _concatenate, "stack": _concatenate, "dynamic_update_slice": _update}
