"""``while``: repeat a program while a condition holds.

Operands: constants of the condition, constants of the body, the initial carry. How many turns there will be is not known
in advance, so reverse mode keeps nothing for each turn: the loop is first run as it is and its turns are counted, and then
`replay` (replay.py) goes back through them.
"""

from __future__ import annotations

import numpy as np

from addax.core.avals import get_aval
from addax.core.primitive import registry
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import split_jaxpr
from addax.interpreters.retype import of_while
from addax.interpreters.values import Zero, broadcast_in_dim, instantiate, is_linear, move_axis, shape_of, to_front
from addax.ops.control_flow.common import (
    add_unused_inputs,
    build,
    choose,
    fixed_point,
    guard,
    known_part,
    rearrange,
    run,
    split_list,
)
from addax.ops.control_flow.effects import has_effects, only_if
from addax.ops.control_flow.replay import nothing_back, replay_p, without_side_effects
from addax.ops.rules import program_primitive


def _type(*avals, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, **_):
    cond_consts, body_consts, init = split_list(avals, cond_nconsts, body_nconsts)
    for what, program, got in (("cond_fun", cond_jaxpr, [*cond_consts, *init]),
                               ("body_fun", body_jaxpr, [*body_consts, *init])):  # fmt: skip
        for g, w in zip(got, program.in_avals, strict=True):
            if (g.shape, g.dtype) != (w.shape, w.dtype):
                raise TypeError(f"while: {what} takes {w}, got {g}")
    return body_jaxpr.out_avals


def _jvp(primals, tangents, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, **params):
    cond_consts, body_consts, init = split_list(primals, cond_nconsts, body_nconsts)
    _, bconst_t, init_t = split_list(tangents, cond_nconsts, body_nconsts)
    bconst_nz = [type(t) is not Zero for t in bconst_t]
    carry_nz = fixed_point(
        [type(t) is not Zero for t in init_t], lambda nz: jvp_jaxpr(body_jaxpr, [*bconst_nz, *nz])[1]
    )
    n, m, k = body_nconsts, len(init), sum(carry_nz)
    program, _ = jvp_jaxpr(body_jaxpr, [*bconst_nz, *carry_nz], carry_nz)
    # (consts, carry, consts', carry') -> (consts, consts', carry, carry')
    nb = sum(bconst_nz)
    order = [*range(n), *range(n + m, n + m + nb), *range(n, n + m), *range(n + m + nb, n + m + nb + k)]
    program = rearrange(program, order, range(m + k))
    live = [instantiate(t) for t, nz in zip(init_t, carry_nz, strict=True) if nz]
    condition = add_unused_inputs(cond_jaxpr, cond_nconsts + m, [t.to_tangent() for t in choose(
        cond_jaxpr.in_avals[cond_nconsts:], carry_nz)])  # fmt: skip
    outs = while_p.bind(
        *cond_consts, *body_consts, *choose(bconst_t, bconst_nz), *init, *live,
        cond_jaxpr=condition, body_jaxpr=program, cond_nconsts=cond_nconsts, body_nconsts=n + nb, **params,
    )  # fmt: skip
    rest = iter(outs[m:])
    return outs[:m], [next(rest) if nz else Zero.of(x) for x, nz in zip(outs[:m], carry_nz, strict=True)]


def _partial_eval(split, args, unknown, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, checkpoints=None):
    """The known carries run now, counting the turns; later a `replay` of that many turns repeats them with the rest."""
    params = dict(cond_jaxpr=cond_jaxpr, body_jaxpr=body_jaxpr, cond_nconsts=cond_nconsts, body_nconsts=body_nconsts)
    cconst_u, bconst_u, init_u = split_list(unknown, cond_nconsts, body_nconsts)
    carry_u = fixed_point(init_u, lambda u: split_jaxpr(body_jaxpr, [*bconst_u, *u]).out_unknown)
    cond_unknown = split_jaxpr(cond_jaxpr, [*cconst_u, *carry_u]).out_unknown[0]
    if cond_unknown or all(carry_u):
        return split.write_later(while_p, args, params)
    cond_consts, body_consts, init = split_list(args, cond_nconsts, body_nconsts)
    known_args = [*cond_consts, *choose(body_consts, bconst_u, False), *choose(init, carry_u, False)]
    known, (n,) = _counted(
        lambda *xs, **p: split.run_now(while_p, xs, p), known_args, params, [*bconst_u, *carry_u], carry_u
    )
    again = without_side_effects(body_jaxpr)
    later = split.write_later(
        replay_p, [n, *body_consts, *init],
        dict(forward=again, backward=again.derive(nothing_back), num_consts=body_nconsts, num_forward=len(init),
             checkpoints=checkpoints),
    )  # fmt: skip
    known_it = iter(known)
    return [x if u else next(known_it) for x, u in zip(later, carry_u, strict=True)]


