"""Calls whose derivative the user wrote: ``custom_jvp_call``, ``custom_vjp_call`` and the linear map it leaves behind.

A rule is kept as a Python callable on flat lists. It is traced where it is needed: the jvp rule under the trace that
differentiates, the backward rule when the linear program is transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from addax.core import dtypes
from addax.core.avals import get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.notation import Notation
from addax.core.trace import base_trace, current_trace
from addax.core.varying import INVARIANT, vma_of
from addax.interpreters.batching import batch_flat, batch_jaxpr
from addax.interpreters.jvp import jvp_flat
from addax.interpreters.linearity import NotLinear, transpose_linear
from addax.interpreters.retype import of_call, vmas
from addax.interpreters.transpose import backward_pass
from addax.interpreters.values import Zero, dtype_of, instantiate, is_linear, move_axis, to_front
from addax.ops.call import check_call
from addax.ops.rules import program_primitive


class FlatRule:
    """A differentiation rule on flat lists. Compared by identity, printed by name."""

    __slots__ = ("fun", "name")

    def __init__(self, fun: Callable[..., Any], name: str):
        self.fun, self.name = fun, name

    def __call__(self, *args):
        return self.fun(*args)

    def __repr__(self) -> str:
        return self.name


def _call_type(*avals, call_jaxpr: ClosedJaxpr, **_):
    check_call("custom derivative call", call_jaxpr, avals)
    return call_jaxpr.out_avals


_AS_CALL: dict[str, Any] = {
    "effects": lambda *_, call_jaxpr, **__: call_jaxpr.effects,
    "expand": lambda *_, call_jaxpr, **__: call_jaxpr,
    "varying": of_call("call_jaxpr"),
}


def _move(args, dims):
    return [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]


# ---------------------------------------------------------------------------------------------------------------------
# custom_jvp_call: ``num_consts`` leading arguments are captured values, which the rule does not see.


def _custom_jvp_jvp(primals, tangents, *, call_jaxpr, jvp, num_consts, symbolic_zeros, **params):
    if any(type(t) is not Zero for t in tangents[:num_consts]):
        raise UnsupportedCapture(
            "Detected differentiation of a custom_jvp function with respect to a closed-over value. That's not "
            "supported because the custom JVP rule only specifies how to differentiate the custom_jvp function with "
            "respect to explicit input parameters. Pass the value as an argument of the function."
        )
    primals, tangents = primals[num_consts:], tangents[num_consts:]
    tangents = tangents if symbolic_zeros else [instantiate(t) for t in tangents]
    return jvp(primals, tangents)


class UnsupportedCapture(Exception):
    """A custom rule was asked for a derivative that it does not describe."""


def _custom_jvp_batch(axis, args, dims, *, call_jaxpr, jvp, num_consts, symbolic_zeros, name):
    program, out_batched = batch_jaxpr(call_jaxpr, axis, [d is not None for d in dims], True)
    arg_dims = [None if d is None else 0 for d in dims[num_consts:]]

    def batched_jvp(primals, tangents):
        n = len(primals)
        zero = [type(t) is Zero for t in tangents]
        live = [t for t, z in zip(tangents, zero, strict=True) if not z]
        live_dims = [d for d, z in zip(arg_dims, zero, strict=True) if not z]

        def rule(*flat):
            rest = iter(flat[n:])
            ts = [Zero.of(p) if z else next(rest) for p, z in zip(flat[:n], zero, strict=True)]
            outs, out_ts = jvp(flat[:n], ts)
            return [*outs, *(instantiate(t) for t in out_ts)]

        outs, out_dims = batch_flat(rule, axis, [*primals, *live], [*arg_dims, *live_dims], current_trace())
        outs = [to_front(x, d, axis.size) for x, d in zip(outs, out_dims, strict=True)]
        outs, out_ts = outs[: len(outs) // 2], outs[len(outs) // 2 :]
        return outs, [Zero.of(x) if dtype_of(t) == dtypes.float0 else t for x, t in zip(outs, out_ts, strict=True)]

    outs = custom_jvp_call.bind(
        *_move(args, dims), call_jaxpr=program, jvp=FlatRule(batched_jvp, "batched_jvp"), num_consts=num_consts,
        symbolic_zeros=symbolic_zeros, name=name,
    )  # fmt: skip
    return outs, [0 if b else None for b in out_batched]


def _custom_jvp_transpose(cts, *args, call_jaxpr, **_):
    """A rule may call a custom function on tangents (`solve` in the rule of `solve`), if it is linear in them."""
    return backward_pass(call_jaxpr.jaxpr, call_jaxpr.consts, args, cts)


custom_jvp_call = program_primitive(
    "custom_jvp_call", _call_type, jvp=_custom_jvp_jvp, transpose=_custom_jvp_transpose, batch=_custom_jvp_batch,
    notation=Notation(first=("name",), omit={"num_consts": 0}, functions=("jvp",)), **_AS_CALL,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# custom_vjp_call: ``fwd(args, perturbed) -> (residuals, outs)``, ``bwd(residuals, cts) -> cts of args``, all flat;
# ``perturbed`` says which arguments have a tangent that is not known to be zero.


def _custom_vjp_jvp(primals, tangents, *, call_jaxpr, fwd, bwd, num_consts, symbolic_zeros, name):
    if any(type(t) is not Zero for t in tangents[:num_consts]):
        raise UnsupportedCapture(
            "Detected differentiation of a custom_vjp function with respect to a closed-over value. The custom VJP "
            "rule only says how to differentiate with respect to the arguments: pass the value as an argument."
        )
    primals, tangents = primals[num_consts:], tangents[num_consts:]
    residuals, outs = fwd(primals, [type(t) is not Zero for t in tangents])
    live = [instantiate(t) for t in tangents]
    out_avals = tuple(get_aval(x).to_tangent() for x in outs)
    operands = [*residuals, *live]
    if current_trace() is base_trace:  # run it here: a compiled program of it would be of use once
        return outs, _lin_forward(operands, len(residuals), bwd, out_avals)
    out_tangents = custom_lin.bind(
        *operands, num_residuals=len(residuals), bwd=bwd, out_avals=out_avals, symbolic_zeros=symbolic_zeros
    )
    return outs, out_tangents


def _batched_fun(fun, axis, in_dims):
    """A flat function on batches along dimension 0, all results batched."""

    def call(*args):
        outs, dims = batch_flat(fun, axis, args, in_dims, current_trace())
        return [to_front(x, d, axis.size) for x, d in zip(outs, dims, strict=True)]

    return call


def _custom_vjp_batch(axis, args, dims, *, call_jaxpr, fwd, bwd, num_consts, symbolic_zeros, name):
    program, out_batched = batch_jaxpr(call_jaxpr, axis, [d is not None for d in dims], True)
    arg_dims = [None if d is None else 0 for d in dims[num_consts:]]
    counts: dict[str, int] = {}

    def batched_fwd(primals, perturbed):
        def flat_fwd(*xs):
            residuals, outs = fwd(xs, perturbed)
            counts["residuals"] = len(residuals)
            return [*residuals, *outs]

        flat = _batched_fun(flat_fwd, axis, arg_dims)(*primals)
        n = counts["residuals"]
        return flat[:n], flat[n:]

    def batched_bwd(residuals, cts):
        n = len(residuals)
        live = [instantiate(c) for c in cts]
        grads = _batched_fun(lambda *xs: [instantiate(g) for g in bwd(xs[:n], xs[n:])], axis, [0] * (n + len(live)))(
            *residuals, *live
        )
        # An argument shared by the examples gets the sum of their cotangents.
        return [g if d is not None else g.sum(0) for g, d in zip(grads, arg_dims, strict=True)]

    outs = custom_vjp_call.bind(
        *_move(args, dims), call_jaxpr=program, fwd=FlatRule(batched_fwd, "batched_fwd"),
        bwd=FlatRule(batched_bwd, "batched_bwd"), num_consts=num_consts, symbolic_zeros=symbolic_zeros, name=name,
    )  # fmt: skip
    return outs, [0 if b else None for b in out_batched]


custom_vjp_call = program_primitive(
    "custom_vjp_call", _call_type, jvp=_custom_vjp_jvp, batch=_custom_vjp_batch,
    notation=Notation(first=("name",), omit={"num_consts": 0}, functions=("fwd", "bwd")), **_AS_CALL,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# custom_lin: the derivative of a custom_vjp function as a linear map ``(residuals, tangents) -> tangents``, known only
# through its transpose. Forward mode transposes the backward rule once more.


def _lin_varying(operands, params):
    outs = vmas(params["out_avals"])
    return (operands, params, outs) if any(outs) or any(operands) else None


def _lin_transpose(cts, *args, num_residuals, bwd, out_avals, symbolic_zeros):
    residuals, tangents = args[:num_residuals], args[num_residuals:]
    grads = bwd(residuals, cts if symbolic_zeros else [instantiate(c) for c in cts])
    for i, (t, g) in enumerate(zip(tangents, grads, strict=True)):
        if is_linear(t) and vma_of(g) - getattr(t.aval, "vma", INVARIANT):
            raise ValueError(
                "Custom VJP bwd rule must produce an output with the same type as the args tuple of the primal function, "
                f"but at output[{i}] the bwd rule produced an output of type {get_aval(g).str_short(False)} corresponding "
                f"to an input of type {t.aval.str_short(False)}: the argument is the same on all devices along the mesh "
                f"axes {sorted(vma_of(g) - t.aval.vma, key=str)}, so its cotangent must be summed over them: "
                "lax.psum(cotangent, axes)."
            )
    return [None] * num_residuals + [g if is_linear(t) else None for g, t in zip(grads, tangents, strict=True)]


def _lin_forward(args: Sequence, num_residuals, bwd, out_avals):
    """The linear map itself: transpose ``cts -> bwd(residuals, cts)`` at the tangents.

    Raises:
      TypeError: if the rule is not linear in the cotangents, so that there is no such map.
    """
    residuals, tangents = args[:num_residuals], args[num_residuals:]
    live = [out for out in out_avals if out.dtype != dtypes.float0]

    def rule(*cts):
        rest = iter(cts)
        cotangents = [instantiate(Zero(a)) if a.dtype == dtypes.float0 else next(rest) for a in out_avals]
        grads = bwd(residuals, cotangents)
        return [instantiate(g) for g, t in zip(grads, tangents, strict=True) if dtype_of(t) != dtypes.float0]

    try:
        program = transpose_linear(ClosedJaxpr(*trace_to_jaxpr(rule, live)))
    except NotLinear as e:
        raise TypeError(
            f"can't apply forward-mode autodiff (jvp) to a custom_vjp function whose backward rule {bwd} is not linear in "
            f"the cotangent: {e}. The tangent is the transpose of that rule. Use reverse mode (vjp, grad, jacrev), or "
            "custom_jvp."
        ) from None
    outs = iter(eval_jaxpr(program.jaxpr, program.consts, *(t for t in tangents if dtype_of(t) != dtypes.float0)))
    return [instantiate(Zero(a)) if a.dtype == dtypes.float0 else next(outs) for a in out_avals]


def _lin_expand(*avals, num_residuals, bwd, out_avals, **_) -> ClosedJaxpr:
    """The map as ordinary equations, for engines."""
    return ClosedJaxpr(*trace_to_jaxpr(lambda *xs: _lin_forward(xs, num_residuals, bwd, out_avals), avals))


def _lin_jvp(primals, tangents, *, num_residuals, bwd, out_avals, symbolic_zeros):
    return jvp_flat(lambda *xs: _lin_forward(xs, num_residuals, bwd, out_avals), primals, tangents, current_trace())


def _lin_batch(axis, args, dims, *, num_residuals, bwd, out_avals, symbolic_zeros):
    return batch_flat(lambda *xs: _lin_forward(xs, num_residuals, bwd, out_avals), axis, args, dims, current_trace())


custom_lin = program_primitive(
    "custom_lin", lambda *_, out_avals, **__: out_avals, jvp=_lin_jvp, transpose=_lin_transpose, batch=_lin_batch,
    expand=_lin_expand, varying=_lin_varying,
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# linear_call: a linear map ``(residuals, xs) -> ys`` and its transpose ``(residuals, cts of ys) -> cts of xs``, both flat
# rules that the user wrote.


def _linear_call_program(*avals, fun: FlatRule, **_) -> ClosedJaxpr:
    return ClosedJaxpr(*trace_to_jaxpr(fun, avals))


def _linear_call_jvp(primals, tangents, *, num_residuals, **params):
    n = num_residuals
    if any(type(t) is not Zero for t in tangents[:n]):
        raise UnsupportedCapture(
            "linear_call says nothing of derivatives with respect to its residual arguments. Differentiate them in a "
            "custom_jvp or custom_vjp around it, or pass them through lax.stop_gradient."
        )
    outs = linear_call.bind(*primals, num_residuals=n, **params)
    if all(type(t) is Zero for t in tangents):
        return outs, [Zero.of(x) for x in outs]
    return outs, linear_call.bind(*primals[:n], *map(instantiate, tangents[n:]), num_residuals=n, **params)


def _linear_call_transpose(cts, *args, num_residuals, fun, transpose, in_avals, out_avals):
    n = num_residuals
    results = linear_call.bind(
        *args[:n], *map(instantiate, cts), num_residuals=n, fun=transpose, transpose=fun, in_avals=out_avals,
        out_avals=in_avals,
    )  # fmt: skip
    return [None] * n + [g if is_linear(x) else None for g, x in zip(results, args[n:], strict=True)]


def _linear_call_batch(axis, args, dims, *, num_residuals, fun, transpose, in_avals, out_avals):
    n = num_residuals
    res_dims = [None if d is None else 0 for d in dims[:n]]

    def batched(rule):
        def call(*xs):
            return _batched_fun(rule, axis, [*res_dims, *[0] * (len(xs) - n)])(*xs)

        return FlatRule(call, f"vmap({rule})")

    def wide(avals):
        return tuple(a.update(shape=(axis.size, *a.shape)) for a in avals)

    linear = [to_front(x, d, axis.size) for x, d in zip(args[n:], dims[n:], strict=True)]
    outs = linear_call.bind(
        *_move(args[:n], dims[:n]), *linear, num_residuals=n, fun=batched(fun), transpose=batched(transpose),
        in_avals=wide(in_avals), out_avals=wide(out_avals),
    )  # fmt: skip
    return outs, [0] * len(outs)


linear_call = program_primitive(
    "linear_call", lambda *_, out_avals, **__: list(out_avals), jvp=_linear_call_jvp, transpose=_linear_call_transpose,
    batch=_linear_call_batch, expand=_linear_call_program,
)  # fmt: skip
linear_call.notation = Notation(functions=("fun", "transpose"))


__all__ = [
    "FlatRule",
    "UnsupportedCapture",
    "custom_jvp_call",
    "custom_lin",
    "custom_vjp_call",
    "linear_call",
]
