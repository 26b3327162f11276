"""Statistics of samples: the mode, ranks, the standard error of the mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.numpy.base import canonical_axis, check_array_like
from addax.numpy.creation import inexact_arrays
from addax.transforms.vmap import vmap


class ModeResult(NamedTuple):
    """What `mode` returns."""

    mode: Any
    count: Any


def _only_propagate(name: str, nan_policy: str) -> None:
    if nan_policy not in ("propagate", "omit", "raise"):
        raise ValueError(f"{name}: illegal nan_policy value {nan_policy!r}; expected one of propagate, omit, raise.")
    if nan_policy == "raise":
        raise NotImplementedError(f"{name}: nan_policy='raise' is not implemented: a compiled program cannot raise.")
    if nan_policy == "omit" and name != "sem":
        raise NotImplementedError(f"{name}: nan_policy={nan_policy!r} is not implemented; only 'propagate' is.")


def _along(name: str, a, axis: int | None) -> tuple[Any, int]:
    """``(array, axis)``, flattened for axis None."""
    check_array_like(name, a)
    x: Any = jnp.asarray(a)
    x = x if x.ndim else x[None]
    return (x.ravel(), 0) if axis is None else (x, canonical_axis(axis, x.ndim))


def mode(a, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False) -> ModeResult:
    """The most frequent value along an axis, the smallest of several, and how often it occurs.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.stats import mode
    >>> [v.item() for v in mode(jnp.array([3, 1, 3, 2, 1]))]
    [1, 2]
    """
    _only_propagate("mode", nan_policy)
    shape = np.shape(a)
    x, at = _along("mode", a, axis)
    if x.shape[at] == 0:
        raise ValueError(
            f"mode: axis {axis} of the array of shape {shape} is empty, so there is no most frequent value."
        )
    x: Any = jnp.sort(jnp.moveaxis(x, at, -1), axis=-1)
    flat = x.reshape(-1, x.shape[-1])

    def one(row):
        starts = jnp.searchsorted(row, row, side="left")
        counts = jnp.searchsorted(row, row, side="right") - starts
        best = jnp.argmax(counts)
        return row[best], counts[best].astype(dtypes.canonicalize_user_dtype(int, "mode"))

    found: Any = vmap(one)(flat)
    values, counts = (v.reshape(x.shape[:-1]) for v in found)
    if keepdims:
        kept = (1,) * len(shape) if axis is None else tuple(1 if i == at else n for i, n in enumerate(shape))
        values, counts = values.reshape(kept), counts.reshape(kept)
    return ModeResult(values, counts)


def rankdata(a, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate"):
    """The rank of each element, from 1 for the smallest.

    Args:
      a: an array.
      method: which rank equal elements get: their ``"average"``, the ``"min"`` or ``"max"`` of them; ``"dense"`` as
        min, without gaps after them; ``"ordinal"``, different ones, in the order they stand.
      axis: along which axis; by default of the flattened array.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.stats import rankdata
    >>> rankdata(jnp.array([10, 30, 10])).tolist()
    [1.5, 3.0, 1.5]
    """
    _only_propagate("rankdata", nan_policy)
    if method not in ("average", "min", "max", "dense", "ordinal"):
        raise ValueError(f"rankdata: unknown method {method!r}: expected average, min, max, dense or ordinal.")
    x, at = _along("rankdata", a, axis)
    moved: Any = jnp.moveaxis(x, at, -1)
    flat = moved.reshape(-1, moved.shape[-1])

    def one(row):
        if method == "ordinal":
            return jnp.argsort(jnp.argsort(row)) + 1
        ordered = jnp.sort(row)
        first, last = jnp.searchsorted(ordered, row, side="left"), jnp.searchsorted(ordered, row, side="right")
        if method == "dense":
            new = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
            return jnp.cumsum(new)[first]
        if method == "average":
            return (first + last + 1).astype(dtypes.default_float_dtype()) / 2
        return first + 1 if method == "min" else last

    ranks: Any = vmap(one)(flat)
    ranks = ranks.reshape(moved.shape)
    if dtypes.issubdtype(x.dtype, np.floating):
        unknown = jnp.isnan(moved).any(-1, keepdims=True)
        ranks = jnp.where(unknown, np.nan, ranks)
    return jnp.moveaxis(ranks, -1, at)


def sem(a, axis: int | None = 0, ddof: int = 1, nan_policy: str = "propagate", *, keepdims: bool = False):
    """The standard error of the mean: ``std(a, ddof) / sqrt(n)``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.stats import sem
    >>> round(sem(jnp.array([1.0, 2.0, 3.0])).item(), 4)
    0.5774
    """
    _only_propagate("sem", nan_policy)
    a = jnp.atleast_1d(*inexact_arrays("sem", a))
    if nan_policy == "omit":
        count = jnp.sum(~jnp.isnan(a), axis=axis, keepdims=keepdims)
        return jnp.nanstd(a, axis=axis, ddof=ddof, keepdims=keepdims) / jnp.sqrt(count.astype(a.dtype))
    count = a.size if axis is None else a.shape[canonical_axis(axis, a.ndim)]
    return jnp.std(a, axis=axis, ddof=ddof, keepdims=keepdims) / count**0.5
