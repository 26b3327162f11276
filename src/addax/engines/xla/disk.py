"""Compiled XLA programs on disk, beside the kernels of the CPU engine and under the same rules (engines/disk_cache.py).

A program is known by its text without locations, the compile options, the version of jaxlib, the platform, the kind of
device, the CPU, and XLA's flags. What compiles in less than ``addax_persistent_cache_min_compile_time_secs`` is not kept;
neither are programs that call host functions, which mean something in this process only, or that other processes take
part in.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from addax.core.config import (
    persistent_cache_min_compile_time_secs,
    persistent_cache_min_entry_size_bytes,
)
from addax.engines.devices import cpu_description
from addax.engines.disk_cache import opened
from addax.engines.xla import compat
from addax.engines.xla.inspect import without_locations


def key(text: str, options: Any, devices: Any) -> str:
    """The name of a program's entry."""
    device = devices[0]
    parts = (
        without_locations(text), options.SerializeAsString(), compat.jaxlib_version, device.client.platform,
        device.client.platform_version, device.device_kind, cpu_description(), os.environ.get("XLA_FLAGS", ""),
    )  # fmt: skip
    h = hashlib.blake2b(digest_size=20)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


def read(name: str, options: Any, devices: Any) -> Any:
    """The executable of an entry, or None."""
    blob = opened("xla").read(name)
    if blob is None:
        return None
    try:
        devices_ = compat.DeviceList(tuple(devices))
        return devices[0].client.deserialize_executable(blob, devices_, options)
    except (compat.XlaRuntimeError, ValueError, TypeError):
        return None  # of another version after all: compile it again


def write(name: str, loaded: Any, seconds: float) -> None:
    """Keep an executable that took ``seconds`` to compile, if that is worth it."""
    if seconds < persistent_cache_min_compile_time_secs.value or not opened("xla").usable():
        return
    try:
        blob = loaded.serialize()
    except compat.XlaRuntimeError:
        return  # not every platform can
    if len(blob) >= persistent_cache_min_entry_size_bytes.value:
        opened("xla").write(name, blob)
