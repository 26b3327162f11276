"""Meshes: devices in a grid whose axes have names, ``Mesh(devices, ("data", "model"))``.

Programs never name devices; they name mesh axes. `Mesh` has the devices, `AbstractMesh` only sizes and names, which is
all that tracing needs. `set_mesh` makes a mesh the one that bare `PartitionSpec`s refer to.
"""

from __future__ import annotations

import collections
import enum
import math
import threading
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from addax.core.context import current_context, declare
from addax.core.options import TRACE, Option


class AxisType(enum.Enum):
    """What decides how values are laid out along a mesh axis.

    ``Auto``: the compiler propagates shardings. ``Explicit``: shardings are part of types. ``Manual``: the program sees
    its own shard only, as inside `shard_map`.
    """

    Auto = enum.auto()
    Explicit = enum.auto()
    Manual = enum.auto()

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


class _AxesOf:
    """What `Mesh` and `AbstractMesh` share: named axes with sizes and types."""

    axis_names: tuple[Any, ...]
    axis_sizes: tuple[int, ...]
    axis_types: tuple[AxisType, ...]

    @property
    def shape(self) -> collections.OrderedDict:
        """Name -> size, in the order of the axes."""
        return collections.OrderedDict(zip(self.axis_names, self.axis_sizes, strict=True))

    @property
    def shape_tuple(self) -> tuple[tuple[Any, int], ...]:
        return tuple(zip(self.axis_names, self.axis_sizes, strict=True))

    @property
    def size(self) -> int:
        """How many devices."""
        return math.prod(self.axis_sizes) if self.axis_names else 0

    @property
    def empty(self) -> bool:
        return not self.axis_names

    def _of_type(self, kind: AxisType) -> tuple[Any, ...]:
        return tuple(n for n, t in zip(self.axis_names, self.axis_types, strict=True) if t is kind)

    auto_axes = property(lambda self: self._of_type(AxisType.Auto))
    explicit_axes = property(lambda self: self._of_type(AxisType.Explicit))
    manual_axes = property(lambda self: self._of_type(AxisType.Manual))
    are_all_axes_auto = property(lambda self: all(t is AxisType.Auto for t in self.axis_types))
    are_all_axes_explicit = property(lambda self: all(t is AxisType.Explicit for t in self.axis_types))
    are_all_axes_manual = property(lambda self: all(t is AxisType.Manual for t in self.axis_types))

    def _describe(self) -> str:
        axes = ", ".join(f"{n!r}: {s}" for n, s in self.shape_tuple)
        return f"{axes}, axis_types={self.axis_types}" if axes else ""


def _types(axis_types, count: int, default: AxisType) -> tuple[AxisType, ...]:
    types = (default,) * count if axis_types is None else tuple(axis_types)
    for t in types:
        if not isinstance(t, AxisType):
            raise TypeError(f"axis_types must be a tuple of AxisType, one per axis, got {axis_types!r}")
    if len(types) != count:
        raise ValueError(f"axis_types must have one entry per axis: there are {count} axes, got {types}")
    return types


def _names(axis_names) -> tuple[Any, ...]:
    names = (axis_names,) if isinstance(axis_names, str) or not isinstance(axis_names, Sequence) else tuple(axis_names)
    if any(n is None for n in names):
        raise ValueError(f"Mesh axis names cannot be None. Got: {names}")
    repeated = [n for n, c in collections.Counter(names).items() if c > 1]
    if repeated:
        raise ValueError(f"Mesh requires all axis names to be unique, but {repeated[0]!r} occurs twice in {names}.")
    return names


