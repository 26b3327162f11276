"""How the elementwise functions of `addax.lax` bind their primitives, and what they all accept.

Every function maps over arrays of one dtype; no dtype is promoted (``addax.numpy`` does that). Operands have equal
shapes, or equal ranks with sizes of 1 that stretch, or rank 0. Python scalars have the default dtype of their kind.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from addax import _native
from addax.core.primitive import Primitive
from addax.core.trace import Tracer
from addax.interpreters.values import SCALARS
from addax.lax.arguments import operand

ArrayLike = Any  # an array, a tracer, a NumPy array or scalar, a Python scalar

_VALUES = (Tracer, _native.Array)
_SCALARS = frozenset(SCALARS)


class AccuracyMode(Enum):
    """How exact a transcendental function must be: `DEFAULT` lets the compiler choose, `HIGHEST` asks for its best."""

    HIGHEST = 1
    DEFAULT = 2


class Tolerance:
    """The error a transcendental function may have: absolute, relative, or in units of the last place.

    On the CPU every function is within a few units of the last place, whatever the tolerance.
    """

    __slots__ = ("atol", "rtol", "ulps")

    def __init__(self, atol: float = 0.0, rtol: float = 0.0, ulps: int = 0):
        if min(atol, rtol, ulps) < 0:
            raise ValueError(f"Tolerances must be non-negative, got atol={atol}, rtol={rtol}, ulps={ulps}.")
        if not (atol or rtol or ulps):
            raise ValueError("At least one of atol, rtol, or ulps must be set.")
        self.atol, self.rtol, self.ulps = atol, rtol, ulps

    def __eq__(self, other) -> bool:
        return type(other) is Tolerance and (self.atol, self.rtol, self.ulps) == (other.atol, other.rtol, other.ulps)

    def __hash__(self) -> int:
        return hash((self.atol, self.rtol, self.ulps))

    def __repr__(self) -> str:
        return f"Tolerance(atol={self.atol}, rtol={self.rtol}, ulps={self.ulps})"


def apply(p: Primitive, *xs: ArrayLike, **params):
    """Bind an elementwise primitive to checked operands."""
    for x in xs:
        if not isinstance(x, _VALUES) and type(x) not in _SCALARS:
            xs = tuple(operand(p.name, x, i if len(xs) > 1 else None) for i, x in enumerate(xs))
            break
    return p.bind(*xs, **params)


def apply_with_accuracy(p: Primitive, x: ArrayLike, accuracy):
    """Bind a transcendental primitive; ``accuracy`` is part of the program only if it was asked for."""
    if accuracy is None:
        return apply(p, x)
    if not isinstance(accuracy, (AccuracyMode, Tolerance)):
        raise TypeError(f"lax.{p.name}: accuracy must be a lax.Tolerance or a lax.AccuracyMode, got {accuracy!r}")
    return apply(p, x, accuracy=accuracy)
