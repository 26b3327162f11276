"""Which devices there are, and which engine runs what.

One CPU is the embedded engine's: it starts at once and needs nothing installed. A program that asks for several devices
(``config.update("addax_num_cpu_devices", 8)``), for an accelerator, or for an array that is on one, gets XLA. The choice
shows in ``array.device`` and ``array.sharding``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from addax.core.config import config, num_cpu_devices, platforms
from addax.core.context import current_context
from addax.core.execution import CompileOptions, device_in, meshes_in, shardings_of
from addax.core.jaxpr import ClosedJaxpr
from addax.core.mesh import Mesh
from addax.core.sharding import NamedSharding
from addax.engines.cpu import cpu_engine
from addax.engines.devices import CpuDevice, cpu_device

ALIASES = {"gpu": "cuda", "cuda": "cuda", "tpu": "tpu", "cpu": "cpu"}


class _State:
    """What has been started: options that would change it are refused from then on."""

    platform: str | None = None
    cpu_devices: list[Any] | None = None
    processes: int | None = None  # how many work together


_state = _State()


def default_platform() -> str:
    """The platform programs run on by default: the first of `addax_platforms`; else a GPU if its plugin is installed and
    the machine has one; else the CPU."""
    if _state.platform is None:
        named = platforms.value or config.addax_platform_name or ""
        wanted = [p.strip() for p in named.split(",") if p.strip()]
        for p in wanted:
            if p not in ALIASES:
                raise RuntimeError(
                    f"Unknown backend: {p!r} is not one of 'cpu', 'gpu', 'cuda', 'tpu' (addax_platforms)."
                )
        if wanted:
            _state.platform = ALIASES[wanted[0]]
        else:
            _state.platform = "cuda" if _gpu_present() else "cpu"
    return _state.platform


def _gpu_present() -> bool:
    if not os.path.exists("/dev/nvidia0"):
        return False
    import importlib.metadata  # a tenth of the time that `import addax` takes, and only needed where there is a GPU

    return any(importlib.metadata.packages_distributions().get("jax_plugins", ()))


def devices(backend: str | None = None) -> list[Any]:
    """The devices of a platform (by default the default one), of all processes.

    Raises:
      RuntimeError: if there is no such platform, or it has no devices here.
    """
    if backend is not None and backend not in ALIASES:
        raise RuntimeError(f"Unknown backend {backend!r}: expected one of 'cpu', 'gpu', 'cuda', 'tpu'.")
    platform = default_platform() if backend is None else ALIASES[backend]
    if platform == "cpu":
        if _state.cpu_devices is None:
            _state.cpu_devices = _xla_devices("cpu") if _cpu_is_shared() else [cpu_device]
        return list(_state.cpu_devices)
    return _xla_devices(platform)


def _cpu_is_shared() -> bool:
    return num_cpu_devices.value > 1 or joined()


def join(count: int) -> None:
    """Several processes are about to work together: their CPU devices are XLA's.

    Raises:
      RuntimeError: if devices have been used already.
    """
    if _state.cpu_devices is not None or _state.platform is not None:
        raise RuntimeError(
            "distributed.initialize() must be called before any addax calls that might use the devices: they are "
            f"{devices()} already."
        )
    _state.processes = count


def joined() -> bool:
    return _state.processes is not None


def leave() -> None:
    _state.processes = None


def _xla_devices(platform: str) -> list[Any]:
    from addax.engines.xla.client import devices as of  # jaxlib, which programs on one CPU do without

    return of(platform)


def default_device() -> Any:
    """Where arrays are made and programs run when nothing says otherwise: option `addax_default_device`, else the first
    device of the default platform."""
    chosen = current_context().default_device
    if chosen is not None:
        return devices(chosen)[0] if isinstance(chosen, str) else chosen
    return devices()[0]


def is_native(device: Any) -> bool:
    """Whether the embedded engine runs on a device."""
    return isinstance(device, CpuDevice)


def compile_program(closed: ClosedJaxpr, options: CompileOptions) -> Any:
    """Compile with the engine of the devices that the program's arguments, results or meshes are on, or the arrays that
    it captures."""
    captured = (s for s in shardings_of(closed.consts) if s is not None and not all(map(is_native, s.device_list)))
    placed = [*(options.in_shardings or ()), *(options.out_shardings or ()), *captured]
    placed = [s for s in placed if s is not None]
    if any(isinstance(s, NamedSharding) and not isinstance(s.mesh, Mesh) for s in placed):
        from addax.engines.xla.abstract import AbstractProgram  # the lowering to StableHLO: not needed on one CPU

        return AbstractProgram(closed, options)
    meshes = [m for m in meshes_in(closed) if isinstance(m, Mesh)]
    if placed or meshes:
        native = all(is_native(d) for s in placed for d in s.device_list)
        native = native and all(is_native(d) for m in meshes for d in m.devices.flat)
    else:
        device = options.device
        if device is None and (device := device_in(closed)) is not None and not is_native(device):
            options = replace(options, device=device)  # results are bound to it
        elif device is None:
            device = current_context().default_device
            if device is None and default_platform() != "cpu":
                device = devices()[0]
        if isinstance(device, str):
            device = devices(device)[0]
        native = device is None or is_native(device)
        if not native:
            # If nothing binds the program to this device, its results may be used with arrays that are elsewhere.
            return _xla().compile(closed, options, device)
    return cpu_engine.compile(closed, options) if native else _xla().compile(closed, options)


def _xla():
    from addax.engines.xla.engine import xla_engine  # jaxlib, which programs on one CPU do without

    return xla_engine


def _refuse_late(name: str):
    def hook(value: Any) -> None:
        if _state.cpu_devices is not None or _state.platform is not None:
            raise RuntimeError(
                f"addax_{name} must be set before the first computation and the first call of addax.devices(): "
                f"the devices of this process are {devices()}."
            )

    return hook


for _name in ("num_cpu_devices", "platforms", "platform_name"):
    config.on_update(_name, _refuse_late(_name))
