"""Collectives: communication along named axes, ``psum(x, "batch")``.

Under `vmap` with that axis name a collective becomes an ordinary reduction or rearrangement of the batch dimension; that
is each primitive's `AxisRule`. Bound where no transformation gives the axis a meaning, the name is unbound: an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core.avals import ShapedArray, get_aval
from addax.core.axis_env import axis_size_of, tracked_axes
from addax.core.primitive import Primitive, registry
from addax.core.trace import current_trace
from addax.core.varying import vary
from addax.interpreters.batching import batch_flat, unbatched_aval
from addax.interpreters.values import Axis, Zero, is_linear, move_axis, reshape, shape_of, to_front, zeros
from addax.ops.indexing import GatherDimensionNumbers, GatherScatterMode, gather


class NamedAxisEffect:
    """The effect of an equation whose meaning depends on a named axis: such a call must be batched over it."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __eq__(self, other) -> bool:
        return isinstance(other, NamedAxisEffect) and self.name == other.name

    def __hash__(self) -> int:
        return hash(("NamedAxisEffect", self.name))

    def __repr__(self) -> str:
        return f"NamedAxis({self.name})"


class AxisRule:
    """How a collective batches when the batch axis is one of those it names.

    Args:
      rule: called as batching rules are, for all members of the axis, never with ``axis_index_groups``.
      param: the parameter that has the names.
    """

    def __init__(self, primitive: Primitive, rule: Callable[..., Any], param: str):
        self.primitive, self.rule, self.param = primitive, rule, param

    def uses(self, name, params) -> bool:
        return name in _names(params[self.param])

    def __call__(self, axis, vals, dims, **params):
        avals = [get_aval(x) if d is None else unbatched_aval(get_aval(x), d) for x, d in zip(vals, dims, strict=True)]
        self.primitive.abstract_eval(*avals, **params)  # sizes that do not fit, and destinations that are none
        groups = params.get("axis_index_groups")
        if groups is None:
            return self.rule(axis, vals, dims, **params)
        if len(_names(params[self.param])) > 1:
            raise NotImplementedError(
                f"{self.primitive.name} with axis_index_groups over several axes, {params[self.param]}, of which vmap maps "
                f"{axis.name!r}: give the groups of one axis, or map over one axis of all members."
            )

        # The groups are a batch of smaller axes: members are brought into the order of groups, and back afterwards.
        order, count, size = np.ravel(groups).astype(np.int32), len(groups), len(groups[0])
        params["axis_index_groups"] = None
        fronts = [None if d is None else 0 for d in dims]

        def cut(x, d):
            return x if d is None else reshape(take_rows(move_axis(x, d, 0), order), (count, size, *shape_of(x)[1:]))

        def one_group(*xs):
            outs, out_dims = self.rule(Axis(size, axis.name), xs, fronts, **params)
            pairs = zip(outs, out_dims, strict=True) if self.primitive.multiple_results else [(outs, out_dims)]
            return [to_front(x, d, size) for x, d in pairs]

        grouped = [cut(x, d) for x, d in zip(vals, dims, strict=True)]
        outs, out_dims = batch_flat(one_group, Axis(count), grouped, fronts, current_trace())
        back = np.argsort(order).astype(np.int32)
        outs = [to_front(x, d, count) for x, d in zip(outs, out_dims, strict=True)]
        outs = [take_rows(reshape(x, (axis.size, *shape_of(x)[2:])), back) for x in outs]
        return (outs, [0] * len(outs)) if self.primitive.multiple_results else (outs[0], 0)


def take_rows(x, rows: np.ndarray):
    """The members of a batch (at dimension 0) in another order; zeros where a row is -1."""
    shape, missing = shape_of(x), bool((rows < 0).any())
    return gather.bind(
        x, rows[:, None], slice_sizes=(1, *shape[1:]), unique_indices=not missing, indices_are_sorted=False,
        dimension_numbers=GatherDimensionNumbers(tuple(range(1, len(shape))), (0,), (0,)),
        mode=GatherScatterMode.FILL_OR_DROP if missing else GatherScatterMode.PROMISE_IN_BOUNDS,
        fill_value=0 if missing else None,
    )  # fmt: skip


