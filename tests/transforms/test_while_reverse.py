"""Reverse mode through `while_loop` and `fori_loop` with bounds known at run time, against scans and Python loops."""

from __future__ import annotations

import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.engines.reference import evaluate
from addax.engines.xla.client import cpu_client
from addax.ops import callback
from addax.ops.control_flow.revolve import reach
from addax.sharding import Mesh, NamedSharding, PartitionSpec


def fori(n, body, x, checkpoints=5):
    return lax.fori_loop(0, n, body, x, checkpoints=checkpoints)


def scan(n, body, x):
    return lax.scan(lambda c, i: (body(i, c), None), x, jnp.arange(n))[0]


def python(n, body, x):
    for i in range(n):
        x = body(i, x)
    return x


def same(got, want, tolerance=2e-5):
    for a, b in zip(addax.tree.leaves(got), addax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tolerance, atol=tolerance)


def network(loop):
    """A recurrent network whose carry has an integer, a running total, and what only the forward pass needs."""

    def f(p, n):
        def body(i, c):
            h = jnp.tanh(p["w"] @ c["h"] + p["b"] * i)
            return {"h": h, "total": c["total"] + h.sum(), "k": c["k"] + 1, "w": c["w"]}

        out = loop(n, body, {"h": p["x"], "total": 0.0, "k": 0, "w": p["w"]})
        return (out["h"] ** 2).sum() + out["total"] * out["w"][0, 0]

    return f


P = {
    "w": np.array([[0.3, -0.5, 0.1], [0.7, 0.2, -0.4], [0.1, 0.1, 0.6]], np.float32),
    "b": np.array([0.1, 0.0, -0.1], np.float32),
    "x": np.array([0.0, 0.3, 0.6], np.float32),
}


def of(loop):
    return lambda x, n: network(loop)(dict(P, x=x), n)


def test_any_number_of_turns_in_any_number_of_places():
    lengths = [0, 1, 2, 3, 8, 40]
    want = [addax.jit(addax.grad(network(scan)), static_argnums=1)(P, n) for n in lengths]
    for places in (3, 4, 9, None):
        gradient = addax.jit(addax.grad(network(lambda n, b, x, places=places: fori(n, b, x, places))))
        for n, w in zip(lengths, want, strict=True):
            same(gradient(P, n), w)


def test_higher_derivatives():
    n = 9
    rev, fwd = addax.jacrev, addax.jacfwd
    want = addax.jit(addax.hessian(of(scan)), static_argnums=1)(P["x"], n)
    orders = [rev(rev(of(fori))), fwd(rev(of(fori))), rev(fwd(of(fori)))]
    for got in addax.jit(lambda x, n: [f(x, n) for f in orders])(P["x"], n):
        same(got, want)

    def third(f):
        return rev(lambda x, n: (rev(lambda x, n: (rev(f)(x, n) ** 2).sum())(x, n) ** 2).sum())

    same(addax.jit(third(of(fori)))(P["x"], n), addax.jit(third(of(scan)), static_argnums=1)(P["x"], n), 1e-3)


def growing(x, k):
    """As many turns as it takes."""
    return lax.while_loop(lambda c: c[0] < 10.0, lambda c: (c[0] * x + k, c[1] + 1), (x, 0))[0]


def test_every_example_of_a_batch_makes_its_own_turns():
    xs, k = jnp.array([1.5, 2.0, 11.0, 1.1]), 0.3
    gradient, second = addax.grad(growing, (0, 1)), addax.grad(addax.grad(growing))
    want = [np.array(v) for v in zip(*[map(float, gradient(x, k)) for x in xs], strict=True)]
    want2 = np.array([float(second(x, k)) for x in xs])
    mapped = addax.vmap(growing, (0, None))

    @addax.jit
    def everything(xs, k):
        return (
            addax.vmap(gradient, (0, None))(xs, k),
            addax.grad(lambda xs, k: mapped(xs, k).sum(), (0, 1))(xs, k),
            addax.vmap(second, (0, None))(xs, k),
            addax.grad(lambda xs: addax.vmap(gradient, (0, None))(xs, k)[0].sum())(xs),
            addax.grad(lambda xs: addax.grad(lambda xs: mapped(xs, k).sum())(xs).sum())(xs),
        )

    outside, inside, *seconds = everything(xs, k)
    same(outside, want)
    same(inside, [want[0], want[1].sum()])
    for s in seconds:
        same(s, want2, 1e-4)


def rooted(x, w):
    """Where it ends, the derivative of one more turn is infinite."""
    return lax.while_loop(lambda c: c > 1.0, lambda c: jnp.sqrt(c - 1.0) * w, x)


