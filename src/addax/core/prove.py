"""Deciding whether a polynomial over sizes is never negative.

Three sound rules, tried in turn; where none of them succeeds the answer is "not proved", never "no":

1. Write each factor as its lower bound plus something nonnegative (a variable is 1 plus something) and expand. If no
   coefficient is negative, the polynomial is at least its constant term. So a*b - a - b + 1 = a'*b' >= 0.
2. If ``e >= 0`` is known, then p is nonnegative when p - r*e is, for some r > 0. Those r are tried that cancel a term.
   What is known are the constraints of the scope,
3. and what the operations in p mean: q*floordiv(p, q) <= p < q*floordiv(p, q) + q for q > 0, max(p, q) >= p, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_DEPTH = 3


def at_least_zero(terms: dict, scope: Any) -> bool:
    """Whether it is proved that the polynomial is nonnegative for all values that the scope allows."""
    key = frozenset(terms.items())
    found = scope.proved.get(key)
    if found is None:
        found = scope.proved[key] = _prove(terms, scope, _DEPTH)
    return found


def _prove(terms: dict, scope: Any, depth: int) -> bool:
    least = _lower_bound(terms, scope, depth)
    if least is not None and least >= 0:
        return True
    negative = {m for m, c in terms.items() if c < 0}
    if depth == 0 or not negative:
        return False
    if negative == {()}:  # no term to get rid of, but one may bring a constant with it
        negative = set(terms)
    for fact in (*scope.facts, *_facts(terms, scope)):
        for monomial, c in fact.items():
            k = terms.get(monomial, 0)
            # |c| * p = |k| * fact + rest, with c and k of one sign
            if monomial and monomial in negative and (k > 0) == (c > 0):
                rest = {m: abs(c) * terms.get(m, 0) - abs(k) * fact.get(m, 0) for m in {**terms, **fact}}
                if _prove({m: v for m, v in rest.items() if v}, scope, depth - 1):
                    return True
    return False


def _lower_bound(terms: dict, scope: Any, depth: int) -> int | None:
    """A number that the polynomial is never below, by the first rule; None if that gives none."""
    bounds: dict[Any, int | None] = {}
    shifted: dict[tuple, int] = {}
    for monomial, c in terms.items():
        expanded: dict[tuple, int] = {(): c}
        for factor, exponent in monomial:
            if factor not in bounds:
                bounds[factor] = _least(factor, scope, depth)
            least = bounds[factor]
            for _ in range(exponent):
                after: dict[tuple, int] = {}
                for m, k in expanded.items():
                    more = tuple(sorted((*m, str(factor))))
                    after[more] = after.get(more, 0) + k
                    if least:
                        after[m] = after.get(m, 0) + k * least
                expanded = after
        for m, k in expanded.items():
            shifted[m] = shifted.get(m, 0) + k
    unbounded = {str(f) for f, least in bounds.items() if least is None}
    for m, k in shifted.items():
        if m and (k < 0 or (k and unbounded.intersection(m))):
            return None
    return shifted.get((), 0)


def _least(factor: Any, scope: Any, depth: int) -> int | None:
    """The lower bound of a variable or an operation."""
    known = scope.lower.get(factor)
    if isinstance(factor, str):
        return 1 if known is None else max(1, known)
    found = None if depth == 0 else _least_of(factor, scope, depth - 1)
    return known if found is None else found if known is None else max(found, known)


def _least_of(operation: Any, scope: Any, depth: int) -> int | None:
    lows = [_lower_bound(_terms(x), scope, depth) for x in operation.args]
    if operation.name == "max":
        return max((x for x in lows if x is not None), default=None)
    if operation.name == "min":
        return None if None in lows else min(x for x in lows if x is not None)
    p, q = lows
    if q is None or q <= 0:
        return None
    if operation.name == "mod":
        return 0
    by = operation.args[1]
    return None if p is None else p // by if isinstance(by, int) else 0 if p >= 0 else None


def _facts(terms: dict, scope: Any) -> Iterator[dict]:
    """What the operations in a polynomial mean, as polynomials that are at least zero."""
    operations = {f: None for monomial in terms for f, _ in monomial if not isinstance(f, str)}
    for operation in operations:
        itself = {((operation, 1),): 1}
        if operation.name in ("max", "min"):
            sign = 1 if operation.name == "max" else -1
            for x in operation.args:
                yield _sum((itself, sign), (_terms(x), -sign))
            continue
        p, q = map(_terms, operation.args)
        least = _lower_bound(q, scope, 1)
        if least is None or least <= 0:
            continue
        if operation.name == "mod":
            yield _sum((q, 1), ({(): 1}, -1), (itself, -1))
            smallest = _lower_bound(p, scope, 1)
            yield _sum((p, 1), (itself, -1)) if smallest is not None and smallest >= 0 else itself
        elif list(q) == [()]:
            times = {((operation, 1),): q[()]}
            yield _sum((p, 1), (times, -1))
            yield _sum((times, 1), (q, 1), ({(): 1}, -1), (p, -1))


def _terms(x: Any) -> dict:
    return {(): x} if isinstance(x, int) else x.terms


def _sum(*parts: tuple[dict, int]) -> dict:
    total: dict = {}
    for terms, sign in parts:
        for m, c in terms.items():
            total[m] = total.get(m, 0) + sign * c
    return {m: c for m, c in total.items() if c}
