"""``x[index]`` and ``x.at[index]`` against JAX: values, dtypes, weak types and error classes, concrete and under jit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import addax
import addax.numpy as anp

X = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
I = np.array([0, -1, 1])
J = np.array([[2], [-3]])
MASK = np.array([True, False, True])
s_ = np.s_

READS = [
    s_[0], s_[-1], s_[7], s_[-9], s_[()], s_[...], s_[None], s_[1:], s_[::-1], s_[::2], s_[-1:0:-2], s_[2:1], s_[:, 5:2:-1],
    s_[..., 1], s_[None, ..., None], s_[:, None, 1], s_[1, None, :, None, 2], s_[I], s_[:, I], s_[..., I], s_[I, I],
    s_[I, :, I], s_[I, None, I], s_[None, I, 0], s_[:, J, I], s_[0, :, I], s_[:, 0, I], s_[::-1, I, ::2], s_[I, ::-2, ::-1],
    s_[I, 1:3], s_[1:, I, 3:1:-1], s_[MASK], s_[MASK, :, 0], s_[:, 1, X[0, 0] > 2], s_[MASK, None, 1:2], s_[X > 30],
    s_[X[..., 0] > 20], s_[np.zeros(0, int)], s_[:, np.zeros((0, 2), int), 0],
    s_[np.array([9, -9])], s_[:, 2:2, I], s_[I[:2], 1:1], s_[np.uint8(2)], s_[np.array([1, 3], np.uint8)],
    s_[:, np.array([-1, 2], np.int8), None], s_[1, 2, 3], s_[I, I, I], s_[None, J, ..., None], s_[..., None, I, None],
    s_[::3, ::3, ::-4], s_[100:, ::-100], s_[I, ::2, ::2], s_[::2, I, I], s_[::2, I, ::-1], s_[::2, J, None, ::-1],
]  # fmt: skip


def same(ours, theirs):
    theirs_value = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert ours.weak_type == theirs.weak_type
    np.testing.assert_array_equal(np.asarray(ours), theirs_value)


@pytest.mark.parametrize("index", READS, ids=str)
def test_reads(index):
    want = jnp.asarray(X)[index]
    same(anp.asarray(X)[index], want)
    same(addax.jit(lambda x: x[index])(X), want)


TRACED = [
    lambda x, i, j: x[i], lambda x, i, j: x[:, i], lambda x, i, j: x[i, j], lambda x, i, j: x[i, :, j],
    lambda x, i, j: x[i, None, 1:3], lambda x, i, j: x[i, ::2], lambda x, i, j: x[::-1, j, ::-2],
    lambda x, i, j: x[..., i], lambda x, i, j: x[i, I, j], lambda x, i, j: x[1, j, None], lambda x, i, j: x[i, 2:2],
    lambda x, i, j: x[None, i, ..., 0]
]  # fmt: skip
TRACED_AT = [
    (1, 2),
    (-1, -2),
    (9, -9),
    (I, J),
    (I.astype(np.int8), np.array([7, -7, 0], np.int8)),
    (np.uint8(2), np.uint8(200)),
]


@pytest.mark.parametrize("at", TRACED_AT, ids=str)
def test_traced_reads(at):
    def ours(x, i, j):
        return tuple(f(x, i, j) for f in TRACED if np.ndim(i) < 2)

    for o, t in zip(addax.jit(ours)(X, *at), jax.jit(ours)(X, *at), strict=True):
        same(o, t)


WRITES = [
    s_[0], s_[-1], s_[7], s_[-9], s_[...], s_[1:], s_[::-1], s_[::2, None], s_[2:1], s_[I], s_[:, I], s_[I, :, I],
    s_[np.array([0, 0, 9, -9])], s_[:, 0, I], s_[::-1, I, ::2], s_[MASK], s_[X > 30], s_[None, J, ..., None],
    s_[I, ::2, None], s_[:, 9], s_[:, None, -9], s_[np.zeros(0, int)], s_[1, 2, 3], s_[::2, J, None, ::-1],
]  # fmt: skip
METHODS = ["set", "add", "subtract", "multiply", "divide", "min", "max", "power"]


@pytest.mark.parametrize("mode", [None, "clip", "drop", "fill", "promise_in_bounds"])
@pytest.mark.parametrize("index", WRITES, ids=str)
def test_writes(index, mode):
    if mode == "promise_in_bounds" and any(k in str(index) for k in ("9", "7")):
        pytest.skip("a broken promise has no defined result")
    methods = METHODS if mode is None else ["set", "add"]
    for m in methods:
        same(getattr(anp.asarray(X).at[index], m)(3, mode=mode), getattr(jnp.asarray(X).at[index], m)(3, mode=mode))
    same(anp.asarray(X).at[index].apply(lambda v: v * 2 + 1), jnp.asarray(X).at[index].apply(lambda v: v * 2 + 1))
    n = X[index].shape if mode is None and not any(k in str(index) for k in ("9", "7")) else None
    if n is not None:
        values = np.arange(np.prod(n), dtype=np.float32).reshape(n)
        same(addax.jit(lambda x, v: x.at[index].set(v))(X, values), jnp.asarray(X).at[index].set(values))


@pytest.mark.parametrize("mode", [None, "clip", "fill"])
@pytest.mark.parametrize("index", WRITES[:4] + WRITES[9:], ids=str)
def test_at_get(index, mode):
    for dtype in (np.float32, np.int32, np.uint8):
        x = X.astype(dtype)
        same(anp.asarray(x).at[index].get(mode=mode), jnp.asarray(x).at[index].get(mode=mode))
        if mode == "fill":
            same(
                anp.asarray(x).at[index].get(mode=mode, fill_value=7),
                jnp.asarray(x).at[index].get(mode=mode, fill_value=7),
            )


ERRORS = [
    s_[0, 0, 0, 0], s_[..., ...], s_["a"], s_[1.0], [0, 1], s_[np.ones(2, bool)], s_[np.ones(3)],
]  # fmt: skip


@pytest.mark.parametrize("index", ERRORS, ids=str)
def test_errors(index):
    with pytest.raises(Exception) as theirs:
        jnp.asarray(X)[index]
    names = {c.__name__ for c in type(theirs.value).__mro__}
    with pytest.raises(Exception) as ours:
        anp.asarray(X)[index]
    assert type(ours.value).__name__ in names or isinstance(ours.value, type(theirs.value))


def test_no_positions_in_an_empty_dimension():
    none = np.zeros(0, np.int32)
    for shape, index in [((0,), none), ((0, 0), (none, none)), ((0, 3), none), ((3, 0), (slice(None), none))]:
        same(anp.zeros(shape)[index], jnp.zeros(shape)[index])
    same(
        anp.take_along_axis(anp.zeros((0, 2)), np.zeros((0, 2), np.int32), 0),
        jnp.take_along_axis(jnp.zeros((0, 2)), np.zeros((0, 2), np.int32), 0),
    )


def test_indices_of_several_dtypes():
    with addax.enable_x64(True):
        x = anp.arange(12).reshape(3, 4)
        read = addax.jit(lambda i, j: x[i, j])
        assert read(np.array([1, 2]), np.array([1, -1], np.int32)).tolist() == [5, 11]
        assert read(np.array([1, 2], np.uint8), np.array([1, -1])).tolist() == [5, 11]


SCALAR_MASKS = [
    s_[True], s_[False], s_[np.True_], s_[np.array(False)], s_[True, 0], s_[0, True], s_[:, True], s_[True, False],
    s_[True, I], s_[I, True], s_[..., True], s_[MASK, True], s_[I, :, True], s_[None, False], s_[None, True, 1:, None],
    s_[X > 30, True], s_[..., False, 0], s_[True, ::2, True],
]  # fmt: skip


@pytest.mark.parametrize("index", SCALAR_MASKS, ids=str)
def test_scalar_masks(index):
    """As in NumPy; JAX fails for np.True_, and loses a dimension of x[None, False]."""
    x = anp.asarray(X)
    for got in (x[index], addax.jit(lambda x: x[index])(X)):
        assert got.shape == X[index].shape
        np.testing.assert_array_equal(got, X[index])
    want = X.copy()
    want[index] = -1
    np.testing.assert_array_equal(x.at[index].set(-1), want)


def test_sequences_among_indices():
    for index in (
        s_[0, [1, 2]],
        s_[[0, 1],],
        s_[[0, 1], [1, 2]],
        s_[(0, 1),],
        s_[:, (1, 2)],
        s_[[True, False, True],],
        s_[[],],
    ):
        same(anp.asarray(X)[index], jnp.asarray(X)[index])
        same(anp.asarray(X).at[index].set(1), jnp.asarray(X).at[index].set(1))
    same(addax.jit(lambda x, i: x[0, [1, i]])(X, 2), jnp.asarray(X)[0, [1, 2]])
    same(anp.asarray(X).at[0, 0].set([1, 2, 3, 4, 5]), jnp.asarray(X).at[0, 0].set([1, 2, 3, 4, 5]))
    for index in ([0, 1], [True, False, True], []):
        with pytest.raises(TypeError, match="non-tuple sequence"):
            anp.asarray(X)[index]
        with pytest.raises(TypeError, match="non-tuple sequence"):
            anp.asarray(X).at[index].set(1)
