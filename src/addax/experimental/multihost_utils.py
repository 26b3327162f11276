"""What several processes do together on the host: wait for each other, share values, check that they agree."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.mesh import Mesh
from addax.core.sharding import NamedSharding, PartitionSpec
from addax.core.tree_prefix import broadcast_prefix
from addax.engines.platforms import devices
from addax.transfers import device_put, make_array_from_process_local_data
from addax.transforms.jit import jit


def _process_mesh() -> Mesh:
    """The devices with one row per process."""
    rows: dict[int, list] = {}
    for d in devices():
        rows.setdefault(d.process_index, []).append(d)
    return Mesh([rows[p] for p in sorted(rows)], ("processes", "local_devices"))


def _is_global(x: Any) -> bool:
    return hasattr(x, "sharding") and not x.is_fully_addressable


def process_allgather(in_tree: Any, tiled: bool = False) -> Any:
    """The values of all processes on each of them, as NumPy arrays.

    Args:
      in_tree: a pytree. Arrays that are spread over processes are gathered whole. Others are stacked along a new first
        axis, one entry per process, or with ``tiled`` joined along their first axis.
    """
    mesh = _process_mesh()
    whole = NamedSharding(mesh, PartitionSpec())

    def gather(x):
        if _is_global(x):
            same = NamedSharding(x.sharding.mesh, PartitionSpec())
            return np.asarray(jit(_identity, out_shardings=same)(x))
        local = np.asarray(x)[None]
        count = mesh.shape["processes"]
        if count == 1:
            stacked = local
        else:
            spread = NamedSharding(mesh, PartitionSpec("processes"))
            every = make_array_from_process_local_data(spread, local, (count, *local.shape[1:]))
            stacked = np.asarray(jit(_identity, out_shardings=whole)(every))
        return stacked.reshape(-1, *stacked.shape[2:]) if tiled else stacked

    return tree.map(gather, in_tree)


def _identity(x):
    return x


def broadcast_one_to_all(in_tree: Any, is_source: bool | None = None) -> Any:
    """The value of process 0 (or of the one that says it is the source) on all, as NumPy arrays."""
    rank = _rank()
    if is_source is None:
        is_source = rank == 0
    sources = process_allgather(np.asarray(is_source))
    if sources.sum() != 1:
        raise ValueError(f"broadcast_one_to_all: exactly one process must be the source; they say {sources.tolist()}")
    return tree.map(lambda x: process_allgather(x)[int(sources.argmax())], in_tree)


def sync_global_devices(name: str) -> None:
    """Wait until all processes are here.

    Raises:
      AssertionError: if some of them are at another place, as told by ``name``.
    """
    word = np.uint32(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))
    assert_equal(word, f"sync_global_devices name mismatch ({name!r})")


def assert_equal(in_tree: Any, fail_message: str = "") -> None:
    """Check that the value is the same on all processes.

    Raises:
      AssertionError: naming the processes that differ from process 0.
    """
    every = process_allgather(in_tree)
    for path, x in tree.leaves_with_path(every):
        differ = [p for p in range(len(x)) if not np.array_equal(x[p], x[0], equal_nan=x.dtype.kind == "f")]
        if differ:
            raise AssertionError(
                f"{fail_message + ': ' if fail_message else ''}the value{tree.keystr(path)} of processes {differ} differs "
                "from that of process 0."
            )


def host_local_array_to_global_array(local_inputs: Any, global_mesh: Mesh, pspecs: Any) -> Any:
    """Arrays of all processes, side by side as the specs say, as one."""
    specs = pspecs if isinstance(pspecs, PartitionSpec) else None
    if specs is None:
        return tree.map(
            lambda x, s: make_array_from_process_local_data(NamedSharding(global_mesh, s), x), local_inputs, pspecs
        )
    sharding = NamedSharding(global_mesh, specs)
    return tree.map(lambda x: make_array_from_process_local_data(sharding, x), local_inputs)


def global_array_to_host_local_array(global_inputs: Any, global_mesh: Mesh, pspecs: Any) -> Any:
    """This process's part of arrays, laid out over its own part of the mesh: the reverse of
    `host_local_array_to_global_array`."""
    mesh = global_mesh.local_mesh

    def part(x):
        if not _is_global(x):
            return np.asarray(x)
        shards = x.addressable_shards
        low = [min(s.index[d].indices(x.shape[d])[0] for s in shards) for d in range(x.ndim)]
        high = [max(s.index[d].indices(x.shape[d])[1] for s in shards) for d in range(x.ndim)]
        out = np.empty([h - o for o, h in zip(low, high, strict=True)], x.dtype)
        for s in shards:
            at = tuple(
                slice(*np.subtract(ix.indices(n)[:2], o)) for ix, n, o in zip(s.index, x.shape, low, strict=True)
            )
            out[at] = np.asarray(s.data)
        return out

    specs = broadcast_prefix(pspecs, global_inputs)
    leaves, structure = tree.flatten(global_inputs)
    return structure.unflatten(
        [device_put(part(x), NamedSharding(mesh, s)) for x, s in zip(leaves, specs, strict=True)]
    )


def _rank() -> int:
    client = getattr(devices()[0], "client", None)
    return 0 if client is None else client.process_index()


__all__ = [
    "assert_equal", "broadcast_one_to_all", "global_array_to_host_local_array", "host_local_array_to_global_array",
    "process_allgather", "sync_global_devices",
]  # fmt: skip
