"""``cond``: run one of several programs, chosen by an integer (``switch`` is the same primitive)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import split_jaxpr
from addax.interpreters.retype import of_cond
from addax.interpreters.transpose import transpose_instantiated
from addax.interpreters.values import Zero, expand_dims, instantiate, is_linear, move_axis, shape_of, to_front, zeros
from addax.ops.call import check_call
from addax.ops.control_flow.common import build, choose, guard, run
from addax.ops.control_flow.effects import has_effects, only_if
from addax.ops.rules import program_primitive


def _type(index, *avals, branches, **_):
    if index.shape != () or index.dtype != np.int32:
        raise TypeError(f"cond: the index must be int32[], got {index}")
    for branch in branches:
        check_call("cond", branch, avals)
    return branches[0].out_avals  # where branches differ in weak type, the first decides, as in JAX


def _effects(*_, branches, **__):
    return frozenset().union(*(b.effects for b in branches))


def _jvp(primals, tangents, *, branches, **params):
    index, *ops = primals
    nonzero = [type(t) is not Zero for t in tangents[1:]]
    out_nonzero = [False] * len(branches[0].out_avals)
    for b in branches:
        out_nonzero = [x or y for x, y in zip(out_nonzero, jvp_jaxpr(b, nonzero)[1], strict=True)]
    programs = tuple(jvp_jaxpr(b, nonzero, out_nonzero)[0] for b in branches)
    live = [t for t in tangents[1:] if type(t) is not Zero]
    outs = cond_p.bind(index, *ops, *live, branches=programs, **params)
    n = len(out_nonzero)
    rest = iter(outs[n:])
    return outs[:n], [next(rest) if nz else Zero.of(x) for x, nz in zip(outs[:n], out_nonzero, strict=True)]


def _partial_eval(split, args, unknown, *, branches, **params):
    if unknown[0]:
        return split.write_later(cond_p, args, dict(params, branches=branches))
    index, ops = args[0], args[1:]
    ops_unknown = unknown[1:]
    cut = branches[0].derive(_cut_branches, branches[1:], tuple(ops_unknown))
    outs = split.run_now(cond_p, [index, *choose(ops, ops_unknown, False)], dict(params, branches=cut.known))
    n_known = cut.out_unknown.count(False)
    later = []
    if any(cut.out_unknown) or any(b.effects for b in cut.later):
        later = split.write_later(
            cond_p, [index, *outs[n_known:], *choose(ops, ops_unknown)], dict(params, branches=cut.later)
        )
    known_it, later_it = iter(outs[:n_known]), iter(later)
    return [next(later_it) if u else next(known_it) for u in cut.out_unknown]


class _Cut(NamedTuple):
    """Branches that run now, whose last results are read by those that run later."""

    known: tuple[ClosedJaxpr, ...]
    later: tuple[ClosedJaxpr, ...]
    out_unknown: list[bool]


def _cut_branches(first: ClosedJaxpr, others: tuple[ClosedJaxpr, ...], ops_unknown: tuple[bool, ...]) -> _Cut:
    branches = [first, *others]
    out_unknown = [False] * len(first.out_avals)
    for b in branches:
        cut = split_jaxpr(b, ops_unknown)
        out_unknown = [x or y for x, y in zip(out_unknown, cut.out_unknown, strict=True)]
    cuts = [split_jaxpr(b, ops_unknown, out_unknown) for b in branches]

    # Residuals of the branches share slots of equal type; a branch that has none for a slot fills it with zeros.
    slots: list = []
    placed: list[list[int]] = []
    for cut in cuts:
        free = list(range(len(slots)))
        mine = []
        for aval in cut.unknown.in_avals[: len(cut.residuals)]:
            slot = next((s for s in free if slots[s] == aval), None)
            if slot is None:
                slot = len(slots)
                slots.append(aval)
            else:
                free.remove(slot)
            mine.append(slot)
        placed.append(mine)
    known = [_with_slots(cut, mine, slots, out_unknown.count(False)) for cut, mine in zip(cuts, placed, strict=True)]
    later = [_from_slots(cut.unknown, mine, slots) for cut, mine in zip(cuts, placed, strict=True)]
    return _Cut(tuple(known), tuple(later), out_unknown)


def _with_slots(cut, mine, slots, n_known):
    """The known branch, delivering its residuals in the shared slots."""

    def fun(*args):
        outs = run(cut.known, *args)
        values = dict(zip(mine, cut.gather(args, outs), strict=True))
        return [*outs[:n_known], *(values.get(s) if s in values else zeros(a) for s, a in enumerate(slots))]

    return build(cut.known.in_avals, fun)


def _from_slots(program, mine, slots):
    """The later branch, taking its residuals from the shared slots."""
    rest = program.in_avals[len(mine) :]

    def fun(*args):
        residuals = [args[s] for s in mine]
        return run(program, *residuals, *args[len(slots) :])

    return build([*slots, *rest], fun)


def _transpose(cts, index, *ops, branches, **params):
    linear = [is_linear(x) for x in ops]
    programs = tuple(transpose_instantiated(b, linear) for b in branches)
    outs = iter(cond_p.bind(index, *choose(ops, linear, False), *map(instantiate, cts), branches=programs, **params))
    return [None, *(next(outs) if lin else None for lin in linear)]


def _batch(axis, args, dims, *, branches, **params):
    index, *ops = args
    batched = [d is not None for d in dims[1:]]
    ops = [x if d is None else move_axis(x, d, 0) for x, d in zip(ops, dims[1:], strict=True)]
    if dims[0] is None:
        out_batched = [False] * len(branches[0].out_avals)
        for b in branches:
            out_batched = [x or y for x, y in zip(out_batched, batch_jaxpr(b, axis, batched)[1], strict=True)]
        programs = tuple(batch_jaxpr(b, axis, batched, out_batched)[0] for b in branches)
        return cond_p.bind(index, *ops, branches=programs, **params), [0 if b else None for b in out_batched]

    # Every example may take another branch: run all of them and select. Effects happen for the examples of their branch.
    which = registry["clamp"].bind(np.int32(0), move_axis(index, dims[0], 0), np.int32(len(branches) - 1))
    results = []
    for k, b in enumerate(branches):
        mine = registry["eq"].bind(which, np.int32(k))
        effects = has_effects(b)
        program, _ = (
            batch_jaxpr(only_if(b), axis, [True, *batched], True) if effects else batch_jaxpr(b, axis, batched, True)
        )
        operands = guard(mine, ops, batched) if program.eqns else ops
        results.append(run(program, mine, *operands) if effects else run(program, *operands))
    select = registry["select_n"]
    if len(branches) == 2:
        which = registry["ne"].bind(which, np.int32(0))
    outs = []
    for cases in zip(*results, strict=True):
        rank = len(shape_of(cases[0]))
        selector = to_front(expand_dims(which, range(1, rank)) if rank > 1 else which, 0, axis.size)
        if shape_of(selector) != shape_of(cases[0]):
            selector = registry["broadcast_in_dim"].bind(
                which, shape=shape_of(cases[0]), broadcast_dimensions=(0,), sharding=None
            )
        outs.append(select.bind(selector, *cases))
    return outs, [0] * len(outs)


cond_p = program_primitive(
    "cond", _type, jvp=_jvp, partial_eval=_partial_eval, transpose=_transpose, batch=_batch, effects=_effects,
    varying=of_cond,
)  # fmt: skip
