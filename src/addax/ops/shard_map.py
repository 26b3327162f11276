"""``shard_map``: a program that every device of a mesh runs on its own part of each array.

The body is a program on *local* shapes. ``in_specs`` and ``out_specs`` (a `PartitionSpec` per operand and result) say how
the global arrays are cut into local ones along the manual axes; other axes of the mesh stay the partitioner's.

How derivatives cross the boundary depends on ``check_vma``:

* True: types inside say along which axes a value varies (core/varying.py). An operand varies along exactly the axes that
  its spec names, so the body's own transpose already sums the cotangents of shared values. A result that varies along
  fewer axes than its spec names is shared by the parts that it fills: its cotangents are summed.
* False: nothing is known inside. The cotangent of a result is split evenly over the axes that its spec does not name, and
  the cotangent of an operand summed over those that its spec does not name. `psum` is then its own transpose.

Values that the tangent program needs from the primal one (residuals) leave the first and enter the second cut along all
axes along which they may vary; scalars get a dimension for it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from addax.core.avals import get_aval
from addax.core.axis_env import manual_scope
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal, Var, eval_jaxpr, subjaxprs
from addax.core.notation import Notation
from addax.core.primitive import registry
from addax.core.sharding import PartitionSpec
from addax.core.trace import current_trace
from addax.core.varying import INVARIANT, vary, vma_of
from addax.interpreters.batching import batch_flat, batch_jaxpr
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import split_jaxpr
from addax.interpreters.retype import retyped, vmas
from addax.interpreters.transpose import backward_pass
from addax.interpreters.values import (
    Axis,
    UndefinedPrimal,
    Zero,
    is_linear,
    move_axis,
    reshape,
    scalar_of,
    shape_of,
)
from addax.ops.collective import NamedAxisEffect
from addax.ops.rules import program_primitive

P = PartitionSpec
Specs = tuple[PartitionSpec, ...]


# ---------------------------------------------------------------------------------------------------------------------
# Shapes


def local_shape(shape: Sequence[int], spec: PartitionSpec, mesh) -> tuple[int, ...]:
    """The shape of one device's part."""
    return tuple(n // cut for n, cut in zip(shape, cuts(spec, len(shape), mesh), strict=True))


def global_shape(shape: Sequence[int], spec: PartitionSpec, mesh) -> tuple[int, ...]:
    """The shape of the whole."""
    return tuple(n * cut for n, cut in zip(shape, cuts(spec, len(shape), mesh), strict=True))


def cuts(spec: PartitionSpec, ndim: int, mesh) -> list[int]:
    return [math.prod(mesh.shape[a] for a in spec.axes_of(d)) for d in range(ndim)]


def local_aval(aval, spec: PartitionSpec, mesh, tracked: bool):
    """The type of an operand inside."""
    axes = spec.axes() if tracked else ()
    return aval.update(shape=local_shape(aval.shape, spec, mesh), vma=aval.vma.union(axes))


def global_aval(aval, spec: PartitionSpec, mesh, names: frozenset):
    """The type of a result outside."""
    return aval.update(shape=global_shape(aval.shape, spec, mesh), vma=aval.vma - names)


def inside(mesh, newly_manual_axes: frozenset, check_vma: bool) -> contextlib.AbstractContextManager:
    """The named axes that the body may refer to."""
    return manual_scope(mesh, newly_manual_axes, check_vma)


# ---------------------------------------------------------------------------------------------------------------------
# Building equations


def bind_body(
    closed: ClosedJaxpr, operands: Sequence[Any], in_specs: Sequence, out_specs: Sequence, common: dict[str, Any],
    bind: Callable[..., list] | None = None,
) -> list:  # fmt: skip
    """An equation with this body. Arrays that the body captures become operands that all devices share."""
    if closed.consts:
        operands = [*closed.consts, *operands]
        in_specs = [*(P() for _ in closed.consts), *in_specs]
        closed = closed.derive(_without_consts)
    bind = bind or shard_map_p.bind
    return bind(*operands, jaxpr=closed, in_specs=tuple(in_specs), out_specs=tuple(out_specs), **common)


def _without_consts(closed: ClosedJaxpr) -> ClosedJaxpr:
    jaxpr = closed.jaxpr
    return ClosedJaxpr(jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars]))


