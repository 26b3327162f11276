"""Changes of representation: dtype conversion, bit casts, reduced precision, copies."""

from __future__ import annotations

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.notation import Notation
from addax.ops.reference_tools import component
from addax.ops.rules import (
    FLOATING,
    LINEAR,
    ZERO_DERIVATIVE,
    Refusal,
    Zero,
    convert,
    elementwise,
    move_axis,
    primitive,
)

# --- convert_element_type ---


def _convert_type(x, *, new_dtype, weak_type, sharding=None):
    if dtypes.is_extended(x.dtype) or dtypes.is_extended(new_dtype):
        raise TypeError(
            f"convert_element_type cannot convert {dtypes.dtype_name(x.dtype)} to {dtypes.dtype_name(new_dtype)}: "
            "keys are not numbers. random.key_data and random.wrap_key_data go between keys and their uint32 words."
        )
    if x.dtype == dtypes.float0 and new_dtype not in (dtypes.float0, dtypes.bool_):
        raise TypeError(f"convert_element_type cannot convert float0 to {dtypes.dtype_name(new_dtype)}")
    return ShapedArray(x.shape, new_dtype, weak_type)


def _convert_jvp(primals, tangents, *, new_dtype, weak_type, **params):
    (x,), (t,) = primals, tangents
    out = convert_element_type.bind(x, new_dtype=new_dtype, weak_type=weak_type, **params)
    if type(t) is Zero or not dtypes.issubdtype(new_dtype, np.inexact):
        return out, Zero.of(out)
    return out, convert(t, new_dtype, weak_type)


def _convert_transpose(ct, x, **_):
    return [convert(ct, x.aval.dtype, x.aval.weak_type)]


def _convert_batch(axis, args, dims, **params):
    return convert_element_type.bind(*args, **params), dims[0]


