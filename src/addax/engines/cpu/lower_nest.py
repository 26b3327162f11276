"""From a group of equations to a loop nest: `build_kernels`.

The steps, in order: which members are needed (`NestBuilder.find_needed`), which phase each belongs to (`assign_phases`),
how memory is reached (`collect_accesses`), the order of the loops (`order_atoms`), merging loops that every access walks
through in one stride (`collapse`), and writing the statements (`NestWriter.emit`, in
lower_nest_write.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from addax.core.avals import ShapedArray
from addax.core.jaxpr import Eqn, Literal, Var
from addax.engines.cpu import lower_indexed, views
from addax.engines.cpu.buffers import Buffer, Kernel, ahead_of_time
from addax.engines.cpu.groups import Axes, Group
from addax.engines.cpu.lower_elementwise import element_name, op_cost
from addax.engines.cpu.lower_nest_write import PIECE, Access, NestWriter
from addax.engines.cpu.views import Iota, Ref

DEAR = 10.0  # a value of at least this cost is kept in memory from one phase to the next instead of recomputed
NS_PER_COST, NS_PER_BYTE = 0.035, 0.03
CHUNK_NS = 20000.0  # a reduction to few results is cut into chunks from this much work on
CHUNKS = 32

Locate = Callable[[Var], tuple[Buffer, int]]
# Where a value goes: buffer, offset, stride per dimension, and for windows at computed positions also their starts, as
# (Ref of the start, its dtype, largest start, stride).
Place = tuple[Any, ...]


def build_kernels(
    group: Group, locate: Locate, places: dict[Var, Place], new_buffer: Callable[[int], Buffer], name: str = ""
) -> list[Kernel]:
    """The kernels of a group: one, or two if its reductions are cut into chunks."""
    return NestBuilder(group, locate, places, new_buffer, name).kernels()


class NestBuilder(NestWriter):
    def __init__(
        self, group: Group, locate: Locate, places: dict[Var, Place], new_buffer, name: str, chunked: bool = False
    ):
        self.group, self.locate, self.places, self.new_buffer, self.name = group, locate, places, new_buffer, name
        self.chunked = chunked
        self.sizes = dict(group.sizes)
        self.find_needed()
        self.assign_phases()

    # ---- what is computed when

    def find_needed(self) -> None:
        group = self.group
        live = set(group.stored)
        kept = []
        for e in reversed(group.members):
            out = e.outvars[0]
            if out in live:
                kept.append(e)
                for r in group.refs[out]:
                    if r.base in group.axes:
                        live.add(r.base)
        self.members: list[Eqn] = kept[::-1]
        used: set[int] = set()
        for e in self.members:
            used |= group.atoms(group.axes[e.outvars[0]])
            if e.outvars[0] in group.operand_axes:
                used |= group.atoms(group.operand_axes[e.outvars[0]])
        reduces = any(e.outvars[0] in group.operand_axes for e in self.members)
        self.inner = [a for a in self.sizes if a in used and reduces and group.reduced and a in group.reduced]
        self.outer = [a for a in self.sizes if a in used and a not in self.inner]

    def is_inner(self, axes: Axes) -> bool:
        inner = self.inner
        return any(a in inner for d in axes for a in d)

    def assign_phases(self) -> None:
        group = self.group
        self.phase: dict[
            Var, int
        ] = {}  # of inner values: the phase that computes them; of outer ones: the first that may read them
        self.inner_level: set[Var] = set()
        phase = self.phase
        for e in self.members:
            out = e.outvars[0]
            at = max([phase[r.base] for r in group.refs[out] if r.base in phase], default=0)
            if out in group.operand_axes and self.is_inner(group.operand_axes[out]):
                at += 1
            elif self.is_inner(group.axes[out]):
                self.inner_level.add(out)
            phase[out] = at
        self.scratch: dict[Var, Place] = {}
        self.n_phases = 1 + max(phase.values(), default=0) if self.inner else 0
        if self.n_phases > 1:
            self.keep_dear_values()

    def needed_in(self, k: int, stored: set[Var]) -> set[Var]:
        """Inner members that phase ``k`` computes or recomputes."""
        group, phase = self.group, self.phase
        wanted: set[Var] = set()
        for e in reversed(self.members):
            out = e.outvars[0]
            inner = out in self.inner_level
            reduction = out in group.operand_axes and self.is_inner(group.operand_axes[out])
            start = (reduction and phase[out] == k + 1) or (inner and (out in stored) and phase[out] == k)
            if start or (out in wanted and not (out in stored and phase[out] < k)):
                if inner:
                    wanted.add(out)
                for r in group.refs[out]:
                    if r.base in self.inner_level:
                        wanted.add(r.base)
        return wanted

    def keep_dear_values(self) -> None:
        """Store what is dear and needed again: from the last such value back, as each makes earlier ones unnecessary."""
        group = self.group
        stored = set(group.stored)
        for e in reversed(self.members):
            v = e.outvars[0]
            if (
                v not in self.inner_level
                or v in stored
                or group.value_cost[v] < DEAR
                or self.phase[v] == self.n_phases - 1
            ):
                continue
            again = [k for k in range(self.phase[v] + 1, self.n_phases) if v in self.needed_in(k, stored)]
            if again:
                stored.add(v)
                self.scratch[v] = self.scratch_place(v, again[-1])

    def scratch_place(self, v: Var, last: int) -> Place:
        """Memory for a value between phases: that of a result of the same shape which is written only later, or new."""
        group = self.group
        strides = views.contiguous_strides(v.aval.shape)
        for o in group.stored:
            if (
                o in self.inner_level and self.phase[o] >= last and self.phase[o] > self.phase[v]
                and group.axes[o] == group.axes[v] and o.aval.shape == v.aval.shape and o.aval.dtype == v.aval.dtype
                and not any(p[0] is self.places[o][0] for p in self.scratch.values())
            ):  # fmt: skip
                return self.places[o]
        return self.new_buffer(v.aval.size * v.aval.dtype.itemsize), 0, strides

    # ---- how memory is reached

    def strides_of(self, axes: Axes, shape, strides) -> dict[int, int]:
        """Stride per atom, from the stride per dimension of a view read along ``axes``."""
        out: dict[int, int] = {}
        for dim, n, s in zip(axes, shape, strides, strict=True):
            if n == 1 or s == 0:
                continue
            for a in reversed(dim):
                out[a] = out.get(a, 0) + s
                s *= self.sizes[a]
        return out

    def leaf(self, r: Ref, axes: Axes) -> Access | Literal:
        base = r.base
        if type(base) is Literal:
            return base
        strides = self.strides_of(axes, r.shape, r.strides) if r.shape else {}
        if type(base) is Iota:
            return Access(None, element_name(base.dtype), r.offset, strides)
        buffer, offset = self.locate(base)
        return Access(buffer, element_name(base.aval.dtype), offset + r.offset, strides)

    def collect_accesses(self) -> None:
        group = self.group
        self.leaves: dict[tuple[Var, int], Access | Literal] = {}
        self.indexed: dict[Var, lower_indexed.IndexedRead] = {}
        accesses: list[Access] = []
        for e in self.members:
            out = e.outvars[0]
            axes = group.operand_axes.get(out) or group.axes[out]
            refs = group.refs[out]
            special = lower_indexed.READS.get(e.primitive.name)
            if special is not None:
                read = special(self, e, refs, axes)
                self.indexed[out] = read
                accesses += read.accesses
                continue
            for i, r in enumerate(refs):
                if r.base not in group.axes:
                    found = self.leaves[out, i] = self.leaf(r, axes)
                    if type(found) is Access:
                        accesses.append(found)
            if e.primitive.name in ("argmax", "argmin"):
                dims = e.params["axes"]
                counting = [0] * len(axes)
                for d in dims:
                    counting[d] = 1
                a = Access(None, element_name(out.aval.dtype), 0, self.strides_of(axes, refs[0].shape, counting))
                self.leaves[out, -1] = a
                accesses.append(a)
        self.stores: dict[Var, Access] = {}
        for v, place in (*((v, self.places[v]) for v in group.stored), *self.scratch.items()):
            if v not in self.phase:
                continue
            buffer, offset, strides, *starts = place
            along = self.strides_of(group.axes[v], v.aval.shape, strides)
            a = Access(buffer, element_name(v.aval.dtype), offset, along, starts[0] if starts else ())
            self.stores[v] = a
            accesses.append(a)
        self.accesses = accesses

    # ---- loops

    def order_atoms(self) -> None:
        """Outer loops first the slow ones of the main access; the vector loop is the last outer or the last inner one."""
        stores = [a for v, a in self.stores.items()]
        everything = len(self.outer) + len(self.inner)
        main = max(
            (a for a in self.accesses if a.buffer is not None),
            key=lambda a: (len(a.strides) == everything, a in stores, len(a.strides)),
            default=None,
        )
        if main is not None:
            order = lambda a: -abs(main.strides.get(a, 1 << 60))  # noqa: E731
            self.outer.sort(key=order)
            self.inner.sort(key=order)
        self.main = main

    def collapse(self, atoms: list[int]) -> list[int]:
        out: list[int] = []
        for a in atoms:
            if out:
                b, n = out[-1], self.sizes[a]
                if all(x.strides.get(b, 0) == x.strides.get(a, 0) * n for x in self.accesses):
                    self.sizes[a] *= self.sizes[b]
                    out[-1] = a
                    for x in self.accesses:
                        x.strides.pop(b, None)
                    continue
            out.append(a)
        return out

    def turn_leaves(self) -> list[Kernel]:
        """Copy large arrays that would be read across their rows, lane by lane, into the order of the loops first."""
        vector = self.choose_vector()
        copies: list[Kernel] = []
        done: dict[tuple, tuple[Buffer, dict[int, int]]] = {}
        order = [a for a in (*self.outer, *self.inner) if a != vector] + [vector]
        for access in self.leaves.values():
            if type(access) is not Access or access.buffer is None:
                continue
            strides = access.strides
            if abs(strides.get(vector, 0)) < 2 or self.sizes[vector] < 8:
                continue
            fast = [a for a, s in strides.items() if abs(s) == 1]
            size = math.prod([self.sizes[a] for a in strides])
            if not fast or self.sizes[fast[0]] < 8 or size < 4096:
                continue
            if access.key not in done:
                atoms = [a for a in order if strides.get(a)]
                dims = [self.sizes[a] for a in atoms]
                dense = views.contiguous_strides(tuple(dims))
                buffer = self.only_result(access.dtype, dict(zip(atoms, dense, strict=True)))
                if buffer is None or any(b is buffer for b, _ in done.values()):
                    buffer = self.new_buffer(size * _itemsize(access.dtype))
                table = [len(dims), access.offset, 0, *dims, *[strides[a] for a in atoms], *dense]
                symbol = f"copy_{_itemsize(access.dtype)}"
                copies.append(ahead_of_time(symbol, [access.buffer, buffer], {buffer}, table, size * 0.5))
                done[access.key] = buffer, dict(zip(atoms, dense, strict=True))
            buffer, dense_strides = done[access.key]
            access.buffer, access.offset, access.strides = buffer, 0, dict(dense_strides)
        return copies

    def only_result(self, dtype: str, strides: dict[int, int]) -> Buffer | None:
        """The memory of the one result, if it is laid out like this: what each element is made from may lie there before."""
        if len(self.stores) != 1 or self.inner:
            return None
        (store,) = self.stores.values()
        whole = not store.starts and store.offset == 0 and store.dtype == dtype
        alone = sum(a.buffer is store.buffer for a in self.accesses) == 1
        same = {a: s for a, s in store.strides.items() if s} == strides
        return store.buffer if whole and alone and same else None

    def choose_vector(self) -> int | None:
        if not self.inner:
            return self.outer[-1] if self.outer else None
        main = self.main
        fast = [*self.outer, *self.inner]
        if main is not None:
            with_stride = [a for a in fast if main.strides.get(a, 0)]
            if with_stride:
                best = min(with_stride, key=lambda a: abs(main.strides[a]))
                if best in self.outer and abs(main.strides[best]) == 1:
                    self.outer.remove(best)
                    self.outer.append(best)
                    return best
        short = math.prod([self.sizes[a] for a in self.inner]) <= 8
        return self.outer[-1] if short and self.outer and self.sizes[self.outer[-1]] >= 16 else self.inner[-1]

    def kernels(self) -> list[Kernel]:
        self.collect_accesses()
        self.order_atoms()
        turned = self.turn_leaves()
        self.outer = self.collapse(self.outer)
        self.inner = self.collapse(self.inner)
        self.vector = self.choose_vector()
        total = math.prod([self.sizes[a] for a in (*self.outer, *self.inner)])
        cost = sum(op_cost(e) for e in self.members) * NS_PER_COST
        traffic = sum(_itemsize(a.dtype) for a in self.accesses if a.buffer is not None) * NS_PER_BYTE
        self.ns = total * (cost + traffic)
        if not self.chunked and self.wants_chunks():
            return turned + self.chunk()
        return [*turned, self.emit()]

    # ---- few results from much work: partial reductions over chunks, then a second kernel

    def wants_chunks(self) -> bool:
        if not self.inner or self.ns < CHUNK_NS or self.sizes[self.inner[0]] < 8:
            return False
        first = self.outer[0] if self.outer else None
        pieces = 1 if first is None else self.sizes[first] // (PIECE if first == self.vector else 1)
        if pieces >= 8:
            return False
        if any(e.primitive.name in ("argmax", "argmin") for e in self.members) or self.n_phases > 2:
            return False
        group = self.group
        return not any(v in self.inner_level and v in group.after_reduce for v in self.phase)

    def chunk(self) -> list[Kernel]:
        group, first = self.group, self.inner[0]
        n = self.sizes[first]
        length = -(-n // min(n, CHUNKS))
        count = -(-n // length)
        atom = -1
        self.sizes[atom] = count
        for a in self.accesses:
            if a.strides.get(first):
                a.strides[atom] = a.strides[first] * length
        self.outer.insert(0, atom)
        self.ragged = (atom, first, length, n)
        second = Group()
        second.id = group.id
        second.sizes = {a: s for a, s in group.sizes.items() if a in (group.kept or ())} | {atom: count}
        second.kept, second.reduced = group.kept, frozenset([atom])
        partial_of: dict[Var, tuple[Buffer, int]] = {}
        stored_later = []
        for e in self.members:
            out = e.outvars[0]
            if out in self.inner_level or out not in group.after_reduce:
                continue
            if out in group.operand_axes:
                aval = ShapedArray((count, *out.aval.shape), out.aval.dtype)
                part = Var(aval)
                buffer = self.new_buffer(aval.size * aval.dtype.itemsize)
                partial_of[part] = (buffer, 0)
                eqn = Eqn(e.primitive, [part], [out], dict(e.params, axes=(0,)))
                second.add(
                    eqn, [views.whole(part)], group.axes[out], group.order[out], 1.0, ((atom,), *group.axes[out])
                )
                strides = self.strides_of_collapsed(out)
                strides[atom] = max(1, out.aval.size)
                self.stores[out] = Access(buffer, element_name(out.aval.dtype), 0, strides)
            else:
                refs = group.refs[out]
                if any(r.base in group.axes and r.base not in group.after_reduce for r in refs):
                    second = _with_outer_members(second, group, refs)
                second.add(e, refs, group.axes[out], group.order[out], op_cost(e))
                self.stores.pop(out, None)
            if out in group.stored:
                stored_later.append(out)
        second.stored = stored_later
        self.partial_outs = {e.outvars[0] for e in second.members if e.outvars[0] in group.operand_axes}
        kernels = [self.emit()]

        def locate(v: Var) -> tuple[Buffer, int]:
            return partial_of[v] if v in partial_of else self.locate(v)

        kernels += NestBuilder(second, locate, self.places, self.new_buffer, self.name, chunked=True).kernels()
        return kernels

    def strides_of_collapsed(self, v: Var) -> dict[int, int]:
        """Contiguous strides of an outer value along the (collapsed) outer loops."""
        full = self.strides_of_original(v)
        return {a: s for a, s in full.items() if a in self.outer}

    def strides_of_original(self, v: Var) -> dict[int, int]:
        sizes, self.sizes = self.sizes, self.group.sizes
        try:
            return self.strides_of(self.group.axes[v], v.aval.shape, views.contiguous_strides(v.aval.shape))
        finally:
            self.sizes = sizes


def _with_outer_members(second: Group, group: Group, refs: list[Ref]) -> Group:
    """Copy the members that ``refs`` need and that do not come from the reductions themselves."""
    needed = {r.base for r in refs if r.base in group.axes and r.base not in group.after_reduce}
    for e in reversed(group.members):
        if e.outvars[0] in needed:
            needed.update(r.base for r in group.refs[e.outvars[0]] if r.base in group.axes)
    for e in group.members:
        out = e.outvars[0]
        if out in needed and out not in second.axes:
            second.add(e, group.refs[out], group.axes[out], group.order[out], op_cost(e))
    return second


def _itemsize(dtype: str) -> int:
    return _SIZES[dtype]


_SIZES = {
    "bool": 1, "int8": 1, "uint8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1, "int16": 2, "uint16": 2, "float16": 2,
    "bfloat16": 2, "int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8, "complex64": 8,
    "complex128": 16,
}  # fmt: skip
