"""``scan``: a loop of known length with a carry, slices in, and stacked results out.

Operands: constants, initial carry, arrays to slice along dimension 0. The body is a program
``(consts, carry, x slices) -> (carry, y slices)``.
"""

from __future__ import annotations

from typing import NamedTuple

from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.trace import set_current_trace
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import split_jaxpr
from addax.interpreters.retype import of_scan
from addax.interpreters.transpose import backward_pass
from addax.interpreters.values import (
    UndefinedPrimal,
    Zero,
    add_tangents,
    instantiate,
    is_linear,
    move_axis,
    to_front,
    zeros,
)
from addax.ops.control_flow.common import choose, fixed_point, rearrange, split_list
from addax.ops.control_flow.residuals import fewer_residuals
from addax.ops.rules import program_primitive


def _type(*avals, jaxpr, length, num_consts, num_carry, **_):
    want = jaxpr.in_avals
    if len(avals) != len(want):
        raise TypeError(f"scan: the body takes {len(want)} values, got {len(avals)}")
    for i, (got, w) in enumerate(zip(avals, want, strict=True)):
        is_x = i >= num_consts + num_carry
        shape = got.shape[1:] if is_x else got.shape
        if (shape, got.dtype) != (w.shape, w.dtype) or (is_x and got.shape[0] != length):
            raise TypeError(f"scan: operand {i} is {got}, but the body takes {w} and the length is {length}")
    carry, ys = split_list(jaxpr.out_avals, num_carry)
    return [*carry, *(a.update(shape=(length, *a.shape)) for a in ys)]


def _jvp(primals, tangents, *, jaxpr, num_consts, num_carry, **params):
    nonzero = [type(t) is not Zero for t in tangents]
    const_nz, init_nz, xs_nz = split_list(nonzero, num_consts, num_carry)
    n_ys = len(jaxpr.out_avals) - num_carry
    carry_nz = fixed_point(init_nz, lambda nz: jvp_jaxpr(jaxpr, [*const_nz, *nz, *xs_nz])[1][:num_carry])
    program, out_nz = jvp_jaxpr(jaxpr, [*const_nz, *carry_nz, *xs_nz], [*carry_nz, *[False] * n_ys])
    ys_nz = out_nz[num_carry:]
    n = len(jaxpr.in_avals)
    counts = sum(const_nz), sum(carry_nz), sum(xs_nz)
    groups = split_list(range(n), num_consts, num_carry)
    t_groups = split_list(range(n, n + sum(counts)), counts[0], counts[1])
    in_order = [i for g, t in zip(groups, t_groups, strict=True) for i in (*g, *t)]
    outs = split_list(range(num_carry + n_ys), num_carry)
    t_outs = split_list(range(num_carry + n_ys, num_carry + n_ys + counts[1] + sum(ys_nz)), counts[1])
    out_order = [i for g, t in zip(outs, t_outs, strict=True) for i in (*g, *t)]
    program = rearrange(program, in_order, out_order)

    const, init, xs = split_list(primals, num_consts, num_carry)
    const_t, init_t, xs_t = split_list(tangents, num_consts, num_carry)
    results = scan_p.bind(
        *const, *choose(const_t, const_nz), *init, *(instantiate(t) for t in choose(init_t, carry_nz)),
        *xs, *choose(xs_t, xs_nz), jaxpr=program, num_consts=num_consts + counts[0], num_carry=num_carry + counts[1],
        **params,
    )  # fmt: skip
    carry, carry_t, ys, ys_t = split_list(results, num_carry, counts[1], n_ys)
    tangents_out = [*_spread(carry, carry_t, carry_nz), *_spread(ys, ys_t, ys_nz)]
    return [*carry, *ys], tangents_out


def _spread(outs, tangents, flags):
    rest = iter(tangents)
    return [next(rest) if nz else Zero.of(x) for x, nz in zip(outs, flags, strict=True)]


def hoist_invariants(run, jaxpr: ClosedJaxpr, args, known_consts, num_consts):
    """Compute once, before the loop, what depends on the known constants alone.

    Returns:
      the body with fewer equations, its constants and how many there are now.
    """
    unknown = [not k for k in known_consts] + [True] * (len(jaxpr.in_avals) - num_consts)
    cut = split_jaxpr(jaxpr, unknown, [True] * len(jaxpr.out_avals))
    if not cut.known.eqns:
        return jaxpr, args, num_consts
    known_args = [x for x, u in zip(args, unknown, strict=True) if not u]
    residuals = cut.gather(known_args, run(cut.known, known_args))
    later = [x for x, u in zip(args, unknown, strict=True) if u]
    return cut.unknown, [*residuals, *later], len(residuals) + known_consts.count(False)