def _names(axes) -> tuple[Any, ...]:
    return axes if isinstance(axes, tuple) else (axes,)


def _axis_effects(param: str):
    def effects(*_, **params):
        return frozenset(map(NamedAxisEffect, _names(params[param])))

    return effects


def _collective(
    name: str, param: str, type_rule, axis_rule, multiple_results: bool = False, invariant: bool = False
) -> Primitive:
    """
    Args:
      invariant: whether all members get the same result.
    """

    def varying(operands, params):
        axes = tracked_axes().intersection(_names(params[param]))
        if not axes and not any(operands):
            return None
        if axes and params.get("axis_index_groups") is not None:
            raise NotImplementedError(
                f"{name} with axis_index_groups is not supported where types say along which axes values vary: call "
                "shard_map with check_vma=False, or use a mesh that has the groups as an axis."
            )
        wanted = [v | axes for v in operands]
        outs = [v - axes for v in wanted] if invariant else wanted or [axes]
        return wanted, params, outs

    p = Primitive(name, multiple_results=multiple_results, cache_types=False)
    p.varying = varying
    p.abstract_eval = type_rule
    p.effects = _axis_effects(param)
    p.axis_rule = AxisRule(p, axis_rule, param)
    return p


# ---------------------------------------------------------------------------------------------------------------------
# psum, pmax, pmin: reductions. Several operands at once, one result each.


def _same_types(*avals, axes, **_):
    for a in axes:
        axis_size_of(a)
    return [a.strip_weak_type() for a in avals]


def _reduction(name: str, reducer: str) -> Primitive:
    def over_axis(axis, vals, dims, *, axes, axis_index_groups):
        rest = tuple(a for a in axes if a != axis.name)
        outs = []
        for x, d in zip(vals, dims, strict=True):
            if d is not None:
                extra = {"out_sharding": None} if name == "psum" else {}
                x = registry[reducer].bind(x, axes=(d,), **extra)
            elif name == "psum":
                x = registry["mul"].bind(x, np.asarray(axis.size, get_aval(x).dtype)[()])
            outs.append(x)
        if rest:
            outs = p.bind(*outs, axes=rest, axis_index_groups=None)
        return outs, [None] * len(outs)

    def batch(axis, vals, dims, **params):
        return p.bind(*vals, **params), dims

    p = _collective(name, "axes", _same_types, over_axis, multiple_results=True, invariant=True)
    p.batch = batch
    return p


psum = _reduction("psum", "reduce_sum")
pmax = _reduction("pmax", "reduce_max")
pmin = _reduction("pmin", "reduce_min")


def _psum_jvp(primals, tangents, **params):
    outs = psum.bind(*primals, **params)
    live = [t for t in tangents if type(t) is not Zero]
    summed = iter(psum.bind(*live, **params) if live else [])
    return outs, [Zero.of(x) if type(t) is Zero else next(summed) for t, x in zip(tangents, outs, strict=True)]


def _psum_transpose(cts, *args, axes, axis_index_groups):
    """Along tracked axes the cotangent is one value, which all members get; along others each member has its own share
    of it, and these are summed.
    """
    result = []
    for c, x in zip(cts, args, strict=True):
        if type(c) is Zero or not is_linear(x):
            result.append(None)
            continue
        tracked = x.aval.vma.intersection(axes)
        rest = tuple(a for a in axes if a not in tracked)
        if rest:
            (c,) = psum.bind(c, axes=rest, axis_index_groups=axis_index_groups)
        result.append(vary(c, tracked))
    return result


psum.jvp = _psum_jvp
psum.transpose = _psum_transpose


def _extremum_jvp(p: Primitive):
    def jvp(primals, tangents, **params):
        outs = p.bind(*primals, **params)
        result = []
        for x, t, out in zip(primals, tangents, outs, strict=True):
            if type(t) is Zero:
                result.append(Zero.of(out))
                continue
            # Ties share the derivative equally.
            at = registry["convert_element_type"].bind(
                registry["eq"].bind(x, out), new_dtype=get_aval(t).dtype, weak_type=False, sharding=None
            )
            (count,), (total,) = psum.bind(at, **params), psum.bind(registry["mul"].bind(at, t), **params)
            result.append(registry["div"].bind(total, count))
        return outs, result

    return jvp


