"""Arrays that a program captures are read where they are."""

from __future__ import annotations

import numpy as np
import pytest

import addax
from addax import lax
from addax.engines.xla import arrays
from addax.sharding import NamedSharding, PartitionSpec as P

W = np.arange(32, dtype=np.float32).reshape(8, 4)


def test_captured_arrays_say_where_a_program_runs(mesh):
    w = addax.device_put(W, NamedSharding(mesh, P("x", "y")))
    for f in (lambda x: x + w, lambda x: addax.jit(lambda y: y + w)(x)):
        out = addax.jit(f)(1.0)
        assert out.sharding.is_equivalent_to(w.sharding, 2)
        np.testing.assert_array_equal(np.asarray(out), W + 1)
    # None of its parts is sent anywhere, nor the whole put into the program.
    assert "f32[8,4]" not in addax.jit(lambda x: x + w).lower(1.0).compile().as_text("hlo").partition("ENTRY")[2]


def test_captured_arrays_in_bodies_and_transformations(mesh):
    w = addax.device_put(W, NamedSharding(mesh, P("x", "y")))
    looped = addax.jit(lambda x: lax.scan(lambda c, _: (c + w.sum(), None), x, None, length=2)[0])(2.0)
    mapped = addax.jit(addax.vmap(lambda x: addax.jit(lambda y: (y * w).sum())(x)))(np.ones(3, np.float32))
    slope = addax.grad(lambda x: (x * w).sum())(2.0)
    np.testing.assert_array_equal(np.asarray(looped), 2 + 2 * W.sum())
    np.testing.assert_array_equal(np.asarray(mapped), [W.sum()] * 3)
    assert float(slope) == W.sum()


def test_captured_arrays_that_are_elsewhere(mesh, devices):
    w = addax.device_put(W, NamedSharding(mesh, P("x", "y")))
    v = addax.device_put(np.ones(4, np.float32), devices[3])
    with pytest.raises(ValueError, match="Received incompatible devices"):
        addax.jit(lambda x: x + v)(w)


def test_compiled_programs_take_what_jitted_functions_take(mesh):
    """Numbers and host arrays; and what was captured is no argument."""
    w = addax.device_put(W, NamedSharding(mesh, P("x", "y")))
    compiled = addax.jit(lambda x, y: x + y * w).lower(1.0, W).compile()
    np.testing.assert_array_equal(np.asarray(compiled(2.0, W)), 2 + W * W)
    assert len(addax.tree.leaves(compiled.input_shardings)) == 2


def test_numbers_of_the_host_are_sent_once(devices, monkeypatch):
    sent = []
    put = arrays.put_host
    monkeypatch.setattr(arrays, "put_host", lambda value, sharding: sent.append(value.dtype) or put(value, sharding))
    # A result so large is not kept, to learn when the program has read memory of the host: so that is not where numbers go.
    some = np.eye(300, dtype=np.float32)[::-1]
    w = addax.device_put(some, devices[5])
    sent.clear()
    f = addax.jit(lambda w, a, b: w * a + b)
    for a, b in ((0.5, 0.5), (0.5, 0.0), (2, np.float32(0.5)), (True, 0.5)):
        np.testing.assert_array_equal(f(w, a, b), some * a + np.float32(b))
    signs = [bool(np.signbit(f(w, -0.5, b)[0, 0])) for b in (0.0, -0.0)]
    assert signs == [False, True]
    before = len(sent)
    f(w, 0.5, 0.5)
    f(w, True, -0.0)
    assert len(sent) == before == 7, sent
    # Numbers that a program is given for good are its own.
    g = addax.jit(lambda w, a, b: (w * a + b, a + b), donate_argnums=1)
    for _ in range(2):
        assert g(w, 0.5, 0.5)[1] == 1 and f(w, 0.5, 0.5)[0, -1] == 1
