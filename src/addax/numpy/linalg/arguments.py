"""What the functions of `addax.numpy.linalg` do with their arguments first."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.numpy import creation
from addax.numpy.base import as_operand, check_array_like


def asarray(x: Any, dtype=None) -> Any:
    """`addax.numpy.asarray`; the type tells the checker that arrays have all of NumPy's methods."""
    return creation.asarray(x, dtype)


def inexact(name: str, *xs) -> list[Any]:
    """The array-likes ``xs`` as arrays of their common floating or complex dtype."""
    return creation.inexact_arrays(f"linalg.{name}", *xs)


def inexact_one(name: str, x) -> Any:
    return inexact(name, x)[0]


def array(name: str, x) -> Any:
    """``x`` as an array, its dtype unchanged."""
    check_array_like(f"linalg.{name}", x)
    return asarray(as_operand(x))


def square(name: str, x):
    """``x``, which must be a stack of square matrices.

    Raises:
      ValueError: if it is not.
    """
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"linalg.{name} needs square matrices, an array of shape [..., n, n]; got {x.shape}.")
    return x


def adjoint(x):
    """The conjugate transpose."""
    x = x.mT
    return x.conj() if is_complex(x) else x


def is_complex(x) -> bool:
    return dtypes.issubdtype(x.dtype, np.complexfloating)


def eps_of(x) -> float:
    return float(dtypes.finfo(x.dtype).eps)
