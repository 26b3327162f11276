"""Collectives over named axes: `psum` and its kin, under `vmap(..., axis_name=...)`, `shard_map` and `pmap`.

The members of an axis are the examples of a batch, or the devices along an axis of a mesh. An axis may be given as a
tuple of names: its members are then numbered row-major, the last name counting fastest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import get_aval
from addax.core.axis_env import axis_size_of, tracked_axes
from addax.core.primitive import registry
from addax.core.varying import vma_of
from addax.interpreters.values import SCALARS, move_axis, reshape, zeros
from addax.ops import collective
from addax.ops.convert import convert_element_type

Groups = Sequence[Sequence[int]] | None


def _names(axis_name) -> tuple[Any, ...]:
    return tuple(axis_name) if isinstance(axis_name, (tuple, list)) else (axis_name,)


def _groups(name: str, axes: tuple[Any, ...], groups: Groups) -> Any:
    """
    Raises:
      ValueError: if the groups are not a partition of the members into parts of one size.
    """
    if groups is None:
        return None
    found: tuple[tuple[int, ...], ...] = tuple(tuple(int(i) for i in g) for g in groups)
    n = axis_size(axes)
    if not found or sorted(i for g in found for i in g) != list(range(n)) or len({len(g) for g in found}) > 1:
        raise ValueError(
            f"{name}: axis_index_groups must be groups of one size that have every member 0...{n - 1} of axis "
            f"{axes[0] if len(axes) == 1 else axes!r} once, got {groups}"
        )
    return found


def axis_size(axis_name) -> int:
    """The size of a named axis (the product, for several).

    Raises:
      NameError: if no enclosing transformation binds the name.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: x * addax.lax.axis_size("i"), axis_name="i")(jnp.ones(3)).tolist()
    [3.0, 3.0, 3.0]
    """
    return math.prod(axis_size_of(a) for a in _names(axis_name))


def _numeric(x):
    """Booleans count as integers."""
    return convert_element_type.bind(
        x, new_dtype=np.dtype(np.int32), weak_type=False, sharding=None
    ) if get_aval(x).dtype == np.bool_ else x  # fmt: skip


def _reduce(primitive, x, axis_name, axis_index_groups):
    leaves, treedef = tree.flatten(x)
    axes = _names(axis_name)
    groups = _groups(primitive.name, axes, axis_index_groups)
    if primitive is collective.psum:
        leaves = map(_numeric, leaves)
    return treedef.unflatten(primitive.bind(*leaves, axes=axes, axis_index_groups=groups))


def psum(x, axis_name, *, axis_index_groups: Groups = None):
    """The sum of ``x`` over the named axis, the same for every member. ``psum(1, name)`` is the axis size.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: x / addax.lax.psum(x, "i"), axis_name="i")(jnp.arange(1.0, 4.0)).tolist()
    [0.1666666716337204, 0.3333333432674408, 0.5]
    """
    leaves, treedef = tree.flatten(x)
    if axis_index_groups is not None or not any(type(v) in SCALARS for v in leaves):
        return _reduce(collective.psum, x, axis_name, axis_index_groups)
    size = axis_size(axis_name)  # numbers are the same for every member
    arrays = [v for v in leaves if type(v) not in SCALARS]
    summed = iter(_reduce(collective.psum, arrays, axis_name, None) if arrays else ())
    return treedef.unflatten(
        next(summed) if type(v) not in SCALARS else np.int32(size * v) if type(v) is bool else v * size for v in leaves
    )


def pmax(x, axis_name, *, axis_index_groups: Groups = None):
    """The elementwise maximum of ``x`` over the named axis. Members that share it share its derivative equally."""
    return _reduce(collective.pmax, x, axis_name, axis_index_groups)


def pmin(x, axis_name, *, axis_index_groups: Groups = None):
    """The elementwise minimum of ``x`` over the named axis. Members that share it share its derivative equally."""
    return _reduce(collective.pmin, x, axis_name, axis_index_groups)


def pmean(x, axis_name, *, axis_index_groups: Groups = None):
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


def pcast(x, axis_name, *, to: str):
    """``x`` as a value of another kind along a mesh axis: ``to="varying"``, one that devices may hold different values of.

    This is inserted where it is needed; writing it says where cotangents are summed over the axis.

    Raises:
      ValueError: if ``x`` varies along the axis already, or for another kind.
    """
    if to != "varying":
        if to in ("reduced", "unreduced"):
            raise NotImplementedError(f"pcast to {to!r}: values that are still to be summed are not supported yet")
        raise ValueError(f"Got unexpected `to` value {to!r}. The allowed `to` value is 'varying'.")
    axes = _names(axis_name)
    for a in axes:
        axis_size_of(a)
    tracked = tuple(a for a in axes if a in tracked_axes())

    def cast(leaf):
        already = [a for a in tracked if a in vma_of(leaf)]
        if already:
            raise ValueError(
                f"Unsupported pcast from=varying, to='varying': a value of type {get_aval(leaf).str_short(False)} varies "
                f"along mesh axis {', '.join(map(repr, already))} already."
            )
        return collective.pvary.bind(leaf, axes=tracked) if tracked else leaf

    return tree.map(cast, x)


def pvary(x, axis_name):
    """``x`` as a value that may vary along the mesh axes named; those along which it does already do not matter."""
    tracked = frozenset(_names(axis_name)) & tracked_axes()

    def cast(leaf):
        missing = tuple(a for a in _names(axis_name) if a in tracked - vma_of(leaf))
        return collective.pvary.bind(leaf, axes=missing) if missing else leaf

    return tree.map(cast, x)


def _one_by_one(names: tuple, order: Callable[[tuple], Sequence], step: Callable[[Any, Any], Any], x):
    """Over several axes: one after the other."""
    for name in order(names):
        x = step(x, name)
    return x


def _axis(name: str, k: int, rank: int) -> int:
    if not -rank <= k < rank:
        raise ValueError(f"{name}: axis {k} is out of bounds for a result of rank {rank}")
    return k + rank if k < 0 else k


def all_gather(
    x, axis_name, *, axis_index_groups: Groups = None, axis: int = 0, tiled: bool = False, to: str = "varying"
):  # fmt: skip
    """The members' values of ``x``, stacked (``tiled``: concatenated) along ``axis``; every member gets them all.

    Args:
      to: "varying", or "invarying" for a result whose type says that it is the same for all members. The transpose of
        the first sums the members' cotangents, that of the second takes each member's part of the common one.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: addax.lax.all_gather(x, "i"), axis_name="i")(jnp.arange(2.0)).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    kinds = {"varying": collective.all_gather, "invarying": collective.all_gather_invariant}
    if to not in kinds:
        raise ValueError(f"Got unexpected `to` value {to!r} for all_gather. Allowed `to` values are: {set(kinds)}")
    names = _names(axis_name)
    groups = _groups("all_gather", names, axis_index_groups)
    if groups is not None and len(names) > 1:
        raise NotImplementedError(f"all_gather with axis_index_groups over several axes, {names}")

    def bind(leaf, name, k, tiled):
        n = axis_size_of(name) if groups is None else len(groups[0])
        return kinds[to].bind(
            leaf, all_gather_dimension=k, axis_name=name, axis_size=n, tiled=tiled, axis_index_groups=groups
        )

    def gather(leaf):
        ndim = get_aval(leaf).ndim
        k = _axis("all_gather", axis, ndim + (not tiled))
        out = _one_by_one(names, lambda ns: ns[::-1], lambda y, n: bind(y, n, k, tiled), leaf)
        if len(names) > 1 and not tiled:  # one dimension per axis so far
            shape = get_aval(out).shape
            out = reshape(out, (*shape[:k], math.prod(shape[k : k + len(names)]), *shape[k + len(names) :]))
        return out

    return tree.map(gather, x)


