"""The engine's face: a program with its arguments' placements in, a function of Arrays out.

`XlaEngine.compile` decides on which devices a program runs and how they are numbered, lowers it with the shardings of
its arguments and results as attributes, and lets XLA's partitioner (Shardy) do the rest. What it chose for results
that nobody placed is read back.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from addax._native import Array, InFlight, Launch, array_from_numpy
from addax.core.execution import CompileOptions, meshes_in, shardings_of
from addax.core.jaxpr import ClosedJaxpr, Jaxpr, Var
from addax.core.mesh import Mesh
from addax.core.primitive import Primitive
from addax.core.sharding import NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding
from addax.engines.costs import cost_of, has_loops
from addax.engines.devices import CpuDevice
from addax.engines.memory_use import MemoryAnalysis, of_xla
from addax.engines.xla import compat, processes
from addax.engines.xla.arrays import buffer_at, number_at, put_host, runtime_aval, stage
from addax.engines.xla.executable import load
from addax.engines.xla.hlo import describe_collectives
from addax.engines.xla.inspect import readable
from addax.engines.xla.layouts import ShardedTarget
from addax.engines.xla.lower import Program, has_rule, lower
from addax.engines.xla.module import indented
from addax.engines.xla.placement import in_order, placement, sharding_of
from addax.engines.xla.unreduced import constrained_results, sums_stay_open
from addax.ops.explicit import Layouts
from addax.ops.layout import pending

_in_flight: dict[Any, InFlight] = collections.defaultdict(lambda: InFlight(24))
"""By client: programs on its virtual CPU devices that are launched and unfinished.

