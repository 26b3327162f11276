"""Values that do not depend on the arguments of a program, computed with NumPy when a rule asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Larger values are treated as unknown: a pattern must not cost more than the derivative.
LARGEST = 10_000_000


class Lazy:
    """One of the results of ``fun(*values of inputs)``, or a value."""

    __slots__ = ("_value", "fun", "index", "inputs")

    def __init__(self, fun: Callable | None, inputs: Sequence[Lazy], index: int = 0, value: Any = None):
        self.fun, self.inputs, self.index = fun, inputs, index
        self._value = value

    @staticmethod
    def of(value) -> Lazy:
        return Lazy(None, (), value=np.asarray(value))

    def force(self) -> np.ndarray:
        """The value. Without recursion: chains of values may be long."""
        stack = [self]
        while stack:
            top = stack[-1]
            if top._value is not None:
                stack.pop()
                continue
            missing = [x for x in top.inputs if x._value is None]
            if missing:
                stack += missing
                continue
            assert top.fun is not None
            with np.errstate(all="ignore"):
                top._value = np.asarray(top.fun(*(x._value for x in top.inputs))[top.index])
            top.fun, top.inputs = None, ()
        return self._value


class Memo:
    """A function of several results that its results share, so that it runs once."""

    def __init__(self, fun: Callable):
        self.fun, self.results = fun, None

    def __call__(self, *values):
        if self.results is None:
            self.results = self.fun(*values)
        return self.results
