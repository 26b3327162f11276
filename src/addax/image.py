"""Resampling images, and any other arrays on regular grids."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.numpy.base import canonical_shape
from addax.numpy.creation import inexact_arrays


class ResizeMethod(enum.Enum):
    """How values between samples are found. Strings name them too: "nearest", "bilinear", "cubic", "lanczos3", ..."""

    NEAREST = 0
    LINEAR = 1
    LANCZOS3 = 2
    LANCZOS5 = 3
    CUBIC = 4
    CUBIC_PYTORCH = 5
    AREA = 6

    @staticmethod
    def from_string(s: str) -> ResizeMethod:
        try:
            return _NAMES[s]
        except KeyError:
            raise ValueError(f'Unknown resize method "{s}": expected one of {", ".join(map(repr, _NAMES))}.') from None


_NAMES = {
    "nearest": ResizeMethod.NEAREST,
    **dict.fromkeys(("linear", "bilinear", "trilinear", "triangle"), ResizeMethod.LINEAR),
    "lanczos3": ResizeMethod.LANCZOS3,
    "lanczos5": ResizeMethod.LANCZOS5,
    **dict.fromkeys(("cubic", "bicubic", "tricubic"), ResizeMethod.CUBIC),
    "bicubic-pytorch": ResizeMethod.CUBIC_PYTORCH,
    "area": ResizeMethod.AREA,
}


def _triangle(x):
    return jnp.maximum(0, 1 - jnp.abs(x))


def _keys_cubic(a: float) -> Callable[[Any], Any]:
    """The interpolating cubic of Keys (1981, Cubic convolution interpolation), with slope ``a`` at distance 1."""

    def kernel(x):
        x = jnp.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return jnp.where(x >= 2, 0.0, jnp.where(x >= 1, far, near))

    return kernel


def _lanczos(radius: float) -> Callable[[Any], Any]:
    """``sinc(x) sinc(x / radius)`` within the radius (Duchon 1979)."""

    def kernel(x):
        return jnp.where(jnp.abs(x) < radius, jnp.sinc(x) * jnp.sinc(x / radius), 0.0)

    return kernel


_KERNELS: dict[ResizeMethod, Callable[[Any], Any]] = {
    ResizeMethod.LINEAR: _triangle,
    ResizeMethod.CUBIC: _keys_cubic(-0.5),
    ResizeMethod.CUBIC_PYTORCH: _keys_cubic(-0.75),
    ResizeMethod.LANCZOS3: _lanczos(3.0),
    ResizeMethod.LANCZOS5: _lanczos(5.0),
}


def _weights(size: int, wanted: int, scale, translation, method: ResizeMethod, antialias: bool):
    """``[size, wanted]``: how much of each sample goes into each result. Sample ``i`` stands at ``i + 1/2``."""
    dtype = scale.dtype
    inverse = 1 / scale
    # Minification averages over what falls into one result, if antialiasing is wanted.
    width = jnp.maximum(inverse, 1) if antialias else 1
    edges = jnp.arange(wanted, dtype=dtype)
    if method is ResizeMethod.AREA:
        start = edges * inverse - translation * inverse
        left = jnp.arange(size, dtype=dtype)[:, None]
        overlap = jnp.minimum(start + inverse, left + 1) - jnp.maximum(start, left)
        weights = jnp.maximum(overlap, 0)
        total = jnp.sum(weights, axis=0, keepdims=True)
        return jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 0).astype(dtype)
    at = (edges + 0.5) * inverse - translation * inverse - 0.5
    if method is ResizeMethod.CUBIC_PYTORCH and antialias:
        method = ResizeMethod.CUBIC  # as PyTorch does
    # PyTorch's other cubic repeats the samples at the edges; all others leave out what is beyond.
    beyond = 2 if method is ResizeMethod.CUBIC_PYTORCH else 0
    samples = jnp.arange(-beyond, size + beyond, dtype=dtype)
    weights = _KERNELS[method](jnp.abs(at[None, :] - samples[:, None]) / width)
    if beyond:
        row = np.clip(np.arange(-beyond, size + beyond), 0, size - 1)
        weights = jnp.zeros((size, wanted), dtype).at[row].add(weights)
    total = jnp.sum(weights, axis=0, keepdims=True)
    small = 1000.0 * float(jnp.finfo(dtype).eps)
    weights = jnp.where(jnp.abs(total) > small, weights / jnp.where(total != 0, total, 1), 0)
    inside = (at >= -0.5) & (at <= size - 0.5)  # beyond the first and last sample there is nothing
    return jnp.where(inside[None, :], weights, 0).astype(dtype)


def scale_and_translate(
    image, shape: Sequence[int], spatial_dims: Sequence[int], scale, translation, method: str | ResizeMethod,
    antialias: bool = True, precision=lax.Precision.HIGHEST,
):  # fmt: skip
    """Resample an array on a scaled and moved grid.

    The value at ``y`` of a dimension of the result is that at ``x = (y + 1/2 - translation) / scale - 1/2`` of the image,
    interpolated; outside the image it is 0.

    Args:
      image: an array of any rank.
      shape: of the result; only the dimensions in ``spatial_dims`` may differ from those of the image.
      spatial_dims: the dimensions to resample.
      scale, translation: arrays of shape ``[len(spatial_dims)]``; derivatives with respect to them exist.
      method: a `ResizeMethod` or its name, other than "nearest".
      antialias: when minifying, widen the kernel to what falls into one result.
      precision: of the matrix products.

    Returns: an array of the image's dtype, float32 for integers.

    Raises:
      ValueError: for shapes that do not fit, an unknown method, or "nearest".

    >>> import addax, addax.numpy as jnp
    >>> addax.image.scale_and_translate(jnp.arange(4.0), (4,), (0,), jnp.ones(1), jnp.ones(1), "linear").tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    image = jnp.asarray(image)
    method = ResizeMethod.from_string(method) if isinstance(method, str) else method
    if len(shape) != image.ndim:
        raise ValueError(f"shape must have length equal to the number of dimensions of x; {shape} vs {image.shape}")
    if method is ResizeMethod.NEAREST:
        raise ValueError("Nearest neighbor resampling is not currently supported for scale_and_translate: use resize.")
    dims = [range(image.ndim)[d] for d in spatial_dims]
    if len(set(dims)) != len(dims):
        raise ValueError(f"spatial_dims must be distinct, got {tuple(spatial_dims)}")
    for d, (have, want) in enumerate(zip(image.shape, shape, strict=True)):
        if have != want and d not in dims:
            raise ValueError(
                f"dimension {d} changes from {have} to {want} but is not among spatial_dims {spatial_dims}"
            )
    scale, translation = inexact_arrays("scale_and_translate", jnp.asarray(scale), jnp.asarray(translation))
    if not dtypes.issubdtype(image.dtype, jnp.inexact):
        image = image.astype(jnp.float32)
    dtype = image.dtype
    for i, d in enumerate(dims):
        weights = _weights(image.shape[d], shape[d], scale[i], translation[i], method, antialias)
        image = jnp.moveaxis(jnp.tensordot(image, weights, ((d,), (0,)), precision=precision), -1, d)
    return image.astype(dtype)


