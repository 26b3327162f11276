"""``custom_linear_solve``: x with matvec(x) = b, by a solver of the user's, differentiated as the solution it is.

Operands are the values that the four programs capture, one program after the other, then the leaves of b. Each program
takes its own captured values and then as many leaves as b has. A solver is never looked into: whatever it does, the
derivative is that of the solution,

    matvec(dx) = db - (d matvec)(x),

solved by the same solver, and the transpose solves with the transposed map.
"""

from __future__ import annotations

from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.notation import Notation
from addax.interpreters.batching import batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.values import Zero, instantiate, is_linear, move_axis, to_front
from addax.ops.arithmetic import sub
from addax.ops.control_flow.common import add_unused_inputs, split_list
from addax.ops.rules import program_primitive

PROGRAMS = ("matvec", "vecmat", "solve", "transpose_solve")


def _type(*avals, const_lengths, solve: ClosedJaxpr, **_):
    return solve.out_avals


def _expand(*avals, const_lengths, solve: ClosedJaxpr, **_) -> ClosedJaxpr:
    matvec, vecmat, own, transpose_solve = const_lengths
    before, after = matvec + vecmat, matvec + vecmat + own
    program = add_unused_inputs(solve, 0, avals[:before])
    return add_unused_inputs(program, after, avals[after : after + transpose_solve])


def _jvp(primals, tangents, *, const_lengths, matvec, **params):
    n = sum(const_lengths)
    consts, b = primals[:n], primals[n:]
    outs = linear_solve_p.bind(*primals, const_lengths=const_lengths, matvec=matvec, **params)
    x = outs[: len(b)]
    rhs = list(tangents[n:])
    changes = tangents[: const_lengths[0]]
    if any(type(t) is not Zero for t in changes):
        program, moved = jvp_jaxpr(matvec, [*(type(t) is not Zero for t in changes), *(False for _ in b)])
        live = [t for t in changes if type(t) is not Zero]
        images = eval_jaxpr(program.jaxpr, program.consts, *consts[: const_lengths[0]], *x, *live)
        rest = iter(images[len(b) :])
        rhs = [sub(instantiate(t), next(rest)) if m else t for t, m in zip(rhs, moved, strict=True)]
    if all(type(t) is Zero for t in rhs):
        return outs, [Zero.of(x) for x in outs]
    dx = linear_solve_p.bind(
        *consts, *map(instantiate, rhs), const_lengths=const_lengths, matvec=matvec, **params
    )  # fmt: skip
    return outs, [*dx[: len(b)], *(Zero.of(x) for x in outs[len(b) :])]


def _transpose(cts, *args, const_lengths, matvec, vecmat, solve, transpose_solve):
    if transpose_solve is None:
        raise TypeError(
            "custom_linear_solve: transpose_solve is required for reverse-mode differentiation. Pass it, or "
            "symmetric=True if the transposed map equals the map."
        )
    n = sum(const_lengths)
    ours, theirs, own, other = split_list(args[:n], *const_lengths[:3])
    b = args[n:]
    x = linear_solve_p.bind(
        *theirs, *ours, *other, *own, *map(instantiate, cts[: len(b)]),
        const_lengths=(len(theirs), len(ours), len(other), len(own)), matvec=vecmat, vecmat=matvec,
        solve=transpose_solve, transpose_solve=solve,
    )[: len(b)]  # fmt: skip
    return [*(None for _ in range(n)), *(v if is_linear(a) else None for v, a in zip(x, b, strict=True))]


def _batch(axis, args, dims, *, const_lengths, **params):
    n = sum(const_lengths)
    batched = [d is not None for d in dims[:n]]
    consts = [x if d is None else move_axis(x, d, 0) for x, d in zip(args[:n], dims[:n], strict=True)]
    b = [to_front(x, d, axis.size) for x, d in zip(args[n:], dims[n:], strict=True)]
    programs = {}
    for name, flags in zip(PROGRAMS, split_list(batched, *const_lengths[:3]), strict=True):
        program = params[name]
        programs[name] = None if program is None else batch_jaxpr(program, axis, [*flags, *(True for _ in b)], True)[0]
    outs = linear_solve_p.bind(*consts, *b, const_lengths=const_lengths, **programs)
    return outs, [0] * len(outs)


linear_solve_p = program_primitive(
    "custom_linear_solve", _type, jvp=_jvp, transpose=_transpose, batch=_batch,
    effects=lambda *_, solve, **__: solve.effects, expand=_expand, notation=Notation(first=("const_lengths",)),
)  # fmt: skip