pmax.jvp = _extremum_jvp(pmax)
pmin.jvp = _extremum_jvp(pmin)

# ---------------------------------------------------------------------------------------------------------------------
# pvary: a value that is the same for all members, as one that may differ. See core/varying.py.


def _pvary_transpose(ct, x, *, axes):
    """In a program that was written again for operands that vary along more axes, some may vary already."""
    new = tuple(a for a in axes if a not in x.aval.vma)
    return psum.bind(ct, axes=new, axis_index_groups=None) if new else [ct]


pvary = Primitive("pvary", cache_types=False)
pvary.abstract_eval = lambda x, *, axes: x.update(vma=x.vma.union(axes))
pvary.jvp = lambda primals, tangents, *, axes: (
    pvary.bind(*primals, axes=axes),
    Zero(tangents[0].aval.update(vma=tangents[0].aval.vma.union(axes)))
    if type(tangents[0]) is Zero
    else pvary.bind(*tangents, axes=axes),
)
pvary.transpose = _pvary_transpose
pvary.batch = lambda axis, vals, dims, *, axes: (pvary.bind(*vals, axes=axes), dims[0])
pvary.reference = lambda x, *, axes: x
pvary.axis_rule = AxisRule(pvary, lambda axis, vals, dims, *, axes: (vals[0], dims[0]), "axes")

# ---------------------------------------------------------------------------------------------------------------------
# axis_index


def _axis_index_rule(axis, vals, dims, *, axis_name):
    return registry["iota"].bind(dtype=np.dtype(np.int32), shape=(axis.size,), dimension=0, sharding=None), 0


def _axis_index_type(*, axis_name):
    axis_size_of(axis_name)
    return ShapedArray((), np.dtype(np.int32))


axis_index = _collective("axis_index", "axis_name", _axis_index_type, _axis_index_rule)
axis_index.jvp = lambda primals, tangents, **params: (out := axis_index.bind(**params), Zero.of(out))

# ---------------------------------------------------------------------------------------------------------------------
# all_gather, psum_scatter, all_to_all, ppermute: rearrangements of one operand.


def _gather_type(x, *, all_gather_dimension, axis_name, axis_size, tiled, axis_index_groups=None):
    shape = list(x.shape)
    if tiled:
        shape[all_gather_dimension] *= axis_size
    else:
        shape.insert(all_gather_dimension, axis_size)
    return x.update(shape=tuple(shape), weak_type=False)


def _gather_rule(axis, vals, dims, *, all_gather_dimension, axis_name, axis_size, tiled, axis_index_groups=None):
    x = to_front(vals[0], dims[0], axis.size)
    if tiled:
        # (B, ..., n, ...) -> (..., B * n, ...)
        x = move_axis(x, 0, all_gather_dimension)
        shape = shape_of(x)
        k = all_gather_dimension
        return reshape(x, (*shape[:k], shape[k] * shape[k + 1], *shape[k + 2 :])), None
    return move_axis(x, 0, all_gather_dimension), None


def _batch_one(p: Primitive, shift: str | None):
    """Batching over an axis that the collective does not name: one more leading dimension."""

    def batch(axis, vals, dims, **params):
        x = move_axis(vals[0], dims[0], 0)
        for key in (shift or "").split():
            params[key] = params[key] + 1
        return p.bind(x, **params), 0

    return batch


all_gather = _collective("all_gather", "axis_name", _gather_type, _gather_rule)
all_gather.batch = _batch_one(all_gather, "all_gather_dimension")


# The same for members that then know that they all have the same: its transpose takes each member's part.
all_gather_invariant = _collective("all_gather_invariant", "axis_name", _gather_type, _gather_rule, invariant=True)
all_gather_invariant.batch = _batch_one(all_gather_invariant, "all_gather_dimension")


