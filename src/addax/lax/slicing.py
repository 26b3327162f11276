"""Windows: `slice` and `pad` at static positions, `dynamic_slice` and `dynamic_update_slice` at computed ones.

Negative start indices count from the back, as in Python. After that, starts of the dynamic functions are clamped so
that the whole window lies in the array: nothing is ever read or written outside, and no index raises an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.sizes import is_symbolic, is_symbolic_shape
from addax.core.trace import Tracer
from addax.interpreters.values import convert
from addax.lax.arguments import axis_argument, integer, integer_limits, integers, operand as _operand, shape_argument
from addax.lax.shape import expand_dims, squeeze, unstack
from addax.ops import slicing
from addax.ops.arithmetic import add
from addax.ops.comparison import lt, select_n
from addax.transforms.flat import jax_array

Array = Any

# ---------------------------------------------------------------------------------------------------------------------
# Static windows


def slice(
    operand: Array, start_indices: Sequence[int], limit_indices: Sequence[int], strides: Sequence[int] | None = None
) -> Array:
    """The window ``operand[start_0:limit_0:stride_0, ...]``, all bounds static.

    Args:
      operand: an array.
      start_indices, limit_indices: one per dimension, with ``0 <= start <= limit <= size``.
      strides: positive; 1 if None.

    Raises:
      TypeError: if the window does not lie in the array.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.slice(jnp.arange(6), (1,), (6,), (2,)).tolist()
    [1, 3, 5]
    """
    x = _operand("slice", operand)
    return slicing.slice_p.bind(
        x,
        start_indices=integers("slice", "start_indices", start_indices),
        limit_indices=integers("slice", "limit_indices", limit_indices),
        strides=None if strides is None else integers("slice", "strides", strides),
    )


def slice_in_dim(
    operand: Array, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Array:
    """`slice` along one axis: ``operand[..., start_index:limit_index:stride, ...]``.

    Args:
      operand: an array.
      start_index, limit_index: negative values count from the back; None means the end.
      stride: positive.
      axis: negative values count from the back.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.slice_in_dim(jnp.arange(5), -2, None).tolist()
    [3, 4]
    """
    name = "slice_in_dim"
    x = _operand(name, operand)
    shape = get_aval(x).shape
    d = axis_argument(name, axis, len(shape))
    start = 0 if start_index is None else integer(name, "start_index", start_index)
    limit = shape[d] if limit_index is None else integer(name, "limit_index", limit_index)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[d] = start + shape[d] if start < 0 else start
    limits[d] = limit + shape[d] if limit < 0 else limit
    strides[d] = integer(name, "stride", stride)
    return slicing.slice_p.bind(x, start_indices=tuple(starts), limit_indices=tuple(limits), strides=tuple(strides))


def index_in_dim(operand: Array, index: int, axis: int = 0, keepdims: bool = True) -> Array:
    """The sub-array at a static index along one axis; the axis stays, with size 1, unless ``keepdims`` is false.

    Raises:
      IndexError: if there is no such index.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.index_in_dim(jnp.arange(6).reshape(2, 3), -1, keepdims=False).tolist()
    [3, 4, 5]
    """
    name = "index_in_dim"
    shape = get_aval(_operand(name, operand)).shape
    d = axis_argument(name, axis, len(shape))
    i = integer(name, "index", index)
    if not -shape[d] <= i < shape[d]:
        raise IndexError(f"index {i} is out of bounds for axis {d} with size {shape[d]}")
    i += shape[d] if i < 0 else 0
    out = slice_in_dim(operand, i, i + 1, 1, d)
    return out if keepdims else squeeze(out, (d,))


def pad(operand: Array, padding_value: Array, padding_config: Sequence[tuple[int, int, int]]) -> Array:
    """Surround an array with a value, and put the value between its elements.

    Args:
      operand: an array.
      padding_value: a scalar of the same dtype.
      padding_config: for each dimension ``(low, high, interior)``: how many elements to add before, after, and between
        each two. Negative ``low`` and ``high`` remove elements, after the interior ones were added.

    Raises:
      TypeError: if the dtypes differ. ValueError: if ``padding_config`` does not fit the operand.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.pad(jnp.array([1, 2, 3]), 0, [(1, -1, 1)]).tolist()
    [0, 1, 0, 2, 0]
    """
    x = _operand("pad", operand)
    config = tuple(integers("pad", "each entry of padding_config", entry) for entry in padding_config)
    return slicing.pad.bind(x, _operand("pad", padding_value), padding_config=config)


# ---------------------------------------------------------------------------------------------------------------------
# Windows at computed positions


def dynamic_slice(
    operand: Array,
    start_indices: Array | Sequence[Array],
    slice_sizes: Sequence[int],
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Array:
    """The window of a static size at a computed position.

    Args:
      operand: ``[d_0, ..., d_n]``.
      start_indices: one integer scalar per dimension, or a vector of them. Negative ones count from the back; then
        ``start_k`` is clamped to ``[0, d_k - slice_sizes[k]]``.
      slice_sizes: the shape of the result, at most that of the operand.
      allow_negative_indices: False (or a bool per dimension) promises that starts are not negative, and saves the test.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.dynamic_slice(jnp.arange(5), (9,), (2,)).tolist()
    [3, 4]
    """
    x = _operand("dynamic_slice", operand)
    sizes = shape_argument("dynamic_slice", slice_sizes)
    starts = _starts("dynamic_slice", get_aval(x).shape, start_indices, allow_negative_indices)
    return slicing.dynamic_slice.bind(x, *starts, slice_sizes=sizes)


def dynamic_slice_in_dim(
    operand: Array, start_index: Array, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Array:
    """`dynamic_slice` along one axis: ``operand[..., start_index:start_index + slice_size, ...]``, clamped.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.dynamic_slice_in_dim(jnp.arange(5), 1, 3).tolist()
    [1, 2, 3]
    """
    name = "dynamic_slice_in_dim"
    shape = get_aval(_operand(name, operand)).shape
    d = axis_argument(name, axis, len(shape))
    starts, sizes = [0] * len(shape), list(shape)
    starts[d], sizes[d] = start_index, integer(name, "slice_size", slice_size)
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


def dynamic_index_in_dim(
    operand: Array, index: Array, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Array:
    """The sub-array at a computed index along one axis, the index clamped into bounds.

    Args:
      operand: an array.
      index: an integer scalar.
      axis: negative values count from the back.
      keepdims: whether the axis stays, with size 1.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.dynamic_index_in_dim(jnp.arange(6).reshape(2, 3), 1, keepdims=False).tolist()
    [3, 4, 5]
    """
    out = dynamic_slice_in_dim(operand, index, 1, axis, allow_negative_indices=allow_negative_indices)
    return out if keepdims else squeeze(out, (axis,))


def dynamic_update_slice(
    operand: Array,
    update: Array,
    start_indices: Array | Sequence[Array],
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Array:
    """A copy of ``operand`` with a window at a computed position replaced.

    Args:
      operand: ``[d_0, ..., d_n]``.
      update: ``[w_0, ..., w_n]`` of the same dtype, with ``w_k <= d_k``.
      start_indices: as in `dynamic_slice`, clamped to ``[0, d_k - w_k]``.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.dynamic_update_slice(jnp.zeros(4), jnp.ones(2), (1,)).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    name = "dynamic_update_slice"
    x, new = _operand(name, operand), _operand(name, update)
    starts = _starts(name, get_aval(x).shape, start_indices, allow_negative_indices)
    return slicing.dynamic_update_slice.bind(x, new, *starts)


