"""``gather``: read windows of an array at computed positions. What all of ``x[i]``, ``jnp.take`` and friends become.

A gather is described as in XLA. ``start_indices`` has shape ``[*batch, k]``: for each position in ``batch`` a vector
of k starts, one for each operand dimension in ``start_index_map``; the starts of the other dimensions are 0. At each
start a window of ``slice_sizes`` is read. Window dimensions in ``collapsed_slice_dims`` (of size 1) are dropped; the
others stand at ``offset_dims`` of the result, and ``batch`` fills the rest of it. Along ``operand_batching_dims`` the
operand is not searched but paired with ``start_indices_batching_dims`` of the indices.

``scatter.py`` writes where this reads, and shares `GatherScatterMode` and `windows` with it. Read `windows` first: it
is the meaning of both.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.jaxpr import Eqn, Jaxpr, Var
from addax.core.notation import register_param_type
from addax.ops.rules import Zero, is_linear, move_axis, primitive, registry, zeros
from addax.ops.shape import around, check_sizes


@register_param_type
class GatherDimensionNumbers(NamedTuple):
    """How the dimensions of operand, indices and result of a gather correspond; see the top of this module.

    Attributes:
      offset_dims: dimensions of the result that run over the window, increasing.
      collapsed_slice_dims: operand dimensions whose window has size 1 and is dropped, increasing.
      start_index_map: the operand dimension that each component of a start is for.
      operand_batching_dims: operand dimensions paired with ``start_indices_batching_dims``, increasing.
      start_indices_batching_dims: their partners in the indices.
    """

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


@register_param_type
class GatherScatterMode(enum.Enum):
    """What indices out of bounds mean.

    CLIP: they are moved to the nearest position whose window fits.
    FILL_OR_DROP: gathers read a fill value there, scatters skip the update.
    PROMISE_IN_BOUNDS: the program promises that there are none. (Gathers then clip and scatters drop, here.)
    ONE_HOT: for scatters like FILL_OR_DROP.
    """

    CLIP = enum.auto()
    FILL_OR_DROP = enum.auto()
    PROMISE_IN_BOUNDS = enum.auto()
    ONE_HOT = enum.auto()

    def __str__(self) -> str:
        return f"GatherScatterMode.{self.name}"

    @staticmethod
    def from_any(s: str | GatherScatterMode | None) -> GatherScatterMode:
        """The mode a user means: a mode, its name (``"clip"``, ``"fill"`` or ``"drop"``, ...), or None."""
        if isinstance(s, GatherScatterMode):
            return s
        try:
            return _MODES[s]
        except (KeyError, TypeError):
            names = ", ".join(repr(name) for name in _MODES if name)
            raise ValueError(f'Unknown gather mode "{s}": expected one of {names}, or a GatherScatterMode.') from None


_MODES: dict[Any, GatherScatterMode] = {
    "clip": GatherScatterMode.CLIP,
    "fill": GatherScatterMode.FILL_OR_DROP,
    "drop": GatherScatterMode.FILL_OR_DROP,
    "promise_in_bounds": GatherScatterMode.PROMISE_IN_BOUNDS,
    "one_hot": GatherScatterMode.ONE_HOT,
    None: GatherScatterMode.FILL_OR_DROP,
}


def windows(
    shape: Sequence[int],
    indices: np.ndarray,
    sizes: Sequence[int],
    start_map: Sequence[int],
    operand_batching: Sequence[int],
    indices_batching: Sequence[int],
    clip: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The meaning of an index array.

    Args:
      shape: of the operand.
      indices: ``[*batch, k]``.
      sizes: of the window, one per operand dimension.
      start_map, operand_batching, indices_batching: as in `GatherDimensionNumbers`.
      clip: whether starts are moved to where the window fits.

    Returns:
      ``[*batch, *sizes]``, positions in the flattened operand, and ``[*batch]``, whether the window lies inside. Where
      it does not, the positions are those of the clipped window.
    """
    batch = indices.shape[:-1]
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.iinfo(np.int64).max)
    indices = indices.astype(np.int64)
    rank = len(shape)
    flat = np.zeros((*batch, *(1,) * rank), np.int64)
    inside = np.ones(batch, bool)
    stride = 1
    for d in reversed(range(rank)):
        last = shape[d] - sizes[d]
        along = np.arange(sizes[d]).reshape([-1 if i == d else 1 for i in range(rank)])
        if d in operand_batching:
            partner = indices_batching[operand_batching.index(d)]
            start = np.arange(batch[partner]).reshape([-1 if i == partner else 1 for i in range(len(batch))])
        elif d in start_map:
            start = indices[..., start_map.index(d)]
            inside &= (start >= 0) & (start <= last)
            start = np.clip(start, 0, last)
        else:
            start = np.zeros((1,) * len(batch), np.int64)
        flat = flat + (start.reshape(*start.shape, *(1,) * rank) + along) * stride
        stride *= shape[d]
    if clip:
        inside[...] = True
    return np.broadcast_to(flat, (*batch, *sizes)), inside


