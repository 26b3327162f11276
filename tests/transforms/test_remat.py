"""`checkpoint`: the derivatives of the plain function, fewer values kept, nothing merged away."""

import jax
import jax.ad_checkpoint
import jax.numpy as jjnp
import numpy as np
import pytest

import addax
import addax.numpy as jnp
from addax import lax
from addax.ad_checkpoint import checkpoint_name, saved_residuals

POLICIES = addax.checkpoint_policies
RNG = np.random.default_rng(0)
W = RNG.normal(size=(4, 6, 6)).astype(np.float32) * 0.4
X = RNG.normal(size=(3, 6)).astype(np.float32)


def layer(m, x, w):
    return m.tanh(x @ w)


def net(m, wrap=lambda f: f):
    def run(ws, x):
        for i in range(4):
            x = wrap(lambda x, w: layer(m, x, w))(x, ws[i])
        return (x**2).sum()

    return run


def scanned(m, loop, wrap=lambda f: f):
    def run(ws, x):
        return (loop(lambda x, w: (wrap(lambda x, w: layer(m, x, w))(x, w), None), x, ws)[0] ** 2).sum()

    return run


WRAPS = {
    "plain": addax.checkpoint, "unprotected": addax.checkpoint(prevent_cse=False),
    **{name: addax.checkpoint(policy=getattr(POLICIES, name)) for name in
       ("everything_saveable", "nothing_saveable", "dots_saveable", "dots_with_no_batch_dims_saveable")},
    "offloaded": addax.checkpoint(policy=POLICIES.offload_dot_with_no_batch_dims("device", "pinned_host")),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPS)
