"""A StableHLO module as text: functions, captured arrays, locations, and the attributes of the entry function.

`Target` says what the module is for; `Function` numbers the values of one function and notes which captured arrays it
reads; `Module` puts the functions together. Arrays that a program captures are arguments of ``@main`` after those of the
program, and are handed down to the functions that read them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import numpy as np

from addax.engines.xla.block import Block, Token, Value


class Target:
    """What a module is compiled for. Frozen by convention: it is part of cache keys.

    Args:
      platform: ``"cpu"``, ``"cuda"``, ``"rocm"`` or ``"tpu"``; decides which custom calls there are.
      num_partitions: how many devices run the program together.
      preamble: text that stands before the functions (``sdy.mesh``).
      argument_attributes: from the number of an argument of the program to its attributes, as
        ``sdy.sharding = #sdy.sharding<...>``; None or "" for none.
      result_attributes: the same for results.

    Attributes:
      devices: the devices, in the order of the partitions.
      meshes: the meshes that the program names, and their names in the text.
    """

    __slots__ = (
        "argument_attributes", "devices", "meshes", "num_partitions", "platform", "preamble", "result_attributes",
    )  # fmt: skip

    def __init__(
        self,
        platform: str = "cpu",
        num_partitions: int = 1,
        preamble: str = "",
        argument_attributes: Callable[[int], str | None] | None = None,
        result_attributes: Callable[[int], str | None] | None = None,
    ):
        self.platform, self.num_partitions = platform, num_partitions
        self.preamble = preamble
        self.argument_attributes, self.result_attributes = argument_attributes, result_attributes
        self.devices: tuple[Any, ...] = ()
        self.meshes: dict[Any, str] = {}

    def captured_attribute(self, ndim: int) -> str | None:
        """The attribute of an array that the program captures."""
        return None

    def mesh_name(self, mesh: Any) -> str:
        """The name in the module of a mesh, or of the one with its axes (inside of a `shard_map` the types differ)."""
        found = self.meshes.get(mesh)
        if found is None:
            found = next((n for m, n in self.meshes.items() if m.shape_tuple == mesh.shape_tuple), None)
        if found is None:
            raise ValueError(f"the program names {mesh!r}, but its meshes are {', '.join(map(repr, self.meshes))}")
        return found


class Function:
    """One function being written. ``scope`` is where it stands in the user's program, ``jit(f)/jit(g)/``."""

    __slots__ = ("captured_name", "captures", "counter", "module", "name", "scope")

    def __init__(self, module: Module, name: str, scope: str = ""):
        self.module, self.name, self.scope = module, name, scope
        self.counter = 0
        self.captured_name = "captured"
        self.captures: dict[int, Value] = {}

    def fresh_like(self, x: Value) -> Value:
        """A new argument of the type of ``x``."""
        name = f"%{self.counter}"
        self.counter += 1
        return Token(name) if type(x) is Token else Value(name, x.shape, x.dtype)

    def captured(self, value: np.ndarray) -> Value:
        """The argument that stands for an array which the program captures."""
        return self.capture_number(self.module.capture(value))

    def capture_number(self, i: int) -> Value:
        found = self.captures.get(i)
        if found is None:
            array = self.module.captured[i]
            found = self.captures[i] = Value(f"%{self.captured_name}{i}", array.shape, array.dtype)
        return found


class Isolated(Function):
    """A region inside of a function that may use nothing from around it, nor names that are used there."""

    __slots__ = ()

    def __init__(self, around: Function):
        super().__init__(around.module, around.name, around.scope)
        self.counter = around.counter + 1
        self.captured_name = f"captured_{self.counter}_"


class ManualMesh:
    """The mesh over which the collectives of a `shard_map` communicate.

    Attributes:
      name: of the mesh in the module.
      axes: names and sizes.
      numbers: the number of the partition at each place of the mesh.
      names: the manual axes.
    """

    __slots__ = ("axes", "name", "names", "numbers")

    def __init__(self, name: str, axes: Sequence[tuple[Any, int]], numbers: np.ndarray, names: frozenset):
        self.name, self.axes, self.numbers, self.names = name, tuple(axes), numbers, names

    @property
    def free(self) -> list[Any]:
        """The axes that are the partitioner's."""
        return [n for n, _ in self.axes if n not in self.names]


class Callee:
    """A private function that has been written: its name, what it captures, its results, whether it takes a token."""

    __slots__ = ("captures", "name", "ordered", "results")

    def __init__(self, name: str, captures: Sequence[int], results: Sequence[Value], ordered: bool):
        self.name, self.captures, self.results, self.ordered = name, tuple(captures), tuple(results), ordered


