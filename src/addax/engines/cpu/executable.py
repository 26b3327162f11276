"""The engine's face: `CpuEngine` compiles, `CpuExecutable` runs and explains itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import _native
from addax.core.avals import get_aval
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Primitive, Refusal
from addax.core.sharding import Sharding, SingleDeviceSharding
from addax.engines.costs import cost_of
from addax.engines.cpu import objects
from addax.engines.cpu.fuse import LAYOUT
from addax.engines.cpu.lower import RULES, nbytes
from addax.engines.cpu.lower_elementwise import REDUCTIONS, RENAMED, SAME
from addax.engines.cpu.lower_indexed import READS
from addax.engines.cpu.program import Assembled, assemble
from addax.engines.cpu.render import render_steps
from addax.engines.devices import cpu_device
from addax.engines.memory_use import MemoryAnalysis


class CpuExecutable:
    """A compiled program. ``executable`` is the native program the call path runs without entering Python."""

    __slots__ = ("_assembled", "_closed", "executable")

    def __init__(self, closed: ClosedJaxpr, assembled: Assembled):
        self.executable = assembled.program
        self._assembled, self._closed = assembled, closed

    def run(self, arrays: list) -> list:
        """Run on a list of array-likes whose types are those compiled for."""
        args = [_as_array(x, a) for x, a in zip(arrays, self._closed.in_avals, strict=True)]
        return self.executable(args)

    __call__ = run

    def as_text(self, stage: str = "asm", debug_info: bool = False) -> str:
        """The program at a stage: "jaxpr", "simplified", "loops", "llvm" or "asm"; or "stablehlo" (with ``debug_info`` its
        locations, too), and "hlo", as the XLA engine would have it."""
        if stage in ("stablehlo", "hlo"):
            from addax.engines.xla.inspect import text  # an engine of its own, loaded when asked for

            return text(self._closed, stage, debug_info=debug_info)
        if stage == "jaxpr":
            return str(self._closed)
        if stage == "simplified":
            return str(self._assembled.simplified)
        if stage == "loops":
            return render_steps(self._assembled)
        if stage in ("llvm", "asm"):
            return objects.text(self._assembled.nests, stage)
        raise ValueError(
            f'unknown stage {stage!r}; expected "jaxpr", "simplified", "loops", "llvm", "asm", "stablehlo" or "hlo"'
        )

    @property
    def in_shardings(self) -> list[Sharding]:
        return [SingleDeviceSharding(cpu_device)] * len(self._closed.in_avals)

    @property
    def out_shardings(self) -> list[Sharding]:
        return [SingleDeviceSharding(cpu_device)] * len(self._closed.out_avals)

    def cost_analysis(self) -> dict[str, float]:
        """What engines/costs.py counts in the simplified program, and an estimate of the seconds on one thread."""
        counted = cost_of(self._assembled.simplified).as_dict()
        return counted | {"optimal_seconds": self.executable.estimated_ns * 1e-9}

    def memory_analysis(self) -> MemoryAnalysis:
        def total(avals) -> int:
            return sum(map(nbytes, avals))

        made = self._assembled
        return MemoryAnalysis(
            total(self._closed.in_avals), total(self._closed.out_avals), self.executable.arena_bytes,
            total(v.aval for v in made.simplified.jaxpr.constvars), made.alias_bytes, objects.code_size(made.nests),
        )  # fmt: skip


def _as_array(x: Any, aval) -> Any:
    if isinstance(x, _native.Array):
        return x
    return _native.array_from_numpy(np.asarray(x, aval.dtype), aval)


class CpuEngine:
    """Native code for this machine's CPU."""

    name = "cpu"

    def devices(self) -> list:
        return [cpu_device]

    def put(self, value: Any, device: Any = None) -> Any:
        if isinstance(value, _native.Array):
            return value
        return _native.array_from_numpy(np.asarray(value), get_aval(value))

    def get(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def compile(self, closed: ClosedJaxpr, options: CompileOptions) -> CpuExecutable:
        """Compile a program.

        Raises:
          NotImplementedError: naming a primitive that has neither a lowering nor a NumPy definition.
          ValueError: for compiler options that are none of XLA's, which mean nothing here; this engine has none.
        """
        for name, _ in options.compiler_options:
            if not name.startswith("xla_"):
                raise ValueError(
                    f"No such compile option: {name!r}. The CPU engine has none; XLA's (xla_...) act where XLA compiles."
                )
        return CpuExecutable(closed, assemble(closed, options))

    def supports(self, primitive: Primitive) -> bool:
        """Whether programs with this primitive can be compiled, natively or by a host step."""
        return self.is_native(primitive) or not isinstance(primitive.reference, Refusal)

    def is_native(self, primitive: Primitive) -> bool:
        """Whether the primitive runs without entering Python (at the common dtypes)."""
        name = primitive.name
        tables = (RULES, LAYOUT, READS, REDUCTIONS, RENAMED, SAME)
        return primitive.expand is not None or any(name in table for table in tables)


cpu_engine = CpuEngine()
