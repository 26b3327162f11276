"""`custom_jvp`, `custom_vjp`, `custom_gradient`: functions that bring their own derivative; `closure_convert`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import dtypes, tree
from addax.core.avals import get_aval
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import eval_jaxpr
from addax.core.trace import Tracer, base_trace, current_trace
from addax.interpreters.linearize import SplitTrace
from addax.interpreters.values import Zero, convert, instantiate
from addax.ops.custom import FlatRule, custom_jvp_call, custom_vjp_call
from addax.transforms.flat import (
    FlatFunction,
    LazyDebugInfo,
    check_results,
    describe_function,
    function_name,
    hold_arguments,
    jax_array,
    trace_captured,
)
from addax.transforms.linear_maps import as_array


class SymbolicZero:
    """A tangent or cotangent known to be zero, as ``symbolic_zeros=True`` rules see it: ``shape`` and ``dtype`` only."""

    def __init__(self, aval):
        self.aval = aval

    shape = property(lambda self: self.aval.shape)
    dtype = property(lambda self: self.aval.dtype)

    def __repr__(self) -> str:
        return f"SymbolicZero({self.aval.str_short()})"


def zero_from_primal(val, symbolic_zeros: bool = False) -> Any:
    """The tangent of ``val`` that is zero: an array, of dtype float0 for integers, or a `SymbolicZero`.

    >>> zero_from_primal(3.0)
    Array(0., dtype=float32, weak_type=True)
    >>> zero_from_primal(3.0, symbolic_zeros=True)
    SymbolicZero(f32[])
    """
    zero = Zero.of(jax_array(val))
    return SymbolicZero(zero.aval) if symbolic_zeros else as_array(instantiate(zero))


class CustomVJPPrimal:
    """An argument as the forward rule of ``defvjp(symbolic_zeros=True)`` sees it.

    Attributes:
      value: the argument.
      perturbed: whether it is differentiated, False if its tangent is known to be zero.
    """

    __slots__ = ("perturbed", "value")

    def __init__(self, value, perturbed: bool):
        self.value, self.perturbed = value, perturbed

    def __repr__(self) -> str:
        return f"CustomVJPPrimal({self.value!r}, perturbed={self.perturbed})"


def custom_vjp_primal_tree_values(primals):
    """The values in a pytree of `CustomVJPPrimal`.

    >>> custom_vjp_primal_tree_values({"x": CustomVJPPrimal(2.0, True)})
    {'x': 2.0}
    """
    return tree.map(lambda p: p.value, primals, is_leaf=lambda p: isinstance(p, CustomVJPPrimal))


class _Custom:
    """Splits the arguments into differentiable leaves and fixed ones (``nondiff_argnums``)."""

    def __init__(self, fun: Callable, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()):
        if not callable(fun):
            raise TypeError(f"Expected a callable value, got {fun!r:.100}: decorate the function itself.")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.nondiff_argnums = tuple(nondiff_argnums) + tuple(_positions(fun, nondiff_argnames))

    def __call__(self, *args, **kwargs):
        raise NotImplementedError

    def __get__(self, instance, owner=None):
        return self if instance is None else functools.partial(self, instance)

    def split(self, args: tuple, kwargs: dict):
        """``(how a function of all arguments becomes one of the differentiable ones, those, the fixed ones)``"""
        args = positional(self.fun, args, kwargs)
        fixed_at = sorted({i + len(args) if i < 0 else i for i in self.nondiff_argnums})
        _, free = hold_arguments(self.fun, args, fixed_at)
        return lambda fun: hold_arguments(fun, args, fixed_at)[0], free, [args[i] for i in fixed_at]


def _positions(fun, names) -> list[int]:
    parameters = list(inspect.signature(fun).parameters) if names else []
    return [parameters.index(n) for n in names]


def runs_now(args: tuple, kwargs: dict) -> bool:
    """Whether a call can simply be made: nobody records, maps or differentiates it."""
    trace = current_trace()
    if trace is base_trace:
        return True
    while type(trace) is SplitTrace:  # inside a rule that is linearized, the primal part runs now
        trace = trace.now
    return trace is base_trace and not any(isinstance(x, Tracer) for x in tree.leaves((args, kwargs)))


def positional(fun, args, kwargs) -> tuple:
    """The call's arguments in order, defaults filled in, as custom rules get them.

    Raises:
      TypeError: if some cannot be passed by position.
    """
    code = getattr(fun, "__code__", None)
    if not kwargs and code is not None and len(args) == code.co_argcount and not code.co_kwonlyargcount:
        return args  # all there are: no need for the slow look at the signature
    if not kwargs:
        try:
            parameters = inspect.signature(fun).parameters.values()
        except (TypeError, ValueError):
            return args
        if all(p.default is p.empty for p in parameters):
            return args
    bound = inspect.signature(fun).bind(*args, **kwargs)
    bound.apply_defaults()
    if bound.kwargs:
        raise TypeError(
            f"{describe_function(fun)} has custom rules and keyword-only arguments {list(bound.kwargs)}, "
            "which the rules cannot receive: make them positional."
        )
    return bound.args


class custom_jvp(_Custom):
    """A function with its own forward-mode rule: ``rule(primals, tangents) -> (out, tangent of out)``.

    The rule must be linear in the tangents and differentiable itself; reverse mode is derived from it.

    >>> import addax, addax.numpy as jnp
    >>> @addax.custom_jvp
    ... def f(x):
    ...     return jnp.sin(x)
    >>> @f.defjvp
    ... def f_jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return f(x), 2.0 * jnp.cos(x) * t
    >>> float(addax.grad(f)(0.0))
    2.0
    """

    def __init__(self, fun: Callable, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()):
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.rule: Callable | None = None
        self.symbolic_zeros = False

    def defjvp(self, jvp: Callable, symbolic_zeros: bool = False) -> Callable:
        """Declare the rule; use as a decorator. Fixed arguments come first: ``jvp(*fixed, primals, tangents)``."""
        self.rule, self.symbolic_zeros = jvp, symbolic_zeros
        return jvp

    def defjvps(self, *jvps: Callable | None) -> None:
        """Declare one rule per argument, ``(tangent, out, *primals) -> tangent of out``; None for zero."""
        if self.nondiff_argnums:
            raise TypeError("Can't use ``defjvps`` with ``nondiff_argnums``: use defjvp.")

        def jvp(primals, tangents):
            out = self(*primals)
            terms = [f(t, out, *primals) for f, t in zip(jvps, tangents, strict=True) if f]
            zero = tree.map(lambda x: instantiate(Zero.of(x)), out)
            total = functools.reduce(lambda a, b: tree.map(lambda x, y: x + y, a, b), terms, zero)
            return out, total

        self.defjvp(jvp)

    def __call__(self, *args, **kwargs):
        if self.rule is None:
            raise AttributeError(f"No JVP defined for custom_jvp function {function_name(self.fun)} using defjvp.")
        if runs_now(args, kwargs):
            return self.fun(*args, **kwargs)
        of_free, free, fixed = self.split(args, kwargs)
        leaves, in_tree = tree.flatten((free, {}))
        leaves = [jax_array(x) for x in leaves]
        closed, consts, out_tree = trace_captured(of_free(self.fun), in_tree, [get_aval(x) for x in leaves])
        rule, name, symbolic = self.rule, function_name(self.fun), self.symbolic_zeros
        described = f"Custom JVP rule {function_name(rule)} for function {name}"

        def flat_jvp(primals, tangents):
            if symbolic:
                tangents = [SymbolicZero(t.aval) if type(t) is Zero else t for t in tangents]
            ps, _ = in_tree.unflatten(map(as_array, primals))
            ts, _ = in_tree.unflatten(map(as_array, tangents))
            result = _pair(described, rule(*fixed, ps, ts), "representing primal and tangent outputs")
            outs, out_t = tree.flatten(result[0])
            touts, tout_t = tree.flatten(result[1])
            if out_t != out_tree or tout_t != out_tree:
                raise TypeError(
                    f"{described} must produce primal and tangent outputs with the tree structure of the function's "
                    f"result {out_tree}, but got {out_t} and {tout_t}."
                )
            _check_primals(described, outs, closed.out_avals)
            return outs, [_match_tangent(t, p, rule, name) for t, p in zip(touts, outs, strict=True)]

        outs = custom_jvp_call.bind(
            *consts, *leaves, call_jaxpr=closed, jvp=FlatRule(flat_jvp, function_name(rule)), num_consts=len(consts),
            symbolic_zeros=symbolic, name=name,
        )  # fmt: skip
        return out_tree.unflatten(outs)


def _pair(rule: str, result: Any, meaning: str) -> Any:
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise TypeError(f"{rule} must produce a pair (list or tuple of length two) {meaning}, but got {result!r:.200}.")
    return result


def _check_primals(rule: str, outs: Sequence, avals: Sequence) -> None:
    for i, (x, aval) in enumerate(zip(outs, avals, strict=True)):
        got = get_aval(x)
        if (got.shape, got.dtype) != (aval.shape, aval.dtype):
            raise TypeError(
                f"{rule} must produce a primal output with the types of the function's result, but leaf {i} is "
                f"{got.str_short(False)} instead of {aval.str_short(False)}."
            )


def _match_tangent(t, primal, rule, name):
    if isinstance(t, SymbolicZero):
        return Zero(t.aval)
    want, got = get_aval(primal).to_tangent(), get_aval(t)
    if got.shape != want.shape or (got.dtype != want.dtype and not got.weak_type):
        raise TypeError(
            f"Custom JVP rule {function_name(rule)} for function {name} must produce primal and tangent outputs with "
            f"equal shapes and dtypes, but got primal {get_aval(primal)} and tangent {got}."
        )
    if want.dtype == dtypes.float0:  # integer results have no tangent that a transformation around could use
        return Zero(want)
    return t if got.dtype == want.dtype else convert(t, want.dtype, want.weak_type)


class custom_vjp(_Custom):
    """A function with its own reverse-mode rule.

    ``fwd(*args) -> (out, residuals)`` and ``bwd(residuals, ct) -> tuple of cotangents``, one per differentiable
    argument; None stands for a zero cotangent.

    >>> import addax, addax.numpy as jnp
    >>> @addax.custom_vjp
    ... def clip_gradient(x):
    ...     return x
    >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -1.0, 1.0),))
    >>> float(addax.grad(lambda x: 5.0 * clip_gradient(x))(2.0))
    1.0
    """

    def __init__(self, fun: Callable, nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()):
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.fwd: Any = None
        self.bwd: Any = None
        self.symbolic_zeros = False

    def defvjp(self, fwd: Callable, bwd: Callable, symbolic_zeros: bool = False, optimize_remat: bool = False) -> None:
        """Declare the rules. ``fwd`` takes all arguments; ``bwd(*fixed, residuals, ct)``.

        Args:
          symbolic_zeros: ``fwd`` gets its differentiable arguments as `CustomVJPPrimal`, which say whether they are
            differentiated, and ``bwd`` gets `SymbolicZero` for results without a cotangent.
          optimize_remat: accepted for JAX programs. What `checkpoint` computes again is always cut down to what is read,
            also inside ``fwd``.
        """
        self.fwd, self.bwd, self.symbolic_zeros = fwd, bwd, symbolic_zeros

    def __call__(self, *args, **kwargs):
        if self.fwd is None or self.bwd is None:
            raise AttributeError(f"No VJP defined for custom_vjp function {function_name(self.fun)} using defvjp.")
        if runs_now(args, kwargs):
            return self.fun(*args, **kwargs)
        of_free, free, fixed = self.split(args, kwargs)
        fwd_fun, symbolic = of_free(self.fwd), self.symbolic_zeros
        leaves, in_tree = tree.flatten((free, {}))
        leaves = [jax_array(x) for x in leaves]
        in_avals = [get_aval(x) for x in leaves]
        closed, consts, out_tree = trace_captured(of_free(self.fun), in_tree, in_avals)
        name, bwd = function_name(self.fun), self.bwd
        described = f"Custom VJP fwd rule {function_name(self.fwd)} for function {name}"
        free_tree = tree.structure(free)
        residual_tree: list = []

        def flat_fwd(primals, perturbed):
            primals = map(as_array, primals)
            if symbolic:
                primals = map(CustomVJPPrimal, primals, perturbed)
            ps, _ = in_tree.unflatten(primals)
            meaning = "where the first element represents the primal output and the second element represents residuals"
            result = _pair(described, fwd_fun(*ps), meaning)
            check_results(*tree.flatten(result), self.fwd)
            outs, out_t = tree.flatten(result[0])
            if out_t != out_tree:
                raise TypeError(
                    f"{described} must produce a primal output with the structure of the function's result {out_tree}, "
                    f"but got {out_t}."
                )
            _check_primals(described, outs, closed.out_avals)
            residuals, res_t = tree.flatten(result[1])
            residual_tree[:] = [res_t]
            return residuals, outs

        def flat_bwd(residuals, cts):
            cts = [SymbolicZero(c.aval) if type(c) is Zero else as_array(c) for c in cts]
            grads = bwd(*fixed, residual_tree[0].unflatten(residuals), out_tree.unflatten(cts))
            if not isinstance(grads, (tuple, list)) or len(grads) != len(free):
                raise TypeError(
                    f"Custom VJP bwd rule {function_name(bwd)} must produce a tuple with one cotangent per "
                    f"differentiable argument ({len(free)}), but got {grads!r:.200}."
                )
            try:
                pieces = tree.broadcast_prefix(tuple(grads), free, is_leaf=lambda x: x is None)
            except ValueError:
                raise TypeError(
                    f"Custom VJP bwd rule {function_name(bwd)} must produce an output with the same structure as the "
                    f"arguments of {name}, {free_tree}, but got {tree.structure(tuple(grads))}."
                ) from None
            return [_match_cotangent(g, a, bwd, name) for g, a in zip(pieces, in_avals, strict=True)]

        outs = custom_vjp_call.bind(
            *consts, *leaves, call_jaxpr=closed, fwd=FlatRule(flat_fwd, function_name(self.fwd)),
            bwd=FlatRule(flat_bwd, function_name(bwd)), num_consts=len(consts), symbolic_zeros=self.symbolic_zeros,
            name=name,
        )  # fmt: skip
        return out_tree.unflatten(outs)


def _match_cotangent(g, aval, bwd, name):
    want = aval.to_tangent()
    if g is None or isinstance(g, (SymbolicZero, Zero)):
        return Zero(want)
    got = get_aval(g)
    if want.dtype == dtypes.float0:
        return Zero(want)
    # Shapes are compared without the batch dimensions that an enclosing vmap added, which the rule does not see.
    if dtypes.issubdtype(got.dtype, np.complexfloating) and not dtypes.issubdtype(want.dtype, np.complexfloating):
        raise TypeError(
            f"Cotangent produced by the bwd rule {function_name(bwd)} of {name} must be real, as its argument is "
            f"({want.str_short(False)}), but is {got.str_short(False)}. Take the real part."
        )
    if got.shape != want.shape:
        raise ValueError(
            f"Shape of cotangent produced by the bwd rule {function_name(bwd)} of {name} must be {want.shape}, the "
            f"shape of its argument, but is {got.shape}."
        )
    return g if got.dtype == want.dtype else convert(g, want.dtype, want.weak_type)


def custom_gradient(fun: Callable) -> custom_vjp:
    """A function that returns its value together with its own vjp: ``fun(*args) -> (out, ct -> cotangents)``.

    >>> import addax
    >>> f = addax.custom_gradient(lambda x: (x ** 2, lambda g: (g * x,)))
    >>> float(addax.grad(f)(3.0))
    3.0
    """

    @custom_vjp
    def wrapped(*args, **kwargs):
        return fun(*args, **kwargs)[0]

    functools.update_wrapper(wrapped, fun)

    def fwd(*args, **kwargs):
        out, rule = fun(*args, **kwargs)
        avals = [get_aval(x) for x in tree.leaves(out)]
        flat = FlatFunction(rule, tree.structure(((out,), {})))
        jaxpr, consts = trace_to_jaxpr(flat, avals)
        return out, (consts, _Static((jaxpr, flat)))

    def bwd(residuals, ct):
        consts, static = residuals
        jaxpr, flat = static.value
        grads = flat.out_tree.unflatten(eval_jaxpr(jaxpr, consts, *tree.leaves(ct)))
        return grads if isinstance(grads, tuple) else (grads,)

    wrapped.defvjp(fwd, bwd)
    return wrapped


class _Static:
    """A value without leaves, carried in the structure of a pytree."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, _Static) and self.value == other.value

    def __hash__(self):
        return id(self.value)


