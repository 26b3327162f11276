"""Primitives: the instructions of a jaxpr, and the rules each of them carries.

A primitive is one object that owns everything the library knows of an operation: its type rule, its derivative, its
transpose, how it batches, its NumPy definition. No registry lives anywhere else. A rule that cannot exist is a `Refusal`
that says why, so that "missing" and "impossible" are never confused.

A primitive takes canonical arrays by position and static, hashable parameters by keyword.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax.core.notation import PLAIN, Notation
from addax.core.trace import current_trace

no_effects: frozenset = frozenset()


class Refusal:
    """A rule that is deliberately absent; calling it raises ``error`` with the reason."""

    def __init__(self, reason: str, error: type[Exception] = NotImplementedError):
        self.reason, self.error = reason, error

    def __call__(self, *_, **__):
        raise self.error(self.reason)

    def __repr__(self) -> str:
        return f"Refusal({self.reason!r})"


class Primitive:
    """One operation and its rules.

    Attributes:
      abstract_eval: ``(*avals, **params) -> aval`` (a list of avals if ``multiple_results``).
      effects: ``(*avals, **params) -> frozenset`` of the effects of one equation, or None for a pure primitive.
      jvp: ``(primals, tangents, **params) -> (primals_out, tangents_out)``; tangents may be symbolic `Zero`.
      partial_eval: ``(split, args, unknown, **params) -> outs`` for primitives that contain jaxprs: which part of
        the equation can run now and which belongs to the linear program. Others are entirely one or the other.
      transpose: ``(cotangent(s), *args, **params) -> cotangents of args``; linear args arrive as `UndefinedPrimal`.
      batch: ``(axis, args, dims, **params) -> (outs, out_dims)``.
      expand: ``(*avals, **params) -> ClosedJaxpr``, the plain program behind a call-like primitive, for engines.
      reference: ``(*ndarrays, **params) -> ndarray`` in NumPy: the living definition.
      stablehlo: the operation of StableHLO that means the same, if there is one; all other lowerings stand in the engines.
      varying: ``(vmas, params) -> (vma per operand, params, vma per result)``, or None where nothing varies; see varying.py.
      scope: ``(params) -> context manager`` for primitives that bind named axes for the programs they contain.
      notation: how its equations are written, a `core.notation.Notation`.
    """

    def __init__(self, name: str, multiple_results: bool = False, cache_types: bool = True):
        self.name = name
        self.multiple_results = multiple_results
        self.abstract_eval: Callable[..., Any] = Refusal(f"{name} has no type rule")
        self.effects: Callable[..., frozenset] | None = None
        self.jvp: Callable[..., Any] = Refusal(f"{name} has no differentiation rule")
        self.partial_eval: Callable[..., Any] | None = None
        self.transpose: Callable[..., Any] = Refusal(f"{name} is not linear, so it has no transpose")
        self.batch: Callable[..., Any] = Refusal(f"{name} has no batching rule")
        self.expand: Callable[..., Any] | None = None
        self.reference: Callable[..., Any] = Refusal(f"{name} has no reference implementation")
        self.axis_rule: Any = None  # how a collective over a named batch axis batches
        self.varying: Callable[..., Any] | None = None
        self.scope: Callable[..., Any] | None = None
        self.impl: Callable[..., Any] | None = None  # of users' primitives: what a call outside of programs runs
        self.stablehlo: str | None = None
        self.notation: Notation = PLAIN
        self.eager_cache: dict[Any, Any] = {}
        self._types: dict[Any, Any] | None = {} if cache_types else None
        registry[name] = self

    def bind(self, *args, **params):
        """Apply the primitive: record it, transform it or run it, whatever the current trace does."""
        return current_trace().process(self, args, params)

    __call__ = bind

    def infer(self, avals: tuple, params: dict[str, Any]):
        """Types of the results (a tuple of avals), memoised on the interned input types and the parameters."""
        types = self._types
        if types is None:
            return self._infer(avals, params)
        try:
            key = (avals, *params.items())
            found = types.get(key)
        except TypeError:  # an unhashable parameter
            return self._infer(avals, params)
        if found is None:
            if len(types) > 4096:
                types.clear()
            found = types[key] = self._infer(avals, params)
        return found

    def _infer(self, avals, params) -> tuple:
        out = self.abstract_eval(*avals, **params)
        return tuple(out) if self.multiple_results else (out,)

    def lower(self, stablehlo: str | None = None, reference: Callable[..., Any] | None = None) -> Primitive:
        """Say what it does: ``sin.lower(stablehlo="sine", reference=np.sin)``."""
        if stablehlo is not None:
            self.stablehlo = stablehlo
        if reference is not None:
            self.reference = reference
        return self

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__

    def __reduce__(self):
        return registry.__getitem__, (self.name,)


# Every primitive by name, for the parser and for the test that walks primitives x rules.
registry: dict[str, Primitive] = {}
