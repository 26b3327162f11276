"""``shard_map``: ``sdy.manual_computation``, whose body is a region on local shapes.

While the body is written, ``module.manual`` says over which mesh its collectives communicate (lower_collective.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core.jaxpr import Eqn
from addax.core.mesh import Mesh
from addax.core.sharding import PartitionSpec
from addax.engines.xla.block import Block, Value
from addax.engines.xla.layouts import spec_text
from addax.engines.xla.module import Isolated, ManualMesh
from addax.engines.xla.program import has_order, inline_program, result_type, type_of
from addax.engines.xla.rules import rule


@rule("shard_map")
def _shard_map(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    p = eqn.params
    module = b.module
    target = module.target
    if target.num_partitions == 1:  # a mesh of one device
        return inline_program(b, eqn.primitive.expand(*[x.aval for x in eqn.invars], **p), args)  # type: ignore[misc]
    if has_order(eqn.effects):
        raise NotImplementedError(
            f"shard_map cannot contain ordered effects: the devices would have to wait for each other\n  in {eqn.source_info}"
        )
    mesh, names, outer = p["mesh"], p["newly_manual_axes"], module.manual
    manual = ManualMesh(
        target.mesh_name(mesh), mesh.shape_tuple, _numbers(mesh, target.meshes, target.devices),
        names if outer is None else names | outer.names,
    )  # fmt: skip
    body = p["jaxpr"]
    module.manual = manual
    try:
        function = Isolated(b.function)
        inner = Block(function)
        inner.loc = b.loc
        params = [function.fresh_like(type_of(v.aval)) for v in body.jaxpr.invars]
        with eqn.primitive.scope(p):  # type: ignore[misc]  # programs that are written out on the way name its axes
            text = inner.finish(inline_program(inner, body, params), "sdy.return")
        b.function.counter = function.counter
    finally:
        module.manual = outer
    # What the body captures comes in as further operands.
    params += function.captures.values()
    operands = [*args, *(b.function.capture_number(i) for i in function.captures)]
    free = bool(manual.free)
    in_specs = [*p["in_specs"], *(PartitionSpec() for _ in function.captures)]
    ins = [spec_text(manual.name, s, len(x.shape), free) for s, x in zip(in_specs, operands, strict=True)]
    results = [result_type(eqn, i) for i in range(len(eqn.outvars))]
    outs = [spec_text(manual.name, s, len(x.shape), free) for s, x in zip(p["out_specs"], results, strict=True)]
    return manual_computation(b, operands, params, ins, results, outs, [n for n in mesh.axis_names if n in names], text)


def manual_computation(b: Block, operands, params, ins, results, outs, axes, text: str) -> list[Value]:
    """``sdy.manual_computation``. Its region sees nothing of what is around it.

    Args:
      params: what the operands are in the region.
      ins, outs: shardings, as text.
      axes: the mesh axes that it makes manual.
      text: the region, which ends with ``sdy.return``.
    """
    names = ", ".join(x.name for x in operands)
    header = ", ".join(f"{x.name}: {x.type}" for x in params)
    types = f"({', '.join(x.type for x in operands)}) -> ({', '.join(x.type for x in results)})"
    quoted = ", ".join(f'"{n}"' for n in axes)
    return b.emit_many(
        f"sdy.manual_computation({names}) in_shardings=[{', '.join(ins)}] out_shardings=[{', '.join(outs)}] "
        f"manual_axes={{{quoted}}} ({header}) {{\n{text}\n}} : {types}",
        results,
    )


def _numbers(mesh: Any, meshes, devices) -> np.ndarray:
    """The number of the partition at each place of the mesh."""
    if not isinstance(mesh, Mesh):  # the arguments are over a mesh of these axes
        mesh = next((m for m in meshes if isinstance(m, Mesh) and m.shape_tuple == mesh.shape_tuple), mesh)
    if not isinstance(mesh, Mesh):  # nor are there any devices
        return np.arange(mesh.size).reshape(mesh.axis_sizes)
    order = {d: i for i, d in enumerate(devices)}
    return np.array([order[d] for d in mesh.devices.flat]).reshape(mesh.axis_sizes)


@rule("pvary")
def _pvary(b: Block, eqn: Eqn, x: Value) -> Value:
    return x
