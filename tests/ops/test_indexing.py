"""Gather and scatter: values against the oracle, batching against a loop, derivatives against the oracle, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layout_laws import assert_same, batchings, check_batching, check_derivatives, check_programs, oracle, ours
from samples_layout import GATHER_SAMPLES, SCATTER_SAMPLES

import addax
from addax.core import dtypes
from addax.core.avals import ShapedArray, get_aval
from addax.core.primitive import registry
from addax.ops.indexing import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    default_fill_value,
    update_program,
)

SAMPLES = GATHER_SAMPLES + SCATTER_SAMPLES
by_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.id)


@by_sample
def test_values(sample):
    if sample.name != "gather" and not sample.operands[0]:
        pytest.skip("the oracle cannot compile scatters into scalars; see test_scatter_into_a_scalar")
    rng = np.random.default_rng(0)
    # Each sample takes another second dtype: the oracle compiles.
    other = sample.dtypes[1 + SAMPLES.index(sample) % (len(sample.dtypes) - 1)]
    for dtype in (sample.dtypes[0], other):
        args = sample.draw(rng, dtype)
        assert_same(ours(sample)(*args), oracle(sample)(*args), 1e-2 if dtype.name == "bfloat16" else 1e-6)


@by_sample
def test_batching(sample):
    rng = np.random.default_rng(1)
    every = batchings(sample, sample.draw(rng))
    chosen = every if sample.name in ("gather", "scatter") else every[:: max(1, len(every) // 5)]
    for dims in chosen:
        indices_dim = dims[1]
        if indices_dim is not None and indices_dim > sample.operands[1].ndim:
            continue
        check_batching(sample, rng, dims)


@by_sample
def test_batch_of_size_zero(sample):
    check_batching(sample, np.random.default_rng(2), (0,) * len(sample.operands), size=0)


@by_sample
def test_derivatives(sample):
    if sample.differentiable:
        check_derivatives(sample, np.random.default_rng(3))


SMALL = [s for s in SAMPLES if s.differentiable and len(s.operands[0]) == 2][::4]


@pytest.mark.parametrize("sample", SMALL, ids=lambda s: s.id)
def test_derivatives_batch(sample):
    """vmap of grad is a loop of grads."""
    rng = np.random.default_rng(5)
    f = ours(sample)
    data = tuple(k for k in range(len(sample.operands)) if sample.is_data(k))

    def pulled(ct, *args):
        def on_data(*xs):
            full = list(args)
            for k, x in zip(data, xs, strict=True):
                full[k] = x
            return f(*full)

        return addax.vjp(on_data, *(args[k] for k in data))[1](ct)

    rows = [sample.draw(rng) for _ in range(3)]
    cts = [rng.uniform(-1, 1, np.shape(f(*r))).astype(np.float32) for r in rows]
    got = addax.vmap(pulled)(np.stack(cts), *(np.stack(column) for column in zip(*rows, strict=True)))
    want = [pulled(ct, *r) for ct, r in zip(cts, rows, strict=True)]
    assert_same(got, [np.stack([np.asarray(w[k]) for w in want]) for k in range(len(data))], 1e-5)


# --- modes and fill values ---


@pytest.mark.parametrize("dtype", dtypes.ALL_DTYPES, ids=lambda d: d.name)
def test_default_fill_value(dtype):
    bits = dtypes.itemsize_bits(dtype)
    if (bits >= 64 and dtype.name != "complex64") or bits in (1, 6):
        pytest.skip("needs x64, or is not in the oracle")
    x = np.ones(2, dtype)
    rows = ((), (0,), (0,))
    params = {"slice_sizes": (1,), "indices_are_sorted": False, "unique_indices": False, "fill_value": None}
    got = registry["gather"].reference(
        x,
        np.array([[5], [1]]),
        dimension_numbers=GatherDimensionNumbers(*rows),
        mode=GatherScatterMode.FILL_OR_DROP,
        **params,
    )
    want = jnp.asarray(x).at[np.array([5, 1])].get(mode="fill")
    assert_same(got, want)  # NaNs may differ in their payload


def test_fill_value_of_keys():
    assert default_fill_value(dtypes.key_fry) == 2**64 - 1


@pytest.mark.parametrize("given", [None, "clip", "fill", "drop", "promise_in_bounds", "one_hot"])
def test_mode_names(given):
    assert GatherScatterMode.from_any(given).name == jax.lax.GatherScatterMode.from_any(given).name
    assert str(GatherScatterMode.from_any(given)) == str(jax.lax.GatherScatterMode.from_any(given))


@pytest.mark.parametrize("given", ["CLIP", 0, [], "wrap"])
def test_unknown_mode(given):
    with pytest.raises(ValueError, match=r"Unknown gather mode.*'promise_in_bounds'"):
        GatherScatterMode.from_any(given)


# --- what is combined, and in which order ---


def _points(x, indices, updates, name="scatter", combine=None, **flags):
    params = {"indices_are_sorted": False, "unique_indices": False, "mode": GatherScatterMode.FILL_OR_DROP} | flags
    return registry[name].bind(
        x, np.asarray(indices)[:, None], updates,
        update_jaxpr=combine and update_program(combine, get_aval(updates).dtype), update_consts=(),
        dimension_numbers=ScatterDimensionNumbers((), (0,), (0,)), **params,
    )  # fmt: skip


def test_last_update_wins():
    x = np.zeros(4, np.float32)
    indices, updates = [2, 1, 2, 2, 9, 1], np.arange(1, 7, dtype=np.float32)
    assert np.asarray(_points(x, indices, updates)).tolist() == [0, 6, 4, 0]
    tangents = np.eye(6, dtype=np.float32)
    for i in range(6):
        _, t = addax.jvp(lambda u: _points(x, indices, u), (updates,), (tangents[i],))
        expected = {3: [0, 0, 1, 0], 5: [0, 1, 0, 0]}.get(i, [0, 0, 0, 0])
        assert np.asarray(t).tolist() == expected
    _, pull = addax.vjp(lambda x: _points(x, indices, updates), x)
    assert np.asarray(pull(np.ones(4, np.float32))[0]).tolist() == [1, 0, 0, 1]


def test_scatter_into_a_scalar():
    into = ScatterDimensionNumbers((), (), ())
    params = {"dimension_numbers": into, **_SCATTER}
    x, none, u = np.float32(1), np.zeros((3, 0), np.int32), np.array([2, 3, 4], np.float32)
    assert float(registry["scatter"].bind(x, none, u, **params)) == 4
    params["update_jaxpr"] = update_program("add", np.dtype(np.float32))
    assert float(registry["scatter-add"].bind(x, none, u, **params)) == 10


def test_ties_share_the_derivative():
    x = np.array([1.0, 2.0, 3.0], np.float32)
    updates = np.array([1.0, 1.0, 5.0, 0.0], np.float32)
    out, pull = addax.vjp(lambda x, u: _points(x, [0, 0, 1, 2], u, "scatter-max", "max"), x, updates)
    assert np.asarray(out).tolist() == [1, 5, 3]
    dx, du = pull(np.ones(3, np.float32))
    np.testing.assert_allclose(dx, [1 / 3, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(du, [1 / 3, 1 / 3, 1, 0], rtol=1e-6)


def test_nan_gets_no_derivative():
    x = np.array([np.nan, 1.0], np.float32)
    _, pull = addax.vjp(lambda x: _points(x, [0], np.ones(1, np.float32), "scatter-min", "min"), x)
    assert np.asarray(pull(np.ones(2, np.float32))[0]).tolist() == [0, 1]


def test_second_order():
    x = np.array([1.0, 2.0, 3.0], np.float32)
    u = np.array([2.0, 0.5], np.float32)

    def ours_(x, u):
        y = _points(x, [0, 2], u, "scatter-mul", "mul", unique_indices=True)
        cube = registry["mul"].bind(registry["mul"].bind(y, y), y)
        return registry["reduce_sum"].bind(cube, axes=(0,), out_sharding=None)

    def theirs(x, u):
        y = jnp.asarray(x).at[jnp.array([0, 2])].multiply(u, unique_indices=True)
        return (y * y * y).sum()

    got = addax.jvp(lambda u: addax.vjp(lambda u: ours_(x, u), u)[1](np.float32(1))[0], (u,), (np.ones_like(u),))
    want = jax.jvp(jax.grad(lambda u: theirs(x, u)), (u,), (np.ones_like(u),))
    assert_same(got, want, 1e-5)


def test_refusals():
    x, u = np.ones(3, np.float32), np.ones(2, np.float32)
    with pytest.raises(NotImplementedError, match="unique_indices=True"):
        addax.jvp(lambda u: _points(x, [0, 0], u, "scatter-mul", "mul"), (u,), (u,))


F = ShapedArray((3, 4), np.float32)
I = ShapedArray((2, 1), np.int32)
U = ShapedArray((2, 4), np.float32)
_GATHER = {"indices_are_sorted": False, "unique_indices": False, "mode": GatherScatterMode.CLIP, "fill_value": None}
_SCATTER = {
    "indices_are_sorted": False, "unique_indices": False, "mode": GatherScatterMode.CLIP, "update_jaxpr": None,
    "update_consts": (),
}  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "sizes", "indices", "words"),
    [
        (((1,), (0,), (0,)), (1, 5), I, ["at most the operand shape", "(1, 5)", "(3, 4)"]),
        (((1,), (0,), (0,)), (2, 4), I, ["size 1 in collapsed_slice_dims", "2 in dimension 0"]),
        (((1,), (0,), (0,)), (1,), I, ["one entry per dimension"]),
        (((1,), (0,), (0,)), (1, -1), I, ["nonnegative"]),
        (((1,), (0,), (0, 1)), (1, 4), I, ["one entry per dimension in start_index_map", "(2, 1)"]),
        (((1,), (0,), (2,)), (1, 4), I, ["start_index_map must be in [0, 2)"]),
        (((1,), (2,), (0,)), (1, 4), I, ["collapsed_slice_dims must be in [0, 2)"]),
        (((1,), (0, 0), (0,)), (1, 4), I, ["must not repeat"]),
        (((2,), (0,), (0,)), (1, 4), I, ["offset_dims must be in [0, 2)"]),
        (((1, 0), (), (0,)), (1, 4), I, ["offset_dims must be sorted"]),
        (((0, 1), (0,), (0,)), (1, 4), I, ["each operand dimension"]),
        (((1,), (0,), (0,)), (1, 4), ShapedArray((2, 1), np.float32), ["integer type", "float32[2,1]"]),
        (((0,), (0,), (0,)), (1, 4), ShapedArray((), np.int32), ["indices[..., None]"]),
        (((1,), (), (1,), (0,), (0,)), (1, 4), I, ["same sizes", "(3,) and (2,)"]),
        (((), (1,), (1,), (0,), (1,)), (1, 1), I, ["must not contain the last dimension"]),
        (((), (1,), (1,), (0,), ()), (1, 1), I, ["equally many"]),
        (((), (0, 1), (1,), (0,), (0,)), (1, 1), I, ["disjoint"]),
    ],
)
def test_gather_messages(numbers, sizes, indices, words):
    with pytest.raises(TypeError) as caught:
        registry["gather"].abstract_eval(
            F, indices, dimension_numbers=GatherDimensionNumbers(*numbers), slice_sizes=sizes, **_GATHER
        )
    for word in ("gather", *words):
        assert word in str(caught.value)


def test_gather_refuses_one_hot():
    with pytest.raises(TypeError, match="'clip', 'fill' or 'promise_in_bounds'"):
        registry["gather"].abstract_eval(
            F, I, dimension_numbers=GatherDimensionNumbers((1,), (0,), (0,)), slice_sizes=(1, 4),
            **(_GATHER | {"mode": GatherScatterMode.ONE_HOT}),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "updates", "words"),
    [
        (((1,), (0,), (0,)), ShapedArray((2, 4), np.int32), ["float32, int32", "convert_element_type"]),
        (((1,), (0,), (0,)), ShapedArray((3, 4), np.float32), ["(3, 4)", "(2, 1)"]),
        (((1,), (0,), (0,)), ShapedArray((4,), np.float32), ["rank 2", "(4,)"]),
        (((1,), (0,), (0,)), ShapedArray((2, 5), np.float32), ["fit into the operand", "(5,)"]),
        (((2,), (0,), (0,)), U, ["update_window_dims must be in [0, 2)"]),
        (((1,), (), (0,)), U, ["each operand dimension"]),
        (((1,), (0,), (2,)), U, ["scatter_dims_to_operand_dims must be in [0, 2)"]),
        (((1,), (0,), (0, 1)), U, ["one entry per dimension in scatter_dims_to_operand_dims"]),
        (((1,), (), (1,), (0,), (0,)), U, ["same sizes"]),
    ],
)
def test_scatter_messages(numbers, updates, words):
    with pytest.raises(TypeError) as caught:
        registry["scatter"].abstract_eval(
            F, I, updates, dimension_numbers=ScatterDimensionNumbers(*numbers), **_SCATTER
        )
    for word in ("scatter", *words):
        assert word in str(caught.value)


def test_update_program():
    assert (
        str(update_program("add", np.dtype("float32"))) == "{ lambda ; a:f32[] b:f32[]. let c:f32[] = add a b in (c,) }"
    )
    with pytest.raises(TypeError, match="add does not accept dtype bool"):
        update_program("add", np.dtype(bool))


# --- programs ---


@by_sample
def test_programs(sample):
    check_programs(sample, np.random.default_rng(11))


@by_sample
def test_jit(sample):
    p = registry[sample.name]
    rng = np.random.default_rng(8)
    args = sample.draw(rng)
    f = ours(sample)
    got = addax.jit(lambda *a: registry["neg"].bind(f(*a)))(*args)
    params = sample.params | ({} if sample.name == "gather" else {"update_jaxpr": None, "update_consts": ()})
    assert_same(got, -p.reference(*map(np.asarray, args), **params), 1e-6)


@pytest.mark.parametrize("name", ["scatter", "scatter-add", "scatter-mul", "scatter-max"])
@pytest.mark.parametrize(("n", "k"), [(50, 20000), (100_000, 20000), (3000, 1)])
def test_many_updates(name, n, k):
    """Sizes at which engines split work: duplicates still combine, and the last update still wins."""
    rng = np.random.default_rng(9)
    x = rng.uniform(0.9, 1.1, n).astype(np.float32)
    i = rng.integers(-5, n + 5, k)[:, None].astype(np.int32)
    u = rng.uniform(0.9, 1.1, k).astype(np.float32)
    combine = {"scatter-add": "add", "scatter-mul": "mul", "scatter-max": "max"}.get(name)
    got = addax.jit(lambda x, u: _points(x, i[:, 0], u, name, combine))(x, u)
    params = _SCATTER | {
        "mode": GatherScatterMode.FILL_OR_DROP,
        "dimension_numbers": ScatterDimensionNumbers((), (0,), (0,)),
    }
    want = registry[name].reference(x.astype(np.float64), i, u.astype(np.float64), **params)
    np.testing.assert_allclose(np.asarray(got), want, rtol=2e-5)


@pytest.mark.parametrize("mode", ["CLIP", "FILL_OR_DROP"])
def test_many_reads(mode):
    rng = np.random.default_rng(10)
    x = rng.normal(size=(1000, 33)).astype(np.float32)
    i = rng.integers(-5, 1010, (5000, 1)).astype(np.int32)
    params = _GATHER | {"mode": GatherScatterMode[mode], "slice_sizes": (1, 33)}
    params["dimension_numbers"] = GatherDimensionNumbers((1,), (0,), (0,))
    p = registry["gather"]
    assert_same(addax.jit(lambda x: p.bind(x, i, **params))(x), p.reference(x, i, **params))
