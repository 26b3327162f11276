"""Weak scaling of the strategies of examples/parallel.py, predicted for up to 512 devices from their compiled programs.

Run: ``python benchmarks/scaling.py --out benchmarks/SCALING.md``. Each strategy's training step is compiled (not run) for
meshes of 1 to 512 virtual devices, with the same work per device; which collectives XLA has put into it, and how many
bytes they move, is read out of the optimised program. The step is then predicted as

    compute + sum over collectives of (latency * ceil(log2 members) + traffic / bandwidth)

with nothing hidden behind anything else. ``compute`` is the time of the strategy's step on one device, measured here.
Traffic per device is that of ring algorithms: 2 (m-1)/m of the bytes for an all-reduce among m devices, (m-1)/m for an
all-gather, reduce-scatter or all-to-all, all of them for a permutation. Latency and bandwidth are options.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import pathlib
import platform
import sys
import time
from typing import NamedTuple

import numpy as np

import addax
from addax.engines.xla.client import cpu_client
from addax.engines.xla.compat import jaxlib_version
from addax.engines.xla.hlo import Collective, collectives

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "examples"))
import parallel

WIDTH, HIDDEN, LAYERS, ROWS, MICRO_BATCHES = 512, 1024, 8, 32, 16
MOST_MEASURED = 8


class Work(NamedTuple):
    """What a strategy does on n devices: the step, shapes of the parameters, rows of the batch, and how many times the
    compute of one device a device spends (pipelines run idle at both ends)."""

    strategy: parallel.Strategy
    layers: int
    hidden: int
    rows: int
    compute: float = 1.0


def data_parallel(devices) -> Work:
    return Work(parallel.data_parallel(devices), LAYERS, HIDDEN, ROWS * len(devices))


def tensor_parallel(devices) -> Work:
    model = min(4, len(devices))
    return Work(parallel.tensor_parallel(devices), LAYERS, HIDDEN * model, ROWS * len(devices) // model)


def fsdp(devices) -> Work:
    return Work(parallel.fsdp(devices), LAYERS, HIDDEN, ROWS * len(devices))


def pipeline(devices) -> Work:
    n = len(devices)
    ticks = (MICRO_BATCHES + n - 1) / MICRO_BATCHES
    return Work(parallel.pipeline(devices, MICRO_BATCHES), 2 * n, HIDDEN, ROWS, ticks)


STRATEGIES = {"data parallel": data_parallel, "tensor parallel": tensor_parallel, "FSDP": fsdp, "pipeline": pipeline}
GROWS = {
    "data parallel": "the batch",
    "tensor parallel": "the hidden units up to 4 devices, then the batch",
    "FSDP": "the batch",
    "pipeline": f"the layers, 2 to a stage; {MICRO_BATCHES} micro-batches whatever the number of stages",
}


def arguments(work: Work, make) -> tuple:
    """Parameters, velocities and a batch, each made by ``make(shape, sharding)``."""
    where = work.strategy.params
    where = where if isinstance(where, dict) else {"up": where, "down": where}
    params = {
        "up": make((work.layers, WIDTH, work.hidden), where["up"]),
        "down": make((work.layers, work.hidden, WIDTH), where["down"]),
    }
    velocity = {k: make(v.shape, where[k]) for k, v in params.items()}
    return params, velocity, tuple(make((work.rows, WIDTH), work.strategy.batch) for _ in range(2))


def compiled(work: Work):
    describe = lambda shape, sharding: addax.ShapeDtypeStruct(shape, np.float32, sharding=sharding)  # noqa: E731
    return work.strategy.compiled().lower(*arguments(work, describe)).compile()


def measured(work: Work, turns: int) -> float:
    """Seconds of a step, the best of several: others may be using the machine."""
    rng = np.random.default_rng(0)
    put = lambda shape, where: addax.device_put(rng.normal(size=shape).astype(np.float32) * 0.02, where)  # noqa: E731
    params, velocity, batch = arguments(work, put)
    step, times = work.strategy.compiled(), []
    for _ in range(turns + 1):
        start = time.perf_counter()
        params, velocity, loss = step(params, velocity, batch)
        addax.block_until_ready((params, velocity, loss))
        times.append(time.perf_counter() - start)
    return min(times[1:])


def traffic(c: Collective) -> float:
    """Bytes that each device sends, each time."""
    if c.kind == "collective-permute":
        return c.bytes
    return c.bytes * (c.members - 1) / c.members * (2 if c.kind == "all-reduce" else 1)


def seconds(c: Collective, bandwidth: float, latency: float) -> float:
    return 0.0 if c.members == 1 else c.times * (latency * math.ceil(math.log2(c.members)) + traffic(c) / bandwidth)


def summary(found: list[Collective]) -> str:
    """``8 all-gather, 1 all-reduce``: how often each kind runs in a step."""
    counts: dict[str, int] = {}
    for c in found:
        if c.members > 1:
            counts[c.kind] = counts.get(c.kind, 0) + c.times
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())) or "none"


def one_device(devices_of, options) -> dict[str, float]:
    """Seconds of each strategy's step on one device. Without a pipeline they are the same program."""
    took = {name: measured(work(devices_of(1)), options.turns) for name, work in STRATEGIES.items()}
    same = min(t for name, t in took.items() if name != "pipeline")
    return {name: t if name == "pipeline" else same for name, t in took.items()}


