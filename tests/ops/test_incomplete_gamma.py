"""The derivative of the incomplete gamma function, against mpmath's numbers (30 digits, rounded)."""

import numpy as np
import pytest

from addax.ops.incomplete_gamma import gamma_sample_derivative, regularized_gamma_derivative

# a, x, dP/da, and -(dP/da) / (dP/dx)
POINTS = [
    (0.05, 0.3, -0.91771412150725168, 7.6847334012938251),
    (0.5, 0.5, -0.64720035237775388, 1.3373525943353347),
    (0.5, 4.0, -0.016565975346630366, 3.2062683672150201),
    (1.0, 1.0, -0.4317297106348987, 1.1735630272247269),
    (2.0, 1e-08, -9.6717324756027556e-16, 9.6717325723200806e-8),
    (3.0, 80.0, -2.0559578946419241e-31, 3.5597769788823746),
    (7.5, 6.0, -0.1381522199869963, 0.91258735046509768),
    (100.0, 90.0, -0.02461191684397991, 0.94982594980114142),
    (100.0, 130.0, -0.0008101300285622899, 1.1388044458372277),
    (1000.0, 1010.0, -0.011945731337225442, 1.0051509296765343),
]


@pytest.mark.parametrize("a, x, slope, sample_slope", POINTS)
def test_meets_mpmath(a, x, slope, sample_slope):
    np.testing.assert_allclose(regularized_gamma_derivative(np.array(a), np.array(x)), slope, rtol=3e-12)
    np.testing.assert_allclose(gamma_sample_derivative(np.array(a), np.array(x)), sample_slope, rtol=3e-12)


def test_edges():
    a = np.array([1.0, 1.0, 0.0, -1.0, 2.0, np.nan])
    x = np.array([0.0, np.inf, 1.0, 1.0, -1.0, 1.0])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(regularized_gamma_derivative(a, x), [0, 0, np.nan, np.nan, np.nan, np.nan])
