"""Dtypes: what each is, which one a value has, and how 64-bit ones are narrowed when x64 is off.

A dtype is a `numpy.dtype` instance, with the small types of ml_dtypes included (bfloat16, float8_*, int4, ...), or an
`ExtendedDType` such as ``key<fry>``, whose elements are not numbers. This module is the one to import; the parts are

* `dtype_table.py`: the dtypes there are, their names, `as_dtype`;
* `extended_dtypes.py`: key dtypes;
* `promotion.py`: how dtypes combine, `result_type_of`, `promote_types`;
* here: narrowing, questions (`issubdtype`, `finfo`), related dtypes (`to_inexact_dtype`), dtypes of values (`dtype`).
"""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np

from addax.core.config import current_context
from addax.core.dtype_table import (
    ALL_DTYPES,
    COMPLEXES,
    FLOATS,
    INTS,
    KINDS,
    NARROWED,
    SCALAR_DTYPES,
    SIGNED_INTS,
    SMALL_FLOATS,
    SMALL_INTS,
    DType,
    as_dtype,
    bfloat16,
    bool_,
    complex64,
    complex128,
    dtype_from_short_name,
    dtype_name,
    float0,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    short_name,
    uint8,
    uint16,
    uint32,
    uint64,
)
from addax.core.errors import TypePromotionError, type_name, warn_user
from addax.core.extended_dtypes import ExtendedDType, PRNGKeyDType, extended, key_fry, key_rbg, key_urbg, prng_key
from addax.core.promotion import promote_types, result_type_of
from addax.core.sizes import SymbolicSize

# fmt: off
__all__ = [  # noqa: RUF022 (grouped by meaning)
    "ALL_DTYPES", "SCALAR_DTYPES", "DType", "ExtendedDType", "PRNGKeyDType", "TypePromotionError",
    "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bfloat16", "float16", "float32", "float64", "complex64", "complex128",
    "float0", "extended", "prng_key", "key_fry", "key_rbg", "key_urbg",
    "as_dtype", "dtype", "dtype_name", "short_name", "dtype_from_short_name", "typed",
    "SMALL_INTS", "SMALL_FLOATS", "INTS", "FLOATS", "COMPLEXES",
    "canonicalize_dtype", "canonicalize_user_dtype", "check_user_dtype_supported", "is_supported", "is_extended",
    "issubdtype", "isdtype", "itemsize_bits", "supports_inf", "finfo", "iinfo",
    "default_int_dtype", "default_uint_dtype", "default_float_dtype", "default_complex_dtype",
    "to_numeric_dtype", "to_inexact_dtype", "to_floating_dtype", "to_complex_dtype",
    "is_python_scalar", "is_weakly_typed", "scalar_type_of",
    "result_type_of", "lattice_result_type", "result_type", "promote_types", "safe_to_cast",
]
# fmt: on


# --- Narrowing and checking ---


def is_extended(dtype: Any) -> bool:
    """Whether `dtype` is an extended dtype, such as that of PRNG keys."""
    return isinstance(dtype, ExtendedDType)


def is_supported(dtype: Any) -> bool:
    """Whether arrays may have this dtype."""
    return dtype in KINDS or dtype == float0 or isinstance(dtype, ExtendedDType)


def canonicalize_dtype(dtype: Any) -> DType:
    """`dtype` as a dtype instance in native byte order, and in 32-bit mode narrowed: float64 -> float32.

    Extended dtypes, and dtypes arrays cannot have, pass through.
    """
    dtype = as_dtype(dtype)
    if dtype in NARROWED:
        return dtype if current_context().enable_x64 else NARROWED[dtype]
    if dtype in KINDS or isinstance(dtype, ExtendedDType) or dtype.isnative:
        return dtype
    return canonicalize_dtype(dtype.newbyteorder("="))


def check_user_dtype_supported(dtype: Any, fun_name: str | None = None) -> None:
    """Raise TypeError if `dtype`, an argument of the public function `fun_name`, is no dtype arrays can have.

    Warns (or raises ValueError, by the `explicit_x64_dtypes` option) if it is an explicit 64-bit dtype and x64 is off.
    """
    canonicalize_user_dtype(dtype, fun_name)


def canonicalize_user_dtype(dtype: Any, fun_name: str | None = None) -> DType:
    """The dtype to use where a user asked for `dtype`.

    Python's bool, int, float and complex mean the default dtype of their kind. An explicit 64-bit dtype is, when x64
    is off, narrowed with a UserWarning, refused, or kept, by the `explicit_x64_dtypes` option.
    """
    if isinstance(dtype, type) and dtype in SCALAR_DTYPES:
        return canonicalize_dtype(dtype)
    resolved = as_dtype(dtype)
    if isinstance(resolved, np.dtype) and not resolved.isnative:
        resolved = resolved.newbyteorder("=")
    if not is_supported(resolved):
        where = f" in {fun_name}" if fun_name else ""
        raise TypeError(
            f"addax only supports number, bool and key dtypes, got dtype {getattr(resolved, 'name', resolved)}{where}"
        )
    if resolved in NARROWED:
        context = current_context()
        if not context.enable_x64:
            return _narrow_explicit(resolved, fun_name, context.explicit_x64_dtypes)
    return resolved


def _narrow_explicit(dtype: np.dtype, fun_name: str | None, behaviour: str) -> np.dtype:
    if behaviour == "allow":
        return dtype
    requested = f"Explicitly requested dtype {dtype.name}" + (f" requested in {fun_name}" if fun_name else "")
    if behaviour == "error":
        raise ValueError(
            f"{requested} is not available. To enable more dtypes, set the addax_enable_x64 configuration option or "
            "the ADDAX_ENABLE_X64 environment variable, or set addax_explicit_x64_dtypes to 'allow'."
        )
    narrow = NARROWED[dtype]
    warn_user(
        f"{requested} is not available, and will be truncated to dtype {narrow.name}. To enable more dtypes, set the "
        "addax_enable_x64 configuration option or the ADDAX_ENABLE_X64 shell environment variable."
    )
    return narrow


