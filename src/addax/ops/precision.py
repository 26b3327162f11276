"""How precisely matrix products and convolutions are to be computed: `Precision`, `DotAlgorithm`, and their spellings.

The embedded CPU engine computes in float32 or wider whatever is asked, which is at least as precise as any of these
but the 64-bit ones, which are exact for 64-bit operands. They are kept in the program for engines that have a choice.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.config import current_context
from addax.core.notation import register_param_type


@register_param_type
class Precision(enum.Enum):
    """Precision of the products: DEFAULT is the fastest, HIGH better, HIGHEST that of the operands.

    ``Precision(name)`` and ``precision=name`` take the names ``"default"``, ``"high"``, ``"highest"`` and their
    aliases ``"fastest"``, ``"bfloat16"``; ``"bfloat16_3x"``, ``"tensorfloat32"``; ``"float32"``.
    """

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2

    @classmethod
    def _missing_(cls, value):
        return _NAMES.get(value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __str__(self) -> str:
        return self.name


_NAMES: dict[Any, Precision] = {
    "highest": Precision.HIGHEST,
    "float32": Precision.HIGHEST,
    "high": Precision.HIGH,
    "bfloat16_3x": Precision.HIGH,
    "tensorfloat32": Precision.HIGH,
    "default": Precision.DEFAULT,
    "bfloat16": Precision.DEFAULT,
    "fastest": Precision.DEFAULT,
    None: Precision.DEFAULT,
}


@register_param_type
class DotAlgorithm(NamedTuple):
    """An algorithm for products: what operands are rounded to, and where sums are kept.

    Attributes:
      lhs_precision_type, rhs_precision_type: dtypes the operands are rounded to.
      accumulation_type: dtype of the sums.
      lhs_component_count, rhs_component_count: number of terms each operand is split into.
      num_primitive_operations: number of products of terms that are computed.
      allow_imprecise_accumulation: whether some sums may be kept in a narrower dtype.
    """

    lhs_precision_type: Any
    rhs_precision_type: Any
    accumulation_type: Any
    lhs_component_count: int = 1
    rhs_component_count: int = 1
    num_primitive_operations: int = 1
    allow_imprecise_accumulation: bool = False


@register_param_type
class DotAlgorithmPreset(enum.Enum):
    """Algorithms by name: the operands' dtypes, then that of the sums, then the number of products (``_X3``)."""

    DEFAULT = enum.auto()
    ANY_F8_ANY_F8_F32 = enum.auto()
    ANY_F8_ANY_F8_F32_FAST_ACCUM = enum.auto()
    ANY_F8_ANY_F8_ANY = enum.auto()
    ANY_F8_ANY_F8_ANY_FAST_ACCUM = enum.auto()
    F16_F16_F16 = enum.auto()
    F16_F16_F32 = enum.auto()
    BF16_BF16_BF16 = enum.auto()
    BF16_BF16_F32 = enum.auto()
    BF16_BF16_F32_X3 = enum.auto()
    BF16_BF16_F32_X6 = enum.auto()
    BF16_BF16_F32_X9 = enum.auto()
    TF32_TF32_F32 = enum.auto()
    TF32_TF32_F32_X3 = enum.auto()
    F32_F32_F32 = enum.auto()
    F64_F64_F64 = enum.auto()

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __str__(self) -> str:
        return self.name


PrecisionLike = (
    None | str | Precision | tuple[str, str] | tuple[Precision, Precision] | DotAlgorithm | DotAlgorithmPreset
)
CanonicalPrecision = None | tuple[Precision, Precision] | DotAlgorithm | DotAlgorithmPreset


def canonicalize_precision(precision: PrecisionLike) -> CanonicalPrecision:
    """A pair of `Precision`, an algorithm, or None, from any of the spellings. None means the configured default.

    Raises:
      ValueError: if it is none of them.

    >>> canonicalize_precision("high")
    (Precision.HIGH, Precision.HIGH)
    """
    if precision is None:
        configured = current_context().default_matmul_precision
        return None if configured is None else canonicalize_precision(configured)
    if isinstance(precision, Precision):
        return (precision, precision)
    if isinstance(precision, DotAlgorithmPreset):
        return precision
    if isinstance(precision, DotAlgorithm):
        return DotAlgorithm(*map(dtypes.as_dtype, precision[:3]), *precision[3:])
    if isinstance(precision, str):
        if precision in _NAMES:
            return (_NAMES[precision],) * 2
        if precision in DotAlgorithmPreset.__members__:
            return DotAlgorithmPreset[precision]
    elif isinstance(precision, (tuple, list)) and len(precision) == 2:
        lhs, rhs = (p if isinstance(p, Precision) else _NAMES.get(p or 0) for p in precision)
        if lhs is not None and rhs is not None:
            return (lhs, rhs)
    names = [name for name in _NAMES if name is not None]
    raise ValueError(
        "Precision argument must be one of:\n"
        "- None,\n"
        f"- a string in {names},\n"
        "- a lax.Precision value,\n"
        "- a tuple of two lax.Precision values or strings,\n"
        "- a lax.DotAlgorithmPreset or the name of one of these presets, or\n"
        "- a lax.DotAlgorithm value;\n"
        f"but got {precision}."
    )


def product_dtype(*operands) -> np.dtype:
    """The dtype products of these dtypes are computed in: at least 32 bits wide for floats and integers."""
    wide = [_WIDE.get(d, d) for d in map(np.dtype, operands)]
    return np.result_type(*wide)


_WIDE: dict[np.dtype, np.dtype] = {
    **dict.fromkeys(dtypes.SMALL_FLOATS, dtypes.float32),
    dtypes.bfloat16: dtypes.float32,
    dtypes.float16: dtypes.float32,
    **dict.fromkeys(dtypes.SMALL_INTS, dtypes.int32),
    dtypes.int8: dtypes.int32,
    dtypes.int16: dtypes.int32,
    dtypes.uint8: dtypes.int32,
    dtypes.uint16: dtypes.int32,
}

__all__ = [
    "CanonicalPrecision", "DotAlgorithm", "DotAlgorithmPreset", "Precision", "PrecisionLike", "canonicalize_precision",
    "product_dtype",
]  # fmt: skip
