"""What options add around compiling and running: NaN and infinity checks, execution refused, logs, dumps.

Contexts are part of the key of a compiled call, so each option is asked for once, when a call is compiled under it; calls
under other options pay nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core import dtypes
from addax.core.config import current_context, dump_ir_to, log_compiles
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr, Eqn
from addax.core.logs import log
from addax.core.source_info import SourceInfo, user_frame
from addax.engines import platforms
from addax.engines.reference.interpret import evaluate, observing

STAGES = ("jaxpr", "simplified", "loops", "llvm", "asm", "stablehlo", "hlo")


def compile_program(closed: ClosedJaxpr, options: CompileOptions) -> Any:
    """Compile with the engine that `platforms` chooses, and add what the options of this thread ask for."""
    context = current_context()
    wanted = [kind for kind, on in (("nan", context.debug_nans), ("inf", context.debug_infs)) if on]
    if wanted:  # the arguments are needed once more if something is found
        kept = dataclasses.replace(options, donated=())
        compiled: Any = Watched(platforms.compile_program(closed, kept), closed, wanted)
    else:
        start = time.perf_counter()
        compiled = platforms.compile_program(closed, options)
        if log_compiles.value:
            types = ", ".join(a.str_short() for a in closed.in_avals)
            seconds = time.perf_counter() - start
            log("compile", "Finished compilation of %s for types (%s) in %.6f sec", name_of(closed), types, seconds)
    if dump_ir_to.value:
        dump(compiled, closed, dump_ir_to.value)
    return NotRun(compiled, closed) if context.no_execution else compiled


def name_of(closed: ClosedJaxpr) -> str:
    info = closed.jaxpr.debug_info
    if info is not None:
        return info.func_name
    return closed.eqns[0].primitive.name if len(closed.eqns) == 1 else "a program"


class _Around:
    """A compiled program with something around its run; everything else is the program's own."""

    def __init__(self, compiled: Any, closed: ClosedJaxpr):
        self._compiled, self._closed = compiled, closed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)

    @property
    def executable(self):
        return self.run

    def run(self, arrays: list) -> list:
        raise NotImplementedError


class NotRun(_Around):
    """A program under the option ``no_execution``."""

    def run(self, arrays: list) -> list:
        raise RuntimeError(
            f"addax tried to execute {name_of(self._closed)}, but the option addax_no_execution is set: "
            "leave its `with` block, or look at shapes with addax.eval_shape."
        )


class Watched(_Around):
    """A program whose results are looked at after every run (options ``debug_nans`` and ``debug_infs``)."""

    def __init__(self, compiled: Any, closed: ClosedJaxpr, kinds: Sequence[str]):
        super().__init__(compiled, closed)
        self._kinds = kinds

    def run(self, arrays: list) -> list:
        outs = self._compiled.run(arrays)
        for kind in self._kinds:
            if any(has(kind, x) for x in outs):
                raise FloatingPointError(self._explain(kind, arrays))
        return outs

    def _explain(self, kind: str, arrays: list) -> str:
        found = first_with(kind, self._closed, arrays)
        hint = f"\nThe option addax_debug_{kind}s is set; the value is the first such one in program order."
        if isinstance(found, Eqn):
            where = SourceInfo(user_frame() if found.source is None else found.source)  # no line: an eager operation
            types = ", ".join(x.aval.str_short() for x in found.invars)
            return (
                f"invalid value ({kind}) encountered in {found.primitive} at {where}: {found.primitive}({types}){hint}"
            )
        if found is not None:
            info = self._closed.jaxpr.debug_info
            names = info.arg_names if info is not None else ()
            name = names[found] if len(names) == len(arrays) else f"number {found}"
            return f"invalid value ({kind}) encountered in the argument {name} of {name_of(self._closed)}.{hint}"
        return (
            f"invalid value ({kind}) encountered in a result of {name_of(self._closed)}. Evaluated one operation at a "
            f"time in NumPy the program does not give it, so it comes from rounding or overflow in fused code.{hint}"
        )


def has(kind: str, x: Any) -> bool:
    """Whether an array of floats holds a NaN or an infinity, in any part that this process holds."""
    if not hasattr(x, "dtype") or dtypes.is_extended(x.dtype) or not dtypes.issubdtype(x.dtype, np.inexact):
        return False
    whole = not isinstance(x, _native.Array) or x.is_fully_addressable
    parts = [x] if whole else [s.data for s in x.addressable_shards]
    test = np.isnan if kind == "nan" else np.isinf
    return any(bool(test(np.asarray(part)).any()) for part in parts)


def first_with(kind: str, closed: ClosedJaxpr, arrays: list) -> Eqn | int | None:
    """The equation that first makes a NaN (or infinity), inside loops and calls too, or the number of the argument that
    holds one already. Evaluated with the definitions in NumPy."""
    values = [np.asarray(getattr(x, "_value", x)) for x in arrays]
    for i, x in enumerate(values):
        if has(kind, x):
            return i

    class Found(Exception):
        pass

    def look(eqn: Eqn, outs: Sequence[Any]) -> None:
        if any(has(kind, y) for y in outs):
            raise Found(eqn)

    try:
        with observing(look):
            evaluate(closed, values)
    except Found as found:
        return found.args[0]
    return None


_numbers = itertools.count()


def dump(compiled: Any, closed: ClosedJaxpr, folder: str) -> None:
    """Write every stage of a compiled program to a folder: ``0003_train_step.simplified.txt``, ..."""
    os.makedirs(folder, exist_ok=True)
    name = re.sub(r"\W+", "_", name_of(closed).split(" at ")[0]).strip("_") or "program"
    stem = os.path.join(folder, f"{next(_numbers):04d}_{name}")
    for stage in STAGES:
        with contextlib.suppress(ValueError, NotImplementedError):  # an engine has some of the stages
            text = str(closed) if stage == "jaxpr" else compiled.as_text(stage)
            with open(f"{stem}.{stage}.txt", "w", encoding="utf-8") as file:
                file.write(text)
