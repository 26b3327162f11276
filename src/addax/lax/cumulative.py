"""Cumulative operations along one dimension: `cumsum`, `cumprod`, `cummax`, `cummin`, `cumlogsumexp`."""

from __future__ import annotations

from typing import Any

from addax.core.primitive import Primitive
from addax.lax.arguments import integer, operand as _operand
from addax.ops import cumulative as _ops

Array = Any


def _bind(primitive: Primitive, operand, axis, reverse):
    name = primitive.name
    return primitive.bind(_operand(name, operand), axis=integer(name, "axis", axis), reverse=bool(reverse))


def cumsum(operand: Array, axis: int = 0, reverse: bool = False) -> Array:
    """The partial sums along ``axis``: out_i = x_0 + ... + x_i, or x_i + ... + x_{n-1} with ``reverse``.

    Args:
      operand: an array of numbers; floats below 32 bits are summed in float32.
      axis: a nonnegative dimension.

    Raises:
      TypeError: for booleans.
      ValueError: if ``axis`` is negative or out of bounds.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.cumsum(jnp.array([1, 2, 3])).tolist(), lax.cumsum(jnp.array([1, 2, 3]), reverse=True).tolist()
    ([1, 3, 6], [6, 5, 3])
    """
    return _bind(_ops.cumsum, operand, axis, reverse)


def cumprod(operand: Array, axis: int = 0, reverse: bool = False) -> Array:
    """The partial products along ``axis``.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.cumprod(jnp.array([1., 2., 3.])).tolist()
    [1.0, 2.0, 6.0]
    """
    return _bind(_ops.cumprod, operand, axis, reverse)


def cummax(operand: Array, axis: int = 0, reverse: bool = False) -> Array:
    """The running maximum along ``axis``; nan from the first nan on.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.cummax(jnp.array([1, 3, 2])).tolist()
    [1, 3, 3]
    """
    return _bind(_ops.cummax, operand, axis, reverse)


def cummin(operand: Array, axis: int = 0, reverse: bool = False) -> Array:
    """The running minimum along ``axis``; nan from the first nan on.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.cummin(jnp.array([3, 1, 2])).tolist()
    [3, 1, 1]
    """
    return _bind(_ops.cummin, operand, axis, reverse)


def cumlogsumexp(operand: Array, axis: int = 0, reverse: bool = False) -> Array:
    """The log of the partial sums of exp: out_i = log(exp(x_0) + ... + exp(x_i)), without overflow.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.cumlogsumexp(jnp.array([1000., 0.])).tolist()
    [1000.0, 1000.0]
    """
    return _bind(_ops.cumlogsumexp, operand, axis, reverse)


__all__ = ["cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum"]
