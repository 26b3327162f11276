"""The matrix that sparse derivatives are returned as."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import tree
from addax.core.avals import get_aval
from addax.numpy.base import as_array
from addax.numpy.creation import zeros


class Positions:
    """Where the entries of a sparse matrix are: row by row, in each by column. Compared by content, so it can be static."""

    __slots__ = ("_hash", "columns", "rows", "shape")

    def __init__(self, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]):
        self.rows, self.columns, self.shape = rows, columns, shape
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.rows.tobytes(), self.columns.tobytes(), self.shape))
        return self._hash

    def __eq__(self, other) -> bool:
        return self is other or (
            isinstance(other, Positions) and self.shape == other.shape
            and np.array_equal(self.rows, other.rows) and np.array_equal(self.columns, other.columns)
        )  # fmt: skip


class SparseMatrix:
    """A matrix of which only some entries are stored: what `sparse_jacobian` and `sparse_hessian` return.

    It is a pytree whose one leaf is ``data``; the positions are part of its structure. So it passes in and out of `jit`,
    and its entries may be traced.

    Attributes:
      data: array of the entries, row by row, shape (nse,).
      indices: NumPy array of their (row, column), shape (nse, 2).
      shape: of the matrix.

    >>> import addax, addax.numpy as jnp
    >>> j = addax.sparse_jacobian(lambda x: x[1:] * x[:-1])(jnp.array([1.0, 2.0, 3.0]))
    >>> j.todense().tolist(), (j @ jnp.ones(3)).tolist(), j.to_scipy().nnz
    ([[2.0, 1.0, 0.0], [0.0, 3.0, 2.0]], [3.0, 5.0], 4)
    """

    __slots__ = ("data", "positions")

    def __init__(self, data, positions: Positions):
        self.data, self.positions = data, positions

    shape = property(lambda self: self.positions.shape)
    dtype = property(lambda self: get_aval(self.data).dtype)
    nse = property(lambda self: len(self.positions.rows))
    ndim = 2

    @property
    def indices(self) -> np.ndarray:
        return np.stack([self.positions.rows, self.positions.columns], 1)

    @property
    def T(self) -> SparseMatrix:
        p = self.positions
        order = np.lexsort((p.rows, p.columns))
        return SparseMatrix(
            as_array(self.data)[order], Positions(p.columns[order], p.rows[order], (p.shape[1], p.shape[0]))
        )

    def todense(self) -> Any:
        """All entries, as an array."""
        return zeros(self.shape, self.dtype).at[self.positions.rows, self.positions.columns].set(
            self.data, unique_indices=True, indices_are_sorted=True
        )  # fmt: skip

    def to_scipy(self):
        """The matrix as a ``scipy.sparse.csr_array``, for its solvers. Not under `jit`."""
        from scipy import sparse

        p = self.positions
        starts = np.searchsorted(p.rows, np.arange(p.shape[0] + 1))
        return sparse.csr_array((np.asarray(self.data), p.columns, starts), shape=p.shape)

    def __matmul__(self, other) -> Any:
        other = as_array(other)
        if other.ndim not in (1, 2) or other.shape[0] != self.shape[1]:
            raise TypeError(f"a sparse matrix of shape {self.shape} cannot multiply an array of shape {other.shape}")
        data = as_array(self.data)
        terms = (data if other.ndim == 1 else data[:, None]) * other[self.positions.columns]
        out = zeros((self.shape[0], *other.shape[1:]), terms.dtype)
        return out.at[self.positions.rows].add(terms, indices_are_sorted=True)

    def __repr__(self) -> str:
        aval = get_aval(self.data)
        return f"SparseMatrix({aval.dtype}{list(self.shape)}, nse={self.nse})"


tree.register_pytree_node(
    SparseMatrix, lambda m: ((m.data,), m.positions), lambda positions, children: SparseMatrix(children[0], positions)
)