def _own_part(ct, x, *, all_gather_dimension, axis_name, axis_size, tiled, axis_index_groups=None):
    k, shape = all_gather_dimension, list(shape_of(ct))
    if axis_name not in x.aval.vma:  # nothing is tracked: members hold shares of the cotangent
        return [
            reduce_scatter.bind(
                ct, scatter_dimension=k, axis_name=axis_name, axis_size=axis_size, tiled=tiled,
                axis_index_groups=axis_index_groups,
            )
        ]  # fmt: skip
    n = shape[k] // axis_size
    ct = vary(ct, frozenset((axis_name,)) & tracked_axes())
    here = axis_index.bind(axis_name=axis_name)
    start = registry["mul"].bind(here, np.int32(n)) if n != 1 else here
    shape[k] = n
    zero = np.int32(0)
    part = registry["dynamic_slice"].bind(
        ct, *(start if d == k else zero for d in range(len(shape))), slice_sizes=tuple(shape)
    )
    return [part if tiled else reshape(part, x.aval.shape)]


def _scatter_type(x, *, scatter_dimension, axis_name, axis_size, tiled, axis_index_groups=None):
    shape = list(x.shape)
    if tiled:
        if shape[scatter_dimension] % axis_size:
            raise ValueError(
                f"tiled reduce_scatter operand scatter dimension size {shape[scatter_dimension]} must be divisible by "
                f"shard count {axis_size}"
            )
        shape[scatter_dimension] //= axis_size
    else:
        if shape[scatter_dimension] != axis_size:
            raise ValueError(
                f"reduce_scatter operand scatter dimension size {shape[scatter_dimension]} must match shard count "
                f"{axis_size}"
            )
        del shape[scatter_dimension]
    return x.update(shape=tuple(shape), weak_type=False)


