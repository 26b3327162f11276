"""Where the parts of an array are: `PartitionSpec` says which mesh axes cut which dimensions, `NamedSharding` on which mesh.

Shardings are interned: the call path compares them by pointer, as it does avals.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core.mesh import AbstractMesh, Mesh, current_mesh


class DuplicateSpecError(ValueError):
    """A partition spec uses a mesh axis twice."""


class IndivisibleError(ValueError):
    """A dimension cannot be cut into as many equal parts as a sharding asks for."""


class ShardingTypeError(TypeError):
    """Values that are cut along explicit mesh axes in ways that do not go together."""


class _Unconstrained:
    """This dimension is laid out as the compiler likes. There is one, also after pickling."""

    def __repr__(self) -> str:
        return "UNCONSTRAINED"

    def __reduce__(self) -> str:
        return "PartitionSpec.UNCONSTRAINED"


class PartitionSpec:
    """For each dimension of an array the mesh axes that cut it: a name, a tuple of names, or None (not cut).

    Dimensions beyond the last entry are not cut. ``P(("x", "y"))`` cuts the first dimension over both axes, x outermost.

    Along the *explicit* axes named by ``unreduced`` the devices hold terms whose sum is the value: sums over devices can be
    put off until all terms are added up (``reshard(x, P())`` sums). ``reduced`` is accepted, and says what holds anyway for
    axes that cut nothing: the value is whole along them. (In JAX the gradient of a value that is marked so is unreduced;
    here it is summed.)

    >>> from addax.sharding import PartitionSpec as P
    >>> P("data", None, ("x", "y"))
    P('data', None, ('x', 'y'))
    """

    UNCONSTRAINED = _Unconstrained()
    __slots__ = ("_entries", "reduced", "unreduced")
    unreduced: frozenset
    reduced: frozenset

    def __init__(self, *entries, unreduced=frozenset(), reduced=frozenset()):
        self._entries = tuple(_entry(e) for e in entries)
        for name, axes in (("unreduced", unreduced), ("reduced", reduced)):
            if not isinstance(axes, (set, frozenset)):
                raise TypeError(
                    f"{name} argument of PartitionSpec should be of type `frozenset` or `set`. Got {axes!r}"
                )
        self.unreduced, self.reduced = frozenset(unreduced), frozenset(reduced)
        if unreduced or reduced:
            self._check_sets()

    def _check_sets(self) -> None:
        for name in ("unreduced", "reduced"):
            if both := getattr(self, name).intersection(self.axes()):
                raise ValueError(
                    f"{self!r}: mesh axes {sorted(both, key=str)} cut a dimension, and are {name}: partitions cannot overlap "
                    f"with {name} axes."
                )
        if both := self.unreduced & self.reduced:
            raise ValueError(f"{self!r}: `unreduced` and `reduced` axes cannot overlap, but {set(both)} are both.")

    def _with(self, entries) -> PartitionSpec:
        return PartitionSpec(*entries, unreduced=self.unreduced, reduced=self.reduced)

    @property
    def partitions(self) -> tuple:
        """The entries, as a tuple."""
        return self._entries

    def __iter__(self):
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, i):
        return self._entries[i]

    def __add__(self, other):
        return self._with((*self._entries, *other))

    def __radd__(self, other):
        return self._with((*other, *self._entries))

    def index(self, value) -> int:
        return self._entries.index(_entry(value))

    def count(self, value) -> int:
        return self._entries.count(_entry(value))

    def update(self, partitions=None, unreduced=None, reduced=None) -> PartitionSpec:
        """The spec with other entries."""
        return PartitionSpec(
            *(self._entries if partitions is None else partitions),
            unreduced=self.unreduced if unreduced is None else unreduced,
            reduced=self.reduced if reduced is None else reduced,
        )

    def _key(self):
        return self._entries, self.unreduced, self.reduced

    def __eq__(self, other) -> bool:
        return isinstance(other, PartitionSpec) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key()) if self.unreduced or self.reduced else hash(self._entries)

    def __repr__(self) -> str:
        parts = [repr(e) for e in self._entries]
        for name in ("unreduced", "reduced"):
            if axes := getattr(self, name):
                parts.append(f"{name}={{{', '.join(sorted(map(repr, axes)))}}}")
        return f"P({', '.join(parts)}{',' if len(parts) == len(self._entries) == 1 else ''})"

    def __reduce__(self):
        return _spec, self._key()

    def axes_of(self, dim: int) -> tuple[Any, ...]:
        """The mesh axes that cut dimension ``dim``, outermost first."""
        entry = self._entries[dim] if dim < len(self._entries) else None
        if entry is None or entry is PartitionSpec.UNCONSTRAINED:
            return ()
        return entry if isinstance(entry, tuple) else (entry,)

    def axes(self) -> list[Any]:
        """All mesh axes that cut some dimension."""
        return [a for d in range(len(self._entries)) for a in self.axes_of(d)]

    def trimmed(self) -> PartitionSpec:
        """Without trailing entries that say nothing."""
        n = len(self._entries)
        while n and self._entries[n - 1] is None:
            n -= 1
        return self._with(self._entries[:n])


def _entry(e) -> Any:
    if isinstance(e, (list, tuple)):
        e = tuple(e)
        return None if not e else e[0] if len(e) == 1 else e
    return e


def _spec(entries, unreduced, reduced) -> PartitionSpec:
    return PartitionSpec(*entries, unreduced=unreduced, reduced=reduced)


P = PartitionSpec


class Sharding:
    """How an array is spread over devices. What both kinds share; see `NamedSharding` and `SingleDeviceSharding`."""

    __slots__ = ("__weakref__", "_maps", "_runtime")

    memory_kind: str = "device"
    pending: frozenset = frozenset()
    """Mesh axes along which the devices hold terms of a sum, which is the value."""
    _runtime: Any  # the engine's own description, made when first used
    _maps: dict[Any, Any]

    @property
    def device_list(self) -> tuple[Any, ...]:
        """The devices, in the order in which programs number them."""
        raise NotImplementedError

    @property
    def device_set(self) -> set:
        return set(self.device_list)

    @property
    def num_devices(self) -> int:
        return len(self.device_list)

    @property
    def addressable_devices(self) -> set:
        """The devices of this process."""
        return {d for d in self.device_list if is_local(d)}

    @property
    def is_fully_addressable(self) -> bool:
        return all(is_local(d) for d in self.device_list)

    @property
    def has_addressable_devices(self) -> bool:
        return any(is_local(d) for d in self.device_list)

    @property
    def is_fully_replicated(self) -> bool:
        """Whether every device holds the whole array."""
        raise NotImplementedError

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the part that each device holds."""
        raise NotImplementedError

    def devices_indices_map(self, global_shape: Sequence[int]) -> dict:
        """For each device the part it holds, a slice per dimension."""
        shape = tuple(global_shape)
        found = self._maps.get(shape)
        if found is None:
            found = self._maps[shape] = self._indices(shape)
        return found

    def _indices(self, shape: tuple[int, ...]) -> dict:
        raise NotImplementedError

    def addressable_devices_indices_map(self, global_shape: Sequence[int]) -> dict:
        return {d: ix for d, ix in self.devices_indices_map(global_shape).items() if is_local(d)}

    def check_compatible_aval(self, aval_shape: Sequence[int]) -> None:
        """Raise if an array of this shape cannot be laid out so."""
        self.shard_shape(aval_shape)

    def is_equivalent_to(self, other: Sharding, ndim: int) -> bool:
        """Whether both put the same parts of an array of ``ndim`` dimensions on the same devices."""
        if self is other:
            return True
        if not isinstance(other, Sharding) or self.device_set != other.device_set:
            return False
        if self.pending != other.pending:
            return False
        return self.cuts(ndim) == other.cuts(ndim) and self._parts(ndim) == other._parts(ndim)

    def _parts(self, ndim: int) -> dict:
        return dict(zip(self.device_list, self.positions(ndim).tolist(), strict=True))

    def cuts(self, ndim: int) -> tuple[int, ...]:
        """Into how many parts each dimension is cut."""
        return (1,) * ndim

    def positions(self, ndim: int) -> np.ndarray:
        """For each device of `device_list` and each dimension, the number of the part it holds."""
        return np.zeros((self.num_devices, ndim), np.int64)

    def with_memory_kind(self, kind: str) -> Sharding:
        check_memory_kind(kind)
        return self


