"""How patterns pass through the primitives that occur in derivatives (see walk.py; control flow is in loops.py).

Most primitives move elements. Where to is found by running their NumPy definition on the numbers of the elements
instead of on the elements, so it is written down once.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from addax.core.jaxpr import Eqn
from addax.ops.indexing import GatherScatterMode, windows as gather_windows
from addax.ops.scatter import window_sizes
from addax.ops.windows import Windows, pad_reference
from addax.sparse_derivatives.patterns import Pattern, along, group, mix, stack, take, union
from addax.sparse_derivatives.walk import Value, dense, rule, size_of


def numbers(shape: tuple[int, ...], first: int = 0) -> np.ndarray:
    return np.arange(first, first + math.prod(shape)).reshape(shape)


def stretched(pattern: Pattern, shape: tuple[int, ...], to: tuple[int, ...]) -> Pattern:
    return pattern if shape == to else take(pattern, np.broadcast_to(numbers(shape), to))


# ---------------------------------------------------------------------------------------------------------------------
# Elementwise


@rule(*"add_any convert_element_type clamp copy name to_memory sharding_constraint pvary reduce_precision".split())
def elementwise(eqn: Eqn, values: list[Value]):
    to = eqn.outvars[0].aval.shape
    live = [(v.pattern, x.aval.shape) for v, x in zip(values, eqn.invars, strict=True) if v.pattern is not None]
    return [union([stretched(p, shape, to) for p, shape in live])]


@rule("mul")
def product(eqn: Eqn, values: list[Value]):
    """A factor that is known to be 0 removes what it multiplies."""
    (out,) = elementwise(eqn, values)
    factors = [v.known for v in values if v.pattern is None]
    if len(factors) == 1 and factors[0] is not None:
        kept = np.broadcast_to(factors[0].force() != 0, eqn.outvars[0].aval.shape)
        if not kept.all():
            out = take(out, np.where(kept, numbers(kept.shape), -1))
    return [out]


@rule("select_n")
def choice(eqn: Eqn, values: list[Value]):
    return moved(eqn, values, 1) if values[0].known is not None else elementwise(eqn, values)


@rule("optimization_barrier")
def barrier(eqn: Eqn, values: list[Value]):
    return [v.pattern for v in values]


@rule("stop_gradient")
def stopped(eqn: Eqn, values: list[Value]):
    return [None] * len(eqn.outvars)


# ---------------------------------------------------------------------------------------------------------------------
# Elements that move


def moved(eqn: Eqn, values: list[Value], indices: int = 0):
    """A primitive that copies elements. Its first ``indices`` operands are known numbers."""
    arrays, live, first = [], [], 1
    for i, (v, x) in enumerate(zip(values, eqn.invars, strict=True)):
        if i < indices:
            assert v.known is not None
            arrays.append(v.known.force())
        elif v.pattern is None:
            arrays.append(np.zeros(x.aval.shape, np.int64))
        else:
            arrays.append(numbers(x.aval.shape, first))
            live.append(v.pattern)
            first += size_of(x)
    out = eqn.primitive.reference(*arrays, **eqn.params)
    rows = stack(live)
    return [take(rows, ids - 1) for ids in (out if eqn.primitive.multiple_results else [out])]


@rule(
    "broadcast_in_dim", "reshape", "transpose", "squeeze", "rev", "slice", "pad", "concatenate", "stack", "unstack", "split",
    "tile",
)  # fmt: skip
def layout(eqn: Eqn, values: list[Value]):
    return moved(eqn, values)


@rule("dynamic_slice")
def dynamic_slice(eqn: Eqn, values: list[Value]):
    operand, *starts = values
    assert operand.pattern is not None
    shape, sizes = eqn.invars[0].aval.shape, eqn.params["slice_sizes"]
    if all(s.known is not None for s in starts):
        where = [s.known.force() for s in starts if s.known is not None]
        ids = eqn.primitive.reference(numbers(shape), *where, **eqn.params)
        return [take(operand.pattern, ids)]
    out = operand.pattern
    for d, (n, w) in enumerate(zip(shape, sizes, strict=True)):
        if w != n:
            out = along(out, (*sizes[:d], *shape[d:]), d, np.ones((w, n), np.bool_))
    return [out]


@rule("dynamic_update_slice")
def dynamic_update_slice(eqn: Eqn, values: list[Value]):
    operand, update, *starts = values
    shape, window = eqn.invars[0].aval.shape, eqn.invars[1].aval.shape
    if all(s.known is not None for s in starts):
        where = [s.known.force() for s in starts if s.known is not None]
        first = [0 if v.pattern is None else 1 for v in (operand, update)]
        old = numbers(shape, 1) * first[0]
        new = numbers(window, 1 + first[0] * math.prod(shape)) * first[1]
        ids = eqn.primitive.reference(old, new, *where, **eqn.params)
        return [take(stack([v.pattern for v in (operand, update) if v.pattern is not None]), ids - 1)]
    parts = [] if operand.pattern is None else [operand.pattern]
    if update.pattern is not None:
        spread = update.pattern
        for d, (n, w) in enumerate(zip(shape, window, strict=True)):
            if w != n:
                spread = along(spread, (*shape[:d], *window[d:]), d, np.ones((n, w), np.bool_))
        parts.append(spread)
    return [union(parts)]


# ---------------------------------------------------------------------------------------------------------------------
# Gather and scatter


def _arranged(ids: np.ndarray, batch_rank: int, shape: tuple[int, ...], window_dims) -> np.ndarray:
    """From (batch, window) to the order of the gathered or scattered array, of this shape."""
    batch = ids.shape[:batch_rank]
    ids = ids.reshape((*batch, *(shape[d] for d in window_dims)))
    order = iter(range(batch_rank))
    windows = iter(range(batch_rank, ids.ndim))
    return np.transpose(ids, [next(windows) if d in window_dims else next(order) for d in range(len(shape))])


def _unknown_windows(shape, sizes, window_shape, window_dims, dropped, start_map, op_batching, ind_batching):
    """Where indices are not known: (the part of the operand that an element of the operand, and of the windows, is in).

    A part is what the indices cannot leave: dimensions that are taken whole, and batching dimensions, stay apart.
    """
    whole = [
        d
        for d, (n, w) in enumerate(zip(shape, sizes, strict=True))
        if w == n and d not in start_map and d not in dropped
    ]
    parts = [n if d in whole or d in op_batching else 1 for d, n in enumerate(shape)]
    ids = numbers(tuple(parts))
    of_operand = np.broadcast_to(ids, shape)
    batch_dims = [d for d in range(len(window_shape)) if d not in window_dims]
    remaining = [d for d in range(len(shape)) if d not in dropped and d not in op_batching]
    position: list = [0] * len(shape)
    for d, out_d in zip(remaining, window_dims, strict=True):
        if d in whole:
            position[d] = np.arange(shape[d]).reshape([-1 if k == out_d else 1 for k in range(len(window_shape))])
    for d, b in zip(op_batching, ind_batching, strict=True):
        at = batch_dims[b]
        position[d] = np.arange(shape[d]).reshape([-1 if k == at else 1 for k in range(len(window_shape))])
    of_window = np.broadcast_to(ids[tuple(position)] if shape else ids, window_shape)
    return of_operand, of_window, ids.size


@rule("gather")
def gather(eqn: Eqn, values: list[Value]):
    operand, indices = values
    if operand.pattern is None:
        return dense(eqn, values)
    shape, out = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    offset, collapsed, start_map, op_batching, ind_batching = eqn.params["dimension_numbers"]
    sizes = eqn.params["slice_sizes"]
    if indices.known is not None:
        drop = eqn.params["mode"] is GatherScatterMode.FILL_OR_DROP
        positions, inside = gather_windows(
            shape, indices.known.force(), sizes, start_map, op_batching, ind_batching, clip=not drop
        )
        ids = np.where(inside.reshape(*inside.shape, *(1,) * len(shape)), positions, -1)
        return [take(operand.pattern, _arranged(ids, inside.ndim, out, offset))]
    of_operand, of_window, n = _unknown_windows(
        shape, sizes, out, offset, collapsed, start_map, op_batching, ind_batching
    )
    return [take(group(operand.pattern, of_operand, n), of_window)]


@rule("scatter", "scatter-add", "scatter-sub", "scatter-mul")
def scatter(eqn: Eqn, values: list[Value]):
    operand, indices, updates = values
    shape, window = eqn.invars[0].aval.shape, eqn.invars[2].aval.shape
    n = math.prod(shape)
    numbers_ = eqn.params["dimension_numbers"]
    window_dims, inserted, start_map, op_batching, ind_batching = numbers_
    parts = []
    if operand.pattern is not None:
        parts.append(operand.pattern)
    sizes = window_sizes(shape, window, numbers_)
    if indices.known is not None:
        drop = eqn.params["mode"] is not GatherScatterMode.CLIP
        positions, inside = gather_windows(
            shape, indices.known.force(), sizes, start_map, op_batching, ind_batching, clip=not drop
        )
        ids = np.where(inside.reshape(*inside.shape, *(1,) * len(shape)), positions, -1)
        targets = _arranged(ids, inside.ndim, window, window_dims).reshape(-1)
        if updates.pattern is not None:
            kept = targets >= 0
            parts.append(mix(updates.pattern, targets[kept], np.flatnonzero(kept), n))
        if eqn.primitive.name == "scatter" and operand.pattern is not None:  # what is overwritten is gone
            rows = np.arange(n)
            rows[targets[targets >= 0]] = -1
            parts[0] = take(operand.pattern, rows)
    elif updates.pattern is not None:
        of_operand, of_window, count = _unknown_windows(
            shape, sizes, window, window_dims, inserted, start_map, op_batching, ind_batching
        )
        parts.append(take(group(updates.pattern, of_window, count), of_operand))
    return [union(parts)]


# ---------------------------------------------------------------------------------------------------------------------
# Sums


@rule("reduce_sum")
def reduce_sum(eqn: Eqn, values: list[Value]):
    shape, axes = eqn.invars[0].aval.shape, eqn.params["axes"]
    ids = numbers(tuple(1 if d in axes else n for d, n in enumerate(shape)))
    (value,) = values
    assert value.pattern is not None
    return [group(value.pattern, np.broadcast_to(ids, shape), ids.size)]


@rule("cumsum")
def cumsum(eqn: Eqn, values: list[Value]):
    shape, axis = eqn.invars[0].aval.shape, eqn.params["axis"]
    (value,) = values
    assert value.pattern is not None
    lower = np.tri(shape[axis], dtype=np.bool_)
    return [along(value.pattern, shape, axis, lower.T if eqn.params["reverse"] else lower)]


def _windows_of(eqn: Eqn, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (number of a window, number of an element in it)."""
    ones = (1,) * len(shape)
    given = {"base_dilation": ones, "window_dilation": ones} | eqn.params
    windows = Windows(**{name: given[name] for name in Windows._fields})
    out = windows.check("", shape)
    padded = pad_reference(numbers(shape, 1), 0, windows.padding_config())
    rows, elements = [], []
    for starts, limits, strides in windows.taps(out):
        ids = padded[tuple(map(slice, starts, limits, strides))].reshape(-1)
        rows.append(np.flatnonzero(ids))
        elements.append(ids[rows[-1]] - 1)
    return np.concatenate(rows), np.concatenate(elements)


