"""fuse: which equations share a loop nest.

The result is a list of nodes in the order they run:

* a `Group`: elementwise equations and reductions that become one loop nest;
* a `Call`: any other equation (matmul, scatter, loops, ...), lowered by its own rule.

Layout equations vanish: they become `Ref`s, index maps on the edges. A value is written to memory only if a Call, a
result of the program, or an equation of another group reads it and recomputing it there would cost more.

A group has an iteration space made of *atoms* (loop indices with a size). Every member says which atoms index each of
its dimensions, so transposes, reshapes (which split atoms) and broadcasts inside a group cost nothing. A group with
reductions has its atoms divided into ``kept`` and ``reduced``; all its reductions agree on them. The nest is then::

    for kept atoms:                   # parallel
      for reduced atoms: phase 0      # e.g. the maximum of a row
      for reduced atoms: phase 1      # the sum of exp(x - maximum)
      for reduced atoms: phase 2      # exp(x - maximum) / sum, stored

which covers softmax and layernorm rows as well as column sums. Groups grow forwards, greedily: start reading at
`Fuser.run`, then `Fuser.join`. Who waits for whom is kept in `fuse_graph.Graph`, so that no merge ever closes a cycle;
what is written to memory is decided last, in `fuse_stores`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from addax.core.jaxpr import Eqn, Jaxpr, Literal, Var
from addax.core.primitive import registry
from addax.engines.cpu import views
from addax.engines.cpu.fuse_graph import WINDOW, Graph
from addax.engines.cpu.fuse_stores import choose_stores
from addax.engines.cpu.groups import (
    Axes,
    Call,
    Group,
    NeedsSplit,
    Node,
    align,
    fresh_axes,
    new_atom,
)
from addax.engines.cpu.lower_elementwise import REDUCTIONS, op_cost, op_of
from addax.engines.cpu.lower_indexed import READABLE as INDEXED_READS
from addax.engines.cpu.views import Iota, Ref

MAX_MEMBERS, MAX_EDGES, MAX_COST = 80, 28, 600
CHEAP_BROADCAST = 8  # cost of a smaller value that may be recomputed for every element it is broadcast to
LONG_ROW, FEW_ROWS = 32768, 16


class Fuser(Graph):
    """One run over a simplified jaxpr."""

    def __init__(self, jaxpr: Jaxpr):
        super().__init__(jaxpr)
        self.readers: dict[Any, tuple[Group, Axes, tuple]] = {}
        self._uses: Counter | None = None

    def run(self) -> list[Node]:
        for position, eqn in enumerate(self.jaxpr.eqns):
            self.position = position
            name = eqn.primitive.name
            layout = LAYOUT.get(name)
            if layout is not None and not eqn.effects:
                ref = layout(self, eqn)
                if ref is not None:
                    self.views[eqn.outvars[0]] = ref
                    continue
            self.place(eqn, position)
        choose_stores(self)
        return self.in_order()

    def copied(self, x, eqn: Eqn) -> Ref:
        """A copy of ``x`` in memory of its own, row-major."""
        out = Var(x.aval)
        self.place(Eqn(registry["copy"], [x], [out], {}, frozenset(), eqn.source), self.position - 0.5)
        return views.whole(out)

    def place(self, eqn: Eqn, position: float) -> None:
        """Put an equation into a group, or make it a node of its own."""
        refs = [self.ref(x) for x in eqn.invars]
        out = eqn.outvars[0] if eqn.outvars else None
        if not eqn.effects and len(eqn.outvars) == 1 and out.aval.size > 0:
            name = eqn.primitive.name
            if name in REDUCTIONS and op_of(eqn) is not None:
                return self.place_reduction(eqn, refs, position)
            if name == "add" and self.add_product(eqn):
                return None
            if op_of(eqn) is not None:
                return self.place_elementwise(eqn, refs, position)
            index_reads = INDEXED_READS.get(name)
            if index_reads is not None and index_reads(eqn):
                for i in range(2 if name == "gather" else 1):
                    if type(refs[i].base) is not Var:
                        refs[i] = self.copied(eqn.invars[i], eqn)
                return self.place_elementwise(eqn, refs, position, indexed=True)
        self.add_call(eqn, refs)

    def add_product(self, eqn: Eqn) -> bool:
        """Make ``c + dot_general(a, b)`` one call ``dot_general(a, b, c)`` that adds in place, where a loop sums products:
        c is an argument, the sum is a result, and nothing else reads c or the product."""
        out = eqn.outvars[0]
        for product, c in (eqn.invars[::-1], eqn.invars):
            call = self.owner.get(product)
            if type(call) is not Call or call.eqn.primitive.name != "dot_general" or len(call.refs) > 2:
                continue
            dot = call.eqn
            alike = c.aval.shape == out.aval.shape and all(x.aval.dtype == out.aval.dtype for x in (c, *dot.invars))
            if not alike or out.aval.dtype.name not in ("float32", "float64") or type(c) is Literal:
                continue
            if self.uses[c] == self.uses[product] == 1 and c in self.jaxpr.invars and out in self.jaxpr.outvars:
                self.nodes[call.id] = None
                del self.owner[product]
                added = Eqn(dot.primitive, [*dot.invars, c], [out], dot.params, frozenset(), dot.source)
                self.add_call(added, [*call.refs, self.ref(c)])
                return True
        return False

    @property
    def uses(self) -> Counter:
        """How often variables are read, as operands or results."""
        if self._uses is None:
            self._uses = Counter(x for x in self.jaxpr.outvars if type(x) is Var)
            for e in self.jaxpr.eqns:
                self._uses.update([x for x in e.invars if type(x) is Var])
        return self._uses

    def may_join(self, group: Group, refs: Sequence[Ref]) -> bool:
        """Whether no operand from outside the group itself waits for the group."""
        if len(self.nodes) - group.id > WINDOW or len(group.members) >= MAX_MEMBERS:
            return False
        if group.edges >= MAX_EDGES or group.cost >= MAX_COST:
            return False
        me = 1 << group.id
        for r in refs:
            o = self.owner.get(r.base)
            if o is not None and o is not group and self.deps[o.id] & me:
                return False
        return True

    def groups_of(self, refs: Sequence[Ref]) -> list[Group]:
        """The groups that compute operands, youngest first."""
        found: dict[int, Group] = {}
        for r in refs:
            o = self.owner.get(r.base)
            if type(o) is Group:
                found[o.id] = o
        return [found[i] for i in sorted(found, reverse=True)]

    # ---- elementwise equations

    def place_elementwise(self, eqn: Eqn, refs: list[Ref], position: float, indexed: bool = False) -> None:
        shape = eqn.outvars[0].aval.shape
        cost = op_cost(eqn)
        joinable, along = (refs[1:], None) if indexed else (refs, None)
        if indexed and eqn.primitive.name == "gather":
            joinable, along = self.gather_positions(eqn, refs[1])
        groups = self.groups_of(joinable)
        for group in groups:
            # What is read at computed positions lies in memory: the group must neither make it nor come before it.
            if indexed and (self.owner.get(refs[0].base) is group or not self.may_join(group, refs)):
                continue
            axes = self.join(group, joinable, shape, along)
            if axes is not None:
                for other in groups:
                    if other is not group and not indexed:
                        axes = self.merge(group, other, refs, axes)
                return self.enter(group, eqn, refs, axes, position, cost)
        group, axes = None, None
        if not groups and not indexed:
            group, axes = self.sibling(refs, shape)
        if group is None:
            group, axes = self.new_group(shape)
        self.enter(group, eqn, refs, axes, position, cost)
        return None

    def enter(self, group: Group, eqn: Eqn, refs, axes: Axes, position: float, cost: float, operand_axes=None) -> None:
        group.add(eqn, refs, axes, position, cost, operand_axes)
        self.owner[eqn.outvars[0]] = group
        self.depend(group, refs)
        read_axes = axes if operand_axes is None else operand_axes
        for r in refs:
            if type(r.base) is Var and self.owner.get(r.base) is not group and len(r.shape) == len(read_axes):
                self.readers[r.base] = (group, read_axes, r.shape)

    def new_group(self, shape) -> tuple[Group, Axes]:
        group = Group()
        self.add_node(group)
        return group, fresh_axes(group, shape)

    def gather_positions(self, eqn: Eqn, positions: Ref) -> tuple[list[Ref], list[int] | None]:
        """Positions of one component, as a view that a group may compute beside the read, and the result's dimensions
        that it runs along; otherwise they are read from memory."""
        group = self.owner.get(positions.base)
        if positions.shape[-1] != 1 or type(group) is not Group or group.reduced is not None:
            return [], None
        offset_dims = eqn.params["dimension_numbers"].offset_dims
        along = [d for d in range(len(eqn.outvars[0].aval.shape)) if d not in offset_dims]
        return [Ref(positions.base, positions.offset, positions.strides[:-1], positions.shape[:-1])], along

    def join(self, group: Group, refs: list[Ref], shape, along: Sequence[int] | None = None) -> Axes | None:
        """The axes an elementwise result of this shape would have as a member of the group; None if it cannot be one.

        ``along``: the result's dimensions that the dimensions of the operands are, if not all of them in order.
        """
        if not self.may_join(group, refs):
            return None
        while True:
            try:
                return self.try_join(group, refs, shape, range(len(shape)) if along is None else along)
            except NeedsSplit as s:
                s.group.split(s.atom, s.inner)

    def try_join(self, group: Group, refs, shape, along: Sequence[int]) -> Axes | None:
        dims: list[tuple[int, ...] | None] = [None] * len(shape)
        smaller: list[tuple[Var, frozenset]] = []
        for r in refs:
            if self.owner.get(r.base) is not group:
                continue
            got = align(group, r)
            if got is None:
                return None
            if len(r.shape) != len(along):  # a scalar
                if r.shape:
                    return None
                smaller.append((r.base, frozenset()))
                continue
            for j, atoms in zip(along, got, strict=True):
                if atoms is None or (not atoms and shape[j] != 1):
                    continue
                if dims[j] is None:
                    dims[j] = atoms
                elif dims[j] != atoms:
                    return None
            smaller.append((r.base, group.atoms(group.axes[r.base])))
        if not self.fill_dims(group, dims, shape):
            return None
        axes = tuple([d or () for d in dims])
        mine = group.atoms(axes)
        if sum(map(len, axes)) != len(mine):
            return None  # one loop index cannot run along two dimensions
        if group.reduced is not None and not mine <= (group.kept | group.reduced):
            return None
        if group.reduced is not None and mine & group.reduced and mine != group.kept | group.reduced:
            if any(v in group.after_reduce for v, _ in smaller):
                return None  # what follows a reduction has a whole row or one value per row
        new = [a for a in mine if a not in group.sizes]
        for v, atoms in smaller:
            if not self.may_broadcast(group, v, atoms, mine):
                return None
        for j, d in enumerate(dims):
            if d and any(a in new for a in d):
                group.sizes[d[0]] = shape[j]
        return axes

    def may_broadcast(self, group: Group, v: Var, atoms: frozenset, mine: frozenset) -> bool:
        """Whether a member may be used at more indices than it has."""
        if v in group.after_reduce and group.reduced & mine:
            rows = math.prod([group.sizes[a] for a in group.kept])
            length = math.prod([group.sizes[a] for a in group.reduced])
            return rows >= FEW_ROWS or length <= LONG_ROW
        if atoms == mine or group.kept == atoms:
            return True
        return v not in group.after_reduce and group.value_cost[v] <= CHEAP_BROADCAST

    def fill_dims(self, group: Group, dims: list, shape) -> bool:
        """Choose atoms for the dimensions that no member gives: unused loops of the right size, or new ones."""
        missing = [j for j, d in enumerate(dims) if d is None and shape[j] != 1]
        if not missing:
            return True
        used = {a for d in dims if d for a in d}
        rest = [a for a in group.sizes if a not in used]
        if group.reduced is not None and not used & group.reduced:
            rest.sort(key=lambda a: a not in group.reduced)
        chosen: dict[int, tuple[int, ...]] = {}
        i = 0
        for j in missing:
            got, dim = 1, []
            k = i
            while got < shape[j] and k < len(rest):
                dim.append(rest[k])
                got *= group.sizes[rest[k]]
                k += 1
            if got == shape[j]:
                chosen[j] = tuple(dim)
                i = k
        for j in missing:
            if j in chosen:
                dims[j] = chosen[j]
            elif group.reduced is not None:
                return False
            else:
                dims[j] = (new_atom(),)
        return True

    def sibling(self, refs: list[Ref], shape) -> tuple[Group | None, Axes | None]:
        """A group that already walks over one of the operands in the same shape."""
        for r in refs:
            found = self.readers.get(r.base)
            if found is not None and r.shape == shape == found[2] and shape:
                group, axes, _ = found
                if self.nodes[group.id] is not group or len(group.atoms(axes)) != sum(map(len, axes)):
                    continue
                current = all(
                    math.prod([group.sizes.get(a, 0) for a in d]) == n for d, n in zip(axes, shape, strict=True)
                )
                if current and group.atoms(axes) == group.space() and self.may_join(group, refs):
                    return group, axes
        return None, None

    def merge(self, group: Group, other: Group, refs: list[Ref], axes: Axes) -> Axes:
        """Fuse a second group of operands into the first, where possible; the (possibly split) axes of the result."""
        while True:
            try:
                into = self.try_merge(group, other, refs, axes)
                break
            except NeedsSplit as s:
                if s.group is group:
                    sizes = dict(group.sizes)
                    s.group.split(s.atom, s.inner)
                    hi, lo = [a for a in group.sizes if a not in sizes]
                    axes = tuple([tuple([b for a in d for b in ((hi, lo) if a == s.atom else (a,))]) for d in axes])
                else:
                    s.group.split(s.atom, s.inner)
        if into is None:
            return axes
        other.rename({a: (b,) for a, b in into.items()})
        for a, b in into.items():
            group.sizes.setdefault(b, other.sizes[a])
        if other.reduced is not None:
            group.kept, group.reduced = other.kept, other.reduced
        members = sorted([*group.members, *other.members], key=lambda e: (group.order | other.order)[e.outvars[0]])
        group.members = members
        for name in ("axes", "refs", "operand_axes", "value_cost", "order"):
            getattr(group, name).update(getattr(other, name))
        group.after_reduce |= other.after_reduce
        group.cost += other.cost
        group.edges += other.edges
        for e in other.members:
            self.owner[e.outvars[0]] = group
        self.nodes[other.id] = None
        gone, me = 1 << other.id, 1 << group.id
        self.deps[group.id] |= self.deps[other.id]
        mask = self.deps[group.id]
        for i in range(max(0, min(group.id, other.id) - 2 * WINDOW), len(self.deps)):
            if self.deps[i] & gone:
                self.deps[i] = (self.deps[i] & ~gone) | me | mask
            elif self.deps[i] & me:
                self.deps[i] |= mask
        return axes

    def try_merge(self, group: Group, other: Group, refs, axes: Axes) -> dict[int, int] | None:
        """Which atom of ``group`` each atom of ``other`` becomes, or None."""
        deps = self.deps
        if deps[group.id] >> other.id & 1 or deps[other.id] >> group.id & 1:
            return None
        if (
            not self.may_join(other, refs)
            or group.cost + other.cost > MAX_COST
            or group.edges + other.edges > MAX_EDGES
        ):
            return None
        if len(group.members) + len(other.members) > MAX_MEMBERS:
            return None
        into: dict[int, int] = {}
        mine = group.atoms(axes)
        if mine != group.space():
            return None
        for r in refs:
            if self.owner.get(r.base) is not other:
                continue
            got = align(other, r)
            if got is None or len(r.shape) != len(axes):
                return None
            for theirs, ours in zip(got, axes, strict=True):
                if theirs is None or not theirs:
                    continue
                i = 0
                for a in theirs:
                    if i >= len(ours):
                        return None
                    b = ours[i]
                    na, nb = other.sizes[a], group.sizes[b]
                    if na > nb:
                        if na % nb:
                            return None
                        raise NeedsSplit(other, a, na // nb)
                    if nb > na:
                        if nb % na:
                            return None
                        raise NeedsSplit(group, b, nb // na)
                    if into.setdefault(a, b) != b:
                        return None
                    i += 1
                if i != len(ours):
                    return None
        if len(set(into.values())) != len(into):
            return None
        free = [b for b in group.sizes if b not in into.values()]
        for a, n in other.sizes.items():
            if a not in into:
                b = next((b for b in free if group.sizes[b] == n), None)
                if b is None:
                    return None
                free.remove(b)
                into[a] = b
        if other.reduced is None:
            # their members must not be smaller than the space in a way that recomputes something dear
            if len(into) < len(group.sizes) and other.cost > CHEAP_BROADCAST:
                return None
            return into
        kept = frozenset([into[a] for a in other.kept])
        reduced = frozenset([into[a] for a in other.reduced])
        if group.reduced is not None:
            return into if (kept, reduced) == (group.kept, group.reduced) else None
        if kept | reduced != group.space():
            return None
        for r in refs:
            if self.owner.get(r.base) is other and r.base in other.after_reduce:
                rows = math.prod([group.sizes[a] for a in kept])
                length = math.prod([group.sizes[a] for a in reduced])
                if rows < FEW_ROWS and length > LONG_ROW:
                    return None
        return into

    # ---- reductions

    def place_reduction(self, eqn: Eqn, refs: list[Ref], position: float) -> None:
        r = refs[0]
        reduced_dims = set(eqn.params["axes"])
        cost = op_cost(eqn)
        group = self.owner.get(r.base)
        if type(group) is Group and self.may_join(group, refs):
            while True:
                try:
                    axes = align(group, r)
                    break
                except NeedsSplit as s:
                    s.group.split(s.atom, s.inner)
            if axes is not None and None not in axes and self.fits_reduction(group, axes, reduced_dims):
                if r.base not in group.after_reduce or self.may_broadcast(
                    group, r.base, frozenset(), group.atoms(axes)
                ):
                    return self.enter_reduction(group, eqn, refs, tuple(axes), reduced_dims, position, cost)
        group, axes = self.sibling(refs, r.shape)
        if group is None or not self.fits_reduction(group, axes, reduced_dims):
            group, axes = self.new_group(r.shape)
        return self.enter_reduction(group, eqn, refs, tuple(axes), reduced_dims, position, cost)

    def fits_reduction(self, group: Group, axes, reduced_dims) -> bool:
        kept = frozenset([a for i, d in enumerate(axes) if i not in reduced_dims for a in d])
        reduced = frozenset([a for i, d in enumerate(axes) if i in reduced_dims for a in d])
        if group.reduced is not None:
            return kept == group.kept and reduced == group.reduced
        return kept | reduced == group.space()

    def enter_reduction(self, group, eqn, refs, axes, reduced_dims, position, cost) -> None:
        group.kept = frozenset([a for i, d in enumerate(axes) if i not in reduced_dims for a in d])
        group.reduced = frozenset([a for i, d in enumerate(axes) if i in reduced_dims for a in d])
        out_axes = tuple([d for i, d in enumerate(axes) if i not in reduced_dims])
        self.enter(group, eqn, refs, out_axes, position, cost, axes)


# ---- layout equations: each gives the Ref of its result, or None if it must be computed


def _layout(f):
    def handler(self: Fuser, eqn: Eqn) -> Ref | None:
        return f(self, self.ref(eqn.invars[0]), eqn.params, eqn)

    return handler


def _reshape(self: Fuser, ref: Ref, p, eqn: Eqn) -> Ref | None:
    if p.get("dimensions") is not None:
        ref = views.transpose(ref, p["dimensions"])
    shape = eqn.outvars[0].aval.shape
    out = views.reshape(ref, shape)
    if out is None:  # no strides express it: copy first
        seen = Var(eqn.invars[0].aval.update(shape=ref.shape))
        self.views[seen] = ref
        out = views.reshape(self.copied(seen, eqn), shape)
    return out


def _iota(self: Fuser, eqn: Eqn) -> Ref | None:
    aval = eqn.outvars[0].aval
    if len(aval.shape) != 1:
        return None
    return Ref(Iota(aval.dtype), 0, (1,), aval.shape)


LAYOUT = {
    "broadcast_in_dim": _layout(
        lambda s, r, p, e: (
            views.broadcast(r, tuple(p["shape"]), tuple(p["broadcast_dimensions"])) if len(e.invars) == 1 else None
        )
    ),
    "reshape": _layout(_reshape),
    "squeeze": _layout(lambda s, r, p, e: views.squeeze(r, p["dimensions"])),
    "transpose": _layout(lambda s, r, p, e: views.transpose(r, p["permutation"])),
    "slice": _layout(lambda s, r, p, e: views.slice_(r, p["start_indices"], p["limit_indices"], p["strides"])),
    "rev": _layout(lambda s, r, p, e: views.reverse(r, p["dimensions"])),
    "iota": _iota,
}
