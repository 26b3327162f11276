"""Traced programs print as JAX prints them.

Where they do not, it is for one of these reasons: functions of JAX's NumPy that are jitted there stand as a ``jit``
equation (`where`, `sort`, `cumsum`, `clip`, ``//``) and as their equations here; arrays made of Python numbers
(`arange`, the basis of `jacfwd`) are constants here; JAX prints some axes as ``np.int64(1)``; `stack` is a primitive
there when it is traced; scalar arrays captured from outside are literals here, constants there.
"""

import jax
import jax.numpy
import numpy as np
import pytest

import addax
import addax.numpy
from addax import lax
from addax.core.primitive import registry

X = np.arange(3, dtype="float32")
M = np.ones((2, 3), "float32")


def with_own_jvp(m, n):
    @m.custom_jvp
    def f(x):
        return n.sin(x)

    f.defjvp(lambda primals, tangents: (f(*primals), tangents[0]))
    return f


def with_own_vjp(m, n):
    @m.custom_vjp
    def f(x):
        return n.sin(x)

    f.defvjp(lambda x: (x, x), lambda r, g: (g,))
    return f


def fold(m):
    return lambda xs: m.lax.scan(lambda c, x: (c + x, c * x), 0.0, xs)


PROGRAMS = {
    "scalar": (lambda m, n: lambda x: x + 1.0, X),
    "product": (lambda m, n: lambda x, y: x * y, X, X),
    "polynomial": (lambda m, n: lambda x: 3 * x**2 + x / 2 - 1, X),
    "unary": (lambda m, n: lambda x: n.tanh(n.exp(-x)) * n.log1p(abs(x)), X),
    "weak": (lambda m, n: lambda x: x * 2.0 + n.asarray(1.5), 1.0),
    "matrix vector": (lambda m, n: lambda a, x: a @ x, M, X),
    "dot": (lambda m, n: lambda a: n.dot(a.T, a), M),
    "linear": (lambda m, n: lambda w, b, x: n.dot(w, x) + b, M, X[:2], X),
    "sum of an axis": (lambda m, n: lambda a: a.sum(0), M),
    "sum": (lambda m, n: lambda a: n.sum(a), M),
    "max": (lambda m, n: lambda a: a.max(1), M),
    "mean": (lambda m, n: lambda a: a.mean(), M),
    "argmax": (lambda m, n: lambda a: n.argmax(a), X),
    "scan": (lambda m, n: fold(m), X),
    "cond": (lambda m, n: lambda x: m.lax.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, x), X),
    "switch": (lambda m, n: lambda i, x: m.lax.switch(i, [lambda x: x, lambda x: -x], x), 1, X),
    "while": (lambda m, n: lambda x: m.lax.while_loop(lambda c: c.sum() < 10, lambda c: c * 2, x), X),
    "fori": (lambda m, n: lambda x: m.lax.fori_loop(0, 5, lambda i, c: c + i, x), X),
    "jit": (lambda m, n: m.jit(lambda x: x * 2), X),
    "jit inside": (lambda m, n: lambda x: m.jit(lambda y: y * 2)(x) + 1, X),
    "jit twice": (lambda m, n: (lambda f: lambda x: f(x) + f(x))(m.jit(lambda y: y * 2)), X),
    "custom_jvp": (with_own_jvp, X),
    "custom_vjp": (with_own_vjp, X),
    "grad": (lambda m, n: m.grad(lambda x: n.sum(n.sin(x))), X),
    "grad of a number": (lambda m, n: m.grad(lambda x: x**3), 1.0),
    "jvp": (lambda m, n: lambda x: m.jvp(n.sin, (x,), (x,)), X),
    "vmap": (lambda m, n: m.vmap(n.dot), M, M),
    "reshape": (lambda m, n: lambda a: a.reshape(-1), M),
    "transpose": (lambda m, n: lambda a: a.T, M),
    "broadcast": (lambda m, n: lambda x: n.broadcast_to(x, (2, 3)), X),
    "concatenate": (lambda m, n: lambda x: n.concatenate([x, x]), X),
    "slice": (lambda m, n: lambda x: x[1:], X),
    "element": (lambda m, n: lambda x: x[0], X),
    "gather": (lambda m, n: lambda x, i: x[i], X, np.int32(1)),
    "astype": (lambda m, n: lambda x: x.astype(int), X),
    "zeros": (lambda m, n: lambda: n.zeros((2, 3)),),
    "power": (lambda m, n: lambda x: x**0.5, X),
    "pytree": (lambda m, n: lambda t: {"a": t[0] + t[1]}, (X, X)),
    "booleans": (lambda m, n: lambda x: (x > 1) & ~(x < 0), X),
    "outer": (lambda m, n: lambda x: n.outer(x, x), X),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_text_is_that_of_jax(name):
    make, *args = PROGRAMS[name]
    ours = addax.make_jaxpr(make(addax, addax.numpy))(*args)
    assert str(ours) == str(jax.make_jaxpr(make(jax, jax.numpy))(*args))


def test_gradients_of_jitted_functions_keep_the_name():
    text = str(addax.make_jaxpr(addax.grad(addax.jit(lambda x: addax.numpy.sum(addax.numpy.sin(x)))))(X))
    assert text.count("name=<lambda>") == 2


def test_primitives_have_the_names_that_programs_import():
    assert lax.add_p is registry["add"] and lax.scatter_add_p is registry["scatter-add"]
    assert lax.linear_solve_p is registry["custom_linear_solve"] and lax.scan_p.multiple_results
    theirs = {name for name in dir(jax.lax) if name.endswith("_p")}
    assert len([name for name in theirs if hasattr(lax, name)]) > 130
    with pytest.raises(AttributeError, match=r"'addax.lax' has no attribute 'sine_p'"):
        lax.sine_p