def dynamic_update_slice_in_dim(
    operand: Array, update: Array, start_index: Array, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """`dynamic_update_slice` along one axis; ``update`` has the rank of ``operand``.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.dynamic_update_slice_in_dim(jnp.zeros((2, 2)), jnp.ones((1, 2)), 1, axis=0).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    name = "dynamic_update_slice_in_dim"
    rank = get_aval(_operand(name, operand)).ndim
    starts: list = [0] * rank
    starts[axis_argument(name, axis, rank)] = start_index
    return dynamic_update_slice(operand, update, starts, allow_negative_indices=allow_negative_indices)


def dynamic_update_index_in_dim(
    operand: Array, update: Array, index: Array, axis: int, *, allow_negative_indices: bool = True
) -> Array:
    """A copy of ``operand`` with the sub-array at a computed index along one axis replaced.

    Args:
      operand: an array.
      update: the new sub-array, without the axis, or with it.
      index: an integer scalar, clamped into bounds.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.dynamic_update_index_in_dim(jnp.zeros(3), 1.0, 2, axis=0).tolist()
    [0.0, 0.0, 1.0]
    """
    name = "dynamic_update_index_in_dim"
    rank = get_aval(_operand(name, operand)).ndim
    d = axis_argument(name, axis, rank)
    new = _operand(name, update)
    got = get_aval(new).ndim
    if got == rank - 1:
        new = expand_dims(new, (d,))
    elif got != rank:
        raise TypeError(
            f"lax.{name}: update must have the rank of the operand or one less, got update shape {get_aval(new).shape} "
            f"for operand shape {get_aval(operand).shape}."
        )
    return dynamic_update_slice_in_dim(operand, new, index, d, allow_negative_indices=allow_negative_indices)


# ---------------------------------------------------------------------------------------------------------------------
# Start indices


def _starts(name: str, shape: tuple[int, ...], starts: Any, allow_negative: bool | Sequence[bool]) -> list:
    """Start indices as scalars of one dtype, the negative ones counted from the back."""
    if not isinstance(starts, (tuple, list)) and hasattr(starts, "shape"):
        if len(starts.shape) != 1:
            raise ValueError(f"lax.{name}: start indices must be a 1D sequence, got shape {tuple(starts.shape)}.")
        starts = unstack(starts) if isinstance(starts, Tracer) else list(np.asarray(starts))
    try:
        given = [_operand(name, i) for i in starts]
    except TypeError:
        if isinstance(starts, (Sequence, np.ndarray)):
            raise
        raise TypeError(f"lax.{name}: start indices must be a sequence, one per dimension, got {starts!r}.") from None
    if len(given) != len(shape):
        raise ValueError(
            f"lax.{name}: there must be one start index per dimension of the operand, got {len(given)} for shape "
            f"{shape}."
        )
    if allow_negative is True or allow_negative is False:
        allowed: Sequence[bool] = (allow_negative,) * len(shape)
    else:
        allowed = (
            tuple(allow_negative) if isinstance(allow_negative, Sequence) else (bool(allow_negative),) * len(shape)
        )
    if len(allowed) != len(shape):
        raise ValueError(
            f"lax.{name}: allow_negative_indices must be a bool or one per dimension, got {allow_negative!r} for shape "
            f"{shape}."
        )
    dtype = _index_dtype(shape, given)
    if dtype is None:
        return given
    limits: Any = integer_limits(dtype)
    return [_start(name, i, n, a, dtype, *limits) for i, n, a in zip(given, shape, allowed, strict=True)]


def _index_dtype(shape: tuple[int, ...], starts: Sequence) -> Any:
    """The common dtype of start indices, wide enough for every size; None if they have none (the type rule says so).

    Python ints adapt to the others.
    """
    dtype = None
    for i in starts:
        if type(i) is int:
            continue
        aval = get_aval(i)
        if aval.shape or (dtype is not None and aval.dtype != dtype) or not dtypes.issubdtype(aval.dtype, np.integer):
            return None
        dtype = aval.dtype
    if dtype is None:
        return dtypes.default_int_dtype()
    # An int8 index cannot be counted from the back of 300 elements.
    fits = not shape or (not is_symbolic_shape(shape) and max(shape) <= dtypes.iinfo(dtype).max)
    return dtype if fits else dtypes.default_int_dtype()


def _start(name: str, i: Any, size: int, allow_negative: bool, dtype: Any, low: int, high: int) -> Any:
    if isinstance(i, Tracer):
        index = i if i.dtype == dtype else convert(i, dtype)
        if not allow_negative or not low:
            return index
        negative = lt.bind(index, dtype.type(0))
        return select_n.bind(
            negative, index, add.bind(index, convert(jax_array(size), dtype) if is_symbolic(size) else dtype.type(size))
        )
    if is_symbolic(i):
        return convert(jax_array(i), dtype)
    known = int(np.asarray(i)) if isinstance(i, _native.Array) else int(i)
    if known < 0 and is_symbolic(size):
        return convert(jax_array(known + size), dtype)
    if known < 0:
        if not allow_negative:
            raise ValueError(
                f"lax.{name}: start index {known} is out of bounds for a dimension of size {size}: negative ones count "
                "from the back only with allow_negative_indices=True."
            )
        known += size
    return dtype.type(min(max(known, low), high))


__all__ = [
    "dynamic_index_in_dim", "dynamic_slice", "dynamic_slice_in_dim", "dynamic_update_index_in_dim",
    "dynamic_update_slice", "dynamic_update_slice_in_dim", "index_in_dim", "pad", "slice", "slice_in_dim",
]  # fmt: skip
