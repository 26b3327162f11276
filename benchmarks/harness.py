"""Interleaved timing: the same work by several libraries, turn and turn about, reported as medians and ratios.

Absolute times on a shared machine drift by tens of percent; ratios of runs that alternate do not. Each case gives one
callable per library; a turn runs every library once (in a rotating order), and the median over turns is reported. The
results are compared before anything is timed.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Case:
    """One piece of work: library name -> a callable that does all of it and returns comparable arrays (or None)."""

    name: str
    run: dict[str, Callable[[], Any]]
    inner: int = 1  # how many times one call does the work
    unit: str = "us"
    rtol: float = 1e-4
    note: str = ""


@dataclass
class Result:
    """Per library the median time of its runs."""

    name: str
    unit: str
    median: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def ratio(self, other: str, ours: str = "addax") -> float:
        """How many times as long ``other`` takes."""
        return self.median[other] / self.median[ours]


SCALE = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}


def check(case: Case) -> None:
    """Every library must give the same answer.

    Raises:
      AssertionError: naming the case and the library that differs from addax.
    """
    outs = {k: f() for k, f in case.run.items()}
    ours = outs.get("addax")
    if ours is None:
        return
    for library, theirs in outs.items():
        if theirs is None or library == "addax":
            continue
        np.testing.assert_allclose(
            np.asarray(ours, np.float64), np.asarray(theirs, np.float64), rtol=case.rtol, atol=case.rtol,
            err_msg=f"{case.name}: {library} differs from addax",
        )  # fmt: skip


def measure(case: Case, seconds: float = 1.0, min_turns: int = 7) -> Result:
    check(case)
    names = list(case.run)
    times: dict[str, list[float]] = {n: [] for n in names}
    begin = time.perf_counter()
    turn = 0
    while turn < min_turns or time.perf_counter() - begin < seconds:
        for k in range(len(names)):
            name = names[(k + turn) % len(names)]
            t0 = time.perf_counter()
            case.run[name]()
            times[name].append((time.perf_counter() - t0) / case.inner)
        turn += 1
    scale = SCALE[case.unit]
    return Result(case.name, case.unit, {n: statistics.median(v) * scale for n, v in times.items()}, case.note)


def table(results: list[Result]) -> str:
    """A Markdown table: our median, then the others as times ours."""
    others = [n for n in dict.fromkeys(n for r in results for n in r.median) if n != "addax"]
    lines = ["| work | addax | " + " | ".join(others) + " |", "|---|---|" + "---|" * len(others)]
    for r in results:
        cells = [
            f"{r.median[o]:.3g} {r.unit} ({r.ratio(o):.2f}x)" if o in r.median and "addax" in r.median else "–"
            for o in others
        ]
        lines.append(f"| {r.name} | {r.median.get('addax', float('nan')):.3g} {r.unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def dump(results: list[Result], path: str) -> None:
    with open(path, "w") as f:
        json.dump([{"name": r.name, "unit": r.unit, "median": r.median, "note": r.note} for r in results], f, indent=1)
