"""Collectives over the named axes of a mesh: inside `shard_map`, whose body sees one device's part of each array.

A collective over some of the axes works in groups of the partitions that differ along these only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.jaxpr import Eqn
from addax.engines.xla.block import Block, Value, is_complex
from addax.engines.xla.lower_elementwise import extreme
from addax.engines.xla.lower_reduce import reduce_by
from addax.engines.xla.lower_shard_map import manual_computation
from addax.engines.xla.module import Isolated, ManualMesh
from addax.engines.xla.program import result_type
from addax.engines.xla.rules import rule
from addax.engines.xla.types import INT32, UINT32


def _names(axes: Any) -> tuple:
    return tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)


def _mesh(b: Block, names: Sequence[Any]) -> ManualMesh:
    """The mesh of the enclosing `shard_map`.

    Raises:
      NameError: if one of ``names`` is not an axis of it.
    """
    manual = b.module.manual
    bound = frozenset() if manual is None else manual.names
    for name in names:
        if name not in bound:
            raise NameError(
                f"unbound axis name: {name}. The program is compiled for the mesh axes {tuple(bound)}; collectives over a "
                "vmapped axis belong inside the vmap."
            )
    assert manual is not None
    return manual


def replica_groups(b: Block, axes: Any, index_groups: Sequence[Sequence[int]] | None = None) -> np.ndarray:
    """``[groups, members]``: partition numbers, members in the row-major order of the axes as named."""
    names = _names(axes)
    mesh = _mesh(b, names)
    order = [name for name, _ in mesh.axes]
    mine = [order.index(name) for name in names]
    rest = [d for d in range(len(order)) if d not in mine]
    groups = mesh.numbers.transpose([*rest, *mine]).reshape(-1, math.prod(mesh.axes[d][1] for d in mine))
    if index_groups is not None:
        groups = np.concatenate([groups[:, list(g)] for g in index_groups])
    return groups


def _matrix(pairs: np.ndarray) -> str:
    rows = ", ".join(f"[{', '.join(map(str, row))}]" for row in pairs.tolist())
    text = f"[{rows}]" if rows else ""
    return f"dense<{text}> : tensor<{pairs.shape[0]}x{pairs.shape[1]}xi64>"


def _channel(b: Block) -> str:
    return f"channel_handle = #stablehlo.channel_handle<handle = {b.module.next_channel()}, type = 1>"


def _group_attributes(b: Block, groups: np.ndarray) -> str:
    return f"{_channel(b)}, replica_groups = {_matrix(groups)}"


def _combiner(b: Block, name: str, dtype: np.dtype) -> str:
    scalar = b.like((), dtype)

    def combine(c: Block, v: list[Value]) -> list[Value]:
        return [extreme(c, name, *v) if name != "add" else c.binary("add", *v)]

    return b.region([scalar, scalar], combine, isolated=True)


_REDUCTIONS = {"psum": "add", "pmax": "maximum", "pmin": "minimum"}


@rule(*_REDUCTIONS)
def _all_reduce(b: Block, eqn: Eqn, *args: Value) -> list[Value]:
    name = _REDUCTIONS[eqn.primitive.name]
    groups = replica_groups(b, eqn.params["axes"], eqn.params["axis_index_groups"])
    outs = []
    for x in args:
        attrs = f"{_group_attributes(b, groups)}, use_global_device_ids"
        if is_complex(x) and name != "add":  # which no platform's collectives can order
            every = b.like((groups.shape[1], *x.shape), x.dtype)
            whole = b.generic(
                "stablehlo.all_gather",
                [_with_unit_dimension(b, x, 0)],
                [every],
                attrs=f"all_gather_dim = 0 : i64, {attrs}",
            )[0]
            outs.append(reduce_by(b, name, whole, [0]))
            continue
        outs += b.generic("stablehlo.all_reduce", [x], [x], _combiner(b, name, x.dtype), attrs)
    return outs


@rule("axis_index")
def _axis_index(b: Block, eqn: Eqn) -> Value:
    names = _names(eqn.params["axis_name"])
    mesh = _mesh(b, names)
    if not mesh.free:
        return _position(b, mesh, names)
    # The number of the partition is known only where all axes are manual.
    region = Isolated(b.function)
    inner = Block(region)
    inner.loc = b.loc
    text = inner.finish([_position(inner, mesh, names)], "sdy.return")
    b.function.counter = region.counter
    (out,) = manual_computation(b, [], [], [], [b.like((), INT32)], [f"<@{mesh.name}, []>"], mesh.free, text)
    return out


def _position(b: Block, mesh: ManualMesh, names: Sequence[Any]) -> Value:
    """The position of this device along some axes, row-major."""
    order, sizes = [name for name, _ in mesh.axes], [size for _, size in mesh.axes]
    numbers = mesh.numbers.reshape(-1)
    partition = b.emit("stablehlo.partition_id : tensor<ui32>", (), UINT32)
    if not np.array_equal(numbers, np.arange(numbers.size)):
        place = np.argsort(numbers).astype(np.uint32)
        found = b.dynamic_slice(b.constant(place), [partition], (1,))
        partition = b.reshape(found, ())
    total: Value | None = None
    for name in names:
        at = order.index(name)
        index = b.binary("divide", partition, b.scalar(math.prod(sizes[at + 1 :]), UINT32))
        index = b.binary("remainder", index, b.scalar(sizes[at], UINT32))
        if total is not None:
            index = b.binary("add", b.binary("multiply", total, b.scalar(sizes[at], UINT32)), index)
        total = index
    assert total is not None
    return b.convert(total, INT32)


def _with_unit_dimension(b: Block, x: Value, d: int) -> Value:
    return b.reshape(x, (*x.shape[:d], 1, *x.shape[d:]))


@rule("all_gather", "all_gather_invariant")
def _all_gather(b: Block, eqn: Eqn, x: Value) -> Value:
    d = eqn.params["all_gather_dimension"]
    if not eqn.params["tiled"]:
        x = _with_unit_dimension(b, x, d)
    groups = replica_groups(b, eqn.params["axis_name"], eqn.params.get("axis_index_groups"))
    attrs = f"all_gather_dim = {d} : i64, {_group_attributes(b, groups)}, use_global_device_ids"
    return b.generic("stablehlo.all_gather", [x], [result_type(eqn)], attrs=attrs)[0]


@rule("reduce_scatter")
def _reduce_scatter(b: Block, eqn: Eqn, x: Value) -> Value:
    d = eqn.params["scatter_dimension"]
    groups = replica_groups(b, eqn.params["axis_name"], eqn.params.get("axis_index_groups"))
    shape = (*x.shape[:d], x.shape[d] // groups.shape[1], *x.shape[d + 1 :])
    attrs = f"{_group_attributes(b, groups)}, scatter_dimension = {d} : i64, use_global_device_ids"
    part = b.like(shape, x.dtype)
    (out,) = b.generic("stablehlo.reduce_scatter", [x], [part], _combiner(b, "add", x.dtype), attrs)
    return b.reshape(out, result_type(eqn).shape)


@rule("all_to_all")
def _all_to_all(b: Block, eqn: Eqn, x: Value) -> Value:
    p = eqn.params
    split, concat = p["split_axis"], p["concat_axis"]
    groups = replica_groups(b, p["axis_name"], p.get("axis_index_groups"))
    n = groups.shape[1]
    target = concat if p["tiled"] else split  # untiled: the split dimension becomes the one of the sources, and moves
    shape = list(x.shape)
    shape[split] //= n
    shape[target] *= n
    attrs = (
        f"{_channel(b)}, concat_dimension = {target} : i64, replica_groups = {_matrix(groups)}, split_count = {n} : i64, "
        f"split_dimension = {split} : i64"
    )
    (out,) = b.generic("stablehlo.all_to_all", [x], [b.like(tuple(shape), x.dtype)], attrs=attrs)
    if p["tiled"]:
        return out
    order = [d for d in range(len(shape)) if d != split]
    order.insert(concat, split)
    return b.transpose(out, order)


@rule("ppermute")
def _ppermute(b: Block, eqn: Eqn, x: Value) -> Value:
    groups = replica_groups(b, eqn.params["axis_name"])
    pairs = [[row[s], row[t]] for row in groups.tolist() for s, t in eqn.params["perm"]]
    attrs = f"{_channel(b)}, source_target_pairs = {_matrix(np.array(pairs, np.int64).reshape(-1, 2))}"
    if not pairs:
        return b.full(0, x.shape, x.dtype)
    return b.generic("stablehlo.collective_permute", [x], [x], attrs=attrs)[0]
