"""`checkpoint` (also called `remat`): trade computation for memory in reverse mode."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from addax.core import dtypes, tree
from addax.core.axis_env import scope_key
from addax.core.config import current_context
from addax.core.jaxpr import ClosedJaxpr, Literal
from addax.core.trace import Tracer
from addax.interpreters.jvp import jvp_jaxpr
from addax.interpreters.linearize import split_jaxpr
from addax.ops.call import jit_p
from addax.ops.remat import Offloadable, checkpoint_p, name_p
from addax.transforms.flat import LazyDebugInfo, check_leaves, describe_function, hold_arguments, jax_array
from addax.transforms.jit import hoist_tracers, resolve_arguments, trace_to_closed

Policy = Callable[..., Any]  # (primitive, *avals of its operands, **params) -> whether its results are kept


def checkpoint(
    fun: Callable | None = None, *, prevent_cse: bool | Sequence[bool] = True, policy: Policy | None = None,
    static_argnums: int | tuple[int, ...] = (), static_argnames: str | Iterable[str] = (), concrete: bool = False,
) -> Any:  # fmt: skip
    """``fun``, whose intermediate values reverse mode computes again instead of keeping them.

    Without it, ``grad`` keeps what the derivatives of all operations of ``fun`` need until the backward pass reads it.
    With it only the arguments are kept (and what ``policy`` says), and the rest is computed a second time. A chain of n
    such pieces needs the memory of n arguments and of one piece.

    Effects (`debug.print`) happen once, when the values are computed first; JAX repeats them.

    Args:
      fun: a function of pytrees of arrays.
      prevent_cse: keep compilers from merging the second computation with the first. Inside ``scan`` there is nothing to
        merge with, and False is as good. A sequence, for the arguments, protects all of them if it protects one.
      policy: which intermediate values to keep; see `checkpoint_policies`. Policies are asked about the operations of
        ``fun``, of the jitted functions that it calls, and of the bodies of its scans, whose values are kept stacked; not
        about those of its branches and of loops of unknown length.
      static_argnums, static_argnames: arguments that are Python values, compared by hash and equality. A call with one that
        has no hash (a list, a tracer) is traced each time.

    >>> import addax, addax.numpy as jnp
    >>> f = addax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))
    >>> round(float(addax.grad(f)(1.0)), 4)
    0.36
    """
    if fun is None:
        return functools.partial(
            checkpoint, prevent_cse=prevent_cse, policy=policy, static_argnums=static_argnums,
            static_argnames=static_argnames, concrete=concrete,
        )  # fmt: skip
    if concrete:
        raise NotImplementedError(
            "checkpoint: concrete=True has been removed; mark the arguments whose values decide what is computed with "
            "static_argnums."
        )
    prevent_cse = prevent_cse if isinstance(prevent_cse, bool) else any(prevent_cse)
    static, names = resolve_arguments(
        fun, static_argnums, static_argnames, "static_argnums", "static_argnames", "checkpointed function"
    )
    traces: dict[Any, tuple[ClosedJaxpr, Any]] = {}

    @functools.wraps(fun)
    def checkpointed(*args, **kwargs):
        # With names, an argument that is not given by position is given by name, or keeps its default.
        if not names and not all(-len(args) <= i < len(args) for i in static):
            raise ValueError(
                f"checkpoint: static_argnums={static} must be numbers of positional arguments of {describe_function(fun)}, "
                f"which was called with {len(args)}."
            )
        held = sorted({i % len(args) for i in static if -len(args) <= i < len(args)})
        named = {k: kwargs.pop(k) for k in names if k in kwargs}
        program, dynamic = hold_arguments(fun, args, held, **named)
        leaves, in_tree = tree.flatten((dynamic, kwargs))
        leaves = [jax_array(x) for x in leaves]
        avals = check_leaves(fun, leaves, dynamic, kwargs, "checkpoint")
        fixed = (*((i, type(args[i]), args[i]) for i in held), *((k, type(v), v) for k, v in named.items()))
        key = in_tree, tuple(avals), fixed, current_context().trace_key, scope_key()
        found = traces.get(key) if (remembered := is_hashable(fixed)) else None
        if found is None:
            found = trace_to_closed(program, in_tree, avals, LazyDebugInfo(fun, dynamic, kwargs))
            if remembered and not any(isinstance(c, Tracer) for c in found[0].consts):
                traces[key] = found
        closed, leaves = hoist_tracers(found[0], leaves)
        outs = checkpoint_p.bind(*leaves, jaxpr=closed, policy=policy, prevent_cse=prevent_cse, differentiated=False)
        return found[1].unflatten(outs)

    return checkpointed


remat = checkpoint


def is_hashable(x) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def checkpoint_name(x, name: str):
    """``x``, with a name by which `checkpoint_policies` can refer to it."""
    return tree.map(lambda leaf: name_p.bind(jax_array(leaf), name=name), x)


# ---------------------------------------------------------------------------------------------------------------------
# Policies

MEMORY_KINDS = ("device", "pinned_host", "unpinned_host")

# What a policy may say of a value, beside True and False.
Saveable, Recompute = True, False


def _named(primitive, params) -> str | None:
    return params["name"] if primitive is name_p else None


def _offloadable(src: str, dst: str) -> Offloadable:
    for name, kind in (("offload_src", src), ("offload_dst", dst)):
        if kind not in MEMORY_KINDS:
            raise ValueError(
                f"{name} must be a kind of memory, one of {', '.join(map(repr, MEMORY_KINDS))}; got {kind!r}."
            )
    return Offloadable(src, dst)


class checkpoint_policies:
    """Which values `checkpoint` keeps: pass one as its ``policy``.

    ``everything_saveable``, ``nothing_saveable``: all, or none but the arguments.
    ``dots_saveable``: results of matrix products and convolutions.
    ``dots_with_no_batch_dims_saveable``: of matrix products without batch dimensions, as those of dense layers are.
    The others are functions that make policies, most of them from names given with `checkpoint_name`.

    What a policy offloads goes to another memory of its device until the backward pass needs it: from ``offload_src``, which
    is ``"device"``, to ``offload_dst``: ``"pinned_host"``, or ``"unpinned_host"``. That holds within one compiled program,
    ``jit(grad(f))``, on accelerators; a CPU has one memory, where the value stays, and results of a program (what ``vjp``
    outside of ``jit`` keeps) are arrays of the device. In JAX they may be arrays of the host.
    """

    @staticmethod
    def everything_saveable(primitive, *_, **__) -> bool:
        return True

    @staticmethod
    def nothing_saveable(primitive, *_, **__) -> bool:
        return False

    @staticmethod
    def dots_saveable(primitive, *_, **__) -> bool:
        return primitive.name in ("dot_general", "conv_general_dilated")

    checkpoint_dots = dots_saveable

    @staticmethod
    def dots_with_no_batch_dims_saveable(primitive, *_, **params) -> bool:
        return primitive.name == "dot_general" and not params["dimension_numbers"][1][0]

    checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable

    @staticmethod
    def save_only_these_names(*names: str) -> Policy:
        """Keep values with one of these names, and nothing else."""
        return lambda primitive, *_, **params: _named(primitive, params) in names

    @staticmethod
    def save_any_names_but_these(*names: str) -> Policy:
        """Keep values that have a name, unless it is one of these."""
        return lambda primitive, *_, **params: _named(primitive, params) not in (None, *names)

    @staticmethod
    def save_anything_except_these_names(*names: str) -> Policy:
        """Keep everything but values with one of these names."""
        return lambda primitive, *_, **params: _named(primitive, params) not in names

    @staticmethod
    def offload_dot_with_no_batch_dims(offload_src: str, offload_dst: str) -> Policy:
        """Keep what ``dots_with_no_batch_dims_saveable`` keeps, in memory of the kind ``offload_dst`` (see above)."""
        saveable, there = checkpoint_policies.dots_with_no_batch_dims_saveable, _offloadable(offload_src, offload_dst)
        return lambda primitive, *avals, **params: there if saveable(primitive, *avals, **params) else Recompute

    @staticmethod
    def save_and_offload_only_these_names(
        *, names_which_can_be_saved: Sequence[str], names_which_can_be_offloaded: Sequence[str],
        offload_src: str, offload_dst: str,
    ) -> Policy:  # fmt: skip
        """Keep values with one of these names, some of them in memory of the kind ``offload_dst`` (see above)."""
        if both := set(names_which_can_be_saved) & set(names_which_can_be_offloaded):
            raise ValueError(
                "save_and_offload_only_these_names: a value is either saved or offloaded, but "
                f"{', '.join(map(repr, sorted(both)))} stands in both lists of names."
            )
        said: dict[Any, Any] = dict.fromkeys(names_which_can_be_offloaded, _offloadable(offload_src, offload_dst))
        said |= dict.fromkeys(names_which_can_be_saved, Saveable)
        return lambda primitive, *_, **params: said.get(_named(primitive, params), Recompute)

    @staticmethod
    def save_from_both_policies(first: Policy, second: Policy) -> Policy:
        """Keep what either of two policies keeps."""
        return lambda primitive, *avals, **params: (
            first(primitive, *avals, **params) or second(primitive, *avals, **params)
        )


def saved_residuals(fun: Callable, *args, **kwargs) -> list[tuple[Any, str]]:
    """What reverse mode through ``fun`` keeps at these arguments: ``(type, where it comes from)`` of each value."""
    leaves, in_tree = tree.flatten((args, kwargs))
    info = LazyDebugInfo(fun, args, kwargs)
    avals = check_leaves(fun, leaves, args, kwargs, "saved_residuals")
    closed, _ = trace_to_closed(fun, in_tree, avals, info)
    n = len(avals)
    floats = [a.to_tangent().dtype != dtypes.float0 for a in avals]
    program, _ = jvp_jaxpr(closed, floats)
    cut = split_jaxpr(program, [False] * n + [True] * sum(floats))
    names = closed.jaxpr.debug_info.arg_names if closed.jaxpr.debug_info is not None else ()
    made = {v: e for e in cut.known.jaxpr.eqns for v in e.outvars}
    found = []
    for kind, i in dict.fromkeys(cut.residuals):
        if kind == "in":
            found.append((avals[i], f"from the argument {names[i] if i < len(names) else i}"))
            continue
        var: Any = cut.known.jaxpr.outvars[i]
        if type(var) is Literal:
            continue
        eqn = made.get(var)
        while eqn is not None and eqn.primitive in (checkpoint_p, jit_p):  # look into the call
            body = eqn.params["jaxpr"].jaxpr
            inner = body.outvars[eqn.outvars.index(var)]
            eqn, var = next((e for e in body.eqns if inner in e.outvars), None), inner
        where = "from a constant" if eqn is None else f"output of {eqn.primitive.name} from {eqn.source_info}"
        found.append((var.aval, where))
    return found


def print_saved_residuals(fun: Callable, *args, **kwargs) -> None:
    """Print what reverse mode through ``fun`` keeps, a line for each value.

    >>> import addax, addax.numpy as jnp
    >>> addax.ad_checkpoint.print_saved_residuals(addax.checkpoint(lambda x: jnp.sin(jnp.sin(x))), 1.0)
    f32[] from the argument x
    """
    for aval, where in saved_residuals(fun, *args, **kwargs):
        print(f"{aval.str_short(True)} {where}")


__all__ = [
    "Offloadable", "Recompute", "Saveable", "checkpoint", "checkpoint_name", "checkpoint_policies", "print_saved_residuals", "remat",
    "saved_residuals",
]  # fmt: skip
