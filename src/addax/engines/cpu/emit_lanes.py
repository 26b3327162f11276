"""Registers of a number of lanes: types, constants, selections."""

from __future__ import annotations

from addax.engines.cpu.emit_builder import Function, Math, constant
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF
from addax.engines.cpu.loops import Lit

Register = str | tuple[str, str]

SCALAR_TYPES = {
    "bool": "i1",
    **{f"{s}int{n}": f"i{n}" for s in ("", "u") for n in (8, 16, 32, 64)},
    **dict.fromkeys(("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float32"), "float"),
    "float64": "double",
}
"""LLVM types of register elements; complex values are two of their real type."""


class Lanes:
    """Emission context for ops on ``width`` lanes (0: scalar) of one function."""

    __slots__ = ("fn", "math32", "math64", "width")

    def __init__(self, fn: Function, width: int):
        self.fn, self.width = fn, width
        self.math32, self.math64 = Math(fn, 32, width), Math(fn, 64, width)

    def math(self, dtype: str) -> Math:
        return self.math64 if dtype in ("float64", "complex128") else self.math32

    def type(self, dtype: str) -> str:
        s = SCALAR_TYPES[dtype]
        return f"<{self.width} x {s}>" if self.width else s

    def vec(self, scalar: str) -> str:
        return f"<{self.width} x {scalar}>" if self.width else scalar

    def suffix(self, dtype: str) -> str:
        s = SCALAR_TYPES[dtype]
        s = {"float": "f32", "double": "f64"}.get(s, s)
        return f"v{self.width}{s}" if self.width else s

    def const(self, dtype: str, value) -> str:
        return constant(SCALAR_TYPES[dtype], value, self.width)

    def emit(self, text: str) -> str:
        return self.fn.emit(text)

    def select(self, mask: str, a: Register, b: Register, dtype: str) -> Register:
        if isinstance(a, tuple):
            real = REAL_OF[dtype]
            return self.select(mask, a[0], b[0], real), self.select(mask, a[1], b[1], real)
        t = self.type(dtype)
        return self.emit(f"select {self.vec('i1')} {mask}, {t} {a}, {t} {b}")

    def icmp(self, pred: str, dtype: str, a: str, b: str) -> str:
        return self.emit(f"icmp {pred} {self.type(dtype)} {a}, {b}")

    def intrinsic(self, name: str, dtype: str, *args: str) -> str:
        t = self.type(dtype)
        return self.fn.call(f"llvm.{name}.{self.suffix(dtype)}", t, *[(t, a) for a in args])


def literal(lanes: Lanes, lit: Lit) -> Register:
    d, v = lit.dtype, lit.value
    if d in REAL_OF:
        v = complex(v)
        return lanes.const(REAL_OF[d], v.real), lanes.const(REAL_OF[d], v.imag)
    kind = DTYPES[d].kind
    if kind == "f":
        return lanes.const(d, round_literal(float(v), d))
    return lanes.const(d, bool(v) if kind == "b" else int(v))


def round_literal(v: float, dtype: str) -> float:
    """Literals of narrow float types are the rounded value."""
    if dtype in ("float32", "float64"):
        return v
    import ml_dtypes
    import numpy as np

    return float(np.float32(v).astype(getattr(ml_dtypes, dtype, None) or dtype))