@functools.lru_cache(maxsize=256)
def update_program(name: str, dtype) -> Jaxpr:
    """``{ lambda ; a b. let c = name a b in (c,) }`` on scalars: how a scatter combines old and new."""
    aval = ShapedArray((), dtype)
    combine = registry[name]
    combine.infer((aval, aval), {})
    a, b, c = Var(aval), Var(aval), Var(aval)
    return Jaxpr([], [a, b], [c], [Eqn(combine, [a, b], [c], {})])


def default_fill_value(dtype) -> Any:
    """What gathers read out of bounds: NaN, the smallest signed and the largest unsigned integer, True."""
    if dtypes.issubdtype(dtype, np.inexact):
        return float("nan")
    if dtypes.issubdtype(dtype, np.signedinteger):
        return int(dtypes.iinfo(dtype).min)
    if dtypes.issubdtype(dtype, np.unsignedinteger):
        return int(dtypes.iinfo(dtype).max)
    if dtype == np.bool_:
        return True
    if dtypes.is_extended(dtype):
        return (1 << 8 * dtype.itemsize) - 1  # all words 0xffffffff
    raise ValueError(f"there is no fill value for dtype {dtypes.dtype_name(dtype)}; pass fill_value")


# ---------------------------------------------------------------------------------------------------------------------
# Type rules. Gather and scatter describe the same correspondence in different words, so they share the checks.


def check_dim_list(op: str, what: str, dims: Sequence[int], rank: int, increasing: bool = True) -> None:
    for d in dims:
        if not 0 <= d < rank:
            raise TypeError(f"{op}: {what} must be in [0, {rank}), got {tuple(dims)} with {d}.")
    if len(set(dims)) != len(dims):
        raise TypeError(f"{op}: {what} must not repeat, got {tuple(dims)}.")
    if increasing and list(dims) != sorted(dims):
        raise TypeError(f"{op}: {what} must be sorted, got {tuple(dims)}.")


def check_correspondence(op: str, operand, indices, dropped, start_map, op_batching, ind_batching, names) -> None:
    """The checks that concern operand and indices; ``names`` are what the op calls the four lists."""
    dropped_name, map_name, op_name, ind_name = names
    if not dtypes.issubdtype(indices.dtype, np.integer):
        raise TypeError(f"{op}: indices must have an integer type, got {indices.str_short(short_dtypes=False)}.")
    if not indices.ndim:
        raise TypeError(
            f"{op}: indices must have at least one dimension, whose last runs over the components of a start; got a "
            "scalar. Write indices[..., None]."
        )
    check_dim_list(op, dropped_name, dropped, operand.ndim)
    check_dim_list(op, map_name, start_map, operand.ndim, increasing=False)
    check_dim_list(op, op_name, op_batching, operand.ndim)
    check_dim_list(op, ind_name, ind_batching, indices.ndim, increasing=False)
    if len(start_map) != indices.shape[-1]:
        raise TypeError(
            f"{op}: the last dimension of indices must have one entry per dimension in {map_name}; got indices of "
            f"shape {indices.shape} and {map_name}={start_map}."
        )
    for name, dims in ((dropped_name, dropped), (map_name, start_map)):
        if set(dims) & set(op_batching):
            raise TypeError(f"{op}: {name} and {op_name} must be disjoint, got {dims} and {op_batching}.")
    if len(op_batching) != len(ind_batching):
        raise TypeError(f"{op}: {op_name} and {ind_name} must be equally many, got {op_batching} and {ind_batching}.")
    if indices.ndim - 1 in ind_batching:
        raise TypeError(f"{op}: {ind_name} must not contain the last dimension of indices, got {ind_batching}.")
    paired = [(operand.shape[a], indices.shape[b]) for a, b in zip(op_batching, ind_batching, strict=True)]
    if any(a != b for a, b in paired):
        raise TypeError(
            f"{op}: batching dimensions of operand and indices must have the same sizes, got "
            f"{tuple(a for a, _ in paired)} and {tuple(b for _, b in paired)}."
        )