@rule("reduce_window_sum", "select_and_gather_add", "select_and_scatter_add")
def windowed(eqn: Eqn, values: list[Value]):
    """A result sees the elements of its window; where windows are scattered, an element sees the windows it lies in."""
    if values[0].pattern is None:
        return dense(eqn, values)
    scattered = eqn.primitive.name == "select_and_scatter_add"
    rows, elements = _windows_of(eqn, eqn.invars[int(scattered)].aval.shape)
    if scattered:
        rows, elements = elements, rows
    return [mix(values[0].pattern, rows, elements, size_of(eqn.outvars[0]))]


# ---------------------------------------------------------------------------------------------------------------------
# Products with what does not depend on the arguments, or not linearly


@rule("dot_general")
def dot_general(eqn: Eqn, values: list[Value]):
    if all(v.pattern is not None for v in values):
        return dense(eqn, values)
    contract, batch = eqn.params["dimension_numbers"]
    left = values[0].pattern is not None
    mine, other = (0, 1) if left else (1, 0)
    pattern = values[mine].pattern
    assert pattern is not None
    shape, out = eqn.invars[mine].aval.shape, eqn.outvars[0].aval.shape
    other_shape = eqn.invars[other].aval.shape
    free = [d for d in range(len(shape)) if d not in contract[mine] and d not in batch[mine]]
    other_free = [d for d in range(len(other_shape)) if d not in contract[other] and d not in batch[other]]
    b = math.prod(shape[d] for d in batch[mine])
    k = math.prod(shape[d] for d in contract[mine])
    m = math.prod(shape[d] for d in free)
    n = math.prod(other_shape[d] for d in other_free)
    elements = numbers(shape).transpose([*batch[mine], *contract[mine], *free]).reshape(b, k, m)
    results = numbers(out).reshape((b, m, n) if left else (b, n, m))
    results = results if left else results.transpose(0, 2, 1)
    known = values[other].known
    if known is not None:
        factor = known.force().transpose([*batch[other], *contract[other], *other_free]).reshape(b, k, n) != 0
        if not factor.all():
            i, j, l = np.nonzero(factor)
            return [mix(pattern, results[i, :, l], elements[i, j], results.size)]
    parts = np.broadcast_to(numbers((b, 1, m)), (b, k, m))
    place = np.empty(len(elements.reshape(-1)), np.int64)
    place[elements.reshape(-1)] = parts.reshape(-1)
    summed = group(pattern, place, b * m)
    source = np.empty(results.size, np.int64)
    source[results.reshape(-1)] = np.broadcast_to(numbers((b, m, 1)), (b, m, n)).reshape(-1)
    return [take(summed, source)]


