"""`shard_map` by its older name and arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax.core.mesh import AbstractMesh, Mesh
from addax.transforms import shard_map as _shard_map


def shard_map(
    f: Callable, mesh: Mesh | AbstractMesh, in_specs: Any, out_specs: Any, check_rep: bool = True, auto=frozenset()
) -> Callable:
    """`addax.shard_map` with the arguments it once had: ``check_rep`` is ``check_vma``, ``auto`` are the axes left out."""
    names = frozenset(n for n in mesh.axis_names if n not in auto)
    return _shard_map.shard_map(
        f, mesh=mesh, in_specs=in_specs, out_specs=out_specs, axis_names=names, check_vma=check_rep
    )


__all__ = ["shard_map"]
