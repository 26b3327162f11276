"""Running programs on one XLA device; many small ones as one program: compiling costs 30 ms or more, however small it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from addax import _native
from addax.core.avals import ShapedArray
from addax.core.builder import trace_to_jaxpr
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr
from addax.core.primitive import registry
from addax.engines.reference import evaluate
from addax.sharding import PartitionSpec as P


class Case:
    """One application of a primitive, or of any function of arrays (which binds primitives)."""

    def __init__(self, name: str, args: Sequence[np.ndarray], params: dict[str, Any] | None = None, fun=None, **facts):
        self.name, self.args = name, list(args)
        self.fun: Callable[..., Any] = fun or (lambda *xs: registry[name].bind(*xs, **(params or {})))
        self.facts = facts

    def closed(self) -> ClosedJaxpr:
        def program(*xs):
            out = self.fun(*xs)
            return list(out) if isinstance(out, (list, tuple)) else [out]

        return ClosedJaxpr(*trace_to_jaxpr(program, [ShapedArray(x.shape, x.dtype) for x in self.args]))


def together(cases: Sequence[Case]) -> tuple[ClosedJaxpr, list[int]]:
    """One program that runs all cases, and how many results each has."""
    counts: list[int] = []

    def program(*xs):
        outs, rest = [], iter(xs)
        for case in cases:
            out = case.fun(*[next(rest) for _ in case.args])
            out = list(out) if isinstance(out, (list, tuple)) else [out]
            counts.append(len(out))
            outs += out
        return outs

    avals = [ShapedArray(x.shape, x.dtype) for case in cases for x in case.args]
    return ClosedJaxpr(*trace_to_jaxpr(program, avals)), counts


def compile_xla(closed: ClosedJaxpr, **options):
    """A program compiled for one CPU device."""
    from addax.engines.xla.client import devices
    from addax.engines.xla.engine import xla_engine

    return xla_engine.compile(closed, CompileOptions(**options), devices()[0])


def execute(closed: ClosedJaxpr, args: Sequence[np.ndarray], compiled=None) -> list[np.ndarray]:
    """The results of a program on an XLA device, in the dtypes that programs store them in."""
    arrays = [_native.array_from_numpy(np.asarray(x), a) for x, a in zip(args, closed.in_avals, strict=True)]
    return [np.asarray(y._value) for y in (compiled or compile_xla(closed)).run(arrays)]


def run_xla(cases: Sequence[Case]) -> list[list[np.ndarray]]:
    """The results of each case on the XLA engine, all compiled together."""
    closed, counts = together(cases)
    outs = iter(execute(closed, [x for case in cases for x in case.args]))
    return [[next(outs) for _ in range(n)] for n in counts]


def run_reference(cases: Sequence[Case]) -> list[list[np.ndarray]]:
    """The results of each case on the reference engine."""
    return [evaluate(case.closed(), case.args) for case in cases]


def ulps(got: np.ndarray, want: np.ndarray, eps: float, scale: float = 0.0) -> float:
    """The largest error in units of half the last place; 0 where both are equal or both NaN."""

    def wide(x):
        with np.errstate(invalid="ignore"):
            return np.asarray(x).astype(np.complex128 if x.dtype.kind == "c" else np.float64)

    a, b = wide(got), wide(want)
    with np.errstate(all="ignore"):
        err = np.abs(a - b) / np.maximum(np.abs(b), max(scale, 1e-38)) / eps
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(err), np.inf, err)), initial=0.0))


# ---------------------------------------------------------------------------------------------------------------------
# Over several devices

QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_CUTS = (("x", "y"), ("y", "x"), ("x",), ("y",))


def random_spec(rng: np.random.Generator, shape: tuple, sizes) -> P:
    """Most dimensions that can be cut are, along axes that are drawn."""
    free, entries = set(sizes), []
    for n in shape:
        fit = [c for c in _CUTS if free.issuperset(c) and n and n % math.prod(sizes[a] for a in c) == 0]
        cut = fit[rng.integers(len(fit))] if fit and rng.random() < 0.8 else ()
        free.difference_update(cut)
        entries.append(cut)
    return P(*entries)