def psum_scatter(x, axis_name, *, scatter_dimension: int = 0, axis_index_groups: Groups = None, tiled: bool = False):
    """Like `psum`, but each member keeps only its part of the sum along ``scatter_dimension``."""
    names = _names(axis_name)
    groups = _groups("psum_scatter", names, axis_index_groups)
    if groups is not None and len(names) > 1:
        raise NotImplementedError(f"psum_scatter with axis_index_groups over several axes, {names}")

    def bind(leaf, name, k):
        n = axis_size_of(name) if groups is None else len(groups[0])
        return collective.reduce_scatter.bind(
            leaf, scatter_dimension=k, axis_name=name, axis_size=n, tiled=tiled, axis_index_groups=groups
        )

    def scatter(leaf):
        shape = get_aval(leaf).shape
        k = _axis("psum_scatter", scatter_dimension, len(shape))
        if len(names) > 1 and not tiled:
            sizes = [axis_size_of(n) for n in names]
            if shape[k] != math.prod(sizes):
                raise ValueError(
                    f"reduce_scatter operand scatter dimension size {shape[k]} must match shard count {math.prod(sizes)}"
                )
            leaf = reshape(leaf, (*shape[:k], *sizes, *shape[k + 1 :]))
        return _one_by_one(names, lambda ns: ns, lambda y, n: bind(y, n, k), leaf)

    return tree.map(scatter, x)


