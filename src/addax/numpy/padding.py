"""`pad`: an array with a border around it, filled in one of NumPy's ways.

Axes are padded one after the other. A border that only repeats elements (edge, wrap, reflect, symmetric) is put together
from slices, reversed slices and broadcasts, so that it costs no gather and its derivative no scatter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.sizes import as_size, is_symbolic_shape, larger
from addax.core.trace import Tracer
from addax.interpreters.values import convert
from addax.lax import shape as lax_shape, slicing as lax_slicing
from addax.numpy.base import as_array, as_operand, cast, check_array_like
from addax.numpy.creation import arange, asarray, linspace
from addax.numpy.floats import round as round_
from addax.numpy.quantiles import median
from addax.numpy.reductions import max as max_, min as min_
from addax.numpy.shapes import broadcast_to, moveaxis
from addax.numpy.statistics import mean
from addax.numpy.ufuncs import minimum
from addax.transforms.vmap import vmap

# The keyword arguments of each mode.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "constant": ("constant_values",), "linear_ramp": ("end_values",),
    "maximum": ("stat_length",), "minimum": ("stat_length",), "mean": ("stat_length",), "median": ("stat_length",),
    "reflect": ("reflect_type",), "symmetric": ("reflect_type",), "edge": (), "wrap": (), "empty": (),
}  # fmt: skip

# Borders that need more pieces than this are gathered: a small array repeated many times.
_MOST_PIECES = 16


def pad(array, pad_width, mode: str | Callable[..., Any] = "constant", **kwargs) -> Any:
    """``array`` with a border of ``pad_width`` elements.

    Args:
      pad_width: elements before and after each axis: a number for all, ``(before, after)`` for all axes,
        ``((before, after), ...)`` one pair per axis, or ``{axis: number or pair}``, the other axes being left alone.
      mode: what the border holds: "constant" (``constant_values``, default 0), "edge" (the outermost element),
        "reflect" and "symmetric" (the mirror image, without and with the outermost element; ``reflect_type="odd"``
        mirrors in the point too), "wrap" (the array over again), "linear_ramp" (from the edge to ``end_values``),
        "maximum", "minimum", "mean", "median" (of the ``stat_length`` outermost elements, default all), "empty"
        (zeros), or a function ``(vector, (before, after), axis, kwargs) -> vector`` that gets each line of the array
        with its border of zeros and returns the line to use instead (NumPy's changes the line in place).

    Raises:
      ValueError: for negative widths, keywords that the mode does not take, and empty axes that would be extended.

    >>> import addax.numpy as jnp
    >>> jnp.pad(jnp.array([1, 2, 3]), (2, 1)).tolist(), jnp.pad(jnp.array([1, 2, 3]), 2, "reflect").tolist()
    ([0, 0, 1, 2, 3, 0], [3, 2, 1, 2, 3, 2, 1])
    """
    check_array_like("pad", array)
    array = as_array(array)
    widths = _widths(pad_width, array.ndim)
    if callable(mode):
        return _pad_by_function(array, widths, mode, kwargs)
    if mode not in _OPTIONS:
        raise NotImplementedError(f"Unimplemented padding mode {mode!r} for pad: the modes are {', '.join(_OPTIONS)}.")
    unknown = [k for k in kwargs if k not in _OPTIONS[mode]]
    if unknown:
        takes = f"only {', '.join(_OPTIONS[mode])}" if _OPTIONS[mode] else "none"
        raise ValueError(f"unsupported keyword arguments for mode {mode!r}: {', '.join(unknown)}; it takes {takes}.")
    if array.ndim == 0 or not any(map(any, widths)):
        return array
    if mode in ("constant", "empty"):
        return _constant(array, widths, kwargs.get("constant_values", 0))
    if mode in _STATISTICS:
        return _statistic(array, widths, mode, kwargs.get("stat_length"))
    for axis, (before, after) in enumerate(widths):
        if (before or after) and array.shape[axis] == 0:
            raise ValueError(
                f"pad: axis {axis} of shape {array.shape} is empty and cannot be extended in mode {mode!r}: only "
                "'constant' and 'empty' need no elements to start from."
            )
    if mode == "linear_ramp":
        return _linear_ramp(array, widths, kwargs.get("end_values", 0))
    if kwargs.get("reflect_type", "even") not in ("even", "odd"):
        raise ValueError(f"reflect_type must be 'even' or 'odd', got {kwargs['reflect_type']!r}")
    odd = kwargs.get("reflect_type") == "odd"
    for axis, width in enumerate(widths):
        array = _extend_odd(array, width, axis, mode) if odd else _extend(array, width, axis, mode)
    return array


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def _widths(pad_width, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, Mapping):
        out = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            axis = operator.index(axis)
            if not -ndim <= axis < ndim:
                raise ValueError(f"pad: axis {axis} of pad_width is out of bounds for an array of dimension {ndim}")
            out[axis] = _pairs(width, 1, "pad_width")[0]
    else:
        out = _pairs(pad_width, ndim, "pad_width")
    widths = [(_width(a), _width(b)) for a, b in out]
    if any(n < 0 for pair in widths for n in pair):
        raise ValueError(f"pad: index can't contain negative values, got pad_width={pad_width}")
    return widths


def _width(n: Any) -> int:
    if isinstance(n, Tracer) and n.concrete() is None:
        raise TypeError(
            f"pad: pad_width must be concrete integers, got {n}: the shape of the result would depend on a traced value. "
            "Pass it as a static argument (static_argnums)."
        )
    try:
        return as_size(n.concrete() if isinstance(n, Tracer) else n)
    except TypeError:
        raise TypeError(f"pad: `pad_width` must be of integral type, got {n!r}") from None


def _pairs(value, ndim: int, name: str) -> list[tuple[Any, Any]]:
    """A number, (before, after), ((before, after), ...) or ((both,), ...) as one pair per axis."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (tuple, list)):
        if np.ndim(value):
            value = list(value)
        else:
            return [(value, value)] * ndim
    if all(np.ndim(v) == 0 and not isinstance(v, (tuple, list)) for v in value):
        if len(value) in (1, 2):
            return [(value[0], value[-1])] * ndim
    else:
        rows = [tuple(v) if isinstance(v, (tuple, list)) or np.ndim(v) else (v,) for v in value]
        if len(rows) == 1:
            rows = rows * ndim
        if len(rows) == ndim and all(len(r) in (1, 2) for r in rows):
            return [(r[0], r[-1]) for r in rows]
    raise ValueError(
        f"pad: {name}={value} does not fit an array of dimension {ndim}: expected a number, (before, after), or one such "
        "pair per axis."
    )


# ---------------------------------------------------------------------------------------------------------------------
# Modes


def _joined(parts: list, axis: int):
    parts = [p for p in parts if p is not None]
    return lax_shape.concatenate(parts, axis) if len(parts) > 1 else parts[0]


def _constant(array, widths, values):
    aval = get_aval(array)
    pairs = [(_value(a, aval), _value(b, aval)) for a, b in _pairs(values, array.ndim, "constant_values")]
    first = pairs[0][0]
    if all(v is first or (isinstance(v, np.generic) and v == first) for pair in pairs for v in pair):
        return _like(lax_slicing.pad(array, first, [(a, b, 0) for a, b in widths]), aval)
    for axis, (width, pair) in enumerate(zip(widths, pairs, strict=True)):
        for side in (0, 1):
            if width[side]:
                config = [(0, 0, 0)] * array.ndim
                config[axis] = (width[0], 0, 0) if side == 0 else (0, width[1], 0)
                array = lax_slicing.pad(array, pair[side], config)
    return _like(array, aval)


def _value(x, aval):
    x = as_operand(x)
    if isinstance(x, (list, tuple)):
        raise TypeError(f"pad: constant_values must be numbers, got {x}")
    return cast(x, aval.dtype) if np.ndim(x) == 0 and not isinstance(x, Tracer) else asarray(x, aval.dtype)


def _like(out, aval):
    """``out`` in the dtype and weak type of the array that was padded."""
    return convert(out, aval.dtype, aval.weak_type)


def _linear_ramp(array, widths, end_values):
    aval = get_aval(array)
    pairs = _pairs(end_values, array.ndim, "end_values")
    for axis, (before, after) in enumerate(widths):
        parts = [None, array, None]
        n = array.shape[axis]
        for side, count in ((0, before), (1, after)):
            if count:
                edge = lax_slicing.slice_in_dim(array, 0 if side == 0 else n - 1, 1 if side == 0 else n, axis=axis)
                edge = lax_shape.squeeze(edge, (axis,))
                end = pairs[axis][side]
                ramp = linspace(end, edge, count, endpoint=False, dtype=aval.dtype, axis=axis)
                parts[2 * side] = ramp if side == 0 else lax_shape.rev(ramp, (axis,))
        array = _joined(parts, axis)
    return _like(array, aval)


_STATISTICS = {"maximum": max_, "minimum": min_, "mean": mean, "median": median}


def _statistic(array, widths, mode: str, stat_length):
    aval = get_aval(array)
    lengths = _pairs(stat_length, array.ndim, "stat_length") if stat_length is not None else [(None, None)] * array.ndim
    for axis, ((before, after), (first, last)) in enumerate(zip(widths, lengths, strict=True)):
        n = array.shape[axis]
        parts = [None, array, None]
        for side, count, length in ((0, before, first), (1, after, last)):
            if not count:
                continue
            if length is not None and operator.index(length) < 1:
                raise ValueError(f"pad: stat_length of 0 yields no value for padding (axis {axis}, mode {mode!r})")
            length = n if length is None else min(operator.index(length), n)
            start = 0 if side == 0 else n - length
            value = _STATISTICS[mode](
                lax_slicing.slice_in_dim(array, start, start + length, axis=axis), axis, keepdims=True
            )
            if dtypes.issubdtype(aval.dtype, np.integer) and dtypes.issubdtype(value.dtype, np.inexact):
                value = round_(value)
            shape = (*array.shape[:axis], count, *array.shape[axis + 1 :])
            parts[2 * side] = convert(broadcast_to(value, shape), aval.dtype, aval.weak_type)
        array = _joined(parts, axis)
    return array


def _extend(array, width: tuple[int, int], axis: int, mode: str):
    """The array continued on both sides by its own elements, at the positions that `_sources` gives."""
    n = array.shape[axis]
    if is_symbolic_shape((n, *width)):
        index = _symbolic_sources(mode, n, arange(width[0] + n + width[1]) - width[0])
        return array[(slice(None),) * axis + (index,)]
    before, after = (_runs(_sources(mode, n, *span)) for span in ((-width[0], 0), (n, n + width[1])))
    if len(before) + len(after) > _MOST_PIECES:
        index = _sources(mode, n, -width[0], n + width[1]).astype(np.int32)
        return array[(slice(None),) * axis + (index,)]
    pieces = [_piece(array, run, axis) for run in before]
    return _joined([*pieces, array, *(_piece(array, run, axis) for run in after)], axis)


def _sources(mode: str, n: int, start: int, stop: int) -> np.ndarray:
    """For the positions start..stop of the extended axis, the positions of the elements in the array."""
    at = np.arange(start, stop)
    if mode == "edge" or (mode == "reflect" and n == 1):
        return at.clip(0, n - 1)
    if mode == "wrap":
        return at % n
    if mode == "symmetric":  # 0 1 2 2 1 0 | 0 1 2 ...
        at = at % (2 * n)
        return np.minimum(at, 2 * n - 1 - at)
    at = at % (2 * n - 2)  # 0 1 2 1 | 0 1 2 1 ...
    return np.minimum(at, 2 * n - 2 - at)


def _symbolic_sources(mode: str, n: Any, at: Any) -> Any:
    """The same as `_sources`, in the program."""
    if mode == "edge":
        return at.clip(0, n - 1)
    if mode == "wrap":
        return at % n
    period = 2 * n if mode == "symmetric" else larger(2 * n - 2, 1)
    at = at % period
    return minimum(at, 2 * n - (1 if mode == "symmetric" else 2) - at)


def _runs(index: np.ndarray) -> list[tuple[int, int, int]]:
    """Positions as ``(first, count, step)``, each step being 1, -1 or 0."""
    runs: list[tuple[int, int, int]] = []
    i = 0
    while i < len(index):
        j, step = i + 1, 0
        if j < len(index) and abs(index[j] - index[i]) <= 1:
            step = int(index[j] - index[i])
            while j < len(index) and index[j] - index[j - 1] == step:
                j += 1
        runs.append((int(index[i]), j - i, step))
        i = j
    return runs


def _piece(array, run: tuple[int, int, int], axis: int):
    first, count, step = run
    if step == 0:
        edge = lax_slicing.slice_in_dim(array, first, first + 1, axis=axis)
        return broadcast_to(edge, (*array.shape[:axis], count, *array.shape[axis + 1 :]))
    low = first if step > 0 else first - count + 1
    part = lax_slicing.slice_in_dim(array, low, low + count, axis=axis)
    return part if step > 0 else lax_shape.rev(part, (axis,))


def _extend_odd(array: Any, width: tuple[int, int], axis: int, mode: str):
    """Mirrored in the outermost point: 2 edge - image. Each image is as long as the array, so there may be several."""
    n = array.shape[axis]
    skip = 1 if mode == "reflect" and n > 1 else 0
    for side, count in enumerate(width):
        while count:
            step = min(count, n - skip)
            size = array.shape[axis]
            start = skip if side == 0 else size - skip - step
            image = lax_shape.rev(lax_slicing.slice_in_dim(array, start, start + step, axis=axis), (axis,))
            at = 0 if side == 0 else size - 1
            edge = lax_slicing.slice_in_dim(array, at, at + 1, axis=axis)
            image = 2 * broadcast_to(edge, image.shape) - image
            array = _joined([image, array] if side == 0 else [array, image], axis)
            count -= step
    return array


def _pad_by_function(array, widths, fun: Callable[..., Any], kwargs: dict):
    aval = get_aval(array)
    out = _constant(array, widths, 0) if array.ndim else array
    for axis, width in enumerate(widths):
        line = moveaxis(out, axis, -1)
        mapped: Callable[..., Any] = lambda v, width=width, axis=axis: asarray(fun(v, width, axis, kwargs))  # noqa: E731
        for _ in range(array.ndim - 1):
            mapped = vmap(mapped)
        out = moveaxis(mapped(line), -1, axis)
    return convert(out, get_aval(out).dtype, aval.weak_type)


__all__ = ["pad"]
