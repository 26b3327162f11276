"""Products of arrays: `dot_general`, `dot`, `batch_matmul`, and the products of ragged groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from addax.core import dtypes
from addax.lax.arguments import aval_of, integers, operand as _operand
from addax.lax.sharding import place
from addax.ops import dot as _dot
from addax.ops.precision import (
    DotAlgorithm as DotAlgorithm,
    DotAlgorithmPreset as DotAlgorithmPreset,
    Precision as Precision,
    PrecisionLike as PrecisionLike,
    canonicalize_precision,
)

Array = Any
DotDimensionNumbers = tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]


def dot_general(
    lhs: Array,
    rhs: Array,
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    *,
    out_sharding=None,
) -> Array:
    """Multiply two arrays, summing over contracting dimensions, once per element of the batch dimensions.

        out[b, m, n] = sum_k lhs[b, m, k] rhs[b, n, k]

    where b, k, m, n stand for the batch, contracting, and remaining dimensions of either side, in any number and place.

    Args:
      lhs, rhs: arrays; if their dtypes differ, the wider is that of the result.
      dimension_numbers: ``((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))``, nonnegative dimensions that
        correspond pairwise in size.
      precision: see `Precision`. On the CPU products are computed in float32 at least, whatever is asked.
      preferred_element_type: the dtype of the result, which integers should have at least 32 bits for.

    Returns:
      Batch dimensions, then those of lhs that remain, then those of rhs.

    Raises:
      TypeError: if dimensions do not correspond, with both shapes.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> a, b = jnp.ones((5, 2, 3)), jnp.ones((5, 4, 3))
    >>> lax.dot_general(a, b, (((2,), (2,)), ((0,), (0,)))).shape
    (5, 2, 4)
    """
    if out_sharding is not None:
        out = dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)
        return place(out, out_sharding)
    name = "dot_general"
    try:
        (lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch) = dimension_numbers
    except (TypeError, ValueError):
        raise TypeError(
            "lax.dot_general: dimension_numbers must be ((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch)), "
            f"each a sequence of dimensions; got {dimension_numbers!r}."
        ) from None
    numbers = (
        (integers(name, "lhs_contracting", lhs_contracting), integers(name, "rhs_contracting", rhs_contracting)),
        (integers(name, "lhs_batch", lhs_batch), integers(name, "rhs_batch", rhs_batch)),
    )
    return _dot.dot_general.bind(
        _operand(name, lhs, 0),
        _operand(name, rhs, 1),
        dimension_numbers=numbers,
        precision=canonicalize_precision(precision),
        preferred_element_type=preferred_dtype(name, preferred_element_type),
        out_sharding=None,
    )


def preferred_dtype(name: str, dtype):
    return None if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)


def dot(
    lhs: Array,
    rhs: Array,
    *,
    dimension_numbers: DotDimensionNumbers | None = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    out_sharding=None,
) -> Array:
    """The product of two vectors, of a matrix and a vector, or of two matrices; with ``dimension_numbers`` any other.

    The last dimension of ``lhs`` is summed with the first of ``rhs``. See `dot_general`.

    Raises:
      ValueError: for arrays of more than two dimensions, if no ``dimension_numbers`` are given.
      TypeError: if the summed dimensions differ in size.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.dot(jnp.array([[1., 2.], [3., 4.]]), jnp.array([1., 10.])).tolist()
    [21.0, 43.0]
    """
    a, b = aval_of("dot", lhs), aval_of("dot", rhs)
    if dimension_numbers is None:
        if not (1 <= a.ndim <= 2 and 1 <= b.ndim <= 2 and a.shape[-1] == b.shape[0]):
            raise ValueError(
                "addax.lax.dot: dimension_numbers must be specified when not performing simple un-batched "
                "matrix-matrix, matrix-vector, or vector-vector products; got "
                f"lhs_shape={a.shape} rhs_shape={b.shape}"
            )
        dimension_numbers = (((a.ndim - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type, out_sharding=out_sharding)


def batch_matmul(lhs: Array, rhs: Array, precision: PrecisionLike = None) -> Array:
    """Multiply matrices pairwise.

    Args:
      lhs: ``[*batch, m, k]``.
      rhs: ``[*batch, k, n]``.

    Returns:
      ``[*batch, m, n]``.

    Raises:
      ValueError: if either has fewer than two dimensions.
      TypeError: if the batch dimensions, or those of size k, differ.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.batch_matmul(jnp.ones((5, 2, 3)), jnp.ones((5, 3, 4))).shape
    (5, 2, 4)
    """
    a, b = aval_of("batch_matmul", lhs), aval_of("batch_matmul", rhs)
    if a.ndim < 2 or b.ndim < 2:
        raise ValueError(f"Arguments to batch_matmul must be at least 2D, got {a.ndim}, {b.ndim}")
    if a.ndim != b.ndim:
        raise ValueError(f"Arguments to batch_matmul must have same ndim, got {a.ndim}, {b.ndim}")
    batch = tuple(range(a.ndim - 2))
    return dot_general(lhs, rhs, (((a.ndim - 1,), (a.ndim - 2,)), (batch, batch)), precision)


__all__ = [
    "DotAlgorithm", "DotAlgorithmPreset", "DotDimensionNumbers", "Precision", "PrecisionLike", "batch_matmul", "dot",
    "dot_general",
]  # fmt: skip
