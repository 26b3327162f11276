"""Norms, condition numbers and ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from addax.core import dtypes
from addax.core.trace import Tracer
from addax.interpreters.values import convert
from addax.numpy.base import canonical_axes, check_array_like
from addax.numpy.choosing import where
from addax.numpy.floats import isnan
from addax.numpy.linalg.arguments import asarray, eps_of, inexact_one, is_complex
from addax.numpy.linalg.factors import eigvalsh, svd
from addax.numpy.linalg.systems import inv
from addax.numpy.reductions import any as any_, max as max_, min as min_, sum as sum_
from addax.numpy.shapes import expand_dims, moveaxis
from addax.numpy.transcendental import sqrt


def norm(x, ord: float | str | None = None, axis: int | tuple[int, ...] | None = None, keepdims: bool = False):
    """The norm of vectors or matrices.

    Args:
      x: an array.
      ord: which norm. Of vectors: a number p for ``sum(|x|**p) ** (1/p)``, by default 2; ``inf``, ``-inf`` for the largest
        and smallest absolute value; 0 counts what is not zero. Of matrices: ``"fro"`` (the default), ``"nuc"``, 1, -1, 2,
        -2, ``inf``, ``-inf``; see `matrix_norm`.
      axis: one for vectors, two for matrices. By default all of ``x``, which without ``ord`` is seen as one vector.
      keepdims: keep the reduced dimensions with size 1.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.norm(jnp.array([3., 4.])).item()
    5.0
    """
    x = inexact_one("norm", x)
    if axis is None:
        if ord is None:
            return sqrt(sum_(_square(x), keepdims=keepdims))
        axes = tuple(range(x.ndim))
    else:
        axes = canonical_axes(axis, x.ndim)
    if len(axes) == 1:
        return _vector_norm(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    raise ValueError(
        f"Improper number of axes for norm: axis={axes}. Pass one axis to compute a vector-norm, or two axes to compute a "
        "matrix-norm."
    )


def _square(x):
    return x.real**2 + x.imag**2 if is_complex(x) else x * x


def _vector_norm(x, ord, axes, keepdims):
    if isinstance(ord, str):
        raise ValueError(f"Invalid order {ord!r} for vector norm: expected a number, or addax.numpy.inf.")
    if isinstance(ord, Tracer):
        return sum_(abs(x) ** ord, axis=axes, keepdims=keepdims) ** (1 / asarray(ord))
    if ord == np.inf:
        return max_(abs(x), axis=axes, keepdims=keepdims, initial=0)
    if ord == -np.inf:
        return min_(abs(x), axis=axes, keepdims=keepdims)
    if ord == 0:
        return sum_(x != 0, axis=axes, keepdims=keepdims, dtype=dtypes.finfo(x.dtype).dtype)
    if ord == 1:
        return sum_(abs(x), axis=axes, keepdims=keepdims)
    if ord == 2:
        return sqrt(sum_(_square(x), axis=axes, keepdims=keepdims))
    total = sum_(abs(x) ** ord, axis=axes, keepdims=keepdims)
    return total ** convert(1 / asarray(ord, total.dtype), total.dtype)


def _matrix_norm(x, ord, axes, keepdims):
    row, column = axes
    if ord == "fro":
        return sqrt(sum_(_square(x), axis=axes, keepdims=keepdims))
    if ord in ("nuc", 2, -2):
        s = svd(moveaxis(x, axes, (-2, -1)), compute_uv=False)
        if ord == "nuc":
            out = sum_(s, axis=-1)
        else:
            out = max_(s, axis=-1, initial=0) if ord == 2 else min_(s, axis=-1)
        return expand_dims(out, axes) if keepdims else out
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError(f"Invalid order '{ord}' for matrix norm: expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf.")
    summed, other = (row, column) if ord in (1, -1) else (column, row)
    sums = sum_(abs(x), axis=summed, keepdims=True)
    out = max_(sums, axis=other, keepdims=True, initial=0) if ord > 0 else min_(sums, axis=other, keepdims=True)
    return out if keepdims else out.squeeze(axes)


def vector_norm(x, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: float | str = 2):
    """The norm of vectors along one or several axes, all by default: ``sum(|x|**ord) ** (1/ord)``. See `norm`.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.vector_norm(jnp.array([[3., 4.], [6., 8.]]), axis=1).tolist()
    [5.0, 10.0]
    """
    x = inexact_one("vector_norm", x)
    return _vector_norm(x, 2 if ord is None else ord, canonical_axes(axis, x.ndim), keepdims)


def matrix_norm(x, /, *, keepdims: bool = False, ord: float | str = "fro"):
    """The norm of matrices, the last two dimensions.

    ``ord`` is ``"fro"``, the root of the sum of squares; ``"nuc"``, the sum of singular values; 2 or -2, the largest or
    smallest one; 1 or -1, the largest or smallest sum of the absolute values in a column; inf or -inf, in a row.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.matrix_norm(jnp.array([[1., 2.], [3., 4.]]), ord=1).item()
    6.0
    """
    x = inexact_one("matrix_norm", x)
    if x.ndim < 2:
        raise ValueError(f"linalg.matrix_norm needs matrices, an array of shape [..., m, n]; got {x.shape}.")
    return _matrix_norm(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


def cond(x, p=None):
    """The condition number of matrices, ``|x| |x^-1|``; by default the ratio of the extreme singular values.

    Args:
      x: ``[..., m, n]``; square unless p is None, 2 or -2.
      p: which norm; see `matrix_norm`.

    Returns:
      ``[...]``, inf for singular matrices (zero ones too, as in NumPy; there JAX gives NaN).

    >>> import addax.numpy as jnp
    >>> jnp.linalg.cond(jnp.array([[4., 0.], [0., 2.]])).item()
    2.0
    """
    x = inexact_one("cond", x)
    if x.ndim < 2:
        raise ValueError(f"linalg.cond: input array must be at least 2D; got shape {x.shape}")
    if 0 in x.shape:
        raise ValueError(f"linalg.cond: input array must not be empty; got shape {x.shape}")
    ratio: Any
    if p in (None, 2, -2):
        s: Any = svd(x, compute_uv=False)
        ratio = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    else:
        if x.shape[-2] != x.shape[-1]:
            raise ValueError(f"linalg.cond: for p={p}, array must be square; got shape {x.shape}")
        size: Any = matrix_norm(x, ord=p)
        ratio = size * matrix_norm(inv(x), ord=p)
    return where(isnan(ratio) & ~any_(isnan(x), axis=(-2, -1)), np.inf, ratio)


def matrix_rank(M, rtol=None, *, hermitian: bool = False, tol=None):
    """The rank of matrices: the number of singular values above ``rtol`` times the largest.

    Args:
      M: ``[..., m, n]``; a vector has rank 1 unless it is zero.
      rtol: ``[...]``, by default ``max(m, n) eps``. (Relative as in NumPy; JAX 0.10 takes it for an absolute bound.)
      hermitian: the matrices are hermitian, which is faster.
      tol: an absolute bound in place of ``rtol``.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.matrix_rank(jnp.array([[1., 2.], [2., 4.]])).item()
    1
    """
    x = inexact_one("matrix_rank", M)
    if rtol is not None and tol is not None:
        raise ValueError("matrix_rank: only one of tol or rtol may be specified.")
    if x.ndim < 2:
        return any_(x != 0).astype(np.int32)
    s: Any = abs(eigvalsh(x)) if hermitian else svd(x, compute_uv=False)
    if tol is None:
        if rtol is None:
            rtol = max(x.shape[-2:]) * eps_of(x)
        check_array_like("linalg.matrix_rank", rtol)
        limit: Any = max_(s, axis=-1) * asarray(rtol, s.dtype)
    else:
        check_array_like("linalg.matrix_rank", tol)
        limit = asarray(tol, s.dtype)
    return sum_(s > limit[..., None], axis=-1)


__all__ = ["cond", "matrix_norm", "matrix_rank", "norm", "vector_norm"]
