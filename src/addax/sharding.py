"""Meshes of devices, and how arrays are laid out over them (the names of ``jax.sharding``)."""

from addax.core.mesh import (
    AbstractMesh as AbstractMesh,
    AxisType as AxisType,
    Mesh as Mesh,
    get_abstract_mesh as get_abstract_mesh,
    get_mesh as get_mesh,
    set_mesh as set_mesh,
    use_abstract_mesh as use_abstract_mesh,
)
from addax.core.sharding import (
    NamedSharding as NamedSharding,
    PartitionSpec as PartitionSpec,
    Sharding as Sharding,
    SingleDeviceSharding as SingleDeviceSharding,
)
from addax.lax.sharding import auto_axes as auto_axes, explicit_axes as explicit_axes, reshard as reshard
from addax.transforms.shard_map import Infer as Infer
