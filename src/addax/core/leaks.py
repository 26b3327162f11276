"""Finding tracers that outlive their trace (option ``check_tracer_leaks``)."""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any

from addax.core.errors import UnexpectedTracerError, type_name
from addax.core.trace import Trace, Tracer


def check_leaks(trace: Trace) -> None:
    """Fail if a tracer of a trace that has ended is still alive. The caller holds none itself any more.

    Raises:
      UnexpectedTracerError: naming each such value, where it was made, and what holds it.
    """
    gc.collect()
    leaked = [x for x in gc.get_referrers(trace) if isinstance(x, Tracer)]
    if not leaked:
        return
    lines = [f"Leaked tracer: {len(leaked)} value(s) outlive the {type(trace).__name__} that they belong to."]
    for x in leaked:
        lines.append(f"  {x!r}")
        lines += [f"    {line}" for line in x.origin().splitlines()]
        lines += [f"    held by {holder}" for holder in holders(x, ignore=(leaked, sys._getframe()))]
    lines.append("Return the value from the function instead of storing it; to look at values, use addax.debug.print.")
    raise UnexpectedTracerError("\n".join(lines))


def holders(x: Any, ignore: tuple, depth: int = 3) -> list[str]:
    """What refers to ``x``, as a user would write it: ``cache[0] of module __main__``."""
    found = []
    for holder in gc.get_referrers(x):
        if any(holder is other for other in ignore) or isinstance(holder, Tracer):
            continue
        if isinstance(holder, FrameType):
            if holder.f_code.co_filename != __file__:
                found += [f"the variable {name} of {holder.f_code.co_name}" for name in keys_of(holder.f_locals, x)]
            continue
        if isinstance(holder, list | tuple | set | dict):
            where = position(holder, x)
            for module in list(sys.modules.values()):
                if getattr(module, "__dict__", None) is holder:
                    return [f"{where} of module {module.__name__}"]
            outer = holders(holder, (*ignore, sys._getframe()), depth - 1) if depth else []
            found.append(f"{where} of a {type_name(holder)}" + (f", which is {outer[0]}" if outer else ""))
        elif type(holder).__name__ == "cell":
            found.append("a variable that an inner function captured")
        else:
            found.append(f"an object of type {type_name(holder)}")
    return found


# Loops, not comprehensions: an inner function that captures x would itself be found among its holders.


def keys_of(holder: dict[Any, Any], x: Any) -> list[Any]:
    found = []
    for key, value in holder.items():
        if value is x:
            found.append(key)
    return found


def position(holder: Any, x: Any) -> str:
    if isinstance(holder, dict):
        keys = keys_of(holder, x)
        return "a key" if not keys else keys[0] if isinstance(keys[0], str) else f"[{keys[0]!r}]"
    if not isinstance(holder, set):
        for i, value in enumerate(holder):
            if value is x:
                return f"element {i}"
    return "an element"
