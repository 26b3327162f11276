"""Iterative solvers of A x = b for pytrees and functions: `jax.scipy.sparse.linalg` in name and meaning.

Solutions are differentiated by the equation they solve (`lax.custom_linear_solve`), not through the iterations.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from addax import lax, numpy as jnp, tree
from addax.core import dtypes
from addax.core.avals import get_aval
from addax.numpy.base import check_array_like, is_array_like

_add, _sub = partial(tree.map, operator.add), partial(tree.map, operator.sub)


def _scale(a, x):
    return tree.map(lambda v: a * v, x)


def _dot(x, y) -> Any:
    """The sum of conj(x) y over all leaves."""
    return sum(jnp.vdot(u, v, precision="highest") for u, v in zip(tree.leaves(x), tree.leaves(y), strict=True))


def _norm2(x) -> Any:
    """|x|^2, real."""
    return sum(jnp.sum(abs(v) ** 2) for v in tree.leaves(x))


def _function(name: str, f) -> Callable[..., Any]:
    if callable(f):
        return f
    if is_array_like(f):
        if np.ndim(f) != 2 or np.shape(f)[0] != np.shape(f)[1]:
            raise ValueError(f"{name} must be a square matrix, but has shape: {np.shape(f)}")
        matrix = jnp.asarray(f)
        return lambda x: matrix @ x
    raise TypeError(f"{name} must be either a function or an array: {f}")


def _identity(x):
    return x


def _prepare(name: str, A, b, x0, M):
    for leaf in tree.leaves(b):
        check_array_like(name, leaf)
    b = tree.map(lambda v: _inexact(jnp.asarray(v)), b)
    x0 = tree.map(jnp.zeros_like, b) if x0 is None else tree.map(lambda v: _inexact(jnp.asarray(v)), x0)
    if tree.structure(x0) != tree.structure(b):
        raise ValueError(
            f"{name}: x0 and b must have matching tree structure: {tree.structure(x0)} vs {tree.structure(b)}"
        )
    shapes = [[get_aval(v).shape for v in tree.leaves(t)] for t in (x0, b)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{name}: arrays in x0 and b must have matching shapes: {shapes[0]} vs {shapes[1]}")
    common = dtypes.result_type(*tree.leaves(b), *tree.leaves(x0))
    b, x0 = (tree.map(lambda v: v.astype(common), t) for t in (b, x0))
    return _function("A", A), b, x0, _identity if M is None else _function("M", M)


def _inexact(x):
    return x if dtypes.issubdtype(x.dtype, np.inexact) else x.astype(dtypes.to_inexact_dtype(x.dtype))


def _solved(name, solver, A, b, x0, *, tol, atol, maxiter, M, symmetric: bool):
    A, b, x0, M = _prepare(name, A, b, x0, M)
    size = sum(v.size for v in tree.leaves(b))
    maxiter = 10 * size if maxiter is None else maxiter
    x0 = tree.map(lax.stop_gradient, x0)

    def run(A, b):
        bound = jnp.maximum(tol**2 * _norm2(b), atol**2)
        return solver(A, b, x0, bound, maxiter, M)

    real = all(dtypes.issubdtype(v.dtype, np.floating) for v in tree.leaves(b))
    return lax.custom_linear_solve(A, b, run, run, symmetric=symmetric and real), None


def cg(A, b, x0=None, *, tol=1e-5, atol=0.0, maxiter=None, M=None):
    """Solve A x = b by conjugate gradients, for hermitian positive definite A.

    Args:
      A: a function of pytrees like ``b``, linear, or a matrix.
      b: a pytree of arrays.
      x0: where to start; zeros by default.
      tol, atol: stop when ``|b - A x| <= max(tol |b|, atol)``.
      maxiter: stop after so many steps; ten times the number of unknowns by default.
      M: a preconditioner, an approximation of the inverse of A: a function or a matrix.

    Returns:
      ``(x, None)``.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.sparse.linalg import cg
    >>> x, _ = cg(lambda x: 2 * x, jnp.array([2., 4.]))
    >>> x.tolist()
    [1.0, 2.0]
    """
    return _solved("cg", _cg, A, b, x0, tol=tol, atol=atol, maxiter=maxiter, M=M, symmetric=True)


def _cg(A, b, x0, bound, maxiter, M):
    def going(state):
        _, r, _, _, k = state
        return (_norm2(r) > bound) & (k < maxiter)

    def step(state):
        x, r, p, gamma, k = state
        Ap = A(p)
        alpha = gamma / _dot(p, Ap).real.astype(gamma.dtype)
        x, r = _add(x, _scale(alpha, p)), _sub(r, _scale(alpha, Ap))
        z = M(r)
        new = _dot(r, z).real.astype(gamma.dtype)
        return x, r, _add(z, _scale(new / gamma, p)), new, k + 1

    r = _sub(b, A(x0))
    z = M(r)
    return lax.while_loop(going, step, (x0, r, z, _dot(r, z).real, jnp.asarray(0)))[0]


def bicgstab(A, b, x0=None, *, tol=1e-5, atol=0.0, maxiter=None, M=None):
    """Solve A x = b by stabilised bi-conjugate gradients (van der Vorst, 1992), for any A. Arguments as for `cg`.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.sparse.linalg import bicgstab
    >>> x, _ = bicgstab(jnp.array([[2., 1.], [0., 4.]]), jnp.array([4., 8.]))
    >>> jnp.allclose(x, jnp.array([1., 2.]), atol=1e-4).item()
    True
    """
    return _solved("bicgstab", _bicgstab, A, b, x0, tol=tol, atol=atol, maxiter=maxiter, M=M, symmetric=False)


def _bicgstab(A, b, x0, bound, maxiter, M):
    def going(state):
        _, r, *_, broken, k = state
        return (_norm2(r) > bound) & (k < maxiter) & ~broken

    def step(state):
        x, r, shadow, p, q, rho, alpha, omega, _, k = state
        new_rho = _dot(shadow, r)
        p = _add(r, _scale(new_rho / rho * (alpha / omega), _sub(p, _scale(omega, q))))
        p_hat = M(p)
        q = A(p_hat)
        alpha = new_rho / _dot(shadow, q)
        s = _sub(r, _scale(alpha, q))
        early = _norm2(s) <= bound
        s_hat = M(s)
        t = A(s_hat)
        omega = _dot(t, s) / _dot(t, t)
        half = _add(x, _scale(alpha, p_hat))
        full = _add(half, _scale(omega, s_hat))
        choose = partial(tree.map, lambda a, b: jnp.where(early, a, b))
        x, r = choose(half, full), choose(s, _sub(s, _scale(omega, t)))
        broken = (omega == 0) | (alpha == 0) | ~(abs(omega) < np.inf) | ~(abs(alpha) < np.inf)
        # A step that broke down is not taken.
        bad = ~(_norm2(x) < np.inf)
        x, r = (
            tree.map(lambda new, old: jnp.where(bad, old, new), new, old) for new, old in ((x, state[0]), (r, state[1]))
        )
        return x, r, shadow, p, q, new_rho, alpha, omega, broken | bad, k + 1

    r = _sub(b, A(x0))
    one = jnp.ones((), dtypes.result_type(*tree.leaves(b)))
    state = (x0, r, r, r, tree.map(jnp.zeros_like, r), one, one, one, jnp.asarray(False), jnp.asarray(0))
    return lax.while_loop(going, step, state)[0]


def gmres(A, b, x0=None, *, tol=1e-5, atol=0.0, restart=20, maxiter=None, M=None, solve_method="batched"):
    """Solve A x = b by the generalised minimal residual method, restarted (Saad and Schultz, 1986), for any A.

    Args:
      restart: the dimension of the Krylov space of one cycle.
      maxiter: stop after so many cycles.
      solve_method: ``"batched"`` or ``"incremental"``: how JAX solves the small least-squares problem; here both are the
        same, a least-squares solution at the end of each cycle.

    The other arguments are those of `cg`.

    >>> import addax.numpy as jnp
    >>> from addax.scipy.sparse.linalg import gmres
    >>> x, _ = gmres(jnp.array([[2., 1.], [0., 4.]]), jnp.array([4., 8.]))
    >>> jnp.allclose(x, jnp.array([1., 2.]), atol=1e-4).item()
    True
    """
    if solve_method not in ("batched", "incremental"):
        raise ValueError(f"invalid solve_method {solve_method}, must be either 'incremental' or 'batched'")
    size = sum(np.size(v) if not hasattr(v, "size") else v.size for v in tree.leaves(b))
    solver = partial(_gmres, restart=max(1, min(int(restart), size)))
    return _solved("gmres", solver, A, b, x0, tol=tol, atol=atol, maxiter=maxiter, M=M, symmetric=False)


def _gmres(A, b, x0, bound, maxiter, M, *, restart):
    leaves, structure = tree.flatten(b)
    shapes, sizes = [v.shape for v in leaves], [v.size for v in leaves]
    cuts = np.cumsum(sizes)[:-1].tolist()

    def flat(x):
        return jnp.concatenate([v.ravel() for v in tree.leaves(x)])

    def unflat(v):
        return structure.unflatten([p.reshape(s) for p, s in zip(jnp.split(v, cuts), shapes, strict=True)])

    def apply(v):
        return flat(M(A(unflat(v))))

    def residual(x):
        return flat(b) - flat(A(unflat(x)))

    def going(state):
        x, k = state
        r = residual(x)
        return (jnp.sum(abs(r) ** 2) > bound) & (k < maxiter)

    def cycle(state):
        x, k = state
        r = flat(M(unflat(residual(x))))
        beta = jnp.linalg.norm(r)
        n = r.shape[0]
        basis = jnp.zeros((restart + 1, n), r.dtype).at[0].set(r / jnp.where(beta == 0, 1, beta).astype(r.dtype))
        H = jnp.zeros((restart + 1, restart), r.dtype)

        def arnoldi(j, carry):
            basis, H = carry
            w = apply(basis[j])
            before = jnp.linalg.norm(w)
            column = jnp.zeros(restart + 1, r.dtype)
            for _ in range(2):  # the second pass removes what rounding left
                h = basis.conj() @ w
                w = w - h @ basis
                column = column + h
            length = jnp.linalg.norm(w)
            done = length <= 1e-6 * before if r.dtype.itemsize <= 8 else length <= 1e-14 * before
            length = jnp.where(done, 0, length)
            unit = jnp.where(done, 0, w / jnp.where(length == 0, 1, length).astype(r.dtype)).astype(r.dtype)
            column = column.at[j + 1].set(length.astype(r.dtype))
            return basis.at[j + 1].set(unit), H.at[:, j].set(column)

        basis, H = lax.fori_loop(0, restart, arnoldi, (basis, H))
        rhs = jnp.zeros(restart + 1, r.dtype).at[0].set(beta.astype(r.dtype))
        y = jnp.linalg.lstsq(H, rhs)[0]
        return x + y @ basis[:-1], k + 1

    x, _ = lax.while_loop(going, cycle, (flat(x0), jnp.asarray(0)))
    return unflat(x)


__all__ = ["bicgstab", "cg", "gmres"]
