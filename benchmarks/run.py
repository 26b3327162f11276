"""Compare addax with JAX, NumPy and torch on one CPU: ``python benchmarks/run.py [--only WORD] [--json FILE]``.

Start-up and first-call times need fresh processes; they run in children with their own cache directories.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np
from harness import Case, Result, dump, measure, table

INNER = 200


def _loop(f, *args):
    def run():
        for _ in range(INNER):
            out = f(*args)
        return out

    return run


def dispatch_cases():
    """The cost of a call whose work is next to nothing."""
    import jax
    import jax.numpy as jjnp

    import addax
    import addax.numpy as jnp

    def case(name, f, make, **kw):
        a, b = addax.jit(f), jax.jit(f)
        ours, theirs = make(jnp), make(jjnp)
        return Case(name, {"addax": _loop(a, *ours), "jax": _loop(b, *theirs)}, inner=INNER, **kw)

    yield case("jit, one scalar", lambda x: x + 1, lambda m: (m.float32(1.0),))

    def twenty(m):
        return ([m.float32(i) for i in range(20)],)

    a = addax.jit(lambda xs: [x + 1 for x in xs])
    b = jax.jit(lambda xs: [x + 1 for x in xs])
    ours, theirs = twenty(jnp), twenty(jjnp)
    yield Case("jit, 20 scalars in and out", {"addax": _loop(a, *ours), "jax": _loop(b, *theirs)}, inner=INNER)

    x, jx, nx = jnp.arange(3.0), jjnp.arange(3.0), np.arange(3, dtype=np.float32)
    yield Case(
        "eager x + y, 3 elements",
        {"addax": _loop(lambda: x + x), "jax": _loop(lambda: jx + jx), "numpy": _loop(lambda: nx + nx)}, inner=INNER,
    )  # fmt: skip
    yield Case(
        "eager jnp.sin(x), 3 elements",
        {"addax": _loop(jnp.sin, x), "jax": _loop(jjnp.sin, jx), "numpy": _loop(np.sin, nx)}, inner=INNER,
    )  # fmt: skip


def _optional(name: str):
    """A library to compare with, or None if it is not installed."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def kernel_cases():
    """Compiled programs where the work counts. torch runs under torch.compile, Numba with parallel loops."""
    import jax
    import jax.numpy as jjnp

    import addax
    import addax.numpy as jnp

    rng = np.random.default_rng(0)
    torch, numba = _optional("torch"), _optional("numba")
    if torch is not None:
        torch.set_num_threads(os.cpu_count() or 1)

    def case(name, f, *arrays, numpy=None, torch_f=None, numba_f=None, **kw):
        a, b = addax.jit(lambda *xs: f(jnp, *xs)), jax.jit(lambda *xs: f(jjnp, *xs))
        ours, theirs = [jnp.array(x) for x in arrays], [jjnp.array(x) for x in arrays]
        run = {"addax": lambda: a(*ours), "jax": lambda: b(*theirs).block_until_ready()}
        if numpy is not None:
            run["numpy"] = lambda: numpy(*arrays)
        if torch is not None and torch_f is not None:
            compiled, tensors = torch.compile(torch_f), [torch.from_numpy(x) for x in arrays]
            run["torch"] = lambda: compiled(*tensors)
        if numba is not None and numba_f is not None:
            loop = numba.njit(parallel=True)(numba_f)
            run["numba"] = lambda: loop(*arrays)
        return Case(name, run, **kw)

    big = rng.normal(size=4_000_000).astype(np.float32)
    rows = rng.normal(size=(4096, 1024)).astype(np.float32)
    yield case("sin(x)**2 + cos(x)**2, 4M", lambda m, x: m.sin(x) ** 2 + m.cos(x) ** 2, big, unit="ms",
               numpy=lambda x: np.sin(x) ** 2 + np.cos(x) ** 2, torch_f=lambda x: x.sin() ** 2 + x.cos() ** 2,
               numba_f=lambda x: np.sin(x) ** 2 + np.cos(x) ** 2)  # fmt: skip

    def gelu(m):
        return lambda x: 0.5 * x * (1 + m.tanh(0.79788456 * (x + 0.044715 * x**3)))

    yield case("tanh gelu, 4M", lambda m, x: gelu(m)(x), big, unit="ms", numpy=gelu(np), torch_f=torch and gelu(torch),
               numba_f=lambda x: 0.5 * x * (1 + np.tanh(0.79788456 * (x + 0.044715 * x**3))))  # fmt: skip
    yield case("sum(exp(x)), 4M", lambda m, x: m.sum(m.exp(x)), big, unit="ms", numpy=lambda x: np.exp(x).sum(),
               torch_f=lambda x: x.exp().sum(), numba_f=lambda x: np.exp(x).sum())  # fmt: skip
    yield case("softmax rows, 4096x1024",
               lambda m, x: (e := m.exp(x - m.max(x, 1, keepdims=True))) / m.sum(e, 1, keepdims=True), rows, unit="ms",
               torch_f=lambda x: torch.softmax(x, 1))  # fmt: skip
    yield case("layernorm rows, 4096x1024",
               lambda m, x: (x - m.mean(x, 1, keepdims=True)) / m.sqrt(m.var(x, 1, keepdims=True) + 1e-5), rows,
               unit="ms", rtol=1e-3, torch_f=lambda x: torch.nn.functional.layer_norm(x, (1024,)))  # fmt: skip
    yield case("sum over axis 0, 4096x1024", lambda m, x: m.sum(x, 0), rows, unit="ms", rtol=1e-3,
               numpy=lambda x: x.sum(0), torch_f=lambda x: x.sum(0))  # fmt: skip
    square = rng.normal(size=(2048, 2048)).astype(np.float32)
    yield case("transpose + 1, 2048^2", lambda m, x: x.T + 1, square, unit="ms", numpy=lambda x: x.T + 1,
               torch_f=lambda x: x.T.contiguous() + 1)  # fmt: skip
    for n in (256, 1024):
        a = rng.normal(size=(n, n)).astype(np.float32)
        yield case(f"matmul {n}^3 f32", lambda m, x: x @ x, a, unit="ms", rtol=2e-3, numpy=lambda x: x @ x,
                   torch_f=lambda x: x @ x)  # fmt: skip
    million = big[:1_000_000]
    yield case("cumsum, 1M", lambda m, x: m.cumsum(x), million, unit="ms", rtol=5e-2, numpy=np.cumsum,
               torch_f=lambda x: x.cumsum(0))  # fmt: skip
    yield case("sort, 1M", lambda m, x: m.sort(x), million, unit="ms", numpy=np.sort, torch_f=lambda x: x.sort()[0])
    table_, index = rng.normal(size=(1000,)).astype(np.float32), rng.integers(0, 1000, 1_000_000).astype(np.int32)
    yield case("gather, 1M of 1000", lambda m, t, i: t[i], table_, index, unit="ms", numpy=lambda t, i: t[i],
               torch_f=lambda t, i: t[i])  # fmt: skip


