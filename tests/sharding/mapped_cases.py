"""Cases of `shard_map`, each run three ways: on 8 devices, by JAX, and by the definition (the body mapped, in NumPy).

A case is a function of a `Library` and of arrays. All cases of a table are one program per library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import addax
from addax.core.sharding import PartitionSpec
from addax.engines.reference.interpret import evaluate

Case = Callable[..., Any]


class Library:
    """The names that cases use, of addax or of JAX."""

    def __init__(self, lib: Any, mesh: Any):
        self.lib, self.mesh = lib, mesh
        self.lax, self.jnp, self.random = lib.lax, lib.numpy, lib.random
        self.P = PartitionSpec if lib is addax else jax.sharding.PartitionSpec
        self.grad, self.jvp, self.vjp, self.vmap, self.jit = lib.grad, lib.jvp, lib.vjp, lib.vmap, lib.jit

    def map(self, f, ins, outs, **options):
        """``f`` over the mesh; specs are written as tuples of entries, lists are several specs."""
        mesh = options.pop("mesh", self.mesh)
        return self.lib.shard_map(f, mesh=mesh, in_specs=self.spec(ins), out_specs=self.spec(outs), **options)

    def spec(self, entries):
        if isinstance(entries, list):
            return tuple(map(self.spec, entries))
        return self.P(*entries)


def results(table: dict[str, Case], mesh, jax_mesh, args, definition: bool = True) -> dict[str, dict[str, Any]]:
    """For each case what addax, JAX and the definition give."""

    def program(library):
        return lambda *xs: {name: case(library, *xs) for name, case in table.items()}

    ours = addax.jit(program(Library(addax, mesh)))
    found = {"addax": ours(*args), "jax": jax.jit(program(Library(jax, jax_mesh)))(*args)}
    if definition:
        traced = ours.trace(*args)
        found["definition"] = traced.out_tree.unflatten(evaluate(traced.jaxpr, [np.asarray(x) for x in args]))
    return found


def close(a, b, tol: float = 2e-5) -> None:
    """Equal structure, shapes and dtypes, and numbers up to rounding."""
    left, right = addax.tree.leaves(a), jax.tree.leaves(b)
    assert len(left) == len(right)
    for x, y in zip(left, right, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x, y, rtol=tol, atol=tol)
