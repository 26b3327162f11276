"""`fft`: discrete Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.interpreters.values import convert
from addax.lax.arguments import integers, operand as _operand
from addax.ops.fft import FftType as FftType, fft as _fft

Array = Any


def fft(x: Array, fft_type: FftType | str, fft_lengths: Sequence[int]) -> Array:
    """The discrete Fourier transform over the last dimensions.

        X_k = sum_j x_j exp(-2 pi i j k / n)

    Args:
      x: an array; real for ``"rfft"``, converted to complex for the others.
      fft_type: ``"fft"``, ``"ifft"`` (with the factor 1/n), ``"rfft"`` or ``"irfft"``, or an `FftType`. The last two are
        for real arrays, of which the first n // 2 + 1 elements of the transform determine the rest.
      fft_lengths: sizes of the dimensions to transform; those of ``x``, but for ``"irfft"``, where the last is the size
        of the result and ``x`` has ``fft_lengths[-1] // 2 + 1``.

    Raises:
      ValueError: if the sizes do not match, or ``fft_type`` is unknown.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.fft(jnp.array([1., 0., 0., 0.]), "rfft", (4,)).tolist()
    [(1+0j), (1+0j), (1+0j)]
    """
    kind = _kind(fft_type)
    x = _operand("fft", x)
    dtype = get_aval(x).dtype
    if kind == FftType.RFFT:
        if dtypes.issubdtype(dtype, np.complexfloating):
            raise ValueError("only real valued inputs supported for rfft")
        x = convert(x, dtypes.to_inexact_dtype(dtype))
    else:
        x = convert(x, dtypes.to_complex_dtype(dtype))
    return _fft.bind(x, fft_type=kind, fft_lengths=integers("fft", "fft_lengths", fft_lengths))


def _kind(fft_type) -> FftType:
    if isinstance(fft_type, FftType):
        return fft_type
    if isinstance(fft_type, str):
        try:
            return FftType[fft_type.upper()]
        except KeyError:
            raise ValueError(f"Unknown FFT type {fft_type!r}: expected 'fft', 'ifft', 'rfft' or 'irfft'.") from None
    raise TypeError(f"Unknown FFT type value {str(fft_type)!r}: expected a string or an FftType.")


__all__ = ["FftType", "fft"]
