"""Differences of neighbours and what is made of them: diff, gradient, trapezoid, and interpolation between points."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.sizes import is_symbolic, larger
from addax.lax import slicing as lax_slicing
from addax.numpy.base import as_array, as_operand, canonical_axes, canonical_axis, check_array_like, promote_inexact
from addax.numpy.choosing import where
from addax.numpy.creation import asarray
from addax.numpy.joining import concatenate
from addax.numpy.shapes import broadcast_to, moveaxis, ravel
from addax.numpy.sorting import argsort, searchsorted


def diff(a, n: int = 1, axis: int = -1, prepend=None, append=None) -> Any:
    """The differences ``a[i + 1] - a[i]`` along ``axis``, taken ``n`` times. Of booleans: whether they differ.

    Args:
      prepend, append: what to join to the ends first: arrays, or numbers, which stand for one slice.

    >>> import addax.numpy as jnp
    >>> jnp.diff(jnp.array([1, 3, 6, 10])).tolist(), jnp.diff(jnp.array([1, 3, 6, 10]), 2).tolist()
    ([2, 3, 4], [1, 1])
    """
    check_array_like("diff", *(x for x in (a, prepend, append) if x is not None))
    a = as_array(a)
    n = operator.index(n)
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"diff: the order must be non-negative but got {n}")
    if a.ndim == 0:
        raise ValueError("diff requires input that is at least one dimensional; got a scalar")
    axis = canonical_axis(axis, a.ndim)
    parts = [_as_slice(prepend, a, axis), a, _as_slice(append, a, axis)]
    parts = [p for p in parts if p is not None]
    if len(parts) > 1:
        a = concatenate(parts, axis)
    for _ in range(n):
        size = a.shape[axis]
        if size == 0:
            return a
        later = lax_slicing.slice_in_dim(a, 1, size, axis=axis)
        earlier = lax_slicing.slice_in_dim(a, 0, size - 1, axis=axis)
        a = later != earlier if a.dtype == np.bool_ else later - earlier
    return a


def _as_slice(x, a, axis: int):
    if x is None:
        return None
    x = as_array(x)
    return broadcast_to(x, (*a.shape[:axis], 1, *a.shape[axis + 1 :])) if x.ndim == 0 else x


def ediff1d(ary, to_end=None, to_begin=None) -> Any:
    """The differences of neighbours in the flattened array, between ``to_begin`` and ``to_end`` if given.

    >>> import addax.numpy as jnp
    >>> jnp.ediff1d(jnp.array([1, 4, 9]), to_begin=0).tolist()
    [0, 3, 5]
    """
    check_array_like("ediff1d", *(x for x in (ary, to_end, to_begin) if x is not None))
    a = ravel(ary)
    out = a[1:] - a[:-1]
    parts = [None if x is None else ravel(asarray(as_operand(x), a.dtype)) for x in (to_begin, to_end)]
    return concatenate([p for p in (parts[0], out, parts[1]) if p is not None])


def gradient(f, *varargs, axis: int | Sequence[int] | None = None, edge_order: int | None = None) -> Any:
    """The slope of a sampled function along each of ``axis``: central differences, one-sided at the ends.

    Args:
      varargs: the spacing: nothing (1), one number for all axes, or per axis a number or the vector of coordinates.

    Returns:
      An array for one axis, a list for several. With uneven coordinates the weights are those of second order.

    >>> import addax.numpy as jnp
    >>> jnp.gradient(jnp.array([1.0, 2.0, 4.0, 8.0])).tolist()
    [1.0, 1.5, 3.0, 4.0]
    """
    if edge_order is not None:
        raise NotImplementedError("The 'edge_order' argument to gradient is not supported: ends have order 1.")
    check_array_like("gradient", f, *varargs)
    f, *spacing = (as_array(x) for x in promote_inexact(as_operand(f), *(as_operand(v) for v in varargs)))
    axes = canonical_axes(axis, f.ndim)
    if isinstance(axis, (tuple, list)):
        axes = tuple(canonical_axis(i, f.ndim) for i in axis)  # the results come in the order asked for
    if len(spacing) == 0:
        spacing = [None] * len(axes)
    elif len(spacing) == 1:
        spacing = spacing * len(axes)
    elif len(spacing) != len(axes):
        raise TypeError(
            f"gradient: invalid number of spacing arguments {len(spacing)} for axis={axis}: expected none, one, or "
            f"{len(axes)}."
        )
    if any(f.shape[i] < 2 for i in axes):
        raise ValueError(
            f"Shape of array too small to calculate a numerical gradient, at least 2 elements are required: {f.shape}"
        )
    out = [_slope(f, h, i) for i, h in zip(axes, spacing, strict=True)]
    return out[0] if len(axes) == 1 else out


def _slope(f, h, axis: int):
    n = f.shape[axis]

    def cut(x, start: int, stop: int, dim: int = axis):
        return lax_slicing.slice_in_dim(x, start, stop, axis=dim)

    if h is not None and h.ndim:
        if h.ndim != 1:
            raise ValueError("gradient: distances must be either scalars or 1d")
        if h.shape[0] != n:
            raise ValueError(
                "gradient: when 1d, distances must match the length of the corresponding dimension: "
                f"{h.shape[0]} coordinates for dimension {axis} of shape {f.shape}"
            )
        steps = (h[1:] - h[:-1]).reshape([-1 if d == axis else 1 for d in range(f.ndim)])
        first = (cut(f, 1, 2) - cut(f, 0, 1)) / cut(steps, 0, 1)
        last = (cut(f, n - 1, n) - cut(f, n - 2, n - 1)) / cut(steps, n - 2, n - 1)
        if n == 2:
            return concatenate([first, last], axis)
        left, right = cut(steps, 0, n - 2), cut(steps, 1, n - 1)
        total = left + right
        inner = (
            cut(f, 0, n - 2) * (-right / (left * total))
            + cut(f, 1, n - 1) * ((right - left) / (left * right))
            + cut(f, 2, n) * (left / (right * total))
        )
        return concatenate([first, inner, last], axis)
    inner = (cut(f, 2, n) - cut(f, 0, n - 2)) * 0.5 if n > 2 else cut(f, 0, 0)
    ends = cut(f, 1, 2) - cut(f, 0, 1), cut(f, n - 1, n) - cut(f, n - 2, n - 1)
    out = concatenate([ends[0], inner, ends[1]], axis)
    return out if h is None else out / h


def trapezoid(y, x=None, dx=1.0, axis: int = -1) -> Any:
    """The integral along ``axis`` by the trapezoidal rule: sum_i (x_{i+1} - x_i) (y_i + y_{i+1}) / 2.

    Args:
      x: the sample points, one vector or an array like ``y``; without it they are ``dx`` apart.

    >>> import addax.numpy as jnp
    >>> jnp.trapezoid(jnp.array([1.0, 2.0, 3.0])).item()
    4.0
    """
    if x is None:
        check_array_like("trapezoid", y)
        (y,) = promote_inexact(as_operand(y))
        y, dx = as_array(y), as_array(dx)
        dx = asarray(dx, y.dtype) if dx.ndim == 0 else moveaxis(dx, axis, -1)
    else:
        check_array_like("trapezoid", y, x)
        y, x = (as_array(v) for v in promote_inexact(as_operand(y), as_operand(x)))
        dx = diff(x) if x.ndim == 1 else moveaxis(diff(x, axis=axis), axis, -1)
    y = moveaxis(y, axis, -1)
    return 0.5 * (dx * (y[..., 1:] + y[..., :-1])).sum(-1)


def interp(x, xp, fp, left=None, right=None, period=None) -> Any:
    """Piecewise linear interpolation through the points ``(xp[i], fp[i])``, at ``x``.

    Args:
      x: where to interpolate, any shape.
      xp: increasing coordinates, a vector (any order if ``period`` is given); fp: the values, a vector as long.
      left, right: the value below xp[0] and above xp[-1], by default fp[0] and fp[-1]; "extrapolate" continues the
        outermost segment.
      period: the coordinates are taken modulo this, and left and right are ignored.

    >>> import addax.numpy as jnp
    >>> jnp.interp(jnp.array([0.5, 2.0]), jnp.array([0.0, 1.0]), jnp.array([0.0, 10.0])).tolist()
    [5.0, 10.0]
    """
    for name, end in (("left", left), ("right", right)):
        if isinstance(end, str) and end != "extrapolate":
            raise ValueError(f"the only valid string value of `{name}` is 'extrapolate', but got: {end!r}")
    check_array_like("interp", x, xp, fp)
    if len({get_aval(as_operand(v)).shape for v in (xp, fp)}) > 1 or get_aval(as_operand(xp)).ndim != 1:
        raise ValueError(
            f"xp and fp must be one-dimensional arrays of equal size, got shapes {np.shape(xp)} and {np.shape(fp)}"
        )
    if period is not None and np.ndim(period):
        raise ValueError(f"interp: period must be a scalar, got shape {np.shape(period)}")
    x, xp = (as_array(v) for v in promote_inexact(as_operand(x), as_operand(xp)))
    (fp,) = (as_array(v) for v in promote_inexact(as_operand(fp)))
    if dtypes.issubdtype(x.dtype, np.complexfloating):
        raise ValueError("interp: complex x values not supported.")
    if period is not None:
        period = abs(as_array(period))
        x, xp = x % period, xp % period
        order = argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    n = xp.shape[0]
    if n == 0:
        raise ValueError("array of sample points is empty")
    i = searchsorted(xp, x, "right")
    several = is_symbolic(n) or n > 1  # a symbolic size may be 1: then the first point is read twice
    i = i.clip(1, larger(n - 1, 1)) if several else i * 0
    before = i - 1 if several else i
    rise, run, offset = fp[i] - fp[before], xp[i] - xp[before], x - xp[before]
    # Points that coincide leave no segment between them: take the earlier one (a division by 0 has no gradient either).
    flat = abs(run) <= np.spacing(dtypes.finfo(run.dtype).eps)
    out = where(flat, fp[before], fp[before] + (offset / where(flat, 1, run)) * rise)
    if period is None:
        if left is None or not isinstance(left, str):
            out = where(x < xp[0], fp[0] if left is None else left, out)
        if right is None or not isinstance(right, str):
            out = where(x > xp[-1], fp[-1] if right is None else right, out)
    return out


__all__ = ["diff", "ediff1d", "gradient", "interp", "trapezoid"]
