"""`vmap`: a function of examples becomes a function of batches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

from addax.core import tree
from addax.core.avals import get_aval
from addax.core.errors import array_summary
from addax.core.trace import current_trace
from addax.interpreters.batching import batch_flat
from addax.interpreters.values import Axis, move_axis, to_front
from addax.transforms.flat import FlatFunction, argument_paths, check_leaves, describe_function


def vmap(
    fun: Callable,
    in_axes: int | tuple | list | None = 0,
    out_axes: Any = 0,
    axis_name: Hashable | None = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
    sum_match: bool = False,
) -> Callable:
    """``fun`` mapped over an axis of its arguments, as one program with one more dimension, not a loop.

    Args:
      in_axes: for each positional argument the axis to map, or None to share the argument; an int for all; or a
        pytree prefix of the arguments. Arguments passed by keyword are mapped over axis 0.
      out_axes: where the mapped axis stands in the results; None for results that do not depend on it.
      axis_name: a name for collectives (`addax.lax.psum`) inside ``fun``.
      axis_size: the size, needed if no argument is mapped.
      spmd_axis_name: mesh axes (a name or a tuple) over which shardings inside ``fun`` cut the mapped axis.

    Raises:
      ValueError: if the mapped axes differ in size, or ``in_axes`` does not fit the arguments.

    >>> import addax, addax.numpy as jnp
    >>> addax.vmap(jnp.dot, in_axes=(None, 0))(jnp.ones(2), jnp.arange(6.0).reshape(3, 2))
    Array([1., 5., 9.], dtype=float32)
    """
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r:.100}: vmap takes the function, not its result.")
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    if in_axes is not None and type(in_axes) not in (int, tuple):
        raise TypeError(
            "vmap in_axes must be an int, None, or a tuple of entries corresponding to the positional arguments passed to "
            f"the function, but got {in_axes}."
        )
    for what, axes in (("in_axes", in_axes), ("out_axes", out_axes)):
        if not all(isinstance(a, int) and not isinstance(a, bool) for a in tree.leaves(axes)):
            raise TypeError(
                f"vmap {what} must be an int, None, or (nested) container with those types as leaves, but got {axes}."
            )

    @functools.wraps(fun)
    def vmap_f(*args, **kwargs):
        if isinstance(in_axes, tuple) and len(in_axes) != len(args):
            raise ValueError(
                "vmap in_axes must be an int, None, or a tuple of entries corresponding to the positional arguments "
                f"passed to the function, but got len(in_axes)={len(in_axes)}, len(args)={len(args)}"
            )
        leaves, in_tree = tree.flatten((args, kwargs))
        check_leaves(fun, leaves, args, kwargs, "vmap")
        dims = _flatten_axes("vmap in_axes", (args, kwargs), (in_axes, 0))
        dims = [_canonical(d, x, i, fun, args, kwargs) for i, (d, x) in enumerate(zip(dims, leaves, strict=True))]
        size = _mapped_size(fun, leaves, dims, axis_size, args, kwargs)
        axis = Axis(size, axis_name, spmd_axis_name)
        flat = FlatFunction(fun, in_tree)
        outs, out_dims = batch_flat(flat, axis, leaves, dims, current_trace())
        wanted = _flatten_axes("vmap out_axes", flat.out_tree.unflatten(range(len(outs))), out_axes)
        results = [_place(x, d, w, size, fun) for x, d, w in zip(outs, out_dims, wanted, strict=True)]
        return flat.out_tree.unflatten(results)

    return vmap_f


def _flatten_axes(what: str, value, axes) -> list:
    """One axis per leaf, from a prefix tree of axes in which None is a leaf."""
    try:
        return tree.broadcast_prefix(axes, value, is_leaf=lambda x: x is None)
    except ValueError:
        if what == "vmap in_axes":
            axes, value = axes[0], value[0]
        raise ValueError(
            f"{what} specification must be a tree prefix of the corresponding value, got specification {axes} for "
            f"value tree {tree.structure(value)}."
        ) from None


def _canonical(dim, x, i: int, fun, args, kwargs):
    if dim is None:
        return None
    ndim = get_aval(x).ndim
    if not -ndim <= dim < ndim:
        name = argument_paths(fun, args, kwargs)[i]
        if ndim == 0:
            raise ValueError(
                f"vmap was requested to map its argument along axis {dim}, which implies that its rank should be at "
                f"least {(dim if dim >= 0 else -dim - 1) + 1}, but is only 0 (its shape is ()): argument {name} of "
                f"{describe_function(fun)}. Use None in in_axes to share it between the examples."
            )
        raise ValueError(
            f"vmap was requested to map its argument along axis {dim}, which implies that its rank should be at least "
            f"{(dim if dim >= 0 else -dim - 1) + 1}, but is only {ndim} (its shape is {get_aval(x).shape}): argument "
            f"{name} of {describe_function(fun)}."
        )
    return dim + ndim if dim < 0 else dim


def _mapped_size(fun, leaves, dims, axis_size, args, kwargs) -> int:
    sizes = {get_aval(x).shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None}
    if axis_size is not None:
        sizes.add(axis_size)
    if len(sizes) == 1:
        return sizes.pop()
    if not sizes:
        raise ValueError("vmap must have at least one non-None value in in_axes, or be given axis_size.")
    names = argument_paths(fun, args, kwargs)
    lines = [
        f"  * one axis had size {get_aval(x).shape[d]}: axis {d} of argument {names[i]} of type {array_summary(x)}"
        for i, (x, d) in enumerate(zip(leaves, dims, strict=True))
        if d is not None
    ]
    if axis_size is not None:
        lines.append(f"  * axis_size={axis_size} was given")
    raise ValueError("vmap got inconsistent sizes for array axes to be mapped:\n" + ";\n".join(lines))


def _place(x, dim: int | None, wanted: int | None, size: int, fun):
    """The result with its batch dimension where ``out_axes`` wants it."""
    if wanted is None:
        if dim is None:
            return x
        raise ValueError(
            f"vmap has mapped output but out_axes is None: a result of {describe_function(fun)} depends on the mapped "
            "axis, so it has one value per example. Give out_axes=0 for it, or reduce over the axis (lax.pmean)."
        )
    if dim is None:
        x, dim = to_front(x, None, size), 0
    ndim = get_aval(x).ndim
    if not -ndim <= wanted < ndim:
        raise ValueError(f"vmap out_axes={wanted} is out of bounds for a batched result of rank {ndim}")
    return move_axis(x, dim, wanted + ndim if wanted < 0 else wanted)


__all__ = ["vmap"]
