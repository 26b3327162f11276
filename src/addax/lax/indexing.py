"""Reading and writing at computed positions: `gather`, `scatter`, `scatter_add`, ..., in XLA's general form.

Most programs write ``x[i]`` and ``x.at[i].add(y)`` instead, which become these. Positions are described by
`GatherDimensionNumbers` and `ScatterDimensionNumbers`; what happens at those outside the array, by `GatherScatterMode`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.trace import Tracer
from addax.lax.arguments import integers, operand as _operand, shape_argument
from addax.lax.shape import full, stack
from addax.ops import scatter as scatter_ops
from addax.ops.arithmetic import add, rem
from addax.ops.comparison import lt, select_n
from addax.ops.indexing import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    default_fill_value,
    gather as gather_p,
    update_program,
)
from addax.transforms.flat import LazyDebugInfo

Array = Any


def gather(
    operand: Array,
    start_indices: Array,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: str | GatherScatterMode | None = None,
    fill_value: Any = None,
) -> Array:
    """Windows of an array at computed positions.

    For each position b of the batch, ``start_indices[b]`` is a vector of k starts, for the dimensions
    ``start_index_map`` of the operand; there a window of ``slice_sizes`` is read:
    ``out[b, w] = operand[start(b) + w]``.

    Args:
      operand: an array.
      start_indices: integers ``[*batch, k]``.
      dimension_numbers: which dimension is which, see `GatherDimensionNumbers`.
      slice_sizes: of the window, one per dimension of the operand.
      unique_indices: promises that no position is read twice.
      indices_are_sorted: promises that the starts are in increasing order.
      mode: "clip" moves windows that stick out to where they fit, "fill" reads ``fill_value`` for the whole window,
        "promise_in_bounds" (the default) promises that there are none.
      fill_value: for mode "fill"; by default NaN, the smallest signed or the largest unsigned integer, or True.

    Returns:
      ``batch`` and the window dimensions that are not collapsed, which stand at ``offset_dims``.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> rows = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
    >>> x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    >>> lax.gather(x, jnp.array([[1], [5]]), rows, (1, 2), mode="fill", fill_value=0.0).tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """
    x, indices = _operand("gather", operand), _operand("gather", start_indices)
    parsed = GatherScatterMode.PROMISE_IN_BOUNDS if mode is None else GatherScatterMode.from_any(mode)
    fill = None
    if parsed is GatherScatterMode.FILL_OR_DROP:
        fill = _fill_value(fill_value, get_aval(x).dtype)
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=_numbers("gather", GatherDimensionNumbers, dimension_numbers),
        slice_sizes=shape_argument("gather", slice_sizes),
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=parsed,
        fill_value=fill,
    )


def _fill_value(value: Any, dtype: Any) -> Any:
    """A fill value as a Python scalar, so that it can be a parameter."""
    if value is None:
        return default_fill_value(dtype)
    if isinstance(value, Tracer):
        raise TypeError(
            f"lax.gather: fill_value must be a known number, got {value}. Gather with a constant and choose afterwards "
            "with addax.numpy.where."
        )
    if dtypes.is_extended(dtype):  # a 32-bit word, repeated
        words = dtype.itemsize // 4
        return sum(int(value) << 32 * i for i in range(words))
    return np.asarray(value).item() if isinstance(value, (np.generic, np.ndarray, _native.Array)) else value


def index_take(src: Array, idxs: Sequence[Array], axes: Sequence[int]) -> Array:
    """``src[idxs[0], idxs[1], ...]`` along ``axes``, which are replaced by one leading dimension.

    Args:
      src: an array.
      idxs: for each axis n integers ``[n]``; they wrap around, in both directions.
      axes: as many axes, counted from the front.

    Returns:
      ``[n, *rest]``.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> lax.index_take(jnp.arange(6).reshape(2, 3), (jnp.array([0, -1]),), (1,)).tolist()
    [[0, 3], [2, 5]]
    """
    x = _operand("index_take", src)
    shape = get_aval(x).shape
    dims = integers("index_take", "axes", axes)
    columns = [wrapped_index(_operand("index_take", i), shape[d]) for i, d in zip(idxs, dims, strict=True)]
    if any(get_aval(i).ndim != 1 for i in columns):
        raise TypeError(
            "lax.index_take: idxs must be a sequence of vectors, one per axis, got shapes "
            f"{', '.join(str(get_aval(i).shape) for i in columns)}."
        )
    order = sorted(range(len(dims)), key=dims.__getitem__)
    numbers = GatherDimensionNumbers(
        offset_dims=tuple(range(1, len(shape) - len(dims) + 1)),
        collapsed_slice_dims=tuple(dims[i] for i in order),
        start_index_map=dims,
    )
    sizes = [1 if d in dims else n for d, n in enumerate(shape)]
    return gather(x, stack(columns, 1), numbers, sizes)


def wrapped_index(i: Array, size: int) -> Array:
    """Indices modulo the size of their dimension, never negative."""
    dtype = get_aval(i).dtype
    if not dtypes.issubdtype(dtype, np.integer):
        raise TypeError(f"lax.index_take: indices must be integers, got {dtypes.dtype_name(dtype)}.")
    size_, zero = dtype.type(size), dtype.type(0)
    rest = rem.bind(i, size_)
    return select_n.bind(lt.bind(rest, zero), rest, add.bind(rest, size_))


# ---------------------------------------------------------------------------------------------------------------------
# Scatter


def scatter(
    operand: Array,
    scatter_indices: Array,
    updates: Array,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Array:
    """A copy of an array with windows at computed positions overwritten: ``out[start(b) + w] = updates[b, w]``.

    Args:
      operand: an array.
      scatter_indices: integers ``[*batch, k]``: for each position of the batch a vector of k starts, for the dimensions
        ``scatter_dims_to_operand_dims`` of the operand.
      updates: of the operand's dtype; ``batch`` and the window dimensions, which stand at ``update_window_dims``.
      dimension_numbers: which dimension is which, see `ScatterDimensionNumbers`.
      indices_are_sorted: promises that the starts are in increasing order.
      unique_indices: promises that no element is written twice. Otherwise the last update wins, in the order of the
        batch, on the CPU engine.
      mode: "drop" (the default) skips windows that stick out of the operand, "clip" moves them to where they fit,
        "promise_in_bounds" promises that there are none.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> at = lax.ScatterDimensionNumbers(
    ...     update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))
    >>> lax.scatter(jnp.zeros(4), jnp.array([[1], [3], [9]]), jnp.array([5.0, 6.0, 7.0]), at).tolist()
    [0.0, 5.0, 0.0, 6.0]
    """
    flags = indices_are_sorted, unique_indices, mode
    return _scatter(scatter_ops.scatter, operand, scatter_indices, updates, dimension_numbers, flags)


def _scatter(primitive, operand, indices, updates, dimension_numbers, flags, combine: str | None = None, update=None):
    indices_are_sorted, unique_indices, mode = flags
    name = primitive.name.replace("-", "_")
    x, i, new = (_operand(name, v) for v in (operand, indices, updates))
    if combine is not None:
        update = update_program(combine, get_aval(x).dtype), ()
    update_jaxpr, update_consts = update or (None, ())
    return primitive.bind(
        x,
        i,
        new,
        update_jaxpr=update_jaxpr,
        update_consts=update_consts,
        dimension_numbers=_numbers(name, ScatterDimensionNumbers, dimension_numbers),
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=GatherScatterMode.from_any(mode),
    )


def _combining(name: str, combine: str, formula: str, note: str, example: str) -> Callable[..., Array]:
    """The public function of one combining scatter: they differ in nothing but the combination."""
    primitive = getattr(scatter_ops, name)

    def combining_scatter(
        operand: Array,
        scatter_indices: Array,
        updates: Array,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: str | GatherScatterMode | None = None,
    ) -> Array:
        flags = indices_are_sorted, unique_indices, mode
        return _scatter(primitive, operand, scatter_indices, updates, dimension_numbers, flags, combine)

    combining_scatter.__name__ = combining_scatter.__qualname__ = name
    combining_scatter.__doc__ = f"""Like `scatter`, but ``{formula}``. Elements hit several times combine all updates.

    {note}

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> at = lax.ScatterDimensionNumbers(
    ...     update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))
    >>> x, i = jnp.array([1.0, 2.0, 3.0]), jnp.array([[1], [1]])
    >>> lax.{name}(x, i, jnp.array([4.0, 0.5]), at).tolist()
    {example}
    """
    return combining_scatter


_SUM_NOTE = "Updates of one element are added in the order of the batch."
_TIE_NOTE = "Of equal elements, each gets the same share of the derivative."
_MUL_NOTE = "It can be differentiated with respect to the updates if ``unique_indices`` is true."

scatter_add = _combining("scatter_add", "add", "out[i] = operand[i] + updates[b]", _SUM_NOTE, "[1.0, 6.5, 3.0]")
scatter_sub = _combining("scatter_sub", "sub", "out[i] = operand[i] - updates[b]", _SUM_NOTE, "[1.0, -2.5, 3.0]")
scatter_mul = _combining("scatter_mul", "mul", "out[i] = operand[i] * updates[b]", _MUL_NOTE, "[1.0, 4.0, 3.0]")
scatter_min = _combining("scatter_min", "min", "out[i] = min(operand[i], updates[b])", _TIE_NOTE, "[1.0, 0.5, 3.0]")
scatter_max = _combining("scatter_max", "max", "out[i] = max(operand[i], updates[b])", _TIE_NOTE, "[1.0, 4.0, 3.0]")


def scatter_apply(
    operand: Array,
    scatter_indices: Array,
    func: Callable[[Array], Array],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Sequence[int] = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: str | GatherScatterMode | None = None,
) -> Array:
    """A copy of an array with a function applied at computed positions; once per occurrence of a position.

    Args:
      operand, scatter_indices, dimension_numbers, indices_are_sorted, unique_indices, mode: as for `scatter`.
      func: a function of one element that returns a scalar of its dtype.
      update_shape: the shape that ``updates`` would have.

    It has no derivative; ``x.at[i].set(f(x[i]))`` has one, and is the same where no index occurs twice.

    >>> import addax.numpy as jnp
    >>> from addax import lax
    >>> at = lax.ScatterDimensionNumbers(
    ...     update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,))
    >>> lax.scatter_apply(jnp.ones(3), jnp.array([[1], [1]]), lambda x: x + 1, at, update_shape=(2,)).tolist()
    [1.0, 3.0, 1.0]
    """
    x = _operand("scatter_apply", operand)
    dtype = get_aval(x).dtype
    element = ShapedArray((), dtype)
    program, consts = _trace_update(func, element)
    updates = full(update_shape, 0, dtype)
    flags = indices_are_sorted, unique_indices, mode
    update = program, tuple(consts)
    return _scatter(scatter_ops.scatter_apply, x, scatter_indices, updates, dimension_numbers, flags, update=update)


def _trace_update(func: Callable, element: ShapedArray):
    def update(old, _):
        out = func(old)
        aval = get_aval(out)
        if aval.shape or aval.dtype != element.dtype:
            raise TypeError(
                f"lax.scatter_apply: func must map a {element.str_short(short_dtypes=False)} to another, got "
                f"{aval.str_short(short_dtypes=False)}."
            )
        return [out]

    functools.update_wrapper(update, func)
    program, consts = trace_to_jaxpr(update, [element, element], LazyDebugInfo(func))
    if any(isinstance(c, Tracer) for c in consts):
        raise NotImplementedError(
            "lax.scatter_apply: func uses a traced value from outside, which its program cannot hold. Gather, apply "
            "and scatter instead: x.at[i].set(f(x[i]))."
        )
    return program, consts


def _numbers(name: str, cls: type, numbers: Any):
    if not isinstance(numbers, cls):
        raise TypeError(f"lax.{name}: dimension_numbers must be {cls.__name__}, got {type(numbers).__name__}.")
    return cls(*(integers(name, field, value) for field, value in zip(cls._fields, numbers, strict=True)))


__all__ = [
    "GatherDimensionNumbers", "GatherScatterMode", "ScatterDimensionNumbers", "gather", "index_take", "scatter",
    "scatter_add", "scatter_apply", "scatter_max", "scatter_min", "scatter_mul", "scatter_sub",
]  # fmt: skip
