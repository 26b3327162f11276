"""Looking into compiled programs: `print`, `callback` and `breakpoint` run on every call, with real values."""

from __future__ import annotations

import string
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import get_aval, is_valid_type
from addax.core.source_info import current_source
from addax.ops.callback import HostFunction, debug_callback, host_arguments
from addax.transforms.flat import function_name
from addax.visualize import (
    inspect_array_sharding as inspect_array_sharding,
    visualize_array_sharding as visualize_array_sharding,
    visualize_sharding as visualize_sharding,
)


def check_format(name: str, fmt: str, args: tuple, kwargs: dict, all_used: bool = True) -> None:
    """
    Raises:
      LookupError: if a format string asks for a value that is not given.
      ValueError: if ``all_used`` and it leaves one out.
    """
    _Formatter(name, all_used).format(fmt, *tree.map(_Placeholder, args), **tree.map(_Placeholder, kwargs))


class _Formatter(string.Formatter):
    """str.format that says what is missing, and insists on using every argument: a typo in a debug print should not pass."""

    def __init__(self, name: str, all_used: bool):
        self.name, self.all_used = name, all_used

    def get_value(self, key, args, kwargs):
        try:
            return super().get_value(key, args, kwargs)
        except LookupError as e:
            given = ", ".join([*map(str, range(len(args))), *kwargs]) or "none"
            raise type(e)(f"{self.name}: the format string asks for {{{key}}}; the values given are: {given}") from None

    def check_unused_args(self, used_args, args, kwargs):
        if not self.all_used:
            return
        unused = [i for i in range(len(args)) if i not in used_args]
        missing = [k for k in kwargs if k not in used_args]
        if unused or missing:
            parts = [f"positional arguments {unused}"] * bool(unused) + [f"keyword arguments {missing}"] * bool(missing)
            raise ValueError(
                f"{self.name}: unused {' and '.join(parts)} to the format string. Write one {{}} or {{name}} per value, "
                "e.g. debug.print('x = {x}', x=x). (f-strings print the tracer, not the value.)"
            )


def print(
    fmt: str | None = None, /, *args, ordered: bool = False, partitioned: bool = False, skip_format_check: bool = False,
    **kwargs,
) -> Any:  # fmt: skip
    """Print values from inside traced and compiled functions, on every call.

    In the two-call form, ``debug.print(ordered=True)("x = {x}", x=x)``, the first call takes the options, and the second may
    use their names for values.

    Args:
      fmt: a format string as for ``str.format``: ``"loss = {loss:.3f}"``.
      args, kwargs: the values; traced ones print the numbers of each execution.
      ordered: keep prints in program order also where the engine could reorder them.
      partitioned: accepted for JAX programs: under `shard_map` every device prints what it has.
      skip_format_check: let ``fmt`` leave arguments unused.

    >>> import addax
    >>> @addax.jit
    ... def f(x):
    ...     addax.debug.print("x = {x}", x=x)
    ...     return x * 2
    >>> y = f(3.0)
    x = 3.0
    """
    if fmt is None:
        _check_options_only("debug.print", args, kwargs)
        return lambda fmt, /, *a, **k: _show(_write, fmt, a, k, ordered, skip_format_check)
    return _show(_write, fmt, args, kwargs, ordered, skip_format_check)


def log(
    fmt: str | None = None, /, *args, ordered: bool = False, partitioned: bool = False, skip_format_check: bool = False,
    **kwargs,
) -> Any:  # fmt: skip
    """Like `print`, but the text goes to the logger ``addax.debug``, with level INFO."""
    if fmt is None:
        _check_options_only("debug.log", args, kwargs)
        return lambda fmt, /, *a, **k: _show(_log, fmt, a, k, ordered, skip_format_check)
    return _show(_log, fmt, args, kwargs, ordered, skip_format_check)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


def _log(text: str) -> None:
    import logging  # 3 ms of a program's start

    logging.getLogger("addax.debug").info("%s", text)


