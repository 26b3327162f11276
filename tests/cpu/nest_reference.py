"""An interpreter of loop nests, one scalar at a time: what the statements mean, for comparison with compiled code."""

from __future__ import annotations

import numpy as np

from addax.engines.cpu.loops import Acc, Let, Lit, Load, Local, Loop, Nest, Phi, Store, Sym, Update, While

OPS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "max": max,
    "min": min,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "lt": lambda a, b: a < b,
    "eq": lambda a, b: a == b,
    "select": lambda p, a, b: a if p else b,
    "convert": lambda a: a,
    "copy": lambda a: a,
}


class Interpreter:
    """Runs ``nest`` over arrays by name; ``table`` as in the kernel's signature."""

    def __init__(self, nest: Nest, arrays: dict[str, np.ndarray], table: list[int], lo: int, hi: int):
        self.nest, self.arrays, self.table, self.lo, self.hi = nest, dict(arrays), table, lo, hi
        self.env: dict = {}
        self.accs: dict[str, Acc] = {}

    def run(self) -> None:
        with np.errstate(over="ignore"):
            self.block(self.nest.body)

    def value(self, x):
        if type(x) is Lit:
            return np.dtype(x.dtype).type(x.value)
        if type(x) is Sym:
            return np.int64(self.table[x.k])
        return self.env[x]

    def size(self, x) -> int:
        return x if type(x) is int else int(self.value(x))

    def at(self, index) -> int:
        return self.size(index.offset) + sum(int(self.env[n]) * self.size(s) for n, s in index.terms)

    def block(self, body) -> None:
        for s in body:
            getattr(self, type(s).__name__.lower())(s)

    def let(self, s: Let) -> None:
        out = self.env[s.attrs["var"]] if s.op == "iota" else OPS[s.op](*[self.value(a) for a in s.args])
        self.env[s.name] = np.asarray(out).astype(s.dtype)[()]

    def load(self, s: Load) -> None:
        ok = s.mask is None or self.env[s.mask]
        self.env[s.name] = self.arrays[s.param][self.at(s.index)] if ok else self.value(s.fill)

    def store(self, s: Store) -> None:
        if s.mask is None or self.env[s.mask]:
            self.arrays[s.param][self.at(s.index)] = self.value(s.value)

    def local(self, s: Local) -> None:
        self.arrays[s.name] = np.zeros(s.size, s.dtype)

    def acc(self, s: Acc) -> None:
        self.accs[s.name] = s
        info = np.iinfo(s.dtype) if s.dtype != "bool" else None
        first = {"add": 0, "mul": 1, "or": 0, "xor": 0, "and": -1}.get(s.op)
        if first is None:
            first = info.min if s.op in ("max", "argmax") else info.max
        self.env[s.name] = self.value(s.init) if s.init is not None else np.dtype(s.dtype).type(first)
        if s.index is not None:
            self.env[s.index] = None

    def update(self, s: Update) -> None:
        if s.mask is not None and not self.env[s.mask]:
            return
        acc, new = self.accs[s.acc], self.value(s.value)
        if acc.index is None:
            self.env[s.acc] = np.dtype(acc.dtype).type(OPS[acc.op](self.env[s.acc], new))
        else:
            old = self.env[s.acc]
            if self.env[acc.index] is None or (new > old if acc.op == "argmax" else new < old):
                self.env[s.acc], self.env[acc.index] = new, self.value(s.index)

    def iterate(self, head, body, more) -> None:
        """Phis of ``head`` go round while ``more()``; it runs the rest of the head itself."""
        phis = [s for s in head if type(s) is Phi]
        for p in phis:
            self.env[p.name] = self.value(p.init)
        while more():
            self.block(body)
            for p, new in [(p, self.env[p.next]) for p in phis]:
                self.env[p.name] = new

    def loop(self, s: Loop) -> None:
        span = iter(range(self.lo, self.hi) if s.parallel else range(self.size(s.extent)))

        def more():
            i = next(span, None)
            self.env[s.var] = i
            return i is not None

        self.iterate(s.body, [b for b in s.body if type(b) is not Phi], more)

    def while_(self, s: While) -> None:
        rest = [b for b in s.head if type(b) is not Phi]

        def more():
            self.block(rest)
            return bool(self.env[s.test])

        self.iterate(s.head, s.body, more)


setattr(Interpreter, "while", Interpreter.while_)
