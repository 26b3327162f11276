"""A place in a text being parsed, and errors that point at it."""

from __future__ import annotations

import re
from typing import NoReturn

# Blank space and the notes in the margin.
_BLANK = re.compile(r"(?:\s+|#[^\n]*)*")
_WORD = re.compile(r"[\w.]+|\S|")


class JaxprSyntaxError(ValueError):
    """The text is not a jaxpr. `line` and `column`, counted from 1, say where reading stopped."""

    def __init__(self, message: str, text: str, position: int):
        self._args = message, text, position
        self.line = text.count("\n", 0, position) + 1
        start = text.rfind("\n", 0, position) + 1
        end = text.find("\n", position)
        self.column = position - start + 1
        shown = text[start : end if end >= 0 else len(text)]
        # A window around the place, because programs may be printed on very long lines.
        left = max(0, self.column - 61)
        pointer = " " * (self.column - 1 - left) + "^"
        super().__init__(
            f"jaxpr text, line {self.line}, column {self.column}: {message}\n  {shown[left : left + 100]}\n  {pointer}"
        )

    def __reduce__(self):
        return type(self), self._args


class Reader:
    """A text and the position up to which it has been read. What is read may be preceded by blanks and notes."""

    def __init__(self, text: str):
        self.text, self.pos = text, 0

    def fail(self, message: str, position: int | None = None) -> NoReturn:
        position = self.pos if position is None else position
        found = _WORD.match(self.text, position)
        word = found.group() if found is not None else ""
        if message.startswith("expected"):
            message += f", found {word!r}" if word else ", found the end of the line"
        raise JaxprSyntaxError(message, self.text, position)

    def skip(self) -> None:
        blank = _BLANK.match(self.text, self.pos)
        if blank is not None:  # it always is: the pattern matches nothing, too
            self.pos = blank.end()

    def at_end(self) -> bool:
        self.skip()
        return self.pos == len(self.text)

    def next_is(self, literal: str) -> bool:
        self.skip()
        return self.text.startswith(literal, self.pos)

    def take(self, literal: str) -> bool:
        if self.next_is(literal):
            self.pos += len(literal)
            return True
        return False

    def expect(self, literal: str, where: str = "") -> None:
        if not self.take(literal):
            self.fail(f"expected {literal!r}{where}")

    def match(self, pattern: re.Pattern) -> re.Match | None:
        self.skip()
        found = pattern.match(self.text, self.pos)
        if found is not None:
            self.pos = found.end()
        return found