def test_derivatives_are_those_of_the_plain_function(name):
    want = jax.grad(net(jjnp))(W, X)
    ours = net(jnp, WRAPS[name])
    np.testing.assert_allclose(ours(W, X), net(jjnp)(W, X), rtol=1e-5)
    np.testing.assert_allclose(addax.grad(ours)(W, X), want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(addax.jit(addax.grad(ours))(W, X), want, rtol=1e-4, atol=1e-6)
    whole = WRAPS[name](net(jnp, WRAPS[name]))  # nested
    np.testing.assert_allclose(addax.jit(addax.grad(whole))(W, X), want, rtol=1e-4, atol=1e-6)
    looped = scanned(jnp, lax.scan, WRAPS[name])
    np.testing.assert_allclose(addax.jit(addax.grad(looped))(W, X), want, rtol=1e-4, atol=1e-6)
    second = addax.grad(lambda w: (addax.grad(ours)(w, X) ** 2).sum())(W)
    np.testing.assert_allclose(
        second, jax.grad(lambda w: (jax.grad(net(jjnp))(w, X) ** 2).sum())(W), rtol=1e-3, atol=1e-5
    )
    rows = addax.vmap(addax.grad(ours), (None, 0))(W, X)
    np.testing.assert_allclose(rows, jax.vmap(jax.grad(net(jjnp)), (None, 0))(W, X), rtol=1e-3, atol=1e-5)


def kept(fun, *args):
    return [(aval.shape, where.split(" from ")[0]) for aval, where in saved_residuals(fun, *args)]


def test_what_is_kept():
    sines = lambda x: jnp.sin(jnp.sin(checkpoint_name(jnp.sin(x), "first")))  # noqa: E731
    keep = lambda policy=None: kept(addax.checkpoint(sines, policy=policy), 1.0)  # noqa: E731
    argument, cosine = ((), "from the argument x"), ((), "output of cos")
    assert kept(sines, 1.0) == [cosine] * 3
    assert keep() == [argument]
    assert keep(POLICIES.save_only_these_names("first")) == [argument, ((), "output of name")]
    assert keep(POLICIES.save_any_names_but_these("first")) == [argument]
    assert keep(POLICIES.save_from_both_policies(POLICIES.save_only_these_names("first"), POLICIES.nothing_saveable)) == [
        argument, ((), "output of name"),
    ]  # fmt: skip
    assert cosine in keep(POLICIES.save_anything_except_these_names("first"))
    dots = addax.checkpoint(lambda w, x: layer(jnp, x, w), policy=POLICIES.dots_saveable)
    assert ((3, 6), "output of dot_general") in kept(dots, W[0], X)
    assert len(kept(addax.checkpoint(lambda w, x: layer(jnp, x, w)), W[0], X)) == 2


def test_residuals_are_printed(capsys):
    addax.ad_checkpoint.print_saved_residuals(addax.checkpoint(lambda x: jnp.sin(jnp.sin(x))), 1.0)
    assert capsys.readouterr().out == "f32[] from the argument x\n"


def sines(lowered_text):
    return lowered_text.count("= sin ")


def test_the_second_computation_is_not_merged_with_the_first():
    def f(x):
        return jnp.cos(jnp.sin(jnp.sin(x)))

    count = lambda g: sines(addax.jit(addax.value_and_grad(g)).lower(0.5).as_text("simplified"))  # noqa: E731
    assert count(addax.checkpoint(f)) > count(f)
    assert count(addax.checkpoint(f, prevent_cse=False)) == count(f)


def test_memory_of_a_chain_is_that_of_its_pieces():
    def chain(wrap):
        def piece(x):
            for _ in range(10):
                x = jnp.sin(x @ jnp.ones((64, 64)) * 0.01)
            return x

        def run(x):
            for _ in range(10):
                x = wrap(piece)(x)
            return x.sum()

        return addax.jit(addax.grad(run)).lower(jnp.ones((256, 64))).compile().memory_analysis().temp_size_in_bytes

    assert chain(addax.checkpoint) < 0.4 * chain(lambda f: f)


def test_effects_happen_once(capsys):
    def f(x):
        addax.debug.print("x = {}", x)
        return jnp.sin(x)

    addax.grad(addax.checkpoint(f))(1.0)
    assert capsys.readouterr().out == "x = 1.0\n"


def test_static_arguments_and_closures():
    power = addax.checkpoint(lambda n, x: x**n, static_argnums=0)
    assert float(addax.grad(lambda x: power(3, x))(2.0)) == 12
    assert float(addax.grad(lambda y: addax.checkpoint(lambda x: x * y)(3.0))(2.0)) == 3
    assert float(addax.jit(addax.grad(lambda y: addax.checkpoint(lambda x: x * jnp.sin(y))(3.0)))(0.0)) == 3
    tree = addax.checkpoint(lambda d, *, scale: {"out": d["a"] * scale})({"a": 2.0}, scale=3.0)
    assert float(tree["out"]) == 6
    with pytest.raises(NotImplementedError, match="concrete=True has been removed; mark the arguments"):
        addax.checkpoint(jnp.sin, concrete=True)
    with pytest.raises(TypeError, match=r"called with a non-array argument"):
        addax.checkpoint(jnp.sin)("text")


def recurrence(m, loop, name):
    """Scans in a scan, a jitted step, and named values."""

    def run(w, x):
        def step(x, _):
            h = m.sin(name(x @ w[0], "h"))
            return m.tanh(h) * h, h.sum()

        def row(x, y):
            x, sums = loop(step, x, None, length=3)
            return m.cos(name(x @ w[1], "r")) * y, sums

        x, sums = loop(row, x, W[0, :5, :1])
        return (x**2).sum() + sums.sum()

    return run


def test_policies_look_into_loops():
    kept = {"h": [(5, 3, 3, 6)], "r": [(5, 3, 6)], "dots": [(5, 3, 3, 6), (5, 3, 6)]}
    ours = recurrence(jnp, lambda f, *a, **k: lax.scan(addax.jit(f), *a, **k), checkpoint_name)
    theirs = recurrence(jjnp, jax.lax.scan, jax.ad_checkpoint.checkpoint_name)
    want = jax.jit(jax.grad(theirs))(W, X)
    for which, shapes in kept.items():
        policy = POLICIES.dots_saveable if which == "dots" else POLICIES.save_only_these_names(which)
        wrapped = addax.checkpoint(ours, policy=policy)
        saved = [a.shape for a, _ in saved_residuals(wrapped, W, X)]
        assert sorted(s for s in saved if s[0] == 5) == sorted(shapes)
        np.testing.assert_allclose(addax.jit(addax.grad(wrapped))(W, X), want, rtol=1e-4, atol=1e-6)
        tangent = addax.jvp(addax.grad(wrapped), (W, X), (W, X))[1]
        np.testing.assert_allclose(tangent, addax.jvp(addax.grad(ours), (W, X), (W, X))[1], rtol=2e-3, atol=1e-4)


def test_programs_are_kept_apart_by_axis_sizes_and_types_of_static_arguments():
    counted = addax.checkpoint(lambda x: x * lax.psum(1, "i"))
    for n in (3, 4):
        np.testing.assert_array_equal(addax.vmap(counted, axis_name="i")(jnp.ones(n)), np.full(n, n))
    times = addax.checkpoint(lambda x, n: x * n, static_argnums=1)
    assert [times(np.int32(3), n).dtype for n in (2, 2.0, True)] == [np.int32, np.float32, np.int32]


def test_static_arguments_by_name():
    power = addax.checkpoint(lambda x, *, n: x**n, static_argnames="n")
    assert float(addax.grad(lambda x: power(x, n=3))(2.0)) == 12
    both = addax.checkpoint(static_argnums=1, prevent_cse=[False, True])(
        lambda x, n=2: x**n if isinstance(n, int) else 0.0
    )
    assert [float(addax.grad(f)(2.0)) for f in (both, lambda x: both(x, 3), lambda x: both(x, n=4))] == [4, 12, 32]
    with pytest.raises(ValueError, match="checkpointed function has invalid argname 'k' in static_argnames"):
        addax.checkpoint(lambda x: x, static_argnames="k")
    with pytest.raises(
        ValueError, match=r"static_argnums=\(1,\) must be numbers of positional arguments of .*called with 1"
    ):
        addax.checkpoint(lambda *xs: xs[0], static_argnums=1)(1.0)
    with pytest.raises(ValueError, match=r"checkpointed function has static_argnums=\(2,\), but only accepts 1"):
        addax.checkpoint(lambda x: x, static_argnums=2)


def test_static_arguments_without_a_hash():
    """As in JAX: lists, arrays and values that are being traced."""
    power = addax.checkpoint(lambda n, x: x ** len(n), static_argnums=0)
    assert float(addax.grad(power, 1)([1, 2, 3], 2.0)) == 12.0
    scaled = addax.checkpoint(lambda k, x: k * x, static_argnums=0)
    assert float(addax.jit(lambda k: addax.grad(scaled, 1)(k, 2.0))(3.0)) == 3.0


def test_offloaded_values_are_kept():
    def f(x):
        y = addax.ad_checkpoint.checkpoint_name(jnp.sin(x), "a")
        return jnp.sin(addax.ad_checkpoint.checkpoint_name(jnp.sin(y), "b"))

    def count(**names):
        policy = POLICIES.save_and_offload_only_these_names(**names, offload_src="device", offload_dst="pinned_host")
        return len(kept(addax.checkpoint(f, policy=policy), 1.0))

    assert count(names_which_can_be_saved=["a"], names_which_can_be_offloaded=["b"]) == 3
    assert count(names_which_can_be_saved=[], names_which_can_be_offloaded=["b"]) == 2
    assert POLICIES.save_and_offload_only_these_names(
        names_which_can_be_saved=[], names_which_can_be_offloaded=["b"], offload_src="device", offload_dst="pinned_host"
    )(addax.extend.core.primitives.name_p, name="b") == addax.ad_checkpoint.Offloadable("device", "pinned_host")
    dots = POLICIES.offload_dot_with_no_batch_dims("device", "pinned_host")
    assert len(kept(addax.checkpoint(lambda x: jnp.sin(x @ x), policy=dots), np.eye(2, dtype=np.float32))) == 2
    with pytest.raises(ValueError, match=r"offload_dst must be a kind of memory, one of 'device', .*; got 'host'"):
        POLICIES.offload_dot_with_no_batch_dims("device", "host")
    with pytest.raises(ValueError, match="either saved or offloaded, but 'a' stands in both"):
        count(names_which_can_be_saved=["a"], names_which_can_be_offloaded=["a"])
