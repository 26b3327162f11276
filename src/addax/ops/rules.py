"""What the rules of primitives are made of: symbolic zeros, shape helpers, and the constructors of the op families.

How the rules are called (the contract between ``ops`` and ``transforms``):

* ``jvp(primals, tangents, **params) -> (out, tangent_out)``. A tangent is an array of the primal's tangent type or a
  symbolic `Zero`. The rule binds what it needs under the current trace; it never asks which trace that is.
* ``transpose(ct, *args, **params) -> [ct or None per argument]``. Arguments that are linear arrive as `UndefinedPrimal`
  (only their aval is known), the others as values. ``ct`` may be `Zero` only for primitives with several results.
* ``batch(axis, args, dims, **params) -> (out, dim)``, where ``axis`` has ``.size`` and ``.name`` and each entry of
  ``dims`` is the batch dimension of that argument or None. Lists for primitives with several results.
* ``partial_eval(split, args, unknown, **params) -> outs``, for primitives that contain programs: cuts the equation in two
  with ``split.run_now`` and ``split.write_later``; ``unknown`` says which arguments belong to the later program.
* ``reference(*ndarrays, **params) -> ndarray`` (a list for several results): the definition, in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.primitive import Primitive, Refusal as Refusal, registry
from addax.interpreters.values import *  # noqa: F403
from addax.interpreters.values import (
    SCALARS,
    Axis,
    Zero,
    broadcast_to,
    expand_dims,
    instantiate,
    is_linear,
    move_axis,
    reshape,
    scalar_of,
    shape_of,
    unbroadcast,
)

# ---------------------------------------------------------------------------------------------------------------------
# Elementwise family

BOOL, SIGNED, UNSIGNED, FLOATING, COMPLEX = (
    np.bool_, np.signedinteger, np.unsignedinteger, np.floating, np.complexfloating,
)  # fmt: skip
INTEGER = (np.integer,)
REAL = (np.integer, FLOATING)
INEXACT = (FLOATING, COMPLEX)
NUMERIC = (np.integer, FLOATING, COMPLEX)
ANY = (*NUMERIC, BOOL)
BITS = (np.integer, BOOL)


def broadcast_shapes(name: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The common shape of elementwise operands: equal ranks whose 1s stretch, and scalars."""
    first = shapes[0]
    for s in shapes:
        if s != first:
            break
    else:
        return first
    ranked = [s for s in shapes if s]
    if len({len(s) for s in ranked}) > 1:
        raise TypeError(f"{name}: arrays must have same number of dimensions, got {', '.join(map(str, shapes))}.")
    out = []
    for sizes in zip(*ranked, strict=True):
        big = {d for d in sizes if d != 1}
        if len(big) > 1:
            raise TypeError(f"{name} got incompatible shapes for broadcasting: {', '.join(map(str, shapes))}.")
        out.append(big.pop() if big else 1)
    return tuple(out)


def scalar_like(value, array):
    """A Python scalar as a scalar of the dtype of ``array``, weakly typed if ``array`` is."""
    return scalar_of(value, get_aval(array))


