"""The numbers of every sampler are JAX's for the same key.

All cases of a dtype are one compiled program of each library. JAX takes minutes to compile them, so its numbers are
recorded in `jax_values.npz`; ``python tests/random/test_random_values.py`` records them anew, and a slow test compares.
"""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import pytest

import addax

N = (64,)
P = np.linspace(0.1, 1, 7).astype(np.float32)
COV = np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 4]], np.float32)

RECORDED = pathlib.Path(__file__).with_name("jax_values.npz")

# name, arguments after the key, keyword arguments
FIXED = [
    ("bernoulli", (0.3, N), {}),
    ("bernoulli", (0.3, N), {"mode": "high"}),
    ("bernoulli", (np.full((4, 1), 0.2, np.float32), (3, 4, 5)), {}),
    ("binomial", (np.array([[3.0], [10], [300]], np.float32), np.array([0.0, 0.2, 0.9, 1], np.float32)), {}),
    ("binomial", (np.array([-1, np.nan, np.inf, 5.5, 10, 10, 10], np.float32),
                  np.array([0.5, 0.5, 0.5, 0.5, -0.1, 1.1, np.nan], np.float32)), {}),
    ("bits", (N, "uint8"), {}),
    ("bits", (N, "uint16"), {}),
    ("categorical", (P,), {"shape": N}),
    ("categorical", (P,), {"shape": N, "mode": "high"}),
    ("categorical", (np.arange(24.0, dtype=np.float32).reshape(2, 4, 3) / 9, 1), {"shape": (5, 2, 3)}),
    ("categorical", (np.arange(24.0, dtype=np.float32).reshape(2, 4, 3) / 9, 1), {"shape": (2, 2, 3), "replace": False}),
    ("choice", (7, (2, 3)), {}),
    ("choice", (7, (2, 3), False), {}),
    ("choice", (7, (2, 3), True, P), {}),
    ("choice", (7, (2, 3), False, P), {}),
    ("choice", (np.arange(21.0).reshape(3, 7), (2, 2), False), {"axis": 1}),
    ("choice", (np.arange(21.0).reshape(3, 7), (2, 2), True, P), {"axis": 1}),
    ("geometric", (np.array([1.0, 0.9, 0.5, 1e-3, 0], np.float32), (20, 5)), {}),
    ("geometric", (1e-3, N, "int8"), {}),
    ("multinomial", (10, np.array([0.2, 0.3, 0.5], np.float32)), {"shape": (50, 3)}),
    ("multinomial", (np.array([5.0, 50]), np.ones((2, 3))), {"dtype": "int32"}),
    ("normal", (N, "complex64"), {}),
    ("orthogonal", (3, (2,), "complex64", 4), {}),
    ("permutation", (50,), {}),
    ("permutation", (np.arange(20.0).reshape(4, 5), 1), {}),
    ("permutation", (np.arange(20.0).reshape(4, 5), 1), {"independent": True}),
    ("poisson", (np.array([-1, np.nan, 0, 0.1, 3, 9.9], np.float32), (20, 6)), {}),
    ("poisson", (np.array([10, 30, 100], np.float32), (20, 3)), {}),
    ("poisson", (3, N, "int16"), {}),
    ("rademacher", (N,), {}),
    ("rademacher", (N, "bool"), {}),
    ("rademacher", (N, "complex64"), {}),
    ("randint", (N, 0, 10), {}),
    ("randint", (N, 0.7, 5.9), {}),
    ("randint", (N, 0, 300, "int8"), {}),
    ("randint", (N, -300, 300, "int8"), {}),
    ("randint", (N, 0, 256, "uint8"), {}),
    ("randint", (N, 5, 5), {}),
    ("randint", (N, -(2**31), 2**31 - 1), {}),
    ("randint", ((5, 3), np.arange(3, dtype=np.int32), np.int32(300), "int8"), {}),
    ("randint", ((5, 3), np.arange(3, dtype=np.int32), np.arange(3, dtype=np.int32) + 9), {}),
]  # fmt: skip

