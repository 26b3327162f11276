"""The cost of transforming: an unrolled transformer's training step, traced by addax and traced and lowered by JAX.

``python benchmarks/transforms.py [--turns N]`` prints a table. Times are of the process (CPU time), the least of N turns, taken turn
and turn about; caches of both libraries are cleared before each. How much more the larger size takes is the median over turns.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time

import jax
from models import transformer

import addax


def step_of(lib, layers: int):
    loss, params, batch = transformer(lib, layers, width=32, length=16, examples=2)
    params, batch = lib.tree.map(lib.numpy.asarray, (params, batch))

    def step(params, batch):
        value, slopes = lib.value_and_grad(loss)(params, batch)
        return lib.tree.map(lambda p, g: p - 0.1 * g, params, slopes), value

    per_example = lib.vmap(lib.grad(lambda p, b: loss(p, b[None])), in_axes=(None, 0))
    return {"jit": loss, "jit(grad step)": step, "jit(vmap(grad))": per_example}, (params, batch)


def prepare(lib, fun, args):
    """A function that traces (for JAX also lowers) ``fun`` anew."""

    def run():
        lib.clear_caches()
        f = lib.jit(lambda *a: fun(*a))
        t0 = time.process_time()
        traced = f.trace(*args)
        if lib is jax:
            traced.lower()
        return time.process_time() - t0

    return run


def equations(jaxpr) -> int:
    return sum(1 + sum(equations(j) for j in addax.core.jaxpr.subjaxprs(e.params)) for e in jaxpr.eqns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--layers", type=int, nargs="*", default=[12, 48])
    args = parser.parse_args()
    print("| program | equations | addax traces | JAX traces and lowers | times |\n|---|---|---|---|---|")
    for name in ("jit", "jit(grad step)", "jit(vmap(grad))"):
        counts, runs = {}, {}
        for lib in (addax, jax):
            for layers in args.layers:
                programs, values = step_of(lib, layers)
                runs[layers, lib.__name__] = prepare(lib, programs[name], values)
                if lib is addax:
                    counts[layers] = equations(addax.make_jaxpr(programs[name])(*values).jaxpr)
        turns: dict[tuple, list[float]] = {key: [] for key in runs}
        for _ in range(args.turns):
            gc.collect()
            for key, run in runs.items():
                turns[key].append(run())
        for layers in args.layers:
            ours, theirs = min(turns[layers, "addax"]), min(turns[layers, "jax"])
            print(
                f"| {name}, {layers} layers | {counts[layers]} | {ours * 1e3:.0f} ms | {theirs * 1e3:.0f} ms | "
                f"{theirs / ours:.1f}x |", flush=True,
            )  # fmt: skip
        # Runs of one turn follow each other: their ratio is sounder than that of the least times.
        small, *larger = args.layers
        for layers in larger:
            ratios = [u / t for u, t in zip(turns[layers, "addax"], turns[small, "addax"], strict=True)]
            print(f"<!-- {name}: {layers} layers take {statistics.median(ratios):.2f} times {small} -->", flush=True)


if __name__ == "__main__":
    main()