def _counted(bind, args, params, unknown, carry_unknown):
    """Run the known part of a loop: its results, and a list with the number of its turns."""
    cond_jaxpr, body_jaxpr, cond_nconsts = params["cond_jaxpr"], params["body_jaxpr"], params["cond_nconsts"]
    body = known_part(body_jaxpr, unknown, carry_unknown)
    kept = [i for i in range(len(cond_jaxpr.in_avals)) if i < cond_nconsts or not carry_unknown[i - cond_nconsts]]
    condition = rearrange(cond_jaxpr, kept, [0])
    one = np.int32(1)
    counting = build(
        [*body.in_avals, get_aval(one)], lambda *xs: [*run(body, *xs[:-1]), registry["add"].bind(xs[-1], one)]
    )
    outs = bind(
        *args, np.int32(0), cond_jaxpr=add_unused_inputs(condition, len(kept), [get_aval(one)]), body_jaxpr=counting,
        cond_nconsts=cond_nconsts, body_nconsts=len(body.in_avals) - carry_unknown.count(False),
    )  # fmt: skip
    return outs[:-1], outs[-1:]


def _transpose(cts, *args, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, checkpoints=None):
    """Of a loop that is linear in some of its values: count the turns, then go back through as many."""
    params = dict(cond_jaxpr=cond_jaxpr, body_jaxpr=body_jaxpr, cond_nconsts=cond_nconsts)
    cond_consts, body_consts, init = split_list(args, cond_nconsts, body_nconsts)
    bconst_l, init_l = [is_linear(x) for x in body_consts], [is_linear(x) for x in init]
    carry_l = fixed_point(init_l, lambda f: split_jaxpr(body_jaxpr, [*bconst_l, *f]).out_unknown)
    condition = split_jaxpr(cond_jaxpr, [*(is_linear(x) for x in cond_consts), *carry_l])
    if condition.out_unknown[0]:
        raise ValueError(
            "while_loop: the loop is not linear, because its condition depends on the values in which it should be. "
            "Keep them out of cond_fun."
        )
    known_args = [*cond_consts, *choose(body_consts, bconst_l, False), *choose(init, carry_l, False)]
    _, (n,) = _counted(while_p.bind, known_args, params, [*bconst_l, *carry_l], carry_l)
    again = without_side_effects(body_jaxpr)
    back = replay_p.transpose(
        cts, n, *body_consts, *init, forward=again, backward=again.derive(nothing_back), num_consts=body_nconsts,
        num_forward=len(init), checkpoints=checkpoints,
    )  # fmt: skip
    return [*(None for _ in cond_consts), *back[1:]]


def _batch(axis, args, dims, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, **params):
    args = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    cconsts, bconsts, init = split_list(args, cond_nconsts, body_nconsts)
    cconst_b, bconst_b, init_b = split_list([d is not None for d in dims], cond_nconsts, body_nconsts)
    state: dict = {}

    def step(flags):
        pred_batched = batch_jaxpr(cond_jaxpr, axis, [*cconst_b, *flags])[1][0]
        state["pred"] = pred_batched
        if pred_batched:
            return [True] * len(flags)
        return batch_jaxpr(body_jaxpr, axis, [*bconst_b, *flags], flags)[1]

    carry_b = fixed_point(init_b, step)
    init = [to_front(x, None, axis.size) if b and not was else x
            for x, b, was in zip(init, carry_b, init_b, strict=True)]  # fmt: skip
    body, _ = batch_jaxpr(body_jaxpr, axis, [*bconst_b, *carry_b], carry_b)
    condition, _ = batch_jaxpr(cond_jaxpr, axis, [*cconst_b, *carry_b])
    n_body = body_nconsts
    if state["pred"]:
        # The loop goes on while any example does; an example that is done keeps its carry, and has no more effects.
        inner_cond, inner_body = condition, body
        effects = has_effects(body_jaxpr)
        if effects:
            inner_body, _ = batch_jaxpr(only_if(body_jaxpr), axis, [True, *bconst_b, *carry_b], carry_b)
        again = without_side_effects(condition)
        avals = [*inner_cond.in_avals[:cond_nconsts], *body.in_avals]
        carry_avals = body.in_avals[body_nconsts:]

        def any_condition(*xs):
            (pred,) = run(inner_cond, *xs)
            return [registry["reduce_or"].bind(pred, axes=(0,))]

        def guarded_body(*xs):
            cc, bc, carry = split_list(xs, cond_nconsts, body_nconsts)
            (pred,) = run(again, *cc, *carry)
            mask = [pred] if effects else []
            new = run(inner_body, *mask, *guard(pred, [*bc, *carry], [*bconst_b, *carry_b]))
            return [
                registry["select_n"].bind(broadcast_in_dim(pred, shape_of(old), (0,)), old, x)
                for old, x in zip(carry, new, strict=True)
            ]

        condition = build([*inner_cond.in_avals[:cond_nconsts], *carry_avals], any_condition)
        body = build(avals, guarded_body)
        bconsts = [*cconsts, *bconsts]
        n_body = cond_nconsts + body_nconsts
    outs = while_p.bind(
        *cconsts, *bconsts, *init, cond_jaxpr=condition, body_jaxpr=body, cond_nconsts=cond_nconsts,
        body_nconsts=n_body, **params,
    )  # fmt: skip
    return outs, [0 if b else None for b in carry_b]


while_p = program_primitive(
    "while", _type, jvp=_jvp, partial_eval=_partial_eval, transpose=_transpose, batch=_batch,
    effects=lambda *_, cond_jaxpr, body_jaxpr, **__: cond_jaxpr.effects | body_jaxpr.effects, varying=of_while,
)  # fmt: skip