FLOATS = [
    ("ball", (3, 1.0, N), {}),
    ("ball", (2,), {}),
    ("beta", (0.3, 0.4, N), {}),
    ("beta", (np.ones((3, 1)), np.ones(2)), {}),
    ("cauchy", (N,), {}),
    ("chisquare", (3, N), {}),
    ("dirichlet", (np.array([0.1, 2.0, 3.0]), (20,)), {}),
    ("dirichlet", (np.ones((2, 3)), (4, 2)), {}),
    ("double_sided_maxwell", (np.arange(3.0), np.ones((2, 1)), (4,)), {}),
    ("double_sided_maxwell", (np.arange(3.0), 1.0), {}),
    ("exponential", (N,), {}),
    ("f", (3, 4.0, N), {}),
    ("gamma", (np.array([0.0, 0.1, 0.5, 1, 2, 30, 1e3, np.inf, np.nan, -2]), (20, 10)), {}),
    ("gumbel", (N,), {}),
    ("gumbel", (N,), {"mode": "high"}),
    ("generalized_normal", (1.5, N), {}),
    ("laplace", (N,), {}),
    ("loggamma", (np.array([0.0, 1e-3, 0.5, 1, 2, 30, 1e3, np.inf, np.nan, -2]), (20, 10)), {}),
    ("logistic", (N,), {}),
    ("lognormal", (0.7, N), {}),
    ("maxwell", (N,), {}),
    ("multivariate_normal", (np.arange(3.0), COV, N), {}),
    ("normal", (N,), {}),
    ("orthogonal", (3, (2,)), {"m": 5}),
    ("orthogonal", (5,), {"m": 2}),
    ("pareto", (np.full(N, 1.5),), {}),
    ("rayleigh", (1.5, N), {}),
    ("t", (3, N), {}),
    ("triangular", (0.0, 1, 5.0, N), {}),
    ("truncated_normal", (-1.0, 2, N), {}),
    ("uniform", (N,), {}),
    ("uniform", (N,), {"minval": -3, "maxval": np.full(N, 2.5)}),
    ("wald", (1.5, N), {}),
    ("weibull_min", (1.5, 0.7, N), {}),
]


def program(library, cases, dtype=None):
    def run(seed):
        out = []
        for i, (name, args, kwargs) in enumerate(cases):
            args = [library.numpy.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
            extra = {} if dtype is None else {"dtype": dtype}
            out.append(getattr(library.random, name)(library.random.fold_in(seed, i), *args, **kwargs, **extra))
        return out

    return [np.asarray(x) for x in library.jit(run)(library.random.key(7))]


def agree(cases, got, want, rtol):
    failures = []
    for case, g, w in zip(cases, got, want, strict=True):
        if g.shape != w.shape or g.dtype != w.dtype:
            failures.append(f"{case}: {g.dtype}{g.shape}, JAX {w.dtype}{w.shape}")
            continue
        wide = complex if g.dtype.kind == "c" else float
        close = np.isclose(g.astype(wide), w.astype(wide), rtol=rtol, atol=rtol, equal_nan=True)
        if not close.all():
            failures.append(f"{case}: {g[~close][:3]}, JAX {w[~close][:3]}, equal: {close.mean():.2f}")
    assert not failures, "\n".join(failures)


WIDE = [c for c in FLOATS if c[0] in {"uniform", "normal", "gamma", "logistic", "truncated_normal", "t"}]
WIDE_INTS = [("randint", (N, -5, 2**40), {}), ("bits", (N, "uint64"), {}), ("rademacher", (N,), {})]
GROUPS = {
    "fixed": (FIXED, None, False, 1e-5),
    "float32": (FLOATS, np.float32, False, 5e-5),
    "float64": (WIDE, np.float64, True, 1e-9),
    "int64": (WIDE_INTS, None, True, 0),
}


def from_jax(group):
    cases, dtype, x64, _ = GROUPS[group]
    with jax.enable_x64(x64):
        return program(jax, cases, dtype)


def recorded(group):
    with np.load(RECORDED) as values:
        return [values[f"{group}_{i}"] for i in range(len(GROUPS[group][0]))]


@pytest.mark.parametrize("group", GROUPS)
def test_numbers_are_those_of_jax(group):
    cases, dtype, x64, rtol = GROUPS[group]
    with addax.enable_x64(x64):
        got = program(addax, cases, dtype)
    agree(cases, got, recorded(group), rtol)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_recorded_numbers_are_those_of_jax(group, as_jax_compiles):
    agree(GROUPS[group][0], from_jax(group), recorded(group), 1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats(dtype):
    """Elementwise ones: rejection and rounding in 8 to 11 digits leave little to compare of the others."""
    names = {"uniform", "normal", "exponential", "laplace", "gumbel", "truncated_normal"}
    cases = [c for c in FLOATS if c[0] in names and c[2].get("mode") is None]
    dtype = np.dtype(jax.numpy.dtype(dtype))
    agree(cases, program(addax, cases, dtype), program(jax, cases, dtype), 2e-2 if dtype == "float16" else 6e-2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_dtype_of_floats_is_kept(dtype):
    cases = [c for c in FLOATS if c[0] not in ("orthogonal", "multivariate_normal")]
    for x, (name, _, _) in zip(program(addax, cases, np.dtype(jax.numpy.dtype(dtype))), cases, strict=True):
        assert x.dtype == dtype, name


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **{f"{g}_{i}": x for g in GROUPS for i, x in enumerate(from_jax(g))})