def rows(name: str, one: float, sizes: list[int], devices_of, options) -> list[str]:
    lines = []
    for n in sizes:
        work = STRATEGIES[name](devices_of(n))
        found = collectives(compiled(work).as_text("hlo"))
        took = one if n == 1 else measured(work, options.turns) if n <= MOST_MEASURED else None
        communicating = sum(seconds(c, options.bandwidth, options.latency) for c in found)
        predicted = one * work.compute + communicating
        moved = sum(traffic(c) * c.times for c in found if c.members > 1) / 1e6
        here = "" if took is None else f"{took * 1e3:.1f} | {took / (one * work.compute * n):.2f}"
        lines.append(
            f"| {n} | {summary(found)} | {moved:.2f} | {communicating * 1e3:.2f} | {predicted * 1e3:.1f} | "
            f"{one / predicted:.0%} | {here or ' | '} |"
        )
        print(name, lines[-1], flush=True)
    return lines


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bandwidth", type=float, default=1.25e9, help="bytes per second of a device's link")
    parser.add_argument("--latency", type=float, default=20e-6, help="seconds per hop")
    parser.add_argument("--most", type=int, default=512, help="devices")
    parser.add_argument("--turns", type=int, default=5, help="steps per measurement")
    parser.add_argument("--out", default="", help="write the tables here")
    options = parser.parse_args()
    devices_of = functools.cache(lambda n: list(cpu_client(n).devices()))
    ones = one_device(devices_of, options)
    sizes = [2**k for k in range(options.most.bit_length())]
    command = " ".join(["python", "benchmarks/scaling.py", *sys.argv[1:]])
    text = [
        "# Weak scaling, predicted and measured",
        "",
        f"Written by `{command}` ({platform.machine()}, {cores()} cores, jaxlib {jaxlib_version}); how it is computed is told",
        "at the head of that file. The model is the one of `examples/parallel.py` with "
        f"{LAYERS} layers, {WIDTH} units, {HIDDEN} hidden",
        f"units and {ROWS} rows per device, in float32. Links carry {options.bandwidth / 1e9:g} GB/s per device, with "
        f"{options.latency * 1e6:g} us per hop; communication is not",
        "hidden behind compute. *Measured* are virtual devices on one machine, all of whose cores the step of one device uses",
        "already: ideal is that step times the number of devices, and *to ideal* how many times as long it took. What XLA",
        "makes of a program depends on the platform: the CPU's makes no reduce-scatter of an all-reduce whose result is cut",
        "(FSDP's gradients), which would halve what these send. With FSDP a device also does only its share of the optimizer's",
        "update, which makes *to ideal* less than 1.",
    ]
    for name in STRATEGIES:
        text += [
            "",
            f"## {name}",
            "",
            f"With the devices grow: {GROWS[name]}.",
            "",
            "| devices | collectives per step | MB sent per device | ms communicating | ms per step | efficiency | measured ms | to ideal |",
            "|---|---|---|---|---|---|---|---|",
            *rows(name, ones[name], sizes, devices_of, options),
        ]
    if options.out:
        pathlib.Path(options.out).write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
