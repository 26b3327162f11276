"""Reductions: fold an array over some of its dimensions, which the result does not have.

``reduce_sum``, ``reduce_prod``, ``reduce_max``, ``reduce_min``, ``reduce_and``, ``reduce_or``, ``reduce_xor`` fold with
a fixed operation; ``argmax`` and ``argmin`` find positions. ``reduce``, which folds with any program, is in
``reduce_program.py``.

Over no elements a reduction gives its identity. Floats narrower than 32 bits are summed and multiplied in float32 and
rounded once; integers wrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.primitive import Primitive, registry
from addax.ops.convert import convert_reference
from addax.ops.reference_tools import widen
from addax.ops.rules import (
    ANY,
    BITS,
    LINEAR,
    NUMERIC,
    ZERO_DERIVATIVE,
    Refusal,
    Zero,
    broadcast_in_dim,
    convert,
    dtype_of,
    primitive,
    reduce_sum as sum_over,
    reshape,
    shape_of,
    transpose,
)
from addax.ops.shape import past

# ---------------------------------------------------------------------------------------------------------------------
# The family


def check_reduced(name: str, operand: ShapedArray, axes: tuple) -> None:
    """Dimensions to reduce: each in range, none twice."""
    if any(not isinstance(d, (int, np.integer)) for d in axes):
        raise TypeError(f"{name}: axes must be integers, got {axes}.")
    if len(set(axes)) != len(axes):
        raise ValueError(f"duplicate value in 'axes' of reduction: {axes}")
    if not all(0 <= d < operand.ndim for d in axes):
        raise ValueError(
            f"reduction axes {axes} contains out-of-bounds indices for {operand.str_short(short_dtypes=False)}."
        )


def without(shape: tuple[int, ...], axes) -> tuple[int, ...]:
    """``shape`` less the dimensions ``axes``."""
    return tuple(n for d, n in enumerate(shape) if d not in axes)


def kept_dims(rank: int, axes) -> list[int]:
    return [d for d in range(rank) if d not in axes]


def spread(x, shape: tuple[int, ...], axes):
    """The transpose of a sum: ``x`` repeated along the dimensions ``axes`` of ``shape``."""
    return broadcast_in_dim(x, shape, kept_dims(len(shape), axes))


def _type_rule(name: str, accepts: tuple, says: str | None) -> Callable[..., ShapedArray]:
    def rule(operand, *, axes, out_sharding=None):
        if not any(dtypes.issubdtype(operand.dtype, kind) for kind in accepts):
            got = dtypes.dtype_name(operand.dtype)
            if says is not None:
                raise TypeError(f"{says}, got {got}.")
            names = ", ".join(k.__name__ for k in accepts) if accepts != NUMERIC else "number"
            hint = "; convert it first, or use reduce_or" if got == "bool" and name == "reduce_sum" else ""
            raise TypeError(f"{name} does not accept dtype {got}. Accepted dtypes are subtypes of {names}{hint}.")
        check_reduced(name, operand, axes)
        return operand.update(shape=without(operand.shape, axes))

    return rule


def _batch_rule(get: Callable[[], Primitive]):
    def batch(axis, args, dims, *, axes, **params):
        (bdim,) = dims
        moved = tuple(past(d, bdim) for d in axes)
        return get().bind(args[0], axes=moved, **params), bdim - sum(d < bdim for d in moved)

    return batch


def _reduction(name: str, accepts: tuple, reference, says: str | None = None, **rules) -> Primitive:
    p = primitive(name, _type_rule(name, accepts, says), batch=_batch_rule(lambda: p), **rules)
    p.reference = reference
    return p


# ---------------------------------------------------------------------------------------------------------------------
# Sums and products


def _accumulate(ufunc: np.ufunc):
    def reference(x, *, axes, out_sharding=None):
        wide = widen(x)
        with np.errstate(all="ignore"):
            out = np.asarray(ufunc.reduce(wide, axis=axes, dtype=wide.dtype))
        return out if out.dtype == x.dtype else convert_reference(out, new_dtype=x.dtype)

    return reference


reduce_sum = _reduction(
    "reduce_sum",
    NUMERIC,
    _accumulate(np.add),
    jvp=LINEAR,
    transpose=lambda ct, x, *, axes, out_sharding=None: [spread(ct, x.aval.shape, axes)],
)


def _products_of_others(x):
    """For ``x[n, ...]``, at each position the product of all other elements along the first dimension.

    By products from both ends, so that zeros are no special case: prod_{j<i} x_j * prod_{j>i} x_j.
    """
    n, rank = shape_of(x)[0], len(shape_of(x))
    one = np.ones((), dtype_of(x))[()]
    rest = (0, 0, 0)

    def products_before(reverse: bool):
        through = registry["cumprod"].bind(x, axis=0, reverse=reverse)
        ends = (-1, 1, 0) if reverse else (1, -1, 0)
        return registry["pad"].bind(through, one, padding_config=(ends, *(rest,) * (rank - 1)))

    if n == 1:
        return broadcast_in_dim(one, shape_of(x), ())
    return registry["mul"].bind(products_before(False), products_before(True))


def _prod_jvp(primals, tangents, *, axes):
    (x,), (t,) = primals, tangents
    out = reduce_prod.bind(x, axes=axes)
    shape = shape_of(x)
    kept = kept_dims(len(shape), axes)
    count = math.prod(shape[d] for d in axes)

    def in_front(v):
        return reshape(transpose(v, (*axes, *kept)), (count, *(shape[d] for d in kept)))

    if count == 0:
        return out, Zero.of(out)
    return out, sum_over(registry["mul"].bind(in_front(t), _products_of_others(in_front(x))), (0,))


reduce_prod = _reduction("reduce_prod", NUMERIC, _accumulate(np.multiply), jvp=_prod_jvp)

# ---------------------------------------------------------------------------------------------------------------------
# Maximum and minimum: NaN wins; -0 is less than 0; complex numbers are ordered by real, then imaginary part


def lowest_value(dtype) -> Any:
    """The identity of the maximum: -inf, or the least number of a dtype without infinities."""
    return _extreme_value(dtype, -1)


def highest_value(dtype) -> Any:
    """The identity of the minimum."""
    return _extreme_value(dtype, 1)


def _extreme_value(dtype, sign: int):
    if dtype == np.bool_:
        return np.bool_(sign > 0)
    if dtypes.issubdtype(dtype, np.integer):
        info = dtypes.iinfo(dtype)
        return np.asarray(info.max if sign > 0 else info.min).astype(dtype)[()]
    if dtypes.issubdtype(dtype, np.complexfloating) or dtypes.supports_inf(dtype):
        return np.asarray(sign * np.inf).astype(dtype)[()]
    info = dtypes.finfo(dtype)
    return np.asarray(info.max if sign > 0 else info.min, dtype)[()]


def fix_zero_signs(out: np.ndarray, is_positive: Callable[[], np.ndarray | np.bool_]) -> np.ndarray:
    """NumPy takes either zero as the extreme of -0 and 0; here 0 is larger.

    Args:
      is_positive: which zeros of the result are positive; called only if there are any.
    """
    if out.dtype.kind != "f":
        return out
    zero = out == 0
    if not zero.any():
        return out
    return np.where(zero, np.where(is_positive(), out.dtype.type(0.0), out.dtype.type(-0.0)), out)


def _extreme(ufunc: np.ufunc, larger: bool):
    def reference(x, *, axes):
        wide = widen(x)
        identity = widen(np.asarray(lowest_value(x.dtype) if larger else highest_value(x.dtype)))[()]
        empty = any(x.shape[d] == 0 for d in axes)
        with np.errstate(all="ignore"):
            out = np.asarray(ufunc.reduce(wide, axis=axes, **({"initial": identity} if empty else {})))

        def is_positive():
            if larger:  # one positive zero is enough
                return np.any((wide == 0) & ~np.signbit(wide), axis=axes)
            return ~np.any((wide == 0) & np.signbit(wide), axis=axes)

        return fix_zero_signs(out, is_positive).astype(x.dtype, copy=False)

    return reference


def _extreme_jvp(get: Callable[[], Primitive]):
    """The tangent of the extreme element; equal extremes share the derivative equally."""

    def jvp(primals, tangents, *, axes):
        (x,), (t,) = primals, tangents
        out = get().bind(x, axes=axes)
        at = registry["eq"].bind(x, spread(out, shape_of(x), axes))
        weights = convert(at, dtype_of(t))
        total = sum_over(registry["mul"].bind(t, weights), axes)
        return out, registry["div"].bind(total, sum_over(weights, axes))

    return jvp


reduce_max = _reduction("reduce_max", ANY, _extreme(np.maximum, larger=True), jvp=_extreme_jvp(lambda: reduce_max))
reduce_min = _reduction("reduce_min", ANY, _extreme(np.minimum, larger=False), jvp=_extreme_jvp(lambda: reduce_min))

# ---------------------------------------------------------------------------------------------------------------------
# Bitwise: booleans are single bits


def _bitwise(ufunc: np.ufunc, identity: int):
    def reference(x, *, axes):
        wide = widen(x)
        initial = np.asarray(identity).astype(wide.dtype)[()]
        out = np.asarray(ufunc.reduce(wide, axis=axes, dtype=wide.dtype, initial=initial))
        return out if out.dtype == x.dtype else convert_reference(out, new_dtype=x.dtype)

    return reference


_LOGICAL = "logical reduction requires operand dtype bool or int"

reduce_and = _reduction("reduce_and", BITS, _bitwise(np.bitwise_and, -1), says=_LOGICAL, jvp=ZERO_DERIVATIVE)
reduce_or = _reduction("reduce_or", BITS, _bitwise(np.bitwise_or, 0), says=_LOGICAL, jvp=ZERO_DERIVATIVE)
reduce_xor = _reduction("reduce_xor", BITS, _bitwise(np.bitwise_xor, 0), says=_LOGICAL, jvp=ZERO_DERIVATIVE)

# ---------------------------------------------------------------------------------------------------------------------
# argmax, argmin: the first position of the extreme; the first NaN if there is one


def _arg_type(name: str):
    def rule(operand, *, axes, index_dtype):
        if len(axes) != 1:
            raise ValueError(f"{name} reduces one dimension, got axes={axes}.")
        (axis,) = axes
        if dtypes.issubdtype(operand.dtype, np.complexfloating) or not any(
            dtypes.issubdtype(operand.dtype, kind) for kind in ANY
        ):
            raise TypeError(
                f"{name} does not accept dtype {dtypes.dtype_name(operand.dtype)}, which has no order. Accepted dtypes "
                "are subtypes of integer, floating, bool."
            )
        if not dtypes.issubdtype(index_dtype, np.integer):
            raise TypeError(f"index_dtype must be an integer type, but got {dtypes.dtype_name(index_dtype)}")
        if not 0 <= axis < operand.ndim:
            raise ValueError(f"Invalid axis {axis} for operand shape {operand.shape}")
        if operand.shape[axis] < 1:
            raise ValueError(
                f"argmin and argmax require non-empty reduced dimension. operand.shape={operand.shape} {axis=}"
            )
        return ShapedArray(without(operand.shape, axes), index_dtype, False, operand.vma)

    return rule


def _arg_reference(find):
    def reference(x, *, axes, index_dtype):
        return convert_reference(np.asarray(find(widen(x), axis=axes[0])), new_dtype=np.dtype(index_dtype))

    return reference


def _arg(name: str, find) -> Primitive:
    return primitive(
        name,
        _arg_type(name),
        jvp=ZERO_DERIVATIVE,
        transpose=Refusal(f"{name} is not linear, so it has no transpose"),
        batch=_batch_rule(lambda: registry[name]),
        reference=_arg_reference(find),
    )


argmax = _arg("argmax", np.argmax)
argmin = _arg("argmin", np.argmin)

__all__ = [
    "argmax", "argmin", "highest_value", "lowest_value", "reduce_and", "reduce_max", "reduce_min", "reduce_or",
    "reduce_prod", "reduce_sum", "reduce_xor",
]  # fmt: skip
