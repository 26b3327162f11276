"""Activation functions of neural networks. Each is one compiled program when called on arrays."""

from __future__ import annotations

import math

import numpy as np

from addax import lax, numpy as jnp
from addax.core import dtypes
from addax.engines.eager import fused
from addax.nn.normalise import as_float
from addax.numpy.base import as_array, canonical_axis, check_array_like
from addax.transforms.custom import custom_jvp


@custom_jvp
def relu(x):
    """``max(x, 0)``, with derivative 0 at 0.

    >>> import addax, addax.numpy as jnp
    >>> addax.nn.relu(jnp.array([-1.0, 0.0, 2.0])).tolist(), float(addax.grad(addax.nn.relu)(0.0))
    ([0.0, 0.0, 2.0], 0.0)
    """
    return jnp.maximum(x, 0)


@relu.defjvp
def _relu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return relu(x), jnp.where(x > 0, t, jnp.zeros_like(t))


@custom_jvp
def relu6(x):
    """``min(max(x, 0), 6)``, with derivative 0 at 0 and at 6.

    >>> import addax, addax.numpy as jnp
    >>> addax.nn.relu6(jnp.array([-1.0, 3.0, 8.0])).tolist()
    [0.0, 3.0, 6.0]
    """
    return _relu6(x)


@fused
def _relu6(x):
    return jnp.minimum(jnp.maximum(x, 0), 6.0)


@relu6.defjvp
def _relu6_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return relu6(x), jnp.where((x > 0) & (x < 6), t, jnp.zeros_like(t))


def identity(x):
    """``x``."""
    check_array_like("identity", x)
    return jnp.asarray(x)


@fused
def squareplus(x, b=4):
    """``(x + sqrt(x^2 + b)) / 2``: softplus without exponentials."""
    return (as_array(x) + jnp.sqrt(jnp.square(x) + b)) / 2


def softplus(x):
    """``log(1 + exp(x))``."""
    return jnp.logaddexp(x, 0)


@fused
def sparse_plus(x):
    """0 for x <= -1, ``(x + 1)^2 / 4`` between -1 and 1, x above."""
    check_array_like("sparse_plus", x)
    x = as_array(x)
    return jnp.where(x <= -1.0, 0.0, jnp.where(x >= 1.0, x, (x + 1.0) ** 2 / 4))


@fused
def soft_sign(x):
    """``x / (1 + |x|)``."""
    check_array_like("soft_sign", x)
    return as_array(x) / (jnp.abs(x) + 1)


@fused
def sigmoid(x):
    """``1 / (1 + exp(-x))``.

    >>> import addax
    >>> float(addax.nn.sigmoid(0.0))
    0.5
    """
    check_array_like("sigmoid", x)
    x = as_array(x)
    return lax.logistic(x if dtypes.issubdtype(x.dtype, np.inexact) else as_float("sigmoid", x))


@fused
def sparse_sigmoid(x):
    """0 for x <= -1, ``(x + 1) / 2`` between, 1 for x >= 1."""
    check_array_like("sparse_sigmoid", x)
    return 0.5 * jnp.clip(as_array(x) + 1.0, 0.0, 2.0)


@fused
def silu(x):
    """``x sigmoid(x)``, also called swish."""
    return as_array(x) * sigmoid(x)


swish = silu


@fused
def mish(x):
    """``x tanh(softplus(x))``. Source: Misra, "Mish: a self regularized non-monotonic activation function", 2019."""
    return as_array(x) * jnp.tanh(softplus(x))


@fused
def log_sigmoid(x):
    """``log(sigmoid(x)) = -softplus(-x)``."""
    return -softplus(-as_array(x))


@fused
def elu(x, alpha=1.0):
    """``x`` for x > 0, ``alpha (exp(x) - 1)`` otherwise.

    >>> import addax, addax.numpy as jnp
    >>> float(addax.nn.elu(2.0)), round(float(addax.nn.elu(-2.0)), 4)
    (2.0, -0.8647)
    """
    check_array_like("elu", x, alpha)
    x = as_array(x)
    negative = jnp.where(x > 0, 0.0, x)  # keeps exp from overflowing where it is not used
    return jnp.where(x > 0, x, alpha * jnp.expm1(negative))