class Elementwise(Primitive):
    """A primitive that maps scalars over equally shaped (or size-1, or rank-0) operands.

    Args:
      accepts: per operand the kinds of dtype it takes, or one tuple of kinds for all, which must then agree.
      result: ``(*dtypes, **params) -> dtype``; by default the dtype of the first operand.
      numpy_name: the function of ``addax.numpy`` that promotes its arguments, for the error message, or None.
    """

    def __init__(
        self,
        name: str,
        accepts: tuple,
        arity: int = 1,
        result: Callable[..., Any] | None = None,
        numpy_name: str | None = "",
    ):
        super().__init__(name)
        self.accepts, self.arity, self.result = accepts, arity, result
        self.numpy_name = name if numpy_name == "" else numpy_name
        self.abstract_eval = self._type
        self.batch = self._batch

    def __call__(self, *args, **params):
        """Bind, after giving Python scalars the dtype of the other operands (for use inside rules)."""
        array = next((x for x in args if type(x) not in SCALARS), None)
        if array is not None:
            args = tuple(scalar_like(x, array) if type(x) in SCALARS else x for x in args)
        else:  # eagerly, operands may be Python scalars themselves: 2 * 0.5 is a product of floats
            kind = SCALARS[max(SCALARS.index(type(x)) for x in args)]
            args = tuple(map(kind, args))
        return self.bind(*args, **params)

    def _type(self, *avals, **params):
        if len(avals) != self.arity:
            raise TypeError(f"{self.name} takes {self.arity} operands, got {len(avals)}")
        per_operand = isinstance(self.accepts[0], tuple)
        kinds = self.accepts if per_operand else (self.accepts,) * self.arity
        for i, (aval, accepted) in enumerate(zip(avals, kinds, strict=True)):
            if not any(dtypes.issubdtype(aval.dtype, k) for k in accepted):
                names = ", ".join(k.__name__ for k in accepted)
                where = f" at position {i}" if self.arity > 1 else ""
                raise TypeError(
                    f"{self.name} does not accept dtype {dtypes.dtype_name(aval.dtype)}{where}. "
                    f"Accepted dtypes{where} are subtypes of {names}."
                )
        if not per_operand and any(a.dtype != avals[0].dtype for a in avals):
            tip = (
                f" (Tip: addax.numpy.{self.numpy_name} is a similar function that does automatic type promotion "
                "on inputs)."
            )
            raise TypeError(
                f"lax.{self.name} requires arguments to have the same dtypes, got "
                f"{', '.join(dtypes.dtype_name(a.dtype) for a in avals)}.{tip if self.numpy_name else ''}"
            )
        shape = broadcast_shapes(self.name, [a.shape for a in avals])
        dtype = avals[0].dtype if self.result is None else self.result(*(a.dtype for a in avals), **params)
        weak = dtype != np.bool_ and all(a.weak_type for a in avals)
        return ShapedArray(shape, dtype, weak)

    def _batch(self, axis: Axis, args, dims, **params):
        rank = max(len(shape_of(x)) - (d is not None) for x, d in zip(args, dims, strict=True))
        batched = {d for x, d in zip(args, dims, strict=True) if d is not None}
        if len(batched) == 1 and all(
            (d is not None and len(x.shape) == rank + 1) or (d is None and not shape_of(x))
            for x, d in zip(args, dims, strict=True)
        ):
            return self.bind(*args, **params), batched.pop()
        moved = []
        for x, d in zip(args, dims, strict=True):
            if d is None:
                if shape_of(x):
                    x = expand_dims(x, (0,))
            else:
                x = move_axis(x, d, 0)
                if len(x.shape) <= rank:  # a batch of scalars among arrays
                    x = reshape(x, (axis.size, *(1,) * rank))
            moved.append(x)
        return self.bind(*moved, **params), 0

    def derivative(self, *partials: Callable[..., Any] | None) -> Elementwise:
        """Declare the jvp: for each operand ``(t, out, *operands, **params) -> its part of the tangent``, or None."""

        def jvp(primals, tangents, **params):
            out = self.bind(*primals, **params)
            total: Any = None
            for t, partial in zip(tangents, partials, strict=True):
                if type(t) is Zero or partial is None:
                    continue
                term = broadcast_to(partial(t, out, *primals, **params), shape_of(out))
                total = term if total is None else registry["add_any"].bind(total, term)
            return out, Zero.of(out) if total is None else total

        self.jvp = jvp
        return self

    def not_differentiable(self) -> Elementwise:
        """The derivative is zero wherever it exists (``floor``) or the result is not real (``eq``)."""

        def jvp(primals, tangents, **params):
            out = self.bind(*primals, **params)
            return out, Zero.of(out)

        self.jvp = jvp
        return self

    def linear(self, *transposes: Callable[..., Any]) -> Elementwise:
        """Declare the transpose: per operand ``(ct, *operands, **params) -> its cotangent``, not yet unbroadcast."""

        def rule(ct, *args, **params):
            return [
                unbroadcast(f(ct, *args, **params), x.aval) if is_linear(x) else None
                for f, x in zip(transposes, args, strict=True)
            ]

        self.transpose = rule
        return self


def to_bool(*_, **__):
    return np.dtype(np.bool_)


def elementwise(name: str, accepts: tuple, arity: int = 1, result=None, numpy_name: str | None = "") -> Elementwise:
    return Elementwise(name, accepts, arity, result, numpy_name)


# ---------------------------------------------------------------------------------------------------------------------
# Structural family


_OTHER_RULES = frozenset(
    {"transpose", "batch", "reference", "effects", "partial_eval", "expand", "varying", "scope", "notation"}
)


def primitive(name: str, type_rule, *, jvp=None, multiple_results=False, cache_types=True, **rules) -> Primitive:
    """A primitive with its rules spelled out, in the same order every time. See `Primitive` for what they are.

    Args:
      jvp: a rule, or `LINEAR`, or `ZERO_DERIVATIVE`.
      rules: transpose, batch, reference, effects, partial_eval, expand, varying, scope, notation; None for none.
    """
    p = Primitive(name, multiple_results, cache_types)
    p.abstract_eval = type_rule
    if jvp is not None:
        p.jvp = linear_jvp(p) if jvp is LINEAR else zero_jvp(p) if jvp is ZERO_DERIVATIVE else jvp
    for rule, value in rules.items():
        if rule not in _OTHER_RULES:
            raise TypeError(f"{name}: primitives have no rule {rule!r}")
        if value is not None:
            setattr(p, rule, value)
    return p


def program_primitive(name: str, type_rule, **rules) -> Primitive:
    """A `primitive` that contains programs: it has several results, and its types are those of the programs."""
    return primitive(name, type_rule, multiple_results=True, cache_types=False, **rules)


LINEAR = object()  # jvp: the primitive itself, applied to the tangents; all array operands are linear
ZERO_DERIVATIVE = object()  # jvp: the result does not depend smoothly on the operands


def linear_jvp(p: Primitive):
    def jvp(primals, tangents, **params):
        out = p.bind(*primals, **params)
        if all(type(t) is Zero for t in tangents):
            zero = [Zero.of(o) for o in out] if p.multiple_results else Zero.of(out)
            return out, zero
        return out, p.bind(*(instantiate(t) for t in tangents), **params)

    return jvp


def zero_jvp(p: Primitive):
    def jvp(primals, tangents, **params):
        out = p.bind(*primals, **params)
        return out, [Zero.of(o) for o in out] if p.multiple_results else Zero.of(out)

    return jvp


def first_linear_jvp(p: Primitive, n: int = 1):
    """jvp of a primitive that is linear in its first ``n`` operands and constant in the rest (indices)."""

    def jvp(primals, tangents, **params):
        out = p.bind(*primals, **params)
        if all(type(t) is Zero for t in tangents[:n]):
            return out, [Zero.of(o) for o in out] if p.multiple_results else Zero.of(out)
        return out, p.bind(*(instantiate(t) for t in tangents[:n]), *primals[n:], **params)

    return jvp
