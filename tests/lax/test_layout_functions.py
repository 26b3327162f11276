"""`addax.lax`'s shape, window, gather and scatter functions against JAX's: values, types, programs, mistakes."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import addax
from addax import _native
from addax.core.avals import get_aval

OURS, THEIRS = addax.lax, jax.lax


class Arrays:
    """Operands of the expressions below, as either library has them."""

    def __init__(self, make, weak):
        self.x = make(np.arange(12, dtype=np.float32).reshape(3, 4))
        self.v = make(np.arange(5, dtype=np.int32))
        self.b = make(np.array([True, False]))
        self.u = make(np.full((1, 1), 9, np.float32))
        self.i = make(np.array([[0], [5], [-1], [2]], np.int32))
        self.i8 = make(np.array([1, -2], np.int8))
        self.u8 = make(np.array([1, 2], np.uint8))
        self.one = make(np.int32(1))
        self.w = weak(1.5)


def _ours(x):
    x = np.asarray(x)
    return _native.array_from_numpy(x, get_aval(x))


MINE = Arrays(_ours, lambda x: _native.array_from_numpy(np.float32(x), get_aval(x)))
JAXS = Arrays(jnp.asarray, jnp.asarray)

EXPRESSIONS = """
lax.broadcast(a.x, (2,))
lax.broadcast(1.0, (2, 3))
lax.broadcast(a.w, ())
lax.broadcast_in_dim(a.x, [2, 3, 4], [1, 2])
lax.broadcast_in_dim(1, (2, 3), ())
lax.broadcast_in_dim(a.x, (3, 4), (0, 1))
lax.broadcast_in_dim(a.x, (2, 4, 3), (2, 1))
lax.broadcast_to_rank(a.x, 3)
lax.broadcast_to_rank(a.x, 1)
lax.broadcast_to_rank(2.0, 2)
lax.broadcast_like(1.0, a.x)
lax.broadcast_like(a.u, a.x)
lax.broadcast_shapes((2, 3), (3,), (1, 1))
lax.broadcast_shapes((), (2,))
lax.broadcast_shapes([2, 1], [3])
lax.broadcast_shapes((0, 1), (1, 4))
lax.reshape(a.x, (2, 6))
lax.reshape(a.x, np.array([6, 2]))
lax.reshape(a.x, 12)
lax.reshape(a.x, (12,), (1, 0))
lax.reshape(a.x, (12,), (0, 1))
lax.reshape(a.w, (1, 1))
lax.reshape(1, ())
lax.collapse(a.x, 0)
lax.collapse(a.x, -2, 2)
lax.collapse(a.x, 0, 0)
lax.collapse(a.x, 3, 5)
lax.collapse(a.x, 0, 9)
lax.transpose(a.x, (1, 0))
lax.transpose(a.x, np.array([1, 0]))
lax.transpose(a.x, (0, 1))
lax.squeeze(a.u, (0, -1))
lax.squeeze(a.u, [1])
lax.squeeze(a.x, ())
lax.expand_dims(a.x, (0, -1))
lax.expand_dims(a.x, (1, 2))
lax.expand_dims(1, (0,))
lax.expand_dims(a.x, ())
lax.rev(a.x, (1,))
lax.rev(a.v, [0])
lax.tile(a.x, (2, 1))
lax.concatenate([a.x, a.x], 0)
lax.concatenate([a.x, np.ones((3, 1), np.float32)], np.int64(1))
lax.concatenate([a.x], 1)
lax.concatenate(a.x, 0)
lax.concatenate((np.ones(2), np.zeros(1)), 0)
lax.split(a.x, (1, 2))
lax.split(a.x, np.array([3, 1]), -1)
lax.stack((1.0, 2.0))
lax.stack([a.x, a.x], -1)
lax.unstack(a.x, 1)
lax.unstack(a.x)
lax.full((2, 3), 7)
lax.full((2,), 1.5)
lax.full(2, True)
lax.full((), 2.0)
lax.full((2,), np.float32(2))
lax.full((2,), 1.5, int)
lax.full((2,), 300, np.int8)
lax.full((2,), 1e20, np.int32)
lax.full((2,), float("nan"), np.int32)
lax.full((2,), -1, np.uint8)
lax.full((2,), 1, complex)
lax.full((2,), a.one, np.float32)
lax.full((2,), a.w)
lax.full_like(a.x, 3)
lax.full_like(a.x, a.one)
lax.full_like(a.w, 2)
lax.full_like(a.w, 2, np.float32)
lax.full_like(a.v, 2.5)
lax.full_like(a.v, 2.5, float)
lax.full_like(a.x, 1, shape=(2,))
lax.full_like(1, 2.5)
lax.full_like(np.ones(2), 0)
lax.iota(np.float32, 3)
lax.iota(int, np.int64(3))
lax.iota("int8", 0)
lax.broadcasted_iota("int32", (2, 3), 1)
lax.broadcasted_iota(np.uint8, (2, 300), 1)
lax.shape_as_value((2, 3))
lax.slice(a.x, (0, 1), (2, 3))
lax.slice(a.x, [0, 1], np.array([3, 4]), (2, 2))
lax.slice_in_dim(a.x, -2, None)
lax.slice_in_dim(a.x, None, -1, 2, axis=1)
lax.slice_in_dim(np.ones((3, 4), np.float32), 1, 2, axis=-1)
lax.slice_in_dim(a.x, 0, a.one)
lax.index_in_dim(a.x, 1)
lax.index_in_dim(a.x, -1, 1, keepdims=False)
lax.pad(a.x, 0.0, [(1, 2, 1), (-1, 0, 0)])
lax.pad(a.v, 9, [(0, 1, 2)])
lax.pad(1.0, 2.0, ())
lax.dynamic_slice(a.x, (1, -1), (2, 2))
lax.dynamic_slice(a.x, np.array([5, -7]), [1, 1])
lax.dynamic_slice(a.x, (a.one, 0), (1, 4))
lax.dynamic_slice(a.x, a.i8, (1, 1))
lax.dynamic_slice(a.x, a.u8, (2, 2))
lax.dynamic_slice(a.x, (-1, 1), (1, 1), allow_negative_indices=(True, False))
lax.dynamic_slice(a.w, (), ())
lax.dynamic_slice_in_dim(a.x, 1, 2)
lax.dynamic_slice_in_dim(a.x, -1, 2, axis=-1)
lax.dynamic_index_in_dim(a.x, 1)
lax.dynamic_index_in_dim(a.x, -1, -1, False)
lax.dynamic_update_slice(a.x, a.u, (2, 9))
lax.dynamic_update_slice(a.w, a.w, ())
lax.dynamic_update_slice_in_dim(a.x, 2 * np.ones((1, 4), np.float32), -1, 0)
lax.dynamic_update_index_in_dim(a.x, np.ones(4, np.float32), -1, 0)
lax.dynamic_update_index_in_dim(a.x, np.ones((1, 4), np.float32), 1, -2)
lax.dynamic_update_index_in_dim(a.v, 7, 2, 0)
lax.index_take(a.x, (np.array([0, 5]),), (0,))
lax.index_take(a.x, (np.array([0, -1]),), (1,))
lax.index_take(a.x, (np.array([0, 2]), np.array([3, 1])), (0, 1))
lax.gather(a.x, a.i, G((1,), (0,), (0,)), (1, 4))
lax.gather(a.x, a.i, G((1,), (0,), (0,)), (1, 4), mode="clip")
lax.gather(a.x, a.i, G((1,), (0,), (0,)), (1, 4), mode="fill")
lax.gather(a.x, a.i, G((1,), (0,), (0,)), (1, 4), mode="drop", fill_value=7)
lax.gather(a.v, a.i, G((), (0,), (0,)), (1,), mode="fill")
lax.gather(a.v, a.i, G((), (0,), (0,)), (1,), mode="fill", fill_value=np.int32(3))
lax.gather(a.b, a.i, G((), (0,), (0,)), (1,), mode="fill")
lax.scatter(a.x, a.i, np.ones((4, 4), np.float32), S((1,), (0,), (0,)))
lax.scatter(a.x, a.i, np.ones((4, 4), np.float32), S((1,), (0,), (0,)), mode="clip")
lax.scatter_add(a.x, a.i, np.ones((4, 4), np.float32), S((1,), (0,), (0,)))
lax.scatter_sub(a.x, a.i, np.ones((4, 4), np.float32), S((1,), (0,), (0,)), mode="clip")
lax.scatter_mul(a.v, a.i, np.array([2, 3, 4, 5], np.int32), S((), (0,), (0,)))
lax.scatter_min(a.v, a.i, np.array([2, 3, -4, 5], np.int32), S((), (0,), (0,)))
lax.scatter_max(a.v, a.i, np.array([2, 3, -4, 5], np.int32), S((), (0,), (0,)))
lax.scatter_max(a.b, a.i, np.array([False, True, False, True]), S((), (0,), (0,)))
lax.scatter_apply(a.x, a.i, lambda x: x * x, S((1,), (0,), (0,)), update_shape=(4, 4))
lax.scatter_apply(a.v, np.array([[1], [1], [3]]), lambda x: x + x, S((), (0,), (0,)), update_shape=(3,))
""".strip().splitlines()


def evaluate(expression, lax, arrays):
    names = {"lax": lax, "a": arrays, "np": np, "G": lax.GatherDimensionNumbers, "S": lax.ScatterDimensionNumbers}
    return eval(expression, names)  # the table above


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_like_jax(expression):
    got = evaluate(expression, OURS, MINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = evaluate(expression, THEIRS, JAXS)
    if isinstance(want, tuple) and all(isinstance(n, int) for n in want):
        assert got == want
        return
    assert isinstance(got, type(want)) if isinstance(want, (list, tuple, np.ndarray)) else isinstance(got, addax.Array)
    for a, b in zip(*((r if isinstance(r, (list, tuple)) else [r]) for r in (got, want)), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert getattr(a, "weak_type", False) == getattr(b, "weak_type", False)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


PROGRAMS = """
lambda x: lax.broadcast_in_dim(x, (2, 3, 4), (1, 2))
lambda x: lax.reshape(x, (12,))
lambda x: lax.reshape(x, (12,), (1, 0))
lambda x: lax.collapse(x, 0)
lambda x: lax.transpose(x, (1, 0))
lambda x: lax.squeeze(lax.slice(x, (0, 1), (3, 2)), (1,))
lambda x: lax.expand_dims(x, (0, 2))
lambda x: lax.slice(x, (0, 1), (2, 3), (1, 2))
lambda x: lax.slice_in_dim(x, 0, 2)
lambda x: lax.index_in_dim(x, 0, keepdims=False)
lambda x: lax.dynamic_slice(x, (1, -1), (2, 1))
lambda x: lax.dynamic_slice_in_dim(x, 1, 2)
lambda x: lax.dynamic_update_slice(x, lax.slice(x, (0, 0), (1, 1)), (2, 2))
lambda x: lax.pad(x, 0.0, ((1, 2, 1), (-1, 0, 0)))
lambda x: lax.concatenate([x, x], 0)
lambda x: lax.concatenate([x], 0)
lambda x: lax.split(x, (1, 2))
lambda x: lax.stack([x, x], 1)
lambda x: lax.unstack(x)
lambda x: lax.rev(x, (0,))
lambda x: lax.tile(x, (2, 1))
lambda x: (lax.iota("int32", 3), lax.broadcasted_iota("float32", (2, 3), 1))
lambda x: lax.full_like(x, 2)
lambda x: lax.full((2, 3), 1.0)
lambda x: lax.gather(x, lax.broadcasted_iota("int32", (2, 1), 0), G((1,), (0,), (0,)), (1, 4), mode="fill")
lambda x: lax.scatter_add(x, lax.broadcasted_iota("int32", (3, 1), 0), x, S((1,), (0,), (0,)))
lambda x: lax.scatter(x, lax.broadcasted_iota("int32", (3, 1), 0), x, S((1,), (0,), (0,)), mode="clip")
""".strip().splitlines()


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_like_jax(program):
    x = np.ones((3, 4), np.float32)
    ours, theirs = (evaluate(program, lax, a) for lax, a in ((OURS, MINE), (THEIRS, JAXS)))
    assert str(addax.make_jaxpr(ours)(x)) == str(jax.make_jaxpr(theirs)(x))


BATCHED = """
lambda x: lax.broadcast_in_dim(x, (2, 3, 4), (1, 2))
lambda x: lax.reshape(x, (12,))
lambda x: lax.transpose(x, (1, 0))
lambda x: lax.slice(x, (0, 1), (2, 3), (1, 2))
lambda x: lax.pad(x, 0.0, ((1, 2, 1), (-1, 0, 0)))
lambda x: lax.concatenate([x, x], 0)
lambda x: lax.split(x, (1, 2))
lambda x: lax.rev(x, (0,))
lambda x: lax.gather(x, lax.broadcasted_iota("int32", (2, 1), 0), G((1,), (0,), (0,)), (1, 4), mode="fill")
lambda x: lax.scatter_add(x, lax.broadcasted_iota("int32", (3, 1), 0), x, S((1,), (0,), (0,)))
""".strip().splitlines()


@pytest.mark.parametrize("program", BATCHED)
def test_batched_programs_like_jax(program):
    x = np.ones((5, 3, 4), np.float32)
    ours, theirs = (evaluate(program, lax, a) for lax, a in ((OURS, MINE), (THEIRS, JAXS)))
    want = str(jax.make_jaxpr(jax.vmap(theirs))(x)).replace("np.int64(", "").replace("),", ",")
    got = str(addax.make_jaxpr(addax.vmap(ours))(x))
    assert "".join(got.split()).replace(")", "") == "".join(want.split()).replace(")", "")


MISTAKES = [
    ("lax.reshape(a.x, (5,))", TypeError, "size 12"),
    ("lax.reshape(a.x, (-1, 3))", TypeError, "addax.numpy.reshape"),
    ("lax.reshape(a.x, (12.0,))", TypeError, "concrete values of integer type"),
    ("lax.reshape([1, 2], (2,))", TypeError, "addax.numpy.array"),
    ("lax.transpose(a.x, 1)", TypeError, "sequence of integers"),
    ("lax.squeeze(a.x, (0,))", ValueError, "not one"),
    ("lax.squeeze(a.x, (5,))", ValueError, "axis 5 is out of bounds for array of dimension 2"),
    ("lax.squeeze(a.u, (0, 0))", ValueError, "unique"),
    ("lax.squeeze(a.u, 0)", TypeError, r"write \(0,\)"),
    ("lax.expand_dims(a.x, (0, 5))", ValueError, "axis 5 is out of bounds for array of dimension 4"),
    ("lax.expand_dims(a.x, (0, 0))", ValueError, "repeated axis"),
    ("lax.rev(a.x, (-1,))", TypeError, "rev"),
    ("lax.concatenate([], 0)", ValueError, "non-empty"),
    ("lax.concatenate([a.x, a.v], 0)", TypeError, "different numbers of dimensions"),
    ("lax.concatenate([a.x, None], 0)", TypeError, "position 1"),
    ("lax.stack([a.x, a.v])", ValueError, "same shape"),
    ("lax.stack([a.x, a.x], 3)", ValueError, "axis 3"),
    ("lax.split(a.x, (1, 1))", ValueError, "sum 2"),
    ("lax.split(a.x, (1, 2), 2)", ValueError, "axis 2"),
    ("lax.full((2, -1), 1)", TypeError, "nonnegative"),
    ("lax.full((2,), np.ones(2))", TypeError, "scalar fill_value"),
    ("lax.full((2,), 1 + 1j, 'float32')", TypeError, "complex"),
    ("lax.full_like(a.x, np.ones(2))", TypeError, "scalar fill_value"),
    ("lax.iota(None, 3)", ValueError, "dtype must be specified"),
    ("lax.iota(bool, 3)", TypeError, "does not accept dtype bool"),
    ("lax.iota('int32', -3)", TypeError, "nonnegative"),
    ("lax.broadcasted_iota('int32', (2, 3), 2)", ValueError, "dimension=2"),
    ("lax.broadcast_shapes((2, 3), (2,))", ValueError, "Incompatible shapes for broadcasting"),
    ("lax.broadcast_like(a.x, 1.0)", ValueError, "fewer dimensions"),
    ("lax.collapse(a.x, 1, 0)", ValueError, "Invalid dimension range"),
    ("lax.index_in_dim(a.x, 5)", IndexError, "index 5 is out of bounds for axis 0 with size 3"),
    ("lax.slice_in_dim(a.x, 0, 2, stride=-1)", TypeError, "nonnegative"),
    ("lax.pad(a.x, 0, ((0, 0, 0), (0, 0, 0)))", TypeError, "float32 and int32"),
    ("lax.dynamic_slice(a.x, (0,), (1, 1))", ValueError, "one start index per dimension"),
    ("lax.dynamic_slice(a.x, np.zeros((2, 2), int), (1, 1))", ValueError, "1D sequence"),
    ("lax.dynamic_slice(a.x, (0, 0.5), (1, 1))", TypeError, "integers of the same type"),
    ("lax.dynamic_slice(a.x, (0, a.v), (1, 1))", TypeError, "scalars"),
    ("lax.dynamic_slice(a.x, (0, -1), (1, 1), allow_negative_indices=False)", ValueError, "start index -1"),
    ("lax.dynamic_update_slice(a.x, a.v, (0, 0))", TypeError, "rank"),
    ("lax.gather(a.x, a.i, G((1,), (0,), (0,)), (1, 4), mode='wrap')", ValueError, "Unknown gather mode"),
    ("lax.scatter_add(a.b, a.i, np.ones(4, bool), S((), (0,), (0,)))", TypeError, "add does not accept dtype bool"),
]


@pytest.mark.parametrize(("expression", "error", "words"), MISTAKES)
def test_mistakes(expression, error, words):
    """The class of the error is JAX's, too."""
    with pytest.raises(error, match=words):
        evaluate(expression, OURS, MINE)
    own_class = "5,))" in expression or "-1" in expression or "dynamic_slice(a.x, (0, 0.5)" in expression
    with pytest.raises(Exception) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluate(expression, THEIRS, JAXS)
    assert isinstance(caught.value, error) or own_class