Each device takes 32. To launch one more, XLA's client blocks a thread of its pool per device until there is room, and as a
collective needs a thread per device too, it then waits for ever: a loop of 33 steps that reads none of their results ends
with XLA killing the process after 40 s, in JAX too. With fewer nothing ever blocks. (The 8 that are left are for programs that
call the host, which are waited for and do not count. More threads in XLA's pool would do too, but double the time of a small
launch.) XLA runs the programs for several devices of a client one after the other, whether they hold collectives or not.
"""


class XlaCompiled:
    """A compiled program. ``executable`` is what the call path runs: Arrays in, Arrays out, which may not be ready yet."""

    def __init__(
        self, closed: ClosedJaxpr, options: CompileOptions, devices: Sequence[Any], meshes: Sequence[Mesh],
        bound: Sequence[Any] = (),
    ):  # fmt: skip
        self._closed = closed
        self.devices = tuple(devices)
        default: Sharding = SingleDeviceSharding(devices[0])
        if len(devices) > 1:
            default = NamedSharding(meshes[0], PartitionSpec())
        given = options.in_shardings or (None,) * len(closed.in_avals)
        cut = cut_by_shard_map(closed) if len(devices) > 1 and None in given else {}
        self.in_shardings = [cut.get(i, default) if s is None else s for i, s in enumerate(given)]
        wanted = options.out_shardings or (None,) * len(closed.out_avals)
        closed, wanted = explicit_results(closed, given, wanted, meshes)
        check_layouts(closed, self.in_shardings, wanted)
        platform, many = devices[0].platform, len(devices) > 1
        self._target = ShardedTarget(
            platform, devices, meshes if many else (),
            [(s, a.ndim) for s, a in zip(self.in_shardings, closed.in_avals, strict=True)],
            [(s, a.ndim) for s, a in zip(wanted, closed.out_avals, strict=True)],
        )  # fmt: skip
        self._program: Program = lower(closed, self._target, options.donated)
        self._loaded = load(self._program, self._target, devices, options.compiler_options)
        self.out_shardings = self._results(wanted, default, meshes)
        # Uncommitted results are those of a program that nothing binds to its device.
        self.committed = len(devices) > 1 or any(s is not None for s in (*given, *wanted)) or options.device is not None
        self._others = processes.current() if len({d.process_index for d in devices}) > 1 else None
        info = closed.jaxpr.debug_info
        self._name = "a program" if info is None else info.func_name.partition(" at ")[0]
        out_avals = [runtime_aval(a) for a in closed.out_avals]
        self._handlers = [
            compat.array_result_handler(a, placement(s)) for a, s in zip(out_avals, self.out_shardings, strict=True)
        ]
        passed = len(closed.in_avals) - len(bound)
        self.in_shardings, kept = self.in_shardings[:passed], self.in_shardings[passed:]
        captured = [put_host(np.array(x), default) for x in self._program.captured]
        self._captured_bytes = sum(x.nbytes for x in self._program.captured)
        donates_numbers = any(closed.in_avals[i].ndim == 0 for i in options.donated)
        careful = self._others or self._program.ordered or self._program.callbacks
        paced = platform == "cpu" and devices[0].client.local_device_count() > 1
        self.executable = Launch(
            self._run_with_care if careful else self._loaded.execute_sharded,
            None if careful else compat.consume_with_handlers, self._handlers,
            buffer_at if donates_numbers else number_at, self.in_shardings, closed.out_avals, self.out_shardings, self.committed,
            [*map(buffer_at, bound, kept), *captured],
            _in_flight[devices[0].client] if paced and not careful else None, many, stage if platform == "cpu" else None,
        )  # fmt: skip

    def run(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """Run on a list of array-likes whose types are those compiled for; the results may not be ready yet."""
        avals = self._closed.in_avals
        return self.executable(
            [x if isinstance(x, Array) else array_from_numpy(np.asarray(x, a.dtype), a) for x, a in zip(arrays, avals)]
        )

    def _results(self, wanted, default: Sharding, meshes) -> list[Sharding]:
        if len(self.devices) == 1 or all(s is not None for s in wanted):
            return [default if s is None else s for s in wanted]
        with compat.without_jax():
            chosen = self._loaded.get_output_shardings()
        assert chosen is not None
        return [
            s if s is not None else sharding_of(proto, meshes, a.ndim)
            for s, proto, a in zip(wanted, chosen, self._closed.out_avals, strict=True)
        ]

    def _run_with_care(self, sent: list) -> list:
        """Run a program that other processes must know of, or that calls the host: buffers in and out."""
        if self._others is not None and self.devices[0].platform == "cpu":
            self._others.watchdog.wait_for_last()
        try:
            to_end = self._program.ordered or bool(self._program.callbacks)
            results = self._loaded.execute_sharded(sent, to_end)
            outs = results.consume_with_handlers(self._handlers)
            if self._others is not None:
                self._others.watchdog.launched(self._name, outs, self._collectives)
            if to_end:  # callbacks raise where the program is called, not where its results are read, if it has any
                results.consume_token().block_until_ready()
        except compat.XlaRuntimeError:
            errors = [callback.take_error() for callback in self._program.callbacks]
            error = next((e for e in errors if e is not None), None)
            if error is not None:
                raise error from None
            raise
        return outs

    def _collectives(self) -> str:
        return describe_collectives(self.as_text("hlo"))

    def as_text(self, stage: str = "hlo", debug_info: bool = False) -> str:
        """The program at a stage: "jaxpr", "stablehlo" as sent to XLA (``debug_info``: with its locations), or "hlo" as XLA
        has optimised it."""
        if stage == "jaxpr":
            return str(self._closed)
        if stage == "stablehlo":
            return indented(self._program.text) if debug_info else readable(self._program.text)
        if stage == "hlo":
            with compat.without_jax():
                return "\n\n".join(m.to_string() for m in self._loaded.hlo_modules())
        raise ValueError(f'unknown stage {stage!r}; the XLA engine has "jaxpr", "stablehlo" and "hlo"')

    def cost_analysis(self) -> dict[str, float]:
        """What XLA counts in the optimised program of one device; but it counts the body of a loop once, so for programs with
        loops the costs are those that engines/costs.py counts in the jaxpr."""
        with compat.without_jax():
            found = dict(self._loaded.cost_analysis())
        return found | cost_of(self._closed).as_dict() if has_loops(self._closed) else found

    def memory_analysis(self) -> MemoryAnalysis:
        return of_xla(self._loaded.get_compiled_memory_stats(), self._captured_bytes)


class XlaEngine:
    """Programs for GPUs, TPUs, and several devices at once."""

    name = "xla"

    def compile(self, closed: ClosedJaxpr, options: CompileOptions, device: Any = None) -> XlaCompiled:
        """Compile a program for the devices that its arguments are on, or else for ``device``.

        Raises:
          ValueError: if they are on different sets of devices.
          NotImplementedError: naming a primitive that has no lowering.
        """
        closed, options, bound = with_captured(closed, options)
        devices, meshes = plan_devices(closed, options, device)
        return XlaCompiled(closed, options, devices, meshes, bound)

    def supports(self, primitive: Primitive) -> bool:
        return has_rule(primitive)


def with_captured(closed: ClosedJaxpr, options: CompileOptions) -> tuple[ClosedJaxpr, CompileOptions, list[Any]]:
    """The program with the arrays that it captures and that were put somewhere as its last arguments, where they are; and
    these arrays. (Others become whole constants on every device.)
    """
    where = shardings_of(closed.consts)
    if not where:
        return closed, options, []
    moved = [s is not None and not isinstance(s.device_list[0], CpuDevice) for s in where]
    if not any(moved):
        return closed, options, []
    jaxpr, given = closed.jaxpr, options.in_shardings or (None,) * len(closed.in_avals)
    variables = [v for v, m in zip(jaxpr.constvars, moved, strict=True) if m]
    kept = [(v, c) for v, c, m in zip(jaxpr.constvars, closed.consts, moved, strict=True) if not m]
    jaxpr = jaxpr.replace(constvars=[v for v, _ in kept], invars=[*jaxpr.invars, *variables])
    options = replace(options, in_shardings=(*given, *(s for s, m in zip(where, moved, strict=True) if m)))
    return (
        ClosedJaxpr(jaxpr, [c for _, c in kept]),
        options,
        [c for c, m in zip(closed.consts, moved, strict=True) if m],
    )


def plan_devices(closed: ClosedJaxpr, options: CompileOptions, device: Any = None) -> tuple[list[Any], list[Mesh]]:
    """``(devices in the order of partitions, meshes)`` of a program."""
    inner = meshes_in(closed)
    placed = [s for s in (*(options.in_shardings or ()), *(options.out_shardings or ())) if s is not None]
    meshes = list(dict.fromkeys([*(s.mesh for s in placed if isinstance(s, NamedSharding)), *inner]))
    concrete = [m for m in meshes if isinstance(m, Mesh)]
    if concrete:
        devices = list(in_order(concrete[0].devices.flat))
    elif placed:
        devices = list(in_order(placed[0].device_list))
    elif device is not None:
        devices = [device]
    else:
        raise ValueError("nothing says on which device this program runs")
    expected = set(devices)
    for i, s in enumerate(options.in_shardings or ()):
        if s is not None and s.device_set != expected:
            raise incompatible_devices(closed, i, s, options, devices)
    for s in placed:
        if s.device_set != expected:
            raise ValueError(
                f"out_shardings name other devices, {ids(s.device_list)}, than the arguments, {ids(devices)}"
            )
    for m in concrete:
        if set(m.devices.flat) != expected:
            raise ValueError(
                f"{m!r} has other devices, {ids(m.devices.flat)}, than the arguments of the program, {ids(devices)}"
            )
    return devices, concrete


def explicit_results(
    closed: ClosedJaxpr, given, wanted, meshes: Sequence[Mesh]
) -> tuple[ClosedJaxpr, Sequence[Sharding | None]]:
    """Where results are to be: as was asked for, or, if all axes of a mesh are explicit, as follows from the program; and the
    program, in which what is unreduced stays so.

    Raises:
      ShardingTypeError: if operands are cut along explicit axes in ways that do not go together.
    """
    mesh = next((m for m in meshes if m.explicit_axes), None)
    if mesh is None:
        return closed, wanted
    layouts = Layouts(mesh)
    arguments = [layouts.of_sharding(s, a.ndim) for s, a in zip(given, closed.in_avals, strict=True)]
    closed = constrained_results(closed, wanted)
    found = layouts.program(closed, arguments)
    if layouts.sums:
        closed = sums_stay_open(closed, arguments, mesh)
    follows = [f is not None and (mesh.are_all_axes_explicit or bool(pending(f))) for f in found]
    return closed, [
        s or (layouts.sharding(f) if known else None) for s, f, known in zip(wanted, found, follows, strict=True)
    ]


def cut_by_shard_map(closed: ClosedJaxpr) -> dict[int, NamedSharding]:
    """Of arguments that only one `shard_map` reads, the parts it wants: sent to their devices, and the rest nowhere."""
    wanted: dict[int, set] = {}
    stack: list[tuple[Jaxpr, dict[Any, int]]] = [(closed.jaxpr, {v: i for i, v in enumerate(closed.jaxpr.invars)})]
    while stack:
        jaxpr, number = stack.pop()
        for eqn in jaxpr.eqns:
            read = [(k, number[v]) for k, v in enumerate(eqn.invars) if type(v) is Var and v in number]
            name, mesh = eqn.primitive.name, eqn.params.get("mesh")
            if name == "jit":
                inner = eqn.params["jaxpr"].jaxpr
                stack.append((inner, {inner.invars[k]: i for k, i in read}))
                continue
            for k, i in read:
                whole = name != "shard_map" or not isinstance(mesh, Mesh)
                wanted.setdefault(i, set()).add(None if whole else NamedSharding(mesh, eqn.params["in_specs"][k]))
        for v in jaxpr.outvars:
            if type(v) is Var and v in number:
                wanted.setdefault(number[v], set()).add(None)
    single = {i: next(iter(found)) for i, found in wanted.items() if len(found) == 1}
    return {i: s for i, s in single.items() if s is not None}


def check_layouts(closed: ClosedJaxpr, given: Sequence[Sharding | None], wanted: Sequence[Sharding | None]) -> None:
    """Raise if an argument or a result cannot be cut as its sharding says, with its name."""
    info = closed.jaxpr.debug_info
    of = "" if info is None else f" of {info.func_name.partition(' at ')[0]}"
    names = list(getattr(info, "arg_names", ()))
    for kind, shardings, avals in (("argument", given, closed.in_avals), ("result", wanted, closed.out_avals)):
        for i, (s, a) in enumerate(zip(shardings, avals, strict=True)):
            try:
                if s is not None:
                    s.shard_shape(a.shape)
            except ValueError as error:
                which = names[i] if kind == "argument" and i < len(names) else "" if len(avals) == 1 else i
                raise type(error)(f"{kind} {which}".strip() + f"{of}: {error}") from None


def ids(devices) -> list[int]:
    return [d.id for d in devices]


def incompatible_devices(closed: ClosedJaxpr, i: int, sharding: Sharding, options, devices) -> ValueError:
    """The error for arguments that were put on different devices, which names two of them."""
    info = closed.jaxpr.debug_info
    names = list(getattr(info, "arg_names", None) or [])
    of = "" if info is None else f" of {info.func_name.partition(' at ')[0]}"

    def describe(k: int, where: Sequence[Any]) -> str:
        name = names[k] if k < len(names) else f"{k}"
        return (
            f"argument {name}{of} with type {closed.in_avals[k].str_short(False)} and with device ids {ids(where)} on "
            f"platform {next(iter(where)).platform.upper()}"
        )

    other = next(
        (k for k, s in enumerate(options.in_shardings) if s is not None and s.device_set == set(devices)), None
    )
    against = describe(other, devices) if other is not None else f"a mesh of devices {ids(devices)}"
    return ValueError(
        f"Received incompatible devices for jitted computation. Got {against} and {describe(i, list(sharding.device_list))}. "
        "Put them on the same devices with addax.device_put(x, sharding)."
    )


xla_engine = XlaEngine()
