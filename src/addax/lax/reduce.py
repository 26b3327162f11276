"""Reductions: `reduce` with any program, `reduce_sum` and its kin, `argmax` and `argmin`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes, tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.config import current_context
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.core.trace import Tracer
from addax.lax.arguments import integer, integers, operand as _operand
from addax.lax.sharding import place, with_sharding_constraint
from addax.ops import reduce as _reduce
from addax.ops.reduce import highest_value, lowest_value
from addax.ops.reduce_program import reduce as _reduce_program
from addax.transforms.flat import FlatFunction, LazyDebugInfo

Array = Any

# ---------------------------------------------------------------------------------------------------------------------
# reduce


def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
    out_sharding=None,
) -> Any:
    """Fold arrays over ``dimensions`` with any associative function.

    With operand x, initial value z and computation f the result is f(z, f(x_1, f(x_2, ...))), grouped in any way. A
    computation that adds, multiplies, or takes the maximum, minimum, and, or, xor of its arguments becomes that
    reduction.

    Args:
      operands: a pytree of arrays of one shape.
      init_values: a pytree of scalars, one per operand, of its dtype; the identity of ``computation``, to be sure.
      computation: ``(a, b) -> c``, each a pytree of scalars like ``init_values``. It cannot use traced values from
        outside.
      dimensions: to reduce.

    Returns:
      A pytree like ``operands``, of arrays without those dimensions.

    Raises:
      ValueError: if an initial value is not a scalar, or the structures differ.
      TypeError: if dtypes differ, or ``computation`` returns other types than it takes.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> x = jnp.array([[1., 2.], [3., 4.]])
    >>> lax.reduce(x, 0., lambda a, b: jnp.hypot(a, b), (1,)).tolist()
    [2.2360680103302, 5.0]
    """
    if out_sharding is not None:
        return with_sharding_constraint(reduce(operands, init_values, computation, dimensions), out_sharding)
    flat, treedef = tree.flatten(operands)
    inits, init_tree = tree.flatten(init_values)
    if treedef != init_tree:
        raise ValueError(f"Operands must have the same tree structure as init_values: {treedef} vs. {init_tree}")
    flat = [_operand("reduce", x) for x in flat]
    inits = [_operand("reduce", x) for x in inits]
    dimensions = integers("reduce", "dimensions", dimensions)
    if len(flat) == 1:
        inits = [match_weak_scalar(inits[0], flat[0])]
    jaxpr = trace_combiner("reduce", computation, treedef, [get_aval(x) for x in inits])
    if len(flat) == 1:
        name = monoid(jaxpr) if dimensions else None
        if name is not None and get_aval(inits[0]).shape == () and get_aval(inits[0]).dtype == get_aval(flat[0]).dtype:
            return treedef.unflatten([_reduce_by(name, flat[0], inits[0], dimensions)])
    return treedef.unflatten(_reduce_program.bind(*flat, *inits, dimensions=dimensions, jaxpr=jaxpr))


def match_weak_scalar(init, x):
    """A Python scalar as an initial value of ``x``'s dtype, where promotion would give it that."""
    if type(init) in (bool, int, float, complex):
        aval, init_aval = get_aval(x), get_aval(init)
        if init_aval.dtype != aval.dtype and dtypes.lattice_result_type(aval, init)[0] == aval.dtype:
            return np.asarray(init).astype(aval.dtype)[()]
    return init


def _reduce_by(name: str, x, init, dimensions):
    params = {"axes": dimensions, "out_sharding": None} if name == "add" else {"axes": dimensions}
    out = registry[_REDUCTIONS[name]].bind(x, **params)
    return out if is_identity(name, init, get_aval(x).dtype) else registry[name].bind(init, out)


_REDUCTIONS = {
    "add": "reduce_sum", "mul": "reduce_prod", "max": "reduce_max", "min": "reduce_min", "and": "reduce_and",
    "or": "reduce_or", "xor": "reduce_xor",
}  # fmt: skip


def identity(name: str, dtype) -> Any:
    """The value that the operation leaves others unchanged with."""
    if name == "max":
        return lowest_value(dtype)
    if name == "min":
        return highest_value(dtype)
    if name == "and":
        return np.asarray(True) if dtype == np.bool_ else np.asarray(-1).astype(dtype)
    return np.asarray(1 if name == "mul" else 0).astype(dtype)


def is_identity(name: str, init, dtype) -> bool:
    """Whether ``init`` is known to be the identity of the operation."""
    value = init.concrete() if isinstance(init, Tracer) else init
    return value is not None and not isinstance(value, Tracer) and bool(np.asarray(value) == identity(name, dtype))


def monoid(jaxpr: ClosedJaxpr) -> str | None:
    """``"add"`` for a combiner that is just ``a + b``, and so on; None for all others."""
    eqns, invars = jaxpr.eqns, jaxpr.jaxpr.invars
    if len(eqns) != 1 or len(invars) != 2 or eqns[0].primitive.name not in _REDUCTIONS:
        return None
    operands = list(eqns[0].invars)
    if operands not in (invars, invars[::-1]) or jaxpr.jaxpr.outvars != eqns[0].outvars:
        return None
    return eqns[0].primitive.name


