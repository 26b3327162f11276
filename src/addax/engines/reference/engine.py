"""The reference engine behind the engine protocol."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax import _native
from addax.core.avals import get_aval
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Primitive, Refusal
from addax.engines.devices import cpu_device
from addax.engines.reference.interpret import CONTROL, evaluate


class ReferenceExecutable:
    """A program that is evaluated, not compiled."""

    def __init__(self, closed: ClosedJaxpr):
        self._closed = closed

    @property
    def executable(self):
        return self.run

    def run(self, arrays: list) -> list:
        outs = evaluate(self._closed, [np.asarray(getattr(x, "_value", x)) for x in arrays])
        return [
            _native.array_from_numpy(np.ascontiguousarray(y), a)
            for y, a in zip(outs, self._closed.out_avals, strict=True)
        ]

    __call__ = run

    def as_text(self, stage: str = "jaxpr") -> str:
        if stage != "jaxpr":
            raise ValueError(f"the reference engine runs the jaxpr itself; there is no stage {stage!r}")
        return str(self._closed)

    def cost_analysis(self) -> dict[str, float]:
        return {}

    def memory_analysis(self) -> None:
        return None


class ReferenceEngine:
    """NumPy, one primitive at a time."""

    name = "reference"

    def devices(self) -> list:
        return [cpu_device]

    def put(self, value: Any, device: Any = None) -> Any:
        return _native.array_from_numpy(np.asarray(value), get_aval(value))

    def get(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def compile(self, closed: ClosedJaxpr, options: CompileOptions) -> ReferenceExecutable:
        return ReferenceExecutable(closed)

    def supports(self, primitive: Primitive) -> bool:
        known = primitive.name in CONTROL or primitive.expand is not None
        return known or not isinstance(primitive.reference, Refusal)


reference_engine = ReferenceEngine()
