"""What the functions of `addax.numpy` do with their arguments before they bind primitives: check, convert, promote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.config import current_context
from addax.core.trace import Tracer
from addax.interpreters.values import broadcast_in_dim, convert
from addax.transforms.flat import jax_array

Array = _native.Array
ARRAYS = (Array, Tracer)
PYTHON_SCALARS = (bool, int, float, complex)


def is_array_like(x) -> bool:
    return isinstance(x, (Array, Tracer, np.ndarray, np.generic, bool, int, float, complex)) or hasattr(
        x, "__jax_array__"
    )


def check_array_like(fun_name: str, *xs) -> None:
    """Raise the TypeError that explains lists: NumPy converts them silently, at a cost one does not see."""
    for i, x in enumerate(xs):
        if not is_array_like(x):
            hint = ": convert it with addax.numpy.array first" if isinstance(x, (list, tuple)) else ""
            raise TypeError(
                f"{fun_name} requires ndarray or scalar arguments, got {type(x)} at position {i}{hint}."
            )


def as_operand(x) -> Any:
    """Arrays, tracers, NumPy arrays and scalars as they are; ``__jax_array__`` objects as what they stand for."""
    return jax_array(x) if hasattr(x, "__jax_array__") else x


def cast(x, dtype, weak: bool = False):
    """``x`` as ``dtype``. Python scalars stay what they are where their default type is the wanted one."""
    if type(x) in PYTHON_SCALARS:
        aval = get_aval(x)
        if weak and aval.dtype == dtype and aval.weak_type:
            return x
        if type(x) is int and dtypes.issubdtype(dtype, np.integer):
            check_int_range(x, dtype)
        with np.errstate(all="ignore"):
            scalar = np.asarray(x).astype(dtype)[()]
        return convert(scalar, dtype, True) if weak else scalar
    if isinstance(x, np.ndarray | np.generic) and not weak:
        return x if x.dtype == dtype else np.asarray(x).astype(dtype)
    return convert(x, dtype, weak)


def check_int_range(x: int, dtype) -> None:
    info = dtypes.iinfo(dtype)
    if not info.min <= x <= info.max:
        raise OverflowError(
            f"Python integer {x} out of bounds for {dtypes.dtype_name(dtype)}: it must be in [{info.min}, {info.max}]. "
            "Enable 64-bit types with addax.config.update('addax_enable_x64', True), or use a float."
        )


def promote_dtypes(*xs) -> list:
    """The arguments in their common dtype, by JAX's promotion lattice."""
    dtype, weak = dtypes.lattice_result_type(*xs)
    return [cast(x, dtype, weak) for x in xs]


def promote_inexact(*xs) -> list:
    """Like `promote_dtypes`, integers and booleans becoming floats."""
    dtype, weak = dtypes.lattice_result_type(*xs)
    inexact = dtypes.to_inexact_dtype(dtype)
    return [cast(x, inexact, weak and dtype != np.bool_) for x in xs]


def promote_numeric(*xs) -> list:
    """Like `promote_dtypes`, booleans becoming integers."""
    dtype, weak = dtypes.lattice_result_type(*xs)
    return [cast(x, dtypes.to_numeric_dtype(dtype), weak and dtype != np.bool_) for x in xs]


def promote_shapes(fun_name: str, *xs) -> list:
    """The arguments with equal ranks (scalars stay scalars: primitives stretch them)."""
    ranks = {x.ndim for x in xs if type(x) not in PYTHON_SCALARS and x.ndim}
    if len(ranks) < 2:
        return list(xs)
    rule = current_context().numpy_rank_promotion
    if rule != "allow":
        report_rank_promotion(fun_name, [np.shape(x) for x in xs], rule)
    shapes = [() if type(x) in PYTHON_SCALARS else x.shape for x in xs]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise TypeError(incompatible_shapes(fun_name, shapes)) from None
    rank = max(ranks)
    return [
        broadcast_in_dim(x, (1,) * (rank - len(s)) + s, range(rank - len(s), rank)) if s and len(s) < rank else x
        for x, s in zip(xs, shapes, strict=True)
    ]


def incompatible_shapes(fun_name: str, shapes) -> str:
    return (
        f"{fun_name} got incompatible shapes for broadcasting: {', '.join(str(tuple(s)) for s in shapes)}. Dimensions "
        "are aligned on the right and must be equal or 1."
    )


def report_rank_promotion(fun_name: str, shapes, rule: str) -> None:
    message = (
        f"Operands could not be broadcast together for {fun_name} on shapes {' '.join(map(str, shapes))} and with the "
        f"config option addax_numpy_rank_promotion='{rule}'. Add dimensions explicitly: x[:, None]."
    )
    if rule == "raise":
        raise ValueError(message)
    from addax.core.errors import warn_user  # noqa: PLC0415

    warn_user(message)


def shape_of(x) -> tuple[int, ...]:
    return () if type(x) in PYTHON_SCALARS else tuple(x.shape)


def ndim_of(x) -> int:
    return 0 if type(x) in PYTHON_SCALARS else x.ndim


def canonical_axis(axis: int, ndim: int, what: str = "axis") -> int:
    """``axis`` counted from the front.

    Raises:
      ValueError: if it is out of range.
    """
    try:
        axis = axis.__index__()
    except AttributeError:
        raise TypeError(f"{what} must be an integer, got {axis!r} of type {type(axis).__name__}") from None
    if not -ndim <= axis < ndim:
        raise ValueError(f"{what} {axis} is out of bounds for array of dimension {ndim}")
    return axis + ndim if axis < 0 else axis


def canonical_axes(axis, ndim: int) -> tuple[int, ...]:
    """None, an int or a tuple of ints as a sorted-by-position tuple without repetitions."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(canonical_axis(a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    return axes


def aval_like(x) -> ShapedArray:
    return get_aval(as_operand(x))


def canonical_shape(shape) -> tuple[int, ...]:
    """A shape as a tuple of ints.

    Raises:
      TypeError: for traced or non-integer sizes, which a compiled program cannot have.
    """
    items: Sequence = (shape,) if np.ndim(shape) == 0 and not isinstance(shape, (tuple, list)) else tuple(shape)
    out = []
    for d in items:
        if isinstance(d, Tracer):
            raise TypeError(
                f"Shapes must be 1D sequences of concrete values of integer type, got {shape}. A compiled program has "
                f"fixed shapes: mark the argument as static (static_argnums), or take the size from x.shape.\n{d.origin()}"
            )
        try:
            n = d.__index__()
        except (AttributeError, TypeError):
            raise TypeError(
                f"Shapes must be 1D sequences of concrete values of integer type, got {shape}."
            ) from None
        if n < 0:
            raise ValueError(f"shape must have non-negative dimensions, got {shape}")
        out.append(n)
    return tuple(out)
