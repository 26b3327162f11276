"""Laying out text within a width: what the printer of jaxprs writes into.

A document is a flat list of tokens: pieces of text, breaks, and the ends of groups and nests. A group is written on one
line if it fits in what is left of the line, otherwise its breaks (not those of the groups inside it) become newlines.
Only the group itself has to fit; what follows it on the line does not count. Because a document is flat and the width
of every group is known when it closes, layout is linear in the length of the text and needs no recursion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

# Tokens are tuples (kind, text, extra).
_TEXT, _BREAK, _OPEN, _CLOSE, _INDENT, _DEDENT, _NOTE, _LEAF = range(8)

KEYWORD = ("\x1b[34;1m", "\x1b[39;22m")
TYPE = ("\x1b[35m", "\x1b[39m")


class Document:
    """A document under construction."""

    def __init__(self):
        self.tokens: list[tuple] = []
        self._width = 0
        self._open: list[tuple[int, int]] = []

    def text(self, text: str, color: tuple[str, str] | None = None) -> None:
        self.tokens.append((_TEXT, text, color))
        self._width += len(text)

    def break_(self, flat: str = " ") -> None:
        """A place to begin a new line; ``flat`` is written if the group stays on one."""
        self.tokens.append((_BREAK, flat, None))
        self._width += len(flat)

    def soft_space(self) -> None:
        """A space that becomes a newline, on its own, when the line is full."""
        self.tokens.append((_OPEN, "", 1))
        self.tokens.append((_BREAK, " ", None))
        self.tokens.append((_CLOSE, "", None))
        self._width += 1

    def open(self) -> None:
        self._open.append((len(self.tokens), self._width))
        self.tokens.append((_OPEN, "", 0))

    def close(self) -> None:
        at, before = self._open.pop()
        self.tokens[at] = (_OPEN, "", self._width - before)
        self.tokens.append((_CLOSE, "", None))

    def indent(self) -> None:
        self.tokens.append((_INDENT, "", None))

    def dedent(self) -> None:
        self.tokens.append((_DEDENT, "", None))

    def note(self, notes: tuple[str, ...]) -> None:
        """Comments for the right margin, beside the line on which the next text stands."""
        if notes:
            self.tokens.append((_NOTE, "", notes))

    def leaf(self, flat: str, notes: tuple[str, ...], write: Callable[[Document], None]) -> None:
        """``flat``, or if that is too long for the line what ``write(document)`` writes instead."""
        self.tokens.append((_LEAF, flat, (notes, write)))
        self._width += len(flat)

    def format(self, width: int = 80, use_color: bool = False) -> str:
        return _Layout(width, use_color).run(self.tokens)


class _Layout:
    def __init__(self, width: int, use_color: bool):
        self.width, self.use_color = width, use_color
        self.color: tuple[str, str] | None = None
        self.lines: list[str] = []
        self.lengths: list[int] = []  # of the lines, without color codes
        self.notes: dict[int, list[str]] = {}
        self.line: list[str] = []  # the pieces of the current line
        self.column = 0

    def run(self, tokens: list[tuple]) -> str:
        self._write(tokens, 0)
        if self.color is not None:
            self.line.append(self.color[1])
        self._end_line(0)
        return "\n".join(self._with_notes() if self.notes else self.lines)

    def _write(self, tokens: list[tuple], indent: int) -> None:
        width = self.width
        flat, outer = False, []
        for kind, text, extra in tokens:
            if kind == _TEXT:
                if self.use_color:
                    self._set_color(extra)
                self.line.append(text)
                self.column += len(text)
            elif kind == _LEAF:
                notes, write = extra
                if flat or self.column + len(text) <= width:
                    if notes:
                        self._note(notes)
                    self.line.append(text)
                    self.column += len(text)
                else:
                    document = Document()
                    write(document)
                    self._write(document.tokens, indent)
            elif kind == _BREAK:
                if flat:
                    self._set_color(None)
                    self.line.append(text)
                    self.column += len(text)
                else:
                    self._end_line(indent)
            elif kind == _OPEN:
                outer.append(flat)
                flat = flat or self.column + extra <= width
            elif kind == _CLOSE:
                flat = outer.pop()
            elif kind == _INDENT:
                indent += 2
            elif kind == _DEDENT:
                indent -= 2
            else:
                self._note(extra)

    def _set_color(self, color: tuple[str, str] | None) -> None:
        if color is not self.color:
            self.line.append((self.color[1] if self.color else "") + (color[0] if color else ""))
            self.color = color

    def _end_line(self, indent: int) -> None:
        self.lines.append("".join(self.line))
        self.lengths.append(self.column)
        self.line = [" " * indent]
        self.column = indent

    def _note(self, notes: tuple[str, ...]) -> None:
        self.notes.setdefault(len(self.lines), []).extend(notes)

    def _with_notes(self) -> Iterator[str]:
        margin = max(self.lengths)
        for i, (line, length) in enumerate(zip(self.lines, self.lengths, strict=True)):
            first, *rest = self.notes.get(i, ("",))
            yield f"{line}{' ' * (margin - length)} # {first}" if first else line
            for note in rest:
                yield f"{' ' * margin} # {note}"
