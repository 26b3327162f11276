"""Special functions, of NumPy-like arrays: `jax.scipy.special` in name and meaning.

Integers are promoted to floats and arguments broadcast. All can be compiled, batched and differentiated (where a
derivative with respect to a parameter is not known, that is said, and an error is raised or JAX's convention holds).
"""

from addax.scipy.special.bessel import (
    bessel_jn as bessel_jn,
    i0 as i0,
    i0e as i0e,
    i1 as i1,
    i1e as i1e,
    sph_harm_y as sph_harm_y,
)
from addax.scipy.special.entropies import (
    boxcox as boxcox,
    boxcox1p as boxcox1p,
    entr as entr,
    expit as expit,
    kl_div as kl_div,
    log_softmax as log_softmax,
    logit as logit,
    logsumexp as logsumexp,
    rel_entr as rel_entr,
    softmax as softmax,
    xlog1py as xlog1py,
    xlogy as xlogy,
)
from addax.scipy.special.errors import (
    dawsn as dawsn,
    erf as erf,
    erfc as erfc,
    erfcx as erfcx,
    erfinv as erfinv,
    fresnel as fresnel,
    log_ndtr as log_ndtr,
    ndtr as ndtr,
    ndtri as ndtri,
    owens_t as owens_t,
    wofz as wofz,
)
from addax.scipy.special.gammas import (
    bernoulli as bernoulli,
    beta as beta,
    betainc as betainc,
    betaln as betaln,
    comb as comb,
    digamma as digamma,
    factorial as factorial,
    gamma as gamma,
    gammainc as gammainc,
    gammaincc as gammaincc,
    gammaln as gammaln,
    gammasgn as gammasgn,
    loggamma as loggamma,
    multigammaln as multigammaln,
    poch as poch,
    polygamma as polygamma,
    zeta as zeta,
)
from addax.scipy.special.integrals import (
    exp1 as exp1,
    expi as expi,
    expn as expn,
    hyp1f1 as hyp1f1,
    hyp2f1 as hyp2f1,
    sici as sici,
    spence as spence,
)
