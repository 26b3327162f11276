"""Loop nests to LLVM IR text: which values are scalars and which are lanes, loops, memory, accumulators.

Start with ``Emitter.vector_loop``: it decides how many copies of the body there are (a main loop over ``unroll``
vectors and a masked tail; one masked loop if the body is long; a scalar tail where the machine has no masks) and
writes each through ``Emitter.block``. A ``Value`` is one register if it is the same for all lanes, else one register
per unrolled copy. What does not vary is written to the loop's ``pre`` buffer, which runs once, before it.

Accumulators declared outside vector loops live as one vector per copy plus a scalar (``AccState``); reading one folds
them, in an order that depends on the target's vector width only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from addax.engines.cpu.emit_builder import INT_MAX, INT_MIN, LIBRARY, Buffer, Function, Module, constant
from addax.engines.cpu.emit_ops import EMIT, SCALAR_TYPES, Lanes, Register, extreme, from_storage, literal, to_storage
from addax.engines.cpu.llvm import Target, host_target
from addax.engines.cpu.loop_ops import DTYPES, OPS, REAL_OF
from addax.engines.cpu.loops import (
    Acc,
    Affine,
    Let,
    Lit,
    Load,
    Local,
    Loop,
    Nest,
    NestError,
    Operand,
    Phi,
    Stmt,
    Store,
    Sym,
    Update,
    While,
)

HEAVY = 30
"""Bodies costing more than this many instructions are written once (one masked loop), not unrolled."""

# Memory element types; narrow floats travel as integers of their size.
MEMORY_TYPES = SCALAR_TYPES | {
    "bool": "i8",
    "float16": "i16",
    "bfloat16": "i16",
    "float8_e4m3fn": "i8",
    "float8_e5m2": "i8",
    "complex64": "[2 x float]",
    "complex128": "[2 x double]",
}
ALIGN = {d: DTYPES[d].bits // (16 if d in REAL_OF else 8) for d in DTYPES}


class Value:
    """A named value: ``regs`` has one register for a scalar, one per copy for lanes. ``fixed`` scalars are available
    before the vector loop.
    """

    __slots__ = ("dtype", "fixed", "lanes", "regs")

    def __init__(self, dtype: str, lanes: bool, regs: list[Register], fixed: bool = False):
        self.dtype, self.lanes, self.regs, self.fixed = dtype, lanes, regs, fixed


@dataclass(slots=True)
class AccState:
    stmt: Acc
    scalar: Register
    vectors: list[Register] | None = None
    lane_local: bool = False  # declared inside the vector loop: ``vectors`` is all there is, one per copy


@dataclass(slots=True)
class VectorContext:
    """The vector loop being written: ``copies`` registers per value, ``base`` the index of lane 0, ``mask`` of live
    lanes in a tail.
    """

    loop: Loop
    lanes: Lanes
    copies: int
    base: str
    mask: str | None
    pre: Buffer
    shared: Shared
    depth: int = 0  # serial loops entered inside


@dataclass(slots=True)
class Shared:
    """What the copies of one vector loop's body share: values and pointers computed before the loop."""

    pre: Buffer
    values: dict[str, Value] = field(default_factory=dict)
    splats: dict[str, Register] = field(default_factory=dict)
    pointers: dict[tuple, str] = field(default_factory=dict)
    strides: dict = field(default_factory=dict)