@rule("conv_general_dilated")
def convolution(eqn: Eqn, values: list[Value]):
    lhs, rhs = values
    params = eqn.params
    spec = params["dimension_numbers"]
    if params["batch_group_count"] != 1 or (lhs.pattern is not None and rhs.pattern is not None):
        return dense(eqn, values)
    results = numbers(eqn.outvars[0].aval.shape).transpose(spec.out_spec)  # (batch, outputs, *space)
    outputs, space = results.shape[1], results.shape[2:]
    if lhs.pattern is None:  # each output channel sees all of its kernel
        assert rhs.pattern is not None
        kernel = numbers(eqn.invars[1].aval.shape).transpose(spec.rhs_spec).reshape(outputs, -1)
        rows = np.broadcast_to(np.arange(outputs)[:, None], kernel.shape)
        seen = mix(rhs.pattern, rows, kernel, outputs)
        place = np.empty(results.size, np.int64)
        place[results.reshape(-1)] = np.broadcast_to(
            np.arange(outputs).reshape(1, outputs, *(1,) * len(space)), results.shape
        ).reshape(-1)
        return [take(seen, place)]
    kernel_shape = [eqn.invars[1].aval.shape[d] for d in spec.rhs_spec]
    inputs, window = kernel_shape[1], kernel_shape[2:]
    nonzero = np.ones((outputs, inputs, *window), np.bool_)
    if rhs.known is not None:
        nonzero = rhs.known.force().transpose(spec.rhs_spec) != 0
    config = [(0, 0, 0)] * 2
    config += [(low, high, s - 1) for (low, high), s in zip(params["padding"], params["lhs_dilation"], strict=True)]
    padded = pad_reference(numbers(eqn.invars[0].aval.shape, 1).transpose(spec.lhs_spec), 0, config)
    group_size = outputs // params["feature_group_count"]
    rows, elements = [], []
    for tap in itertools.product(*map(range, window)):
        starts = [i * gap for i, gap in zip(tap, params["rhs_dilation"], strict=True)]
        cut = tuple(
            slice(a, a + (c - 1) * s + 1, s) for a, c, s in zip(starts, space, params["window_strides"], strict=True)
        )
        at = padded[(slice(None), slice(None), *cut)] if min(space, default=1) else padded[:, :, *cut][..., :0]
        for o, c in zip(*np.nonzero(nonzero[(slice(None), slice(None), *tap)]), strict=True):
            ids = at[:, o // group_size * inputs + c]
            inside = ids > 0
            rows.append(results[:, o][inside])
            elements.append(ids[inside] - 1)
    if not rows:
        return [None]
    return [mix(lhs.pattern, np.concatenate(rows), np.concatenate(elements), results.size)]


@rule("triangular_solve")
def triangular_solve(eqn: Eqn, values: list[Value]):
    if values[1].pattern is None or values[0].pattern is not None:
        return dense(eqn, values)
    shape, params = eqn.invars[1].aval.shape, eqn.params
    axis = len(shape) - (2 if params["left_side"] else 1)
    lower = np.tri(shape[axis], dtype=np.bool_)
    is_lower = params["lower"] != params["transpose_a"]
    return [along(values[1].pattern, shape, axis, lower if is_lower == params["left_side"] else lower.T)]


@rule("tridiagonal_solve")
def tridiagonal_solve(eqn: Eqn, values: list[Value]):
    *matrix, b = values
    if b.pattern is None or any(v.pattern is not None for v in matrix):
        return dense(eqn, values)
    shape = eqn.invars[-1].aval.shape
    axis = len(shape) - 2
    return [along(b.pattern, shape, axis, np.ones((shape[axis],) * 2, np.bool_))]


@rule("fft")
def fft(eqn: Eqn, values: list[Value]):
    (value,) = values
    out = value.pattern
    assert out is not None
    shape, after = list(eqn.invars[0].aval.shape), eqn.outvars[0].aval.shape
    for d in range(len(shape) - len(eqn.params["fft_lengths"]), len(shape)):
        out = along(out, tuple(shape), d, np.ones((after[d], shape[d]), np.bool_))
        shape[d] = after[d]
    return [out]


@rule("replay")
def replay(eqn: Eqn, values: list[Value]):
    return dense(eqn, values)
