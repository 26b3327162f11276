"""plan: where every buffer lives.

Steps are numbered in the order of the flat program, loop bodies in place. A buffer is alive from its first to its last
use; one that a loop body reads or writes, but that exists outside of it, is alive for the whole loop. The arena is
filled by best fit, largest buffers first among those alive together, at multiples of 64 bytes.
"""

from __future__ import annotations

import struct
from typing import Any

from addax.engines.cpu.buffers import Buffer, Cond, Copy, Fill, Host, Kernel, Loop, Swap, While

ALIGN = 64


class Plan:
    """Slots and step tuples in the form `_native.Program` takes."""

    def __init__(self, steps: list, keep_alive: list[Buffer]):
        self.clock = 0
        self.buffers: dict[Buffer, None] = {}
        self.swaps: list[tuple[Buffer, Buffer]] = []
        self.takeovers: dict[Buffer, list[Buffer]] = {}  # written -> what it may overwrite, both in one step
        self.visit(steps)
        for b in keep_alive:
            self.touch(b)
        self.join_swapped()
        self.arena_bytes = self.assign()
        self.slots: list[tuple[str, int, int]] = []

    # ---- lifetimes

    def touch(self, b: Buffer) -> None:
        root = b
        while root.parent is not None:
            root = root.parent
        if root.first < 0 or root not in self.buffers:
            root.first = self.clock
            self.buffers[root] = None
        root.last = self.clock
        if root is not b:
            self.buffers.setdefault(b, None)

    def visit(self, steps: list) -> None:
        for s in steps:
            self.clock += 1
            t = type(s)
            if t is Kernel:
                for b in s.args:
                    self.touch(b)
                for read, written in s.in_place:
                    if written.first == self.clock and written.parent is None and read.parent is None:
                        self.takeovers.setdefault(written, []).append(read)
            elif t is Copy:
                self.touch(s.src)
                self.touch(s.dst)
            elif t is Fill:
                self.touch(s.dst)
            elif t is Host:
                for b in (*s.ins, *s.outs):
                    self.touch(b)
            elif t is Swap:
                self.touch(s.a)
                self.touch(s.b)
                self.swaps.append((s.a, s.b))
            elif t is Cond:
                self.touch(s.index)
                start = self.clock
                for branch in s.branches:
                    self.visit(branch)
                self.clock += 1
                self.stretch(start)
            else:
                self.loop(s)

    def loop(self, s: Any) -> None:
        start = self.clock
        for b in s.carried:
            self.touch(b)
        if type(s) is While:
            self.visit(s.cond)
            self.touch(s.test)
            self.visit(s.body)
        else:
            if isinstance(s.trips, Buffer):
                self.touch(s.trips)
            if s.counter is not None:
                self.touch(s.counter)
            self.visit(s.body)
        self.clock += 1
        for b in s.carried:
            self.touch(b)
        self.stretch(start)

    def stretch(self, start: int) -> None:
        """What was alive before the loop and is used in it lives until its end."""
        for b in self.buffers:
            if b.parent is None and b.first <= start < b.last:
                b.last = self.clock

    def join_swapped(self) -> None:
        """Buffers that trade places must both outlive the value in either of them."""
        changed = True
        while changed:
            changed = False
            for a, b in self.swaps:
                first, last = min(a.first, b.first), max(a.last, b.last)
                if (a.first, a.last, b.first, b.last) != (first, last, first, last):
                    a.first = b.first = first
                    a.last = b.last = last
                    changed = True

    # ---- the arena

    def assign(self) -> int:
        live: list[tuple[int, int, Buffer]] = []  # placed and still alive: (offset, end, buffer)
        total = 0
        arena = [b for b in self.buffers if b.kind == "arena" and b.parent is None]
        arena.sort(key=lambda b: (b.first, -b.nbytes))
        for b in arena:
            live = [x for x in live if x[2].last >= b.first]
            size = -(-max(b.nbytes, 1) // ALIGN) * ALIGN
            heir = next((x for x in live if self.may_inherit(b, x[2])), None)
            if heir is not None:
                b.offset = heir[0]
                live[live.index(heir)] = (heir[0], heir[1], b)
                continue
            best, best_gap, at = None, None, 0
            for start, end, _ in live:
                gap = start - at
                if gap >= size and (best_gap is None or gap < best_gap):
                    best, best_gap = at, gap
                at = max(at, end)
            if best is None:
                best = at
            b.offset = best
            total = max(total, best + size)
            live.append((best, best + size, b))
            live.sort(key=lambda x: x[0])
        return total

    def may_inherit(self, b: Buffer, dying: Buffer) -> bool:
        """Whether ``b`` may be written over ``dying`` by the step that reads it last."""
        return (
            dying in self.takeovers.get(b, ())
            and dying.last == b.first
            and dying.nbytes == b.nbytes
            and not (b.swapped or dying.swapped)
        )

    # ---- the executor's form

    def slot(self, b: Buffer) -> int:
        if b.slot < 0:
            b.slot = len(self.slots)
            if b.kind == "arena":
                root, offset = b, 0
                while root.parent is not None:
                    offset += root.parent_offset
                    root = root.parent
                self.slots.append(("arena", root.offset + offset, b.nbytes))
            else:
                self.slots.append((b.kind, b.index, b.nbytes))
        return b.slot

    def emit(self, steps: list) -> list[tuple]:
        out: list[tuple] = []
        slot = self.slot
        for s in steps:
            t = type(s)
            if t is Kernel:
                table = _pack(s.table)
                out.append(("kernel", s.address, [slot(b) for b in s.args], table, s.extent, s.ns, s.cut))
            elif t is Copy:
                out.append(("copy", slot(s.dst), slot(s.src), s.nbytes))
            elif t is Fill:
                out.append(("fill", slot(s.dst), s.nbytes))
            elif t is Host:
                ins, outs = [slot(b) for b in s.ins], [slot(b) for b in s.outs]
                out.append(("host", s.callable, ins, s.in_avals, outs, s.out_avals))
            elif t is Swap:
                out.append(("swap", slot(s.a), slot(s.b)))
            elif t is While:
                out.append(("while", self.emit(s.cond), slot(s.test), self.emit(s.body)))
            elif t is Cond:
                out.append(("cond", slot(s.index), [self.emit(b) for b in s.branches]))
            elif t is Loop:
                trips = ("slot", slot(s.trips)) if isinstance(s.trips, Buffer) else s.trips
                counter = None if s.counter is None else slot(s.counter)
                out.append(("loop", trips, counter, s.wide, s.reverse, self.emit(s.body)))
        return out


def _pack(table: list[int]) -> bytes:
    return struct.pack(f"<{len(table)}q", *table)
