"""Cumulative operations along one dimension: the partial sums, products, extremes and log-sum-exps.

Element i of the result folds elements 0..i of the operand (i..n-1 with ``reverse``). ``cumsum`` is linear. The others
are differentiated as the tree of pairwise operations that computes them (`prefixes`), which has no trouble with zeros,
and shares the derivative among ties as pairwise maxima do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from addax.core import dtypes
from addax.core.primitive import Primitive, registry
from addax.core.trace import current_trace
from addax.interpreters.jvp import jvp_flat
from addax.ops.convert import convert_reference
from addax.ops.reduce import fix_zero_signs
from addax.ops.reference_tools import widen
from addax.ops.rules import INEXACT, LINEAR, NUMERIC, full_like, primitive, shape_of
from addax.ops.shape import past

# ---------------------------------------------------------------------------------------------------------------------
# Prefixes by a tree of pairwise operations


def _take(x, axis: int, start: int, limit: int, stride: int = 1):
    shape = shape_of(x)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], limits[axis], strides[axis] = start, limit, stride
    return registry["slice"].bind(
        x,
        start_indices=tuple(starts),
        limit_indices=tuple(limits),
        strides=None if stride == 1 else tuple(strides),
    )


def _spaced(x, axis: int, low: int, high: int):
    """``x`` with a zero between each two elements along ``axis``, and ``low`` and ``high`` more at the ends."""
    config = [(0, 0, 0)] * len(shape_of(x))
    config[axis] = (low, high, 1)
    zero = np.zeros((), x.dtype)[()]
    return registry["pad"].bind(x, zero, padding_config=tuple(config))


def prefixes(combine: Callable, x, axis: int):
    """Element i is ``combine`` of elements 0..i, for an associative ``combine`` of arrays. O(n) work, O(log n) depth.

    Neighbours are combined in pairs; the prefixes of the pairs are those of x at odd positions, and each at an even
    position needs one step more (Blelloch, "Prefix sums and their applications", 1990).
    """
    n = shape_of(x)[axis]
    if n < 2:
        return x
    pairs = combine(_take(x, axis, 0, n - 1, 2), _take(x, axis, 1, n, 2))
    odd = prefixes(combine, pairs, axis)
    first = _take(x, axis, 0, 1)
    if n == 2:
        return registry["concatenate"].bind(first, odd, dimension=axis)
    before = odd if n % 2 else _take(odd, axis, 0, n // 2 - 1)
    even = combine(before, _take(x, axis, 2, n, 2))
    even = registry["concatenate"].bind(first, even, dimension=axis)
    return registry["add_any"].bind(_spaced(even, axis, 0, 1 - n % 2), _spaced(odd, axis, 1, n % 2))


def _tree_jvp(get: Callable[[], Primitive], combine: Callable):
    def jvp(primals, tangents, *, axis, reverse):
        (x,), (t,) = primals, tangents

        def by_tree(x):
            if reverse:
                x = registry["rev"].bind(x, dimensions=(axis,))
            y = prefixes(combine, x, axis)
            return [registry["rev"].bind(y, dimensions=(axis,)) if reverse else y]

        _, tangents_out = jvp_flat(by_tree, (x,), (t,), current_trace())
        return get().bind(x, axis=axis, reverse=reverse), tangents_out[0]

    return jvp


# ---------------------------------------------------------------------------------------------------------------------
# The family


def _type_rule(name: str, accepts: tuple):
    def rule(operand, *, axis, reverse):
        if not any(dtypes.issubdtype(operand.dtype, kind) for kind in accepts):
            names = "number" if accepts == NUMERIC else ", ".join(k.__name__ for k in accepts)
            raise TypeError(
                f"{name} does not accept dtype {dtypes.dtype_name(operand.dtype)}. Accepted dtypes are subtypes of "
                f"{names}."
            )
        if axis < 0:
            raise ValueError(
                f"{name}: axis must be nonnegative, got {axis} for an operand of shape {operand.shape}. "
                f"(addax.numpy.{name} takes negative axes.)"
                if name in ("cumsum", "cumprod")
                else f"{name}: axis must be nonnegative, got {axis} for an operand of shape {operand.shape}."
            )
        if axis >= operand.ndim:
            raise ValueError(f"{name}: axis {axis} is out of bounds for array of shape {operand.shape}")
        return operand

    return rule


def _cumulative(name: str, accepts: tuple, accumulate: Callable[..., np.ndarray], **rules) -> Primitive:
    def reference(x, *, axis, reverse):
        if reverse:
            x = np.flip(x, axis)
        with np.errstate(all="ignore"):
            out = accumulate(widen(x), axis)
        if out.dtype != x.dtype:
            out = convert_reference(out, new_dtype=x.dtype)
        return np.flip(out, axis) if reverse else out

    def batch(axis_, args, dims, *, axis, reverse):
        return p.bind(args[0], axis=past(axis, dims[0]), reverse=reverse), dims[0]

    p = primitive(name, _type_rule(name, accepts), batch=batch, reference=reference, **rules)
    return p


def _cumsum_transpose(ct, x, *, axis, reverse):
    return [cumsum.bind(ct, axis=axis, reverse=not reverse)]


cumsum = _cumulative(
    "cumsum",
    NUMERIC,
    lambda x, axis: np.add.accumulate(x, axis, dtype=x.dtype),
    jvp=LINEAR,
    transpose=_cumsum_transpose,
)

cumprod = _cumulative(
    "cumprod",
    NUMERIC,
    lambda x, axis: np.multiply.accumulate(x, axis, dtype=x.dtype),
    jvp=_tree_jvp(lambda: cumprod, lambda x, y: registry["mul"].bind(x, y)),
)


def _running_extreme(ufunc: np.ufunc, larger: bool):
    def accumulate(x, axis):
        out = ufunc.accumulate(x, axis)

        def is_positive():
            if larger:
                return np.logical_or.accumulate((x == 0) & ~np.signbit(x), axis)
            return ~np.logical_or.accumulate((x == 0) & np.signbit(x), axis)

        return fix_zero_signs(out, is_positive)

    return accumulate


cummax = _cumulative(
    "cummax",
    NUMERIC,
    _running_extreme(np.maximum, True),
    jvp=_tree_jvp(lambda: cummax, lambda x, y: registry["max"].bind(x, y)),
)
cummin = _cumulative(
    "cummin",
    NUMERIC,
    _running_extreme(np.minimum, False),
    jvp=_tree_jvp(lambda: cummin, lambda x, y: registry["min"].bind(x, y)),
)

# --- cumlogsumexp: log of the partial sums of exp(x), without overflow ---


def _log_add_exp(x, y):
    """log(exp(x) + exp(y)) in primitives, with the derivatives of the softmax to every order.

    The shift m = max(x, y) cancels in exact arithmetic, so it is a constant to differentiation, and a tie is no
    special case. Where the sum is 0 (both -inf) the result is -inf, and its derivative there 0.
    """
    is_complex = dtypes.issubdtype(x.dtype, np.complexfloating)
    real_x, real_y = (_bind("real", x), _bind("real", y)) if is_complex else (x, y)
    m = _bind("stop_gradient", _bind("select_n", _bind("gt", real_y, real_x), real_x, real_y))
    m = _bind("select_n", _bind("is_finite", m), full_like(m, 0), m)
    if is_complex:
        m = _bind("complex", m, full_like(m, 0))
    total = _bind("add", _bind("exp", _bind("sub", x, m)), _bind("exp", _bind("sub", y, m)))
    empty = _bind("eq", total, full_like(total, 0))
    log = _bind("log", _bind("select_n", empty, total, full_like(total, 1)))
    return _bind("select_n", empty, _bind("add", m, log), full_like(total, -np.inf))


def _bind(name: str, *args):
    return registry[name].bind(*args)


cumlogsumexp = _cumulative(
    "cumlogsumexp",
    INEXACT,
    lambda x, axis: _accumulate_log_add_exp(x, axis),
    jvp=_tree_jvp(lambda: cumlogsumexp, _log_add_exp),
)


def _accumulate_log_add_exp(x, axis):
    if x.dtype.kind != "c":
        return np.logaddexp.accumulate(x, axis)
    shift = np.maximum.accumulate(x.real, axis)
    out = np.empty_like(x)
    for i in range(x.shape[axis]):  # complex: the running maximum of the real parts as the shift of each partial sum
        at = [slice(None)] * x.ndim
        at[axis] = slice(0, i + 1)
        here = tuple(slice(i, i + 1) if d == axis else slice(None) for d in range(x.ndim))
        m = np.where(np.isfinite(shift[here]), shift[here], 0)
        out[here] = np.log(np.sum(np.exp(x[tuple(at)] - m), axis, keepdims=True)) + m
    return out


__all__ = ["cumlogsumexp", "cummax", "cummin", "cumprod", "cumsum", "prefixes"]