def resize(
    image, shape: Sequence[int], method: str | ResizeMethod, antialias: bool = True, precision=lax.Precision.HIGHEST
):
    """An image in another size.

    Args:
      image: an array of any rank; every dimension whose size in ``shape`` differs is resampled.
      shape: of the result.
      method: a `ResizeMethod` or its name: "nearest", "linear" ("bilinear", "trilinear", "triangle"), "cubic"
        ("bicubic", "tricubic", after Keys), "bicubic-pytorch", "lanczos3", "lanczos5", "area" (the mean over the pixels
        that a result covers).
      antialias: when minifying, average over what falls into one result (not for "nearest").
      precision: of the matrix products.

    Returns: an array of shape ``shape`` and the image's dtype; float32 for integers, but for "nearest".

    Raises:
      ValueError: if the rank changes or the method is unknown.

    >>> import addax, addax.numpy as jnp
    >>> addax.image.resize(jnp.array([[0.0, 2.0]]), (1, 4), "linear").tolist()
    [[0.0, 0.5, 1.5, 2.0]]
    """
    image = jnp.asarray(image)
    shape = canonical_shape(shape)
    if len(shape) != image.ndim:
        raise ValueError(f"shape must have length equal to the number of dimensions of x; {shape} vs {image.shape}")
    method = ResizeMethod.from_string(method) if isinstance(method, str) else method
    dims = [d for d, (have, want) in enumerate(zip(image.shape, shape, strict=True)) if have != want]
    if method is ResizeMethod.NEAREST:
        for d in dims:
            # The sample in whose cell the centre of the result lies; exact, in integers.
            at = (2 * np.arange(shape[d]) + 1) * image.shape[d] // (2 * shape[d])
            image = jnp.take(image, jnp.asarray(at), axis=d, mode="clip")
        return image
    scale = np.array([shape[d] / image.shape[d] if image.shape[d] else 1.0 for d in dims], np.float32)
    return scale_and_translate(
        image, shape, dims, scale, np.zeros(len(dims), np.float32), method, antialias, precision=precision
    )


__all__ = ["ResizeMethod", "resize", "scale_and_translate"]
