"""Errors as values: `checkify` makes a function return what went wrong in it beside its result.

>>> import addax, addax.numpy as jnp
>>> from addax.experimental import checkify
>>> @addax.jit
... @checkify.checkify
... def f(x):
...     checkify.check(x > 0, "must be positive, is {x}", x=x)
...     return jnp.log(x)
>>> error, y = f(-1.0)
>>> print(error.get().splitlines()[0])
must be positive, is -1.0 (`check` failed)

A `check` needs no `checkify`: where none collects it, the call of the compiled program raises. With the option
``addax_debug_checks`` all programs look for NaN, divisions by zero and indices out of bounds, too, and raise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import get_aval, is_valid_type
from addax.core.builder import trace_to_jaxpr
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr
from addax.core.source_info import current_source
from addax.core.trace import Tracer, base_trace, current_trace
from addax.debug import check_format
from addax.ops.check import CheckError, FailedCheckError, JaxRuntimeError, Site, check_p, error_at
from addax.transforms.checkify import DIVISION, INDEX, NAN, USER, Kinds, choose, functionalized
from addax.transforms.flat import FlatFunction, LazyDebugInfo, check_leaves, jax_array

ErrorCategory = type[CheckError]

user_checks: Kinds = USER
nan_checks: Kinds = NAN
div_checks: Kinds = DIVISION
index_checks: Kinds = INDEX
float_checks: Kinds = NAN | DIVISION
automatic_checks: Kinds = float_checks | INDEX
all_checks: Kinds = automatic_checks | USER


class Error:
    """What went wrong first in a function, if anything did. A pytree: it may leave `jit`, and has an axis after `vmap`."""

    __slots__ = ("_code", "_sites", "_values")

    def __init__(self, sites: Sequence[Site] = (), code: Any = None, values: Sequence[Any] = ()):
        self._sites, self._code, self._values = tuple(sites), code, list(values)

    def _all(self) -> list[tuple[tuple[int, ...], CheckError]]:
        """The errors, each with its index along mapped axes."""
        if not self._sites:
            return []
        if isinstance(self._code, Tracer):
            raise ValueError(
                "Error: whether something went wrong is known when the program runs, not while it is traced. Return the "
                "error from the transformed function, or use checkify.check_error(error) inside it."
            )
        code, values = np.asarray(self._code), [np.asarray(v) for v in self._values]
        found = []
        for at in map(tuple, np.argwhere(code)):
            error = error_at(self._sites, int(code[at]), [v[at] for v in values])
            assert error is not None
            found.append((tuple(map(int, at)), error))
        return found

    def get(self) -> str | None:
        """The message, with the line of the user; None if nothing went wrong. After `vmap`, one per example that failed."""
        found = self._all()
        if not found:
            return None
        if not found[0][0]:
            return str(found[0][1])
        return "\n".join(f"at mapped index {', '.join(map(str, at))}: {error}" for at, error in found)

    def get_exception(self) -> CheckError | None:
        """The exception itself; after `vmap`, that of the first example that failed."""
        found = self._all()
        return found[0][1] if found else None

    def throw(self) -> None:
        """Raise what went wrong.

        Raises:
          JaxRuntimeError: with the message of `get`.
        """
        check_error(self)

    def __str__(self) -> str:
        return f"Error({'<traced>' if isinstance(self._code, Tracer) else self.get()})"

    __repr__ = __str__


tree.register_pytree_node(
    Error,
    lambda e: (() if e._code is None else (e._code, *e._values), e._sites),
    lambda sites, children: Error(sites, children[0], children[1:]) if sites else Error(),
)

init_error = Error()


def checkify(f: Callable, errors: Kinds = user_checks) -> Callable:
    """A function that returns ``(error, f(...))``: what went wrong first in ``f``, as an `Error`, and its result.

    Args:
      f: may be jitted, mapped or differentiated, and contain loops and branches.
      errors: what to look for: ``user_checks`` (the calls of `check`), ``nan_checks`` (operations that make NaN),
        ``div_checks`` (divisions by zero), ``index_checks`` (indices out of bounds), ``float_checks`` (the last two but
        one), ``automatic_checks`` (all but the user's), ``all_checks``, or a union of these sets (``|``).

    After a failure the program goes on. In a batched function the first example that failed is reported; to get all of
    them map the checkified function. Rules of custom derivatives are followed, but checks inside the rules themselves
    raise, as they would without `checkify`.

    Differences from JAX: messages end in the line of the user, and a NaN is put down to the operation that computes it,
    not to one that merely passes it on (a reshape).

    >>> import addax, addax.numpy as jnp
    >>> from addax.experimental import checkify
    >>> f = checkify.checkify(lambda x, i: jnp.sin(x)[i], errors=checkify.index_checks)
    >>> error, _ = f(jnp.arange(3.0), 5)
    >>> print(error.get().splitlines()[0])
    out-of-bounds indexing for array of shape (3,): index 5 is out of bounds for axis 0 with size 3.
    """
    if not callable(f):
        raise TypeError(f"Expected a callable value, got {f!r:.100}: checkify takes the function, not its result.")
    kinds = frozenset(errors)

    @functools.wraps(f)
    def checked_fun(*args, **kwargs):
        leaves, in_tree = tree.flatten((args, kwargs))
        avals = check_leaves(f, leaves, args, kwargs, "checkify")
        flat = FlatFunction(f, in_tree)
        closed = ClosedJaxpr(*trace_to_jaxpr(flat, avals, LazyDebugInfo(f, args, kwargs)))
        made = functionalized(closed, kinds)
        n = len(closed.out_avals)
        outs = eval_jaxpr(made.program.jaxpr, made.program.consts, *map(jax_array, leaves))
        error = Error(made.sites, outs[n], outs[n + 1 :]) if made.sites else Error()
        return error, flat.out_tree.unflatten(outs[:n])

    return checked_fun


def check(pred, msg: str, *fmt_args, debug: bool = False, **fmt_kwargs) -> None:
    """Fail unless ``pred`` holds.

    `checkify` collects the failure. Where nothing does, the call of the compiled program raises it when the program has
    run (JAX refuses to compile such a program).

    Args:
      pred: a boolean scalar.
      msg: a format string for the message: ``"x is {x}"``.
      fmt_args, fmt_kwargs: arrays whose values go into the message.
      debug: check only under `checkify` and ``addax_debug_checks``.

    Raises:
      TypeError: if ``pred`` is not a boolean scalar or a value is not an array.
      LookupError: if ``msg`` asks for a value that is not given (in JAX when the check fails).
    """
    aval = get_aval(pred) if is_valid_type(pred) else None
    if aval is None or aval.shape != () or aval.dtype != np.bool_:
        raise TypeError(f"check takes a scalar pred as argument, got {pred!r:.200}. Reduce it with .all() or .any().")
    if not isinstance(msg, str):
        raise TypeError(f"check takes a format string as message, got {type(msg).__name__}.")
    check_format("checkify.check", msg, fmt_args, fmt_kwargs, all_used=False)
    values, treedef = tree.flatten((fmt_args, fmt_kwargs))
    for v in values:
        if not is_valid_type(v):
            raise TypeError(
                f"Formatting arguments to checkify.check need to be PyTrees of arrays, but got {v!r} of type {type(v)}. Put "
                "what is known while tracing into the message itself."
            )

    def describe(*arrays):
        args, kwargs = treedef.unflatten(a[()] for a in arrays)
        return msg.format(*args, **kwargs) + " (`check` failed)"

    site = Site(FailedCheckError, describe, [get_aval(v).strip_weak_type() for v in values], current_source())
    if current_trace() is base_trace:
        if not debug and not pred:
            raise JaxRuntimeError(str(site.error([np.asarray(v) for v in values])))
        return
    check_p.bind(
        choose(pred, np.int32(0), np.int32(site.number)), *values, sites=(site,), kind=JaxRuntimeError, debug=debug
    )


def debug_check(pred, msg: str, *fmt_args, **fmt_kwargs) -> None:
    """A `check` that is made under `checkify` and ``addax_debug_checks`` only."""
    check(pred, msg, *fmt_args, debug=True, **fmt_kwargs)


def check_error(error: Error) -> None:
    """Raise an error, or, inside a `checkify`'d function, make it that function's.

    Raises:
      JaxRuntimeError: if something went wrong.
    """
    if not isinstance(error, Error):
        raise TypeError(f"check_error takes an Error as argument, got type {type(error)} instead.")
    if not error._sites:
        return
    if isinstance(error._code, Tracer) or current_trace() is not base_trace:
        check_p.bind(error._code, *error._values, sites=error._sites, kind=JaxRuntimeError, debug=False)
        return
    message = error.get()
    if message is not None:
        raise JaxRuntimeError(message) from error.get_exception()


__all__ = [
    "Error", "ErrorCategory", "JaxRuntimeError", "all_checks", "automatic_checks", "check", "check_error", "checkify",
    "debug_check", "div_checks", "float_checks", "index_checks", "init_error", "nan_checks", "user_checks",
]  # fmt: skip
