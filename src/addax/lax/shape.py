"""Shapes and layouts: `broadcast_in_dim`, `reshape`, `transpose`, `concatenate`, ..., and arrays made from a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval, is_valid_type
from addax.core.errors import array_summary
from addax.interpreters.values import SCALARS, shape_of
from addax.lax.arguments import (
    as_array,
    aval_of,
    axes_argument,
    axis_argument,
    check_integer,
    integer,
    integers,
    operand as _operand,
    shape_argument,
)
from addax.lax.sharding import place
from addax.ops import combine, shape as _shape
from addax.ops.convert import convert_reference
from addax.ops.random_bits import prng_impl, random_wrap
from addax.ops.rules import convert

Array = Any

# ---------------------------------------------------------------------------------------------------------------------
# Broadcasting


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to: aligned on the right, sizes equal or 1.

    Raises:
      ValueError: if they do not broadcast.

    >>> from addax import lax
    >>> lax.broadcast_shapes((2, 1), (3,), ())
    (2, 3)
    """
    if not shapes:
        raise ValueError("lax.broadcast_shapes: expected at least one shape, got none.")
    given = [shape_argument("broadcast_shapes", integers("broadcast_shapes", "a shape", s)) for s in shapes]
    rank = max(map(len, given))
    aligned = [(1,) * (rank - len(s)) + s for s in given]
    out = []
    for sizes in zip(*aligned, strict=True):
        stretched = {n for n in sizes if n != 1}
        if len(stretched) > 1:
            raise ValueError(f"Incompatible shapes for broadcasting: shapes={given}")
        out.append(stretched.pop() if stretched else 1)
    return tuple(out)


def broadcast(operand: Array, sizes: Sequence[int], *, out_sharding=None) -> Array:
    """Repeat an array along new leading dimensions.

    Args:
      operand: ``[*shape]``.
      sizes: of the new dimensions.

    Returns:
      ``[*sizes, *shape]``.

    >>> from addax import lax
    >>> lax.broadcast(1.0, (2,)).tolist()
    [1.0, 1.0]
    """
    old = aval_of("broadcast", operand).shape
    sizes = integers("broadcast", "sizes", sizes)
    dims = range(len(sizes), len(sizes) + len(old))
    return broadcast_in_dim(operand, (*sizes, *old), tuple(dims), out_sharding=out_sharding)


def broadcast_in_dim(
    operand: Array, shape: Sequence[int], broadcast_dimensions: Sequence[int], *, out_sharding=None
) -> Array:
    """Spread an array over a larger shape: ``out[i_0, ..., i_n] = operand[i at broadcast_dimensions]``.

    Args:
      operand: an array whose dimension k is 1 or ``shape[broadcast_dimensions[k]]``.
      shape: of the result.
      broadcast_dimensions: for each dimension of ``operand`` the dimension of the result it becomes.

    Where they are not increasing, the operand is transposed; JAX forgets to if the shape stays the same.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.broadcast_in_dim(jnp.array([1, 2]), (2, 3), (0,)).tolist()
    [[1, 1, 1], [2, 2, 2]]
    """
    x = _operand("broadcast_in_dim", operand)
    if out_sharding is not None:
        return place(broadcast_in_dim(x, shape, broadcast_dimensions), out_sharding)
    sizes = shape_argument("broadcast_in_dim", shape)
    dims = integers("broadcast_in_dim", "broadcast_dimensions", broadcast_dimensions)
    if len(dims) == len(shape_of(x)) and list(dims) != sorted(dims):
        order = sorted(range(len(dims)), key=dims.__getitem__)
        x, dims = transpose(x, order), tuple(dims[i] for i in order)
    if shape_of(x) == sizes and dims in ((), tuple(range(len(sizes)))):
        return as_array(x)
    return _shape.broadcast_in_dim.bind(x, shape=sizes, broadcast_dimensions=dims, sharding=None)


def broadcast_to_rank(x: Array, rank: int) -> Array:
    """Add leading dimensions of size 1 up to ``rank``; arrays of that rank or more stay as they are.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.broadcast_to_rank(jnp.ones(3), 2).shape
    (1, 3)
    """
    missing = integer("broadcast_to_rank", "rank", rank) - aval_of("broadcast_to_rank", x).ndim
    return as_array(x) if missing <= 0 else expand_dims(x, tuple(range(missing)))


def broadcast_like(arr: Array, like_arr: Array) -> Array:
    """``arr`` broadcast, as NumPy does, to the shape of ``like_arr``; its dtype stays.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.broadcast_like(1, jnp.ones((2, 3))).shape
    (2, 3)
    """
    old, new = aval_of("broadcast_like", arr).shape, aval_of("broadcast_like", like_arr).shape
    if len(old) > len(new):
        raise ValueError(f"lax.broadcast_like: cannot broadcast to fewer dimensions: from shape {old} to {new}.")
    return broadcast_in_dim(arr, new, tuple(range(len(new) - len(old), len(new))))