class Emitter:
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

    # ---- planning ----

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

    # ---- the function ----

    def text(self) -> str:
        lo_hi = "i64 %lo, i64 %hi"
        self.block(self.nest.body)
        head = f'define void @{self.name}(ptr %args, ptr %table, {lo_hi}) nounwind section ".text.{self.name}" {{'
        lines = [head, "entry:"]
        lines += self.fn.allocas
        lines += self.entry
        lines += self.fn.buffer.lines
        lines += ["  ret void", "}"]
        return "\n".join(lines)

    def block(self, body: tuple[Stmt, ...]) -> None:
        for s in body:
            STATEMENTS[type(s)](self, s)

    # ---- operands ----

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

    # ---- statements ----

    def let(self, s: Let) -> None:
        if s.op == "iota":
            self.iota(s)
            return
        argtypes = [self.dtype_of(a) for a in s.args]
        attrs = s.attrs
        if len(s.args) == 2 and type(s.args[1]) is Lit and s.op in STATIC_SECOND:
            attrs = {**attrs, "_static": s.args[1].value}
        rule = EMIT[s.op]
        c = self.context
        if c is not None and any(self.is_lanes(a) for a in s.args):
            columns = [self.lane_regs(a) for a in s.args]
            regs = [rule(c.lanes, [col[u] for col in columns], s.dtype, argtypes, attrs) for u in range(c.copies)]
            self.env[s.name] = Value(s.dtype, True, regs)
            return
        fixed = all(self.is_fixed(a) for a in s.args)

        def make():
            return rule(self.scalar, [self.lookup(a).regs[0] for a in s.args], s.dtype, argtypes, attrs)

        self.define_scalar(s.name, s.dtype, fixed, make)

    def dtype_of(self, x: Operand) -> str:
        return self.lookup(x).dtype if type(x) is str else "int64" if type(x) is Sym else x.dtype

    def iota(self, s: Let) -> None:
        var, c = s.attrs["var"], self.context
        v = self.loop_vars[var]
        kind, bits = DTYPES[s.dtype].kind, DTYPES[s.dtype].bits
        t = SCALAR_TYPES[s.dtype]
        integer = s.dtype if kind != "f" else "int64" if s.dtype == "float64" else "int32"
        ti = SCALAR_TYPES[integer]
        if v.lanes:
            base = c.base if ti == "i64" else self.fn.emit(f"trunc i64 {c.base} to {ti}")
            first = self.splat_of(base, ti)
            regs = []
            for u in range(c.copies):
                steps = ", ".join([f"{ti} {constant(ti, u * self.width + i, 0)}" for i in range(self.width)])
                r = self.fn.emit(f"add <{self.width} x {ti}> {first}, <{steps}>")
                if kind == "f":
                    r = EMIT["convert"](c.lanes, (r,), s.dtype, [integer], {})
                regs.append(r)
            self.env[s.name] = Value(s.dtype, True, regs)
            return

        def make():
            r = v.regs[0]
            if kind == "f":
                return EMIT["convert"](self.scalar, (r,), s.dtype, ["int64"], {})
            return r if bits == 64 else self.fn.emit(f"trunc i64 {r} to {t}")

        self.define_scalar(s.name, s.dtype, v.fixed, make)

    # ---- addresses ----

    def scaled(self, reg: str, stride: int | Sym) -> str:
        if stride == 1:
            return reg
        return self.fn.emit(f"mul i64 {reg}, {self.size(stride)}")

    def as_index(self, v: Value) -> str:
        """A scalar integer value as i64."""
        if v.dtype in ("int64", "uint64"):
            return v.regs[0]
        ext = "sext" if DTYPES[v.dtype].kind == "i" else "zext"
        return self.fn.emit(f"{ext} {SCALAR_TYPES[v.dtype]} {v.regs[0]} to i64")

    def term(self, name: str) -> Value:
        v = self.loop_vars.get(name)
        return v if v is not None else self.lookup(name)

    def offset(self, offset: int | Sym, terms: list[tuple[str, int | Sym]]) -> str:
        """The sum of an offset and scalar terms, as i64."""
        parts = [self.scaled(self.as_index(self.term(n)), s) for n, s in terms if s != 0]
        if offset != 0 or not parts:
            parts.append(self.size(offset))
        total = parts[0]
        for p in parts[1:]:
            total = self.fn.emit(f"add i64 {total}, {p}")
        return total

    def pointer(self, param: str, offset: int | Sym, terms: list[tuple[str, int | Sym]]) -> str:
        """The address of a scalar index; the part that does not move in the vector loop is computed before it."""
        reg, dtype = self.pointers[param]
        c, t = self.context, MEMORY_TYPES[dtype]
        if c is None:
            total = self.offset(offset, terms)
            return reg if total == "0" else self.fn.emit(f"getelementptr {t}, ptr {reg}, i64 {total}")
        fixed = [x for x in terms if self.term(x[0]).fixed]
        moving = [x for x in terms if not self.term(x[0]).fixed]
        key = (param, offset, tuple(fixed))
        base = c.shared.pointers.get(key)
        if base is None:
            outer, self.fn.buffer = self.fn.buffer, c.pre
            total = self.offset(offset, fixed)
            base = reg if total == "0" else self.fn.emit(f"getelementptr {t}, ptr {reg}, i64 {total}")
            c.shared.pointers[key] = base
            self.fn.buffer = outer
        if not moving:
            return base
        return self.fn.emit(f"getelementptr {t}, ptr {base}, i64 {self.offset(0, moving)}")

    def split(self, ix: Affine) -> tuple[list, list, int | Sym]:
        """(scalar terms, lane-valued terms, stride of the vector loop's variable)."""
        c = self.context
        if c is None:
            return list(ix.terms), [], 0
        scalars, lanes, stride = [], [], 0
        for n, s in ix.terms:
            if n == c.loop.var:
                if stride != 0:
                    raise NestError(f"nest {self.nest.name!r}: index uses {n!r} twice")
                stride = s
            elif self.term(n).lanes:
                lanes.append((n, s))
            else:
                scalars.append((n, s))
        return scalars, lanes, stride

    def lane_mask(self, mask: str | None) -> list[str | None]:
        """Per copy: the tail's mask and the statement's own, or None if all lanes take part."""
        c = self.context
        own = self.lane_regs(mask) if mask is not None else [None] * c.copies
        if c.mask is None:
            return own
        b = f"<{self.width} x i1>"
        return [c.mask if o is None else self.fn.emit(f"and {b} {c.mask}, {o}") for o in own]

    def gather_pointers(self, param: str, ix: Affine, scalars, lanes, stride, complex_: bool) -> list[str]:
        """Per copy, the vector of addresses of an index whose lanes don't follow each other."""
        c, fn, w = self.context, self.fn, self.width
        t = MEMORY_TYPES[self.pointers[param][1]]
        base = self.pointer(param, ix.offset, scalars)
        wide = f"<{w} x i64>"
        if stride != 0:
            base = fn.emit(f"getelementptr {t}, ptr {base}, i64 {self.scaled(c.base, stride)}")
            ramp = self.ramp(stride)
        if stride == 0 and len(lanes) == 1 and lanes[0][1] == 1 and self.lookup(lanes[0][0]).dtype == "int32":
            regs = self.lookup(lanes[0][0]).regs
            return [fn.emit(f"getelementptr {t}, ptr {base}, <{w} x i32> {r}") for r in regs]
        out = []
        for u in range(c.copies):
            total = None
            for n, s in lanes:
                v = self.lookup(n)
                r = v.regs[u]
                if v.dtype not in ("int64", "uint64"):
                    ext = "sext" if DTYPES[v.dtype].kind == "i" else "zext"
                    r = fn.emit(f"{ext} {c.lanes.type(v.dtype)} {r} to {wide}")
                if s != 1:
                    r = fn.emit(f"mul {wide} {r}, {self.stride_splat(s)}")
                total = r if total is None else fn.emit(f"add {wide} {total}, {r}")
            at = base
            if stride != 0:
                if u:
                    step = fn.emit(f"mul i64 {self.size(stride)}, {u * w}")
                    at = fn.emit(f"getelementptr {t}, ptr {base}, i64 {step}")
                total = ramp if total is None else fn.emit(f"add {wide} {total}, {ramp}")
            if total is None:
                total = constant("i64", 0, w)
            out.append(fn.emit(f"getelementptr {t}, ptr {at}, {wide} {total}"))
        return out

    def stride_splat(self, s: int | Sym) -> str:
        if type(s) is int:
            return constant("i64", s, self.width)
        return self.lane_regs(s)[0]

    def ramp(self, stride: int | Sym) -> str:
        """<0, stride, 2 stride, ...>, computed before the loop."""
        c, w = self.context, self.width
        if type(stride) is int:
            return "<" + ", ".join([f"i64 {k * stride}" for k in range(w)]) + ">"
        got = c.shared.strides.get(stride)
        if got is None:
            outer, self.fn.buffer = self.fn.buffer, c.pre
            steps = "<" + ", ".join([f"i64 {k}" for k in range(w)]) + ">"
            got = self.fn.emit(f"mul <{w} x i64> {self.splat_of(self.sym(stride.k), 'i64')}, {steps}")
            c.shared.strides[stride] = got
            self.fn.buffer = outer
        return got

    # ---- loads ----

    def load(self, s: Load) -> None:
        c = self.context
        scalars, lanes, stride = self.split(s.index)
        masked_lanes = s.mask is not None and self.is_lanes(s.mask)
        if c is None or (stride == 0 and not lanes and not masked_lanes):
            fixed = s.param in self.readonly and all(self.term(n).fixed for n, _ in scalars)
            if s.mask is not None:
                fixed = fixed and self.is_fixed(s.mask) and self.is_fixed(s.fill)
            self.define_scalar(s.name, s.dtype, fixed, lambda: self.scalar_load(s, scalars))
            return
        masks = self.lane_mask(s.mask)
        fill = self.lane_regs(s.fill) if s.fill is not None else None
        if not lanes and stride == 1:
            regs = self.contiguous_load(s, scalars, masks, fill)
        elif not lanes and stride == -1 and masks[0] is None and s.dtype not in REAL_OF:
            regs = self.reversed_load(s, scalars)
        else:
            regs = self.gather(s, scalars, lanes, stride, masks, fill)
        self.env[s.name] = Value(s.dtype, True, regs)

    def from_memory(self, lanes: Lanes, reg: str, dtype: str) -> str:
        if dtype == "bool":
            return self.fn.emit(f"icmp ne {lanes.vec('i8')} {reg}, {constant('i8', 0, lanes.width)}")
        if DTYPES[dtype].kind == "f" and DTYPES[dtype].bits < 32:
            return from_storage(lanes, reg, dtype)
        return reg

    def to_memory(self, lanes: Lanes, reg: str, dtype: str) -> str:
        if dtype == "bool":
            return self.fn.emit(f"zext {lanes.vec('i1')} {reg} to {lanes.vec('i8')}")
        if DTYPES[dtype].kind == "f" and DTYPES[dtype].bits < 32:
            return to_storage(lanes, reg, dtype)
        return reg

    def guarded(self, pointer: str, mask: str | None) -> str:
        """The pointer, or a scratch slot where a scalar mask is false."""
        if mask is None:
            return pointer
        if self.dummy is None:
            self.dummy = self.fn.alloca("[16 x i8]", 16)
        return self.fn.emit(f"select i1 {self.lookup(mask).regs[0]}, ptr {pointer}, ptr {self.dummy}")

    def scalar_load(self, s: Load, scalars) -> Register:
        at = self.guarded(self.pointer(s.param, s.index.offset, scalars), s.mask)
        t = MEMORY_TYPES[s.dtype]
        if s.dtype in REAL_OF:
            r = REAL_OF[s.dtype]
            f = SCALAR_TYPES[r]
            im = self.fn.emit(f"getelementptr {f}, ptr {at}, i64 1")
            reg = tuple(self.fn.emit(f"load {f}, ptr {p}, align {ALIGN[r]}") for p in (at, im))
        else:
            reg = self.from_memory(self.scalar, self.fn.emit(f"load {t}, ptr {at}, align {ALIGN[s.dtype]}"), s.dtype)
        if s.mask is None:
            return reg
        return self.scalar.select(self.lookup(s.mask).regs[0], reg, self.lookup(s.fill).regs[0], s.dtype)

    def lane_pointers(self, param: str, ix: Affine, scalars, dtype: str) -> list[str]:
        """Per copy, the address of lane 0 for contiguous lanes."""
        c, fn, t = self.context, self.fn, MEMORY_TYPES[dtype]
        base = self.pointer(param, ix.offset, scalars)
        first = fn.emit(f"getelementptr {t}, ptr {base}, i64 {c.base}")
        return [first] + [fn.emit(f"getelementptr {t}, ptr {first}, i64 {u * self.width}") for u in range(1, c.copies)]

    def vector_load(self, pointer: str, scalar_type: str, width: int, align: int, mask: str | None, fill: str) -> str:
        t = f"<{width} x {scalar_type}>"
        if mask is None:
            return self.fn.emit(f"load {t}, ptr {pointer}, align {align}")
        name = f"llvm.masked.load.{type_suffix(width, scalar_type)}.p0"
        self.module.declared.setdefault(name, f"declare {t} @{name}(ptr, <{width} x i1>, {t})")
        return self.fn.emit(f"call {t} @{name}(ptr align {align} {pointer}, <{width} x i1> {mask}, {t} {fill})")

    def contiguous_load(self, s: Load, scalars, masks, fill) -> list[Register]:
        c, w, d = self.context, self.width, s.dtype
        pointers, regs = self.lane_pointers(s.param, s.index, scalars, d), []
        for u in range(c.copies):
            if d in REAL_OF:
                reg = self.interleaved_load(pointers[u], d, masks[u])
            else:
                t = MEMORY_TYPES[d]
                direct = fill is not None and t == SCALAR_TYPES[d]  # the mask's fill needs no separate select
                filling = fill[u] if direct else "zeroinitializer"
                reg = self.from_memory(c.lanes, self.vector_load(pointers[u], t, w, ALIGN[d], masks[u], filling), d)
                if direct:
                    regs.append(reg)
                    continue
            if fill is not None:
                reg = c.lanes.select(masks[u], reg, fill[u], d)
            regs.append(reg)
        return regs

    def interleaved_load(self, pointer: str, dtype: str, mask: str | None) -> tuple[str, str]:
        w, f = self.width, SCALAR_TYPES[REAL_OF[dtype]]
        both = self.vector_load(pointer, f, 2 * w, ALIGN[dtype], self.doubled(mask), "zeroinitializer")
        t, pick = f"<{2 * w} x {f}>", f"<{w} x i32>"
        return tuple(
            self.fn.emit(
                f"shufflevector {t} {both}, {t} poison, {pick} <{', '.join([f'i32 {2 * i + k}' for i in range(w)])}>"
            )
            for k in (0, 1)
        )

    def doubled(self, mask: str | None) -> str | None:
        """A mask for (re, im) pairs."""
        if mask is None:
            return None
        w = self.width
        pick = ", ".join([f"i32 {i // 2}" for i in range(2 * w)])
        return self.fn.emit(f"shufflevector <{w} x i1> {mask}, <{w} x i1> poison, <{2 * w} x i32> <{pick}>")

    def reversed_load(self, s: Load, scalars) -> list[Register]:
        c, fn, w, t = self.context, self.fn, self.width, MEMORY_TYPES[s.dtype]
        base = self.pointer(s.param, s.index.offset, scalars)
        back = fn.emit(f"sub i64 {1 - w}, {c.base}")
        first = fn.emit(f"getelementptr {t}, ptr {base}, i64 {back}")
        v, regs = f"<{w} x {t}>", []
        order = f"<{w} x i32> <{', '.join([f'i32 {w - 1 - i}' for i in range(w)])}>"
        for u in range(c.copies):
            at = first if u == 0 else fn.emit(f"getelementptr {t}, ptr {first}, i64 {-u * w}")
            r = fn.emit(f"load {v}, ptr {at}, align {ALIGN[s.dtype]}")
            r = fn.emit(f"shufflevector {v} {r}, {v} poison, {order}")
            regs.append(self.from_memory(c.lanes, r, s.dtype))
        return regs

    def gather(self, s: Load, scalars, lanes, stride, masks, fill) -> list[Register]:
        c, w, d = self.context, self.width, s.dtype
        regs = []
        for u, at in enumerate(self.gather_pointers(s.param, s.index, scalars, lanes, stride, d in REAL_OF)):
            if d in REAL_OF:
                f = SCALAR_TYPES[REAL_OF[d]]
                im = self.fn.emit(f"getelementptr {f}, <{w} x ptr> {at}, i64 1")
                reg = tuple(self.vector_gather(p, f, ALIGN[d], masks[u]) for p in (at, im))
            else:
                reg = self.from_memory(c.lanes, self.vector_gather(at, MEMORY_TYPES[d], ALIGN[d], masks[u]), d)
            if fill is not None:
                reg = c.lanes.select(masks[u], reg, fill[u], d)
            regs.append(reg)
        return regs

    def vector_gather(self, pointers: str, scalar_type: str, align: int, mask: str | None) -> str:
        w = self.width
        t, name = f"<{w} x {scalar_type}>", f"llvm.masked.gather.{type_suffix(w, scalar_type)}.v{w}p0"
        self.module.declared.setdefault(name, f"declare {t} @{name}(<{w} x ptr>, <{w} x i1>, {t})")
        mask = mask or constant("i1", True, w)
        return self.fn.emit(
            f"call {t} @{name}(<{w} x ptr> align {align} {pointers}, <{w} x i1> {mask}, {t} zeroinitializer)"
        )

    # ---- stores ----

    def store(self, s: Store) -> None:
        c = self.context
        d = self.pointers[s.param][1]
        scalars, lanes, stride = self.split(s.index)
        if c is None or (stride == 0 and not lanes):
            if c is not None and (self.is_lanes(s.value) or (s.mask is not None and self.is_lanes(s.mask))):
                raise NestError(
                    f"nest {self.nest.name!r}: all lanes of the vector loop over {c.loop.var!r} store to one element of "
                    f"{s.param!r}"
                )
            self.scalar_store(s, scalars, d)
            return
        values, masks = self.lane_regs(s.value), self.lane_mask(s.mask)
        if not lanes and stride == 1:
            for u, at in enumerate(self.lane_pointers(s.param, s.index, scalars, d)):
                if d in REAL_OF:
                    self.interleaved_store(at, values[u], d, masks[u])
                else:
                    reg = self.to_memory(c.lanes, values[u], d)
                    self.vector_store(at, reg, MEMORY_TYPES[d], self.width, ALIGN[d], masks[u])
            return
        for u, at in enumerate(self.gather_pointers(s.param, s.index, scalars, lanes, stride, d in REAL_OF)):
            if d in REAL_OF:
                f = SCALAR_TYPES[REAL_OF[d]]
                im = self.fn.emit(f"getelementptr {f}, <{self.width} x ptr> {at}, i64 1")
                for p, v in zip((at, im), values[u], strict=True):
                    self.vector_scatter(p, v, f, ALIGN[d], masks[u])
            else:
                self.vector_scatter(at, self.to_memory(c.lanes, values[u], d), MEMORY_TYPES[d], ALIGN[d], masks[u])

    def scalar_store(self, s: Store, scalars, d: str) -> None:
        at = self.guarded(self.pointer(s.param, s.index.offset, scalars), s.mask)
        value = self.lookup(s.value).regs[0]
        if d in REAL_OF:
            r = REAL_OF[d]
            im = self.fn.emit(f"getelementptr {SCALAR_TYPES[r]}, ptr {at}, i64 1")
            for p, v in zip((at, im), value, strict=True):
                self.fn.do(f"store {SCALAR_TYPES[r]} {v}, ptr {p}, align {ALIGN[r]}")
        else:
            reg = self.to_memory(self.scalar, value, d)
            self.fn.do(f"store {MEMORY_TYPES[d]} {reg}, ptr {at}, align {ALIGN[d]}")

    def vector_store(
        self, pointer: str, value: str, scalar_type: str, width: int, align: int, mask: str | None
    ) -> None:
        t = f"<{width} x {scalar_type}>"
        if mask is None:
            self.fn.do(f"store {t} {value}, ptr {pointer}, align {align}")
            return
        name = f"llvm.masked.store.{type_suffix(width, scalar_type)}.p0"
        self.module.declared.setdefault(name, f"declare void @{name}({t}, ptr, <{width} x i1>)")
        self.fn.do(f"call void @{name}({t} {value}, ptr align {align} {pointer}, <{width} x i1> {mask})")

    def interleaved_store(self, pointer: str, value: tuple[str, str], dtype: str, mask: str | None) -> None:
        w, f = self.width, SCALAR_TYPES[REAL_OF[dtype]]
        t = f"<{w} x {f}>"
        pick = ", ".join([f"i32 {i // 2 + (i % 2) * w}" for i in range(2 * w)])
        both = self.fn.emit(f"shufflevector {t} {value[0]}, {t} {value[1]}, <{2 * w} x i32> <{pick}>")
        self.vector_store(pointer, both, f, 2 * w, ALIGN[dtype], self.doubled(mask))

    def vector_scatter(self, pointers: str, value: str, scalar_type: str, align: int, mask: str | None) -> None:
        w = self.width
        t, name = f"<{w} x {scalar_type}>", f"llvm.masked.scatter.{type_suffix(w, scalar_type)}.v{w}p0"
        self.module.declared.setdefault(name, f"declare void @{name}({t}, <{w} x ptr>, <{w} x i1>)")
        mask = mask or constant("i1", True, w)
        self.fn.do(f"call void @{name}({t} {value}, <{w} x ptr> align {align} {pointers}, <{w} x i1> {mask})")

    def local(self, s: Local) -> None:
        t = MEMORY_TYPES[s.dtype]
        self.pointers[s.name] = (self.fn.alloca(f"[{s.size} x {t}]", 64), s.dtype)

    # ---- accumulators ----

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

    def select_acc(self, acc: Acc, lanes: Lanes, mask: str, a: Register, b: Register) -> Register:
        if acc.index is not None:
            return lanes.select(mask, a[0], b[0], acc.dtype), lanes.select(mask, a[1], b[1], acc.index_dtype)
        return lanes.select(mask, a, b, acc.dtype)

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

    def half_of(self, width: int, which: int):
        """The lower or upper half of a vector register."""
        half = width // 2
        pick = ", ".join([f"i32 {i + which * half}" for i in range(half)])

        def take(reg: str, t: str) -> str:
            v = f"<{width} x {t}>"
            return self.fn.emit(f"shufflevector {v} {reg}, {v} poison, <{half} x i32> <{pick}>")

        return take

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
                STATEMENTS[type(b)](self, b)
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

    # ---- accumulators around loops ----

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


