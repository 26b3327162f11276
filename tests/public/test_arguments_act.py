"""Arguments that say where or under which axes: obeyed, or refused by name."""

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
