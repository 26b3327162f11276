"""The scatter family: write windows of an array at computed positions, combining old and new elements.

``scatter`` overwrites, ``scatter-add``, ``-sub``, ``-mul``, ``-min`` and ``-max`` combine, ``scatter-apply`` applies
any program. Operands are ``(operand, indices, updates)``; which window goes where is described by
`ScatterDimensionNumbers`, the words of gather seen from the other side (see ops/indexing.py). Windows that stick out
are dropped as a whole, unless ``mode`` is CLIP.

Where windows overlap, updates are applied in the order of the indices (row-major over the batch, then the window). So
with ``scatter`` the last one wins, and derivatives agree with that: see `_overwrite_jvp`.

The ``update_jaxpr`` of an equation says how an element is combined, ``(old, new) -> element``; it is None for
overwriting. The name of the primitive implies it, but for ``scatter-apply``, which in JAX is a ``scatter``, too: apart,
no engine can mistake it for overwriting.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from addax.core import dtypes
from addax.core.jaxpr import ClosedJaxpr
from addax.core.notation import Notation
from addax.ops import rules
from addax.ops.indexing import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    add_pair,
    check_correspondence,
    check_dim_list,
    gather,
    update_program,
    windows,
)
from addax.ops.rules import (
    Refusal,
    Zero,
    add_tangents,
    dtype_of,
    instantiate,
    is_linear,
    move_axis,
    primitive,
    registry,
    shape_of,
    to_front,
)
from addax.ops.scalar_program import map_reference

# ---------------------------------------------------------------------------------------------------------------------
# What all scatters share: type, batching, the gather that reads where they write


_LIST_NAMES = tuple(ScatterDimensionNumbers._fields[1:])


def _scatter_type(
    name, operand, indices, updates, *, update_jaxpr, update_consts, dimension_numbers, indices_are_sorted,
    unique_indices, mode,
):  # fmt: skip
    window_dims, inserted, start_map, op_batching, ind_batching = dimension_numbers
    check_correspondence(name, operand, indices, inserted, start_map, op_batching, ind_batching, _LIST_NAMES)
    if updates.dtype != operand.dtype:
        raise TypeError(
            f"lax.{name} requires operand and updates to have the same dtypes, got "
            f"{dtypes.dtype_name(operand.dtype)}, {dtypes.dtype_name(updates.dtype)}. Convert one with "
            "lax.convert_element_type."
        )
    if set(inserted) & set(op_batching):
        raise TypeError(
            f"{name}: inserted_window_dims and operand_batching_dims must be disjoint, got {inserted} "
            f"and {op_batching}."
        )
    if len(window_dims) + len(inserted) + len(op_batching) != operand.ndim:
        raise TypeError(
            f"{name}: each operand dimension must be in inserted_window_dims or operand_batching_dims or have a "
            f"dimension of updates in update_window_dims; got {dimension_numbers} for operand shape {operand.shape}."
        )
    rank = len(window_dims) + indices.ndim - 1
    if updates.ndim != rank:
        raise TypeError(
            f"{name}: updates must have rank {rank} ({len(window_dims)} dimensions of the window and "
            f"{indices.ndim - 1} of the indices, without their last); got updates of shape {updates.shape}."
        )
    check_dim_list(name, "update_window_dims", window_dims, rank)
    batch = tuple(n for d, n in enumerate(updates.shape) if d not in window_dims)
    if batch != indices.shape[:-1]:
        raise TypeError(
            f"{name}: the dimensions of updates not in update_window_dims must be those of the indices without the "
            f"last; got updates of shape {updates.shape}, update_window_dims {window_dims} and indices of shape "
            f"{indices.shape}."
        )
    window = [updates.shape[d] for d in window_dims]
    room = [n for d, n in enumerate(operand.shape) if d not in inserted and d not in op_batching]
    if any(w > n for w, n in zip(window, room, strict=True)):
        raise TypeError(
            f"{name}: the window must fit into the operand, got a window of shape {tuple(window)} in updates of shape "
            f"{updates.shape} for operand shape {operand.shape}."
        )
    if update_jaxpr is not None and [a.dtype for a in update_jaxpr.out_avals] != [operand.dtype]:
        raise TypeError(
            f"{name}: the update function must return one {dtypes.dtype_name(operand.dtype)} scalar, got "
            f"{', '.join(a.str_short() for a in update_jaxpr.out_avals)}."
        )
    return operand


def window_sizes(operand_shape, updates_shape, numbers: ScatterDimensionNumbers) -> tuple[int, ...]:
    """The size of the window in each dimension of the operand."""
    window = iter([updates_shape[d] for d in numbers.update_window_dims])
    single = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return tuple(min(1, n) if d in single else next(window) for d, n in enumerate(operand_shape))


def read_back(operand, indices, updates_shape, params, fill_value=0):
    """Gather from ``operand`` the elements that a scatter with these parameters writes."""
    if 0 in shape_of(operand) or 0 in updates_shape:  # no element of the operand is written
        return rules.full(updates_shape, fill_value or 0, dtype_of(operand))
    numbers, mode = params["dimension_numbers"], params["mode"]
    drops = mode in (GatherScatterMode.FILL_OR_DROP, GatherScatterMode.ONE_HOT)
    return gather.bind(
        operand, indices, dimension_numbers=GatherDimensionNumbers(*numbers),
        slice_sizes=window_sizes(shape_of(operand), updates_shape, numbers),
        unique_indices=params["unique_indices"], indices_are_sorted=params["indices_are_sorted"],
        mode=GatherScatterMode.FILL_OR_DROP if drops else mode, fill_value=fill_value if drops else None,
    )  # fmt: skip


def _scatter_batch(p, axis, args, dims, *, dimension_numbers, **params):
    operand, indices, updates = args
    window_dims, inserted, start_map, op_batching, ind_batching = dimension_numbers
    operand = to_front(operand, dims[0], axis.size)
    updates = to_front(updates, dims[2], axis.size)
    inserted, start_map, op_batching = (tuple(d + 1 for d in dims_) for dims_ in (inserted, start_map, op_batching))
    window_dims = tuple(d + 1 for d in window_dims)
    if dims[1] is None:
        window_dims = (0, *window_dims)
    else:
        indices = move_axis(indices, dims[1], 0)
        op_batching, ind_batching = add_pair(op_batching, tuple(d + 1 for d in ind_batching), 0, 0)
    numbers = ScatterDimensionNumbers(window_dims, inserted, start_map, op_batching, ind_batching)
    return p.bind(operand, indices, updates, dimension_numbers=numbers, **params), 0


def _scatter_reference(
    combine, x, indices, updates, *, update_jaxpr, update_consts, dimension_numbers, indices_are_sorted,
    unique_indices, mode,
):  # fmt: skip
    window_dims, _, start_map, op_batching, ind_batching = dimension_numbers
    sizes = window_sizes(x.shape, updates.shape, dimension_numbers)
    clip = mode is GatherScatterMode.CLIP
    positions, inside = windows(x.shape, indices, sizes, start_map, op_batching, ind_batching, clip)
    batch_dims = [d for d in range(updates.ndim) if d not in window_dims]
    updates = np.transpose(updates, [*batch_dims, *window_dims])
    out = np.array(x, order="C")  # a copy
    combine(out.reshape(-1), positions[inside].reshape(-1), updates[inside].reshape(-1))
    return out


def _family_member(name: str, jvp, transpose, combine):
    p = primitive(
        name,
        functools.partial(_scatter_type, name),
        jvp=jvp,
        transpose=transpose,
        reference=functools.partial(_scatter_reference, combine),
    )
    p.batch = functools.partial(_scatter_batch, p)
    p.notation = Notation(open=("update_jaxpr",))
    return p


def _at(ufunc: np.ufunc):
    """Combine by a ufunc, update by update."""

    def combine(flat: np.ndarray, positions: np.ndarray, updates: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            ufunc.at(flat, positions, updates)

    return combine


def _with_combiner(params: dict, name: str, dtype) -> dict:
    """The parameters of a scatter for the member of the family that combines by primitive ``name``."""
    return params | {"update_jaxpr": update_program(name, dtype), "update_consts": ()}


def _add_into(operand, indices, updates, params: dict):
    return scatter_add.bind(operand, indices, updates, **_with_combiner(params, "add", dtype_of(operand)))


# ---------------------------------------------------------------------------------------------------------------------
# scatter: the last update wins


def _overwrite_jvp(primals, tangents, **params):
    operand, indices, updates = primals
    dot_operand, _, dot_updates = tangents
    out = scatter.bind(operand, indices, updates, **params)
    if type(dot_operand) is Zero and type(dot_updates) is Zero:
        return out, Zero.of(out)
    if type(dot_updates) is Zero or params["unique_indices"]:
        # Linear in operand and updates together.
        return out, scatter.bind(instantiate(dot_operand), indices, instantiate(dot_updates), **params)
    # Only the update that won has an influence. To find out which, scatter the number of each update instead of its
    # value: where its own number is read back, it won.
    shape = shape_of(updates)
    n = math.prod(shape)
    count = np.dtype(np.uint32 if n < 2**32 - 1 else np.uint64)
    numbers = registry["iota"].bind(dtype=count, shape=(n,), dimension=0, sharding=None)
    numbers = rules.reshape(registry["add"].bind(numbers, rules.full((n,), 1, count)), shape)
    winners = scatter.bind(rules.full(shape_of(operand), 0, count), indices, numbers, **params)
    won = registry["eq"].bind(read_back(winners, indices, shape, params), numbers)
    zero = rules.full(shape, 0, dtype_of(dot_updates))
    kept = instantiate(dot_operand) if type(dot_operand) is Zero else scatter.bind(dot_operand, indices, zero, **params)
    return out, _add_into(kept, indices, registry["select_n"].bind(won, zero, dot_updates), params)


def _overwrite_transpose(ct, operand, indices, updates, **params):
    shape = updates.aval.shape if is_linear(updates) else shape_of(updates)
    if is_linear(updates) and not params["unique_indices"]:
        raise NotImplementedError("scatter is linear in its updates only if unique_indices=True")
    operand_ct = updates_ct = None
    if is_linear(operand):
        operand_ct = scatter.bind(ct, indices, rules.full(shape, 0, dtype_of(ct)), **params)
    if is_linear(updates):
        updates_ct = read_back(ct, indices, shape, params)
    return [operand_ct, None, updates_ct]


def _overwrite(flat: np.ndarray, positions: np.ndarray, updates: np.ndarray) -> None:
    flat[positions] = updates  # NumPy assigns in order, too


scatter = _family_member("scatter", _overwrite_jvp, _overwrite_transpose, _overwrite)


# ---------------------------------------------------------------------------------------------------------------------
# scatter-apply: any program of the old element and the update


def _apply_in_rounds(closed: ClosedJaxpr, flat: np.ndarray, positions: np.ndarray, updates: np.ndarray) -> None:
    """Combine by a program on scalars, one update after the other where positions repeat.

    Updates are applied in rounds, the k-th update of each position in round k, and each round as one array operation.
    """
    order = np.argsort(positions, kind="stable")
    ordered = positions[order]
    first = np.searchsorted(ordered, ordered)
    rounds = np.empty(len(positions), np.int64)
    rounds[order] = np.arange(len(positions)) - first
    for k in range(rounds.max(initial=-1) + 1):
        now = rounds == k
        at = positions[now]
        flat[at] = map_reference(closed, [flat[at], updates[now]])[0]


def _apply_reference(*args, update_jaxpr, update_consts, **params):
    combine = functools.partial(_apply_in_rounds, ClosedJaxpr(update_jaxpr, update_consts))
    return _scatter_reference(combine, *args, update_jaxpr=update_jaxpr, update_consts=update_consts, **params)


def _apply_jvp(primals, tangents, **params):
    out = scatter_apply.bind(*primals, **params)
    if all(type(t) is Zero for t in tangents):
        return out, Zero.of(out)
    raise NotImplementedError(
        "scatter_apply (x.at[i].apply(f)) has no derivative. Gather, apply and scatter instead: x.at[i].set(f(x[i])), "
        "which is the same if no index occurs twice."
    )


scatter_apply = _family_member("scatter-apply", _apply_jvp, Refusal("scatter-apply is not linear"), _overwrite)
scatter_apply.reference = _apply_reference


# ---------------------------------------------------------------------------------------------------------------------
# scatter-add, scatter-sub: linear in operand and updates


def _sum_jvp(p, primals, tangents, **params):
    operand, indices, updates = primals
    dot_operand, _, dot_updates = tangents
    out = p.bind(operand, indices, updates, **params)
    if type(dot_updates) is Zero:
        return out, dot_operand
    return out, p.bind(instantiate(dot_operand), indices, dot_updates, **params)


def _add_transpose(ct, operand, indices, updates, **params):
    updates_ct = read_back(ct, indices, updates.aval.shape, params) if is_linear(updates) else None
    return [ct if is_linear(operand) else None, None, updates_ct]


def _sub_transpose(ct, operand, indices, updates, **params):
    operand_ct, _, updates_ct = _add_transpose(ct, operand, indices, updates, **params)
    return [operand_ct, None, None if updates_ct is None else registry["neg"].bind(updates_ct)]


scatter_add = _family_member("scatter-add", None, _add_transpose, _at(np.add))
scatter_add.jvp = functools.partial(_sum_jvp, scatter_add)

scatter_sub = _family_member("scatter-sub", None, _sub_transpose, _at(np.subtract))
scatter_sub.jvp = functools.partial(_sum_jvp, scatter_sub)


# ---------------------------------------------------------------------------------------------------------------------
# scatter-mul


def _mul_jvp(primals, tangents, **params):
    operand, indices, updates = primals
    dot_operand, _, dot_updates = tangents
    out = scatter_mul.bind(operand, indices, updates, **params)
    total = Zero.of(out)
    if type(dot_operand) is not Zero:
        total = scatter_mul.bind(dot_operand, indices, updates, **params)
    if type(dot_updates) is not Zero:
        if not params["unique_indices"]:
            raise NotImplementedError(
                "scatter_mul gradients with respect to the updates are only implemented if `unique_indices=True`: pass "
                "it if no index occurs twice: x.at[i].multiply(y, unique_indices=True)."
            )
        written = _add_into(instantiate(Zero.of(out)), indices, dot_updates, params)
        total = add_tangents(total, registry["mul"].bind(operand, written))
    return out, total


def _mul_transpose(ct, operand, indices, updates, **params):
    if is_linear(updates):
        raise NotImplementedError(
            "scatter_mul is not linear in its updates: where no index points, the result does not depend on them"
        )
    return [scatter_mul.bind(ct, indices, updates, **params), None, None]


scatter_mul = _family_member("scatter-mul", _mul_jvp, _mul_transpose, _at(np.multiply))


# ---------------------------------------------------------------------------------------------------------------------
# scatter-min, scatter-max


def _extremum_jvp(p, primals, tangents, **params):
    """The tangent of the element that won; of several equal ones, their mean, as for reduce_min and reduce_max."""
    operand, indices, updates = primals
    dot_operand, _, dot_updates = tangents
    out = p.bind(operand, indices, updates, **params)
    if type(dot_operand) is Zero and type(dot_updates) is Zero:
        return out, Zero.of(out)
    dtype = dtype_of(out)
    counts = np.dtype(np.float64 if dtype in (np.float64, np.complex128) else np.float32)
    one_of = registry["eq"].bind
    shape = shape_of(updates)
    hit = one_of(updates, read_back(out, indices, shape, params))
    kept = rules.convert(one_of(operand, out), counts)
    hits = _add_into(rules.full(shape_of(out), 0, counts), indices, rules.convert(hit, counts), params)
    winners = registry["add"].bind(hits, kept)
    ones = rules.full(shape_of(out), 1, counts)
    share = registry["div"].bind(ones, registry["max"].bind(winners, ones))  # NaN equals nothing: then 0 won
    if type(dot_operand) is Zero:
        total = instantiate(dot_operand)
    else:
        total = registry["mul"].bind(dot_operand, rules.convert(registry["mul"].bind(kept, share), dtype))
    if type(dot_updates) is not Zero:
        shares = rules.convert(read_back(share, indices, shape, params), dtype)
        shares = registry["select_n"].bind(hit, rules.full(shape, 0, dtype), shares)
        total = _add_into(total, indices, registry["mul"].bind(dot_updates, shares), params)
    return out, total


_NOT_LINEAR = "{} is not linear; its derivative is made of scatter-add and products"

scatter_min = _family_member("scatter-min", None, Refusal(_NOT_LINEAR.format("scatter-min")), _at(np.minimum))
scatter_min.jvp = functools.partial(_extremum_jvp, scatter_min)

scatter_max = _family_member("scatter-max", None, Refusal(_NOT_LINEAR.format("scatter-max")), _at(np.maximum))
scatter_max.jvp = functools.partial(_extremum_jvp, scatter_max)

__all__ = [
    "ScatterDimensionNumbers", "scatter", "scatter_add", "scatter_apply", "scatter_max", "scatter_min", "scatter_mul",
    "scatter_sub",
]  # fmt: skip
