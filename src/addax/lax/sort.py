"""Sorting: `sort`, `sort_key_val`, `top_k`, `approx_max_k`, `approx_min_k`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.trace import Tracer
from addax.lax.arguments import aval_of, integer, operand as _operand
from addax.ops import sort as _sort

Array = Any


def sort(
    operand: Array | Sequence[Array], dimension: int = -1, is_stable: bool = True, num_keys: int = 1
) -> Array | tuple[Array, ...]:
    """Sort an array along a dimension, or several together by the first ``num_keys`` of them.

    Floats are in order of value, -0 equal to 0 and every nan last; complex numbers are ordered by real, then imaginary
    part.

    Args:
      operand: an array, or a sequence of arrays of one shape, which are permuted alike.
      dimension: to sort along.
      is_stable: whether equal elements must keep their order. (Here they always do.)
      num_keys: how many of the arrays are compared, the first deciding.

    Returns:
      The sorted array, or a tuple of them.

    Raises:
      TypeError: if shapes differ, or there is no array.
      ValueError: if ``dimension`` is out of bounds, or ``num_keys`` not between 1 and the number of arrays.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> keys, values = lax.sort((jnp.array([3, 1, 2]), jnp.array([30, 10, 20])))
    >>> keys.tolist(), values.tolist()
    ([1, 2, 3], [10, 20, 30])
    """
    many = isinstance(operand, (tuple, list))
    operands = list(operand) if many else [operand]
    if not operands:
        raise TypeError("Sort requires at least one operand")
    rank = aval_of("sort", operands[0]).ndim
    outs = _sort.sort.bind(
        *(_operand("sort", x, i) for i, x in enumerate(operands)),
        dimension=_dimension("sort", dimension, rank),
        is_stable=bool(is_stable),
        num_keys=_num_keys(num_keys, len(operands)),
    )
    return tuple(outs) if many else outs[0]


def _num_keys(num_keys, count: int) -> int:
    num_keys = integer("sort", "num_keys", num_keys)
    if not 1 <= num_keys <= count:
        raise ValueError(f"{num_keys=} must be between 1 and len(operand)={count}")
    return num_keys


def _dimension(name: str, d, rank: int) -> int:
    d = integer(name, "dimension", d)
    if not -rank <= d < rank:
        raise ValueError(f"axis {d} is out of bounds for array of dimension {rank}")
    return d % rank


def sort_key_val(keys: Array, values: Array, dimension: int = -1, is_stable: bool = True) -> tuple[Array, Array]:
    """Sort ``keys`` along ``dimension`` and reorder ``values`` alike.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.sort_key_val(jnp.array([3, 1, 2]), jnp.array([30., 10., 20.]))[1].tolist()
    [10.0, 20.0, 30.0]
    """
    keys, values = sort((keys, values), dimension, is_stable, num_keys=1)
    return keys, values


def top_k(operand: Array, k: int, *, axis: int = -1) -> tuple[Array, Array]:
    """The ``k`` largest elements along ``axis``, largest first, and their positions.

    Of equal elements the first come first. nan counts as larger than inf (smaller than -inf if its sign bit is set),
    and 0 as larger than -0.

    Args:
      operand: a real array of at least one dimension.
      k: how many; at most the size along ``axis``.

    Returns:
      Values and int32 positions, with size ``k`` along ``axis``.

    Raises:
      ValueError: if ``k`` is negative or too large, or ``operand`` is complex.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> values, indices = lax.top_k(jnp.array([1., 9., 3., 7.]), 2)
    >>> values.tolist(), indices.tolist()
    ([9.0, 7.0], [1, 3])
    """
    x = _operand("top_k", operand)
    if not isinstance(k, (int, np.integer)) or isinstance(k, Tracer):
        raise TypeError(
            f"lax.top_k: k must be an integer known when tracing, because it is a size of the result; got {k!r}."
        )
    values, indices = _sort.top_k.bind(x, k=int(k), axis=_dimension("top_k", axis, aval_of("top_k", x).ndim))
    return values, indices


def approx_max_k(
    operand: Array,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """The ``k`` largest elements along a dimension and their positions; approximate on TPU, exact here.

    Args:
      operand: a float array.
      k: how many.
      reduction_dimension: to search along.
      recall_target: the expected share of the true top ``k`` that is found, between 0 and 1.
      reduction_input_size_override: for TPU, the size to plan the recall for.
      aggregate_to_topk: False to get all candidates, sorted; here that is the whole dimension.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.approx_max_k(jnp.array([1., 9., 3., 7.]), 2)[1].tolist()
    [1, 3]
    """
    return _approx(
        True, operand, k, reduction_dimension, recall_target, reduction_input_size_override, aggregate_to_topk
    )


def approx_min_k(
    operand: Array,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
) -> tuple[Array, Array]:
    """The ``k`` smallest elements along a dimension and their positions; see `approx_max_k`.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.approx_min_k(jnp.array([1., 9., 3., 7.]), 2)[1].tolist()
    [0, 2]
    """
    return _approx(
        False, operand, k, reduction_dimension, recall_target, reduction_input_size_override, aggregate_to_topk
    )


def _approx(is_max_k: bool, operand, k, dimension, recall_target, size_override, aggregate):
    name = "approx_max_k" if is_max_k else "approx_min_k"
    values, indices = _sort.approx_top_k.bind(
        _operand(name, operand),
        k=integer(name, "k", k),
        reduction_dimension=integer(name, "reduction_dimension", dimension),
        recall_target=float(recall_target),
        is_max_k=is_max_k,
        reduction_input_size_override=int(size_override),
        aggregate_to_topk=bool(aggregate),
    )
    return values, indices


__all__ = ["approx_max_k", "approx_min_k", "sort", "sort_key_val", "top_k"]
