"""Abstract values: what tracing knows of an array, its shape, dtype and weak type, and never its numbers.

Avals are interned: two equal avals are the same object, so every cache key in the library (and in the C++ call path)
compares them by pointer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.config import current_context
from addax.core.sharding import NamedSharding, nowhere
from addax.core.sizes import SymbolicSize


class ShapedArray:
    """The type of an array: ``float32[3,4]``.

    Args:
      shape: sizes of the dimensions.
      dtype: a NumPy dtype instance, or an extended dtype such as ``key<fry>``.
      weak_type: True for values that came from Python scalars, which do not take part in dtype promotion.
      vma: mesh axes over which the value varies, inside ``shard_map``.
    """

    __slots__ = ("__weakref__", "_desc", "_tangent", "dtype", "ndim", "shape", "size", "vma", "weak_type")

    shape: tuple[int, ...]
    dtype: Any
    weak_type: bool
    vma: frozenset
    ndim: int
    size: int
    _desc: Any
    _tangent: Any

    def __new__(cls, shape, dtype, weak_type: bool = False, vma: frozenset = frozenset()) -> ShapedArray:
        try:
            return _INTERNED[shape, dtype, weak_type, vma]
        except (KeyError, TypeError):
            sizes = tuple(d if isinstance(d, SymbolicSize) else int(d) for d in shape)
            return _intern(sizes, dtypes.as_dtype(dtype), bool(weak_type), frozenset(vma))

    def __reduce__(self):
        return ShapedArray, (self.shape, self.dtype, self.weak_type, self.vma)

    def update(self, **changes) -> ShapedArray:
        """The same aval with some of ``shape``, ``dtype``, ``weak_type``, ``vma`` replaced."""
        fields = {"shape": self.shape, "dtype": self.dtype, "weak_type": self.weak_type, "vma": self.vma} | changes
        return ShapedArray(**fields)

    def strip_weak_type(self) -> ShapedArray:
        return ShapedArray(self.shape, self.dtype, False, self.vma) if self.weak_type else self

    @property
    def sharding(self) -> NamedSharding:
        """Where the array is along explicit mesh axes: here nothing is known of it (see `addax.typeof`)."""
        return nowhere(self.ndim)

    def to_tangent(self) -> ShapedArray:
        """The type of this value's tangents: itself, weak type included, if it is differentiable; else ``float0``."""
        if self._tangent is None:
            inexact = dtypes.issubdtype(self.dtype, np.inexact)
            self._tangent = self if inexact else ShapedArray(self.shape, dtypes.float0)
        return self._tangent

    def str_short(self, short_dtypes: bool = True) -> str:
        name = dtypes.short_name(self.dtype) if short_dtypes else str(self.dtype)
        return f"{name}[{','.join(map(str, self.shape))}]{_varying_text(self.vma) if self.vma else ''}"

    def __str__(self) -> str:
        return self.str_short(short_dtypes=False) if not self.weak_type else f"~{self.str_short(short_dtypes=False)}"

    def __repr__(self) -> str:
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapedArray({self.str_short(short_dtypes=False)}{weak})"

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object: this value has shape ()")
        return self.shape[0]


def _varying_text(vma: frozenset) -> str:
    """``{V:x}``, ``{V:(x,y)}``"""
    axes = ",".join(sorted(map(str, vma)))
    return f"{{V:({axes})}}" if len(vma) > 1 else f"{{V:{axes}}}"


_INTERNED: dict[tuple, ShapedArray] = {}


def _intern(shape, dtype, weak_type, vma) -> ShapedArray:
    key = (shape, dtype, weak_type, vma)
    found = _INTERNED.get(key)
    if found is None:
        aval = object.__new__(ShapedArray)
        aval.shape, aval.dtype, aval.weak_type, aval.vma = key
        aval.ndim, aval.size = len(shape), math.prod(shape)
        aval._desc = aval._tangent = None
        found = _INTERNED.setdefault(key, aval)
    return found


class AbstractToken:
    """The type of values that only order side effects."""

    def str_short(self, short_dtypes: bool = True) -> str:
        return "Token"

    __repr__ = __str__ = str_short

    def strip_weak_type(self):
        return self

    def to_tangent(self):
        return self


abstract_token = AbstractToken()

_SCALAR_TYPES = {bool: np.bool_, int: np.int32, float: np.float32, complex: np.complex64}
_SCALAR_TYPES_X64 = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}


def scalar_aval(python_type: type) -> ShapedArray:
    """The aval of a Python scalar: weakly typed (but for bool), of the default width of the current context."""
    table = _SCALAR_TYPES_X64 if current_context().enable_x64 else _SCALAR_TYPES
    return ShapedArray((), np.dtype(table[python_type]), python_type is not bool)


# Types that have an aval, each with the function that gives it. Array and Tracer are added where they are defined.
aval_rules: dict[type, Callable[[Any], Any]] = {}


def get_aval(x) -> Any:
    """The aval of a value: an array, a tracer, a NumPy array or scalar, or a Python scalar.

    Raises:
      TypeError: if ``x`` is not a value that a program can hold.
    """
    for cls in type(x).__mro__:
        rule = aval_rules.get(cls)
        if rule is not None:
            return rule(x)
    if hasattr(x, "__jax_array__"):
        return get_aval(x.__jax_array__())
    raise TypeError(
        f"Value {x!r:.200} of type {type(x)} is not a valid array type: a program takes arrays, NumPy arrays and "
        "scalars, and Python numbers. Pass other values as static arguments, or convert them with addax.numpy.asarray."
    )


def is_valid_type(x) -> bool:
    """Whether ``x`` can be an argument or a result of a traced program."""
    if isinstance(x, (np.ndarray, np.generic)):
        return _has_numbers(x.dtype)
    return type(x) in aval_rules or any(cls in aval_rules for cls in type(x).__mro__) or hasattr(x, "__jax_array__")


def _has_numbers(dtype: np.dtype) -> bool:
    """Not text, objects, dates and records. Those of ml_dtypes, and float0, are kinds of void."""
    return dtype.kind in "fiubc" or (dtype.kind == "V" and (dtype.names is None or dtype == dtypes.float0))


def _numpy_aval(x) -> ShapedArray:
    if not _has_numbers(x.dtype):
        raise TypeError(
            f"Value {x!r:.200} with dtype {x.dtype} is not a valid array type. Only arrays of numbers are supported."
        )
    return ShapedArray(x.shape, dtypes.canonicalize_dtype(x.dtype))


for _cls in (bool, int, float, complex):
    aval_rules[_cls] = lambda x, _cls=_cls: scalar_aval(_cls)
aval_rules[np.ndarray] = aval_rules[np.generic] = _numpy_aval
