"""Where values are, said inside a program: `with_sharding_constraint`, `reshard`; and who decides it, `auto_axes`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from addax import _native
from addax.core import tree
from addax.core.avals import get_aval
from addax.core.mesh import AxisType, get_mesh, set_mesh
from addax.core.sharding import NamedSharding, PartitionSpec, as_sharding
from addax.core.trace import Tracer, base_trace, current_trace
from addax.core.tree_prefix import broadcast_prefix
from addax.ops.sharding import sharding_constraint
from addax.placement import move
from addax.transforms.jit import jit


def with_sharding_constraint(x, shardings):
    """The same values, laid out as ``shardings`` says; inside a program, an order to the partitioner.

    Args:
      x: a pytree of arrays.
      shardings: a `Sharding`, or a `PartitionSpec` for the mesh in scope, or a pytree of these that is a prefix of ``x``.

    Raises:
      IndivisibleError: if an array cannot be cut so.
      RuntimeError: for a `PartitionSpec` where no mesh is in scope.
    """
    leaves, treedef = tree.flatten(x)
    given = broadcast_prefix(shardings, x, is_leaf=lambda s: s is None)
    return treedef.unflatten([leaf if s is None else place(leaf, s) for leaf, s in zip(leaves, given, strict=True)])


def reshard(x, out_shardings):
    """The same values under other shardings: `with_sharding_constraint` by the name used with explicit meshes. (There
    JAX's `with_sharding_constraint` only checks where values are; here it moves them.)
    """
    return with_sharding_constraint(x, out_shardings)


def auto_axes(f: Callable | None = None, /, *, axes=None, out_sharding=None) -> Any:
    """``f`` with the layouts of everything in it left to the compiler.

    Args:
      f: a function; without it, ``auto_axes(out_sharding=...)`` is a decorator.
      axes: the explicit axes of the mesh in scope that are the compiler's inside; all of them by default.
      out_sharding: where the results are: a `PartitionSpec`, or a pytree of these that is a prefix of the result. It may
        also be given by the call, ``auto_axes(f)(x, out_sharding=...)``.

    Raises:
      RuntimeError: if no mesh is in scope.
      TypeError: if nothing says where the results are.

    >>> import addax, addax.numpy as jnp
    >>> from addax.sharding import PartitionSpec as P, auto_axes
    >>> with addax.set_mesh(addax.make_mesh((1,), ("x",))):
    ...     auto_axes(lambda v: v @ v.T, out_sharding=P("x"))(jnp.ones((2, 2))).tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """

    def within(f, args, kwargs, mesh, inner, out_sharding):
        with set_mesh(inner):
            args, kwargs = _free((args, kwargs), inner)
            out = f(*args, **kwargs)
        return with_sharding_constraint(out, _on(mesh, out_sharding))

    what = "auto_axes: say where the results are, out_sharding=P(...)"
    return _with_axes(f, within, AxisType.Auto, axes, "out_sharding", out_sharding, what)


def explicit_axes(f: Callable | None = None, /, *, axes=None, in_sharding=None) -> Any:
    """``f`` with the layouts of everything in it following from those of its arguments: the reverse of `auto_axes`.

    Args:
      f: a function; without it, ``explicit_axes(in_sharding=...)`` is a decorator.
      axes: the axes of the mesh in scope that are explicit inside; all of them by default.
      in_sharding: where the arguments are: a `PartitionSpec`, or a pytree of these that is a prefix of the arguments. It may
        also be given by the call.

    Raises:
      RuntimeError: if no mesh is in scope.
      TypeError: if nothing says where the arguments are.
    """

    def within(f, args, kwargs, mesh, inner, in_sharding):
        with set_mesh(inner):
            args = with_sharding_constraint(args, _on(inner, in_sharding))
            return _free(f(*args, **kwargs), mesh)

    what = "explicit_axes: say where the arguments are, in_sharding=P(...)"
    return _with_axes(f, within, AxisType.Explicit, axes, "in_sharding", in_sharding, what)


def _with_axes(f, within: Callable, kind: AxisType, axes, name: str, default, missing: str) -> Any:
    """``f``, or a decorator if it is None, compiled as ``within`` says with axes of another type; where values cross the
    boundary is said now or by the call, under ``name``."""
    if f is None:
        return lambda f: _with_axes(f, within, kind, axes, name, default, missing)
    compiled: dict[Any, Any] = {}

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        where = kwargs.pop(name, default)
        if where is None:
            raise TypeError(missing)
        mesh, (specs, structure) = get_mesh(), tree.flatten(where)
        call = compiled.get((mesh, *specs, structure))
        if call is None:
            inner = _with_types(mesh, axes, kind)
            call = jit(lambda args, kwargs: within(f, args, kwargs, mesh, inner, where))
            compiled[mesh, *specs, structure] = call
        return call(args, kwargs)

    return wrapped


def _with_types(mesh, axes, kind: AxisType):
    """The mesh with some axes, or all, of another type."""
    names = mesh.axis_names if axes is None else (axes,) if isinstance(axes, str) else tuple(axes)
    types = [kind if n in names else t for n, t in zip(mesh.axis_names, mesh.axis_types, strict=True)]
    return mesh.update(axis_types=types)


def _on(mesh, specs):
    """Specs as shardings over a mesh."""
    return tree.map(lambda s: NamedSharding(mesh, s) if isinstance(s, PartitionSpec) else s, specs)


def _free(values, mesh):
    """The values of a pytree, laid out as the compiler likes."""

    def free(x):
        spec = PartitionSpec(*[PartitionSpec.UNCONSTRAINED] * get_aval(x).ndim)
        return sharding_constraint.bind(x, sharding=NamedSharding(mesh, spec))

    return tree.map(free, values)


def place(x, wanted):
    """An array where ``wanted`` says: a sharding, a device, or a spec for the mesh in scope."""
    sharding = as_sharding(wanted, "with_sharding_constraint")
    if isinstance(x, Tracer) or current_trace() is not base_trace:
        return sharding_constraint.bind(x, sharding=sharding)
    if not isinstance(x, _native.Array):
        x = _native.array_from_numpy(np.asarray(x), get_aval(x))
    return move(x, sharding)
