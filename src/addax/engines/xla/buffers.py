"""Arrays on XLA devices: from NumPy and back.

The runtime checks no more than sizes in bytes (and on several devices crashes if they are wrong), so everything is
checked here: dtype, shape, and the buffer that came back.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.engines.xla import compat
from addax.engines.xla.compat import xla_client


class Aval:
    """The type of an array, as the runtime wants to see it."""

    __slots__ = ("dtype", "shape", "weak_type")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype, self.weak_type = shape, dtype, False


class Placement:
    """One whole array per device: on a single device, or a copy on each of several.

    The runtime looks for these attributes on the class, which is why they are properties.
    """

    def __init__(self, devices: list[Any]):
        self._devices = tuple(devices)
        self._list = xla_client.DeviceList(self._devices)

    _internal_device_list = property(lambda self: self._list)
    memory_kind = property(lambda self: None)
    device_set = property(lambda self: set(self._devices))

    def _to_xla_hlo_sharding(self, num_dimensions: int) -> Any:
        return xla_client.HloSharding.replicate()

    def __eq__(self, other: object) -> bool:
        return type(other) is Placement and self._devices == other._devices

    def __hash__(self) -> int:
        return hash(self._devices)


def put(values: Sequence[np.ndarray], placement: Placement, devices: Sequence[Any]) -> Any:
    """Copies of arrays of one type on devices, the i-th on the i-th, as one array of the runtime.

    Raises:
      RuntimeError: if a buffer is not what was sent.
    """
    first = values[0]
    aval = Aval(first.shape, first.dtype)
    if "jax" in sys.modules and first.dtype in _WIDE:
        # jax, if loaded, has the runtime narrow 64-bit types on their way unless jax's own x64 mode is on.
        shards: Sequence[Any] = [_through_dlpack(x, d) for x, d in zip(values, devices, strict=True)]
        if len(shards) == 1:
            return shards[0]._rewrap_with_aval_and_sharding(aval, placement)
    else:
        shards = values
    out = xla_client.batched_device_put(aval, placement, list(shards), list(devices), True, True)
    if len(devices) == 1 and out.on_device_size_in_bytes() < _bytes(first):
        raise RuntimeError(
            f"an array of {first.nbytes} bytes ({first.dtype}{list(first.shape)}) arrived on {devices[0]} as "
            f"{out.on_device_size_in_bytes()}"
        )
    return out


_WIDE = frozenset({dtypes.int64, dtypes.uint64, dtypes.float64, dtypes.complex128})


def _through_dlpack(value: np.ndarray, device: Any) -> Any:
    """An array on a device, bits untouched: the runtime takes over an aligned copy."""
    memory = np.empty(value.nbytes + 64, np.uint8)
    offset = -memory.ctypes.data % 64
    aligned = memory[offset : offset + value.nbytes].view(value.dtype).reshape(value.shape)
    aligned[...] = value
    return compat.array_from_dlpack(aligned.__dlpack__(), device)


def _bytes(value: np.ndarray) -> int:
    """A lower bound of the size on the device, where types of less than a byte may be packed."""
    return value.nbytes // 8 if value.dtype.itemsize == 1 else value.nbytes


def get(array: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A single-device array in host memory; waits for it."""
    try:
        out = np.asarray(memoryview(array))
    except (TypeError, ValueError, BufferError, RuntimeError):
        # No buffer protocol: small floats, and memory that the host can't see.
        with compat.without_jax():
            out = array._single_device_array_to_np_array_did_copy()[0]
    if out.dtype != dtype:
        out = out.view(dtype)
    if out.shape != shape:
        raise RuntimeError(f"the program returned shape {out.shape} where {shape} was compiled")
    return np.array(out)
