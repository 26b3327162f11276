"""Meshes of exported programs: the axes are the program's, the devices those where it is called."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.execution import meshes_in, shardings_of
from addax.core.jaxpr import ClosedJaxpr
from addax.core.mesh import AbstractMesh, Mesh, current_mesh
from addax.core.sharding import NamedSharding
from addax.engines import platforms as _platforms


class OpenMesh(AbstractMesh):
    """A `Mesh` whose devices are to be chosen. (An `AbstractMesh` in a program stays one.)"""

    def _key(self):
        return *super()._key(), "open"

    def __repr__(self) -> str:
        return f"Mesh({self._describe()})"

    def placed(self, devices: np.ndarray) -> Mesh:
        """The mesh of these devices, in their order."""
        return Mesh(devices.reshape(self.axis_sizes), self.axis_names, self.axis_types)


def opened(mesh: Any) -> Any:
    """A mesh without its devices."""
    return OpenMesh(mesh.axis_sizes, mesh.axis_names, mesh.axis_types) if isinstance(mesh, Mesh) else mesh


def count_devices(closed: ClosedJaxpr) -> int:
    """For how many devices a program is.

    Raises:
      ValueError: if it has meshes of different sizes.
    """
    counts = {math.prod(m.axis_sizes) for m in meshes_in(closed) if isinstance(m, (Mesh, OpenMesh))}
    if len(counts) > 1:
        raise ValueError(f"Cannot export a program with meshes of different numbers of devices, {sorted(counts)}.")
    return counts.pop() if counts else 1


def choose_devices(fun_name: str, count: int, leaves: Sequence[Any]) -> np.ndarray:
    """The devices for a call: those of the arguments, else of the mesh in scope, else the first ones there are.

    Raises:
      ValueError: if these are not as many as the program is for.
    """
    placed = (s for s in shardings_of(leaves) if isinstance(s, NamedSharding) and isinstance(s.mesh, Mesh))
    sharding = next(placed, None)
    mesh = current_mesh() if sharding is None else sharding.mesh
    if isinstance(mesh, Mesh):
        devices, where = mesh.devices.reshape(-1), "the mesh of its arguments" if sharding else "the mesh in scope"
    else:
        there = _platforms.devices()
        devices, where = np.array(there[:count], object), "this process"
    if len(devices) != count:
        raise ValueError(
            f"The exported function {fun_name!r} was exported for {count} devices and is called with {len(devices)}, those of "
            f"{where}. Put its arguments on a mesh of {count} devices, or use addax.set_mesh."
        )
    return devices
