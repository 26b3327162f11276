"""``custom_vmap_call``: a call whose batching rule the user wrote.

The rule is kept as a Python callable on flat lists, ``(axis_size, batched, *args) -> (outs, outs_batched)``, with batches
along dimension 0. ``num_consts`` leading operands are captured values, which it does not see.
"""

from __future__ import annotations

from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.notation import Notation
from addax.core.trace import current_trace
from addax.interpreters.jvp import jvp_flat, jvp_jaxpr
from addax.interpreters.retype import of_call
from addax.interpreters.values import Zero, instantiate, move_axis, shape_of, to_front
from addax.ops.call import check_call
from addax.ops.custom import FlatRule, UnsupportedCapture
from addax.ops.rules import program_primitive


def _type(*avals, call: ClosedJaxpr, **_):
    check_call("custom_vmap_call", call, avals)
    return call.out_avals


def _batch(axis, args, dims, *, call, rule, num_consts, name):
    if any(d is not None for d in dims[:num_consts]):
        raise UnsupportedCapture(
            f"custom_vmap function {name} uses a mapped value that is not one of its arguments. Its rule only says how to "
            "batch over the arguments: pass the value as an argument."
        )
    args, dims = args[num_consts:], dims[num_consts:]
    moved = [x if d is None else move_axis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    outs, batched = rule(axis.size, [d is not None for d in dims], *moved)
    for i, (x, b, aval) in enumerate(zip(outs, batched, call.out_avals, strict=True)):
        want = (axis.size, *aval.shape) if b else aval.shape
        if shape_of(x) != want:
            raise ValueError(
                f"custom vmap rule {rule} of {name} must return leaf {i} of the result with shape {want}, as it says that "
                f"this is {'' if b else 'not '}batched (axis size {axis.size}), but its shape is {shape_of(x)}."
            )
    return outs, [0 if b else None for b in batched]


def _jvp(primals, tangents, *, call, rule, num_consts, name):
    """The value is a call with the user's rule, the tangent a second one with the derivative of that rule."""
    outs = custom_vmap_call.bind(*primals, call=call, rule=rule, num_consts=num_consts, name=name)
    nonzero = [type(t) is not Zero for t in tangents]
    both, out_nonzero = jvp_jaxpr(call, nonzero)
    n, n_in = len(outs), len(primals)
    if not any(out_nonzero):
        return outs, [Zero.of(x) for x in outs]
    program = ClosedJaxpr(both.jaxpr.replace(outvars=both.jaxpr.outvars[n:]), both.consts)
    at = [i for i, nz in enumerate(nonzero) if nz]

    def jvp_rule(axis_size, batched, *args):
        values, live = list(args[:n_in]), args[n_in:]
        flags = list(batched[:n_in])
        ts: list = [Zero.of(x) for x in values]
        for i, t, b in zip(at, live, batched[n_in:], strict=True):
            if b and not flags[i]:
                values[i], flags[i] = to_front(values[i], None, axis_size), True
            ts[i] = to_front(t, None, axis_size) if flags[i] and not b else t
        out_flags: list[bool] = []

        def call_rule(*xs):
            results, is_batched = rule(axis_size, flags[num_consts:], *xs[num_consts:])
            out_flags[:] = is_batched
            return results

        _, out_ts = jvp_flat(call_rule, values, ts, current_trace())
        chosen = [i for i, nz in enumerate(out_nonzero) if nz]
        return [instantiate(out_ts[i]) for i in chosen], [out_flags[i] for i in chosen]

    live = [t for t, nz in zip(tangents, nonzero, strict=True) if nz]
    out_ts = iter(
        custom_vmap_call.bind(
            *primals, *live, call=program, rule=FlatRule(jvp_rule, f"jvp({rule})"), num_consts=0, name=f"jvp({name})"
        )
    )
    return outs, [next(out_ts) if nz else Zero.of(x) for x, nz in zip(outs, out_nonzero, strict=True)]


def _partial_eval(split, args, unknown, *, call, **_):
    """Reverse mode differentiates the function itself; a later `vmap` batches that derivative, not by the rule."""
    return eval_jaxpr(call.jaxpr, call.consts, *args)


custom_vmap_call = program_primitive(
    "custom_vmap_call", _type, jvp=_jvp, partial_eval=_partial_eval, batch=_batch,
    effects=lambda *_, call, **__: call.effects, expand=lambda *_, call, **__: call, varying=of_call("call"),
    notation=Notation(first=("name",), omit={"num_consts": 0}, functions=("rule",)),
)  # fmt: skip


__all__ = ["custom_vmap_call"]
