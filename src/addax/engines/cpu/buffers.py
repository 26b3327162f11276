"""Memory and steps as the lowering writes them, before the planner gives them addresses.

A program under construction is a list of steps over `Buffer`s:

* ``Kernel(name, address, nest, args, table, extent, ns)``: a compiled nest (address comes later) or a C++ kernel;
* ``Copy``, ``Fill``, ``Host``, ``Swap``, and the blocks ``While``, ``Cond``, ``Loop``.
"""

from __future__ import annotations

from typing import Any

from addax import _native


class Buffer:
    """A block of memory. ``kind``: in, const, arena, out. ``parent``: lives in another buffer's memory. ``swapped``: holds
    what a loop carries; ``traded``: a `Swap` exchanges it with another."""

    __slots__ = (
        "first",
        "index",
        "kind",
        "last",
        "nbytes",
        "note",
        "offset",
        "parent",
        "parent_offset",
        "slot",
        "swapped",
        "traded",
    )

    def __init__(self, kind: str, nbytes: int, index: int = -1):
        self.kind, self.nbytes, self.index = kind, nbytes, index
        self.first = self.last = self.offset = self.slot = -1
        self.parent: Buffer | None = None
        self.parent_offset = 0
        self.swapped = self.traded = False
        self.note = ""

    def __repr__(self) -> str:
        where = f"{self.kind}{self.index}" if self.index >= 0 else f"{self.kind}@{self.offset}"
        return f"{where}[{self.nbytes}]"


class Kernel:
    """One call of compiled code: items ``0 .. extent`` at about ``ns`` nanoseconds each, cut between threads at multiples of
    ``cut``.

    ``in_place``: pairs (read, written) of buffers that may be the same memory, since every element is read by the
    iteration that overwrites it.
    """

    __slots__ = ("address", "args", "cut", "extent", "in_place", "name", "nest", "ns", "table", "writes")

    def __init__(
        self, nest, args: list[Buffer], writes: set[Buffer], table: list[int], extent: int, ns: float, name: str
    ):
        self.nest, self.args, self.writes, self.table = nest, args, writes, table
        self.extent, self.ns, self.name = extent, ns, name
        self.address, self.cut = 0, 1
        self.in_place: list[tuple[Buffer, Buffer]] = []


_symbols: dict[str, int] = {}


def symbols() -> dict[str, int]:
    """Addresses of the ahead-of-time kernels."""
    if not _symbols:
        _symbols.update(_native.symbols())
    return _symbols


def ahead_of_time(symbol: str, args: list[Buffer], writes: set[Buffer], table: list[int], ns: float) -> Kernel:
    """A call of a kernel from native/kernels, which divides its work itself; ``ns``: its estimated single-thread time."""
    kernel = Kernel(None, args, writes, table, 1, -max(1.0, ns), symbol)
    kernel.address = symbols()[symbol]
    return kernel


class Copy:
    __slots__ = ("dst", "nbytes", "src")

    def __init__(self, dst: Buffer, src: Buffer, nbytes: int):
        self.dst, self.src, self.nbytes = dst, src, nbytes


class Fill:
    """Zero bytes."""

    __slots__ = ("dst", "nbytes")

    def __init__(self, dst: Buffer, nbytes: int):
        self.dst, self.nbytes = dst, nbytes


class Host:
    """A Python function of NumPy arrays."""

    __slots__ = ("callable", "in_avals", "ins", "name", "out_avals", "outs")

    def __init__(self, callable_: Any, ins, in_avals, outs, out_avals, name: str):
        self.callable, self.ins, self.in_avals, self.outs, self.out_avals = callable_, ins, in_avals, outs, out_avals
        self.name = name


class Swap:
    """Exchange the memory of two buffers of equal size."""

    __slots__ = ("a", "b")

    def __init__(self, a: Buffer, b: Buffer):
        self.a, self.b = a, b


class While:
    """``carried``: buffers whose contents pass from one turn to the next."""

    __slots__ = ("body", "carried", "cond", "test")

    def __init__(self, cond: list, test: Buffer, body: list, carried: list[Buffer]):
        self.cond, self.test, self.body, self.carried = cond, test, body, carried


class Cond:
    __slots__ = ("branches", "index")

    def __init__(self, index: Buffer, branches: list[list]):
        self.index, self.branches = index, branches


class Loop:
    """``trips`` turns; ``counter`` holds the number of the turn (int32, or int64 if ``wide``)."""

    __slots__ = ("body", "carried", "counter", "reverse", "trips", "wide")

    def __init__(
        self, trips: int | Buffer, counter: Buffer | None, wide: bool, reverse: bool, body: list, carried: list
    ):
        self.trips, self.counter, self.wide, self.reverse, self.body = trips, counter, wide, reverse, body
        self.carried = carried
