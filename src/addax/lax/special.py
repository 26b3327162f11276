"""Special functions of float arrays: gamma, error, beta, zeta and Bessel functions."""

from __future__ import annotations

from addax.lax.apply import ArrayLike, apply
from addax.ops import special as ops


def erf(x: ArrayLike):
    """2 / sqrt(pi) times the integral of exp(-s**2) from 0 to x.

    >>> from addax import lax
    >>> round(lax.erf(1.0).item(), 5)
    0.8427
    """
    return apply(ops.erf, x)


def erfc(x: ArrayLike):
    """1 - erf(x), without the cancellation for large x.

    >>> from addax import lax
    >>> round(lax.erfc(1.0).item(), 5)
    0.1573
    """
    return apply(ops.erfc, x)


def erf_inv(x: ArrayLike):
    """The y with erf(y) = x; infinite at -1 and 1, NaN outside.

    >>> from addax import lax
    >>> round(lax.erf_inv(0.5).item(), 5)
    0.47694
    """
    return apply(ops.erf_inv, x)


def lgamma(x: ArrayLike):
    """log|gamma(x)|; inf at 0 and the negative integers.

    >>> from addax import lax
    >>> round(lax.lgamma(5.0).item(), 4)
    3.1781
    """
    return apply(ops.lgamma, x)


def digamma(x: ArrayLike):
    """The derivative of log gamma(x); NaN at 0 and the negative integers.

    >>> from addax import lax
    >>> round(lax.digamma(1.0).item(), 4)
    -0.5772
    """
    return apply(ops.digamma, x)


def polygamma(m: ArrayLike, x: ArrayLike):
    """The m-th derivative of digamma at x, for whole m >= 0; differentiable in x only.

    >>> from addax import lax
    >>> round(lax.polygamma(1.0, 1.0).item(), 4)
    1.6449
    """
    return apply(ops.polygamma, m, x)


def zeta(x: ArrayLike, q: ArrayLike):
    """The Hurwitz zeta function: the sum of (k + q)**-x over k = 0, 1, ..., for x > 1; differentiable in q only.

    >>> from addax import lax
    >>> round(lax.zeta(2.0, 1.0).item(), 4)
    1.6449
    """
    return apply(ops.zeta, x, q)


def igamma(a: ArrayLike, x: ArrayLike):
    """P(a, x), the regularised lower incomplete gamma function: s**(a-1) exp(-s) / gamma(a) integrated from 0 to x.

    >>> from addax import lax
    >>> round(lax.igamma(1.0, 2.0).item(), 4)
    0.8647
    """
    return apply(ops.igamma, a, x)


def igammac(a: ArrayLike, x: ArrayLike):
    """Q(a, x) = 1 - P(a, x), without the cancellation for large x.

    >>> from addax import lax
    >>> round(lax.igammac(1.0, 2.0).item(), 4)
    0.1353
    """
    return apply(ops.igammac, a, x)


def igamma_grad_a(a: ArrayLike, x: ArrayLike):
    """The derivative of `igamma` in a.

    >>> from addax import lax
    >>> round(lax.igamma_grad_a(1.0, 1.0).item(), 4)
    -0.4317
    """
    return apply(ops.igamma_grad_a, a, x)


def random_gamma_grad(a: ArrayLike, x: ArrayLike):
    """The derivative in a of a sample x of the gamma distribution with shape a: -(dP/da) / (dP/dx).

    >>> from addax import lax
    >>> round(lax.random_gamma_grad(1.0, 1.0).item(), 4)
    1.1736
    """
    return apply(ops.random_gamma_grad, a, x)


def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike):
    """The regularised incomplete beta function: the integral of s**(a-1) (1-s)**(b-1) / B(a, b) from 0 to x.

    Differentiable in x only.

    >>> from addax import lax
    >>> round(lax.betainc(2.0, 3.0, 0.5).item(), 4)
    0.6875
    """
    return apply(ops.regularized_incomplete_beta, a, b, x)


def bessel_i0e(x: ArrayLike):
    """exp(-|x|) I0(x), the scaled modified Bessel function of order 0.

    >>> from addax import lax
    >>> lax.bessel_i0e(0.0).item()
    1.0
    """
    return apply(ops.bessel_i0e, x)


def bessel_i1e(x: ArrayLike):
    """exp(-|x|) I1(x), the scaled modified Bessel function of order 1.

    >>> from addax import lax
    >>> lax.bessel_i1e(0.0).item()
    0.0
    """
    return apply(ops.bessel_i1e, x)
