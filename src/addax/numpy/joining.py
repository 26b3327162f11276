"""Joining and cutting arrays: concatenate, stack, split, repeat, tile."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.sizes import as_size
from addax.core.trace import Tracer
from addax.interpreters.values import convert
from addax.lax import cumulative as lax_cumulative, shape as lax_shape
from addax.lax.sharding import place
from addax.numpy.base import as_operand, canonical_axis, check_array_like, no_out, promote_dtypes
from addax.numpy.creation import asarray
from addax.numpy.shapes import atleast_1d, atleast_2d, atleast_3d, broadcast_to, expand_dims, ravel, reshape


def _arrays(name: str, arrays, dtype=None) -> list:
    if hasattr(arrays, "shape") and not isinstance(arrays, (list, tuple)):
        arrays = list(arrays)
    if not len(arrays):
        raise ValueError(f"Need at least one array to {name}.")
    check_array_like(name, *arrays)
    items = [asarray(as_operand(a)) for a in arrays]
    if dtype is not None:
        dtype = dtypes.canonicalize_user_dtype(dtype, name)
        return [convert(a, dtype) for a in items]
    return [asarray(a) for a in promote_dtypes(*items)]


def concatenate(arrays, axis: int | None = 0, dtype=None):
    """Arrays joined along an existing axis (``None``: flattened first).

    >>> import addax.numpy as jnp
    >>> jnp.concatenate([jnp.zeros(1), jnp.ones(2)]).tolist()
    [0.0, 1.0, 1.0]
    """
    items = _arrays("concatenate", arrays, dtype)
    if axis is None:
        return concatenate([ravel(a) for a in items])
    ranks = {a.ndim for a in items}
    if ranks == {0}:
        raise ValueError("Zero-dimensional arrays cannot be concatenated. Did you mean stack?")
    if len(ranks) > 1:
        raise TypeError(
            "Cannot concatenate arrays with different numbers of dimensions: got "
            f"{', '.join(str(a.shape) for a in items)}. Did you mean stack?"
        )
    axis = canonical_axis(axis, items[0].ndim)
    return lax_shape.concatenate(items, axis) if len(items) > 1 else items[0]


def concat(arrays, /, *, axis: int | None = 0):
    """Arrays joined along an existing axis: `concatenate` by the name of the Array API."""
    return concatenate(arrays, axis)


def stack(arrays, axis: int = 0, out=None, dtype=None):
    """Arrays of one shape joined along a new axis.

    >>> import addax.numpy as jnp
    >>> jnp.stack([jnp.zeros(2), jnp.ones(2)]).shape
    (2, 2)
    """
    no_out("stack", out)
    items = _arrays("stack", arrays, dtype)
    shapes = {a.shape for a in items}
    if len(shapes) > 1:
        raise ValueError(f"All input arrays must have the same shape, got {', '.join(str(a.shape) for a in items)}.")
    axis = canonical_axis(axis, items[0].ndim + 1)
    return lax_shape.concatenate([expand_dims(a, axis) for a in items], axis)


def vstack(tup, dtype=None):
    """Arrays joined along axis 0, vectors as rows."""
    return concatenate([atleast_2d(a) for a in _arrays("vstack", tup)], 0, dtype)


def hstack(tup, dtype=None):
    """Arrays joined along axis 1 (vectors along axis 0)."""
    items = [atleast_1d(a) for a in _arrays("hstack", tup)]
    return concatenate(items, 0 if items[0].ndim == 1 else 1, dtype)


def dstack(tup, dtype=None):
    """Arrays joined along axis 2."""
    return concatenate([atleast_3d(a) for a in _arrays("dstack", tup)], 2, dtype)


def column_stack(tup):
    """Vectors as the columns of a matrix."""
    return concatenate([reshape(a, (-1, 1)) if a.ndim < 2 else a for a in _arrays("column_stack", tup)], 1)


def append(arr, values, axis: int | None = None):
    """``values`` joined to the end of ``arr``."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis)


def block(arrays: Any):
    """An array put together from nested lists of blocks: innermost along the last axis, outer ones before it."""

    def depth(x) -> int:
        return 1 + max(map(depth, x), default=0) if isinstance(x, list) else 0

    def check(x, level: int) -> None:
        if isinstance(x, list):
            if not x:
                raise ValueError("block: lists cannot be empty")
            for v in x:
                check(v, level + 1)
        elif level != levels:
            raise ValueError(
                f"block: mismatched list depths: blocks are {levels} lists deep, but {np.shape(x)} is an array at depth "
                f"{level}"
            )

    def rank(x) -> int:
        return max(map(rank, x)) if isinstance(x, list) else np.ndim(x)

    levels = depth(arrays)
    check(arrays, 0)
    ndim = max(levels, rank(arrays))

    def build(x, level: int):
        if not isinstance(x, list):
            a = asarray(x)
            return reshape(a, (1,) * (ndim - a.ndim) + a.shape)
        return concatenate([build(v, level + 1) for v in x], ndim - levels + level)

    return build(arrays, 0)


