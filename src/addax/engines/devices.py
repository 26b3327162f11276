"""The device of the embedded engine: this machine's CPU, all its cores together."""

from __future__ import annotations

import os
from typing import Any

from addax import _native


class _DeviceMeta(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return hasattr(x, "platform") and hasattr(x, "device_kind")


class Device(metaclass=_DeviceMeta):
    """What `addax.devices` lists: for annotations and isinstance checks. Each engine has its own class of them."""

    id: int
    platform: str
    device_kind: str
    process_index: int


class CpuDevice:
    """The CPU. Attributes as JAX's devices have them: ``id``, ``platform``, ``device_kind``, ``process_index``."""

    id = 0
    platform = "cpu"
    device_kind = "cpu"
    process_index = 0
    host_id = 0
    local_hardware_id = 0

    def __repr__(self) -> str:
        return f"CpuDevice(id={self.id})"

    __str__ = __repr__

    def memory_stats(self) -> dict[str, int]:
        """Bytes in use, the peak, and what the allocator keeps for reuse."""
        return _native.memory_stats()

    @property
    def num_cores(self) -> int:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_description() -> str:
    """A stable text that changes with the CPU's model and features (not with its clock or load); "" if the system does not
    tell.
    """
    try:
        with open("/proc/cpuinfo") as f:
            head = f.read(16384).split("\n\n", 1)[0]
    except OSError:
        return ""
    skip = ("cpu MHz", "bogomips", "processor", "core id", "apicid", "initial apicid", "physical id")
    return "\n".join(line for line in head.splitlines() if not line.startswith(skip))


cpu_device = CpuDevice()
