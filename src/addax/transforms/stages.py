"""Ahead of time: ``jit(f).trace(...)``, ``.lower()``, ``.compile()``, and the specifications they accept."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from addax.core import dtypes, tree
from addax.core.avals import ShapedArray, get_aval
from addax.core.execution import CompileOptions, compile_program
from addax.core.jaxpr import ClosedJaxpr
from addax.core.trace import Tracer


class ShapeDtypeStruct:
    """Shape and dtype of an array that need not exist.

    >>> import addax, numpy as np
    >>> addax.ShapeDtypeStruct((2, 3), np.float32)
    ShapeDtypeStruct(shape=(2, 3), dtype=float32)
    """

    __slots__ = ("dtype", "shape", "sharding", "weak_type")

    def __init__(self, shape, dtype, *, sharding=None, weak_type: bool = False, vma=None, is_ref: bool = False):
        if dtype is None:
            raise ValueError("ShapeDtypeStruct: dtype must be specified.")
        self.shape = tuple(shape)
        self.dtype = dtypes.as_dtype(dtype)
        self.sharding, self.weak_type = sharding, weak_type

    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: int(np.prod(self.shape, dtype=np.int64)))

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object: this ShapeDtypeStruct has shape ()")
        return self.shape[0]

    def update(self, **changes) -> ShapeDtypeStruct:
        fields = {name: getattr(self, name) for name in self.__slots__} | changes
        return ShapeDtypeStruct(fields.pop("shape"), fields.pop("dtype"), **fields)

    def __repr__(self) -> str:
        sharding = f", sharding={self.sharding}" if self.sharding is not None else ""
        weak = ", weak_type=True" if self.weak_type else ""
        return f"ShapeDtypeStruct(shape={self.shape}, dtype={dtypes.dtype_name(self.dtype)}{sharding}{weak})"

    def __eq__(self, other) -> bool:
        return isinstance(other, ShapeDtypeStruct) and all(
            getattr(self, n) == getattr(other, n) for n in self.__slots__
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.sharding, self.weak_type))


def aval_of_spec(x) -> ShapedArray:
    """The aval of an array, or of anything with a shape and a dtype (`ShapeDtypeStruct`)."""
    if isinstance(x, ShapedArray):
        return x
    try:
        return get_aval(x)
    except TypeError:
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            return ShapedArray(x.shape, dtypes.canonicalize_dtype(x.dtype), getattr(x, "weak_type", False))
        raise


class Traced:
    """A traced function, not yet lowered."""

    def __init__(
        self, jaxpr: ClosedJaxpr, in_tree, out_tree, in_avals, fun_name: str, donated, options: CompileOptions
    ):
        self.jaxpr, self.in_tree, self.out_tree, self.in_avals = jaxpr, in_tree, out_tree, in_avals
        self.fun_name, self._donated, self._options = fun_name, donated, options

    @property
    def out_info(self):
        """Shapes and dtypes of the results, in their tree."""
        return self.out_tree.unflatten(
            [ShapeDtypeStruct(a.shape, a.dtype, weak_type=a.weak_type) for a in self.jaxpr.out_avals]
        )

    def lower(self, **_) -> Lowered:
        return Lowered(self)


class Lowered:
    """A lowered program; ``as_text`` shows any stage of it."""

    def __init__(self, traced: Traced):
        self._traced = traced
        self._compiled: Any = None

    in_tree = property(lambda self: self._traced.in_tree)
    out_tree = property(lambda self: self._traced.out_tree)
    in_avals = property(lambda self: self._traced.in_avals)
    out_info = property(lambda self: self._traced.out_info)

    def _program(self):
        if self._compiled is None:
            options = replace(self._traced._options, donated=self._traced._donated)
            self._compiled = compile_program(self._traced.jaxpr, options)
        return self._compiled

    def as_text(self, dialect: str | None = None, **_) -> str:
        """The program at a stage: "jaxpr", "simplified", "loops", "llvm" or "asm"; "stablehlo", or "hlo"."""
        if dialect in (None, "jaxpr"):
            return str(self._traced.jaxpr)
        return self._program().as_text(dialect)

    def compile(self, compiler_options: dict[str, Any] | None = None) -> Compiled:
        """The executable program. ``compiler_options`` are added to those of `jit`."""
        if not compiler_options:
            return Compiled(self)
        traced = copy(self._traced)
        both = dict(traced._options.compiler_options) | compiler_options
        traced._options = replace(traced._options, compiler_options=tuple(sorted(both.items())))
        return Compiled(Lowered(traced))

    def cost_analysis(self) -> dict[str, float]:
        return self._program().cost_analysis()


class Compiled:
    """A compiled program for fixed types; calling it checks the types and runs."""

    def __init__(self, lowered: Lowered):
        self._lowered = lowered
        self._program = lowered._program()

    in_tree = property(lambda self: self._lowered.in_tree)
    out_tree = property(lambda self: self._lowered.out_tree)
    in_avals = property(lambda self: self._lowered.in_avals)
    out_info = property(lambda self: self._lowered.out_info)

    def as_text(self, dialect: str = "asm") -> str:
        return self._program.as_text(dialect)

    def cost_analysis(self) -> dict[str, float]:
        return self._program.cost_analysis()

    def memory_analysis(self):
        return self._program.memory_analysis()

    def __call__(self, *args, **kwargs):
        leaves, in_tree = tree.flatten((args, kwargs))
        for x in leaves:
            if isinstance(x, Tracer):
                raise TypeError(
                    "Cannot apply addax transformations to a function lowered and compiled for a particular signature: it "
                    f"was called with the tracer {x}. Differentiate, batch or compile the jitted function instead."
                )
        if in_tree != self.in_tree:
            raise TypeError(
                "Function compiled with input pytree does not match the input pytree it was called with:\n"
                f"compiled for {self.in_tree}\ncalled with  {in_tree}"
            )
        for i, (x, want) in enumerate(zip(leaves, self.in_avals, strict=True)):
            got = get_aval(x)
            if (got.shape, got.dtype) != (want.shape, want.dtype):
                raise TypeError(
                    f"Argument types differ from the types for which this computation was compiled: argument {i} is "
                    f"{got.str_short(False)}, compiled for {want.str_short(False)}. Call the jitted function instead, "
                    "or lower again for these types."
                )
        return self.out_tree.unflatten(self._program.run(leaves))