def _partial_eval(split, args, unknown, *, jaxpr, num_consts, num_carry, **params):
    def run(program, known_args):
        with set_current_trace(split.now):
            return eval_jaxpr(program.jaxpr, program.consts, *known_args)

    const_u = unknown[:num_consts]
    jaxpr, args, num_consts = hoist_invariants(run, jaxpr, args, [not u for u in const_u], num_consts)
    unknown = [split.is_later(x) for x in args]
    const_u, init_u, xs_u = split_list(unknown, num_consts, num_carry)
    cut = jaxpr.derive(_cut_body, tuple(const_u), tuple(init_u), tuple(xs_u))
    consts, init, xs = split_list(args, num_consts, num_carry)
    known_consts, known_init, known_xs = (
        choose(consts, const_u, False), choose(init, cut.carry_u, False), choose(xs, xs_u, False),
    )  # fmt: skip
    known_outs = split.run_now(
        scan_p, [*known_consts, *known_init, *known_xs],
        dict(params, jaxpr=cut.known, num_consts=len(known_consts), num_carry=len(known_init)),
    )  # fmt: skip
    known_carry, known_ys, stacked = split_list(known_outs, len(known_init), cut.ys_u.count(False))
    values = {"x": known_xs, "y": known_ys, "stacked": stacked, "const": known_consts}
    const_res = [values[kind][i] for kind, i in cut.residuals if kind == "const"]
    x_res = [values[kind][i] for kind, i in cut.residuals if kind != "const"]
    later = cut.later.jaxpr
    later_consts, later_init = [*const_res, *choose(consts, const_u)], choose(init, cut.carry_u)
    later_outs = [] if not (later.outvars or later.effects) else split.write_later(
        scan_p, [*later_consts, *later_init, *x_res, *choose(xs, xs_u)],
        dict(params, jaxpr=cut.later, num_consts=len(later_consts), num_carry=len(later_init)),
    )  # fmt: skip
    known_it, later_it = iter([*known_carry, *known_ys]), iter(later_outs)
    return [next(later_it) if u else next(known_it) for u in [*cut.carry_u, *cut.ys_u]]


class _Cut(NamedTuple):
    """The body of a loop that runs now and of one that runs later, and what of the first the second reads: ``residuals``, as
    (which of the first loop's values: "const", "x", "y" or "stacked", the number there)."""

    known: ClosedJaxpr
    later: ClosedJaxpr
    residuals: list[tuple[str, int]]
    carry_u: list[bool]
    ys_u: list[bool]


def _cut_body(jaxpr: ClosedJaxpr, const_u: tuple, init_u: tuple, xs_u: tuple) -> _Cut:
    n_ys = len(jaxpr.out_avals) - len(init_u)
    carry_u = fixed_point(init_u, lambda u: split_jaxpr(jaxpr, [*const_u, *u, *xs_u]).out_unknown[: len(init_u)])
    cut = split_jaxpr(jaxpr, [*const_u, *carry_u, *xs_u], [*carry_u, *[False] * n_ys])
    ys_u = cut.out_unknown[len(init_u) :]
    nc, ni, n_known_outs = const_u.count(False), carry_u.count(False), cut.out_unknown.count(False)
    free = [i for i in range(len(cut.known.in_avals)) if not nc <= i < nc + ni]
    cut = fewer_residuals(cut, n_known_outs, free)

    # Which residuals are constants of the later loop, which are slices of arrays we already have, which get stacked.
    computed = len(cut.known.out_avals) - n_known_outs
    stack: list[tuple[str, int]] = []
    kinds: list[tuple[str, int]] = []
    for kind, i in cut.residuals:
        if kind == "in" and i < nc:
            kinds.append(("const", i))
        elif kind == "in" and i >= nc + ni:
            kinds.append(("x", i - nc - ni))
        elif kind == "out" and ni <= i < n_known_outs:
            kinds.append(("y", i - ni))
        elif kind == "out" and i >= n_known_outs:
            kinds.append(("stacked", i - n_known_outs))
        else:  # a carry, before or after the step: stack it
            kinds.append(("stacked", computed + len(stack)))
            stack.append((kind, i))
    jx = cut.known.jaxpr
    extra = [jx.invars[i] if kind == "in" else jx.outvars[i] for kind, i in stack]
    known = ClosedJaxpr(jx.replace(outvars=[*jx.outvars, *extra]), cut.known.consts)

    const_res = [i for i, (kind, _) in enumerate(kinds) if kind == "const"]
    x_res = [i for i, (kind, _) in enumerate(kinds) if kind != "const"]
    rest = split_list(range(len(kinds), len(cut.unknown.in_avals)), sum(const_u), sum(carry_u))
    order = [*const_res, *rest[0], *rest[1], *x_res, *rest[2]]
    later = rearrange(cut.unknown, order, range(len(cut.unknown.out_avals)))
    return _Cut(known, later, kinds, carry_u, ys_u)