def _type(*avals, jaxpr: ClosedJaxpr, mesh, in_specs: Specs, out_specs: Specs, newly_manual_axes, check_vma):
    if len(avals) != len(jaxpr.in_avals):
        raise TypeError(f"shard_map: the body takes {len(jaxpr.in_avals)} arguments, got {len(avals)}")
    for i, (a, want, spec) in enumerate(zip(avals, jaxpr.in_avals, in_specs, strict=True)):
        if a.dtype != want.dtype or a.shape != global_shape(want.shape, spec, mesh):
            raise TypeError(
                f"shard_map: operand {i} is {a.str_short()}, but the body takes parts of type {want.str_short()}, cut as "
                f"{spec} over {mesh!r}"
            )
    return [global_aval(a, s, mesh, newly_manual_axes) for a, s in zip(jaxpr.out_avals, out_specs, strict=True)]


def _effects(*_, jaxpr, newly_manual_axes, **__):
    return frozenset(e for e in jaxpr.effects if type(e) is not NamedAxisEffect or e.name not in newly_manual_axes)


def _varying(operands, params):
    """Inside of another `shard_map`: operands vary along the outer axes as well."""
    closed, names = params["jaxpr"], params["newly_manual_axes"]
    inner = vmas(closed.in_avals)
    wanted = [v | (w - names) for v, w in zip(operands, inner, strict=True)]
    if not any(wanted):
        return None
    with inside(params["mesh"], names, params["check_vma"]):
        closed = retyped(closed, [w | v for v, w in zip(wanted, inner, strict=True)])
    return wanted, {**params, "jaxpr": closed}, [v - names for v in vmas(closed.out_avals)]


def _scope(params):
    return inside(params["mesh"], params["newly_manual_axes"], params["check_vma"])


# ---------------------------------------------------------------------------------------------------------------------
# Derivatives


def _jvp(primals, tangents, *, jaxpr, in_specs, out_specs, **common):
    nonzero = [type(t) is not Zero for t in tangents]
    with _scope(common):
        program, out_nonzero = jvp_jaxpr(jaxpr, nonzero)
    specs = [*in_specs, *(s for s, nz in zip(in_specs, nonzero, strict=True) if nz)]
    results = [*out_specs, *(s for s, nz in zip(out_specs, out_nonzero, strict=True) if nz)]
    live = [t for t in tangents if type(t) is not Zero]
    outs = bind_body(program, [*primals, *live], specs, results, common)
    n = len(out_specs)
    rest = iter(outs[n:])
    return outs[:n], [next(rest) if nz else Zero.of(x) for nz, x in zip(out_nonzero, outs[:n], strict=True)]


def _residual_axes(aval, common) -> tuple:
    """The axes along which the parts of a residual may differ, in the order of the mesh."""
    mesh, names = common["mesh"], common["newly_manual_axes"]
    own = aval.vma if common["check_vma"] else names
    return tuple(a for a in mesh.axis_names if a in own and a in names)


def _partial_eval(split, args, unknown, *, jaxpr, in_specs, out_specs, **common):
    with _scope(common):
        cut = split_jaxpr(jaxpr, unknown)
        n_known = cut.out_unknown.count(False)
        # What goes from the first program to the second, each value once: an operand as it is, anything else as a new
        # result. (A result of the first program may have a spec that hides along which axes it varies.)
        computed = tuple(sorted({i for kind, i in cut.residuals if kind == "out"}))
        avals = {i: cut.known.out_avals[i] for i in computed}
        known = cut.known.derive(_with_residuals, n_known, computed)
        res_avals = [cut.known.in_avals[i] if kind == "in" else avals[i] for kind, i in cut.residuals]
        packed = tuple(kind == "out" and not a.shape for (kind, _), a in zip(cut.residuals, res_avals, strict=True))
        later = cut.unknown.derive(_unpacking, packed)
    known_args = [x for x, u in zip(args, unknown, strict=True) if not u]
    known_specs = [s for s, u in zip(in_specs, unknown, strict=True) if not u]
    res_specs = {i: P(_residual_axes(a, common)) for i, a in avals.items()}
    specs = [s for s, u in zip(out_specs, cut.out_unknown, strict=True) if not u]
    outs: list[Any] = []
    if known.jaxpr.outvars:
        outs = bind_body(
            known, known_args, known_specs, [*specs, *res_specs.values()], common,
            lambda *xs, **params: split.run_now(shard_map_p, xs, params),
        )  # fmt: skip
    computed_values = dict(zip(computed, outs[n_known:], strict=True))
    values = [known_args[i] if kind == "in" else computed_values[i] for kind, i in cut.residuals]
    value_specs = [known_specs[i] if kind == "in" else res_specs[i] for kind, i in cut.residuals]
    later_outs: list[Any] = []
    if later.jaxpr.outvars or later.effects:
        later_outs = bind_body(
            later,
            [*values, *(x for x, u in zip(args, unknown, strict=True) if u)],
            [*value_specs, *(s for s, u in zip(in_specs, unknown, strict=True) if u)],
            [s for s, u in zip(out_specs, cut.out_unknown, strict=True) if u],
            common,
            lambda *xs, **params: split.write_later(shard_map_p, xs, params),
        )
    now, then = iter(outs[:n_known]), iter(later_outs)
    return [next(then) if u else next(now) for u in cut.out_unknown]


