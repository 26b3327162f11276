"""`sparse_jacobian` and `sparse_hessian`: a plan per type of arguments, then one product per colour."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from addax.core import dtypes, tree
from addax.core.avals import get_aval
from addax.core.trace import Tracer
from addax.numpy.base import promote_dtypes
from addax.numpy.joining import concatenate
from addax.sparse_derivatives.detect import chosen_arguments, detect, sorted_rows
from addax.sparse_derivatives.matrix import SparseMatrix
from addax.sparse_derivatives.plan import Plan, hessian_plan, jacobian_plan, split
from addax.transforms.autodiff import check_callable, check_input, grad, linearize, of_arguments, vjp
from addax.transforms.flat import describe_function
from addax.transforms.vmap import vmap


def sparse_jacobian(
    fun: Callable, sparsity=None, argnums: int | Sequence[int] = 0, has_aux: bool = False, mode: str = "auto"
) -> Callable:
    """The Jacobian of a function whose results depend on few inputs each, as a `SparseMatrix`.

    The columns are coloured so that columns of one colour share no row; their sum is one product of the Jacobian with a
    vector of zeros and ones, from which every entry can be read. A tridiagonal Jacobian of any size takes three
    products. In reverse mode rows are coloured, and products from the left are taken.

    Args:
      fun: its results may be any pytree of arrays; rows are their elements one after the other, see
        `jacobian_sparsity`.
      sparsity: where entries may differ from 0: a SciPy sparse matrix or a boolean array of the shape
        (elements of the result, elements of the argument). None: found by `jacobian_sparsity`, once per type of the
        arguments. Outside `jit` one more product checks that a pattern given, or found by an earlier call, still holds.
      argnums: the argument, or arguments, that columns stand for.
      has_aux: ``fun`` returns a pair, whose second part is handed out beside the matrix.
      mode: "fwd", "rev", or "auto", which takes the one with fewer colours.

    Raises:
      ValueError: if ``sparsity`` has another shape, or lacks an entry that is not 0.

    Source: Gebremedhin, Manne & Pothen, "What color is your Jacobian?", SIAM Review 47 (2005). Not in JAX.

    >>> import addax, addax.numpy as jnp
    >>> heat = lambda x: x.at[1:-1].add(0.1 * (x[2:] - 2 * x[1:-1] + x[:-2]))
    >>> addax.sparse_jacobian(heat)(jnp.arange(5.0))
    SparseMatrix(float32[5, 5], nse=11)
    """
    if mode not in ("auto", "fwd", "rev"):
        raise ValueError(f"sparse_jacobian: mode must be 'auto', 'fwd' or 'rev', got {mode!r}")
    return _sparse("sparse_jacobian", fun, lambda _: fun, sparsity, argnums, has_aux, lambda p: jacobian_plan(p, mode))


def sparse_hessian(fun: Callable, sparsity=None, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The matrix of second derivatives of a scalar function, as a symmetric `SparseMatrix`.

    A star colouring of its graph says which columns one Hessian-vector product computes together; an entry is read
    from its column or, by symmetry, from its row. A Hessian with one full row and column needs two products.

    Args:
      fun: returns a real scalar (with ``has_aux``: a pair of a scalar and any pytree).
      sparsity, argnums, has_aux: as for `sparse_jacobian`; the transpose of ``sparsity`` is added to it.

    Source: Gebremedhin, Manne & Pothen, "What color is your Jacobian?", SIAM Review 47 (2005), section 4. Not in JAX.

    >>> import addax, addax.numpy as jnp
    >>> rosenbrock = lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    >>> addax.sparse_hessian(rosenbrock)(jnp.ones(4)).todense().tolist()[1]
    [-400.0, 1002.0, -400.0, 0.0]
    """
    return _sparse(
        "sparse_hessian", fun, lambda chosen: grad(fun, chosen, has_aux), sparsity, argnums, has_aux, hessian_plan
    )


