"""Linear systems: solve, inverse, least squares, pseudo-inverse."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from addax.core import dtypes
from addax.interpreters.values import broadcast_to, convert
from addax.lax import linalg as lax_linalg
from addax.lax.convert import stop_gradient
from addax.lax.linear_solve import custom_linear_solve
from addax.numpy.base import as_operand, check_array_like, fused
from addax.numpy.choosing import where
from addax.numpy.creation import empty, eye, zeros
from addax.numpy.linalg.arguments import adjoint, array, asarray, eps_of, inexact, inexact_one, square
from addax.numpy.linalg.factors import svd
from addax.numpy.reductions import max as max_, sum as sum_
from addax.numpy.shapes import moveaxis
from addax.numpy.sorting import argsort
from addax.numpy.taking import take_along_axis
from addax.transforms.custom import custom_jvp
from addax.transforms.jit import jit


@fused
def solve(a, b):
    """The x with a x = b.

    Args:
      a: ``[..., n, n]``. A singular matrix gives inf or NaN (NumPy raises an error).
      b: ``[n]``, or ``[..., n, m]`` with batch dimensions that broadcast against those of ``a``.

    Returns:
      x, of the shape of ``b``, broadcast.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.solve(jnp.array([[2., 0.], [0., 4.]]), jnp.array([1., 2.])).tolist()
    [0.5, 0.5]
    """
    a, b = inexact("solve", a, b)
    square("solve", a)
    if b.ndim == 1:
        if b.shape[0] != a.shape[-1]:
            raise ValueError(f"linalg.solve: a of shape {a.shape} needs b of shape ({a.shape[-1]},), got {b.shape}.")
        return _solve(a, broadcast_to(b[:, None], (*a.shape[:-1], 1)))[..., 0]
    if b.ndim == 0 or b.shape[-2] != a.shape[-1]:
        hint = ""
        if b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]:
            hint = " For a batch of vectors use solve(a, b[..., None])[..., 0]."
        raise ValueError(
            f"linalg.solve: a of shape {a.shape} needs b of shape [..., {a.shape[-1]}, m], got {b.shape}.{hint}"
        )
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return _solve(broadcast_to(a, (*batch, *a.shape[-2:])), broadcast_to(b, (*batch, *b.shape[-2:])))


@jit
def _solve(a, b):
    """a^-1 b for stacks with equal batch dimensions. One factorisation serves the solution and all its derivatives."""
    factors, _, permutation = lax_linalg.lu(stop_gradient(a))
    rows = broadcast_to(permutation[..., None], b.shape)

    def by_factors(_, b):
        b = take_along_axis(b, rows, axis=-2)
        b = lax_linalg.triangular_solve(factors, b, left_side=True, lower=True, unit_diagonal=True)
        return lax_linalg.triangular_solve(factors, b, left_side=True)

    def by_transposed_factors(_, b):
        b = lax_linalg.triangular_solve(factors, b, left_side=True, transpose_a=True)
        b = lax_linalg.triangular_solve(factors, b, left_side=True, lower=True, transpose_a=True, unit_diagonal=True)
        return take_along_axis(b, argsort(rows, axis=-2), axis=-2)

    return custom_linear_solve(lambda x: a @ x, b, by_factors, by_transposed_factors)


@fused
def inv(a):
    """The inverse of square matrices, ``[..., n, n]``; inf or NaN for singular ones (NumPy raises an error).

    To solve systems use `solve`, which is quicker and more accurate.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.inv(jnp.array([[2., 0.], [0., 4.]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    a = square("inv", inexact_one("inv", a))
    return _solve(a, broadcast_to(eye(a.shape[-1], dtype=a.dtype), a.shape))


def pinv(a, rtol=None, hermitian: bool = False, *, rcond=None):
    """The Moore-Penrose pseudo-inverse, by singular values: ``[..., m, n]`` to ``[..., n, m]``.

    Args:
      a: the matrices.
      rtol: singular values up to ``rtol`` times the largest count as zero; ``10 max(m, n) eps`` by default. ``[...]``.
      hermitian: ``a`` is hermitian, which is faster.
      rcond: the same as ``rtol``.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.pinv(jnp.array([[2., 0.], [0., 0.]])).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    a = inexact_one("pinv", a)
    if a.ndim < 2:
        raise ValueError(f"linalg.pinv needs matrices, an array of shape [..., m, n]; got {a.shape}.")
    if rtol is not None and rcond is not None:
        raise ValueError("pinv: only one of rtol and rcond may be specified.")
    rtol = rcond if rtol is None else rtol
    if rtol is None:
        rtol = 10.0 * max(a.shape[-2:]) * eps_of(a)
    return _pinv(a, convert(asarray(rtol), dtypes.finfo(a.dtype).dtype), bool(hermitian))


@partial(jit, static_argnums=2)
def _pinv(a, rtol, hermitian: bool):
    @custom_jvp
    def pseudo_inverse(a, rtol):
        m, n = a.shape[-2:]
        if 0 in (m, n):
            return zeros((*a.shape[:-2], n, m), a.dtype)
        u, s, vh = svd(a, full_matrices=False, hermitian=hermitian)
        kept = s > rtol[..., None] * max_(s, axis=-1, keepdims=True, initial=0)
        inverse = where(kept, 1 / where(kept, s, 1), 0)
        return adjoint(vh) @ (convert(inverse, u.dtype)[..., None] * adjoint(u))

    @pseudo_inverse.defjvp
    def jvp(primals, tangents):
        """With p = a^+: dp = -p da p + p p^H da^H (1 - a p) + (1 - p a) da^H p^H p.

        Source: Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems", 1973.
        """
        (a, rtol), (da, _) = primals, tangents
        p = pseudo_inverse(a, rtol)
        ph, dah = adjoint(p), adjoint(da)
        if hermitian:  # only the hermitian part is seen
            da = dah = (da + dah) / 2
        return p, p @ ph @ (dah - (dah @ a) @ p) + (dah - p @ (a @ dah)) @ ph @ p - p @ da @ p

    return pseudo_inverse(a, rtol)


def lstsq(a, b, rcond: float | None = None, *, numpy_resid: bool = False):
    """The x of least norm that minimises ``|a x - b|``.

    Args:
      a: ``[m, n]``.
      b: ``[m]`` or ``[m, k]``.
      rcond: singular values below ``rcond`` times the largest count as zero; by default, ``max(m, n) eps``.
      numpy_resid: give the residuals that NumPy gives: none where the rank is below n or m <= n. Not under jit.

    Returns:
      ``(x, residuals, rank, s)``: x ``[n]`` or ``[n, k]``; the squared norms of the columns of b - a x, ``[1]`` or
      ``[k]``; the rank of ``a``; its singular values.

    >>> import addax.numpy as jnp
    >>> x, residuals, rank, s = jnp.linalg.lstsq(jnp.array([[1., 0.], [1., 1.], [1., 2.]]), jnp.array([1., 3., 5.]))
    >>> jnp.allclose(x, jnp.array([1., 2.]), atol=1e-5).item(), rank.item()
    (True, 2)
    """
    a, b = inexact("lstsq", a, b)
    if a.ndim != 2:
        raise TypeError(f"{a.ndim}-dimensional array given. Array must be two-dimensional: lstsq solves one system.")
    if b.ndim not in (1, 2):
        raise TypeError(f"{b.ndim}-dimensional array given. Array must be one or two-dimensional: b of lstsq.")
    if b.shape[0] != a.shape[0]:
        raise ValueError(f"Leading dimensions of input arrays must match: lstsq got {a.shape} and {b.shape}.")
    m, n = a.shape
    x, residuals, rank, s = _least_squares(a, b, rcond)
    if numpy_resid and (m <= n or int(asarray(rank)) < n):
        residuals = empty((0,), s.dtype)
    return x, residuals, rank, s


@jit
def _least_squares(a, b, rcond):
    m, n = a.shape
    x: Any
    columns = b[:, None] if b.ndim == 1 else b
    if 0 in (m, n):
        x, rank = zeros((n, columns.shape[1]), a.dtype), asarray(np.int32(0))
        s = empty((0,), dtypes.finfo(a.dtype).dtype)
    else:
        u, s, vh = svd(a, full_matrices=False)
        limit = eps_of(a) * max(m, n) if rcond is None else where(asarray(rcond) < 0, eps_of(a), rcond)
        kept = (s > 0) & (s >= convert(asarray(limit), s.dtype) * s[0])
        rank = sum_(kept, dtype=np.int32)
        inverse = where(kept, 1 / where(kept, s, 1), 0)
        x = adjoint(vh) @ (convert(inverse, u.dtype)[:, None] * (adjoint(u) @ columns))
    residuals = sum_(abs(columns - a @ x) ** 2, axis=0)
    return (x[:, 0] if b.ndim == 1 else x), residuals, rank, s


def tensorinv(a, ind: int = 2):
    """The tensor t for which ``tensordot(t, tensordot(a, b, k), ind) == b``: the inverse of ``a`` taken as a matrix.

    Args:
      a: an array whose first ``ind`` dimensions have the same total size as the k others.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.tensorinv(jnp.eye(4).reshape(2, 2, 4)).shape
    (4, 2, 2)
    """
    a = array("tensorinv", a)
    if ind <= 0:
        raise ValueError(f"ind must be a positive integer; got {ind=}")
    rows, columns = a.shape[:ind], a.shape[ind:]
    if math.prod(rows) != math.prod(columns):
        raise ValueError(
            "tensorinv is only possible when the product of the first `ind` dimensions equals that of the remaining "
            f"dimensions. got a.shape={a.shape} with {ind=}."
        )
    return inv(a.reshape(math.prod(rows), math.prod(rows))).reshape(*columns, *rows)


def tensorsolve(a, b, axes: tuple[int, ...] | None = None):
    """The tensor x with ``tensordot(a, x, x.ndim) == b``.

    Args:
      a: an array whose first dimensions are the shape of ``b``.
      b: an array.
      axes: dimensions of ``a`` to move to the end first.

    >>> import addax.numpy as jnp
    >>> jnp.linalg.tensorsolve(2 * jnp.eye(4).reshape(2, 2, 4), jnp.ones((2, 2))).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    check_array_like("linalg.tensorsolve", a, b)
    a, b = asarray(as_operand(a)), asarray(as_operand(b))
    if axes is not None:
        a = moveaxis(a, tuple(axes), tuple(range(a.ndim - len(axes), a.ndim)))
    shape = a.shape[b.ndim :]
    if a.shape[: b.ndim] != b.shape or math.prod(shape) != b.size:
        raise ValueError(
            "After moving axes to end, leading shape of a must match shape of b, and the rest have as many elements. "
            f"got a.shape={a.shape}, b.shape={b.shape}"
        )
    return solve(a.reshape(b.size, b.size), b.ravel()).reshape(shape)


__all__ = ["inv", "lstsq", "pinv", "solve", "tensorinv", "tensorsolve"]
