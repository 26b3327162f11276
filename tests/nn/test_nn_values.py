"""Values, dtypes and derivatives of nn are JAX's.

JAX takes long to compile the programs, so its results are recorded in `jax_values.npz`; ``python tests/nn/test_nn_values.py``
records them anew, and a slow test compares.
"""

from __future__ import annotations

import pathlib
import warnings

import jax
import numpy as np
import pytest

import addax

RECORDED = pathlib.Path(__file__).with_name("jax_values.npz")
RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


# ---------------------------------------------------------------------------------------------------------------------
# Activations: values and two derivatives, at the points where their pieces meet and far out

POINTS = np.concatenate(
    [np.linspace(-8, 8, 33), [0.0, -1, 1, 3, -3, 6, 100, -100, np.inf, -np.inf, np.nan]]
).astype(np.float32)  # fmt: skip
ACTIVATIONS = (
    "relu squareplus softplus sparse_plus soft_sign sigmoid sparse_sigmoid silu mish log_sigmoid elu leaky_relu "
    "hard_tanh celu selu gelu relu6 hard_sigmoid hard_silu identity tanh log1mexp"
).split()


def activations(m, order):
    def one(name, x, **options):
        def f(v):
            return getattr(m.nn, name)(v, **options)

        for _ in range(order):
            f = m.grad(f)
        return m.vmap(f)(x)

    x = m.numpy.asarray(POINTS)
    out = {name: one(name, abs(x) if name == "log1mexp" else x) for name in ACTIVATIONS}
    out["gelu_exact"] = one("gelu", x, approximate=False)
    out["elu_2"] = one("elu", x, alpha=2.0)
    out["celu_2"] = one("celu", x, alpha=2.0)
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Functions along an axis

X, B = normal(4, 5), normal(4, 5)
WHERE = normal(4, 5) > 0
WHERE[2] = False
INFINITE = X.copy()
INFINITE[0, 1], INFINITE[1], INFINITE[3, 0] = np.inf, -np.inf, -np.inf


def along_axes(m, order):
    x, b, where, infinite = (m.numpy.asarray(a) for a in (X, B, WHERE, INFINITE))
    nn, out = m.nn, {}
    for name in ("softmax", "log_softmax", "standardize", "logsumexp", "logmeanexp"):
        f = getattr(nn, name)
        if order == 0:
            for axis in (-1, 0, (0, 1), None):
                out[f"{name} {axis}"] = f(x, axis=axis)
                out[f"{name} {axis} where"] = f(x, axis=axis, where=where)
                out[f"{name} {axis} infinite"] = f(infinite, axis=axis)
            out[f"{name} integers"] = f(m.numpy.arange(6))
            out[f"{name} empty"] = f(x[:, :0], axis=-1)
        elif order == 1:
            out[name] = m.grad(lambda x, f=f: (f(x, axis=-1) ** 2).sum())(x)
        else:
            out[name] = m.hessian(lambda x, f=f: (f(x, axis=-1) ** 2).sum())(x[0])
    if order:
        return out
    integers = m.numpy.array([1, 0, 2, 0, -1])
    z = x + 1j * b
    out["b"] = nn.logsumexp(x, b=b)
    out["b keepdims"] = nn.logsumexp(x, b=abs(b), axis=1, keepdims=True)
    out["b integers"] = nn.logsumexp(x, b=integers, axis=0)
    out["sign"] = nn.logsumexp(x, b=b, axis=1, return_sign=True)
    out["sign where"] = nn.logsumexp(x, b=b, axis=1, where=where, return_sign=True)
    out["weight 0"] = nn.logsumexp(m.numpy.array([1.0, np.inf]), b=m.numpy.array([1, 0]))
    out["complex"] = nn.logsumexp(z)
    out["complex sign"] = nn.logsumexp(z, return_sign=True)
    out["complex mean"] = nn.logmeanexp(z)
    out["stable"] = nn.standardize(x, algorithm="stable")
    out["given"] = nn.standardize(x, mean=x[0], variance=x[1] ** 2, axis=0)
    out["constant"] = nn.standardize(m.numpy.full((3, 4), 1e4))
    for axis in (0, 1, -1):
        out[f"one_hot {axis}"] = nn.one_hot(m.numpy.array([[0, 2, 5], [-1, 1, 1]]), 3, axis=axis)
    out["one_hot bool"] = nn.one_hot([1, 2], 3, dtype=bool)
    out["glu"] = nn.glu(x, 0)
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Attention

Q, K, V, BIAS, MASK = normal(2, 5, 4, 8), normal(2, 6, 2, 8), normal(2, 6, 2, 8), normal(2, 4, 5, 6), normal(2, 1, 5, 6)
OPTIONS = {
    "plain": {}, "causal": {"is_causal": True}, "scale": {"scale": 0.2}, "window": {"local_window_size": 1},
    "window2": {"local_window_size": (1, 2)}, "residual": {"return_residual": True, "is_causal": True},
}  # fmt: skip