def is_local(device) -> bool:
    """Whether a device belongs to this process."""
    client = getattr(device, "client", None)
    return client is None or device.process_index == client.process_index()


def check_memory_kind(kind: str | None) -> None:
    if kind not in (None, Sharding.memory_kind):
        raise ValueError(f"memory kind {kind!r} is not supported: arrays live in {Sharding.memory_kind!r} memory")


class SingleDeviceSharding(Sharding):
    """The whole array on one device."""

    __slots__ = ("_device",)
    _interned: dict[Any, SingleDeviceSharding] = {}  # noqa: RUF012
    _device: Any

    def __new__(cls, device, *, memory_kind: str | None = None) -> SingleDeviceSharding:
        check_memory_kind(memory_kind)
        found = cls._interned.get(device)
        if found is None:
            found = super().__new__(cls)
            found._device, found._runtime, found._maps = device, None, {}
            found = cls._interned.setdefault(device, found)
        return found

    @property
    def device_list(self) -> tuple[Any, ...]:
        return (self._device,)

    is_fully_replicated = True  # type: ignore[assignment]

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(global_shape)

    def _indices(self, shape: tuple[int, ...]) -> dict:
        return {self._device: (slice(None),) * len(shape)}

    def __reduce__(self):
        return SingleDeviceSharding, (self._device,)

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self._device!r}, memory_kind={self.memory_kind})"


