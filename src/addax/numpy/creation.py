"""Making arrays: from Python and NumPy values (`array`), and filled ones (`zeros`, `arange`, `linspace`, ...).

Outside of traces the values are made by NumPy directly into array memory; inside they are equations.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes, tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.errors import ConcretizationTypeError
from addax.core.sharding import is_nowhere
from addax.core.sizes import as_size, is_symbolic, is_symbolic_shape, larger, range_size
from addax.core.trace import Tracer, base_trace, current_trace
from addax.interpreters.values import broadcast_to, convert, expand_dims
from addax.lax import arithmetic as lax_arithmetic, shape as lax_shape
from addax.lax.arguments import check_integer
from addax.lax.sharding import place
from addax.numpy.base import (
    as_operand,
    broadcast_shapes,
    canonical_axis,
    canonical_shape,
    check_array_like,
    promote_inexact,
)
from addax.transforms.stages import aval_of_spec


def _eager() -> bool:
    return current_trace() is base_trace


def from_numpy(x: np.ndarray):
    """A concrete array with a copy of a NumPy array's values (in the dtype of the current precision)."""
    dtype = dtypes.canonicalize_dtype(x.dtype)
    if dtype != x.dtype:
        x = _narrow(x, dtype)
    return _native.array_from_numpy(x, ShapedArray(x.shape, dtype))


