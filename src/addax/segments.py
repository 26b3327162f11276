"""Reductions over segments of an array's rows (the names of ``jax.ops``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax import numpy as jnp
from addax.core import dtypes
from addax.core.errors import ConcretizationTypeError
from addax.core.sizes import as_size
from addax.core.trace import Tracer
from addax.numpy.creation import placed


def _of_segments(name: str, method: str, doc: str) -> Callable[..., Any]:
    """The reduction that ``x.at[i].method(y)`` does, of each segment."""

    def reduction(
        data, segment_ids, num_segments: int | None = None, indices_are_sorted: bool = False,
        unique_indices: bool = False, bucket_size: int | None = None, mode=None, out_sharding=None,
    ):  # fmt: skip
        rows: Any = jnp.asarray(data)
        ids: Any = jnp.asarray(segment_ids)
        if ids.ndim > rows.ndim or rows.shape[: ids.ndim] != ids.shape:
            raise ValueError(
                f"{name}: segment_ids says to which segment each leading row of data belongs, so its shape must begin that "
                f"of data; got data of shape {rows.shape} and segment_ids of shape {ids.shape}."
            )
        if not dtypes.issubdtype(ids.dtype, jnp.integer):
            raise TypeError(f"{name}: segment_ids must be integers, got {ids.dtype}")
        if num_segments is None:
            if isinstance(segment_ids, Tracer) and not segment_ids.is_known_constant():
                raise ConcretizationTypeError(
                    segment_ids,
                    f"The shape of the result of {name} depends on the largest segment id. Pass num_segments, which must "
                    "be a Python integer under jit.",
                )
            num_segments = int(ids.max()) + 1 if ids.size else 0
        count = as_size(num_segments)
        if count < 0:
            raise ValueError(f"{name}: num_segments must be non-negative, got {count}")
        start = jnp.full((count, *rows.shape[ids.ndim :]), neutral(method, rows.dtype), rows.dtype)

        def scatter(at, values):
            return getattr(start.at[at], method)(
                values, indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode or "drop",
                wrap_negative_indices=False,
            )  # fmt: skip

        if bucket_size is None:
            return scatter(ids, rows)
        if ids.ndim != 1:
            raise ValueError(f"{name}: bucket_size needs segment_ids of one dimension, got shape {ids.shape}")
        # Sums of buckets first: rounding errors grow with the size of a bucket and the number of buckets, not rows.
        buckets = [slice(i, i + bucket_size) for i in range(0, rows.shape[0], bucket_size)]
        if not buckets:
            return start
        reduce = {"add": jnp.sum, "multiply": jnp.prod, "max": jnp.max, "min": jnp.min}[method]
        return reduce(jnp.stack([scatter(ids[b], rows[b]) for b in buckets]), axis=0).astype(rows.dtype)

    reduction.__name__ = reduction.__qualname__ = name
    reduction.__doc__ = doc
    return placed(reduction)


def neutral(method: str, dtype) -> Any:
    """What an empty segment reduces to."""
    if method in ("add", "multiply"):
        return 0 if method == "add" else 1
    if dtypes.issubdtype(dtype, jnp.bool_):
        return method == "min"
    if dtypes.issubdtype(dtype, jnp.integer):
        info = dtypes.iinfo(dtype)
        return info.min if method == "max" else info.max
    return -jnp.inf if method == "max" else jnp.inf


segment_sum = _of_segments(
    "segment_sum",
    "add",
    """The sum of each segment: ``out[s] = sum(data[i] for i with segment_ids[i] == s)``; 0 for an empty one.

    Args:
      data: an array of shape ``[*ids, ...]``.
      segment_ids: integers of shape ``[*ids]``: the segment of each row. Rows whose id is not in ``[0, num_segments)``
        are dropped.
      num_segments: the length of the result; by default one more than the largest id. Needed under `jit`.
      indices_are_sorted, unique_indices: promises that make it faster, and the result wrong if they do not hold.
      bucket_size: reduce blocks of so many rows on their own, then those results: sums are more exact, memory grows.
      mode: what happens to ids out of range, "drop" by default.

    Raises:
      ValueError: if ``segment_ids`` does not fit ``data``.
      ConcretizationTypeError: under `jit` without ``num_segments``.

    >>> import addax, addax.numpy as jnp
    >>> addax.ops.segment_sum(jnp.array([1, 2, 3, 4]), jnp.array([0, 0, 2, 2]), num_segments=3).tolist()
    [3, 0, 7]
    """,
)

segment_prod = _of_segments(
    "segment_prod",
    "multiply",
    """The product of each segment; 1 for an empty one. Arguments and errors as in `segment_sum`.

    As in JAX, it has a derivative only with ``unique_indices=True``.

    >>> import addax, addax.numpy as jnp
    >>> addax.ops.segment_prod(jnp.array([1, 2, 3, 4]), jnp.array([0, 0, 2, 2])).tolist()
    [2, 1, 12]
    """,
)

segment_max = _of_segments(
    "segment_max",
    "max",
    """The largest element of each segment; -inf, or the least integer, for an empty one. Otherwise as `segment_sum`.

    >>> import addax, addax.numpy as jnp
    >>> addax.ops.segment_max(jnp.array([1.0, 5.0, 3.0]), jnp.array([0, 0, 2])).tolist()
    [5.0, -inf, 3.0]
    """,
)

segment_min = _of_segments(
    "segment_min",
    "min",
    """The least element of each segment; inf, or the largest integer, for an empty one. Otherwise as `segment_sum`.

    >>> import addax, addax.numpy as jnp
    >>> addax.ops.segment_min(jnp.array([1.0, 5.0, 3.0]), jnp.array([0, 0, 2])).tolist()
    [1.0, inf, 3.0]
    """,
)

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]
