"""Arrays on XLA devices: from NumPy and back.

The runtime checks no more than sizes in bytes (and on several devices crashes if they are wrong), so everything is
checked here: dtype, shape, and the buffer that came back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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


def put(value: np.ndarray, dtype: np.dtype, placement: Placement, device: Any) -> Any:
    """A copy of an array on a device.

    Raises:
      TypeError: if the array has another dtype than the program takes.
      RuntimeError: if the buffer is not what was sent (jax, loaded beside addax, narrows 64-bit dtypes).
    """
    if value.dtype != dtype:
        raise TypeError(f"expected an array of {dtype}, got {value.dtype}")
    aval = Aval(value.shape, dtype)
    out = xla_client.batched_device_put(aval, placement, [value], [device], True, True)
    if out.on_device_size_in_bytes() < _bytes(value):
        raise RuntimeError(
            f"an array of {value.nbytes} bytes ({dtype}{list(value.shape)}) arrived on {device} as "
            f"{out.on_device_size_in_bytes()}: was jax imported after addax, with 64-bit types turned off?"
        )
    return out


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
