"""Batching: `BatchTrace` gives every primitive one more dimension.

A tracer holds the whole batch and says which dimension it is. Primitives that touch no batched value are bound
unbatched, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from addax.core.avals import get_aval
from addax.core.axis_env import extend_axis_env
from addax.core.builder import trace_to_jaxpr
from addax.core.config import current_context
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr, subjaxprs
from addax.core.leaks import check_leaks
from addax.core.source_info import naming
from addax.core.trace import Trace, Tracer, check_alive, current_trace, swap_trace
from addax.interpreters.values import Axis, every, to_front


def unbatched_aval(aval, dim: int):
    return aval.update(shape=aval.shape[:dim] + aval.shape[dim + 1 :])


class BatchTracer(Tracer):
    """One example of a batch, to the function being mapped."""

    __slots__ = ("dim", "val")

    def __init__(self, trace: BatchTrace, val, dim: int):
        self._trace, self.val, self.dim = trace, val, dim
        self.aval = unbatched_aval(get_aval(val), dim)

    def origin(self) -> str:
        return self.val.origin() if isinstance(self.val, Tracer) else ""

    def __repr__(self) -> str:
        whole = get_aval(self.val).str_short(short_dtypes=False)
        return f"VmapTracer(aval={self.aval.str_short(short_dtypes=False)}, batched={whole})"

    __str__ = __repr__


class BatchTrace(Trace):
    def __init__(self, parent: Trace, axis: Axis):
        self.parent, self.axis = parent, axis
        self.alive = True

    def unpack(self, x) -> tuple[Any, int | None]:
        if type(x) is BatchTracer and x._trace is self:
            return x.val, x.dim
        if isinstance(x, Tracer):
            check_alive(x)
        return x, None

    def pack(self, val, dim: int | None):
        return val if dim is None else BatchTracer(self, val, dim)

    def inside(self, params) -> bool:
        """Whether a called program has collectives over this axis, so that it must be batched whatever its arguments."""
        name = self.axis.name
        return name is not None and any(
            getattr(e, "name", None) == name for jaxpr in subjaxprs(params) for e in jaxpr.effects
        )

    def process(self, primitive, args, params):
        vals, dims, active = [], [], False
        for x in args:
            val, dim = self.unpack(x)
            vals.append(val)
            dims.append(dim)
            active = active or dim is not None
        previous = swap_trace(self.parent)
        try:
            axis_rule = primitive.axis_rule
            if axis_rule is not None and self.axis.name is not None and axis_rule.uses(self.axis.name, params):
                out, dim = axis_rule(self.axis, vals, dims, **params)
            elif not active and not self.inside(params):
                return self.parent.process(primitive, tuple(vals), params)
            else:
                out, dim = primitive.batch(self.axis, vals, dims, **params)
        finally:
            swap_trace(previous)
        if primitive.multiple_results:
            return [self.pack(x, d) for x, d in zip(out, dim, strict=True)]
        return self.pack(out, dim)


def batch_flat(
    fun: Callable[..., Sequence], axis: Axis, vals: Sequence, dims: Sequence[int | None], parent: Trace
) -> tuple[list, list]:
    """Run a flat function on batches: ``(outs, out_dims)``. The name of the axis, if it has one, is bound meanwhile."""
    trace = BatchTrace(parent, axis)
    args = [trace.pack(x, d) for x, d in zip(vals, dims, strict=True)]
    previous = swap_trace(trace)
    try:
        with extend_axis_env(axis.name, axis.size), naming(("vmap",)):
            outs = fun(*args)
    finally:
        swap_trace(previous)
        trace.alive = False
    pairs = [trace.unpack(x) for x in outs]
    if current_context().check_tracer_leaks:
        del args, outs
        check_leaks(trace)
    return [x for x, _ in pairs], [d for _, d in pairs]


def batch_jaxpr(
    closed: ClosedJaxpr, axis: Axis, batched: Sequence[bool], force_batched: bool | Sequence[bool] = False
) -> tuple[ClosedJaxpr, list[bool]]:
    """The batched form of a program: inputs marked ``batched`` get a leading dimension of ``axis.size``.

    Returns:
      the program and which outputs are batched (at dimension 0; at least those in ``force_batched``). Memoised.
    """
    forced = every(force_batched, len(closed.out_avals))
    return closed.derive(_batched_program, axis, tuple(batched), forced)


def _batched_program(closed: ClosedJaxpr, axis: Axis, batched: tuple[bool, ...], forced: tuple[bool, ...]):
    out_batched = []

    def program(*args):
        run = lambda *xs: eval_jaxpr(closed.jaxpr, closed.consts, *xs)  # noqa: E731
        outs, dims = batch_flat(run, axis, args, [0 if b else None for b in batched], current_trace())
        out_batched.extend(f or d is not None for d, f in zip(dims, forced, strict=True))
        return [to_front(x, d, axis.size) if b else x for x, d, b in zip(outs, dims, out_batched, strict=True)]

    avals = [a.update(shape=(axis.size, *a.shape)) if b else a for a, b in zip(closed.in_avals, batched, strict=True)]
    return ClosedJaxpr(*trace_to_jaxpr(program, avals, closed.jaxpr.debug_info)), out_batched


def __getattr__(name: str):
    """The tables of batching rules, which stand in batchers.py, are public here."""
    from addax.interpreters import batchers

    if name in batchers.__all__:
        return getattr(batchers, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["BatchTrace", "BatchTracer", "batch_flat", "batch_jaxpr"]
