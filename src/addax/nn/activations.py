"""Activation functions of neural networks."""

from __future__ import annotations

import math

import numpy as np

from addax import lax, numpy as jnp
from addax.core.avals import get_aval
from addax.transforms.custom import custom_jvp


def _float(x):
    """``x`` as an inexact array or scalar."""
    dtype = get_aval(x).dtype
    return x if jnp.issubdtype(dtype, np.inexact) else jnp.asarray(x, jnp.promote_types(dtype, np.float32))


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


def identity(x):
    """``x``."""
    return jnp.asarray(x)


def squareplus(x, b=4):
    """``(x + sqrt(x^2 + b)) / 2``."""
    x = _float(x)
    return (x + jnp.sqrt(jnp.square(x) + b)) / 2


def softplus(x):
    """``log(1 + exp(x))``."""
    return jnp.logaddexp(x, 0)


def sparse_plus(x):
    """0 for x <= -1, ``(x + 1)^2 / 4`` between -1 and 1, x above."""
    x = _float(x)
    return jnp.where(x <= -1, 0.0, jnp.where(x >= 1, x, (x + 1) ** 2 / 4))


def soft_sign(x):
    """``x / (1 + |x|)``."""
    x = _float(x)
    return x / (jnp.abs(x) + 1)


def sigmoid(x):
    """``1 / (1 + exp(-x))``.

    >>> import addax
    >>> float(addax.nn.sigmoid(0.0))
    0.5
    """
    return lax.logistic(jnp.asarray(_float(x)))


def sparse_sigmoid(x):
    """0 for x <= -1, ``(x + 1) / 2`` between, 1 for x >= 1."""
    return 0.5 * jnp.clip(_float(x) + 1.0, 0.0, 2.0)


def silu(x):
    """``x sigmoid(x)``, also called swish."""
    x = _float(x)
    return x * sigmoid(x)


swish = silu


def mish(x):
    """``x tanh(softplus(x))``."""
    x = _float(x)
    return x * jnp.tanh(softplus(x))


def log_sigmoid(x):
    """``log(sigmoid(x)) = -softplus(-x)``."""
    return -softplus(-_float(x))


def elu(x, alpha=1.0):
    """``x`` for x > 0, ``alpha (exp(x) - 1)`` otherwise."""
    x = _float(x)
    safe = jnp.where(x > 0, 0.0, x)
    return jnp.where(x > 0, x, alpha * jnp.expm1(safe))


def leaky_relu(x, negative_slope=1e-2):
    """``x`` for x >= 0, ``negative_slope x`` otherwise."""
    x = _float(x)
    return jnp.where(x >= 0, x, negative_slope * x)


def hard_tanh(x):
    """``x`` clipped to [-1, 1]."""
    x = _float(x)
    return jnp.where(x > 1, 1.0, jnp.where(x < -1, -1.0, x))


def celu(x, alpha=1.0):
    """``max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)``."""
    x = _float(x)
    return jnp.maximum(x, 0.0) + alpha * jnp.expm1(jnp.minimum(x, 0.0) / alpha)


def selu(x):
    """``scale * elu(x, alpha)`` with the constants of Klambauer et al., "Self-normalizing neural networks", 2017."""
    return 1.0507009873554804934193349852946 * elu(x, 1.6732632423543772848170429916717)


def gelu(x, approximate: bool = True):
    """``x P(Z <= x)`` for a normal Z; by default in the tanh approximation.

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    x = _float(x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return x * (0.5 * (1.0 + jnp.tanh(inner)))
    return 0.5 * x * lax.erfc(jnp.asarray(-x * math.sqrt(0.5)))


def relu6(x):
    """``min(max(x, 0), 6)``."""
    return jnp.minimum(jnp.maximum(_float(x), 0), 6.0)


def hard_sigmoid(x):
    """``relu6(x + 3) / 6``."""
    return relu6(_float(x) + 3.0) / 6.0


def hard_silu(x):
    """``x hard_sigmoid(x)``, also called hard swish."""
    x = _float(x)
    return x * hard_sigmoid(x)


hard_swish = hard_silu


def glu(x, axis: int = -1):
    """The first half of ``x`` along ``axis`` times the sigmoid of the second."""
    size = x.shape[axis]
    if size % 2:
        raise ValueError(f"glu: the size of axis {axis} must be even, got shape {x.shape}")
    axis = axis % x.ndim
    first = lax.slice_in_dim(x, 0, size // 2, axis=axis)
    second = lax.slice_in_dim(x, size // 2, size, axis=axis)
    return first * sigmoid(second)


def tanh(x):
    """The hyperbolic tangent."""
    return jnp.tanh(x)
