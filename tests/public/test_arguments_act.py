"""Arguments that are easily overlooked: obeyed, or refused by name."""

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax.sharding import SingleDeviceSharding


def test_where_things_are_to_be_made():
    device = addax.devices()[0]
    there = SingleDeviceSharding(device)
    made = [
        addax.nn.initializers.normal()(addax.random.key(0), (2, 3), "float32", there),
        addax.nn.initializers.zeros(addax.random.key(0), (2, 3), out_sharding=there),
        addax.nn.initializers.he_normal()(addax.random.key(0), (2, 3), out_sharding=there),
        addax.ops.segment_sum(np.ones(3), np.array([0, 1, 1]), 2, out_sharding=there),
        jnp.ones(3).astype("int32", device=device),
        addax.random.normal(addax.random.key(0), (3,), out_sharding=there),
    ]
    for x in made:
        assert x.committed and x.sharding == there
    assert not jnp.ones(3).astype("int32").committed
    with pytest.raises(ValueError, match="zeros: give either `device` or `out_sharding`, got device=CpuDevice"):
        jnp.zeros(3, device=device, out_sharding=there)


def test_live_arrays_of_a_platform():
    x = jnp.ones(3)
    assert any(a is x for a in addax.live_arrays("cpu")) and not addax.live_arrays("tpu")


def test_axes_that_a_traced_function_refers_to():
    jaxpr = addax.make_jaxpr(lambda x: addax.lax.psum(x, "i"), axis_env=[("i", 4)])(1.0)
    assert "psum" in str(jaxpr)


def test_compiler_options_are_those_of_xla():
    with pytest.raises(ValueError, match=r"No such compile option: 'nonsense'\. The CPU engine has none"):
        addax.jit(jnp.sin, compiler_options={"nonsense": 1})(1.0)
    assert float(addax.jit(jnp.sin, compiler_options={"xla_cpu_enable_fast_math": True})(0.0)) == 0.0


def test_reduce_axes_are_refused():
    for name, call in [
        ("grad", lambda: addax.grad(jnp.sin, reduce_axes=("i",))),
        ("vjp", lambda: addax.vjp(jnp.sin, 1.0, reduce_axes=("i",))),
        ("linear_transpose", lambda: addax.linear_transpose(jnp.negative, 1.0, reduce_axes=("i",))),
    ]:
        with pytest.raises(NotImplementedError, match=f"{name}: reduce_axes is no longer supported, got"):
            call()


def test_operands_of_branches():
    """None is an operand; each function may have its own."""
    for run in (lambda f: f, addax.jit):
        assert (
            run(lambda: addax.lax.cond(True, lambda x: 1.0 if x is None else 0.0, lambda x: 2.0, operand=None))() == 1
        )
        assert (
            run(lambda: addax.lax.switch(1, [lambda x: 0.0, lambda x: 1.0 if x is None else 0.0], operand=None))() == 1
        )
        assert run(lambda p: addax.lax.cond(p, 1.0, lambda x: x, (2.0, 3.0), lambda x: x[1]))(False) == 3
    with pytest.raises(
        TypeError, match=r"lax\.switch: if 'operand' keyword is passed then no positional operands can be"
    ):
        addax.lax.switch(0, [jnp.sin, jnp.cos], 1.0, operand=None)


def test_arguments_that_are_not_supported_are_refused():
    x = jnp.arange(3)
    for call, error, text in [
        (
            lambda: jnp.sort(x, kind="quicksort"),
            TypeError,
            "'kind' argument to sort is not supported: write stable=True",
        ),
        (
            lambda: x.argsort(order="name"),
            TypeError,
            "'order' argument to argsort is not supported: arrays have no named",
        ),
        (lambda: jnp.searchsorted(x, x, method="fast"), ValueError, "invalid argument method='fast', expected one of"),
        (lambda: jnp.digitize(x, x, method="fast"), ValueError, "invalid argument method='fast', expected one of"),
        (
            lambda: x.compress(x > 1, out=x),
            NotImplementedError,
            "'out' argument to addax.numpy.compress is not supported",
        ),
        (lambda: x.to_device(addax.devices()[0], stream=1), NotImplementedError, "there are no streams to choose from"),
        (lambda: addax.jit(lambda m: x.at[m].apply(jnp.sin, nonsense=1))(x > 1), TypeError, "argument 'nonsense'"),
        (lambda: addax.image.resize(x, (-1,), "nearest"), ValueError, r"non-negative dimensions, got \(-1,\)"),
    ]:
        with pytest.raises(error, match=text):
            call()


def test_arrays_of_others_are_copied_as_told():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert jnp.from_dlpack(x).unsafe_buffer_pointer() == x.ctypes.data
    assert addax.dlpack.from_dlpack(x, None, True).unsafe_buffer_pointer() != x.ctypes.data
    assert jnp.from_dlpack(x.T).tolist() == x.T.tolist()
    assert jnp.from_dlpack(np.arange(2.0)).dtype == np.float32
    assert addax.dlpack.from_dlpack(x, addax.devices()[0]).committed
    for other in (x.T, np.arange(2.0)):
        with pytest.raises(
            ValueError, match="copy=False, but the array is strided, misaligned or of a dtype that must be"
        ):
            jnp.from_dlpack(other, copy=False)
    shared = jnp.from_dlpack(x, copy=False)
    assert addax.jit(lambda x: x.at[0].set(7), donate_argnums=0)(shared)[0, 0] == 7 and x[0, 0] == 0