def _with_residuals(closed: ClosedJaxpr, n_outs: int, computed: Sequence[int]) -> ClosedJaxpr:
    """The program that gives its first ``n_outs`` results and then those numbered ``computed``, scalars as ``[1]``."""

    def program(*args):
        outs = eval_jaxpr(closed.jaxpr, closed.consts, *args)
        return [*outs[:n_outs], *(outs[i] if shape_of(outs[i]) else reshape(outs[i], (1,)) for i in computed)]

    return ClosedJaxpr(*trace_to_jaxpr(program, closed.in_avals, closed.jaxpr.debug_info))


def _unpacking(closed: ClosedJaxpr, packed: Sequence[bool]) -> ClosedJaxpr:
    """The program whose first arguments arrive as ``[1]`` where they are ``packed`` scalars."""
    if not any(packed):
        return closed
    flags = [*packed, *[False] * (len(closed.in_avals) - len(packed))]

    def program(*args):
        args = [reshape(x, ()) if p else x for x, p in zip(args, flags, strict=True)]
        return eval_jaxpr(closed.jaxpr, closed.consts, *args)

    avals = [a.update(shape=(1,)) if p else a for a, p in zip(closed.in_avals, flags, strict=True)]
    return ClosedJaxpr(*trace_to_jaxpr(program, avals, closed.jaxpr.debug_info))


def _psum(x, axes):
    axes = tuple(axes)
    return registry["psum"].bind(x, axes=axes, axis_index_groups=None)[0] if axes else x


def _transpose(cts, *args, jaxpr, in_specs, out_specs, **common):
    linear = tuple(is_linear(x) for x in args)
    nonzero = tuple(type(c) is not Zero for c in cts)
    where = common["mesh"], common["newly_manual_axes"], common["check_vma"]
    program, live = jaxpr.derive(_transposed, linear, nonzero, in_specs, out_specs, *where)
    operands = [x for x, lin in zip(args, linear, strict=True) if not lin] + [c for c in cts if type(c) is not Zero]
    specs = [s for s, lin in zip(in_specs, linear, strict=True) if not lin]
    specs += [s for s, nz in zip(out_specs, nonzero, strict=True) if nz]
    wanted = [s for s, has in zip(in_specs, live, strict=True) if has]
    outs = iter(bind_body(program, operands, specs, wanted, common) if wanted else [])
    return [next(outs) if has else None for has in live]


def _transposed(
    jaxpr, linear, nonzero, in_specs, out_specs, mesh, newly_manual_axes, check_vma
) -> tuple[ClosedJaxpr, list[bool]]:
    """``(other operands, nonzero cotangents) -> cotangents``, and which operands get one."""
    order = [a for a in mesh.axis_names if a in newly_manual_axes]
    live = []

    def program(*args):
        given = iter(args)
        inputs = [UndefinedPrimal(a) if lin else next(given) for a, lin in zip(jaxpr.in_avals, linear, strict=True)]
        cts = [
            of_one_device(next(given), a, spec.axes()) if nz else Zero(a)
            for a, spec, nz in zip(jaxpr.out_avals, out_specs, nonzero, strict=True)
        ]
        results = backward_pass(jaxpr.jaxpr, jaxpr.consts, inputs, cts)
        live.extend(lin and type(c) is not Zero for c, lin in zip(results, linear, strict=True))
        return [
            c if check_vma else _psum(c, [n for n in order if n not in spec.axes()])
            for c, spec, has in zip(results, in_specs, live, strict=True) if has
        ]  # fmt: skip

    def of_one_device(ct, aval, axes):
        """The cotangent of a result on one device, of that of the whole."""
        if check_vma:
            return _psum(ct, [n for n in axes if n not in aval.vma])
        copies = math.prod(mesh.shape[n] for n in order if n not in axes)
        return ct if copies == 1 else registry["div"].bind(ct, scalar_of(copies, get_aval(ct)))

    with inside(mesh, newly_manual_axes, check_vma):
        avals = [a for a, lin in zip(jaxpr.in_avals, linear, strict=True) if not lin]
        avals += [
            a.update(vma=a.vma.union(spec.axes())) if check_vma else a
            for a, spec, nz in zip(jaxpr.out_avals, out_specs, nonzero, strict=True) if nz
        ]  # fmt: skip
        return ClosedJaxpr(*trace_to_jaxpr(program, avals, jaxpr.jaxpr.debug_info)), live


