"""What every sampler does first: check its dtype and shape, and bring its parameters to them."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.sizes import is_symbolic, shared
from addax.interpreters.values import SCALARS, broadcast_to, convert
from addax.numpy.base import canonical_shape, check_array_like
from addax.numpy.creation import asarray
from addax.ops import random_bits as _prims
from addax.transforms.flat import jax_array


def float_dtype(name: str, dtype) -> Any:
    """The float dtype asked for, or the default one.

    Raises:
      ValueError: for a dtype of another kind.
    """
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)
    if not dtypes.issubdtype(dtype, np.floating):
        raise ValueError(f"dtype argument to `{name}` must be a float dtype, got {dtypes.dtype_name(dtype)}")
    return dtype


def inexact_dtype(name: str, dtype) -> Any:
    """As `float_dtype`; complex dtypes are allowed."""
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)
    if not dtypes.issubdtype(dtype, np.inexact):
        raise ValueError(f"dtype argument to `{name}` must be a float or complex dtype, got {dtypes.dtype_name(dtype)}")
    return dtype


def int_dtype(name: str, dtype) -> Any:
    """The integer dtype asked for, or the default one.

    Raises:
      ValueError: for a dtype of another kind.
    """
    dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)
    if not dtypes.issubdtype(dtype, np.integer):
        raise ValueError(f"dtype argument to `{name}` must be an int dtype, got {dtypes.dtype_name(dtype)}")
    return dtype


def bits_of(k, width: int, shape) -> Any:
    """Random unsigned integers of ``width`` bits."""
    return _prims.random_bits.bind(k, bit_width=width, shape=shape)


def split_key(k, num: int = 2) -> Any:
    """``num`` keys of a typed key, for the parts of one sampler: the reuse check counts the sampler as one use."""
    return _prims.random_split.bind(k, shape=(num,))


def const(value, dtype) -> Any:
    """A scalar constant."""
    return convert(jax_array(value), dtype) if is_symbolic(value) else np.asarray(value, dtype)[()]


def param(x, dtype, shape, name: str) -> Any:
    """A distribution parameter as an array of ``dtype`` broadcast to ``shape``."""
    check_array_like(name, x)
    x = asarray(x, dtype)
    if x.shape == shape:
        return x
    if not _fits(shape, x.shape):
        raise ValueError(f"{name}: shape parameter {shape} does not fit a parameter of shape {x.shape}")
    return broadcast_to(x, shape)


def result_shape(name: str, shape, *params) -> tuple[int, ...]:
    """``shape``, or the common shape of the parameters if it is None.

    Raises:
      TypeError: if a parameter is no array.
      ValueError: if the parameters do not broadcast to ``shape``.
    """
    if all(type(p) in SCALARS for p in params):
        return () if shape is None else canonical_shape(shape)
    check_array_like(name, *params)
    shapes = [get_aval(p).shape for p in params]
    try:
        common = shared(shapes)
    except ValueError:
        raise ValueError(
            f"{name}: the parameters' shapes {', '.join(map(str, shapes))} do not broadcast against each other"
        ) from None
    if shape is None:
        return common
    shape = canonical_shape(shape)
    if not _fits(shape, common):
        raise ValueError(
            f"{name} parameter shapes must be broadcast-compatible with shape argument, and the result of broadcasting "
            f"the shapes must equal the shape argument, but got result {common} for shape argument shape={shape}"
        )
    return shape


def _fits(shape, common) -> bool:
    try:
        return shared((shape, common)) == tuple(shape)
    except ValueError:
        return False
