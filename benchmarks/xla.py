"""The XLA engine beside JAX on the same jaxlib: ``python benchmarks/xla.py --out benchmarks/XLA.md``.

Three things on one device and on eight virtual ones: the cost of a call that does next to nothing, tracing plus lowering
to StableHLO, and the time of compiled programs (which XLA makes of what either library sends it). The libraries take
turns, each in a process of its own: in one process the threads of two clients get into each other's way.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

import numpy as np
from harness import SCALE
from run import train_data, train_step

DEVICES = 8
KINDS = ("calls", "trace and lower", "compiled programs")


class Setting:
    """A library and its devices: one, or eight in a row."""

    def __init__(self, lib, devices):
        self.lib, self.devices = lib, list(devices)
        self.mesh = lib.sharding.Mesh(np.array(self.devices), ("i",))

    def put(self, x, *spec):
        """An array cut over the devices as ``spec`` says."""
        if len(self.devices) == 1:
            return self.lib.device_put(x, self.devices[0])
        return self.lib.device_put(x, self.at(*spec))

    def at(self, *spec):
        return self.lib.sharding.NamedSharding(self.mesh, self.lib.sharding.PartitionSpec(*spec))


def programs(s: Setting):
    """name -> (function, arguments, calls per measurement, unit)"""
    lib, jnp = s.lib, s.lib.numpy
    x = s.put(np.arange(64, dtype=np.float32), "i")
    yield "x + 1", lambda x: x + 1, (x,), 50, "us"
    yield "x + a number of the host", lambda x, n: x + n, (x, 0.5), 50, "us"
    yield "x + an array of the host", lambda x, y: x + y, (x, np.ones(64, np.float32)), 20, "us"
    yield "20 arrays in and out", lambda xs: [v + 1 for v in xs], ([s.put(np.float32(i)) for i in range(20)],), 20, "us"
    if len(s.devices) > 1:
        P = lib.sharding.PartitionSpec
        yield "x.sum() (all-reduce)", lambda x: x.sum(), (x,), 20, "us"
        mapped = lib.shard_map(lambda v: lib.lax.psum(v, "i"), mesh=s.mesh, in_specs=P("i"), out_specs=P())
        yield "shard_map, psum", mapped, (x,), 20, "us"
    init, step = train_step(lib, jnp, lib.random)
    params = lib.tree.map(lambda p: s.put(np.asarray(p)), init(lib.random.key(0)))
    data = [s.put(v, "i") for v in train_data()]
    yield "train step 784-256-10, batch 128", step, (params, *data, 0.01), 5, "ms"
    weights = [s.put(np.random.default_rng(i).normal(size=(512, 512)).astype(np.float32) / 23) for i in range(12)]
    rows = s.put(np.random.default_rng(0).normal(size=(256, 512)).astype(np.float32), "i")

    def deep(x, ws):
        def loss(ws):
            y = x
            for w in ws:
                y = jnp.tanh(y @ w) + y
            return (y * y).mean()

        return lib.value_and_grad(loss)(ws)

    yield "gradient of 12 residual layers of 512, batch 256", deep, (rows, weights), 1, "ms"


def called(lib, fun, args, inner):
    f = lib.jit(fun)

    def run():
        for _ in range(inner):
            out = f(*args)
        lib.block_until_ready(out)

    run()
    return run


def traced(s: Setting, fun, args):
    if s.lib.__name__ == "jax":
        return lambda: (s.lib.jit(lambda *xs: fun(*xs)).lower(*args), None)[1]
    from addax.engines.xla.layouts import ShardedTarget
    from addax.engines.xla.lower import lower

    def run():
        closed = s.lib.jit(lambda *xs: fun(*xs)).trace(*args).jaxpr
        leaves = [x for x in s.lib.tree.leaves(args) if hasattr(x, "sharding")]
        where = [(x.sharding, x.ndim) for x in leaves]
        where += [(None, a.ndim) for a in closed.in_avals[len(where) :]]
        lower(closed, ShardedTarget("cpu", s.devices, [s.mesh] if len(s.devices) > 1 else [], where, [(None, 0)] * 64))

    return run


def child(library: str, count: int) -> None:
    """Serves one library on this many devices: prints the rows that it has, and then, for each number of a row that it reads,
    the times of a run of it: as it is, on all cores, of this thread."""
    lib = importlib.import_module(library)
    if library == "jax":
        lib.config.update("jax_platforms", "cpu")
        lib.config.update("jax_num_cpu_devices", count)
        devices = lib.devices()
    else:
        from addax.engines.xla.client import cpu_client

        devices = cpu_client(count).devices()
    s, rows, runs = Setting(lib, devices), [], []
    for name, f, args, inner, unit in programs(s):
        total = sum(float(np.sum(np.asarray(x, np.float64))) for x in lib.tree.leaves(lib.jit(f)(*args)))
        both = (("calls" if unit == "us" else "compiled programs", called(lib, f, args, inner), inner, unit),
                ("trace and lower", traced(s, f, args), 1, "ms"))  # fmt: skip
        for kind, run, times, scale in both:
            rows.append((kind, name, scale, total))
            runs.append((run, SCALE[scale] / times))
    print(json.dumps(rows), flush=True)
    for line in sys.stdin:
        run, scale = runs[int(line)]
        run()
        before = time.perf_counter(), time.process_time(), time.thread_time()
        run()
        after = time.perf_counter(), time.process_time(), time.thread_time()
        print(json.dumps([(b - a) * scale for a, b in zip(before, after, strict=True)]), flush=True)


class Library:
    """A process that runs one library's rows when it is told to, and waits for the next number meanwhile."""

    def __init__(self, name: str, count: int):
        command = [sys.executable, __file__, "--child", name, str(count)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.rows = json.loads(self.process.stdout.readline())

    def run(self, row: int) -> list[float]:
        self.process.stdin.write(f"{row}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def results(count: int, seconds: float, rounds: int) -> dict[str, list[tuple]]:
    """kind -> rows of (name, unit, addax's times, JAX's), each the median over pairs of processes.

    Raises:
      AssertionError: if the libraries' results differ.
    """
    found: dict[tuple, dict[str, list]] = {}
    for _ in range(rounds):
        libraries = {name: Library(name, count) for name in ("addax", "jax")}
        for i, (ours, theirs) in enumerate(zip(*(x.rows for x in libraries.values()), strict=True)):
            np.testing.assert_allclose(ours[-1], theirs[-1], rtol=1e-3, err_msg=ours[1])
            times: dict[str, list[list[float]]] = {name: [] for name in libraries}
            turn, end = 0, time.perf_counter() + seconds
            while turn < 7 or time.perf_counter() < end:
                for name in sorted(libraries, reverse=turn % 2 == 1):
                    times[name].append(libraries[name].run(i))
                turn += 1
            for name, values in times.items():
                columns = list(zip(*values, strict=True))
                figures = [statistics.quantiles(columns[0], n=10)[0], *map(statistics.median, columns)]
                found.setdefault(tuple(ours[:3]), {}).setdefault(name, []).append(figures)
        for library in libraries.values():
            library.process.communicate()
    rows: dict[str, list[tuple]] = {kind: [] for kind in KINDS}
    for (kind, name, unit), by in found.items():
        middle = {k: [statistics.median(column) for column in zip(*v, strict=True)] for k, v in by.items()}
        rows[kind].append((name, unit, middle["addax"], middle["jax"]))
    return rows


def table(rows: list[tuple]) -> list[str]:
    """Both libraries by the tenth that was disturbed least, the median, and processor time of all threads and of the one that
    calls; how many times as long JAX takes."""
    lines = ["| work | | calm: addax, JAX | | median | | processor | | caller | |", f"|{'---|' * 10}"]
    for name, unit, ours, theirs in rows:
        cells = [name, unit]
        for a, b in zip(ours, theirs, strict=True):
            cells += [f"{a:.3g}, {b:.3g}", f"{b / a:.2f}x"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="per row and pair of processes, at least 7 turns")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of processes")
    parser.add_argument("--out", default="", help="write the tables here")
    parser.add_argument("--child", nargs=2, metavar=("LIBRARY", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child[0], int(options.child[1]))
    text = [
        "# The XLA engine beside JAX",
        "",
        f"Written by `{' '.join(['python', 'benchmarks/xla.py', *sys.argv[1:]])}` ({platform.machine()}, {os.cpu_count()} cores,",
        f"load {os.getloadavg()[0]:.0f}; jaxlib {version('jaxlib')} for both, JAX {version('jax')}). The libraries take turns, each in a process",
        f"of its own; medians over {options.rounds} pairs of processes. 2x: JAX takes twice as long. *Calm* is the time that a tenth of the",
        "runs stayed below, which others on the machine lengthen least; *processor* the median of the time that all threads",
        "together were on a core, *caller* that of the thread that calls. XLA makes the same instructions of what either library",
        "sends it.",
        "",
        "Two calls do more than JAX's. Of those on virtual CPU devices some leave a token behind, by which addax keeps fewer than",
        "32 programs unfinished: without it a loop of steps that reads none of their results, or eight threads that call, hang and",
        "are ended by XLA after 40 s, as in JAX. And arrays of the host are copied: JAX lets XLA read them after the call has",
        "returned, and what is written to them then shows in the result (aligned arrays of any size, others if large).",
    ]
    for count in (1, DEVICES):
        for kind, rows in results(count, options.seconds, options.rounds).items():
            text += ["", f"## {count} device{'s'[: count > 1]}: {kind}", "", *table(rows)]
            print("\n".join(text[-len(rows) - 5 :]), flush=True)
    if options.out:
        pathlib.Path(options.out).write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
