"""What interpreters pass around: symbolic zeros, linear arguments, batch axes, and the few operations they need.

Those operations look primitives up by name: the interpreters stand below the primitives, and use only broadcasting,
reshaping, transposing, summing, converting and adding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval, scalar_aval
from addax.core.primitive import registry

SCALARS = (bool, int, float, complex)


class Zero:
    """A tangent or cotangent that is known to be zero; nothing is computed for it."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    def __repr__(self) -> str:
        return f"Zero({self.aval.str_short()})"

    @staticmethod
    def of(primal) -> Zero:
        return Zero(get_aval(primal).to_tangent())

    from_primal_value = of  # JAX's name


class UndefinedPrimal:
    """A linear argument of an equation that is being transposed."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    def __repr__(self) -> str:
        return f"UndefinedPrimal({self.aval.str_short()})"


def is_linear(x) -> bool:
    return type(x) is UndefinedPrimal


def every(flags: bool | Sequence[bool], count: int) -> tuple[bool, ...]:
    """A flag for each of ``count`` values; one flag speaks for all of them."""
    return (flags,) * count if isinstance(flags, bool) else tuple(flags)


class Axis(NamedTuple):
    """The axis that `vmap` adds: its size; its name, for collectives; the mesh axes that cut it, if that was asked for."""

    size: int
    name: Any = None
    spmd_name: Any = None


# ---------------------------------------------------------------------------------------------------------------------
# Shape helpers. They look primitives up by name because every family needs them and they are primitives themselves.


def shape_of(x) -> tuple[int, ...]:
    return () if type(x) in SCALARS else x.shape


def dtype_of(x):
    return get_aval(x).dtype


def broadcast_in_dim(x, shape: Sequence[int], dims: Sequence[int]):
    """``x`` spread over ``shape``; dimension i of ``x`` becomes dimension ``dims[i]``."""
    return registry["broadcast_in_dim"].bind(x, shape=tuple(shape), broadcast_dimensions=tuple(dims), sharding=None)


def broadcast_to(x, shape: Sequence[int]):
    """NumPy broadcasting to ``shape``, aligned on the right; the identity if ``x`` already has it."""
    old, shape = shape_of(x), tuple(shape)
    if old == shape:
        return x
    return broadcast_in_dim(x, shape, range(len(shape) - len(old), len(shape)))


def reshape(x, shape: Sequence[int]):
    shape = tuple(shape)
    return x if shape_of(x) == shape else registry["reshape"].bind(x, new_sizes=shape, dimensions=None, sharding=None)


def transpose(x, permutation: Sequence[int]):
    permutation = tuple(permutation)
    if permutation == tuple(range(len(permutation))):
        return x
    return registry["transpose"].bind(x, permutation=permutation)


def move_axis(x, source: int, destination: int):
    """``x`` with dimension ``source`` moved to ``destination``."""
    if source == destination:
        return x
    order = [i for i in range(len(shape_of(x))) if i != source]
    order.insert(destination, source)
    return transpose(x, order)


def expand_dims(x, dims: Sequence[int]):
    """``x`` with dimensions of size 1 inserted so that they stand at ``dims`` of the result."""
    shape = list(shape_of(x))
    for d in sorted(dims):
        shape.insert(d, 1)
    kept = [i for i in range(len(shape)) if i not in set(dims)]
    return broadcast_in_dim(x, shape, kept)


def reduce_sum(x, axes: Sequence[int]):
    return registry["reduce_sum"].bind(x, axes=tuple(axes), out_sharding=None) if axes else x


def convert(x, dtype, weak_type: bool = False):
    """``x`` as ``dtype``; the identity if it already is."""
    aval = get_aval(x)
    if aval.dtype == dtype and aval.weak_type == weak_type:
        return x
    return registry["convert_element_type"].bind(
        x, new_dtype=np.dtype(dtype) if not dtypes.is_extended(dtype) else dtype, weak_type=weak_type, sharding=None
    )


def scalar_of(value, aval: ShapedArray):
    """A number as a scalar with the dtype and the weak type of ``aval``."""
    if not aval.weak_type:
        return np.asarray(value, aval.dtype)[()]
    kind = dtypes.scalar_type_of(aval.dtype)
    if scalar_aval(kind).dtype == aval.dtype:
        return kind(value)
    return convert(np.asarray(value, aval.dtype)[()], aval.dtype, True)


def full(shape: Sequence[int], value, dtype, weak_type: bool = False):
    """An array filled with a number."""
    scalar = scalar_of(value, ShapedArray((), dtype, weak_type))
    return broadcast_in_dim(scalar, shape, ()) if tuple(shape) else scalar


def full_like(x, value):
    aval = get_aval(x)
    return full(aval.shape, value, aval.dtype, aval.weak_type)


def zeros(aval: ShapedArray):
    if aval.dtype == dtypes.float0:
        return np.zeros(aval.shape, dtypes.float0)
    return full(aval.shape, 0, aval.dtype, aval.weak_type)


def instantiate(x):
    """A real array for a symbolic zero."""
    return zeros(x.aval) if type(x) is Zero else x


def unbroadcast(ct, aval: ShapedArray):
    """The transpose of broadcasting an argument of type ``aval`` to the shape of ``ct``: sum what was repeated."""
    old, new = aval.shape, shape_of(ct)
    if old == new:
        return ct
    lead = len(new) - len(old)
    axes = [*range(lead), *(i + lead for i, d in enumerate(old) if d == 1 and new[i + lead] != 1)]
    return reshape(reduce_sum(ct, axes), old)


def add_tangents(x, y):
    """The sum of two tangents or cotangents, either of which may be `Zero`."""
    if type(x) is Zero:
        return y
    if type(y) is Zero:
        return x
    if dtype_of(x) == dtypes.float0:
        return x
    return registry["add_any"].bind(x, y)


def to_front(x, dim: int | None, size: int):
    """``x`` with its batch dimension first, broadcast if it had none."""
    if dim is None:
        shape = shape_of(x)
        if dtype_of(x) == dtypes.float0:
            return np.zeros((size, *shape), dtypes.float0)
        return broadcast_in_dim(x, (size, *shape), range(1, len(shape) + 1))
    return move_axis(x, dim, 0)