# --- Questions about dtypes ---


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether dtype `arg1` is `arg2` or a subtype of it, as `numpy.issubdtype`, for small and extended dtypes too.

    >>> issubdtype(bfloat16, np.floating), issubdtype(key_fry, prng_key), issubdtype(key_fry, np.number)
    (True, True, False)
    """
    try:
        return _issubdtype(arg1, arg2)
    except TypeError:  # unhashable spelling
        return _issubdtype.__wrapped__(arg1, arg2)


# ml_dtypes scalars do not subclass np.floating or np.integer, so their place in NumPy's type tree is written down.
_SMALL_TYPE_PARENTS: dict[type, type] = {
    **{d.type: np.floating for d in SMALL_FLOATS | {bfloat16}},
    **{d.type: np.signedinteger if d in SIGNED_INTS else np.unsignedinteger for d in SMALL_INTS},
}


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
    if dtype in KINDS:
        return KINDS[dtype].bits
    if dtype == float0:
        return 0
    raise ValueError(f"{dtype_name(dtype)} has no bit width")


def supports_inf(dtype: Any) -> bool:
    """Whether the dtype has infinities. Most float8 variants have none."""
    dtype = as_dtype(dtype)
    if dtype in COMPLEXES:
        return True
    with np.errstate(all="ignore"):
        return dtype in FLOATS and bool(np.isinf(np.float32(np.inf).astype(dtype)))


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
    **{d: float64 if KINDS[d].bits == 64 else float32 for d in INTS},
    bool_: float32,
}
_TO_COMPLEX: dict[np.dtype, np.dtype] = {
    **dict.fromkeys(FLOATS, complex64),
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


def is_python_scalar(x: Any) -> bool:
    """Whether x is a Python bool, int, float or complex (and not a NumPy scalar that subclasses one)."""
    return type(x) in SCALAR_DTYPES


def is_weakly_typed(x: Any) -> bool:
    """Whether x bends to the dtype it meets: Python int, float, complex, and arrays marked weak."""
    weak = getattr(x, "weak_type", None)
    if weak is not None:
        return bool(weak)
    return type(x) in SCALAR_DTYPES and type(x) is not bool


def dtype(x: Any) -> DType:
    """The dtype `x`, a value or something that names a dtype, has in addax (so narrowed when x64 is off).

    Raises TypeError if it has none.
    """
    return typed(x)[0]


def scalar_type_of(x: Any) -> type:
    """The Python scalar type (bool, int, float or complex) of x's kind."""
    d = dtype(x)
    if d == bool_:
        return bool
    for scalar_type, members in ((int, INTS), (float, FLOATS), (complex, COMPLEXES)):
        if d in members:
            return scalar_type
    raise TypeError(f"dtype {dtype_name(d)} is of no Python scalar kind")


def typed(x: Any) -> tuple[DType, bool]:
    """(dtype, weak) of a value, or of something that names a dtype; canonical."""
    cls = type(x)
    if cls in SCALAR_DTYPES:
        return canonicalize_dtype(SCALAR_DTYPES[cls]), cls is not bool
    if isinstance(x, type) and x in SCALAR_DTYPES:
        return canonicalize_dtype(SCALAR_DTYPES[x]), x is not bool
    attribute = getattr(x, "dtype", None)
    if isinstance(x, (np.ndarray, np.generic)):
        attribute = canonicalize_dtype(attribute)
        if not is_supported(attribute):
            raise TypeError(f"a value of dtype {attribute} is not a valid array: expected numbers, bools or keys")
        return attribute, False
    if attribute is not None and hasattr(x, "shape") and not isinstance(x, type):
        # Not narrowed: addax's own arrays are canonical already, or were asked for 64 bits on purpose.
        return as_dtype(attribute), bool(getattr(x, "weak_type", False))
    if attribute is not None or isinstance(x, (np.dtype, ExtendedDType, str, type)):
        return canonicalize_user_dtype(x, "dtype"), False
    for scalar_type in (bool, int, float, complex):  # subclasses: enum.IntEnum members and the like
        if isinstance(x, scalar_type):
            return canonicalize_dtype(SCALAR_DTYPES[scalar_type]), scalar_type is not bool
    if isinstance(x, SymbolicSize):
        return canonicalize_dtype(SCALAR_DTYPES[int]), True
    raise TypeError(f"cannot determine the dtype of {type_name(x)}: expected an array, a Python scalar or a dtype")


def lattice_result_type(*args: Any) -> tuple[DType, bool]:
    """The (dtype, weak_type) that arrays, scalars and dtypes combine to.

    >>> lattice_result_type(np.int8(1), 1)
    (dtype('int8'), False)
    """
    if not args:
        raise ValueError("at least one array or dtype is required")
    return result_type_of(tuple(map(typed, args)))


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


def safe_to_cast(source: Any, target: Any) -> bool:
    """Whether converting `source` to the dtype of `target` is what promotion would do: a widening, or a scalar bending.

    Args:
      source, target: arrays, Python scalars, dtypes or dtype names.

    Raises TypePromotionError if the two differ and do not combine.

    >>> safe_to_cast("int16", "float32"), safe_to_cast("float32", "int16"), safe_to_cast(1, "int8")
    (True, False, True)
    """
    pair, (target_dtype, weak) = typed(source), typed(target)
    return pair[0] == target_dtype or result_type_of((pair, (target_dtype, weak)))[0] == target_dtype
