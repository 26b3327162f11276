"""Several processes, on one machine or many, that run the same program on all their devices together.

Each process calls `initialize` before anything else, with the address of process 0. ``python -m addax launch -n 2
script.py`` starts processes on one machine and tells them what to say.
"""

from __future__ import annotations

import atexit
import os
from typing import Any

from addax.core.config import config
from addax.engines import platforms


def initialize(
    coordinator_address: str | None = None, num_processes: int | None = None, process_id: int | None = None,
    local_device_ids: Any = None, cluster_detection_method: str | None = None, initialization_timeout: int = 300,
    coordinator_bind_address: str | None = None, stall_timeout: float = 120.0,
) -> None:  # fmt: skip
    """Connect this process with the others; from then on `addax.devices()` are those of all of them.

    Arguments that are not given come from ``ADDAX_COORDINATOR_ADDRESS``, ``ADDAX_NUM_PROCESSES``, ``ADDAX_PROCESS_ID``
    (set by ``addax launch``; JAX's spelling works too), or from Slurm or Open MPI.

    Args:
      coordinator_address: ``host:port`` of process 0, which listens there.
      num_processes: how many there are.
      process_id: the number of this one, from 0.
      local_device_ids: the GPUs of this machine that this process is to use: a number or several; all by default.
      cluster_detection_method: "deactivate" does not look at the environment.
      initialization_timeout: seconds to wait for the others.
      coordinator_bind_address: where process 0 listens, if not at ``coordinator_address``.
      stall_timeout: seconds that this process waits in a collective before it asks who has not come, and ends (JAX waits
        for ever). A process that has died is noticed within seconds in any case.

    Raises:
      RuntimeError: if called twice, or after devices were used, or if the others cannot be reached in time.
      ValueError: if an argument is missing and the environment does not tell.
    """
    from addax.engines.xla import processes  # jaxlib, which single-process programs do without

    if cluster_detection_method not in (None, "deactivate"):
        raise ValueError(
            f"distributed.initialize: cluster_detection_method must be None or 'deactivate', got "
            f"{cluster_detection_method!r}: Slurm and Open MPI are recognised by their environment."
        )
    told = {} if cluster_detection_method else _environment()
    address = coordinator_address or told.get("address")
    count = num_processes if num_processes is not None else told.get("count")
    rank = process_id if process_id is not None else told.get("rank")
    missing = [
        name
        for name, value in (("coordinator_address", address), ("num_processes", count), ("process_id", rank))
        if value is None
    ]
    if missing:
        raise ValueError(
            f"distributed.initialize: {', '.join(missing)} should be defined: pass it, or start the processes with "
            "`python -m addax launch -n 2 script.py`, Slurm or Open MPI."
        )
    count, rank = int(count), int(rank)  # type: ignore[arg-type]
    if ":" not in str(address):
        raise ValueError(f"distributed.initialize: coordinator_address must be host:port, got {address!r}")
    if not 0 <= rank < count:
        raise ValueError(f"distributed.initialize: process_id must be in [0, num_processes={count}), got {rank}")
    if local_device_ids is not None:
        ids = [local_device_ids] if isinstance(local_device_ids, int) else local_device_ids
        config.update("addax_cuda_visible_devices", ",".join(map(str, ids)))
    platforms.join(count)
    processes.initialize(str(address), count, rank, initialization_timeout, stall_timeout, coordinator_bind_address)
    atexit.register(shutdown)


def _environment() -> dict[str, Any]:
    env = os.environ

    def read(name: str) -> str | None:
        return env.get(f"ADDAX_{name}") or env.get(f"JAX_{name}")

    told = {"address": read("COORDINATOR_ADDRESS"), "count": read("NUM_PROCESSES"), "rank": read("PROCESS_ID")}
    if "SLURM_PROCID" in env and "SLURM_NTASKS" in env:
        told["rank"], told["count"] = told["rank"] or env["SLURM_PROCID"], told["count"] or env["SLURM_NTASKS"]
        first = _first_host(env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST", ""))
        if first and not told["address"]:
            told["address"] = f"{first}:{61440 + int(env.get('SLURM_JOB_ID', 0)) % 4096}"
    elif "OMPI_COMM_WORLD_RANK" in env:
        told["rank"] = told["rank"] or env["OMPI_COMM_WORLD_RANK"]
        told["count"] = told["count"] or env["OMPI_COMM_WORLD_SIZE"]
    return told


def _first_host(nodes: str) -> str:
    """The first of Slurm's list of hosts: ``n[03-05,9],m1`` is n03."""
    head, bracket, rest = nodes.partition("[")
    if not bracket:
        return nodes.partition(",")[0]
    if "," in head:
        return head.partition(",")[0]
    first = rest.partition("]")[0].partition(",")[0].partition("-")[0]
    return head + first


def is_initialized() -> bool:
    """Whether `initialize` was called."""
    return platforms.joined()


def shutdown() -> None:
    """Leave the other processes. Happens by itself at exit."""
    atexit.unregister(shutdown)
    if platforms.joined():
        from addax.engines.xla import processes

        processes.shutdown()
        platforms.leave()
