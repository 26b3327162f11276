"""Code per platform, and operations with a name."""

from __future__ import annotations

import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.engines.xla.lower import lower
from addax.engines.xla.module import Target
from addax.extend.core import primitives


def chosen(x):
    return lax.platform_dependent(x, tpu=lambda x: x + 1, cuda=lambda x: x - 1, default=lambda x: x * 10)


def test_the_platform_chooses():
    for f in (chosen, addax.jit(chosen), addax.vmap(chosen), addax.grad(lambda x: chosen(x).sum())):
        assert f(jnp.ones(2)).tolist() == [10.0, 10.0]
    assert lax.platform_dependent(1.0, cpu=lambda x: x + 1) == 2.0
    assert lax.platform_dependent(1.0, default=lambda x: x + 1) == 2.0
    program = addax.make_jaxpr(chosen)(1.0)
    assert addax.jit(chosen).lower(1.0).as_text("simplified").count("mul") == 1  # nothing else is left
    assert "cond" not in addax.jit(chosen).lower(1.0).as_text("simplified")
    for platform, index in (("tpu", 0), ("cuda", 1), ("cpu", 2), ("rocm", 2)):
        assert f"constant dense<{index}> : tensor<i32>" in lower(program, Target(platform), locations=False).text


def test_a_platform_without_code():
    def f(x):
        return lax.platform_dependent(x, tpu=lambda x: x, cuda=lambda x: x)

    for call in (f, addax.jit(f)):
        with pytest.raises(NotImplementedError, match="no code for platform 'cpu', only for tpu, cuda: give default="):
            call(1.0)
    with pytest.raises(ValueError, match="Use 'cuda' or 'rocm'"):
        lax.platform_dependent(1.0, gpu=lambda x: x)


def test_composite_is_its_decomposition():
    op = lax.composite(lambda x, *, scale=1.0: {"y": jnp.sin(x) * scale}, "my.op", version=2)
    x = jnp.array([0.5, 1.0])
    want = (jnp.sin(x) * 2).tolist()
    assert op(x, scale=2.0)["y"].tolist() == addax.vmap(lambda x: op(x, scale=2.0)["y"])(x).tolist() == want
    assert addax.grad(lambda x: op(x)["y"].sum())(x).tolist() == jnp.cos(x).tolist()
    assert "name=my_op" in str(addax.make_jaxpr(op)(x))
    with pytest.raises(ValueError, match=r"must have a namespace, such as 'my_namespace\.my_op'; got 'op'"):
        lax.composite(jnp.sin, "op")
    with pytest.raises(TypeError, match=r"the keyword arguments of my\.op are attributes"):
        addax.jit(lambda s: op(x, scale=s))(2.0)


def test_what_is_not_there_says_what_to_write():
    for name, text in (("rng_uniform", "use addax.random.uniform"), ("create_token", "tokens are no values here")):
        with pytest.raises(AttributeError, match=f"'addax.lax' has no attribute '{name}': .*{text}"):
            getattr(lax, name)
    assert not hasattr(lax, "after_all")


def test_primitives_have_the_names_of_jax():
    for module in (primitives, lax.linalg):
        assert module.householder_product_p.name == "householder_product" and module.cholesky_p.name == "cholesky"
    assert primitives.remat_p.name == "checkpoint" and lax.linear_solve_p.name == "custom_linear_solve"
    with pytest.raises(AttributeError, match=r"'addax\.lax\.linalg' has no attribute 'nothing_p'"):
        lax.linalg.nothing_p


def test_dtype():
    assert [lax.dtype(v) for v in (1, 1.5, jnp.int8(2), float)] == ["int32", "float32", "int8", "float32"]
    with pytest.raises(TypeError, match="cannot determine the dtype of list"):
        lax.dtype([1])
