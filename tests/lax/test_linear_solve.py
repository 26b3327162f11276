"""custom_linear_solve and custom_root: derivatives of solutions, batches, nested transformations, errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import addax
import addax.numpy as anp

A = np.array([[4.0, 1.0, 0.0], [2.0, 5.0, 1.0], [0.0, 1.0, 3.0]], np.float32)
B = np.array([1.0, -2.0, 0.5], np.float32)


def solved(library, module):
    def f(a, b):
        def by_inverse(matvec, b):
            return library.lax.stop_gradient(module.linalg.inv(a)) @ b

        def by_transposed(vecmat, b):
            return library.lax.stop_gradient(module.linalg.inv(a)).T @ b

        return library.lax.custom_linear_solve(lambda x: a @ x, b, by_inverse, by_transposed)

    return f


def test_derivatives_of_all_kinds():
    def everything(library, module):
        f = solved(library, module)
        g = lambda a, b: module.sum(f(a, b) ** 2)  # noqa: E731
        stack = module.stack([A, A + 1.0])
        return library.jit(
            lambda a, b: (
                f(a, b),
                library.jvp(f, (a, b), (a * 0.1, b * 2))[1],
                library.grad(g, (0, 1))(a, b),
                library.hessian(g, (0, 1))(a, b),
                library.vmap(library.grad(g, (0, 1)), (0, None))(stack, b),
                library.vmap(library.grad(g, (0, 1)), (None, 0))(a, stack[0]),
                library.jacrev(f)(a, b),
            )
        )(A, B)

    got, want = everything(addax, anp), everything(jax, jnp)
    for g, w in zip(jax.tree.leaves(got, is_leaf=lambda x: hasattr(x, "shape")), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=2e-4, atol=2e-5)


def test_structures_and_aux():
    def f(scale, b):
        def solve(matvec, b):
            return {k: v / scale for k, v in b.items()}, {"steps": 7}

        return addax.lax.custom_linear_solve(
            lambda x: {k: v * scale for k, v in x.items()}, b, solve, symmetric=True, has_aux=True
        )

    b = {"x": anp.array([2.0, 4.0]), "y": anp.array(6.0)}
    x, aux = f(2.0, b)
    assert x["x"].tolist() == [1.0, 2.0] and x["y"].item() == 3.0 and int(aux["steps"]) == 7
    assert addax.grad(lambda s: f(s, b)[0]["y"])(2.0).item() == -1.5
    batched, aux = addax.vmap(f, (0, None))(anp.array([1.0, 2.0]), b)
    assert batched["y"].tolist() == [6.0, 3.0] and aux["steps"].tolist() == [7, 7]


def test_the_solver_is_not_differentiated():
    def f(a):
        def loop(matvec, b):
            return addax.lax.while_loop(lambda x: abs(matvec(x) - b) > 1e-6, lambda x: x - (matvec(x) - b) / 4, b)

        return addax.lax.custom_linear_solve(lambda x: a * x, 1.0, loop, symmetric=True)

    np.testing.assert_allclose([*map(float, addax.value_and_grad(f)(2.0))], [0.5, -0.25], rtol=1e-5)
    np.testing.assert_allclose(addax.grad(addax.grad(f))(2.0).item(), 0.25, rtol=1e-4)


def test_linear_solve_errors():
    solve = lambda matvec, b: b  # noqa: E731
    with pytest.raises(TypeError, match=r"custom_linear_solve: matvec must return arrays like those of b; got .*\[3\]"):
        addax.lax.custom_linear_solve(lambda x: anp.ones(3), anp.ones(2), solve)
    with pytest.raises(TypeError, match=r"custom_linear_solve: solve must return the structure of b"):
        addax.lax.custom_linear_solve(lambda x: x, anp.ones(2), lambda m, b: (b, b))
    with pytest.raises(TypeError, match=r"with has_aux solve must return a pair"):
        addax.lax.custom_linear_solve(lambda x: x, anp.ones(2), solve, has_aux=True)
    with pytest.raises(TypeError, match=r"transpose_solve is required for reverse-mode"):
        addax.grad(lambda b: addax.lax.custom_linear_solve(lambda x: x, b, solve).sum())(anp.ones(2))


def cube_root(library):
    def f(a):
        def newton(f, x):
            return library.lax.fori_loop(0, 30, lambda i, x: x - f(x) / library.grad(f)(x), x)

        return library.lax.custom_root(lambda x: x**3 - a, 1.0, newton, lambda g, y: y / g(1.0))

    return f


def test_roots():
    f, g = cube_root(addax), cube_root(jax)
    for a in (8.0, 2.0):
        for derive in (
            lambda lib, f: f,
            lambda lib, f: lib.grad(f),
            lambda lib, f: lib.jit(lib.grad(lib.grad(f))),
            lambda lib, f: lib.jacfwd(f),
        ):
            np.testing.assert_allclose(float(derive(addax, f)(a)), float(derive(jax, g)(a)), rtol=1e-4)
    np.testing.assert_allclose(
        np.asarray(addax.vmap(addax.grad(f))(anp.array([1.0, 8.0, 27.0]))), [1 / 3, 1 / 12, 1 / 27], rtol=1e-4
    )

    def with_aux(a):
        return addax.lax.custom_root(
            lambda x: x * x - a, anp.ones(2), lambda f, x: (anp.sqrt(a + 0 * x), 5), lambda g, y: y / g(anp.ones(2)),
            has_aux=True,
        )  # fmt: skip

    x, aux = with_aux(anp.array([4.0, 9.0]))
    assert x.tolist() == [2.0, 3.0] and int(aux) == 5
    assert addax.grad(lambda a: with_aux(a)[0].sum())(anp.array([4.0, 1.0])).tolist() == [0.25, 0.5]
    with pytest.raises(TypeError, match="custom_root: f must return the structure of initial_guess"):
        addax.lax.custom_root(lambda x: (x, x), 1.0, lambda f, x: x, lambda g, y: y)


def weak_types(library, module):
    """Of solutions and derivatives, at Python's numbers and at arrays."""

    def linear(a, b):
        return library.lax.custom_linear_solve(lambda x: x * a, b, lambda mv, b: b / a, lambda mv, b: b / a)

    def root(a):
        def newton(f, x):
            return library.lax.fori_loop(0, 30, lambda i, x: x - f(x) / library.grad(f)(x), x)

        return library.lax.custom_root(lambda x: x * x - a, 1.5, newton, lambda g, y: y / g(1.0))

    two, three = module.float32(2), module.float32(3)
    found = [
        *(f(a, b) for a, b in [(2.0, 3.0), (two, 3.0), (2.0, three)] for f in (linear, library.grad(linear, (0, 1)))),
        library.jit(linear)(2.0, 3.0), library.jvp(linear, (2.0, 3.0), (1.0, 1.0)), library.hessian(linear, (0, 1))(2.0, 3.0),
        *(f(a) for a in (2.0, two) for f in (root, library.value_and_grad(root), library.hessian(root))),
        library.jvp(root, (2.0,), (1.0,)), library.jit(library.grad(root))(2.0),
        library.vmap(library.value_and_grad(root))(module.array([2.0, 3.0])),
    ]  # fmt: skip
    return jax.tree.leaves(found)


def test_solutions_are_as_weakly_typed_as_in_jax():
    for g, w in zip(weak_types(addax, anp), weak_types(jax, jnp), strict=True):
        assert (g.dtype, g.aval.weak_type) == (w.dtype, w.aval.weak_type)
        np.testing.assert_allclose(g, w, rtol=1e-5)
