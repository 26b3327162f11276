"""What fuse makes: groups of equations that share a loop nest, and single calls.

A `Group` has an iteration space of *atoms*, loop indices with a size. Each member says which atoms index each of its
dimensions (`Axes`); `align` finds the atoms behind a view of a member, asking for an atom to be split where a reshape
cuts through it.
"""

from __future__ import annotations

from addax.core.jaxpr import Eqn, Var
from addax.engines.cpu import views
from addax.engines.cpu.lower_elementwise import REDUCTIONS
from addax.engines.cpu.views import Ref

Axes = tuple[tuple[int, ...], ...]  # for each dimension of a value the atoms that index it, outermost first


class Node:
    """Something that runs: a `Group` or a `Call`."""

    __slots__ = ("id",)
    id: int


class Call(Node):
    """One equation lowered on its own. ``refs`` says how each operand is read."""

    __slots__ = ("eqn", "refs")

    def __init__(self, eqn: Eqn, refs: list[Ref]):
        self.eqn, self.refs = eqn, refs


class Group(Node):
    """Equations of one loop nest; see the module's docstring."""

    __slots__ = (
        "after_reduce",
        "axes",
        "cost",
        "edges",
        "kept",
        "members",
        "operand_axes",
        "order",
        "reduced",
        "refs",
        "sizes",
        "stored",
        "value_cost",
    )  # fmt: skip

    def __init__(self):
        self.members: list[Eqn] = []
        self.axes: dict[Var, Axes] = {}
        self.sizes: dict[int, int] = {}
        self.kept: frozenset[int] | None = None
        self.reduced: frozenset[int] | None = None
        self.refs: dict[Var, list[Ref]] = {}  # by result of the member
        self.operand_axes: dict[Var, Axes] = {}  # of reductions: the axes of what they reduce
        self.cost = 0.0
        self.edges = 0
        self.value_cost: dict[Var, float] = {}
        self.after_reduce: set[Var] = set()
        self.order: dict[Var, float] = {}  # position of the member in the program
        self.stored: list[Var] = []

    def space(self) -> frozenset[int]:
        return frozenset(self.sizes)

    def atoms(self, axes: Axes) -> frozenset[int]:
        return frozenset([a for dim in axes for a in dim])

    def add(
        self, eqn: Eqn, refs: list[Ref], axes: Axes, position: float, cost: float, operand_axes: Axes | None = None
    ):
        out = eqn.outvars[0]
        self.members.append(eqn)
        self.axes[out] = axes
        self.refs[out] = refs
        self.order[out] = position
        if operand_axes is not None:
            self.operand_axes[out] = operand_axes
        self.cost += cost
        own = cost
        for r in refs:
            c = self.value_cost.get(r.base)
            if c is not None:
                own += c
                if r.base in self.after_reduce:
                    self.after_reduce.add(out)
            else:
                self.edges += 1
        if operand_axes is not None:
            self.after_reduce.add(out)
        self.value_cost[out] = own

    def split(self, atom: int, inner: int) -> None:
        """Divide an atom in two, the faster one of size ``inner``."""
        hi, lo = new_atom(), new_atom()
        n = self.sizes.pop(atom)
        self.sizes[hi], self.sizes[lo] = n // inner, inner
        self.rename({atom: (hi, lo)})

    def rename(self, into: dict[int, tuple[int, ...]]) -> None:
        def axes(old: Axes) -> Axes:
            return tuple([tuple([b for a in dim for b in into.get(a, (a,))]) for dim in old])

        self.axes = {v: axes(x) for v, x in self.axes.items()}
        self.operand_axes = {v: axes(x) for v, x in self.operand_axes.items()}
        if self.reduced is not None:
            self.kept = frozenset([b for a in self.kept for b in into.get(a, (a,))])
            self.reduced = frozenset([b for a in self.reduced for b in into.get(a, (a,))])


_atoms = iter(range(1, 1 << 62))


def new_atom() -> int:
    return next(_atoms)


class NeedsSplit(Exception):
    """An alignment needs this group's atom split first."""

    def __init__(self, group: Group, atom: int, inner: int):
        self.group, self.atom, self.inner = group, atom, inner


def align(group: Group, ref: Ref) -> list[tuple[int, ...] | None] | None:
    """The atoms of ``group`` that index each dimension of ``ref``, a view of one of its members.

    None for a dimension along which the view repeats; None altogether if the view is not a matter of renaming loop
    indices (it shifts, reverses or leaves out elements), so that the member has to be read from memory.
    """
    v = ref.base
    axes = group.axes[v]
    shape = v.aval.shape
    if ref.shape == shape and ref.strides == views.contiguous_strides(shape) and not ref.offset:
        return list(axes)
    if ref.offset:
        return None
    ladder: list[tuple[int, int, int]] = []  # (atom, stride in v, size), fastest first
    where: dict[int, int] = {}
    step = 1
    for dim in reversed(axes):
        for a in reversed(dim):
            n = group.sizes[a]
            where[step] = len(ladder)
            ladder.append((a, step, n))
            step *= n
    used: set[int] = set()
    out: list[tuple[int, ...] | None] = []
    for n, s in zip(ref.shape, ref.strides, strict=True):
        if n == 1:
            out.append(())
            continue
        if s == 0:
            out.append(None)
            continue
        i = where.get(s)
        if i is None:
            for a, t, m in ladder:
                if t < s < t * m and s % t == 0 and m % (s // t) == 0:
                    raise NeedsSplit(group, a, s // t)
            return None
        got, dim = 1, []
        while got < n and i < len(ladder):
            a, _, m = ladder[i]
            if got * m > n:
                if n % got == 0 and m % (n // got) == 0:
                    raise NeedsSplit(group, a, n // got)
                return None
            if a in used:
                return None
            used.add(a)
            dim.append(a)
            got *= m
            i += 1
        if got != n:
            return None
        out.append(tuple(dim[::-1]))
    return out if len(used) == len(ladder) else None


def fresh_axes(group: Group, shape) -> Axes:
    axes = []
    for n in shape:
        if n == 1:
            axes.append(())
        else:
            a = new_atom()
            group.sizes[a] = n
            axes.append((a,))
    return tuple(axes)


def walked_axes(group: Group, eqn: Eqn) -> Axes:
    v = eqn.outvars[0]
    return group.operand_axes.get(v) or group.axes[v]


def walked_shape(eqn: Eqn) -> tuple[int, ...]:
    """The shape a member's operands are read in."""
    if eqn.primitive.name in REDUCTIONS:
        return eqn.invars[0].aval.shape
    return eqn.outvars[0].aval.shape


def broadcast_axes(group: Group, eqn: Eqn, v: Var) -> Axes:
    return walked_axes(group, eqn) if v.aval.shape else ()
