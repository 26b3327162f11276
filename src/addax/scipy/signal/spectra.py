"""Spectra of signals: short-time Fourier transforms, Welch's estimates of spectral densities, trends."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from addax import numpy as jnp
from addax.core import dtypes
from addax.core.errors import warn_user
from addax.numpy.base import canonical_axis
from addax.numpy.creation import inexact_arrays
from addax.numpy.linalg.arguments import is_complex


class _Segments(NamedTuple):
    """How a signal is cut into segments."""

    window: Any
    nperseg: int
    noverlap: int
    nfft: int


def _segments(name: str, n: Any, window, nperseg, noverlap, nfft, dtype) -> _Segments:
    if isinstance(window, (str, tuple)):
        nperseg = 256 if nperseg is None else int(nperseg)
        if nperseg > n > 0:
            warn_user(f"{name}: nperseg={nperseg} is greater than the length {n} of the signal, using nperseg = {n}")
            nperseg = n
        values = importlib.import_module("scipy.signal").get_window(window, nperseg)
        win = jnp.asarray(np.asarray(values).astype(dtype))
    else:
        win = jnp.asarray(window).astype(dtype)
        if win.ndim != 1:
            raise ValueError(f"{name}: the window must be 1-dimensional, got shape {win.shape}.")
        if nperseg is not None and int(nperseg) != win.shape[0]:
            raise ValueError(f"{name}: the window has {win.shape[0]} elements, but nperseg={nperseg}.")
        nperseg = win.shape[0]
        if nperseg > n:
            raise ValueError(f"{name}: the window has {nperseg} elements, more than the signal, which has {n}.")
    if nperseg < 1:
        raise ValueError(f"{name}: nperseg must be a positive integer, got {nperseg}.")
    nfft = nperseg if nfft is None else int(nfft)
    if nfft < nperseg:
        raise ValueError(f"{name}: nfft must be greater than or equal to nperseg; got {nfft} and {nperseg}.")
    noverlap = nperseg // 2 if noverlap is None else int(noverlap)
    if noverlap >= nperseg:
        raise ValueError(f"{name}: noverlap must be less than nperseg; got {noverlap} and {nperseg}.")
    return _Segments(win, nperseg, noverlap, nfft)


def _cut(x, s: _Segments):
    """``[..., n]`` to ``[..., segments, nperseg]``."""
    step = s.nperseg - s.noverlap
    count = (x.shape[-1] - s.noverlap) // step
    return x[..., np.arange(count)[:, None] * step + np.arange(s.nperseg)]


def _trend_function(detrend):
    if not detrend:
        return lambda x: x
    if callable(detrend):
        return detrend
    return lambda x: _less_trend(x, detrend)


def _transformed(x, s: _Segments, detrend, onesided: bool):
    y = _trend_function(detrend)(_cut(x, s)) * s.window
    return jnp.fft.rfft(y, s.nfft) if onesided else jnp.fft.fft(y, s.nfft)


def _frequencies(s: _Segments, fs, onesided: bool, dtype):
    f = np.fft.rfftfreq(s.nfft) if onesided else np.fft.fftfreq(s.nfft)
    return (jnp.asarray(f.astype(dtype)) * fs).astype(dtype)


def _scale(s: _Segments, fs, scaling: str):
    if scaling == "density":
        return 1 / (fs * jnp.sum(s.window**2))
    if scaling == "spectrum":
        return 1 / jnp.sum(s.window) ** 2
    raise ValueError(f"Unknown scaling: {scaling}: expected 'density' or 'spectrum'.")


def _pad_ends(x, boundary: str, n: int):
    if n < 1 or boundary is None:
        return x
    if boundary == "zeros":
        left = right = jnp.zeros((*x.shape[:-1], n), x.dtype)
    elif boundary == "constant":
        left, right = (jnp.broadcast_to(e, (*x.shape[:-1], n)) for e in (x[..., :1], x[..., -1:]))
    else:
        if n > x.shape[-1] - 1:
            raise ValueError(f"boundary {boundary!r} needs a signal longer than {n}, got {x.shape[-1]}.")
        left, right = x[..., n:0:-1], x[..., -2 : -(n + 2) : -1]
        if boundary == "odd":
            left, right = 2 * x[..., :1] - left, 2 * x[..., -1:] - right
    return jnp.concatenate([left, x, right], axis=-1)


def stft(
    x, fs=1.0, window="hann", nperseg: int = 256, noverlap: int | None = None, nfft: int | None = None,
    detrend: Any = False, return_onesided: bool = True, boundary: str | None = "zeros", padded: bool = True,
    axis: int = -1,
):  # fmt: skip
    """The short-time Fourier transform: spectra of overlapping windowed segments.

    Args:
      x: the signal.
      fs: samples per unit of time.
      window: a name that SciPy's ``get_window`` knows, or the values.
      nperseg, noverlap, nfft: length of segments, how far they overlap (half, by default), points of the transforms.
      detrend: False, ``"constant"``, ``"linear"``, or a function of segments.
      return_onesided: for real signals, only the frequencies from 0 up.
      boundary: extend the ends by half a segment: ``"zeros"``, ``"even"``, ``"odd"``, ``"constant"``, or None.
      padded: extend the end so that segments cover everything.
      axis: that of time.

    Returns:
      ``(frequencies, times, spectra)``: the axis becomes one of frequencies, and times come last.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.signal import stft
    >>> [v.shape for v in stft(jnp.ones(64), nperseg=16)]
    [(9,), (9,), (9, 9)]
    """
    if boundary not in ("zeros", "even", "odd", "constant", None):
        raise ValueError(
            f"Unknown boundary option {boundary!r}, must be one of: ['even', 'odd', 'constant', 'zeros', None]"
        )
    (x,) = inexact_arrays("stft", x)
    at = canonical_axis(axis, x.ndim)
    x = jnp.moveaxis(x, at, -1)
    onesided = return_onesided and not is_complex(x)
    real = dtypes.finfo(x.dtype).dtype
    s = _segments("stft", x.shape[-1], window, nperseg, noverlap, nfft, real)
    step = s.nperseg - s.noverlap
    if boundary is not None:
        x = _pad_ends(x, boundary, s.nperseg // 2)
    if padded:
        missing = -(x.shape[-1] - s.nperseg) % step % s.nperseg
        x = jnp.concatenate([x, jnp.zeros((*x.shape[:-1], missing), x.dtype)], axis=-1)
    out = _transformed(x, s, detrend, onesided) * jnp.sqrt(_scale(s, fs, "spectrum"))
    start = s.nperseg / 2 * (boundary is None)
    times = (start + step * np.arange(out.shape[-2])).astype(real) / fs
    out = jnp.moveaxis(out, -1, -2)  # [..., frequencies, times]
    return _frequencies(s, fs, onesided, real), jnp.asarray(times), jnp.moveaxis(out, -2, at)


def istft(
    Zxx, fs=1.0, window="hann", nperseg: int | None = None, noverlap: int | None = None, nfft: int | None = None,
    input_onesided: bool = True, boundary: bool = True, time_axis: int = -1, freq_axis: int = -2,
):  # fmt: skip
    """The inverse of `stft`: ``(times, signal)``, by weighted overlap and add.

    Args:
      Zxx: spectra.
      boundary: whether `stft` extended the ends.
      time_axis, freq_axis: of ``Zxx``; what remains of them is ``time_axis``, with the signal.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.signal import istft, stft
    >>> x = jnp.sin(jnp.arange(64.0))
    >>> jnp.allclose(istft(stft(x, nperseg=16)[2])[1], x, atol=1e-5).item()
    True
    """
    (z,) = inexact_arrays("istft", Zxx)
    if z.ndim < 2:
        raise ValueError("Input stft must be at least 2d!")
    t, f = canonical_axis(time_axis, z.ndim), canonical_axis(freq_axis, z.ndim)
    if t == f:
        raise ValueError("Must specify differing time and frequency axes!")
    z = jnp.moveaxis(z, (t, f), (-2, -1)).astype(dtypes.to_complex_dtype(z.dtype))
    points = 2 * (z.shape[-1] - 1) if input_onesided else z.shape[-1]
    nperseg = points if nperseg is None else int(nperseg)
    if nfft is None:
        nfft = nperseg if input_onesided and nperseg == points + 1 else points
    real = dtypes.finfo(z.dtype).dtype
    s = _segments("istft", nperseg, window, nperseg, noverlap, nfft, real)
    step = s.nperseg - s.noverlap
    pieces = jnp.fft.irfft(z, s.nfft) if input_onesided else jnp.fft.ifft(z, s.nfft)
    pieces = pieces[..., : s.nperseg] * s.window * jnp.sum(s.window)
    count = z.shape[-2]
    length = s.nperseg + (count - 1) * step
    where = np.arange(count)[:, None] * step + np.arange(s.nperseg)
    x = jnp.zeros((*pieces.shape[:-2], length), pieces.dtype).at[..., where].add(pieces)
    norm = jnp.zeros(length, real).at[where].add(jnp.broadcast_to(s.window**2, (count, s.nperseg)))
    x = x / jnp.where(norm > 1e-10, norm, 1)
    if boundary:
        half = s.nperseg // 2
        x = x[..., half : length - half]
    times = np.arange(x.shape[-1]).astype(real) / fs
    return jnp.asarray(times), jnp.moveaxis(x, -1, t - (f < t))


def csd(
    x, y, fs=1.0, window="hann", nperseg: int | None = None, noverlap: int | None = None, nfft: int | None = None,
    detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density", axis: int = -1,
    average: str = "mean",
):  # fmt: skip
    """The cross spectral density of two signals by Welch's method: ``(frequencies, density)``.

    The products conj(X) Y of the spectra of overlapping segments, averaged (Welch, 1967).

    Args:
      x, y: signals, of shapes that broadcast; None for y means x.
      scaling: ``"density"``, per unit of frequency, or ``"spectrum"``.
      average: ``"mean"`` or ``"median"`` of the segments.

    The other arguments are those of `stft`.
    """
    if average not in ("mean", "median"):
        raise ValueError(f"average must be 'median' or 'mean', got {average}")
    (x,) = inexact_arrays("csd", x)
    at = canonical_axis(axis, x.ndim)
    same = y is None or y is x
    if same:
        y = x
    else:
        x, y = inexact_arrays("csd", x, y)
    x, y = jnp.moveaxis(x, at, -1), jnp.moveaxis(y, axis if y.ndim == x.ndim else -1, -1)
    onesided = return_onesided and not is_complex(x)
    real = dtypes.finfo(x.dtype).dtype
    if x.shape[-1] == 0 or y.shape[-1] == 0:
        empty = jnp.zeros((*np.broadcast_shapes(x.shape[:-1], y.shape[:-1]), 0), real)
        return jnp.zeros(0, real), empty
    n = max(x.shape[-1], y.shape[-1])
    x, y = (jnp.concatenate([v, jnp.zeros((*v.shape[:-1], n - v.shape[-1]), v.dtype)], axis=-1) for v in (x, y))
    s = _segments("csd", n, window, nperseg, noverlap, nfft, real)
    first = _transformed(x, s, detrend, onesided)
    second = first if same else _transformed(y, s, detrend, onesided)
    density = abs(first) ** 2 if same else first.conj() * second
    density = density * _scale(s, fs, scaling)
    if onesided:  # the frequencies below 0 count too; 0 has no partner, nor has the last for an even number
        double = np.full(density.shape[-1], 2.0, real)
        double[0] = 1
        if s.nfft % 2 == 0:
            double[-1] = 1
        density = density * double
    density = jnp.moveaxis(density, -1, -2)  # [..., frequencies, segments]
    if average == "mean":
        density = jnp.mean(density, axis=-1)
    else:
        bias = 1 + np.sum([1 / (2 * k + 1) - 1 / (2 * k) for k in range(1, (density.shape[-1] - 1) // 2 + 1)])
        if is_complex(density):
            density = jnp.median(density.real, axis=-1) + 1j * jnp.median(density.imag, axis=-1)
        else:
            density = jnp.median(density, axis=-1)
        density = density / float(bias)
    return _frequencies(s, fs, onesided, real), jnp.moveaxis(density, -1, at)


def welch(
    x, fs=1.0, window="hann", nperseg: int | None = None, noverlap: int | None = None, nfft: int | None = None,
    detrend: Any = "constant", return_onesided: bool = True, scaling: str = "density", axis: int = -1,
    average: str = "mean",
):  # fmt: skip
    """The power spectral density of a signal by Welch's method: ``(frequencies, density)``. Arguments as for `csd`.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.signal import welch
    >>> [v.shape for v in welch(jnp.ones(64), nperseg=16)]
    [(9,), (9,)]
    """
    return csd(x, None, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average)


def detrend(data, axis: int = -1, type: str = "linear", bp: int | Sequence[int] | np.ndarray = 0, overwrite_data=None):
    """``data`` less its mean (``type="constant"``) or its linear trend along an axis.

    Args:
      bp: break points: linear trends are fitted between them one by one.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.signal import detrend
    >>> jnp.allclose(detrend(jnp.array([1., 2., 3.])), 0, atol=1e-5).item()
    True
    """
    if overwrite_data is not None:
        raise NotImplementedError("overwrite_data argument not implemented: arrays are immutable.")
    if type not in ("constant", "linear"):
        raise ValueError(f"Trend type must be 'linear' or 'constant'; got {type!r}.")
    (x,) = inexact_arrays("detrend", data)
    at = canonical_axis(axis, x.ndim)
    if type == "constant":
        return x - jnp.mean(x, axis=at, keepdims=True)
    x = jnp.moveaxis(x, at, -1)
    n = x.shape[-1]
    breaks = np.unique([0, *np.atleast_1d(np.asarray(bp)).tolist(), n])
    if breaks[0] < 0 or breaks[-1] > n:
        raise ValueError("Breakpoints must be non-negative and less than length of data along given axis.")
    pieces = []
    for start, stop in zip(breaks[:-1].tolist(), breaks[1:].tolist(), strict=True):
        piece = x[..., start:stop]
        m = stop - start
        t = (np.arange(m) - (m - 1) / 2).astype(dtypes.finfo(x.dtype).dtype)  # orthogonal to constants
        total = float(t @ t)
        slope = piece @ t / total if m > 1 else jnp.zeros(piece.shape[:-1], piece.dtype)
        pieces.append(piece - jnp.mean(piece, axis=-1, keepdims=True) - slope[..., None] * t)
    return jnp.moveaxis(jnp.concatenate(pieces, axis=-1), -1, at)


_less_trend = lambda x, kind: detrend(x, axis=-1, type=kind)  # noqa: E731  (where an argument is called detrend)

__all__ = ["csd", "detrend", "istft", "stft", "welch"]