class LoopHead:
    """The first block of a loop: phis for the counter, for carried values and for accumulators.

    Phis are written as placeholders and completed by ``close``, when the values that come round are known.
    """

    def __init__(self, e: Emitter, loop: Loop | While, copies: int = 0, entry: str | None = ""):
        vector = copies > 0
        self.e, self.fn = e, e.fn
        self.phis: list[tuple[int, str, str, str, list]] = []  # (line, name, type, initial, [next])
        updated = e.inspect(loop)[0]
        inside = e.context is not None
        if not vector and not inside:
            for name, kinds in updated.items():
                if "v" in kinds:
                    e.open_vectors(name, e.max_copies(loop, name))
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
            if e.context is not None:
                regs = [self.placeholder(types, e.width, r) for r in e.lane_regs(p.init)]
                value = Value(p.dtype, True, regs)
            else:
                value = Value(p.dtype, False, [self.placeholder(types, 0, e.lookup(p.init).regs[0])], True)
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


def type_suffix(width: int, scalar_type: str) -> str:
    return f"v{width}" + {"float": "f32", "double": "f64"}.get(scalar_type, scalar_type)


STATIC_SECOND = frozenset(("shift_left", "shift_right_logical", "shift_right_arithmetic", "div", "rem"))
STATEMENTS = {
    Let: Emitter.let,
    Load: Emitter.load,
    Store: Emitter.store,
    Acc: Emitter.acc,
    Update: Emitter.update,
    Loop: Emitter.loop,
    While: Emitter.while_,
    Local: Emitter.local,
}


def emit_module(nests: list[tuple[str, Nest]], target: Target | None = None) -> str:
    """LLVM IR of one module with a function per (name, nest)."""
    target = target or host_target()
    module = Module(target)
    return module.text(*[Emitter(nest, target, module, name).text() for name, nest in nests])


def helper_text(name: str, target: Target | None = None) -> str:
    """LLVM IR of a helper that a module written in this process calls."""
    return LIBRARY[target or host_target(), name]
