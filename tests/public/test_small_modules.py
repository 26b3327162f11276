"""The small public modules, against JAX: typing, flatten_util, segments, image, test_util, dlpack, stages."""

import functools

import jax
import jax.flatten_util
import jax.image
import jax.numpy
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax.errors import ConcretizationTypeError

R = np.random.RandomState(0)


def close(ours, theirs, tol=2e-6):
    assert np.shape(ours) == np.shape(theirs) and ours.dtype == theirs.dtype
    np.testing.assert_allclose(np.asarray(ours, np.float64), np.asarray(theirs, np.float64), rtol=tol, atol=tol)


def test_isinstance_of_annotations():
    for x in (1, 2.0, True, np.float32(1), np.ones(2), jnp.ones(2)):
        assert isinstance(x, addax.typing.ArrayLike)
    assert not isinstance([1, 2], addax.typing.ArrayLike)
    assert isinstance(addax.devices()[0], addax.Device)
    assert isinstance(addax.jit(jnp.sin), addax.stages.Wrapped)
    assert isinstance(addax.jit(jnp.sin).lower(1.0), addax.stages.Lowered)
    assert isinstance(addax.jit(jnp.sin).lower(1.0).compile(), addax.stages.Compiled)
    assert addax.float0 == jax.float0


# --- ravel_pytree ---


def test_ravel_pytree_there_and_back():
    tree = {"w": R.randn(2, 3).astype("f4"), "b": [np.float32(3), np.arange(2, dtype="i4")], "none": None}
    ours, back = addax.flatten_util.ravel_pytree(tree)
    theirs, _ = jax.flatten_util.ravel_pytree(tree)
    close(ours, theirs)
    again = back(ours)
    assert again["none"] is None and again["b"][1].dtype == np.int32
    np.testing.assert_array_equal(again["w"], tree["w"])
    assert addax.grad(lambda v: (back(v)["w"] ** 2).sum())(ours).shape == ours.shape


def test_ravel_pytree_of_real_and_complex_numbers():
    vector, back = addax.flatten_util.ravel_pytree({"a": 1j, "b": np.float32(2)})  # no ComplexWarning
    assert vector.dtype == np.complex64 and back(vector)["b"].dtype == np.float32 and back(vector)["b"] == 2


def test_ravel_pytree_mistakes():
    _, back = addax.flatten_util.ravel_pytree([1.0, 2])
    with pytest.raises(
        ValueError, match=r"expected a vector of shape \(2,\), as ravel_pytree made it, got float32\[3\]"
    ):
        back(jnp.ones(3))
    with pytest.raises(
        TypeError, match=r"expected a vector of dtype float32, .*got int32\[2\]: convert it with .astype"
    ):
        back(jnp.ones(2, jnp.int32))
    assert addax.flatten_util.ravel_pytree({})[0].shape == (0,)


# --- segments ---

SEGMENTS = ["segment_sum", "segment_prod", "segment_max", "segment_min"]


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_segments(name, dtype):
    data = (R.randint(1, 4, (6, 2)) - (dtype == "float32") * 0.5).astype(dtype)
    ids = np.array([0, 0, 2, 5, -1, 2])
    ours, theirs = getattr(addax.ops, name), getattr(jax.ops, name)
    if dtype != "bool":
        close(ours(data, ids, num_segments=5), theirs(data, ids, num_segments=5))
        close(addax.jit(functools.partial(ours, num_segments=3))(data, ids), theirs(data, ids, num_segments=3))
        close(ours(data, np.abs(ids)), theirs(data, np.abs(ids)))
        close(ours(data, ids, 4, bucket_size=4), theirs(data, ids, 4, bucket_size=4))
    elif name in ("segment_max", "segment_min"):
        np.testing.assert_array_equal(ours(data, ids, num_segments=5), theirs(data, ids, num_segments=5))


