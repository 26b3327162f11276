"""Boolean sparse matrices as sets: which columns (inputs) each row (an element of an array) depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse

# More entries than this are no sparse matrix.
MOST_ENTRIES = 200_000_000

Pattern = sparse.csr_array


def check_entries(n: float) -> None:
    """Raises ValueError if a pattern is too dense to be held."""
    if n > MOST_ENTRIES:
        raise ValueError(
            f"The sparsity pattern has about {n:.0e} entries: some intermediate result depends on (almost) every element of "
            "the argument. If the derivative is sparse nevertheless, pass its pattern: sparse_jacobian(f, sparsity=...); "
            "if it is dense, use jacfwd, jacrev or products (jvp, vjp)."
        )


def empty(rows: int, columns: int) -> Pattern:
    return Pattern((rows, columns), dtype=np.bool_)


def block(n: int, offset: int, columns: int) -> Pattern:
    """The rows of the identity that belong to ``n`` inputs from ``offset`` on, of ``columns`` in all."""
    return sparse.csr_array((np.ones(n, np.bool_), np.arange(offset, offset + n), np.arange(n + 1)), shape=(n, columns))


def take(a: Pattern, ids: np.ndarray) -> Pattern:
    """The rows ``ids``; an empty row for -1."""
    ids = ids.reshape(-1)
    counts = np.where(ids >= 0, np.diff(a.indptr)[ids], 0) if a.shape[0] else np.zeros(len(ids), np.int64)
    starts = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    check_entries(starts[-1])
    first = np.where(ids >= 0, a.indptr[:-1][ids], 0) if a.shape[0] else counts
    positions = np.repeat(first - starts[:-1], counts) + np.arange(starts[-1])
    columns = a.indices[positions]
    return sparse.csr_array((np.ones(len(columns), np.bool_), columns, starts), shape=(len(ids), a.shape[1]))


def union(patterns: Sequence[Pattern]) -> Pattern:
    """Row by row. All have equal shapes."""
    total = patterns[0]
    for p in patterns[1:]:
        total = total + p
    return total


def mix(a: Pattern, rows: np.ndarray, sources: np.ndarray, n: int) -> Pattern:
    """``n`` rows; row ``rows[k]`` includes row ``sources[k]`` of ``a``."""
    rows, sources = rows.reshape(-1), sources.reshape(-1)
    check_entries(len(rows))
    s = sparse.csr_array((np.ones(len(rows), np.bool_), (rows, sources)), shape=(n, a.shape[0]))
    return multiply(s, a)


def multiply(s: Pattern, a: Pattern) -> Pattern:
    """The rows of ``a`` that ``s`` names, united."""
    out = s @ a
    check_entries(out.nnz)
    return sparse.csr_array(out)


def group(a: Pattern, ids: np.ndarray, n: int) -> Pattern:
    """``n`` rows; row k of ``a`` goes into row ``ids[k]``."""
    return mix(a, ids, np.arange(a.shape[0]), n)


def along(a: Pattern, shape: tuple[int, ...], axis: int, matrix: np.ndarray) -> Pattern:
    """Mix elements along one axis of an array: element i of the result includes the j where ``matrix[i, j]``."""
    lead, size, trail = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    i, j = np.nonzero(matrix)
    check_entries(len(i) * lead * trail)
    ids = np.arange(lead)[:, None, None], np.arange(trail)[None, None, :]
    rows = (ids[0] * matrix.shape[0] + i[None, :, None]) * trail + ids[1]
    sources = (ids[0] * size + j[None, :, None]) * trail + ids[1]
    return mix(a, rows, sources, lead * matrix.shape[0] * trail)


def everything(patterns: Sequence[Pattern], rows: int) -> Pattern:
    """``rows`` rows, each the union of all rows of ``patterns``."""
    used = np.unique(np.concatenate([p.indices for p in patterns]))
    check_entries(float(rows) * len(used))
    return sparse.csr_array(
        (np.ones(rows * len(used), np.bool_), np.tile(used, rows), np.arange(rows + 1) * len(used)),
        shape=(rows, patterns[0].shape[1]),
    )


def stack(patterns: Sequence[Pattern]) -> Pattern:
    return patterns[0] if len(patterns) == 1 else sparse.csr_array(sparse.vstack(patterns, format="csr"))
