"""Where an array is: `SingleDeviceSharding`, and the `Shard` that an array on one device consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SingleDeviceSharding:
    """The placement of an array that is whole on one device."""

    _device: Any
    memory_kind: str = "device"

    @property
    def device_set(self) -> set:
        return {self._device}

    @property
    def addressable_devices(self) -> set:
        return {self._device}

    @property
    def num_devices(self) -> int:
        return 1

    is_fully_addressable = True
    is_fully_replicated = True

    def devices_indices_map(self, global_shape) -> dict:
        """Which part of an array each device holds."""
        return {self._device: (slice(None),) * len(global_shape)}

    addressable_devices_indices_map = devices_indices_map

    def shard_shape(self, global_shape) -> tuple[int, ...]:
        """The shape of the part each device holds."""
        return tuple(global_shape)

    def is_equivalent_to(self, other, ndim: int) -> bool:
        """Whether the two place an array of ``ndim`` dimensions alike."""
        return getattr(other, "device_set", None) == self.device_set

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r}, memory_kind={self.memory_kind})"


@dataclass(frozen=True, eq=False)
class Shard:
    """The part of an array that one device holds.

    Attributes:
      device: the device.
      index: which part of the whole it is, one slice per dimension.
      replica_id: counts the devices that hold the same part.
      data: the part, an array.
    """

    device: Any
    index: tuple
    replica_id: int
    data: Any

    def __repr__(self) -> str:
        return f"Shard(device={self.device!r}, index={self.index}, replica_id={self.replica_id}, data={self.data})"
