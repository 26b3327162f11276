"""The console of `addax.debug.breakpoint`: a small pdb over the frames of a traced call, with the values of this run.

When a function is traced, its frames are gone by the time the program runs. So `capture` notes, while tracing, the frames of
the user with their variables, and hands the traced ones to the program as operands of a callback; `Console` looks at them
with their values filled in.
"""

from __future__ import annotations

import bdb
import cmd
import linecache
import os
import pprint
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes, tree
from addax.core.trace import Tracer, current_trace
from addax.interpreters.jvp import JVPTracer
from addax.ops.random_bits import prng_impl, random_wrap

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class Frame:
    """A frame of the user's program: where it stood, and its variables as a tree in which traced leaves have numbers."""

    __slots__ = ("filename", "function", "globals", "line", "variables")

    def __init__(self, frame: FrameType, variables: dict[str, Any]):
        self.filename, self.line = frame.f_code.co_filename, frame.f_lineno
        self.function, self.globals = frame.f_code.co_qualname, frame.f_globals
        self.variables = variables

    def filled(self, values: Sequence[Any]) -> dict[str, Any]:
        """The variables with the values of a run."""
        return {
            k: tree.map(lambda x: values[x.number] if type(x) is _Operand else x, v) for k, v in self.variables.items()
        }


class _Operand:
    """Stands in a captured variable for the operand ``number`` of the callback."""

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number


def capture(frame: FrameType | None, num_frames: int | None, filter_frames: bool) -> tuple[list[Frame], list[Any]]:
    """The frames from ``frame`` outwards, innermost first, and the traced values in them that the program knows here."""
    here: set[int] = set()
    trace: Any = current_trace()
    while trace is not None:
        here.add(id(trace))
        trace = getattr(trace, "now", None) or getattr(trace, "parent", None)
    frames: list[Frame] = []
    operands: list[Any] = []
    numbers: dict[int, _Operand] = {}

    def stand_in(x):
        if not isinstance(x, Tracer) or not x._trace.alive:
            return x
        while type(x) is JVPTracer:  # only the value is looked at, so no derivative need know of it
            x = x.primal
        if not isinstance(x, Tracer) or id(x._trace) not in here:  # a tangent, say: there is no value of it yet
            return x
        if id(x) not in numbers:
            numbers[id(x)] = _Operand(len(operands))
            operands.append(x)
        return numbers[id(x)]

    while frame is not None and (num_frames is None or len(frames) < num_frames):
        if not filter_frames or not frame.f_code.co_filename.startswith((_PACKAGE, "<frozen")):
            module_level = frame.f_locals is frame.f_globals
            variables = {} if module_level else {k: tree.map(stand_in, v) for k, v in frame.f_locals.items()}
            frames.append(Frame(frame, variables))
        frame = frame.f_back
    return frames, operands


def as_values(arrays: Sequence[Any], avals: Sequence[Any]) -> list[Any]:
    """What a callback gets, as the arrays that the program works with; of PRNG keys it gets the words."""
    return [
        random_wrap.bind(np.asarray(x), impl=prng_impl(a.dtype))
        if dtypes.is_extended(a.dtype)
        else _native.array_from_numpy(x, a)
        for x, a in zip(arrays, avals, strict=True)
    ]


