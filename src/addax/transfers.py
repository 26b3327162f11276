"""Putting arrays where they shall be: `device_put`, `device_get`, arrays made of parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import _native, numpy as jnp
from addax.core import dtypes, tree
from addax.core.avals import ShapedArray
from addax.core.mesh import AxisType, Mesh
from addax.core.sharding import NamedSharding, Sharding, as_sharding, is_local
from addax.core.trace import Tracer
from addax.core.tree_prefix import broadcast_prefix
from addax.engines.platforms import devices as _all_devices, is_native
from addax.ops.sharding import sharding_constraint
from addax.placement import move, sharding_of


def make_mesh(axis_shapes: Sequence[int], axis_names: Sequence[Any], axis_types=None, *, devices: Any = None) -> Mesh:
    """A mesh of the devices there are, of these sizes and names.

    Raises:
      ValueError: if there are fewer devices.

    >>> import addax
    >>> addax.make_mesh((1,), ("data",), axis_types=(addax.sharding.AxisType.Auto,))
    Mesh('data': 1, axis_types=(Auto,))
    """
    sizes, names = tuple(int(s) for s in axis_shapes), tuple(axis_names)
    if len(sizes) != len(names):
        raise ValueError(f"make_mesh: {len(sizes)} axis sizes {sizes}, but {len(names)} names {names}")
    all_devices = list(_all_devices() if devices is None else devices)
    count = int(np.prod(sizes, dtype=np.int64))
    if count > len(all_devices):
        raise ValueError(
            f"Number of devices {len(all_devices)} must be >= the product of mesh_shape {sizes}. To try programs for more "
            f"devices on one machine: addax.config.update('addax_num_cpu_devices', {count}), at the start."
        )
    types = (AxisType.Explicit,) * len(sizes) if axis_types is None else axis_types
    grid = np.empty(count, object)
    grid[:] = all_devices[:count]
    return Mesh(grid.reshape(sizes), names, types)


def device_put(x, device: Any = None, *, src=None, donate: bool = False, may_alias: bool | None = None):
    """The arrays of a pytree in a given place: NumPy arrays and scalars become arrays.

    Args:
      x: a pytree of arrays and numbers.
      device: a device, a `Sharding`, a `PartitionSpec` for the mesh in scope, or a pytree of these that is a prefix of
        ``x``. None leaves arrays where they are.
      donate: delete the arrays that were moved.

    Raises:
      IndivisibleError: if an array cannot be cut as the sharding says.

    >>> import addax, numpy as np
    >>> addax.device_put({"w": np.zeros(2, np.float32)})["w"].device
    CpuDevice(id=0)
    """
    leaves, treedef = tree.flatten(x)
    targets = broadcast_prefix(device, x, is_leaf=lambda d: d is None) if device is not None else [None] * len(leaves)
    outs = []
    for i, (leaf, target) in enumerate(zip(leaves, targets, strict=True)):
        try:
            out = _put(leaf, None if target is None else as_sharding(target, "device_put"))
        except ValueError as error:
            path = tree.keystr(tree.leaves_with_path(x)[i][0])
            if not path:
                raise
            raise type(error)(f"device_put of {path}: {error}") from None
        if donate and isinstance(leaf, _native.Array) and out is not leaf:
            leaf.delete()
        outs.append(out)
    return treedef.unflatten(outs)


def _put(x: Any, sharding: Sharding | None) -> Any:
    if isinstance(x, Tracer):
        return x if sharding is None else sharding_constraint.bind(x, sharding=sharding)
    if not isinstance(x, _native.Array):
        x = jnp.array(x)
    return x if sharding is None else move(x, sharding)


def device_get(x):
    """The arrays of a pytree as NumPy arrays; arrays of PRNG keys, which NumPy has no dtype for, as they are."""
    return tree.map(
        lambda a: np.asarray(a) if isinstance(a, _native.Array) and not dtypes.is_extended(a.dtype) else a, x
    )


def make_array_from_callback(shape, sharding: Sharding, data_callback: Callable[[Any], Any], *, dtype=None) -> Any:
    """An array of parts, each made where it is: ``data_callback(index)`` gives the part ``index`` of the whole.

    Args:
      shape: of the whole array.
      sharding: where the parts are; the function is called for those of this process only.
      data_callback: takes a tuple of slices, returns an array-like.
    """
    shape = tuple(int(n) for n in shape)
    if sharding.pending:
        raise ValueError(
            f"make_array_from_callback: an index does not tell which term of a sum over {set(sharding.pending)} is wanted; use "
            "make_array_from_single_device_arrays."
        )
    index = sharding.addressable_devices_indices_map(shape)
    known: dict[Any, Any] = {}
    parts = []
    for ix in index.values():
        key = tuple((s.start, s.stop) for s in ix)
        if key not in known:
            known[key] = _part(data_callback(ix), dtype)
        parts.append(known[key])
    return _assemble(shape, sharding, parts, list(index))


def make_array_from_single_device_arrays(shape, sharding: Sharding, arrays: Sequence[Any], *, dtype=None) -> Any:
    """An array of parts that are there already, one per device of this process."""
    shape = tuple(int(n) for n in shape)
    index = sharding.addressable_devices_indices_map(shape)
    by_device = {sharding_of(a).device_list[0]: a for a in arrays}
    missing = [d for d in index if d not in by_device]
    if missing or len(by_device) != len(index):
        raise ValueError(
            f"make_array_from_single_device_arrays: the sharding puts parts on {list(index)}, got arrays on {list(by_device)}"
        )
    return _assemble(shape, sharding, [_part(by_device[d]) for d in index], list(index))


def make_array_from_process_local_data(sharding: Sharding, local_data, global_shape=None) -> Any:
    """An array whose parts on this process's devices are, side by side, ``local_data``."""
    local = np.asarray(local_data)
    if sharding.is_fully_addressable:
        if global_shape is not None and tuple(global_shape) != local.shape:
            raise ValueError(
                f"this process holds the whole array: its shape is {local.shape}, global_shape {global_shape}"
            )
        return device_put(local, sharding)
    assert isinstance(sharding, NamedSharding)
    # Along each dimension the parts of this process are a range; it begins where its first part does.
    positions = sharding.positions(local.ndim)[[is_local(d) for d in sharding.device_list]]
    cuts = np.array(sharding.cuts(local.ndim))
    mine = [len(np.unique(positions[:, d])) for d in range(local.ndim)]
    shape = global_shape or tuple(int(n * c // m) for n, c, m in zip(local.shape, cuts, mine, strict=True))
    part = sharding.shard_shape(tuple(shape))
    first = positions.min(axis=0) * np.array(part)

    def piece(ix):
        return local[
            tuple(
                slice(None) if s.start is None else slice(s.start - o, s.stop - o)
                for s, o in zip(ix, first, strict=True)
            )
        ]

    return make_array_from_callback(shape, sharding, piece)


def _part(x: Any, dtype=None) -> Any:
    """A part as an ndarray; of PRNG keys, for which NumPy has no dtype, as it is."""
    return x if dtypes.is_extended(getattr(x, "dtype", None)) else np.asarray(x, dtype)


def _assemble(shape, sharding: Sharding, parts: list[Any], where: list[Any]) -> Any:
    part = sharding.shard_shape(shape)
    for value, d in zip(parts, where, strict=True):
        if value.shape != part or value.dtype != parts[0].dtype:
            raise ValueError(
                f"the part on {d} of an array of shape {shape} must have shape {part} and dtype {parts[0].dtype}; it has "
                f"{value.shape} and {value.dtype}"
            )
    keys = dtypes.is_extended(parts[0].dtype)
    aval = ShapedArray(shape, parts[0].dtype if keys else dtypes.canonicalize_dtype(parts[0].dtype))
    if is_native(where[0]):
        return device_put(parts[0], sharding)
    from addax.engines.xla.arrays import put_parts, wrap

    words = [p._value if keys else p.astype(aval.dtype, copy=False) for p in parts]
    return wrap(put_parts(words, aval, sharding, where), aval, sharding)