def attention(m, order):
    q, k, v, bias = (m.numpy.asarray(x) for x in (Q, K, V, BIAS))
    hidden = MASK > -0.5
    hidden[0, 0, 2] = False  # a row that sees nothing
    mask, lengths = m.numpy.asarray(hidden), m.numpy.array([3, 4])
    f = m.nn.dot_product_attention
    if order:
        loss = lambda q, k, v, bias: (f(q, k, v, bias, mask, is_causal=True) ** 2).sum()  # noqa: E731
        return {"gradients": m.grad(loss, (0, 1, 2, 3))(q, k, v, bias)}
    out = {name: f(q, k, v, **options) for name, options in OPTIONS.items()}
    out |= {f"{name} unbatched": f(q[0], k[0], v[0], **options) for name, options in OPTIONS.items()}
    out["lengths"] = f(
        q, k, v, bias, mask, is_causal=True, query_seq_lengths=lengths, key_value_seq_lengths=lengths + 1
    )
    out["mask"] = f(q, k, v, bias, mask)
    out["small bias"] = f(q, k, v, bias[0, 0])
    out["vmap"] = m.vmap(f)(q, k, v)
    return out


# ---------------------------------------------------------------------------------------------------------------------
# Initializers


def initializers(m, order):
    i, out, k = m.nn.initializers, {}, m.random.key(1)
    for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg"):
        for law in ("normal", "truncated_normal", "uniform"):
            out[f"{mode} {law}"] = i.variance_scaling(2.0, mode, law)(k, (3, 4, 5))
    out["complex normal"] = i.variance_scaling(2.0, "fan_in", "normal", dtype="complex64")(k, (3, 4))
    out["complex uniform"] = i.variance_scaling(2.0, "fan_in", "uniform", dtype="complex64")(k, (3, 4))
    out["axes"] = i.variance_scaling(1.0, "fan_in", "normal", in_axis=(0, 1), out_axis=3, batch_axis=2)(k, (3, 4, 2, 5))
    for name in ("glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "kaiming_normal", "kaiming_uniform",
                 "lecun_normal", "lecun_uniform", "xavier_normal", "xavier_uniform"):  # fmt: skip
        out[name] = getattr(i, name)()(k, (3, 4))
    for shape in ((3, 5), (5, 3), (3, 3), (2, 3, 4)):
        out[f"orthogonal {shape}"] = i.orthogonal(2.0)(k, shape)
    out["orthogonal 0"] = i.orthogonal(1.0, 0)(k, (2, 2, 4))
    for shape in ((3, 4, 5), (4, 3, 2, 2)):
        out[f"delta_orthogonal {shape}"] = i.delta_orthogonal()(k, shape)
    out["truncated_normal"] = i.truncated_normal(0.5, lower=-1.0, upper=3.0)(k, (20,))
    out["uniform"] = i.uniform(0.3)(k, (20,))
    out["normal"] = i.normal(0.3)(k, (20,))
    out["constant"] = i.constant(m.numpy.arange(3))(k, (2, 3))
    out["zeros"] = i.zeros(k, (2,), int)
    return out


GROUPS = {
    "activations": (activations, (0, 1, 2), 2e-5),
    "along_axes": (along_axes, (0, 1, 2), 4e-5),
    "attention": (attention, (0, 1), 3e-5),
    "initializers": (initializers, (0,), 2e-5),
}
ALL = [(group, order) for group, (_, orders, _) in GROUPS.items() for order in orders]


def results(m, group, order):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = m.jit(lambda: GROUPS[group][0](m, order))()
    flat = {}
    for name, x in out.items():
        for i, part in enumerate(x if isinstance(x, tuple) else (x,)):
            flat[f"{group} {order} {name} {i}"] = np.asarray(part)
    return flat


def agree(got, want, rtol):
    failures = []
    for name, g in got.items():
        w = want[name]
        if g.dtype != w.dtype or g.shape != w.shape:
            failures.append(f"{name}: {g.dtype}{g.shape}, JAX {w.dtype}{w.shape}")
            continue
        wide = complex if g.dtype.kind == "c" else float
        close = np.isclose(g.astype(wide), w.astype(wide), rtol=rtol, atol=rtol, equal_nan=True)
        if not close.all():
            failures.append(f"{name}: {g[~close][:3]}, JAX {w[~close][:3]}")
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(("group", "order"), ALL)
def test_values_are_those_of_jax(group, order):
    with np.load(RECORDED) as want:
        agree(results(addax, group, order), want, GROUPS[group][2])


@pytest.mark.slow
@pytest.mark.parametrize(("group", "order"), ALL)
def test_the_recorded_values_are_those_of_jax(group, order, as_jax_compiles):
    with np.load(RECORDED) as want:
        agree(results(jax, group, order), want, 1e-6)


def test_all_names_are_there():
    missing = {n for n in dir(jax.nn) if not n.startswith("_")} - set(dir(addax.nn))
    assert missing <= {"scaled_dot_general", "get_scaled_dot_general_config"}
    assert not {n for n in dir(jax.nn.initializers) if not n.startswith("_")} - set(dir(addax.nn.initializers))


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **{k: x for group, order in ALL for k, x in results(jax, group, order).items()})
