"""Discrete Fourier transforms: ``jnp.fft``.

With n points, the forward transform is ``X_k = sum_j x_j exp(-2 pi i j k / n)`` and the inverse one has the opposite sign
and the factor 1/n. ``norm`` moves factors: ``"backward"`` (the default) leaves them so, ``"forward"`` puts 1/n into the
forward transform instead, ``"ortho"`` 1/sqrt(n) into both.

All functions are compositions of `addax.lax.fft`, so they can be differentiated, batched and compiled.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.sizes import as_size
from addax.lax.fft import FftType, fft as _lax_fft
from addax.lax.slicing import pad as _pad
from addax.numpy.base import as_operand, canonical_axes, canonical_axis, check_array_like
from addax.numpy.creation import arange, asarray, zeros
from addax.numpy.floats import conj
from addax.numpy.shapes import moveaxis, roll

_RANK = 3  # dimensions that one transform takes; more are done in turn
_NORMS = {None: "backward", "backward": "backward", "ortho": "ortho", "forward": "forward"}
_OPPOSITE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _norm(norm: str | None) -> str:
    try:
        return _NORMS[norm]
    except (KeyError, TypeError):
        raise ValueError(f'Invalid norm value {norm}; should be "backward", "ortho" or "forward".') from None


def _array(name: str, a) -> Any:
    check_array_like(f"fft.{name}", a)
    a = asarray(as_operand(a))
    if not dtypes.issubdtype(a.dtype, np.inexact):
        return a.astype(dtypes.to_inexact_dtype(a.dtype))
    return a.astype(np.float32) if a.dtype.itemsize < 4 else a  # narrower floats are transformed as float32


def _transform(name: str, kind: FftType, a, s, axes, norm):
    """The transform over several axes, the last of which is the one that is halved for real arrays."""
    a = _array(name, a)
    norm = _norm(norm)
    real, inverse = kind in (FftType.RFFT, FftType.IRFFT), kind in (FftType.IFFT, FftType.IRFFT)
    if kind is FftType.RFFT and dtypes.issubdtype(a.dtype, np.complexfloating):
        raise ValueError(f"fft.{name}: only real valued inputs supported for rfft; use fft for complex ones.")
    if axes is None:
        axes = tuple(range(a.ndim)) if s is None else tuple(range(a.ndim - len(s), a.ndim))
    axes = tuple(canonical_axis(i, a.ndim) for i in axes)
    if len(set(axes)) != len(axes):
        raise ValueError(f"fft.{name} does not support repeated axes. Got axes {axes}.")
    if s is None:
        lengths = [a.shape[i] for i in axes]
        if kind is FftType.IRFFT and axes:
            lengths[-1] = max(0, 2 * (lengths[-1] - 1))
    else:
        lengths = [as_size(n) for n in s]
        if len(lengths) != len(axes):
            raise ValueError(f"fft.{name}: Shape and axes have different lengths. Got {s} and {axes}.")
        if any(n < 1 for n in lengths):
            raise ValueError(f"fft.{name}: Shape should be positive. Got {s}.")
    if not axes:
        return a if real else a.astype(dtypes.to_complex_dtype(a.dtype))
    last = tuple(range(a.ndim - len(axes), a.ndim))
    a = _fit(moveaxis(a, axes, last), [*lengths[:-1], lengths[-1] // 2 + 1] if kind is FftType.IRFFT else lengths)
    if a.size == 0 or 0 in lengths:
        halved = [*lengths[:-1], lengths[-1] // 2 + 1] if kind is FftType.RFFT else lengths
        dtype = dtypes.finfo(a.dtype).dtype if kind is FftType.IRFFT else dtypes.to_complex_dtype(a.dtype)
        out = zeros((*a.shape[: a.ndim - len(axes)], *halved), dtype)
    else:
        out = _in_turn(a, kind, lengths)
    size = math.prod(lengths)
    if norm == "ortho" and size:
        out = out * (math.sqrt(size) if inverse else 1 / math.sqrt(size))
    elif norm == "forward" and size:
        out = out * (size if inverse else 1 / size)
    return moveaxis(out, last, axes)


def _fit(a, lengths: Sequence[int]):
    """``a`` cut off or padded with zeros to these sizes of its last dimensions."""
    lead = a.ndim - len(lengths)
    a = a[(..., *(slice(0, n) for n in lengths))]
    missing = [(0, n - a.shape[lead + i], 0) for i, n in enumerate(lengths)]
    if any(n for _, n, _ in missing):
        a = _pad(a, np.zeros((), a.dtype)[()], [(0, 0, 0)] * lead + missing)
    return a


def _in_turn(a, kind: FftType, lengths: list[int]):
    """Transform the last dimensions, at most `_RANK` at a time; where halves count, the last ones first or last."""
    pieces = [lengths[max(0, i - _RANK) : i] for i in range(len(lengths), 0, -_RANK)]
    complete = {FftType.RFFT: FftType.FFT, FftType.IRFFT: FftType.IFFT}.get(kind, kind)
    ends = [len(lengths) - _RANK * i for i in range(len(pieces))]
    steps = [(complete if i else kind, piece, end) for i, (piece, end) in enumerate(zip(pieces, ends, strict=True))]
    for what, piece, end in reversed(steps) if kind is FftType.IRFFT else steps:
        lead = a.ndim - len(lengths)
        if end == len(lengths):
            a = _lax_fft(a, what, piece)
            continue
        here = tuple(range(lead + end - len(piece), lead + end))
        there = tuple(range(a.ndim - len(piece), a.ndim))
        a = moveaxis(_lax_fft(moveaxis(a, here, there), what, piece), there, here)
    return a


def _one(name: str, kind: FftType, a, n, axis, norm):
    if isinstance(axis, (tuple, list)) or axis is None:
        raise ValueError(f"fft.{name} does not support multiple axes. Please use fft.{name}n. Got axis = {axis}.")
    return _transform(name, kind, a, None if n is None else (n,), (operator.index(axis),), norm)


def _two(name: str, kind: FftType, a, s, axes, norm):
    if len(axes) != 2:
        raise ValueError(f"fft.{name} only supports 2 axes. Got axes = {axes}.")
    return _transform(name, kind, a, s, axes, norm)


# ---------------------------------------------------------------------------------------------------------------------
# One dimension


def fft(a, n: int | None = None, axis: int = -1, norm: str | None = None):
    """The discrete Fourier transform along one axis.

    Args:
      a: an array.
      n: the number of points: ``a`` is cut off or padded with zeros to it.
      axis: which axis.
      norm: ``"backward"``, ``"ortho"`` or ``"forward"``; see the module.

    Returns:
      A complex array with n elements along the axis.

    >>> import addax.numpy as jnp
    >>> jnp.fft.fft(jnp.array([1., 2., 3., 4.])).tolist()
    [(10+0j), (-2+2j), (-2+0j), (-2-2j)]
    """
    return _one("fft", FftType.FFT, a, n, axis, norm)


def ifft(a, n: int | None = None, axis: int = -1, norm: str | None = None):
    """The inverse of `fft`.

    >>> import addax.numpy as jnp
    >>> jnp.fft.ifft(jnp.array([4., 0., 0., 0.])).tolist()
    [(1+0j), (1+0j), (1+0j), (1+0j)]
    """
    return _one("ifft", FftType.IFFT, a, n, axis, norm)


def rfft(a, n: int | None = None, axis: int = -1, norm: str | None = None):
    """`fft` of a real array: only its first n // 2 + 1 elements, which determine the others.

    >>> import addax.numpy as jnp
    >>> jnp.fft.rfft(jnp.array([1., 2., 3., 4.])).tolist()
    [(10+0j), (-2+2j), (-2+0j)]
    """
    return _one("rfft", FftType.RFFT, a, n, axis, norm)


def irfft(a, n: int | None = None, axis: int = -1, norm: str | None = None):
    """The inverse of `rfft`: a real array of n elements along the axis, ``2 (m - 1)`` by default.

    >>> import addax.numpy as jnp
    >>> jnp.fft.irfft(jnp.array([10., -2 + 2j, -2.])).tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    return _one("irfft", FftType.IRFFT, a, n, axis, norm)


