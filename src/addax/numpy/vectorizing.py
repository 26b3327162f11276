"""Functions of vectors and scalars applied to arrays, built on `vmap`: vectorize, apply_along_axis, piecewise."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes, tree
from addax.lax.control_flow import switch
from addax.numpy.base import as_array, as_operand, broadcast_shapes, canonical_axis, check_array_like, is_array_like
from addax.numpy.choosing import where
from addax.numpy.creation import arange, asarray
from addax.numpy.shapes import broadcast_to, expand_dims, reshape
from addax.transforms.vmap import vmap

_DIMENSIONS = r"\((?:\w+(?:,\w+)*)?\)"
_LIST = rf"{_DIMENSIONS}(?:,{_DIMENSIONS})*"
_SIGNATURE = re.compile(rf"^{_LIST}->{_LIST}$")

Dimensions = tuple[str, ...]


def _parse_signature(signature: str) -> tuple[list[Dimensions], list[Dimensions]]:
    text = signature.replace(" ", "")
    if not _SIGNATURE.match(text):
        raise ValueError(
            f"vectorize: not a valid gufunc signature: {signature!r}. Write the core dimensions of each argument and "
            "result, such as '(n,m),(m)->(n)' or '(n)->()'."
        )
    left, right = (
        [tuple(filter(None, part[1:-1].split(","))) for part in re.findall(_DIMENSIONS, side)]
        for side in text.split("->")
    )
    return left, right


def vectorize(pyfunc: Callable, *, excluded: Collection[int | str] = frozenset(), signature: str | None = None):
    """The function that applies ``pyfunc`` to each element of its arguments, which broadcast.

    Unlike NumPy's, it does not loop in Python: ``pyfunc`` is called once, under `vmap`, and must be traceable.

    Args:
      pyfunc: a function of scalars, or of arrays of the core dimensions that ``signature`` names.
      excluded: positions and names of arguments that are passed on as they are, as is what is not array-like. Other
        keyword arguments are mapped over like positional ones (JAX drops them).
      signature: for each positional argument and each result its core dimensions, the last ones of the array:
        ``"(n,m),(m)->(n)"``. Keyword arguments must then be excluded.

    >>> import addax.numpy as jnp
    >>> dots = jnp.vectorize(jnp.dot, signature="(n),(n)->()")
    >>> dots(jnp.ones((2, 3)), jnp.arange(3.0)).tolist()
    [3.0, 3.0]
    """
    if any(not isinstance(e, (int, str)) for e in excluded):
        raise TypeError(f"vectorize: excluded must be a set of positions and names, got {excluded!r}")
    if any(isinstance(e, int) and e < 0 for e in excluded):
        raise ValueError(f"vectorize: excluded={set(excluded)} contains negative numbers")
    parsed = None if signature is None else _parse_signature(signature)
    where_text = f" in the vectorized function with signature={signature!r} and excluded={set(excluded) or '{}'}"

    @functools.wraps(pyfunc)
    def vectorized(*args, **kwargs):
        mapped: list[int | str] = [i for i, x in enumerate(args) if i not in excluded and x is not None]
        named = [k for k, x in kwargs.items() if k not in excluded and is_array_like(x)]
        if named and parsed is not None:
            raise TypeError(f"keyword arguments have no place in a signature: exclude {', '.join(named)}{where_text}")
        if not mapped and not named:
            raise TypeError(f"vectorize: there is no argument to map over{where_text}")
        if parsed is not None and len(mapped) != len(parsed[0]):
            raise TypeError(
                f"wrong number of positional arguments: expected {len(parsed[0])}, got {len(mapped)}{where_text}"
            )
        mapped += named
        arrays = [asarray(kwargs[i] if isinstance(i, str) else args[i]) for i in mapped]
        inputs = [()] * len(mapped) if parsed is None else parsed[0]
        loops, sizes = _split_shapes([a.shape for a in arrays], inputs, where_text)

        def core(*arrays):
            positional, keywords = list(args), dict(kwargs)
            for i, a in zip(mapped, arrays, strict=True):
                if isinstance(i, str):
                    keywords[i] = a
                else:
                    positional[i] = a
            out = pyfunc(*positional, **keywords)
            return out if parsed is None else _checked_output(out, parsed[1], sizes, where_text)

        return _map_loops(core, arrays, loops)

    return vectorized


def _split_shapes(shapes, inputs, where_text: str) -> tuple[list[tuple[int, ...]], dict[str, int]]:
    """The loop dimensions of each argument, and the sizes of the core dimensions."""
    loops, sizes = [], {}
    for shape, names in zip(shapes, inputs, strict=True):
        if len(shape) < len(names):
            raise ValueError(
                f"input with shape {shape} does not have enough dimensions for all core dimensions {names}{where_text}"
            )
        cut = len(shape) - len(names)
        loops.append(shape[:cut])
        for name, n in zip(names, shape[cut:], strict=True):
            if sizes.setdefault(name, n) != n:
                raise ValueError(f"inconsistent size for core dimension {name!r}: {n} vs {sizes[name]}{where_text}")
    return loops, sizes


def _checked_output(out, outputs: list[Dimensions], sizes: dict[str, int], where_text: str):
    single = len(outputs) == 1
    if not single and not isinstance(out, tuple):
        raise TypeError(f"output must be a tuple when multiple outputs are expected, got: {out}{where_text}")
    results = (out,) if single else out
    if len(results) != len(outputs):
        raise TypeError(f"wrong number of output arguments: expected {len(outputs)}, got {len(results)}{where_text}")
    arrays = tuple(asarray(x) for x in results)
    for a, names in zip(arrays, outputs, strict=True):
        if len(a.shape) != len(names):
            raise ValueError(f"output shape {a.shape} does not match core dimensions {names}{where_text}")
        for name, n in zip(names, a.shape, strict=True):
            if sizes.setdefault(name, n) != n:
                raise ValueError(f"inconsistent size for core dimension {name!r}: {n} vs {sizes[name]}{where_text}")
    return arrays[0] if single else arrays


def _map_loops(core: Callable, arrays: list, loops: list[tuple[int, ...]]):
    """``core`` under one vmap per loop dimension; arguments that only broadcast along one are not mapped over it."""
    full = broadcast_shapes(*loops)
    rank = len(full)
    squeezed, axes = [], []
    for a, loop in zip(arrays, loops, strict=True):
        lead = rank - len(loop)
        mapped = [d >= lead and loop[d - lead] == full[d] for d in range(rank)]
        kept = [n for d, n in enumerate(loop) if mapped[d + lead]]
        squeezed.append(reshape(a, (*kept, *a.shape[len(loop) :])))
        axes.append([0 if m else None for m in mapped])
    fun = core
    for d in range(rank)[::-1]:
        fun = vmap(fun, in_axes=tuple(a[d] for a in axes))
    return fun(*squeezed)


def apply_along_axis(func1d: Callable, axis: int, arr, *args, **kwargs) -> Any:
    """``func1d(vector, *args, **kwargs)`` of each vector along ``axis``; the dimensions of its result take its place.

    >>> import addax.numpy as jnp
    >>> jnp.apply_along_axis(jnp.sum, 1, jnp.ones((2, 3))).tolist()
    [3.0, 3.0]
    """
    check_array_like("apply_along_axis", arr)
    arr = as_array(arr)
    axis = canonical_axis(axis, arr.ndim)
    fun: Callable = lambda v: func1d(v, *args, **kwargs)  # noqa: E731
    for d in range(1, arr.ndim - axis):
        fun = vmap(fun, in_axes=d, out_axes=-1)
    for _ in range(axis):
        fun = vmap(fun)
    return fun(arr)


def apply_over_axes(func: Callable, a, axes: Sequence[int]) -> Any:
    """``func(a, axis)`` for each of ``axes`` in turn; where it drops the axis, it is put back with size 1.

    >>> import addax.numpy as jnp
    >>> jnp.apply_over_axes(jnp.sum, jnp.ones((2, 3)), [0, 1]).tolist()
    [[6.0]]
    """
    check_array_like("apply_over_axes", a)
    a = as_array(a)
    for axis in axes:
        out = as_array(func(a, axis))
        if out.ndim == a.ndim - 1:
            out = expand_dims(out, axis)
        if out.ndim != a.ndim:
            raise ValueError(
                "apply_over_axes: the function is not returning an array of the correct shape: from "
                f"{a.shape} it made {out.shape}, which has neither as many dimensions nor one less."
            )
        a = out
    return a


def piecewise(x, condlist, funclist: Sequence, *args, **kw) -> Any:
    """For each element of ``x`` the function (or number) of ``funclist`` whose condition holds.

    Where several hold, the last one counts. The functions are called with scalars (`vmap`ped), and get ``args`` and
    ``kw``. All of them are evaluated everywhere; see `where` on gradients.

    Args:
      condlist: n boolean arrays that broadcast to ``x``.
      funclist: n functions or numbers, or n + 1, the last one for where no condition holds (default 0).

    >>> import addax.numpy as jnp
    >>> x = jnp.array([-2.0, 0.0, 3.0])
    >>> jnp.piecewise(x, [x < 0, x > 0], [lambda v: -v, lambda v: v * v]).tolist()
    [2.0, 0.0, 9.0]
    """
    check_array_like("piecewise", x)
    x = as_array(x)
    n, m = len(condlist), len(funclist)
    if n == 0:
        raise ValueError("piecewise: condlist is empty")
    if m == n:
        branches = [0, *funclist]
    elif m == n + 1:
        branches = [funclist[-1], *funclist[:-1]]
    else:
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected; got {m}")
    check_array_like("piecewise", *condlist)
    conditions = [as_array(as_operand(c)) != 0 for c in condlist]
    shape = broadcast_shapes(x.shape, *(c.shape for c in conditions))
    chosen = asarray(np.zeros((), np.int32))
    for k, condition in enumerate(conditions):
        chosen = where(condition, np.int32(k + 1), chosen)
    functions = [_branch(f, x.dtype, args, kw) for f in branches]

    def element(k, v):
        return switch(k, functions, v)

    size = math.prod(shape)
    chosen, flat = (reshape(broadcast_to(v, shape), (size,)) for v in (chosen, x))
    return reshape(vmap(element)(chosen, flat), shape)


def _branch(f, dtype, args, kw) -> Callable:
    if callable(f):
        return lambda v: asarray(f(v, *args, **kw), dtype)
    value = asarray(f, dtype)
    if value.ndim:
        raise TypeError(f"piecewise: a choice must be a function or a number, got an array of shape {value.shape}")
    return lambda v: value


def fromfunction(function: Callable, shape: Any, *, dtype: Any = float, **kwargs) -> Any:
    """The array whose element at (i, j, ...) is ``function(i, j, ..., **kwargs)``.

    Unlike NumPy's, which passes arrays of all indices, the function gets scalars, under `vmap`.

    Args:
      dtype: of the indices.

    >>> import addax.numpy as jnp
    >>> jnp.fromfunction(lambda i, j: 10 * i + j, (2, 3), dtype=int).tolist()
    [[0, 1, 2], [10, 11, 12]]
    """
    shape = tuple(shape) if np.ndim(shape) else (shape,)
    dtype = dtypes.canonicalize_user_dtype(dtype, "fromfunction")
    fun: Callable = lambda *at: function(*at, **kwargs)  # noqa: E731
    for d in range(len(shape))[::-1]:
        fun = vmap(fun, in_axes=tuple(0 if k == d else None for k in range(len(shape))))
    out = fun(*(arange(n, dtype=dtype) for n in shape))
    return tree.map(lambda x: asarray(x) if shape else x, out)


__all__ = ["apply_along_axis", "apply_over_axes", "fromfunction", "piecewise", "vectorize"]
