"""Where an array is: its sharding, its device, and the `Shard`s it consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from addax import _native
from addax.core.sharding import Sharding, SingleDeviceSharding
from addax.engines.platforms import default_device, is_native


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


def sharding_of(x: Any) -> Sharding:
    """Where an array is. One that was never put anywhere is on the default device."""
    return x._device if x._device is not None else SingleDeviceSharding(default_device())


def device_of(x: Any) -> Any:
    """The device of an array, or its sharding if it is spread over several."""
    sharding = sharding_of(x)
    return sharding if sharding.num_devices > 1 else sharding.device_list[0]


def shards_of(x: Any) -> list[Shard]:
    """The parts of an array on this process's devices, in the order of the devices."""
    sharding, buffer = sharding_of(x), x._buffer
    if x.is_deleted():
        raise RuntimeError(f"Array has been deleted with shape={x.aval.str_short(False)}.")
    index = sharding.addressable_devices_indices_map(x.shape)
    if buffer is None or len(sharding.device_list) == 1:
        return [Shard(d, ix, 0, x) for d, ix in index.items()]
    from addax.engines.xla.arrays import shards, wrap  # only arrays of that engine come here

    aval = x.aval.update(shape=sharding.shard_shape(x.shape))
    count: dict[Any, int] = {}
    replica: dict[Any, int] = {}
    for d, ix in sharding.devices_indices_map(x.shape).items():
        key = tuple((s.start, s.stop) for s in ix)
        replica[d] = count[key] = count.get(key, -1) + 1
    return [
        Shard(d, ix, replica[d], wrap(part, aval, SingleDeviceSharding(d)))
        for (d, ix), part in zip(index.items(), shards(buffer, aval, list(index)), strict=True)
    ]


def is_ready(x: Any) -> bool:
    """Whether the elements of an array have been computed."""
    if x.is_deleted():
        raise RuntimeError(f"Array has been deleted with shape={x.aval.str_short(False)}.")
    return x._buffer is None or x._buffer.is_ready()


def block_until_ready(x: Any) -> Any:
    """Wait until the elements have been computed."""
    if x._buffer is not None:
        from addax.engines.xla.arrays import wait  # only arrays of that engine come here

        wait(x._buffer)
    return x


def move(x: Any, sharding: Sharding) -> Any:
    """The array in another place, to which it is then bound.

    Raises:
      IndivisibleError: if it cannot be cut as the sharding says.
    """
    if x._device is sharding and x._committed:
        return x
    if all(is_native(d) for d in sharding.device_list):
        sharding.shard_shape(x.shape)
        same = x._buffer is None
        out = _native.array_alias(x, x.aval) if same else _native.array_from_numpy(np.asarray(x._value), x.aval)
        out._device, out._committed = sharding, True
        return out
    from addax.engines.xla.arrays import put  # jaxlib is imported by whoever has made such a sharding

    return put(x, sharding)
