"""Images as arrays of any rank: `jax.scipy.ndimage` in name and meaning."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.numpy.base import check_array_like


def _mirror(i, n: int):
    """... 2 1 | 0 1 2 ... n-1 | n-2 ..."""
    period = max(2 * (n - 1), 1)
    return abs((i + n - 1) % period - (n - 1)) if n > 1 else i * 0


def _reflect(i, n: int):
    """... 1 0 | 0 1 2 ... n-1 | n-1 ..."""
    i = i % (2 * n)
    return jnp.minimum(i, 2 * n - 1 - i)


# What an index outside the array reads.
_MODES: dict[str, Callable[..., Any]] = {
    "constant": lambda i, n: i,
    "nearest": lambda i, n: jnp.clip(i, 0, n - 1),
    "wrap": lambda i, n: i % n,
    "mirror": _mirror,
    "reflect": _reflect,
}


def map_coordinates(input, coordinates: Sequence[Any], order: int, mode: str = "constant", cval=0.0):
    """The elements of ``input`` at fractional coordinates.

    Args:
      input: an array of rank r.
      coordinates: r arrays of one shape (or an array ``[r, ...]``): where to read, along each dimension.
      order: 0, the nearest element, or 1, linear interpolation.
      mode: what lies outside: ``"constant"`` (``cval``), ``"nearest"``, ``"wrap"``, ``"mirror"`` (the edge is not
        repeated), ``"reflect"`` (it is).
      cval: the value outside for "constant".

    Returns:
      An array of the shape of the coordinates and the dtype of ``input``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.ndimage import map_coordinates
    >>> map_coordinates(jnp.array([0., 10., 20.]), [jnp.array([0.5, 1.25])], order=1).tolist()
    [5.0, 12.5]
    """
    check_array_like("map_coordinates", input, *coordinates)
    x = jnp.asarray(input)
    at = [jnp.asarray(c) for c in coordinates]
    if len(at) != x.ndim:
        raise ValueError(
            f"coordinates must be a sequence of length input.ndim, but {len(at)} != {x.ndim}: one array per dimension."
        )
    if mode not in _MODES:
        raise NotImplementedError(
            f"map_coordinates does not yet support mode {mode!r}. Currently supported modes are {set(_MODES)}."
        )
    if order not in (0, 1):
        raise NotImplementedError("map_coordinates currently requires order<=1: nearest or linear interpolation.")
    inside = _MODES[mode]
    cval = jnp.asarray(cval, x.dtype)
    choices = []  # per dimension: (index, whether it is in the array, weight)
    for c, n in zip(at, x.shape, strict=True):
        c = c if dtypes.issubdtype(c.dtype, np.floating) else c.astype(dtypes.default_float_dtype())
        if order == 0:
            # Halves to even, as lax.round of JAX does for coordinates.
            nodes = [(jnp.round(c), None)]
        else:
            low = jnp.floor(c)
            high_weight = c - low
            nodes = [(low, 1 - high_weight), (low + 1, high_weight)]
        row = []
        for node, weight in nodes:
            i = node.astype(np.int32)
            valid = (i >= 0) & (i < n) if mode == "constant" else None
            row.append((inside(i, n), valid, weight))
        choices.append(row)
    total: Any = None
    for corner in itertools.product(*choices):
        index = tuple(i for i, _, _ in corner)
        value = x[index]
        valid = None
        for _, v, _ in corner:
            valid = v if valid is None else valid if v is None else valid & v
        if valid is not None:
            value = jnp.where(valid, value, cval)
        for _, _, w in corner:
            value = value if w is None else value * w
        total = value if total is None else total + value
    if total is None:  # a scalar
        return x
    if dtypes.issubdtype(x.dtype, np.integer) and dtypes.issubdtype(total.dtype, np.inexact):
        total = jnp.round(total)
    return total.astype(x.dtype)


__all__ = ["map_coordinates"]
