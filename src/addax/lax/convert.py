"""Changes of dtype and representation, and `stop_gradient`."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.errors import warn_user
from addax.core.trace import Tracer
from addax.interpreters.values import SCALARS
from addax.lax.apply import ArrayLike, apply
from addax.lax.arguments import as_array, operand as checked
from addax.ops import arithmetic, convert, remat
from addax.tree import flatten, map as tree_map


def convert_element_type(operand: ArrayLike, new_dtype: Any):
    """The elements of an array as another dtype.

    Floats become integers toward zero; what is out of range becomes the nearest integer in range, and NaN becomes 0.
    Integers wrap around. Complex numbers lose their imaginary part, with a warning. The result is never weakly typed.

    Args:
      new_dtype: a dtype or its name; float means the default float dtype, and so on.

    >>> from addax import lax
    >>> lax.convert_element_type(-1.7, "int32").item(), lax.convert_element_type(300, "uint8").item()
    (-1, 44)
    """
    if new_dtype is None:
        raise ValueError("convert_element_type: dtype must be specified.")
    operand = checked("convert_element_type", operand)
    new_dtype = dtypes.canonicalize_user_dtype(new_dtype, "convert_element_type")
    aval = get_aval(operand)
    if dtypes.is_extended(aval.dtype) != dtypes.is_extended(new_dtype):
        old, new = dtypes.dtype_name(aval.dtype), dtypes.dtype_name(new_dtype)
        raise ValueError(f"Cannot convert_element_type from {old} to {new}: keys are not numbers.")
    drops = dtypes.issubdtype(aval.dtype, np.complexfloating) and not dtypes.issubdtype(new_dtype, np.complexfloating)
    if drops:
        warn_user("Casting complex values to real discards the imaginary part", np.exceptions.ComplexWarning)
        operand = apply(arithmetic.real, operand)
    elif type(operand) in SCALARS or (isinstance(operand, (np.ndarray, np.generic)) and aval.dtype != operand.dtype):
        # Done here, before the value is narrowed to the 32 bits an array of it would have.
        return as_array(convert.convert_reference(np.asarray(operand), new_dtype=new_dtype))
    aval = get_aval(operand)
    if aval.dtype == new_dtype and not aval.weak_type:
        return operand if isinstance(operand, Tracer) else as_array(operand)
    return convert.convert_element_type.bind(operand, new_dtype=new_dtype, weak_type=False, sharding=None)


def bitcast_convert_type(operand: ArrayLike, new_dtype: Any):
    """The same bits read as another dtype.

    Args:
      operand: ``[*shape]``.
      new_dtype: of the same width; or narrower by a factor n, which adds a last dimension of size n; or wider, which
        takes the last dimension.

    Raises:
      TypeError: for bool and complex dtypes, which only cast to themselves.
      ValueError: if the last dimension does not make up one wider element.

    >>> from addax import lax
    >>> hex(lax.bitcast_convert_type(1.0, "int32").item())
    '0x3f800000'
    """
    new_dtype = dtypes.canonicalize_user_dtype(new_dtype, "bitcast_convert_type")
    return apply(convert.bitcast_convert_type, operand, new_dtype=new_dtype)


def reduce_precision(operand: ArrayLike, exponent_bits: int, mantissa_bits: int):
    """Round to what a float with fewer bits could hold, in the same dtype.

    Values beyond the range of that float become infinite; below its smallest normal number they become 0.

    Raises:
      ValueError: unless there is at least one exponent bit and mantissa_bits >= 0.

    >>> from addax import lax
    >>> lax.reduce_precision(3.14159, 8, 3).item()
    3.25
    """
    exponent_bits, mantissa_bits = operator.index(exponent_bits), operator.index(mantissa_bits)
    if exponent_bits < 1:
        raise ValueError(f"reduce_precision: exponent_bits must be positive; got {exponent_bits}")
    if mantissa_bits < 0:
        raise ValueError(f"reduce_precision: mantissa_bits must be non-negative; got {mantissa_bits}")
    return apply(convert.reduce_precision, operand, exponent_bits=exponent_bits, mantissa_bits=mantissa_bits)


def stop_gradient(x: Any):
    """The identity, with derivative zero: what is computed from the result does not count as depending on ``x``.

    Args:
      x: a pytree of arrays.

    >>> import addax
    >>> addax.grad(lambda x: x * addax.lax.stop_gradient(x))(3.0).item()
    3.0
    """
    return tree_map(_stop, x)


def optimization_barrier(operand: Any, /):
    """The identity, which compilers do not move computations across: nothing before it is merged with anything after it.

    Args:
      operand: a pytree of arrays.

    >>> from addax import lax
    >>> lax.optimization_barrier((1, 2))
    (Array(1, dtype=int32, weak_type=True), Array(2, dtype=int32, weak_type=True))
    """
    leaves, treedef = flatten(operand)
    return treedef.unflatten(remat.optimization_barrier.bind(*leaves) if leaves else [])


def _stop(x):
    if isinstance(x, Tracer):
        return x if dtypes.is_extended(x.dtype) or x.dtype == dtypes.float0 else convert.stop_gradient.bind(x)
    return x
