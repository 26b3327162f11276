"""Loop nests to LLVM IR text.

The emitter is built in floors, each a class that extends the one below: ``emit_operands`` (registers of operands),
``emit_memory``, ``emit_accumulators``, ``emit_loops``, and here the ops and the function around it all. A ``Value``
is one register if it is the same for all lanes, else one register per unrolled copy of the vector loop's body.
"""

from __future__ import annotations

import re

from addax.engines.cpu.emit_builder import LIBRARY, Module, constant
from addax.engines.cpu.emit_lanes import SCALAR_TYPES
from addax.engines.cpu.emit_loops import Loops
from addax.engines.cpu.emit_ops import EMIT
from addax.engines.cpu.emit_values import Value
from addax.engines.cpu.llvm import Target, host_target
from addax.engines.cpu.loop_ops import DTYPES
from addax.engines.cpu.loops import Acc, Let, Lit, Load, Local, Loop, Nest, Stmt, Store, Update, While


class Emitter(Loops):
    """Writes one kernel."""

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
            self.statement(s)

    def statement(self, s: Stmt) -> None:
        STATEMENTS[type(s)](self, s)

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


def helpers_of(text: str, target: Target | None = None) -> list[str]:
    """The modules of the helpers that a module written in this process calls, and of those that they call."""
    found: dict[str, str] = {}
    stack = [text]
    while stack:
        for name in re.findall(r"^declare .*@(addax[.\w]+)\(", stack.pop(), re.MULTILINE):
            if name not in found:
                found[name] = helper_text(name, target)
                stack.append(found[name])
    return list(found.values())


def helper_text(name: str, target: Target | None = None) -> str:
    """LLVM IR of a helper that a module written in this process calls."""
    return LIBRARY[target or host_target(), name]
