"""Bits as bytes: packbits, unpackbits."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.lax.slicing import pad, slice_in_dim
from addax.numpy.base import as_array, canonical_axis, check_array_like
from addax.numpy.shapes import moveaxis, ravel, reshape


def _shifts(bitorder: str) -> np.ndarray:
    if bitorder not in ("little", "big"):
        raise ValueError(f"bitorder must be either 'little' or 'big', got {bitorder!r}")
    shifts = np.arange(8, dtype=np.uint8)
    return shifts if bitorder == "little" else shifts[::-1]


def _axis_error(axis: int, ndim: int) -> int:
    try:
        return canonical_axis(axis, ndim)
    except ValueError as error:
        raise IndexError(str(error)) from None


def packbits(a, axis: int | None = None, bitorder: str = "big") -> Any:
    """Eight elements each as the bits of a byte: 1 where they are not zero. The last byte is filled up with zeros.

    Args:
      a: integers or booleans; flattened if ``axis`` is None.
      bitorder: "big": the first element is the highest bit; "little": the lowest.

    >>> import addax.numpy as jnp
    >>> jnp.packbits(jnp.array([1, 0, 1])).tolist()
    [160]
    """
    check_array_like("packbits", a)
    a = as_array(a)
    if not (dtypes.issubdtype(a.dtype, np.integer) or a.dtype == np.bool_):
        raise TypeError(f"packbits: expected an array of integers or booleans, got {dtypes.dtype_name(a.dtype)}")
    shifts = _shifts(bitorder)
    if axis is None:
        a, axis = ravel(a), 0
    axis = _axis_error(axis, a.ndim)
    bits = moveaxis((a != 0).astype(np.uint8), axis, -1)
    missing = -bits.shape[-1] % 8
    if missing:
        bits = pad(bits, np.uint8(0), [(0, 0, 0)] * (bits.ndim - 1) + [(0, missing, 0)])
    bits = reshape(bits, (*bits.shape[:-1], bits.shape[-1] // 8, 8))
    return moveaxis((bits << shifts).sum(-1, dtype=np.uint8), -1, axis)


def unpackbits(a, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Any:
    """The bits of bytes, eight elements for each.

    Args:
      a: uint8; flattened if ``axis`` is None.
      count: how many bits: cut off or filled up with zeros; negative: how many to leave out at the end.
      bitorder: see `packbits`.

    >>> import addax.numpy as jnp
    >>> jnp.unpackbits(jnp.array([5], jnp.uint8)).tolist()
    [0, 0, 0, 0, 0, 1, 0, 1]
    """
    check_array_like("unpackbits", a)
    a = as_array(a)
    if a.dtype != np.uint8:
        raise TypeError(f"unpackbits: expected an array of dtype uint8, got {dtypes.dtype_name(a.dtype)}")
    shifts = _shifts(bitorder)
    if axis is None:
        a, axis = ravel(a), 0
    axis = _axis_error(axis, a.ndim)
    a = moveaxis(a, axis, -1)
    bits = (a[..., None] >> shifts) & np.uint8(1)
    bits = reshape(bits, (*a.shape[:-1], 8 * a.shape[-1]))
    if count is not None:
        size = bits.shape[-1]
        count = operator.index(count)
        count = max(size + count, 0) if count < 0 else count
        if count > size:
            bits = pad(bits, np.uint8(0), [(0, 0, 0)] * (bits.ndim - 1) + [(0, count - size, 0)])
        else:
            bits = slice_in_dim(bits, 0, count, axis=-1)
    return moveaxis(bits, -1, axis)


__all__ = ["packbits", "unpackbits"]
