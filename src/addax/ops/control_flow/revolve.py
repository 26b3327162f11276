"""Going back through the turns of a loop with memory for a few of its states.

Turns are grouped into segments. The states within one segment are all kept while it is taken back (its *steps*); of the
other segments a few *starts* are kept, placed by the binomial schedule of

    A. Griewank and A. Walther, "Algorithm 799: revolve", ACM Transactions on Mathematical Software 26 (2000),

which for s free places and segments that are run forward at most r times reaches ``C(s + 1 + r, r)`` segments, as many as
any schedule can. With c states in all, half of them steps, loops of up to c/2 turns are run forward once for the way back;
of up to (c/2)^2, twice; of up to (c/2)^3 / 2, three times: memory is constant, and time grows with the logarithm of the
number of turns as long as that is exponential in c.

Why segments, where revolve by itself would need a third fewer runs: a turn may be as short as a multiplication, and the
loops within a segment do nothing else.
"""

from __future__ import annotations

import math

import numpy as np

from addax.core.avals import get_aval
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.interpreters.values import broadcast_in_dim, convert, expand_dims, reduce_sum, reshape, shape_of
from addax.ops.arithmetic import add, div, max_, min_, mul, rem, sub
from addax.ops.comparison import eq, gt, lt, select_n
from addax.ops.control_flow.common import build, row, run, split_list

FEWEST, MOST, BYTES = 32, 1024, 2**17  # kept states if the user does not say: more of small ones
LONGEST = 2**31 - 1


