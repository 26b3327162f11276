"""The ``jit`` primitive: a call of a traced program, one equation however often it is differentiated or batched."""

from __future__ import annotations

from typing import Any

from addax.core.jaxpr import ClosedJaxpr, without_dead_code
from addax.core.notation import Notation
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import SplitTrace, split_jaxpr
from addax.interpreters.retype import of_call
from addax.interpreters.transpose import transpose_jaxpr
from addax.interpreters.values import Zero, is_linear, move_axis
from addax.ops.rules import program_primitive


def check_call(name: str, jaxpr: ClosedJaxpr, avals) -> None:
    if len(avals) != len(jaxpr.in_avals):
        raise TypeError(f"{name}: the called program takes {len(jaxpr.in_avals)} arguments, got {len(avals)}")
    for i, (got, want) in enumerate(zip(avals, jaxpr.in_avals, strict=True)):
        if got.shape != want.shape or got.dtype != want.dtype:
            raise TypeError(f"{name}: argument {i} of the called program is {want}, got {got}")


def _type(*avals, jaxpr: ClosedJaxpr, name: str, **_):
    check_call(name, jaxpr, avals)
    return jaxpr.out_avals


def _jvp(primals, tangents, *, jaxpr, name, **params):
    nonzero = [type(t) is not Zero for t in tangents]
    program, out_nonzero = jvp_jaxpr(without_dead_code(jaxpr), nonzero)  # what nothing reads may have no derivative
    live = [t for t in tangents if type(t) is not Zero]
    outs = jit_p.bind(*primals, *live, jaxpr=program, name=name, **params)
    n = len(out_nonzero)
    rest = iter(outs[n:])
    return outs[:n], [next(rest) if nz else Zero.of(x) for nz, x in zip(out_nonzero, outs[:n], strict=True)]


def _partial_eval(split: SplitTrace, args, unknown, *, jaxpr, name, **params):
    cut = split_jaxpr(jaxpr, unknown)
    known_args = [x for x, u in zip(args, unknown, strict=True) if not u]
    known_outs = (
        split.run_now(jit_p, known_args, dict(params, jaxpr=cut.known, name=name)) if cut.known.jaxpr.outvars else []
    )
    residuals = cut.gather(known_args, known_outs)
    later_args = [*residuals, *(x for x, u in zip(args, unknown, strict=True) if u)]
    later_outs: Any = []
    if cut.unknown.jaxpr.outvars or cut.unknown.effects:
        later_outs = split.write_later(jit_p, later_args, dict(params, jaxpr=cut.unknown, name=name))
    known, later = iter(known_outs), iter(later_outs)
    return [next(later) if u else next(known) for u in cut.out_unknown]


def _transpose(cts, *args, jaxpr, name, **params):
    linear = [is_linear(x) for x in args]
    nonzero_cts = [type(c) is not Zero for c in cts]
    program, nonzero = transpose_jaxpr(jaxpr, linear, nonzero_cts)
    inputs = [x for x in args if not is_linear(x)] + [c for c in cts if type(c) is not Zero]
    outs = iter(jit_p.bind(*inputs, jaxpr=program, name=name, **params))
    flags = iter(nonzero)
    return [next(outs) if lin and next(flags) else None for lin in linear]


def _batch(axis, args, dims, *, jaxpr, name, **params):
    program, out_batched = batch_jaxpr(jaxpr, axis, [d is not None for d in dims])
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    outs = jit_p.bind(*moved, jaxpr=program, name=name, **params)
    return outs, [0 if b else None for b in out_batched]


jit_p = program_primitive(
    "jit", _type, jvp=_jvp, partial_eval=_partial_eval, transpose=_transpose, batch=_batch,
    effects=lambda *_, jaxpr, **__: jaxpr.effects, expand=lambda *_, jaxpr, **__: jaxpr, varying=of_call("jaxpr"),
    notation=Notation(first=("name",), call="jaxpr"),
)  # fmt: skip
