"""How programs get run, as seen from below the engines.

Engines stand on the upper floors; they install themselves here when ``addax`` is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from addax.core.jaxpr import ClosedJaxpr


@dataclass(frozen=True)
class CompileOptions:
    """Everything that may change what is compiled, fixed at the jit boundary and part of every cache key."""

    device: Any = None
    donated: tuple[int, ...] = ()
    compiler_options: tuple[tuple[str, Any], ...] = ()


class Executable(Protocol):
    """A compiled program: flat list of arrays in, flat list of arrays out."""

    def __call__(self, arrays: list) -> list: ...


class Engine(Protocol):
    def compile(self, closed: ClosedJaxpr, options: CompileOptions) -> Any: ...


_compile_rule: Any = None


def set_compile_rule(rule) -> None:
    """``rule(closed_jaxpr, options) -> compiled``, with ``compiled.executable`` callable on a list of arrays."""
    global _compile_rule
    _compile_rule = rule


def compile_program(closed: ClosedJaxpr, options: CompileOptions):
    if _compile_rule is None:
        raise RuntimeError("no engine is loaded to compile programs; import addax, not its parts")
    return _compile_rule(closed, options)
