"""Explicit mesh axes: how each value of a program is cut along them, ``f32[8@x,4]``, worked out from the program.

Along the ``Explicit`` axes of a mesh the layout of a value follows from those of what it was made of, by a rule per family
of primitives, and is no choice of the compiler's. Layouts stand beside types, not in them: `Layouts` walks a program from
its arguments on, and knows for each value which mesh axes cut which dimension. So tracing, derivatives and batching know
nothing of all this, and programs over ``Auto`` axes pay nothing for it.

Two things are asked of it: where the results of a program are, when the XLA engine compiles it; and ``typeof(x).sharding``.
Operands that are cut in ways that do not go together are an error, with the line of the program. Where JAX asks for an
``out_sharding`` because several layouts are as good (a product that contracts cut dimensions, indexing with arrays), the
sum is whole on every device, or the layout is left to the compiler: the program runs; `reshard` or ``out_sharding`` says
otherwise.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from addax._native import Array
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import JaxprTracer
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, Literal
from addax.core.mesh import AxisType, Mesh, current_mesh
from addax.core.sharding import NamedSharding, PartitionSpec, ShardingTypeError
from addax.interpreters.batching import BatchTracer
from addax.interpreters.jvp import JVPTracer
from addax.ops.rules import Elementwise

Layout = tuple | None
"""Per dimension what cuts it: None, a mesh axis, or a tuple of axes; or None for a value of which nothing is known."""


class Layouts:
    """The layouts of the values of a program.

    Args:
      mesh: the mesh whose explicit axes count.
    """

    def __init__(self, mesh, programs: dict | None = None):
        self.mesh, self.axes = mesh, frozenset(mesh.explicit_axes)
        self.known: dict[Any, Layout] = {}
        self.walked = 0
        self.programs = {} if programs is None else programs  # results of inner programs, which may be called often

    def of_sharding(self, sharding, ndim: int) -> Layout:
        """What a sharding says of the explicit axes."""
        if not isinstance(sharding, NamedSharding):
            return (None,) * ndim
        types = dict(zip(sharding.mesh.axis_names, sharding.mesh.axis_types, strict=True))
        if any(types.get(a) is not AxisType.Explicit for a in self.axes):
            return None  # a mesh on which these axes are the compiler's: inside of `auto_axes`
        if PartitionSpec.UNCONSTRAINED in tuple(sharding.spec):
            return None
        return tuple(_entry(a for a in sharding.spec.axes_of(d) if a in self.axes) for d in range(ndim))

    def sharding(self, layout: tuple) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(*layout))

    def program(self, closed: ClosedJaxpr, arguments: Sequence[Layout]) -> list[Layout]:
        """The layouts of a program's results."""
        key = (id(closed.jaxpr), *arguments)
        found = self.programs.get(key)
        if found is None:
            inner = Layouts(self.mesh, self.programs)
            inner.begin(closed.jaxpr, arguments)
            inner.walk(closed.jaxpr.eqns)
            found = self.programs[key] = [inner.read(x) for x in closed.jaxpr.outvars]
        return found

    def begin(self, jaxpr: Jaxpr, arguments: Sequence[Layout]) -> None:
        self.known.update({v: (None,) * v.aval.ndim for v in jaxpr.constvars})
        self.known.update(zip(jaxpr.invars, arguments, strict=True))

    def walk(self, eqns: Sequence[Any]) -> None:
        """Go on, up to the last of ``eqns``, from where the last call stopped."""
        for eqn in eqns[self.walked :]:
            layouts = [self.read(x) for x in eqn.invars]
            self.known.update(zip(eqn.outvars, self.results(eqn, layouts), strict=True))
        self.walked = len(eqns)

    def read(self, x) -> Layout:
        return (None,) * len(getattr(x.aval, "shape", ())) if type(x) is Literal else self.known.get(x)

    def results(self, eqn, layouts: list[Layout]) -> Sequence[Layout]:
        name = eqn.primitive.name
        rule = RULES.get(name) or (_elementwise if isinstance(eqn.primitive, Elementwise) else None)
        if rule is None or (None in layouts and name not in _PROGRAMS):
            return [None] * len(eqn.outvars)
        found = rule(self, eqn, *layouts)
        outs = found if isinstance(found, list) else [found] * len(eqn.outvars)
        return [self.possible(o, v.aval) for o, v in zip(outs, eqn.outvars, strict=True)]

    def loop(self, body: ClosedJaxpr, consts: list, carry: list, xs: list) -> tuple[list, list]:
        """What goes round a loop is cut where it is cut at the start and after each turn."""
        while True:
            outs = self.program(body, [*consts, *carry, *xs])
            after = [_common(pair) for pair in zip(carry, outs, strict=False)]
            if after == carry:
                return carry, outs[len(carry) :]
            carry = after

    def possible(self, layout: Layout, aval) -> Layout:
        """The layout, if no axis cuts twice and sizes divide; else nothing is claimed."""
        if layout is None:
            return None
        axes = [a for e in layout for a in _axes(e)]
        if len(axes) != len(set(axes)):
            return None
        return layout if all(n % self.cuts(e) == 0 for n, e in zip(aval.shape, layout, strict=True)) else None

    def cuts(self, entry) -> int:
        return math.prod(self.mesh.shape[a] for a in _axes(entry))


