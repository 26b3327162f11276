"""Random bits: bit for bit those of JAX, whatever the shape, the width and the batching."""

from __future__ import annotations

import itertools

import jax
import jax.extend.random
import numpy as np
import pytest

import addax.ops.random_bits as ops
from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.interpreters.values import Axis

FRY = ops.THREEFRY


def oracle_key(words):
    return jax.random.wrap_key_data(jax.numpy.asarray(words, "uint32"))


def oracle_words(keys):
    return np.asarray(jax.random.key_data(keys))


def key_array(rng, shape):
    return np.asarray(rng.integers(0, 2**64, shape, dtype=np.uint64))


@pytest.mark.parametrize("seed", [0, 1, 42, -1, 2**31 - 1, -(2**31)])
def test_seeds_are_keys(seed):
    got = ops.words(ops.random_seed.reference(np.asarray(seed, np.int32), impl=FRY))
    np.testing.assert_array_equal(got, oracle_words(jax.random.key(np.int32(seed))))


@pytest.mark.parametrize("seed", [2**40 + 5, -1, 2**63 - 1])
def test_seeds_of_64_bits_fill_both_words(seed):
    with jax.enable_x64(True):
        want = oracle_words(jax.random.key(seed))
    np.testing.assert_array_equal(ops.words(ops.random_seed.reference(np.asarray(seed, np.int64), impl=FRY)), want)


def test_the_split_everyone_knows():
    keys = ops.random_split.reference(ops.random_seed.reference(np.asarray(0), impl=FRY), shape=(2,))
    np.testing.assert_array_equal(ops.words(keys), [[1797259609, 2579123966], [928981903, 3453687069]])


@pytest.mark.parametrize("shape", [(), (1,), (2,), (5,), (2, 3), (0,)])
def test_split(shape):
    key = key_array(np.random.default_rng(0), ())
    want = oracle_words(jax.random.split(oracle_key(ops.words(key)), shape))
    np.testing.assert_array_equal(ops.words(ops.random_split.reference(key, shape=shape)), want)


@pytest.mark.parametrize("data", [0, 1, 7, 2**32 - 1])
def test_fold_in(data):
    key = key_array(np.random.default_rng(1), ())
    want = oracle_words(jax.random.fold_in(oracle_key(ops.words(key)), data))
    np.testing.assert_array_equal(ops.words(ops.random_fold_in.reference(key, np.asarray(data, np.uint32))), want)


@pytest.mark.parametrize("width", ops.BIT_WIDTHS)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0, 2), (1025,)])
def test_bits(width, shape):
    key = key_array(np.random.default_rng(2), ())
    with jax.enable_x64(True):
        want = np.asarray(jax.random.bits(oracle_key(ops.words(key)), shape, f"uint{width}"))
    got = ops.random_bits.reference(key, bit_width=width, shape=shape)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def test_arrays_of_keys_map_over_their_keys():
    keys = key_array(np.random.default_rng(3), (2, 3))
    split = ops.random_split.reference(keys, shape=(4,))
    bits = ops.random_bits.reference(keys, bit_width=32, shape=(5,))
    folded = ops.random_fold_in.reference(keys, np.full((2, 3), 9, np.uint32))
    assert (split.shape, bits.shape, folded.shape) == ((2, 3, 4), (2, 3, 5), (2, 3))
    for i in np.ndindex(2, 3):
        np.testing.assert_array_equal(split[i], ops.random_split.reference(keys[i], shape=(4,)))
        np.testing.assert_array_equal(bits[i], ops.random_bits.reference(keys[i], bit_width=32, shape=(5,)))
        np.testing.assert_array_equal(folded[i], ops.random_fold_in.reference(keys[i], np.uint32(9)))


def test_a_part_does_not_depend_on_the_whole():
    key = key_array(np.random.default_rng(4), ())
    whole = ops.random_bits.reference(key, bit_width=32, shape=(100,))
    np.testing.assert_array_equal(ops.random_bits.reference(key, bit_width=32, shape=(10,)), whole[:10])


def test_wrap_and_unwrap_are_inverse():
    data = np.random.default_rng(5).integers(0, 2**32, (3, 2), dtype=np.uint32)
    keys = ops.random_wrap.reference(data, impl=FRY)
    assert keys.shape == (3,)
    np.testing.assert_array_equal(ops.random_unwrap.reference(keys), data)


def test_the_hash():
    rng = np.random.default_rng(6)
    k, x = rng.integers(0, 2**32, 2, dtype=np.uint32), rng.integers(0, 2**32, 10, dtype=np.uint32)
    want = np.asarray(jax.extend.random.threefry_2x32(jax.numpy.asarray(k), jax.numpy.asarray(x)))
    got = ops.threefry2x32.reference(k[0], k[1], x[:5], x[5:])
    np.testing.assert_array_equal(np.concatenate(got), want)


# --- Batching: keys, data and counters, any of them ---


