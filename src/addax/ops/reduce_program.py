"""``reduce``: fold several arrays together with any associative program; see `scalar_program` for what that is.

Over no dimensions it gives its operands as they are, whatever the initial values, as XLA does.
"""

from __future__ import annotations

import math

import numpy as np

from addax.core.jaxpr import ClosedJaxpr
from addax.core.trace import current_trace
from addax.interpreters.jvp import jvp_flat
from addax.ops.reduce import check_reduced, kept_dims, without
from addax.ops.rules import Refusal, Zero, broadcast_in_dim, primitive, reshape, shape_of, to_front, transpose
from addax.ops.scalar_program import check_combiner, fold, fold_reference


def _reduce_type(*args, dimensions, jaxpr: ClosedJaxpr):
    n = len(args) // 2
    operands, inits = args[:n], args[n:]
    check_combiner("reduce", jaxpr, operands, inits)
    check_reduced("reduce", operands[0], dimensions)
    shape = without(operands[0].shape, dimensions)
    return [x.update(shape=shape, weak_type=x.weak_type and i.weak_type) for x, i in zip(operands, inits, strict=True)]


def _in_primitives(args, dimensions, jaxpr):
    """The reduction as pairwise combinations of slices: for differentiation, and for batched initial values."""
    n = len(args) // 2
    if not dimensions:
        return list(args[:n])
    shape = shape_of(args[0])
    kept = kept_dims(len(shape), dimensions)
    out_shape = tuple(shape[d] for d in kept)
    rows = math.prod(shape[d] for d in dimensions)
    flat = [reshape(transpose(x, (*dimensions, *kept)), (rows, math.prod(out_shape))) for x in args[:n]]
    return [reshape(x, out_shape) for x in fold(jaxpr, flat, args[n:])]


def _reduce_jvp(primals, tangents, *, dimensions, jaxpr):
    if all(type(t) is Zero for t in tangents):
        outs = reduce.bind(*primals, dimensions=dimensions, jaxpr=jaxpr)
        return outs, [Zero.of(x) for x in outs]
    return jvp_flat(lambda *args: _in_primitives(args, dimensions, jaxpr), primals, tangents, current_trace())


def _reduce_batch(axis, args, dims, *, dimensions, jaxpr):
    n = len(args) // 2
    inits, init_dims = args[n:], dims[n:]
    if not dimensions:
        return args[:n], dims[:n]
    moved = tuple(d + 1 for d in dimensions)
    operands = [to_front(x, d, axis.size) for x, d in zip(args[:n], dims[:n], strict=True)]
    if all(d is None for d in init_dims):
        outs = reduce.bind(*operands, *inits, dimensions=moved, jaxpr=jaxpr)
        return outs, [0] * n
    # One initial value per example: to each it is one more element, which stands before the others.
    shape = shape_of(operands[0])
    kept = kept_dims(len(shape), moved)
    rows, out_shape = math.prod(shape[d] for d in moved), tuple(shape[d] for d in kept)
    columns = math.prod(out_shape)
    flat = [reshape(transpose(x, (*moved, *kept)), (rows, columns)) for x in operands]
    starts = [
        reshape(_repeat(to_front(i, d, axis.size), columns // max(axis.size, 1)), (columns,))
        for i, d in zip(inits, init_dims, strict=True)
    ]
    return [reshape(x, out_shape) for x in fold(jaxpr, flat, starts)], [0] * n


def _repeat(x, count: int):

    return broadcast_in_dim(x, (shape_of(x)[0], count), (0,))


def _reduce_reference(*args, dimensions, jaxpr):
    n = len(args) // 2
    if not dimensions:
        return [x.copy() for x in args[:n]]
    shape = args[0].shape
    kept = kept_dims(len(shape), dimensions)
    rows, out_shape = math.prod(shape[d] for d in dimensions), tuple(shape[d] for d in kept)
    flat = [np.transpose(x, (*dimensions, *kept)).reshape(rows, *out_shape) for x in args[:n]]
    return [np.array(out, x.dtype) for out, x in zip(fold_reference(jaxpr, flat, args[n:]), args[:n], strict=True)]


reduce = primitive(
    "reduce",
    _reduce_type,
    jvp=_reduce_jvp,
    transpose=Refusal("reduce is not linear, so it has no transpose: its derivative is made of other primitives"),
    batch=_reduce_batch,
    reference=_reduce_reference,
    multiple_results=True,
)

__all__ = ["reduce"]
