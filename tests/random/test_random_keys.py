"""Making, inspecting and refusing keys; what the samplers say about wrong arguments."""

from __future__ import annotations

import copy
import pickle

import jax
import numpy as np
import pytest

import addax
import addax.numpy as jnp
import addax.random as jr

K = jr.key(0)


def words(k):
    return np.asarray(jr.key_data(k)).tolist()


def test_keys_by_name_dtype_and_words():
    assert words(jr.key(5)) == words(jr.key(5, impl="threefry2x32")) == words(jr.key(5, dtype=jr.key_dtype())) == [0, 5]
    assert jr.key_dtype() == K.dtype
    assert jr.key_impl(K) == jr.key_impl(jr.PRNGKey(0)) == "threefry2x32"
    assert words(jr.wrap_key_data(jr.key_data(jr.key(7)))) == words(jr.key(7))
    assert words(jr.clone(jr.key(7))) == words(jr.key(7))
    assert words(jr.key(-1)) == [0, 2**32 - 1]


def test_legacy_keys_give_the_same_numbers_and_stay_legacy():
    old, new = jr.PRNGKey(3), jr.key(3)
    np.testing.assert_array_equal(np.asarray(jr.normal(old, (4,))), np.asarray(jr.normal(new, (4,))))
    for f in (jr.split, lambda k: jr.fold_in(k, 5), jr.clone):
        assert f(old).dtype == np.uint32
        np.testing.assert_array_equal(np.asarray(f(old)), np.asarray(jr.key_data(f(new))))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: jr.key(1.5), TypeError, "seed must be an integer"),
        (lambda: jr.key(jnp.arange(3)), TypeError, "scalar seed, but was given an array of shape (3,)"),
        (lambda: jr.key(K), TypeError, "Use random.split or fold_in"),
        (lambda: jr.key(0, impl="rbg"), NotImplementedError, "Use 'threefry2x32'"),
        (lambda: jr.key(0, impl="philox4x32"), NotImplementedError, "Use 'threefry2x32'"),
        (lambda: jr.key(0, impl="mersenne"), ValueError, "unrecognized PRNG implementation 'mersenne'"),
        (lambda: jr.key(0, impl="threefry2x32", dtype=jr.key_dtype()), TypeError, "not both"),
        (lambda: jr.normal(0), TypeError, "takes a key made by random.key(seed), got 0"),
        (lambda: jr.normal(jnp.ones(2)), TypeError, "requires a PRNG key"),
        (lambda: jr.normal(jnp.ones(3, "uint32")), TypeError, "trailing shape (2,), got shape (3,)"),
        (lambda: jr.normal(jr.split(K)), ValueError, "normal accepts a single key, but was given a key array of shape (2,)"),
        (lambda: jr.gamma(jr.split(jr.PRNGKey(0)), 1.0), ValueError, "gamma accepts a single key"),
        (lambda: jr.split(jr.split(K)), TypeError, "Use addax.vmap for batching"),
        (lambda: jr.fold_in(K, jnp.arange(3)), TypeError, "accepts a scalar"),
        (lambda: jr.fold_in(K, 1.5), TypeError, "fold_in takes an integer"),
        (lambda: jr.wrap_key_data(jnp.ones(2)), TypeError, "uint32"),
        (lambda: jr.bits(K, (2,), "int8"), ValueError, "unsigned int dtype, got int8"),
    ],
)  # fmt: skip
def test_wrong_keys(call, error, text):
    with pytest.raises(error) as info:
        call()
    assert text in str(info.value)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: jr.uniform(K, (2,), int), ValueError, "dtype argument to `uniform` must be a float dtype, got int32"),
        (lambda: jr.normal(K, (2,), int), ValueError, "must be a float or complex dtype, got int32"),
        (lambda: jr.gamma(K, 1.0, dtype=int), ValueError, "dtype argument to `gamma` must be a float dtype"),
        (lambda: jr.poisson(K, 1.0, dtype=float), ValueError, "dtype argument to `poisson` must be an int dtype"),
        (lambda: jr.geometric(K, 0.5, dtype="float32"), ValueError, "must be an int dtype, got float32"),
        (lambda: jr.randint(K, (2,), 0, 5, float), TypeError, "randint only accepts integer dtypes, got float32"),
        (lambda: jr.uniform(K, (-1,)), ValueError, "non-negative"),
        (lambda: jr.uniform(K, (1.5,)), TypeError, "integer type"),
        (lambda: jr.gamma(K, jnp.ones(3), (2,)), ValueError, "gamma parameter shapes must be broadcast-compatible"),
        (lambda: jr.beta(K, jnp.ones(3), jnp.ones(2)), ValueError, "shapes (3,), (2,) do not broadcast"),
        (lambda: jr.gamma(K, [1.0, 2.0]), TypeError, "convert it with addax.numpy.array first"),
        (lambda: jr.dirichlet(K, 1.0), ValueError, "alpha.ndim >= 1"),
        (lambda: jr.bernoulli(K, mode="x"), ValueError, "expected 'high' or 'low'"),
        (lambda: jr.gumbel(K, mode="x"), ValueError, "valid mode for gumbel got: x"),
        (lambda: jr.categorical(K, jnp.arange(3)), ValueError, "logits must be floats"),
        (lambda: jr.categorical(K, jnp.zeros((2, 3)), shape=(5,)), ValueError, "must end in the batch shape (2,)"),
        (lambda: jr.choice(K, 5, (3, 3), False), ValueError, "larger sample (size 9) than population (size 5)"),
        (lambda: jr.choice(K, 5, (3,), p=jnp.ones(4)), ValueError, "p has shape (4,) and a.shape[axis] is 5"),
        (lambda: jr.choice(K, 2.5), TypeError, "a must be an integer or an array"),
        (lambda: jr.permutation(K, 2.5), TypeError, "x must be an integer or at least 1-dimensional"),
        (lambda: jr.multivariate_normal(K, jnp.ones(3), jnp.eye(2)), ValueError, "(..., n, n) for n=3"),
        (lambda: jr.multivariate_normal(K, jnp.ones(3), jnp.eye(3), method="x"), ValueError, "got 'x'"),
        (lambda: jr.multinomial(K, 10, 1.0), ValueError, "p.ndim >= 1"),
        (lambda: jr.multinomial(K, 10, jnp.ones(3), shape=(5,)), ValueError, "multinomial parameter shapes"),
        (lambda: jr.orthogonal(K, 2.5), TypeError, "n must be a non-negative integer"),
        (lambda: jr.ball(K, 2.5), TypeError, "dimension d must be an integer"),
    ],
)  # fmt: skip
def test_wrong_arguments(call, error, text):
    with pytest.raises(error) as info:
        call()
    assert text in str(info.value), str(info.value)


