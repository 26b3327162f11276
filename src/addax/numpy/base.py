"""What the functions of `addax.numpy` do with their arguments before they bind primitives: check, convert, promote."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import get_aval, scalar_aval
from addax.core.config import current_context
from addax.core.errors import NonConcreteBooleanIndexError, warn_user
from addax.core.sizes import as_size, shared
from addax.core.trace import Tracer
from addax.engines.eager import fused
from addax.interpreters.values import broadcast_in_dim, broadcast_to, convert
from addax.lax.arguments import check_integer
from addax.numpy.masked import mapped
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
            raise TypeError(f"{fun_name} requires ndarray or scalar arguments, got {type(x)} at position {i}{hint}.")


def as_operand(x) -> Any:
    """Arrays, tracers, NumPy arrays and scalars as they are; ``__jax_array__`` objects as what they stand for."""
    return jax_array(x) if hasattr(x, "__jax_array__") else x


def as_array(x) -> Any:
    """An array for a Python or NumPy scalar or a NumPy array; arrays and tracers as they are."""
    if isinstance(x, ARRAYS):
        return x
    x = as_operand(x)
    aval = get_aval(x)
    return _native.array_from_numpy(np.asarray(x).astype(aval.dtype, copy=False), aval)


def known(x: Any) -> np.ndarray | None:
    """The value of an array as one of NumPy; None while it is being traced."""
    if isinstance(x, Tracer):
        x = x.concrete()
    return None if x is None else np.asarray(x)


def cast(x, dtype, weak: bool = False):
    """``x`` as ``dtype``. Python scalars stay what they are where their default type is the wanted one."""
    cls = type(x)
    if cls in PYTHON_SCALARS:
        if cls is int:
            check_integer(x, dtype)
        if not weak:
            return number(x, dtype)
        for kind in (cls, float, complex):  # an int among weak floats is a weak float
            if scalar_aval(kind).dtype == dtype:
                return kind(x)
        return convert(number(x, dtype), dtype, True)
    if isinstance(x, np.ndarray | np.generic) and not weak:
        return x if x.dtype == dtype else np.asarray(x).astype(dtype)
    return convert(x, dtype, weak)


# Within these bounds a conversion to float32 cannot overflow, so no warning needs to be silenced.
_SURELY_FLOAT32 = 3e38


def number(x, dtype) -> np.generic:
    """A Python number as a NumPy scalar; it must be in the range of an integer dtype."""
    scalar = dtype.type
    if scalar is np.int32 or (scalar is np.float32 and type(x) is float and -_SURELY_FLOAT32 < x < _SURELY_FLOAT32):
        return scalar(x)
    with np.errstate(all="ignore"):
        out: Any = np.asarray(x).astype(dtype)
    return out[()]


# ---------------------------------------------------------------------------------------------------------------------
# Promotion. A rule maps the (dtype, weak type) that the operands combine to onto the one the function computes in.


def same_dtype(dtype):
    """Compute in the common dtype of the operands."""
    return dtype


def inexact_dtype(dtype):
    """Compute in floating point: integers and booleans become floats."""
    return dtypes.to_inexact_dtype(dtype)


def numeric_dtype(dtype):
    """Compute in numbers: booleans become integers."""
    return dtypes.to_numeric_dtype(dtype)


def promote(rule: Callable, *xs) -> list:
    """The operands in the dtype that ``rule`` makes of their common one, by the promotion lattice of JAX."""
    dtype, weak = dtypes.lattice_result_type(*xs)
    dtype = rule(dtype)
    return [cast(x, dtype, weak) for x in xs]


def promote_dtypes(*xs) -> list:
    """The arguments in their common dtype."""
    return promote(same_dtype, *xs)


def promote_inexact(*xs) -> list:
    """Like `promote_dtypes`, integers and booleans becoming floats."""
    return promote(inexact_dtype, *xs)


def promote_shapes(fun_name: str, *xs) -> list:
    """The arguments with equal ranks (scalars stay scalars: primitives stretch them)."""
    shapes = [shape_of(x) for x in xs]
    ranks = {len(s) for s in shapes if s}
    if len(ranks) < 2:
        return list(xs)
    check_broadcastable(fun_name, shapes)
    rank = max(ranks)
    return [
        broadcast_in_dim(x, (1,) * (rank - len(s)) + s, range(rank - len(s), rank)) if s and len(s) < rank else x
        for x, s in zip(xs, shapes, strict=True)
    ]


def check_broadcastable(fun_name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise unless shapes of different ranks fit together; obeys the ``numpy_rank_promotion`` option."""
    rule = current_context().numpy_rank_promotion
    if rule != "allow":
        report_rank_promotion(fun_name, shapes, rule)
    broadcast_shapes(*shapes)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that all of ``shapes`` broadcast to.

    Raises:
      ValueError: if there is none.
    """
    return shared(shapes)


def broadcast_arrays(*xs) -> list:
    """The arguments stretched to their common shape."""
    shapes = [shape_of(x) for x in xs]
    if len(set(shapes)) == 1:
        return list(xs)
    if len({len(s) for s in shapes if s}) > 1:
        check_broadcastable("broadcast_arrays", shapes)
    shape = broadcast_shapes(*shapes)
    return [broadcast_to(x, shape) for x in xs]


# ---------------------------------------------------------------------------------------------------------------------
# Operands of elementwise functions: checked, promoted, of equal rank. What has to be done is decided by the types, so
# it is remembered by them: while tracing, most calls find their plan and it says "nothing".

_plans: dict[tuple, tuple | None] = {}


def operands(name: str, rule: Callable, *xs) -> Sequence[Any]:
    """The operands ``xs`` of function ``name``: array-likes, in the dtype of ``rule``, with equal ranks or scalar.

    Raises:
      TypeError: for lists and other values that are not array-like.
      ValueError: if shapes of different ranks do not broadcast.
    """
    kinds: list = []
    for x in xs:
        if isinstance(x, ARRAYS):
            kinds.append(x.aval)
        elif type(x) in PYTHON_SCALARS:
            kinds.append(type(x))
        else:
            break
    else:
        key = (rule, current_context(), *kinds)
        plan = _plans.get(key, _plans)
        if plan is None:
            return xs
        if plan is not _plans:
            return [x if step is None else apply_step(x, step) for x, step in zip(xs, plan, strict=True)]
        return _learn(name, key, rule, xs)
    check_array_like(name, *xs)
    return promote_shapes(name, *promote(rule, *(as_operand(x) for x in xs)))


def _learn(name: str, key: tuple, rule: Callable, xs: tuple) -> Sequence[Any]:
    dtype, weak = dtypes.lattice_result_type(*xs)
    dtype = rule(dtype)
    out = promote_shapes(name, *[cast(x, dtype, weak) for x in xs])
    steps = []
    for x, y in zip(xs, out, strict=True):
        old, new = shape_of(x), shape_of(y)
        # A Python int is cast each time, for its value to be checked.
        steps.append(None if x is y and type(x) is not int else (dtype, weak, new if new != old else None))
    if current_context().numpy_rank_promotion == "allow":
        if len(_plans) > 8192:
            _plans.clear()
        _plans[key] = None if all(s is None for s in steps) else tuple(steps)
    return out


def is_weak(*xs) -> bool:
    """Whether all of these are weakly typed."""
    return all(x.weak_type if isinstance(x, ARRAYS) else type(x) in PYTHON_SCALARS for x in xs)


def elementwise(rule: Callable, strong: type | None = None) -> Callable:
    """Decorator: a function of one or two operands, promoted by ``rule``; eager calls are dispatched in C++.

    A result of a dtype below ``strong`` is strongly typed as soon as one operand is, even where promotion says
    otherwise: an int8 array and a Python float promote to a weakly typed float32.
    """

    def decorate(body: Callable):
        name = body.__name__

        def unary(x, /):
            try:
                (x,) = operands(name, rule, x)
            except NonConcreteBooleanIndexError:  # x is picked[mask], with a traced mask
                return mapped(unary, x)
            return body(x)

        def binary(x, y, /):
            weak = strong is None or is_weak(x, y)
            try:
                x, y = operands(name, rule, x, y)
            except NonConcreteBooleanIndexError:
                return mapped(binary, x, y)
            out = body(x, y)
            return out if weak or not dtypes.issubdtype(out.dtype, strong) else convert(out, out.dtype, False)

        fun: Callable[..., Any] = unary if body.__code__.co_argcount == 1 else binary
        return fused(functools.update_wrapper(fun, body))

    return decorate


def apply_step(x, step):
    dtype, weak, shape = step
    x = cast(x, dtype, weak)
    return x if shape is None else broadcast_to(x, shape)


def report_rank_promotion(fun_name: str, shapes, rule: str) -> None:
    message = (
        f"Operands could not be broadcast together for {fun_name} on shapes {' '.join(map(str, shapes))} and with the "
        f"config option addax_numpy_rank_promotion='{rule}'. Add dimensions explicitly: x[:, None]."
    )
    if rule == "raise":
        raise ValueError(message)
    warn_user(message)


def no_out(fun_name: str, out) -> None:
    """Raise for ``out=``, which NumPy would write into: arrays are immutable."""
    if out is not None:
        raise NotImplementedError(
            f"The 'out' argument to addax.numpy.{fun_name} is not supported: arrays are immutable; use the result."
        )


def shape_of(x) -> tuple[int, ...]:
    return () if type(x) in PYTHON_SCALARS else tuple(x.shape)


def canonical_axis(axis: Any, ndim: int, what: str = "axis") -> int:
    """``axis`` counted from the front.

    Raises:
      numpy.exceptions.AxisError: if it is out of range.
    """
    try:
        axis = axis.__index__()
    except AttributeError:
        raise TypeError(f"{what} must be an integer, got {axis!r} of type {type(axis).__name__}") from None
    if not -ndim <= axis < ndim:
        # Both a ValueError and an IndexError, as in NumPy.
        raise np.exceptions.AxisError(f"{what} {axis} is out of bounds for array of dimension {ndim}")
    return axis + ndim if axis < 0 else axis


def canonical_axes(axis, ndim: int) -> tuple[int, ...]:
    """None, an int or a tuple of ints as a sorted-by-position tuple without repetitions."""
    if axis is None:
        return tuple(range(ndim))
    axes = tuple(canonical_axis(a, ndim) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"duplicate value in 'axis': {axis}")
    return axes


def canonical_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of ints.

    Raises:
      TypeError: for traced or non-integer sizes, which a compiled program cannot have.
    """
    scalar = not isinstance(shape, (tuple, list)) and np.ndim(shape) == 0
    items: Sequence = (shape,) if scalar else tuple(shape)
    out = []
    for d in items:
        if isinstance(d, Tracer):
            raise TypeError(
                f"Shapes must be 1D sequences of concrete values of integer type, got {shape}. A compiled program has "
                f"fixed shapes: mark the argument as static (static_argnums), or take the size from x.shape.\n{d.origin()}"
            )
        try:
            n = as_size(d)
        except TypeError:
            raise TypeError(f"Shapes must be 1D sequences of concrete values of integer type, got {shape}.") from None
        if n < 0:
            raise ValueError(f"shape must have non-negative dimensions, got {shape}")
        out.append(n)
    return tuple(out)
