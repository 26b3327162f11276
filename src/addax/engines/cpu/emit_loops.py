"""Loops: how many copies of a body are written, and the phis that carry counters, values and accumulators.

Start with ``Loops.vector_loop``: a main loop over several vectors and a masked tail; one masked loop if the body is
long; a scalar tail where the machine has no masks. What does not vary goes to the loop's ``pre`` buffer, which runs
once, before it.
"""

from __future__ import annotations

from addax.engines.cpu.emit_accumulators import Accumulators
from addax.engines.cpu.emit_builder import Buffer
from addax.engines.cpu.emit_lanes import Register
from addax.engines.cpu.emit_values import AccState, Shared, Value, VectorContext
from addax.engines.cpu.loop_ops import OPS
from addax.engines.cpu.loops import Acc, Let, Load, Loop, Phi, Stmt, Store, Update, While

HEAVY = 30
"""Bodies costing more than this many instructions are written once (one masked loop), not unrolled."""


class Loops(Accumulators):
    """Statements that repeat others."""

    # ---- planning ----

    def inspect(self, loop: Loop | While) -> tuple[dict[str, set[str]], int, bool]:
        """(accumulators updated below, each with 'v' and/or 's' for in and out of vector loops; cost; whether lanes
        are gathered).
        """
        known = self.facts.get(id(loop))
        if known is not None:
            return known
        updated: dict[str, set[str]] = {}
        cost, gathers = 0, False
        vector = isinstance(loop, Loop) and loop.kind == "vector"
        body = loop.body if isinstance(loop, Loop) else (*loop.head, *loop.body)
        for s in body:
            if isinstance(s, Let):
                factor = 2 if s.dtype in ("float64", "complex64") else 4 if s.dtype == "complex128" else 1
                cost += OPS[s.op].cost * factor
            elif isinstance(s, Update):
                updated.setdefault(s.acc, set()).add("v" if vector else "s")
                cost += 1
            elif isinstance(s, (Load, Store)):
                cost += 1
            elif isinstance(s, (Loop, While)):
                below, c, g = self.inspect(s)
                for name, kinds in below.items():
                    updated.setdefault(name, set()).update({"v"} if vector else kinds)
                cost += c
                gathers |= g
        for s in body:  # accumulators of this body are nobody's business outside
            if isinstance(s, Acc):
                updated.pop(s.name, None)
        self.facts[id(loop)] = updated, cost, gathers
        return self.facts[id(loop)]

    def plan(self, loop: Loop) -> tuple[int, bool]:
        """(copies of the body per iteration, whether one masked loop does everything)."""
        updated, cost, _ = self.inspect(loop)
        if loop.unroll is not None:
            return loop.unroll, loop.unroll == 1 and cost > HEAVY and self.target.masked
        if cost > HEAVY:
            return 1, self.target.masked
        reduces = updated or any(isinstance(s, Loop) for s in loop.body)
        return (4 if reduces else 2), False

    def settle(self, loop: Loop | While) -> None:
        """Fold the accumulators that a loop reads, before it: inside would be once per iteration."""
        names = self.reads.get(id(loop))
        if names is None:
            names = self.reads[id(loop)] = names_read(loop)
        for name in names & self.accs.keys():
            if name not in self.env and name not in self.inspect(loop)[0]:
                self.read_acc(self.accs[name])

    def max_copies(self, loop: Loop | While, acc: str) -> int:
        """How many vectors an accumulator needs in the vector loops below ``loop``."""
        most, stack = 1, [loop]
        while stack:
            s = stack.pop()
            if isinstance(s, Loop) and s.kind == "vector":
                if acc in self.inspect(s)[0]:
                    most = max(most, self.plan(s)[0])
            elif isinstance(s, Loop):
                stack += s.body
            elif isinstance(s, While):
                stack += [*s.head, *s.body]
        return most

    # ---- loops ----

    def loop(self, s: Loop) -> None:
        self.settle(s)
        if s.kind == "vector":
            self.vector_loop(s)
            return
        start = "%lo" if s.parallel else "0"
        end = "%hi" if s.parallel else self.size(s.extent)
        head = LoopHead(self, s)
        i = head.counter(start)
        if self.context is not None:
            self.context.depth += 1
        self.loop_vars[s.var] = Value("int64", False, [i], self.context is None)
        body = head.bind_phis(s.body)
        more = self.fn.emit(f"icmp slt i64 {i}, {end}")
        inside, done = self.fn.new_label(), self.fn.new_label()
        self.fn.branch_if(more, inside, done)
        self.fn.start_block(inside)
        self.block(body)
        head.close(self.fn.emit(f"add nsw i64 {i}, 1"))
        self.fn.start_block(done)
        head.after()
        if self.context is not None:
            self.context.depth -= 1

    def while_(self, s: While) -> None:
        self.settle(s)
        head = LoopHead(self, s)
        body = head.bind_phis(s.head)
        self.block(body)
        inside, done = self.fn.new_label(), self.fn.new_label()
        test = self.lookup(s.test).regs[0]
        # The loop ends in the middle of its body: accumulators keep what the head made of them.
        head.capture()
        self.fn.branch_if(test, inside, done)
        self.fn.start_block(inside)
        self.block(s.body)
        head.close(None)
        self.fn.start_block(done)
        head.after()

    def vector_loop(self, s: Loop) -> None:
        """guard -> pre -> main loop (unmasked, ``copies`` vectors) -> tail loop (one masked vector, or one scalar) ->
        exit.
        """
        fn, w = self.fn, self.width
        copies, masked_only = self.plan(s)
        start = "%lo" if s.parallel else "0"
        end = "%hi" if s.parallel else self.size(s.extent)
        updated = self.inspect(s)[0]
        for name in updated:
            self.open_vectors(name, copies)
        guard = fn.buffer.block
        pre_label, exit_label = fn.new_label(), fn.new_label()
        some = fn.emit(f"icmp slt i64 {start}, {end}")
        fn.branch_if(some, pre_label, exit_label)
        before = {name: self.snapshot(name) for name in updated}

        outer = fn.buffer
        pre, loops = Buffer(pre_label), Buffer()
        pre.lines.append(f"{pre_label}:")
        shared = Shared(pre)
        fn.buffer = loops
        entries: list[LoopHead] = []  # heads whose first predecessor is pre, whose last block is known at the end
        i = start
        if not masked_only:
            head = LoopHead(self, s, copies, entry=None)
            entries.append(head)
            i = head.counter(start)
            room = fn.emit(f"sub i64 {end}, {i}")
            fits = fn.emit(f"icmp sge i64 {room}, {w * copies}")
            inside, done = fn.new_label(), fn.new_label()
            fn.branch_if(fits, inside, done)
            fn.start_block(inside)
            self.body_copy(s, VectorContext(s, self.vector, copies, i, None, pre, shared))
            head.close(fn.emit(f"add nsw i64 {i}, {w * copies}"))
            fn.start_block(done)
            head.after()
        head = LoopHead(self, s, 1, entry=None if masked_only else fn.buffer.block)
        if masked_only:
            entries.append(head)
        j = head.counter(i)
        more = fn.emit(f"icmp slt i64 {j}, {end}")
        inside, done = fn.new_label(), fn.new_label()
        fn.branch_if(more, inside, done)
        fn.start_block(inside)
        if self.target.masked:
            mask = self.tail_mask(fn.emit(f"sub i64 {end}, {j}"))
            self.body_copy(s, VectorContext(s, self.vector, 1, j, mask, pre, shared))
            head.close(fn.emit(f"add nsw i64 {j}, {w}"))
        else:
            self.scalar_copy(s, j, shared)
            head.close(fn.emit(f"add nsw i64 {j}, 1"))
        fn.start_block(done)
        head.after()
        last = fn.buffer.block
        fn.branch(exit_label)

        for head in entries:
            head.set_entry(pre.block)
        fn.buffer = outer
        outer.lines += pre.lines
        first = entries[0].label
        outer.lines.append(f"  br label %{first}")
        outer.lines += loops.lines
        fn.start_block(exit_label)
        for name in updated:
            self.join(name, before[name], guard, last)
        self.loop_vars.pop(s.var, None)

    def body_copy(self, s: Loop, context: VectorContext) -> None:
        self.loop_vars[s.var] = Value("int64", True, [])
        self.context = context
        self.block(s.body)
        self.context = None

    def scalar_copy(self, s: Loop, j: str, shared: Shared) -> None:
        """The body for one iteration, all scalar; what the vector copies computed before the loop is used again."""
        self.loop_vars[s.var] = Value("int64", False, [j], True)
        for b in s.body:
            known = shared.values.get(getattr(b, "name", None))
            if known is None:
                self.statement(b)
            else:
                self.env[b.name] = known

    def tail_mask(self, room: str) -> str:
        """Which lanes are below the loop's end, given how many iterations remain (at least 1)."""
        fn, w = self.fn, self.width
        t = {64: "i8", 32: "i16"}.get(w, "i32" if w > 8 else "i64")
        if t != "i64":
            self.module.declared.setdefault("llvm.umin.i64", "declare i64 @llvm.umin.i64(i64, i64)")
            room = fn.emit(f"call i64 @llvm.umin.i64(i64 {room}, i64 {w})")
            room = fn.emit(f"trunc i64 {room} to {t}")
        steps = ", ".join([f"{t} {i}" for i in range(w)])
        return fn.emit(f"icmp ugt <{w} x {t}> {self.splat_of(room, t)}, <{steps}>")


