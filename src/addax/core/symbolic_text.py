"""Reading symbolic sizes, shapes and constraints: ``"a, 2*b, floordiv(a, 2)"``, ``"a >= 8"``."""

from __future__ import annotations

import re
from typing import Any

from addax.core.sizes import larger, smaller

_TOKEN = re.compile(r"\s*(?:(\d+)|([^\W\d]\w*)|(\.\.\.|\*\*|//|==|>=|<=|[-+*^%(),]))")
_FUNCTIONS = {"floordiv": lambda a, b: a // b, "mod": lambda a, b: a % b, "max": larger, "min": smaller}


class ShapeReader:
    """A recursive descent over one text: ``sum := product (+ product)*``, ``product := power ((*|//|%) power)*``."""

    def __init__(self, text: str, scope: Any, what: str):
        self.text, self.scope, self.what = text, scope, what
        self.tokens: list[tuple[str, int]] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.error(f"unexpected character {text[at:].strip()[:1]!r}", at)
            self.tokens.append(
                (found.group().strip(), found.start() + len(found.group()) - len(found.group().lstrip()))
            )
            at = found.end()
        self.at = 0

    def error(self, message: str, position: int | None = None) -> ValueError:
        if position is None:
            position = self.tokens[self.at][1] if self.at < len(self.tokens) else len(self.text)
        return ValueError(
            f"syntax error in {self.what} {self.text!r} at column {position + 1}: {message}. Sizes are integers, names, "
            "and + - * ^ of them, floordiv(a, 2), mod(a, 2), max(a, b) and min(a, b)."
        )

    @property
    def next(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, *options: str) -> str:
        word = self.next
        if word in options and word:
            self.at += 1
            return word
        return ""

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise self.error(f"expected {word!r}" + (f", found {self.next!r}" if self.next else ""))

    def sum(self) -> Any:
        negative = self.take("-")
        total = self.product()
        total = -total if negative else total
        while sign := self.take("+", "-"):
            term = self.product()
            total = total + term if sign == "+" else total - term
        return total

    def product(self) -> Any:
        total = self.power()
        while sign := self.take("*", "//", "%"):
            factor = self.power()
            if sign != "*" and isinstance(factor, int) and factor == 0:
                raise self.error("division by zero")
            total = total * factor if sign == "*" else total // factor if sign == "//" else total % factor
        return total

    def power(self) -> Any:
        base = self.atom()
        while self.take("^", "**"):
            exponent = self.atom()
            if not isinstance(exponent, int) or not 0 <= exponent <= 32:
                raise self.error("an exponent must be an integer from 0 to 32")
            base = base**exponent
        return base

    def atom(self) -> Any:
        word = self.next
        if word.isdigit():
            self.at += 1
            return int(word)
        if self.take("("):
            inner = self.sum()
            self.expect(")")
            return inner
        if self.take("-"):
            return -self.atom()
        if not word or not (word[0].isalpha() or word[0] == "_"):
            raise self.error("expected a size" + (f", found {word!r}" if word else ""))
        self.at += 1
        if word in _FUNCTIONS and self.take("("):
            first = self.sum()
            self.expect(",")
            result = _FUNCTIONS[word](first, self.sum())
            while word in ("max", "min") and self.take(","):
                result = _FUNCTIONS[word](result, self.sum())
            self.expect(")")
            return result
        return self.scope.variable(word)

    def end(self) -> None:
        if self.at < len(self.tokens):
            raise self.error(f"unexpected {self.next!r}")


def read_size(text: str, scope: Any) -> Any:
    """One size."""
    reader = ShapeReader(text, scope, "symbolic size")
    size = reader.sum()
    reader.end()
    return size


def read_constraint(text: str, scope: Any) -> tuple[Any, str, Any]:
    """``(left, relation, right)`` of ``"a >= 8"``."""
    if not isinstance(text, str):
        raise ValueError(f"a constraint on sizes must be a string such as 'a >= 8', got {text!r}.")
    reader = ShapeReader(text, scope, "constraint")
    left = reader.sum()
    relation = reader.take("==", ">=", "<=")
    if not relation:
        raise reader.error("a constraint must contain one of '==', '>=', '<='")
    right = reader.sum()
    reader.end()
    return left, relation, right


def read_shape(text: str, scope: Any, like: tuple[Any, ...] | None) -> tuple[Any, ...]:
    """A shape: sizes with commas, maybe in parentheses; ``_`` is the size in ``like``, and ``...`` all that follow there.

    Raises:
      ValueError: naming the column of a mistake, or the size that ``like`` does not give.
    """
    reader = ShapeReader(text, scope, "symbolic shape")
    inner = reader.text.strip()
    wrapped = inner.startswith("(") and _closes_at_end(reader.tokens)
    if wrapped:
        reader.expect("(")
    sizes: list[Any] = []
    while reader.next not in ("", ")" if wrapped else ""):
        if reader.take("..."):
            sizes += _from_like(reader, like, len(sizes), None)
            reader.take(",")
            break
        if reader.next == "_":
            reader.at += 1
            sizes += _from_like(reader, like, len(sizes), 1)
        else:
            at = reader.tokens[reader.at][1]
            size = reader.sum()
            if isinstance(size, int) and size < 0:
                raise reader.error(f"a size must not be negative, got {size}", at)
            sizes.append(size)
        if not reader.take(","):
            break
    if wrapped:
        reader.expect(")")
    reader.end()
    if like is not None and len(like) != len(sizes):
        raise ValueError(
            f"symbolic shape {text!r} has {len(sizes)} dimensions and the array it is for has {len(like)}, {like}. "
            "Write `...` at the end for the dimensions that are not named."
        )
    return tuple(sizes)


def _closes_at_end(tokens: list[tuple[str, int]]) -> bool:
    depth = 0
    for i, (word, _) in enumerate(tokens):
        depth += (word == "(") - (word == ")")
        if depth == 0:
            return i == len(tokens) - 1
    return False


def _from_like(reader: ShapeReader, like: tuple[Any, ...] | None, at: int, count: int | None) -> list[Any]:
    if like is None:
        raise reader.error("'_' and '...' stand for sizes of an array: pass its shape as like=")
    found = list(like[at:] if count is None else like[at : at + 1])
    if count is not None and not found:
        raise reader.error(f"'_' stands for dimension {at} of an array that has {len(like)}")
    return found
