"""Addresses, loads and stores: contiguous, reversed, interleaved (complex), gathered, masked."""

from __future__ import annotations

from addax.engines.cpu.emit_builder import constant
from addax.engines.cpu.emit_convert import from_storage, to_storage
from addax.engines.cpu.emit_lanes import SCALAR_TYPES, Lanes, Register
from addax.engines.cpu.emit_operands import Operands
from addax.engines.cpu.emit_values import ALIGN, MEMORY_TYPES, Value, type_suffix
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF
from addax.engines.cpu.loops import Affine, Load, Local, Store, Sym
from addax.engines.cpu.loops_check import NestError


class Memory(Operands):
    """Statements that touch memory."""

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
        masked_lanes = s.mask is not None and (self.is_lanes(s.mask) or self.is_lanes(s.fill))
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
                    f"nest {self.nest.name!r}: all lanes of the vector loop over {c.loop.var!r} "
                    f"store to one element of {s.param!r}"
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