class LoopHead:
    """The first block of a loop: phis for the counter, for carried values and for accumulators.

    Phis are written as placeholders and completed by ``close``, when the values that come round are known.
    """

    def __init__(self, e: Loops, loop: Loop | While, copies: int = 0, entry: str | None = ""):
        vector = copies > 0
        self.e, self.fn = e, e.fn
        self.phis: list[tuple[int, str, str, str, list]] = []  # (line, name, type, initial, [next])
        updated = e.inspect(loop)[0]
        inside = e.context is not None
        if not vector and not inside:
            for name, kinds in updated.items():
                if "v" in kinds:
                    e.open_vectors(name, e.max_copies(loop, name))
        first = loop.body if isinstance(loop, Loop) else loop.head
        self.initial = {p.name: self.initial_of(p) for p in first if isinstance(p, Phi)}
        self.label = self.fn.new_label()
        if entry == "":
            self.entry: str | None = self.fn.buffer.block
            self.fn.branch(self.label)
        else:
            self.entry = entry
            if entry is not None:
                self.fn.branch(self.label)
        self.fn.start_block(self.label)
        self.accs: list[tuple[AccState, str, int, Register]] = []
        for name, kinds in updated.items():
            self.open_acc(e.accs[name], kinds, e.context.copies if inside else copies)
        self.carried: list[tuple[Phi, list]] = []
        self.exit: list[Register] | None = None

    def initial_of(self, p: Phi) -> list[Register]:
        """A carried value's first registers; what it takes to splat them stands before the loop."""
        return self.e.lane_regs(p.init) if self.e.context is not None else [self.e.lookup(p.init).regs[0]]

    def open_acc(self, state: AccState, kinds: set[str], copies: int) -> None:
        e, types = self.e, self.e.parts(state.stmt)
        inside = e.context is not None
        scalar_too = "s" in kinds or (not e.target.masked)
        if not state.lane_local and not inside and scalar_too:
            state.scalar = self.placeholder(types, 0, state.scalar)
            self.accs.append((state, "scalar", 0, state.scalar))
        if state.vectors is not None and ("v" in kinds or state.lane_local or inside):
            for u in range(copies or len(state.vectors)):
                state.vectors[u] = self.placeholder(types, e.width, state.vectors[u])
                self.accs.append((state, "vectors", u, state.vectors[u]))

    def placeholder(self, types: list[str], width: int, initial: Register) -> Register:
        names = []
        for k, t in enumerate(types):
            name = self.fn.name()
            part = initial if len(types) == 1 else initial[k]
            self.phis.append((len(self.fn.buffer.lines), name, f"<{width} x {t}>" if width else t, part, []))
            self.fn.buffer.lines.append("")
            names.append(name)
        return names[0] if len(names) == 1 else tuple(names)

    def counter(self, start: str) -> str:
        self.phis.append((len(self.fn.buffer.lines), name := self.fn.name(), "i64", start, nexts := []))
        self.fn.buffer.lines.append("")
        self.next_counter = nexts
        return name

    def bind_phis(self, body: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
        """Open the carried values at the head of a body; returns the rest."""
        e, k = self.e, 0
        while k < len(body) and type(body[k]) is Phi:
            p = body[k]
            types = e.parts(Acc(p.name, "add", p.dtype))
            lanes = e.context is not None
            regs = [self.placeholder(types, e.width if lanes else 0, r) for r in self.initial[p.name]]
            value = Value(p.dtype, lanes, regs, not lanes)
            e.env[p.name] = value
            self.carried.append((p, value.regs))
            k += 1
        return body[k:]

    def capture(self) -> None:
        """Accumulators leave a ``while`` as they are here."""
        self.exit = [getattr(s, f) if f == "scalar" else s.vectors[u] for s, f, u, _ in self.accs]

    def close(self, next_counter: str | None) -> None:
        """End of the body: branch back, and complete the phis."""
        e, fn = self.e, self.fn
        nexts: dict[str, str] = {}

        def note(names: Register, values: Register) -> None:
            for n, v in zip(names, values, strict=True) if type(names) is tuple else ((names, values),):
                nexts[n] = v

        for state, where, u, name in self.accs:
            note(name, state.scalar if where == "scalar" else state.vectors[u])
        for p, regs in self.carried:
            new = e.lane_regs(p.next) if e.context is not None else e.lookup(p.next).regs
            for name, value in zip(regs, new, strict=True):
                note(name, value)
        self.latch = fn.buffer.block
        fn.branch(self.label)
        for line, name, type_, initial, _ in self.phis:
            value = nexts.get(name, next_counter)
            entry = self.entry if self.entry is not None else "?entry?"
            fn.buffer.lines[line] = f"  {name} = phi {type_} [ {initial}, %{entry} ], [ {value}, %{self.latch} ]"

    def set_entry(self, block: str) -> None:
        for line, *_ in self.phis:
            self.fn.buffer.lines[line] = self.fn.buffer.lines[line].replace("?entry?", block)

    def after(self) -> None:
        """Past the loop, accumulators are what the head last saw (or, for ``while``, what its test saw)."""
        values = self.exit or [name for *_, name in self.accs]
        for (state, where, u, _), value in zip(self.accs, values, strict=True):
            if where == "scalar":
                state.scalar = value
            else:
                state.vectors[u] = value


def names_read(loop: Loop | While) -> set[str]:
    """Every name that the statements of a loop mention as an operand."""
    names: set = set()
    stack: list[Stmt] = [*loop.body, *(loop.head if isinstance(loop, While) else ())]
    while stack:
        s = stack.pop()
        if isinstance(s, Let):
            names.update(s.args)
        elif isinstance(s, Loop):
            names.add(s.extent)
            stack += s.body
        elif isinstance(s, While):
            stack += [*s.head, *s.body]
        elif isinstance(s, (Load, Store)):
            names.update([n for n, _ in s.index.terms])
            names.update((s.mask, s.fill) if isinstance(s, Load) else (s.mask, s.value))
        elif isinstance(s, Update):
            names.update((s.value, s.index, s.mask))
        elif isinstance(s, (Phi, Acc)):
            names.add(s.init)
    return {n for n in names if type(n) is str}
