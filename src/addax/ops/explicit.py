"""Explicit mesh axes: how each value of a program is cut along them, ``f32[8@x,4]``, worked out from the program.

Along the ``Explicit`` axes of a mesh the layout of a value follows from those of what it was made of, by a rule per family
of primitives (ops/explicit_rules.py), and is no choice of the compiler's. Layouts stand beside types, not in them:
`Layouts` walks a program from its arguments on, and knows for each value which mesh axes cut which dimension. So tracing,
derivatives and batching know nothing of all this, and programs over ``Auto`` axes pay nothing for it.

Two things are asked of it: where the results of a program are, when the XLA engine compiles it; and ``typeof(x).sharding``.
Operands that are cut in ways that do not go together are an error, with the line of the program. Where JAX asks for an
``out_sharding`` because several layouts are as good (a product that contracts cut dimensions, indexing with arrays), the
sum is whole on every device, or the layout is left to the compiler: the program runs; `reshard` or ``out_sharding`` says
otherwise. Products may be left ``unreduced`` over axes, which linear functions keep (`terms`) until a `reshard` sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax._native import Array
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import JaxprTracer
from addax.core.jaxpr import ClosedJaxpr, Eqn, Jaxpr, Literal
from addax.core.mesh import AxisType, Mesh, current_mesh
from addax.core.sharding import NamedSharding, PartitionSpec
from addax.interpreters.batching import BatchTracer
from addax.interpreters.jvp import JVPTracer
from addax.ops.explicit_rules import PROGRAMS, RULES, common, elementwise
from addax.ops.layout import Layout, Marked, as_entry, axes_in, open_sum, pending, terms, type_text
from addax.ops.rules import Elementwise


class Layouts:
    """The layouts of the values of a program.

    Args:
      mesh: the mesh whose explicit axes count.
    """

    def __init__(self, mesh, programs: dict | None = None, sums: set | None = None):
        self.mesh, self.axes = mesh, frozenset(mesh.explicit_axes)
        self.known: dict[Any, Layout] = {}
        self.made: dict[Any, Eqn] = {}
        self.walked = 0
        self.sums = set() if sums is None else sums  # axes over which something, anywhere, is still to be summed
        self.calls: dict[int, tuple] = {}  # the programs inside of the equation at hand, and their arguments
        self.programs = {} if programs is None else programs  # results of inner programs, which may be called often

    def of_sharding(self, sharding, ndim: int) -> Layout:
        """What a sharding says of the explicit axes."""
        if not isinstance(sharding, NamedSharding):
            return (None,) * ndim
        types = dict(zip(sharding.mesh.axis_names, sharding.mesh.axis_types, strict=True))
        if any(types.get(a) is not AxisType.Explicit for a in self.axes):
            return None  # a mesh on which these axes are the compiler's: inside of `auto_axes`
        spec = sharding.spec
        if PartitionSpec.UNCONSTRAINED in tuple(spec) and not spec.unreduced:
            return None
        entries = tuple(as_entry(a for a in spec.axes_of(d) if a in self.axes) for d in range(ndim))
        self.sums.update(spec.unreduced)
        return Marked(entries, spec.unreduced, spec.reduced) if spec.unreduced or spec.reduced else entries

    def sharding(self, layout: Layout) -> NamedSharding:
        assert layout is not None
        if type(layout) is Marked:
            return NamedSharding(self.mesh, PartitionSpec(*layout, unreduced=layout.unreduced, reduced=layout.reduced))
        return NamedSharding(self.mesh, PartitionSpec(*layout))

    def program(self, closed: ClosedJaxpr, arguments: Sequence[Layout]) -> list[Layout]:
        """The layouts of a program's results."""
        self.calls[id(closed.jaxpr)] = closed, arguments
        key = (id(closed.jaxpr), *arguments)
        found = self.programs.get(key)
        if found is None:
            inner = Layouts(self.mesh, self.programs, self.sums)
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
            self.made.update(dict.fromkeys(eqn.outvars, eqn))
        self.walked = len(eqns)

    def read(self, x) -> Layout:
        return (None,) * len(getattr(x.aval, "shape", ())) if type(x) is Literal else self.known.get(x)

    def results(self, eqn, layouts: list[Layout]) -> Sequence[Layout]:
        name = eqn.primitive.name
        rule = RULES.get(name) or (elementwise if isinstance(eqn.primitive, Elementwise) else None)
        over = frozenset() if name in PROGRAMS and name != "shard_map" else terms(eqn, layouts)
        if rule is None or (None in layouts and name not in PROGRAMS):
            return [None] * len(eqn.outvars)
        found = rule(self, eqn, *layouts)
        outs = found if isinstance(found, list) else [found] * len(eqn.outvars)
        outs = [self.possible(o, v.aval) for o, v in zip(outs, eqn.outvars, strict=True)]
        if over and None in outs:
            raise open_sum(eqn, layouts, over)
        return [Marked(o, over) for o in outs] if over else outs

    def can_stay_open(self, x, over: frozenset) -> bool:
        """Whether the devices can hold terms of a value that is not made of such: those of a product, or zeros."""
        eqn = self.made.get(x)
        if eqn is None or eqn.primitive.name not in ("dot_general", "broadcast_in_dim"):
            return False
        if eqn.primitive.name == "broadcast_in_dim":
            return type(eqn.invars[0]) is Literal and not np.any(np.asarray(eqn.invars[0].val))
        contracted, _ = eqn.params["dimension_numbers"]
        layouts = [x for x in map(self.read, eqn.invars) if x is not None and not pending(x)]
        if len(layouts) < 2:
            return False
        left, right = ([a for d in dims for a in axes_in(x[d])] for dims, x in zip(contracted, layouts, strict=True))
        return left == right and frozenset(left) == over

    def loop(self, body: ClosedJaxpr, consts: list, carry: list, xs: list) -> tuple[list, list]:
        """What goes round a loop is cut where it is cut at the start and after each turn."""
        while True:
            outs = self.program(body, [*consts, *carry, *xs])
            after = [common(pair) for pair in zip(carry, outs, strict=False)]
            if after == carry:
                return carry, outs[len(carry) :]
            carry = after

    def possible(self, layout: Layout, aval) -> Layout:
        """The layout, if no axis cuts twice and sizes divide; else nothing is claimed."""
        if layout is None:
            return None
        axes = [a for e in layout for a in axes_in(e)]
        if len(axes) != len(set(axes)) or pending(layout).intersection(axes):
            return None
        return layout if all(n % self.cuts(e) == 0 for n, e in zip(aval.shape, layout, strict=True)) else None

    def cuts(self, entry) -> int:
        return math.prod(self.mesh.shape[a] for a in axes_in(entry))


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
        spec = self.sharding.spec
        layout = Marked(spec, spec.unreduced, spec.reduced) if spec.unreduced or spec.reduced else tuple(spec)
        return type_text(super().str_short(short_dtypes), self.shape, layout)

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
        spec = whole.spec.partitions
        return NamedSharding(whole.mesh, whole.spec.update((*spec[: x.dim], *spec[x.dim + 1 :])))
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
