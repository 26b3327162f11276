"""Functions that are traced at each eager call: equal programs are one, and are differentiated and compiled once."""

from __future__ import annotations

import math

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.core.primitive import registry

X = np.linspace(0.1, 0.8, 8, dtype=np.float32)
W = np.eye(8, dtype=np.float32) * 1.5

# Each makes its inner functions anew at each call, and they capture an array.
LOOPS = {
    "scan": lambda x, w: lax.scan(lambda c, _: (jnp.tanh(w @ c), c.sum()), x, None, length=4)[1].sum(),
    "scan over slices": lambda x, w: lax.scan(lambda c, r: (c * (r @ x), r), x.sum(), w)[0],
    "nested": lambda x, w: lax.fori_loop(0, 3, lambda i, c: lax.scan(lambda a, r: (a + r @ a, None), c, w)[0], x).sum(),
    "cond": lambda x, w: lax.cond(x[0] > 0, lambda y: jnp.sin(w @ y), lambda y: y * 2, x).sum(),
    "map": lambda x, w: lax.map(lambda a: jnp.sin(a) * w[0, 0], x).sum(),
    "while": lambda x, w: lax.while_loop(lambda c: c.sum() < 50, lambda c: w @ c, x).sum(),
}


def compiled() -> int:
    return sum(len(registry[name].eager_cache) for name in ("scan", "cond", "while"))


@pytest.mark.parametrize("what", LOOPS)
def test_the_second_call_compiles_nothing(what):
    f = LOOPS[what]
    x, w = jnp.asarray(X), jnp.asarray(W)
    for transformed in (f, addax.grad(f)) if what != "while" else (f, lambda x, w: addax.jvp(f, (x, w), (x, w))[1]):
        first = transformed(x, w)
        known = compiled()
        assert np.array_equal(transformed(x, w), first)
        other = transformed(x, w * 0.9)  # captured arrays are arguments
        assert compiled() == known
        assert not np.array_equal(other, first)


def test_only_equal_programs_are_one():
    def scaled(c):
        return lax.scan(lambda a, _: (a * c, None), jnp.float32(2), None, length=1)[0]

    assert [float(scaled(c)) for c in (1.0, 3.0, True, 3)] == [2, 6, 2, 6]
    assert [math.copysign(1, scaled(c)) for c in (0.0, -0.0, 0.0)] == [1, -1, 1]

    def along(axis):
        return lax.map(lambda r: r.sum(axis), jnp.arange(8.0).reshape(1, 2, 4))

    assert along(0).shape == (1, 4) and along(1).shape == (1, 2)

    def shares(n):
        f = lambda x: lax.fori_loop(0, 2, lambda _, c: lax.psum(c, "i") / lax.axis_size("i"), x)  # noqa: E731
        return addax.vmap(f, axis_name="i")(jnp.arange(float(n)))

    for n in (2, 3, 2):
        np.testing.assert_allclose(shares(n), [(n - 1) / 2] * n)

    def turned(k):
        inner = addax.jit(lambda x: x * k)
        return lax.map(lambda x: inner(x), jnp.ones(2))

    assert [float(turned(k)[0]) for k in (2.0, 5.0)] == [2, 5]


def test_what_a_function_captured_is_not_kept_alive():
    import gc
    import weakref

    class Holder:
        value = 2.0

    def f(x):
        holder = Holder()
        f.seen = weakref.ref(holder)
        return lax.map(lambda a: a * holder.value, x)

    f(jnp.ones(3))
    gc.collect()
    assert f.seen() is None