# ---------------------------------------------------------------------------------------------------------------------
# Same elements, another shape


def reshape(
    operand: Array, new_sizes: Sequence[int], dimensions: Sequence[int] | None = None, *, out_sharding=None
) -> Array:
    """The elements of an array, read in row-major order, in another shape.

    Args:
      operand: an array.
      new_sizes: the shape of the result, with the same number of elements. No entry may be -1; ``addax.numpy.reshape``
        works one out.
      dimensions: the order in which the dimensions of ``operand`` are read, if not the one they are in.

    Raises:
      TypeError: if the number of elements would change.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.reshape(jnp.array([[1, 2], [3, 4]]), (4,), dimensions=(1, 0)).tolist()
    [1, 3, 2, 4]
    """
    x = _operand("reshape", operand)
    if out_sharding is not None:
        return place(reshape(x, new_sizes, dimensions), out_sharding)
    sizes = shape_argument("reshape", new_sizes, " addax.numpy.reshape accepts one -1, and works it out.")
    order = None if dimensions is None else integers("reshape", "dimensions", dimensions)
    if order == tuple(range(len(shape_of(x)))):
        order = None
    if order is None and shape_of(x) == sizes:
        return as_array(x)
    return _shape.reshape.bind(x, new_sizes=sizes, dimensions=order, sharding=None)


def collapse(operand: Array, start_dimension: int, stop_dimension: int | None = None) -> Array:
    """Make one dimension of the dimensions ``start_dimension`` up to (not with) ``stop_dimension``.

    Args:
      operand: ``[d_0, ..., d_n]``.
      start_dimension, stop_dimension: as in a Python slice; without a stop, up to the last dimension.

    Returns:
      ``[d_0, ..., d_start * ... * d_(stop-1), ..., d_n]``.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.collapse(jnp.ones((2, 3, 4)), 1).shape
    (2, 12)
    """
    old = aval_of("collapse", operand).shape
    start, stop, _ = slice(start_dimension, stop_dimension).indices(len(old))
    if start > stop:
        raise ValueError(f"Invalid dimension range passed to collapse: {old}[{start_dimension}:{stop_dimension}]")
    return reshape(operand, (*old[:start], math.prod(old[start:stop]), *old[stop:]))


