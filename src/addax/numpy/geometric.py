"""Numbers spaced evenly on a logarithmic scale: logspace, geomspace."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.numpy.base import canonical_axis, check_array_like
from addax.numpy.choosing import where
from addax.numpy.creation import asarray, inexact_arrays, linspace
from addax.numpy.floats import round as round_
from addax.numpy.shapes import broadcast_to, moveaxis
from addax.numpy.transcendental import log
from addax.numpy.ufuncs import power, sign


def _count(name: str, num) -> int:
    num = operator.index(num)
    if num < 0:
        raise ValueError(f"{name}: the number of samples must be non-negative, got {num}")
    return num


def logspace(start, stop, num: int = 50, endpoint: bool = True, base=10.0, dtype=None, axis: int = 0) -> Any:
    """``num`` powers of ``base``, from base^start to base^stop, whose exponents are evenly spaced.

    >>> import addax.numpy as jnp
    >>> jnp.logspace(0, 3, 4, base=2.0).tolist()
    [1.0, 2.0, 4.0, 8.0]
    """
    num = _count("logspace", num)
    check_array_like("logspace", start, stop, base)
    start, stop = inexact_arrays("logspace", start, stop)
    working = start.dtype
    out_dtype = working if dtype is None else dtypes.canonicalize_user_dtype(dtype, "logspace")
    exponents = linspace(start, stop, num, endpoint, dtype=working, axis=axis)
    return asarray(power(base, exponents), out_dtype)


def geomspace(start, stop, num: int = 50, endpoint: bool = True, dtype=None, axis: int = 0) -> Any:
    """``num`` numbers from ``start`` to ``stop`` with a constant ratio; both ends are exact.

    Both ends must have the same sign, otherwise the numbers are nan; complex ones lie on a spiral. As integers they are
    cut off, but what rounding alone has kept from a whole number is that number: 1, 2, 4, 8, never 3. (NumPy and JAX may
    give 3.)

    >>> import addax.numpy as jnp
    >>> jnp.geomspace(1.0, 8.0, 4).round(3).tolist()
    [1.0, 2.0, 4.0, 8.0]
    """
    num = _count("geomspace", num)
    start, stop = inexact_arrays("geomspace", start, stop)
    working = start.dtype
    out_dtype = working if dtype is None else dtypes.canonicalize_user_dtype(dtype, "geomspace")
    shape = np.broadcast_shapes(start.shape, stop.shape)
    first, last = (broadcast_to(asarray(x, working), shape) for x in (start, stop))
    # Divided by its direction, the first number is positive; so is the last if it has the same one.
    direction = sign(start)
    between = logspace(log(start / direction), log(stop / direction), num, endpoint, base=np.e, dtype=working)
    between = direction * between
    ends = [(0, first), (-1, last)] if endpoint and num > 1 else [(0, first)] if num else []
    out = between
    for at, value in ends:
        exact = where(between[at] != between[at], between[at], value)  # nan stays
        out = out.at[at].set(exact)
    if dtypes.issubdtype(out_dtype, np.integer) and not dtypes.issubdtype(working, np.complexfloating):
        whole = round_(out)
        out = where(abs(out - whole) <= 16 * dtypes.finfo(working).eps * abs(whole), whole, out)
    return asarray(moveaxis(out, 0, canonical_axis(axis, out.ndim)), out_dtype)


__all__ = ["geomspace", "logspace"]
