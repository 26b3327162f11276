"""Writing LLVM IR text fast: buffers of lines, types of values, constants, and the arithmetic that op and math
emitters are made of.

Read ``Function`` first (where lines go, names, blocks), then ``Shape`` (how many lanes), then ``Math`` (typed
arithmetic on registers; ``vecmath*.py`` is written in it).

No LLVM pass runs on this text, only instruction selection: what is written is what runs, but for folding of single
expressions, common subexpressions inside one basic block and loop-invariant instructions, which code generation
handles.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import ClassVar

INT_MIN = {8: -(2**7), 16: -(2**15), 32: -(2**31), 64: -(2**63)}
INT_MAX = {8: 2**7 - 1, 16: 2**15 - 1, 32: 2**31 - 1, 64: 2**63 - 1}


RARE = '!0 = !{!"branch_weights", i32 1, i32 1000}'


class Buffer:
    """Lines of straight code and blocks; ``block`` is the label of the block that the next line joins, ``known`` holds
    what was computed in blocks that every way to it passes.
    """

    __slots__ = ("block", "known", "lines")

    def __init__(self, block: str = "entry"):
        self.lines: list[str] = []
        self.block = block
        self.known: dict[tuple, tuple[str, ...]] = {}


class Module:
    """What the functions of one LLVM module share: the target and the declarations."""

    def __init__(self, target):
        self.target = target
        self.declared: dict[str, str] = {}

    def declare(self, name: str, line: str) -> None:
        self.declared[name] = line

    def text(self, *functions: str) -> str:
        return "\n".join([*functions, *self.declared.values(), RARE, ""])


LIBRARY: dict[tuple, str] = {}
"""Helper functions too long to repeat in every kernel, as modules of their own: (target, name) to LLVM IR.