def hfft(a, n: int | None = None, axis: int = -1, norm: str | None = None):
    """The transform, real, of an array with hermitian symmetry, given by its first half.

    >>> import addax.numpy as jnp
    >>> jnp.fft.hfft(jnp.array([1., 2., 3.])).tolist()
    [8.0, -2.0, 0.0, -2.0]
    """
    return _one("hfft", FftType.IRFFT, conj(_array("hfft", a)), n, axis, _OPPOSITE[_norm(norm)])


def ihfft(a, n: int | None = None, axis: int = -1, norm: str | None = None):
    """The inverse of `hfft`.

    >>> import addax.numpy as jnp
    >>> jnp.fft.ihfft(jnp.array([8., -2., 0., -2.])).tolist()
    [(1-0j), (2-0j), (3-0j)]
    """
    return conj(_one("ihfft", FftType.RFFT, a, n, axis, _OPPOSITE[_norm(norm)]))


# ---------------------------------------------------------------------------------------------------------------------
# Two and more dimensions


def fft2(a, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None):
    """`fft` along two axes. ``s`` are the numbers of points."""
    return _two("fft2", FftType.FFT, a, s, axes, norm)


def ifft2(a, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None):
    """The inverse of `fft2`."""
    return _two("ifft2", FftType.IFFT, a, s, axes, norm)


