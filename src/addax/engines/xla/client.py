"""Clients and devices: one PJRT client per platform, made when its devices are first asked for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pathlib
import threading
from typing import Any

from addax.core.config import num_cpu_devices
from addax.engines.xla import compat
from addax.engines.xla.compat import xla_client

_clients: dict[str, Any] = {}
_lock = threading.Lock()


def client(platform: str = "cpu") -> Any:
    """The client of a platform: ``"cpu"``, ``"cuda"`` or ``"tpu"``.

    Raises:
      RuntimeError: if there are no such devices here, saying what is missing.
    """
    with _lock:
        found = _clients.get(platform)
        if found is None:
            make = _MAKERS.get(platform)
            if make is None:
                raise RuntimeError(f"unknown platform {platform!r}: expected one of {', '.join(map(repr, _MAKERS))}")
            with compat.without_jax():
                found = _clients[platform] = make()
        return found


def devices(platform: str = "cpu") -> list[Any]:
    """The devices of a platform, of all processes."""
    return list(client(platform).devices())


def cpu_client(count: int) -> Any:
    """A new client with this many virtual CPU devices, apart from that of `client`."""
    with compat.without_jax():
        if count == 1 or "NPROC" in os.environ:
            return xla_client.make_cpu_client(num_devices=count)
        # Collectives between virtual devices each block a thread: with too few of them a program hangs.
        os.environ["NPROC"] = str(max(2 * count, os.cpu_count() or 1))
        try:
            return xla_client.make_cpu_client(num_devices=count)
        finally:
            del os.environ["NPROC"]


def _plugin_client(platform: str, library: pathlib.Path, options: Any) -> Any:
    if not xla_client.pjrt_plugin_loaded(platform):
        xla_client.load_pjrt_plugin_dynamically(platform, str(library))
    if not xla_client.pjrt_plugin_initialized(platform):
        xla_client.initialize_pjrt_plugin(platform)
    return xla_client.make_c_api_client(platform, options, None)


def _cuda_client() -> Any:
    library = find_library("jax-cuda13-pjrt", "xla_cuda_plugin.so") or find_library(
        "jax-cuda12-pjrt", "xla_cuda_plugin.so"
    )
    if library is None:
        raise RuntimeError("no CUDA plugin is installed: pip install 'addax[cuda13]'")
    return _plugin_client("cuda", library, xla_client.generate_pjrt_gpu_plugin_options())


def _tpu_client() -> Any:
    library = find_library("libtpu", "libtpu.so")
    if library is None:
        raise RuntimeError("libtpu is not installed: pip install libtpu")
    return _plugin_client("tpu", library, {})


def find_library(distribution: str, name: str) -> pathlib.Path | None:
    """A shared library of an installed wheel, found without importing the wheel's package (which would import jax)."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = next((f for f in files if f.name == name), None)
    return None if found is None else pathlib.Path(str(found.locate()))


_MAKERS = {"cpu": lambda: cpu_client(max(1, num_cpu_devices.value)), "cuda": _cuda_client, "tpu": _tpu_client}
