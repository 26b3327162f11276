"""The checker of the loop-nest IR: names, scopes, dtypes, places of statements, entries of the table.

Every nest passes it before it is compiled. What it can't see is left to whoever builds nests: indices within bounds,
and vector loops whose iterations really are independent.
"""

from __future__ import annotations

from addax.engines.cpu.loop_ops import DTYPES, OPS, check_types
from addax.engines.cpu.loops import (
    ACC_OPS,
    Acc,
    Affine,
    Let,
    Lit,
    Load,
    Local,
    Loop,
    Nest,
    Node,
    Operand,
    Param,
    Phi,
    Stmt,
    Store,
    Sym,
    Update,
    While,
    print_nest,
)


class NestError(ValueError):
    """A nest that breaks the rules of the IR; the message shows the statement."""


def validate(nest: Nest) -> Nest:
    """Check a nest and return it.

    Raises:
      NestError: undefined, redefined or escaped names, wrong dtypes, misplaced statements, table entries out of range.
    """
    _Checker(nest).run()
    return nest


class _Checker:
    def __init__(self, nest: Nest):
        self.nest = nest
        self.values: dict[str, str] = {}  # visible values and their dtypes
        self.loops: set[str] = set()
        self.accs: dict[str, Acc] = {}  # accumulators not read yet
        self.arrays: dict[str, Param | Local] = {}
        self.defined: set[str] = set()
        self.own_accs: set[str] = set()  # accumulators declared by the innermost block
        self.where: str = nest.name

    def fail(self, why: str):
        raise NestError(f"nest {self.nest.name!r}: {why}\n  in: {self.where}")

    def run(self):
        for p in self.nest.params:
            if p.role not in ("in", "out", "inout"):
                self.fail(f"parameter {p.name!r} has role {p.role!r}; expected 'in', 'out' or 'inout'")
            self.dtype(p.dtype)
            self.define(p.name)
            self.arrays[p.name] = p
        parallel = [s for s in self.nest.body if type(s) is Loop and s.parallel]
        if len(parallel) > 1:
            self.fail(f"{len(parallel)} parallel loops; lo..hi can be the range of only one")
        self.block(self.nest.body, vector=False, top=True)

    def dtype(self, d: str):
        if d not in DTYPES:
            self.fail(f"unknown dtype {d!r}; expected one of {', '.join(DTYPES)}")

    def define(self, name: str, dtype: str | None = None):
        if type(name) is not str or not name:
            self.fail(f"{name!r} is not a name")
        if name in self.defined:
            self.fail(f"{name!r} is defined twice")
        self.defined.add(name)
        if dtype is not None:
            self.dtype(dtype)
            self.values[name] = dtype

    def sym(self, x):
        if type(x) is Sym:
            if not 0 <= x.k < self.nest.n_table:
                self.fail(f"table entry s{x.k} is out of range: the table has {self.nest.n_table}")
        elif type(x) is not int:
            self.fail(f"{x!r} is not an int or Sym")

    def use(self, x: Operand) -> str:
        t = type(x)
        if t is Sym:
            self.sym(x)
            return "int64"
        if t is Lit:
            self.dtype(x.dtype)
            return x.dtype
        if x in self.values:
            return self.values[x]
        if x in self.accs:
            self.fail(f"accumulator {x!r} is read before the loop that updates it ends")
        if x in self.loops:
            self.fail(f"loop variable {x!r} is used as a value; write Let(name, 'iota', (), dtype, var={x!r})")
        self.fail(f"{x!r} is not visible here" if x in self.defined else f"{x!r} is not defined")
        raise AssertionError

    def index(self, ix: Affine):
        self.sym(ix.offset)
        for n, stride in ix.terms:
            self.sym(stride)
            if n not in self.loops and self.values.get(n, "none")[:3] not in ("int", "uin"):
                self.fail(f"index term {n!r} is neither a loop variable nor a visible integer value")

    def mask(self, m):
        if m is not None and self.use(m) != "bool":
            self.fail(f"mask {m!r} is {self.use(m)}, expected bool")

    def array(self, name: str, store: bool):
        p = self.arrays.get(name)
        if p is None:
            self.fail(f"{name!r} is not a parameter or local array")
        if store and type(p) is Param and p.role == "in":
            self.fail(f"store to {name!r}, which is an 'in' parameter")
        return p

    def block(self, body, vector: bool, top: bool = False, phis: bool = False):
        values, accs, arrays, own = dict(self.values), dict(self.accs), dict(self.arrays), self.own_accs
        self.own_accs = set()
        pending = []
        for s in body:
            self.where = _headline(s)
            if type(s) is Phi:
                if not phis:
                    self.fail("a phi must stand at the head of a serial loop or of a while")
                if self.use(s.init) != s.dtype:
                    self.fail(f"phi of dtype {s.dtype} starts as {self.use(s.init)}")
                self.define(s.name, s.dtype)
                pending.append(s)
                continue
            phis = False
            self.statement(s, vector, top)
        for p in pending:
            if self.values.get(p.next) != p.dtype:
                self.where = _headline(p)
                self.fail(
                    f"phi {p.name!r} continues as {p.next!r} ({self.values.get(p.next, 'not defined in the body')})"
                )
        self.values, self.accs, self.arrays, self.own_accs = values, accs, arrays, own
        for p in pending:
            self.values[p.name] = p.dtype

    def statement(self, s: Stmt, vector: bool, top: bool):
        t = type(s)
        if t is Let:
            if s.op not in OPS:
                self.fail(f"unknown op {s.op!r}")
            if s.op == "iota" and s.attrs.get("var") not in self.loops:
                self.fail(f"iota of {s.attrs.get('var')!r}, which is not a loop around it")
            self.dtype(s.dtype)
            why = check_types(s.op, [self.use(a) for a in s.args], s.dtype, s.attrs)
            if why:
                self.fail(why)
            self.define(s.name, s.dtype)
        elif t is Load:
            p = self.array(s.param, store=False)
            self.index(s.index)
            self.mask(s.mask)
            if p.dtype != s.dtype:
                self.fail(f"load of {s.dtype} from {s.param!r}, which holds {p.dtype}")
            if (s.mask is None) != (s.fill is None):
                self.fail("mask and fill come together")
            if s.fill is not None and self.use(s.fill) != s.dtype:
                self.fail(f"fill is {self.use(s.fill)}, expected {s.dtype}")
            self.define(s.name, s.dtype)
        elif t is Store:
            p = self.array(s.param, store=True)
            self.index(s.index)
            self.mask(s.mask)
            if self.use(s.value) != p.dtype:
                self.fail(f"store of {self.use(s.value)} to {s.param!r}, which holds {p.dtype}")
        elif t is Acc:
            if s.op not in ACC_OPS:
                self.fail(f"unknown accumulator op {s.op!r}; expected one of {', '.join(ACC_OPS)}")
            arg = s.op in ("argmax", "argmin")
            if arg != (s.index is not None):
                self.fail("argmax and argmin, and only they, name an index")
            if s.init is not None and (arg or self.use(s.init) != s.dtype):
                self.fail(f"init of a {s.op} accumulator of {s.dtype}: {s.init}")
            kind = DTYPES[s.dtype].kind if s.dtype in DTYPES else None
            if (s.op in ("and", "or", "xor") and kind not in "biu") or (s.op == "add" and kind == "b"):
                self.fail(f"{s.op} does not accumulate {s.dtype}")
            if kind == "c" and s.op not in ("add", "mul"):
                self.fail(f"{s.op} does not accumulate {s.dtype}")
            self.define(s.name)
            self.dtype(s.dtype)
            if s.index is not None:
                self.define(s.index)
                self.dtype(s.index_dtype)
            self.accs[s.name] = s
            self.own_accs.add(s.name)
        elif t is Update:
            acc = self.accs.get(s.acc)
            if acc is None:
                self.fail(f"{s.acc!r} is not an accumulator in scope (or it was already read)")
            if self.use(s.value) != acc.dtype:
                self.fail(f"update of {s.acc!r} ({acc.dtype}) with {self.use(s.value)}")
            if (acc.index is None) != (s.index is None):
                self.fail("argmax and argmin updates, and only they, give an index")
            if s.index is not None and self.use(s.index) != acc.index_dtype:
                self.fail(f"index is {self.use(s.index)}, expected {acc.index_dtype}")
            self.mask(s.mask)
        elif t is Loop:
            if s.kind not in ("serial", "vector"):
                self.fail(f"unknown loop kind {s.kind!r}; expected 'serial' or 'vector'")
            if s.parallel and not top:
                self.fail("a parallel loop must be at the top level of the nest")
            if s.kind == "vector" and vector:
                self.fail("a vector loop inside a vector loop")
            if type(s.extent) is str:
                if self.use(s.extent) != "int64":
                    self.fail(f"extent {s.extent!r} is {self.use(s.extent)}, expected int64")
            else:
                self.sym(s.extent)
            self.define(s.var)
            self.loops.add(s.var)
            self.block(s.body, vector or s.kind == "vector", phis=s.kind == "serial")
            self.loops.discard(s.var)
            self.read_accs(s)
        elif t is While:
            if vector:
                self.fail("a while inside a vector loop")
            # The test and the head's values are visible in the body, and phis after the loop.
            self.block((*s.head, _Test(s.test), *s.body), vector, phis=True)
            self.read_accs(s)
        elif t is Local:
            self.define(s.name)
            self.dtype(s.dtype)
            if vector:
                self.fail("a local array inside a vector loop")
            if type(s.size) is not int or not 0 < s.size <= 65536:
                self.fail(f"a local array of {s.size} elements; expected 1 to 65536")
            self.arrays[s.name] = s
        elif t is _Test:
            if self.use(s.name) != "bool":
                self.fail(f"the test of a while is {self.use(s.name)}, expected bool")
        else:
            self.fail(f"not a statement: {s!r}")

    def read_accs(self, loop):
        """After a loop, the accumulators of this block that it updated are values; inner blocks can't read outer
        totals.
        """
        for name in updated_accs(loop) & self.own_accs:
            acc = self.accs[name]
            self.values[name] = acc.dtype
            if acc.index is not None:
                self.values[acc.index] = acc.index_dtype


class _Test(Node):
    """The test of a ``While``, as a statement between its head and its body (inside the checker only)."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


def updated_accs(loop: Loop | While) -> set[str]:
    """Names of the accumulators that a loop updates, at any depth."""
    out: set[str] = set()
    stack = [*loop.body, *(loop.head if type(loop) is While else ())]
    while stack:
        s = stack.pop()
        if type(s) is Update:
            out.add(s.acc)
        elif type(s) is Loop:
            stack += s.body
        elif type(s) is While:
            stack += [*s.head, *s.body]
    return out


def _headline(s) -> str:
    if type(s) is _Test:
        return f"while {s.name}"
    if type(s) is While:
        return f"while ... do if {s.test}"
    if type(s) is Loop:
        s = Loop(s.var, s.extent, (), s.kind, s.parallel, s.unroll)
    return print_nest(Nest("", (), 0, (s,))).split("\n", 1)[1].strip()
