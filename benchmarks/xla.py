"""The XLA engine beside JAX on the same jaxlib: ``python benchmarks/xla.py --out benchmarks/XLA.md``.

Three things on one device and on eight virtual ones: the cost of a call that does next to nothing, tracing plus lowering
to StableHLO, and the time of compiled programs (which XLA makes of what either library sends it).
"""

from __future__ import annotations

import argparse
import os
import pathlib
import platform
import sys

import jax
import numpy as np
from harness import Case, Result, measure
from run import train_data, train_step

import addax
from addax.engines.xla.client import cpu_client
from addax.engines.xla.compat import jaxlib_version
from addax.engines.xla.layouts import ShardedTarget
from addax.engines.xla.lower import lower

DEVICES = 8


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


def traced(lib, s: Setting, fun, args):
    if lib is jax:
        return lambda: (jax.jit(lambda *xs: fun(*xs)).lower(*args), None)[1]

    def run():
        closed = addax.jit(lambda *xs: fun(*xs)).trace(*args).jaxpr
        leaves = [x for x in addax.tree.leaves(args) if hasattr(x, "sharding")]
        where = [(x.sharding, x.ndim) for x in leaves]
        where += [(None, a.ndim) for a in closed.in_avals[len(where) :]]
        lower(closed, ShardedTarget("cpu", s.devices, [s.mesh] if len(s.devices) > 1 else [], where, [(None, 0)] * 64))

    return run


def results(settings: dict[str, Setting], seconds: float):
    """``(calls, traces, runs)``"""
    calls, traces, runs = [], [], []
    both = {name: list(programs(s)) for name, s in settings.items()}
    for (name, f, a, inner, unit), (_, g, b, _, _) in zip(both["addax"], both["jax"], strict=True):
        ours, theirs = settings["addax"], settings["jax"]
        run = {"addax": called(addax, f, a, inner), "jax": called(jax, g, b, inner)}
        (calls if unit == "us" else runs).append(show(measure(Case(name, run, inner, unit), seconds, settle=True)))
        run = {"addax": traced(addax, ours, f, a), "jax": traced(jax, theirs, g, b)}
        traces.append(show(measure(Case(name, run, unit="ms"), seconds)))
    return calls, traces, runs


def show(result: Result) -> Result:
    print(table([result])[-1], flush=True)
    return result


def table(results: list[Result]) -> list[str]:
    """Both libraries by the tenth that was disturbed least, the median, and processor time; how many times as long JAX takes."""
    lines = ["| work | | calm: addax, JAX | | median | | processor | |", "|---|---|---|---|---|---|---|---|"]
    for r in results:
        cells = [r.name, r.unit]
        for of in (r.tenth, r.median, r.processor):
            cells += [f"{of['addax']:.3g}, {of['jax']:.3g}", f"{of['jax'] / of['addax']:.2f}x"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement, at least 7 turns")
    parser.add_argument("--out", default="", help="write the tables here")
    options = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", DEVICES)
    own = {count: cpu_client(count).devices() for count in (1, DEVICES)}
    text = [
        "# The XLA engine beside JAX",
        "",
        f"Written by `{' '.join(['python', 'benchmarks/xla.py', *sys.argv[1:]])}` ({platform.machine()}, {os.cpu_count()} cores,",
        f"load {os.getloadavg()[0]:.0f}; jaxlib {jaxlib_version} for both, JAX {jax.__version__}). Runs alternate; 2x: JAX takes twice",
        "as long. *Calm* is the time that a tenth of the runs stayed below, which others on the machine lengthen least;",
        "*processor* the median of the time that all threads together were on a core. XLA makes the same instructions of what",
        "either library sends it. A call on virtual CPU devices leaves a token behind, by which addax keeps fewer than 32",
        "programs unfinished: JAX does not, and a loop of steps that reads none of their results hangs there, and is ended by",
        "XLA after 40 s (seen here each time, on 2, 4 and 8 devices). One device is the only one of its client, for addax.",
    ]
    for count in (1, DEVICES):
        found = results(
            {"addax": Setting(addax, own[count]), "jax": Setting(jax, jax.devices()[:count])}, options.seconds
        )
        for what, rows in zip(("calls", "trace and lower", "compiled programs"), found, strict=True):
            text += ["", f"## {count} device{'s'[: count > 1]}: {what}", "", *table(rows)]
    if options.out:
        pathlib.Path(options.out).write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
