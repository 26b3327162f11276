"""Distributions and statistics: `jax.scipy.stats` in name and meaning.

Each distribution is an object whose methods take the variable, the shape parameters, ``loc`` and ``scale``:
``stats.norm.logpdf(x, loc=0, scale=1)``, ``stats.beta.cdf(x, a, b)``.
"""

import sys

from addax.scipy.stats.continuous import (
    beta as beta,
    cauchy as cauchy,
    chi2 as chi2,
    expon as expon,
    gamma as gamma,
    gennorm as gennorm,
    gumbel_l as gumbel_l,
    gumbel_r as gumbel_r,
    laplace as laplace,
    logistic as logistic,
    norm as norm,
    pareto as pareto,
    t as t,
    truncnorm as truncnorm,
    uniform as uniform,
    vonmises as vonmises,
    wrapcauchy as wrapcauchy,
)
from addax.scipy.stats.discrete import (
    bernoulli as bernoulli,
    betabinom as betabinom,
    binom as binom,
    geom as geom,
    nbinom as nbinom,
    poisson as poisson,
)
from addax.scipy.stats.kde import gaussian_kde as gaussian_kde
from addax.scipy.stats.multivariate import (
    dirichlet as dirichlet,
    multinomial as multinomial,
    multivariate_normal as multivariate_normal,
)
from addax.scipy.stats.summaries import mode as mode, rankdata as rankdata, sem as sem

# Each distribution is a module in JAX, and programs import it so: ``import jax.scipy.stats.norm as norm``.
for _name, _value in list(globals().items()):
    if hasattr(_value, "logpdf") or hasattr(_value, "logpmf"):
        sys.modules[f"{__name__}.{_name}"] = _value  # type: ignore[assignment]
