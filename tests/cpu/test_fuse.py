"""fuse: how many nests programs become, and what is written to memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from engine_cases import f32
from jax import lax
from jax_programs import agree, program

from addax.engines.cpu.fuse import Fuser
from addax.engines.cpu.groups import Call, Group
from addax.engines.cpu.simplify import simplify


def nodes(f, *args):
    return Fuser(simplify(program(f, *args)).jaxpr).run()


def layernorm(x, g, b):
    return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * g + b


# what -> (function, arguments, number of loop nests, number of values written)
NESTS = {
    "a chain": (lambda x: jnp.tanh(x * 2) + jnp.exp(x), (f32(5, 7),), 1, 1),
    "softmax": (jax.nn.softmax, (f32(64, 100),), 1, 1),
    "layernorm": (layernorm, (f32(64, 100), f32(100), f32(100)), 1, 1),
    "two results of one chain": (lambda x: (jnp.sin(x), jnp.sin(x) * 2), (f32(5, 7),), 1, 2),
    "reductions of one operand": (lambda x: (x.sum(1), x.max(1), (x * x).sum(1)), (f32(5, 7),), 1, 3),
    "a residual": (lambda x, y: jnp.tanh(x) + jnp.sin(y), (f32(5, 7), f32(5, 7)), 1, 1),
    "through a transpose": (lambda x: jnp.tanh(x).T * 2, (f32(5, 7),), 1, 1),
    "through a reshape": (lambda x: jnp.tanh(x).reshape(5, 10, 7).sum(1), (f32(50, 7),), 1, 1),
    "through a broadcast": (lambda x: jnp.broadcast_to((x + 1)[:, None], (5, 6)) * 2, (f32(5),), 1, 1),
    "its own transpose": (lambda x: jnp.tanh(x) + jnp.tanh(x).T, (f32(7, 7),), 2, 2),
    "a mask from positions": (
        lambda x: jnp.where(jnp.arange(7)[:, None] >= jnp.arange(7)[None], x, -1e9), (f32(7, 7),), 1, 1,
    ),
    "rows of a table, after negative positions were counted from its end": (
        lambda t, i: t[i] * 2, (f32(50, 7), jnp.arange(-3, 3)), 1, 1,
    ),
    "columns at turned positions, summed": (
        lambda t, i: t[:, i.reshape(2, 3).T].sum(1), (f32(7, 50), jnp.arange(-3, 3)), 1, 1,
    ),
    "rows at summed positions": (lambda t, i: t[i.sum(1)] * 2, (f32(50, 7), jnp.arange(6).reshape(3, 2)), 2, 2),
    "two tables at the same positions": (
        lambda t, s, i: t[i] * s[i], (f32(50, 7), f32(50, 7), jnp.arange(-3, 3)), 1, 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NESTS)
def test_nests(what):
    f, args, n_nests, n_stored = NESTS[what]
    found = nodes(f, *args)
    groups = [n for n in found if type(n) is Group]
    assert [type(n) for n in found if type(n) is Call] == []
    assert (len(groups), sum(len(g.stored) for g in groups)) == (n_nests, n_stored)
    agree(f, *args)


def test_an_expensive_vector_is_not_recomputed_for_every_row():
    def f(x, b):
        return x + jnp.tanh(jnp.sin(b))

    assert len(nodes(f, f32(500, 70), f32(70))) == 2


def test_a_cheap_value_is_recomputed_rather_than_stored():
    def f(x, w):
        h = jnp.tanh(x)
        y = h @ w
        return y * (1 - h)  # 1 - h is read here, after the product, and nowhere else

    stored = [v for n in nodes(f, f32(8, 8), f32(8, 8)) if type(n) is Group for v in n.stored]
    assert len(stored) == 2


def test_no_cycle_through_a_call():
    def f(x, w):
        a = jnp.sin(x)
        b = a @ w
        return a + b, jnp.cos(a) * jnp.sin(b)

    kinds = [type(n) for n in nodes(f, f32(8, 8), f32(8, 8))]
    assert kinds == [Group, Call, Group]
    agree(f, f32(8, 8), f32(8, 8))


def test_no_cycle_through_an_array_that_is_written_and_read_at_related_positions():
    def f(m, v, i):
        h = i + 1
        m = lax.dynamic_update_slice(m, v, (h,))
        return jnp.sqrt(lax.dynamic_slice(m, (h * 2,), (1,)))

    def gathered(m, v, i):
        h = i + 1
        return jnp.sqrt(m.at[h].add(v)[h * 2])

    agree(f, f32(9), f32(1), np.int32(1))
    agree(gathered, f32(9), f32(1), np.array([1], np.int32))


def test_long_rows_do_not_serialise_what_follows():
    """One row of a million elements: the sum and its use are separate nests, each parallel."""
    assert len(nodes(lambda x: x / x.sum(), f32(1000, 100))) == 2


def test_many_groups_take_linear_time():
    def f(x, w):
        for _ in range(150):
            x = jnp.tanh(x @ w) + x.sum(0)
        return x

    found = nodes(f, f32(8, 8), f32(8, 8))
    assert len(found) < 600


def test_a_value_and_its_transpose_are_two_values():
    """A cheap value that a group reads in two orders is not recomputed there once for both."""

    def two(x):
        z = x * 2
        return z + z.T

    def three(x):
        z = x * 2
        y = jnp.sin(z) * z.T
        return y + z + y.T

    def through_a_clone(x, y):
        v = x * 2
        w = v + y
        return jnp.cos(v), w + w.T + v

    def at_positions(x):
        z = x * 2
        return z[x[0].astype(int) % 4] + z

    for f in (two, three, at_positions):
        agree(f, f32(4, 4))
    agree(through_a_clone, f32(4, 4), f32(4, 4))
