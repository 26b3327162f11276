"""Choosing between values, element by element: `where`, `select`, `clip`, `nan_to_num`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.lax.arguments import integer_limits
from addax.numpy import terms as t
from addax.numpy.base import (
    as_array,
    as_operand,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    cast,
    check_array_like,
    fused,
    operands,
    promote_dtypes,
    same_dtype,
    shape_of,
)
from addax.numpy.taking import nonzero
from addax.ops.comparison import select_n


def where(condition, x=None, y=None, /, *, size: int | None = None, fill_value=None) -> Any:
    """``x`` where ``condition`` holds, else ``y``; without x and y the indices where it holds, like `nonzero`.

    The three are broadcast to a common shape. Both x and y are computed whatever the condition: a nan or inf in the
    branch not taken does not reach the value, but it does reach the gradient (0 * inf), so make the argument of the
    dangerous function safe first: ``where(x > 0, log(where(x > 0, x, 1)), 0)``.

    Args:
      condition: truth values; numbers are true where they are not 0.
      size, fill_value: only for ``where(condition)``: the fixed length of the result, and what pads it.

    >>> import addax.numpy as jnp
    >>> jnp.where(jnp.arange(4) % 2 == 0, jnp.arange(4), -1)
    Array([ 0, -1,  2, -1], dtype=int32)
    """
    if x is None and y is None:
        check_array_like("where", condition)
        return nonzero(condition, size=size, fill_value=fill_value)
    if size is not None or fill_value is not None:
        raise ValueError("size and fill_value arguments cannot be used in three-term where function.")
    return _where(condition, x, y)


@fused
def _where(condition, x, y):
    check_array_like("where", condition, x, y)
    condition = t.truth(as_operand(condition))
    x, y = operands("where", same_dtype, x, y)
    shape = broadcast_shapes(shape_of(condition), shape_of(x), shape_of(y))
    condition = as_array(condition)
    if shape_of(condition) and shape_of(condition) != shape:
        condition = broadcast_to(condition, shape)
    return select_n.bind(condition, broadcast_to(y, shape), broadcast_to(x, shape))


def select(condlist: Sequence, choicelist: Sequence, default=0) -> Any:
    """For each element the choice whose condition is the first to hold, or ``default``.

    >>> import addax.numpy as jnp
    >>> x = jnp.arange(5)
    >>> jnp.select([x < 2, x < 4], [x, 10 * x], -1)
    Array([ 0,  1, 20, 30, -1], dtype=int32)
    """
    if len(condlist) != len(choicelist):
        raise ValueError(f"condlist must have length equal to choicelist ({len(condlist)} vs {len(choicelist)})")
    if len(condlist) == 0:
        raise ValueError("condlist must be non-empty")
    check_array_like("select", *condlist, *choicelist, default)
    *choices, out = promote_dtypes(*(as_operand(x) for x in (*choicelist, default)))
    conditions = [t.truth(as_operand(c)) for c in condlist]
    shape = broadcast_shapes(*map(shape_of, (*conditions, *choices, out)))
    out = broadcast_to(as_array(out), shape)
    for condition, choice in zip(conditions[::-1], choices[::-1], strict=True):
        condition = as_array(condition)
        if condition.shape:
            condition = broadcast_to(condition, shape)
        out = select_n.bind(condition, out, broadcast_to(as_array(choice), shape))
    return out


def clip(arr=None, /, min=None, max=None) -> Any:
    """``arr`` with what is below ``min`` raised to it, and what is above ``max`` lowered to it.

    Where min > max the result is max. nan stays nan. A bound of None does nothing, nor does a Python int beyond what the
    dtype of ``arr`` holds. (In JAX 300 is 44 for uint8.)

    >>> import addax.numpy as jnp
    >>> jnp.clip(jnp.arange(6), 1, 4)
    Array([1, 1, 2, 3, 4, 4], dtype=int32)
    """
    if arr is None:
        raise ValueError("No input was provided to the clip function.")
    bounds = {name: _bound(x, arr) for name, x in (("lower", min), ("upper", max)) if x is not None}
    return _clip(arr, **bounds)


def _bound(x, arr):
    limits = integer_limits(arr.dtype) if type(x) is int and hasattr(arr, "dtype") else None
    return x if limits is None else limits[0] if x < limits[0] else limits[1] if x > limits[1] else x


@fused
def _clip(arr, lower=None, upper=None):
    given = [x for x in (arr, lower, upper) if x is not None]
    check_array_like("clip", *given)
    if any(t.is_complex(as_operand(x)) for x in given):
        raise ValueError(
            "Clip received a complex value either through the input or the min/max keywords. Complex values have no "
            "ordering and cannot be clipped. Please convert to a real value or array by taking the real or imaginary "
            "components via addax.numpy.real/imag respectively."
        )
    out = arr
    if lower is not None:
        out = t.max_(*operands("clip", same_dtype, lower, out))
    if upper is not None:
        out = t.min_(*operands("clip", same_dtype, upper, out))
    return as_array(out)


def nan_to_num(x, copy: bool = True, nan=0.0, posinf=None, neginf=None) -> Any:
    """nan replaced by ``nan``, and infinities by ``posinf`` and ``neginf`` (default: the largest and least number).

    Complex numbers are treated part by part, integers are themselves.

    >>> import addax.numpy as jnp
    >>> jnp.nan_to_num(jnp.array([jnp.nan, 1.0, jnp.inf]), posinf=9.0)
    Array([0., 1., 9.], dtype=float32)
    """
    check_array_like("nan_to_num", x)
    x = as_operand(x)
    if not dtypes.issubdtype(get_aval(x).dtype, np.inexact):
        return as_array(x)
    if t.is_complex(x):
        x = as_array(x)
        return t.complex_(*(nan_to_num(part, copy, nan, posinf, neginf) for part in (t.real(x), t.imag(x))))
    dtype = get_aval(x).dtype
    info = dtypes.finfo(dtype)
    x = t.to_dtype(as_array(x), dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    return _replace(x, *(cast(v, dtype) for v in (nan, high, low)))


@fused
def _replace(x, nan, posinf, neginf):
    x, nan, posinf, neginf = broadcast_arrays(x, nan, posinf, neginf)
    x = t.select(t.ne(x, x), nan, x)
    x = t.select(t.eq(x, float("inf")), posinf, x)
    return t.select(t.eq(x, float("-inf")), neginf, x)