def default_checkpoints(avals) -> int:
    """As many states as fit into `BYTES`, but at least `FEWEST` and at most `MOST`."""
    size = sum(a.size * getattr(a.dtype, "itemsize", 8) for a in avals)
    return int(np.clip(BYTES // (size or 1), FEWEST, MOST))


def reach(places: int) -> np.ndarray:
    """``reach[s, r]``: how many segments can be taken back from a kept start with s places free and r runs of each."""
    rows = []
    for s in range(places):
        values = []
        while len(values) < 2 or (values[-1] < LONGEST and len(values) < 64):
            values.append(sorted((math.comb(s + 1 + len(values), s + 1), LONGEST))[0])
        rows.append(values)
    width = len(rows[-1])  # the more places, the fewer runs it takes; more runs than that are never needed
    return np.array([(v + [LONGEST] * width)[:width] for v in rows], np.int32)


def last_state(n, consts, x, forward: ClosedJaxpr) -> list:
    """The state after n turns."""
    return _repeat(n, consts, x, lambda c, _, x: run(forward, *c, *x))


def revolve(n, consts, x, y, forward: ClosedJaxpr, backward: ClosedJaxpr, checkpoints: int | None) -> list:
    """``for i in reversed(range(n)): y = backward(consts, x[i], y)``, where ``x[i + 1] = forward(consts, x[i])``.

    The loop below holds the kept starts as a stack: ``place[k]`` is the segment that ``starts[k]`` is the start of, and
    ``end`` the segments still to be taken back. Each turn runs from the topmost start to a later one. If that is of the last
    segment, the segment is taken back, else it is kept, too.
    """
    if not y:
        return []
    kept = checkpoints or default_checkpoints([get_aval(v) for v in x])
    steps = kept // 2
    rows = kept - steps  # the last row is written when nothing is to be kept
    places = rows - 1
    table = reach(places)
    nc, nx = len(consts), len(x)

    def unfinished(_, state):
        return gt(state[0], 0)

    def turn(fixed, state):
        (n, table), consts = fixed[:2], fixed[2:]
        (end, top, place), starts, y = split_list(state, 3, nx)
        here, x = _read(place, top), [_read(s, top) for s in starts]
        left, free = sub(end, here), sub(places - 1, top)
        runs = reduce_sum(_int(lt(_read(table, free), _spread(left, table.shape[1:]))), (0,))
        runs = sub(min_(max_(runs, 1), table.shape[1] - 1), 1)
        furthest = min_(_read(_read(table, free), runs), sub(left, _read(_read(table, max_(sub(free, 1), 0)), runs)))
        ahead = select_n.bind(gt(free, 0), sub(left, 1), min_(furthest, sub(left, 1)))
        at = add(here, ahead)
        x = _repeat(mul(ahead, steps), consts, x, lambda c, _, x: run(forward, *c, *x))
        is_last = eq(add(at, 1), end)
        y = _when(is_last, take_back, [n, at, *consts, *x], y)
        row = select_n.bind(is_last, add(top, 1), np.int32(rows - 1))
        starts = [_write(s, v, row) for s, v in zip(starts, x, strict=True)]
        return [
            select_n.bind(is_last, end, at),
            select_n.bind(is_last, add(top, 1), sub(top, _int(eq(at, here)))),
            _write(place, at, row), *starts, *y,
        ]  # fmt: skip

    def take_back(n, at, *values):
        consts, x, y = split_list(values, nc, nx)
        count = min_(sub(n, mul(at, steps)), steps)

        def keep(c, i, state):
            x, states = split_list(state, nx)
            x = run(forward, *c, *x)
            return [*x, *(_write(s, v, add(i, 1)) for s, v in zip(states, x, strict=True))]

        states = [_copies(v, steps) for v in x]
        states = _repeat(sub(count, 1), consts, [*x, *states], keep)[nx:]

        def back(fixed, i, y):
            (count, *c), states = split_list(fixed, 1 + nc)
            return run(backward, *c, *(_read(s, sub(sub(count, 1), i)) for s in states), *y)

        return _repeat(count, [count, *consts, *states], y, back)

    segments = add(div(n, steps), min_(rem(n, steps), 1))
    state = [segments, np.int32(0), np.zeros(rows, np.int32), *(_copies(v, rows) for v in x), *y]
    return _while(unfinished, turn, [], [n, table, *consts], state)[3 + nx :]


# ---------------------------------------------------------------------------------------------------------------------
# Loops, branches and rows of arrays


def _while(condition, body, cond_consts, consts, carry) -> list:
    carry_avals = [get_aval(v) for v in carry]
    k, m = len(cond_consts), len(consts)
    test = build([*map(get_aval, cond_consts), *carry_avals], lambda *v: [condition(v[:k], v[k:])])
    step = build([*map(get_aval, consts), *carry_avals], lambda *v: body(v[:m], v[m:]))
    return registry["while"].bind(
        *cond_consts, *consts, *carry, cond_jaxpr=test, body_jaxpr=step, cond_nconsts=k, body_nconsts=m
    )


def _repeat(count, consts, carry, body) -> list:
    """``for i in range(count): carry = body(consts, i, carry)``"""
    if not carry:
        return []
    return _while(
        lambda fixed, state: lt(state[0], fixed[0]),
        lambda fixed, state: [add(state[0], 1), *body(fixed, state[0], state[1:])],
        [count], consts, [np.int32(0), *carry],
    )[1:]  # fmt: skip


def _when(condition, fun, operands, values) -> list:
    """``fun(*operands, *values)`` if the condition holds, else the values."""
    avals = [get_aval(v) for v in (*operands, *values)]
    branches = build(avals, lambda *v: v[len(operands) :]), build(avals, fun)
    return registry["cond"].bind(_int(condition), *operands, *values, branches=branches)


def _int(x):
    return convert(x, np.dtype(np.int32))


def _spread(x, shape):
    return broadcast_in_dim(x, shape, ())


def _copies(x, n: int):
    shape = shape_of(x)
    return broadcast_in_dim(x, (n, *shape), range(1, len(shape) + 1))


def _read(array, i):
    return reshape(row(array, i), shape_of(array)[1:])


def _write(array, x, i):
    zeros = [np.int32(0)] * len(shape_of(x))
    return registry["dynamic_update_slice"].bind(array, expand_dims(x, (0,)), i, *zeros)
