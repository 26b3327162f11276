"""The loop-nest IR: what a fused kernel computes, before anything is said about vectors, registers or LLVM.

A ``Nest`` is one kernel function with the C signature
``void k(void** args, const int64_t* table, int64_t lo, int64_t hi)``:

* ``args[i]`` points to the elements of parameter ``i``;
* ``table`` holds the run-time integers (sizes, strides, offsets, all counted in *elements*) that ``Sym(k)`` names, so
  that one kernel serves every shape of the same structure;
* ``lo..hi`` is the range of the one loop marked ``parallel`` (its ``extent`` is documentation only). Without a
  parallel loop both are ignored.

The body is a list of statements; names are values, each defined once (SSA), visible until the end of the loop body that
defines them. Three rules make up the whole model:

1. *A vector loop runs its iterations in lanes.* ``Loop(kind="vector")`` promises that its iterations may run in any
   order or at once, but for the accumulators it updates. Inside it, whatever depends on the loop variable is a vector of lanes
   and everything else is one scalar. Scalars and loads of ``in`` parameters that do not depend on the loop are
   computed once, before it: an ``in`` parameter must not overlap what the nest stores, except where each element is
   read and overwritten by the same iteration. Vector loops don't nest, but may contain serial loops (each lane runs
   them), and ragged ends are the emitter's care.
2. *An accumulator outlives the loops inside its scope.* ``Acc`` declares it, ``Update`` folds a value in
   (anywhere below), and its name, used after the outermost loop that updates it, is the reduced value. Declared outside a vector loop
   it is reduced across lanes; declared inside, each lane keeps its own (column sums: a vector loop over columns
   around a serial loop over rows). Folding across lanes reassociates: sums of floats depend on the vector width,
   never on the number of threads or the ``lo..hi`` split of other loops. ``argmax``/``argmin`` carry a second name
   for the index: NaN wins, then the extreme value, then the lowest index.
3. *A carried value goes round serial loops.* ``Phi(name, init, next)``, at the head of a serial loop or of
   the ``head`` of a ``While``, is ``init`` in the first iteration and then whatever ``next``, defined in the body, was. After the loop the name is
   its last value.

Loads and stores address elements by ``Affine(offset, ((name, stride), ...))`` = offset + sum of name * stride, where
a name is a loop variable or any integer value (loaded indices make gathers and scatters), and offsets and strides are
ints or ``Sym``. The literal stride of the vector loop's variable decides how lanes move: 1 contiguous, absent or 0
broadcast, -1 reversed, anything else gathered.

``Load(mask=m, fill=v)`` does not touch memory in lanes (or at all, for scalars) where ``m`` is false, and gives ``v``
there; ``Store(mask=m)`` likewise writes nothing: padding, concatenation and out-of-bounds rules are masks.

Bodies without loops are straight-line scalar programs. ``Local`` is a small array on the stack, used like a parameter.

Values have dtypes (JAX's names). bool is one byte (0 or 1) in memory. float16, bfloat16 and the float8 types are
*computed in float32* and rounded once, to nearest even, by ``Store``, by ``convert`` and by ``bitcast_convert_type``.
The ops of ``Let`` are the jaxpr primitives with their JAX semantics; ``loop_ops.OPS`` lists them with their types.

>>> n = Nest("scale", (Param("x", "float32", "in"), Param("y", "float32", "out")), 1, (
...     Loop("i", Sym(0), (
...         Load("a", "x", Affine(0, (("i", 1),)), "float32"),
...         Let("b", "mul", ("a", Lit(2.0, "float32")), "float32"),
...         Store("y", Affine(0, (("i", 1),)), "b"),
...     ), kind="vector", parallel=True),
... ))
>>> print(validate(n))
nest scale(x: in float32, y: out float32) table 1
  parallel vector i < s0
    a: float32 = load x[i]
    b: float32 = mul a 2.0:float32
    store y[i] b
"""

from __future__ import annotations

import hashlib

from addax.engines.cpu.loop_ops import DTYPES, OPS, check_types


class Node:
    """Base of the IR's records: compared and hashed by their fields, printed as their constructor call, never changed.

    Written by hand instead of with ``dataclass``: twelve of those add 10 ms to the import, and each construction
    costs three times as much.
    """

    __slots__ = ()

    def _fields(self) -> tuple:
        return tuple([getattr(self, name) for name in self.__slots__ if name[0] != "_"])

    def __eq__(self, other) -> bool:
        return type(self) is type(other) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._fields()))

    def __repr__(self) -> str:
        names = [n for n in self.__slots__ if n[0] != "_"]
        return f"{type(self).__name__}({', '.join([f'{n}={getattr(self, n)!r}' for n in names])})"


class Sym(Node):
    """Entry ``k`` of the run-time table: an int64, the same for the whole call."""

    __slots__ = ("k",)

    def __init__(self, k: int):
        self.k = k

    def __str__(self) -> str:
        return f"s{self.k}"