class AbstractMesh(_AxesOf):
    """A mesh without devices: what a program traced for "some mesh of these axes" needs.

    >>> from addax.sharding import AbstractMesh
    >>> AbstractMesh((4, 2), ("data", "model")).shape["model"]
    2
    """

    def __init__(self, axis_sizes: Sequence[int], axis_names: Sequence[Hashable], axis_types=None):
        self.axis_names = _names(axis_names)
        self.axis_sizes = tuple(int(s) for s in axis_sizes)
        if len(self.axis_names) != len(self.axis_sizes):
            raise ValueError(
                f"AbstractMesh: {len(self.axis_sizes)} sizes {self.axis_sizes} but {len(self.axis_names)} names "
                f"{self.axis_names}"
            )
        self.axis_types = _types(axis_types, len(self.axis_names), AxisType.Auto)

    abstract_mesh = property(lambda self: self)

    @property
    def devices(self):
        raise ValueError("AbstractMesh has no devices: use a Mesh where arrays are placed.")

    def update(self, axis_sizes=None, axis_names=None, axis_types=None) -> AbstractMesh:
        """The mesh with some of these replaced."""
        return AbstractMesh(axis_sizes or self.axis_sizes, axis_names or self.axis_names, axis_types or self.axis_types)

    def with_manual(self, names) -> AbstractMesh:
        """The mesh as the body of a `shard_map` over the axes ``names`` sees it."""
        types = [AxisType.Manual if n in names else t for n, t in zip(self.axis_names, self.axis_types, strict=True)]
        return AbstractMesh(self.axis_sizes, self.axis_names, types)

    def _key(self):
        return self.axis_sizes, self.axis_names, self.axis_types

    def __eq__(self, other) -> bool:
        return isinstance(other, AbstractMesh) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"AbstractMesh({self._describe()})"


class Mesh(_AxesOf):
    """Devices in a grid with named axes. Equal meshes are the same object.

    Args:
      devices: an array of devices (or nested sequences of them), one dimension per axis.
      axis_names: a name per dimension.
      axis_types: an `AxisType` per dimension; ``Auto`` by default.

    Raises:
      ValueError: if names and dimensions do not match, or a device occurs twice.
    """

    _interned: dict[Any, Mesh] = {}  # noqa: RUF012
    devices: np.ndarray

    def __new__(cls, devices, axis_names, axis_types=None) -> Mesh:
        names = _names(axis_names)
        grid = np.empty(np.shape(devices), object)
        grid[...] = devices
        if grid.ndim != len(names):
            raise ValueError(
                "Mesh requires the ndim of its first argument (`devices`) to equal the length of its second argument "
                f"(`axis_names`), but got devices.ndim == {grid.ndim} and len(axis_names) == {len(names)}."
            )
        flat = tuple(grid.flat)
        if len(set(flat)) != len(flat):
            raise ValueError("Mesh requires that each device occurs once in `devices`.")
        types = _types(axis_types, len(names), AxisType.Auto)
        key = (flat, grid.shape, names, types)
        mesh = cls._interned.get(key)
        if mesh is None:
            mesh = super().__new__(cls)
            grid.flags.writeable = False
            mesh.devices, mesh.axis_names, mesh.axis_sizes, mesh.axis_types = grid, names, grid.shape, types
            mesh = cls._interned.setdefault(key, mesh)
        return mesh

    def __reduce__(self):
        return Mesh, (self.devices, self.axis_names, self.axis_types)

    @property
    def abstract_mesh(self) -> AbstractMesh:
        return AbstractMesh(self.axis_sizes, self.axis_names, self.axis_types)

    @property
    def device_ids(self) -> np.ndarray:
        return np.array([d.id for d in self.devices.flat], np.int64).reshape(self.devices.shape)

    @property
    def local_devices(self) -> list:
        """The devices of this process."""
        flat = list(self.devices.flat)
        here = flat[0].client.process_index() if flat and hasattr(flat[0], "client") else 0
        return [d for d in flat if d.process_index == here]

    @property
    def local_mesh(self) -> Mesh:
        """The part of the mesh whose devices are this process's.

        Raises:
          ValueError: if they are not a box of it.
        """
        here = self.local_devices
        places = [np.unique(at) for at in np.nonzero(np.isin(self.device_ids, [d.id for d in here]))]
        grid = self.devices[np.ix_(*places)]
        if grid.size != len(here):
            raise ValueError(f"local_mesh: the devices of this process, {here}, are not a box of {self!r}")
        return Mesh(grid, self.axis_names, self.axis_types)

    @property
    def is_multi_process(self) -> bool:
        return len({d.process_index for d in self.devices.flat}) > 1

    def update(self, devices=None, axis_names=None, axis_types=None) -> Mesh:
        """The mesh with some of these replaced."""
        devices = self.devices if devices is None else devices
        return Mesh(devices, axis_names or self.axis_names, axis_types or self.axis_types)

    def __enter__(self) -> Mesh:
        setting = _mesh_in_scope(self)
        setting.__enter__()
        _entered.settings.append(setting)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _entered.settings.pop().__exit__(*exc_info)

    def __repr__(self) -> str:
        return f"Mesh({self._describe()})"


