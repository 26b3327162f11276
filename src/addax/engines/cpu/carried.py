"""One memory instead of two for what a loop carries.

A turn reads the value that it was given and writes the next one. If one kernel makes the next value element by element from
the value before, which nobody reads afterwards, it may write where it reads. If it makes it from something else that this
turn made, of the same size, that may be made where the next value goes.
"""

from __future__ import annotations

from collections.abc import Iterator

from addax.engines.cpu.buffers import Buffer, Cond, Copy, Fill, Host, Kernel, Loop, Swap, While


class LoopBody:
    """The steps of a turn, and which of them touch which memory."""

    def __init__(self, steps: list):
        self.steps = steps
        self.users: dict[Buffer, list[int]] = {}
        for i, s in enumerate(steps):
            for b in dict.fromkeys(memory_of(s)):
                self.users.setdefault(b, []).append(i)

    def join(self, now: Buffer, new: Buffer) -> bool:
        """Join what can be joined where ``now`` is carried and the next value is ``new``; True if both have become ``now``."""
        if new not in self.users:
            return False
        at = self.users[new][0]
        maker = self.steps[at]
        if type(maker) is not Kernel:
            return False
        for read, written in sorted(maker.in_place, key=lambda pair: pair[0] is not now):
            if written is not new or read.parent is not None or self.users[read][-1] != at:
                continue
            if read is now:
                if self.are_plain(new):
                    self.move(new, now)
                    return True
            elif self.is_made_here(read) and read.nbytes == new.nbytes and self.are_plain(read):
                self.move(read, new)
                return False
        return False

    def is_made_here(self, b: Buffer) -> bool:
        """Whether the first step that touches ``b`` gives it a value without reading one, so that it is of this turn alone."""
        if b.kind != "arena" or b.swapped or b.parent is not None:
            return False
        step = self.steps[self.users[b][0]]
        if type(step) is Copy:
            return step.dst is b
        if type(step) is not Kernel or b not in step.writes:
            return False
        if step.nest is None:
            return step.name.startswith("gemm") and not step.table[9]  # of which 1 is: add
        roles = {p.role for p, a in zip(step.nest.params, step.args, strict=True) if a is b}
        return roles == {"out"}

    def are_plain(self, b: Buffer) -> bool:
        """Whether all steps name this memory itself: not a part of it, nor inside a block of steps."""
        steps = [self.steps[i] for i in self.users[b]]
        return all(
            type(s) in (Kernel, Copy, Fill) and all(p is b or root(p) is not b for p in parts_of(s)) for s in steps
        )

    def move(self, old: Buffer, new: Buffer) -> None:
        for i in self.users[old]:
            replace(self.steps[i], old, new)
        self.users[new] = sorted({*self.users.get(new, ()), *self.users.pop(old)})


def replace(step, old: Buffer, new: Buffer) -> None:
    if type(step) is Kernel:
        step.args = [new if b is old else b for b in step.args]
        step.writes = {new if b is old else b for b in step.writes}
        pairs = [(new if a is old else a, new if b is old else b) for a, b in step.in_place]
        step.in_place = [(a, b) for a, b in pairs if a is not b]
    elif type(step) is Copy:
        step.dst, step.src = (new if b is old else b for b in (step.dst, step.src))
    else:
        step.dst = new if step.dst is old else step.dst


def memory_of(step) -> Iterator[Buffer]:
    """The memory that a step touches; of parts, that which they are part of."""
    for b in parts_of(step):
        yield root(b)


def root(b: Buffer) -> Buffer:
    while b.parent is not None:
        b = b.parent
    return b


def parts_of(step) -> Iterator[Buffer]:
    t = type(step)
    if t is Kernel:
        yield from step.args
    elif t is Copy:
        yield from (step.dst, step.src)
    elif t is Fill:
        yield step.dst
    elif t is Host:
        yield from (*step.ins, *step.outs)
    elif t is Swap:
        yield from (step.a, step.b)
    elif t is Cond:
        yield step.index
        for branch in step.branches:
            for s in branch:
                yield from parts_of(s)
    elif t is While:
        yield step.test
        for s in (*step.cond, *step.body):
            yield from parts_of(s)
        yield from step.carried
    elif t is Loop:
        yield from (b for b in (step.trips, step.counter) if isinstance(b, Buffer))
        for s in step.body:
            yield from parts_of(s)
        yield from step.carried
