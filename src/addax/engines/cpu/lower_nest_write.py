"""Writing the statements of a loop nest, once its loops, phases and memory accesses are known.

`NestWriter` is the second half of `lower_nest.NestBuilder`: start reading at `emit`. Values of the outer loops go to
``body``, values of the reduced loops to the list of their phase; ``env`` maps members to the names that hold them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core.jaxpr import Eqn, Literal, Var
from addax.engines.cpu import lower_indexed
from addax.engines.cpu.buffers import Buffer, Kernel
from addax.engines.cpu.groups import Axes, Group
from addax.engines.cpu.loops import Acc, Affine, Let, Lit, Load, Loop, Nest, Param, Store, Sym, Update
from addax.engines.cpu.lower_elementwise import REDUCTIONS, element_name, op_of
from addax.engines.cpu.views import Ref


class Access:
    """One way of reaching memory (or counting): offset + sum of loop index * stride."""

    __slots__ = ("buffer", "dtype", "key", "offset", "starts", "strides")

    def __init__(self, buffer, dtype: str, offset: int, strides: dict[int, int], starts: tuple = ()):
        self.buffer, self.dtype, self.offset, self.strides = buffer, dtype, offset, strides
        self.starts = starts
        self.key = (id(buffer), dtype, offset, tuple(sorted(strides.items())))


# Operations whose result jumps: they see narrow floats as memory would hold them.
DECIDES = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "floor", "ceil", "round", "sign", "is_finite", "rem"})
NARROW = frozenset({"float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"})
# Items of a loop of vectors that stay on one thread: the body of one that holds loops is written for four vectors.
PIECE = 64


class NestWriter:
    """The statements of one kernel. The attributes come from `NestBuilder`."""

    group: Group
    name: str
    ns: float
    sizes: dict[int, int]
    outer: list[int]
    inner: list[int]
    vector: int | None
    members: list[Eqn]
    phase: dict[Var, int]
    inner_level: set[Var]
    n_phases: int
    leaves: dict[tuple[Var, int], Access | Literal]
    indexed: dict[Var, lower_indexed.IndexedRead]
    stores: dict[Var, Access]
    # of a nest cut into chunks: (chunk loop, loop that is cut, length of a chunk, size of that loop)
    ragged: tuple[int, int, int, int] | None = None
    partial_outs: frozenset | set = frozenset()

    def is_inner(self, axes: Axes) -> bool:
        raise NotImplementedError

    def needed_in(self, k: int, stored: set[Var]) -> set[Var]:
        raise NotImplementedError

    def leaf(self, r: Ref, axes: Axes) -> Any:
        raise NotImplementedError

    def emit(self) -> Kernel:
        self.table: list[int] = []
        self.params: dict[tuple[int, str], Param] = {}
        self.args: list[Buffer] = []
        self.written: set[Buffer] = set()
        self.read: set[Buffer] = set()
        self.counter = 0
        self.vars = {a: f"i{k}" for k, a in enumerate((*self.outer, *self.inner))}
        group = self.group
        body: list = []  # at the level of the outer loops
        self.body = body
        self.window_starts: dict = {}
        self.pending: dict[int, list] = {}
        env: dict[Var, object] = {}
        self.loaded: dict = {}
        self.as_stored: set[str] = set()  # names of narrow floats that are rounded already
        self.extent_of: dict[int, object] = {}
        if self.ragged is not None:
            self.emit_ragged(body)
        stored = set(self.stores)
        for k in range(max(1, self.n_phases)):
            for e in self.members:  # outer values that are ready before this phase
                out = e.outvars[0]
                if out in self.inner_level or out in env or self.phase[out] > k:
                    continue
                if out in group.operand_axes and self.inner and self.is_inner(group.operand_axes[out]):
                    continue
                if self.ragged is not None and out in group.after_reduce:
                    continue
                self.member(e, env, body, body)
                if out in stored:
                    self.store(out, env[out], body)
            if self.inner:
                self.emit_phase(k, env, body, stored)
        body += self.pending.pop(id(body), ())
        for a in reversed(self.outer):
            if a != (self.ragged and self.ragged[0]):
                body = [self.loop(a, body)]
        if self.ragged is not None:
            body = [self.loop(self.ragged[0], [*self.ragged_head, *body])]
        extent = self.sizes[self.outer[0]] if self.outer else 1
        if self.outer:
            first = body[0]
            body = [Loop(first.var, first.extent, first.body, first.kind, True, first.unroll)]
        params = []
        for (_, dtype), p in self.params.items():
            b = self.args[len(params)]
            role = ("inout" if b in self.read else "out") if b in self.written else "in"
            params.append(Param(p.name, dtype, role))
        label = self.name or "_".join(e.primitive.name for e in self.members)[:40]
        nest = Nest(label, tuple(params), len(self.table), tuple(body))
        kernel = Kernel(nest, self.args, set(self.written), self.table, extent, self.ns / max(1, extent), label)
        kernel.in_place = self.overwritable()
        if self.outer and self.outer[0] == self.vector:
            kernel.cut = PIECE if self.inner or extent >= 4096 else PIECE // 4
        return kernel

    def overwritable(self) -> list[tuple[Buffer, Buffer]]:
        """Pairs of buffers, read and written, where each element is read only by the iteration that writes it."""
        if self.indexed or any(self.phase[v] for v in self.inner_level):
            return []
        reads: dict[Buffer, set] = {}
        for x in self.leaves.values():
            if type(x) is Access and x.buffer is not None:
                reads.setdefault(x.buffer, set()).add((x.dtype, x.offset, tuple(sorted(x.strides.items()))))
        pairs = []
        for v, s in self.stores.items():
            where = (s.dtype, s.offset, tuple(sorted(s.strides.items())))
            if not s.starts and (not self.inner or v in self.inner_level):
                pairs += [(b, s.buffer) for b, at in reads.items() if at == {where} and b not in self.written]
        return pairs

    def emit_ragged(self, body) -> None:
        chunk, first, length, n = self.ragged
        head: list = []
        start, left, size = self.fresh(), self.fresh(), self.fresh()
        at = self.fresh()
        head.append(Let(at, "iota", (), "int64", var=self.vars[chunk]))
        head.append(Let(start, "mul", (at, self.sym(length)), "int64"))
        head.append(Let(left, "sub", (self.sym(n), start), "int64"))
        head.append(Let(size, "min", (left, self.sym(length)), "int64"))
        self.extent_of[first] = size
        self.ragged_head = head

    def emit_phase(self, k: int, env: dict, body: list, stored: set) -> None:
        group = self.group
        wanted = self.needed_in(k, stored | set(self.group.stored))
        inner: list = []
        mine = dict(env)
        results = []
        for i, a in enumerate(self.inner):
            self.vars[a] = f"j{i}" if k == 0 else f"j{i}_{k}"
        outer_loaded, self.loaded = self.loaded, dict(self.loaded)
        for e in self.members:
            out = e.outvars[0]
            reduction = out in group.operand_axes and self.is_inner(group.operand_axes[out])
            if reduction and self.phase[out] == k + 1:
                results.append(self.update(e, mine, inner, body))
            elif out in wanted:
                if out in self.stores and self.phase[out] < k:
                    mine[out] = self.load(self.stores[out], inner, body)
                    continue
                self.member(e, mine, inner, body)
                if out in self.stores and self.phase[out] == k:
                    self.store(out, mine[out], inner)
        self.loaded = {key: v for key, v in self.loaded.items() if key in outer_loaded or v[1]}
        inner += self.pending.pop(id(inner), ())
        if not inner:
            return
        for a in reversed(self.inner):
            inner = [self.loop(a, inner)]
        body += inner
        for out, name in results:
            env[out] = name
            if out in self.stores and (self.ragged is None or out in self.partial_outs):
                self.store(out, name, body)

    def update(self, e: Eqn, env: dict, inner: list, body: list) -> tuple[Var, str]:
        out = e.outvars[0]
        op = REDUCTIONS[e.primitive.name]
        value = self.operand(e, 0, env, inner, body)
        if op not in ("add", "mul"):
            value = self.rounded(value, element_name(e.invars[0].aval.dtype), inner)
        acc = self.fresh()
        dtype = element_name(e.invars[0].aval.dtype)
        if op in ("argmax", "argmin"):
            index = self.fresh()
            index_dtype = element_name(out.aval.dtype)
            body.append(Acc(acc, op, dtype, None, index, index_dtype))
            at = self.load(self.leaves[out, -1], inner, body)
            inner.append(Update(acc, value, at))
            return out, index
        body.append(Acc(acc, op, dtype))
        inner.append(Update(acc, value))
        return out, acc

    def member(self, e: Eqn, env: dict, here: list, body: list) -> None:
        """Append the statements of one member to ``here``; what does not depend on the inner loops goes to ``body``."""
        out = e.outvars[0]
        read = self.indexed.get(out)
        if read is not None:
            env[out] = read.emit(self, env, here, body)
            return
        name = self.fresh()
        if e.primitive.name in REDUCTIONS:  # over dimensions of size 1
            dtype = element_name(out.aval.dtype)
            if e.primitive.name in ("argmax", "argmin"):
                env[out] = Lit(0, dtype)
            else:
                env[out] = self.operand(e, 0, env, here, body)
            return
        op, attrs = op_of(e)
        args = tuple([self.operand(e, i, env, here, body) for i in range(len(e.invars))])
        if op == "select_n" and len(args) == 3:
            if type(args[0]) is not Lit and self.group.refs[out][0].base.aval.dtype == np.bool_:
                op, args = "select", (args[0], args[2], args[1])
        elif op == "copy" and type(args[0]) is str:
            env[out] = args[0]
            return
        dtype = element_name(out.aval.dtype)
        if op in DECIDES or (op == "convert" and "float" not in dtype):
            args = tuple(
                [self.rounded(x, element_name(v.aval.dtype), here) for x, v in zip(args, e.invars, strict=True)]
            )
        here.append(Let(name, op, args, dtype, **attrs))
        env[out] = name

    def rounded(self, value, dtype: str, here: list):
        """A narrow float as it would be in memory. Kernels compute those in float32, and a value that decides (whether
        an element equals the maximum) must not differ between the place that made it and the one that compares it."""
        if type(value) is not str or value in self.as_stored or dtype not in NARROW:
            return value
        wide, narrow = self.fresh(), self.fresh()
        here.append(Let(wide, "convert", (value,), "float32"))
        here.append(Let(narrow, "convert", (wide,), dtype))
        self.as_stored.add(narrow)
        return narrow

    def operand(self, e: Eqn, i: int, env: dict, here: list, body: list):
        out = e.outvars[0]
        leaf = self.leaves.get((out, i))
        if leaf is None:
            return env[self.group.refs[out][i].base]
        if type(leaf) is Literal:
            return self.literal(leaf, body)
        return self.load(leaf, here, body)

    def literal(self, x: Literal, body: list):
        dtype = element_name(x.aval.dtype)
        v = x.val
        if dtype == "bool":
            return Lit(bool(v), dtype)
        if dtype.startswith("complex"):
            return Lit(complex(v), dtype)
        if "int" in dtype:
            value: int | float = int(v)
            shape_like = 64 < abs(value) < 1 << 20
        else:
            value = float(v)
            shape_like = 64 < abs(value) < 1 << 20 and value == int(value)
        if not shape_like:
            return Lit(value, dtype)
        # Numbers that look like sizes come from the table, so that another batch size needs no other code.
        key = ("literal", dtype, value)
        found = self.loaded.get(key)
        if found is None:
            name = self.fresh()
            body.append(Let(name, "convert", (self.sym(int(value)),), dtype))
            found = self.loaded[key] = (name, True)
        return found[0]

    def load(self, access: Access, here: list, body: list):
        found = self.loaded.get(access.key)
        if found is not None:
            return found[0]
        deep = any(a in access.strides for a in self.inner)
        into = here if deep else body
        name = self.fresh()
        if access.buffer is None:
            name = self.count(access, into)
        else:
            into.append(Load(name, self.param(access, write=False), self.affine(access), access.dtype))
            self.as_stored.add(name)
        self.loaded[access.key] = (name, not deep)
        return name

    def count(self, access: Access, into: list):
        """The value of an iota: offset + sum of loop index * stride, in its own dtype."""
        dtype = access.dtype
        wide = dtype if dtype in ("int32", "int64", "uint32", "uint64") else "int32"
        total = None
        for a, s in access.strides.items():
            name = self.fresh()
            into.append(Let(name, "iota", (), wide, var=self.vars[a]))
            if s != 1:
                scaled, factor = self.fresh(), self.fresh()
                into.append(Let(factor, "convert", (self.sym(s),), wide))
                into.append(Let(scaled, "mul", (name, factor), wide))
                name = scaled
            if total is not None:
                both = self.fresh()
                into.append(Let(both, "add", (total, name), wide))
                name = both
            total = name
        if access.offset or total is None:
            start = self.fresh()
            into.append(Let(start, "convert", (self.sym(access.offset),), wide))
            if total is None:
                total = start
            else:
                both = self.fresh()
                into.append(Let(both, "add", (total, start), wide))
                total = both
        if wide != dtype:
            name = self.fresh()
            into.append(Let(name, "convert", (total,), dtype))
            total = name
        return total

    def store(self, v: Var, value, into: list) -> None:
        """Store at the end of ``into``: after every load of the iteration, which may read the memory that is written."""
        access = self.stores[v]
        store = Store(self.param(access, write=True), self.affine(access), value)
        self.pending.setdefault(id(into), []).append(store)
        # A result may lend its memory to a value of earlier phases, and what is read there until the store is that value.
        lent = any(place[0] is access.buffer for place in self.scratch.values())
        if type(value) is str and not lent:
            self.loaded[access.key] = (value, not any(a in access.strides for a in self.inner))

    def param(self, access: Access, write: bool) -> str:
        key = (id(access.buffer), access.dtype)
        p = self.params.get(key)
        if p is None:
            p = self.params[key] = Param(f"p{len(self.params)}", access.dtype)
            self.args.append(access.buffer)
        (self.written if write else self.read).add(access.buffer)
        return p.name

    def start_terms(self, access: Access) -> tuple:
        """The computed part of a window's position, as index terms."""
        found = self.window_starts.get(access.key)
        if found is None:
            terms = []
            for start, dtype, limit, stride in access.starts:
                value = self.load(self.leaf(start, ()), self.body, self.body)
                at = lower_indexed.clamped(self, value, dtype, limit, self.body)
                terms.append((at, self.sym(stride)))
            found = self.window_starts[access.key] = tuple(terms)
        return found

    def affine(self, access: Access, extra: tuple = ()) -> Affine:
        if access.starts:
            extra = (*extra, *self.start_terms(access))
        terms = []
        for a in (*self.outer, *self.inner):
            s = access.strides.get(a, 0)
            if s:
                literal = a == self.vector and s in (1, -1)
                terms.append((self.vars[a], s if literal else self.sym(s)))
        return Affine(self.sym(access.offset) if access.offset else 0, (*terms, *extra))

    def sym(self, value: int) -> Sym:
        self.table.append(int(value))
        return Sym(len(self.table) - 1)

    def fresh(self) -> str:
        self.counter += 1
        return f"v{self.counter}"

    def loop(self, a: int, body: list) -> Loop:
        extent = self.extent_of.get(a)
        return Loop(
            self.vars[a], self.sym(self.sizes[a]) if extent is None else extent, tuple(body),
            "vector" if a == self.vector else "serial",
        )  # fmt: skip
