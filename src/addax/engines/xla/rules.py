"""The table of lowering rules: for each primitive, how it is written in StableHLO.

A rule is ``(block, eqn, *operands) -> Value`` or a list of them, one per result. ``block`` is the `Block` to write to,
``eqn`` the equation with its parameters and types, operands are `Value`. Primitives with an ``expand`` rule need none.
A primitive that cannot be written has a `Refusal` that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax.core.primitive import Refusal

RULES: dict[str, Callable[..., Any]] = {}


def rule(*names: str):
    """Register the rule of one or several primitives."""

    def register(fun: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            RULES[name] = fun
        return fun

    return register


def refuse(name: str, reason: str) -> None:
    """Write down that a primitive has no lowering, and why."""
    RULES[name] = Refusal(reason)