def test_segments_differentiate_and_batch():
    data, ids = R.randn(5).astype("f4"), np.array([0, 1, 1, 0, 2])
    for name in SEGMENTS:
        if name == "segment_prod":
            continue
        ours, theirs = getattr(addax.ops, name), getattr(jax.ops, name)
        g = addax.grad(lambda x, f=ours: (f(x, ids, 3) ** 2).sum())(data)
        close(g, jax.grad(lambda x, f=theirs: (f(x, ids, 3) ** 2).sum())(data), 1e-5)
    batch = R.randn(4, 5).astype("f4")
    close(
        addax.vmap(lambda x: addax.ops.segment_sum(x, ids, 3))(batch),
        jax.vmap(lambda x: jax.ops.segment_sum(x, ids, 3))(batch),
    )


def test_segment_mistakes():
    with pytest.raises(ConcretizationTypeError, match=r"depends on the largest segment id. Pass num_segments"):
        addax.jit(addax.ops.segment_sum)(np.ones(3), np.array([0, 1, 1]))
    with pytest.raises(
        ValueError, match=r"its shape must begin that of data; got data of shape \(3,\) and segment_ids of"
    ):
        addax.ops.segment_sum(np.ones(3), np.array([0, 1]))
    with pytest.raises(TypeError, match="segment_sum: segment_ids must be integers, got float32"):
        addax.ops.segment_sum(np.ones(3), np.ones(3))


# --- image ---

METHODS = ["nearest", "bilinear", "bicubic", "bicubic-pytorch", "lanczos3", "lanczos5", "area"]


@pytest.mark.parametrize("method", METHODS)
def test_resize(method):
    image = R.rand(5, 8, 2).astype("f4")
    shapes = [(5, 8, 2), (10, 3, 2), (2, 11, 3)]

    def all_of(module):
        return [module.image.resize(image, shape, method, antialias=a) for shape in shapes for a in (True, False)]

    for got, want in zip(all_of(addax), jax.jit(lambda: all_of(jax))(), strict=True):
        close(got, want, 1e-5)


def test_resize_of_integers():
    image = R.randint(0, 99, (4, 6))
    close(addax.image.resize(image, (7, 3), "linear"), jax.image.resize(image, (7, 3), "linear"), 1e-4)
    close(addax.image.resize(image, (7, 3), "nearest"), jax.image.resize(image, (7, 3), "nearest"))
    moved = [
        m.image.scale_and_translate(image, (4, 6), (0,), np.array([2]), np.array([1]), "linear") for m in (addax, jax)
    ]
    close(*moved)


def test_scale_and_translate_and_its_gradient():
    image = R.rand(5, 8).astype("f4")
    scale, shift = np.array([1.5, 0.7], "f4"), np.array([0.3, -1.2], "f4")

    def total(module, scale, shift, image):
        out = module.image.scale_and_translate(image, (6, 7), (0, 1), scale, shift, "cubic")
        return (out**2).sum()

    close(
        addax.image.scale_and_translate(image, (6, 7), (0, 1), scale, shift, "lanczos3"),
        jax.image.scale_and_translate(image, (6, 7), (0, 1), scale, shift, "lanczos3"), 1e-5,
    )  # fmt: skip
    ours = addax.jit(addax.grad(functools.partial(total, addax), argnums=(0, 1, 2)))(scale, shift, image)
    theirs = jax.jit(jax.grad(functools.partial(total, jax), argnums=(0, 1, 2)))(scale, shift, image)
    for g, w in zip(ours, theirs, strict=True):
        close(g, w, 1e-4)


def test_image_mistakes():
    with pytest.raises(ValueError, match="Unknown resize method \"cubical\": expected one of 'nearest', 'linear'"):
        addax.image.resize(np.ones((2, 2)), (3, 3), "cubical")
    with pytest.raises(ValueError, match="shape must have length equal to the number of dimensions"):
        addax.image.resize(np.ones((2, 2)), (3,), "linear")
    with pytest.raises(
        ValueError, match="Nearest neighbor resampling is not currently supported for scale_and_translate"
    ):
        addax.image.scale_and_translate(np.ones(2), (3,), (0,), np.ones(1), np.ones(1), "nearest")
    with pytest.raises(ValueError, match="dimension 0 changes from 2 to 3 but is not among spatial_dims"):
        addax.image.scale_and_translate(np.ones((2, 2)), (3, 3), (1,), np.ones(1), np.ones(1), "linear")


