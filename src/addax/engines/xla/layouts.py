"""Meshes and shardings as ``sdy`` text, and what a module over several devices is compiled for. Needs no jaxlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from addax.core.mesh import Mesh
from addax.core.sharding import NamedSharding, PartitionSpec, Sharding
from addax.engines.xla.module import Target


class ShardedTarget(Target):
    """What a module over several devices is compiled for: also the meshes that it names.

    Args:
      devices: in the order of the partitions.
      meshes: those that the program names; none if it runs on one device.
      inputs, outputs: where arguments and results are (None: anywhere), and their numbers of dimensions.
    """

    __slots__ = ()

    def __init__(
        self,
        platform: str,
        devices: Sequence[Any],
        meshes: Sequence[Any],
        inputs: Sequence[tuple[Sharding | None, int]],
        outputs: Sequence[tuple[Sharding | None, int]],
    ):
        texts = {m: mesh_text(m, devices) for m in meshes}  # the same for meshes that differ in the types of axes
        names = {text: f"mesh{i or ''}" for i, text in enumerate(dict.fromkeys(texts.values()))}
        lines = [
            *(f"sdy.mesh @{n} = {text}" for text, n in names.items()),
            "sdy.mesh @first_device = <[], device_ids=[0]>",
        ]
        super().__init__(
            platform, len(devices), "\n".join(lines),
            lambda i: self._attribute(*inputs[i]) if meshes else None,
            lambda i: self._attribute(*outputs[i]) if meshes else None,
        )  # fmt: skip
        self.devices, self.meshes = tuple(devices), {m: names[text] for m, text in texts.items()}

    def captured_attribute(self, ndim: int) -> str | None:
        mesh = next((m for m in self.meshes if isinstance(m, Mesh)), None)
        return None if mesh is None else self._attribute(NamedSharding(mesh, PartitionSpec()), ndim)

    def _attribute(self, sharding: Sharding | None, ndim: int) -> str | None:
        if not isinstance(sharding, NamedSharding):
            return None
        return f"sdy.sharding = #sdy.sharding{spec_text(self.meshes[sharding.mesh], sharding.spec, ndim)}"


def mesh_text(mesh: Any, devices: Sequence[Any]) -> str:
    """A mesh in a module whose partitions run on ``devices``: ``<["x"=4, "y"=2]>``."""
    axes = ", ".join(f'"{n}"={s}' for n, s in mesh.shape_tuple)
    ids = ""
    if isinstance(mesh, Mesh):
        order = {d: i for i, d in enumerate(devices)}
        positions = [order[d] for d in mesh.devices.flat]
        if positions != list(range(len(positions))):
            ids = f", device_ids=[{', '.join(map(str, positions))}]"
    return f"<[{axes}]{ids}>"


def spec_text(mesh_name: str, spec: PartitionSpec, ndim: int, free: bool = False) -> str:
    """``<@mesh, [{"x"}, {}]>``. Dimensions that are unconstrained may be cut (further) as the partitioner likes; all
    may, if ``free``.
    """
    dims = []
    for d in range(ndim):
        names = [f'"{a}"' for a in spec.axes_of(d)]
        # What is unreduced is left no freedom: the partitioner (jaxlib 0.10.2) loses track of it.
        if free or (d < len(spec) and spec[d] is PartitionSpec.UNCONSTRAINED and not spec.unreduced):
            names.append("?")
        dims.append("{" + ", ".join(names) + "}")
    terms = ", ".join(sorted(f'"{a}"' for a in spec.unreduced))
    return f"<@{mesh_name}, [{', '.join(dims)}]{f', unreduced={{{terms}}}' if terms else ''}>"