def _sparse(name: str, fun: Callable, mapping: Callable, sparsity, argnums, has_aux: bool, make_plan: Callable):
    """The derivative of ``mapping(chosen arguments)``, a function of the arguments of ``fun``."""
    check_callable(fun, name)
    given = None if sparsity is None else sorted_rows(sparse.csr_array(sparsity).astype(np.bool_))
    plans: dict[Any, Plan] = {}

    @functools.wraps(fun)
    def sparse_derivative(*args, **kwargs):
        chosen = chosen_arguments(fun, argnums, args)
        f = mapping(chosen)
        of_inputs, inputs = of_arguments(f, chosen, args, kwargs)
        for x in tree.leaves(inputs):
            check_input(x, False, False, name)
        leaves, structure = tree.flatten((args, kwargs))
        key = (structure, *map(get_aval, leaves))

        def compute(plan: Plan) -> tuple[SparseMatrix, _Products]:
            product = _Products(of_inputs, inputs, plan, has_aux)
            return SparseMatrix(
                plan.read(product(plan.seeds(product.avals), batch=plan.count)), plan.positions
            ), product

        known = key in plans
        if not known:
            plans[key] = make_plan(detect(f, args, kwargs, chosen, has_aux) if given is None else given)
        matrix, product = compute(plans[key])
        if given is not None:
            _check(fun, _lacking(matrix, product, plans[key]), plans[key])
        elif known and len(_lacking(matrix, product, plans[key])):  # what the function captured has changed since
            plans[key] = make_plan(detect(f, args, kwargs, chosen, has_aux))
            matrix, product = compute(plans[key])
        return (matrix, product.aux) if has_aux else matrix

    return sparse_derivative


class _Products:
    """Products with the derivative of ``fun`` at ``inputs``, from the side that the plan says."""

    def __init__(self, fun: Callable, inputs: tuple, plan: Plan, has_aux: bool):
        out, self.apply, *aux = (linearize if plan.forward else vjp)(fun, *inputs, has_aux=has_aux)
        self.aux, self.forward = aux[0] if aux else None, plan.forward
        sizes = [sum(get_aval(x).size for x in tree.leaves(t)) for t in (out, inputs)]
        if tuple(sizes) != plan.positions.shape:
            raise ValueError(
                f"the sparsity of {describe_function(fun)} was given with the shape {plan.positions.shape}, expected "
                f"{tuple(sizes)}: elements of the result, elements of the argument."
            )
        factor = inputs if self.forward else (out,)
        self.structure = tree.structure(factor)
        self.avals = [get_aval(x).to_tangent() for x in tree.leaves(factor)]

    def __call__(self, vectors: list, batch: int | None = None):
        """One vector, in leaves, or a batch of them; the products have one dimension for all elements."""
        if batch == 0:
            return concatenate([np.zeros((0, 1), np.float32)])
        one = self.structure.unflatten(vectors)
        products = self.apply(*one) if batch is None else vmap(lambda v: self.apply(*v))(one)
        leaves = [x for x in tree.leaves(products) if get_aval(x).dtype != dtypes.float0]
        flat = [x.reshape(-1) if batch is None else x.reshape(batch, -1) for x in promote_dtypes(*leaves)]
        return concatenate(flat, axis=-1)


def _lacking(matrix: SparseMatrix, product: _Products, plan: Plan) -> np.ndarray:
    """The rows (columns, in reverse mode) in which the product of the matrix with a vector of random numbers is not the
    derivative's: its pattern lacks entries that are not 0. Under `jit` none are found, as values are not known."""
    if isinstance(matrix.data, Tracer):
        return np.zeros(0, int)
    a = matrix.to_scipy() if plan.forward else sparse.csr_array(matrix.to_scipy().T)
    parts = split(np.random.default_rng(0).uniform(0.5, 1.5, a.shape[1]), product.avals)
    v = np.concatenate([p.reshape(-1) for p in parts]).astype(np.float64)
    got, want = np.asarray(product(parts)), a @ v
    return np.flatnonzero(abs(got - want) > 1e-3 * (abs(a) @ v + abs(got)))


def _check(fun: Callable, wrong: np.ndarray, plan: Plan) -> None:
    if len(wrong):
        what = "row" if plan.forward else "column"
        raise ValueError(
            f"the sparsity given for {describe_function(fun)} lacks entries that are not 0, in {what} {wrong[0]}"
            + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
            + ". Leave it out to have it found, or compare it with jacobian_sparsity(f, ...)."
        )


__all__ = ["sparse_hessian", "sparse_jacobian"]
