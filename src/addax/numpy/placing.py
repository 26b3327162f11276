"""Functions that in NumPy write into an array, and here return an updated copy: put, place, fill_diagonal.

They take ``inplace=False`` to say that the caller knows: a program for NumPy that ignores the result would silently do
nothing.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from addax.core.sizes import smaller
from addax.numpy.base import as_array, check_array_like
from addax.numpy.choosing import where
from addax.numpy.creation import arange, asarray
from addax.numpy.cumulative import cumsum
from addax.numpy.editing import resize
from addax.numpy.shapes import broadcast_to, ravel, reshape


def _refuse_inplace(name: str, inplace: bool, error: type[Exception] = ValueError) -> None:
    if inplace:
        raise error(
            f"addax.numpy.{name} cannot modify arrays in-place, because arrays are immutable. Pass inplace=False and use "
            "the array that it returns."
        )


def put(a, ind, v, mode: str | None = None, *, inplace: bool = True) -> Any:
    """A copy of ``a`` whose elements at the flat positions ``ind`` are ``v``, which is repeated as needed.

    Args:
      mode: positions out of bounds are skipped (None), moved to the nearest element ("clip"), or taken modulo the
        size ("wrap").
      inplace: must be False.

    >>> import addax.numpy as jnp
    >>> jnp.put(jnp.zeros(3), jnp.array([0, 2]), 5, inplace=False).tolist()
    [5.0, 0.0, 5.0]
    """
    _refuse_inplace("put", inplace)
    check_array_like("put", a, ind, v)
    a, ind, v = as_array(a), ravel(as_array(ind)), ravel(as_array(v))
    if mode == "raise":
        raise NotImplementedError("The 'raise' mode to put is not supported: a compiled program cannot raise.")
    if mode not in (None, "wrap", "clip"):
        raise ValueError(f"put: mode should be one of 'wrap' or 'clip'; got {mode!r}")
    if not a.size or not ind.size or not v.size:
        return a
    if mode == "wrap":
        ind = ind % a.size
    elif mode == "clip":
        ind = ind.clip(0, a.size - 1)
    v = asarray(resize(v, ind.size), a.dtype)
    return reshape(ravel(a).at[ind].set(v, mode="drop"), a.shape)


def put_along_axis(arr, indices, values, axis: int | None, inplace: bool = True, *, mode: str | None = None) -> Any:
    """A copy of ``arr`` whose elements at ``indices`` along ``axis`` are ``values``: what `take_along_axis` reads.

    Args:
      indices: as many dimensions as ``arr`` (one if ``axis`` is None: of the flattened array).
      values: broadcast to ``indices``.
      inplace: must be False.
      mode: what indices out of bounds mean; see ``x.at``.

    >>> import addax.numpy as jnp
    >>> jnp.put_along_axis(jnp.zeros((2, 2)), jnp.array([[0], [1]]), 5, 1, inplace=False).tolist()
    [[5.0, 0.0], [0.0, 5.0]]
    """
    _refuse_inplace("put_along_axis", inplace)
    check_array_like("put_along_axis", arr, indices, values)
    arr, indices, values = as_array(arr), as_array(indices), as_array(values)
    shape = arr.shape
    if axis is None:
        arr, axis = ravel(arr), 0
    if arr.ndim != indices.ndim:
        raise ValueError(
            f"put_along_axis arguments 'arr' and 'indices' must have same ndim. Got {arr.ndim} and {indices.ndim}."
        )
    if not -arr.ndim <= axis < arr.ndim:
        raise ValueError(f"put_along_axis: axis {axis} is out of bounds for array of dimension {arr.ndim}")
    axis %= arr.ndim
    try:
        values = broadcast_to(values, indices.shape)
    except ValueError:
        raise ValueError(
            "put_along_axis argument 'values' must be broadcastable to 'indices'. Got shapes "
            f"{values.shape} and {indices.shape}."
        ) from None
    grid = [
        indices if d == axis else np.arange(n, dtype=np.int32).reshape([-1 if k == d else 1 for k in range(arr.ndim)])
        for d, n in enumerate(arr.shape)
    ]
    return reshape(arr.at[tuple(grid)].set(asarray(values, arr.dtype), mode=mode), shape)


def place(arr, mask, vals, *, inplace: bool = True) -> Any:
    """A copy of ``arr`` where the elements with a true ``mask`` are the elements of ``vals``, repeated as needed.

    >>> import addax.numpy as jnp
    >>> jnp.place(jnp.arange(4), jnp.arange(4) > 1, jnp.array([7, 8]), inplace=False).tolist()
    [0, 1, 7, 8]
    """
    _refuse_inplace("place", inplace)
    check_array_like("place", arr, mask, vals)
    arr, mask, vals = as_array(arr), ravel(as_array(mask)) != 0, ravel(as_array(vals))
    if mask.size != arr.size:
        raise ValueError(f"place: arr and mask must be the same size, got {arr.size} and {mask.size} elements")
    if not vals.size:
        raise ValueError("place: cannot place values from an empty array")
    if not arr.size:
        return arr
    number = (cumsum(mask.astype(np.int32)) - 1) % vals.size
    flat = where(mask, asarray(vals, arr.dtype)[number.clip(0)], ravel(arr))
    return reshape(flat, arr.shape)


def fill_diagonal(a, val, wrap: bool = False, *, inplace: bool = True) -> Any:
    """A copy of ``a`` with ``val`` on its diagonal; an array is repeated along it.

    >>> import addax.numpy as jnp
    >>> jnp.fill_diagonal(jnp.zeros((2, 2)), 3, inplace=False).tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    _refuse_inplace("fill_diagonal", inplace, NotImplementedError)
    if wrap:
        raise NotImplementedError("fill_diagonal: wrap=True is not implemented, must use wrap=False")
    check_array_like("fill_diagonal", a, val)
    a, val = as_array(a), as_array(val)
    if a.ndim < 2:
        raise ValueError(f"fill_diagonal: array must be at least 2-d, got shape {a.shape}")
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError(f"fill_diagonal: all dimensions of input must be of equal length, got shape {a.shape}")
    n = functools.reduce(smaller, a.shape)
    line = arange(n, dtype=np.int32)
    values = asarray(val, a.dtype)
    values = resize(values, n) if values.ndim else values
    return a.at[(line,) * a.ndim].set(values)


__all__ = ["fill_diagonal", "place", "put", "put_along_axis"]
