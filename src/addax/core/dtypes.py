"""Dtypes: which there are, how they combine, and how 64-bit ones are narrowed when x64 is off.

A dtype is a `numpy.dtype` instance, with the small types of ml_dtypes included (bfloat16, float8_*, int4, ...), or an
`ExtendedDType` such as ``key<fry>``, whose elements are not numbers. A value has a dtype and may be *weakly typed*: values
that come from Python scalars have a kind (int, float, complex) and bend to the dtype they meet.

Combination is the join in one small graph, `_PROMOTES_TO` below: "i8 -> i16" says that int8 may silently become int16, and
the result of combining two types is the least type that both may become. Weak types are nodes too: "i*" lies below
every integer dtype, so ``int8 + 1`` is int8.

Hot code calls `join_types` with (dtype, weak) pairs; all else is convenience around it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from addax.core.config import current_context
from addax.core.errors import TypePromotionError, near_miss, type_name, warn_user

DType = Any  # np.dtype | ExtendedDType; NumPy's own stubs know nothing of either extension


# --- Abstract scalar types, for issubdtype ---


class extended(np.generic):
    """Abstract type of every dtype whose elements are not numbers: ``issubdtype(key.dtype, dtypes.extended)``."""


class prng_key(extended):
    """Abstract type of PRNG key dtypes: ``issubdtype(x.dtype, dtypes.prng_key)`` asks whether x is an array of keys."""


# --- Extended dtypes ---


class ExtendedDType:
    """A dtype whose elements are not numbers. Subclasses set `name`, `type` and `itemsize`."""

    __slots__ = ()

    name: str
    type: type
    itemsize: int

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


class PRNGKeyDType(ExtendedDType):
    """The dtype of arrays of PRNG keys: ``key<fry>`` for threefry2x32.

    Args:
      impl_name: name of the generator, e.g. "threefry2x32". Key dtypes are equal if this is.
      tag: the short name shown in ``key<...>``.
      key_shape: shape of the uint32 words behind one key.
    """

    __slots__ = ("impl_name", "key_shape", "name", "tag")

    type = prng_key
    _interned: dict[str, PRNGKeyDType] = {}

    impl_name: str
    tag: str
    key_shape: tuple[int, ...]

    def __new__(cls, impl_name: str, tag: str, key_shape: tuple[int, ...]) -> PRNGKeyDType:
        known = cls._interned.get(impl_name)
        if known is not None:
            if (known.tag, known.key_shape) != (tag, key_shape):
                raise ValueError(
                    f"PRNG implementation {impl_name!r} already has tag {known.tag!r} and key shape {known.key_shape}; "
                    f"got tag {tag!r} and key shape {key_shape}"
                )
            return known
        self = super().__new__(cls)
        self.impl_name = impl_name
        self.tag = tag
        self.key_shape = tuple(key_shape)
        self.name = f"key<{tag}>"
        return cls._interned.setdefault(impl_name, self)

    @property
    def itemsize(self) -> int:  # type: ignore[override]
        return int(np.prod(self.key_shape)) * 4

    def __reduce__(self):
        return PRNGKeyDType, (self.impl_name, self.tag, self.key_shape)


key_fry = PRNGKeyDType("threefry2x32", "fry", (2,))
key_rbg = PRNGKeyDType("rbg", "rbg", (4,))
key_urbg = PRNGKeyDType("unsafe_rbg", "urbg", (4,))


# --- The dtypes there are ---

float0: np.dtype = np.dtype([("float0", np.void, 0)])
"""The tangent dtype of integer and bool values: no information, no storage."""


class _Kind(NamedTuple):
    bits: int
    short: str


def _declare_dtypes() -> dict[np.dtype, _Kind]:
    table = {np.dtype(bool): _Kind(8, "bool")}
    for kind, short in (("int", "i"), ("uint", "u")):
        for bits in (1, 2, 4, 8, 16, 32, 64):
            scalar = getattr(np, f"{kind}{bits}", None) or getattr(ml_dtypes, f"{kind}{bits}", None)
            if scalar is not None:  # int1 and uint1 arrived in ml_dtypes after int2
                table[np.dtype(scalar)] = _Kind(bits, f"{short}{bits}")
    for bits, variants in (
        (4, ("e2m1fn",)),
        (6, ("e2m3fn", "e3m2fn")),
        (8, ("e3m4", "e4m3", "e8m0fnu", "e4m3b11fnuz", "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz")),
    ):
        for variant in variants:
            table[np.dtype(getattr(ml_dtypes, f"float{bits}_{variant}"))] = _Kind(bits, f"f{bits}_{variant}")
    table[np.dtype(ml_dtypes.bfloat16)] = _Kind(16, "bf16")
    for bits in (16, 32, 64):
        table[np.dtype(f"float{bits}")] = _Kind(bits, f"f{bits}")
    for bits in (64, 128):
        table[np.dtype(f"complex{bits}")] = _Kind(bits, f"c{bits}")
    return table


_KINDS = _declare_dtypes()
ALL_DTYPES: tuple[np.dtype, ...] = tuple(_KINDS)
"""Every numeric dtype, narrow to wide within a kind."""

_BY_SHORT_NAME: dict[str, np.dtype] = {kind.short: dtype for dtype, kind in _KINDS.items()}
_BY_NAME: dict[str, np.dtype] = {dtype.name: dtype for dtype in _KINDS}

bool_, bfloat16 = np.dtype(bool), np.dtype(ml_dtypes.bfloat16)
int8, int16, int32, int64 = map(np.dtype, ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = map(np.dtype, ("uint8", "uint16", "uint32", "uint64"))
float16, float32, float64 = map(np.dtype, ("float16", "float32", "float64"))
complex64, complex128 = map(np.dtype, ("complex64", "complex128"))

_SMALL_INTS = frozenset(d for d, k in _KINDS.items() if k.bits < 8)
_INTS = frozenset(_BY_SHORT_NAME[f"{s}{b}"] for s in "iu" for b in (1, 2, 4, 8, 16, 32, 64) if f"{s}{b}" in _BY_SHORT_NAME)
_SIGNED = frozenset(d for d in _INTS if _KINDS[d].short[0] == "i")
_SMALL_FLOATS = frozenset(d for d, k in _KINDS.items() if k.short[0] == "f" and k.bits <= 8)
_SMALL_INTS = frozenset(d for d in _INTS if _KINDS[d].bits < 8)
_FLOATS = _SMALL_FLOATS | {bfloat16, float16, float32, float64}
_COMPLEX = frozenset({complex64, complex128})

# ml_dtypes scalars do not subclass np.floating or np.integer, so their place in NumPy's type tree is written down.
_SMALL_TYPE_PARENTS: dict[type, type] = {
    **{d.type: np.floating for d in _SMALL_FLOATS | {bfloat16}},
    **{d.type: np.signedinteger if d in _SIGNED else np.unsignedinteger for d in _SMALL_INTS},
}

python_scalar_dtypes: dict[type, np.dtype] = {bool: bool_, int: int64, float: float64, complex: complex128}
"""The 64-bit dtype of each Python scalar type; `canonicalize_dtype` narrows it when x64 is off."""

_NARROW: dict[np.dtype, np.dtype] = {int64: int32, uint64: uint32, float64: float32, complex128: complex64}
_WIDE = frozenset(_NARROW)


# --- From what users pass to a dtype ---


def as_dtype(x: Any) -> DType:
    """The dtype `x` names: a dtype, scalar type, dtype string, Python scalar type, or an object with a `.dtype`. Not narrowed.

    Raises TypeError for None and for what names no dtype.
    """
    if type(x) in _DTYPE_CLASSES or isinstance(x, (np.dtype, ExtendedDType)):
        return x
    try:
        return _NAMED_DTYPES[x]
    except (KeyError, TypeError):
        return _resolve_dtype(x)


_DTYPE_CLASSES = frozenset(type(d) for d in _KINDS) | {PRNGKeyDType}
_NAMED_DTYPES: dict[Any, DType] = {
    **_BY_NAME,
    **{d.type: d for d in _KINDS},
    **python_scalar_dtypes,
    "bool": bool_,
    "int": int64,
    "float": float64,
    "complex": complex128,
}


def _resolve_dtype(x: Any) -> DType:
    if x is None:
        # np.dtype(None) is float64, which is never what a caller means.
        raise TypeError("None is not a dtype; expected a dtype such as jnp.float32, 'float32' or float")
    attribute = getattr(x, "dtype", None)
    if isinstance(attribute, (np.dtype, ExtendedDType)):
        return attribute
    if isinstance(x, str) and x in _BY_SHORT_NAME and not _numpy_understands(x):
        raise TypeError(f"data type {x!r} not understood. Did you mean {_BY_SHORT_NAME[x].name!r}?")
    try:
        return np.dtype(x)
    except TypeError as error:
        hint = near_miss(x, _BY_NAME) if isinstance(x, str) else ""
        raise TypeError(f"{error}.{hint}" if hint else str(error)) from None


def _numpy_understands(name: str) -> bool:
    # NumPy reads 'u4' as 4 *bytes*; the jaxpr notation 'u4' is 4 bits. In user input NumPy's reading holds.
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def is_extended(dtype: Any) -> bool:
    """Whether `dtype` is an extended dtype, such as that of PRNG keys."""
    return isinstance(dtype, ExtendedDType)


def is_supported(dtype: Any) -> bool:
    """Whether arrays may have this dtype."""
    return dtype in _KINDS or dtype == float0 or isinstance(dtype, ExtendedDType)


def canonicalize_dtype(dtype: Any) -> DType:
    """`dtype` as a dtype instance, narrowed to 32 bits when x64 is off (float64 -> float32). Extended dtypes pass through."""
    dtype = as_dtype(dtype)
    if dtype in _WIDE and not current_context().enable_x64:
        return _NARROW[dtype]
    return dtype


def check_user_dtype_supported(dtype: Any, fun_name: str | None = None) -> None:
    """Raise TypeError if `dtype`, an argument of the public function `fun_name`, is no dtype arrays can have.

    Warns (or raises ValueError, by the `explicit_x64_dtypes` option) if it is an explicit 64-bit dtype and x64 is off.
    """
    canonicalize_user_dtype(dtype, fun_name)


def canonicalize_user_dtype(dtype: Any, fun_name: str | None = None) -> DType:
    """The dtype to use where a user asked for `dtype`.

    Python's bool, int, float and complex mean the default dtype of their kind. An explicit 64-bit dtype is, when x64 is off,
    narrowed with a UserWarning, refused, or kept, by the `explicit_x64_dtypes` option.
    """
    if isinstance(dtype, type) and dtype in python_scalar_dtypes:
        return canonicalize_dtype(dtype)
    resolved = as_dtype(dtype)
    if not is_supported(resolved):
        where = f" in {fun_name}" if fun_name else ""
        raise TypeError(
            f"addax only supports number, bool and key dtypes, got dtype {getattr(resolved, 'name', resolved)}{where}"
        )
    if resolved in _WIDE:
        context = current_context()
        if not context.enable_x64:
            return _narrow_explicit(resolved, fun_name, context.explicit_x64_dtypes)
    if isinstance(resolved, np.dtype) and not resolved.isnative:
        return resolved.newbyteorder("=")
    return resolved


def _narrow_explicit(dtype: np.dtype, fun_name: str | None, behaviour: str) -> np.dtype:
    if behaviour == "allow":
        return dtype
    requested = f"Explicitly requested dtype {dtype.name}" + (f" requested in {fun_name}" if fun_name else "")
    if behaviour == "error":
        raise ValueError(
            f"{requested} is not available. To enable more dtypes, set the addax_enable_x64 configuration option or the "
            "ADDAX_ENABLE_X64 environment variable, or set addax_explicit_x64_dtypes to 'allow'."
        )
    narrow = _NARROW[dtype]
    warn_user(
        f"{requested} is not available, and will be truncated to dtype {narrow.name}. To enable more dtypes, set the "
        "addax_enable_x64 configuration option or the ADDAX_ENABLE_X64 shell environment variable."
    )
    return narrow


# --- Names ---


def short_name(dtype: Any) -> str:
    """The jaxpr notation of a dtype: f32, bf16, i32, u8, bool, c64, f8_e4m3fn, key<fry>, float0."""
    kind = _KINDS.get(dtype)
    if kind is not None:
        return kind.short
    if isinstance(dtype, ExtendedDType):
        return dtype.name
    dtype = as_dtype(dtype)
    if dtype == float0:
        return "float0"
    return _KINDS[dtype].short if dtype in _KINDS else dtype.name


def dtype_from_short_name(name: str) -> DType:
    """The dtype a short name stands for; inverse of `short_name`. Raises ValueError for an unknown name."""
    dtype = _BY_SHORT_NAME.get(name)
    if dtype is not None:
        return dtype
    if name == "float0":
        return float0
    for key_dtype in PRNGKeyDType._interned.values():
        if key_dtype.name == name:
            return key_dtype
    raise ValueError(f"unknown dtype name {name!r}.{near_miss(name, _BY_SHORT_NAME)}")


def dtype_name(dtype: Any) -> str:
    """The name users write: 'float32', 'bfloat16', 'key<fry>', 'float0'."""
    return "float0" if dtype == float0 else as_dtype(dtype).name


# --- Questions about dtypes ---


def issubdtype(a: Any, b: Any) -> bool:
    """Whether dtype `a` is, or is a subtype of, `b`, as `numpy.issubdtype`, with the small and the extended types included.

    >>> issubdtype(bfloat16, np.floating), issubdtype(key_fry, prng_key), issubdtype(key_fry, np.number)
    (True, True, False)
    """
    try:
        return _issubdtype(a, b)
    except TypeError:  # unhashable spelling
        return _issubdtype.__wrapped__(a, b)


@functools.lru_cache(maxsize=1024, typed=True)
def _issubdtype(a: Any, b: Any) -> bool:
    a_type, b_type = _scalar_class(a), _scalar_class(b)
    if a_type is b_type:
        return True
    if issubclass(b_type, extended) or issubclass(a_type, extended):
        return issubclass(a_type, b_type)
    parent = _SMALL_TYPE_PARENTS.get(a_type)
    if parent is not None:
        return issubclass(parent, b_type)
    return issubclass(a_type, b_type)


def _scalar_class(x: Any) -> type:
    if isinstance(x, ExtendedDType):
        return x.type
    if isinstance(x, type) and issubclass(x, np.generic):
        return x
    return as_dtype(x).type


_CLASS_OF_KIND = {"bool": np.bool_, "signed integer": np.signedinteger, "unsigned integer": np.unsignedinteger}
_CLASS_OF_KIND |= {"integral": np.integer, "real floating": np.floating, "complex floating": np.complexfloating}
_CLASS_OF_KIND |= {"numeric": np.number}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether `dtype` is of `kind`: a dtype, one of the Array API's kind names, or a tuple of those."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if isinstance(kind, str) and kind in _CLASS_OF_KIND:
        return issubdtype(dtype, _CLASS_OF_KIND[kind])
    try:
        wanted = as_dtype(kind)
    except TypeError:
        raise TypeError(f"isdtype: expected a dtype or one of {sorted(_CLASS_OF_KIND)}, got kind={kind!r}") from None
    return as_dtype(dtype) == wanted


def itemsize_bits(dtype: Any) -> int:
    """Bits of information in one element: 4 for int4, 8 for bool, 32 for float32."""
    dtype = as_dtype(dtype)
    if dtype in _KINDS:
        return _KINDS[dtype].bits
    if dtype == float0:
        return 0
    raise ValueError(f"{dtype_name(dtype)} has no bit width")


def supports_inf(dtype: Any) -> bool:
    """Whether the dtype has infinities. Most float8 variants have none."""
    dtype = as_dtype(dtype)
    return dtype in _COMPLEX or (dtype in _FLOATS and bool(np.isinf(np.asarray(np.inf, np.float32).astype(dtype)).item()))


def iinfo(dtype: Any) -> Any:
    """Limits of an integer dtype: bits, min, max."""
    return ml_dtypes.iinfo(as_dtype(dtype))


def finfo(dtype: Any) -> Any:
    """Limits of a floating dtype: eps, max, tiny, ..."""
    return ml_dtypes.finfo(as_dtype(dtype))


# --- Default and related dtypes ---


def default_int_dtype() -> np.dtype:
    """int32, or int64 under x64."""
    return canonicalize_dtype(int64)


def default_uint_dtype() -> np.dtype:
    """uint32, or uint64 under x64."""
    return canonicalize_dtype(uint64)


def default_float_dtype() -> np.dtype:
    """float32, or float64 under x64."""
    return canonicalize_dtype(float64)


def default_complex_dtype() -> np.dtype:
    """complex64, or complex128 under x64."""
    return canonicalize_dtype(complex128)


_TO_INEXACT: dict[np.dtype, np.dtype] = {
    **{d: float64 if _KINDS[d].bits == 64 else float32 for d in _INTS},
    bool_: float32,
}
_TO_COMPLEX: dict[np.dtype, np.dtype] = {
    **{d: complex64 for d in _FLOATS},
    **{d: complex128 if f == float64 else complex64 for d, f in _TO_INEXACT.items()},
    float64: complex128,
}


def to_numeric_dtype(dtype: Any) -> DType:
    """bool becomes the default int dtype; other dtypes stay."""
    dtype = as_dtype(dtype)
    return default_int_dtype() if dtype == bool_ else dtype


def to_inexact_dtype(dtype: Any) -> DType:
    """Integers and bool become a float dtype of their width (at least 32 bits); float and complex dtypes stay."""
    dtype = as_dtype(dtype)
    return _TO_INEXACT.get(dtype, dtype)


def to_floating_dtype(dtype: Any) -> DType:
    """The real floating dtype for a dtype: the inexact one, and for complex dtypes that of their parts."""
    dtype = to_inexact_dtype(dtype)
    return {complex64: float32, complex128: float64}.get(dtype, dtype)


def to_complex_dtype(dtype: Any) -> DType:
    """The complex dtype that holds a dtype's values: float32 -> complex64, float64 -> complex128."""
    dtype = as_dtype(dtype)
    return _TO_COMPLEX.get(dtype, dtype)


