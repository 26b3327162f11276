"""Reductions: `sum`, `prod`, `max`, `min`, `all`, `any`, `argmax`, `argmin`, `count_nonzero`, `ptp`, and those that skip nan.

Every function takes ``axis``: None for all dimensions, an int, or a tuple of ints. Eager calls resolve their Python
arguments here and are then dispatched in C++ (`fused`), keyed by them.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.primitive import registry
from addax.interpreters.values import expand_dims, reshape
from addax.numpy import terms as t
from addax.numpy.base import (
    as_array,
    as_operand,
    broadcast_shapes,
    broadcast_to,
    canonical_axis,
    check_array_like,
    fused,
    no_out,
    shape_of,
)
from addax.numpy.masked import Selection, reduced
from addax.ops.reduce import highest_value, lowest_value

Axis = Any

# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def axis_argument(axis: Axis) -> int | tuple[int | str, ...] | None:
    """An axis argument as what can key a cache; still counted from either end."""
    if axis is None or type(axis) is int:
        return axis
    try:
        return operator.index(axis)
    except TypeError:
        return tuple(a if isinstance(a, str) else operator.index(a) for a in axis)


def reduced_axes(axis, ndim: int) -> tuple[int, ...]:
    """The dimensions that ``axis`` names, counted from the front, in order.

    Raises:
      ValueError: if one is out of range or named twice.
    """
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(canonical_axis(a, ndim) for a in (axis if isinstance(axis, tuple) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    return tuple(sorted(axes))


def dtype_argument(dtype, name: str):
    return None if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)


def mask_of(name: str, where, shape: tuple[int, ...]):
    """The ``where`` of a reduction, stretched to the shape of what is reduced.

    Raises:
      ValueError: if it is not boolean, or does not broadcast to that shape.
    """
    mask = as_array(where)
    if mask.dtype != np.bool_:
        raise ValueError(f"addax.numpy.{name}: where must be None or a boolean array; got where.dtype={mask.dtype!r}.")
    if broadcast_shapes(shape, mask.shape) != shape:
        raise ValueError(
            f"addax.numpy.{name}: where of shape {mask.shape} does not broadcast to the array's shape {shape}."
        )
    return broadcast_to(mask, shape)


def restore_dims(x, axes, keepdims: bool):
    return expand_dims(x, axes) if keepdims and axes else x


# ---------------------------------------------------------------------------------------------------------------------
# The family


def accumulator(dtype) -> Any:
    """The dtype sums and products of integers are made in: at least the default width, which booleans count in."""
    if dtype == np.bool_:
        return dtypes.default_int_dtype()
    if dtypes.issubdtype(dtype, np.unsignedinteger):
        default = dtypes.default_uint_dtype()
    elif dtypes.issubdtype(dtype, np.integer):
        default = dtypes.default_int_dtype()
    else:
        return dtype
    return default if dtypes.itemsize_bits(dtype) < dtypes.itemsize_bits(default) else dtype


def _reduction(
    name: str,
    primitive: str,
    combine: Callable,
    identity: Callable[[Any], Any],
    has_identity: bool = True,
    upcast: bool = False,
    truth: bool = False,
):
    """The traced part of a reduction: ``f(a, initial, where; axis, dtype, keepdims, promote_integers)``."""
    sums = primitive, combine

    @fused(static=("axis", "dtype", "keepdims", "promote_integers"))
    def fun(a, initial=None, where=None, *, axis, dtype, keepdims, promote_integers=False):
        if type(a) is Selection:
            start = identity(a.dtype) if initial is None and not has_identity else initial
            return reduced(
                fun, name, a, axis, keepdims, dtype=dtype, promote_integers=promote_integers, **_dynamic(start, where)
            )
        check_array_like(name, *(x for x in (a, where) if x is not None))
        a = as_array(a)
        axes = reduced_axes(axis, a.ndim)
        if not has_identity and initial is None:
            if where is not None:
                raise ValueError(
                    f"reduction operation {name} does not have an identity, so to use a where mask one has to specify "
                    "'initial'"
                )
            if builtins.any(a.shape[d] == 0 for d in axes):
                raise ValueError(f"zero-size array to reduction operation {name} which has no identity")
        if truth:
            a = t.truth(a)
        in_dtype = a.dtype
        result = in_dtype if dtype is None else dtype
        if dtype is None and promote_integers:
            result = accumulator(in_dtype)
        # Floats of 16 bits and less are summed in float32 and rounded once.
        narrow = upcast and dtypes.issubdtype(result, np.floating) and dtypes.itemsize_bits(result) < 32
        compute = np.dtype(np.float32) if narrow else result
        a = t.to_dtype(a, compute)
        reduce, combine = _TRUTH.get(primitive, sums) if compute == np.bool_ else sums
        if where is not None:
            a = t.select(mask_of(name, where, a.shape), a, np.asarray(identity(compute)).astype(compute)[()])
        out = registry[reduce].bind(a, axes=axes, **({"out_sharding": None} if reduce == "reduce_sum" else {}))
        if initial is not None:
            if shape_of(initial) != ():
                raise ValueError(f"initial value must be a scalar. Got array of shape {shape_of(initial)}")
            out = combine(t.to_dtype(as_array(initial), compute), out)
        return t.to_dtype(restore_dims(out, axes, keepdims), result)

    fun.__name__ = name
    return fun


# Sums and products of booleans, where that dtype is asked for: their "or" and "and", as of two of them.
_TRUTH = {"reduce_sum": ("reduce_or", t.or_), "reduce_prod": ("reduce_and", t.and_)}

_sum = _reduction("sum", "reduce_sum", t.add, lambda _: 0, upcast=True)
_prod = _reduction("prod", "reduce_prod", t.mul, lambda _: 1, upcast=True)
_max = _reduction("max", "reduce_max", t.max_, lowest_value, has_identity=False)
_min = _reduction("min", "reduce_min", t.min_, highest_value, has_identity=False)
_all = _reduction("all", "reduce_and", t.and_, lambda _: True, truth=True)
_any = _reduction("any", "reduce_or", t.or_, lambda _: False, truth=True)


def _dynamic(initial, where) -> dict:
    return {k: v for k, v in (("initial", initial), ("where", where)) if v is not None}


def sum(
    a, axis: Axis = None, dtype=None, out=None, keepdims: bool = False, initial=None, where=None,
    promote_integers: bool = True,
) -> Any:  # fmt: skip
    """The sum of the elements over ``axis``.

    Args:
      dtype: of the result, and what is summed in. By default integers are summed in at least the default width
        (int32, or int64 under x64), floats below 32 bits in float32 and rounded once.
      keepdims: keep the reduced dimensions, with size 1.
      initial: added to the sum.
      where: boolean array; only elements where it holds count.

    >>> import addax.numpy as jnp
    >>> x = jnp.arange(6).reshape(2, 3)
    >>> jnp.sum(x), jnp.sum(x, axis=0), jnp.sum(x, axis=1, where=x > 1)
    (Array(15, dtype=int32), Array([3, 5, 7], dtype=int32), Array([ 2, 12], dtype=int32))
    """
    no_out("sum", out)
    return _sum(
        a, **_dynamic(initial, where), axis=axis_argument(axis), dtype=dtype_argument(dtype, "sum"),
        keepdims=bool(keepdims), promote_integers=bool(promote_integers),
    )  # fmt: skip


def prod(
    a, axis: Axis = None, dtype=None, out=None, keepdims: bool = False, initial=None, where=None,
    promote_integers: bool = True,
) -> Any:  # fmt: skip
    """The product of the elements over ``axis``; arguments as for `sum`. Over no elements it is 1.

    >>> import addax.numpy as jnp
    >>> jnp.prod(jnp.array([[1, 2], [3, 4]]), axis=1)
    Array([ 2, 12], dtype=int32)
    """
    no_out("prod", out)
    return _prod(
        a, **_dynamic(initial, where), axis=axis_argument(axis), dtype=dtype_argument(dtype, "prod"),
        keepdims=bool(keepdims), promote_integers=bool(promote_integers),
    )  # fmt: skip


def max(a, axis: Axis = None, out=None, keepdims: bool = False, initial=None, where=None) -> Any:
    """The largest element over ``axis``; nan if one is nan. Equal maxima share the derivative.

    Args:
      initial: a lower bound of the result; needed over no elements, and with ``where``.

    Raises:
      ValueError: over no elements without ``initial``.

    >>> import addax.numpy as jnp
    >>> jnp.max(jnp.array([[1, 5], [7, 2]]), axis=1)
    Array([5, 7], dtype=int32)
    """
    no_out("max", out)
    return _max(a, **_dynamic(initial, where), axis=axis_argument(axis), dtype=None, keepdims=bool(keepdims))


def min(a, axis: Axis = None, out=None, keepdims: bool = False, initial=None, where=None) -> Any:
    """The smallest element over ``axis``; nan if one is nan. Arguments as for `max`.

    >>> import addax.numpy as jnp
    >>> jnp.min(jnp.array([[1, 5], [7, 2]]), axis=1)
    Array([1, 2], dtype=int32)
    """
    no_out("min", out)
    return _min(a, **_dynamic(initial, where), axis=axis_argument(axis), dtype=None, keepdims=bool(keepdims))


amax, amin = max, min


def all(a, axis: Axis = None, out=None, keepdims: bool = False, *, where=None) -> Any:
    """Whether all elements over ``axis`` are true (not 0); true over no elements.

    >>> import addax.numpy as jnp
    >>> jnp.all(jnp.array([[True, False], [True, True]]), axis=1)
    Array([False,  True], dtype=bool)
    """
    no_out("all", out)
    return _all(a, **_dynamic(None, where), axis=axis_argument(axis), dtype=None, keepdims=bool(keepdims))


def any(a, axis: Axis = None, out=None, keepdims: bool = False, *, where=None) -> Any:
    """Whether an element over ``axis`` is true (not 0); false over no elements.

    >>> import addax.numpy as jnp
    >>> jnp.any(jnp.array([[True, False], [False, False]]), axis=1)
    Array([ True, False], dtype=bool)
    """
    no_out("any", out)
    return _any(a, **_dynamic(None, where), axis=axis_argument(axis), dtype=None, keepdims=bool(keepdims))


def count_nonzero(a, axis: Axis = None, keepdims: bool = False) -> Any:
    """How many elements over ``axis`` are not 0.

    >>> import addax.numpy as jnp
    >>> jnp.count_nonzero(jnp.array([[1, 0], [2, 3]]), axis=1)
    Array([1, 2], dtype=int32)
    """
    check_array_like("count_nonzero", a)
    if type(a) is Selection:
        return sum(a != 0, axis, dtypes.default_int_dtype(), keepdims=keepdims)  # type: ignore[operator]
    return sum(t.truth(as_operand(a)), axis, dtypes.default_int_dtype(), keepdims=keepdims)


def ptp(a, axis: Axis = None, out=None, keepdims: bool = False) -> Any:
    """The range over ``axis``: the largest element less the smallest.

    >>> import addax.numpy as jnp
    >>> jnp.ptp(jnp.array([3, 9, 5]))
    Array(6, dtype=int32)
    """
    no_out("ptp", out)
    check_array_like("ptp", a)
    return t.sub(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


# ---------------------------------------------------------------------------------------------------------------------
# Positions


def _arg_reduction(name: str):
    primitive = registry[name]

    @fused(static=("axis", "keepdims"))
    def fun(a, *, axis, keepdims):
        check_array_like(name, a)
        a = as_array(a)
        ndim = a.ndim
        if axis is None:
            a, dim = reshape(a, (a.size,)), 0
        else:
            dim = canonical_axis(axis, ndim)
        if ndim == 0:
            a, dim = reshape(a, (1,)), 0
        if a.shape[dim] == 0:
            raise ValueError(f"attempt to get {name} of an empty sequence")
        if t.is_complex(a):
            out = _complex_position(a, dim, larger=name == "argmax")
        else:
            out = primitive.bind(a, axes=(dim,), index_dtype=dtypes.default_int_dtype())
        return restore_dims(out, tuple(range(ndim)) if axis is None else (dim,), keepdims and ndim > 0)

    fun.__name__ = name
    return fun


def _complex_position(a, dim: int, larger: bool):
    """The first position of the extreme complex number: that of the extreme imaginary part among extreme real parts."""
    pick = registry["reduce_max" if larger else "reduce_min"]
    extreme = expand_dims(pick.bind(a, axes=(dim,)), (dim,))
    undefined = t.ne(a, a)
    found = t.or_(t.eq(a, broadcast_to(extreme, a.shape)), undefined)
    return registry["argmax"].bind(found, axes=(dim,), index_dtype=dtypes.default_int_dtype())


_argmax, _argmin = _arg_reduction("argmax"), _arg_reduction("argmin")


def argmax(a, axis: int | None = None, out=None, keepdims: bool | None = None) -> Any:
    """The position of the largest element over ``axis``, or in the flattened array; the first of several, nan before all.

    >>> import addax.numpy as jnp
    >>> jnp.argmax(jnp.array([[1, 5, 5], [7, 2, 0]]), axis=1)
    Array([1, 0], dtype=int32)
    """
    no_out("argmax", out)
    return _argmax(a, axis=None if axis is None else operator.index(axis), keepdims=bool(keepdims))


def argmin(a, axis: int | None = None, out=None, keepdims: bool | None = None) -> Any:
    """The position of the smallest element over ``axis``, or in the flattened array; the first of several, nan before all.

    >>> import addax.numpy as jnp
    >>> jnp.argmin(jnp.array([[1, 5, 5], [7, 2, 0]]), axis=1)
    Array([0, 2], dtype=int32)
    """
    no_out("argmin", out)
    return _argmin(a, axis=None if axis is None else operator.index(axis), keepdims=bool(keepdims))


# ---------------------------------------------------------------------------------------------------------------------
# Reductions that skip nan


def _nan_positions(name: str, a):
    """``(a, where it is nan)``, the latter None for dtypes that have no nan."""
    check_array_like(name, a)
    a = as_array(a)
    return a, (t.ne(a, a) if dtypes.issubdtype(a.dtype, np.inexact) else None)


def nansum(a, axis: Axis = None, dtype=None, out=None, keepdims: bool = False, initial=None, where=None) -> Any:
    """`sum` with nan counting as 0.

    >>> import addax.numpy as jnp
    >>> jnp.nansum(jnp.array([1.0, jnp.nan, 2.0]))
    Array(3., dtype=float32)
    """
    no_out("nansum", out)
    a, mask = _nan_positions("nansum", a)
    return sum(a if mask is None else t.select(mask, t.const(a, 0), a), axis, dtype, None, keepdims, initial, where)


def nanprod(a, axis: Axis = None, dtype=None, out=None, keepdims: bool = False, initial=None, where=None) -> Any:
    """`prod` with nan counting as 1.

    >>> import addax.numpy as jnp
    >>> jnp.nanprod(jnp.array([3.0, jnp.nan, 2.0]))
    Array(6., dtype=float32)
    """
    no_out("nanprod", out)
    a, mask = _nan_positions("nanprod", a)
    return prod(a if mask is None else t.select(mask, t.const(a, 1), a), axis, dtype, None, keepdims, initial, where)


def _nan_extreme(name: str, reduce, worst, a, axis, keepdims, initial, where):
    a, mask = _nan_positions(name, a)
    if mask is None:
        return reduce(a, axis, None, keepdims, initial, where)
    a = t.select(mask, worst(a.dtype), a)
    out = reduce(a, axis, None, keepdims, initial, where)
    if initial is not None:
        return out
    return t.select(all(mask, axis, keepdims=keepdims), t.const(out, np.nan), out)


def nanmax(a, axis: Axis = None, out=None, keepdims: bool = False, initial=None, where=None) -> Any:
    """`max` of the numbers, nan if there is none.

    >>> import addax.numpy as jnp
    >>> jnp.nanmax(jnp.array([3.0, jnp.nan, 2.0]))
    Array(3., dtype=float32)
    """
    no_out("nanmax", out)
    return _nan_extreme("nanmax", max, lowest_value, a, axis, keepdims, initial, where)


def nanmin(a, axis: Axis = None, out=None, keepdims: bool = False, initial=None, where=None) -> Any:
    """`min` of the numbers, nan if there is none.

    >>> import addax.numpy as jnp
    >>> jnp.nanmin(jnp.array([3.0, jnp.nan, 2.0]))
    Array(2., dtype=float32)
    """
    no_out("nanmin", out)
    return _nan_extreme("nanmin", min, highest_value, a, axis, keepdims, initial, where)


def _nan_position(name: str, find, worst, a, axis, keepdims):
    a, mask = _nan_positions(name, a)
    if mask is None:
        return find(a, axis, keepdims=keepdims)
    position = find(t.select(mask, worst(a.dtype), a), axis, keepdims=keepdims)
    return t.select(all(mask, axis, keepdims=bool(keepdims)), t.const(position, -1), position)


def nanargmax(a, axis: int | None = None, out=None, keepdims: bool | None = None) -> Any:
    """`argmax` of the numbers, -1 where there is none (NumPy raises).

    >>> import addax.numpy as jnp
    >>> jnp.nanargmax(jnp.array([jnp.nan, 1.0, 3.0]))
    Array(2, dtype=int32)
    """
    no_out("nanargmax", out)
    return _nan_position("nanargmax", argmax, lowest_value, a, axis, keepdims)


def nanargmin(a, axis: int | None = None, out=None, keepdims: bool | None = None) -> Any:
    """`argmin` of the numbers, -1 where there is none (NumPy raises).

    >>> import addax.numpy as jnp
    >>> jnp.nanargmin(jnp.array([jnp.nan, 1.0, 3.0]))
    Array(1, dtype=int32)
    """
    no_out("nanargmin", out)
    return _nan_position("nanargmin", argmin, highest_value, a, axis, keepdims)
