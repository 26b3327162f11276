"""The dtypes there are, their names, and how what users write (``"float32"``, ``jnp.float32``, ``float``) finds one.

Dtypes are `numpy.dtype` instances; ml_dtypes supplies bfloat16 and the types of 8 bits and less (importing it costs 5
ms beside NumPy's 70). Everything else about dtypes is in `dtypes.py`, which re-exports this.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from addax.core.errors import near_miss
from addax.core.extended_dtypes import ExtendedDType, PRNGKeyDType

DType = Any  # np.dtype | ExtendedDType; a union NumPy's stubs make no use of

float0: np.dtype = np.dtype([("float0", np.void, 0)])
"""The tangent dtype of integer and bool values: no information, no storage."""


class Kind(NamedTuple):
    """What a numeric dtype is: bits of information per element, and its name in jaxprs."""

    bits: int
    short: str


def _declare_dtypes() -> dict[np.dtype, Kind]:
    table: dict[np.dtype, Kind] = {np.dtype(bool): Kind(8, "bool")}
    for kind in ("int", "uint"):
        for bits in (1, 2, 4, 8, 16, 32, 64):
            scalar = getattr(np, f"{kind}{bits}", None) or getattr(ml_dtypes, f"{kind}{bits}", None)
            if scalar is not None:  # int1 and uint1 arrived in ml_dtypes after int2
                table[np.dtype(scalar)] = Kind(bits, f"{'i' if kind == 'int' else 'u'}{bits}")
    for bits, variants in (
        (4, ("e2m1fn",)),
        (6, ("e2m3fn", "e3m2fn")),
        (8, ("e3m4", "e4m3", "e8m0fnu", "e4m3b11fnuz", "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz")),
    ):
        for variant in variants:
            table[np.dtype(getattr(ml_dtypes, f"float{bits}_{variant}"))] = Kind(bits, f"f{bits}_{variant}")
    table[np.dtype(ml_dtypes.bfloat16)] = Kind(16, "bf16")
    for bits in (16, 32, 64):
        table[np.dtype(f"float{bits}")] = Kind(bits, f"f{bits}")
    for bits in (64, 128):
        table[np.dtype(f"complex{bits}")] = Kind(bits, f"c{bits}")
    return table


KINDS = _declare_dtypes()
ALL_DTYPES: tuple[np.dtype, ...] = tuple(KINDS)
"""Every numeric dtype, narrow to wide within a kind."""

BY_SHORT_NAME: dict[str, np.dtype] = {kind.short: dtype for dtype, kind in KINDS.items()}
BY_NAME: dict[str, np.dtype] = {dtype.name: dtype for dtype in KINDS}

bool_, bfloat16 = np.dtype(bool), np.dtype(ml_dtypes.bfloat16)
int8, int16, int32, int64 = map(np.dtype, ("int8", "int16", "int32", "int64"))
uint8, uint16, uint32, uint64 = map(np.dtype, ("uint8", "uint16", "uint32", "uint64"))
float16, float32, float64 = map(np.dtype, ("float16", "float32", "float64"))
complex64, complex128 = map(np.dtype, ("complex64", "complex128"))

SIGNED_INTS = frozenset(d for d in ALL_DTYPES if d.name.startswith("int"))
UNSIGNED_INTS = frozenset(d for d in ALL_DTYPES if d.name.startswith("uint"))
INTS = SIGNED_INTS | UNSIGNED_INTS
FLOATS = frozenset(d for d in ALL_DTYPES if d.name.startswith(("float", "bfloat")))
COMPLEXES = frozenset({complex64, complex128})
SMALL_INTS = frozenset(d for d in INTS if KINDS[d].bits < 8)
SMALL_FLOATS = frozenset(d for d in FLOATS if KINDS[d].bits <= 8)

SCALAR_DTYPES: dict[type, np.dtype] = {bool: bool_, int: int64, float: float64, complex: complex128}
"""The 64-bit dtype of each Python scalar type; `dtypes.canonicalize_dtype` narrows it when x64 is off."""

NARROWED: dict[np.dtype, np.dtype] = {int64: int32, uint64: uint32, float64: float32, complex128: complex64}
"""What the 64-bit dtypes become when x64 is off."""


# --- From what users write to a dtype ---

_DTYPE_CLASSES = frozenset(type(d) for d in KINDS) | {PRNGKeyDType}
_SPELLINGS: dict[Any, DType] = {
    **BY_NAME,
    **{d.type: d for d in KINDS},
    **SCALAR_DTYPES,
    **{scalar.__name__: dtype for scalar, dtype in SCALAR_DTYPES.items()},
}


def as_dtype(x: Any) -> DType:
    """The dtype `x` names: a dtype, scalar type, dtype name, Python scalar type, or an object with a `.dtype`.

    64-bit dtypes stay what they are; `dtypes.canonicalize_dtype` narrows. Raises TypeError for None and for what names
    no dtype.
    """
    if type(x) in _DTYPE_CLASSES:
        return x
    try:
        return _SPELLINGS[x]
    except (KeyError, TypeError):
        return _resolve(x)


def _resolve(x: Any) -> DType:
    if isinstance(x, (np.dtype, ExtendedDType)):
        return x
    if x is None:
        # np.dtype(None) is float64, which is never what a caller means.
        raise TypeError("None is not a dtype; expected a dtype such as jnp.float32, 'float32' or float")
    attribute = getattr(x, "dtype", None)
    if isinstance(attribute, (np.dtype, ExtendedDType)):
        return attribute
    try:
        # NumPy's codes are read as NumPy reads them: 'u4' is 4 bytes (uint32), though jaxprs print 4 bits so.
        return np.dtype(x)
    except TypeError as error:
        if not isinstance(x, str):
            raise
        meant = BY_SHORT_NAME.get(x)
        hint = f" Did you mean {meant.name!r}?" if meant is not None else near_miss(x, BY_NAME)
        raise TypeError(f"{error}.{hint}" if hint else str(error)) from None


# --- Names ---


def short_name(dtype: Any) -> str:
    """The jaxpr notation of a dtype: f32, bf16, i32, u8, bool, c64, f8_e4m3fn, key<fry>, float0."""
    kind = KINDS.get(dtype)
    if kind is not None:
        return kind.short
    dtype = as_dtype(dtype)
    return KINDS[dtype].short if dtype in KINDS else dtype_name(dtype)


def dtype_from_short_name(name: str) -> DType:
    """The dtype a short name stands for; inverse of `short_name`. Raises ValueError for an unknown name."""
    dtype = BY_SHORT_NAME.get(name) or PRNGKeyDType.from_name(name)
    if dtype is not None:
        return dtype
    if name == "float0":
        return float0
    raise ValueError(f"unknown dtype name {name!r}.{near_miss(name, BY_SHORT_NAME)}")


def dtype_name(dtype: Any) -> str:
    """The name users write: 'float32', 'bfloat16', 'key<fry>', 'float0'."""
    dtype = as_dtype(dtype)
    return "float0" if dtype == float0 else dtype.name
