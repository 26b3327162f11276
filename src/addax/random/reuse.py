"""The check of ``addax.debug_key_reuse(True)``: a key that is consumed twice raises `KeyReuseError`.

Sampling from a key and splitting it consume it; `fold_in`, `key_data` and `clone` do not. A key is known by identity: the
array, or the tracer that stands for it while a function is traced. So reuse is found between eager calls, and inside one
traced function; what a compiled function does with a key it was passed is not seen from outside, nor are two keys made of
the same seed the same key. Legacy keys, which are plain arrays of words, are not watched.
"""

from __future__ import annotations

import weakref
from typing import Any

from addax.core.avals import get_aval
from addax.core.config import current_context
from addax.core.errors import KeyReuseError
from addax.core.source_info import SourceInfo, user_frame
from addax.core.trace import current_trace

# By the id of the key: (weak reference to it, the trace it was consumed under, by what, where). Arrays do not hash.
_consumed: dict[int, tuple[weakref.ref, Any, str, Any]] = {}


def consume(name: str, key) -> None:
    """Note that ``name`` draws from ``key``, if the check is on.

    A use under another trace than the last one does not count: branches and loop bodies are traced each on their own.

    Raises:
      KeyReuseError: if it was drawn from already.
    """
    if not current_context().debug_key_reuse:
        return
    trace, number = current_trace(), id(key)
    earlier = _consumed.get(number)
    if earlier is not None and earlier[0]() is key and earlier[1] is trace:
        raise KeyReuseError(
            f"the key of type {get_aval(key).str_short()} that random.{name} was given has been used already: "
            f"random.{earlier[2]} drew from it at {SourceInfo(earlier[3])}. The same numbers would come out where "
            "independent ones are expected.\nSplit the key and use each part once: `k1, k2 = random.split(key)`. If the "
            "same numbers are meant, pass `random.clone(key)`."
        )
    _consumed[number] = (weakref.ref(key, lambda _: _consumed.pop(number, None)), trace, name, user_frame())
