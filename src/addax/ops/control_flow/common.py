"""What the control-flow rules share: rearranging programs and finding fixed points of flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from addax.core.jaxpr import ClosedJaxpr, Var

T = TypeVar("T")


def split_list(items: Sequence[T], *sizes: int) -> list[list[T]]:
    """Cut a list into pieces of the given sizes and the rest."""
    pieces, at = [], 0
    for n in sizes:
        pieces.append(list(items[at : at + n]))
        at += n
    pieces.append(list(items[at:]))
    return pieces


def choose(items: Sequence[T], flags: Sequence[bool], wanted: bool = True) -> list[T]:
    return [x for x, f in zip(items, flags, strict=True) if bool(f) is wanted]


def rearrange(closed: ClosedJaxpr, inputs: Sequence[int], outputs: Sequence[int]) -> ClosedJaxpr:
    """The same program with its arguments and results in another order (or fewer results)."""
    key = (rearrange, tuple(inputs), tuple(outputs))
    if key not in closed.cache:
        jaxpr = closed.jaxpr
        closed.cache[key] = ClosedJaxpr(
            jaxpr.replace(invars=[jaxpr.invars[i] for i in inputs], outvars=[jaxpr.outvars[i] for i in outputs]),
            closed.consts,
        )
    return closed.cache[key]


def add_unused_inputs(closed: ClosedJaxpr, at: int, avals: Sequence) -> ClosedJaxpr:
    """The same program with arguments that it ignores inserted before argument ``at``."""
    key = (add_unused_inputs, at, tuple(avals))
    if key not in closed.cache:
        invars = closed.jaxpr.invars
        extra = [Var(a) for a in avals]
        closed.cache[key] = ClosedJaxpr(
            closed.jaxpr.replace(invars=[*invars[:at], *extra, *invars[at:]]), closed.consts
        )
    return closed.cache[key]


def fixed_point(flags: Sequence[bool], step: Callable[[list[bool]], Sequence[bool]]) -> list[bool]:
    """The least set of carry flags that contains ``flags`` and is closed under one turn of the loop."""
    flags = list(flags)
    for _ in range(len(flags) + 1):
        grown = [a or b for a, b in zip(flags, step(flags), strict=True)]
        if grown == flags:
            return flags
        flags = grown
    raise AssertionError("carry flags did not converge")