# --- Values ---

_SCALAR_VALUE_TYPES = frozenset(python_scalar_dtypes)


def is_python_scalar(x: Any) -> bool:
    """Whether x is a Python bool, int, float or complex (and not a NumPy scalar that subclasses one)."""
    return type(x) in _SCALAR_VALUE_TYPES


def is_weakly_typed(x: Any) -> bool:
    """Whether x bends to the dtype it meets: Python int, float, complex, and arrays marked weak."""
    weak = getattr(x, "weak_type", None)
    if weak is not None:
        return bool(weak)
    return type(x) in _SCALAR_VALUE_TYPES and type(x) is not bool


def dtype(x: Any) -> DType:
    """The dtype `x`, a value or something that names a dtype, has in addax (so narrowed when x64 is off).

    Raises TypeError if it has none.
    """
    return _typed(x)[0]


def scalar_type_of(x: Any) -> type:
    """The Python scalar type (bool, int, float or complex) of x's kind."""
    d = dtype(x)
    for scalar_type, parent in ((bool, np.bool_), (int, np.integer), (float, np.floating), (complex, np.complexfloating)):
        if issubdtype(d, parent):
            return scalar_type
    raise TypeError(f"dtype {dtype_name(d)} is of no Python scalar kind")


def _typed(x: Any) -> tuple[DType, bool]:
    """(dtype, weak) of a value, or of something that names a dtype; canonical."""
    cls = type(x)
    if cls in _SCALAR_VALUE_TYPES:
        return canonicalize_dtype(python_scalar_dtypes[cls]), cls is not bool
    if isinstance(x, type) and x in python_scalar_dtypes:
        return canonicalize_dtype(python_scalar_dtypes[x]), x is not bool
    if isinstance(x, (np.dtype, ExtendedDType, str, type)):
        return canonicalize_user_dtype(x, "dtype"), False
    attribute = getattr(x, "dtype", None)
    if attribute is not None:
        weak = bool(getattr(x, "weak_type", False))
        if isinstance(x, (np.ndarray, np.generic)):  # arrays of addax have a canonical dtype, or were asked for 64 bits
            attribute = canonicalize_dtype(attribute)
            if not is_supported(attribute):
                raise TypeError(f"a value of dtype {attribute.name} is not a valid array: expected numbers, bools or keys")
        return as_dtype(attribute), weak
    for scalar_type in (bool, int, float, complex):  # subclasses: enum.IntEnum members and the like
        if isinstance(x, scalar_type):
            return canonicalize_dtype(python_scalar_dtypes[scalar_type]), scalar_type is not bool
    raise TypeError(f"cannot determine the dtype of {type_name(x)}: expected an array, a Python scalar or a dtype")


