"""What the control-flow rules share: rearranging programs and finding fixed points of flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Var, eval_jaxpr, without_dead_code
from addax.core.primitive import registry
from addax.interpreters.linearize import split_jaxpr
from addax.interpreters.values import broadcast_in_dim, broadcast_to, shape_of

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
    return closed.derive(_rearranged, tuple(inputs), tuple(outputs))


def _rearranged(closed: ClosedJaxpr, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> ClosedJaxpr:
    jaxpr = closed.jaxpr
    invars, outvars = [jaxpr.invars[i] for i in inputs], [jaxpr.outvars[i] for i in outputs]
    return ClosedJaxpr(jaxpr.replace(invars=invars, outvars=outvars), closed.consts)


def add_unused_inputs(closed: ClosedJaxpr, at: int, avals: Sequence) -> ClosedJaxpr:
    """The same program with arguments that it ignores inserted before argument ``at``."""
    return closed.derive(_with_unused_inputs, at, tuple(avals)) if avals else closed


def _with_unused_inputs(closed: ClosedJaxpr, at: int, avals: tuple) -> ClosedJaxpr:
    invars = closed.jaxpr.invars
    invars = [*invars[:at], *(Var(a) for a in avals), *invars[at:]]
    return ClosedJaxpr(closed.jaxpr.replace(invars=invars), closed.consts)


def fixed_point(flags: Sequence[bool], step: Callable[[list[bool]], Sequence[bool]]) -> list[bool]:
    """The least set of carry flags that contains ``flags`` and is closed under one turn of the loop."""
    flags = list(flags)
    for _ in range(len(flags) + 1):
        grown = [a or b for a, b in zip(flags, step(flags), strict=True)]
        if grown == flags:
            return flags
        flags = grown
    raise AssertionError("carry flags did not converge")


def build(avals: Sequence, fun: Callable[..., Sequence]) -> ClosedJaxpr:
    """The program of ``fun``, a function of flat values, at the given types."""
    return ClosedJaxpr(*trace_to_jaxpr(fun, avals))


def run(closed: ClosedJaxpr, *args) -> list:
    return eval_jaxpr(closed.jaxpr, closed.consts, *args)


def known_part(closed: ClosedJaxpr, unknown: Sequence[bool], out_unknown: Sequence[bool]) -> ClosedJaxpr:
    """The program of the outputs that are not ``out_unknown``, from the inputs that are not ``unknown``."""
    cut = split_jaxpr(closed, unknown, out_unknown)
    program = rearrange(cut.known, range(len(cut.known.in_avals)), range(list(out_unknown).count(False)))
    return without_dead_code(program)


def guard(mask, values: Sequence, batched: Sequence[bool]) -> list:
    """Operands for a program that is run for a whole batch although only the examples in ``mask`` are meant.

    The values of the others are of no account, but their derivatives are zero times those of the program, and zero times
    infinity is not zero. What the guard lets through is differentiated for the examples in the mask only; and if the
    program also reads something that all examples share, the others borrow the operands of an example in the mask, so that
    what they add to the derivative of the shared value is finite, too.

    Args:
      mask: bool[size]. At dimension 0 of a value stand the examples.
    """
    if not shape_of(mask)[0]:
        return list(values)
    inexact = [dtypes.issubdtype(get_aval(x).dtype, np.inexact) for x in values]
    shared = any(f and not b for f, b in zip(inexact, batched, strict=True))
    out = []
    select, stop = registry["select_n"], registry["stop_gradient"]
    if shared:
        first = registry["argmax"].bind(mask, axes=(0,), index_dtype=np.dtype(np.int32))
        some = registry["reduce_or"].bind(mask, axes=(0,))
    for x, b, f in zip(values, batched, inexact, strict=True):
        if not b:
            x = select.bind(some, stop.bind(x), x) if f else x
        elif f or shared:
            other = broadcast_to(row(x, first), shape_of(x)) if shared else x
            x = select.bind(broadcast_in_dim(mask, shape_of(x), (0,)), stop.bind(other) if f else other, x)
        out.append(x)
    return out


def row(x, i):
    """``x[i:i+1]`` for an index known at run time."""
    shape = shape_of(x)
    zeros = [np.int32(0)] * (len(shape) - 1)
    return registry["dynamic_slice"].bind(x, i, *zeros, slice_sizes=(1, *shape[1:]))
