"""Pytrees of arrays as one vector, for optimisers and solvers that think in vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes, tree
from addax.core.avals import get_aval
from addax.core.errors import array_summary
from addax.interpreters.values import convert


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All numbers of a pytree in one vector, and the way back.

    Args:
      pytree: arrays and numbers in any structure. Different dtypes are promoted to a common one.

    Returns:
      ``(vector, unravel)``: a vector of shape ``[n]``, the leaves in order, each in row-major order; and a function from
      such a vector to a pytree with the structure, shapes and dtypes of the argument. Both can be traced.

    Raises:
      ValueError: from ``unravel``, if its argument does not have shape ``[n]``.
      TypeError: from ``unravel``, if its argument is not of the vector's dtype (only where leaves had different dtypes).

    >>> from addax.flatten_util import ravel_pytree
    >>> vector, unravel = ravel_pytree({"b": 3.0, "w": [1.0, 2.0]})
    >>> vector.tolist()
    [3.0, 1.0, 2.0]
    >>> float(unravel(2 * vector)["w"][1])
    4.0
    """
    leaves, treedef = tree.flatten(pytree)
    if not leaves:
        return jnp.zeros(0, jnp.float32), lambda vector: treedef.unflatten([])
    avals = [get_aval(x) for x in leaves]
    dtype = dtypes.result_type(*leaves)
    ends = np.cumsum([a.size for a in avals])
    mixed = any(a.dtype != dtype for a in avals)
    vector = jnp.concatenate([jnp.ravel(jnp.asarray(x, dtype)) for x in leaves])

    def unravel(vector: Any) -> Any:
        if np.shape(vector) != (ends[-1],):
            raise ValueError(
                f"unravel: expected a vector of shape ({ends[-1]},), as ravel_pytree made it, got {array_summary(vector)}."
            )
        if mixed and get_aval(vector).dtype != dtype:
            raise TypeError(
                f"unravel: expected a vector of dtype {dtypes.dtype_name(dtype)}, as ravel_pytree made it, got "
                f"{array_summary(vector)}: convert it with .astype first."
            )
        parts = jnp.split(jnp.asarray(vector), ends[:-1].tolist())
        shaped = [jnp.reshape(part, a.shape) for part, a in zip(parts, avals, strict=True)]
        return treedef.unflatten([convert(x, a.dtype) for x, a in zip(shaped, avals, strict=True)])

    return vector, unravel


__all__ = ["ravel_pytree"]
