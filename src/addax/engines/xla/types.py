"""Types and constants as MLIR text: ``tensor<2x3xf32>``, ``dense<1.0>``.

Keys are ``ui64`` tensors of the shape of the array of keys, the bits every engine stores (ops/random_bits.py), so that
operations that move elements need not know of them. ``float0`` values, which hold nothing, are ``i1``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from addax.core import dtypes

BOOL, INT32, INT64, UINT32, UINT64, FLOAT32 = (
    dtypes.bool_, dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.uint64, dtypes.float32,
)  # fmt: skip

INLINE_BYTES = 4096
"""Constants of up to this size stand in the text; larger ones become arguments of the program."""


def _element_types() -> dict[Any, str]:
    names: dict[Any, str] = {dtypes.bool_: "i1", dtypes.float0: "i1", dtypes.bfloat16: "bf16"}
    for dtype in dtypes.ALL_DTYPES:
        name = dtype.name
        if name.startswith("uint"):
            names[dtype] = f"ui{name[4:]}"
        elif name.startswith("int"):
            names[dtype] = f"i{name[3:]}"
        elif name.startswith("complex"):
            names[dtype] = f"complex<f{int(name[7:]) // 2}>"
        elif name in ("float16", "float32", "float64"):
            names[dtype] = f"f{name[5:]}"
        elif name.startswith("float"):  # float8_e4m3fn is f8E4M3FN
            width, variant = name[5:].split("_")
            names[dtype] = f"f{width}{variant.upper()}"
    return names


ELEMENT_TYPES = _element_types()
_tensor_types: dict[tuple, str] = {}


def storage_dtype(dtype: Any) -> np.dtype:
    """The NumPy dtype of the elements that stand for values of ``dtype``: uint64 for keys, bool for float0."""
    if dtypes.is_extended(dtype):
        return UINT64
    return BOOL if dtype == dtypes.float0 else dtype


def tensor_type(shape: tuple[int, ...], dtype: np.dtype) -> str:
    """``tensor<2x3xf32>``"""
    key = (shape, dtype)
    found = _tensor_types.get(key)
    if found is None:
        found = _tensor_types[key] = f"tensor<{''.join(f'{n}x' for n in shape)}{ELEMENT_TYPES[dtype]}>"
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Constants


def _float_text(value: float, dtype: np.dtype) -> str:
    """Decimal digits that give back exactly this value when rounded to ``dtype``."""
    return f"{value:.16e}" if dtype.itemsize == 8 else f"{value:.8e}"


def _real_text(value: Any, dtype: np.dtype) -> str:
    number = float(value)
    if math.isfinite(number):
        return _float_text(number, dtype)
    return f"0x{np.asarray(value, dtype).tobytes()[::-1].hex().upper()}"


def _scalar_text(value: Any, dtype: np.dtype) -> str:
    if dtype == BOOL:
        return "true" if value else "false"
    if dtype.kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        return f"({_real_text(value.real, part)},{_real_text(value.imag, part)})"
    if dtypes.issubdtype(dtype, np.integer):
        return str(int(value))
    return _real_text(value, dtype)


def _nested(flat: list[str], shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"[{', '.join(flat)}]"
    step = len(flat) // shape[0]
    return f"[{', '.join(_nested(flat[i : i + step], shape[1:]) for i in range(0, len(flat), step))}]"


def dense(value: np.ndarray) -> str:
    """An array as the ``dense<...>`` attribute of a constant, bit for bit (but for the payload of NaNs in text)."""
    dtype = value.dtype
    if value.size == 0:
        return "dense<>"
    if not value.ndim:
        return f"dense<{_scalar_text(value[()], dtype)}>"
    if value.size > 4 and dtype != BOOL and dtypes.itemsize_bits(dtype) >= 8:
        return f'dense<"0x{np.ascontiguousarray(value).tobytes().hex().upper()}">'
    return f"dense<{_nested([_scalar_text(x, dtype) for x in value.reshape(-1)], value.shape)}>"
