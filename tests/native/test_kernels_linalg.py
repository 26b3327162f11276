"""Kernels for small matrices, against NumPy and SciPy: factors, triangular systems, and what has no factor."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from native_programs import call_kernel, isas, table

import addax
import addax.numpy as jnp

TYPES = {"f32": np.float32, "f64": np.float64}
SIZES = [1, 2, 3, 8, 17, 40, 64]


def matrices(dtype, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def close(got, wanted, scale=50):
    np.testing.assert_allclose(got, wanted, atol=scale * np.finfo(got.dtype).eps * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("t", TYPES)
def test_cholesky(t, isa):
    for n in SIZES:
        a = matrices(TYPES[t], 3, n, n)
        a = a @ a.mT + n * np.eye(n, dtype=a.dtype)
        wanted = np.linalg.cholesky(a)
        a[1] = -a[1]
        upper_is_not_read = np.where(np.tri(n, dtype=bool), a, np.nan)
        (got,) = call_kernel(f"cholesky_{t}", [upper_is_not_read], [(a.shape, a.dtype)], table(0, 0, 3, n), isa)
        close(got[::2], wanted[::2])
        assert np.array_equal(got[1], np.tril(np.full((n, n), np.nan)), equal_nan=True)


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("t", TYPES)
def test_lu(t, isa):
    for rows, columns in [(n, n) for n in SIZES] + [(5, 9), (9, 5), (1, 6), (6, 1)]:
        a = matrices(TYPES[t], 2, rows, columns)
        k = min(rows, columns)
        outs = [(a.shape, a.dtype), ((2, k), np.int32), ((2, rows), np.int32)]
        got, pivots, order = call_kernel(f"lu_{t}", [a], outs, table(0, 0, 0, 0, 2, rows, columns), isa)
        for i in range(2):
            wanted, swaps = scipy.linalg.lapack.get_lapack_funcs("getrf", (a,))(a[i])[:2]
            close(got[i], wanted, 500)
            assert pivots[i].tolist() == swaps.tolist()
            lower = np.tril(got[i][:, :k], -1) + np.eye(rows, k, dtype=a.dtype)
            close(lower @ np.triu(got[i][:k]), a[i][order[i]])


def test_lu_of_singular_and_tiny_matrices():
    a = np.array([[[0, 1, 2], [0, 3, 4], [0, 0, 5]], [[1e-40, 1, 0], [0, 1e-39, 1], [0, 0, 0]]], np.float64)
    got, _, order = call_kernel(
        "lu_f64", [a], [(a.shape, a.dtype), ((2, 3), np.int32), ((2, 3), np.int32)], table(0, 0, 0, 0, 2, 3, 3)
    )
    for lu, p, x in zip(got, order, a, strict=True):
        close((np.tril(lu, -1) + np.eye(3)) @ np.triu(lu), x[p])


@pytest.mark.parametrize("isa", isas())
@pytest.mark.parametrize("left", [True, False])
def test_triangular_solve(left, isa):
    for n, m in [(1, 1), (3, 1), (8, 5), (33, 40), (64, 2)]:
        a = matrices(np.float64, 2, n, n) + 4 * n * np.eye(n)
        b = matrices(np.float64, 2, *((n, m) if left else (m, n)), seed=1)
        for lower in (0, 1):
            for transposed in (0, 1):
                for unit in (0, 1):
                    scaled = a / (4 * n) if unit else a
                    flags = (int(left), lower, transposed, unit)
                    (x,) = call_kernel(
                        "triangular_solve_f64", [scaled, b], [(b.shape, b.dtype)], table(0, 0, 0, 2, n, m, *flags), isa
                    )
                    op = np.tril(scaled) if lower else np.triu(scaled)
                    if unit:
                        op = op - op * np.eye(n) + np.eye(n)
                    op = op.mT if transposed else op
                    close(op @ x if left else x @ op, b)


def test_in_programs():
    """Small matrices stay in C++, also as parts of larger arrays; large and complex ones are LAPACK's."""
    a = matrices(np.float32, 5, 4, 4)
    a = a @ a.mT + np.eye(4, dtype=np.float32)
    b = matrices(np.float32, 5, 4)

    @addax.jit
    def filtered(a, b):
        def step(x, ab):
            x = jnp.linalg.solve(ab[0], ab[1] + x)
            return x, (jnp.linalg.cholesky(ab[0]), x)

        return addax.lax.scan(step, jnp.zeros(4), (a, b))[1]

    factors, xs = filtered(a, b)
    close(np.asarray(factors), np.linalg.cholesky(a))
    x = np.zeros(4, np.float32)
    for i in range(5):
        x = np.linalg.solve(a[i], b[i] + x)
        close(np.asarray(xs[i]), x, 500)
    assert "host" not in filtered.lower(a, b).as_text("loops")
    assert "host" in addax.jit(jnp.linalg.cholesky).lower(np.eye(65, dtype=np.float32)).as_text("loops")
    assert "host" in addax.jit(jnp.linalg.cholesky).lower(np.eye(4, dtype=np.complex64)).as_text("loops")
