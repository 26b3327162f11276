"""Programs on scalars that combine two values, applied to whole arrays: what ``reduce`` and ``reduce_window`` fold by.

A combiner of N values is a jaxpr of 2N scalar arguments and N scalar results: ``(a_1..a_N, b_1..b_N) -> c_1..c_N``.
It should be associative; the order of the operands is kept, how they are grouped is not defined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.jaxpr import ClosedJaxpr, Eqn, bind_equation, eval_jaxpr, interpret, subjaxprs
from addax.interpreters.batching import batch_jaxpr
from addax.ops.rules import Axis, Elementwise, broadcast_to, registry, reshape, shape_of

# Primitives besides the elementwise family whose NumPy definitions map over arrays of any shape.
_MAPPING = frozenset({"convert_element_type", "select_n", "clamp", "copy", "stop_gradient"})


def check_combiner(
    name: str, jaxpr: ClosedJaxpr, operands: Sequence[ShapedArray], inits: Sequence[ShapedArray]
) -> None:
    """Check operands of equal shapes, their initial values, and the program that combines two values of each to one.

    Raises:
      TypeError, ValueError: for those that do not fit.
    """
    if not operands:
        raise TypeError(f"{name} takes at least one operand and one initial value, got none.")
    if len(operands) != len(inits):
        raise TypeError(
            f"{name} takes one initial value per operand, got {len(operands)} operands, {len(inits)} values."
        )
    for x, init in zip(operands, inits, strict=True):
        if init.shape:
            raise ValueError(f"{name} found non-scalar initial value: {[i.shape for i in inits]}")
        if x.dtype != init.dtype:
            raise TypeError(
                f"{name} operand dtypes should match corresponding initial value dtypes, got operands="
                f"{list(operands)} and initial_values={list(inits)}"
            )
    shapes = [x.shape for x in operands]
    if any(s != shapes[0] for s in shapes):
        raise TypeError(f"{name} operands must have equal shapes, got {', '.join(map(str, shapes))}.")
    wanted = [x.dtype for x in operands]
    got = [a.dtype for a in jaxpr.out_avals]
    if got != wanted or any(a.shape for a in jaxpr.out_avals):
        shown = [a.str_short(short_dtypes=False) for a in jaxpr.out_avals]
        raise TypeError(
            f"{name}: the computation must return one scalar for each operand, of its dtype: expected "
            f"{[dtypes.dtype_name(d) for d in wanted]}, got {shown}."
        )


def map_program(jaxpr: ClosedJaxpr, args: Sequence) -> list:
    """Apply a program on scalars to the elements of arrays of one shape, in primitives."""
    shape = shape_of(args[0])
    size = math.prod(shape)
    batched, out_batched = batch_jaxpr(jaxpr, Axis(size), [True] * len(args))
    outs = eval_jaxpr(batched.jaxpr, batched.consts, *(reshape(x, (size,)) for x in args))
    return [reshape(x, shape) if b else broadcast_to(x, shape) for x, b in zip(outs, out_batched, strict=True)]


def map_reference(jaxpr: ClosedJaxpr, args: Sequence[np.ndarray]) -> list[np.ndarray]:
    """`map_program` in NumPy."""
    shape = args[0].shape
    if all(isinstance(e.primitive, Elementwise) or e.primitive.name in _MAPPING for e in jaxpr.eqns):
        return [np.broadcast_to(x, shape) for x in _run(jaxpr, args)]
    size = math.prod(shape)
    batched, _ = batch_jaxpr(jaxpr, Axis(size), [True] * len(args), force_batched=True)
    return [np.reshape(x, shape) for x in _run(batched, [np.reshape(x, (size,)) for x in args])]


def _run(closed: ClosedJaxpr, args: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Interpret a program by the NumPy definitions of its primitives."""
    outs = interpret(closed.jaxpr, closed.consts, args, _by_definition)
    return [np.asarray(x, a.dtype) for x, a in zip(outs, closed.out_avals, strict=True)]


def _by_definition(eqn: Eqn, operands: list) -> Sequence[np.ndarray]:
    p, values = eqn.primitive, [np.asarray(x, v.aval.dtype) for x, v in zip(operands, eqn.invars, strict=True)]
    if p.name == "jit":
        return _run(eqn.params["jaxpr"], values)
    if isinstance(p, Elementwise) or not any(True for _ in subjaxprs(eqn.params)):
        outs = p.reference(*values, **eqn.params)
        return outs if p.multiple_results else [outs]
    return [np.asarray(x) for x in bind_equation(eqn, values)]  # control flow and custom rules: run by the engine


def fold(jaxpr: ClosedJaxpr, operands: Sequence, inits: Sequence) -> list:
    """Combine the rows of operands of shape ``[n, m]`` and the initial values to results ``[m]``, in primitives."""
    xs = list(operands)
    n, m = shape_of(xs[0])
    while n > 1:
        pairs = n // 2
        ends = [_rows(x, 0, 2 * pairs, 2) for x in xs] + [_rows(x, 1, 2 * pairs, 2) for x in xs]
        combined = map_program(jaxpr, ends)
        if n % 2:
            combined = [
                registry["concatenate"].bind(c, _rows(x, n - 1, n, 1), dimension=0)
                for c, x in zip(combined, xs, strict=True)
            ]
        xs, n = combined, pairs + n % 2
    starts = [broadcast_to(i, (m,)) for i in inits]
    return map_program(jaxpr, [*starts, *(reshape(x, (m,)) for x in xs)]) if n else starts


def _rows(x, start: int, limit: int, stride: int):
    return registry["slice"].bind(
        x, start_indices=(start, 0), limit_indices=(limit, shape_of(x)[1]), strides=(stride, 1)
    )


def fold_reference(jaxpr: ClosedJaxpr, operands: Sequence[np.ndarray], inits: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Combine the rows of operands of shape ``[n, ...]`` and the initial values to results ``[...]``, in NumPy."""
    xs = list(operands)
    n = xs[0].shape[0]
    while n > 1:
        pairs = n // 2
        combined = map_reference(jaxpr, [x[0 : 2 * pairs : 2] for x in xs] + [x[1 : 2 * pairs : 2] for x in xs])
        if n % 2:
            combined = [np.concatenate([c, x[-1:]]) for c, x in zip(combined, xs, strict=True)]
        xs, n = combined, pairs + n % 2
    shape = operands[0].shape[1:]
    starts = [np.broadcast_to(i, shape) for i in inits]
    return map_reference(jaxpr, [*starts, *(x[0] for x in xs)]) if n else [x.copy() for x in starts]


__all__ = ["check_combiner", "fold", "fold_reference", "map_program", "map_reference"]
