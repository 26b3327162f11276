"""Changing shapes without changing elements: reshape, transpose, broadcast, flip, roll."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.avals import get_aval
from addax.core.sizes import as_size
from addax.core.trace import Tracer
from addax.interpreters.values import broadcast_in_dim, expand_dims as _expand
from addax.lax import shape as lax_shape
from addax.lax.sharding import place
from addax.numpy.base import (
    as_operand,
    canonical_axes,
    canonical_axis,
    canonical_shape,
    check_array_like,
)
from addax.numpy.creation import asarray


def _array(name: str, x) -> Any:
    check_array_like(name, x)
    return asarray(as_operand(x))


def reshape(a, shape, order: str = "C", *, copy: bool | None = None, out_sharding=None) -> Any:
    """The elements of ``a`` in another shape; one size may be -1 and is worked out.

    Raises:
      TypeError: if the sizes do not multiply to the number of elements.

    >>> import addax.numpy as jnp
    >>> jnp.reshape(jnp.arange(6), (2, -1))
    Array([[0, 1, 2],
           [3, 4, 5]], dtype=int32)
    """
    if out_sharding is not None:
        return place(reshape(a, shape, order), out_sharding)
    a = _array("reshape", a)
    shape = _new_shape(a, shape)
    if order == "C":
        return lax_shape.reshape(a, shape)
    if order == "F":
        reverse = lax_shape.transpose(a, range(a.ndim)[::-1])
        out = lax_shape.reshape(reverse, shape[::-1])
        return lax_shape.transpose(out, range(len(shape))[::-1])
    if order == "A":
        raise NotImplementedError("reshape: order='A' is not implemented: say 'C' or 'F'.")
    raise ValueError(f"Unexpected value for 'order' argument: {order}; expected 'C' or 'F'.")


def _new_shape(a, shape) -> tuple[int, ...]:
    items = tuple(shape) if isinstance(shape, (tuple, list)) or getattr(shape, "ndim", 0) else (shape,)
    for d in items:
        if isinstance(d, Tracer):
            canonical_shape(items)  # raises, saying why a traced size cannot be
    sizes = [as_size(d) for d in items]
    if sizes.count(-1) > 1:
        raise TypeError(f"reshape: only one size can be -1, got {tuple(sizes)}")
    known = math.prod(d for d in sizes if d != -1)
    if -1 in sizes:
        if known == 0 or a.size % known:
            raise TypeError(f"cannot reshape array of shape {a.shape} (size {a.size}) into shape {tuple(sizes)}")
        sizes[sizes.index(-1)] = a.size // known
    elif known != a.size or any(d < 0 for d in sizes):
        raise TypeError(
            f"cannot reshape array of shape {a.shape} (size {a.size}) into shape {tuple(sizes)} (size {known})"
        )
    return tuple(sizes)


def ravel(a, order: str = "C", *, out_sharding=None) -> Any:
    """``a`` as one dimension."""
    if order == "K":
        raise NotImplementedError("Ravel not implemented for order='K'.")
    a = _array("ravel", a)
    return reshape(a, (a.size,), order, out_sharding=out_sharding)


def transpose(a, axes: Sequence[int] | None = None) -> Any:
    """The dimensions in the order ``axes``, or reversed.

    >>> import addax.numpy as jnp
    >>> jnp.transpose(jnp.ones((2, 3))).shape
    (3, 2)
    """
    a = _array("transpose", a)
    order = tuple(range(a.ndim))[::-1] if axes is None else tuple(canonical_axis(i, a.ndim) for i in axes)
    if sorted(order) != list(range(a.ndim)):
        raise TypeError(f"transpose: axes {axes} is not a permutation of the {a.ndim} dimensions of shape {a.shape}")
    return lax_shape.transpose(a, order)


def permute_dims(a, /, axes: Sequence[int]) -> Any:
    """The dimensions in the order ``axes``: `transpose` by the name of the Array API."""
    return transpose(a, axes)


def matrix_transpose(x, /):
    """The last two dimensions exchanged."""
    x = _array("matrix_transpose", x)
    if x.ndim < 2:
        raise ValueError(f"x must be at least two-dimensional for matrix_transpose; got ndim={x.ndim}")
    return lax_shape.transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def swapaxes(a, axis1: int, axis2: int):
    """Two dimensions exchanged."""
    a = _array("swapaxes", a)
    order = list(range(a.ndim))
    i, j = canonical_axis(axis1, a.ndim), canonical_axis(axis2, a.ndim)
    order[i], order[j] = order[j], order[i]
    return lax_shape.transpose(a, order)


def moveaxis(a, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Dimensions ``source`` moved to the positions ``destination``; the others keep their order."""
    a = _array("moveaxis", a)
    src = [canonical_axis(i, a.ndim) for i in (source if isinstance(source, (tuple, list)) else (source,))]
    dst = [
        canonical_axis(i, a.ndim) for i in (destination if isinstance(destination, (tuple, list)) else (destination,))
    ]
    if len(src) != len(dst):
        raise ValueError(f"Inconsistent number of elements: {len(src)} vs {len(dst)}")
    order = [i for i in range(a.ndim) if i not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return lax_shape.transpose(a, order)


def rollaxis(a, axis: int, start: int = 0):
    """Dimension ``axis`` moved before dimension ``start``."""
    a = _array("rollaxis", a)
    axis = canonical_axis(axis, a.ndim)
    if not -a.ndim <= start <= a.ndim:
        raise ValueError(f"start={start} must satisfy {-a.ndim}<=start<={a.ndim}")
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - 1 if start > axis else start)