def _scatter_rule(axis, vals, dims, *, scatter_dimension, axis_name, axis_size, tiled, axis_index_groups=None):
    x = to_front(vals[0], dims[0], axis.size)
    total = registry["reduce_sum"].bind(x, axes=(0,), out_sharding=None)
    k = scatter_dimension
    shape = shape_of(total)
    if tiled:
        total = reshape(total, (*shape[:k], axis_size, shape[k] // axis_size, *shape[k + 1 :]))
    return move_axis(total, k, 0), 0


reduce_scatter = _collective("reduce_scatter", "axis_name", _scatter_type, _scatter_rule)
reduce_scatter.batch = _batch_one(reduce_scatter, "scatter_dimension")


def _gather_jvp(p):
    def jvp(primals, tangents, **params):
        out = p.bind(*primals, **params)
        return out, Zero.of(out) if type(tangents[0]) is Zero else p.bind(*tangents, **params)

    return jvp


all_gather.jvp = _gather_jvp(all_gather)
all_gather_invariant.jvp = _gather_jvp(all_gather_invariant)
all_gather_invariant.transpose = _own_part
reduce_scatter.jvp = _gather_jvp(reduce_scatter)
all_gather.transpose = lambda ct, x, *, all_gather_dimension, **params: [
    reduce_scatter.bind(ct, scatter_dimension=all_gather_dimension, **params)
]
reduce_scatter.transpose = lambda ct, x, *, scatter_dimension, **params: [
    all_gather.bind(ct, all_gather_dimension=scatter_dimension, **params)
]


def _all_to_all_type(x, *, split_axis, concat_axis, axis_name, tiled, axis_index_groups=None):
    n = axis_size_of(axis_name) if axis_index_groups is None else len(axis_index_groups[0])
    shape = list(x.shape)
    if tiled:
        if shape[split_axis] % n:
            raise ValueError(
                f"all_to_all requires the size of split_axis ({shape[split_axis]}) to be divisible by the axis size {n}"
            )
        shape[split_axis] //= n
        shape[concat_axis] *= n
    else:
        if shape[split_axis] != n:
            raise ValueError(
                "all_to_all requires the size of the mapped axis axis_name to equal x.shape[split_axis], but they are "
                f"{n} and {shape[split_axis]} respectively."
            )
        del shape[split_axis]
        shape.insert(concat_axis, n)
    return x.update(shape=tuple(shape), weak_type=False)


def _all_to_all_rule(axis, vals, dims, *, split_axis, concat_axis, axis_name, tiled, axis_index_groups=None):
    x = to_front(vals[0], dims[0], axis.size)
    n = axis.size
    if not tiled:
        # The batch dimension and the split dimension change places; the old batch stands at concat_axis.
        x = move_axis(x, split_axis + 1, 0)
        return move_axis(x, 1, concat_axis + 1), 0
    shape = shape_of(x)
    s = split_axis + 1
    x = reshape(x, (*shape[:s], n, shape[s] // n, *shape[s + 1 :]))
    x = move_axis(x, s, 0)  # (split, old batch, ...)
    x = move_axis(x, 1, concat_axis + 1)
    c = concat_axis + 1
    shape = shape_of(x)
    return reshape(x, (*shape[:c], shape[c] * shape[c + 1], *shape[c + 2 :])), 0


all_to_all = _collective("all_to_all", "axis_name", _all_to_all_type, _all_to_all_rule)
all_to_all.batch = _batch_one(all_to_all, "split_axis concat_axis")
all_to_all.jvp = _gather_jvp(all_to_all)
all_to_all.transpose = lambda ct, x, *, split_axis, concat_axis, **params: [
    all_to_all.bind(ct, split_axis=concat_axis, concat_axis=split_axis, **params)
]


def _ppermute_rule(axis, vals, dims, *, axis_name, perm):
    x, names = to_front(vals[0], dims[0], axis.size), _names(axis_name)
    sizes = [axis.size if n == axis.name else axis_size_of(n) for n in names]
    at = names.index(axis.name)
    rest, rest_sizes = names[:at] + names[at + 1 :], sizes[:at] + sizes[at + 1 :]

    # Which rows of this axis are sent along which permutation of the other axes.
    places = np.stack(np.unravel_index(np.reshape(perm, (-1, 2)).astype(int), sizes))  # [axes, pairs, 2]
    others: Any = np.ravel_multi_index((*np.delete(places, at, 0), 0 * places[0]), (*rest_sizes, 1))
    along: dict[tuple[int, int], list] = {}
    for row, pair in zip(places[at].tolist(), others.tolist(), strict=True):
        along.setdefault(tuple(row), []).append(tuple(pair))
    sent: dict[tuple, np.ndarray] = {}
    for (source, target), pairs in along.items():
        sent.setdefault(tuple(pairs), np.full(axis.size, -1, np.int32))[target] = source

    total = None
    for pairs, rows in sent.items():
        part = take_rows(x, rows)
        if rest:
            part = ppermute.bind(part, axis_name=rest[0] if len(rest) == 1 else rest, perm=pairs)
        join = registry["or" if get_aval(x).dtype == np.bool_ else "add_any"]  # all but one are zero
        total = part if total is None else join.bind(total, part)
    return zeros(get_aval(x)) if total is None else total, 0


def _ppermute_type(x, *, axis_name, perm):
    n = math.prod(axis_size_of(a) for a in _names(axis_name))
    sources, targets = [s for s, _ in perm], [t for _, t in perm]
    if len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ValueError(f"ppermute sources and destinations must be unique, got {perm}.")
    if any(not 0 <= i < n for i in (*sources, *targets)):
        raise ValueError(f"ppermute indices must be in [0, {n}), the size of axis {axis_name!r}; got {perm}.")
    return x.strip_weak_type()


ppermute = _collective("ppermute", "axis_name", _ppermute_type, _ppermute_rule)
ppermute.batch = _batch_one(ppermute, None)
ppermute.jvp = _gather_jvp(ppermute)
ppermute.transpose = lambda ct, x, *, axis_name, perm: [
    ppermute.bind(ct, axis_name=axis_name, perm=tuple((t, s) for s, t in perm))
]

__all__ = [
    "all_gather", "all_gather_invariant", "all_to_all", "axis_index", "pmax", "pmin", "ppermute", "psum", "pvary",
    "reduce_scatter",
]  # fmt: skip
