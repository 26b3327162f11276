"""Collectives over named axes: `psum` and its kin, for use under ``vmap(..., axis_name=...)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import get_aval
from addax.core.axis_env import axis_size_of
from addax.core.trace import Tracer
from addax.ops import collective
from addax.ops.convert import convert_element_type


def _names(axis_name) -> tuple:
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)


def axis_size(axis_name) -> int:
    """The size of a named axis (the product, for several).

    Raises:
      NameError: if no enclosing transformation binds the name.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: x * addax.lax.axis_size("i"), axis_name="i")(jnp.ones(3)).tolist()
    [3.0, 3.0, 3.0]
    """
    return int(np.prod([axis_size_of(a) for a in _names(axis_name)]))


def _numeric(x):
    """Booleans count as integers."""
    return convert_element_type.bind(
        x, new_dtype=np.dtype(np.int32), weak_type=False, sharding=None
    ) if get_aval(x).dtype == np.bool_ else x  # fmt: skip


def _reduce(primitive, x, axis_name, axis_index_groups):
    leaves, treedef = tree.flatten(x)
    axes = _names(axis_name)
    groups = None if axis_index_groups is None else tuple(map(tuple, axis_index_groups))
    return treedef.unflatten(primitive.bind(*map(_numeric, leaves), axes=axes, axis_index_groups=groups))


def psum(x, axis_name, *, axis_index_groups: Sequence[Sequence[int]] | None = None):
    """The sum of ``x`` over the named axis, the same for every member. ``psum(1, name)`` is the axis size.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: x / addax.lax.psum(x, "i"), axis_name="i")(jnp.arange(1.0, 4.0)).tolist()
    [0.1666666716337204, 0.3333333432674408, 0.5]
    """
    leaves = tree.leaves(x)
    if axis_index_groups is None and leaves and not any(isinstance(v, Tracer) or hasattr(v, "shape") for v in leaves):
        size = axis_size(axis_name)
        return tree.map(lambda v: v * size, x)
    return _reduce(collective.psum, x, axis_name, axis_index_groups)


def pmax(x, axis_name, *, axis_index_groups=None):
    """The elementwise maximum of ``x`` over the named axis."""
    return _reduce(collective.pmax, x, axis_name, axis_index_groups)


def pmin(x, axis_name, *, axis_index_groups=None):
    """The elementwise minimum of ``x`` over the named axis."""
    return _reduce(collective.pmin, x, axis_name, axis_index_groups)


def pmean(x, axis_name, *, axis_index_groups=None):
    """The mean of ``x`` over the named axis.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: addax.lax.pmean(x, "i"), axis_name="i")(jnp.arange(3.0)).tolist()
    [1.0, 1.0, 1.0]
    """
    n = axis_size(axis_name) if axis_index_groups is None else len(axis_index_groups[0])
    total = psum(x, axis_name, axis_index_groups=axis_index_groups)
    return tree.map(lambda v: v / n, total)


def axis_index(axis_name) -> Any:
    """The position of this member along the named axis (row-major over several).

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: addax.lax.axis_index("i"), axis_name="i")(jnp.ones(3)).tolist()
    [0, 1, 2]
    """
    index: Any = None
    for name in _names(axis_name):
        here = collective.axis_index.bind(axis_name=name)
        index = here if index is None else index * axis_size_of(name) + here
    return index


def _one_axis(axis_name):
    names = _names(axis_name)
    if len(names) != 1:
        raise NotImplementedError(f"this collective takes one named axis, got {names}")
    return names[0]


def all_gather(x, axis_name, *, axis_index_groups=None, axis: int = 0, tiled: bool = False):
    """The members' values of ``x``, stacked (``tiled``: concatenated) along ``axis``, the same for every member."""
    if axis_index_groups is not None:
        raise NotImplementedError("all_gather with axis_index_groups")
    name = _one_axis(axis_name)
    n = axis_size_of(name)

    def bind(leaf):
        rank = get_aval(leaf).ndim + (not tiled)
        return collective.all_gather.bind(
            leaf, all_gather_dimension=axis + rank if axis < 0 else axis, axis_name=name, axis_size=n, tiled=tiled
        )

    return tree.map(bind, x)


def psum_scatter(x, axis_name, *, scatter_dimension: int = 0, axis_index_groups=None, tiled: bool = False):
    """Like `psum`, but each member keeps only its part of the sum along ``scatter_dimension``."""
    if axis_index_groups is not None:
        raise NotImplementedError("psum_scatter with axis_index_groups")
    name = _one_axis(axis_name)
    n = axis_size_of(name)

    def bind(leaf):
        k = scatter_dimension + get_aval(leaf).ndim if scatter_dimension < 0 else scatter_dimension
        return collective.reduce_scatter.bind(leaf, scatter_dimension=k, axis_name=name, axis_size=n, tiled=tiled)

    return tree.map(bind, x)


def all_to_all(x, axis_name, split_axis: int, concat_axis: int, *, axis_index_groups=None, tiled: bool = False):
    """Each member cuts ``x`` along ``split_axis``, sends a piece to every other, and joins what it gets."""
    if axis_index_groups is not None:
        raise NotImplementedError("all_to_all with axis_index_groups")
    name = _one_axis(axis_name)

    def bind(leaf):
        ndim = get_aval(leaf).ndim
        s = split_axis + ndim if split_axis < 0 else split_axis
        c = concat_axis + ndim if concat_axis < 0 else concat_axis
        return collective.all_to_all.bind(leaf, split_axis=s, concat_axis=c, axis_name=name, tiled=tiled)

    return tree.map(bind, x)


def ppermute(x, axis_name, perm: Sequence[tuple[int, int]]):
    """Send ``x`` along ``perm``, pairs (source, destination); members that nobody sends to get zeros.

    >>> import addax, addax.numpy as jnp
    >>> ring = [(0, 1), (1, 2), (2, 0)]
    >>> addax.vmap(lambda x: addax.lax.ppermute(x, "i", ring), axis_name="i")(jnp.arange(3.0)).tolist()
    [2.0, 0.0, 1.0]
    """
    pairs = tuple((int(s), int(d)) for s, d in perm)
    name = _one_axis(axis_name)
    return tree.map(lambda leaf: collective.ppermute.bind(leaf, axis_name=name, perm=pairs), x)


def pshuffle(x, axis_name, perm: Sequence[int]):
    """`ppermute` with a full permutation: member ``i`` gets the value of member ``perm[i]``."""
    if set(perm) != set(range(len(perm))):
        raise ValueError(f"`perm` does not represent a permutation: {perm}")
    return ppermute(x, axis_name, list(zip(perm, range(len(perm)), strict=True)))


def pswapaxes(x, axis_name, axis: int, *, axis_index_groups=None):
    """Exchange the named axis with array axis ``axis``."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


__all__ = [
    "all_gather", "all_to_all", "axis_index", "axis_size", "pmax", "pmean", "pmin", "ppermute", "pshuffle", "psum",
    "psum_scatter", "pswapaxes",
]  # fmt: skip
