"""Determinants, and their derivatives also where a matrix is singular."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from addax.core.sizes import is_symbolic
from addax.interpreters.values import broadcast_to, convert
from addax.lax import linalg as lax_linalg
from addax.numpy.choosing import where
from addax.numpy.creation import arange, zeros_like
from addax.numpy.linalg.arguments import adjoint, inexact_one, is_complex, square
from addax.numpy.linalg.systems import solve
from addax.numpy.products import diagonal, trace
from addax.numpy.reductions import prod, sum as sum_
from addax.numpy.taking import take_along_axis
from addax.numpy.transcendental import log
from addax.numpy.ufuncs import sign
from addax.transforms.custom import custom_jvp
from addax.transforms.jit import jit


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


def det(a):
    """The determinant of square matrices, ``[..., n, n]`` to ``[...]``.

    Its derivative is the adjugate, d det(a) = tr(adj(a) da), computed so that it is right for singular matrices too.

    >>> import addax, addax.numpy as jnp
    >>> jnp.linalg.det(jnp.array([[1., 2.], [3., 4.]])).item()
    -2.0
    >>> addax.grad(jnp.linalg.det)(jnp.array([[1., 2.], [2., 4.]])).tolist()
    [[4.0, -2.0], [-2.0, 1.0]]
    """
    a = square("det", inexact_one("det", a))
    n = a.shape[-1]
    if n == 2:
        return a[..., 0, 0] * a[..., 1, 1] - a[..., 0, 1] * a[..., 1, 0]
    if n == 3:
        (x, y, z), (p, q, r), (u, v, w) = ([a[..., i, j] for j in range(3)] for i in range(3))
        return x * q * w + y * r * u + z * p * v - z * q * u - x * r * v - y * p * w
    if not is_symbolic(n) and n < 2:
        return prod(diagonal(a, 0, -2, -1), axis=-1)
    return _eager_det(a)


@custom_jvp
def _det(a):
    factors, pivots, _ = lax_linalg.lu(a)
    return _swap_sign(pivots, a.dtype) * prod(diagonal(factors, 0, -2, -1), axis=-1)


@_det.defjvp
def _det_jvp(primals, tangents):
    """By QR with column pivoting, a P = Q R, whose R has its zeros last.

    adj(a) = s P adj(R) Q^H with s = det(Q) det(P). R being triangular, adj(R) = c R'^-1 diag(d, ..., d, 1), where d is the
    last diagonal element of R, c the product of the others, and R' is R with d replaced by 1. If another element of the
    diagonal is zero too the rank is below n - 1 and adj(a) = 0: c is, and R' gets ones there to stay invertible.
    """
    (a,), (da,) = primals, tangents
    n = a.shape[-1]
    q, r, columns = lax_linalg.qr(a, pivoting=True)
    columns = broadcast_to(columns[..., None, :], a.shape)
    turn = _det(take_along_axis(q, columns, axis=-1))
    pivots = diagonal(r, 0, -2, -1)
    last = pivots[..., -1]
    others = prod(pivots[..., :-1], axis=-1)
    on_diagonal = np.eye(n, dtype=bool)
    replaced = (pivots == 0)[..., None, :] | (np.arange(n) == n - 1)
    invertible = where(on_diagonal & replaced, 1, r)
    rows = where(np.arange(n) == n - 1, 1, last[..., None])
    right = rows[..., None] * (adjoint(q) @ take_along_axis(da, columns, axis=-1))
    inner = trace(lax_linalg.triangular_solve(invertible, right, left_side=True), 0, -2, -1)
    return _det(a), turn * others * inner


def _swap_sign(pivots, dtype):
    """-1 for an odd number of row swaps, else 1."""
    swapped = pivots != arange(pivots.shape[-1], dtype=np.int32)
    return convert(1 - 2 * (sum_(swapped, axis=-1) % 2), dtype)


def slogdet(a, *, method: str | None = None):
    """The sign and the logarithm of the absolute value of the determinant, which neither over- nor underflow.

    Args:
      a: ``[..., n, n]``.
      method: ``"lu"`` (the default) or ``"qr"``.

    Returns:
      ``SlogdetResult(sign, logabsdet)``, each ``[...]``; the sign of a complex determinant is its phase, of a zero one 0
      with logarithm -inf.

    >>> import addax.numpy as jnp
    >>> sign, log = jnp.linalg.slogdet(jnp.diag(jnp.full(100, -1e3)))
    >>> sign.item(), round(log.item(), 2)
    (1.0, 690.78)
    """
    a = square("slogdet", inexact_one("slogdet", a))
    if method in (None, "lu"):
        return SlogdetResult(*_eager_slogdet(a))
    if method == "qr":
        return SlogdetResult(*_eager_slogdet_qr(a))
    raise ValueError(f"Unknown slogdet method {method!r}. Supported methods are 'lu' (`None`), and 'qr'.")


def _log_product(x, factor):
    """The sign and log absolute value of ``factor`` times the product of the last dimension of x."""
    return factor * prod(sign(x), axis=-1), sum_(log(abs(x)), axis=-1)


def _logarithmic_jvp(f):
    """The derivative rule of ``f``, sign and log|det| of a: with z = tr(a^-1 da) it is (i Im z sign, Re z)."""

    def rule(primals, tangents):
        (a,), (da,) = primals, tangents
        sign_, log_ = f(a)
        z = trace(solve(a, da), 0, -2, -1)
        if is_complex(a):
            return (sign_, log_), (sign_ * (z - z.real), z.real)
        return (sign_, log_), (zeros_like(sign_), z)

    return rule


@custom_jvp
def _slogdet(a):
    factors, pivots, _ = lax_linalg.lu(a)
    return _log_product(diagonal(factors, 0, -2, -1), _swap_sign(pivots, a.dtype))


@custom_jvp
def _slogdet_qr(a):
    n = a.shape[-1]
    factors, taus = lax_linalg.geqrf(a)
    # A reflector 1 - tau v v^H has the determinant 1 - tau |v|^2; v has a 1 on the diagonal and the rest below.
    below = where(np.tril(np.ones((n, n), bool), -1), factors, 0)
    lengths = 1 + sum_(abs(below) ** 2, axis=-2)
    turns = 1 - taus * convert(lengths, a.dtype)
    return _log_product(diagonal(factors, 0, -2, -1), prod(sign(turns), axis=-1))


_eager_det, _eager_slogdet, _eager_slogdet_qr = map(jit, (_det, _slogdet, _slogdet_qr))  # one dispatch each
_slogdet.defjvp(_logarithmic_jvp(_slogdet))
_slogdet_qr.defjvp(_logarithmic_jvp(_slogdet_qr))

__all__ = ["SlogdetResult", "det", "slogdet"]
