"""The methods, properties and operators of arrays, attached once, from the tables below, to concrete arrays and to tracers.

Most are functions of `addax.numpy` whose first argument is the array. What differs between the two types comes last:
conversion to Python values, which a tracer cannot do (the errors say what to write instead), and placement.

The operators of concrete arrays are C slots that call the function registered by `_native.set_operator`.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from addax import _native
from addax.array_repr import array_repr, array_str, format_array
from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.errors import (
    ConcretizationTypeError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
    array_summary,
    warn_user,
)
from addax.core.sharding import as_sharding
from addax.core.trace import Tracer
from addax.interpreters.values import convert
from addax.lax import shape as lax_shape
from addax.lax.sharding import place
from addax.numpy import (
    choosing,
    cumulative,
    floats,
    index_update,
    indexing,
    joining,
    logic,
    products,
    reductions,
    shapes,
    sorting,
    statistics,
    taking,
    terms as t,
    ufuncs,
)
from addax.numpy.base import PYTHON_SCALARS, fused
from addax.numpy.masked import Selection, mapped
from addax.ops.convert import bitcast_convert_type, copy
from addax.placement import block_until_ready, device_of, is_ready, move, sharding_of, shards_of

# ---------------------------------------------------------------------------------------------------------------------
# Operators: native name, method name, symbol, function

BINARY = [
    ("add", "add", "+", ufuncs.add),
    ("sub", "sub", "-", ufuncs.subtract),
    ("mul", "mul", "*", ufuncs.multiply),
    ("truediv", "truediv", "/", ufuncs.true_divide),
    ("floordiv", "floordiv", "//", ufuncs.floor_divide),
    ("mod", "mod", "%", ufuncs.remainder),
    ("divmod", "divmod", "divmod", ufuncs.divmod),
    ("pow", "pow", "**", ufuncs.power),
    ("matmul", "matmul", "@", products.matmul),
    ("and", "and", "&", logic.bitwise_and),
    ("or", "or", "|", logic.bitwise_or),
    ("xor", "xor", "^", logic.bitwise_xor),
    ("lshift", "lshift", "<<", logic.left_shift),
    ("rshift", "rshift", ">>", logic.right_shift),
]
COMPARISON = [
    ("eq", "==", logic.equal),
    ("ne", "!=", logic.not_equal),
    ("lt", "<", logic.less),
    ("le", "<=", logic.less_equal),
    ("gt", ">", logic.greater),
    ("ge", ">=", logic.greater_equal),
]
UNARY = [
    ("neg", ufuncs.negative),
    ("pos", ufuncs.positive),
    ("abs", ufuncs.abs),
    ("invert", logic.bitwise_not),
]

_TRACED = (Tracer, Selection)
_OPERANDS = (_native.Array, Tracer, np.ndarray, np.generic, *PYTHON_SCALARS)
_CONTAINERS = (list, tuple, set, dict)


def _accepts(other) -> bool:
    return isinstance(other, _OPERANDS) or hasattr(type(other), "__jax_array__")


def _reject_container(x, other, symbol: str) -> None:
    """Lists are not converted, and not left to give False for ``x == [1, 2]``."""
    if isinstance(other, _CONTAINERS):
        raise TypeError(
            f"unsupported operand type(s) for {symbol}: {type(x).__name__!r} and {type(other).__name__!r}. Make it an "
            "array first: addax.numpy.array(...)."
        )


def _method(name: str, symbol: str, fun: Callable, reflected: bool) -> Callable:
    fun = getattr(fun, "__wrapped__", fun)  # a tracer's call never stays in C

    if reflected:

        def method(self, other):
            if not _accepts(other):
                _reject_container(self, other, symbol)
                return NotImplemented
            return fun(other, self)
    else:

        def method(self, other):
            if not _accepts(other):
                _reject_container(self, other, symbol)
                return NotImplemented
            return fun(self, other)

    method.__name__ = method.__qualname__ = name
    return method


def _attach_operators() -> None:
    for native, name, symbol, fun in BINARY:
        _native.set_operator(native, fun)
        for cls in _TRACED:
            setattr(cls, f"__{name}__", _method(f"__{name}__", symbol, fun, reflected=False))
            setattr(cls, f"__r{name}__", _method(f"__r{name}__", symbol, fun, reflected=True))
    for name, symbol, fun in COMPARISON:
        _native.set_operator(name, fun)
        for cls in _TRACED:
            setattr(cls, f"__{name}__", _method(f"__{name}__", symbol, fun, reflected=False))
    for name, fun in UNARY:
        _native.set_operator(name, fun)
        for cls in _TRACED:
            setattr(cls, f"__{name}__", fun)


# ---------------------------------------------------------------------------------------------------------------------
# Methods written here


def astype(self, dtype, copy: bool = False, device=None):
    """The array converted to ``dtype``, on ``device``; None means the default float. Complex to real keeps the real part."""
    if device is not None:
        return place(astype(self, dtype, copy), device)
    dtype = dtypes.default_float_dtype() if dtype is None else dtypes.canonicalize_user_dtype(dtype, "astype")
    if t.is_complex(self) and any(dtypes.issubdtype(dtype, kind) for kind in (np.integer, np.floating)):
        warn_user("Casting complex values to real discards the imaginary part", np.exceptions.ComplexWarning)
        self = t.real(self)
    if self.dtype == dtype and not self.weak_type:
        return copy_array(self) if copy else self
    return convert(self, dtype) if dtypes.is_extended(dtype) else _convert(self, dtype=dtype)


@fused(static=("dtype",))
def _convert(x, *, dtype):
    return convert(x, dtype)


def reshape(self, *args, order: str = "C", out_sharding=None):
    """The elements in a new shape, given as a tuple or as several ints, of which one may be -1."""
    return shapes.reshape(self, args[0] if len(args) == 1 else args, order=order, out_sharding=out_sharding)


def transpose(self, *args):
    """The dimensions in a new order, given as a tuple or as several ints; reversed without any."""
    axes = (
        None
        if not args or args == (None,)
        else args[0]
        if len(args) == 1 and not hasattr(args[0], "__index__")
        else args
    )
    return shapes.transpose(self, axes)


def flatten(self, order: str = "C", *, out_sharding=None):
    """The elements in one dimension."""
    return shapes.ravel(self, order=order, out_sharding=out_sharding)


def compress(self, condition, axis: int | None = None, *, out=None, size: int | None = None, fill_value=0):
    """The slices along ``axis`` where the vector ``condition`` holds."""
    return taking.compress(condition, self, axis, size=size, fill_value=fill_value, out=out)


def copy_array(self):
    """An array with the same values and memory of its own."""
    return copy.bind(self)


def clip(self, min=None, max=None):
    """The values limited to [min, max]."""
    return choosing.clip(self, min, max)


def var(self, axis=None, dtype=None, out=None, ddof: int = 0, keepdims: bool = False, *, where=None, correction=None):
    """The variance over ``axis``."""
    return statistics.var(self, axis, dtype, out, ddof, keepdims, where=where, correction=correction)


def std(self, axis=None, dtype=None, out=None, ddof: int = 0, keepdims: bool = False, *, where=None, correction=None):
    """The standard deviation over ``axis``."""
    return statistics.std(self, axis, dtype, out, ddof, keepdims, where=where, correction=correction)


def view(self, dtype=None, type=None):
    """The same bits as another dtype; the last dimension grows or shrinks by the ratio of the element sizes."""
    if type is not None:
        raise NotImplementedError("`type` argument of array.view() is not supported.")
    if dtype is None:
        return self
    dtype = dtypes.canonicalize_user_dtype(dtype, "view")
    if dtypes.is_extended(self.dtype) or dtypes.is_extended(dtype):
        raise TypeError(f"view: cannot reinterpret {self.dtype} as {dtype}; use random.key_data")
    old, new = dtypes.itemsize_bits(self.dtype), dtypes.itemsize_bits(dtype)
    if self.ndim == 0 and old != new:
        raise ValueError("view() of a 0d array is only supported if the itemsize is unchanged.")
    if self.ndim and (self.shape[-1] * old) % new:
        raise ValueError(
            "When changing to a larger dtype, its size must be a divisor of the total size in bytes of the last axis of "
            f"the array: {self.shape[-1]} x {old // 8} bytes is no multiple of {new // 8}."
        )
    if self.dtype == np.bool_:
        return view(convert(self, dtypes.uint8), dtype)
    if dtype == np.bool_:
        return t.ne(view(self, dtypes.uint8), 0)
    if t.is_complex(self) != dtypes.issubdtype(dtype, np.complexfloating):
        return _view_complex(self, dtype)
    if old == new:
        return bitcast_convert_type.bind(self, new_dtype=dtype) if dtype != self.dtype else self
    *lead, last = self.shape
    if old > new:
        return shapes.reshape(bitcast_convert_type.bind(self, new_dtype=dtype), (*lead, last * (old // new)))
    grouped = shapes.reshape(self, (*lead, last * old // new, new // old))
    return bitcast_convert_type.bind(grouped, new_dtype=dtype)


def _view_complex(x, dtype):
    """Complex numbers are pairs of reals."""
    if t.is_complex(x):
        pairs = joining.stack([t.real(x), t.imag(x)], -1)
        return view(shapes.reshape(pairs, (*x.shape[:-1], 2 * x.shape[-1]) if x.ndim else (2,)), dtype)
    part = {dtypes.complex64: dtypes.float32, dtypes.complex128: dtypes.float64}[dtype]
    reals = view(x, part)
    pairs = shapes.reshape(reals, (*reals.shape[:-1], reals.shape[-1] // 2, 2))
    return t.complex_(indexing.getitem(pairs, (..., 0)), indexing.getitem(pairs, (..., 1)))


def byteswap(self):
    """The bytes of every element in reverse order."""
    bits = dtypes.itemsize_bits(self.dtype)
    if bits <= 8:
        return self
    raw = view(shapes.reshape(self, (*self.shape, 1)), dtypes.uint8)
    return shapes.reshape(view(shapes.flip(raw, -1), self.dtype), self.shape)


def matrix_transpose(self):
    """The last two dimensions swapped."""
    if self.ndim < 2:
        raise ValueError(f"x must be at least two-dimensional for matrix_transpose; got ndim={self.ndim}")
    return shapes.swapaxes(self, -1, -2)


def _flat(self):
    raise NotImplementedError("arrays do not implement the arr.flat property: consider arr.flatten() instead.")


def _setitem(self, index, value):
    raise TypeError(
        "addax arrays are immutable and do not support in-place item assignment. Instead of x[idx] = y, use "
        "x = x.at[idx].set(y) or another .at[] method."
    )


def _round(self, ndigits: int | None = None):
    out = floats.round(self, ndigits or 0)
    return convert(out, dtypes.default_int_dtype()) if ndigits is None else out


def _contains(self, item):
    return reductions.any(logic.equal(self, item))


def _iter(self):
    if self.ndim == 0:
        raise TypeError("iteration over a 0-d array")
    return iter(lax_shape.unstack(self))


def _format(self, spec: str) -> str:
    return format_array(self, spec) if spec else str(self)


def _array_namespace(self, *, api_version: str | None = None):
    if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
        raise ValueError(f"api_version={api_version!r} is not supported; there is '2024.12'")
    return sys.modules["addax.numpy"]


METHODS: dict[str, Callable] = {
    # reductions
    "sum": reductions.sum, "prod": reductions.prod, "max": reductions.max, "min": reductions.min,
    "all": reductions.all, "any": reductions.any, "argmax": reductions.argmax, "argmin": reductions.argmin,
    "ptp": reductions.ptp, "mean": statistics.mean, "var": var, "std": std,
    "cumsum": cumulative.cumsum, "cumprod": cumulative.cumprod,
    # shapes
    "reshape": reshape, "ravel": shapes.ravel, "flatten": flatten, "transpose": transpose, "squeeze": shapes.squeeze,
    "swapaxes": shapes.swapaxes, "repeat": joining.repeat, "diagonal": products.diagonal, "trace": products.trace,
    # choosing
    "take": taking.take, "choose": taking.choose, "compress": compress, "nonzero": taking.nonzero,
    "searchsorted": sorting.searchsorted, "sort": sorting.sort, "argsort": sorting.argsort,
    "argpartition": sorting.argpartition,
    # values
    "astype": astype, "view": view, "byteswap": byteswap, "copy": copy_array, "clone": copy_array, "clip": clip,
    "round": floats.round, "conj": floats.conjugate, "conjugate": floats.conjugate, "dot": products.dot,
    "block_until_ready": lambda self: self,
    # protocols
    "__getitem__": indexing.getitem, "__setitem__": _setitem, "__iter__": _iter, "__contains__": _contains,
    "__round__": _round, "__format__": _format, "__array_namespace__": _array_namespace,
    "__copy__": copy_array, "__deepcopy__": lambda self, memo: copy_array(self),
}  # fmt: skip

PROPERTIES: dict[str, Callable] = {
    "T": lambda self: shapes.transpose(self, None),
    "mT": matrix_transpose,
    "real": floats.real,
    "imag": floats.imag,
    "at": index_update.IndexUpdate,
    "flat": _flat,
}


# ---------------------------------------------------------------------------------------------------------------------
# Concrete arrays


def _item(self, *args):
    """One element as a Python number: the only one, or that at a position."""
    value = self._numbers("item")
    if args:
        return value.item(*(operator.index(a) for a in (args[0] if isinstance(args[0], tuple) else args)))
    if self.size != 1:
        raise ValueError("can only convert an array of size 1 to a Python scalar")
    return value.item()


def _tolist(self):
    """The elements as nested lists of Python numbers."""
    return self._numbers("tolist").tolist()


def _tobytes(self, order: str = "C"):
    """The bytes of the elements."""
    return self._numbers("tobytes").tobytes(order)


def _addressable_data(self, index: int):
    """The part of the array that the device number ``index`` of this process holds."""
    return shards_of(self)[index].data


def _to_device(self, device, *, stream=None):
    """The array on another device, or under another sharding."""
    if stream is not None:
        raise NotImplementedError("to_device: there are no streams to choose from; leave the argument `stream` out.")
    return move(self, as_sharding(device, "to_device"))


def _restore(value: np.ndarray, weak_type: bool, dtype: Any = None):
    dtype = value.dtype if dtype is None else dtype
    return _native.array_from_numpy(value, ShapedArray(value.shape, dtype, weak_type))


def _reduce(self):
    """How an array is pickled; keys keep their dtype."""
    extended = (self.dtype,) if isinstance(self.dtype, dtypes.PRNGKeyDType) else ()
    return _restore, (np.array(self._value), self.weak_type, *extended)


CONCRETE: dict[str, Any] = {
    "item": _item,
    "tolist": _tolist,
    "tobytes": _tobytes,
    "to_device": _to_device,
    "addressable_data": _addressable_data,
    "copy_to_host_async": lambda self: None,
    "on_device_size_in_bytes": lambda self: self.nbytes,
    "is_ready": is_ready,
    "block_until_ready": block_until_ready,
    "devices": lambda self: sharding_of(self).device_set,
    "platform": lambda self: sharding_of(self).device_list[0].platform,
    "device": property(device_of),
    "sharding": property(sharding_of),
    "committed": property(lambda self: self._committed),
    "addressable_shards": property(shards_of),
    "global_shards": property(shards_of),
    "is_fully_addressable": property(lambda self: sharding_of(self).is_fully_addressable),
    "is_fully_replicated": property(lambda self: sharding_of(self).is_fully_replicated),
    "__repr__": array_repr,
    "__str__": array_str,
    "__reduce__": _reduce,
}

# ---------------------------------------------------------------------------------------------------------------------
# Tracers: what asks for numbers is an error, unless they are known


def _known(self, error: Callable[[Tracer], Exception]) -> Any:
    value = self.concrete()
    if value is None:
        raise error(self)
    return value


def _concretization(what: str) -> Callable[[Tracer], Exception]:
    context = f"The problem arose with the `{what}` function. If trying to convert the data type of a value, try using "
    context += f"`x.astype({what})` or `jnp.array(x, {what})` instead."
    return lambda tracer: ConcretizationTypeError(tracer, context)


def _asking(what: str) -> Callable[[Tracer], Exception]:
    return lambda tracer: ConcretizationTypeError(tracer, f"The problem arose with the method `{what}` of the array.")


def _tracer_index(self) -> int:
    return operator.index(_known(self, TracerIntegerConversionError))


def _tracer_len(self) -> int:
    if not self.aval.shape:
        raise TypeError("len() of unsized object")
    return self.aval.shape[0]


def _not_on_a_device(name: str) -> property:
    def get(self):
        value = self.concrete()
        if value is None:
            raise ConcretizationTypeError(
                self, f"The attribute `{name}` was read: a traced value is on no device until the program runs."
            )
        return getattr(value, name)

    return property(get)


def _tracer_getattr(self, name: str):
    if name.startswith("__"):  # a protocol that somebody asks about, __jax_array__ say: no message to be read
        raise AttributeError(name)
    raise AttributeError(
        f"{type(self).__name__} has no attribute {name}: the value {array_summary(self)} is being traced, and has the "
        "attributes of addax.Array that need no numbers."
    )


TRACED: dict[str, Any] = {
    "__bool__": lambda self: bool(_known(self, _TracerBool)),
    "__int__": lambda self: int(_known(self, _concretization("int"))),
    "__float__": lambda self: float(_known(self, _concretization("float"))),
    "__complex__": lambda self: complex(_known(self, _concretization("complex"))),
    "__index__": _tracer_index,
    "__len__": _tracer_len,
    "__array__": lambda self, *args, **kw: np.asarray(_known(self, TracerArrayConversionError), *args, **kw),
    "item": lambda self, *args: np.asarray(_known(self, _asking("item"))).item(*args),
    "tolist": lambda self: np.asarray(_known(self, _asking("tolist"))).tolist(),
    "tobytes": lambda self, *args, **kw: np.asarray(_known(self, _asking("tobytes"))).tobytes(*args, **kw),
    "nbytes": property(lambda self: self.size * self.itemsize),
    "itemsize": property(lambda self: self.dtype.itemsize),
    "committed": property(lambda self: False),
    "copy_to_host_async": lambda self: None,
    "is_fully_addressable": property(lambda self: True),
    "is_fully_replicated": property(lambda self: True),
    "__getattr__": _tracer_getattr,
    **{name: _not_on_a_device(name) for name in ("device", "sharding", "addressable_shards", "global_shards")},
    **{name: (lambda n: lambda self, *a: getattr(_known(self, _asking(n)), n)(*a))(name)
       for name in ("devices", "addressable_data", "on_device_size_in_bytes", "unsafe_buffer_pointer", "is_deleted")},
}  # fmt: skip
_TracerBool = TracerBoolConversionError


# ---------------------------------------------------------------------------------------------------------------------
# Elements that a traced mask selects: reductions, and what maps them one by one


def _mapped_method(fun: Callable) -> Callable:
    return lambda self, *args, **kw: mapped(lambda x: fun(x, *args, **kw), self)


SELECTED: dict[str, Any] = {
    **{name: METHODS[name] for name in ("sum", "prod", "max", "min", "all", "any", "ptp", "mean", "var", "std")},
    **{name: _mapped_method(METHODS[name]) for name in ("astype", "clip", "round", "conj", "conjugate", "__round__")},
    **{name: property(_mapped_method(PROPERTIES[name])) for name in ("real", "imag")},
}


def attach() -> None:
    """Give `addax.Array`'s methods to both kinds of arrays."""
    for name, value in SELECTED.items():
        setattr(Selection, name, value)
    _attach_operators()
    for name, fun in METHODS.items():
        for cls in (_native.Array, Tracer):
            setattr(cls, name, fun)
    for name, fun in PROPERTIES.items():
        for cls in (_native.Array, Tracer):
            setattr(cls, name, property(fun))
    for name, value in CONCRETE.items():
        setattr(_native.Array, name, value)
    for name, value in TRACED.items():
        setattr(Tracer, name, value)