class Lit(Node):
    """A constant operand. ``value`` is a Python bool, int, float or complex; it is rounded to ``dtype``."""

    __slots__ = ("dtype", "value")

    def __init__(self, value: bool | int | float | complex, dtype: str):
        self.value, self.dtype = value, dtype

    def __str__(self) -> str:
        return f"{self.value!r}:{self.dtype}"


Operand = str | Lit | Sym
"""What an op reads: the name of a value, a literal, or a table entry (as an int64)."""


class Affine(Node):
    """An element index: ``offset + sum(name * stride)``. Names are loop variables or integer values."""

    __slots__ = ("offset", "terms")

    def __init__(self, offset: int | Sym = 0, terms: tuple[tuple[str, int | Sym], ...] = ()):
        self.offset, self.terms = offset, terms


class Param(Node):
    """A pointer argument. Role ``in`` is only read; ``out`` and ``inout`` may be stored to and loaded from."""

    __slots__ = ("dtype", "name", "role")

    def __init__(self, name: str, dtype: str, role: str = "in"):
        self.name, self.dtype, self.role = name, dtype, role


class Let(Node):
    """``name = op(*args)`` with static ``attrs``, e.g. ``Let("y", "integer_pow", ("x",), "float32", y=3)``."""

    __slots__ = ("args", "attrs", "dtype", "name", "op")

    def __init__(self, name: str, op: str, args: tuple[Operand, ...], dtype: str, **attrs):
        self.name, self.op, self.args, self.dtype, self.attrs = name, op, tuple(args), dtype, attrs

    def __hash__(self) -> int:
        return hash((self.name, self.op, self.args, self.dtype, tuple(sorted(self.attrs.items()))))

    def __repr__(self) -> str:
        return f"Let({self.name!r}, {self.op!r}, {self.args!r}, {self.dtype!r}, **{self.attrs!r})"


class Load(Node):
    """``name = param[index]``, or ``fill`` where ``mask`` is false."""

    __slots__ = ("dtype", "fill", "index", "mask", "name", "param")

    def __init__(
        self, name: str, param: str, index: Affine, dtype: str, mask: str | None = None, fill: Operand | None = None
    ):
        self.name, self.param, self.index, self.dtype, self.mask, self.fill = name, param, index, dtype, mask, fill


class Store(Node):
    """``param[index] = value``, where ``mask`` is true."""

    __slots__ = ("index", "mask", "param", "value")

    def __init__(self, param: str, index: Affine, value: Operand, mask: str | None = None):
        self.param, self.index, self.value, self.mask = param, index, value, mask


class Acc(Node):
    """An accumulator. ``init`` is an operand, or None for the identity of ``op`` (see ``ACC_OPS``).

    For ``argmax`` and ``argmin``, ``index`` names the reduced index, of dtype ``index_dtype``. They take no ``init``,
    at least one update must come, and indices must not be negative and grow from update to update: the first of
    equals wins.
    """

    __slots__ = ("dtype", "index", "index_dtype", "init", "name", "op")

    def __init__(
        self,
        name: str,
        op: str,
        dtype: str,
        init: Operand | None = None,
        index: str | None = None,
        index_dtype: str = "int32",
    ):
        self.name, self.op, self.dtype = name, op, dtype
        self.init, self.index, self.index_dtype = init, index, index_dtype


class Update(Node):
    """Fold ``value`` (and ``index``, for argmax/argmin) into the accumulator ``acc``, where ``mask`` is true."""

    __slots__ = ("acc", "index", "mask", "value")

    def __init__(self, acc: str, value: Operand, index: Operand | None = None, mask: str | None = None):
        self.acc, self.value, self.index, self.mask = acc, value, index, mask


class Phi(Node):
    """A carried value: ``init`` in the first iteration, then what ``next`` was in the one before."""

    __slots__ = ("dtype", "init", "name", "next")

    def __init__(self, name: str, init: Operand, next: str, dtype: str):
        self.name, self.init, self.next, self.dtype = name, init, next, dtype


class Local(Node):
    """A stack array of ``size`` elements, uninitialised, private to the call."""

    __slots__ = ("dtype", "name", "size")

    def __init__(self, name: str, dtype: str, size: int):
        self.name, self.dtype, self.size = name, dtype, size


class Loop(Node):
    """Run ``body`` for ``var`` = 0 .. extent-1 (``lo``..``hi``-1 if parallel). ``extent``: int, Sym, or the name of
    an integer scalar.

    ``unroll`` (vector loops) overrides the emitter's choice of how many vectors one iteration handles.
    """

    __slots__ = ("body", "extent", "kind", "parallel", "unroll", "var")

    def __init__(
        self,
        var: str,
        extent: int | Sym | str,
        body: tuple[Stmt, ...],
        kind: str = "serial",
        parallel: bool = False,
        unroll: int | None = None,
    ):
        self.var, self.extent, self.body, self.kind = var, extent, tuple(body), kind
        self.parallel, self.unroll = parallel, unroll


