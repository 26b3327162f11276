"""Convolution and correlation of arrays of any rank, directly or by Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.numpy.base import canonical_axes, promote_inexact
from addax.numpy.creation import inexact_arrays
from addax.numpy.linalg.arguments import is_complex

_MODES = ("full", "same", "valid")


def _check(name: str, in1, in2, mode: str) -> tuple[Any, Any]:
    if mode not in _MODES:
        raise ValueError(f"{name}: mode must be one of {list(_MODES)}; got {mode!r}.")
    x, y = inexact_arrays(name, in1, in2)
    if x.ndim != y.ndim:
        raise ValueError(f"{name}: in1 and in2 must have the same number of dimensions; got {x.shape} and {y.shape}.")
    if x.size == 0 or y.size == 0:
        raise ValueError(f"zero-size arrays not supported in convolutions, got shapes {x.shape} and {y.shape}.")
    return x, y


def _larger_first(x, y):
    """For mode "valid": the one that the other fits into comes first."""
    if all(m >= n for m, n in zip(x.shape, y.shape, strict=True)):
        return x, y, False
    if all(m <= n for m, n in zip(x.shape, y.shape, strict=True)):
        return y, x, True
    raise ValueError(
        f"One input must be smaller than the other in every dimension for mode 'valid'; got {x.shape} and {y.shape}."
    )


def _direct(x, y, mode: str, precision, late: bool = False):
    """``late``: of two middles for mode "same" the later one."""
    if mode == "valid":
        x, y, _ = _larger_first(x, y)
    if x.ndim == 0:
        return x * y
    if mode == "full":
        pads = [(n - 1, n - 1) for n in y.shape]
    elif mode == "same":
        pads = [((n - 1) // 2, n // 2) if late else (n // 2, (n - 1) // 2) for n in y.shape]
    else:
        pads = [(0, 0)] * x.ndim
    strides = (1,) * x.ndim
    out = lax.conv_general_dilated(x[None, None], jnp.flip(y)[None, None], strides, pads, precision=precision)
    return out[0, 0]


def convolve(in1, in2, mode: str = "full", method: str = "auto", precision=None):
    """The convolution ``sum_j in1_j in2_{i-j}`` of two arrays of the same rank.

    Args:
      mode: ``"full"``, everything; ``"same"``, the middle, of the shape of ``in1``; ``"valid"``, where nothing is cut off.
      method: ``"direct"``, ``"fft"``, or ``"auto"``, which is direct.
      precision: of the products, as for `lax.dot_general`.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.signal import convolve
    >>> convolve(jnp.array([1., 2.]), jnp.array([1., 3.])).tolist()
    [1.0, 5.0, 6.0]
    """
    if method == "fft":
        return fftconvolve(in1, in2, mode)
    if method not in ("auto", "direct"):
        raise ValueError(f"Got {method=}; expected 'auto', 'fft', or 'direct'.")
    x, y = _check("convolve", in1, in2, mode)
    return _direct(x, y, mode, precision)


def correlate(in1, in2, mode: str = "full", method: str = "auto", precision=None):
    """The correlation ``sum_j in1_{i+j} conj(in2_j)``: the convolution with ``in2`` reversed. Arguments as for `convolve`.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.signal import correlate
    >>> correlate(jnp.array([1., 2.]), jnp.array([1., 3.])).tolist()
    [3.0, 7.0, 2.0]
    """
    x, y = _check("correlate", in1, in2, mode)
    y = jnp.flip(y)
    y = y.conj() if is_complex(y) else y
    return convolve(x, y, mode, method, precision)


def _two(name: str, in1, in2, boundary: str, fillvalue) -> None:
    if boundary != "fill" or fillvalue != 0:
        raise NotImplementedError(f"{name}() only supports boundary='fill', fillvalue=0: pad in1 with addax.numpy.pad.")
    if np.ndim(in1) != 2 or np.ndim(in2) != 2:
        raise ValueError(f"{name}() only supports 2-dimensional inputs; got {np.shape(in1)} and {np.shape(in2)}.")


def convolve2d(in1, in2, mode: str = "full", boundary: str = "fill", fillvalue: float = 0, precision=None):
    """`convolve` of matrices."""
    _two("convolve2d", in1, in2, boundary, fillvalue)
    return convolve(in1, in2, mode, "direct", precision)


def correlate2d(in1, in2, mode: str = "full", boundary: str = "fill", fillvalue: float = 0, precision=None):
    """`correlate` of matrices. For mode "same" and an even size of ``in2`` the middle starts one later, as in SciPy."""
    _two("correlate2d", in1, in2, boundary, fillvalue)
    x, y = _check("correlate2d", in1, in2, mode)
    y = jnp.flip(y)
    return _direct(x, y.conj() if is_complex(y) else y, mode, precision, late=True)


def fftconvolve(in1, in2, mode: str = "full", axes: Sequence[int] | None = None):
    """`convolve` by Fourier transforms, for large arrays: O(n log n).

    Args:
      axes: convolve along these axes only, by default all; the others must have equal sizes.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.signal import fftconvolve
    >>> [round(v, 4) for v in fftconvolve(jnp.array([1., 2.]), jnp.array([1., 3.])).tolist()]
    [1.0, 5.0, 6.0]
    """
    x, y = _check("fftconvolve", in1, in2, mode)
    at = canonical_axes(None if axes is None else tuple(axes), x.ndim)
    mapped = [i for i in range(x.ndim) if i not in at]
    if any(x.shape[i] != y.shape[i] for i in mapped):
        raise ValueError(
            f"mapped axes must have same shape; got in1.shape={x.shape} in2.shape={y.shape} axes={tuple(at)}"
        )
    shape = [x.shape[i] for i in at]
    if mode == "valid":
        x, y, _ = _larger_first(x, y)
    x, y = promote_inexact(x, y)
    full = [x.shape[i] + y.shape[i] - 1 for i in at]
    if not at:
        return x * y
    if is_complex(x):
        out = jnp.fft.ifftn(jnp.fft.fftn(x, full, at) * jnp.fft.fftn(y, full, at), full, at)
    else:
        dtype = x.dtype if dtypes.issubdtype(x.dtype, np.floating) else None
        out = jnp.fft.irfftn(jnp.fft.rfftn(x, full, at) * jnp.fft.rfftn(y, full, at), full, at).astype(dtype)
    if mode == "full":
        return out
    index = [slice(None)] * out.ndim
    for i, n, total in zip(at, shape, full, strict=True):
        if mode == "same":
            start, length = (total - n) // 2, n
        else:
            start, length = y.shape[i] - 1, x.shape[i] - y.shape[i] + 1
        index[i] = slice(start, start + length)
    return out[tuple(index)]


__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve"]
