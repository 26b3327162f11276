"""Taylor coefficients through the primitives that contain programs: each program becomes one on series."""

from __future__ import annotations

from collections.abc import Sequence

from addax.core.primitive import registry
from addax.core.trace import current_trace
from addax.interpreters.jet import Series, by_derivative, is_constant, jet_flat, jet_jaxpr, taylor_rules
from addax.interpreters.values import Zero, instantiate
from addax.ops.control_flow.common import add_unused_inputs, choose, fixed_point, rearrange, run, split_list
from addax.ops.taylor import minus


def _live(series: Sequence[Series]) -> list[bool]:
    return [not is_constant(s) for s in series]


def _terms(series: Sequence[Series], live: Sequence[bool]) -> list:
    return [instantiate(c) for s in choose(series, live) for c in s[1:]]


def _packed(outs: Sequence, live: Sequence[bool], order: int) -> list[Series]:
    """Series from ``(values..., coefficients of the live ones...)``."""
    rest = iter(outs[len(live) :])
    return [
        [x, *(next(rest) if has else Zero.of(x) for _ in range(order))]
        for x, has in zip(outs[: len(live)], live, strict=True)
    ]


def _call(name: str, param: str):
    def rule(series, **params):
        order, live = len(series[0]) - 1, _live(series)
        program, out_live = jet_jaxpr(params[param], order, live)
        outs = registry[name].bind(*(s[0] for s in series), *_terms(series, live), **{**params, param: program})
        return _packed(outs, out_live, order)

    return rule


taylor_rules["jit"] = _call("jit", "jaxpr")
taylor_rules["checkpoint"] = _call("checkpoint", "jaxpr")
by_derivative.add("custom_jvp_call")


def _cond(series, *, branches, **params):
    index, *operands = series
    order, live = len(index) - 1, _live(operands)
    every = [jet_jaxpr(b, order, live)[1] for b in branches]
    out_live = [any(flags) for flags in zip(*every, strict=True)]
    programs = tuple(jet_jaxpr(b, order, live, out_live)[0] for b in branches)
    outs = registry["cond"].bind(
        index[0], *(s[0] for s in operands), *_terms(operands, live), branches=programs, **params
    )
    return _packed(outs, out_live, order)


def _grouped(sizes: Sequence[int], live: Sequence[bool], order: int) -> list[int]:
    """Positions in ``(values..., coefficients...)`` of an order where those of each group follow its values."""
    positions, at, term = [], 0, len(live)
    for n in sizes:
        k = order * sum(live[at : at + n])
        positions += [*range(at, at + n), *range(term, term + k)]
        at, term = at + n, term + k
    return positions


def _ungrouped(outs: Sequence, sizes: Sequence[int], live: Sequence[bool], order: int) -> list[Series]:
    place = {p: i for i, p in enumerate(_grouped(sizes, live, order))}
    return _packed([outs[place[i]] for i in range(len(outs))], live, order)


def _scan(series, *, jaxpr, num_consts, num_carry, **params):
    order, live = len(series[0]) - 1, _live(series)
    n_ys = len(jaxpr.out_avals) - num_carry
    const_l, init_l, xs_l = split_list(live, num_consts, num_carry)
    carry_l = fixed_point(init_l, lambda f: jet_jaxpr(jaxpr, order, [*const_l, *f, *xs_l])[1][:num_carry])
    live = [*const_l, *carry_l, *xs_l]
    program, out_live = jet_jaxpr(jaxpr, order, live, [*carry_l, *[False] * n_ys])
    sizes, out_sizes = (num_consts, num_carry, len(xs_l)), (num_carry, n_ys)
    program = rearrange(program, _grouped(sizes, live, order), _grouped(out_sizes, out_live, order))
    values = [*(s[0] for s in series), *_terms(series, live)]
    outs = registry["scan"].bind(
        *(values[i] for i in _grouped(sizes, live, order)), jaxpr=program,
        num_consts=num_consts + order * sum(const_l), num_carry=num_carry + order * sum(carry_l), **params,
    )  # fmt: skip
    return _ungrouped(outs, out_sizes, out_live, order)


def _while(series, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, **params):
    order = len(series[0]) - 1
    cond_consts, rest = split_list(series, cond_nconsts)
    const_l, init_l = split_list(_live(rest), body_nconsts)
    carry_l = fixed_point(init_l, lambda f: jet_jaxpr(body_jaxpr, order, [*const_l, *f])[1])
    live = [*const_l, *carry_l]
    program, _ = jet_jaxpr(body_jaxpr, order, live, carry_l)
    sizes = (body_nconsts, len(carry_l))
    program = rearrange(program, _grouped(sizes, live, order), range(len(program.out_avals)))
    values = [*(s[0] for s in rest), *_terms(rest, live)]
    terms = [a.to_tangent() for a in choose(body_jaxpr.out_avals, carry_l) for _ in range(order)]
    outs = registry["while"].bind(
        *(s[0] for s in cond_consts), *(values[i] for i in _grouped(sizes, live, order)),
        cond_jaxpr=add_unused_inputs(cond_jaxpr, len(cond_jaxpr.in_avals), terms), body_jaxpr=program,
        cond_nconsts=cond_nconsts, body_nconsts=body_nconsts + order * sum(const_l), **params,
    )  # fmt: skip
    return _packed(outs, carry_l, order)


def _linear_solve(series, *, const_lengths, matvec, **params):
    """From ``A x = b``: ``A[0] x[k] = b[k] - sum(A[j] x[k - j] for j in 1..k)``, by the solver that solved for x[0]."""
    order, n = len(series[0]) - 1, sum(const_lengths)
    consts, b = series[:n], series[n:]

    def solve(rhs):
        values = [*(s[0] for s in consts), *rhs]
        return registry["custom_linear_solve"].bind(*values, const_lengths=const_lengths, matvec=matvec, **params)

    first = solve([s[0] for s in b])
    x = [[v] for v in first[: len(b)]]
    for k in range(1, order + 1):
        so_far = [*(s[: k + 1] for s in consts[: const_lengths[0]]), *([*v, Zero.of(v[0])] for v in x)]
        images = jet_flat(lambda *xs: run(matvec, *xs), so_far, k, current_trace())
        rhs = [minus(s[k], i[k]) for s, i in zip(b, images, strict=True)]
        if all(type(r) is Zero for r in rhs):
            terms = rhs
        else:
            terms = solve(list(map(instantiate, rhs)))
        for v, t in zip(x, terms, strict=False):
            v.append(t)
    return [*x, *([v, *[Zero.of(v)] * order] for v in first[len(b) :])]


taylor_rules["custom_linear_solve"] = _linear_solve
taylor_rules["cond"] = _cond
taylor_rules["scan"] = _scan
taylor_rules["while"] = _while

__all__: list[str] = []
