"""Random loop nests, compiled for every instruction set, against the interpreter."""

from __future__ import annotations

import random

import numpy as np
import pytest
from nest_reference import Interpreter
from nest_tools import TARGETS, run

from addax.engines.cpu.loops import Acc, Affine, Let, Lit, Load, Loop, Nest, Param, Phi, Store, Sym, Update
from addax.engines.cpu.loops_check import validate

WIDTH = 40  # no loop is longer, so indices with strides 1, 40, 1600 are different for different iterations
BASE = 500  # inputs are read around here
TYPES = ("int32", "int64", "int8")
ACC_OPS = ("add", "max", "min", "xor", "argmax", "argmin")


class Writer:
    """Writes one random nest; ``scope`` maps dtypes to the names visible."""

    def __init__(self, seed: int):
        self.r = random.Random(seed)
        self.count = 0
        self.params: list[Param] = [Param(f"x_{t}", t) for t in TYPES] + [Param("flag", "bool"), Param("at", "int32")]
        self.table: list[int] = []
        self.extents: list[int] = []

    def name(self, what: str) -> str:
        self.count += 1
        return f"{what}{self.count}"

    def size(self, value: int):
        """A literal, or the same number from the table."""
        if self.r.random() < 0.5:
            return value
        self.table.append(value)
        return Sym(len(self.table) - 1)

    def operand(self, scope, dtype: str):
        names = scope[dtype]
        if names and self.r.random() < 0.8:
            return self.r.choice(names)
        return Lit(self.r.random() < 0.5 if dtype == "bool" else self.r.randint(-9, 9), dtype)

    def load(self, scope, loops):
        t = self.r.choice([*TYPES, "bool", "at"])
        param = {"bool": "flag", "at": "at"}.get(t, f"x_{t}")
        dtype = {"at": "int32"}.get(t, t)
        terms = [(v, self.size(self.r.choice([1, 1, 1, 0, 2, -1, 3]))) for v, _ in loops if self.r.random() < 0.7]
        indices = [n for n in scope["int32"] if n.startswith("index")]
        if indices and self.r.random() < 0.3:
            terms.append((self.r.choice(indices), self.size(self.r.choice([1, 2]))))
        mask = self.operand(scope, "bool") if t != "at" and self.r.random() < 0.2 else None
        mask = mask if isinstance(mask, str) else None
        fill = self.operand(scope, dtype) if mask else None
        name = self.name("index" if t == "at" else "v")
        scope[dtype].append(name)
        return Load(name, param, Affine(self.size(BASE), tuple(terms)), dtype, mask, fill)

    def let(self, scope, loops):
        kind = self.r.randrange(5)
        t = self.r.choice(TYPES)
        name = self.name("v")
        if kind == 0 and loops:
            out = Let(name, "iota", (), t, var=self.r.choice(loops)[0])
        elif kind == 1:
            out = Let(name, self.r.choice(["lt", "eq"]), (self.operand(scope, t), self.operand(scope, t)), "bool")
        elif kind == 2:
            out = Let(name, "select", (self.operand(scope, "bool"), self.operand(scope, t), self.operand(scope, t)), t)
        elif kind == 3:
            out = Let(name, "convert", (self.operand(scope, self.r.choice(TYPES)),), t)
        else:
            op = self.r.choice(["add", "sub", "mul", "max", "min", "and", "xor"])
            out = Let(name, op, (self.operand(scope, t), self.operand(scope, t)), t)
        scope[out.dtype].append(name)
        return out

    def store(self, scope, loops):
        t = self.r.choice(TYPES)
        param = self.name("y")
        self.params.append(Param(param, t, "out"))
        terms = tuple((v, WIDTH**k) for k, (v, _) in enumerate(reversed(loops)))
        mask = self.operand(scope, "bool") if self.r.random() < 0.2 else None
        return Store(param, Affine(0, terms), self.operand(scope, t), mask if isinstance(mask, str) else None)

    def loop(self, scope, loops, vector: bool, accs, parallel: bool = False):
        var = self.name("i")
        extent = self.r.choice([0, 1, 3, 7, 16, 17, 33, 39]) if len(loops) < 2 else self.r.choice([1, 2, 5])
        kind = "vector" if not vector and self.r.random() < 0.6 else "serial"
        inner = {t: list(ns) for t, ns in scope.items()}
        here = [*loops, (var, extent)]
        body = []
        if kind == "serial" and self.r.random() < 0.4:
            t = self.r.choice(TYPES)
            phi = self.name("v")
            inner[t].append(phi)
            body.append((phi, self.operand(scope, t), t))
        body += self.block(inner, here, vector or kind == "vector", accs)
        phis = [b for b in body if isinstance(b, tuple)]
        stmts = [b for b in body if not isinstance(b, tuple)]
        out = []
        for phi, init, t in phis:
            following = self.name("v")
            stmts.append(Let(following, "add", (phi, self.operand(inner, t)), t))
            out.append(Phi(phi, init, following, t))
            scope[t].append(phi)
        if parallel:
            self.extents.append(extent)
        unroll = self.r.choice([None, None, 1, 2, 3]) if kind == "vector" else None
        return Loop(var, self.size(extent), (*out, *stmts), kind, parallel, unroll)

    def block(self, scope, loops, vector, accs=()):
        out = []
        for _ in range(self.r.randint(1, 4)):
            out.append(self.load(scope, loops))
            out += [self.let(scope, loops) for _ in range(self.r.randint(0, 3))]
            if accs and self.r.random() < 0.8:
                a = self.r.choice(accs)
                mask = self.operand(scope, "bool") if self.r.random() < 0.3 else None
                index = None
                if a.index is not None:
                    mask = None
                    index = self.name("v")
                    out.append(Let(index, "iota", (), "int32", var=loops[-1][0]))
                out.append(Update(a.name, self.operand(scope, a.dtype), index, mask if isinstance(mask, str) else None))
            if loops and self.r.random() < 0.5:
                out.append(self.store(scope, loops))
            if len(loops) < 3 and self.r.random() < (0.5 if loops else 0.9):
                out += (
                    self.accumulation(scope, loops, vector)
                    if self.r.random() < 0.5
                    else [self.loop(scope, loops, vector, ())]
                )
        return out

    def accumulation(self, scope, loops, vector):
        """An accumulator, a loop that updates it, and its name in scope afterwards."""
        op, t = self.r.choice(ACC_OPS), self.r.choice(TYPES)
        init = self.operand(scope, t) if not op.startswith("arg") and self.r.random() < 0.5 else None
        acc = Acc(self.name("s"), op, t, init, self.name("k") if op.startswith("arg") else None)
        while True:
            before = {t: list(names) for t, names in scope.items()}
            loop = self.loop(scope, loops, vector, (acc,))
            updated = any(isinstance(s, Update) and s.acc == acc.name for s in loop.body)
            if updated and (acc.index is None or loop.extent not in (0,)):
                break
            for dtype, names in before.items():
                scope[dtype][:] = names
        if acc.index is None:
            scope[t].append(acc.name)
        return [acc, loop]


