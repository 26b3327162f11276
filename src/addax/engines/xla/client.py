"""Clients and devices: one PJRT client per platform, made when its devices are first asked for."""

from __future__ import annotations

import threading
from typing import Any

from addax.core.config import num_cpu_devices
from addax.engines.xla import compat, cuda, processes, tpu

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
            try:
                with compat.without_jax():
                    found = _clients[platform] = make()
            except compat.XlaRuntimeError as error:
                raise RuntimeError(f"no device of platform {platform!r} can be used here: {error}") from error
        return found


def devices(platform: str = "cpu") -> list[Any]:
    """The devices of a platform, of all processes."""
    return list(client(platform).devices())


def cpu_client(count: int) -> Any:
    """A new client with this many virtual CPU devices, apart from that of `client`."""
    others = processes.current()
    together: dict[str, Any] = {}
    if others is not None:
        together = {
            "distributed_client": others.client, "node_id": others.rank, "num_nodes": others.count,
            "collectives": others.collectives(),
        }  # fmt: skip
    with compat.without_jax():
        # Its pool has a thread per device at least, which is what a collective needs (engine._in_flight).
        return compat.make_cpu_client(num_devices=count, **together)


_MAKERS = {"cpu": lambda: cpu_client(max(1, num_cpu_devices.value)), "cuda": cuda.make_client, "tpu": tpu.make_client}
