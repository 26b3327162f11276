"""Looking into compiled programs: `print` and `callback` run on every call, with real values."""

from __future__ import annotations

import string
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import is_valid_type
from addax.ops.callback import HostFunction, debug_callback
from addax.transforms.flat import function_name
from addax.visualize import (
    inspect_array_sharding as inspect_array_sharding,
    visualize_array_sharding as visualize_array_sharding,
    visualize_sharding as visualize_sharding,
)

_builtin_print = print


class _Formatter(string.Formatter):
    """str.format that insists on using every argument, as a typo in a debug print should not pass."""

    def check_unused_args(self, used_args, args, kwargs):
        unused = [i for i in range(len(args)) if i not in used_args]
        missing = [k for k in kwargs if k not in used_args]
        if unused or missing:
            parts = [f"positional arguments {unused}"] * bool(unused) + [f"keyword arguments {missing}"] * bool(missing)
            raise ValueError(
                f"debug.print: unused {' and '.join(parts)} to the format string. Write one {{}} or {{name}} per value, "
                "e.g. debug.print('x = {x}', x=x). (f-strings print the tracer, not the value.)"
            )


_formatter = _Formatter()


def print(
    fmt: str, *args, ordered: bool = False, partitioned: bool = False, skip_format_check: bool = False, **kwargs
) -> None:
    """Print values from inside traced and compiled functions, on every call.

    Args:
      fmt: a format string as for ``str.format``: ``"loss = {loss:.3f}"``.
      args, kwargs: the values; traced ones print the numbers of each execution.
      ordered: keep prints in program order also where the engine could reorder them.

    >>> import addax
    >>> @addax.jit
    ... def f(x):
    ...     addax.debug.print("x = {x}", x=x)
    ...     return x * 2
    >>> y = f(3.0)
    x = 3.0
    """
    if not isinstance(fmt, str):
        raise TypeError(f"The first argument to debug.print must be a format string, got {type(fmt).__name__}.")
    if not skip_format_check:
        _formatter.format(fmt, *tree.map(_Placeholder, args), **tree.map(_Placeholder, kwargs))

    def show(*a, **k):
        sys.stdout.write(fmt.format(*a, **k) + "\n")

    callback(show, *args, ordered=ordered, **kwargs)


class _Placeholder:
    """Accepts any format specification, so the format string can be checked before there are values."""

    def __init__(self, value):
        self.value = value

    def __format__(self, spec: str) -> str:
        return ""

    def __getattr__(self, name: str):
        return self

    def __getitem__(self, index):
        return self


def callback(fun: Callable[..., Any], *args, ordered: bool = False, partitioned: bool = False, **kwargs) -> None:
    """Call a Python function with the values of ``args`` on every execution; its result is ignored.

    Under `vmap` it is called once per example, under `grad` with the primal values.
    """
    if not callable(fun):
        raise TypeError("first argument to debug.callback must be callable, but got an object of type "
                        f"{type(fun).__name__}")  # fmt: skip
    leaves, treedef = tree.flatten((args, kwargs))
    dynamic = [is_valid_type(x) for x in leaves]

    def host(*arrays):
        rest = iter(arrays)
        values = [_present(next(rest)) if d else x for d, x in zip(dynamic, leaves_static, strict=True)]
        a, k = treedef.unflatten(values)
        fun(*a, **k)
        return ()

    leaves_static = [None if d else x for x, d in zip(leaves, dynamic, strict=True)]
    live = [x for x, d in zip(leaves, dynamic, strict=True) if d]
    debug_callback.bind(*live, callback=HostFunction(host, function_name(fun)), ordered=ordered)


def _present(x):
    """What the user's function sees: a NumPy array of its own (the program's memory is reused)."""
    return np.array(x)


__all__ = ["callback", "print"]