class Console(cmd.Cmd):
    """Reads commands until one lets the program go on.

    Args:
      frames: the frames of the traced call, innermost first.
      values: the operands of the callback.
      stdin, stdout: where commands come from and answers go to; the terminal by default.
    """

    prompt = "(addax) "
    doc_header = "Commands; anything else is run as Python in the frame shown:"

    def __init__(self, frames: list[Frame], values: Sequence[Any], stdin: Any = None, stdout: Any = None):
        super().__init__(stdin=stdin or sys.stdin, stdout=stdout or sys.stdout)
        self.use_rawinput = stdin is None and sys.stdin.isatty()
        self.frames, self.at = frames, 0
        self.variables = [f.filled(values) for f in frames]

    def say(self, text: str) -> None:
        self.stdout.write(text + "\n")
        self.stdout.flush()

    def run(self) -> None:
        self.say("Entering addax's debugger (h for help):")
        self.show_place()
        self.cmdloop()

    def show_place(self) -> None:
        frame = self.frames[self.at]
        self.say(f"> {frame.filename}({frame.line}){frame.function}()")
        source = linecache.getline(frame.filename, frame.line, frame.globals).strip()
        if source:
            self.say(f"-> {source}")

    # -- evaluation

    def evaluate(self, text: str, statements: bool = False) -> tuple[bool, Any]:
        """``(whether it worked, the value)`` of Python code in the frame; what went wrong is printed."""
        frame, variables = self.frames[self.at], self.variables[self.at]
        # Functions and comprehensions in the code see the variables of the frame only as globals.
        scope = {**frame.globals, **variables}
        try:
            try:
                return True, eval(compile(text, "<stdin>", "eval"), scope)
            except SyntaxError:
                if not statements:
                    raise
            exec(compile(text, "<stdin>", "exec"), scope)
        except Exception as e:
            self.say(f"*** {traceback.format_exception_only(e)[-1].strip()}")
            return False, None
        missing = object()
        for name, value in scope.items():
            if name != "__builtins__" and value is not frame.globals.get(name, missing):
                variables[name] = value
        return True, None

    def default(self, line: str) -> None:
        worked, value = self.evaluate(line.removeprefix("!").strip(), statements=True)
        if worked and value is not None:
            self.say(repr(value))

    def emptyline(self) -> bool:
        return False

    # -- commands

    def do_p(self, text: str) -> None:
        """p expression: print its value."""
        worked, value = self.evaluate(text)
        if worked:
            self.say(repr(value))

    def do_pp(self, text: str) -> None:
        """pp expression: print its value over several lines."""
        worked, value = self.evaluate(text)
        if worked:
            self.say(pprint.pformat(value))

    def do_v(self, _: str) -> None:
        """v(ariables): the variables of this frame."""
        for name, value in sorted(self.variables[self.at].items()):
            self.say(f"{name} = {value!r:.200}")

    def do_l(self, _: str) -> None:
        """l(ist): the source around the current line."""
        frame = self.frames[self.at]
        for number in range(max(1, frame.line - 5), frame.line + 6):
            source = linecache.getline(frame.filename, number, frame.globals).rstrip()
            if source or number <= frame.line:
                self.say(f"{number:4d} {'->' if number == frame.line else '  '} {source}")

    def do_w(self, _: str) -> None:
        """w(here), bt: the frames, outermost first."""
        for i in reversed(range(len(self.frames))):
            frame = self.frames[i]
            self.say(f"{'>' if i == self.at else ' '} {frame.filename}({frame.line}){frame.function}()")
            source = linecache.getline(frame.filename, frame.line, frame.globals).strip()
            if source:
                self.say(f"-> {source}")

    def do_u(self, _: str) -> None:
        """u(p): go to the frame that called this one."""
        if self.at + 1 == len(self.frames):
            self.say("At topmost frame.")
        else:
            self.at += 1
            self.show_place()

    def do_d(self, _: str) -> None:
        """d(own): go to the frame that this one called."""
        if self.at == 0:
            self.say("At bottommost frame.")
        else:
            self.at -= 1
            self.show_place()

    def do_c(self, _: str) -> bool:
        """c(ontinue): let the program go on."""
        return True

    def do_q(self, _: str) -> bool:
        """q(uit): stop the program with bdb.BdbQuit."""
        raise bdb.BdbQuit

    def do_EOF(self, _: str) -> bool:
        """The end of the input quits."""
        raise bdb.BdbQuit

    def do_h(self, text: str) -> None:
        """h(elp) [command]: what commands do."""
        self.do_help(text)

    do_variables, do_list, do_where, do_bt, do_up, do_down = do_v, do_l, do_w, do_w, do_u, do_d
    do_continue, do_cont, do_quit, do_exit = do_c, do_c, do_q, do_q


__all__ = ["Console", "Frame", "as_values", "capture"]