# --- derivatives against finite differences ---


def test_check_grads_accepts_what_is_right():
    addax.test_util.check_grads(lambda x, y: jnp.sin(x) * y["a"], (0.5, {"a": np.array([2.0, 3.0], "f4")}), order=2)
    addax.test_util.check_grads(lambda x, n: x**n, (np.float32(1.3), 3), order=1)
    with addax.enable_x64(True):
        addax.test_util.check_grads(lambda z: jnp.abs(z * z) ** 2, (1.0 + 0.5j,), order=1)
        addax.test_util.check_grads(lambda x: jnp.exp(jnp.sin(x)), (0.3,), order=3)


def test_check_grads_finds_what_is_wrong():
    check = addax.test_util.check_grads

    @addax.custom_jvp
    def wrong(x):
        return x**3

    wrong.defjvp(lambda primals, tangents: (wrong(*primals), 2 * primals[0] ** 2 * tangents[0]))
    for modes in (["fwd"], ["rev"]):
        with pytest.raises(AssertionError, match="JVP tangent" if modes == ["fwd"] else "VJP cotangent projection"):
            check(wrong, (1.5,), 1, modes)
    inner = addax.custom_jvp(lambda x: x**2)
    inner.defjvp(lambda p, t: (inner(*p), addax.lax.stop_gradient(2 * p[0]) * t[0]))
    check(inner, (1.5,), 1)
    with pytest.raises(AssertionError, match="JVP tangent"):  # right to first order only
        check(inner, (1.5,), 2)


# --- the rest ---


def test_dlpack():
    assert addax.dlpack.is_supported_dtype("float32") and not addax.dlpack.is_supported_dtype("int4")
    np.testing.assert_array_equal(addax.dlpack.from_dlpack(np.arange(3.0, dtype="f4")), [0, 1, 2])


def test_small_functions():
    x = {"a": jnp.ones(3)}
    assert addax.copy_to_host_async(x) is x and addax.process_indices() == [0]
    assert isinstance(x["a"].addressable_shards[0], addax.Shard)


def test_environment(capsys):
    addax.print_environment_info()
    text = capsys.readouterr().out
    assert text.startswith("addax:") and "CpuDevice(id=0)" in text


def test_unknown_names():
    with pytest.raises(AttributeError, match="module 'addax' has no attribute 'nonsense'"):
        addax.nonsense
    assert not hasattr(addax, "declare_inert")  # nor any other name of the modules where options stand
    with pytest.raises(AttributeError, match=r"module 'addax\.ops' has no attribute 'nonsense'"):
        addax.ops.nonsense


def test_what_there_is_only_one_of():
    device = addax.devices()[0]
    assert addax.sharding.SingleDeviceSharding(device, memory_kind="device").memory_kind == "device"
    with pytest.raises(ValueError, match="memory kind 'pinned_host' is not supported: arrays live in 'device' memory"):
        addax.sharding.SingleDeviceSharding(device, memory_kind="pinned_host")
    assert addax.local_devices(host_id=0) == addax.local_devices(0) == [device]
    with pytest.raises(ValueError, match="Unknown process_index 3"):
        addax.local_devices(3)
    with pytest.raises(NotImplementedError, match="expected a SingleDeviceSharding, got str"):
        addax.pure_callback(abs, addax.ShapeDtypeStruct((), "float32"), 1.0, sharding="x")
    with pytest.raises(ValueError, match=r"vmap_method must be one of sequential, .* or None, got 'loop'"):
        addax.pure_callback(abs, addax.ShapeDtypeStruct((), "float32"), 1.0, vmap_method="loop")
    with pytest.raises(TypeError, match="pure_callback: expected a function to call, got 3"):
        addax.pure_callback(3, addax.ShapeDtypeStruct((), "float32"), 1.0)