def _transpose(cts, *args, jaxpr, num_consts, num_carry, reverse, **params):
    """All that is carried is linear: a carry that enters as a constant is a zero tangent that was made real."""
    consts, init, xs = split_list(args, num_consts, num_carry)
    const_lin, xs_lin = tuple(map(is_linear, consts)), tuple(map(is_linear, xs))
    program = jaxpr.derive(_transposed_body, const_lin, num_carry, xs_lin)
    sums = [zeros(x.aval) for x in choose(consts, const_lin)]
    others, other_xs = choose(consts, const_lin, False), choose(xs, xs_lin, False)
    results = scan_p.bind(
        *others, *sums, *map(instantiate, cts), *other_xs, jaxpr=program, reverse=not reverse,
        num_consts=len(others), num_carry=len(sums) + num_carry, **params,
    )  # fmt: skip
    out_const, out_carry, out_xs = (iter(g) for g in split_list(results, len(sums), num_carry))
    carry_cts = [c if is_linear(x) else None for c, x in zip(out_carry, init, strict=True)]
    return [
        *(next(out_const) if lin else None for lin in const_lin),
        *carry_cts,
        *(next(out_xs) if lin else None for lin in xs_lin),
    ]


def _transposed_body(closed: ClosedJaxpr, const_lin: tuple, num_carry: int, xs_lin: tuple) -> ClosedJaxpr:
    """A turn backward: ``(other constants, sums for the linear constants, cotangents of the results, other xs) -> (sums,
    cotangents of the carry, cotangents of the linear xs)``.
    """
    linear = [*const_lin, *[True] * num_carry, *xs_lin]

    def program(*args):
        others, sums, cts, other_xs = split_list(args, const_lin.count(False), sum(const_lin), len(closed.out_avals))
        given = iter([*others, *other_xs])
        inputs = [UndefinedPrimal(a) if lin else next(given) for a, lin in zip(closed.in_avals, linear, strict=True)]
        grads = backward_pass(closed.jaxpr, closed.consts, inputs, cts)
        of_consts, of_carry, of_xs = split_list(grads, len(const_lin), num_carry)
        sums = [add_tangents(s, g) for s, g in zip(sums, choose(of_consts, const_lin), strict=True)]
        return [*sums, *map(instantiate, of_carry), *map(instantiate, choose(of_xs, xs_lin))]

    consts, _, xs = split_list(closed.in_avals, len(const_lin), num_carry)
    others, sums, other_xs = choose(consts, const_lin, False), choose(consts, const_lin), choose(xs, xs_lin, False)
    avals = [*others, *sums, *closed.out_avals, *other_xs]
    return ClosedJaxpr(*trace_to_jaxpr(program, avals, closed.jaxpr.debug_info))


def _batch(axis, args, dims, *, jaxpr, num_consts, num_carry, **params):
    const_d, init_d, xs_d = split_list(dims, num_consts, num_carry)
    consts, init, xs = split_list(args, num_consts, num_carry)
    const_b, init_b, xs_b = ([d is not None for d in ds] for ds in (const_d, init_d, xs_d))
    n_ys = len(jaxpr.out_avals) - num_carry
    carry_b = fixed_point(
        init_b,
        lambda b: batch_jaxpr(jaxpr, axis, [*const_b, *b, *xs_b], [*b, *[False] * n_ys])[1][:num_carry],
    )
    program, out_b = batch_jaxpr(jaxpr, axis, [*const_b, *carry_b, *xs_b], [*carry_b, *[False] * n_ys])
    consts = [x if d is None else move_axis(x, d, 0) for x, d in zip(consts, const_d, strict=True)]
    init = [to_front(x, d, axis.size) if b else x for x, d, b in zip(init, init_d, carry_b, strict=True)]
    xs = [x if d is None else move_axis(x, d, 1) for x, d in zip(xs, xs_d, strict=True)]
    outs = scan_p.bind(*consts, *init, *xs, jaxpr=program, num_consts=num_consts, num_carry=num_carry, **params)
    return outs, [0 if b else None for b in carry_b] + [1 if b else None for b in out_b[num_carry:]]


scan_p = program_primitive(
    "scan", _type, jvp=_jvp, partial_eval=_partial_eval, transpose=_transpose, batch=_batch,
    effects=lambda *_, jaxpr, **__: jaxpr.effects, varying=of_scan,
)  # fmt: skip