def _gather_type(
    operand, indices, *, dimension_numbers, slice_sizes, indices_are_sorted, unique_indices, mode, fill_value
):
    op = "gather"
    offset, collapsed, start_map, op_batching, ind_batching = dimension_numbers
    check_correspondence(
        op, operand, indices, collapsed, start_map, op_batching, ind_batching,
        ("collapsed_slice_dims", "start_index_map", "operand_batching_dims", "start_indices_batching_dims"),
    )  # fmt: skip
    if len(slice_sizes) != operand.ndim:
        raise TypeError(
            f"{op}: slice_sizes must have one entry per dimension of the operand, got {slice_sizes} for operand shape "
            f"{operand.shape}."
        )
    check_sizes(op, "slice_sizes", slice_sizes)
    dropped = {*collapsed, *op_batching}
    for d, (n, w) in enumerate(zip(operand.shape, slice_sizes, strict=True)):
        if w > n:
            raise TypeError(
                f"{op}: slice_sizes must be at most the operand shape, got slice_sizes {slice_sizes} for operand shape "
                f"{operand.shape}; there is nothing to read {w} of in dimension {d}."
            )
        if w != 1 and (d in collapsed or (d in op_batching and w != 0)):
            raise TypeError(
                f"{op}: the window must have size 1 in collapsed_slice_dims and operand_batching_dims, got slice_sizes "
                f"{slice_sizes} with {w} in dimension {d}."
            )
    if set(collapsed) & set(op_batching):
        raise TypeError(
            f"{op}: collapsed_slice_dims and operand_batching_dims must be disjoint, got {collapsed} and {op_batching}."
        )
    window = [w for d, w in enumerate(slice_sizes) if d not in dropped]
    rank = len(offset) + indices.ndim - 1
    if len(window) != len(offset):
        raise TypeError(
            f"{op}: each operand dimension must be in collapsed_slice_dims or operand_batching_dims or have a "
            f"dimension of the result in offset_dims; got offset_dims {offset} for {len(window)} window dimensions."
        )
    check_dim_list(op, "offset_dims", offset, rank)
    if mode is GatherScatterMode.ONE_HOT:
        raise TypeError(f"{op}: mode 'one_hot' is not for gathers; use 'clip', 'fill' or 'promise_in_bounds'.")
    windows_, batch = iter(window), iter(indices.shape[:-1])
    shape = tuple(next(windows_) if d in offset else next(batch) for d in range(rank))
    return operand.update(shape=shape)


# ---------------------------------------------------------------------------------------------------------------------
# gather


def _gather_jvp(primals, tangents, *, fill_value, **params):
    operand, indices = primals
    out = gather.bind(operand, indices, fill_value=fill_value, **params)
    if type(tangents[0]) is Zero:
        return out, Zero.of(out)
    # The fill value is a constant, so its tangent is 0.
    fill = 0 if params["mode"] is GatherScatterMode.FILL_OR_DROP else None
    return out, gather.bind(tangents[0], indices, fill_value=fill, **params)


def _gather_transpose(
    ct, operand, indices, *, dimension_numbers, slice_sizes, indices_are_sorted, unique_indices, mode, fill_value
):
    if not is_linear(operand):
        return [None, None]
    # The fields correspond one to one: offset dims are what scatter calls update window dims, and so on.
    scatter_add = registry["scatter-add"]
    operand_ct = scatter_add.bind(
        zeros(operand.aval), indices, ct,
        update_jaxpr=update_program("add", operand.aval.dtype), update_consts=(),
        dimension_numbers=ScatterDimensionNumbers(*dimension_numbers),
        indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode,
    )  # fmt: skip
    return [operand_ct, None]


