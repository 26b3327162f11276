"""Layout primitives: values against the oracle, batching against a loop, derivatives against the oracle, messages."""

import jax
import numpy as np
import pytest
from layout_laws import assert_same, batchings, check_batching, check_derivatives, check_programs, oracle, ours
from samples_layout import BF16, LAYOUT_SAMPLES

import addax
from addax.core import dtypes
from addax.core.avals import ShapedArray
from addax.core.primitive import registry

by_sample = pytest.mark.parametrize("sample", LAYOUT_SAMPLES, ids=lambda s: s.id)


@by_sample
def test_values(sample):
    rng = np.random.default_rng(0)
    first = LAYOUT_SAMPLES.index(sample)  # each sample meets three of the dtypes: the oracle compiles
    for dtype in {sample.dtypes[(first + k) % len(sample.dtypes)] for k in (0, 1, 3)}:
        args = sample.draw(rng, dtype)
        assert_same(ours(sample)(*args), oracle(sample)(*args))


@by_sample
def test_keys_are_opaque(sample):
    """A key is an element like any other; NumPy holds it as uint64."""
    p = registry[sample.name]
    rng = np.random.default_rng(1)
    args = [
        np.asarray(rng.integers(0, 2**63, o), np.uint64) if sample.is_data(k) else o
        for k, o in enumerate(sample.operands)
    ]
    avals = [
        ShapedArray(x.shape, dtypes.key_fry if sample.is_data(k) else x.dtype)
        for k, x in enumerate(map(np.asarray, args))
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
    p = registry[sample.name]
    avals = [ShapedArray(np.shape(x), x.dtype) for x in sample.draw(rng)]
    rank = min((a.ndim for a in p.infer(tuple(avals), sample.params)), default=0)
    for n, dims in enumerate(batchings(sample, sample.draw(rng))):
        check_batching(sample, rng, dims, out_axis=n % (rank + 1))


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


def test_empty():
    got = registry["empty"].bind(shape=(2, 3), dtype=np.dtype("int32"), out_sharding=None)
    assert (got.shape, got.dtype) == ((2, 3), np.int32)


F = ShapedArray((3, 4), np.float32)
V = ShapedArray((3,), np.float32)
S = ShapedArray((), np.float32)
I = ShapedArray((), np.int32)


I3 = ShapedArray((3,), np.int32)


def spread(shape, dims):
    return {"shape": shape, "broadcast_dimensions": dims, "sharding": None}


def shaped(sizes, dimensions=None):
    return {"new_sizes": sizes, "dimensions": dimensions, "sharding": None}


def window(start, limit, strides=None):
    return {"start_indices": start, "limit_indices": limit, "strides": strides}


def padded(*config):
    return {"padding_config": config}


def counting(dtype, dimension):
    return {"dtype": np.dtype(dtype), "shape": (3,), "dimension": dimension, "sharding": None}


MESSAGES = [
    ("broadcast_in_dim", [F], spread((2, 3, 5), (1, 2)), TypeError, ["(3, 4)", "(2, 3, 5)", "must be 1 or equal"]),
    ("broadcast_in_dim", [F], spread((3, 4), (0,)), TypeError, ["one entry per dimension"]),
    ("broadcast_in_dim", [F], spread((4, 3), (1, 0)), TypeError, ["strictly increasing", "transpose"]),
    ("broadcast_in_dim", [F], spread((3,), (0, 0)), TypeError, ["at least the rank"]),
    ("broadcast_in_dim", [V], spread((3,), (1,)), TypeError, ["dimensions of the result"]),
    ("broadcast_in_dim", [V], spread((-3,), (0,)), TypeError, ["nonnegative"]),
    ("reshape", [F], shaped((5,)), TypeError, ["(3, 4)", "size 12", "size 5"]),
    ("reshape", [F], shaped((12,), (0, 0)), TypeError, ["permutation"]),
    ("transpose", [F], {"permutation": (1, 1)}, TypeError, ["permutation", "(1, 1)", "(3, 4)"]),
    ("squeeze", [F], {"dimensions": (0,)}, ValueError, ["not one", "(3, 4)"]),
    ("squeeze", [F], {"dimensions": (2,)}, TypeError, ["[0, 2)"]),
    ("rev", [F], {"dimensions": (0, 0)}, TypeError, ["unique"]),
    ("tile", [F], {"reps": (2,)}, TypeError, ["one entry per dimension", "(3, 4)"]),
    ("tile", [F], {"reps": (2, -1)}, TypeError, ["nonnegative"]),
    ("iota", [], counting(bool, 0), TypeError, ["does not accept dtype bool"]),
    ("iota", [], counting("int32", 1), ValueError, ["dimension=1", "shape=(3,)"]),
    ("slice", [F], window((0, 0), (3, 5)), TypeError, ["(3, 5)", "(3, 4)"]),
    ("slice", [F], window((2, 0), (1, 4)), TypeError, ["at least start_indices"]),
    ("slice", [F], window((0, 0), (1, 4), (0, 1)), TypeError, ["positive"]),
    ("slice", [F], window((0,), (1, 4)), TypeError, ["one entry per dimension"]),
    ("pad", [F, I], padded((0, 0, 0), (0, 0, 0)), TypeError, ["float32 and int32", "convert_element_type"]),
    ("pad", [F, V], padded((0, 0, 0), (0, 0, 0)), ValueError, ["scalar", "(3,)"]),
    ("pad", [F, S], padded((0, 0, 0)), ValueError, ["one (low, high, interior) entry per dimension"]),
    ("pad", [V, S], padded((0, 0)), ValueError, ["triples"]),
    ("pad", [V, S], padded((0, 0, -1)), ValueError, ["nonnegative"]),
    ("pad", [V, S], padded((0, -4, 0)), ValueError, ["removes more than there is"]),
    ("concatenate", [], {"dimension": 0}, TypeError, ["at least one operand"]),
    ("concatenate", [F, V], {"dimension": 0}, TypeError, ["(3, 4), (3,)", "Did you mean stack"]),
    ("concatenate", [F, F], {"dimension": 2}, TypeError, ["out of bounds"]),
    ("concatenate", [V, I3], {"dimension": 0}, TypeError, ["float32, int32", "addax.numpy.concatenate"]),
    ("concatenate", [F, ShapedArray((3, 5), np.float32)], {"dimension": 0}, TypeError, ["other than the one"]),
    ("split", [F], {"sizes": (1, 1), "axis": 0}, ValueError, ["sum 2", "(3, 4)"]),
    ("split", [F], {"sizes": (-1, 4), "axis": 0}, ValueError, ["nonnegative"]),
    ("stack", [F, V], {"axis": 0}, ValueError, ["same shape", "Did you mean concatenate"]),
    ("unstack", [S], {"axis": 0}, ValueError, ["out of bounds"]),
    ("dynamic_slice", [F, I], {"slice_sizes": (1, 1)}, TypeError, ["one start index per dimension"]),
    ("dynamic_slice", [F, I, V], {"slice_sizes": (1, 1)}, TypeError, ["must be scalars"]),
    ("dynamic_slice", [F, I, S], {"slice_sizes": (1, 1)}, TypeError, ["same type, got: int32, float32"]),
    ("dynamic_slice", [F, I, I], {"slice_sizes": (4, 1)}, TypeError, ["(4, 1)", "(3, 4)"]),
    ("dynamic_slice", [F, I, I], {"slice_sizes": (4,)}, TypeError, ["one entry per dimension"]),
    ("dynamic_update_slice", [F, V, I, I], {}, TypeError, ["rank", "(3,)"]),
    ("dynamic_update_slice", [V, ShapedArray((4,), np.float32), I], {}, TypeError, ["fit into the operand"]),
    ("dynamic_update_slice", [V, I3, I], {}, TypeError, ["float32, int32"]),
]


@pytest.mark.parametrize(("name", "avals", "params", "error", "words"), MESSAGES)
def test_messages(name, avals, params, error, words):
    with pytest.raises(error) as caught:
        registry[name].abstract_eval(*avals, **params)
    for word in words:
        assert word in str(caught.value)
    assert name in str(caught.value) or "oncatenate" in str(caught.value)


# --- programs ---


@by_sample
def test_programs(sample):
    check_programs(sample, np.random.default_rng(11))


@by_sample
def test_jit(sample):
    """Inside a larger program, where views fuse, the results stay what NumPy says."""
    p = registry[sample.name]
    rng = np.random.default_rng(6)
    args = sample.draw(rng)
    data = [k for k in range(len(args)) if sample.is_data(k)]

    @addax.jit
    def program(*args):
        args = list(args)
        for k in data:
            args[k] = registry["neg"].bind(args[k])
        out = p.bind(*args, **sample.params)
        outs = out if p.multiple_results else [out]
        return [registry["mul"].bind(o, o) for o in outs]

    flipped = [-x if k in data else x for k, x in enumerate(args)]
    want = p.reference(*map(np.asarray, flipped), **sample.params)
    want = want if p.multiple_results else [want]
    assert_same(program(*args), [w * w for w in want])


@pytest.mark.parametrize("shape", [(70, 130), (3, 40, 50)])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("transpose", lambda s: {"permutation": tuple(reversed(range(len(s))))}),
        ("rev", lambda s: {"dimensions": tuple(range(len(s)))}),
        ("slice", lambda s: {"start_indices": (1,) * len(s), "limit_indices": s, "strides": (2,) * len(s)}),
        ("pad", lambda s: {"padding_config": ((2, -1, 1),) * len(s)}),
        ("reshape", lambda s: {"new_sizes": (int(np.prod(s)) // 10, 10), "dimensions": None, "sharding": None}),
        ("tile", lambda s: {"reps": (2,) * len(s)}),
        ("split", lambda s: {"sizes": (1, s[-1] - 1), "axis": len(s) - 1}),
    ],
)
def test_larger_arrays(name, params, shape):
    """Sizes at which engines split work, vectorise, and have remainders."""
    p = registry[name]
    x = np.random.default_rng(7).normal(size=shape).astype(np.float32)
    args = [x, np.float32(-1)] if name == "pad" else [x]
    want = p.reference(*map(np.asarray, args), **params(shape))
    assert_same(addax.jit(lambda *a: p.bind(*a, **params(shape)))(*args), want)
