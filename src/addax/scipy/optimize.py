"""Minimisation of functions of vectors: `jax.scipy.optimize` in name and meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.numpy.base import check_array_like
from addax.transforms.autodiff import value_and_grad


class OptimizeResults(NamedTuple):
    """What `minimize` returns.

    Attributes:
      x: the minimum found.
      success: whether the gradient is small there.
      status: 0 for success, 1 if the iterations ran out, 3 if the line search found no step.
      fun, jac: value and gradient at x.
      hess_inv: the approximation of the inverse of the Hessian.
      nfev, njev, nit: evaluations of the function and of its gradient, and iterations.
    """

    x: Any
    success: Any
    status: Any
    fun: Any
    jac: Any
    hess_inv: Any
    nfev: Any
    njev: Any
    nit: Any


def minimize(
    fun: Callable,
    x0,
    args: tuple = (),
    *,
    method: str,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """Find a local minimum of ``fun(x, *args)``, a scalar function of a vector.

    Args:
      fun: differentiable by `addax.grad`.
      x0: where to start, ``[n]``.
      args: further arguments of ``fun``.
      method: ``"BFGS"``.
      tol: the same as ``options["gtol"]``.
      options: ``gtol`` (1e-5): stop when the norm of the gradient is below; ``norm`` (inf): which norm; ``maxiter`` (200
        n); ``line_search_maxiter`` (10).

    Source: Nocedal and Wright, "Numerical optimization", 2nd edition, algorithms 6.1 (BFGS), 3.5 and 3.6 (line search for
    the strong Wolfe conditions).

    >>> import addax.numpy as jnp
    >>> from addax.scipy.optimize import minimize
    >>> result = minimize(lambda x: jnp.sum((x - 3.0) ** 2), jnp.zeros(2), method="BFGS")
    >>> result.x.tolist(), result.success.item()
    ([3.0, 3.0], True)
    """
    if not isinstance(args, tuple):
        raise TypeError(f"args argument to addax.scipy.optimize.minimize must be a tuple, got {args!r}")
    if method.lower() != "bfgs":
        raise ValueError(f"Method {method} not recognized: expected 'BFGS'.")
    check_array_like("minimize", x0)
    x0 = jnp.asarray(x0)
    if x0.ndim != 1:
        raise ValueError(
            f"minimize: x0 must be a vector, got shape {x0.shape}. Use ravel_pytree or reshape for others."
        )
    x0 = x0 if dtypes.issubdtype(x0.dtype, np.floating) else x0.astype(dtypes.to_inexact_dtype(x0.dtype))
    settings: dict[str, Any] = {"gtol": 1e-5, "norm": np.inf, "maxiter": None, "line_search_maxiter": 10}
    given = dict(options or {})
    if tol is not None:
        given.setdefault("gtol", tol)
    unknown = set(given) - set(settings)
    if unknown:
        raise TypeError(f"minimize: unknown options {sorted(unknown)}; BFGS has {sorted(settings)}.")
    settings.update(given)
    return _bfgs(lambda x: fun(x, *args), x0, **settings)


class _State(NamedTuple):
    x: Any
    f: Any
    g: Any
    H: Any
    previous: Any  # the value before the last step
    converged: Any
    failed: Any
    calls: Any
    k: Any


def _bfgs(fun, x0, *, gtol, norm, maxiter, line_search_maxiter) -> OptimizeResults:
    n = x0.shape[0]
    maxiter = 200 * n if maxiter is None else maxiter
    evaluate = value_and_grad(fun)
    f, g = evaluate(x0)
    eye = jnp.eye(n, dtype=x0.dtype)
    small = lambda g: jnp.linalg.norm(g, ord=norm) < gtol  # noqa: E731
    start = _State(
        x0, f, g, eye, f + jnp.linalg.norm(g) / 2, small(g), jnp.asarray(False), jnp.asarray(1), jnp.asarray(0)
    )

    def going(s: _State):
        return ~s.converged & ~s.failed & (s.k < maxiter)

    def step(s: _State) -> _State:
        p = -(s.H @ s.g)
        line = _line_search(evaluate, s.x, p, s.f, s.g, s.previous, line_search_maxiter)
        dx, dg = line.step * p, line.g - s.g
        curvature = jnp.dot(dg, dx)
        usable = curvature > 0
        rho = jnp.where(usable, 1 / jnp.where(usable, curvature, 1), 0)
        # Before the first update, the identity gets the size of the inverse Hessian (Nocedal and Wright, 6.20).
        scale = jnp.where(usable & (s.k == 0), curvature / jnp.where(usable, jnp.dot(dg, dg), 1), 1)
        old = s.H * scale
        Hy = old @ dg
        # (1 - rho s y^T) H (1 - rho y s^T) + rho s s^T, without the matrix products
        H = (
            old
            - rho * (jnp.outer(dx, Hy) + jnp.outer(Hy, dx))
            + (rho * rho * jnp.dot(dg, Hy) + rho) * jnp.outer(dx, dx)
        )
        taken = ~line.failed
        keep = lambda new, old: jnp.where(taken, new, old)  # noqa: E731
        return _State(
            keep(s.x + dx, s.x), keep(line.f, s.f), keep(line.g, s.g), keep(H, s.H), keep(s.f, s.previous),
            taken & small(line.g), line.failed, s.calls + line.calls, s.k + 1,
        )  # fmt: skip

    end = lax.while_loop(going, step, start)
    status = jnp.where(end.converged, 0, jnp.where(end.failed, 3, 1))
    return OptimizeResults(end.x, end.converged, status, end.f, end.g, end.H, end.calls, end.calls, end.k)


class _Line(NamedTuple):
    """The state of a line search: first steps grow until a minimum is bracketed, then [low, high] shrinks."""

    step: Any
    f: Any
    g: Any
    low: Any  # step, value and slope of the better end
    f_low: Any
    d_low: Any
    g_low: Any
    high: Any
    f_high: Any
    d_high: Any
    bracketed: Any
    done: Any
    failed: Any
    calls: Any


def _line_search(evaluate, x, p, f0, g0, previous, maxiter, c1=1e-4, c2=0.9) -> _Line:
    """A step with f(step) <= f0 + c1 step f0' and |f'(step)| <= c2 |f0'|."""
    d0 = jnp.dot(g0, p)
    # The step that would give the same decrease as the last one, if f were linear (Nocedal and Wright, 3.60).
    guess = jnp.where(d0 != 0, 1.01 * 2 * (f0 - previous) / jnp.where(d0 != 0, d0, 1), 1.0)
    first = jnp.where((guess > 0) & (guess <= 1), guess, 1.0).astype(x.dtype)
    zero, eps = jnp.zeros((), x.dtype), float(dtypes.finfo(x.dtype).eps)
    no = jnp.asarray(False)
    start = _Line(first, f0, g0, zero, f0, d0, g0, zero, f0, d0, no, no, no, jnp.asarray(0))

    def going(s: _Line):
        return ~s.done & ~s.failed

    def step(s: _Line) -> _Line:
        t = jnp.where(s.bracketed, _inside(s), s.step)
        f, g = evaluate(x + t * p)
        d = jnp.dot(g, p)
        enough = f <= f0 + c1 * t * d0
        # Near a minimum f no longer tells steps apart, but its slope does (Hager and Zhang, 2005, approximate Wolfe).
        flat = (f <= f0 + eps * abs(f0)) & (d <= (2 * c1 - 1) * d0) & (d >= c2 * d0)
        good = (enough & (abs(d) <= -c2 * d0)) | flat
        worse = ~enough | (f >= s.f_low) | ~(f < np.inf)
        worse = worse & ((s.calls > 0) | ~enough)
        # Growing: a bracket is found if t is worse than the last step, or slopes up.
        opens = ~s.bracketed & (worse | (d >= 0))
        # t becomes the better end, unless it is worse; the other end is the one on the other side of the minimum.
        crosses = jnp.where(s.bracketed, d * (s.high - s.low) >= 0, d >= 0)
        pick = lambda a, b, c: jnp.where(worse, a, jnp.where(crosses, b, c))  # noqa: E731
        high, f_high, d_high = pick(t, s.low, s.high), pick(f, s.f_low, s.f_high), pick(d, s.d_low, s.d_high)
        move = lambda new, old: jnp.where(worse, old, new)  # noqa: E731
        low, f_low, d_low = move(t, s.low), move(f, s.f_low), move(d, s.d_low)
        g_low = jnp.where(worse, s.g_low, g)
        calls = s.calls + 1
        out = calls >= maxiter
        # Out of steps: the better end serves if it decreases f at all.
        usable = (low > 0) & (f_low < f0)
        fallback = out & ~good & usable
        take = lambda now, best: jnp.where(fallback, best, now)  # noqa: E731
        bracketed = s.bracketed | opens
        return _Line(
            jnp.where(good | bracketed, take(t, low), jnp.where(fallback, low, jnp.where(out, t, 2 * t))),
            take(f, f_low), jnp.where(fallback, g_low, g), low, f_low, d_low, g_low, high, f_high, d_high, bracketed,
            good | fallback, out & ~good & ~usable, calls,
        )  # fmt: skip

    return lax.while_loop(going, step, start)


def _inside(s: _Line):
    """Where to look in the bracket: the minimum of the parabola through both values and the slope at the better end."""
    width = s.high - s.low
    bend = s.f_high - s.f_low - s.d_low * width
    at = -s.d_low * width * width / (2 * jnp.where(bend == 0, 1, bend))
    fraction = at / jnp.where(width == 0, 1, width)
    fine = (bend > 0) & (fraction > 0.1) & (fraction < 0.9) & (s.f_high < np.inf)
    return jnp.where(fine, s.low + at, s.low + width / 2)


__all__ = ["OptimizeResults", "minimize"]