# --- Promotion ---

# The one graph. "a: b c" reads: a may silently become b, or c. A dtype absent here meets no other dtype.
_PROMOTES_TO_TEXT = """
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
f*: c* f16 bf16 f4_e2m1fn f6_e2m3fn f6_e3m2fn f8_e3m4 f8_e4m3 f8_e8m0fnu f8_e4m3b11fnuz f8_e4m3fn f8_e4m3fnuz f8_e5m2 f8_e5m2fnuz
f16: f32
bf16: f32
f32: f64 c64
f64: c128
c*: c64
c64: c128
"""

_WEAK_DTYPES: dict[str, np.dtype] = {"i*": int64, "f*": float64, "c*": complex128}
_WEAK_SCALARS = {"i*": int, "f*": float, "c*": complex}
Node = Any  # a np.dtype, or one of the weak kinds "i*", "f*", "c*"


def _node_of_name(name: str) -> Node:
    return name if name in _WEAK_DTYPES else _BY_SHORT_NAME.get(name)


def _parse_graph() -> dict[Node, frozenset[Node]]:
    graph: dict[Node, frozenset[Node]] = {d: frozenset() for d in ALL_DTYPES}
    for line in _PROMOTES_TO_TEXT.split("\n"):
        if line:
            source, _, targets = line.partition(": ")
            # i1 and u1 are missing from older ml_dtypes.
            graph[_node_of_name(source)] = frozenset(n for n in map(_node_of_name, targets.split()) if n is not None)
    return graph


