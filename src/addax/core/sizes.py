"""What stands in a shape: integers, or symbolic sizes (symbolic.py, loaded with the first of them)."""

from __future__ import annotations

import operator
from typing import Any


class SymbolicSize:
    """The class of sizes that are not known while tracing. There is one subclass, `addax.core.symbolic.Dim`."""

    __slots__ = ()


def is_symbolic(d: Any) -> bool:
    """Whether a size is symbolic."""
    return isinstance(d, SymbolicSize)


def is_symbolic_shape(shape) -> bool:
    """Whether any size of a shape is symbolic."""
    return any(isinstance(d, SymbolicSize) for d in shape)


def as_size(d: Any) -> Any:
    """A size as it stands in shapes: a Python int, or a symbolic size.

    Raises:
      TypeError: for everything else.
    """
    return d if isinstance(d, SymbolicSize) else operator.index(d)


# The larger and the smaller of two sizes. Python's `max` would ask a symbolic size for a yes or no.


def larger(a: Any, b: Any) -> Any:
    """``max(a, b)`` of sizes, symbolic if it has to be."""
    return a.maximum(b) if isinstance(a, SymbolicSize) else b.maximum(a) if isinstance(b, SymbolicSize) else max(a, b)


def smaller(a: Any, b: Any) -> Any:
    """``min(a, b)`` of sizes, symbolic if it has to be."""
    return a.minimum(b) if isinstance(a, SymbolicSize) else b.minimum(a) if isinstance(b, SymbolicSize) else min(a, b)
