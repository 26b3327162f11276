"""JAX as the oracle for primitives: the function that applies JAX's primitive of a given name."""

from __future__ import annotations

import warnings

import jax
import jax.extend.core.primitives as jax_primitives
import numpy as np
from jax import lax

# Primitives whose bind takes parameters that the public function fills in, or that have another name there.
_WITH_ACCURACY = "exp exp2 expm1 log log1p logistic sqrt rsqrt cbrt sin cos tan tanh".split()
_PUBLIC = {
    **{name: getattr(lax, name) for name in _WITH_ACCURACY},
    "add_any": jax_primitives.add_jaxvals_p.bind,
    "random_gamma_grad": lax.random_gamma_grad,
    "random_gamma_grad_a": jax.jit(
        lambda a, x: jax.jvp(lambda a: lax.random_gamma_grad(a, x), (a,), (jax.numpy.ones_like(a),))[1]
    ),
    "reduce_precision": lax.reduce_precision,
    "mulhi": getattr(lax, "mulhi", None),
    "clamp": lax.clamp,
    "round": lambda x, rounding_method: lax.round(x, lax.RoundingMethod(rounding_method)),
}


def oracle(name: str):
    """The function of JAX that applies its primitive ``name``, or None if it has none."""
    if name in _PUBLIC:
        return _PUBLIC[name]
    p = getattr(jax_primitives, f"{name}_p", None)
    return None if p is None else p.bind


def apply_oracle(name: str, arrays, params) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(oracle(name)(*map(jax.numpy.asarray, arrays), **params))
