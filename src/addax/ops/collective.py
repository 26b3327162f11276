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
from addax.core.varying import vary
from addax.interpreters.values import (
    Zero,
    broadcast_in_dim,
    is_linear,
    move_axis,
    reshape,
    shape_of,
    to_front,
)


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
    """How a collective batches when the batch axis is one of those it names."""

    def __init__(self, rule: Callable[..., Any], param: str):
        self.rule, self.param = rule, param

    def uses(self, name, params) -> bool:
        axes = params[self.param]
        return name in axes if isinstance(axes, tuple) else name == axes

    def __call__(self, axis, vals, dims, **params):
        return self.rule(axis, vals, dims, **params)


def _names(axes) -> tuple:
    return axes if isinstance(axes, tuple) else (axes,)


def _axis_effects(param: str):
    def effects(*_, **params):
        axes = params[param]
        return frozenset(NamedAxisEffect(a) for a in (axes if isinstance(axes, tuple) else (axes,)))

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
    p.axis_rule = AxisRule(axis_rule, param)
    return p


# ---------------------------------------------------------------------------------------------------------------------
# psum, pmax, pmin: reductions. Several operands at once, one result each.


def _same_types(*avals, axes, **_):
    for a in axes:
        axis_size_of(a)
    return [a.strip_weak_type() for a in avals]


def _reduction(name: str, reducer: str) -> Primitive:
    def over_axis(axis, vals, dims, *, axes, axis_index_groups):
        if axis_index_groups is not None:
            raise NotImplementedError(f"{name} under vmap with axis_index_groups")
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
pvary.axis_rule = AxisRule(lambda axis, vals, dims, *, axes: (vals[0], dims[0]), "axes")

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


def _no_groups(name: str, groups) -> None:
    if groups is not None:
        raise NotImplementedError(f"{name} under vmap with axis_index_groups")


def _gather_type(x, *, all_gather_dimension, axis_name, axis_size, tiled, axis_index_groups=None):
    shape = list(x.shape)
    if tiled:
        shape[all_gather_dimension] *= axis_size
    else:
        shape.insert(all_gather_dimension, axis_size)
    return x.update(shape=tuple(shape), weak_type=False)


def _gather_rule(axis, vals, dims, *, all_gather_dimension, axis_name, axis_size, tiled, axis_index_groups=None):
    _no_groups("all_gather", axis_index_groups)
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
    _no_groups("psum_scatter", axis_index_groups)
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
    _no_groups("all_to_all", axis_index_groups)
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
    if len(_names(axis_name)) > 1:
        raise NotImplementedError(f"ppermute under vmap over several axes at once, {axis_name}")
    x = to_front(vals[0], dims[0], axis.size)
    source = np.full(axis.size, -1, np.int32)
    for src, dst in perm:
        source[dst] = src
    taken = registry["concatenate"].bind(
        *(
            registry["slice"].bind(
                x, start_indices=(int(max(s, 0)),) + (0,) * (len(shape_of(x)) - 1),
                limit_indices=(int(max(s, 0)) + 1, *shape_of(x)[1:]), strides=None,
            )
            for s in source
        ),
        dimension=0,
    )  # fmt: skip
    if (source < 0).any():
        # Examples that nobody sends to receive zeros.
        mask = broadcast_in_dim(source >= 0, shape_of(taken), (0,))
        zero = broadcast_in_dim(np.zeros((), get_aval(taken).dtype)[()], shape_of(taken), ())
        taken = registry["select_n"].bind(mask, zero, taken)
    return taken, 0


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
