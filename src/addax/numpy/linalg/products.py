"""Products of vectors and matrices, with the signatures of the array API standard."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

from addax.interpreters.values import broadcast_to
from addax.numpy import products as _products
from addax.numpy.base import as_operand, check_array_like, promote_dtypes
from addax.numpy.creation import eye
from addax.numpy.joining import stack
from addax.numpy.linalg.arguments import array, asarray
from addax.numpy.linalg.systems import inv
from addax.numpy.shapes import matrix_transpose as _matrix_transpose, moveaxis


def matmul(x1, x2, /, *, precision=None, preferred_element_type=None):
    """``x1 @ x2``; see `addax.numpy.matmul`.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.matmul(jnp.ones((2, 3)), jnp.ones(3)).tolist()
    [3.0, 3.0]
    """
    check_array_like("linalg.matmul", x1, x2)
    return _products.matmul(x1, x2, precision=precision, preferred_element_type=preferred_element_type)


def vecdot(x1, x2, /, *, axis: int = -1, precision=None, preferred_element_type=None):
    """The sum of ``conj(x1) x2`` along ``axis``; see `addax.numpy.vecdot`."""
    check_array_like("linalg.vecdot", x1, x2)
    return _products.vecdot(x1, x2, axis=axis, precision=precision, preferred_element_type=preferred_element_type)


def tensordot(x1, x2, /, *, axes: int | Sequence = 2, precision=None, preferred_element_type=None, out_sharding=None):
    """The sum of products over several axes; see `addax.numpy.tensordot`."""
    check_array_like("linalg.tensordot", x1, x2)
    return _products.tensordot(
        x1, x2, axes, precision=precision, preferred_element_type=preferred_element_type, out_sharding=out_sharding
    )


def outer(x1, x2, /):
    """All products of an element of the vector ``x1`` and one of the vector ``x2``.

    Raises:
      ValueError: for arrays that are no vectors, which `addax.numpy.outer` flattens.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.outer(jnp.array([1, 2]), jnp.array([3, 4])).tolist()
    [[3, 4], [6, 8]]
    """
    x1, x2 = array("outer", x1), array("outer", x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(
            f"linalg.outer: input arrays must be one-dimensional, but they are x1.ndim={x1.ndim} x2.ndim={x2.ndim}: "
            "addax.numpy.outer flattens its arguments."
        )
    return _products.outer(x1, x2)


def cross(x1, x2, /, *, axis: int = -1):
    """The cross product of three-dimensional vectors along ``axis``; the other dimensions broadcast.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.cross(jnp.array([1., 0., 0.]), jnp.array([0., 1., 0.])).tolist()
    [0.0, 0.0, 1.0]
    """
    check_array_like("linalg.cross", x1, x2)
    x1, x2 = (asarray(x) for x in promote_dtypes(as_operand(x1), as_operand(x2)))
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(
            "linalg.cross: both input arrays must be (arrays of) 3-dimensional vectors, but they have "
            f"x1.shape[axis]={x1.shape[axis]} and x2.shape[axis]={x2.shape[axis]}"
        )
    (a, b, c), (u, v, w) = (moveaxis(x, axis, 0) for x in (x1, x2))
    return stack([b * w - c * v, c * u - a * w, a * v - b * u], axis=axis)


def matrix_transpose(x, /):
    """``x`` with its last two dimensions exchanged.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.matrix_transpose(jnp.ones((5, 2, 3))).shape
    (5, 3, 2)
    """
    return _matrix_transpose(array("matrix_transpose", x))


def diagonal(x, /, *, offset: int = 0):
    """The elements ``x[..., i, i + offset]``.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.diagonal(jnp.arange(4).reshape(2, 2)).tolist()
    [0, 3]
    """
    return _products.diagonal(array("diagonal", x), offset, -2, -1)


def trace(x, /, *, offset: int = 0, dtype=None):
    """The sum of the elements ``x[..., i, i + offset]``.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.trace(jnp.arange(4).reshape(2, 2)).item()
    3
    """
    return _products.trace(array("trace", x), offset, -2, -1, dtype)


def matrix_power(a, n: int):
    """``a`` multiplied with itself n times; of its inverse for negative n. By repeated squaring.

    Args:
      a: ``[..., m, m]``.
      n: an integer, not traced.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.matrix_power(jnp.array([[1, 1], [0, 1]]), 10).tolist()
    [[1, 10], [0, 1]]
    """
    a = array("matrix_power", a)
    if a.ndim < 2:
        raise TypeError(
            f"{a.ndim}-dimensional array given to linalg.matrix_power. Array must be at least two-dimensional"
        )
    if a.shape[-1] != a.shape[-2]:
        raise TypeError(f"Last 2 dimensions of the array must be square; linalg.matrix_power got {a.shape}")
    try:
        n = operator.index(n)
    except TypeError as error:
        raise TypeError(f"exponent must be an integer, got {n}") from error
    if n < 0:
        a, n = inv(a), -n
    if n == 0:
        return broadcast_to(eye(a.shape[-1], dtype=a.dtype), a.shape)
    out = None
    while True:
        if n & 1:
            out = a if out is None else out @ a
        n >>= 1
        if not n:
            return out
        a = a @ a


def multi_dot(arrays, *, precision=None):
    """The product of several matrices, in the order that needs the fewest multiplications.

    Args:
      arrays: matrices; the first and the last may be vectors.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.multi_dot([jnp.ones((2, 3)), jnp.ones((3, 4)), jnp.ones(4)]).tolist()
    [12.0, 12.0]
    """
    arrays = list(arrays)
    check_array_like("linalg.multi_dot", *arrays)
    if len(arrays) < 2:
        raise ValueError(f"multi_dot requires at least two arrays; got len(arrays)={len(arrays)}")
    xs = [asarray(x) for x in promote_dtypes(*(as_operand(x) for x in arrays))]
    shapes = [x.shape for x in xs]
    if xs[0].ndim not in (1, 2) or xs[-1].ndim not in (1, 2) or any(x.ndim != 2 for x in xs[1:-1]):
        raise ValueError(
            "multi_dot: input arrays must all be two-dimensional, except for the first and last array which may be 1 or 2 "
            f"dimensional. Got array shapes {shapes}"
        )
    if any(x.shape[-1] != y.shape[0] for x, y in itertools.pairwise(xs)):
        raise ValueError(
            "multi_dot: last dimension of each array must match first dimension of following array. Got array shapes "
            f"{shapes}"
        )
    sizes = [1 if xs[0].ndim == 1 else xs[0].shape[0], *(x.shape[0] for x in xs[1:])]
    sizes.append(1 if xs[-1].ndim == 1 else xs[-1].shape[1])
    splits = _cheapest_splits(sizes)

    def product(i: int, j: int):
        if i == j:
            return xs[i]
        k = splits[i, j]
        return _products.matmul(product(i, k), product(k + 1, j), precision=precision)

    return product(0, len(xs) - 1)


def _cheapest_splits(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to cut the product of matrices i to j, matrix i being ``sizes[i]`` by ``sizes[i + 1]``.

    By dynamic programming over lengths (Cormen et al., "Introduction to algorithms", matrix-chain multiplication).
    """
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    splits = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], splits[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )
    return splits


__all__ = [
    "cross", "diagonal", "matmul", "matrix_power", "matrix_transpose", "multi_dot", "outer", "tensordot", "trace",
    "vecdot",
]  # fmt: skip