def _gather_batch(axis, args, dims, *, dimension_numbers, slice_sizes, **params):
    operand, indices = args
    bdim, ind_bdim = dims
    offset, collapsed, start_map, op_batching, ind_batching = dimension_numbers
    if bdim is not None:
        collapsed, start_map, op_batching = (
            tuple(d + (d >= bdim) for d in dims_) for dims_ in (collapsed, start_map, op_batching)
        )
    if ind_bdim is None:
        assert bdim is not None  # one of the two is batched
        # The batch is one more dimension of the window, standing as far left in the result as the order allows.
        dropped = {*collapsed, *op_batching}
        k = sum(d not in dropped for d in range(bdim))
        out_dim = offset[k - 1] + 1 if k else 0
        offset = (*offset[:k], out_dim, *(d + 1 for d in offset[k:]))
        slice_sizes = around(slice_sizes, bdim, axis.size)
    else:
        indices = move_axis(indices, ind_bdim, 0)
        offset = tuple(d + 1 for d in offset)
        ind_batching = tuple(d + 1 for d in ind_batching)
        out_dim = 0
        if bdim is not None:
            op_batching, ind_batching = add_pair(op_batching, ind_batching, bdim, 0)
            slice_sizes = around(slice_sizes, bdim, min(1, axis.size))
    numbers = GatherDimensionNumbers(offset, collapsed, start_map, op_batching, ind_batching)
    return gather.bind(operand, indices, dimension_numbers=numbers, slice_sizes=slice_sizes, **params), out_dim


def add_pair(op_batching, ind_batching, d: int, partner: int) -> tuple[tuple, tuple]:
    """Batching dims with one more pair, kept in increasing order of the operand's dimensions."""
    pairs = sorted([*zip(op_batching, ind_batching, strict=True), (d, partner)])
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def _gather_reference(
    x, indices, *, dimension_numbers, slice_sizes, indices_are_sorted, unique_indices, mode, fill_value
):
    offset, collapsed, start_map, op_batching, ind_batching = dimension_numbers
    fill = mode is GatherScatterMode.FILL_OR_DROP
    positions, inside = windows(x.shape, indices, slice_sizes, start_map, op_batching, ind_batching, clip=not fill)
    out = x.reshape(-1)[positions] if x.size else np.zeros(positions.shape, x.dtype)
    if not inside.all():
        value = _fill_element(fill_value, x.dtype)
        out = np.where(inside.reshape(*inside.shape, *(1,) * x.ndim), out, value)
    rank = inside.ndim
    out = out.reshape(
        (*inside.shape, *(w for d, w in enumerate(slice_sizes) if d not in collapsed and d not in op_batching))
    )
    batch, window = iter(range(rank)), iter(range(rank, out.ndim))
    return np.transpose(out, [next(window) if d in offset else next(batch) for d in range(out.ndim)])


def _fill_element(value, dtype):
    if value is None:
        value = default_fill_value(dtype)
    return np.asarray(value).astype(dtype)


gather = primitive(
    "gather",
    _gather_type,
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=_gather_batch,
    reference=_gather_reference,
)


@register_param_type
class ScatterDimensionNumbers(NamedTuple):
    """How the dimensions of operand, indices and updates of a scatter correspond.

    A scatter is the gather that reads where it writes, field by field under other names.

    Attributes:
      update_window_dims: dimensions of the updates that run over the window, increasing.
      inserted_window_dims: operand dimensions whose window has size 1 and is absent from the updates, increasing.
      scatter_dims_to_operand_dims: the operand dimension that each component of a start is for.
      operand_batching_dims: operand dimensions paired with ``scatter_indices_batching_dims``, increasing.
      scatter_indices_batching_dims: their partners in the indices.
    """

    update_window_dims: Sequence[int]
    inserted_window_dims: Sequence[int]
    scatter_dims_to_operand_dims: Sequence[int]
    operand_batching_dims: Sequence[int] = ()
    scatter_indices_batching_dims: Sequence[int] = ()


__all__ = [
    "GatherDimensionNumbers", "GatherScatterMode", "ScatterDimensionNumbers", "default_fill_value", "gather",
    "update_program", "windows",
]  # fmt: skip