def squeeze(a, axis: int | Sequence[int] | None = None) -> Any:
    """Dimensions of size 1 removed: all, or those in ``axis``."""
    a = _array("squeeze", a)
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else canonical_axes(axis, a.ndim)
    for i in axes:
        if a.shape[i] != 1:
            raise ValueError(
                f"cannot select an axis to squeeze out which has size not equal to one, got shape={a.shape} and "
                f"dimensions={tuple(axes)}"
            )
    return lax_shape.squeeze(a, tuple(axes)) if len(axes) else a


def expand_dims(a, axis: int | Sequence[int]) -> Any:
    """Dimensions of size 1 inserted so that they stand at ``axis`` in the result.

    >>> import addax.numpy as jnp
    >>> jnp.expand_dims(jnp.ones(3), 0).shape
    (1, 3)
    """
    a = _array("expand_dims", a)
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    rank = a.ndim + len(axes)
    where = tuple(canonical_axis(i, rank) for i in axes)
    if len(set(where)) != len(where):
        raise ValueError(f"repeated axis in expand_dims: {axis}")
    return _expand(a, where) if where else a


def broadcast_to(array, shape, *, out_sharding=None) -> Any:
    """``array`` stretched to ``shape`` by NumPy's rule.

    >>> import addax.numpy as jnp
    >>> jnp.broadcast_to(jnp.arange(2), (2, 2)).tolist()
    [[0, 1], [0, 1]]
    """
    if out_sharding is not None:
        return place(broadcast_to(array, shape), out_sharding)
    array = _array("broadcast_to", array)
    shape = canonical_shape(shape)
    old = array.shape
    if old == shape:
        return array
    lead = len(shape) - len(old)
    if lead < 0 or any(n not in (1, m) for n, m in zip(old, shape[lead:], strict=True)):
        raise ValueError(
            f"Incompatible shapes for broadcasting: {old} and requested shape {shape}. Dimensions are aligned on the "
            "right and must be equal or 1."
        )
    kept = [i for i, n in enumerate(old) if n == shape[lead + i]]
    if len(kept) < len(old):
        array = lax_shape.reshape(array, [old[i] for i in kept])
    return broadcast_in_dim(array, shape, [lead + i for i in kept])


