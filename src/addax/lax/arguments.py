"""What the functions of `addax.lax` do with their arguments before they bind primitives: check and normalise.

The primitives below take arrays, and tuples of Python ints; users pass anything that means the same.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.sizes import as_size
from addax.core.trace import Tracer
from addax.transforms.flat import jax_array

_ARRAYS = (_native.Array, Tracer)
_READY = (*_ARRAYS, np.ndarray, np.generic, bool, int, float, complex)


def operand(fun_name: str, x: Any, position: int | None = None) -> Any:
    """``x`` as a primitive takes it: an array, a tracer, a NumPy array or scalar, or a Python scalar.

    Raises:
      TypeError: for lists and whatever else is no array.
    """
    if isinstance(x, _READY):
        return x
    x = jax_array(x)
    try:
        get_aval(x)
    except TypeError:
        where = "" if position is None else f" at position {position}"
        hint = " Convert it with addax.numpy.array first." if isinstance(x, (list, tuple)) else ""
        raise TypeError(
            f"lax.{fun_name} requires arrays or scalars, got a value of type {type(x)}{where}.{hint}"
        ) from None
    return x


def as_array(x: Any) -> Any:
    """An Array or a tracer for ``x``, without an operation in the program."""
    if isinstance(x, _ARRAYS):
        return x
    aval = get_aval(x)
    return _native.array_from_numpy(np.asarray(x).astype(aval.dtype), aval)


def aval_of(fun_name: str, x: Any) -> ShapedArray:
    return get_aval(operand(fun_name, x))


def integer(fun_name: str, what: str, x: Any) -> int:
    """A static integer.

    Raises:
      TypeError: for floats, and for traced values, which are not known when the program is built.
    """
    if isinstance(x, Tracer):
        raise TypeError(
            f"lax.{fun_name}: {what} must be known when the program is traced, got {x}. A compiled program has fixed "
            "shapes: mark the argument as static (static_argnums), or use a dynamic form of this operation."
            f"\n{x.origin()}".rstrip()
        )
    try:
        return as_size(x)
    except TypeError:
        raise TypeError(f"lax.{fun_name}: {what} must be an integer, got {x!r} of type {type(x).__name__}.") from None


def integers(fun_name: str, what: str, xs: Any) -> tuple[int, ...]:
    """A sequence of static integers as a tuple."""
    if type(xs) is tuple and all(type(d) is int for d in xs):
        return xs
    if isinstance(xs, np.ndarray):
        xs = xs.tolist()
    try:
        items = tuple(xs)
    except TypeError:
        raise TypeError(
            f"lax.{fun_name}: {what} must be a sequence of integers, got {xs!r}; write ({xs!r},)."
        ) from None
    return tuple(integer(fun_name, f"each entry of {what}", d) for d in items)


def shape_argument(fun_name: str, shape: Any, hint: str = "") -> tuple[int, ...]:
    """A shape as a tuple of ints; a single int is a shape of one dimension. ``hint``: advice where a size is negative.

    Raises:
      TypeError: for sizes that are negative, not integers, or traced.
    """
    if type(shape) is tuple and all(type(d) is int and d >= 0 for d in shape):
        return shape
    items: Sequence = tuple(shape) if isinstance(shape, (Sequence, np.ndarray)) else (shape,)
    sizes = []
    for d in items:
        try:
            sizes.append(as_size(d) if not isinstance(d, Tracer) else d)
        except TypeError:
            raise TypeError(
                f"Shapes must be 1D sequences of concrete values of integer type, got {tuple(items)} in lax.{fun_name}."
            ) from None
        if isinstance(d, Tracer):
            raise TypeError(
                "Shapes must be 1D sequences of concrete values of integer type, got "
                f"{tuple(items)} in lax.{fun_name}. A compiled program has fixed shapes: mark the argument as static "
                f"(static_argnums), or take the size from x.shape.\n{d.origin()}".rstrip()
            )
        if sizes[-1] < 0:
            raise TypeError(f"lax.{fun_name}: shape must have every element be nonnegative, got {tuple(items)}.{hint}")
    return tuple(sizes)


def axis_argument(fun_name: str, axis: Any, rank: int) -> int:
    """An axis counted from the front.

    Raises:
      ValueError: if the array has no such axis.
    """
    d = axis if type(axis) is int else integer(fun_name, "axis", axis)
    if not -rank <= d < rank:
        raise ValueError(f"lax.{fun_name}: axis {d} is out of bounds for array of dimension {rank}")
    return d + rank if d < 0 else d


def axes_argument(fun_name: str, what: str, axes: Any, rank: int) -> tuple[int, ...]:
    """Axes counted from the front, none twice."""
    found = tuple(axis_argument(fun_name, d, rank) for d in integers(fun_name, what, axes))
    if len(set(found)) != len(found):
        raise ValueError(f"lax.{fun_name}: {what} must be unique, got {tuple(axes)} for an array of dimension {rank}")
    return found


@functools.lru_cache(maxsize=256)
def integer_limits(dtype: np.dtype) -> tuple[int, int] | None:
    """The least and largest number of an integer dtype, None for others."""
    if not dtypes.issubdtype(dtype, np.integer):
        return None
    info = dtypes.iinfo(dtype)
    return int(info.min), int(info.max)


def check_integer(x: int, dtype: np.dtype, wraps: bool = True) -> None:
    """Refuse a Python int that an integer ``dtype`` cannot stand for.

    Args:
      wraps: an int among arrays has the default dtype first, as in JAX. What fits that, or ``dtype``, is taken modulo
        2^bits, so that ``x & ~1`` means something for unsigned x.

    Raises:
      OverflowError: with the numbers that are possible.
    """
    limits = integer_limits(dtype)
    if limits is None or limits[0] <= x <= limits[1]:
        return
    if wraps:
        low, high = integer_limits(dtypes.default_int_dtype())  # type: ignore[misc]
        if low <= x <= high:
            return
    hint = ""
    if -(1 << 63) <= x < 1 << 64 and dtypes.itemsize_bits(dtype) == 32:
        hint = " Enable 64-bit types with addax.config.update('addax_enable_x64', True), or use a float."
    raise OverflowError(
        f"Python integer {x} out of bounds for {dtypes.dtype_name(dtype)}: it must be in [{limits[0]}, {limits[1]}].{hint}"
    )
