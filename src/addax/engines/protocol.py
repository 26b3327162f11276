"""What an engine is: a small protocol. The device decides the engine; engines see jaxprs only."""

from __future__ import annotations

from typing import Any, Protocol

from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Primitive


class Executable(Protocol):
    """A compiled program.

    ``executable`` is what the call path runs: a native program, or a function from a list of arrays to a list of arrays.
    """

    executable: Any

    def run(self, arrays: list) -> list: ...

    def as_text(self, stage: str) -> str: ...

    def cost_analysis(self) -> dict[str, float]: ...

    def memory_analysis(self) -> Any: ...


class Engine(Protocol):
    """Compiles jaxprs for its devices and moves arrays to and from them."""

    name: str

    def devices(self) -> list: ...

    def put(self, value: Any, device: Any = None) -> Any: ...

    def get(self, array: Any) -> Any: ...

    def compile(self, closed: ClosedJaxpr, options: CompileOptions) -> Executable: ...

    def supports(self, primitive: Primitive) -> bool: ...
