"""Named axes in scope: what ``psum(x, "batch")`` may refer to.

`vmap` binds a name for a dimension it adds; `shard_map` binds the axes of a mesh, which it makes *manual*: the program
sees one device's part of each array. What is in scope is part of what a trace depends on (`scope_key`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

_scope = threading.local()


class ManualAxes(NamedTuple):
    """The mesh axes that enclosing `shard_map`s have made manual.

    Attributes:
      mesh: the mesh.
      names: its manual axes.
      tracked: those of them for which types say whether a value varies along them (``check_vma=True``).
    """

    mesh: Any
    names: frozenset
    tracked: frozenset


class _Tracking:
    """Whether this process has ever tracked varying axes: until then, nothing is spent on them."""

    on = False


tracking = _Tracking()


def axis_sizes() -> dict:
    """Name -> size of the named axes in scope, outermost first."""
    return getattr(_scope, "sizes", {})


def manual_axes() -> ManualAxes | None:
    """The manual mesh axes in scope."""
    return getattr(_scope, "manual", None)


def tracked_axes() -> frozenset:
    """The manual axes in scope along which types say whether a value varies."""
    manual = manual_axes()
    return manual.tracked if manual is not None else frozenset()


def scope_key() -> Any:
    """What is in scope, as part of a key."""
    sizes = axis_sizes()
    return (tuple(sizes.items()), manual_axes()) if sizes else None


@contextlib.contextmanager
def extend_axis_env(name: Any, size: int) -> Iterator[None]:
    if name is None:
        yield
        return
    previous = axis_sizes()
    _scope.sizes = {**previous, name: size}
    try:
        yield
    finally:
        _scope.sizes = previous


@contextlib.contextmanager
def manual_scope(mesh: Any, names: frozenset, tracked: bool) -> Iterator[None]:
    """The inside of a `shard_map` over the axes ``names`` of a mesh."""
    sizes, outer = axis_sizes(), manual_axes()
    _scope.sizes = {**sizes, **{n: mesh.shape[n] for n in mesh.axis_names if n in names}}
    all_names, all_tracked = (outer.names, outer.tracked) if outer is not None else (frozenset(), frozenset())
    _scope.manual = ManualAxes(mesh, all_names | names, all_tracked | names if tracked else all_tracked)
    tracking.on = tracking.on or tracked
    try:
        yield
    finally:
        _scope.sizes, _scope.manual = sizes, outer


class UnboundAxisError(NameError):
    """A collective names an axis that nothing around it binds: ``name``."""


def axis_size_of(name) -> int:
    """The size of a named axis.

    Raises:
      NameError: if no enclosing transformation binds the name.
    """
    sizes = axis_sizes()
    if name not in sizes:
        known = f"The axes in scope are {', '.join(map(repr, sizes))}." if sizes else "No named axis is in scope."
        raise UnboundAxisError(
            f"Found an unbound axis name: {name}. {known} To fix this, call the function under vmap(..., "
            f"axis_name={name!r}), pmap or shard_map.",
            name=name,
        )
    return sizes[name]
