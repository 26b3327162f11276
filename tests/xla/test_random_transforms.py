"""Random nests of transformations (tests/transforms) over eight devices, their batch or their dimensions cut along a mesh:
equal to the reference engine."""

from __future__ import annotations

import pathlib
import sys
import warnings

import numpy as np
import pytest
from batch import QUICK, random_spec

import addax
from addax.engines.reference import evaluate

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "transforms"))

from comparison import ADDAX, difference
from transform_programs import Nest

from addax.sharding import NamedSharding, PartitionSpec as P

# What JAX too does not define (derivatives of some loops) or what a batch cannot have.
UNDEFINED = (NotImplementedError, TypeError, ValueError, IndexError)


def is_array(x) -> bool:
    return type(x) not in (int, float)


def program(seed: int, mesh):
    """A function, its arguments, and where they are: a batch over all devices, or single examples, cut."""
    nest, rng = Nest(seed, 3), np.random.default_rng(seed)
    fun, args = nest.function(ADDAX), nest.args
    specs = [random_spec(rng, x.shape, mesh.shape) if is_array(x) else P() for x in args]
    if seed % 2 or not any(s.axes() for s in specs):
        fun = addax.vmap(fun, in_axes=tuple(0 if is_array(x) else None for x in args))
        grow = lambda x, k: x * (1 + 0.05 * k) if x.dtype.kind in "fc" else x  # noqa: E731
        args = [np.stack([grow(x, k) for k in range(8)]).astype(x.dtype) if is_array(x) else x for x in args]
        specs = [P(("x", "y")) if is_array(x) else P() for x in args]
    kept = lambda *xs: [y for y in addax.tree.leaves(fun(*xs)) if str(y.dtype) != "float0"]  # noqa: E731
    return kept, args, specs, f"Nest({seed}, 3) {nest.names} {nest.body.trail} {specs}"


def check(seeds, mesh) -> int:
    """Compile the programs that have a result as one; how many these are."""
    found = []
    for seed in seeds:
        try:
            fun, args, specs, about = program(seed, mesh)
            found.append((fun, args, specs, about, addax.jit(fun, keep_unused=True).trace(*args).jaxpr))
        except UNDEFINED:
            continue

    def together(*groups):
        return [fun(*xs) for (fun, *_), xs in zip(found, groups, strict=True)]

    placed = [
        [addax.device_put(x, NamedSharding(mesh, s)) if is_array(x) else x for x, s in zip(args, specs, strict=True)]
        for _, args, specs, *_ in found
    ]
    outs = addax.jit(together, compiler_options=QUICK)(*placed)
    problems = []
    for got, (_, args, _, about, closed) in zip(outs, found, strict=True):
        want = evaluate(closed, [np.asarray(x, a.dtype) for x, a in zip(args, closed.in_avals, strict=True)])
        if message := difference(got, want, 3.0, "ignored"):
            problems.append(f"{about}: {message.replace('JAX', 'reference')}")
    assert not problems, "\n".join(problems)
    return len(found)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_transformed_programs(mesh):
    # 85: a loop of unknown length in reverse mode, under vmap
    assert check([0, 2, 3, 85], mesh) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_transformed_programs(mesh, block):
    check(range(100 + 10 * block, 110 + 10 * block), mesh)
