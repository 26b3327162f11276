"""The cost of transforming: an unrolled transformer's training step, traced by addax and traced and lowered by JAX.

``python benchmarks/transforms.py [--turns N]`` prints a table. Times are of the process (CPU time), the least of N turns, taken turn
and turn about; caches of both libraries are cleared before each.
"""

from __future__ import annotations

import argparse
import gc
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
    for layers in args.layers:
        ours, our_args = step_of(addax, layers)
        theirs, their_args = step_of(jax, layers)
        for name in ours:
            runs = {"addax": prepare(addax, ours[name], our_args), "jax": prepare(jax, theirs[name], their_args)}
            best = dict.fromkeys(runs, float("inf"))
            gc.collect()
            for _ in range(args.turns):
                for lib, run in runs.items():
                    best[lib] = min(best[lib], run())
            n = equations(addax.make_jaxpr(ours[name])(*our_args).jaxpr)
            print(
                f"| {name}, {layers} layers | {n} | {best['addax'] * 1e3:.0f} ms | {best['jax'] * 1e3:.0f} ms | "
                f"{best['jax'] / best['addax']:.1f}x |", flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