def _axes(entry) -> tuple:
    return () if entry is None else entry if isinstance(entry, tuple) else (entry,)


def _entry(axes) -> Any:
    found = tuple(axes)
    return None if not found else found[0] if len(found) == 1 else found


def type_text(text: str, shape: Sequence[Any], layout: tuple) -> str:
    """A type with what cuts its dimensions: ``float32[8@x,4]``."""
    sizes = [str(n) if e is None else f"{n}@{_entry_text(e)}" for n, e in zip(shape, layout, strict=True)]
    head, _, tail = text.partition("[")
    return f"{head}[{','.join(sizes)}]{tail.partition(']')[2]}"


def _entry_text(entry) -> str:
    return f"({','.join(map(str, entry))})" if isinstance(entry, tuple) else str(entry)


# ---------------------------------------------------------------------------------------------------------------------
# Types of values, as they are asked for while a program is traced


class ShardedType(ShapedArray):
    """The type of a value that is laid out along explicit axes: ``float32[8@x,4]``, and its ``sharding``."""

    __slots__ = ("sharding",)
    sharding: NamedSharding

    def __new__(cls, aval: ShapedArray, sharding: NamedSharding) -> ShardedType:
        self = object.__new__(cls)
        for name in ("shape", "dtype", "weak_type", "vma", "ndim", "size", "_desc", "_tangent"):
            setattr(self, name, getattr(aval, name))
        self.sharding = sharding
        return self

    def str_short(self, short_dtypes: bool = True) -> str:
        return type_text(super().str_short(short_dtypes), self.shape, tuple(self.sharding.spec))

    def _key(self):
        return self.shape, self.dtype, self.weak_type, self.vma, self.sharding

    def __eq__(self, other) -> bool:
        return isinstance(other, ShardedType) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self):
        return ShardedType, (ShapedArray(self.shape, self.dtype, self.weak_type, self.vma), self.sharding)


def type_of(x) -> Any:
    """The aval of a value, with its sharding if that is known along explicit axes."""
    aval, where = get_aval(x), sharding_of(x)
    return aval if where is None else ShardedType(aval, where)