def saturate(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats as integers: toward zero, NaN to 0, and values out of range to the nearest integer that is in range."""
    info = dtypes.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    wide = np.trunc(x.astype(np.float64))
    # 2**63 - 1 is no float64, so the upper end is compared with the power of two above it.
    below, above = wide < low, wide >= float(high + 1)
    inside = np.where(below | above | np.isnan(wide), 0.0, wide)
    storage = np.dtype(np.uint64 if low == 0 else np.int64)
    out = np.where(above, storage.type(high), np.where(below, storage.type(low), inside.astype(storage)))
    return out.astype(dtype)


def convert_reference(x: np.ndarray, *, new_dtype, weak_type=False, sharding=None) -> np.ndarray:
    new_dtype = np.dtype(new_dtype)
    if x.dtype == new_dtype:
        return x.copy()
    if x.dtype == dtypes.float0:
        return np.zeros(x.shape, new_dtype)
    if new_dtype == np.bool_:
        return np.asarray(x != np.zeros((), x.dtype))
    if x.dtype.kind == "c" and new_dtype.kind != "c":
        x = np.real(x)
    with np.errstate(all="ignore"):
        from_float = dtypes.issubdtype(x.dtype, np.floating)
        if from_float and dtypes.issubdtype(new_dtype, np.integer):
            return saturate(x, new_dtype)
        if dtypes.issubdtype(new_dtype, np.integer) and dtypes.itemsize_bits(new_dtype) < 8:
            return _wrap(x, new_dtype)
        return x.astype(new_dtype)


def _wrap(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Integers modulo 2**bits, for the dtypes narrower than a byte."""
    bits = dtypes.itemsize_bits(dtype)
    low = x.astype(np.int64) & (2**bits - 1)
    if dtypes.issubdtype(dtype, np.signedinteger):
        low = np.where(low >= 2 ** (bits - 1), low - 2**bits, low)
    return low.astype(np.int8).astype(dtype)


convert_element_type = primitive(
    "convert_element_type",
    _convert_type,
    jvp=_convert_jvp,
    transpose=_convert_transpose,
    batch=_convert_batch,
    reference=convert_reference,
).lower(stablehlo="convert")
convert_element_type.notation = Notation(omit={"sharding": None})

# --- bitcast_convert_type: the same bits; a narrower type adds a last dimension, a wider one takes it ---


def _bitcast_type(x, *, new_dtype):
    old, new = dtypes.dtype_name(x.dtype), dtypes.dtype_name(new_dtype)
    if dtypes.is_extended(x.dtype) or dtypes.is_extended(new_dtype):
        raise TypeError(f"bitcast_convert_type: cannot reinterpret {old} as {new}; random.key_data gives a key's words")
    if (x.dtype == dtypes.bool_) != (new_dtype == dtypes.bool_) or (
        dtypes.issubdtype(x.dtype, np.complexfloating) != dtypes.issubdtype(new_dtype, np.complexfloating)
    ):
        raise TypeError(f"lax.bitcast_convert_type does not support bool or complex values unless the operand and "
                        f"destination types match. Got operand dtype={old}, {new_dtype=!s}.")  # fmt: skip
    old_bits, new_bits = dtypes.itemsize_bits(x.dtype), dtypes.itemsize_bits(new_dtype)
    if old_bits == new_bits:
        return ShapedArray(x.shape, new_dtype)
    if old_bits > new_bits:
        return ShapedArray((*x.shape, old_bits // new_bits), new_dtype)
    ratio = new_bits // old_bits
    if not x.shape or x.shape[-1] != ratio:
        raise ValueError(
            f"bitcast_convert_type: {old} has {old_bits} bits and {new} has {new_bits}, so the last dimension of the "
            f"operand must be {ratio}; got operand shape {x.shape}."
        )
    return ShapedArray(x.shape[:-1], new_dtype)


def _bitcast_batch(axis, args, dims, *, new_dtype):
    return bitcast_convert_type.bind(move_axis(args[0], dims[0], 0), new_dtype=new_dtype), 0


def _bitcast_reference(x: np.ndarray, *, new_dtype) -> np.ndarray:
    old_bits, new_bits = dtypes.itemsize_bits(x.dtype), dtypes.itemsize_bits(new_dtype)
    if x.dtype == new_dtype:
        return x.copy()
    if old_bits < 8:
        x = _pack(x, old_bits)
    if new_bits < 8:
        return _unpack(x, np.dtype(new_dtype), new_bits, drop=old_bits == new_bits)
    x = np.array(x, order="C")
    old_size, new_size = x.dtype.itemsize, np.dtype(new_dtype).itemsize
    if old_size == new_size:
        return x.view(new_dtype).reshape(x.shape)
    if old_size > new_size:
        return x.reshape(*x.shape, 1).view(new_dtype)
    return x.view(new_dtype).reshape(x.shape[:-1])


def _pack(x, bits):
    """Elements narrower than a byte, stored a byte each, as full bytes: the first element in the lowest bits."""
    per_byte = 8 // bits
    raw = x.view(np.uint8).reshape(x.shape) & np.uint8(2**bits - 1)
    if not raw.shape or raw.shape[-1] % per_byte:
        return raw
    raw = raw.reshape(*raw.shape[:-1], -1, per_byte)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    packed = np.bitwise_or.reduce(raw << shifts, axis=-1)
    return packed[..., 0] if packed.shape[-1] == 1 else packed


def _unpack(x, dtype, bits, drop):
    if drop:
        raw = x[..., None]
    else:
        raw = np.array(x, order="C")[..., None].view(np.uint8)
        raw = (raw[..., None] >> np.arange(0, 8, bits, dtype=np.uint8)).reshape(*x.shape, -1)
    raw = raw & np.uint8(2**bits - 1)
    out = raw.view(dtype) if not dtypes.issubdtype(dtype, np.integer) else _wrap(raw, dtype)
    return out[..., 0] if drop else out


bitcast_convert_type = primitive(
    "bitcast_convert_type",
    _bitcast_type,
    jvp=ZERO_DERIVATIVE,
    transpose=Refusal("bitcast_convert_type is not linear, so it has no transpose"),
    batch=_bitcast_batch,
    reference=_bitcast_reference,
).lower(stablehlo="bitcast_convert")

# --- reduce_precision: round to a float with fewer exponent and mantissa bits, in the same dtype ---


def _reduce_precision_reference(x: np.ndarray, *, exponent_bits, mantissa_bits) -> np.ndarray:
    wide = x.astype(np.float64)
    kept = dtypes.finfo(x.dtype).nmant
    mantissa_bits = min(mantissa_bits, kept)
    bits = wide.view(np.int64)
    drop = 52 - mantissa_bits
    # Round to nearest even on the mantissa; a carry moves the exponent up, as it should.
    if drop:
        odd = (bits >> drop) & 1
        bits = (bits + ((1 << (drop - 1)) - 1) + odd) & ~((1 << drop) - 1)
    rounded = bits.view(np.float64)
    bias = (1 << (exponent_bits - 1)) - 1
    sign = np.copysign(0.0, wide)
    magnitude = np.abs(rounded)
    with np.errstate(all="ignore"):
        largest = (2.0 - 2.0**-mantissa_bits) * 2.0**bias if bias < 1024 else np.inf
        smallest = 2.0 ** (1 - bias) if bias < 1024 else 0.0
    # Denormals of the target format flush to zero.
    out = np.where(magnitude > largest, np.copysign(np.inf, wide), np.where(magnitude < smallest, sign, rounded))
    return np.where(np.isnan(wide), wide, out).astype(x.dtype)


def _same_precision(t, out, x, **params):
    return reduce_precision(t, **params)


reduce_precision = elementwise("reduce_precision", (FLOATING,))
reduce_precision.derivative(_same_precision)
reduce_precision.linear(lambda ct, x, **params: reduce_precision(ct, **params))
reduce_precision.lower(stablehlo="reduce_precision", reference=_reduce_precision_reference)

# --- Copies and barriers to differentiation ---


def _identity_batch(p):
    def batch(axis, args, dims):
        return p.bind(*args), dims[0]

    return batch


copy = primitive("copy", lambda x: x, jvp=LINEAR, transpose=lambda ct, x: [copy.bind(ct)], reference=component(np.copy))
copy.batch = _identity_batch(copy)

stop_gradient = primitive("stop_gradient", lambda x: x, jvp=ZERO_DERIVATIVE, reference=component(np.copy))
stop_gradient.batch = _identity_batch(stop_gradient)