# ---------------------------------------------------------------------------------------------------------------------
# The mesh in scope. It decides what a bare PartitionSpec means, so it is part of what a trace depends on.


def _a_mesh(value: Any) -> Any:
    if value is None or isinstance(value, (Mesh, AbstractMesh)):
        return value
    raise ValueError(f"expected a mesh, got {value!r}")


_mesh_in_scope = declare(
    Option(
        "mesh_in_scope", None, "The mesh that bare PartitionSpecs refer to.", TRACE, "a mesh", _a_mesh, str, env=False
    )
)
EMPTY = AbstractMesh((), ())


class _Entered(threading.local):
    """The ``with mesh:`` blocks that this thread is in. A mesh is one object for all threads and cannot know them."""

    def __init__(self):
        self.settings: list[Any] = []


_entered = _Entered()


def current_mesh() -> Mesh | AbstractMesh | None:
    """The mesh in scope, if there is one."""
    return current_context().mesh_in_scope


class set_mesh:
    """Make ``mesh`` the one that bare `PartitionSpec`s refer to: for a ``with`` block, or in this thread from now on.

    >>> import addax
    >>> from addax.sharding import Mesh, get_mesh
    >>> mesh = Mesh(addax.devices(), ("data",))
    >>> with addax.set_mesh(mesh):
    ...     get_mesh() is mesh
    True
    """

    def __init__(self, mesh: Mesh):
        if not isinstance(mesh, Mesh):
            raise TypeError(f"set_mesh needs a Mesh, got {mesh!r}; an AbstractMesh is for use_abstract_mesh.")
        self.mesh, self._setting = mesh, _mesh_in_scope(mesh)
        self._setting.__enter__()

    def __enter__(self) -> Mesh:
        return self.mesh

    def __exit__(self, *exc_info: object) -> None:
        self._setting.__exit__(*exc_info)


def use_abstract_mesh(mesh: AbstractMesh):
    """Trace for a mesh whose devices are not known yet, in a ``with`` block."""
    return _mesh_in_scope(mesh.abstract_mesh)


def mesh_of(*axes: tuple[Any, int], axis_types: Sequence[AxisType] = ()) -> Mesh | AbstractMesh:
    """The mesh that is written ``Mesh('x': 4, axis_types=(Auto,))``. Which devices it has is not in the text: those of the
    mesh in scope, or of the only mesh there is with these axes; else it is an abstract one.
    """
    names, sizes, types = tuple(n for n, _ in axes), tuple(s for _, s in axes), tuple(axis_types)
    wanted = AbstractMesh(sizes, names, types)
    scope = current_mesh()
    # As a list at once: another thread may make a mesh meanwhile.
    meshes = [scope] if isinstance(scope, Mesh) else list(Mesh._interned.values())
    known = [m for m in meshes if m.abstract_mesh == wanted]
    return known[0] if len(known) == 1 else wanted


def get_mesh() -> Mesh:
    """The mesh set by `set_mesh`.

    Raises:
      RuntimeError: if there is none with devices.
    """
    mesh = current_mesh()
    if not isinstance(mesh, Mesh):
        raise RuntimeError("there is no mesh in scope: set one with addax.set_mesh(mesh)")
    return mesh


def get_abstract_mesh() -> AbstractMesh:
    """The axes of the mesh in scope; an empty mesh if there is none."""
    mesh = current_mesh()
    return EMPTY if mesh is None else mesh.abstract_mesh
