"""Evaluating a jaxpr with NumPy: every primitive by its ``reference``, control flow by Python's own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from addax.core.jaxpr import ClosedJaxpr, Eqn, Literal
from addax.core.primitive import Refusal


def storage_dtype(aval) -> np.dtype:
    """The NumPy dtype that holds values of a type: PRNG keys are 64-bit words."""
    return aval.dtype if isinstance(aval.dtype, np.dtype) else np.dtype(np.uint64)


class _Observer(threading.local):
    look: Callable[[Eqn, Sequence], None] | None = None


_observer = _Observer()


@contextlib.contextmanager
def observing(look: Callable[[Eqn, Sequence], None]) -> Iterator[None]:
    """Within the block, ``look(equation, results)`` is called after each equation, those of inner programs first."""
    previous, _observer.look = _observer.look, look
    try:
        yield
    finally:
        _observer.look = previous


def evaluate(closed: ClosedJaxpr, args: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The results of a program on NumPy arrays.

    Raises:
      NotImplementedError: naming a primitive without a NumPy definition, and the user's line.
    """
    jaxpr = closed.jaxpr
    env: dict[Any, np.ndarray] = {}
    for v, c in zip(jaxpr.constvars, closed.consts, strict=True):
        env[v] = np.asarray(getattr(c, "_value", c), storage_dtype(v.aval))
    for v, x in zip(jaxpr.invars, args, strict=True):
        env[v] = np.asarray(x, storage_dtype(v.aval))

    def read(x) -> np.ndarray:
        return np.asarray(x.val, storage_dtype(x.aval)) if type(x) is Literal else env[x]

    with np.errstate(all="ignore"):
        for eqn in jaxpr.eqns:
            outs = apply(eqn, [read(x) for x in eqn.invars])
            if _observer.look is not None:
                _observer.look(eqn, outs)
            for v, y in zip(eqn.outvars, outs, strict=True):
                env[v] = np.asarray(y, storage_dtype(v.aval)) if hasattr(v.aval, "dtype") else y
    return [read(x) for x in jaxpr.outvars]


def apply(eqn: Eqn, values: list[np.ndarray]) -> Sequence[np.ndarray]:
    """The results of one equation."""
    primitive = eqn.primitive
    rule = CONTROL.get(primitive.name)
    if rule is not None:
        return rule(values, **eqn.params)
    if primitive.expand is not None:
        return evaluate(primitive.expand(*[x.aval for x in eqn.invars], **eqn.params), values)
    if isinstance(primitive.reference, Refusal):
        where = f"\n  in {eqn.source_info}" if eqn.source is not None else ""
        raise NotImplementedError(f"{primitive} has no NumPy definition{where}")
    out = primitive.reference(*values, **eqn.params)
    return out if primitive.multiple_results else [out]


def _while(values, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts, **_):
    n = cond_nconsts + body_nconsts
    cond_consts, body_consts, carry = values[:cond_nconsts], values[cond_nconsts:n], values[n:]
    while bool(evaluate(cond_jaxpr, [*cond_consts, *carry])[0]):
        carry = evaluate(body_jaxpr, [*body_consts, *carry])
    return carry


def _cond(values, *, branches, **_):
    index, *args = values
    return evaluate(branches[min(max(int(index), 0), len(branches) - 1)], args)


def _scan(values, *, jaxpr, length, num_consts, num_carry, reverse=False, **_):
    n = num_consts + num_carry
    consts, carry, xs = values[:num_consts], values[num_consts:n], values[n:]
    n_ys = len(jaxpr.out_avals) - num_carry
    rows: list[list] = [[None] * length for _ in range(n_ys)]
    for i in reversed(range(length)) if reverse else range(length):
        outs = evaluate(jaxpr, [*consts, *carry, *(x[i] for x in xs)])
        carry = outs[:num_carry]
        for column, y in zip(rows, outs[num_carry:], strict=True):
            column[i] = y
    stacked = []
    for column, aval in zip(rows, jaxpr.out_avals[num_carry:], strict=True):
        empty = np.zeros((0, *aval.shape), storage_dtype(aval))
        stacked.append(np.stack(column) if column else empty)
    return [*carry, *stacked]


CONTROL: dict[str, Callable[..., Any]] = {"while": _while, "cond": _cond, "scan": _scan}
