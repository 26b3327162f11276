"""`addax.Array`: the type of every array, concrete or traced, for annotations and isinstance checks."""

from __future__ import annotations

from typing import Any

from addax import _native
from addax.core.trace import Tracer


class _ArrayMeta(type):
    def __instancecheck__(cls, x) -> bool:
        return isinstance(x, (_native.Array, Tracer))

    def __subclasscheck__(cls, sub) -> bool:
        return issubclass(sub, (_native.Array, Tracer)) or type.__subclasscheck__(cls, sub)


class Array(metaclass=_ArrayMeta):
    """An immutable n-dimensional array of one dtype on a device.

    ``isinstance(x, addax.Array)`` holds for concrete arrays and for tracers. Make arrays with `addax.numpy.array`,
    `addax.numpy.zeros` and the like; this class cannot be called. Its methods and operators are those of `numpy.ndarray`
    without the ones that would write in place; ``x.at[index].set(value)`` gives an updated copy.
    """

    def __new__(cls, *_: Any, **__: Any):
        raise TypeError("addax.Array cannot be instantiated directly: use addax.numpy.array(...)")