def test_examples_that_are_done_do_not_spoil_the_others():
    xs = jnp.array([1.0, 2.0, 10.0, 0.5])
    mapped = addax.vmap(rooted, (0, None))
    one = addax.grad(rooted, (0, 1))
    dx, dw = (np.array(v) for v in zip(*[map(float, one(x, 1.0)) for x in xs], strict=True))
    assert np.isfinite(dx).all() and np.isfinite(dw).all()
    same(addax.grad(lambda xs, w: mapped(xs, w).sum(), (0, 1))(xs, 1.0), [dx, dw.sum()])
    same(addax.vmap(one, (0, None))(xs, 1.0), [dx, dw])
    second = sum(float(addax.grad(lambda w, x=x: one(x, w)[0])(1.0)) for x in xs)
    same(addax.grad(lambda w: addax.vmap(one, (0, None))(xs, w)[0].sum())(1.0), second)


def test_branches_not_taken_do_not_spoil_the_gradient():
    def f(x, w):
        return lax.cond(x > 0, lambda x: jnp.log(x) * w, lambda x: x * w, x)

    for xs in (jnp.array([1.0, 0.0, 2.0, -1.0]), jnp.array([0.0, -1.0])):
        each = [addax.grad(f, (0, 1))(x, 2.0) for x in xs]
        got = addax.grad(lambda xs, w: addax.vmap(f, (0, None))(xs, w).sum(), (0, 1))(xs, 2.0)
        same(got, [np.array([float(a) for a, _ in each]), sum(float(b) for _, b in each)])


def test_batches_of_nothing():
    for f in (growing, rooted, lambda x, w: lax.cond(x > 0, lambda x: x * w, jnp.sin, x)):
        mapped = addax.vmap(f, (0, None))
        assert mapped(jnp.zeros(0), 2.0).shape == (0,)
        assert float(addax.grad(lambda w, m=mapped: m(jnp.zeros(0), w).sum())(2.0)) == 0.0


def test_loops_in_loops():
    def nested(loop):
        def f(x, n, m):
            def step(c, z):
                c = loop(m, lambda j, c: jnp.sin(c + z) * x, c)
                return c, c * z

            def outer(i, c):
                c, ys = lax.scan(step, c, jnp.arange(3.0))
                return c + ys.sum() * 0.1

            return loop(n, outer, x * 2)

        return f

    got, want = (
        addax.jit(addax.grad(nested(loop)), **k) for loop, k in ((fori, {}), (scan, {"static_argnums": (1, 2)}))
    )
    for n, m in ((0, 2), (2, 0), (3, 4)):
        same(got(0.6, n, m), want(0.6, n, m))
    second = addax.jit(addax.grad(addax.grad(nested(fori))))(0.6, 2, 3)
    same(second, addax.grad(addax.grad(nested(python)))(0.6, 2, 3), 1e-4)


@addax.custom_vjp
def clipped(x):
    return jnp.sin(x)


clipped.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (jnp.clip(g * jnp.cos(x), -0.5, 0.5),))


def test_bodies_with_rules_of_their_own_and_remat():
    """The rule clips, so the way back is not linear in the cotangent, and its derivative cannot be a way forward."""

    def f(loop):
        return lambda x, n: loop(n, addax.checkpoint(lambda i, c: clipped(c) * x * 1.5 + c), x)

    for derivative in (addax.grad, lambda f: addax.grad(addax.grad(f))):
        got, want = addax.jit(derivative(f(fori))), addax.jit(derivative(f(python)), static_argnums=1)
        for n in (0, 1, 5):
            same(got(0.6, n), want(0.6, n))


def test_keys_and_narrow_and_complex_values():
    def noisy(loop):
        def f(x, n):
            def body(i, c):
                key, mine = addax.random.split(c[0])
                return key, c[1] * x + addax.random.normal(mine)

            return loop(n, body, (addax.random.key(1), x))[1]

        return f

    same(addax.jit(addax.grad(noisy(fori)))(0.6, 6), addax.grad(noisy(python))(0.6, 6))
    power = lambda x, n: jnp.real(fori(n, lambda i, c: c * x, x))  # noqa: E731
    same(addax.grad(power)(1.5 + 1j, 4), 5 * (1.5 + 1j) ** 4)
    narrow = addax.grad(lambda x: fori(jnp.int32(4), lambda i, c: c * x, x).astype(jnp.float32))(jnp.bfloat16(1.5))
    assert narrow.dtype == jnp.bfloat16 and float(narrow) == 25.25


def test_effects_happen_once():
    seen = []

    def printing(x, n):
        def body(i, c):
            addax.debug.callback(lambda i: seen.append(int(i)), i)
            return lax.cond(
                c > 0, lambda c: (addax.debug.callback(lambda c: seen.append("+"), c), c * x)[1], jnp.sin, c
            )

        return fori(n, body, x)

    assert float(addax.jit(addax.grad(printing))(2.0, 3)) == 32.0
    assert seen == [0, "+", 1, "+", 2, "+"]

    def asking(x):
        body = lambda i, c: c * io_callback(lambda: np.float32(2))  # noqa: E731
        return fori(jnp.int32(3), body, x)

    def io_callback(fun):
        host = callback.HostFunction(lambda: [fun()], "fun")
        return callback.io_callback.bind(callback=host, result_avals=(addax.typeof(fun()),), ordered=False)[0]

    assert float(asking(1.0)) == 8.0
    with pytest.raises(
        NotImplementedError, match=r"runs its turns again, so io_callback \(at .*test_while_reverse.py.*pure_"
    ):
        addax.grad(asking)(1.0)


