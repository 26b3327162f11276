"""The methods of universal functions: ``jnp.add.reduce``, ``.accumulate``, ``.at``, ``.reduceat``, ``.outer``; `frompyfunc`.

The built-in ones stay what they are, functions dispatched in C++, and get the methods as attributes; `ufunc` answers
``isinstance`` for them. `frompyfunc` makes objects of the class itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.interpreters.values import expand_dims, move_axis, reshape
from addax.lax.control_flow import scan
from addax.lax.shape import concatenate
from addax.numpy import cumulative, logic, reductions, terms as t, transcendental, ufuncs
from addax.numpy.base import as_array, broadcast_to, canonical_axis, check_array_like, no_out
from addax.numpy.index_update import IndexUpdate
from addax.numpy.indexing import getitem
from addax.numpy.reductions import dtype_argument
from addax.transforms.inspect import eval_shape
from addax.transforms.vmap import vmap


class _UfuncType(type):
    def __instancecheck__(cls, x) -> bool:
        return type.__instancecheck__(cls, x) or (isinstance(x, _native.Fn) and "ufunc" in vars(x))


class ufunc(metaclass=_UfuncType):
    """A function of scalars, applied elementwise, with reductions and updates derived from it.

    Args:
      func: a traceable function of ``nin`` scalars that returns ``nout``.
      identity: the value e with func(e, x) = x, if there is one.

    >>> import addax.numpy as jnp
    >>> far = jnp.frompyfunc(lambda x, y: jnp.maximum(abs(x), abs(y)), 2, 1, identity=0)
    >>> far.reduce(jnp.array([1, -5, 3]))
    Array(5, dtype=int32)
    """

    def __init__(
        self, func: Callable, /, nin: int, nout: int, *, name: str | None = None, nargs: int | None = None,
        identity: Any = None, call: Callable | None = None, fast: dict[str, Callable] | None = None,
    ):  # fmt: skip
        self.nin, self.nout, self.identity = operator.index(nin), operator.index(nout), identity
        self.nargs = self.nin if nargs is None else nargs
        self.__name__ = name or getattr(func, "__name__", "ufunc")
        self.__doc__ = func.__doc__
        self._func, self._call, self._fast = func, call or self._elementwise, fast or {}

    def __repr__(self) -> str:
        return f"<addax.numpy.ufunc {self.__name__!r}>"

    def __hash__(self) -> int:
        return hash((self._func, self.nin, self.nout, self.__name__))

    def __eq__(self, other) -> bool:
        return isinstance(other, ufunc) and (self._func, self.nin, self.nout) == (other._func, other.nin, other.nout)

    def __call__(self, *args, out=None, where=None) -> Any:
        if out is not None or where is not None:
            raise NotImplementedError(f"out and where arguments of {self!r}: arrays are immutable")
        if len(args) != self.nin:
            raise TypeError(f"{self.__name__} takes {self.nin} arguments, got {len(args)}")
        check_array_like(self.__name__, *args)
        return self._call(*args)

    def _elementwise(self, *args):
        """``func`` mapped over the broadcast arguments."""
        arrays = [as_array(x) for x in args]
        shape = np.broadcast_shapes(*(x.shape for x in arrays))
        fun = self._func
        for _ in shape:
            fun = vmap(fun)
        return fun(*(broadcast_to(x, shape) for x in arrays))

    # -- reductions

    def _check_binary(self, method: str) -> None:
        if self.nin != 2:
            raise ValueError(f"{method} only supported for binary ufuncs: {self.__name__} takes {self.nin} arguments")
        if self.nout != 1:
            raise ValueError(f"{method} only supported for functions returning a single value")

    def _result_dtype(self, dtype):
        """The dtype in which a reduction of elements of ``dtype`` is stable."""
        for _ in range(3):
            x = np.zeros((), dtype)
            out = eval_shape(self._call, x, x).dtype
            if out == dtype:
                break
            dtype = out
        return dtype

    def reduce(
        self, a, axis: int | None = 0, dtype=None, out=None, keepdims: bool = False, initial=None, where=None
    ) -> Any:
        """The elements along ``axis`` (None: all) combined from left to right.

        >>> import addax.numpy as jnp
        >>> jnp.add.reduce(jnp.arange(6).reshape(2, 3), axis=1)
        Array([ 3, 12], dtype=int32)
        """
        self._check_binary("reduce")
        no_out(f"{self.__name__}.reduce", out)
        check_array_like(f"{self.__name__}.reduce", a)
        if where is not None and initial is None and self.identity is None:
            raise ValueError(
                f"reduction operation {self.__name__!r} does not have an identity, so to use a where mask one has to "
                "specify 'initial'."
            )
        if axis is not None and not isinstance(axis, tuple):
            axis = operator.index(axis)
        fast = self._fast.get("reduce")
        if fast is not None:
            return fast(a, axis, dtype_argument(dtype, "reduce"), keepdims, initial, where)
        return self._reduce_by_scan(a, axis, dtype, keepdims, initial, where)

    def _reduce_by_scan(self, a, axis, dtype, keepdims, initial, where):
        a = as_array(a)
        ndim = a.ndim
        mask = None if where is None else broadcast_to(as_array(where), a.shape)
        if axis is None:
            a, axis = reshape(a, (a.size,)), 0
            mask = None if mask is None else reshape(mask, (mask.size,))
            kept = tuple(range(ndim))
        else:
            if ndim == 0:
                raise ValueError(f"{self.__name__}.reduce: axis {axis} is out of bounds for array of dimension 0")
            axis = canonical_axis(axis, ndim)
            kept = (axis,)
        result = self._result_dtype(dtype_argument(dtype, "reduce") or a.dtype)
        a = move_axis(t.to_dtype(a, result), axis, 0)
        mask = None if mask is None else move_axis(mask, axis, 0)
        start = self.identity if initial is None else initial
        if start is None:
            if a.shape[0] == 0:
                raise ValueError(f"zero-size array to reduction operation {self.__name__} which has no identity")
            start, a = getitem(a, 0), getitem(a, slice(1, None))
        else:
            start = broadcast_to(t.to_dtype(as_array(start), result), a.shape[1:])

        def step(carry, x):
            value = x if mask is None else x[0]
            new = t.to_dtype(self._call(carry, value), result)
            return (new if mask is None else t.select(x[1], new, carry)), None

        out, _ = scan(step, start, a if mask is None else (a, mask))
        return expand_dims(out, kept) if keepdims else out

    def accumulate(self, a, axis: int = 0, dtype=None, out=None) -> Any:
        """All results of combining the elements along ``axis`` from left to right.

        >>> import addax.numpy as jnp
        >>> jnp.maximum.accumulate(jnp.array([1, 5, 2, 7]))
        Array([1, 5, 5, 7], dtype=int32)
        """
        self._check_binary("accumulate")
        no_out(f"{self.__name__}.accumulate", out)
        check_array_like(f"{self.__name__}.accumulate", a)
        if axis is None:
            raise ValueError("accumulate does not allow multiple axes")
        a = as_array(a)
        if a.ndim == 0:
            raise ValueError(f"{self.__name__}.accumulate: a scalar has no axis to accumulate along")
        axis = canonical_axis(axis, a.ndim)
        fast = self._fast.get("accumulate")
        if fast is not None:
            return fast(a, axis, dtype_argument(dtype, "accumulate"))
        result = self._result_dtype(dtype_argument(dtype, "accumulate") or a.dtype)
        a = move_axis(t.to_dtype(a, result), axis, 0)
        if a.shape[0] == 0:
            return move_axis(a, 0, axis)

        def step(carry, x):
            carry = t.to_dtype(self._call(carry, x), result)
            return carry, carry

        first = getitem(a, slice(0, 1))
        _, rest = scan(step, getitem(a, 0), getitem(a, slice(1, None)))
        return move_axis(concatenate([first, rest], 0), 0, axis)

    def reduceat(self, a, indices, axis: int = 0, dtype=None, out=None) -> Any:
        """For each i the reduction of ``a[indices[i]:indices[i + 1]]``, or ``a[indices[i]]`` if that is empty.

        >>> import addax.numpy as jnp
        >>> jnp.add.reduceat(jnp.arange(8), jnp.array([0, 4, 1, 5]))
        Array([ 6,  4, 10, 18], dtype=int32)
        """
        self._check_binary("reduceat")
        no_out(f"{self.__name__}.reduceat", out)
        check_array_like(f"{self.__name__}.reduceat", a, indices)
        a, indices = as_array(a), as_array(indices)
        if axis is None or isinstance(axis, (tuple, list)):
            raise ValueError("reduceat requires a single integer axis.")
        if not dtypes.issubdtype(indices.dtype, np.integer):
            raise ValueError(f"indices must be integers, got {dtypes.dtype_name(indices.dtype)}")
        axis = canonical_axis(axis, a.ndim)
        result = self._result_dtype(dtype_argument(dtype, "reduceat") or a.dtype)
        moved = move_axis(t.to_dtype(a, result), axis, 0)
        n = moved.shape[0]
        start = getitem(moved, indices)
        if indices.size == 0:
            return move_axis(start, 0, axis)
        ends = concatenate([getitem(indices, slice(1, None)), as_array(np.asarray([n], indices.dtype))], 0)
        column = (indices.size,) + (1,) * (moved.ndim - 1)

        # One pass over the elements: element j joins the run of every i with indices[i] < j < ends[i].
        def step(carry, item):
            x, j = item
            inside = t.and_(t.gt(j, indices), t.lt(j, ends))
            new = t.to_dtype(self._call(carry, broadcast_to(x, carry.shape)), result)
            return t.select(reshape(inside, column), new, carry), None

        positions = as_array(np.arange(n, dtype=indices.dtype))
        total, _ = scan(step, start, (moved, positions))
        return move_axis(total, 0, axis)

    # -- others

    def at(self, a, indices, b=None, /, *, inplace: bool = True) -> Any:
        """A copy of ``a`` with the function applied at ``indices``, with ``b`` as second argument; repeats count.

        >>> import addax.numpy as jnp
        >>> jnp.add.at(jnp.zeros(3), jnp.array([0, 2, 2]), 1.0, inplace=False)
        Array([1., 0., 2.], dtype=float32)
        """
        if inplace:
            raise NotImplementedError(
                f"ufunc.at() cannot modify arrays in place: use {self.__name__}.at(..., inplace=False), which returns a copy"
            )
        check_array_like(f"{self.__name__}.at", a, *(() if b is None else (b,)))
        a = as_array(a)
        if (b is None) != (self.nin == 1):
            raise ValueError(
                "second operand needed for ufunc" if b is None else "Second operand provided when ufunc is unary."
            )
        fast = self._fast.get("at")
        if fast is not None:
            return fast(IndexUpdate(a)[indices], b)
        return self._at_by_scan(a, indices, b)

    def _at_by_scan(self, a, indices, b):
        positions = reshape(as_array(np.arange(a.size, dtype=np.int32)), a.shape)
        where = getitem(positions, indices)
        flat, hits = reshape(a, (a.size,)), reshape(where, (where.size,))
        others = () if b is None else (reshape(broadcast_to(as_array(b), where.shape), (where.size,)),)

        def step(carry, item):
            i, *rest = item
            value = t.to_dtype(self._call(getitem(carry, i), *rest), a.dtype)
            return IndexUpdate(carry)[i].set(value), None

        out, _ = scan(step, flat, (hits, *others))
        return reshape(out, a.shape)

    def outer(self, A, B, /) -> Any:
        """The function of all pairs: ``out[i..., j...] = f(A[i...], B[j...])``.

        >>> import addax.numpy as jnp
        >>> jnp.multiply.outer(jnp.array([1, 2]), jnp.array([3, 4, 5]))
        Array([[ 3,  4,  5],
               [ 6,  8, 10]], dtype=int32)
        """
        self._check_binary("outer")
        check_array_like(f"{self.__name__}.outer", A, B)
        ndim = get_aval(B).ndim
        return self._call(reshape(as_array(A), (*get_aval(A).shape, *(1,) * ndim)) if ndim else A, B)


def frompyfunc(func: Callable, /, nin: int, nout: int, *, identity: Any = None) -> ufunc:
    """A `ufunc` of a traceable Python function of scalars.

    >>> import addax.numpy as jnp
    >>> add_squares = jnp.frompyfunc(lambda x, y: x * x + y * y, 2, 1)
    >>> add_squares(jnp.array([1, 2]), 3)
    Array([10, 13], dtype=int32)
    """
    return ufunc(func, nin, nout, identity=identity)


# ---------------------------------------------------------------------------------------------------------------------
# The built-in ones


def _install(fn, identity=None, **fast: Callable) -> None:
    """Give a function the methods of a ufunc; ``fast`` replaces the general ones by primitives."""
    nin = fn.__wrapped__.__wrapped__.__code__.co_argcount
    methods = ufunc(fn.__wrapped__, nin, 1, name=fn.__name__, identity=identity, call=fn, fast=fast)
    fn.ufunc, fn.nin, fn.nout, fn.nargs, fn.identity = methods, nin, 1, nin, identity
    for name in ("reduce", "accumulate", "reduceat", "at", "outer"):
        setattr(fn, name, getattr(methods, name))


def _reduce_with(fun: Callable, takes_dtype: bool = False) -> Callable:
    def reduce(a, axis, dtype, keepdims, initial, where):
        if takes_dtype:
            return fun(a, axis, dtype, None, keepdims, initial, where)
        out = fun(a if dtype is None else t.to_dtype(as_array(a), dtype), axis, None, keepdims, initial, where)
        return out

    return reduce


def _truth_with(fun: Callable, combine: Callable) -> Callable:
    def reduce(a, axis, dtype, keepdims, initial, where):
        out = fun(a, axis, None, keepdims, where=where)
        if initial is not None:
            out = combine(out, t.truth(as_array(initial)))
        return out if dtype is None else t.to_dtype(out, dtype)

    return reduce


def _update(method: str) -> Callable:
    return lambda ref, b: getattr(ref, method)(b)


_install(ufuncs.add, 0, reduce=_reduce_with(reductions.sum, True), accumulate=cumulative.cumsum, at=_update("add"))
_install(
    ufuncs.multiply,
    1,
    reduce=_reduce_with(reductions.prod, True),
    accumulate=cumulative.cumprod,
    at=_update("multiply"),
)
_install(ufuncs.subtract, None, at=_update("subtract"))
_install(ufuncs.negative)
_install(ufuncs.maximum, None, reduce=_reduce_with(reductions.max), at=_update("max"))
_install(ufuncs.minimum, None, reduce=_reduce_with(reductions.min), at=_update("min"))
_install(logic.logical_and, True, reduce=_truth_with(reductions.all, logic.logical_and))
_install(logic.logical_or, False, reduce=_truth_with(reductions.any, logic.logical_or))
_install(logic.logical_xor, False)
_install(logic.bitwise_and, -1)
_install(logic.bitwise_or, 0)
_install(logic.bitwise_xor, 0)
_install(transcendental.logaddexp, -np.inf)
_install(transcendental.logaddexp2, -np.inf)