@fused
def leaky_relu(x, negative_slope=1e-2):
    """``x`` for x >= 0, ``negative_slope x`` otherwise."""
    check_array_like("leaky_relu", x, negative_slope)
    x = as_array(x)
    return jnp.where(x >= 0, x, negative_slope * x)


@fused
def hard_tanh(x):
    """``x`` clipped to [-1, 1]; integers stay integers. Derivative 1 at -1 and at 1."""
    check_array_like("hard_tanh", x)
    x = as_array(x)
    low = x if dtypes.issubdtype(x.dtype, np.unsignedinteger) or x.dtype == np.bool_ else jnp.where(x < -1, -1, x)
    return jnp.where(x > 1, 1, low)


@fused
def celu(x, alpha=1.0):
    """``max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)``, which has a continuous derivative for every alpha."""
    return jnp.maximum(x, 0.0) + alpha * jnp.expm1(jnp.minimum(x, 0.0) / alpha)


@fused
def selu(x):
    """``scale * elu(x, alpha)`` with the constants of Klambauer et al., "Self-normalizing neural networks", 2017."""
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def gelu(x, approximate: bool = True):
    """``x P(Z <= x)`` for a normal Z; by default in the tanh approximation.

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.

    >>> import addax
    >>> round(float(addax.nn.gelu(1.0)), 4), round(float(addax.nn.gelu(1.0, approximate=False)), 4)
    (0.8412, 0.8413)
    """
    return _gelu(x, approximate=bool(approximate))


@fused(static=("approximate",))
def _gelu(x, *, approximate):
    x = as_float("gelu", x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return x * (0.5 * (1.0 + jnp.tanh(inner)))
    return 0.5 * x * lax.erfc(-x * math.sqrt(0.5))


@fused
def hard_sigmoid(x):
    """``relu6(x + 3) / 6``."""
    return relu6(as_array(x) + 3.0) / 6.0


@fused
def hard_silu(x):
    """``x hard_sigmoid(x)``, also called hard swish."""
    return as_array(x) * hard_sigmoid(x)


hard_swish = hard_silu


def glu(x, axis: int = -1):
    """The first half of ``x`` along ``axis`` times the sigmoid of the second.

    Raises:
      ValueError: if the size along ``axis`` is odd.

    >>> import addax, addax.numpy as jnp
    >>> addax.nn.glu(jnp.array([3.0, 0.0])).tolist()
    [1.5]
    """
    check_array_like("glu", x)
    x = as_array(x)
    axis = canonical_axis(axis, x.ndim)
    if x.shape[axis] % 2:
        raise ValueError(f"glu: the size of axis {axis} must be even, got shape {x.shape}")
    return _glu(x, axis=axis)


@fused(static=("axis",))
def _glu(x, *, axis):
    half = x.shape[axis] // 2
    return lax.slice_in_dim(x, 0, half, axis=axis) * sigmoid(lax.slice_in_dim(x, half, 2 * half, axis=axis))


def tanh(x, /):
    """The hyperbolic tangent."""
    return jnp.tanh(x)


@custom_jvp
def log1mexp(x):
    """``log(1 - exp(-x))`` for x > 0, accurate at both ends; NaN for x < 0. Its derivative is ``1 / (exp(x) - 1)``.

    Source: Maechler, "Accurately computing log(1 - exp(-|a|))", 2012.

    >>> import addax
    >>> round(float(addax.nn.log1mexp(1.0)), 4)
    -0.4587
    """
    return _log1mexp(x)


@fused
def _log1mexp(x):
    check_array_like("log1mexp", x)
    x = as_array(x)
    return jnp.where(x < math.log(2), jnp.log(-jnp.expm1(-x)), jnp.log1p(-jnp.exp(-x)))


@log1mexp.defjvp
def _log1mexp_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return log1mexp(x), t / jnp.expm1(x)
