"""Derivative rules of primitives, under the names that JAX's users register them by.

A rule is an attribute of its primitive; the tables here are views of those attributes, so that
``ad.primitive_jvps[p] = rule`` means ``p.jvp = rule``. How rules are called is written in docs/extend.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from addax.core.primitive import Primitive
from addax.interpreters.rule_tables import RuleTable
from addax.interpreters.values import (
    UndefinedPrimal as UndefinedPrimal,
    Zero as Zero,
    add_tangents as add_tangents,
    instantiate,
    is_linear,
    zeros,
)

# (primals, tangents, **params) -> (result, tangent of the result), lists if there are several results
primitive_jvps = RuleTable("jvp")
# (cotangent, *operands, **params) -> [cotangent, or None, per operand]; linear operands are `UndefinedPrimal`
primitive_transposes = RuleTable("transpose")

is_undefined_primal = is_linear
instantiate_zeros = instantiate
add_jaxvals = add_tangents
zeros_like_aval = zeros


def get_primitive_transpose(primitive: Primitive) -> Callable[..., Any]:
    """The transpose rule of a primitive.

    Raises:
      NotImplementedError: if it has none.
    """
    if primitive not in primitive_transposes:
        raise NotImplementedError(
            f"Transpose rule (for reverse-mode differentiation) for {primitive.name!r} not implemented"
        )
    return primitive_transposes[primitive]


def deflinear2(primitive: Primitive, transpose_rule: Callable[..., Any]) -> None:
    """A primitive that is linear in all operands together: its derivative is itself.

    Args:
      transpose_rule: ``(cotangent, *operands, **params) -> [cotangent per operand]``.
    """

    def jvp(primals, tangents, **params):
        out = primitive.bind(*primals, **params)
        if all(type(t) is Zero for t in tangents):
            return out, [Zero.of(x) for x in out] if primitive.multiple_results else Zero.of(out)
        return out, primitive.bind(*map(instantiate, tangents), **params)

    primitive.jvp, primitive.transpose = jvp, transpose_rule


def deflinear(primitive: Primitive, transpose_rule: Callable[..., Any]) -> None:
    """Like `deflinear2`, with a rule that needs no operands: ``(cotangent, **params) -> [cotangent per operand]``."""
    deflinear2(primitive, lambda ct, *_, **params: transpose_rule(ct, **params))


def defjvp2(primitive: Primitive, *rules: Callable[..., Any] | None) -> None:
    """The derivative of a primitive with one result as a sum over its operands.

    Args:
      rules: per operand ``(tangent, result, *primals, **params) -> its part of the tangent of the result``, or None where
        the derivative is zero.
    """

    def jvp(primals, tangents, **params):
        out = primitive.bind(*primals, **params)
        total: Any = Zero.of(out)
        for rule, t in zip(rules, tangents, strict=True):
            if rule is not None and type(t) is not Zero:
                total = add_tangents(total, rule(t, out, *primals, **params))
        return out, total

    primitive.jvp = jvp


def defjvp(primitive: Primitive, *rules: Callable[..., Any] | None) -> None:
    """Like `defjvp2`, with rules that do not need the result: ``(tangent, *primals, **params) -> its part``."""
    defjvp2(primitive, *(rule and _without_result(rule) for rule in rules))


def _without_result(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda t, _, *primals, **params: rule(t, *primals, **params)


def defbilinear(primitive: Primitive, lhs_rule: Callable[..., Any], rhs_rule: Callable[..., Any]) -> None:
    """A product: linear in each of its two operands.

    Args:
      lhs_rule, rhs_rule: the cotangent of that operand, ``(cotangent, x, y, **params) -> array``, where the operand
        itself is an `UndefinedPrimal`.
    """

    def transpose(ct, x, y, **params) -> Sequence[Any]:
        if is_linear(x):
            return [lhs_rule(ct, x, y, **params), None]
        return [None, rhs_rule(ct, x, y, **params)]

    defjvp(
        primitive,
        lambda t, x, y, **params: primitive.bind(t, y, **params),
        lambda t, x, y, **params: primitive.bind(x, t, **params),
    )
    primitive.transpose = transpose
