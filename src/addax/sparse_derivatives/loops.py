"""Patterns of control flow. A loop is unrolled if it is short, else its body is looked at once.

The pattern of a body in itself, with every active input a column, is a matrix J of few blocks (carry to carry, constants to
carry, ...); turns of the loop multiply by it.
"""

from __future__ import annotations

import numpy as np

from addax.core.jaxpr import ClosedJaxpr, Eqn
from addax.sparse_derivatives.lazy import Lazy
from addax.sparse_derivatives.patterns import Pattern, block, empty, multiply, stack, take, union
from addax.sparse_derivatives.walk import UNKNOWN, Value, rule, size_of, walk_closed

# Loops of at most this many turns, and equations in all, are unrolled: their counters are known numbers then.
MOST_TURNS, MOST_EQUATIONS = 300, 20_000
# Longer loops with a carry are multiplied out turn by turn up to this many turns, then made a fixed point.
MOST_PRODUCTS = 3000


@rule("cond")
def cond(eqn: Eqn, values: list[Value]):
    index, *args = values
    branches = eqn.params["branches"]
    if index.known is not None:
        i = min(max(int(index.known.force()), 0), len(branches) - 1)
        return [v.pattern for v in walk_closed(branches[i], args)]
    outs = [walk_closed(b, args) for b in branches]
    return [_joined([v.pattern for v in column]) for column in zip(*outs, strict=True)]


def _joined(patterns: list) -> Pattern | None:
    live = [p for p in patterns if p is not None]
    return union(live) if live else None


class Body:
    """The pattern of a loop body in itself."""

    def __init__(self, closed: ClosedJaxpr, active: list[bool], num_carry: int, first_carry: int):
        """``active`` inputs carry tangents; carries that become active on the way are added."""
        self.active = list(active)
        while True:
            self.sizes = [size_of(v) for v in closed.jaxpr.invars]
            columns = sum(n for n, a in zip(self.sizes, self.active, strict=True) if a)
            args, at = [], 0
            self.columns: list[slice | None] = []
            for n, a in zip(self.sizes, self.active, strict=True):
                args.append(Value(block(n, at, columns)) if a else UNKNOWN)
                self.columns.append(slice(at, at + n) if a else None)
                at += n if a else 0
            self.outs = [v.pattern for v in walk_closed(closed, args)]
            grown = [
                i for i in range(num_carry) if self.outs[i] is not None and not self.active[first_carry + i]
            ]  # fmt: skip
            if not grown:
                return
            for i in grown:
                self.active[first_carry + i] = True

    def apply(self, out: int, inputs: list[Pattern | None]) -> Pattern | None:
        """The pattern of a result, from those of the inputs."""
        matrix = self.outs[out]
        if matrix is None:
            return None
        width = next(p.shape[1] for p in inputs if p is not None)
        rows = [
            p if p is not None else empty(n, width)
            for p, n, a in zip(inputs, self.sizes, self.active, strict=True) if a
        ]  # fmt: skip
        return multiply(matrix, stack(rows))


@rule("while")
def while_loop(eqn: Eqn, values: list[Value]):
    params = eqn.params
    skip, n = params["cond_nconsts"], params["body_nconsts"]
    consts, carry = values[skip : skip + n], [v.pattern for v in values[skip + n :]]
    body = Body(params["body_jaxpr"], [v.pattern is not None for v in (*consts, *values[skip + n :])], len(carry), n)
    return _fixed_point(body, [v.pattern for v in consts], carry)


def _fixed_point(body: Body, consts: list, carry: list, xs: list | None = None) -> list:
    """The patterns of the carry after any number of turns, none included."""
    while True:
        inputs = [*consts, *carry, *(xs or [])]
        new = [_joined([old, body.apply(i, inputs)]) for i, old in enumerate(carry)]
        if all(_count(a) == _count(b) for a, b in zip(new, carry, strict=True)):
            return carry
        carry = new


def _count(p: Pattern | None) -> int:
    return 0 if p is None else p.nnz