def all_to_all(
    x, axis_name, split_axis: int, concat_axis: int, *, axis_index_groups: Groups = None, tiled: bool = False
):
    """Each member cuts ``x`` along ``split_axis``, sends a piece to every other, and joins what it gets.

    The pieces are concatenated along ``concat_axis`` if ``tiled``; otherwise ``split_axis`` must be as long as the axis has
    members, and is replaced by a dimension over them at ``concat_axis``.
    """
    names = _names(axis_name)
    groups = _groups("all_to_all", names, axis_index_groups)
    if groups is not None and len(names) > 1:
        raise NotImplementedError(f"all_to_all with axis_index_groups over several axes, {names}")

    def bind(leaf, name, s, c, tiled):
        return collective.all_to_all.bind(
            leaf, split_axis=s, concat_axis=c, axis_name=name, tiled=tiled, axis_index_groups=groups
        )

    def exchange(leaf):
        shape = get_aval(leaf).shape
        s, c = _axis("all_to_all", split_axis, len(shape)), _axis("all_to_all", concat_axis, len(shape))
        if len(names) == 1:
            return bind(leaf, names[0], s, c, tiled)
        # A dimension per axis; each is exchanged where it stands; then they are one again, and moved.
        sizes = [axis_size_of(n) for n in names]
        n = math.prod(sizes)
        if shape[s] % n or (not tiled and shape[s] != n):
            raise ValueError(
                f"all_to_all requires the size of split_axis ({shape[s]}) to be "
                f"{'divisible by' if tiled else 'equal to'} the number of members {n}"
            )
        y = reshape(leaf, (*shape[:s], *sizes, shape[s] // n, *shape[s + 1 :]))
        for i, name in enumerate(names):
            y = bind(y, name, s + i, s + i, False)
        y = reshape(y, (*shape[:s], n, shape[s] // n, *shape[s + 1 :]))
        if not tiled:
            return move_axis(reshape(y, shape), s, c)
        y = move_axis(y, s, c)
        shape = get_aval(y).shape
        return reshape(y, (*shape[:c], shape[c] * shape[c + 1], *shape[c + 2 :]))

    return tree.map(exchange, x)


def ppermute(x, axis_name, perm: Sequence[tuple[int, int]]):
    """Send ``x`` along ``perm``, pairs (source, destination); members that nobody sends to get zeros.

    Members of several axes are numbered in the order in which the axes are named, as by `axis_index`. (JAX's ppermute numbers
    them in the order of the mesh, and refuses mapped axes; it also wants a full permutation of those.)

    Raises:
      ValueError: if a member sends or receives twice, or is none.

    >>> import addax, addax.numpy as jnp
    >>> ring = [(0, 1), (1, 2), (2, 0)]
    >>> addax.vmap(lambda x: addax.lax.ppermute(x, "i", ring), axis_name="i")(jnp.arange(3.0)).tolist()
    [2.0, 0.0, 1.0]
    """
    pairs = tuple((int(s), int(d)) for s, d in perm)
    names = _names(axis_name)
    name = names[0] if len(names) == 1 else names
    return tree.map(lambda leaf: collective.ppermute.bind(leaf, axis_name=name, perm=pairs), x)


def pshuffle(x, axis_name, perm: Sequence[int]):
    """`ppermute` with a full permutation: member ``i`` gets the value of member ``perm[i]``."""
    if set(perm) != set(range(len(perm))):
        raise ValueError(f"`perm` does not represent a permutation: {perm}")
    return ppermute(x, axis_name, list(zip(perm, range(len(perm)), strict=True)))


def pbroadcast(x, axis_name, source: int):
    """Every member gets the value of ``x`` of the member number ``source``.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(lambda x: addax.lax.pbroadcast(x, "i", 2), axis_name="i")(jnp.arange(3.0)).tolist()
    [2.0, 2.0, 2.0]
    """
    if not 0 <= source < axis_size(axis_name):
        raise ValueError(
            f"pbroadcast: source {source} is not a member of axis {axis_name!r} of size {axis_size(axis_name)}"
        )
    mine = registry["eq"].bind(axis_index(axis_name), np.int32(source))

    def send(leaf):
        aval = get_aval(leaf)
        mask = registry["broadcast_in_dim"].bind(mine, shape=aval.shape, broadcast_dimensions=(), sharding=None)
        kept = registry["select_n"].bind(mask, zeros(aval.strip_weak_type()), leaf)
        total = psum(kept, axis_name)
        return convert_element_type.bind(total, new_dtype=aval.dtype, weak_type=False, sharding=None)

    return tree.map(send, x)


def pswapaxes(x, axis_name, axis: int, *, axis_index_groups: Groups = None):
    """Exchange the named axis with array axis ``axis``."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


__all__ = [
    "all_gather", "all_to_all", "axis_index", "axis_size", "pbroadcast", "pcast", "pmax", "pmean", "pmin", "ppermute",
    "pshuffle", "psum", "psum_scatter", "pswapaxes", "pvary",
]  # fmt: skip