def sharding_of(x) -> NamedSharding | None:
    """Where a value is along explicit axes; None if there are none, or nothing is known."""
    if isinstance(x, JaxprTracer):
        trace = x._trace
        if trace.layouts is None:
            mesh = current_mesh()
            if mesh is None or not mesh.explicit_axes:
                return None
            trace.layouts = Layouts(mesh)  # of its arguments nothing is known
        layouts = trace.layouts
        for v in trace.constvars:
            layouts.known.setdefault(v, (None,) * v.aval.ndim)
        layouts.walk(trace.eqns)
        layout = layouts.read(x.variable)
        return None if layout is None else layouts.sharding(layout)
    if isinstance(x, JVPTracer):
        return sharding_of(x.primal)
    if isinstance(x, BatchTracer):
        whole = sharding_of(x.val)
        if whole is None:
            return None
        spec = list(whole.spec)
        return NamedSharding(whole.mesh, PartitionSpec(*spec[: x.dim], *spec[x.dim + 1 :]))
    where = x._device if isinstance(x, Array) else None
    if not isinstance(where, NamedSharding) or not where.mesh.explicit_axes:
        return None
    layouts = Layouts(where.mesh)
    layout = layouts.of_sharding(where, x.ndim)
    return None if layout is None else layouts.sharding(layout)


def placed(leaves: Sequence[Any]) -> tuple:
    """Where the arguments of a function are along explicit axes: part of what its trace depends on. () if there are none."""
    if not Mesh._interned:
        return ()
    found = tuple([sharding_of(x) for x in leaves])
    return found if any(found) else ()


def begin(trace, where: tuple) -> None:
    """Note in a trace where its arguments are, so that ``typeof`` can tell where what is made of them is."""
    mesh = next((s.mesh for s in where if s is not None), None)
    if mesh is not None:
        trace.layouts = layouts = Layouts(mesh)
        for v, s in zip(trace.invars, where, strict=True):
            layouts.known[v] = layouts.of_sharding(s, v.aval.ndim)


# ---------------------------------------------------------------------------------------------------------------------
# Rules: (layouts of the program, equation, *layouts of operands) -> layout of each result, or a list of them

RULES: dict[str, Callable[..., Any]] = {}
_PROGRAMS = frozenset({"jit", "custom_jvp_call", "custom_vjp_call", "checkpoint", "cond", "scan", "while"})
_PROGRAMS |= {"shard_map", "sharding_constraint", "iota", "empty"}


def _rule(*names: str):
    def register(rule):
        for name in names:
            RULES[name] = rule
        return rule

    return register


def _typed(aval, layout: tuple) -> str:
    return type_text(aval.str_short(False), aval.shape, layout)


def _disagree(eqn, layouts: Sequence[tuple], d: int, why: str) -> ShardingTypeError:
    types = [_typed(x.aval, layout) for x, layout in zip(eqn.invars, layouts, strict=True)]
    cut = [layout for layout in layouts if len(layout) > d and layout[d] is not None]
    entries = list(dict.fromkeys(layout[d] for layout in cut))
    return ShardingTypeError(
        f"{eqn.primitive.name} got incompatible shardings for {why}: {', '.join(map(str, dict.fromkeys(layouts)))}. Its "
        f"operands are {' and '.join(types)}: dimension {d} is cut over mesh axis "
        f"{' in one and over '.join(repr(e) for e in entries)} in the other. Lay them out alike before: "
        f"reshard(x, {PartitionSpec(*cut[0])!r})." + ("" if eqn.source is None else f"\n  in {eqn.source_info}")
    )


def _merged(eqn, layouts: Sequence[tuple], shapes: Sequence[tuple], why: str) -> tuple:
    """One layout for operands of equal rank: each dimension as those that cut it agree. Scalars and dimensions of size 1,
    which are stretched, have no say."""
    rank = max(map(len, layouts), default=0)
    merged = []
    for d in range(rank):
        entries = {x[d] for x, s in zip(layouts, shapes, strict=True) if len(x) > d and s[d] != 1} - {None}
        if len(entries) > 1:
            raise _disagree(eqn, layouts, d, why)
        merged.append(entries.pop() if entries else None)
    return tuple(merged)


@_rule("select_n", "clamp", "convert_element_type", "copy", "stop_gradient", "name", "reduce_precision", "random_clone")
def _elementwise(self: Layouts, eqn, *layouts):
    return _merged(eqn, layouts, [x.aval.shape for x in eqn.invars], "broadcasting")


@_rule("optimization_barrier")
def _each(self, eqn, *layouts):
    return list(layouts)


