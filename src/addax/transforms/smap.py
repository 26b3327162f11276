"""`smap`: `shard_map` over one mesh axis at a time, with the axes of `vmap` in place of specs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

from addax.core import tree
from addax.core.avals import get_aval
from addax.core.sharding import PartitionSpec
from addax.core.trace import Tracer, base_trace, current_trace
from addax.core.tree_prefix import broadcast_prefix, raise_mismatch
from addax.ops import explicit
from addax.transforms.jit import jit
from addax.transforms.shard_map import Infer, ShardMapped


def smap(f: Callable | None = None, /, *, in_axes: Any = Infer, out_axes: Any, axis_name: Hashable) -> Any:
    """Map ``f`` over the parts of its arguments along one axis of the mesh in scope; the other axes stay as they are.

    Each device calls ``f`` with its part of each array, n / k long where the whole is n long and the mesh axis has size k.
    Maps over several axes are nested.

    Args:
      f: the function of one device. Without it, ``smap(out_axes=..., ...)`` is a decorator.
      in_axes: which dimension of each argument is cut: an int (JAX 0.10 takes negative ones for 0), None for arguments that
        all devices share, or a tuple with an entry (or a pytree of them, a prefix) per argument. By default as the
        arguments are cut along an explicit mesh axis.
      out_axes: the same for the result.
      axis_name: the mesh axis, which collectives in ``f`` name.

    Raises:
      TypeError: if ``in_axes`` or ``axis_name`` are of another kind, or ``in_axes`` are missing where nothing tells them.
      ValueError: if there is no mesh or it has no such axis, a dimension does not exist or is not divided by the size of the
        axis, or a result that is not mapped may differ between devices.

    >>> import addax, addax.numpy as jnp
    >>> with addax.set_mesh(addax.make_mesh((addax.device_count(),), ("i",))):
    ...     total = addax.smap(lambda x: addax.lax.psum(x.sum(), "i"), in_axes=0, out_axes=None, axis_name="i")
    ...     float(total(jnp.arange(8.0)))
    28.0
    """
    if f is None:
        return functools.partial(smap, in_axes=in_axes, out_axes=out_axes, axis_name=axis_name)
    if not callable(f):
        raise TypeError(f"Expected a callable value, got {f!r:.100}: smap takes the function, not its result.")
    if isinstance(axis_name, (tuple, list)):
        raise TypeError(f"smap axis_name must be one mesh axis, got {axis_name!r}: nest one smap per axis.")
    if not (in_axes is Infer or in_axes is None or isinstance(in_axes, (int, tuple))):
        raise TypeError(
            f"smap in_axes must be an int, None, or a tuple of entries per positional argument, got {in_axes!r}"
        )

    def call(*args):
        leaves, structure = tree.flatten(args)
        if in_axes is Infer:
            axes = [_axis_of(x, axis_name) for x in leaves]
        else:
            axes = _spread(in_axes, args, "smap in_axes")
        specs = [_spec(d, axis_name, get_aval(x).ndim, "in_axes") for d, x in zip(axes, leaves, strict=True)]

        @functools.wraps(f)
        def one(*parts):
            result = f(*parts)
            outs, out_tree = tree.flatten(result)
            spread = _spread(out_axes, out_tree.unflatten(range(len(outs))), "smap out_axes")
            ranks = [get_aval(x).ndim for x in outs]
            mapped.out_specs = out_tree.unflatten(
                [_spec(d, axis_name, n, "out_axes") for d, n in zip(spread, ranks, strict=True)]
            )
            return result

        mapped = ShardMapped(one, None, structure.unflatten(specs), None, frozenset([axis_name]), True)
        return mapped(*args)

    compiled = jit(functools.wraps(f)(lambda *args: call(*args)))

    @functools.wraps(f)
    def smapped(*args):
        traced = current_trace() is not base_trace or any(isinstance(x, Tracer) for x in tree.leaves(args))
        return (call if traced else compiled)(*args)

    return smapped


def _spread(axes, value, what: str) -> list:
    """An axis per leaf, from a prefix tree in which None is a leaf."""
    is_none = lambda x: x is None  # noqa: E731
    raise_mismatch(what, axes, value, is_none)
    return broadcast_prefix(axes, value, is_leaf=is_none)


def _spec(axis: int | None, name, ndim: int, what: str) -> PartitionSpec:
    if axis is None:
        return PartitionSpec()
    if not -ndim <= axis < ndim:
        raise ValueError(f"smap {what}: axis {axis} is out of bounds for a value of {ndim} dimensions")
    return PartitionSpec(*[None] * (axis % ndim), name)


def _axis_of(x, name) -> int | None:
    """The dimension that an explicit mesh axis cuts."""
    where = explicit.sharding_of(x)
    if where is None or name not in where.mesh.explicit_axes:
        raise TypeError(
            f"smap: in_axes are needed, in_axes=0 for example: where arguments are is known along explicit mesh axes only, and "
            f"{name!r} is none of the mesh of an argument of type {get_aval(x).str_short(False)}."
        )
    return next((d for d in range(len(where.spec)) if name in where.spec.axes_of(d)), None)


__all__ = ["smap"]
