"""Fewer residuals: what follows from those that are kept anyway by cheap arithmetic is computed again.

``1 - y`` beside ``y = tanh(x)``, the mask beside the values that it compares, what was broadcast beside what it was broadcast
from: writing such an array and reading it back costs a loop more memory traffic than the arithmetic in the loop that reads
it, and each array that a `scan` keeps has a row per turn.
"""

from __future__ import annotations

from collections.abc import Collection

from addax.core.jaxpr import Atom, ClosedJaxpr, Eqn, Literal, Var, without_dead_code
from addax.interpreters.linearize import SplitJaxpr
from addax.ops.control_flow.common import build, choose, rearrange, run

# No transcendental functions, divisions or reductions, and nothing that moves elements about.
CHEAP = frozenset(
    "abs add add_any and broadcast_in_dim conj convert_element_type copy eq ge gt imag le lt max min mul ne neg not or real "
    "reshape select_n sign square squeeze stop_gradient sub".split()
)
MOST = 8  # equations to compute one residual again


def fewer_residuals(cut: SplitJaxpr, known_outs: int, free: Collection[int]) -> SplitJaxpr:
    """The same split with some of its computed residuals made by the later program from others.

    Args:
      known_outs: how many results of ``cut.known`` are wanted as such; the rest are residuals.
      free: known inputs that the later program may read at no cost.
    """
    known = cut.known.jaxpr
    kept = [known.invars[i] if kind == "in" else known.outvars[i] for kind, i in cut.residuals]
    made_by: dict[Atom, Eqn] = {e.outvars[0]: e for e in known.eqns if e.primitive.name in CHEAP and not e.effects}
    optional = [
        kind == "out" and i >= known_outs and v in made_by for v, (kind, i) in zip(kept, cut.residuals, strict=True)
    ]
    if not any(optional):
        return cut
    available = {v for v, o in zip(kept, optional, strict=True) if not o} | {known.invars[i] for i in free}
    candidates = {v for v, o in zip(kept, optional, strict=True) if o}
    steps: set[Eqn] = set()
    again: set[Atom] = set()
    for eqn in known.eqns:
        v = eqn.outvars[0] if eqn.outvars else None
        if v in candidates:
            mine = _steps(v, made_by, available)
            if mine is not None:
                steps |= mine
                again.add(v)
            available.add(v)
    if not again:
        return cut

    recomputed = [e for e in known.eqns if e in steps]
    stay = [v not in again for v in kept]
    read_first = {x for e in recomputed for x in e.invars if type(x) is Var} - {e.outvars[0] for e in recomputed}
    inputs = {v: i for i, v in enumerate(known.invars)}
    extra = [v for v in inputs if v in read_first and v not in kept]
    given = [*choose(kept, stay), *extra]

    recompute = ClosedJaxpr(known.replace(constvars=[], invars=given, outvars=kept, eqns=recomputed))

    def later(*values):
        return run(cut.unknown, *run(recompute, *values[: len(given)]), *values[len(given) :])

    dropped = [i for (_, i), s in zip(cut.residuals, stay, strict=True) if not s]
    outputs = [i for i in range(len(known.outvars)) if i not in dropped]
    residuals = [(kind, i if kind == "in" else outputs.index(i)) for kind, i in choose(cut.residuals, stay)]
    return cut._replace(
        known=without_dead_code(rearrange(cut.known, range(len(known.invars)), outputs)),
        unknown=build([*(v.aval for v in given), *cut.unknown.in_avals[len(kept) :]], later),
        residuals=[*residuals, *(("in", inputs[v]) for v in extra)],
    )


def _steps(v: Atom, made_by: dict[Atom, Eqn], available: set[Atom]) -> set[Eqn] | None:
    """The equations that make ``v`` from what is available, or None if there are too many or others."""
    steps: set[Eqn] = set()
    todo = [v]
    while todo:
        eqn = made_by.get(todo.pop())
        if eqn is None:
            return None
        steps.add(eqn)
        if len(steps) > MOST:
            return None
        todo += [x for x in eqn.invars if type(x) is not Literal and x not in available]
    return steps