# ---------------------------------------------------------------------------------------------------------------------
# Batching


def _batch(axis, args, dims, *, jaxpr, in_specs, out_specs, **common):
    """One more leading dimension. It is cut over the mesh axes that `vmap` was told (``spmd_axis_name``) if they are manual
    here, and neither the body nor the specs use them; otherwise every device has all examples.
    """
    batched = [d is not None for d in dims]
    spread = _spread_over(axis, jaxpr, (*in_specs, *out_specs), common)
    with _scope(common):
        if spread:
            axis = Axis(axis.size // math.prod(common["mesh"].shape[a] for a in spread), axis.name)
            if common["check_vma"]:
                jaxpr = retyped(
                    jaxpr, [v.union(spread) if b else v for v, b in zip(vmas(jaxpr.in_avals), batched, strict=True)]
                )
        program, out_batched = batch_jaxpr(jaxpr, axis, batched)
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    ins, results = ([P(spread, *s) if b else s for s, b in zip(specs, flags, strict=True)]
                    for specs, flags in ((in_specs, batched), (out_specs, out_batched)))  # fmt: skip
    outs = bind_body(program, moved, ins, results, common)
    return outs, [0 if b else None for b in out_batched]


def _spread_over(axis, jaxpr: ClosedJaxpr, specs, common) -> tuple:
    """The mesh axes over which a batch is spread."""
    names = axis.spmd_name
    names = names if isinstance(names, tuple) else () if names is None else (names,)
    used = {a for s in specs for a in s.axes()} | {e.name for e in jaxpr.effects if type(e) is NamedAxisEffect}
    if used.intersection(names) or axis.name in used or not common["newly_manual_axes"].issuperset(names):
        return ()
    return names if axis.size % math.prod(common["mesh"].shape[a] for a in names) == 0 else ()


# ---------------------------------------------------------------------------------------------------------------------
# The definition: the body mapped over each manual axis


def _expand(*avals, jaxpr, mesh, in_specs, out_specs, newly_manual_axes, check_vma) -> ClosedJaxpr:
    """The program without devices: every operand is cut into a batch of parts, over which the body is vmapped, one axis
    of the mesh after the other; the parts of results are put together again.
    """
    order = [a for a in mesh.axis_names if a in newly_manual_axes]
    body = jaxpr.derive(without_vma)

    def program(*args):
        cut = [_cut(x, s, mesh, order) for x, s in zip(args, in_specs, strict=True)]
        outs, out_axes = _map_over(body, mesh, order, [x for x, _ in cut], [axes for _, axes in cut])
        return [_join(x, a, s, mesh) for x, a, s in zip(outs, out_axes, out_specs, strict=True)]

    return ClosedJaxpr(*trace_to_jaxpr(program, [a.update(vma=INVARIANT) for a in avals], jaxpr.jaxpr.debug_info))


def _cut(x, spec, mesh, order) -> tuple[Any, list]:
    """``x`` as an array of parts, and the mesh axes that its leading dimensions count."""
    shape: list[int] = []
    where: dict[Any, int] = {}
    for d, n in enumerate(shape_of(x)):
        axes = spec.axes_of(d)
        for a in axes:
            where[a] = len(shape)
            shape.append(mesh.shape[a])
        shape.append(n // math.prod(mesh.shape[a] for a in axes))
    x = reshape(x, shape)
    present = [a for a in order if a in where]
    lead = [where[a] for a in present]
    rest = [d for d in range(len(shape)) if d not in lead]
    return _permute(x, [*lead, *rest]), present


def _permute(x, order):
    return x if list(order) == list(range(len(order))) else registry["transpose"].bind(x, permutation=tuple(order))


def _map_over(body: ClosedJaxpr, mesh, axes: Sequence, parts: list, axes_of: list[list]) -> tuple[list, list[list]]:
    """Run the body on all parts: results, and the mesh axes that their leading dimensions count."""
    if not axes:
        return eval_jaxpr(body.jaxpr, body.consts, *parts), [[] for _ in body.out_avals]
    first, rest = axes[0], axes[1:]
    inner_axes = [[a for a in mine if a != first] for mine in axes_of]
    found: list[list] = []

    def inner(*xs):
        outs, out_axes = _map_over(body, mesh, rest, list(xs), inner_axes)
        found[:] = out_axes
        return outs

    dims = [0 if first in mine else None for mine in axes_of]
    with manual_scope(mesh, frozenset([first]), False):
        outs, out_dims = batch_flat(inner, Axis(mesh.shape[first], first), parts, dims, current_trace())
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(outs, out_dims, strict=True)]
    return moved, [mine if d is None else [first, *mine] for mine, d in zip(found, out_dims, strict=True)]


def _join(x, present: list, spec, mesh):
    """The whole, of parts. Along axes that the spec does not name all parts are the same; the first is taken."""
    named = spec.axes()
    for a in [a for a in present if a not in named]:
        d = present.index(a)
        shape = shape_of(x)
        x = registry["slice"].bind(
            x, start_indices=(0,) * len(shape), limit_indices=(*shape[:d], 1, *shape[d + 1 :]), strides=None
        )
        x = reshape(x, (*shape[:d], *shape[d + 1 :]))
        present = [b for b in present if b != a]
    for a in [a for a in named if a not in present]:  # the same part everywhere, also along an axis that is named
        shape = shape_of(x)
        x = registry["broadcast_in_dim"].bind(
            x, shape=(mesh.shape[a], *shape), broadcast_dimensions=tuple(range(1, len(shape) + 1)), sharding=None
        )
        present = [a, *present]
    lead = len(present)
    permutation: list[int] = []
    final: list[int] = []
    part = shape_of(x)[lead:]
    for d, n in enumerate(part):
        axes = spec.axes_of(d)
        permutation += [*(present.index(a) for a in axes), lead + d]
        final.append(n * math.prod(mesh.shape[a] for a in axes))
    return reshape(_permute(x, permutation), final)


def without_vma(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The program with types that do not say along which axes values vary."""
    return ClosedJaxpr(_strip(closed.jaxpr), closed.consts)


def _strip(jaxpr: Jaxpr) -> Jaxpr:
    env: dict[Any, Any] = {}

    def new(v):
        env[v] = out = Var(v.aval.update(vma=INVARIANT)) if getattr(v.aval, "vma", None) else v
        return out

    def read(x):
        return x if type(x) is Literal else env[x]

    def value(p) -> Any:
        if isinstance(p, ClosedJaxpr):
            return p.derive(without_vma)
        if isinstance(p, Jaxpr):
            return _strip(p)
        return tuple(map(value, p)) if type(p) is tuple and any(True for _ in subjaxprs({"p": p})) else p

    constvars, invars, eqns = list(map(new, jaxpr.constvars)), list(map(new, jaxpr.invars)), []
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "pvary":
            env[eqn.outvars[0]] = read(eqn.invars[0])
            continue
        params = {k: value(p) for k, p in eqn.params.items()}
        if eqn.primitive.name == "custom_lin":
            params["out_avals"] = [a.update(vma=INVARIANT) for a in params["out_avals"]]
        ins = list(map(read, eqn.invars))
        eqns.append(Eqn(eqn.primitive, ins, list(map(new, eqn.outvars)), params, eqn.effects, eqn.source))
    return Jaxpr(constvars, invars, list(map(read, jaxpr.outvars)), eqns, jaxpr.effects, jaxpr.debug_info)


def _write_names(names: frozenset) -> str:
    return f"frozenset({{{', '.join(sorted(map(repr, names)))}}})"


shard_map_p = program_primitive(
    "shard_map", _type, jvp=_jvp, partial_eval=_partial_eval, transpose=_transpose, batch=_batch, effects=_effects,
    expand=_expand, varying=_varying, scope=_scope,
    notation=Notation(spelled={"newly_manual_axes": (_write_names, frozenset)}),
)  # fmt: skip

__all__ = ["bind_body", "global_shape", "inside", "local_aval", "shard_map_p", "vary", "vma_of"]