def test_better_than_jax():
    """Where JAX returns a wrong result without a word."""
    transposed = OURS.broadcast_in_dim(_ours(np.arange(4.0).reshape(2, 2)), (2, 2), (1, 0))
    assert np.asarray(transposed).tolist() == [[0, 2], [1, 3]]
    long = np.arange(300, dtype=np.float32)
    last = addax.vmap(lambda i: OURS.dynamic_slice(long, (i,), (1,)))(np.array([-1], np.int8))
    assert np.asarray(last).tolist() == [[299.0]]
    assert float(np.asarray(OURS.dynamic_slice(long, (2**40,), (1,)))[0]) == 299.0
    with pytest.raises(OverflowError, match="addax_enable_x64"):
        OURS.full((2,), 2**40)


def test_traced_sizes_are_refused():
    def f(n):
        return OURS.full((n,), 1.0)

    with pytest.raises(TypeError, match="static_argnums"):
        addax.make_jaxpr(f)(3)
    with pytest.raises(TypeError, match="must be known when the program is traced"):
        addax.make_jaxpr(lambda n: OURS.slice_in_dim(np.ones(5, np.float32), 0, n))(3)


KEYS = """
lax.reshape(k, (2, 3))
lax.transpose(lax.reshape(k, (2, 3)), (1, 0))
lax.squeeze(lax.expand_dims(k, (0,)), (0,))
lax.broadcast(k, (2,))
lax.concatenate([k, k], 0)
lax.stack([k, k])
lax.tile(k, (2,))
lax.rev(k, (0,))
lax.slice(k, (1,), (5,), (2,))
lax.dynamic_slice(k, (2,), (2,))
lax.dynamic_update_slice(k, lax.slice(k, (0,), (2,)), (3,))
lax.gather(k, np.array([[1], [9]]), lax.GatherDimensionNumbers((), (0,), (0,)), (1,), mode="fill")
lax.scatter(k, np.array([[1], [9]]), lax.slice(k, (2,), (4,)), lax.ScatterDimensionNumbers((), (0,), (0,)))
lax.full_like(k, 0)
lax.full((2,), lax.squeeze(lax.slice(k, (0,), (1,)), (0,)))
""".strip().splitlines()


@pytest.mark.parametrize("expression", KEYS)
def test_keys(expression):
    def f(lax, k):
        return eval(expression, {"lax": lax, "k": k, "np": np})

    ours, theirs = addax.random.split(addax.random.key(0), 6), jax.random.split(jax.random.key(0), 6)
    want = np.asarray(jax.random.key_data(f(jax.lax, theirs)))
    for out in (f(addax.lax, ours), addax.jit(lambda k: f(addax.lax, k))(ours)):
        assert out.dtype == ours.dtype
        np.testing.assert_array_equal(np.asarray(addax.random.key_data(out)), want)


def test_padding_keys():
    """JAX cannot; also with one padding key per example."""
    keys = addax.random.split(addax.random.key(0), 6)
    padded = addax.vmap(lambda k, value: addax.lax.pad(k, value, ((1, 0, 0),)))(
        addax.lax.reshape(keys, (2, 3)), addax.lax.slice(keys, (0,), (2,))
    )
    words = np.asarray(addax.random.key_data(keys))
    want = np.stack([np.concatenate([words[:1], words[:3]]), np.concatenate([words[1:2], words[3:]])])
    np.testing.assert_array_equal(np.asarray(addax.random.key_data(padded)), want)
