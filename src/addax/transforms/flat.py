"""Between the user's functions, which speak pytrees, and the interpreters, which speak flat lists."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import get_aval, is_valid_type
from addax.core.builder import trace_to_jaxpr
from addax.core.errors import array_summary
from addax.core.jaxpr import ClosedJaxpr, DebugInfo
from addax.core.shared_programs import shared


class FlatFunction:
    """``fun`` on leaves: unflattens its arguments, calls, flattens the result and keeps its structure in `out_tree`."""

    def __init__(self, fun: Callable, in_tree, has_aux: bool = False):
        self.fun, self.in_tree, self.has_aux = fun, in_tree, has_aux
        self.out_tree: Any = None
        self.aux: Any = None

    def __call__(self, *leaves) -> list:
        args, kwargs = self.in_tree.unflatten(leaves)
        out = self.fun(*args, **kwargs)
        if self.has_aux:
            out, self.aux = split_aux(out)
        flat, self.out_tree = tree.flatten(out)
        check_results(flat, self.out_tree, self.fun)
        return [jax_array(x) for x in flat]


def check_results(outs: Sequence, out_tree, fun: Callable) -> None:
    """
    Raises:
      TypeError: naming the result that is not an array.
    """
    for i, x in enumerate(outs):
        if not is_valid_type(x):
            path = tree.flatten_with_path(out_tree.unflatten(range(len(outs))))[0][i][0]
            where = f"result{tree.keystr(path)}" if path else "its result"
            raise TypeError(
                f"function {describe_function(fun)} returned a value of type {_kind(x)} at {where}, "
                "which is not a valid array type. Return arrays, Python numbers, or pytrees of them."
            )


def _kind(x) -> str:
    return f"{type(x)}{f' with dtype {x.dtype}' if isinstance(x, np.ndarray) else ''}"


def hold_arguments(fun: Callable, args: tuple, positions: Collection[int], **held: Any) -> tuple[Callable, tuple]:
    """``fun`` as a function of the arguments that do not stand at these positions (nor in ``held``), and those."""
    fixed = {i: args[i] for i in positions}

    def call(*others, **kwargs):
        rest = iter(others)
        return fun(*(fixed[i] if i in fixed else next(rest) for i in range(len(args))), **kwargs, **held)

    return functools.update_wrapper(call, fun), tuple(a for i, a in enumerate(args) if i not in fixed)


def jax_array(x):
    """``x`` itself, or what its ``__jax_array__`` method says it stands for."""
    return x.__jax_array__() if hasattr(x, "__jax_array__") else x


def split_aux(out):
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise TypeError(
            "with has_aux=True the function must return a pair (value, auxiliary data), got "
            f"{array_summary(out)}: "
            "return (value, aux), or drop has_aux."
        )
    return out


def function_name(fun) -> str:
    return getattr(fun, "__name__", None) or type(fun).__name__


def describe_function(fun) -> str:
    """``f at file.py:12``"""
    code = getattr(inspect.unwrap(fun) if callable(fun) else fun, "__code__", None)
    return function_name(fun) + (f" at {code.co_filename}:{code.co_firstlineno}" if code else "")


def argument_paths(fun, args: tuple, kwargs: dict) -> list[str]:
    """A name per leaf, as the user would write it: ``params['w']``. Only computed for messages."""
    names: list[str]
    try:
        bound = inspect.signature(fun).bind(*args, **kwargs)
        ordered: list[tuple[str, Any]] = []
        for name, value in bound.arguments.items():
            kind = bound.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                ordered += [(f"{name}[{i}]", v) for i, v in enumerate(value)]
            elif kind is inspect.Parameter.VAR_KEYWORD:
                continue
            elif name not in kwargs:
                ordered.append((name, value))
        ordered += sorted(kwargs.items())
    except (TypeError, ValueError):
        ordered = [(f"args[{i}]", a) for i, a in enumerate(args)] + sorted(kwargs.items())
    names = []
    for name, value in ordered:
        names += [name + tree.keystr(path) for path, _ in tree.flatten_with_path(value)[0]]
    return names


class LazyDebugInfo(DebugInfo):
    """Names of a traced function and its arguments, worked out only when a message needs them."""

    __slots__ = ("_args", "_fun", "_kwargs", "_names")

    def __init__(self, fun, args: tuple = (), kwargs: dict | None = None):
        self._fun = fun
        # Structures of the arguments are enough for names; values are not kept alive.
        self._args, self._kwargs = _skeleton(args), _skeleton(kwargs or {})
        self._names: tuple[str, ...] | None = None
        self.result_paths, self.source = (), None

    @property
    def func_name(self) -> str:  # type: ignore[override]
        return describe_function(self._fun)

    @property
    def arg_names(self) -> tuple[str, ...]:  # type: ignore[override]
        if self._names is None:
            self._names = tuple(argument_paths(self._fun, self._args, self._kwargs))
        return self._names


def _skeleton(value):
    leaves, treedef = tree.flatten(value)
    return treedef.unflatten([0] * len(leaves))


def trace_captured(fun: Callable, in_tree, avals: Sequence, debug_info: DebugInfo | None = None):
    """Trace a function of pytrees into a program whose first arguments are the values that the function captures.

    Returns:
      ``(program, captured values, structure of the result)``
    """
    flat = FlatFunction(fun, in_tree)
    info = debug_info or LazyDebugInfo(fun, *in_tree.unflatten([0] * in_tree.num_leaves))
    jaxpr, consts = trace_to_jaxpr(flat, avals, info)
    program = jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])
    return shared(ClosedJaxpr(program)), consts, flat.out_tree


def check_leaves(fun, leaves: Sequence, args: tuple, kwargs: dict, transform: str) -> list:
    """The avals of the arguments.

    Raises:
      TypeError: naming the argument that is not an array.
    """
    avals = []
    for i, x in enumerate(leaves):
        try:
            avals.append(get_aval(x))
        except TypeError:
            if is_valid_type(x):
                raise
            names = argument_paths(fun, args, kwargs)
            where = names[i] if i < len(names) else f"number {i}"
            raise TypeError(
                f"Error interpreting argument to {describe_function(fun)} as an abstract array. The problematic value "
                f"is of type {_kind(x)} and was passed to the function at path {where}.\n"
                f"This typically means that a {transform}-wrapped function was called with a non-array argument, and "
                "this argument was not marked as static using the static_argnums or static_argnames parameters of "
                "addax.jit."
            ) from None
    return avals
