"""Arrays of devices in the shape of a mesh."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from addax.engines.platforms import devices as all_devices


def create_device_mesh(
    mesh_shape: Sequence[int],
    devices=None,
    *,
    contiguous_submeshes: bool = False,
    allow_split_physical_axes: bool = False,
) -> np.ndarray:
    """The devices as an array of shape ``mesh_shape``, in the order in which the platform numbers them.

    Raises:
      ValueError: if the shape does not hold exactly the devices there are.

    >>> from addax.experimental import mesh_utils
    >>> mesh_utils.create_device_mesh((1, 1)).shape
    (1, 1)
    """
    found = list(all_devices() if devices is None else devices)
    count = math.prod(mesh_shape)
    if count != len(found):
        raise ValueError(
            f"Number of devices {len(found)} must equal the product of mesh_shape {tuple(mesh_shape)}. To try a program "
            f"for more devices on one machine: addax.config.update('addax_num_cpu_devices', {count}), at the start."
        )
    grid = np.empty(count, object)
    grid[:] = found
    return grid.reshape(tuple(mesh_shape))


def create_hybrid_device_mesh(
    mesh_shape: Sequence[int], dcn_mesh_shape: Sequence[int], devices=None, *, process_is_granule: bool = False,
    should_sort_granules_by_key: bool = True, allow_split_physical_axes: bool = False,
) -> np.ndarray:  # fmt: skip
    """A mesh within processes times a mesh of processes: axis i has ``mesh_shape[i] * dcn_mesh_shape[i]`` devices, those
    of one process side by side.

    Raises:
      ValueError: if the processes, or the devices of each, are not as many as the shapes say.
    """
    found = list(all_devices() if devices is None else devices)
    groups: dict[int, list] = {}
    for d in found:
        groups.setdefault(d.process_index, []).append(d)
    if len(groups) != math.prod(dcn_mesh_shape):
        raise ValueError(
            f"there are {len(groups)} processes, dcn_mesh_shape {tuple(dcn_mesh_shape)} holds another number"
        )
    inner = [create_device_mesh(mesh_shape, group) for _, group in sorted(groups.items())]
    outer = np.empty(len(inner), object)
    outer[:] = inner
    return np.block(outer.reshape(tuple(dcn_mesh_shape)).tolist())
