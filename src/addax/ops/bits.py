"""Logic on bits: and, or, xor, not, shifts, counts. Bool is one bit."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.ops.reference_tools import component, formula
from addax.ops.rules import BITS, INTEGER, elementwise

and_ = elementwise("and", BITS, 2, numpy_name="bitwise_and").not_differentiable()
and_.lower(stablehlo="and", reference=formula(np.bitwise_and))

or_ = elementwise("or", BITS, 2, numpy_name="bitwise_or").not_differentiable()
or_.lower(stablehlo="or", reference=formula(np.bitwise_or))

xor = elementwise("xor", BITS, 2, numpy_name="bitwise_xor").not_differentiable()
xor.lower(stablehlo="xor", reference=formula(np.bitwise_xor))

not_ = elementwise("not", BITS).not_differentiable()
not_.lower(stablehlo="not", reference=formula(np.bitwise_not))

# --- Shifts. The amount is read as unsigned; by the width or more, nothing of the operand is left but its sign ---


def _unsigned(x: np.ndarray) -> np.ndarray:
    """The same bits as unsigned integers, below 8 bits without the sign extension the storage holds."""
    bits = dtypes.itemsize_bits(x.dtype)
    if bits < 8:
        return x.astype(np.int8).astype(np.uint8) & np.uint8(2**bits - 1)
    return x.astype(f"u{bits // 8}", copy=False)


def _with_bits_of(dtype: np.dtype, bits: np.ndarray) -> np.ndarray:
    """Unsigned integers as the integers of ``dtype`` with the same bits."""
    return bits.astype(dtype)


def _shift(operation):
    def reference(x, y):
        width = dtypes.itemsize_bits(x.dtype)
        amount = _unsigned(y)
        inside = np.minimum(amount, amount.dtype.type(width - 1))
        return np.asarray(operation(x, amount, inside, width)).astype(x.dtype, copy=False)

    return reference


def _left(x, amount, inside, width):
    return _with_bits_of(x.dtype, np.where(amount < width, _unsigned(x) << inside, 0))


def _right_logical(x, amount, inside, width):
    return _with_bits_of(x.dtype, np.where(amount < width, _unsigned(x) >> inside, 0))


def _right_arithmetic(x, amount, inside, width):
    if width < 8:
        wide = x.astype(np.int8) if dtypes.issubdtype(x.dtype, np.signedinteger) else _unsigned(x)
        return wide >> inside.astype(wide.dtype)
    if x.dtype.kind == "u":
        # The top bit of an unsigned operand counts as its sign here, as in every compiler underneath.
        return (x.view(f"i{width // 8}") >> inside.astype(f"i{width // 8}")).view(x.dtype)
    return x >> inside.astype(x.dtype)


shift_left = elementwise("shift_left", INTEGER, 2, numpy_name="left_shift").not_differentiable()
shift_left.lower(stablehlo="shift_left", reference=_shift(_left))

shift_right_logical = elementwise("shift_right_logical", INTEGER, 2, numpy_name="right_shift").not_differentiable()
shift_right_logical.lower(stablehlo="shift_right_logical", reference=_shift(_right_logical))

shift_right_arithmetic = elementwise("shift_right_arithmetic", INTEGER, 2, numpy_name="right_shift")
shift_right_arithmetic.not_differentiable()
shift_right_arithmetic.lower(stablehlo="shift_right_arithmetic", reference=_shift(_right_arithmetic))

# --- Counts ---


def _count_ones(x):
    return np.bitwise_count(_unsigned(x)).astype(x.dtype)


def _count_leading_zeros(x):
    bits, width = _unsigned(x), dtypes.itemsize_bits(x.dtype)
    shift = 1
    while shift < width:  # fill every bit below the highest one, then count the ones
        bits = bits | (bits >> bits.dtype.type(shift))
        shift *= 2
    return (width - np.bitwise_count(bits)).astype(x.dtype)


population_count = elementwise("population_count", INTEGER).not_differentiable()
population_count.lower(stablehlo="popcnt", reference=component(_count_ones))

clz = elementwise("clz", INTEGER).not_differentiable()
clz.lower(stablehlo="count_leading_zeros", reference=component(_count_leading_zeros))

# --- The high half of a product ---


def _multiply_high(x, y):
    width = dtypes.itemsize_bits(x.dtype)
    if width < 64:
        wide = np.int64 if dtypes.issubdtype(x.dtype, np.signedinteger) else np.uint64
        return ((x.astype(wide) * y.astype(wide)) >> wide(width)).astype(x.dtype)
    # Schoolbook on halves (Hacker's Delight, section 8-2); shifts of signed integers keep the sign.
    low, shift = x.dtype.type(0xFFFFFFFF), x.dtype.type(32)
    with np.errstate(over="ignore"):
        x0, x1, y0, y1 = x & low, x >> shift, y & low, y >> shift
        carry = ((x0.view(np.uint64) * y0.view(np.uint64)) >> np.uint64(32)).view(x.dtype)
        middle = x1 * y0 + carry
        return x1 * y1 + (middle >> shift) + ((x0 * y1 + (middle & low)) >> shift)


mulhi = elementwise("mulhi", INTEGER, 2, numpy_name=None).not_differentiable()
mulhi.lower(reference=component(_multiply_high))
