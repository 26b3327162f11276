"""Large programs: long ones, deeply nested calls, deep pytrees. No stack overflows, and the work grows with the size.

Work is counted in calls of functions, which does not depend on the machine; twice the size may cost little more than
twice the calls.
"""

import gc
import sys

import pytest

import addax
import addax.numpy as jnp

X = jnp.ones(3)
pytestmark = pytest.mark.usefixtures("unchecked")  # the checker would walk every derived program again


def calls(f) -> int:
    """How many Python and C functions ``f()`` calls."""
    count = 0

    def profiler(frame, event, arg):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        f()
    finally:
        sys.setprofile(before)
    return count


def assert_linear(work_of, sizes: tuple[int, int]) -> None:
    """``work_of(n)`` gives a function to be counted; the second size is twice the first."""
    small, large = (calls(work_of(n)) for n in sizes)
    assert large < 2.3 * small, f"{small} calls for size {sizes[0]}, {large} for {sizes[1]}"


def long_program(n: int):
    def f(x):
        for i in range(n // 2):
            x = jnp.sin(x) + i
        return x

    return f


def repeated_calls(n: int):
    g = addax.jit(lambda x: jnp.sin(x) + 1)

    def f(x):
        for _ in range(n):
            x = g(x)
        return x

    return f


def nested_calls(n: int):
    """jit around jit around ..., each traced before the next is made, as libraries do."""
    f = addax.jit(lambda x: jnp.sin(x) + 1)
    addax.eval_shape(f, X)
    for k in range(n):
        f = addax.jit(lambda x, f=f, k=k: f(x) * (1 + 1 / (k + 1) ** 2))
        addax.eval_shape(f, X)
    return f


TRANSFORMS = {
    "trace": lambda f: lambda: addax.make_jaxpr(f)(X),
    "vmap": lambda f: lambda: addax.make_jaxpr(addax.vmap(f))(X[None]),
    "jvp": lambda f: lambda: addax.make_jaxpr(lambda x: addax.jvp(f, (x,), (x,)))(X),
    "grad": lambda f: lambda: addax.make_jaxpr(addax.grad(lambda x: f(x).sum()))(X),
    "grad of jit": lambda f: lambda: addax.make_jaxpr(addax.grad(lambda x: addax.jit(f)(x).sum()))(X),
    "compile": lambda f: lambda: addax.jit(f)(X),
}
PROGRAMS = {"long": long_program, "repeated calls": repeated_calls, "nested calls": nested_calls}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_work_is_linear(program, transform):
    TRANSFORMS[transform](PROGRAMS[program](30))()  # what is computed once
    assert_linear(lambda n: TRANSFORMS[transform](PROGRAMS[program](n)), (100, 200))


@pytest.mark.slow
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("program", "n"), [("long", 100_000), ("repeated calls", 10_000), ("nested calls", 10_000)])
def test_the_largest(program, n, transform):
    """They run, within Python's stack and recursion limit."""
    TRANSFORMS[transform](PROGRAMS[program](n))()


def test_nested_calls_give_the_values_of_one():
    def plain(x):
        x = jnp.sin(x) + 1
        for k in range(150):
            x = x * (1 + 1 / (k + 1) ** 2)
        return x

    f = nested_calls(150)
    assert jnp.allclose(f(X), plain(X))
    assert jnp.allclose(addax.grad(lambda x: f(x).sum())(X), addax.grad(lambda x: plain(x).sum())(X))
    assert jnp.allclose(addax.vmap(f)(X[None]), plain(X))
    assert jnp.allclose(addax.jit(addax.jvp, static_argnums=0)(f, (X,), (X,))[1], addax.jvp(plain, (X,), (X,))[1])


def deep_tree(n: int):
    t = jnp.float32(1.0)
    for k in range(n):
        t = ({"a": t, "b": None}, (t, jnp.float32(k)), [t])[k % 3]
    return t


TREE_FUNCTIONS = {
    "flatten": lambda t: addax.tree.leaves(t),
    "map": lambda t: addax.tree.map(lambda x: x + 1, t),
    "structure": lambda t: hash(addax.tree.structure(t)) == hash(addax.tree.structure(addax.tree.map(lambda x: x, t))),
    "paths": lambda t: addax.tree.leaves_with_path(t),
    "repr": lambda t: str(addax.tree.structure(t)),
    "jit": lambda t: addax.jit(lambda t: addax.tree.map(lambda x: x * 2, t))(t),
    "grad": lambda t: addax.grad(lambda t: sum(addax.tree.leaves(t)))(t),
    "vmap": lambda t: addax.vmap(lambda t: t, in_axes=None, out_axes=None, axis_size=2)(t),
    "eval_shape": lambda t: addax.eval_shape(lambda t: t, t),
    "copy": lambda t: addax.tree.structure(t).unflatten(addax.tree.leaves(t)),
}


@pytest.mark.parametrize("name", TREE_FUNCTIONS)
def test_deep_trees(name):
    small, large = deep_tree(1000), deep_tree(2000)
    TREE_FUNCTIONS[name](deep_tree(30))
    assert calls(lambda: TREE_FUNCTIONS[name](large)) < 2.3 * calls(lambda: TREE_FUNCTIONS[name](small)) + 50


def test_tracing_leaves_the_garbage_collector_as_it_was():
    def f(x):
        assert not gc.isenabled()
        return addax.jit(lambda y: y + 1)(x)

    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            addax.make_jaxpr(f)(X)
            with pytest.raises(ZeroDivisionError):
                addax.make_jaxpr(lambda x: 1 // 0)(X)
            assert gc.isenabled() == enabled
        finally:
            gc.enable()