def _narrow(x: np.ndarray, dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def placed(fun: Callable) -> Callable:
    """Decorator: ``device`` (or ``out_sharding``) says where the new array shall be: a device, a sharding, or a spec for
    the mesh in scope.
    """

    @functools.wraps(fun)
    def make(*args, device=None, out_sharding=None, **kwargs):
        if not (device is None or out_sharding is None):
            raise ValueError(
                f"{fun.__name__}: give either `device` or `out_sharding`, got device={device} and "
                f"out_sharding={out_sharding}."
            )
        out = fun(*args, **kwargs)
        where = out_sharding if device is None else device
        return out if where is None or is_nowhere(where) else place(out, where)

    return make


@placed
def array(
    object: Any, dtype=None, copy: bool | None = True, order: str | None = "K", ndmin: int = 0, *, device=None,
    out_sharding=None,
) -> Any:  # fmt: skip
    """An array of the given values: nested lists, NumPy arrays, scalars, arrays, or anything array-like.

    Floats become float32 and integers int32, unless 64-bit types are enabled.

    Raises:
      TypeError: for values that are not numeric.
      OverflowError: for Python integers that do not fit.
      ValueError: for nested lists of unequal lengths.

    >>> import addax.numpy as jnp
    >>> jnp.array([[1, 2], [3, 4]])
    Array([[1, 2],
           [3, 4]], dtype=int32)
    """
    if order not in (None, "K", "C", "A"):
        raise NotImplementedError(f"array: only row-major order is supported, got order={order!r}")
    if dtype is not None:
        dtype = dtypes.canonicalize_user_dtype(dtype, "array")
    out = _convert(object, dtype, copy)
    if out.ndim < ndmin:
        out = expand_dims(out, range(ndmin - out.ndim))
    return out


@placed
def asarray(
    a: Any, dtype=None, order: str | None = None, *, copy: bool | None = None, device=None, out_sharding=None
) -> Any:
    """Like `array`, without copying what already is an array of the wanted dtype."""
    if dtype is None and copy is None and isinstance(a, (_native.Array, Tracer)):
        return a
    return array(a, dtype, bool(copy), order)


def inexact_arrays(name: str, *xs) -> list[Any]:
    """The operands ``xs`` of function ``name`` as arrays of their common floating or complex dtype.

    Raises:
      TypeError: for lists and other values that are not array-like.
    """
    check_array_like(name, *xs)
    return [asarray(x) for x in promote_inexact(*(as_operand(x) for x in xs))]


def copy(a, order: str | None = None) -> Any:
    """A copy of ``a``. Arrays are immutable, so one is rarely needed.

    >>> import addax.numpy as jnp
    >>> jnp.copy(jnp.array([1, 2]))
    Array([1, 2], dtype=int32)
    """
    check_array_like("copy", a)
    if order not in (None, "K"):
        raise NotImplementedError(f"copy: only order='K' is supported, got {order!r}")
    return array(a, copy=True)


@placed
def astype(x, dtype, /, *, copy: bool = False, device=None) -> Any:
    """``x`` converted to ``dtype`` (None: the default float). Of complex numbers the real part, with a warning.

    >>> import addax.numpy as jnp
    >>> jnp.astype(jnp.array([1.7, -1.7]), int)
    Array([ 1, -1], dtype=int32)
    """
    check_array_like("astype", x)
    out = asarray(as_operand(x)).astype(dtype)
    return array(out, copy=True) if copy else out


def _convert(x, dtype, copy):
    if hasattr(x, "__jax_array__"):
        x = x.__jax_array__()
    if isinstance(x, (_native.Array, Tracer)):
        aval = get_aval(x)
        if dtype is not None and aval.dtype != dtype:
            return convert(x, dtype, False)
        if dtype is not None and aval.weak_type:
            return convert(x, dtype, False)
        if copy and isinstance(x, _native.Array) and _eager():
            return _native.array_from_numpy(x._value, aval)
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        _check_numeric(x, x.dtype)
        return from_numpy(np.asarray(x) if dtype is None else _cast(np.asarray(x), dtype))
    if isinstance(x, (bool, int, float, complex)):
        aval = get_aval(x)
        if dtype is None:
            _check_range(x, aval.dtype)
            return _native.array_from_numpy(np.asarray(x, aval.dtype), aval)
        _check_range(x, dtype)
        value = np.asarray(x)
        _check_convertible(value, dtype)
        return from_numpy(_cast(value, dtype))
    if isinstance(x, (str, bytes)):
        _check_numeric(x, np.asarray(x).dtype)
    if isinstance(x, (list, tuple)):
        return _from_sequence(x, dtype)
    if x is None:
        raise ValueError("None is not a valid value for addax.numpy.array: use nan, or leave the argument out.")
    if hasattr(x, "__array__") or hasattr(x, "__array_interface__"):
        return _convert(np.asarray(x), dtype, copy)
    if hasattr(x, "__dlpack__"):
        return _convert(np.from_dlpack(x), dtype, copy)  # type: ignore[arg-type]
    try:
        return _convert(np.asarray(memoryview(x)), dtype, copy)  # type: ignore[arg-type]
    except TypeError:
        pass
    value = np.asarray(x)
    _check_numeric(x, value.dtype)
    return _convert(value, dtype, copy)


def _check_numeric(x, dtype) -> None:
    if dtype.kind in "OSUMmV" and not dtypes.is_supported(dtype):
        raise TypeError(
            f"Value {x!r:.100} with dtype {dtype} is not a valid addax array type. Only arrays of numeric types are "
            "supported."
        )


def _check_range(x, dtype) -> None:
    if type(x) is int:
        check_integer(x, dtype, wraps=False)


def _check_convertible(value: np.ndarray, dtype) -> None:
    """Raise for Python numbers that have no meaning in ``dtype``. Arrays are converted whatever they hold."""
    if value.dtype.kind == "c" and not dtypes.issubdtype(dtype, np.complexfloating) and dtype != np.bool_:
        raise TypeError(
            f"complex numbers cannot be made {dtypes.dtype_name(dtype)}: take the real part of each, z.real, before "
            "addax.numpy.array."
        )
    if value.dtype.kind == "f" and dtypes.issubdtype(dtype, np.integer):
        if np.isnan(value).any():
            raise ValueError(f"cannot convert float NaN to integer ({dtypes.dtype_name(dtype)})")
        if np.isinf(value).any():
            raise OverflowError(f"cannot convert float infinity to integer ({dtypes.dtype_name(dtype)})")


def _cast(x: np.ndarray, dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        return x.astype(dtype)


def _from_sequence(x, dtype):
    leaves = tree.leaves(x, is_leaf=lambda v: v is None)
    if any(v is None for v in leaves):
        raise ValueError("None is not a valid value for addax.numpy.array: use nan for a missing number.")
    leaves = [as_operand(v) for v in leaves]
    traced = any(isinstance(v, Tracer) for v in leaves)
    if traced or any(dtypes.is_extended(v.dtype) for v in leaves if isinstance(v, _native.Array)):
        parts = [_convert(v, dtype, False) for v in x]
        common, _ = dtypes.lattice_result_type(*parts)
        shapes = {p.shape for p in parts}
        if len(shapes) > 1:
            raise ValueError(f"array: the parts of a nested sequence differ in shape: {sorted(shapes)}")
        return lax_shape.stack([convert(p, common, False) for p in parts])
    if not leaves:
        return from_numpy(np.asarray(x, dtypes.default_float_dtype() if dtype is None else dtype))
    if dtype is None:
        scalars = {type(v) for v in leaves}
        dtype, _ = dtypes.lattice_result_type(*(leaves if scalars - {bool, int, float, complex} else
                                                [t() for t in scalars]))  # fmt: skip
    value = np.asarray(x if all(not isinstance(v, _native.Array) for v in leaves) else _numpy_nest(x))
    _check_numeric(x, value.dtype)
    if all(type(v) in (bool, int, float, complex) for v in leaves):
        _check_convertible(value, dtype)
    if dtypes.issubdtype(dtype, np.integer) and value.size and value.dtype.kind in "iu":
        info = dtypes.iinfo(dtype)
        low, high = int(value.min()), int(value.max())
        if low < info.min or high > info.max:
            _check_range(low if low < info.min else high, dtype)
    elif value.dtype == object:
        for v in leaves:
            _check_range(v, dtype)
    return from_numpy(_cast(value, dtype))


def _numpy_nest(x):
    if isinstance(x, (list, tuple)):
        return [_numpy_nest(v) for v in x]
    return np.asarray(x)


# ---------------------------------------------------------------------------------------------------------------------
# Filled arrays


def _filled(shape, value, dtype):
    if _eager() and not dtypes.is_extended(dtype):
        return _native.array_adopt(_full_numpy(shape, value, dtype), ShapedArray(shape, dtype))
    return lax_shape.full(shape, np.asarray(value, dtype)[()], dtype)


def _full_numpy(shape, value, dtype) -> np.ndarray:
    return np.full(shape, value, dtype)


@placed
def zeros(shape, dtype=None, *, device=None, out_sharding=None):
    """An array of zeros.

    >>> import addax.numpy as jnp
    >>> jnp.zeros((2, 2))
    Array([[0., 0.],
           [0., 0.]], dtype=float32)
    """
    return _filled(canonical_shape(shape), 0, _dtype(dtype, "zeros"))


@placed
def ones(shape, dtype=None, *, device=None, out_sharding=None):
    """An array of ones.

    >>> import addax.numpy as jnp
    >>> jnp.ones(3)
    Array([1., 1., 1.], dtype=float32)
    """
    return _filled(canonical_shape(shape), 1, _dtype(dtype, "ones"))


@placed
def empty(shape, dtype=None, *, device=None, out_sharding=None):
    """An array of zeros: there is no uninitialised memory in a functional program."""
    return _filled(canonical_shape(shape), 0, _dtype(dtype, "empty"))


def _dtype(dtype, name: str):
    return dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, name)


@placed
def full(shape, fill_value, dtype=None, *, device=None, out_sharding=None):
    """An array filled with ``fill_value`` (broadcast if it is an array).

    >>> import addax.numpy as jnp
    >>> jnp.full(2, 7)
    Array([7, 7], dtype=int32, weak_type=True)
    """
    check_array_like("full", fill_value)
    shape = canonical_shape(shape)
    fill_value = as_operand(fill_value)
    weak = dtype is None and dtypes.is_weakly_typed(fill_value)
    target = dtypes.canonicalize_user_dtype(dtype, "full") if dtype is not None else get_aval(fill_value).dtype
    if np.ndim(fill_value) == 0:
        return lax_shape.full(shape, fill_value, None if weak else target)
    old = get_aval(fill_value).shape
    if broadcast_shapes(shape, old) != shape:
        raise ValueError(f"full: fill_value of shape {old} does not broadcast to shape {shape}")
    return broadcast_to(asarray(fill_value, target), shape)


def _like(a, dtype, shape, name: str):
    if not (hasattr(a, "shape") and hasattr(a, "dtype")):  # what only describes an array will do: ShapeDtypeStruct
        check_array_like(name, a)
    aval = aval_of_spec(as_operand(a))
    weak = dtype is None and aval.weak_type
    return (
        aval.shape if shape is None else canonical_shape(shape),
        aval.dtype if dtype is None else dtypes.canonicalize_user_dtype(dtype, name), weak,
    )  # fmt: skip


def _filled_like(a, value, dtype, shape, name: str):
    shape, dtype, weak = _like(a, dtype, shape, name)
    out = _filled(shape, value, dtype)
    return _beside(a, convert(out, dtype, True) if weak else out)


@placed
def zeros_like(a, dtype=None, shape=None, *, device=None, out_sharding=None):
    """Zeros of the shape and dtype of ``a``."""
    return _filled_like(a, 0, dtype, shape, "zeros_like")


@placed
def ones_like(a, dtype=None, shape=None, *, device=None, out_sharding=None):
    """Ones of the shape and dtype of ``a``."""
    return _filled_like(a, 1, dtype, shape, "ones_like")


@placed
def empty_like(prototype, dtype=None, shape=None, *, device=None):
    """Zeros of the shape and dtype of ``prototype``; see `empty`."""
    return _filled_like(prototype, 0, dtype, shape, "empty_like")


@placed
def full_like(a, fill_value, dtype=None, shape=None, *, device=None, out_sharding=None):
    """``fill_value`` in the shape and dtype of ``a``."""
    check_array_like("full_like", fill_value)
    shape, dtype, weak = _like(a, dtype, shape, "full_like")
    out = full(shape, fill_value, dtype)
    return _beside(a, convert(out, dtype, True) if weak else out)


def _beside(a, out):
    """``out`` where ``a`` is, if that was put somewhere and they have the same shape."""
    there = isinstance(a, _native.Array) and a._committed and a.shape == out.shape and not isinstance(out, Tracer)
    return place(out, a._device) if there else out


@placed
def arange(start, stop=None, step=None, dtype=None, *, device=None, out_sharding=None) -> Any:
    """``start, start + step, ...`` up to but without ``stop``.

    Raises:
      ConcretizationTypeError: for traced bounds: the length of the result would depend on them.

    >>> import addax.numpy as jnp
    >>> jnp.arange(3), jnp.arange(1.0, 2.0, 0.5)
    (Array([0, 1, 2], dtype=int32), Array([1. , 1.5], dtype=float32))
    """
    given = [x for x in (start, stop, step) if x is not None]
    if start is None:
        raise TypeError("arange: start must be a number, got None")
    if is_symbolic_shape(given):
        dtype = dtypes.default_int_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "arange")
        return _integers(dtype, *map(as_size, (0, start) if stop is None else given))
    for x in given:
        if not isinstance(x, (np.ndarray, np.generic, _native.Array, Tracer, int, float, complex)):
            raise TypeError(f"arange requires numbers, got {x!r} of type {type(x)}")
        if isinstance(x, Tracer) and x.concrete() is None:
            raise ConcretizationTypeError(
                x, "It arose in an argument of arange: the length of the result would depend on it. Pass static numbers, "
                "or use addax.lax.iota for a fixed length."
            )  # fmt: skip
    numbers: list[Any] = [np.asarray(x.concrete() if isinstance(x, Tracer) else x)[()] for x in given]
    if any(np.ndim(x) for x in numbers):
        raise ValueError("jnp.arange: arguments must be scalars.")
    if any(np.iscomplexobj(x) for x in numbers):
        raise ValueError("arange: start, stop and step must be real: complex numbers have no order.")
    if dtype is None:
        dtype, _ = dtypes.lattice_result_type(*(x if isinstance(x, (bool, int, float)) else asarray(x) for x in given))
        dtype = dtypes.to_numeric_dtype(dtype)
    else:
        dtype = dtypes.canonicalize_user_dtype(dtype, "arange")
        if dtype == np.bool_:
            raise TypeError("arange: dtype must be numeric, got bool: compare the numbers instead, arange(n) > 0.")
    if stop is None:
        numbers = [numbers[0].dtype.type(0), numbers[0], *numbers[1:]]
    if len(numbers) == 3 and numbers[2] == 0:
        raise ZeroDivisionError("arange: step must not be zero.")
    if dtypes.issubdtype(dtype, np.integer):
        if not _eager() and dtype.itemsize >= 4 and all(isinstance(x, np.integer) for x in numbers):
            return _integers(dtype, *map(int, numbers))
        if all(isinstance(x, np.integer) for x in numbers):
            return from_numpy(_cast(np.arange(*numbers), dtype))
        return from_numpy(_cast(np.arange(*numbers, dtype=np.int64), dtype))  # a step of 1.25 is 1, as in NumPy
    first, last, by = (*map(float, numbers), 1.0)[:3]
    # In float32, as JAX computes it also for 16 bits, or in float64 for that.
    working = (
        np.promote_types(np.float32, np.zeros(0, dtype).real.dtype) if dtype.itemsize >= 4 else np.dtype(np.float32)
    )
    count = np.arange(max(math.ceil((last - first) / by), 0)).astype(working)
    return from_numpy(_cast(working.type(first) + count * working.type(by), dtype))


