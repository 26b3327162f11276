"""``replay``: so many turns of a loop forward, and then the same turns backward, each with its state at hand.

::

    for i in range(n):            x[i + 1] = forward(consts, x[i])
    for i in reversed(range(n)):  y = backward(consts, x[i], y)
    return x[n], y

It is what reverse mode makes of a `while`. The states are not kept: revolve.py goes back to a few of them and runs the
loop again from there. ``backward`` is linear in ``y`` (but may use it together with the state in any way), because only
transposition makes a backward program. That is why the primitive is closed under all transformations: the tangents and
cotangents of either sweep join the values of the sweep that goes their way,

* jvp: ``x'`` goes forward with ``x``, and ``y'`` backward with ``y``;
* transpose: the cotangents of ``y'`` go forward with ``x``, those of ``x'`` backward with ``y``;

so that second derivatives keep a few states of twice the size, instead of a few of the states of a loop that keeps a few.

Operands: n (int32), constants, first state, first value of the way back.
"""

from __future__ import annotations

import numpy as np

from addax.core.avals import get_aval
from addax.core.jaxpr import ClosedJaxpr, Var, join_effects, without_dead_code
from addax.core.notation import Notation
from addax.core.primitive import Refusal, registry
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import split_jaxpr
from addax.interpreters.transpose import backward_pass, transpose_instantiated
from addax.interpreters.values import (
    Zero,
    add_tangents,
    broadcast_in_dim,
    instantiate,
    is_linear,
    move_axis,
    shape_of,
    to_front,
    zeros,
)
from addax.ops.callback import Effect
from addax.ops.control_flow.common import (
    build,
    choose,
    fixed_point,
    guard,
    known_part,
    rearrange,
    run,
    split_list,
)
from addax.ops.control_flow.revolve import last_state, revolve
from addax.ops.rules import program_primitive


def nothing_back(forward: ClosedJaxpr) -> ClosedJaxpr:
    """The backward program of a loop that does not go back."""
    return build(forward.in_avals, lambda *_: [])


