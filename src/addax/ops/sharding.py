"""``sharding_constraint``: the same values, laid out as a sharding says."""

from __future__ import annotations

from addax.core.sharding import NamedSharding, PartitionSpec
from addax.ops.rules import LINEAR, primitive


def _type(x, *, sharding):
    sharding.shard_shape(x.shape)  # raises where x cannot be cut so
    return x


def _transpose(ct, x, *, sharding):
    return [sharding_constraint.bind(ct, sharding=sharding)]


def _batch(axis, args, dims, *, sharding):
    """The batch dimension is cut over the mesh axes that `vmap` was told (``spmd_axis_name``), or as the engine likes."""
    (x,), (d,) = args, dims
    if isinstance(sharding, NamedSharding):
        entries = list(sharding.spec)
        entries += [None] * (d - len(entries))
        entries.insert(d, axis.spmd_name or PartitionSpec.UNCONSTRAINED)
        sharding = NamedSharding(sharding.mesh, PartitionSpec(*entries))
    return sharding_constraint.bind(x, sharding=sharding), d


sharding_constraint = primitive(
    "sharding_constraint", _type, jvp=LINEAR, transpose=_transpose, batch=_batch,
    reference=lambda x, *, sharding: x, cpu="copy",
)  # fmt: skip
