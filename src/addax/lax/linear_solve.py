"""Solutions differentiated by the equation they solve: `custom_linear_solve` and `custom_root`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from addax.core import tree
from addax.core.avals import get_aval
from addax.core.jaxpr import eval_jaxpr
from addax.core.varying import join, vary
from addax.interpreters.transpose import transpose_instantiated
from addax.lax.convert import stop_gradient
from addax.ops.control_flow import linear_solve_p
from addax.transforms.autodiff import jvp
from addax.transforms.custom import custom_jvp
from addax.transforms.flat import jax_array, trace_captured


def _check_same(what: str, got_tree, got, want_tree, want, like: str = "b") -> None:
    """Raise unless a function of vectors returns what looks like ``b``."""
    if got_tree != want_tree:
        raise TypeError(f"{what} must return the structure of {like}, {want_tree}, but returns {got_tree}.")
    for g, w in zip(got, want, strict=True):
        if g.shape != w.shape or g.dtype != w.dtype:
            raise TypeError(f"{what} must return arrays like those of {like}; got {g} for {w}.")


def custom_linear_solve(
    matvec: Callable,
    b: Any,
    solve: Callable,
    transpose_solve: Callable | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
):
    """The x with ``matvec(x) = b``, found by ``solve`` and differentiated as a solution, not through the solver.

    Args:
      matvec: a linear function from pytrees like ``b`` to pytrees like ``b``. Derivatives with respect to the values it
        closes over are those of x.
      b: a pytree of arrays.
      solve: ``solve(matvec, b) -> x``. It may use anything: its own derivative is never taken.
      transpose_solve: ``transpose_solve(vecmat, b)`` solves with the transpose of ``matvec``, for reverse mode.
      symmetric: the map is its own transpose, so ``solve`` serves for that too.
      has_aux: the solvers return ``(x, aux)``.

    Returns:
      x, or ``(x, aux)``.

    >>> import addax, addax.numpy as jnp
    >>> def f(a, b):
    ...     return addax.lax.custom_linear_solve(lambda x: a * x, b, lambda matvec, b: b / a, symmetric=True)
    >>> [v.tolist() for v in addax.jvp(f, (jnp.array(2.0), jnp.array(6.0)), (jnp.array(1.0), jnp.array(0.0)))]
    [3.0, -1.5]
    """
    if transpose_solve is None and symmetric:
        transpose_solve = solve
    leaves, b_tree = tree.flatten(b)
    leaves = [jax_array(x) for x in leaves]
    avals = [get_aval(x) for x in leaves]
    args_tree = tree.structure(((b,), {}))

    forward, forward_consts, out_tree = trace_captured(matvec, args_tree, avals)
    varies = join([a.vma for a in (*forward.out_avals, *avals)])
    if any(a.vma != varies for a in avals):
        # A shared right-hand side of a system that varies over devices is solved as a varying one: the transpose of the
        # system must not add up over devices.
        leaves = [vary(x, varies) for x in leaves]
        avals = [a.update(vma=varies) for a in avals]
        forward, forward_consts, out_tree = trace_captured(matvec, args_tree, avals)
    _check_same("custom_linear_solve: matvec", out_tree, forward.out_avals, b_tree, avals)

    def solver(name: str, fun: Callable, product: Callable):
        program, consts, out_tree = trace_captured(lambda b: fun(product, b), args_tree, avals)
        out_avals, x_tree = program.out_avals, out_tree
        if has_aux:
            result = out_tree.unflatten(out_avals)
            if not (isinstance(result, tuple) and len(result) == 2):
                raise TypeError(f"custom_linear_solve: with has_aux {name} must return a pair (x, aux).")
            out_avals, x_tree = tree.flatten(result[0])
        _check_same(f"custom_linear_solve: {name}", x_tree, out_avals, b_tree, avals)
        return program, consts, out_tree

    own, own_consts, out_tree = solver("solve", solve, matvec)
    backward = other = None
    backward_consts: list = []
    other_consts: list = []
    if transpose_solve is not None:
        if symmetric:
            backward, backward_consts, vecmat = forward, forward_consts, matvec
        else:
            n = len(forward_consts)
            backward = transpose_instantiated(forward, [*(False for _ in range(n)), *(True for _ in leaves)])
            backward_consts = forward_consts

            def vecmat(y):
                outs = eval_jaxpr(backward.jaxpr, backward.consts, *backward_consts, *tree.leaves(y))
                return b_tree.unflatten(outs)

        other, other_consts, _ = solver("transpose_solve", transpose_solve, vecmat)
    outs = linear_solve_p.bind(
        *forward_consts, *backward_consts, *own_consts, *other_consts, *leaves,
        const_lengths=(len(forward_consts), len(backward_consts), len(own_consts), len(other_consts)),
        matvec=forward, vecmat=backward, solve=own, transpose_solve=other,
    )  # fmt: skip
    return out_tree.unflatten(outs)


def custom_root(f: Callable, initial_guess: Any, solve: Callable, tangent_solve: Callable, has_aux: bool = False):
    """The x with ``f(x) = 0``, found by ``solve`` and differentiated by the implicit function theorem.

    Args:
      f: a function from pytrees like ``initial_guess`` to the same. Derivatives with respect to the values it closes over
        are those of x: with J the derivative of f at x, ``J dx = -(df)(x)``.
      initial_guess: where ``solve`` starts.
      solve: ``solve(f, initial_guess) -> x``; its own derivative is never taken.
      tangent_solve: ``tangent_solve(g, y)`` solves the linear equation ``g(x) = y``; for scalars ``y / g(1.0)``.
      has_aux: ``solve`` returns ``(x, aux)``.

    Returns:
      x, or ``(x, aux)``.

    >>> import addax
    >>> def root(a):  # of x**2 - a, by Newton's method
    ...     def newton(f, x):
    ...         return addax.lax.fori_loop(0, 20, lambda i, x: x - f(x) / addax.grad(f)(x), x)
    ...     return addax.lax.custom_root(lambda x: x * x - a, 1.0, newton, lambda g, y: y / g(1.0))
    >>> [round(float(v), 5) for v in addax.value_and_grad(root)(4.0)]
    [2.0, 0.25]
    """
    leaves, x_tree = tree.flatten(initial_guess)
    leaves = [jax_array(x) for x in leaves]
    avals = [get_aval(x) for x in leaves]
    args_tree = tree.structure(((initial_guess,), {}))
    program, consts, out_tree = trace_captured(f, args_tree, avals)
    _check_same("custom_root: f", out_tree, program.out_avals, x_tree, avals, "initial_guess")
    solver, captured, out_tree = trace_captured(lambda guess: solve(f, guess), args_tree, avals)
    found: Any = out_tree.unflatten(
        eval_jaxpr(solver.jaxpr, solver.consts, *(stop_gradient(x) for x in (*captured, *leaves)))
    )
    x, aux = (found[0], found[1]) if has_aux else (found, None)
    xs, found_tree = tree.flatten(x)
    _check_same("custom_root: solve", found_tree, [get_aval(v) for v in xs], x_tree, avals, "initial_guess")

    def apply(consts, xs):
        return eval_jaxpr(program.jaxpr, program.consts, *consts, *xs)

    @custom_jvp
    def root(consts, xs):
        return xs

    @root.defjvp
    def root_jvp(primals, tangents):
        """J dx = -(df)(x)"""
        (consts, xs), (dconsts, _) = primals, tangents
        xs = root(consts, xs)
        rhs = jvp(lambda consts: apply(consts, xs), (consts,), (dconsts,))[1]

        def slope(dx):
            return x_tree.unflatten(jvp(lambda xs: apply(consts, xs), (xs,), (tree.leaves(dx),))[1])

        dx = custom_linear_solve(slope, x_tree.unflatten([-r for r in rhs]), tangent_solve, tangent_solve)
        return xs, tree.leaves(dx)

    x = x_tree.unflatten(root(consts, xs))
    return (x, aux) if has_aux else x


__all__ = ["custom_linear_solve", "custom_root"]