class Module:
    """A module being written.

    Attributes:
      captured: the arrays it captures, in the order of its arguments.
      callbacks: the host functions its custom calls refer to by number.
    """

    def __init__(self, name: str, target: Target, locations: bool = True):
        self.name, self.target = _identifier(name), target
        self.captured: list[np.ndarray] = []
        self.callbacks: list[Any] = []
        self.manual: ManualMesh | None = None  # while the body of a shard_map is written
        self.callees: dict[Any, tuple[Callee, Any]] = {}  # with what the key is an id of, to keep it alive
        self.channels = 0
        self.offloads = False  # whether values go to another memory of their device
        self.special: dict[Any, Any] = {}  # programs of special functions, by name and shape
        self._functions: list[str] = []
        self._names = {"main"}
        self._captured_numbers: dict[Any, int] = {}
        self._locations: dict[Any, str] | None = {} if locations else None
        self._location_lines: list[str] = []

    # --- What functions ask for ---

    def capture(self, value: np.ndarray) -> int:
        """The number of a captured array. One that is captured in several places, as several views, has one number."""
        key = (value.ctypes.data, value.shape, value.strides, value.dtype)
        found = self._captured_numbers.get(key)
        if found is None:
            found = self._captured_numbers[key] = len(self.captured)
            self.captured.append(value)  # which keeps the memory alive
        return found

    def callback(self, fun: Any) -> int:
        self.callbacks.append(fun)
        return len(self.callbacks) - 1

    def next_channel(self) -> int:
        """A number that no other collective of this program has."""
        self.channels += 1
        return self.channels

    def unique_name(self, name: str) -> str:
        base = unique = _identifier(name)
        k = 0
        while unique in self._names:
            k += 1
            unique = f"{base}_{k}"
        self._names.add(unique)
        return unique

    def location(self, name: str, source: tuple[Any, ...] | None) -> str:
        """The suffix that says which primitive and which line of the user's program an operation comes from."""
        table = self._locations
        if table is None:
            return ""
        key = (name, source)
        found = table.get(key)
        if found is None:
            found = table[key] = f" loc({self._add_location(name, source)})"
        return found

    def _add_location(self, name: str, source) -> str:
        lines = self._location_lines
        if source is None or source[0] is None:
            lines.append(f"#loc{len(lines) + 1} = loc({_quoted(name)})")
            return f"#loc{len(lines)}"
        assert self._locations is not None
        code, lasti = source[:2]
        key = (code.co_filename, *_position(code, lasti))
        place = self._locations.get(key)
        if place is None:
            lines.append(f"#loc{len(lines) + 1} = loc({_quoted(key[0])}:{key[1]}:{key[2]})")
            place = self._locations[key] = f"#loc{len(lines)}"
        found = self._locations.get((name, key))
        if found is not None:
            return found
        self._locations[name, key] = f"#loc{len(lines) + 1}"
        lines.append(f"#loc{len(lines) + 1} = loc({_quoted(name)}({place}))")
        return f"#loc{len(lines)}"

    # --- Functions ---

    def add_private(self, function: Function, args: Sequence[Value], outs: Sequence[Value], block: Block) -> None:
        """Write a private function; its captures follow its arguments."""
        params = [*args, *function.captures.values()]
        header = ", ".join(f"{p.name}: {p.type}" for p in params)
        results = ", ".join(x.type for x in outs)
        body = block.finish(outs, "func.return")
        self._functions.append(f"func.func private @{function.name}({header}) -> ({results}) {{\n{body}\n}}")

    def add_main(
        self,
        function: Function,
        args: Sequence[Value],
        outs: Sequence[Value],
        block: Block,
        donated: Sequence[int] = (),
    ) -> None:
        """Write the entry function. Donated arguments lend their memory to a result of their type, if there is one."""
        aliases = _aliases(args, outs, donated)
        target = self.target
        params = []
        for i, p in enumerate(args):
            attrs = [a for a in (target.argument_attributes and target.argument_attributes(i), aliases.get(i)) if a]
            params.append(f"{p.name}: {p.type}" + (f" {{{', '.join(attrs)}}}" if attrs else ""))
        for p in function.captures.values():  # whole on all devices, and the partitioner must not cut them
            attr = target.captured_attribute(len(p.shape))
            params.append(f"{p.name}: {p.type}" + (f" {{{attr}}}" if attr else ""))
        results = []
        for i, x in enumerate(outs):
            attr = target.result_attributes and target.result_attributes(i)
            results.append(f"{x.type} {{{attr}}}" if attr else x.type)
        if self.offloads:  # results are arrays of the device
            outs = [x if isinstance(x, Token) else block.in_memory(x, "device") for x in outs]
        body = block.finish(outs, "func.return")
        self._functions.insert(
            0, f"func.func public @main({', '.join(params)}) -> ({', '.join(results)}) {{\n{body}\n}}"
        )

    def text(self) -> str:
        """The whole module."""
        attributes = f"mhlo.num_partitions = {self.target.num_partitions} : i32, mhlo.num_replicas = 1 : i32"
        parts = [f"module @{self.name} attributes {{{attributes}}} {{"]
        if self.target.preamble:
            parts.append(self.target.preamble)
        return "\n".join([*parts, *self._functions, "}", *self._location_lines, ""])


def indented(text: str) -> str:
    """A module with its nested blocks indented, for people."""
    depth, lines = 0, []
    for line in text.split("\n"):
        if line.startswith("}"):
            depth -= 1
        lines.append("  " * (depth - line.startswith("^")) + line)
        if line.endswith("{"):
            depth += 1
    return "\n".join(lines)


def _aliases(args: Sequence[Value], outs: Sequence[Value], donated: Sequence[int]) -> dict[int, str]:
    free = list(range(len(outs)))
    found = {}
    for i in donated:
        match = next((k for k in free if outs[k].type == args[i].type), None)
        if match is None:
            found[i] = "jax.buffer_donor = true"  # may be reused as working memory
        else:
            free.remove(match)
            found[i] = f"tf.aliasing_output = {match} : i32"
    return found


def _identifier(name: str) -> str:
    """A name that may stand after ``@``."""
    word = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    return word if word and not word[0].isdigit() else f"_{word}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_positions: dict[CodeType, list[tuple[int, int]]] = {}


def _position(code: CodeType, lasti: int) -> tuple[int, int]:
    """Line and column of an instruction; a location needs both, so what is not known is 0."""
    known = _positions.get(code)
    if known is None:
        if len(_positions) > 512:
            _positions.clear()
        known = _positions[code] = [(line or 0, column or 0) for line, _, column, _ in code.co_positions()]
    i = lasti // 2
    return known[i] if 0 <= i < len(known) else (code.co_firstlineno, 0)