def test_where_jax_is_wrong_we_are_not():
    assert jr.choice(K, jnp.ones((7, 3)), (0,)).shape == (0, 3)
    assert len(set(np.asarray(jr.weibull_min(K, 1.0, jnp.ones(5))).tolist())) == 5  # JAX: one number for all five
    assert np.isnan(np.asarray(jr.gamma(K, jnp.array([-0.5, -3.0])))).all()
    assert float(jr.binomial(K, jnp.inf, 0.0)) == np.inf  # JAX does not return
    assert int(jr.poisson(K, jnp.inf)) == 2**31 - 1


def test_keys_compare_and_pass_through_transformations():
    assert bool(jr.key(1) == jr.key(1))
    stacked = addax.vmap(jr.key)(jnp.arange(3))
    assert words(stacked) == [words(jr.key(i)) for i in range(3)]
    folded = addax.vmap(jr.fold_in, (None, 0))(K, jnp.arange(3))
    assert words(folded) == [words(jr.fold_in(K, i)) for i in range(3)]
    assert words(addax.jit(lambda k: jr.split(k, (2, 3)))(K)) == words(jr.split(K, (2, 3)))


def test_keys_print_over_their_words_and_are_no_numbers():
    assert repr(jr.key(3)) == str(jr.key(3)) == "Array((), dtype=key<fry>) overlaying:\n[0 3]"
    assert repr(jr.split(jr.key(0))).startswith("Array((2,), dtype=key<fry>) overlaying:\n[[1797259609 2579123966]\n")
    for method in ("item", "tolist", "tobytes"):
        with pytest.raises(TypeError, match=r"random\.key_data"):
            getattr(jr.key(3), method)()


def test_keys_survive_pickling_and_copying():
    for copied in (pickle.loads(pickle.dumps(jr.key(3))), copy.copy(jr.key(3)), copy.deepcopy(jr.key(3))):
        assert copied.dtype == jr.key_dtype() and words(copied) == [0, 3]
    ks = jr.split(K, (2, 3))
    assert words(pickle.loads(pickle.dumps(ks))) == words(ks)


def test_numbers_to_fold_in_are_not_cut_silently():
    """2**33 + 3 would give the key of 3."""
    for n in (-1, 2**32, 2**33 + 3):
        with pytest.raises(OverflowError, match="0 to 2"):
            jr.fold_in(K, n)


def test_bits_are_as_wide_as_integers():
    with addax.enable_x64(True), jax.enable_x64(True):
        got, want = (library.random.bits(library.random.key(3), (3,)) for library in (addax, jax))
        assert got.dtype == want.dtype == np.uint64 and got.tolist() == want.tolist()
    assert addax.random.bits(addax.random.key(3)).dtype == np.uint32
