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
   order or at once, but for the accumulators it updates. Inside it, whatever depends on the loop variable is a vector
   of lanes and everything else is one scalar. Scalars and loads of ``in`` parameters that do not depend on the loop are
   computed once, before it: an ``in`` parameter must not overlap what the nest stores, except where each element is
   read and overwritten by the same iteration. Vector loops don't nest, but may contain serial loops (each lane runs
   them), and ragged ends are the emitter's care.
2. *An accumulator outlives the loops inside its scope.* ``Acc`` declares it, ``Update`` folds a value in
   (anywhere below), and its name, used after the outermost loop that updates it, is the reduced value. Declared
   outside a vector loop it is reduced across lanes; declared inside, each lane keeps its own (column sums: a vector
   loop over columns around a serial loop over rows). Folding across lanes reassociates: sums of floats depend on the
   vector width, never on the number of threads or the ``lo..hi`` split of other loops. ``argmax``/``argmin`` carry a
   second name for the index: NaN wins, then the extreme value, then the lowest index.
3. *A carried value goes round serial loops.* ``Phi(name, init, next)``, at the head of a serial loop or of
   the ``head`` of a ``While``, is ``init`` in the first iteration and then whatever ``next``, defined in the body,
   was. After the loop the name is its last value.

Loads and stores address elements by ``Affine(offset, ((name, stride), ...))`` = offset + sum of name * stride, where
a name is a loop variable or any integer value (loaded indices make gathers and scatters), and offsets and strides are
ints or ``Sym``. The literal stride of the vector loop's variable decides how lanes move: 1 contiguous, absent or 0
broadcast, -1 reversed, anything else gathered.

``Load(mask=m, fill=v)`` does not touch memory in lanes (or at all, for scalars) where ``m`` is false, and gives ``v``
there; ``Store(mask=m)`` likewise writes nothing: padding, concatenation and out-of-bounds rules are masks.

Bodies without loops are straight-line scalar programs. ``Local`` is a small array on the stack, used like a parameter.

Values have dtypes (JAX's names). bool is one byte (0 or 1) in memory. float16, bfloat16 and the float8 types are
*computed in float32* and rounded once, to nearest even, by ``Store``, by ``convert`` and by ``bitcast_convert_type``.
The ops of ``Let`` are the jaxpr primitives with their JAX semantics; ``loop_ops.OPS`` lists them with their types;
``loops_check.validate`` checks a nest.

>>> n = Nest("scale", (Param("x", "float32", "in"), Param("y", "float32", "out")), 1, (
...     Loop("i", Sym(0), (
...         Load("a", "x", Affine(0, (("i", 1),)), "float32"),
...         Let("b", "mul", ("a", Lit(2.0, "float32")), "float32"),
...         Store("y", Affine(0, (("i", 1),)), "b"),
...     ), kind="vector", parallel=True),
... ))
>>> print(n)
nest scale(x: in float32, y: out float32) table 1
  parallel vector i < s0
    a: float32 = load x[i]
    b: float32 = mul a 2.0:float32
    store y[i] b
"""

from __future__ import annotations

import hashlib


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
                args = "".join([f" {operand(a)}" for a in s.args])
                attrs = "".join([f" {k}={name(v) if k == 'var' else v}" for k, v in sorted(s.attrs.items())])
                lines.append(f"{pad}{name(s.name)}: {s.dtype} = {s.op}{args}{attrs}")
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