def _integers(dtype, start: int, stop: int, step: int = 1):
    """start, start + step, ... as equations: exact, and no constant in the program."""
    out = lax_shape.iota(dtype, range_size(start, stop, step))
    if step != 1:
        out = out * dtype.type(step)
    return out + asarray(start, dtype) if start else out


@placed
def linspace(
    start, stop, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype=None, axis: int = 0, *, device=None
):
    """``num`` evenly spaced numbers from ``start`` to ``stop`` (both included unless ``endpoint`` is False).

    >>> import addax.numpy as jnp
    >>> jnp.linspace(0.0, 1.0, 5)
    Array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    check_array_like("linspace", start, stop)
    if num < 0:
        raise ValueError(f"Number of samples, {num}, must be non-negative.")
    a, b = promote_inexact(as_operand(start), as_operand(stop))
    working = get_aval(a).dtype if not isinstance(a, (float, int, complex)) else get_aval(b).dtype
    out_dtype = working if dtype is None else dtypes.canonicalize_user_dtype(dtype, "linspace")
    a, b = asarray(a, working), asarray(b, working)
    div = num - 1 if endpoint else num
    shape = np.broadcast_shapes(a.shape, b.shape)
    if is_symbolic(num):
        fraction = lax_shape.iota(working, num).reshape(num, *(1,) * len(shape)) / asarray(larger(div, 1), working)
    else:
        fraction = from_numpy((np.arange(num) / max(div, 1)).astype(working).reshape(num, *(1,) * len(shape)))
    # a (1 - t) + b t keeps both ends exact.
    out = a * (1 - fraction) + b * fraction if is_symbolic(num) or num > 1 else a + fraction * 0
    out = broadcast_to(out, (num, *shape))  # a single point has the shape of `start` so far
    if dtypes.issubdtype(out_dtype, np.integer) and not dtypes.issubdtype(working, np.integer):
        out = lax_arithmetic.floor(out)
    out = convert(out, out_dtype, False)
    axis = canonical_axis(axis, out.ndim)
    if axis:
        order = [*range(1, axis + 1), 0, *range(axis + 1, out.ndim)]
        out = lax_shape.transpose(out, order)
    if not retstep:
        return out
    step = (b - a) / div if div > 0 else asarray(np.nan, working)
    return out, step


@placed
def eye(N: int, M: int | None = None, k: int = 0, dtype=None, *, device=None):
    """Ones on the ``k``-th diagonal of an N x M array of zeros.

    >>> import addax.numpy as jnp
    >>> jnp.eye(2)
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    (n,) = canonical_shape((N,))
    (m,) = canonical_shape((N if M is None else M,))
    if is_symbolic_shape((n, m)):
        rows, columns = (lax_shape.broadcasted_iota(np.dtype(np.int32), (n, m), i) for i in (0, 1))
        return (rows + int(k) == columns).astype(_dtype(dtype, "eye"))
    return from_numpy(np.eye(n, m, int(k), _dtype(dtype, "eye")))


def identity(n: int, dtype=None):
    """The n x n identity matrix."""
    return eye(n, dtype=dtype)
