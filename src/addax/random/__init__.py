"""Random numbers from explicit keys: `jax.random` in name, meaning and bits.

>>> import addax.random as jr
>>> key = jr.key(42)
>>> key, subkey = jr.split(key)
>>> noise = jr.normal(subkey, shape=(3, 3))
"""

from addax.random.keys import (
    PRNGKey as PRNGKey,
    bits as bits,
    clone as clone,
    fold_in as fold_in,
    key as key,
    key_data as key_data,
    key_impl as key_impl,
    split as split,
    wrap_key_data as wrap_key_data,
)
from addax.random.samplers import (
    bernoulli as bernoulli,
    categorical as categorical,
    choice as choice,
    exponential as exponential,
    gumbel as gumbel,
    normal as normal,
    permutation as permutation,
    rademacher as rademacher,
    randint as randint,
    truncated_normal as truncated_normal,
    uniform as uniform,
)
