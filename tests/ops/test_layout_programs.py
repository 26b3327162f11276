"""Random programs of layout, indexing and elementwise primitives: the compiled program, its batch and its derivative
give what the NumPy definitions give one after the other.

A program is drawn as a list of steps ``(primitive, operand numbers or constants, parameters)``, so that the same
program runs on NumPy arrays, on arrays and under every transformation.
"""

import math

import numpy as np
import pytest

import addax
from addax.core.avals import ShapedArray, get_aval
from addax.core.primitive import registry
from addax.ops.indexing import GatherDimensionNumbers, GatherScatterMode, ScatterDimensionNumbers, update_program

CLIP, DROP = GatherScatterMode.CLIP, GatherScatterMode.FILL_OR_DROP
LIMIT = 3000  # elements


def largest(sizes) -> int:
    return sizes.index(max(sizes))


class Program:
    """Random steps over an input ``x`` of shape ``shape`` and an int32 vector of two indices ``i``."""

    def __init__(self, seed: int, length: int, shape):
        self.rng = np.random.default_rng(seed)
        self.steps: list = []
        self.shapes = [shape]
        draws = [self.transpose, self.reshape, self.slice, self.pad, self.rev, self.broadcast, self.concatenate]
        draws += [self.tile, self.dynamic_slice, self.dynamic_update_slice, self.gather, self.scatter, self.squeeze]
        draws += [self.negate, self.product, self.reduce, self.split, self.stack]
        for _ in range(length):
            self.draw(draws[self.rng.integers(len(draws))])

    def draw(self, make):
        last = len(self.shapes) - 1
        at = int(self.rng.integers(max(0, last - 3), last + 1)) if self.rng.random() < 0.3 else last
        step = make(at, self.shapes[at])
        if step is None:
            return
        name, operands, params = step
        try:
            outs = registry[name].infer(tuple(map(self.aval, operands)), params)
        except (TypeError, ValueError):  # what was drawn does not fit: draw again
            return
        shape = (outs[largest(params["sizes"])] if name == "split" else outs[0]).shape
        if math.prod(shape) <= LIMIT:
            self.steps.append(step)
            self.shapes.append(shape)

    def aval(self, operand):
        if isinstance(operand, int):
            return ShapedArray(self.shapes[operand], np.float32)
        return get_aval(operand(np.zeros(2, np.int32)))

    def run_one(self, bind, name, args, params):
        out = bind(registry[name], *args, **params)
        return out[largest(params["sizes"])] if name == "split" else out

    def run(self, bind, x, i):
        values = [x]
        for name, operands, params in self.steps:
            args = [values[o] if isinstance(o, int) else o(i) for o in operands]
            values.append(self.run_one(bind, name, args, params))
        return values[-1]

    # Each draws the parameters of one step on value ``at``, or None if it does not apply. An operand that is a function
    # makes start indices of the vector i.

    def axis(self, shape):
        return int(self.rng.integers(len(shape)))

    def transpose(self, at, shape):
        return "transpose", (at,), {"permutation": tuple(map(int, self.rng.permutation(len(shape))))}

    def reshape(self, at, shape):
        n = int(np.prod(shape))
        parts = []
        while n > 1 and len(parts) < 3:
            divisors = [d for d in range(1, n + 1) if n % d == 0]
            parts.append(int(self.rng.choice(divisors)))
            n //= parts[-1]
        return "reshape", (at,), {"new_sizes": (*parts, n), "dimensions": None, "sharding": None}

    def slice(self, at, shape):
        starts = tuple(int(self.rng.integers(0, n // 3 + 1)) for n in shape)
        ends = [self.rng.integers(a, n + 1) if self.rng.random() < 0.3 else n for a, n in zip(starts, shape)]
        limits = tuple(map(int, ends))
        strides = tuple(int(self.rng.integers(1, 3)) for _ in shape) if self.rng.random() < 0.5 else None
        return "slice", (at,), {"start_indices": starts, "limit_indices": limits, "strides": strides}

    def pad(self, at, shape):
        config = tuple(
            (int(self.rng.integers(-(n // 3), 3)), int(self.rng.integers(-(n // 3), 3)), int(self.rng.integers(0, 2)))
            for n in shape
        )
        return "pad", (at, lambda i: np.float32(0.5)), {"padding_config": config}

    def rev(self, at, shape):
        dims = tuple(d for d in range(len(shape)) if self.rng.random() < 0.5)
        return "rev", (at,), {"dimensions": dims}

    def broadcast(self, at, shape):
        rank = len(shape) + int(self.rng.integers(1, 3))
        if rank > 5:
            return None
        dims = tuple(sorted(map(int, self.rng.choice(rank, len(shape), replace=False))))
        sizes = [int(self.rng.integers(1, 4)) for _ in range(rank)]
        for d, n in zip(dims, shape, strict=True):
            sizes[d] = n if n != 1 else sizes[d]
        return "broadcast_in_dim", (at,), {"shape": tuple(sizes), "broadcast_dimensions": dims, "sharding": None}

    def concatenate(self, at, shape):
        if not shape:
            return None
        d = self.axis(shape)
        fits = [k for k, s in enumerate(self.shapes) if len(s) == len(shape) and s[:d] == shape[:d]]
        return "concatenate", (at, int(self.rng.choice(fits)), at), {"dimension": d}

    def stack(self, at, shape):
        if len(shape) > 4:
            return None
        return "stack", (at, at), {"axis": int(self.rng.integers(len(shape) + 1))}

    def tile(self, at, shape):
        return "tile", (at,), {"reps": tuple(int(self.rng.integers(1, 3)) for _ in shape)}

    def split(self, at, shape):
        if not shape:
            return None
        d = self.axis(shape)
        first = int(self.rng.integers(0, shape[d] + 1))
        return "split", (at,), {"sizes": (first, shape[d] - first), "axis": d}

    def squeeze(self, at, shape):
        dims = tuple(d for d, n in enumerate(shape) if n == 1)
        return ("squeeze", (at,), {"dimensions": dims}) if dims else None

    def starts(self, shape):
        offsets = self.rng.integers(-2, 4, len(shape))
        return [lambda i, k=k, o=o: _index(i, k % 2, o) for k, o in enumerate(offsets)]

    def dynamic_slice(self, at, shape):
        sizes = tuple(int(self.rng.integers(n // 2, n + 1)) for n in shape)
        return "dynamic_slice", (at, *self.starts(shape)), {"slice_sizes": sizes}

    def dynamic_update_slice(self, at, shape):
        fits = [
            k
            for k, s in enumerate(self.shapes)
            if len(s) == len(shape) and all(a <= b for a, b in zip(s, shape, strict=True))
        ]
        return "dynamic_update_slice", (at, int(self.rng.choice(fits)), *self.starts(shape)), {}

    def gather(self, at, shape):
        if not shape or 0 in shape:
            return None
        d = self.axis(shape)
        rows = self.rng.integers(-1, shape[d] + 1, (3, 1)).astype(np.int32)
        sizes = tuple(1 if k == d else n for k, n in enumerate(shape))
        params = {
            "dimension_numbers": GatherDimensionNumbers(tuple(range(1, len(shape))), (d,), (d,)), "slice_sizes": sizes,
            "indices_are_sorted": False, "unique_indices": False, "mode": CLIP if self.rng.random() < 0.5 else DROP,
            "fill_value": 0,
        }  # fmt: skip
        return "gather", (at, lambda i: rows), params

    def scatter(self, at, shape):
        if len(shape) < 2 or 0 in shape:
            return None
        k = min(shape[0], 3)  # the first rows of the first dimension, added to (or put at) rows of it
        rows = self.rng.integers(-1, shape[0] + 1, (shape[0], 1)).astype(np.int32)
        name = "scatter-add" if self.rng.random() < 0.6 else "scatter"
        params = {
            "update_jaxpr": update_program("add", np.dtype(np.float32)) if name == "scatter-add" else None,
            "update_consts": (), "indices_are_sorted": False, "unique_indices": False, "mode": CLIP if k > 1 else DROP,
            "dimension_numbers": ScatterDimensionNumbers(tuple(range(1, len(shape))), (0,), (0,)),
        }  # fmt: skip
        return name, (at, lambda i: rows, at), params

    def negate(self, at, shape):
        return "neg", (at,), {}

    def product(self, at, shape):
        fits = [k for k, s in enumerate(self.shapes) if s == shape]
        other = int(self.rng.choice(fits))
        return "mul", (at, other), {}

    def reduce(self, at, shape):
        if len(shape) < 2:
            return None
        return "reduce_sum", (at,), {"axes": (self.axis(shape),), "out_sharding": None}


def _index(i, k, offset):
    if isinstance(i, np.ndarray):
        return np.asarray(i[k] + offset, np.int32)
    window = registry["slice"].bind(i, start_indices=(k,), limit_indices=(k + 1,), strides=None)
    return registry["add"].bind(registry["squeeze"].bind(window, dimensions=(0,)), np.int32(offset))


def by_reference(p, *args, **params):
    return p.reference(*map(np.asarray, args), **params)


def by_binding(p, *args, **params):
    return p.bind(*args, **params)


SHAPES = [(4, 6), (12,), (2, 3, 5), (1, 8), (7, 1, 2), (64, 33)]


@pytest.mark.parametrize("seed", range(120))
def test_random_program(seed):
    shape = SHAPES[seed % len(SHAPES)]
    program = Program(seed, 4 + seed % 9, shape)
    rng = np.random.default_rng(seed)
    x, i = rng.uniform(-1, 1, shape).astype(np.float32), rng.integers(-3, 6, 2).astype(np.int32)
    want = program.run(by_reference, x, i)

    def f(x, i):
        return program.run(by_binding, x, i)

    close = {"rtol": 1e-4, "atol": 1e-5 * max(1.0, float(np.abs(want).max(initial=0)))}
    np.testing.assert_allclose(np.asarray(addax.jit(f)(x, i)), want, **close)
    if seed % 3 == 0:
        xs, indices = np.stack([x, 2 * x]), np.stack([i, i[::-1]])
        both = np.stack([want, program.run(by_reference, 2 * x, i[::-1])])
        scale = {"rtol": 1e-4, "atol": 1e-5 * max(1.0, float(np.abs(both).max(initial=0)))}
        np.testing.assert_allclose(np.asarray(addax.jit(addax.vmap(f))(xs, indices)), both, **scale)
    if seed % 3 == 1:
        t, ct = rng.uniform(-1, 1, shape).astype(np.float32), rng.uniform(-1, 1, want.shape).astype(np.float32)
        _, dot = addax.jit(lambda x, t: addax.jvp(lambda x: f(x, i), (x,), (t,)))(x, t)
        pulled = addax.jit(lambda x, ct: addax.vjp(lambda x: f(x, i), x)[1](ct)[0])(x, ct)
        a, b = np.sum(np.float64(dot) * ct), np.sum(np.float64(pulled) * t)
        size = np.sum(np.abs(np.float64(dot) * ct)) + np.sum(np.abs(np.float64(pulled) * t)) + 1e-6
        assert abs(a - b) <= 1e-4 * size
        step = 1e-6
        wide, move = x.astype(np.float64), step * t.astype(np.float64)
        slope = (program.run(by_reference, wide + move, i) - program.run(by_reference, wide - move, i)) / (2 * step)
        scale = max(1.0, float(np.abs(slope).max(initial=0)))
        np.testing.assert_allclose(np.asarray(dot), slope, rtol=1e-3, atol=1e-4 * scale)
