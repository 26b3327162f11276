"""Random nests of transformations over random programs (random_base.py), the same for addax and for JAX."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import random_functions
import random_inner
import random_steps
from random_base import (
    Body,
    Draw,
    Lib,
    Rules,
    is_float,
    jacobian,
    pull_back,
    push_forward,
    scalarise,
    tree_leaves,
    value_and_grad,
)

__all__ = ["Lib", "Nest", "random_functions", "random_inner", "random_steps"]


LAYERS = "jit jit vmap vmap scan checkpoint grad jvp vjp linearize jacfwd jacrev".split()
REVERSE = {"grad", "vjp", "linearize", "jacrev"}
DERIVATIVES = REVERSE | {"jvp", "jacfwd"}


class Nest:
    """Transformations around a body, the innermost first, and the arguments of the whole.

    Attributes:
      names: what is applied, for messages.
      args: NumPy arrays and Python numbers.
    """

    def __init__(self, seed: int, depth: int = 4, dropped: frozenset = frozenset(), length: int | None = None):
        d = Draw(seed, zlib.crc32(b"nest"))
        self.names = [d.of(LAYERS) for _ in range(d.below(depth + 1))]
        drawn = 3 + d.below(5)
        if sum(name in DERIVATIVES for name in self.names) > 1:  # each multiplies the program
            drawn = min(drawn, 4)
        rules = Rules(bool(REVERSE & set(self.names)), 2, length or drawn, dropped)
        self.body = Body(d.seed(), rules)
        self.args: list = [self.argument(d) for _ in range(1 + d.below(3))]
        if not any(type(x) is not int and is_float(np.asarray(x)) for x in self.args):
            self.args.append(d.constant((3,)))
        self.layers = []
        for k, name in enumerate(self.names):
            self.layers.append((name, d.seed()))
            if name in ("vmap", "scan"):
                self.batch_arguments(Draw(self.layers[-1][1]), k)

    @staticmethod
    def argument(d):
        kind = d.below(12)
        if kind == 0:
            return np.asarray(d.rng.integers(-3, 4, d.of([(3,), ()])), "int32")
        if kind == 1:
            return float(np.round(d.rng.uniform(-1.5, 1.5), 2))
        if kind == 2:
            return d.constant((2,)).astype("float16")
        if kind == 3:
            return (d.constant((2,)) + 1j * d.constant((2,))).astype("complex64")
        if kind == 4:
            return d.below(5) - 2
        return d.constant(
            d.of([(), (3,), (2, 3), (4,), (2, 2), (1, 3), (3, 2), (0,)] if d.chance(0.3) else [(3,), (2, 3)])
        )

    def batch_arguments(self, d, k):
        """More examples of some arguments; the layer draws the same axes again."""
        for i, axis in enumerate(self.axes(d)):
            if axis is not None:
                axis = 0 if self.names[k] == "scan" else axis
                x = np.asarray(self.args[i])
                if type(self.args[i]) in (int, float):
                    x = x.astype({int: "int32", float: "float32"}[type(self.args[i])])
                rows = [
                    x + (np.asarray(0.3 * j).astype(x.dtype) if x.dtype.kind in "fc" else x.dtype.type(j))
                    for j in range(2)
                ]
                self.args[i] = np.stack(rows, axis if axis >= 0 else x.ndim + 1 + axis)

    def axes(self, d):
        axes = [d.of([0, 0, None, -1]) for _ in self.args]
        if all(a is None for a in axes):
            axes[d.below(len(axes))] = 0
        return axes

    def function(self, L: Lib) -> Callable:
        def base(*args):
            return self.body(L, *args)

        f = base
        for name, seed in self.layers:
            f = self.layer(L, name, Draw(seed), f)
        return f

    def layer(self, L, name, d, f):
        m = L.m
        if name == "jit":
            return m.jit(f)
        if name == "checkpoint":
            return m.checkpoint(f, prevent_cse=d.chance(0.7))
        if name == "vmap":
            return m.vmap(f, in_axes=tuple(self.axes(d)), out_axes=d.of([0, 0, -1]))
        if name == "scan":
            stacked = [a is not None for a in self.axes(d)]
            backwards = d.chance(0.3)

            def scanned(*args):
                def turn(c, xs):
                    rows = iter(xs)
                    out = f(*(next(rows) if s else x for s, x in zip(stacked, args)))
                    return c * 0.5 + scalarise(L, tree_leaves(L, out)), out

                xs = [L.np.asarray(x) for s, x in zip(stacked, args) if s]
                return L.lax.scan(turn, np.float32(0.1), xs, reverse=backwards)

            return scanned

        def inexact(args):
            return [i for i, x in enumerate(args) if type(x) is float or (hasattr(x, "dtype") and is_float(x))]

        pick = d.below(8)

        def with_respect_to(args):
            fit = inexact(args)
            return fit[pick % len(fit)]

        if name == "grad":
            both = d.chance(0.3)

            def grad(*args):
                nums = tuple(inexact(args)) if both else with_respect_to(args)
                return value_and_grad(L, lambda *a: scalarise(L, tree_leaves(L, f(*a))), nums, args)

            return grad

        def derivative(*args):
            i = with_respect_to(args)

            def only(x):
                out = f(*args[:i], x, *args[i + 1 :])
                return [y for y in tree_leaves(L, out) if is_float(y)] or [x]

            if name in ("jvp", "linearize"):
                return push_forward(L, name, only, args[i])
            if name == "vjp":
                return pull_back(L, only, args[i])
            return jacobian(L, name, only, args[i])

        return derivative