@_rule("rev", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "dynamic_update_slice")
@_rule("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max", "scatter-apply")
def _as_first(self, eqn, first, *rest):
    return first


@_rule("sort")
def _sort(self, eqn, *layouts):
    return _merged(eqn, layouts, [x.aval.shape for x in eqn.invars], "sorting together")


@_rule("iota", "empty")
def _new(self, eqn):
    return (None,) * eqn.outvars[0].aval.ndim


@_rule("broadcast_in_dim")
def _broadcast(self, eqn, x):
    out = [None] * len(eqn.params["shape"])
    for d, to in enumerate(eqn.params["broadcast_dimensions"]):
        if eqn.invars[0].aval.shape[d] == eqn.params["shape"][to]:
            out[to] = x[d]
    return tuple(out)


@_rule("transpose")
def _transpose(self, eqn, x):
    return tuple(x[d] for d in eqn.params["permutation"])


@_rule("squeeze")
def _squeeze(self, eqn, x):
    gone = {d % len(x) for d in eqn.params["dimensions"]}
    return tuple(e for d, e in enumerate(x) if d not in gone)


@_rule("reshape")
def _reshape(self, eqn, x):
    """Dimensions that are joined are cut by the axes of all of them; of one that is split the first part is cut."""
    before, after = eqn.invars[0].aval.shape, eqn.params["new_sizes"]
    if eqn.params["dimensions"] is not None or 0 in before:
        return None
    ends, new_ends = (list(itertools.accumulate(shape, operator.mul)) for shape in (before, after))
    out: list[Any] = [None] * len(after)
    start = 0
    for end in sorted(set(ends) & set(new_ends)):  # between two of these a group of dimensions becomes another
        axes = [a for e, k in zip(x, ends, strict=True) if start < k <= end for a in _axes(e)]
        if axes:
            first = next(d for d, k in enumerate(new_ends) if start < k <= end and after[d] != 1)
            out[first] = _entry(axes)
        start = end
    return tuple(out)


@_rule(
    "reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_xor", "argmax", "argmin"
)
def _reduce(self, eqn, x):
    return tuple(e for d, e in enumerate(x) if d not in eqn.params["axes"])


@_rule("slice", "dynamic_slice", "pad")
def _part(self, eqn, x, *_):
    """Dimensions stay as they are cut, if what is left of them can be."""
    return tuple(e if n % self.cuts(e) == 0 else None for e, n in zip(x, eqn.outvars[0].aval.shape, strict=True))


@_rule("gather")
def _gather(self, eqn, x, indices):
    """The examples of a batch, and dimensions that are taken whole; else it is the compiler's choice."""
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    window = iter([d for d in range(len(x)) if d not in gone])
    rows = iter(range(len(indices)))
    pairs = dict(zip(numbers.start_indices_batching_dims, numbers.operand_batching_dims, strict=True))
    shape, out, used = eqn.invars[0].aval.shape, [], set(numbers.operand_batching_dims)
    for d in range(eqn.outvars[0].aval.ndim):
        if d in numbers.offset_dims:
            taken = next(window)
            whole = sizes[taken] == shape[taken]
            used.update([taken] if whole else ())
            out.append(x[taken] if whole else None)
        else:
            row = next(rows)
            out.append(indices[row] or (x[pairs[row]] if row in pairs else None))
    return tuple(out) if all(e is None or d in used for d, e in enumerate(x)) else None


@_rule("fft")
def _fft(self, eqn, x):
    return (*x[: len(x) - len(eqn.params["fft_lengths"])], *[None] * len(eqn.params["fft_lengths"]))


@_rule("top_k")
def _top_k(self, eqn, x):
    axis = eqn.params["axis"] % len(x)
    return [(*x[:axis], None, *x[axis + 1 :])] * 2


@_rule("conv_general_dilated")
def _convolution(self, eqn, x, w):
    """Batches are cut as those of the images, features as those of the kernel."""
    lhs_spec, rhs_spec, out_spec = eqn.params["dimension_numbers"]
    out: list[Any] = [None] * len(x)
    out[out_spec[0]], out[out_spec[1]] = x[lhs_spec[0]], w[rhs_spec[0]]
    return tuple(out)


