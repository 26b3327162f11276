"""``fft``: discrete Fourier transforms over the last dimensions.

FFT:   X_k = sum_j x_j exp(-2 pi i j k / n)          complex to complex
IFFT:  x_j = 1/n sum_k X_k exp(2 pi i j k / n)       complex to complex
RFFT:  the first n // 2 + 1 elements of the FFT of real x, along the last dimension; then FFT over the others
IRFFT: its inverse, real of length n; the imaginary parts of X_0, and of X_{n/2} for even n, are not read

All are linear. The transform with the roots of unity is a symmetric matrix, which is what the transposes are made of.
"""

from __future__ import annotations

import enum
import math

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.notation import register_param_type
from addax.ops.rules import LINEAR, broadcast_in_dim, move_axis, primitive, registry, shape_of


@register_param_type
class FftType(enum.IntEnum):
    """Which transform: forward, inverse, or those of real arrays."""

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3


_TO_COMPLEX = {dtypes.float32: dtypes.complex64, dtypes.float64: dtypes.complex128}
_TO_REAL = {c: r for r, c in _TO_COMPLEX.items()}


def _fft_type(x, *, fft_type, fft_lengths):
    name = FftType(fft_type).name
    lengths = tuple(fft_lengths)
    if len(lengths) > x.ndim:
        raise ValueError(
            f"{name} input shape {x.shape} must have at least as many input dimensions as fft_lengths {lengths}."
        )
    last = x.shape[x.ndim - len(lengths) :]
    if fft_type == FftType.RFFT:
        if x.dtype not in _TO_COMPLEX:
            raise ValueError(f"RFFT input must be float32 or float64, got {dtypes.dtype_name(x.dtype)}")
    elif x.dtype not in _TO_REAL:
        raise ValueError(f"{name} input must be complex64 or complex128, got {dtypes.dtype_name(x.dtype)}")
    expected = lengths
    if fft_type == FftType.IRFFT and lengths:
        expected = (*lengths[:-1], lengths[-1] // 2 + 1)
    if last != expected:
        raise ValueError(
            f"{name} input shape {x.shape} minor dimensions must be equal to fft_lengths {lengths}"
            + (f", the last to {expected[-1]} = {lengths[-1]} // 2 + 1" if expected != lengths else "")
        )
    batch = x.shape[: x.ndim - len(lengths)]
    if fft_type == FftType.RFFT:
        shape = (*lengths[:-1], lengths[-1] // 2 + 1) if lengths else ()
        return x.update(shape=(*batch, *shape), dtype=_TO_COMPLEX[x.dtype], weak_type=False)
    if fft_type == FftType.IRFFT:
        return x.update(shape=(*batch, *lengths), dtype=_TO_REAL[x.dtype], weak_type=False)
    return x.strip_weak_type()


def _fft_transpose(ct, x, *, fft_type, fft_lengths):
    if fft_type in (FftType.FFT, FftType.IFFT):
        return [fft.bind(ct, fft_type=fft_type, fft_lengths=fft_lengths)]
    n = fft_lengths[-1] if fft_lengths else 1
    if fft_type == FftType.RFFT:
        # x_j gets Re sum_k ct_k w^{jk} over the k there are: the transform of ct, completed by zeros.
        config = [(0, 0, 0)] * (len(shape_of(ct)) - 1) + [(0, n - shape_of(ct)[-1], 0)]
        full = registry["pad"].bind(ct, np.zeros((), get_aval(ct).dtype)[()], padding_config=tuple(config))
        return [registry["real"].bind(fft.bind(full, fft_type=FftType.FFT, fft_lengths=fft_lengths))]
    # x_k stands for itself and its mirror image, but for k = 0 and k = n / 2, which have none.
    out = fft.bind(ct, fft_type=FftType.RFFT, fft_lengths=fft_lengths)
    weights = np.full(n // 2 + 1, 2.0)
    weights[0] = 1
    if n % 2 == 0:
        weights[-1] = 1
    dtype = get_aval(out).dtype
    weights = (weights / math.prod(fft_lengths)).astype(dtype)
    shape = shape_of(out)
    out = registry["conj"].bind(out, input_dtype=dtype)
    return [registry["mul"].bind(out, broadcast_in_dim(weights, shape, (len(shape) - 1,)))]


def _fft_batch(axis, args, dims, **params):
    return fft.bind(move_axis(args[0], dims[0], 0), **params), 0


_ROUTINES = {
    FftType.FFT: np.fft.fftn,
    FftType.IFFT: np.fft.ifftn,
    FftType.RFFT: np.fft.rfftn,
    FftType.IRFFT: np.fft.irfftn,
}


def _fft_reference(x, *, fft_type, fft_lengths):
    kind = FftType(fft_type)
    rank = len(fft_lengths)
    if not rank:
        return (
            x.copy() if kind in (FftType.FFT, FftType.IFFT) else x.astype(_TO_COMPLEX.get(x.dtype) or _TO_REAL[x.dtype])
        )
    shape = list(x.shape[: x.ndim - rank]) + list(fft_lengths)
    dtype = x.dtype
    if kind == FftType.RFFT:
        shape[-1], dtype = fft_lengths[-1] // 2 + 1, _TO_COMPLEX[x.dtype]
    elif kind == FftType.IRFFT:
        dtype = _TO_REAL[x.dtype]
    if 0 in shape or 0 in x.shape:
        return np.zeros(shape, dtype)
    axes = tuple(range(x.ndim - rank, x.ndim))
    with np.errstate(all="ignore"):
        return _ROUTINES[kind](x, fft_lengths, axes).astype(dtype, copy=False)


fft = primitive("fft", _fft_type, jvp=LINEAR, transpose=_fft_transpose, batch=_fft_batch, reference=_fft_reference)

__all__ = ["FftType", "fft"]
