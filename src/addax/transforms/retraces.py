"""Why a jitted function is traced again (option ``explain_cache_misses``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from addax.core.logs import log
from addax.core.source_info import SourceInfo, user_frame
from addax.transforms.flat import argument_paths, describe_function


def explain(fun, key: tuple, known: Iterable[tuple], args: tuple, kwargs: dict) -> None:
    """Log why ``key`` is not among the ``known`` keys of traces of ``fun``: how it differs from the closest of them."""
    where = f"TRACING CACHE MISS at {SourceInfo(user_frame())}:\n  {describe_function(fun)} "
    known = list(known)[::-1]  # of equally close ones the latest is named
    if not known:
        log("jit", "%sis traced for the first time.", where)
        return
    names = argument_paths(fun, args, kwargs)
    reasons = min((differences(key, other, names) for other in known), key=len)
    listed = "\n".join(f"  * {reason}" for reason in reasons)
    log("jit", "%swas traced %d time(s) before. Against the closest of these:\n%s", where, len(known), listed)


def differences(key: tuple, before: tuple, names: Sequence[str]) -> list[str]:
    """Each part in which two keys of traces differ, in words."""
    (tree, avals, static, options, scope), (tree0, avals0, static0, options0, scope0) = key, before
    found = []
    if tree != tree0:
        found.append(f"the structure of the arguments is {tree}, before {tree0}")
    else:
        for i, (a, b) in enumerate(zip(avals, avals0, strict=True)):
            if a is not b:
                name = names[i] if i < len(names) else f"argument {i}"
                found.append(f"{name} is {describe_type(a, b)}, before {describe_type(b, a)}{advice(a, b)}")
    if static != static0:
        found.append(f"the static arguments are {values_of(static)}, before {values_of(static0)}")
    if options is not options0:
        changed = sorted({name for name, _, _ in options.items ^ options0.items})
        found.append("options differ: " + ", ".join(f"addax_{name}" for name in changed))
    if scope != scope0:
        found.append("it is called inside another mapped axis or mesh, or with arguments laid out otherwise over one")
    return found


def describe_type(aval: Any, other: Any) -> str:
    weak = " of weak type" if aval.weak_type and not other.weak_type else ""
    return aval.str_short(False) + weak


def advice(a: Any, b: Any) -> str:
    if a.shape != b.shape and a.dtype == b.dtype:
        return " (each new shape is traced once: pad to a few sizes if shapes keep changing)"
    if a.shape == b.shape and a.dtype == b.dtype and a.weak_type != b.weak_type:
        return " (a Python number in one call, an array in the other: wrap it in jnp.float32(...) or jnp.asarray)"
    return ""


def values_of(static: tuple) -> str:
    """The static arguments of a key, which stand there with their types."""
    pairs = [entry for part in static for entry in part]
    return ", ".join(f"{name}={value.value!r:.60}" for name, _, value in pairs) or "none"