def build(seed: int):
    w = Writer(seed)
    scope = {t: [] for t in (*TYPES, "bool")}
    body = w.block(scope, [], False)
    if w.r.random() < 0.7:
        body.append(w.loop(scope, [], False, (), parallel=True))
    nest = Nest(f"random{seed}", tuple(w.params), len(w.table), tuple(body))
    return validate(nest), w


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("block", range(6))
def test_random_nests(block, target):
    for seed in range(block * 4, block * 4 + 4):
        nest, w = build(seed)
        rng = np.random.default_rng(seed)
        arrays = {}
        for p in nest.params:
            if p.role == "out":
                arrays[p.name] = np.zeros(WIDTH**3 * 2, p.dtype)
            elif p.name == "flag":
                arrays[p.name] = rng.random(1000) < 0.5
            elif p.name == "at":
                arrays[p.name] = rng.integers(0, 16, 1000).astype(np.int32)
            else:
                arrays[p.name] = rng.integers(-50, 50, 1000).astype(p.dtype)
        extent = w.extents[0] if w.extents else 0
        for lo, hi in [(0, extent), (extent // 3, extent)]:
            expected = {k: v.copy() for k, v in arrays.items()}
            got = {k: v.copy() for k, v in arrays.items()}
            Interpreter(nest, expected, w.table, lo, hi).run()
            run(nest, [got[p.name] for p in nest.params], w.table, lo, hi, target)
            for p in nest.params:
                same = expected[p.name] == got[p.name]
                assert same.all(), f"seed {seed}: {p.name} differs at {np.flatnonzero(~same)[:5]}\n{nest}"
