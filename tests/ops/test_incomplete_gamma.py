"""The derivative of the incomplete gamma function, against mpmath's numbers (30 digits, rounded)."""

import numpy as np
import pytest

import addax
from addax import lax
from addax.ops.incomplete_gamma import (
    gamma_sample_derivative,
    gamma_sample_second_derivative,
    regularized_gamma_derivative,
)

# a, x, dP/da, -(dP/da) / (dP/dx), and its derivative in a
POINTS = [
    (0.05, 0.3, -0.91771412150725168, 7.6847334012938251, -146.92596932327287),
    (0.5, 0.5, -0.64720035237775388, 1.3373525943353347, -2.0209723976761604),
    (0.5, 4.0, -0.016565975346630366, 3.2062683672150201, -3.8281293763764305),
    (1.0, 1.0, -0.4317297106348987, 1.1735630272247269, -0.76878225752775028),
    (2.0, 1e-08, -9.6717324756027556e-16, 9.6717325723200806e-8, -4.6383992631944435e-8),
    (3.0, 80.0, -2.0559578946419241e-31, 3.5597769788823746, -0.35973126906404511),
    (7.5, 6.0, -0.1381522199869963, 0.91258735046509768, -0.065852743317173698),
    (100.0, 90.0, -0.02461191684397991, 0.94982594980114142, -0.0048484565364191474),
    (100.0, 130.0, -0.0008101300285622899, 1.1388044458372277, -0.0054639485822530844),
    (1000.0, 1010.0, -0.011945731337225442, 1.0051509296765343, -0.00050190942840419819),
]


@pytest.mark.parametrize("a, x, slope, sample_slope, curve", POINTS)
def test_meets_mpmath(a, x, slope, sample_slope, curve):
    np.testing.assert_allclose(regularized_gamma_derivative(np.array(a), np.array(x)), slope, rtol=3e-12)
    np.testing.assert_allclose(gamma_sample_derivative(np.array(a), np.array(x)), sample_slope, rtol=3e-12)
    np.testing.assert_allclose(gamma_sample_second_derivative(np.array(a), np.array(x)), curve, rtol=1e-11)


def test_edges():
    a = np.array([1.0, 1.0, 0.0, -1.0, 2.0, np.nan])
    x = np.array([0.0, np.inf, 1.0, 1.0, -1.0, 1.0])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(regularized_gamma_derivative(a, x), [0, 0, np.nan, np.nan, np.nan, np.nan])


def test_second_derivatives():
    """Of `igamma` and of samples, in both arguments, which JAX has in forward mode only, or not at all."""
    a, x = (np.array(v) for v in zip(*((p[0], p[1]) for p in POINTS if 0.1 < p[0] < 50 and p[1] > 0.1), strict=True))
    h = 1e-5

    def differences(f):
        return (f(a + h, x) - f(a - h, x)) / (2 * h), (f(a, x + h) - f(a, x - h)) / (2 * h)

    for f, definition in (
        (lax.igamma_grad_a, regularized_gamma_derivative),
        (lax.random_gamma_grad, gamma_sample_derivative),
    ):
        slopes = addax.vmap(addax.grad(f, (0, 1)))(a.astype(np.float32), x.astype(np.float32))
        for got, want in zip(slopes, differences(definition), strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-6)
    ends = addax.vmap(addax.grad(addax.grad(lax.igamma)))(np.float32([2, 2]), np.float32([0, np.inf]))
    np.testing.assert_array_equal(ends, 0)
    assert (
        abs(addax.hessian(lambda a: addax.random.beta(addax.random.key(0), a, 2.0))(2.0) + 0.04107072) < 1e-5
    )  # JAX's
