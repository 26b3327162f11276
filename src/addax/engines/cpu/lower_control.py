"""Control flow: ``while``, ``cond`` and ``scan`` as native blocks.

A loop's carry lives in one buffer per value. The body writes its new value to a second buffer and the two are swapped
at the end of each turn, unless the body updates the first one in place. ``scan`` is a counted loop whose slices are
``dynamic_slice`` reads (which fuse into their readers) and whose stacked results are ``dynamic_update_slice`` writes
(which happen in place).
"""

from __future__ import annotations

import numpy as np

from addax.core.avals import ShapedArray
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var
from addax.core.primitive import registry
from addax.engines.cpu import views
from addax.engines.cpu.buffers import Buffer, Cond, Loop, Swap, While
from addax.engines.cpu.carried import LoopBody
from addax.engines.cpu.groups import Call
from addax.engines.cpu.lower import Block, nbytes, rule
from addax.engines.cpu.lower_scalar import try_loop
from addax.engines.cpu.views import Ref


def _body(block: Block, jaxpr: Jaxpr, consts, args: list, owned: frozenset, unchanged: dict[Var, Ref]) -> Block:
    """As `_inner`, for what a loop repeats; ``unchanged``: arguments that are the same in each turn, as operands of the loop."""
    inner = _inner(block, jaxpr, consts, args, owned)
    for v, r in unchanged.items():
        if type(r.base) is not Var or not r.is_whole():
            r = views.whole(Var(v.aval))
            block.env[r.base] = inner.env[v]
        inner.unchanged[v] = block, r
    return inner


def _inner(block: Block, jaxpr: Jaxpr, consts, args: list, owned=frozenset()) -> Block:
    """A block for a program called with values at ``args``, pairs of buffer and offset."""
    env = dict(zip(jaxpr.invars, args, strict=True))
    for v, c in zip(jaxpr.constvars, consts, strict=True):
        env[v] = (block.lowering.const(c, v.aval), 0)
    return Block(block.lowering, jaxpr, env, owned)


def _where(inner: Block, x) -> Buffer | None:
    """The buffer that holds a result as a whole, if there is one."""
    r = inner.fuser.ref(x)
    if type(r.base) is Var and r.is_whole():
        buffer, offset = inner.env[r.base]
        if offset == 0 and buffer.nbytes == nbytes(x.aval):
            return buffer
    return None


def _write(inner: Block, x, place: Buffer) -> None:
    r = inner.fuser.ref(x)
    inner.write_view(r, place, 0, views.contiguous_strides(r.shape))


class Carry:
    """The buffers of a loop's carried values, and the end of its body. ``held``: memory that the loop reads besides."""

    def __init__(self, block: Block, avals, inits: list[Ref | None], invariant: list[bool], held: list):
        self.block, self.invariant = block, invariant
        constant = [block.dense(r) if fixed else None for r, fixed in zip(inits, invariant, strict=True)]
        kept = {at[0] for at in (*held, *constant) if at is not None}
        self.now: list[tuple[Buffer, int]] = []
        for aval, init, fixed in zip(avals, inits, constant, strict=True):
            if fixed is not None:
                self.now.append(fixed)
                continue
            buffer = None
            if init is not None and type(init.base) is Var and init.is_whole() and block.may_overwrite(init.base):
                source, offset = block.env[init.base]
                whole = source.kind == "arena" and offset == 0 and source.nbytes == nbytes(aval)
                taken = source in kept or any(b is source for b, _ in self.now)
                if whole and source not in block.owned and not taken:
                    buffer = source  # the initial value is not needed afterwards: the loop continues in its memory
            if buffer is None:
                buffer = Buffer("arena", nbytes(aval))
                if init is not None:
                    block.write_view(init, buffer, 0, views.contiguous_strides(aval.shape))
            buffer.swapped = True
            self.now.append((buffer, 0))
        self.next = [None if fixed else Buffer("arena", nbytes(a)) for a, fixed in zip(avals, invariant, strict=True)]
        for b in self.next:
            if b is not None:
                b.swapped = True
        self.owned = frozenset(b for (b, _), fixed in zip(self.now, invariant, strict=True) if not fixed)
        self.in_place = [False] * len(self.now)

    def finish(self, inner: Block, outs) -> None:
        """Steps at the end of the body: what is not yet in its next buffer goes there, then buffers are swapped."""
        moved = []
        for j, x in enumerate(outs):
            if self.invariant[j]:
                continue
            at = _where(inner, x)
            if at is self.now[j][0]:
                self.in_place[j] = True
                continue
            if at is not self.next[j]:
                _write(inner, x, self.next[j])
            moved.append(j)
        body = LoopBody(inner.steps)
        for j in moved:
            self.in_place[j] = body.join(self.now[j][0], self.next[j])
        for j in moved:
            if not self.in_place[j]:
                pair = self.now[j][0], self.next[j]
                inner.steps.append(Swap(*pair))
                for b in pair:
                    b.traded = True

    def results(self, outvars) -> None:
        block = self.block
        for j, v in enumerate(outvars):
            buffer, offset = self.now[j]
            place = block.destinations.get(v)
            if self.in_place[j] and place is not None and place[0].kind == "out" and buffer.kind == "arena":
                if buffer.nbytes == place[0].nbytes and buffer.parent is None and not buffer.traded:
                    buffer.kind, buffer.index = "out", place[0].index
            block.env[v] = (buffer, offset)


def _unchanged(jaxpr: Jaxpr, invars, outs) -> list[bool]:
    return [x is v for v, x in zip(invars, outs, strict=True)]


