"""``check``: an equation that raises unless its code is 0. What `addax.experimental.checkify` collects instead.

Operands: the code, an int32 of any shape, whose entries are 0 or the number of the `Site` that failed, and the values that
the messages of the sites show, each with the shape of the code in front. There are no results.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax.core.builder import trace_to_jaxpr
from addax.core.execution import effect_rules
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import Refusal, registry
from addax.core.source_info import SourceInfo, user_frame
from addax.interpreters.values import Axis, convert, to_front, zeros
from addax.ops.callback import Effect, HostFunction, debug_callback, debug_effect
from addax.ops.rules import program_primitive


class CheckError(Exception):
    """What a check found. The subclasses are the categories of errors that `checkify` can look for."""


class FailedCheckError(CheckError):
    """A `check` of the user failed."""


class NaNError(CheckError):
    """An operation made a NaN."""


class DivisionByZeroError(CheckError):
    """A division by zero."""


class OOBError(CheckError):
    """An index out of bounds."""


_numbers = itertools.count(1)


class Site:
    """A place in a program where something is checked.

    Args:
      kind: the class of its error.
      describe: the message, given the values that belong to it.
      avals: the types of these values.
      source: the line of the user; None in programs that are run from many, for the line that runs it.
    """

    __slots__ = ("avals", "describe", "kind", "number", "source")

    def __init__(self, kind: type[CheckError], describe: Callable[..., str], avals: Sequence[Any], source: Any):
        self.kind, self.describe, self.avals, self.source = kind, describe, tuple(avals), source
        self.number = next(_numbers)

    def error(self, values: Sequence[np.ndarray]) -> CheckError:
        source = user_frame() if self.source is None else self.source
        return self.kind(self.describe(*values) + ("" if source is None else f"\n  at {SourceInfo(source)}"))

    def __repr__(self) -> str:
        return f"{self.kind.__name__}#{self.number}"


def error_at(sites: Sequence[Site], code: int, values: Sequence[np.ndarray]) -> CheckError | None:
    """The error that a code stands for, given the values of all sites."""
    for site in sites:
        n = len(site.avals)
        if site.number == code:
            return site.error(values[:n])
        values = values[n:]
    return None


class JaxRuntimeError(ValueError):
    """A check failed."""


def raise_first(sites: Sequence[Site], code: np.ndarray, values: Sequence[np.ndarray], kind: type[Exception]) -> None:
    """Raise the error of the first entry of ``code`` that is not 0."""
    for at in np.argwhere(code)[:1]:
        error = error_at(sites, int(code[tuple(at)]), [v[tuple(at)] for v in values])
        raise kind(str(error)) from None


check_effect = Effect("Check")
_EFFECTS = frozenset({check_effect, debug_effect})  # the second is that of the callback which it becomes
effect_rules[check_effect] = "addax.transforms.checkify"


def _type(code, *values, sites: tuple[Site, ...], **_):
    wanted = [a.update(shape=(*code.shape, *a.shape)) for s in sites for a in s.avals]
    if [(v.shape, v.dtype) for v in values] != [(a.shape, a.dtype) for a in wanted]:
        raise TypeError(f"check: expected values of types {wanted}, got {list(values)}")
    return []


def _batch(axis: Axis, args, dims, **params):
    check_p.bind(*(to_front(x, d, axis.size) for x, d in zip(args, dims, strict=True)), **params)
    return [], []


def _expand(*avals, sites: tuple[Site, ...], kind: type[Exception], debug: bool) -> ClosedJaxpr:
    """For engines: where the code is not 0 a callback that raises ``kind``; nothing for a ``debug`` check that nobody
    collected.
    """

    def host(code, *values):
        raise_first(sites, np.asarray(code), [np.asarray(v) for v in values], kind)
        return ()

    def fail(*args):
        debug_callback.bind(*args, callback=HostFunction(host, "check"), ordered=False)
        return []

    def program(code, *values):
        if not debug:
            failed = registry["ne"].bind(code, zeros(avals[0].strip_weak_type()))
            if avals[0].shape:
                failed = registry["reduce_or"].bind(failed, axes=tuple(range(avals[0].ndim)))
            branches = tuple(ClosedJaxpr(*trace_to_jaxpr(f, avals)) for f in (lambda *_: [], fail))
            registry["cond"].bind(convert(failed, np.dtype(np.int32)), code, *values, branches=branches)
        return []

    return ClosedJaxpr(*trace_to_jaxpr(program, avals))


def _jvp(primals, tangents, **params):
    return check_p.bind(*primals, **params), []


check_p = program_primitive(
    "check", _type, jvp=_jvp, transpose=Refusal("a check sees values, and a linear program has none yet"), batch=_batch,
    effects=lambda *_, **__: _EFFECTS, expand=_expand,
)  # fmt: skip

__all__ = [
    "CheckError", "DivisionByZeroError", "FailedCheckError", "JaxRuntimeError", "NaNError", "OOBError", "Site", "check_p",
    "error_at", "raise_first",
]  # fmt: skip
