"""``x[mask]`` and ``x.at[mask]`` with a traced mask: how many entries are true is not known, and need not be.

A compiled program has fixed shapes, so the elements that a traced mask picks can never be an array in it. Much of what
one does with them needs no such array: a reduction of ``x[mask]`` is that of ``x`` with ``where=mask``; arithmetic on it
is arithmetic on ``x``; ``x.at[mask].set(0)`` is ``jnp.where(mask, 0, x)``. `Selection` is what ``x[mask]`` gives there:
the whole array and the mask, with the operations that keep both. It stands for an array of the shape
(*lead, count, *rest), where the dimensions of the mask have become one of unknown size. Everything else raises
`NonConcreteBooleanIndexError`. JAX raises it for all of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core.avals import get_aval
from addax.core.errors import NonConcreteBooleanIndexError, array_summary
from addax.core.primitive import registry
from addax.core.trace import Tracer
from addax.interpreters.values import (
    SCALARS,
    broadcast_in_dim,
    broadcast_to,
    convert,
    expand_dims,
    reduce_sum,
    reshape,
    shape_of,
)


class Selection:
    """The elements of ``array`` where the traced ``mask`` is true. Made by ``x[mask]``; methods are attached later.

    Attributes:
      array: of the shape (*lead, *mask.shape, *rest).
      mask: a traced boolean array.
      at: the length of ``lead``, which is also the dimension of unknown size.
    """

    __slots__ = ("_filled", "array", "at", "mask")
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array, mask, at: int):
        self.array, self.mask, self.at = array, mask, at
        self._filled: Any = None

    dtype = property(lambda self: get_aval(self.array).dtype)
    ndim = property(lambda self: len(self.array.shape) - len(self.mask.shape) + 1)

    @property
    def size(self):
        """How many elements there are: a traced integer."""
        fixed = math.prod(self.lead) * math.prod(self.rest)
        picked = convert(self.mask, np.dtype(np.int32))
        return registry["mul"].bind(reduce_sum(picked, range(len(self.mask.shape))), np.int32(fixed))

    @property
    def lead(self) -> tuple[int, ...]:
        return self.array.shape[: self.at]

    @property
    def rest(self) -> tuple[int, ...]:
        return self.array.shape[self.at + len(self.mask.shape) :]

    @property
    def where(self):
        """The mask in as many dimensions as the array has, to be broadcast."""
        return _stretched(self.mask, self.at, len(self.rest))

    @property
    def filled(self):
        """The array with the first selected element in place of those that are not selected.

        So a function that is not defined everywhere, or has no derivative somewhere, meets selected values only: the
        gradient of ``jnp.log(x[x > 0]).sum()`` is 0 where x is negative, not nan.
        """
        if self._filled is None:
            first = _first(self.array, self.mask, self.at)
            mask = broadcast_to(self.where, self.array.shape)
            self._filled = registry["select_n"].bind(mask, broadcast_to(first, self.array.shape), self.array)
        return self._filled

    def refuse(self, asked: str):
        raise NonConcreteBooleanIndexError(self.mask, asked) from None

    def __jax_array__(self):
        return self.refuse("The elements x[mask] were used as an array.")

    def __array__(self, *_, **__):
        return self.refuse("The elements x[mask] were used as a NumPy array.")

    def __getattr__(self, name: str):
        if name in _ARRAY_ATTRIBUTES:
            self.refuse(f"`.{name}` of x[mask] was asked for.")
        raise AttributeError(f"x[mask] with a traced mask has no attribute {name!r}")

    def __len__(self) -> int:
        return self.refuse("The length of x[mask] was asked for.")

    def __bool__(self) -> bool:
        return self.refuse("The truth value of x[mask] was asked for.")

    def __iter__(self):
        return self.refuse("A loop over x[mask] was begun.")

    def __getitem__(self, index):
        return self.refuse(f"x[mask] was indexed by {index!r}.")

    def __repr__(self) -> str:
        return f"Selection({array_summary(self.array)}[{array_summary(self.mask)}])"


_ARRAY_ATTRIBUTES = frozenset(
    "T aval argmax argmin argpartition argsort at choose compress copy cumprod cumsum diagonal dot flat flatten item "
    "itemsize mT nbytes nonzero put ravel repeat reshape searchsorted shape sort squeeze swapaxes take tolist trace "
    "transpose view weak_type".split()
)  # fmt: skip


def _stretched(mask, at: int, rest: int):
    """A mask with dimensions of size 1 around its own."""
    return reshape(mask, (*(1,) * at, *mask.shape, *(1,) * rest))


def _first(array, mask, at: int):
    """The slice of ``array`` at the first true entry of ``mask`` (the very first if there is none), to be broadcast."""
    k = len(mask.shape)
    count = math.prod(mask.shape)
    flat = reshape(array, (*array.shape[:at], count, *array.shape[at + k :]))
    if count == 0:
        return array
    where = convert(reshape(mask, (count,)), np.dtype(np.int32))
    index = registry["argmax"].bind(where, axes=(0,), index_dtype=np.dtype(np.int32))
    starts = [np.int32(0)] * at + [index] + [np.int32(0)] * (len(flat.shape) - at - 1)
    sizes = (*flat.shape[:at], 1, *flat.shape[at + 1 :])
    row = registry["dynamic_slice"].bind(flat, *starts, slice_sizes=sizes)
    return reshape(row, (*flat.shape[:at], *(1,) * k, *flat.shape[at + 1 :]))


# ---------------------------------------------------------------------------------------------------------------------
# Finding the mask in an index


def _is_traced_mask(e) -> bool:
    return isinstance(e, Tracer) and e.dtype == np.bool_


def has_traced_mask(index) -> bool:
    return any(_is_traced_mask(e) for e in (index if isinstance(index, tuple) else (index,)))


def split_index(ndim: int, index) -> tuple[Any, tuple, int]:
    """``(mask, index with whole slices for it, its first dimension)`` for an index with one traced mask.

    Only slices, ``...`` and None may stand beside the mask: they neither move nor merge dimensions.
    """
    items = list(index) if isinstance(index, tuple) else [index]
    found = [i for i, e in enumerate(items) if _is_traced_mask(e)]
    mask = items[found[0]]
    others = [e for i, e in enumerate(items) if i not in found]
    if len(found) > 1 or not all(e is None or e is Ellipsis or isinstance(e, slice) for e in others):
        raise NonConcreteBooleanIndexError(
            mask, "Beside a traced mask only slices, ... and None can stand: write x[i][mask] for x[i, mask]."
        ) from None
    consumed = sum(isinstance(e, slice) for e in others) + len(mask.shape)
    if consumed > ndim:
        raise IndexError(f"Too many indices: array is {ndim}-dimensional, but {consumed} were indexed") from None
    spread: list = []
    at = 0
    for e in items:
        if e is mask:
            at = len(spread)
            spread += [slice(None)] * len(mask.shape)
        elif e is Ellipsis:
            spread += [slice(None)] * (ndim - consumed)
        else:
            spread.append(e)
    return mask, tuple(spread), at


def selection_of(getitem: Callable, x, index) -> Any:
    """``x[index]`` for an index with a traced mask."""
    mask, rest, at = split_index(len(x.shape), index)
    x = x if all(e == slice(None) for e in rest) else getitem(x, rest)
    check_mask(mask, x.shape, at)
    return Selection(x, mask, at)


def check_mask(mask, shape: tuple[int, ...], at: int) -> None:
    want = shape[at : at + len(mask.shape)]
    if mask.shape != want:
        raise IndexError(
            f"boolean index did not match shape of indexed array: the mask has the shape {mask.shape}, the dimensions "
            f"that it indexes have {want}."
        ) from None


# ---------------------------------------------------------------------------------------------------------------------
# Reductions and elementwise functions


def reduced(
    fun: Callable, name: str, selection: Selection, axis, keepdims: bool, smooth: bool = True, **options
) -> Any:
    """A reduction of selected elements.

    Args:
      fun: ``fun(array, axis=, keepdims=, where=, **options)``, the reduction of arrays.
      smooth: whether values that are not selected may be computed with, for ``where`` removes them and their
        derivatives without trace.
    """
    if options.get("where") is not None:
        selection.refuse(f"{name} was given both x[mask] and where=: combine the masks, x[mask & where].")
    at, k, n = selection.at, len(selection.mask.shape), selection.ndim
    axes = range(n) if axis is None else [_counted(a, n) for a in (axis if isinstance(axis, tuple) else (axis,))]
    real = [e for d in axes for e in ([d] if d < at else range(d, d + k) if d == at else [d + k - 1])]
    array = selection.array if smooth else selection.filled
    if at not in axes:
        out = fun(array, axis=tuple(real), keepdims=keepdims, **options)
        return Selection(out, selection.mask, at - (0 if keepdims else sum(d < at for d in axes)))
    out = fun(array, axis=tuple(real), keepdims=False, **options | {"where": selection.where})
    return expand_dims(out, sorted(axes)) if keepdims else out


def _counted(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"axis {axis} is out of bounds for array of dimension {ndim}")
    return axis % ndim


def mapped(fun: Callable, *args) -> Any:
    """An elementwise function of selected elements, all by one mask, and of what broadcasts with every one of them."""
    selections = [x for x in args if type(x) is Selection]
    first = selections[0]
    for other in selections[1:]:
        if other.mask is not first.mask or (other.at, other.ndim) != (first.at, first.ndim):
            first.refuse("x[mask] met elements that another mask selects: compute the mask once and use it for both.")
    out = fun(*(x.filled if type(x) is Selection else _operand(x, first) for x in args))
    return Selection(out, first.mask, first.at)


def _operand(x, selection: Selection):
    """A value that broadcasts to the shape (*lead, count, *rest) whatever the count is, for the whole array."""
    shape = shape_of(x) if hasattr(x, "shape") or type(x) in SCALARS else np.shape(x)
    spread = spread_shape(shape, selection.lead, len(selection.mask.shape), selection.rest)
    if spread is None:
        selection.refuse(
            f"x[mask] met an array of the shape {shape}, which need not fit to the number of true entries: select from it "
            "with the same mask."
        )
    return x if spread == shape else reshape(x, spread)


def spread_shape(shape: tuple[int, ...], lead: tuple, k: int, rest: tuple) -> tuple[int, ...] | None:
    """The shape in which a value broadcasts to (*lead, *k dimensions of the mask, *rest); None if it depends on the count."""
    n = len(rest)
    if len(shape) <= n:
        return shape if _fits(shape, rest) else None
    before, own, after = shape[: len(shape) - n - 1], shape[len(shape) - n - 1], shape[len(shape) - n :]
    if own != 1 or len(before) > len(lead) or not (_fits(after, rest) and _fits(before, lead)):
        return None
    return (*before, *(1,) * k, *after)


def _fits(shape, target) -> bool:
    return all(m in (1, n) for m, n in zip(reversed(shape), reversed(target), strict=False))


# ---------------------------------------------------------------------------------------------------------------------
# Updates


def _factor(x, values, keep):
    """The factor is 1 elsewhere, so an infinity there has no part in the derivative."""
    ones = broadcast_to(np.ones((), get_aval(x).dtype)[()], x.shape)
    return _bind("mul", x, _bind("select_n", keep, ones, values))


def _bind(name: str, *args):
    return registry[name].bind(*args)


def _where(name: str) -> Callable:
    return lambda x, values, keep: _bind("select_n", keep, x, _bind(name, x, values))


_UPDATES: dict[str, Callable] = {
    "set": lambda x, values, keep: _bind("select_n", keep, x, values),
    "add": _where("add"), "sub": _where("sub"), "min": _where("min"), "max": _where("max"), "mul": _factor,
}  # fmt: skip


def updated(kind: str, x, mask, at: int, values):
    """``x.at[mask].<kind>(values)``, for an array whose dimensions from ``at`` on are those of the mask.

    Raises:
      NonConcreteBooleanIndexError: if the shape of ``values`` depends on the number of true entries.
    """
    shape = x.shape
    check_mask(mask, shape, at)
    rest = shape[at + len(mask.shape) :]
    spread = spread_shape(shape_of(values), shape[:at], len(mask.shape), rest)
    if spread is None:
        raise NonConcreteBooleanIndexError(
            mask,
            f"x.at[mask].{kind} was given values of the shape {shape_of(values)}: with a traced mask they must broadcast to "
            "every one of its entries. Write jnp.where(mask, values, x) for values of the shape of x.",
        ) from None
    kept = [i for i, n in enumerate(spread) if n == shape[len(shape) - len(spread) + i]]
    squeezed = reshape(values, tuple(spread[i] for i in kept))
    values = broadcast_in_dim(squeezed, shape, [len(shape) - len(spread) + i for i in kept])
    return _UPDATES[kind](x, values, broadcast_to(_stretched(mask, at, len(rest)), shape))


def applied(func: Callable, x, mask, at: int):
    """``x.at[mask].apply(func)``; ``func`` meets selected elements only, as in `Selection.filled`."""
    check_mask(mask, x.shape, at)
    selection = Selection(x, mask, at)
    out = convert(func(selection.filled), get_aval(x).dtype)
    return _bind("select_n", broadcast_to(selection.where, x.shape), x, out)


__all__ = ["Selection", "applied", "has_traced_mask", "mapped", "reduced", "selection_of", "split_index", "updated"]