def transpose(operand: Array, permutation: Sequence[int] | np.ndarray) -> Array:
    """Reorder dimensions: dimension i of the result is dimension ``permutation[i]`` of the operand.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.transpose(jnp.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    x = _operand("transpose", operand)
    order = integers("transpose", "permutation", permutation)
    if order == tuple(range(len(shape_of(x)))):
        return as_array(x)
    return _shape.transpose.bind(x, permutation=order)


def squeeze(array: Array, dimensions: Sequence[int]) -> Array:
    """Remove dimensions of size 1. Negative dimensions count from the back.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.squeeze(jnp.ones((1, 3, 1)), (0, -1)).shape
    (3,)
    """
    x = _operand("squeeze", array)
    dims = tuple(sorted(axes_argument("squeeze", "dimensions", dimensions, get_aval(x).ndim)))
    if not dims:
        return as_array(x)
    return _shape.squeeze.bind(x, dimensions=dims)


def expand_dims(array: Array, dimensions: Sequence[int]) -> Array:
    """Insert dimensions of size 1 so that they stand at ``dimensions`` of the result.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.expand_dims(jnp.ones(3), (0, 2)).shape
    (1, 3, 1)
    """
    x = _operand("expand_dims", array)
    old = get_aval(x).shape
    given = integers("expand_dims", "dimensions", dimensions)
    if len(set(given)) != len(given):
        raise ValueError(f"repeated axis in lax.expand_dims: {given}")
    rank = len(old) + len(given)
    new = set(axes_argument("expand_dims", "dimensions", given, rank))
    kept = tuple(d for d in range(rank) if d not in new)
    sizes = iter(old)
    return broadcast_in_dim(x, tuple(1 if d in new else next(sizes) for d in range(rank)), kept)


def rev(operand: Array, dimensions: Sequence[int]) -> Array:
    """Reverse the order of the elements along ``dimensions``.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.rev(jnp.array([[1, 2], [3, 4]]), (1,)).tolist()
    [[2, 1], [4, 3]]
    """
    return _shape.rev.bind(_operand("rev", operand), dimensions=integers("rev", "dimensions", dimensions))


def tile(operand: Array, reps: Sequence[int]) -> Array:
    """Repeat an array ``reps[d]`` times along each dimension d, as a whole.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.tile(jnp.array([1, 2]), (2,)).tolist()
    [1, 2, 1, 2]
    """
    return _shape.tile.bind(_operand("tile", operand), reps=integers("tile", "reps", reps))


# ---------------------------------------------------------------------------------------------------------------------
# Joining and taking apart


def concatenate(operands: Array | Sequence[Array], dimension: int) -> Array:
    """Join arrays along a dimension they have.

    Args:
      operands: arrays of one dtype whose shapes agree but for ``dimension``.
      dimension: counted from the front.

    Raises:
      TypeError: if dtypes, ranks or sizes do not fit.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.concatenate([jnp.array([1, 2]), jnp.array([3])], 0).tolist()
    [1, 2, 3]
    """
    xs = _operands("concatenate", operands)
    if not xs:
        raise ValueError("concatenate requires a non-empty sequence of arrays, got none.")
    axis = integer("concatenate", "dimension", dimension)
    if len(xs) == 1:
        combine.concatenate.infer((get_aval(xs[0]),), {"dimension": axis})  # the checks
        return as_array(xs[0])
    return combine.concatenate.bind(*xs, dimension=axis)


def split(operand: Array, sizes: Sequence[int], axis: int = 0) -> list[Array]:
    """Cut an array along an axis into parts of the given sizes.

    Args:
      operand: an array.
      sizes: of the parts along ``axis``; they add up to its size.
      axis: negative values count from the back.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> [part.tolist() for part in lax.split(jnp.arange(3), (1, 2))]
    [[0], [1, 2]]
    """
    x = _operand("split", operand)
    d = axis_argument("split", axis, get_aval(x).ndim)
    return combine.split.bind(x, sizes=integers("split", "sizes", sizes), axis=d)


def stack(operands: Sequence[Array], axis: int = 0) -> Array:
    """Join arrays of one shape and dtype along a new axis.

    Args:
      operands: n arrays ``[*shape]``.
      axis: where the new axis of size n stands in the result; negative values count from the back.

    >>> from addax import lax
    >>> lax.stack((1.0, 2.0)).tolist()
    [1.0, 2.0]
    """
    xs = _operands("stack", operands)
    if not xs:
        raise ValueError("stack requires a non-empty sequence of arrays, got none.")
    return combine.stack.bind(*xs, axis=axis_argument("stack", axis, get_aval(xs[0]).ndim + 1))


def unstack(x: Array, axis: int = 0) -> tuple[Array, ...]:
    """The sub-arrays along an axis, which goes away: the inverse of `stack`.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> [row.tolist() for row in lax.unstack(jnp.array([[1, 2], [3, 4]]))]
    [[1, 2], [3, 4]]
    """
    value = _operand("unstack", x)
    return tuple(combine.unstack.bind(value, axis=axis_argument("unstack", axis, get_aval(value).ndim)))


# ---------------------------------------------------------------------------------------------------------------------
# Arrays from a shape


def full(shape: Sequence[int], fill_value: Array, dtype: Any = None, *, sharding=None) -> Array:
    """An array filled with one value.

    Args:
      shape: of the result; an int means one dimension.
      fill_value: a scalar.
      dtype: of the result; that of ``fill_value`` if None, and then a Python scalar gives a weakly typed array.

    Raises:
      TypeError: if ``fill_value`` is not a scalar.
      OverflowError: if it is a Python int that fits neither ``dtype`` nor the default int dtype.

    >>> from addax import lax
    >>> lax.full((2, 2), 7, "float32").tolist()
    [[7.0, 7.0], [7.0, 7.0]]
    """
    if sharding is not None:
        return place(full(shape, fill_value, dtype), sharding)
    sizes = shape_argument("full", shape)
    value = _operand("full", fill_value)
    if get_aval(value).shape:
        raise TypeError(
            f"full must be called with scalar fill_value, got fill_value.shape {get_aval(value).shape}. "
            "addax.numpy.broadcast_to repeats an array."
        )
    wanted = None if dtype is None else dtypes.canonicalize_user_dtype(dtype, "full")
    if type(value) is int:
        check_integer(value, dtypes.default_int_dtype() if wanted is None else wanted)
    if wanted is not None:
        value = _converted(value, wanted)
    return broadcast(value, sizes)


def full_like(x: Array, fill_value: Array, dtype: Any = None, shape: Sequence[int] | None = None, sharding=None):
    """An array filled with one value, with the shape and dtype of ``x`` where they are not given.

    Args:
      x: an array, or anything with ``shape`` and ``dtype``.
      fill_value: a scalar.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.full_like(jnp.ones(2), 3)
    Array([3., 3.], dtype=float32)
    """
    if is_valid_type(x) or not (hasattr(x, "shape") and hasattr(x, "dtype")):
        aval = aval_of("full_like", x)
        old, own_dtype, weak = aval.shape, aval.dtype, aval.weak_type
    else:
        old, own_dtype, weak = x.shape, dtypes.dtype(x), bool(getattr(x, "weak_type", False))
    weak = weak and dtype is None
    wanted = own_dtype if dtype is None else dtypes.canonicalize_user_dtype(dtype, "full_like")
    value = _operand("full_like", fill_value)
    if get_aval(value).shape:
        raise TypeError(f"full must be called with scalar fill_value, got fill_value.shape {get_aval(value).shape}.")
    return full(old if shape is None else shape, _converted(value, wanted, weak), sharding=sharding)


def zeros_like_array(x: Array) -> Array:
    """Zeros of the shape and dtype of ``x``."""
    return full_like(x, 0)


def empty(shape: Sequence[int], dtype: Any, *, out_sharding=None) -> Array:
    """An array whose contents do not matter, because all of it will be overwritten.

    >>> from addax import lax
    >>> lax.empty((2,), "float32").shape
    (2,)
    """
    if out_sharding is not None:
        return place(empty(shape, dtype), out_sharding)
    sizes = shape_argument("empty", shape)
    return _shape.empty.bind(shape=sizes, dtype=dtypes.canonicalize_user_dtype(dtype, "empty"), out_sharding=None)


def iota(dtype: Any, size: int) -> Array:
    """The numbers 0, 1, ..., size - 1.

    >>> from addax import lax
    >>> lax.iota("int32", 3).tolist()
    [0, 1, 2]
    """
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int, *, out_sharding=None) -> Array:
    """Positions along a dimension: ``out[i_0, ..., i_n] = i_dimension``.

    Args:
      dtype: integer, floating or complex.
      shape: of the result.
      dimension: the one that is counted, from the front.

    >>> from addax import lax
    >>> lax.broadcasted_iota("int32", (2, 3), 1).tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    if out_sharding is not None:
        return place(broadcasted_iota(dtype, shape, dimension), out_sharding)
    if dtype is None:
        raise ValueError("lax.iota: dtype must be specified.")
    return _shape.iota.bind(
        dtype=dtypes.canonicalize_user_dtype(dtype, "iota"),
        shape=shape_argument("iota", shape),
        dimension=integer("broadcasted_iota", "dimension", dimension),
        sharding=None,
    )


