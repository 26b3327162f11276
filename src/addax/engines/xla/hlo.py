"""What XLA has made of a program: the collectives in its optimised HLO, what they move, and the lines they come from."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all", "ragged-all-to-all")


class Collective(NamedTuple):
    """A collective of a compiled program.

    Attributes:
      kind: as HLO calls it, ``"all-reduce"``.
      bytes: of its results on one device (of its operands, for ``"reduce-scatter"``: what is summed).
      members: how many devices take part in one group of it.
      times: how often it runs: as often as the loops around it, each of which counts once if XLA does not know.
      frame: the number of the line that it comes from, in the program's table.
    """

    kind: str
    bytes: int
    members: int
    times: int
    frame: str


_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(?:-start)?\(")
_SHAPE = re.compile(r"\b([a-z]+[0-9]*[a-z0-9]*)\[([0-9,]*)\]")
_BITS = re.compile(r"[0-9]+")
_LISTED = re.compile(r"replica_groups=\{\{([0-9,]*)\}")
_COUNTED = re.compile(r"replica_groups=\[([0-9]+),([0-9]+)\]")
_NAMED = re.compile(r"replica_groups=mesh\[(.*?)\] ?\{(.*?)\}")
_AXIS = re.compile(r"'([^']*)'(?:=([0-9]+)|:\([0-9]+\)([0-9]+))?")  # 'x'=8 in a mesh; 'x', or 'x':(2)4, a part of it
_FRAME = re.compile(r"stack_frame_id=(\d+)")
_CALLED = re.compile(r"\b(?:body|to_apply|calls|[a-z]+_computations?)=\{?((?:%[\w.\-]+(?:, )?)+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"([0-9]+)"')
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) (?:\(.*\) -> .* )?\{$")
_TABLES = {  # at the head of a program: where its operations come from
    "frames": re.compile(r"^(\d+) \{file_location_id=(\d+)", re.M),
    "places": re.compile(r"^(\d+) \{file_name_id=(\d+) .*?\bline=(\d+)", re.M),
    "files": re.compile(r'^(\d+) "(.*)"$', re.M),
}


def collectives(hlo: str) -> list[Collective]:
    """The collectives of a compiled program, in the order of its text."""
    found: list[tuple[str, Collective]] = []
    callers: dict[str, list[tuple[str, int]]] = {}  # computation -> (where it is called, how often each time)
    inside = ""
    for line in hlo.splitlines():
        header = _COMPUTATION.match(line)
        if header:
            inside = header[1]
            continue
        called = _CALLED.findall(line)
        if called:
            trips = _TRIPS.search(line)
            for name in [n.strip("% ") for group in called for n in group.split(",")]:
                callers.setdefault(name, []).append((inside, int(trips[1]) if trips else 1))
        match = _COLLECTIVE.search(line)
        if match is None:
            continue
        size = sum(_size(kind, dims) for kind, dims in _SHAPE.findall(match[1]))
        members = _members(line)
        frame = _FRAME.search(line)
        if match[2] == "reduce-scatter":
            size *= members
        found.append((inside, Collective(match[2], size, members, 1, frame[1] if frame else "")))
    runs: dict[str, int] = {}
    return [c._replace(times=_runs(where, callers, runs)) for where, c in found]


def _runs(computation: str, callers: dict[str, list[tuple[str, int]]], known: dict[str, int]) -> int:
    """How often a computation runs when the program runs once."""
    if computation not in known:
        calls = callers.get(computation)
        known[computation] = sum(n * _runs(c, callers, known) for c, n in calls) if calls else 1
    return known[computation]


def _members(line: str) -> int:
    """How many take part in a group, in each of the ways in which HLO writes groups."""
    counted = _COUNTED.search(line)
    if counted:
        return int(counted[2])
    named = _NAMED.search(line)
    if named:
        sizes = {name: int(size or 1) for name, size, _ in _AXIS.findall(named[1])}
        return math.prod(int(part or sizes[name]) for name, _, part in _AXIS.findall(named[2]))
    listed = _LISTED.search(line)
    return len(listed[1].split(",")) if listed else 2  # a permutation: sender and receiver


def _size(kind: str, dims: str) -> int:
    """Bytes of an array of a type as HLO writes it: ``f32``, ``bf16``, ``pred``, ``c64``, ``f8e4m3fn``."""
    bits = _BITS.search(kind)
    return math.prod(int(n) for n in dims.split(",") if n) * (int(bits[0]) if bits else 8) // 8


def describe_collectives(hlo: str) -> str:
    """The collectives of a compiled program and the user's lines that they come from, in words."""
    frames = dict(_TABLES["frames"].findall(hlo))
    places = {i: (f, line) for i, f, line in _TABLES["places"].findall(hlo)}
    files = dict(_TABLES["files"].findall(hlo.partition("FunctionNames")[0]))
    found = []
    for c in collectives(hlo):
        file, number = places.get(frames.get(c.frame, ""), ("", ""))
        found.append(c.kind + (f" from {files[file]}:{number}" if file in files else ""))
    if not found:
        return ""
    unique = list(dict.fromkeys(found))
    return ", in " + ", ".join(unique[:3]) + (f" and {len(unique) - 3} more" if len(unique) > 3 else "")
