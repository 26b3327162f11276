"""``x[index]``: from NumPy's index expressions to slices, dynamic slices and gathers.

An index is first put in order (`entries_of`): Ellipsis expanded, boolean masks turned into integer arrays, one entry per
dimension of the array plus the ``None``s. Then the cheapest form that says the same is chosen:

  static integers and slices           -> slice, rev, squeeze (on concrete arrays: a view of NumPy, copied)
  traced scalars beside plain slices   -> dynamic_slice
  anything with an integer array       -> gather, planned by `plan`
  a traced boolean mask                -> no array: a `Selection`, which can be reduced (masked.py)

Reads out of bounds are clamped to the nearest element, as in JAX: a compiled program cannot raise.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.config import current_context
from addax.core.errors import NonConcreteBooleanIndexError
from addax.core.sizes import as_size, is_symbolic, is_symbolic_shape, larger, shared, slice_range, smaller
from addax.core.trace import Tracer, base_trace, current_trace
from addax.interpreters.values import broadcast_to, convert, expand_dims, reshape, transpose
from addax.lax import indexing as lax_indexing, shape as lax_shape, slicing as lax_slicing
from addax.numpy.creation import asarray
from addax.numpy.masked import selection_of
from addax.ops.arithmetic import add
from addax.ops.check import JaxRuntimeError
from addax.ops.comparison import lt, select_n
from addax.ops.indexing import GatherDimensionNumbers, GatherScatterMode

# The elements a concrete read may copy through NumPy instead of a compiled gather, which is quicker above.
SMALL_GATHER = 4096


def getitem(x, index):
    """``x[index]`` for an array or tracer."""
    x, index = lift_scalar_masks(x, index)
    try:
        entries, nones = entries_of(get_aval(x).shape, index)
    except NonConcreteBooleanIndexError:
        return selection_of(getitem, x, index)
    if all(type(e) in (int, slice) or is_symbolic(e) for e in entries):
        if isinstance(x, _native.Array) and x._device is None and current_trace() is base_trace:
            return _concrete_slice(x, entries, nones)
        return _static_slice(x, entries, nones)
    x, entries = expand_nones(x, entries, nones)
    return _read(x, entries, GatherScatterMode.PROMISE_IN_BOUNDS, None)


def expand_nones(x, entries: list, nones: list[int]) -> tuple[Any, list]:
    """``None`` beside integer arrays is a dimension of size 1 of ``x``, taken whole."""
    if not nones:
        return x, entries
    positions = [pos + k for k, pos in enumerate(nones)]
    entries = list(entries)
    for pos in positions:
        entries.insert(pos, slice(None))
    return expand_dims(x, positions), entries


def get(x, index, *, mode=None, fill_value=None, indices_are_sorted=False, unique_indices=False, wrap=True):
    """``x.at[index].get(...)``: a read that says what indices out of bounds mean."""
    if mode is None and fill_value is None and wrap:
        return getitem(x, index)
    parsed = GatherScatterMode.PROMISE_IN_BOUNDS if mode is None else GatherScatterMode.from_any(mode)
    x, index = lift_scalar_masks(x, index)
    try:
        entries, nones = entries_of(get_aval(x).shape, index, clamp=False)
    except NonConcreteBooleanIndexError:  # a mask is nowhere out of bounds
        return selection_of(getitem, x, index)
    entries = [np.asarray(e, np.int32) if type(e) is int else e for e in entries]
    x, entries = expand_nones(x, entries, nones)
    return _read(x, entries, parsed, fill_value, indices_are_sorted, unique_indices, wrap)


# ---------------------------------------------------------------------------------------------------------------------
# Putting an index in order


def entries_of(shape: tuple[int, ...], index, clamp: bool = True) -> tuple[list, list[int]]:
    """One entry per dimension, and where the ``None``s stand in the result of basic indexing.

    Entries are ints (wrapped and clamped), slices, or integer arrays and tracers.

    Raises:
      IndexError: too many indices, a mask of the wrong shape, a slice with traced bounds.
      TypeError: a list as the whole index, floats, strings.
      NonConcreteBooleanIndexError: a traced boolean mask.
    """
    raw = index if isinstance(index, tuple) else (index,)
    if not isinstance(index, tuple) and isinstance(index, list):
        raise TypeError(
            "Using a non-tuple sequence for multidimensional indexing is not allowed; use `arr[array(seq)]` instead of "
            "`arr[seq]`: addax.numpy.array makes the conversion visible, or pass a tuple for one index per dimension."
        )
    items: list[Any] = []
    for pos, e in enumerate(raw):
        items += _entry(e, pos)
    consumed = sum(e is not None and e is not Ellipsis for e in items)
    masks = [e for e in items if isinstance(e, _Mask)]
    consumed += sum(len(m.shape) - 1 for m in masks)
    if consumed > len(shape):
        raise IndexError(f"Too many indices: array is {len(shape)}-dimensional, but {consumed} were indexed")
    dots = [i for i, e in enumerate(items) if e is Ellipsis]
    if len(dots) > 1:
        raise IndexError(f"Multiple ellipses (...) not supported: {[type(e).__name__ for e in raw]}")
    fill = [slice(None)] * (len(shape) - consumed)
    at = dots[0] if dots else len(items)
    items = [*items[:at], *fill, *items[at + bool(dots) :]]

    entries: list[Any] = []
    nones: list[int] = []
    for pos, e in enumerate(items):
        if e is None:
            nones.append(len(entries))
        elif isinstance(e, _Mask):
            d = len(entries)
            want = shape[d : d + len(e.shape)]
            if e.shape != want:
                raise IndexError(
                    f"boolean index did not match shape of indexed array in index {pos}: got {e.shape}, expected "
                    f"{list(want)}"
                )
            entries += e.arrays
        else:
            n = shape[len(entries)]
            if (type(e) is int or is_symbolic(e)) and clamp:
                if type(e) is int and type(n) is int and not -n <= e < n and _checks_indices():
                    raise JaxRuntimeError(
                        f"out-of-bounds indexing for array of shape {shape}: index {e} is out of bounds for axis "
                        f"{len(entries)} with size {n}."
                    )
                e = smaller(larger(e + n if e < 0 else e, 0), larger(n - 1, 0))
                if n == 0:
                    raise IndexError(f"index is out of bounds for axis {len(entries)} with size 0")
            entries.append(e)
    return entries, nones


def lift_scalar_masks(x, index) -> tuple[Any, Any]:
    """``x`` and ``index`` without scalar booleans: each is a new dimension of size 1, of which [0] or [] is taken.

    So the boolean is an index array like any other: ``x[True]`` has the shape (1, *x.shape), ``x[:, False, 0]`` is empty.
    """
    items = index if type(index) is tuple else (index,)
    for e in items:
        if type(e) is not int and type(e) is not slice and _is_scalar_mask(e):
            break
    else:
        return x, index
    widths = [_consumed(e) for e in items]
    rest = get_aval(x).ndim - sum(widths)
    at, lifted, added = 0, [], []
    for e, width in zip(items, widths, strict=True):
        if _is_scalar_mask(e):
            added.append(at + len(added))
            e = np.zeros(int(bool(e)), np.int32)
        lifted.append(e)
        at += max(rest, 0) if e is Ellipsis else width
    return expand_dims(x, added), tuple(lifted)


def _is_scalar_mask(e) -> bool:
    if isinstance(e, (bool, np.bool_)):
        return True
    return isinstance(e, (_native.Array, np.ndarray)) and e.ndim == 0 and e.dtype == np.bool_


def _consumed(e) -> int:
    """How many dimensions of the array an entry of an index stands for."""
    if e is None or e is Ellipsis or _is_scalar_mask(e):
        return 0
    if isinstance(e, (list, tuple)):
        e = np.asarray(e)
    return e.ndim if getattr(e, "dtype", None) == np.bool_ else 1


class _Mask:
    """A concrete boolean mask as the integer arrays that pick the same elements."""

    def __init__(self, mask: np.ndarray):
        self.shape = mask.shape
        self.arrays = [i.astype(np.int32) for i in np.nonzero(mask)]


def _entry(e: Any, pos: int) -> list:
    if e is None or e is Ellipsis:
        return [e]
    if type(e) is int or is_symbolic(e):
        return [e]
    if isinstance(e, slice):
        return [_static_bounds(e, pos)]
    if isinstance(e, str):
        raise TypeError(f"addax arrays cannot be indexed by strings; got idx={e!r}")
    if isinstance(e, (list, tuple)):  # one of several indices; as the only one, a list is refused
        e = asarray(e) if e else np.zeros(0, np.int32)
    if hasattr(e, "__jax_array__"):
        e = e.__jax_array__()
    if isinstance(e, Tracer):
        if e.dtype == np.bool_:
            raise NonConcreteBooleanIndexError(e)
        _check_integer(e.dtype)
        return [e]
    if isinstance(e, (_native.Array, np.ndarray, np.generic)):
        value = np.asarray(e)
        if value.dtype == np.bool_:
            return [_Mask(value)]
        _check_integer(value.dtype)
        return [int(value)] if value.ndim == 0 else [e]
    try:
        return [operator.index(e)]
    except TypeError:
        _check_integer(getattr(e, "dtype", np.asarray(e).dtype))
        raise


def _check_integer(dtype) -> None:
    if not dtypes.issubdtype(dtype, np.integer):
        raise TypeError(
            f"Indexer must have integer or boolean type, got indexer with type {dtypes.dtype_name(dtype)}: convert it "
            "with astype(int)."
        )


def _static_bounds(s: slice, pos: int) -> slice:
    parts = []
    for part in (s.start, s.stop, s.step):
        if isinstance(part, Tracer) and part.concrete() is None:
            raise IndexError(
                f"Slice entries must be static integers. Got {s} at position {pos}: the size of the result would depend "
                "on a traced value. Use lax.dynamic_slice for a slice of fixed size at a traced start, or jnp.where to "
                "mask."
            )
        if isinstance(part, Tracer):
            part = part.concrete()
        parts.append(None if part is None else as_size(part))
    return slice(*parts)


# ---------------------------------------------------------------------------------------------------------------------
# Static indices


def _concrete_slice(x, entries: list, nones: list[int]):
    """Basic indexing of a concrete array: NumPy finds the elements, which move bit for bit."""
    view = x._value[tuple(entries)]
    kept = [i for i, e in enumerate(entries) if type(e) is slice]
    for k, pos in enumerate(nones):
        view = np.expand_dims(view, sum(d < pos for d in kept) + k)
    return _native.array_from_numpy(view, x.aval.update(shape=view.shape))


def _static_slice(x, entries: list, nones: list[int]):
    shape = get_aval(x).shape
    starts, limits, strides, reverse, drop = [], [], [], [], []
    for d, (e, n) in enumerate(zip(entries, shape, strict=True)):
        if type(e) is not slice:
            starts.append(e)
            limits.append(e + 1)
            strides.append(1)
            drop.append(d)
            continue
        start, _, step, count = slice_range(e, n)
        if step < 0:
            reverse.append(d)
            start, step = start + (count - 1) * step, -step
        if is_symbolic_shape((start, count)):  # there may be none
            start = smaller(larger(start, 0), n)
            starts.append(start)
            limits.append(larger(start + (count - 1) * step + 1, start))
        else:
            start = start if count else 0
            starts.append(start)
            limits.append(start + (count - 1) * step + 1 if count else start)
        strides.append(step)
    if any(s or l != n or k != 1 for s, l, k, n in zip(starts, limits, strides, shape, strict=True)):
        x = lax_slicing.slice(x, starts, limits, None if all(k == 1 for k in strides) else strides)
    if reverse:
        x = lax_shape.rev(x, reverse)
    if drop:
        x = lax_shape.squeeze(x, drop)
    kept = [d for d in range(len(entries)) if d not in drop]
    return _insert_nones(x, [sum(d < pos for d in kept) for pos in nones])


def _insert_nones(x, positions: list[int]):
    """``positions``: how many dimensions of the result stand before each ``None``."""
    if not positions:
        return x
    return expand_dims(x, [p + k for k, p in enumerate(positions)])


# ---------------------------------------------------------------------------------------------------------------------
# Gathers


class Plan(NamedTuple):
    """A gather or scatter in the order (index dimensions, window dimensions), and how to get from there to NumPy's.

    Attributes:
      indices: int array ``[*batch, k]``, wrapped.
      dims: the operand dimension of each of the ``k`` components.
      collapsed: operand dimensions that an index takes away.
      windows: operand dimensions that stay, in order.
      sizes: the window in all operand dimensions.
      batch: the shape of the index dimensions.
      order: permutation from (batch, windows) to the result of NumPy.
    """

    indices: Any
    dims: tuple[int, ...]
    collapsed: tuple[int, ...]
    windows: tuple[int, ...]
    sizes: tuple[int, ...]
    batch: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def result_shape(self) -> tuple[int, ...]:
        whole = (*self.batch, *(self.sizes[d] for d in self.windows))
        return tuple(whole[i] for i in self.order)


def plan(shape: tuple[int, ...], entries: list, wrap: bool = True) -> Plan:
    """Plan a gather or scatter. Integers and integer arrays are broadcast together; slices become windows."""
    advanced = [d for d, e in enumerate(entries) if type(e) is not slice]
    arrays = {d: entries[d] for d in advanced}
    try:
        common = shared(np.shape(a) for a in arrays.values() if not is_symbolic(a))
    except ValueError:
        raise ValueError(
            "shape mismatch: indexing arrays could not be broadcast together with shapes "
            + " ".join(str(np.shape(a)) for a in arrays.values())
        ) from None
    adjacent = bool(advanced) and advanced == list(range(advanced[0], advanced[-1] + 1))

    # Slices with a stride have no window: they are one more index array, with a dimension of its own.
    strided: dict[int, np.ndarray] = {}
    offsets: dict[int, int] = {}
    sizes = [1] * len(shape)
    windows = []
    for d, e in enumerate(entries):
        if type(e) is not slice:
            continue
        start, stop, step, count = slice_range(e, shape[d])
        if step == 1 or count <= 1:
            sizes[d] = count
            windows.append(d)
            if sizes[d] != shape[d]:
                offsets[d] = start if count else 0
        else:
            strided[d] = np.arange(start, stop, step, dtype=np.int32)
    batch = (*common, *(len(v) for v in strided.values()))
    rank = len(batch)
    columns, dims = [], []
    for d in range(len(shape)):
        if d in arrays:
            i = wrapped_index(arrays[d], shape[d], wrap)
            lead = np.ndim(i)
            columns.append(_align(i, (1,) * (len(common) - lead) + tuple(np.shape(i)) + (1,) * len(strided)))
        elif d in strided:
            k = len(common) + list(strided).index(d)
            columns.append(strided[d].reshape([-1 if j == k else 1 for j in range(rank)]))
        elif d in offsets:
            columns.append(_align(wrapped_index(offsets[d], shape[d], False), (1,) * rank))
        else:
            continue
        dims.append(d)
    if all(isinstance(c, np.ndarray) for c in columns):
        indices: Any = (
            np.stack([np.broadcast_to(c, batch) for c in columns], -1) if columns else np.zeros((*batch, 0), np.int32)
        )
    else:
        if len({get_aval(c).dtype for c in columns}) > 1:
            wide = np.dtype(np.int64 if any(get_aval(c).dtype.itemsize > 4 for c in columns) else np.int32)
            columns = [convert(c, wide) for c in columns]
        spread = [reshape(broadcast_to(c, batch), (*batch, 1)) for c in columns]
        indices = lax_shape.concatenate(spread, rank) if len(spread) > 1 else spread[0]

    # (batch, windows) -> the order of NumPy: index dimensions where the first index stood, or in front.
    slots: list[tuple[int, int]] = []
    first = advanced[0] if adjacent else -1
    slots += [(first, i) for i in range(len(common))]
    slots += [(d, len(common) + k) for k, d in enumerate(strided)]
    slots += [(d, rank + k) for k, d in enumerate(windows)]
    order = tuple(i for _, i in sorted(slots, key=lambda s: s[0]))
    collapsed = tuple(d for d in range(len(shape)) if d in arrays or d in strided)
    return Plan(indices, tuple(dims), collapsed, tuple(windows), tuple(sizes), batch, order)


def wrapped_index(i, n: int, wrap: bool):
    """An index array as int32 with negative indices counted from the end."""
    if is_symbolic(i) or is_symbolic(n):
        i = asarray(i)
    elif isinstance(i, (int, np.ndarray, np.generic, _native.Array)) and not isinstance(i, Tracer):
        i = np.asarray(i)
        i = i.astype(np.int64)
        i = np.where(i < 0, i + n, i) if wrap else i
        return np.clip(i, np.iinfo(np.int32).min, np.iinfo(np.int32).max).astype(np.int32)
    dtype = i.dtype if i.dtype.itemsize >= 4 else np.dtype(np.int32)
    i = convert(i, dtype)
    if not wrap or dtypes.issubdtype(dtype, np.unsignedinteger):
        return i
    return select_n.bind(lt.bind(i, dtype.type(0)), i, add.bind(i, asarray(n, dtype)))


def _align(x, shape):
    return x.reshape(shape) if isinstance(x, np.ndarray) else reshape(x, shape)


def _read(x, entries, mode, fill_value, sorted_=False, unique=False, wrap=True):
    shape = get_aval(x).shape
    concrete = isinstance(x, _native.Array) and not any(isinstance(e, Tracer) for e in entries)
    in_bounds = mode is GatherScatterMode.PROMISE_IN_BOUNDS and not _checks_indices()
    if concrete and current_trace() is base_trace and in_bounds:
        index = tuple(e if type(e) is slice else _clamped(e, n) for e, n in zip(entries, shape, strict=True))
        picked = x._value[index] if all(shape) or all(type(e) is slice for e in entries) else None
        if picked is not None and picked.size <= SMALL_GATHER:
            return _native.array_from_numpy(picked, x.aval.update(shape=picked.shape))
    if (
        any(isinstance(e, Tracer) for e in entries)
        and all(
            (isinstance(e, Tracer) and e.ndim == 0)
            or type(e) is int
            or is_symbolic(e)
            or (type(e) is slice and e.step in (None, 1))
            for e in entries
        )
        and mode is GatherScatterMode.PROMISE_IN_BOUNDS
    ):
        return _dynamic_slice(x, entries)
    if mode is GatherScatterMode.PROMISE_IN_BOUNDS:
        mode = GatherScatterMode.CLIP  # a broken promise must not read beside the array
    p = plan(shape, entries, wrap)
    if 0 in p.result_shape:  # nothing is read, possibly from an empty dimension, which has no window of size 1
        return lax_shape.full(p.result_shape, 0, get_aval(x).dtype)
    numbers = GatherDimensionNumbers(
        offset_dims=tuple(range(len(p.batch), len(p.batch) + len(p.windows))), collapsed_slice_dims=p.collapsed,
        start_index_map=p.dims,
    )  # fmt: skip
    out = lax_indexing.gather(
        x, p.indices, numbers, p.sizes, mode=mode, fill_value=fill_value, indices_are_sorted=sorted_,
        unique_indices=unique,
    )  # fmt: skip
    return transpose(out, p.order)


def _checks_indices() -> bool:
    """Whether an option asks for errors where an index is out of bounds."""
    context = current_context()
    return context.debug_checks or context.error_checking_behavior_oob == "raise"


def _clamped(e, n: int) -> np.ndarray:
    i = np.asarray(e).astype(np.int64)
    return np.clip(np.where(i < 0, i + n, i), 0, max(n - 1, 0))


def _dynamic_slice(x, entries):
    """A window of fixed size at a traced start."""
    shape = get_aval(x).shape
    starts, sizes, drop = [], [], []
    for d, (e, n) in enumerate(zip(entries, shape, strict=True)):
        if type(e) is slice:
            start, _, _, count = slice_range(e, n)
            starts.append(start)
            sizes.append(count)
        else:
            starts.append(e)
            sizes.append(1)
            drop.append(d)
    return lax_shape.squeeze(lax_slicing.dynamic_slice(x, starts, sizes), drop)
