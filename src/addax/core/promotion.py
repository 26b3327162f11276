"""Type promotion: the dtype and weak type that values combine to.

Combination is the join in one small graph, `_MAY_BECOME`: "i8: i16" says that int8 may silently become int16, and the
result of combining two types is the least type both may become. A value that comes from a Python scalar is *weakly
typed*: it has a kind (int, float, complex), is the node "i*", "f*" or "c*" of the graph, and bends to the dtype it
meets, since "i*" lies below every integer dtype: ``int8 + 1`` is int8. Joins are memoised per lattice, so
`result_type_of`, which tracing calls for each operation, is a dictionary hit.

The rules are JAX's (its design note is JEP 9407); NumPy's differ where widths mix: int64 with float32 is float32 here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from addax.core.config import current_context
from addax.core.dtype_table import (
    ALL_DTYPES,
    BY_SHORT_NAME,
    COMPLEXES,
    FLOATS,
    INTS,
    NARROWED,
    SMALL_FLOATS,
    DType,
    as_dtype,
    bool_,
    complex128,
    dtype_name,
    float64,
    int32,
    int64,
    uint32,
    uint64,
)
from addax.core.errors import TypePromotionError
from addax.core.extended_dtypes import ExtendedDType

Node = Any  # a np.dtype, or one of the weak kinds "i*", "f*", "c*"
Pair = tuple[DType, bool]  # (dtype, weak_type)
Edges = dict[Node, frozenset[Node]]

# "a: b c" reads: a may silently become b, or c. A dtype without a line becomes nothing else.
_MAY_BECOME = """
bool: i*
i*: u8 i8 i1 i2 i4 u1 u2 u4
u8: i16 u16
u16: i32 u32
u32: i64 u64
u64: f*
i8: i16
i16: i32
i32: i64
i64: f*
f*: c* f16 bf16 f4_e2m1fn f6_e2m3fn f6_e3m2fn f8_e3m4 f8_e4m3 f8_e8m0fnu
f*: f8_e4m3b11fnuz f8_e4m3fn f8_e4m3fnuz f8_e5m2 f8_e5m2fnuz
f16: f32
bf16: f32
f32: f64 c64
f64: c128
c*: c64
c64: c128
"""

_WEAK_SCALARS: dict[str, type] = {"i*": int, "f*": float, "c*": complex}
_WEAK_DTYPES: dict[str, np.dtype] = {"i*": int64, "f*": float64, "c*": complex128}


def _standard_edges() -> Edges:
    edges: Edges = dict.fromkeys(ALL_DTYPES, frozenset())
    nodes = BY_SHORT_NAME | {kind: kind for kind in _WEAK_DTYPES}
    for line in _MAY_BECOME.strip().splitlines():
        source, _, targets = line.partition(":")
        node = nodes[source]
        # ml_dtypes before 0.6 has no i1 and u1.
        edges[node] = edges.get(node, frozenset()) | {nodes[t] for t in targets.split() if t in nodes}
    return edges


def _without_x64(edges: Edges) -> Edges:
    """The standard graph for 32-bit mode, where the dtype that int32 and uint32 share is int32."""
    return edges | {uint32: frozenset({int32, uint64})}


def _strict_edges() -> Edges:
    """Python scalars may become every dtype of their kind or a wider kind; no dtype becomes another."""
    weak: Edges = {"i*": INTS | {"f*"}, "f*": FLOATS | {"c*"}, "c*": COMPLEXES}
    return dict.fromkeys(ALL_DTYPES, frozenset()) | weak


def _reachable(start: Node, edges: Edges) -> frozenset[Node]:
    seen, todo = {start}, [start]
    while todo:
        new = edges[todo.pop()] - seen
        seen |= new
        todo.extend(new)
    return frozenset(seen)


class Lattice:
    """Joins in one promotion graph, memoised."""

    def __init__(self, edges: Edges, *, strict: bool, x64: bool) -> None:
        self.strict = strict
        self.x64 = x64
        self.above = {node: _reachable(node, edges) for node in edges}
        self.memo: dict[tuple[Pair, ...], Pair] = {}

    def join(self, nodes: Iterable[Node]) -> Node:
        """The least node that every one of `nodes` may become. Raises TypePromotionError if there is none."""
        nodes = list(dict.fromkeys(nodes))
        common = frozenset.intersection(*(self.above[node] for node in nodes))
        for bound in common:
            if common <= self.above[bound]:  # every other common bound can be reached from it
                return bound
        raise TypePromotionError(self._no_path(nodes))

    def result(self, pairs: tuple[Pair, ...]) -> Pair:
        """What values with these (dtype, weak_type) combine to."""
        if len(pairs) == 1:
            (dtype, weak) = pairs[0]
            return dtype, weak and dtype != bool_
        for dtype, _ in pairs:
            if dtype not in self.above:
                return self._combine_others(pairs)
        if all(weak for _, weak in pairs) and not self.strict:
            # Values that are all weak combine as their own dtypes do, and stay weak.
            out = self.join(dtype for dtype, _ in pairs)
            return out, out != bool_
        out = self.join(_node(dtype, weak) for dtype, weak in pairs)
        if isinstance(out, str):
            wide = _WEAK_DTYPES[out]
            return (wide if self.x64 else NARROWED[wide]), True
        return out, False

    def _combine_others(self, pairs: tuple[Pair, ...]) -> Pair:
        """Dtypes outside the graph (keys, float0) combine with themselves only."""
        first = pairs[0][0]
        if all(dtype == first for dtype, _ in pairs):
            return first, False
        raise not_promotable([dtype for dtype, _ in pairs])

    def _no_path(self, nodes: list[Node]) -> str:
        weak = [node for node in nodes if isinstance(node, str)]
        strong = [node for node in ALL_DTYPES if node in nodes]
        names = [node.name for node in strong] + [f"Python {_WEAK_SCALARS[node].__name__}" for node in weak]
        head = f"Input dtypes {', '.join(names)} have no available implicit dtype promotion path"
        if self.strict:
            return (
                f"{head} when addax_numpy_dtype_promotion is 'strict'. Convert explicitly to the dtype you want, for "
                f"example x.astype({strong[-1].name!r}), or set the option to 'standard'."
            )
        if any(node in SMALL_FLOATS for node in strong):
            return f"{head}: floats of 8 bits or less never convert implicitly. Write x.astype('float32')."
        return f"{head}: integers of 1, 2 or 4 bits never convert implicitly. Write x.astype('int32')."


def not_promotable(dtypes: list[DType]) -> Exception:
    """The error for combining a dtype that is not in the promotion graph."""
    odd = next(d for d in dtypes if d not in _STANDARD)
    got = ", ".join(map(dtype_name, dtypes))
    if isinstance(odd, ExtendedDType):
        return ValueError(
            f"{odd.name} takes no part in dtype promotion; got inputs of dtypes {got}. PRNG keys are not numbers: "
            "random.key_data(key) gives the uint32 words behind one."
        )
    return ValueError(f"{dtype_name(odd)} takes no part in dtype promotion; got inputs of dtypes {got}")


def _node(dtype: DType, weak: bool) -> Node:
    if not weak or dtype == bool_:
        return dtype
    return "i*" if dtype in INTS else "c*" if dtype in COMPLEXES else "f*"


_STANDARD = _standard_edges()


class _Lattices(dict[tuple[bool, str], Lattice]):
    """The lattice of each (enable_x64, numpy_dtype_promotion), built when first used."""

    def __missing__(self, mode: tuple[bool, str]) -> Lattice:
        x64, promotion = mode
        strict = promotion == "strict"
        edges = _strict_edges() if strict else _STANDARD if x64 else _without_x64(_STANDARD)
        return self.setdefault(mode, Lattice(edges, strict=strict, x64=x64))


_LATTICES = _Lattices()


def result_type_of(pairs: tuple[Pair, ...]) -> Pair:
    """The (dtype, weak_type) that values with these (dtype, weak_type) combine to.

    The hot entry: a dictionary hit after the first time. The dtypes are canonical already, as those of avals are.

    Raises TypePromotionError if there is none.

    >>> result_type_of(((np.dtype("int8"), False), (np.dtype("int32"), True)))
    (dtype('int8'), False)
    """
    context = current_context()
    lattice = _LATTICES[context.enable_x64, context.numpy_dtype_promotion]
    try:
        return lattice.memo[pairs]
    except KeyError:
        return lattice.memo.setdefault(pairs, lattice.result(pairs))


def promote_types(a: Any, b: Any) -> DType:
    """The dtype that dtypes `a` and `b` combine to. Not narrowed: float64 stays float64 in 32-bit mode.

    Python's int, float and complex are the weak kinds: ``promote_types("int8", int)`` is int8.

    >>> promote_types("int8", "uint8"), promote_types("bfloat16", "float16"), promote_types("int32", float)
    (dtype('int16'), dtype('float32'), dtype('float64'))
    """
    context = current_context()
    lattice = _LATTICES[context.enable_x64, context.numpy_dtype_promotion]
    nodes = [_named_node(a), _named_node(b)]
    if not all(node in lattice.above for node in nodes):
        raise not_promotable([_WEAK_DTYPES.get(node, node) if isinstance(node, str) else node for node in nodes])
    joined = lattice.join(nodes)
    return _WEAK_DTYPES[joined] if isinstance(joined, str) else joined


def _named_node(x: Any) -> Node:
    for kind, scalar in _WEAK_SCALARS.items():
        if x is scalar:
            return kind
    return as_dtype(x)
