"""Where in the user's program a value was made.

An equation stores only what costs nothing to take while tracing, the code object and instruction offset of the
innermost frame outside addax; file, line and column are worked out when somebody asks.
"""

from __future__ import annotations

import os
from types import CodeType

from addax import _native

# Everything under the package is ours, not the user's.
_native.register_internal_path(os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep)

user_frame = _native.user_frame


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