@rule("scan")
def scan(eqn: Eqn, values: list[Value]):
    params = eqn.params
    length, closed = params["length"], params["jaxpr"]
    if length <= MOST_TURNS and length * len(closed.eqns) <= MOST_EQUATIONS:
        return _unrolled(eqn, values)
    n, m = params["num_consts"], params["num_carry"]
    consts, carry, xs = ([v.pattern for v in part] for part in (values[:n], values[n : n + m], values[n + m :]))
    body = Body(closed, [v.pattern is not None for v in values], m, n)
    x_sizes = body.sizes[n + m :]
    turns = range(length)[::-1] if params["reverse"] else range(length)
    y_outs = range(m, len(body.outs))

    def inputs(carry, t):
        rows = [None if p is None else take(p, np.arange(t * k, (t + 1) * k)) for p, k in zip(xs, x_sizes, strict=True)]
        return [*consts, *carry, *rows]

    if any(p is not None for p in body.outs[:m]) and length <= MOST_PRODUCTS:
        ys: list[list] = [[None] * length for _ in y_outs]
        for t in turns:
            given = inputs(carry, t)
            for column, i in zip(ys, y_outs, strict=True):
                column[t] = body.apply(i, given)
            carry = [body.apply(i, given) for i in range(m)]
        return [*carry, *(None if not column or column[0] is None else stack(column) for column in ys)]

    # Every turn sees what any turn may have left in the carry, and its own part of the xs.
    any_x = [
        None if p is None else _joined([take(p, np.arange(t * k, (t + 1) * k)) for t in range(length)])
        for p, k in zip(xs, x_sizes, strict=True)
    ] if any(p is not None for p in body.outs[:m]) else [None] * len(xs)  # fmt: skip
    carry = _fixed_point(body, consts, carry, any_x)
    ys = [_over_turns(body, i, [*consts, *carry], xs, x_sizes, length) for i in y_outs]
    return [*carry, *ys]


def _over_turns(body: Body, out: int, fixed: list, xs: list, x_sizes: list[int], length: int) -> Pattern | None:
    """A stacked result of turns that differ in their part of the ``xs`` only, all turns at once."""
    matrix = body.outs[out]
    if matrix is None:
        return None
    rows_per_turn = matrix.shape[0]
    entries = matrix.tocoo()
    row, column = entries.coords
    parts = []
    first = len(fixed)
    everything = [*fixed, *xs]
    for i, p in enumerate(everything):
        where = body.columns[i]
        if p is None or where is None:
            continue
        chosen = (column >= where.start) & (column < where.stop)
        r, c = row[chosen], column[chosen] - where.start
        turn = np.arange(length)[:, None]
        step = x_sizes[i - first] if i >= first else 0
        source = (turn * step + c[None, :]).reshape(-1)
        target = (turn * rows_per_turn + r[None, :]).reshape(-1)
        s = Pattern((np.ones(len(source), np.bool_), (target, source)), shape=(length * rows_per_turn, p.shape[0]))
        parts.append(multiply(s, p))
    return union(parts) if parts else None


def _unrolled(eqn: Eqn, values: list[Value]) -> list:
    params = eqn.params
    length, closed = params["length"], params["jaxpr"]
    n, m = params["num_consts"], params["num_carry"]
    consts, carry, xs = values[:n], values[n : n + m], values[n + m :]
    x_sizes = [size_of(v) for v in closed.jaxpr.invars[n + m :]]
    columns: list[list] = [[UNKNOWN] * length for _ in closed.jaxpr.outvars[m:]]
    for t in range(length)[::-1] if params["reverse"] else range(length):
        rows = [_row(x, t, k) for x, k in zip(xs, x_sizes, strict=True)]
        outs = walk_closed(closed, [*consts, *carry, *rows])
        carry = outs[:m]
        for column, y in zip(columns, outs[m:], strict=True):
            column[t] = y
    ys = []
    for column, v in zip(columns, closed.jaxpr.outvars[m:], strict=True):
        live = next((y.pattern for y in column if y.pattern is not None), None)
        if live is None:
            ys.append(None)
            continue
        k = size_of(v)
        ys.append(stack([empty(k, live.shape[1]) if y.pattern is None else y.pattern for y in column]))
    return [*(v.pattern for v in carry), *ys]


def _row(x: Value, t: int, k: int) -> Value:
    if x.pattern is not None:
        return Value(take(x.pattern, np.arange(t * k, (t + 1) * k)))
    return UNKNOWN if x.known is None else Value(known=Lazy(lambda value: [value[t]], [x.known]))
