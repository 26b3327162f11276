"""Where in the user's program a value was made.

An equation stores only what costs nothing to take while tracing, the code object and instruction offset of the
innermost frame outside addax; file, line and column are worked out when somebody asks. A program that is run again by a
transformation (differentiated, batched, transposed) hands the lines of its equations on: see `replaying`.

Inside a `named_scope` the source also has the stack of names: those of the scopes around, as text, and the transformations
around, as one-tuples (``("jvp",)``), outermost first. Where there is no scope, nothing is recorded.
"""

from __future__ import annotations

import os
import threading
from types import CodeType
from typing import Any

from addax import _native

# Everything under the package is ours, not the user's.
_native.register_internal_path(os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep)

user_frame = _native.user_frame


class _Thread(threading.local):
    replay: replaying | None = None
    names: tuple[Any, ...] = ()
    recorded: tuple[Any, ...] | None = None  # the names, if one of them is that of a scope


_thread = _Thread()


class naming:
    """``with naming("attention"):`` a scope; ``with naming(("jvp",)):`` a transformation, whose name wraps what is inside."""

    __slots__ = ("entry", "previous")

    def __init__(self, entry: str | tuple[str]):
        self.entry = entry

    def __enter__(self) -> None:
        self.previous = _thread.names, _thread.recorded
        _thread.names = names = (*_thread.names, self.entry)
        if type(self.entry) is str or _thread.recorded is not None:
            _thread.recorded = names

    def __exit__(self, *_) -> None:
        _thread.names, _thread.recorded = self.previous


class nameless:
    """``with nameless():`` a program of its own is written, whose names start anew."""

    __slots__ = ("previous",)

    def __enter__(self) -> None:
        self.previous = _thread.names, _thread.recorded
        _thread.names, _thread.recorded = (), None

    def __exit__(self, *_) -> None:
        _thread.names, _thread.recorded = self.previous


def depth_of_names() -> int:
    """How many scopes and transformations there are around."""
    return len(_thread.names)


def without_outer(source, depth: int):
    """A source without the outermost ``depth`` names."""
    if source is None or len(source) == 2:
        return source
    names = source[2][depth:]
    return (*source[:2], names) if any(type(n) is str for n in names) else source[:2]


def name_stack(source) -> str:
    """The names as JAX writes them: ``transpose(jvp(layer))/attention``; "" if there are none."""
    parts, around = [], []
    for entry in source[2] if source is not None and len(source) == 3 else ():
        if type(entry) is tuple:
            around.append(entry[0])
            continue
        parts.append(_wrapped(entry, around))
        around = []
    return "/".join([*parts, _wrapped("", around)] if around else parts)


def _wrapped(text: str, around: list[str]) -> str:
    for transform in reversed(around):
        text = f"{transform}({text})"
    return text


class replaying:
    """``with replaying() as replay:`` equations of a program are bound again, and those written meanwhile keep their lines.

    Before each equation is bound, ``replay.at(eqn.source)``. What it turns into comes from that line, unless a rule calls a
    function of the user (of `custom_jvp`, say): what is bound in there comes from the line in that function.
    """

    __slots__ = ("around", "frame", "moved", "names", "previous", "recorded", "source")

    def __enter__(self) -> replaying:
        self.frame, self.previous = user_frame(), _thread.replay
        self.names, self.recorded, self.moved = _thread.names, _thread.recorded, False
        self.around = self.source = current_source(self.frame)
        _thread.replay = self
        return self

    def at(self, source) -> None:
        inner = ()
        if source is None:
            source = self.around
        elif len(source) == 3 or (self.names and self.recorded is not None):
            inner = source[2] if len(source) == 3 else ()
            source = (*source[:2], self.names + inner)
        if inner or self.moved:  # functions of the user that a rule calls stand in the scopes of the equation
            self.moved = bool(inner)
            _thread.names = names = self.names + inner
            _thread.recorded = names if inner or self.recorded is not None else None
        self.source = source

    def __exit__(self, *_) -> None:
        _thread.replay = self.previous
        if self.moved:
            _thread.names, _thread.recorded = self.names, self.recorded


def current_source(frame: tuple[CodeType, int] | None = None):
    """The line that an equation written now comes from, or None if nobody knows.

    ``(code, instruction offset)``; inside a `named_scope` ``(code, instruction offset, names)``. ``frame`` is that of
    `user_frame`, if it is known.
    """
    if frame is None:
        frame = user_frame()
    replay = _thread.replay
    if replay is None or frame != replay.frame:
        recorded = _thread.recorded
        return frame if recorded is None else (*(frame or (None, -1)), recorded)
    return replay.source


class SourceInfo:
    """A place in a program; prints as ``file.py:12:4 (function)``, inside a scope ``file.py:12:4 (function) [scope]``.

    Attributes:
      name_stack: the `named_scope`s and transformations around: ``jvp(layer)/attention``.
    """

    def __init__(self, raw):
        code, lasti = raw[:2] if raw is not None else (None, -1)
        self.code: CodeType | None = code
        self.lasti: int = lasti
        self.name_stack = name_stack(raw)

    @property
    def file(self) -> str:
        return self.code.co_filename if self.code else "<unknown>"

    @property
    def function(self) -> str:
        return self.code.co_qualname if self.code else "<unknown>"

    @property
    def position(self) -> tuple[int | None, int | None]:
        if self.code is None:
            return None, None
        for i, (line, _, column, _) in enumerate(self.code.co_positions()):
            if i == self.lasti // 2:
                return line, column
        return self.code.co_firstlineno, None

    @property
    def line(self) -> int | None:
        return self.position[0]

    def __str__(self) -> str:
        if self.code is None:
            return "an unknown place"
        line, column = self.position
        where = f"{self.file}:{line}" + ("" if column is None else f":{column}")
        return f"{where} ({self.function})" + (f" [{self.name_stack}]" if self.name_stack else "")

    __repr__ = __str__
