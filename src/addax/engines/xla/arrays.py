"""`addax.Array`s whose elements are on XLA devices: put there, moved between shardings, read back.

Such an array is an "external" one of the native runtime: it holds the runtime's buffer (an ``ArrayImpl``) and its
sharding. It is fetched to the host once, when something reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core.avals import ShapedArray
from addax.core.sharding import Sharding, SingleDeviceSharding
from addax.engines.xla import compat, processes
from addax.engines.xla.compat import xla_client
from addax.engines.xla.placement import in_order, placement
from addax.engines.xla.types import storage_dtype


class Aval:
    """The type of an array, as the runtime wants to see it."""

    __slots__ = ("dtype", "shape", "weak_type")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype, self.weak_type = shape, dtype, False


def wrap(buffer: Any, aval: ShapedArray, sharding: Sharding, committed: bool = True) -> Any:
    """An Array over a runtime buffer."""
    return _native.array_external(buffer, aval, sharding, committed)


def put_host(value: np.ndarray, sharding: Sharding) -> Any:
    """A runtime buffer with the elements of a host array, cut as the sharding says.

    Raises:
      IndivisibleError, ValueError: if an array of this shape cannot be cut so.
    """
    value = np.asarray(value)
    # Copies of our own, which the runtime may then use as they are: the elements may be in memory that its owner will
    # write to again. Devices that hold the same part share one.
    if isinstance(sharding, SingleDeviceSharding):
        shards, devices = [np.array(value)], list(sharding.device_list)
    else:
        index = sharding.addressable_devices_indices_map(value.shape)
        devices, shards, made = list(index), [], {}
        for ix in index.values():
            key = tuple((s.start, s.stop) for s in ix)
            if key not in made:
                made[key] = np.array(value[ix])
            shards.append(made[key])
    return _put_shards(shards, devices, Aval(value.shape, value.dtype), sharding)


def put_parts(parts: Sequence[np.ndarray], aval: ShapedArray, sharding: Sharding, devices: Sequence[Any]) -> Any:
    """A runtime buffer made of a part for each of this process's devices."""
    return _put_shards(
        [np.array(p) for p in parts], list(devices), Aval(aval.shape, storage_dtype(aval.dtype)), sharding
    )


def _put_shards(shards: list[np.ndarray], devices: list[Any], aval: Aval, sharding: Sharding) -> Any:
    """
    Raises:
      RuntimeError: if what arrives is smaller than what was sent; a program that was given it would crash.
    """
    if len(devices) > 1:
        by_device = dict(zip(devices, shards, strict=True))
        devices = list(in_order(devices))
        shards = [by_device[d] for d in devices]
    with compat.wide_types():
        out = xla_client.batched_device_put(aval, placement(sharding), shards, devices, True)
    part = shards[0]
    sent = (
        len(shards) * part.nbytes // (8 if part.dtype.itemsize == 1 else 1)
    )  # types of less than a byte may be packed
    if out.on_device_size_in_bytes() < sent:
        raise RuntimeError(
            f"{part.dtype}{list(aval.shape)} did not arrive whole on {devices}: {out.on_device_size_in_bytes()} bytes of {sent}"
        )
    return out


def put(x: Any, sharding: Sharding, committed: bool = True) -> Any:
    """An Array in another place.

    Args:
      x: an Array, wherever it is.
      sharding: where to put it.
    """
    if x._device is sharding and x._committed == committed:
        return x
    sharding.shard_shape(x.shape)
    return wrap(buffer_at(x, sharding), x.aval, sharding, committed)


def buffer_at(x: Any, sharding: Sharding) -> Any:
    """The runtime buffer of an Array laid out as ``sharding``: its own, or a moved copy."""
    buffer, here = x._buffer, x._device
    if buffer is not None:
        if here is sharding or (isinstance(here, Sharding) and _same_layout(here, sharding, x.ndim)):
            return buffer
        if isinstance(here, SingleDeviceSharding) and isinstance(sharding, SingleDeviceSharding):
            (moved,) = xla_client.batched_copy_array_to_devices_with_sharding(
                [buffer], [placement(sharding)._internal_device_list], [placement(sharding)],
                [xla_client.ArrayCopySemantics.ALWAYS_COPY],
            )  # fmt: skip
            return moved
    moved = put_host(host_value(x), sharding)
    if buffer is None and not x._committed and isinstance(sharding, SingleDeviceSharding):
        _native.array_migrate(x, moved, sharding)  # the next program will want it there too
    return moved


def _same_layout(a: Sharding, b: Sharding, ndim: int) -> bool:
    return a.is_equivalent_to(b, ndim)


def host_value(x: Any) -> np.ndarray:
    """The elements of an Array in host memory, in the dtype that programs store them in."""
    return np.asarray(x._value)


def fetch(buffer: Any) -> np.ndarray:
    """The elements of a runtime buffer, put together from the parts on this process's devices.

    Raises:
      RuntimeError: if parts are on the devices of other processes.
    """
    wait(buffer)
    aval, sharding = buffer.aval, buffer._sharding.sharding
    shape, dtype = aval.shape, storage_dtype(aval.dtype)
    if isinstance(sharding, SingleDeviceSharding):
        return get(buffer, shape, dtype)
    if not sharding.is_fully_addressable and not sharding.is_fully_replicated:
        raise RuntimeError(
            f"Fetching value for an array that spans non-addressable (non process local) devices: it is laid out as "
            f"{sharding}, and other processes hold parts of it. Read its addressable_shards, or gather it with "
            "addax.experimental.multihost_utils.process_allgather."
        )
    parts = _parts(buffer)
    if sharding.is_fully_replicated:
        return get(parts[0], shape, dtype)
    out, seen = np.empty(shape, dtype), set()
    index = sharding.addressable_devices_indices_map(shape)
    for part, device in zip(parts, in_order(index), strict=True):
        ix = index[device]
        key = tuple((s.start, s.stop) for s in ix)
        if key not in seen:  # a part that several devices hold is read once
            seen.add(key)
            out[ix] = get(part, sharding.shard_shape(shape), dtype)
    return out


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


def wait(buffer: Any) -> None:
    """Wait until the elements of a buffer have been computed."""
    try:
        buffer.block_until_ready()
    except compat.XlaRuntimeError:
        processes.explain()
        raise


def shards(buffer: Any, aval: ShapedArray, devices: Sequence[Any]) -> list[Any]:
    """The single-device buffers that a buffer consists of: parts of type ``aval`` on this process's ``devices``."""
    runtime_aval = Aval(aval.shape, storage_dtype(aval.dtype))
    parts = dict(zip(in_order(devices), _parts(buffer), strict=True))
    return [parts[d]._rewrap_with_aval_and_sharding(runtime_aval, placement(SingleDeviceSharding(d))) for d in devices]


def _parts(buffer: Any) -> list[Any]:
    with compat.without_jax():
        return list(buffer._arrays)


_native.set_external_fetch(fetch)
