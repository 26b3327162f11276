"""Batching rules of primitives, under the names that JAX's users register them by; see ad.py. Public as
`addax.interpreters.batching`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from addax.core.primitive import Primitive
from addax.interpreters.rule_tables import RuleTable
from addax.interpreters.values import Axis, broadcast_in_dim, move_axis, shape_of, to_front

not_mapped = None


class _WithoutAxis:
    """A rule that finds the size of the batch in its arguments: ``(args, dims, **params) -> (outs, out_dims)``."""

    def __init__(self, rule: Callable[..., Any]):
        self.rule = rule

    def __call__(self, axis: Axis, args: Sequence[Any], dims: Sequence[int | None], **params):
        return self.rule(tuple(args), tuple(dims), **params)


def _registered(primitive: Primitive):
    rule = primitive.batch
    if isinstance(rule, _WithoutAxis):
        return rule.rule

    def batch(args, dims, **params):
        size = next(shape_of(x)[d] for x, d in zip(args, dims, strict=True) if d is not None)
        return rule(Axis(size), args, dims, **params)

    return batch


# (args, dims, **params) -> (outs, out_dims); dims are numbers of dimensions, or None for what is not batched
primitive_batchers = RuleTable("batch", _WithoutAxis, _registered)
# the same with the axis, which has a size and a name, in front
fancy_primitive_batchers = RuleTable("batch")


def defvectorized(primitive: Primitive) -> None:
    """A primitive that acts on each element of its one operand, so that a batch is just one more dimension."""
    primitive_batchers[primitive] = lambda args, dims, **params: (primitive.bind(*args, **params), dims[0])


def defbroadcasting(primitive: Primitive) -> None:
    """A primitive that acts on elements of several operands of equal shapes."""

    def batch(args, dims, **params):
        size = next(shape_of(x)[d] for x, d in zip(args, dims, strict=True) if d is not None)
        if len(set(dims)) == 1:
            return primitive.bind(*args, **params), dims[0]
        return primitive.bind(*(to_front(x, d, size) for x, d in zip(args, dims, strict=True)), **params), 0

    primitive_batchers[primitive] = batch


def defreducer(primitive: Primitive, ident: Any = None) -> None:
    """A primitive that reduces the dimensions ``axes`` of its one operand away."""

    def batch(args, dims, *, axes, **params):
        (x,), (d,) = args, dims
        moved = tuple(a + (a >= d) for a in axes)
        return primitive.bind(x, axes=moved, **params), d - sum(a < d for a in moved)

    primitive_batchers[primitive] = batch


def bdim_at_front(x: Any, bdim: int | None, size: int) -> Any:
    """``x`` with its batch dimension first; repeated ``size`` times if it has none."""
    return to_front(x, bdim, size)


def broadcast(x: Any, size: int, axis: int) -> Any:
    """``x`` repeated ``size`` times along a new dimension ``axis``."""
    shape = list(shape_of(x))
    kept = [i + (i >= axis) for i in range(len(shape))]
    shape.insert(axis, size)
    return broadcast_in_dim(x, shape, kept)


def moveaxis(x: Any, src: int, dst: int) -> Any:
    """``x`` with dimension ``src`` moved to ``dst``."""
    return move_axis(x, src, dst)


__all__ = [
    "bdim_at_front", "broadcast", "defbroadcasting", "defreducer", "defvectorized", "fancy_primitive_batchers", "moveaxis",
    "not_mapped", "primitive_batchers",
]  # fmt: skip
