"""Layout primitives: values against the oracle, batching against a loop, derivatives against the oracle, messages."""

import jax
import numpy as np
import pytest
from layout_laws import assert_same, batchings, check_batching, check_derivatives, ours, oracle
from samples_layout import BF16, LAYOUT_SAMPLES

from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.primitive import registry

by_sample = pytest.mark.parametrize("sample", LAYOUT_SAMPLES, ids=lambda s: s.id)


@by_sample
def test_values(sample):
    rng = np.random.default_rng(0)
    for dtype in sample.dtypes:
        args = sample.draw(rng, dtype)
        assert_same(ours(sample)(*args), oracle(sample)(*args))


@by_sample
def test_keys_are_opaque(sample):
    """A key is an element like any other; NumPy holds it as uint64."""
    p = registry[sample.name]
    rng = np.random.default_rng(1)
    args = [
        rng.integers(0, 2**63, o).astype(np.uint64) if sample.is_data(k) else o for k, o in enumerate(sample.operands)
    ]
    avals = [
        ShapedArray(x.shape, dtypes.key_fry if sample.is_data(k) else x.dtype) for k, x in enumerate(map(np.asarray, args))
    ]
    outs = p.infer(tuple(avals), sample.params)
    got = p.reference(*args, **sample.params)
    got = got if p.multiple_results else [got]
    with jax.enable_x64(True):
        want = oracle(sample)(*args)
        want = list(want) if p.multiple_results else [want]
        for a, aval, b in zip(got, outs, want, strict=True):
            assert aval.dtype == dtypes.key_fry
            assert aval.shape == a.shape
            np.testing.assert_array_equal(a, np.asarray(b))


@by_sample
def test_batching(sample):
    rng = np.random.default_rng(2)
    for n, dims in enumerate(batchings(sample, sample.draw(rng))):
        check_batching(sample, rng, dims, out_axis=n % 2 if sample.name != "reshape" else 0) if min_rank(
            sample
        ) else check_batching(sample, rng, dims)


def min_rank(sample) -> int:
    p = registry[sample.name]
    avals = tuple(ShapedArray(o, np.float32) if isinstance(o, tuple) else ShapedArray(o.shape, o.dtype) for o in sample.operands)
    return min((a.ndim for a in p.infer(avals, sample.params)), default=0)


@by_sample
def test_batch_of_size_zero(sample):
    rng = np.random.default_rng(3)
    dims = tuple(0 for _ in sample.operands)
    check_batching(sample, rng, dims, size=0)


@by_sample
def test_derivatives(sample):
    check_derivatives(sample, np.random.default_rng(4))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "bfloat16", "float16", "float32", "complex64"])
@pytest.mark.parametrize(("shape", "dimension"), [((5,), 0), ((2, 3), 1), ((3, 0), 0), ((400,), 0)])
def test_iota(dtype, shape, dimension):
    dtype = BF16 if dtype == "bfloat16" else np.dtype(dtype)
    got = registry["iota"].bind(dtype=dtype, shape=shape, dimension=dimension, sharding=None)
    assert_same(got, jax.lax.broadcasted_iota(dtype, shape, dimension))


def test_empty_is_zero():
    assert_same(registry["empty"].bind(shape=(2, 3), dtype=np.dtype("int32"), out_sharding=None), np.zeros((2, 3), "int32"))


F = ShapedArray((3, 4), np.float32)
V = ShapedArray((3,), np.float32)
S = ShapedArray((), np.float32)
I = ShapedArray((), np.int32)


