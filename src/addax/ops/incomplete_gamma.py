"""Derivatives of the regularised lower incomplete gamma function P(a, x) with respect to a, in NumPy.

SciPy has P and its complement Q, but not their derivative in a, which samples of gamma distributions need (Figurnov,
Mohamed and Mnih, "Implicit reparameterization gradients", 2018). Two expansions are differentiated term by term, in
float64 (DLMF 8.7.1 and 8.9.2):

* for x <= 1 or x <= a, the power series P = x**a e**-x / gamma(a+1) * sum_n x**n / ((a+1)...(a+n)), all terms positive;
* elsewhere, the continued fraction of Q = 1 - P, by its convergents p_k / q_k.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

MAX_TERMS = 20_000  # about 10 sqrt(a) terms are needed near x = a


def regularized_gamma_derivative(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dP/da (a, x). NaN unless a > 0 and x >= 0; 0 at x = 0 and x = inf."""
    log_scale, slope = _scaled_derivative(a, x)
    return np.exp(log_scale) * slope


def gamma_sample_derivative(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx/da of a sample x of the gamma distribution with shape a: -(dP/da) / (dP/dx), without leaving the log scale."""
    # log_scale is a log x - x - lgamma(a + [0 or 1]); the density is exp(log_scale) / x, times a for the series.
    log_scale, slope = _scaled_derivative(a, x)
    a, x = _operands(a, x)
    log_density = (a - 1) * np.log(x) - x - _special().loggamma(a)
    return np.where(x == 0, 0.0, -np.exp(log_scale - log_density) * slope)


def gamma_sample_second_derivative(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """d/da of `gamma_sample_derivative`, by a step so small along the imaginary axis that nothing is rounded away
    (Squire and Trapp, "Using complex variables to estimate derivatives of real functions", 1998)."""
    step = 1e-30
    value: Any = gamma_sample_derivative(np.asarray(a, np.float64) + 1j * step, x)
    return np.where(np.isnan(value), np.nan, value.imag / step)


def _operands(a, x) -> Any:
    a = np.asarray(a)
    return np.broadcast_arrays(a if a.dtype.kind == "c" else a.astype(np.float64), np.asarray(x, np.float64))


def _special():
    return importlib.import_module("scipy.special")


def _scaled_derivative(a, x):
    """``(s, d)`` with dP/da = exp(s) d. Both are analytic in a, which may be complex."""
    a, x = _operands(a, x)
    shape = a.shape
    a, x = a.ravel(), x.ravel()
    log_scale, slope = np.zeros(a.shape, a.dtype), np.full(a.shape, np.nan, a.dtype)
    valid = (a.real > 0) & (x >= 0)
    slope[valid & ((x == 0) | np.isinf(x))] = 0.0
    inside = valid & (x > 0) & np.isfinite(x) & np.isfinite(a)
    series = inside & ((x <= 1) | (x <= a.real))
    for chosen, expansion in ((series, _series), (inside & ~series, _fraction)):
        if chosen.any():
            log_scale[chosen], slope[chosen] = expansion(a[chosen], x[chosen])
    return log_scale.reshape(shape), slope.reshape(shape)


def _series(a, x):
    special = _special()
    term, total = np.ones_like(a), np.ones_like(a)
    d_log_term, d_total = np.zeros_like(a), np.zeros_like(a)
    for n in range(1, MAX_TERMS):
        term = term * x / (a + n)
        d_log_term = d_log_term - 1 / (a + n)
        total = total + term
        d_total = d_total + term * d_log_term
        if np.all(np.abs(term * d_log_term) <= 1e-17 * np.abs(d_total)):
            break
    log_scale = a * np.log(x) - x - special.loggamma(a + 1)
    return log_scale, total * (np.log(x) - special.psi(a + 1)) + d_total


def _fraction(a, x):
    # Convergents of e**x x**-a gamma(a) Q(a, x), with p' and q' their derivatives in a (y' = -1 throughout).
    special = _special()
    y = 1 - a
    z = x + y + 1
    p0, q0, p1, q1 = np.ones_like(x), x, x + 1, z * x
    dp0, dq0, dp1, dq1 = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a), -x
    value, slope = p1 / q1, (dp1 - p1 / q1 * dq1) / q1
    # An element is final once it has converged: p' / q and p q' / q**2 grow with n, and their difference loses digits.
    going = np.ones(a.shape, bool)
    for n in range(1, MAX_TERMS):
        y, z = y + 1, z + 2
        w = y * n  # w' = -n
        p2, q2 = p1 * z - p0 * w, q1 * z - q0 * w
        dp2 = dp1 * z - p1 - dp0 * w + p0 * n
        dq2 = dq1 * z - q1 - dq0 * w + q0 * n
        new_value = p2 / q2
        new_slope = (dp2 - new_value * dq2) / q2
        change = np.maximum(np.abs((new_slope - slope) / new_slope), np.abs((new_value - value) / new_value))
        value, slope = np.where(going, new_value, value), np.where(going, new_slope, slope)
        going &= change > 1e-15
        if not going.any():
            break
        scale = 1 / np.maximum(np.abs(q2), 1e-290)  # the convergents grow like factorials
        p0, q0, p1, q1 = p1 * scale, q1 * scale, p2 * scale, q2 * scale
        dp0, dq0, dp1, dq1 = dp1 * scale, dq1 * scale, dp2 * scale, dq2 * scale
    log_scale = a * np.log(x) - x - special.loggamma(a)
    return log_scale, -(value * (np.log(x) - special.psi(a)) + slope)