def _strict_graph() -> dict[Node, frozenset[Node]]:
    """Weak kinds may become every dtype of their kind or a wider kind; no dtype becomes another."""
    graph: dict[Node, frozenset[Node]] = {d: frozenset() for d in ALL_DTYPES}
    graph["i*"] = _INTS | {"f*"}
    graph["f*"] = _FLOATS | {"c*"}
    graph["c*"] = _COMPLEX
    return graph


class _Lattice:
    """Joins in one promotion graph, memoised."""

    def __init__(self, edges: dict[Node, frozenset[Node]], *, strict: bool) -> None:
        self.strict = strict
        self.order = {node: i for i, node in enumerate(edges)}
        self.above = {node: self._reach(node, edges) for node in edges}
        self.memo: dict[tuple[tuple[DType, bool], ...], tuple[DType, bool]] = {}

    @staticmethod
    def _reach(node: Node, edges: dict[Node, frozenset[Node]]) -> frozenset[Node]:
        seen, todo = {node}, [node]
        while todo:
            for target in edges[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        return frozenset(seen)

    def join(self, nodes: Iterable[Node]) -> Node:
        """The least node every one of `nodes` may become."""
        nodes = list(dict.fromkeys(nodes))
        common = frozenset.intersection(*(self.above[n] for n in nodes))
        # The least common upper bound is the one from which all the others can be reached.
        for bound in common:
            if common <= self.above[bound]:
                return bound
        raise TypePromotionError(self._explain(nodes))

    def _explain(self, nodes: list[Node]) -> str:
        nodes = sorted(nodes, key=self.order.__getitem__)
        names = " and ".join(_WEAK_SCALARS[n].__name__ if isinstance(n, str) else n.name for n in nodes)
        head = f"Input dtypes {names} have no available implicit dtype promotion path"
        if self.strict:
            return (
                f"{head} under addax_numpy_dtype_promotion='strict'. Convert explicitly, for example "
                f"x.astype({nodes[-1].name if not isinstance(nodes[-1], str) else 'float32'!r}), or set the option to 'standard'."
            )
        if any(n in _SMALL_FLOATS for n in nodes):
            small, wide = "8-bit (and smaller) floats", "float32"
        else:
            small, wide = "1-, 2- and 4-bit integers", "int32"
        return f"{head}: {small} never convert implicitly. Convert explicitly, for example x.astype({wide!r})."

    def result(self, pairs: tuple[tuple[DType, bool], ...], x64: bool) -> tuple[DType, bool]:
        """What values with these (dtype, weak) combine to."""
        first = pairs[0][0]
        if all(dtype == first and weak == pairs[0][1] for dtype, weak in pairs) and (len(pairs) == 1 or not self.strict):
            return first, pairs[0][1] and first != bool_
        for dtype, _ in pairs:
            if dtype not in self.above:
                raise self._not_combinable(dtype, pairs)
        if all(weak for _, weak in pairs) and not self.strict:
            # Values that are all weak combine as their own dtypes do, and stay weak.
            out = self.join(dtype for dtype, _ in pairs)
            return out, out != bool_
        out = self.join(_node(dtype, weak) for dtype, weak in pairs)
        if isinstance(out, str):
            wide = _WEAK_DTYPES[out]
            return (wide if x64 else _NARROW[wide]), True
        return out, False

    @staticmethod
    def _not_combinable(dtype: DType, pairs: tuple[tuple[DType, bool], ...]) -> Exception:
        if isinstance(dtype, ExtendedDType):
            names = ", ".join(dtype_name(d) for d, _ in pairs)
            return ValueError(
                f"{dtype.name} takes part in no dtype promotion; got inputs of dtypes {names}. PRNG keys are not numbers: "
                "random.key_data(key) gives the uint32 words behind them."
            )
        return ValueError(f"{dtype_name(dtype)} is not a valid dtype for promotion: expected a number or bool dtype")


def _node(dtype: DType, weak: bool) -> Node:
    if not weak or dtype == bool_:
        return dtype
    return "i*" if dtype in _INTS else "c*" if dtype in _COMPLEX else "f*"


_STANDARD = _parse_graph()
# Without 64-bit types, the dtype that holds most of int32 and uint32 is int32.
_NARROWED = _STANDARD | {uint32: frozenset({int32, uint64})}
_LATTICES: dict[tuple[bool, str], _Lattice] = {
    (True, "standard"): _Lattice(_STANDARD, strict=False),
    (False, "standard"): _Lattice(_NARROWED, strict=False),
    (True, "strict"): _Lattice(_strict_graph(), strict=True),
    (False, "strict"): _Lattice(_strict_graph(), strict=True),
}


def result_type_of(pairs: tuple[tuple[DType, bool], ...]) -> tuple[DType, bool]:
    """The (dtype, weak_type) that values with these (dtype, weak_type) combine to.

    The hot entry: a dictionary hit after the first time. The dtypes are canonical already, as those of avals are.

    Raises TypePromotionError if there is none.
    """
    context = current_context()
    lattice = _LATTICES[context.enable_x64, context.numpy_dtype_promotion]
    try:
        return lattice.memo[pairs]
    except KeyError:
        result = lattice.memo[pairs] = lattice.result(pairs, context.enable_x64)
        return result


def lattice_result_type(*args: Any) -> tuple[DType, bool]:
    """The (dtype, weak_type) that arrays, scalars and dtypes combine to.

    >>> lattice_result_type(np.int8(1), 1)
    (dtype('int8'), False)
    """
    if not args:
        raise ValueError("at least one array or dtype is required")
    return result_type_of(tuple(map(_typed, args)))


def result_type(*args: Any, return_weak_type_flag: bool = False) -> Any:
    """The dtype that arrays, scalars and dtypes combine to, by addax's (JAX's) promotion rules; NumPy's differ.

    Args:
      *args: arrays, Python scalars, dtypes or dtype names.
      return_weak_type_flag: return (dtype, weak_type).

    >>> result_type(np.int32(1), 2.5), result_type("int32", "bfloat16")
    (dtype('float32'), dtype(bfloat16))
    """
    dtype, weak = lattice_result_type(*args)
    return (dtype, weak) if return_weak_type_flag else dtype


def promote_types(a: Any, b: Any) -> DType:
    """The dtype that dtypes `a` and `b` combine to. Not narrowed: float64 stays float64.

    Python's int, float and complex are the weak kinds: ``promote_types("int8", int)`` is int8.
    """
    context = current_context()
    lattice = _LATTICES[True, context.numpy_dtype_promotion]
    nodes = [_promotion_node(a), _promotion_node(b)]
    for node in nodes:
        if node not in lattice.above:
            raise lattice._not_combinable(node, tuple((n, False) for n in nodes if not isinstance(n, str)))
    joined = lattice.join(nodes)
    return _WEAK_DTYPES[joined] if isinstance(joined, str) else joined


def _promotion_node(x: Any) -> Node:
    if isinstance(x, type):
        for kind, scalar in _WEAK_SCALARS.items():
            if x is scalar:
                return kind
    return as_dtype(x)