def shape_as_value(shape: Sequence[int]) -> np.ndarray:
    """A shape as an int32 vector."""
    return np.asarray(shape_argument("shape_as_value", shape), np.int32)


# ---------------------------------------------------------------------------------------------------------------------


def _operands(fun_name: str, xs) -> list:
    if get_like := getattr(xs, "aval", None):  # an array: its rows
        return list(unstack(xs)) if get_like.ndim else [xs]
    if isinstance(xs, np.ndarray):
        return list(xs)
    try:
        items = list(xs)
    except TypeError:
        raise TypeError(f"lax.{fun_name} takes a sequence of arrays, got {array_summary(xs)}.") from None
    return [_operand(fun_name, x, i) for i, x in enumerate(items)]


def _converted(value, dtype, weak: bool = False):
    """A scalar in another dtype; concrete ones without an operation in the program."""
    aval = get_aval(value)
    if dtypes.is_extended(dtype) or dtypes.is_extended(aval.dtype):
        if aval.dtype == dtype:
            return value
        if type(value) in SCALARS and value == 0 and dtypes.issubdtype(dtype, dtypes.prng_key):  # all words zero
            return random_wrap.bind(np.zeros(dtype.key_shape, np.uint32), impl=prng_impl(dtype))
        raise TypeError(
            f"cannot fill an array of {dtypes.dtype_name(dtype)} with {array_summary(value)}: "
            "keys are filled with keys."
        )
    if type(value) in SCALARS or isinstance(value, (np.generic, np.ndarray)):
        if aval.dtype == dtype and aval.weak_type == weak and type(value) in SCALARS:
            return value
        if type(value) is complex and not dtypes.issubdtype(dtype, np.complexfloating):
            raise TypeError(f"cannot fill an array of {dtypes.dtype_name(dtype)} with the complex number {value}.")
        if weak and type(value) in SCALARS:
            python_scalar = dtypes.scalar_type_of(dtype)(value)
            if get_aval(python_scalar).dtype == dtype:
                return python_scalar
        value = convert_reference(np.asarray(value), new_dtype=dtype)[()]
    return convert(value, dtype, weak)


__all__ = [
    "broadcast", "broadcast_in_dim", "broadcast_like", "broadcast_shapes", "broadcast_to_rank", "broadcasted_iota",
    "collapse", "concatenate", "empty", "expand_dims", "full", "full_like", "iota", "reshape", "rev", "shape_as_value",
    "split", "squeeze", "stack", "tile", "transpose", "unstack", "zeros_like_array",
]  # fmt: skip
