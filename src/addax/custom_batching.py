"""Functions that bring their own batching rule: `custom_vmap`, and `sequential_vmap`, which maps with a loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from addax.core import tree
from addax.core.avals import get_aval
from addax.lax.control_flow import map as loop_map
from addax.ops.custom import FlatRule
from addax.ops.custom_batching import custom_vmap_call
from addax.transforms.custom import positional, runs_now
from addax.transforms.flat import LazyDebugInfo, function_name, jax_array, trace_captured
from addax.transforms.linear_maps import as_array


class custom_vmap:
    """A function with its own rule for `vmap`: ``rule(axis_size, in_batched, *args) -> (out, out_batched)``.

    ``in_batched`` is a list with a tree of booleans per argument; arguments marked True have the mapped axis in front, and
    so must the results have that ``out_batched`` (a tree like the result) marks True. The rule must compute what the
    function does for each example.

    The function may be jitted, put into loops, and differentiated. `jax.custom_batching` refuses reverse mode; here
    ``grad(vmap(f))`` differentiates the rule, and ``vmap(grad(f))`` batches the derivative of the function itself.

    >>> import addax, addax.numpy as jnp
    >>> @addax.custom_batching.custom_vmap
    ... def solve(a, b):
    ...     return jnp.linalg.solve(a, b)
    >>> @solve.def_vmap
    ... def rule(axis_size, in_batched, a, b):
    ...     a_batched, b_batched = in_batched
    ...     if not a_batched:  # one factorisation for all right-hand sides
    ...         return jnp.linalg.solve(a, b.T).T, True
    ...     return addax.vmap(jnp.linalg.solve, [0 if x else None for x in in_batched])(a, b), True
    >>> addax.vmap(solve, (None, 0))(2 * jnp.eye(2), jnp.ones((3, 2))).tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """

    def __init__(self, fun: Callable):
        if not callable(fun):
            raise TypeError(f"Expected a callable value, got {fun!r:.100}: decorate the function itself.")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.vmap_rule: Callable | None = None

    def def_vmap(self, vmap_rule: Callable) -> Callable:
        """Declare the rule; use as a decorator."""
        self.vmap_rule = vmap_rule
        return vmap_rule

    def __call__(self, *args, **kwargs):
        rule, name = self.vmap_rule, function_name(self.fun)
        if rule is None:
            raise AttributeError(f"No batching rule defined for custom_vmap function {name} using def_vmap.")
        if runs_now(args, kwargs):
            return tree.map(as_array, self.fun(*args, **kwargs))
        args = positional(self.fun, args, kwargs)
        leaves, in_tree = tree.flatten((args, {}))
        leaves = [jax_array(x) for x in leaves]
        avals = [get_aval(x) for x in leaves]
        call, consts, out_tree = trace_captured(self.fun, in_tree, avals, LazyDebugInfo(self.fun, args))
        outs = custom_vmap_call.bind(
            *consts, *leaves, call=call, rule=_flat_rule(rule, name, in_tree, out_tree), num_consts=len(consts),
            name=name,
        )  # fmt: skip
        return out_tree.unflatten(outs)


def _flat_rule(rule: Callable, name: str, in_tree, out_tree) -> FlatRule:
    def flat(axis_size: int, batched: list[bool], *leaves):
        args, _ = in_tree.unflatten(leaves)
        in_batched, _ = in_tree.unflatten(batched)
        result: Any = rule(axis_size, list(in_batched), *args)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise TypeError(
                f"custom vmap rule {function_name(rule)} of {name} must return a pair (out, out_batched), where out_batched "
                f"is a tree of booleans like out; got {type(result).__name__}."
            )
        outs, out_t = tree.flatten(result[0])
        out_batched, batched_t = tree.flatten(result[1])
        if out_t != batched_t:
            raise ValueError(
                f"structure of output value and output batching specification returned by custom vmap rule "
                f"({function_name(rule)}) do not match.\nOutput values: {out_t}\nBatching spec: {batched_t}"
            )
        if out_t != out_tree:
            raise ValueError(
                f"structure of output returned by custom vmap rule ({function_name(rule)}) does not match that of original "
                f"custom-vmapped function {name}.\nOriginal output: {out_tree}\nRule output: {out_t}"
            )
        return [jax_array(x) for x in outs], out_batched

    return FlatRule(flat, function_name(rule))


def sequential_vmap(f: Callable) -> custom_vmap:
    """``f``, mapped by `vmap` with a loop over the examples (`addax.lax.map`) instead of one batched program.

    For functions that cannot be batched, or whose batch would not fit into memory.

    >>> import addax, addax.numpy as jnp
    >>> @addax.custom_batching.sequential_vmap
    ... def f(x):
    ...     return addax.lax.cond(x > 0, lambda x: x, lambda x: 2 * x, x)
    >>> addax.vmap(f)(jnp.arange(-1.0, 2.0)).tolist()
    [-2.0, 0.0, 1.0]
    """
    mapped = custom_vmap(f)

    @mapped.def_vmap
    def rule(axis_size, in_batched, *args):
        leaves, treedef = tree.flatten(args)
        flags = treedef.flatten_up_to(tuple(in_batched))

        def one(examples):
            rest = iter(examples)
            return mapped(*treedef.unflatten(next(rest) if b else x for x, b in zip(leaves, flags, strict=True)))

        out = loop_map(one, [x for x, b in zip(leaves, flags, strict=True) if b])
        return out, tree.map(lambda _: True, out)

    return mapped


__all__ = ["custom_vmap", "sequential_vmap"]