@rule("while")
def while_loop(block: Block, call: Call):
    if try_loop(block, call):
        return
    p = call.eqn.params
    cond: ClosedJaxpr = p["cond_jaxpr"]
    body: ClosedJaxpr = p["body_jaxpr"]
    nc, nb = p["cond_nconsts"], p["body_nconsts"]
    cond_consts = [block.dense(r) for r in call.refs[:nc]]
    body_consts = [block.dense(r) for r in call.refs[nc : nc + nb]]
    inits = call.refs[nc + nb :]
    invars = body.jaxpr.invars[nb:]
    carry = Carry(block, [v.aval for v in invars], list(inits), _unchanged(body.jaxpr, invars, body.jaxpr.outvars),
                  [*cond_consts, *body_consts])  # fmt: skip
    test_block = _inner(block, cond.jaxpr, cond.consts, [*cond_consts, *carry.now])
    test_block.run()
    predicate = cond.jaxpr.outvars[0]
    test = _where(test_block, predicate)
    if test is None or type(predicate) is Literal:
        test = Buffer("arena", 1)
        _write(test_block, predicate, test)
    unchanged = dict(zip(body.jaxpr.invars[:nb], call.refs[nc : nc + nb], strict=True))
    inner = _body(block, body.jaxpr, body.consts, [*body_consts, *carry.now], carry.owned, unchanged)
    inner.aim(inner.jaxpr.outvars, carry.next)
    inner.run()
    carry.finish(inner, body.jaxpr.outvars)
    block.steps.append(While(test_block.steps, test, inner.steps, list(carry.owned)))
    carry.results(call.eqn.outvars)


@rule("cond")
def cond(block: Block, call: Call):
    branches = call.eqn.params["branches"]
    index_ref, *refs = call.refs
    index_aval = call.eqn.invars[0].aval
    if index_aval.dtype != np.int32:
        return NotImplemented
    index = block.dense_at_zero(index_ref)
    args = [block.dense(r) for r in refs]
    places = []
    for v in call.eqn.outvars:
        buffer, offset = block.destination(v)
        assert offset == 0
        places.append(buffer)
    bodies = []
    for branch in branches:
        inner = _inner(block, branch.jaxpr, branch.consts, args)
        inner.aim(inner.jaxpr.outvars, places)
        inner.run()
        for x, place in zip(branch.jaxpr.outvars, places, strict=True):
            if _where(inner, x) is not place:
                _write(inner, x, place)
        bodies.append(inner.steps)
    block.steps.append(Cond(index, bodies))
    return None


@rule("scan")
def scan(block: Block, call: Call):
    if try_loop(block, call):
        return
    p = call.eqn.params
    closed: ClosedJaxpr = p["jaxpr"]
    length, n_consts, n_carry = p["length"], p["num_consts"], p["num_carry"]
    jaxpr, n_xs = with_slices(closed.jaxpr, length, n_consts, n_carry)
    consts = [block.dense(r) for r in call.refs[:n_consts]]
    inits: list[Ref | None] = list(call.refs[n_consts : n_consts + n_carry])
    xs = [block.dense(r) for r in call.refs[n_consts + n_carry :]]
    counter = Buffer("arena", 4)
    state = jaxpr.invars[1 + n_consts + n_xs :]
    inits += [None] * (len(state) - n_carry)
    carry = Carry(block, [v.aval for v in state], inits, _unchanged(jaxpr, state, jaxpr.outvars), [*consts, *xs])
    unchanged = dict(zip(jaxpr.invars[1 : 1 + n_consts], call.refs[:n_consts], strict=True))
    inner = _body(block, jaxpr, closed.consts, [(counter, 0), *consts, *xs, *carry.now], carry.owned, unchanged)
    inner.aim(inner.jaxpr.outvars, carry.next)
    inner.run()
    carry.finish(inner, jaxpr.outvars)
    block.steps.append(Loop(length, counter, False, bool(p["reverse"]), inner.steps, list(carry.owned)))
    carry.results(call.eqn.outvars)


def with_slices(body: Jaxpr, length: int, n_consts: int, n_carry: int) -> tuple[Jaxpr, int]:
    """The body of a scan as a program ``(i, consts, whole xs, carry, ys so far) -> (carry, ys)``, and how many xs."""
    int32 = ShapedArray((), np.dtype(np.int32))
    i = Var(int32)
    zero = Literal(np.int32(0), int32)
    slice_p, update_p, reshape = registry["dynamic_slice"], registry["dynamic_update_slice"], registry["reshape"]
    before, after, whole_xs, stacks, stacked = [], [], [], [], []
    for x in body.invars[n_consts + n_carry :]:
        shape = x.aval.shape
        xs = Var(ShapedArray((length, *shape), x.aval.dtype))
        row = Var(ShapedArray((1, *shape), x.aval.dtype))
        whole_xs.append(xs)
        before.append(Eqn(slice_p, [xs, i, *[zero] * len(shape)], [row], {"slice_sizes": row.aval.shape}))
        before.append(Eqn(reshape, [row], [x], {"new_sizes": shape, "dimensions": None, "sharding": None}))
    for y in body.outvars[n_carry:]:
        shape = y.aval.shape
        ys = Var(ShapedArray((length, *shape), y.aval.dtype))
        row, new = Var(ShapedArray((1, *shape), y.aval.dtype)), Var(ys.aval)
        stacks.append(ys)
        stacked.append(new)
        after.append(Eqn(reshape, [y], [row], {"new_sizes": row.aval.shape, "dimensions": None, "sharding": None}))
        after.append(Eqn(update_p, [ys, row, i, *[zero] * len(shape)], [new], {}))
    invars = [i, *body.invars[:n_consts], *whole_xs, *body.invars[n_consts : n_consts + n_carry], *stacks]
    outvars = [*body.outvars[:n_carry], *stacked]
    return Jaxpr(body.constvars, invars, outvars, [*before, *body.eqns, *after], body.effects), len(whole_xs)