A kernel calls them by names that start with ``addax.``; they are compiled once, cached like kernels, and found when a
kernel is loaded (``elf.py`` leaves a slot for the address).
"""


class Function:
    """A function under construction: the current buffer, fresh names, stack slots."""

    def __init__(self, module: Module):
        self.module = module
        self.buffer = Buffer()
        self.allocas: list[str] = []
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def emit(self, text: str) -> str:
        """Append ``name = text`` and return the fresh name."""
        self.count += 1
        name = f"%t{self.count}"
        self.buffer.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        self.buffer.lines.append("  " + text)

    def new_label(self) -> str:
        self.count += 1
        return f"L{self.count}"

    def start_block(self, label: str) -> None:
        self.buffer.lines.append(f"{label}:")
        self.buffer.block = label
        self.buffer.known = {}

    def branch(self, label: str) -> None:
        self.do(f"br label %{label}")

    def branch_if(self, cond: str, yes: str, no: str) -> None:
        self.do(f"br i1 {cond}, label %{yes}, label %{no}")

    def alloca(self, type_: str, align: int = 64) -> str:
        self.count += 1
        name = f"%t{self.count}"
        self.allocas.append(f"  {name} = alloca {type_}, align {align}")
        return name

    def call(self, intrinsic: str, result: str, *args: tuple[str, str]) -> str:
        """Call ``@intrinsic`` with (type, value) arguments, declaring it."""
        declared = self.module.declared
        if intrinsic not in declared:
            declared[intrinsic] = f"declare {result} @{intrinsic}({', '.join([t for t, _ in args])})"
        return self.emit(f"call {result} @{intrinsic}({', '.join([f'{t} {v}' for t, v in args])})")


def hex_double(v: float) -> str:
    return f"0x{struct.unpack('<Q', struct.pack('<d', v))[0]:016X}"


def hex_float(v: float) -> str:
    """A float constant: LLVM wants the bits of the double that equals the rounded float."""
    try:
        return hex_double(struct.unpack("<f", struct.pack("<f", v))[0])
    except OverflowError:
        return hex_double(float("inf") if v > 0 else float("-inf"))


_CONSTANTS: dict[tuple, str] = {}


def constant(scalar_type: str, value, width: int) -> str:
    """A literal of ``scalar_type`` (float, double, i1, iN), splatted over ``width`` lanes (0: a scalar)."""
    key = (scalar_type, value, type(value), width, str(value) if value == 0 or value != value else "")
    got = _CONSTANTS.get(key)
    if got is None:
        if scalar_type == "float":
            text = hex_float(value)
        elif scalar_type == "double":
            text = hex_double(value)
        elif scalar_type == "i1":
            text = "true" if value else "false"
        else:
            bits = int(scalar_type[1:])
            value = int(value) & (2**bits - 1)
            text = str(value - 2**bits if value >= 2 ** (bits - 1) else value)
        got = _CONSTANTS[key] = f"splat ({scalar_type} {text})" if width else text
    return got


class Math:
    """Arithmetic on registers of one float type and lane count; the vocabulary of the elementary functions.

    ``bits`` is 32 or 64; ``width`` lanes, 0 for scalars. ``F``, ``I``, ``B`` are the LLVM types of its floats,
    same-width integers and masks.
    """

    _made: ClassVar[dict[tuple, tuple]] = {}

    def __init__(self, fn: Function, bits: int, width: int):
        self.fn, self.bits, self.width = fn, bits, width
        made = Math._made.get((bits, width))
        if made is None:
            f = "float" if bits == 32 else "double"
            v = (lambda t: f"<{width} x {t}>") if width else (lambda t: t)
            suffix = f"v{width}f{bits}" if width else f"f{bits}"
            made = Math._made[bits, width] = (f, v(f), v(f"i{bits}"), v("i1"), suffix, suffix.replace("f", "i"))
        self.f, self.F, self.I, self.B, self.suffix, self.isuffix = made
        self.emit = fn.emit

    # constants
    def c(self, v: float) -> str:
        return constant(self.f, v, self.width)

    def ci(self, v: int) -> str:
        return constant(f"i{self.bits}", v, self.width)

    # floats
    def add(self, a, b):
        return self.emit(f"fadd {self.F} {a}, {b}")

    def sub(self, a, b):
        return self.emit(f"fsub {self.F} {a}, {b}")

    def mul(self, a, b):
        return self.emit(f"fmul {self.F} {a}, {b}")

    def div(self, a, b):
        return self.emit(f"fdiv {self.F} {a}, {b}")

    def neg(self, a):
        return self.emit(f"fneg {self.F} {a}")

    def unary(self, intrinsic: str, a: str) -> str:
        return self.fn.call(f"llvm.{intrinsic}.{self.suffix}", self.F, (self.F, a))

    def binary(self, intrinsic: str, a: str, b: str) -> str:
        return self.fn.call(f"llvm.{intrinsic}.{self.suffix}", self.F, (self.F, a), (self.F, b))

    def abs(self, a):
        return self.unary("fabs", a)

    def sqrt(self, a):
        return self.unary("sqrt", a)

    def rint(self, a):
        return self.unary("roundeven", a)

    def floor(self, a):
        return self.unary("floor", a)

    def trunc(self, a):
        return self.unary("trunc", a)

    def copysign(self, a, b):
        return self.binary("copysign", a, b)

    def fma(self, a, b, c):
        F = self.F
        return self.fn.call(f"llvm.fma.{self.suffix}", F, (F, a), (F, b), (F, c))

    def min(self, a, b):
        """The smaller; ``b`` if either is NaN (one instruction on x86)."""
        return self.select(self.cmp("olt", a, b), a, b)

    def max(self, a, b):
        """The larger; ``b`` if either is NaN."""
        return self.select(self.cmp("ogt", a, b), a, b)

    def cmp(self, pred, a, b):
        return self.emit(f"fcmp {pred} {self.F} {a}, {b}")

    def isnan(self, a):
        return self.emit(f"fcmp uno {self.F} {a}, {a}")

    def select(self, m, a, b):
        return self.emit(f"select {self.B} {m}, {self.F} {a}, {self.F} {b}")

    def poly(self, x: str, coefficients) -> str:
        """Horner: ``coefficients`` from the constant term up."""
        r = self.c(coefficients[-1])
        for k in reversed(coefficients[:-1]):
            r = self.fma(r, x, self.c(k))
        return r

    def poly2(self, x: str, coefficients) -> str:
        """The same with two independent chains (even and odd powers): shorter latency, one more multiplication."""
        if len(coefficients) < 5:
            return self.poly(x, coefficients)
        xx = self.mul(x, x)
        even, odd = self.poly(xx, coefficients[0::2]), self.poly(xx, coefficients[1::2])
        return self.fma(odd, x, even)

    # masks
    def mand(self, a, b):
        return self.emit(f"and {self.B} {a}, {b}")

    def mor(self, a, b):
        return self.emit(f"or {self.B} {a}, {b}")

    def mnot(self, a):
        return self.emit(f"xor {self.B} {a}, {constant('i1', True, self.width)}")

    def any(self, m: str) -> str:
        """An i1: whether any lane of ``m`` is true."""
        if not self.width:
            return m
        return self.fn.call(f"llvm.vector.reduce.or.v{self.width}i1", "i1", (self.B, m))

    # same-width integers
    def bitsof(self, a):
        return self.emit(f"bitcast {self.F} {a} to {self.I}")

    def frombits(self, a):
        return self.emit(f"bitcast {self.I} {a} to {self.F}")

    def i(self, op: str, a, b):
        """Integer ``op``: add, sub, mul, and, or, xor, shl, lshr, ashr."""
        return self.emit(f"{op} {self.I} {a}, {b}")

    def icmp(self, pred, a, b):
        return self.emit(f"icmp {pred} {self.I} {a}, {b}")

    def iselect(self, m, a, b):
        return self.emit(f"select {self.B} {m}, {self.I} {a}, {self.I} {b}")

    def tofloat(self, a):
        return self.emit(f"sitofp {self.I} {a} to {self.F}")

    # precision changes
    def wide(self) -> Math:
        return Math(self.fn, 64, self.width)

    def widen(self, a):
        return self.emit(f"fpext {self.F} {a} to {self.wide().F}")

    def narrow_from(self, a):
        return self.emit(f"fptrunc {self.wide().F} {a} to {self.F}")

    # control and helpers
    def once(self, body: Callable[..., tuple[str, ...]], x: str) -> tuple[str, ...]:
        """``body(self, x)``, computed at the first call only. For bodies with a branch in them: repetitions in one block
        are found by code generation, this one they would hide.
        """
        key, known = (body, self.bits, self.width, x), self.fn.buffer.known
        got = known.get(key)
        if got is None:
            got = known[key] = body(self, x)
        return got

    def where_rare(
        self, mask: str, common: tuple[str, ...], types: tuple[str, ...], rare: Callable[[], tuple[str, ...]]
    ):
        """Values that ``rare()`` computes, on a branch taken only if any lane of ``mask`` is true; else ``common``."""
        fn = self.fn
        any_ = self.any(mask)
        here, cold, join, known = fn.buffer.block, fn.new_label(), fn.new_label(), fn.buffer.known
        fn.do(f"br i1 {any_}, label %{cold}, label %{join}, !prof !0")
        fn.start_block(cold)
        values = rare()
        end = fn.buffer.block
        fn.branch(join)
        fn.start_block(join)
        fn.buffer.known = known
        return tuple(
            self.emit(f"phi {t} [ {c}, %{here} ], [ {v}, %{end} ]")
            for t, c, v in zip(types, common, values, strict=True)
        )

    def outlined(self, name: str, body: Callable[..., str], *args: str) -> str:
        """Call a shared helper that computes ``body(math, *args)``, for functions too long to repeat in every
        kernel.
        """
        full = self._helper(name, body, len(args), 1)
        return self.emit(f"call {self.F} @{full}({', '.join([f'{self.F} {a}' for a in args])})")

    def outlined_pair(self, name: str, body: Callable[..., tuple[str, str]], *args: str) -> tuple[str, str]:
        """The same for helpers with two results."""
        full, two = self._helper(name, body, len(args), 2), f"{{ {self.F}, {self.F} }}"
        both = self.emit(f"call {two} @{full}({', '.join([f'{self.F} {a}' for a in args])})")
        return self.emit(f"extractvalue {two} {both}, 0"), self.emit(f"extractvalue {two} {both}, 1")

    def _helper(self, name: str, body: Callable, n_args: int, n_results: int) -> str:
        """Declare a helper, and write it if the library lacks it."""
        module, full, type_ = self.fn.module, f"addax.{name}.{self.suffix}", self.F
        if n_results == 2:
            type_ = f"{{ {self.F}, {self.F} }}"
        module.declare(full, f"declare {type_} @{full}({', '.join([self.F] * n_args)})")
        if (module.target, full) in LIBRARY:
            return full
        own = Module(module.target)
        sub = Function(own)
        names = [f"%a{i}" for i in range(n_args)]
        result = body(Math(sub, self.bits, self.width), *names)
        if n_results == 2:
            half = sub.emit(f"insertvalue {type_} poison, {self.F} {result[0]}, 0")
            result = sub.emit(f"insertvalue {type_} {half}, {self.F} {result[1]}, 1")
        arguments = ", ".join([f"{self.F} {n}" for n in names])
        lines = [f"define {type_} @{full}({arguments}) nounwind {{", "entry:", *sub.allocas, *sub.buffer.lines]
        LIBRARY[module.target, full] = own.text(*lines, f"  ret {type_} {result}\n}}")
        return full