class While(Node):
    """Repeat { ``head``; stop if not ``test``; ``body`` }. Not inside vector loops. Phis stand first in ``head``."""

    __slots__ = ("body", "head", "test")

    def __init__(self, head: tuple[Stmt, ...], test: str, body: tuple[Stmt, ...]):
        self.head, self.test, self.body = tuple(head), test, tuple(body)


Stmt = Let | Load | Store | Acc | Update | Phi | Local | Loop | While


class Nest(Node):
    """One kernel. ``name`` is for people: equal nests of different names are the same kernel (see ``key``)."""

    __slots__ = ("_key", "body", "n_table", "name", "params")

    def __init__(self, name: str, params: tuple[Param, ...], n_table: int, body: tuple[Stmt, ...]):
        self.name, self.params, self.n_table, self.body = name, tuple(params), n_table, tuple(body)
        self._key: str | None = None

    def __str__(self) -> str:
        return print_nest(self)

    @property
    def key(self) -> str:
        """A hash of the structure: everything but the names."""
        if self._key is None:
            text = print_nest(self, canonical=True)
            self._key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return self._key


ACC_OPS = ("add", "mul", "max", "min", "and", "or", "xor", "argmax", "argmin")
"""What accumulators can do. Identities: 0, 1, lowest value, highest value, all ones, 0, 0, none, none. max/min give
NaN if any is NaN.
"""


# ---- printing ----


def print_nest(nest: Nest, canonical: bool = False) -> str:
    """The nest as text; ``canonical`` numbers all names in order of appearance, so that equal structures print
    equally.
    """
    names: dict[str, str] = {}
    if canonical:

        def name(n):
            got = names.get(n)
            if got is None:
                got = names[n] = f"v{len(names)}"
            return got
    else:

        def name(n):
            return n

    def operand(x):
        return name(x) if type(x) is str else str(x)

    def index(ix: Affine):
        parts = [name(n) if s == 1 else f"{name(n)}*{s}" for n, s in ix.terms]
        if ix.offset != 0 or not parts:
            parts.append(str(ix.offset))
        return " + ".join(parts)

    lines: list[str] = []

    def walk(body, pad):
        for s in body:
            t = type(s)
            if t is Let:
                args = " ".join([operand(a) for a in s.args])
                attrs = "".join([f" {k}={name(v) if k == 'var' else v}" for k, v in sorted(s.attrs.items())])
                lines.append(f"{pad}{name(s.name)}: {s.dtype} = {s.op} {args}{attrs}".rstrip())
            elif t is Load:
                mask = f" if {name(s.mask)} else {operand(s.fill)}" if s.mask is not None else ""
                lines.append(f"{pad}{name(s.name)}: {s.dtype} = load {name(s.param)}[{index(s.index)}]{mask}")
            elif t is Store:
                mask = f" if {name(s.mask)}" if s.mask is not None else ""
                lines.append(f"{pad}store {name(s.param)}[{index(s.index)}] {operand(s.value)}{mask}")
            elif t is Update:
                at = f" at {operand(s.index)}" if s.index is not None else ""
                mask = f" if {name(s.mask)}" if s.mask is not None else ""
                lines.append(f"{pad}update {name(s.acc)} {operand(s.value)}{at}{mask}")
            elif t is Loop:
                par = "parallel " if s.parallel else ""
                unroll = f" unroll {s.unroll}" if s.unroll is not None else ""
                lines.append(f"{pad}{par}{s.kind} {name(s.var)} < {operand(s.extent)}{unroll}")
                walk(s.body, pad + "  ")
            elif t is Acc:
                at = f" at {name(s.index)}: {s.index_dtype}" if s.index is not None else ""
                init = f" from {operand(s.init)}" if s.init is not None else ""
                lines.append(f"{pad}acc {name(s.name)}: {s.dtype} = {s.op}{init}{at}")
            elif t is Phi:
                lines.append(f"{pad}phi {name(s.name)}: {s.dtype} = {operand(s.init)} then {name(s.next)}")
            elif t is Local:
                lines.append(f"{pad}local {name(s.name)}: {s.dtype}[{s.size}]")
            else:
                lines.append(f"{pad}while")
                walk(s.head, pad + "  ")
                lines.append(f"{pad}do if {name(s.test)}")
                walk(s.body, pad + "  ")

    params = ", ".join([f"{name(p.name)}: {p.role} {p.dtype}" for p in nest.params])
    walk(nest.body, "  ")
    title = "nest" if canonical else f"nest {nest.name}"
    return "\n".join([f"{title}({params}) table {nest.n_table}", *lines])


# ---- checking ----


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
