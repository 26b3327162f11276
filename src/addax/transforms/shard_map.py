"""`shard_map`: write the program of one device; every device of a mesh runs it on its own part of each array."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any

from addax.core import tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.axis_env import manual_axes, scope_key
from addax.core.context import current_context
from addax.core.jaxpr import ClosedJaxpr, Eqn, Var
from addax.core.mesh import AbstractMesh, Mesh, current_mesh, use_abstract_mesh
from addax.core.sharding import NamedSharding, PartitionSpec
from addax.core.trace import Tracer, base_trace, current_trace
from addax.core.tree_prefix import broadcast_prefix, raise_mismatch
from addax.core.varying import INVARIANT
from addax.ops import explicit
from addax.ops.collective import pvary
from addax.ops.shard_map import bind_body, cuts, inside, local_aval
from addax.transforms.flat import LazyDebugInfo, argument_paths, check_leaves, describe_function, function_name
from addax.transforms.jit import jit, trace_to_closed

P = PartitionSpec


class _Infer:
    """``in_specs`` as the arguments are laid out."""

    def __repr__(self) -> str:
        return "Infer"


Infer = _Infer()


def shard_map(
    f: Callable | None = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = Infer,
    mesh: Mesh | AbstractMesh | None = None,
    axis_names: Collection[Hashable] = frozenset(),
    check_vma: bool = True,
) -> Any:
    """Map ``f`` over the parts of its arguments, one per device of a mesh.

    Each device calls ``f`` with its own part of every array: ``in_specs`` say along which dimensions they are cut, a
    dimension of size n over an axis of size k into k parts of size n/k. The devices communicate by the collectives of
    `addax.lax`, which name mesh axes: ``lax.psum(x, "data")``. ``out_specs`` say how the parts of results make up whole
    arrays; a result whose spec does not name an axis is the same along it.

    Called with arrays, the function is compiled, as if under `jit`: it must be pure, and is traced again only for new types.

    Args:
      f: the function of one device. Without it, ``shard_map(mesh=..., ...)`` is a decorator.
      in_specs, out_specs: `PartitionSpec`s, or pytrees of them that are prefixes of the positional arguments and of the
        result; None is ``P()``. By default ``in_specs`` are where the arguments are.
      mesh: by default the mesh in scope (`addax.set_mesh`), or that of the `shard_map` around this one. An `AbstractMesh`
        stands for the mesh that the arguments are on; if they are on none, one device does the work of all.
      axis_names: the axes that ``f`` handles itself; those left out are the partitioner's, as outside. By default all.
      check_vma: check that results are the same along the axes that their specs do not name, and differentiate knowing
        which values are. Turn it off for code that knows better: the gradients *inside* ``f`` of values that devices
        share are then those of one device's part only.

    Raises:
      ValueError: if specs do not fit the arguments or results, name axes the mesh does not have, do not divide a
        dimension, or promise that a result is the same along an axis along which it may vary.

    Where types differ only in the axes along which they vary (the initial carry of a `scan`, the branches of a `cond`)
    they are made to agree, where JAX asks for ``pcast``.

    >>> import addax, addax.numpy as jnp
    >>> from addax.sharding import PartitionSpec as P
    >>> mesh = addax.make_mesh((addax.device_count(),), ("i",))
    >>> total = addax.shard_map(lambda x: addax.lax.psum(x.sum(), "i"), mesh=mesh, in_specs=P("i"), out_specs=P())
    >>> float(total(jnp.arange(8.0)))
    28.0
    """
    if f is None:
        return functools.partial(
            shard_map, out_specs=out_specs, in_specs=in_specs, mesh=mesh, axis_names=axis_names, check_vma=check_vma
        )
    if not callable(f):
        raise TypeError(f"Expected a callable value, got {f!r:.100}: shard_map takes the function, not its result.")
    call = ShardMapped(f, mesh, in_specs, out_specs, axis_names, check_vma)
    compiled: dict[Any, Any] = {}

    @functools.wraps(f)
    def shard_mapped(*args):
        leaves = tree.leaves(args)
        if current_trace() is not base_trace or any(isinstance(x, Tracer) for x in leaves):
            return call(*args)
        if in_specs is Infer:
            specs = tree.map(_spec_of, args)
            key = (tuple(tree.leaves(specs, is_leaf=_is_spec)), tree.structure(args))
            target = ShardMapped(f, mesh, specs, out_specs, axis_names, check_vma)
        else:
            key, target = None, call
        if key not in compiled:
            compiled[key] = jit(target)
        return compiled[key](*args)

    return shard_mapped


def _is_spec(x) -> bool:
    return x is None or isinstance(x, PartitionSpec)


def _spec_of(x) -> PartitionSpec:
    sharding = getattr(x, "sharding", None)
    if not isinstance(sharding, NamedSharding):
        raise TypeError(
            "shard_map: without in_specs, arguments must be arrays laid out over a mesh by a NamedSharding; got "
            f"{get_aval(x).str_short(False)} on {sharding}. Pass in_specs, or addax.device_put(x, NamedSharding(...))."
        )
    return sharding.spec


def _spec_of_traced(x) -> PartitionSpec:
    sharding = explicit.sharding_of(x)
    if sharding is None:
        raise TypeError(
            "shard_map: in_specs are needed where the function is called inside of a transformation: where its arguments "
            "are is known there along explicit mesh axes only."
        )
    return sharding.spec


class ShardMapped:
    """A function over the parts of arrays, traced once per types of its arguments, like a jitted one."""

    def __init__(self, fun: Callable, mesh, in_specs, out_specs, axis_names, check_vma: bool):
        functools.update_wrapper(self, fun)  # first: it takes over all attributes of fun, which may have one named fun
        self.fun, self.mesh, self.in_specs, self.out_specs = fun, mesh, in_specs, out_specs
        self.axis_names, self.check_vma = frozenset(axis_names), bool(check_vma)
        self.traces: dict[Any, tuple] = {}

    def __call__(self, *args):
        fun = self.fun
        mesh, names = _manual(self.mesh, self.axis_names)
        leaves, in_tree = tree.flatten((args, {}))
        avals = check_leaves(fun, leaves, args, {}, "shard_map")
        if self.in_specs is Infer:
            in_specs = list(map(_spec_of_traced, leaves))
        else:
            in_specs = _spread(self.in_specs, args, "shard_map in_specs")
        _check_specs(in_specs, mesh, names, "in_specs")
        for i, (a, s) in enumerate(zip(avals, in_specs, strict=True)):
            if problem := _misfit(a, s, mesh):
                raise ValueError(_argument_error(problem, i, a, s, fun, args, mesh))
        key = (in_tree, tuple(avals), tuple(in_specs), mesh, names, current_context().trace_key, scope_key())
        found = self.traces.get(key)
        if found is None:
            found = self.traced(args, in_tree, avals, in_specs, mesh, names)
            # A program that captured a tracer of an enclosing transformation is of no use outside it.
            if not any(isinstance(c, Tracer) for c in found[0].consts):
                self.traces[key] = found
        closed, out_specs, out_tree = found
        outs = bind_body(
            closed, leaves, in_specs, out_specs, {"mesh": mesh, "newly_manual_axes": names, "check_vma": self.check_vma}
        )
        return out_tree.unflatten(outs)

    def traced(self, args, in_tree, avals, in_specs, mesh, names) -> tuple[ClosedJaxpr, list[PartitionSpec], Any]:
        """The body, the specs of its results and their structure."""
        fun, name = self.fun, function_name(self.fun)
        local = [local_aval(a, s, mesh, self.check_vma) for a, s in zip(avals, in_specs, strict=True)]
        with inside(mesh, names, self.check_vma), use_abstract_mesh(mesh.abstract_mesh.with_manual(names)):
            closed, out_tree = trace_to_closed(fun, in_tree, local, LazyDebugInfo(fun, args))
            out_specs = _spread(self.out_specs, out_tree.unflatten(range(out_tree.num_leaves)), "shard_map out_specs")
            _check_specs(out_specs, mesh, names, "out_specs")
            self._check_results(closed, out_specs, out_tree, mesh, names, name)
            return self._with_varying_results(closed, out_specs), out_specs, out_tree

    def _with_varying_results(self, closed: ClosedJaxpr, out_specs) -> ClosedJaxpr:
        """Results vary along all axes that their specs name, whether they must or not."""
        if not self.check_vma:
            return closed
        jaxpr = closed.jaxpr
        outvars, eqns = [], list(jaxpr.eqns)
        for x, spec in zip(jaxpr.outvars, out_specs, strict=True):
            missing = frozenset(spec.axes()) - x.aval.vma
            if missing:
                varying = Var(x.aval.update(vma=x.aval.vma | missing))
                eqns.append(Eqn(pvary, [x], [varying], {"axes": tuple(sorted(missing, key=str))}))
                x = varying
            outvars.append(x)
        return ClosedJaxpr(jaxpr.replace(outvars=outvars, eqns=eqns), closed.consts)

    def _check_results(self, closed, out_specs, out_tree, mesh, names, name: str) -> None:
        for i, (a, spec) in enumerate(zip(closed.out_avals, out_specs, strict=True)):
            path = f"{name}(*args){_path(out_tree, i)}"
            if len(spec) > a.ndim:
                raise ValueError(
                    f"shard_map applied to the function '{name}' was given an out_specs entry which is too long to be "
                    f"compatible with the corresponding output value from the function: out_specs is {spec!r} which has "
                    f"length {len(spec)}, but {path} has shape {a.str_short(False)}, which has rank {a.ndim} (and {a.ndim} "
                    f"< {len(spec)}). Use a shorter spec"
                    + (
                        ": P() if it is the same on all devices, else give it a dimension to be concatenated along, "
                        "x[None]."
                        if not a.ndim
                        else "."
                    )
                )
            extra = (a.vma & names) - frozenset(spec.axes()) if self.check_vma else INVARIANT
            if extra:
                axes = ", ".join(repr(n) for n in mesh.axis_names if n in extra)
                raise ValueError(
                    f"shard_map applied to the function '{name}' was given out_specs which require replication which "
                    f"can't be statically inferred given the mesh:\n\nThe mesh has the axes {_axes(mesh)}.\n\nout_specs is "
                    f"{spec!r} for {path} of type {a.str_short(False)}: it promises a value that is the same along axis "
                    f"{axes}, but that was inferred to be possibly varying along it.\n\nCombine the devices' values "
                    f"(lax.psum or lax.pmean over {axes}), name the axis in out_specs, or, if the values are the same for "
                    "reasons that types do not show, pass check_vma=False to shard_map."
                )


def _path(out_tree, i: int) -> str:
    paths = tree.flatten_with_path(out_tree.unflatten(range(out_tree.num_leaves)))[0]
    return tree.keystr(paths[i][0])


def _axes(mesh) -> str:
    return ", ".join(f"{n!r} of size {s}" for n, s in mesh.shape_tuple)


def _manual(mesh, axis_names: frozenset) -> tuple[Any, frozenset]:
    """The mesh and the axes that become manual.

    Raises:
      ValueError: if there is no mesh, it has no such axes, or it is not that of the `shard_map` around this one.
    """
    outer = manual_axes()
    if mesh is None:
        mesh = outer.mesh if outer is not None else current_mesh()
        if mesh is None or mesh.empty:
            raise ValueError(
                "shard_map: the context mesh cannot be empty. Pass mesh=..., or set one for a block: "
                "with addax.set_mesh(mesh): ..."
            )
    elif not isinstance(mesh, (Mesh, AbstractMesh)):
        raise TypeError(f"shard_map: mesh must be a Mesh or an AbstractMesh, got {type(mesh).__name__}")
    taken: frozenset = frozenset()
    if outer is not None:
        taken = outer.names
        if mesh.shape_tuple != outer.mesh.shape_tuple:
            raise ValueError(
                f"shard_map: the context mesh {outer.mesh!r} should match the mesh passed to shard_map {mesh!r}. Inside of "
                "a shard_map, another one can only be over further axes of the same mesh: leave mesh out, and name the "
                "axes in axis_names (of both)."
            )
        mesh = outer.mesh
    unknown = [n for n in axis_names if n not in mesh.axis_names]
    if unknown:
        raise ValueError(f"shard_map: axis_names has {unknown[0]!r}, but the axes of the mesh are {_axes(mesh)}.")
    names = axis_names or frozenset(n for n in mesh.axis_names if n not in taken)
    again = [n for n in mesh.axis_names if n in names and n in taken]
    if again or not names:
        listed = ", ".join(map(repr, again or mesh.axis_names))
        raise ValueError(
            f"shard_map: mesh axis {listed} is manual already, by the shard_map around this one. Give the outer one only "
            "some of the axes (axis_names={...}), and the inner one the others."
        )
    return mesh, names


def _spread(specs, value, what: str) -> list[PartitionSpec]:
    """A spec per leaf."""
    if isinstance(specs, list) and isinstance(value, tuple):
        specs = tuple(specs)
    raise_mismatch(what, specs, value, _is_spec)
    found = broadcast_prefix(specs, value, is_leaf=_is_spec)
    for s in found:
        if not _is_spec(s):
            raise TypeError(
                f"{what} argument must be a pytree of PartitionSpec instances, but it has {s!r} of type {type(s).__name__}: "
                "write P('x', None) for a dimension cut over mesh axis 'x' and one that is not."
            )
    return [P() if s is None else s for s in found]


def _check_specs(specs: Sequence[PartitionSpec], mesh, names: frozenset, what: str) -> None:
    for s in specs:
        if s.unreduced:
            raise NotImplementedError(
                f"shard_map {what}: {s!r} is unreduced over {set(s.unreduced)}, and terms of a sum cannot go in or out: reshard "
                "arguments to a spec that is not, and sum results in the function, with lax.psum."
            )
        seen = set()
        for a in s.axes():
            if a not in names:
                where = (
                    f"the axes of the mesh are {_axes(mesh)}"
                    if a not in mesh.axis_names
                    else f"the manual axes are {', '.join(map(repr, sorted(names, key=str)))}: those in axis_names"
                )
                raise ValueError(
                    f"shard_map {what} argument must refer to an axis marked as manual, but {s!r} refers to {a!r}; {where}."
                )
            if a in seen:
                raise ValueError(f"shard_map {what}: {s!r} names mesh axis {a!r} twice")
            seen.add(a)


def _misfit(aval: ShapedArray, spec: PartitionSpec, mesh) -> int | None:
    """The number of a dimension that cannot be cut, plus one; -1 for a spec that is too long."""
    if len(spec) > aval.ndim:
        return -1
    for d, (n, k) in enumerate(zip(aval.shape, cuts(spec, aval.ndim, mesh), strict=True)):
        if n % k:
            return d + 1
    return None


def _argument_error(problem: int, i: int, aval, spec, fun, args, mesh) -> str:
    name, path = function_name(fun), argument_paths(fun, args, {})[i]
    if problem < 0:
        return (
            f"shard_map applied to the function '{name}' was given an in_specs entry which is too long to be compatible "
            f"with the corresponding input value: in_specs is {spec!r} which has length {len(spec)}, but the argument "
            f"{path} of {describe_function(fun)} has shape {aval.str_short(False)}, which has rank {aval.ndim} (and "
            f"{aval.ndim} < {len(spec)}). Use a shorter spec, or an array with more dimensions."
        )
    d = problem - 1
    axes, n = spec.axes_of(d), aval.shape[d]
    k = math.prod(mesh.shape[a] for a in axes)
    over = " and ".join(f"{a!r} (of size {mesh.shape[a]})" for a in axes)
    return (
        f"shard_map applied to the function '{name}' was given argument arrays with axis sizes that are not evenly "
        f"divisible by the corresponding mesh axis sizes: the argument {path} of {describe_function(fun)}, of shape "
        f"{aval.str_short(False)}, corresponds to in_specs of value {spec!r}, which maps array axis {d} (of size {n}) to "
        f"mesh axis {over}, but {k} does not evenly divide {n}. Pad the axis to {-(-n // k) * k}, name no mesh axis for it "
        "in the spec, or use another mesh."
    )


__all__ = ["Infer", "ShardMapped", "shard_map"]
