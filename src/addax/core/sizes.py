"""What stands in a shape: integers, or symbolic sizes (symbolic.py, loaded with the first of them)."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any


class SymbolicSize:
    """The class of sizes that are not known while tracing. There is one subclass, `addax.core.symbolic.Dim`."""

    __slots__ = ()

    def __lt__(self, other: Any) -> bool:
        raise NotImplementedError

    def maximum(self, other: Any) -> Any:
        raise NotImplementedError

    def minimum(self, other: Any) -> Any:
        raise NotImplementedError


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


max_dim, min_dim = larger, smaller  # JAX's names


def shared(shapes: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The shape that all of ``shapes`` broadcast to.

    Raises:
      ValueError: if there is none.
    """
    shapes = tuple(shapes)
    rank = max(map(len, shapes), default=0)
    out = []
    for i in range(rank):
        sizes = {s[i - rank + len(s)] for s in shapes if i >= rank - len(s)} - {1}
        if len(sizes) > 1:
            raise ValueError(
                f"Incompatible shapes for broadcasting: shapes={[tuple(s) for s in shapes]}. Dimensions are aligned on "
                "the right and must be equal or 1."
            )
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def slice_range(s: slice, n: Any) -> tuple[Any, Any, int, Any]:
    """``(start, stop, step, number of elements)`` of a slice of ``n`` elements, in range as `slice.indices` gives them."""
    start, stop = s.start, s.stop
    if type(n) is int and not isinstance(start, SymbolicSize) and not isinstance(stop, SymbolicSize):
        start, stop, step = s.indices(n)
        return start, stop, step, len(range(start, stop, step))
    step = 1 if s.step is None else operator.index(s.step)
    if step == 0:
        raise ValueError("slice step cannot be zero")
    low, high = (0, n) if step > 0 else (-1, n - 1)
    first, last = (low, high) if step > 0 else (high, low)

    def placed(x, default):
        if x is None:
            return default
        return smaller(larger(x + n if x < 0 else x, low), high)

    start, stop = placed(s.start, first), placed(s.stop, last)
    return start, stop, step, range_size(start, stop, step)


def range_size(start: Any, stop: Any, step: Any = 1) -> Any:
    """``len(range(start, stop, step))``"""
    if not is_symbolic_shape((start, stop, step)):
        return len(range(start, stop, step))
    distance, by = (stop - start, step) if step > 0 else (start - stop, -step)
    return larger((distance + by - 1) // by, 0)
