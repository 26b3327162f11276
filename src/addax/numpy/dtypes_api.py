"""Dtypes as `addax.numpy` shows them: scalar types that make arrays (``jnp.float32(1)``), limits, and questions.

A scalar type equals NumPy's, names a dtype wherever one is expected, and is no class of arrays: an array of float32 is
an instance of `addax.Array`, not of ``jnp.float32``.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal

import ml_dtypes
import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval, is_valid_type
from addax.numpy.base import ARRAYS
from addax.numpy.creation import array


class _ScalarMeta(type):
    """Makes a scalar type equal to NumPy's, usable as a dtype, and its call a conversion."""

    dtype: np.dtype

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __eq__(cls, other) -> bool:
        return cls is other or cls.dtype.type == other or (isinstance(other, np.dtype) and cls.dtype == other)

    def __call__(cls, x: Any = 0) -> Any:
        return array(x, dtype=cls.dtype)

    def __instancecheck__(cls, instance) -> bool:
        return isinstance(instance, cls.dtype.type)


def _scalar_type(dtype) -> Any:
    dtype = np.dtype(dtype)
    doc = (
        f"The scalar type of {dtype.name}: a dtype where one is expected, and a function that makes such arrays.\n\n"
        f"    >>> import addax.numpy as jnp\n    >>> jnp.dtype(jnp.{dtype.name}).itemsize\n    {dtype.itemsize}\n"
    )
    return _ScalarMeta(dtype.name, (object,), {"dtype": dtype, "__doc__": doc, "__module__": "addax.numpy"})


bool_ = _scalar_type(np.bool_)
int8, int16, int32, int64 = map(_scalar_type, (np.int8, np.int16, np.int32, np.int64))
uint8, uint16, uint32, uint64 = map(_scalar_type, (np.uint8, np.uint16, np.uint32, np.uint64))
float16, float32, float64 = map(_scalar_type, (np.float16, np.float32, np.float64))
complex64, complex128 = map(_scalar_type, (np.complex64, np.complex128))
bfloat16 = _scalar_type(ml_dtypes.bfloat16)
int1, int2, int4 = map(_scalar_type, (ml_dtypes.int1, ml_dtypes.int2, ml_dtypes.int4))
uint1, uint2, uint4 = map(_scalar_type, (ml_dtypes.uint1, ml_dtypes.uint2, ml_dtypes.uint4))
float4_e2m1fn, float6_e2m3fn, float6_e3m2fn = map(
    _scalar_type, (ml_dtypes.float4_e2m1fn, ml_dtypes.float6_e2m3fn, ml_dtypes.float6_e3m2fn)
)
float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fn = map(
    _scalar_type, (ml_dtypes.float8_e3m4, ml_dtypes.float8_e4m3, ml_dtypes.float8_e4m3b11fnuz, ml_dtypes.float8_e4m3fn)
)
float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float8_e8m0fnu = map(
    _scalar_type,
    (ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e8m0fnu),
)

# NumPy's other names. The defaults of a kind are 64 bits wide, narrowed like all 64-bit dtypes when x64 is off.
int_, uint, float_, complex_ = int64, uint64, float64, complex128
single, double, csingle, cdouble = float32, float64, complex64, complex128

# Abstract types, for issubdtype.
generic, number, inexact, flexible, character, object_ = (
    np.generic, np.number, np.inexact, np.flexible, np.character, np.object_,
)  # fmt: skip
integer, signedinteger, unsignedinteger = np.integer, np.signedinteger, np.unsignedinteger
floating, complexfloating = np.floating, np.complexfloating
ComplexWarning = np.exceptions.ComplexWarning

# ---------------------------------------------------------------------------------------------------------------------
# Questions about dtypes

iinfo, finfo = dtypes.iinfo, dtypes.finfo
issubdtype, isdtype = dtypes.issubdtype, dtypes.isdtype
promote_types, result_type = dtypes.promote_types, dtypes.result_type
dtype = np.dtype


def can_cast(from_, to, casting: Literal["no", "equiv", "safe", "same_kind", "unsafe"] = "safe") -> bool:
    """Whether NumPy's ``casting`` rule allows a conversion between two dtypes.

    >>> import addax.numpy as jnp
    >>> jnp.can_cast("int32", "float64"), jnp.can_cast("float32", "int32")
    (True, False)
    """
    return np.can_cast(_numpy_dtype(from_), _numpy_dtype(to), casting)


def _numpy_dtype(x):
    return x if isinstance(x, np.dtype) else dtypes.as_dtype(x)


# ---------------------------------------------------------------------------------------------------------------------
# Questions about values: answered from the type, so they work on tracers


def shape(a) -> tuple[int, ...]:
    """The sizes of the dimensions.

    >>> import addax.numpy as jnp
    >>> jnp.shape(jnp.zeros((2, 3)))
    (2, 3)
    """
    return tuple(a.shape) if hasattr(a, "shape") else np.shape(_values(a))


def ndim(a) -> int:
    """The number of dimensions.

    >>> import addax.numpy as jnp
    >>> jnp.ndim(jnp.zeros((2, 3)))
    2
    """
    return int(a.ndim) if hasattr(a, "ndim") else len(shape(a))


def size(a, axis: int | Sequence[int] | None = None) -> int:
    """The number of elements, or that of positions along ``axis``.

    >>> import addax.numpy as jnp
    >>> jnp.size(jnp.zeros((2, 3))), jnp.size(jnp.zeros((2, 3)), 1)
    (6, 3)
    """
    dims = shape(a)
    if axis is None:
        return int(np.prod(dims, dtype=np.int64))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    return int(np.prod([dims[operator.index(d)] for d in axes], dtype=np.int64))


def _values(a):
    """Nested lists may hold tracers: only their nesting counts."""
    if isinstance(a, (list, tuple)):
        return [np.zeros(shape(x), bool) if isinstance(x, ARRAYS) else _values(x) for x in a]
    return a


def iscomplexobj(x) -> bool:
    """Whether the dtype is complex, whatever the values.

    >>> import addax.numpy as jnp
    >>> jnp.iscomplexobj(1 + 0j), jnp.iscomplexobj(1.0)
    (True, False)
    """
    if x is None:
        return False
    kind = get_aval(x).dtype if is_valid_type(x) else np.asarray(x).dtype
    return dtypes.issubdtype(kind, np.complexfloating)


def isrealobj(x) -> bool:
    """Whether the dtype is not complex.

    >>> import addax.numpy as jnp
    >>> jnp.isrealobj(1.0)
    True
    """
    return not iscomplexobj(x)


def isscalar(element) -> bool:
    """Whether a value is a scalar: a Python or NumPy scalar, or an array of no dimensions (NumPy: not those).

    >>> import addax.numpy as jnp
    >>> jnp.isscalar(3.0), jnp.isscalar(jnp.float32(3)), jnp.isscalar(jnp.ones(3))
    (True, True, False)
    """
    if np.isscalar(element):
        return True
    if isinstance(element, (np.ndarray, *ARRAYS)) or hasattr(element, "__jax_array__"):
        return get_aval(element).ndim == 0
    return False


def iterable(y) -> bool:
    """Whether ``iter(y)`` works.

    >>> import addax.numpy as jnp
    >>> jnp.iterable(jnp.ones(3)), jnp.iterable(jnp.float32(1))
    (True, False)
    """
    if isinstance(y, ARRAYS):
        return y.ndim > 0
    return np.iterable(y)
