"""Where values are, said inside a program: `with_sharding_constraint`, `reshard`."""

from __future__ import annotations

import numpy as np

from addax import _native
from addax.core import tree
from addax.core.avals import get_aval
from addax.core.sharding import as_sharding
from addax.core.trace import Tracer, base_trace, current_trace
from addax.core.tree_prefix import broadcast_prefix
from addax.ops.sharding import sharding_constraint
from addax.placement import move


def with_sharding_constraint(x, shardings):
    """The same values, laid out as ``shardings`` says; inside a program, an order to the partitioner.

    Args:
      x: a pytree of arrays.
      shardings: a `Sharding`, or a `PartitionSpec` for the mesh in scope, or a pytree of these that is a prefix of ``x``.

    Raises:
      IndivisibleError: if an array cannot be cut so.
      RuntimeError: for a `PartitionSpec` where no mesh is in scope.
    """
    leaves, treedef = tree.flatten(x)
    given = broadcast_prefix(shardings, x, is_leaf=lambda s: s is None)
    return treedef.unflatten([leaf if s is None else place(leaf, s) for leaf, s in zip(leaves, given, strict=True)])


def reshard(x, out_shardings):
    """The same values under other shardings: `with_sharding_constraint` by the name used with explicit meshes."""
    return with_sharding_constraint(x, out_shardings)


def place(x, wanted):
    """An array where ``wanted`` says: a sharding, a device, or a spec for the mesh in scope."""
    sharding = as_sharding(wanted, "with_sharding_constraint")
    if isinstance(x, Tracer) or current_trace() is not base_trace:
        return sharding_constraint.bind(x, sharding=sharding)
    if not isinstance(x, _native.Array):
        x = _native.array_from_numpy(np.asarray(x), get_aval(x))
    return move(x, sharding)
