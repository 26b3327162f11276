"""Arrays of other libraries, without a copy, by the DLPack protocol."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.numpy.files import from_dlpack as from_dlpack


def is_supported_dtype(dtype: Any) -> bool:
    """Whether arrays of a dtype can be exchanged.

    >>> import addax
    >>> addax.dlpack.is_supported_dtype("float32"), addax.dlpack.is_supported_dtype("int4")
    (True, False)
    """
    dtype = dtypes.as_dtype(dtype)
    return dtype in _SUPPORTED


_SUPPORTED = {np.dtype(n) for n in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")}
_SUPPORTED |= {np.dtype(n) for n in ("float16", "float32", "float64", "complex64", "complex128")}
_SUPPORTED |= {np.dtype(dtypes.bfloat16)}

__all__ = ["from_dlpack", "is_supported_dtype"]
