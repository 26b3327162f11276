"""The lines of equations: a program that a transformation writes again still comes from the user's inner lines.

Lines are named by the comment that ends them.
"""

import pathlib
import re

import numpy as np

import addax
import addax.numpy as jnp
from addax import lax
from addax.ad_checkpoint import saved_residuals
from addax.core.jaxpr import ClosedJaxpr, eval_jaxpr, subjaxprs

NAMES = {
    number: found[1]
    for number, line in enumerate(pathlib.Path(__file__).read_text().splitlines(), 1)
    if (found := re.search(r"# <(\w+)>$", line))
}
X = np.linspace(0.5, 1.5, 3, dtype=np.float32)


def lines(fun, *args) -> dict[str, set]:
    """Primitive -> the names of the lines that its equations come from, in programs of all depths."""
    found: dict[str, set] = {}

    def walk(jaxpr):
        for eqn in jaxpr.eqns:
            assert eqn.source_info.file == __file__
            found.setdefault(eqn.primitive.name, set()).add(NAMES.get(eqn.source_info.line))
            for inner in subjaxprs(eqn.params):
                walk(inner)

    walk(addax.make_jaxpr(fun)(*args).jaxpr)
    return found


@addax.jit
def inner(x):
    y = jnp.sin(x)  # <first>
    z = lax.exp(y)  # <second>
    return jnp.tanh(z)  # <third>


def outer(x):
    return inner(x)  # <call>


def check(found, **expected):
    assert {k: found.get(k) for k in expected} == {k: {v} for k, v in expected.items()}


def test_calls_of_jitted_functions():
    plain = dict(sin="first", exp="second", tanh="third", jit="call")
    check(lines(outer, 1.0), **plain)
    check(lines(addax.vmap(outer), X), **plain)
    check(lines(addax.vmap(addax.vmap(outer)), X[None]), **plain)
    for derivative in (addax.grad(outer), addax.jacfwd(outer), addax.jacrev(outer), addax.value_and_grad(outer)):
        found = lines(derivative, 1.0)
        check(found, sin="first", cos="first", exp="second", tanh="third")
        assert None not in found["mul"] and found["mul"] <= {"first", "second", "third"}, found
    found = lines(addax.vmap(addax.grad(addax.jit(outer))), X)
    check(found, sin="first", cos="first", exp="second", tanh="third")
    found = lines(addax.hessian(outer), 1.0)
    check(found, cos="first", exp="second", tanh="third")


@addax.jit
def looped(x):
    def body(c, a):
        c = jnp.sin(c) * a  # <carry>
        return c, lax.exp(c)  # <row>

    c, rows = lax.scan(body, x[0], x)
    c = lax.fori_loop(0, 3, lambda i, c: lax.tanh(c), c)  # <loop>
    c = lax.cond(
        c > 0,
        lambda c: lax.log(c),  # <branch>
        lambda c: c,
        c,
    )
    return c + rows.sum()


def test_bodies_of_control_flow():
    expected = dict(sin="carry", exp="row", tanh="loop", log="branch")
    check(lines(looped, X), **expected)
    check(lines(addax.vmap(looped), X[None]), **expected)
    check(lines(addax.vmap(looped, in_axes=1), X[:, None]), **expected)
    check(lines(addax.grad(looped), X), cos="carry", **expected)
    check(lines(lambda x: addax.jvp(looped, (x,), (x,)), X), cos="carry", **expected)
    check(lines(addax.vmap(addax.grad(looped)), X[None]), cos="carry", **expected)


@addax.custom_jvp
def forward_rule(x):
    return jnp.sin(x)  # <forward_value>


@forward_rule.defjvp
def _(primals, tangents):
    slope = jnp.exp(primals[0])  # <forward_slope>
    return forward_rule(*primals), lax.tan(slope) * tangents[0]  # <forward_tangent>


@addax.custom_vjp
def reverse_rule(x):
    return jnp.sin(x)  # <reverse_value>


def forward(x):
    return reverse_rule(x), jnp.exp(x)  # <reverse_residual>


def backward(residual, ct):
    return (lax.tan(residual) * ct,)  # <reverse_cotangent>


reverse_rule.defvjp(forward, backward)


def test_rules_of_the_user_have_their_own_lines():
    f = addax.jit(lambda x: forward_rule(x))
    expected = dict(sin="forward_value", exp="forward_slope", tan="forward_tangent")
    for transformed in (addax.grad(f), addax.jacfwd(f)):
        check(lines(transformed, 1.0), **expected)
        check(lines(addax.vmap(transformed), X), **expected)
    g = addax.jit(lambda x: reverse_rule(x))
    expected = dict(sin="reverse_value", exp="reverse_residual", tan="reverse_cotangent")
    check(lines(addax.grad(g), 1.0), **expected)
    check(lines(addax.vmap(addax.grad(g)), X), **expected)
    check(lines(addax.jit(addax.grad(addax.jit(g))), 1.0), **expected)


def test_checkpoint():
    @addax.checkpoint
    def piece(x):
        x = jnp.sin(x)  # <kept>
        return jnp.exp(x)  # <again>

    check(lines(addax.grad(piece), 1.0), sin="kept", cos="kept", exp="again")
    policies = addax.checkpoint_policies
    for policy, wrapped in (
        (policies.everything_saveable, inner), (policies.nothing_saveable, inner), (policies.dots_saveable, outer),
    ):  # fmt: skip
        found = lines(addax.grad(addax.checkpoint(wrapped, policy=policy)), 1.0)
        check(found, sin="first", cos="first", exp="second", tanh="third")

    saved = {what for _, what in saved_residuals(outer, 1.0)}
    places = {re.sub(r"^.*test_source_lines.py:(\d+).*", lambda m: NAMES[int(m[1])], what) for what in saved}
    assert {"first", "second", "third"} >= places != set(), saved
    (kept,) = [
        what for _, what in saved_residuals(addax.checkpoint(inner, policy=policies.save_only_these_names()), 1.0)
    ]
    assert kept.startswith("from the argument")


def test_equations_without_a_line_get_that_of_the_call():
    closed = addax.make_jaxpr(lambda x: jnp.sin(x))(1.0)
    bare = ClosedJaxpr(closed.jaxpr.replace(eqns=[e.replace(source=None) for e in closed.eqns]))

    def f(x):
        return eval_jaxpr(bare.jaxpr, bare.consts, x)[0]  # <outside>

    check(lines(f, 1.0), sin="outside")
    check(lines(addax.vmap(addax.grad(f)), X), sin="outside", cos="outside")
