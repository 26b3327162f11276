"""The snippets of "Thinking in JAX" run as they stand there, but for what their imports mean."""

import sys

import numpy as np
import pytest
from snippets import SNIPPETS

import addax
import addax.numpy as jnp
import addax.random as jr


@pytest.fixture(autouse=True)
def imports(monkeypatch):
    """``import jax`` is addax, here and only here."""
    for name, module in (("jax", addax), ("jax.numpy", jnp), ("jax.random", jr)):
        monkeypatch.setitem(sys.modules, name, module)


def run(name, **given):
    scope = {"jax": addax, "jnp": jnp, "np": np, "jr": jr, **given}
    exec(compile(SNIPPETS[name], f"<{name}>", "exec"), scope)
    return scope


def test_immutability():
    assert run("immutability")["x"].tolist() == [99, 2, 3]


def test_out_of_bounds():
    numpys, ours = SNIPPETS["bounds"].split("# JAX:")
    with pytest.raises(IndexError):
        exec(numpys, {"np": np})
    assert int(eval(ours.splitlines()[1].partition("#")[0], {"jnp": jnp})) == 3


def test_impure_and_pure(capsys):
    run("impure")
    assert capsys.readouterr().out == "6.0\n6.0\n"
    run("pure")
    assert capsys.readouterr().out == "6.0\n7.0\n"


def test_prints(capsys):
    my_fn = run("prints")["my_fn"]
    assert [float(my_fn(2.0)), float(my_fn(3.0))] == [4, 6]
    traced, *values = capsys.readouterr().out.splitlines()
    assert traced == "Traced! JitTracer(~float32[])" and values == ["Value: 2.0", "Value: 3.0"]


def test_jaxpr():
    """The snippet's, but for the parameter y=2, which the article leaves out."""
    printed = (
        SNIPPETS["jaxpr"]
        .split("jnp.array(1.0))\n")[1]
        .replace("# ", "")
        .replace("integer_pow b 2", "integer_pow[y=2] b")
    )
    f = run("jaxpr")["f"]
    assert str(addax.make_jaxpr(f)(jnp.array(1.0))) == printed.replace("integer_pow d 2", "integer_pow[y=2] d").strip()


def test_branches():
    scope = run("branches")
    with pytest.raises(addax.errors.ConcretizationTypeError):
        scope["bad_abs"](-2.0)
    assert float(scope["good_abs"](-2.0)) == 2


def test_grad():
    scope = run("grad")
    np.testing.assert_allclose(scope["df"](0.5), np.sin(1.0), rtol=1e-5)
    np.testing.assert_allclose(scope["d2f"](0.5), 2 * np.cos(1.0), rtol=1e-5)


def test_argnums():
    by_params, by_x = run("argnums")["grad_fn"](jnp.ones(3), jnp.ones(3), 1.0)
    np.testing.assert_allclose([by_params, by_x], 4.0)


def test_vmap():
    params, batch = np.arange(6.0, dtype=np.float32).reshape(2, 3), np.ones((64, 3), np.float32)
    np.testing.assert_allclose(run("vmap", params=params, batch=batch)["preds"], batch @ params.T)


def test_per_example_gradients():
    x, y = np.arange(12.0, dtype=np.float32).reshape(4, 3), np.zeros(4, np.float32)
    grads = run("per_example", params=np.ones(3, np.float32), x_batch=x, y_batch=y)["grads"]
    np.testing.assert_allclose(grads, 2 * x.sum(1, keepdims=True) * x)


def test_trees():
    params = run("params")["params"]
    ones = addax.tree.map(jnp.ones_like, params)
    out = run("tree_map", params=ones, grads=ones)["params"]
    assert addax.tree.structure(out) == addax.tree.structure(params)
    np.testing.assert_allclose(out["layer1"]["w"], 0.98, rtol=1e-6)


def test_keys():
    scope = run("split")
    assert scope["noise"].shape == (3, 3) and scope["keys"].shape == (10,)
    seen = []
    step = lambda params, batch, key: (seen.append(addax.random.key_data(key).tolist()), (0.0, 1.0))[1]  # noqa: E731
    out = run("loop", params=0.0, batch=None, train_step=step, update=lambda p, g: p + g)
    assert out["params"] == 1000 and len({tuple(k) for k in seen}) == 1000


def test_training(capsys):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(128, 784)).astype(np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, 128)]
    run("training", x_batch=x, y_batch=y)
    losses = [float(line.partition("Loss: ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 10 and losses[-1] < losses[0]