@_rule("cholesky", "lu", "qr", "geqrf", "eigh", "svd", "eig", "schur", "hessenberg", "tridiagonal", "triangular_solve")
def _of_matrices(self, eqn, x, *rest):
    """Matrices are whole in the results, batches of them are cut as those of the (first) operand."""
    return [(*x[:-2], *[None] * (v.aval.ndim - len(x) + 2)) for v in eqn.outvars]


@_rule("concatenate")
def _concatenate(self, eqn, *layouts):
    return _merged(eqn, layouts, [(2,) * len(x) for x in layouts], "concatenation")


@_rule("stack")
def _stack(self, eqn, *layouts):
    merged = list(_merged(eqn, layouts, [(2,) * len(x) for x in layouts], "stacking"))
    merged.insert(eqn.params["axis"], None)
    return tuple(merged)


@_rule("dot_general")
def _dot(self, eqn, x, y):
    (cx, cy), (bx, by) = eqn.params["dimension_numbers"]
    for what, mine, theirs in (("contracting", cx, cy), ("batch", bx, by)):
        for d, e in zip(mine, theirs, strict=True):
            if x[d] is not None and y[e] is not None and x[d] != y[e]:
                a, b = (_typed(v.aval, cut) for v, cut in zip(eqn.invars, (x, y), strict=True))
                raise ShardingTypeError(
                    f"dot_general requires {what} dimensions to have consistent sharding, got {x[d]!r} and {y[e]!r}: of {a} "
                    f"dimension {d} meets dimension {e} of {b}. Lay one out as the other before, with reshard."
                    + ("" if eqn.source is None else f"\n  in {eqn.source_info}")
                )
    batch = [x[d] if x[d] is not None else y[e] for d, e in zip(bx, by, strict=True)]
    left = [e for d, e in enumerate(x) if d not in (*cx, *bx)]
    right = [e for d, e in enumerate(y) if d not in (*cy, *by)]
    return (*batch, *left, *right)


@_rule("sharding_constraint")
def _constraint(self, eqn, x):
    return self.of_sharding(eqn.params["sharding"], eqn.outvars[0].aval.ndim)


@_rule("shard_map")
def _shard_map(self, eqn, *layouts):
    return [
        tuple(_entry(a for a in spec.axes_of(d) if a in self.axes) for d in range(v.aval.ndim))
        for spec, v in zip(eqn.params["out_specs"], eqn.outvars, strict=True)
    ]


@_rule("jit", "custom_jvp_call", "custom_vjp_call", "checkpoint")
def _call(self, eqn, *layouts):
    closed = next(p for p in eqn.params.values() if isinstance(p, ClosedJaxpr))
    return self.program(closed, layouts) if len(closed.in_avals) == len(layouts) else None


@_rule("cond")
def _cond(self, eqn, index, *layouts):
    return [_common(found) for found in zip(*(self.program(b, layouts) for b in eqn.params["branches"]), strict=True)]


@_rule("scan")
def _scan(self, eqn, *layouts):
    p = eqn.params
    n, k = p["num_consts"], p["num_consts"] + p["num_carry"]
    xs = [None if x is None else x[1:] for x in layouts[k:]]
    carry, outs = self.loop(p["jaxpr"], list(layouts[:n]), list(layouts[n:k]), xs)
    return [*carry, *(None if y is None else (None, *y) for y in outs)]


@_rule("while")
def _while(self, eqn, *layouts):
    p = eqn.params
    first = p["cond_nconsts"]
    start = first + p["body_nconsts"]
    return self.loop(p["body_jaxpr"], list(layouts[first:start]), list(layouts[start:]), [])[0]


def _common(layouts: Sequence[Layout]) -> Layout:
    if None in layouts:
        return None
    return tuple(next(iter(set(es))) if len(set(es)) == 1 else None for es in zip(*layouts, strict=True))