class NamedSharding(Sharding):
    """An array cut along the axes of a mesh.

    Args:
      mesh: a `Mesh` (or `AbstractMesh`, for tracing only).
      spec: a `PartitionSpec`.

    Raises:
      ValueError: if the spec names an axis that the mesh does not have.
      DuplicateSpecError: if it uses an axis twice.
    """

    __slots__ = ("mesh", "spec")
    _interned: dict[Any, NamedSharding] = {}  # noqa: RUF012
    mesh: Mesh
    spec: PartitionSpec

    def __new__(cls, mesh, spec, *, memory_kind: str | None = None, _logical_device_ids=None) -> NamedSharding:
        if not isinstance(spec, PartitionSpec):
            if spec is None or not isinstance(spec, tuple):
                raise TypeError(f"NamedSharding: spec must be a PartitionSpec, got {spec!r} of type {type(spec)}")
            spec = PartitionSpec(*spec)
        check_memory_kind(memory_kind)
        key = (mesh, spec)
        found = cls._interned.get(key)
        if found is None:
            check_spec(mesh, spec)
            found = super().__new__(cls)
            found.mesh, found.spec, found._runtime, found._maps = mesh, spec, None, {}
            found = cls._interned.setdefault(key, found)
        return found

    def __reduce__(self):
        return NamedSharding, (self.mesh, self.spec)

    @property
    def device_list(self) -> tuple[Any, ...]:
        return tuple(self.mesh.devices.flat)

    @property
    def is_fully_replicated(self) -> bool:
        sizes = self.mesh.shape
        return not self.pending and all(sizes[a] == 1 for a in self.spec.axes())

    @property
    def pending(self) -> frozenset:  # type: ignore[override]
        return self.spec.unreduced

    def is_first_term(self) -> dict:
        """For each device, whether it stands first along all axes over which the value is still to be summed."""
        grid = np.indices(self.mesh.axis_sizes).reshape(len(self.mesh.axis_names), -1)
        over = [i for i, a in enumerate(self.mesh.axis_names) if a in self.pending]
        return dict(zip(self.device_list, (grid[over] == 0).all(0).tolist(), strict=True))

    @property
    def replicated_axes(self) -> frozenset:
        """The mesh axes along which every device holds the same part."""
        return frozenset(self.mesh.axis_names) - set(self.spec.axes()) - self.pending

    def cuts(self, ndim: int) -> tuple[int, ...]:
        sizes = self.mesh.shape
        return tuple(math.prod(sizes[a] for a in self.spec.axes_of(d)) for d in range(ndim))

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        shape = tuple(global_shape)
        self.check_rank(len(shape))
        cuts = self.cuts(len(shape))
        for d, (n, k) in enumerate(zip(shape, cuts, strict=True)):
            if n % k:
                names = self.spec.axes_of(d)
                axes = ", ".join(f"{a!r} of size {self.mesh.shape[a]}" for a in names)
                raise IndivisibleError(
                    f"Sharding {self} implies that array axis {d} is partitioned {k} times, but the dimension size is "
                    f"{n} (full shape: {shape}, per-dimension tiling factors: {list(cuts)} should evenly divide the "
                    f"shape). Axis {d} is cut over mesh axis {axes}: pad it to {-(-n // k) * k}, name no mesh axis for "
                    "it in the spec, or use a mesh whose axis divides it."
                )
        return tuple(n // k for n, k in zip(shape, cuts, strict=True))

    def check_rank(self, ndim: int) -> None:
        if len(self.spec) > ndim:
            raise ValueError(
                f"Sharding {self} is only valid for values of rank at least {len(self.spec)}, but was applied to a "
                f"value of rank {ndim}."
            )

    def positions(self, ndim: int) -> np.ndarray:
        sizes = self.mesh.axis_sizes
        grid = np.indices(sizes).reshape(len(sizes), -1)
        of = dict(zip(self.mesh.axis_names, grid, strict=True))
        out = np.zeros((grid.shape[1] if len(sizes) else 1, ndim), np.int64)
        for d in range(ndim):
            for a in self.spec.axes_of(d):
                out[:, d] = out[:, d] * self.mesh.shape[a] + of[a]
        return out

    def _indices(self, shape: tuple[int, ...]) -> dict:
        part, cuts = self.shard_shape(shape), self.cuts(len(shape))
        result = {}
        for device, position in zip(self.device_list, self.positions(len(shape)).tolist(), strict=True):
            result[device] = tuple(
                slice(None) if k == 1 else slice(p * n, (p + 1) * n)
                for p, n, k in zip(position, part, cuts, strict=True)
            )
        return result

    def update(self, *, mesh=None, spec=None, memory_kind: str | None = None) -> NamedSharding:
        """The sharding with another mesh or spec."""
        return NamedSharding(mesh or self.mesh, self.spec if spec is None else spec, memory_kind=memory_kind)

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self.mesh!r}, spec={self.spec!r}, memory_kind={self.memory_kind})"


