"""Random numbers from explicit keys: `jax.random` in name, meaning and bits.

>>> import addax.random as jr
>>> key = jr.key(42)
>>> key, subkey = jr.split(key)
>>> noise = jr.normal(subkey, shape=(3, 3))

The samplers that are made of loops or matrix decompositions, and the rarer distributions, are loaded on first use.
"""

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING

from addax.random.keys import (
    PRNGKey as PRNGKey,
    bits as bits,
    clone as clone,
    fold_in as fold_in,
    key as key,
    key_data as key_data,
    key_dtype as key_dtype,
    key_impl as key_impl,
    split as split,
    wrap_key_data as wrap_key_data,
)
from addax.random.picking import categorical as categorical, choice as choice, permutation as permutation
from addax.random.samplers import (
    bernoulli as bernoulli,
    exponential as exponential,
    gumbel as gumbel,
    normal as normal,
    rademacher as rademacher,
    randint as randint,
    truncated_normal as truncated_normal,
    uniform as uniform,
)

_LAZY_NAMES = {
    "addax.random.continuous": (
        "cauchy", "double_sided_maxwell", "geometric", "laplace", "logistic", "lognormal", "maxwell", "pareto",
        "rayleigh", "triangular", "wald", "weibull_min",
    ),
    "addax.random.counts": ("binomial", "multinomial", "poisson"),
    "addax.random.gamma_family": (
        "ball", "beta", "chisquare", "dirichlet", "f", "gamma", "generalized_normal", "loggamma", "t",
    ),
    "addax.random.multivariate": ("multivariate_normal", "orthogonal"),
}  # fmt: skip

if _TYPE_CHECKING:
    from addax.random.continuous import (
        cauchy as cauchy,
        double_sided_maxwell as double_sided_maxwell,
        geometric as geometric,
        laplace as laplace,
        logistic as logistic,
        lognormal as lognormal,
        maxwell as maxwell,
        pareto as pareto,
        rayleigh as rayleigh,
        triangular as triangular,
        wald as wald,
        weibull_min as weibull_min,
    )
    from addax.random.counts import binomial as binomial, multinomial as multinomial, poisson as poisson
    from addax.random.gamma_family import (
        ball as ball,
        beta as beta,
        chisquare as chisquare,
        dirichlet as dirichlet,
        f as f,
        gamma as gamma,
        generalized_normal as generalized_normal,
        loggamma as loggamma,
        t as t,
    )
    from addax.random.multivariate import multivariate_normal as multivariate_normal, orthogonal as orthogonal


def __getattr__(name: str):
    for module, names in _LAZY_NAMES.items():
        if name in names:
            found = _importlib.import_module(module)
            globals().update({n: getattr(found, n) for n in names})
            return globals()[name]
    raise AttributeError(f"module 'addax.random' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(n for names in _LAZY_NAMES.values() for n in names)})
