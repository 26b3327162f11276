"""Where in the user's program a value was made.

An equation stores only what costs nothing to take while tracing, the code object and instruction offset of the
innermost frame outside addax; file, line and column are worked out when somebody asks. A program that is run again by a
transformation (differentiated, batched, transposed) hands the lines of its equations on: see `replaying`.
"""

from __future__ import annotations

import os
import threading
from types import CodeType

from addax import _native

# Everything under the package is ours, not the user's.
_native.register_internal_path(os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep)

user_frame = _native.user_frame


class _Thread(threading.local):
    replay: replaying | None = None


_thread = _Thread()


class replaying:
    """``with replaying() as replay:`` equations of a program are bound again, and those written meanwhile keep their lines.

    Before each equation is bound, ``replay.at(eqn.source)``. What it turns into comes from that line, unless a rule calls a
    function of the user (of `custom_jvp`, say): what is bound in there comes from the line in that function.
    """

    __slots__ = ("around", "frame", "previous", "source")

    def __enter__(self) -> replaying:
        self.frame, self.previous = user_frame(), _thread.replay
        self.around = self.source = current_source()
        _thread.replay = self
        return self

    def at(self, source) -> None:
        self.source = self.around if source is None else source

    def __exit__(self, *_) -> None:
        _thread.replay = self.previous


def current_source():
    """The line that an equation written now comes from: ``(code, instruction offset)``, or None if nobody knows."""
    frame, replay = user_frame(), _thread.replay
    return frame if replay is None or frame != replay.frame else replay.source


class SourceInfo:
    """A place in a program; prints as ``file.py:12:4 (function)``."""

    def __init__(self, raw):
        code, lasti = raw if raw is not None else (None, -1)
        self.code: CodeType | None = code
        self.lasti: int = lasti

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
        return f"{where} ({self.function})"

    __repr__ = __str__
