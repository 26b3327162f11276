"""What an option is: its type, its default, what it means and what it touches. The options are declared in `config.py`.

An option has one of three scopes:

* ``TRACE``: changes the jaxpr a function traces to (x64, promotion, PRNG layout). Part of `Context.trace_key`, hence of
  every trace cache key.
* ``DISPATCH``: changes how an already traced program is compiled or run (debug_nans, default_device). Part of the
  `Context`, hence of the call cache, but a change does not retrace.
* ``HOST``: read by Python code off the hot path only (logging, cache directories). Not part of the `Context`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

TRACE, DISPATCH, HOST = "trace", "dispatch", "host"

_TRUE_WORDS = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE_WORDS = frozenset({"0", "false", "f", "no", "n", "off", ""})


@dataclasses.dataclass(frozen=True)
class Option:
    """One option: `check` turns a value a user passed into the stored one, or raises ValueError."""

    name: str
    default: Any
    doc: str
    scope: str
    expects: str
    check: Callable[[Any], Any]
    parse: Callable[[str], Any]
    """Turns the text of an environment variable into a value (which `check` then sees)."""
    env: bool = True
    when_called_bare: Any = None
    """The value `option()` stands for, e.g. ``enable_x64()`` means ``enable_x64(True)``."""


def parse_bool(text: str) -> bool:
    """The truth value of an environment variable's text."""
    word = text.strip().lower()
    if word in _TRUE_WORDS:
        return True
    if word in _FALSE_WORDS:
        return False
    raise ValueError(f"expected a truth value such as 1, true, 0 or false, got {text!r}")


def _check_bool(value: Any) -> bool:
    if isinstance(value, str):
        return parse_bool(value)
    if value is None or isinstance(value, (bool, int)) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ValueError(f"expected a bool, got {value!r} of type {type(value).__name__}")


def flag(name: str, default: bool, doc: str, scope: str) -> Option:
    """A true-or-false option."""
    return Option(name, default, doc, scope, "True or False", _check_bool, parse_bool, when_called_bare=True)


def choice(
    name: str, choices: tuple[str, ...], default: str | None, doc: str, scope: str, *, optional: bool = False
) -> Option:
    """An option that takes one of a few words (and None, if `optional`)."""
    expects = "one of " + ", ".join(map(repr, choices)) + (" or None" if optional else "")

    def check(value: Any) -> str | None:
        if isinstance(value, enum.Enum):  # JAX has enums for some of these words
            value = value.value if isinstance(value.value, str) else value.name.lower()
        if value is None and optional:
            return None
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"expected {expects}, got {value!r}")
        return value

    return Option(name, default, doc, scope, expects, check, str)


def number(name: str, kind: type, default: Any, doc: str, scope: str) -> Option:
    """An int or float option."""
    expects = f"{'an' if kind is int else 'a'} {kind.__name__}"

    def check(value: Any) -> Any:
        accepted = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise ValueError(f"expected {expects}, got {value!r} of type {type(value).__name__}")
        return kind(value)

    def parse(raw: str) -> Any:
        try:
            return kind(raw)
        except ValueError:
            raise ValueError(f"expected {expects}, got {raw!r}") from None

    return Option(name, default, doc, scope, expects, check, parse)


def text(name: str, default: str | None, doc: str, scope: str) -> Option:
    """A string option; None unsets it."""

    def check(value: Any) -> str | None:
        if value is not None and not isinstance(value, str):
            raise ValueError(f"expected a string or None, got {value!r} of type {type(value).__name__}")
        return value

    return Option(name, default, doc, scope, "a string or None", check, str)
