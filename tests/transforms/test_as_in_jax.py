"""Each transformation and each form of control flow in the ways in which it can be called, against JAX.

The programs of a table are one program per library, as compiling is what takes time.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from comparison import ADDAX, JAX, difference, results

X = np.linspace(0.4, 1.9, 4).astype(np.float32)
NOTHING = np.zeros(0, np.float32)
A = np.diag(np.float32([3, 4, 5, 6])) + np.eye(4, k=1, dtype=np.float32) + np.eye(4, k=-1, dtype=np.float32)


def scan_over(L, x, **options):
    return L.lax.scan(lambda c, y: (L.np.sin(c) * y, {"c": c, "none": None}), x[0], x, **options)


def grad_of_scan(L, x, **options):
    return L.m.grad(lambda x: scan_over(L, x, **options)[1]["c"].sum())(x)


CONTROL: dict[str, Any] = {
    "scan": lambda L, x: scan_over(L, x),
    "scan reverse": lambda L, x: (scan_over(L, x, reverse=True), grad_of_scan(L, x, reverse=True)),
    "scan unroll": lambda L, x: (scan_over(L, x, unroll=3), grad_of_scan(L, x, unroll=True)),
    "scan _split_transpose": lambda L, x: grad_of_scan(L, x, _split_transpose=True),
    "scan xs None": lambda L, x: L.lax.scan(lambda c, _: (c * 2, c.sum()), x, None, length=3),
    "scan of nothing": lambda L, x: (L.lax.scan(lambda c, y: (c * y, c), x, NOTHING), L.lax.scan(lambda c, _: (c, c), x, length=0)),
    "scan carries integers": lambda L, x: L.m.grad(
        lambda x: L.lax.scan(lambda c, i: ((c[0] * x, c[1] + i), c[1]), (x, 0), L.np.arange(3))[0][0].sum())(x),
    "fori": lambda L, x: (L.lax.fori_loop(5, 2, lambda i, c: c + 1, x), L.lax.fori_loop(0, 7, lambda i, c: c + i * x, x, unroll=3)),
    "fori mapped bounds": lambda L, x: L.m.vmap(lambda n: L.lax.fori_loop(0, n, lambda i, c: c * 2, 1))(L.np.arange(4)),
    "while mapped": lambda L, x: L.m.vmap(lambda x: L.lax.while_loop(lambda c: c[0] < 20, lambda c: (c[0] * 2, c[1] + 1), (x, 0)))(x),
    "while forward": lambda L, x: L.m.vmap(lambda x: L.m.jvp(
        lambda x: L.lax.while_loop(lambda c: c < 20, lambda c: c * x, x), (x,), (1.0,)))(x + 1),
    "cond guards": lambda L, x: L.m.grad(lambda x: L.m.vmap(
        lambda x: L.lax.cond(x > 1, lambda x: L.np.sqrt(x - 1), lambda x: x, x))(x).sum())(x.at[1].set(1.0)),
    "switch clamps": lambda L, x: [L.lax.switch(i, [lambda: 1, lambda: 2, lambda: 3]) for i in (-5, 0, 1, 2, 9)],
    "switch mapped": lambda L, x: L.m.grad(lambda x: L.m.vmap(
        lambda i, x: L.lax.switch(i, [L.np.sin, L.np.cos, lambda x: x**2], x))(L.np.arange(4) - 1, x).sum())(x),
    "associative_scan": lambda L, x: [L.lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]),
        (L.np.outer(x, x), L.np.outer(x, x + 1)), reverse=r, axis=d) for r, d in ((False, 0), (True, 1))],
    "map batch_size": lambda L, x: [L.lax.map(lambda v: v * x, x, batch_size=n) for n in (1, 3, 4, 9, 0)],
    "map of nothing": lambda L, x: L.lax.map(L.np.sin, NOTHING, batch_size=4),
    "empty carries": lambda L, x: (L.lax.fori_loop(0, 3, lambda i, c: c, {}), L.lax.cond(x[0] > 0, lambda: (), lambda: ()),
                                   L.m.grad(lambda x: L.lax.scan(lambda c, y: (c, y * x), None, X)[1].sum())(2.0)),
}  # fmt: skip

DERIVATIVES: dict[str, Any] = {
    "jacobians of trees": lambda L, x: [jac(lambda p, k=2.0: {"o": p["a"] * p["b"] * k, "q": (p["a"].sum(),)})({"a": x, "b": x * 2})
                                        for jac in (L.m.jacfwd, L.m.jacrev)],
    "jacobians has_aux": lambda L, x: [jac(lambda x: (x**2, {"n": x.sum()}), has_aux=True)(x) for jac in (L.m.jacfwd, L.m.jacrev)],
    "jacobians of nothing": lambda L, x: [(jac(lambda x: x[:0])(x), jac(lambda y: x * y.sum())(NOTHING)) for jac in (L.m.jacfwd, L.m.jacrev)],
    "hessian": lambda L, x: (L.m.hessian(lambda a, b: (a**2 * b).sum(), (0, 1))(x, x * 2),
                             L.m.hessian(lambda a: ((a**3).sum(), a), has_aux=True)(x)),
    "holomorphic": lambda L, x: [f(lambda z: z**2 * 1j, holomorphic=True)(x + 1j) for f in (L.m.jacfwd, L.m.jacrev)],
    "complex": lambda L, x: (L.m.grad(lambda z: L.np.real(z**2).sum() + L.np.abs(z).sum())(x + 2j),
                             L.m.vjp(lambda z: L.np.exp(z) * L.np.conj(z), x + 1j)[1](x + 2j)),
    "keywords": lambda L, x: (L.m.grad(lambda x, **kw: (x * kw["z"]).sum())(x, z=x), L.m.vmap(lambda x, *, k: x * k)(x, k=x)),
    "allow_int": lambda L, x: L.m.vmap(L.m.grad(lambda n, x: x * n, (0, 1), allow_int=True), (0, None))(L.np.arange(3), x[0]),
    "linearize has_aux": lambda L, x: (lambda y, f, aux: (y, f(x), L.m.vmap(f)(L.np.eye(4)), aux))(
        *L.m.linearize(lambda x: ({"a": L.np.sin(x)}, x), x, has_aux=True)),
    "vjp has_aux": lambda L, x: (lambda y, f, aux: (y, f(x), f(2 * x), aux))(*L.m.vjp(lambda x: (x**2, {"t": x}), x, has_aux=True)),
    "jvp has_aux": lambda L, x: L.m.jvp(lambda d: (d["x"] ** 2, {"z": d["x"]}), ({"x": x},), ({"x": x},), has_aux=True),
    "nested": lambda L, x: L.m.grad(lambda x: (x * L.m.grad(lambda y: (x * y * y).sum())(x)).sum())(x),
    "closure_convert": lambda L, x: L.m.grad(lambda c: (lambda f, cs: f(x, *cs).sum())(
        *L.m.closure_convert(lambda x: L.np.sin(x) * c, x)))(x),
    "stop_gradient": lambda L, x: L.m.grad(lambda x: (L.lax.stop_gradient({"a": x, "n": 1})["a"] * x).sum())(x),
    "checkpoint": lambda L, x: L.m.hessian(L.m.checkpoint(lambda x: L.np.sin(L.np.sin(x) * x).sum(), prevent_cse=False))(x),
    "linear_transpose": lambda L, x: (L.m.linear_transpose(lambda x, y: (x * 2 + y,), x, x)((x,)),
                                      L.m.linear_transpose(lambda x: L.np.fft.rfft(x), x)(L.np.ones(3, "complex64"))),
}  # fmt: skip


def with_jvp(L, fun, *rules, **options):
    f = L.m.custom_jvp(fun, **options)
    f.defjvps(*rules)
    return f


def with_vjp(L, fun, fwd, bwd, *, nondiff_argnums=(), **options):
    f = L.m.custom_vjp(fun, nondiff_argnums=nondiff_argnums)
    f.defvjp(fwd, bwd, **options)
    return f


def solve(L, a, b, **options):
    return L.lax.custom_linear_solve(
        lambda x: a @ x, b, lambda _, b: L.np.linalg.solve(a, b), lambda _, b: L.np.linalg.solve(a.T, b), **options
    )


def cube_root(L, x):
    def newton(f, y):
        return L.lax.fori_loop(0, 20, lambda i, y: y - f(y) / (3 * y * y), y)

    return L.lax.custom_root(lambda y: y**3 - x, L.np.ones_like(x), newton, lambda g, y: y / g(L.np.ones_like(y)))


RULES: dict[str, Any] = {
    "defjvps": lambda L, x: (lambda f: (L.m.vmap(L.m.grad(f, (0, 1)))(x, x), L.m.jvp(f, (x, x), (x, x))))(
        with_jvp(L, lambda x, y: L.np.sin(x) * y, lambda t, out, x, y: 2 * t, None)),
    "defvjp": lambda L, x: (lambda f: (L.m.vmap(L.m.grad(f, (0, 1)))(x, x), L.m.grad(L.m.checkpoint(f))(x[0], x[1])))(
        with_vjp(L, lambda x, y: L.np.sin(x) * y, lambda x, y: (x * y, (x, {"k": 3})), lambda r, g: (g * r[0] * r[1]["k"], None))),
    "nondiff_argnums": lambda L, x: L.m.grad(lambda x: with_vjp(L, lambda x, n: x * n, lambda x, n: (x * n, x),
        lambda n, r, g: (g * n * 100,), nondiff_argnums=(1,))(x, 3).sum())(x),
    "optimize_remat": lambda L, x: L.m.vmap(L.m.grad(L.m.checkpoint(with_vjp(L, L.np.sin, lambda x: (L.np.sin(x), x),
        lambda x, g: (g * 10 * x,), optimize_remat=True))))(x),
    "symbolic_zeros": lambda L, x: L.m.grad(with_vjp(L, lambda x, y: (x * y).sum(), lambda x, y: ((x.value * y.value).sum(), y.value),
        lambda y, g: (g * y * 7, g * y), symbolic_zeros=True))(x, x),
    "custom_gradient": lambda L, x: (lambda f: (f(x, x), L.m.vmap(L.m.grad(f, (0, 1)))(x, x)))(
        L.m.custom_gradient(lambda x, y: (x * y, lambda g: (g * 100, g * 7)))),
    "custom_gradient of trees": lambda L, x: L.m.grad(lambda d: L.m.custom_gradient(
        lambda d: ({"o": d["a"] * 2}, lambda g: ({"a": g["o"] * 5},)))(d)["o"].sum())({"a": x}),
    "rules in loops": lambda L, x: L.m.grad(lambda x: L.lax.scan(
        lambda c, _: (with_jvp(L, lambda x: x**2, lambda t, out, x: 3 * t)(c), c), x, None, 3)[0].sum())(x),
    "custom_root": lambda L, x: (cube_root(L, x), L.m.vmap(L.m.grad(functools.partial(cube_root, L)))(x),
                                 L.m.hessian(lambda x: cube_root(L, x).sum())(x)),
    "custom_linear_solve": lambda L, x: (L.m.grad(lambda a, b: solve(L, a, b).sum(), (0, 1))(A, x), L.m.vmap(lambda b: solve(L, A, b))(A),
                                         L.m.jacfwd(lambda b: solve(L, A, b))(x)),
    "symmetric": lambda L, x: L.m.hessian(lambda b: (L.lax.custom_linear_solve(
        lambda x: A @ x, b, lambda _, b: L.np.linalg.solve(A, b), symmetric=True) ** 2).sum())(x),
    "solve in scan": lambda L, x: L.m.grad(lambda a: L.lax.scan(lambda c, _: (solve(L, a, c), None), x, None, 2)[0].sum())(A),
    "vectorize": lambda L, x: (L.np.vectorize(L.np.dot, signature="(n),(n)->()")(L.np.ones((2, 1, 4)), A),
                               L.np.vectorize(lambda a: (a.sum(), a * 2), signature="(n)->(),(n)")(A),
                               L.np.vectorize(lambda a, k: a * k, excluded={1})(x, 2.0)),
    "named_call": lambda L, x: L.m.vmap(L.m.grad(L.m.named_call(L.np.sin, name="f")))(x),
    "vmap axes": lambda L, x: L.m.vmap(lambda d, y: {"o": d["a"] * y + d["b"], "p": (y, y)}, in_axes=({"a": 0, "b": None}, -1),
        out_axes={"o": 1, "p": (0, -1)})({"a": x, "b": 1.0}, L.np.outer(x, x)),
    "vmap axis_size": lambda L, x: L.m.vmap(lambda: 1.0, axis_size=3)(),
    "vmap of nothing": lambda L, x: L.m.vmap(lambda m: L.np.linalg.inv(m))(L.np.zeros((0, 2, 2))),
}  # fmt: skip


@pytest.mark.parametrize("table", [CONTROL, DERIVATIVES, RULES], ids=["control", "derivatives", "rules"])
def test_as_in_jax(table):
    def everything(L, x):
        return {name: program(L, x) for name, program in table.items()}

    ours, theirs = (results(lib, everything, (X,), True) for lib in (ADDAX, JAX))
    message = difference(ours, theirs, weak="may stay")
    if message is None:
        return
    wrong = {
        n: difference(*(results(lib, p, (X,), True) for lib in (ADDAX, JAX)), weak="may stay") for n, p in table.items()
    }
    raise AssertionError({n: m for n, m in wrong.items() if m} or message)