@pytest.mark.parametrize(
    ("name", "avals", "params", "error", "words"),
    [
        ("broadcast_in_dim", [F], {"shape": (2, 3, 5), "broadcast_dimensions": (1, 2), "sharding": None}, TypeError, ["(3, 4)", "(2, 3, 5)", "must be 1 or equal"]),
        ("broadcast_in_dim", [F], {"shape": (3, 4), "broadcast_dimensions": (0,), "sharding": None}, TypeError, ["one entry per dimension"]),
        ("broadcast_in_dim", [F], {"shape": (4, 3), "broadcast_dimensions": (1, 0), "sharding": None}, TypeError, ["strictly increasing", "transpose"]),
        ("broadcast_in_dim", [F], {"shape": (3,), "broadcast_dimensions": (0, 0), "sharding": None}, TypeError, ["at least the rank"]),
        ("broadcast_in_dim", [V], {"shape": (3,), "broadcast_dimensions": (1,), "sharding": None}, TypeError, ["dimensions of the result"]),
        ("broadcast_in_dim", [V], {"shape": (-3,), "broadcast_dimensions": (0,), "sharding": None}, TypeError, ["nonnegative"]),
        ("reshape", [F], {"new_sizes": (5,), "dimensions": None, "sharding": None}, TypeError, ["(3, 4)", "size 12", "size 5"]),
        ("reshape", [F], {"new_sizes": (12,), "dimensions": (0, 0), "sharding": None}, TypeError, ["permutation"]),
        ("transpose", [F], {"permutation": (1, 1)}, TypeError, ["permutation", "(1, 1)", "(3, 4)"]),
        ("squeeze", [F], {"dimensions": (0,)}, ValueError, ["not one", "(3, 4)"]),
        ("squeeze", [F], {"dimensions": (2,)}, TypeError, ["[0, 2)"]),
        ("rev", [F], {"dimensions": (0, 0)}, TypeError, ["unique"]),
        ("tile", [F], {"reps": (2,)}, TypeError, ["one entry per dimension", "(3, 4)"]),
        ("tile", [F], {"reps": (2, -1)}, TypeError, ["nonnegative"]),
        ("iota", [], {"dtype": np.dtype(bool), "shape": (3,), "dimension": 0, "sharding": None}, TypeError, ["does not accept dtype bool"]),
        ("iota", [], {"dtype": np.dtype("int32"), "shape": (3,), "dimension": 1, "sharding": None}, ValueError, ["dimension=1", "shape=(3,)"]),
        ("slice", [F], {"start_indices": (0, 0), "limit_indices": (3, 5), "strides": None}, TypeError, ["(3, 5)", "(3, 4)"]),
        ("slice", [F], {"start_indices": (2, 0), "limit_indices": (1, 4), "strides": None}, TypeError, ["at least start_indices"]),
        ("slice", [F], {"start_indices": (0, 0), "limit_indices": (1, 4), "strides": (0, 1)}, TypeError, ["positive"]),
        ("slice", [F], {"start_indices": (0,), "limit_indices": (1, 4), "strides": None}, TypeError, ["one entry per dimension"]),
        ("pad", [F, I], {"padding_config": ((0, 0, 0), (0, 0, 0))}, TypeError, ["float32 and int32", "convert_element_type"]),
        ("pad", [F, V], {"padding_config": ((0, 0, 0), (0, 0, 0))}, ValueError, ["scalar", "(3,)"]),
        ("pad", [F, S], {"padding_config": ((0, 0, 0),)}, ValueError, ["one (low, high, interior) entry per dimension"]),
        ("pad", [V, S], {"padding_config": ((0, 0),)}, ValueError, ["triples"]),
        ("pad", [V, S], {"padding_config": ((0, 0, -1),)}, ValueError, ["nonnegative"]),
        ("pad", [V, S], {"padding_config": ((0, -4, 0),)}, ValueError, ["removes more than there is"]),
        ("concatenate", [], {"dimension": 0}, TypeError, ["at least one operand"]),
        ("concatenate", [F, V], {"dimension": 0}, TypeError, ["(3, 4), (3,)", "Did you mean stack"]),
        ("concatenate", [F, F], {"dimension": 2}, TypeError, ["out of bounds"]),
        ("concatenate", [V, ShapedArray((3,), np.int32)], {"dimension": 0}, TypeError, ["float32, int32", "addax.numpy.concatenate"]),
        ("concatenate", [F, ShapedArray((3, 5), np.float32)], {"dimension": 0}, TypeError, ["other than the one being concatenated"]),
        ("split", [F], {"sizes": (1, 1), "axis": 0}, ValueError, ["sum 2", "(3, 4)"]),
        ("split", [F], {"sizes": (-1, 4), "axis": 0}, ValueError, ["nonnegative"]),
        ("stack", [F, V], {"axis": 0}, ValueError, ["same shape", "Did you mean concatenate"]),
        ("unstack", [S], {"axis": 0}, ValueError, ["out of bounds"]),
        ("dynamic_slice", [F, I], {"slice_sizes": (1, 1)}, TypeError, ["one start index per dimension"]),
        ("dynamic_slice", [F, I, V], {"slice_sizes": (1, 1)}, TypeError, ["must be scalars"]),
        ("dynamic_slice", [F, I, S], {"slice_sizes": (1, 1)}, TypeError, ["integers of the same type, got: int32, float32"]),
        ("dynamic_slice", [F, I, I], {"slice_sizes": (4, 1)}, TypeError, ["(4, 1)", "(3, 4)"]),
        ("dynamic_slice", [F, I, I], {"slice_sizes": (4,)}, TypeError, ["one entry per dimension"]),
        ("dynamic_update_slice", [F, V, I, I], {}, TypeError, ["rank", "(3,)"]),
        ("dynamic_update_slice", [V, ShapedArray((4,), np.float32), I], {}, TypeError, ["fit into the operand"]),
        ("dynamic_update_slice", [V, ShapedArray((2,), np.int32), I], {}, TypeError, ["float32, int32"]),
    ],
)  # fmt: skip
def test_messages(name, avals, params, error, words):
    with pytest.raises(error) as caught:
        registry[name].abstract_eval(*avals, **params)
    for word in words:
        assert word in str(caught.value)
    assert name in str(caught.value) or "oncatenate" in str(caught.value)