def stacked(primitive, args, dims, size, params):
    rows = []
    for i in range(size):
        row = primitive.reference(
            *(a if d is None else np.take(a, i, d) for a, d in zip(args, dims, strict=True)), **params
        )
        rows.append(row if primitive.multiple_results else [row])
    return rows


@pytest.mark.parametrize(
    "name, params, dim",
    [
        ("random_split", {"shape": (2,)}, 1), ("random_bits", {"bit_width": 16, "shape": (3,)}, 1),
        ("random_unwrap", {}, 0), ("random_clone", {}, 1), ("random_seed", {"impl": FRY}, 0),
    ],
)  # fmt: skip
def test_batching_of_maps_over_keys(name, params, dim, bind_in_numpy):
    rng = np.random.default_rng(7)
    x = rng.integers(0, 99, (3, 3)) if name == "random_seed" else key_array(rng, (3, 3))
    p = getattr(ops, name)
    out, out_dim = p.batch(Axis(3), (x,), (dim,), **params)
    want = np.stack([r[0] for r in stacked(p, (x,), (dim,), 3, params)], out_dim)
    np.testing.assert_array_equal(np.asarray(out), want)


@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0), (1, 0)])
def test_batching_fold_in(dims, bind_in_numpy):
    rng = np.random.default_rng(8)
    keys = key_array(rng, (3,) if dims[0] == 0 else (2, 3) if dims[0] else ())
    data = rng.integers(0, 99, (3, 2) if dims[0] == 1 else (3,) if dims[1] is not None else (), dtype=np.uint32)
    out, out_dim = ops.random_fold_in.batch(Axis(3), (keys, data), dims)
    want = np.stack([r[0] for r in stacked(ops.random_fold_in, (keys, data), dims, 3, {})], out_dim)
    np.testing.assert_array_equal(np.asarray(out), want)


@pytest.mark.parametrize("dims", list(itertools.product((None, 0), (None, 0)))[1:])
def test_batching_the_hash(dims, bind_in_numpy):
    rng = np.random.default_rng(9)
    k = rng.integers(0, 2**32, (3,) if dims[0] == 0 else (), dtype=np.uint32)
    x = rng.integers(0, 2**32, (3, 4) if dims[1] == 0 else (4,), dtype=np.uint32)
    args, all_dims = (k, k, x, x), (dims[0], dims[0], dims[1], dims[1])
    outs, out_dims = ops.threefry2x32.batch(Axis(3), args, all_dims)
    rows = stacked(ops.threefry2x32, args, all_dims, 3, {})
    for j, (out, d) in enumerate(zip(outs, out_dims, strict=True)):
        np.testing.assert_array_equal(np.asarray(out), np.stack([r[j] for r in rows], d))


@pytest.fixture
def bind_in_numpy(monkeypatch):
    """Run the primitives that batching rules bind by their references, on uint64 arrays that stand for keys."""
    from addax.core.primitive import registry

    for name in ("random_seed", "random_split", "random_bits", "random_unwrap", "random_clone", "random_fold_in",
                 "threefry2x32", "broadcast_in_dim", "reshape", "transpose"):  # fmt: skip
        p = registry[name]
        monkeypatch.setattr(p, "bind", lambda *args, p=p, **params: p.reference(*args, **params))


# --- Types and messages ---


def test_types():
    key = ShapedArray((4,), dtypes.key_fry)
    assert str(ops.random_split.infer((key,), {"shape": (2, 3)})[0]) == "key<fry>[4,2,3]"
    assert str(ops.random_bits.infer((key,), {"bit_width": 8, "shape": (2,)})[0]) == "uint8[4,2]"
    assert str(ops.random_unwrap.infer((key,), {})[0]) == "uint32[4,2]"
    assert str(ops.random_wrap.infer((ShapedArray((5, 2), np.uint32),), {"impl": FRY})[0]) == "key<fry>[5]"
    assert str(ops.random_seed.infer((ShapedArray((), np.int32),), {"impl": FRY})[0]) == "key<fry>[]"
    assert str(FRY) == "fry"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ops.random_bits.infer((ShapedArray((2,), np.uint32),), {"bit_width": 32, "shape": ()}),
         r"random_bits takes an array of PRNG keys, got uint32\[2\]. Make keys with random.key\(seed\)"),
        (lambda: ops.random_wrap.infer((ShapedArray((3,), np.uint32),), {"impl": FRY}),
         r"must end in it; got shape \(3,\)"),
        (lambda: ops.random_seed.infer((ShapedArray((), np.float32),), {"impl": FRY}),
         "PRNG key seed must be an integer; got float32"),
    ],
)  # fmt: skip
def test_messages(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_generators_that_are_not_there():
    with pytest.raises(NotImplementedError, match="'threefry2x32', which is the default"):
        ops.prng_impl("rbg")
    with pytest.raises(ValueError, match="Did you mean one of: threefry2x32"):
        ops.prng_impl("mersenne")