def _show(
    sink: Callable[[str], None], fmt: str, args: tuple, kwargs: dict, ordered: bool, skip_format_check: bool
) -> None:
    if not isinstance(fmt, str):
        raise TypeError(f"The first argument to debug.print must be a format string, got {type(fmt).__name__}.")
    if not skip_format_check:
        check_format("debug.print", fmt, args, kwargs)

    def show(*a, **k):
        sink(fmt.format(*a, **k))

    _call_back(show, args, kwargs, ordered)


def _check_options_only(name: str, args: tuple, kwargs: dict) -> None:
    if args or kwargs:
        raise TypeError(
            f"{name} received unexpected arguments in the two-call form: args={args} kwargs={kwargs}. The first call takes "
            "options only; values go into the second."
        )


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


def callback(
    callback: Callable[..., Any] | None = None, /, *args, ordered: bool = False, partitioned: bool = False, **kwargs
) -> Any:
    """Call a Python function with the values of ``args`` on every execution; its result is ignored.

    Under `vmap` it is called once per example, under `grad` with the primal values. What it raises is raised by the call of
    the program. The two-call form is ``debug.callback(ordered=True)(f, *args, **kwargs)``.

    Args:
      ordered: calls happen in program order, across jitted functions, loops and branches.
      partitioned: accepted for JAX programs: under `shard_map` every device calls with what it has.
    """
    if callback is None:
        _check_options_only("debug.callback", args, kwargs)
        return lambda fun, /, *a, **k: _call_back(fun, a, k, ordered)
    return _call_back(callback, args, kwargs, ordered)


def _call_back(fun: Callable[..., Any], args: tuple, kwargs: dict, ordered: bool) -> None:
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
    live = host_arguments([x for x, d in zip(leaves, dynamic, strict=True) if d])
    debug_callback.bind(*live, callback=HostFunction(host, function_name(fun), current_source()), ordered=ordered)


def _present(x):
    """What the user's function sees: a NumPy array of its own (the program's memory is reused)."""
    return np.array(x)


def breakpoint(
    *, backend: str | None = None, filter_frames: bool = True, num_frames: int | None = None, ordered: bool = False,
    token: Any = None, **kwargs,
) -> None:  # fmt: skip
    """Stop in a console when the program gets here, also in compiled code: see and compute with the values of this run.

    It works under `jit` (nested, too), `vmap` (once per example), `grad`, and in loops and branches. The console knows the
    commands of pdb: ``p x``, ``pp x``, ``v`` (all variables), ``l`` (source), ``w`` (frames), ``u`` and ``d`` (up and down
    them), ``c`` (continue), ``q`` (quit: the call raises `bdb.BdbQuit`); anything else is run as Python.

    Args:
      backend: None or "cli"; there is no other console.
      filter_frames: leave out the frames of addax.
      num_frames: how many frames to keep, counted from the innermost; all of them by default.
      ordered: as for `callback`.
      stdin, stdout: files to talk to instead of the terminal.

    Values that are known while tracing are shown as they were then.

    >>> import addax, io, numpy as np
    >>> out = io.StringIO()
    >>> @addax.jit
    ... def f(x):
    ...     y = x * 2
    ...     addax.debug.breakpoint(stdin=io.StringIO("p y + 1\\nc\\n"), stdout=out)
    ...     return y
    >>> _ = f(np.float32(3))
    >>> out.getvalue().splitlines()[-2]
    '(addax) Array(7., dtype=float32)'
    """
    if backend not in (None, "cli"):
        raise ValueError(f"debug.breakpoint: the only backend is 'cli', got {backend!r}")
    from addax import debug_console  # with cmd and pprint, which few programs need

    frames, operands = debug_console.capture(sys._getframe(1), num_frames, filter_frames)
    avals = [get_aval(x) for x in operands]

    def stop(*arrays):
        debug_console.Console(frames, debug_console.as_values(arrays, avals), **kwargs).run()
        return ()

    debug_callback.bind(
        *host_arguments(operands), callback=HostFunction(stop, "breakpoint", current_source()), ordered=ordered
    )


__all__ = ["breakpoint", "callback", "log", "print"]
