"""Types for annotations: what functions of addax take where they say "array" or "dtype"."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from addax.array import Array


@runtime_checkable
class SupportsDType(Protocol):
    """An object with a dtype: an array, or a scalar type."""

    @property
    def dtype(self) -> np.dtype: ...


ArrayLike = Array | np.ndarray | np.bool_ | np.number | bool | int | float | complex
"""Anything that can be the argument of a function of arrays. Lists and tuples are not: wrap them in `addax.numpy.array`."""

DTypeLike = str | type[Any] | np.dtype | SupportsDType
"""Anything that names a dtype: ``"float32"``, ``np.float32``, ``np.dtype("float32")``, ``addax.numpy.bfloat16``."""

__all__ = ["ArrayLike", "DTypeLike"]