def check_spec(mesh: Mesh | AbstractMesh, spec: PartitionSpec) -> None:
    """Raise unless the mesh has the axes that the spec names, each of them once."""
    names = spec.axes()
    for a in names:
        if a not in mesh.axis_names:
            raise ValueError(f"Resource axis: {a} of {spec!r} is not found in mesh: {mesh.axis_names}.")
    for kind in ("unreduced", "reduced"):
        for a in getattr(spec, kind):
            if a not in mesh.axis_names:
                raise ValueError(
                    f"{kind.capitalize()} axes {a} is not found in mesh.axis_names={mesh.axis_names}. Got pspec={spec!r}"
                )
            if a not in mesh.explicit_axes:
                raise ValueError(
                    f"{kind.capitalize()} axes can only refer to mesh axes that are of type `Explicit`. Got {kind} axes "
                    f"{set(spec.unreduced or spec.reduced)} and mesh {mesh!r}"
                )
    for a, count in collections.Counter(names).items():
        if count > 1:
            raise DuplicateSpecError(
                "A single NamedSharding spec specification can map every mesh axis to at most one positional "
                f"dimension, but {spec!r} has duplicate entries for `{a}`"
            )


def is_nowhere(x) -> bool:
    """Whether a sharding says nothing, because its mesh has no axes: that of a type outside all meshes."""
    return isinstance(x, NamedSharding) and not x.mesh.axis_names


def nowhere(ndim: int) -> NamedSharding:
    """The sharding that says nothing about an array of so many dimensions."""
    return NamedSharding(AbstractMesh((), ()), PartitionSpec(*[None] * ndim))


def as_sharding(x, what: str) -> Sharding:
    """A sharding from what users write: a sharding, a device, or a spec for the mesh in scope.

    Raises:
      RuntimeError: for a spec where no mesh is in scope.
    """
    if isinstance(x, Sharding):
        return x
    if isinstance(x, PartitionSpec):
        mesh = current_mesh()
        if mesh is None:
            raise RuntimeError(
                f"{what} requires a non-empty mesh in context if you are passing `PartitionSpec`s to shardings, got "
                f"{x!r}. Define one with addax.set_mesh(mesh), or pass NamedSharding(mesh, spec)."
            )
        return NamedSharding(mesh, x)
    if hasattr(x, "platform") and hasattr(x, "id"):
        return SingleDeviceSharding(x)
    raise TypeError(f"{what}: expected a Sharding, a PartitionSpec or a device, got {x!r} of type {type(x).__name__}")
