"""Accumulators: their identities, how values fold in, across copies, lanes and loops.

An accumulator declared outside vector loops is a scalar plus one vector per copy of the loop's body (``AccState``);
reading it folds them in an order that depends on the target's vector width only. Declared inside, each lane has its
own.
"""

from __future__ import annotations

from addax.engines.cpu.emit_builder import INT_MAX, INT_MIN
from addax.engines.cpu.emit_lanes import SCALAR_TYPES, Lanes, Register, literal
from addax.engines.cpu.emit_memory import Memory
from addax.engines.cpu.emit_ops import EMIT, extreme
from addax.engines.cpu.emit_values import AccState, Value
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF
from addax.engines.cpu.loops import Acc, Lit, Update


class Accumulators(Memory):
    """Statements that accumulate, and reading the results."""

    # ---- statements ----

    def acc(self, s: Acc) -> None:
        c = self.context
        self.env.pop(s.name, None)
        if s.index is not None:
            self.env.pop(s.index, None)
        if c is not None:
            init = self.lane_regs(s.init) if s.init is not None else [self.identity(s, c.lanes)] * c.copies
            self.accs[s.name] = AccState(s, "", list(init), lane_local=True)
        else:
            init = self.lookup(s.init).regs[0] if s.init is not None else self.identity(s, self.scalar)
            self.accs[s.name] = AccState(s, init)
        if s.index is not None:
            self.accs[s.index] = self.accs[s.name]

    def update(self, s: Update) -> None:
        state, c = self.accs[s.acc], self.context
        acc = state.stmt
        if c is None:
            value = self.lookup(s.value).regs[0]
            if s.index is not None:
                value = (value, self.lookup(s.index).regs[0])
            new = self.combine(acc, self.scalar, state.scalar, value)
            if s.mask is not None:
                new = self.select_acc(acc, self.scalar, self.lookup(s.mask).regs[0], new, state.scalar)
            state.scalar = new
            self.env.pop(acc.name, None)
            if acc.index is not None:
                self.env.pop(acc.index, None)
            return
        values = self.lane_regs(s.value)
        if s.index is not None:
            values = list(zip(values, self.lane_regs(s.index), strict=True))
        # Lane-local accumulators are not seen by dead lanes' neighbours: no mask needed for the tail.
        masks = self.lane_mask(s.mask)
        if state.lane_local and s.mask is None:
            masks = [None] * c.copies
        for u in range(c.copies):
            new = self.combine(acc, c.lanes, state.vectors[u], values[u])
            if masks[u] is not None:
                new = self.select_acc(acc, c.lanes, masks[u], new, state.vectors[u])
            state.vectors[u] = new

    def read_acc(self, state: AccState) -> None:
        """Bind an accumulator's name to its value so far."""
        acc = state.stmt
        if state.lane_local:
            regs, lanes = list(state.vectors), True
        else:
            total = state.scalar
            if state.vectors is not None:
                total = self.merge(acc, self.scalar, total, self.horizontal(acc, state.vectors))
                state.scalar, state.vectors = total, None
            regs, lanes = [total], False
        if acc.index is None:
            self.env[acc.name] = Value(acc.dtype, lanes, regs, not lanes and self.context is None)
            return
        self.env[acc.name] = Value(acc.dtype, lanes, [r[0] for r in regs], not lanes and self.context is None)
        self.env[acc.index] = Value(acc.index_dtype, lanes, [r[1] for r in regs], not lanes and self.context is None)

    # ---- folding ----

    def identity(self, acc: Acc, lanes: Lanes) -> Register:
        d = acc.dtype
        kind, bits = DTYPES[d].kind, DTYPES[d].bits
        if acc.op in ("argmax", "argmin"):
            worst = self.extreme_value(d, lowest=acc.op == "argmax")
            return lanes.const(d, worst), lanes.const(acc.index_dtype, -1)
        if d in REAL_OF:
            return literal(lanes, Lit(1 if acc.op == "mul" else 0, d))
        value = {
            "add": 0,
            "or": 0,
            "xor": 0,
            "mul": 1,
            "and": True if kind == "b" else 2**bits - 1,
            "max": self.extreme_value(d, lowest=True),
            "min": self.extreme_value(d, lowest=False),
        }[acc.op]
        return lanes.const(d, float(value) if kind == "f" else value)

    @staticmethod
    def extreme_value(d: str, lowest: bool):
        kind, bits = DTYPES[d].kind, DTYPES[d].bits
        if kind == "f":
            return float("-inf") if lowest else float("inf")
        if kind == "b":
            return not lowest
        if kind == "u":
            return 0 if lowest else 2**bits - 1
        return INT_MIN[bits] if lowest else INT_MAX[bits]

    def combine(self, acc: Acc, lanes: Lanes, a: Register, b: Register) -> Register:
        """Fold ``b``, the later one, into ``a``."""
        d, op = acc.dtype, acc.op
        if op in ("argmax", "argmin"):
            take = self.better(acc, lanes, a, b)
            return lanes.select(take, b[0], a[0], d), lanes.select(take, b[1], a[1], acc.index_dtype)
        if op in ("max", "min"):
            return extreme(lanes, op, d, a, b)
        return EMIT[op](lanes, (a, b), d, [d, d], {})

    def better(self, acc: Acc, lanes: Lanes, a: Register, b: Register) -> str:
        """Whether the pair ``b`` beats the earlier ``a``: it is the first, it is NaN and ``a`` is not, or it is more
        extreme.
        """
        d, fn, mask = acc.dtype, self.fn, lanes.vec("i1")
        first = lanes.icmp("eq", acc.index_dtype, a[1], lanes.const(acc.index_dtype, -1))
        more = acc.op == "argmax"
        if DTYPES[d].kind == "f":
            m = lanes.math(d)
            beats = m.mand(m.cmp("ugt" if more else "ult", b[0], a[0]), m.cmp("ord", a[0], a[0]))
        else:
            sign = "s" if DTYPES[d].kind == "i" else "u"
            beats = lanes.icmp(sign + ("gt" if more else "lt"), d, b[0], a[0])
        return fn.emit(f"or {mask} {first}, {beats}")

    def merge(self, acc: Acc, lanes: Lanes, a: Register, b: Register) -> Register:
        """Fold two partial results of which neither comes first: ties of argmax go to the lower index."""
        if acc.op not in ("argmax", "argmin"):
            return self.combine(acc, lanes, a, b)
        d, fn, mask, index = acc.dtype, self.fn, lanes.vec("i1"), acc.index_dtype
        beats = self.better(acc, lanes, a, b)
        if DTYPES[d].kind == "f":
            m = lanes.math(d)
            tie = m.mor(m.cmp("oeq", a[0], b[0]), m.mand(m.isnan(a[0]), m.isnan(b[0])))
        else:
            tie = lanes.icmp("eq", d, a[0], b[0])
        lower = lanes.icmp("ult", index, b[1], a[1])  # unsigned: "none" (-1) is never lower
        take = fn.emit(f"or {mask} {beats}, {fn.emit(f'and {mask} {tie}, {lower}')}")
        some = lanes.icmp("ne", index, b[1], lanes.const(index, -1))
        take = fn.emit(f"and {mask} {take}, {some}")
        return lanes.select(take, b[0], a[0], d), lanes.select(take, b[1], a[1], index)

    def select_acc(self, acc: Acc, lanes: Lanes, mask: str, a: Register, b: Register) -> Register:
        if acc.index is not None:
            return lanes.select(mask, a[0], b[0], acc.dtype), lanes.select(mask, a[1], b[1], acc.index_dtype)
        return lanes.select(mask, a, b, acc.dtype)

    def horizontal(self, acc: Acc, vectors: list[Register]) -> Register:
        """Copies in pairs, then halves of the vector, down to one lane."""
        while len(vectors) > 1:
            pairs = [self.merge(acc, self.vector, a, b) for a, b in zip(vectors[0::2], vectors[1::2], strict=False)]
            vectors = pairs + ([vectors[-1]] if len(vectors) % 2 else [])
        value, width = vectors[0], self.width
        types = self.parts(acc)
        while width > 1:
            half = width // 2
            lanes = Lanes(self.fn, half)
            low, high = (self.map_parts(value, types, self.half_of(width, k)) for k in (0, 1))
            value, width = self.merge(acc, lanes, low, high), half
        return self.map_parts(value, types, lambda r, t: self.fn.emit(f"extractelement <1 x {t}> {r}, i64 0"))

    def half_of(self, width: int, which: int):
        """The lower or upper half of a vector register."""
        half = width // 2
        pick = ", ".join([f"i32 {i + which * half}" for i in range(half)])

        def take(reg: str, t: str) -> str:
            v = f"<{width} x {t}>"
            return self.fn.emit(f"shufflevector {v} {reg}, {v} poison, <{half} x i32> <{pick}>")

        return take

    @staticmethod
    def parts(acc: Acc) -> list[str]:
        """LLVM scalar types of the registers an accumulator is made of."""
        if acc.index is not None:
            return [SCALAR_TYPES[acc.dtype], SCALAR_TYPES[acc.index_dtype]]
        if acc.dtype in REAL_OF:
            return [SCALAR_TYPES[REAL_OF[acc.dtype]]] * 2
        return [SCALAR_TYPES[acc.dtype]]

    @staticmethod
    def map_parts(value: Register, types: list[str], f) -> Register:
        if len(types) == 1:
            return f(value, types[0])
        return tuple(f(r, t) for r, t in zip(value, types, strict=True))

    # ---- around loops ----

    def open_vectors(self, name: str, copies: int) -> None:
        """Give an accumulator its vectors, at the identity, before the outermost loop that fills them."""
        state = self.accs[name]
        if state.lane_local:
            return
        self.env.pop(state.stmt.name, None)
        if state.stmt.index is not None:
            self.env.pop(state.stmt.index, None)
        if state.vectors is None:
            state.vectors = []
        state.vectors += [self.identity(state.stmt, self.vector)] * (copies - len(state.vectors))

    def snapshot(self, name: str) -> tuple[Register, list[Register]]:
        state = self.accs[name]
        return state.scalar, list(state.vectors or [])

    def phi(self, types: list[str], width: int, a: Register, from_a: str, b: Register, from_b: str) -> Register:
        """A phi per register part, unless both sides are the same."""
        if a == b:
            return a

        def one(pair, t):
            t = f"<{width} x {t}>" if width else t
            return self.fn.emit(f"phi {t} [ {pair[0]}, %{from_a} ], [ {pair[1]}, %{from_b} ]")

        if len(types) == 1:
            return one((a, b), types[0])
        return tuple(one(p, t) for p, t in zip(zip(a, b, strict=True), types, strict=True))

    def join(self, name: str, before, guard: str, last: str) -> None:
        state = self.accs[name]
        types = self.parts(state.stmt)
        if not state.lane_local:
            state.scalar = self.phi(types, 0, before[0], guard, state.scalar, last)
        state.vectors = [
            self.phi(types, self.width, a, guard, b, last) for a, b in zip(before[1], state.vectors, strict=True)
        ]
