"""Shardings in the runtime's terms, and back: tile assignments (HLO). As text they are in layouts.py.

A tile assignment is an array of device positions: one dimension per dimension of the value, as long as the cuts, and a
last one for the copies of each part.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from addax.core.mesh import Mesh
from addax.core.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding, is_local
from addax.engines.xla import compat


def in_order(devices: Iterable[Any]) -> tuple[Any, ...]:
    """Devices in the order in which programs number them, and buffers list their parts: the same for every mesh of these."""
    return tuple(sorted(devices, key=lambda d: d.id))


class Placement:
    """A sharding as the runtime wants to see it. It looks for these attributes on the class: hence properties."""

    def __init__(self, sharding: Sharding):
        self.sharding = sharding
        self.devices = in_order(sharding.device_list)
        self.local = [d for d in self.devices if is_local(d)]
        self.whole = sharding.is_fully_replicated  # on each device
        self.first_term = sharding.is_first_term() if sharding.pending else None  # type: ignore[attr-defined]
        self._list = compat.DeviceList(self.devices)
        self._hlo: dict[int, Any] = {}
        self.numbers: dict[Any, Any] = {}  # (aval, bytes) -> the buffer of a number that is there (arrays.number_at)
        self._parts: dict[tuple[int, ...], list[tuple[slice, ...]]] = {}

    _internal_device_list = property(lambda self: self._list)
    memory_kind = property(lambda self: None)
    device_set = property(lambda self: set(self.devices))

    def parts(self, shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
        """Which part of an array each of this process's devices holds."""
        found = self._parts.get(shape)
        if found is None:
            index = self.sharding.devices_indices_map(shape)
            found = self._parts[shape] = [index[d] for d in self.local]
        return found

    def _to_xla_hlo_sharding(self, num_dimensions: int) -> Any:
        found = self._hlo.get(num_dimensions)
        if found is None:
            found = self._hlo[num_dimensions] = hlo_sharding(self.sharding, num_dimensions, self.devices)
        return found


def placement(sharding: Sharding) -> Placement:
    """The runtime's description of a sharding, made once."""
    found = sharding._runtime
    if found is None:
        found = sharding._runtime = Placement(sharding)
    return found


def tile_assignment(sharding: Sharding, ndim: int, devices: Sequence[Any]) -> np.ndarray | None:
    """Positions in ``devices`` of the devices that hold each part: shape ``(*cuts, terms, copies)`` where the value is a sum of
    terms, else ``(*cuts, copies)``; None if all hold all."""
    if isinstance(sharding, SingleDeviceSharding) or sharding.is_fully_replicated:
        return None
    assert isinstance(sharding, NamedSharding)
    mesh, order = sharding.mesh, {d: i for i, d in enumerate(devices)}
    ids = np.array([order[d] for d in mesh.devices.flat]).reshape(mesh.devices.shape)
    cut = [mesh.axis_names.index(a) for d in range(ndim) for a in sharding.spec.axes_of(d)]
    over = [i for i, a in enumerate(mesh.axis_names) if a in sharding.pending]
    rest = [i for i in range(len(mesh.axis_names)) if i not in (*cut, *over)]
    terms = [math.prod(ids.shape[i] for i in over)] if over else []
    return ids.transpose(cut + over + rest).reshape(*sharding.cuts(ndim), *terms, -1)


def hlo_sharding(sharding: Sharding, ndim: int, devices: Sequence[Any]) -> Any:
    """The HLO sharding of a value of ``ndim`` dimensions in a program whose partitions run on ``devices``."""
    tiles = tile_assignment(sharding, ndim, devices)
    if tiles is None:
        return compat.HloSharding.replicate()
    proto = compat.OpSharding()
    kinds = compat.OpSharding.Type
    proto.type = kinds.OTHER
    if sharding.pending:
        proto.last_tile_dims = [kinds.UNREDUCED, kinds.REPLICATED]
    elif tiles.shape[-1] == 1:
        tiles = tiles[..., 0]
    else:
        proto.replicate_on_last_tile_dim = True
    proto.tile_assignment_dimensions = list(tiles.shape)
    proto.tile_assignment_devices = tiles.reshape(-1).tolist()
    return compat.HloSharding.from_proto(proto)


def sharding_of(proto: Any, meshes: Sequence[Mesh], ndim: int) -> NamedSharding:
    """The sharding that the compiler chose for a value, over the first of the meshes whose axes it follows.

    Args:
      meshes: those that the program names.

    Raises:
      NotImplementedError: if it follows the axes of none.
    """
    hlo = compat.HloSharding.from_proto(proto)
    if hlo.is_replicated():
        return NamedSharding(meshes[0], PartitionSpec())
    if compat.OpSharding.Type.UNREDUCED in proto.last_tile_dims:
        raise NotImplementedError(
            "XLA left a result unreduced: say where it should be, with reshard(x, P(...)) or out_shardings."
        )
    dims = list(hlo.tile_assignment_dimensions())
    wanted = np.array(hlo.tile_assignment_devices()).reshape(*dims[:ndim], -1)
    devices = in_order(meshes[0].devices.flat)
    for mesh in meshes:
        key = (mesh, devices, wanted.shape, wanted.tobytes())
        if key not in _specs:
            _specs[key] = _find_spec(mesh, wanted, devices)
        spec = _specs[key]
        if spec is not None:
            return NamedSharding(mesh, spec)
    raise NotImplementedError(
        f"XLA gave a result the tile assignment {wanted.shape}, which does not follow the axes of "
        f"{', '.join(map(repr, meshes))}: say where it should be, with out_shardings or with_sharding_constraint."
    )


_specs: dict[Any, PartitionSpec | None] = {}


def _find_spec(mesh: Mesh, wanted: np.ndarray, devices: Sequence[Any]) -> PartitionSpec | None:
    """Try the ways to give mesh axes to the dimensions that are cut; a mesh has few."""
    cuts = wanted.shape[:-1]
    # Copies of a part may stand in any order.
    sets = np.sort(wanted, axis=-1)

    def search(d: int, free: tuple, entries: list) -> PartitionSpec | None:
        if d == len(cuts):
            spec = PartitionSpec(*entries).trimmed()
            tiles = tile_assignment(NamedSharding(mesh, spec), len(cuts), devices)
            return spec if tiles is not None and np.array_equal(np.sort(tiles, axis=-1), sets) else None
        for count in range(len(free) + 1):
            for axes in itertools.permutations(free, count):
                if math.prod(mesh.shape[a] for a in axes) == cuts[d]:
                    found = search(d + 1, tuple(a for a in free if a not in axes), [*entries, axes])
                    if found is not None:
                        return found
        return None

    return search(0, tuple(a for a in mesh.axis_names if mesh.shape[a] > 1), [])
