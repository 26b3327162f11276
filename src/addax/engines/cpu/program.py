"""Assembling a program: simplify, fuse, lower, plan, compile, and hand the steps to the native executor."""

from __future__ import annotations

from typing import Any

from addax import _native
from addax.core.execution import CompileOptions
from addax.core.jaxpr import ClosedJaxpr, Literal, Var
from addax.engines.cpu import (
    lower_rules as lower_rules,  # registers the lowering rules
    objects,
    views,
)
from addax.engines.cpu.buffers import Buffer, Cond, Kernel, Loop, While
from addax.engines.cpu.loops import Nest
from addax.engines.cpu.lower import Block, Lowering, nbytes
from addax.engines.cpu.plan import Plan
from addax.engines.cpu.simplify import simplify


class Assembled:
    """A program and what it was made from."""

    __slots__ = ("alias_bytes", "host_steps", "nests", "plan", "program", "simplified", "steps")

    def __init__(self, program, simplified, steps, plan, nests, host_steps, alias_bytes: int):
        self.program, self.simplified, self.steps, self.plan = program, simplified, steps, plan
        self.nests, self.host_steps, self.alias_bytes = nests, host_steps, alias_bytes


def assemble(closed: ClosedJaxpr, options: CompileOptions) -> Assembled:
    """Compile a closed jaxpr to a native program."""
    simplified = simplify(closed)
    jaxpr = simplified.jaxpr
    lowering = Lowering()
    env: dict[Var, tuple[Buffer, int]] = {}
    inputs = []
    for i, v in enumerate(jaxpr.invars):
        b = Buffer("in", nbytes(v.aval), i)
        inputs.append(b)
        env[v] = (b, 0)
    for v, c in zip(jaxpr.constvars, simplified.consts, strict=True):
        env[v] = (lowering.const(c, v.aval), 0)
    block = Block(lowering, jaxpr, env)
    block.aim(jaxpr.outvars, [Buffer("out", nbytes(a), j) for j, a in enumerate(closed.out_avals)])
    block.run()
    outputs = finish_results(block, closed.out_avals)
    steps = block.steps
    nests = compile_kernels(steps)
    plan = Plan(steps, [b for kind, b in outputs if kind == "slot"])
    tuples = plan.emit(steps)
    out_spec = [(kind, plan.slot(b) if kind == "slot" else b) for kind, b in outputs]
    donated = donations(out_spec, plan, closed, options)
    program = _native.Program(
        tuple(closed.in_avals), tuple(closed.out_avals), plan.slots, plan.arena_bytes, lowering.consts, tuples, out_spec,
        donated,
    )  # fmt: skip
    alias_bytes = shared_bytes(out_spec, closed.out_avals, {j for _, j in donated})
    return Assembled(program, simplified, steps, plan, nests, lowering.host_steps, alias_bytes)


def shared_bytes(out_spec, out_avals, over_arguments: set[int]) -> int:
    """Bytes of the results that take no memory of their own."""
    seen: set[Any] = set()
    total = 0
    for j, (where, aval) in enumerate(zip(out_spec, out_avals, strict=True)):
        if where[0] != "slot" or where in seen or j in over_arguments:
            total += nbytes(aval)
        seen.add(where)
    return total


def finish_results(block: Block, out_avals) -> list[tuple[str, Any]]:
    """Where each result is found when the steps have run; copies for views that are not memory of their own."""
    outputs: list[tuple[str, Any]] = []
    for j, x in enumerate(block.jaxpr.outvars):
        aval = out_avals[j]
        r = block.fuser.ref(x)
        if type(r.base) is Literal and not aval.shape:
            outputs.append(("const", block.lowering.const(r.base.val, aval).index))
            continue
        if type(r.base) is Var and r.is_whole():
            buffer, offset = block.env[r.base]
            if offset == 0 and buffer.nbytes == nbytes(aval):
                if buffer.kind in ("in", "const"):
                    outputs.append((buffer.kind, buffer.index))
                else:
                    outputs.append(("slot", buffer))
                continue
        buffer = Buffer("out", nbytes(aval), j)
        block.write_view(r, buffer, 0, views.contiguous_strides(r.shape))
        outputs.append(("slot", buffer))
    return outputs


def compile_kernels(steps: list) -> list:
    """Compile the nests of all kernels, equal ones once; returns the distinct nests."""
    kernels: list[Kernel] = []
    collect(steps, kernels)
    jit = [k for k in kernels if k.nest is not None]
    distinct = {}
    for k in jit:
        distinct.setdefault(k.nest.key, k.nest)
    named = {}
    for i, (key, nest) in enumerate(distinct.items()):
        named[key] = Nest(f"{nest.name}_{i}", nest.params, nest.n_table, nest.body)
        named[key]._key = key
    addresses = objects.compile_nests(named.values())
    for k in jit:
        k.address = addresses[named[k.nest.key].name]
    return list(named.values())


def collect(steps: list, out: list[Kernel]) -> None:
    for s in steps:
        t = type(s)
        if t is Kernel:
            out.append(s)
        elif t is While:
            collect(s.cond, out)
            collect(s.body, out)
        elif t is Cond:
            for b in s.branches:
                collect(b, out)
        elif t is Loop:
            collect(s.body, out)


def donations(out_spec, plan: Plan, closed: ClosedJaxpr, options: CompileOptions) -> list[tuple[int, int]]:
    """Pairs (input, output): a donated input whose last use comes before the output is first written."""
    pairs: list[tuple[int, int]] = []
    donated = list(options.donated)
    if not donated:
        return pairs
    fresh: dict[int, Buffer] = {}
    ins: dict[int, Buffer] = {}
    for b in plan.buffers:
        if b.kind == "out" and b.parent is None:
            fresh[b.index] = b
        elif b.kind == "in":
            ins[b.index] = b
    aliased = {i for kind, i in out_spec if kind == "in"}
    for j, b in fresh.items():
        aval = closed.out_avals[j]
        for i in donated:
            a = closed.in_avals[i]
            if i in aliased or (a.shape, a.dtype) != (aval.shape, aval.dtype):
                continue
            source = ins.get(i)
            if source is None or source.last < b.first or plan.may_inherit(b, source):
                pairs.append((i, j))
                donated.remove(i)
                break
    return pairs