def train_step(jax, jnp, jr):
    """The seed's chapter-10 step, 784-256-10, batch 128."""

    def init(key):
        k1, k2 = jr.split(key)
        return {"w1": jr.normal(k1, (784, 256)) * 0.01, "b1": jnp.zeros(256), "w2": jr.normal(k2, (256, 10)) * 0.01,
                "b2": jnp.zeros(10)}  # fmt: skip

    def loss_fn(params, x, y):
        h = jnp.tanh(x @ params["w1"] + params["b1"])
        return jnp.mean((h @ params["w2"] + params["b2"] - y) ** 2)

    def step(params, x, y, lr):
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        return jax.tree.map(lambda p, g: p - lr * g, params, grads), loss

    return init, step


def train_data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(128, 784)).astype(np.float32), rng.normal(size=(128, 10)).astype(np.float32)


def train_cases():
    import jax

    import addax

    runs = {}
    for name, lib in (("addax", addax), ("jax", jax)):
        init, step = train_step(lib, lib.numpy, lib.random)
        params, f = init(lib.random.key(0)), lib.jit(step)
        x, y = (lib.numpy.array(v) for v in train_data())

        def run(f=f, params=params, x=x, y=y):
            _, loss = f(params, x, y, 0.01)
            return loss.block_until_ready()

        runs[name] = run
    yield Case("train step 784-256-10, batch 128", runs, unit="us")


CHILD = """
import time, sys
t0 = time.perf_counter()
import numpy
t1 = time.perf_counter()
import {lib} as lib
import {lib}.numpy, {lib}.random
t2 = time.perf_counter()
sys.path.insert(0, {here!r})
from run import train_step, train_data
init, step = train_step(lib, lib.numpy, lib.random)
params = init(lib.random.key(0))
x, y = (lib.numpy.array(v) for v in train_data())
lib.numpy.zeros(1).block_until_ready()
f = lib.jit(step)
t3 = time.perf_counter()
lib.make_jaxpr(step)(params, x, y, 0.01)
t4 = time.perf_counter()
out, loss = f(params, x, y, 0.01)
loss.block_until_ready()
t5 = time.perf_counter()
print((t2 - t1) * 1e3, (t4 - t3) * 1e3, (t5 - t4) * 1e3)
"""


def fresh_process(lib: str, env: dict[str, str]) -> list[float]:
    code = CHILD.format(lib=lib, here=os.path.dirname(os.path.abspath(__file__)))
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **env}, check=True
    )
    return [float(v) for v in out.stdout.split()]


def startup_results(repeat: int = 5) -> list[Result]:
    """Import, trace and first call of the train step, each in fresh processes, interleaved."""
    rows: dict[str, list[list[float]]] = {"addax": [], "addax warm": [], "jax": []}
    with tempfile.TemporaryDirectory() as warm:
        fresh_process("addax", {"ADDAX_CACHE_DIR": warm})
        for _ in range(repeat):
            with tempfile.TemporaryDirectory() as cold:
                rows["addax"].append(fresh_process("addax", {"ADDAX_CACHE_DIR": cold}))
            rows["addax warm"].append(fresh_process("addax", {"ADDAX_CACHE_DIR": warm}))
            rows["jax"].append(fresh_process("jax", {"JAX_PLATFORMS": "cpu"}))
    median = {k: [statistics.median(col) for col in zip(*v, strict=True)] for k, v in rows.items()}
    names = ["import (after numpy)", "trace train step (make_jaxpr, first)", "first call of the train step, cold cache"]
    results = [Result(n, "ms", {"addax": median["addax"][i], "jax": median["jax"][i]}) for i, n in enumerate(names)]
    results.append(
        Result("first call of the train step, warm disk cache", "ms",
               {"addax": median["addax warm"][2], "jax": median["jax"][2]})
    )  # fmt: skip
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run cases whose name contains this")
    parser.add_argument("--json", default="", help="write the medians here")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--no-startup", action="store_true")
    args = parser.parse_args()
    results = []
    for group in (dispatch_cases, kernel_cases, train_cases):
        for case in group():
            if args.only in case.name:
                results.append(measure(case, args.seconds))
                print(table(results[-1:]).splitlines()[-1], flush=True)
    if not args.no_startup and args.only in "startup first call import trace":
        results += startup_results()
    print(table(results))
    if args.json:
        dump(results, args.json)


if __name__ == "__main__":
    main()
