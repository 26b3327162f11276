"""``sharding_constraint``: the same values, laid out as a sharding says. Dimensions that are ``UNCONSTRAINED`` are the
partitioner's; if all are, nothing is known of the layout (ops/explicit.py)."""

from __future__ import annotations

from addax.core.mesh import AbstractMesh, AxisType, mesh_of
from addax.core.notation import register_param_type
from addax.core.sharding import NamedSharding, PartitionSpec
from addax.ops.rules import LINEAR, primitive


def _type(x, *, sharding):
    """Parts need not be of one size, unless the axes are explicit: the partitioner pads."""
    if isinstance(sharding, NamedSharding) and not sharding.mesh.explicit_axes:
        sharding.check_rank(x.ndim)
    else:
        sharding.shard_shape(x.shape)  # raises where x cannot be cut so
    return x


def _transpose(ct, x, *, sharding):
    """Along explicit axes a cotangent is laid out as the operand was, which is not known here: as the engine likes."""
    if isinstance(sharding, NamedSharding) and sharding.mesh.explicit_axes:
        sharding = NamedSharding(sharding.mesh, PartitionSpec(*[PartitionSpec.UNCONSTRAINED] * x.aval.ndim))
    return [sharding_constraint.bind(ct, sharding=sharding)]


def _batch(axis, args, dims, *, sharding):
    """The batch dimension is cut over the mesh axes that `vmap` was told (``spmd_axis_name``), or as the engine likes."""
    (x,), (d,) = args, dims
    if isinstance(sharding, NamedSharding):
        entries = list(sharding.spec)
        entries += [None] * (d - len(entries))
        entries.insert(d, axis.spmd_name or PartitionSpec.UNCONSTRAINED)
        sharding = NamedSharding(sharding.mesh, sharding.spec.update(entries))
    return sharding_constraint.bind(x, sharding=sharding), d


sharding_constraint = primitive(
    "sharding_constraint", _type, jvp=LINEAR, transpose=_transpose, batch=_batch,
    reference=lambda x, *, sharding: x,
)  # fmt: skip

# How the parameters of this primitive and of shard_map are read from text.
register_param_type(PartitionSpec, "P")
register_param_type(NamedSharding)
register_param_type(mesh_of, "Mesh")
register_param_type(
    AbstractMesh,
    make=lambda *axes, axis_types=(): AbstractMesh([n for _, n in axes], [name for name, _ in axes], axis_types),
)
for _kind in AxisType:
    register_param_type(_kind, _kind.name)
register_param_type("device", "device")  # memory_kind=device
register_param_type(PartitionSpec.UNCONSTRAINED, "UNCONSTRAINED")
