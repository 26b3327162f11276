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
from addax.core.sharding import PartitionSpec, Sharding, SingleDeviceSharding
from addax.engines.xla import compat, processes
from addax.engines.xla.placement import in_order, placement
from addax.engines.xla.types import storage_dtype


class Aval:
    """The type of an array, as the runtime wants to see it."""

    __slots__ = ("dtype", "shape", "weak_type")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.shape, self.dtype, self.weak_type = shape, dtype, False


def runtime_aval(aval: ShapedArray) -> Aval:
    return Aval(aval.shape, storage_dtype(aval.dtype))


def wrap(buffer: Any, aval: ShapedArray, sharding: Sharding, committed: bool = True) -> Any:
    """An Array over a runtime buffer."""
    return _native.array_external(buffer, aval, sharding, committed)


def put_host(value: np.ndarray, sharding: Sharding) -> Any:
    """A runtime buffer with the elements of a host array, cut as the sharding says.

    Args:
      value: nobody writes to it from now on; the runtime may use its memory as it is.

    Raises:
      IndivisibleError, ValueError: if an array of this shape cannot be cut so.
    """
    where = placement(sharding)
    if where.whole:
        parts = [value] * len(where.local)
    else:
        parts = [value[ix] for ix in where.parts(value.shape)]
    if where.first_term is not None:  # a sum of the value and zeros
        parts = [p if where.first_term[d] else np.zeros_like(p) for p, d in zip(parts, where.local, strict=True)]
    return compat.batched_device_put(
        Aval(value.shape, value.dtype), where, parts, where.local, enable_x64=True  # whatever jax, if it is loaded, says
    )  # fmt: skip


def stage(aval: ShapedArray, sharding: Sharding) -> tuple[Any, Any] | None:
    """An Array of the host and a runtime buffer over the same memory, for devices that read that of the host; None if the
    runtime makes copies, as it does of parts that are not contiguous."""
    host = _native.array_from_numpy(np.zeros(aval.shape, storage_dtype(aval.dtype)), aval)
    value, where = host._value, placement(sharding)
    buffer = put_host(value, sharding)
    wanted = [value[(*ix, ...)].ctypes.data for ix in where.parts(value.shape)]
    shared = [part.unsafe_buffer_pointer() for part in _parts(buffer)] == wanted
    return (host, buffer) if shared else None


def put_parts(parts: Sequence[np.ndarray], aval: ShapedArray, sharding: Sharding, devices: Sequence[Any]) -> Any:
    """A runtime buffer made of a copy of a part for each of this process's devices."""
    where, by_device = placement(sharding), dict(zip(devices, parts, strict=True))
    return compat.batched_device_put(
        runtime_aval(aval), where, [np.array(by_device[d]) for d in where.local], where.local,
        enable_x64=True,
    )  # fmt: skip


def put(x: Any, sharding: Sharding, committed: bool = True) -> Any:
    """An Array in another place.

    Args:
      x: an Array, wherever it is.
      sharding: where to put it.
    """
    if x._device is sharding and x._committed == committed:
        return x
    sharding.shard_shape(x.shape)
    # An array of the host stays there: the one that is put may be donated.
    buffer = put_host(x._value, sharding) if x._buffer is None else buffer_at(x, sharding)
    return wrap(buffer, x.aval, sharding, committed)


def buffer_at(x: Any, sharding: Sharding) -> Any:
    """The runtime buffer of an Array laid out as ``sharding``: its own, or a moved copy."""
    buffer, here = x._buffer, x._device
    if buffer is None:
        moved = put_host(x._value, sharding)
        if not x._committed and isinstance(sharding, SingleDeviceSharding):
            _native.array_migrate(x, moved, sharding)  # the next program will want it there too
        return moved
    if here.is_equivalent_to(sharding, x.ndim):
        return buffer
    if isinstance(here, SingleDeviceSharding) and isinstance(sharding, SingleDeviceSharding):
        (moved,) = compat.batched_copy_array_to_devices_with_sharding(
            [buffer], [placement(sharding)._internal_device_list], [placement(sharding)],
            [compat.ArrayCopySemantics.ALWAYS_COPY],
        )  # fmt: skip
        return moved
    return put_host(x._value, sharding)


def number_at(x: Any, sharding: Sharding) -> Any:
    """As `buffer_at`, for programs that donate no numbers: those of the host are sent once, a learning rate not with every
    step."""
    if x.ndim or x._buffer is not None:
        return buffer_at(x, sharding)
    sent, value = placement(sharding).numbers, x._value
    key = x.aval, value.tobytes()
    found = sent.get(key)
    if found is None:
        if len(sent) == 256:
            sent.clear()
        found = sent[key] = put_host(value, sharding)
    return found


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
    if sharding.pending:
        return _sum_of(buffer, parts, shape, dtype)
    out, seen = np.empty(shape, dtype), set()
    for part, ix in zip(parts, buffer._sharding.parts(shape), strict=True):
        key = tuple((s.start, s.stop) for s in ix)
        if key not in seen:  # a part that several devices hold is read once
            seen.add(key)
            out[ix] = get(part, sharding.shard_shape(shape), dtype)
    return out


def _sum_of(buffer: Any, parts: list[Any], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The value of which the devices hold terms."""
    where = buffer._sharding
    sharding, out, seen = where.sharding, np.zeros(shape, dtype), set()
    term = sharding.update(spec=PartitionSpec(tuple(a for a in sharding.mesh.axis_names if a in sharding.pending)))
    number = dict(zip(term.device_list, term.positions(1)[:, 0].tolist(), strict=True))
    for part, ix, d in zip(parts, where.parts(shape), where.local, strict=True):
        key = (number[d], *((s.start, s.stop) for s in ix))
        if key not in seen:
            seen.add(key)
            out[ix] += get(part, sharding.shard_shape(shape), dtype)
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
    part = runtime_aval(aval)
    parts = dict(zip(in_order(devices), _parts(buffer), strict=True))
    return [parts[d]._rewrap_with_aval_and_sharding(part, placement(SingleDeviceSharding(d))) for d in devices]


def _parts(buffer: Any) -> list[Any]:
    with compat.without_jax():
        return list(buffer._arrays)


_native.set_external_fetch(fetch)