def without_side_effects(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program for a second run of the same turns: what it printed it has printed.

    Raises:
      NotImplementedError: if the program needs the answer of a callback that may be called only once.
    """
    has_side_effects = any(isinstance(e, Effect) for e in closed.effects)
    return closed.derive(_silent_program) if has_side_effects else closed


def _silent_program(closed: ClosedJaxpr) -> ClosedJaxpr:
    eqns = []
    for eqn in closed.eqns:
        if any(isinstance(e, Effect) for e in eqn.effects):
            if not eqn.outvars:
                continue
            inner = {k: _silent(v) for k, v in eqn.params.items()}
            if all(inner[k] is v for k, v in eqn.params.items()):
                raise NotImplementedError(
                    f"reverse-mode differentiation of a while_loop runs its turns again, so {eqn.primitive} (at "
                    f"{eqn.source_info}), which is called exactly once per turn, cannot give them a value. Use "
                    "pure_callback if its result depends on its arguments alone, or lax.scan, which keeps it."
                )
            programs = [p for v in inner.values() for p in (v if type(v) is tuple else (v,))]
            effects = frozenset().union(*(p.effects for p in programs if isinstance(p, ClosedJaxpr)))
            eqn = eqn.replace(params=inner, effects=effects)
        eqns.append(eqn)
    return ClosedJaxpr(closed.jaxpr.replace(eqns=eqns, effects=join_effects(eqns)), closed.consts)


def _silent(value):
    if isinstance(value, ClosedJaxpr):
        return without_side_effects(value)
    if type(value) is tuple and any(isinstance(v, ClosedJaxpr) for v in value):
        return tuple([_silent(v) for v in value])
    return value


def _type(n, *avals, forward, backward, num_consts, num_forward, checkpoints):
    if n.shape != () or n.dtype != np.int32:
        raise TypeError(f"replay: the number of turns must be int32[], got {n}")
    for what, program, got in (("forward", forward, avals[: num_consts + num_forward]), ("backward", backward, avals)):
        for g, w in zip(got, program.in_avals, strict=True):
            if (g.shape, g.dtype) != (w.shape, w.dtype):
                raise TypeError(f"replay: the {what} program takes {w}, got {g}")
    return [*forward.out_avals, *backward.out_avals]


def _jvp(primals, tangents, *, forward, backward, num_consts, num_forward, checkpoints):
    n, consts, x, y = _parts(primals, num_consts, num_forward)
    _, consts_t, x_t, y_t = _parts(tangents, num_consts, num_forward)
    const_nz, x_nz, y_nz = ([type(t) is not Zero for t in ts] for ts in (consts_t, x_t, y_t))
    x_nz = fixed_point(x_nz, lambda nz: jvp_jaxpr(forward, [*const_nz, *nz])[1])
    y_nz = fixed_point(y_nz, lambda nz: jvp_jaxpr(backward, [*const_nz, *x_nz, *nz])[1])
    there, _ = jvp_jaxpr(forward, [*const_nz, *x_nz], x_nz)
    back, _ = jvp_jaxpr(backward, [*const_nz, *x_nz, *y_nz], y_nz)
    there = rearrange(there, _interleaved([(len(consts), sum(const_nz)), (len(x), sum(x_nz))]),
                      range(len(there.out_avals)))  # fmt: skip
    back = rearrange(back, _interleaved([(len(consts), sum(const_nz)), (len(x), sum(x_nz)), (len(y), sum(y_nz))]),
                     range(len(back.out_avals)))  # fmt: skip
    outs = replay_p.bind(
        n, *consts, *choose(consts_t, const_nz), *x, *map(instantiate, choose(x_t, x_nz)),
        *y, *map(instantiate, choose(y_t, y_nz)), forward=there, backward=back,
        num_consts=len(consts) + sum(const_nz), num_forward=len(x) + sum(x_nz), checkpoints=checkpoints,
    )  # fmt: skip
    x, x_t, y, y_t = split_list(outs, len(x), sum(x_nz), len(y))
    rest = iter([*x_t, *y_t])
    values = [*x, *y]
    return values, [next(rest) if nz else Zero.of(v) for v, nz in zip(values, [*x_nz, *y_nz], strict=True)]


def _parts(items, num_consts: int, num_forward: int):
    (n,), consts, x, y = split_list(items, 1, num_consts, num_forward)
    return n, consts, x, y


def _interleaved(counts: list[tuple[int, int]]) -> list[int]:
    """Positions in ``(all primals, all tangents)`` of an order where the tangents of each group follow its primals."""
    order, primal, tangent = [], 0, sum(p for p, _ in counts)
    for p, t in counts:
        order += [*range(primal, primal + p), *range(tangent, tangent + t)]
        primal, tangent = primal + p, tangent + t
    return order


def _partial_eval(split, args, unknown, *, forward, backward, num_consts, num_forward, checkpoints):
    """What is known on either way runs now; later everything runs again."""
    params = dict(forward=forward, backward=backward, num_consts=num_consts, num_forward=num_forward,
                  checkpoints=checkpoints)  # fmt: skip
    n_u, const_u, x_u, y_u = _parts(unknown, num_consts, num_forward)
    x_u = fixed_point(x_u, lambda u: split_jaxpr(forward, [*const_u, *u]).out_unknown)
    y_u = fixed_point(y_u, lambda u: split_jaxpr(backward, [*const_u, *x_u, *u]).out_unknown)
    later = split.write_later(replay_p, args, params)
    if n_u or (all(x_u) and all(y_u)):
        return later
    n, consts, x, y = _parts(args, num_consts, num_forward)
    now = split.run_now(
        replay_p,
        [n, *choose(consts, const_u, False), *choose(x, x_u, False), *choose(y, y_u, False)],
        dict(forward=known_part(forward, [*const_u, *x_u], x_u),
             backward=known_part(backward, [*const_u, *x_u, *y_u], y_u),
             num_consts=const_u.count(False), num_forward=x_u.count(False), checkpoints=checkpoints),
    )  # fmt: skip
    known = iter(now)
    return [v if u else next(known) for v, u in zip(later, [*x_u, *y_u], strict=True)]


def _transpose(cts, *args, forward, backward, num_consts, num_forward, checkpoints):
    n, consts, x, y = _parts(args, num_consts, num_forward)
    const_l, x_l, y_l = ([is_linear(v) for v in vs] for vs in (consts, x, y))
    x_l = fixed_point(x_l, lambda f: split_jaxpr(forward, [*const_l, *f]).out_unknown)
    y_l = fixed_point(y_l, lambda f: split_jaxpr(backward, [*const_l, *x_l, *f]).out_unknown)
    programs = forward.derive(_transposed_programs, backward, tuple(const_l), tuple(x_l), tuple(y_l))
    if programs is None:
        # A backward program that is not linear after all (the rule of a custom_vjp that clips, say): as ordinary loops.
        program = _expand(*(a.aval if is_linear(a) else get_aval(a) for a in args), forward=forward, backward=backward,
                          num_consts=num_consts, num_forward=num_forward, checkpoints=checkpoints)  # fmt: skip
        return backward_pass(program.jaxpr, program.consts, args, cts)
    needed, there, back = programs
    known_c, known_x, known_y = choose(consts, const_l, False), choose(x, x_l, False), choose(y, y_l, False)
    ct_x, ct_y = split_list(cts, len(x))
    v, u = (list(map(instantiate, choose(c, f))) for c, f in ((ct_x, x_l), (ct_y, y_l)))
    w = [zeros(c.aval) for c in choose(consts, const_l)]
    outs = replay_p.bind(
        n, *known_c, *choose([*known_x, *u], needed), *known_y, *v, *w, forward=there, backward=back,
        num_consts=len(known_c), num_forward=sum(needed), checkpoints=checkpoints,
    )  # fmt: skip
    u, _, v, w = split_list(outs[sum(needed) - len(u) :], len(u), len(known_y), len(v))
    results = iter([*w, *v, *u])
    every = [next(results) if lin else None for lin in (*const_l, *x_l, *y_l)]
    return [None, *(c if is_linear(a) else None for c, a in zip(every, args[1:], strict=True))]


def _transposed_programs(forward: ClosedJaxpr, backward: ClosedJaxpr, const_l: tuple, x_l: tuple, y_l: tuple):
    """The programs of the transpose, and which parts of its state they need; None if ``backward`` is not linear.

    With ``x' = F dx`` and ``y' = B dy + C dx`` the linear parts of the two programs, the cotangents ``u`` of dy and ``v``
    of dx, and ``w`` of the linear constants, go

        forward:   u = B^T u                backward:   v = F^T v + C^T u,   w += (what F and C have for the constants)

    B does not depend on y, because ``backward`` is linear in it.
    """
    nc, nx, ny = (flags.count(False) for flags in (const_l, x_l, y_l))
    lc, lx, ly = (flags.count(True) for flags in (const_l, x_l, y_l))
    known_x = known_part(forward, [*const_l, *x_l], x_l)  # (known consts and x) -> known x
    known_y = known_part(backward, [*const_l, *x_l, *y_l], y_l)  # (all known) -> known y
    forward_t = _transposed(forward, [*const_l, *x_l], x_l)  # (known consts and x, v) -> cts of (consts, x)
    backward_t = _transposed(backward, [*const_l, *x_l, *y_l], y_l)  # (all known, u) -> cts of (consts, x, y)
    of_y = split_jaxpr(backward_t, [nc + nx <= i < nc + nx + ny for i in range(len(backward_t.in_avals))])
    if any(of_y.out_unknown[lc + lx :]):
        return None
    first = of_y.out_unknown[: lc + lx].count(False)
    step_u = rearrange(of_y.known, range(len(of_y.known.in_avals)), range(first, first + ly))

    def there(*values):
        c, x, u = split_list(values, nc, nx)
        return [*run(known_x, *c, *x), *run(step_u, *c, *x, *u)]

    def back(*values):
        c, x, u, y, v, w = split_list(values, nc, nx, ly, ny, lx)
        w1, v1 = split_list(run(forward_t, *c, *x, *v), lc)
        if ly:
            w2, v2, _ = split_list(run(backward_t, *c, *x, *y, *u), lc, lx)
            w1, v1 = map(add_tangents, w1, w2), map(add_tangents, v1, v2)
        return [*run(known_y, *c, *x, *y), *v1, *map(add_tangents, w, w1)]

    consts, x, y = split_list(backward.in_avals, len(const_l), len(x_l))
    state = [*choose(x, x_l, False), *choose(y, y_l)]
    avals = [*choose(consts, const_l, False), *state]
    back_avals = [*choose(y, y_l, False), *choose(x, x_l), *choose(consts, const_l)]
    return _pruned(build(avals, there), build([*avals, *back_avals], back), nc, nx, ly)


def _transposed(closed: ClosedJaxpr, linear, out_linear) -> ClosedJaxpr:
    """``(the other inputs, cotangents of the linear outputs) -> cotangents of the linear inputs``."""
    cut = split_jaxpr(closed, linear, out_linear)
    n = len(cut.residuals)
    back = transpose_instantiated(cut.unknown, [i >= n for i in range(len(cut.unknown.in_avals))])

    def program(*values):
        known, cts = split_list(values, len(cut.known.in_avals))
        return run(back, *cut.gather(known, run(cut.known, *known)), *cts)

    return without_dead_code(build([*cut.known.in_avals, *cut.unknown.out_avals], program))


def _where(flags) -> list[int]:
    return [i for i, f in enumerate(flags) if f]


def _pruned(forward: ClosedJaxpr, backward: ClosedJaxpr, num_consts: int, num_known: int, num_wanted: int):
    """Leave out of the state what the way back does not read, nor what it reads depends on (a running total, say).

    Returns:
      which parts of the state stay (the last ``num_wanted`` always do), and the two programs on those.
    """
    m = num_known + num_wanted
    reads = _used(backward, [True] * len(backward.out_avals))[num_consts : num_consts + m]
    reads[num_known:] = [True] * num_wanted
    needed = fixed_point(reads, lambda flags: _used(forward, flags)[num_consts:])
    kept = [*range(num_consts), *(num_consts + i for i in _where(needed))]
    rest = range(num_consts + m, len(backward.in_avals))
    there = _reduced(forward, kept, _where(needed))
    return needed, there, _reduced(backward, [*kept, *rest], range(len(backward.out_avals)))


def _reduced(closed: ClosedJaxpr, inputs, outputs) -> ClosedJaxpr:
    """A program of fewer results, which needs fewer inputs."""
    few = without_dead_code(rearrange(closed, range(len(closed.in_avals)), outputs))
    return rearrange(few, inputs, range(len(few.out_avals)))


def _used(closed: ClosedJaxpr, wanted) -> list[bool]:
    """Which inputs the wanted outputs depend on."""
    jaxpr = closed.jaxpr
    live = {v for v, w in zip(jaxpr.outvars, wanted, strict=True) if w and type(v) is Var}
    for eqn in reversed(jaxpr.eqns):
        if any(v in live for v in eqn.outvars):
            live.update(v for v in eqn.invars if type(v) is Var)
    return [v in live for v in jaxpr.invars]


def _batch(axis, args, dims, *, forward, backward, num_consts, num_forward, checkpoints):
    n, *rest = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    consts, x, y = split_list(rest, num_consts, num_forward)
    const_b, x_b, y_b = split_list([d is not None for d in dims[1:]], num_consts, num_forward)
    if dims[0] is not None:  # every example has its own number of turns
        x_b, y_b = [True] * len(x), [True] * len(y)
    else:
        x_b = fixed_point(x_b, lambda b: batch_jaxpr(forward, axis, [*const_b, *b], b)[1])
        y_b = fixed_point(y_b, lambda b: batch_jaxpr(backward, axis, [*const_b, *x_b, *b], b)[1])
    there, _ = batch_jaxpr(forward, axis, [*const_b, *x_b], x_b)
    back, _ = batch_jaxpr(backward, axis, [*const_b, *x_b, *y_b], y_b)
    size = axis.size
    x = [
        v if b == was else to_front(v, None, size)
        for v, b, was in zip(x, x_b, map(_is_batched, dims[1 + num_consts :]))
    ]
    y = [
        v if b == was else to_front(v, None, size)
        for v, b, was in zip(y, y_b, map(_is_batched, dims[1 + num_consts + num_forward :]), strict=True)
    ]
    params = dict(num_consts=num_consts, num_forward=num_forward, checkpoints=checkpoints)
    if dims[0] is None:
        outs = replay_p.bind(n, *consts, *x, *y, forward=there, backward=back, **params)
        return outs, [0 if b else None for b in [*x_b, *y_b]]

    # All examples make as many turns as the one with the most; those that are done keep what they have. The constants
    # get the examples' numbers of turns, and the state counts turns.
    add, lt, select = registry["add"], registry["lt"], registry["select_n"]
    zero = np.int32(0)

    def turn(program, flags, kept: int):
        """The program for the examples that make the turn, and the last ``kept`` of its inputs for the others."""

        def fun(turns, *values):
            c, (i, *values) = split_list(values, num_consts)
            mask = lt.bind(broadcast_in_dim(i, (size,), ()), turns)
            new = run(program, *guard(mask, [*c, *values], flags))
            return (
                mask,
                i,
                [
                    select.bind(broadcast_in_dim(mask, shape_of(o), (0,)), o, v)
                    for o, v in zip(values[len(values) - kept :], new, strict=True)
                ],
            )

        return fun

    forward_turn = turn(there, [*const_b, *x_b], num_forward)
    backward_turn = turn(back, [*const_b, *x_b, *y_b], len(y))
    turns_aval, i_aval = get_aval(n), get_aval(zero)
    in_avals = [turns_aval, *there.in_avals[:num_consts], i_aval, *there.in_avals[num_consts:]]

    def counting(*values):
        _, i, new = forward_turn(*values)
        return [add.bind(i, np.int32(1)), *new]

    there = build(in_avals, counting)
    back = build([*in_avals, *back.in_avals[num_consts + num_forward :]], lambda *values: backward_turn(*values)[2])
    most = registry["reduce_max"].bind(n, axes=(0,))
    outs = replay_p.bind(
        most, n, *consts, zero, *x, *y, forward=there, backward=back, num_consts=num_consts + 1,
        num_forward=num_forward + 1, checkpoints=checkpoints,
    )  # fmt: skip
    return outs[1:], [0] * (len(outs) - 1)


def _is_batched(dim) -> bool:
    return dim is not None


def _expand(*avals, forward, backward, num_consts, num_forward, checkpoints) -> ClosedJaxpr:
    """The loops: one to the last state, which goes away if nobody wants it, and those of the way back."""

    def program(*values):
        n, consts, x, y = _parts(values, num_consts, num_forward)
        return [*last_state(n, consts, x, forward), *revolve(n, consts, x, y, forward, backward, checkpoints)]

    return build(avals, program)


replay_p = program_primitive(
    "replay", _type, jvp=_jvp, partial_eval=_partial_eval, transpose=_transpose, batch=_batch,
    reference=Refusal("replay is run as the loops that it stands for"),
    effects=lambda *_, forward, backward, **__: forward.effects | backward.effects, expand=_expand,
)  # fmt: skip
replay_p.notation = Notation(omit={"checkpoints": None})