def split(ary, indices_or_sections: int | Sequence[int], axis: int = 0) -> list:
    """``ary`` cut along ``axis``: into equal parts, or at the given positions.

    >>> import addax.numpy as jnp
    >>> [p.tolist() for p in jnp.split(jnp.arange(4), 2)]
    [[0, 1], [2, 3]]
    """
    return _split("split", ary, indices_or_sections, axis)


def _split(name: str, ary, sections, axis: int) -> list:
    check_array_like(name, ary)
    ary = asarray(ary)
    axis = canonical_axis(axis, ary.ndim)
    n = ary.shape[axis]
    if isinstance(sections, Tracer):
        raise TypeError(f"{name}: the argument indices_or_sections must be static, got {sections}")
    if np.ndim(sections) == 0:
        whole: Any = int(sections) if isinstance(sections, float) and sections.is_integer() else sections
        count = operator.index(whole)
        if count < 1:
            raise ValueError(f"{name}: the number of parts must be positive, got {count}")
        if name == "array_split":
            small, extra = divmod(n, count)
            bounds = np.cumsum([0] + [small + 1] * extra + [small] * (count - extra)).tolist()
        else:
            if n % count:
                raise ValueError(f"array split does not result in an equal division: {n} elements into {count} parts")
            bounds = [i * (n // count) for i in range(count + 1)]
    else:
        bounds = [0, *map(as_size, sections), n]
        if any(a > b for a, b in itertools.pairwise(bounds)):
            raise ValueError(
                f"{name}: the positions must increase from 0 to the size {n} of the axis, got {bounds[1:-1]}"
            )
    return lax_shape.split(ary, [b - a for a, b in itertools.pairwise(bounds)], axis)


def array_split(ary, indices_or_sections, axis: int = 0) -> list:
    """Like `split`, for parts that need not be equal."""
    return _split("array_split", ary, indices_or_sections, axis)


def vsplit(ary, indices_or_sections) -> list:
    """`split` along axis 0."""
    return _split("vsplit", ary, indices_or_sections, 0)


def hsplit(ary, indices_or_sections) -> list:
    """`split` along axis 1 (axis 0 for vectors)."""
    return _split("hsplit", ary, indices_or_sections, 0 if np.ndim(ary) == 1 else 1)


def dsplit(ary, indices_or_sections) -> list:
    """`split` along axis 2."""
    return _split("dsplit", ary, indices_or_sections, 2)


def unstack(x, /, *, axis: int = 0) -> tuple:
    """The slices of ``x`` along ``axis``."""
    x = asarray(x)
    if x.ndim == 0:
        raise ValueError("Unstack requires arrays with rank > 0, however a scalar array was passed.")
    return lax_shape.unstack(x, canonical_axis(axis, x.ndim))


def repeat(a, repeats, axis: int | None = None, *, total_repeat_length: int | None = None, out_sharding=None):
    """Each element ``repeats`` times in a row.

    >>> import addax.numpy as jnp
    >>> jnp.repeat(jnp.array([1, 2]), 2).tolist()
    [1, 1, 2, 2]
    """
    if out_sharding is not None:
        return place(repeat(a, repeats, axis, total_repeat_length=total_repeat_length), out_sharding)
    check_array_like("repeat", a)
    a = asarray(a)
    if axis is None:
        return repeat(ravel(a), repeats, 0, total_repeat_length=total_repeat_length)
    axis = canonical_axis(axis, a.ndim)
    n = a.shape[axis]
    if not isinstance(repeats, Tracer) and np.ndim(repeats) == 0 and total_repeat_length is None:
        k = as_size(repeats)
        wide = broadcast_to(expand_dims(a, axis + 1), (*a.shape[: axis + 1], k, *a.shape[axis + 1 :]))
        return reshape(wide, (*a.shape[:axis], n * k, *a.shape[axis + 1 :]))
    if total_repeat_length is None:
        if isinstance(repeats, Tracer):
            raise TypeError(
                "repeat: with traced repeats the length of the result is unknown: give total_repeat_length."
            )
        index = np.repeat(np.arange(n), np.broadcast_to(np.asarray(repeats), (n,)))
        return a[(slice(None),) * axis + (index.astype(np.int32),)]
    # Element i starts where the repeats before it end; count the starts at or before each position.
    ends = lax_cumulative.cumsum(convert(broadcast_to(asarray(repeats), (n,)), np.dtype(np.int32)))
    position = lax_shape.iota(np.dtype(np.int32), total_repeat_length)
    index = (ends[None, :] <= position[:, None]).sum(1)
    return a[(slice(None),) * axis + (index,)]


def tile(A, reps: int | Sequence[int]):
    """``A`` repeated as a whole ``reps`` times along each axis."""
    check_array_like("tile", A)
    a = asarray(A)
    counts = tuple(reps) if isinstance(reps, (tuple, list)) else (reps,)
    counts = (1,) * (a.ndim - len(counts)) + tuple(as_size(r) for r in counts)
    a = reshape(a, (1,) * (len(counts) - a.ndim) + a.shape)
    wide = broadcast_to(
        reshape(a, [v for d in a.shape for v in (1, d)]),
        [v for r, d in zip(counts, a.shape, strict=True) for v in (r, d)],
    )
    return reshape(wide, [r * d for r, d in zip(counts, a.shape, strict=True)])
