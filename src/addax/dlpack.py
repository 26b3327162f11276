"""Arrays of other libraries, without a copy, by the DLPack protocol."""

from __future__ import annotations

from typing import Any

from addax.core import dtypes
from addax.numpy import files

_SUPPORTED = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 complex64 complex128".split()
)


def from_dlpack(external_array: Any, device: Any = None, copy: bool | None = None) -> Any:
    """`addax.numpy.from_dlpack`, with arguments by position.

    >>> import addax
    >>> import numpy as np
    >>> addax.dlpack.from_dlpack(np.arange(3, dtype=np.int32)).tolist()
    [0, 1, 2]
    """
    return files.from_dlpack(external_array, device=device, copy=copy)


def is_supported_dtype(dtype: Any) -> bool:
    """Whether arrays of a dtype can be exchanged.

    >>> import addax
    >>> addax.dlpack.is_supported_dtype("float32"), addax.dlpack.is_supported_dtype("int4")
    (True, False)
    """
    return dtypes.dtype_name(dtypes.as_dtype(dtype)) in _SUPPORTED


__all__ = ["from_dlpack", "is_supported_dtype"]
