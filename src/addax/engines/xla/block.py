"""Writing one block of StableHLO: a list of operations in single assignment form.

`Value` is an SSA value with its type; `Block` has one method per operation that the rules need, each of which appends a
line and returns the value it defines. Types are those of StableHLO, so there is no implicit broadcasting here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from addax.core import dtypes
from addax.engines.xla.types import BOOL, ELEMENT_TYPES, INLINE_BYTES, INT32, dense, tensor_type

if TYPE_CHECKING:
    from addax.engines.xla.module import Function

Shape = tuple[int, ...]


class Value:
    """An SSA value: its name (``%3`` or ``%4#1``), shape, and the dtype of its elements."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, name: str, shape: Shape, dtype: np.dtype):
        self.name, self.shape, self.dtype = name, shape, dtype

    @property
    def type(self) -> str:
        return tensor_type(self.shape, self.dtype)

    def __repr__(self) -> str:
        return f"{self.name} : {self.type}"


class Token(Value):
    """A value that orders side effects."""

    __slots__ = ()

    def __init__(self, name: str):
        super().__init__(name, (), BOOL)

    @property
    def type(self) -> str:
        return "!stablehlo.token"


def ints(values) -> str:
    """``[1, 2]``"""
    return f"[{', '.join(map(str, values))}]"


def array_attribute(values) -> str:
    """``array<i64: 1, 2>``"""
    values = tuple(values)
    return f"array<i64: {', '.join(map(str, values))}>" if values else "array<i64>"


def function_type(operands: Sequence[Value], results: Sequence[str]) -> str:
    return f"({', '.join(x.type for x in operands)}) -> {result_types(results)}"


def result_types(results: Sequence[str]) -> str:
    return results[0] if len(results) == 1 else f"({', '.join(results)})"


class Block:
    """The operations of a function body or of a region, in order.

    Attributes:
      function: the function this belongs to; it numbers values and owns captured arrays.
      lines: the text so far.
      loc: the location of what is written next, as the suffix of a line.
      token: the value that the next ordered effect must wait for, if there was one.
      isolated: whether this block may not use values of the blocks around it, nor call functions (the small programs
        of reductions, sorts and scatters).
    """

    __slots__ = ("_constants", "function", "isolated", "lines", "loc", "token")

    def __init__(self, function: Function, isolated: bool = False):
        self.function, self.isolated = function, isolated
        self.lines: list[str] = []
        self.loc = ""
        self.token: Token | None = None
        self._constants: dict[Any, Value] = {}

    @property
    def module(self):
        return self.function.module

    # --- Writing ---

    def emit(self, text: str, shape: Shape, dtype: np.dtype) -> Value:
        """Append ``%n = text`` and give the value it defines."""
        function = self.function
        name = f"%{function.counter}"
        function.counter += 1
        self.lines.append(f"{name} = {text}{self.loc}")
        return Value(name, shape, dtype)

    def emit_many(self, text: str, like: Sequence[Value]) -> list[Value]:
        """Append an operation with several results (or none), of the types of ``like``."""
        if not like:
            self.lines.append(f"{text}{self.loc}")
            return []
        if len(like) == 1:
            names = [f"%{self.function.counter}"]
            self.lines.append(f"{names[0]} = {text}{self.loc}")
        else:
            base = f"%{self.function.counter}"
            names = [f"{base}#{i}" for i in range(len(like))]
            self.lines.append(f"{base}:{len(like)} = {text}{self.loc}")
        self.function.counter += 1
        return [Token(n) if type(x) is Token else Value(n, x.shape, x.dtype) for n, x in zip(names, like, strict=True)]

    def region(self, args: Sequence[Value], body: Callable[[Block, list[Value]], Sequence[Value]], isolated=False):
        """The text of a region ``{ ^bb0(...): ... }`` with arguments of the types of ``args``."""
        block = Block(self.function, isolated or self.isolated)
        block.loc = self.loc
        params = [self.function.fresh_like(x) for x in args]
        outs = body(block, params)
        header = f"^bb0({', '.join(f'{p.name}: {p.type}' for p in params)}):\n" if params else ""
        return f"{{\n{header}{block.finish(outs)}\n}}"

    def finish(self, outs: Sequence[Value], terminator: str = "stablehlo.return") -> str:
        """The text of the block, ending with its results."""
        if outs:
            names, types = ", ".join(x.name for x in outs), ", ".join(x.type for x in outs)
            self.lines.append(f"{terminator} {names} : {types}")
        else:
            self.lines.append(terminator)
        return "\n".join(self.lines)

    # --- Constants ---

    def constant(self, value: np.ndarray) -> Value:
        """An array that is known now. Large ones become arguments of the program."""
        if value.nbytes > INLINE_BYTES and not self.isolated:
            return self.function.captured(value)
        key = (value.shape, value.dtype, value.tobytes())
        found = self._constants.get(key)
        if found is None:
            text = f"stablehlo.constant {dense(value)} : {tensor_type(value.shape, value.dtype)}"
            found = self._constants[key] = self.emit(text, value.shape, value.dtype)
        return found

    def scalar(self, value: Any, dtype: np.dtype) -> Value:
        key = (type(value), value, dtype)
        try:
            found = self._constants.get(key)
        except TypeError:
            return self.constant(np.asarray(value).astype(dtype))
        # 0.0 == -0.0 and nan != nan: these are looked up by their bits.
        if found is None or value == 0 or value != value:
            with np.errstate(all="ignore"):
                found = self._constants[key] = self.constant(np.asarray(value).astype(dtype))
        return found

    def full(self, value: Any, shape: Shape, dtype: np.dtype) -> Value:
        return self.broadcast(self.scalar(value, dtype), shape, ())

    # --- Elementwise ---

    def unary(self, name: str, x: Value) -> Value:
        return self.emit(f"stablehlo.{name} {x.name} : {x.type}", x.shape, x.dtype)

    def binary(self, name: str, x: Value, y: Value) -> Value:
        return self.emit(f"stablehlo.{name} {x.name}, {y.name} : {x.type}", x.shape, x.dtype)

    def chlo(self, name: str, *xs: Value) -> Value:
        names, types = ", ".join(x.name for x in xs), ", ".join(x.type for x in xs)
        x = xs[0]
        return self.emit(f"chlo.{name} {names} : {types} -> {x.type}", x.shape, x.dtype)

    def to_type(self, name: str, x: Value, shape: Shape, dtype: np.dtype) -> Value:
        """An operation that only changes the type: ``convert``, ``reshape``, ``real``..."""
        return self.emit(f"stablehlo.{name} {x.name} : ({x.type}) -> {tensor_type(shape, dtype)}", shape, dtype)

    def convert(self, x: Value, dtype: np.dtype) -> Value:
        return x if x.dtype == dtype else self.to_type("convert", x, x.shape, dtype)

    def compare(self, direction: str, x: Value, y: Value, total_order: bool = False) -> Value:
        if dtypes.issubdtype(x.dtype, np.inexact):
            kind = "TOTALORDER" if total_order else "FLOAT"
        else:
            signed = x.dtype != BOOL and dtypes.issubdtype(x.dtype, np.signedinteger)
            kind = "SIGNED" if signed else "UNSIGNED"
        text = f"stablehlo.compare {direction}, {x.name}, {y.name}, {kind} : ({x.type}, {y.type}) -> "
        return self.emit(text + tensor_type(x.shape, BOOL), x.shape, BOOL)

    def select(self, mask: Value, on_true: Value, on_false: Value) -> Value:
        text = f"stablehlo.select {mask.name}, {on_true.name}, {on_false.name} : {mask.type}, {on_true.type}"
        return self.emit(text, on_true.shape, on_true.dtype)

    def complex(self, x: Value, y: Value) -> Value:
        dtype = np.dtype(f"c{2 * x.dtype.itemsize}")
        text = f"stablehlo.complex {x.name}, {y.name} : {tensor_type(x.shape, dtype)}"
        return self.emit(text, x.shape, dtype)

    def parts(self, x: Value) -> tuple[Value, Value]:
        """The real and imaginary parts."""
        dtype = np.dtype(f"f{x.dtype.itemsize // 2}")
        return self.to_type("real", x, x.shape, dtype), self.to_type("imag", x, x.shape, dtype)

    # --- Shapes ---

    def broadcast(self, x: Value, shape: Shape, dims: Sequence[int]) -> Value:
        if x.shape == shape and tuple(dims) == tuple(range(len(shape))):
            return x
        result = tensor_type(shape, x.dtype)
        text = f"stablehlo.broadcast_in_dim {x.name}, dims = {ints(dims)} : ({x.type}) -> {result}"
        return self.emit(text, shape, x.dtype)

    def stretch(self, x: Value, shape: Shape) -> Value:
        """An elementwise operand of rank 0, or whose dimensions of size 1 stretch, in the shape of the result."""
        if x.shape == shape:
            return x
        return self.broadcast(x, shape, range(len(shape)) if x.shape else ())

    def reshape(self, x: Value, shape: Shape) -> Value:
        return x if x.shape == shape else self.to_type("reshape", x, shape, x.dtype)

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        if tuple(permutation) == tuple(range(len(x.shape))):
            return x
        shape = tuple(x.shape[d] for d in permutation)
        result = tensor_type(shape, x.dtype)
        text = f"stablehlo.transpose {x.name}, dims = {ints(permutation)} : ({x.type}) -> {result}"
        return self.emit(text, shape, x.dtype)

    def slice(self, x: Value, starts, limits, strides=None) -> Value:
        strides = strides or (1,) * len(x.shape)
        shape = tuple(-(-(b - a) // s) for a, b, s in zip(starts, limits, strides, strict=True))
        if shape == x.shape:
            return x
        ranges = ", ".join(f"{a}:{b}" + (f":{s}" if s != 1 else "") for a, b, s in zip(starts, limits, strides))
        text = f"stablehlo.slice {x.name} [{ranges}] : ({x.type}) -> {tensor_type(shape, x.dtype)}"
        return self.emit(text, shape, x.dtype)

    def take(self, x: Value, d: int, start: int, limit: int) -> Value:
        """``x[..., start:limit, ...]`` along dimension ``d``."""
        starts, limits = [0] * len(x.shape), list(x.shape)
        starts[d], limits[d] = start, limit
        return self.slice(x, starts, limits)

    def pad(self, x: Value, value: Value, config) -> Value:
        """Negative padding is cut off afterwards: XLA's partitioner (jaxlib 0.10.2) ends the process where it meets any."""
        if any(a < 0 or b < 0 for a, b, _ in config):
            x = self.pad(x, value, [(max(a, 0), max(b, 0), c) for a, b, c in config])
            starts = [max(-a, 0) for a, _, _ in config]
            return self.slice(x, starts, [n - max(-b, 0) for n, (_, b, _) in zip(x.shape, config, strict=True)])
        low, high, interior = ([entry[i] for entry in config] for i in range(3))
        shape = tuple(a + b + n + max(n - 1, 0) * c for n, (a, b, c) in zip(x.shape, config, strict=True))
        text = (
            f"stablehlo.pad {x.name}, {value.name}, low = {ints(low)}, high = {ints(high)}, interior = {ints(interior)}"
        )
        return self.emit(f"{text} : ({x.type}, {value.type}) -> {tensor_type(shape, x.dtype)}", shape, x.dtype)

    def concatenate(self, xs: Sequence[Value], d: int) -> Value:
        if len(xs) == 1:
            return xs[0]
        first = xs[0]
        shape = (*first.shape[:d], sum(x.shape[d] for x in xs), *first.shape[d + 1 :])
        names, types = ", ".join(x.name for x in xs), ", ".join(x.type for x in xs)
        text = f"stablehlo.concatenate {names}, dim = {d} : ({types}) -> {tensor_type(shape, first.dtype)}"
        return self.emit(text, shape, first.dtype)

    def iota(self, dtype: np.dtype, shape: Shape, d: int) -> Value:
        return self.emit(f"stablehlo.iota dim = {d} : {tensor_type(shape, dtype)}", shape, dtype)

    def reverse(self, x: Value, dims: Sequence[int]) -> Value:
        return self.emit(f"stablehlo.reverse {x.name}, dims = {ints(dims)} : {x.type}", x.shape, x.dtype)

    def dynamic_slice(self, x: Value, starts: Sequence[Value], sizes: Shape) -> Value:
        names = ", ".join(v.name for v in (x, *starts))
        types = function_type((x, *starts), [tensor_type(sizes, x.dtype)])
        return self.emit(f"stablehlo.dynamic_slice {names}, sizes = {ints(sizes)} : {types}", sizes, x.dtype)

    def dynamic_update_slice(self, x: Value, update: Value, starts: Sequence[Value]) -> Value:
        operands = (x, update, *starts)
        names = ", ".join(v.name for v in operands)
        text = f"stablehlo.dynamic_update_slice {names} : {function_type(operands, [x.type])}"
        return self.emit(text, x.shape, x.dtype)

    def whole(self, x: Value, dims: Sequence[int]) -> Value:
        """``x`` with these dimensions whole on every device, the others as the partitioner likes."""
        target, manual = self.module.target, self.module.manual
        if target.num_partitions == 1 or (manual is not None and not manual.free):
            return x
        mesh = next(iter(target.meshes.values())) if manual is None else manual.name
        cuts = ", ".join("{}" if d in dims else "{?}" for d in range(len(x.shape)))
        return self.emit(f"sdy.sharding_constraint {x.name} <@{mesh}, [{cuts}]> : {x.type}", x.shape, x.dtype)

    # --- Operations with regions ---

    def generic(self, name: str, operands: Sequence[Value], like: Sequence[Value], regions: str = "", attrs: str = ""):
        """An operation in MLIR's general form, ``"name"(operands) <{attrs}> (regions) : types``."""
        names = ", ".join(x.name for x in operands)
        attrs = f" <{{{attrs}}}>" if attrs else ""
        regions = f" ({regions})" if regions else ""
        types = f"({', '.join(x.type for x in operands)}) -> ({', '.join(x.type for x in like)})"
        return self.emit_many(f'"{name}"({names}){attrs}{regions} : {types}', like)

    def like(self, shape: Shape, dtype: np.dtype) -> Value:
        """A type, where one is asked for by example."""
        return Value("", shape, dtype)

    def reduce(self, xs: Sequence[Value], inits: Sequence[Value], dims: Sequence[int], combine) -> list[Value]:
        """Fold over dimensions with ``combine(block, left values, right values) -> values`` on scalars."""
        n = len(xs)
        kept = tuple(size for d, size in enumerate(xs[0].shape) if d not in dims)
        scalars = [self.like((), x.dtype) for x in xs]
        body = self.region([*scalars, *scalars], lambda b, p: combine(b, p[:n], p[n:]), isolated=True)
        attrs = f"dimensions = {array_attribute(dims)}"
        return self.generic("stablehlo.reduce", [*xs, *inits], [self.like(kept, x.dtype) for x in xs], body, attrs)

    def reduce_simple(self, name: str, x: Value, init: Value, dims: Sequence[int]) -> Value:
        """Fold with one operation, ``add`` or ``maximum``."""
        kept = tuple(size for d, size in enumerate(x.shape) if d not in dims)
        result = tensor_type(kept, x.dtype)
        text = (
            f"stablehlo.reduce({x.name} init: {init.name}) applies stablehlo.{name} across dimensions = {ints(dims)}"
            f" : ({x.type}, {init.type}) -> {result}"
        )
        return self.emit(text, kept, x.dtype)

    def loop(self, inits: Sequence[Value], condition, body) -> list[Value]:
        """``while condition(values): values = body(values)``; both are functions of a block and a list of values."""
        regions = f"{self.region(inits, lambda b, p: [condition(b, p)])}, {self.region(inits, body)}"
        return self.generic("stablehlo.while", inits, inits, regions)

    def custom_call(self, target: str, operands: Sequence[Value], like: Sequence[Value], attrs: str) -> list[Value]:
        names = ", ".join(x.name for x in operands)
        types = f"({', '.join(x.type for x in operands)}) -> {result_types([x.type for x in like])}"
        return self.emit_many(f"stablehlo.custom_call @{target}({names}) {{{attrs}}} : {types}", like)

    def in_memory(self, x: Value, kind: str) -> Value:
        """``x``, kept in memory of a kind of its device: ``"device"``, ``"pinned_host"``."""
        placed = f'has_side_effect = true, mhlo.frontend_attributes = {{_xla_buffer_placement = "{kind}"}}'
        return self.custom_call("annotate_device_placement", [x], [x], placed)[0]

    # --- Small combinations ---

    def flat_index(self, shape: Shape, dtype: np.dtype = INT32) -> Value:
        """The row-major position of each element."""
        total = None
        for d, n in enumerate(shape):
            if n == 1:
                continue
            along = self.iota(dtype, shape, d)
            stride = math.prod(shape[d + 1 :])
            if stride != 1:
                along = self.binary("multiply", along, self.full(stride, shape, dtype))
            total = along if total is None else self.binary("add", total, along)
        return self.full(0, shape, dtype) if total is None else total


def is_complex(x: Value) -> bool:
    return x.dtype.kind == "c"


def is_float(x: Value) -> bool:
    return dtypes.issubdtype(x.dtype, np.floating)


__all__ = [
    "ELEMENT_TYPES", "Block", "Token", "Value", "array_attribute", "function_type", "ints", "is_complex", "is_float",
    "result_types",
]  # fmt: skip