tree.register_static(_Static)


def closure_convert(fun: Callable, *example_args) -> tuple[Callable, list]:
    """``fun`` with the differentiable values it captures as further arguments: ``(converted, captured)``.

    For functions that take functions and have a custom rule: what the user's function captures can then be given to the
    rule as arguments, ``converted(*args, *captured)``. Traced values of inexact dtype are hoisted; others stay inside.

    Args:
      example_args: arrays of the shapes and dtypes that ``converted`` will be called with.

    Returns:
      ``converted``, a function of such arguments followed by the captured values, and the list of these.

    >>> import addax
    >>> def double_slope(c):
    ...     f, captured = addax.closure_convert(lambda x: c * x, 1.0)
    ...     return 2.0 * f(3.0, *captured)
    >>> float(addax.grad(double_slope)(5.0))
    6.0
    """
    leaves, in_tree = tree.flatten((example_args, {}))
    flat = FlatFunction(fun, in_tree)
    jaxpr, consts = trace_to_jaxpr(flat, [get_aval(jax_array(x)) for x in leaves], LazyDebugInfo(fun, example_args))
    hoisted = [isinstance(c, Tracer) and dtypes.issubdtype(c.dtype, np.inexact) for c in consts]
    n, out_tree = len(example_args), flat.out_tree

    def converted(*args):
        given, got = tree.flatten((args[:n], {}))
        if got != in_tree:
            raise TypeError(
                "The inputs to the closure produced by closure_convert must have the same Pytree structure as the example "
                f"arguments passed when closure_convert was called. Expected {tree.structure(example_args)}, but got "
                f"{tree.structure(args[:n])}."
            )
        if len(args) - n != sum(hoisted):
            raise TypeError(
                f"the closure of {describe_function(fun)} takes {n} arguments and the {sum(hoisted)} values that "
                f"closure_convert hoisted; got {len(args)} in all: call converted(*args, *captured)."
            )
        rest = iter(args[n:])
        values = [next(rest) if h else c for c, h in zip(consts, hoisted, strict=True)]
        return out_tree.unflatten(eval_jaxpr(jaxpr, values, *given))

    return functools.update_wrapper(converted, fun), [c for c, h in zip(consts, hoisted, strict=True) if h]


__all__ = [
    "CustomVJPPrimal", "SymbolicZero", "closure_convert", "custom_gradient", "custom_jvp", "custom_vjp",
    "custom_vjp_primal_tree_values", "zero_from_primal",
]  # fmt: skip
