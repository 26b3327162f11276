"""Cheap gradients: how many forward passes a gradient costs, in addax and in JAX.

``python benchmarks/gradients.py [--turns N] [--only WORD]`` prints a table. Forward and gradient of both libraries run turn
and turn about, on one thread. Times are CPU times, because the machine may be shared: that which a tenth of the turns stay
below. (The least of them is sometimes less than the work can take: the system books time late.)
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("ADDAX_NUM_THREADS", "1")

import jax
from harness import Case, check
from models import MODELS

import addax


def case(name: str) -> Case:
    runs = {}
    for lib in (addax, jax):
        loss, params, batch = MODELS[name](lib)
        params, batch = lib.tree.map(lib.numpy.asarray, (params, batch))
        forward, both = lib.jit(loss), lib.jit(lib.value_and_grad(loss))
        runs[lib.__name__] = lambda f=forward, p=params, b=batch: f(p, b).block_until_ready()
        runs[f"{lib.__name__} grad"] = lambda f=both, p=params, b=batch, lib=lib: lib.block_until_ready(f(p, b))[0]
    return Case(name, runs, unit="ms", rtol=2e-3)


def low_times(case: Case, turns: int) -> dict[str, float]:
    """Milliseconds of CPU time of one run of each kind."""
    check(case)
    times: dict[str, list[float]] = {name: [] for name in case.run}
    for _ in range(turns):
        for name, run in case.run.items():
            t0 = time.process_time()
            run()
            times[name].append((time.process_time() - t0) * 1e3)
    return {name: sorted(t)[len(t) // 10] for name, t in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    print(
        "| model | addax forward | gradient | times | JAX forward | gradient | times |\n|---|---|---|---|---|---|---|"
    )
    for name in MODELS:
        if args.only not in name:
            continue
        m = low_times(case(name), args.turns)
        cells = []
        for lib in ("addax", "jax"):
            forward, both = m[lib], m[f"{lib} grad"]
            cells += [f"{forward:.3g} ms", f"{both:.3g} ms", f"{both / forward:.2f}x"]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
