"""A program of JAX, traced and lowered once, and run by the reference interpreter of StableHLO or compiled by XLA.

Compiling takes a quarter of a second, interpreting a few elements two milliseconds. What JAX computes is the same: the
interpreter defines what the program means that JAX made.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax._src.interpreters.mlir
import numpy as np
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo
from jaxlib.mlir.passmanager import PassManager

stablehlo.register_stablehlo_passes()

# A program is made in a context of its own, which takes a quarter of the time of lowering it: all share one.
CONTEXT = jax._src.interpreters.mlir.make_ir_context()
jax._src.interpreters.mlir.make_ir_context = lambda: CONTEXT

COMPILED = {"custom_call", "fft", "cholesky", "triangular_solve", "rng", "rng_bit_generator"}  # not interpreted
LARGEST = 100_000  # elements of all results of operations, or the interpreter takes longer than the compiler


@dataclass
class Result:
    """An array in all that is compared."""

    value: np.ndarray
    dtype: np.dtype
    weak_type: bool

    @property
    def shape(self):
        return self.value.shape

    def __array__(self, dtype=None, copy=None):
        return self.value if dtype is None else self.value.astype(dtype)


class JaxProgram:
    """The leaves of ``function(*args)``, a JAX function of arrays and numbers.

    Its arguments and results are passed as MLIR's attributes can hold them: complex numbers in two parts, narrow floats as
    wider ones.

    Raises: what JAX raises when it traces and lowers the function.
    """

    def __init__(self, function: Callable, args):
        self.types: list[tuple[tuple[int, ...], Any, bool]] = []

        def program(*parts):
            leaves = jax.tree.leaves(function(*(jax.lax.complex(*x) if isinstance(x, tuple) else x for x in parts)))
            self.types = [(np.shape(x), x.dtype, getattr(x, "weak_type", False)) for x in map(array, leaves)]
            return [parts_of(x) for x in map(array, leaves)]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.lowered = jax.jit(program, keep_unused=True).lower(*(split(x) for x in args))

    @cached_property
    def compiled(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.lowered.compile()

    def run(self, args) -> list[Result]:
        """Compiled."""
        return self.results([np.asarray(x) for x in jax.tree.leaves(self.compiled(*(split(x) for x in args)))])

    def interpret(self, args, largest: int = LARGEST) -> list[Result] | None:
        """Not compiled; None for what the interpreter cannot or is slow to do."""
        module = self.lowered.compiler_ir("stablehlo")
        with module.context, ir.Location.unknown():
            if not prepare(module, largest):
                return None
            main = next(op for op in module.body.operations if getattr(op, "name", None) == ir.StringAttr.get("main"))
            leaves = jax.tree.leaves([split(x) for x in args])
            given = [attribute(x, ir.RankedTensorType(t)) for x, t in zip(leaves, main.type.inputs, strict=True)]
            return self.results([np.array(x) for x in stablehlo.eval_module(module, given)])

    def results(self, parts: list[np.ndarray]) -> list[Result]:
        rest, out = iter(parts), []
        for shape, dtype, weak in self.types:
            if dtype == jax.dtypes.float0:
                value = np.zeros(shape, dtype)
            elif dtype.kind == "c":
                value = np.empty(shape, dtype)
                value.real, value.imag = next(rest), next(rest)
            else:
                value = next(rest)
            out.append(Result(value, dtype, weak))
        return out


def array(x):
    return jax.numpy.asarray(x) if isinstance(x, int | float | complex) else x


def split(x):
    return (x.real.copy(), x.imag.copy()) if isinstance(x, np.ndarray) and x.dtype.kind == "c" else x


def parts_of(x):
    if x.dtype == jax.dtypes.float0:
        return ()
    if x.dtype.kind == "c":
        return x.real, x.imag
    return x.astype("float32") if x.dtype.name in ("float16", "bfloat16") else x


def attribute(x, type: ir.RankedTensorType) -> ir.Attribute:
    x = np.asarray(x)
    x = x.astype({"int64": "int32", "float64": "float32"}.get(x.dtype.name, x.dtype), copy=False)
    return ir.DenseElementsAttr.get(np.ascontiguousarray(x), type=type.element_type, shape=type.shape)


def prepare(module, largest: int) -> bool:
    """Whether the interpreter can do it, and will: arrays without elements may end its process."""
    names, scatters, sizes, nothing = set(), [], [1], []

    def elements(x) -> int:
        return math.prod(x.type.shape) if isinstance(x.type, ir.RankedTensorType) else 1

    def visit(op):
        dialect, _, name = op.operation.name.partition(".")
        if name == "scatter":
            scatters.append(op.operation)
        names.add(dialect if dialect == "chlo" else name)
        sizes.extend(elements(x) for x in op.operation.results)
        nothing.extend(x for x in op.operation.operands if elements(x) == 0)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    if sum(sizes) > largest or nothing or min(sizes) == 0 or not names.isdisjoint(COMPILED):
        return False
    for op in scatters:  # the interpreter writes into the memory of the operand, which others read: scatter into a copy
        with ir.InsertionPoint(op):
            for k in range(len(op.operands) // 2):
                op.operands[k] = stablehlo.reshape(op.operands[k].type, op.operands[k])
    if "chlo" in names:
        PassManager.parse("builtin.module(func.func(chlo-legalize-to-stablehlo))").run(module.operation)
    return True
