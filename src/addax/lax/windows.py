"""Windows: `reduce_window`, and the padding names that windows and convolutions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import get_aval
from addax.core.primitive import registry
from addax.core.sizes import as_size, larger
from addax.lax.arguments import integer, integers, operand as _operand
from addax.lax.reduce import is_identity, match_weak_scalar, monoid, trace_combiner
from addax.ops import windows as _windows
from addax.ops.conv import dilated, window_count

Array = Any
_REDUCTIONS = {"add": "reduce_window_sum", "max": "reduce_window_max", "min": "reduce_window_min"}


def padtype_to_pads(
    in_shape: Sequence[int], window_shape: Sequence[int], window_strides: Sequence[int], padding: str
) -> list[tuple[int, int]]:
    """The (low, high) padding of each dimension that a name stands for.

    ``"SAME"`` pads so that the result has ceil(size / stride) elements, with the odd one at the end;
    ``"SAME_LOWER"`` likewise with the odd one at the start; ``"VALID"`` does not pad.

    Raises:
      RuntimeError: for other names.

    >>> from addax import lax
    >>> lax.padtype_to_pads((8,), (3,), (2,), "SAME")
    [(0, 1)]
    """
    name = str(padding).upper()
    if name == "VALID":
        return [(0, 0)] * len(in_shape)
    if name not in ("SAME", "SAME_LOWER"):
        raise RuntimeError(f"Unrecognized padding type: expected 'VALID', 'SAME', or 'SAME_LOWER', got {padding}.")
    pads = []
    for n, window, stride in zip(in_shape, window_shape, window_strides):
        count = -(-as_size(n) // int(stride)) if stride else 0
        total = larger((count - 1) * int(stride) + as_size(window) - as_size(n), 0)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if name == "SAME" else (more, less))
    return pads


def padding_pairs(fun_name: str, padding: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """Explicit padding as a tuple of ``rank`` pairs of ints."""
    try:
        pairs = tuple((integer(fun_name, "padding", low), integer(fun_name, "padding", high)) for low, high in padding)
    except (TypeError, ValueError):
        raise TypeError(
            f"lax.{fun_name}: padding must be 'SAME', 'SAME_LOWER', 'VALID' or a sequence of {rank} pairs (low, high) "
            f"of integers, got {padding!r}."
        ) from None
    if len(pairs) != rank:
        raise ValueError(
            f"lax.{fun_name}: padding must have one (low, high) pair per dimension ({rank}), got {padding}"
        )
    return pairs


def _entries(what: str, values, rank: int) -> tuple[int, ...]:
    return (1,) * rank if values is None else integers("reduce_window", what, values)


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Fold each window of an array (or of several together) with an associative function.

        out[p] = f(z, f over k of x[p * stride + k * window_dilation - low])

    Positions outside of the operand take no part. Sums, maxima and minima have derivatives of every order; other
    functions are differentiated through a combination of slices, one per position in the window.

    Args:
      operand: an array, or a pytree of arrays of one shape.
      init_value: a scalar, or a pytree of them, of the operand's dtype.
      computation: ``(a, b) -> c`` on scalars, or pytrees of them.
      window_dimensions: size of the window along every dimension.
      window_strides: distance between windows; 1 by default.
      padding: ``"VALID"``, ``"SAME"``, ``"SAME_LOWER"`` or a (low, high) pair per dimension, which may be negative.
      base_dilation: spread of the operand's elements.
      window_dilation: spread of the window's elements.

    Raises:
      TypeError: if there is not one entry per dimension, or dtypes do not match.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> x = jnp.arange(6.)
    >>> lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,)).tolist()
    [1.0, 3.0, 5.0]
    """
    name = "reduce_window"
    flat, treedef = tree.flatten(operand)
    inits, init_tree = tree.flatten(init_value)
    if treedef != init_tree:
        raise ValueError(f"Operands must have the same tree structure as init_values: {treedef} vs. {init_tree}")
    flat = [_operand(name, x) for x in flat]
    if not flat:
        raise ValueError("reduce_window must have at least one operand.")
    inits = [match_weak_scalar(_operand(name, i), x) for i, x in zip(inits, flat)]
    shape = get_aval(flat[0]).shape
    rank = len(shape)
    dims = integers(name, "window_dimensions", window_dimensions)
    strides = _entries("window_strides", window_strides, rank)
    base, gaps = _entries("base_dilation", base_dilation, rank), _entries("window_dilation", window_dilation, rank)
    if isinstance(padding, str):
        spread = [dilated(n, b) for n, b in zip(shape, base)]
        padding = padtype_to_pads(spread, [dilated(w, g) for w, g in zip(dims, gaps)], strides, padding)
    params = {
        "window_dimensions": dims,
        "window_strides": strides,
        "padding": padding_pairs(name, padding, rank if len(dims) == rank else len(dims)),
        "base_dilation": base,
        "window_dilation": gaps,
    }
    _windows.Windows(**params).check(name, shape)
    jaxpr = trace_combiner(name, computation, treedef, [get_aval(x) for x in inits])
    if len(flat) == 1:
        op, dtype = monoid(jaxpr), get_aval(flat[0]).dtype
        init = get_aval(inits[0])
        if op in _REDUCTIONS and dtype != np.bool_ and init.shape == () and init.dtype == dtype:
            out = registry[_REDUCTIONS[op]].bind(flat[0], **params)
            out = out if is_identity(op, inits[0], dtype) else registry[op].bind(inits[0], out)
            return treedef.unflatten([out])
    return treedef.unflatten(_windows.reduce_window.bind(*flat, *inits, jaxpr=jaxpr, **params))


def reduce_window_shape_tuple(
    operand_shape, window_dimensions, window_strides, padding, base_dilation=None, window_dilation=None
) -> tuple[int, ...]:
    """The shape of the result of `reduce_window`: along each dimension the number of windows that fit.

    Args:
      padding: (low, high) pairs.

    >>> from addax import lax
    >>> lax.reduce_window_shape_tuple((8,), (3,), (2,), [(0, 1)])
    (4,)
    """
    rank = len(operand_shape)
    base, gaps = base_dilation or (1,) * rank, window_dilation or (1,) * rank
    return tuple(
        window_count(dilated(n, b) + low + high, dilated(w, g), stride)
        for n, w, stride, (low, high), b, g in zip(
            operand_shape, window_dimensions, window_strides, padding, base, gaps, strict=True
        )
    )


__all__ = ["padding_pairs", "padtype_to_pads", "reduce_window", "reduce_window_shape_tuple"]
