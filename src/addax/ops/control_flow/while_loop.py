"""``while``: repeat a program while a condition holds.

Operands: constants of the condition, constants of the body, the initial carry.
"""

from __future__ import annotations

from addax.core.builder import JaxprTrace
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.primitive import Primitive, Refusal, registry
from addax.core.trace import swap_trace
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import split_jaxpr
from addax.interpreters.retype import of_while
from addax.interpreters.values import Zero, broadcast_in_dim, instantiate, move_axis, shape_of, to_front
from addax.ops.control_flow.common import add_unused_inputs, choose, fixed_point, rearrange, split_list

while_p = Primitive("while", multiple_results=True, cache_types=False)


def _type(*avals, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
    cond_consts, body_consts, init = split_list(avals, cond_nconsts, body_nconsts)
    for what, program, got in (("cond_fun", cond_jaxpr, [*cond_consts, *init]),
                               ("body_fun", body_jaxpr, [*body_consts, *init])):  # fmt: skip
        for g, w in zip(got, program.in_avals, strict=True):
            if (g.shape, g.dtype) != (w.shape, w.dtype):
                raise TypeError(f"while: {what} takes {w}, got {g}")
    return body_jaxpr.out_avals


def _jvp(primals, tangents, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
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
        cond_jaxpr=condition, body_jaxpr=program, cond_nconsts=cond_nconsts, body_nconsts=n + nb,
    )  # fmt: skip
    rest = iter(outs[m:])
    return outs[:m], [next(rest) if nz else Zero.of(x) for x, nz in zip(outs[:m], carry_nz, strict=True)]


def _partial_eval(split, args, unknown, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
    """The known carries run now; the later loop repeats them, since its length is not known in advance."""
    params = dict(cond_jaxpr=cond_jaxpr, body_jaxpr=body_jaxpr, cond_nconsts=cond_nconsts, body_nconsts=body_nconsts)
    cconst_u, bconst_u, init_u = split_list(unknown, cond_nconsts, body_nconsts)
    carry_u = fixed_point(init_u, lambda u: split_jaxpr(body_jaxpr, [*bconst_u, *u]).out_unknown)
    cond_unknown = split_jaxpr(cond_jaxpr, [*cconst_u, *carry_u]).out_unknown[0]
    if cond_unknown or all(carry_u):
        return split.write_later(while_p, args, params)
    cond_consts, body_consts, init = split_list(args, cond_nconsts, body_nconsts)
    cut = split_jaxpr(body_jaxpr, [*bconst_u, *carry_u], carry_u)
    n_known = carry_u.count(False)
    known_body = rearrange(cut.known, range(len(cut.known.in_avals)), range(n_known))
    kept = [i for i in range(len(cond_jaxpr.in_avals)) if i < cond_nconsts or not carry_u[i - cond_nconsts]]
    known_cond = rearrange(cond_jaxpr, kept, [0])
    known = split.run_now(
        while_p,
        [*cond_consts, *choose(body_consts, bconst_u, False), *choose(init, carry_u, False)],
        dict(cond_jaxpr=known_cond, body_jaxpr=known_body, cond_nconsts=cond_nconsts,
             body_nconsts=bconst_u.count(False)),
    )  # fmt: skip
    later = split.write_later(while_p, args, params)
    known_it = iter(known)
    return [x if u else next(known_it) for x, u in zip(later, carry_u, strict=True)]


def _batch(axis, args, dims, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
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
        # The loop goes on while any example does; an example that is done keeps its carry.
        inner_cond, inner_body = condition, body
        avals = [*inner_cond.in_avals[:cond_nconsts], *inner_body.in_avals]
        carry_avals = inner_body.in_avals[body_nconsts:]

        def any_condition(*xs):
            (pred,) = eval_jaxpr(inner_cond.jaxpr, inner_cond.consts, *xs)
            return [registry["reduce_or"].bind(pred, axes=(0,))]

        def guarded_body(*xs):
            cc, bc, carry = split_list(xs, cond_nconsts, body_nconsts)
            (pred,) = eval_jaxpr(inner_cond.jaxpr, inner_cond.consts, *cc, *carry)
            new = eval_jaxpr(inner_body.jaxpr, inner_body.consts, *bc, *carry)
            return [
                registry["select_n"].bind(broadcast_in_dim(pred, shape_of(old), (0,)), old, x)
                for old, x in zip(carry, new, strict=True)
            ]

        condition = _build([*inner_cond.in_avals[:cond_nconsts], *carry_avals], any_condition)
        body = _build(avals, guarded_body)
        bconsts = [*cconsts, *bconsts]
        n_body = cond_nconsts + body_nconsts
    outs = while_p.bind(
        *cconsts, *bconsts, *init, cond_jaxpr=condition, body_jaxpr=body, cond_nconsts=cond_nconsts,
        body_nconsts=n_body,
    )  # fmt: skip
    return outs, [0 if b else None for b in carry_b]


def _build(avals, fun) -> ClosedJaxpr:
    builder = JaxprTrace()
    args = [builder.new_arg(a) for a in avals]
    previous = swap_trace(builder)
    try:
        outs = fun(*args)
    finally:
        swap_trace(previous)
    return ClosedJaxpr(*builder.finish(outs))


while_p.abstract_eval = _type
while_p.varying = of_while
while_p.effects = lambda *_, cond_jaxpr, body_jaxpr, **__: cond_jaxpr.effects | body_jaxpr.effects
while_p.jvp = _jvp
while_p.partial_eval = _partial_eval
while_p.transpose = Refusal(
    "Reverse-mode differentiation does not work for lax.while_loop or lax.fori_loop with dynamic start/stop values. "
    "Try using lax.scan, or using fori_loop with static start/stop.",
    ValueError,
)
while_p.batch = _batch