def test_transposing_a_linear_loop():
    def f(n):
        return addax.linear_transpose(lambda x: lax.fori_loop(0, n, lambda i, c: c * 2.0, x), 1.0)(1.0)

    same(addax.jit(f)(3), (8.0,))
    with pytest.raises(NotImplementedError, match=r"is not linear"):
        addax.linear_transpose(lambda x: lax.while_loop(lambda c: c < 3.0, lambda c: c * 2.0, x), 1.0)(1.0)


def test_on_every_engine():
    gradient = addax.grad(of(fori))
    args = [P["x"], np.int32(7)]
    want = addax.jit(gradient)(*args)
    closed = addax.make_jaxpr(gradient)(*args)
    same(evaluate(closed, args), [want])
    line = Mesh(np.array(cpu_client(2).devices()), ("i",))  # devices of XLA's
    spread = addax.device_put(np.stack([P["x"], P["x"] * 2]), NamedSharding(line, PartitionSpec("i")))

    @addax.jit
    def both(xs, n):
        """Outside, and within the program of one device, which makes as many turns as the other or not."""
        own = addax.shard_map(
            lambda xs, n: gradient(xs[0], n + 3 * lax.axis_index("i"))[None],
            mesh=line, in_specs=(PartitionSpec("i"), PartitionSpec()), out_specs=PartitionSpec("i"),
        )  # fmt: skip
        return gradient(xs[0], n), own(xs, n)

    outside, inside = both(spread, 7)
    same(outside, want)
    same(inside, np.stack([addax.jit(gradient)(P["x"], 7), addax.jit(gradient)(P["x"] * 2, 10)]))


@pytest.mark.parametrize("check_vma", (True, False))
def test_through_shard_map_with_a_collective_in_every_turn(check_vma):
    line = Mesh(np.array(cpu_client(2).devices()), ("i",))
    mine = addax.shard_map(
        lambda xs, w, n: fori(n, lambda i, c: jnp.sin(c) * w + lax.pmean(c, "i") * 0.3, xs), mesh=line,
        in_specs=(PartitionSpec("i"), PartitionSpec(), PartitionSpec()), out_specs=PartitionSpec("i"), check_vma=check_vma,
    )  # fmt: skip
    whole = lambda xs, w: python(5, lambda i, c: jnp.sin(c) * w + c.mean() * 0.3, xs).sum()  # noqa: E731
    xs = jnp.array([0.3, 0.7])
    got = addax.jit(addax.grad(lambda xs, w, n: mine(xs, w, n).sum(), (0, 1)))(
        addax.device_put(xs, NamedSharding(line, PartitionSpec("i"))), 0.8, 5
    )
    same(got, addax.grad(whole, (0, 1))(xs, 0.8))


def test_the_schedule_reaches_as_far_as_binomials_say():
    """Reversing ``reach(s, r)`` segments by the rule of `revolve` runs no segment more than r times."""
    table = reach(6)

    def most_runs(segments, free):
        if segments <= 1:
            return np.zeros(segments, int)
        if not free:
            return np.arange(segments)[::-1]
        runs = int((table[free] < segments).sum())
        ahead = min(table[free, runs - 1], segments - table[free - 1, runs - 1])
        return np.concatenate([1 + most_runs(ahead, free), most_runs(segments - ahead, free - 1)])

    for free in (0, 1, 2, 5):
        for runs in (1, 2, 3):
            n = int(table[free, runs])
            assert most_runs(n, free).max() == runs
            assert most_runs(n + 1, free).max() == runs + 1


def test_memory_does_not_grow_with_the_turns():
    """The exact peak of the program, which knows no bound, is that of the states it may keep."""

    def peak(checkpoints, n=1000):
        f = addax.grad(lambda x, n: fori(n, lambda i, c: jnp.sin(c) * x, x, checkpoints).sum())
        return addax.jit(f).lower(jnp.ones(n), 3).compile().memory_analysis().temp_size_in_bytes

    state = 4 * 1000
    few, more = peak(8), peak(40)
    assert 30 * state < more - few < 40 * state
    assert few < 30 * state


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"checkpoints, the number of values .* must be an int of at least 3, got 2"):
        lax.while_loop(lambda c: c < 3.0, lambda c: c * 2.0, 1.0, checkpoints=2)
    message = r"Can only use `unroll` in `fori_loop` if the loop bounds are statically known"
    with pytest.raises(ValueError, match=message):
        addax.jit(lambda n: lax.fori_loop(0, n, lambda i, c: c * 2, 1.0, unroll=2))(3)
    with pytest.raises(ValueError, match=message):
        lax.fori_loop(0, 3, lambda i, c: c * 2, 1.0, unroll=2, checkpoints=5)