_traced: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def trace_combiner(name: str, computation: Callable, treedef, inits: Sequence[ShapedArray]) -> ClosedJaxpr:
    """The program of a function of two pytrees of scalars. Kept for as long as the function lives."""
    avals = tuple(ShapedArray((), a.dtype) for a in inits)
    key = (treedef, avals, current_context().trace_key)
    try:
        cache = _traced.setdefault(computation, {})
    except TypeError:  # not weakly referenceable or not hashable
        cache = {}
    if key not in cache:
        pair = tree.structure(((treedef.unflatten(avals),) * 2, {}))
        flat = FlatFunction(computation, pair)
        jaxpr, consts = trace_to_jaxpr(flat, (*avals, *avals), LazyDebugInfo(computation))
        if any(isinstance(c, Tracer) for c in consts):
            raise NotImplementedError(
                f"{name}: the computation uses a value that is being traced, from outside of it. It may use only its "
                "arguments and constants; compute with the traced value before or after."
            )
        if flat.out_tree != treedef:
            raise TypeError(
                f"{name}: the computation must return the structure of one of its arguments, {treedef}, got "
                f"{flat.out_tree}."
            )
        cache[key] = ClosedJaxpr(jaxpr, consts)
    return cache[key]


# ---------------------------------------------------------------------------------------------------------------------
# The reductions with a fixed operation


def reduce_sum(operand: Array, axes: Sequence[int], *, out_sharding=None) -> Array:
    """The sum over ``axes``; 0 over no elements.

    Args:
      operand: an array of numbers. Floats below 32 bits are summed in float32; integers wrap.
      axes: nonnegative dimensions.

    Returns:
      The operand's dtype, without the dimensions ``axes``.

    Raises:
      TypeError: for booleans.
      ValueError: if a dimension is out of bounds or given twice.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.reduce_sum(jnp.arange(6).reshape(2, 3), (0,)).tolist()
    [3, 5, 7]
    """
    if out_sharding is not None:
        return place(reduce_sum(operand, axes), out_sharding)
    return _reduce.reduce_sum.bind(
        _operand("reduce_sum", operand), axes=integers("reduce_sum", "axes", axes), out_sharding=None
    )


def reduce_prod(operand: Array, axes: Sequence[int]) -> Array:
    """The product over ``axes``; 1 over no elements.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.reduce_prod(jnp.array([2, 3, 4]), (0,))
    Array(24, dtype=int32)
    """
    return _reduce.reduce_prod.bind(_operand("reduce_prod", operand), axes=integers("reduce_prod", "axes", axes))


def reduce_max(operand: Array, axes: Sequence[int]) -> Array:
    """The maximum over ``axes``: nan if one is among the elements; 0 is greater than -0; -inf over no elements.

    Complex numbers are ordered by real, then imaginary part. The derivative is shared equally among equal maxima.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.reduce_max(jnp.array([[1., 5.], [3., 2.]]), (1,)).tolist()
    [5.0, 3.0]
    """
    return _reduce.reduce_max.bind(_operand("reduce_max", operand), axes=integers("reduce_max", "axes", axes))


def reduce_min(operand: Array, axes: Sequence[int]) -> Array:
    """The minimum over ``axes``: nan if one is among the elements; -0 is less than 0; inf over no elements.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.reduce_min(jnp.array([[1., 5.], [3., 2.]]), (1,)).tolist()
    [1.0, 2.0]
    """
    return _reduce.reduce_min.bind(_operand("reduce_min", operand), axes=integers("reduce_min", "axes", axes))


def reduce_and(operand: Array, axes: Sequence[int]) -> Array:
    """The bitwise and over ``axes`` of integers, the logical one of booleans.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.reduce_and(jnp.array([6, 3]), (0,))
    Array(2, dtype=int32)
    """
    return _reduce.reduce_and.bind(_operand("reduce_and", operand), axes=integers("reduce_and", "axes", axes))


def reduce_or(operand: Array, axes: Sequence[int]) -> Array:
    """The bitwise or over ``axes`` of integers, the logical one of booleans.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.reduce_or(jnp.array([6, 3]), (0,))
    Array(7, dtype=int32)
    """
    return _reduce.reduce_or.bind(_operand("reduce_or", operand), axes=integers("reduce_or", "axes", axes))


def reduce_xor(operand: Array, axes: Sequence[int]) -> Array:
    """The bitwise exclusive or over ``axes`` of integers; of booleans, whether an odd number are true.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.reduce_xor(jnp.array([6, 3]), (0,))
    Array(5, dtype=int32)
    """
    return _reduce.reduce_xor.bind(_operand("reduce_xor", operand), axes=integers("reduce_xor", "axes", axes))


def argmax(operand: Array, axis: int, index_dtype: Any) -> Array:
    """The first position of the maximum along ``axis``, or of the first nan if there is one.

    Args:
      operand: a real array with at least one element along ``axis``.
      axis: a nonnegative dimension.
      index_dtype: an integer dtype for the result.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.argmax(jnp.array([1., 7., 7.]), 0, jnp.int32)
    Array(1, dtype=int32)
    """
    return _arg("argmax", operand, axis, index_dtype)


def argmin(operand: Array, axis: int, index_dtype: Any) -> Array:
    """The first position of the minimum along ``axis``, or of the first nan if there is one.

    >>> from addax import lax
    >>> import addax.numpy as jnp
    >>> lax.argmin(jnp.array([1., 7., 0.]), 0, jnp.int32)
    Array(2, dtype=int32)
    """
    return _arg("argmin", operand, axis, index_dtype)


def _arg(name: str, x, axis, index_dtype):
    index_dtype = dtypes.canonicalize_user_dtype(index_dtype, name)
    return registry[name].bind(_operand(name, x), axes=(integer(name, "axis", axis),), index_dtype=index_dtype)


__all__ = [
    "argmax", "argmin", "reduce", "reduce_and", "reduce_max", "reduce_min", "reduce_or", "reduce_prod", "reduce_sum",
    "reduce_xor",
]  # fmt: skip
