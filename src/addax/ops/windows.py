"""Reductions over sliding windows: ``reduce_window`` and its special forms, what pooling is made of.

Along each dimension, window p covers positions p * stride + k * window_dilation - low for k < window, of the operand
spread by ``base_dilation``. Positions outside of the operand, and those that spreading makes, take no part.

``reduce_window_sum`` is linear. The derivative of the maximum reads the tangent at each window's first maximum,
``select_and_gather_add``; its transpose adds cotangents there, ``select_and_scatter_add``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.jaxpr import ClosedJaxpr
from addax.core.notation import Notation
from addax.core.primitive import Primitive, registry
from addax.core.trace import current_trace
from addax.interpreters.jvp import jvp_flat
from addax.ops.conv import dilated, window_count
from addax.ops.convert import convert_reference
from addax.ops.reduce import highest_value, lowest_value
from addax.ops.reference_tools import maximum, minimum, widen
from addax.ops.rules import (
    LINEAR,
    NUMERIC,
    Refusal,
    Zero,
    broadcast_to,
    dtype_of,
    instantiate,
    primitive,
    shape_of,
    to_front,
    zeros,
)
from addax.ops.scalar_program import check_combiner, map_program, map_reference
from addax.ops.shape import around

Dims = tuple[int, ...]


class Windows(NamedTuple):
    """The parameters that say where windows lie, one entry per dimension."""

    window_dimensions: Dims
    window_strides: Dims
    padding: tuple[tuple[int, int], ...]
    base_dilation: Dims
    window_dilation: Dims

    def check(self, name: str, shape: Dims) -> Dims:
        """The shape of the result, one element per window.

        Raises:
          TypeError: if there is not one entry per dimension, or a size is not positive.
        """
        fields: dict[str, Any] = self._asdict()
        for what, values in fields.items():
            if len(values) != len(shape):
                raise TypeError(
                    f"{name} got the wrong number of {what} for operand: got operand shape {shape} with {what} "
                    f"{values}."
                )
            if what != "padding" and any(v < 1 for v in values):
                raise TypeError(f"{name} {what} must have every element be strictly positive, got {values}.")
        return tuple(
            window_count(dilated(n, base) + low + high, dilated(w, gap), stride)
            for n, w, stride, (low, high), base, gap in zip(shape, *self, strict=True)
        )

    def batched(self, bdim: int) -> dict[str, Any]:
        """The parameters with a dimension that windows do not touch."""
        return {
            name: around(values, bdim, (0, 0) if name == "padding" else 1)
            for name, values in zip(self._fields, self, strict=True)
        }

    def padding_config(self) -> tuple[tuple[int, int, int], ...]:
        return tuple((low, high, base - 1) for (low, high), base in zip(self.padding, self.base_dilation, strict=True))

    def taps(self, out_shape: Dims) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
        """For each position in a window, (starts, limits, strides) of that position of all windows, in the padded
        operand."""
        for k in itertools.product(*map(range, self.window_dimensions)):
            starts = tuple(i * gap for i, gap in zip(k, self.window_dilation, strict=True))
            limits = tuple(
                s + dilated(n, stride) for s, n, stride in zip(starts, out_shape, self.window_strides, strict=True)
            )
            yield starts, limits, self.window_strides


def pad_reference(x: np.ndarray, value, config) -> np.ndarray:
    return registry["pad"].reference(x, np.asarray(value, x.dtype), padding_config=tuple(config))


def _slices(starts, limits, strides):
    return tuple(map(slice, starts, limits, strides))


# ---------------------------------------------------------------------------------------------------------------------
# Sum, maximum, minimum: one dimension after the other


def _monoid_type(name: str):
    def rule(operand, **params):
        if not any(dtypes.issubdtype(operand.dtype, kind) for kind in NUMERIC):
            raise TypeError(
                f"{name} does not accept dtype {dtypes.dtype_name(operand.dtype)}. Accepted dtypes are subtypes of "
                "number."
            )
        return operand.update(shape=Windows(**params).check(name, operand.shape))

    return rule


def _monoid_reference(combine: Callable, identity: Callable[[Any], Any]):
    def reference(x, **params):
        windows = Windows(**params)
        shape = windows.check("", x.shape)
        nothing = identity(x.dtype)
        out = widen(pad_reference(x, nothing, windows.padding_config()))
        with np.errstate(all="ignore"):
            for d, (w, stride, gap) in enumerate(
                zip(windows.window_dimensions, windows.window_strides, windows.window_dilation, strict=True)
            ):
                out = _along(out, d, w, stride, gap, shape[d], combine)
        return out if out.dtype == x.dtype else convert_reference(out, new_dtype=x.dtype)

    return reference


def _along(x, d: int, window: int, stride: int, gap: int, count: int, combine):
    """Windows along one dimension: fold the ``window`` slices that hold their first, second, ... elements."""
    total: Any = None
    for k in range(window):
        start = k * gap
        part = x[(slice(None),) * d + (slice(start, start + dilated(count, stride), stride),)]
        total = part if total is None else combine(total, part)
    return np.array(total) if window == 1 else total


def _batch_rule(get: Callable[[], Primitive]):
    def batch(axis, args, dims, **params):
        (bdim,) = dims
        return get().bind(args[0], **Windows(**params).batched(bdim)), bdim

    return batch


def _window_sum_transpose(ct, x, **params):
    """Each element gets the sum of the cotangents of the windows it is in: again a sum over windows."""
    windows = Windows(**params)
    shape, out_shape = x.aval.shape, shape_of(ct)
    padding = []
    for n, m, w, stride, (low, _), base, gap in zip(shape, out_shape, *windows, strict=True):
        before = dilated(w, gap) - 1 - low
        after = (n - 1) * base + dilated(w, gap) - dilated(m, stride) - before
        padding.append((before, after))
    if 0 in shape or 0 in out_shape:
        return [zeros(x.aval)]
    back = Windows(
        windows.window_dimensions, windows.base_dilation, tuple(padding), windows.window_strides,
        windows.window_dilation,
    )  # fmt: skip
    return [reduce_window_sum.bind(ct, **back._asdict())]


reduce_window_sum = primitive(
    "reduce_window_sum",
    _monoid_type("reduce_window_sum"),
    jvp=LINEAR,
    transpose=_window_sum_transpose,
    batch=_batch_rule(lambda: reduce_window_sum),
    reference=_monoid_reference(np.add, lambda dtype: np.zeros((), dtype)),
)


def _slice(x, tap):
    starts, limits, strides = tap
    return registry["slice"].bind(x, start_indices=starts, limit_indices=limits, strides=strides)


def _first_extreme_by_slices(t, x, select_prim: Primitive, windows: Windows):
    """`select_and_gather_add` in other primitives, which transpose with any dilation."""
    shape, config = windows.check("reduce_window", shape_of(x)), windows.padding_config()
    nothing = np.asarray((lowest_value if select_prim.name == "ge" else highest_value)(dtype_of(x)))[()]
    x = registry["pad"].bind(x, nothing, padding_config=config)
    t = registry["pad"].bind(t, np.zeros((), dtype_of(t))[()], padding_config=config)
    best: Any = None
    tangent: Any = None
    for tap in windows.taps(shape):
        value, there = _slice(x, tap), _slice(t, tap)
        if best is None:
            best, tangent = value, there
            continue
        keep = select_prim.bind(best, value)
        best, tangent = (
            registry["select_n"].bind(keep, value, best), registry["select_n"].bind(keep, there, tangent),
        )  # fmt: skip
    return tangent


def _extreme_jvp(get: Callable[[], Primitive], select: str):
    def jvp(primals, tangents, **params):
        (x,), (t,) = primals, tangents
        out = get().bind(x, **params)
        windows = Windows(**params)
        if any(d != 1 for d in windows.window_dilation):
            return out, _first_extreme_by_slices(t, x, registry[select], windows)
        return out, select_and_gather_add.bind(t, x, select_prim=registry[select], **params)

    return jvp


reduce_window_max = primitive(
    "reduce_window_max",
    _monoid_type("reduce_window_max"),
    jvp=_extreme_jvp(lambda: reduce_window_max, "ge"),
    batch=_batch_rule(lambda: reduce_window_max),
    reference=_monoid_reference(maximum, lowest_value),
)
reduce_window_min = primitive(
    "reduce_window_min",
    _monoid_type("reduce_window_min"),
    jvp=_extreme_jvp(lambda: reduce_window_min, "le"),
    batch=_batch_rule(lambda: reduce_window_min),
    reference=_monoid_reference(minimum, highest_value),
)

# ---------------------------------------------------------------------------------------------------------------------
# select_and_gather_add(x, operand): x at the position of each window's first maximum (select_prim ge) or minimum (le)


def _gather_add_type(x, operand, *, select_prim, **params):
    _check_same("select_and_gather_add", x, operand)
    return ShapedArray(Windows(**params).check("select_and_gather_add", operand.shape), x.dtype, x.weak_type)


def _check_same(name: str, x, operand) -> None:
    if x.shape != operand.shape:
        raise TypeError(
            f"{name}: the array to read and the operand to compare must have the same shape, got {x.shape} and "
            f"{operand.shape}."
        )


def _selected(operand: np.ndarray, select_prim, windows: Windows) -> np.ndarray:
    """For each window the flat position in ``operand`` of its first extreme element; -1 if it has no element."""
    larger = select_prim.name == "ge"
    operand = widen(operand)
    shape = windows.check("", operand.shape)
    config = windows.padding_config()
    flat = pad_reference(np.arange(operand.size).reshape(operand.shape), -1, config)
    padded = pad_reference(operand, (lowest_value if larger else highest_value)(operand.dtype), config)
    best = np.zeros(shape, operand.dtype)
    where = np.full(shape, -1)
    for tap in windows.taps(shape):
        at = _slices(*tap)
        value, index = padded[at], flat[at]
        keep = best >= value if larger else best <= value
        take = (index >= 0) & ((where < 0) | ~keep)
        best, where = np.where(take, value, best), np.where(take, index, where)
    return where


def _gather_add_reference(x, operand, *, select_prim, **params):
    where = _selected(operand, select_prim, Windows(**params))
    flat = np.append(x.reshape(-1), np.zeros((), x.dtype))  # -1 reads the 0 at the end
    return flat[where].astype(x.dtype, copy=False)


def _reading_jvp(get: Callable[[], Primitive]):
    """jvp of a primitive that is linear in its first operand; the positions the second gives are constant."""

    def jvp(primals, tangents, **params):
        out = get().bind(*primals, **params)
        if type(tangents[0]) is Zero:
            return out, Zero.of(out)
        return out, get().bind(instantiate(tangents[0]), primals[1], **params)

    return jvp


def _gather_add_transpose(ct, x, operand, *, select_prim, **params):
    windows = Windows(**params)
    if any(d != 1 for d in windows.window_dilation):
        raise NotImplementedError("select_and_gather_add has no transpose with window_dilation")
    shape = x.aval.shape
    spread = tuple(dilated(n, base) for n, base in zip(shape, windows.base_dilation, strict=True))
    if spread != shape:
        # The elements between are never selected, but a window must not be empty of others: then nothing flows back.
        least = (lowest_value if select_prim.name == "ge" else highest_value)(dtype_of(operand))
        config = tuple((0, 0, base - 1) for base in windows.base_dilation)
        operand = registry["pad"].bind(operand, least, padding_config=config)
    out = select_and_scatter_add.bind(
        ct,
        operand,
        select_prim=select_prim,
        window_dimensions=windows.window_dimensions,
        window_strides=windows.window_strides,
        padding=windows.padding,
    )
    if spread != shape:
        out = registry["slice"].bind(
            out, start_indices=(0,) * len(shape), limit_indices=spread, strides=windows.base_dilation
        )
    return [out, None]


def _both_batched(axis, args, dims):
    if dims[0] == dims[1]:
        return args, dims[0]
    return [to_front(x, d, axis.size) for x, d in zip(args, dims, strict=True)], 0


def _gather_add_batch(axis, args, dims, *, select_prim, **params):
    args, bdim = _both_batched(axis, args, dims)
    return select_and_gather_add.bind(*args, select_prim=select_prim, **Windows(**params).batched(bdim)), bdim


select_and_gather_add = primitive(
    "select_and_gather_add",
    _gather_add_type,
    transpose=_gather_add_transpose,
    batch=_gather_add_batch,
    reference=_gather_add_reference,
)
select_and_gather_add.jvp = _reading_jvp(lambda: select_and_gather_add)
_COMPARISON = Notation(spelled={"select_prim": (str, registry.__getitem__)})
select_and_gather_add.notation = _COMPARISON

# ---------------------------------------------------------------------------------------------------------------------
# select_and_scatter_add(source, operand): each element of source, added at its window's first extreme element


def _plain(rank: int, window_dimensions, window_strides, padding) -> Windows:
    ones = (1,) * rank
    return Windows(window_dimensions, window_strides, padding, ones, ones)


def _scatter_add_type(source, operand, *, select_prim, window_dimensions, window_strides, padding):
    name = "select_and_scatter_add"
    shape = _plain(operand.ndim, window_dimensions, window_strides, padding).check(name, operand.shape)
    if source.shape != shape:
        raise TypeError(f"{name}: the source must have one element per window, {shape}, got shape {source.shape}.")
    return ShapedArray(operand.shape, source.dtype, source.weak_type)


def _scatter_add_reference(source, operand, *, select_prim, window_dimensions, window_strides, padding):
    where = _selected(operand, select_prim, _plain(operand.ndim, window_dimensions, window_strides, padding))
    wide = widen(source)
    out = np.zeros(operand.size + 1, wide.dtype)
    np.add.at(out, where.reshape(-1), wide.reshape(-1))  # -1, no element, adds to the one that is dropped
    return out[:-1].reshape(operand.shape).astype(source.dtype, copy=False)


def _scatter_add_transpose(ct, source, operand, *, select_prim, window_dimensions, window_strides, padding):
    windows = _plain(len(shape_of(ct)), window_dimensions, window_strides, padding)
    return [select_and_gather_add.bind(ct, operand, select_prim=select_prim, **windows._asdict()), None]


def _scatter_add_batch(axis, args, dims, *, select_prim, window_dimensions, window_strides, padding):
    args, bdim = _both_batched(axis, args, dims)
    batched = _plain(len(window_dimensions), window_dimensions, window_strides, padding).batched(bdim)
    kept = {k: batched[k] for k in ("window_dimensions", "window_strides", "padding")}
    return select_and_scatter_add.bind(*args, select_prim=select_prim, **kept), bdim


select_and_scatter_add = primitive(
    "select_and_scatter_add",
    _scatter_add_type,
    transpose=_scatter_add_transpose,
    batch=_scatter_add_batch,
    reference=_scatter_add_reference,
)
select_and_scatter_add.jvp = _reading_jvp(lambda: select_and_scatter_add)
select_and_scatter_add.notation = _COMPARISON

# ---------------------------------------------------------------------------------------------------------------------
# reduce_window: any program, several operands. Windows start from the initial values.


def _window_type(*args, jaxpr: ClosedJaxpr, **params):
    n = len(args) // 2
    operands, inits = args[:n], args[n:]
    check_combiner("reduce_window", jaxpr, operands, inits)
    shape = Windows(**params).check("reduce_window", operands[0].shape)
    return [ShapedArray(shape, x.dtype) for x in operands]


def _window_in_primitives(args: Sequence, jaxpr, windows: Windows, starts: Sequence | None = None) -> list:
    """The same as slices of the padded operands, combined one position of the window after the other."""
    n = len(args) // 2
    operands, inits = args[:n], args[n:]
    shape = shape_of(operands[0])
    out_shape = windows.check("reduce_window", shape)
    config = windows.padding_config()

    def pad(x):
        return registry["pad"].bind(x, np.zeros((), dtype_of(x))[()], padding_config=config)

    inside = pad_reference(np.ones(shape, np.bool_), False, config)
    padded = [pad(x) for x in operands]
    outs = list(starts) if starts is not None else [broadcast_to(i, out_shape) for i in inits]
    for tap in windows.taps(out_shape):
        combined = map_program(jaxpr, [*outs, *(_slice(x, tap) for x in padded)])
        mask = inside[_slices(*tap)]
        if mask.all():
            outs = combined
        else:
            outs = [registry["select_n"].bind(mask, old, new) for old, new in zip(outs, combined, strict=True)]
    return outs


def _window_jvp(primals, tangents, *, jaxpr, **params):
    if all(type(t) is Zero for t in tangents):
        outs = reduce_window.bind(*primals, jaxpr=jaxpr, **params)
        return outs, [Zero.of(x) for x in outs]
    return jvp_flat(
        lambda *args: _window_in_primitives(args, jaxpr, Windows(**params)), primals, tangents, current_trace()
    )


def _window_batch(axis, args, dims, *, jaxpr, **params):
    n = len(args) // 2
    operands = [to_front(x, d, axis.size) for x, d in zip(args[:n], dims[:n], strict=True)]
    batched = Windows(**params).batched(0)
    if all(d is None for d in dims[n:]):
        return reduce_window.bind(*operands, *args[n:], jaxpr=jaxpr, **batched), [0] * n
    windows = Windows(**batched)
    shape = windows.check("reduce_window", shape_of(operands[0]))
    starts = [
        registry["broadcast_in_dim"].bind(
            to_front(i, d, axis.size), shape=shape, broadcast_dimensions=(0,), sharding=None
        )
        for i, d in zip(args[n:], dims[n:], strict=True)
    ]
    return _window_in_primitives([*operands, *args[n:]], jaxpr, windows, starts), [0] * n


def _window_reference(*args, jaxpr, **params):
    n = len(args) // 2
    operands, inits = args[:n], args[n:]
    windows = Windows(**params)
    shape = windows.check("reduce_window", operands[0].shape)
    config = windows.padding_config()
    inside = pad_reference(np.ones(operands[0].shape, np.bool_), False, config)
    padded = [pad_reference(x, np.zeros((), x.dtype), config) for x in operands]
    outs = [np.broadcast_to(i, shape) for i in inits]
    for tap in windows.taps(shape):
        at = _slices(*tap)
        combined = map_reference(jaxpr, [*outs, *(x[at] for x in padded)])
        outs = [np.where(inside[at], new, old) for old, new in zip(outs, combined, strict=True)]
    return [np.array(x, v.dtype) for x, v in zip(outs, operands, strict=True)]


reduce_window = primitive(
    "reduce_window",
    _window_type,
    jvp=_window_jvp,
    transpose=Refusal("reduce_window is not linear; its derivative is made of other primitives, which have transposes"),
    batch=_window_batch,
    reference=_window_reference,
    multiple_results=True,
)

__all__ = [
    "Windows", "reduce_window", "reduce_window_max", "reduce_window_min", "reduce_window_sum", "select_and_gather_add",
    "select_and_scatter_add",
]  # fmt: skip
