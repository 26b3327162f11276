"""Triangles and diagonals of matrices: tril, triu, tri, diag, meshgrid."""

from __future__ import annotations

import operator
from collections.abc import Callable

import numpy as np

from addax.core import dtypes
from addax.core.sizes import is_symbolic, is_symbolic_shape
from addax.lax.comparison import select
from addax.lax.shape import broadcasted_iota, iota
from addax.numpy.base import check_array_like
from addax.numpy.creation import asarray, from_numpy, zeros_like
from addax.numpy.products import diagonal
from addax.numpy.shapes import broadcast_to, ravel, reshape
from addax.numpy.taking import nonzero


def tri(N: int, M: int | None = None, k: int = 0, dtype=None):
    """Ones at and below the ``k``-th diagonal of an N x M array of zeros, by default float32 (also with 64-bit types)."""
    dtype = np.dtype(np.float32) if dtype is None else dtypes.canonicalize_user_dtype(dtype, "tri")
    if is_symbolic_shape((N, M)):
        return _triangle((N, N if M is None else M), k).astype(dtype)
    return from_numpy(np.tri(N, M, k).astype(dtype))


def _triangle(shape, k: int):
    """Where a matrix of the last two sizes of ``shape`` is on or below its ``k``-th diagonal."""
    rows, columns = shape[-2:]
    if is_symbolic_shape((rows, columns)):
        i, j = (broadcasted_iota(np.dtype(np.int32), (rows, columns), d) for d in (0, 1))
        return i >= j - k
    return from_numpy(np.tri(rows, columns, k, dtype=bool))


def tril(m, k: int = 0):
    """``m`` with the elements above the ``k``-th diagonal set to zero.

    >>> import addax.numpy as jnp
    >>> jnp.tril(jnp.ones((2, 2))).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    check_array_like("tril", m)
    m = asarray(m)
    if m.ndim < 2:
        raise ValueError("Argument to addax.numpy.tril must be at least 2D")
    return select(broadcast_to(_triangle(m.shape, k), m.shape), m, zeros_like(m))


def triu(m, k: int = 0):
    """``m`` with the elements below the ``k``-th diagonal set to zero."""
    check_array_like("triu", m)
    m = asarray(m)
    if m.ndim < 2:
        raise ValueError("Argument to addax.numpy.triu must be at least 2D")
    return select(broadcast_to(_triangle(m.shape, k - 1), m.shape), zeros_like(m), m)


def diag(v, k: int = 0):
    """The ``k``-th diagonal of a matrix, or the matrix with the vector ``v`` on it.

    >>> import addax.numpy as jnp
    >>> jnp.diag(jnp.array([1, 2])).tolist(), jnp.diag(jnp.array([[1, 2], [3, 4]])).tolist()
    ([[1, 0], [0, 2]], [1, 4])
    """
    check_array_like("diag", v)
    v = asarray(v)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ValueError("diag input must be 1d or 2d")
    n = v.shape[0]
    row = iota(np.dtype(np.int32), n) if is_symbolic(n) else np.arange(n, dtype=np.int32)
    out = broadcast_to(zeros_like(v, shape=()), (n + abs(k),) * 2)
    return out.at[row + max(-k, 0), row + max(k, 0)].set(v)


def diagflat(v, k: int = 0):
    """The matrix with the elements of ``v`` on its ``k``-th diagonal."""
    return diag(ravel(v), k)


def diag_indices(n: int, ndim: int = 2) -> tuple:
    """The index arrays of the diagonal of an n x ... x n array."""
    n, ndim = operator.index(n), operator.index(ndim)
    if n < 0:
        raise ValueError(f"diag_indices: n must be nonnegative, got {n}")
    if ndim < 0:
        raise ValueError(f"diag_indices: ndim must be nonnegative, got {ndim}")
    return (from_numpy(np.arange(n)),) * ndim


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple:
    """The index arrays of the lower triangle of an n x m array."""
    return tuple(from_numpy(i) for i in np.tril_indices(n, k, m))


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple:
    """The index arrays of the upper triangle of an n x m array."""
    return tuple(from_numpy(i) for i in np.triu_indices(n, k, m))


def diag_indices_from(arr) -> tuple:
    """The index arrays of the diagonal of ``arr``, whose dimensions must be equal.

    >>> import addax.numpy as jnp
    >>> [i.tolist() for i in jnp.diag_indices_from(jnp.ones((2, 2)))]
    [[0, 1], [0, 1]]
    """
    shape = np.shape(arr)
    if len(shape) < 2:
        raise ValueError(f"diag_indices_from: input array must be at least 2-d, got shape {shape}")
    if len(set(shape)) > 1:
        raise ValueError(f"diag_indices_from: all dimensions of input must be of equal length, got shape {shape}")
    return diag_indices(shape[0], len(shape))


def _matrix_shape(name: str, arr) -> tuple[int, int]:
    shape = np.shape(arr)
    if len(shape) != 2:
        raise ValueError(f"{name}: only 2-D inputs are accepted, got shape {shape}")
    return shape[0], shape[1]


def tril_indices_from(arr, k: int = 0) -> tuple:
    """The index arrays of the lower triangle of the matrix ``arr``."""
    n, m = _matrix_shape("tril_indices_from", arr)
    return tril_indices(n, k, m)


def triu_indices_from(arr, k: int = 0) -> tuple:
    """The index arrays of the upper triangle of the matrix ``arr``."""
    n, m = _matrix_shape("triu_indices_from", arr)
    return triu_indices(n, k, m)


def mask_indices(n: int, mask_func: Callable, k: int = 0, *, size: int | None = None) -> tuple:
    """Where ``mask_func(ones((n, n)), k)`` is not zero: ``mask_indices(n, jnp.triu)`` is the upper triangle.

    Args:
      size: the fixed length of the result; see `nonzero`.
    """
    return nonzero(mask_func(from_numpy(np.ones((n, n), np.int32)), k), size=size)


def meshgrid(*xi, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list:
    """Coordinate arrays of the grid spanned by vectors: by columns and rows ("xy") or by dimension ("ij").

    >>> import addax.numpy as jnp
    >>> x, y = jnp.meshgrid(jnp.arange(2), jnp.arange(3))
    >>> x.shape, y.tolist()
    ((3, 2), [[0, 0], [1, 1], [2, 2]])
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Valid values for indexing are 'xy' and 'ij', got {indexing}")
    if not copy:
        raise ValueError("addax.numpy.meshgrid only supports copy=True")
    check_array_like("meshgrid", *xi)
    vectors = [asarray(x) for x in xi]
    if any(v.ndim > 1 for v in vectors):
        raise ValueError(f"Arguments to meshgrid must be 1D, got shapes {[v.shape for v in vectors]}")
    vectors = [ravel(v) for v in vectors]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[0], order[1] = 1, 0
    shape = [0] * len(vectors)
    for v, d in zip(vectors, order, strict=True):
        shape[d] = v.shape[0]
    out = []
    for v, d in zip(vectors, order, strict=True):
        v = reshape(v, [-1 if k == d else 1 for k in range(len(shape))])
        out.append(v if sparse else broadcast_to(v, tuple(shape)))
    return out