def broadcast_shapes(*shapes):
    """The shape that arrays of these shapes broadcast to."""
    full = [canonical_shape(s) for s in shapes]
    try:
        return np.broadcast_shapes(*full)
    except ValueError:
        raise ValueError(
            f"broadcast_shapes got incompatible shapes for broadcasting: {', '.join(map(str, full))}. Dimensions are "
            "aligned on the right and must be equal or 1."
        ) from None


def broadcast_arrays(*args):
    """The arguments, all in their common shape."""
    arrays = [_array("broadcast_arrays", a) for a in args]
    shape = broadcast_shapes(*(a.shape for a in arrays))
    return [broadcast_to(a, shape) for a in arrays]


def flip(m, axis: int | Sequence[int] | None = None):
    """Elements in reverse order along all axes, or along ``axis``."""
    m = _array("flip", m)
    return lax_shape.rev(m, canonical_axes(axis, m.ndim))


def fliplr(m):
    """Elements in reverse order along axis 1."""
    return flip(m, 1)


def flipud(m):
    """Elements in reverse order along axis 0."""
    return flip(m, 0)


def rot90(m, k: int = 1, axes: tuple[int, int] = (0, 1)):
    """A quarter turn, ``k`` times, in the plane of ``axes``, from the first axis towards the second."""
    m = _array("rot90", m)
    a, b = (canonical_axis(i, m.ndim) for i in axes)
    if a == b:
        raise ValueError("Axes must be different")
    k = k % 4
    if k == 0:
        return m
    if k == 2:
        return flip(flip(m, a), b)
    return swapaxes(flip(m, b), a, b) if k == 1 else flip(swapaxes(m, a, b), b)


def atleast_1d(*arys) -> Any:
    """Scalars as arrays of one element."""
    return _at_least(arys, lambda a: a if a.ndim >= 1 else reshape(a, (1,)), "atleast_1d")


def atleast_2d(*arys) -> Any:
    """Arrays of fewer than two dimensions as rows."""
    return _at_least(arys, lambda a: a if a.ndim >= 2 else reshape(a, (1, -1) if a.size else (1, 0)), "atleast_2d")


def atleast_3d(*arys) -> Any:
    """Arrays with at least three dimensions: rows become (1, n, 1), matrices (m, n, 1)."""

    def widen(a):
        if a.ndim >= 3:
            return a
        return reshape(a, {0: (1, 1, 1), 1: (1, a.size, 1)}.get(a.ndim, (*a.shape, 1)))

    return _at_least(arys, widen, "atleast_3d")


def _at_least(arys, widen, name: str):
    out = [widen(_array(name, a)) for a in arys]
    return out[0] if len(out) == 1 else out


def roll(a, shift: Any, axis: int | Sequence[int] | None = None):
    """Elements moved ``shift`` places along ``axis``; those that leave at the end come in at the front."""
    a = _array("roll", a)
    if axis is None:
        return reshape(roll(ravel(a), shift, 0), a.shape)
    axes = [canonical_axis(i, a.ndim) for i in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    several = isinstance(shift, (tuple, list)) or getattr(shift, "ndim", 0) == 1
    shifts: list[Any] = [shift[k] for k in range(len(shift))] if several else [shift]
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    elif len(axes) == 1:
        axes = axes * len(shifts)
    if len(shifts) != len(axes):
        raise ValueError(
            f"roll: 'shift' and 'axis' must be scalars or sequences of equal length, got {len(shifts)} shifts for "
            f"{len(axes)} axes"
        )
    for s, i in zip(shifts, axes, strict=True):
        n = a.shape[i]
        if not n:
            continue
        if isinstance(s, Tracer):
            index = (lax_shape.iota(get_aval(s).dtype, n) - s) % n
            a = a[(slice(None),) * i + (index,)]
        elif (k := int(s) % n) != 0:
            parts = [a[(slice(None),) * i + (slice(n - k, None),)], a[(slice(None),) * i + (slice(0, n - k),)]]
            a = lax_shape.concatenate(parts, i)
    return a
