"""The emitter's records: values, accumulators and the vector loop being written; how dtypes lie in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from addax.engines.cpu.emit_builder import Buffer
from addax.engines.cpu.emit_lanes import SCALAR_TYPES, Lanes, Register
from addax.engines.cpu.loop_ops import DTYPES, REAL_OF
from addax.engines.cpu.loops import Acc, Loop

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
class Shared:
    """What the copies of one vector loop's body share: values and pointers computed before the loop."""

    pre: Buffer
    values: dict[str, Value] = field(default_factory=dict)
    splats: dict[str, Register] = field(default_factory=dict)
    pointers: dict[tuple, str] = field(default_factory=dict)
    strides: dict = field(default_factory=dict)


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


def type_suffix(width: int, scalar_type: str) -> str:
    return f"v{width}" + {"float": "f32", "double": "f64"}.get(scalar_type, scalar_type)
