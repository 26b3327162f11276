"""`pmap`: like `vmap`, but each example runs on a device of its own. A `shard_map` over a mesh of one axis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.api import local_devices
from addax.core import tree
from addax.core.avals import get_aval
from addax.core.axis_env import UnboundAxisError, manual_axes
from addax.core.errors import array_summary
from addax.core.mesh import AxisType, Mesh
from addax.core.sharding import NamedSharding, PartitionSpec
from addax.core.trace import Tracer, base_trace, current_trace
from addax.core.tree_prefix import broadcast_prefix, raise_mismatch
from addax.interpreters.values import expand_dims, reshape, shape_of
from addax.placement import move
from addax.transforms.flat import argument_paths, check_leaves, describe_function, jax_array
from addax.transforms.jit import jit
from addax.transforms.shard_map import ShardMapped

P = PartitionSpec
UNNAMED = "pmap_axis"


def pmap(
    fun: Callable | None = None,
    axis_name: Hashable | None = None,
    *,
    in_axes: int | Sequence[Any] | None = 0,
    out_axes: Any = 0,
    static_broadcasted_argnums: int | Iterable[int] = (),
    devices: Sequence[Any] | None = None,
    backend: str | None = None,
    axis_size: int | None = None,
    donate_argnums: int | Iterable[int] = (),
) -> Any:
    """``fun`` mapped over an axis of its arguments, example i on device i, all at the same time.

    Arguments and results stay on the devices from one call to the next: a result is an array over a mesh of the one axis
    ``axis_name``, cut along the mapped axis.

    Args:
      fun: the function of one example. Without it, ``pmap(axis_name="i")`` is a decorator.
      axis_name: a name for collectives inside, ``lax.pmean(grads, "i")``. A collective over a name that nothing binds
        refers to this axis if it was given no name.
      in_axes: for each positional argument the axis to map, None for arguments that all devices get, or an int for all;
        or a pytree prefix. Arguments by keyword are mapped over axis 0.
      out_axes: where the mapped axis stands in results; None for results that are the same on all devices.
      static_broadcasted_argnums: arguments that are compile-time constants.
      devices: by default the first of `addax.local_devices`, as many as needed.
      axis_size: the size of the mapped axis, if no argument is mapped.
      donate_argnums: arguments whose memory may be reused; they are deleted by the call.

    Raises:
      ValueError: if mapped axes differ in size, naming the arguments; or there are fewer devices.

    >>> import addax, addax.numpy as jnp
    >>> n = addax.local_device_count()
    >>> addax.pmap(lambda x: x / addax.lax.psum(x, "i"), axis_name="i")(jnp.ones(n)).sum().tolist()
    1.0
    """
    if fun is None:
        return functools.partial(
            pmap, axis_name=axis_name, in_axes=in_axes, out_axes=out_axes,
            static_broadcasted_argnums=static_broadcasted_argnums, devices=devices, backend=backend,
            axis_size=axis_size, donate_argnums=donate_argnums,
        )  # fmt: skip
    if not callable(fun):
        raise TypeError(f"Expected a callable value, got {fun!r:.100}: pmap takes the function, not its result.")
    mapped = _Pmapped(
        fun, axis_name, in_axes, out_axes, _numbers(static_broadcasted_argnums, "static_broadcasted_argnums"),
        devices, backend, axis_size, _numbers(donate_argnums, "donate_argnums"),
    )  # fmt: skip

    @functools.wraps(fun)
    def pmapped(*args, **kwargs):
        return mapped(args, kwargs)

    pmapped.lower = mapped.lower  # type: ignore[attr-defined]
    return pmapped


def _numbers(x, what: str) -> tuple[int, ...]:
    found = (x,) if isinstance(x, int) else tuple(x)
    if not all(isinstance(i, int) and i >= 0 for i in found):
        raise ValueError(f"pmap: {what} must be argument numbers from 0 on, got {x!r}")
    return found


class _Pmapped:
    """A function mapped over devices, compiled per number of them."""

    def __init__(self, fun, axis_name, in_axes, out_axes, static, devices, backend, axis_size, donated):
        self.fun, self.axis_name, self.out_axes = fun, axis_name, out_axes
        self.in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        self.static, self.donated = static, donated
        self.devices = None if devices is None else list(devices)
        self.backend, self.axis_size = backend, axis_size
        self.named = axis_name is not None
        self.compiled: dict[Any, Any] = {}
        self.known_axes: dict[Any, list] = {}
        for what, axes in (("in_axes", self.in_axes), ("out_axes", out_axes)):
            if not all(isinstance(a, int) for a in tree.leaves(axes)):
                raise TypeError(
                    f"pmap {what} must be an int, None, or (nested) container with those types as leaves, but got {axes}."
                )

    def __call__(self, args: tuple, kwargs: dict):
        run, args, kwargs, axes = self.prepared(args, kwargs)
        if current_trace() is base_trace:
            args, kwargs = self.placed(run.mesh, args, kwargs, axes)
        return run.jitted(*args, **kwargs)

    def lower(self, *args, **kwargs):
        """The program for these arguments, as with `jit`."""
        run, args, kwargs, _ = self.prepared(args, kwargs)
        return run.jitted.lower(*args, **kwargs)

    def prepared(self, args: tuple, kwargs: dict):
        """``(the compiled function, args, kwargs, mapped axes of the leaves)``"""
        if isinstance(self.in_axes, tuple) and len(self.in_axes) != len(args):
            raise ValueError(
                f"pmap in_axes must be an int, None, or a tuple of entries corresponding to the positional arguments passed "
                f"to the function, but got len(in_axes)={len(self.in_axes)}, len(args)={len(args)}"
            )
        dynamic = tuple(a for i, a in enumerate(args) if i not in self.static)
        leaves, structure = tree.flatten((dynamic, kwargs))
        axes = self.known_axes.get(structure)
        if axes is None:
            axes = self.known_axes[structure] = self.axes_of(dynamic, kwargs, len(args))
        size = self.size_of(leaves, axes, dynamic, kwargs)
        run = self.compiled.get(size)
        if run is None:
            run = self.compiled[size] = _Run(self, self.mesh(size))
        return run, args, kwargs, axes

    def axes_of(self, dynamic: tuple, kwargs: dict, count: int) -> list:
        in_axes = self.in_axes
        if isinstance(in_axes, tuple):
            in_axes = tuple(in_axes[i] for i in range(count) if i not in self.static)
        return [*_spread(in_axes, dynamic, "pmap in_axes"), *(0 for _ in tree.leaves(kwargs))]

    def size_of(self, leaves, axes, dynamic, kwargs) -> int:
        """The number of devices that a call needs."""
        sizes = set() if self.axis_size is None else {self.axis_size}
        for x, d in zip(leaves, axes, strict=True):
            if d is None:
                continue
            shape = x.shape if hasattr(x, "shape") else np.shape(x)
            if not -len(shape) <= d < len(shape):
                check_leaves(self.fun, leaves, dynamic, kwargs, "pmap")
                name = argument_paths(self.fun, dynamic, kwargs)[next(i for i, y in enumerate(leaves) if y is x)]
                raise ValueError(
                    f"pmap was requested to map its argument along axis {d}, which implies that its rank should be at least "
                    f"{(d if d >= 0 else -d - 1) + 1}, but is only {len(shape)} (its shape is {tuple(shape)}): argument "
                    f"{name} of {describe_function(self.fun)}. Use None in in_axes to give it to all devices."
                )
            sizes.add(shape[d])
        if len(sizes) == 1:
            return sizes.pop()
        if not sizes:
            raise ValueError("pmap requires at least one argument with a mapped axis, or axis_size.")
        names = argument_paths(self.fun, dynamic, kwargs)
        lines = [
            f"  * one axis had size {get_aval(x).shape[d]}: axis {d} of argument {names[i]} of type {array_summary(x)}"
            for i, (x, d) in enumerate(zip(leaves, axes, strict=True))
            if d is not None
        ]
        if self.axis_size is not None:
            lines.append(f"  * axis_size={self.axis_size} was given")
        raise ValueError("pmap got inconsistent sizes for array axes to be mapped:\n" + ";\n".join(lines))

    def mesh(self, size: int) -> Mesh:
        outer = manual_axes()
        if outer is not None:
            raise NotImplementedError(
                f"pmap of {describe_function(self.fun)} inside of another pmap or shard_map (over {outer.mesh!r}): the "
                "devices are in use. Use vmap for the inner map, one pmap over both axes reshaped into one, or shard_map "
                "over a mesh with two axes."
            )
        available = local_devices(backend=self.backend) if self.devices is None else self.devices
        if size > len(available) or (self.devices is not None and size != len(available)):
            what = "devices were given" if self.devices is not None else "are available on this host"
            raise ValueError(
                f"pmap of {describe_function(self.fun)} needs one device per example: compiling computation that requires "
                f"{size} logical devices, but {len(available)} {what}. Map an axis of that size (reshape (n, ...) to "
                "(devices, n // devices, ...) and use vmap inside), or, to try programs for more devices on one machine, "
                f"call addax.config.update('addax_num_cpu_devices', {size}) at the start."
            )
        return Mesh(
            np.array(available[:size], object),
            (UNNAMED if self.axis_name is None else self.axis_name,),
            (AxisType.Auto,),
        )

    def placed(self, mesh: Mesh, args: tuple, kwargs: dict, axes: list) -> tuple[tuple, dict]:
        """The arguments, on the devices that will read them: so they need not be copied to all of these first."""
        dynamic = tuple(a for i, a in enumerate(args) if i not in self.static)
        leaves, structure = tree.flatten((dynamic, kwargs))
        moved = []
        for x, d in zip(leaves, axes, strict=True):
            x = jax_array(x)
            if not isinstance(x, _native.Array):
                if isinstance(x, Tracer) or not isinstance(x, (np.ndarray, np.generic)):
                    moved.append(x)  # a number, or what jit will complain of
                    continue
                x = _native.array_from_numpy(np.asarray(x, get_aval(x).dtype), get_aval(x))
            moved.append(move(x, NamedSharding(mesh, _spec(d, mesh.axis_names[0], x.ndim))))
        dynamic, kwargs = structure.unflatten(moved)
        rest = iter(dynamic)
        return tuple(a if i in self.static else next(rest) for i, a in enumerate(args)), kwargs


def _spec(axis: int | None, name, ndim: int) -> PartitionSpec:
    return P() if axis is None else P(*[None] * (axis % ndim), name)


def _spread(axes, value, what: str) -> list:
    """An axis per leaf, from a prefix tree of axes in which None is a leaf."""
    is_none = lambda x: x is None  # noqa: E731
    raise_mismatch(what, axes, value, is_none)
    return broadcast_prefix(axes, value, is_leaf=is_none)


class _Run:
    """A mapped function for one number of devices: ``jitted`` is the `jit` of its `shard_map`."""

    def __init__(self, mapped: _Pmapped, mesh: Mesh):
        self.mapped, self.mesh = mapped, mesh
        call = functools.wraps(mapped.fun)(lambda *args, **kwargs: self.traced(args, kwargs))
        self.jitted = jit(call, static_argnums=mapped.static, donate_argnums=mapped.donated)

    def traced(self, args: tuple, kwargs: dict):
        try:
            return self.shard_mapped(args, kwargs)
        except UnboundAxisError as error:
            mapped = self.mapped
            if mapped.named or mapped.axis_name is not None:
                raise
            # The one name that nothing binds is this axis.
            mapped.axis_name = error.name
            self.mesh = Mesh(self.mesh.devices, (error.name,), (AxisType.Auto,))
            try:
                return self.shard_mapped(args, kwargs)
            except UnboundAxisError:
                mapped.axis_name = None
                raise

    def shard_mapped(self, args: tuple, kwargs: dict):
        mapped, mesh = self.mapped, self.mesh
        name = mesh.axis_names[0]
        fixed = {i: a for i, a in enumerate(args) if i in mapped.static}
        dynamic = tuple(a for i, a in enumerate(args) if i not in fixed)
        leaves, structure = tree.flatten((dynamic, kwargs))
        check_leaves(mapped.fun, leaves, dynamic, kwargs, "pmap")
        axes = mapped.axes_of(dynamic, kwargs, len(args))
        ndims = [get_aval(x).ndim for x in leaves]
        outs: dict[str, Any] = {}

        def one(*parts):
            own = [x if d is None else _without(x, d % n) for x, d, n in zip(parts, axes, ndims, strict=True)]
            dynamic, kw = structure.unflatten(own)
            rest = iter(dynamic)
            result = mapped.fun(*(fixed[i] if i in fixed else next(rest) for i in range(len(args))), **kw)
            flat, outs["tree"] = tree.flatten(result)
            flat = [jax_array(x) for x in flat]
            out_axes = _spread(mapped.out_axes, outs["tree"].unflatten(range(len(flat))), "pmap out_axes")
            specs, results = [], []
            for x, d in zip(flat, out_axes, strict=True):
                rank = get_aval(x).ndim + 1
                if d is not None and not -rank <= d < rank:
                    raise ValueError(f"pmap out_axes={d} is out of bounds for a result of rank {rank - 1}, mapped")
                results.append(x if d is None else expand_dims(x, (d % rank,)))
                specs.append(_spec(d, name, rank))
            call.out_specs = tuple(specs)
            return tuple(results)

        functools.update_wrapper(one, mapped.fun)
        specs = tuple(_spec(d, name, n) for d, n in zip(axes, ndims, strict=True))
        call = ShardMapped(one, mesh, specs, (), frozenset(), False)
        results = call(*leaves)
        return outs["tree"].unflatten(results)


def _without(x, d: int):
    """One example: dimension ``d``, of size 1, dropped."""
    shape = shape_of(x)
    return reshape(x, (*shape[:d], *shape[d + 1 :]))


__all__ = ["pmap"]
