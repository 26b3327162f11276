"""Operands: what a name, literal or table entry is as registers, and where scalars are computed."""

from __future__ import annotations

from addax.engines.cpu.emit_builder import Function, Module
from addax.engines.cpu.emit_lanes import SCALAR_TYPES, Lanes, Register, literal
from addax.engines.cpu.emit_values import AccState, Value, VectorContext
from addax.engines.cpu.llvm import Target
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF
from addax.engines.cpu.loops import Acc, Let, Lit, Load, Loop, Nest, Operand, Stmt, Store, Sym, While
from addax.engines.cpu.loops_check import NestError


class Operands:
    """The state of a kernel under construction, and the registers of operands."""

    def __init__(self, nest: Nest, target: Target, module: Module, name: str):
        self.nest, self.target, self.module, self.name = nest, target, module, name
        self.fn = Function(module)
        self.entry: list[str] = []
        self.syms: dict[int, str] = {}
        self.pointers: dict[str, tuple[str, str]] = {}  # array name -> (register, dtype)
        self.readonly: set[str] = {p.name for p in nest.params if p.role == "in"}
        self.env: dict[str, Value] = {}
        self.accs: dict[str, AccState] = {}
        self.loop_vars: dict[str, Value] = {}
        self.context: VectorContext | None = None
        self.scalar = Lanes(self.fn, 0)
        self.width = self.choose_width()
        self.vector = Lanes(self.fn, self.width)
        self.dummy: str | None = None
        self.reads: dict[int, set[str]] = {}
        self.facts: dict[int, tuple[dict[str, set[str]], int, bool]] = {}
        for i, p in enumerate(nest.params):
            self.entry.append(f"  %p{i}a = getelementptr ptr, ptr %args, i64 {i}")
            self.entry.append(f"  %p{i} = load ptr, ptr %p{i}a, align 8")
            self.pointers[p.name] = (f"%p{i}", p.dtype)

    def sym(self, k: int) -> str:
        reg = self.syms.get(k)
        if reg is None:
            reg = self.syms[k] = f"%s{k}"
            self.entry.append(f"  {reg}a = getelementptr i64, ptr %table, i64 {k}")
            self.entry.append(f"  {reg} = load i64, ptr {reg}a, align 8")
        return reg

    def size(self, x: int | Sym | str) -> str:
        """A scalar i64."""
        if type(x) is int:
            return str(x)
        if type(x) is Sym:
            return self.sym(x.k)
        v = self.lookup(x)
        if v.lanes:
            raise NestError(f"nest {self.nest.name!r}: {x!r} differs between lanes and can't be the extent of a loop")
        return v.regs[0]

    def lookup(self, x: Operand) -> Value:
        if type(x) is str:
            acc = self.accs.get(x)
            if acc is not None and x not in self.env:
                self.read_acc(acc)
            return self.env[x]
        if type(x) is Sym:
            return Value("int64", False, [self.sym(x.k)], True)
        return Value(x.dtype, False, [literal(self.scalar, x)], True)

    def dtype_of(self, x: Operand) -> str:
        return self.lookup(x).dtype if type(x) is str else "int64" if type(x) is Sym else x.dtype

    def lane_regs(self, x: Operand) -> list[Register]:
        """One vector register per copy, splatting scalars."""
        c = self.context
        if type(x) is Lit:
            return [literal(c.lanes, x)] * c.copies
        v = self.lookup(x)
        if v.lanes:
            return v.regs
        key = str(x)
        if v.fixed:
            got = c.shared.splats.get(key)
            if got is None:
                outer, self.fn.buffer = self.fn.buffer, c.pre
                got = c.shared.splats[key] = self.splat(v.regs[0], v.dtype)
                self.fn.buffer = outer
        else:
            got = self.splat(v.regs[0], v.dtype)
        return [got] * c.copies

    def splat(self, reg: Register, dtype: str) -> Register:
        if type(reg) is tuple:
            return tuple(self.splat(r, REAL_OF[dtype]) for r in reg)
        return self.splat_of(reg, SCALAR_TYPES[dtype])

    def splat_of(self, reg: str, scalar_type: str) -> str:
        w, fn = self.width, self.fn
        if not reg.startswith("%"):
            return f"splat ({scalar_type} {reg})"
        t = f"<{w} x {scalar_type}>"
        one = fn.emit(f"insertelement {t} poison, {scalar_type} {reg}, i64 0")
        return fn.emit(f"shufflevector {t} {one}, {t} poison, <{w} x i32> zeroinitializer")

    def is_lanes(self, x: Operand) -> bool:
        return self.context is not None and type(x) is str and self.lookup(x).lanes

    def is_fixed(self, x: Operand) -> bool:
        return type(x) is not str or self.lookup(x).fixed

    def in_pre(self, name: str, dtype: str, make) -> None:
        """Define a scalar before the vector loop, once for all copies of its body."""
        shared = self.context.shared
        value = shared.values.get(name)
        if value is None:
            outer, self.fn.buffer = self.fn.buffer, shared.pre
            value = shared.values[name] = Value(dtype, False, [make()], True)
            self.fn.buffer = outer
        self.env[name] = value

    def define_scalar(self, name: str, dtype: str, fixed: bool, make) -> None:
        c = self.context
        if c is not None and c.depth == 0 and fixed:
            self.in_pre(name, dtype, make)
        else:
            # Outside vector loops everything counts as fixed for the loops to come.
            self.env[name] = Value(dtype, False, [make()], c is None)

    def choose_width(self) -> int:
        """Lanes per vector: one register of the widest type that any vector loop computes with."""
        widest = 1
        stack: list[tuple[Stmt, bool]] = [(s, False) for s in self.nest.body]
        dtypes = {p.name: p.dtype for p in self.nest.params}
        while stack:
            s, inside = stack.pop()
            if isinstance(s, Loop):
                stack += [(b, inside or s.kind == "vector") for b in s.body]
            elif isinstance(s, While):
                stack += [(b, inside) for b in (*s.head, *s.body)]
            elif inside and isinstance(s, (Let, Load, Acc, Store)):
                d = dtypes.get(s.param, "bool") if isinstance(s, Store) else s.dtype
                d = DTYPES[d].compute
                bits = {"c": DTYPES[d].bits // 2, "b": 8}.get(DTYPES[d].kind, DTYPES[d].bits)
                widest = max(widest, bits // 8)
        return max(2, self.target.vector_bytes // widest)
