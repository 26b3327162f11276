"""``x.at[index]``: updates that return a new array. Inside compiled programs they happen in place where they can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core.avals import get_aval
from addax.core.errors import NonConcreteBooleanIndexError
from addax.core.sizes import shared
from addax.interpreters.values import broadcast_in_dim, full_like, reshape, transpose
from addax.lax import indexing as lax_indexing
from addax.lax.sharding import place
from addax.numpy.base import as_operand, cast, is_array_like
from addax.numpy.creation import asarray
from addax.numpy.indexing import entries_of, expand_nones, get, getitem, lift_scalar_masks, plan
from addax.numpy.masked import applied, has_traced_mask, split_index, updated
from addax.ops.indexing import GatherScatterMode, ScatterDimensionNumbers


class IndexUpdate:
    """``x.at``: indexing it gives the object whose methods return updated copies of ``x``."""

    __slots__ = ("array",)

    def __init__(self, array):
        self.array = array

    def __getitem__(self, index) -> IndexUpdateRef:
        return IndexUpdateRef(self.array, index)

    def __repr__(self) -> str:
        return f"_IndexUpdateHelper({self.array!r})"


class IndexUpdateRef:
    """``x.at[index]``. Methods: ``get``, ``set``, ``add``, ``subtract``, ``multiply``, ``divide``, ``min``, ``max``,
    ``power``, ``apply``.

    Every method takes ``indices_are_sorted``, ``unique_indices`` (promises that let it be quicker), ``mode`` ("drop",
    the default: updates out of bounds are skipped; "clip"; "promise_in_bounds") and ``wrap_negative_indices``.
    Where an index occurs twice, ``set`` keeps the last value and ``add`` adds both.

    Unlike in JAX the index may be a traced boolean mask, alone or beside slices, if the values broadcast to every one
    of its entries: ``x.at[x > 0].set(0)`` is ``jnp.where(x > 0, 0, x)``.

    >>> import addax.numpy as jnp
    >>> x = jnp.array([1, 2, 3])
    >>> x.at[0].set(99).tolist(), x.at[jnp.array([1, 1])].add(10).tolist()
    ([99, 2, 3], [1, 22, 3])
    """

    __slots__ = ("array", "index")

    def __init__(self, array, index):
        self.array, self.index = array, index

    def __repr__(self) -> str:
        return f"_IndexUpdateRef({self.array!r}, {self.index!r})"

    def get(
        self, *, indices_are_sorted=False, unique_indices=False, mode=None, fill_value=None, out_sharding=None,
        wrap_negative_indices=True,
    ):  # fmt: skip
        """``x[index]``, saying what indices out of bounds give: mode "clip", or "fill" with ``fill_value``."""
        found = get(
            self.array, self.index, mode=mode, fill_value=fill_value, indices_are_sorted=indices_are_sorted,
            unique_indices=unique_indices, wrap=wrap_negative_indices,
        )  # fmt: skip
        return found if out_sharding is None else place(found, out_sharding)

    def set(self, values, **options):
        """``x[index] = values``"""
        return _update(self.array, self.index, values, lax_indexing.scatter, **options)

    def add(self, values, **options):
        """``x[index] += values``"""
        return _update(self.array, self.index, values, lax_indexing.scatter_add, **options)

    def subtract(self, values, **options):
        """``x[index] -= values``"""
        return _update(self.array, self.index, values, lax_indexing.scatter_sub, **options)

    def multiply(self, values, **options):
        """``x[index] *= values``"""
        return _update(self.array, self.index, values, lax_indexing.scatter_mul, **options)

    mul = multiply

    def divide(self, values, **options):
        """``x[index] /= values``"""
        ones = full_like(self.array, 1)
        return self.array / _update(ones, self.index, values, lax_indexing.scatter_mul, **options)

    def power(self, values, **options):
        """``x[index] **= values``"""
        return self.array ** _update(full_like(self.array, 1), self.index, values, lax_indexing.scatter_mul, **options)

    def min(self, values, **options):
        """``x[index] = minimum(x[index], values)``"""
        return _update(self.array, self.index, values, lax_indexing.scatter_min, **options)

    def max(self, values, **options):
        """``x[index] = maximum(x[index], values)``"""
        return _update(self.array, self.index, values, lax_indexing.scatter_max, **options)

    def apply(self, func: Callable[[Any], Any], **options):
        """``x[index] = func(x[index])``; applied once per occurrence of an index."""

        if has_traced_mask(self.index):
            mask, rest, at = split_index(len(self.array.shape), self.index)
            return IndexUpdateRef(self.array, rest).set(applied(func, getitem(self.array, rest), mask, at), **options)

        def scatter(operand, indices, updates, numbers, **kw):
            return lax_indexing.scatter_apply(operand, indices, func, numbers, update_shape=updates.shape, **kw)

        return _update(self.array, self.index, np.zeros((), get_aval(self.array).dtype)[()], scatter, **options)


# What an update with a traced mask is called in masked.py.
_MASKED = {
    lax_indexing.scatter: "set", lax_indexing.scatter_add: "add", lax_indexing.scatter_sub: "sub",
    lax_indexing.scatter_mul: "mul", lax_indexing.scatter_min: "min", lax_indexing.scatter_max: "max",
}  # fmt: skip


def _update(
    x, index, values, scatter, *, indices_are_sorted=False, unique_indices=False, mode=None, out_sharding=None,
    wrap_negative_indices=True,
):  # fmt: skip
    if out_sharding is not None:
        out = _update(
            x, index, values, scatter, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode,
            wrap_negative_indices=wrap_negative_indices,
        )  # fmt: skip
        return place(out, out_sharding)
    if isinstance(values, (list, tuple)):
        values = asarray(values)
    elif not is_array_like(values):
        raise TypeError(f"x.at[index] takes arrays or scalars as values, got {type(values)}.")
    aval = get_aval(x)
    parsed = GatherScatterMode.FILL_OR_DROP if mode is None else GatherScatterMode.from_any(mode)
    values = cast(as_operand(values), aval.dtype, False)
    x, index = lift_scalar_masks(x, index)
    try:
        entries, nones = entries_of(get_aval(x).shape, index, clamp=False)
    except NonConcreteBooleanIndexError:
        mask, rest, at = split_index(len(x.shape), index)
        return IndexUpdateRef(x, rest).set(updated(_MASKED[scatter], getitem(x, rest), mask, at, values))
    operand, entries = expand_nones(x, entries, nones)
    p = plan(get_aval(operand).shape, entries, wrap_negative_indices)
    target = p.result_shape
    values = _broadcast(values, target, aval)
    inverse = tuple(int(i) for i in np.argsort(p.order))
    values = transpose(values, inverse)
    numbers = ScatterDimensionNumbers(
        update_window_dims=tuple(range(len(p.batch), len(p.batch) + len(p.windows))),
        inserted_window_dims=p.collapsed, scatter_dims_to_operand_dims=p.dims,
    )  # fmt: skip

    out = scatter(
        operand, p.indices, values, numbers, indices_are_sorted=indices_are_sorted or not p.batch,
        unique_indices=unique_indices or not p.batch, mode=parsed,
    )  # fmt: skip
    return reshape(out, aval.shape)


def _broadcast(values, shape, aval):
    old = get_aval(values).shape
    try:
        fits = shared((old, shape)) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"Incompatible types for broadcasting: input type={aval.update(shape=old).str_short(False)} and requested "
            f"type={aval.update(shape=shape).str_short(False)}: the values of x.at[index].set(values) must broadcast to "
            "the shape of x[index]."
        )
    if old == shape:
        return values
    lead = len(shape) - len(old)
    kept = [i for i, n in enumerate(old) if n == shape[lead + i]]
    squeezed = reshape(values, tuple(old[i] for i in kept))
    return broadcast_in_dim(squeezed, shape, tuple(lead + i for i in kept))
