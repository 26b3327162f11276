"""``addax.debug_key_reuse``: a key that is drawn from twice is an error that names both places."""

from __future__ import annotations

import re

import numpy as np
import pytest

import addax
import addax.numpy as jnp
import addax.random as jr
from addax import lax

SINGLE_USES = {
    "categorical": lambda k: jr.categorical(k, jnp.zeros(3)),
    "choice": lambda k: jr.choice(k, 5, (2,), False),
    "dirichlet": lambda k: jr.dirichlet(k, jnp.ones(3)),
    "double_sided_maxwell": lambda k: jr.double_sided_maxwell(k, 0.0, 1.0),
    "multinomial": lambda k: jr.multinomial(k, 3, jnp.ones(3)),
    "normal": lambda k: jr.normal(k, (2,), complex),
    "permutation": lambda k: jr.permutation(k, 4),
    "poisson": lambda k: jr.poisson(k, 3.0),
    "randint": lambda k: jr.randint(k, (2,), 0, 3),
    "split": lambda k: jr.split(k),
    "t": lambda k: jr.t(k, 3.0),
    "wald": lambda k: jr.wald(k, 3.0),
}


@pytest.mark.parametrize("name", SINGLE_USES)
def test_each_sampler_is_one_use(name):
    sample = SINGLE_USES[name]
    with addax.debug_key_reuse(True):
        k = jr.key(0)
        sample(k)
        with pytest.raises(addax.errors.KeyReuseError, match=f"random.{name} drew from it at .*test_key_reuse.py"):
            jr.uniform(k)
        with pytest.raises(addax.errors.KeyReuseError, match=f"random.{name} was given has been used"):
            sample(k)
        sample(jr.clone(k))
        jr.fold_in(k, 3)
        jr.key_data(k)
        sample(jr.key(0))
        with pytest.raises(addax.errors.KeyReuseError):
            addax.jit(lambda k: (sample(k), sample(k)))(jr.key(0))


def test_the_message():
    with addax.debug_key_reuse(True):
        k = jr.key(0)
        jr.normal(k)
        with pytest.raises(addax.errors.KeyReuseError) as info:
            jr.bernoulli(k)
    assert re.match(
        r"the key of type key<fry>\[\] that random.bernoulli was given has been used already: random.normal drew from it "
        r"at .*test_key_reuse.py:\d+:\d+ \(test_the_message\)\. The same numbers would come out where independent ones are "
        r"expected\.\nSplit the key and use each part once: `k1, k2 = random.split\(key\)`\. If the same numbers are meant, "
        r"pass `random.clone\(key\)`\.",
        str(info.value),
    )


def test_it_is_off_by_default_and_does_not_watch_legacy_keys():
    k = jr.key(0)
    jr.normal(k), jr.normal(k)
    with addax.debug_key_reuse(True):
        old = jr.PRNGKey(0)
        np.testing.assert_array_equal(np.asarray(jr.normal(old)), np.asarray(jr.normal(old)))


def test_transformed_functions():
    def twice(k):
        return jr.normal(k) + jr.uniform(k)

    def branches(k):
        return lax.cond(True, lambda: jr.normal(k), lambda: jr.uniform(k))

    def loop(k):
        return lax.scan(lambda c, i: (c + jr.normal(jr.fold_in(k, i)), None), 0.0, jnp.arange(3))[0]

    with addax.debug_key_reuse(True):
        for transformed in (addax.jit(twice), lambda k: addax.vmap(twice)(jr.split(k)), addax.make_jaxpr(twice)):
            with pytest.raises(addax.errors.KeyReuseError):
                transformed(jr.key(0))
        addax.jit(branches)(jr.key(0))
        addax.jit(loop)(jr.key(0))
        addax.grad(lambda a: jr.gamma(jr.key(0), a))(2.0)
        addax.vmap(jr.normal)(jr.split(jr.key(0)))
        addax.nn.initializers.variance_scaling(1.0, "fan_in", "uniform", dtype="complex64")(jr.key(0), (2, 3))
