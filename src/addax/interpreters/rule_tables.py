"""The rules of primitives as tables keyed by primitive, which is how JAX keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from addax.core.primitive import Primitive, Refusal, registry


class RuleTable(MutableMapping):
    """``table[primitive] = rule`` sets an attribute of the primitive.

    Args:
      attribute: the attribute.
      to_ours, to_theirs: between a rule as it is registered here and as the attribute holds it, where the two differ.
    """

    def __init__(
        self,
        attribute: str,
        to_ours: Callable[..., Any] | None = None,
        to_theirs: Callable[[Primitive], Any] | None = None,
    ):
        self._attribute, self._to_ours, self._to_theirs = attribute, to_ours, to_theirs

    def __getitem__(self, primitive: Primitive) -> Any:
        rule = getattr(primitive, self._attribute)
        if rule is None or isinstance(rule, Refusal):
            raise KeyError(primitive)
        return rule if self._to_theirs is None else self._to_theirs(primitive)

    def __setitem__(self, primitive: Primitive, rule: Callable[..., Any]) -> None:
        if not isinstance(primitive, Primitive):
            raise TypeError(f"rules belong to primitives; got {primitive!r:.100} of type {type(primitive).__name__}")
        if not callable(rule):
            raise TypeError(f"a rule is a function; got {rule!r:.100} for {primitive}")
        setattr(primitive, self._attribute, rule if self._to_ours is None else self._to_ours(rule))

    def __delitem__(self, primitive: Primitive) -> None:
        self[primitive]
        setattr(primitive, self._attribute, Refusal(f"the rule {self._attribute!r} of {primitive} was deleted"))

    def __iter__(self) -> Iterator[Primitive]:
        return (p for p in list(registry.values()) if p in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, primitive: object) -> bool:
        rule = getattr(primitive, self._attribute, None)
        return rule is not None and not isinstance(rule, Refusal)

    def __repr__(self) -> str:
        return f"<the {self._attribute} rules of primitives>"
