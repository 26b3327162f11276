"""named_scope: the names that equations carry, through transformations, as JAX writes them."""

import threading

import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.core.jaxpr import subjaxprs
from addax.experimental import checkify


def f(x):
    with addax.named_scope("a"):
        y = jnp.sin(x)
        with addax.named_scope("b"):
            return y * 2.0


def under_a_scope(x):
    with addax.named_scope("outer"):
        return addax.jit(f)(x)


def stacks(jaxpr) -> list[str]:
    """``primitive name_stack`` of the equations, those of inner programs after the equation that holds them."""
    found = []
    for eqn in jaxpr.eqns:
        found.append(f"{eqn.primitive} {eqn.source_info.name_stack}".strip())
        for inner in subjaxprs(eqn.params):
            found += stacks(inner)
    return found


X = jnp.ones(2)
BACKWARD = ["mul transpose(jvp(a))/b", "mul transpose(jvp(a))"]
FORWARD = ["sin jvp(a)", "cos jvp(a)", "mul jvp(a)/b"]


@pytest.mark.parametrize(
    ("transformed", "x", "want"),
    [
        (f, 1.0, ["sin a", "mul a/b"]),
        (addax.vmap(f), X, ["sin vmap(a)", "mul vmap(a)/b"]),
        (lambda x: addax.jvp(f, (x,), (x,)), 1.0, ["sin jvp(a)", "cos jvp(a)", "mul jvp(a)", *["mul jvp(a)/b"] * 2]),
        (addax.grad(f), 1.0, [*FORWARD, *BACKWARD]),
        (
            addax.vmap(addax.grad(f)), X,
            [s.replace("jvp(a)", "vmap(jvp(a))") for s in FORWARD]
            + [s.replace("transpose(jvp(a))", "vmap(transpose(jvp(a)))") for s in BACKWARD],
        ),
        (
            addax.grad(lambda x: addax.vmap(f)(x).sum()), X,
            ["sin jvp(vmap(a))", "cos jvp(vmap(a))", "mul jvp(vmap(a))/b", "reduce_sum", "broadcast_in_dim",
             "mul transpose(jvp(vmap(a)))/b", "mul transpose(jvp(vmap(a)))"],
        ),
        (under_a_scope, 1.0, ["jit outer", "sin a", "mul a/b"]),
        (addax.grad(under_a_scope), 1.0, ["jit jvp(outer)", *FORWARD, "jit transpose(jvp(outer))", *BACKWARD]),
        (
            lambda x: addax.named_scope("o")(addax.grad(f))(x), 1.0,
            [s.replace(" ", " o/", 1) for s in [*FORWARD, *BACKWARD]],
        ),
        (lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0], 1.0, ["scan", "sin a", "mul a/b"]),
        (addax.named_call(lambda x: jnp.cos(x), name="call"), 1.0, ["cos call"]),
        (addax.named_call(under_a_scope), 1.0, ["jit under_a_scope/outer", "sin a", "mul a/b"]),
    ],
)  # fmt: skip
def test_stacks(transformed, x, want):
    assert stacks(addax.make_jaxpr(transformed)(x).jaxpr) == want


def test_rules_stand_in_the_scope_of_the_call():
    @addax.custom_vjp
    def g(x):
        return jnp.sin(x)

    def bwd(residual, ct):
        with addax.named_scope("bwd"):
            return (residual * ct,)

    g.defvjp(lambda x: (jnp.sin(x), jnp.cos(x)), bwd)
    scoped = addax.named_scope("a")(g)
    assert stacks(addax.make_jaxpr(addax.grad(scoped))(1.0).jaxpr)[-1] == "mul transpose(jvp(a))/bwd"
    assert stacks(addax.make_jaxpr(addax.grad(addax.jit(scoped)))(1.0).jaxpr)[-1] == "mul transpose(jvp(a))/bwd"


def test_printed():
    text = addax.make_jaxpr(f)(1.0).pretty_print(name_stack=True)
    assert "# [a]" in text and "# [a/b]" in text
    assert "[" not in str(addax.make_jaxpr(f)(1.0)).replace("f32[]", "")


def test_lowered():
    lowered = addax.jit(under_a_scope).lower(1.0)
    assert '/a/b/mul"' in lowered.as_text("stablehlo", debug_info=True)
    assert "loc(" not in lowered.as_text("stablehlo")
    assert "# [outer]" in lowered.as_text(debug_info=True)


def test_messages_name_the_scope():
    def g(x):
        with addax.named_scope("layer"):
            checkify.check(x > 0, "no")
            return x

    with pytest.raises(ValueError, match=r"test_named_scopes.py:\d+:\d+ \(.*\.g\) \[layer\]"):
        addax.jit(g)(-1.0)


def test_the_name_is_text():
    with pytest.raises(TypeError, match="named_scope name argument must be a string, got int"):
        addax.named_scope(5)


def test_nothing_remains_after_an_error():
    with pytest.raises(ZeroDivisionError), addax.named_scope("broken"):
        1 / 0
    assert stacks(addax.make_jaxpr(jnp.sin)(1.0).jaxpr) == ["sin"]


def test_a_decorated_function_may_run_in_several_threads_at_once():
    inside, go_on = threading.Event(), threading.Event()

    @addax.named_scope("layer")
    def f(x, wait=False):
        if wait:
            inside.set()
            go_on.wait(10)
        return jnp.sin(x)

    thread = threading.Thread(target=f, args=(1.0, True))

    def g(x):
        with addax.named_scope("outer"):
            thread.start()
            inside.wait(10)
            x = f(x)
            go_on.set()
            thread.join()
            return jnp.cos(x)

    assert stacks(addax.make_jaxpr(g)(1.0).jaxpr) == ["sin outer/layer", "cos outer"]
