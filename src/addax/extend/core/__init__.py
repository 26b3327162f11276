"""What a program is, for code that reads, makes and runs programs; and `Primitive`, for instructions of one's own.

>>> import addax, addax.numpy as jnp
>>> from addax.extend.core import jaxpr_as_fun
>>> closed = addax.make_jaxpr(lambda x: jnp.sin(x) * 2)(1.0)
>>> [eqn.primitive.name for eqn in closed.eqns], closed.in_avals
(['sin', 'mul'], [ShapedArray(float32[], weak_type=True)])
>>> [float(x) for x in jaxpr_as_fun(closed)(0.0)]
[0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core.avals import AbstractToken as AbstractToken, ShapedArray, is_valid_type as valid_jaxtype
from addax.core.checker import check_jaxpr as check_jaxpr
from addax.core.errors import ConcretizationTypeError, JaxprTypeError as JaxprTypeError
from addax.core.jaxpr import (
    ClosedJaxpr as ClosedJaxpr,
    DebugInfo as DebugInfo,
    DropVar as DropVar,
    Jaxpr as Jaxpr,
    JaxprEqn as JaxprEqn,
    Literal as Literal,
    Var as Var,
    eval_jaxpr as _eval_jaxpr,
    subjaxprs as _subjaxprs,
)
from addax.core.primitive import no_effects as no_effects
from addax.core.symbolic import InconclusiveDimensionOperation as InconclusiveDimensionOperation
from addax.core.trace import Tracer, set_current_trace as set_current_trace
from addax.extend.core import primitives as primitives
from addax.extend.core.definitions import Primitive as Primitive

# What arrays are, besides tracers and Python numbers.
array_types: set[type] = {_native.Array, np.ndarray, np.generic}


def jaxpr_as_fun(closed_jaxpr: ClosedJaxpr) -> Callable[..., list]:
    """A program as a function of its flat arguments, which returns the list of its results."""
    return lambda *args: _eval_jaxpr(closed_jaxpr.jaxpr, closed_jaxpr.consts, *args)


def jaxprs_in_params(params: dict[str, Any]) -> Iterable[Jaxpr]:
    """The programs among the parameters of an equation."""
    return _subjaxprs(params)


def subjaxprs(jaxpr: Jaxpr) -> Iterable[Jaxpr]:
    """The programs in the equations of a program."""
    for eqn in jaxpr.eqns:
        yield from _subjaxprs(eqn.params)


def new_jaxpr_eqn(
    invars: Sequence, outvars: Sequence, primitive, params: dict[str, Any], effects: frozenset = no_effects,
    source_info: Any = None, ctx: Any = None,
) -> JaxprEqn:  # fmt: skip
    """An equation ``outvars = primitive[params] invars``."""
    source = None if source_info is None else (source_info.code, source_info.lasti)
    return JaxprEqn(primitive, list(invars), list(outvars), params, effects, source)


def gensym(suffix: str = "") -> Callable[[Any], Var]:
    """A function that makes a new variable of a type. Names are given when a program prints, so ``suffix`` has no effect."""
    return Var


def mapped_aval(size: int, axis: int | None, aval: ShapedArray) -> ShapedArray:
    """The type of one example of a batch."""
    if axis is None:
        return aval
    assert aval.shape[axis] == size, (aval, axis, size)
    return aval.update(shape=aval.shape[:axis] + aval.shape[axis + 1 :])


def unmapped_aval(size: int, axis: int | None, aval: ShapedArray) -> ShapedArray:
    """The type of a batch of ``size`` examples, numbered by the new dimension ``axis``."""
    return aval if axis is None else aval.update(shape=(*aval.shape[:axis], size, *aval.shape[axis:]))


def primal_dtype_to_tangent_dtype(primal_dtype: Any) -> Any:
    """The dtype of the tangents of values of a dtype: itself if it is inexact, else ``float0``."""
    return ShapedArray((), primal_dtype).to_tangent().dtype


def concrete_or_error(force: Any, val: Any, context: str = "") -> Any:
    """``force(val)``, if ``val`` is known while tracing.

    Raises:
      ConcretizationTypeError: if it is not.
    """
    if isinstance(val, Tracer):
        known = val.concrete()
        if known is None:
            raise ConcretizationTypeError(val, context)
        val = known
    return val if force is None else force(val)


__all__ = [
    "AbstractToken", "ClosedJaxpr", "DebugInfo", "DropVar", "InconclusiveDimensionOperation", "Jaxpr", "JaxprEqn",
    "JaxprTypeError", "Literal", "Primitive", "Var", "array_types", "check_jaxpr", "concrete_or_error", "gensym",
    "jaxpr_as_fun", "jaxprs_in_params", "mapped_aval", "new_jaxpr_eqn", "no_effects", "primal_dtype_to_tangent_dtype",
    "primitives", "set_current_trace", "subjaxprs", "unmapped_aval", "valid_jaxtype",
]  # fmt: skip
