"""Symbolic sizes of dimensions: ``a``, ``2*b + 1``, ``floordiv(a, 2)``.

A `Dim` is a polynomial with integer coefficients over *factors*: dimension variables, which stand for integers of at
least 1, and operations that polynomials cannot express (``floordiv``, ``mod``, ``max``, ``min``). It is kept in a normal
form, so equal polynomials are equal objects to ``==`` and ``hash``, and a constant one is a Python int.

Comparisons answer for *all* values of the variables at once. ``a >= 1`` is True; ``a >= 2`` depends on ``a`` and raises
`InconclusiveDimensionOperation`, unless a constraint of the scope decides it (`prove` says how). Only ``==`` never raises,
because sizes are keys of tables: it is True if the two are equal for all values, and False otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from addax.core.primitive import registry
from addax.core.prove import at_least_zero
from addax.core.sizes import SymbolicSize
from addax.core.source_info import SourceInfo, user_frame
from addax.core.symbolic_text import read_constraint
from addax.core.trace import base_trace, current_trace

INTEGERS = (int, np.integer)


class InconclusiveDimensionOperation(Exception):
    """What was asked of a symbolic size has different answers for different values of its variables."""


class Operation(NamedTuple):
    """``floordiv(p, q)``, ``mod(p, q)``, ``max(...)`` or ``min(...)`` of sizes, where no polynomial equals it."""

    name: str
    args: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.args))})"


# A factor is the name of a variable or an Operation; a monomial is a sorted tuple of (factor, exponent).
Factor = str | Operation
Monomial = tuple[tuple[Factor, int], ...]
Terms = dict[Monomial, int]


def _factor_key(factor: Factor) -> tuple:
    return (0, factor) if isinstance(factor, str) else (1, str(factor))


def _monomial_key(monomial: Monomial) -> tuple:
    """The order in which terms are written, last first: by degree, then by number of factors, then by name."""
    degree = sum(e for _, e in monomial)
    return degree, len(monomial), tuple((*_factor_key(f), e) for f, e in monomial)


class Scope:
    """Dimension variables that may stand in one expression, and what is known of them.

    Args:
      constraints: such as ``"a >= 8"``, ``"b <= 2*a"``, ``"mod(a, 4) == 0"``. Inequalities help to decide comparisons.
        An equality makes its left side, if that is one term, stand for its right side.

    Raises:
      ValueError: for a constraint that cannot be read, or that no values satisfy.
    """

    def __init__(self, constraints: Iterable[str] = ()):
        self.source = user_frame()
        self.facts: list[Terms] = []  # polynomials that are at least zero
        self.lower: dict[Factor, int] = {}  # bounds of single factors among them
        self.rewrites: list[tuple[Monomial, int, Terms]] = []  # coefficient * monomial = polynomial
        self.proved: dict[frozenset, bool] = {}  # see prove.py
        self.constraints: list[tuple[str, str, Any, Any]] = []  # (text, "==" or ">=", left, right)
        for text in constraints:
            self._add(text, *read_constraint(text, self))

    def _add(self, text: str, left: Any, relation: str, right: Any) -> None:
        self.proved.clear()
        if relation == "<=":
            left, relation, right = right, ">=", left
        self.constraints.append((text, relation, left, right))
        difference = left - right
        if not isinstance(difference, Dim):
            if difference < 0 or (difference and relation == "=="):
                raise ValueError(f"no sizes satisfy the constraint {text!r}: it says {left} {relation} {right}.")
            return
        terms = difference.terms
        if relation == ">=":
            self._bound(terms)
            return
        self._bound(terms)
        self._bound(_scaled(terms, -1))
        lead = left if isinstance(left, Dim) else right
        if isinstance(lead, Dim) and len(lead.terms) == 1:
            ((monomial, coefficient),) = lead.terms.items()
            if _mentions(right if lead is left else left, monomial):  # a == 2*a - 4: no end of rewriting
                return
            self.rewrites.append((monomial, coefficient, _terms_of(right if lead is left else left)))
            factor = monomial[0][0]
            if (
                isinstance(factor, Operation)
                and factor.name == "mod"
                and monomial == ((factor, 1),)
                and coefficient == 1
            ):
                whole, by = factor.args  # mod(p, q) == r means q * floordiv(p, q) == p - r
                times = _only_term(_operation("floordiv", self, whole, by) * by)
                if times is not None:
                    self.rewrites.append((*times, _terms_of(whole - (right if lead is left else left))))

    def _bound(self, terms: Terms) -> None:
        self.facts.append(terms)
        rest = [m for m in terms if m]
        if len(rest) == 1 and len(rest[0]) == 1 and rest[0][0][1] == 1 and terms[rest[0]] > 0:
            factor = rest[0][0][0]
            least = -(terms.get((), 0) // terms[rest[0]])
            self.lower[factor] = max(least, self.lower.get(factor, least))

    def variable(self, name: str) -> Dim:
        """The variable of this name."""
        return _make({((name, 1),): 1}, self)

    def __str__(self) -> str:
        where = f"scope created at {SourceInfo(self.source)}"
        if not self.constraints:
            return where
        return "\n  ".join([f"{where} with constraints:", *(c[0] for c in self.constraints)])


class Dim(SymbolicSize):
    """A symbolic size. Made by `addax.export.symbolic_shape` and by arithmetic; see the module.

    Integers and other sizes of the same scope combine with ``+ - * // % **`` and `divmod`; with arrays and floats, a size
    becomes an integer scalar (`dim_as_value` in the program).
    """

    __slots__ = ("_hash", "scope", "terms")
    __array_ufunc__ = None  # NumPy's integers leave arithmetic to the methods here

    terms: Terms
    scope: Scope

    # -- identity and text

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Dim) and self.scope is other.scope and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        text = ""
        for monomial in sorted(self.terms, key=_monomial_key, reverse=True):
            c = self.terms[monomial]
            factors = [str(f) if e == 1 else f"{f}^{e}" for f, e in monomial]
            if abs(c) != 1 or not factors:
                factors.insert(0, str(abs(c)))
            sign = "- " if c < 0 else "+ "
            text += (" " if text else "") + (sign if text or c < 0 else "") + "*".join(factors)
        return text

    __str__ = __repr__

    def __reduce__(self):
        raise TypeError(
            f"The symbolic size {self} cannot be pickled: it belongs to a scope. Export the function with addax.export "
            "and serialize that."
        )

    def variables(self) -> set[str]:
        """The names of the variables that stand in it."""
        return set(_variables(self.terms))

    # -- arithmetic

    def __add__(self, other):
        if not isinstance(other, _SIZES):
            return self._as_array_with(other, "__add__")
        scope = common_scope(self, other)
        total = dict(self.terms)
        for monomial, c in _terms_of(other).items():
            total[monomial] = total.get(monomial, 0) + c
        return _make(total, scope)

    def __mul__(self, other):
        if not isinstance(other, _SIZES):
            return self._as_array_with(other, "__mul__")
        return _make(_product(self.terms, _terms_of(other)), common_scope(self, other))

    def __neg__(self):
        return self * -1

    def __pos__(self):
        return self

    def __sub__(self, other):
        return self + -other if isinstance(other, _SIZES) else self._as_array_with(other, "__sub__")

    def __rsub__(self, other):
        return -self + other if isinstance(other, _SIZES) else self._as_array_with(other, "__rsub__")

    def __radd__(self, other):
        return self + other if isinstance(other, _SIZES) else self._as_array_with(other, "__radd__")

    def __rmul__(self, other):
        return self * other if isinstance(other, _SIZES) else self._as_array_with(other, "__rmul__")

    def __pow__(self, other):
        if not isinstance(other, INTEGERS) or other < 0:
            return self._as_array_with(other, "__pow__")
        result: Any = 1
        for _ in range(int(other)):
            result = self * result
        return result

    def __floordiv__(self, other):
        return _divide(self, other)[0] if isinstance(other, _SIZES) else self._as_array_with(other, "__floordiv__")

    def __rfloordiv__(self, other):
        return _divide(other, self)[0] if isinstance(other, _SIZES) else self._as_array_with(other, "__rfloordiv__")

    def __mod__(self, other):
        return _divide(self, other)[1] if isinstance(other, _SIZES) else self._as_array_with(other, "__mod__")

    def __rmod__(self, other):
        return _divide(other, self)[1] if isinstance(other, _SIZES) else self._as_array_with(other, "__rmod__")

    def __divmod__(self, other):
        return _divide(self, other)

    def __rdivmod__(self, other):
        return _divide(other, self)

    def __truediv__(self, other):
        return self._as_array_with(other, "__truediv__")

    def __rtruediv__(self, other):
        return self._as_array_with(other, "__rtruediv__")

    def maximum(self, other):
        """The larger of two sizes: one of them if that is decided, else ``max(a, b)``."""
        return _extreme("max", self, other)

    def minimum(self, other):
        """The smaller of two sizes."""
        return _extreme("min", self, other)

    def _as_array_with(self, other, method: str):
        """Arithmetic with what is no size: that of arrays."""
        if isinstance(other, Dim):
            other = other.__jax_array__()
        elif hasattr(other, "aval"):
            return NotImplemented  # arrays know what to do with a size
        return getattr(self.__jax_array__(), method)(other)

    def __jax_array__(self):
        """The size as a scalar of the program being traced, of the default integer type."""
        if current_trace() is base_trace:
            raise self._inconclusive(
                f"'{self}' has no value outside of a traced program.", "Use it inside the function that is exported."
            )
        return registry["dim_as_value"].bind(dim=self)

    # -- questions

    def __ge__(self, other):
        return self._compare(">=", other, lambda: self - other)

    def __le__(self, other):
        return self._compare("<=", other, lambda: other - self)

    def __gt__(self, other):
        return self._compare(">", other, lambda: self - other - 1)

    def __lt__(self, other):
        return self._compare("<", other, lambda: other - self - 1)

    def _compare(self, sign: str, other, difference):
        """Whether ``difference() >= 0``."""
        if not isinstance(other, _SIZES):
            return NotImplemented
        d = difference()
        if not isinstance(d, Dim):
            return d >= 0
        if d.is_at_least_zero():
            return True
        if (-d - 1).is_at_least_zero():
            return False
        raise self._inconclusive(f"comparison '{self}' {sign} '{other}' is inconclusive.")

    def __bool__(self) -> bool:
        return self != 0

    def is_at_least_zero(self) -> bool:
        """Whether it is proved that this is never negative."""
        return at_least_zero(self.terms, self.scope)

    def __index__(self) -> int:
        raise self._inconclusive(
            f"'{self}' is used where a constant is needed, such as range(), int() or an index.",
            "Use a function of arrays instead (addax.numpy.arange, addax.lax.fori_loop), or export for a fixed size.",
        )

    __int__ = __float__ = __index__

    def _inconclusive(self, what: str, hint: str = "") -> InconclusiveDimensionOperation:
        hint = hint or (
            "It would have to hold, or not, for all values of the variables, which are integers of at least 1. If your "
            'sizes satisfy more than that, say so: symbolic_shape("...", constraints=["a >= 8"]).'
        )
        return InconclusiveDimensionOperation(f"Symbolic dimension {what}\nUsing symbolic {self.scope}.\n{hint}")


_SIZES = (Dim, int, np.integer)


# ---------------------------------------------------------------------------------------------------------------------
# The normal form


def _make(terms: Terms, scope: Scope) -> Any:
    """The size with these terms: a `Dim`, or a Python int if none has a variable."""
    terms = {m: int(c) for m, c in terms.items() if c}
    for monomial, coefficient, right in scope.rewrites:
        c = terms.get(monomial, 0)
        if c and c % coefficient == 0:
            del terms[monomial]
            for m, k in right.items():
                terms[m] = terms.get(m, 0) + k * (c // coefficient)
            return _make(terms, scope)
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    dim = object.__new__(Dim)
    dim.terms, dim.scope = terms, scope
    dim._hash = hash(frozenset(terms.items()))
    return dim


def _terms_of(x: Any) -> Terms:
    return x.terms if isinstance(x, Dim) else {(): int(x)}


def _scaled(terms: Terms, by: int) -> Terms:
    return {m: c * by for m, c in terms.items()}


def _times(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for f, e in b:
        powers[f] = powers.get(f, 0) + e
    return tuple(sorted(powers.items(), key=lambda x: _factor_key(x[0])))


def _product(a: Terms, b: Terms) -> Terms:
    total: Terms = {}
    for m, c in a.items():
        for n, k in b.items():
            both = _times(m, n)
            total[both] = total.get(both, 0) + c * k
    return total


def common_scope(*sizes: Any) -> Scope:
    """The scope of the symbolic ones among some sizes, at least one.

    Raises:
      ValueError: if they belong to several.
    """
    found = [x for x in sizes if isinstance(x, Dim)]
    for x in found[1:]:
        if x.scope is not found[0].scope:
            raise ValueError(
                f"Invalid mixing of symbolic scopes: '{found[0]}' has {found[0].scope}\nand '{x}' has {x.scope}.\n"
                'Make them together, symbolic_shape("a, b"), or in one scope: symbolic_shape("b", scope=a.scope).'
            )
    return found[0].scope


def _only_term(x: Any) -> tuple[Monomial, int] | None:
    return next(iter(x.terms.items())) if isinstance(x, Dim) and len(x.terms) == 1 else None


def _mentions(x: Any, monomial: Monomial) -> bool:
    """Whether all variables of a monomial stand in a size."""
    own = set(_variables({monomial: 1}))
    return isinstance(x, Dim) and own <= x.variables()


def _variables(terms: Terms) -> Iterator[str]:
    for monomial in terms:
        for factor, _ in monomial:
            if isinstance(factor, str):
                yield factor
            else:
                for x in factor.args:
                    yield from _variables(_terms_of(x))


def _operation(name: str, scope: Scope, *args) -> Any:
    return _make({((Operation(name, args), 1),): 1}, scope)


# ---------------------------------------------------------------------------------------------------------------------
# Division, and the larger of two


def _divide(p: Any, q: Any) -> tuple[Any, Any]:
    """``(floordiv(p, q), mod(p, q))``.

    What ``q`` divides is taken out first: (4*a + b) // 2 = 2*a + b // 2.
    """
    scope = common_scope(p, q)
    if not isinstance(q, Dim):
        if q == 0:
            raise ZeroDivisionError(f"division of the symbolic size {p} by zero")
        q = int(q)
    quotient, rest = _long_division(_terms_of(p), _terms_of(q))
    whole, left = _make(quotient, scope), _make(rest, scope)
    if not isinstance(left, Dim) and not isinstance(q, Dim):
        return whole + left // q, left % q
    if isinstance(left, int) and left == 0:
        return whole, 0
    if at_least_zero(_terms_of(left), scope) and at_least_zero(_terms_of(q - left - 1), scope):
        return whole, left
    if not isinstance(q, Dim) and isinstance(left, Dim) and q > 1:  # the constant too: (a + 5) // 2 = (a + 1) // 2 + 2
        constant = left.terms.get((), 0)
        whole, left = whole + constant // q, left - constant + constant % q
    return whole + _operation("floordiv", scope, left, q), _operation("mod", scope, left, q)


def _long_division(p: Terms, q: Terms) -> tuple[Terms, Terms]:
    """``(quotient, rest)`` with p = quotient * q + rest. If ``q`` has several terms, it divides wholly or not at all."""
    lead = max(q, key=_monomial_key)
    c = q[lead]
    quotient: Terms = {}
    rest, kept = {m: k for m, k in p.items() if k}, {}
    for _ in range(100):
        if not rest:
            break
        m = max(rest, key=_monomial_key)
        k = rest[m]
        powers = dict(m)
        for f, e in lead:
            powers[f] = powers.get(f, 0) - e
        if k % c or any(e < 0 for e in powers.values()):
            if len(q) > 1:
                return {}, p
            kept[m] = rest.pop(m)
            continue
        step = {tuple((f, e) for f, e in sorted(powers.items(), key=lambda x: _factor_key(x[0])) if e): k // c}
        for n, j in step.items():
            quotient[n] = quotient.get(n, 0) + j
        for n, j in _product(step, q).items():
            rest[n] = rest.get(n, 0) - j
            if not rest[n]:
                del rest[n]
    else:
        return {}, p
    return quotient, kept


def _extreme(name: str, a: Any, b: Any) -> Any:
    scope = common_scope(a, b)
    sign = 1 if name == "max" else -1
    if at_least_zero(_terms_of((a - b) * sign), scope):
        return a
    if at_least_zero(_terms_of((b - a) * sign), scope):
        return b
    parts: dict[Any, None] = {}
    for x in (a, b):
        only = _only_term(x)
        factor = only[0][0][0] if only is not None and only[1] == 1 and len(only[0]) == 1 else None
        nested = isinstance(factor, Operation) and factor.name == name and x.terms == {((factor, 1),): 1}
        parts.update(dict.fromkeys(factor.args if nested else (x,)))  # type: ignore[union-attr]
    return _operation(name, scope, *sorted(parts, key=str))


# ---------------------------------------------------------------------------------------------------------------------
# Values


def substitute(x: Any, values: Mapping[str, Any]) -> Any:
    """A size with values (ints, or sizes) for its variables; ints stay what they are.

    Raises:
      KeyError: if a variable has no value.
    """
    if not isinstance(x, Dim):
        return x
    total: Any = 0
    for monomial, c in x.terms.items():
        term: Any = c
        for factor, e in monomial:
            term = term * _value(factor, values) ** e
        total = total + term
    return total


def _value(factor: Factor, values: Mapping[str, Any]) -> Any:
    if isinstance(factor, str):
        return values[factor]
    args = [substitute(x, values) for x in factor.args]
    if factor.name == "floordiv":
        return args[0] // args[1]
    if factor.name == "mod":
        return args[0] % args[1]
    result = args[0]
    for x in args[1:]:
        if isinstance(result, Dim) or isinstance(x, Dim):
            result = _extreme(factor.name, result, x)
        else:
            result = max(result, x) if factor.name == "max" else min(result, x)
    return result