def rfft2(a, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None):
    """`rfft` along the last of two axes, `fft` along the first."""
    return _two("rfft2", FftType.RFFT, a, s, axes, norm)


def irfft2(a, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None):
    """The inverse of `rfft2`."""
    return _two("irfft2", FftType.IRFFT, a, s, axes, norm)


def fftn(a, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None):
    """`fft` along several axes, all by default (the last ``len(s)`` with ``s``).

    >>> import addax.numpy as jnp
    >>> jnp.fft.fftn(jnp.ones((2, 2, 2))).sum().item()
    (8+0j)
    """
    return _transform("fftn", FftType.FFT, a, s, axes, norm)


def ifftn(a, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None):
    """The inverse of `fftn`."""
    return _transform("ifftn", FftType.IFFT, a, s, axes, norm)


def rfftn(a, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None):
    """`rfft` along the last of several axes, `fft` along the others.

    >>> import addax.numpy as jnp
    >>> jnp.fft.rfftn(jnp.ones((3, 4))).shape
    (3, 3)
    """
    return _transform("rfftn", FftType.RFFT, a, s, axes, norm)


def irfftn(a, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None):
    """The inverse of `rfftn`."""
    return _transform("irfftn", FftType.IRFFT, a, s, axes, norm)


# ---------------------------------------------------------------------------------------------------------------------
# Frequencies


def _frequencies(name: str, n: int, d, dtype, device, count):
    if isinstance(n, (list, tuple)):
        raise ValueError(f"The n argument of fft.{name} only takes an int. Got n = {n}.")
    if isinstance(d, (list, tuple)):
        raise ValueError(f"The d argument of fft.{name} only takes a single value. Got d = {d}.")
    n = operator.index(n)
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)
    first, stop = count(n)
    exact = dtype if dtypes.issubdtype(dtype, np.inexact) else dtypes.to_inexact_dtype(dtype)
    scale = asarray(d * n).astype(exact)
    if scale.ndim:
        raise TypeError(f"The d argument of fft.{name} only takes a single value. Got an array of shape {scale.shape}.")
    k = arange(first, stop, dtype=np.int32).astype(exact)
    return (roll(k, first) / scale).astype(dtype), device


def _placed(x, device):
    return x if device is None else asarray(x, device=device)


def fftfreq(n: int, d=1.0, *, dtype=None, device=None):
    """The frequencies of the elements of `fft`: ``[0, 1, ..., -2, -1] / (n d)``, for samples d apart.

    >>> import addax.numpy as jnp
    >>> jnp.fft.fftfreq(4, 0.25).tolist()
    [0.0, 1.0, -2.0, -1.0]
    """
    return _placed(*_frequencies("fftfreq", n, d, dtype, device, lambda n: (-(n // 2), n - n // 2)))


def rfftfreq(n: int, d=1.0, *, dtype=None, device=None):
    """The frequencies of the elements of `rfft`: ``[0, 1, ..., n // 2] / (n d)``, for samples d apart.

    >>> import addax.numpy as jnp
    >>> jnp.fft.rfftfreq(4, 0.25).tolist()
    [0.0, 1.0, 2.0]
    """
    return _placed(*_frequencies("rfftfreq", n, d, dtype, device, lambda n: (0, n // 2 + 1)))


def fftshift(x, axes: int | Sequence[int] | None = None):
    """``x`` with the element of frequency 0 moved from the front to the middle, along all or the given axes.

    >>> import addax.numpy as jnp
    >>> jnp.fft.fftshift(jnp.array([0, 1, 2, -2, -1])).tolist()
    [-2, -1, 0, 1, 2]
    """
    check_array_like("fft.fftshift", x)
    x = asarray(as_operand(x))
    axes = canonical_axes(axes, x.ndim)
    return roll(x, tuple(x.shape[i] // 2 for i in axes), axes)


def ifftshift(x, axes: int | Sequence[int] | None = None):
    """The inverse of `fftshift`.

    >>> import addax.numpy as jnp
    >>> jnp.fft.ifftshift(jnp.array([-2, -1, 0, 1, 2])).tolist()
    [0, 1, 2, -2, -1]
    """
    check_array_like("fft.ifftshift", x)
    x = asarray(as_operand(x))
    axes = canonical_axes(axes, x.ndim)
    return roll(x, tuple(-(x.shape[i] // 2) for i in axes), axes)


__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip
