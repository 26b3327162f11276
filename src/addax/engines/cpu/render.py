"""The ``"loops"`` stage as text: the loop nests, then the steps of the program, host steps named as such."""

from __future__ import annotations

from addax.engines.cpu.buffers import Buffer, Cond, Copy, Fill, Host, Kernel, Loop, Swap, While
from addax.engines.cpu.loops import print_nest


def render_steps(assembled) -> str:
    """``assembled`` (program.Assembled) as readable text."""
    nests = assembled.nests
    names = {n.key: n.name for n in nests}
    lines = [print_nest(n) + "\n" for n in nests]
    lines.append("steps")
    _render(assembled.steps, names, lines, "  ")
    lines.append(f"arena: {assembled.plan.arena_bytes} bytes")
    return "\n".join(lines)


def _name(b: Buffer) -> str:
    if b.kind != "arena":
        return f"{b.kind}{b.index}"
    root, offset = b, 0
    while root.parent is not None:
        offset += root.parent_offset
        root = root.parent
    return f"arena+{root.offset + offset}" if root.kind == "arena" else f"{_name(root)}+{offset}"


def _render(steps: list, names: dict[str, str], lines: list[str], pad: str) -> None:
    for s in steps:
        t = type(s)
        if t is Kernel:
            what = names[s.nest.key] if s.nest is not None else s.name
            kind = "nest" if s.nest is not None else "call"
            args = ", ".join(("*" if b in s.writes else "") + _name(b) for b in s.args)
            lines.append(f"{pad}{kind} {what}({args}) table {s.table} extent {s.extent}")
        elif t is Copy:
            lines.append(f"{pad}copy {_name(s.dst)} <- {_name(s.src)} ({s.nbytes} bytes)")
        elif t is Fill:
            lines.append(f"{pad}zero {_name(s.dst)} ({s.nbytes} bytes)")
        elif t is Host:
            ins, outs = ", ".join(map(_name, s.ins)), ", ".join(map(_name, s.outs))
            lines.append(f"{pad}host {s.name}({ins}) -> {outs}    # runs in NumPy")
        elif t is Swap:
            lines.append(f"{pad}swap {_name(s.a)} {_name(s.b)}")
        elif t is While:
            lines.append(f"{pad}while")
            _render(s.cond, names, lines, pad + "  ")
            lines.append(f"{pad}do if {_name(s.test)}")
            _render(s.body, names, lines, pad + "  ")
        elif t is Cond:
            lines.append(f"{pad}switch {_name(s.index)}")
            for i, b in enumerate(s.branches):
                lines.append(f"{pad}case {i}")
                _render(b, names, lines, pad + "  ")
        elif t is Loop:
            trips = _name(s.trips) if isinstance(s.trips, Buffer) else s.trips
            counter = f" counting {_name(s.counter)}" if s.counter is not None else ""
            lines.append(f"{pad}loop {trips} times{counter}{' down' if s.reverse else ''}")
            _render(s.body, names, lines, pad + "  ")
